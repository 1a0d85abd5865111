#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cmd/dnssec.h"

#define NOW 1767323145678ull
#define ROW \
	"{\"zone\":\"jitsu.example\",\"key_tag\":12345,\"algorithm\":13,\"role\":\"active\",\"flags\":257," \
	"\"ds_sha256\":\"0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF\"," \
	"\"ds_sha384\":\"0123456789ABCDEF0123456789ABCDEF0123456789ABCDEFFEDCBA9876543210FEDCBA9876543210FEDCBA9876543210\"," \
	"\"dnskey\":\"GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==\"," \
	"\"cds\":%s,\"todo\":\"give this DS to the parent; when it is there, run \\\"jitsuctl dnssec ds-seen\\\"\"%s}"

static void render(const char *row, struct buf *out)
{
	static const struct term ascii = { .width = 80 };
	struct json_place at;
	struct err e;
	struct json *doc = json_parse(row, strlen(row), &at, &e);

	if (!doc)
		fail_msg("%s: %s", row, e.text);
	dnssec_render_ds(json_root(doc), &ascii, NOW, out);
	json_free(doc);
}

static void test_ds_records_are_lines_of_a_zone_file(void **state)
{
	struct buf out = { 0 };
	char row[1024];

	(void)state;
	snprintf(row, sizeof(row), ROW, "true", "");
	render(row, &out);
	assert_string_equal(
		out.text,
		"; Key 12345 of jitsu.example (active).\n"
		"jitsu.example. IN DS 12345 13 2 (\n"
		"    0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF )\n"
		"jitsu.example. IN DS 12345 13 4 (\n"
		"    0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF\n"
		"    FEDCBA9876543210FEDCBA9876543210FEDCBA9876543210 )\n"
		"jitsu.example. IN DNSKEY 257 3 13 (\n"
		"    GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edb\n"
		"    krSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA== )\n"
		"; The zone has CDS and CDNSKEY records that say the same, for a parent that\n"
		"; reads them.\n"
		"; What to do: give this DS to the parent; when it is there, run \"jitsuctl dnssec\n"
		"; ds-seen\".\n");
	buf_free(&out);
}

static void test_what_is_shown_fits(void **state)
{
	struct buf out = { 0 };
	char row[1024];

	(void)state;
	snprintf(row, sizeof(row), ROW, "false", ",\"not_before_wall_ms\":1767323145678");
	render(row, &out);
	assert_non_null(strstr(out.text, "Not before "));
	assert_null(strstr(out.text, "CDS"));
	for (const char *line = out.text; *line; line += strcspn(line, "\n") + 1)
		assert_true(strcspn(line, "\n") <= 80);
	buf_clear(&out);
	render("{\"zone\":\"x\\u001b[2J\"}", &out); /* whatever comes */
	assert_null(strchr(out.text, '\033'));
	buf_free(&out);
}

static void test_actions(void **state)
{
	static const struct {
		const char *action, *zone;
		struct dnssec_options o;
		const char *says; /* NULL: it is right */
	} cases[] = {
		{ "status", NULL, { .ds_ttl_s = -1 }, NULL },
		{ "status", "x", { .ds_ttl_s = -1 }, NULL },
		{ "status", "x", { .ds_ttl_s = -1, .force = true }, "dnssec status takes no --force" },
		{ "ds", NULL, { .ds_ttl_s = -1 }, "dnssec ds needs the name of a zone" },
		{ "enable", "x", { .ds_ttl_s = -1, .algorithm = "ed25519" }, NULL },
		{ "enable", "x", { .ds_ttl_s = 5 }, "dnssec enable takes no --ds-ttl" },
		{ "roll", "x", { .ds_ttl_s = -1, .ds_gone = true }, "dnssec roll takes no --yes-ds-is-gone" },
		{ "ds-seen", "x", { .ds_ttl_s = 0, .force = true }, NULL },
		{ "ds-seen", "x", { .ds_ttl_s = -1, .algorithm = "ed25519" }, "dnssec ds-seen takes no --algorithm" },
		{ "disable", "x", { .ds_ttl_s = 0, .force = true, .ds_gone = true }, NULL },
		{ "dsable", "x", { .ds_ttl_s = -1 }, "did you mean \"dnssec disable\"?" },
		{ "abracadabra", "x", { .ds_ttl_s = -1 }, "there is no command \"dnssec abracadabra\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = { 0 };
		const struct dnssec_action *a = dnssec_action_find(cases[i].action, &e);
		int r = a ? dnssec_action_check(a, cases[i].zone, &cases[i].o, &e) : e.code;

		assert_int_equal(r, cases[i].says ? -EINVAL : 0);
		if (cases[i].says && !strstr(e.text, cases[i].says))
			fail_msg("\"%s\" is not in \"%s\"", cases[i].says, e.text);
	}
}

static void test_ds_ttl(void **state)
{
	static const char *const bad[] = { "", "x", "5x", "-1", "604801", "1h" };
	struct err e;
	int64_t n;

	(void)state;
	assert_int_equal(dnssec_parse_ds_ttl("0", &n, &e), 0);
	assert_int_equal(n, 0);
	assert_int_equal(dnssec_parse_ds_ttl("604800", &n, &e), 0);
	assert_int_equal(n, 604800);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(dnssec_parse_ds_ttl(bad[i], &n, &e), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ds_records_are_lines_of_a_zone_file),
		cmocka_unit_test(test_what_is_shown_fits),
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_ds_ttl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
