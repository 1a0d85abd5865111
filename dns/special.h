/* Queries that are not answered from the tables alone (VERDICT_SPECIAL): signed ones, those for whole zones,
 * and NOTIFY.  Main thread alone.
 *
 * A signed query of the ordinary kind is answered as it would be without its signature, and the answer is
 * signed, also when it had to wait.
 */
#ifndef DNS_SPECIAL_H
#define DNS_SPECIAL_H

#include "dns/answer.h"
#include "dns/client.h"

struct event_base;
struct special;

enum { SPECIAL_SIGNED_MAX = 1024 }; /* signed queries that wait; the oldest loses its answer */

struct special_ops {
	/* As client_query_fn, of a query without its signature; from->tsig is set. */
	client_query_fn *query;
	/* One message of a zone over TCP; bytes not sent yet; the end of a connection: tcp.h. */
	void (*send)(void *arg, const struct client *to, const uint8_t *packet, size_t n, bool last);
	size_t (*unsent)(void *arg, uint64_t conn);
	void (*close)(void *arg, uint64_t conn);
};

/* `ops` must outlive it; `notify_wait_ms`: NOTIFY_WAIT_MS but for tests.  NULL: no memory. */
struct special *special_new(struct event_base *base, const struct special_ops *ops, unsigned notify_wait_ms,
			    void *arg);
void special_free(struct special *s);

/* We listen there. */
void special_listen(struct special *s, const struct ip_addr *addr);
/* These tables are in force.  Kept by reference. */
void special_tables(struct special *s, const struct tables *t);

/* Of a query whose verdict was VERDICT_SPECIAL: as client_query_fn.  a->verified and a->rcode are set; the verdict
 * is VERDICT_REPLY, or still VERDICT_SPECIAL when the answer is ops->query's. */
size_t special_query(struct special *s, const struct client *from, const uint8_t *packet, size_t n,
		     struct answer *a, uint8_t *reply, bool *waits);
/* An answer that had to wait is signed, if to->tsig says so: its new length, 0 when it must not be sent.
 * `packet` has WIRE_TCP_MAX bytes of room. */
size_t special_sign(struct special *s, const struct client *to, uint8_t *packet, size_t n);

/* This TCP connection is gone; it has room again. */
void special_forget(struct special *s, uint64_t conn);
void special_room(struct special *s, uint64_t conn);

#endif
