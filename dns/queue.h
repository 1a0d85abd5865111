/* Queries on their way from a worker to the main thread.  One thread puts, one gets, and neither ever
 * waits for the other.
 */
#ifndef DNS_QUEUE_H
#define DNS_QUEUE_H

#include <stdatomic.h>

#include "dns/client.h"

enum {
	QUEUE_BYTES = 256 * 1024, /* some 1,500 ordinary queries */
	QUEUE_VERIFIED_BYTES = 64 * 1024, /* of which only clients that are verified have the use */
	QUEUE_PACKET_MAX = 4096,
};

struct queue;

struct queue *queue_new(void); /* NULL: no memory */
void queue_free(struct queue *q); /* NULL is fine */

/* False when it is full, for such a client (from->verified).  n is at most QUEUE_PACKET_MAX. */
bool queue_put(struct queue *q, const struct client *from, const uint8_t *packet, size_t n);
/* The oldest: `packet` has QUEUE_PACKET_MAX bytes of room.  False when there is none. */
bool queue_get(struct queue *q, struct client *from, uint8_t *packet, size_t *n);

/* Wakes the main thread, once until it has looked. */
struct bell {
	int fd; /* an eventfd; the owner reads it when it is readable, by bell_heard() */
	_Atomic bool rung;
};

int bell_open(struct bell *b); /* 0 or -errno */
void bell_close(struct bell *b);
void bell_ring(struct bell *b);
/* Before the queues are looked at. */
void bell_heard(struct bell *b);

#endif
