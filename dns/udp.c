/* Theory of operation
 *
 * A socket that became readable is drained in batches: one recvmmsg() for up to BATCH queries, one
 * sendmmsg() for those that could be answered at once.  After ROUNDS batches the loop gets a turn,
 * so that a flood of queries delays TCP and the launcher's messages by at most that much.
 *
 * Sockets are bound to wildcards as a rule, so the address a query was sent to is asked from the
 * kernel (IP_PKTINFO, IPV6_RECVPKTINFO) and the answer sent from there.  For IPv4 that is
 * ipi_spec_dst: a broadcast cannot be a source.
 *
 * Before udp_start() nothing is read: what came meanwhile waits in the kernel's buffer, which the
 * supervisor's copy of the socket keeps alive while this process is restarted.
 *
 * A blocking recvmmsg() in a thread of its own costs less CPU per query; it was refused for now,
 * since the tables would then need a lock or a copy per thread.
 */
#include "dns/udp.h"

#include <event2/event.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "dns/wire.h"

enum {
	BATCH = 32,
	ROUNDS = 8,
	QUERY_MAX = 4096, /* longer ones are cut by the kernel, and dropped */
	RECEIVE_BUFFER_BYTES = 1024 * 1024,
	CONTROL_MAX = CMSG_SPACE(sizeof(struct in6_pktinfo)),
};

struct udp_socket {
	struct udp *udp;
	int fd;
	bool v6;
	struct ip_addr addr;
	uint16_t port;
	uint16_t place;
	struct event *readable;
};

struct message {
	struct sockaddr_storage peer;
	struct iovec iov;
	union {
		char room[CONTROL_MAX];
		struct cmsghdr align;
	} control;
};

struct udp {
	struct event_base *base;
	client_query_fn *on_query;
	void *arg;
	bool started;
	unsigned n_sockets;
	struct udp_socket sockets[UDP_SOCKETS_MAX];
	/* one batch */
	struct mmsghdr in_head[BATCH], out_head[BATCH];
	struct message in[BATCH], out[BATCH];
	uint8_t query[BATCH][QUERY_MAX];
	uint8_t reply[BATCH][WIRE_UDP_MAX];
};

/* ---- addresses ---- */

/* The address the query was sent to; false when none can be told, or none can be a source. */
static bool take_pktinfo(struct msghdr *m, struct client *from)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;
			struct sockaddr_in in = { .sin_family = AF_INET };
			uint16_t port;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			in.sin_addr = info.ipi_spec_dst;
			ip_from_sockaddr((struct sockaddr *)&in, &from->local, &port);
			return true;
		}
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			memcpy(from->local.b, &info.ipi6_addr, sizeof(from->local.b));
			return !IN6_IS_ADDR_MULTICAST(&info.ipi6_addr);
		}
	}
	return false;
}

static bool take_client(const struct udp_socket *s, struct msghdr *m, uint64_t now_ns, struct client *from)
{
	const struct sockaddr_in6 *in6 = m->msg_name;

	*from = (struct client){ .socket = s->place, .t_ns = now_ns };
	ip_from_sockaddr(m->msg_name, &from->addr, &from->port);
	if (s->v6)
		from->scope = in6->sin6_scope_id;
	return from->port != 0 && take_pktinfo(m, from);
}

static void put_control(struct msghdr *m, struct message *msg, bool v6, const struct client *to)
{
	struct cmsghdr *c = &msg->control.align;

	m->msg_control = &msg->control;
	if (v6) {
		struct in6_pktinfo info = { .ipi6_ifindex = to->scope };

		memcpy(&info.ipi6_addr, to->local.b, sizeof(info.ipi6_addr));
		*c = (struct cmsghdr){ CMSG_LEN(sizeof(info)), IPPROTO_IPV6, IPV6_PKTINFO };
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		m->msg_controllen = CMSG_SPACE(sizeof(info));
	} else {
		struct in_pktinfo info = { 0 };

		memcpy(&info.ipi_spec_dst, to->local.b + 12, sizeof(info.ipi_spec_dst));
		*c = (struct cmsghdr){ CMSG_LEN(sizeof(info)), IPPROTO_IP, IP_PKTINFO };
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		m->msg_controllen = CMSG_SPACE(sizeof(info));
	}
}

static void put_message(struct msghdr *m, struct message *msg, bool v6, const struct client *to,
			const uint8_t *packet, size_t n)
{
	memset(m, 0, sizeof(*m));
	m->msg_name = &msg->peer;
	m->msg_namelen = ip_to_sockaddr(&to->addr, to->port, &msg->peer);
	if (v6)
		((struct sockaddr_in6 *)&msg->peer)->sin6_scope_id = to->scope;
	msg->iov = (struct iovec){ (void *)packet, n };
	m->msg_iov = &msg->iov;
	m->msg_iovlen = 1;
	put_control(m, msg, v6, to);
}

/* ---- a batch ---- */

static void prepare(struct udp *u)
{
	for (unsigned i = 0; i < BATCH; i++) {
		struct message *msg = &u->in[i];

		msg->iov = (struct iovec){ u->query[i], QUERY_MAX };
		u->in_head[i].msg_hdr = (struct msghdr){
			.msg_name = &msg->peer,
			.msg_namelen = sizeof(msg->peer),
			.msg_iov = &msg->iov,
			.msg_iovlen = 1,
			.msg_control = &msg->control,
			.msg_controllen = sizeof(msg->control),
		};
	}
}

/* What the kernel does not take now is lost, as anything may be over UDP: the client asks again.
 * One bad destination must not take the rest with it. */
static void send_batch(struct udp_socket *s, unsigned n)
{
	struct mmsghdr *m = s->udp->out_head;

	while (n > 0) {
		int sent = sendmmsg(s->fd, m, n, MSG_DONTWAIT);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN)
			return;
		if (sent < 0)
			sent = 1;
		m += sent;
		n -= (unsigned)sent;
	}
}

static unsigned answer_batch(struct udp_socket *s, unsigned n)
{
	struct udp *u = s->udp;
	uint64_t now_ns = clock_now_ns();
	unsigned n_out = 0;

	for (unsigned i = 0; i < n; i++) {
		struct msghdr *m = &u->in_head[i].msg_hdr;
		uint8_t *reply = u->reply[n_out];
		struct client from;
		bool waits = false;
		size_t reply_n;

		if (m->msg_flags & MSG_TRUNC || !take_client(s, m, now_ns, &from))
			continue;
		reply_n = u->on_query(u->arg, &from, u->query[i], u->in_head[i].msg_len, reply, &waits);
		if (reply_n > 0) {
			put_message(&u->out_head[n_out].msg_hdr, &u->out[n_out], s->v6, &from, reply, reply_n);
			n_out++;
		}
	}
	return n_out;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct udp_socket *s = arg;
	int n = BATCH;

	(void)what;
	for (unsigned round = 0; round < ROUNDS && n == BATCH; round++) {
		prepare(s->udp);
		n = recvmmsg(fd, s->udp->in_head, BATCH, MSG_DONTWAIT, NULL);
		if (n > 0)
			send_batch(s, answer_batch(s, (unsigned)n));
	}
}

/* ---- sockets ---- */

static int prepare_socket(int fd, bool v6)
{
	int on = 1, size = RECEIVE_BUFFER_BYTES;

	evutil_make_socket_nonblocking(fd);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)); /* as much as the host allows */
	if (v6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on))
	       : setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)))
		return -errno;
	return 0;
}

static struct udp_socket *socket_for(struct udp *u, const struct ip_addr *addr, uint16_t port)
{
	struct udp_socket *s;

	for (unsigned i = 0; i < u->n_sockets; i++) {
		s = &u->sockets[i];
		if (s->port == port && ip_equal(&s->addr, addr))
			return s;
	}
	if (u->n_sockets == UDP_SOCKETS_MAX)
		return NULL;
	s = &u->sockets[u->n_sockets];
	*s = (struct udp_socket){
		.udp = u,
		.fd = -1,
		.v6 = !ip_is_v4(addr),
		.addr = *addr,
		.port = port,
		.place = (uint16_t)u->n_sockets,
	};
	u->n_sockets++;
	return s;
}

static void close_socket(struct udp_socket *s)
{
	if (s->readable)
		event_free(s->readable);
	s->readable = NULL;
	fd_close(&s->fd);
}

int udp_add(struct udp *u, int fd, const struct ip_addr *addr, uint16_t port)
{
	cleanup_close int taken = fd;
	struct udp_socket *s = socket_for(u, addr, port);
	int r;

	if (!s)
		return -ENOSPC;
	r = prepare_socket(fd, s->v6);
	if (r < 0)
		return r;
	close_socket(s);
	s->readable = event_new(u->base, fd, EV_READ | EV_PERSIST, on_readable, s);
	if (!s->readable)
		return -ENOMEM;
	s->fd = fd;
	taken = -1;
	if (u->started)
		event_add(s->readable, NULL);
	return 0;
}

void udp_start(struct udp *u)
{
	if (u->started)
		return;
	u->started = true;
	for (unsigned i = 0; i < u->n_sockets; i++)
		if (u->sockets[i].readable)
			event_add(u->sockets[i].readable, NULL);
}

void udp_reply(struct udp *u, const struct client *to, const uint8_t *packet, size_t n)
{
	const struct udp_socket *s = &u->sockets[to->socket];
	struct message msg;
	struct msghdr m;

	if (to->socket >= u->n_sockets || s->fd < 0)
		return;
	put_message(&m, &msg, s->v6, to, packet, n);
	if (sendmsg(s->fd, &m, MSG_DONTWAIT) < 0) {
		char text[ADDR_TEXT_MAX];

		log_limited(LOG_DEBUG, "cannot answer %s: %s", endpoint_format(&to->addr, to->port, text),
			    strerror(errno));
	}
}

struct udp *udp_new(struct event_base *base, client_query_fn *on_query, void *arg)
{
	struct udp *u = calloc(1, sizeof(*u));

	if (u) {
		u->base = base;
		u->on_query = on_query;
		u->arg = arg;
	}
	return u;
}

void udp_free(struct udp *u)
{
	if (!u)
		return;
	for (unsigned i = 0; i < u->n_sockets; i++)
		close_socket(&u->sockets[i]);
	free(u);
}
