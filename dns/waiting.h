/* The queries that wait for their service.  Pure: the clock is given in, nothing is sent.
 *
 * Bounded: at most `max` wait, and at most a quarter of that from one network (IPv4 /24,
 * IPv6 /56), so that no client can take every place; of clients that are not verified at most
 * half.  A client's retry (same address, port, connection, id and question) is the same query: it is
 * answered once.
 */
#ifndef DNS_WAITING_H
#define DNS_WAITING_H

#include <sys/queue.h>

#include "base/msg.h"
#include "dns/client.h"
#include "dns/wire.h"

enum { WAITING_MAX = 65536, WAITING_SHARE = 4, WAITING_UNVERIFIED = 2 };

struct waiting;

struct waiter {
	uint32_t token; /* never 0; unique among those that wait */
	uint32_t svc, gen;
	struct client client;
	uint64_t deadline_ns;
	bool woken; /* the launcher knows the token */
	char label[MSG_NAME_MAX]; /* of a template's wake; else "" */
	bool changing; /* it waits for new tables (changing.h), and for no service: svc and gen are zero */
	uint16_t n;
	uint8_t packet[WIRE_NORMAL_MAX]; /* wire_normalise()d */
	/* waiting.c's */
	struct share *share;
	uint32_t heap_at;
	LIST_ENTRY(waiter) by_token, by_key;
	TAILQ_ENTRY(waiter) by_service, by_age;
};

/* `seed` is a random number.  NULL: no memory. */
struct waiting *waiting_new(uint32_t max, uint64_t seed);
void waiting_free(struct waiting *w);
/* Those that wait already stay.  At most WAITING_MAX, at least 1. */
void waiting_set_max(struct waiting *w, uint32_t max);
uint32_t waiting_count(const struct waiting *w);

/* 0 with the new waiter; -EALREADY with the one that waits for the same; -ENOSPC: full, for such a client; -EDQUOT:
 * its network's share is used up; -ENOMEM.  `n` at most WIRE_NORMAL_MAX, `svc` below SLOTS_MAX. */
int waiting_add(struct waiting *w, const struct client *client, const uint8_t *packet, size_t n, uint32_t svc,
		uint32_t gen, uint64_t deadline_ns, struct waiter **out);
void waiting_remove(struct waiting *w, struct waiter *q); /* q is gone */

struct waiter *waiting_find(struct waiting *w, uint32_t token); /* or NULL */
/* Those of one service, or all, oldest first.  Take the next before removing one. */
struct waiter *waiting_first_of(struct waiting *w, uint32_t svc);
struct waiter *waiting_next_of(struct waiter *q);
struct waiter *waiting_first(struct waiting *w);
struct waiter *waiting_next(struct waiter *q);

/* It waits for another service from now on. */
void waiting_move(struct waiting *w, struct waiter *q, uint32_t svc, uint32_t gen);

/* The one whose deadline comes first; NULL when none waits. */
struct waiter *waiting_soonest(struct waiting *w);

#endif
