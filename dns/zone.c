/* Theory of operation
 *
 * The tables live through three times.  While they are filled, the launcher's messages come in any
 * order: zones get their node at once, services are kept as they are (names in wire form).
 * tables_finish() then puts the services' names into the zones, and last the reverse names of
 * their addresses.  From then on only the services' states change.
 *
 * A reverse name that lies in a configured zone is an ordinary name of it.  One that does not is a
 * zone of its own, of one name, with the SOA and NS of the zone its service is named in: so we
 * answer for exactly the addresses that are ours, and even "no such record" there has its SOA.
 *
 * The names in a zone's `ns` are only pointed to: one that lies in the zone has an address if it is
 * a service's name too, and does not exist otherwise.
 *
 * Lookup.  One open-addressing table of all names.  A name's hash is made label by label from the
 * root end, so that one pass gives the hashes of the name and of everything above it; they are
 * then looked up from the longest that can exist at all (max_labels) upwards, and the first found
 * tells the zone.  Names between an apex and a service ("empty non-terminals", RFC 8020) have
 * nodes without records, so every name that exists has its parents in the table.  The hash has no
 * secret: clients cannot add names, only ask.
 *
 * Everything variable (names, records, addresses) lies in one arena, addressed by offsets because
 * it moves while it grows.
 *
 * A tree of labels was refused: more pointers to chase for no gain, as no operation needs order.
 */
#include "dns/zone.h"

#include <assert.h>
#include <ldns/ldns.h>

#include "base/log.h"
#include "base/slots.h"
#include "dns/wire.h"

enum { ARENA_MAX = 512 * 1024 * 1024 };
#define SVC_NONE UINT16_MAX
static_assert(SLOTS_MAX < SVC_NONE, "service places must fit 16 bits");

/* What tables_finish() still has to do for a service. */
struct unplaced {
	uint32_t ttl_s;
	uint32_t names_at, addrs_at; /* in the arena: names one behind the other; 16 bytes each */
	uint16_t n_names, n_addrs;
};

struct tables {
	uint8_t *arena;
	size_t arena_n, arena_room;
	struct zone_node *nodes;
	uint32_t n_nodes, nodes_room;
	uint32_t *buckets; /* of nodes; ZONE_NONE: empty */
	uint32_t n_buckets; /* a power of two, at least twice n_nodes */
	unsigned max_labels;
	struct zone *zones;
	uint32_t n_zones, zones_room;
	struct zone_service *services;
	struct unplaced *unplaced;
	uint32_t n_services, services_room;
	uint16_t by_svc[SLOTS_MAX];
	struct zone_forward forwards[ZONE_FORWARDS_MAX];
	unsigned n_forwards;
	struct ip_prefix allow[ZONE_ALLOW_MAX];
	unsigned n_allow;
	struct msg_dns_conf conf;
};

/* ---- memory ---- */

/* The array with room for one more element of `size` bytes; NULL: no memory, it is as before. */
static void *make_room(void *array, uint32_t n, uint32_t *room, size_t size)
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

/* The offset, or -errno; `bytes` must not lie in the arena. */
static int64_t store(struct tables *t, const void *bytes, size_t n)
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
	if (n > 0)
		memcpy(t->arena + at, bytes, n);
	t->arena_n += n;
	return (int64_t)at;
}

static int store_records(struct tables *t, const uint8_t *bytes, size_t n, unsigned count,
			 struct zone_records *out)
{
	int64_t at = store(t, bytes, n);

	if (at < 0)
		return (int)at;
	*out = (struct zone_records){ (uint32_t)at, (uint16_t)n, (uint16_t)count };
	return 0;
}

struct tables *tables_new(void)
{
	struct tables *t = calloc(1, sizeof(*t));

	if (t)
		for (size_t i = 0; i < SLOTS_MAX; i++)
			t->by_svc[i] = SVC_NONE;
	return t;
}

void tables_free(struct tables *t)
{
	if (!t)
		return;
	free(t->arena);
	free(t->nodes);
	free(t->buckets);
	free(t->zones);
	free(t->services);
	free(t->unplaced);
	free(t);
}

/* ---- names ---- */

struct name {
	uint8_t b[WIRE_NAME_MAX];
	uint8_t n, labels;
};

static bool name_from_text(const char *text, struct name *out)
{
	ldns_rdf *rdf = ldns_dname_new_frm_str(text[0] ? text : ".");
	size_t n = rdf ? ldns_rdf_size(rdf) : 0;
	unsigned labels = 0;
	bool good = n > 0 && n <= WIRE_NAME_MAX && wire_name_length(ldns_rdf_data(rdf), n, &labels) == n;

	if (good) {
		wire_lower(out->b, ldns_rdf_data(rdf), n);
		out->n = (uint8_t)n;
		out->labels = (uint8_t)labels;
	}
	ldns_rdf_deep_free(rdf);
	return good;
}

static void name_add_label(struct name *to, const char *label)
{
	size_t n = strlen(label);

	to->b[to->n++] = (uint8_t)n;
	memcpy(to->b + to->n, label, n);
	to->n = (uint8_t)(to->n + n);
	to->labels++;
}

/* RFC 1035, 3.5; RFC 3596, 2.5. */
static void name_of_address(const struct ip_addr *a, struct name *out)
{
	bool v4 = ip_is_v4(a);
	char label[8];

	out->n = out->labels = 0;
	for (int i = 15; i >= (v4 ? 12 : 0); i--) {
		snprintf(label, sizeof(label), v4 ? "%u" : "%x", v4 ? a->b[i] : a->b[i] & 0x0fu);
		name_add_label(out, label);
		if (v4)
			continue;
		snprintf(label, sizeof(label), "%x", (unsigned)a->b[i] >> 4);
		name_add_label(out, label);
	}
	name_add_label(out, v4 ? "in-addr" : "ip6");
	name_add_label(out, "arpa");
	out->b[out->n++] = 0;
}

static uint32_t hash_label(uint32_t hash, const uint8_t *label)
{
	for (unsigned i = 0; i <= label[0]; i++)
		hash = (hash ^ label[i]) * 16777619u;
	return hash ^ hash >> 15;
}

enum { HASH_ROOT = 0x811c9dc5 };

/* Where each label begins; starts[labels] is the root. */
static void label_starts(const uint8_t *name, unsigned labels, uint8_t *starts)
{
	unsigned at = 0;

	for (unsigned i = 0; i <= labels; i++) {
		starts[i] = (uint8_t)at;
		at += name[at] + 1u;
	}
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

/* The node of this name, made when there is none yet; -errno when it cannot be. */
static int64_t get_node(struct tables *t, const uint8_t *name, size_t n, unsigned labels, uint32_t hash,
			uint32_t zone)
{
	uint32_t i = find_node(t, hash, name, n);
	struct zone_node *nodes;
	int64_t at;

	if (i != ZONE_NONE)
		return i;
	if (t->n_nodes >= ZONE_NAMES_MAX)
		return -ENOSPC;
	nodes = make_room(t->nodes, t->n_nodes, &t->nodes_room, sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	t->nodes = nodes;
	if (grow_buckets(t) < 0)
		return -ENOMEM;
	at = store(t, name, n);
	if (at < 0)
		return at;
	i = t->n_nodes++;
	t->nodes[i] = (struct zone_node){ .name_at = (uint32_t)at, .hash = hash, .name_n = (uint8_t)n,
					  .labels = (uint8_t)labels, .zone = zone, .service = ZONE_NONE };
	t->max_labels = MAX(t->max_labels, labels);
	enter_node(t, i);
	return i;
}

/* The node of this name in its zone, and those of the names between it and the apex. */
static int64_t place_name(struct tables *t, const struct name *name, uint32_t zone)
{
	unsigned apex_labels = t->nodes[t->zones[zone].apex].labels;
	uint8_t starts[WIRE_LABELS_MAX + 1];
	uint32_t hash = HASH_ROOT;
	int64_t node = t->zones[zone].apex;

	label_starts(name->b, name->labels, starts);
	for (unsigned l = 1; l <= name->labels; l++) {
		unsigned at = starts[name->labels - l];

		hash = hash_label(hash, name->b + at);
		if (l <= apex_labels)
			continue;
		node = get_node(t, name->b + at, name->n - at, l, hash, zone);
		if (node < 0)
			return node;
	}
	return node;
}

bool tables_find(const struct tables *t, const uint8_t *name, size_t name_n, unsigned labels,
		 struct zone_match *out)
{
	unsigned most = MIN(labels, t->max_labels);
	uint8_t starts[WIRE_LABELS_MAX + 1];
	uint32_t hashes[WIRE_LABELS_MAX + 1];

	label_starts(name, labels, starts);
	hashes[0] = HASH_ROOT;
	for (unsigned l = 1; l <= most; l++)
		hashes[l] = hash_label(hashes[l - 1], name + starts[labels - l]);
	for (unsigned l = most + 1; l-- > 0;) {
		unsigned at = starts[labels - l];
		uint32_t i = find_node(t, hashes[l], name + at, name_n - at);

		if (i == ZONE_NONE)
			continue;
		out->zone = &t->zones[t->nodes[i].zone];
		out->node = l == labels ? &t->nodes[i] : NULL;
		out->apex_at = (unsigned)name_n - out->zone->name_n;
		return true;
	}
	return false;
}

const uint8_t *tables_bytes(const struct tables *t, const struct zone_records *r) { return t->arena + r->at; }

/* ---- records ---- */

enum { OWNER_QUESTION = 0xc000 | WIRE_HEADER, RECORD_HEAD = 12 };

static uint8_t *put_head(uint8_t *p, unsigned type, uint32_t ttl_s, unsigned n)
{
	p = wire_put16(p, OWNER_QUESTION);
	p = wire_put16(p, type);
	p = wire_put16(p, CLASS_IN);
	p = wire_put32(p, ttl_s);
	return wire_put16(p, n);
}

static uint8_t *put_name(uint8_t *p, const struct name *name)
{
	memcpy(p, name->b, name->n);
	return p + name->n;
}

static int add_soa(struct tables *t, const struct msg_dns_zone *m, const struct name *primary,
		   const struct name *mailbox, uint32_t ttl_s, struct zone_records *out)
{
	uint8_t b[RECORD_HEAD + 2 * WIRE_NAME_MAX + 20];
	uint8_t *p = put_head(b, TYPE_SOA, ttl_s, primary->n + mailbox->n + 20u);

	p = put_name(p, primary);
	p = put_name(p, mailbox);
	p = wire_put32(p, m->serial);
	p = wire_put32(p, m->refresh_s);
	p = wire_put32(p, m->retry_s);
	p = wire_put32(p, m->expire_s);
	p = wire_put32(p, m->minimum_s);
	return store_records(t, b, (size_t)(p - b), 1, out);
}

static int add_ns(struct tables *t, const struct name *ns, unsigned n, uint32_t ttl_s, struct zone_records *out)
{
	uint8_t b[MSG_LIST_MAX * (RECORD_HEAD + WIRE_NAME_MAX)];
	uint8_t *p = b;

	for (unsigned i = 0; i < n; i++) {
		p = put_head(p, TYPE_NS, ttl_s, ns[i].n);
		p = put_name(p, &ns[i]);
	}
	return store_records(t, b, (size_t)(p - b), n, out);
}

/* The addresses of one family. */
static int add_addresses(struct tables *t, const struct unplaced *u, bool v4, struct zone_records *out)
{
	uint8_t b[MSG_LIST_MAX * (RECORD_HEAD + 16)];
	unsigned count = 0, length = v4 ? 4 : 16;
	uint8_t *p = b;

	for (unsigned i = 0; i < u->n_addrs; i++) {
		struct ip_addr a;

		memcpy(a.b, t->arena + u->addrs_at + i * sizeof(a), sizeof(a));
		if (ip_is_v4(&a) != v4)
			continue;
		p = put_head(p, v4 ? TYPE_A : TYPE_AAAA, u->ttl_s, length);
		memcpy(p, a.b + 16 - length, length);
		p += length;
		count++;
	}
	return store_records(t, b, (size_t)(p - b), count, out);
}

static int add_ptr(struct tables *t, const struct name *target, uint32_t ttl_s, struct zone_records *out)
{
	uint8_t b[RECORD_HEAD + WIRE_NAME_MAX];
	uint8_t *p = put_name(put_head(b, TYPE_PTR, ttl_s, target->n), target);

	return store_records(t, b, (size_t)(p - b), 1, out);
}

/* ---- filling ---- */

int tables_set_conf(struct tables *t, const struct msg_dns_conf *m)
{
	t->conf = *m;
	return 0;
}

int tables_add_forward(struct tables *t, const struct msg_dns_forward *m)
{
	if (t->n_forwards == ZONE_FORWARDS_MAX)
		return -ENOSPC;
	t->forwards[t->n_forwards++] = (struct zone_forward){ m->addr, m->port };
	return 0;
}

int tables_add_allow(struct tables *t, const struct msg_dns_allow *m)
{
	if (t->n_allow == ZONE_ALLOW_MAX)
		return -ENOSPC;
	if (m->prefix.len > 128)
		return 0;
	t->allow[t->n_allow++] = m->prefix;
	return 0;
}

/* A new zone whose apex has this name; its records are for the caller to fill in. */
static int64_t new_zone(struct tables *t, const struct name *name)
{
	uint8_t starts[WIRE_LABELS_MAX + 1];
	uint32_t hash = HASH_ROOT, zone = t->n_zones;
	struct zone *zones = make_room(t->zones, t->n_zones, &t->zones_room, sizeof(*zones));
	int64_t node;

	if (!zones)
		return -ENOMEM;
	t->zones = zones;
	label_starts(name->b, name->labels, starts);
	for (unsigned l = name->labels; l-- > 0;)
		hash = hash_label(hash, name->b + starts[l]);
	node = get_node(t, name->b, name->n, name->labels, hash, zone);
	if (node < 0)
		return node;
	t->nodes[node].apex = true;
	t->zones[zone] = (struct zone){ .apex = (uint32_t)node, .name_n = name->n };
	t->n_zones++;
	return zone;
}

static void show_apex(struct tables *t, const struct zone *z)
{
	t->nodes[z->apex].rr[ZONE_SOA] = z->soa;
	t->nodes[z->apex].rr[ZONE_NS] = z->ns;
}

/* The names its records point to; false when the zone cannot be served. */
static bool zone_names(const struct msg_dns_zone *m, struct name *ns, unsigned *n_ns, struct name *mailbox)
{
	*n_ns = 0;
	for (unsigned i = 0; i < m->n_ns; i++) {
		if (name_from_text(m->ns[i].text, &ns[*n_ns]))
			(*n_ns)++;
		else
			log_warn("zone %s: \"%s\" is no DNS name, left out of its NS", m->name, m->ns[i].text);
	}
	if (name_from_text(m->hostmaster, mailbox))
		return true;
	log_warn("zone %s: hostmaster \"%s\" is no DNS name, zone left out", m->name, m->hostmaster);
	return false;
}

int tables_add_zone(struct tables *t, const struct msg_dns_zone *m)
{
	struct name apex, mailbox, ns[MSG_LIST_MAX];
	const struct name *primary;
	struct zone_match match;
	struct zone *z;
	unsigned n_ns;
	int64_t zone;
	int r;

	if (!name_from_text(m->name, &apex)) {
		log_warn("zone \"%s\" left out: no DNS name", m->name);
		return 0;
	}
	if (tables_find(t, apex.b, apex.n, apex.labels, &match) && match.node) {
		log_warn("zone %s is there twice: the first counts", m->name);
		return 0;
	}
	if (!zone_names(m, ns, &n_ns, &mailbox))
		return 0;
	zone = new_zone(t, &apex);
	if (zone < 0)
		return (int)zone;
	z = &t->zones[zone];
	z->ttl_s = m->ttl_s;
	primary = n_ns ? &ns[0] : &apex;
	r = add_soa(t, m, primary, &mailbox, m->ttl_s, &z->soa);
	if (r == 0) /* RFC 2308, 3 */
		r = add_soa(t, m, primary, &mailbox, MIN(m->ttl_s, m->minimum_s), &z->negative_soa);
	if (r == 0)
		r = add_ns(t, ns, n_ns, m->ttl_s, &z->ns);
	if (r == 0)
		show_apex(t, z);
	return r;
}

static int keep_names(struct tables *t, const struct msg_dns_service *m, struct unplaced *u)
{
	u->names_at = (uint32_t)t->arena_n;
	for (unsigned i = 0; i < m->n_names; i++) {
		struct name name;
		int64_t r;

		if (!name_from_text(m->names[i].text, &name)) {
			log_warn("service=%s: \"%s\" is no DNS name, left out", m->name, m->names[i].text);
			continue;
		}
		r = store(t, name.b, name.n);
		if (r < 0)
			return (int)r;
		u->n_names++;
	}
	return 0;
}

static int services_room(struct tables *t)
{
	uint32_t room = t->services_room; /* both grow together */
	struct unplaced *unplaced = make_room(t->unplaced, t->n_services, &room, sizeof(*unplaced));
	struct zone_service *services;

	if (!unplaced)
		return -ENOMEM;
	t->unplaced = unplaced;
	services = make_room(t->services, t->n_services, &t->services_room, sizeof(*services));
	if (!services)
		return -ENOMEM;
	t->services = services;
	return 0;
}

int tables_add_service(struct tables *t, const struct msg_dns_service *m)
{
	struct unplaced u = { .ttl_s = m->ttl_s, .n_addrs = m->n_addrs };
	struct zone_service *s;
	int64_t at;
	int r;

	if (m->svc >= SLOTS_MAX || t->by_svc[m->svc] != SVC_NONE || m->state >= STATE_N ||
	    m->answer >= ANSWER_N) {
		log_warn("service=%s left out: the launcher's message makes no sense", m->name);
		return 0;
	}
	if (services_room(t) < 0)
		return -ENOMEM;
	r = keep_names(t, m, &u);
	if (r < 0)
		return r;
	at = store(t, m->addrs, m->n_addrs * sizeof(m->addrs[0]));
	if (at < 0)
		return (int)at;
	u.addrs_at = (uint32_t)at;
	t->by_svc[m->svc] = (uint16_t)t->n_services;
	t->unplaced[t->n_services] = u;
	s = &t->services[t->n_services++];
	*s = (struct zone_service){ .svc = m->svc, .gen = m->gen, .state = m->state, .answer = m->answer,
				    .max_hold_ms = m->max_hold_ms };
	str_copy(s->name, m->name);
	return 0;
}

/* ---- finishing ---- */

static void nth_name(const struct tables *t, const struct unplaced *u, unsigned nth, struct name *out)
{
	const uint8_t *p = t->arena + u->names_at;
	unsigned labels = 0;
	size_t n = 0;

	for (unsigned i = 0; i <= nth; i++) {
		p += n;
		n = wire_name_length(p, t->arena_n - (size_t)(p - t->arena), &labels);
	}
	memcpy(out->b, p, n);
	out->n = (uint8_t)n;
	out->labels = (uint8_t)labels;
}

/* Its zone, or ZONE_NONE when the name could not be used. */
static int64_t place_service_name(struct tables *t, uint32_t service, const struct name *name,
				  const struct zone_records *a, const struct zone_records *aaaa)
{
	struct zone_match match;
	struct zone_node *node;
	int64_t i;

	if (!tables_find(t, name->b, name->n, name->labels, &match)) {
		log_warn("service=%s: one of its DNS names lies in none of the zones, left out",
			 t->services[service].name);
		return ZONE_NONE;
	}
	i = place_name(t, name, (uint32_t)(match.zone - t->zones));
	if (i < 0)
		return i;
	node = &t->nodes[i];
	if (node->service != ZONE_NONE) {
		log_warn("service=%s: one of its DNS names is %s's already, left out",
			 t->services[service].name, t->services[node->service].name);
		return ZONE_NONE;
	}
	node->service = service;
	node->rr[ZONE_A] = *a;
	node->rr[ZONE_AAAA] = *aaaa;
	return node->zone;
}

/* A zone of that one name, with the records of zone `like`. */
static int64_t zone_like(struct tables *t, const struct name *name, uint32_t like)
{
	int64_t zone = new_zone(t, name);
	uint32_t apex;

	if (zone < 0)
		return zone;
	apex = t->zones[zone].apex;
	t->zones[zone] = t->zones[like];
	t->zones[zone].apex = apex;
	t->zones[zone].name_n = name->n;
	show_apex(t, &t->zones[zone]);
	return zone;
}

static int place_reverse(struct tables *t, const struct ip_addr *addr, const struct zone_records *ptr,
			 uint32_t like)
{
	struct zone_match match;
	struct name name;
	int64_t zone, i;

	name_of_address(addr, &name);
	if (tables_find(t, name.b, name.n, name.labels, &match))
		zone = match.zone - t->zones;
	else
		zone = zone_like(t, &name, like);
	if (zone < 0)
		return (int)zone;
	i = place_name(t, &name, (uint32_t)zone);
	if (i < 0)
		return (int)i;
	if (t->nodes[i].rr[ZONE_PTR].count == 0)
		t->nodes[i].rr[ZONE_PTR] = *ptr;
	return 0;
}

static int place_service(struct tables *t, uint32_t service, uint32_t *zone, struct name *canonical)
{
	const struct unplaced *u = &t->unplaced[service];
	struct zone_records a, aaaa;
	int r = add_addresses(t, u, true, &a);

	if (r == 0)
		r = add_addresses(t, u, false, &aaaa);
	if (r < 0)
		return r;
	*zone = ZONE_NONE;
	for (unsigned i = 0; i < u->n_names; i++) {
		struct name name;
		int64_t in;

		nth_name(t, u, i, &name);
		in = place_service_name(t, service, &name, &a, &aaaa);
		if (in < 0)
			return (int)in;
		if (*zone == ZONE_NONE && in != ZONE_NONE) {
			*zone = (uint32_t)in;
			*canonical = name;
		}
	}
	return 0;
}

static int place_addresses(struct tables *t, uint32_t service, uint32_t zone, const struct name *canonical)
{
	const struct unplaced *u = &t->unplaced[service];
	struct zone_records ptr;
	int r = add_ptr(t, canonical, u->ttl_s, &ptr);

	for (unsigned i = 0; r == 0 && i < u->n_addrs; i++) {
		struct ip_addr a;

		memcpy(a.b, t->arena + u->addrs_at + i * sizeof(a), sizeof(a));
		r = place_reverse(t, &a, &ptr, zone);
	}
	return r;
}

/* A zone within another of ours: the names between the two exist in the outer one. */
static int nest_zone(struct tables *t, uint32_t zone)
{
	const struct zone_node *apex = &t->nodes[t->zones[zone].apex];
	struct name name = { .n = apex->name_n, .labels = apex->labels };
	struct zone_match outer;
	size_t parent_at;
	int64_t r;

	if (name.labels == 0)
		return 0;
	memcpy(name.b, t->arena + apex->name_at, apex->name_n);
	parent_at = name.b[0] + 1u;
	if (!tables_find(t, name.b + parent_at, name.n - parent_at, name.labels - 1u, &outer))
		return 0;
	r = place_name(t, &name, (uint32_t)(outer.zone - t->zones));
	return r < 0 ? (int)r : 0;
}

/* Reverse names come after every service's names: a configured zone may hold them. */
int tables_finish(struct tables *t)
{
	struct placed {
		uint32_t zone;
		struct name canonical;
	};
	cleanup_free struct placed *placed = calloc(t->n_services + 1, sizeof(*placed));
	uint32_t n_zones = t->n_zones;
	int r = placed ? 0 : -ENOMEM;

	for (uint32_t i = 0; r == 0 && i < n_zones; i++)
		r = nest_zone(t, i);
	for (uint32_t i = 0; r == 0 && i < t->n_services; i++)
		r = place_service(t, i, &placed[i].zone, &placed[i].canonical);
	for (uint32_t i = 0; r == 0 && i < t->n_services; i++)
		if (placed[i].zone != ZONE_NONE)
			r = place_addresses(t, i, placed[i].zone, &placed[i].canonical);
	free(t->unplaced);
	t->unplaced = NULL;
	return r;
}

/* ---- asking ---- */

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

const struct msg_dns_conf *tables_conf(const struct tables *t) { return &t->conf; }

const struct zone_forward *tables_forwards(const struct tables *t, unsigned *n)
{
	*n = t->n_forwards;
	return t->forwards;
}

bool tables_may_forward(const struct tables *t, const struct ip_addr *client)
{
	if (t->n_forwards == 0)
		return false;
	for (unsigned i = 0; i < t->n_allow; i++)
		if (prefix_contains(&t->allow[i], client))
			return true;
	return false;
}
