/* Any bytes as a frame, and everything that can be made of it.
 *
 * The first byte says whether lengths and checksums are put in.  Checked: nothing reads past a frame
 * (the sanitizers); what was parsed lies inside of it; what is built of it parses back to what it should
 * be, and its checksums are right by a sum of the fuzzer's own.
 */
#include <assert.h>

#include "synproxy/frame.h"
#include "tests/fuzz/sound.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { SOUND = 1 };

static const struct mac_addr our_mac = { { 2, 0, 0, 0, 0, 0xfe } };

/* ---- checksums, the plain way ---- */

static uint64_t add_up(const uint8_t *p, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (uint64_t)p[i] << (i % 2 ? 0 : 8);
	return sum;
}

static bool is_all_ones(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/* A frame of ours with an IP packet: nothing is left for the hardware to fill in. */
static void check_sums(const uint8_t *frame)
{
	bool v4 = frame[12] == 0x08;
	const uint8_t *ip = frame + 14;
	size_t header = v4 ? (size_t)(ip[0] & 15) * 4 : 40;
	size_t body = v4 ? (size_t)(ip[2] << 8 | ip[3]) - header : (size_t)(ip[4] << 8 | ip[5]);
	uint8_t proto = v4 ? ip[9] : ip[6];
	uint64_t pseudo = proto + body + (v4 ? add_up(ip + 12, 8) : add_up(ip + 8, 32));

	assert(!v4 || is_all_ones(add_up(ip, header)));
	assert(is_all_ones(add_up(ip + header, body) + (proto == 1 ? 0 : pseudo)));
}

/* ---- what is built ---- */

static struct frame parse(const uint8_t *bytes, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1); /* of its own, so that reads past its end are seen */
	struct frame f;

	memcpy(copy, bytes, n);
	frame_parse(copy, n, &f);
	free(copy);
	return f;
}

static bool same_mac(const struct mac_addr *a, const struct mac_addr *b) { return memcmp(a, b, sizeof(*a)) == 0; }

/* An answer goes back to where *f came from. */
static void check_answer(const struct frame *answer, const struct frame *f)
{
	assert(same_mac(&answer->eth_src, &our_mac) && same_mac(&answer->eth_dst, &f->eth_src));
	assert(ip_equal(&answer->src, &f->dst) && ip_equal(&answer->dst, &f->src));
	assert(!answer->fragment);
}

static void check_reset(const struct frame *f)
{
	uint8_t out[FRAME_BUILT_MAX];
	size_t n = frame_reset(out, f, &our_mac);
	struct frame r;

	assert((n == 0) == !!(f->tcp_flags & TCP_RST));
	if (n == 0)
		return;
	r = parse(out, n);
	assert(r.kind == FRAME_TCP && (r.tcp_flags & TCP_RST) && r.payload_n == 0);
	assert(r.src_port == f->dst_port && r.dst_port == f->src_port);
	if (f->tcp_flags & TCP_ACK)
		assert(r.tcp_flags == TCP_RST && r.seq == f->ack);
	else
		assert(r.tcp_flags == (TCP_RST | TCP_ACK) && r.seq == 0);
	check_answer(&r, f);
	check_sums(out);
}

static void check_bare(const uint8_t *bytes, const struct frame *f)
{
	uint8_t *out = malloc(FRAME_BARE_MAX);
	size_t n = frame_bare_tcp(out, bytes, f);
	struct frame b = parse(out, n);

	assert(n <= FRAME_BARE_MAX && b.kind == FRAME_TCP && b.payload_n == 0 && b.payload == f->payload);
	assert(b.seq == f->seq && b.ack == f->ack && b.tcp_flags == f->tcp_flags);
	assert(frame_same_flow(out, bytes) && frame_same_flow(bytes, out));
	assert(memcmp(out, bytes, 14) == 0);
	if (f->payload_n)
		check_sums(out);
	free(out);
}

static void check_echo(const uint8_t *bytes, size_t n, const struct frame *f)
{
	size_t room = MAX(n, (size_t)FRAME_BUILT_MAX), m;
	uint8_t *out = malloc(room);
	struct frame r;

	m = frame_echo_reply(out, bytes, f, &our_mac);
	assert(m <= room);
	r = parse(out, m);
	assert(r.kind == FRAME_IP); /* a reply is nothing to us */
	check_answer(&r, f);
	check_sums(out);
	assert(memcmp(out + r.end - f->payload_n, bytes + f->payload, f->payload_n) == 0);
	assert(memcmp(out + r.end - f->payload_n - 4, bytes + f->payload - 4, 4) == 0); /* id, sequence */
	free(out);
}

static void check_arp(const struct frame *f)
{
	uint8_t out[FRAME_BUILT_MAX];
	struct frame r = parse(out, frame_arp(out, ARP_REPLY, &f->eth_src, &our_mac, &f->dst, &f->hw, &f->src));

	assert(r.kind == FRAME_ARP && r.arp_op == ARP_REPLY && same_mac(&r.hw, &our_mac));
	assert(!frame_is_dad(&r));
	check_answer(&r, f);
}

static void check_solicit(const struct frame *f)
{
	uint8_t out[FRAME_BUILT_MAX];
	struct frame r = parse(out, frame_advert(out, &f->eth_src, &f->src, &our_mac, &f->target));

	assert(r.kind == FRAME_ADVERT && ip_equal(&r.target, &f->target) && ip_equal(&r.dst, &f->src));
	assert(same_mac(&r.hw, &our_mac) || ip_is_zero(&f->target));
	check_sums(out);
}

/* Asking for an address, and claiming it. */
static void check_claim(const struct ip_addr *a)
{
	static const struct ip_addr any4 = { { [10] = 0xff, 0xff } };
	uint8_t out[FRAME_BUILT_MAX];
	bool v4 = ip_is_v4(a);
	struct frame f;

	if (ip_is_zero(a) || ip_equal(a, &any4) || a->b[0] == 0xff)
		return; /* nobody's address */
	f = parse(out, frame_dad(out, &our_mac, a));
	assert(frame_is_dad(&f) && !frame_is_announcement(&f) && ip_equal(v4 ? &f.dst : &f.target, a));
	assert(same_mac(&f.eth_src, &our_mac));
	f = parse(out, frame_announce(out, &our_mac, a));
	assert(frame_is_announcement(&f) && !frame_is_dad(&f) && ip_equal(v4 ? &f.src : &f.target, a));
	assert(same_mac(&f.hw, &our_mac));
}

/* ---- what is parsed ---- */

static void check_places(const struct frame *f, size_t n)
{
	bool ip = f->kind >= FRAME_TCP && (f->kind != FRAME_WOL || f->end);

	assert(f->end <= n && f->payload <= f->end && f->payload_n <= f->end - f->payload);
	assert(!f->fragment || f->kind == FRAME_IP);
	if (ip)
		assert(f->end >= 34 && ip_is_v4(&f->src) == ip_is_v4(&f->dst));
	if (f->kind == FRAME_TCP)
		assert(f->payload >= 54 && f->payload + f->payload_n == f->end);
	if (f->kind == FRAME_WOL)
		assert(!(f->hw.b[0] & 1)); /* a group is nobody */
}

static void check(const uint8_t *bytes, size_t n)
{
	struct frame f;

	frame_parse(bytes, n, &f);
	check_places(&f, n);
	check_claim(&f.src);
	check_claim(&f.dst);
	check_claim(&f.target);
	switch (f.kind) {
	case FRAME_ARP: check_arp(&f); break;
	case FRAME_SOLICIT: check_solicit(&f); break;
	case FRAME_TCP:
		check_reset(&f);
		check_bare(bytes, &f);
		break;
	case FRAME_UDP: assert(frame_same_flow(bytes, bytes)); break;
	case FRAME_ECHO: check_echo(bytes, n, &f); break;
	default: break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t *frame;

	if (n == 0)
		return 0;
	frame = malloc(n > 1 ? n - 1 : 1); /* of its own, so that reads past its end are seen */
	memcpy(frame, data + 1, n - 1);
	if (data[0] & SOUND)
		sound_frame(frame, n - 1);
	check(frame, n - 1);
	free(frame);
	return 0;
}
