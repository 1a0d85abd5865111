#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/service.h"
#include "launcher/idle.h"

static const struct idle_input base_input = {
	.now_ms = 1000000,
	.up_ms = 100000,
	.idle_timeout_ms = 120000,
	.dns_horizon_ms = DURATION_AUTO,
	.ttl_ms = 60000,
};

static void test_idle_when_all_is_over(void **state)
{
	struct idle_input in = base_input;

	(void)state;
	in.traffic_ms = in.now_ms - 120000;
	in.asked_ms = in.now_ms - 300000;
	assert_true(idle_check(&in).idle);
}

static void test_traffic_keeps_it_up(void **state)
{
	struct idle_input in = base_input;
	struct idle_verdict v;

	(void)state;
	in.traffic_ms = in.now_ms - 119000;
	v = idle_check(&in);
	assert_false(v.idle);
	assert_true(v.by_traffic);
	assert_false(v.by_dns);
	assert_int_equal(v.look_again_ms, 1000);
}

static void test_dns_horizon_keeps_it_up(void **state)
{
	static const struct {
		uint64_t ttl_ms, horizon_ms, expect_ms;
	} cases[] = {
		{ 60000, DURATION_AUTO, 300000 }, /* at least five minutes */
		{ 600000, DURATION_AUTO, 1200000 }, /* twice the TTL */
		{ 600000, 5000, 5000 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct idle_input in = base_input;

		in.now_ms = 10000000;
		in.ttl_ms = cases[i].ttl_ms;
		in.dns_horizon_ms = cases[i].horizon_ms;
		in.asked_ms = in.now_ms - cases[i].expect_ms + 1;
		assert_true(idle_check(&in).by_dns);
		assert_int_equal(idle_check(&in).look_again_ms, 1);
		in.asked_ms--;
		assert_true(idle_check(&in).idle);
	}
}

static void test_a_young_vm_is_not_idle(void **state)
{
	struct idle_input in = base_input;

	(void)state;
	in.up_ms = in.now_ms - 1000;
	assert_false(idle_check(&in).idle);
	assert_int_equal(idle_check(&in).look_again_ms, 119000);
}

static void test_a_guest_keeps_itself_up(void **state)
{
	struct idle_input in = base_input;
	struct idle_verdict v;

	(void)state;
	in.traffic_ms = in.now_ms - 500000;
	in.guest_left_ms = 3000;
	v = idle_check(&in);
	assert_true(!v.idle && v.by_guest && !v.by_traffic && !v.by_dns);
	assert_int_equal(v.look_again_ms, 3000);
	in.guest_left_ms = 0;
	assert_true(idle_check(&in).idle);
	in.guest_used_ms = in.now_ms - 20000; /* it was busy, and is not any more */
	v = idle_check(&in);
	assert_true(!v.idle && !v.by_guest && v.by_traffic);
	assert_int_equal(v.look_again_ms, 100000);
	in.guest_left_ms = 50000;
	in.idle_timeout_ms = DURATION_NEVER;
	assert_true(idle_check(&in).by_guest);
}

static void test_never(void **state)
{
	struct idle_input in = base_input;

	(void)state;
	in.idle_timeout_ms = DURATION_NEVER;
	assert_false(idle_check(&in).idle);
}

static void test_a_failed_stop_waits(void **state)
{
	struct idle_input in = base_input;

	(void)state;
	in.stop_failed_ms = in.now_ms - 5000;
	assert_false(idle_check(&in).idle);
	assert_int_equal(idle_check(&in).look_again_ms, 115000);
}

static const struct idle_input held_input = {
	.now_ms = 1000000,
	.started_ms = 940000,
	.up_ms = 950000,
	.idle_timeout_ms = 120000,
	.dns_horizon_ms = DURATION_AUTO,
	.ttl_ms = 60000,
	.held = true,
	.by_query = true,
	.dns_grace_ms = 30000,
};

/* Whoever comes late is held: an answer is no promise. */
static void test_answers_do_not_keep_a_held_one_up(void **state)
{
	struct idle_input in = held_input;

	(void)state;
	in.asked_ms = in.now_ms - 1;
	in.traffic_ms = in.now_ms - 120000;
	assert_true(idle_check(&in).idle);
	in.held = false;
	assert_true(idle_check(&in).by_dns);
	assert_false(idle_check(&in).idle);
}

static void test_nobody_came(void **state)
{
	struct idle_input in = held_input;

	(void)state;
	assert_true(idle_check(&in).idle);
	assert_true(idle_check(&in).nobody_came);
	in.up_ms = in.now_ms - 29000;
	assert_false(idle_check(&in).idle);
	assert_int_equal(idle_check(&in).look_again_ms, 1000);
	in.idle_timeout_ms = 10000; /* never longer than that */
	assert_true(idle_check(&in).idle);
	in.idle_timeout_ms = DURATION_NEVER;
	assert_false(idle_check(&in).idle);
}

static void test_somebody_came(void **state)
{
	struct idle_input in = held_input;

	(void)state;
	in.traffic_ms = in.started_ms - 1; /* that was before it was woken */
	assert_true(idle_check(&in).idle);
	in.traffic_ms = in.started_ms;
	assert_false(idle_check(&in).idle);
	assert_false(idle_check(&in).nobody_came);
	assert_int_equal(idle_check(&in).look_again_ms, 70000);
}

/* One who came woke it, or nothing is held: then there is no such grace; nor is one that cannot be stopped
 * asked again at once. */
static void test_no_grace(void **state)
{
	struct idle_input in = held_input;

	(void)state;
	in.by_query = false;
	assert_int_equal(idle_check(&in).look_again_ms, 70000);
	in = held_input;
	in.held = false;
	assert_int_equal(idle_check(&in).look_again_ms, 70000);
	in = held_input;
	in.stop_failed_ms = in.now_ms - 40000;
	assert_int_equal(idle_check(&in).look_again_ms, 80000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle_when_all_is_over),	cmocka_unit_test(test_traffic_keeps_it_up),
		cmocka_unit_test(test_dns_horizon_keeps_it_up), cmocka_unit_test(test_a_young_vm_is_not_idle),
		cmocka_unit_test(test_a_guest_keeps_itself_up),
		cmocka_unit_test(test_never),			cmocka_unit_test(test_a_failed_stop_waits),
		cmocka_unit_test(test_answers_do_not_keep_a_held_one_up), cmocka_unit_test(test_nobody_came),
		cmocka_unit_test(test_somebody_came),		cmocka_unit_test(test_no_grace),
	};

	return cmocka_run_group_tests_name("launcher/idle", tests, NULL, NULL);
}
