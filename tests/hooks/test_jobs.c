/* Programs that are run for events: what they find, when they end, how many there may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/json.h"
#include "hooks/event_text.h"
#include "hooks/jobs.h"

enum { WAIT_MS = 10000, LONG_MS = 60000 };

static struct world {
	char dir[64];
	struct event_base *base;
	struct jobs *jobs;
	struct msg_hook_counts counts;
} w;

static void on_counts(void *arg, const struct msg_hook_counts *counts)
{
	(void)arg;
	w.counts = *counts;
}

static int setup(void **state)
{
	(void)state;
	w = (struct world){ .dir = "/tmp/jitsu-jobs-XXXXXX" };
	assert_non_null(mkdtemp(w.dir));
	w.base = event_base_new();
	w.jobs = jobs_new(w.base, on_counts, NULL);
	assert_non_null(w.jobs);
	return 0;
}

static int teardown(void **state)
{
	char line[128];

	(void)state;
	jobs_free(w.jobs);
	event_base_free(w.base);
	snprintf(line, sizeof(line), "rm -rf %s", w.dir);
	return system(line);
}

/* A program in the directory, which its $0 tells it. */
static struct msg_hook script(const char *name, const char *text, uint32_t timeout_ms)
{
	struct msg_hook h = { .timeout_ms = timeout_ms };
	FILE *f;

	snprintf(h.exec, sizeof(h.exec), "%s/%s", w.dir, name);
	f = fopen(h.exec, "w");
	assert_non_null(f);
	fprintf(f, "#!/bin/bash\nd=$(dirname \"$0\")\n%s\n", text);
	fclose(f);
	assert_int_equal(chmod(h.exec, 0755), 0);
	return h;
}

static void turn(void)
{
	struct timeval tv = clock_timeval_ms(5);

	event_base_loopexit(w.base, &tv);
	event_base_dispatch(w.base);
}

static void wait_for(uint64_t done, uint64_t failed)
{
	uint64_t began = clock_now_ms();

	while ((w.counts.done < done || w.counts.failed < failed) && clock_now_ms() - began < WAIT_MS)
		turn();
	assert_int_equal(w.counts.done, done);
	assert_int_equal(w.counts.failed, failed);
}

static const char *content(const char *name)
{
	static char text[4096];
	char path[128];
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", w.dir, name);
	f = fopen(path, "r");
	if (f) {
		n = fread(text, 1, sizeof(text) - 1, f);
		fclose(f);
	}
	text[n] = '\0';
	return text;
}

static bool exists(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", w.dir, name);
	return access(path, F_OK) == 0;
}

/* ---- tests ---- */

static void test_what_it_finds(void **state)
{
	struct msg_hook h = script("hook",
				   "cat > $d/in; pwd > $d/pwd; echo $# > $d/args\n"
				   "env | grep -v '^_=\\|^SHLVL=\\|^PWD=' | sort > $d/env; ls /proc/$$/fd > $d/fds", LONG_MS);
	int leak = open("/dev/null", O_RDONLY); /* not close-on-exec */

	(void)state;
	setenv("SECRET", "x", 1);
	jobs_add(w.jobs, &h, 0, "{\"event\":\"up\"}\n");
	wait_for(1, 0);
	close(leak);
	assert_string_equal(content("in"), "{\"event\":\"up\"}\n");
	assert_string_equal(content("pwd"), "/\n");
	assert_string_equal(content("args"), "0\n");
	assert_string_equal(content("env"), "LANG=C.UTF-8\n"
					    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");
	assert_string_equal(content("fds"), "0\n1\n2\n255\n"); /* the last is the script, which bash has opened */
}

static void test_failures_are_counted(void **state)
{
	struct msg_hook bad = script("bad", "exit 3", LONG_MS), killed = script("killed", "kill -9 $$", LONG_MS),
			none = { .exec = "/nonexistent/hook", .timeout_ms = LONG_MS };

	(void)state;
	jobs_add(w.jobs, &bad, 0, "");
	jobs_add(w.jobs, &killed, 1, "");
	jobs_add(w.jobs, &none, 2, "");
	wait_for(0, 3);
}

/* Looked at each time: one that was good before is refused, and good again. */
static void test_others_could_change_it(void **state)
{
	struct msg_hook h = script("hook", "echo >> $d/ran", LONG_MS);

	(void)state;
	jobs_add(w.jobs, &h, 0, "");
	wait_for(1, 0);
	chmod(h.exec, 0777);
	jobs_add(w.jobs, &h, 0, "");
	wait_for(1, 1);
	chmod(h.exec, 0755);
	chmod(w.dir, 0777);
	jobs_add(w.jobs, &h, 0, "");
	wait_for(1, 2);
	chmod(w.dir, 0700);
	assert_string_equal(content("ran"), "\n");
	jobs_add(w.jobs, &h, 0, "");
	wait_for(2, 2);
	assert_string_equal(content("ran"), "\n\n");
}

/* The whole group of it: what it started goes with it. */
static void test_time_is_limited(void **state)
{
	struct msg_hook h = script("hook", "(sleep 2; touch $d/survived) &\nsleep 60; touch $d/done", 300);
	struct msg_hook left = script("left", "(sleep 2; touch $d/left_behind) &\nexit 0", LONG_MS);
	uint64_t began = clock_now_ms();

	(void)state;
	jobs_add(w.jobs, &h, 0, "");
	jobs_add(w.jobs, &left, 1, "");
	wait_for(1, 1);
	assert_true(clock_now_ms() - began >= 290);
	while (clock_now_ms() - began < 2600)
		turn();
	assert_false(exists("survived"));
	assert_false(exists("left_behind"));
	assert_false(exists("done"));
}

/* Some at once, the others in turn, and no more than that. */
static void test_numbers_are_bounded(void **state)
{
	struct msg_hook h = script("hook", "mkdir $d/r.$$; ls $d | grep -c ^r >> $d/most; until [ -e $d/go ]; do sleep 0.02; done; "
				   "rmdir $d/r.$$", LONG_MS);
	uint64_t began = clock_now_ms();
	char path[128];

	(void)state;
	for (int i = 0; i < JOBS_RUNNING_MAX + JOBS_WAITING_MAX + 5; i++)
		jobs_add(w.jobs, &h, 0, "");
	assert_int_equal(w.counts.dropped, 5);
	while (strlen(content("most")) < 2 * JOBS_RUNNING_MAX && clock_now_ms() - began < WAIT_MS)
		turn();
	while (clock_now_ms() - began < 500)
		turn();
	assert_int_equal(strlen(content("most")), 2 * JOBS_RUNNING_MAX); /* a digit and a line feed of each */
	snprintf(path, sizeof(path), "%s/go", w.dir);
	close(open(path, O_CREAT | O_WRONLY, 0644));
	began = clock_now_ms();
	while (w.counts.done < 20 && clock_now_ms() - began < WAIT_MS)
		turn();
	assert_true(w.counts.done >= 20);
	assert_int_equal(w.counts.failed, 0);
	assert_null(strpbrk(content("most"), "56789"));
}

static void test_what_runs_ends_with_us(void **state)
{
	struct msg_hook h = script("hook", "touch $d/began; sleep 1; touch $d/done", LONG_MS);
	uint64_t began = clock_now_ms();

	(void)state;
	jobs_add(w.jobs, &h, 0, "");
	while (!exists("began") && clock_now_ms() - began < WAIT_MS)
		turn();
	jobs_free(w.jobs);
	w.jobs = NULL;
	usleep(1300000);
	assert_true(exists("began"));
	assert_false(exists("done"));
}

static void test_event_text(void **state)
{
	struct msg_hook_event m = { .event = HOOK_UP, .wall_ms = 1767323045678, .service = "www", .cause = CAUSE_DNS, .wake_ms = 41 };
	cleanup_buf struct buf out = { 0 };

	(void)state;
	assert_int_equal(ip_parse("192.0.2.1", &m.client), 0);
	event_text(&m, &out);
	assert_string_equal(out.text, "{\"event\":\"up\",\"wall_ms\":1767323045678,\"service\":\"www\",\"cause\":\"dns\","
				      "\"client\":\"192.0.2.1\",\"wake_ms\":41}\n");
	buf_clear(&out);
	m = (struct msg_hook_event){ .event = HOOK_FAILED, .wall_ms = 1, .service = "www", .cause = CAUSE_N,
				     .reason = "the \"kernel\"\nis gone" };
	event_text(&m, &out);
	assert_string_equal(out.text, "{\"event\":\"failed\",\"wall_ms\":1,\"service\":\"www\","
				      "\"reason\":\"the \\\"kernel\\\"\\nis gone\"}\n");
	buf_clear(&out);
	m = (struct msg_hook_event){ .event = HOOK_ALL_IDLE, .wall_ms = 2, .cause = CAUSE_N };
	event_text(&m, &out);
	assert_string_equal(out.text, "{\"event\":\"all-idle\",\"wall_ms\":2}\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_it_finds),	  TEST(test_failures_are_counted), TEST(test_time_is_limited),
		TEST(test_others_could_change_it),
		TEST(test_numbers_are_bounded),	  TEST(test_what_runs_ends_with_us),
		cmocka_unit_test(test_event_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
