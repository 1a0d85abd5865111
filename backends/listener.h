/* A UNIX socket that waits for QEMU, and lets nobody else in.  On the loop's thread. */
#ifndef BACKENDS_LISTENER_H
#define BACKENDS_LISTENER_H

#include <sys/types.h>

#include "base/util.h"

struct event_base;
struct listener;

/* Somebody has connected.  Takes `fd`. */
typedef void listener_fn(void *arg, int fd);

/* DIR/NAME.KIND: pure, any thread.  False when it is longer than a socket's path may be. */
bool listener_path(const char *dir, const char *name, const char *kind, char *out, size_t size);

/* At `path`, connectable by `uid` (and root) alone; in place of what was there.  NULL with errno. */
struct listener *listener_new(struct event_base *base, const char *path, uid_t uid, gid_t gid,
			      listener_fn *on_connect, void *arg);
void listener_free(struct listener *l); /* NULL is fine */

#endif
