/* Theory of operation
 *
 * A query is asked anew, not passed on: header, question and OPT are ours, nothing else of the
 * client's packet leaves.  Each try has a socket of its own, connected to one upstream: the kernel
 * then picks a random source port, drops what comes from anyone else, and reports an upstream that
 * is not there at once (ECONNREFUSED).  With a random id for each try an answer is hard to forge
 * (RFC 5452); it must also carry the same question.  Anything else is ignored, and after WRONG_MAX
 * such packets the try counts as failed.
 *
 *	try -> answer                     -> client
 *	    -> time-out, error, WRONG_MAX -> next upstream, TRIES times -> SERVFAIL
 *
 * The upstream that answered last is asked first, so that a dead one costs its time-out once.
 *
 * One socket per query is bounded by FORWARD_MAX, and by the share of one client.  Sockets shared
 * between queries were refused: fewer random bits to guess.
 */
#include "dns/forward.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "dns/answer.h"

enum { WRONG_MAX = 16, ANSWER_MAX = 4096 };

struct asked {
	TAILQ_ENTRY(asked) next;
	struct forward *f;
	struct client client;
	uint16_t client_id;
	unsigned upstream, tries, wrong;
	struct event *timer;
	/* UDP */
	int fd;
	struct event *readable;
	/* TCP */
	struct bufferevent *bev;
	uint16_t n;
	uint8_t query[WIRE_NORMAL_MAX]; /* with our id */
	struct wire_query q; /* of `query` */
};

TAILQ_HEAD(asked_queue, asked);

struct forward {
	struct event_base *base;
	forward_answer_fn *on_answer;
	void *arg;
	struct zone_forward upstreams[ZONE_FORWARDS_MAX];
	unsigned n_upstreams, first;
	struct asked_queue asked;
	unsigned n;
};

static void next_try(struct asked *a);

static void end_try(struct asked *a)
{
	if (a->readable)
		event_free(a->readable);
	a->readable = NULL;
	fd_close(&a->fd);
	if (a->bev)
		bufferevent_free(a->bev);
	a->bev = NULL;
}

static void forget(struct asked *a)
{
	end_try(a);
	TAILQ_REMOVE(&a->f->asked, a, next);
	a->f->n--;
	event_free(a->timer);
	free(a);
}

/* ---- answers ---- */

/* `packet` becomes the client's answer; a is gone afterwards. */
static void deliver(struct asked *a, uint8_t *packet, size_t n)
{
	struct forward *f = a->f;
	bool tcp = a->client.conn != 0;
	unsigned flags = wire_get16(packet + 2);

	wire_put16(packet, a->client_id);
	flags = (flags & ~(unsigned)FLAG_AA) | FLAG_RA; /* we are no authority for it */
	memcpy(packet + WIRE_HEADER, a->q.packet + WIRE_HEADER, a->q.question_n); /* the client's own case */
	if (n > wire_limit(&a->q, tcp)) {
		flags |= FLAG_TC;
		memset(packet + 6, 0, 6);
		n = WIRE_HEADER + (size_t)a->q.question_n;
	}
	wire_put16(packet + 2, flags);
	f->first = a->upstream % MAX(f->n_upstreams, 1u);
	f->on_answer(f->arg, &a->client, packet, n);
	forget(a);
}

static void give_up(struct asked *a)
{
	struct forward *f = a->f;
	uint8_t reply[ANSWER_SIZE_MAX];
	size_t n;

	a->q.id = a->client_id;
	n = answer_servfail(&a->q, a->client.conn != 0, true, TROUBLE_UPSTREAM, reply);
	f->on_answer(f->arg, &a->client, reply, n);
	forget(a);
}

static bool is_answer(const struct asked *a, const uint8_t *packet, size_t n)
{
	size_t question_n = a->q.question_n;
	const uint8_t *question = packet + WIRE_HEADER;
	uint8_t name[WIRE_NAME_MAX];

	if (n < WIRE_HEADER + question_n || wire_get16(packet) != wire_get16(a->query))
		return false;
	if ((wire_get16(packet + 2) & (FLAG_QR | FLAG_OPCODE)) != FLAG_QR || wire_get16(packet + 4) != 1)
		return false;
	wire_lower(name, question, a->q.name_n);
	return memcmp(name, a->q.name, a->q.name_n) == 0 &&
	       memcmp(question + a->q.name_n, a->q.packet + WIRE_HEADER + a->q.name_n, 4) == 0;
}

static void try_failed(struct asked *a, const char *why)
{
	const struct zone_forward *up = &a->f->upstreams[a->upstream % ZONE_FORWARDS_MAX];
	char text[ADDR_TEXT_MAX];

	log_limited(LOG_INFO, "upstream %s: %s", endpoint_format(&up->addr, up->port, text), why);
	next_try(a);
}

static void on_udp(evutil_socket_t fd, short what, void *arg)
{
	struct asked *a = arg;
	uint8_t packet[ANSWER_MAX];
	ssize_t n;

	(void)what;
	while ((n = recv(fd, packet, sizeof(packet), MSG_DONTWAIT)) >= 0) {
		if (is_answer(a, packet, (size_t)n)) {
			deliver(a, packet, (size_t)n);
			return;
		}
		if (++a->wrong >= WRONG_MAX) {
			try_failed(a, "wrong answers");
			return;
		}
	}
	if (errno != EAGAIN && errno != EINTR)
		try_failed(a, strerror(errno));
}

static void on_tcp(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	struct asked *a = arg;
	uint8_t head[2];
	uint8_t *packet;
	size_t n;

	if (evbuffer_copyout(in, head, 2) < 2)
		return;
	n = wire_get16(head);
	if (evbuffer_get_length(in) < 2 + n)
		return;
	packet = evbuffer_pullup(in, (ev_ssize_t)(2 + n));
	if (packet && is_answer(a, packet + 2, n))
		deliver(a, packet + 2, n);
	else
		try_failed(a, "a wrong answer");
}

static void on_tcp_event(struct bufferevent *bev, short what, void *arg)
{
	struct asked *a = arg;
	uint8_t head[2];

	if (what & BEV_EVENT_CONNECTED) {
		wire_put16(head, a->n);
		bufferevent_write(bev, head, sizeof(head));
		bufferevent_write(bev, a->query, a->n);
	} else {
		try_failed(a, "the connection failed");
	}
}

static void on_time_out(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	try_failed(arg, "no answer in time");
}

/* ---- asking ---- */

static int ask_udp(struct asked *a, const struct sockaddr_storage *to, socklen_t n)
{
	a->fd = socket(to->ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (a->fd < 0 || connect(a->fd, (const struct sockaddr *)to, n) < 0)
		return -errno;
	if (send(a->fd, a->query, a->n, MSG_NOSIGNAL) < 0)
		return -errno;
	a->readable = event_new(a->f->base, a->fd, EV_READ | EV_PERSIST, on_udp, a);
	return a->readable && event_add(a->readable, NULL) == 0 ? 0 : -ENOMEM;
}

static int ask_tcp(struct asked *a, const struct sockaddr_storage *to, socklen_t n)
{
	int fd = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	a->bev = bufferevent_socket_new(a->f->base, fd, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	if (!a->bev) {
		close(fd);
		return -ENOMEM;
	}
	bufferevent_setcb(a->bev, on_tcp, NULL, on_tcp_event, a);
	bufferevent_enable(a->bev, EV_READ | EV_WRITE);
	return bufferevent_socket_connect(a->bev, (const struct sockaddr *)to, (int)n) == 0 ? 0 : -EIO;
}

static int ask(struct asked *a)
{
	struct forward *f = a->f;
	const struct zone_forward *up = &f->upstreams[a->upstream];
	struct timeval tv = clock_timeval_ms(FORWARD_TRY_MS);
	struct sockaddr_storage to;
	socklen_t n = ip_to_sockaddr(&up->addr, up->port, &to);
	int r = getrandom(a->query, 2, 0) == 2 ? 0 : -EIO; /* the id */

	a->wrong = 0;
	if (r == 0)
		r = a->client.conn ? ask_tcp(a, &to, n) : ask_udp(a, &to, n);
	if (r == 0 && event_add(a->timer, &tv) < 0)
		r = -ENOMEM;
	if (r < 0)
		end_try(a);
	return r;
}

/* Asks the next upstream that can be asked at all; -errno when there is none left. */
static int ask_next(struct asked *a)
{
	struct forward *f = a->f;
	unsigned most = MIN(MAX(2u, f->n_upstreams), (unsigned)FORWARD_TRIES_MAX);
	int r = -EIO;

	end_try(a);
	while (r < 0 && f->n_upstreams > 0 && a->tries < most) {
		a->upstream = (f->first + a->tries++) % f->n_upstreams;
		r = ask(a);
	}
	return r;
}

static void next_try(struct asked *a)
{
	if (ask_next(a) < 0)
		give_up(a);
}

static bool is_same(const struct asked *a, const struct client *c, const struct wire_query *q)
{
	return a->client.port == c->port && a->client.conn == c->conn && a->client_id == q->id &&
	       a->q.question_n == q->question_n && ip_equal(&a->client.addr, &c->addr) &&
	       memcmp(a->q.packet + WIRE_HEADER, q->packet + WIRE_HEADER, q->question_n) == 0;
}

static int admit(const struct forward *f, const struct client *from, const struct wire_query *q)
{
	const struct asked *a;
	unsigned n = 0;

	TAILQ_FOREACH(a, &f->asked, next) {
		if (is_same(a, from, q))
			return -EALREADY;
		n += ip_equal(&a->client.addr, &from->addr);
	}
	if (f->n >= FORWARD_MAX)
		return -ENOSPC;
	return n >= FORWARD_MAX / FORWARD_SHARE ? -EDQUOT : 0;
}

/* What the upstream gets: the client's question and wishes, but never more room for an answer than
 * the client or a path without fragments has. */
static void compose(struct asked *a, const struct wire_query *q)
{
	struct wire_query ours = *q;

	ours.flags &= FLAG_RD | FLAG_AD | FLAG_CD;
	ours.edns_size = (uint16_t)wire_limit(q, false);
	a->n = (uint16_t)wire_normalise(&ours, false, a->query);
	wire_parse(a->query, a->n, &a->q);
}

int forward_query(struct forward *f, const struct client *from, const struct wire_query *q)
{
	int r = admit(f, from, q);
	struct asked *a;

	if (r < 0)
		return r;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->f = f;
	a->fd = -1;
	a->client = *from;
	a->client_id = q->id;
	a->timer = evtimer_new(f->base, on_time_out, a);
	if (!a->timer) {
		free(a);
		return -ENOMEM;
	}
	compose(a, q);
	TAILQ_INSERT_TAIL(&f->asked, a, next);
	f->n++;
	r = ask_next(a);
	if (r < 0)
		forget(a);
	return r;
}

void forward_forget(struct forward *f, uint64_t conn)
{
	struct asked *a = TAILQ_FIRST(&f->asked);

	while (a) {
		struct asked *next = TAILQ_NEXT(a, next);

		if (a->client.conn == conn)
			forget(a);
		a = next;
	}
}

void forward_set(struct forward *f, const struct zone_forward *upstreams, unsigned n)
{
	f->n_upstreams = MIN(n, (unsigned)ZONE_FORWARDS_MAX);
	memcpy(f->upstreams, upstreams, f->n_upstreams * sizeof(*upstreams));
	f->first = 0;
}

unsigned forward_count(const struct forward *f) { return f->n; }

struct forward *forward_new(struct event_base *base, forward_answer_fn *on_answer, void *arg)
{
	struct forward *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->base = base;
	f->on_answer = on_answer;
	f->arg = arg;
	TAILQ_INIT(&f->asked);
	return f;
}

void forward_free(struct forward *f)
{
	struct asked *a;

	if (!f)
		return;
	while ((a = TAILQ_FIRST(&f->asked)))
		forget(a);
	free(f);
}
