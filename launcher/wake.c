/* Wakes: who may start a VM, and what waits until there is room.  (wake_packet.c and wake_dns.c have what
 * packets and queries must pass before that.)
 *
 * However many wakes come for a service, it starts once: the first moves it to STARTING, and the
 * others find it there.  A wake that would start something takes a token of its source's bucket;
 * one that finds the limits of the host reached, or the hypervisor not connected yet, waits in a
 * queue, first come first served, for as long as its answer may wait (max_hold).
 *
 * What clients want who may be anybody waits behind what all others want, and has a share of the limits only.  As
 * soon as somebody else wants the same service, it is his.
 */
#include <inttypes.h>

#include "launcher/launcher.h"

enum { QUEUE_LOOK_MS = 250 };

/* Would a wake have to start or resume something? */
static bool is_asleep(const struct service *s)
{
	switch (s->state) {
	case STATE_OFF:
	case STATE_FAILED:
	case STATE_SUSPENDED:
	case STATE_SAVED:
	case STATE_WARM: return true;
	default: return false;
	}
}

static enum budget_verdict admit(const struct service *s, struct budget *b)
{
	service_count(s->l, b);
	if (s->state == STATE_SUSPENDED) { /* it has its place and memory already */
		b->running--;
		b->memory -= MIN(b->memory, service_memory(s));
	}
	return s->trusted ? budget_admit(b, service_memory(s)) : budget_admit_unproven(b, service_memory(s));
}

static bool may_start(const struct service *s)
{
	struct budget b;

	return hypervisor_answers(s->hv) && !s->stop_under_way && admit(s, &b) == BUDGET_OK;
}

void wake_explain(const struct service *s, char *out, size_t size)
{
	enum budget_verdict verdict;
	struct budget b;

	out[0] = '\0';
	if (!s->queued)
		return;
	if (!s->hv || !s->hv->channel)
		snprintf(out, size, "the process of hypervisor \"%s\" is being started", s->conf->machine.hypervisor);
	else if (!s->hv->hello.connected)
		snprintf(out, size, "hypervisor \"%s\" is not connected: %.300s", s->hv->name, s->hv->hello.text);
	else if (!s->hv->reconciled)
		snprintf(out, size, "hypervisor \"%s\" is being asked what runs", s->hv->name);
	else if (heartbeat_silent_ms(s->hv) > 0)
		snprintf(out, size, "the process of hypervisor \"%s\" does not answer, and is replaced soon", s->hv->name);
	else if (s->stop_under_way && s->state == STATE_FAILED && service_gives_up_gently(s))
		snprintf(out, size, "the last VM did not get ready and was asked to shut down, but still runs: look at its "
				    "console, end it by hand, or set \"stop_force\"");
	else if (s->stop_under_way)
		snprintf(out, size, "the last VM is still being stopped");
	else if ((verdict = admit(s, &b)) != BUDGET_OK)
		budget_explain(&b, verdict, service_memory(s), out, size);
}

static void remember_wake(struct service *s, enum wake_cause cause, const struct ip_addr *client, uint64_t query_ns)
{
	uint64_t now = clock_now_ns();

	s->wake = trace_begin(s->l->trace, s->conf->name, cause, client, query_ns);
	s->wake_ns = query_ns ? MIN(query_ns, now) : now;
	s->cause = cause;
	s->client = *client;
	s->woken_ms = clock_now_ms();
	s->wakes++;
}

static void say_woken(const struct service *s)
{
	char client[ADDR_TEXT_MAX];

	if (ip_is_zero(&s->client))
		log_info("service=%s woken by %s", s->conf->name, cause_name(s->cause));
	else
		log_info("service=%s woken by %s from %s", s->conf->name, cause_name(s->cause),
			 ip_format(&s->client, client));
}

void wake_queue(struct service *s)
{
	struct service_queue *waiting = &s->l->waiting;
	struct service *before = TAILQ_FIRST(waiting);

	s->queued_until_ms = clock_now_ms() + s->conf->max_hold_ms;
	if (s->queued)
		return;
	s->queued = true;
	while (before && (before->trusted || !s->trusted))
		before = TAILQ_NEXT(before, queue);
	if (before)
		TAILQ_INSERT_BEFORE(before, s, queue);
	else
		TAILQ_INSERT_TAIL(waiting, s, queue);
}

/* Somebody wants it who is not just anybody. */
static void trust(struct service *s)
{
	if (s->trusted)
		return;
	s->trusted = true;
	if (!s->queued)
		return;
	TAILQ_REMOVE(&s->l->waiting, s, queue);
	s->queued = false;
	wake_queue(s);
	wake_pump(s->l);
}

static void enqueue(struct service *s)
{
	char why[MSG_TEXT_MAX];
	bool queued = s->queued;

	wake_queue(s);
	if (queued)
		return;
	wake_explain(s, why, sizeof(why));
	log_limited(LOG_INFO, "service=%s waits to be started: %s", s->conf->name, why);
}

/* It sleeps, or is about to, and nobody has woken it since. */
static bool needs_a_wake(const struct service *s)
{
	return (is_asleep(s) || s->state == STATE_STOPPING) && !s->queued && !s->wake_again;
}

/* Nobody waits who comes before it. */
static bool is_next(const struct service *s)
{
	const struct service *first = TAILQ_FIRST(&s->l->waiting);

	return !first || (s->trusted && !first->trusted);
}

static void start_or_wait(struct service *s)
{
	if (s->state == STATE_STOPPING) {
		service_event(s, SVC_WAKE); /* again, once it is down */
		return;
	}
	if (!s->queued && is_next(s) && may_start(s))
		service_event(s, SVC_WAKE);
	else
		enqueue(s);
	wake_pump(s->l);
}

/* True when it may not be tried now, with the reason.  SUSPENDED: it could not be resumed. */
static bool is_backing_off(const struct service *s, struct err *e)
{
	uint64_t now = clock_now_ms();

	if ((s->state != STATE_FAILED && s->state != STATE_SUSPENDED) || now >= s->retry_ms)
		return false;
	err_set(e, -EAGAIN, "the last start failed (%.300s); the next try is allowed in %" PRIu64 " s", s->last_error,
		(s->retry_ms - now + 999) / 1000);
	return true;
}

/* `never`: that will not change soon, so that the client need not try again.  Packets are not traced: a flood of
 * them would drive out what is. */
static void refuse(struct service *s, const struct msg_wake *m, const char *why, bool never)
{
	uint64_t number;

	if (m->cause != CAUSE_DNS) {
		wake_packet_refuse(s, m, never);
		return;
	}
	s->wakers.refused++;
	number = trace_begin(s->l->trace, s->conf->name, CAUSE_DNS, &m->client, m->t_ns);
	trace_end(s->l->trace, number, TRACE_REFUSED, why);
	if (m->token)
		dns_refuse(s, m->token, REFUSED_FAIL, why);
}

/* It costs more than is left.  Clients that are not verified can show who they are, and have that of others then;
 * nor are they traced, for there may be as many as they like to forge. */
static void refuse_for_now(struct service *s, const struct msg_wake *m, const char *why)
{
	log_limited(LOG_WARN, "service=%s is not woken: %s", s->conf->name, why);
	if (waker_of(m) != WAKER_UNVERIFIED) {
		refuse(s, m, why, false);
		return;
	}
	s->wakers.refused++;
	trace_refused(s->l->trace, CAUSE_DNS);
	if (m->token)
		dns_refuse(s, m->token, REFUSED_PROVE, why);
}

/* True when it is larger than all that guests may take together: waiting would not help. */
static bool never_fits(const struct service *s, struct err *e)
{
	struct budget b;

	service_count(s->l, &b);
	if (service_memory(s) <= b.max_memory)
		return false;
	err_set(e, -ENOMEM, "it needs %" PRIu64 " MiB, and all VMs together may take %" PRIu64 " MiB (limits.memory)",
		service_memory(s) >> 20, b.max_memory >> 20);
	return true;
}

/* It is about to be stopped.  A query that costs nothing must not keep it up for ever. */
static void keep_up(struct service *s, const struct msg_wake *m)
{
	struct err e;

	if (waker_of(m) == WAKER_UNVERIFIED && !wakers_take(s, m, &e))
		refuse_for_now(s, m, e.text);
	else
		service_event(s, SVC_WAKE);
}

static void wake(struct service *s, const struct msg_wake *m, bool paid)
{
	struct launcher *l = s->l;
	struct err e;

	if (s->state == STATE_DRAINING) {
		keep_up(s, m);
		return;
	}
	if (s->queued)
		s->queued_until_ms = clock_now_ms() + s->conf->max_hold_ms; /* this client waits, too */
	if (waker_of(m) != WAKER_UNVERIFIED && !needs_a_wake(s))
		trust(s);
	if (order_keeps_down(s)) {
		refuse(s, m, "an operator keeps it down (pin)", true);
	} else if (s->hold.conflict) {
		refuse(s, m, s->last_error, false);
	} else if (!needs_a_wake(s)) {
		return;
	} else if (is_backing_off(s, &e)) {
		refuse(s, m, e.text, true);
	} else if (never_fits(s, &e)) {
		service_set_error(s, "%s", e.text);
		refuse(s, m, e.text, true);
	} else if (!paid && !wakers_take(s, m, &e)) {
		refuse_for_now(s, m, e.text);
	} else {
		remember_wake(s, (enum wake_cause)m->cause, &m->client, m->t_ns);
		s->waker = waker_of(m);
		s->trusted = s->waker != WAKER_UNVERIFIED;
		if (m->cause == CAUSE_SYN || m->cause == CAUSE_UDP)
			trace_mark(l->trace, s->wake, MARK_SYN, MIN(m->t_ns, clock_now_ns()));
		say_woken(s);
		start_or_wait(s);
	}
}

void wake_up(struct service *s, const struct msg_wake *m) { wake(s, m, false); }

void wake_paid(struct service *s, const struct msg_wake *m) { wake(s, m, true); }

int wake_by_hand(struct service *s, struct err *e)
{
	static const struct ip_addr nobody;

	if (conf_is_template(s->conf))
		return err_set(e, -EINVAL, "it is a template, which has no VM: ask for a name that it stands for");
	if (!service_is_served(s))
		return err_set(e, -EPERM, "it is disabled: \"jitsuctl enable %s\" first, or set \"enabled\" in the "
			       "configuration file", s->conf->name);
	if (order_keeps_down(s))
		return err_set(e, -EPERM, "an operator keeps it down: \"jitsuctl release %s\" first", s->conf->name);
	if (s->hold.conflict)
		return err_set(e, -EADDRINUSE, "%.400s", s->last_error);
	if (s->state == STATE_DRAINING) {
		service_event(s, SVC_WAKE);
		return 0;
	}
	if (s->queued)
		s->queued_until_ms = clock_now_ms() + s->conf->max_hold_ms;
	if (!needs_a_wake(s)) {
		trust(s);
		return 0;
	}
	if (never_fits(s, e))
		return -ENOMEM;
	s->retry_ms = 0; /* the operator knows what he does */
	remember_wake(s, CAUSE_CLI, &nobody, 0);
	s->waker = WAKER_VERIFIED;
	s->trusted = true;
	say_woken(s);
	start_or_wait(s);
	return 0;
}

void wake_forget(struct service *s, const char *why)
{
	if (!s->queued && !s->wake_again)
		return;
	if (s->queued)
		TAILQ_REMOVE(&s->l->waiting, s, queue);
	s->queued = s->wake_again = false;
	s->wake_ns = 0;
	trace_end(s->l->trace, s->wake, TRACE_REFUSED, why);
}

static void expire(struct service *s)
{
	char why[MSG_TEXT_MAX];

	wake_explain(s, why, sizeof(why));
	service_set_error(s, "it waited %" PRIu64 " s to be started: %s", s->conf->max_hold_ms / 1000, why);
	log_warn("service=%s was not started: %s", s->conf->name, s->last_error);
	wake_forget(s, s->last_error);
	holds_gave_up(s);
	operators_state_changed(s);
}

void wake_pump(struct launcher *l)
{
	static bool pumping; /* a start may fail at once and come here again */
	uint64_t now = clock_now_ms();
	struct service *s, *s_next;

	if (pumping)
		return;
	pumping = true;
	for (s = TAILQ_FIRST(&l->waiting); s; s = s_next) {
		s_next = TAILQ_NEXT(s, queue);
		if (!is_asleep(s)) {
			TAILQ_REMOVE(&l->waiting, s, queue);
			s->queued = false;
		} else if (may_start(s)) {
			TAILQ_REMOVE(&l->waiting, s, queue);
			s->queued = false;
			service_event(s, SVC_WAKE);
		} else if (now >= s->queued_until_ms) {
			expire(s);
		}
	}
	pumping = false;
	if (!TAILQ_EMPTY(&l->waiting)) {
		struct timeval tv = clock_timeval_ms(QUEUE_LOOK_MS);

		event_add(l->queue_timer, &tv);
	}
}

static void on_queue_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	wake_pump(arg);
}

int wake_init(struct launcher *l)
{
	TAILQ_INIT(&l->waiting);
	l->queue_timer = evtimer_new(l->base, on_queue_timer, l);
	return l->queue_timer ? wakers_init(l) : -ENOMEM;
}
