#include "launcher/wake_stats.h"

#include <assert.h>

static const struct {
	const char *name;
	enum trace_mark from, to;
} phases[] = {
	[PHASE_HEARD] = { "heard", MARK_QUERY, MARK_WAKE },
	[PHASE_QUEUED] = { "queued", MARK_WAKE, MARK_START },
	[PHASE_HYPERVISOR] = { "hypervisor", MARK_START, MARK_RUNNING },
	[PHASE_LINK] = { "link", MARK_START, MARK_LINK },
	[PHASE_PORT] = { "port", MARK_LINK, MARK_PORT },
	[PHASE_MOVED] = { "moved", MARK_START, MARK_MOVED },
	[PHASE_RELEASED] = { "released", MARK_MOVED, MARK_RELEASED },
	[PHASE_FIRST_BYTE] = { "first_byte", MARK_RELEASED, MARK_FIRST_BYTE },
	[PHASE_ANSWERED] = { "answered", MARK_QUERY, MARK_ANSWERED },
	[PHASE_FAILED] = { "failed", MARK_QUERY, MARK_FAILED },
	[PHASE_UP] = { "up", MARK_QUERY, MARK_UP },
};
static_assert(ARRAY_SIZE(phases) == PHASE_N, "a phase has no name");

const char *wake_phase_name(unsigned phase) { return phase < PHASE_N ? phases[phase].name : "?"; }

static void observe(struct histogram *h, uint64_t ns)
{
	h->sum_ns += ns;
	h->buckets[metric_bucket(ns)]++;
}

/* A mark that another process timed may be a little before the one that we set. */
void wake_stats_mark(struct wake_stats *s, const struct wake_trace *w, enum trace_mark mark)
{
	for (unsigned i = 0; i < PHASE_N; i++) {
		uint64_t from = w->at_ns[phases[i].from], to = w->at_ns[mark];

		if (phases[i].to == mark && from)
			observe(&s->phases[i], to > from ? to - from : 0);
	}
}

void wake_stats_end(struct wake_stats *s, const struct wake_trace *w)
{
	if (w->cause < CAUSE_N)
		s->ended[w->cause][w->result]++;
}

void wake_stats_refused(struct wake_stats *s, enum wake_cause cause)
{
	if (cause < CAUSE_N)
		s->ended[cause][TRACE_REFUSED]++;
}
