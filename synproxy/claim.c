/* Theory of operation
 *
 *     NONE          nothing is claimed, or the VM has its addresses itself
 *     CHECKING      is anybody there?  Probes go out; whoever answers, or asks the same, has them
 *     FREE          nobody was, and the launcher was told; it sets the forwarding entry, and says so
 *     OURS          questions are answered, with the VM's own MAC
 *     IN_USE        somebody else has them, and the launcher was told; nothing is answered, unless it
 *                   has another opinion (a VM of the service is about to stop, and is still seen)
 *     WAITING       the same, as the launcher has it; the next look comes by itself
 *
 * What an answer says is what the VM itself would say, so that no cache of a client's ever changes,
 * and it does not matter when VM and we both answer while it boots.
 *
 * Whose frame is it?  The tap is a port of the bridge like any other: it hears what is flooded, the
 * VM's own frames too, but never ours.  So while no VM runs, a frame from the VM's MAC is somebody
 * else's.  With two exceptions: the last frames of a VM that has just gone (CLAIM_GONE_S), and
 * questions whether the address is free, which are answered and are no conflict: another host that
 * was given the same machine asks them, with the same MAC.  That is why these answers go to
 * everyone: to its own MAC nobody could send one, since the bridge knows that MAC to be here.
 *
 * While a VM runs and its MAC asks whether the address is free, that is the VM's own duplicate
 * address detection.  An answer would keep it from using its address.  Announcements are left out
 * then, too: they would reach the VM, and look like a conflict to it.
 *
 * The time of a check is cut into one more part than there are probes: each goes out at a random
 * moment of its part, and the last part is for listening.
 */
#include "synproxy/claim.h"

enum mode { MODE_NONE, MODE_CHECKING, MODE_FREE, MODE_OURS, MODE_IN_USE, MODE_WAITING };

enum {
	FRAMES_PER_S = 500,
	FRAMES_AT_ONCE = 2 * MSG_LIST_MAX,
	RECHECK_LEAST_MS = 1000, /* a check in conflict takes at least this, lest the state flap */
	SECOND_ANNOUNCE_S = 2, /* RFC 5227, 1.1: ANNOUNCE_INTERVAL */
	UNHEARD_S = 1, /* the launcher has not said what follows: it goes on as before */
};

struct claim {
	const struct msg_hold_service *conf;
	uint32_t check_ms;
	struct claim_pace *pace;
	const struct claim_ops *ops;
	void *arg;
	enum mode mode;
	enum hold_stage stage;
	bool in_conflict; /* this check is a look again */
	uint64_t check_ns, check_end_ns;
	unsigned probes; /* rounds that went out */
	uint64_t due_ns; /* of the next probe, look or announcement */
	uint64_t turn_ns; /* ... which must wait until then, for others */
	unsigned announced; /* since it is ours */
	uint64_t gone_ns; /* when the VM went, or may have gone */
	uint64_t defended_ns;
	uint64_t n_answered, n_conflicts;
};

static const struct mac_addr everyone = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };
static const struct mac_addr all_nodes_mac = { { 0x33, 0x33, 0, 0, 0, 1 } };
static const struct ip_addr all_nodes = { { 0xff, 0x02, [15] = 1 } };

static bool same_mac(const struct mac_addr *a, const struct mac_addr *b) { return memcmp(a, b, sizeof(*a)) == 0; }

/* ---- pace ---- */

void claim_pace_init(struct claim_pace *p, uint64_t seed)
{
	*p = (struct claim_pace){
		.frames = { .burst = FRAMES_AT_ONCE, .per_s = FRAMES_PER_S },
		.random = seed | 1,
	};
}

/* From 0 to below `range` (xorshift). */
static uint64_t draw(struct claim_pace *p, uint64_t range)
{
	p->random ^= p->random << 13;
	p->random ^= p->random >> 7;
	p->random ^= p->random << 17;
	return range ? p->random % range : 0;
}

/* A frame for each address may go out now.  If not, not before c->turn_ns: of many that wait, each has a time of
 * its own, so that they do not all look whenever there is a token for one. */
static bool pay(struct claim *c, uint64_t now_ns)
{
	struct claim_pace *p = c->pace;

	if (now_ns < c->turn_ns)
		return false;
	if (bucket_level(&p->frames, now_ns) < c->conf->n_addrs) {
		p->turn_ns = MAX(p->turn_ns, p->frames.empty_ns) + c->conf->n_addrs * bucket_token_ns(&p->frames);
		c->turn_ns = p->turn_ns;
		return false;
	}
	bucket_take(&p->frames, now_ns, c->conf->n_addrs);
	return true;
}

/* ---- moves ---- */

/* The VM may speak for itself in this stage. */
static bool has_vm(enum hold_stage stage)
{
	return stage == HOLD_STAGE_BOOT || stage == HOLD_STAGE_UP || stage == HOLD_STAGE_DRAIN || stage == HOLD_STAGE_STOP;
}

static uint64_t check_part_ns(const struct claim *c) { return (c->check_end_ns - c->check_ns) / (CLAIM_PROBES + 1); }

static uint64_t next_probe_ns(struct claim *c)
{
	uint64_t part_ns = check_part_ns(c);

	if (c->probes == CLAIM_PROBES)
		return c->check_end_ns;
	return c->check_ns + c->probes * part_ns + draw(c->pace, part_ns);
}

static void free_at_last(struct claim *c, uint64_t now_ns)
{
	static const struct ip_addr none;
	static const struct mac_addr nobody;

	c->mode = MODE_FREE;
	c->due_ns = 0;
	c->ops->event(c->arg, HOLD_FREE, &none, &nobody, now_ns);
}

static void check(struct claim *c, uint32_t ms, uint64_t now_ns)
{
	c->mode = MODE_CHECKING;
	c->probes = 0;
	c->check_ns = now_ns;
	c->check_end_ns = now_ns + ms * NS_PER_MS;
	c->due_ns = next_probe_ns(c);
	if (ms == 0)
		free_at_last(c, now_ns);
}

static void wait_for_next_look(struct claim *c, uint64_t now_ns)
{
	uint64_t range_ns = (CLAIM_RECHECK_MOST_S - CLAIM_RECHECK_LEAST_S) * NS_PER_S;

	c->mode = MODE_WAITING;
	c->due_ns = now_ns + CLAIM_RECHECK_LEAST_S * NS_PER_S + draw(c->pace, range_ns);
}

static void begin_check(struct claim *c, uint64_t now_ns)
{
	if (c->mode == MODE_CHECKING && !c->in_conflict)
		return; /* it goes on */
	c->in_conflict = false;
	check(c, c->check_ms, now_ns);
}

static void begin_conflict(struct claim *c, uint64_t now_ns)
{
	if (c->in_conflict && (c->mode == MODE_CHECKING || c->mode == MODE_WAITING))
		return;
	c->in_conflict = true;
	wait_for_next_look(c, now_ns);
}

static void begin_ours(struct claim *c, uint64_t now_ns)
{
	if (c->mode == MODE_OURS)
		return;
	c->mode = MODE_OURS;
	c->announced = 0;
	c->due_ns = now_ns;
}

static void begin(struct claim *c, bool at_vm, uint64_t now_ns)
{
	if (c->stage == HOLD_STAGE_CHECK)
		begin_check(c, now_ns);
	else if (c->stage == HOLD_STAGE_CONFLICT)
		begin_conflict(c, now_ns);
	else if (c->stage == HOLD_STAGE_NONE || at_vm)
		c->mode = MODE_NONE;
	else
		begin_ours(c, now_ns);
}

void claim_stage(struct claim *c, enum hold_stage stage, bool at_vm, uint64_t now_ns)
{
	if (has_vm(c->stage) && !has_vm(stage))
		c->gone_ns = now_ns;
	c->stage = stage;
	begin(c, at_vm, now_ns);
}

struct claim *claim_new(const struct msg_hold_service *conf, uint32_t check_ms, struct claim_pace *pace,
			const struct claim_ops *ops, void *arg, uint64_t now_ns)
{
	struct claim *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->conf = conf;
	c->check_ms = check_ms;
	c->pace = pace;
	c->ops = ops;
	c->arg = arg;
	c->gone_ns = conf->stage == HOLD_STAGE_CHECK ? 0 : now_ns; /* nobody knows, unless a check finds out */
	claim_stage(c, (enum hold_stage)conf->stage, conf->at_vm, now_ns);
	return c;
}

void claim_free(struct claim *c) { free(c); }

static bool same_addresses(const struct msg_hold_service *a, const struct msg_hold_service *b)
{
	return a->n_addrs == b->n_addrs && memcmp(a->addrs, b->addrs, a->n_addrs * sizeof(a->addrs[0])) == 0 &&
	       same_mac(&a->mac, &b->mac) && a->bridge == b->bridge;
}

void claim_conf(struct claim *c, const struct msg_hold_service *conf, uint32_t check_ms, uint64_t now_ns)
{
	if (!same_addresses(c->conf, conf)) {
		c->mode = MODE_NONE;
		c->in_conflict = false;
	}
	c->conf = conf;
	c->check_ms = check_ms;
	claim_stage(c, (enum hold_stage)conf->stage, conf->at_vm, now_ns);
}

/* ---- what goes out by itself ---- */

static void send_all(struct claim *c, size_t (*build)(uint8_t *, const struct mac_addr *, const struct ip_addr *))
{
	uint8_t frame[FRAME_BUILT_MAX];

	for (unsigned i = 0; i < c->conf->n_addrs; i++)
		c->ops->send(c->arg, frame, build(frame, &c->conf->mac, &c->conf->addrs[i]));
}

static uint64_t tick_check(struct claim *c, uint64_t now_ns)
{
	while (c->probes < CLAIM_PROBES && now_ns >= c->due_ns) {
		if (!pay(c, now_ns))
			return c->turn_ns;
		send_all(c, frame_dad);
		c->probes++;
		c->due_ns = next_probe_ns(c);
	}
	if (c->probes == CLAIM_PROBES && now_ns >= c->check_end_ns)
		free_at_last(c, now_ns);
	return c->due_ns;
}

static uint64_t tick_ours(struct claim *c, uint64_t now_ns)
{
	uint64_t pause_s = CLAIM_ANNOUNCE_S;

	if (has_vm(c->stage))
		return 0; /* the stage will change */
	if (now_ns < c->due_ns)
		return c->due_ns;
	if (!pay(c, now_ns))
		return c->turn_ns;
	send_all(c, frame_announce);
	if (c->announced++ == 0)
		pause_s = SECOND_ANNOUNCE_S;
	c->due_ns = now_ns + pause_s * NS_PER_S + draw(c->pace, pause_s * NS_PER_S / 8);
	return c->due_ns;
}

uint64_t claim_tick(struct claim *c, uint64_t now_ns)
{
	if (c->mode == MODE_WAITING && now_ns >= c->due_ns)
		check(c, MAX(c->check_ms, (uint32_t)RECHECK_LEAST_MS), now_ns);
	if (c->mode == MODE_IN_USE && now_ns >= c->due_ns)
		begin(c, false, now_ns);
	switch (c->mode) {
	case MODE_CHECKING: return tick_check(c, now_ns);
	case MODE_OURS: return tick_ours(c, now_ns);
	case MODE_WAITING:
	case MODE_IN_USE: return c->due_ns;
	default: return 0;
	}
}

void claim_announce(struct claim *c, uint64_t now_ns)
{
	if (c->mode == MODE_OURS)
		c->due_ns = MIN(c->due_ns, now_ns);
}

/* ---- what is heard ---- */

static const struct ip_addr *own_address(const struct claim *c, const struct ip_addr *a)
{
	for (unsigned i = 0; i < c->conf->n_addrs; i++) {
		if (ip_equal(&c->conf->addrs[i], a))
			return &c->conf->addrs[i];
	}
	return NULL;
}

/* Which of our addresses the frame's sender says is its own. */
static const struct ip_addr *claimed_by(const struct claim *c, const struct frame *f)
{
	if (f->kind == FRAME_ARP || f->kind == FRAME_SOLICIT)
		return own_address(c, &f->src);
	return f->kind == FRAME_ADVERT ? own_address(c, &f->target) : NULL;
}

static const struct ip_addr *asked_for(const struct claim *c, const struct frame *f)
{
	if (f->kind == FRAME_ARP)
		return f->arp_op == ARP_REQUEST ? own_address(c, &f->dst) : NULL;
	return f->kind == FRAME_SOLICIT ? own_address(c, &f->target) : NULL;
}

/* An ND option may be missing. */
static const struct mac_addr *sender_of(const struct frame *f) { return mac_is_zero(&f->hw) ? &f->eth_src : &f->hw; }

/* Without an address of ours in it, it is about the MAC, and so about all of them. */
static void tell_rival(struct claim *c, const struct ip_addr *a, const struct frame *f, uint64_t now_ns)
{
	c->ops->event(c->arg, HOLD_IN_USE, a ? a : &c->conf->addrs[0], a ? sender_of(f) : &f->eth_src, now_ns);
}

static void yield(struct claim *c, const struct ip_addr *a, const struct frame *f, uint64_t now_ns)
{
	c->n_conflicts++;
	if (c->in_conflict && c->mode == MODE_CHECKING) {
		wait_for_next_look(c, now_ns); /* as before */
		return;
	}
	c->mode = MODE_IN_USE;
	c->due_ns = now_ns + UNHEARD_S * NS_PER_S;
	tell_rival(c, a, f, now_ns);
}

/* While it is not ours: whoever has it, wants it, or is it. */
static void hear_checking(struct claim *c, const struct frame *f, uint64_t now_ns)
{
	const struct ip_addr *a = claimed_by(c, f);

	if (!a && frame_is_dad(f))
		a = asked_for(c, f);
	if (a || same_mac(&f->eth_src, &c->conf->mac))
		yield(c, a, f, now_ns);
}

/* It stays ours, which everybody is told at most once in CLAIM_DEFEND_S.  A VM that is there speaks
 * for itself. */
static void defend(struct claim *c, const struct ip_addr *a, const struct frame *f, uint64_t now_ns)
{
	uint8_t frame[FRAME_BUILT_MAX];

	c->n_conflicts++;
	if (c->defended_ns && now_ns < c->defended_ns + CLAIM_DEFEND_S * NS_PER_S)
		return;
	c->defended_ns = now_ns;
	if (!has_vm(c->stage))
		c->ops->send(c->arg, frame, frame_announce(frame, &c->conf->mac, a ? a : &c->conf->addrs[0]));
	tell_rival(c, a, f, now_ns);
}

static void hear_rival(struct claim *c, const struct ip_addr *a, const struct frame *f, uint64_t now_ns)
{
	if (c->conf->defend || has_vm(c->stage))
		defend(c, a, f, now_ns);
	else
		yield(c, a, f, now_ns);
}

static size_t answer_arp(const struct claim *c, const struct frame *f, const struct ip_addr *a, uint8_t *out)
{
	const struct mac_addr *to = frame_is_dad(f) ? &everyone : &f->eth_src;

	return frame_arp(out, ARP_REPLY, to, &c->conf->mac, a, &f->hw, &f->src);
}

static size_t answer_solicit(const struct claim *c, const struct frame *f, const struct ip_addr *a, uint8_t *out)
{
	bool dad = frame_is_dad(f);

	return frame_advert(out, dad ? &all_nodes_mac : &f->eth_src, dad ? &all_nodes : &f->src, &c->conf->mac, a);
}

static void answer(struct claim *c, const struct frame *f, const struct ip_addr *a)
{
	uint8_t frame[FRAME_BUILT_MAX];
	size_t n = f->kind == FRAME_ARP ? answer_arp(c, f, a, frame) : answer_solicit(c, f, a, frame);

	c->n_answered++;
	c->ops->send(c->arg, frame, n);
}

static void hear_ours(struct claim *c, const struct frame *f, uint64_t now_ns)
{
	const struct ip_addr *claimed = claimed_by(c, f), *asked = asked_for(c, f);
	bool from_vm_mac = same_mac(&f->eth_src, &c->conf->mac);
	bool vm_is_gone = !has_vm(c->stage) && now_ns >= c->gone_ns + CLAIM_GONE_S * NS_PER_S;
	bool twin = from_vm_mac && vm_is_gone && !frame_is_dad(f);

	if (twin || (claimed && !same_mac(sender_of(f), &c->conf->mac)))
		hear_rival(c, claimed, f, now_ns);
	else if (asked && !claimed && !(from_vm_mac && !vm_is_gone))
		answer(c, f, asked);
}

void claim_frame(struct claim *c, const struct frame *f, uint64_t now_ns)
{
	if (c->mode == MODE_CHECKING || c->mode == MODE_FREE)
		hear_checking(c, f, now_ns);
	else if (c->mode == MODE_OURS)
		hear_ours(c, f, now_ns);
}

bool claim_is_ours(const struct claim *c) { return c->mode == MODE_OURS; }

uint64_t claim_answered(const struct claim *c) { return c->n_answered; }

uint64_t claim_conflicts(const struct claim *c) { return c->n_conflicts; }
