/* The DNS sockets that the supervisor holds: opened when the launcher first wants them, given to each
 * new dns, closed when a list of wants is over and they were not in it. */
#ifndef CMD_LISTENERS_H
#define CMD_LISTENERS_H

#include "base/err.h"
#include "base/msg.h"

struct listeners;

struct listeners *listeners_new(void); /* NULL: no memory */
void listeners_free(struct listeners *l); /* closes all */

/* Keeps or opens this one, and marks it as wanted.  1: it is new, and *fd is it, still ours; 0: it was
 * there; or -errno and a sentence. */
int listeners_want(struct listeners *l, const struct msg_listen *what, int *fd, struct err *e);

/* The list is over: closes what is not marked, and takes all marks away.  Whether any was closed. */
bool listeners_sweep(struct listeners *l);

typedef void listener_fn(void *arg, const struct msg_listen *what, int fd);
void listeners_each(const struct listeners *l, listener_fn *fn, void *arg);

#endif
