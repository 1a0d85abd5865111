/* Theory of operation
 *
 * A VM is asked in two steps, for each of its addresses.
 *
 *              ARP or NS, every interval            SYN to each port, every interval
 *     (down) -------------------------> LINK (told) ---------------------------------> all OPEN
 *                answer, or anything                   RST: REFUSED, told once; go on
 *                the VM says by itself                 SYN-ACK: OPEN, told; RST to it
 *                                                      nothing at all: SILENT, told
 *
 * Whatever the VM sends from an address of its own counts as that address's answer: a guest's
 * gratuitous ARP comes before our next question.  Its DAD (a solicitation from ::, an ARP probe
 * from 0.0.0.0) does not: the address is not its own yet, and we never answer it either.
 *
 * A SYN is never more than half a connection: the SYN-ACK is answered with RST, so that the
 * application in the guest sees nothing.  Each (address, port) keeps one source port and one
 * sequence number, drawn at random for each probe: what goes out every interval is then a
 * retransmission to the guest and not one more half-open connection, and an answer is believed
 * only when it acknowledges our number.  An answer to an earlier boot's probe does not.
 *
 * To answer a SYN the guest must know where probe_ip is.  It usually learns that from our ARP
 * request; when it asks nevertheless, it is told, into this port only, and for probe_ip only.
 *
 * A port that says nothing may be filtered in the guest, or the guest may just be slow: our SYN still
 * waits in its queue.  So a port is SILENT only when the guest has since answered a question of ARP or
 * ND that was sent after the SYN: it reads in order.  Answers carry nothing that says which question
 * they are to.  Those from before the link may have piled up by the hundred, and be answered or not;
 * so the question is asked when all earlier ones were answered, or none was for CHECK_PAUSE_MS.
 *
 * Frames count only when they come from vm_mac.  The socket is bound to the VM's own port, and
 * what comes out of there is the VM's doing: a VM can lie about its being ready, and harms itself.
 *
 * Cost: a question is 60 to 90 bytes, and goes out for everything that has not answered.  The
 * interval grows when there is no answer for long, and the caller's budget bounds the frames of
 * all probes together; a round that the budget cuts goes on where it was.  The questions for
 * addresses grow rare sooner: they wait in the VM's port until its guest reads, which then answers
 * them all, and what it says first we hear at once anyhow.
 *
 * Ports that somebody wants beyond those for readiness (a client's SYN is held for them) are asked in
 * the same way; when there are many they take turns, so that one scanned VM does not use the budget
 * up.
 *
 * Refused: connect() from a socket of the host (it completes the handshake, needs a route and an
 * address on the bridge, and gives the kernel's retransmission times of seconds); pings (a guest
 * whose kernel answers is not a guest whose service does).
 */
#include "synproxy/probe.h"

#include <sys/random.h>

#include "base/addr.h"
#include "base/clock.h"
#include "synproxy/frame.h"

enum {
	TARGETS_MAX = 2 * (MSG_LIST_MAX + PROBE_EXTRA_MAX), /* each port, in both families */
	CHECK_AFTER_MS = PROBE_SILENT_MS / 2, /* a port has said nothing: does its VM speak at all? */
	CHECK_PAUSE_MS = 100,
	FIRST_EPHEMERAL = 32768,
	EPHEMERALS = 28000,
	PROBE_WINDOW = 1024,
	MSS_IP4 = 1460,
	MSS_IP6 = 1440,
};

/* One address of the VM. */
struct address {
	bool up;
	uint64_t up_ns;
	uint32_t unanswered; /* questions */
	uint64_t answered_ns; /* the last answer */
	uint64_t check_ns; /* when the question was sent that tells whether it speaks; 0: none is on its way */
	uint64_t asked_ns; /* when it was last sent */
	uint64_t speaks_ns; /* when the last such question was sent that was answered */
};

/* One port of one address. */
struct target {
	uint8_t address; /* index in want.addrs */
	bool extra; /* not of MSG_PROBE_START */
	uint16_t port, our_port;
	uint32_t seq;
	uint64_t asked_ns; /* first; 0: not yet */
	bool open, refused, silent;
};

struct probe {
	struct msg_probe_start want;
	const struct probe_ops *ops;
	void *arg;
	struct address addrs[MSG_LIST_MAX];
	unsigned n_targets, n_extra; /* n_extra: ports, not targets */
	struct target targets[TARGETS_MAX];
	uint64_t begin_ns;
	uint64_t since_ns; /* where the growth of the ports' interval is counted from */
	uint64_t due_ns; /* of the next round; 0: none */
	uint64_t addresses_due_ns; /* when they are asked next */
	uint32_t round;
	unsigned cursor; /* in this round: how many of addresses and targets are past */
	bool any_up, done;
};

/* ---- what is wanted ---- */

static bool is_any_ip4(const struct ip_addr *a) { return ip_is_v4(a) && !(a->b[12] | a->b[13] | a->b[14] | a->b[15]); }

/* From which address this one is asked; NULL: it cannot be. */
static const struct ip_addr *prober_of(const struct probe *p, const struct ip_addr *a)
{
	bool v4 = ip_is_v4(a);
	const struct ip_addr *from = v4 ? &p->want.probe_ip4 : &p->want.probe_ip6;

	if (ip_is_zero(from) || is_any_ip4(from) || ip_is_v4(from) != v4)
		return NULL;
	return from;
}

static void draw_numbers(struct target *t)
{
	uint16_t port = 0;

	/* too early in the host's boot for random numbers: zeros serve, but for a liar */
	if (getrandom(&t->seq, sizeof(t->seq), GRND_NONBLOCK) < 0 || getrandom(&port, sizeof(port), GRND_NONBLOCK) < 0)
		t->seq = 0;
	t->our_port = (uint16_t)(FIRST_EPHEMERAL + port % EPHEMERALS);
}

/* The first address of this family, from which its ports are asked; -1: they cannot be. */
static int asked_address(const struct probe *p, bool v4)
{
	int i = 0;

	while (i < p->want.n_addrs && ip_is_v4(&p->want.addrs[i]) != v4)
		i++;
	return i < p->want.n_addrs && prober_of(p, &p->want.addrs[i]) ? i : -1;
}

/* In both families; false when in none. */
static bool add_port(struct probe *p, uint16_t port, bool extra)
{
	bool added = false;

	for (int v4 = 1; v4 >= 0; v4--) {
		int i = asked_address(p, v4);
		struct target *t = &p->targets[p->n_targets];

		if (i < 0)
			continue;
		*t = (struct target){ .address = (uint8_t)i, .port = port, .extra = extra };
		draw_numbers(t);
		p->n_targets++;
		added = true;
	}
	return added;
}

struct probe *probe_new(const struct msg_probe_start *want, const struct probe_ops *ops, void *arg, uint64_t now_ns)
{
	struct probe *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->want = *want;
	p->ops = ops;
	p->arg = arg;
	p->begin_ns = p->since_ns = p->due_ns = p->addresses_due_ns = now_ns;
	if (p->want.interval_ms == 0)
		p->want.interval_ms = PROBE_INTERVAL_MS;
	p->want.interval_ms = MIN(p->want.interval_ms, (uint32_t)PROBE_INTERVAL_MAX_MS);
	for (unsigned i = 0; i < p->want.n_tcp; i++)
		add_port(p, p->want.tcp[i].port, false);
	return p;
}

void probe_free(struct probe *p) { free(p); }

bool probe_is_done(const struct probe *p) { return p->done; }

/* ---- asking ---- */

static void ask_address(struct probe *p, unsigned i)
{
	static const struct mac_addr everyone = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } }, unknown;
	const struct ip_addr *a = &p->want.addrs[i], *from = prober_of(p, a);
	uint8_t frame[FRAME_BUILT_MAX];
	size_t n;

	if (ip_is_v4(a))
		n = frame_arp(frame, ARP_REQUEST, &everyone, &p->want.probe_mac, from, &unknown, a);
	else
		n = frame_solicit(frame, &p->want.probe_mac, from, a);
	p->addrs[i].unanswered++;
	p->ops->send(p->arg, frame, n);
}

static void send_segment(struct probe *p, const struct target *t, uint8_t flags, uint32_t seq)
{
	const struct ip_addr *a = &p->want.addrs[t->address];
	struct tcp_segment s = {
		.eth_dst = p->want.vm_mac,
		.eth_src = p->want.probe_mac,
		.src = *prober_of(p, a),
		.dst = *a,
		.src_port = t->our_port,
		.dst_port = t->port,
		.seq = seq,
		.flags = flags,
	};
	uint8_t frame[FRAME_BUILT_MAX];

	if (flags & TCP_SYN) {
		s.window = PROBE_WINDOW;
		s.mss = ip_is_v4(a) ? MSS_IP4 : MSS_IP6;
	}
	p->ops->send(p->arg, frame, frame_tcp(frame, &s));
}

static void ask_target(struct probe *p, struct target *t, uint64_t now_ns)
{
	if (!t->asked_ns)
		t->asked_ns = now_ns;
	send_segment(p, t, TCP_SYN, t->seq);
}

static void tell(struct probe *p, enum probe_what what, const struct target *t, uint64_t now_ns)
{
	p->ops->event(p->arg, what, &p->want.addrs[t->address], t->port, now_ns);
}

static bool has_answered(const struct target *t) { return t->open || t->silent; }

static bool is_mute(const struct target *t) { return t->asked_ns && !t->open && !t->refused && !t->silent; }

static void check_done(struct probe *p, uint64_t now_ns)
{
	static const struct ip_addr none;

	for (unsigned i = 0; i < p->want.n_addrs; i++) {
		if (!p->addrs[i].up)
			return;
	}
	for (unsigned i = 0; i < p->n_targets; i++) {
		if (!p->targets[i].extra && !has_answered(&p->targets[i]))
			return;
	}
	if (p->done)
		return;
	p->done = true;
	p->ops->event(p->arg, PROBE_DONE, &none, 0, now_ns);
}

/* Does its VM speak at all?  True when a question went out. */
static bool check_speech(struct probe *p, const struct target *t, uint64_t now_ns)
{
	const uint64_t pause_ns = CHECK_PAUSE_MS * NS_PER_MS;
	struct address *a = &p->addrs[t->address];

	if (a->speaks_ns > t->asked_ns || (a->check_ns && now_ns < a->asked_ns + pause_ns))
		return false;
	if (!a->check_ns && a->unanswered > 0 && now_ns < a->answered_ns + pause_ns)
		return false;
	if (!a->check_ns)
		a->check_ns = now_ns;
	a->asked_ns = now_ns;
	ask_address(p, t->address);
	return true;
}

/* A port that has said nothing yet: is it filtered? */
static bool hear_silence(struct probe *p, struct target *t, uint64_t now_ns)
{
	const struct address *a = &p->addrs[t->address];

	if (a->speaks_ns <= t->asked_ns || now_ns < MAX(a->up_ns, t->asked_ns) + PROBE_SILENT_MS * NS_PER_MS)
		return false;
	t->silent = true;
	tell(p, PROBE_SILENT, t, now_ns);
	check_done(p, now_ns);
	return true;
}

/* Extra ports take turns. */
static bool has_turn(const struct probe *p, const struct target *t, unsigned i)
{
	unsigned turns = (p->n_extra + PROBE_EXTRA_AT_ONCE - 1) / PROBE_EXTRA_AT_ONCE;

	return !t->extra || turns < 2 || (i / 2 + p->round) % turns == 0;
}

/* How many questions number `i` of a round asks: the addresses, then the targets. */
static unsigned ask(struct probe *p, unsigned i, uint64_t now_ns)
{
	unsigned asked = 0;
	struct target *t;

	if (i < p->want.n_addrs) {
		if (p->addrs[i].up || now_ns < p->addresses_due_ns || !prober_of(p, &p->want.addrs[i]))
			return 0;
		ask_address(p, i);
		return 1;
	}
	i -= p->want.n_addrs;
	t = &p->targets[i];
	if (has_answered(t) || !p->addrs[t->address].up)
		return 0;
	if (is_mute(t) && hear_silence(p, t, now_ns))
		return 0;
	if (is_mute(t) && now_ns >= t->asked_ns + CHECK_AFTER_MS * NS_PER_MS)
		asked += check_speech(p, t, now_ns);
	if (has_turn(p, t, i)) {
		ask_target(p, t, now_ns);
		asked++;
	}
	return asked;
}

static uint64_t interval_ns(const struct probe *p, uint64_t now_ns)
{
	uint64_t age = now_ns - p->since_ns;
	uint64_t factor = 1;

	if (age >= PROBE_SLOW_S * NS_PER_S)
		factor = PROBE_SLOWEST_FACTOR;
	else if (age >= PROBE_FAST_S * NS_PER_S)
		factor = PROBE_SLOW_FACTOR;
	return factor * p->want.interval_ms * NS_PER_MS;
}

static uint64_t addresses_interval_ns(const struct probe *p, uint64_t now_ns)
{
	uint64_t age_ms = (now_ns - p->begin_ns) / NS_PER_MS, base_ns = p->want.interval_ms * NS_PER_MS;
	uint64_t growth = MIN(age_ms, (uint64_t)PROBE_CALM_MS) - MIN(age_ms, (uint64_t)PROBE_EAGER_MS);

	if (age_ms >= PROBE_SLOW_S * MS_PER_S)
		return base_ns * PROBE_SLOWEST_FACTOR;
	return base_ns + base_ns * (PROBE_SLOW_FACTOR - 1) * growth / (PROBE_CALM_MS - PROBE_EAGER_MS);
}

static bool asks_ports(const struct probe *p)
{
	for (unsigned i = 0; i < p->n_targets; i++) {
		if (!has_answered(&p->targets[i]) && p->addrs[p->targets[i].address].up)
			return true;
	}
	return false;
}

static bool asks_addresses(const struct probe *p)
{
	for (unsigned i = 0; i < p->want.n_addrs; i++) {
		if (!p->addrs[i].up)
			return true;
	}
	return false;
}

/* When the round after this one is; 0: there is nothing to ask. */
static uint64_t next_round_ns(const struct probe *p, uint64_t now_ns)
{
	if (asks_ports(p))
		return now_ns + interval_ns(p, now_ns);
	return asks_addresses(p) ? p->addresses_due_ns : 0;
}

uint64_t probe_tick(struct probe *p, uint64_t now_ns, unsigned *budget)
{
	unsigned all = p->want.n_addrs + p->n_targets, asked;

	if (all == 0)
		check_done(p, now_ns);
	if (p->due_ns == 0 || now_ns < p->due_ns)
		return p->due_ns;
	for (; p->cursor < all; p->cursor++) {
		if (*budget == 0)
			return now_ns;
		asked = ask(p, p->cursor, now_ns);
		*budget -= MIN(*budget, asked);
	}
	p->cursor = 0;
	p->round++;
	if (now_ns >= p->addresses_due_ns)
		p->addresses_due_ns = now_ns + addresses_interval_ns(p, now_ns);
	p->due_ns = next_round_ns(p, now_ns);
	return p->due_ns;
}

uint64_t probe_due_ns(const struct probe *p) { return p->due_ns; }

/* ---- more ports ---- */

/* Something new is to be asked: no later than in an interval from now. */
static void ask_soon(struct probe *p, uint64_t now_ns)
{
	uint64_t at_ns = now_ns + p->want.interval_ms * NS_PER_MS;

	if (p->due_ns == 0 || p->due_ns > at_ns)
		p->due_ns = at_ns;
}

bool probe_want_port(struct probe *p, uint16_t port, uint64_t now_ns)
{
	unsigned first = p->n_targets;

	for (unsigned i = 0; i < p->n_targets; i++) {
		if (p->targets[i].port == port)
			return true;
	}
	if (p->n_extra == PROBE_EXTRA_MAX || !add_port(p, port, true))
		return false;
	p->n_extra++;
	for (unsigned i = first; i < p->n_targets; i++) {
		if (p->addrs[p->targets[i].address].up)
			ask_target(p, &p->targets[i], now_ns);
	}
	ask_soon(p, now_ns);
	return true;
}

void probe_want_no_more(struct probe *p)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < p->n_targets; i++) {
		if (!p->targets[i].extra)
			p->targets[kept++] = p->targets[i];
	}
	p->n_targets = kept;
	p->n_extra = p->cursor = 0;
}

void probe_recall(const struct probe *p, const struct probe_ops *ops, void *arg, uint64_t now_ns)
{
	for (unsigned i = 0; i < p->want.n_addrs; i++) {
		if (p->addrs[i].up)
			ops->event(arg, PROBE_LINK, &p->want.addrs[i], 0, now_ns);
	}
	for (unsigned i = 0; i < p->n_targets; i++) {
		const struct target *t = &p->targets[i];
		const struct ip_addr *a = &p->want.addrs[t->address];

		if (t->refused && !has_answered(t))
			ops->event(arg, PROBE_REFUSED, a, t->port, now_ns);
		if (has_answered(t))
			ops->event(arg, t->open ? PROBE_PORT : PROBE_SILENT, a, t->port, now_ns);
	}
}

/* ---- hearing ---- */

static bool same_mac(const struct mac_addr *a, const struct mac_addr *b) { return memcmp(a, b, sizeof(*a)) == 0; }

/* Which of the VM's addresses this is; -1: none. */
static int address_of(const struct probe *p, const struct ip_addr *a)
{
	for (int i = 0; i < p->want.n_addrs; i++) {
		if (ip_equal(&p->want.addrs[i], a))
			return i;
	}
	return -1;
}

/* The VM speaks from this address.  Its ports are asked at once: a tick may be an interval away. */
static void hear_address(struct probe *p, const struct ip_addr *a, uint64_t now_ns)
{
	int i = address_of(p, a);

	if (i < 0 || p->addrs[i].up)
		return;
	p->addrs[i].up = true;
	p->addrs[i].up_ns = now_ns;
	if (!p->any_up)
		p->since_ns = now_ns;
	p->any_up = true;
	p->ops->event(p->arg, PROBE_LINK, a, 0, now_ns);
	for (unsigned t = 0; t < p->n_targets; t++) {
		if (p->targets[t].address == i && !p->targets[t].asked_ns)
			ask_target(p, &p->targets[t], now_ns);
	}
	ask_soon(p, now_ns);
	check_done(p, now_ns);
}

/* It answers one of our questions. */
static void hear_answer(struct probe *p, const struct ip_addr *from, uint64_t now_ns)
{
	int i = address_of(p, from);
	struct address *a;

	if (i < 0)
		return;
	a = &p->addrs[i];
	a->answered_ns = now_ns;
	if (a->unanswered > 0)
		a->unanswered--;
	if (a->check_ns)
		a->speaks_ns = a->check_ns;
	a->check_ns = 0;
}

static void hear_arp(struct probe *p, const struct frame *f, uint64_t now_ns)
{
	uint8_t frame[FRAME_BUILT_MAX];
	const struct ip_addr *from;

	if (!same_mac(&f->hw, &p->want.vm_mac) || address_of(p, &f->src) < 0)
		return;
	from = prober_of(p, &f->src);
	if (f->arp_op == ARP_REQUEST && from && ip_equal(&f->dst, from))
		p->ops->send(p->arg, frame,
			     frame_arp(frame, ARP_REPLY, &p->want.vm_mac, &p->want.probe_mac, from, &f->hw, &f->src));
	if (f->arp_op == ARP_REPLY && from && ip_equal(&f->dst, from))
		hear_answer(p, &f->src, now_ns);
	hear_address(p, &f->src, now_ns);
}

/* The VM looks for someone; when for us, it may ask from any address that it has. */
static void hear_solicit(struct probe *p, const struct frame *f, uint64_t now_ns)
{
	uint8_t frame[FRAME_BUILT_MAX];

	if (ip_is_zero(&f->src))
		return; /* its DAD */
	if (!ip_is_zero(&p->want.probe_ip6) && ip_equal(&f->target, &p->want.probe_ip6))
		p->ops->send(p->arg, frame,
			     frame_advert(frame, &p->want.vm_mac, &f->src, &p->want.probe_mac, &p->want.probe_ip6));
	hear_address(p, &f->src, now_ns);
}

static void hear_advert(struct probe *p, const struct frame *f, uint64_t now_ns)
{
	if (!mac_is_zero(&f->hw) && !same_mac(&f->hw, &p->want.vm_mac))
		return;
	if (ip_equal(&f->dst, &p->want.probe_ip6))
		hear_answer(p, &f->target, now_ns);
	hear_address(p, &f->target, now_ns);
}

static struct target *target_of(struct probe *p, const struct frame *f)
{
	for (unsigned i = 0; i < p->n_targets; i++) {
		struct target *t = &p->targets[i];
		const struct ip_addr *a = &p->want.addrs[t->address];

		if (t->port == f->src_port && t->our_port == f->dst_port && ip_equal(a, &f->src) &&
		    ip_equal(prober_of(p, a), &f->dst))
			return t;
	}
	return NULL;
}

/* An answer to our SYN acknowledges it (RFC 9293, 3.10.7); anything else is none. */
static void hear_tcp(struct probe *p, const struct frame *f, uint64_t now_ns)
{
	struct target *t = target_of(p, f);

	hear_address(p, &f->src, now_ns);
	if (!t || !(f->tcp_flags & TCP_ACK) || f->ack != t->seq + 1)
		return;
	if (f->tcp_flags & TCP_RST) {
		if (!t->refused && !has_answered(t))
			tell(p, PROBE_REFUSED, t, now_ns);
		t->refused = true;
	} else if (f->tcp_flags & TCP_SYN) {
		send_segment(p, t, TCP_RST, f->ack); /* each time: the last one may be lost */
		if (!t->open)
			tell(p, PROBE_PORT, t, now_ns);
		t->open = true;
		check_done(p, now_ns);
	}
}

void probe_frame(struct probe *p, const uint8_t *bytes, size_t n, uint64_t now_ns)
{
	struct frame f;

	frame_parse(bytes, n, &f);
	if (!same_mac(&f.eth_src, &p->want.vm_mac))
		return;
	switch (f.kind) {
	case FRAME_OTHER:
	case FRAME_RARP: break;
	case FRAME_ARP: hear_arp(p, &f, now_ns); break;
	case FRAME_SOLICIT: hear_solicit(p, &f, now_ns); break;
	case FRAME_ADVERT: hear_advert(p, &f, now_ns); break;
	case FRAME_TCP: hear_tcp(p, &f, now_ns); break;
	case FRAME_UDP:
	case FRAME_ECHO:
	case FRAME_WOL:
	case FRAME_IP: hear_address(p, &f.src, now_ns); break;
	}
}
