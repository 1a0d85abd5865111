/* What guests of Xen say, with a XenStore in this process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "backends/xenstore_guest.h"
#include "base/clock.h"
#include "tests/backends/xenstore.h"

enum { WAIT_MS = 10000 };

/* ---- around it ---- */

static struct event_base *base;
static struct guests *streams;
static struct xenstore_guests *x;
static struct msg_be_guest told;
static int told_fd = -1;
static struct msg_be_key keys[8];
static unsigned n_told, n_keys;

static void on_stream(void *arg, const struct msg_be_guest *m, int fd)
{
	(void)arg;
	told = *m;
	fd_close(&told_fd);
	told_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	n_told++;
}

static void on_key(void *arg, const struct msg_be_key *m)
{
	(void)arg;
	assert_true(n_keys < ARRAY_SIZE(keys));
	keys[n_keys++] = *m;
}

static void turn(void)
{
	struct timeval limit = { 0, 10000 };

	event_base_loopexit(base, &limit);
	event_base_dispatch(base);
}

static void turn_until(const unsigned *count, unsigned wanted)
{
	uint64_t until = clock_now_ms() + WAIT_MS;

	while (*count < wanted && clock_now_ms() < until)
		turn();
	assert_int_equal(*count, wanted);
}

static int setup(void **state)
{
	(void)state;
	n_told = n_keys = 0;
	store_begin();
	base = event_base_new();
	streams = guests_new(base, on_stream, NULL);
	x = xenstore_guests_new(base, streams, on_key, NULL);
	return x ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	xenstore_guests_free(x);
	guests_free(streams);
	event_base_free(base);
	fd_close(&told_fd);
	store_end();
	return 0;
}

static void begin(int32_t domid)
{
	unsigned before = n_told;

	xenstore_guests_began(x, domid, "jitsu-a", "uuid-a");
	turn_until(&n_told, before + 1);
}

/* Exactly this comes next on the stream. */
static void hear_bytes(const char *what, size_t size)
{
	char text[256] = "";
	uint64_t until = clock_now_ms() + WAIT_MS;
	size_t n = 0;

	while (n < size && clock_now_ms() < until) {
		struct pollfd p = { .fd = told_fd, .events = POLLIN };
		ssize_t got = poll(&p, 1, 100) > 0 ? recv(told_fd, text + n, size - n, 0) : 0;

		n += got > 0 ? (size_t)got : 0;
	}
	assert_int_equal(n, size);
	assert_memory_equal(text, what, size);
}

static void hear(const char *what) { hear_bytes(what, strlen(what)); }

static void test_a_value_is_a_line(void **state)
{
	(void)state;
	store_text("/local/domain/5/data/jitsu", "ready"); /* before anybody looked */
	begin(5);
	assert_string_equal(told.name, "jitsu-a");
	assert_string_equal(told.uuid, "uuid-a");
	hear("ready\n");
	store_text("/local/domain/5/data/jitsu", "ready busy lease 30");
	hear("ready busy lease 30\n");
	store_text("/local/domain/6/data/jitsu", "busy"); /* a stranger's */
	store_key("/local/domain/5/data/jitsu", "\0\xff\n", 3);
	hear_bytes("\0\xff\n\n", 4); /* as it is: others look at it */
	xenstore_guests_began(x, 5, "jitsu-a", "uuid-a"); /* again is fine */
	turn();
	assert_int_equal(n_told, 1);
}

static void test_long_values_are_cut(void **state)
{
	char value[300], line[XENSTORE_VALUE_MAX + 2];

	(void)state;
	memset(value, 'x', sizeof(value));
	memset(line, 'x', sizeof(line));
	strcpy(line + XENSTORE_VALUE_MAX, "\n");
	begin(5);
	store_key("/local/domain/5/data/jitsu", value, sizeof(value));
	hear(line);
	store_text("/local/domain/5/data/jitsu", "idle");
	hear("idle\n");
}

static void test_the_end(void **state)
{
	uint64_t until = clock_now_ms() + WAIT_MS;
	char byte;

	(void)state;
	begin(5);
	xenstore_guests_gone(x, 5);
	while (store_watches() > 0 && clock_now_ms() < until)
		turn();
	assert_int_equal(store_watches(), 0);
	while (recv(told_fd, &byte, 1, MSG_DONTWAIT) < 0 && clock_now_ms() < until)
		turn();
	assert_int_equal(recv(told_fd, &byte, 1, 0), 0);
	turn();
	turn();
	guests_on_launcher(streams); /* nothing is left to be told */
	assert_int_equal(n_told, 1);
	begin(6);
	assert_int_equal(n_told, 2);
}

/* The loop was busy while the domain ended and began again: the stream that it has is the last one. */
static void test_the_next_boot_at_once(void **state)
{
	uint64_t until = clock_now_ms() + WAIT_MS;

	(void)state;
	xenstore_guests_began(x, 5, "jitsu-a", "uuid-a");
	xenstore_guests_gone(x, 5);
	xenstore_guests_began(x, 6, "jitsu-a", "uuid-a");
	store_text("/local/domain/6/data/jitsu", "ready");
	while (!store_has_watch("/local/domain/6/data/jitsu") && clock_now_ms() < until)
		usleep(1000);
	for (int i = 0; i < 5; i++)
		turn();
	hear("ready\n");
}

/* For a service that is newer than its domain's stream. */
static void test_a_stream_is_told_again(void **state)
{
	(void)state;
	begin(5);
	guests_tell(streams, "jitsu-b");
	assert_int_equal(n_told, 1);
	guests_tell(streams, "jitsu-a");
	assert_int_equal(n_told, 2);
	assert_string_equal(told.uuid, "uuid-a");
	store_text("/local/domain/5/data/jitsu", "busy");
	hear("busy\n");
}

/* Thousands of writes are some reads, and the last one is heard. */
static void test_a_guest_that_writes_too_much(void **state)
{
	char text[32];
	uint64_t begun;

	(void)state;
	begin(5);
	begun = clock_now_ms();
	for (int i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "lease %d", i % 10 + 10);
		store_text("/local/domain/5/data/jitsu", text);
		if (i % 50 == 0)
			usleep(1000);
	}
	store_text("/local/domain/5/data/jitsu", "lease 77777");
	for (char last[12] = "", byte; strcmp(last, "lease 77777") != 0;) {
		if (recv(told_fd, &byte, 1, MSG_DONTWAIT) == 1) {
			memmove(last, last + 1, sizeof(last) - 2);
			last[sizeof(last) - 2] = byte;
			if (byte == '\n')
				memset(last, ' ', sizeof(last) - 1);
		}
		assert_true(clock_now_ms() - begun < WAIT_MS);
	}
	assert_true(store_reads() <= 12 + (clock_now_ms() - begun) / 100);
}

/* ---- keys ---- */

static void test_keys_are_told_when_they_are_there(void **state)
{
	struct msg_be_watch m = { .svc = 3, .gen = 9, .domain_id = 5, .n_keys = 3,
				  .keys = { { "data/up" }, { "data/late" }, { "data/never" } } };

	(void)state;
	store_text("/local/domain/5/data/up", "1");
	begin(5);
	xenstore_guests_watch(x, &m);
	turn_until(&n_keys, 1);
	assert_string_equal(keys[0].key, "data/up");
	assert_int_equal(keys[0].svc, 3);
	assert_int_equal(keys[0].gen, 9);
	assert_int_equal(keys[0].domain_id, 5);
	store_text("/local/domain/5/data/late", ""); /* it is there, and empty */
	store_text("/local/domain/6/data/late", "1");
	store_text("/local/domain/5/data/up", "2"); /* told already */
	for (int i = 0; i < 20; i++)
		turn();
	assert_int_equal(n_keys, 1);
	store_text("/local/domain/5/data/late", "x");
	turn_until(&n_keys, 2);
	assert_string_equal(keys[1].key, "data/late");
	xenstore_guests_watch(x, &m); /* the next launcher asks again */
	turn_until(&n_keys, 4);
}

static void test_keys_go_with_the_domain(void **state)
{
	struct msg_be_watch m = { .domain_id = 5, .n_keys = 1, .keys = { { "data/up" } } };

	(void)state;
	begin(5);
	xenstore_guests_watch(x, &m);
	xenstore_guests_gone(x, 5);
	xenstore_guests_watch(x, &m); /* too late */
	for (int i = 0; i < 20; i++)
		turn();
	assert_int_equal(store_watches(), 0);
	store_text("/local/domain/5/data/up", "1");
	for (int i = 0; i < 10; i++)
		turn();
	assert_int_equal(n_keys, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_a_value_is_a_line), CASE(test_long_values_are_cut), CASE(test_the_end),
		CASE(test_the_next_boot_at_once), CASE(test_a_stream_is_told_again), CASE(test_a_guest_that_writes_too_much),
		CASE(test_keys_are_told_when_they_are_there), CASE(test_keys_go_with_the_domain),
	};

	evthread_use_pthreads();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
