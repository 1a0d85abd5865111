/* Filling the tables: zone.c tells in which order. */
#include "dns/zone_internal.h"

#include "base/log.h"
#include "dns/peers.h"

/* ---- what the launcher says ---- */

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

static int add_prefix(struct ip_prefix *list, unsigned *n, const struct ip_prefix *prefix)
{
	if (*n == ZONE_ALLOW_MAX)
		return -ENOSPC;
	if (prefix->len <= 128)
		list[(*n)++] = *prefix;
	return 0;
}

int tables_add_allow(struct tables *t, const struct msg_dns_allow *m)
{
	return add_prefix(t->allow, &t->n_allow, &m->prefix);
}

int tables_add_exempt(struct tables *t, const struct msg_dns_allow *m)
{
	return add_prefix(t->exempt, &t->n_exempt, &m->prefix);
}

/* A new zone whose apex has this name, without records. */
static int64_t new_zone(struct tables *t, const struct name *name)
{
	struct zone *zones = tables_room(t->zones, t->n_zones, &t->zones_room, sizeof(*zones));
	uint32_t zone = t->n_zones;
	int64_t node;

	if (!zones)
		return -ENOMEM;
	t->zones = zones;
	node = tables_get_node(t, name->b, name->n, name->labels, name_hash(name->b, name->labels), zone, ZONE_NONE);
	if (node < 0)
		return node;
	t->nodes[node].flags |= NODE_APEX;
	t->zones[zone] = (struct zone){ .apex = (uint32_t)node, .name_n = name->n };
	t->n_zones++;
	return zone;
}

static int store_name(struct tables *t, const struct name *name, uint32_t *at)
{
	int64_t r = tables_store(t, name->b, name->n);

	if (r < 0)
		return (int)r;
	*at = (uint32_t)r;
	return 0;
}

static int draft_ns(struct tables *t, const struct msg_dns_zone *m, struct draft *d)
{
	struct name name;
	uint32_t at = 0;
	int r = 0;

	for (unsigned i = 0; r == 0 && i < m->n_ns; i++) {
		if (!name_from_text(m->ns[i].text, &name)) {
			log_warn("zone %s: \"%s\" is no DNS name, left out of its NS", m->name, m->ns[i].text);
			continue;
		}
		r = store_name(t, &name, &at);
		if (d->n_ns++ == 0)
			d->ns_at = d->primary_at = at;
	}
	return r;
}

static int new_draft(struct tables *t, const struct msg_dns_zone *m, const struct name *apex,
		     const struct name *mailbox)
{
	struct draft *drafts = tables_room(t->drafts, t->n_drafts, &t->drafts_room, sizeof(*drafts));
	struct draft *d;
	int r;

	if (!drafts)
		return -ENOMEM;
	t->drafts = drafts;
	d = &drafts[t->n_drafts];
	*d = (struct draft){ .serial = m->serial, .refresh_s = m->refresh_s, .retry_s = m->retry_s,
			     .expire_s = m->expire_s, .minimum_s = m->minimum_s, .ttl_s = m->ttl_s };
	str_copy(d->name, m->name);
	r = store_name(t, apex, &d->primary_at);
	if (r == 0)
		r = store_name(t, mailbox, &d->mailbox_at);
	if (r == 0)
		r = draft_ns(t, m, d);
	if (r == 0)
		t->n_drafts++;
	return r;
}

int tables_add_zone(struct tables *t, const struct msg_dns_zone *m)
{
	struct name apex, mailbox;
	struct zone_match match;
	int64_t zone;

	if (!name_from_text(m->name, &apex)) {
		log_warn("zone \"%s\" left out: no DNS name", m->name);
		return 0;
	}
	if (tables_find(t, apex.b, apex.n, apex.labels, &match) && match.node) {
		log_warn("zone %s is there twice: the first counts", m->name);
		return 0;
	}
	if (!name_from_text(m->hostmaster, &mailbox)) {
		log_warn("zone %s: hostmaster \"%s\" is no DNS name, zone left out", m->name, m->hostmaster);
		return 0;
	}
	zone = new_zone(t, &apex);
	if (zone < 0)
		return (int)zone;
	t->zones[zone].ttl_s = m->ttl_s;
	return new_draft(t, m, &apex, &mailbox);
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
		r = tables_store(t, name.b, name.n);
		if (r < 0)
			return (int)r;
		u->n_names++;
	}
	return 0;
}

static int services_room(struct tables *t)
{
	uint32_t room = t->services_room; /* both grow together */
	struct unplaced *unplaced = tables_room(t->unplaced, t->n_services, &room, sizeof(*unplaced));
	struct zone_service *services;

	if (!unplaced)
		return -ENOMEM;
	t->unplaced = unplaced;
	services = tables_room(t->services, t->n_services, &t->services_room, sizeof(*services));
	if (!services)
		return -ENOMEM;
	t->services = services;
	return 0;
}

int tables_add_service(struct tables *t, const struct msg_dns_service *m)
{
	struct unplaced u = { .ttl_s = m->ttl_s, .ttl_down_s = MIN(m->ttl_down_s, m->ttl_s), .n_addrs = m->n_addrs,
			      .n_fallback = m->n_fallback, .zone = ZONE_NONE };
	struct zone_service *s;
	int64_t at;
	int r;

	if (m->svc >= SLOTS_MAX || t->by_svc[m->svc] != SVC_NONE || m->state >= STATE_N ||
	    m->answer >= ANSWER_N || m->wake_dns >= WAKE_DNS_N) {
		log_warn("service=%s left out: the launcher's message makes no sense", m->name);
		return 0;
	}
	if (services_room(t) < 0)
		return -ENOMEM;
	r = keep_names(t, m, &u);
	if (r < 0)
		return r;
	at = tables_store(t, m->addrs, m->n_addrs * sizeof(m->addrs[0]));
	if (at < 0)
		return (int)at;
	u.addrs_at = (uint32_t)at;
	at = tables_store(t, m->fallback, m->n_fallback * sizeof(m->fallback[0]));
	if (at < 0)
		return (int)at;
	u.fallback_at = (uint32_t)at;
	t->by_svc[m->svc] = (uint16_t)t->n_services;
	t->unplaced[t->n_services] = u;
	s = &t->services[t->n_services++];
	*s = (struct zone_service){ .svc = m->svc, .gen = m->gen, .state = m->state, .answer = m->answer,
				    .wake_dns = m->wake_dns, .unknown = m->unknown, .max_hold_ms = m->max_hold_ms,
				    .template4 = m->template4, .template6 = m->template6 };
	str_copy(s->name, m->name);
	return 0;
}

/* ---- other servers ---- */

int tables_add_tsig_key(struct tables *t, const struct msg_dns_tsig_key *m) { return peers_add_key(t->peers, m); }

int tables_add_secondary(struct tables *t, const struct msg_dns_secondary *m)
{
	uint32_t zone = tables_zone(t, m->zone);

	return zone == ZONE_NONE ? 0 : peers_add_secondary(t->peers, zone, m);
}

int tables_add_transfer(struct tables *t, const struct msg_dns_transfer *m)
{
	uint32_t zone = tables_zone(t, m->zone);

	return zone == ZONE_NONE ? 0 : peers_add_transfer(t->peers, zone, m);
}

/* ---- services' names ---- */

static void mark_service(struct tables *t, uint32_t node, uint32_t service)
{
	t->nodes[node].service = service;
	for (uint32_t i = node; i != ZONE_NONE; i = t->nodes[i].parent)
		t->nodes[i].flags |= NODE_SERVICE;
}

static void nth_address(const struct tables *t, uint32_t at, unsigned nth, struct ip_addr *out)
{
	memcpy(out->b, t->arena + at + nth * sizeof(*out), sizeof(*out));
}

/* The n addresses that lie there. */
static int add_addresses(struct tables *t, uint32_t node, enum zone_variant variant, uint32_t ttl_s, uint32_t at,
			 unsigned n)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < n; i++) {
		struct ip_addr a;
		bool v4;

		nth_address(t, at, i, &a);
		v4 = ip_is_v4(&a);
		r = tables_add_variant(t, node, v4 ? TYPE_A : TYPE_AAAA, variant, ttl_s, v4 ? a.b + 12 : a.b,
				       v4 ? 4 : 16);
	}
	return r;
}

/* In all forms; the one that is wanted most comes last, and so is found first. */
static int add_forms(struct tables *t, uint32_t node, const struct unplaced *u)
{
	int r = add_addresses(t, node, ZONE_FALLBACK, u->ttl_down_s, u->fallback_at, u->n_fallback);

	if (r == 0 && u->ttl_down_s != u->ttl_s)
		r = add_addresses(t, node, ZONE_DOWN, u->ttl_down_s, u->addrs_at, u->n_addrs);
	return r == 0 ? add_addresses(t, node, ZONE_NORMAL, u->ttl_s, u->addrs_at, u->n_addrs) : r;
}

/* Its zone, or ZONE_NONE when the name could not be used. */
static int64_t place_service_name(struct tables *t, uint32_t service, const struct name *name)
{
	struct zone_match match;
	int64_t i;
	int r;

	if (!tables_find(t, name->b, name->n, name->labels, &match)) {
		log_warn("service=%s: one of its DNS names lies in none of the zones, left out",
			 t->services[service].name);
		return ZONE_NONE;
	}
	i = tables_place_name(t, name, (uint32_t)(match.zone - t->zones), NULL);
	if (i < 0)
		return i;
	if (t->nodes[i].service != ZONE_NONE) {
		log_warn("service=%s: one of its DNS names is %s's already, left out",
			 t->services[service].name, t->services[t->nodes[i].service].name);
		return ZONE_NONE;
	}
	mark_service(t, (uint32_t)i, service);
	r = add_forms(t, (uint32_t)i, &t->unplaced[service]);
	return r < 0 ? r : (int64_t)t->nodes[i].zone;
}

static int place_service(struct tables *t, uint32_t service)
{
	struct unplaced *u = &t->unplaced[service];
	uint32_t at = u->names_at;

	for (unsigned i = 0; i < u->n_names; i++) {
		struct name name;
		int64_t in;

		tables_name_at(t, at, &name);
		in = place_service_name(t, service, &name);
		if (in < 0)
			return (int)in;
		if (u->zone == ZONE_NONE && in != ZONE_NONE) {
			u->zone = (uint32_t)in;
			u->canonical_at = at;
		}
		at += name.n;
	}
	return 0;
}

/* A zone within another of ours: the names between the two exist in the outer one. */
static int nest_zone(struct tables *t, uint32_t zone)
{
	const struct zone_node *apex = &t->nodes[t->zones[zone].apex];
	struct zone_match outer;
	struct name name;
	size_t parent_at;
	int64_t r;

	if (apex->labels == 0)
		return 0;
	tables_name_at(t, apex->name_at, &name);
	parent_at = name.b[0] + 1u;
	if (!tables_find(t, name.b + parent_at, name.n - parent_at, name.labels - 1u, &outer))
		return 0;
	r = tables_place_name(t, &name, (uint32_t)(outer.zone - t->zones), NULL);
	return r < 0 && r != -EXDEV ? (int)r : 0;
}

int tables_place(struct tables *t)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < t->n_zones; i++)
		r = nest_zone(t, i);
	for (uint32_t i = 0; r == 0 && i < t->n_services; i++)
		r = place_service(t, i);
	return r;
}

uint32_t tables_zone(const struct tables *t, const char *name)
{
	struct zone_match match;
	struct name n;

	if (!name_from_text(name, &n) || !tables_find(t, n.b, n.n, n.labels, &match) || !match.node ||
	    !(match.node->flags & NODE_APEX))
		return ZONE_NONE;
	return match.node->zone;
}

/* ---- finishing ---- */

/* A zone of that one name, with the records of zone `like`. */
static int64_t zone_like(struct tables *t, const struct name *name, uint32_t like)
{
	int64_t zone = new_zone(t, name);
	uint32_t from = t->zones[like].apex, apex;
	int r;

	if (zone < 0)
		return zone;
	apex = t->zones[zone].apex;
	t->zones[zone].ttl_s = t->zones[like].ttl_s;
	t->zones[zone].serial = t->zones[like].serial;
	r = tables_share_rrset(t, apex, from, TYPE_NS);
	if (r == 0)
		r = tables_share_rrset(t, apex, from, TYPE_SOA);
	return r < 0 ? r : zone;
}

static bool may_have_ptr(const struct tables *t, const struct zone_match *m)
{
	const struct zone_node *above = m->node ? tables_node(t, m->node->parent) : m->encloser;

	if (m->node && (tables_rrset(t, m->node, TYPE_PTR) || m->node->flags & NODE_CNAME))
		return false; /* its zone's file says what it is */
	for (; above; above = tables_node(t, above->parent))
		if (above->flags & (NODE_DNAME | NODE_CUT))
			return false;
	return true;
}

static int place_reverse(struct tables *t, const struct ip_addr *addr, const struct name *target, uint32_t ttl_s,
			 uint32_t like)
{
	struct zone_match match;
	struct name name;
	int64_t zone, i;

	name_of_address(addr, &name);
	if (!tables_find(t, name.b, name.n, name.labels, &match))
		zone = zone_like(t, &name, like);
	else if (may_have_ptr(t, &match))
		zone = match.zone - t->zones;
	else
		return 0;
	if (zone < 0)
		return (int)zone;
	i = tables_place_name(t, &name, (uint32_t)zone, NULL);
	if (i < 0)
		return (int)i;
	return tables_add_data(t, (uint32_t)i, TYPE_PTR, ttl_s, target->b, target->n);
}

static int place_addresses(struct tables *t, const struct unplaced *u)
{
	struct name canonical;
	int r = 0;

	if (u->zone == ZONE_NONE)
		return 0;
	tables_name_at(t, u->canonical_at, &canonical);
	for (unsigned i = 0; r == 0 && i < u->n_addrs; i++) {
		struct ip_addr a;

		nth_address(t, u->addrs_at, i, &a);
		r = place_reverse(t, &a, &canonical, u->ttl_s, u->zone);
	}
	return r;
}

static int finish_ns(struct tables *t, uint32_t apex, const struct draft *d)
{
	uint32_t at = d->ns_at;
	int r = 0;

	if (t->nodes[apex].flags & NODE_STATIC_NS)
		return 0;
	for (unsigned i = 0; r == 0 && i < d->n_ns; i++) {
		struct name name;

		tables_name_at(t, at, &name);
		r = tables_add_data(t, apex, TYPE_NS, d->ttl_s, name.b, name.n);
		at += name.n;
	}
	return r;
}

static int finish_soa(struct tables *t, uint32_t apex, const struct draft *d)
{
	uint8_t b[2 * WIRE_NAME_MAX + 20], *p = b;
	struct name name;

	tables_name_at(t, d->primary_at, &name);
	memcpy(p, name.b, name.n);
	p += name.n;
	tables_name_at(t, d->mailbox_at, &name);
	memcpy(p, name.b, name.n);
	p += name.n;
	p = wire_put32(p, d->serial);
	p = wire_put32(p, d->refresh_s);
	p = wire_put32(p, d->retry_s);
	p = wire_put32(p, d->expire_s);
	p = wire_put32(p, d->minimum_s);
	return tables_add_data(t, apex, TYPE_SOA, d->ttl_s, b, (size_t)(p - b));
}

/* The name with its end, if that is the zone's name, as a pointer whose place is noted. */
static uint8_t *put_ending(uint8_t *p, const struct tables *t, struct zone *z, const uint8_t *base,
			   const struct name *name)
{
	struct name lower = *name;
	size_t head_n = name->n - (size_t)z->name_n;

	wire_lower(lower.b, name->b, name->n);
	if (z->name_n == 1 || !tables_is_in_zone(t, &lower, z)) {
		memcpy(p, name->b, name->n);
		return p + name->n;
	}
	memcpy(p, name->b, head_n);
	z->pointers[z->n_pointers++] = (uint16_t)(p + head_n - base);
	return wire_put16(p + head_n, WIRE_OWNER_QUESTION);
}

/* The SOA of negative answers: RFC 2308, 3 and 5 want the lesser of its TTL and MINIMUM. */
static int finish_negative(struct tables *t, uint32_t zone)
{
	struct zone *z = &t->zones[zone];
	const struct zone_rrset *soa = tables_rrset(t, &t->nodes[z->apex], TYPE_SOA);
	uint8_t b[WIRE_RECORD_HEAD + 2 * WIRE_NAME_MAX + 20], *p = b + WIRE_RECORD_HEAD;
	const uint8_t *from = t->arena + soa->at;
	uint32_t ttl_s, at = soa->at + WIRE_RECORD_HEAD;
	int64_t stored;

	z->pointers[z->n_pointers++] = 0;
	for (unsigned i = 0; i < 2; i++) {
		struct name name;

		tables_name_at(t, at, &name);
		p = put_ending(p, t, z, b, &name);
		at += name.n;
	}
	memcpy(p, t->arena + at, 20);
	ttl_s = MIN((uint32_t)wire_get16(p + 16) << 16 | wire_get16(p + 18),
		    (uint32_t)wire_get16(from + 6) << 16 | wire_get16(from + 8));
	p += 20;
	tables_put_head(b, TYPE_SOA, ttl_s, (size_t)(p - b) - WIRE_RECORD_HEAD);
	stored = tables_store(t, b, (size_t)(p - b));
	if (stored < 0)
		return (int)stored;
	z->negative = (struct zone_rrset){ .at = (uint32_t)stored, .next = ZONE_NONE, .type = TYPE_SOA, .count = 1,
					   .n = (uint16_t)(p - b) };
	return 0;
}

static int finish_zone(struct tables *t, uint32_t zone)
{
	const struct draft *d = &t->drafts[zone];
	uint32_t apex = t->zones[zone].apex;
	int r = finish_ns(t, apex, d);

	t->zones[zone].serial = d->serial;
	return r == 0 ? finish_soa(t, apex, d) : r;
}

/* Every name learns of the delegation that it lies at or below.  A parent comes before its
 * children, but for apexes, which have none. */
static void finish_cuts(struct tables *t)
{
	for (uint32_t i = 0; i < t->n_nodes; i++) {
		struct zone_node *node = &t->nodes[i];
		uint32_t above = node->parent == ZONE_NONE ? ZONE_NONE : t->nodes[node->parent].cut;

		node->cut = above == ZONE_NONE && node->flags & NODE_CUT ? i : above;
	}
}

int tables_finish(struct tables *t)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < t->n_drafts; i++)
		r = finish_zone(t, i);
	for (uint32_t i = 0; r == 0 && i < t->n_services; i++)
		r = place_addresses(t, &t->unplaced[i]);
	for (uint32_t i = 0; r == 0 && i < t->n_zones; i++)
		r = finish_negative(t, i);
	finish_cuts(t);
	free(t->unplaced);
	t->unplaced = NULL;
	return r;
}

/* ---- warnings ---- */

/* The name of a server of `owner` lies in this zone, and nobody could learn an address for it. */
static bool has_no_address(const struct tables *t, uint32_t zone, const struct zone_node *owner,
			   const struct name *name)
{
	struct zone_match match;
	struct name lower = *name;

	wire_lower(lower.b, name->b, name->n);
	if (!tables_is_in_zone(t, &lower, &t->zones[zone]) || !tables_find(t, lower.b, lower.n, lower.labels, &match) ||
	    match.zone != &t->zones[zone])
		return false;
	if (!match.node && match.encloser->cut != ZONE_NONE && &t->nodes[match.encloser->cut] != owner)
		return false; /* other servers know */
	if (!match.node)
		match.node = tables_node(t, match.encloser->wildcard);
	return !match.node || (!tables_rrset(t, match.node, TYPE_A) && !tables_rrset(t, match.node, TYPE_AAAA));
}

static void warn_ns(const struct tables *t, const struct zone_node *node,
		    void (*say)(void *arg, const char *sentence), void *arg)
{
	const struct zone_rrset *ns = tables_rrset(t, node, TYPE_NS);
	uint32_t at = ns ? ns->at + WIRE_RECORD_HEAD : 0;

	for (unsigned i = 0; ns && i < ns->count; i++) {
		char owner[NAME_TEXT_MAX], target[NAME_TEXT_MAX], text[MSG_TEXT_MAX];
		struct name name;

		tables_name_at(t, at, &name);
		at += name.n + (uint32_t)WIRE_RECORD_HEAD;
		if (!has_no_address(t, node->zone, node, &name))
			continue;
		snprintf(text, sizeof(text), "%.180s has the name server %.180s, which has no address",
			 name_to_text(tables_name(t, node), owner), name_to_text(name.b, target));
		say(arg, text);
	}
}

void tables_warnings(const struct tables *t, void (*say)(void *arg, const char *sentence), void *arg)
{
	for (uint32_t i = 0; i < t->n_nodes; i++) /* (not of the zones that are made of one reverse name) */
		if (t->nodes[i].zone < t->n_drafts && t->nodes[i].flags & (NODE_APEX | NODE_CUT))
			warn_ns(t, &t->nodes[i], say, arg);
}
