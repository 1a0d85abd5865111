/* Letting go of what is held, and looking at it. */
#include "synproxy/hold_internal.h"

/* ---- one held packet ---- */

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
	entry_release(t, i, &f);
	return true;
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
	uint32_t hash = (uint32_t)(hold_source_of(t, client) & 0xffff0000), of = MIN(owner, (uint32_t)NOBODY);
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
