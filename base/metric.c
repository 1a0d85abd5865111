#include "base/metric.h"

#include <assert.h>

#include "base/clock.h"

static const struct metric_def defs[] = {
	[METRIC_BUILD_INFO] = { "jitsu_build_info", "The version that runs; always 1.", METRIC_GAUGE, METRIC_PLAIN,
				{ "version" } },
	[METRIC_START_TIME] = { "jitsu_start_time_seconds",
				"When the launcher was started, in seconds since 1970: its counters begin there.",
				METRIC_GAUGE, METRIC_MS, { NULL } },
	[METRIC_SERVICES] = { "jitsu_services", "Services in each state.", METRIC_GAUGE, METRIC_PLAIN, { "state" } },
	[METRIC_VMS_RUNNING] = { "jitsu_vms_running", "VMs that count against max_running.", METRIC_GAUGE, METRIC_PLAIN,
				 { NULL } },
	[METRIC_VMS_RUNNING_LIMIT] = { "jitsu_vms_running_limit", "limits.max_running.", METRIC_GAUGE, METRIC_PLAIN,
				       { NULL } },
	[METRIC_VMS_STARTING] = { "jitsu_vms_starting", "VMs being started.", METRIC_GAUGE, METRIC_PLAIN, { NULL } },
	[METRIC_VMS_STARTING_LIMIT] = { "jitsu_vms_starting_limit", "limits.max_starting.", METRIC_GAUGE, METRIC_PLAIN,
					{ NULL } },
	[METRIC_VMS_WAITING] = { "jitsu_vms_waiting", "Services that wait to be started.", METRIC_GAUGE, METRIC_PLAIN,
				 { NULL } },
	[METRIC_VMS_MEMORY] = { "jitsu_vms_memory_bytes", "RAM of the VMs that run.", METRIC_GAUGE, METRIC_PLAIN, { NULL } },
	[METRIC_VMS_MEMORY_LIMIT] = { "jitsu_vms_memory_limit_bytes", "limits.memory.", METRIC_GAUGE, METRIC_PLAIN,
				      { NULL } },
	[METRIC_WAKES] = { "jitsu_wakes_total", "Wakes that ended, by what caused them and what came of them.",
			   METRIC_COUNTER, METRIC_PLAIN, { "cause", "result" } },
	[METRIC_WAKE_PHASE] = { "jitsu_wake_phase_seconds", "How long each phase of a wake took.", METRIC_HISTOGRAM,
				METRIC_NS, { "phase" } },
	[METRIC_HELD] = { "jitsu_held_connections", "Connections held now.", METRIC_GAUGE, METRIC_PLAIN, { NULL } },
	[METRIC_HELD_LIMIT] = { "jitsu_held_connections_limit", "limits.max_held.", METRIC_GAUGE, METRIC_PLAIN, { NULL } },
	[METRIC_HOLD_EVENTS] = { "jitsu_hold_events_total", "What came for VMs that were away, and what became of it.",
				 METRIC_COUNTER, METRIC_PLAIN, { "event" } },
	[METRIC_DNS_QUERIES] = { "jitsu_dns_queries_total", "DNS queries, by how they came.", METRIC_COUNTER, METRIC_PLAIN,
				 { "transport" } },
	[METRIC_DNS_TYPES] = { "jitsu_dns_query_types_total", "DNS queries, by what was asked for.", METRIC_COUNTER,
			       METRIC_PLAIN, { "type" } },
	[METRIC_DNS_ANSWERS] = { "jitsu_dns_answers_total", "DNS answers, by response code.", METRIC_COUNTER, METRIC_PLAIN,
				 { "rcode" } },
	[METRIC_DNS_DROPS] = { "jitsu_dns_drops_total", "DNS packets that were not answered, and why.", METRIC_COUNTER,
			       METRIC_PLAIN, { "reason" } },
	[METRIC_DNS_SLIPPED] = { "jitsu_dns_slipped_total", "DNS queries over dns.rate that were told to ask over TCP.",
				 METRIC_COUNTER, METRIC_PLAIN, { NULL } },
	[METRIC_DNS_PASSED] = { "jitsu_dns_passed_total",
				"DNS queries that a worker passed to the main thread: to wake, to wait, to forward.",
				METRIC_COUNTER, METRIC_PLAIN, { NULL } },
	[METRIC_DNS_WORKERS] = { "jitsu_dns_workers", "Threads that answer DNS.", METRIC_GAUGE, METRIC_PLAIN, { NULL } },
	[METRIC_XDP_ANSWERS] = { "jitsu_xdp_answers_total", "DNS queries answered by XDP.", METRIC_COUNTER, METRIC_PLAIN,
				 { NULL } },
	[METRIC_XDP_LIMITED] = { "jitsu_xdp_limited_total", "DNS queries that XDP left to dns: over dns.rate.", METRIC_COUNTER,
				 METRIC_PLAIN, { NULL } },
	[METRIC_XDP_NO_ROOM] = { "jitsu_xdp_no_room_total", "DNS queries that XDP left to dns: no room for the answer.",
				 METRIC_COUNTER, METRIC_PLAIN, { NULL } },
	[METRIC_HYPERVISOR_UP] = { "jitsu_hypervisor_up", "Whether that hypervisor is connected, and answers.", METRIC_GAUGE,
				   METRIC_PLAIN, { "hypervisor" } },
	[METRIC_PROCESS_UP] = { "jitsu_process_up", "Whether that process of jitsu runs.", METRIC_GAUGE, METRIC_PLAIN,
				{ "process" } },
	[METRIC_PROCESS_RESTARTS] = { "jitsu_process_restarts_total", "How often that process was started again.",
				      METRIC_COUNTER, METRIC_PLAIN, { "process" } },
	[METRIC_PROCESS_CPU] = { "jitsu_process_cpu_seconds_total", "CPU time of that process since it was started.",
				 METRIC_COUNTER, METRIC_NS, { "process" } },
	[METRIC_PROCESS_MEMORY] = { "jitsu_process_resident_memory_bytes", "Resident memory of that process.",
				    METRIC_GAUGE, METRIC_PLAIN, { "process" } },
	[METRIC_LOG_LINES] = { "jitsu_log_lines_total", "Lines logged, by level.", METRIC_COUNTER, METRIC_PLAIN,
			       { "level" } },
	[METRIC_HOOKS] = { "jitsu_hooks_total", "Hooks, by what became of them.", METRIC_COUNTER, METRIC_PLAIN,
			   { "result" } },
	[METRIC_SERVICE_UP] = { "jitsu_service_up", "Whether that service's VM is up.", METRIC_GAUGE, METRIC_PLAIN,
				{ "service" } },
	[METRIC_SERVICE_WAKES] = { "jitsu_service_wakes_total", "Wakes of that service.", METRIC_COUNTER, METRIC_PLAIN,
				   { "service" } },
	[METRIC_SERVICE_STARTS_FAILED] = { "jitsu_service_starts_failed_total", "Starts of that service that failed.",
					   METRIC_COUNTER, METRIC_PLAIN, { "service" } },
	[METRIC_SERVICE_LAST_WAKE] = { "jitsu_service_last_wake_seconds",
				       "How long that service's last wake took, from the query or packet until it was up.",
				       METRIC_GAUGE, METRIC_MS, { "service" } },
	[METRIC_SERVICE_HELD] = { "jitsu_service_held_connections", "Connections held for that service now.", METRIC_GAUGE,
				  METRIC_PLAIN, { "service" } },
	[METRIC_SERVICE_MEMORY] = { "jitsu_service_memory_bytes", "RAM of that service's VM, whether it runs or not.",
				    METRIC_GAUGE, METRIC_PLAIN, { "service" } },
};
static_assert(ARRAY_SIZE(defs) == METRIC_N, "a metric has no name");

const uint64_t metric_bounds_ns[METRIC_BOUNDS_N] = {
	500 * NS_PER_MS / 1000, NS_PER_MS,	 2500 * NS_PER_MS / 1000, 5 * NS_PER_MS, 10 * NS_PER_MS,  25 * NS_PER_MS,
	50 * NS_PER_MS,		100 * NS_PER_MS, 250 * NS_PER_MS,	  500 * NS_PER_MS, NS_PER_S,	    2500 * NS_PER_MS,
	5 * NS_PER_S,		10 * NS_PER_S,	 30 * NS_PER_S,		  60 * NS_PER_S,
};

const struct metric_def *metric_def(unsigned metric) { return metric < METRIC_N ? &defs[metric] : NULL; }

unsigned metric_bucket(uint64_t ns)
{
	unsigned i = 0;

	while (i < METRIC_BOUNDS_N && ns > metric_bounds_ns[i])
		i++;
	return i;
}
