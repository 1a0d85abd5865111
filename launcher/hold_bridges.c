/* Theory of operation
 *
 * Each bridge that a held service's first NIC is on has one tap of ours (hold_tap.h).  Its
 * descriptor is kept by the supervisor (MSG_KEEP, under "hold:BRIDGE"), so that the tap, its queue
 * and the frames in it outlive launcher and synproxy.  A new launcher is given them back
 * (MSG_KEPT) before anything else; until the last of them has come, no tap is made.  A supervisor
 * that says nothing is waited for KEPT_WAIT_MS.
 *
 * A tap is made when the first service needs it, and deleted when none does: not before every
 * hypervisor has told what runs, for until then it is not known which bridges are needed.  Then
 * taps of earlier runs go, too.  An orderly end deletes them all, and the kernel takes the forwarding
 * entries that point to them.
 *
 * Somebody may delete a tap or a bridge, take the tap off its bridge or set it down: links.c
 * notices, and hold_bridges_check() sets it right or makes it anew.  All forwarding entries at the
 * tap are gone then, and are set again.
 */
#include <event2/event.h>

#include "launcher/launcher.h"

enum { KEPT_WAIT_MS = 1000, CONFLICT_PROBE_MS = 3000 };

#define KEEP_PREFIX "hold:"

struct hold_bridges {
	struct launcher *l;
	struct hold_filter *filter;
	struct hold_bridge *v[HOLD_BRIDGES_MAX];
	size_t n_kept;
	struct {
		char bridge[MSG_NAME_MAX];
		int fd;
	} kept[HOLD_BRIDGES_MAX];
	bool ready;
	uint32_t pass_turn; /* another one whenever addresses were taken out of a filter: they may be another service's by now */
	struct event *late;
};

struct hold_bridge *hold_bridges_next(struct launcher *l, const struct hold_bridge *after)
{
	for (size_t i = after ? after->number + 1 : 0; i < HOLD_BRIDGES_MAX; i++) {
		if (l->bridges->v[i])
			return l->bridges->v[i];
	}
	return NULL;
}

/* ---- what is kept ---- */

static void keep(struct launcher *l, const char *bridge, int fd)
{
	struct ipc *supervisor = child_supervisor(l->child);
	struct msg_keep m;

	if (!supervisor)
		return;
	snprintf(m.name, sizeof(m.name), KEEP_PREFIX "%s", bridge);
	ipc_send_fd(supervisor, MSG_KEEP, &m, fd);
}

static void be_ready(struct hold_bridges *h)
{
	if (h->ready)
		return;
	h->ready = true;
	event_del(h->late);
	holds_refresh(h->l);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	be_ready(arg);
}

void hold_bridges_kept(struct launcher *l, const struct msg_keep *m, int *fd)
{
	struct hold_bridges *h = l->bridges;
	size_t n = strlen(KEEP_PREFIX);

	if (!m->name[0])
		be_ready(h);
	if (h->ready || *fd < 0 || strncmp(m->name, KEEP_PREFIX, n) != 0 || h->n_kept == ARRAY_SIZE(h->kept))
		return;
	str_copy(h->kept[h->n_kept].bridge, m->name + n);
	h->kept[h->n_kept++].fd = *fd;
	*fd = -1;
}

/* The descriptor that was kept for this bridge, which is the caller's now; or -1. */
static int take_kept(struct hold_bridges *h, const char *bridge)
{
	for (size_t i = 0; i < h->n_kept; i++) {
		int fd = h->kept[i].fd;

		if (strcmp(h->kept[i].bridge, bridge) != 0)
			continue;
		h->kept[i] = h->kept[--h->n_kept];
		return fd;
	}
	return -1;
}

bool hold_bridges_ready(const struct launcher *l) { return l->bridges->ready; }

/* ---- a bridge ---- */

static const struct bridge_conf *conf_of(const struct launcher *l, const char *name)
{
	for (size_t i = 0; i < l->conf->bridges.n; i++) {
		if (strcmp(l->conf->bridges.v[i].name, name) == 0)
			return &l->conf->bridges.v[i];
	}
	return NULL;
}

static void choose_prober(const struct launcher *l, const struct bridge_info *info, struct prober *out)
{
	static const struct ip_addr none;
	const struct bridge_conf *c = conf_of(l, info->name);

	prober_choose(&l->identity, info, c ? &c->probe_ip : &none, c ? &c->probe_ip6 : &none, out);
}

/* True when synproxy must hear of it. */
static bool follow_conf(struct hold_bridge *b)
{
	const struct bridge_conf *c = conf_of(b->l, b->info.name);
	uint32_t before = b->conflict_probe_ms;

	b->conflict_probe_ms = c ? (uint32_t)c->conflict_probe_ms : CONFLICT_PROBE_MS;
	choose_prober(b->l, &b->info, &b->prober);
	return b->conflict_probe_ms != before;
}

static struct hold_bridge *find(struct launcher *l, const char *name)
{
	struct hold_bridge *b = NULL;

	while ((b = hold_bridges_next(l, b)) && strcmp(b->info.name, name) != 0)
		;
	return b;
}

int hold_bridges_look(struct launcher *l, const char *name, struct bridge_info *info, struct prober *prober,
		      struct err *e)
{
	const struct hold_bridge *b = find(l, name);
	int r = 0;

	if (b)
		*info = b->info;
	else
		r = netlink_bridge(l->netlink, name, info, e);
	if (r == 0)
		choose_prober(l, info, prober);
	return r;
}

/* Makes the tap, or sets the one right that there is; `kept` is used up. */
static int open_tap(struct hold_bridge *b, int kept, struct err *e)
{
	struct hold_tap tap = { .fd = -1 };
	int r = hold_tap_open(b->l->netlink, &b->l->identity, &b->info, kept, &tap, e);

	if (r < 0)
		return r;
	b->tap = tap;
	if (tap.kept)
		return 0;
	b->filtered = b->told = b->kept = false;
	keep(b->l, b->info.name, tap.fd);
	return 0;
}

static struct hold_bridge *bridge_new(struct launcher *l, size_t place, const char *name, struct err *e)
{
	struct hold_bridge *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		abort();
	b->l = l;
	b->number = (uint32_t)place;
	b->tap.fd = -1;
	r = netlink_bridge(l->netlink, name, &b->info, e);
	if (r == 0)
		r = netlink_check_vlan(l->netlink, &b->info, 0, e);
	if (r == 0)
		r = open_tap(b, take_kept(l->bridges, name), e);
	if (r < 0) {
		free(b);
		return NULL;
	}
	b->kept = b->tap.kept;
	follow_conf(b);
	log_info("bridge %s: connections are held by way of %s", b->info.name, b->tap.ifname);
	return b;
}

struct hold_bridge *hold_bridges_get(struct launcher *l, const char *name, struct err *e)
{
	struct hold_bridge **v = l->bridges->v, *b = find(l, name);
	size_t place = 0;

	if (b)
		return b;
	while (place < HOLD_BRIDGES_MAX && v[place])
		place++;
	if (place == HOLD_BRIDGES_MAX) {
		err_set(e, -ENOSPC, "services are held on %d bridges already, and there can be no more", HOLD_BRIDGES_MAX);
		return NULL;
	}
	v[place] = bridge_new(l, place, name, e);
	return v[place];
}

static void delete_tap(struct launcher *l, const char *ifname)
{
	struct err e;

	if (hold_tap_delete(l->netlink, ifname, &e) < 0)
		log_warn("%s", e.text);
}

/* Nobody is held on it any more. */
static void bridge_drop(struct hold_bridge *b)
{
	struct launcher *l = b->l;

	keep(l, b->info.name, -1);
	hold_tap_close(&b->tap);
	if (b->tap.ifname[0])
		delete_tap(l, b->tap.ifname);
	l->bridges->v[b->number] = NULL;
	free(b);
}

/* ---- what passes ---- */

static unsigned pass_of_address(enum hold_stage stage, bool done)
{
	switch (stage) {
	case HOLD_STAGE_CHECK:
	case HOLD_STAGE_CONFLICT: return HOLD_PASS_WATCH;
	case HOLD_STAGE_UP: return done ? HOLD_PASS_WATCH : HOLD_PASS_WATCH | HOLD_PASS_TO;
	case HOLD_STAGE_SLEEP:
	case HOLD_STAGE_FROZEN:
	case HOLD_STAGE_BOOT:
	case HOLD_STAGE_DRAIN:
	case HOLD_STAGE_STOP:
	case HOLD_STAGE_FAILED: return HOLD_PASS_WATCH | HOLD_PASS_TO;
	default: return HOLD_PASS_NONE;
	}
}

/* While the VM is there, what comes from its MAC is its own. */
static unsigned pass_of_mac(enum hold_stage stage, bool done)
{
	unsigned pass = pass_of_address(stage, done);

	switch (stage) {
	case HOLD_STAGE_CHECK:
	case HOLD_STAGE_CONFLICT:
	case HOLD_STAGE_SLEEP:
	case HOLD_STAGE_FROZEN:
	case HOLD_STAGE_FAILED: return pass | HOLD_PASS_FROM;
	case HOLD_STAGE_UP: return done ? HOLD_PASS_NONE : pass;
	default: return pass;
	}
}

void hold_bridges_pass(struct hold *h, enum hold_stage stage, bool done)
{
	const struct hold_place *p = &h->place;
	const struct hold_bridge *b = p->bridge;
	struct hold_bridges *all = b->l->bridges;
	struct hold_filter *f = all->filter;
	unsigned mac = pass_of_mac(stage, done), addr = pass_of_address(stage, done);
	int r;

	if (h->pass_mac == mac && h->pass_addr == addr && (h->pass_turn == all->pass_turn || stage == HOLD_STAGE_NONE))
		return;
	if (stage == HOLD_STAGE_NONE)
		all->pass_turn++;
	r = hold_filter_set_mac(f, b->tap.ifindex, &p->mac, mac);
	for (uint16_t i = 0; r == 0 && i < p->addrs.n; i++)
		r = hold_filter_set_addr(f, b->tap.ifindex, &p->addrs.v[i], addr);
	h->pass_mac = (uint8_t)(r == 0 ? mac : HOLD_PASS_UNKNOWN);
	h->pass_addr = (uint8_t)(r == 0 ? addr : HOLD_PASS_UNKNOWN);
	h->pass_turn = all->pass_turn;
	if (r < 0)
		log_limited(LOG_ERROR, "bridge %s: the filter of %s cannot be changed: %s", b->info.name, b->tap.ifname,
			    strerror(-r));
}

void hold_bridges_filter(struct launcher *l)
{
	struct hold_bridge *b = NULL;
	struct err e;

	while ((b = hold_bridges_next(l, b))) {
		if (b->filtered)
			continue;
		b->filtered = hold_filter_attach(l->bridges->filter, &b->tap, &e) == 0;
		if (!b->filtered)
			log_error("bridge %s: %s", b->info.name, e.text);
	}
}

/* ---- is it as it was ---- */

static bool is_right(const struct hold_bridge *b, const struct bridge_info *info, const struct link_info *tap)
{
	return info->ifindex == b->info.ifindex && tap->ifindex == b->tap.ifindex && tap->master == info->ifindex &&
	       tap->up && b->tap.fd >= 0;
}

/* The entries and the filter's tables were of a tap that is gone, or left its bridge. */
static void forget_entries(struct hold_bridge *b)
{
	struct service *s;

	b->clean = false;
	FOR_EACH_SERVICE(b->l, s) {
		if (s->hold.place.bridge != b)
			continue;
		hold_bridges_pass(&s->hold, HOLD_STAGE_NONE, false);
		s->hold.at = HOLD_AT_UNKNOWN;
	}
}

/* True when something is other than it was.  Without a descriptor afterwards it cannot be used. */
static bool check(struct hold_bridge *b)
{
	struct link_info tap;
	struct bridge_info info;
	struct err e;
	int fd = b->tap.fd;

	if (netlink_bridge(b->l->netlink, b->info.name, &info, &e) == 0 &&
	    netlink_link(b->l->netlink, b->tap.ifname, &tap, &e) == 0 && is_right(b, &info, &tap))
		return false;
	forget_entries(b);
	b->tap.fd = -1;
	if (netlink_bridge(b->l->netlink, b->info.name, &b->info, &e) < 0) {
		fd_close(&fd);
		log_warn("%s: nothing is held there any more", e.text);
	} else if (open_tap(b, fd, &e) < 0) {
		log_warn("nothing is held on bridge %s any more: %s", b->info.name, e.text);
	} else {
		log_warn("bridge %s or our tap on it was changed by someone else: %s is set right", b->info.name,
			 b->tap.ifname);
	}
	return true;
}

bool hold_bridges_check(struct launcher *l)
{
	struct hold_bridge *b = NULL;
	bool changed = false;

	while ((b = hold_bridges_next(l, b))) {
		changed |= check(b);
		if (follow_conf(b))
			b->told = false;
	}
	return changed;
}

/* Its bridge need not be there: that is how one comes back. */
bool hold_bridges_concern(const struct launcher *l, const struct link_info *link)
{
	const struct service *s;

	for (size_t i = 0; i < HOLD_BRIDGES_MAX; i++) {
		const struct hold_bridge *b = l->bridges->v[i];

		if (b && (strcmp(link->name, b->tap.ifname) == 0 || strcmp(link->name, b->info.name) == 0))
			return true;
	}
	TAILQ_FOREACH(s, &l->refused, refused) {
		if (s->n_nics > 0 && strcmp(s->nics[0].bridge, link->name) == 0)
			return true;
	}
	return conf_of(l, link->name) != NULL;
}

void hold_bridges_uplink(struct launcher *l, const struct link_info *link, bool up)
{
	struct hold_bridge *b = NULL;

	if (strcmp(link->kind, "tun") == 0)
		return;
	while ((b = hold_bridges_next(l, b))) {
		if (link->master != b->info.ifindex)
			continue;
		if (up && b->link_was_down)
			synproxy_say_bridge(b);
		b->link_was_down = !up;
	}
}

/* ---- what goes ---- */

void hold_bridges_drop_broken(struct launcher *l)
{
	for (size_t i = 0; i < HOLD_BRIDGES_MAX; i++) {
		if (l->bridges->v[i] && l->bridges->v[i]->tap.fd < 0)
			bridge_drop(l->bridges->v[i]);
	}
}

static void delete_stray(void *arg, const struct link_info *link, const char *bridge)
{
	struct launcher *l = arg;
	struct hold_bridge *b = NULL;

	while ((b = hold_bridges_next(l, b))) {
		if (strcmp(b->tap.ifname, link->name) == 0)
			return;
	}
	log_info("removing %s, our tap of an earlier run on bridge %s", link->name, bridge);
	delete_tap(l, link->name);
}

static void drop_kept(struct hold_bridges *h)
{
	while (h->n_kept > 0) {
		h->n_kept--;
		keep(h->l, h->kept[h->n_kept].bridge, -1);
		fd_close(&h->kept[h->n_kept].fd);
	}
}

static void delete_stray_entry(void *arg, const struct mac_addr *mac)
{
	struct hold_bridge *b = arg;
	char text[MAC_TEXT_MAX];
	struct err e;

	if (hold_place_has(b->l, b, mac))
		return;
	log_info("bridge %s: %s is not held any more", b->info.name, mac_format(mac, text));
	if (netlink_fdb_delete(b->l->netlink, b->tap.ifindex, mac, &e) < 0)
		log_warn("%s", e.text);
}

/* A sticky entry that nobody knows of would keep its VM from ever being reached. */
static void clean(struct hold_bridge *b)
{
	struct err e;
	int r;

	if (b->clean)
		return;
	r = netlink_fdb_each(b->l->netlink, b->info.ifindex, b->tap.ifindex, delete_stray_entry, b, &e);
	if (r < 0)
		log_warn("%s", e.text);
	b->clean = r == 0;
}

void hold_bridges_sweep(struct launcher *l)
{
	struct hold_bridge *b = NULL;
	struct service *s;
	struct err e;

	if (!l->bridges->ready || !hypervisors_reconciled(l))
		return;
	while ((b = hold_bridges_next(l, b)))
		b->wanted = false;
	FOR_EACH_SERVICE(l, s) {
		if (s->hold.place.bridge)
			s->hold.place.bridge->wanted = true;
	}
	for (size_t i = 0; i < HOLD_BRIDGES_MAX; i++) {
		if (l->bridges->v[i] && !l->bridges->v[i]->wanted)
			bridge_drop(l->bridges->v[i]);
	}
	while ((b = hold_bridges_next(l, b)))
		clean(b);
	drop_kept(l->bridges);
	if (hold_tap_list(l->netlink, delete_stray, l, &e) < 0)
		log_warn("%s", e.text);
}

void hold_bridges_stop(struct launcher *l)
{
	struct hold_bridge *b = NULL;

	while ((b = hold_bridges_next(l, b))) {
		hold_tap_close(&b->tap);
		delete_tap(l, b->tap.ifname);
	}
}

struct hold_bridges *hold_bridges_new(struct launcher *l, struct err *e)
{
	struct hold_bridges *h = calloc(1, sizeof(*h));
	struct timeval late = clock_timeval_ms(KEPT_WAIT_MS);

	if (!h)
		abort();
	h->l = l;
	h->filter = hold_filter_new(!getenv("JITSU_NO_BPF"), e);
	h->late = evtimer_new(l->base, on_late, h);
	if (!h->late)
		abort();
	event_add(h->late, &late);
	if (!h->filter)
		return NULL; /* which ends the launcher */
	if (hold_filter_note(h->filter)[0])
		log_warn("%s", hold_filter_note(h->filter));
	return h;
}
