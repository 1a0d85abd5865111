/* The screen of `jitsuctl top`, and the lines of `jitsuctl watch`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cmd/event.h"
#include "cmd/top.h"

static const struct term term80 = { .width = 80 };

static struct json *parse(const char *text)
{
	struct json_place at;
	struct err e;
	struct json *doc = json_parse(text, strlen(text), &at, &e);

	if (!doc)
		fail_msg("%s: %s", text, e.text);
	return doc;
}

static void add(struct top *t, const char *text)
{
	struct json *doc = parse(text);

	assert_int_equal(top_add(t, json_root(doc)), 0);
	json_free(doc);
}

static struct top *three(void)
{
	struct top *t = top_new();

	top_begin(t);
	add(t, "{\"name\":\"www\",\"state\":\"up\",\"memory_bytes\":16777216,\"held\":3,\"running_ms\":61000,"
	       "\"woken_by\":\"syn\",\"woken_by_client\":\"192.168.1.5\",\"woken_ago_ms\":61500,\"last_wake_ms\":97,"
	       "\"wakes\":7}");
	add(t, "{\"name\":\"db\",\"state\":\"off\",\"memory_bytes\":134217728,\"held\":0,\"wakes\":0}");
	add(t, "{\"name\":\"api\",\"state\":\"failed\",\"memory_bytes\":1610612736,\"wakes\":2,\"last_wake_ms\":1200,"
	       "\"woken_by\":\"cli\",\"woken_ago_ms\":500}");
	top_done(t);
	return t;
}

static const char *screen(struct top *t, const struct term *term, size_t height)
{
	static char text[65536];
	cleanup_buf struct buf out = { 0 };
	size_t lines = 0;

	top_print(t, term, height, &out);
	snprintf(text, sizeof(text), "%s", out.text ? out.text : "");
	for (const char *line = text; *line; line += strcspn(line, "\n") + 1, lines++) {
		if (strcspn(line, "\n") > term->width)
			fail_msg("a line of %zu columns: %.*s", strcspn(line, "\n"), (int)strcspn(line, "\n"), line);
	}
	if (height > 0)
		assert_true(lines <= height);
	return text;
}

static void assert_contains(const char *text, const char *what)
{
	if (!strstr(text, what))
		fail_msg("\"%s\" is not in:\n%s", what, text);
}

/* The names in the first column, as they come. */
static void assert_order(const char *text, const char *a, const char *b)
{
	char first[32], second[32];
	const char *x, *y;

	snprintf(first, sizeof(first), "\n%s ", a);
	snprintf(second, sizeof(second), "\n%s ", b);
	x = strstr(text, first);
	y = strstr(text, second);
	if (!x || !y || x > y)
		fail_msg("%s is not before %s:\n%s", a, b, text);
}

static void test_a_screen(void **state)
{
	struct top *t = three();
	const char *text = screen(t, &term80, 24);

	(void)state;
	assert_contains(text, "3 services: 1 up, 0 on their way, 1 failed; 16 MiB used; 3 held\n");
	assert_contains(text, "sorted by name; keys: s sort");
	assert_contains(text, "NAME  STATE   CLIENT       HELD");
	assert_contains(text, "www   up      192.168.1.5     3   16 MiB  1m1s   1m1s  97ms\n");
	assert_contains(text, "db    off     -               0  128 MiB     -      -     -\n");
	assert_contains(text, "api   failed  cli             -  1.5 GiB     -  500ms  1.2s\n");
	assert_order(text, "api", "db");
	assert_order(text, "db", "www");
	top_free(t);
}

static void test_keys_sort_and_end(void **state)
{
	static const struct {
		const char *by, *first, *second;
	} orders[] = {
		{ "state", "api", "www" }, { "held", "www", "api" }, { "memory", "www", "api" },
		{ "last wake", "api", "www" }, { "time of the last wake", "api", "www" }, { "name", "api", "www" },
	};
	struct top *t = three();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		const char *text;
		char by[64];

		assert_true(top_key(t, 's'));
		text = screen(t, &term80, 24);
		snprintf(by, sizeof(by), "sorted by %s;", orders[i].by);
		assert_contains(text, by);
		assert_order(text, orders[i].first, orders[i].second);
	}
	assert_true(top_key(t, 'S'));
	assert_contains(screen(t, &term80, 24), "sorted by time of the last wake;");
	assert_true(top_key(t, 'x'));
	assert_false(top_key(t, 'q'));
	top_free(t);
}

static struct top *many(unsigned n)
{
	struct top *t = top_new();
	char row[128];

	top_begin(t);
	for (unsigned i = 0; i < n; i++) {
		snprintf(row, sizeof(row), "{\"name\":\"svc%03u\",\"state\":\"off\",\"memory_bytes\":1048576}", i);
		add(t, row);
	}
	top_done(t);
	return t;
}

static void test_scrolling_stays_inside(void **state)
{
	struct top *t = many(100);

	(void)state;
	assert_contains(screen(t, &term80, 24), "1 to 19 of 100\n");
	top_key(t, TOP_DOWN);
	assert_contains(screen(t, &term80, 24), "2 to 20 of 100\n");
	top_key(t, ' ');
	assert_contains(screen(t, &term80, 24), "21 to 39 of 100\n");
	top_key(t, TOP_END);
	assert_contains(screen(t, &term80, 24), "82 to 100 of 100\n");
	top_key(t, 'j');
	assert_contains(screen(t, &term80, 24), "82 to 100 of 100\n");
	top_key(t, TOP_PAGE_UP);
	assert_contains(screen(t, &term80, 24), "63 to 81 of 100\n");
	/* another size, and fewer services */
	assert_contains(screen(t, &term80, 60), "46 to 100 of 100\n");
	top_begin(t);
	add(t, "{\"name\":\"last\",\"state\":\"up\"}");
	top_done(t);
	assert_contains(screen(t, &term80, 24), "\nlast  up");
	for (int i = 0; i < 200; i++)
		top_key(t, TOP_UP);
	screen(t, &term80, 1);
	screen(t, &term80, 5);
	top_free(t);
}

static void test_a_narrow_screen_and_hostile_words(void **state)
{
	static const struct term narrow = { .width = 60 };
	struct top *t = three();

	(void)state;
	top_begin(t);
	add(t, "{\"name\":\"a-name-that-is-rather-long-for-a-column\",\"state\":\"\\u001b[2Jup\",\"memory_bytes\":1,"
	       "\"woken_by_client\":\"fd00:1234:5678:9abc:def0:1234:5678:9abc\",\"running_ms\":99999999,"
	       "\"woken_ago_ms\":99999999,\"last_wake_ms\":123456,\"held\":65536}");
	top_done(t);
	assert_null(strchr(screen(t, &narrow, 24), '\033'));
	top_free(t);
}

static void test_a_complaint_until_the_next_listing(void **state)
{
	struct top *t = three();

	(void)state;
	top_complain(t, "jitsud closed the connection");
	assert_contains(screen(t, &term80, 24), "\njitsud closed the connection\n");
	assert_contains(screen(t, &term80, 24), "\nwww ");
	top_begin(t);
	top_done(t);
	assert_contains(screen(t, &term80, 24), "0 services");
	assert_null(strstr(screen(t, &term80, 24), "closed"));
	top_free(t);
}

static void test_no_terminal_is_all_of_the_table(void **state)
{
	struct top *t = many(100);
	const char *text = screen(t, &term80, 0);

	(void)state;
	assert_int_equal(strncmp(text, "NAME", 4), 0);
	assert_contains(text, "\nsvc000 ");
	assert_contains(text, "\nsvc099 ");
	assert_null(strstr(text, "keys"));
	top_free(t);
}

/* ---- events ---- */

static const struct {
	const char *row, *line;
} events[] = {
	{ "{\"number\":4,\"wall_ms\":1767323045678,\"event\":\"begin\"}", " 4 from here on every event is shown\n" },
	{ "{\"number\":5,\"wall_ms\":1767323045678,\"event\":\"state\",\"service\":\"www\",\"state\":\"up\","
	  "\"before\":\"booting\",\"reason\":\"ready\"}", " 5 www: booting -> up: ready\n" },
	{ "{\"number\":6,\"wall_ms\":1767323045678,\"event\":\"wake\",\"service\":\"www\",\"wake\":3,\"cause\":\"syn\","
	  "\"client\":\"10.0.0.9\"}", " 6 www is woken by syn from 10.0.0.9 (wake 3)\n" },
	{ "{\"number\":7,\"wall_ms\":1767323045678,\"event\":\"wake\",\"service\":\"www\",\"wake\":3,\"cause\":\"cli\"}",
	  " 7 www is woken by jitsuctl (wake 3)\n" },
	{ "{\"number\":8,\"wall_ms\":1767323045678,\"event\":\"woken\",\"service\":\"www\",\"wake\":3,\"cause\":\"syn\","
	  "\"result\":\"up\",\"took_ms\":97,\"reason\":\"\"}", " 8 www: wake 3: up after 97 ms\n" },
	{ "{\"number\":9,\"wall_ms\":1767323045678,\"event\":\"revision\",\"service\":\"www\",\"revision\":12,\"changes\":1,"
	  "\"uid\":0,\"command\":\"set www ttl=5s\"}", " 9 registry: revision 12 by uid 0: set www ttl=5s\n" },
	{ "{\"number\":9,\"event\":\"reload\",\"result\":\"refused\",\"reason\":\"x: ttl (and 1 more)\"}",
	  "9 reload: refused: x: ttl (and 1 more)\n" },
	{ "{\"event\":\"missed\",\"missed\":17}", "17 events were missed: this is read too slowly\n" },
	{ "{\"number\":10,\"event\":\"a later one\",\"reason\":\"\\u001b[31mx\"}", "10 a later one: ?[31mx\n" },
};

static void test_events(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		struct json *doc = parse(events[i].row);
		cleanup_buf struct buf out = { 0 };

		event_render(json_root(doc), &term80, 1767323045678, &out);
		assert_contains(out.text, events[i].line);
		json_free(doc);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_screen),
		cmocka_unit_test(test_keys_sort_and_end),
		cmocka_unit_test(test_scrolling_stays_inside),
		cmocka_unit_test(test_a_narrow_screen_and_hostile_words),
		cmocka_unit_test(test_a_complaint_until_the_next_listing),
		cmocka_unit_test(test_no_terminal_is_all_of_the_table),
		cmocka_unit_test(test_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
