/* What workers answer from, and how they learn of another one.
 *
 * The main thread publishes views; each worker is one of their readers, and holds the view for one batch
 * of queries at a time.  view_query() is pure but for the marks in the slots and the rate limiter's
 * table, which are shared by all threads.
 */
#ifndef DNS_VIEW_H
#define DNS_VIEW_H

#include <stdatomic.h>

#include "dns/answer.h"
#include "dns/changing.h"
#include "dns/count.h"
#include "dns/rate.h"

struct slots;

struct view {
	struct tables *tables; /* as they are, but for the services' states, which the main thread changes */
	struct cookies cookies;
	struct slots *slots; /* NULL: none */
	struct rate *rate;
	const struct changing *changing; /* NULL: none */
};

enum { VIEW_READERS_MAX = LISTEN_UDP_MAX };

struct view_reader {
	_Atomic uint64_t batch; /* odd while it is in one */
} __attribute__((aligned(64)));

struct views {
	_Atomic(const struct view *) now; /* NULL before the first */
	struct view room[2]; /* the one that is published, and the next */
	struct view_reader readers[VIEW_READERS_MAX];
};

/* A reader's batch.  What it sees of the view, and of the services' states, is at least as new as
 * whatever was published, or changed and settled, before. */
static inline const struct view *view_enter(struct views *v, unsigned reader)
{
	struct view_reader *r = &v->readers[reader];

	atomic_store(&r->batch, atomic_load_explicit(&r->batch, memory_order_relaxed) + 1);
	return atomic_load(&v->now);
}

static inline void view_leave(struct views *v, unsigned reader)
{
	struct view_reader *r = &v->readers[reader];

	atomic_store_explicit(&r->batch, atomic_load_explicit(&r->batch, memory_order_relaxed) + 1,
			      memory_order_release);
}

/* The main thread: a copy of `view` is what every batch from now on sees.  Returns when no reader is in an
 * earlier batch: what only the earlier view refers to can be freed. */
void views_publish(struct views *v, const struct view *view);
/* Returns when no reader is in a batch that began before. */
void views_settle(struct views *v);

/* What its network gets of this answer over UDP: the length.  Counts what it does not get. */
size_t view_limit(const struct tables *t, struct rate *rate, const struct ip_addr *client, uint64_t now_ns,
		  struct answer *a, uint8_t *reply, struct counts *counts);

enum view_pass { PASS_NOT, PASS_ANYBODY, PASS_VERIFIED };

/* A query that came over UDP: the length of its answer, or 0.  *pass, PASS_NOT before: it is the main thread's,
 * since something must happen first; and whose it is. */
size_t view_query(const struct view *v, const struct asker *asker, uint64_t now_ns, const uint8_t *packet,
		  size_t n, uint8_t *reply, struct counts *counts, enum view_pass *pass);

#endif
