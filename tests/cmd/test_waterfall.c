#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cmd/waterfall.h"

#define WALL 1767323045678ull

static const struct term ascii = { .width = 80 }, utf8 = { .width = 80, .utf8 = true };

static const struct waterfall up = {
	.wake = 6,
	.service = "www",
	.cause = "dns",
	.client = "192.168.1.5",
	.result = "up",
	.reason = "",
	.wall_ms = WALL,
	.us = { [MARK_HEARD] = 312,
		[MARK_SYN] = -1,
		[MARK_START] = 1540,
		[MARK_RUNNING] = 61644,
		[MARK_LINK] = 74012,
		[MARK_PORT] = 97398,
		[MARK_MOVED] = -1,
		[MARK_RELEASED] = -1,
		[MARK_FIRST_BYTE] = -1,
		[MARK_UP] = 97420,
		[MARK_ANSWERED] = 97622,
		[MARK_FAILED] = -1 },
};

static void assert_drawn(const struct waterfall *w, const struct term *t, const char *expected)
{
	struct buf b = { 0 };

	waterfall_draw(w, t, WALL + 1000, &b);
	assert_int_equal(b.error, 0);
	assert_string_equal(b.text, expected);
	buf_free(&b);
}

static void test_a_wake_in_utf8(void **state)
{
	(void)state;
	assert_drawn(&up, &utf8,
		     "www  wake 6  03:04:05.678  up in 97.4 ms\n"
		     "  asked           0.0  dns, 192.168.1.5\n"
		     "  heard           0.3  ▏\n"
		     "  start           1.2  ▉\n"
		     "  running        60.1  ███████████████████████████████████▉\n"
		     "  ARP            12.4                                     ████████▏\n"
		     "  port open      23.4                                             █████████████▉\n"
		     "  up              0.0                                                          ▉\n"
		     "  answered        0.2                                                          █\n"
		     "  total          97.6 ms\n");
}

static void test_a_wake_in_ascii(void **state)
{
	(void)state;
	assert_drawn(&up, &ascii,
		     "www  wake 6  03:04:05.678  up in 97.4 ms\n"
		     "  asked           0.0  dns, 192.168.1.5\n"
		     "  heard           0.3  #\n"
		     "  start           1.2  #\n"
		     "  running        60.1  ###################################\n"
		     "  ARP            12.4                                     ########\n"
		     "  port open      23.4                                             #############\n"
		     "  up              0.0                                                          #\n"
		     "  answered        0.2                                                          #\n"
		     "  total          97.6 ms\n");
}

/* The guest answers ARP before the hypervisor's call returns; the query was answered at once. */
static void test_marks_are_drawn_in_the_order_they_were_reached(void **state)
{
	struct waterfall w = up;

	(void)state;
	w.us[MARK_ANSWERED] = 90;
	w.us[MARK_LINK] = 50000;
	w.us[MARK_PORT] = -1;
	w.us[MARK_UP] = 61644;
	assert_drawn(&w, &ascii,
		     "www  wake 6  03:04:05.678  up in 61.6 ms\n"
		     "  asked           0.0  dns, 192.168.1.5\n"
		     "  answered        0.1  #\n"
		     "  heard           0.2  #\n"
		     "  start           1.2  #\n"
		     "  ARP            48.5   #############################################\n"
		     "  running        11.6                                                ###########\n"
		     "  up              0.0                                                          #\n"
		     "  total          61.6 ms\n");
}

/* A connection that was held: its client's query was answered at once, and it came while the VM booted. */
static void test_a_held_connection(void **state)
{
	struct waterfall w = up;

	(void)state;
	w.us[MARK_ANSWERED] = -1;
	w.us[MARK_SYN] = 2540;
	w.us[MARK_MOVED] = 97800;
	w.us[MARK_RELEASED] = 97905;
	w.us[MARK_FIRST_BYTE] = 99310;
	assert_drawn(&w, &ascii,
		     "www  wake 6  03:04:05.678  up in 97.4 ms\n"
		     "  asked           0.0  dns, 192.168.1.5\n"
		     "  heard           0.3  #\n"
		     "  start           1.2  #\n"
		     "  SYN             1.0  #\n"
		     "  running        59.1   ##################################\n"
		     "  ARP            12.4                                     #######\n"
		     "  port open      23.4                                            #############\n"
		     "  up              0.0                                                         #\n"
		     "  FDB moved       0.4                                                         #\n"
		     "  released        0.1                                                          #\n"
		     "  first byte      1.4                                                          #\n"
		     "  total          99.3 ms\n");
}

static struct waterfall nothing_reached(void)
{
	struct waterfall w = { .wake = 7, .service = "www", .cause = "", .client = "", .wall_ms = WALL };

	for (unsigned m = 0; m < MARK_N; m++)
		w.us[m] = -1;
	return w;
}

static void test_a_failure_ends_there_and_says_why(void **state)
{
	struct waterfall w = nothing_reached();

	(void)state;
	w.cause = "cli";
	w.result = "failed";
	w.reason = "the hypervisor says: cannot open kernel /var/lib/jitsu/images/www.elf: No such "
		   "file or directory";
	w.us[MARK_HEARD] = 120;
	w.us[MARK_START] = 400;
	w.us[MARK_FAILED] = 2000;
	assert_drawn(&w, &ascii,
		     "www  wake 7  03:04:05.678  failed\n"
		     "  asked           0.0  cli\n"
		     "  heard           0.1  ##\n"
		     "  start           0.3    #########\n"
		     "  failed          1.6             ##############################################\n"
		     "  total           2.0 ms\n"
		     "  why       the hypervisor says: cannot open kernel\n"
		     "            /var/lib/jitsu/images/www.elf: No such file or directory\n");
}

static void test_nothing_reached_draws_no_bars(void **state)
{
	struct waterfall w = nothing_reached();

	(void)state;
	w.result = "refused";
	w.reason = "30 wakes a minute are allowed";
	assert_drawn(&w, &ascii,
		     "www  wake 7  03:04:05.678  refused\n"
		     "  asked           0.0  ?\n"
		     "  why       30 wakes a minute are allowed\n");
}

/* Whatever the times and the width: the phases as printed add up, and nothing is too wide. */
static void test_phases_add_up_and_fit(void **state)
{
	(void)state;
	srand(1);
	for (int i = 0; i < 2000; i++) {
		struct waterfall w = up;
		struct term t = { .width = TERM_WIDTH_MIN + (unsigned)rand() % 100, .utf8 = false };
		long sum = 0, total = -1;
		struct buf b = { 0 };
		int64_t limit = (int64_t[]){ 1, 100, 100000, 6000000000 }[i % 4];

		for (unsigned m = 0; m < MARK_N; m++)
			w.us[m] = rand() % 5 == 0 ? -1 : (int64_t)rand() * 1000 % limit;
		waterfall_draw(&w, &t, WALL, &b);
		for (char *line = strtok(b.text, "\n"); line; line = strtok(NULL, "\n")) {
			long ms;
			unsigned tenth;

			assert_true(text_width(line) <= MIN(t.width, 80u));
			if (line[0] != ' ' || sscanf(line + 12, "%ld.%u", &ms, &tenth) != 2)
				continue;
			if (strncmp(line, "  total", 7) == 0)
				total = ms * 10 + tenth;
			else
				sum += ms * 10 + tenth;
		}
		assert_true(total < 0 || sum == total);
		buf_free(&b);
	}
}

static void test_a_long_name_leaves_room_for_the_rest(void **state)
{
	struct waterfall w = up;
	struct buf b = { 0 };

	(void)state;
	w.service = "a-service-with-a-name-that-is-as-long-as-it-may-be-and-no-longer";
	waterfall_draw(&w, &ascii, WALL, &b);
	assert_true(strcspn(b.text, "\n") <= 80);
	assert_non_null(strstr(b.text, "~  wake 6  03:04:05.678  up in 97.4 ms\n"));
	buf_free(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_wake_in_utf8),
		cmocka_unit_test(test_a_wake_in_ascii),
		cmocka_unit_test(test_marks_are_drawn_in_the_order_they_were_reached),
		cmocka_unit_test(test_a_held_connection),
		cmocka_unit_test(test_a_failure_ends_there_and_says_why),
		cmocka_unit_test(test_nothing_reached_draws_no_bars),
		cmocka_unit_test(test_phases_add_up_and_fit),
		cmocka_unit_test(test_a_long_name_leaves_room_for_the_rest),
	};

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
