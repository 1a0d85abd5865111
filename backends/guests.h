/* Streams of what guests say (docs/guest-messages.md), from wherever they come to the launcher.  Nothing is read from
 * them here: the launcher gives them to a process without privileges.
 *
 * A domain has one stream; a new one takes the place of the last.  Each is kept, for the next launcher, until its
 * other end is closed.
 */
#ifndef BACKENDS_GUESTS_H
#define BACKENDS_GUESTS_H

#include <sys/types.h>

#include "base/err.h"
#include "base/msg.h"

#define GUEST_CHANNEL "org.jitsu.guest.0" /* what a virtio-serial port for it is called */

struct event_base;
struct guests;

typedef void guests_tell_fn(void *arg, const struct msg_be_guest *m, int fd);

/* `tell` is called on the loop's thread; `fd` stays ours.  NULL with errno. */
struct guests *guests_new(struct event_base *base, guests_tell_fn *tell, void *arg);
void guests_free(struct guests *g); /* NULL is fine */

/* Loop thread: the launcher's channel is new.  Tells every stream again. */
void guests_on_launcher(struct guests *g);

/* Loop thread.  The launcher hears of that domain: tells its stream again, if it has one.  The service that it is of
 * may be newer than the stream. */
void guests_tell(struct guests *g, const char *name);

/* Any thread.  A stream of that domain's; takes `fd`. */
void guests_take(struct guests *g, const char *name, const char *uuid, int fd);
/* Any thread; does not block.  QEMU listens at `path` for whoever wants to hear the domain's guest.  Nothing is done
 * while it has a stream. */
void guests_connect(struct guests *g, const char *name, const char *uuid, const char *path);

/* Loop thread.  Waits for the QEMU of this domain of ours at guests_socket_path(); again is fine.  0, or -errno with
 * *e. */
int guests_listen(struct guests *g, const char *dir, const char *name, uid_t uid, gid_t gid, struct err *e);
/* Loop thread.  The domain will not come back: nobody is waited for any more. */
void guests_leave(struct guests *g, const char *dir, const char *name);
/* Pure.  False when it is longer than a socket's path may be: the domain has no channel then. */
bool guests_socket_path(const char *dir, const char *name, char *out, size_t size);

#endif
