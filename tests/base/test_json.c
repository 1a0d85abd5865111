/* The JSON reader takes what RFC 8259 allows and nothing else, and says where; the writer's output
 * reads back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"

static struct json *read_text(const char *text)
{
	struct json_place at;
	struct err e = { 0 };
	struct json *doc = json_parse(text, strlen(text), &at, &e);

	if (!doc)
		fail_msg("%s: %u:%u: %s", text, at.line, at.column, e.text);
	return doc;
}

static void add_value(struct json_writer *w, const char *key, const struct json_node *v)
{
	const struct json_node *child;
	bool object = json_type(v) == JSON_OBJECT;

	switch (json_type(v)) {
	case JSON_NULL:
		json_put_null(w, key);
		return;
	case JSON_BOOL:
		json_put_bool(w, key, json_bool(v));
		return;
	case JSON_NUMBER:
		json_put_raw(w, key, json_number_text(v));
		return;
	case JSON_STRING:
		json_put_string(w, key, json_string(v));
		return;
	default:
		json_open(w, key, object ? '{' : '[');
		for (child = json_first(v); child; child = json_next(child))
			add_value(w, json_key(child), child);
		json_close(w, object ? '}' : ']');
	}
}

/* Read and written again. */
static void rewrite(const char *text, unsigned indent, struct buf *out)
{
	struct json_writer w = { .out = out, .indent = indent };
	struct json *doc = read_text(text);

	add_value(&w, NULL, json_root(doc));
	json_free(doc);
	assert_int_equal(out->error, 0);
}

static const struct {
	const char *in, *out;
} good[] = {
	{ "1", "1" },
	{ " true ", "true" },
	{ "\t\r\n null\n", "null" },
	{ "\"\"", "\"\"" },
	{ "[]", "[]" },
	{ "{ }", "{}" },
	{ "[ 1 , -0, 0.5, 1e3, 1E+3, -1.25e-7 ]", "[1,-0,0.5,1e3,1E+3,-1.25e-7]" },
	{ "{\"a\":{\"b\":[{}, [], [[1]]]}, \"c\" : false}", "{\"a\":{\"b\":[{},[],[[1]]]},\"c\":false}" },
	{ "{\"a\":1,\"A\":2,\"\":3}", "{\"a\":1,\"A\":2,\"\":3}" },
	{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\"" },
	{ "\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\\u001f\"",
	  "\"A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\\u001f\"" },
	{ "\"\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80\x7f\"",
	  "\"\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80\x7f\"" },
	{ "\"[{,:]}\\\"[\"", "\"[{,:]}\\\"[\"" },
};

static void test_good_text_reads_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		cleanup_buf struct buf out = { 0 }, pretty = { 0 }, again = { 0 };

		rewrite(good[i].in, 0, &out);
		assert_string_equal(out.text, good[i].out);
		rewrite(good[i].in, 4, &pretty);
		rewrite(pretty.text, 0, &again);
		assert_string_equal(again.text, good[i].out);
	}
}

/* One row for each way to be wrong: where, and the words that must be in the sentence. */
static const struct {
	const char *text;
	unsigned line, column;
	const char *says;
} bad[] = {
	{ "", 1, 1, "expected a value, but the text ends" },
	{ " \n ", 2, 2, "expected a value, but the text ends" },
	{ "}", 1, 1, "expected a value, got '}'" },
	{ "'a'", 1, 1, "expected a value, got '''" },
	{ "\xef\xbb\xbf{}", 1, 1, "expected a value, got byte 0xef" },
	{ "\x01", 1, 1, "byte 0x01" },
	{ "[1\x01]", 1, 2, "no value" },
	{ "// x\n{}", 1, 1, "got '/'" },
	/* behind the end */
	{ "{} {}", 1, 4, "expected the end of the text, got '{'" },
	{ "1 2", 1, 3, "expected the end" },
	{ "[],", 1, 3, "expected the end of the text, got ','" },
	{ "[]]", 1, 3, "expected the end" },
	{ "\"a\"\"b\"", 1, 4, "expected the end" },
	/* commas */
	{ "[1 2]", 1, 4, "expected ',' or ']', got '2'" },
	{ "[1,]", 1, 4, "expected a value, got ']'" },
	{ "[,1]", 1, 2, "expected a value, got ','" },
	{ "[1,,2]", 1, 4, "expected a value, got ','" },
	{ "[1", 1, 3, "expected ',' or ']', but the text ends" },
	{ "[1,\n", 2, 1, "expected a value, but the text ends" },
	{ "[", 1, 2, "the text ends" },
	{ "[1}", 1, 3, "expected ',' or ']', got '}'" },
	{ "[[1}]", 1, 4, "got '}'" },
	{ "[\"a\" \"b\"]", 1, 6, "expected ',' or ']', got '\"'" },
	/* objects */
	{ "{", 1, 2, "expected a key in double quotes, but the text ends" },
	{ "{a:1}", 1, 2, "expected a key in double quotes, got 'a'" },
	{ "{1:1}", 1, 2, "expected a key in double quotes, got '1'" },
	{ "{{}:1}", 1, 2, "expected a key in double quotes, got '{'" },
	{ "{null:1}", 1, 2, "expected a key" },
	{ "{\"a\"}", 1, 5, "expected ':' after the key, got '}'" },
	{ "{\"a\" 1}", 1, 6, "expected ':' after the key, got '1'" },
	{ "{\"a\",\"b\":1}", 1, 5, "expected ':'" },
	{ "{\"a\"::1}", 1, 6, "expected a value, got ':'" },
	{ "{\"a\":}", 1, 6, "expected a value, got '}'" },
	{ "{\"a\":1 \"b\":2}", 1, 8, "expected ',' or '}', got '\"'" },
	{ "{\"a\":1,}", 1, 8, "expected a key in double quotes, got '}'" },
	{ "{\"a\":1,\n }", 2, 2, "expected a key in double quotes, got '}'" },
	{ "{,\"a\":1}", 1, 2, "expected a key" },
	{ "{\"a\":1]", 1, 7, "expected ',' or '}', got ']'" },
	{ "{\"a\":1", 1, 7, "the text ends" },
	{ "{\"a\":1 2}", 1, 8, "expected ',' or '}'" },
	{ "[\"a\":1]", 1, 5, "expected ',' or ']', got ':'" },
	{ "{\"b\":1,\n \"a\":2,\n  \"b\":3, \"a\":4}", 3, 3, "the key \"b\" is there twice" },
	{ "{\"a\":1,\"\\u0061\":2}", 1, 8, "the key \"a\" is there twice" },
	/* words and numbers */
	{ "[yes]", 1, 2, "expected a value, got 'y'" },
	{ "[True]", 1, 2, "got 'T'" },
	{ "[tru]", 1, 2, "\"tru\" is no value" },
	{ "[nulll]", 1, 2, "\"nulll\" is no value" },
	{ "[falsE]", 1, 2, "is no value" },
	{ "[NaN]", 1, 2, "got 'N'" },
	{ "[01]", 1, 2, "\"01\" is no value" },
	{ "[-]", 1, 2, "\"-\" is no value" },
	{ "[-01]", 1, 2, "is no value" },
	{ "[+1]", 1, 2, "expected a value, got '+'" },
	{ "[.5]", 1, 2, "expected a value, got '.'" },
	{ "[1.]", 1, 2, "\"1.\" is no value" },
	{ "[1.e3]", 1, 2, "is no value" },
	{ "[1e]", 1, 2, "is no value" },
	{ "[1e+]", 1, 2, "is no value" },
	{ "[1e3.5]", 1, 2, "is no value" },
	{ "[0x10]", 1, 2, "\"0x10\" is no value" },
	{ "[60s]", 1, 2, "\"60s\" is no value: words and texts need double quotes" },
	{ "[1:2]", 1, 2, "\"1:2\" is no value" },
	{ "[1\"a\"]", 1, 2, "is no value" },
	{ "[\xc3\xa9]", 1, 2, "byte 0xc3" },
	{ "[1\xc3\xa9]", 1, 2, "no value" },
	/* strings */
	{ "\"a", 1, 1, "not closed" },
	{ "[\"a\n\"]", 1, 2, "not closed" },
	{ "{\"a", 1, 2, "not closed" },
	{ "\"a\\", 1, 3, "unknown escape" },
	{ "\"a\\\"", 1, 1, "not closed" },
	{ "\"\t\"", 1, 2, "control character" },
	{ "{\"a\x1f\":1}", 1, 4, "control character" },
	{ "\"\\x\"", 1, 2, "unknown escape" },
	{ "{\"\\'\":1}", 1, 3, "unknown escape" },
	{ "\"\\u12g4\"", 1, 2, "four hexadecimal digits" },
	{ "\"\\u12\"", 1, 2, "four hexadecimal digits" },
	{ "\"\\u", 1, 2, "four hexadecimal digits" },
	{ "\"\\u0000\"", 1, 2, "U+0000" },
	{ "\"\\ud83d\"", 1, 2, "surrogate" },
	{ "\"\\ud83dx\\ude00\"", 1, 2, "surrogate" },
	{ "\"\\ud83d\\u0041\"", 1, 2, "surrogate" },
	{ "\"\\ud83d\\ud83d\"", 1, 2, "surrogate" },
	{ "\"a\\ude00\\ud83d\"", 1, 3, "surrogate" },
	{ "\"\\ud83d\\u", 1, 2, "surrogate" },
	{ "\"a\x80\"", 1, 3, "UTF-8" },
	{ "\"\xc0\xaf\"", 1, 2, "UTF-8" },
	{ "\"\xc1\xbf\"", 1, 2, "UTF-8" },
	{ "\"\xc3\"", 1, 2, "UTF-8" },
	{ "\"\xe0\x9f\xbf\"", 1, 2, "UTF-8" },
	{ "\"\xe2\x82\"", 1, 2, "UTF-8" },
	{ "\"\xed\xa0\x80\"", 1, 2, "UTF-8" },
	{ "\"\xf0\x8f\xbf\xbf\"", 1, 2, "UTF-8" },
	{ "\"\xf4\x90\x80\x80\"", 1, 2, "UTF-8" },
	{ "\"\xf5\x80\x80\x80\"", 1, 2, "UTF-8" },
	{ "\"\xff\"", 1, 2, "UTF-8" },
};

static void assert_refused(const char *text, size_t n, unsigned line, unsigned column, const char *says)
{
	struct json_place at = { 0, 0 };
	struct err e = { 0 };
	struct json *doc = json_parse(text, n, &at, &e);

	if (doc)
		fail_msg("accepted: %.60s", text);
	if (!strstr(e.text, says) || at.line != line || at.column != column)
		fail_msg("%.60s: expected %u:%u: %s, got %u:%u: %s", text, line, column, says, at.line,
		         at.column, e.text);
	assert_true(e.code < 0);
}

static void test_bad_text_is_refused_with_its_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_refused(bad[i].text, strlen(bad[i].text), bad[i].line, bad[i].column, bad[i].says);
}

static void test_nul_byte_is_refused(void **state)
{
	(void)state;
	assert_refused("[1,\0 2]", 7, 1, 4, "byte 0x00");
	assert_refused("[1]\0", 4, 1, 4, "byte 0x00");
	assert_refused("\"a\0b\"", 5, 1, 3, "control character");
	assert_refused("\0", 1, 1, 1, "byte 0x00");
}

/* Every text that ends too early is refused, wherever it is cut. */
static void test_cut_text_is_refused(void **state)
{
	static const char text[] = "{\"key\": [1, -2.5e3, true, \"\\ud83d\\ude00\\n\", null, {\"a\": {}}]}";
	struct json_place at;
	struct err e;

	(void)state;
	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		/* its own allocation, so that a sanitizer sees a read behind the end */
		char *cut = malloc(n ? n : 1);

		memcpy(cut, text, n);
		assert_null(json_parse(cut, n, &at, &e));
		free(cut);
	}
	json_free(read_text(text));
}

static void test_places(void **state)
{
	struct json *doc = read_text("{\n  \"a\" : [1,\n\t\"x\"],\r\n\n \"b\":{}}");
	const struct json_node *a = json_get(json_root(doc), "a"), *b = json_get(json_root(doc), "b"), *v;

	(void)state;
	assert_int_equal(json_place(json_root(doc)).line, 1);
	assert_int_equal(json_place(json_root(doc)).column, 1);
	assert_int_equal(json_key_place(a).line, 2);
	assert_int_equal(json_key_place(a).column, 3);
	assert_int_equal(json_place(a).line, 2);
	assert_int_equal(json_place(a).column, 9);
	v = json_next(json_first(a));
	assert_int_equal(json_place(v).line, 3);
	assert_int_equal(json_place(v).column, 2);
	assert_null(json_key(v));
	assert_null(json_next(v));
	assert_int_equal(json_key_place(b).line, 5);
	assert_int_equal(json_place(b).column, 6);
	assert_null(json_first(b));
	assert_null(json_get(b, "a"));
	json_free(doc);
}

static void test_integers(void **state)
{
	static const struct {
		const char *text;
		int r;
		int64_t v;
	} rows[] = {
		{ "0", 0, 0 },
		{ "-0", 0, 0 },
		{ "65536", 0, 65536 },
		{ "9223372036854775807", 0, INT64_MAX },
		{ "-9223372036854775808", 0, INT64_MIN },
		{ "9223372036854775808", -ERANGE, 0 },
		{ "-9223372036854775809", -ERANGE, 0 },
		{ "1.0", -ERANGE, 0 },
		{ "1e3", -ERANGE, 0 },
		{ "1E3", -ERANGE, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct json *doc = read_text(rows[i].text);
		int64_t v = 77;

		assert_int_equal(json_integer(json_root(doc), &v), rows[i].r);
		assert_true(v == (rows[i].r ? 77 : rows[i].v));
		assert_string_equal(json_number_text(json_root(doc)), rows[i].text);
		json_free(doc);
	}
}

/* `n` times `part`, with `head` before and `tail` behind. */
static void repeat(struct buf *b, const char *head, const char *part, size_t n, const char *tail)
{
	buf_clear(b);
	buf_adds(b, head);
	for (size_t i = 0; i < n; i++)
		buf_adds(b, part);
	buf_adds(b, tail);
	assert_int_equal(b->error, 0);
}

static void test_depth_is_limited(void **state)
{
	cleanup_buf struct buf b = { 0 };
	char deep[2 * JSON_DEPTH_MAX + 1];

	(void)state;
	memset(deep, '[', JSON_DEPTH_MAX);
	memset(deep + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	deep[2 * JSON_DEPTH_MAX] = '\0';
	json_free(read_text(deep));

	repeat(&b, "\n", "[", JSON_DEPTH_MAX + 1, "");
	assert_refused(b.text, b.n, 2, JSON_DEPTH_MAX + 1, "nested deeper than 32 levels");
	repeat(&b, "", "{\"[\":", JSON_DEPTH_MAX + 1, "");
	assert_refused(b.text, b.n, 1, 5 * JSON_DEPTH_MAX + 1, "nested deeper than 32 levels");
	/* many brackets side by side are not deep, nor are those in strings */
	repeat(&b, "[0", ",[],{},\"[[\\\"{\"", 1000, "]");
	json_free(read_text(b.text));
	/* an earlier mistake is told first */
	repeat(&b, "[1 1,", "[", JSON_DEPTH_MAX + 1, "");
	assert_refused(b.text, b.n, 1, 4, "expected ','");
}

/* Millions of brackets and keys must not take quadratic time: this test would not end. */
static void test_hostile_sizes_end_soon(void **state)
{
	cleanup_buf struct buf b = { 0 };

	(void)state;
	repeat(&b, "", "[", 4000000, "");
	assert_refused(b.text, b.n, 1, JSON_DEPTH_MAX + 1, "nested deeper");
	repeat(&b, "[0", ",0", JSON_NODES_MAX - 2, "]");
	json_free(read_text(b.text));
	repeat(&b, "[0", ",0", JSON_NODES_MAX - 1, "]");
	assert_refused(b.text, b.n, 1, 2 * JSON_NODES_MAX, "more than 1000000 values");
	buf_clear(&b);
	buf_adds(&b, "{");
	for (int i = 0; i < 200000; i++)
		buf_addf(&b, "\"%d\":0,", i);
	buf_adds(&b, "\n\"77777\":0}");
	assert_refused(b.text, b.n, 2, 1, "\"77777\" is there twice");
}

static void test_too_long_text_is_refused(void **state)
{
	char *text = malloc(JSON_TEXT_MAX + 1);

	(void)state;
	memset(text, ' ', JSON_TEXT_MAX + 1);
	text[0] = '0';
	assert_refused(text, JSON_TEXT_MAX + 1, 1, 1, "too large");
	text[1] = '\0';
	json_free(read_text(text));
	free(text);
}

static void test_writer_layout(void **state)
{
	cleanup_buf struct buf b = { 0 };
	struct json_writer w = { .out = &b, .indent = 2 };

	(void)state;
	json_open(&w, NULL, '{');
	json_put_integer(&w, "n", -5);
	json_open(&w, "list", '[');
	json_put_string(&w, NULL, "a");
	json_put_bool(&w, NULL, false);
	json_put_null(&w, NULL);
	json_close(&w, ']');
	json_open(&w, "none", '{');
	json_close(&w, '}');
	json_put_raw(&w, "raw", "[1, 2]");
	json_close(&w, '}');
	assert_string_equal(b.text, "{\n"
	                            "  \"n\": -5,\n"
	                            "  \"list\": [\n"
	                            "    \"a\",\n"
	                            "    false,\n"
	                            "    null\n"
	                            "  ],\n"
	                            "  \"none\": {},\n"
	                            "  \"raw\": [1, 2]\n"
	                            "}");
	assert_int_equal(w.depth, 0);
}

/* Two documents on one line after the other, as the control protocol has them. */
static void test_writer_puts_no_comma_at_the_top(void **state)
{
	cleanup_buf struct buf b = { 0 };
	struct json_writer w = { .out = &b };

	(void)state;
	for (int i = 0; i < 2; i++) {
		json_open(&w, NULL, '{');
		json_put_integer(&w, "id", i);
		json_close(&w, '}');
		buf_adds(&b, "\n");
	}
	assert_string_equal(b.text, "{\"id\":0}\n{\"id\":1}\n");
}

static void test_writer_escapes(void **state)
{
	cleanup_buf struct buf b = { 0 };
	struct json_writer w = { .out = &b };

	(void)state;
	json_open(&w, NULL, '{');
	json_put_string(&w, "k\"\n", "\x01\x1f\t\"\\/\x7f\xc3\xa9");
	json_put_string(&w, "bad",
	                "a\xff"
	                "b\xc3");
	json_close(&w, '}');
	assert_string_equal(b.text, "{\"k\\\"\\n\":\"\\u0001\\u001f\\t\\\"\\\\/\x7f\xc3\xa9\","
	                            "\"bad\":\"a\xef\xbf\xbd"
	                            "b\xef\xbf\xbd\"}");
	json_free(read_text(b.text));
}

static void test_type_names(void **state)
{
	(void)state;
	assert_string_equal(json_type_name(JSON_OBJECT), "an object");
	assert_string_equal(json_type_name(JSON_ARRAY), "an array");
	assert_string_equal(json_type_name(JSON_STRING), "a string");
	assert_string_equal(json_type_name(JSON_NUMBER), "a number");
	json_free(NULL);
}

/* ---- nodes ---- */

static void assert_patched(const char *text, const char *patch, const char *expected)
{
	struct buf out = { 0 };
	struct json_writer w = { .out = &out };
	struct json_place at;
	struct err e;
	struct json *a = json_parse(text, strlen(text), &at, &e), *b = json_parse(patch, strlen(patch), &at, &e);

	assert_non_null(a);
	assert_non_null(b);
	json_put_patched(&w, NULL, json_root(a), json_root(b));
	assert_string_equal(out.text, expected);
	buf_clear(&out);
	json_put_node(&w, NULL, json_root(a));
	assert_string_equal(out.text, text);
	json_free(a);
	json_free(b);
	buf_free(&out);
}

/* What RFC 7396 has in its appendix A, and more. */
static void test_patches(void **state)
{
	(void)state;
	assert_patched("{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}");
	assert_patched("{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}");
	assert_patched("{\"a\":\"b\"}", "{\"a\":null}", "{}");
	assert_patched("{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}");
	assert_patched("{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}");
	assert_patched("[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}");
	assert_patched("{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}");
	assert_patched("{\"e\":null,\"n\":1e3,\"t\":[true,{\"x\":-1.5}]}", "{\"a\":1}",
		       "{\"e\":null,\"n\":1e3,\"t\":[true,{\"x\":-1.5}],\"a\":1}");
	assert_patched("1", "[2]", "[2]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_text_reads_back),
		cmocka_unit_test(test_bad_text_is_refused_with_its_place),
		cmocka_unit_test(test_nul_byte_is_refused),
		cmocka_unit_test(test_cut_text_is_refused),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_depth_is_limited),
		cmocka_unit_test(test_hostile_sizes_end_soon),
		cmocka_unit_test(test_too_long_text_is_refused),
		cmocka_unit_test(test_writer_layout),
		cmocka_unit_test(test_writer_puts_no_comma_at_the_top),
		cmocka_unit_test(test_writer_escapes),
		cmocka_unit_test(test_type_names),
		cmocka_unit_test(test_patches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
