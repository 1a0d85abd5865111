/* Theory of operation
 *
 * What must outlive the process is in the slots of hold_store.h: frames and times.  What finds them
 * again is in memory of its own, and is built anew by hold_open(): an *entry* for each held packet.
 *
 *     bucket --> entry --chain--> entry        by flow: a keyed hash
 *                  | slot, owner, port
 *     owner: in_order[SYNs], [packets]         lists of entries, in the order of arrival
 *            ports[]: fresh, again             the same of one port: SYNs that came once, and those
 *                                              that came more than once
 *
 * An entry keeps its place in all of these when a newer SYN of its flow comes; only its slot is
 * another one: the pool has one slot more than entries, the spare, and they change roles.
 *
 * Lists are of indices, 0 for none, and lie in one zeroed mapping; what was never used has no memory.
 * Nothing here costs more when more is held, but hold_open(), hold_assign() and the skipping of hold_show().
 *
 * Floods.  Whoever forges packets can choose everything but our key, so that no chain grows long: a
 * bucket is chosen by the source, and within the source's group of GROUP buckets by the flow.  (All
 * of one client are found by looking at one group; and one source's own chains are held_per_source /
 * GROUP long at most.)  How many a source holds is counted in two cells of a table of counters, the
 * lesser of which is the truth or a little more: no memory per source, nothing to clean up.
 * Who comes over a limit is not held.  Nothing held is ever thrown out for something newer: a flood
 * would throw out the real clients, too.
 *
 * When the last of many is let go, all memory of that area is given back.
 */
#include "synproxy/hold.h"

#include <assert.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "base/clock.h"
#include "synproxy/hold_store.h"
#include "base/siphash.h"

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

static_assert(BUCKETS == 256 * GROUP, "eight bits of the hash choose a group");
static_assert((int)HOLD_SYN_BYTES == (int)FRAME_BARE_MAX, "every SYN fits");

/* ---- memory ---- */

/* The pages from there on are zero now. */
static void give_back(void *p, size_t n) { madvise(p, n, MADV_DONTNEED); }

static enum hold_area area_of(uint32_t i) { return i <= HOLD_SYNS_MAX ? HOLD_AREA_SYNS : HOLD_AREA_PACKETS; }

/* The entries of an area are those behind this one. */
static uint32_t before_first(enum hold_area area) { return area == HOLD_AREA_SYNS ? 0 : HOLD_SYNS_MAX; }

static struct hold_slot *slot_of(const struct hold_table *t, uint32_t i)
{
	return hold_store_slot(&t->store, area_of(i), t->entries[i].slot);
}

static uint32_t most_entries(enum hold_area area) { return hold_store_slots(area) - 1; }

/* An entry with a slot.  0: there is none left. */
static uint32_t entry_get(struct hold_table *t, enum hold_area area)
{
	struct pool *p = &t->pools[area];
	uint32_t i = p->free;

	if (i) {
		p->free = t->entries[i].chain;
	} else if (p->high < most_entries(area)) {
		p->high++;
		i = before_first(area) + p->high;
		t->entries[i].slot = p->high; /* the first one is the first spare */
		hold_store_use(&t->store, area, p->high + 1);
	} else {
		return 0;
	}
	p->used++;
	return i;
}

static void pool_empty(struct hold_table *t, enum hold_area area)
{
	struct pool *p = &t->pools[area];

	if (p->high * hold_store_room(area) < GIVE_BACK_LEAST)
		return;
	hold_store_empty(&t->store, area);
	*p = (struct pool){ 0 };
	if (area == HOLD_AREA_SYNS)
		give_back(t->entries, (HOLD_SYNS_MAX + 1) * sizeof(struct entry) / PAGE * PAGE);
	if (t->pools[HOLD_AREA_SYNS].used + t->pools[HOLD_AREA_PACKETS].used == 0) {
		give_back(t->buckets, sizeof(t->buckets));
		give_back(t->cells, sizeof(t->cells));
	}
}

static void entry_put(struct hold_table *t, uint32_t i)
{
	struct pool *p = &t->pools[area_of(i)];

	hold_slot_clear(slot_of(t, i));
	t->entries[i].owner = UNUSED;
	t->entries[i].chain = p->free;
	p->free = i;
	if (--p->used == 0)
		pool_empty(t, area_of(i));
}

/* ---- lists ---- */

static void list_add(struct hold_table *t, struct list *l, enum link_kind kind, uint32_t i)
{
	t->entries[i].links[kind] = (struct links){ .prev = l->last };
	if (l->last)
		t->entries[l->last].links[kind].next = i;
	else
		l->first = i;
	l->last = i;
}

static void list_remove(struct hold_table *t, struct list *l, enum link_kind kind, uint32_t i)
{
	struct links *k = &t->entries[i].links[kind];

	if (k->prev)
		t->entries[k->prev].links[kind].next = k->next;
	else
		l->first = k->next;
	if (k->next)
		t->entries[k->next].links[kind].prev = k->prev;
	else
		l->last = k->prev;
}

/* ---- keys ---- */

static uint64_t word_at(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/* Of an IPv4 address, or of an IPv6 address's /64. */
static uint64_t source_of(const struct hold_table *t, const struct ip_addr *client)
{
	uint64_t word = word_at(client->b + (ip_is_v4(client) ? 8 : 0));

	return siphash(&t->key, &word, 1);
}

static struct keys keys_of(const struct hold_table *t, const struct frame *f)
{
	uint64_t words[5] = { (uint64_t)f->src_port << 16 | f->dst_port };
	struct keys k = { .source = source_of(t, &f->src) };
	size_t n = 1;

	words[n++] = word_at(f->src.b + 8);
	words[n++] = word_at(f->dst.b + 8);
	if (!ip_is_v4(&f->dst)) {
		words[n++] = word_at(f->src.b);
		words[n++] = word_at(f->dst.b);
	}
	k.hash = (uint32_t)((k.source & 0xffff0000) | (siphash(&t->key, words, n) & 0xffff));
	return k;
}

static uint32_t *group_of(struct hold_table *t, uint32_t hash) { return t->buckets + (hash >> 24) * GROUP; }

static uint32_t *bucket_of(struct hold_table *t, uint32_t hash) { return group_of(t, hash) + hash % GROUP; }

static uint32_t *cell_of(struct hold_table *t, unsigned row, uint64_t source)
{
	return &t->cells[row][source >> (row ? 48 : 32) & (CELLS - 1)];
}

static void count_source(struct hold_table *t, uint64_t source)
{
	++*cell_of(t, 0, source);
	++*cell_of(t, 1, source);
}

static void uncount_source(struct hold_table *t, uint64_t source)
{
	for (unsigned row = 0; row < ARRAY_SIZE(t->cells); row++) {
		uint32_t *cell = cell_of(t, row, source);

		*cell -= *cell > 0; /* (0: what lies in the slot has changed under us) */
	}
}

static uint32_t held_of_source(struct hold_table *t, uint64_t source)
{
	return MIN(*cell_of(t, 0, source), *cell_of(t, 1, source));
}

/* The next of its bucket, from `i` on, that is of this area and of the flow of `frame`; 0: none. */
static uint32_t find_in_chain(const struct hold_table *t, uint32_t i, enum hold_area area, uint32_t hash,
			      const uint8_t *frame)
{
	for (; i; i = t->entries[i].chain) {
		if (t->entries[i].hash == hash && area_of(i) == area && frame_same_flow(slot_of(t, i)->frame, frame))
			return i;
	}
	return 0;
}

static void chain_remove(struct hold_table *t, uint32_t i)
{
	uint32_t *at = bucket_of(t, t->entries[i].hash);

	while (*at != i)
		at = &t->entries[*at].chain;
	*at = t->entries[i].chain;
}

/* ---- owners ---- */

static struct owner *owner_of(struct hold_table *t, uint32_t owner)
{
	assert(owner < HOLD_OWNERS_MAX || owner == HOLD_NOBODY);
	return &t->owners[MIN(owner, (uint32_t)NOBODY)];
}

static const struct owner *look_at(const struct hold_table *t, uint32_t owner)
{
	return owner_of((struct hold_table *)t, owner);
}

/* Its index in o->ports; -1: it has no SYNs. */
static int port_find(const struct owner *o, uint16_t number)
{
	for (int p = 0; p < o->n_ports; p++) {
		if (o->numbers[p] == number && o->ports[p].count)
			return p;
	}
	return -1;
}

/* The same; a port without SYNs gets an index.  -1: there are too many. */
static int port_get(struct owner *o, uint16_t number)
{
	int p = port_find(o, number);

	if (p >= 0)
		return p;
	for (p = 0; p < o->n_ports && o->ports[p].count;)
		p++;
	if (p == HOLD_PORTS_MAX)
		return -1;
	o->numbers[p] = number;
	o->n_ports = (uint16_t)MAX(o->n_ports, p + 1);
	return p;
}

static void port_put(struct owner *o, uint8_t port)
{
	o->ports[port].count--;
	while (o->n_ports > 0 && o->ports[o->n_ports - 1].count == 0)
		o->n_ports--;
}

/* Into the owner's lists; `number` is the port.  False: there are too many ports. */
static bool entry_link(struct hold_table *t, uint32_t i, uint32_t owner, uint16_t number)
{
	enum hold_area area = area_of(i);
	struct owner *o = &t->owners[owner];
	struct entry *e = &t->entries[i];
	int port = area == HOLD_AREA_SYNS && owner != NOBODY ? port_get(o, number) : NO_PORT;

	if (port < 0)
		return false;
	e->owner = (uint16_t)owner;
	e->port = (uint8_t)port;
	if (port != NO_PORT) {
		o->ports[port].count++;
		list_add(t, &o->ports[port].syns[e->again], IN_PORT, i);
	}
	list_add(t, &o->in_order[area], IN_ORDER, i);
	o->counts[area]++;
	if (area == HOLD_AREA_PACKETS)
		o->packet_bytes += slot_of(t, i)->n;
	return true;
}

static void entry_unlink(struct hold_table *t, uint32_t i)
{
	enum hold_area area = area_of(i);
	struct entry *e = &t->entries[i];
	struct owner *o = &t->owners[e->owner];

	if (e->port != NO_PORT) {
		list_remove(t, &o->ports[e->port].syns[e->again], IN_PORT, i);
		port_put(o, e->port);
	}
	list_remove(t, &o->in_order[area], IN_ORDER, i);
	o->counts[area]--;
	if (area == HOLD_AREA_PACKETS)
		o->packet_bytes -= slot_of(t, i)->n;
}

/* ---- one held packet ---- */

static bool is_flow(const struct frame *f)
{
	return f->kind == FRAME_TCP || f->kind == FRAME_UDP || (f->kind == FRAME_WOL && f->payload);
}

/* What is in its slot, which may be anything.  False: no packet of a flow. */
static bool slot_parse(const struct hold_slot *s, enum hold_area area, struct frame *f)
{
	size_t n = s->n;

	frame_parse(s->frame, MIN(n, hold_store_room(area)), f);
	return is_flow(f);
}

/* Nobody's any more: it is in no owner's lists. */
static void forget(struct hold_table *t, uint32_t i, const struct frame *f)
{
	uncount_source(t, source_of(t, &f->src));
	chain_remove(t, i);
	entry_put(t, i);
}

/* `f` is its frame, or another one of its flow. */
static void release(struct hold_table *t, uint32_t i, const struct frame *f)
{
	entry_unlink(t, i);
	forget(t, i, f);
}

/* What is told of it; `f` is its frame. */
static void describe(const struct hold_table *t, uint32_t i, const struct frame *f, struct held *h)
{
	const struct hold_slot *s = slot_of(t, i);
	const struct entry *e = &t->entries[i];

	*h = (struct held){
		.owner = e->owner == NOBODY ? HOLD_NOBODY : e->owner,
		.proto = f->kind == FRAME_TCP ? FLOW_TCP : FLOW_UDP,
		.syn = area_of(i) == HOLD_AREA_SYNS,
		.client = f->src,
		.addr = f->dst,
		.client_port = f->src_port,
		.port = f->dst_port,
		.since_ns = e->since_ns,
		.newest_ns = s->newest_ns,
		.packets = s->packets,
		.frame = s->frame,
		.n = MIN((size_t)s->n, hold_store_room(area_of(i))),
	};
}

/* False: it stays. */
static bool give(struct hold_table *t, uint32_t i, hold_fn *take, void *arg)
{
	struct frame f;
	struct held h;

	if (slot_parse(slot_of(t, i), area_of(i), &f)) {
		describe(t, i, &f, &h);
		if (!take(arg, &h))
			return false;
	}
	release(t, i, &f);
	return true;
}

/* ---- holding ---- */

void hold_limits(struct hold_table *t, uint32_t max_held, uint32_t held_per_source)
{
	t->max_held = MIN(max_held, (uint32_t)HOLD_SYNS_MAX);
	t->held_per_source = held_per_source;
}

static bool has_room(struct hold_table *t, uint32_t owner, uint64_t source)
{
	uint32_t all = hold_count_all(t);

	return all < t->max_held && hold_count(t, owner) < t->max_held - all &&
	       held_of_source(t, source) < t->held_per_source;
}

/* The time, which never goes back. */
static uint64_t later(struct hold_table *t, uint64_t now_ns)
{
	t->latest_ns = MAX(t->latest_ns, now_ns);
	return t->latest_ns;
}

/* An entry whose slot is filled.  False, and it is put back: its owner has too many ports. */
static bool enter(struct hold_table *t, uint32_t i, uint32_t owner, const struct keys *k, uint16_t port)
{
	const struct hold_slot *s = slot_of(t, i);
	struct entry *e = &t->entries[i];
	uint32_t *bucket = bucket_of(t, k->hash);

	e->hash = k->hash;
	e->since_ns = s->since_ns;
	e->again = area_of(i) == HOLD_AREA_SYNS && s->packets > 1;
	if (!entry_link(t, i, owner, port)) {
		entry_put(t, i);
		return false;
	}
	e->chain = *bucket;
	*bucket = i;
	count_source(t, k->source);
	later(t, e->since_ns);
	return true;
}

/* A newer SYN of a flow that is held: into the spare slot, and what was its slot is the spare. */
static void renew(struct hold_table *t, uint32_t i, const uint8_t *bytes, const struct frame *f, uint64_t now_ns)
{
	struct pool *p = &t->pools[HOLD_AREA_SYNS];
	struct entry *e = &t->entries[i];
	struct port *port = &t->owners[e->owner].ports[e->port];
	struct hold_slot *old = slot_of(t, i), *newer = hold_store_slot(&t->store, HOLD_AREA_SYNS, p->spare);
	uint32_t slot = e->slot, packets = old->packets;

	hold_slot_finish(newer, frame_bare_tcp(newer->frame, bytes, f), MAX(packets, packets + 1), e->since_ns, now_ns);
	hold_slot_clear(old);
	e->slot = p->spare;
	p->spare = slot;
	if (e->again)
		return;
	list_remove(t, &port->syns[false], IN_PORT, i);
	list_add(t, &port->syns[true], IN_PORT, i);
	e->again = true;
}

void hold_expect(struct hold_table *t, const struct frame *f)
{
	struct keys k = keys_of(t, f);

	__builtin_prefetch(bucket_of(t, k.hash), 1);
	__builtin_prefetch(cell_of(t, 0, k.source), 1);
	__builtin_prefetch(cell_of(t, 1, k.source), 1);
}

enum hold_verdict hold_syn(struct hold_table *t, uint32_t owner, const uint8_t *bytes, size_t n,
			   const struct frame *f, uint64_t now_ns)
{
	struct keys k = keys_of(t, f);
	uint32_t i = find_in_chain(t, *bucket_of(t, k.hash), HOLD_AREA_SYNS, k.hash, bytes);
	struct hold_slot *s;

	assert(f->kind == FRAME_TCP && f->payload <= n && owner < HOLD_OWNERS_MAX);
	now_ns = later(t, now_ns);
	if (i && t->entries[i].owner == owner) {
		renew(t, i, bytes, f, now_ns);
		return HOLD_AGAIN;
	}
	if (i)
		release(t, i, f); /* the address is another one's now */
	if (!has_room(t, owner, k.source) || !(i = entry_get(t, HOLD_AREA_SYNS)))
		return HOLD_FULL;
	s = slot_of(t, i);
	hold_slot_finish(s, frame_bare_tcp(s->frame, bytes, f), 1, now_ns, now_ns);
	return enter(t, i, owner, &k, f->dst_port) ? HOLD_NEW : HOLD_FULL;
}

/* How many packets of this flow are held. */
static uint32_t packets_of(struct hold_table *t, uint32_t owner, uint32_t hash, const uint8_t *frame)
{
	uint32_t i = *bucket_of(t, hash), n = 0;

	while ((i = find_in_chain(t, i, HOLD_AREA_PACKETS, hash, frame))) {
		n += t->entries[i].owner == owner;
		i = t->entries[i].chain;
	}
	return n;
}

static bool has_room_for_packet(struct hold_table *t, uint32_t owner, size_t n)
{
	const struct owner *o = look_at(t, owner);
	uint32_t left = HOLD_PACKETS_MAX - t->pools[HOLD_AREA_PACKETS].used;

	return n <= HOLD_PACKET_BYTES && o->packet_bytes + n <= HOLD_OWNER_PACKET_BYTES &&
	       o->counts[HOLD_AREA_PACKETS] < left;
}

enum hold_verdict hold_packet(struct hold_table *t, uint32_t owner, const uint8_t *bytes, size_t n,
			      const struct frame *f, uint32_t per_flow, uint64_t now_ns)
{
	struct keys k = keys_of(t, f);
	uint32_t i, before;
	struct hold_slot *s;

	assert(is_flow(f) && owner < HOLD_OWNERS_MAX);
	now_ns = later(t, now_ns);
	if (!has_room_for_packet(t, owner, n) || !has_room(t, owner, k.source))
		return HOLD_FULL;
	before = packets_of(t, owner, k.hash, bytes);
	if (before >= per_flow || !(i = entry_get(t, HOLD_AREA_PACKETS)))
		return HOLD_FULL;
	s = slot_of(t, i);
	memcpy(s->frame, bytes, n);
	hold_slot_finish(s, n, 1, now_ns, now_ns);
	enter(t, i, owner, &k, f->dst_port);
	return before ? HOLD_AGAIN : HOLD_NEW;
}

/* ---- letting go ---- */

/* Of two, the one that came first; 0 is none. */
static uint32_t earlier(const struct hold_table *t, uint32_t a, uint32_t b)
{
	if (!a || !b)
		return a ? a : b;
	return t->entries[b].since_ns < t->entries[a].since_ns ? b : a;
}

/* The SYN to let go of first; 0: there is none. */
static uint32_t next_syn(const struct hold_table *t, const struct owner *o, int port)
{
	uint32_t i = 0;

	if (o == &t->owners[NOBODY])
		return o->in_order[HOLD_AREA_SYNS].first;
	for (int again = 1; again >= 0 && !i; again--) {
		for (int p = 0; p < o->n_ports; p++) {
			if (port == HOLD_ANY_PORT || o->numbers[p] == port)
				i = earlier(t, i, o->ports[p].syns[again].first);
		}
	}
	return i;
}

unsigned hold_take_syns(struct hold_table *t, uint32_t owner, int port, unsigned most, hold_fn *take, void *arg)
{
	const struct owner *o = look_at(t, owner);
	unsigned n = 0;
	uint32_t i;

	while (n < most && (i = next_syn(t, o, port)) && give(t, i, take, arg))
		n++;
	return n;
}

unsigned hold_take_packets(struct hold_table *t, uint32_t owner, unsigned most, hold_fn *take, void *arg)
{
	const struct list *l = &look_at(t, owner)->in_order[HOLD_AREA_PACKETS];
	unsigned n = 0;

	while (n < most && l->first && give(t, l->first, take, arg))
		n++;
	return n;
}

static bool is_of_client(const struct hold_table *t, uint32_t i, const struct ip_addr *client)
{
	struct frame f;

	return slot_parse(slot_of(t, i), area_of(i), &f) && ip_equal(&f.src, client);
}

unsigned hold_take_client(struct hold_table *t, uint32_t owner, const struct ip_addr *client, hold_fn *take,
			  void *arg)
{
	uint32_t hash = (uint32_t)(source_of(t, client) & 0xffff0000), of = MIN(owner, (uint32_t)NOBODY);
	const uint32_t *group = group_of(t, hash);
	unsigned n = 0;

	for (unsigned b = 0; b < GROUP; b++) {
		for (uint32_t i = group[b], next; i; i = next) {
			next = t->entries[i].chain;
			if (t->entries[i].owner != of || t->entries[i].hash >> 16 != hash >> 16 || !is_of_client(t, i, client))
				continue;
			if (!give(t, i, take, arg))
				return n;
			n++;
		}
	}
	return n;
}

/* The entry of the owner that came first, of both kinds; 0: none. */
static uint32_t oldest(const struct hold_table *t, const struct owner *o)
{
	return earlier(t, o->in_order[HOLD_AREA_SYNS].first, o->in_order[HOLD_AREA_PACKETS].first);
}

unsigned hold_take_old(struct hold_table *t, uint32_t owner, uint64_t before_ns, unsigned most, hold_fn *take,
		       void *arg)
{
	const struct owner *o = look_at(t, owner);
	unsigned n = 0;
	uint32_t i;

	while (n < most && (i = oldest(t, o)) && t->entries[i].since_ns <= before_ns && give(t, i, take, arg))
		n++;
	return n;
}

/* ---- looking ---- */

uint64_t hold_oldest_ns(const struct hold_table *t, uint32_t owner)
{
	return t->entries[oldest(t, look_at(t, owner))].since_ns; /* that of none is 0 */
}

unsigned hold_show(const struct hold_table *t, uint32_t owner, unsigned from, unsigned most, hold_fn *fn, void *arg)
{
	const struct owner *o = look_at(t, owner);
	unsigned seen = 0, n = 0;
	struct frame f;
	struct held h;

	for (unsigned area = 0; area < HOLD_AREAS; area++) {
		for (uint32_t i = o->in_order[area].first; i && n < most; i = t->entries[i].links[IN_ORDER].next) {
			if (seen++ < from || !slot_parse(slot_of(t, i), area_of(i), &f))
				continue;
			describe(t, i, &f, &h);
			n++;
			if (!fn(arg, &h))
				return n;
		}
	}
	return n;
}

uint32_t hold_count(const struct hold_table *t, uint32_t owner)
{
	const struct owner *o = look_at(t, owner);

	return o->counts[HOLD_AREA_SYNS] + o->counts[HOLD_AREA_PACKETS];
}

uint32_t hold_count_all(const struct hold_table *t)
{
	return t->pools[HOLD_AREA_SYNS].used + t->pools[HOLD_AREA_PACKETS].used;
}

unsigned hold_ports(const struct hold_table *t, uint32_t owner, uint16_t *out, unsigned most)
{
	const struct owner *o = look_at(t, owner);
	unsigned n = 0;

	for (int p = 0; p < o->n_ports && n < most; p++) {
		if (o->ports[p].count)
			out[n++] = o->numbers[p];
	}
	return n;
}

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
		forget(t, i, &f);
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
	struct keys k = keys_of(t, f);
	uint32_t i = 0;

	if (area == HOLD_AREA_SYNS)
		i = find_in_chain(t, *bucket_of(t, k.hash), area, k.hash, s->frame);
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
	enter(t, i, NOBODY, &k, f->dst_port);
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
		pool_empty(t, area);
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
