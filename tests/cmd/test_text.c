#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cmd/table.h"

static const struct term ascii = { .width = 80 }, utf8 = { .width = 80, .utf8 = true };

static void assert_text(struct buf *b, const char *expected)
{
	assert_int_equal(b->error, 0);
	assert_string_equal(b->text ? b->text : "", expected);
	buf_free(b);
}

static void test_durations(void **state)
{
	static const struct {
		uint64_t ms;
		const char *whole, *compact;
	} cases[] = {
		{ 0, "0 ms", "0ms" },
		{ 999, "999 ms", "999ms" },
		{ 1000, "1 s", "1s" },
		{ 3450, "3.4 s", "3.4s" },
		{ 59999, "59 s", "59s" },
		{ 60000, "1 min", "1m" },
		{ 200345, "3 min 20 s", "3m20s" },
		{ 3599999, "59 min 59 s", "59m59s" },
		{ 7500000, "2 h 5 min", "2h5m" },
		{ 93784000, "1 d 2 h", "1d2h" },
		{ UINT64_MAX, "213503982334 d 14 h", "213503982334d14h" },
	};
	char out[TEXT_UNIT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_string_equal(text_duration(cases[i].ms, false, out), cases[i].whole);
		assert_string_equal(text_duration(cases[i].ms, true, out), cases[i].compact);
	}
}

static void test_sizes(void **state)
{
	char out[TEXT_UNIT_MAX];

	(void)state;
	assert_string_equal(text_bytes(0, out), "0 B");
	assert_string_equal(text_bytes(1023, out), "1023 B");
	assert_string_equal(text_bytes(16 << 20, out), "16 MiB");
	assert_string_equal(text_bytes(1610612736, out), "1.5 GiB");
	assert_string_equal(text_bytes(UINT64_MAX, out), "15.9 EiB");
}

static void test_times_name_the_day_when_it_is_another(void **state)
{
	char out[TEXT_UNIT_MAX];

	(void)state;
	assert_string_equal(text_time(1767323045678, 1767323145678, out), "03:04:05.678");
	assert_string_equal(text_time(1767323045678, 1767423145678, out), "2026-01-02 03:04:05.678");
}

static void test_foreign_text_cannot_reach_the_terminal(void **state)
{
	static const char foreign[] = "a\033[2J\r\n\x7f\xc2\x9b\xff\xe2\x80\xae\xc3\xa4";
	struct buf b = { 0 };

	(void)state;
	text_clean(&utf8, foreign, &b);
	assert_text(&b, "a?[2J??????\xc3\xa4");
	text_clean(&ascii, foreign, &b);
	assert_text(&b, "a?[2J???????");
}

static void test_shortening_counts_characters(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(text_shorten(&utf8, "\xc3\xa4\xc3\xa4\xc3\xa4", 3, &b), 3);
	assert_text(&b, "\xc3\xa4\xc3\xa4\xc3\xa4");
	assert_int_equal(text_shorten(&utf8, "\xc3\xa4\xc3\xa4\xc3\xa4", 2, &b), 2);
	assert_text(&b, "\xc3\xa4\xe2\x80\xa6");
	assert_int_equal(text_shorten(&ascii, "abcdef", 4, &b), 4);
	assert_text(&b, "abc~");
	assert_int_equal(text_shorten(&ascii, "abcdef", 0, &b), 0);
	assert_text(&b, "");
}

static void test_wrapping_breaks_between_words(void **state)
{
	struct term narrow = { .width = 20 };
	struct buf b = { 0 };

	(void)state;
	text_wrap(&narrow, "one two three  four five averyveryverylongword end", 6, 2, &b);
	assert_text(&b, "one two three\n  four five\n  averyveryverylongword\n  end\n");
	text_wrap(&narrow, "", 0, 2, &b);
	assert_text(&b, "\n");
}

static void test_a_console_loses_its_escapes_only(void **state)
{
	static const char console[] =
		"\033[2J\033[1;31mred\033[0m\r\n\033]0;title\007a\033]2;x\033\\b\033(Bc\a\xc2\x9b\xc3\xa4\td";
	struct text_filter f = { FILTER_TEXT };
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(console) - 1; i++) /* the state carries over */
		text_filter(&f, &utf8, console + i, 1, &b);
	assert_text(&b, "red\r\nabc\xc3\xa4\td");
	text_filter(&f, &ascii, "\xc3\xa4", 2, &b);
	assert_text(&b, "??");
	text_filter(&f, &utf8, "\xc2\xa7\xc2x", 4, &b);
	assert_text(&b, "\xc2\xa7x");
}

/* ---- tables ---- */

static const struct table_column columns[] = {
	{ "NAME", false, 4, 0 },
	{ "SIZE", true, 0, 1 },
	{ "NOTE", false, 6, 2 },
};

static struct table *table(void)
{
	struct table *t = table_new(columns, ARRAY_SIZE(columns));

	table_add(t, "a", COLOR_NONE);
	table_add(t, "10", COLOR_RED);
	table_add(t, "short", COLOR_NONE);
	table_add(t, "alongername", COLOR_NONE);
	table_add(t, "123456", COLOR_NONE);
	table_add(t, "a longer note", COLOR_NONE);
	return t;
}

static void assert_table(unsigned width, const char *expected)
{
	struct term term = { .width = width };
	struct table *t = table();
	struct buf b = { 0 };

	table_print(t, &term, &b);
	assert_text(&b, expected);
	table_free(t);
}

static void test_a_table_is_as_wide_as_its_content(void **state)
{
	(void)state;
	assert_table(80, "NAME           SIZE  NOTE\n"
			 "a                10  short\n"
			 "alongername  123456  a longer note\n");
}

static void test_a_narrow_table_shortens_then_leaves_out(void **state)
{
	(void)state;
	assert_table(28, "NAME         SIZE  NOTE\n"
			 "a              10  short\n"
			 "alongern~  123456  a longer~\n");
	assert_table(20, "NAME    SIZE  NOTE\n"
			 "a         10  short\n"
			 "alo~  123456  a lon~\n");
	assert_table(19, "NAME           SIZE\n"
			 "a                10\n"
			 "alongername  123456\n");
	assert_table(10, "NAME\na\nalongerna~\n");
}

static void test_an_empty_table_prints_nothing(void **state)
{
	struct table *t = table_new(columns, ARRAY_SIZE(columns));
	struct buf b = { 0 };

	(void)state;
	table_print(t, &ascii, &b);
	assert_text(&b, "");
	table_free(t);
}

static void test_colour_takes_no_columns(void **state)
{
	struct term term = { .width = 80, .color = true };
	struct table *t = table_new(columns, 2);
	struct buf b = { 0 };

	(void)state;
	table_add(t, "a", COLOR_GREEN);
	table_add(t, "1", COLOR_NONE);
	table_print(t, &term, &b);
	assert_text(&b, "\033[1mNAME\033[0m  \033[1mSIZE\033[0m\n\033[32ma\033[0m        1\n");
	table_free(t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_times_name_the_day_when_it_is_another),
		cmocka_unit_test(test_foreign_text_cannot_reach_the_terminal),
		cmocka_unit_test(test_shortening_counts_characters),
		cmocka_unit_test(test_wrapping_breaks_between_words),
		cmocka_unit_test(test_a_console_loses_its_escapes_only),
		cmocka_unit_test(test_a_table_is_as_wide_as_its_content),
		cmocka_unit_test(test_a_narrow_table_shortens_then_leaves_out),
		cmocka_unit_test(test_an_empty_table_prints_nothing),
		cmocka_unit_test(test_colour_takes_no_columns),
	};

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
