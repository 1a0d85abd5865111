/* What zone.c (tables and looking up) and zone_build.c (filling them) share. */
#ifndef DNS_ZONE_INTERNAL_H
#define DNS_ZONE_INTERNAL_H

#include "base/slots.h"
#include "dns/zone.h"

#define SVC_NONE UINT16_MAX

/* What tables_finish() still has to do for a service. */
struct unplaced {
	uint32_t ttl_s, ttl_down_s;
	uint32_t names_at, addrs_at, fallback_at; /* in the arena: names one behind the other; 16 bytes each */
	uint16_t n_names, n_addrs, n_fallback;
	uint32_t zone; /* of its first name that could be used, or ZONE_NONE */
	uint32_t canonical_at; /* that name */
};

/* What tables_finish() makes SOA and NS of, unless the zone's file has them. */
struct draft {
	uint32_t serial, refresh_s, retry_s, expire_s, minimum_s, ttl_s;
	uint32_t primary_at, mailbox_at, ns_at; /* in the arena */
	uint16_t n_ns;
	bool from_file; /* the SOA */
	char name[MSG_DOMAIN_NAME_MAX];
};

struct tables {
	uint8_t *arena;
	size_t arena_n, arena_room;
	struct zone_node *nodes;
	uint32_t n_nodes, nodes_room;
	uint32_t *buckets; /* of nodes; ZONE_NONE: empty */
	uint32_t n_buckets; /* a power of two, at least twice n_nodes */
	unsigned max_labels;
	uint32_t *order; /* names of signed zones (nsec.h), by zone and name */
	uint32_t n_order;
	struct zone_rrset *rrsets;
	uint32_t n_rrsets, rrsets_room;
	struct zone *zones;
	uint32_t n_zones, zones_room;
	struct draft *drafts; /* of the zones below n_drafts */
	uint32_t n_drafts, drafts_room;
	struct zone_service *services;
	struct unplaced *unplaced;
	uint32_t n_services, services_room;
	uint16_t by_svc[SLOTS_MAX];
	struct zone_forward forwards[ZONE_FORWARDS_MAX];
	unsigned n_forwards;
	struct ip_prefix allow[ZONE_ALLOW_MAX], exempt[ZONE_ALLOW_MAX];
	unsigned n_allow, n_exempt;
	struct msg_dns_conf conf;
	struct peers *peers;
	unsigned owners; /* beyond the first */
};

/* The array with room for one more element of `size` bytes; NULL: no memory, it is as before. */
void *tables_room(void *array, uint32_t n, uint32_t *room, size_t size);
/* The offset in the arena, or -errno; `bytes` must not lie there, and may be NULL. */
int64_t tables_store(struct tables *t, const void *bytes, size_t n);
/* The name that lies there. */
void tables_name_at(const struct tables *t, uint32_t at, struct name *out);
/* The node of this name, made when there is none yet; -errno when it cannot be. */
int64_t tables_get_node(struct tables *t, const uint8_t *name, size_t n, unsigned labels, uint32_t hash,
			uint32_t zone, uint32_t parent);

/* ---- zone_rrset.c ---- */

/* The head of a record whose owner is the question's name.  Where its data begins. */
uint8_t *tables_put_head(uint8_t *p, unsigned type, uint32_t ttl_s, size_t n);
/* One more record at the node; `data` not in the arena.  A record that is there already is not added
 * again (RFC 2181, 5).  -E2BIG: the set would be too large. */
int tables_add_data(struct tables *t, uint32_t node, unsigned type, uint32_t ttl_s, const uint8_t *data, size_t n);
/* The same for a form of the set that is not the normal one. */
int tables_add_variant(struct tables *t, uint32_t node, unsigned type, enum zone_variant variant, uint32_t ttl_s,
		       const uint8_t *data, size_t n);
bool tables_has_record(const struct tables *t, const struct zone_rrset *set, const uint8_t *data, size_t n);
/* The records of another node's set at this one: the same bytes. */
int tables_share_rrset(struct tables *t, uint32_t node, uint32_t from, unsigned type);
/* The node of this name in its zone, and those of the names between it and the apex.  -EXDEV: it
 * lies in another of our zones; then *where, which may be NULL, is that zone's apex. */
int64_t tables_place_name(struct tables *t, const struct name *name, uint32_t zone, uint32_t *where);
/* In lower case. */
bool tables_is_in_zone(const struct tables *t, const struct name *name, const struct zone *z);

#endif
