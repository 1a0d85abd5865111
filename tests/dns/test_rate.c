#include <pthread.h>

#include "tests/dns/util.h"

#include "dns/rate.h"

#define T0 (1000 * NS_PER_S)

static struct rate *limiter(uint32_t per_s, uint32_t slip)
{
	struct rate *r = rate_new(7);

	assert_non_null(r);
	rate_set(r, per_s, slip);
	return r;
}

static unsigned passes(struct rate *r, const char *client, unsigned tries, uint64_t now_ns)
{
	struct ip_addr a = ip(client);
	unsigned n = 0;

	for (unsigned i = 0; i < tries; i++)
		n += rate_take(r, &a, now_ns) == RATE_PASS;
	return n;
}

static void test_so_many_a_second(void **state)
{
	struct rate *r = limiter(10, 0);
	unsigned n = 0;

	(void)state;
	assert_int_equal(passes(r, "192.0.2.1", 100, T0), 10);
	assert_int_equal(passes(r, "192.0.2.1", 100, T0 + 99 * NS_PER_MS), 0);
	assert_int_equal(passes(r, "192.0.2.1", 100, T0 + 100 * NS_PER_MS), 1);
	assert_int_equal(passes(r, "192.0.2.1", 100, T0 + 3600 * NS_PER_S), 10); /* no more gathers */
	for (unsigned ms = 0; ms < 10000; ms++) /* a steady flood */
		n += passes(r, "192.0.2.1", 3, T0 + 7200 * NS_PER_S + ms * NS_PER_MS);
	assert_in_range(n, 10 + 98, 10 + 101);
	rate_free(r);
}

static void test_a_network_shares(void **state)
{
	struct rate *r = limiter(10, 0);

	(void)state;
	assert_int_equal(passes(r, "192.0.2.1", 6, T0) + passes(r, "192.0.2.200", 6, T0), 10);
	assert_int_equal(passes(r, "192.0.3.1", 20, T0), 10);
	assert_int_equal(passes(r, "2001:db8:0:aa00::1", 6, T0) + passes(r, "2001:db8:0:aaff::2", 6, T0), 10);
	assert_int_equal(passes(r, "2001:db8:0:ab00::1", 20, T0), 10);
	rate_free(r);
}

static void test_slip(void **state)
{
	struct ip_addr a = ip("192.0.2.1");
	struct rate *r = limiter(1, 3);
	unsigned slips = 0, drops = 0;

	(void)state;
	assert_int_equal(rate_take(r, &a, T0), RATE_PASS);
	for (int i = 0; i < 30; i++) {
		enum rate_verdict v = rate_take(r, &a, T0);

		slips += v == RATE_SLIP;
		drops += v == RATE_DROP;
	}
	assert_int_equal(slips, 10);
	assert_int_equal(drops, 20);
	rate_free(r);
}

static void test_none(void **state)
{
	struct rate *r = limiter(0, 2);

	(void)state;
	assert_int_equal(passes(r, "192.0.2.1", 100000, T0), 100000);
	rate_free(r);
}

/* However many networks ask: memory stays, none of them gets more than its own, and one that keeps
 * asking is not forgotten for the others' sake. */
static void test_more_networks_than_there_is_room_for(void **state)
{
	struct rate *r = limiter(2, 0);
	struct ip_addr victim = ip("203.0.113.1");
	unsigned passed = 0;

	(void)state;
	for (uint32_t i = 0; i < 4 * RATE_NETWORKS; i++) {
		struct ip_addr a = ip("10.0.0.1");
		uint64_t now_ns = T0 + i * 1000ull; /* a million a second */

		a.b[12] = (uint8_t)(i >> 16);
		a.b[13] = (uint8_t)(i >> 8);
		a.b[14] = (uint8_t)i;
		rate_take(r, &a, now_ns);
		if (i % 16 == 0)
			passed += rate_take(r, &victim, now_ns) == RATE_PASS;
	}
	assert_true(passed <= 3);
	rate_free(r);
}

/* ---- several threads ---- */

enum { THREADS = 4, TRIES = 20000 };

struct share {
	struct rate *rate;
	_Atomic unsigned *passed;
};

static void *ask_much(void *arg)
{
	const struct share *s = arg;
	struct ip_addr a = ip("192.0.2.1");

	for (unsigned i = 0; i < TRIES; i++)
		*s->passed += rate_take(s->rate, &a, T0 + i % 3) == RATE_PASS;
	return NULL;
}

/* They share one budget, without a lock: not one answer more. */
static void test_threads_share_a_budget(void **state)
{
	_Atomic unsigned passed = 0;
	struct share s = { limiter(500, 2), &passed };
	pthread_t threads[THREADS];

	(void)state;
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_much, &s), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(passed, 500);
	rate_free(s.rate);
}

/* A worker whose clock is a moment behind, because it was preempted, gets nothing more for it. */
static void test_a_clock_that_is_behind(void **state)
{
	struct rate *r = limiter(10, 0);

	(void)state;
	assert_int_equal(passes(r, "192.0.2.1", 100, T0), 10);
	assert_int_equal(passes(r, "192.0.2.1", 100, T0 - 500 * NS_PER_MS), 0);
	assert_int_equal(passes(r, "192.0.2.1", 100, T0 + 99 * NS_PER_MS), 0);
	rate_free(r);
}

/* The highest rates are as exact as the lowest, and the words of a bucket may wrap. */
static void test_a_high_rate(void **state)
{
	struct rate *r = limiter(1000000, 0);
	unsigned n = 0;

	(void)state;
	assert_int_equal(passes(r, "192.0.2.1", 1100000, T0), 1000000);
	for (unsigned ms = 1; ms <= 1000; ms++)
		n += passes(r, "192.0.2.1", 1500, T0 + ms * NS_PER_MS);
	assert_in_range(n, 999000, 1000100);
	for (unsigned hours = 1; hours < 50; hours++)
		assert_int_equal(passes(r, "192.0.2.1", 3, T0 + hours * 1800 * NS_PER_S), 3);
	rate_set(r, 2, 0);
	assert_int_equal(passes(r, "192.0.2.1", 100, T0 + 200000 * NS_PER_S), 2);
	rate_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_so_many_a_second),
		cmocka_unit_test(test_a_network_shares),
		cmocka_unit_test(test_slip),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_more_networks_than_there_is_room_for),
		cmocka_unit_test(test_threads_share_a_budget),
		cmocka_unit_test(test_a_clock_that_is_behind),
		cmocka_unit_test(test_a_high_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
