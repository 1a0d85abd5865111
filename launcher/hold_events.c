/* What synproxy says of a held service.  It reads frames that anybody sends, so it may say anything:
 * what does not fit the stage that it was told is about the past, or false, and is dropped.
 *
 * What costs something is done no oftener than an honest one asks for it: it looks at an address that is
 * in use elsewhere after 10 s at the earliest, and asks for a port each second.  A port's packet socket
 * takes the kernel 15 ms to close, so that all services together get so many at once, and so many a second.
 */
#include <inttypes.h>

#include "launcher/launcher.h"
#include "launcher/metrics.h"
#include "launcher/pools.h"

enum {
	FREE_AGAIN_MS = 10000,
	PORT_AGAIN_MS = 500,
	PORTS_AT_ONCE = 256,
	PORTS_PER_S = 50,
};

const char *hold_conflict_text(const struct service *s, char *out, size_t size)
{
	char addr[ADDR_TEXT_MAX], mac[MAC_TEXT_MAX];

	snprintf(out, size, "%s (MAC %s)", ip_format(&s->hold.conflict_addr, addr),
		 mac_format(&s->hold.conflict_mac, mac));
	return out;
}

static bool is_its_own(const struct service *s, const struct ip_addr *a)
{
	for (uint16_t i = 0; i < s->hold.place.addrs.n; i++) {
		if (ip_equal(a, &s->hold.place.addrs.v[i]))
			return true;
	}
	return false;
}

/* ---- whose address is it ---- */

static void is_free(struct service *s)
{
	bool was_in_use = s->hold.conflict;
	uint64_t now_ms = clock_now_ms();

	if (s->hold.stage != HOLD_STAGE_CHECK && s->hold.stage != HOLD_STAGE_CONFLICT)
		return;
	if (was_in_use && s->hold.freed_ms && now_ms - s->hold.freed_ms < FREE_AGAIN_MS)
		return;
	if (was_in_use)
		s->hold.freed_ms = now_ms;
	holds_claim(s);
	if (was_in_use) {
		note_clear(&s->last_error);
		log_info("service=%s its address is free again", s->conf->name);
	}
	if (s->state == STATE_CONFLICT)
		service_event(s, SVC_CONFLICT_OVER);
	else
		holds_update(s);
}

/* A VM that runs keeps its address; without one, the other has it. */
static bool must_yield(const struct service *s)
{
	switch (s->hold.stage) {
	case HOLD_STAGE_CHECK: return true;
	case HOLD_STAGE_SLEEP:
	case HOLD_STAGE_FROZEN:
	case HOLD_STAGE_FAILED: return s->conf->on_conflict == CONFLICT_YIELD && !s->stop_under_way;
	default: return false;
	}
}

static void yield_to(struct service *s)
{
	bool by_itself = memcmp(&s->hold.conflict_mac, &s->hold.place.mac, sizeof(struct mac_addr)) == 0;
	char who[MSG_VALUE_MAX];

	service_set_error(s, "its address is in use elsewhere: %s", hold_conflict_text(s, who, sizeof(who)));
	wake_forget(s, s->last_error);
	holds_yield(s);
	service_event(s, SVC_CONFLICT);
	holds_update(s); /* where the state stays what it was */
	if (by_itself && machine_is_defined(&s->conf->machine))
		hypervisor_discover(s); /* it may be its own VM, which somebody has started */
}

static void in_use(struct service *s, const struct msg_hold_event *m)
{
	struct hold *h = &s->hold;
	bool told = memcmp(&h->conflict_mac, &m->mac, sizeof(m->mac)) == 0 && ip_equal(&h->conflict_addr, &m->addr);
	char who[MSG_VALUE_MAX];

	if (!is_its_own(s, &m->addr) || h->stage == HOLD_STAGE_NONE)
		return;
	h->conflict_addr = m->addr;
	h->conflict_mac = m->mac;
	if (must_yield(s) && pools_move(s, &m->addr))
		return;
	if (must_yield(s))
		yield_to(s);
	else if (!told && h->stage != HOLD_STAGE_CONFLICT)
		log_limited(LOG_WARN, "service=%s its address is used elsewhere, too: %s", s->conf->name,
			    hold_conflict_text(s, who, sizeof(who)));
}

/* ---- the hand-over ---- */

void hold_move(struct service *s)
{
	struct msg_hold_moved m = { s->index, s->gen };
	uint64_t moved_ns;
	struct err e;

	s->hold.wants_move = false;
	if ((s->hold.stage != HOLD_STAGE_BOOT && s->hold.stage != HOLD_STAGE_UP) || s->hold.port_lost)
		return;
	if (!ready_port_forwards(s)) { /* which looks again, and then comes back here */
		s->hold.wants_move = true;
		return;
	}
	if (holds_put(s, HOLD_AT_VM, &e) < 0) {
		log_limited(LOG_WARN, "service=%s cannot be handed over: %s", s->conf->name, e.text);
		return;
	}
	moved_ns = clock_now_ns();
	if (s->l->synproxy)
		ipc_send(s->l->synproxy, MSG_HOLD_MOVED, &m);
	trace_mark(s->l->trace, s->wake, MARK_MOVED, moved_ns);
	holds_update(s);
}

static void handed_over(struct service *s)
{
	if (s->hold.stage != HOLD_STAGE_UP || s->hold.at != HOLD_AT_VM)
		return;
	s->hold.done = true;
	ready_drop_port(s);
	holds_update(s);
}

void hold_events_init(struct launcher *l) { l->ports = (struct bucket){ .burst = PORTS_AT_ONCE, .per_s = PORTS_PER_S }; }

/* Has it had more ports than one that asks honestly? */
static bool asks_too_often(struct service *s, uint64_t now_ns)
{
	uint64_t now_ms = now_ns / NS_PER_MS;

	if (s->hold.given_ms && now_ms - s->hold.given_ms < PORT_AGAIN_MS)
		return true;
	if (!bucket_pass(&s->l->ports, now_ns))
		return true;
	s->hold.given_ms = now_ms;
	return false;
}

static void give_port(struct service *s)
{
	bool has_one = s->hold.stage == HOLD_STAGE_BOOT || s->hold.stage == HOLD_STAGE_UP;

	if (has_one && !s->hold.port_lost && !asks_too_often(s, clock_now_ns()))
		ready_give_port(s);
}

static void refused(const struct service *s, const struct msg_hold_event *m)
{
	log_limited(LOG_INFO, "service=%s port %u stays closed: %u connections held for it were reset", s->conf->name,
		    m->port, m->n);
}

void hold_event(struct launcher *l, const struct msg_hold_event *m)
{
	struct service *s = service_find(l, m->svc, m->gen);
	uint64_t now = clock_now_ns(), at = MIN(m->t_ns, now);

	if (!s || !s->hold.place.bridge || !s->hold.known)
		return;
	switch (m->what) {
	case HOLD_FREE: is_free(s); break;
	case HOLD_IN_USE: in_use(s, m); break;
	case HOLD_FIRST:
		if (s->queued || s->hold.stage == HOLD_STAGE_BOOT || s->hold.stage == HOLD_STAGE_UP)
			trace_mark(l->trace, s->wake, MARK_SYN, at); /* else a wake follows, and marks its own */
		break;
	case HOLD_MOVE: hold_move(s); break;
	case HOLD_RELEASED: trace_mark(l->trace, s->wake, MARK_RELEASED, at); break;
	case HOLD_REFUSED: refused(s, m); break;
	case HOLD_DONE: handed_over(s); break;
	case HOLD_WANT_PORT: give_port(s); break;
	default: log_limited(LOG_WARN, "synproxy tells something unknown of service %s", s->conf->name);
	}
}

void hold_ack(struct launcher *l, const struct msg_hold_stage *m)
{
	struct service *s = service_find(l, m->svc, m->gen);

	if (!s || m->seq == 0 || m->seq != s->hold.drain_seq)
		return;
	s->hold.drain_seq = 0;
	service_drained(s);
}

void hold_counts(struct launcher *l, const struct msg_hold_counts *m)
{
	struct service *s = service_find(l, m->svc, m->gen);

	if (!s || !s->hold.place.bridge)
		return;
	metrics_held(l, &s->hold.counts, m);
	s->hold.counts = *m;
}
