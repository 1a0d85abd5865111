/* What backends answer, and what they tell by themselves. */
#include "launcher/hypervisor_internal.h"

#include <strings.h>

enum { LIST_AGAIN_MS = 1000 };

/* ---- results ---- */

/* The start has its answer: the stop that waited for it is not needed, or not allowed, any more; or it is sent. */
static void stop_that_waited(struct service *s, const struct msg_be_result *m)
{
	bool given_up = !state_counts(s->state); /* else the state's own move sends it */

	if (!s->stop_waits)
		return;
	s->stop_waits = s->stop_under_way = false;
	if (m->error == 0 && given_up)
		hypervisor_stop(s, s->stop_how);
	else if (given_up && m->error != -EEXIST && m->error != -EBUSY)
		service_gone(s);
}

static void start_done(struct service *s, const struct msg_be_result *m)
{
	struct msg_be_domain d = { .domain_id = m->domain_id, .state = DOMAIN_RUNNING };

	stop_that_waited(s, m);
	if (m->error == 0)
		service_runs(s);
	if (m->error == 0 && s->stop_under_way && !state_counts(s->state)) {
		hypervisor_learn(s, m->uuid, m->domain_id, m->n_nics, m->nics); /* too late: its stop follows */
	} else if (m->error == 0) {
		hypervisor_learn(s, m->uuid, m->domain_id, m->n_nics, m->nics);
		trace_mark(s->l->trace, s->wake, MARK_RUNNING, m->t_done_ns);
		service_event(s, SVC_STARTED);
	} else if (m->error == -EEXIST) {
		s->run.domain_id = RUN_STATE_OFF; /* it was asked for, but by then it ran */
		str_copy(d.uuid, m->uuid);
		d.memory_bytes = s->memory_bytes;
		d.n_nics = m->n_nics;
		memcpy(d.nics, m->nics, sizeof(d.nics));
		hypervisor_found(s, &d);
	} else if (m->error == -EBUSY) {
		service_event(s, SVC_FOUND_PAUSED);
	} else if ((m->error == -ENOTCONN || m->error == -ETIMEDOUT) && !state_is_starting(s->state)) {
		/* it answers clients: what the hypervisor does not know yet, the next list will tell */
		log_warn("service=%s runs, but its start was not confirmed: %s", s->conf->name, m->text);
	} else if (s->restores && s->state == STATE_STARTING && m->error != -ENOTCONN && m->error != -ETIMEDOUT) {
		service_not_restored(s, m->text);
	} else {
		service_not_booted(s);
		service_set_error(s, "%s", m->text);
		service_event(s, SVC_START_FAILED);
	}
}

static void resume_done(struct service *s, const struct msg_be_result *m)
{
	if (m->error == 0) {
		hypervisor_learn(s, m->uuid, m->domain_id, m->n_nics, m->nics);
		trace_mark(s->l->trace, s->wake, MARK_RUNNING, m->t_done_ns);
		service_event(s, SVC_STARTED);
		return;
	}
	service_set_error(s, "%s", m->text);
	service_event(s, SVC_START_FAILED);
	hypervisor_verify(s);
}

/* What was saved, and is not wanted any more, runs as a boot does. */
static void save_done(struct service *s, const struct msg_be_result *m)
{
	if (m->error == 0 && s->state == STATE_STOPPING) {
		s->domain_id = -1;
		service_event(s, SVC_SAVED);
	} else if (m->error == 0) { /* too late: is it what it seems to be? */
		hypervisor_verify(s);
	} else if (s->state == STATE_STOPPING) {
		service_set_error(s, "it could not be saved: %s", m->text);
		hypervisor_verify(s); /* which may have cost its life */
	}
	wake_pump(s->l);
}

/* A shutdown that was asked for ends with an event, unless it was off before; the others end here.
 * What cannot be stopped may be gone (what is off cannot be suspended): verified() decides. */
static void stop_done(struct service *s, const struct request *r, const struct msg_be_result *m)
{
	if (m->error == 0 && r->how == STOP_SHUTDOWN) {
		hypervisor_verify(s);
		return;
	}
	s->stop_under_way = false;
	if (r->how == STOP_SAVE) {
		save_done(s, m);
		return;
	}
	if (m->error < 0) {
		service_set_error(s, "it could not be stopped: %s", m->text);
		if (s->state == STATE_STOPPING)
			hypervisor_verify(s);
		return;
	}
	if (r->how == STOP_SUSPEND && s->state == STATE_STOPPING)
		service_event(s, SVC_SUSPENDED);
	else if (r->how == STOP_SUSPEND)
		return; /* too late: events tell what it is now */
	else if (s->state == STATE_OFF || s->state == STATE_FAILED)
		service_gone(s);
	else
		hypervisor_found_stopped(s);
	wake_pump(s->l);
}

/* A domain runs, or runs again, and that was not our doing. */
static void discovered(struct service *s, const struct request *r)
{
	if (r->domain && hypervisor_is_of(r->domain, s) && !state_counts(s->state) && !s->stop_under_way)
		hypervisor_learn_absent(s, r->domain);
	if (r->domain && hypervisor_is_of(r->domain, s) && r->domain->state == DOMAIN_RUNNING &&
	    (!state_counts(s->state) || s->state == STATE_SUSPENDED))
		hypervisor_found(s, r->domain);
	else if (!r->domain || hypervisor_is_of(r->domain, s))
		hypervisor_found_saved(s, r->domain);
}

/* The answer shows the boot that it was asked for, which has ended meanwhile: the event overtook it. */
static bool is_overtaken(const struct service *s, const struct request *r)
{
	return r->domain && r->boot >= 0 && r->domain->domain_id == r->boot && s->domain_id != r->boot;
}

static void verified(struct service *s, const struct request *r, const struct msg_be_result *m)
{
	bool runs = m->error == 0 && r->domain &&
		    (r->domain->state == DOMAIN_RUNNING || r->domain->state == DOMAIN_PAUSED) &&
		    r->domain->domain_id == s->domain_id;

	if (runs && s->state == STATE_FAILED && r->domain->state == DOMAIN_PAUSED && !s->stop_under_way)
		service_event(s, SVC_FOUND_PAUSED);
	else if (runs && s->state == STATE_STOPPING && !s->stop_under_way && s->saves)
		service_not_saved(s);
	else if (runs && s->state == STATE_STOPPING && !s->stop_under_way)
		service_stop_failed(s);
	if (runs && s->hold.port_lost)
		hypervisor_learn(s, r->domain->uuid, r->domain->domain_id, r->domain->n_nics, r->domain->nics);
	if (runs && s->hold.port_lost)
		holds_look_at_port(s);
	if (runs || (m->error < 0 && m->error != -ENOENT) || is_overtaken(s, r))
		return;
	if (s->state == STATE_STOPPING && s->saves)
		service_lost(s, s->last_error);
	if (s->state == STATE_OFF || s->state == STATE_FAILED)
		service_gone(s);
	else
		hypervisor_found_stopped(s);
	discovered(s, r); /* another boot of it, by someone else */
	wake_pump(s->l);
}

void hypervisor_on_result(struct hypervisor *hv, const struct msg_be_result *m)
{
	struct request *found = request_find(hv, m->req), r;
	struct timeval again = clock_timeval_ms(LIST_AGAIN_MS);
	cleanup_free struct msg_be_domain *domain = found ? found->domain : NULL;
	struct service *s;

	if (m->req == hv->list_req && m->req != 0) {
		log_warn("hypervisor \"%s\" cannot say what runs: %s", hv->name, m->text);
		hv->list_req = 0;
		event_add(hv->list_again, &again);
		return;
	}
	if (!found)
		return;
	r = *found;
	request_drop(hv, found);
	request_next(hv->l);
	if (r.kind == REQUEST_ADOPT)
		operators_domain_told(hv->l, hv, m, m->error == 0 ? r.domain : NULL);
	s = service_find(hv->l, r.svc, r.gen);
	if (!s)
		return;
	switch (r.kind) {
	case REQUEST_START: start_done(s, m); break;
	case REQUEST_RESUME: resume_done(s, m); break;
	case REQUEST_STOP: stop_done(s, &r, m); break;
	case REQUEST_VERIFY:
		verified(s, &r, m);
		if (r.again && state_counts(s->state))
			hypervisor_verify(s);
		break;
	case REQUEST_DISCOVER:
		if (m->error == 0 || m->error == -ENOENT)
			s->hold.known = true;
		if (m->error < 0 && s->conf->machine.xl_config[0] && !s->hold.unread[0])
			note_set(&s->hold.unread, "%s", m->text);
		discovered(s, &r);
		if (r.again)
			hypervisor_discover(s);
		s->hold.look_again = true;
		break;
	case REQUEST_ADDRESSES:
		if (r.domain && r.domain->domain_id == s->domain_id)
			learning_told(s, r.domain);
		break;
	case REQUEST_ADOPT:
	case REQUEST_NONE: break;
	}
	if (s->hold.look_again)
		holds_judge(s, false);
}

void hypervisor_on_domain(struct hypervisor *hv, const struct msg_be_domain *m)
{
	struct request *r = request_find(hv, m->req);

	if (r) {
		r->domain = r->domain ? r->domain : malloc(sizeof(*m));
		if (!r->domain)
			abort();
		*r->domain = *m;
		return;
	}
	if (m->req != hv->list_req)
		return;
	if (hv->n_found == hv->room_found) {
		hv->room_found = hv->room_found ? hv->room_found * 2 : 64;
		hv->found = realloc(hv->found, hv->room_found * sizeof(*m));
		if (!hv->found)
			abort();
	}
	hv->found[hv->n_found++] = *m;
}

/* ---- events ---- */

static struct service *service_of(struct hypervisor *hv, const struct msg_be_event *m)
{
	struct service *s;

	FOR_EACH_SERVICE(hv->l, s) {
		if (s->hv == hv && (strcasecmp(m->uuid, s->target) == 0 || strcmp(m->name, s->target) == 0))
			return s;
	}
	return NULL;
}

static void domain_stopped(struct service *s, const struct msg_be_event *m)
{
	const struct request *stop = request_of(s->hv, s, REQUEST_STOP);
	/* when jitsud stops it, or an event of the stop before this start comes late */
	bool ours = s->state == STATE_STOPPING || s->stop_under_way || request_is_there(s->hv, s, REQUEST_START);

	if (stop && stop->how == STOP_SAVE)
		return; /* whose answer tells what became of it */
	if (m->what == EVENT_CRASHED || (m->text[0] && state_counts(s->state) && !ours))
		service_set_error(s, "the VM stopped by itself: %s", m->text);
	if (s->state == STATE_STOPPING && !request_is_there(s->hv, s, REQUEST_START))
		hypervisor_found_stopped(s);
	else if (state_counts(s->state) || s->stop_under_way)
		hypervisor_verify(s);
}

void hypervisor_on_event(struct hypervisor *hv, const struct msg_be_event *m)
{
	struct service *s = service_of(hv, m);

	if (!s)
		return;
	if (!hv->reconciled) {
		s->changed_meanwhile = true;
		return;
	}
	switch (m->what) {
	case EVENT_STOPPED:
	case EVENT_SAVED: /* to a file, by hand: it does not run any more, and a start restores it */
	case EVENT_CRASHED: domain_stopped(s, m); break;
	case EVENT_SUSPENDED:
		if (state_serves(s->state) && s->domain_id == m->domain_id)
			service_event(s, SVC_SUSPENDED);
		break;
	case EVENT_STARTED:
	case EVENT_RESUMED:
		if (!request_is_there(hv, s, REQUEST_START) && !request_is_there(hv, s, REQUEST_RESUME) &&
		    (!state_counts(s->state) || s->state == STATE_SUSPENDED))
			hypervisor_discover(s);
		break;
	default: break;
	}
}
