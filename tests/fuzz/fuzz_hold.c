/* Two held services, and whatever may happen to them, in any order.
 *
 * The input is a list of steps: frames from clients (plain ones, and any bytes with sound checksums),
 * questions and claims, stages, VM ports that come and go, what probes answer, the launcher's words, a
 * kill, and time.  After each step everything that is held is listed, and compared with what was held
 * before and with what went out.  Checked:
 *
 * - nothing held is lost: it is there, or went into the VM's port, or got its RST, or there was a
 *   reason to let it go in silence (the launcher's word, a stage in which nothing is held, its age);
 * - a SYN that came is held, or passed on, or over a limit;
 * - a SYN goes into the VM's port only when the forwarding entry is there or its own port is open, and
 *   nothing does before one of the VM's ports is;
 * - RST only to strays and to what has waited in vain, and to a segment never while its connection may
 *   live;
 * - wakes only in stages that wake, within their rate, and always for a SYN that was held in one, also
 *   when the client that spoke for it was refused;
 * - questions are answered only while the addresses are claimed; what goes out has the VM's own MAC;
 * - and at the end a VM that comes up, or fails, leaves nothing held.
 */
#include <assert.h>

#include "base/clock.h"
#include "synproxy/claim.h"
#include "synproxy/handover.h"
#include "tests/fuzz/sound.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum {
	SERVICES = 2,
	CLIENTS = 6,
	PORTS = 5, /* from FIRST_PORT on; the last one does not answer before the end */
	FIRST_PORT = 80,
	HELD_MOST = 64,
	PER_SOURCE = 12,
	ITEMS_MAX = 256,
	STEPS_MAX = 400,
	FRAME_MAX = 256,
	MAX_HOLD_MS = 5000,
	WAKE_LATEST_MS = 1000, /* behind the packet that it is for */
	END_TICKS = 20000,
};

/* ---- what is held ---- */

struct flow {
	uint32_t svc;
	bool syn;
	uint8_t proto;
	struct ip_addr client, addr;
	uint16_t client_port, port;
};

struct item {
	struct flow flow;
	unsigned n;
	uint64_t since_ns; /* of the oldest of them */
};

struct items {
	unsigned n;
	struct item at[ITEMS_MAX];
};

static bool same_flow(const struct flow *a, const struct flow *b)
{
	return a->svc == b->svc && a->syn == b->syn && a->proto == b->proto && a->client_port == b->client_port &&
	       a->port == b->port && ip_equal(&a->client, &b->client) && ip_equal(&a->addr, &b->addr);
}

static struct item *find(struct items *l, const struct flow *f)
{
	for (unsigned i = 0; i < l->n; i++) {
		if (same_flow(&l->at[i].flow, f))
			return &l->at[i];
	}
	return NULL;
}

static void add(struct items *l, const struct flow *f, uint64_t since_ns)
{
	struct item *i = find(l, f);

	if (!i) {
		assert(l->n < ITEMS_MAX);
		i = &l->at[l->n++];
		*i = (struct item){ .flow = *f, .since_ns = since_ns };
	}
	i->n++;
}

/* ---- the world ---- */

struct service {
	struct world *w;
	struct msg_hold_service conf, given[2]; /* given: as claim and hand-over have it */
	unsigned turn;
	struct claim *claim;
	struct handover *handover;
	enum hold_stage stage;
	bool moved; /* the forwarding entry is at the VM's port */
	bool wants_move; /* HOLD_MOVE was said */
	uint64_t failed_ns; /* FAILED began */
	/* the VM's port */
	bool has_port, link;
	bool wanted[PORTS], open[PORTS], refused[PORTS], deaf[PORTS];
	/* wakes */
	unsigned n_wakes;
	uint64_t owed_ns; /* a SYN was held then, and nobody was woken yet; 0: all is well */
	/* what the claim may say in this step */
	bool rival, free_said;
};

struct world {
	int fd;
	struct handover_shared shared;
	struct claim_pace pace;
	struct service services[SERVICES];
	uint64_t now_ns, began_ns;
	struct items before, sent, reset; /* of this step: held before it; what went out in it */
	bool takes, hears, asks; /* the VM's port takes frames; the launcher hears wakes; ports can be asked */
	/* this step */
	const struct frame *frame;
	bool stray_answered;
	struct service *dropping; /* the launcher lets go of `dropped` */
	struct ip_addr dropped;
	bool drop_resets;
	const uint8_t *data;
	size_t n;
};

static uint8_t next(struct world *w)
{
	if (w->n == 0)
		return 0;
	w->n--;
	return *w->data++;
}

static int port_index(uint16_t port)
{
	return port >= FIRST_PORT && port < FIRST_PORT + PORTS ? port - FIRST_PORT : -1;
}

static bool is_syn(const struct frame *f)
{
	return f->kind == FRAME_TCP && (f->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

static struct flow flow_of(const struct service *s, const struct frame *f)
{
	return (struct flow){
		.svc = s->conf.svc,
		.syn = is_syn(f),
		.proto = f->kind == FRAME_TCP ? FLOW_TCP : FLOW_UDP,
		.client = f->src,
		.addr = f->dst,
		.client_port = f->src_port,
		.port = f->dst_port,
	};
}

static bool list_one(void *arg, const struct held *h)
{
	struct flow f = {
		.svc = h->owner,
		.syn = h->syn,
		.proto = h->proto,
		.client = h->client,
		.addr = h->addr,
		.client_port = h->client_port,
		.port = h->port,
	};

	assert(h->n <= HOLD_PACKET_BYTES && h->since_ns <= h->newest_ns);
	add(arg, &f, h->since_ns);
	return true;
}

static void list_held(struct world *w, struct items *out)
{
	out->n = 0;
	for (uint32_t svc = 0; svc < SERVICES; svc++)
		assert(hold_show(w->shared.table, svc, 0, UINT32_MAX, list_one, out) == hold_count(w->shared.table, svc));
	assert(hold_count_all(w->shared.table) <= HELD_MOST);
}

/* ---- what comes out ---- */

static bool discards(enum hold_stage stage) { return stage <= HOLD_STAGE_CONFLICT; }

static bool wakes_in(enum hold_stage stage)
{
	return stage == HOLD_STAGE_SLEEP || stage == HOLD_STAGE_FROZEN || stage >= HOLD_STAGE_DRAIN;
}

/* Whatever may wake it otherwise: it is there, and about to go. */
static bool is_woken(const struct service *s)
{
	return wakes_in(s->stage) && (s->conf.wakes || s->stage == HOLD_STAGE_DRAIN);
}

static bool strays_are_dead(enum hold_stage stage)
{
	return stage == HOLD_STAGE_SLEEP || stage == HOLD_STAGE_BOOT || stage == HOLD_STAGE_FAILED;
}

static bool comes(enum hold_stage stage) { return stage == HOLD_STAGE_BOOT || stage == HOLD_STAGE_UP; }

static bool is_open(const struct service *s, int p)
{
	return s->open[p] || (s->deaf[p] && (s->link || s->stage == HOLD_STAGE_UP));
}

static bool any_open(const struct service *s)
{
	bool any = false;

	for (int p = 0; p < PORTS; p++)
		any |= is_open(s, p);
	return any;
}

static bool is_old(const struct world *w, uint64_t since_ns)
{
	return w->now_ns >= since_ns + MAX_HOLD_MS * NS_PER_MS;
}

/* A RST to what was held: why? */
static void check_reset_of_held(const struct service *s, const struct item *i)
{
	const struct world *w = s->w;
	int p = port_index(i->flow.port);
	bool dropped = w->dropping == s && w->drop_resets && ip_equal(&w->dropped, &i->flow.client);
	bool failed = s->stage == HOLD_STAGE_FAILED && i->since_ns <= s->failed_ns;
	bool refused = i->flow.syn && p >= 0 && s->refused[p] && !s->open[p] && comes(s->stage);

	assert(dropped || failed || refused || is_old(w, i->since_ns));
	assert(i->flow.syn || strays_are_dead(s->stage));
}

/* Is this the answer to the segment that came in this step? */
static bool answers_stray(const struct service *s, const uint8_t *bytes, size_t n)
{
	const struct frame *f = s->w->frame;
	uint8_t expected[FRAME_BUILT_MAX];

	if (!f || f->kind != FRAME_TCP || is_syn(f) || s->w->stray_answered)
		return false;
	return frame_reset(expected, f, &s->conf.mac) == n && memcmp(expected, bytes, n) == 0;
}

/* `back` goes to a client whose packet was held, or came just now. */
static void on_reset(struct service *s, const struct frame *back)
{
	struct frame f = { .kind = FRAME_TCP, .src = back->dst, .dst = back->src, .src_port = back->dst_port,
			   .dst_port = back->src_port, .tcp_flags = TCP_SYN };
	struct flow flow = flow_of(s, &f);
	struct item just = { .flow = flow, .n = 1, .since_ns = s->w->now_ns };
	struct item *i = back->tcp_flags & TCP_ACK ? find(&s->w->before, &flow) : NULL;

	flow.syn = false; /* to a segment with an ACK, a RST without one is the answer */
	if (!i)
		i = find(&s->w->before, &flow);
	if (!i) {
		assert(s->w->frame && is_syn(s->w->frame) && ip_equal(&s->w->frame->src, &back->dst));
		i = &just;
	}
	check_reset_of_held(s, i);
	add(&s->w->reset, &i->flow, s->w->now_ns);
}

static void on_stray(struct service *s)
{
	assert(!(s->w->frame->tcp_flags & TCP_RST));
	assert(strays_are_dead(s->stage));
	s->w->stray_answered = true;
}

static void on_tap(void *arg, const uint8_t *bytes, size_t n)
{
	struct service *s = arg;
	struct frame f;

	frame_parse(bytes, n, &f);
	assert(memcmp(&f.eth_src, &s->conf.mac, sizeof(f.eth_src)) == 0);
	assert(f.kind == FRAME_TCP || f.kind == FRAME_IP);
	if (f.kind == FRAME_TCP) {
		assert(f.tcp_flags & TCP_RST);
		if (answers_stray(s, bytes, n))
			on_stray(s);
		else
			on_reset(s, &f);
		return;
	}
	assert(s->w->frame && s->w->frame->kind == FRAME_ECHO && s->conf.ping == PING_ANSWER); /* its reply */
	assert(!s->moved || !comes(s->stage));
}

static bool on_port(void *arg, const uint8_t *bytes, size_t n)
{
	struct service *s = arg;
	struct frame f;
	struct flow flow;

	frame_parse(bytes, n, &f);
	assert(s->has_port && !discards(s->stage));
	assert(s->stage != HOLD_STAGE_SLEEP && s->stage != HOLD_STAGE_FROZEN && s->stage != HOLD_STAGE_FAILED);
	if (s->stage == HOLD_STAGE_BOOT)
		assert(s->moved || any_open(s));
	if (is_syn(&f)) {
		int p = port_index(f.dst_port);

		assert(comes(s->stage) && (s->moved || p < 0 || is_open(s, p))); /* (others are not kept track of) */
	}
	if (!s->w->takes)
		return false;
	if (f.kind != FRAME_TCP && f.kind != FRAME_UDP)
		return true;
	flow = flow_of(s, &f);
	add(&s->w->sent, &flow, s->w->now_ns);
	return true;
}

static bool on_want_port(void *arg, uint16_t port)
{
	struct service *s = arg;
	int p = port_index(port);

	assert(s->has_port);
	if (p >= 0 && s->w->asks)
		s->wanted[p] = true;
	else if (p >= 0)
		s->deaf[p] = true;
	return s->w->asks;
}

static void forget_port(struct service *s)
{
	s->has_port = s->link = false;
	memset(s->wanted, 0, sizeof(s->wanted));
	memset(s->open, 0, sizeof(s->open));
	memset(s->refused, 0, sizeof(s->refused));
	memset(s->deaf, 0, sizeof(s->deaf));
}

static void on_leave_port(void *arg)
{
	struct service *s = arg;

	assert(s->has_port);
	forget_port(s);
}

static bool on_wake(void *arg, const struct msg_wake *m)
{
	struct service *s = arg;
	uint64_t ms = (s->w->now_ns - s->w->began_ns) / NS_PER_MS;

	assert(wakes_in(s->stage) && m->svc == s->conf.svc && m->gen == s->conf.gen && m->t_ns <= s->w->now_ns);
	assert(is_woken(s) || m->cause == CAUSE_WOL);
	s->owed_ns = 0;
	if (!s->w->hears)
		return false;
	s->n_wakes++;
	assert(s->n_wakes <= HANDOVER_WAKE_BURST + 1 + ms * HANDOVER_WAKES_PER_S / MS_PER_S);
	return true;
}

/* All that is waited for, and that we keep track of, is open or refused. */
static bool is_settled(const struct service *s)
{
	uint16_t ports[HOLD_PORTS_MAX + 1];
	unsigned n = hold_ports(s->w->shared.table, s->conf.svc, ports, HOLD_PORTS_MAX);

	if (s->conf.n_ports > 0)
		ports[n++] = s->conf.ports[0].port;
	for (unsigned i = 0; i < n; i++) {
		int p = port_index(ports[i]);

		if (p >= 0 && !is_open(s, p) && !s->refused[p])
			return false;
	}
	return true;
}

static void on_event(void *arg, const struct msg_hold_event *m)
{
	struct service *s = arg;

	assert(m->svc == s->conf.svc && m->gen == s->conf.gen && m->t_ns == s->w->now_ns);
	switch (m->what) {
	case HOLD_MOVE:
		assert(s->has_port && comes(s->stage) && !s->moved && is_settled(s));
		s->wants_move = true;
		break;
	case HOLD_WANT_PORT: assert(!s->has_port && s->moved && hold_count(s->w->shared.table, s->conf.svc) > 0); break;
	case HOLD_DONE: assert(s->moved && !s->has_port); break;
	case HOLD_RELEASED:
	case HOLD_REFUSED:
	case HOLD_FIRST: assert(m->n > 0); break;
	default: assert(0);
	}
}

static const struct handover_ops handover_ops = {
	.to_tap = on_tap,
	.to_port = on_port,
	.want_port = on_want_port,
	.leave_port = on_leave_port,
	.wake = on_wake,
	.event = on_event,
};

/* ---- the claim ---- */

static bool may_claim(const struct service *s)
{
	return !discards(s->stage) && !(s->moved && comes(s->stage));
}

static void on_claim_frame(void *arg, const uint8_t *bytes, size_t n)
{
	struct service *s = arg;
	struct frame f;

	frame_parse(bytes, n, &f);
	assert(memcmp(&f.eth_src, &s->conf.mac, sizeof(f.eth_src)) == 0);
	assert(f.kind == FRAME_ARP || f.kind == FRAME_SOLICIT || f.kind == FRAME_ADVERT);
	if (frame_is_dad(&f))
		assert(s->stage == HOLD_STAGE_CHECK || s->stage == HOLD_STAGE_CONFLICT);
	else
		assert(may_claim(s));
}

static void on_claim_event(void *arg, enum hold_what what, const struct ip_addr *addr, const struct mac_addr *mac,
			   uint64_t now_ns)
{
	struct service *s = arg;

	(void)addr;
	(void)mac;
	assert(now_ns == s->w->now_ns);
	if (what == HOLD_FREE) {
		assert(s->stage == HOLD_STAGE_CHECK || s->stage == HOLD_STAGE_CONFLICT);
		assert(!s->free_said);
		s->free_said = true;
	} else {
		assert(what == HOLD_IN_USE && s->rival && s->stage != HOLD_STAGE_NONE);
		s->free_said = false;
	}
}

static const struct claim_ops claim_ops = { .send = on_claim_frame, .event = on_claim_event };

/* ---- after each step ---- */

/* May it have gone without a word? */
static bool may_be_silent(const struct service *s, const struct item *i)
{
	const struct world *w = s->w;

	if (discards(s->stage))
		return true;
	if (w->dropping == s && !w->drop_resets && ip_equal(&w->dropped, &i->flow.client))
		return true;
	if (is_old(w, i->since_ns))
		return s->moved || i->flow.proto == FLOW_UDP || !i->flow.syn;
	/* what cannot be reset: the launcher's word and failure hold for it as well */
	if (i->flow.proto == FLOW_UDP || !i->flow.syn)
		return (w->dropping == s && ip_equal(&w->dropped, &i->flow.client)) ||
		       (s->stage == HOLD_STAGE_FAILED && i->since_ns <= s->failed_ns);
	return false;
}

static void check_nothing_lost(struct world *w, struct items *now)
{
	for (unsigned k = 0; k < w->before.n; k++) {
		const struct item *i = &w->before.at[k];
		const struct item *there = find(now, &i->flow);

		if (there && there->n >= i->n)
			continue;
		assert(find(&w->sent, &i->flow) || find(&w->reset, &i->flow) ||
		       may_be_silent(&w->services[i->flow.svc], i));
	}
}

static uint64_t dropped_of(const struct service *s)
{
	struct msg_hold_counts c;

	handover_counts(s->handover, &c);
	return c.dropped;
}

static void tick(struct world *w)
{
	for (unsigned i = 0; i < SERVICES; i++) {
		struct service *s = &w->services[i];

		handover_tick(s->handover, w->now_ns);
		claim_tick(s->claim, w->now_ns);
		if (s->owed_ns && w->hears)
			assert(w->now_ns < s->owed_ns + WAKE_LATEST_MS * NS_PER_MS);
	}
}

static void begin_step(struct world *w)
{
	list_held(w, &w->before);
	w->sent.n = w->reset.n = 0;
}

static void end_step(struct world *w)
{
	struct items now;

	tick(w);
	list_held(w, &now);
	check_nothing_lost(w, &now);
	w->frame = NULL;
	w->stray_answered = false;
	w->dropping = NULL;
	for (unsigned i = 0; i < SERVICES; i++)
		w->services[i].rival = false;
}

/* ---- frames ---- */

static struct service *addressed(struct world *w, const struct ip_addr *a)
{
	for (unsigned i = 0; i < SERVICES; i++) {
		for (unsigned k = 0; k < w->services[i].conf.n_addrs; k++) {
			if (ip_equal(&w->services[i].conf.addrs[k], a))
				return &w->services[i];
		}
	}
	return NULL;
}

/* A SYN came in this step: what became of it? */
static void check_syn(struct world *w, struct service *s, const struct frame *f, uint64_t dropped)
{
	struct flow flow = flow_of(s, f);
	struct items now;
	struct item *held;

	list_held(w, &now);
	held = find(&now, &flow);
	assert(held || find(&w->sent, &flow) || find(&w->reset, &flow) || dropped_of(s) > dropped ||
	       discards(s->stage));
	if (held && is_woken(s) && w->hears && !s->owed_ns && held->since_ns == w->now_ns)
		s->owed_ns = w->now_ns;
}

/* A frame on the bridge. */
static void hear(struct world *w, const uint8_t *bytes, size_t n)
{
	unsigned wakes_before[SERVICES];
	struct frame f;
	struct service *s;
	uint64_t dropped;

	frame_parse(bytes, n, &f);
	w->frame = &f;
	begin_step(w);
	for (unsigned i = 0; i < SERVICES; i++) {
		w->services[i].rival = true; /* any frame from a MAC of theirs may be one */
		wakes_before[i] = w->services[i].n_wakes;
		claim_frame(w->services[i].claim, &f, w->now_ns);
		if (f.kind == FRAME_WOL && memcmp(&f.hw, &w->services[i].conf.mac, sizeof(f.hw)) == 0)
			handover_wol(w->services[i].handover, &f.src, w->now_ns);
	}
	s = f.kind >= FRAME_TCP && f.kind != FRAME_WOL ? addressed(w, &f.dst) : NULL;
	if (s) {
		dropped = dropped_of(s);
		handover_frame(s->handover, bytes, n, &f, w->now_ns);
		if (is_syn(&f))
			check_syn(w, s, &f, dropped);
		if (s->n_wakes > wakes_before[s->conf.svc])
			s->owed_ns = 0;
	}
	end_step(w);
}

static struct ip_addr client_addr(unsigned i, bool v4)
{
	if (v4)
		return (struct ip_addr){ { [10] = 0xff, 0xff, 10, 9, 0, (uint8_t)(100 + i) } };
	return (struct ip_addr){ { 0xfd, 9, [7] = (uint8_t)(i & 1), [15] = (uint8_t)(100 + i) } };
}

/* A client's segment without data; `flags` 0: a SYN. */
static void hear_tcp(struct world *w, uint8_t flags)
{
	uint8_t who = next(w), what = next(w);
	struct service *s = &w->services[who % SERVICES];
	struct tcp_segment t = {
		.eth_dst = s->conf.mac,
		.eth_src = { { 2, 0, 0, 0, 1, who } },
		.dst = s->conf.addrs[what >> 7 & (s->conf.n_addrs > 1)],
		.src_port = (uint16_t)(40000 + (what >> 4 & 3)),
		.dst_port = (uint16_t)(FIRST_PORT + what % PORTS),
		.seq = what * 77u,
		.ack = 5,
		.flags = flags ? flags : TCP_SYN,
	};
	uint8_t frame[FRAME_BUILT_MAX];

	t.src = client_addr(who / SERVICES % CLIENTS, ip_is_v4(&t.dst));
	hear(w, frame, frame_tcp(frame, &t));
}

static void hear_arp(struct world *w)
{
	static const struct ip_addr any = { { [10] = 0xff, 0xff } };
	static const struct mac_addr everyone = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } }, unknown;
	uint8_t what = next(w);
	struct service *s = &w->services[what & 1];
	struct mac_addr other = { { 2, 0, 0, 0, 2, what } }, from = what & 2 ? other : s->conf.mac;
	struct ip_addr client = client_addr(what >> 5, true);
	const struct ip_addr *sender = what & 4 ? &s->conf.addrs[0] : what & 8 ? &any : &client;
	uint8_t frame[FRAME_BUILT_MAX];

	hear(w, frame, frame_arp(frame, what & 16 ? ARP_REPLY : ARP_REQUEST, &everyone, &from, sender, &unknown,
				 what & 64 ? &client : &s->conf.addrs[0]));
}

/* The input's own bytes; the addresses of a service, and its lengths and checksums, are put in. */
static void hear_bytes(struct world *w)
{
	size_t size = MIN((size_t)next(w), w->n);
	uint8_t to = next(w), frame[FRAME_MAX + 1], *copy;
	const struct service *s = &w->services[to % SERVICES];

	size = MIN(size, w->n);
	memcpy(frame, w->data, size);
	w->data += size;
	w->n -= size;
	if (size >= 34 && (to & 2) && frame[12] == 0x08)
		memcpy(frame + 30, s->conf.addrs[0].b + 12, 4);
	else if (size >= 54 && (to & 2) && frame[12] == 0x86)
		memcpy(frame + 38, s->conf.addrs[s->conf.n_addrs - 1].b, 16);
	if (to & 4)
		sound_frame(frame, size);
	copy = malloc(size ? size : 1); /* of its own, so that reads past its end are seen */
	memcpy(copy, frame, size);
	hear(w, copy, size);
	free(copy);
}

/* ---- the launcher's words, the VM's answers ---- */

/* A wake that is owed may be forgotten now. */
static void changed(struct service *s)
{
	s->owed_ns = 0;
	s->free_said = false;
}

static void set_stage(struct service *s, enum hold_stage stage)
{
	struct world *w = s->w;

	if (stage == HOLD_STAGE_FAILED)
		s->failed_ns = w->now_ns;
	if (stage != s->stage && stage != HOLD_STAGE_UP)
		s->moved = false;
	s->stage = stage;
	changed(s);
	s->conf.stage = (uint8_t)stage;
	handover_stage(s->handover, stage, w->now_ns);
	claim_stage(s->claim, stage, handover_at_vm(s->handover), w->now_ns);
	assert(handover_at_vm(s->handover) == s->moved);
}

static void move(struct service *s)
{
	s->moved |= comes(s->stage);
	s->free_said = false;
	handover_moved(s->handover, s->w->now_ns);
	claim_stage(s->claim, s->stage, handover_at_vm(s->handover), s->w->now_ns);
	assert(handover_at_vm(s->handover) == s->moved);
}

static void give_port(struct service *s, bool probing)
{
	forget_port(s);
	s->has_port = true;
	if (probing)
		s->moved = false;
	handover_port(s->handover, s->conf.ports, probing ? 1 : 0, probing, s->w->now_ns);
}

/* About what nobody asked for nothing is told. */
static void answer_probe(struct service *s, enum probe_what what, uint16_t port)
{
	bool of_port = what != PROBE_LINK && what != PROBE_DONE;
	int p = port_index(port);

	if (!s->has_port || (of_port && p >= 0 && !s->wanted[p]))
		return;
	s->link |= what == PROBE_LINK;
	if (p >= 0 && (what == PROBE_PORT || what == PROBE_SILENT))
		s->open[p] = true;
	if (p >= 0 && what == PROBE_REFUSED)
		s->refused[p] = true;
	handover_probe(s->handover, what, of_port ? port : 0, s->w->now_ns);
}

/* Another place each time: the one before is looked at until then. */
static void give(struct service *s)
{
	s->turn ^= 1;
	s->given[s->turn] = s->conf;
}

/* That it has failed is told once. */
static uint8_t stage_of_record(const struct service *s)
{
	return (uint8_t)(s->stage == HOLD_STAGE_FAILED ? HOLD_STAGE_SLEEP : s->stage);
}

static void reconfigure(struct service *s, uint8_t what)
{
	struct world *w = s->w;

	s->conf.ping = what % PING_N;
	s->conf.wakes = what & 4;
	s->conf.hold_udp = what >> 3 & 3;
	s->conf.n_ports = what >> 5 & 1;
	s->conf.defend = what & 64;
	s->conf.at_vm = s->moved;
	s->conf.stage = stage_of_record(s);
	changed(s);
	give(s);
	handover_conf(s->handover, &s->given[s->turn], w->now_ns);
	claim_conf(s->claim, &s->given[s->turn], 100, w->now_ns);
}

static uint32_t whose(void *arg, const struct ip_addr *addr)
{
	const struct service *s = addressed(arg, addr);

	return s ? s->conf.svc : HOLD_NOBODY;
}

static void begin_services(struct world *w)
{
	for (unsigned i = 0; i < SERVICES; i++) {
		struct service *s = &w->services[i];

		forget_port(s);
		changed(s);
		s->n_wakes = 0;
		s->conf.gen++;
		s->conf.at_vm = s->moved;
		s->conf.stage = stage_of_record(s);
		s->stage = (enum hold_stage)s->conf.stage;
		give(s);
		s->handover = handover_new(&s->given[s->turn], &w->shared, &handover_ops, s, w->now_ns);
		s->claim = claim_new(&s->given[s->turn], 100, &w->pace, &claim_ops, s, w->now_ns);
		assert(s->handover && s->claim);
	}
	w->began_ns = w->now_ns;
}

static void end_services(struct world *w)
{
	for (unsigned i = 0; i < SERVICES; i++) {
		handover_free(w->services[i].handover);
		claim_free(w->services[i].claim);
	}
}

static void open_table(struct world *w)
{
	handover_shared_init(&w->shared, hold_open(w->fd));
	assert(w->shared.table);
	hold_limits(w->shared.table, HELD_MOST, PER_SOURCE);
}

/* The process is killed, and its successor hears everything from the launcher. */
static void kill_it(struct world *w)
{
	end_services(w);
	hold_close(w->shared.table);
	open_table(w);
	begin_services(w);
	assert(hold_assign(w->shared.table, whose, w) == 0);
	for (unsigned i = 0; i < SERVICES; i++)
		handover_again(w->services[i].handover, w->now_ns);
}

static bool has_held_syn(const struct service *s)
{
	struct items now;

	list_held(s->w, &now);
	for (unsigned i = 0; i < now.n; i++) {
		if (now.at[i].flow.svc == s->conf.svc && now.at[i].flow.syn)
			return true;
	}
	return false;
}

static void drop(struct world *w, struct service *s, uint8_t what)
{
	unsigned n_wakes = s->n_wakes;

	w->dropping = s;
	w->dropped = client_addr(what >> 1 & 7, true);
	w->drop_resets = what & 16;
	s->owed_ns = 0;
	handover_drop(s->handover, &w->dropped, w->drop_resets, w->now_ns);
	if (s->n_wakes == n_wakes && is_woken(s) && w->hears && has_held_syn(s))
		s->owed_ns = w->now_ns;
}

static void pass_time(struct world *w, uint8_t what)
{
	static const uint32_t steps_ms[] = { 1, 2, 20, 100, 700, 1000, 2000, 6000 };

	w->now_ns += steps_ms[what % ARRAY_SIZE(steps_ms)] * NS_PER_MS;
	clock_fake_ns(w->now_ns);
}

static void other_step(struct world *w, uint8_t op)
{
	uint8_t what = next(w);
	struct service *s = &w->services[what & 1];

	begin_step(w);
	switch (op) {
	case 0: set_stage(s, (enum hold_stage)((what >> 1) % HOLD_STAGE_N)); break;
	case 1: give_port(s, what & 2); break;
	case 2:
		forget_port(s);
		handover_port_gone(s->handover);
		break;
	case 3:
		answer_probe(s, (enum probe_what)((what >> 1) % 5), (uint16_t)(FIRST_PORT + (what >> 4) % (PORTS - 1)));
		break;
	case 4: move(s); break;
	case 5: drop(w, s, what); break;
	case 6: reconfigure(s, what >> 1); break;
	case 7: kill_it(w); break;
	case 8: pass_time(w, what); break;
	case 9: w->takes = what & 1; break;
	case 10:
		w->hears = what & 1;
		w->asks = what & 2;
		for (unsigned i = 0; i < SERVICES; i++) {
			w->services[i].owed_ns = 0;
			handover_again(w->services[i].handover, w->now_ns);
		}
		break;
	case 11: handover_wol(s->handover, &w->dropped, w->now_ns); break;
	default: claim_announce(s->claim, w->now_ns);
	}
	end_step(w);
}

static void step(struct world *w)
{
	uint8_t op = next(w);

	switch (op % 20) {
	case 0:
	case 1:
	case 2: hear_tcp(w, 0); break;
	case 3: hear_tcp(w, next(w)); break;
	case 4: hear_arp(w); break;
	case 5:
	case 6: hear_bytes(w); break;
	default: other_step(w, (uint8_t)(op % 20 - 7));
	}
}

/* ---- the end ---- */

/* A VM comes up with all its ports, and the launcher does what it is asked. */
static void come_up(struct service *s)
{
	struct world *w = s->w;

	set_stage(s, HOLD_STAGE_BOOT);
	give_port(s, false);
	s->wants_move = false;
	answer_probe(s, PROBE_LINK, 0);
	for (int i = 0; i < END_TICKS && hold_count(w->shared.table, s->conf.svc) > 0; i++) {
		uint16_t ports[HOLD_PORTS_MAX];
		unsigned n = hold_ports(w->shared.table, s->conf.svc, ports, HOLD_PORTS_MAX);

		for (unsigned k = 0; k < n; k++)
			answer_probe(s, PROBE_PORT, ports[k]);
		for (unsigned k = 0; k < s->conf.n_ports; k++)
			answer_probe(s, PROBE_PORT, s->conf.ports[k].port);
		if (s->wants_move)
			move(s);
		begin_step(w);
		w->now_ns += NS_PER_MS;
		end_step(w);
	}
	assert(hold_count(w->shared.table, s->conf.svc) == 0);
}

static void fail(struct service *s)
{
	struct world *w = s->w;

	begin_step(w);
	set_stage(s, HOLD_STAGE_FAILED);
	end_step(w);
	for (int i = 0; i < END_TICKS && hold_count(w->shared.table, s->conf.svc) > 0; i++) {
		begin_step(w);
		w->now_ns += NS_PER_MS;
		end_step(w);
	}
	assert(hold_count(w->shared.table, s->conf.svc) == 0);
}

static void end(struct world *w)
{
	w->takes = w->hears = w->asks = true;
	for (unsigned i = 0; i < SERVICES; i++)
		w->services[i].owed_ns = 0;
	come_up(&w->services[0]);
	fail(&w->services[1]);
}

static void set_up(struct world *w, const uint8_t *data, size_t n)
{
	static const char *const addrs[SERVICES] = { "10.9.0.7", "10.9.0.8" };

	*w = (struct world){ .data = data, .n = n, .now_ns = 100 * NS_PER_S, .takes = true, .hears = true, .asks = true };
	clock_fake_ns(w->now_ns);
	claim_pace_init(&w->pace, 7);
	for (unsigned i = 0; i < SERVICES; i++) {
		struct service *s = &w->services[i];

		s->w = w;
		s->stage = HOLD_STAGE_SLEEP;
		s->conf = (struct msg_hold_service){
			.svc = i, .mac = { { 2, 0, 0, 0, 0, (uint8_t)(7 + i) } }, .n_addrs = 1, .n_ports = 1,
			.ports = { { FIRST_PORT } }, .stage = HOLD_STAGE_SLEEP, .wakes = true, .hold_udp = 4,
			.max_hold_ms = MAX_HOLD_MS,
		};
		ip_parse(addrs[i], &s->conf.addrs[0]);
	}
	w->services[0].conf.n_addrs = 2;
	ip_parse("fd09::7", &w->services[0].conf.addrs[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static int fd = -1;
	struct world w;

	if (fd < 0)
		fd = hold_memory_create();
	set_up(&w, data, n);
	w.fd = fd;
	open_table(&w);
	assert(hold_count_all(w.shared.table) == 0);
	begin_services(&w);
	for (int i = 0; i < STEPS_MAX && w.n > 0; i++)
		step(&w);
	end(&w);
	end_services(&w);
	hold_close(w.shared.table);
	return 0;
}
