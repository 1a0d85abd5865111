/* Who uses a VM, what it takes of the host, and when its first byte went out.
 *
 * What is asked here is counted elsewhere: packets by the ports (port.h), answers by dns in the slots.
 * A last look before a stop compares counts, and not times, so that nothing falls between two clocks.
 */
#include <event2/event.h>

#include "launcher/idle.h"
#include "launcher/launcher.h"

enum { CAME_LOOK_MS = 500, FIRST_LOOK_MS = 50, LATER_LOOK_MS = 500, LOOK_FOR_MS = 30000, REMOVED_IDLE_MS = 120000 };

uint64_t service_memory(const struct service *s)
{
	return machine_is_defined(&s->conf->machine) ? s->memory_bytes : s->conf->machine.memory_bytes;
}

static uint64_t last_traffic_ms(struct service *s)
{
	uint64_t now = clock_now_ns(), last = 0;
	struct port_activity a;

	for (uint16_t i = 0; i < s->n_nics; i++) {
		if (s->ports[i] && port_activity(s->ports[i], now, &a) == 0)
			last = MAX(last, a.last_ns);
	}
	return last / NS_PER_MS;
}

bool use_has_come(struct service *s)
{
	uint64_t traffic_ms = s->came ? 0 : last_traffic_ms(s);

	s->came = s->came || (traffic_ms && traffic_ms >= s->running_since_ms);
	return s->came;
}

/* The same, looked at no more often than it must be: it is asked of many. */
static bool came_lately(struct service *s)
{
	uint64_t now = clock_now_ms();

	if (s->came || now < s->came_looked_ms + CAME_LOOK_MS)
		return s->came;
	s->came_looked_ms = now;
	return use_has_come(s);
}

void service_is_busy(struct service *s)
{
	if (!s->is_busy)
		TAILQ_INSERT_TAIL(&s->l->busy, s, busy);
	s->is_busy = true;
}

static bool still_busy(struct service *s)
{
	if (state_is_starting(s->state) || state_counts(s->state) || s->stop_under_way)
		return true;
	TAILQ_REMOVE(&s->l->busy, s, busy);
	s->is_busy = false;
	return false;
}

/* The load that limits.max_starting bounds is not there while its hypervisor's process does nothing. */
static bool takes_a_place(const struct service *s)
{
	return state_is_starting(s->state) && !(s->hv && heartbeat_silent_ms(s->hv) > 0);
}

/* Each wake asks it, so those that sleep are not looked at. */
void service_count(struct launcher *l, struct budget *b)
{
	const struct limits_conf *limits = &l->conf->limits;
	uint64_t host = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	struct service *s, *s_next;

	*b = (struct budget){ .max_running = limits->max_running, .max_starting = limits->max_starting };
	b->max_memory = limits->memory_bytes ? limits->memory_bytes : host / 100 * limits->memory_percent;
	for (s = TAILQ_FIRST(&l->busy); s; s = s_next) {
		s_next = TAILQ_NEXT(s, busy);
		if (!still_busy(s))
			continue;
		b->starting += takes_a_place(s);
		b->unproven_starting += takes_a_place(s) && !s->trusted;
		if (!state_counts(s->state) && !s->stop_under_way)
			continue;
		b->running++;
		b->memory += service_memory(s);
		if (s->trusted || came_lately(s))
			continue;
		b->unproven_running++;
		b->unproven_memory += service_memory(s);
	}
}

uint64_t use_asked_ms(const struct service *s)
{
	uint64_t asked = 0;

	if (s->l->slots)
		asked = slots_asked_ns(s->l->slots, s->index, s->gen, clock_now_ns()) / NS_PER_MS;
	return MAX(MAX(asked, xdp_side_asked_ms(s)), s->answered_ms);
}

/* While connections are held, whoever was given the address wakes it when he comes. */
uint64_t use_count(struct service *s)
{
	uint64_t now = clock_now_ns(), n = 0;
	struct port_activity a;

	n = s->guest.uses;
	if (!holds_now(s))
		n += s->answers + xdp_side_count(s);
	if (s->l->slots && !holds_now(s))
		n += slots_count(s->l->slots, s->index, s->gen);
	for (uint16_t i = 0; i < s->n_nics; i++) {
		if (s->ports[i] && port_activity(s->ports[i], now, &a) == 0)
			n += a.packets;
	}
	return n;
}

/* Is there a way to see whether somebody uses it?  A domain that is not on a bridge of ours, or whose
 * port cannot be opened, is never taken for idle.  (A tap of ours that is gone makes its VM useless:
 * it is as idle as can be, and its next boot has a new one.) */
static bool is_counted(struct service *s)
{
	if (s->on_taps)
		return true;
	start_open_ports(s);
	for (uint16_t i = 0; i < s->n_nics; i++) {
		if (!s->ports[i])
			return false;
	}
	return true; /* without a NIC nobody can use it from outside */
}

struct idle_verdict service_idle(struct service *s)
{
	struct guest_use guest = guest_use(s);
	struct idle_input in = {
		.now_ms = clock_now_ms(),
		.started_ms = s->running_since_ms,
		.up_ms = s->since_ms,
		.traffic_ms = last_traffic_ms(s),
		.asked_ms = use_asked_ms(s),
		.stop_failed_ms = s->stop_failed_ms,
		.idle_timeout_ms = s->conf->idle_timeout_ms,
		.dns_horizon_ms = s->conf->dns_horizon_ms,
		.ttl_ms = s->conf->ttl_ms,
		.held = holds_now(s),
		.by_query = s->by_query,
		.dns_grace_ms = s->conf->dns_grace_ms,
		.guest_left_ms = MAX(guest.busy_ms, guest.lease_ms),
		.guest_used_ms = guest.used_ms,
	};

	if (!is_counted(s))
		in.idle_timeout_ms = DURATION_NEVER;
	if (order_keeps_up(s))
		in.idle_timeout_ms = DURATION_NEVER;
	else if (!service_is_served(s)) { /* nobody is sent to it any more */
		in.dns_horizon_ms = MIN(in.dns_horizon_ms, in.ttl_ms);
		in.idle_timeout_ms = MIN(in.idle_timeout_ms, (uint64_t)REMOVED_IDLE_MS);
	}
	return idle_check(&in);
}

/* ---- the first byte ---- */

static uint64_t first_byte_ns(const struct service *s)
{
	uint64_t first = 0;

	for (uint16_t i = 0; i < s->n_nics; i++) {
		uint64_t at = s->ports[i] ? port_first_data(s->ports[i]) : 0;

		if (at && (!first || at < first))
			first = at;
	}
	return first;
}

/* It is only for the trace, so it is looked for now and then instead of being told. */
static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct timeval again = clock_timeval_ms(LATER_LOOK_MS);
	struct service *s = arg;
	uint64_t first = first_byte_ns(s);

	(void)fd;
	(void)what;
	if (first)
		trace_mark(s->l->trace, s->wake, MARK_FIRST_BYTE, first);
	else if (state_serves(s->state) && clock_now_ms() - s->since_ms < LOOK_FOR_MS)
		event_add(s->look, &again);
}

void use_watch(struct service *s)
{
	struct timeval soon = clock_timeval_ms(FIRST_LOOK_MS);

	if (!s->look)
		s->look = evtimer_new(s->l->base, on_look, s);
	if (!s->look)
		abort();
	event_add(s->look, &soon);
}

void use_begin(struct service *s)
{
	if (s->look)
		event_del(s->look);
	for (uint16_t i = 0; i < s->n_nics; i++) {
		if (s->ports[i])
			port_first_data_reset(s->ports[i]);
	}
}
