/* Which packets may wake a service.
 *
 * synproxy says that a client's packet was held, or was a magic one; it reads what anybody sends, so
 * everything is decided here, in this order:
 *
 *	a VM that is about to be stopped stays		whoever it was: its traffic is traffic
 *	Wake-on-LAN may, unless the limits say no	all of it together is one source
 *	wake_syn					off, or after-dns without a recent answer: no
 *	wake_ping
 *	wake_deny, wake_allow
 *	what holds for every wake (wake.c)		back-off, limits of the source and the host
 *
 * Who is refused is told to synproxy, which forgets what it holds of it: with a RST only where a
 * next try would not be served either.  A source that is refused at many services is a sweep (sweeps.h).
 */
#include <inttypes.h>

#include "launcher/idle.h"
#include "launcher/launcher.h"

static bool is_in(const struct prefix_list *list, const struct ip_addr *a)
{
	for (size_t i = 0; i < list->n; i++) {
		if (prefix_contains(&list->v[i], a))
			return true;
	}
	return false;
}

/* Somebody may still have its address from an answer. */
static bool was_asked_for(const struct service *s)
{
	uint64_t asked = MAX(use_asked_ms(s), s->run.asked_ms);

	return asked && clock_now_ms() < asked + idle_horizon_ms(s->conf->dns_horizon_ms, s->conf->ttl_ms);
}

static bool may_wake(const struct service *s, const struct msg_wake *m)
{
	const struct service_conf *c = s->conf;

	if (m->cause == CAUSE_WOL)
		return true;
	if (c->wake_syn == WAKE_OFF || (c->wake_syn == WAKE_AFTER_DNS && !was_asked_for(s)))
		return false;
	if (m->cause == CAUSE_PING && c->wake_ping != PING_WAKE)
		return false;
	return !is_in(&c->wake_deny, &m->client) && (c->wake_allow.n == 0 || is_in(&c->wake_allow, &m->client));
}

void wake_packet_refuse(struct service *s, const struct msg_wake *m, bool never)
{
	struct launcher *l = s->l;
	char text[ADDR_TEXT_MAX];

	s->hold.wakes_refused++;
	trace_refused(l->trace, (enum wake_cause)m->cause);
	if (ip_is_zero(&m->client))
		return;
	synproxy_say_drop(s, &m->client, never);
	if (!never && sweeps_note(l->sweeps, &m->client, s->index, clock_now_ms()))
		log_limited(LOG_WARN, "a sweep: %s touches many services that it may not wake (%" PRIu64 " sweeps so far)",
			    ip_format(&m->client, text), sweeps_count(l->sweeps));
}

static bool is_packet(const struct msg_wake *m)
{
	switch (m->cause) {
	case CAUSE_SYN:
	case CAUSE_UDP:
	case CAUSE_PING: return m->token == 0 && !ip_is_zero(&m->client);
	case CAUSE_WOL: return m->token == 0;
	default: return false;
	}
}

void wake_packet_heard(struct launcher *l, const struct msg_wake *heard)
{
	static const struct ip_addr nobody;
	struct service *s = service_find(l, heard->svc, heard->gen);
	struct msg_wake m = *heard;

	if (!s || !service_is_served(s) || !is_packet(&m) || !holds_now(s))
		return;
	if (m.cause == CAUSE_WOL)
		m.client = nobody; /* a magic packet has a source only by courtesy */
	if (s->state == STATE_DRAINING || may_wake(s, &m))
		wake_up(s, &m);
	else
		wake_packet_refuse(s, &m, false);
}
