/* Theory of operation
 *
 * The tables live through four times.  While they are filled, the launcher's messages come in any
 * order: zones get their node at once, services are kept as they are (names in wire form).
 * tables_place() puts the services' names into the zones.  Then the records of zone files are added,
 * each checked against what is there, and last, in tables_finish(), the reverse names of the
 * services' addresses.  From then on only the services' states change.  (All of that: zone_build.c,
 * zone_static.c.)
 *
 * A reverse name that lies in a configured zone is an ordinary name of it.  One that does not is a
 * zone of its own, of one name, with the SOA and NS of the zone its service is named in: so we
 * answer for exactly the addresses that are ours, and even "no such record" there has its SOA.
 *
 * Lookup.  One open-addressing table of all names.  A name's hash is made label by label from the
 * root end, so that one pass gives the hashes of the name and of everything above it; they are
 * then looked up from the longest that can exist at all (max_labels) upwards, and the first found
 * is the closest encloser (RFC 4592, 3.3.1) and tells the zone.  Names that only lie between others
 * ("empty non-terminals", RFC 8020) have nodes without records, so every name that exists has its
 * parents in the table.  What a name that does not exist gets (a wildcard, a referral, a DNAME) is
 * noted at its encloser.  The hash has no secret: clients cannot add names, only ask.
 *
 * What a lookup costs is waiting for memory, so that of a batch of queries is asked for together
 * (zone_touch.c).
 *
 * Everything variable (names, records, addresses) lies in one arena, addressed by offsets because
 * it moves while it grows.
 *
 * A tree of labels was refused: more pointers to chase for no gain, as only the denials of signed zones
 * need order, and these have an array beside (nsec.c).
 */
#include "dns/zone_internal.h"

#include <assert.h>

#include "dns/canonical.h"
#include "dns/peers.h"

enum { ARENA_MAX = 512 * 1024 * 1024 };
static_assert(SLOTS_MAX < SVC_NONE, "service places must fit 16 bits");

/* ---- memory ---- */

void *tables_room(void *array, uint32_t n, uint32_t *room, size_t size)
{
	uint32_t more = *room ? *room * 2 : 16;
	void *p;

	if (n < *room)
		return array;
	p = reallocarray(array, more, size);
	if (p)
		*room = more;
	return p;
}

int64_t tables_store(struct tables *t, const void *bytes, size_t n)
{
	size_t at = t->arena_n;

	if (n > ARENA_MAX - at)
		return -ENOSPC;
	if (at + n > t->arena_room) {
		size_t more = MAX(at + n, t->arena_room ? t->arena_room * 2 : 4096);
		uint8_t *p = realloc(t->arena, more);

		if (!p)
			return -ENOMEM;
		t->arena = p;
		t->arena_room = more;
	}
	if (n > 0 && bytes)
		memcpy(t->arena + at, bytes, n);
	t->arena_n += n;
	return (int64_t)at;
}

struct tables *tables_new(void)
{
	struct tables *t = calloc(1, sizeof(*t));

	if (t && !(t->peers = peers_new())) {
		free(t);
		return NULL;
	}
	if (t)
		for (size_t i = 0; i < SLOTS_MAX; i++)
			t->by_svc[i] = SVC_NONE;
	return t;
}

struct tables *tables_ref(const struct tables *t)
{
	struct tables *owned = (struct tables *)t;

	owned->owners++;
	return owned;
}

void tables_free(struct tables *t)
{
	if (!t || t->owners-- > 0)
		return;
	peers_free(t->peers);
	free(t->arena);
	free(t->nodes);
	free(t->buckets);
	free(t->order);
	free(t->rrsets);
	free(t->zones);
	free(t->drafts);
	free(t->services);
	free(t->unplaced);
	free(t);
}

void tables_name_at(const struct tables *t, uint32_t at, struct name *out)
{
	unsigned labels = 0;
	size_t n = wire_name_length(t->arena + at, t->arena_n - at, &labels);

	assert(n > 0);
	name_from_wire(t->arena + at, n, out);
}

/* ---- nodes ---- */

static uint32_t find_node(const struct tables *t, uint32_t hash, const uint8_t *name, size_t n)
{
	if (t->n_buckets == 0)
		return ZONE_NONE;
	for (uint32_t b = hash;; b++) {
		uint32_t i = t->buckets[b & (t->n_buckets - 1)];

		if (i == ZONE_NONE)
			return ZONE_NONE;
		if (t->nodes[i].hash == hash && t->nodes[i].name_n == n &&
		    memcmp(t->arena + t->nodes[i].name_at, name, n) == 0)
			return i;
	}
}

static void enter_node(struct tables *t, uint32_t i)
{
	uint32_t b = t->nodes[i].hash;

	while (t->buckets[b & (t->n_buckets - 1)] != ZONE_NONE)
		b++;
	t->buckets[b & (t->n_buckets - 1)] = i;
}

static int grow_buckets(struct tables *t)
{
	uint32_t n = t->n_buckets ? t->n_buckets * 2 : 64;
	uint32_t *more;

	if ((uint64_t)(t->n_nodes + 1) * 2 <= t->n_buckets)
		return 0;
	more = reallocarray(NULL, n, sizeof(*more));
	if (!more)
		return -ENOMEM;
	memset(more, 0xff, n * sizeof(*more));
	free(t->buckets);
	t->buckets = more;
	t->n_buckets = n;
	for (uint32_t i = 0; i < t->n_nodes; i++)
		enter_node(t, i);
	return 0;
}

static uint32_t add_node(struct tables *t, const struct zone_node *node)
{
	uint32_t i = t->n_nodes++;

	t->nodes[i] = *node;
	t->max_labels = MAX(t->max_labels, node->labels);
	enter_node(t, i);
	return i;
}

/* Its parent knows of it. */
static void join_parent(struct tables *t, uint32_t i, const uint8_t *name)
{
	struct zone_node *parent = &t->nodes[t->nodes[i].parent];

	parent->flags |= NODE_CHILDREN;
	if (name[0] == 1 && name[1] == '*')
		parent->wildcard = i;
}

int64_t tables_get_node(struct tables *t, const uint8_t *name, size_t n, unsigned labels, uint32_t hash,
			uint32_t zone, uint32_t parent)
{
	struct zone_node node = { .hash = hash, .name_n = (uint8_t)n, .labels = (uint8_t)labels, .zone = zone,
				  .service = ZONE_NONE, .rrsets = ZONE_NONE, .parent = parent,
				  .wildcard = ZONE_NONE, .cut = ZONE_NONE };
	uint32_t i = find_node(t, hash, name, n);
	struct zone_node *nodes;
	int64_t at;

	if (i != ZONE_NONE)
		return i;
	if (t->n_nodes >= ZONE_NAMES_MAX)
		return -ENOSPC;
	nodes = tables_room(t->nodes, t->n_nodes, &t->nodes_room, sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	t->nodes = nodes;
	if (grow_buckets(t) < 0)
		return -ENOMEM;
	at = tables_store(t, name, n);
	if (at < 0)
		return at;
	node.name_at = (uint32_t)at;
	i = add_node(t, &node);
	if (parent != ZONE_NONE)
		join_parent(t, i, name);
	return i;
}

/* ---- looking up ---- */

bool tables_find(const struct tables *t, const uint8_t *name, size_t name_n, unsigned labels,
		 struct zone_match *out)
{
	unsigned most = MIN(labels, t->max_labels);
	uint8_t starts[WIRE_LABELS_MAX + 1];
	uint32_t hashes[WIRE_LABELS_MAX + 1];

	name_label_starts(name, labels, starts);
	hashes[0] = NAME_HASH_ROOT;
	for (unsigned l = 1; l <= most; l++)
		hashes[l] = name_hash_label(hashes[l - 1], name + starts[labels - l]);
	for (unsigned l = most + 1; l-- > 0;) {
		unsigned at = starts[labels - l];
		uint32_t i = find_node(t, hashes[l], name + at, name_n - at);

		if (i == ZONE_NONE)
			continue;
		out->zone = &t->zones[t->nodes[i].zone];
		out->encloser = &t->nodes[i];
		out->node = l == labels ? out->encloser : NULL;
		out->apex_at = (unsigned)name_n - out->zone->name_n;
		return true;
	}
	return false;
}

const struct zone_rrset *tables_variant(const struct tables *t, const struct zone_node *node, unsigned type,
					enum zone_variant variant)
{
	for (uint32_t i = node->rrsets; i != ZONE_NONE; i = t->rrsets[i].next)
		if (t->rrsets[i].type == type && t->rrsets[i].variant == variant)
			return &t->rrsets[i];
	return NULL;
}

const struct zone_rrset *tables_rrset(const struct tables *t, const struct zone_node *node, unsigned type)
{
	return tables_variant(t, node, type, ZONE_NORMAL);
}

const struct zone_node *tables_denial(const struct tables *t, const struct zone *z, const uint8_t *name,
				      unsigned labels)
{
	const uint32_t *order = t->order + z->order_at;
	unsigned skip = t->nodes[z->apex].labels;
	uint32_t low = 0, high = z->n_order; /* the first is the apex, which comes before every name */

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;
		const struct zone_node *node = &t->nodes[order[middle]];

		if (canonical_compare(tables_name(t, node), node->labels, name, labels, skip) <= 0)
			low = middle;
		else
			high = middle;
	}
	return &t->nodes[order[low]];
}

const struct zone_node *tables_node(const struct tables *t, uint32_t node)
{
	return node == ZONE_NONE ? NULL : &t->nodes[node];
}

const uint8_t *tables_name(const struct tables *t, const struct zone_node *node) { return t->arena + node->name_at; }

const uint8_t *tables_bytes(const struct tables *t, const struct zone_rrset *r) { return t->arena + r->at; }

const struct zone_rrset *tables_first(const struct tables *t, const struct zone_node *node)
{
	return node->rrsets == ZONE_NONE ? NULL : &t->rrsets[node->rrsets];
}

const struct zone_rrset *tables_next(const struct tables *t, const struct zone_rrset *r)
{
	return r->next == ZONE_NONE ? NULL : &t->rrsets[r->next];
}

/* All are of one size: those of one zone's keys. */
unsigned tables_signatures(const struct tables *t, const struct zone_rrset *r)
{
	return r->sig_n == 0 ? 0 : r->sig_n / (WIRE_RECORD_HEAD + wire_get16(tables_bytes(t, r) + r->n + 10u));
}

struct zone_service *tables_service(struct tables *t, uint32_t svc, uint32_t gen)
{
	struct zone_service *s;

	if (svc >= SLOTS_MAX || t->by_svc[svc] == SVC_NONE)
		return NULL;
	s = &t->services[t->by_svc[svc]];
	return s->gen == gen ? s : NULL;
}

struct zone_service *tables_service_at(struct tables *t, uint32_t place)
{
	return place < t->n_services ? &t->services[place] : NULL;
}

const char *tables_zone_name(const struct tables *t, uint32_t zone) { return t->drafts[zone].name; }

const struct zone *tables_zone_at(const struct tables *t, uint32_t zone) { return &t->zones[zone]; }

const struct msg_dns_conf *tables_conf(const struct tables *t) { return &t->conf; }

const struct peers *tables_peers(const struct tables *t) { return t->peers; }

const struct zone_forward *tables_forwards(const struct tables *t, unsigned *n)
{
	*n = t->n_forwards;
	return t->forwards;
}

static bool is_in(const struct ip_prefix *list, unsigned n, const struct ip_addr *client)
{
	for (unsigned i = 0; i < n; i++)
		if (prefix_contains(&list[i], client))
			return true;
	return false;
}

bool tables_may_forward(const struct tables *t, const struct ip_addr *client)
{
	return t->n_forwards > 0 && is_in(t->allow, t->n_allow, client);
}

bool tables_is_exempt(const struct tables *t, const struct ip_addr *client)
{
	return is_in(t->exempt, t->n_exempt, client);
}

uint32_t tables_zones(const struct tables *t) { return t->n_drafts; }
