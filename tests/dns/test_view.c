/* Readers in threads, and a main thread that changes what they see. */
#include <pthread.h>
#include <sched.h>

#include "tests/dns/util.h"

#include "base/slots.h"
#include "dns/view.h"

enum { READERS = 3, CHANGES = 3000 };

struct world {
	struct views views;
	_Atomic bool end;
	_Atomic uint64_t batches;
	/* what must be true for whoever enters a batch now */
	_Atomic uint32_t least;
	_Atomic unsigned wrong;
};

struct reader {
	struct world *w;
	unsigned place;
	pthread_t thread;
};

/* A view is told by its cookies' number; one that is not in force any more is overwritten. */
static void *read_views(void *arg)
{
	struct reader *r = arg;
	struct world *w = r->w;

	while (!atomic_load(&w->end)) {
		uint32_t least = atomic_load(&w->least);
		const struct view *v = view_enter(&w->views, r->place);

		for (unsigned i = 0; i < 20; i++) {
			if (v->cookies.n < least || v->tables != (struct tables *)(uintptr_t)v->cookies.n)
				atomic_fetch_add(&w->wrong, 1);
		}
		view_leave(&w->views, r->place);
		atomic_fetch_add(&w->batches, 1);
	}
	return NULL;
}

static struct view numbered(uint32_t n)
{
	return (struct view){ .tables = (struct tables *)(uintptr_t)n, .cookies = { .n = n } };
}

static struct world *world_new(void)
{
	struct world *w = aligned_alloc(64, (sizeof(*w) + 63) / 64 * 64);

	memset((void *)w, 0, sizeof(*w));
	return w;
}

static void start(struct world *w, struct reader *readers, void *(*run)(void *))
{
	for (unsigned i = 0; i < READERS; i++) {
		readers[i] = (struct reader){ .w = w, .place = i * 7 };
		assert_int_equal(pthread_create(&readers[i].thread, NULL, run, &readers[i]), 0);
	}
}

static void stop(struct world *w, struct reader *readers)
{
	atomic_store(&w->end, true);
	for (unsigned i = 0; i < READERS; i++)
		assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
}

/* No reader is left with a view that was replaced: its place is used for the next but one. */
static void test_nobody_keeps_an_old_view(void **state)
{
	struct world *w = world_new();
	struct reader readers[READERS];
	struct view v = numbered(1);

	(void)state;
	views_publish(&w->views, &v);
	start(w, readers, read_views);
	for (uint32_t i = 2; i < CHANGES; i++) {
		v = numbered(i);
		views_publish(&w->views, &v);
		atomic_store(&w->least, i);
		if (i % 10 == 0)
			sched_yield();
	}
	stop(w, readers);
	assert_int_equal(atomic_load(&w->wrong), 0);
	assert_true(atomic_load(&w->batches) > 0);
	free(w);
}

/* ---- a state that changes in place ---- */

static _Atomic uint8_t state_of_it;
static _Atomic uint64_t sent_by_old; /* answers by the older state that left */

static void *answer_by_state(void *arg)
{
	struct reader *r = arg;
	struct world *w = r->w;

	while (!atomic_load(&w->end)) {
		uint8_t seen;

		view_enter(&w->views, r->place);
		seen = atomic_load(&state_of_it);
		if (r->place == 0)
			sched_yield(); /* preempted in the middle of it */
		if (seen == STATE_UP)
			atomic_fetch_add(&sent_by_old, 1);
		view_leave(&w->views, r->place);
		atomic_fetch_add(&w->batches, 1);
	}
	return NULL;
}

static void test_after_settling_nobody_answers_by_the_old_state(void **state)
{
	struct world *w = world_new();
	struct reader readers[READERS];
	struct view v = numbered(1);

	(void)state;
	views_publish(&w->views, &v);
	start(w, readers, answer_by_state);
	for (unsigned i = 0; i < CHANGES / 3; i++) {
		uint64_t sent;

		atomic_store(&state_of_it, STATE_UP);
		sched_yield();
		atomic_store(&state_of_it, STATE_DRAINING);
		views_settle(&w->views);
		sent = atomic_load(&sent_by_old);
		sched_yield();
		assert_int_equal(atomic_load(&sent_by_old), sent);
	}
	stop(w, readers);
	assert_true(atomic_load(&w->batches) > 0);
	free(w);
}

/* ---- queries ---- */

static struct tables *tables_with(uint8_t state, uint8_t answer)
{
	struct msg_dns_zone z = zone_msg("jitsu.example");
	struct msg_dns_service s = service_msg(SVC_WWW, "www", "www.jitsu.example", "192.168.1.20", state, answer);
	struct tables *t = tables_new();

	assert_int_equal(tables_add_zone(t, &z), 0);
	assert_int_equal(tables_add_service(t, &s), 0);
	assert_int_equal(tables_place(t), 0);
	assert_int_equal(tables_finish(t), 0);
	return t;
}

struct asked {
	size_t n;
	enum view_pass passed; /* PASS_NOT is false */
};

static struct asked ask(struct tables *t, struct rate *rate, struct slots *slots, struct counts *c, struct ask a)
{
	struct view v = { .tables = t, .rate = rate, .slots = slots };
	struct asker asker = { .addr = ip("192.0.2.1") };
	uint8_t query[512], reply[WIRE_UDP_MAX];
	struct asked r = { 0 };

	r.n = view_query(&v, &asker, 5 * NS_PER_S, query, make_query(query, a), reply, c, &r.passed);
	return r;
}

static uint64_t counted(const struct counts *c, enum dns_count what) { return atomic_load(&c->v[what]); }

static void test_what_a_worker_does_by_itself(void **state)
{
	static const struct ask www = { .name = "www.jitsu.example", .type = TYPE_A };
	struct tables *up = tables_with(STATE_UP, ANSWER_READY), *off = tables_with(STATE_OFF, ANSWER_READY),
		      *held = tables_with(STATE_OFF, ANSWER_AT_ONCE), *starting = tables_with(STATE_STARTING, ANSWER_AT_ONCE);
	struct rate *rate = rate_new(1);
	struct counts *c = counts_new();
	int fd = slots_create();
	struct slots *slots = slots_map(fd);
	struct asked r = ask(up, rate, slots, c, www);

	(void)state;
	assert_true(r.n > 0 && !r.passed);
	assert_int_equal(slots_count(slots, SVC_WWW, GEN), 1);
	r = ask(starting, rate, slots, c, www); /* it is awake already */
	assert_true(r.n > 0 && !r.passed);
	assert_int_equal(slots_count(slots, SVC_WWW, GEN), 2);
	assert_true(ask(off, rate, slots, c, www).passed); /* it must wait */
	assert_true(ask(held, rate, slots, c, www).passed); /* an answer and a wake */
	assert_int_equal(slots_count(slots, SVC_WWW, GEN), 2); /* marked by whoever answers */
	r = ask(up, rate, slots, c, (struct ask){ .name = "nope.jitsu.example", .type = TYPE_A });
	assert_true(r.n > 0 && !r.passed);
	r = ask(up, rate, slots, c, (struct ask){ .name = "www.jitsu.example", .type = TYPE_A, .flags = FLAG_QR });
	assert_true(r.n == 0 && !r.passed);
	assert_int_equal(counted(c, DNS_COUNT_A), 5);
	assert_int_equal(counted(c, DNS_COUNT_NOERROR), 2);
	assert_int_equal(counted(c, DNS_COUNT_NXDOMAIN), 1);
	assert_int_equal(counted(c, DNS_COUNT_DROPPED), 1);
	slots_unmap(slots);
	close(fd);
	free(c);
	rate_free(rate);
	tables_free(up);
	tables_free(off);
	tables_free(held);
	tables_free(starting);
}

static void test_a_worker_limits_rates(void **state)
{
	static const struct ask www = { .name = "www.jitsu.example", .type = TYPE_A };
	struct tables *t = tables_with(STATE_UP, ANSWER_READY);
	struct rate *rate = rate_new(1);
	struct counts *c = counts_new();

	(void)state;
	rate_set(rate, 3, 2);
	for (unsigned i = 0; i < 9; i++)
		ask(t, rate, NULL, c, www);
	assert_int_equal(counted(c, DNS_COUNT_LIMITED), 3);
	assert_int_equal(counted(c, DNS_COUNT_SLIPPED), 3);
	assert_int_equal(counted(c, DNS_COUNT_NOERROR), 6);
	free(c);
	rate_free(rate);
	tables_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody_keeps_an_old_view),
		cmocka_unit_test(test_after_settling_nobody_answers_by_the_old_state),
		cmocka_unit_test(test_what_a_worker_does_by_itself),
		cmocka_unit_test(test_a_worker_limits_rates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
