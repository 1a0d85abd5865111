#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/json.h"
#include "control/protocol.h"

static int parse(const char *line, struct protocol_request *p, struct err *e)
{
	*e = (struct err){ 0 };
	return protocol_parse(line, strlen(line), p, e);
}

static void assert_contains(const char *text, const char *what)
{
	if (!strstr(text, what))
		fail_msg("\"%s\" is not in: %s", what, text);
}

/* ---- requests ---- */

#define WWW ",\"service\":\"www\""
#define ZONE ",\"zone\":\"jitsu.example\""

/* What each needs, at least, and who may. */
static const struct {
	const char *keys;
	bool admin;
} needs[CTL_VERB_N] = {
	[CTL_LIST] = { "", false },
	[CTL_SHOW] = { WWW, false },
	[CTL_START] = { WWW, true },
	[CTL_STOP] = { WWW, true },
	[CTL_WHY] = { WWW, false },
	[CTL_TRACE] = { "", false },
	[CTL_CONSOLE] = { WWW, false },
	[CTL_LOG] = { "", false },
	[CTL_STATUS] = { "", false },
	[CTL_RELOAD] = { "", true },
	[CTL_FLOWS] = { "", false },
	[CTL_STATS] = { "", false },
	[CTL_ZONES] = { "", false },
	[CTL_DNSSEC_STATUS] = { "", false },
	[CTL_DNSSEC_DS] = { ZONE, false },
	[CTL_DNSSEC_ENABLE] = { ZONE, true },
	[CTL_DNSSEC_DISABLE] = { ZONE, true },
	[CTL_DNSSEC_ROLL] = { ZONE, true },
	[CTL_DNSSEC_DS_SEEN] = { ZONE, true },
	[CTL_ADD] = { ",\"record\":{}", true },
	[CTL_SET] = { WWW ",\"record\":{}", true },
	[CTL_REMOVE] = { WWW, true },
	[CTL_RENAME] = { WWW ",\"to\":\"x\"", true },
	[CTL_PIN] = { WWW ",\"to\":\"up\"", true },
	[CTL_HISTORY] = { "", false },
	[CTL_DIFF] = { ",\"revision\":1", false },
	[CTL_ROLLBACK] = { ",\"revision\":1", true },
	[CTL_EXPORT] = { "", false },
	[CTL_IMPORT] = { ",\"record\":{}", true },
	[CTL_ADOPT] = { ",\"record\":{}", true },
};

static void test_every_verb_parses(void **state)
{
	struct protocol_request p;
	char line[200];
	struct err e;

	(void)state;
	for (unsigned verb = 0; verb < CTL_VERB_N; verb++) {
		const char *keys = needs[verb].keys;

		assert_non_null(keys);
		snprintf(line, sizeof(line), "{\"version\":1,\"id\":%u,\"do\":\"%s\"%s}", verb, ctl_verb_name(verb), keys);
		if (parse(line, &p, &e) != 0)
			fail_msg("%s: %s", line, e.text);
		assert_int_equal(p.msg.verb, verb);
		assert_string_equal(p.msg.service, strstr(keys, "www") ? "www" : "");
		assert_string_equal(p.msg.zone, strstr(keys, "zone") ? "jitsu.example" : "");
		assert_int_equal(p.needs_admin, needs[verb].admin);
		assert_false(p.cancel);
		assert_false(p.msg.follow);
		if (!*keys)
			continue;
		snprintf(line, sizeof(line), "{\"version\":1,\"id\":%u,\"do\":\"%s\"}", verb, ctl_verb_name(verb));
		assert_int_equal(parse(line, &p, &e), -EINVAL); /* none of them can be left out */
		assert_contains(e.text, " needs \"");
	}
}

static void read_of_fuzzer(const char *path, struct buf *out)
{
	if (buf_read_file(out, path, 65536) < 0)
		fail_msg("%s: %s", path, strerror(errno));
}

/* A command that fuzz_control has neither a word nor a request of to begin with is one that it may never reach. */
static void test_the_fuzzer_knows_every_verb(void **state)
{
	cleanup_buf struct buf words = { 0 };

	(void)state;
	read_of_fuzzer("tests/fuzz/fuzz_control.dict", &words);
	for (unsigned verb = 0; verb < CTL_VERB_N; verb++) {
		cleanup_buf struct buf seed = { 0 };
		struct protocol_request p;
		char text[128];
		struct err e = { 0 };

		snprintf(text, sizeof(text), "\"\\\"%s\\\"\"", ctl_verb_name(verb));
		assert_contains(words.text, text);
		snprintf(text, sizeof(text), "tests/fuzz/corpus/fuzz_control/%s", ctl_verb_name(verb));
		read_of_fuzzer(text, &seed);
		assert_int_equal(seed.text[0] % 2, 0); /* a request */
		if (protocol_parse(seed.text + 1, seed.n - 1, &p, &e) < 0)
			fail_msg("%s: %s", text, e.text);
		assert_int_equal(p.msg.verb, verb);
	}
}

static void test_dnssec_keys(void **state)
{
	struct protocol_request p;
	struct err e;

	(void)state;
	assert_int_equal(parse("{\"version\":1,\"id\":1,\"do\":\"dnssec-enable\",\"zone\":\"a.b\",\"algorithm\":\"ed25519\"}",
			       &p, &e), 0);
	assert_string_equal(p.msg.zone, "a.b");
	assert_string_equal(p.msg.algorithm, "ed25519");
	assert_false(p.msg.force || p.msg.ds_gone || p.msg.has_ds_ttl);
	assert_int_equal(parse("{\"version\":1,\"id\":1,\"do\":\"dnssec-disable\",\"zone\":\"a.b\",\"ds_gone\":true,"
			       "\"force\":true,\"ds_ttl_s\":0}", &p, &e), 0);
	assert_true(p.msg.force && p.msg.ds_gone && p.msg.has_ds_ttl);
	assert_int_equal(p.msg.ds_ttl_s, 0);
	assert_int_equal(parse("{\"version\":1,\"id\":1,\"do\":\"dnssec-ds-seen\",\"zone\":\"a.b\",\"ds_ttl_s\":604800}", &p, &e),
			 0);
	assert_int_equal(p.msg.ds_ttl_s, 604800);
}

static void test_values_reach_the_request(void **state)
{
	struct protocol_request p;
	struct err e;

	(void)state;
	assert_int_equal(
		parse("{\"do\":\"log\",\"follow\":true,\"n\":1000,\"id\":\"a\\\"b\\u00e4\",\"version\":1}",
		      &p, &e),
		0);
	assert_true(p.msg.follow);
	assert_int_equal(p.msg.n, 1000);
	assert_string_equal(p.id, "\"a\\\"b\xc3\xa4\"");
	assert_int_equal(parse("{\"version\":1,\"id\":-7,\"do\":\"trace\"}", &p, &e), 0);
	assert_string_equal(p.id, "-7");
	assert_string_equal(p.msg.service, "");
	assert_int_equal(p.msg.n, PROTOCOL_TRACE_N);
	assert_int_equal(parse("{\"version\":1,\"id\":1,\"do\":\"log\"}", &p, &e), 0);
	assert_int_equal(p.msg.n, PROTOCOL_LOG_N);
	assert_int_equal(parse("{\"version\":1,\"id\":1,\"do\":\"flows\",\"service\":\"www\",\"n\":7}", &p, &e), 0);
	assert_string_equal(p.msg.service, "www");
	assert_int_equal(p.msg.n, 7);
	assert_false(p.needs_admin);
	assert_int_equal(parse("{\"version\":1,\"id\":1,\"do\":\"flows\"}", &p, &e), 0);
	assert_int_equal(p.msg.n, PROTOCOL_N_MAX);
	assert_int_equal(parse("{\"version\":1,\"id\":1,\"do\":\"cancel\",\"of\":\"x\"}", &p, &e), 0);
	assert_true(p.cancel);
	assert_string_equal(p.of, "\"x\"");
}

static void assert_refused(const char *keys, int error, const char *words)
{
	struct protocol_request p;
	char line[256];
	struct err e;

	snprintf(line, sizeof(line), "{\"version\":1,\"id\":1%s}", keys);
	assert_int_equal(parse(line, &p, &e), error);
	assert_contains(e.text, words);
}

/* What a client wrote reaches the launcher as our own writer writes it. */
static void test_changes_of_the_registry(void **state)
{
	static char line[PROTOCOL_LINE_MAX];
	struct protocol_request p;
	struct err e;

	(void)state;
	assert_int_equal(parse("{\"version\":1,\"id\":1,\"do\":\"set\",\"service\":\"www\",\"dry_run\":true,\"record\":"
			       "{ \"ttl\" :\"\\u0031s\", \"machine\":{\"memory\":null} , \"ports\":[80 ,1e1]}}", &p, &e), 0);
	assert_string_equal(p.msg.record, "{\"ttl\":\"1s\",\"machine\":{\"memory\":null},\"ports\":[80,1e1]}");
	assert_true(p.msg.dry_run);
	assert_true(p.needs_admin);
	assert_int_equal(parse("{\"version\":1,\"id\":1,\"do\":\"import\",\"more\":true,\"exact\":true,\"new\":true,"
			       "\"record\":{\"services\":[]}}", &p, &e), 0);
	assert_true(p.msg.more && p.msg.exact && p.msg.fresh);
	assert_int_equal(parse("{\"version\":1,\"id\":1,\"do\":\"rollback\",\"revision\":0}", &p, &e), 0);
	assert_int_equal(p.msg.revision, 0);
	assert_int_equal(parse("{\"version\":1,\"id\":1,\"do\":\"rename\",\"service\":\"a\",\"to\":\"b\"}", &p, &e), 0);
	assert_string_equal(p.msg.to, "b");
	assert_int_equal(parse("{\"version\":1,\"id\":1,\"do\":\"adopt\",\"dry_run\":true,"
			       "\"record\":{\"machine\":{\"domain\":\"vm 1\"}}}", &p, &e), 0);
	assert_int_equal(p.msg.verb, CTL_ADOPT);
	assert_string_equal(p.msg.record, "{\"machine\":{\"domain\":\"vm 1\"}}");
	assert_true(p.msg.dry_run && p.needs_admin);
	assert_refused(",\"do\":\"adopt\"", -EINVAL, "\"adopt\" needs \"record\"");
	assert_refused(",\"do\":\"set\",\"service\":\"www\"", -EINVAL, "\"set\" needs \"record\"");
	assert_refused(",\"do\":\"set\",\"service\":\"www\",\"record\":1", -EINVAL, "expected an object, got a number");
	assert_refused(",\"do\":\"rename\",\"service\":\"www\"", -EINVAL, "\"rename\" needs \"to\"");
	assert_refused(",\"do\":\"rename\",\"service\":\"www\",\"to\":\"\"", -EINVAL, "expected 1 to 63 bytes");
	assert_refused(",\"do\":\"diff\"", -EINVAL, "\"diff\" needs \"revision\"");
	assert_refused(",\"do\":\"diff\",\"revision\":-1", -EINVAL, "expected a whole number from 0 on, got -1");
	assert_refused(",\"do\":\"diff\",\"revision\":1,\"dry_run\":true", -EINVAL, "\"diff\" takes no \"dry_run\"");
	assert_refused(",\"do\":\"remove\",\"service\":\"www\",\"dry_run\":1", -EINVAL, "expected true or false");
	assert_refused(",\"do\":\"remove\",\"service\":\"www\",\"exact\":true", -EINVAL, "takes no \"exact\"");
	snprintf(line, sizeof(line), "{\"version\":1,\"id\":1,\"do\":\"add\",\"record\":{\"name\":\"%0*d\"}}",
		 MSG_RECORD_MAX, 0);
	assert_int_equal(parse(line, &p, &e), -EMSGSIZE);
	assert_contains(e.text, "\"record\": longer than");
}

static void test_bad_requests_say_what_is_wrong(void **state)
{
#define V "{\"version\":1,\"id\":5,"
	static const struct {
		const char *line;
		int error;
		const char *id, *says;
	} cases[] = {
		{ "{", -EINVAL, "null", "no valid JSON: column" },
		{ "hello", -EINVAL, "null", "no valid JSON: column 1" },
		{ "[1]", -EINVAL, "null", "a request is an object, this is an array" },
		{ "{}", -EINVAL, "null", "\"version\" is missing" },
		{ "{\"version\":1}", -EINVAL, "null", "\"id\" is missing" },
		{ "{\"version\":1,\"id\":5}", -EINVAL, "5", "\"do\" is missing" },
		{ "{\"version\":2,\"id\":5}", -EPROTONOSUPPORT, "5",
		  "version 2 of the protocol is not served here; served: 1" },
		{ "{\"version\":2,\"id\":5,\"new\":1}", -EPROTONOSUPPORT, "5", "served: 1" },
		{ "{\"version\":1.0,\"id\":5}", -EPROTONOSUPPORT, "5", "version 1.0" },
		{ "{\"version\":\"1\",\"id\":5}", -EINVAL, "5",
		  "\"version\": expected a number, got a string" },
		{ "{\"version\":1,\"id\":null}", -EINVAL, "null",
		  "\"id\": expected a number or a string, got null" },
		{ "{\"version\":1,\"id\":1.5}", -EINVAL, "null", "\"id\": expected a whole number" },
		{ "{\"version\":1,\"id\":99999999999999999999}", -EINVAL, "null",
		  "\"id\": expected a whole number" },
		{ "{\"version\":1,\"id\":"
		  "\"12345678901234567890123456789012345678901234567890123456789012345\"}",
		  -EINVAL, "null", "\"id\": longer than 64 bytes" },
		{ V "\"do\":7}", -EINVAL, "5", "\"do\": expected a string, got a number" },
		{ V "\"do\":\"lits\"}", -EINVAL, "5", "\"do\": unknown \"lits\", did you mean \"list\"?" },
		{ V "\"do\":\"cancle\"}", -EINVAL, "5", "did you mean \"cancel\"?" },
		{ V "\"do\":\"abracadabra\"}", -EINVAL, "5", "\"do\": unknown \"abracadabra\"" },
		{ V "\"do\":\"\"}", -EINVAL, "5", "\"do\": unknown \"\"" },
		{ V "\"do\":\"log\",\"folow\":true}", -EINVAL, "5",
		  "\"folow\": unknown key, did you mean \"follow\"?" },
		{ V "\"do\":\"log\",\"xyzzy\":true}", -EINVAL, "5", "\"xyzzy\": unknown key for \"log\"" },
		{ V "\"do\":\"list\",\"folow\":true}", -EINVAL, "5", "\"folow\": unknown key for \"list\"" },
		{ V "\"do\":\"list\",\"service\":\"www\"}", -EINVAL, "5", "\"list\" takes no \"service\"" },
		{ V "\"do\":\"flows\",\"follow\":true}", -EINVAL, "5", "\"flows\" takes no \"follow\"" },
		{ V "\"do\":\"log\",\"of\":1}", -EINVAL, "5", "\"log\" takes no \"of\"" },
		{ V "\"do\":\"show\"}", -EINVAL, "5", "\"show\" needs \"service\"" },
		{ V "\"do\":\"show\",\"service\":\"\"}", -EINVAL, "5", "the name is empty" },
		{ V "\"do\":\"show\",\"service\":[]}", -EINVAL, "5",
		  "\"service\": expected a string, got an array" },
		{ V "\"do\":\"show\",\"service\":"
		    "\"1234567890123456789012345678901234567890123456789012345678901234\"}",
		  -ENOENT, "5", "more than 63 bytes" },
		{ V "\"do\":\"trace\",\"n\":\"3\"}", -EINVAL, "5", "\"n\": expected a number, got a string" },
		{ V "\"do\":\"trace\",\"n\":-1}", -EINVAL, "5", "\"n\": expected 1..1000, got -1" },
		{ V "\"do\":\"trace\",\"n\":0}", -EINVAL, "5", "\"n\": expected 1..1000, got 0" },
		{ V "\"do\":\"trace\",\"n\":1001}", -EINVAL, "5", "\"n\": expected 1..1000, got 1001" },
		{ V "\"do\":\"trace\",\"n\":1e2}", -EINVAL, "5", "\"n\": expected 1..1000, got 1e2" },
		{ V "\"do\":\"dnssec-ds\",\"zone\":\"\"}", -EINVAL, "5", "the name is empty" },
		{ V "\"do\":\"dnssec-ds\",\"zone\":7}", -EINVAL, "5", "\"zone\": expected a string, got a number" },
		{ V "\"do\":\"dnssec-ds\",\"zone\":\"x\",\"force\":true}", -EINVAL, "5",
		  "\"dnssec-ds\" takes no \"force\"" },
		{ V "\"do\":\"dnssec-enable\",\"zone\":\"x\",\"algorithm\":13}", -EINVAL, "5",
		  "\"algorithm\": expected a string" },
		{ V "\"do\":\"dnssec-enable\",\"zone\":\"x\",\"algorithm\":\"abcdefghijklmnopqrstuvwxyz\"}", -EINVAL, "5",
		  "\"algorithm\": unknown" },
		{ V "\"do\":\"dnssec-ds-seen\",\"zone\":\"x\",\"ds_ttl_s\":604801}", -EINVAL, "5",
		  "\"ds_ttl_s\": expected 0..604800, got 604801" },
		{ V "\"do\":\"dnssec-ds-seen\",\"zone\":\"x\",\"force\":1}", -EINVAL, "5",
		  "\"force\": expected true or false" },
		{ V "\"do\":\"log\",\"follow\":1}", -EINVAL, "5",
		  "\"follow\": expected true or false, got a number" },
		{ V "\"do\":\"cancel\"}", -EINVAL, "5", "\"cancel\" needs \"of\"" },
		{ V "\"do\":\"cancel\",\"of\":true}", -EINVAL, "5", "\"of\": expected a number or a string" },
		{ V "\"do\":\"list\",\"do\":\"list\"}", -EINVAL, "null", "no valid JSON" },
		{ V "\"do\":\"list\"} x", -EINVAL, "null", "no valid JSON" },
		{ V "\"do\":\"l\xff\"}", -EINVAL, "null", "no valid JSON" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct protocol_request p;
		struct err e;

		if (parse(cases[i].line, &p, &e) != cases[i].error)
			fail_msg("%s: not %d", cases[i].line, cases[i].error);
		assert_int_equal(e.code, cases[i].error);
		assert_string_equal(p.id, cases[i].id);
		assert_contains(e.text, cases[i].says);
	}
}

static void test_a_line_has_a_limit(void **state)
{
	char *line = malloc(PROTOCOL_LINE_MAX + 1);
	struct protocol_request p;
	struct err e;
	int n = sprintf(line, "{\"version\":1,\"id\":1,\"do\":\"list\"}");

	(void)state;
	memset(line + n, ' ', (size_t)(PROTOCOL_LINE_MAX + 1 - n));
	assert_int_equal(protocol_parse(line, PROTOCOL_LINE_MAX, &p, &e), 0);
	assert_int_equal(protocol_parse(line, PROTOCOL_LINE_MAX + 1, &p, &e), -EMSGSIZE);
	assert_int_equal(protocol_parse(line, 0, &p, &e), -EINVAL);
	free(line);
}

/* ---- answers ---- */

static struct msg_ctl_row row;

static void field(const char *key, enum ctl_kind kind, const char *value)
{
	struct msg_ctl_field *f = &row.fields[row.n_fields++];

	str_copy(f->key, key);
	f->kind = (uint8_t)kind;
	str_copy(f->value, value);
}

static void assert_row(const char *expected)
{
	struct buf out = { 0 };

	protocol_row("7", &row, &out);
	assert_int_equal(out.error, 0);
	assert_string_equal(out.text, expected);
	buf_free(&out);
	memset(&row, 0, sizeof(row));
}

static void test_rows_become_objects(void **state)
{
	(void)state;
	assert_row("{\"id\":7,\"row\":{}}\n");
	field("s", CTL_STR, "a\"\n\x1b");
	field("n", CTL_NUM, "-1.5e3");
	field("t", CTL_BOOL, "true");
	field("f", CTL_BOOL, "false");
	field("z", CTL_NULL, "ignored");
	assert_row("{\"id\":7,\"row\":{\"s\":\"a\\\"\\n\\u001b\",\"n\":-1.5e3,\"t\":true,\"f\":false,\"z\":"
		   "null}}\n");
}

static void test_lists_are_gathered_at_their_first_place(void **state)
{
	(void)state;
	field("ports", CTL_NUM, "80");
	field("one", CTL_LIST_STR, "x");
	field("none", CTL_LIST_EMPTY, "");
	field("ports", CTL_NUM, "443");
	field("nums", CTL_LIST_NUM, "1");
	assert_row("{\"id\":7,\"row\":{\"ports\":[80,443],\"one\":[\"x\"],\"none\":[],\"nums\":[1]}}\n");
}

static void test_what_is_no_number_becomes_a_string(void **state)
{
	static const char *const bad[] = { "",    "-",    "01",  "1.", ".5", "1e",
					   "1e+", "0x10", "nan", "1 ", "+1", "1}" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char expected[80];

		field("n", CTL_NUM, bad[i]);
		snprintf(expected, sizeof(expected), "{\"id\":7,\"row\":{\"n\":\"%s\"}}\n", bad[i]);
		assert_row(expected);
	}
	field("n", CTL_NUM, "0");
	field("m", CTL_NUM, "10.25E-3");
	assert_row("{\"id\":7,\"row\":{\"n\":0,\"m\":10.25E-3}}\n");
}

static void test_a_key_that_is_none_is_left_out(void **state)
{
	(void)state;
	field("", CTL_STR, "x");
	field("a b", CTL_STR, "x");
	field("\xff", CTL_STR, "x");
	field("ok_1", CTL_STR, "x");
	assert_row("{\"id\":7,\"row\":{\"ok_1\":\"x\"}}\n");
}

static void assert_data(const void *bytes, size_t n, const char *expected)
{
	static struct msg_ctl_data data;
	struct buf out = { 0 };

	memset(&data, 0, sizeof(data));
	memcpy(data.data, bytes, n);
	data.n = (uint16_t)n;
	protocol_data("\"c\"", &data, &out);
	assert_string_equal(out.text, expected);
	buf_free(&out);
}

static void test_data_is_text_or_base64(void **state)
{
	(void)state;
	assert_data("", 0, "{\"id\":\"c\",\"data\":\"\"}\n");
	assert_data("ready \xc3\xa4\r\n", 10, "{\"id\":\"c\",\"data\":\"ready \xc3\xa4\\r\\n\"}\n");
	assert_data("\xff", 1, "{\"id\":\"c\",\"base64\":\"/w==\"}\n");
	assert_data("a\0", 2, "{\"id\":\"c\",\"base64\":\"YQA=\"}\n");
	assert_data("abc\xc3", 4, "{\"id\":\"c\",\"base64\":\"YWJjww==\"}\n");
	assert_data("ab\xed\xa0\x80\xff", 6, "{\"id\":\"c\",\"base64\":\"YWLtoID/\"}\n");
}

static void test_the_longest_data_fits(void **state)
{
	static struct msg_ctl_data data;
	struct buf out = { 0 };

	(void)state;
	data.n = MSG_DATA_MAX;
	memset(data.data, 0xff, MSG_DATA_MAX);
	protocol_data("1", &data, &out);
	assert_int_equal(out.n, strlen("{\"id\":1,\"base64\":\"\"}\n") + (MSG_DATA_MAX + 2) / 3 * 4);
	buf_free(&out);
}

static void test_end_and_errors(void **state)
{
	struct buf out = { 0 };

	(void)state;
	protocol_end("7", &out);
	protocol_error("null", -ENOENT, "no \"x\"", &out);
	protocol_error("7", -EPROTONOSUPPORT, "v", &out);
	protocol_error("7", -100000, "odd", &out);
	protocol_error("7", 0, "odd", &out);
	assert_string_equal(
		out.text,
		"{\"id\":7,\"end\":true}\n"
		"{\"id\":null,\"error\":{\"code\":\"ENOENT\",\"text\":\"no \\\"x\\\"\"}}\n"
		"{\"id\":7,\"error\":{\"code\":\"EPROTONOSUPPORT\",\"text\":\"v\",\"versions\":[1]}}\n"
		"{\"id\":7,\"error\":{\"code\":\"EIO\",\"text\":\"odd\"}}\n"
		"{\"id\":7,\"error\":{\"code\":\"EIO\",\"text\":\"odd\"}}\n");
	buf_free(&out);
}

static void test_watching(void **state)
{
	struct protocol_request p;
	struct err e;

	(void)state;
	assert_int_equal(parse("{\"version\":1,\"id\":1,\"do\":\"watch\",\"service\":\"www\"}", &p, &e), 0);
	assert_true(p.watch);
	assert_false(p.cancel || p.needs_admin);
	assert_string_equal(p.msg.service, "www");
	assert_int_equal(parse("{\"version\":1,\"id\":1,\"do\":\"watch\",\"n\":1}", &p, &e), -EINVAL);
	assert_contains(e.text, "\"watch\" takes no \"n\"");
	assert_int_equal(parse("{\"version\":1,\"id\":1,\"do\":\"list\"}", &p, &e), 0);
	assert_false(p.watch);
}

static void test_events_become_objects(void **state)
{
	struct msg_ctl_event m = { .number = 5, .wall_ms = 1000, .event = CTL_EVENT_WOKEN, .wake = 3, .cause = CAUSE_SYN,
				   .ms = 97, .service = "www", .result = "up" };
	struct buf out = { 0 };

	(void)state;
	assert_int_equal(ip_parse("10.0.0.5", &m.client), 0);
	protocol_event(&m, &out);
	assert_string_equal(out.text, "{\"number\":5,\"wall_ms\":1000,\"event\":\"woken\",\"service\":\"www\","
				      "\"wake\":3,\"cause\":\"syn\",\"client\":\"10.0.0.5\",\"result\":\"up\","
				      "\"took_ms\":97,\"reason\":\"\"}");
	buf_free(&out);
	m = (struct msg_ctl_event){ .number = 6, .event = CTL_EVENT_REVISION, .revision = 12, .changes = 2, .uid = 4,
				    .text = "set" };
	protocol_event(&m, &out);
	assert_string_equal(out.text, "{\"number\":6,\"wall_ms\":0,\"event\":\"revision\",\"revision\":12,\"changes\":2,"
				      "\"uid\":4,\"command\":\"set\"}");
	buf_free(&out);
	m = (struct msg_ctl_event){ .number = 7, .event = CTL_EVENT_STATE, .service = "www", .state = STATE_UP,
				    .before = STATE_BOOTING, .text = "ready" };
	protocol_event(&m, &out);
	assert_contains(out.text, "\"state\":\"up\",\"before\":\"booting\",\"reason\":\"ready\"}");
	buf_clear(&out);
	m = (struct msg_ctl_event){ .number = 8, .event = CTL_EVENT_RELOAD, .result = "refused", .text = "x" };
	protocol_event(&m, &out);
	assert_contains(out.text, "\"event\":\"reload\",\"result\":\"refused\",\"reason\":\"x\"}");
	buf_clear(&out);
	protocol_event_line("\"x\"", "{\"a\":1}", &out);
	protocol_missed("7", 9, &out);
	assert_string_equal(out.text, "{\"id\":\"x\",\"row\":{\"a\":1}}\n"
				      "{\"id\":7,\"row\":{\"event\":\"missed\",\"missed\":9}}\n");
	buf_free(&out);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_verb_parses),
		cmocka_unit_test(test_the_fuzzer_knows_every_verb),
		cmocka_unit_test(test_dnssec_keys),
		cmocka_unit_test(test_values_reach_the_request),
		cmocka_unit_test(test_changes_of_the_registry),
		cmocka_unit_test(test_bad_requests_say_what_is_wrong),
		cmocka_unit_test(test_a_line_has_a_limit),
		cmocka_unit_test(test_rows_become_objects),
		cmocka_unit_test(test_lists_are_gathered_at_their_first_place),
		cmocka_unit_test(test_what_is_no_number_becomes_a_string),
		cmocka_unit_test(test_a_key_that_is_none_is_left_out),
		cmocka_unit_test(test_data_is_text_or_base64),
		cmocka_unit_test(test_the_longest_data_fits),
		cmocka_unit_test(test_end_and_errors),
		cmocka_unit_test(test_watching),
		cmocka_unit_test(test_events_become_objects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
