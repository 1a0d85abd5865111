/* The last wakes, phase by phase: what `jitsuctl trace` draws.  A ring in memory; the oldest make
 * room.  Times are CLOCK_MONOTONIC nanoseconds; 0 means "not reached". */
#ifndef LAUNCHER_TRACE_H
#define LAUNCHER_TRACE_H

#include "base/msg.h"

enum { TRACE_MAX = 512 };

enum trace_mark {
	MARK_QUERY, /* the query or packet that woke it came */
	MARK_SYN, /* the first packet that was held came */
	MARK_WAKE, /* the launcher heard of it */
	MARK_START, /* the hypervisor was asked */
	MARK_RUNNING, /* the hypervisor says it runs */
	MARK_LINK, /* the first address answered */
	MARK_PORT, /* the last port wanted is open */
	MARK_UP,
	MARK_MOVED, /* its forwarding entry is at its port */
	MARK_RELEASED, /* the first held packets were sent to it */
	MARK_FIRST_BYTE, /* its first byte to a client */
	MARK_ANSWERED, /* the waiting query was answered */
	MARK_FAILED, /* it was given up; trace_end() sets it */
	MARK_N
};

enum trace_result { TRACE_UNDER_WAY, TRACE_UP, TRACE_FAILED, TRACE_REFUSED, TRACE_RESULT_N };

struct wake_trace {
	uint64_t number; /* of the wake, from 1; 0: an empty place */
	char service[MSG_NAME_MAX];
	uint8_t cause; /* enum wake_cause */
	struct ip_addr client; /* zero: none (the command line) */
	uint64_t wall_ms;
	uint64_t at_ns[MARK_N];
	enum trace_result result;
	char reason[MSG_TEXT_MAX];
};

struct trace;
struct wake_stats;

struct trace *trace_new(void);
void trace_free(struct trace *t);

/* Called when a wake begins, and again when it has ended (its result is another one then). */
typedef void trace_fn(void *arg, const struct wake_trace *w);
void trace_listen(struct trace *t, trace_fn *fn, void *arg);

/* Begins a wake and returns its number. */
uint64_t trace_begin(struct trace *t, const char *service, enum wake_cause cause, const struct ip_addr *client,
		     uint64_t query_ns);
/* These do nothing once the wake has left the ring, or for number 0.  A mark is set once. */
void trace_mark(struct trace *t, uint64_t number, enum trace_mark mark, uint64_t at_ns);
void trace_end(struct trace *t, uint64_t number, enum trace_result result, const char *reason);

/* One was refused that is not traced, because anybody can cause as many as he likes: it is counted. */
void trace_refused(struct trace *t, enum wake_cause cause);

/* The wake, or NULL when it is not in the ring (any more). */
const struct wake_trace *trace_get(const struct trace *t, uint64_t number);
/* The newest number; 0 before the first. */
uint64_t trace_newest(const struct trace *t);

/* Of all wakes since the launcher was started. */
const struct wake_stats *trace_stats(const struct trace *t);

const char *trace_result_name(unsigned result);

#endif
