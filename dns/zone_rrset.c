/* Sets of records at the tables' nodes, and the nodes' names: zone.c tells what for. */
#include "dns/zone_internal.h"

uint8_t *tables_put_head(uint8_t *p, unsigned type, uint32_t ttl_s, size_t n)
{
	p = wire_put16(p, WIRE_OWNER_QUESTION);
	p = wire_put16(p, type);
	p = wire_put16(p, CLASS_IN);
	p = wire_put32(p, ttl_s);
	return wire_put16(p, (unsigned)n);
}

/* First, where it is found soonest; but NSEC last, as nobody asks for it. */
static void link_rrset(struct tables *t, uint32_t node, uint32_t i)
{
	uint32_t *link = &t->nodes[node].rrsets;

	while (t->rrsets[i].type == TYPE_NSEC && *link != ZONE_NONE)
		link = &t->rrsets[*link].next;
	t->rrsets[i].next = *link;
	*link = i;
}

/* A new set of this type at the node, empty. */
static int64_t new_rrset(struct tables *t, uint32_t node, unsigned type, enum zone_variant variant)
{
	struct zone_rrset *rrsets = tables_room(t->rrsets, t->n_rrsets, &t->rrsets_room, sizeof(*rrsets));
	uint32_t i = t->n_rrsets;

	if (!rrsets)
		return -ENOMEM;
	t->rrsets = rrsets;
	t->rrsets[i] = (struct zone_rrset){ .at = (uint32_t)t->arena_n, .type = (uint16_t)type,
					    .plain = !wire_layout(type), .variant = (uint8_t)variant };
	t->n_rrsets++;
	link_rrset(t, node, i);
	return i;
}

static struct zone_rrset *find_rrset(struct tables *t, uint32_t node, unsigned type, enum zone_variant variant)
{
	return (struct zone_rrset *)tables_variant(t, &t->nodes[node], type, variant);
}

/* Room for n more bytes of the set; it may move to the arena's end, with as much again. */
static int widen(struct tables *t, struct zone_rrset *set, size_t n)
{
	size_t room = MIN(MAX(2 * ((size_t)set->n + n), (size_t)64), (size_t)UINT16_MAX);
	int64_t at;

	if (set->n + n <= set->room)
		return 0;
	if (set->n == 0)
		room = n; /* most sets have one record */
	at = tables_store(t, NULL, room);
	if (at < 0)
		return (int)at;
	memcpy(t->arena + at, t->arena + set->at, set->n);
	set->at = (uint32_t)at;
	set->room = (uint16_t)room;
	return 0;
}

/* RFC 2181, 5.2: the records of a set have one TTL, the least of theirs. */
static void level_ttl(struct tables *t, struct zone_rrset *set, uint32_t ttl_s)
{
	uint8_t *p = t->arena + set->at;
	uint32_t least = ttl_s;

	for (unsigned pass = 0; pass < 2; pass++) {
		for (size_t at = 0; at < set->n; at += WIRE_RECORD_HEAD + (size_t)wire_get16(p + at + 10)) {
			uint32_t its = (uint32_t)wire_get16(p + at + 6) << 16 | wire_get16(p + at + 8);

			least = MIN(least, its);
			wire_put32(p + at + 6, pass ? least : its);
		}
	}
}

bool tables_has_record(const struct tables *t, const struct zone_rrset *set, const uint8_t *data, size_t n)
{
	const uint8_t *p = t->arena + set->at;

	for (size_t at = 0; at < set->n; at += WIRE_RECORD_HEAD + (size_t)wire_get16(p + at + 10))
		if (wire_get16(p + at + 10) == n && memcmp(p + at + WIRE_RECORD_HEAD, data, n) == 0)
			return true;
	return false;
}

/* -E2BIG: the set is too large.  A record that is there already is not added again (RFC 2181, 5). */
static int append(struct tables *t, struct zone_rrset *set, uint32_t ttl_s, const uint8_t *data, size_t n)
{
	int r;

	if (tables_has_record(t, set, data, n))
		return 0;
	if (set->n + n + WIRE_RECORD_HEAD > ZONE_RRSET_MAX)
		return -E2BIG;
	r = widen(t, set, n + WIRE_RECORD_HEAD);
	if (r < 0)
		return r;
	memcpy(tables_put_head(t->arena + set->at + set->n, set->type, ttl_s, n), data, n);
	set->n = (uint16_t)(set->n + n + WIRE_RECORD_HEAD);
	set->count++;
	if (set->count > 1)
		level_ttl(t, set, ttl_s);
	return 0;
}

int tables_add_data(struct tables *t, uint32_t node, unsigned type, uint32_t ttl_s, const uint8_t *data, size_t n)
{
	return tables_add_variant(t, node, type, ZONE_NORMAL, ttl_s, data, n);
}

int tables_add_variant(struct tables *t, uint32_t node, unsigned type, enum zone_variant variant, uint32_t ttl_s,
		       const uint8_t *data, size_t n)
{
	struct zone_rrset *set = find_rrset(t, node, type, variant);
	struct zone *z = &t->zones[t->nodes[node].zone];

	z->longest_ttl_s = MAX(z->longest_ttl_s, ttl_s);
	if (!set) {
		int64_t i = new_rrset(t, node, type, variant);

		if (i < 0)
			return (int)i;
		set = &t->rrsets[i];
	}
	return append(t, set, ttl_s, data, n);
}

int tables_share_rrset(struct tables *t, uint32_t node, uint32_t from, unsigned type)
{
	const struct zone_rrset *set = find_rrset(t, from, type, ZONE_NORMAL);
	struct zone_rrset copy;
	int64_t i;

	if (!set)
		return 0;
	copy = *set;
	i = new_rrset(t, node, type, ZONE_NORMAL);
	if (i < 0)
		return (int)i;
	copy.next = t->rrsets[i].next;
	t->rrsets[i] = copy;
	return 0;
}

/* ---- names ---- */

int64_t tables_place_name(struct tables *t, const struct name *name, uint32_t zone, uint32_t *where)
{
	unsigned apex_labels = t->nodes[t->zones[zone].apex].labels;
	uint8_t starts[WIRE_LABELS_MAX + 1];
	uint32_t hash = NAME_HASH_ROOT;
	int64_t node = t->zones[zone].apex;

	name_label_starts(name->b, name->labels, starts);
	for (unsigned l = 1; l <= name->labels; l++) {
		unsigned at = starts[name->labels - l];

		hash = name_hash_label(hash, name->b + at);
		if (l <= apex_labels)
			continue;
		node = tables_get_node(t, name->b + at, name->n - at, l, hash, zone, (uint32_t)node);
		if (node < 0)
			return node;
		if (t->nodes[node].zone != zone) {
			if (where)
				*where = (uint32_t)node;
			return -EXDEV;
		}
	}
	return node;
}

bool tables_is_in_zone(const struct tables *t, const struct name *name, const struct zone *z)
{
	const struct zone_node *apex = &t->nodes[z->apex];
	uint8_t starts[WIRE_LABELS_MAX + 1];

	if (name->labels < apex->labels)
		return false;
	name_label_starts(name->b, name->labels, starts);
	return name->n - starts[name->labels - apex->labels] == apex->name_n &&
	       memcmp(name->b + starts[name->labels - apex->labels], t->arena + apex->name_at, apex->name_n) == 0;
}
