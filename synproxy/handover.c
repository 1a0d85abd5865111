/* Theory of operation
 *
 * What happens to a client's packet follows from where the VM is (manners[] in handover_packets.c):
 * the launcher's stage, and what a hand-over goes through in BOOT and UP.
 *
 *              parked: SYNs, datagrams                     parked: SYNs to ports that are not open
 *     SLEEP --------> BOOT ----------------------------------> IN_PATH ------+
 *       ^               |        one of several ports opens                  | all ports are settled
 *       |               | the only port opens                                v
 *       |               +------------------------------------------> HOLD_MOVE, MSG_HOLD_MOVED
 *       |                                                                    |
 *      STOP <-- DRAIN <-------------------------- UP <-------- (quiet) --- AT_VM: all that is held is
 *                                                                          sent; stragglers are, too
 *
 * **A held SYN waits for its own port.**  The ports that are waited for are those configured, those
 * that readiness asks for, and those with held SYNs.  Each is asked through the VM's port (probe.h).
 * It is settled when it is open, or keeps silent though the VM speaks (a filter in the guest eats
 * our question; the client's may pass), or refuses: for HANDOVER_REFUSED_S since the first one opened
 * (of those configured, when it is), or, when it is not configured, since the VM is UP.  A configured port
 * of a VM none of whose configured ports ever opened is given up when the SYNs that came before UP must
 * have expired.  What is held for a refusing port gets the RST that the VM would send.
 *
 * **The entry moves before the first SYN goes** when everything is settled at once: from then on the
 * client's next packets go straight to the VM.  When some ports are open and others are not yet, it
 * cannot: a new SYN to a closed port would reach the VM, and be refused.  So until they are settled
 * the open ports' SYNs are sent on, and all packets of the client pass through here, while the VM's
 * answers go straight to the client.  A VM that is UP for its readiness rules, and whose configured
 * ports are not open, gets everything but those ports' SYNs in the same way.
 *
 * What came to the tap before the entry moved is still in its queue, and there may be frames in
 * flight: for HANDOVER_QUIET_S after the last one, what comes is sent on.  Then the port is left.
 * What comes after that comes because the entry is at the tap again, and the stage that goes with it has
 * not been heard yet: it is parked, and is passed on, or wakes, by the next stage's rules.
 *
 * **Release is paced**, lest the VM's queue overflow: a burst, then HANDOVER_PER_MS.  Clients that
 * have sent their SYN again come first: forged ones never do, so that a flood does not keep real
 * clients waiting.  What the port does not take stays held until the next tick.
 */
#include "synproxy/handover_internal.h"

enum { ANSWER_BURST = 1000 };

void handover_shared_init(struct handover_shared *s, struct hold_table *table)
{
	*s = (struct handover_shared){
		.table = table,
		.wakes = { .burst = HANDOVER_ALL_WAKE_BURST, .per_s = HANDOVER_ALL_WAKES_PER_S },
		.answers = { .burst = ANSWER_BURST, .per_s = HANDOVER_ANSWERS_PER_S },
	};
}

void handover_tell(struct handover *h, enum hold_what what, const struct ip_addr *addr, uint16_t port, uint32_t n,
		   uint64_t now_ns)
{
	struct msg_hold_event m = {
		.svc = h->conf->svc,
		.gen = h->conf->gen,
		.what = (uint8_t)what,
		.port = port,
		.n = n,
		.t_ns = now_ns,
	};

	if (addr)
		m.addr = *addr;
	h->ops->event(h->arg, &m);
}

/* ---- what is due ---- */

/* Says it again and again, until it is answered. */
static uint64_t ask(struct handover *h, enum hold_what what, uint64_t now_ns)
{
	uint64_t again_ns = h->asked_ns + HANDOVER_MOVE_AGAIN_S * NS_PER_S;

	if (h->asked_ns && now_ns < again_ns)
		return again_ns;
	h->asked_ns = now_ns;
	handover_tell(h, what, NULL, 0, handover_held(h), now_ns);
	return now_ns + HANDOVER_MOVE_AGAIN_S * NS_PER_S;
}

/* The VM comes, and the forwarding entry is at our tap. */
static uint64_t hand_over(struct handover *h, uint64_t now_ns)
{
	bool up = h->stage == HOLD_STAGE_UP, left;
	uint64_t due_ns = 0;
	unsigned pending;

	if (!h->port_there)
		return 0;
	pending = handover_settle(h, now_ns, &due_ns);
	left = handover_refuse_closed_ports(h, now_ns);
	if (pending == 0 && (up || h->open_ns || (h->link && h->n_ports == 0))) {
		due_ns = handover_sooner(due_ns, ask(h, HOLD_MOVE, now_ns));
	} else if (pending > 0 && (up || h->open_ns)) {
		h->in_path = true;
		left |= handover_release_packets(h, now_ns);
		left |= handover_release_open_ports(h, now_ns);
		handover_say_released(h, left, now_ns);
	}
	return left ? handover_soon(now_ns) : due_ns;
}

static uint64_t finish(struct handover *h, uint64_t now_ns)
{
	uint64_t at_ns = h->quiet_ns + HANDOVER_QUIET_S * NS_PER_S;

	if (h->over || h->probing)
		return 0;
	if (now_ns < at_ns)
		return at_ns;
	if (h->port_there && h->stage != HOLD_STAGE_UP)
		return 0; /* it may still fail */
	h->over = true;
	if (h->port_there) {
		handover_leave_port(h);
		handover_tell(h, HOLD_DONE, NULL, 0, 0, now_ns);
	}
	return 0;
}

/* The forwarding entry is at the VM's port. */
static uint64_t clear_up(struct handover *h, uint64_t now_ns)
{
	bool left;

	if (!h->port_there && handover_held(h) > 0)
		return ask(h, HOLD_WANT_PORT, now_ns);
	left = handover_release_packets(h, now_ns);
	left |= handover_release_syns(h, HOLD_ANY_PORT, now_ns);
	handover_say_released(h, left, now_ns);
	return left ? handover_soon(now_ns) : finish(h, now_ns);
}

/* The VM is about to go: what was parked until the port came is its connections'. */
static uint64_t drain(struct handover *h, uint64_t now_ns)
{
	bool left = h->port_there && handover_release_packets(h, now_ns);

	handover_say_released(h, left, now_ns);
	return left ? handover_soon(now_ns) : 0;
}

uint64_t handover_tick(struct handover *h, uint64_t now_ns)
{
	uint64_t due_ns = 0;

	if (handover_discards(h))
		return handover_discard(h);
	if (h->stage == HOLD_STAGE_FAILED && handover_refuse_failed(h, now_ns))
		due_ns = handover_soon(now_ns);
	if (handover_say_wake(h, now_ns))
		h->shared->turn = h->conf->svc + 1;
	if (h->stage == HOLD_STAGE_DRAIN)
		due_ns = drain(h, now_ns);
	else if (handover_vm_comes(h->stage))
		due_ns = handover_sooner(due_ns, h->at_vm ? clear_up(h, now_ns) : hand_over(h, now_ns));
	due_ns = handover_sooner(due_ns, handover_expire(h, now_ns));
	return handover_sooner(due_ns, handover_wake_ns(h));
}

/* ---- what the launcher says ---- */

static bool had_vm(enum hold_stage stage)
{
	return stage == HOLD_STAGE_UP || stage == HOLD_STAGE_DRAIN || stage == HOLD_STAGE_STOP;
}

/* The port that there may be is not that of the VM which this stage is about.  (In BOOT it may have
 * come before the stage; but where a VM that was there has no port any more, it is the old one.) */
static bool has_no_port(enum hold_stage stage, enum hold_stage was)
{
	return stage == HOLD_STAGE_BOOT ? had_vm(was) : !had_vm(stage);
}

static void enter(struct handover *h, enum hold_stage stage, uint64_t now_ns)
{
	enum hold_stage was = h->stage;

	h->stage = stage;
	h->resuming = stage == HOLD_STAGE_FROZEN || (stage == HOLD_STAGE_BOOT && h->resuming);
	h->unsure = stage == HOLD_STAGE_BOOT && was == HOLD_STAGE_UP;
	h->asked_ns = 0;
	if (stage == HOLD_STAGE_UP) {
		h->up_ns = now_ns;
		h->probing = false; /* it is ready, whatever has not answered */
	} else {
		h->at_vm = h->over = h->in_path = h->said_released = false;
	}
	if (stage == HOLD_STAGE_FAILED)
		h->failed_ns = now_ns;
	if (has_no_port(stage, was))
		handover_leave_port(h);
	handover_wait_for_ports(h);
	if (h->n_ports == 0 && !handover_vm_comes(stage)) {
		free(h->ports);
		h->ports = NULL;
	}
}

void handover_stage(struct handover *h, enum hold_stage stage, uint64_t now_ns)
{
	bool woke = handover_wakes(h);

	if (stage == h->stage && stage != HOLD_STAGE_FAILED)
		return;
	enter(h, stage, now_ns);
	handover_review_wake(h);
	if (!woke && stage != HOLD_STAGE_FAILED)
		handover_wake_for_held(h, now_ns);
}

void handover_moved(struct handover *h, uint64_t now_ns)
{
	if (!handover_vm_comes(h->stage) || h->at_vm)
		return; /* the launcher has changed its mind since */
	h->at_vm = true;
	h->in_path = h->resuming = h->unsure = false;
	h->asked_ns = 0;
	h->quiet_ns = now_ns;
}

void handover_again(struct handover *h, uint64_t now_ns)
{
	h->unheard = false;
	h->asked_ns = 0;
	h->packets = handover_held(h) > 0;
	handover_wait_for_ports(h);
	handover_wake_for_held(h, now_ns);
}

/* ---- lifetime ---- */

/* Who came since it failed waits for another try. */
static bool has_failed_before(const struct handover *h, unsigned stage)
{
	return h->stage == HOLD_STAGE_FAILED && (stage == HOLD_STAGE_FAILED || stage == HOLD_STAGE_SLEEP);
}

void handover_conf(struct handover *h, const struct msg_hold_service *conf, uint64_t now_ns)
{
	h->conf = conf;
	handover_review_wake(h);
	if (!has_failed_before(h, conf->stage))
		handover_stage(h, (enum hold_stage)conf->stage, now_ns);
	if (conf->at_vm)
		handover_moved(h, now_ns);
	else
		h->at_vm = h->over = false;
	handover_wait_for_ports(h);
}

struct handover *handover_new(const struct msg_hold_service *conf, struct handover_shared *shared,
			      const struct handover_ops *ops, void *arg, uint64_t now_ns)
{
	struct handover *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->conf = conf;
	h->shared = shared;
	h->ops = ops;
	h->arg = arg;
	h->pace = (struct bucket){ .burst = HANDOVER_BURST, .per_s = HANDOVER_PER_MS * MS_PER_S };
	h->wakes = (struct bucket){ .burst = HANDOVER_WAKE_BURST, .per_s = HANDOVER_WAKES_PER_S };
	h->quiet_ns = now_ns;
	enter(h, (enum hold_stage)conf->stage, now_ns);
	h->unsure = handover_vm_comes(h->stage);
	h->at_vm = conf->at_vm && handover_vm_comes(h->stage);
	return h;
}

void handover_free(struct handover *h)
{
	if (h)
		free(h->ports);
	free(h);
}

bool handover_at_vm(const struct handover *h) { return h->at_vm; }

void handover_counts(const struct handover *h, struct msg_hold_counts *out)
{
	*out = h->counts;
	out->svc = h->conf->svc;
	out->gen = h->conf->gen;
	out->held = handover_held(h);
}
