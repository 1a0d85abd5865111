#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <pthread.h>

#include "backends/workers.h"
#include "base/clock.h"

enum { WAIT_MS = 10000, THREADS = 4 };

/* A job that stays until it is let go, and notes when it began and ended. */
struct task {
	struct job job;
	unsigned began, ended; /* places in the common order, from 1 */
	bool told;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool closed; /* tasks wait */
	unsigned clock, running, most_running;
} stage = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0, 0, 0 };

static struct event_base *base;
static struct workers *w;

static void task_run(struct job *job)
{
	struct task *t = (struct task *)job;

	pthread_mutex_lock(&stage.lock);
	t->began = ++stage.clock;
	stage.running++;
	if (stage.running > stage.most_running)
		stage.most_running = stage.running;
	pthread_cond_broadcast(&stage.changed);
	while (stage.closed)
		pthread_cond_wait(&stage.changed, &stage.lock);
	stage.running--;
	t->ended = ++stage.clock;
	pthread_mutex_unlock(&stage.lock);
}

static void task_done(struct job *job) { ((struct task *)job)->told = true; }

static struct task *submit(struct task *t, const char *key, const char *key2)
{
	*t = (struct task){ .job = { .run = task_run, .done = task_done, .slow = t->job.slow, .gated = t->job.gated, .alone = t->job.alone } };
	str_copy(t->job.keys[0], key);
	str_copy(t->job.keys[1], key2);
	workers_submit(w, &t->job);
	return t;
}

static void close_stage(void)
{
	pthread_mutex_lock(&stage.lock);
	stage.closed = true;
	stage.most_running = 0;
	pthread_mutex_unlock(&stage.lock);
}

static void open_stage(void)
{
	pthread_mutex_lock(&stage.lock);
	stage.closed = false;
	pthread_cond_broadcast(&stage.changed);
	pthread_mutex_unlock(&stage.lock);
}

static unsigned running(void)
{
	unsigned n;

	pthread_mutex_lock(&stage.lock);
	n = stage.running;
	pthread_mutex_unlock(&stage.lock);
	return n;
}

/* Until n run; then a little longer, in case one more does that should not. */
static void wait_running(unsigned n)
{
	uint64_t until = clock_now_ms() + WAIT_MS;

	while (running() < n && clock_now_ms() < until)
		usleep(1000);
	usleep(20000);
	assert_int_equal(running(), n);
}

static void wait_told(struct task *tasks, unsigned n)
{
	uint64_t until = clock_now_ms() + WAIT_MS;

	for (unsigned i = 0; i < n; i++) {
		while (!tasks[i].told) {
			struct timeval ms = { 0, 1000 };

			assert_true(clock_now_ms() < until);
			event_base_loopexit(base, &ms);
			event_base_dispatch(base);
		}
	}
}

static int setup(void **state)
{
	(void)state;
	base = event_base_new();
	w = workers_new(base, THREADS);
	return w ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	open_stage();
	workers_free(w);
	event_base_free(base);
	return 0;
}

static void test_jobs_of_one_domain_keep_their_order(void **state)
{
	struct task t[20] = { 0 };

	(void)state;
	for (unsigned i = 0; i < 20; i++)
		submit(&t[i], "one", "");
	wait_told(t, 20);
	for (unsigned i = 1; i < 20; i++)
		assert_true(t[i].began > t[i - 1].ended);
}

static void test_a_uuid_is_the_same_domain(void **state)
{
	struct task t[3] = { 0 };

	(void)state;
	close_stage();
	submit(&t[0], "name", "uuid");
	submit(&t[1], "uuid", "");
	submit(&t[2], "", "name");
	wait_running(1);
	open_stage();
	wait_told(t, 3);
	assert_true(t[1].began > t[0].ended);
	assert_true(t[2].began > t[0].ended);
}

static void test_different_domains_run_side_by_side(void **state)
{
	struct task t[THREADS + 1] = { 0 };
	char key[8];

	(void)state;
	close_stage();
	for (unsigned i = 0; i <= THREADS; i++) {
		snprintf(key, sizeof(key), "d%u", i);
		submit(&t[i], key, "");
	}
	wait_running(THREADS);
	assert_int_equal(t[THREADS].began, 0);
	open_stage();
	wait_told(t, THREADS + 1);
}

static void test_a_busy_domain_does_not_hold_up_others(void **state)
{
	struct task a[6] = { 0 }, b = { 0 };

	(void)state;
	close_stage();
	for (unsigned i = 0; i < 6; i++)
		submit(&a[i], "busy", "");
	submit(&b, "other", "");
	wait_running(2);
	assert_int_not_equal(b.began, 0);
	open_stage();
	wait_told(a, 6);
	wait_told(&b, 1);
}

static void test_slow_jobs_leave_two_threads(void **state)
{
	struct task slow[6] = { 0 }, quick[2] = { 0 };
	char key[8];

	(void)state;
	close_stage();
	for (unsigned i = 0; i < 6; i++) {
		snprintf(key, sizeof(key), "s%u", i);
		slow[i].job.slow = true;
		submit(&slow[i], key, "");
	}
	wait_running(THREADS - 2);
	submit(&quick[0], "q0", "");
	submit(&quick[1], "q1", "");
	wait_running(THREADS);
	assert_true(quick[0].began && quick[1].began);
	open_stage();
	wait_told(slow, 6);
	wait_told(quick, 2);
}

static void test_gate_holds_gated_jobs_and_what_follows_them(void **state)
{
	struct task start = { .job = { .gated = true } }, stop = { 0 }, other = { 0 };

	(void)state;
	workers_shut_gate(w);
	submit(&start, "d", "");
	submit(&stop, "d", "");
	submit(&other, "e", "");
	wait_told(&other, 1);
	assert_int_equal(start.began, 0);
	assert_int_equal(stop.began, 0);
	workers_open_gate(w);
	wait_told(&start, 1);
	wait_told(&stop, 1);
	assert_true(stop.began > start.ended);
}

static void test_alone_waits_for_all_before_it(void **state)
{
	struct task before = { 0 }, list = { .job = { .alone = true } }, after = { 0 };

	(void)state;
	close_stage();
	submit(&before, "d", "");
	submit(&list, "", "");
	submit(&after, "e", "");
	wait_running(2);
	assert_int_equal(list.began, 0);
	assert_int_not_equal(after.began, 0); /* but what comes later need not wait for it */
	open_stage();
	wait_told(&list, 1);
	wait_told(&before, 1);
	wait_told(&after, 1);
	assert_true(list.began > before.ended);
}

static void test_take_back(void **state)
{
	struct task running_one = { 0 }, waiting = { 0 }, next = { 0 };

	(void)state;
	close_stage();
	submit(&running_one, "d", "");
	submit(&waiting, "d", "");
	submit(&next, "d", "");
	wait_running(1);
	assert_false(workers_take_back(w, &running_one.job));
	assert_true(workers_take_back(w, &waiting.job));
	open_stage();
	wait_told(&running_one, 1);
	wait_told(&next, 1);
	assert_int_equal(waiting.began, 0);
	assert_false(waiting.told);
	assert_false(workers_take_back(w, &next.job));
}

static void test_a_thread_more_for_those_that_hang(void **state)
{
	struct task t[THREADS + 1] = { 0 };
	char key[8];

	(void)state;
	close_stage();
	for (unsigned i = 0; i <= THREADS; i++) {
		snprintf(key, sizeof(key), "d%u", i);
		submit(&t[i], key, "");
	}
	wait_running(THREADS);
	assert_int_equal(workers_add(w), 0);
	wait_running(THREADS + 1);
	open_stage();
	wait_told(t, THREADS + 1);
	for (unsigned i = THREADS + 1; i < WORKERS_MAX; i++)
		assert_int_equal(workers_add(w), 0);
	assert_int_equal(workers_add(w), -EBUSY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_jobs_of_one_domain_keep_their_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_uuid_is_the_same_domain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_different_domains_run_side_by_side, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_busy_domain_does_not_hold_up_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_jobs_leave_two_threads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gate_holds_gated_jobs_and_what_follows_them, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alone_waits_for_all_before_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_take_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_thread_more_for_those_that_hang, setup, teardown),
	};

	evthread_use_pthreads();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
