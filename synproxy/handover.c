/* Theory of operation
 *
 * What happens to a client's packet follows from where the VM is, which is a row of manners[]: the
 * launcher's stage, and three more that a hand-over goes through in BOOT and UP.
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
 * our question; the client's may pass), or refuses: for HANDOVER_REFUSED_S since the first one opened,
 * or, when it is not configured, since the VM is UP.  A configured port of a VM none of whose ports
 * ever opened is given up when the SYNs that came before UP must have expired.  What is held for a
 * refusing port gets the RST that the VM would send.
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
 *
 * **Release is paced**, lest the VM's queue overflow: a burst, then HANDOVER_PER_MS.  Clients that
 * have sent their SYN again come first: forged ones never do, so that a flood does not keep real
 * clients waiting.  What the port does not take stays held until the next tick.
 *
 * **A wake** is sent for each packet that wants the VM, within this service's rate and that of all
 * services.  What is over the rate is remembered, one client for each service (the newest, but a client that
 * came again before one that did not), and said when there is a token.  So there is a wake at most
 * one token's time after the last packet of any flood.
 *
 * Strays, segments of connections that died with their VM, get the RST that a host without the
 * connection sends (RFC 9293, 3.10.7.1), so that the client learns of it now.  Where the VM may still
 * have the connection, they do not: a VM that is paused has, one that is about to go has, and after
 * our own restart in the midst of a boot we cannot know.
 */
#include "synproxy/handover.h"

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
	[HOLD_STAGE_DRAIN] = { TODO_PARK, TODO_PASS, TODO_PASS, TODO_PASS, TODO_PASS, .wakes = true, .all_wake = true },
	[HOLD_STAGE_STOP] = { TODO_PARK, TODO_PASS, TODO_PARK, TODO_PING, TODO_DROP, .wakes = true },
	[HOLD_STAGE_FAILED] = { TODO_PARK, TODO_RESET, TODO_PARK, TODO_PING, TODO_DROP, .wakes = true },
	[PLACE_RESUMING] = { TODO_PARK, TODO_PARK, TODO_PARK, TODO_PING, TODO_DROP },
	[PLACE_IN_PATH] = { TODO_PASS_OPEN, TODO_PASS_AFTER, TODO_PASS_AFTER, TODO_PASS, TODO_PASS },
	[PLACE_AT_VM] = { TODO_PASS_AFTER, TODO_PASS_AFTER, TODO_PASS_AFTER, TODO_PASS, TODO_PASS },
	[PLACE_OVER] = { TODO_DROP },
};

enum {
	PORTS_MAX = 2 * MSG_LIST_MAX + HOLD_PORTS_MAX, /* configured, asked for by readiness, held */
	ANSWER_BURST = 1000,
	DISCARD_PER_TICK = 4096,
	ECHO_MAX = 1600, /* a longer ping is not answered */
};

/* A port that is waited for. */
struct port {
	uint16_t port;
	bool configured;
	bool deaf; /* it cannot be asked: taken for open when the VM is there */
	bool open, refused;
	bool closed; /* refused for so long that it is settled */
	bool held; /* there may be SYNs to it */
};

struct handover {
	struct msg_hold_service conf;
	struct handover_shared *shared;
	const struct handover_ops *ops;
	void *arg;
	enum hold_stage stage;
	bool at_vm, over;
	bool in_path;
	bool resuming; /* it was paused: its connections live */
	bool unsure; /* we began in the midst of a boot */
	bool packets; /* packets are held, not only SYNs */
	/* the VM's port */
	bool port_there, probing, link;
	unsigned n_ports;
	struct port ports[PORTS_MAX];
	uint64_t first_open_ns, up_ns, failed_ns;
	uint64_t asked_ns; /* when HOLD_MOVE or HOLD_WANT_PORT was last said; 0: it was not */
	uint64_t quiet_ns; /* the last straggler */
	struct bucket pace;
	bool stuck; /* the port did not take the last one */
	uint32_t unsaid; /* released, and not yet told */
	bool said_released;
	/* wakes */
	struct bucket wakes;
	bool wake_due, wake_again; /* ... for a client that came again */
	bool unheard; /* nobody listens to wakes */
	struct msg_wake wake;
	struct msg_hold_counts counts;
};

void handover_shared_init(struct handover_shared *s, struct hold_table *table)
{
	*s = (struct handover_shared){
		.table = table,
		.wakes = { .burst = HANDOVER_ALL_WAKE_BURST, .per_s = HANDOVER_ALL_WAKES_PER_S },
		.answers = { .burst = ANSWER_BURST, .per_s = HANDOVER_ANSWERS_PER_S },
	};
}

static uint32_t held_now(const struct handover *h)
{
	return h->shared->table ? hold_count(h->shared->table, h->conf.svc) : 0;
}

/* The VM is there, or nearly, and not about to go. */
static bool comes(enum hold_stage stage) { return stage == HOLD_STAGE_BOOT || stage == HOLD_STAGE_UP; }

static const struct manner *manner_of(const struct handover *h)
{
	if (!comes(h->stage))
		return &manners[h->stage];
	if (h->at_vm)
		return &manners[h->over ? PLACE_OVER : PLACE_AT_VM];
	if (h->in_path)
		return &manners[PLACE_IN_PATH];
	return &manners[h->resuming && h->stage == HOLD_STAGE_BOOT ? (unsigned)PLACE_RESUMING : (unsigned)h->stage];
}

static uint64_t sooner(uint64_t a, uint64_t b) { return !a || (b && b < a) ? b : a; }

static void tell(struct handover *h, enum hold_what what, const struct ip_addr *addr, uint16_t port, uint32_t n,
		 uint64_t now_ns)
{
	struct msg_hold_event m = {
		.svc = h->conf.svc,
		.gen = h->conf.gen,
		.what = (uint8_t)what,
		.port = port,
		.n = n,
		.t_ns = now_ns,
	};

	if (addr)
		m.addr = *addr;
	h->ops->event(h->arg, &m);
}

/* ---- wakes ---- */

static void say_wake(struct handover *h, uint64_t now_ns)
{
	if (!h->wake_due || h->unheard)
		return;
	if (bucket_level(&h->wakes, now_ns) == 0 || bucket_level(&h->shared->wakes, now_ns) == 0)
		return;
	if (!h->ops->wake(h->arg, &h->wake)) {
		h->unheard = true;
		return;
	}
	bucket_take(&h->wakes, now_ns, 1);
	bucket_take(&h->shared->wakes, now_ns, 1);
	h->wake_due = h->wake_again = false;
}

static uint64_t wake_ns(const struct handover *h)
{
	if (!h->wake_due || h->unheard)
		return 0;
	return MAX(bucket_ready_ns(&h->wakes), bucket_ready_ns(&h->shared->wakes));
}

/* Of `m`, who it is and when is filled in. */
static void wake(struct handover *h, const struct msg_wake *m, bool again, uint64_t now_ns)
{
	if (!manner_of(h)->wakes || (!h->conf.wakes && m->cause != CAUSE_WOL))
		return;
	if (h->wake_due && h->wake_again && !again)
		return;
	h->wake = *m;
	h->wake.svc = h->conf.svc;
	h->wake.gen = h->conf.gen;
	h->wake_due = true;
	h->wake_again = again;
	say_wake(h, now_ns);
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

static bool make_wake(void *arg, const struct held *one)
{
	struct msg_wake *m = arg;

	m->cause = one->proto == FLOW_TCP ? CAUSE_SYN : CAUSE_UDP;
	m->client = one->client;
	m->client_port = one->client_port;
	m->port = one->port;
	m->t_ns = one->newest_ns;
	return true;
}

/* What is held already wants the VM. */
static void wake_for_held(struct handover *h, uint64_t now_ns)
{
	struct msg_wake m = { .token = 0 };

	if (held_now(h) > 0 && hold_show(h->shared->table, h->conf.svc, 0, 1, make_wake, &m) > 0)
		wake(h, &m, true, now_ns);
}

/* ---- answers in the VM's place ---- */

static void answer_stray(struct handover *h, const struct frame *f, uint64_t now_ns)
{
	uint8_t frame[FRAME_BUILT_MAX];

	if ((f->tcp_flags & TCP_RST) || !bucket_pass(&h->shared->answers, now_ns))
		return;
	h->ops->to_tap(h->arg, frame, frame_reset(frame, f, &h->conf.mac));
	h->counts.strays++;
}

static void answer_ping(struct handover *h, const uint8_t *bytes, const struct frame *f, uint64_t now_ns)
{
	uint8_t frame[ECHO_MAX];

	if (f->end > sizeof(frame) || !bucket_pass(&h->shared->answers, now_ns))
		return;
	h->ops->to_tap(h->arg, frame, frame_echo_reply(frame, bytes, f, &h->conf.mac));
}

static void reset_held(struct handover *h, const struct held *one)
{
	uint8_t frame[FRAME_BUILT_MAX];
	struct frame f;
	size_t n;

	frame_parse(one->frame, one->n, &f);
	if (f.kind != FRAME_TCP)
		return;
	n = frame_reset(frame, &f, &h->conf.mac);
	if (n > 0)
		h->ops->to_tap(h->arg, frame, n);
}

static bool take_with_reset(void *arg, const struct held *one)
{
	reset_held(arg, one);
	return true;
}

static bool take_in_silence(void *arg, const struct held *one)
{
	(void)arg;
	(void)one;
	return true;
}

/* ---- ports ---- */

static struct port *find_port(struct handover *h, uint16_t port)
{
	for (unsigned i = 0; i < h->n_ports; i++) {
		if (h->ports[i].port == port)
			return &h->ports[i];
	}
	return NULL;
}

/* From now on it is waited for: because it is configured, or because SYNs to it are held. */
static void add_port(struct handover *h, uint16_t port, bool configured)
{
	struct port *p = find_port(h, port);

	if (!p && h->n_ports == PORTS_MAX)
		return; /* what is held for it goes when the others are settled */
	if (!p) {
		p = &h->ports[h->n_ports++];
		*p = (struct port){ .port = port };
		p->deaf = !h->ops->want_port(h->arg, port);
	}
	p->configured |= configured;
	p->held |= !configured;
}

/* Those configured and those with held SYNs.  None when all is handed over, nor of a VM that goes: asking
 * would look like traffic. */
static void wait_for_ports(struct handover *h)
{
	uint16_t held[HOLD_PORTS_MAX];
	unsigned n = 0;

	if (!h->port_there || h->at_vm || !comes(h->stage))
		return;
	for (unsigned i = 0; i < h->conf.n_ports; i++)
		add_port(h, h->conf.ports[i].port, true);
	if (h->shared->table)
		n = hold_ports(h->shared->table, h->conf.svc, held, ARRAY_SIZE(held));
	for (unsigned i = 0; i < n; i++)
		add_port(h, held[i], false);
}

static void open_port(struct handover *h, struct port *p, uint64_t now_ns)
{
	p->open = true;
	p->closed = false;
	if (!h->first_open_ns)
		h->first_open_ns = now_ns;
}

/* When a port that refuses is settled; 0: nobody knows yet. */
static uint64_t give_up_ns(const struct handover *h, const struct port *p)
{
	uint64_t at_ns = 0;

	if (h->first_open_ns)
		at_ns = h->first_open_ns + HANDOVER_REFUSED_S * NS_PER_S;
	if (h->stage == HOLD_STAGE_UP && !p->configured)
		at_ns = sooner(at_ns, h->up_ns + HANDOVER_REFUSED_S * NS_PER_S);
	else if (h->stage == HOLD_STAGE_UP && !h->first_open_ns)
		at_ns = h->up_ns + h->conf.max_hold_ms * NS_PER_MS;
	return at_ns;
}

/* How many ports are not settled; *due_ns: when the next one may be. */
static unsigned settle(struct handover *h, uint64_t now_ns, uint64_t *due_ns)
{
	unsigned pending = 0;

	for (unsigned i = 0; i < h->n_ports; i++) {
		struct port *p = &h->ports[i];
		uint64_t at_ns = give_up_ns(h, p);

		if (!p->open && p->deaf && (h->link || h->stage == HOLD_STAGE_UP))
			open_port(h, p, now_ns);
		if (p->open || p->closed)
			continue;
		p->closed = p->refused && at_ns && now_ns >= at_ns;
		pending += !p->closed;
		if (p->refused && !p->closed)
			*due_ns = sooner(*due_ns, at_ns);
	}
	return pending;
}

static void forget_port(struct handover *h)
{
	h->port_there = h->probing = h->link = false;
	h->n_ports = 0;
	h->first_open_ns = 0;
}

static void leave_port(struct handover *h)
{
	bool had = h->port_there;

	forget_port(h);
	if (had)
		h->ops->leave_port(h->arg);
}

void handover_port(struct handover *h, const struct msg_port *asked, unsigned n, bool probing, uint64_t now_ns)
{
	forget_port(h);
	h->port_there = true;
	h->probing = probing;
	h->over = false;
	h->asked_ns = 0;
	h->quiet_ns = now_ns;
	if (probing)
		h->at_vm = false; /* who is asked whether it is ready is not handed over to */
	for (unsigned i = 0; i < n; i++)
		add_port(h, asked[i].port, true);
	wait_for_ports(h);
}

void handover_port_gone(struct handover *h) { forget_port(h); }

void handover_probe(struct handover *h, enum probe_what what, uint16_t port, uint64_t now_ns)
{
	struct port *p = find_port(h, port);

	if (!h->port_there)
		return;
	switch (what) {
	case PROBE_LINK: h->link = true; break;
	case PROBE_DONE: h->probing = false; break;
	case PROBE_REFUSED:
		if (p)
			p->refused = true;
		break;
	case PROBE_PORT:
	case PROBE_SILENT:
		if (p && !p->open)
			open_port(h, p, now_ns);
		break;
	}
}

/* ---- parking and passing ---- */

static void count_held(struct handover *h, const struct frame *f, enum hold_verdict v, uint64_t now_ns)
{
	if (v == HOLD_FULL)
		h->counts.dropped++;
	if (v == HOLD_NEW && !h->in_path && !h->at_vm && held_now(h) == 1)
		tell(h, HOLD_FIRST, &f->src, f->dst_port, 1, now_ns);
}

static void park_syn(struct handover *h, const uint8_t *bytes, size_t n, const struct frame *f, uint64_t now_ns)
{
	enum hold_verdict v = HOLD_FULL;

	if (h->shared->table)
		v = hold_syn(h->shared->table, h->conf.svc, bytes, n, f, now_ns);
	count_held(h, f, v, now_ns);
	h->counts.parked += v == HOLD_NEW;
	if (v != HOLD_FULL && h->port_there && !h->at_vm)
		add_port(h, f->dst_port, false);
	wake_for(h, f, v == HOLD_AGAIN, now_ns);
}

static void park_packet(struct handover *h, const uint8_t *bytes, size_t n, const struct frame *f, uint64_t now_ns)
{
	uint32_t per_flow = f->kind == FRAME_TCP ? (uint32_t)HANDOVER_STRAYS_PER_FLOW : h->conf.hold_udp;
	enum hold_verdict v = HOLD_FULL;

	if (per_flow == 0)
		return;
	if (h->shared->table)
		v = hold_packet(h->shared->table, h->conf.svc, bytes, n, f, per_flow, now_ns);
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
	const struct port *p = find_port(h, f->dst_port);

	if (!h->unsure || (p && p->refused && !p->open))
		answer_stray(h, f, now_ns);
}

static void ping(struct handover *h, const uint8_t *bytes, const struct frame *f, uint64_t now_ns)
{
	if (h->conf.ping == PING_ANSWER)
		answer_ping(h, bytes, f, now_ns);
	else if (h->conf.ping == PING_WAKE)
		wake_for(h, f, false, now_ns);
}

static bool must_wait(struct handover *h, enum todo todo, const struct frame *f)
{
	const struct port *p;

	if (todo == TODO_PASS_AFTER)
		return is_syn(f) ? held_now(h) > 0 : h->packets;
	p = find_port(h, f->dst_port);
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

/* ---- release ---- */

static bool send_held(void *arg, const struct held *one)
{
	struct handover *h = arg;

	h->stuck = !h->ops->to_port(h->arg, one->frame, one->n);
	return !h->stuck;
}

/* How many held packets may go now. */
static unsigned allowance(const struct handover *h, uint64_t now_ns) { return bucket_level(&h->pace, now_ns); }

/* Of `most`, `n` went: there may be more. */
static bool count_released(struct handover *h, unsigned n, unsigned most, uint64_t now_ns)
{
	bucket_take(&h->pace, now_ns, n);
	h->counts.released += n;
	h->unsaid += n;
	if (n > 0)
		h->quiet_ns = now_ns;
	return n == most || h->stuck;
}

/* Like what follows: true when some are left. */
static bool release_packets(struct handover *h, uint64_t now_ns)
{
	unsigned most = allowance(h, now_ns), n = 0;

	if (!h->packets || held_now(h) == 0)
		return h->packets = false;
	h->stuck = false;
	if (most > 0)
		n = hold_take_packets(h->shared->table, h->conf.svc, most, send_held, h);
	return h->packets = count_released(h, n, most, now_ns);
}

static bool release_syns(struct handover *h, int port, uint64_t now_ns)
{
	unsigned most = allowance(h, now_ns), n = 0;

	if (held_now(h) == 0)
		return false;
	h->stuck = false;
	if (most > 0)
		n = hold_take_syns(h->shared->table, h->conf.svc, port, most, send_held, h);
	return count_released(h, n, most, now_ns);
}

static bool release_open_ports(struct handover *h, uint64_t now_ns)
{
	bool left = false;

	for (unsigned i = 0; i < h->n_ports; i++) {
		struct port *p = &h->ports[i];

		if (p->open && p->held)
			left |= p->held = release_syns(h, p->port, now_ns);
	}
	return left;
}

/* RST to what waits for ports that stay closed. */
static bool refuse_closed_ports(struct handover *h, uint64_t now_ns)
{
	bool left = false;

	for (unsigned i = 0; i < h->n_ports; i++) {
		struct port *p = &h->ports[i];
		unsigned most = allowance(h, now_ns), n = 0;

		if (!p->closed || !p->held)
			continue;
		if (most > 0 && h->shared->table)
			n = hold_take_syns(h->shared->table, h->conf.svc, p->port, most, take_with_reset, h);
		bucket_take(&h->pace, now_ns, n);
		h->counts.refused += n;
		if (n > 0)
			tell(h, HOLD_REFUSED, NULL, p->port, n, now_ns);
		left |= p->held = n == most;
	}
	return left;
}

/* The first ones at once, the rest when it is all of them. */
static void say_released(struct handover *h, bool left, uint64_t now_ns)
{
	if (h->unsaid == 0 || (h->said_released && left))
		return;
	tell(h, HOLD_RELEASED, NULL, 0, h->unsaid, now_ns);
	h->said_released = left;
	h->unsaid = 0;
}

/* ---- what is due ---- */

static uint64_t soon(uint64_t now_ns) { return now_ns + NS_PER_MS; }

/* Says it again and again, until it is answered. */
static uint64_t ask(struct handover *h, enum hold_what what, uint64_t now_ns)
{
	uint64_t again_ns = h->asked_ns + HANDOVER_MOVE_AGAIN_S * NS_PER_S;

	if (h->asked_ns && now_ns < again_ns)
		return again_ns;
	h->asked_ns = now_ns;
	tell(h, what, NULL, 0, held_now(h), now_ns);
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
	pending = settle(h, now_ns, &due_ns);
	left = refuse_closed_ports(h, now_ns);
	if (pending == 0 && (up || h->first_open_ns || (h->link && h->n_ports == 0))) {
		due_ns = sooner(due_ns, ask(h, HOLD_MOVE, now_ns));
	} else if (pending > 0 && (up || h->first_open_ns)) {
		h->in_path = true;
		left |= release_packets(h, now_ns);
		left |= release_open_ports(h, now_ns);
		say_released(h, left, now_ns);
	}
	return left ? soon(now_ns) : due_ns;
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
		leave_port(h);
		tell(h, HOLD_DONE, NULL, 0, 0, now_ns);
	}
	return 0;
}

/* The forwarding entry is at the VM's port. */
static uint64_t clear_up(struct handover *h, uint64_t now_ns)
{
	bool left;

	if (!h->port_there && held_now(h) > 0)
		return ask(h, HOLD_WANT_PORT, now_ns);
	left = release_packets(h, now_ns);
	left |= release_syns(h, HOLD_ANY_PORT, now_ns);
	say_released(h, left, now_ns);
	return left ? soon(now_ns) : finish(h, now_ns);
}

/* What came at or before `before_ns` goes; true when some is left. */
static bool let_go(struct handover *h, uint64_t before_ns, hold_fn *take, uint64_t *counter, uint64_t now_ns)
{
	unsigned most = allowance(h, now_ns), n = 0;

	if (most > 0)
		n = hold_take_old(h->shared->table, h->conf.svc, before_ns, most, take, h);
	bucket_take(&h->pace, now_ns, n);
	*counter += n;
	return n == most;
}

static uint64_t expire(struct handover *h, uint64_t now_ns)
{
	uint64_t max_ns = h->conf.max_hold_ms * NS_PER_MS, oldest_ns;

	if (held_now(h) == 0)
		return 0;
	if (now_ns >= hold_oldest_ns(h->shared->table, h->conf.svc) + max_ns &&
	    let_go(h, now_ns - max_ns, h->at_vm ? take_in_silence : take_with_reset, &h->counts.expired, now_ns))
		return soon(now_ns);
	oldest_ns = hold_oldest_ns(h->shared->table, h->conf.svc);
	return oldest_ns ? MAX(oldest_ns + max_ns, soon(now_ns)) : 0;
}

static uint64_t discard(struct handover *h)
{
	if (held_now(h) > 0)
		h->counts.dropped += hold_take_old(h->shared->table, h->conf.svc, UINT64_MAX, DISCARD_PER_TICK,
						   take_in_silence, h);
	return held_now(h) > 0; /* at once: any time in the past will do */
}

uint64_t handover_tick(struct handover *h, uint64_t now_ns)
{
	uint64_t due_ns = 0;

	if (manner_of(h)->discards)
		return discard(h);
	if (h->stage == HOLD_STAGE_FAILED && held_now(h) > 0 &&
	    let_go(h, h->failed_ns, take_with_reset, &h->counts.refused, now_ns))
		due_ns = soon(now_ns);
	say_wake(h, now_ns);
	if (comes(h->stage))
		due_ns = sooner(due_ns, h->at_vm ? clear_up(h, now_ns) : hand_over(h, now_ns));
	due_ns = sooner(due_ns, expire(h, now_ns));
	return sooner(due_ns, wake_ns(h));
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
	if (stage == HOLD_STAGE_UP)
		h->up_ns = now_ns;
	else
		h->at_vm = h->over = h->in_path = h->said_released = false;
	if (stage == HOLD_STAGE_FAILED)
		h->failed_ns = now_ns;
	if (has_no_port(stage, was))
		leave_port(h);
	wait_for_ports(h);
}

void handover_stage(struct handover *h, enum hold_stage stage, uint64_t now_ns)
{
	bool woke = manner_of(h)->wakes;

	if (stage == h->stage && stage != HOLD_STAGE_FAILED)
		return;
	enter(h, stage, now_ns);
	if (!manner_of(h)->wakes)
		h->wake_due = h->wake_again = false;
	else if (!woke && stage != HOLD_STAGE_FAILED)
		wake_for_held(h, now_ns);
}

void handover_moved(struct handover *h, uint64_t now_ns)
{
	if (!comes(h->stage) || h->at_vm)
		return; /* the launcher has changed its mind since */
	h->at_vm = true;
	h->in_path = h->resuming = h->unsure = false;
	h->asked_ns = 0;
	h->quiet_ns = now_ns;
}

void handover_drop(struct handover *h, const struct ip_addr *client, bool reset)
{
	unsigned n;

	if (ip_equal(&h->wake.client, client))
		h->wake_due = h->wake_again = false;
	if (!h->shared->table)
		return;
	n = hold_take_client(h->shared->table, h->conf.svc, client, reset ? take_with_reset : take_in_silence, h);
	*(reset ? &h->counts.refused : &h->counts.dropped) += n;
}

void handover_again(struct handover *h, uint64_t now_ns)
{
	h->unheard = false;
	h->asked_ns = 0;
	h->packets = held_now(h) > 0;
	wait_for_ports(h);
	wake_for_held(h, now_ns);
}

/* ---- lifetime ---- */

void handover_conf(struct handover *h, const struct msg_hold_service *conf, uint64_t now_ns)
{
	h->conf = *conf;
	if (!conf->wakes && h->wake.cause != CAUSE_WOL)
		h->wake_due = h->wake_again = false;
	handover_stage(h, (enum hold_stage)conf->stage, now_ns);
	if (conf->at_vm)
		handover_moved(h, now_ns);
	else
		h->at_vm = h->over = false;
	wait_for_ports(h);
}

struct handover *handover_new(const struct msg_hold_service *conf, struct handover_shared *shared,
			      const struct handover_ops *ops, void *arg, uint64_t now_ns)
{
	struct handover *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->conf = *conf;
	h->shared = shared;
	h->ops = ops;
	h->arg = arg;
	h->pace = (struct bucket){ .burst = HANDOVER_BURST, .per_s = HANDOVER_PER_MS * MS_PER_S };
	h->wakes = (struct bucket){ .burst = HANDOVER_WAKE_BURST, .per_s = HANDOVER_WAKES_PER_S };
	h->quiet_ns = now_ns;
	enter(h, (enum hold_stage)conf->stage, now_ns);
	h->unsure = comes(h->stage);
	h->at_vm = conf->at_vm && comes(h->stage);
	return h;
}

void handover_free(struct handover *h) { free(h); }

bool handover_at_vm(const struct handover *h) { return h->at_vm; }

void handover_counts(const struct handover *h, struct msg_hold_counts *out)
{
	*out = h->counts;
	out->svc = h->conf.svc;
	out->gen = h->conf.gen;
	out->held = held_now(h);
}
