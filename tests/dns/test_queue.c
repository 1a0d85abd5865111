#include <poll.h>
#include <pthread.h>

#include "tests/dns/util.h"

#include "dns/queue.h"

static struct client client_of(uint32_t i)
{
	struct client c = { .addr = ip("192.0.2.1"), .port = (uint16_t)i, .socket = 3, .t_ns = i };

	return c;
}

/* Of many lengths, and no two neighbours the same. */
static size_t fill(uint8_t *packet, uint32_t i)
{
	size_t n = i * 2654435761u % (i % 100 == 0 ? QUEUE_PACKET_MAX + 1 : 300);

	memset(packet, (int)(i & 0xff), n);
	return n;
}

static bool put(struct queue *q, uint32_t i)
{
	uint8_t packet[QUEUE_PACKET_MAX];
	struct client c = client_of(i);

	return queue_put(q, &c, packet, fill(packet, i));
}

/* The next is the i-th. */
static bool get(struct queue *q, uint32_t i)
{
	uint8_t packet[QUEUE_PACKET_MAX], expected[QUEUE_PACKET_MAX];
	size_t n = 0, expected_n = fill(expected, i);
	struct client c;

	if (!queue_get(q, &c, packet, &n))
		return false;
	assert_int_equal(c.t_ns, i);
	assert_int_equal(c.socket, 3);
	assert_int_equal(n, expected_n);
	assert_memory_equal(packet, expected, n);
	return true;
}

static void test_what_goes_in_comes_out_in_order(void **state)
{
	struct queue *q = queue_new();

	(void)state;
	assert_false(get(q, 0));
	for (uint32_t i = 0; i < 20000; i++) { /* several times around */
		assert_true(put(q, i));
		if (i % 3 == 2) {
			assert_true(get(q, i - 2));
			assert_true(get(q, i - 1));
			assert_true(get(q, i));
		}
	}
	queue_free(q);
}

static void test_full_is_said_and_passes(void **state)
{
	struct queue *q = queue_new();
	uint32_t n = 0, taken = 0;

	(void)state;
	while (put(q, n))
		n++;
	assert_in_range(n, 100, QUEUE_BYTES / sizeof(struct client));
	for (unsigned round = 0; round < 1000; round++) { /* full all the time */
		assert_true(get(q, taken++));
		while (put(q, n))
			n++;
	}
	while (get(q, taken))
		taken++;
	assert_int_equal(taken, n);
	queue_free(q);
}

enum { PASSED_MANY = 200000 };

struct pair {
	struct queue *q;
	struct bell bell;
};

static void *put_many(void *arg)
{
	struct pair *p = arg;

	for (uint32_t i = 0; i < PASSED_MANY;) {
		if (put(p->q, i))
			i++;
		bell_ring(&p->bell);
	}
	return NULL;
}

/* Whoever waits for the bell and then takes all misses none. */
static void test_two_threads_and_a_bell(void **state)
{
	struct pair p = { .q = queue_new() };
	struct pollfd heard = { .events = POLLIN };
	uint32_t taken = 0;
	pthread_t thread;

	(void)state;
	assert_int_equal(bell_open(&p.bell), 0);
	heard.fd = p.bell.fd;
	assert_int_equal(pthread_create(&thread, NULL, put_many, &p), 0);
	while (taken < PASSED_MANY) {
		assert_int_equal(poll(&heard, 1, 20000), 1);
		bell_heard(&p.bell);
		while (get(p.q, taken))
			taken++;
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_false(get(p.q, taken));
	bell_heard(&p.bell);
	assert_int_equal(poll(&heard, 1, 0), 0);
	bell_close(&p.bell);
	queue_free(p.q);
}

/* What clients who may be anybody ask leaves room for what the others do. */
static void test_room_for_those_who_are_verified(void **state)
{
	struct queue *q = queue_new();
	struct client verified = client_of(0);
	uint8_t packet[100] = { 0 };
	uint32_t n = 0, more = 0;

	(void)state;
	while (put(q, n))
		n++;
	verified.verified = true;
	while (queue_put(q, &verified, packet, sizeof(packet)))
		more++;
	assert_true(more * (sizeof(packet) + 2 * sizeof(struct client)) >= QUEUE_VERIFIED_BYTES);
	queue_free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_goes_in_comes_out_in_order),
		cmocka_unit_test(test_room_for_those_who_are_verified), cmocka_unit_test(test_full_is_said_and_passes),
		cmocka_unit_test(test_two_threads_and_a_bell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
