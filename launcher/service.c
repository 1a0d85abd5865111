/* A service's life: what is done at each move of service_fsm.h's table.
 *
 * service_event() alone changes a state: it looks the move up, sets the state, logs the change,
 * does the action, and tells dns and whoever waits.  An action may itself bring the next event (a
 * start that fails at once): it then finds the state already moved.
 *
 * A service has one timer, whose meaning follows from the state:
 *   STARTING, BOOTING   start_timeout, counted from the start
 *   UP                  when it could be idle at the earliest
 *   DRAINING            dns or synproxy has not acknowledged in time.  When it is away, whoever
 *                       restarts it gets a snapshot by which nobody is sent to the VM; when it
 *                       hangs, the VM stays up
 *   STOPPING            stop_timeout
 *   FAILED              stop_timeout, of a VM that did not get ready, where stop_force ends it
 *   any that is off     it is no longer configured, and is forgotten at the next turn of the loop
 *
 * Stopping without anybody noticing: from UP the service first goes to DRAINING, which dns
 * acknowledges once it sends nobody to the VM any more, and synproxy, where connections are held, once
 * it has all that comes for it and has looked at what came before.  Then one last look: was its
 * address given away, or did a packet come, since it was found idle?  Only if not, it stops.  That is
 * counted, and not told from times: an answer is marked with the time its query came.
 *
 * A stop while the start of an existing domain is under way waits for that start's answer: the domain may turn
 * out to have been started by somebody else meanwhile.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <sys/random.h>

#include "launcher/hooks_side.h"
#include "launcher/idle.h"
#include "launcher/instances.h"
#include "launcher/launcher.h"

enum { DRAIN_MS = 1000, DRAIN_SETTLE_MS = 20, RETRY_MS = 1000 };

/* ---- facts ---- */

struct service *service_find(struct launcher *l, uint32_t index, uint32_t gen)
{
	struct service *s = index < l->n_services ? l->services[index] : NULL;

	return s && s->gen == gen ? s : NULL;
}

static struct service **names_of(struct launcher *l, const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name; name++) /* FNV-1a */
		h = (h ^ (uint8_t)*name) * 16777619u;
	return &l->by_name[h % SERVICE_NAMES];
}

struct service *service_by_name_any(struct launcher *l, const char *name)
{
	struct service *s = *names_of(l, name);

	while (s && strcmp(s->conf->name, name) != 0)
		s = s->same_name;
	return s;
}

struct service *service_by_name(struct launcher *l, const char *name)
{
	struct service *s = service_by_name_any(l, name);

	return s && !s->removed ? s : NULL;
}

bool service_is_served(const struct service *s) { return !s->removed && s->conf->enabled; }

void service_set_error(struct service *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note_set_v(&s->last_error, fmt, ap);
	va_end(ap);
}

static void on_timer(evutil_socket_t fd, short what, void *arg);

void service_arm(struct service *s, enum timer_for what, uint64_t ms)
{
	struct timeval tv = clock_timeval_ms(ms);

	s->timer_for = what;
	if (what == TIMER_NONE && s->timer)
		event_del(s->timer);
	if (what == TIMER_NONE)
		return;
	if (!s->timer)
		s->timer = evtimer_new(s->l->base, on_timer, s);
	if (!s->timer)
		abort();
	event_add(s->timer, &tv);
}

static void save_run_state(struct service *s, bool up)
{
	s->run.domain_id = s->by_us ? s->domain_id : RUN_STATE_OFF;
	str_copy(s->run.uuid, s->run.domain_id == RUN_STATE_OFF ? "" : s->uuid);
	s->run.up = up && s->by_us;
	s->run.asked_ms = MAX(s->run.asked_ms, use_asked_ms(s));
	run_state_save(s->l->conf->run_dir, s->conf->name, &s->run);
}

void service_room(struct service *s)
{
	if (s->nics)
		return;
	s->nics = calloc(MSG_NICS_MAX, sizeof(*s->nics));
	s->ports = calloc(MSG_NICS_MAX, sizeof(*s->ports));
	if (!s->nics || !s->ports)
		abort();
}

/* ---- starting ---- */

/* A machine of ours is known by its UUID; a domain that was started while nobody heard the result
 * is known by this. */
static void note_asked(struct service *s)
{
	if (!machine_is_defined(&s->conf->machine))
		return;
	s->run.domain_id = RUN_STATE_ASKED;
	s->run.up = false;
	run_state_save(s->l->conf->run_dir, s->conf->name, &s->run);
}

static void set_target(struct service *s, const char *target)
{
	char *copy = strdup(target);

	if (!copy)
		abort();
	free(s->target);
	s->target = copy;
}

void service_set_target(struct service *s, const char *domain)
{
	if (s->target && strcmp(s->target, domain) != 0)
		s->uuid[0] = '\0';
	set_target(s, domain);
}

/* Where its VM is and what it is called, as the record says now.  Not while there is one. */
static void follow_conf(struct service *s)
{
	const struct machine_conf *m = &s->conf->machine;
	char name[MSG_NAME_MAX * 2];
	const struct hypervisor_conf *hv = conf_hypervisor(s->l->conf, m->hypervisor);

	s->hv = hypervisor_find(s->l, m->hypervisor);
	s->on_taps = !machine_is_defined(m) && !(hv && uri_is_xen(hv->uri));
	if (!machine_is_defined(m)) {
		identity_uuid(&s->l->identity, s->conf->name, s->uuid);
		set_target(s, s->uuid);
		return;
	}
	start_name_domain(s, name, sizeof(name));
	service_set_target(s, name);
}

/* A start that begins anew, because a backend died with it, has no more time than the first; unless its time ran out
 * while the backend hung, which happens to a start once. */
static void arm_start(struct service *s)
{
	if (s->timer_for == TIMER_START && s->stalled != STALL_NOW)
		return;
	s->stalled = s->timer_for == TIMER_START ? STALL_OVER : STALL_NONE;
	service_arm(s, TIMER_START, s->conf->start_timeout_ms);
}

/* Its time is over, but the hypervisor's process has hung and is about to be replaced: that is not the VM's failure. */
static void start_is_late(struct service *s)
{
	bool silent = s->hv && heartbeat_silent_ms(s->hv) > 0;

	if (s->state != STATE_STARTING || s->stalled == STALL_OVER || !(silent || s->stalled == STALL_NOW)) {
		service_event(s, SVC_START_TIMEOUT);
	} else if (silent) {
		s->stalled = STALL_NOW;
		service_arm(s, TIMER_START, RETRY_MS);
	} else { /* it answers again, and carries it out now */
		s->stalled = STALL_OVER;
		service_arm(s, TIMER_START, s->conf->start_timeout_ms);
	}
}

/* Was it woken by one who came, or by one who may come? */
static void note_cause(struct service *s)
{
	s->by_query = s->wake_ns && (s->cause == CAUSE_DNS || s->cause == CAUSE_PING);
	s->came = false;
	s->came_looked_ms = 0;
	use_begin(s);
}

/* What was saved of it, if anything that is still good: the start is a restore then.  0, or -errno with *e. */
static int find_saved(struct service *s, char save[MSG_PATH_MAX], struct err *e)
{
	int r = saves_find(s, save, e);

	s->restores = r > 0 || (s->saved_there && !s->fresh);
	if (r <= 0)
		save[0] = '\0';
	if (r == -ESTALE) {
		events_saved(s, "what was saved of it is not restored, but thrown away: %s", e->text);
		saves_drop(s);
		r = 0;
	}
	if (s->restores)
		guest_restored(s);
	return MIN(r, 0);
}

static void begin_start(struct service *s)
{
	struct err e = { 0 };
	char save[MSG_PATH_MAX] = "";
	int found;

	follow_conf(s);
	s->by_us = true;
	s->running = s->seen_ready = false;
	guest_begin(s);
	found = find_saved(s, save, &e);
	note_cause(s);
	note_clear(&s->last_error);
	trace_mark(s->l->trace, s->wake, MARK_START, clock_now_ns());
	arm_start(s);
	note_asked(s);
	if (found < 0 || start_send(s, save, &e) < 0) {
		service_set_error(s, "%s", e.text);
		service_event(s, SVC_START_FAILED);
		return;
	}
	ready_begin(s);
	start_open_ports(s);
}

static void begin_resume(struct service *s)
{
	trace_mark(s->l->trace, s->wake, MARK_START, clock_now_ns());
	s->running = s->seen_ready = false;
	note_cause(s);
	note_clear(&s->last_error);
	arm_start(s);
	if (hypervisor_resume(s) < 0) {
		service_set_error(s, "the hypervisor is not connected");
		service_event(s, SVC_START_FAILED);
		return;
	}
	ready_begin(s);
}

static void begin_probe(struct service *s)
{
	arm_start(s);
	save_run_state(s, false);
	start_open_ports(s); /* of a domain that is not ours the port is known only now */
	ready_running(s);
}

static void look_for_idle(struct service *s)
{
	struct idle_verdict v;

	s->uses = use_count(s); /* first: what comes after it, the last look sees */
	v = service_idle(s);
	if (!v.idle)
		service_arm(s, TIMER_IDLE, v.look_again_ms);
	else if (!hypervisor_ready(s->hv)) /* it cannot be stopped now: clients need not wait for that */
		service_arm(s, TIMER_IDLE, RETRY_MS);
	else
		service_event(s, SVC_IDLE);
}

static uint64_t first_idle_look_ms(const struct service *s)
{
	uint64_t ms = MIN(s->conf->idle_timeout_ms, (uint64_t)60000);

	return s->by_query && holds_now(s) ? MIN(ms, s->conf->dns_grace_ms) : ms;
}

static void is_up(struct service *s)
{
	uint64_t now = clock_now_ns();

	ready_stop(s);
	s->failures = 0;
	s->stop_failed_ms = 0;
	s->seen_ready = true;
	trace_mark(s->l->trace, s->wake, MARK_UP, now);
	trace_end(s->l->trace, s->wake, TRACE_UP, "");
	if (s->wake_ns) {
		s->last_wake_ms = (now - s->wake_ns) / NS_PER_MS;
		log_info("service=%s is up, %" PRIu64 " ms after it was asked for", s->conf->name, s->last_wake_ms);
		registrar_learn(s);
		hooks_up(s, s->last_wake_ms);
		s->wake_ns = 0;
	} else {
		log_info("service=%s is up", s->conf->name);
		s->answered_ms = clock_now_ms(); /* found up: somebody may hold its address */
		s->by_query = false;
	}
	service_arm(s, TIMER_IDLE, first_idle_look_ms(s));
	if (s->domain_id >= 0)
		save_run_state(s, true);
	start_open_ports(s);
	learning_up(s);
	use_watch(s);
}

static void note_started(struct service *s) { save_run_state(s, s->state == STATE_UP); }

static void adopt(struct service *s)
{
	ready_stop(s);
	s->by_us = s->wake_again = s->by_query = false;
	service_arm(s, TIMER_NONE, 0);
	trace_end(s->l->trace, s->wake, TRACE_UP, "it was started by someone else");
	log_info("service=%s runs, started by someone else: it is served and never stopped", s->conf->name);
	save_run_state(s, true);
	start_open_ports(s);
	learning_up(s);
}

/* ---- failing ---- */

static void back_off(struct service *s)
{
	uint32_t random = 0;
	uint64_t wait;

	if (getrandom(&random, sizeof(random), 0) < 0)
		random = (uint32_t)clock_now_ns();
	s->failures++;
	s->starts_failed++;
	wait = back_off_ms(s->failures, random);
	s->retry_ms = clock_now_ms() + wait;
	if (!s->last_error[0])
		service_set_error(s, "the VM stopped before it was ready");
	log_warn("service=%s failed to start: %s; no new try for %" PRIu64 " ms", s->conf->name, s->last_error, wait);
	trace_end(s->l->trace, s->wake, TRACE_FAILED, s->last_error);
	hooks_failed(s);
	s->wake_ns = 0;
}

static void fail(struct service *s)
{
	ready_stop(s);
	service_arm(s, TIMER_NONE, 0);
	back_off(s);
	if (!s->stop_under_way && s->domain_id < 0) /* else a resume failed: it is there, paused */
		service_gone(s);
}

bool service_gives_up_gently(const struct service *s)
{
	bool keeps = machine_is_defined(&s->conf->machine) || machine_writes(&s->conf->machine);

	return s->conf->stop == STOP_SHUTDOWN || (s->conf->stop == STOP_SAVE && keeps);
}

/* It runs but did not become ready.  What may be destroyed is; a VM that must be shut down with
 * care is asked to, and if it does not go, is left for the operator to look at. */
static void give_up(struct service *s)
{
	char why[MSG_TEXT_MAX];

	snprintf(why, sizeof(why), "not ready %" PRIu64 " s after the start (start_timeout): %s",
		 s->conf->start_timeout_ms / 1000,
		 !s->running	    ? "the hypervisor has not started it yet"
		 : learning_is_unknown(s) ? learning_why_unknown(s)
		 : !s->probes_done  ? "its address or port did not answer; \"jitsuctl console\" shows what it says"
		 : !s->delay_done   ? "its delay is not over"
				    : guest_explain_unready(s));
	service_set_error(s, "%s", why);
	ready_stop(s);
	service_arm(s, TIMER_STOP, s->conf->stop_timeout_ms);
	back_off(s);
	hypervisor_stop(s, service_gives_up_gently(s) ? STOP_SHUTDOWN : STOP_DESTROY);
}

/* ---- restoring ---- */

/* Whoever waits for it is served by a boot instead. */
void service_not_restored(struct service *s, const char *why)
{
	events_saved(s, "what was saved of it could not be restored, so that it is booted: %s", why);
	if (saves_are_ours(s))
		s->put_aside = saves_put_aside(s);
	else
		s->fresh = true;
	service_event(s, SVC_RESTORE_FAILED);
}

void service_not_booted(struct service *s)
{
	if (s->put_aside)
		saves_put_back(s);
	s->put_aside = false;
}

void service_runs(struct service *s)
{
	s->saved_there = s->fresh = s->put_aside = false;
	saves_runs(s);
}

/* ---- stopping ---- */

/* service_event() has told dns and synproxy, whose acknowledgements come to service_drained(). */
static void drain(struct service *s)
{
	bool held = s->hold.stage == HOLD_STAGE_DRAIN;

	s->drains_alone = s->drain_seq == 0 || (held && s->hold.drain_seq == 0);
	service_arm(s, TIMER_DRAIN, DRAIN_MS);
}

void service_drained(struct service *s)
{
	if (s->state != STATE_DRAINING || s->drain_seq != 0 || s->hold.drain_seq != 0 || s->xdp_seq != 0 ||
	    s->drains_alone)
		return;
	/* packets of a client that was given the address just before may still be on their way */
	service_arm(s, TIMER_DRAIN, DRAIN_SETTLE_MS);
}

static void explain_idle(struct service *s)
{
	struct idle_verdict v = service_idle(s);
	uint64_t timeout_s = s->conf->idle_timeout_ms / 1000;

	if (v.nobody_came)
		note_set(&s->stop_reason, "idle: a query woke it, and nobody came (dns_grace)");
	else if (holds_now(s))
		note_set(&s->stop_reason, "idle: no traffic for %" PRIu64 " s", timeout_s);
	else
		note_set(&s->stop_reason, "idle: no traffic for %" PRIu64 " s and nobody holds its address", timeout_s);
}

static void last_look(struct service *s)
{
	bool sent = s->xdp_seq != 0; /* an answer by XDP may be on its way still */
	bool may_send = s->drain_seq != 0 && s->l->dns; /* dns has not said yes: somebody may still be sent */
	bool may_come = s->hold.drain_seq != 0 && s->l->synproxy; /* nor synproxy: somebody may have come */
	bool wanted = sent || may_send || may_come || use_count(s) != s->uses;

	if (may_send)
		log_limited(LOG_WARN, "service=%s stays up: dns does not say that it sends nobody there any more",
			    s->conf->name);
	if (may_come)
		log_limited(LOG_WARN, "service=%s stays up: synproxy does not say that nobody has come", s->conf->name);
	if (!wanted)
		explain_idle(s);
	if (!wanted && s->by_query)
		wake_dns_judge(s, use_has_come(s));
	service_event(s, wanted ? SVC_WANTED : SVC_DRAINED);
}

/* A machine of ours that is suspended already, or will never be woken again, is ended: nobody could
 * end it otherwise, and it counts against the limits. */
static enum stop_how way_to_stop(const struct service *s, enum service_state before)
{
	bool for_good = before == STATE_SUSPENDED || s->removed;
	bool sleeps = s->conf->stop == STOP_SUSPEND || s->conf->stop == STOP_SAVE;

	if (sleeps && for_good && !machine_is_defined(&s->conf->machine))
		return STOP_DESTROY;
	if (s->conf->stop == STOP_SAVE && !s->seen_ready) /* nobody would be served sooner by what is in the file */
		return service_gives_up_gently(s) ? STOP_SHUTDOWN : STOP_DESTROY;
	return s->conf->stop;
}

/* One that cannot be saved stays, for nobody shall lose what it is in the midst of, and is tried again when it is idle
 * again: the disk may have room by then. */
void service_not_saved(struct service *s)
{
	s->saves = false;
	events_saved(s, "%s", s->last_error);
	if (!s->conf->stop_force) {
		service_stop_failed(s);
		return;
	}
	log_warn("service=%s is destroyed instead (stop_force)", s->conf->name);
	hypervisor_stop(s, STOP_DESTROY);
}

void service_lost(struct service *s, const char *why)
{
	s->saves = false;
	note_set(&s->stop_reason, "it ended while it was saved, and what it had in memory is lost: %s", why);
	events_saved(s, "%s", s->stop_reason);
}

static void save(struct service *s)
{
	struct err e = { 0 };
	int r = hypervisor_save(s, &e);

	if (r == -ENOTCONN)
		log_warn("service=%s cannot be saved now: its hypervisor is not connected", s->conf->name);
	if (r == 0 || r == -ENOTCONN)
		return;
	service_set_error(s, "it could not be saved: %s", e.text);
	service_not_saved(s);
}

static void stop(struct service *s, enum service_state before)
{
	ready_stop(s);
	service_arm(s, TIMER_STOP, s->conf->stop_timeout_ms);
	if (way_to_stop(s, before) == STOP_SAVE)
		save(s);
	else if (hypervisor_stop(s, way_to_stop(s, before)) < 0)
		log_warn("service=%s cannot be stopped now: its hypervisor is not connected", s->conf->name);
}

static void stop_is_late(struct service *s)
{
	if (s->conf->stop_force && s->conf->stop == STOP_SHUTDOWN && s->domain_id >= 0) {
		log_warn("service=%s did not shut down in time: destroying it (stop_force)", s->conf->name);
		hypervisor_stop(s, STOP_DESTROY);
		return;
	}
	if (s->state == STATE_FAILED && s->stop_under_way && !hypervisor_is_stopping(s)) {
		/* it was never ready, and does not go either: looked at again, it may be ready by now */
		s->stop_under_way = false;
		hypervisor_discover(s);
		return;
	}
	if (s->state != STATE_STOPPING)
		return;
	if (hypervisor_is_stopping(s)) { /* nobody knows yet whether it stays */
		service_arm(s, TIMER_STOP, RETRY_MS);
		return;
	}
	service_set_error(s, "it did not stop within %" PRIu64 " s (stop_timeout); it is left running, and asked again later",
			  s->conf->stop_timeout_ms / 1000);
	service_stop_failed(s);
}

void service_stop_failed(struct service *s)
{
	service_event(s, s->seen_ready ? SVC_STOP_FAILED : SVC_STOP_FAILED_EARLY);
}

static void stay(struct service *s, enum service_state before)
{
	if (before == STATE_STOPPING) {
		s->stop_failed_ms = clock_now_ms();
		s->stop_under_way = false;
		log_warn("service=%s %s", s->conf->name, s->last_error);
	}
	if (s->wake_again) {
		trace_end(s->l->trace, s->wake, TRACE_UP, "it could not be stopped");
		s->wake_ns = 0;
	}
	s->wake_again = false;
	if (s->state == STATE_BOOTING) {
		ready_drop_port(s); /* which synproxy has let go */
		begin_probe(s);
	} else {
		service_arm(s, TIMER_IDLE, RETRY_MS);
	}
}

void service_gone(struct service *s)
{
	s->stop_under_way = s->stop_waits = false;
	s->domain_id = -1;
	s->running = false;
	start_clean_up(s);
	guest_end(s);
	save_run_state(s, false);
	follow_conf(s);
	holds_judge(s, false);
	if (s->removed)
		service_arm(s, TIMER_FORGET, 0);
	else if (s->conf->machine.xl_config[0])
		hypervisor_discover(s); /* what its file says now */
}

/* Not from inside an event: whoever brought it still looks at the service. */
static void forget(struct service *s)
{
	if (!s->removed || state_counts(s->state) || s->stop_under_way)
		return;
	log_info("service=%s is forgotten", s->conf->name);
	service_free(s);
}

static void down(struct service *s, enum service_state before)
{
	ready_stop(s);
	service_arm(s, TIMER_NONE, 0);
	s->saved_there = false;
	if (before != STATE_STOPPING && before != STATE_SAVED)
		note_set(&s->stop_reason, "the VM stopped by itself, or was stopped from outside");
	s->last_stop_ms = clock_now_ms();
	log_info("service=%s is off: %s", s->conf->name, s->stop_reason);
	service_gone(s);
}

/* A VM of ours that is not configured any more is not restored either. */
static void saved(struct service *s, enum service_state before)
{
	ready_stop(s);
	service_arm(s, TIMER_NONE, 0);
	s->saved_there = !saves_are_ours(s);
	if (before == STATE_STOPPING)
		s->last_stop_ms = clock_now_ms();
	else
		note_set(&s->stop_reason, "it was found saved");
	log_info("service=%s is saved: %s", s->conf->name, s->stop_reason);
	if (s->removed)
		saves_drop(s);
	service_gone(s);
}

/* What an existing domain was is its owner's, who can start it. */
static void discard(struct service *s)
{
	if (!saves_are_ours(s)) {
		log_info("service=%s stays saved: its hypervisor keeps that, and so does jitsu", s->conf->name);
		return;
	}
	saves_drop(s);
	log_info("service=%s what was saved of it is thrown away: %s", s->conf->name, s->stop_reason);
	service_event(s, SVC_SAVE_GONE);
}

static void paused(struct service *s, enum service_state before)
{
	ready_stop(s);
	service_arm(s, TIMER_NONE, 0);
	s->stop_under_way = false;
	if (before != STATE_STOPPING)
		note_set(&s->stop_reason, "it was paused from outside");
	s->last_stop_ms = clock_now_ms();
	log_info("service=%s is suspended: %s", s->conf->name, s->stop_reason);
	save_run_state(s, true);
}

/* ---- events ---- */

static void act(struct service *s, enum service_action action, enum service_state before)
{
	switch (action) {
	case DO_START: begin_start(s); break;
	case DO_RESUME: begin_resume(s); break;
	case DO_PROBE: begin_probe(s); break;
	case DO_UP: is_up(s); break;
	case DO_NOTE_STARTED: note_started(s); break;
	case DO_FAIL: fail(s); break;
	case DO_GIVE_UP: give_up(s); break;
	case DO_DRAIN: drain(s); break;
	case DO_STAY: stay(s, before); break;
	case DO_STOP: stop(s, before); break;
	case DO_REMEMBER: s->wake_again = true; break;
	case DO_DOWN: down(s, before); break;
	case DO_PAUSED: paused(s, before); break;
	case DO_SAVED: saved(s, before); break;
	case DO_DISCARD: discard(s); break;
	case DO_ADOPT: adopt(s); break;
	case DO_CONFLICT: log_warn("service=%s is not held: %s", s->conf->name, s->last_error); break;
	case DO_NOTHING:
	case DO_IMPOSSIBLE:
	case SERVICE_ACTION_N: break;
	}
}

static bool sleeps(enum service_state state)
{
	return state == STATE_OFF || state == STATE_SUSPENDED || state == STATE_SAVED;
}

static bool is_running(enum service_state state) { return state_counts(state) && state != STATE_SUSPENDED; }

/* After a move: those who wait elsewhere hear of it, and what waited for room gets it. */
static void moved(struct service *s, enum service_state before)
{
	struct launcher *l = s->l;

	if (s->wake_again && service_is_served(s) && sleeps(s->state)) {
		s->wake_again = false;
		wake_queue(s);
	}
	operators_state_changed(s);
	if (is_running(before) && sleeps(s->state))
		hooks_stopped(s);
	if (state_is_starting(before) || state_counts(before) != state_counts(s->state) || s->queued)
		wake_pump(l);
}

void service_event(struct service *s, enum service_event event)
{
	struct service_move move = service_fsm(s->state, event);
	enum service_state before = s->state;
	uint32_t seq;
	bool late;

	if (move.action == DO_IMPOSSIBLE) {
		log_limited(LOG_WARN, "service=%s \"%s\" cannot happen while it is %s: ignored", s->conf->name,
			    service_event_name(event), state_name(s->state));
		return;
	}
	if (move.next != before) {
		s->state = move.next;
		service_is_busy(s);
		/* a drain that ends in staying up does not make it young again */
		if (!is_running(before))
			s->running_since_ms = clock_now_ms();
		if (!(before == STATE_DRAINING && s->state == STATE_UP) && s->state != STATE_DRAINING)
			s->since_ms = clock_now_ms();
		log_debug("service=%s %s -> %s (%s)", s->conf->name, state_name(before), state_name(s->state),
			  service_event_name(event));
		holds_moved(s, before);
		seq = dns_tell_state(s);
		if (s->state == STATE_DRAINING)
			s->drain_seq = seq;
	}
	/* those find out why */
	late = move.action == DO_DOWN || move.action == DO_PAUSED || move.action == DO_SAVED;
	if (move.next != before && !late)
		events_moved(s, before, event);
	act(s, move.action, before);
	if (s->state == move.next && move.next != before && late)
		events_moved(s, before, event);
	if (s->state == move.next && move.next != before)
		moved(s, before);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct service *s = arg;
	enum timer_for due = s->timer_for;

	(void)fd;
	(void)what;
	s->timer_for = TIMER_NONE;
	switch (due) {
	case TIMER_START: start_is_late(s); break;
	case TIMER_IDLE:
		if (s->state == STATE_UP)
			look_for_idle(s);
		break;
	case TIMER_DRAIN: last_look(s); break;
	case TIMER_STOP: stop_is_late(s); break;
	case TIMER_FORGET: forget(s); break;
	case TIMER_NONE: break;
	}
}

/* ---- life ---- */

static uint32_t free_index(struct launcher *l)
{
	uint32_t i = (uint32_t)l->first_free;

	while (i < l->n_services && l->services[i])
		i++;
	l->first_free = i + 1;
	assert(i < SLOTS_MAX); /* the schema allows no more, and reload() counts the removed ones too */
	if (i == l->n_services)
		l->n_services++;
	return i;
}

struct service *service_new(struct launcher *l, struct conf_ref *ref, const struct service_conf *conf)
{
	struct service *s = calloc(1, sizeof(*s)), **chain = names_of(l, conf->name);

	if (!s)
		abort();
	s->l = l;
	s->same_name = *chain;
	*chain = s;
	s->ref = conf_hold(ref);
	s->conf = conf;
	s->index = free_index(l);
	s->gen = ++l->last_gen;
	s->domain_id = -1;
	s->probe_fd = -1;
	guest_init(&s->guest);
	s->last_error = s->stop_reason = s->hold.refused = s->hold.unread = NOTE_NONE;
	s->trusted = true;
	s->since_ms = clock_now_ms();
	l->services[s->index] = s;
	xdp_side_begin(s);
	follow_conf(s);
	run_state_load(l->conf->run_dir, conf->name, &s->run);
	learning_configured(s);
	instances_follow(s, true);
	return s;
}

/* What its record says now may be another machine than the one in the file. */
static void judge_saved(struct service *s)
{
	struct err e;

	if (s->state != STATE_SAVED || saves_find(s, NULL, &e) != -ESTALE)
		return;
	events_saved(s, "what was saved of it is thrown away: %s", e.text);
	saves_drop(s);
	note_set(&s->stop_reason, "what was saved of it is thrown away: %s", e.text);
	service_event(s, SVC_SAVE_GONE);
}

/* "manage": "always" was not said when it was adopted. */
static void take_over(struct service *s)
{
	if (s->state != STATE_ADOPTED || s->conf->manage != MANAGE_ALWAYS)
		return;
	log_info("service=%s its VM is managed from now on, though someone else started it", s->conf->name);
	s->by_us = true;
	s->wake_ns = 0;
	service_event(s, SVC_TAKEN);
}

void service_set_conf(struct service *s, struct conf_ref *ref, const struct service_conf *conf, bool changed)
{
	struct conf_ref *old = s->ref;

	if (changed)
		xdp_side_leave(s);
	s->ref = conf_hold(ref);
	s->conf = conf;
	s->removed = false;
	learning_configured(s);
	instances_follow(s, true);
	conf_unref(old);
	if (!changed)
		return;
	if (!state_counts(s->state) && !s->stop_under_way)
		follow_conf(s); /* else once its VM is gone */
	holds_judge(s, true);
	s->failures = 0;
	s->retry_ms = 0;
	judge_saved(s);
	take_over(s);
	if (s->state == STATE_UP)
		service_arm(s, TIMER_IDLE, 1);
}

void service_free(struct service *s)
{
	struct launcher *l = s->l;
	struct service **at = names_of(l, s->conf->name);

	if (s->queued)
		TAILQ_REMOVE(&l->waiting, s, queue);
	s->queued = false;
	while (*at != s)
		at = &(*at)->same_name;
	*at = s->same_name;
	if (s->is_busy)
		TAILQ_REMOVE(&l->busy, s, busy);
	registrar_learned(s);
	l->first_free = MIN(l->first_free, (size_t)s->index);
	operators_state_changed(s); /* who waits for it hears that it comes no more */
	xdp_side_leave(s);
	holds_free(s);
	hypervisor_forget(s);
	start_close_ports(s);
	learning_free(s);
	guest_free(s);
	fd_close(&s->probe_fd);
	if (s->timer)
		event_free(s->timer);
	if (s->delay)
		event_free(s->delay);
	if (s->settle)
		event_free(s->settle);
	if (s->look)
		event_free(s->look);
	note_free(&s->last_error);
	note_free(&s->stop_reason);
	note_free(&s->hold.refused);
	note_free(&s->hold.unread);
	instances_follow(s, false);
	if (s->ref->instance_of && s->removed)
		instances_freed(s);
	l->services[s->index] = NULL;
	conf_unref(s->ref);
	run_state_clear(&s->run);
	free(s->target);
	free(s->nics);
	free(s->ports);
	free(s);
}
