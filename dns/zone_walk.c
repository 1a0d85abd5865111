/* What belongs to a zone: its own names' sets as they are served (of a service's addresses the normal form),
 * with their signatures and with glue; and of a zone of ours right below it the delegation: the other's NS and
 * DS, and the addresses of its servers that lie in it.  A signed zone has such NS and DS at a node of its own
 * (nsec.c).  A zone's own DS are those of the zone above. */
#include "dns/zone_walk.h"

#include "dns/zone_internal.h"

void zone_walk_begin(struct zone_walk *w, const struct tables *t, uint32_t zone)
{
	*w = (struct zone_walk){ .t = t, .zone = zone, .rrset = ZONE_NONE, .other = ZONE_NONE };
	if (t->n_nodes > 0)
		w->rrset = t->nodes[0].rrsets;
}

const struct zone_rrset *zone_soa(const struct tables *t, uint32_t zone)
{
	return tables_rrset(t, &t->nodes[t->zones[zone].apex], TYPE_SOA);
}

static bool lies_right_below(const struct tables *t, uint32_t other, uint32_t zone)
{
	const struct zone_node *apex = &t->nodes[t->zones[other].apex];
	const uint8_t *name = t->arena + apex->name_at;
	size_t label_n = name[0] + 1u;
	struct zone_match above;

	return apex->labels > 0 &&
	       tables_find(t, name + label_n, apex->name_n - label_n, apex->labels - 1u, &above) &&
	       above.zone == &t->zones[zone];
}

static bool is_below(struct zone_walk *w, uint32_t other)
{
	if (w->other != other) {
		w->other = other;
		w->other_is_below = lies_right_below(w->t, other, w->zone);
	}
	return w->other_is_below;
}

/* It is one of the servers of the zone that it lies in. */
static bool is_server(const struct tables *t, const struct zone_node *node)
{
	const struct zone_rrset *ns = tables_rrset(t, &t->nodes[t->zones[node->zone].apex], TYPE_NS);
	const uint8_t *p = ns ? tables_bytes(t, ns) : NULL;

	for (unsigned i = 0; ns && i < ns->count; i++) {
		size_t n = wire_get16(p + 10);
		uint8_t lower[WIRE_NAME_MAX];

		wire_lower(lower, p + WIRE_RECORD_HEAD, n);
		if (n == node->name_n && memcmp(lower, t->arena + node->name_at, n) == 0)
			return true;
		p += WIRE_RECORD_HEAD + n;
	}
	return false;
}

static bool belongs(struct zone_walk *w, const struct zone_node *node, const struct zone_rrset *set)
{
	bool apex = node->flags & NODE_APEX;

	if (set->variant != ZONE_NORMAL)
		return false;
	if (node->zone == w->zone)
		return !(apex && set->type == TYPE_DS);
	if (!is_below(w, node->zone))
		return false;
	if (apex && (set->type == TYPE_NS || set->type == TYPE_DS))
		return !w->t->zones[w->zone].is_signed;
	return (set->type == TYPE_A || set->type == TYPE_AAAA) && is_server(w->t, node);
}

static const uint8_t *next_record(const uint8_t *p) { return p + WIRE_RECORD_HEAD + (size_t)wire_get16(p + 10); }

static void give_signatures(struct zone_walk *w, struct zone_set *out)
{
	const struct zone_rrset *set = w->signed_set;
	const uint8_t *begin = tables_bytes(w->t, set) + set->n, *end = begin + set->sig_n;

	*out = (struct zone_set){ &w->t->nodes[w->node], TYPE_RRSIG, 0, begin, set->sig_n };
	for (const uint8_t *p = begin; p < end; p = next_record(p))
		out->count++;
	w->signed_set = NULL;
}

/* The next set of the name that the walk has come to. */
static bool next_set(struct zone_walk *w, struct zone_set *out)
{
	const struct zone_node *node = &w->t->nodes[w->node];

	for (;;) {
		const struct zone_rrset *set;

		if (w->signed_set) {
			give_signatures(w, out);
			return true;
		}
		if (w->rrset == ZONE_NONE)
			return false;
		set = &w->t->rrsets[w->rrset];
		w->rrset = set->next;
		if (!belongs(w, node, set))
			continue;
		if (set->sig_n > 0 && node->zone == w->zone)
			w->signed_set = set;
		if (set->type == TYPE_SOA)
			continue;
		*out = (struct zone_set){ node, set->type, set->count, tables_bytes(w->t, set), set->n };
		return true;
	}
}

static bool next_node(struct zone_walk *w)
{
	if (w->node + 1 >= w->t->n_nodes) {
		w->node = w->t->n_nodes;
		return false;
	}
	w->rrset = w->t->nodes[++w->node].rrsets;
	return true;
}

int zone_walk_next(struct zone_walk *w, unsigned *budget, struct zone_set *out)
{
	if (w->node >= w->t->n_nodes)
		return 0;
	while (!next_set(w, out)) {
		if (*budget == 0)
			return -EAGAIN;
		--*budget;
		if (!next_node(w))
			return 0;
	}
	return 1;
}

static bool has_record(const uint8_t *p, size_t size, const uint8_t *record)
{
	size_t n = WIRE_RECORD_HEAD + (size_t)wire_get16(record + 10);
	const uint8_t *end = p + size;

	for (; p < end; p = next_record(p))
		if (memcmp(p, record, WIRE_RECORD_HEAD) == 0 && memcmp(p, record, n) == 0)
			return true;
	return false;
}

/* The node that the walk would meet with this name; NULL: there is none. */
static const struct zone_node *node_of(const struct tables *t, uint32_t zone, const uint8_t *name)
{
	const struct zone_node *node;
	unsigned labels = 0;
	size_t name_n = wire_name_length(name, WIRE_NAME_MAX, &labels);
	struct zone_match m;

	if (!tables_find(t, name, name_n, labels, &m) || !m.node)
		return NULL;
	if (m.node->zone == zone || !t->zones[zone].is_signed)
		return m.node;
	node = tables_denial(t, &t->zones[zone], name, labels);
	return node->name_n == name_n && memcmp(tables_name(t, node), name, name_n) == 0 ? node : m.node;
}

bool zone_walk_has(const struct tables *t, uint32_t zone, const uint8_t *name, const uint8_t *record)
{
	struct zone_walk w = { .t = t, .zone = zone, .other = ZONE_NONE };
	unsigned type = wire_get16(record + 2);
	const struct zone_node *node = node_of(t, zone, name);

	if (!node)
		return false;
	for (uint32_t i = node->rrsets; i != ZONE_NONE; i = t->rrsets[i].next) {
		const struct zone_rrset *set = &t->rrsets[i];
		const uint8_t *p = tables_bytes(t, set);

		if ((type != TYPE_RRSIG && set->type != type) || !belongs(&w, node, set))
			continue;
		if (type != TYPE_RRSIG && has_record(p, set->n, record))
			return true;
		if (type == TYPE_RRSIG && node->zone == zone && has_record(p + set->n, set->sig_n, record))
			return true;
	}
	return false;
}
