#include "tests/dns/util.h"

#include "dns/waiting.h"

static struct client client(const char *addr, uint16_t port)
{
	return (struct client){ .addr = ip(addr), .port = port, .local = ip("127.0.0.1"), .verified = true };
}

/* A query for the nth name, from this client; waits for service `svc` until `deadline`. */
static int add(struct waiting *w, const char *addr, uint16_t port, unsigned id, uint32_t svc, uint64_t deadline,
	       struct waiter **out)
{
	struct client c = client(addr, port);
	uint8_t b[512];
	size_t n = make_query(b, (struct ask){ .name = "www.jitsu.example", .type = 1, .id = id });

	return waiting_add(w, &c, b, n, svc, GEN, deadline, out);
}

static void test_retry_is_the_same_query(void **state)
{
	struct waiting *w = waiting_new(100, 42);
	struct waiter *first, *q;
	struct client c = client("10.0.0.1", 1000), tcp = c, other_local = c;
	uint8_t b[512];
	size_t n;

	(void)state;
	assert_int_equal(add(w, "10.0.0.1", 1000, 1, 5, 100, &first), 0);
	assert_int_equal(add(w, "10.0.0.1", 1000, 1, 5, 900, &q), -EALREADY);
	assert_ptr_equal(q, first);
	assert_int_equal(q->deadline_ns, 100); /* a retry buys no more time */
	assert_int_equal(add(w, "10.0.0.1", 1000, 2, 5, 100, &q), 0); /* id */
	assert_int_equal(add(w, "10.0.0.1", 1001, 1, 5, 100, &q), 0); /* port */
	assert_int_equal(add(w, "10.0.0.2", 1000, 1, 5, 100, &q), 0); /* address */
	n = make_query(b, (struct ask){ .name = "www.jitsu.example", .type = 1, .id = 1 });
	tcp.conn = 9;
	assert_int_equal(waiting_add(w, &tcp, b, n, 5, GEN, 100, &q), 0); /* connection */
	other_local.local = ip("127.0.0.2");
	assert_int_equal(waiting_add(w, &other_local, b, n, 5, GEN, 100, &q), 0); /* whom it asked */
	n = make_query(b, (struct ask){ .name = "www.jitsu.example", .type = 28, .id = 1 });
	assert_int_equal(waiting_add(w, &c, b, n, 5, GEN, 100, &q), 0); /* type */
	n = make_query(b, (struct ask){ .name = "wwW.jitsu.example", .type = 1, .id = 1 });
	assert_int_equal(waiting_add(w, &c, b, n, 5, GEN, 100, &q), 0); /* case: the answer differs */
	assert_int_equal(waiting_count(w), 8);
	waiting_free(w);
}

static void test_removed_is_forgotten(void **state)
{
	struct waiting *w = waiting_new(100, 42);
	struct waiter *q;
	uint32_t token;

	(void)state;
	assert_int_equal(add(w, "10.0.0.1", 1000, 1, 5, 100, &q), 0);
	token = q->token;
	assert_ptr_equal(waiting_find(w, token), q);
	waiting_remove(w, q);
	assert_null(waiting_find(w, token));
	assert_null(waiting_soonest(w));
	assert_null(waiting_first(w));
	assert_null(waiting_first_of(w, 5));
	assert_int_equal(add(w, "10.0.0.1", 1000, 1, 5, 100, &q), 0); /* and may come again */
	assert_int_not_equal(q->token, token);
	waiting_free(w);
}

static void test_tokens_are_never_zero_nor_twice(void **state)
{
	struct waiting *w = waiting_new(100, 0xfffffffdull << 32);
	struct waiter *a, *q;
	uint32_t seen[8];

	(void)state;
	assert_int_equal(add(w, "10.0.0.1", 1, 1, 5, 100, &a), 0);
	seen[0] = a->token;
	for (unsigned i = 1; i < 8; i++) {
		assert_int_equal(add(w, "10.0.0.1", (uint16_t)(1 + i), 1, 5, 100, &q), 0);
		seen[i] = q->token;
		assert_int_not_equal(q->token, 0);
		for (unsigned j = 0; j < i; j++)
			assert_int_not_equal(seen[j], q->token);
	}
	waiting_free(w);
}

static void test_bounded(void **state)
{
	struct waiting *w = waiting_new(8, 1);
	struct waiter *q;
	char addr[32];

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		snprintf(addr, sizeof(addr), "10.0.%u.1", i);
		assert_int_equal(add(w, addr, 1, 1, 5, 100, &q), 0);
	}
	assert_int_equal(add(w, "10.0.99.1", 1, 1, 5, 100, &q), -ENOSPC);
	assert_int_equal(add(w, "10.0.7.1", 1, 1, 5, 100, &q), -EALREADY); /* a retry needs no place */
	waiting_remove(w, q);
	assert_int_equal(add(w, "10.0.99.1", 1, 1, 5, 100, &q), 0);
	waiting_set_max(w, 4); /* those who wait, wait on */
	assert_int_equal(waiting_count(w), 8);
	waiting_remove(w, q);
	assert_int_equal(add(w, "10.0.99.1", 1, 1, 5, 100, &q), -ENOSPC);
	waiting_free(w);
}

static void test_one_network_has_its_share(void **state)
{
	struct waiting *w = waiting_new(16, 1);
	struct waiter *q = NULL;
	char addr[64];

	(void)state;
	for (unsigned i = 0; i < 4; i++) { /* 16 / WAITING_SHARE */
		snprintf(addr, sizeof(addr), "10.0.0.%u", i);
		assert_int_equal(add(w, addr, 1, 1, 5, 100, &q), 0);
	}
	assert_int_equal(add(w, "10.0.0.77", 1, 1, 5, 100, &q), -EDQUOT);
	assert_int_equal(add(w, "10.0.1.77", 1, 1, 5, 100, &q), 0);
	for (unsigned i = 0; i < 4; i++) {
		snprintf(addr, sizeof(addr), "fd00:0:0:%x::%u", i, i); /* one /56 */
		assert_int_equal(add(w, addr, 1, 1, 5, 100, &q), 0);
	}
	assert_int_equal(add(w, "fd00:0:0:ff::1", 1, 1, 5, 100, &q), -EDQUOT);
	waiting_remove(w, q); /* the last of the /56 */
	assert_int_equal(add(w, "fd00:0:0:ff::1", 1, 1, 5, 100, &q), 0);
	assert_int_equal(add(w, "fd00:0:0:100::1", 1, 1, 5, 100, &q), 0);
	waiting_free(w);
}

static void test_smallest_table_still_holds_one(void **state)
{
	struct waiting *w = waiting_new(0, 1);
	struct waiter *q;

	(void)state;
	assert_int_equal(add(w, "10.0.0.1", 1, 1, 5, 100, &q), 0);
	assert_int_equal(add(w, "10.0.1.1", 1, 1, 5, 100, &q), -ENOSPC);
	waiting_free(w);
}

static void test_deadlines_in_order(void **state)
{
	static const uint64_t deadlines[] = { 50, 10, 90, 30, 30, 70, 20, 60, 80, 40, 5, 100 };
	struct waiting *w = waiting_new(1000, 1);
	struct waiter *q[ARRAY_SIZE(deadlines)];
	uint64_t last = 0;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(deadlines); i++)
		assert_int_equal(add(w, "10.0.0.1", (uint16_t)(i + 1), 1, 5, deadlines[i], &q[i]), 0);
	waiting_remove(w, q[1]); /* from the middle of the heap */
	waiting_remove(w, q[5]);
	for (unsigned i = 0; i < ARRAY_SIZE(deadlines) - 2; i++) {
		struct waiter *next = waiting_soonest(w);

		assert_true(next->deadline_ns >= last);
		last = next->deadline_ns;
		waiting_remove(w, next);
	}
	assert_null(waiting_soonest(w));
	waiting_free(w);
}

/* Random comings and goings against a plain array. */
static void test_against_a_model(void **state)
{
	enum { N = 300 };
	struct waiting *w = waiting_new(10000, 7);
	struct waiter *model[N] = { 0 };
	unsigned count = 0;
	uint32_t r = 12345;

	(void)state;
	for (unsigned step = 0; step < 20000; step++) {
		uint64_t least = UINT64_MAX;
		unsigned i;

		r = r * 1664525u + 1013904223u;
		i = (r >> 8) % N;
		if (model[i]) {
			waiting_remove(w, model[i]);
			model[i] = NULL;
			count--;
		} else {
			assert_int_equal(add(w, "10.0.0.1", (uint16_t)(i + 1), 1, i % 7, r >> 16, &model[i]), 0);
			count++;
		}
		assert_int_equal(waiting_count(w), count);
		if (step % 50)
			continue;
		for (unsigned k = 0; k < N; k++)
			if (model[k])
				least = MIN(least, model[k]->deadline_ns);
		if (count)
			assert_int_equal(waiting_soonest(w)->deadline_ns, least);
	}
	waiting_free(w);
}

static void test_by_service_and_moved(void **state)
{
	struct waiting *w = waiting_new(100, 1);
	struct waiter *a, *b, *c;

	(void)state;
	add(w, "10.0.0.1", 1, 1, 5, 100, &a);
	add(w, "10.0.0.1", 2, 1, 6, 100, &b);
	add(w, "10.0.0.1", 3, 1, 5, 100, &c);
	assert_ptr_equal(waiting_first_of(w, 5), a);
	assert_ptr_equal(waiting_next_of(a), c);
	assert_null(waiting_next_of(c));
	waiting_move(w, a, 6, GEN + 1);
	assert_ptr_equal(waiting_first_of(w, 5), c);
	assert_ptr_equal(waiting_next_of(b), a);
	assert_int_equal(a->gen, GEN + 1);
	assert_ptr_equal(waiting_first(w), a); /* by age as before */
	assert_ptr_equal(waiting_next(a), b);
	assert_null(waiting_first_of(w, 99999));
	waiting_free(w);
}

/* Those who may be anybody take half, and never a place of the others. */
static void test_half_is_for_those_who_are_verified(void **state)
{
	struct waiting *w = waiting_new(8, 42);
	struct waiter *q, *first = NULL;
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		char addr[32];
		struct client c;
		uint8_t b[512];
		size_t size = make_query(b, (struct ask){ .name = "www.jitsu.example", .type = 1, .id = 1 });

		snprintf(addr, sizeof(addr), "10.1.%u.1", i);
		c = client(addr, 1);
		c.verified = false;
		if (waiting_add(w, &c, b, size, 5, GEN, 100, &q) < 0)
			continue;
		first = first ? first : q;
		n++;
	}
	assert_int_equal(n, 4);
	for (unsigned i = 0; i < 4; i++) {
		char addr[32];

		snprintf(addr, sizeof(addr), "10.2.%u.1", i);
		assert_int_equal(add(w, addr, 1, 1, 5, 100, &q), 0);
	}
	assert_int_equal(add(w, "10.3.0.1", 1, 1, 5, 100, &q), -ENOSPC);
	waiting_remove(w, first);
	assert_int_equal(add(w, "10.3.0.1", 1, 1, 5, 100, &q), 0); /* they may have all of it */
	waiting_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_retry_is_the_same_query),
		cmocka_unit_test(test_removed_is_forgotten),
		cmocka_unit_test(test_tokens_are_never_zero_nor_twice),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_one_network_has_its_share),
		cmocka_unit_test(test_half_is_for_those_who_are_verified),
		cmocka_unit_test(test_smallest_table_still_holds_one),
		cmocka_unit_test(test_deadlines_in_order),
		cmocka_unit_test(test_against_a_model),
		cmocka_unit_test(test_by_service_and_moved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
