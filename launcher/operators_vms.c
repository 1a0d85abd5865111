/* What operators ask of VMs, and wait for: a start, a stop, a console, and what an existing domain is. */
#include "launcher/operators_internal.h"

#include <fcntl.h>
#include <limits.h>

#include "base/ring_file.h"
#include "launcher/adopt.h"
#include "launcher/registrar.h"

enum { CONSOLE_POLL_MS = 200, DOMAIN_MS = 20000 };

/* ---- start and stop ---- */

/* True when there is nothing more to wait for; then the end has been sent. */
static bool start_is_over(struct waiting *w, const struct service *s)
{
	if (state_serves(s->state)) {
		operators_end(w->r->l, w->ask.id, 0, "");
		return true;
	}
	if (s->queued || state_is_starting(s->state) || s->state == STATE_STOPPING || s->state == STATE_DRAINING)
		return false;
	operators_end(w->r->l, w->ask.id, -EIO, s->last_error[0] ? s->last_error : "it was stopped before it was up");
	return true;
}

static bool stop_is_over(struct waiting *w, const struct service *s)
{
	if (s->state == STATE_STOPPING)
		return false;
	if (state_counts(s->state) && s->state != STATE_SUSPENDED)
		operators_end(w->r->l, w->ask.id, -EIO, s->last_error[0] ? s->last_error : "it was wanted again");
	else
		operators_end(w->r->l, w->ask.id, 0, "");
	return true;
}

static bool is_over(struct waiting *w, const struct service *s)
{
	return w->ask.verb == CTL_START ? start_is_over(w, s) : stop_is_over(w, s);
}

static void wait_for(struct operators *r, const struct msg_ctl_request *ask, const struct service *s)
{
	struct waiting *w = operators_wait(r, ask);

	if (!w)
		return;
	w->svc = s->index;
	w->gen = s->gen;
	if (is_over(w, s))
		operators_wait_over(w);
}

void operators_do_start(struct operators *r, const struct msg_ctl_request *ask)
{
	struct service *s = operators_find(r, ask);
	struct err e;
	int error;

	if (!s)
		return;
	error = wake_by_hand(s, &e);
	if (error < 0)
		operators_end(r->l, ask->id, error, e.text);
	else
		wait_for(r, ask, s);
}

void operators_do_stop(struct operators *r, const struct msg_ctl_request *ask)
{
	struct service *s = operators_find(r, ask);
	char text[MSG_TEXT_MAX];

	if (!s)
		return;
	if (s->state == STATE_ADOPTED) {
		operators_end(r->l, ask->id, -EPERM,
			      "someone else started this VM, and jitsu does not stop what it did not start: use "
			      "virsh, or set \"manage\": \"always\"");
		return;
	}
	note_set(&s->stop_reason, "stopped by the operator (uid %u)", ask->uid);
	wake_forget(s, s->stop_reason);
	if (s->state != STATE_OFF && s->state != STATE_CONFLICT && !hypervisor_answers(s->hv)) {
		snprintf(text, sizeof(text),
			 "hypervisor \"%s\" is not connected, or does not answer, so nothing can be stopped there: "
			 "try again when \"jitsuctl status\" shows that it is", s->conf->machine.hypervisor);
		operators_end(r->l, ask->id, -ENOTCONN, text);
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
			operators_wait_over(w);
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
	char chunk[MSG_DATA_MAX];
	char path[PATH_MAX];
	cleanup_close int fd = -1;
	ssize_t n;

	console_path(w->r, w->ask.service, path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	while ((n = ring_file_read(fd, &w->offset, chunk, sizeof(chunk))) > 0)
		operators_data(w->r->l, w->ask.id, chunk, (size_t)n);
	return (int)n;
}

static void on_console_poll(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	send_console(arg);
}

void operators_do_console(struct operators *r, const struct msg_ctl_request *ask)
{
	struct timeval tv = clock_timeval_ms(CONSOLE_POLL_MS);
	struct service *s = operators_find(r, ask);
	struct waiting *w;
	int n;

	if (!s)
		return;
	if (machine_is_defined(&s->conf->machine)) {
		operators_end(r->l, ask->id, -EOPNOTSUPP,
			      "its domain was not made by jitsu, and nor was its console: use virsh console, or xl console");
		return;
	}
	w = operators_wait(r, ask);
	if (!w)
		return;
	n = send_console(w);
	if (n < 0 && !(n == -ENOENT && ask->follow)) {
		operators_end(r->l, ask->id, n,
			      n == -ENOENT ? "it has not been started yet, so its console is empty" : strerror(-n));
		operators_wait_over(w);
		return;
	}
	if (!ask->follow) {
		operators_end(r->l, ask->id, 0, "");
		operators_wait_over(w);
		return;
	}
	w->poll = event_new(r->l->base, -1, EV_PERSIST, on_console_poll, w);
	if (!w->poll)
		abort();
	event_add(w->poll, &tv);
}

/* ---- existing domains ---- */

static void on_domain_late(evutil_socket_t fd, short what, void *arg)
{
	struct waiting *w = arg;

	(void)fd;
	(void)what;
	operators_end(w->r->l, w->ask.id, -ETIMEDOUT, "the hypervisor does not say what this domain is: try again");
	operators_wait_over(w);
}

void operators_do_adopt(struct operators *r, const struct msg_ctl_request *ask)
{
	char domain[MSG_NAME_MAX * 2];
	struct hypervisor *hv;
	struct waiting *w;
	struct err e;
	int64_t req;

	if (adopt_target(r->l, ask, &hv, domain, &e) < 0) {
		operators_end(r->l, ask->id, e.code, e.text);
		return;
	}
	w = operators_wait(r, ask);
	if (!w)
		return;
	req = hypervisor_ask_domain(hv, domain);
	if (req < 0) {
		operators_end(r->l, ask->id, (int)req, "the hypervisor is not connected: try again");
		operators_wait_over(w);
		return;
	}
	w->req = (uint32_t)req;
	operators_wait_at_most(w, DOMAIN_MS, on_domain_late);
}

static void adopt(struct waiting *w, struct hypervisor *hv, const struct msg_be_result *m,
		  const struct msg_be_domain *d)
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
		operators_row(r->l, &row);
		str_copy(w->ask.record, record.text);
		edits_run(r->l, &w->ask);
		return;
	}
	operators_end(r->l, w->ask.id, e.code, e.text);
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
	operators_wait_over(w);
}
