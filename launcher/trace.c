#include "launcher/trace.h"

#include <assert.h>

#include "base/clock.h"
#include "launcher/wake_stats.h"

struct trace {
	uint64_t newest;
	trace_fn *fn; /* NULL: nobody listens */
	void *arg;
	struct wake_stats stats;
	struct wake_trace ring[TRACE_MAX];
};

static const char *const result_names[] = {
	[TRACE_UNDER_WAY] = "under way",
	[TRACE_UP] = "up",
	[TRACE_FAILED] = "failed",
	[TRACE_REFUSED] = "refused",
};
static_assert(ARRAY_SIZE(result_names) == TRACE_RESULT_N, "a result has no name");

const char *trace_result_name(unsigned result) { return result < TRACE_RESULT_N ? result_names[result] : "?"; }

struct trace *trace_new(void) { return calloc(1, sizeof(struct trace)); }

void trace_free(struct trace *t) { free(t); }

void trace_listen(struct trace *t, trace_fn *fn, void *arg)
{
	t->fn = fn;
	t->arg = arg;
}

static void tell(const struct trace *t, const struct wake_trace *w)
{
	if (t->fn)
		t->fn(t->arg, w);
}

uint64_t trace_begin(struct trace *t, const char *service, enum wake_cause cause, const struct ip_addr *client,
		     uint64_t query_ns)
{
	uint64_t now = clock_now_ns(), number = ++t->newest;
	struct wake_trace *w = &t->ring[number % TRACE_MAX];

	*w = (struct wake_trace){ .number = number, .cause = (uint8_t)cause, .client = *client };
	str_copy(w->service, service);
	w->wall_ms = clock_wall_ms();
	w->at_ns[MARK_QUERY] = query_ns && query_ns < now ? query_ns : now;
	w->at_ns[MARK_WAKE] = now;
	tell(t, w);
	wake_stats_mark(&t->stats, w, MARK_WAKE);
	return number;
}

static struct wake_trace *find(struct trace *t, uint64_t number)
{
	struct wake_trace *w = &t->ring[number % TRACE_MAX];

	return number != 0 && w->number == number ? w : NULL;
}

void trace_mark(struct trace *t, uint64_t number, enum trace_mark mark, uint64_t at_ns)
{
	struct wake_trace *w = find(t, number);

	if (!w || w->at_ns[mark] != 0 || at_ns == 0)
		return;
	w->at_ns[mark] = at_ns;
	wake_stats_mark(&t->stats, w, mark);
}

void trace_end(struct trace *t, uint64_t number, enum trace_result result, const char *reason)
{
	struct wake_trace *w = find(t, number);

	if (!w || w->result != TRACE_UNDER_WAY)
		return;
	w->result = result;
	if (result == TRACE_FAILED)
		trace_mark(t, number, MARK_FAILED, clock_now_ns());
	wake_stats_end(&t->stats, w);
	str_copy(w->reason, reason);
	tell(t, w);
}

void trace_refused(struct trace *t, enum wake_cause cause) { wake_stats_refused(&t->stats, cause); }

const struct wake_trace *trace_get(const struct trace *t, uint64_t number)
{
	return find((struct trace *)t, number);
}

const struct wake_stats *trace_stats(const struct trace *t) { return &t->stats; }

uint64_t trace_newest(const struct trace *t) { return t->newest; }
