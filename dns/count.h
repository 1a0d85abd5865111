/* What one thread has counted.  It alone writes; others may read at any time. */
#ifndef DNS_COUNT_H
#define DNS_COUNT_H

#include <stdatomic.h>

#include "base/msg.h"

struct counts {
	_Atomic uint64_t v[DNS_COUNT_N];
} __attribute__((aligned(64)));

/* Not an addition that is atomic, which would cost as much as the lookup. */
static inline void count_one(struct counts *c, enum dns_count what)
{
	uint64_t n = atomic_load_explicit(&c->v[what], memory_order_relaxed);

	atomic_store_explicit(&c->v[what], n + 1, memory_order_relaxed);
}

struct counts *counts_new(void); /* zeroed, to be free()d; NULL: no memory */

void count_type(struct counts *c, unsigned type);
void count_rcode(struct counts *c, unsigned rcode);

/* Adds all of c to the message's. */
void counts_add(const struct counts *c, struct msg_dns_counts *m);

#endif
