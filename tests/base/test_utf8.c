#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/utf8.h"

static void test_every_character_is_known(void **state)
{
	(void)state;
	for (uint32_t c = 0; c < 0x120000; c++) {
		char s[4] = { 0 };
		size_t n = utf8_encode(c, s);
		bool good = c != 0 && c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff);

		assert_int_equal(utf8_length(s, n), good ? n : 0);
		assert_int_equal(utf8_length(s, n - 1), 0);
		if (good)
			assert_int_equal(utf8_point(s), c);
	}
}

static void test_known_forms(void **state)
{
	char s[4];

	(void)state;
	assert_int_equal(utf8_encode('A', s), 1);
	assert_memory_equal(s, "A", 1);
	assert_int_equal(utf8_encode(0xe9, s), 2);
	assert_memory_equal(s, "\xc3\xa9", 2);
	assert_int_equal(utf8_encode(0x20ac, s), 3);
	assert_memory_equal(s, "\xe2\x82\xac", 3);
	assert_int_equal(utf8_encode(0x1f600, s), 4);
	assert_memory_equal(s, "\xf0\x9f\x98\x80", 4);
}

static void test_broken_forms_are_refused(void **state)
{
	static const char *const broken[] = { "\x80",
					      "\xbf",
					      "\xc0\xaf",
					      "\xc1\xbf",
					      "\xe0\x9f\xbf",
					      "\xf0\x8f\xbf\xbf",
					      "\xf8\x88\x80\x80\x80",
					      "\xff",
					      "\xc3(",
					      "\xe2\x82(",
					      "\xf0\x9f\x98(" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++)
		assert_int_equal(utf8_length(broken[i], strlen(broken[i])), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_character_is_known),
		cmocka_unit_test(test_known_forms),
		cmocka_unit_test(test_broken_forms_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
