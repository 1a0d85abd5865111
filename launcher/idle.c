#include "launcher/idle.h"

#include "config/service.h"

enum { DNS_HORIZON_MIN_MS = 300000, NEVER_LOOK_MS = 3600000 };

/* What is left of `span` since the latest of the times; 0 when it is over. */
static uint64_t left(uint64_t now, uint64_t since, uint64_t span)
{
	uint64_t gone = now > since ? now - since : 0;

	return gone >= span ? 0 : span - gone;
}

uint64_t idle_horizon_ms(uint64_t dns_horizon_ms, uint64_t ttl_ms)
{
	return dns_horizon_ms == DURATION_AUTO ? MAX(2 * ttl_ms, (uint64_t)DNS_HORIZON_MIN_MS) : dns_horizon_ms;
}

struct idle_verdict idle_check(const struct idle_input *in)
{
	struct idle_verdict v = { .look_again_ms = NEVER_LOOK_MS };
	uint64_t used = MAX(MAX(in->up_ms, in->traffic_ms), MAX(in->stop_failed_ms, in->guest_used_ms));
	uint64_t timeout = in->idle_timeout_ms;

	v.nobody_came = in->held && in->by_query && !in->stop_failed_ms &&
			(!in->traffic_ms || in->traffic_ms < in->started_ms);
	if (in->asked_ms && !in->held)
		v.dns_left_ms = left(in->now_ms, in->asked_ms, idle_horizon_ms(in->dns_horizon_ms, in->ttl_ms));
	v.by_dns = v.dns_left_ms > 0;
	v.by_guest = in->guest_left_ms > 0;
	if (in->idle_timeout_ms == DURATION_NEVER) {
		v.traffic_left_ms = DURATION_NEVER;
		return v;
	}
	if (v.nobody_came)
		timeout = MIN(timeout, in->dns_grace_ms);
	v.traffic_left_ms = left(in->now_ms, used, timeout);
	v.by_traffic = v.traffic_left_ms > 0;
	v.idle = !v.by_traffic && !v.by_dns && !v.by_guest;
	v.look_again_ms = MAX(MAX(v.traffic_left_ms, v.dns_left_ms), MAX(in->guest_left_ms, 1));
	return v;
}
