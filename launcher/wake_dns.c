/* Theory of operation: which queries may wake a service.
 *
 * A query costs its sender nothing, not even an address of his own: over UDP anybody can ask in anybody's name.
 * dns tells with each wake whether the client is verified, that is, it came over TCP or had a good cookie.  It is
 * not believed more than that: everything is decided here, in this order.
 *
 *	wake_dns				off, or verified and the client is not: no
 *	muted (mutes.h)				no: its wakes were not used
 *	what holds for every wake (wake.c)	conflict, back-off
 *	allowances				of the network, of the service, of all who are not verified
 *	the limits of the host			waits, behind those who are verified
 *
 * Whoever is not verified can take nothing from those who are: networks and services have an allowance for each
 * kind of waker, only those who are not verified share one for all services, and what they woke, and nobody has come
 * to, takes at most half of the host's limits (budget_admit_unproven()).  A packet that comes for a service proves
 * nothing, but has limits of its own (wake_packet.c), and counts as verified here.
 *
 * A client that waits (answer: ready) is told at once what becomes of it: over an allowance of those who are not
 * verified it is told to ask again over TCP, which proves who it is; a muted one gets the address, since its packets
 * are held and wake as ever.  Where they are not held, nobody is muted: DNS is the only way in.
 *
 * Refused: an allowance for each pair of network and service (a table that forged sources would fill), and muting
 * a resolver for all services (the names that its clients do use would suffer).
 */
#include "launcher/wake_dns.h"

#include "launcher/instances.h"
#include "launcher/launcher.h"

enum waker waker_of(const struct msg_wake *m)
{
	if (m->cause != CAUSE_DNS)
		return WAKER_PACKET;
	return m->verified ? WAKER_VERIFIED : WAKER_UNVERIFIED;
}

int wakers_init(struct launcher *l)
{
	const struct limits_conf *c = &l->conf->limits;
	bool ok = true;

	for (unsigned i = 0; i < WAKER_N; i++) {
		l->wakers.sources[i] = sources_new(c->wakes_per_source, c->wakes_period_ms);
		ok = ok && l->wakers.sources[i];
	}
	l->wakers.mutes = mutes_new();
	return ok && l->wakers.mutes ? 0 : -ENOMEM;
}

void wakers_set(struct launcher *l)
{
	const struct limits_conf *c = &l->conf->limits;

	for (unsigned i = 0; i < WAKER_N; i++)
		sources_set(l->wakers.sources[i], c->wakes_per_source, c->wakes_period_ms);
}

/* ---- allowances ---- */

bool wakers_take(struct service *s, const struct msg_wake *m, struct err *e)
{
	const struct limits_conf *c = &s->l->conf->limits;
	struct wakers *all = &s->l->wakers;
	enum waker waker = waker_of(m);
	uint64_t now = clock_now_ms();

	if (!sources_has(all->sources[waker], &m->client, now)) {
		err_set(e, -EDQUOT, "its network has woken too many services lately (limits.wakes_per_source)");
		return false;
	}
	if (waker != WAKER_PACKET &&
	    !allowance_has(&s->wakers.queries[waker], c->wakes_per_service, c->service_period_ms, now)) {
		err_set(e, -EDQUOT, "it was woken too often lately (limits.wakes_per_service)");
		return false;
	}
	if (waker == WAKER_UNVERIFIED &&
	    !allowance_has(&all->unverified, c->wakes_unverified, c->unverified_period_ms, now)) {
		err_set(e, -EDQUOT, "clients that are not verified have woken too many services lately "
				    "(limits.wakes_unverified)");
		return false;
	}
	sources_take(all->sources[waker], &m->client, now);
	if (waker != WAKER_PACKET)
		allowance_take(&s->wakers.queries[waker]);
	if (waker == WAKER_UNVERIFIED)
		allowance_take(&all->unverified);
	return true;
}

/* ---- those who ask ahead ---- */

static struct mute_key key_of(const struct service *s, const struct ip_addr *client, bool verified)
{
	return (struct mute_key){ .client = *client, .svc = s->index, .gen = s->gen, .verified = verified };
}

static bool is_muted(const struct service *s, const struct msg_wake *m)
{
	struct mute_key key = key_of(s, &m->client, m->verified);

	return holds_now(s) && mutes_left_ms(s->l->wakers.mutes, &key, clock_now_ms()) > 0;
}

void wake_dns_judge(struct service *s, bool came)
{
	struct mute_key key = key_of(s, &s->client, s->waker == WAKER_VERIFIED);
	char text[ADDR_TEXT_MAX];
	uint64_t wait;

	if (s->cause != CAUSE_DNS)
		return;
	if (came || !holds_now(s)) {
		mutes_used(s->l->wakers.mutes, &key);
		return;
	}
	wait = mutes_unused(s->l->wakers.mutes, &key, s->l->conf->limits.mute_after, clock_now_ms());
	if (wait > 0)
		log_limited(LOG_INFO, "service=%s queries from around %s have woken it again and again, and nobody "
				      "came: for %u s they wake it no more (limits.mute_after)",
			    s->conf->name, ip_format(&s->client, text), (unsigned)(wait / MS_PER_S));
}

/* ---- a wake ---- */

static void say_no(struct service *s, const struct msg_wake *m, enum refused_how how, const char *why)
{
	s->wakers.refused++;
	trace_refused(s->l->trace, CAUSE_DNS);
	if (m->token)
		dns_refuse(s, m->token, how, why);
}

void wake_dns_heard(struct launcher *l, const struct msg_wake *m)
{
	struct service *s = service_find(l, m->svc, m->gen);

	if (!s || !service_is_served(s) || m->cause != CAUSE_DNS || conf_is_template(s->conf) != (m->label[0] != '\0'))
		return;
	if (s->conf->wake_dns == WAKE_DNS_OFF) {
		say_no(s, m, REFUSED_FAIL, "queries do not wake it (wake_dns)");
	} else if (s->conf->wake_dns == WAKE_DNS_VERIFIED && !m->verified) {
		say_no(s, m, REFUSED_PROVE, "queries of clients that are not verified do not wake it (wake_dns)");
	} else if (conf_is_template(s->conf)) {
		instances_wake(s, m);
	} else if (is_muted(s, m)) {
		s->wakers.muted++;
		say_no(s, m, REFUSED_ANSWER, "its wakes were not used (limits.mute_after)");
	} else {
		wake_up(s, m);
	}
}
