/* The actions of a service from a wish to a VM that is up, or to its failure.  service.c tells how they come
 * about.
 */
#include "launcher/service_internal.h"

#include <inttypes.h>
#include <sys/random.h>

#include "launcher/hooks_side.h"

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

/* A start that begins anew, because a backend died with it, has no more time than the first; unless its time ran out
 * while the backend hung, which happens to a start once. */
static void arm_start(struct service *s)
{
	if (s->timer_for == TIMER_START && s->stalled != STALL_NOW)
		return;
	s->stalled = s->timer_for == TIMER_START ? STALL_OVER : STALL_NONE;
	service_arm(s, TIMER_START, s->conf->start_timeout_ms);
}

/* Its time is over, but the hypervisor's process has hung and is about to be replaced: that is not the VM's
 * failure. */
void service_start_is_late(struct service *s)
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

void service_do_start(struct service *s)
{
	struct err e = { 0 };
	char save[MSG_PATH_MAX] = "";
	int found;

	service_follow_conf(s);
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

void service_do_resume(struct service *s)
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

void service_do_probe(struct service *s)
{
	arm_start(s);
	service_save_run_state(s, false);
	start_open_ports(s); /* of a domain that is not ours the port is known only now */
	ready_running(s);
}

static uint64_t first_idle_look_ms(const struct service *s)
{
	uint64_t ms = MIN(s->conf->idle_timeout_ms, (uint64_t)60000);

	return s->by_query && holds_now(s) ? MIN(ms, s->conf->dns_grace_ms) : ms;
}

void service_do_up(struct service *s)
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
		service_save_run_state(s, true);
	start_open_ports(s);
	learning_up(s);
	use_watch(s);
}

void service_do_note_started(struct service *s) { service_save_run_state(s, s->state == STATE_UP); }

void service_do_adopt(struct service *s)
{
	ready_stop(s);
	s->by_us = s->wake_again = s->by_query = false;
	service_arm(s, TIMER_NONE, 0);
	trace_end(s->l->trace, s->wake, TRACE_UP, "it was started by someone else");
	log_info("service=%s runs, started by someone else: it is served and never stopped", s->conf->name);
	service_save_run_state(s, true);
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

void service_do_fail(struct service *s)
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
void service_do_give_up(struct service *s)
{
	char why[MSG_TEXT_MAX];

	snprintf(why, sizeof(why), "not ready %" PRIu64 " s after the start (start_timeout): %s",
		 s->conf->start_timeout_ms / 1000,
		 !s->running	    ? "the hypervisor has not started it yet"
		 : learning_is_unknown(s) ? learning_why_unknown(s)
		 : !s->probes_done  ? ready_explain_silence(s)
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

/* One that dies twice does so because of the file. */
void service_start_lost(struct service *s)
{
	bool again = s->restores && s->restore_lost;

	s->restore_lost = s->restores;
	if (again)
		service_not_restored(s, "the hypervisor's process has died in it, twice");
	else
		service_event(s, SVC_START_LOST);
}

void service_not_booted(struct service *s)
{
	if (s->put_aside)
		saves_put_back(s);
	s->put_aside = false;
}

void service_runs(struct service *s)
{
	s->saved_there = s->restore_lost = s->fresh = s->put_aside = false;
	saves_runs(s);
}
