#include "tests/dns/util.h"

#include "dns/zone_file.h"

static struct zone_file *open_text(const char *text)
{
	struct err e;
	struct zone_file *f = zone_file_new(text, strlen(text), "/zones/f", "e.example", 77, &e);

	assert_non_null(f);
	return f;
}

/* ---- what is read ---- */

static void assert_record(struct zone_file *f, const char *name, unsigned type, uint32_t ttl_s, const char *data, size_t n)
{
	char text[NAME_TEXT_MAX];
	struct zone_record r;
	struct err e = { .text = "" };

	if (zone_file_next(f, &r, &e) != 1)
		fail_msg("no record: %s", e.text);
	assert_string_equal(name_to_text(r.name.b, text), name);
	assert_int_equal(r.type, type);
	assert_int_equal(r.ttl_s, ttl_s);
	assert_int_equal(r.n, n);
	assert_memory_equal(r.data, data, n);
}

#define RECORD(f, name, type, ttl_s, data) assert_record(f, name, type, ttl_s, data, sizeof(data) - 1)

static void assert_end(struct zone_file *f)
{
	struct zone_record r;
	struct err e;

	assert_int_equal(zone_file_next(f, &r, &e), 0);
	assert_int_equal(zone_file_next(f, &r, &e), 0);
	zone_file_free(f);
}

static void test_owners_ttls_and_classes(void **state)
{
	struct zone_file *f = open_text("@ A 1.2.3.4\n"
					"www 10 IN A 1.2.3.4\n"
					"  IN 20 A 1.2.3.5\n"
					"; nothing\n\n   ; nor here\n"
					"\tA 1.2.3.6 ; the TTL before\n"
					"$TTL 1h30m\n"
					"WWW.Other.E.example. A 1.2.3.7\n"
					"x 1w2d3h4m5s class1 A 1.2.3.8\n"
					"y A 1.2.3.9");

	(void)state;
	RECORD(f, "e.example.", TYPE_A, 77, "\1\2\3\4");
	RECORD(f, "www.e.example.", TYPE_A, 10, "\1\2\3\4");
	RECORD(f, "www.e.example.", TYPE_A, 20, "\1\2\3\5");
	RECORD(f, "www.e.example.", TYPE_A, 20, "\1\2\3\6");
	RECORD(f, "www.other.e.example.", TYPE_A, 5400, "\1\2\3\7");
	RECORD(f, "x.e.example.", TYPE_A, 788645, "\1\2\3\10");
	RECORD(f, "y.e.example.", TYPE_A, 5400, "\1\2\3\11");
	assert_end(f);
}

static void test_origins(void **state)
{
	struct zone_file *f = open_text("$ORIGIN sub\na A 1.1.1.1\n$ORIGIN sub2\nb NS @\n$origin e.example.\nc MX 1 d\n");

	(void)state;
	RECORD(f, "a.sub.e.example.", TYPE_A, 77, "\1\1\1\1");
	RECORD(f, "b.sub2.sub.e.example.", TYPE_NS, 77, "\4sub2\3sub\1e\7example\0");
	RECORD(f, "c.e.example.", TYPE_MX, 77, "\0\1\1d\1e\7example\0");
	assert_end(f);
}

static void test_parentheses_quotes_and_escapes(void **state)
{
	struct zone_file *f = open_text("@ SOA n h ( 1 ; serial\n 2 3\n\n 4 5 ) ; the end\n"
					"a\\.b\\046c A ( 1.2.3.4 )\n"
					"t TXT \"a;b (c) \\\"d\\\"\" e\\032f ( \"g\"\n\"h\" )\n"
					"u TXT \"\"\n"
					"s SVCB 1 . alpn=\"h2,h3\" port=53\n"
					"\\@ A 1.2.3.5\n");

	(void)state;
	RECORD(f, "e.example.", TYPE_SOA, 77,
	       "\1n\1e\7example\0\1h\1e\7example\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5");
	RECORD(f, "a\\.b\\.c.e.example.", TYPE_A, 77, "\1\2\3\4");
	RECORD(f, "t.e.example.", TYPE_TXT, 77, "\13a;b (c) \"d\"\3e f\1g\1h");
	RECORD(f, "u.e.example.", TYPE_TXT, 77, "\0");
	RECORD(f, "s.e.example.", TYPE_SVCB, 77, "\0\1\0\0\1\0\6\2h2\2h3\0\3\0\2\0\65");
	RECORD(f, "\\@.e.example.", TYPE_A, 77, "\1\2\3\5");
	assert_end(f);
}

static void test_generic_types(void **state)
{
	struct zone_file *f = open_text("a TYPE65280 \\# 3 0a0B 0c\nb TYPE1 \\# 4 01020304\nb TYPE731 \\# 0\nc \\# 0\n");
	struct zone_record r;
	struct err e;

	(void)state;
	RECORD(f, "a.e.example.", 65280, 77, "\12\13\14");
	RECORD(f, "b.e.example.", TYPE_A, 77, "\1\2\3\4");
	RECORD(f, "b.e.example.", 731, 77, "");
	assert_int_equal(zone_file_next(f, &r, &e), -EINVAL);
	zone_file_free(f);
}

/* ---- mistakes have their line ---- */

static void test_mistakes(void **state)
{
	static const struct {
		const char *text;
		unsigned line;
		const char *why;
	} rows[] = {
		{ " A 1.2.3.4", 1, "there is no name yet" },
		{ "a A 1.2.3.4\n\nb A 1.2.3\n", 3, "the data of this A record cannot be understood" },
		{ "a A\n", 1, "cannot be understood" },
		{ "a MX 10\n", 1, "cannot be understood" },
		{ "a\n", 1, "there is a name, but no record" },
		{ "a 60 IN\n", 1, "there is a name, but no record" },
		{ "a FOO x\n", 1, "\"FOO\" is no record type" },
		{ "a CH A 1.2.3.4\n", 1, "is not the class of this zone" },
		{ "a 2147483648 A 1.2.3.4\n", 1, "is too long a time" },
		{ "a 99999999999999999999w A 1.2.3.4\n", 1, "is too long a time" },
		{ "a..b A 1.2.3.4\n", 1, "is no DNS name" },
		{ "a APL 1:1.0.0.0/8\n", 1, "\"APL\" has data that must be given as \\# LENGTH HEX" },
		{ "a TYPE9999 1\n", 1, "must be given as" },
		{ "a TYPE9999 \\# 2 01\n", 1, "as many bytes" },
		{ "a TYPE9999 \\# 2 010203\n", 1, "more than the length says" },
		{ "a TYPE9999 \\# 2 01zz\n", 1, "is not hex" },
		{ "a TYPE9999 \\#\n", 1, "as many bytes" },
		{ "$INCLUDE other\n", 1, "$INCLUDE is not supported" },
		{ "$GENERATE 1-3 a$ A 1.2.3.$\n", 1, "$GENERATE is not supported" },
		{ "$FOO\n", 1, "is no directive" },
		{ "$TTL\n", 1, "$TTL wants one time" },
		{ "$TTL 3x\n", 1, "$TTL wants one time" },
		{ "$ORIGIN a b\n", 1, "$ORIGIN wants one DNS name" },
		{ "a A 1.2.3.4\nb SOA n h (\n 1 2\n", 2, "a parenthesis is never closed" },
		{ "a A ) 1.2.3.4\n", 1, "a parenthesis was never opened" },
		{ "a TXT \"open\nb A 1.2.3.4\n", 1, "a quotation has no end" },
		{ "a TXT a\001b\n", 1, "a byte that is no text" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct zone_file *f = open_text(rows[i].text);
		struct zone_record r;
		struct err e = { .text = "" };
		char where[64];
		int got;

		while ((got = zone_file_next(f, &r, &e)) == 1)
			;
		snprintf(where, sizeof(where), "/zones/f, line %u: ", rows[i].line);
		if (got != -EINVAL || strncmp(e.text, where, strlen(where)) != 0 || !strstr(e.text, rows[i].why))
			fail_msg("\"%s\": %d, \"%s\"", rows[i].text, got, e.text);
		zone_file_free(f);
	}
}

static void test_a_record_that_is_too_long(void **state)
{
	size_t n = 400 * 1024;
	char *text = malloc(n + 1);
	struct zone_record r;
	struct zone_file *f;
	struct err e;

	(void)state;
	memset(text, 'x', n);
	memcpy(text, "a TXT ", 6);
	text[n] = '\0';
	f = open_text(text);
	assert_int_equal(zone_file_next(f, &r, &e), -EINVAL);
	assert_non_null(strstr(e.text, "too long"));
	zone_file_free(f);
	free(text);
}

static void test_a_file_that_cannot_be_read(void **state)
{
	struct err e;

	(void)state;
	assert_null(zone_file_open(-1, "/zones/f", "e.example", 60, &e));
	assert_non_null(strstr(e.text, "cannot read /zones/f"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_owners_ttls_and_classes),
		cmocka_unit_test(test_origins),
		cmocka_unit_test(test_parentheses_quotes_and_escapes),
		cmocka_unit_test(test_generic_types),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_a_record_that_is_too_long),
		cmocka_unit_test(test_a_file_that_cannot_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
