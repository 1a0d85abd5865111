#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cmd/render.h"

#define NOW 1767323145678ull

static const struct term ascii = { .width = 80 };

static struct json *parse(const char *text)
{
	struct json_place at;
	struct err e;
	struct json *doc = json_parse(text, strlen(text), &at, &e);

	if (!doc)
		fail_msg("%s: %s", text, e.text);
	return doc;
}

typedef void render_fn(const struct json_node *row, const struct term *t, uint64_t now_wall_ms,
		       struct buf *out);

static void assert_rendered(render_fn *render, const char *row, const char *expected)
{
	struct json *doc = parse(row);
	struct buf b = { 0 };

	render(json_root(doc), &ascii, NOW, &b);
	assert_int_equal(b.error, 0);
	assert_string_equal(b.text ? b.text : "", expected);
	buf_free(&b);
	json_free(doc);
}

static void test_units(void **state)
{
	(void)state;
	assert_rendered(
		render_fields, "{\"a_ms\":1500,\"asked_ago_ms\":61789,\"since_ms_ago\":5}",
		"a                 1.5 s\nasked             1 min 1 s ago\nsince             5 ms ago\n");
	assert_rendered(
		render_fields, "{\"begun_wall_ms\":1767323045678,\"t_up_us\":97420,\"ttl_s\":60}",
		"begun             03:04:05.678\nt up              97.420 ms\nttl               1 min\n");
	assert_rendered(render_fields, "{\"memory_bytes\":16777216,\"wakes\":7,\"bytes\":5}",
			"memory            16 MiB\nwakes             7\nbytes             5\n");
	/* a time that does not come; and what is no whole number keeps its words */
	assert_rendered(render_fields, "{\"idle_timeout_ms\":null,\"serial\":null}",
			"idle timeout      never\nserial            -\n");
	assert_rendered(render_fields, "{\"share_ms\":1.5,\"less_ms\":-3,\"text_ms\":\"x\"}",
			"share             1.5\nless              -3\ntext              x\n");
}

static void test_other_kinds_of_values(void **state)
{
	(void)state;
	assert_rendered(render_fields, "{\"ok\":true,\"no\":false,\"none\":null,\"empty\":\"\",\"list\":[]}",
			"ok                yes\nno                no\nnone              -\nempty             "
			"-\nlist              -\n");
	assert_rendered(render_fields, "{\"list\":[1,\"b\"],\"deep\":{\"a\":[1,null]},\"in\":[{\"x\":1}]}",
			"list              1\n                  b\ndeep              {\"a\":[1,null]}\nin    "
			"            {\"x\":1}\n");
	assert_rendered(render_fields, "{\"a_very_long_name_of_a_field\":1,\"x\\u001b[2J\":\"y\\u001b[2J\"}",
			"a very long name of a field 1\nx?[2J             y?[2J\n");
}

static void test_json_is_passed_on_whole(void **state)
{
	static const char row[] =
		"{\"a\":[1,{\"b\":null}],\"n\":1.50e3,\"s\":\"\\\"\\n\",\"t\":true,\"e\":{}}";
	char line[200];

	(void)state;
	struct json *doc = parse(
		"{\"row\":{\"a\":[1,{\"b\":null}],\"n\":1.50e3,\"s\":\"\\\"\\n\",\"t\":true,\"e\":{}}}");
	struct buf b = { 0 };

	render_json(json_get(json_root(doc), "row"), &b);
	snprintf(line, sizeof(line), "%s\n", row);
	assert_string_equal(b.text, line);
	buf_free(&b);
	json_free(doc);
}

static void render_why_of_www(const struct json_node *row, const struct term *t, uint64_t now,
			      struct buf *out)
{
	render_why(row, "www", t, now, out);
}

static void test_why_in_sentences(void **state)
{
	(void)state;
	assert_rendered(render_why_of_www, "{\"state\":\"off\"}", "www is off.\n");
	assert_rendered(render_why_of_www,
			"{\"state\":\"failed\",\"since_ms_ago\":1000,\"woken_by\":\"cli\",\"last_stop_"
			"reason\":\"idle\","
			"\"last_error\":\"no kernel\",\"reason\":\"waits: its "
			"turn\",\"kept_up_by\":[],\"extra_ms\":5}",
			"www has been failed for 1 s.\nIt was last woken by jitsuctl.\nIt last stopped: idle.\n"
			"The last error: no kernel\nA remark: waits: its turn\nextra             5 ms\n");
	assert_rendered(render_why_of_www, "{\"state\":\"off\",\"instances\":3,\"max_instances\":16}",
			"It is a template, of which 3 of at most 16 instances are made.\n");
	assert_rendered(render_why_of_www, "{\"state\":\"off\",\"template\":\"vm\",\"ends_in_ms\":5000}",
			"www is off.\nIt is an instance of vm, and is removed in 5 s if nobody asks for it.\n");
}

static void test_log_lines(void **state)
{
	(void)state;
	assert_rendered(render_log,
			"{\"wall_ms\":1767323045678,\"level\":\"info\",\"process\":\"dns\",\"line\":"
			"\"serving\\u001b[2J\"}",
			"03:04:05.678 info dns: serving?[2J\n");
	assert_rendered(render_log, "{}", "? ?: \n");
}

static void test_a_wake_without_marks(void **state)
{
	(void)state;
	assert_rendered(render_wake,
			"{\"wake\":3,\"service\":\"www\",\"result\":\"refused\",\"wall_ms\":1767323045678}",
			"www  wake 3  03:04:05.678  refused\n  asked           0.0  ?\n");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_other_kinds_of_values),
		cmocka_unit_test(test_json_is_passed_on_whole),
		cmocka_unit_test(test_why_in_sentences),
		cmocka_unit_test(test_log_lines),
		cmocka_unit_test(test_a_wake_without_marks),
	};

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
