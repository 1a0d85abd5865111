/* The launcher's small records: the trace of wakes, the journal, the run state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "base/clock.h"
#include "launcher/journal.h"
#include "launcher/run_state.h"
#include "launcher/trace.h"

static void test_trace_marks_once(void **state)
{
	static const struct ip_addr nobody;
	struct trace *t = trace_new();
	uint64_t n;

	(void)state;
	clock_fake_ns(1000);
	n = trace_begin(t, "www", CAUSE_DNS, &nobody, 900);
	trace_mark(t, n, MARK_LINK, 1500);
	trace_mark(t, n, MARK_LINK, 1700);
	assert_int_equal(trace_get(t, n)->at_ns[MARK_QUERY], 900);
	assert_int_equal(trace_get(t, n)->at_ns[MARK_WAKE], 1000);
	assert_int_equal(trace_get(t, n)->at_ns[MARK_LINK], 1500);
	clock_fake_ns(1800);
	trace_end(t, n, TRACE_FAILED, "first");
	clock_fake_ns(1000);
	trace_end(t, n, TRACE_UP, "second");
	assert_int_equal(trace_get(t, n)->result, TRACE_FAILED);
	assert_int_equal(trace_get(t, n)->at_ns[MARK_FAILED], 1800);
	assert_string_equal(trace_get(t, n)->reason, "first");
	n = trace_begin(t, "www", CAUSE_DNS, &nobody, 5000); /* a query from the future is one from now */
	assert_int_equal(trace_get(t, n)->at_ns[MARK_QUERY], 1000);
	clock_fake_ns(0);
	trace_free(t);
}

static void test_trace_forgets_the_oldest(void **state)
{
	static const struct ip_addr nobody;
	struct trace *t = trace_new();

	(void)state;
	for (int i = 0; i < TRACE_MAX + 5; i++)
		trace_begin(t, "www", CAUSE_CLI, &nobody, 0);
	assert_null(trace_get(t, 5));
	assert_non_null(trace_get(t, 6));
	assert_null(trace_get(t, 0));
	trace_mark(t, 5, MARK_UP, 1); /* gone: nothing happens */
	assert_int_equal(trace_get(t, 5 + TRACE_MAX)->at_ns[MARK_UP], 0);
	assert_int_equal(trace_newest(t), TRACE_MAX + 5);
	trace_free(t);
}

static void test_journal_forgets_the_oldest(void **state)
{
	struct journal *j = journal_new();
	char text[32];

	(void)state;
	for (int i = 1; i <= JOURNAL_MAX + 3; i++) {
		snprintf(text, sizeof(text), "line %d", i);
		assert_int_equal(journal_add(j, LOG_INFO, "dns", text)->number, i);
	}
	assert_null(journal_get(j, 3));
	assert_string_equal(journal_get(j, 4)->text, "line 4");
	assert_string_equal(journal_get(j, journal_newest(j))->text, "line 1003");
	journal_free(j);
}

static void assert_same(const struct run_state *a, const struct run_state *b)
{
	assert_string_equal(a->uuid, b->uuid);
	assert_int_equal(a->domain_id, b->domain_id);
	assert_int_equal(a->up, b->up);
	assert_int_equal(a->boots, b->boots);
	assert_true(a->claim == b->claim);
	assert_int_equal(a->moved, b->moved);
	assert_int_equal(a->asked_ms, b->asked_ms);
	assert_int_equal(a->guest_ready, b->guest_ready);
	assert_int_equal(a->guest_busy_ms, b->guest_busy_ms);
	assert_int_equal(a->guest_lease_ms, b->guest_lease_ms);
	assert_true(addr_list_equal(&a->addrs, &b->addrs));
}

static int unlink_service(const char *dir)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/www", dir);
	return unlink(path);
}

static void reload_state(const char *dir, struct run_state *st)
{
	run_state_clear(st);
	run_state_load(dir, "www", st);
}

static void test_run_state_round_trip(void **state)
{
	char dir[] = "/tmp/jitsu-test-XXXXXX", sub[64], file[80];
	struct run_state st = { .uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8", .domain_id = 12, .up = true, .boots = 7 };
	struct run_state back = { 0 };
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(sub, sizeof(sub), "%s/services", dir);
	assert_int_equal(mkdir(sub, 0700), 0);
	reload_state(dir, &back);
	assert_int_equal(back.domain_id, -1);
	run_state_save(dir, "www", &st);
	reload_state(dir, &back);
	assert_same(&back, &st);
	st = (struct run_state){ .domain_id = -1, .boots = 8, .claim = UINT64_MAX, .moved = true, .asked_ms = 123456,
				  .guest_ready = true, .guest_busy_ms = 77, .guest_lease_ms = UINT64_MAX };
	run_state_save(dir, "www", &st);
	reload_state(dir, &back);
	assert_same(&back, &st);
	for (size_t i = 0; i < MSG_LIST_MAX; i++) {
		struct ip_addr a;

		assert_int_equal(ip_parse(i == 1 ? "10.0.0.5" : "fd00:1111:2222:3333:4444:5555:6666:7777", &a), 0);
		assert_true(addr_list_add(&st.addrs, &a));
	}
	run_state_save(dir, "www", &st);
	reload_state(dir, &back);
	assert_same(&back, &st);
	assert_int_equal(unlink_service(sub), 0);
	run_state_save(dir, "www", &st); /* says the same: not written again */
	run_state_save(dir, "www", &back);
	assert_int_equal(unlink_service(sub), -1);
	st.boots++;
	run_state_save(dir, "www", &st);
	reload_state(dir, &back);
	assert_same(&back, &st);
	snprintf(file, sizeof(file), "%s/www", sub);
	f = fopen(file, "w");
	fputs("- 3 1 9\n", f); /* as it was before there were claims */
	fclose(f);
	reload_state(dir, &back);
	run_state_clear(&st);
	st = (struct run_state){ .domain_id = 3, .up = true, .boots = 9 };
	assert_same(&back, &st);
	f = fopen(file, "w");
	fputs("half a li", f);
	fclose(f);
	reload_state(dir, &back);
	assert_int_equal(back.domain_id, -1);
	f = fopen(file, "w");
	fputs("- 3 1 9 0 0 0 10.0.0.5,nowhere\n", f);
	fclose(f);
	reload_state(dir, &back);
	assert_int_equal(back.domain_id, -1);
	run_state_clear(&back);
	unlink(file);
	rmdir(sub);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trace_marks_once),
		cmocka_unit_test(test_trace_forgets_the_oldest),
		cmocka_unit_test(test_journal_forgets_the_oldest),
		cmocka_unit_test(test_run_state_round_trip),
	};

	return cmocka_run_group_tests_name("launcher/records", tests, NULL, NULL);
}
