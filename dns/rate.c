/* Theory of operation
 *
 * A network's budget is a bucket of `per_s` answers that fills within a second.  Buckets lie in a
 * table of sets; a network can be in one set only, so that one answer costs one cache line.  A
 * network that is in none yet gets the bucket of its set that was touched longest ago, full: whoever
 * forges more networks than there are buckets gains a full bucket for each, but then each of them
 * is sent no more than that.
 *
 * Networks are told apart by 32 bits of a seeded hash, not by their address: two that fall together
 * share a budget, which nobody can bring about on purpose.
 */
#include "dns/rate.h"

#include "base/clock.h"

enum { WAYS = 4, SETS = RATE_NETWORKS / WAYS };

struct bucket {
	uint32_t network; /* its hash */
	uint32_t left; /* answers, in thousandths */
	uint32_t touched_ms;
	uint32_t over; /* answers too many, since it was last full */
};

struct rate {
	uint64_t seed;
	uint32_t per_s, slip;
	struct bucket sets[SETS][WAYS];
};

struct rate *rate_new(uint64_t seed)
{
	struct rate *r = aligned_alloc(64, (sizeof(*r) + 63) / 64 * 64);

	if (r) {
		memset(r, 0, sizeof(*r));
		r->seed = seed;
	}
	return r;
}

void rate_free(struct rate *r) { free(r); }

void rate_set(struct rate *r, uint32_t per_s, uint32_t slip)
{
	r->per_s = MIN(per_s, UINT32_MAX / 1000);
	r->slip = slip;
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

static struct bucket *find(struct rate *r, uint64_t hash, uint32_t now_ms)
{
	struct bucket *set = r->sets[hash % SETS], *oldest = &set[0];
	uint32_t network = (uint32_t)(hash >> 32) | 1; /* 0: nobody's */

	for (unsigned i = 0; i < WAYS; i++) {
		if (set[i].network == network)
			return &set[i];
		if (now_ms - set[i].touched_ms > now_ms - oldest->touched_ms)
			oldest = &set[i];
	}
	*oldest = (struct bucket){ .network = network, .left = r->per_s * 1000, .touched_ms = now_ms };
	return oldest;
}

static void fill(const struct rate *r, struct bucket *b, uint32_t now_ms)
{
	uint64_t more = (uint64_t)(now_ms - b->touched_ms) * r->per_s;

	b->touched_ms = now_ms;
	if (b->left + more >= r->per_s * 1000ull) {
		b->left = r->per_s * 1000;
		b->over = 0;
	} else {
		b->left += (uint32_t)more;
	}
}

enum rate_verdict rate_take(struct rate *r, const struct ip_addr *client, uint64_t now_ns)
{
	uint32_t now_ms = (uint32_t)(now_ns / NS_PER_MS);
	struct bucket *b;

	if (r->per_s == 0)
		return RATE_PASS;
	b = find(r, hash_network(r, client), now_ms);
	fill(r, b, now_ms);
	if (b->left >= 1000) {
		b->left -= 1000;
		return RATE_PASS;
	}
	b->over++;
	return r->slip > 0 && b->over % r->slip == 0 ? RATE_SLIP : RATE_DROP;
}
