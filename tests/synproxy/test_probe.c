#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "synproxy/frame.h"
#include "synproxy/probe.h"

/* The probe, with everything that it says noted down. */

static const struct mac_addr vm = { { 2, 0, 0, 0, 0, 0x10 } }, prober = { { 2, 0, 0, 0, 0, 0xfe } },
			     other = { { 2, 0, 0, 0, 0, 0x20 } };

struct said {
	enum probe_what what;
	struct ip_addr addr;
	uint16_t port;
	uint64_t t_ns;
};

static struct said said[256];
static unsigned n_said;
static struct frame sent[4096];
static unsigned n_sent;
static uint64_t now;
static struct probe *p;

static void note_send(void *arg, const uint8_t *frame, size_t n)
{
	(void)arg;
	assert_true(n_sent < ARRAY_SIZE(sent));
	frame_parse(frame, n, &sent[n_sent++]);
	assert_int_not_equal(sent[n_sent - 1].kind, FRAME_OTHER);
}

static void note_event(void *arg, enum probe_what what, const struct ip_addr *addr, uint16_t port, uint64_t t_ns)
{
	(void)arg;
	assert_true(n_said < ARRAY_SIZE(said));
	said[n_said++] = (struct said){ what, *addr, port, t_ns };
}

static const struct probe_ops ops = { .send = note_send, .event = note_event };

static struct ip_addr ip(const char *text)
{
	struct ip_addr a;

	assert_int_equal(ip_parse(text, &a), 0);
	return a;
}

static struct msg_probe_start wanted(void)
{
	return (struct msg_probe_start){
		.vm_mac = vm,
		.probe_mac = prober,
		.probe_ip4 = ip("10.9.0.250"),
		.probe_ip6 = ip("fe80::fe"),
		.n_addrs = 1,
		.addrs = { ip("10.9.0.7") },
		.n_tcp = 1,
		.tcp = { { 80 } },
	};
}

static void forget(void) { n_said = n_sent = 0; }

static void start(const struct msg_probe_start *want)
{
	forget();
	now = 1000 * NS_PER_S;
	p = probe_new(want, &ops, NULL, now);
	assert_non_null(p);
}

static int end(void **state)
{
	(void)state;
	probe_free(p);
	p = NULL;
	return 0;
}

static uint64_t tick(void)
{
	unsigned budget = 1000;

	return probe_tick(p, now, &budget);
}

static void tick_after_ms(uint64_t ms)
{
	now += ms * NS_PER_MS;
	tick();
}

/* ---- what the VM says ---- */

static void hear(const uint8_t *frame, size_t n) { probe_frame(p, frame, n, now); }

static void vm_arp(uint16_t op, const struct mac_addr *from_mac, const char *from, const char *to)
{
	static const struct mac_addr zero;
	struct ip_addr a = ip(from), b = ip(to);
	uint8_t out[FRAME_BUILT_MAX];

	hear(out, frame_arp(out, op, &prober, from_mac, &a, op == ARP_REPLY ? &prober : &zero, &b));
}

static void vm_advert(const char *target)
{
	struct ip_addr a = ip(target), us = ip("fe80::fe");
	uint8_t out[FRAME_BUILT_MAX];

	hear(out, frame_advert(out, &prober, &us, &vm, &a));
}

static void vm_solicit(const char *from, const char *target)
{
	struct ip_addr a = ip(from), b = ip(target);
	uint8_t out[FRAME_BUILT_MAX];

	hear(out, frame_solicit(out, &vm, &a, &b));
}

/* An answer to the SYN `to`, with flags, acknowledging `off` from what it should. */
static void vm_answer(const struct frame *to, uint8_t flags, uint32_t off)
{
	struct tcp_segment s = {
		.eth_dst = prober, .eth_src = vm, .src = to->dst, .dst = to->src, .src_port = to->dst_port,
		.dst_port = to->src_port, .seq = 77, .ack = to->seq + 1 + off, .flags = flags,
	};
	uint8_t out[FRAME_BUILT_MAX];

	hear(out, frame_tcp(out, &s));
}

static void link_up(void) { vm_arp(ARP_REPLY, &vm, "10.9.0.7", "10.9.0.250"); }

static const struct frame *last_sent(enum frame_kind kind)
{
	for (unsigned i = n_sent; i-- > 0;) {
		if (sent[i].kind == kind)
			return &sent[i];
	}
	return NULL;
}

static unsigned count_sent(enum frame_kind kind)
{
	unsigned n = 0;

	for (unsigned i = 0; i < n_sent; i++)
		n += sent[i].kind == kind;
	return n;
}

static void expect_said(unsigned i, enum probe_what what, const char *addr, uint16_t port)
{
	struct ip_addr a = { { 0 } };

	assert_true(i < n_said);
	assert_int_equal(said[i].what, what);
	if (addr)
		a = ip(addr);
	assert_true(ip_equal(&said[i].addr, &a));
	assert_int_equal(said[i].port, port);
	assert_int_equal(said[i].t_ns, now);
}

/* The same, whenever it was. */
static void expect_said_then(unsigned i, enum probe_what what, uint16_t port)
{
	assert_true(i < n_said);
	assert_int_equal(said[i].what, what);
	assert_int_equal(said[i].port, port);
}

/* ---- asking ---- */

static void test_asks_by_arp_until_answered(void **state)
{
	struct msg_probe_start want = wanted();

	(void)state;
	start(&want);
	tick();
	assert_int_equal(n_sent, 1);
	assert_int_equal(sent[0].kind, FRAME_ARP);
	assert_int_equal(sent[0].arp_op, ARP_REQUEST);
	assert_true(ip_equal(&sent[0].dst, &want.addrs[0]));
	assert_true(ip_equal(&sent[0].src, &want.probe_ip4));
	assert_memory_equal(&sent[0].eth_src, &prober, sizeof(prober));
	for (int i = 0; i < 10; i++)
		tick_after_ms(PROBE_INTERVAL_MS);
	assert_int_equal(n_sent, 11);
	link_up();
	expect_said(0, PROBE_LINK, "10.9.0.7", 0);
	forget();
	tick_after_ms(PROBE_INTERVAL_MS);
	assert_int_equal(count_sent(FRAME_ARP), 0);
	assert_int_equal(count_sent(FRAME_TCP), 1);
}

static void test_tells_when_it_is_due(void **state)
{
	struct msg_probe_start want = wanted();

	(void)state;
	want.interval_ms = 7;
	start(&want);
	assert_int_equal(tick(), now + 7 * NS_PER_MS);
	assert_int_equal(n_sent, 1);
	now += 6 * NS_PER_MS;
	assert_int_equal(tick(), now + NS_PER_MS);
	assert_int_equal(n_sent, 1); /* not yet */
	now += NS_PER_MS;
	tick();
	assert_int_equal(n_sent, 2);
}

static void test_ports_are_asked_after_the_link_only(void **state)
{
	struct msg_probe_start want = wanted();
	const struct frame *syn;

	(void)state;
	start(&want);
	tick();
	assert_int_equal(count_sent(FRAME_TCP), 0);
	link_up();
	syn = last_sent(FRAME_TCP); /* at once, not at the next tick */
	assert_non_null(syn);
	assert_int_equal(syn->tcp_flags, TCP_SYN);
	assert_int_equal(syn->dst_port, 80);
	assert_true(syn->src_port >= 32768);
	assert_memory_equal(&syn->eth_dst, &vm, sizeof(vm));
	assert_true(ip_equal(&syn->src, &want.probe_ip4));
}

/* Questions wait in the port until the guest reads; those for ports are asked of one that does. */
static void test_interval_grows(void **state)
{
	static const struct {
		uint64_t at_ms, address_ms, port_ms;
	} rows[] = {
		{ 0, 2, 2 },	 { 199, 2, 2 },	   { 400, 6, 2 },     { 600, 10, 2 },	   { 4989, 10, 2 },
		{ 5000, 10, 10 }, { 29989, 10, 10 }, { 30000, 50, 50 }, { 3600000, 50, 50 },
	};
	struct msg_probe_start want = wanted();

	(void)state;
	for (int linked = 0; linked < 2; linked++) {
		start(&want);
		if (linked) {
			link_up();
			vm_answer(last_sent(FRAME_TCP), TCP_RST | TCP_ACK, 0);
			now += 3 * NS_PER_MS;
		}
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			now = 1000 * NS_PER_S + MAX(rows[i].at_ms, (uint64_t)3 * linked) * NS_PER_MS;
			assert_int_equal(tick(), now + (linked ? rows[i].port_ms : rows[i].address_ms) * NS_PER_MS);
		}
		end(state);
	}
}

static void test_is_quick_again_when_something_happens(void **state)
{
	struct msg_probe_start want = wanted();

	(void)state;
	start(&want);
	now += 60 * NS_PER_S;
	assert_int_equal(tick(), now + 50 * NS_PER_MS);
	link_up();
	assert_int_equal(probe_due_ns(p), now + 2 * NS_PER_MS);
	now += 2 * NS_PER_MS;
	assert_int_equal(tick(), now + 2 * NS_PER_MS);
}

static void test_budget_is_kept_and_nobody_starves(void **state)
{
	struct msg_probe_start want = wanted();
	bool asked[MSG_LIST_MAX] = { false };
	unsigned budget = 5;

	(void)state;
	want.n_tcp = MSG_LIST_MAX;
	for (uint16_t i = 0; i < MSG_LIST_MAX; i++)
		want.tcp[i].port = (uint16_t)(100 + i);
	start(&want);
	tick();
	link_up();
	forget();
	now += 2 * NS_PER_MS;
	for (int i = 0; i < 3; i++) {
		budget = 5;
		assert_int_equal(probe_tick(p, now, &budget), now); /* wants to go on */
		assert_int_equal(budget, 0);
	}
	budget = 5;
	assert_int_equal(probe_tick(p, now, &budget), now + 2 * NS_PER_MS);
	assert_int_equal(budget, 4);
	assert_int_equal(n_sent, MSG_LIST_MAX);
	for (unsigned i = 0; i < n_sent; i++)
		asked[sent[i].dst_port - 100] = true;
	for (unsigned i = 0; i < MSG_LIST_MAX; i++)
		assert_true(asked[i]);
}

/* ---- hearing ---- */

static void test_whatever_the_vm_says_is_an_answer(void **state)
{
	struct msg_probe_start want = wanted();
	uint8_t dhcp_like[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 0x10, 8, 0, 0x45, 0, 0, 20, 0, 0, 0, 0,
				  64,	17,   0,    0,	  10,	9,    0, 7, 10, 9, 0, 255 };
	uint16_t sum = frame_fold(frame_sum(dhcp_like + 14, 20, 0));

	(void)state;
	start(&want);
	vm_arp(ARP_REQUEST, &vm, "10.9.0.7", "10.9.0.7"); /* gratuitous */
	expect_said(0, PROBE_LINK, "10.9.0.7", 0);
	end(state);
	start(&want);
	vm_arp(ARP_REQUEST, &vm, "10.9.0.7", "10.9.0.1"); /* looks for its router */
	expect_said(0, PROBE_LINK, "10.9.0.7", 0);
	end(state);
	start(&want);
	dhcp_like[24] = (uint8_t)(sum >> 8);
	dhcp_like[25] = (uint8_t)sum;
	hear(dhcp_like, sizeof(dhcp_like));
	expect_said(0, PROBE_LINK, "10.9.0.7", 0);
	hear(dhcp_like, sizeof(dhcp_like));
	assert_int_equal(n_said, 1); /* once */
}

static void test_what_is_no_answer(void **state)
{
	struct msg_probe_start want = wanted();

	(void)state;
	want.addrs[want.n_addrs++] = ip("fd09::7");
	start(&want);
	vm_arp(ARP_REQUEST, &vm, "0.0.0.0", "10.9.0.7"); /* its own conflict detection (RFC 5227) */
	vm_solicit("::", "fd09::7"); /* and of IPv6 (RFC 4862) */
	vm_arp(ARP_REPLY, &other, "10.9.0.7", "10.9.0.250"); /* another machine */
	vm_arp(ARP_REPLY, &vm, "10.9.0.8", "10.9.0.250"); /* another address */
	vm_arp(ARP_REQUEST, &vm, "0.0.0.0", "10.9.0.250"); /* asks for us before it is anybody */
	assert_int_equal(n_said, 0);
	assert_int_equal(n_sent, 0); /* and none of it is answered */
}

static void test_mac_inside_must_be_the_same(void **state)
{
	struct msg_probe_start want = wanted();
	struct ip_addr a = ip("10.9.0.7"), b = ip("10.9.0.250");
	uint8_t out[FRAME_BUILT_MAX];
	size_t n;

	(void)state;
	start(&want);
	n = frame_arp(out, ARP_REPLY, &prober, &other, &a, &prober, &b);
	memcpy(out + 6, vm.b, 6); /* from the VM, on behalf of another */
	hear(out, n);
	assert_int_equal(n_said, 0);
}

static void test_arp_for_us_is_answered(void **state)
{
	struct msg_probe_start want = wanted();

	(void)state;
	start(&want);
	vm_arp(ARP_REQUEST, &vm, "10.9.0.7", "10.9.0.250");
	assert_int_equal(sent[0].kind, FRAME_ARP);
	assert_int_equal(sent[0].arp_op, ARP_REPLY);
	assert_true(ip_equal(&sent[0].src, &want.probe_ip4));
	assert_memory_equal(&sent[0].hw, &prober, sizeof(prober));
	assert_memory_equal(&sent[0].eth_dst, &vm, sizeof(vm));
	forget();
	vm_arp(ARP_REQUEST, &vm, "10.9.0.7", "10.9.0.1"); /* for another: not ours to answer */
	assert_int_equal(count_sent(FRAME_ARP), 0);
	vm_arp(ARP_REPLY, &vm, "10.9.0.7", "10.9.0.250"); /* no question */
	assert_int_equal(count_sent(FRAME_ARP), 0);
}

static void test_solicitation_for_us_is_answered(void **state)
{
	struct msg_probe_start want = wanted();

	(void)state;
	want.addrs[0] = ip("fd09::7");
	start(&want);
	vm_solicit("fe80::10", "fe80::fe"); /* from an address that is not a service's */
	assert_int_equal(count_sent(FRAME_ADVERT), 1);
	assert_true(ip_equal(&last_sent(FRAME_ADVERT)->target, &want.probe_ip6));
	assert_memory_equal(&last_sent(FRAME_ADVERT)->hw, &prober, sizeof(prober));
	assert_int_equal(n_said, 0);
	vm_solicit("fd09::7", "fe80::fe");
	assert_int_equal(count_sent(FRAME_ADVERT), 2);
	expect_said(0, PROBE_LINK, "fd09::7", 0);
	vm_solicit("fd09::7", "fd09::1");
	vm_solicit("::", "fe80::fe");
	assert_int_equal(count_sent(FRAME_ADVERT), 2);
}

/* ---- ports ---- */

static void test_open_port(void **state)
{
	struct msg_probe_start want = wanted();
	struct frame syn;

	(void)state;
	start(&want);
	link_up();
	syn = *last_sent(FRAME_TCP);
	forget();
	vm_answer(&syn, TCP_SYN | TCP_ACK, 0);
	expect_said(0, PROBE_PORT, "10.9.0.7", 80);
	expect_said(1, PROBE_DONE, NULL, 0);
	assert_int_equal(n_sent, 1);
	assert_int_equal(sent[0].tcp_flags, TCP_RST); /* the application sees nothing */
	assert_int_equal(sent[0].seq, syn.seq + 1);
	assert_int_equal(sent[0].src_port, syn.src_port);
	assert_true(probe_is_done(p));
	assert_int_equal(tick(), 0);
	assert_int_equal(n_sent, 1);
}

static void test_refused_is_told_once(void **state)
{
	struct msg_probe_start want = wanted();
	struct frame syn;

	(void)state;
	start(&want);
	link_up();
	syn = *last_sent(FRAME_TCP);
	forget();
	for (int i = 0; i < 5; i++) {
		vm_answer(&syn, TCP_RST | TCP_ACK, 0);
		tick_after_ms(PROBE_INTERVAL_MS);
	}
	assert_int_equal(n_said, 1);
	assert_int_equal(said[0].what, PROBE_REFUSED);
	assert_int_equal(said[0].port, 80);
	assert_int_equal(count_sent(FRAME_TCP), 5); /* it goes on asking */
	assert_int_equal(last_sent(FRAME_TCP)->seq, syn.seq); /* the same SYN again */
	assert_int_equal(last_sent(FRAME_TCP)->src_port, syn.src_port);
	vm_answer(&syn, TCP_SYN | TCP_ACK, 0);
	assert_int_equal(said[1].what, PROBE_PORT);
}

static void test_answers_that_are_not_to_us(void **state)
{
	struct msg_probe_start want = wanted();
	struct frame syn, wrong;

	(void)state;
	start(&want);
	link_up();
	syn = *last_sent(FRAME_TCP);
	forget();
	vm_answer(&syn, TCP_SYN | TCP_ACK, 1); /* an earlier probe's */
	vm_answer(&syn, TCP_RST | TCP_ACK, (uint32_t)-1);
	vm_answer(&syn, TCP_RST, 0); /* acknowledges nothing */
	vm_answer(&syn, TCP_SYN, 0);
	vm_answer(&syn, TCP_ACK, 0);
	wrong = syn;
	wrong.src_port ^= 1;
	vm_answer(&wrong, TCP_SYN | TCP_ACK, 0);
	wrong = syn;
	wrong.dst_port = 81;
	vm_answer(&wrong, TCP_SYN | TCP_ACK, 0);
	wrong = syn;
	wrong.src = ip("10.9.0.251");
	vm_answer(&wrong, TCP_SYN | TCP_ACK, 0);
	wrong = syn;
	wrong.dst = ip("10.9.0.8");
	vm_answer(&wrong, TCP_SYN | TCP_ACK, 0);
	assert_int_equal(n_said, 0);
	assert_int_equal(n_sent, 0);
}

static void test_reset_is_sent_again_when_it_was_lost(void **state)
{
	struct msg_probe_start want = wanted();
	struct frame syn;

	(void)state;
	want.n_tcp = 2;
	want.tcp[1].port = 81;
	start(&want);
	link_up();
	syn = sent[0];
	forget();
	vm_answer(&syn, TCP_SYN | TCP_ACK, 0);
	vm_answer(&syn, TCP_SYN | TCP_ACK, 0);
	assert_int_equal(n_said, 1);
	assert_int_equal(n_sent, 2);
	forget();
	tick_after_ms(PROBE_INTERVAL_MS);
	assert_int_equal(n_sent, 1);
	assert_int_equal(sent[0].dst_port, 81); /* the open one is left in peace */
}

static void test_numbers_are_drawn_anew(void **state)
{
	struct msg_probe_start want = wanted();
	struct frame first;

	(void)state;
	start(&want);
	link_up();
	first = *last_sent(FRAME_TCP);
	end(state);
	start(&want);
	link_up();
	assert_true(last_sent(FRAME_TCP)->seq != first.seq || last_sent(FRAME_TCP)->src_port != first.src_port);
	forget();
	vm_answer(&first, TCP_SYN | TCP_ACK, 0); /* of the boot before */
	assert_int_equal(n_said, 0);
}

/* ---- families ---- */

static void test_both_families(void **state)
{
	struct msg_probe_start want = wanted();
	struct frame syn4, syn6;

	(void)state;
	want.n_addrs = 3;
	want.addrs[1] = ip("fd09::7");
	want.addrs[2] = ip("10.9.0.8");
	start(&want);
	tick();
	assert_int_equal(count_sent(FRAME_ARP), 2);
	assert_int_equal(count_sent(FRAME_SOLICIT), 1);
	assert_true(ip_equal(&last_sent(FRAME_SOLICIT)->src, &want.probe_ip6));
	link_up();
	syn4 = *last_sent(FRAME_TCP);
	vm_advert("fd09::7");
	syn6 = *last_sent(FRAME_TCP);
	assert_true(ip_equal(&syn6.dst, &want.addrs[1]));
	assert_int_equal(count_sent(FRAME_TCP), 2);
	vm_answer(&syn6, TCP_SYN | TCP_ACK, 0);
	vm_answer(&syn4, TCP_SYN | TCP_ACK, 0);
	expect_said(0, PROBE_LINK, "10.9.0.7", 0);
	expect_said(1, PROBE_LINK, "fd09::7", 0);
	expect_said(2, PROBE_PORT, "fd09::7", 80);
	expect_said(3, PROBE_PORT, "10.9.0.7", 80);
	assert_false(probe_is_done(p)); /* the third address has said nothing */
	vm_arp(ARP_REPLY, &vm, "10.9.0.8", "10.9.0.250");
	expect_said(4, PROBE_LINK, "10.9.0.8", 0); /* only the first of a family has ports asked */
	expect_said(5, PROBE_DONE, NULL, 0);
}

/* Without an address of ours nothing is asked (never from 0.0.0.0), but the VM's word counts. */
static void test_without_an_address_of_ours(void **state)
{
	struct msg_probe_start want = wanted();

	(void)state;
	memset(&want.probe_ip4, 0, sizeof(want.probe_ip4));
	start(&want);
	for (int i = 0; i < 10; i++)
		tick_after_ms(PROBE_INTERVAL_MS);
	vm_arp(ARP_REQUEST, &vm, "10.9.0.7", "0.0.0.0");
	assert_int_equal(n_sent, 0);
	expect_said(0, PROBE_LINK, "10.9.0.7", 0);
	expect_said(1, PROBE_DONE, NULL, 0);
	end(state);
	want.probe_ip4 = ip("0.0.0.0");
	start(&want);
	tick();
	assert_int_equal(n_sent, 0);
	end(state);
	want.probe_ip4 = ip("fd09::1"); /* of the other family: as good as none */
	start(&want);
	tick();
	link_up();
	assert_int_equal(n_sent, 0);
}

/* ---- silence ---- */

static unsigned silent_after_ms(unsigned most_ms)
{
	for (unsigned ms = 0; ms < most_ms; ms++) {
		if (n_said > 0 && said[n_said - 1].what == PROBE_DONE)
			return ms;
		tick_after_ms(1);
	}
	return most_ms;
}

/* The guest answers whatever was asked of ARP last, and says nothing else. */
static unsigned filtered_guest_ms(unsigned most_ms)
{
	unsigned heard = count_sent(FRAME_ARP), ms;

	for (ms = 0; ms < most_ms && !probe_is_done(p); ms++) {
		tick_after_ms(1);
		if (count_sent(FRAME_ARP) > heard)
			link_up();
		heard = count_sent(FRAME_ARP);
	}
	return ms;
}

static void test_a_filtered_port_is_silent(void **state)
{
	struct msg_probe_start want = wanted();
	unsigned ms;

	(void)state;
	start(&want);
	tick();
	link_up();
	ms = filtered_guest_ms(1000);
	assert_in_range(ms, PROBE_SILENT_MS, PROBE_SILENT_MS + 5);
	expect_said(1, PROBE_SILENT, "10.9.0.7", 80);
	expect_said(2, PROBE_DONE, NULL, 0);
	assert_int_equal(n_said, 3);
	assert_int_equal(count_sent(FRAME_ARP), 2); /* one question for the link, and one for this */
	forget();
	assert_int_equal(tick(), 0); /* nothing is left to ask */
	assert_int_equal(n_sent, 0);
}

static void test_a_filtered_port_of_ip6(void **state)
{
	struct msg_probe_start want = wanted();
	unsigned ms;

	(void)state;
	want.addrs[0] = ip("fd09::7");
	start(&want);
	tick();
	vm_advert("fd09::7");
	for (ms = 0; ms < 1000 && !probe_is_done(p); ms++) {
		unsigned asked = count_sent(FRAME_SOLICIT);

		tick_after_ms(1);
		if (count_sent(FRAME_SOLICIT) > asked)
			vm_advert("fd09::7");
	}
	assert_in_range(ms, PROBE_SILENT_MS, PROBE_SILENT_MS + 5);
	expect_said(1, PROBE_SILENT, "fd09::7", 80);
}

/* It has answered one question, and is busy: the SYN waits in its queue. */
static void test_a_busy_guest_is_not_silent(void **state)
{
	struct msg_probe_start want = wanted();

	(void)state;
	start(&want);
	tick();
	link_up();
	assert_int_equal(silent_after_ms(2000), 2000);
	assert_int_equal(n_said, 1);
}

/* A hundred questions came before the SYN; the guest answers them by and by, with pauses. */
static void test_answers_to_old_questions_prove_nothing(void **state)
{
	struct msg_probe_start want = wanted();

	(void)state;
	start(&want);
	for (int i = 0; i < 100; i++)
		tick_after_ms(2);
	for (int i = 0; i < 100; i++) {
		link_up();
		for (int ms = 0; ms < 50; ms++)
			tick_after_ms(1);
		assert_int_equal(n_said, 1);
	}
	assert_in_range(filtered_guest_ms(1000), 1, 300); /* now it has read them all */
	assert_int_equal(said[1].what, PROBE_SILENT);
}

/* ... and when it has thrown most of them away, a pause tells. */
static void test_unanswered_questions_do_not_matter_for_ever(void **state)
{
	struct msg_probe_start want = wanted();

	(void)state;
	start(&want);
	for (int i = 0; i < 100; i++)
		tick_after_ms(2);
	link_up();
	assert_in_range(filtered_guest_ms(1000), PROBE_SILENT_MS, PROBE_SILENT_MS + 120);
	assert_int_equal(said[1].what, PROBE_SILENT);
}

static void test_a_port_that_refused_is_not_silent(void **state)
{
	struct msg_probe_start want = wanted();

	(void)state;
	start(&want);
	tick();
	link_up();
	vm_answer(last_sent(FRAME_TCP), TCP_RST | TCP_ACK, 0);
	filtered_guest_ms(1000);
	assert_int_equal(n_said, 2);
	expect_said_then(1, PROBE_REFUSED, 80);
}

/* ---- more ports ---- */

static const struct frame *last_syn_to(uint16_t port)
{
	for (unsigned i = n_sent; i-- > 0;) {
		if (sent[i].kind == FRAME_TCP && sent[i].tcp_flags == TCP_SYN && sent[i].dst_port == port)
			return &sent[i];
	}
	return NULL;
}

static void test_more_ports_do_not_delay_readiness(void **state)
{
	struct msg_probe_start want = wanted();

	(void)state;
	start(&want);
	assert_true(probe_want_port(p, 443, now));
	assert_true(probe_want_port(p, 80, now)); /* it is asked anyhow */
	tick();
	assert_null(last_syn_to(443));
	link_up();
	assert_non_null(last_syn_to(443));
	assert_int_equal(count_sent(FRAME_TCP), 2);
	vm_answer(last_syn_to(80), TCP_SYN | TCP_ACK, 0);
	expect_said(1, PROBE_PORT, "10.9.0.7", 80);
	expect_said(2, PROBE_DONE, NULL, 0);
	forget();
	tick_after_ms(2);
	assert_non_null(last_syn_to(443)); /* it is asked on */
	vm_answer(last_syn_to(443), TCP_RST | TCP_ACK, 0);
	expect_said(0, PROBE_REFUSED, "10.9.0.7", 443);
	vm_answer(last_syn_to(443), TCP_SYN | TCP_ACK, 0);
	expect_said(1, PROBE_PORT, "10.9.0.7", 443);
	assert_int_equal(n_said, 2);
	now += 2 * NS_PER_MS;
	assert_int_equal(tick(), 0);
}

/* It is asked at once, not a tick later. */
static void test_a_port_wanted_late(void **state)
{
	struct msg_probe_start want = wanted();

	(void)state;
	start(&want);
	tick();
	link_up();
	vm_answer(last_sent(FRAME_TCP), TCP_SYN | TCP_ACK, 0);
	now += 2 * NS_PER_MS;
	assert_int_equal(tick(), 0);
	forget();
	assert_true(probe_want_port(p, 443, now));
	assert_non_null(last_syn_to(443));
	assert_int_equal(probe_due_ns(p), now + 2 * NS_PER_MS);
	probe_want_no_more(p);
	forget();
	now += 2 * NS_PER_MS;
	assert_int_equal(tick(), 0);
	assert_int_equal(n_sent, 0);
}

static void test_many_more_ports_take_turns(void **state)
{
	struct msg_probe_start want = wanted();
	unsigned asked[PROBE_EXTRA_MAX] = { 0 };

	(void)state;
	start(&want);
	for (uint16_t i = 0; i < PROBE_EXTRA_MAX; i++)
		assert_true(probe_want_port(p, (uint16_t)(1000 + i), now));
	assert_false(probe_want_port(p, 5000, now));
	tick();
	link_up();
	vm_answer(last_syn_to(80), TCP_RST | TCP_ACK, 0);
	for (int round = 0; round < 10; round++) {
		forget();
		tick_after_ms(2);
		assert_in_range(count_sent(FRAME_TCP), PROBE_EXTRA_AT_ONCE - 1, PROBE_EXTRA_AT_ONCE + 3);
		for (unsigned i = 0; i < n_sent; i++) {
			if (sent[i].dst_port >= 1000)
				asked[sent[i].dst_port - 1000]++;
		}
	}
	for (unsigned i = 0; i < PROBE_EXTRA_MAX; i++)
		assert_int_equal(asked[i], 1);
}

static void test_without_an_address_no_port_can_be_asked(void **state)
{
	struct msg_probe_start want = wanted();

	(void)state;
	memset(&want.probe_ip4, 0, sizeof(want.probe_ip4));
	start(&want);
	assert_false(probe_want_port(p, 443, now));
}

/* Who comes later hears what was told before. */
static void test_recall(void **state)
{
	struct msg_probe_start want = wanted();

	(void)state;
	want.tcp[want.n_tcp++].port = 81;
	want.tcp[want.n_tcp++].port = 82;
	start(&want);
	probe_recall(p, &ops, NULL, now);
	assert_int_equal(n_said, 0);
	tick();
	link_up();
	vm_answer(last_syn_to(80), TCP_SYN | TCP_ACK, 0);
	vm_answer(last_syn_to(81), TCP_RST | TCP_ACK, 0);
	n_said = 0;
	probe_recall(p, &ops, NULL, now);
	expect_said(0, PROBE_LINK, "10.9.0.7", 0);
	expect_said(1, PROBE_PORT, "10.9.0.7", 80);
	expect_said(2, PROBE_REFUSED, "10.9.0.7", 81);
	assert_int_equal(n_said, 3);
}

static void test_nothing_wanted(void **state)
{
	struct msg_probe_start want = wanted();

	(void)state;
	want.n_addrs = want.n_tcp = 0;
	start(&want);
	assert_int_equal(tick(), 0);
	expect_said(0, PROBE_DONE, NULL, 0);
	assert_int_equal(tick(), 0);
	assert_int_equal(n_said, 1);
}

#define PROBING(test) cmocka_unit_test_teardown(test, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PROBING(test_asks_by_arp_until_answered),
		PROBING(test_tells_when_it_is_due),
		PROBING(test_ports_are_asked_after_the_link_only),
		PROBING(test_interval_grows),
		PROBING(test_is_quick_again_when_something_happens),
		PROBING(test_budget_is_kept_and_nobody_starves),
		PROBING(test_whatever_the_vm_says_is_an_answer),
		PROBING(test_what_is_no_answer),
		PROBING(test_mac_inside_must_be_the_same),
		PROBING(test_arp_for_us_is_answered),
		PROBING(test_solicitation_for_us_is_answered),
		PROBING(test_open_port),
		PROBING(test_refused_is_told_once),
		PROBING(test_answers_that_are_not_to_us),
		PROBING(test_reset_is_sent_again_when_it_was_lost),
		PROBING(test_numbers_are_drawn_anew),
		PROBING(test_both_families),
		PROBING(test_without_an_address_of_ours),
		PROBING(test_a_filtered_port_is_silent),
		PROBING(test_a_filtered_port_of_ip6),
		PROBING(test_a_busy_guest_is_not_silent),
		PROBING(test_answers_to_old_questions_prove_nothing),
		PROBING(test_unanswered_questions_do_not_matter_for_ever),
		PROBING(test_a_port_that_refused_is_not_silent),
		PROBING(test_more_ports_do_not_delay_readiness),
		PROBING(test_a_port_wanted_late),
		PROBING(test_many_more_ports_take_turns),
		PROBING(test_without_an_address_no_port_can_be_asked),
		PROBING(test_recall),
		PROBING(test_nothing_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
