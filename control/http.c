/* The HTTP server of metrics.
 *
 *     client --GET /metrics--> evhttp --> waiting ---one MSG_METRICS_ASK---> launcher
 *     client <----the text---- all that wait <--MSG_METRICS .. MSG_METRICS_END
 *
 * However many clients ask, the launcher is asked once at a time: whoever comes while it is being asked
 * has the same answer.  If it does not come in HTTP_LAUNCHER_MS, or the launcher goes, they hear 503.
 *
 * evhttp does not count its connections, nor does it say when one is over, and it gives each read a time of
 * its own, so that a client could keep one open for ever, a byte at a time.  So we hold a reference to each
 * connection's bufferevent: when evhttp has let go of it, it has no callbacks any more, which a tick notices
 * that runs while there are any.  At HTTP_CLIENTS_MAX we stop to accept, and after HTTP_CLIENT_MS a
 * connection is shut down, which evhttp takes for its end.  For the same reason no connection is kept for a
 * second request.
 *
 * Refused: TLS and passwords.  The address in `metrics.listen` says who may connect; whoever wants more has
 * a proxy that does it.
 */
#include "control/http.h"

#include <assert.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/exposition.h"

enum { LISTENERS_MAX = 16, HEADERS_MAX = 8 * 1024, BODY_MAX = 1024, TICK_MS = 50 };

struct connection {
	struct bufferevent *socket; /* NULL: a free place */
	uint64_t since_ms;
};

struct waiter {
	TAILQ_ENTRY(waiter) next;
	struct http *http;
	struct evhttp_request *request;
};

struct listening {
	struct msg_listen what;
	struct evhttp_bound_socket *socket; /* NULL: a free place */
};

struct http {
	struct event_base *base;
	struct http_conf conf;
	struct evhttp *evhttp;
	struct listening listening[LISTENERS_MAX];
	struct connection connections[HTTP_CLIENTS_MAX];
	struct event *tick; /* while there is a connection */
	TAILQ_HEAD(, waiter) waiting;
	uint32_t id; /* of the newest question */
	bool asked;
	struct event *late;
	struct exposition text;
};

/* ---- connections ---- */

static void start_tick(struct http *h)
{
	struct timeval every = clock_timeval_ms(TICK_MS);

	if (!event_pending(h->tick, EV_TIMEOUT, NULL))
		event_add(h->tick, &every);
}

static void accept_more(struct http *h, bool more)
{
	for (size_t i = 0; i < LISTENERS_MAX; i++) {
		struct evconnlistener *l;

		if (!h->listening[i].socket)
			continue;
		l = evhttp_bound_socket_get_listener(h->listening[i].socket);
		if (more)
			evconnlistener_enable(l);
		else
			evconnlistener_disable(l);
	}
}

/* Its end is noticed, too, by the next tick: nothing would be better in this round of the loop. */
static void on_accept_error(struct evconnlistener *l, void *arg)
{
	struct http *h = arg;

	log_limited(LOG_ERROR, "cannot accept a client of metrics: %s", strerror(EVUTIL_SOCKET_ERROR()));
	evconnlistener_disable(l);
	start_tick(h);
}

static bool is_over(const struct connection *c)
{
	bufferevent_data_cb readable, writable;
	bufferevent_event_cb event;
	void *arg;

	bufferevent_getcb(c->socket, &readable, &writable, &event, &arg);
	return !readable && !writable && !event;
}

static void look_after(struct connection *c, uint64_t now)
{
	if (is_over(c)) {
		bufferevent_decref(c->socket);
		c->socket = NULL;
	} else if (now - c->since_ms >= HTTP_CLIENT_MS) {
		shutdown(bufferevent_getfd(c->socket), SHUT_RDWR);
	}
}

/* How many there still are. */
static unsigned look_after_all(struct http *h)
{
	uint64_t now = clock_now_ms();
	unsigned n = 0;

	for (size_t i = 0; i < HTTP_CLIENTS_MAX; i++) {
		if (h->connections[i].socket)
			look_after(&h->connections[i], now);
		n += h->connections[i].socket != NULL;
	}
	return n;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;
	unsigned n = look_after_all(h);

	(void)fd;
	(void)what;
	accept_more(h, n < HTTP_CLIENTS_MAX);
	if (n == 0)
		event_del(h->tick);
}

static struct connection *place_of_connection(struct http *h)
{
	for (size_t i = 0; i < HTTP_CLIENTS_MAX; i++) {
		if (!h->connections[i].socket)
			return &h->connections[i];
	}
	return NULL;
}

/* evhttp wants a bufferevent for a connection that it has accepted: there is a place, or it would not have. */
static struct bufferevent *on_connection(struct event_base *base, void *arg)
{
	struct http *h = arg;
	struct connection *c = place_of_connection(h);

	assert(c);
	c->socket = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	if (!c->socket)
		abort();
	bufferevent_incref(c->socket);
	c->since_ms = clock_now_ms();
	start_tick(h);
	if (!place_of_connection(h))
		accept_more(h, false);
	return c->socket;
}

/* ---- requests ---- */

static void waiter_free(struct waiter *w)
{
	TAILQ_REMOVE(&w->http->waiting, w, next);
	free(w);
}

static void on_client_gone(struct evhttp_connection *connection, void *arg)
{
	struct waiter *w, *w_next;
	struct http *h = arg;

	for (w = TAILQ_FIRST(&h->waiting); w; w = w_next) {
		w_next = TAILQ_NEXT(w, next);
		if (evhttp_request_get_connection(w->request) == connection)
			waiter_free(w);
	}
}

static void add_header(struct evhttp_request *request, const char *key, const char *value)
{
	evhttp_add_header(evhttp_request_get_output_headers(request), key, value);
}

static void say(struct evhttp_request *request, int code, const char *reason)
{
	struct evbuffer *body = evbuffer_new();

	if (!body)
		abort();
	if (evhttp_request_get_command(request) != EVHTTP_REQ_HEAD)
		evbuffer_add_printf(body, "%s\n", reason);
	add_header(request, "Content-Type", "text/plain; charset=utf-8");
	add_header(request, "Connection", "close");
	evhttp_send_reply(request, code, reason, body);
	evbuffer_free(body);
}

/* (evhttp would send a body with what answers HEAD, too.) */
static void give(struct evhttp_request *request, const struct buf *text)
{
	struct evbuffer *body = evbuffer_new();
	char length[24];

	if (!body)
		abort();
	if (evhttp_request_get_command(request) != EVHTTP_REQ_HEAD && evbuffer_add(body, text->text, text->n) < 0)
		abort();
	snprintf(length, sizeof(length), "%zu", text->n);
	add_header(request, "Content-Length", length);
	add_header(request, "Content-Type", EXPOSITION_TYPE);
	add_header(request, "Connection", "close");
	evhttp_send_reply(request, 200, "OK", body);
	evbuffer_free(body);
}

/* Everybody who waits hears this; NULL: the text. */
static void end(struct http *h, const char *failure)
{
	struct waiter *w;

	event_del(h->late);
	h->asked = false;
	if (!failure && h->text.text.error)
		failure = "the metrics are too long";
	while ((w = TAILQ_FIRST(&h->waiting))) {
		struct evhttp_request *request = w->request;

		waiter_free(w);
		if (failure)
			say(request, HTTP_SERVUNAVAIL, failure);
		else
			give(request, &h->text.text);
	}
	exposition_clear(&h->text);
}

static void ask(struct http *h)
{
	struct msg_metrics_id m = { .id = ++h->id };
	struct timeval tv = clock_timeval_ms(HTTP_LAUNCHER_MS);

	exposition_clear(&h->text);
	if (h->conf.tell(h->conf.arg, MSG_METRICS_ASK, &m) < 0) {
		end(h, "the launcher is being restarted");
		return;
	}
	h->asked = true;
	event_add(h->late, &tv);
}

static void on_launcher_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	end(arg, "the launcher does not answer");
}

static void on_metrics(struct evhttp_request *request, void *arg)
{
	struct waiter *w = calloc(1, sizeof(*w));
	struct http *h = arg;

	if (!w)
		abort();
	w->http = h;
	w->request = request;
	TAILQ_INSERT_TAIL(&h->waiting, w, next);
	evhttp_connection_set_closecb(evhttp_request_get_connection(request), on_client_gone, h);
	if (!h->asked)
		ask(h);
}

static void on_other(struct evhttp_request *request, void *arg)
{
	(void)arg;
	say(request, HTTP_NOTFOUND, "there is only /metrics");
}

/* ---- the launcher ---- */

void http_launcher_changed(struct http *h)
{
	if (h->asked)
		end(h, "the launcher is being restarted");
}

bool http_answer(struct http *h, enum msg_type type, const void *body)
{
	const struct msg_metrics *samples = body;
	const uint32_t *id = body; /* each of them begins with it */

	if (type != MSG_METRICS && type != MSG_METRICS_HISTOGRAM && type != MSG_METRICS_END)
		return false;
	if (!h->asked || *id != h->id)
		return true; /* too late */
	if (type == MSG_METRICS_HISTOGRAM)
		exposition_histogram(&h->text, body);
	for (uint16_t i = 0; type == MSG_METRICS && i < samples->n; i++)
		exposition_sample(&h->text, &samples->samples[i]);
	if (type == MSG_METRICS_END)
		end(h, NULL);
	return true;
}

/* ---- listening ---- */

static bool is_same(const struct msg_listen *a, const struct msg_listen *b)
{
	return a->port == b->port && ip_equal(&a->addr, &b->addr);
}

static struct listening *free_place(struct http *h)
{
	for (size_t i = 0; i < LISTENERS_MAX; i++) {
		if (!h->listening[i].socket)
			return &h->listening[i];
	}
	return NULL;
}

int http_listen(struct http *h, const struct msg_listen *what, int fd)
{
	struct listening *place = free_place(h);

	if (!place) {
		close(fd);
		return -ENOSPC;
	}
	place->socket = evhttp_accept_socket_with_handle(h->evhttp, fd);
	if (!place->socket) {
		close(fd);
		return -ENOMEM;
	}
	place->what = *what;
	evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(place->socket), on_accept_error);
	if (!place_of_connection(h))
		evconnlistener_disable(evhttp_bound_socket_get_listener(place->socket));
	return 0;
}

void http_listen_end(struct http *h, const struct msg_listen *what)
{
	for (size_t i = 0; i < LISTENERS_MAX; i++) {
		if (!h->listening[i].socket || !is_same(&h->listening[i].what, what))
			continue;
		evhttp_del_accept_socket(h->evhttp, h->listening[i].socket);
		h->listening[i].socket = NULL;
	}
}

/* ---- life ---- */

/* The Date header: gmtime_r() wants to know the time zone all the same. */
void http_prepare(void) { tzset(); }

static bool set_up(struct http *h)
{
	struct timeval client = clock_timeval_ms(HTTP_CLIENT_MS);

	h->evhttp = evhttp_new(h->base);
	h->late = evtimer_new(h->base, on_launcher_late, h);
	h->tick = event_new(h->base, -1, EV_PERSIST, on_tick, h);
	if (!h->evhttp || !h->late || !h->tick || evhttp_set_cb(h->evhttp, "/metrics", on_metrics, h) < 0)
		return false;
	evhttp_set_gencb(h->evhttp, on_other, h);
	evhttp_set_bevcb(h->evhttp, on_connection, h);
	evhttp_set_allowed_methods(h->evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
	evhttp_set_max_headers_size(h->evhttp, HEADERS_MAX);
	evhttp_set_max_body_size(h->evhttp, BODY_MAX);
	evhttp_set_timeout_tv(h->evhttp, &client);
	return true;
}

struct http *http_new(struct event_base *base, const struct http_conf *conf)
{
	struct http *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->base = base;
	h->conf = *conf;
	TAILQ_INIT(&h->waiting);
	if (set_up(h))
		return h;
	http_free(h);
	return NULL;
}

void http_free(struct http *h)
{
	if (!h)
		return;
	while (!TAILQ_EMPTY(&h->waiting))
		waiter_free(TAILQ_FIRST(&h->waiting));
	if (h->evhttp)
		evhttp_free(h->evhttp);
	if (h->late)
		event_free(h->late);
	for (size_t i = 0; i < HTTP_CLIENTS_MAX; i++) {
		if (h->connections[i].socket)
			bufferevent_decref(h->connections[i].socket);
	}
	if (h->tick)
		event_free(h->tick);
	exposition_clear(&h->text);
	free(h);
}
