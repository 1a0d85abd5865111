#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "launcher/budget.h"

static void test_limits(void **state)
{
	static const struct {
		struct budget b;
		uint64_t memory;
		enum budget_verdict verdict;
	} cases[] = {
		{ { 2, 2, 100, 0, 0, 0, 0, 0, 0 }, 100, BUDGET_OK },
		{ { 2, 2, 100, 0, 0, 0, 0, 0, 0 }, 101, BUDGET_MEMORY },
		{ { 2, 2, 100, 1, 0, 60, 0, 0, 0 }, 40, BUDGET_OK },
		{ { 2, 2, 100, 1, 0, 60, 0, 0, 0 }, 41, BUDGET_MEMORY },
		{ { 2, 2, 100, 2, 0, 0, 0, 0, 0 }, 1, BUDGET_RUNNING },
		{ { 3, 2, 100, 2, 2, 0, 0, 0, 0 }, 1, BUDGET_STARTING },
		{ { 3, 2, 100, 2, 1, 0, 0, 0, 0 }, 1, BUDGET_OK },
		{ { 3, 2, 100, 2, 1, 200, 0, 0, 0 }, 1, BUDGET_MEMORY },
		{ { 9, 9, 100, 1, 1, 50, 0, 0, 0 }, UINT64_MAX, BUDGET_MEMORY },
	};
	char why[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(budget_admit(&cases[i].b, cases[i].memory), cases[i].verdict);
		budget_explain(&cases[i].b, cases[i].verdict, cases[i].memory, why, sizeof(why));
		if (cases[i].verdict != BUDGET_OK)
			assert_non_null(strstr(why, "limits."));
	}
}

/* What clients want who may be anybody gets half of each limit, and always one. */
static void test_unproven(void **state)
{
	static const struct {
		struct budget b;
		uint64_t memory;
		enum budget_verdict verdict, of_others;
	} cases[] = {
		{ { 4, 4, 100, 2, 1, 50, 1, 1, 50 }, 40, BUDGET_MEMORY, BUDGET_OK },
		{ { 4, 4, 100, 2, 1, 50, 1, 1, 10 }, 40, BUDGET_OK, BUDGET_OK },
		{ { 4, 4, 100, 2, 2, 20, 1, 2, 10 }, 40, BUDGET_STARTING, BUDGET_OK },
		{ { 4, 4, 100, 3, 1, 20, 2, 1, 10 }, 40, BUDGET_RUNNING, BUDGET_OK },
		{ { 1, 1, 100, 0, 0, 0, 0, 0, 0 }, 100, BUDGET_OK, BUDGET_OK },
		{ { 5, 1, 100, 1, 1, 1, 1, 1, 1 }, 1, BUDGET_STARTING, BUDGET_STARTING },
	};
	char why[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(budget_admit_unproven(&cases[i].b, cases[i].memory), cases[i].verdict);
		assert_int_equal(budget_admit(&cases[i].b, cases[i].memory), cases[i].of_others);
		budget_explain(&cases[i].b, cases[i].verdict, cases[i].memory, why, sizeof(why));
		if (cases[i].verdict != BUDGET_OK)
			assert_non_null(strstr(why, "limits."));
		if (cases[i].verdict != cases[i].of_others)
			assert_non_null(strstr(why, "not verified"));
	}
}

static void test_allowance(void **state)
{
	struct allowance a = { 0 };

	(void)state;
	for (int i = 0; i < 3; i++) { /* zeroed, it is full */
		assert_true(allowance_has(&a, 3, 60000, 5000));
		allowance_take(&a);
	}
	assert_false(allowance_has(&a, 3, 60000, 5000));
	assert_false(allowance_has(&a, 3, 60000, 24999));
	assert_true(allowance_has(&a, 3, 60000, 25001));
	assert_true(allowance_has(&a, 3, 60000, 25001)); /* looking takes nothing */
	allowance_take(&a);
	assert_false(allowance_has(&a, 3, 60000, 25002));
	assert_true(allowance_has(&a, 1, 60000, 1000000)); /* never more than there may be */
	allowance_take(&a);
	assert_false(allowance_has(&a, 1, 60000, 1000000));
}

static bool take(struct sources *s, const char *who, uint64_t now_ms)
{
	struct ip_addr a;

	assert_int_equal(ip_parse(who, &a), 0);
	return sources_take(s, &a, now_ms);
}

static void test_bucket_empties_and_fills(void **state)
{
	struct sources *s = sources_new(3, 60000);

	(void)state;
	assert_true(take(s, "192.0.2.1", 1000));
	assert_true(take(s, "192.0.2.99", 1000)); /* the same /24 */
	assert_true(take(s, "192.0.2.1", 1000));
	assert_false(take(s, "192.0.2.1", 1000));
	assert_true(take(s, "192.0.3.1", 1000)); /* another network */
	assert_true(take(s, "2001:db8:0:1::1", 1000));
	assert_false(take(s, "192.0.2.1", 1000 + 19999));
	assert_true(take(s, "192.0.2.1", 1000 + 20001)); /* one token each 20 s */
	assert_false(take(s, "192.0.2.1", 1000 + 20002));
	sources_free(s);
}

static void test_ipv6_networks_are_56_bits(void **state)
{
	struct sources *s = sources_new(1, 60000);

	(void)state;
	assert_true(take(s, "2001:db8:0:100::1", 1));
	assert_false(take(s, "2001:db8:0:1ff::1", 1));
	assert_true(take(s, "2001:db8:0:200::1", 1));
	sources_free(s);
}

/* A flood of forged sources neither grows the table nor frees a source that keeps coming. */
static void test_flood_of_sources(void **state)
{
	struct sources *s = sources_new(5, 3600000);
	unsigned passed = 0;

	(void)state;
	for (uint32_t i = 0; i < 200000; i++) {
		struct ip_addr a;

		assert_int_equal(ip_parse("0.0.0.0", &a), 0);
		memcpy(a.b + 12, &i, 3);
		a.b[12] = (uint8_t)(i >> 16);
		a.b[13] = (uint8_t)(i >> 8);
		a.b[14] = (uint8_t)i;
		sources_take(s, &a, i);
		if (i % 10 == 0)
			passed += take(s, "203.0.113.5", i);
	}
	assert_true(passed >= 5);
	assert_true(passed < 100);
	sources_free(s);
}

static void test_back_off(void **state)
{
	(void)state;
	for (uint32_t random = 0; random < 5000; random += 7) {
		assert_in_range(back_off_ms(1, random), 750, 1250);
		assert_in_range(back_off_ms(2, random), 1500, 2500);
		assert_in_range(back_off_ms(4, random), 6000, 10000);
		assert_in_range(back_off_ms(100, random * 1000), 225000, 375000);
	}
	assert_int_not_equal(back_off_ms(3, 0), back_off_ms(3, 999)); /* they do not retry in step */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits), cmocka_unit_test(test_unproven), cmocka_unit_test(test_allowance),
		cmocka_unit_test(test_bucket_empties_and_fills),
		cmocka_unit_test(test_ipv6_networks_are_56_bits),
		cmocka_unit_test(test_flood_of_sources),
		cmocka_unit_test(test_back_off),
	};

	return cmocka_run_group_tests_name("launcher/budget", tests, NULL, NULL);
}
