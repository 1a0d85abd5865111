/* A client's connection.
 *
 *                    on_line ...          EOF                     last byte taken
 *     (new) --> OPEN ------------> OPEN -------> half closed --+
 *                |                                             +--> finishing --> over
 *                +-------------- session_finish() -------------+                   ^
 *                +---- error, output limit, stalled, session_drop() ---------------+
 *
 * A client may write faster than it reads, or not read at all, or send a line without an end, and
 * none of it may cost more than a fixed amount of memory or hold up anybody else:
 *
 * - a line longer than PROTOCOL_LINE_MAX ends the session, with a word about why;
 * - while more than SESSION_OUTPUT_HIGH bytes wait for it, nothing is read from it, so that
 *   asking does not outrun reading;
 * - answers to what it asked before can still pile up (a log it follows), so at
 *   SESSION_OUTPUT_MAX it is dropped: the launcher's channel is shared by all clients, and making
 *   the launcher wait for one of them would stop the others;
 * - when nothing of what waits is taken for SESSION_STALL_S it is dropped as well.
 *
 * A client may close its sending side after its last request (`echo ... | socat`); it still gets
 * its answers.  That looks like one that has gone, except to poll(), which says POLLHUP only of the
 * latter: see session_is_deserted().
 *
 * The end is told from the loop alone, through `over`, so that session_send() never frees the
 * session under its caller.
 */
#include "control/session.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "control/protocol.h"

struct session {
	struct bufferevent *bev;
	struct event *over;
	const struct session_ops *ops;
	void *arg;
	struct peer peer;
	uint32_t serial;
	uint64_t active_ms;
	void *mark;
	const char *why;
	bool half_closed;
	bool finishing;
	bool dead;
};

/* ---- the end ---- */

static void on_over(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	(void)fd;
	(void)what;
	s->ops->on_gone(s->arg, s, s->why);
}

void session_drop(struct session *s, const char *why)
{
	if (s->dead)
		return;
	s->dead = true;
	s->why = why;
	bufferevent_disable(s->bev, EV_READ | EV_WRITE);
	event_active(s->over, EV_TIMEOUT, 0);
}

void session_finish(struct session *s)
{
	s->finishing = true;
	bufferevent_disable(s->bev, EV_READ);
	if (session_output(s) == 0)
		session_drop(s, NULL);
}

/* ---- reading ---- */

static bool may_read(const struct session *s)
{
	return !s->dead && !s->finishing && session_output(s) <= SESSION_OUTPUT_HIGH;
}

/* The length of the next line without its newline, or -1 when there is none yet. */
static ssize_t next_line(const struct session *s, struct evbuffer *in)
{
	struct evbuffer_ptr at = evbuffer_search(in, "\n", 1, NULL);

	if (at.pos < 0 && s->half_closed && evbuffer_get_length(in) > 0)
		return (ssize_t)evbuffer_get_length(in); /* the last line needs no newline */
	return at.pos;
}

static void take_line(struct session *s, struct evbuffer *in, size_t n)
{
	const char *line = (const char *)evbuffer_pullup(in, (ssize_t)n);
	size_t length = n > 0 && line && line[n - 1] == '\r' ? n - 1 : n;

	if (n > 0 && !line)
		session_drop(s, "out of memory");
	else if (length > 0) /* an empty line keeps the connection awake */
		s->ops->on_line(s->arg, s, line, length);
	evbuffer_drain(in, n + 1);
}

/* As many whole lines as may be read now; the rest when the client has read its answers. */
static void take_lines(struct session *s)
{
	struct evbuffer *in = bufferevent_get_input(s->bev);

	while (may_read(s)) {
		ssize_t n = next_line(s, in);

		if (n > PROTOCOL_LINE_MAX || (n < 0 && evbuffer_get_length(in) > PROTOCOL_LINE_MAX)) {
			s->ops->on_overlong(s->arg, s);
			session_finish(s);
			return;
		}
		if (n < 0)
			return;
		take_line(s, in, (size_t)n);
	}
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct session *s = arg;

	s->active_ms = clock_now_ms();
	take_lines(s);
	if (!may_read(s))
		bufferevent_disable(bev, EV_READ);
}

/* Little enough is left of the output. */
static void on_written(struct bufferevent *bev, void *arg)
{
	struct session *s = arg;

	s->active_ms = clock_now_ms();
	if (s->finishing && session_output(s) == 0)
		session_drop(s, NULL);
	if (may_read(s)) {
		take_lines(s);
		if (may_read(s) && !s->half_closed)
			bufferevent_enable(bev, EV_READ);
	}
	if (!s->dead && !s->finishing)
		s->ops->on_drained(s->arg, s);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct session *s = arg;

	(void)bev;
	if (what & BEV_EVENT_TIMEOUT) {
		session_drop(s, "it reads nothing");
	} else if (!(what & BEV_EVENT_EOF) || (what & BEV_EVENT_WRITING)) {
		session_drop(s, NULL);
	} else {
		s->half_closed = true;
		take_lines(s);
		if (!s->dead)
			s->ops->on_half_closed(s->arg, s);
	}
}

/* ---- writing ---- */

void session_send(struct session *s, const struct buf *lines)
{
	if (s->dead)
		return;
	if (lines->error || bufferevent_write(s->bev, lines->text, lines->n) < 0)
		session_drop(s, "out of memory");
	else if (session_output(s) > SESSION_OUTPUT_MAX)
		session_drop(s, "it reads too slowly");
}

void session_be_patient(struct session *s, unsigned stall_s, int bytes)
{
	struct timeval stall = { .tv_sec = stall_s };

	bufferevent_set_timeouts(s->bev, NULL, &stall);
	setsockopt(bufferevent_getfd(s->bev), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

size_t session_output(const struct session *s) { return evbuffer_get_length(bufferevent_get_output(s->bev)); }

/* ---- life ---- */

uint32_t session_serial(const struct session *s) { return s->serial; }

const struct peer *session_peer(const struct session *s) { return &s->peer; }

void session_set_mark(struct session *s, void *mark) { s->mark = mark; }

void *session_mark(const struct session *s) { return s->mark; }

uint64_t session_idle_ms(const struct session *s) { return clock_now_ms() - s->active_ms; }

bool session_half_closed(const struct session *s)
{
	return s->half_closed && evbuffer_get_length(bufferevent_get_input(s->bev)) == 0;
}

bool session_is_deserted(const struct session *s)
{
	struct pollfd p = { .fd = bufferevent_getfd(s->bev) };

	return s->half_closed && poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

struct session *session_new(struct event_base *base, int fd, uint32_t serial, const struct peer *peer,
			    const struct session_ops *ops, void *arg)
{
	static const struct timeval stall = { .tv_sec = SESSION_STALL_S };
	struct session *s = calloc(1, sizeof(*s));

	if (!s) {
		close(fd);
		return NULL;
	}
	*s = (struct session){
		.ops = ops, .arg = arg, .peer = *peer, .serial = serial, .active_ms = clock_now_ms()
	};
	evutil_make_socket_nonblocking(fd);
	s->bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	s->over = event_new(base, -1, 0, on_over, s);
	if (!s->bev || !s->over) {
		if (!s->bev)
			close(fd);
		session_free(s);
		return NULL;
	}
	bufferevent_setcb(s->bev, on_read, on_written, on_event, s);
	/* One byte more than a line and its end: enough to know that a line is too long. */
	bufferevent_setwatermark(s->bev, EV_READ, 0, PROTOCOL_LINE_MAX + 2);
	bufferevent_setwatermark(s->bev, EV_WRITE, 0, 0);
	bufferevent_set_timeouts(s->bev, NULL, &stall);
	bufferevent_enable(s->bev, EV_READ | EV_WRITE);
	return s;
}

void session_free(struct session *s)
{
	if (!s)
		return;
	if (s->bev)
		bufferevent_free(s->bev);
	if (s->over)
		event_free(s->over);
	free(s);
}
