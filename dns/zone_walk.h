/* All records of a zone, as a secondary must have them: a transfer's contents. */
#ifndef DNS_ZONE_WALK_H
#define DNS_ZONE_WALK_H

#include "dns/zone.h"

/* A plain value; borrows the tables. */
struct zone_walk {
	const struct tables *t;
	uint32_t zone;
	uint32_t node, rrset; /* where it is */
	const struct zone_rrset *signed_set; /* its signatures are next */
	uint32_t other; /* a zone that was met, and whether it lies right below this one */
	bool other_is_below;
};

struct zone_set {
	const struct zone_node *owner;
	uint16_t type, count;
	const uint8_t *records; /* each WIRE_RECORD_HEAD and its data */
	size_t n;
};

void zone_walk_begin(struct zone_walk *w, const struct tables *t, uint32_t zone);
/* The next set, but for the SOA (the SOA's signatures are there): 1; 0: that was all; -EAGAIN: *budget, which
 * falls by one with each name that is looked at, is used up. */
int zone_walk_next(struct zone_walk *w, unsigned *budget, struct zone_set *out);

/* A walk of the zone would meet this record (WIRE_RECORD_HEAD and its data) at this name. */
bool zone_walk_has(const struct tables *t, uint32_t zone, const uint8_t *name, const uint8_t *record);

const struct zone_rrset *zone_soa(const struct tables *t, uint32_t zone);

#endif
