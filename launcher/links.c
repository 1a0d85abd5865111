/* Links that come, go and move: VMs' ports, our taps, bridges.
 *
 * The kernel's news may be old when they are read: a tap of the same name may have been made since.
 * So they only say where to look, and what is there now counts.  A bridge or a tap of ours that is
 * not what it was is looked at once more after REFRESH_MS, for such changes come in crowds.
 *
 * Ports are of VMs that are there, or nearly: launcher.busy has all of these, and those that sleep, which may be
 * many more, are not looked at.
 *
 * A VM's port that comes back may have another name (a domain's NIC that was taken out and put in
 * again): then the hypervisor is asked which.
 */
#include <event2/event.h>

#include "launcher/launcher.h"

enum { REFRESH_MS = 50 };

static void on_refresh(evutil_socket_t fd, short what, void *arg)
{
	struct launcher *l = arg;

	(void)fd;
	(void)what;
	if (hold_bridges_check(l))
		holds_refresh(l);
	else /* a bridge tells news of itself whenever a VM's port joins: not everybody's concern */
		holds_retry(l);
}

static bool is_port_of(const struct service *s, const struct link_info *link)
{
	return s->n_nics > 0 && strcmp(s->nics[0].ifname, link->name) == 0;
}

static bool is_vms(struct launcher *l, const struct link_info *link)
{
	const struct service *s;

	TAILQ_FOREACH(s, &l->busy, busy) {
		if (is_port_of(s, link))
			return true;
	}
	return false;
}

static void look_at_all(struct launcher *l)
{
	struct service *s;

	FOR_EACH_SERVICE(l, s) {
		if (s->hold.place.bridge)
			holds_look_at_port(s);
	}
}

static void look_at_port(struct launcher *l, const struct link_info *link, bool joined)
{
	struct service *s, *owner = NULL;

	TAILQ_FOREACH(s, &l->busy, busy) {
		const struct hold_bridge *b = s->hold.place.bridge;

		if (!b || !state_counts(s->state))
			continue;
		if (is_port_of(s, link))
			owner = s;
		else if (joined && link->master == b->info.ifindex && s->hold.port_lost && machine_is_defined(&s->conf->machine))
			hypervisor_verify(s);
	}
	if (owner) /* who may be stopped by it: `busy` changes */
		holds_look_at_port(owner);
}

static void on_link(void *arg, enum link_event what, const struct link_info *link)
{
	struct timeval soon = clock_timeval_ms(REFRESH_MS);
	struct launcher *l = arg;

	if (!link || hold_bridges_concern(l, link)) {
		if (!event_pending(l->refresh, EV_TIMEOUT, NULL))
			event_add(l->refresh, &soon);
	}
	if (link && (what == LINK_UP || what == LINK_DOWN) && !is_vms(l, link))
		hold_bridges_uplink(l, link, what == LINK_UP);
	if (!link)
		look_at_all(l);
	else if (what == LINK_GONE || what == LINK_LEFT || what == LINK_JOINED)
		look_at_port(l, link, what == LINK_JOINED);
}

struct netlink_monitor *links_watch(struct launcher *l, struct err *e)
{
	l->refresh = evtimer_new(l->base, on_refresh, l);
	if (!l->refresh)
		abort();
	return netlink_monitor_new(l->base, on_link, l, e);
}
