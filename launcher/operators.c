/* What operators ask, through control: one answer per request, as rows and one end.
 *
 * control has made a typed request of the text and says who asks; what may only an administrator
 * is checked here again.  Two kinds of request stay: `start` and `stop` until the service has got
 * there, and whatever follows (log, console) until it is cancelled.  They are bounded: beyond
 * WAITING_MAX a new one is refused.
 */
#include "launcher/operators_internal.h"

#include "launcher/describe.h"
#include "launcher/metrics.h"
#include "launcher/registrar.h"

enum { WAITING_MAX = 256, LOG_DEFAULT = 50, TRACE_DEFAULT = 10 };

/* ---- answers ---- */

void operators_end(struct launcher *l, uint32_t id, int error, const char *text)
{
	struct msg_ctl_end m = { .id = id, .error = error };

	str_copy(m.text, text);
	if (l->control)
		ipc_send(l->control, MSG_CTL_END, &m);
}

void operators_end_with(struct launcher *l, uint32_t id, int error, const struct buf *mistakes)
{
	char text[MSG_TEXT_MAX] = "";

	if (mistakes->text)
		str_copy(text, mistakes->text);
	if (mistakes->n >= sizeof(text)) { /* whole lines, and where the others are */
		static const char more[] = "and more: \"jitsuctl log\" has them all";
		char *end_of_line;

		text[sizeof(text) - sizeof(more)] = '\0';
		end_of_line = strrchr(text, '\n');
		if (end_of_line)
			memcpy(end_of_line + 1, more, sizeof(more));
	}
	operators_end(l, id, error, text);
}

void operators_row(struct launcher *l, struct msg_ctl_row *row)
{
	if (l->control)
		ipc_send(l->control, MSG_CTL_ROW, row);
}

void operators_data(struct launcher *l, uint32_t id, const char *text, size_t n)
{
	struct msg_ctl_data m = { .id = id };

	for (size_t at = 0; l->control && at < n; at += m.n) {
		m.n = (uint16_t)MIN(n - at, (size_t)MSG_DATA_MAX);
		for (uint16_t i = 0; i < m.n; i++)
			m.data[i].b = (uint8_t)text[at + i];
		ipc_send(l->control, MSG_CTL_DATA, &m);
	}
}

struct service *operators_find(struct operators *r, const struct msg_ctl_request *ask)
{
	struct service *s = service_by_name(r->l, ask->service);
	char text[MSG_TEXT_MAX];

	if (!s) {
		snprintf(text, sizeof(text), "there is no service \"%s\"; \"jitsuctl list\" shows them", ask->service);
		operators_end(r->l, ask->id, -ENOENT, text);
	}
	return s;
}

/* ---- waiting ---- */

bool operators_may_wait(const struct operators *r) { return r->n_waiting < WAITING_MAX; }

struct waiting *operators_wait(struct operators *r, const struct msg_ctl_request *ask)
{
	struct waiting *w;

	if (!operators_may_wait(r)) {
		operators_end(r->l, ask->id, -EBUSY, "too many requests are under way: try again later");
		return NULL;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		abort();
	w->r = r;
	w->ask = *ask;
	r->n_waiting++;
	TAILQ_INSERT_TAIL(&r->waiting, w, next);
	return w;
}

void operators_wait_over(struct waiting *w)
{
	TAILQ_REMOVE(&w->r->waiting, w, next);
	w->r->n_waiting--;
	if (w->poll)
		event_free(w->poll);
	free(w);
}

void operators_wait_at_most(struct waiting *w, uint64_t ms, event_callback_fn late)
{
	struct timeval tv = clock_timeval_ms(ms);

	w->poll = evtimer_new(w->r->l->base, late, w);
	if (!w->poll)
		abort();
	event_add(w->poll, &tv);
}

/* ---- rows ---- */

static void do_list(struct operators *r, const struct msg_ctl_request *ask)
{
	struct service *s;

	FOR_EACH_SERVICE(r->l, s) {
		struct msg_ctl_row row = { .id = ask->id };

		describe_list(s, &row);
		operators_row(r->l, &row);
	}
	operators_end(r->l, ask->id, 0, "");
}

static void do_one(struct operators *r, const struct msg_ctl_request *ask,
		   void (*describe)(struct service *, struct msg_ctl_row *))
{
	struct service *s = operators_find(r, ask);
	struct msg_ctl_row row = { .id = ask->id };

	if (!s)
		return;
	describe(s, &row);
	operators_row(r->l, &row);
	operators_end(r->l, ask->id, 0, "");
}

static void do_show(struct operators *r, const struct msg_ctl_request *ask) { do_one(r, ask, describe_show); }

static void do_why(struct operators *r, const struct msg_ctl_request *ask) { do_one(r, ask, describe_why); }

static void do_status(struct operators *r, const struct msg_ctl_request *ask)
{
	struct msg_ctl_row row = { .id = ask->id };

	describe_status(r->l, &row);
	operators_row(r->l, &row);
	operators_end(r->l, ask->id, 0, "");
}

static void do_flows(struct operators *r, const struct msg_ctl_request *ask)
{
	struct service *s = ask->service[0] ? operators_find(r, ask) : NULL;

	if (s || !ask->service[0])
		flows_ask(r->l, ask, s);
}

static bool wake_matches(const struct wake_trace *w, const struct msg_ctl_request *ask)
{
	return w && (!ask->service[0] || strcmp(w->service, ask->service) == 0);
}

static void do_trace(struct operators *r, const struct msg_ctl_request *ask)
{
	uint64_t newest = trace_newest(r->l->trace), first = newest, wanted = ask->n ? ask->n : TRACE_DEFAULT, n = 0;

	if (ask->service[0] && !operators_find(r, ask))
		return;
	for (; first > 0 && newest - first < TRACE_MAX && n < wanted; first--)
		n += wake_matches(trace_get(r->l->trace, first), ask);
	for (uint64_t i = first + 1; i <= newest; i++) {
		const struct wake_trace *w = trace_get(r->l->trace, i);
		struct msg_ctl_row row = { .id = ask->id };

		if (!wake_matches(w, ask))
			continue;
		describe_wake(w, &row);
		operators_row(r->l, &row);
	}
	operators_end(r->l, ask->id, 0, "");
}

/* ---- log ---- */

static void send_line(struct operators *r, uint32_t id, const struct journal_line *line)
{
	struct msg_ctl_row row = { .id = id };

	describe_line(line, &row);
	operators_row(r->l, &row);
}

static void do_log(struct operators *r, const struct msg_ctl_request *ask)
{
	uint64_t newest = journal_newest(r->l->journal), n = ask->n ? ask->n : LOG_DEFAULT;

	for (uint64_t i = newest > n ? newest - n + 1 : 1; i <= newest; i++) {
		const struct journal_line *line = journal_get(r->l->journal, i);

		if (line)
			send_line(r, ask->id, line);
	}
	if (!ask->follow)
		operators_end(r->l, ask->id, 0, "");
	else
		operators_wait(r, ask);
}

void operators_line(struct launcher *l, const struct journal_line *line)
{
	struct waiting *w;

	if (!l->operators || !l->control)
		return;
	TAILQ_FOREACH(w, &l->operators->waiting, next) {
		if (w->ask.verb == CTL_LOG)
			send_line(l->operators, w->ask.id, line);
	}
}

/* ---- dispatch ---- */

static void do_edit(struct operators *r, const struct msg_ctl_request *ask) { edits_run(r->l, ask); }

static const struct {
	void (*run)(struct operators *r, const struct msg_ctl_request *ask);
	bool admin;
} verbs[CTL_VERB_N] = {
	[CTL_LIST] = { do_list, false },       [CTL_SHOW] = { do_show, false },
	[CTL_START] = { operators_do_start, true },      [CTL_STOP] = { operators_do_stop, true },
	[CTL_WHY] = { do_why, false },	       [CTL_TRACE] = { do_trace, false },
	[CTL_CONSOLE] = { operators_do_console, false }, [CTL_LOG] = { do_log, false },
	[CTL_STATUS] = { do_status, false },   [CTL_RELOAD] = { operators_do_reload, true },
	[CTL_FLOWS] = { do_flows, false },
	[CTL_STATS] = { operators_do_stats, false },     [CTL_ZONES] = { operators_do_zones, false },
	[CTL_DNSSEC_STATUS] = { operators_do_dnssec, false },
	[CTL_DNSSEC_DS] = { operators_do_dnssec, false },
	[CTL_DNSSEC_ENABLE] = { operators_do_dnssec, true },
	[CTL_DNSSEC_DISABLE] = { operators_do_dnssec, true },
	[CTL_DNSSEC_ROLL] = { operators_do_dnssec, true },
	[CTL_DNSSEC_DS_SEEN] = { operators_do_dnssec, true },
	[CTL_ADD] = { do_edit, true },	       [CTL_SET] = { do_edit, true },
	[CTL_REMOVE] = { do_edit, true },      [CTL_RENAME] = { do_edit, true },
	[CTL_PIN] = { do_edit, true },	       [CTL_HISTORY] = { do_edit, false },
	[CTL_DIFF] = { do_edit, false },       [CTL_ROLLBACK] = { do_edit, true },
	[CTL_EXPORT] = { do_edit, false },     [CTL_IMPORT] = { do_edit, true },
	[CTL_ADOPT] = { operators_do_adopt, true },
};

static void cancel(struct operators *r, uint32_t id)
{
	struct waiting *w, *w_next;

	flows_cancel(r->l, id);
	for (w = TAILQ_FIRST(&r->waiting); w; w = w_next) {
		w_next = TAILQ_NEXT(w, next);
		if (w->ask.id == id)
			operators_wait_over(w);
	}
}

static void on_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct operators *r = arg;
	const struct msg_ctl_request *ask = body;

	(void)ch;
	(void)fd;
	if (type == MSG_LOG) {
		launcher_hear_log(r->l, "control", body);
	} else if (type == MSG_CTL_WATCH) {
		events_watch(r->l, ((const struct msg_ctl_watch *)body)->on);
	} else if (type == MSG_METRICS_ASK) {
		metrics_ask(r->l, body);
	} else if (type == MSG_CTL_CANCEL) {
		cancel(r, ((const struct msg_ctl_cancel *)body)->id);
	} else if (type != MSG_CTL_REQUEST || ask->verb >= CTL_VERB_N) {
		log_limited(LOG_WARN, "control said %s, which it may not", msg_name(type));
	} else if (verbs[ask->verb].admin && !ask->admin) {
		operators_end(r->l, ask->id, -EPERM, "only root and the administrators' group may do this");
	} else {
		verbs[ask->verb].run(r, ask);
	}
}

static void on_end(void *arg, struct ipc *ch, int error)
{
	struct operators *r = arg;

	ipc_free(ch);
	if (r->l->control != ch)
		return;
	r->l->control = NULL;
	events_watch(r->l, false);
	flows_drop(r->l);
	while (!TAILQ_EMPTY(&r->waiting))
		operators_wait_over(TAILQ_FIRST(&r->waiting));
	if (error < 0)
		launcher_stuck(r->l, ROLE_CONTROL, "control");
}

void operators_channel(struct launcher *l, int fd)
{
	struct operators *r = l->operators;

	flows_drop(l);
	while (!TAILQ_EMPTY(&r->waiting))
		operators_wait_over(TAILQ_FIRST(&r->waiting));
	events_watch(l, false);
	metrics_control_new(l);
	ipc_free(l->control);
	l->control = ipc_new(l->base, fd, on_msg, on_end, r);
	if (!l->control)
		abort();
	ipc_send(l->control, MSG_BEGIN, NULL);
	ipc_send(l->control, MSG_END, NULL);
}

struct operators *operators_new(struct launcher *l)
{
	struct operators *r = calloc(1, sizeof(*r));

	if (!r)
		abort();
	r->l = l;
	TAILQ_INIT(&r->waiting);
	return r;
}
