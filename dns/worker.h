/* A thread that answers what comes to one UDP socket.
 *
 * It does nothing but read, look up and send: whatever needs more than that goes to the main thread, as
 * it came.  It allocates nothing, logs nothing, and waits for nobody.
 */
#ifndef DNS_WORKER_H
#define DNS_WORKER_H

#include "dns/queue.h"
#include "dns/view.h"

struct worker;

struct worker_conf {
	int fd; /* a UDP socket that blocks */
	bool v6;
	bool any; /* not bound to one address: where a query was sent to is asked from the kernel */
	uint16_t place; /* of the socket: client.socket, and which of the readers it is */
	struct views *views; /* one is published */
	struct queue *queue; /* it alone puts */
	struct bell *bell;
	struct counts *counts; /* it alone counts */
};

/* Once for the process, before the first worker. */
void worker_init(void);

/* NULL with errno: no memory, no thread.  What conf points to must outlive it. */
struct worker *worker_new(const struct worker_conf *conf);
/* Returns when it has ended, which takes as long as a batch.  NULL is fine. */
void worker_free(struct worker *w);

#endif
