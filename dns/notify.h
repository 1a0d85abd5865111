/* Telling secondaries that a zone has changed (RFC 1996): over UDP, from the address that we listen on, until
 * they say that they have heard it.
 */
#ifndef DNS_NOTIFY_H
#define DNS_NOTIFY_H

#include "dns/peers.h"
#include "dns/zone.h"

struct event_base;
struct notify;

enum {
	NOTIFY_MAX = 4096, /* secondaries being told at once, each of one zone */
	NOTIFY_SOCKETS_MAX = 64, /* of them, those that an answer is awaited from */
	NOTIFY_TRIES = 10,
	NOTIFY_WAIT_MS = 1000, /* until the second try; doubled each time ... */
	NOTIFY_WAIT_MAX_MS = 60000, /* ... up to this */
	NOTIFY_ANSWER_MS = 5000, /* an answer is awaited at most that long */
};

/* `wait_ms`: NOTIFY_WAIT_MS but for tests.  NULL: no memory. */
struct notify *notify_new(struct event_base *base, unsigned wait_ms);
void notify_free(struct notify *n);

/* We are asked there; the wildcard stands for any address. */
void notify_listen(struct notify *n, const struct ip_addr *addr);

/* The zone's secondaries shall hear of it as it is in these tables; what they were to hear of it before is
 * overtaken. */
void notify_zone(struct notify *n, const struct tables *t, uint32_t zone);
/* Forgets zones and secondaries that are not in these tables; the others' keys are these tables'. */
void notify_keep(struct notify *n, const struct tables *t);

unsigned notify_count(const struct notify *n); /* that have not answered yet */

/* Whether this, which came from the secondary, is the answer to the request with this chain (NULL: not signed)
 * and id: its rcode, or -EINVAL.  `packet` is changed and put back. */
int notify_answer(struct tsig_chain *chain, uint16_t id, uint8_t *packet, size_t size, uint64_t now_s);

#endif
