/* Theory of operation
 *
 * Readers do not lock, and do not count references: each has a number that is odd while it is in a
 * batch.  The main thread changes the pointer (or a state in the tables), and then waits for each
 * reader whose number is odd until it is another one.  A reader that it found outside, or that has
 * begun a new batch, sees the change: it makes its number odd before it reads the pointer, the main
 * thread writes the pointer before it reads the number, and all four are in one order (they are
 * sequentially consistent).
 *
 * A batch is at most 32 queries, never waits for the main thread, and never blocks, so the wait is as
 * short as that: some hundred microseconds, or a time slice when the worker was preempted.  It is spent
 * here, not in a callback, so that "no worker answers by the old state any more" is true when the
 * function returns.
 *
 * Since nobody sees the old view then, two places for views are enough.
 */
#include "dns/view.h"

#include <sched.h>
#include <time.h>

#include "base/clock.h"
#include "base/slots.h"

enum { YIELDS = 16, NAP_NS = 50 * 1000 };

static void wait_a_little(unsigned tries)
{
	struct timespec nap = { .tv_nsec = NAP_NS };

	if (tries < YIELDS)
		sched_yield();
	else
		nanosleep(&nap, NULL);
}

void views_settle(struct views *v)
{
	for (unsigned i = 0; i < VIEW_READERS_MAX; i++) {
		uint64_t was = atomic_load(&v->readers[i].batch);

		for (unsigned tries = 0; was % 2 == 1 && atomic_load(&v->readers[i].batch) == was; tries++)
			wait_a_little(tries);
	}
}

void views_publish(struct views *v, const struct view *view)
{
	struct view *next = atomic_load(&v->now) == &v->room[0] ? &v->room[1] : &v->room[0];

	*next = *view;
	atomic_store(&v->now, next);
	views_settle(v);
}

/* ---- a query ---- */

size_t view_limit(const struct tables *t, struct rate *rate, const struct ip_addr *client, uint64_t now_ns,
		  struct answer *a, uint8_t *reply, struct counts *counts)
{
	enum rate_verdict verdict = a->verified ? RATE_PASS : rate_take(rate, client, now_ns);

	if (verdict == RATE_PASS || tables_is_exempt(t, client))
		return a->n;
	count_one(counts, verdict == RATE_SLIP ? DNS_COUNT_SLIPPED : DNS_COUNT_LIMITED);
	if (verdict == RATE_DROP)
		return 0;
	a->rcode = RCODE_NOERROR;
	return answer_slip(&a->q, reply);
}

/* It is answered, and wakes its service besides; but the main thread has heard of another such query just now, and
 * would do nothing with this one: a flood of them must not be its work. */
static bool is_repeated(const struct answer *a, uint64_t now_ns)
{
	_Atomic uint64_t *passed_ns = &a->service->passed_ns[a->verified];
	uint64_t last_ns = atomic_load_explicit(passed_ns, memory_order_relaxed);

	if (last_ns && now_ns < last_ns + ZONE_WAKE_PAUSE_MS * NS_PER_MS)
		return true;
	return !atomic_compare_exchange_strong_explicit(passed_ns, &last_ns, now_ns, memory_order_relaxed,
							memory_order_relaxed);
}

size_t view_query(const struct view *v, const struct asker *asker, uint64_t now_ns, const uint8_t *packet,
		  size_t n, uint8_t *reply, struct counts *counts, enum view_pass *pass)
{
	struct answer a;
	size_t reply_n;

	answer_query(v->tables, asker, packet, n, reply, &a);
	if (a.verdict == VERDICT_DROP) {
		count_one(counts, DNS_COUNT_DROPPED);
		return 0;
	}
	count_type(counts, a.q.type);
	if (a.verdict != VERDICT_REPLY || changing_has(v->changing, &a.q) || (a.wake && !is_repeated(&a, now_ns))) {
		*pass = a.verified ? PASS_VERIFIED : PASS_ANYBODY;
		return 0;
	}
	if (a.mark && v->slots)
		slots_mark(v->slots, a.service->svc, a.service->gen, now_ns);
	reply_n = view_limit(v->tables, v->rate, &asker->addr, now_ns, &a, reply, counts);
	if (reply_n > 0)
		count_rcode(counts, a.rcode);
	return reply_n;
}
