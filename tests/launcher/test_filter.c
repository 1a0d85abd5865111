#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/socket.h>

#include "launcher/filter.h"
#include "tests/launcher/frames.h"
#include "tests/launcher/packets.h"

/* The kernel runs the same filters on UNIX sockets: no root needed. */

#define VM "02:00:00:00:00:10"
#define PROBER "02:00:00:00:00:fe"
#define OTHER "02:00:00:00:00:20"
#define GROUP "01:00:5e:00:00:01"
#define ALL "ff:ff:ff:ff:ff:ff"

static const struct mac_addr vm = { { 2, 0, 0, 0, 0, 0x10 } }, prober = { { 2, 0, 0, 0, 0, 0xfe } }, none;

struct wire {
	int fds[2];
};

static struct wire wire_new(const struct filter *f, bool lock)
{
	struct wire w;

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, w.fds), 0);
	assert_int_equal(filter_attach(f, w.fds[1], lock), 0);
	return w;
}

static void wire_end(struct wire *w)
{
	close(w->fds[0]);
	close(w->fds[1]);
}

/* How many bytes of it come through. */
static ssize_t pass(struct wire *w, const uint8_t *frame, size_t n)
{
	uint8_t got[2048];
	ssize_t r;

	assert_int_equal(send(w->fds[0], frame, n, 0), n);
	r = recv(w->fds[1], got, sizeof(got), 0);
	return r < 0 ? 0 : r;
}

static void expect(struct wire *w, const struct test_frame *t, bool passes)
{
	uint8_t frame[FRAME_BYTES];
	size_t n = frame_make(t, frame);

	if ((pass(w, frame, n) > 0) != passes)
		fail_msg("%s should %s", t->name, passes ? "pass" : "not pass");
}

static void test_probe_hears_what_it_needs(void **state)
{
	static const struct test_frame frames[] = {
		{ .name = "an ARP request", .dst = ALL, .src = VM, .type = 0x0806 },
		{ .name = "an ARP reply", .dst = PROBER, .src = VM, .type = 0x0806 },
		{ .name = "SYN-ACK", .dst = PROBER, .src = VM, .type = 0x0800, .proto = 6, .tcp_flags = 0x12 },
		{ .name = "RST", .dst = PROBER, .src = VM, .type = 0x0800, .proto = 6, .tcp_flags = 0x14 },
		{ .name = "RST behind IP options", .dst = PROBER, .src = VM, .type = 0x0800, .proto = 6, .tcp_flags = 4, .ip4_words = 8 },
		{ .name = "SYN-ACK on IPv6", .dst = PROBER, .src = VM, .type = 0x86dd, .proto = 6, .tcp_flags = 0x12 },
		{ .name = "a solicitation", .dst = "33:33:ff:00:00:01", .src = VM, .type = 0x86dd, .proto = 58, .l4_0 = 135, .ip_dst = 0xff },
		{ .name = "an advertisement", .dst = PROBER, .src = VM, .type = 0x86dd, .proto = 58, .l4_0 = 136 },
		{ .name = "DHCP", .dst = ALL, .src = VM, .type = 0x0800, .proto = 17, .ip_dst = 255 },
	};
	struct filter f;
	struct wire w;

	(void)state;
	filter_probe(&f, &vm, &prober);
	w = wire_new(&f, true);
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
		expect(&w, &frames[i], true);
	wire_end(&w);
}

static void test_probe_hears_nothing_else(void **state)
{
	static const struct test_frame frames[] = {
		{ .name = "another's ARP", .dst = ALL, .src = OTHER, .type = 0x0806 },
		{ .name = "another's SYN-ACK", .dst = PROBER, .src = OTHER, .type = 0x0800, .proto = 6, .tcp_flags = 0x12 },
		{ .name = "a SYN-ACK to a client", .dst = OTHER, .src = VM, .type = 0x0800, .proto = 6, .tcp_flags = 0x12 },
		{ .name = "TCP data", .dst = PROBER, .src = VM, .type = 0x0800, .proto = 6, .tcp_flags = 0x18 },
		{ .name = "a fragment", .dst = PROBER, .src = VM, .type = 0x0800, .proto = 6, .tcp_flags = 0x12, .fragment = 3 },
		{ .name = "UDP", .dst = PROBER, .src = VM, .type = 0x0800, .proto = 17, .tcp_flags = 0x12 },
		{ .name = "TCP data on IPv6", .dst = PROBER, .src = VM, .type = 0x86dd, .proto = 6, .tcp_flags = 0x10 },
		{ .name = "a SYN-ACK to a client on IPv6", .dst = OTHER, .src = VM, .type = 0x86dd, .proto = 6, .tcp_flags = 0x12 },
		{ .name = "an echo reply on IPv6", .dst = PROBER, .src = VM, .type = 0x86dd, .proto = 58, .l4_0 = 129 },
		{ .name = "MLD", .dst = "33:33:00:00:00:16", .src = VM, .type = 0x86dd, .proto = 0, .ip_dst = 0xff },
		{ .name = "LLDP", .dst = "01:80:c2:00:00:0e", .src = VM, .type = 0x88cc },
	};
	struct filter f;
	struct wire w;

	(void)state;
	filter_probe(&f, &vm, &prober);
	w = wire_new(&f, true);
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
		expect(&w, &frames[i], false);
	wire_end(&w);
}

static void test_probe_is_cut_and_locked(void **state)
{
	struct test_frame t = { .dst = ALL, .src = VM, .type = 0x0800, .proto = 17 };
	uint8_t frame[1000];
	struct filter f;
	struct wire w;
	int off = 0;

	(void)state;
	filter_probe(&f, &vm, &prober);
	w = wire_new(&f, true);
	memset(frame, 0, sizeof(frame));
	frame_make(&t, frame);
	assert_int_equal(pass(&w, frame, sizeof(frame)), FILTER_PROBE_BYTES);
	assert_int_equal(setsockopt(w.fds[1], SOL_SOCKET, SO_DETACH_FILTER, &off, sizeof(off)), -1);
	filter_activity(&f, &none, &none);
	assert_int_equal(filter_attach(&f, w.fds[1], false), -EPERM);
	wire_end(&w);
}

static void test_short_frames_do_not_pass(void **state)
{
	struct test_frame t = { .dst = PROBER, .src = VM, .type = 0x0800, .proto = 6, .tcp_flags = 0x12 };
	uint8_t frame[FRAME_BYTES];
	struct filter f;
	struct wire w;

	(void)state;
	filter_probe(&f, &vm, &prober);
	w = wire_new(&f, true);
	frame_make(&t, frame);
	for (size_t n = 1; n < 14 + 20 + 14; n++)
		assert_int_equal(pass(&w, frame, n), 0);
	assert_true(pass(&w, frame, 14 + 20 + 14) > 0);
	wire_end(&w);
}

/* From the VM; the other direction needs an interface (test_port). */
static void test_activity_from_the_vm(void **state)
{
	static const struct {
		struct test_frame t;
		bool counts;
	} rows[] = {
		{ { .name = "TCP", .dst = OTHER, .src = VM, .type = 0x0800, .proto = 6, .ip_dst = 10 }, true },
		{ { .name = "a fragment", .dst = OTHER, .src = VM, .type = 0x0800, .proto = 6, .ip_dst = 10, .fragment = 3 }, true },
		{ { .name = "TCP, tagged", .dst = OTHER, .src = VM, .tags = { 0x8100 }, .type = 0x0800, .proto = 6, .ip_dst = 10 }, true },
		{ { .name = "IPv6, tagged 802.1ad", .dst = OTHER, .src = VM, .tags = { 0x88a8 }, .type = 0x86dd, .proto = 6, .ip_dst = 0x20 }, true },
		{ { .name = "an echo reply on IPv6", .dst = OTHER, .src = VM, .type = 0x86dd, .proto = 58, .l4_0 = 129, .ip_dst = 0x20 }, true },
		{ { .name = "ICMPv6 type 132", .dst = OTHER, .src = VM, .type = 0x86dd, .proto = 58, .l4_0 = 132, .ip_dst = 0x20 }, true },
		{ { .name = "ICMPv6 type 138", .dst = OTHER, .src = VM, .type = 0x86dd, .proto = 58, .l4_0 = 138, .ip_dst = 0x20 }, true },
		{ { .name = "a router solicitation", .dst = OTHER, .src = VM, .type = 0x86dd, .proto = 58, .l4_0 = 133, .ip_dst = 0xfe }, false },
		{ { .name = "an advertisement", .dst = OTHER, .src = VM, .type = 0x86dd, .proto = 58, .l4_0 = 136, .ip_dst = 0xfe }, false },
		{ { .name = "a redirect, tagged", .dst = OTHER, .src = VM, .tags = { 0x8100 }, .type = 0x86dd, .proto = 58, .l4_0 = 137, .ip_dst = 0xfe }, false },
		{ { .name = "ARP", .dst = OTHER, .src = VM, .type = 0x0806 }, false },
		{ { .name = "ARP, tagged", .dst = OTHER, .src = VM, .tags = { 0x8100 }, .type = 0x0806 }, false },
		{ { .name = "broadcast", .dst = ALL, .src = VM, .type = 0x0800, .proto = 17, .ip_dst = 10 }, false },
		{ { .name = "multicast", .dst = GROUP, .src = VM, .type = 0x0800, .proto = 17, .ip_dst = 10 }, false },
		{ { .name = "IPv4 multicast in a unicast frame", .dst = OTHER, .src = VM, .type = 0x0800, .proto = 17, .ip_dst = 224 }, false },
		{ { .name = "IPv6 multicast in a unicast frame", .dst = OTHER, .src = VM, .type = 0x86dd, .proto = 17, .ip_dst = 0xff }, false },
		{ { .name = "an answer to a probe", .dst = PROBER, .src = VM, .type = 0x0800, .proto = 6, .ip_dst = 10 }, false },
	};
	struct filter f;
	struct wire w;

	(void)state;
	filter_activity(&f, &vm, &prober);
	w = wire_new(&f, false);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		expect(&w, &rows[i].t, rows[i].counts);
	wire_end(&w);
}

static void test_activity_with_nothing_known(void **state)
{
	static const struct test_frame to_prober = { .name = "to the prober", .dst = PROBER, .src = VM, .type = 0x0800, .proto = 6, .ip_dst = 10 },
				       arp = { .name = "ARP", .dst = OTHER, .src = VM, .type = 0x0806 };
	struct filter f;
	struct wire w;

	(void)state;
	filter_activity(&f, &none, &none);
	w = wire_new(&f, false);
	expect(&w, &to_prober, true);
	expect(&w, &arp, false);
	wire_end(&w);
}

/* test_hold_tap has every kind of frame, with and without BPF. */
static void test_hold_passes_kinds(void **state)
{
	static const struct {
		struct packet k;
		bool passes;
	} rows[] = {
		{ { .name = "unicast IPv4", .dst = OTHER, .src = VM, .type = T_IP4, .proto = TCP, .data = 1460 }, true },
		{ { .name = "unicast IPv6", .dst = OTHER, .src = VM, .type = T_IP6, .proto = TCP }, true },
		{ { .name = "ARP", .dst = ALL, .src = VM, .type = T_ARP }, true },
		{ { .name = "a magic datagram", .dst = ALL, .src = VM, .type = T_IP4, .proto = UDP, .dport = 9, .extensions = 10 }, true },
		{ { .name = "a solicitation", .dst = "33:33:ff:00:00:01", .src = VM, .type = T_IP6, .proto = ICMP6, .icmp = 135 }, true },
		{ { .name = "MLD", .dst = "33:33:00:00:00:16", .src = VM, .type = T_IP6, .proto = ICMP6, .icmp = 143 }, false },
		{ { .name = "broadcast", .dst = ALL, .src = VM, .type = T_IP4, .proto = UDP, .dport = 10 }, false },
		{ { .name = "LLDP", .dst = "01:80:c2:00:00:0e", .src = VM, .type = 0x88cc }, false },
	};
	struct filter f;
	struct wire w;

	(void)state;
	filter_hold(&f);
	w = wire_new(&f, false);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t frame[PACKET_BYTES];
		size_t n = packet_make(&rows[i].k, frame);

		if (pass(&w, frame, n) != (rows[i].passes ? (ssize_t)n : 0)) /* whole or not at all */
			fail_msg("%s should %s", rows[i].k.name, rows[i].passes ? "pass" : "not pass");
	}
	wire_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_probe_hears_what_it_needs),
		cmocka_unit_test(test_probe_hears_nothing_else),
		cmocka_unit_test(test_probe_is_cut_and_locked),
		cmocka_unit_test(test_short_frames_do_not_pass),
		cmocka_unit_test(test_activity_from_the_vm),
		cmocka_unit_test(test_activity_with_nothing_known),
		cmocka_unit_test(test_hold_passes_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
