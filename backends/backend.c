/* The loop that all backends share: requests in, workers beside, exactly one answer each.
 *
 * The connection is a small state machine:
 *
 *     CLOSED --open job--> OPENING --ok--> WARMING --warmed--> OPEN
 *        ^                    | failed        |                  |
 *        +---- 1 s later -----+               +------ lost ------+--> CLOSED
 *
 * The call that opens, or warms, may hang as any other.  Nothing can be done without it, so that after the deadline
 * of all calls the loop ends, and the next process tries; long before, the launcher hears why nothing goes on.
 *
 * Requests are taken in WARMING and OPEN; in WARMING a START waits at the workers' gate, so that
 * a wake in the first seconds costs its own time and no error.  In the other states a request is
 * answered with -ENOTCONN at once: nothing piles up behind a hypervisor that is not there.
 *
 * A request lives from its message until both the launcher has its answer and the worker has
 * returned.  The two may come in either order: a call that hangs is answered by the deadline, and
 * its worker, which nobody can stop, is replaced by a new one (workers.h bounds how often); when
 * it does return, nobody listens any more.  When all hang, the loop ends: only a new process has
 * threads again, and it finds what runs.  A request of an earlier launcher is the same: it has
 * nobody to answer to.
 *
 * Only the loop's thread touches requests, but for the job's `run`, which owns `body`, `result`,
 * `rows` and `err` while it runs.  Workers never log and never send.
 */
#include "backends/backend.h"

#include <assert.h>
#include <event2/event.h>
#include <malloc.h>

#include "backends/workers.h"
#include "base/clock.h"
#include "base/log.h"

enum { CONNECTING_LONG_MS = 10000, TICK_MS = 250, ROWS_MAX = 8192, CROWD = 128 /* requests that waited at once */ };

enum conn_state { CONN_CLOSED, CONN_OPENING, CONN_WARMING, CONN_OPEN };

struct backend_rows {
	struct msg_be_domain *v;
	size_t n, room;
};

struct request {
	struct job job;
	TAILQ_ENTRY(request) next;
	struct backend *b;
	enum msg_type type;
	union {
		struct msg_be_start start;
		struct msg_be_target target;
	} body;
	uint32_t req, svc, gen;
	uint64_t deadline_ns;
	bool answered; /* or there is nobody to answer to */
	bool orphan; /* an earlier launcher asked */
	bool hung; /* its call was given up, and still has not returned */
	struct msg_be_result result;
	struct msg_be_domain domain; /* INSPECT's */
	struct backend_rows rows; /* LIST's */
	struct err err;
};

/* Opening and warming: one at a time. */
struct connecting {
	struct job job;
	struct backend *b;
	struct msg_be_hello hello;
	struct err err;
	bool lost; /* meanwhile */
};

struct backend {
	struct event_base *base;
	const struct backend_ops *ops;
	void *hv;
	backend_tell_fn *tell;
	void *arg;
	struct workers *workers;
	struct event *tick;
	TAILQ_HEAD(, request) requests;
	size_t n_requests, most_requests; /* most: since there were none */
	unsigned n_workers, n_hung;
	uint64_t returned_ns; /* the last call that did */
	enum conn_state conn;
	struct connecting connecting;
	uint64_t connecting_ns; /* since when its call is under way */
	bool connecting_long; /* that was told */
	uint64_t reconnect_ns;
	struct msg_be_hello hello;
};

static void open_start(struct backend *b);

int backend_add_row(struct backend_rows *rows, const struct msg_be_domain *d)
{
	if (rows->n == rows->room) {
		size_t room = rows->room ? rows->room * 2 : 32;
		struct msg_be_domain *v = room <= ROWS_MAX ? realloc(rows->v, room * sizeof(*v)) : NULL;

		if (!v)
			return -ENOMEM;
		rows->v = v;
		rows->room = room;
	}
	rows->v[rows->n++] = *d;
	return 0;
}

/* ---- answers ---- */

static void tell_rows(struct request *r)
{
	struct msg_be_target end = { .req = r->req, .svc = r->svc, .gen = r->gen };

	for (size_t i = 0; i < r->rows.n; i++) {
		r->rows.v[i].req = r->req;
		r->b->tell(r->b->arg, MSG_BE_DOMAIN, &r->rows.v[i]);
	}
	r->b->tell(r->b->arg, MSG_BE_LIST_END, &end);
}

/* `text` is not looked at when error is 0. */
static void answer(struct request *r, int error, const char *text)
{
	if (r->answered)
		return;
	r->answered = true;
	if (r->type == MSG_BE_LIST && error == 0) {
		tell_rows(r);
		return;
	}
	if (r->type == MSG_BE_INSPECT && error == 0) {
		r->domain.req = r->req;
		r->b->tell(r->b->arg, MSG_BE_DOMAIN, &r->domain);
	}
	r->result.req = r->req;
	r->result.svc = r->svc;
	r->result.gen = r->gen;
	r->result.error = error;
	str_copy(r->result.text, error < 0 ? text : "");
	r->b->tell(r->b->arg, MSG_BE_RESULT, &r->result);
}

/* A copy of what the worker may still be writing is no answer: begin from nothing. */
static void answer_early(struct request *r, int error, const char *text)
{
	struct request blank = { .b = r->b, .type = r->type, .req = r->req, .svc = r->svc, .gen = r->gen };

	if (r->answered)
		return;
	r->answered = true;
	blank.result.domain_id = -1;
	answer(&blank, error, text);
}

static void request_free(struct request *r)
{
	struct backend *b = r->b;

	TAILQ_REMOVE(&b->requests, r, next);
	b->n_requests--;
	free(r->rows.v);
	free(r);
	if (b->n_requests > 0)
		return;
	if (b->most_requests >= CROWD)
		malloc_trim(0); /* there may not be as many again for months */
	b->most_requests = 0;
}

/* Those that have not begun end now; those that have, when their worker returns.  `why` NULL:
 * there is nobody to answer to. */
static void end_all(struct backend *b, const char *why)
{
	struct request *r, *later;

	for (r = TAILQ_FIRST(&b->requests); r; r = later) {
		bool begun = !workers_take_back(b->workers, &r->job);

		later = TAILQ_NEXT(r, next);
		if (!why)
			r->answered = r->orphan = true;
		else if (!begun)
			answer_early(r, -ENOTCONN, why);
		if (!begun)
			request_free(r);
	}
}

/* ---- requests ---- */

static int inspect(struct request *r)
{
	const struct backend_ops *ops = r->b->ops;
	const struct msg_be_target *t = &r->body.target;
	int error = ops->inspect(r->b->hv, t, &r->domain, &r->err);

	if (error == 0 && t->how == INSPECT_ADDRESSES && r->domain.state == DOMAIN_RUNNING && ops->addresses)
		ops->addresses(r->b->hv, t->domain, &r->domain);
	return error;
}

static int cannot_save(struct request *r)
{
	return err_set(&r->err, -ENOTSUP, "domains of this hypervisor cannot be saved");
}

static int perform(struct request *r)
{
	const struct backend_ops *ops = r->b->ops;
	void *hv = r->b->hv;

	switch (r->type) {
	case MSG_BE_START:
		if (r->body.start.save[0])
			return ops->restore ? ops->restore(hv, &r->body.start, &r->result, &r->err) : cannot_save(r);
		return ops->start(hv, &r->body.start, &r->result, &r->err);
	case MSG_BE_STOP:
		if (r->body.target.how == STOP_SAVE)
			return ops->save ? ops->save(hv, r->body.target.domain, r->body.target.save, &r->result, &r->err) :
					   cannot_save(r);
		return ops->stop(hv, r->body.target.domain, r->body.target.how, &r->result, &r->err);
	case MSG_BE_RESUME:
		return ops->resume(hv, r->body.target.domain, &r->result, &r->err);
	case MSG_BE_INSPECT:
		return inspect(r);
	default:
		return ops->list(hv, &r->rows, &r->err);
	}
}

static void request_run(struct job *job)
{
	struct request *r = (struct request *)((char *)job - offsetof(struct request, job));

	r->result.domain_id = -1;
	r->result.t_begin_ns = clock_now_ns();
	r->result.error = perform(r);
	r->result.t_done_ns = clock_now_ns();
}

static void request_done(struct job *job)
{
	struct request *r = (struct request *)((char *)job - offsetof(struct request, job));

	r->b->returned_ns = clock_now_ns();
	r->b->n_hung -= r->hung;
	answer(r, r->result.error, r->err.text);
	request_free(r);
}

static void refuse(struct backend *b, const struct request *as, int error, const char *text)
{
	struct request r = { .b = b, .type = as->type, .req = as->req, .svc = as->svc, .gen = as->gen };

	r.result.domain_id = -1;
	answer(&r, error, text);
}

/* True when an earlier launcher's request still runs and does not hang. */
static bool has_orphans(const struct backend *b)
{
	const struct request *r;
	uint64_t now = clock_now_ns();

	TAILQ_FOREACH (r, &b->requests, next) {
		if (r->orphan && now < r->deadline_ns)
			return true;
	}
	return false;
}

/* A VM's memory goes to a disk, or comes from there. */
static bool takes_long(const struct request *r)
{
	if (r->type == MSG_BE_START)
		return r->body.start.save[0];
	return r->type == MSG_BE_STOP && r->body.target.how == STOP_SAVE;
}

static uint64_t patience_ms(const struct request *r)
{
	return takes_long(r) ? BACKEND_SAVE_DEADLINE_MS : BACKEND_DEADLINE_MS;
}

static void fill_job(struct backend *b, struct request *r)
{
	r->job.run = request_run;
	r->job.done = request_done;
	if (r->type == MSG_BE_START) {
		const struct msg_be_start *m = &r->body.start;

		str_copy(r->job.keys[0], m->domain[0] ? m->domain : m->name);
		str_copy(r->job.keys[1], m->domain[0] ? "" : m->uuid);
		r->job.gated = true;
	} else {
		str_copy(r->job.keys[0], r->body.target.domain);
		r->job.slow = r->type == MSG_BE_STOP && (r->body.target.how == STOP_DESTROY || takes_long(r));
		r->job.alone = r->type == MSG_BE_LIST && has_orphans(b);
	}
}

static struct request *request_new(struct backend *b, enum msg_type type, const void *body)
{
	struct request *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->b = b;
	r->type = type;
	if (type == MSG_BE_START) {
		r->body.start = *(const struct msg_be_start *)body;
		r->req = r->body.start.req;
		r->svc = r->body.start.svc;
		r->gen = r->body.start.gen;
	} else {
		r->body.target = *(const struct msg_be_target *)body;
		r->req = r->body.target.req;
		r->svc = r->body.target.svc;
		r->gen = r->body.target.gen;
	}
	r->deadline_ns = clock_now_ns() + patience_ms(r) * NS_PER_MS;
	return r;
}

static bool has_target(const struct request *r)
{
	if (r->type == MSG_BE_START)
		return r->body.start.domain[0] || r->body.start.name[0];
	return r->type == MSG_BE_LIST || r->body.target.domain[0];
}

static void on_request(struct backend *b, enum msg_type type, const void *body)
{
	struct request *r = request_new(b, type, body);

	if (!r) {
		log_error("no memory for a request");
		return;
	}
	if (b->conn < CONN_WARMING)
		refuse(b, r, -ENOTCONN, b->hello.text);
	else if (b->n_requests >= BACKEND_REQUESTS_MAX)
		refuse(b, r, -EBUSY, "too many requests to the hypervisor wait already");
	else if (!has_target(r) || (type == MSG_BE_STOP && r->body.target.how >= STOP_N))
		refuse(b, r, -EINVAL, "a request without a domain, or with an unknown way to stop");
	else {
		fill_job(b, r);
		TAILQ_INSERT_TAIL(&b->requests, r, next);
		b->n_requests++;
		b->most_requests = MAX(b->most_requests, b->n_requests);
		if (type == MSG_BE_START && !r->body.start.domain[0] && b->ops->console)
			b->ops->console(b->hv, r->body.start.name);
		workers_submit(b->workers, &r->job);
		return;
	}
	free(r);
}

void backend_on_msg(struct backend *b, enum msg_type type, const void *body)
{
	const struct msg_be_console *console = body;

	switch (type) {
	case MSG_BEGIN:
	case MSG_END:
		return;
	case MSG_BE_START:
	case MSG_BE_STOP:
	case MSG_BE_RESUME:
	case MSG_BE_INSPECT:
	case MSG_BE_LIST:
		on_request(b, type, body);
		return;
	case MSG_PING:
		b->tell(b->arg, MSG_PONG, NULL);
		return;
	case MSG_BE_CONSOLE:
		if (console->over && b->ops->console_end)
			b->ops->console_end(b->hv, console->name);
		if (!console->over && b->ops->console)
			b->ops->console(b->hv, console->name);
		return;
	default:
		log_limited(LOG_WARN, "the launcher said %s, which is not for a backend", msg_name(type));
	}
}

/* ---- the connection ---- */

static void say_hello(struct backend *b) { b->tell(b->arg, MSG_BE_HELLO, &b->hello); }

void backend_on_launcher(struct backend *b)
{
	end_all(b, NULL);
	say_hello(b);
}

static void close_conn(struct backend *b, const char *why)
{
	bool news = b->hello.connected || strcmp(b->hello.text, why) != 0;

	b->conn = CONN_CLOSED;
	b->reconnect_ns = clock_now_ns() + BACKEND_RECONNECT_MS * NS_PER_MS;
	b->hello.connected = false;
	str_copy(b->hello.text, why);
	workers_shut_gate(b->workers);
	end_all(b, b->hello.text);
	if (!news)
		return;
	log_warn("not connected to the hypervisor: %s", why);
	say_hello(b);
}

void backend_lost(struct backend *b, const char *why)
{
	if (b->conn == CONN_WARMING || b->conn == CONN_OPENING)
		b->connecting.lost = true; /* its worker still runs */
	else if (b->conn == CONN_OPEN)
		close_conn(b, why);
}

static void warm_run(struct job *job)
{
	struct connecting *c = (struct connecting *)((char *)job - offsetof(struct connecting, job));

	if (c->b->ops->warm)
		c->b->ops->warm(c->b->hv, &c->hello);
}

static void warm_done(struct job *job)
{
	struct connecting *c = (struct connecting *)((char *)job - offsetof(struct connecting, job));
	struct backend *b = c->b;
	bool news = strcmp(b->hello.version, c->hello.version) != 0 || strcmp(b->hello.text, c->hello.text) != 0 ||
		    b->hello.kvm != c->hello.kvm;

	b->conn = CONN_OPEN;
	if (c->lost) {
		close_conn(b, "the connection was lost");
		return;
	}
	b->hello = c->hello;
	log_info("connected: %s, %s", b->hello.version, b->hello.kvm ? "KVM" : b->hello.text);
	workers_open_gate(b->workers);
	if (news)
		say_hello(b);
}

static void open_run(struct job *job)
{
	struct connecting *c = (struct connecting *)((char *)job - offsetof(struct connecting, job));

	if (c->b->ops->open(c->b->hv, &c->hello, &c->err) < 0)
		return;
	c->hello.connected = true;
}

static void open_done(struct job *job)
{
	struct connecting *c = (struct connecting *)((char *)job - offsetof(struct connecting, job));
	struct backend *b = c->b;

	if (!c->hello.connected) {
		close_conn(b, c->err.text);
		return;
	}
	b->conn = CONN_WARMING;
	b->hello = c->hello;
	say_hello(b);
	b->connecting_ns = clock_now_ns();
	c->job = (struct job){ .run = warm_run, .done = warm_done };
	workers_submit(b->workers, &c->job);
}

static void open_start(struct backend *b)
{
	b->conn = CONN_OPENING;
	b->connecting_ns = clock_now_ns();
	b->connecting_long = false;
	b->connecting = (struct connecting){ .b = b, .job = { .run = open_run, .done = open_done } };
	workers_submit(b->workers, &b->connecting.job);
}

void backend_event(struct backend *b, const struct msg_be_event *event)
{
	b->tell(b->arg, MSG_BE_EVENT, event);
}

/* ---- time ---- */

/* True when no call has returned since the first of those that hang was asked for, and they are as many as there
 * were threads: then it is not one domain that is stuck.  Or there can be no more threads. */
static bool all_hang(const struct backend *b)
{
	const struct request *r;

	if (b->n_hung >= WORKERS_MAX)
		return true;
	TAILQ_FOREACH (r, &b->requests, next) {
		if (r->hung)
			return b->n_hung >= b->n_workers && b->returned_ns < r->deadline_ns - patience_ms(r) * NS_PER_MS;
	}
	return false;
}

static void expire(struct backend *b, struct request *r)
{
	log_limited(LOG_ERROR, "a call to the hypervisor for %s has not returned in %d s",
		    r->job.keys[0][0] ? r->job.keys[0] : "the list of domains", (int)(patience_ms(r) / MS_PER_S));
	if (workers_take_back(b->workers, &r->job)) {
		answer_early(r, -ETIMEDOUT, "the hypervisor is stuck in calls for this domain");
		request_free(r);
		return;
	}
	answer_early(r, -ETIMEDOUT, "the hypervisor did not answer in time; the call may still go on");
	r->hung = true;
	b->n_hung++;
	if (all_hang(b)) {
		log_limited(LOG_ERROR, "%u calls to the hypervisor hang, and none returns: ending, so that a new process "
			    "takes over", b->n_hung);
		event_base_loopbreak(b->base);
	} else if (workers_add(b->workers) < 0) {
		log_limited(LOG_ERROR, "no more threads for calls to the hypervisor: too many of them hang");
	}
}

static void reconnect(struct backend *b)
{
	if (b->ops->spent && b->ops->spent(b->hv)) {
		log_warn("ending, because only a new process can connect again");
		event_base_loopbreak(b->base);
		return;
	}
	open_start(b);
}

/* Warming takes its time where QEMU is asked for the first time, and is waited for at the gate. */
static void look_at_connecting(struct backend *b, uint64_t now)
{
	uint64_t ms = (now - MIN(b->connecting_ns, now)) / NS_PER_MS;

	if (b->conn == CONN_OPENING && ms >= CONNECTING_LONG_MS && !b->connecting_long) {
		b->connecting_long = true;
		str_copy(b->hello.text, "the call that connects to it does not return");
		say_hello(b);
	}
	if ((b->conn != CONN_OPENING && b->conn != CONN_WARMING) || ms < BACKEND_DEADLINE_MS)
		return;
	log_limited(LOG_ERROR, "the call that %s the hypervisor has not returned in %d s: ending, so that a new process "
		    "takes over", b->conn == CONN_OPENING ? "connects to" : "looks at",
		    BACKEND_DEADLINE_MS / (int)MS_PER_S);
	event_base_loopbreak(b->base);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct backend *b = arg;
	uint64_t now = clock_now_ns();
	struct request *r, *later;

	(void)fd;
	(void)what;
	for (r = TAILQ_FIRST(&b->requests); r; r = later) {
		later = TAILQ_NEXT(r, next);
		if (!r->answered && now >= r->deadline_ns)
			expire(b, r);
	}
	look_at_connecting(b, now);
	if (b->conn == CONN_CLOSED && now >= b->reconnect_ns)
		reconnect(b);
}

/* ---- life ---- */

struct backend *backend_new(struct event_base *base, const struct backend_ops *ops, void *hv, unsigned workers,
			    backend_tell_fn *tell, void *arg)
{
	struct timeval every = clock_timeval_ms(TICK_MS);
	struct backend *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->base = base;
	b->ops = ops;
	b->hv = hv;
	b->tell = tell;
	b->arg = arg;
	b->n_workers = workers;
	TAILQ_INIT(&b->requests);
	str_copy(b->hello.text, "still connecting to the hypervisor");
	b->workers = workers_new(base, workers);
	b->tick = event_new(base, -1, EV_PERSIST, on_tick, b);
	if (!b->workers || !b->tick || event_add(b->tick, &every) < 0) {
		backend_free(b);
		errno = ENOMEM;
		return NULL;
	}
	workers_shut_gate(b->workers);
	open_start(b);
	return b;
}

void backend_free(struct backend *b)
{
	struct request *r;

	if (!b)
		return;
	workers_free(b->workers);
	if (b->tick)
		event_free(b->tick);
	while ((r = TAILQ_FIRST(&b->requests)))
		request_free(r);
	free(b);
}
