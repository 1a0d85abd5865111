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
 *
 * Here are the entries, what finds them, and holding; hold_take.c lets go and looks, hold_open.c has the table as
 * a whole.
 */
#include "synproxy/hold_internal.h"

static_assert(BUCKETS == 256 * GROUP, "eight bits of the hash choose a group");
static_assert((int)HOLD_SYN_BYTES == (int)FRAME_BARE_MAX, "every SYN fits");

/* ---- memory ---- */

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

void hold_pool_empty(struct hold_table *t, enum hold_area area)
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
		hold_pool_empty(t, area_of(i));
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
uint64_t hold_source_of(const struct hold_table *t, const struct ip_addr *client)
{
	uint64_t word = word_at(client->b + (ip_is_v4(client) ? 8 : 0));

	return siphash(&t->key, &word, 1);
}

struct keys hold_keys_of(const struct hold_table *t, const struct frame *f)
{
	uint64_t words[5] = { (uint64_t)f->src_port << 16 | f->dst_port };
	struct keys k = { .source = hold_source_of(t, &f->src) };
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

uint32_t entry_find(const struct hold_table *t, uint32_t i, enum hold_area area, uint32_t hash, const uint8_t *frame)
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

bool entry_link(struct hold_table *t, uint32_t i, uint32_t owner, uint16_t number)
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

void entry_forget(struct hold_table *t, uint32_t i, const struct frame *f)
{
	uncount_source(t, hold_source_of(t, &f->src));
	chain_remove(t, i);
	entry_put(t, i);
}

void entry_release(struct hold_table *t, uint32_t i, const struct frame *f)
{
	entry_unlink(t, i);
	entry_forget(t, i, f);
}

/* ---- limits ---- */

void hold_limits(struct hold_table *t, uint32_t max_held, uint32_t held_per_source)
{
	t->max_held = MIN(max_held, (uint32_t)HOLD_SYNS_MAX);
	t->held_per_source = held_per_source;
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

/* ---- holding ---- */

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

bool entry_enter(struct hold_table *t, uint32_t i, uint32_t owner, const struct keys *k, uint16_t port)
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
	struct keys k = hold_keys_of(t, f);

	__builtin_prefetch(bucket_of(t, k.hash), 1);
	__builtin_prefetch(cell_of(t, 0, k.source), 1);
	__builtin_prefetch(cell_of(t, 1, k.source), 1);
}

enum hold_verdict hold_syn(struct hold_table *t, uint32_t owner, const uint8_t *bytes, size_t n,
			   const struct frame *f, uint64_t now_ns)
{
	struct keys k = hold_keys_of(t, f);
	uint32_t i = entry_find(t, *bucket_of(t, k.hash), HOLD_AREA_SYNS, k.hash, bytes);
	struct hold_slot *s;

	assert(f->kind == FRAME_TCP && f->payload <= n && owner < HOLD_OWNERS_MAX);
	now_ns = later(t, now_ns);
	if (i && t->entries[i].owner == owner) {
		renew(t, i, bytes, f, now_ns);
		return HOLD_AGAIN;
	}
	if (i)
		entry_release(t, i, f); /* the address is another one's now */
	if (!has_room(t, owner, k.source) || !(i = entry_get(t, HOLD_AREA_SYNS)))
		return HOLD_FULL;
	s = slot_of(t, i);
	hold_slot_finish(s, frame_bare_tcp(s->frame, bytes, f), 1, now_ns, now_ns);
	return entry_enter(t, i, owner, &k, f->dst_port) ? HOLD_NEW : HOLD_FULL;
}

/* How many packets of this flow are held. */
static uint32_t packets_of(struct hold_table *t, uint32_t owner, uint32_t hash, const uint8_t *frame)
{
	uint32_t i = *bucket_of(t, hash), n = 0;

	while ((i = entry_find(t, i, HOLD_AREA_PACKETS, hash, frame))) {
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
	struct keys k = hold_keys_of(t, f);
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
	entry_enter(t, i, owner, &k, f->dst_port);
	return before ? HOLD_AGAIN : HOLD_NEW;
}
