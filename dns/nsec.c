/* Theory of operation
 *
 * All names that own an NSEC, of all signed zones, are put into one array, sorted by zone and name, and
 * each zone remembers its piece: looking for the NSEC at or before a name is a binary search there
 * (zone.c).  Everything is done in steps, with a merge sort from the bottom up that can stop anywhere.
 *
 * A name owns one if it has records that the zone has authority for, or is a delegation: not what lies
 * below delegations, and not names that only lie between others.
 *
 * A zone of ours within a signed one is a delegation for the outer zone, but the table of names has one
 * node for the name, which is the inner zone's.  So the outer gets a node of its own for it, with NS
 * and DS, which no look-up by name finds: only the order leads to it.
 */
#include "dns/nsec.h"

#include <assert.h>

#include "dns/canonical.h"

enum { STEP_NODES = 4096, STEP_RECORDS = 1024, WINDOWS = 256, WINDOW = 32 };

enum phase { COLLECT, SORT, LINK, DONE };

struct nsec {
	enum phase phase;
	uint32_t at; /* COLLECT: of the nodes; LINK: of the order */
	/* SORT: runs of `width` names are merged by twos, from the order into `to`; a and b are the next of the
	 * two that begin at `left` */
	uint32_t *to, width, left, a, b;
	uint8_t types[WINDOWS][WINDOW];
	bool used[WINDOWS];
};

struct nsec *nsec_new(void) { return calloc(1, sizeof(struct nsec)); }

void nsec_free(struct nsec *c)
{
	if (!c)
		return;
	free(c->to);
	free(c);
}

/* ---- collecting ---- */

/* The signed zone that this apex lies in, and has authority for its name; or ZONE_NONE. */
static uint32_t outer_zone(const struct tables *t, const struct zone_node *apex)
{
	const uint8_t *name = tables_name(t, apex);
	struct zone_match outer;

	if (apex->labels == 0 ||
	    !tables_find(t, name + name[0] + 1, apex->name_n - name[0] - 1u, apex->labels - 1u, &outer))
		return ZONE_NONE;
	return outer.zone->is_signed && outer.encloser->cut == ZONE_NONE ? (uint32_t)(outer.zone - t->zones) : ZONE_NONE;
}

static int add_delegation(struct tables *t, uint32_t apex, uint32_t outer)
{
	struct zone_node *nodes = tables_room(t->nodes, t->n_nodes, &t->nodes_room, sizeof(*nodes));
	uint32_t i = t->n_nodes;
	int r;

	if (!nodes)
		return -ENOMEM;
	t->nodes = nodes;
	nodes[i] = nodes[apex];
	nodes[i].flags = NODE_CUT;
	nodes[i].zone = outer;
	nodes[i].service = nodes[i].rrsets = nodes[i].wildcard = ZONE_NONE;
	nodes[i].cut = i;
	t->n_nodes++;
	r = tables_share_rrset(t, i, apex, TYPE_NS);
	return r == 0 ? tables_share_rrset(t, i, apex, TYPE_DS) : r;
}

/* The template whose wildcard this is, or NULL.  It has no addresses, but whoever asks for one gets one: resolvers that
 * make answers of what they know (RFC 8198) must not know that there is none. */
static const struct zone_service *template_at(const struct tables *t, const struct zone_node *node)
{
	const struct zone_service *s = node->service == ZONE_NONE ? NULL : &t->services[node->service];

	return s && zone_service_is_template(s) ? s : NULL;
}

static int collect(struct tables *t, uint32_t i)
{
	const struct zone_node *node = &t->nodes[i];
	uint32_t outer = node->flags & NODE_APEX ? outer_zone(t, node) : ZONE_NONE;
	bool owns = t->zones[node->zone].is_signed && (node->rrsets != ZONE_NONE || template_at(t, node)) &&
		    (node->cut == ZONE_NONE || node->cut == i);

	if (owns)
		t->order[t->n_order++] = i;
	return outer == ZONE_NONE ? 0 : add_delegation(t, i, outer);
}

static int collect_some(struct nsec *c, struct tables *t)
{
	int r = 0;

	if (c->at == 0) { /* (there are at most as many delegations of this kind as zones) */
		size_t room = (size_t)t->n_nodes + t->n_zones;

		t->order = calloc(room, sizeof(*t->order));
		c->to = calloc(room, sizeof(*c->to));
		if (!t->order || !c->to)
			return -ENOMEM;
	}
	for (unsigned i = 0; r == 0 && i < STEP_NODES && c->at < t->n_nodes; i++)
		r = collect(t, c->at++);
	if (r == 0 && c->at >= t->n_nodes) {
		c->phase = SORT;
		c->width = 1;
		c->b = MIN(1u, t->n_order);
	}
	return r;
}

/* ---- sorting ---- */

static bool is_before(const struct tables *t, uint32_t a, uint32_t b)
{
	const struct zone_node *p = &t->nodes[a], *q = &t->nodes[b];

	if (p->zone != q->zone)
		return p->zone < q->zone;
	return canonical_compare(tables_name(t, p), p->labels, tables_name(t, q), q->labels,
				 t->nodes[t->zones[p->zone].apex].labels) < 0;
}

/* Behind the last two runs: again, with runs twice as long. */
static void next_pass(struct nsec *c, struct tables *t)
{
	uint32_t *from = t->order;

	t->order = c->to;
	c->to = from;
	c->width *= 2;
	c->left = c->a = 0;
	c->b = MIN(c->width, t->n_order);
}

static void merge_one(struct nsec *c, struct tables *t)
{
	uint32_t middle = MIN(c->left + c->width, t->n_order), end = MIN(c->left + 2 * c->width, t->n_order);
	uint32_t to = c->a + c->b - middle;

	if (c->a < middle && (c->b == end || !is_before(t, t->order[c->b], t->order[c->a])))
		c->to[to] = t->order[c->a++];
	else
		c->to[to] = t->order[c->b++];
	if (c->a < middle || c->b < end)
		return;
	c->left = c->a = end;
	c->b = MIN(end + c->width, t->n_order);
}

/* Each zone its piece; what is not needed of the array goes. */
static void divide(struct tables *t)
{
	uint32_t *less = reallocarray(t->order, MAX(t->n_order, 1u), sizeof(*less));

	if (less)
		t->order = less;
	for (uint32_t i = 0; i < t->n_order; i++) {
		struct zone *z = &t->zones[t->nodes[t->order[i]].zone];

		if (z->n_order++ == 0)
			z->order_at = i;
	}
}

static int sort_some(struct nsec *c, struct tables *t)
{
	for (unsigned i = 0; i < STEP_NODES && c->width < t->n_order; i++) {
		merge_one(c, t);
		if (c->left == t->n_order)
			next_pass(c, t);
	}
	if (c->width < t->n_order)
		return 0;
	free(c->to);
	c->to = NULL;
	divide(t);
	c->phase = LINK;
	c->at = 0;
	return 0;
}

/* ---- linking ---- */

static void set_type(struct nsec *c, unsigned type)
{
	c->types[type / WINDOWS][type % WINDOWS / 8] |= (uint8_t)(0x80 >> type % 8);
	c->used[type / WINDOWS] = true;
}

/* Of a delegation, only what this zone has authority for, and NS (RFC 4035, 2.3); the DS of a zone are
 * not its own.  Of a service's addresses those count that it has when it is up; one that is not known
 * yet, too. */
static void set_types(struct nsec *c, const struct tables *t, const struct zone_node *node)
{
	const struct zone_service *template = template_at(t, node);

	set_type(c, TYPE_RRSIG);
	set_type(c, TYPE_NSEC);
	if (template && template->template4)
		set_type(c, TYPE_A);
	if (template && template->template6)
		set_type(c, TYPE_AAAA);
	for (uint32_t i = node->rrsets; i != ZONE_NONE; i = t->rrsets[i].next) {
		unsigned type = t->rrsets[i].type;

		if (t->rrsets[i].variant != ZONE_NORMAL || (node->flags & NODE_APEX && type == TYPE_DS) ||
		    (node->flags & NODE_CUT && type != TYPE_NS && type != TYPE_DS))
			continue;
		set_type(c, type);
	}
	if (node->service != ZONE_NONE && t->services[node->service].unknown)
		set_type(c, TYPE_A);
}

/* RFC 4034, 4.1.2.  Forgets them. */
static uint8_t *put_types(struct nsec *c, uint8_t *p)
{
	for (unsigned w = 0; w < WINDOWS; w++) {
		uint8_t n = WINDOW;

		if (!c->used[w])
			continue;
		while (c->types[w][n - 1] == 0)
			n--;
		*p++ = (uint8_t)w;
		*p++ = n;
		memcpy(p, c->types[w], n);
		p += n;
		memset(c->types[w], 0, WINDOW);
		c->used[w] = false;
	}
	return p;
}

static int link_one(struct nsec *c, struct tables *t, uint32_t at)
{
	uint32_t i = t->order[at];
	const struct zone_node *node = &t->nodes[i], *next;
	const struct zone *z = &t->zones[node->zone];
	const uint8_t *soa = tables_bytes(t, &z->negative);
	uint8_t data[WIRE_NAME_MAX + WINDOWS * (2 + WINDOW)], *p = data;
	uint32_t ttl_s = (uint32_t)wire_get16(soa + 6) << 16 | wire_get16(soa + 8); /* RFC 9077, 3 */

	next = &t->nodes[t->order[at + 1 < z->order_at + z->n_order ? at + 1 : z->order_at]];
	memcpy(p, tables_name(t, next), next->name_n);
	set_types(c, t, node);
	p = put_types(c, p + next->name_n);
	return tables_add_data(t, i, TYPE_NSEC, ttl_s, data, (size_t)(p - data));
}

static int link_some(struct nsec *c, struct tables *t)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < STEP_RECORDS && c->at < t->n_order; i++)
		r = link_one(c, t, c->at++);
	if (c->at >= t->n_order)
		c->phase = DONE;
	return r;
}

int nsec_step(struct nsec *c, struct tables *t)
{
	static int (*const steps[])(struct nsec *, struct tables *) = { [COLLECT] = collect_some, [SORT] = sort_some,
									[LINK] = link_some };
	int r;

	assert(c->phase != DONE);
	r = steps[c->phase](c, t);
	return r < 0 ? r : c->phase != DONE;
}
