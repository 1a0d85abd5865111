#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "synproxy/frame.h"
#include "synproxy/learn.h"

/* One VM, with everything that is asked and found noted down. */

static const struct mac_addr vm = { { 2, 0, 0, 0, 0, 0x10 } }, prober = { { 2, 0, 0, 0, 0, 1 } },
			     stranger = { { 2, 0, 0, 0, 0, 0x66 } },
			     everyone = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } }, unknown;

static struct {
	enum learn_how how;
	struct ip_addr addr;
} found[64];
static unsigned n_found, n_sent;
static struct frame sent[4096];
static uint64_t now;
static struct learn *l;

static void note_send(void *arg, const uint8_t *frame, size_t n)
{
	(void)arg;
	assert_true(n_sent < ARRAY_SIZE(sent));
	frame_parse(frame, n, &sent[n_sent++]);
}

static void note_found(void *arg, enum learn_how how, const struct ip_addr *addr)
{
	(void)arg;
	assert_true(n_found < ARRAY_SIZE(found));
	found[n_found].how = how;
	found[n_found++].addr = *addr;
}

static const struct learn_ops ops = { .send = note_send, .found = note_found };

static struct ip_addr ip(const char *text)
{
	struct ip_addr a = { 0 };

	if (*text)
		assert_int_equal(ip_parse(text, &a), 0);
	return a;
}

static void begin(const char *known)
{
	struct msg_learn_start want = { .vm_mac = vm, .probe_mac = prober, .probe_ip4 = ip("10.0.0.1"), .addr = ip(known) };

	learn_free(l);
	now = 1000 * NS_PER_MS;
	n_found = n_sent = 0;
	l = learn_new(&want, &ops, NULL, now);
	assert_non_null(l);
}

static void begin_in(const char *net, const char *known)
{
	struct msg_learn_start want = { .vm_mac = vm, .probe_mac = prober, .probe_ip4 = ip("10.0.0.1"), .addr = ip(known) };

	assert_int_equal(prefix_parse(net, &want.net), 0);
	learn_free(l);
	now = 1000 * NS_PER_MS;
	n_found = n_sent = 0;
	l = learn_new(&want, &ops, NULL, now);
	assert_non_null(l);
}

static int end(void **state)
{
	(void)state;
	learn_free(l);
	l = NULL;
	return 0;
}

/* Time goes on, and it is called when it wants to be. */
static void pass(unsigned ms)
{
	uint64_t until = now + ms * NS_PER_MS;

	for (;;) {
		uint64_t due = learn_tick(l, now);

		if (!due || due > until)
			break;
		assert_true(due > now);
		now = due;
	}
	now = until;
}

static void arp_from(const struct mac_addr *mac, uint16_t op, const char *sender, const char *target)
{
	struct ip_addr from = ip(sender), to = ip(target);
	uint8_t frame[FRAME_BUILT_MAX];
	size_t n = frame_arp(frame, op, op == ARP_REPLY ? &prober : &everyone, mac, &from, &unknown, &to);

	learn_frame(l, frame, n, now);
}

/* The VM speaks, or answers. */
static void speaks(const char *sender) { arp_from(&vm, ARP_REQUEST, sender, "10.0.0.1"); }
static void answers(const char *sender) { arp_from(&vm, ARP_REPLY, sender, "10.0.0.1"); }

static unsigned asked(const char *addr)
{
	struct ip_addr a = ip(addr);
	unsigned n = 0;

	for (unsigned i = 0; i < n_sent; i++)
		n += sent[i].kind == FRAME_ARP && sent[i].arp_op == ARP_REQUEST && ip_equal(&sent[i].dst, &a);
	return n;
}

static void assert_found(unsigned nth, enum learn_how how, const char *addr)
{
	struct ip_addr a = ip(addr);

	assert_true(nth < n_found);
	assert_int_equal(found[nth].how, how);
	assert_true(ip_equal(&found[nth].addr, &a));
}

static void tell(bool known, enum learn_how how, const char *addr)
{
	struct msg_learn_tell m = { .known = known, .how = (uint8_t)how, .addr = ip(addr) };

	learn_tell(l, &m, now);
}

/* ---- a DHCP client's packet ---- */

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* `options` behind the cookie, `n` bytes of them. */
static void dhcp(const struct mac_addr *mac, const char *ciaddr, const uint8_t *options, size_t n)
{
	static const uint8_t cookie[4] = { 99, 130, 83, 99 };
	uint8_t frame[700] = { 0 }, *ip4 = frame + 14, *udp = ip4 + 20, *b = udp + 8;
	struct ip_addr ci = ip(ciaddr);
	size_t total = 240 + n;

	memcpy(frame, &everyone, 6);
	memcpy(frame + 6, mac, 6);
	put16(frame + 12, 0x0800);
	ip4[0] = 0x45;
	put16(ip4 + 2, (unsigned)(28 + total));
	ip4[8] = 64;
	ip4[9] = 17;
	memset(ip4 + 16, 0xff, 4);
	put16(ip4 + 10, frame_fold(frame_sum(ip4, 20, 0)));
	put16(udp, 68);
	put16(udp + 2, 67);
	put16(udp + 4, (unsigned)(8 + total));
	b[0] = 1;
	b[1] = 1;
	b[2] = 6;
	memcpy(b + 12, ci.b + 12, 4);
	memcpy(b + 28, mac, 6);
	memcpy(b + 236, cookie, 4);
	memcpy(b + 240, options, n);
	learn_frame(l, frame, 42 + total, now);
}

/* ---- tests ---- */

static void test_arp_tells(void **state)
{
	(void)state;
	begin("");
	pass(100);
	assert_int_equal(n_sent, 0);
	speaks("10.0.0.5");
	assert_int_equal(n_found, 1);
	assert_found(0, LEARN_ARP, "10.0.0.5");
	tell(true, LEARN_ARP, "10.0.0.5");
	pass(120000);
	speaks("10.0.0.5");
	assert_int_equal(n_found, 1);
}

/* An ARP probe (RFC 5227) is no claim; nor is what another MAC says, as Ethernet source or as sender. */
static void test_what_does_not_tell(void **state)
{
	uint8_t frame[FRAME_BUILT_MAX];
	struct ip_addr from = ip("10.0.0.5"), to = ip("10.0.0.1");
	size_t n;

	(void)state;
	begin("");
	speaks("0.0.0.0");
	speaks("127.0.0.1");
	speaks("169.254.7.7");
	speaks("224.0.0.1");
	arp_from(&stranger, ARP_REQUEST, "10.0.0.5", "10.0.0.1");
	n = frame_arp(frame, ARP_REQUEST, &everyone, &vm, &from, &unknown, &to);
	memcpy(frame + 22, &stranger, 6); /* the sender's hardware address */
	learn_frame(l, frame, n, now);
	for (size_t i = 0; i < n; i++)
		learn_frame(l, frame, i, now);
	pass(20000);
	assert_int_equal(n_found, 0);
	assert_int_equal(n_sent, 0);
}

static void test_dhcp_is_asked(void **state)
{
	static const uint8_t request[] = { 0, 53, 1, 3, 50, 4, 10, 0, 0, 7, 255 }, discover[] = { 53, 1, 1, 50, 4, 10, 0, 0, 8, 255 },
			     renew[] = { 53, 1, 3, 255 }, broken[] = { 53, 1, 3, 50, 200, 10, 0, 0, 9 };

	(void)state;
	begin("");
	dhcp(&vm, "0.0.0.0", discover, sizeof(discover));
	dhcp(&stranger, "0.0.0.0", request, sizeof(request));
	dhcp(&vm, "0.0.0.0", broken, sizeof(broken));
	pass(1000);
	assert_int_equal(n_sent, 0);
	dhcp(&vm, "0.0.0.0", request, sizeof(request));
	pass(300);
	assert_true(asked("10.0.0.7") >= 2);
	assert_int_equal(n_found, 0);
	answers("10.0.0.7");
	assert_int_equal(n_found, 1);
	/* the VM's own word in ARP made it sure; how it was heard of first counts */
	assert_found(0, LEARN_DHCP, "10.0.0.7");
	pass(2000);
	dhcp(&vm, "10.0.0.9", renew, sizeof(renew));
	pass(100);
	assert_true(asked("10.0.0.9") >= 1);
}

/* Whoever says what is not so costs a few questions. */
static void test_nobody_answers(void **state)
{
	(void)state;
	begin("");
	tell(false, LEARN_LEASE, "10.0.0.7");
	pass(60000);
	assert_int_equal(asked("10.0.0.7"), LEARN_ASKS);
	assert_int_equal(n_found, 0);
	tell(false, LEARN_AGENT, "10.0.0.8");
	pass(60);
	answers("10.0.0.8");
	assert_found(0, LEARN_AGENT, "10.0.0.8");
}

/* The known one is asked for, also of a VM that says nothing by itself, and told once. */
static void test_known_is_seen(void **state)
{
	(void)state;
	begin("10.0.0.5");
	pass(400);
	assert_true(asked("10.0.0.5") >= 2);
	answers("10.0.0.5");
	assert_int_equal(n_found, 1);
	assert_found(0, LEARN_ARP, "10.0.0.5");
	answers("10.0.0.5");
	speaks("10.0.0.5");
	pass(10000);
	assert_int_equal(n_found, 1);
	begin("10.0.0.5");
	pass(60000);
	assert_int_equal(n_sent, LEARN_ASKS); /* not for ever */
	assert_int_equal(n_found, 0);
}

static void test_another_one(void **state)
{
	(void)state;
	begin("10.0.0.5");
	answers("10.0.0.5");
	pass(1000);
	n_sent = 0;
	speaks("10.0.0.6");
	pass(LEARN_GONE_MS * LEARN_GONE_ASKS - 1);
	assert_int_equal(asked("10.0.0.5"), LEARN_GONE_ASKS);
	assert_int_equal(n_found, 1);
	pass(10);
	assert_int_equal(n_found, 2);
	assert_found(1, LEARN_ARP, "10.0.0.6");
	tell(true, LEARN_ARP, "10.0.0.6");
	/* and back */
	pass(2000);
	speaks("10.0.0.5");
	pass(1000);
	assert_int_equal(n_found, 3);
	assert_found(2, LEARN_ARP, "10.0.0.5");
}

/* A VM with two addresses keeps the one that was found first. */
static void test_two_addresses(void **state)
{
	(void)state;
	begin("10.0.0.5");
	answers("10.0.0.5");
	for (int i = 0; i < 20; i++) {
		speaks("10.0.0.6");
		pass(10);
		answers("10.0.0.5");
		pass(2000);
	}
	assert_int_equal(n_found, 1);
	assert_true(asked("10.0.0.5") < 10); /* it is not asked again for each word */
}

/* One that says nothing is asked for each address of its network, and no more once it has answered. */
static void test_a_quiet_one(void **state)
{
	unsigned n;

	(void)state;
	begin_in("10.0.0.1/24", "");
	pass(LEARN_SWEEP_AFTER_MS - 1);
	assert_int_equal(n_sent, 0);
	pass(1000);
	assert_int_equal(n_sent, 253);
	assert_int_equal(asked("10.0.0.254"), 1);
	assert_int_equal(asked("10.0.0.0") + asked("10.0.0.255") + asked("10.0.0.1"), 0);
	answers("10.0.0.77");
	assert_found(0, LEARN_ARP, "10.0.0.77");
	tell(true, LEARN_ARP, "10.0.0.77");
	n = n_sent;
	pass(300000);
	assert_int_equal(n_sent, n);
	/* one that has another address than it had */
	begin_in("10.0.0.1/24", "10.0.0.5");
	pass(2000);
	answers("10.0.0.77");
	pass(1000);
	assert_found(0, LEARN_ARP, "10.0.0.77");
	/* one that has none: again and again, but seldom */
	begin_in("10.0.0.1/24", "");
	pass(600000);
	assert_true(n_sent >= 10 * 253 && n_sent <= 16 * 253);
	/* a network that is too large for it */
	begin_in("10.0.0.1/16", "");
	pass(100000);
	assert_int_equal(n_sent, 0);
	begin_in("10.0.0.0/31", "");
	pass(1500);
	assert_int_equal(n_sent, 1);
}

/* Its address has become another service's, and is forgotten: it may come to have another one, and is asked. */
static void test_forgotten(void **state)
{
	(void)state;
	begin_in("10.0.0.1/24", "10.0.0.5");
	pass(10);
	answers("10.0.0.5");
	pass(5000);
	assert_int_equal(n_found, 1);
	assert_true(n_sent < 10);
	tell(true, LEARN_ARP, "");
	pass(2000);
	assert_int_equal(asked("10.0.0.77"), 1);
	answers("10.0.0.77");
	assert_found(1, LEARN_ARP, "10.0.0.77");
}

/* Whatever a guest says: no more than one finding a second, and questions in bounds. */
static void test_a_liar(void **state)
{
	char text[ADDR_TEXT_MAX];

	(void)state;
	begin("");
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(text, sizeof(text), "10.0.%u.%u", 1 + i / 250, 1 + i % 250);
		speaks(text);
		pass(1);
	}
	assert_true(n_found >= 9 && n_found <= 11);
	begin("");
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(text, sizeof(text), "10.0.%u.%u", 1 + i / 250, 1 + i % 250);
		tell(false, LEARN_TRAFFIC, text);
		pass(5);
	}
	assert_int_equal(n_found, 0);
	assert_true(n_sent <= 2 * 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_arp_tells, end),
		cmocka_unit_test_teardown(test_what_does_not_tell, end),
		cmocka_unit_test_teardown(test_dhcp_is_asked, end),
		cmocka_unit_test_teardown(test_nobody_answers, end),
		cmocka_unit_test_teardown(test_known_is_seen, end),
		cmocka_unit_test_teardown(test_another_one, end),
		cmocka_unit_test_teardown(test_two_addresses, end),
		cmocka_unit_test_teardown(test_a_quiet_one, end),
		cmocka_unit_test_teardown(test_forgotten, end),
		cmocka_unit_test_teardown(test_a_liar, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
