/* The actions of a service from a VM that is idle, or not wanted, to one that is off.  service.c tells how they come
 * about.
 */
#include "launcher/service_internal.h"

#include <inttypes.h>

#include "launcher/idle.h"

enum { DRAIN_MS = 1000, DRAIN_SETTLE_MS = 20 };

/* ---- idle ---- */

void service_look_for_idle(struct service *s)
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

/* ---- draining ---- */

/* service_event() has told dns and synproxy, whose acknowledgements come to service_drained(). */
void service_do_drain(struct service *s)
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

void service_last_look(struct service *s)
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

/* ---- stopping ---- */

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

/* One that cannot be saved stays, for nobody shall lose what it is in the midst of, and is tried again when it is
 * idle again: the disk may have room by then. */
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

void service_do_stop(struct service *s, enum service_state before)
{
	ready_stop(s);
	service_arm(s, TIMER_STOP, s->conf->stop_timeout_ms);
	if (way_to_stop(s, before) == STOP_SAVE)
		save(s);
	else if (hypervisor_stop(s, way_to_stop(s, before)) < 0)
		log_warn("service=%s cannot be stopped now: its hypervisor is not connected", s->conf->name);
}

void service_stop_is_late(struct service *s)
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
	service_set_error(s, "it did not stop within %" PRIu64 " s (stop_timeout); it is left running, and asked again "
			  "later", s->conf->stop_timeout_ms / 1000);
	service_stop_failed(s);
}

void service_stop_failed(struct service *s)
{
	service_event(s, s->seen_ready ? SVC_STOP_FAILED : SVC_STOP_FAILED_EARLY);
}

void service_do_stay(struct service *s, enum service_state before)
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
		service_do_probe(s);
	} else {
		service_arm(s, TIMER_IDLE, RETRY_MS);
	}
}

/* ---- off ---- */

void service_gone(struct service *s)
{
	s->stop_under_way = s->stop_waits = false;
	s->domain_id = -1;
	s->running = false;
	start_clean_up(s);
	guest_end(s);
	service_save_run_state(s, false);
	service_follow_conf(s);
	holds_judge(s, false);
	if (s->removed)
		service_arm(s, TIMER_FORGET, 0);
	else if (s->conf->machine.xl_config[0])
		hypervisor_discover(s); /* what its file says now */
}

/* Not from inside an event: whoever brought it still looks at the service. */
void service_forget(struct service *s)
{
	if (!s->removed || state_counts(s->state) || s->stop_under_way)
		return;
	log_info("service=%s is forgotten", s->conf->name);
	service_free(s);
}

void service_do_down(struct service *s, enum service_state before)
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
void service_do_saved(struct service *s, enum service_state before)
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
void service_do_discard(struct service *s)
{
	if (!saves_are_ours(s)) {
		log_info("service=%s stays saved: its hypervisor keeps that, and so does jitsu", s->conf->name);
		return;
	}
	saves_drop(s);
	log_info("service=%s what was saved of it is thrown away: %s", s->conf->name, s->stop_reason);
	service_event(s, SVC_SAVE_GONE);
}

void service_do_paused(struct service *s, enum service_state before)
{
	ready_stop(s);
	service_arm(s, TIMER_NONE, 0);
	s->stop_under_way = false;
	if (before != STATE_STOPPING)
		note_set(&s->stop_reason, "it was paused from outside");
	s->last_stop_ms = clock_now_ms();
	log_info("service=%s is suspended: %s", s->conf->name, s->stop_reason);
	service_save_run_state(s, true);
}
