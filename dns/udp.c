/* Theory of operation
 *
 * The supervisor opens each address as often as there shall be workers (SO_REUSEPORT): the kernel
 * spreads clients over these sockets, so that each worker has its own, and no lock is shared.
 *
 * Sockets are bound to wildcards as a rule, so the address a query was sent to is asked from the
 * kernel (IP_PKTINFO, IPV6_RECVPKTINFO) and the answer sent from there.
 *
 * Before the first view is published nothing is read: what came meanwhile waits in the kernel's buffer,
 * which the supervisor's copy of the socket keeps alive while this process is restarted.
 *
 * What workers pass on comes through a queue for each, and one bell for all.  At each turn of the loop
 * at most TURN queries of each are taken, so that a flood of them delays TCP and the launcher's
 * messages by at most that much; what a full queue does not take is lost and counted.
 */
#include "dns/udp.h"

#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/log.h"
#include "dns/wire.h"
#include "dns/worker.h"

enum {
	TURN = 64,
	BUFFER_BYTES = 1024 * 1024,
};

struct udp_socket {
	int fd;
	bool v6, any;
	struct ip_addr addr;
	uint16_t port, place;
	struct worker *worker;
	struct queue *queue;
	struct counts *counts; /* of all its workers */
};

struct udp {
	struct views views;
	struct event_base *base;
	client_query_fn *on_query;
	void *arg;
	struct event *heard;
	struct bell bell;
	unsigned n_sockets;
	bool started;
	struct udp_socket sockets[UDP_SOCKETS_MAX];
	uint8_t packet[QUEUE_PACKET_MAX];
	uint8_t reply[WIRE_UDP_MAX];
};

/* ---- what workers pass on ---- */

static void take_query(struct udp *u, const struct client *from, size_t n)
{
	bool waits = false;
	size_t reply_n = u->on_query(u->arg, from, u->packet, n, u->reply, &waits);

	if (reply_n > 0)
		udp_reply(u, from, u->reply, reply_n);
}

/* Whether there may be more. */
static bool take_queue(struct udp *u, struct queue *q)
{
	struct client from;
	size_t n;

	for (unsigned i = 0; i < TURN; i++) {
		if (!queue_get(q, &from, u->packet, &n))
			return false;
		take_query(u, &from, n);
	}
	return true;
}

static void on_heard(evutil_socket_t fd, short what, void *arg)
{
	struct udp *u = arg;
	bool more = false;

	(void)fd;
	(void)what;
	bell_heard(&u->bell);
	for (unsigned i = 0; i < u->n_sockets; i++)
		more |= u->sockets[i].queue && take_queue(u, u->sockets[i].queue);
	if (more)
		bell_ring(&u->bell);
}

/* ---- sockets ---- */

static int set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int prepare_socket(int fd, const struct udp_socket *s)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return -errno;
	set_option(fd, SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES); /* as much as the host allows */
	set_option(fd, SOL_SOCKET, SO_SNDBUF, BUFFER_BYTES);
	return s->v6 ? set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, s->any)
		     : set_option(fd, IPPROTO_IP, IP_PKTINFO, s->any);
}

static bool is_wildcard(const struct ip_addr *a)
{
	static const struct ip_addr any4 = { { [10] = 0xff, [11] = 0xff } };

	return ip_is_zero(a) || ip_equal(a, &any4);
}

static struct udp_socket *socket_for(struct udp *u, const struct ip_addr *addr, uint16_t port, uint16_t place)
{
	struct udp_socket *s;

	for (unsigned i = 0; i < u->n_sockets; i++) {
		s = &u->sockets[i];
		if (s->port == port && s->place == place && ip_equal(&s->addr, addr))
			return s;
	}
	if (u->n_sockets == UDP_SOCKETS_MAX)
		return NULL;
	s = &u->sockets[u->n_sockets];
	*s = (struct udp_socket){
		.fd = -1,
		.v6 = !ip_is_v4(addr),
		.any = is_wildcard(addr),
		.addr = *addr,
		.port = port,
		.place = place,
	};
	u->n_sockets++;
	return s;
}

static int start_worker(struct udp *u, struct udp_socket *s)
{
	struct worker_conf conf = { .fd = s->fd, .v6 = s->v6, .any = s->any, .place = (uint16_t)(s - u->sockets),
				    .views = &u->views, .bell = &u->bell };

	if (!s->queue)
		s->queue = queue_new();
	if (!s->counts)
		s->counts = counts_new();
	if (!s->queue || !s->counts)
		return -ENOMEM;
	conf.queue = s->queue;
	conf.counts = s->counts;
	s->worker = worker_new(&conf);
	return s->worker ? 0 : -errno;
}

static void close_socket(struct udp_socket *s)
{
	worker_free(s->worker);
	s->worker = NULL;
	fd_close(&s->fd);
}

int udp_add(struct udp *u, int fd, const struct ip_addr *addr, uint16_t port, uint16_t place)
{
	cleanup_close int taken = fd;
	struct udp_socket *s = socket_for(u, addr, port, place);
	int r;

	if (!s)
		return -ENOSPC;
	r = prepare_socket(fd, s);
	if (r < 0)
		return r;
	close_socket(s);
	s->fd = fd;
	taken = -1;
	return u->started ? start_worker(u, s) : 0;
}

static void start(struct udp *u)
{
	u->started = true;
	for (unsigned i = 0; i < u->n_sockets; i++) {
		struct udp_socket *s = &u->sockets[i];
		char text[ADDR_TEXT_MAX];
		int r = s->fd >= 0 ? start_worker(u, s) : 0;

		if (r < 0)
			log_fatal("no thread to serve %s: %s", endpoint_format(&s->addr, s->port, text), strerror(-r));
	}
}

void udp_publish(struct udp *u, const struct view *view)
{
	views_publish(&u->views, view);
	if (!u->started)
		start(u);
}

void udp_settle(struct udp *u) { views_settle(&u->views); }

/* ---- answers that had to wait ---- */

static void put_source(struct msghdr *m, struct cmsghdr *c, bool v6, const struct client *to)
{
	m->msg_control = c;
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

void udp_reply(struct udp *u, const struct client *to, const uint8_t *packet, size_t n)
{
	const struct udp_socket *s = &u->sockets[to->socket];
	struct sockaddr_storage peer;
	struct iovec iov = { (void *)packet, n };
	struct msghdr m = { .msg_name = &peer, .msg_iov = &iov, .msg_iovlen = 1 };
	union {
		char room[CMSG_SPACE(sizeof(struct in6_pktinfo))];
		struct cmsghdr align;
	} control;

	if (to->socket >= u->n_sockets || s->fd < 0)
		return;
	m.msg_namelen = ip_to_sockaddr(&to->addr, to->port, &peer);
	if (s->v6)
		((struct sockaddr_in6 *)&peer)->sin6_scope_id = to->scope;
	if (s->any)
		put_source(&m, &control.align, s->v6, to);
	if (sendmsg(s->fd, &m, MSG_DONTWAIT) < 0) {
		char text[ADDR_TEXT_MAX];

		log_limited(LOG_DEBUG, "cannot answer %s: %s", endpoint_format(&to->addr, to->port, text),
			    strerror(errno));
	}
}

/* ---- life ---- */

void udp_count(const struct udp *u, struct msg_dns_counts *m)
{
	for (unsigned i = 0; i < u->n_sockets; i++) {
		if (u->sockets[i].counts)
			counts_add(u->sockets[i].counts, m);
		m->workers += u->sockets[i].worker != NULL;
	}
}

struct udp *udp_new(struct event_base *base, client_query_fn *on_query, void *arg)
{
	struct udp *u = aligned_alloc(_Alignof(struct udp), sizeof(*u));

	if (!u)
		return NULL;
	memset((void *)u, 0, sizeof(*u));
	u->base = base;
	u->on_query = on_query;
	u->arg = arg;
	if (bell_open(&u->bell) == 0)
		u->heard = event_new(base, u->bell.fd, EV_READ | EV_PERSIST, on_heard, u);
	if (!u->heard || event_add(u->heard, NULL) < 0) {
		udp_free(u);
		return NULL;
	}
	worker_init();
	return u;
}

void udp_free(struct udp *u)
{
	if (!u)
		return;
	for (unsigned i = 0; i < u->n_sockets; i++) {
		close_socket(&u->sockets[i]);
		queue_free(u->sockets[i].queue);
		free(u->sockets[i].counts);
	}
	if (u->heard)
		event_free(u->heard);
	bell_close(&u->bell);
	free(u);
}
