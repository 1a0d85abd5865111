/* What operators ask, through control: one answer per request, as rows and one end.
 *
 * control has made a typed request of the text and says who asks; what may only an administrator
 * is checked here again.  Two kinds of request stay: `start` and `stop` until the service has got
 * there, and whatever follows (log, console) until it is cancelled.  They are bounded: beyond
 * WAITING_MAX a new one is refused.
 */
#include <fcntl.h>
#include <limits.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "base/ring_file.h"
#include "launcher/adopt.h"
#include "launcher/describe.h"
#include "launcher/launcher.h"
#include "launcher/metrics.h"
#include "launcher/registrar.h"
#include "launcher/secondaries.h"
#include "launcher/zone_files.h"

enum { WAITING_MAX = 256, CONSOLE_POLL_MS = 200, RELOAD_MS = 10000, COUNTS_MS = 3000, DOMAIN_MS = 20000, LOG_DEFAULT = 50, TRACE_DEFAULT = 10 };

struct waiting {
	TAILQ_ENTRY(waiting) next;
	struct operators *r;
	struct msg_ctl_request ask;
	/* start, stop */
	uint32_t svc, gen;
	bool moved; /* the service has left the state it was in */
	/* changes of the registry */
	bool edit, told; /* the snapshot that has it was sent */
	uint32_t changing; /* dns knows its names once it has acknowledged this; 0: that is not enough */
	/* adopt */
	uint32_t req; /* of the hypervisor's */
	/* console; the others: it has waited too long */
	struct event *poll;
	uint64_t offset;
};

struct operators {
	struct launcher *l;
	TAILQ_HEAD(, waiting) waiting;
	unsigned n_waiting;
};

/* ---- answers ---- */

static void end(struct operators *r, uint32_t id, int error, const char *text)
{
	struct msg_ctl_end m = { .id = id, .error = error };

	str_copy(m.text, text);
	if (r->l->control)
		ipc_send(r->l->control, MSG_CTL_END, &m);
}

static void send_row(struct operators *r, struct msg_ctl_row *row)
{
	if (r->l->control)
		ipc_send(r->l->control, MSG_CTL_ROW, row);
}

static struct waiting *wait_new(struct operators *r, const struct msg_ctl_request *ask)
{
	struct waiting *w;

	if (r->n_waiting >= WAITING_MAX) {
		end(r, ask->id, -EBUSY, "too many requests are under way: try again later");
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

static void wait_free(struct waiting *w)
{
	TAILQ_REMOVE(&w->r->waiting, w, next);
	w->r->n_waiting--;
	if (w->poll)
		event_free(w->poll);
	free(w);
}

/* ---- for other files ---- */

void operators_end(struct launcher *l, uint32_t id, int error, const char *text) { end(l->operators, id, error, text); }

void operators_row(struct launcher *l, struct msg_ctl_row *row) { send_row(l->operators, row); }

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

static struct service *find_service(struct operators *r, const struct msg_ctl_request *ask)
{
	struct service *s = service_by_name(r->l, ask->service);
	char text[MSG_TEXT_MAX];

	if (!s) {
		snprintf(text, sizeof(text), "there is no service \"%s\"; \"jitsuctl list\" shows them", ask->service);
		end(r, ask->id, -ENOENT, text);
	}
	return s;
}

/* ---- rows ---- */

static void do_list(struct operators *r, const struct msg_ctl_request *ask)
{
	struct service *s;

	FOR_EACH_SERVICE(r->l, s) {
		struct msg_ctl_row row = { .id = ask->id };

		describe_list(s, &row);
		send_row(r, &row);
	}
	end(r, ask->id, 0, "");
}

static void do_one(struct operators *r, const struct msg_ctl_request *ask,
		   void (*describe)(struct service *, struct msg_ctl_row *))
{
	struct service *s = find_service(r, ask);
	struct msg_ctl_row row = { .id = ask->id };

	if (!s)
		return;
	describe(s, &row);
	send_row(r, &row);
	end(r, ask->id, 0, "");
}

static void do_show(struct operators *r, const struct msg_ctl_request *ask) { do_one(r, ask, describe_show); }

static void do_why(struct operators *r, const struct msg_ctl_request *ask) { do_one(r, ask, describe_why); }

static void do_status(struct operators *r, const struct msg_ctl_request *ask)
{
	struct msg_ctl_row row = { .id = ask->id };

	describe_status(r->l, &row);
	send_row(r, &row);
	end(r, ask->id, 0, "");
}

static void do_flows(struct operators *r, const struct msg_ctl_request *ask)
{
	struct service *s = ask->service[0] ? find_service(r, ask) : NULL;

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

	if (ask->service[0] && !find_service(r, ask))
		return;
	for (; first > 0 && newest - first < TRACE_MAX && n < wanted; first--)
		n += wake_matches(trace_get(r->l->trace, first), ask);
	for (uint64_t i = first + 1; i <= newest; i++) {
		const struct wake_trace *w = trace_get(r->l->trace, i);
		struct msg_ctl_row row = { .id = ask->id };

		if (!wake_matches(w, ask))
			continue;
		describe_wake(w, &row);
		send_row(r, &row);
	}
	end(r, ask->id, 0, "");
}

/* ---- log ---- */

static void send_line(struct operators *r, uint32_t id, const struct journal_line *line)
{
	struct msg_ctl_row row = { .id = id };

	describe_line(line, &row);
	send_row(r, &row);
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
		end(r, ask->id, 0, "");
	else
		wait_new(r, ask);
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

/* ---- start and stop ---- */

/* True when there is nothing more to wait for; then the end has been sent. */
static bool start_is_over(struct waiting *w, const struct service *s)
{
	if (state_serves(s->state)) {
		end(w->r, w->ask.id, 0, "");
		return true;
	}
	if (s->queued || state_is_starting(s->state) || s->state == STATE_STOPPING || s->state == STATE_DRAINING)
		return false;
	end(w->r, w->ask.id, -EIO, s->last_error[0] ? s->last_error : "it was stopped before it was up");
	return true;
}

static bool stop_is_over(struct waiting *w, const struct service *s)
{
	if (s->state == STATE_STOPPING)
		return false;
	if (state_counts(s->state) && s->state != STATE_SUSPENDED)
		end(w->r, w->ask.id, -EIO, s->last_error[0] ? s->last_error : "it was wanted again");
	else
		end(w->r, w->ask.id, 0, "");
	return true;
}

static bool is_over(struct waiting *w, const struct service *s)
{
	return w->ask.verb == CTL_START ? start_is_over(w, s) : stop_is_over(w, s);
}

static void wait_for(struct operators *r, const struct msg_ctl_request *ask, const struct service *s)
{
	struct waiting *w = wait_new(r, ask);

	if (!w)
		return;
	w->svc = s->index;
	w->gen = s->gen;
	if (is_over(w, s))
		wait_free(w);
}

static void do_start(struct operators *r, const struct msg_ctl_request *ask)
{
	struct service *s = find_service(r, ask);
	struct err e;
	int error;

	if (!s)
		return;
	error = wake_by_hand(s, &e);
	if (error < 0)
		end(r, ask->id, error, e.text);
	else
		wait_for(r, ask, s);
}

static void do_stop(struct operators *r, const struct msg_ctl_request *ask)
{
	struct service *s = find_service(r, ask);
	char text[MSG_TEXT_MAX];

	if (!s)
		return;
	if (s->state == STATE_ADOPTED) {
		end(r, ask->id, -EPERM, "someone else started this VM, and jitsu does not stop what it did not start: use "
					"virsh, or set \"manage\": \"always\"");
		return;
	}
	note_set(&s->stop_reason, "stopped by the operator (uid %u)", ask->uid);
	wake_forget(s, s->stop_reason);
	if (s->state != STATE_OFF && s->state != STATE_CONFLICT && !hypervisor_answers(s->hv)) {
		snprintf(text, sizeof(text), "hypervisor \"%s\" is not connected, or does not answer, so nothing can be stopped there: try again "
			 "when \"jitsuctl status\" shows that it is", s->conf->machine.hypervisor);
		end(r, ask->id, -ENOTCONN, text);
		return;
	}
	service_event(s, SVC_OPERATOR_STOP);
	wait_for(r, ask, s);
}

void operators_state_changed(struct service *s)
{
	struct operators *r = s->l->operators;
	struct waiting *w, *w_next;

	if (!r)
		return;
	for (w = TAILQ_FIRST(&r->waiting); w; w = w_next) {
		w_next = TAILQ_NEXT(w, next);
		if ((w->ask.verb == CTL_START || w->ask.verb == CTL_STOP) && w->svc == s->index && w->gen == s->gen &&
		    is_over(w, s))
			wait_free(w);
	}
}

/* ---- console ---- */

static void console_path(const struct operators *r, const char *service, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/console/jitsu-%s.log", r->l->conf->run_dir, service);
}

/* Sends what is new.  -errno when there is no console. */
static int send_console(struct waiting *w)
{
	struct msg_ctl_data m = { .id = w->ask.id };
	uint8_t chunk[MSG_DATA_MAX];
	char path[PATH_MAX];
	cleanup_close int fd = -1;
	ssize_t n;

	console_path(w->r, w->ask.service, path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	while ((n = ring_file_read(fd, &w->offset, chunk, sizeof(chunk))) > 0) {
		m.n = (uint16_t)n;
		for (ssize_t i = 0; i < n; i++)
			m.data[i].b = chunk[i];
		if (w->r->l->control)
			ipc_send(w->r->l->control, MSG_CTL_DATA, &m);
	}
	return (int)n;
}

static void on_console_poll(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	send_console(arg);
}

static void do_console(struct operators *r, const struct msg_ctl_request *ask)
{
	struct timeval tv = clock_timeval_ms(CONSOLE_POLL_MS);
	struct service *s = find_service(r, ask);
	struct waiting *w;
	int n;

	if (!s)
		return;
	if (machine_is_defined(&s->conf->machine)) {
		end(r, ask->id, -EOPNOTSUPP, "its domain was not made by jitsu, and nor was its console: use virsh console, or xl console");
		return;
	}
	w = wait_new(r, ask);
	if (!w)
		return;
	n = send_console(w);
	if (n < 0 && !(n == -ENOENT && ask->follow)) {
		end(r, ask->id, n, n == -ENOENT ? "it has not been started yet, so its console is empty" : strerror(-n));
		wait_free(w);
		return;
	}
	if (!ask->follow) {
		end(r, ask->id, 0, "");
		wait_free(w);
		return;
	}
	w->poll = event_new(r->l->base, -1, EV_PERSIST, on_console_poll, w);
	if (!w->poll)
		abort();
	event_add(w->poll, &tv);
}

/* ---- what dns has counted ---- */

static void on_counts_late(evutil_socket_t fd, short what, void *arg)
{
	struct waiting *w = arg;

	(void)fd;
	(void)what;
	end(w->r, w->ask.id, -ETIMEDOUT, "dns does not answer: try again");
	wait_free(w);
}

static void do_stats(struct operators *r, const struct msg_ctl_request *ask)
{
	struct timeval tv = clock_timeval_ms(COUNTS_MS);
	struct waiting *w;

	if (!r->l->dns) {
		end(r, ask->id, -ENOTCONN, "dns is being started: try again");
		return;
	}
	w = wait_new(r, ask);
	if (!w)
		return;
	w->poll = evtimer_new(r->l->base, on_counts_late, w);
	if (!w->poll)
		abort();
	event_add(w->poll, &tv);
	ipc_send(r->l->dns, MSG_DNS_COUNTS_ASK, NULL);
}

void operators_dns_counted(struct launcher *l, const struct msg_dns_counts *m)
{
	struct waiting *w, *w_next;

	if (!l->operators)
		return;
	for (w = TAILQ_FIRST(&l->operators->waiting); w; w = w_next) {
		struct msg_ctl_row row = { .id = w->ask.id };

		w_next = TAILQ_NEXT(w, next);
		if (w->ask.verb != CTL_STATS)
			continue;
		describe_dns_counts(m, &row);
		xdp_side_stats(l, &row);
		send_row(l->operators, &row);
		end(l->operators, w->ask.id, 0, "");
		wait_free(w);
	}
}

/* ---- existing domains ---- */

static void on_domain_late(evutil_socket_t fd, short what, void *arg)
{
	struct waiting *w = arg;

	(void)fd;
	(void)what;
	end(w->r, w->ask.id, -ETIMEDOUT, "the hypervisor does not say what this domain is: try again");
	wait_free(w);
}

static void do_adopt(struct operators *r, const struct msg_ctl_request *ask)
{
	struct timeval tv = clock_timeval_ms(DOMAIN_MS);
	char domain[MSG_NAME_MAX * 2];
	struct hypervisor *hv;
	struct waiting *w;
	struct err e;
	int64_t req;

	if (adopt_target(r->l, ask, &hv, domain, &e) < 0) {
		end(r, ask->id, e.code, e.text);
		return;
	}
	w = wait_new(r, ask);
	if (!w)
		return;
	req = hypervisor_ask_domain(hv, domain);
	if (req < 0) {
		end(r, ask->id, (int)req, "the hypervisor is not connected: try again");
		wait_free(w);
		return;
	}
	w->req = (uint32_t)req;
	w->poll = evtimer_new(r->l->base, on_domain_late, w);
	if (!w->poll)
		abort();
	event_add(w->poll, &tv);
}

static void adopt(struct waiting *w, struct hypervisor *hv, const struct msg_be_result *m, const struct msg_be_domain *d)
{
	cleanup_buf struct buf record = { 0 };
	struct msg_ctl_row row = { .id = w->ask.id };
	struct operators *r = w->r;
	struct err e;

	if (!d && (m->error == -ENOENT || m->error == 0))
		err_set(&e, -ENOENT, "hypervisor \"%s\" has no such domain: \"virsh -c %.200s list --all\" shows them", hv->name,
			hv->uri);
	else if (!d)
		err_set(&e, m->error, "%.400s", m->text);
	else if (adopt_record(r->l, &w->ask, hv, d, &record, &row, &e) == 0) {
		send_row(r, &row);
		str_copy(w->ask.record, record.text);
		edits_run(r->l, &w->ask);
		return;
	}
	end(r, w->ask.id, e.code, e.text);
}

void operators_domain_told(struct launcher *l, struct hypervisor *hv, const struct msg_be_result *m,
			   const struct msg_be_domain *d)
{
	struct waiting *w;

	TAILQ_FOREACH(w, &l->operators->waiting, next) {
		if (w->ask.verb == CTL_ADOPT && w->req == m->req && !w->edit)
			break;
	}
	if (!w)
		return;
	adopt(w, hv, m, d);
	wait_free(w);
}

/* ---- dispatch ---- */

static void end_with(struct operators *r, uint32_t id, int error, const struct buf *mistakes)
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
	end(r, id, error, text);
}

static void end_with_mistakes(struct operators *r, uint32_t id, const struct buf *mistakes)
{
	end_with(r, id, -EINVAL, mistakes);
}

void operators_end_with(struct launcher *l, uint32_t id, int error, const struct buf *mistakes)
{
	end_with(l->operators, id, error, mistakes);
}

static void end_reload(struct operators *r, uint32_t id, const char *why)
{
	cleanup_buf struct buf mistakes = { 0 };

	zone_files_mistakes(r->l->zone_files, &mistakes);
	secondaries_mistakes(r->l->secondaries, &mistakes);
	if (*why)
		buf_addf(&mistakes, "%s\n", why);
	if (mistakes.n > 0)
		end_with_mistakes(r, id, &mistakes);
	else
		end(r, id, 0, "");
}

static void end_edit(struct waiting *w, const char *why)
{
	char text[MSG_TEXT_MAX] = "";

	if (*why)
		snprintf(text, sizeof(text), "it is in the registry, but DNS goes on as it was: %.380s", why);
	end(w->r, w->ask.id, *why ? -EIO : 0, text);
}

static void on_edit_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	end_edit(arg, "it does not say that it has read its tables");
	wait_free(arg);
}

void operators_edit_made(struct launcher *l, const struct msg_ctl_request *ask, bool waits, bool told)
{
	struct timeval tv = clock_timeval_ms(RELOAD_MS);
	bool nobody = told && !(l->dns && l->dns_told);
	struct waiting *w = !nobody && l->operators->n_waiting < WAITING_MAX ? wait_new(l->operators, ask) : NULL;

	if (!w) {
		end(l->operators, ask->id, 0, ""); /* it is made, and dns will hear of it */
		return;
	}
	w->edit = true;
	w->told = told;
	w->changing = waits ? 0 : l->dns_changing;
	w->poll = evtimer_new(l->base, on_edit_late, w);
	if (!w->poll)
		abort();
	event_add(w->poll, &tv);
}

void operators_edits_told(struct launcher *l)
{
	struct waiting *w, *w_next;

	for (w = l->operators ? TAILQ_FIRST(&l->operators->waiting) : NULL; w; w = w_next) {
		w_next = TAILQ_NEXT(w, next);
		w->told = true;
		if (!w->edit || (l->dns && l->dns_told))
			continue;
		end_edit(w, "");
		wait_free(w);
	}
}

void operators_edits_seen(struct launcher *l, uint32_t changing)
{
	struct waiting *w, *w_next;

	for (w = l->operators ? TAILQ_FIRST(&l->operators->waiting) : NULL; w; w = w_next) {
		w_next = TAILQ_NEXT(w, next);
		if (!w->edit || w->changing == 0 || (int32_t)(changing - w->changing) < 0)
			continue;
		end_edit(w, "");
		wait_free(w);
	}
}

void operators_zones_loaded(struct launcher *l, const char *why)
{
	struct waiting *w, *w_next;

	if (!l->operators)
		return;
	for (w = TAILQ_FIRST(&l->operators->waiting); w; w = w_next) {
		w_next = TAILQ_NEXT(w, next);
		if (w->edit && w->told)
			end_edit(w, why);
		else if (w->ask.verb != CTL_RELOAD)
			continue;
		else
			end_reload(l->operators, w->ask.id, why);
		wait_free(w);
	}
}

static void on_reload_late(evutil_socket_t fd, short what, void *arg)
{
	struct waiting *w = arg;

	(void)fd;
	(void)what;
	end_reload(w->r, w->ask.id, "the configuration is in force, but dns has not said yet that it has read the "
				    "zones: \"jitsuctl log\" will tell");
	wait_free(w);
}

/* dns has the last word on zone files. */
static void wait_for_zones(struct operators *r, const struct msg_ctl_request *ask)
{
	struct timeval tv = clock_timeval_ms(RELOAD_MS);
	struct waiting *w = wait_new(r, ask);

	if (!w)
		return;
	w->poll = evtimer_new(r->l->base, on_reload_late, w);
	if (!w->poll)
		abort();
	event_add(w->poll, &tv);
}

static void do_reload(struct operators *r, const struct msg_ctl_request *ask)
{
	cleanup_buf struct buf mistakes = { 0 };

	if (reload(r->l, &mistakes) < 0)
		end_with_mistakes(r, ask->id, &mistakes);
	else if (r->l->dns_loading && !zone_files_empty(r->l->zone_files))
		wait_for_zones(r, ask);
	else
		end_reload(r, ask->id, "");
}

static void pass_row(void *arg, struct msg_ctl_row *row) { send_row(arg, row); }

static void do_dnssec(struct operators *r, const struct msg_ctl_request *ask)
{
	struct err e;
	int error = dnssec_ask(r->l, ask, pass_row, r, &e);

	end(r, ask->id, error, error ? e.text : "");
}

static void do_zones(struct operators *r, const struct msg_ctl_request *ask)
{
	for (size_t i = 0; i < r->l->conf->zones.n; i++) {
		struct msg_ctl_row row = { .id = ask->id };

		zones_describe(r->l, &r->l->conf->zones.v[i], &row);
		send_row(r, &row);
	}
	end(r, ask->id, 0, "");
}

static void do_edit(struct operators *r, const struct msg_ctl_request *ask) { edits_run(r->l, ask); }

static const struct {
	void (*run)(struct operators *r, const struct msg_ctl_request *ask);
	bool admin;
} verbs[CTL_VERB_N] = {
	[CTL_LIST] = { do_list, false },       [CTL_SHOW] = { do_show, false },
	[CTL_START] = { do_start, true },      [CTL_STOP] = { do_stop, true },
	[CTL_WHY] = { do_why, false },	       [CTL_TRACE] = { do_trace, false },
	[CTL_CONSOLE] = { do_console, false }, [CTL_LOG] = { do_log, false },
	[CTL_STATUS] = { do_status, false },   [CTL_RELOAD] = { do_reload, true },
	[CTL_FLOWS] = { do_flows, false },
	[CTL_STATS] = { do_stats, false },     [CTL_ZONES] = { do_zones, false },
	[CTL_DNSSEC_STATUS] = { do_dnssec, false },
	[CTL_DNSSEC_DS] = { do_dnssec, false },
	[CTL_DNSSEC_ENABLE] = { do_dnssec, true },
	[CTL_DNSSEC_DISABLE] = { do_dnssec, true },
	[CTL_DNSSEC_ROLL] = { do_dnssec, true },
	[CTL_DNSSEC_DS_SEEN] = { do_dnssec, true },
	[CTL_ADD] = { do_edit, true },	       [CTL_SET] = { do_edit, true },
	[CTL_REMOVE] = { do_edit, true },      [CTL_RENAME] = { do_edit, true },
	[CTL_PIN] = { do_edit, true },	       [CTL_HISTORY] = { do_edit, false },
	[CTL_DIFF] = { do_edit, false },       [CTL_ROLLBACK] = { do_edit, true },
	[CTL_EXPORT] = { do_edit, false },     [CTL_IMPORT] = { do_edit, true },
	[CTL_ADOPT] = { do_adopt, true },
};

static void cancel(struct operators *r, uint32_t id)
{
	struct waiting *w, *w_next;

	flows_cancel(r->l, id);
	for (w = TAILQ_FIRST(&r->waiting); w; w = w_next) {
		w_next = TAILQ_NEXT(w, next);
		if (w->ask.id == id)
			wait_free(w);
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
		end(r, ask->id, -EPERM, "only root and the administrators' group may do this");
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
		wait_free(TAILQ_FIRST(&r->waiting));
	if (error < 0)
		launcher_stuck(r->l, ROLE_CONTROL, "control");
}

void operators_channel(struct launcher *l, int fd)
{
	struct operators *r = l->operators;

	flows_drop(l);
	while (!TAILQ_EMPTY(&r->waiting))
		wait_free(TAILQ_FIRST(&r->waiting));
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
