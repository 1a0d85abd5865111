/* Backends: requests under way, their results, and reconciling with what runs.
 *
 * Each hypervisor is a process of its own, known here by its channel.  When the channel or its
 * connection is new, it is asked for every domain, and each service is told what was found of it:
 * running and ours, running and somebody else's, paused, or not there.  Only then services of
 * that hypervisor may be started.  Requests whose answer died with an old channel are settled by
 * the same list.
 *
 * What happens while the list is on its way may be in it or not: those of whom an event told
 * meanwhile are looked at once more.
 *
 * A stop of an existing domain whose start is under way waits for the start's answer: if somebody else
 * started it meanwhile, it is theirs, and must not be stopped.
 *
 * An event "stopped" may belong to a boot that is over already, so it is not believed where that
 * matters: the backend is asked whether the domain truly is gone (REQUEST_VERIFY).
 */
#include <strings.h>

#include "launcher/launcher.h"

enum { LIST_AGAIN_MS = 1000, REQUESTS_KEPT = 1024, DISCOVER_AT_ONCE = 256 };

struct hypervisor *hypervisor_find(struct launcher *l, const char *name)
{
	struct hypervisor *hv;

	TAILQ_FOREACH(hv, &l->hypervisors, next) {
		if (strcmp(hv->name, name) == 0)
			return hv;
	}
	return NULL;
}

bool hypervisor_ready(const struct hypervisor *hv)
{
	return hv && hv->channel && hv->hello.connected && hv->reconciled;
}

bool hypervisor_answers(const struct hypervisor *hv) { return hypervisor_ready(hv) && heartbeat_silent_ms(hv) == 0; }

bool hypervisors_reconciled(const struct launcher *l)
{
	struct hypervisor *hv;

	TAILQ_FOREACH(hv, &l->hypervisors, next) {
		if (!hv->reconciled)
			return false;
	}
	return true;
}

/* ---- requests ---- */

static struct request *request_new(struct hypervisor *hv, enum request_kind kind, const struct service *s)
{
	struct request *r;

	if (hv->n_requests == hv->room_requests) {
		hv->room_requests = hv->room_requests ? hv->room_requests * 2 : 16;
		hv->requests = realloc(hv->requests, hv->room_requests * sizeof(*r));
		if (!hv->requests)
			abort();
	}
	r = &hv->requests[hv->n_requests++];
	*r = (struct request){ .kind = kind, .req = ++hv->l->last_req, .svc = s->index, .gen = s->gen,
				.boot = s->domain_id };
	return r;
}

/* Its place is another one's now.  After a crowd the room is given back. */
static void request_drop(struct hypervisor *hv, struct request *r)
{
	*r = hv->requests[--hv->n_requests];
	if (hv->n_requests > 0 || hv->room_requests <= REQUESTS_KEPT)
		return;
	free(hv->requests);
	hv->requests = NULL;
	hv->room_requests = 0;
}

static void drop_requests(struct hypervisor *hv)
{
	for (size_t i = 0; i < hv->n_requests; i++)
		free(hv->requests[i].domain);
	hv->n_requests = 0;
}

static struct request *request_find(struct hypervisor *hv, uint32_t req)
{
	for (size_t i = 0; i < hv->n_requests; i++) {
		if (hv->requests[i].req == req)
			return &hv->requests[i];
	}
	return NULL;
}

static struct request *request_of(const struct hypervisor *hv, const struct service *s, enum request_kind kind)
{
	for (size_t i = 0; i < hv->n_requests; i++) {
		struct request *r = &hv->requests[i];

		if (r->svc == s->index && r->gen == s->gen && r->kind == kind)
			return r;
	}
	return NULL;
}

static bool has_request(const struct hypervisor *hv, const struct service *s, enum request_kind kind)
{
	return request_of(hv, s, kind) != NULL;
}

/* A backend that died just before is like one that dies just after: the next list settles the request. */
static int send_request(struct hypervisor *hv, enum msg_type type, const void *body)
{
	int r = ipc_send(hv->channel, type, body);

	return r == -EPIPE ? 0 : r;
}

/* Xen knows nothing of a domain that is off: its file does. */
static void ask_file(struct service *s, struct msg_be_target *m)
{
	struct err e;

	if (!s->conf->machine.xl_config[0] || state_counts(s->state) || s->stop_under_way)
		return;
	note_clear(&s->hold.unread);
	if (start_name_file(s, m->domain, m->xl_config, &e) < 0)
		note_set(&s->hold.unread, "%s", e.text);
}

static int send_target_of(struct service *s, enum msg_type type, enum request_kind kind, struct msg_be_target m)
{
	struct request *r;

	if (!hypervisor_ready(s->hv))
		return -ENOTCONN;
	str_copy(m.domain, s->target);
	if (kind == REQUEST_DISCOVER)
		ask_file(s, &m);
	r = request_new(s->hv, kind, s);
	r->how = m.how;
	m.req = r->req;
	m.svc = s->index;
	m.gen = s->gen;
	return send_request(s->hv, type, &m);
}

static int send_target(struct service *s, enum msg_type type, enum request_kind kind, uint8_t how)
{
	return send_target_of(s, type, kind, (struct msg_be_target){ .how = how });
}

int hypervisor_start(struct service *s, struct msg_be_start *m)
{
	if (!hypervisor_ready(s->hv))
		return -ENOTCONN;
	m->req = request_new(s->hv, REQUEST_START, s)->req;
	return send_request(s->hv, MSG_BE_START, m);
}

int hypervisor_resume(struct service *s) { return send_target(s, MSG_BE_RESUME, REQUEST_RESUME, 0); }

/* The answer that is on its way may be older than what is asked about now. */
static void inspect(struct service *s, enum request_kind kind)
{
	struct request *r = s->hv ? request_of(s->hv, s, kind) : NULL;

	if (r)
		r->again = true;
	else if (s->hv)
		send_target(s, MSG_BE_INSPECT, kind, 0);
}

static void discover_later(struct service *s)
{
	if (!s->is_undiscovered)
		TAILQ_INSERT_TAIL(&s->l->undiscovered, s, undiscovered);
	s->is_undiscovered = true;
}

void hypervisor_forget(struct service *s)
{
	if (s->is_undiscovered)
		TAILQ_REMOVE(&s->l->undiscovered, s, undiscovered);
	s->is_undiscovered = false;
}

int64_t hypervisor_ask_domain(struct hypervisor *hv, const char *domain)
{
	static const struct service nobody = { .index = UINT32_MAX };
	struct msg_be_target m = { .svc = nobody.index, .how = INSPECT_ADDRESSES };
	int r;

	if (!hypervisor_ready(hv))
		return -ENOTCONN;
	str_copy(m.domain, domain);
	m.req = request_new(hv, REQUEST_ADOPT, &nobody)->req;
	r = send_request(hv, MSG_BE_INSPECT, &m);
	return r < 0 ? r : (int64_t)m.req;
}

/* Of thousands that are new, a backend would refuse most. */
void hypervisor_discover(struct service *s)
{
	if (s->hv && s->hv->n_requests >= DISCOVER_AT_ONCE)
		discover_later(s);
	else
		inspect(s, REQUEST_DISCOVER);
}

/* A request was answered: one of those that wait takes its place.  (Those that none is sent for, because their
 * hypervisor went away, are settled when it is back.) */
static void discover_next(struct launcher *l)
{
	struct service *s = TAILQ_FIRST(&l->undiscovered);

	if (!s)
		return;
	hypervisor_forget(s);
	hypervisor_discover(s);
}

void hypervisor_verify(struct service *s) { inspect(s, REQUEST_VERIFY); }

void hypervisor_ask_addresses(struct service *s)
{
	if (s->hv && !request_of(s->hv, s, REQUEST_ADDRESSES))
		send_target(s, MSG_BE_INSPECT, REQUEST_ADDRESSES, INSPECT_ADDRESSES);
}

int hypervisor_stop(struct service *s, enum stop_how how)
{
	int r = 0;

	s->stop_waits = machine_is_defined(&s->conf->machine) && hypervisor_ready(s->hv) && has_request(s->hv, s, REQUEST_START);
	if (s->stop_waits)
		s->stop_how = how;
	else
		r = send_target(s, MSG_BE_STOP, REQUEST_STOP, (uint8_t)how);
	if (r == 0)
		s->stop_under_way = true;
	service_is_busy(s);
	return r;
}

int hypervisor_save(struct service *s, struct err *e)
{
	struct msg_be_target m = { .how = STOP_SAVE };
	int r = saves_place(s, m.save, e);

	if (r == 0 && machine_is_defined(&s->conf->machine) && has_request(s->hv, s, REQUEST_START))
		r = err_set(e, -EBUSY, "the hypervisor has not said yet how its start went");
	if (r == 0)
		r = send_target_of(s, MSG_BE_STOP, REQUEST_STOP, m);
	s->stop_under_way = s->saves = r == 0;
	service_is_busy(s);
	return r;
}

bool hypervisor_is_stopping(const struct service *s)
{
	return s->stop_waits || (s->hv && has_request(s->hv, s, REQUEST_STOP));
}

/* ---- what a domain is to us ---- */

/* Of an existing domain. */
static void learn_nics(struct service *s, uint16_t n, const struct msg_nic *nics)
{
	service_room(s);
	s->n_nics = MIN(n, (uint16_t)MSG_NICS_MAX);
	memcpy(s->nics, nics, s->n_nics * sizeof(*nics));
	s->hold.look_again = true; /* at its next move, which mostly follows at once */
}

static void learn(struct service *s, const char *uuid, int32_t id, uint16_t n_nics, const struct msg_nic *nics)
{
	if (uuid[0])
		str_copy(s->uuid, uuid);
	s->domain_id = id;
	if (s->on_taps) {
		if (s->n_nics == 0)
			start_name_nics(s);
	} else if (n_nics > 0) {
		learn_nics(s, n_nics, nics);
	}
}

static bool is_of(const struct msg_be_domain *d, const struct service *s)
{
	return strcasecmp(d->uuid, s->target) == 0 || strcmp(d->name, s->target) == 0;
}

static bool started_by_us(const struct service *s, const struct msg_be_domain *d)
{
	if (!machine_is_defined(&s->conf->machine) || s->conf->manage == MANAGE_ALWAYS || s->run.domain_id == RUN_STATE_ASKED)
		return true;
	return strcasecmp(s->run.uuid, d->uuid) == 0 && s->run.domain_id == d->domain_id && d->domain_id >= 0;
}

static enum service_event found_event(const struct service *s, const struct msg_be_domain *d)
{
	if (!started_by_us(s, d))
		return SVC_FOUND_FOREIGN;
	if (d->state == DOMAIN_PAUSED)
		return SVC_FOUND_PAUSED;
	return s->run.up && s->run.domain_id == d->domain_id ? SVC_FOUND_UP : SVC_FOUND_BOOTING;
}

static void tell_found(struct service *s, const struct msg_be_domain *d)
{
	enum service_event event = found_event(s, d);
	bool boots = s->state == STATE_BOOTING;

	s->hold.known = true;
	saves_runs(s);
	learn(s, d->uuid, d->domain_id, d->n_nics, d->nics);
	s->memory_bytes = d->memory_bytes;
	if (event != SVC_FOUND_FOREIGN)
		s->by_us = true;
	service_event(s, event);
	if (boots && s->state == STATE_BOOTING)
		guest_runs(s); /* which the backend of before was told */
}

static void tell_stopped(struct service *s)
{
	s->domain_id = -1;
	service_event(s, SVC_STOPPED);
}

/* Not running.  What that means depends on what we believed. */
static void tell_absent(struct service *s)
{
	switch (s->state) {
	case STATE_STARTING: service_event(s, SVC_START_LOST); break;
	case STATE_OFF:
	case STATE_FAILED:
	case STATE_CONFLICT: service_gone(s); break;
	case STATE_SAVED:
		note_set(&s->stop_reason, "what was saved of it is gone");
		service_event(s, SVC_SAVE_GONE);
		break;
	case STATE_STOPPING:
		if (s->saves)
			service_lost(s, "the hypervisor's process ended");
		tell_stopped(s);
		break;
	default: tell_stopped(s);
	}
}

/* Does it not run because it is saved? */
static bool is_saved(const struct service *s, const struct msg_be_domain *d)
{
	return saves_are_ours(s) ? saves_exist(s, NULL) : d && d->state == DOMAIN_SAVED;
}

static void tell_saved(struct service *s, const struct msg_be_domain *d)
{
	if (!state_counts(s->state) && !s->stop_under_way && is_saved(s, d))
		service_event(s, SVC_SAVED);
}

/* Not running, as far as that is new. */
static void tell_off(struct service *s, const struct msg_be_domain *d)
{
	if (s->state == STATE_STOPPING && is_saved(s, d)) {
		service_event(s, SVC_SAVED);
		return;
	}
	if (s->state != STATE_SAVED || !is_saved(s, d))
		tell_absent(s);
	tell_saved(s, d);
}

static void ask_console(struct hypervisor *hv, const struct service *s)
{
	struct msg_be_console m = { .svc = s->index, .gen = s->gen };

	if (machine_is_defined(&s->conf->machine))
		return;
	snprintf(m.name, sizeof(m.name), "jitsu-%s", s->conf->name);
	ipc_send(hv->channel, MSG_BE_CONSOLE, &m);
}

void hypervisor_end_console(const struct service *s)
{
	struct msg_be_console m = { .svc = s->index, .gen = s->gen, .over = true };

	if (!s->hv || !s->hv->channel)
		return;
	snprintf(m.name, sizeof(m.name), "jitsu-%s", s->conf->name);
	ipc_send(s->hv->channel, MSG_BE_CONSOLE, &m);
}

/* Its ports, if it had any, are of a boot that is over. */
static void learn_absent(struct service *s, const struct msg_be_domain *d)
{
	s->memory_bytes = d->memory_bytes;
	if (s->on_taps || d->n_nics == 0)
		return;
	learn_nics(s, d->n_nics, d->nics);
	if (d->state == DOMAIN_OFF)
		s->hold.mac_varies = s->conf->machine.xl_config[0] && mac_is_zero(&d->nics[0].mac);
	for (uint16_t i = 0; i < s->n_nics; i++)
		s->nics[i].ifname[0] = '\0';
}

static void settle(struct hypervisor *hv, struct service *s)
{
	const struct msg_be_domain *off = NULL;

	for (size_t i = 0; i < hv->n_found; i++) {
		const struct msg_be_domain *d = &hv->found[i];

		if (!is_of(d, s))
			continue;
		if (d->state != DOMAIN_RUNNING && d->state != DOMAIN_PAUSED) {
			learn_absent(s, d);
			off = d;
			break;
		}
		ask_console(hv, s);
		tell_found(s, d);
		if (s->state == STATE_STOPPING)
			service_event(s, SVC_STOP_LOST);
		holds_judge(s, false);
		return;
	}
	if (!s->conf->machine.xl_config[0]) /* else service_gone() asks its file */
		s->hold.known = true;
	tell_off(s, off);
	holds_judge(s, false);
}

/* Domains with our prefix that belong to no service: named, and left to the operator. */
static void name_strays(struct hypervisor *hv)
{
	struct service *s;

	for (size_t i = 0; i < hv->n_found; i++) {
		const struct msg_be_domain *d = &hv->found[i];
		bool known = strncmp(d->name, "jitsu-", 6) != 0 || d->state == DOMAIN_OFF;

		FOR_EACH_SERVICE(hv->l, s)
			known = known || is_of(d, s);
		if (!known)
			log_warn("the VM %s runs on \"%s\" and belongs to no service: configure its service again and "
				 "stop it with jitsuctl, or end its QEMU", d->name, hv->name);
	}
}

static void look_again(struct service *s)
{
	if (!s->changed_meanwhile)
		return;
	s->changed_meanwhile = false;
	if (state_counts(s->state))
		hypervisor_verify(s);
	else
		hypervisor_discover(s);
}

static void reconcile(struct hypervisor *hv)
{
	struct launcher *l = hv->l;
	struct service *s;

	hv->list_req = 0;
	drop_requests(hv); /* what was under way on an old channel is settled now */
	hv->reconciled = true;
	FOR_EACH_SERVICE(l, s) {
		if (s->hv == hv) {
			s->stop_under_way = s->stop_waits = false;
			hypervisor_forget(s);
			settle(hv, s);
			look_again(s);
		}
	}
	name_strays(hv);
	log_info("hypervisor \"%s\" is ready: %s, %s", hv->name, hv->hello.version,
		 hv->hello.kvm ? "KVM works" : hv->hello.text);
	hold_bridges_sweep(l);
	if (!synproxy_is_told(l))
		synproxy_snapshot(l);
	if (!l->dns_told && hypervisors_reconciled(l))
		dns_snapshot(l);
	wake_pump(l);
}

static void ask_list(struct hypervisor *hv)
{
	struct msg_be_target m = { .req = ++hv->l->last_req };

	hv->reconciled = false;
	hv->n_found = 0;
	hv->list_req = m.req;
	ipc_send(hv->channel, MSG_BE_LIST, &m);
}

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
		learn(s, m->uuid, m->domain_id, m->n_nics, m->nics); /* too late: its stop follows */
	} else if (m->error == 0) {
		learn(s, m->uuid, m->domain_id, m->n_nics, m->nics);
		trace_mark(s->l->trace, s->wake, MARK_RUNNING, m->t_done_ns);
		service_event(s, SVC_STARTED);
	} else if (m->error == -EEXIST) {
		s->run.domain_id = RUN_STATE_OFF; /* it was asked for, but by then it ran */
		str_copy(d.uuid, m->uuid);
		d.memory_bytes = s->memory_bytes;
		d.n_nics = m->n_nics;
		memcpy(d.nics, m->nics, sizeof(d.nics));
		tell_found(s, &d);
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
		learn(s, m->uuid, m->domain_id, m->n_nics, m->nics);
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
		tell_stopped(s);
	wake_pump(s->l);
}

/* A domain runs, or runs again, and that was not our doing. */
static void discovered(struct service *s, const struct request *r)
{
	if (r->domain && is_of(r->domain, s) && !state_counts(s->state) && !s->stop_under_way)
		learn_absent(s, r->domain);
	if (r->domain && is_of(r->domain, s) && r->domain->state == DOMAIN_RUNNING &&
	    (!state_counts(s->state) || s->state == STATE_SUSPENDED))
		tell_found(s, r->domain);
	else if (!r->domain || is_of(r->domain, s))
		tell_saved(s, r->domain);
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
		learn(s, r->domain->uuid, r->domain->domain_id, r->domain->n_nics, r->domain->nics);
	if (runs && s->hold.port_lost)
		holds_look_at_port(s);
	if (runs || (m->error < 0 && m->error != -ENOENT) || is_overtaken(s, r))
		return;
	if (s->state == STATE_STOPPING && s->saves)
		service_lost(s, s->last_error);
	if (s->state == STATE_OFF || s->state == STATE_FAILED)
		service_gone(s);
	else
		tell_stopped(s);
	discovered(s, r); /* another boot of it, by someone else */
	wake_pump(s->l);
}

static void on_result(struct hypervisor *hv, const struct msg_be_result *m)
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
	discover_next(hv->l);
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

static void on_domain(struct hypervisor *hv, const struct msg_be_domain *m)
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
	bool ours = s->state == STATE_STOPPING || s->stop_under_way || has_request(s->hv, s, REQUEST_START);

	if (stop && stop->how == STOP_SAVE)
		return; /* whose answer tells what became of it */
	if (m->what == EVENT_CRASHED || (m->text[0] && state_counts(s->state) && !ours))
		service_set_error(s, "the VM stopped by itself: %s", m->text);
	if (s->state == STATE_STOPPING && !has_request(s->hv, s, REQUEST_START))
		tell_stopped(s);
	else if (state_counts(s->state) || s->stop_under_way)
		hypervisor_verify(s);
}

static void on_event(struct hypervisor *hv, const struct msg_be_event *m)
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
		if (!has_request(hv, s, REQUEST_START) && !has_request(hv, s, REQUEST_RESUME) &&
		    (!state_counts(s->state) || s->state == STATE_SUSPENDED))
			hypervisor_discover(s);
		break;
	default: break;
	}
}

/* ---- the channel ---- */

static void on_hello(struct hypervisor *hv, const struct msg_be_hello *m)
{
	bool was = hv->hello.connected, greeted = hv->greeted;

	hv->hello = *m;
	hv->greeted = true;
	if (!m->connected) {
		hv->reconciled = false;
		/* the first word of a new process says only that it is trying */
		if (greeted)
			log_limited(LOG_WARN, "hypervisor \"%s\" is not connected: %s", hv->name, m->text);
		return;
	}
	if (!was || !hv->reconciled)
		ask_list(hv);
}

static void on_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct hypervisor *hv = arg;
	const struct msg_be_target *end = body;

	(void)ch;
	switch (type) {
	case MSG_BE_HELLO: on_hello(hv, body); break;
	case MSG_BE_RESULT: on_result(hv, body); break;
	case MSG_BE_DOMAIN: on_domain(hv, body); break;
	case MSG_BE_LIST_END:
		if (end->req == hv->list_req)
			reconcile(hv);
		break;
	case MSG_BE_EVENT: on_event(hv, body); break;
	case MSG_BE_GUEST: guest_stream(hv, body, fd); break;
	case MSG_BE_KEY: guest_key(hv->l, body); break;
	case MSG_PONG: heartbeat_hear(hv); break;
	case MSG_LOG: launcher_hear_log(hv->l, hv->name, body); break;
	default: log_limited(LOG_WARN, "backend \"%s\" said %s, which it may not", hv->name, msg_name(type));
	}
}

static void on_end(void *arg, struct ipc *ch, int error)
{
	struct hypervisor *hv = arg;

	ipc_free(ch);
	if (hv->channel != ch)
		return;
	hv->channel = NULL;
	hv->reconciled = false;
	heartbeat_end(hv);
	memset(&hv->hello, 0, sizeof(hv->hello));
	if (error < 0)
		launcher_stuck(hv->l, ROLE_BACKEND, hv->name);
}

void hypervisor_channel(struct hypervisor *hv, int fd)
{
	ipc_free(hv->channel);
	hv->reconciled = false;
	memset(&hv->hello, 0, sizeof(hv->hello));
	hv->greeted = false;
	hv->channel = ipc_new(hv->l->base, fd, on_msg, on_end, hv);
	if (!hv->channel)
		abort();
	heartbeat_begin(hv);
}

static void on_list_again(evutil_socket_t fd, short what, void *arg)
{
	struct hypervisor *hv = arg;

	(void)fd;
	(void)what;
	if (hv->channel && hv->hello.connected && !hv->reconciled && hv->list_req == 0)
		ask_list(hv);
}

struct hypervisor *hypervisor_new(struct launcher *l, const char *name)
{
	struct hypervisor *hv = calloc(1, sizeof(*hv));

	if (!hv)
		abort();
	hv->l = l;
	str_copy(hv->name, name);
	hv->list_again = evtimer_new(l->base, on_list_again, hv);
	if (!hv->list_again)
		abort();
	heartbeat_new(hv);
	TAILQ_INSERT_TAIL(&l->hypervisors, hv, next);
	return hv;
}

void hypervisor_free(struct hypervisor *hv)
{
	TAILQ_REMOVE(&hv->l->hypervisors, hv, next);
	ipc_free(hv->channel);
	event_free(hv->list_again);
	heartbeat_free(hv);
	free(hv->found);
	free(hv->requests);
	free(hv);
}
