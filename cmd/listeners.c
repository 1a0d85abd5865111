#include "cmd/listeners.h"

#include <sys/queue.h>
#include <sys/socket.h>

enum { BACKLOG = 128, UDP_BUFFER_BYTES = 1024 * 1024 };

struct listener {
	TAILQ_ENTRY(listener) next;
	struct msg_listen what;
	int fd;
	bool wanted;
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

static void remove_one(struct listeners *l, struct listener *h)
{
	TAILQ_REMOVE(&l->all, h, next);
	close(h->fd);
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
	if ((what->proto == LISTEN_TCP && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0) ||
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

/* The bound socket, or -errno with a sentence. */
static int open_listener(const struct msg_listen *what, struct err *e)
{
	struct sockaddr_storage sa;
	socklen_t n = ip_to_sockaddr(&what->addr, what->port, &sa);
	bool udp = what->proto == LISTEN_UDP;
	cleanup_close int fd = socket(sa.ss_family, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char where[ADDR_TEXT_MAX];
	int done, r = fd < 0 ? -errno : set_options(fd, what);

	if (r == 0 && (bind(fd, (void *)&sa, n) < 0 || (!udp && listen(fd, BACKLOG) < 0)))
		r = -errno;
	endpoint_format(&what->addr, what->port, where);
	if (r == -EADDRINUSE)
		return err_set(e, r,
			       "cannot listen on %s (%s): another program holds it; \"ss -lnp sport = :%u\" tells which",
			       where, udp ? "UDP" : "TCP", what->port);
	if (r < 0)
		return err_set_errno(e, r, "cannot listen on %s (%s)", where, udp ? "UDP" : "TCP");
	done = fd;
	fd = -1;
	return done;
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

int listeners_want(struct listeners *l, const struct msg_listen *what, int *fd, struct err *e)
{
	struct listener *h = find(l, what);
	int opened;

	if (h) {
		h->wanted = true;
		return 0;
	}
	if (what->proto != LISTEN_UDP && what->proto != LISTEN_TCP)
		return err_set(e, -EINVAL, "neither UDP nor TCP");
	opened = open_listener(what, e);
	if (opened < 0)
		return opened;
	h = calloc(1, sizeof(*h));
	if (!h)
		abort();
	*h = (struct listener){ .what = *what, .fd = opened, .wanted = true };
	TAILQ_INSERT_TAIL(&l->all, h, next);
	*fd = opened;
	return 1;
}

bool listeners_sweep(struct listeners *l)
{
	struct listener *h, *h_next;
	bool closed = false;

	for (h = TAILQ_FIRST(&l->all); h; h = h_next) {
		h_next = TAILQ_NEXT(h, next);
		if (h->wanted) {
			h->wanted = false;
			continue;
		}
		remove_one(l, h);
		closed = true;
	}
	return closed;
}

void listeners_each(const struct listeners *l, listener_fn *fn, void *arg)
{
	const struct listener *h;

	TAILQ_FOREACH(h, &l->all, next)
		fn(arg, &h->what, h->fd);
}
