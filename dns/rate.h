/* Response rate limiting: how many answers one network (IPv4 /24, IPv6 /56) is sent over UDP, so that
 * whoever forges its addresses cannot bury it under our answers.
 *
 * Pure: the clock is given in.  Bounded: RATE_NETWORKS are remembered; a new one takes the place of the one
 * in its set with the most left of its budget.  rate_set() and rate_take() may be called by any thread.
 */
#ifndef DNS_RATE_H
#define DNS_RATE_H

#include "base/addr.h"
#include "base/util.h"

enum { RATE_NETWORKS = 64 * 1024, RATE_SLIP_MAX = 15 };

struct rate;

enum rate_verdict {
	RATE_PASS,
	RATE_SLIP, /* an answer that says "ask over TCP" and nothing else, so that real clients get through */
	RATE_DROP,
};

/* `seed` is a random number.  NULL: no memory. */
struct rate *rate_new(uint64_t seed);
void rate_free(struct rate *r);

/* From now on `per_s` answers a second, and as many at once after a second of silence; 0: any number.
 * Each slip-th of those over it is RATE_SLIP; 0: none. */
void rate_set(struct rate *r, uint32_t per_s, uint32_t slip);

/* One more answer to this client. */
enum rate_verdict rate_take(struct rate *r, const struct ip_addr *client, uint64_t now_ns);

#endif
