#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>

#include "base/clock.h"
#include "synproxy/agenda.h"

/* Against the real clock: a timer's. */

static struct agenda a;

static int begin(void **state)
{
	(void)state;
	return agenda_init(&a, 10);
}

static int end(void **state)
{
	(void)state;
	agenda_end(&a);
	return 0;
}

static bool rings_within_ms(int ms)
{
	struct pollfd p = { .fd = a.fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

static void test_rings_when_the_first_is_due(void **state)
{
	uint64_t now = clock_now_ns();

	(void)state;
	assert_false(rings_within_ms(5));
	agenda_set(&a, 3, now + 500 * NS_PER_MS);
	agenda_set(&a, 4, now + 10 * NS_PER_MS);
	assert_true(rings_within_ms(400));
	assert_true(clock_now_ns() >= now + 10 * NS_PER_MS);
	now = clock_now_ns();
	assert_true(agenda_rang(&a, now));
	assert_false(agenda_rang(&a, now)); /* once */
	assert_true(agenda_is_due(&a, 4, now));
	assert_false(agenda_is_due(&a, 3, now));
	assert_false(agenda_is_due(&a, 5, now));
}

static void test_goes_on_with_the_next(void **state)
{
	uint64_t now = clock_now_ns();

	(void)state;
	agenda_set(&a, 3, now + 30 * NS_PER_MS);
	agenda_set(&a, 4, now);
	assert_true(rings_within_ms(400));
	agenda_rang(&a, clock_now_ns());
	agenda_set(&a, 4, 0);
	agenda_done(&a);
	assert_false(rings_within_ms(5));
	assert_true(rings_within_ms(400));
	assert_true(clock_now_ns() >= now + 30 * NS_PER_MS);
}

static void test_never(void **state)
{
	(void)state;
	agenda_set(&a, 3, clock_now_ns() + 10 * NS_PER_MS);
	agenda_set(&a, 3, 0);
	agenda_set(&a, 2, 0);
	assert_true(rings_within_ms(100)); /* in vain, once */
	agenda_rang(&a, clock_now_ns());
	agenda_done(&a);
	assert_false(rings_within_ms(30));
}

/* Whoever is always late does not keep the process busy. */
static void test_rings_no_more_often_than_it_should(void **state)
{
	uint64_t until = clock_now_ns() + 50 * NS_PER_MS;
	unsigned rang = 0;

	(void)state;
	while (clock_now_ns() < until) {
		agenda_set(&a, 0, 1);
		rings_within_ms(10);
		rang += agenda_rang(&a, clock_now_ns());
		agenda_done(&a);
	}
	assert_in_range(rang, 2, 51);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rings_when_the_first_is_due, begin, end),
		cmocka_unit_test_setup_teardown(test_goes_on_with_the_next, begin, end),
		cmocka_unit_test_setup_teardown(test_never, begin, end),
		cmocka_unit_test_setup_teardown(test_rings_no_more_often_than_it_should, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
