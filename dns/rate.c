/* Theory of operation
 *
 * A network's budget is a bucket of `per_s` answers that fills within a second.  What is kept of it is
 * the moment when it is full again (the "theoretical arrival time" of the cell rate algorithm): that is
 * now or past for a full bucket, and a second ahead for an empty one.  Each answer moves it by
 * 1 / per_s.  Time is counted in ticks, TICKS to an answer, so that nothing is lost by rounding.
 *
 * A bucket is one word,
 *
 *	 63     40 39   36 35                                 0
 *	+---------+-------+------------------------------------+
 *	| network | over  | full at (ticks, modulo 2^36)       |
 *	+---------+-------+------------------------------------+
 *
 * and is changed by compare-and-exchange alone: workers share the table without a lock, and none of
 * them waits for another one.  A moment that lies further ahead than an empty bucket's, by more than a
 * second that workers' clocks may differ by, can only be an old one, from before the ticks wrapped:
 * that bucket is full.  (They wrap after 71 minutes at the highest rate, after 8 months at 200 a second.)
 *
 * Buckets lie in a table of sets; a network can be in one set only, so that one answer costs one cache
 * line.  A network that is in none yet gets the fullest bucket of its set, and it full:
 * whoever forges more networks than there are buckets gains a full bucket for each, but then each of
 * them is sent no more than that.
 *
 * Networks are told apart by their set and 24 bits of a seeded hash, not by their address: two that
 * fall together share a budget, which nobody can bring about on purpose.
 *
 * A lock for each set was refused: a worker that is preempted while it holds one would stop the
 * others.
 */
#include "dns/rate.h"

#include <assert.h>
#include <stdatomic.h>

#include "base/clock.h"

enum {
	WAYS = 4,
	SETS = RATE_NETWORKS / WAYS,
	TICKS = 16, /* to an answer */
	NETWORK_SHIFT = 40,
	OVER_SHIFT = 36,
	OVER_MASK = 15,
	PER_S_MAX = 1000000,
};
#define TIME_MASK ((1ull << OVER_SHIFT) - 1)
static_assert((int)RATE_SLIP_MAX <= (int)OVER_MASK, "`over` must fit its bits");

struct rate {
	uint64_t seed;
	_Atomic uint32_t per_s, slip;
	_Atomic uint64_t per_ns; /* ticks, times 2^40 */
	_Atomic uint64_t sets[SETS][WAYS] __attribute__((aligned(64)));
};

struct rate *rate_new(uint64_t seed)
{
	struct rate *r = aligned_alloc(64, (sizeof(*r) + 63) / 64 * 64);

	if (r) {
		memset((void *)r, 0, sizeof(*r));
		r->seed = seed;
	}
	return r;
}

void rate_free(struct rate *r) { free(r); }

/* With another rate the ticks mean something else: all buckets are full. */
static void empty_table(struct rate *r)
{
	for (unsigned i = 0; i < SETS; i++)
		for (unsigned j = 0; j < WAYS; j++)
			atomic_store_explicit(&r->sets[i][j], 0, memory_order_relaxed);
}

void rate_set(struct rate *r, uint32_t per_s, uint32_t slip)
{
	per_s = MIN(per_s, (uint32_t)PER_S_MAX);
	atomic_store(&r->slip, MIN(slip, (uint32_t)RATE_SLIP_MAX));
	if (atomic_load(&r->per_s) == per_s)
		return;
	atomic_store(&r->per_ns, (uint64_t)((((unsigned __int128)per_s * TICKS << 40) + NS_PER_S - 1) / NS_PER_S));
	atomic_store(&r->per_s, per_s);
	empty_table(r);
}

/* Its network's first 8 bytes (::ffff:0:0/96 maps IPv4 into the last ones), mixed with the seed. */
static uint64_t hash_network(const struct rate *r, const struct ip_addr *client)
{
	uint64_t v = 0;

	if (ip_is_v4(client))
		memcpy(&v, client->b + 12, 3);
	else
		memcpy(&v, client->b, 7);
	v = (v ^ (ip_is_v4(client) ? ~r->seed : r->seed)) * 0x9e3779b97f4a7c15;
	v = (v ^ v >> 32) * 0xd6e8feb86659fd93;
	return v ^ v >> 32;
}

/* Ticks until it is full: 0 when it is. */
static uint64_t lacks(uint64_t bucket, uint64_t now, uint64_t empty)
{
	uint64_t ahead = (bucket - now) & TIME_MASK;

	return ahead > 2 * empty ? 0 : ahead;
}

/* Ticks until it is full; negative: since it was. */
static int64_t full_in(uint64_t bucket, uint64_t now, uint64_t empty)
{
	uint64_t missing = lacks(bucket, now, empty);

	return missing > 0 ? (int64_t)missing : -(int64_t)((now - bucket) & TIME_MASK);
}

/* The network's bucket, or the one that it gets; *was is what it is now. */
static _Atomic uint64_t *find(struct rate *r, uint64_t hash, uint64_t now, uint64_t empty, uint64_t *was)
{
	_Atomic uint64_t *set = r->sets[hash % SETS], *fullest = &set[0];
	uint64_t network = hash >> NETWORK_SHIFT;
	int64_t soonest = INT64_MAX;

	*was = 0;
	for (unsigned i = 0; i < WAYS; i++) {
		uint64_t bucket = atomic_load_explicit(&set[i], memory_order_relaxed);
		int64_t in = full_in(bucket, now, empty);

		if (bucket >> NETWORK_SHIFT == network) {
			*was = bucket;
			return &set[i];
		}
		if (in < soonest) {
			fullest = &set[i];
			soonest = in;
			*was = bucket;
		}
	}
	return fullest;
}

/* What becomes of the bucket with one more answer. */
static uint64_t take(uint64_t was, uint64_t network, uint64_t now, uint64_t empty, uint32_t slip,
		     enum rate_verdict *verdict)
{
	bool known = was >> NETWORK_SHIFT == network;
	uint64_t missing = known ? lacks(was, now, empty) : 0, over = known ? was >> OVER_SHIFT & OVER_MASK : 0;

	if (missing + TICKS <= empty) {
		*verdict = RATE_PASS;
		missing += TICKS;
	} else if (slip > 0 && ++over >= slip) {
		*verdict = RATE_SLIP;
		over = 0;
	} else {
		*verdict = RATE_DROP;
	}
	return network << NETWORK_SHIFT | over << OVER_SHIFT | ((now + missing) & TIME_MASK);
}

enum rate_verdict rate_take(struct rate *r, const struct ip_addr *client, uint64_t now_ns)
{
	uint32_t per_s = atomic_load_explicit(&r->per_s, memory_order_relaxed), slip;
	uint64_t per_ns, hash, now, empty, was, next;
	_Atomic uint64_t *bucket;
	enum rate_verdict verdict;

	if (per_s == 0)
		return RATE_PASS;
	slip = atomic_load_explicit(&r->slip, memory_order_relaxed);
	per_ns = atomic_load_explicit(&r->per_ns, memory_order_relaxed);
	now = (uint64_t)((unsigned __int128)now_ns * per_ns >> 40) & TIME_MASK;
	empty = (uint64_t)per_s * TICKS;
	hash = hash_network(r, client);
	do { /* again only when another worker has just changed it */
		bucket = find(r, hash, now, empty, &was);
		next = take(was, hash >> NETWORK_SHIFT, now, empty, slip, &verdict);
	} while (!atomic_compare_exchange_strong_explicit(bucket, &was, next, memory_order_relaxed,
							  memory_order_relaxed));
	return verdict;
}
