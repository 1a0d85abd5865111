/* A channel between two processes of ours: typed messages over SOCK_SEQPACKET, with at most one
 * file descriptor each.
 *
 * Sending never blocks: what the socket does not take at once waits in a bounded queue.  A peer
 * that does not read fills it, and then the channel is closed: the callback hears -ENOBUFS and
 * the supervisor is told, which kills and restarts the peer.  A message that does not decode
 * (-EBADMSG) ends the channel the same way: the sender is broken or hostile.
 *
 * Every packet begins with u16 layout version, u16 type; then codec.h's bytes.
 */
#ifndef BASE_IPC_H
#define BASE_IPC_H

#include "base/msg.h"
#include "base/util.h"

struct event_base;
struct ipc;

enum {
	IPC_LAYOUT = 12, /* raised whenever a message's fields change */
	IPC_PACKET_MAX = 60 * 1024,
	IPC_QUEUE_MAX_BYTES = 8 * 1024 * 1024,
};

/* One message: `body` points to the decoded struct of that type and dies on return.  `fd` is -1
 * or a descriptor that belongs to the callback: it must take it (and set *fd = -1) or it is
 * closed. */
typedef void ipc_msg_fn(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd);

/* The channel ended: 0 when the peer closed it, or -errno.  The owner should ipc_free() it,
 * which is allowed inside the callback. */
typedef void ipc_end_fn(void *arg, struct ipc *ch, int error);

/* A connected pair, close-on-exec.  0 or -errno. */
int ipc_pair(int fds[2]);

/* Takes `fd`.  NULL when memory ran out (fd closed). */
struct ipc *ipc_new(struct event_base *base, int fd, ipc_msg_fn *on_msg, ipc_end_fn *on_end, void *arg);
void ipc_free(struct ipc *ch); /* NULL is fine */

/* Encodes and sends, or queues.  `fd` is duplicated: the caller keeps its own; -1 for none.
 * `body` is the struct that belongs to `type`; NULL for types that have none.
 * 0, -EMSGSIZE (a field too long: our bug), or -EPIPE once the channel has ended. */
int ipc_send(struct ipc *ch, enum msg_type type, const void *body);
int ipc_send_fd(struct ipc *ch, enum msg_type type, const void *body, int fd);

/* Sends what is queued, blocking at most `ms`.  For the last words before an exit. */
void ipc_flush(struct ipc *ch, unsigned ms);

/* One packet to `struct` and back, without a channel (ipc_send and the fuzzers use them).
 * `body` must hold MSG_BODY_MAX bytes.  -EBADMSG: bad version, unknown type, bad body. */
ssize_t ipc_encode(enum msg_type type, const void *body, void *buf, size_t size);
int ipc_decode(const void *buf, size_t n, enum msg_type *type, void *body);

#endif
