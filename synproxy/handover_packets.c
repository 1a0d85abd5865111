/* Theory of operation
 *
 * What happens to a client's packet follows from where the VM is, which is a row of manners[]: the
 * launcher's stage, and four more for what a hand-over goes through in BOOT and UP.
 *
 * **A wake** is sent for each packet that wants the VM, within this service's rate and that of all
 * services.  What is over the rate is remembered, one client for each service (the newest, but a
 * client that came again before one that did not), and said when there is a token.  So there is a
 * wake at most one token's time after the last packet of any flood.  A VM that is about to stop cannot
 * wait for that: in DRAIN everything wakes, whatever may wake it otherwise and whatever others use up.
 *
 * Strays, segments of connections that died with their VM, get the RST that a host without the
 * connection sends (RFC 9293, 3.10.7.1), so that the client learns of it now.  Where the VM may still
 * have the connection, they do not: a VM that is paused has, one that is about to go has, and after
 * our own restart in the midst of a boot, or when a VM that was UP has lost its port, we cannot know.
 */
#include "synproxy/handover_internal.h"

/* ---- what becomes of a packet ---- */

enum todo {
	TODO_DROP,
	TODO_PARK,
	TODO_PASS, /* into the VM's port */
	TODO_PASS_OPEN, /* the same when its port is open; else parked */
	TODO_PASS_AFTER, /* the same when nothing is held that must go before; else parked */
	TODO_RESET,
	TODO_PING, /* as conf.ping says */
};

/* Beyond the launcher's stages. */
enum {
	PLACE_RESUMING = HOLD_STAGE_N, /* BOOT of a VM that was paused */
	PLACE_IN_PATH,
	PLACE_AT_VM,
	PLACE_OVER, /* handed over, and quiet */
	PLACE_N
};

struct manner {
	enum todo syn, segment, datagram, echo, other;
	bool wakes; /* what is parked does */
	bool all_wake; /* everything does */
	bool discards; /* nothing is held */
};

static const struct manner manners[PLACE_N] = {
	[HOLD_STAGE_NONE] = { .discards = true },
	[HOLD_STAGE_CHECK] = { .discards = true },
	[HOLD_STAGE_CONFLICT] = { .discards = true },
	[HOLD_STAGE_SLEEP] = { TODO_PARK, TODO_RESET, TODO_PARK, TODO_PING, TODO_DROP, .wakes = true },
	[HOLD_STAGE_FROZEN] = { TODO_PARK, TODO_PARK, TODO_PARK, TODO_PING, TODO_DROP, .wakes = true },
	[HOLD_STAGE_BOOT] = { TODO_PARK, TODO_RESET, TODO_PARK, TODO_PING, TODO_DROP },
	[HOLD_STAGE_UP] = { TODO_PARK, TODO_PASS, TODO_PARK, TODO_PASS, TODO_PASS },
	[HOLD_STAGE_DRAIN] = { TODO_PARK, TODO_PASS, TODO_PASS, TODO_PASS, TODO_PASS, .wakes = true,
			       .all_wake = true },
	[HOLD_STAGE_STOP] = { TODO_PARK, TODO_PASS, TODO_PARK, TODO_PING, TODO_DROP, .wakes = true },
	[HOLD_STAGE_FAILED] = { TODO_PARK, TODO_RESET, TODO_PARK, TODO_PING, TODO_DROP, .wakes = true },
	[PLACE_RESUMING] = { TODO_PARK, TODO_PARK, TODO_PARK, TODO_PING, TODO_DROP },
	[PLACE_IN_PATH] = { TODO_PASS_OPEN, TODO_PASS_AFTER, TODO_PASS_AFTER, TODO_PASS, TODO_PASS },
	[PLACE_AT_VM] = { TODO_PASS_AFTER, TODO_PASS_AFTER, TODO_PASS_AFTER, TODO_PASS, TODO_PASS },
	/* the entry is on its way back to us, and the stage and the port come behind it */
	[PLACE_OVER] = { TODO_PARK, TODO_PARK, TODO_PARK, TODO_DROP, TODO_DROP },
};

enum { ECHO_MAX = 1600 }; /* a longer ping is not answered */

static const struct manner *manner_of(const struct handover *h)
{
	if (!handover_vm_comes(h->stage))
		return &manners[h->stage];
	if (h->at_vm)
		return &manners[h->over ? PLACE_OVER : PLACE_AT_VM];
	if (h->in_path)
		return &manners[PLACE_IN_PATH];
	return &manners[h->resuming && h->stage == HOLD_STAGE_BOOT ? (unsigned)PLACE_RESUMING : (unsigned)h->stage];
}

bool handover_wakes(const struct handover *h) { return manner_of(h)->wakes; }

bool handover_discards(const struct handover *h) { return manner_of(h)->discards; }

bool handover_resets_strays(const struct handover *h) { return manner_of(h)->segment == TODO_RESET && !h->unsure; }

/* ---- wakes ---- */

/* The rate of all services; NULL: it is not bound by it. */
static struct bucket *rate_of_all(const struct handover *h)
{
	return manner_of(h)->all_wake ? NULL : &h->shared->wakes;
}

bool handover_say_wake(struct handover *h, uint64_t now_ns)
{
	struct bucket *all;

	if (!h->wake_due || h->unheard)
		return false;
	all = rate_of_all(h);
	if (bucket_level(&h->wakes, now_ns) == 0 || (all && bucket_level(all, now_ns) == 0))
		return false;
	if (!h->ops->wake(h->arg, &h->wake)) {
		h->unheard = true;
		return false;
	}
	bucket_take(&h->wakes, now_ns, 1);
	if (all)
		bucket_take(all, now_ns, 1);
	h->wake_due = h->wake_again = false;
	return true;
}

uint64_t handover_wake_ns(const struct handover *h)
{
	const struct bucket *all;

	if (!h->wake_due || h->unheard)
		return 0;
	all = rate_of_all(h);
	return all ? MAX(bucket_ready_ns(&h->wakes), bucket_ready_ns(all)) : bucket_ready_ns(&h->wakes);
}

static bool may_wake(const struct handover *h, unsigned cause)
{
	const struct manner *m = manner_of(h);

	return m->wakes && (m->all_wake || h->conf->wakes || cause == CAUSE_WOL);
}

void handover_review_wake(struct handover *h)
{
	if (!may_wake(h, h->wake.cause))
		h->wake_due = h->wake_again = false;
}

/* Of `m`, who it is and when is filled in. */
static void wake(struct handover *h, const struct msg_wake *m, bool again, uint64_t now_ns)
{
	if (!may_wake(h, m->cause))
		return;
	if (h->wake_due && h->wake_again && !again)
		return;
	h->wake = *m;
	h->wake.svc = h->conf->svc;
	h->wake.gen = h->conf->gen;
	h->wake_due = true;
	h->wake_again = again;
	handover_say_wake(h, now_ns);
}

static void wake_for(struct handover *h, const struct frame *f, bool again, uint64_t now_ns)
{
	struct msg_wake m = {
		.cause = CAUSE_PING,
		.client = f->src,
		.client_port = f->src_port,
		.port = f->dst_port,
		.t_ns = now_ns,
	};

	if (f->kind == FRAME_TCP)
		m.cause = CAUSE_SYN;
	else if (f->kind == FRAME_UDP)
		m.cause = CAUSE_UDP;
	wake(h, &m, again, now_ns);
}

void handover_wol(struct handover *h, const struct ip_addr *from, uint64_t now_ns)
{
	struct msg_wake m = { .cause = CAUSE_WOL, .client = *from, .t_ns = now_ns };

	wake(h, &m, true, now_ns);
}

/* The oldest that wants the VM: a segment does when its connection may live. */
struct wanting {
	bool segments, found;
	struct msg_wake m;
};

static bool make_wake(void *arg, const struct held *one)
{
	struct wanting *w = arg;
	struct msg_wake *m = &w->m;

	if (one->proto == FLOW_TCP && !one->syn && !w->segments)
		return true;
	w->found = true;
	m->cause = one->proto == FLOW_TCP ? CAUSE_SYN : CAUSE_UDP;
	m->client = one->client;
	m->client_port = one->client_port;
	m->port = one->port;
	m->t_ns = one->newest_ns;
	return false;
}

void handover_wake_for_held(struct handover *h, uint64_t now_ns)
{
	const struct manner *m = manner_of(h);
	struct wanting w = { .segments = m->segment == TODO_PARK || m->all_wake };

	if (!m->wakes || handover_held(h) == 0)
		return;
	hold_show(h->shared->table, h->conf->svc, 0, UINT32_MAX, make_wake, &w);
	if (w.found)
		wake(h, &w.m, true, now_ns);
}

/* ---- answers in the VM's place ---- */

static void answer_stray(struct handover *h, const struct frame *f, uint64_t now_ns)
{
	uint8_t frame[FRAME_BUILT_MAX];

	if ((f->tcp_flags & TCP_RST) || !bucket_pass(&h->shared->answers, now_ns))
		return;
	h->ops->to_tap(h->arg, frame, frame_reset(frame, f, &h->conf->mac));
	h->counts.strays++;
}

static void answer_ping(struct handover *h, const uint8_t *bytes, const struct frame *f, uint64_t now_ns)
{
	uint8_t frame[ECHO_MAX];

	if (f->end > sizeof(frame) || !bucket_pass(&h->shared->answers, now_ns))
		return;
	h->ops->to_tap(h->arg, frame, frame_echo_reply(frame, bytes, f, &h->conf->mac));
}

/* ---- parking and passing ---- */

static void count_held(struct handover *h, const struct frame *f, enum hold_verdict v, uint64_t now_ns)
{
	if (v == HOLD_FULL)
		h->counts.dropped++;
	if (v == HOLD_NEW && !h->in_path && !h->at_vm && handover_held(h) == 1)
		handover_tell(h, HOLD_FIRST, &f->src, f->dst_port, 1, now_ns);
}

static void park_syn(struct handover *h, const uint8_t *bytes, size_t n, const struct frame *f, uint64_t now_ns)
{
	enum hold_verdict v = HOLD_FULL;

	if (h->shared->table)
		v = hold_syn(h->shared->table, h->conf->svc, bytes, n, f, now_ns);
	count_held(h, f, v, now_ns);
	h->counts.parked += v == HOLD_NEW;
	if (v != HOLD_FULL && handover_waits(h))
		handover_add_port(h, f->dst_port, false);
	wake_for(h, f, v == HOLD_AGAIN, now_ns);
}

static void park_packet(struct handover *h, const uint8_t *bytes, size_t n, const struct frame *f, uint64_t now_ns)
{
	uint32_t per_flow = f->kind == FRAME_TCP ? (uint32_t)HANDOVER_STRAYS_PER_FLOW : h->conf->hold_udp;
	enum hold_verdict v = HOLD_FULL;

	if (per_flow == 0)
		return;
	if (h->shared->table)
		v = hold_packet(h->shared->table, h->conf->svc, bytes, n, f, per_flow, now_ns);
	count_held(h, f, v, now_ns);
	if (v != HOLD_FULL) {
		h->packets = true;
		h->counts.datagrams += f->kind == FRAME_UDP;
	}
	wake_for(h, f, v == HOLD_AGAIN, now_ns);
}

static bool is_syn(const struct frame *f)
{
	return f->kind == FRAME_TCP && (f->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

static void park(struct handover *h, const uint8_t *bytes, size_t n, const struct frame *f, uint64_t now_ns)
{
	if (is_syn(f))
		park_syn(h, bytes, n, f, now_ns);
	else if (f->kind == FRAME_TCP || f->kind == FRAME_UDP)
		park_packet(h, bytes, n, f, now_ns);
}

/* A SYN that the port does not take is parked; anything else is lost, as on any wire. */
static void pass(struct handover *h, const uint8_t *bytes, size_t n, const struct frame *f, uint64_t now_ns)
{
	bool taken = h->port_there && h->ops->to_port(h->arg, bytes, n);

	h->quiet_ns = now_ns;
	if (!taken && (is_syn(f) || (f->kind == FRAME_UDP && h->at_vm)))
		park(h, bytes, n, f, now_ns);
	else if (manner_of(h)->all_wake && !(f->kind == FRAME_TCP && f->tcp_flags & TCP_RST))
		wake_for(h, f, false, now_ns); /* a RST wants nothing */
}

/* What the VM's connections may still live in gets no RST of ours. */
static void reset_stray(struct handover *h, const struct frame *f, uint64_t now_ns)
{
	const struct port *p = handover_find_port(h, f->dst_port);

	if (handover_resets_strays(h) || (p && p->refused && !p->open))
		answer_stray(h, f, now_ns);
}

static void ping(struct handover *h, const uint8_t *bytes, const struct frame *f, uint64_t now_ns)
{
	if (h->conf->ping == PING_ANSWER)
		answer_ping(h, bytes, f, now_ns);
	else if (h->conf->ping == PING_WAKE)
		wake_for(h, f, false, now_ns);
}

static bool must_wait(struct handover *h, enum todo todo, const struct frame *f)
{
	const struct port *p;

	if (todo == TODO_PASS_AFTER)
		return is_syn(f) ? handover_held(h) > 0 : h->packets;
	p = handover_find_port(h, f->dst_port);
	return !p || !p->open;
}

static void handle(struct handover *h, enum todo todo, const uint8_t *bytes, size_t n, const struct frame *f,
		   uint64_t now_ns)
{
	switch (todo) {
	case TODO_DROP: break;
	case TODO_PARK: park(h, bytes, n, f, now_ns); break;
	case TODO_PASS: pass(h, bytes, n, f, now_ns); break;
	case TODO_RESET: reset_stray(h, f, now_ns); break;
	case TODO_PING: ping(h, bytes, f, now_ns); break;
	case TODO_PASS_OPEN:
	case TODO_PASS_AFTER:
		if (must_wait(h, todo, f))
			park(h, bytes, n, f, now_ns);
		else
			pass(h, bytes, n, f, now_ns);
		break;
	}
}

void handover_frame(struct handover *h, const uint8_t *bytes, size_t n, const struct frame *f, uint64_t now_ns)
{
	const struct manner *m = manner_of(h);
	enum todo todo = TODO_DROP;

	switch (f->kind) {
	case FRAME_TCP:
		todo = is_syn(f) ? m->syn : m->segment;
		h->counts.syns += is_syn(f) && !m->discards;
		break;
	case FRAME_UDP: todo = m->datagram; break;
	case FRAME_ECHO: todo = m->echo; break;
	case FRAME_IP: todo = m->other; break;
	default: break;
	}
	handle(h, todo, bytes, n, f, now_ns);
}
