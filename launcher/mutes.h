/* Whose queries wake a service and then nobody comes: a resolver that asks ahead of its clients, for names that it
 * has been asked for before, would keep a VM going up and down for ever.  Pure.
 *
 * A fixed table of client networks (IPv4 /24, IPv6 /56) and services: how many wakes in a row nobody came
 * after.  From the `after`-th on the network's queries for that service wake nothing, for MUTE_MIN_MS and
 * twice as long each time it turns out so again.  One after which somebody came ends it.  What those did
 * whose addresses may be forged is counted apart, so that nobody can be muted by another.
 *
 * The entry not heard of for longest makes room, within a set that a keyed hash chooses, so that forged
 * sources cost no memory, and cannot aim at another's entry.
 */
#ifndef LAUNCHER_MUTES_H
#define LAUNCHER_MUTES_H

#include "base/addr.h"
#include "base/util.h"

enum { MUTE_MIN_MS = 300000, MUTE_MAX_MS = 86400000 };

/* Who woke what. */
struct mute_key {
	struct ip_addr client;
	uint32_t svc, gen;
	bool verified;
};

struct mutes;

struct mutes *mutes_new(void); /* NULL: no memory, or no random numbers */
void mutes_free(struct mutes *m); /* NULL is fine */

/* Nobody came after this wake.  For how long it is muted now, in ms; 0: it is not.  `after` 0: never. */
uint64_t mutes_unused(struct mutes *m, const struct mute_key *key, uint32_t after, uint64_t now_ms);
void mutes_used(struct mutes *m, const struct mute_key *key);
/* For how long its queries still wake nothing, in ms; 0: they wake. */
uint64_t mutes_left_ms(const struct mutes *m, const struct mute_key *key, uint64_t now_ms);

struct mute {
	struct mute_key key; /* client: the network's first address */
	unsigned bits; /* of the network, as its addresses are written */
	uint32_t unused; /* in a row */
	uint64_t left_ms;
};
/* Those of one service that are muted now, in no order: at most `n` into `out`.  How many there are. */
size_t mutes_of(const struct mutes *m, uint32_t svc, uint32_t gen, uint64_t now_ms, struct mute *out, size_t n);

#endif
