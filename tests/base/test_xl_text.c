/* The text of xl configurations: which options there are, on which lines, and what is no such text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/xl_text.h"

static int note(void *arg, const struct xl_option *o)
{
	buf_addf(arg, "%u %s%s%s;", o->line, o->key, o->adds ? "+=" : "=", o->is_list ? "[]" : o->value);
	return 0;
}

static void reads(const char *text, const char *as)
{
	cleanup_buf struct buf found = { 0 };
	struct err e = { 0 };

	if (xl_text_each(text, note, &found, &e) != 0)
		fail_msg("%s: %s", text, e.text);
	assert_string_equal(found.text ? found.text : "", as);
}

static void refuses(const char *text, const char *says)
{
	cleanup_buf struct buf found = { 0 };
	struct err e = { 0 };

	assert_int_equal(xl_text_each(text, note, &found, &e), -EBADMSG);
	if (strncmp(e.text, says, strlen(says)) != 0)
		fail_msg("%s: %s", text, e.text);
}

static void test_options(void **state)
{
	(void)state;
	reads("", "");
	reads("# nothing\n\n", "");
	reads("name = \"www\"", "1 name=www;");
	reads("\r\n  name='www' # it\nmemory = 64 ; vcpus=2;\n", "2 name=www;3 memory=64;3 vcpus=2;");
	reads("a=\"x\\\"y\"\nb='#no'", "1 a=x\"y;2 b=#no;");
	reads("vif = [ 'mac=1,bridge=b', # first\n  \"two\",\n]\nname=\"n\"", "1 vif=[];4 name=n;");
	reads("l=[]\nm=[ 1, [ 'x' ], 2 ]\nl += [ 'y' ]", "1 l=[];2 m=[];3 l+=[];");
}

static void test_no_such_text(void **state)
{
	char deep[64];

	(void)state;
	refuses("name", "1: expected '='");
	refuses("\n\n= 3", "3: expected the name");
	refuses("name = ", "1: expected a number");
	refuses("name = \"www", "1: a quotation mark");
	refuses("name = \"w\nw\"", "1: a quotation mark");
	refuses("x = 1 y = 2", "1: there is more");
	refuses("l = [ 'a'\n", "2: expected ','");
	refuses("l = [ 'a' 'b' ]", "1: expected ','");
	refuses("l = [ ,", "1: a list is not closed");
	refuses("#!/usr/bin/python\nimport os\n", "2: expected '='");
	snprintf(deep, sizeof(deep), "l = [[[[[[[[[[[[1]]]]]]]]]]]]");
	refuses(deep, "1: lists in lists");
}

static void test_long_ones_are_cut(void **state)
{
	cleanup_buf struct buf text = { 0 };
	struct err e = { 0 };
	char name[XL_TEXT_VALUE_MAX];

	(void)state;
	buf_adds(&text, "name = \"");
	for (int i = 0; i < 1000; i++)
		buf_adds(&text, "n");
	buf_adds(&text, "\"\n");
	assert_int_equal(xl_text_name(text.text, name, 128, &e), -EINVAL);
	buf_clear(&text);
	for (int i = 0; i < 1000; i++)
		buf_adds(&text, "k");
	buf_adds(&text, " = 1\nname = 'it'");
	assert_int_equal(xl_text_name(text.text, name, sizeof(name), &e), 0);
	assert_string_equal(name, "it");
}

static void test_names(void **state)
{
	struct err e = { 0 };
	char name[16] = "untouched";

	(void)state;
	assert_int_equal(xl_text_name("memory = 1", name, sizeof(name), &e), -ENOENT);
	assert_int_equal(xl_text_name("name = ''", name, sizeof(name), &e), -EINVAL);
	assert_int_equal(xl_text_name("name = 'a/b'", name, sizeof(name), &e), -EINVAL);
	assert_int_equal(xl_text_name("name = 'a\tb'", name, sizeof(name), &e), -EINVAL);
	assert_int_equal(xl_text_name("name = [ 'a' ]", name, sizeof(name), &e), -ENOENT);
	assert_int_equal(xl_text_name("name = 'sixteen-letters!'", name, sizeof(name), &e), -EINVAL);
	assert_string_equal(name, "untouched");
	assert_int_equal(xl_text_name("name = 'one'\nname = 'two'", name, sizeof(name), &e), 0);
	assert_string_equal(name, "two"); /* as xl has it: the last counts */
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_no_such_text),
		cmocka_unit_test(test_long_ones_are_cut),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("xl configurations as text", tests, NULL, NULL);
}
