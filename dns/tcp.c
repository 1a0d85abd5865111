/* Theory of operation
 *
 * A connection reads whole messages and hands each to on_query(), which answers at once or later
 * (tcp_reply(), by the connection's number; numbers are never used again, so an answer cannot
 * reach the wrong client).
 *
 *	accept -> reading <-> full (TCP_WAITING_MAX unanswered, or OUTPUT_MAX unsent: what comes
 *	             |		stays in the input buffer, and when that is full, in the kernel)
 *	      client's FIN -> finishing: answers what waits, then closes
 *
 * A connection ends when: the client is done and everything is answered; no query came for
 * TCP_IDLE_MS while nothing waits (a client that sends a byte now and then does not count as
 * active: only a whole query does); what was sent is not read for WRITE_MS; a message is longer than any query
 * we would answer; or another client needs the place and this one is idle.
 *
 * An answer of several messages (a zone) is given piece by piece: tcp_part(), as long as tcp_unsent() is small,
 * then tcp_reply().  Each time that all has been sent while a query waits, on_room() is called: also before its
 * first part, which other answers may have left no room for.
 *
 * Memory, for each client: QUERY_MAX of input; OUTPUT_MAX of output, the one answer (at most 64 KiB) with
 * which it was reached, and those to the TCP_WAITING_MAX queries that were taken before.  (Of a zone, what
 * whoever makes it gives at once: transfer.h.)
 */
#include "dns/tcp.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "dns/answer.h"

enum {
	QUERY_MAX = 4096,
	OUTPUT_MAX = 64 * 1024,
	WRITE_MS = 10000,
	ACCEPTS_PER_WAKEUP = 16,
	PAUSE_MS = 100, /* without descriptors: until the next try to accept */
};

struct tcp_listener {
	struct tcp *tcp;
	int fd;
	struct ip_addr addr;
	uint16_t port;
	struct event *readable;
};

struct connection {
	TAILQ_ENTRY(connection) next;
	struct tcp *tcp;
	struct bufferevent *bev;
	struct event *idle;
	struct client client;
	unsigned waiting; /* queries to be answered by tcp_reply() */
	bool doomed; /* tcp_close() */
	bool finishing;
};

TAILQ_HEAD(connection_queue, connection);

struct tcp {
	struct event_base *base;
	client_query_fn *on_query;
	tcp_gone_fn *on_gone;
	tcp_room_fn *on_room; /* or NULL */
	void *arg;
	bool started;
	uint32_t max, n;
	unsigned idle_ms;
	uint64_t last_conn;
	unsigned n_listeners;
	struct tcp_listener listeners[TCP_SOCKETS_MAX];
	struct event *unpause;
	struct connection_queue by_use; /* least recently used first */
};

/* ---- a connection ---- */

static void close_connection(struct connection *c)
{
	struct tcp *t = c->tcp;

	TAILQ_REMOVE(&t->by_use, c, next);
	t->n--;
	bufferevent_free(c->bev);
	event_free(c->idle);
	if (c->waiting > 0)
		t->on_gone(t->arg, c->client.conn);
	free(c);
}

static struct connection *find_connection(const struct tcp *t, uint64_t conn)
{
	struct connection *c;

	TAILQ_FOREACH(c, &t->by_use, next)
		if (c->client.conn == conn)
			return c;
	return NULL;
}

static size_t unsent(const struct connection *c)
{
	return evbuffer_get_length(bufferevent_get_output(c->bev));
}

static bool is_full(const struct connection *c)
{
	return c->waiting >= TCP_WAITING_MAX || unsent(c) > OUTPUT_MAX;
}

/* It has just been of use: the last to make room for another, and its idle time begins anew. */
static void used(struct connection *c)
{
	struct timeval tv = clock_timeval_ms(c->tcp->idle_ms);

	TAILQ_REMOVE(&c->tcp->by_use, c, next);
	TAILQ_INSERT_TAIL(&c->tcp->by_use, c, next);
	if (!c->doomed)
		event_add(c->idle, &tv);
}

/* After anything happened: may free it. */
static void settle(struct connection *c)
{
	if (c->finishing && c->waiting == 0 && unsent(c) == 0)
		close_connection(c);
}

static void send_message(struct connection *c, const uint8_t *packet, size_t n)
{
	uint8_t head[2];

	wire_put16(head, (unsigned)n);
	bufferevent_write(c->bev, head, sizeof(head));
	bufferevent_write(c->bev, packet, n);
}

static void take_query(struct connection *c, const uint8_t *packet, size_t n)
{
	uint8_t reply[ANSWER_SIZE_MAX];
	struct client from = c->client;
	bool waits = false;
	size_t reply_n;

	from.t_ns = clock_now_ns();
	used(c);
	reply_n = c->tcp->on_query(c->tcp->arg, &from, packet, n, reply, &waits);
	if (reply_n > 0)
		send_message(c, reply, reply_n);
	else if (waits)
		c->waiting++;
}

/* 1: a whole message was taken; 0: none is there yet; -EMSGSIZE: no query is that long, or empty. */
static int read_query(struct connection *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	uint8_t message[2 + QUERY_MAX];
	size_t n;

	if (evbuffer_copyout(in, message, 2) < 2)
		return 0;
	n = wire_get16(message);
	if (n == 0 || n > QUERY_MAX)
		return -EMSGSIZE;
	if (evbuffer_get_length(in) < 2 + n)
		return 0;
	evbuffer_remove(in, message, 2 + n);
	take_query(c, message + 2, n);
	return 1;
}

static void read_queries(struct connection *c)
{
	int r = 1;

	while (r == 1 && !is_full(c))
		r = read_query(c);
	if (r < 0)
		close_connection(c);
	else
		settle(c);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	(void)bev;
	read_queries(arg);
}

/* Everything was sent: there is room again. */
static void on_written(struct bufferevent *bev, void *arg)
{
	struct connection *c = arg;

	(void)bev;
	if (c->waiting > 0 && c->tcp->on_room)
		c->tcp->on_room(c->tcp->arg, c->client.conn);
	read_queries(c);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct connection *c = arg;

	(void)bev;
	if (!(what & BEV_EVENT_EOF)) {
		close_connection(c);
		return;
	}
	/* The client may have sent its last query and wait for the answers (RFC 7766, 6.2.4).  What
	 * it had sent is in the buffer, and has been read as far as there was room. */
	c->finishing = true;
	settle(c);
}

static void on_idle(evutil_socket_t fd, short what, void *arg)
{
	struct connection *c = arg;

	(void)fd;
	(void)what;
	if (c->doomed || (c->waiting == 0 && unsent(c) == 0))
		close_connection(c);
	else
		used(c);
}

/* Only writes: what follows from it (there is room again, the last answer was sent) is done when
 * it has been sent, so that callers may walk over their tables meanwhile. */
void tcp_reply(struct tcp *t, const struct client *to, const uint8_t *packet, size_t n)
{
	struct connection *c = find_connection(t, to->conn);

	if (!c || c->waiting == 0)
		return;
	send_message(c, packet, n);
	c->waiting--;
	used(c);
}

void tcp_part(struct tcp *t, const struct client *to, const uint8_t *packet, size_t n)
{
	struct connection *c = find_connection(t, to->conn);

	if (!c || c->waiting == 0)
		return;
	send_message(c, packet, n);
	used(c);
}

size_t tcp_unsent(const struct tcp *t, uint64_t conn)
{
	const struct connection *c = find_connection(t, conn);

	return c ? unsent(c) : SIZE_MAX;
}

void tcp_close(struct tcp *t, uint64_t conn)
{
	struct connection *c = find_connection(t, conn);
	struct timeval now = { 0, 0 };

	if (!c)
		return;
	c->doomed = true;
	event_add(c->idle, &now);
}

void tcp_on_room(struct tcp *t, tcp_room_fn *on_room) { t->on_room = on_room; }

/* ---- accepting ---- */

static bool same_site(const struct ip_addr *a, const struct ip_addr *b)
{
	return ip_is_v4(a) ? ip_equal(a, b) : memcmp(a->b, b->b, 8) == 0;
}

static unsigned count_of(const struct tcp *t, const struct ip_addr *addr)
{
	struct connection *c;
	unsigned n = 0;

	TAILQ_FOREACH(c, &t->by_use, next)
		n += same_site(&c->client.addr, addr);
	return n;
}

static bool make_room(struct tcp *t)
{
	struct connection *c;

	if (t->n < t->max)
		return true;
	TAILQ_FOREACH(c, &t->by_use, next) {
		if (c->waiting == 0 && unsent(c) == 0) {
			close_connection(c);
			return true;
		}
	}
	return false;
}

static bool may_come(struct tcp *t, const struct ip_addr *addr)
{
	char text[ADDR_TEXT_MAX];

	if (count_of(t, addr) >= MAX(2u, t->max / 4)) {
		log_limited(LOG_INFO, "too many TCP connections from %s", ip_format(addr, text));
		return false;
	}
	if (!make_room(t)) {
		log_limited(LOG_INFO, "too many TCP clients, %s is sent away", ip_format(addr, text));
		return false;
	}
	return true;
}

static struct connection *new_connection(struct tcp *t, int fd, const struct client *client)
{
	struct connection *c = calloc(1, sizeof(*c));
	struct timeval tv = clock_timeval_ms(t->idle_ms);
	struct timeval write_tv = clock_timeval_ms(WRITE_MS);
	int on = 1;

	if (!c)
		return NULL;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* answers go out one by one */
	c->tcp = t;
	c->client = *client;
	c->idle = evtimer_new(t->base, on_idle, c);
	c->bev = bufferevent_socket_new(t->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!c->idle || !c->bev) {
		if (c->idle)
			event_free(c->idle);
		free(c);
		return NULL;
	}
	bufferevent_setcb(c->bev, on_read, on_written, on_event, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, 2 + QUERY_MAX);
	bufferevent_set_timeouts(c->bev, NULL, &write_tv);
	event_add(c->idle, &tv);
	return c;
}

/* Takes fd. */
static void welcome(struct tcp *t, int fd, const struct sockaddr *peer)
{
	struct client client = { .conn = t->last_conn + 1 };
	cleanup_close int taken = fd;
	struct connection *c;

	ip_from_sockaddr(peer, &client.addr, &client.port);
	if (!may_come(t, &client.addr))
		return;
	c = new_connection(t, fd, &client);
	if (!c)
		return;
	taken = -1;
	t->last_conn++;
	t->n++;
	TAILQ_INSERT_TAIL(&t->by_use, c, next);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

static void listen_all(struct tcp *t, bool on)
{
	for (unsigned i = 0; i < t->n_listeners; i++) {
		if (!t->listeners[i].readable)
			continue;
		if (on)
			event_add(t->listeners[i].readable, NULL);
		else
			event_del(t->listeners[i].readable);
	}
}

static void on_unpause(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	listen_all(arg, true);
}

/* Descriptors or memory ran out: the listening socket stays readable, and would spin the loop. */
static void pause_accepting(struct tcp *t)
{
	struct timeval tv = clock_timeval_ms(PAUSE_MS);

	log_limited(LOG_WARN, "cannot accept a TCP client: %s", strerror(errno));
	listen_all(t, false);
	event_add(t->unpause, &tv);
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct tcp_listener *l = arg;

	(void)what;
	for (int i = 0; i < ACCEPTS_PER_WAKEUP; i++) {
		struct sockaddr_storage peer;
		socklen_t n = sizeof(peer);
		int client = accept4(fd, (struct sockaddr *)&peer, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (client >= 0) {
			welcome(l->tcp, client, (struct sockaddr *)&peer);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			pause_accepting(l->tcp);
			return;
		} else if (errno == EAGAIN) {
			return;
		}
	}
}

/* ---- sockets ---- */

static struct tcp_listener *listener_for(struct tcp *t, const struct ip_addr *addr, uint16_t port)
{
	struct tcp_listener *l;

	for (unsigned i = 0; i < t->n_listeners; i++) {
		l = &t->listeners[i];
		if (l->port == port && ip_equal(&l->addr, addr))
			return l;
	}
	if (t->n_listeners == TCP_SOCKETS_MAX)
		return NULL;
	l = &t->listeners[t->n_listeners++];
	*l = (struct tcp_listener){ .tcp = t, .fd = -1, .addr = *addr, .port = port };
	return l;
}

static void close_listener(struct tcp_listener *l)
{
	if (l->readable)
		event_free(l->readable);
	l->readable = NULL;
	fd_close(&l->fd);
}

int tcp_add(struct tcp *t, int fd, const struct ip_addr *addr, uint16_t port)
{
	struct tcp_listener *l = listener_for(t, addr, port);
	cleanup_close int taken = fd;

	if (!l)
		return -ENOSPC;
	evutil_make_socket_nonblocking(fd);
	close_listener(l);
	l->readable = event_new(t->base, fd, EV_READ | EV_PERSIST, on_acceptable, l);
	if (!l->readable)
		return -ENOMEM;
	l->fd = fd;
	taken = -1;
	if (t->started)
		event_add(l->readable, NULL);
	return 0;
}

void tcp_start(struct tcp *t)
{
	if (t->started)
		return;
	t->started = true;
	listen_all(t, true);
}

void tcp_set_max(struct tcp *t, uint32_t max) { t->max = MAX(1u, MIN(max, (uint32_t)TCP_CLIENTS_MAX)); }

unsigned tcp_count(const struct tcp *t) { return t->n; }

struct tcp *tcp_new(struct event_base *base, unsigned idle_ms, client_query_fn *on_query, tcp_gone_fn *on_gone,
		    void *arg)
{
	struct tcp *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->base = base;
	t->on_query = on_query;
	t->on_gone = on_gone;
	t->arg = arg;
	t->max = 1;
	t->idle_ms = idle_ms;
	TAILQ_INIT(&t->by_use);
	t->unpause = evtimer_new(base, on_unpause, t);
	if (!t->unpause) {
		free(t);
		return NULL;
	}
	return t;
}

void tcp_free(struct tcp *t)
{
	struct connection *c;

	if (!t)
		return;
	while ((c = TAILQ_FIRST(&t->by_use))) {
		c->waiting = 0;
		close_connection(c);
	}
	for (unsigned i = 0; i < t->n_listeners; i++)
		close_listener(&t->listeners[i]);
	event_free(t->unpause);
	free(t);
}
