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
	assert_int_equal(frame_sum(bytes, sizeof(bytes), 0), 0x2ddf0);
	assert_int_equal(frame_fold(0x2ddf0), 0x220d);
	assert_int_equal(frame_sum(bytes, 3, 0), 0x0001 + 0xf200);
	assert_int_equal(frame_fold(0x1ffff), 0xfffe);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checksum),
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
