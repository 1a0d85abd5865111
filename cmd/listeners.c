#include "cmd/listeners.h"

#include <sys/queue.h>
#include <sys/socket.h>

enum { BACKLOG = 128, UDP_BUFFER_BYTES = 1024 * 1024 };

struct listener {
	TAILQ_ENTRY(listener) next;
	struct msg_listen what;
	unsigned n, wanted; /* sockets: that there are, and at the end of the list shall be */
	int fds[LISTEN_SHARERS_MAX];
};

struct listeners {
	TAILQ_HEAD(, listener) all;
};

struct listeners *listeners_new(void)
{
	struct listeners *l = calloc(1, sizeof(*l));

	if (l)
		TAILQ_INIT(&l->all);
	return l;
}

static void close_from(struct listener *h, unsigned from)
{
	while (h->n > from)
		close(h->fds[--h->n]);
}

static void remove_one(struct listeners *l, struct listener *h)
{
	TAILQ_REMOVE(&l->all, h, next);
	close_from(h, 0);
	free(h);
}

void listeners_free(struct listeners *l)
{
	struct listener *h;

	if (!l)
		return;
	while ((h = TAILQ_FIRST(&l->all)))
		remove_one(l, h);
	free(l);
}

/* ---- opening ---- */

static int set_options(int fd, const struct msg_listen *what)
{
	int on = 1, size = UDP_BUFFER_BYTES;
	bool v4 = ip_is_v4(&what->addr);

	/* Not for UDP: two servers that both set it would share the port, and neither would notice. */
	if ((what->proto != LISTEN_UDP && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0) ||
	    (!v4 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0))
		return -errno;
	if (what->proto == LISTEN_UDP) {
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
		/* the reply must leave from the address that was asked */
		if (setsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_PKTINFO : IPV6_RECVPKTINFO, &on,
			       sizeof(on)) < 0)
			return -errno;
	}
	return 0;
}

static int share_port(int fd)
{
	int on = 1;

	return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ? -errno : 0;
}

static int bind_socket(int fd, const struct msg_listen *what)
{
	struct sockaddr_storage sa;
	socklen_t n = ip_to_sockaddr(&what->addr, what->port, &sa);

	if (bind(fd, (void *)&sa, n) < 0 || (what->proto != LISTEN_UDP && listen(fd, BACKLOG) < 0))
		return -errno;
	return 0;
}

/* The bound socket, or -errno.  `first`: of those that share its port. */
static int open_socket(const struct msg_listen *what, bool first)
{
	int type = what->proto == LISTEN_UDP ? SOCK_DGRAM : SOCK_STREAM;
	cleanup_close int fd = socket(ip_is_v4(&what->addr) ? AF_INET : AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int done, r = fd < 0 ? -errno : set_options(fd, what);

	if (r == 0 && !first)
		r = share_port(fd);
	if (r == 0)
		r = bind_socket(fd, what);
	if (r < 0)
		return r;
	done = fd;
	fd = -1;
	return done;
}

static int say_why(const struct msg_listen *what, int r, struct err *e)
{
	bool udp = what->proto == LISTEN_UDP;
	char where[ADDR_TEXT_MAX];

	endpoint_format(&what->addr, what->port, where);
	if (r == -EADDRINUSE)
		return err_set(e, r,
			       "cannot listen on %s (%s): another program holds it; \"ss -lnp sport = :%u\" tells which",
			       where, udp ? "UDP" : "TCP", what->port);
	return err_set_errno(e, r, "cannot listen on %s (%s)", where, udp ? "UDP" : "TCP");
}

/* Sockets up to the n-th.  The first one is bound before it shares its port, so that whoever has the port,
 * also another jitsud, is noticed; and it is there before the others are, so that nobody comes between. */
static int open_up_to(struct listener *h, unsigned n, struct err *e)
{
	unsigned had = h->n;
	int r = 0;

	if (had > 0 && n > had)
		r = share_port(h->fds[0]);
	while (r == 0 && h->n < n) {
		int fd = open_socket(&h->what, h->n == 0);

		r = fd < 0 ? fd : 0;
		if (r == 0)
			h->fds[h->n++] = fd;
		if (r == 0 && h->n == 1 && n > 1)
			r = share_port(fd);
	}
	if (r == 0)
		return 0;
	close_from(h, had);
	return say_why(&h->what, r, e);
}

/* ---- the list ---- */

static struct listener *find(struct listeners *l, const struct msg_listen *what)
{
	struct listener *h;

	TAILQ_FOREACH(h, &l->all, next) {
		if (h->what.proto == what->proto && h->what.port == what->port && ip_equal(&h->what.addr, &what->addr))
			return h;
	}
	return NULL;
}

static struct listener *add(struct listeners *l, const struct msg_listen *what)
{
	struct listener *h = calloc(1, sizeof(*h));

	if (!h)
		abort();
	h->what = *what;
	TAILQ_INSERT_TAIL(&l->all, h, next);
	return h;
}

static void tell(struct listener *h, unsigned from, listener_fn *fn, void *arg)
{
	for (unsigned i = from; i < h->n; i++) {
		struct msg_listen m = h->what;

		m.sharers = 0;
		m.place = (uint16_t)i;
		fn(arg, &m, h->fds[i]);
	}
}

int listeners_want(struct listeners *l, const struct msg_listen *what, listener_fn *fn, void *arg, struct err *e)
{
	unsigned n = what->proto == LISTEN_UDP ? MAX(what->sharers, 1) : 1, had;
	struct listener *h;
	int r;

	if ((what->proto != LISTEN_UDP && what->proto != LISTEN_TCP && what->proto != LISTEN_METRICS) ||
	    n > LISTEN_SHARERS_MAX)
		return err_set(e, -EINVAL, "neither UDP nor TCP, or too many sockets");
	h = find(l, what);
	if (!h)
		h = add(l, what);
	had = h->n;
	r = open_up_to(h, n, e);
	if (r < 0 && had == 0) {
		remove_one(l, h);
		return r;
	}
	h->wanted = r < 0 ? had : n;
	tell(h, had, fn, arg);
	return r;
}

void listeners_sweep(struct listeners *l, listener_fn *closed, void *arg)
{
	struct listener *h, *h_next;

	for (h = TAILQ_FIRST(&l->all); h; h = h_next) {
		h_next = TAILQ_NEXT(h, next);
		if (h->n > h->wanted)
			closed(arg, &h->what, -1);
		close_from(h, h->wanted);
		h->wanted = 0;
		if (h->n == 0)
			remove_one(l, h);
	}
}

void listeners_each(const struct listeners *l, listener_fn *fn, void *arg)
{
	struct listener *h;

	TAILQ_FOREACH(h, &l->all, next)
		tell(h, 0, fn, arg);
}
