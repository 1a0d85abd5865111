/* A token bucket: so many at once, and so many in each second. */
#ifndef BASE_BUCKET_H
#define BASE_BUCKET_H

#include "base/clock.h"
#include "base/util.h"

/* Zero but for the first two: full. */
struct bucket {
	uint32_t burst, per_s;
	uint64_t empty_ns; /* the bucket is as full as if it had been empty then and filled since */
};

static inline uint64_t bucket_token_ns(const struct bucket *b) { return NS_PER_S / b->per_s; }

/* When it has a token: not after now_ns when it has one already. */
static inline uint64_t bucket_ready_ns(const struct bucket *b) { return b->empty_ns + bucket_token_ns(b); }

/* How many tokens there are. */
static inline uint32_t bucket_level(const struct bucket *b, uint64_t now_ns)
{
	uint64_t n = now_ns > b->empty_ns ? (now_ns - b->empty_ns) / bucket_token_ns(b) : 0;

	return (uint32_t)MIN(n, (uint64_t)b->burst);
}

/* Takes `n`, of which there are at least so many. */
static inline void bucket_take(struct bucket *b, uint64_t now_ns, uint32_t n)
{
	uint64_t full_ns = b->burst * bucket_token_ns(b);

	if (now_ns > b->empty_ns + full_ns)
		b->empty_ns = now_ns - full_ns;
	b->empty_ns += n * bucket_token_ns(b);
}

/* One, if there is one. */
static inline bool bucket_pass(struct bucket *b, uint64_t now_ns)
{
	if (bucket_level(b, now_ns) == 0)
		return false;
	bucket_take(b, now_ns, 1);
	return true;
}

#endif
