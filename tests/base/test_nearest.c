#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/nearest.h"

static const char *nearest(const char *word)
{
	static const char *const known[] = { "ttl",  "list",   "start",       "status",
					     "stop", "follow", "idle_timeout" };
	struct nearest n = { .word = word };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		nearest_try(&n, known[i]);
	return n.name ? n.name : "(none)";
}

static void test_one_slip_is_understood(void **state)
{
	static const char *const cases[][2] = {
		{ "ttll", "ttl" },
		{ "tlt", "ttl" },
		{ "tl", "ttl" },
		{ "LIST", "list" },
		{ "lits", "list" },
		{ "satrt", "start" },
		{ "folow", "follow" },
		{ "idle_tiemout", "idle_timeout" },
		{ "idle", "idle_timeout" },
		{ "stat", "start" },
		{ "statu", "status" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(nearest(cases[i][0]), cases[i][1]);
}

static void test_another_word_is_not(void **state)
{
	static const char *const words[] = {
		"",
		"x",
		"xyz",
		"abracadabra",
		"reload",
		"zzzzzzzzzzzz",
		"idle_timeoutidle_timeoutidle_timeoutidle_timeoutidle_timeoutidle_timeout"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		assert_string_equal(nearest(words[i]), "(none)");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_slip_is_understood),
		cmocka_unit_test(test_another_word_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
