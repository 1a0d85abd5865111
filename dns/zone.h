/* What we answer from: zones, the services' names and addresses, and who may have queries
 * forwarded.  Built aside from the launcher's snapshot, then put in the old one's place at once.
 *
 * Names are known by their lower-case wire form.  Records are made beforehand, as bytes to copy
 * behind the question: every owner is a compression pointer to the question's own name (or to
 * its zone's part of it, for the SOA of a negative answer).
 */
#ifndef DNS_ZONE_H
#define DNS_ZONE_H

#include "base/msg.h"
#include "base/util.h"

enum {
	ZONE_NONE = UINT32_MAX,
	ZONE_FORWARDS_MAX = 16,
	ZONE_ALLOW_MAX = 256,
	ZONE_NAMES_MAX = 1024 * 1024, /* names in all zones, with those between */
};

enum zone_rr { ZONE_A, ZONE_AAAA, ZONE_NS, ZONE_SOA, ZONE_PTR, ZONE_RR_N };

struct zone_records {
	uint32_t at; /* zone_bytes() */
	uint16_t n, count;
};

/* A name that exists; without records when it only lies between others. */
struct zone_node {
	uint32_t name_at, hash;
	uint8_t name_n, labels;
	bool apex;
	uint32_t zone;
	uint32_t service; /* or ZONE_NONE */
	struct zone_records rr[ZONE_RR_N];
};

struct zone {
	uint32_t apex; /* its node */
	uint8_t name_n;
	uint32_t ttl_s;
	struct zone_records soa, negative_soa, ns;
};

struct zone_service {
	uint32_t svc, gen;
	uint8_t state; /* enum service_state; below STATE_N */
	uint8_t answer; /* enum answer_when; below ANSWER_N */
	uint32_t max_hold_ms;
	char name[MSG_NAME_MAX];
	/* Wakes nobody waits for (serve.c): when the last was sent in this state, and the one that
	 * could not be sent, if wake_pending */
	uint64_t last_wake_ns;
	bool wake_pending;
	struct msg_wake pending;
};

struct zone_forward {
	struct ip_addr addr;
	uint16_t port;
};

struct tables;

struct tables *tables_new(void); /* NULL: no memory */
void tables_free(struct tables *t); /* NULL is fine */

/* From the snapshot's messages, in any order.  What cannot be used (a bad name, a name outside
 * every zone, a second service of the same name) is logged and left out.  0 or -ENOMEM, -ENOSPC. */
int tables_set_conf(struct tables *t, const struct msg_dns_conf *m);
int tables_add_zone(struct tables *t, const struct msg_dns_zone *m);
int tables_add_forward(struct tables *t, const struct msg_dns_forward *m);
int tables_add_allow(struct tables *t, const struct msg_dns_allow *m);
int tables_add_service(struct tables *t, const struct msg_dns_service *m);
/* Afterwards the tables can be asked, and nothing be added. */
int tables_finish(struct tables *t);

/* ---- asking ---- */

struct zone_match {
	const struct zone *zone;
	const struct zone_node *node; /* NULL: no such name in the zone */
	unsigned apex_at; /* where the zone's own name begins within the name asked for */
};

/* False when the name (lower-case wire form) is in none of the zones. */
bool tables_find(const struct tables *t, const uint8_t *name, size_t name_n, unsigned labels,
		 struct zone_match *out);
const uint8_t *tables_bytes(const struct tables *t, const struct zone_records *r);

/* The service with this index and generation, or NULL. */
struct zone_service *tables_service(struct tables *t, uint32_t svc, uint32_t gen);
/* By place, from 0 (zone_node.service is one); NULL behind the last. */
struct zone_service *tables_service_at(struct tables *t, uint32_t place);

const struct msg_dns_conf *tables_conf(const struct tables *t);
const struct zone_forward *tables_forwards(const struct tables *t, unsigned *n);
/* There is somewhere to forward to, and this client may. */
bool tables_may_forward(const struct tables *t, const struct ip_addr *client);

#endif
