/* What we answer from: zones, the services' names and addresses, static records, and who may have
 * queries forwarded.  Built aside from the launcher's snapshot, then put in the old one's place at
 * once.
 *
 * Names are known by their lower-case wire form.  Records are made beforehand, as bytes to copy
 * behind the question: every owner is a compression pointer to the question's own name.
 */
#ifndef DNS_ZONE_H
#define DNS_ZONE_H

#include <stdatomic.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/msg.h"
#include "dns/name.h"

enum {
	ZONE_NONE = UINT32_MAX,
	ZONE_FORWARDS_MAX = 16,
	ZONE_ALLOW_MAX = 256,
	ZONE_NAMES_MAX = 1024 * 1024, /* names in all zones, with those between */
	ZONE_RRSET_MAX = 60 * 1024, /* bytes of one name's records of one type */
};

/* A service's addresses have up to three forms, each a set of its own at the node: as it is; with another TTL,
 * while its VM is not up; others in their place, when it cannot be had.  A transfer of the zone has the normal
 * ones alone; whoever signs, signs each. */
enum zone_variant { ZONE_NORMAL, ZONE_DOWN, ZONE_FALLBACK };

/* All records of one name and type. */
struct zone_rrset {
	uint32_t at; /* tables_bytes() */
	uint32_t next; /* of the same name, or ZONE_NONE */
	uint16_t type, count;
	uint16_t n, room; /* bytes, and how many there is place for */
	uint16_t sig_n; /* as many bytes of RRSIG records follow them */
	bool plain; /* no names in the data: its bytes are the answer */
	uint8_t variant; /* enum zone_variant */
};

enum {
	NODE_APEX = 1 << 0,
	NODE_CHILDREN = 1 << 1, /* there are names below it */
	NODE_SERVICE = 1 << 2, /* it or a name below it is a service's */
	NODE_CUT = 1 << 3, /* the zone ends here: NS, and not the apex */
	NODE_CNAME = 1 << 4,
	NODE_DNAME = 1 << 5,
	NODE_STATIC_NS = 1 << 6, /* an apex with NS from its zone file */
};

/* A name that exists; without records when it only lies between others. */
struct zone_node {
	uint32_t name_at, hash;
	uint8_t name_n, labels, flags;
	uint32_t zone;
	uint32_t service; /* or ZONE_NONE */
	uint32_t rrsets; /* the first, or ZONE_NONE */
	uint32_t parent; /* or ZONE_NONE: an apex */
	uint32_t wildcard; /* the node of "*" below it, or ZONE_NONE */
	uint32_t cut; /* the delegation at or above it, or ZONE_NONE */
};

struct zone {
	uint32_t apex; /* its node */
	uint8_t name_n;
	uint32_t ttl_s, serial;
	uint32_t longest_ttl_s; /* no record of it has a longer one */
	/* The SOA of a negative answer (RFC 2308, 3): its pointers (n_pointers of them, at these places)
	 * lead to the zone's own name, wherever that lies in the question.  Names within it that are
	 * not the zone's are whole. */
	struct zone_rrset negative;
	uint8_t n_pointers;
	uint16_t pointers[3];
	bool is_signed;
	uint32_t order_at, n_order; /* its names that have an NSEC: tables_denial() */
};

enum { ZONE_WAKE_PAUSE_MS = 50 }; /* between wakes of a service that nobody waits for */

struct zone_service {
	uint32_t svc, gen;
	/* The only words of published tables that change and that workers read. */
	_Atomic uint8_t state; /* enum service_state; below STATE_N */
	_Atomic uint8_t answer; /* enum answer_when; below ANSWER_N */
	uint8_t wake_dns; /* enum wake_dns; below WAKE_DNS_N */
	bool unknown; /* its IPv4 address will be known once it is up */
	bool template4, template6; /* as in its message: one that makes services for names */
	uint32_t max_hold_ms;
	char name[MSG_NAME_MAX];
	/* Wakes nobody waits for (serve.c): when the last was sent in this state for a client that is verified, and
	 * for one that is not, and the one that could not be sent, if wake_pending */
	uint64_t last_wake_ns[2];
	bool wake_pending;
	struct msg_wake pending;
	/* When a worker last passed on such a query of a client that is not verified, and of one that is: any
	 * thread's (view.c) */
	_Atomic uint64_t passed_ns[2];
};

static inline bool zone_service_is_template(const struct zone_service *s) { return s->template4 || s->template6; }

struct zone_forward {
	struct ip_addr addr;
	uint16_t port;
};

struct tables;
struct peers;

struct tables *tables_new(void); /* NULL: no memory */
struct tables *tables_ref(const struct tables *t); /* one more owner, of finished ones; returns it */
void tables_free(struct tables *t); /* by the last of its owners; NULL is fine */

/* From the snapshot's messages, in any order.  What cannot be used (a bad name, a name outside
 * every zone, a second service of the same name) is logged and left out.  0 or -ENOMEM, -ENOSPC. */
int tables_set_conf(struct tables *t, const struct msg_dns_conf *m);
int tables_add_zone(struct tables *t, const struct msg_dns_zone *m);
int tables_add_forward(struct tables *t, const struct msg_dns_forward *m);
int tables_add_allow(struct tables *t, const struct msg_dns_allow *m);
int tables_add_exempt(struct tables *t, const struct msg_dns_allow *m);
int tables_add_service(struct tables *t, const struct msg_dns_service *m);
/* After the zones that they are about. */
int tables_add_tsig_key(struct tables *t, const struct msg_dns_tsig_key *m);
int tables_add_secondary(struct tables *t, const struct msg_dns_secondary *m);
int tables_add_transfer(struct tables *t, const struct msg_dns_transfer *m);
/* Once, after all of them: the services' names are put into the zones. */
int tables_place(struct tables *t);

/* Then the records of zone files, one by one.  `name` and the names in the data in any case. */
struct zone_record {
	struct name name;
	uint16_t type;
	uint32_t ttl_s;
	const uint8_t *data;
	size_t n;
};
/* The zone with this name as it was configured, or ZONE_NONE. */
uint32_t tables_zone(const struct tables *t, const char *name);
/* 0; -EINVAL: the record cannot be in the zone, is left out, and *e says why; -ENOMEM, -ENOSPC: the
 * tables cannot be used any more. */
int tables_add_record(struct tables *t, uint32_t zone, const struct zone_record *record, struct err *e);

/* Last; afterwards the tables can be asked, and nothing be added. */
int tables_finish(struct tables *t);

/* What is odd about the finished zones, but no mistake: a sentence for each. */
void tables_warnings(const struct tables *t, void (*say)(void *arg, const char *sentence), void *arg);
const struct zone *tables_zone_at(const struct tables *t, uint32_t zone);
const char *tables_zone_name(const struct tables *t, uint32_t zone); /* of one that was configured, as it was */
/* The zones that were configured are those below this. */
uint32_t tables_zones(const struct tables *t);

/* ---- asking ---- */

struct zone_match {
	const struct zone *zone;
	const struct zone_node *node; /* NULL: no such name in the zone */
	const struct zone_node *encloser; /* the longest part of it that exists; `node` when that is all of it */
	unsigned apex_at; /* where the zone's own name begins within the name asked for */
};

/* False when the name (lower-case wire form) is in none of the zones. */
bool tables_find(const struct tables *t, const uint8_t *name, size_t name_n, unsigned labels,
		 struct zone_match *out);
/* Before a batch of packets is answered, one by one: brings what their questions will lead to nearer to the CPU.
 * Pure; they may be anything.  More than TABLES_TOUCH_MAX at once are left alone. */
enum { TABLES_TOUCH_MAX = 64 };
void tables_touch(const struct tables *t, const struct iovec *packets, unsigned n);
/* Its records of this type, or NULL. */
const struct zone_rrset *tables_rrset(const struct tables *t, const struct zone_node *node, unsigned type);
/* The same in this form, if there is one; NULL else. */
const struct zone_rrset *tables_variant(const struct tables *t, const struct zone_node *node, unsigned type,
					enum zone_variant variant);
/* The name of this signed zone that is `name` or comes before it (RFC 4034, 6.1); it has an NSEC. */
const struct zone_node *tables_denial(const struct tables *t, const struct zone *z, const uint8_t *name,
				      unsigned labels);
const struct zone_node *tables_node(const struct tables *t, uint32_t node); /* NULL for ZONE_NONE */
const uint8_t *tables_name(const struct tables *t, const struct zone_node *node);
/* All sets of a name, in all forms; NULL behind the last. */
const struct zone_rrset *tables_first(const struct tables *t, const struct zone_node *node);
const struct zone_rrset *tables_next(const struct tables *t, const struct zone_rrset *r);
const uint8_t *tables_bytes(const struct tables *t, const struct zone_rrset *r);
/* How many RRSIG records follow it. */
unsigned tables_signatures(const struct tables *t, const struct zone_rrset *r);

/* The service with this index and generation, or NULL. */
struct zone_service *tables_service(struct tables *t, uint32_t svc, uint32_t gen);
/* By place, from 0 (zone_node.service is one); NULL behind the last. */
struct zone_service *tables_service_at(struct tables *t, uint32_t place);

const struct msg_dns_conf *tables_conf(const struct tables *t);
const struct peers *tables_peers(const struct tables *t);
const struct zone_forward *tables_forwards(const struct tables *t, unsigned *n);
/* There is somewhere to forward to, and this client may. */
bool tables_may_forward(const struct tables *t, const struct ip_addr *client);
/* No rate limit is for this client. */
bool tables_is_exempt(const struct tables *t, const struct ip_addr *client);

#endif
