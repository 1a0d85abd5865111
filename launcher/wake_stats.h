/* How wakes ended, and how long their phases took: what trace.c's ring forgets, added up.  Pure.
 *
 * A phase lies between two marks of trace.h, always the same two, so that its times can be compared over
 * months; jitsuctl trace draws each wake in the order in which its own marks were reached instead.
 */
#ifndef LAUNCHER_WAKE_STATS_H
#define LAUNCHER_WAKE_STATS_H

#include "base/metric.h"
#include "launcher/trace.h"

enum wake_phase {
	PHASE_HEARD, /* from the query or packet until the launcher had it */
	PHASE_QUEUED, /* ... until the hypervisor was asked */
	PHASE_HYPERVISOR, /* its call */
	PHASE_LINK, /* from the call's begin until the first address answered */
	PHASE_PORT, /* ... until the last port was open */
	PHASE_MOVED, /* from the call's begin until the bridge sent frames to the VM's port */
	PHASE_RELEASED, /* ... until what was held was sent on */
	PHASE_FIRST_BYTE, /* ... until the VM's first byte to a client */
	PHASE_ANSWERED, /* from the query until it was answered */
	PHASE_FAILED, /* from the query or packet until it was given up */
	PHASE_UP, /* ... until it was up: the whole wake */
	PHASE_N
};

struct histogram {
	uint64_t sum_ns;
	uint64_t buckets[METRIC_BOUNDS_N + 1];
};

struct wake_stats {
	uint64_t ended[CAUSE_N][TRACE_RESULT_N];
	struct histogram phases[PHASE_N];
};

const char *wake_phase_name(unsigned phase);

/* That mark was just set. */
void wake_stats_mark(struct wake_stats *s, const struct wake_trace *w, enum trace_mark mark);
/* It has its result now. */
void wake_stats_end(struct wake_stats *s, const struct wake_trace *w);
/* One was refused before it was one. */
void wake_stats_refused(struct wake_stats *s, enum wake_cause cause);

#endif
