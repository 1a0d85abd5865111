#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "launcher/sweeps.h"

static struct sweeps *s;

static int setup(void **state)
{
	(void)state;
	s = sweeps_new();
	return s ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	sweeps_free(s);
	return 0;
}

static bool note(const char *source, uint32_t service, uint64_t now_ms)
{
	struct ip_addr a;

	assert_int_equal(ip_parse(source, &a), 0);
	return sweeps_note(s, &a, service, now_ms);
}

static void test_many_services_are_a_sweep(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < SWEEP_SERVICES - 1; i++)
		assert_false(note("192.0.2.1", i, 1000 + i));
	assert_false(note("192.0.2.1", 0, 2000)); /* the same one again */
	assert_int_equal(sweeps_count(s), 0);
	assert_true(note("192.0.2.1", 100, 2000));
	assert_int_equal(sweeps_count(s), 1);
}

static void test_said_once(void **state)
{
	unsigned said = 0;

	(void)state;
	for (uint32_t i = 0; i < 200; i++)
		said += note("192.0.2.1", i, 1000 + i);
	assert_int_equal(said, 1);
	for (uint32_t i = 0; i < 200; i++)
		said += note("192.0.2.1", i, 1000 + SWEEP_MS + i);
	assert_int_equal(said, 2);
	assert_int_equal(sweeps_count(s), 2);
}

static void test_slowly_is_none(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 200; i++)
		assert_false(note("192.0.2.1", i, 1000 + i * (SWEEP_MS / (SWEEP_SERVICES - 2))));
}

static void test_each_source_has_its_own(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < SWEEP_SERVICES - 1; i++) {
		assert_false(note("192.0.2.1", i, 1000));
		assert_false(note("192.0.2.2", i + 50, 1000));
		assert_false(note("2001:db8::1", i, 1000));
	}
	assert_true(note("2001:db8::2", 99, 1000)); /* the same /64 */
	assert_true(note("192.0.2.2", 99, 1000));
}

/* Forged ones push each other out, and cost nothing; one that is heard all the time stays. */
static void test_a_flood_of_sources(void **state)
{
	bool found = false;
	char text[24];

	(void)state;
	for (uint32_t i = 0; i < 4000; i++) {
		snprintf(text, sizeof(text), "10.%u.%u.1", i >> 8, i & 255);
		assert_false(note(text, 1, 1000 + i));
		if (i % 100 == 0)
			found |= note("192.0.2.1", i / 100, 1000 + i);
	}
	assert_true(found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_many_services_are_a_sweep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_said_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slowly_is_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_each_source_has_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_flood_of_sources, setup, teardown),
	};

	return cmocka_run_group_tests_name("launcher/sweeps", tests, NULL, NULL);
}
