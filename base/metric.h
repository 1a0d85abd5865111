/* What jitsu can be measured by: the one list of metrics, which the launcher fills, the control process
 * writes, and the test of the dashboard reads.
 *
 * A sample's value is a whole number; its unit says what is written: a time in nanoseconds becomes
 * seconds.  A label's values come from our own tables, but for names of services, processes and
 * hypervisors, which the configuration bounds.
 */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H

#include "base/util.h"

enum metric {
	METRIC_BUILD_INFO,
	METRIC_START_TIME,
	METRIC_SERVICES,
	METRIC_VMS_RUNNING,
	METRIC_VMS_RUNNING_LIMIT,
	METRIC_VMS_STARTING,
	METRIC_VMS_STARTING_LIMIT,
	METRIC_VMS_WAITING,
	METRIC_VMS_MEMORY,
	METRIC_VMS_MEMORY_LIMIT,
	METRIC_WAKES,
	METRIC_WAKE_PHASE,
	METRIC_HELD,
	METRIC_HELD_LIMIT,
	METRIC_HOLD_EVENTS,
	METRIC_DNS_QUERIES,
	METRIC_DNS_TYPES,
	METRIC_DNS_ANSWERS,
	METRIC_DNS_DROPS,
	METRIC_DNS_SLIPPED,
	METRIC_DNS_PASSED,
	METRIC_DNS_WORKERS,
	METRIC_XDP_ANSWERS,
	METRIC_XDP_LIMITED,
	METRIC_XDP_NO_ROOM,
	METRIC_HYPERVISOR_UP,
	METRIC_PROCESS_UP,
	METRIC_PROCESS_RESTARTS,
	METRIC_PROCESS_CPU,
	METRIC_PROCESS_MEMORY,
	METRIC_LOG_LINES,
	METRIC_HOOKS,
	/* of each service: only where `metrics.services` says so */
	METRIC_SERVICE_UP,
	METRIC_SERVICE_WAKES,
	METRIC_SERVICE_STARTS_FAILED,
	METRIC_SERVICE_LAST_WAKE,
	METRIC_SERVICE_HELD,
	METRIC_SERVICE_MEMORY,
	METRIC_N
};

enum metric_kind { METRIC_GAUGE, METRIC_COUNTER, METRIC_HISTOGRAM };
enum metric_unit { METRIC_PLAIN, METRIC_MS, METRIC_NS };
enum { METRIC_LABELS_MAX = 2, METRIC_BOUNDS_N = 16 };

struct metric_def {
	const char *name, *help;
	enum metric_kind kind;
	enum metric_unit unit; /* of the value that the launcher has */
	const char *labels[METRIC_LABELS_MAX]; /* NULL: it has no more */
};

const struct metric_def *metric_def(unsigned metric); /* NULL: no such one */

/* Upper bounds of a histogram's buckets, rising; what is over the last is in one more. */
extern const uint64_t metric_bounds_ns[METRIC_BOUNDS_N];

/* The bucket of a time: 0 .. METRIC_BOUNDS_N. */
unsigned metric_bucket(uint64_t ns);

#endif
