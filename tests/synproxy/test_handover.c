#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "synproxy/handover.h"
#include "tests/synproxy/packets.h"

/* One service, with a true table of held packets, and everything that it says noted down. */

static const struct mac_addr vm = { { 2, 0, 0, 0, 0, 0x10 } }, client_mac = { { 2, 0, 0, 0, 0, 0xc1 } };

enum { SVC = 3, GEN = 7, MAX_HOLD_MS = 15000, NOTES_MAX = 8192 };

static struct frame to_tap[NOTES_MAX], to_port[NOTES_MAX];
static unsigned n_tap, n_port;
static struct msg_wake wakes[NOTES_MAX];
static unsigned n_wakes;
static struct msg_hold_event events[NOTES_MAX];
static unsigned n_events;
static uint16_t wanted[256];
static unsigned n_wanted, n_left;
static bool port_takes, can_ask, launcher_hears;
static uint64_t now;
static int memory = -1;
static struct handover_shared shared;
static struct handover *h;
static struct msg_hold_service conf;

/* ---- what it says ---- */

static void note_tap(void *arg, const uint8_t *frame, size_t n)
{
	(void)arg;
	assert_true(n_tap < NOTES_MAX);
	frame_parse(frame, n, &to_tap[n_tap++]);
}

static bool note_port(void *arg, const uint8_t *frame, size_t n)
{
	(void)arg;
	assert_true(n_port < NOTES_MAX);
	if (port_takes)
		frame_parse(frame, n, &to_port[n_port++]);
	return port_takes;
}

static bool note_wanted(void *arg, uint16_t port)
{
	(void)arg;
	assert_true(n_wanted < ARRAY_SIZE(wanted));
	wanted[n_wanted++] = port;
	return can_ask;
}

static void note_left(void *arg)
{
	(void)arg;
	n_left++;
}

static bool note_wake(void *arg, const struct msg_wake *m)
{
	(void)arg;
	assert_true(n_wakes < NOTES_MAX);
	assert_int_equal(m->svc, SVC);
	assert_int_equal(m->gen, GEN);
	assert_int_equal(m->token, 0);
	if (launcher_hears)
		wakes[n_wakes++] = *m;
	return launcher_hears;
}

static void note_event(void *arg, const struct msg_hold_event *m)
{
	(void)arg;
	assert_true(n_events < NOTES_MAX);
	assert_int_equal(m->svc, SVC);
	assert_int_equal(m->gen, GEN);
	assert_int_equal(m->t_ns, now);
	events[n_events++] = *m;
}

static const struct handover_ops ops = {
	.to_tap = note_tap,
	.to_port = note_port,
	.want_port = note_wanted,
	.leave_port = note_left,
	.wake = note_wake,
	.event = note_event,
};

static void forget(void) { n_tap = n_port = n_wakes = n_events = n_wanted = n_left = 0; }

static unsigned count_events(enum hold_what what)
{
	unsigned n = 0;

	for (unsigned i = 0; i < n_events; i++)
		n += events[i].what == what;
	return n;
}

static const struct msg_hold_event *last_event(enum hold_what what)
{
	for (unsigned i = n_events; i-- > 0;) {
		if (events[i].what == what)
			return &events[i];
	}
	fail_msg("there was no event %d", what);
	return NULL;
}

/* ---- time ---- */

static uint64_t tick(void) { return handover_tick(h, now); }

/* As the loop would: called whenever it is due, but no more than once in a millisecond. */
static void run_ms(uint64_t ms)
{
	uint64_t until = now + ms * NS_PER_MS, due;

	while ((due = tick()) && due <= until)
		now = MAX(due, now + NS_PER_MS);
	now = MAX(now, until);
}

/* ---- begin and end ---- */

static struct ip_addr ip(const char *text)
{
	struct ip_addr a;

	assert_int_equal(ip_parse(text, &a), 0);
	return a;
}

static struct ip_addr client(unsigned i)
{
	return (struct ip_addr){ { [10] = 0xff, 0xff, 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i } };
}

static struct msg_hold_service service(enum hold_stage stage)
{
	return (struct msg_hold_service){
		.svc = SVC,
		.gen = GEN,
		.name = "www",
		.mac = vm,
		.n_addrs = 1,
		.addrs = { ip("10.9.0.7") },
		.n_ports = 1,
		.ports = { { 80 } },
		.stage = (uint8_t)stage,
		.wakes = true,
		.hold_udp = 4,
		.max_hold_ms = MAX_HOLD_MS,
	};
}

static int begin(void **state)
{
	(void)state;
	forget();
	port_takes = can_ask = launcher_hears = true;
	now = 1000 * NS_PER_S;
	conf = service(HOLD_STAGE_SLEEP);
	memory = hold_memory_create();
	handover_shared_init(&shared, hold_open(memory));
	assert_non_null(shared.table);
	hold_limits(shared.table, 20000, 20000);
	return 0;
}

static int end(void **state)
{
	(void)state;
	handover_free(h);
	h = NULL;
	hold_close(shared.table);
	fd_close(&memory);
	return 0;
}

static void start_conf(void)
{
	h = handover_new(&conf, &shared, &ops, NULL, now);
	assert_non_null(h);
}

static void start(enum hold_stage stage)
{
	conf.stage = (uint8_t)stage;
	start_conf();
}

static void stage(enum hold_stage s)
{
	handover_stage(h, s, now);
	tick();
}

/* Its process was killed: another one finds the same memory. */
static void restart(enum hold_stage stage, bool at_vm);

static uint32_t everything_is_ours(void *arg, const struct ip_addr *addr)
{
	(void)arg;
	(void)addr;
	return SVC;
}

static void restart(enum hold_stage s, bool at_vm)
{
	handover_free(h);
	hold_close(shared.table);
	handover_shared_init(&shared, hold_open(memory));
	hold_assign(shared.table, everything_is_ours, NULL);
	hold_limits(shared.table, 20000, 20000);
	conf.at_vm = at_vm;
	start(s);
	handover_again(h, now);
	tick();
}

/* ---- what clients send ---- */

static void hear(const uint8_t *bytes, size_t n)
{
	struct frame f;

	frame_parse(bytes, n, &f);
	handover_frame(h, bytes, n, &f, now);
}

static void tcp_from(unsigned from, uint16_t from_port, uint16_t port, uint8_t flags)
{
	struct tcp_segment s = {
		.eth_dst = vm, .eth_src = client_mac, .src = client(from), .dst = conf.addrs[0],
		.src_port = from_port, .dst_port = port, .seq = 1000 + from, .ack = 77, .flags = flags,
		.window = 1024,
	};
	uint8_t out[FRAME_BUILT_MAX];

	hear(out, frame_tcp(out, &s));
}

static void syn_from(unsigned from, uint16_t port) { tcp_from(from, 40000, port, TCP_SYN); }

static void segment_from(unsigned from, uint16_t port) { tcp_from(from, 40000, port, TCP_ACK); }

static void udp_from(unsigned from, uint16_t port, uint8_t fill)
{
	struct ip_addr a = client(from);
	uint8_t out[PACKET_MAX];

	hear(out, packet_udp(out, &vm, &client_mac, &a, 5000, &conf.addrs[0], port, fill, 100));
}

static void ping_from(unsigned from)
{
	struct ip_addr a = client(from);
	uint8_t out[PACKET_MAX];

	hear(out, packet_ping(out, &vm, &client_mac, &a, &conf.addrs[0]));
}

static void other_from(unsigned from)
{
	struct ip_addr a = client(from);
	uint8_t out[PACKET_MAX] = { 0 };

	hear(out, packet_ip4(out, &vm, &client_mac, 47, &a, &conf.addrs[0], 20));
}

/* ---- what the VM does ---- */

static void port_comes(void) { handover_port(h, NULL, 0, false, now); }

static void vm_says(enum probe_what what, uint16_t port)
{
	handover_probe(h, what, port, now);
	tick();
}

static void moved(void)
{
	handover_moved(h, now);
	tick();
}

static uint32_t held(void) { return hold_count(shared.table, SVC); }

static struct msg_hold_counts counts(void)
{
	struct msg_hold_counts m;

	handover_counts(h, &m);
	return m;
}

static void expect_reset(const struct frame *f, unsigned to, uint16_t from_port, uint8_t flags)
{
	struct ip_addr a = client(to);

	assert_int_equal(f->kind, FRAME_TCP);
	assert_int_equal(f->tcp_flags, flags);
	assert_true(ip_equal(&f->dst, &a));
	assert_true(ip_equal(&f->src, &conf.addrs[0]));
	assert_int_equal(f->src_port, from_port);
	assert_int_equal(f->dst_port, 40000);
	assert_memory_equal(&f->eth_src, &vm, sizeof(vm));
	assert_memory_equal(&f->eth_dst, &client_mac, sizeof(vm));
	if (flags & TCP_ACK)
		assert_int_equal(f->ack, 1000 + to + 1); /* RFC 9293, 3.10.7.1 */
	else
		assert_int_equal(f->seq, 77);
}

static void expect_wake(unsigned i, enum wake_cause cause, unsigned from, uint16_t port)
{
	struct ip_addr a = client(from);

	assert_true(i < n_wakes);
	assert_int_equal(wakes[i].cause, cause);
	assert_true(ip_equal(&wakes[i].client, &a));
	assert_int_equal(wakes[i].port, port);
}

/* ---- asleep ---- */

static void test_a_syn_is_held_and_wakes(void **state)
{
	(void)state;
	start(HOLD_STAGE_SLEEP);
	syn_from(1, 80);
	assert_int_equal(held(), 1);
	assert_int_equal(n_wakes, 1);
	expect_wake(0, CAUSE_SYN, 1, 80);
	assert_int_equal(wakes[0].client_port, 40000);
	assert_int_equal(wakes[0].t_ns, now);
	assert_int_equal(n_events, 1);
	assert_int_equal(events[0].what, HOLD_FIRST);
	assert_int_equal(n_tap, 0); /* the client hears nothing */
	now += NS_PER_S;
	syn_from(1, 80); /* its retransmission wakes again: nobody may have heard the first */
	assert_int_equal(held(), 1);
	assert_int_equal(n_wakes, 2);
	syn_from(2, 4242); /* whatever the port */
	assert_int_equal(held(), 2);
	assert_int_equal(count_events(HOLD_FIRST), 1);
	assert_int_equal(counts().syns, 3);
	assert_int_equal(counts().parked, 2);
	assert_int_equal(counts().held, 2);
}

static void test_who_waits_in_which_stage(void **state)
{
	static const struct {
		enum hold_stage stage;
		bool held, wakes;
	} rows[] = {
		{ HOLD_STAGE_NONE, false, false },     { HOLD_STAGE_CHECK, false, false },
		{ HOLD_STAGE_CONFLICT, false, false }, { HOLD_STAGE_SLEEP, true, true },
		{ HOLD_STAGE_FROZEN, true, true },     { HOLD_STAGE_BOOT, true, false },
		{ HOLD_STAGE_UP, true, false },	       { HOLD_STAGE_DRAIN, true, true },
		{ HOLD_STAGE_STOP, true, true },       { HOLD_STAGE_FAILED, true, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		start(rows[i].stage);
		syn_from(1, 80);
		assert_int_equal(held(), rows[i].held);
		assert_int_equal(n_wakes, rows[i].wakes);
		assert_int_equal(n_tap + n_port, 0);
		end(state);
		begin(state);
	}
}

static void test_strays_get_a_reset(void **state)
{
	static const enum hold_stage stages[] = { HOLD_STAGE_SLEEP, HOLD_STAGE_BOOT, HOLD_STAGE_FAILED };

	for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
		start(HOLD_STAGE_SLEEP);
		stage(stages[i]);
		segment_from(1, 80);
		assert_int_equal(n_tap, 1);
		expect_reset(&to_tap[0], 1, 80, TCP_RST);
		tcp_from(1, 40000, 80, TCP_RST | TCP_ACK); /* never to a RST */
		tcp_from(1, 40000, 80, TCP_RST);
		assert_int_equal(n_tap, 1);
		tcp_from(2, 40000, 80, TCP_FIN); /* without ACK: RST and ACK */
		assert_int_equal(n_tap, 2);
		expect_reset(&to_tap[1], 2, 80, TCP_RST | TCP_ACK);
		tcp_from(3, 40000, 80, TCP_SYN | TCP_ACK); /* an answer is no SYN */
		expect_reset(&to_tap[2], 3, 80, TCP_RST);
		assert_int_equal(held(), 0);
		assert_int_equal(n_wakes, 0);
		assert_int_equal(counts().strays, 3);
		end(state);
		begin(state);
	}
}

static void test_resets_of_strays_are_limited(void **state)
{
	(void)state;
	start(HOLD_STAGE_SLEEP);
	for (unsigned i = 0; i < 5000; i++)
		segment_from(i, 80);
	assert_int_equal(n_tap, HANDOVER_ANSWERS_PER_S);
	now += 100 * NS_PER_MS;
	for (unsigned i = 0; i < 5000; i++)
		segment_from(i, 80);
	assert_int_equal(n_tap, HANDOVER_ANSWERS_PER_S + HANDOVER_ANSWERS_PER_S / 10);
}

static void test_what_is_dropped(void **state)
{
	uint8_t out[PACKET_MAX];
	struct ip_addr a = client(1);
	size_t n;

	(void)state;
	start(HOLD_STAGE_SLEEP);
	other_from(1);
	n = packet_udp(out, &vm, &client_mac, &a, 5000, &conf.addrs[0], 53, 'x', 100);
	out[20] = 0x20; /* more fragments follow */
	out[24] = out[25] = 0;
	packet_put16(out + 24, frame_fold(frame_sum(out + 14, 20, 0)));
	hear(out, n);
	ping_from(1);
	assert_int_equal(held(), 0);
	assert_int_equal(n_wakes + n_tap + n_events, 0);
}

/* ---- datagrams and pings ---- */

static void test_datagrams_are_held(void **state)
{
	(void)state;
	start(HOLD_STAGE_SLEEP);
	for (uint8_t i = 0; i < 6; i++)
		udp_from(1, 53, i);
	assert_int_equal(held(), 4); /* of a flow: the first ones */
	udp_from(2, 53, 0);
	assert_int_equal(held(), 5);
	assert_true(n_wakes >= 2);
	expect_wake(0, CAUSE_UDP, 1, 53);
	assert_int_equal(counts().datagrams, 5);
	assert_int_equal(counts().dropped, 2);
}

static void test_no_datagrams(void **state)
{
	(void)state;
	conf.hold_udp = 0;
	start(HOLD_STAGE_SLEEP);
	udp_from(1, 53, 0);
	assert_int_equal(held() + n_wakes, 0);
}

static void test_pings(void **state)
{
	(void)state;
	conf.ping = PING_ANSWER;
	start(HOLD_STAGE_SLEEP);
	ping_from(1);
	assert_int_equal(n_tap, 1);
	assert_int_equal(n_wakes, 0);
	assert_true(ip_equal(&to_tap[0].src, &conf.addrs[0]));
	assert_memory_equal(&to_tap[0].eth_src, &vm, sizeof(vm));
	for (unsigned i = 0; i < 5000; i++)
		ping_from(1);
	assert_int_equal(n_tap, HANDOVER_ANSWERS_PER_S);
	end(state);
	begin(state);
	conf.ping = PING_WAKE;
	start(HOLD_STAGE_SLEEP);
	ping_from(1);
	assert_int_equal(n_tap, 0);
	expect_wake(0, CAUSE_PING, 1, 0);
	stage(HOLD_STAGE_BOOT);
	forget();
	ping_from(1);
	assert_int_equal(n_wakes + n_tap, 0);
}

static void test_wake_on_lan(void **state)
{
	static const struct ip_addr nobody;

	(void)state;
	conf.wakes = false; /* it always may */
	start(HOLD_STAGE_SLEEP);
	syn_from(1, 80);
	udp_from(1, 53, 0);
	assert_int_equal(n_wakes, 0);
	assert_int_equal(held(), 2); /* but they are held: something else may wake it */
	handover_wol(h, &nobody, now);
	assert_int_equal(n_wakes, 1);
	assert_int_equal(wakes[0].cause, CAUSE_WOL);
	stage(HOLD_STAGE_BOOT);
	handover_wol(h, &nobody, now);
	assert_int_equal(n_wakes, 1);
}

/* ---- wakes ---- */

static void test_wakes_are_limited_and_none_is_forgotten(void **state)
{
	(void)state;
	start(HOLD_STAGE_SLEEP);
	for (unsigned i = 0; i < 100; i++)
		syn_from(i, 80);
	assert_int_equal(n_wakes, HANDOVER_WAKE_BURST);
	assert_int_equal(tick(), now + NS_PER_S / HANDOVER_WAKES_PER_S);
	run_ms(1000 / HANDOVER_WAKES_PER_S);
	assert_int_equal(n_wakes, HANDOVER_WAKE_BURST + 1);
	expect_wake(HANDOVER_WAKE_BURST, CAUSE_SYN, 99, 80); /* the newest */
	run_ms(1000);
	assert_int_equal(n_wakes, HANDOVER_WAKE_BURST + 1); /* and that was all */
}

static void test_a_client_that_came_again_goes_before(void **state)
{
	(void)state;
	start(HOLD_STAGE_SLEEP);
	syn_from(500, 80);
	for (unsigned i = 0; i < 100; i++)
		syn_from(i, 80);
	syn_from(500, 80);
	for (unsigned i = 100; i < 200; i++)
		syn_from(i, 80);
	run_ms(20);
	expect_wake(HANDOVER_WAKE_BURST, CAUSE_SYN, 500, 80);
}

static void test_a_flood_wakes_at_a_rate(void **state)
{
	(void)state;
	start(HOLD_STAGE_SLEEP);
	for (unsigned i = 0; i < 10000; i++) {
		syn_from(i, 80);
		if (i % 10 == 0) {
			now += NS_PER_MS;
			tick();
		}
	}
	assert_in_range(n_wakes, HANDOVER_WAKES_PER_S, HANDOVER_WAKES_PER_S + HANDOVER_WAKE_BURST);
}

static void test_all_services_share_a_rate(void **state)
{
	(void)state;
	start(HOLD_STAGE_SLEEP);
	bucket_take(&shared.wakes, now, HANDOVER_ALL_WAKE_BURST);
	syn_from(1, 80);
	assert_int_equal(n_wakes, 0);
	run_ms(1);
	assert_int_equal(n_wakes, 1);
}

/* The launcher is away: wakes wait for the next one. */
static void test_wakes_wait_for_a_launcher(void **state)
{
	(void)state;
	start(HOLD_STAGE_SLEEP);
	launcher_hears = false;
	syn_from(1, 80);
	syn_from(2, 80);
	assert_int_equal(held(), 2);
	assert_true(tick() > now + NS_PER_S); /* and it does not try all the time */
	launcher_hears = true;
	handover_again(h, now);
	tick();
	assert_int_equal(n_wakes, 1);
	assert_int_equal(wakes[0].cause, CAUSE_SYN);
}

static void test_held_packets_wake_again_after_a_restart(void **state)
{
	(void)state;
	start(HOLD_STAGE_SLEEP);
	syn_from(1, 80);
	forget();
	restart(HOLD_STAGE_SLEEP, false);
	assert_int_equal(held(), 1);
	assert_int_equal(n_wakes, 1);
	expect_wake(0, CAUSE_SYN, 1, 80);
	forget();
	restart(HOLD_STAGE_BOOT, false); /* it is on its way */
	assert_int_equal(n_wakes, 0);
}

static void test_what_came_during_a_boot_that_was_ended_wakes(void **state)
{
	(void)state;
	start(HOLD_STAGE_BOOT);
	syn_from(1, 80);
	assert_int_equal(n_wakes, 0);
	stage(HOLD_STAGE_SLEEP);
	assert_int_equal(n_wakes, 1);
}

/* ---- the end of waiting ---- */

static void test_held_too_long(void **state)
{
	(void)state;
	start(HOLD_STAGE_SLEEP);
	syn_from(1, 80);
	now += (MAX_HOLD_MS - 1000) * NS_PER_MS;
	syn_from(1, 80); /* since its first SYN: the last one does not count */
	udp_from(3, 53, 0);
	run_ms(999);
	assert_int_equal(n_tap, 0);
	run_ms(1);
	run_ms(1);
	assert_int_equal(n_tap, 1);
	expect_reset(&to_tap[0], 1, 80, TCP_RST | TCP_ACK);
	assert_int_equal(held(), 1);
	run_ms(MAX_HOLD_MS);
	assert_int_equal(n_tap, 1); /* a datagram goes in silence */
	assert_int_equal(held(), 0);
	assert_int_equal(counts().expired, 2);
	assert_int_equal(tick(), 0);
}

static void test_expiring_is_paced(void **state)
{
	(void)state;
	start(HOLD_STAGE_SLEEP);
	for (unsigned i = 0; i < 2000; i++)
		syn_from(i, 80);
	now += MAX_HOLD_MS * NS_PER_MS;
	tick();
	assert_int_equal(n_tap, HANDOVER_BURST);
	run_ms((2000 - HANDOVER_BURST) / HANDOVER_PER_MS + 2);
	assert_int_equal(n_tap, 2000);
	assert_int_equal(held(), 0);
}

static void test_the_launcher_refuses_a_client(void **state)
{
	struct ip_addr one = client(1), two = client(2);

	(void)state;
	start(HOLD_STAGE_SLEEP);
	syn_from(1, 80);
	syn_from(1, 81);
	syn_from(2, 80);
	syn_from(3, 80);
	handover_drop(h, &one, true, now);
	assert_int_equal(n_tap, 2);
	assert_int_equal(held(), 2);
	handover_drop(h, &two, false, now);
	assert_int_equal(n_tap, 2);
	assert_int_equal(held(), 1);
	assert_int_equal(counts().refused, 2);
	assert_int_equal(counts().dropped, 1);
}

/* One of those who are held speaks for all; when that one may not, the next one does. */
static void test_another_speaks_for_those_who_are_held(void **state)
{
	struct ip_addr one = client(1), two = client(2), three = client(3);

	(void)state;
	start(HOLD_STAGE_BOOT);
	for (unsigned i = 1; i <= 3; i++, now++)
		syn_from(i, 80);
	stage(HOLD_STAGE_SLEEP);
	assert_int_equal(n_wakes, 1);
	expect_wake(0, CAUSE_SYN, 1, 80);
	handover_drop(h, &one, false, now);
	assert_int_equal(n_wakes, 2);
	expect_wake(1, CAUSE_SYN, 2, 80);
	handover_drop(h, &two, true, now);
	assert_int_equal(n_wakes, 3);
	expect_wake(2, CAUSE_SYN, 3, 80);
	handover_drop(h, &three, true, now);
	run_ms(1000);
	assert_int_equal(n_wakes, 3);
	stage(HOLD_STAGE_BOOT);
	syn_from(1, 80);
	syn_from(2, 80);
	handover_drop(h, &one, true, now); /* it is on its way */
	assert_int_equal(n_wakes, 3);
}

static void test_the_start_failed(void **state)
{
	(void)state;
	start(HOLD_STAGE_BOOT);
	for (unsigned i = 0; i < 500; i++)
		syn_from(i, 80);
	udp_from(1, 53, 0);
	now += NS_PER_MS;
	stage(HOLD_STAGE_FAILED);
	now += NS_PER_MS;
	syn_from(1000, 80); /* a new try: it is for the launcher to say whether it is too soon */
	run_ms(100);
	assert_int_equal(n_tap, 500);
	expect_reset(&to_tap[0], 0, 80, TCP_RST | TCP_ACK);
	assert_int_equal(counts().refused, 501);
	assert_int_equal(held(), 1);
	expect_wake(n_wakes - 1, CAUSE_SYN, 1000, 80);
	stage(HOLD_STAGE_FAILED); /* again */
	run_ms(100);
	assert_int_equal(held(), 0);
}

/* The record is told again, by a snapshot or since it has changed: nothing has failed again. */
static void test_a_failed_start_is_told_once(void **state)
{
	static const enum hold_stage stages[] = { HOLD_STAGE_SLEEP, HOLD_STAGE_FAILED };

	for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
		start(HOLD_STAGE_BOOT);
		for (unsigned c = 0; c < 500; c++)
			syn_from(c, 80);
		now += NS_PER_MS;
		stage(HOLD_STAGE_FAILED);
		assert_int_equal(n_tap, HANDOVER_BURST);
		now += NS_PER_MS;
		syn_from(1000, 80);
		conf.stage = (uint8_t)stages[i];
		handover_conf(h, &conf, now);
		run_ms(100);
		assert_int_equal(n_tap, 500); /* those who waited when it failed, and nobody else */
		assert_int_equal(held(), 1);
		conf.stage = HOLD_STAGE_BOOT;
		handover_conf(h, &conf, now);
		stage(HOLD_STAGE_FAILED);
		run_ms(100);
		assert_int_equal(held(), 0);
		end(state);
		begin(state);
	}
}

static void test_not_held_any_more(void **state)
{
	static const enum hold_stage stages[] = { HOLD_STAGE_NONE, HOLD_STAGE_CONFLICT };

	for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
		start(HOLD_STAGE_SLEEP);
		for (unsigned c = 0; c < 6000; c++)
			syn_from(c, 80);
		forget();
		stage(stages[i]);
		run_ms(10);
		assert_int_equal(held(), 0);
		assert_int_equal(n_tap, 0); /* it is not our address: not a word */
		end(state);
		begin(state);
	}
}

static void test_without_memory_nothing_is_held(void **state)
{
	(void)state;
	hold_close(shared.table);
	shared.table = NULL;
	start(HOLD_STAGE_SLEEP);
	syn_from(1, 80);
	udp_from(1, 53, 0);
	assert_int_equal(n_wakes, 2); /* but its retransmission is served */
	assert_int_equal(counts().dropped, 2);
	stage(HOLD_STAGE_BOOT);
	port_comes();
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_PORT, 80);
	assert_int_equal(count_events(HOLD_MOVE), 1);
	moved();
	syn_from(1, 80);
	assert_int_equal(n_port, 1);
	stage(HOLD_STAGE_UP);
	run_ms(20000);
	assert_int_equal(count_events(HOLD_DONE), 1);
}

/* ---- the hand-over of one port ---- */

static void test_one_port(void **state)
{
	(void)state;
	start(HOLD_STAGE_SLEEP);
	syn_from(1, 80);
	stage(HOLD_STAGE_BOOT);
	syn_from(2, 80);
	forget();
	port_comes();
	assert_int_equal(n_wanted, 1);
	assert_int_equal(wanted[0], 80);
	run_ms(100);
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_REFUSED, 80);
	run_ms(100);
	assert_int_equal(n_events + n_port + n_tap, 0);
	vm_says(PROBE_PORT, 80);
	assert_int_equal(n_events, 1);
	assert_int_equal(events[0].what, HOLD_MOVE);
	assert_int_equal(n_port, 0); /* not before the entry has moved */
	assert_false(handover_at_vm(h));
	moved();
	assert_true(handover_at_vm(h));
	assert_int_equal(n_port, 2);
	assert_int_equal(to_port[0].tcp_flags, TCP_SYN);
	assert_int_equal(to_port[0].seq, 1001);
	assert_int_equal(last_event(HOLD_RELEASED)->n, 2);
	assert_int_equal(counts().released, 2);
	stage(HOLD_STAGE_UP);
	run_ms(HANDOVER_QUIET_S * 1000 - 1);
	assert_int_equal(count_events(HOLD_DONE), 0);
	run_ms(1);
	assert_int_equal(count_events(HOLD_DONE), 1);
	assert_int_equal(n_left, 1);
	assert_int_equal(n_tap, 0);
	assert_int_equal(tick(), 0);
}

static void test_ready_before_the_stage(void **state)
{
	struct msg_port asked = { 80 };

	(void)state;
	start(HOLD_STAGE_SLEEP);
	syn_from(1, 80);
	handover_port(h, &asked, 1, true, now); /* the port may come before the stage */
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_PORT, 80);
	assert_int_equal(count_events(HOLD_MOVE), 0);
	stage(HOLD_STAGE_BOOT);
	assert_int_equal(count_events(HOLD_MOVE), 1);
}

static void up_and_handed_over(void)
{
	start(HOLD_STAGE_BOOT);
	port_comes();
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_PORT, 80);
	moved();
	stage(HOLD_STAGE_UP);
	run_ms(3000);
	assert_int_equal(count_events(HOLD_DONE), 1);
	forget();
}

static void test_stragglers(void **state)
{
	(void)state;
	start(HOLD_STAGE_BOOT);
	port_comes();
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_PORT, 80);
	moved();
	stage(HOLD_STAGE_UP);
	run_ms(1500);
	syn_from(1, 80);
	segment_from(2, 80);
	udp_from(3, 53, 0);
	ping_from(4);
	other_from(5);
	assert_int_equal(n_port, 5);
	assert_int_equal(held(), 0);
	run_ms(1900);
	assert_int_equal(count_events(HOLD_DONE), 0); /* quiet since less than 2 s */
	run_ms(200);
	assert_int_equal(count_events(HOLD_DONE), 1);
}

/* Packets come to the tap again, and nobody has said why yet. */
static void over_and_packets_come(void)
{
	up_and_handed_over();
	syn_from(1, 80);
	segment_from(2, 80);
	udp_from(3, 53, 0);
	ping_from(4);
	other_from(5);
	assert_int_equal(held(), 3);
	assert_int_equal(n_port + n_tap + n_wakes, 0);
	assert_int_equal(count_events(HOLD_FIRST), 0);
}

static void test_when_it_is_over_packets_wait_for_the_port(void **state)
{
	(void)state;
	over_and_packets_come();
	tick();
	assert_int_equal(count_events(HOLD_WANT_PORT), 1);
	port_comes();
	tick();
	assert_int_equal(n_port, 3);
	assert_int_equal(held(), 0);
	run_ms(HANDOVER_QUIET_S * 1000);
	assert_int_equal(count_events(HOLD_DONE), 1);
}

static void test_when_it_is_over_packets_wait_for_the_stage(void **state)
{
	(void)state;
	over_and_packets_come();
	stage(HOLD_STAGE_DRAIN);
	assert_int_equal(n_wakes, 1);
	expect_wake(0, CAUSE_SYN, 1, 80);
	assert_int_equal(held(), 3);
	port_comes();
	tick();
	assert_int_equal(n_port, 2); /* what may belong to a connection */
	assert_int_equal(to_port[0].tcp_flags, TCP_ACK);
	assert_int_equal(to_port[1].kind, FRAME_UDP);
	assert_int_equal(held(), 1);
	end(state);
	begin(state);
	over_and_packets_come();
	stage(HOLD_STAGE_SLEEP); /* it went by itself */
	assert_int_equal(n_wakes, 1);
	expect_wake(0, CAUSE_SYN, 1, 80);
}

/* In DRAIN a connection that lives wakes; where the VM is gone it does not. */
static void test_a_held_segment_speaks_for_a_vm_that_is_there(void **state)
{
	(void)state;
	up_and_handed_over();
	segment_from(2, 80);
	stage(HOLD_STAGE_DRAIN);
	expect_wake(0, CAUSE_SYN, 2, 80);
	end(state);
	begin(state);
	up_and_handed_over();
	segment_from(2, 80);
	assert_int_equal(held(), 1);
	stage(HOLD_STAGE_SLEEP);
	assert_int_equal(n_wakes, 0);
	udp_from(3, 53, 0);
	forget();
	handover_again(h, now);
	assert_int_equal(n_wakes, 1);
	expect_wake(0, CAUSE_UDP, 3, 53);
}

/* In BOOT it may still fail: the port is kept until the VM is ready, and as long as readiness asks. */
static void test_done_only_when_up_and_ready(void **state)
{
	struct msg_port asked = { 22 };

	(void)state;
	start(HOLD_STAGE_BOOT);
	handover_port(h, &asked, 1, true, now);
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_PORT, 22);
	assert_int_equal(count_events(HOLD_MOVE), 0); /* what readiness asks for is waited for, too */
	vm_says(PROBE_PORT, 80);
	moved();
	run_ms(10000);
	assert_int_equal(count_events(HOLD_DONE), 0);
	vm_says(PROBE_DONE, 0);
	run_ms(10000);
	assert_int_equal(count_events(HOLD_DONE), 0);
	stage(HOLD_STAGE_UP);
	assert_int_equal(count_events(HOLD_DONE), 1);
}

/* It is ready by a delay: what has not answered until then need not. */
static void test_done_though_something_never_answers(void **state)
{
	(void)state;
	start(HOLD_STAGE_BOOT);
	handover_port(h, NULL, 0, true, now);
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_PORT, 80);
	moved();
	stage(HOLD_STAGE_UP);
	run_ms(HANDOVER_QUIET_S * 1000);
	assert_int_equal(count_events(HOLD_DONE), 1);
	assert_int_equal(n_left, 1);
}

static void test_move_is_asked_for_until_answered(void **state)
{
	(void)state;
	start(HOLD_STAGE_BOOT);
	syn_from(1, 80);
	port_comes();
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_PORT, 80);
	run_ms(500);
	assert_int_equal(count_events(HOLD_MOVE), 1);
	run_ms(600);
	assert_int_equal(count_events(HOLD_MOVE), 2);
	handover_again(h, now); /* a new launcher */
	tick();
	assert_int_equal(count_events(HOLD_MOVE), 3);
	assert_int_equal(held(), 1);
}

static void test_moved_too_late(void **state)
{
	(void)state;
	start(HOLD_STAGE_BOOT);
	syn_from(1, 80);
	port_comes();
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_PORT, 80);
	handover_stage(h, HOLD_STAGE_SLEEP, now);
	moved();
	assert_false(handover_at_vm(h));
	assert_int_equal(n_port, 0);
	assert_int_equal(held(), 1);
}

static void test_a_silent_port_counts_as_open(void **state)
{
	(void)state;
	start(HOLD_STAGE_BOOT);
	syn_from(1, 80);
	port_comes();
	vm_says(PROBE_LINK, 0);
	run_ms(200);
	vm_says(PROBE_SILENT, 80);
	assert_int_equal(count_events(HOLD_MOVE), 1);
}

/* A bridge without an address: the VM cannot be asked, and its first word must do. */
static void test_a_port_that_cannot_be_asked(void **state)
{
	(void)state;
	can_ask = false;
	start(HOLD_STAGE_BOOT);
	syn_from(1, 80);
	port_comes();
	run_ms(1000);
	assert_int_equal(count_events(HOLD_MOVE), 0);
	vm_says(PROBE_LINK, 0);
	assert_int_equal(count_events(HOLD_MOVE), 1);
	end(state);
	begin(state);
	can_ask = false;
	start(HOLD_STAGE_BOOT);
	syn_from(1, 80);
	port_comes();
	stage(HOLD_STAGE_UP);
	assert_int_equal(count_events(HOLD_MOVE), 1);
}

static void test_nothing_held_and_nothing_configured(void **state)
{
	(void)state;
	conf.n_ports = 0;
	start(HOLD_STAGE_BOOT);
	port_comes();
	run_ms(100);
	assert_int_equal(count_events(HOLD_MOVE), 0);
	vm_says(PROBE_LINK, 0);
	assert_int_equal(count_events(HOLD_MOVE), 1);
	end(state);
	begin(state);
	conf.n_ports = 0;
	start(HOLD_STAGE_BOOT);
	port_comes();
	stage(HOLD_STAGE_UP);
	assert_int_equal(count_events(HOLD_MOVE), 1);
}

static void test_a_port_that_is_not_configured(void **state)
{
	(void)state;
	conf.n_ports = 0;
	start(HOLD_STAGE_SLEEP);
	syn_from(1, 2222);
	stage(HOLD_STAGE_BOOT);
	port_comes();
	assert_int_equal(n_wanted, 1);
	assert_int_equal(wanted[0], 2222);
	vm_says(PROBE_LINK, 0);
	assert_int_equal(count_events(HOLD_MOVE), 0);
	vm_says(PROBE_PORT, 2222);
	assert_int_equal(count_events(HOLD_MOVE), 1);
}

/* ---- several ports ---- */

static void two_ports(void)
{
	conf.ports[conf.n_ports++].port = 443;
	start(HOLD_STAGE_SLEEP);
	syn_from(1, 80);
	syn_from(2, 443);
	stage(HOLD_STAGE_BOOT);
	port_comes();
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_REFUSED, 80);
	vm_says(PROBE_REFUSED, 443);
	forget();
}

static void test_each_port_in_its_time(void **state)
{
	(void)state;
	two_ports();
	vm_says(PROBE_PORT, 80);
	assert_int_equal(n_port, 1); /* at once, by way of us */
	assert_int_equal(to_port[0].dst_port, 80);
	assert_int_equal(count_events(HOLD_MOVE), 0);
	syn_from(3, 80); /* open: passed on */
	segment_from(1, 80);
	ping_from(1);
	other_from(1);
	assert_int_equal(n_port, 5);
	syn_from(2, 443); /* closed: parked, for the VM would refuse it */
	syn_from(4, 443);
	syn_from(5, 8080);
	assert_int_equal(n_port, 5);
	assert_int_equal(held(), 3);
	assert_int_equal(wanted[n_wanted - 1], 8080);
	run_ms(1000);
	vm_says(PROBE_PORT, 443);
	assert_int_equal(n_port, 7);
	assert_int_equal(count_events(HOLD_MOVE), 0); /* 8080 is not settled yet */
	vm_says(PROBE_PORT, 8080);
	assert_int_equal(count_events(HOLD_MOVE), 1);
	assert_int_equal(n_tap, 0);
	moved();
	assert_int_equal(n_port, 8);
	assert_int_equal(held(), 0);
}

static void test_a_port_that_never_opens(void **state)
{
	(void)state;
	two_ports();
	vm_says(PROBE_PORT, 80);
	run_ms(HANDOVER_REFUSED_S * 1000 - 1);
	assert_int_equal(n_tap, 0);
	run_ms(2);
	assert_int_equal(n_tap, 1);
	expect_reset(&to_tap[0], 2, 443, TCP_RST | TCP_ACK);
	assert_int_equal(last_event(HOLD_REFUSED)->port, 443);
	assert_int_equal(last_event(HOLD_REFUSED)->n, 1);
	assert_int_equal(count_events(HOLD_MOVE), 1);
	assert_int_equal(counts().refused, 1);
	syn_from(6, 443);
	tick();
	assert_int_equal(n_tap, 2);
	moved();
	assert_int_equal(held(), 0);
}

/* A scanner asks for a port that happens to open early, long before the service itself is there. */
static void test_a_port_nobody_configured_that_opens_first(void **state)
{
	(void)state;
	start(HOLD_STAGE_SLEEP);
	syn_from(1, 80);
	syn_from(2, 22);
	syn_from(3, 443);
	stage(HOLD_STAGE_BOOT);
	port_comes();
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_REFUSED, 80);
	vm_says(PROBE_REFUSED, 443);
	vm_says(PROBE_PORT, 22);
	assert_int_equal(n_port, 1); /* it gets its own */
	run_ms(HANDOVER_REFUSED_S * 1000 + 10);
	assert_int_equal(n_tap, 1); /* of others that nobody configured it says something */
	expect_reset(&to_tap[0], 3, 443, TCP_RST | TCP_ACK);
	run_ms(2000);
	assert_int_equal(count_events(HOLD_MOVE), 0);
	vm_says(PROBE_PORT, 80);
	assert_int_equal(count_events(HOLD_MOVE), 1);
	moved();
	assert_int_equal(n_port, 2);
	assert_int_equal(n_tap, 1);
}

/* The first that opens is configured only afterwards. */
static void test_an_open_port_is_configured(void **state)
{
	(void)state;
	start(HOLD_STAGE_BOOT);
	syn_from(1, 80);
	syn_from(2, 443);
	port_comes();
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_REFUSED, 80);
	vm_says(PROBE_PORT, 443);
	run_ms(10000);
	assert_int_equal(n_tap, 0);
	conf.stage = HOLD_STAGE_BOOT;
	conf.ports[conf.n_ports++].port = 443;
	handover_conf(h, &conf, now);
	tick();
	run_ms(HANDOVER_REFUSED_S * 1000 + 1);
	assert_int_equal(n_tap, 1);
	expect_reset(&to_tap[0], 1, 80, TCP_RST | TCP_ACK);
}

static void test_it_opens_at_the_last_moment(void **state)
{
	(void)state;
	two_ports();
	vm_says(PROBE_PORT, 80);
	run_ms(HANDOVER_REFUSED_S * 1000 - 10);
	vm_says(PROBE_PORT, 443);
	assert_int_equal(count_events(HOLD_MOVE), 1);
	run_ms(100);
	assert_int_equal(n_tap, 0);
	moved();
	assert_int_equal(n_port, 2);
}

/* A port that has neither opened nor refused is not known to be closed. */
static void test_no_answer_is_no_refusal(void **state)
{
	(void)state;
	conf.ports[conf.n_ports++].port = 443;
	start(HOLD_STAGE_BOOT);
	syn_from(2, 443);
	port_comes();
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_PORT, 80);
	run_ms(10000);
	tick();
	assert_int_equal(n_tap, 0);
	assert_int_equal(count_events(HOLD_MOVE), 0);
	assert_int_equal(held(), 1);
}

static void test_a_port_nobody_configured_that_stays_closed(void **state)
{
	(void)state;
	conf.n_ports = 0;
	start(HOLD_STAGE_BOOT);
	syn_from(1, 2222);
	port_comes();
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_REFUSED, 2222);
	run_ms(5000);
	assert_int_equal(n_tap, 0); /* the VM boots still */
	stage(HOLD_STAGE_UP);
	run_ms(HANDOVER_REFUSED_S * 1000 - 1);
	assert_int_equal(n_tap, 0);
	run_ms(2);
	assert_int_equal(n_tap, 1);
	assert_int_equal(count_events(HOLD_MOVE), 1);
}

/* UP by ARP or a delay, with a configured port that is not open: its clients have waited long enough
 * when all who came before have. */
static void test_a_configured_port_that_never_opens(void **state)
{
	(void)state;
	start(HOLD_STAGE_BOOT);
	port_comes();
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_REFUSED, 80);
	stage(HOLD_STAGE_UP);
	segment_from(1, 80);
	udp_from(1, 53, 0);
	assert_int_equal(n_port, 2); /* the rest of the VM is served */
	run_ms(5000);
	syn_from(2, 80);
	run_ms(MAX_HOLD_MS - 5001);
	assert_int_equal(count_events(HOLD_MOVE), 0);
	run_ms(2);
	assert_int_equal(count_events(HOLD_MOVE), 1);
	assert_int_equal(n_tap, 1);
}

static void test_more_ports_than_are_asked(void **state)
{
	(void)state;
	start(HOLD_STAGE_SLEEP);
	for (uint16_t i = 0; i < 200; i++)
		syn_from(i, (uint16_t)(1000 + i));
	assert_int_equal(held(), HOLD_PORTS_MAX);
	stage(HOLD_STAGE_BOOT);
	port_comes();
	assert_int_equal(n_wanted, HOLD_PORTS_MAX + 1);
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_PORT, 80);
	for (uint16_t i = 0; i < 200; i++)
		vm_says(PROBE_REFUSED, (uint16_t)(1000 + i));
	run_ms(HANDOVER_REFUSED_S * 1000 + 10);
	assert_int_equal(n_tap, HOLD_PORTS_MAX);
	assert_int_equal(count_events(HOLD_MOVE), 1);
}

/* ---- release ---- */

static void test_release_is_paced(void **state)
{
	(void)state;
	start(HOLD_STAGE_BOOT);
	for (unsigned i = 0; i < 1000; i++)
		syn_from(i, 80);
	now += NS_PER_S;
	syn_from(900, 80); /* a real client */
	port_comes();
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_PORT, 80);
	moved();
	assert_int_equal(n_port, HANDOVER_BURST);
	assert_int_equal(to_port[0].seq, 1900);
	assert_int_equal(to_port[1].seq, 1000);
	run_ms(1);
	tick();
	assert_int_equal(n_port, HANDOVER_BURST + HANDOVER_PER_MS);
	syn_from(2000, 80); /* behind those that wait */
	run_ms(20);
	assert_int_equal(n_port, 1001);
	assert_int_equal(to_port[1000].seq, 3000);
	assert_int_equal(count_events(HOLD_RELEASED), 2); /* the first, and the rest */
	assert_int_equal(events[n_events - 1].n, 1001 - HANDOVER_BURST);
	assert_int_equal(held(), 0);
}

static void test_what_the_port_does_not_take_stays(void **state)
{
	(void)state;
	start(HOLD_STAGE_BOOT);
	udp_from(9, 53, 0);
	for (unsigned i = 0; i < 10; i++)
		syn_from(i, 80);
	port_comes();
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_PORT, 80);
	port_takes = false;
	moved();
	run_ms(100);
	assert_int_equal(held(), 11);
	assert_int_equal(count_events(HOLD_RELEASED), 0);
	syn_from(20, 80);
	segment_from(1, 80);
	port_takes = true;
	run_ms(2);
	assert_int_equal(held(), 0);
	assert_int_equal(n_port, 13);
	assert_int_equal(count_events(HOLD_RELEASED), 1);
	run_ms(10000);
	assert_int_equal(n_port, 13);
}

static void test_datagrams_go_in_order(void **state)
{
	(void)state;
	start(HOLD_STAGE_SLEEP);
	udp_from(1, 53, 1);
	udp_from(1, 53, 2);
	syn_from(1, 80);
	udp_from(2, 53, 3);
	stage(HOLD_STAGE_BOOT);
	port_comes();
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_PORT, 80);
	udp_from(2, 53, 4);
	moved();
	udp_from(2, 53, 5);
	tick();
	assert_int_equal(n_port, 6);
	assert_int_equal(to_port[0].kind, FRAME_UDP);
	assert_int_equal(to_port[3].kind, FRAME_UDP);
	assert_int_equal(to_port[4].kind, FRAME_TCP);
	assert_int_equal(to_port[5].kind, FRAME_UDP);
}

/* With the first port that opens; and when the VM is up without any. */
static void test_datagrams_go_with_the_first(void **state)
{
	(void)state;
	two_ports();
	udp_from(1, 53, 1);
	assert_int_equal(n_port, 0);
	vm_says(PROBE_PORT, 443);
	assert_int_equal(n_port, 2);
	assert_int_equal(to_port[0].kind, FRAME_UDP);
	udp_from(1, 53, 2);
	assert_int_equal(n_port, 3);
	end(state);
	begin(state);
	two_ports();
	udp_from(1, 53, 1);
	stage(HOLD_STAGE_UP);
	assert_int_equal(n_port, 1);
}

/* ---- a paused VM ---- */

static void test_a_paused_vms_connections_live(void **state)
{
	(void)state;
	start(HOLD_STAGE_FROZEN);
	segment_from(1, 80);
	assert_int_equal(n_tap, 0);
	assert_int_equal(held(), 1);
	expect_wake(0, CAUSE_SYN, 1, 80);
	stage(HOLD_STAGE_BOOT);
	segment_from(1, 80);
	segment_from(2, 22);
	syn_from(3, 80);
	assert_int_equal(n_tap, 0);
	assert_int_equal(held(), 4);
	port_comes();
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_PORT, 80);
	moved();
	assert_int_equal(n_port, 4);
	for (int i = 0; i < 3; i++)
		assert_int_equal(to_port[i].tcp_flags, TCP_ACK);
	assert_int_equal(to_port[3].tcp_flags, TCP_SYN);
}

/* Too late for a client; but its connection lives, in a VM that is paused. */
static void test_segments_of_a_paused_vm_expire_in_silence(void **state)
{
	static const enum hold_stage stages[] = { HOLD_STAGE_FROZEN, HOLD_STAGE_BOOT, HOLD_STAGE_UP };
	struct ip_addr one = client(1);

	for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
		start(HOLD_STAGE_FROZEN);
		segment_from(1, 80);
		segment_from(2, 80);
		syn_from(3, 80);
		for (size_t k = 1; k <= i; k++)
			stage(stages[k]);
		handover_drop(h, &one, true, now);
		assert_int_equal(n_tap, 0);
		assert_int_equal(held(), 2);
		run_ms(MAX_HOLD_MS + 10);
		assert_int_equal(held(), 0);
		assert_int_equal(n_tap, 1);
		expect_reset(&to_tap[0], 3, 80, TCP_RST | TCP_ACK);
		end(state);
		begin(state);
	}
	start(HOLD_STAGE_FROZEN);
	segment_from(1, 80);
	stage(HOLD_STAGE_SLEEP); /* it is gone, and its connections with it */
	run_ms(MAX_HOLD_MS + 10);
	assert_int_equal(n_tap, 1);
	expect_reset(&to_tap[0], 1, 80, TCP_RST);
}

static void test_segments_of_one_flow_are_limited(void **state)
{
	(void)state;
	start(HOLD_STAGE_FROZEN);
	for (int i = 0; i < 100; i++)
		segment_from(1, 80);
	assert_int_equal(held(), HANDOVER_STRAYS_PER_FLOW);
}

static void test_a_resume_that_failed(void **state)
{
	(void)state;
	start(HOLD_STAGE_FROZEN);
	stage(HOLD_STAGE_BOOT);
	stage(HOLD_STAGE_FAILED);
	stage(HOLD_STAGE_BOOT); /* of another VM: it knows no old connections */
	segment_from(1, 80);
	assert_int_equal(n_tap, 1);
}

/* ---- draining and stopping ---- */

static void test_draining(void **state)
{
	(void)state;
	up_and_handed_over();
	port_comes(); /* the entry is at the tap again */
	stage(HOLD_STAGE_DRAIN);
	segment_from(1, 80);
	assert_int_equal(n_port, 1); /* its connections go on, and everything wakes */
	expect_wake(0, CAUSE_SYN, 1, 80);
	udp_from(2, 53, 0);
	ping_from(3);
	other_from(4);
	assert_int_equal(n_port, 4);
	assert_int_equal(n_wakes, 4);
	expect_wake(1, CAUSE_UDP, 2, 53);
	syn_from(5, 80); /* but it may not be there any more for a new one */
	assert_int_equal(n_port, 4);
	assert_int_equal(held(), 1);
	expect_wake(4, CAUSE_SYN, 5, 80);
	assert_int_equal(n_tap, 0);
	vm_says(PROBE_LINK, 0);
	assert_int_equal(n_wanted, 0); /* questions for ports would look like traffic to the launcher */
	stage(HOLD_STAGE_UP); /* it stays */
	assert_int_equal(n_wanted, 1);
	assert_int_equal(count_events(HOLD_MOVE), 0);
	vm_says(PROBE_PORT, 80);
	assert_int_equal(count_events(HOLD_MOVE), 1);
	moved();
	assert_int_equal(n_port, 5);
	assert_int_equal(to_port[4].tcp_flags, TCP_SYN);
}

/* Nothing from the wire wakes it; but it is there, and whoever comes now keeps it. */
static void test_draining_a_vm_that_packets_do_not_wake(void **state)
{
	(void)state;
	conf.wakes = false;
	up_and_handed_over();
	port_comes();
	stage(HOLD_STAGE_DRAIN);
	segment_from(1, 80);
	syn_from(2, 80);
	assert_int_equal(n_port, 1);
	assert_int_equal(n_wakes, 2);
	expect_wake(1, CAUSE_SYN, 2, 80);
	for (unsigned i = 3; i < 3 + HANDOVER_WAKE_BURST; i++)
		syn_from(i, 80);
	assert_int_equal(n_wakes, HANDOVER_WAKE_BURST);
	conf.stage = HOLD_STAGE_DRAIN;
	handover_conf(h, &conf, now); /* the same again: the one that is due is not forgotten */
	run_ms(1000 / HANDOVER_WAKES_PER_S);
	assert_int_equal(n_wakes, HANDOVER_WAKE_BURST + 1);
	syn_from(99, 80);
	stage(HOLD_STAGE_STOP); /* it goes nevertheless: now they do not wake */
	run_ms(1000);
	assert_int_equal(n_wakes, HANDOVER_WAKE_BURST + 1);
}

/* Others may use up all that wakes there are: a VM that is about to stop cannot wait for its turn. */
static void test_draining_while_others_wake(void **state)
{
	(void)state;
	up_and_handed_over();
	port_comes();
	stage(HOLD_STAGE_DRAIN);
	bucket_take(&shared.wakes, now, HANDOVER_ALL_WAKE_BURST);
	for (unsigned i = 0; i < 100; i++)
		syn_from(i, 80);
	assert_int_equal(n_wakes, HANDOVER_WAKE_BURST);
	assert_int_equal(tick(), now + NS_PER_S / HANDOVER_WAKES_PER_S);
	assert_int_equal(bucket_level(&shared.wakes, now), 0);
}

static void test_stopping(void **state)
{
	(void)state;
	up_and_handed_over();
	port_comes();
	stage(HOLD_STAGE_DRAIN);
	stage(HOLD_STAGE_STOP);
	assert_int_equal(n_left, 0); /* a connection may end in an orderly way */
	segment_from(1, 80);
	assert_int_equal(n_port, 1);
	assert_int_equal(n_wakes, 0);
	syn_from(2, 80);
	udp_from(3, 53, 0);
	assert_int_equal(held(), 2);
	assert_int_equal(n_wakes, 2);
	handover_port_gone(h);
	segment_from(1, 80);
	assert_int_equal(n_tap, 0); /* it may be suspended: not a word */
	stage(HOLD_STAGE_SLEEP);
	segment_from(1, 80);
	assert_int_equal(n_tap, 1);
	assert_int_equal(held(), 2);
	assert_int_equal(n_wakes, 2); /* those who wait have said so */
}

static void test_the_port_is_left_when_the_vm_is_gone(void **state)
{
	(void)state;
	up_and_handed_over();
	port_comes();
	stage(HOLD_STAGE_STOP);
	assert_int_equal(n_left, 0);
	stage(HOLD_STAGE_SLEEP);
	assert_int_equal(n_left, 1);
	port_comes();
	stage(HOLD_STAGE_BOOT); /* that is the new one */
	assert_int_equal(n_left, 1);
	stage(HOLD_STAGE_FAILED);
	assert_int_equal(n_left, 2);
}

/* The port was deleted, and is made again. */
static void test_a_vm_that_lost_its_port(void **state)
{
	(void)state;
	up_and_handed_over();
	stage(HOLD_STAGE_BOOT);
	assert_false(handover_at_vm(h));
	syn_from(1, 80);
	segment_from(2, 80);
	assert_int_equal(held(), 1);
	assert_int_equal(n_tap, 0); /* its connections live */
	port_comes();
	stage(HOLD_STAGE_UP);
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_PORT, 80);
	assert_int_equal(count_events(HOLD_MOVE), 1);
	moved();
	assert_int_equal(n_port, 1);
}

/* ---- restarts ---- */

static void test_killed_before_the_release(void **state)
{
	(void)state;
	start(HOLD_STAGE_SLEEP);
	syn_from(1, 80);
	stage(HOLD_STAGE_BOOT);
	syn_from(2, 80);
	forget();
	restart(HOLD_STAGE_BOOT, false);
	segment_from(3, 80); /* part of the ports may have been handed over */
	assert_int_equal(n_tap, 0);
	port_comes();
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_REFUSED, 80);
	segment_from(3, 80); /* the VM would say the same */
	assert_int_equal(n_tap, 1);
	vm_says(PROBE_PORT, 80);
	assert_int_equal(count_events(HOLD_MOVE), 1);
	moved();
	assert_int_equal(n_port, 2);
}

static void test_killed_after_the_move(void **state)
{
	(void)state;
	start(HOLD_STAGE_BOOT);
	syn_from(1, 80);
	forget();
	restart(HOLD_STAGE_UP, true);
	assert_int_equal(count_events(HOLD_WANT_PORT), 1);
	run_ms(500);
	assert_int_equal(count_events(HOLD_WANT_PORT), 1);
	run_ms(600);
	assert_int_equal(count_events(HOLD_WANT_PORT), 2);
	syn_from(2, 80); /* it was in the tap's queue */
	port_comes();
	tick();
	assert_int_equal(n_port, 2);
	assert_int_equal(n_wanted, 0); /* nothing is waited for */
	run_ms(3000);
	assert_int_equal(count_events(HOLD_DONE), 1);
}

static void test_started_when_all_is_handed_over(void **state)
{
	(void)state;
	conf.at_vm = true;
	start(HOLD_STAGE_UP);
	run_ms(5000);
	assert_int_equal(n_events, 0);
	ping_from(1);
	assert_int_equal(held() + n_tap + n_port, 0);
	assert_int_equal(tick(), 0);
}

/* What is held for a VM that has the entry, and whose port never comes: no RST into a connection that
 * the client's retransmission has made meanwhile. */
static void test_expiring_at_the_vm_is_silent(void **state)
{
	(void)state;
	start(HOLD_STAGE_BOOT);
	syn_from(1, 80);
	restart(HOLD_STAGE_UP, true);
	run_ms(MAX_HOLD_MS + 10);
	assert_int_equal(held(), 0);
	assert_int_equal(n_tap, 0);
}

/* Asked anew whether it is ready: what was known of it does not count. */
static void test_probing_begins_anew(void **state)
{
	(void)state;
	start(HOLD_STAGE_BOOT);
	port_comes();
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_PORT, 80);
	moved();
	handover_port_gone(h);
	syn_from(1, 80);
	handover_port(h, NULL, 0, true, now);
	assert_false(handover_at_vm(h));
	tick();
	assert_int_equal(n_port, 0);
	vm_says(PROBE_LINK, 0);
	vm_says(PROBE_PORT, 80);
	moved();
	assert_int_equal(n_port, 1);
}

/* ---- another record ---- */

static void test_another_record(void **state)
{
	(void)state;
	start(HOLD_STAGE_BOOT);
	syn_from(1, 80);
	port_comes();
	vm_says(PROBE_LINK, 0);
	conf.stage = HOLD_STAGE_BOOT;
	conf.ports[conf.n_ports++].port = 443;
	handover_conf(h, &conf, now);
	assert_int_equal(wanted[n_wanted - 1], 443);
	vm_says(PROBE_PORT, 80);
	assert_int_equal(count_events(HOLD_MOVE), 0);
	conf.stage = HOLD_STAGE_UP;
	conf.at_vm = true;
	handover_conf(h, &conf, now);
	tick();
	assert_true(handover_at_vm(h));
	conf.stage = HOLD_STAGE_NONE;
	handover_conf(h, &conf, now);
	assert_false(handover_at_vm(h));
}

#define HANDING(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HANDING(test_a_syn_is_held_and_wakes),
		HANDING(test_who_waits_in_which_stage),
		HANDING(test_strays_get_a_reset),
		HANDING(test_resets_of_strays_are_limited),
		HANDING(test_what_is_dropped),
		HANDING(test_datagrams_are_held),
		HANDING(test_no_datagrams),
		HANDING(test_pings),
		HANDING(test_wake_on_lan),
		HANDING(test_wakes_are_limited_and_none_is_forgotten),
		HANDING(test_a_client_that_came_again_goes_before),
		HANDING(test_a_flood_wakes_at_a_rate),
		HANDING(test_all_services_share_a_rate),
		HANDING(test_wakes_wait_for_a_launcher),
		HANDING(test_held_packets_wake_again_after_a_restart),
		HANDING(test_what_came_during_a_boot_that_was_ended_wakes),
		HANDING(test_held_too_long),
		HANDING(test_expiring_is_paced),
		HANDING(test_the_launcher_refuses_a_client),
		HANDING(test_another_speaks_for_those_who_are_held),
		HANDING(test_the_start_failed),
		HANDING(test_a_failed_start_is_told_once),
		HANDING(test_not_held_any_more),
		HANDING(test_without_memory_nothing_is_held),
		HANDING(test_one_port),
		HANDING(test_ready_before_the_stage),
		HANDING(test_stragglers),
		HANDING(test_when_it_is_over_packets_wait_for_the_port),
		HANDING(test_when_it_is_over_packets_wait_for_the_stage),
		HANDING(test_a_held_segment_speaks_for_a_vm_that_is_there),
		HANDING(test_done_only_when_up_and_ready),
		HANDING(test_done_though_something_never_answers),
		HANDING(test_move_is_asked_for_until_answered),
		HANDING(test_moved_too_late),
		HANDING(test_a_silent_port_counts_as_open),
		HANDING(test_a_port_that_cannot_be_asked),
		HANDING(test_nothing_held_and_nothing_configured),
		HANDING(test_a_port_that_is_not_configured),
		HANDING(test_each_port_in_its_time),
		HANDING(test_a_port_that_never_opens),
		HANDING(test_a_port_nobody_configured_that_opens_first),
		HANDING(test_an_open_port_is_configured),
		HANDING(test_it_opens_at_the_last_moment),
		HANDING(test_no_answer_is_no_refusal),
		HANDING(test_a_port_nobody_configured_that_stays_closed),
		HANDING(test_a_configured_port_that_never_opens),
		HANDING(test_more_ports_than_are_asked),
		HANDING(test_release_is_paced),
		HANDING(test_what_the_port_does_not_take_stays),
		HANDING(test_datagrams_go_in_order),
		HANDING(test_datagrams_go_with_the_first),
		HANDING(test_a_paused_vms_connections_live),
		HANDING(test_segments_of_a_paused_vm_expire_in_silence),
		HANDING(test_segments_of_one_flow_are_limited),
		HANDING(test_a_resume_that_failed),
		HANDING(test_draining),
		HANDING(test_draining_a_vm_that_packets_do_not_wake),
		HANDING(test_draining_while_others_wake),
		HANDING(test_stopping),
		HANDING(test_the_port_is_left_when_the_vm_is_gone),
		HANDING(test_a_vm_that_lost_its_port),
		HANDING(test_killed_before_the_release),
		HANDING(test_killed_after_the_move),
		HANDING(test_started_when_all_is_handed_over),
		HANDING(test_expiring_at_the_vm_is_silent),
		HANDING(test_probing_begins_anew),
		HANDING(test_another_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
