#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/utf8.h"

/* The form of RFC 3629, section 3, told from the numbers. */
static size_t encode(uint32_t c, char *out)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

static void test_every_character_is_known(void **state)
{
	(void)state;
	for (uint32_t c = 0; c < 0x120000; c++) {
		char s[4] = { 0 };
		size_t n = encode(c, s);
		bool good = c != 0 && c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff);

		assert_int_equal(utf8_length(s, n), good ? n : 0);
		assert_int_equal(utf8_length(s, n - 1), 0);
		if (good)
			assert_int_equal(utf8_point(s), c);
	}
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
		cmocka_unit_test(test_broken_forms_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
