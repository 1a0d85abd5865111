/* libvirt's event loop interface, used as libvirt uses it: from other threads, from inside
 * callbacks, with locks held. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <libvirt/libvirt.h>
#include <pthread.h>

#include "backends/libvirt_events.h"
#include "base/util.h"

static struct event_base *base;

struct seen {
	unsigned calls, freed;
	int id, last_events;
	bool freed_in_call, in_call;
	int remove_after, set_period; /* what the callback does */
	pthread_mutex_t lock; /* one of libvirt's: the free function takes it */
};

static struct seen seen;

static void turn(unsigned ms)
{
	struct timeval limit = { 0, ms * 1000 };

	event_base_loopexit(base, &limit);
	event_base_dispatch(base);
}

static int setup(void **state)
{
	(void)state;
	seen = (struct seen){ .set_period = -2, .lock = PTHREAD_MUTEX_INITIALIZER };
	return 0;
}

static void on_free(void *opaque)
{
	struct seen *s = opaque;

	pthread_mutex_lock(&s->lock);
	s->freed++;
	s->freed_in_call |= s->in_call;
	pthread_mutex_unlock(&s->lock);
}

static void on_timer(int id, void *opaque)
{
	struct seen *s = opaque;

	s->in_call = true;
	s->calls++;
	s->id = id;
	if (s->set_period != -2)
		virEventUpdateTimeout(id, s->set_period);
	if (s->remove_after && (int)s->calls == s->remove_after) {
		pthread_mutex_lock(&s->lock); /* freeing at once would be a deadlock */
		assert_int_equal(virEventRemoveTimeout(id), 0);
		pthread_mutex_unlock(&s->lock);
	}
	s->in_call = false;
}

static void on_fd(int id, int fd, int events, void *opaque)
{
	struct seen *s = opaque;
	char c;

	s->in_call = true;
	s->calls++;
	s->id = id;
	s->last_events = events;
	if (events & VIR_EVENT_HANDLE_READABLE)
		assert_true(read(fd, &c, 1) >= 0);
	if (s->remove_after && (int)s->calls == s->remove_after) {
		pthread_mutex_lock(&s->lock);
		assert_int_equal(virEventRemoveHandle(id), 0);
		pthread_mutex_unlock(&s->lock);
	}
	s->in_call = false;
}

static void test_timer_repeats_until_it_is_switched_off(void **state)
{
	int id = virEventAddTimeout(5, on_timer, &seen, on_free);
	unsigned calls;

	(void)state;
	turn(60);
	assert_true(seen.calls >= 3 && seen.calls <= 13);
	assert_int_equal(seen.id, id);
	virEventUpdateTimeout(id, -1);
	calls = seen.calls;
	turn(30);
	assert_int_equal(seen.calls, calls);
	assert_int_equal(virEventRemoveTimeout(id), 0);
	assert_int_equal(seen.freed, 0); /* later, on the loop */
	turn(5);
	assert_int_equal(seen.freed, 1);
	assert_int_equal(virEventRemoveTimeout(id), -1);
}

static void test_timer_of_zero_fires_in_each_round(void **state)
{
	int id = virEventAddTimeout(0, on_timer, &seen, on_free);

	(void)state;
	turn(10);
	assert_true(seen.calls > 3);
	seen.set_period = -1; /* as libvirt's event queue does */
	turn(10);
	seen.calls = 0;
	turn(10);
	assert_int_equal(seen.calls, 0);
	virEventUpdateTimeout(id, 0);
	turn(10);
	assert_int_equal(seen.calls, 1);
	virEventRemoveTimeout(id);
	turn(5);
	assert_int_equal(seen.freed, 1);
}

static void test_removal_inside_the_callback_frees_later(void **state)
{
	(void)state;
	seen.remove_after = 2;
	virEventAddTimeout(0, on_timer, &seen, on_free);
	turn(20);
	assert_int_equal(seen.calls, 2);
	assert_int_equal(seen.freed, 1);
	assert_false(seen.freed_in_call);
}

static void test_socket_events_follow_what_is_asked(void **state)
{
	int fds[2], id;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	id = virEventAddHandle(fds[0], 0, on_fd, &seen, on_free);
	assert_int_equal(write(fds[1], "ab", 2), 2);
	turn(10);
	assert_int_equal(seen.calls, 0);
	virEventUpdateHandle(id, VIR_EVENT_HANDLE_READABLE);
	turn(10);
	assert_int_equal(seen.calls, 2);
	assert_int_equal(seen.last_events, VIR_EVENT_HANDLE_READABLE);
	virEventUpdateHandle(id, 0);
	assert_int_equal(write(fds[1], "c", 1), 1);
	turn(10);
	assert_int_equal(seen.calls, 2);
	virEventRemoveHandle(id);
	id = virEventAddHandle(fds[1], VIR_EVENT_HANDLE_WRITABLE, on_fd, &seen, on_free);
	seen.remove_after = 4;
	turn(10);
	assert_int_equal(seen.calls, 4);
	assert_int_equal(seen.last_events, VIR_EVENT_HANDLE_WRITABLE);
	assert_int_equal(seen.freed, 2);
	assert_false(seen.freed_in_call);
	close(fds[0]);
	close(fds[1]);
}

static void test_the_other_end_closing_is_an_event(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	seen.remove_after = 1;
	virEventAddHandle(fds[0], VIR_EVENT_HANDLE_READABLE, on_fd, &seen, on_free);
	close(fds[1]);
	turn(10);
	assert_int_equal(seen.calls, 1);
	close(fds[0]);
}

/* Threads that add, change and remove while the loop runs their callbacks. */
static void *hammer(void *arg)
{
	struct seen *s = arg;

	for (int i = 0; i < 3000; i++) {
		int id = virEventAddTimeout(i % 3 - 1, on_timer, s, on_free);

		virEventUpdateTimeout(id, i % 2);
		if (i % 16 == 0)
			usleep(100);
		virEventRemoveTimeout(id);
	}
	return NULL;
}

static void test_other_threads_may_do_as_they_like(void **state)
{
	static struct seen mine[3];
	pthread_t threads[3];

	(void)state;
	for (int i = 0; i < 3; i++) {
		mine[i] = (struct seen){ .set_period = -2, .lock = PTHREAD_MUTEX_INITIALIZER };
		pthread_create(&threads[i], NULL, hammer, &mine[i]);
	}
	for (int i = 0; i < 3; i++) {
		while (__atomic_load_n(&mine[i].freed, __ATOMIC_RELAXED) < 3000)
			turn(5);
		pthread_join(threads[i], NULL);
		assert_int_equal(mine[i].freed, 3000);
		assert_false(mine[i].freed_in_call);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_timer_repeats_until_it_is_switched_off, setup),
		cmocka_unit_test_setup(test_timer_of_zero_fires_in_each_round, setup),
		cmocka_unit_test_setup(test_removal_inside_the_callback_frees_later, setup),
		cmocka_unit_test_setup(test_socket_events_follow_what_is_asked, setup),
		cmocka_unit_test_setup(test_the_other_end_closing_is_an_event, setup),
		cmocka_unit_test_setup(test_other_threads_may_do_as_they_like, setup),
	};

	evthread_use_pthreads();
	base = event_base_new();
	if (!base || libvirt_events_register(base) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
