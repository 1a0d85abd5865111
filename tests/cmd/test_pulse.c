/* Who is asked, who is stuck, and whose heart beats; by hand-made clocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cmd/pulse.h"

enum { PERIOD = 1000, BEGAN = 5000 };

static void test_one_question_at_a_time(void **state)
{
	struct pulse p = { 0 };

	(void)state;
	assert_int_equal(pulse_look(&p, BEGAN, PERIOD), PULSE_ASK);
	pulse_ask(&p, BEGAN);
	assert_int_equal(pulse_look(&p, BEGAN, PERIOD), PULSE_WAIT);
	assert_int_equal(pulse_look(&p, BEGAN + 499, PERIOD), PULSE_WAIT);
	pulse_hear(&p, BEGAN + 499);
	assert_int_equal(pulse_look(&p, BEGAN + 10000, PERIOD), PULSE_ASK);
}

static void test_stuck_after_half_a_period(void **state)
{
	struct pulse p = { 0 };

	(void)state;
	pulse_ask(&p, BEGAN);
	assert_int_equal(pulse_look(&p, BEGAN + 500, PERIOD), PULSE_STUCK);
	assert_int_equal(pulse_look(&p, BEGAN + 700, PERIOD), PULSE_STUCK);
	pulse_restart(&p);
	assert_int_equal(pulse_look(&p, BEGAN + 700, PERIOD), PULSE_ASK);
}

static void test_beats_for_a_period(void **state)
{
	struct pulse p = { 0 };

	(void)state;
	assert_true(pulse_beats(&p, BEGAN + 999, BEGAN, PERIOD));
	assert_false(pulse_beats(&p, BEGAN + 1000, BEGAN, PERIOD));
	pulse_hear(&p, BEGAN + 600);
	assert_true(pulse_beats(&p, BEGAN + 1599, BEGAN, PERIOD));
	pulse_restart(&p); /* who follows must answer by himself */
	assert_false(pulse_beats(&p, BEGAN + 1600, BEGAN, PERIOD));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_question_at_a_time),
		cmocka_unit_test(test_stuck_after_half_a_period),
		cmocka_unit_test(test_beats_for_a_period),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
