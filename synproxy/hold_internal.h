/* What the files of the table share, and nobody else uses.
 *
 *     hold.c        entries and what finds them; holding
 *     hold_take.c   letting go, and looking
 *     hold_open.c   what a predecessor left, and whose it is
 *
 * What is small and asked for with every packet is inline.
 */
#ifndef SYNPROXY_HOLD_INTERNAL_H
#define SYNPROXY_HOLD_INTERNAL_H

#include <assert.h>
#include <sys/mman.h>

#include "base/siphash.h"
#include "synproxy/hold.h"
#include "synproxy/hold_store.h"

enum {
	ENTRIES = 1 + HOLD_SYNS_MAX + HOLD_PACKETS_MAX, /* the first is none */
	BUCKETS = 262144,
	GROUP = 1024, /* buckets of one source */
	CELLS = 65536, /* counters in a row */
	NOBODY = HOLD_OWNERS_MAX, /* the owner of what nobody has yet */
	UNUSED = UINT16_MAX, /* of an entry: no owner */
	NO_PORT = UINT8_MAX,
	GIVE_BACK_LEAST = 512 * 1024, /* bytes: less memory than that is kept */
	PAGE = 4096,
};

enum link_kind { IN_ORDER, IN_PORT, LINK_KINDS };

struct links {
	uint32_t prev, next;
};

struct list {
	uint32_t first, last;
};

struct entry {
	uint64_t since_ns; /* of the flow */
	uint32_t hash; /* half of the source's, half of the flow's */
	uint32_t chain; /* the next of its bucket; of the free ones */
	struct links links[LINK_KINDS];
	uint32_t slot;
	uint16_t owner;
	uint8_t port; /* index in its owner's */
	bool again;
};

struct port {
	uint32_t count;
	struct list syns[2]; /* that came once; again */
};

struct owner {
	uint32_t counts[HOLD_AREAS];
	uint32_t packet_bytes;
	uint16_t n_ports; /* all behind are without SYNs */
	uint16_t numbers[HOLD_PORTS_MAX];
	struct port ports[HOLD_PORTS_MAX];
	struct list in_order[HOLD_AREAS];
};

/* The entries of one area. */
struct pool {
	uint32_t high; /* how many were ever used, since it was empty */
	uint32_t used;
	uint32_t free; /* a list */
	uint32_t spare; /* the slot that is nobody's */
};

/* What is given back begins a page, and nothing else is in its last one. */
struct hold_table {
	uint32_t buckets[BUCKETS] __attribute__((aligned(PAGE)));
	uint32_t cells[2][CELLS] __attribute__((aligned(PAGE)));
	struct owner owners[HOLD_OWNERS_MAX + 1] __attribute__((aligned(PAGE)));
	uint32_t sorted[ENTRIES] __attribute__((aligned(PAGE)));
	struct entry entries[ENTRIES] __attribute__((aligned(PAGE)));
	struct pool pools[HOLD_AREAS];
	struct hold_store store;
	struct siphash_key key;
	uint64_t latest_ns; /* times never go back */
	uint32_t max_held, held_per_source;
};

/* What a packet is found by. */
struct keys {
	uint64_t source;
	uint32_t hash;
};

/* The pages from there on are zero now. */
static inline void give_back(void *p, size_t n) { madvise(p, n, MADV_DONTNEED); }

static inline enum hold_area area_of(uint32_t i) { return i <= HOLD_SYNS_MAX ? HOLD_AREA_SYNS : HOLD_AREA_PACKETS; }

/* The entries of an area are those behind this one. */
static inline uint32_t before_first(enum hold_area area) { return area == HOLD_AREA_SYNS ? 0 : HOLD_SYNS_MAX; }

static inline struct hold_slot *slot_of(const struct hold_table *t, uint32_t i)
{
	return hold_store_slot(&t->store, area_of(i), t->entries[i].slot);
}

static inline uint32_t most_entries(enum hold_area area) { return hold_store_slots(area) - 1; }

static inline uint32_t *group_of(struct hold_table *t, uint32_t hash) { return t->buckets + (hash >> 24) * GROUP; }

static inline uint32_t *bucket_of(struct hold_table *t, uint32_t hash) { return group_of(t, hash) + hash % GROUP; }

static inline struct owner *owner_of(struct hold_table *t, uint32_t owner)
{
	assert(owner < HOLD_OWNERS_MAX || owner == HOLD_NOBODY);
	return &t->owners[MIN(owner, (uint32_t)NOBODY)];
}

static inline const struct owner *look_at(const struct hold_table *t, uint32_t owner)
{
	return owner_of((struct hold_table *)t, owner);
}

static inline bool is_flow(const struct frame *f)
{
	return f->kind == FRAME_TCP || f->kind == FRAME_UDP || (f->kind == FRAME_WOL && f->payload);
}

/* What is in its slot, which may be anything.  False: no packet of a flow. */
static inline bool slot_parse(const struct hold_slot *s, enum hold_area area, struct frame *f)
{
	size_t n = s->n;

	frame_parse(s->frame, MIN(n, hold_store_room(area)), f);
	return is_flow(f);
}

/* ---- hold.c ---- */

uint64_t hold_source_of(const struct hold_table *t, const struct ip_addr *client);
struct keys hold_keys_of(const struct hold_table *t, const struct frame *f);

/* An area without entries: its memory is given back, if that is worth it. */
void hold_pool_empty(struct hold_table *t, enum hold_area area);

/* The next of its bucket, from `i` on, that is of this area and of the flow of `frame`; 0: none. */
uint32_t entry_find(const struct hold_table *t, uint32_t i, enum hold_area area, uint32_t hash, const uint8_t *frame);
/* Whose slot is filled gets its place in all lists.  False, and it is put back: its owner has too many ports. */
bool entry_enter(struct hold_table *t, uint32_t i, uint32_t owner, const struct keys *k, uint16_t port);
/* Into the owner's lists alone; `number` is the port.  False: there are too many ports. */
bool entry_link(struct hold_table *t, uint32_t i, uint32_t owner, uint16_t number);
/* It is let go of; `f` is its frame, or another one of its flow. */
void entry_release(struct hold_table *t, uint32_t i, const struct frame *f);
/* The same of one that is in no owner's lists. */
void entry_forget(struct hold_table *t, uint32_t i, const struct frame *f);

#endif
