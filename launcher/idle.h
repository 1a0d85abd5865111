/* When nobody uses a VM any more.  Pure.
 *
 * While connections are not held, clients find the VM by DNS alone, so an answer that may still be
 * in a cache is a promise that it is there.  The VM is idle when both are over:
 *   - no IP traffic from or to it for idle_timeout (ARP, ND, multicast do not count);
 *   - the DNS horizon: nobody was given its address for max(2 x TTL, 300 s), or `dns_horizon`.
 * While they are held, whoever comes late is held and wakes it: answers promise nothing, and traffic
 * alone counts.  A VM that a query (or a ping) woke, and that nobody has come to since, is idle after dns_grace
 * already.
 * A guest that says that it is busy, or wants not to be stopped, is not idle for so long, and is used while it is busy.
 * A stop that failed is not tried again before another idle_timeout.
 */
#ifndef LAUNCHER_IDLE_H
#define LAUNCHER_IDLE_H

#include "base/util.h"

struct idle_input {
	uint64_t now_ms;
	uint64_t started_ms; /* since when it runs */
	uint64_t up_ms; /* since when it is up */
	uint64_t traffic_ms; /* last packet that counts; 0: none yet */
	uint64_t asked_ms; /* last answer with its address; 0: none yet */
	uint64_t stop_failed_ms; /* 0: never */
	uint64_t idle_timeout_ms; /* or DURATION_NEVER */
	uint64_t dns_horizon_ms; /* or DURATION_AUTO */
	uint64_t ttl_ms;
	bool held; /* connections are, while it is away */
	bool by_query; /* it was woken by somebody who may come, and not by one who came */
	uint64_t dns_grace_ms;
	uint64_t guest_left_ms; /* for how long still it keeps itself up, as it says; 0: it does not */
	uint64_t guest_used_ms; /* when it was last busy, as it says; 0: never */
};

struct idle_verdict {
	bool idle;
	uint64_t look_again_ms; /* not before this could it be idle; from now, at least 1 */
	bool by_traffic, by_dns, by_guest; /* what keeps it up */
	bool nobody_came; /* dns_grace counts, and not idle_timeout: traffic_left_ms is what is left of it */
	uint64_t traffic_left_ms, dns_left_ms; /* for how long still, if nothing more comes */
};

struct idle_verdict idle_check(const struct idle_input *in);

/* How long after an answer somebody may still come. */
uint64_t idle_horizon_ms(uint64_t dns_horizon_ms, uint64_t ttl_ms);

#endif
