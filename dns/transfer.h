/* Zones on their way out: AXFR (RFC 5936) and IXFR (RFC 1995), as many messages over TCP.  Who may have a
 * zone, the caller knows.
 *
 * A transfer is made of the tables it began with, message by message as its connection takes them.  At most
 * TRANSFERS_MAX go on at once, TRANSFERS_CLIENT_MAX to one address; and when those that go on keep more than
 * TRANSFERS_TABLES_MAX different tables, the ones of the oldest end.
 */
#ifndef DNS_TRANSFER_H
#define DNS_TRANSFER_H

#include "dns/client.h"
#include "dns/changes.h"
#include "dns/tsig.h"

struct event_base;
struct transfers;

enum {
	TRANSFERS_MAX = 64,
	TRANSFERS_CLIENT_MAX = 16,
	TRANSFERS_TABLES_MAX = 3,
	TRANSFER_MESSAGE = 16 * 1024, /* bytes at which one is sent: pointers reach no further */
	TRANSFER_UNSENT_MAX = 64 * 1024, /* of a connection: no more is made until less is waiting */
};

struct transfer_ops {
	/* One message; `last`: there are no more.  Must not come back into transfer.c. */
	void (*send)(void *arg, const struct client *to, const uint8_t *packet, size_t n, bool last);
	/* Bytes that the connection has not sent yet; SIZE_MAX: it is gone. */
	size_t (*unsent)(void *arg, uint64_t conn);
	/* Nothing more comes of a transfer that has begun: the connection shall end. */
	void (*abort)(void *arg, uint64_t conn);
};

/* What is asked for.  Borrowed; copied as far as it is needed. */
struct transfer_wish {
	struct client to;
	const struct wire_query *q;
	const struct tables *t;
	uint32_t zone;
	const struct tsig_chain *chain; /* the request was signed, and so is the answer; or NULL */
	struct change **changes; /* from the client's serial to that of the tables; taken */
	unsigned n_changes; /* 0: the whole zone */
};

/* `ops` must outlive it.  NULL: no memory. */
struct transfers *transfers_new(struct event_base *base, const struct transfer_ops *ops, void *arg);
void transfers_free(struct transfers *t);

/* 0, and the messages come through ops->send; -ENOMEM, -ENOSPC: too many go on.  The changes are gone in
 * any case. */
int transfer_begin(struct transfers *t, const struct transfer_wish *w);
/* The connection has room again. */
void transfer_go_on(struct transfers *t, uint64_t conn);
/* It is gone. */
void transfers_forget(struct transfers *t, uint64_t conn);
unsigned transfers_count(const struct transfers *t);

/* The changes in one message of at most `limit` bytes: its length, or 0 when they do not fit.  The changes
 * stay the caller's. */
size_t transfer_in_one(const struct transfer_wish *w, uint8_t *b, size_t limit);
/* Nothing but the zone's SOA. */
size_t transfer_soa(const struct wire_query *q, const struct tables *t, uint32_t zone, uint8_t *b, size_t limit);

#endif
