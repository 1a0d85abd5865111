/* The table as a whole: made of what a predecessor left, and given to its owners. */
#include "synproxy/hold_internal.h"

#include <sys/random.h>

#include "base/clock.h"

/* ---- whose is it? ---- */

static int by_age(const void *a, const void *b, void *arg)
{
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	const struct hold_table *t = arg;
	uint64_t x = t->entries[i].since_ns, y = t->entries[j].since_ns;

	if (x != y)
		return x < y ? -1 : 1;
	return i < j ? -1 : i > j;
}

/* All that are held, by age, into t->sorted; how many. */
static size_t sort_entries(struct hold_table *t)
{
	size_t n = 0;

	for (unsigned area = 0; area < HOLD_AREAS; area++) {
		uint32_t before = before_first((enum hold_area)area);

		for (uint32_t i = before + 1; i <= before + t->pools[area].high; i++) {
			if (t->entries[i].owner != UNUSED)
				t->sorted[n++] = i;
		}
	}
	qsort_r(t->sorted, n, sizeof(t->sorted[0]), by_age, t);
	return n;
}

/* All lists anew.  `whose` NULL: all is nobody's. */
static unsigned regroup(struct hold_table *t, hold_whose_fn *whose, void *arg)
{
	size_t n = sort_entries(t);
	unsigned gone = 0;

	give_back(t->owners, sizeof(t->owners));
	for (size_t k = 0; k < n; k++) {
		uint32_t i = t->sorted[k], owner = NOBODY;
		struct frame f;

		if (slot_parse(slot_of(t, i), area_of(i), &f) && whose)
			owner = whose(arg, &f.dst);
		if ((!whose || owner < HOLD_OWNERS_MAX) && entry_link(t, i, owner, f.dst_port))
			continue;
		entry_forget(t, i, &f);
		gone++;
	}
	give_back(t->sorted, sizeof(t->sorted));
	return gone;
}

unsigned hold_assign(struct hold_table *t, hold_whose_fn *whose, void *arg) { return regroup(t, whose, arg); }

/* ---- what a predecessor left ---- */

static bool is_syn(const struct frame *f)
{
	return f->kind == FRAME_TCP && f->payload_n == 0 &&
	       (f->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

/* Is this slot's packet one that can be held?  Its times are made such that can be. */
static bool slot_is_sound(struct hold_slot *s, enum hold_area area, uint64_t now_ns, struct frame *f)
{
	if (!hold_slot_is_whole(s) || s->n > hold_store_room(area) || !slot_parse(s, area, f))
		return false;
	if (area == HOLD_AREA_SYNS && !is_syn(f))
		return false;
	s->newest_ns = MIN(s->newest_ns, now_ns);
	s->since_ns = MIN(s->since_ns, s->newest_ns);
	s->packets = MAX(s->packets, 1u);
	return true;
}

static bool is_newer(const struct hold_slot *a, const struct hold_slot *b)
{
	return a->newest_ns != b->newest_ns ? a->newest_ns > b->newest_ns : a->packets > b->packets;
}

/* An entry, nobody's, for what is in this slot. */
static void adopt(struct hold_table *t, enum hold_area area, uint32_t slot, const struct frame *f)
{
	struct hold_slot *s = hold_store_slot(&t->store, area, slot), *other;
	struct pool *p = &t->pools[area];
	struct keys k = hold_keys_of(t, f);
	uint32_t i = 0;

	if (area == HOLD_AREA_SYNS)
		i = entry_find(t, *bucket_of(t, k.hash), area, k.hash, s->frame);
	if (i) {
		other = slot_of(t, i);
		if (is_newer(s, other)) {
			t->entries[i].slot = slot;
			t->entries[i].since_ns = s->since_ns;
			t->entries[i].again = s->packets > 1;
			s = other;
		}
		hold_slot_clear(s);
		return;
	}
	if (p->high == most_entries(area)) {
		hold_slot_clear(s);
		return;
	}
	i = before_first(area) + ++p->high;
	p->used++;
	t->entries[i].slot = slot;
	entry_enter(t, i, NOBODY, &k, f->dst_port);
}

/* One of the slots that are free is the spare, and the others get entries that are free. */
static void adopt_free(struct hold_table *t, enum hold_area area, uint32_t slots)
{
	struct pool *p = &t->pools[area];

	p->spare = slots;
	for (uint32_t slot = 0; slot < slots; slot++) {
		uint32_t i;

		if (hold_slot_is_whole(hold_store_slot(&t->store, area, slot)))
			continue;
		if (p->spare == slots) {
			p->spare = slot;
			continue;
		}
		i = before_first(area) + ++p->high;
		t->entries[i].slot = slot;
		t->entries[i].owner = UNUSED;
		t->entries[i].chain = p->free;
		p->free = i;
	}
	if (slots > 0 && p->spare == slots)
		hold_store_use(&t->store, area, slots + 1);
	if (p->used == 0)
		hold_pool_empty(t, area);
}

static void adopt_area(struct hold_table *t, enum hold_area area, uint64_t now_ns)
{
	uint32_t slots = hold_store_used(&t->store, area);

	for (uint32_t slot = 0; slot < slots; slot++) {
		struct hold_slot *s = hold_store_slot(&t->store, area, slot);
		struct frame f;

		if (slot_is_sound(s, area, now_ns, &f))
			adopt(t, area, slot, &f);
		else if (hold_slot_is_whole(s))
			hold_slot_clear(s);
	}
	adopt_free(t, area, slots);
}

struct hold_table *hold_open(int fd)
{
	struct hold_table *t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int r;

	if (t == MAP_FAILED)
		return NULL;
	madvise(t, sizeof(*t), MADV_NOHUGEPAGE); /* a page that is not touched is to cost nothing */
	hold_limits(t, HOLD_SYNS_MAX, UINT32_MAX);
	r = hold_store_map(&t->store, fd);
	if (r == 0 && getrandom(&t->key, sizeof(t->key), 0) != sizeof(t->key))
		r = -errno;
	if (r < 0) {
		hold_close(t);
		errno = -r;
		return NULL;
	}
	for (unsigned area = 0; area < HOLD_AREAS; area++)
		adopt_area(t, (enum hold_area)area, clock_now_ns());
	regroup(t, NULL, NULL);
	return t;
}

void hold_close(struct hold_table *t)
{
	if (!t)
		return;
	hold_store_unmap(&t->store);
	munmap(t, sizeof(*t));
}
