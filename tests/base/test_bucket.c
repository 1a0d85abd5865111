#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bucket.h"

static void test_burst_then_rate(void **state)
{
	struct bucket b = { .burst = 8, .per_s = 50 };
	uint64_t now = 1000 * NS_PER_S;

	(void)state;
	for (int i = 0; i < 8; i++)
		assert_true(bucket_pass(&b, now));
	assert_false(bucket_pass(&b, now));
	assert_int_equal(bucket_ready_ns(&b), now + 20 * NS_PER_MS);
	now += 20 * NS_PER_MS - 1;
	assert_false(bucket_pass(&b, now));
	now++;
	assert_true(bucket_pass(&b, now));
	assert_false(bucket_pass(&b, now));
}

static void test_it_holds_no_more_than_a_burst(void **state)
{
	struct bucket b = { .burst = 8, .per_s = 50 };
	uint64_t now = 1000 * NS_PER_S;
	int n = 0;

	(void)state;
	bucket_take(&b, now, 8);
	now += 3600 * NS_PER_S;
	assert_int_equal(bucket_level(&b, now), 8);
	while (bucket_pass(&b, now))
		n++;
	assert_int_equal(n, 8);
}

static void test_many_at_once(void **state)
{
	struct bucket b = { .burst = 256, .per_s = 64000 };
	uint64_t now = NS_PER_S;

	(void)state;
	bucket_take(&b, now, 200);
	assert_int_equal(bucket_level(&b, now), 56);
	bucket_take(&b, now, 56);
	assert_int_equal(bucket_level(&b, now), 0);
	assert_int_equal(bucket_level(&b, now + NS_PER_MS), 64);
	bucket_take(&b, now + NS_PER_MS, 0);
	assert_int_equal(bucket_level(&b, now + NS_PER_MS), 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_then_rate),
		cmocka_unit_test(test_it_holds_no_more_than_a_burst),
		cmocka_unit_test(test_many_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
