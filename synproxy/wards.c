/* Theory of operation
 *
 * A ward is a held service: its manners on the bridge (claim.h), and what becomes of its packets
 * (handover.h).  Both are pure; here they get frames, the clock, and a way out.
 *
 * What happens to a ward (a frame, an event of its VM's port, a message) only touches it.  What is
 * to be done about it, and when it is due next, is found out once, before the loop goes on
 * (wards_look()): so a batch of frames costs one look for each of its services, and no callback of a
 * ward runs inside another of its own.
 *
 * A frame finds its ward by address: packets by their destination, questions and claims by the
 * address they are about.  And by its source MAC, since a frame from a VM's MAC can be a conflict.
 * The table is built anew when services change (but for one that is merely new), and held packets are given to whose they are then;
 * both once, however many messages there were in a turn of the loop, and before anything else is done
 * with the services that changed.
 *
 * When more services have to wake than may, each has its turn: the first to be looked at is the one behind
 * the last that could.
 */
#include "base/clock.h"
#include "base/log.h"
#include "synproxy/synproxy.h"

enum { COUNTS_S = 1, LOOKUP_MORE = 64 /* room for new services */ };

/* ---- what claims and hand-overs say ---- */

static void to_bridge(void *arg, const uint8_t *frame, size_t n)
{
	struct ward *w = arg;

	tap_send(w->s, w->conf->bridge, frame, n);
}

static void on_claim(void *arg, enum hold_what what, const struct ip_addr *addr, const struct mac_addr *mac,
		     uint64_t now_ns)
{
	struct ward *w = arg;
	struct msg_hold_event m = {
		.svc = w->conf->svc,
		.gen = w->conf->gen,
		.what = (uint8_t)what,
		.addr = *addr,
		.mac = *mac,
		.t_ns = now_ns,
	};

	child_tell(w->s->child, MSG_HOLD_EVENT, &m); /* no launcher: the next one's snapshot begins the look anew */
}

static const struct claim_ops claim_ops = { .send = to_bridge, .event = on_claim };

static bool into_port(void *arg, const uint8_t *frame, size_t n) { return port_send(arg, frame, n); }

static bool want_port(void *arg, uint16_t port) { return port_want(arg, port); }

static void leave_port(void *arg) { port_leave(arg); }

static bool send_wake(void *arg, const struct msg_wake *m)
{
	struct ward *w = arg;

	return child_tell(w->s->child, MSG_WAKE, m) == 0;
}

static void on_handover(void *arg, const struct msg_hold_event *m)
{
	struct ward *w = arg;

	child_tell(w->s->child, MSG_HOLD_EVENT, m); /* no launcher: handover_again() */
}

static const struct handover_ops handover_ops = {
	.to_tap = to_bridge,
	.to_port = into_port,
	.want_port = want_port,
	.leave_port = leave_port,
	.wake = send_wake,
	.event = on_handover,
};

/* ---- whose is what ---- */

static struct lookup *make_lookup(const struct synproxy *s)
{
	struct lookup *l;
	size_t n = 0;

	for (unsigned i = 0; i < SLOTS_MAX; i++)
		n += s->wards[i] ? 1u + s->wards[i]->conf->n_addrs : 0;
	l = lookup_new(n + n / 8 + LOOKUP_MORE);
	for (unsigned i = 0; l && i < SLOTS_MAX; i++) {
		const struct ward *w = s->wards[i];

		if (w)
			lookup_add_mac(l, &w->conf->mac, (int)i);
		for (unsigned a = 0; w && a < w->conf->n_addrs; a++)
			lookup_add_ip(l, &w->conf->addrs[a], (int)i);
	}
	return l;
}

static uint32_t whose(void *arg, const struct ip_addr *addr)
{
	const struct synproxy *s = arg;
	int svc = lookup_ip(s->lookup, addr);

	return svc == LOOKUP_NOBODY ? HOLD_NOBODY : (uint32_t)svc;
}

/* A new one has addresses that nobody had, and nothing is held: the table as it is needs nothing but them.  With
 * thousands of services a table anew for each that comes would take as long as all of them. */
static bool add_to_lookup(struct synproxy *s, const struct msg_hold_service *m)
{
	if (s->assign_due || !s->lookup || !lookup_has_room(s->lookup, 1u + m->n_addrs) ||
	    (s->shared.table && hold_count_all(s->shared.table) > 0) || lookup_mac(s->lookup, &m->mac) != LOOKUP_NOBODY)
		return false;
	for (unsigned i = 0; i < m->n_addrs; i++) {
		if (lookup_ip(s->lookup, &m->addrs[i]) != LOOKUP_NOBODY)
			return false;
	}
	lookup_add_mac(s->lookup, &m->mac, (int)m->svc);
	for (unsigned i = 0; i < m->n_addrs; i++)
		lookup_add_ip(s->lookup, &m->addrs[i], (int)m->svc);
	return true;
}

/* Which services there are has changed. */
static void assign(struct synproxy *s, uint64_t now_ns)
{
	struct lookup *l = make_lookup(s);

	s->assign_due = false;
	agenda_set(&s->agenda, DUE_ASSIGN, 0);
	if (!l) {
		log_limited(LOG_ERROR, "no memory for a table of the held services");
		return;
	}
	lookup_free(s->lookup);
	s->lookup = l;
	if (s->shared.table)
		hold_assign(s->shared.table, whose, s);
	for (unsigned i = 0; i < SLOTS_MAX; i++) {
		if (!s->wards[i])
			continue;
		handover_again(s->wards[i]->handover, now_ns);
		ward_touch(s->wards[i]);
	}
}

/* ---- looking after them ---- */

void ward_touch(struct ward *w)
{
	struct touched *t = &w->s->touched;

	if (t->is[w->conf->svc])
		return;
	t->is[w->conf->svc] = true;
	t->svc[(t->first + t->n++) % SLOTS_MAX] = (uint16_t)w->conf->svc;
}

static uint64_t sooner(uint64_t a, uint64_t b) { return !a || (b && b < a) ? b : a; }

static void look(struct ward *w, uint64_t now_ns)
{
	struct agenda *a = &w->s->agenda;
	uint64_t due_ns = sooner(handover_tick(w->handover, now_ns), claim_tick(w->claim, now_ns));

	agenda_set(a, DUE_WARDS + w->conf->svc, due_ns);
	w->counted = true;
	if (!a->at_ns[DUE_COUNTS])
		agenda_set(a, DUE_COUNTS, now_ns + COUNTS_S * NS_PER_S);
}

void wards_look(struct synproxy *s, uint64_t now_ns)
{
	struct touched *t = &s->touched;

	if (s->assign_due)
		assign(s, now_ns);
	while (t->n > 0) { /* a look may touch another */
		uint16_t svc = t->svc[t->first];

		t->first = (t->first + 1) % SLOTS_MAX;
		t->n--;
		t->is[svc] = false;
		if (s->wards[svc]) /* else it has gone since */
			look(s->wards[svc], now_ns);
	}
}

void wards_look_soon(struct synproxy *s, uint64_t now_ns)
{
	if (s->assign_due)
		agenda_set(&s->agenda, DUE_ASSIGN, now_ns);
	else
		wards_look(s, now_ns);
}

void wards_tick(struct synproxy *s, uint64_t now_ns)
{
	unsigned first = s->shared.turn;

	for (unsigned i = 0; i < SLOTS_MAX; i++) {
		unsigned svc = (first + i) % SLOTS_MAX;

		if (agenda_is_due(&s->agenda, DUE_WARDS + svc, now_ns))
			ward_touch(s->wards[svc]);
	}
	wards_look(s, now_ns);
}

static bool same_counts(const struct msg_hold_counts *a, const struct msg_hold_counts *b)
{
	return a->gen == b->gen && a->held == b->held && a->syns == b->syns && a->parked == b->parked &&
	       a->released == b->released && a->refused == b->refused && a->expired == b->expired &&
	       a->dropped == b->dropped && a->strays == b->strays && a->datagrams == b->datagrams &&
	       a->arps == b->arps && a->conflicts == b->conflicts;
}

static void tell_counts(struct ward *w)
{
	struct msg_hold_counts m;

	w->counted = false;
	handover_counts(w->handover, &m);
	m.arps = claim_answered(w->claim);
	m.conflicts = claim_conflicts(w->claim);
	if (!same_counts(&m, &w->told) && child_tell(w->s->child, MSG_HOLD_COUNTS, &m) == 0)
		w->told = m;
}

void wards_tell_counts(struct synproxy *s, uint64_t now_ns)
{
	if (!agenda_is_due(&s->agenda, DUE_COUNTS, now_ns))
		return;
	agenda_set(&s->agenda, DUE_COUNTS, 0);
	for (unsigned i = 0; i < SLOTS_MAX; i++) {
		if (s->wards[i] && s->wards[i]->counted)
			tell_counts(s->wards[i]);
	}
}

/* ---- frames ---- */

/* That service, if it is on this bridge. */
static struct ward *ward_at(struct synproxy *s, uint32_t bridge, int svc)
{
	struct ward *w = svc == LOOKUP_NOBODY ? NULL : s->wards[svc];

	return w && w->conf->bridge == bridge ? w : NULL;
}

static void hear_claim(struct ward *w, const struct frame *f, uint64_t now_ns)
{
	if (!w)
		return;
	claim_frame(w->claim, f, now_ns);
	ward_touch(w);
}

/* Whom the frame concerns as a question or a claim; each hears it once. */
static void hear_claims(struct synproxy *s, uint32_t bridge, const struct frame *f, struct ward *source,
			uint64_t now_ns)
{
	const struct ip_addr *about = f->kind == FRAME_ARP ? &f->dst : &f->target;
	struct ward *asked = ward_at(s, bridge, lookup_ip(s->lookup, about));
	struct ward *asks = ward_at(s, bridge, lookup_ip(s->lookup, &f->src));

	hear_claim(asked, f, now_ns);
	if (asks != asked)
		hear_claim(asks, f, now_ns);
	if (source != asked && source != asks)
		hear_claim(source, f, now_ns);
}

static bool same_mac(const struct mac_addr *a, const struct mac_addr *b) { return memcmp(a, b, sizeof(*a)) == 0; }

/* What is sent to all, or to another MAC, is not for the VM. */
static void hear_packet(struct synproxy *s, uint32_t bridge, const uint8_t *bytes, size_t n, const struct frame *f,
			uint64_t now_ns)
{
	struct ward *w = ward_at(s, bridge, lookup_ip(s->lookup, &f->dst));

	if (!w || !same_mac(&f->eth_dst, &w->conf->mac))
		return;
	handover_frame(w->handover, bytes, n, f, now_ns);
	ward_touch(w);
}

/* A magic packet may come in by any bridge. */
static void hear_wol(struct synproxy *s, const struct frame *f, uint64_t now_ns)
{
	int svc = lookup_mac(s->lookup, &f->hw);

	if (svc == LOOKUP_NOBODY)
		return;
	handover_wol(s->wards[svc]->handover, &f->src, now_ns);
	ward_touch(s->wards[svc]);
}

void wards_frame(struct synproxy *s, uint32_t bridge, const uint8_t *bytes, size_t n, const struct frame *f,
		 uint64_t now_ns)
{
	struct ward *source = ward_at(s, bridge, lookup_mac(s->lookup, &f->eth_src));

	switch (f->kind) {
	case FRAME_ARP:
	case FRAME_SOLICIT:
	case FRAME_ADVERT: hear_claims(s, bridge, f, source, now_ns); return;
	case FRAME_TCP:
	case FRAME_UDP:
	case FRAME_ECHO:
	case FRAME_IP: hear_packet(s, bridge, bytes, n, f, now_ns); break;
	case FRAME_WOL: hear_wol(s, f, now_ns); break;
	case FRAME_RARP:
	case FRAME_OTHER: break;
	}
	hear_claim(source, f, now_ns);
}

/* ---- which there are ---- */

struct ward *ward_find(struct synproxy *s, uint32_t svc, uint32_t gen)
{
	struct ward *w = svc < SLOTS_MAX ? s->wards[svc] : NULL;

	return w && w->conf->gen == gen ? w : NULL;
}

void ward_free(struct synproxy *s, uint32_t svc)
{
	struct ward *w = s->wards[svc];

	if (!w)
		return;
	port_leave(w);
	s->wards[svc] = NULL;
	agenda_set(&s->agenda, DUE_WARDS + svc, 0);
	claim_free(w->claim);
	handover_free(w->handover);
	free(w->conf);
	free(w);
	s->assign_due = true;
}

static void attach_port(struct ward *w, uint64_t now_ns)
{
	if (w->conf->stage == HOLD_STAGE_UP)
		port_is_ready(w, now_ns);
	else
		port_attach(w, now_ns);
}

static void ward_new(struct synproxy *s, const struct msg_hold_service *m, uint64_t now_ns)
{
	struct msg_hold_service *conf = malloc(sizeof(*conf));
	struct ward *w = calloc(1, sizeof(*w));

	if (!w || !conf) {
		log_limited(LOG_ERROR, "service=%s is not held: no memory", m->name);
		free(conf);
		free(w);
		return;
	}
	w->s = s;
	*conf = *m;
	w->conf = conf;
	w->claim = claim_new(conf, s->taps.at[m->bridge].check_ms, &s->pace, &claim_ops, w, now_ns);
	w->handover = handover_new(conf, &s->shared, &handover_ops, w, now_ns);
	s->wards[m->svc] = w;
	if (!w->claim || !w->handover) {
		log_limited(LOG_ERROR, "service=%s is not held: no memory", m->name);
		ward_free(s, m->svc);
		return;
	}
	attach_port(w, now_ns);
	ward_touch(w);
}

/* Its claim and its hand-over look at the record all the time: the old one stays until both have the new one. */
static void ward_says(struct ward *w, const struct msg_hold_service *m, uint64_t now_ns)
{
	struct msg_hold_service *was = w->conf, *conf = malloc(sizeof(*conf));

	if (!conf) {
		log_limited(LOG_ERROR, "service=%s: no memory for what is new of it", m->name);
		return;
	}
	*conf = *m;
	w->conf = conf;
	claim_conf(w->claim, conf, w->s->taps.at[m->bridge].check_ms, now_ns);
	handover_conf(w->handover, conf, now_ns);
	free(was);
}

void ward_set(struct synproxy *s, const struct msg_hold_service *m, uint64_t now_ns)
{
	struct ward *w = ward_find(s, m->svc, m->gen);

	if (w) {
		s->assign_due = true;
		ward_says(w, m, now_ns);
		attach_port(w, now_ns);
		ward_touch(w);
		return;
	}
	ward_free(s, m->svc);
	ward_new(s, m, now_ns);
	if (!s->wards[m->svc] || !add_to_lookup(s, m))
		s->assign_due = true;
}

void ward_stage(struct ward *w, enum hold_stage stage, uint64_t now_ns)
{
	w->conf->stage = (uint8_t)stage;
	handover_stage(w->handover, stage, now_ns);
	if (stage == HOLD_STAGE_UP)
		port_is_ready(w, now_ns);
	claim_stage(w->claim, stage, handover_at_vm(w->handover), now_ns);
	ward_touch(w);
}

void ward_moved(struct ward *w, uint64_t now_ns)
{
	handover_moved(w->handover, now_ns);
	claim_stage(w->claim, (enum hold_stage)w->conf->stage, handover_at_vm(w->handover), now_ns);
	ward_touch(w);
}

void wards_announce(struct synproxy *s, uint32_t bridge, uint64_t now_ns)
{
	for (unsigned i = 0; i < SLOTS_MAX; i++) {
		if (!s->wards[i] || s->wards[i]->conf->bridge != bridge)
			continue;
		claim_announce(s->wards[i]->claim, now_ns);
		ward_touch(s->wards[i]);
	}
}
