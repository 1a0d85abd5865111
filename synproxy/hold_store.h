/* The memory that held packets lie in: two areas of slots, in a sealed memfd.
 *
 * It outlives whoever writes to it, at any moment: a slot says that it is whole only after all of it
 * was written, and a reader looks only at those that say so.  It may have been written by somebody
 * hostile: whatever is read from it must be checked, and may change between two looks.
 */
#ifndef SYNPROXY_HOLD_STORE_H
#define SYNPROXY_HOLD_STORE_H

#include <stdatomic.h>

#include "base/util.h"

enum hold_area { HOLD_AREA_SYNS, HOLD_AREA_PACKETS, HOLD_AREAS };

struct hold_slot {
	_Atomic uint8_t state;
	uint16_t n; /* of frame */
	uint32_t packets; /* of its flow that came */
	uint64_t since_ns, newest_ns;
	uint8_t frame[];
};

struct hold_store {
	struct hold_store_header *header;
	size_t size;
};

/* Maps `fd` (which stays the caller's); what is no layout of this version is made an empty one.
 * -EINVAL: no such memory; or -errno. */
int hold_store_map(struct hold_store *s, int fd);
void hold_store_unmap(struct hold_store *s); /* what lies in it stays */

uint32_t hold_store_slots(enum hold_area area); /* how many it has */
size_t hold_store_room(enum hold_area area); /* bytes of a frame that a slot takes */
struct hold_slot *hold_store_slot(const struct hold_store *s, enum hold_area area, uint32_t i);

/* How many slots, from the first on, may ever have been written since the area was empty; what is
 * behind them has no memory.  It must say so before one of them is written. */
uint32_t hold_store_used(const struct hold_store *s, enum hold_area area);
void hold_store_use(struct hold_store *s, enum hold_area area, uint32_t slots);
/* All slots are empty: their memory is given back. */
void hold_store_empty(struct hold_store *s, enum hold_area area);

/* Its frame is there already. */
static inline void hold_slot_finish(struct hold_slot *s, size_t n, uint32_t packets, uint64_t since_ns,
				    uint64_t newest_ns)
{
	s->n = (uint16_t)n;
	s->packets = packets;
	s->since_ns = since_ns;
	s->newest_ns = newest_ns;
	atomic_store_explicit(&s->state, 1, memory_order_release);
}

static inline bool hold_slot_is_whole(const struct hold_slot *s)
{
	return atomic_load_explicit(&s->state, memory_order_acquire) == 1;
}

static inline void hold_slot_clear(struct hold_slot *s)
{
	atomic_store_explicit(&s->state, 0, memory_order_release);
}

#endif
