/* Theory of operation
 *
 * A VM whose address is learned may have it from anywhere: a DHCP server, its own files.  What it says
 * names *candidates*: an address with which it speaks ARP, or sends to everybody; one that it asks a DHCP
 * server for; one that somebody told the launcher of.  Unless the VM itself used it in ARP, a candidate is
 * asked for by ARP, through the VM's own port, a few times: a lease takes the guest a moment to set.  What
 * answers, is *found*.
 *
 *     candidate ---- asked, LEARN_ASKS times ----> nothing: forgotten
 *         |  the VM's ARP has it as sender
 *         v
 *     the VM has it ---- it is the known one, or none is known ----> told
 *         |
 *         +---- the known one is asked LEARN_GONE_ASKS times: it answers ----> kept back
 *                                                             it does not ----> told
 *
 * So a VM with two addresses keeps the one that was found first, and one that was given another address is
 * noticed: its old one is silent.  The known address itself is told as found once, when it is heard the
 * first time: the VM that runs now has it still.  It is asked for a few times at the beginning, for a guest
 * that says nothing by itself.
 *
 * A guest that has said all it had to say before we listened, or never says anything, is asked: each address of
 * the bridge's network, by ARP, a few at a time.  That goes into the VM's own port, so that nobody else hears it,
 * and ends when the VM has answered.
 *
 * A guest can say what it likes.  Here that costs a table of fixed size, a bounded number of questions
 * for each candidate, and one finding a second; which addresses it may have the launcher decides.
 *
 * Refused: reading the servers' answers: anybody on the bridge can send such.
 */
#include "synproxy/learn.h"

#include <assert.h>

#include "base/addr.h"
#include "base/clock.h"
#include "synproxy/frame.h"

/* RFC 2131, 2, and RFC 2132 */
enum {
	DHCP_SERVER_PORT = 67,
	DHCP_CLIENT_PORT = 68,
	DHCP_OP = 0,
	DHCP_HLEN = 2,
	DHCP_CIADDR = 12,
	DHCP_CHADDR = 28,
	DHCP_COOKIE = 236,
	DHCP_OPTIONS = 240,
	DHCP_BOOTREQUEST = 1,
	DHCP_REQUEST = 3,
	OPTION_PAD = 0,
	OPTION_REQUESTED = 50,
	OPTION_TYPE = 53,
	OPTION_END = 255,
};

struct candidate {
	struct ip_addr addr; /* zero: free */
	uint8_t how; /* enum learn_how */
	unsigned asked; /* times */
	uint64_t due_ns; /* of the next question; 0: none */
	uint64_t heard_ns, told_ns;
};

struct learn {
	struct msg_learn_start want;
	const struct learn_ops *ops;
	void *arg;
	bool seen; /* the known address, of the VM that runs now */
	struct candidate at[LEARN_CANDIDATES_MAX];
	/* is the known one still there? */
	struct candidate *rival; /* who would take its place; NULL: nobody asks */
	unsigned known_asked;
	uint64_t known_due_ns;
	uint64_t told_ns; /* the last finding */
	/* asking for all addresses of the network */
	uint32_t swept; /* of this turn */
	uint64_t sweep_due_ns; /* 0: never */
	uint64_t sweep_ms; /* until the next turn */
};

static bool same_mac(const struct mac_addr *a, const struct mac_addr *b) { return memcmp(a, b, sizeof(*a)) == 0; }

/* A host's own: not 0.x, 127.x, 169.254.x, nor a group. */
static bool is_host(const struct ip_addr *a)
{
	if (!ip_is_v4(a) || a->b[12] == 0 || a->b[12] == 127 || a->b[12] >= 224)
		return false;
	return !(a->b[12] == 169 && a->b[13] == 254);
}

static bool is_known(const struct learn *l, const struct ip_addr *a) { return ip_equal(a, &l->want.addr); }

/* ---- asking ---- */

static void ask(const struct learn *l, const struct ip_addr *addr)
{
	uint8_t frame[FRAME_BUILT_MAX];
	size_t n;

	if (ip_is_zero(&l->want.probe_ip4))
		return;
	n = frame_arp(frame, ARP_REQUEST, &l->want.vm_mac, &l->want.probe_mac, &l->want.probe_ip4, &(struct mac_addr){ 0 },
		      addr);
	l->ops->send(l->arg, frame, n);
}

/* ---- findings ---- */

static bool was_told(const struct candidate *c, uint64_t now_ns)
{
	return c->told_ns && now_ns - c->told_ns < LEARN_AGAIN_MS * NS_PER_MS;
}

static void tell(struct learn *l, struct candidate *c, uint64_t now_ns)
{
	if (l->told_ns && now_ns - l->told_ns < LEARN_PAUSE_MS * NS_PER_MS)
		return; /* it will be heard again */
	c->told_ns = l->told_ns = now_ns;
	l->ops->found(l->arg, (enum learn_how)c->how, &c->addr);
}

/* The VM has the candidate's address. */
static void is_sure(struct learn *l, struct candidate *c, uint64_t now_ns)
{
	c->due_ns = 0;
	if (l->rival || was_told(c, now_ns))
		return; /* one after the other, and not again so soon */
	if (ip_is_zero(&l->want.addr) || ip_is_zero(&l->want.probe_ip4)) {
		tell(l, c, now_ns);
		return;
	}
	l->rival = c;
	l->known_asked = 0;
	l->known_due_ns = now_ns;
}

/* The known one is there. */
static void known_is_there(struct learn *l)
{
	if (l->rival) /* a VM with both; it is not asked for this one again so soon */
		l->rival->told_ns = l->rival->heard_ns;
	l->rival = NULL;
	l->known_due_ns = 0;
	if (l->seen)
		return;
	l->seen = true;
	l->ops->found(l->arg, LEARN_ARP, &l->want.addr);
}

/* ---- candidates ---- */

static struct candidate *candidate_find(struct learn *l, const struct ip_addr *addr)
{
	assert(l); /* which the analyzer doubts */
	for (size_t i = 0; i < ARRAY_SIZE(l->at); i++) {
		if (ip_equal(&l->at[i].addr, addr))
			return &l->at[i];
	}
	return NULL;
}

/* Of those that nothing depends on, the one heard longest ago. */
static struct candidate *candidate_oldest(struct learn *l)
{
	struct candidate *oldest = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(l->at); i++) {
		struct candidate *c = &l->at[i];

		if (c != l->rival && (!oldest || c->heard_ns < oldest->heard_ns))
			oldest = c;
	}
	return oldest;
}

/* It may have this address; `says`: it says so itself, in ARP. */
static void consider(struct learn *l, enum learn_how how, const struct ip_addr *addr, bool says, uint64_t now_ns)
{
	struct candidate *c;

	if (!is_host(addr))
		return;
	if (is_known(l, addr)) {
		if (says)
			known_is_there(l);
		else if (!l->seen)
			ask(l, addr);
		return;
	}
	c = candidate_find(l, addr);
	if (!c) {
		c = candidate_oldest(l);
		*c = (struct candidate){ .addr = *addr, .how = (uint8_t)how };
	}
	c->heard_ns = now_ns;
	if (says)
		is_sure(l, c, now_ns);
	else if (!c->due_ns && !was_told(c, now_ns)) {
		c->asked = 0;
		c->due_ns = now_ns;
	}
}

/* ---- hearing ---- */

/* The address that a DHCP client asks for; zero: it asks for none. */
static void requested(const struct learn *l, const uint8_t *b, size_t n, struct ip_addr *out)
{
	static const uint8_t cookie[4] = { 99, 130, 83, 99 };
	const uint8_t *addr = NULL;
	uint8_t type = 0;

	memset(out, 0, sizeof(*out));
	if (n < DHCP_OPTIONS || b[DHCP_OP] != DHCP_BOOTREQUEST || b[DHCP_HLEN] != sizeof(l->want.vm_mac) ||
	    memcmp(b + DHCP_CHADDR, &l->want.vm_mac, sizeof(l->want.vm_mac)) != 0 ||
	    memcmp(b + DHCP_COOKIE, cookie, sizeof(cookie)) != 0)
		return;
	for (size_t i = DHCP_OPTIONS; i < n && b[i] != OPTION_END;) {
		uint8_t code = b[i++], length;

		if (code == OPTION_PAD)
			continue;
		if (i >= n || i + 1 + b[i] > n)
			return;
		length = b[i++];
		if (code == OPTION_TYPE && length == 1)
			type = b[i];
		if (code == OPTION_REQUESTED && length == 4)
			addr = b + i;
		i += length;
	}
	if (type != DHCP_REQUEST)
		return;
	memset(out->b + 10, 0xff, 2);
	memcpy(out->b + 12, addr ? addr : b + DHCP_CIADDR, 4);
}

static void on_udp(struct learn *l, const struct frame *f, const uint8_t *bytes, size_t n, uint64_t now_ns)
{
	struct ip_addr addr;

	if (f->src_port != DHCP_CLIENT_PORT || f->dst_port != DHCP_SERVER_PORT || f->payload >= n)
		return;
	requested(l, bytes + f->payload, MIN((size_t)f->payload_n, n - f->payload), &addr);
	consider(l, LEARN_DHCP, &addr, false, now_ns);
}

void learn_frame(struct learn *l, const uint8_t *bytes, size_t n, uint64_t now_ns)
{
	struct frame f;

	frame_parse(bytes, n, &f);
	if (!same_mac(&f.eth_src, &l->want.vm_mac))
		return;
	if (f.kind == FRAME_ARP) {
		if (same_mac(&f.hw, &l->want.vm_mac))
			consider(l, LEARN_ARP, &f.src, true, now_ns);
		return;
	}
	if (f.kind == FRAME_UDP)
		on_udp(l, &f, bytes, n, now_ns);
	if (f.kind == FRAME_UDP || f.kind == FRAME_IP || f.kind == FRAME_ECHO)
		consider(l, LEARN_TRAFFIC, &f.src, false, now_ns);
}

/* ---- time ---- */

static void ask_candidate(struct learn *l, struct candidate *c, uint64_t now_ns)
{
	if (c->asked >= LEARN_ASKS) {
		*c = (struct candidate){ 0 };
		return;
	}
	ask(l, &c->addr);
	c->due_ns = now_ns + ((uint64_t)LEARN_ASK_MS << c->asked) * NS_PER_MS;
	c->asked++;
}

static void ask_known(struct learn *l, uint64_t now_ns)
{
	struct candidate *rival = l->rival;
	unsigned most = rival ? LEARN_GONE_ASKS : LEARN_ASKS;

	if (l->known_asked < most) {
		ask(l, &l->want.addr);
		l->known_asked++;
		l->known_due_ns = now_ns + LEARN_GONE_MS * NS_PER_MS;
		return;
	}
	l->rival = NULL;
	l->known_due_ns = 0;
	if (rival)
		tell(l, rival, now_ns);
}

static uint32_t network_size(const struct ip_prefix *net)
{
	return net->len < 97 || net->len > 128 ? 0 : (uint32_t)1 << (128 - net->len);
}

/* The nth address, if it may be a host's. */
static bool nth_of_network(const struct ip_prefix *net, uint32_t nth, struct ip_addr *out)
{
	uint32_t size = network_size(net), first;

	memcpy(&first, net->addr.b + 12, sizeof(first));
	first = htonl((ntohl(first) & ~(size - 1)) + nth);
	*out = net->addr;
	memcpy(out->b + 12, &first, sizeof(first));
	return size <= 2 || (nth > 0 && nth < size - 1);
}

static void sweep(struct learn *l, uint64_t now_ns)
{
	uint32_t size = network_size(&l->want.net);
	struct ip_addr addr;

	if (l->seen || size > LEARN_SWEEP_MAX) {
		l->sweep_due_ns = 0;
		return;
	}
	for (unsigned i = 0; i < LEARN_SWEEP_AT_ONCE && l->swept < size; i++) {
		if (nth_of_network(&l->want.net, l->swept++, &addr) && !ip_equal(&addr, &l->want.probe_ip4))
			ask(l, &addr);
	}
	l->sweep_due_ns = now_ns + LEARN_SWEEP_STEP_MS * NS_PER_MS;
	if (l->swept < size)
		return;
	l->swept = 0;
	l->sweep_ms = MIN(l->sweep_ms * 2, (uint64_t)LEARN_SWEEP_LAST_MS);
	l->sweep_due_ns = now_ns + l->sweep_ms * NS_PER_MS;
}

static void sweep_begin(struct learn *l, uint64_t now_ns)
{
	l->swept = 0;
	l->sweep_ms = LEARN_SWEEP_AFTER_MS;
	if (network_size(&l->want.net) > 0 && !ip_is_zero(&l->want.probe_ip4))
		l->sweep_due_ns = now_ns + l->sweep_ms * NS_PER_MS;
}

static void sooner(uint64_t *due_ns, uint64_t other_ns)
{
	if (other_ns && (!*due_ns || other_ns < *due_ns))
		*due_ns = other_ns;
}

uint64_t learn_tick(struct learn *l, uint64_t now_ns)
{
	uint64_t due_ns = 0;

	for (size_t i = 0; i < ARRAY_SIZE(l->at); i++) {
		struct candidate *c = &l->at[i];

		if (c->due_ns && c->due_ns <= now_ns)
			ask_candidate(l, c, now_ns);
		sooner(&due_ns, c->due_ns);
	}
	if (l->known_due_ns && l->known_due_ns <= now_ns)
		ask_known(l, now_ns);
	if (l->sweep_due_ns && l->sweep_due_ns <= now_ns)
		sweep(l, now_ns);
	sooner(&due_ns, l->sweep_due_ns);
	sooner(&due_ns, l->known_due_ns);
	return due_ns;
}

/* ---- the launcher ---- */

void learn_tell(struct learn *l, const struct msg_learn_tell *m, uint64_t now_ns)
{
	struct candidate *c;

	if (!m->known) {
		if (m->how < LEARN_N)
			consider(l, (enum learn_how)m->how, &m->addr, false, now_ns);
		return;
	}
	if (is_known(l, &m->addr))
		return;
	c = candidate_find(l, &m->addr);
	if (c)
		*c = (struct candidate){ 0 };
	l->want.addr = m->addr;
	l->seen = !ip_is_zero(&m->addr); /* or it would not be known */
	l->rival = NULL;
	l->known_due_ns = 0;
	if (!l->seen)
		sweep_begin(l, now_ns);
}

struct learn *learn_new(const struct msg_learn_start *want, const struct learn_ops *ops, void *arg, uint64_t now_ns)
{
	struct learn *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->want = *want;
	l->ops = ops;
	l->arg = arg;
	if (!ip_is_zero(&want->addr) && !ip_is_zero(&want->probe_ip4))
		l->known_due_ns = now_ns;
	sweep_begin(l, now_ns);
	return l;
}

void learn_free(struct learn *l) { free(l); }
