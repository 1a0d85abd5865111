#include "base/ipc.h"

#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/clock.h"

enum { HEADER_BYTES = 4, READS_PER_WAKEUP = 64, SOCKET_BUFFER_BYTES = 1024 * 1024 };

struct queued {
	STAILQ_ENTRY(queued) next;
	int fd;
	size_t n;
	uint8_t packet[];
};

struct ipc {
	int fd;
	struct event *readable, *writable, *ended;
	ipc_msg_fn *on_msg;
	ipc_end_fn *on_end;
	void *arg;
	STAILQ_HEAD(, queued) queue;
	size_t queued_bytes;
	int error; /* why it ended */
	bool dead;
	bool in_callback; /* ipc_free() inside one only marks it */
	bool freed;
};

int ipc_pair(int fds[2])
{
	int size = SOCKET_BUFFER_BYTES;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) { /* as large as the host allows; more only delays the queue */
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	}
	return 0;
}

/* ---- packets ---- */

ssize_t ipc_encode(enum msg_type type, const void *body, void *buf, size_t size)
{
	const struct codec_table *codec = msg_codec(type);
	uint8_t *p = buf;
	ssize_t n;

	if (!codec || size < HEADER_BYTES || (codec->n > 0 && !body))
		return -EMSGSIZE;
	n = codec_encode(codec, body, p + HEADER_BYTES, size - HEADER_BYTES);
	if (n < 0)
		return n;
	p[0] = IPC_LAYOUT & 0xff;
	p[1] = IPC_LAYOUT >> 8;
	p[2] = (uint8_t)type;
	p[3] = (uint8_t)(type >> 8);
	return n + HEADER_BYTES;
}

int ipc_decode(const void *buf, size_t n, enum msg_type *type, void *body)
{
	const uint8_t *p = buf;
	const struct codec_table *codec;

	if (n < HEADER_BYTES || (p[0] | p[1] << 8) != IPC_LAYOUT)
		return -EBADMSG;
	*type = (enum msg_type)(p[2] | p[3] << 8);
	codec = msg_codec(*type);
	if (!codec)
		return -EBADMSG;
	return codec_decode(codec, p + HEADER_BYTES, n - HEADER_BYTES, body);
}

/* 0, or -errno; -EAGAIN when the socket is full. */
static int transmit(int sock, const void *packet, size_t n, int fd)
{
	struct iovec iov = { (void *)packet, n };
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		struct cmsghdr *c;

		m.msg_control = control.room;
		m.msg_controllen = sizeof(control.room);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	while (sendmsg(sock, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		if (errno != EINTR)
			return errno == ENOBUFS ? -EAGAIN : -errno;
	}
	return 0;
}

/* ---- receiving ---- */

static void release(struct ipc *ch)
{
	struct queued *q;

	while ((q = STAILQ_FIRST(&ch->queue))) {
		STAILQ_REMOVE_HEAD(&ch->queue, next);
		fd_close(&q->fd);
		free(q);
	}
	if (ch->readable)
		event_free(ch->readable);
	if (ch->writable)
		event_free(ch->writable);
	if (ch->ended)
		event_free(ch->ended);
	fd_close(&ch->fd);
	free(ch);
}

/* The end is told from the loop, never from inside ipc_send(), whose callers would not expect
 * their channel to be freed under them. */
static void end(struct ipc *ch, int error)
{
	if (ch->dead)
		return;
	ch->dead = true;
	ch->error = error;
	event_del(ch->readable);
	event_del(ch->writable);
	event_active(ch->ended, EV_TIMEOUT, 0);
}

static void on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct ipc *ch = arg;

	(void)fd;
	(void)what;
	ch->in_callback = true;
	ch->on_end(ch->arg, ch, ch->error);
	ch->in_callback = false;
	if (ch->freed)
		release(ch);
}

/* Every descriptor that came is taken out, so that none leaks; only one is expected. */
static int first_fd(struct msghdr *m)
{
	int first = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= c->cmsg_len; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (first < 0)
				first = fd;
			else
				close(fd);
		}
	}
	return first;
}

/* Bytes received with *fd set, 0 at the end, or -errno. */
static ssize_t receive(int sock, void *buf, size_t size, int *fd)
{
	struct iovec iov = { buf, size };
	union {
		char room[CMSG_SPACE(sizeof(int) * 4)];
		struct cmsghdr align;
	} control;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(sock, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return -errno;
	*fd = first_fd(&m);
	if (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		fd_close(fd);
		return -EBADMSG;
	}
	return n;
}

/* False when the loop should stop: nothing more to read, or the channel ended or was freed. */
static bool read_one(struct ipc *ch)
{
	static uint8_t packet[IPC_PACKET_MAX];
	static _Alignas(16) uint8_t bodies[4][MSG_BODY_MAX]; /* callbacks may run a nested read */
	static unsigned depth;
	cleanup_close int fd = -1;
	enum msg_type type;
	void *body = bodies[depth % ARRAY_SIZE(bodies)];
	ssize_t n = receive(ch->fd, packet, sizeof(packet), &fd);

	if (n == -EAGAIN || n == -EINTR)
		return false;
	if (n <= 0) {
		end(ch, n == -ECONNRESET ? 0 : (int)n);
		return false;
	}
	if (ipc_decode(packet, (size_t)n, &type, body) < 0) {
		end(ch, -EBADMSG);
		return false;
	}
	depth++;
	ch->on_msg(ch->arg, ch, type, body, &fd);
	depth--;
	return !ch->freed && !ch->dead;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct ipc *ch = arg;

	(void)fd;
	(void)what;
	ch->in_callback = true;
	for (int i = 0; i < READS_PER_WAKEUP && read_one(ch); i++)
		;
	ch->in_callback = false;
	if (ch->freed)
		release(ch);
}

/* ---- sending ---- */

/* Sends from the queue until it is empty or the socket full; an error ends the channel. */
static int drain(struct ipc *ch)
{
	struct queued *q;

	while ((q = STAILQ_FIRST(&ch->queue))) {
		int r = transmit(ch->fd, q->packet, q->n, q->fd);

		if (r < 0)
			return r;
		STAILQ_REMOVE_HEAD(&ch->queue, next);
		ch->queued_bytes -= q->n;
		fd_close(&q->fd);
		free(q);
	}
	return 0;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct ipc *ch = arg;
	int r = drain(ch);

	(void)fd;
	(void)what;
	if (r == 0)
		event_del(ch->writable);
	else if (r != -EAGAIN)
		end(ch, r == -EPIPE || r == -ECONNRESET ? 0 : r);
}

static int enqueue(struct ipc *ch, const uint8_t *packet, size_t n, int fd)
{
	struct queued *q;

	if (ch->queued_bytes + n > IPC_QUEUE_MAX_BYTES) {
		end(ch, -ENOBUFS);
		return -EPIPE;
	}
	q = malloc(sizeof(*q) + n);
	if (!q) {
		end(ch, -ENOMEM);
		return -EPIPE;
	}
	q->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	q->n = n;
	memcpy(q->packet, packet, n);
	STAILQ_INSERT_TAIL(&ch->queue, q, next);
	ch->queued_bytes += n;
	event_add(ch->writable, NULL);
	return 0;
}

int ipc_send_fd(struct ipc *ch, enum msg_type type, const void *body, int fd)
{
	uint8_t packet[IPC_PACKET_MAX];
	ssize_t n;
	int r;

	if (ch->dead || ch->freed)
		return -EPIPE;
	n = ipc_encode(type, body, packet, sizeof(packet));
	if (n < 0)
		return (int)n;
	if (!STAILQ_EMPTY(&ch->queue))
		return enqueue(ch, packet, (size_t)n, fd);
	r = transmit(ch->fd, packet, (size_t)n, fd);
	if (r == -EAGAIN)
		return enqueue(ch, packet, (size_t)n, fd);
	if (r < 0) {
		/* What the peer said before it went is still to be read: reading finds the end. */
		return -EPIPE;
	}
	return 0;
}

int ipc_send(struct ipc *ch, enum msg_type type, const void *body) { return ipc_send_fd(ch, type, body, -1); }

void ipc_flush(struct ipc *ch, unsigned ms)
{
	uint64_t until = clock_now_ms() + ms;

	while (drain(ch) == -EAGAIN) {
		struct pollfd p = { .fd = ch->fd, .events = POLLOUT };
		uint64_t now = clock_now_ms();

		if (now >= until || poll(&p, 1, (int)(until - now)) <= 0)
			return;
	}
}

/* ---- life ---- */

struct ipc *ipc_new(struct event_base *base, int fd, ipc_msg_fn *on_msg, ipc_end_fn *on_end, void *arg)
{
	struct ipc *ch = calloc(1, sizeof(*ch));

	if (!ch) {
		close(fd);
		return NULL;
	}
	ch->fd = fd;
	ch->on_msg = on_msg;
	ch->on_end = on_end;
	ch->arg = arg;
	STAILQ_INIT(&ch->queue);
	evutil_make_socket_nonblocking(fd);
	ch->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, ch);
	ch->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable, ch);
	ch->ended = event_new(base, -1, 0, on_ended, ch);
	if (!ch->readable || !ch->writable || !ch->ended || event_add(ch->readable, NULL) < 0) {
		release(ch);
		return NULL;
	}
	return ch;
}

void ipc_free(struct ipc *ch)
{
	if (!ch)
		return;
	if (ch->in_callback) {
		ch->freed = true;
		event_del(ch->readable);
		event_del(ch->writable);
		event_del(ch->ended);
		return;
	}
	release(ch);
}
