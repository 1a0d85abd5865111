/* Theory of operation
 *
 * A VM is asked in two steps, for each of its addresses.
 *
 *              ARP or NS, every interval            SYN to each port, every interval
 *     SILENT -------------------------> LINK (told) ---------------------------------> all OPEN
 *                answer, or anything                   RST: REFUSED, told once; go on
 *                the VM says by itself                 SYN-ACK: OPEN, told; RST to it
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
 * Frames count only when they come from vm_mac.  The socket is bound to the VM's own port, and
 * what comes out of there is the VM's doing: a VM can lie about its being ready, and harms itself.
 *
 * Cost: a question is 60 to 90 bytes, and goes out for everything that has not answered.  The
 * interval grows when there is no answer for long, and the caller's budget bounds the frames of
 * all probes together; a round that the budget cuts goes on where it was.
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
	TARGETS_MAX = 2 * MSG_LIST_MAX, /* each port, in both families */
	FIRST_EPHEMERAL = 32768,
	EPHEMERALS = 28000,
	PROBE_WINDOW = 1024,
	MSS_IP4 = 1460,
	MSS_IP6 = 1440,
};

/* One port of one address. */
struct target {
	uint8_t address; /* index in want.addrs */
	uint16_t port, our_port;
	uint32_t seq;
	bool open, refused;
};

struct probe {
	struct msg_probe_start want;
	const struct probe_ops *ops;
	void *arg;
	bool up[MSG_LIST_MAX]; /* address by address: answered */
	unsigned n_targets;
	struct target targets[TARGETS_MAX];
	uint64_t since_ns; /* where the interval's growth is counted from */
	uint64_t due_ns; /* of the next round */
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

/* The ports of the first address of this family. */
static void add_targets(struct probe *p, bool v4)
{
	unsigned i = 0;

	while (i < p->want.n_addrs && ip_is_v4(&p->want.addrs[i]) != v4)
		i++;
	if (i == p->want.n_addrs || !prober_of(p, &p->want.addrs[i]))
		return;
	for (unsigned j = 0; j < p->want.n_tcp; j++) {
		struct target *t = &p->targets[p->n_targets++];

		t->address = (uint8_t)i;
		t->port = p->want.tcp[j].port;
		draw_numbers(t);
	}
}

struct probe *probe_new(const struct msg_probe_start *want, const struct probe_ops *ops, void *arg, uint64_t now_ns)
{
	struct probe *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->want = *want;
	p->ops = ops;
	p->arg = arg;
	p->since_ns = p->due_ns = now_ns;
	if (p->want.interval_ms == 0)
		p->want.interval_ms = PROBE_INTERVAL_MS;
	p->want.interval_ms = MIN(p->want.interval_ms, (uint32_t)PROBE_INTERVAL_MAX_MS);
	add_targets(p, true);
	add_targets(p, false);
	return p;
}

void probe_free(struct probe *p) { free(p); }

bool probe_is_done(const struct probe *p) { return p->done; }

/* ---- asking ---- */

static void ask_address(struct probe *p, const struct ip_addr *a)
{
	static const struct mac_addr everyone = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } }, unknown;
	const struct ip_addr *from = prober_of(p, a);
	uint8_t frame[FRAME_BUILT_MAX];
	size_t n;

	if (ip_is_v4(a))
		n = frame_arp(frame, ARP_REQUEST, &everyone, &p->want.probe_mac, from, &unknown, a);
	else
		n = frame_solicit(frame, &p->want.probe_mac, from, a);
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

/* Number `i` of a round: the addresses, then the targets.  False when it needs no question. */
static bool ask(struct probe *p, unsigned i)
{
	const struct target *t;

	if (i < p->want.n_addrs) {
		if (p->up[i] || !prober_of(p, &p->want.addrs[i]))
			return false;
		ask_address(p, &p->want.addrs[i]);
		return true;
	}
	t = &p->targets[i - p->want.n_addrs];
	if (t->open || !p->up[t->address])
		return false;
	send_segment(p, t, TCP_SYN, t->seq);
	return true;
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

static void check_done(struct probe *p, uint64_t now_ns)
{
	static const struct ip_addr none;

	for (unsigned i = 0; i < p->want.n_addrs; i++) {
		if (!p->up[i])
			return;
	}
	for (unsigned i = 0; i < p->n_targets; i++) {
		if (!p->targets[i].open)
			return;
	}
	if (p->done)
		return;
	p->done = true;
	p->ops->event(p->arg, PROBE_DONE, &none, 0, now_ns);
}

uint64_t probe_tick(struct probe *p, uint64_t now_ns, unsigned *budget)
{
	unsigned all = p->want.n_addrs + p->n_targets;

	if (all == 0)
		check_done(p, now_ns);
	if (p->done)
		return 0;
	if (now_ns < p->due_ns)
		return p->due_ns;
	for (; p->cursor < all; p->cursor++) {
		if (*budget == 0)
			return now_ns;
		if (ask(p, p->cursor))
			--*budget;
	}
	p->cursor = 0;
	p->due_ns = now_ns + interval_ns(p, now_ns);
	return p->due_ns;
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

	if (i < 0 || p->up[i])
		return;
	p->up[i] = true;
	if (!p->any_up)
		p->since_ns = now_ns;
	p->any_up = true;
	p->ops->event(p->arg, PROBE_LINK, a, 0, now_ns);
	for (unsigned t = 0; t < p->n_targets; t++) {
		if (p->targets[t].address == i)
			send_segment(p, &p->targets[t], TCP_SYN, p->targets[t].seq);
	}
	check_done(p, now_ns);
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

static void tell(struct probe *p, enum probe_what what, const struct target *t, uint64_t now_ns)
{
	p->ops->event(p->arg, what, &p->want.addrs[t->address], t->port, now_ns);
}

/* An answer to our SYN acknowledges it (RFC 9293, 3.10.7); anything else is none. */
static void hear_tcp(struct probe *p, const struct frame *f, uint64_t now_ns)
{
	struct target *t = target_of(p, f);

	hear_address(p, &f->src, now_ns);
	if (!t || !(f->tcp_flags & TCP_ACK) || f->ack != t->seq + 1)
		return;
	if (f->tcp_flags & TCP_RST) {
		if (!t->refused && !t->open)
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
	case FRAME_OTHER: break;
	case FRAME_ARP: hear_arp(p, &f, now_ns); break;
	case FRAME_SOLICIT: hear_solicit(p, &f, now_ns); break;
	case FRAME_ADVERT:
		if (mac_is_zero(&f.hw) || same_mac(&f.hw, &p->want.vm_mac))
			hear_address(p, &f.target, now_ns);
		break;
	case FRAME_TCP: hear_tcp(p, &f, now_ns); break;
	case FRAME_IP: hear_address(p, &f.src, now_ns); break;
	}
}
