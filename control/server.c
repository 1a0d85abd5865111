/* The control server.
 *
 *     client --line--> session --> protocol_parse() --> requests_add() --> tell(): launcher
 *     client <--line-- session <-- protocol_row() .. <-- requests_find() <-- server_answer()
 *
 * It keeps no truth: it knows who asked what, and nothing of services.  Killed, it loses nothing
 * but connections.
 *
 * While the launcher is away (it is restarted within a second, as a rule) requests wait for it, at
 * most REQUESTS_WAIT_MS, and then end with an error that says so.  Those it had been asked already
 * are asked again when that cannot be noticed: nothing of the answer has reached the client, and
 * the request changes nothing.  A start or a stop is never repeated on our own account.
 *
 * Clients are bounded in number, together and for each user, and some places are root's alone, so
 * that no user can lock the others or the operator out.  A refused client hears why, as an error
 * object, before its connection is closed.
 *
 * One timer looks twice a second at what only time can end: requests that wait, clients that ask
 * nothing, half-closed clients that are gone.  It runs only while there is a client.
 *
 * A client that watches is no longer one of these: watchers.c has it, in places of its own, and it asks
 * nothing else.
 *
 * A session is named across callbacks by its serial number, never by its address.
 */
#include "control/server.h"

#include <event2/event.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/requests.h"
#include "control/session.h"
#include "control/watchers.h"

enum { TICK_MS = 500, ACCEPTS_PER_WAKEUP = 16 };

struct server {
	struct event_base *base;
	struct server_conf conf;
	struct requests *requests;
	struct watchers *watchers;
	struct session *clients[REQUESTS_CLIENTS_MAX];
	uint32_t last_serial;
	struct event *acceptable, *tick;
	int listen_fd;
	bool launcher_up;
};

static struct session *find_client(struct server *sv, uint32_t serial)
{
	for (size_t i = 0; i < ARRAY_SIZE(sv->clients); i++) {
		if (sv->clients[i] && session_serial(sv->clients[i]) == serial)
			return sv->clients[i];
	}
	return NULL;
}

/* ---- answers ---- */

static void say_error(struct session *s, const char *id, int error, const char *text)
{
	cleanup_buf struct buf line = { 0 };

	protocol_error(id, error, text, &line);
	session_send(s, &line);
}

/* A half-closed client whose last answer went out has no reason to stay. */
static void finish_if_done(struct server *sv, struct session *s)
{
	if (session_half_closed(s) && requests_count(sv->requests, session_serial(s)) == 0)
		session_finish(s);
}

/* Ends a request: `error` 0, or negative with the sentence. */
static void end_request(struct server *sv, struct request *r, int error, const char *text)
{
	struct session *s = find_client(sv, r->client);
	cleanup_buf struct buf line = { 0 };

	if (error == 0)
		protocol_end(r->id, &line);
	else
		protocol_error(r->id, error, text, &line);
	requests_remove(sv->requests, r);
	if (!s)
		return;
	session_send(s, &line);
	finish_if_done(sv, s);
}

static void answer(struct server *sv, enum msg_type type, const void *body)
{
	const uint32_t *id = body; /* each of them begins with it */
	const struct msg_ctl_end *end = body;
	cleanup_buf struct buf line = { 0 };
	struct request *r;
	struct session *s;

	r = requests_find(sv->requests, *id);
	if (!r || r->state != REQUEST_SENT)
		return; /* its client has gone, or lost interest */
	if (type == MSG_CTL_END) {
		end_request(sv, r, end->error > 0 ? -EIO : end->error, end->text);
		return;
	}
	if (type == MSG_CTL_ROW)
		protocol_row(r->id, body, &line);
	else
		protocol_data(r->id, body, &line);
	r->told = true;
	s = find_client(sv, r->client);
	if (s)
		session_send(s, &line);
}

void server_answer(struct server *sv, enum msg_type type, const void *body)
{
	if (type == MSG_CTL_EVENT)
		watchers_event(sv->watchers, body);
	else if (type == MSG_CTL_ROW || type == MSG_CTL_DATA || type == MSG_CTL_END)
		answer(sv, type, body);
}

/* ---- the launcher ---- */

static void want_events(void *arg, bool on)
{
	struct server *sv = arg;
	struct msg_ctl_watch m = { .on = on };

	if (sv->launcher_up)
		sv->conf.tell(sv->conf.arg, MSG_CTL_WATCH, &m);
}

static void ask(struct server *sv, struct request *r)
{
	if (sv->launcher_up && sv->conf.tell(sv->conf.arg, MSG_CTL_REQUEST, &r->msg) == 0)
		r->state = REQUEST_SENT;
}

void server_launcher_up(struct server *sv)
{
	sv->launcher_up = true;
	for (struct request *r = requests_next(sv->requests, NULL); r; r = requests_next(sv->requests, r)) {
		if (r->state == REQUEST_WAITING)
			ask(sv, r);
	}
	watchers_launcher_up(sv->watchers);
}

void server_launcher_gone(struct server *sv)
{
	uint64_t now = clock_now_ms();

	sv->launcher_up = false;
	watchers_launcher_gone(sv->watchers);
	for (struct request *r = requests_next(sv->requests, NULL); r; r = requests_next(sv->requests, r)) {
		if (r->state != REQUEST_SENT)
			continue;
		if (r->changes)
			end_request(sv, r, -EAGAIN,
				    "the launcher was restarted while this was under way; "
				    "look whether it was done, and ask again if not");
		else if (r->told)
			end_request(sv, r, -EAGAIN,
				    "the launcher was restarted in the middle of the answer; ask again");
		else
			request_wait(r, now);
	}
}

/* Ends a request that its client no longer wants. */
static void forget_request(struct server *sv, struct request *r)
{
	struct msg_ctl_cancel cancel = { .id = r->msg.id };

	if (r->state == REQUEST_SENT && sv->launcher_up)
		sv->conf.tell(sv->conf.arg, MSG_CTL_CANCEL, &cancel);
	requests_remove(sv->requests, r);
}

/* ---- requests ---- */

static void cancel_request(struct server *sv, struct session *s, const struct protocol_request *p)
{
	struct request *r = requests_find_of(sv->requests, session_serial(s), p->of);
	cleanup_buf struct buf line = { 0 };

	if (!r) {
		say_error(s, p->id, -ENOENT,
			  "no request with this id is under way; it may have ended by itself");
		return;
	}
	forget_request(sv, r);
	protocol_error(p->of, -ECANCELED, "cancelled", &line);
	protocol_end(p->id, &line);
	session_send(s, &line);
}

static void new_request(struct server *sv, struct session *s, const struct protocol_request *p)
{
	const struct peer *peer = session_peer(s);
	struct request *r;
	struct err e;

	if (p->needs_admin && !peer->admin) {
		say_error(s, p->id, -EACCES,
			  "only root and members of the administrators' group may do this");
		return;
	}
	r = requests_add(sv->requests, session_serial(s), p, clock_now_ms(), &e);
	if (!r) {
		say_error(s, p->id, e.code, e.text);
		return;
	}
	r->msg.admin = peer->admin;
	r->msg.uid = peer->uid;
	r->msg.client = session_serial(s);
	if (p->needs_admin)
		log_limited(LOG_INFO, "%s%s%suid=%u pid=%d asks to %s", r->msg.service[0] ? "service=" : "",
			    r->msg.service, r->msg.service[0] ? " " : "", (unsigned)peer->uid, (int)peer->pid,
			    ctl_verb_name(r->msg.verb));
	ask(sv, r);
}

static void leave_clients(struct server *sv, const struct session *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(sv->clients); i++) {
		if (sv->clients[i] == s)
			sv->clients[i] = NULL;
	}
}

static void watch(struct server *sv, struct session *s, const struct protocol_request *p)
{
	struct err e;

	if (requests_count(sv->requests, session_serial(s)) > 0)
		say_error(s, p->id, -EBUSY, "other requests are under way here: watch on a connection of its own");
	else if (watchers_add(sv->watchers, s, p, &e) < 0)
		say_error(s, p->id, e.code, e.text);
	else
		leave_clients(sv, s);
}

/* One that watches may stop that, and nothing else. */
static void watcher_line(struct session *s, const struct protocol_request *p, const char *watches)
{
	cleanup_buf struct buf line = { 0 };

	if (!p->cancel || strcmp(p->of, watches) != 0) {
		say_error(s, p->id, -EBUSY, "this connection watches, and can only \"cancel\" that: ask on another one");
		return;
	}
	protocol_error(p->of, -ECANCELED, "cancelled", &line);
	protocol_end(p->id, &line);
	session_send(s, &line);
	session_finish(s);
}

static void on_line(void *arg, struct session *s, const char *line, size_t n)
{
	struct server *sv = arg;
	struct protocol_request p;
	struct err e;
	int r = protocol_parse(line, n, &p, &e);
	const char *watches = watchers_id(s);

	if (r < 0)
		say_error(s, p.id, r, e.text);
	else if (watches)
		watcher_line(s, &p, watches);
	else if (p.watch)
		watch(sv, s, &p);
	else if (p.cancel)
		cancel_request(sv, s, &p);
	else
		new_request(sv, s, &p);
}

static void on_overlong(void *arg, struct session *s)
{
	(void)arg;
	say_error(s, "null", -EMSGSIZE,
		  "a request is one line of at most 65536 bytes; this connection is closed");
}

static void on_half_closed(void *arg, struct session *s)
{
	if (session_is_deserted(s))
		session_drop(s, NULL);
	else if (!watchers_id(s))
		finish_if_done(arg, s);
}

static void on_drained(void *arg, struct session *s) { watchers_drained(((struct server *)arg)->watchers, s); }

static void on_gone(void *arg, struct session *s, const char *why)
{
	struct server *sv = arg;
	const struct peer *peer = session_peer(s);

	for (struct request *r = requests_next(sv->requests, NULL); r; r = requests_next(sv->requests, r)) {
		if (r->client == session_serial(s))
			forget_request(sv, r);
	}
	if (why)
		log_limited(LOG_WARN, "dropped a client, uid=%u pid=%d: %s", (unsigned)peer->uid,
			    (int)peer->pid, why);
	if (!watchers_remove(sv->watchers, s))
		leave_clients(sv, s);
	session_free(s);
}

static const struct session_ops session_ops = {
	.on_line = on_line,
	.on_overlong = on_overlong,
	.on_half_closed = on_half_closed,
	.on_drained = on_drained,
	.on_gone = on_gone,
};

/* ---- time ---- */

static void look_after(struct server *sv, struct session *s)
{
	bool idle = requests_count(sv->requests, session_serial(s)) == 0;

	if (session_is_deserted(s))
		session_drop(s, NULL);
	else if (idle && session_idle_ms(s) >= SERVER_IDLE_S * MS_PER_S)
		session_drop(s, "it asks nothing");
	else
		finish_if_done(sv, s);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct server *sv = arg;
	uint64_t now = clock_now_ms();
	bool any = false;

	(void)fd;
	(void)what;
	for (struct request *r = requests_next(sv->requests, NULL); r; r = requests_next(sv->requests, r)) {
		if (request_waited_too_long(r, now))
			end_request(sv, r, -EAGAIN, "the launcher is being restarted; try again");
	}
	for (size_t i = 0; i < ARRAY_SIZE(sv->clients); i++) {
		if (!sv->clients[i])
			continue;
		any = true;
		look_after(sv, sv->clients[i]);
	}
	watchers_look_after(sv->watchers);
	any |= watchers_count(sv->watchers) > 0;
	if (sv->acceptable)
		event_add(sv->acceptable, NULL); /* off after a shortage of descriptors */
	if (!any)
		event_del(sv->tick);
}

static void start_tick(struct server *sv)
{
	struct timeval every = clock_timeval_ms(TICK_MS);

	if (!event_pending(sv->tick, EV_TIMEOUT, NULL))
		event_add(sv->tick, &every);
}

/* ---- new clients ---- */

/* Where the client would go; NULL with *e when there is no place for that user. */
static struct session **find_place(struct server *sv, uid_t uid, struct err *e)
{
	struct session **place = NULL;
	size_t all = 0, same = 0;

	for (size_t i = 0; i < ARRAY_SIZE(sv->clients); i++) {
		if (!sv->clients[i]) {
			place = place ? place : &sv->clients[i];
			continue;
		}
		all++;
		same += session_peer(sv->clients[i])->uid == uid;
	}
	if (uid != 0 && same >= SERVER_CLIENTS_PER_USER)
		err_set(e, -EBUSY, "user %u has %zu connections already, which is as many as a user may have",
			(unsigned)uid, same);
	else if (!place || (uid != 0 && all >= REQUESTS_CLIENTS_MAX - SERVER_CLIENTS_FOR_ROOT))
		err_set(e, -EBUSY, "%zu clients are connected already; try again later", all);
	else
		return place;
	return NULL;
}

/* The socket is fresh, so that a line of this length always fits. */
static void refuse(int fd, const struct err *e)
{
	cleanup_buf struct buf line = { 0 };

	protocol_error("null", e->code, e->text, &line);
	if (!line.error)
		send(fd, line.text, line.n, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
	log_limited(LOG_WARN, "refused a client: %s", e->text);
}

/* Takes `fd`. */
static void new_client(struct server *sv, int fd)
{
	struct session **place = NULL;
	struct peer peer;
	struct err e;

	if (peer_identify(fd, sv->conf.readers, sv->conf.admins, &peer, &e) == 0)
		place = find_place(sv, peer.uid, &e);
	if (!place) {
		refuse(fd, &e);
		return;
	}
	sv->last_serial++;
	*place = session_new(sv->base, fd, sv->last_serial, &peer, &session_ops, sv);
	if (*place)
		start_tick(sv);
	else
		log_limited(LOG_ERROR, "no memory for a client");
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct server *sv = arg;

	(void)what;
	for (int i = 0; i < ACCEPTS_PER_WAKEUP; i++) {
		int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (client >= 0) {
			new_client(sv, client);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			/* Nothing will be better in this round of the loop: on_tick() tries again. */
			log_limited(LOG_ERROR, "cannot accept a client: %s", strerror(errno));
			event_del(sv->acceptable);
			start_tick(sv);
		}
		return;
	}
}

/* ---- life ---- */

static void stop_listening(struct server *sv)
{
	if (sv->acceptable)
		event_free(sv->acceptable);
	sv->acceptable = NULL;
	fd_close(&sv->listen_fd);
}

int server_listen(struct server *sv, int fd)
{
	stop_listening(sv);
	sv->listen_fd = fd;
	evutil_make_socket_nonblocking(fd);
	sv->acceptable = event_new(sv->base, fd, EV_READ | EV_PERSIST, on_acceptable, sv);
	if (sv->acceptable && event_add(sv->acceptable, NULL) == 0)
		return 0;
	stop_listening(sv);
	return -ENOMEM;
}

struct server *server_new(struct event_base *base, const struct server_conf *conf)
{
	struct server *sv = calloc(1, sizeof(*sv));

	if (!sv)
		return NULL;
	sv->base = base;
	sv->conf = *conf;
	sv->listen_fd = -1;
	sv->requests = requests_new();
	sv->tick = event_new(base, -1, EV_PERSIST, on_tick, sv);
	sv->watchers = watchers_new(base, want_events, sv);
	if (sv->requests && sv->tick && sv->watchers)
		return sv;
	server_free(sv);
	return NULL;
}

void server_free(struct server *sv)
{
	if (!sv)
		return;
	stop_listening(sv);
	sv->launcher_up = false;
	watchers_free(sv->watchers);
	for (size_t i = 0; i < ARRAY_SIZE(sv->clients); i++)
		session_free(sv->clients[i]);
	if (sv->tick)
		event_free(sv->tick);
	requests_free(sv->requests);
	free(sv);
}
