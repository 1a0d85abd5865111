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

/* Why there is no answer: with EDNS the client is told (RFC 8914). */
enum trouble {
	TROUBLE_START, /* the service could not be started */
	TROUBLE_SLOW, /* it did not start in time */
	TROUBLE_CROWD, /* too many queries wait */
	TROUBLE_CONFLICT, /* its address is in use elsewhere */
	TROUBLE_UPSTREAM, /* no upstream answered */
	TROUBLE_ASLEEP, /* it is not up, and queries do not wake it */
	TROUBLE_NAME, /* no service is made for such a name */
	TROUBLE_FULL, /* none more is made now: there are as many as there may be */
	TROUBLE_N
};

/* What else than waiting may come of a query that would have to wait for its service. */
enum wish {
	WISH_WAIT,
	WISH_NOW, /* the address, whatever the service does: whoever comes to it is held */
	WISH_PROVE, /* "show who you are", to a client that has not; else as WISH_GIVE_UP */
	WISH_GIVE_UP, /* the service's fallback address, or SERVFAIL */
};

/* Who asks, and when. */
struct asker {
	struct ip_addr addr;
	bool tcp;
	bool has_signed; /* and the signature is good: it is who it says */
	uint32_t now_s; /* of the wall clock; only cookies need it */
	const struct cookies *cookies; /* NULL: none are given or taken */
	unsigned keepalive_ms; /* TCP: how long the connection may idle (RFC 7828) */
	enum wish wish;
	enum trouble trouble; /* why it is given up */
};

enum verdict {
	VERDICT_DROP, /* no answer, ever */
	VERDICT_REPLY, /* n bytes, with this rcode */
	VERDICT_HOLD, /* wait for `service` */
	VERDICT_FORWARD, /* ask an upstream */
	VERDICT_SPECIAL, /* a signed query, NOTIFY, AXFR, IXFR: special.h */
};

struct answer {
	enum verdict verdict;
	size_t n;
	unsigned rcode;
	/* The service whose address was asked for, by its own name or an alias of ours; NULL else. */
	struct zone_service *service;
	bool wake; /* the launcher must hear that it is wanted */
	char label[MSG_NAME_MAX]; /* of a template: what stands for the asterisk; else "" */
	bool mark; /* its address was given out, or it runs: it counts as asked for */
	bool verified; /* TCP, a good signature or a good cookie: the client is where the packet says */
	enum wish wish; /* the asker's */
	enum trouble trouble; /* behind a SERVFAIL */
	struct wire_query q; /* all but VERDICT_DROP */
};

/* `reply` has WIRE_UDP_MAX bytes of room for UDP, ANSWER_SIZE_MAX for TCP; so below. */
void answer_query(struct tables *t, const struct asker *asker, const uint8_t *packet, size_t n, uint8_t *reply,
		  struct answer *out);

/* SERVFAIL for a query that parsed before.  The length. */
size_t answer_servfail(const struct wire_query *q, bool tcp, bool may_forward, enum trouble why,
		       uint8_t *reply);

/* For a client that asks too much over UDP: nothing but "ask over TCP" (TC), and its cookie; at most
 * one and a half times as long as the query was.  The length. */
size_t answer_slip(struct wire_query *q, uint8_t *reply);

/* For a client that must show that it is where its packet says: a good cookie to come back with, and BADCOOKIE, if
 * it knows cookies (RFC 7873, 5.2.3); else TC.  As long as answer_slip()'s.  *rcode is its rcode. */
size_t answer_prove(struct wire_query *q, uint8_t *reply, unsigned *rcode);

#endif
