#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cmd/listing.h"

static const struct term ascii = { .width = 80 };

enum { ROWS_MAX = 4 };

/* Rows of JSON, up to NULL, as they are shown. */
static void assert_listed(enum listing_of of, const char *const rows[ROWS_MAX], const char *expected)
{
	struct listing *l = listing_new(of, &ascii);
	struct buf out = { 0 };

	assert_non_null(l);
	for (size_t i = 0; i < ROWS_MAX && rows[i]; i++) {
		struct json_place at;
		struct err e;
		struct json *doc = json_parse(rows[i], strlen(rows[i]), &at, &e);

		assert_non_null(doc);
		assert_int_equal(listing_add(l, json_root(doc)), 0);
		json_free(doc);
	}
	listing_print(l, &out);
	assert_string_equal(out.text ? out.text : "", expected);
	buf_free(&out);
	listing_free(l);
}

static void test_services_with_remarks_and_gaps(void **state)
{
	static const char *const rows[ROWS_MAX] = {
		"{\"name\":\"www\",\"state\":\"up\",\"ip\":[\"10.0.0.1\",\"fd00::1\"],\"wakes\":2}",
		"{\"name\":\"db\",\"state\":\"failed\",\"ip\":[],\"reason\":\"no kernel\","
		"\"not_held_because\":\"its port is on no bridge\"}",
	};

	(void)state;
	assert_listed(LISTING_SERVICES, rows,
		      "NAME  STATE   ADDRESS      RUNS  STOPS IN  WAKES  TOOK  MEMORY\n"
		      "www   up      10.0.0.1 +1     -         -      2     -       -\n"
		      "db    failed  -               -         -      -     -       -\n"
		      "\n"
		      "db: no kernel\n"
		      "db: clients are not held: its port is on no bridge\n");
}

static void test_counts_that_are_not_zero(void **state)
{
	static const char *const rows[ROWS_MAX] = {
		"{\"workers\":2,\"queries_udp4\":1234567,\"queries_udp6\":0,\"type_a\":1234567,\"queue_full\":3}",
	};

	(void)state;
	assert_listed(LISTING_COUNTS, rows,
		      "WHAT           NUMBER\n"
		      "workers             2\n"
		      "queries udp4  1234567\n"
		      "type a        1234567\n"
		      "queue full          3\n");
}

static void test_flows_of_both_families(void **state)
{
	static const char *const rows[ROWS_MAX] = {
		"{\"service\":\"www\",\"proto\":\"tcp\",\"client\":\"10.0.0.5\",\"client_port\":40001,"
		"\"addr\":\"10.0.0.20\",\"port\":80,\"age_ms\":1204,\"packets\":2,\"state\":\"booting\"}",
		"{\"service\":\"log\",\"proto\":\"udp\",\"client\":\"fd00::5\",\"client_port\":514,"
		"\"addr\":\"fd00::20\",\"port\":514,\"age_ms\":7,\"packets\":1,\"state\":\"starting\"}",
		"{\"held\":2}",
	};

	(void)state;
	assert_listed(LISTING_FLOWS, rows,
		      "SERVICE  PROTO  CLIENT          PORT   AGE  PACKETS  STATE\n"
		      "www      tcp    10.0.0.5:40001    80  1.2s        2  booting\n"
		      "log      udp    [fd00::5]:514    514   7ms        1  starting\n");
}

static void test_flows_not_shown_are_counted(void **state)
{
	static const char *const rows[ROWS_MAX] = {
		"{\"service\":\"www\",\"proto\":\"tcp\",\"client\":\"10.0.0.5\",\"client_port\":1,"
		"\"port\":80,\"age_ms\":5,\"packets\":1,\"state\":\"off\"}",
		"{\"held\":100000}",
	};

	(void)state;
	assert_listed(LISTING_FLOWS, rows,
		      "SERVICE  PROTO  CLIENT      PORT  AGE  PACKETS  STATE\n"
		      "www      tcp    10.0.0.5:1    80  5ms        1  off\n"
		      "\n"
		      "99999 more are held and not shown\n");
}

/* The widest there is: the longest name, IPv6 without a zero. */
static void test_flows_fit_a_terminal(void **state)
{
	static const char row[] =
		"{\"service\":\"a-service-with-a-name-as-long-as-it-may-be\",\"proto\":\"tcp\","
		"\"client\":\"2001:db8:1111:2222:3333:4444:5555:6666\",\"client_port\":65535,"
		"\"port\":65535,\"age_ms\":59999,\"packets\":4294967295,\"state\":\"suspended\"}";
	struct listing *l = listing_new(LISTING_FLOWS, &ascii);
	struct json_place at;
	struct err e;
	struct json *doc = json_parse(row, strlen(row), &at, &e);
	struct buf out = { 0 };

	(void)state;
	assert_int_equal(listing_add(l, json_root(doc)), 0);
	listing_print(l, &out);
	for (char *line = strtok(out.text, "\n"); line; line = strtok(NULL, "\n"))
		assert_true(text_width(line) <= 80);
	buf_free(&out);
	listing_free(l);
	json_free(doc);
}

static void test_nothing_listed_prints_nothing(void **state)
{
	static const char *const none[ROWS_MAX], *const total[ROWS_MAX] = { "{\"held\":0}" };

	(void)state;
	assert_listed(LISTING_SERVICES, none, "");
	assert_listed(LISTING_FLOWS, none, "");
	assert_listed(LISTING_FLOWS, total, "");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_services_with_remarks_and_gaps),
		cmocka_unit_test(test_counts_that_are_not_zero),
		cmocka_unit_test(test_flows_of_both_families),
		cmocka_unit_test(test_flows_not_shown_are_counted),
		cmocka_unit_test(test_flows_fit_a_terminal),
		cmocka_unit_test(test_nothing_listed_prints_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
