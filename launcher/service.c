/* A service's life: its events, and what is done at each move of service_fsm.h's table (service_start.c,
 * service_stop.c).
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
#include "launcher/service_internal.h"

#include <assert.h>
#include <stdarg.h>

#include "launcher/hooks_side.h"
#include "launcher/instances.h"

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

void service_save_run_state(struct service *s, bool up)
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

void service_follow_conf(struct service *s)
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

/* ---- events ---- */

static void act(struct service *s, enum service_action action, enum service_state before)
{
	switch (action) {
	case DO_START: service_do_start(s); break;
	case DO_RESUME: service_do_resume(s); break;
	case DO_PROBE: service_do_probe(s); break;
	case DO_UP: service_do_up(s); break;
	case DO_NOTE_STARTED: service_do_note_started(s); break;
	case DO_FAIL: service_do_fail(s); break;
	case DO_GIVE_UP: service_do_give_up(s); break;
	case DO_DRAIN: service_do_drain(s); break;
	case DO_STAY: service_do_stay(s, before); break;
	case DO_STOP: service_do_stop(s, before); break;
	case DO_REMEMBER: s->wake_again = true; break;
	case DO_DOWN: service_do_down(s, before); break;
	case DO_PAUSED: service_do_paused(s, before); break;
	case DO_SAVED: service_do_saved(s, before); break;
	case DO_DISCARD: service_do_discard(s); break;
	case DO_ADOPT: service_do_adopt(s); break;
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
	case TIMER_START: service_start_is_late(s); break;
	case TIMER_IDLE:
		if (s->state == STATE_UP)
			service_look_for_idle(s);
		break;
	case TIMER_DRAIN: service_last_look(s); break;
	case TIMER_STOP: service_stop_is_late(s); break;
	case TIMER_FORGET: service_forget(s); break;
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
	service_follow_conf(s);
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
		service_follow_conf(s); /* else once its VM is gone */
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
