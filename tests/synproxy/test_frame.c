#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "synproxy/frame.h"

static const struct mac_addr vm = { { 2, 0, 0, 0, 0, 0x10 } }, prober = { { 2, 0, 0, 0, 0, 0xfe } },
			     everyone = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } }, unknown;

static struct ip_addr ip(const char *text)
{
	struct ip_addr a;

	assert_int_equal(ip_parse(text, &a), 0);
	return a;
}

#define assert_ip(a, text)                                                                         \
	do {                                                                                       \
		char got[ADDR_TEXT_MAX];                                                           \
		assert_string_equal(ip_format(&(a), got), text);                                   \
	} while (0)

static struct frame parse(const uint8_t *bytes, size_t n)
{
	struct frame f;

	/* from a block of exactly that size, so that a sanitizer sees reads past its end */
	uint8_t *copy = malloc(n ? n : 1);

	memcpy(copy, bytes, n);
	frame_parse(copy, n, &f);
	free(copy);
	return f;
}

/* The example of RFC 1071, 3. */
static void test_checksum(void **state)
{
	static const uint8_t bytes[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };

	(void)state;
	assert_int_equal(frame_fold(frame_sum(bytes, sizeof(bytes), 0)), 0x220d);
	assert_int_equal(frame_fold(0x2ddf0), 0x220d);
	assert_int_equal(frame_fold(frame_sum(bytes, 3, 0)), (uint16_t)~(0x0001 + 0xf200));
	assert_int_equal(frame_fold(frame_sum(bytes, 0, 7)), (uint16_t)~7);
	assert_int_equal(frame_fold(0x1ffff), 0xfffe);
}

/* As RFC 1071, 1 says it: any length, and pieces one after the other. */
static void test_checksum_against_the_plain_one(void **state)
{
	uint8_t bytes[1500] = { 0 };

	(void)state;
	for (size_t n = 0; n <= sizeof(bytes); n += n < 70 ? 1 : 77) {
		uint64_t plain = 0;
		size_t half = n / 4 * 2;

		for (size_t i = 0; i < n; i++) {
			bytes[i] = (uint8_t)(0xff - i * n % 13); /* many ones: many carries */
			plain += (uint64_t)bytes[i] << (i % 2 ? 0 : 8);
		}
		while (plain >> 16)
			plain = (plain & 0xffff) + (plain >> 16);
		assert_int_equal(frame_fold(frame_sum(bytes, n, 0)), (uint16_t)~plain);
		assert_int_equal(frame_fold(frame_sum(bytes + half, n - half, frame_sum(bytes, half, 0))),
				 (uint16_t)~plain);
	}
}

/* Byte for byte as RFC 826 lays it out. */
static void test_arp_bytes(void **state)
{
	static const uint8_t reply[42] = {
		0x02, 0, 0, 0, 0, 0x10, 0x02, 0, 0, 0, 0, 0xfe, 0x08, 0x06, /* Ethernet */
		0x00, 0x01, 0x08, 0x00, 6, 4, 0x00, 0x02, /* ARP reply */
		0x02, 0, 0, 0, 0, 0xfe, 10, 9, 0, 250, /* sender */
		0x02, 0, 0, 0, 0, 0x10, 10, 9, 0, 7, /* target */
	};
	struct ip_addr us = ip("10.9.0.250"), them = ip("10.9.0.7");
	uint8_t out[FRAME_BUILT_MAX];

	(void)state;
	assert_int_equal(frame_arp(out, ARP_REPLY, &vm, &prober, &us, &vm, &them), 60);
	assert_memory_equal(out, reply, sizeof(reply));
	for (size_t i = sizeof(reply); i < 60; i++)
		assert_int_equal(out[i], 0);
}

static void test_arp_back(void **state)
{
	struct ip_addr us = ip("10.9.0.250"), them = ip("10.9.0.7");
	uint8_t out[FRAME_BUILT_MAX];
	struct frame f;

	(void)state;
	f = parse(out, frame_arp(out, ARP_REQUEST, &everyone, &prober, &us, &unknown, &them));
	assert_int_equal(f.kind, FRAME_ARP);
	assert_int_equal(f.arp_op, ARP_REQUEST);
	assert_ip(f.src, "10.9.0.250");
	assert_ip(f.dst, "10.9.0.7");
	assert_memory_equal(&f.hw, &prober, sizeof(prober));
	assert_memory_equal(&f.eth_dst, &everyone, sizeof(everyone));
}

static void test_arp_of_other_kinds(void **state)
{
	struct ip_addr us = ip("10.9.0.250"), them = ip("10.9.0.7");
	static const size_t fixed[] = { 14, 15, 16, 17, 18, 19 }; /* hardware, protocol, lengths */
	uint8_t out[FRAME_BUILT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
		size_t n = frame_arp(out, ARP_REQUEST, &everyone, &prober, &us, &unknown, &them);

		out[fixed[i]] ^= 0x10;
		assert_int_equal(parse(out, n).kind, FRAME_OTHER);
	}
}

/* A neighbour solicitation as RFC 4861 draws it; its checksum worked out apart from this code:
 * fe80::1 -> ff02::1:ff00:7, for fd09::7, from 02:00:00:00:00:fe. */
static void test_solicit_bytes(void **state)
{
	static const uint8_t whole[86] = {
		0x33, 0x33, 0xff, 0, 0, 7, 0x02, 0, 0, 0, 0, 0xfe, 0x86, 0xdd, /* Ethernet */
		0x60, 0, 0, 0, 0, 32, 58, 255, /* IPv6 */
		0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, /* from */
		0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 7, /* to */
		135, 0, 0x7b, 0x07, 0, 0, 0, 0, /* type, checksum */
		0xfd, 0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, /* target */
		1, 1, 0x02, 0, 0, 0, 0, 0xfe, /* source link-layer address */
	};
	struct ip_addr us = ip("fe80::1"), them = ip("fd09::7");
	uint8_t out[FRAME_BUILT_MAX];
	struct frame f;

	(void)state;
	assert_int_equal(frame_solicit(out, &prober, &us, &them), sizeof(whole));
	assert_memory_equal(out, whole, sizeof(whole));
	f = parse(out, sizeof(whole));
	assert_int_equal(f.kind, FRAME_SOLICIT);
	assert_ip(f.src, "fe80::1");
	assert_ip(f.target, "fd09::7");
	assert_memory_equal(&f.hw, &prober, sizeof(prober));
}

static void test_advert(void **state)
{
	struct ip_addr us = ip("fe80::1"), them = ip("fd09::7");
	uint8_t out[FRAME_BUILT_MAX];
	struct frame f;

	(void)state;
	f = parse(out, frame_advert(out, &vm, &them, &prober, &us));
	assert_int_equal(f.kind, FRAME_ADVERT);
	assert_ip(f.src, "fe80::1");
	assert_ip(f.dst, "fd09::7");
	assert_ip(f.target, "fe80::1");
	assert_memory_equal(&f.hw, &prober, sizeof(prober));
	assert_int_equal(out[58], 0x60); /* solicited, override */
}

static void test_nd_that_is_not_sound(void **state)
{
	struct ip_addr us = ip("fe80::1"), them = ip("fd09::7");
	uint8_t out[FRAME_BUILT_MAX];
	size_t n;

	(void)state;
	n = frame_solicit(out, &prober, &us, &them);
	out[21] = 254; /* a router was between */
	assert_int_equal(parse(out, n).kind, FRAME_IP);
	n = frame_solicit(out, &prober, &us, &them);
	out[60] ^= 1; /* the checksum is wrong */
	assert_int_equal(parse(out, n).kind, FRAME_IP);
	n = frame_solicit(out, &prober, &us, &them);
	out[55] = 1; /* a code */
	assert_int_equal(parse(out, n).kind, FRAME_IP);
}

/* An option of length 0 must not be followed for ever. */
static void test_nd_options_that_lie(void **state)
{
	struct ip_addr us = ip("fe80::1"), them = ip("fd09::7");
	static const uint8_t lengths[] = { 0, 2, 255 };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths); i++) {
		uint8_t out[FRAME_BUILT_MAX];
		size_t n = frame_solicit(out, &prober, &us, &them);
		uint16_t sum = (uint16_t)(out[56] << 8 | out[57]);
		struct frame f;

		/* the checksum changes by what the byte does (RFC 1624) */
		sum = frame_fold((uint16_t)~sum + (uint32_t)(uint16_t)~1u + lengths[i]);
		out[79] = lengths[i];
		out[56] = (uint8_t)(sum >> 8);
		out[57] = (uint8_t)sum;
		f = parse(out, n);
		assert_int_equal(f.kind, FRAME_SOLICIT);
		assert_true(mac_is_zero(&f.hw));
	}
}

static struct tcp_segment syn(const char *from, const char *to)
{
	return (struct tcp_segment){
		.eth_dst = vm, .eth_src = prober, .src = ip(from), .dst = ip(to), .src_port = 40000, .dst_port = 80,
		.seq = 0x01020304, .ack = 0xa0b0c0d0, .flags = TCP_SYN, .window = 1024, .mss = 1460,
	};
}

/* SYN from 10.9.0.250:40000 to 10.9.0.7:80; checksums worked out apart from this code. */
static void test_tcp_bytes(void **state)
{
	static const uint8_t whole[58] = {
		0x02, 0, 0, 0, 0, 0x10, 0x02, 0, 0, 0, 0, 0xfe, 0x08, 0x00, /* Ethernet */
		0x45, 0, 0, 44, 0, 0, 0x40, 0, 64, 6, 0x25, 0xba, 10, 9, 0, 250, 10, 9, 0, 7, /* IPv4 */
		0x9c, 0x40, 0, 80, 1, 2, 3, 4, 0xa0, 0xb0, 0xc0, 0xd0, 0x60, 0x02, 4, 0, 0x7c, 0xfc, 0, 0, 2, 4, 0x05, 0xb4,
	};
	struct tcp_segment s = syn("10.9.0.250", "10.9.0.7");
	uint8_t out[FRAME_BUILT_MAX];

	(void)state;
	assert_int_equal(frame_tcp(out, &s), 60); /* padded */
	assert_memory_equal(out, whole, sizeof(whole));
}

static void expect_tcp(const struct frame *f, const struct tcp_segment *s)
{
	assert_int_equal(f->kind, FRAME_TCP);
	assert_true(ip_equal(&f->src, &s->src));
	assert_true(ip_equal(&f->dst, &s->dst));
	assert_int_equal(f->src_port, s->src_port);
	assert_int_equal(f->dst_port, s->dst_port);
	assert_int_equal(f->seq, s->seq);
	assert_int_equal(f->ack, s->ack);
	assert_int_equal(f->tcp_flags, s->flags);
}

static void test_tcp_back(void **state)
{
	struct tcp_segment s4 = syn("10.9.0.250", "10.9.0.7"), s6 = syn("fe80::1", "fd09::7");
	uint8_t out[FRAME_BUILT_MAX];
	struct frame f;

	(void)state;
	f = parse(out, frame_tcp(out, &s4));
	expect_tcp(&f, &s4);
	f = parse(out, frame_tcp(out, &s6));
	expect_tcp(&f, &s6);
	s4.flags = TCP_RST;
	s4.mss = 0;
	f = parse(out, frame_tcp(out, &s4));
	expect_tcp(&f, &s4);
}

/* Between VMs and host nobody fills a checksum in that the NIC should: only the pseudo-header's sum
 * is there. */
static void test_tcp_with_partial_checksum(void **state)
{
	struct tcp_segment s = syn("10.9.0.250", "10.9.0.7");
	uint8_t out[FRAME_BUILT_MAX];
	uint16_t partial;
	size_t n = frame_tcp(out, &s);
	struct frame f;

	(void)state;
	partial = (uint16_t)~frame_fold(frame_sum(out + 26, 8, 6 + 24));
	out[50] = (uint8_t)(partial >> 8);
	out[51] = (uint8_t)partial;
	f = parse(out, n);
	expect_tcp(&f, &s);
	out[51] ^= 1;
	assert_int_equal(parse(out, n).kind, FRAME_IP);
}

static void test_tcp_that_is_not_sound(void **state)
{
	static const struct {
		size_t at;
		uint8_t flip;
		enum frame_kind kind;
	} rows[] = {
		{ 14, 0x20, FRAME_OTHER }, /* version 6 in an IPv4 frame */
		{ 14, 0x01, FRAME_OTHER }, /* a header of 4 words */
		{ 17, 0x80, FRAME_OTHER }, /* longer than the frame (and the header's sum wrong) */
		{ 24, 0x01, FRAME_OTHER }, /* the header's sum */
		{ 34, 0x01, FRAME_IP }, /* the segment's sum */
	};
	struct tcp_segment s = syn("10.9.0.250", "10.9.0.7");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t out[FRAME_BUILT_MAX];
		size_t n = frame_tcp(out, &s);

		out[rows[i].at] ^= rows[i].flip;
		assert_int_equal(parse(out, n).kind, rows[i].kind);
	}
}

/* Sets a byte of the IPv4 header and its checksum. */
static void poke_ip4(uint8_t *frame, size_t at, uint8_t value)
{
	uint16_t sum;

	frame[at] = value;
	frame[24] = frame[25] = 0;
	sum = frame_fold(frame_sum(frame + 14, 20, 0));
	frame[24] = (uint8_t)(sum >> 8);
	frame[25] = (uint8_t)sum;
}

static void test_tcp_headers_that_lie(void **state)
{
	struct tcp_segment s = syn("10.9.0.250", "10.9.0.7");
	uint8_t out[FRAME_BUILT_MAX];
	size_t n = frame_tcp(out, &s);

	(void)state;
	poke_ip4(out, 21, 3); /* a fragment's rest */
	assert_int_equal(parse(out, n).kind, FRAME_IP);
	frame_tcp(out, &s);
	poke_ip4(out, 20, 0x20); /* more fragments */
	assert_int_equal(parse(out, n).kind, FRAME_IP);
	frame_tcp(out, &s);
	poke_ip4(out, 17, 47); /* more than there is */
	assert_int_equal(parse(out, n).kind, FRAME_OTHER);
	poke_ip4(out, 17, 19); /* less than its own header */
	assert_int_equal(parse(out, n).kind, FRAME_OTHER);
	poke_ip4(out, 17, 39); /* less than a TCP header */
	assert_int_equal(parse(out, n).kind, FRAME_IP);
	frame_tcp(out, &s);
	out[46] = 0x40; /* a data offset of 4 words */
	assert_int_equal(parse(out, n).kind, FRAME_IP);
	out[46] = 0xf0; /* of 15: beyond the segment */
	assert_int_equal(parse(out, n).kind, FRAME_IP);
}

/* Cut anywhere, whatever is built is either whole or nothing of ours. */
static void test_cut_frames(void **state)
{
	struct ip_addr us4 = ip("10.9.0.250"), them4 = ip("10.9.0.7"), us6 = ip("fe80::1"), them6 = ip("fd09::7");
	struct tcp_segment s4 = syn("10.9.0.250", "10.9.0.7"), s6 = syn("fe80::1", "fd09::7");
	uint8_t frames[4][FRAME_BUILT_MAX];
	size_t lengths[4] = {
		42, /* behind it is padding */
		frame_solicit(frames[1], &prober, &us6, &them6),
		58,
		frame_tcp(frames[3], &s6),
	};

	(void)state;
	frame_arp(frames[0], ARP_REPLY, &vm, &prober, &us4, &vm, &them4);
	frame_tcp(frames[2], &s4);
	for (int i = 0; i < 4; i++) {
		assert_int_not_equal(parse(frames[i], lengths[i]).kind, FRAME_OTHER);
		for (size_t n = 0; n < lengths[i]; n++)
			assert_int_equal(parse(frames[i], n).kind, FRAME_OTHER);
	}
}

/* ---- what probes are not made of ---- */

enum { PACKET_MAX = 1600 };

/* A packet of either family in a frame, with its header's checksum; its length. */
static size_t make_packet(uint8_t *out, const char *from, const char *to, uint8_t proto, const uint8_t *body,
			  size_t n)
{
	struct ip_addr src = ip(from), dst = ip(to);
	bool v4 = ip_is_v4(&src);
	size_t header = v4 ? 20 : 40;

	memset(out, 0, 14 + header);
	memcpy(out, &vm, 6);
	memcpy(out + 6, &prober, 6);
	out[12] = v4 ? 0x08 : 0x86;
	out[13] = v4 ? 0x00 : 0xdd;
	if (v4) {
		out[14] = 0x45;
		out[16] = (uint8_t)((header + n) >> 8);
		out[17] = (uint8_t)(header + n);
		out[22] = 9;
		out[23] = proto;
		memcpy(out + 26, src.b + 12, 4);
		memcpy(out + 30, dst.b + 12, 4);
		poke_ip4(out, 22, 9);
	} else {
		out[14] = 0x60;
		out[18] = (uint8_t)(n >> 8);
		out[19] = (uint8_t)n;
		out[20] = proto;
		out[21] = 9;
		memcpy(out + 22, src.b, 16);
		memcpy(out + 38, dst.b, 16);
	}
	memcpy(out + 14 + header, body, n);
	return 14 + header + n;
}

/* Fills in a checksum, `at` bytes into a packet's body. */
static void put_sum(uint8_t *frame, size_t n, size_t at, bool pseudo)
{
	bool v4 = frame[12] == 0x08;
	uint8_t *body = frame + 14 + (v4 ? 20 : 40);
	size_t body_n = n - (size_t)(body - frame);
	uint32_t sum = 0;

	if (pseudo)
		sum = frame_sum(frame + (v4 ? 26 : 22), v4 ? 8 : 32, frame[v4 ? 23 : 20] + (uint32_t)body_n);
	body[at] = body[at + 1] = 0;
	sum = frame_fold(frame_sum(body, body_n, sum));
	body[at] = (uint8_t)(sum >> 8);
	body[at + 1] = (uint8_t)sum;
}

static size_t make_udp(uint8_t *out, const char *from, const char *to, uint16_t port, const uint8_t *data,
		       size_t data_n)
{
	uint8_t body[PACKET_MAX] = { 0x30, 0x39, (uint8_t)(port >> 8), (uint8_t)port, (uint8_t)((8 + data_n) >> 8),
				     (uint8_t)(8 + data_n) };
	size_t n;

	memcpy(body + 8, data, data_n);
	n = make_packet(out, from, to, 17, body, 8 + data_n);
	put_sum(out, n, 6, true);
	return n;
}

static size_t make_echo(uint8_t *out, const char *from, const char *to, const uint8_t *data, size_t data_n)
{
	bool v4 = !strchr(from, ':');
	uint8_t body[PACKET_MAX] = { v4 ? 8 : 128, 0, 0, 0, 0xab, 0xcd, 0, 3 };
	size_t n;

	memcpy(body + 8, data, data_n);
	n = make_packet(out, from, to, v4 ? 1 : 58, body, 8 + data_n);
	put_sum(out, n, 2, !v4);
	return n;
}

static void test_dad_and_announcement_of_ip4(void **state)
{
	struct ip_addr us = ip("10.9.0.7");
	uint8_t out[FRAME_BUILT_MAX];
	struct frame f;

	(void)state;
	f = parse(out, frame_dad(out, &vm, &us));
	assert_true(frame_is_dad(&f));
	assert_false(frame_is_announcement(&f));
	assert_int_equal(f.arp_op, ARP_REQUEST);
	assert_ip(f.src, "0.0.0.0");
	assert_ip(f.dst, "10.9.0.7");
	assert_memory_equal(&f.hw, &vm, 6);
	assert_memory_equal(&f.eth_src, &vm, 6);
	assert_memory_equal(&f.eth_dst, &everyone, 6);
	assert_memory_equal(out + 32, &unknown, 6); /* the target's hardware address: RFC 5227, 2.1.1 */
	f = parse(out, frame_announce(out, &vm, &us));
	assert_true(frame_is_announcement(&f));
	assert_false(frame_is_dad(&f));
	assert_int_equal(f.arp_op, ARP_REQUEST);
	assert_ip(f.src, "10.9.0.7");
	assert_ip(f.dst, "10.9.0.7");
	assert_memory_equal(&f.hw, &vm, 6);
	assert_memory_equal(&f.eth_dst, &everyone, 6);
}

static void test_dad_and_announcement_of_ip6(void **state)
{
	static const struct mac_addr group = { { 0x33, 0x33, 0xff, 0, 0, 7 } }, all_nodes = { { 0x33, 0x33, 0, 0, 0, 1 } };
	struct ip_addr us = ip("fd09::7");
	uint8_t out[FRAME_BUILT_MAX];
	struct frame f;

	(void)state;
	assert_int_equal(frame_dad(out, &vm, &us), 14 + 40 + 24); /* no option: RFC 4861, 4.3 */
	f = parse(out, 14 + 40 + 24);
	assert_true(frame_is_dad(&f));
	assert_false(frame_is_announcement(&f));
	assert_ip(f.src, "::");
	assert_ip(f.dst, "ff02::1:ff00:7");
	assert_ip(f.target, "fd09::7");
	assert_true(mac_is_zero(&f.hw));
	assert_memory_equal(&f.eth_dst, &group, 6);
	f = parse(out, frame_announce(out, &vm, &us));
	assert_true(frame_is_announcement(&f));
	assert_false(frame_is_dad(&f));
	assert_ip(f.src, "fd09::7");
	assert_ip(f.dst, "ff02::1");
	assert_ip(f.target, "fd09::7");
	assert_memory_equal(&f.hw, &vm, 6);
	assert_memory_equal(&f.eth_dst, &all_nodes, 6);
	assert_int_equal(out[58], 0x20); /* override, not solicited */
}

static void test_what_is_neither(void **state)
{
	struct ip_addr us4 = ip("10.9.0.7"), them4 = ip("10.9.0.1"), any = ip("0.0.0.0"), us6 = ip("fd09::7"),
		       them6 = ip("fd09::1");
	uint8_t out[FRAME_BUILT_MAX];
	struct frame f[5];

	(void)state;
	f[0] = parse(out, frame_arp(out, ARP_REQUEST, &everyone, &vm, &them4, &unknown, &us4));
	f[1] = parse(out, frame_arp(out, ARP_REPLY, &prober, &vm, &us4, &prober, &them4));
	f[2] = parse(out, frame_arp(out, ARP_REPLY, &prober, &vm, &any, &prober, &any));
	f[3] = parse(out, frame_solicit(out, &vm, &us6, &them6));
	f[4] = parse(out, frame_advert(out, &prober, &them6, &vm, &us6));
	for (size_t i = 0; i < ARRAY_SIZE(f); i++) {
		assert_int_not_equal(f[i].kind, FRAME_OTHER);
		assert_false(frame_is_dad(&f[i]));
		assert_false(frame_is_announcement(&f[i]));
	}
	/* a reply that nobody asked for announces as well (RFC 5944, 4.6) */
	f[0] = parse(out, frame_arp(out, ARP_REPLY, &everyone, &vm, &us4, &everyone, &us4));
	assert_true(frame_is_announcement(&f[0]));
}

/* As QEMU says where a VM is now: request reverse (3), both hardware addresses the VM's. */
static void test_rarp(void **state)
{
	struct ip_addr any = ip("0.0.0.0");
	uint8_t out[FRAME_BUILT_MAX];
	size_t n = frame_arp(out, 3, &everyone, &vm, &any, &vm, &any);
	struct frame f;

	(void)state;
	out[12] = 0x80;
	out[13] = 0x35;
	f = parse(out, n);
	assert_int_equal(f.kind, FRAME_RARP);
	assert_memory_equal(&f.hw, &vm, 6);
	assert_false(frame_is_dad(&f));
	assert_false(frame_is_announcement(&f));
	assert_int_equal(parse(out, 41).kind, FRAME_OTHER);
}

/* Such an address is IPv4's in all tables: what comes with one in IPv6 is nothing. */
static void test_mapped_addresses_in_ip6(void **state)
{
	uint8_t out[FRAME_BUILT_MAX], mapped[12] = { [10] = 0xff, 0xff };
	struct ip_addr us = ip("fd09::7"), them = ip("fd09::1");
	struct tcp_segment s = syn("fd09::1", "fd09::7");
	size_t n = frame_tcp(out, &s);

	(void)state;
	memcpy(out + 22, mapped, sizeof(mapped));
	assert_int_equal(parse(out, n).kind, FRAME_OTHER);
	frame_tcp(out, &s);
	memcpy(out + 38, mapped, sizeof(mapped));
	assert_int_equal(parse(out, n).kind, FRAME_OTHER);
	n = frame_advert(out, &vm, &them, &prober, &us);
	memcpy(out + 62, mapped, sizeof(mapped));
	put_sum(out, n, 2, true);
	assert_int_equal(parse(out, n).kind, FRAME_IP);
}

static void test_fragments(void **state)
{
	static const uint8_t data[64];
	uint8_t out[PACKET_MAX];
	size_t n = make_udp(out, "10.9.0.1", "10.9.0.7", 53, data, sizeof(data));
	struct frame f;

	(void)state;
	assert_false(parse(out, n).fragment);
	poke_ip4(out, 20, 0x40); /* it must not be one */
	assert_int_equal(parse(out, n).kind, FRAME_UDP);
	assert_false(parse(out, n).fragment);
	poke_ip4(out, 20, 0x20); /* the first */
	f = parse(out, n);
	assert_int_equal(f.kind, FRAME_IP);
	assert_true(f.fragment);
	poke_ip4(out, 20, 0);
	poke_ip4(out, 21, 9); /* the last */
	f = parse(out, n);
	assert_int_equal(f.kind, FRAME_IP);
	assert_true(f.fragment);
	assert_ip(f.dst, "10.9.0.7");
	f = parse(out, make_packet(out, "fd09::1", "fd09::7", 44, data, sizeof(data)));
	assert_int_equal(f.kind, FRAME_IP);
	assert_true(f.fragment);
}

static void expect_udp(const struct frame *f, uint16_t port, size_t payload, size_t payload_n)
{
	assert_int_equal(f->kind, FRAME_UDP);
	assert_int_equal(f->src_port, 12345);
	assert_int_equal(f->dst_port, port);
	assert_int_equal(f->payload, payload);
	assert_int_equal(f->payload_n, payload_n);
}

static void test_udp(void **state)
{
	static const uint8_t data[] = "who is there?";
	uint8_t out[PACKET_MAX] = { 0 };
	struct frame f;
	size_t n;

	(void)state;
	n = make_udp(out, "10.9.0.1", "10.9.0.7", 53, data, sizeof(data));
	f = parse(out, n);
	expect_udp(&f, 53, 42, sizeof(data));
	assert_int_equal(f.end, n);
	assert_ip(f.src, "10.9.0.1");
	memset(out + n, 0xee, 5);
	f = parse(out, n + 5); /* padding */
	expect_udp(&f, 53, 42, sizeof(data));
	assert_int_equal(f.end, n);
	out[40] = out[41] = 0; /* no checksum */
	f = parse(out, n);
	expect_udp(&f, 53, 42, sizeof(data));
	f = parse(out, make_udp(out, "fd09::1", "fd09::7", 4433, data, sizeof(data)));
	expect_udp(&f, 4433, 62, sizeof(data));
	assert_ip(f.dst, "fd09::7");
	f = parse(out, make_udp(out, "fd09::1", "fd09::7", 4433, data, 0));
	expect_udp(&f, 4433, 62, 0);
	/* IPv4 options are stepped over */
	n = make_udp(out, "10.9.0.1", "10.9.0.7", 53, data, sizeof(data));
	memmove(out + 38, out + 34, n - 34);
	memset(out + 34, 1, 4);
	out[14] = 0x46;
	out[17] += 4;
	out[24] = out[25] = 0;
	f.end = frame_fold(frame_sum(out + 14, 24, 0));
	out[24] = (uint8_t)(f.end >> 8);
	out[25] = (uint8_t)f.end;
	f = parse(out, n + 4);
	expect_udp(&f, 53, 46, sizeof(data));
}

static void test_udp_that_is_not_sound(void **state)
{
	static const uint8_t data[] = "who is there?";
	uint8_t out[PACKET_MAX];
	size_t n = make_udp(out, "10.9.0.1", "10.9.0.7", 53, data, sizeof(data));

	(void)state;
	out[n - 1] ^= 1;
	assert_int_equal(parse(out, n).kind, FRAME_IP);
	n = make_udp(out, "10.9.0.1", "10.9.0.7", 53, data, sizeof(data));
	out[39]++; /* longer than the packet */
	put_sum(out, n, 6, true);
	assert_int_equal(parse(out, n).kind, FRAME_IP);
	out[39] = 7; /* shorter than its header */
	out[40] = out[41] = 0;
	assert_int_equal(parse(out, n).kind, FRAME_IP);
	n = make_packet(out, "10.9.0.1", "10.9.0.7", 17, data, 7);
	assert_int_equal(parse(out, n).kind, FRAME_IP);
	n = make_udp(out, "fd09::1", "fd09::7", 53, data, sizeof(data));
	out[60] = out[61] = 0; /* IPv6 may not do without */
	assert_int_equal(parse(out, n).kind, FRAME_IP);
}

static void test_echo(void **state)
{
	static const uint8_t data[] = "0123456789";
	static const char *const from[] = { "10.9.0.1", "fd09::1" }, *const to[] = { "10.9.0.7", "fd09::7" };
	uint8_t out[PACKET_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		size_t n = make_echo(out, from[i], to[i], data, sizeof(data)), icmp = n - sizeof(data) - 8;
		struct frame f = parse(out, n);

		assert_int_equal(f.kind, FRAME_ECHO);
		assert_int_equal(f.echo_id, 0xabcd);
		assert_int_equal(f.echo_seq, 3);
		assert_int_equal(f.payload, n - sizeof(data));
		assert_int_equal(f.payload_n, sizeof(data));
		assert_ip(f.dst, to[i]);
		out[n - 1] ^= 1;
		assert_int_equal(parse(out, n).kind, FRAME_IP);
		out[n - 1] ^= 1;
		out[icmp]++; /* another type, a sound sum */
		put_sum(out, n, 2, i == 1);
		assert_int_equal(parse(out, n).kind, FRAME_IP);
		out[icmp]--;
		out[icmp + 1] = 1; /* a code */
		put_sum(out, n, 2, i == 1);
		assert_int_equal(parse(out, n).kind, FRAME_IP);
	}
	assert_int_equal(parse(out, make_packet(out, "10.9.0.1", "10.9.0.7", 1, (const uint8_t[7]){ 8 }, 7)).kind, FRAME_IP);
}

/* Whatever was sent comes back, between the same two, the other way round. */
static void test_echo_reply(void **state)
{
	static const char *const from[] = { "10.9.0.1", "fd09::1" }, *const to[] = { "10.9.0.7", "fd09::7" };
	static const size_t sizes[] = { 0, 1, 56, 1400 };
	uint8_t out[PACKET_MAX], reply[PACKET_MAX], data[1400];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	for (size_t i = 0; i < 2 * ARRAY_SIZE(sizes); i++) {
		size_t size = sizes[i / 2], n = make_echo(out, from[i % 2], to[i % 2], data, size), icmp = n - size - 8, m;
		struct frame f = parse(out, n), back;

		m = frame_echo_reply(reply, out, &f, &vm);
		assert_int_equal(m, MAX(n, (size_t)60));
		back = parse(reply, m);
		assert_int_equal(back.kind, FRAME_IP);
		assert_int_equal(back.end, n);
		assert_ip(back.src, to[i % 2]);
		assert_ip(back.dst, from[i % 2]);
		assert_memory_equal(&back.eth_src, &vm, 6);
		assert_memory_equal(&back.eth_dst, &prober, 6);
		assert_int_equal(reply[icmp], i % 2 ? 129 : 0);
		assert_memory_equal(reply + icmp + 4, out + icmp + 4, size + 4);
		memcpy(out, reply, m);
		put_sum(out, n, 2, i % 2); /* the sum is what it should be */
		assert_memory_equal(out, reply, m);
	}
}

/* Sixteen times this MAC behind six bytes of ones: 102 bytes. */
static size_t put_magic(uint8_t *out, const struct mac_addr *mac)
{
	memset(out, 0xff, 6);
	for (size_t i = 0; i < 16; i++)
		memcpy(out + 6 + 6 * i, mac, 6);
	return 102;
}

static size_t make_magic_frame(uint8_t *out, size_t before, const struct mac_addr *mac)
{
	memcpy(out, &everyone, 6);
	memcpy(out + 6, &prober, 6);
	out[12] = 0x08;
	out[13] = 0x42;
	memset(out + 14, 0xff, before);
	return 14 + before + put_magic(out + 14 + before, mac);
}

static void test_magic_frame(void **state)
{
	uint8_t out[PACKET_MAX];

	(void)state;
	for (size_t before = 0; before < 20; before++) {
		size_t n = make_magic_frame(out, before, &vm);
		struct frame f = parse(out, n);

		assert_int_equal(f.kind, FRAME_WOL);
		assert_memory_equal(&f.hw, &vm, 6);
		assert_true(ip_is_zero(&f.src));
		memset(out + n, 0x77, 6); /* a password */
		assert_int_equal(parse(out, n + 6).kind, FRAME_WOL);
		assert_int_equal(parse(out, n - 1).kind, FRAME_OTHER);
		out[14 + before / 2] = 0; /* something else before it */
		assert_int_equal(parse(out, n).kind, before / 2 < before ? FRAME_WOL : FRAME_OTHER);
	}
}

static void test_magic_datagram(void **state)
{
	static const uint16_t ports[] = { 7, 9, 10 };
	uint8_t out[PACKET_MAX], data[200] = { 1, 2, 3 };
	struct frame f;

	(void)state;
	put_magic(data + 50, &vm);
	for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
		f = parse(out, make_udp(out, "10.9.0.1", "255.255.255.255", ports[i], data, sizeof(data)));
		assert_int_equal(f.kind, i < 2 ? FRAME_WOL : FRAME_UDP);
		assert_int_equal(f.dst_port, ports[i]);
		assert_ip(f.src, "10.9.0.1");
		if (i < 2)
			assert_memory_equal(&f.hw, &vm, 6);
	}
	f = parse(out, make_udp(out, "fd09::1", "ff02::1", 9, data, sizeof(data)));
	assert_int_equal(f.kind, FRAME_WOL);
	assert_memory_equal(&f.hw, &vm, 6);
}

static void test_magic_that_is_none(void **state)
{
	static const struct mac_addr group = { { 3, 0, 0, 0, 0, 1 } };
	uint8_t out[PACKET_MAX];
	size_t n = make_magic_frame(out, 0, &vm);

	(void)state;
	for (size_t i = 14; i < n; i++) {
		out[i] ^= 0x10;
		assert_int_equal(parse(out, n).kind, FRAME_OTHER);
		out[i] ^= 0x10;
	}
	assert_int_equal(parse(out, n).kind, FRAME_WOL);
	assert_int_equal(parse(out, make_magic_frame(out, 0, &group)).kind, FRAME_OTHER);
	assert_int_equal(parse(out, make_magic_frame(out, 900, &everyone)).kind, FRAME_OTHER);
	assert_int_equal(parse(out, 14).kind, FRAME_OTHER);
}

/* A segment with data behind `options` bytes of options. */
static size_t make_tcp(uint8_t *out, const char *from, const char *to, uint8_t flags, size_t options, size_t data_n)
{
	uint8_t body[PACKET_MAX] = { 0x9c, 0x40, 0, 80, 1, 2, 3, 4, 0xa0, 0xb0, 0xc0, 0xd0 };
	size_t n = 20 + options + data_n;

	body[12] = (uint8_t)((20 + options) / 4 << 4);
	body[13] = flags;
	memset(body + 20, 1, options);
	memset(body + 20 + options, 'x', data_n);
	n = make_packet(out, from, to, 6, body, n);
	put_sum(out, n, 16, true);
	return n;
}

static void test_tcp_data(void **state)
{
	uint8_t out[PACKET_MAX];
	struct frame f;

	(void)state;
	f = parse(out, make_tcp(out, "10.9.0.1", "10.9.0.7", TCP_ACK, 12, 100));
	assert_int_equal(f.kind, FRAME_TCP);
	assert_int_equal(f.payload, 14 + 20 + 32);
	assert_int_equal(f.payload_n, 100);
	assert_int_equal(f.end, 14 + 20 + 32 + 100);
	f = parse(out, make_tcp(out, "fd09::1", "fd09::7", TCP_ACK, 40, 1));
	assert_int_equal(f.payload, 14 + 40 + 60);
	assert_int_equal(f.payload_n, 1);
	f = parse(out, make_tcp(out, "fd09::1", "fd09::7", TCP_SYN, 40, 0));
	assert_int_equal(f.payload, f.end);
	assert_int_equal(f.payload_n, 0);
}

/* RFC 9293, 3.10.7.1, for a segment with 7 bytes of data. */
static void test_reset(void **state)
{
	static const struct {
		uint8_t came, flags;
		uint32_t seq, ack;
	} rows[] = {
		{ TCP_SYN, TCP_RST | TCP_ACK, 0, 0x01020304 + 8 },
		{ TCP_FIN, TCP_RST | TCP_ACK, 0, 0x01020304 + 8 },
		{ TCP_SYN | TCP_FIN, TCP_RST | TCP_ACK, 0, 0x01020304 + 9 },
		{ 0, TCP_RST | TCP_ACK, 0, 0x01020304 + 7 },
		{ TCP_ACK, TCP_RST, 0xa0b0c0d0, 0 },
		{ TCP_SYN | TCP_ACK, TCP_RST, 0xa0b0c0d0, 0 },
		{ TCP_FIN | TCP_ACK, TCP_RST, 0xa0b0c0d0, 0 },
	};
	static const char *const from[] = { "10.9.0.1", "fd09::1" }, *const to[] = { "10.9.0.7", "fd09::7" };
	uint8_t out[PACKET_MAX], reset[FRAME_BUILT_MAX];
	struct frame f;

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
		f = parse(out, make_tcp(out, from[i % 2], to[i % 2], rows[i / 2].came, 0, 7));
		memset(&f.eth_dst, 0xff, 6); /* wherever it was sent to */
		f = parse(reset, frame_reset(reset, &f, &vm));
		assert_int_equal(f.kind, FRAME_TCP);
		assert_memory_equal(&f.eth_src, &vm, 6);
		assert_memory_equal(&f.eth_dst, &prober, 6);
		assert_ip(f.src, to[i % 2]);
		assert_ip(f.dst, from[i % 2]);
		assert_int_equal(f.src_port, 80);
		assert_int_equal(f.dst_port, 40000);
		assert_int_equal(f.tcp_flags, rows[i / 2].flags);
		assert_int_equal(f.seq, rows[i / 2].seq);
		assert_int_equal(f.ack, rows[i / 2].ack);
		assert_int_equal(f.payload_n, 0);
	}
	for (unsigned flags = 0; flags < 256; flags++) {
		f = parse(out, make_tcp(out, from[0], to[0], (uint8_t)(flags | TCP_RST), 0, 7));
		assert_int_equal(frame_reset(reset, &f, &vm), 0);
	}
}

/* What is in front of the data is as it was; lengths and checksums fit what is left. */
static void test_bare_tcp(void **state)
{
	static const char *const from[] = { "10.9.0.1", "fd09::1" }, *const to[] = { "10.9.0.7", "fd09::7" };
	uint8_t out[PACKET_MAX], bare[FRAME_BARE_MAX], expected[PACKET_MAX];

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		size_t options = i & 2 ? 40 : 0, data_n = i & 4 ? 512 : 0, m;
		size_t n = make_tcp(out, from[i % 2], to[i % 2], TCP_SYN, options, data_n);
		struct frame f;

		memset(out + n, 0xee, 6); /* padding */
		f = parse(out, n + 6);
		memset(expected, 0, 60); /* short ones are padded */
		m = make_tcp(expected, from[i % 2], to[i % 2], TCP_SYN, options, 0);
		m = MAX(m, (size_t)60);
		assert_int_equal(frame_bare_tcp(bare, out, &f), m);
		assert_memory_equal(bare, expected, m);
		assert_int_equal(parse(bare, m).kind, FRAME_TCP);
	}
}

static void test_same_flow(void **state)
{
	static const uint8_t data[4];
	uint8_t a[PACKET_MAX], b[PACKET_MAX];

	(void)state;
	make_tcp(a, "10.9.0.1", "10.9.0.7", TCP_SYN, 20, 0);
	make_tcp(b, "10.9.0.1", "10.9.0.7", TCP_ACK, 0, 100);
	assert_true(frame_same_flow(a, b));
	for (size_t at = 26; at < 38; at++) { /* addresses and ports */
		b[at] ^= 1;
		assert_false(frame_same_flow(a, b));
		b[at] ^= 1;
	}
	make_udp(b, "10.9.0.1", "10.9.0.7", 80, data, sizeof(data));
	memcpy(b + 34, a + 34, 2);
	assert_false(frame_same_flow(a, b));
	make_tcp(a, "fd09::1", "fd09::7", TCP_SYN, 20, 0);
	assert_false(frame_same_flow(a, b));
	make_tcp(b, "fd09::1", "fd09::7", TCP_ACK, 0, 100);
	assert_true(frame_same_flow(a, b));
	for (size_t at = 22; at < 58; at++) {
		b[at] ^= 1;
		assert_false(frame_same_flow(a, b));
		b[at] ^= 1;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checksum),
		cmocka_unit_test(test_checksum_against_the_plain_one),
		cmocka_unit_test(test_arp_bytes),
		cmocka_unit_test(test_arp_back),
		cmocka_unit_test(test_arp_of_other_kinds),
		cmocka_unit_test(test_solicit_bytes),
		cmocka_unit_test(test_advert),
		cmocka_unit_test(test_nd_that_is_not_sound),
		cmocka_unit_test(test_nd_options_that_lie),
		cmocka_unit_test(test_tcp_bytes),
		cmocka_unit_test(test_tcp_back),
		cmocka_unit_test(test_tcp_with_partial_checksum),
		cmocka_unit_test(test_tcp_that_is_not_sound),
		cmocka_unit_test(test_tcp_headers_that_lie),
		cmocka_unit_test(test_cut_frames),
		cmocka_unit_test(test_dad_and_announcement_of_ip4),
		cmocka_unit_test(test_dad_and_announcement_of_ip6),
		cmocka_unit_test(test_what_is_neither),
		cmocka_unit_test(test_rarp),
		cmocka_unit_test(test_mapped_addresses_in_ip6),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_udp),
		cmocka_unit_test(test_udp_that_is_not_sound),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_echo_reply),
		cmocka_unit_test(test_magic_frame),
		cmocka_unit_test(test_magic_datagram),
		cmocka_unit_test(test_magic_that_is_none),
		cmocka_unit_test(test_tcp_data),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_bare_tcp),
		cmocka_unit_test(test_same_flow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
