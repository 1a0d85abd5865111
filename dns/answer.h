/* From a query's bytes and the tables to an answer's bytes, or to what must happen first.  Pure:
 * no sockets, no clock, nothing remembered.
 *
 * A query that was held is simply asked again when the state of its service has changed.
 */
#ifndef DNS_ANSWER_H
#define DNS_ANSWER_H

#include "dns/cookie.h"
#include "dns/wire.h"
#include "dns/zone.h"

enum {
	ANSWER_SIZE_MAX = WIRE_TCP_MAX,
	ANSWER_CHAIN_MAX = 16, /* aliases followed: then the client may go on from the last */
};

/* Who asks, and when. */
struct asker {
	struct ip_addr addr;
	bool tcp;
	uint32_t now_s; /* of the wall clock; only cookies need it */
	const struct cookies *cookies; /* NULL: none are given or taken */
	unsigned keepalive_ms; /* TCP: how long the connection may idle (RFC 7828) */
};

enum verdict {
	VERDICT_DROP, /* no answer, ever */
	VERDICT_REPLY, /* n bytes, with this rcode */
	VERDICT_HOLD, /* wait for `service` */
	VERDICT_FORWARD, /* ask an upstream */
};

struct answer {
	enum verdict verdict;
	size_t n;
	unsigned rcode;
	/* The service whose address was asked for, by its own name or an alias of ours; NULL else. */
	struct zone_service *service;
	bool wake; /* the launcher must hear that it is wanted */
	bool mark; /* its address was given out, or it runs: it counts as asked for */
	bool verified; /* TCP or a good cookie: the client is where the packet says */
	struct wire_query q; /* all but VERDICT_DROP */
};

/* `reply` has WIRE_UDP_MAX bytes of room for UDP, ANSWER_SIZE_MAX for TCP; so below. */
void answer_query(struct tables *t, const struct asker *asker, const uint8_t *packet, size_t n, uint8_t *reply,
		  struct answer *out);

/* Why there is no answer: with EDNS the client is told (RFC 8914). */
enum trouble {
	TROUBLE_START, /* the service could not be started */
	TROUBLE_SLOW, /* it did not start in time */
	TROUBLE_CROWD, /* too many queries wait */
	TROUBLE_CONFLICT, /* its address is in use elsewhere */
	TROUBLE_UPSTREAM, /* no upstream answered */
	TROUBLE_N
};

/* SERVFAIL for a query that parsed before.  The length. */
size_t answer_servfail(const struct wire_query *q, bool tcp, bool may_forward, enum trouble why,
		       uint8_t *reply);

/* For a client that asks too much over UDP: nothing but "ask over TCP" (TC), and its cookie; at most
 * one and a half times as long as the query was.  The length. */
size_t answer_slip(struct wire_query *q, uint8_t *reply);

#endif
