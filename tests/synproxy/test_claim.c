#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "synproxy/claim.h"

/* One claim, with everything that it says noted down. */

static const struct mac_addr vm = { { 2, 0, 0, 0, 0, 0x10 } }, client = { { 2, 0, 0, 0, 0, 0xc1 } },
			     rival = { { 2, 0, 0, 0, 0, 0x66 } },
			     everyone = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } }, unknown,
			     all_nodes_mac = { { 0x33, 0x33, 0, 0, 0, 1 } };

enum { CHECK_MS = 3000 };

struct said {
	enum hold_what what;
	struct ip_addr addr;
	struct mac_addr mac;
	uint64_t t_ns;
};

static struct said said[64];
static unsigned n_said;
static struct {
	struct frame f;
	uint64_t t_ns;
} sent[4096];
static unsigned n_sent;
static uint64_t now;
static struct claim_pace pace;
static struct claim *c;

static void note_send(void *arg, const uint8_t *frame, size_t n)
{
	(void)arg;
	assert_true(n_sent < ARRAY_SIZE(sent));
	sent[n_sent].t_ns = now;
	frame_parse(frame, n, &sent[n_sent++].f);
}

static void note_event(void *arg, enum hold_what what, const struct ip_addr *addr, const struct mac_addr *mac,
		       uint64_t t_ns)
{
	(void)arg;
	assert_true(n_said < ARRAY_SIZE(said));
	said[n_said++] = (struct said){ what, *addr, *mac, t_ns };
}

static const struct claim_ops ops = { .send = note_send, .event = note_event };

static struct ip_addr ip(const char *text)
{
	struct ip_addr a;

	assert_int_equal(ip_parse(text, &a), 0);
	return a;
}

static struct msg_hold_service service(enum hold_stage stage)
{
	return (struct msg_hold_service){
		.svc = 3, .gen = 7, .name = "www", .mac = vm, .n_addrs = 1, .addrs = { ip("10.9.0.7") },
		.stage = (uint8_t)stage,
	};
}

static void forget(void) { n_said = n_sent = 0; }

static void begin_as(const struct msg_hold_service *conf, uint32_t check_ms)
{
	static struct msg_hold_service kept;

	kept = *conf;
	forget();
	now = 1000 * NS_PER_S;
	claim_pace_init(&pace, 1);
	c = claim_new(&kept, check_ms, &pace, &ops, NULL, now);
	assert_non_null(c);
}

static void begin(enum hold_stage stage)
{
	struct msg_hold_service conf = service(stage);

	begin_as(&conf, CHECK_MS);
}

static int end(void **state)
{
	(void)state;
	claim_free(c);
	c = NULL;
	return 0;
}

static void stage(enum hold_stage s) { claim_stage(c, s, false, now); }

/* As the loop would: called whenever it is due, until `ms` have passed. */
static void run_ms(uint64_t ms)
{
	uint64_t until = now + ms * NS_PER_MS, due;

	while ((due = claim_tick(c, now)) && due <= until)
		now = MAX(due, now + 1);
	now = until;
}

/* It is ours, quiet since long, and what went out for that is forgotten. */
static void begin_ours(enum hold_stage s)
{
	begin(HOLD_STAGE_SLEEP);
	run_ms(10000);
	stage(s);
	forget();
}

/* ---- what others say ---- */

static void hear(const uint8_t *frame, size_t n)
{
	struct frame f;

	frame_parse(frame, n, &f);
	claim_frame(c, &f, now);
}

static void arp(uint16_t op, const struct mac_addr *from_mac, const char *from, const char *to)
{
	struct ip_addr a = ip(from), b = ip(to);
	uint8_t out[FRAME_BUILT_MAX];

	hear(out, frame_arp(out, op, &everyone, from_mac, &a, &unknown, &b));
}

static void any_packet_from(const struct mac_addr *mac)
{
	struct frame f = { .kind = FRAME_IP, .eth_src = *mac, .src = ip("10.9.0.99"), .dst = ip("10.9.0.255") };

	claim_frame(c, &f, now);
}

static void expect_in_use(const char *addr, const struct mac_addr *mac)
{
	struct ip_addr a = ip(addr);

	assert_int_equal(n_said, 1);
	assert_int_equal(said[0].what, HOLD_IN_USE);
	assert_true(ip_equal(&said[0].addr, &a));
	assert_memory_equal(&said[0].mac, mac, sizeof(*mac));
	assert_int_equal(said[0].t_ns, now);
}

/* ---- is it free? ---- */

static void test_a_free_address(void **state)
{
	struct ip_addr zero = ip("0.0.0.0"), ours = ip("10.9.0.7");

	(void)state;
	begin(HOLD_STAGE_CHECK);
	run_ms(CHECK_MS - 1);
	assert_int_equal(n_said, 0);
	assert_int_equal(n_sent, CLAIM_PROBES);
	for (unsigned i = 0; i < n_sent; i++) { /* each in its part of the time */
		assert_true(frame_is_dad(&sent[i].f));
		assert_true(ip_equal(&sent[i].f.src, &zero));
		assert_true(ip_equal(&sent[i].f.dst, &ours));
		assert_memory_equal(&sent[i].f.hw, &vm, sizeof(vm));
		assert_memory_equal(&sent[i].f.eth_dst, &everyone, sizeof(vm));
		assert_in_range((sent[i].t_ns - 1000 * NS_PER_S) / NS_PER_MS, i * CHECK_MS / 4,
				(i + 1) * CHECK_MS / 4);
	}
	run_ms(1);
	assert_int_equal(n_said, 1);
	assert_int_equal(said[0].what, HOLD_FREE);
	assert_false(claim_is_ours(c)); /* not before the launcher has set the entry */
	arp(ARP_REQUEST, &client, "10.9.0.1", "10.9.0.7");
	assert_int_equal(n_sent, CLAIM_PROBES);
	stage(HOLD_STAGE_SLEEP);
	assert_true(claim_is_ours(c));
}

static void test_probes_are_at_random_times(void **state)
{
	uint64_t first;

	(void)state;
	begin(HOLD_STAGE_CHECK);
	run_ms(CHECK_MS);
	first = sent[0].t_ns;
	end(state);
	begin(HOLD_STAGE_CHECK);
	claim_free(c);
	claim_pace_init(&pace, 123456789);
	{
		static struct msg_hold_service conf;

		conf = service(HOLD_STAGE_CHECK);
		c = claim_new(&conf, CHECK_MS, &pace, &ops, NULL, now);
	}
	run_ms(CHECK_MS);
	assert_int_not_equal(sent[0].t_ns, first);
}

static void test_no_look_at_all(void **state)
{
	struct msg_hold_service conf = service(HOLD_STAGE_CHECK);

	(void)state;
	begin_as(&conf, 0);
	assert_int_equal(n_said, 1);
	assert_int_equal(said[0].what, HOLD_FREE);
	assert_int_equal(n_sent, 0);
}

static void say_it_is_mine(int how)
{
	struct ip_addr ours6 = ip("fd09::7"), other6 = ip("fd09::1");
	uint8_t out[FRAME_BUILT_MAX];

	switch (how) {
	case 0: arp(ARP_REPLY, &rival, "10.9.0.7", "0.0.0.0"); break; /* the answer to our probe */
	case 1: arp(ARP_REQUEST, &rival, "10.9.0.7", "10.9.0.1"); break; /* it works with it */
	case 2: arp(ARP_REQUEST, &rival, "10.9.0.7", "10.9.0.7"); break; /* announces it */
	case 3: arp(ARP_REQUEST, &rival, "0.0.0.0", "10.9.0.7"); break; /* looks whether it is free, too */
	case 4: hear(out, frame_advert(out, &vm, &other6, &rival, &ours6)); break;
	case 5: hear(out, frame_dad(out, &rival, &ours6)); break;
	case 6: hear(out, frame_solicit(out, &rival, &ours6, &other6)); break;
	}
}

static void test_an_address_in_use(void **state)
{
	struct msg_hold_service conf = service(HOLD_STAGE_CHECK);

	(void)state;
	conf.addrs[conf.n_addrs++] = ip("fd09::7");
	for (int how = 0; how < 7; how++) {
		begin_as(&conf, CHECK_MS);
		run_ms(1000);
		say_it_is_mine(how);
		expect_in_use(how < 4 ? "10.9.0.7" : "fd09::7", &rival);
		stage(HOLD_STAGE_CONFLICT);
		run_ms(CHECK_MS);
		assert_int_equal(n_said, 1);
		assert_int_equal(claim_conflicts(c), 1);
		end(state);
	}
}

/* The same machine was given to another host: same MAC, same address. */
static void test_a_twin(void **state)
{
	(void)state;
	begin(HOLD_STAGE_CHECK);
	any_packet_from(&vm);
	expect_in_use("10.9.0.7", &vm);
	end(state);
	begin(HOLD_STAGE_CHECK);
	arp(ARP_REQUEST, &vm, "0.0.0.0", "10.9.0.7");
	expect_in_use("10.9.0.7", &vm);
}

static void test_what_is_no_conflict(void **state)
{
	(void)state;
	begin(HOLD_STAGE_CHECK);
	arp(ARP_REQUEST, &client, "10.9.0.1", "10.9.0.7"); /* somebody looks for it */
	arp(ARP_REPLY, &client, "10.9.0.1", "10.9.0.2");
	arp(ARP_REQUEST, &client, "0.0.0.0", "10.9.0.2");
	any_packet_from(&client);
	run_ms(CHECK_MS);
	assert_int_equal(n_said, 1);
	assert_int_equal(said[0].what, HOLD_FREE);
}

/* The last word counts: between our word and the launcher's. */
static void test_in_use_after_free(void **state)
{
	(void)state;
	begin(HOLD_STAGE_CHECK);
	run_ms(CHECK_MS);
	n_said = 0;
	arp(ARP_REPLY, &rival, "10.9.0.7", "10.9.0.7");
	expect_in_use("10.9.0.7", &rival);
}

static void test_conflict_is_looked_at_again(void **state)
{
	(void)state;
	begin(HOLD_STAGE_CONFLICT);
	run_ms(CLAIM_RECHECK_LEAST_S * 1000 - 1);
	assert_int_equal(n_sent, 0);
	arp(ARP_REPLY, &rival, "10.9.0.7", "10.9.0.7"); /* known */
	run_ms((CLAIM_RECHECK_MOST_S - CLAIM_RECHECK_LEAST_S) * 1000 + 1 + CHECK_MS);
	assert_int_equal(n_sent, CLAIM_PROBES);
	assert_int_equal(n_said, 1);
	assert_int_equal(said[0].what, HOLD_FREE);
}

static void test_conflict_that_goes_on_is_not_told_again(void **state)
{
	unsigned looks = 0;

	(void)state;
	begin(HOLD_STAGE_CONFLICT);
	for (int i = 0; i < 6000; i++) {
		unsigned before = n_sent;

		run_ms(100);
		if (n_sent > before) {
			arp(ARP_REPLY, &rival, "10.9.0.7", "0.0.0.0");
			looks++;
		}
	}
	assert_in_range(looks, 600 / (CLAIM_RECHECK_MOST_S + 1), 600 / CLAIM_RECHECK_LEAST_S);
	assert_int_equal(n_said, 0);
	stage(HOLD_STAGE_CONFLICT); /* said again: nothing begins anew */
	assert_int_equal(n_said, 0);
}

/* With no look wanted, a conflict is still not over at once. */
static void test_conflict_without_a_look(void **state)
{
	struct msg_hold_service conf = service(HOLD_STAGE_CONFLICT);

	(void)state;
	begin_as(&conf, 0);
	for (int i = 0; i < 700 && n_said == 0; i++)
		run_ms(100);
	assert_int_equal(n_sent, CLAIM_PROBES);
	assert_int_equal(said[0].what, HOLD_FREE);
}

/* ---- ours ---- */

static void test_questions_are_answered(void **state)
{
	static const enum hold_stage stages[] = {
		HOLD_STAGE_SLEEP, HOLD_STAGE_FROZEN, HOLD_STAGE_BOOT, HOLD_STAGE_UP,
		HOLD_STAGE_DRAIN, HOLD_STAGE_STOP,   HOLD_STAGE_FAILED,
	};
	struct ip_addr ours = ip("10.9.0.7"), asker = ip("10.9.0.1");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
		begin_ours(stages[i]);
		arp(ARP_REQUEST, &client, "10.9.0.1", "10.9.0.7");
		assert_int_equal(n_sent, 1);
		assert_int_equal(sent[0].f.kind, FRAME_ARP);
		assert_int_equal(sent[0].f.arp_op, ARP_REPLY);
		assert_memory_equal(&sent[0].f.eth_src, &vm, sizeof(vm));
		assert_memory_equal(&sent[0].f.eth_dst, &client, sizeof(vm));
		assert_memory_equal(&sent[0].f.hw, &vm, sizeof(vm));
		assert_true(ip_equal(&sent[0].f.src, &ours));
		assert_true(ip_equal(&sent[0].f.dst, &asker));
		arp(ARP_REQUEST, &client, "10.9.0.1", "10.9.0.8"); /* not ours */
		arp(ARP_REPLY, &client, "10.9.0.1", "10.9.0.7"); /* no question */
		assert_int_equal(n_sent, 1);
		assert_int_equal(claim_answered(c), 1);
		assert_int_equal(n_said, 0);
		end(state);
	}
}

static void test_solicitations_are_answered(void **state)
{
	struct msg_hold_service conf = service(HOLD_STAGE_SLEEP);
	struct ip_addr ours = ip("fd09::7"), asker = ip("fe80::1");
	uint8_t out[FRAME_BUILT_MAX];

	(void)state;
	conf.addrs[conf.n_addrs++] = ours;
	begin_as(&conf, CHECK_MS);
	run_ms(10000);
	forget();
	hear(out, frame_solicit(out, &client, &asker, &ours));
	assert_int_equal(n_sent, 1);
	assert_int_equal(sent[0].f.kind, FRAME_ADVERT);
	assert_memory_equal(&sent[0].f.eth_dst, &client, sizeof(vm));
	assert_memory_equal(&sent[0].f.hw, &vm, sizeof(vm));
	assert_true(ip_equal(&sent[0].f.target, &ours));
	assert_true(ip_equal(&sent[0].f.dst, &asker));
	hear(out, frame_dad(out, &rival, &ours));
	assert_int_equal(n_sent, 2);
	assert_memory_equal(&sent[1].f.eth_dst, &all_nodes_mac, sizeof(vm));
	assert_int_equal(n_said, 0);
}

static void test_nothing_is_answered_otherwise(void **state)
{
	static const enum hold_stage stages[] = { HOLD_STAGE_NONE, HOLD_STAGE_CHECK, HOLD_STAGE_CONFLICT };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
		begin(stages[i]);
		arp(ARP_REQUEST, &client, "10.9.0.1", "10.9.0.7");
		assert_int_equal(n_sent, 0);
		assert_false(claim_is_ours(c));
		end(state);
	}
	begin_ours(HOLD_STAGE_BOOT);
	claim_stage(c, HOLD_STAGE_UP, true, now); /* handed over */
	arp(ARP_REQUEST, &client, "10.9.0.1", "10.9.0.7");
	arp(ARP_REPLY, &rival, "10.9.0.7", "10.9.0.1"); /* the VM's own business */
	assert_int_equal(n_sent, 0);
	assert_int_equal(n_said, 0);
	claim_stage(c, HOLD_STAGE_DRAIN, false, now);
	arp(ARP_REQUEST, &client, "10.9.0.1", "10.9.0.7");
	assert_int_equal(n_sent, 1);
}

/* Who looks whether the address is free may have our very MAC: only everyone hears the answer. */
static void test_another_hosts_dad_is_answered_to_all(void **state)
{
	(void)state;
	begin_ours(HOLD_STAGE_SLEEP);
	arp(ARP_REQUEST, &rival, "0.0.0.0", "10.9.0.7");
	arp(ARP_REQUEST, &vm, "0.0.0.0", "10.9.0.7");
	assert_int_equal(n_sent, 2);
	for (unsigned i = 0; i < n_sent; i++) {
		assert_memory_equal(&sent[i].f.eth_dst, &everyone, sizeof(vm));
		assert_int_equal(sent[i].f.arp_op, ARP_REPLY);
	}
	assert_int_equal(n_said, 0); /* and is no conflict */
}

static void test_the_vms_own_dad_is_not_answered(void **state)
{
	static const enum hold_stage stages[] = { HOLD_STAGE_BOOT, HOLD_STAGE_UP, HOLD_STAGE_DRAIN, HOLD_STAGE_STOP };
	struct ip_addr ours6 = ip("fd09::7");
	struct msg_hold_service conf = service(HOLD_STAGE_SLEEP);
	uint8_t out[FRAME_BUILT_MAX];

	(void)state;
	conf.addrs[conf.n_addrs++] = ours6;
	for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
		begin_as(&conf, CHECK_MS);
		run_ms(10000);
		stage(stages[i]);
		forget();
		arp(ARP_REQUEST, &vm, "0.0.0.0", "10.9.0.7");
		hear(out, frame_dad(out, &vm, &ours6));
		arp(ARP_REQUEST, &vm, "10.9.0.7", "10.9.0.7"); /* and it announces itself */
		arp(ARP_REQUEST, &vm, "10.9.0.7", "10.9.0.1");
		any_packet_from(&vm);
		assert_int_equal(n_sent, 0);
		assert_int_equal(n_said, 0);
		arp(ARP_REQUEST, &rival, "0.0.0.0", "10.9.0.7"); /* another's is */
		assert_int_equal(n_sent, 1);
		end(state);
	}
}

/* ---- rivals ---- */

static void test_a_rival_gets_it(void **state)
{
	(void)state;
	begin_ours(HOLD_STAGE_SLEEP);
	arp(ARP_REPLY, &rival, "10.9.0.7", "10.9.0.1");
	expect_in_use("10.9.0.7", &rival);
	assert_int_equal(n_sent, 0);
	assert_false(claim_is_ours(c)); /* at once, and not when the launcher has heard it */
	arp(ARP_REQUEST, &client, "10.9.0.1", "10.9.0.7");
	assert_int_equal(n_sent, 0);
	stage(HOLD_STAGE_CONFLICT);
	run_ms(5000);
	assert_int_equal(n_said, 1);
	assert_int_equal(n_sent, 0);
}

/* The launcher knows better: that was the service's own VM. */
static void test_not_yielding_after_all(void **state)
{
	(void)state;
	begin_ours(HOLD_STAGE_SLEEP);
	any_packet_from(&vm);
	expect_in_use("10.9.0.7", &vm);
	run_ms(2000);
	assert_true(claim_is_ours(c));
	forget();
	arp(ARP_REQUEST, &client, "10.9.0.1", "10.9.0.7");
	assert_int_equal(n_sent, 1);
}

static void test_the_vms_mac_elsewhere(void **state)
{
	static const enum hold_stage stages[] = { HOLD_STAGE_SLEEP, HOLD_STAGE_FROZEN, HOLD_STAGE_FAILED };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
		begin_ours(HOLD_STAGE_UP);
		stage(stages[i]);
		any_packet_from(&vm); /* its last words */
		run_ms(CLAIM_GONE_S * 1000 - 1);
		any_packet_from(&vm);
		assert_int_equal(n_said, 0);
		run_ms(1);
		any_packet_from(&vm);
		expect_in_use("10.9.0.7", &vm);
		end(state);
	}
}

static void test_defence(void **state)
{
	struct msg_hold_service conf = service(HOLD_STAGE_SLEEP);

	(void)state;
	conf.defend = true;
	begin_as(&conf, CHECK_MS);
	run_ms(10000);
	forget();
	for (int i = 0; i < 100; i++) {
		arp(ARP_REPLY, &rival, "10.9.0.7", "10.9.0.1");
		run_ms(99);
	}
	assert_int_equal(n_sent, 1); /* RFC 5227, 2.4 (b): no more than one, lest two fight for ever */
	assert_true(frame_is_announcement(&sent[0].f));
	assert_int_equal(n_said, 1);
	assert_int_equal(claim_conflicts(c), 100);
	assert_true(claim_is_ours(c));
	run_ms(200);
	arp(ARP_REPLY, &rival, "10.9.0.7", "10.9.0.1");
	assert_int_equal(n_sent, 2);
}

/* A VM that runs keeps its address, and defends it by itself. */
static void test_a_rival_of_a_vm(void **state)
{
	(void)state;
	begin_ours(HOLD_STAGE_BOOT);
	for (int i = 0; i < 20; i++) {
		arp(ARP_REPLY, &rival, "10.9.0.7", "10.9.0.1");
		run_ms(100);
	}
	assert_int_equal(n_said, 1);
	assert_int_equal(said[0].what, HOLD_IN_USE);
	assert_int_equal(n_sent, 0);
	assert_true(claim_is_ours(c));
}

/* ---- announcements ---- */

static void test_a_claim_is_announced(void **state)
{
	(void)state;
	begin(HOLD_STAGE_SLEEP);
	run_ms(1000);
	assert_int_equal(n_sent, 1);
	assert_true(frame_is_announcement(&sent[0].f));
	assert_memory_equal(&sent[0].f.hw, &vm, sizeof(vm));
	run_ms(2000);
	assert_int_equal(n_sent, 2); /* RFC 5227, 2.3: twice */
	run_ms(CLAIM_ANNOUNCE_S * 1000 - 3000);
	assert_int_equal(n_sent, 2);
	run_ms(20 * 1000);
	assert_int_equal(n_sent, 3);
	run_ms(10 * 135 * 1000);
	assert_in_range(n_sent, 3 + 9, 3 + 12);
	stage(HOLD_STAGE_BOOT); /* the VM would take it for a conflict */
	forget();
	run_ms(300 * 1000);
	assert_int_equal(n_sent, 0);
}

static void test_announced_again_when_asked(void **state)
{
	(void)state;
	begin_ours(HOLD_STAGE_SLEEP);
	claim_announce(c, now);
	run_ms(1);
	assert_int_equal(n_sent, 1);
	stage(HOLD_STAGE_NONE);
	claim_announce(c, now);
	run_ms(1000);
	assert_int_equal(n_sent, 1);
}

/* Those that wait for others do not all look whenever one of them may go. */
static void test_each_has_its_turn(void **state)
{
	struct msg_hold_service conf = service(HOLD_STAGE_SLEEP);
	struct claim *many[1000];
	uint64_t due[ARRAY_SIZE(many)], begun;
	unsigned ticks = 0;

	(void)state;
	begin(HOLD_STAGE_NONE);
	begun = now;
	for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
		many[i] = claim_new(&conf, CHECK_MS, &pace, &ops, NULL, now);
		due[i] = claim_tick(many[i], now);
	}
	while (n_sent < 1000 && now < begun + 10 * NS_PER_S) {
		now += NS_PER_MS;
		for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
			if (due[i] > now)
				continue;
			due[i] = claim_tick(many[i], now);
			ticks++;
		}
	}
	assert_in_range(n_sent, 1000, 1100);
	assert_in_range(ticks, 900, 4000);
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		claim_free(many[i]);
}

/* A host with hundreds of services does not shout them all at once. */
static void test_pace(void **state)
{
	struct msg_hold_service conf = service(HOLD_STAGE_SLEEP);
	struct claim *many[200];
	uint64_t due = 0;

	(void)state;
	begin(HOLD_STAGE_NONE);
	for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
		many[i] = claim_new(&conf, CHECK_MS, &pace, &ops, NULL, now);
		due = claim_tick(many[i], now);
	}
	assert_in_range(n_sent, 1, 40);
	assert_true(due > now && due < now + NS_PER_S);
	for (int ms = 0; ms < 500; ms++) {
		now += NS_PER_MS;
		for (size_t i = 0; i < ARRAY_SIZE(many); i++)
			claim_tick(many[i], now);
	}
	assert_in_range(n_sent, 200, 300);
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		claim_free(many[i]);
}

static void test_other_addresses(void **state)
{
	struct msg_hold_service conf = service(HOLD_STAGE_SLEEP), other = conf;

	(void)state;
	begin_ours(HOLD_STAGE_SLEEP);
	claim_conf(c, &conf, CHECK_MS, now); /* nothing is new */
	run_ms(1);
	assert_int_equal(n_sent, 0);
	other.addrs[0] = ip("10.9.0.8");
	claim_conf(c, &other, CHECK_MS, now);
	run_ms(1);
	assert_int_equal(n_sent, 1); /* announced */
	arp(ARP_REQUEST, &client, "10.9.0.1", "10.9.0.7");
	assert_int_equal(n_sent, 1);
	arp(ARP_REQUEST, &client, "10.9.0.1", "10.9.0.8");
	assert_int_equal(n_sent, 2);
}

#define CLAIMING(test) cmocka_unit_test_teardown(test, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIMING(test_a_free_address),
		CLAIMING(test_probes_are_at_random_times),
		CLAIMING(test_no_look_at_all),
		CLAIMING(test_an_address_in_use),
		CLAIMING(test_a_twin),
		CLAIMING(test_what_is_no_conflict),
		CLAIMING(test_in_use_after_free),
		CLAIMING(test_conflict_is_looked_at_again),
		CLAIMING(test_conflict_that_goes_on_is_not_told_again),
		CLAIMING(test_conflict_without_a_look),
		CLAIMING(test_questions_are_answered),
		CLAIMING(test_solicitations_are_answered),
		CLAIMING(test_nothing_is_answered_otherwise),
		CLAIMING(test_another_hosts_dad_is_answered_to_all),
		CLAIMING(test_the_vms_own_dad_is_not_answered),
		CLAIMING(test_a_rival_gets_it),
		CLAIMING(test_not_yielding_after_all),
		CLAIMING(test_the_vms_mac_elsewhere),
		CLAIMING(test_defence),
		CLAIMING(test_a_rival_of_a_vm),
		CLAIMING(test_a_claim_is_announced),
		CLAIMING(test_announced_again_when_asked),
		CLAIMING(test_each_has_its_turn),
		CLAIMING(test_pace),
		CLAIMING(test_other_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
