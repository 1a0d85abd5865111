/* The sockets of DNS and of metrics that the supervisor holds: opened when the launcher first wants them, given to
 * each new dns or control, closed when a list of wants is over and they were not in it. */
#ifndef CMD_LISTENERS_H
#define CMD_LISTENERS_H

#include "base/err.h"
#include "base/msg.h"

struct listeners;

struct listeners *listeners_new(void); /* NULL: no memory */
void listeners_free(struct listeners *l); /* closes all */

/* One of its sockets; `what->place` tells which.  The descriptor stays ours. */
typedef void listener_fn(void *arg, const struct msg_listen *what, int fd);

/* Keeps or opens this one, with what->sharers sockets if it is UDP, and marks them as wanted; each that is new is
 * told to fn.  0, or -errno and a sentence: then nothing was opened, and those that were there stay. */
int listeners_want(struct listeners *l, const struct msg_listen *what, listener_fn *fn, void *arg, struct err *e);

/* The list is over: closes what is not marked, and takes all marks away.  Each of which any is about to be closed is
 * told to `closed`, with fd -1. */
void listeners_sweep(struct listeners *l, listener_fn *closed, void *arg);

void listeners_each(const struct listeners *l, listener_fn *fn, void *arg);

#endif
