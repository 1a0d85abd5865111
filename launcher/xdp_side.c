/* Theory of operation
 *
 * Places.  For each address of `listen` that is no wildcard, the interface that has it carries the
 * program: in its driver where it is hardware, else (with "on") in the kernel's generic way.  Whenever
 * addresses or those links change, it is looked again.  An address that went elsewhere must be answered
 * for no longer, at once.  Descriptors keep the program on the interfaces, so that it is gone when this
 * process is, however it ends: a program that nobody corrects would lead clients to VMs that are off.
 * What could not be had is not tried again before the configuration is read again.
 *
 * An interface with VLAN devices on it is left alone: a driver takes the tag off a frame before the
 * program sees it, and the answer would leave without.
 *
 * Names.  They are in the program's table from xdp_side_loaded() on, each while its service is up.
 *
 *	UP, ADOPTED			added
 *	any other state			deleted, before dns is told of the state
 *	another record			deleted, until dns has it, too
 *	a snapshot begins		all deleted, until dns has taken it
 *
 * After a deletion a program that had found the entry before may still send it, and count it.  So a drain
 * also waits until such programs have ended (quiesce.h), before the last look reads the count.
 *
 * Budgets.  A network may be sent dns.rate answers a second, whoever sends them.  While the program is on any
 * interface, it may give half of them and dns's sockets the other half; what it may not answer any more,
 * the sockets see, and are the ones to slip or drop it.
 *
 * The tables, once made, stay until the end of this process, for they know when services were asked for.
 */
#include "launcher/xdp_side.h"

#include <assert.h>

#include "launcher/addresses.h"
#include "launcher/launcher.h"
#include "launcher/quiesce.h"
#include "launcher/rows.h"
#include "launcher/xdp.h"

enum { PLACES_MAX = 64, TTL_DEFAULT = 64 };

static_assert((int)XDP_ADDRS_MAX == (int)MSG_LIST_MAX, "a name has room for all addresses of a service");

struct interface {
	int ifindex;
	char name[MSG_IFNAME_MAX];
	struct mac_addr mac;
	enum xdp_way way;
	int link; /* -1: the program is not there */
	bool wanted;
};

/* What is looked for, and found. */
struct places {
	const struct conf *conf;
	size_t n;
	struct xdp_place v[PLACES_MAX];
};

struct xdp_side {
	struct launcher *l;
	struct xdp *xdp; /* NULL: not needed yet, or not to be had */
	struct quiesce *quiesce;
	struct addresses_monitor *monitor;
	bool refused; /* the kernel does not let us */
	enum xdp_mode mode; /* that the interfaces were chosen by */
	bool in_force; /* dns has the newest snapshot */
	size_t n_interfaces;
	struct interface interfaces[PLACES_MAX];
	struct places places; /* where we listen */
};

static bool is_attached(const struct launcher *l)
{
	const struct xdp_side *x = l->xdp;

	for (size_t i = 0; x && i < x->n_interfaces; i++) {
		if (x->interfaces[i].link >= 0)
			return true;
	}
	return false;
}

/* ---- names ---- */

static bool is_wanted(const struct service *s)
{
	return !s->removed && !learning_is_unknown(s) && (s->state == STATE_UP || s->state == STATE_ADOPTED);
}

static void add_names(struct service *s)
{
	const struct service_conf *c = s->conf;
	struct xdp_name n = { .service = s->index, .ttl_s = (uint32_t)(c->ttl_ms / 1000) };
	int r = 0;

	for (size_t i = 0; i < s->n_addrs; i++)
		n.addrs[n.n_addrs++] = s->addrs[i].addr;
	for (size_t i = 0; r == 0 && i < c->dns.n && i < MSG_LIST_MAX; i++) {
		n.name = c->dns.v[i];
		r = xdp_add(s->l->xdp->xdp, &n);
	}
	s->by_xdp = true;
	if (r < 0)
		log_limited(LOG_WARN, "service=%s is not answered by XDP: %s", c->name, strerror(-r));
}

/* What was answered just before may still be on its way. */
static void not_any_more(struct service *s, uint32_t number)
{
	s->by_xdp = false;
	s->xdp_seq = number;
}

static void delete_names(struct service *s)
{
	struct xdp_side *x = s->l->xdp;

	for (size_t i = 0; i < s->conf->dns.n; i++)
		xdp_delete(x->xdp, s->conf->dns.v[i]);
	not_any_more(s, quiesce_ask(x->quiesce));
}

void xdp_side_leave(struct service *s)
{
	if (s->by_xdp)
		delete_names(s);
}

void xdp_side_judge(struct service *s)
{
	const struct xdp_side *x = s->l->xdp;
	bool wanted;

	if (!x)
		return;
	wanted = x->in_force && !s->l->dns_loading && is_attached(s->l) && is_wanted(s);
	if (wanted && !s->by_xdp)
		add_names(s);
	else if (!wanted)
		xdp_side_leave(s);
}

void xdp_side_begin(struct service *s)
{
	if (s->l->xdp && s->l->xdp->xdp)
		xdp_forget(s->l->xdp->xdp, s->index);
}

static void on_quiet(void *arg, uint32_t number)
{
	struct launcher *l = arg;
	struct service *s;

	FOR_EACH_SERVICE(l, s) {
		if (s->xdp_seq == 0 || (int32_t)(number - s->xdp_seq) < 0)
			continue;
		s->xdp_seq = 0;
		service_drained(s);
	}
}

/* ---- a snapshot ---- */

void xdp_side_withdraw(struct launcher *l)
{
	struct xdp_side *x = l->xdp;
	uint32_t number = 0;
	struct service *s;

	if (!x || !x->in_force)
		return;
	x->in_force = false;
	xdp_clear(x->xdp);
	FOR_EACH_SERVICE(l, s) {
		if (!s->by_xdp)
			continue;
		if (number == 0)
			number = quiesce_ask(x->quiesce);
		not_any_more(s, number);
	}
}

uint32_t xdp_side_rate(const struct launcher *l)
{
	uint32_t rate = l->conf->dns.rate;

	return is_attached(l) ? rate - rate / 2 : rate;
}

static int set_limits(struct launcher *l)
{
	const struct conf *c = l->conf;
	struct xdp_limits limits = { .rate = c->dns.rate / 2, .limited = c->dns.rate > 0 };

	if (limits.limited) {
		limits.exempt = c->dns.rate_exempt.v;
		limits.n_exempt = c->dns.rate_exempt.n;
	}
	if (c->forward.n > 0) {
		limits.forward = c->forward_allow.v;
		limits.n_forward = c->forward_allow.n;
	}
	return xdp_set_limits(l->xdp->xdp, &limits);
}

void xdp_side_loaded(struct launcher *l)
{
	struct service *s;
	int r;

	if (!is_attached(l))
		return;
	xdp_side_withdraw(l);
	r = set_limits(l);
	if (r < 0) {
		log_warn("DNS is not answered by XDP: %s", strerror(-r));
		return;
	}
	l->xdp->in_force = true;
	FOR_EACH_SERVICE(l, s)
		xdp_side_judge(s);
}

/* ---- places ---- */

static void take_address(void *arg, const struct own_address *a)
{
	struct places *p = arg;

	if (!a) {
		p->n = 0;
		return;
	}
	for (size_t i = 0; a->usable && i < p->conf->listen.n && p->n < PLACES_MAX; i++) {
		const struct endpoint *e = &p->conf->listen.v[i];

		if (ip_equal(&e->addr, &a->prefix.addr))
			p->v[p->n++] = (struct xdp_place){ .ifindex = a->ifindex, .addr = e->addr, .port = e->port };
	}
}

static struct interface *find_interface(struct xdp_side *x, int ifindex)
{
	for (size_t i = 0; i < x->n_interfaces; i++) {
		if (x->interfaces[i].ifindex == ifindex)
			return &x->interfaces[i];
	}
	return NULL;
}

/* /proc/net/vlan/config: "eth0.5 | 5 | eth0"; it is there when the kernel knows VLAN devices. */
static bool has_vlans(const char *ifname)
{
	cleanup_fclose FILE *f = fopen("/proc/net/vlan/config", "re");
	char line[256], below[64];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*[^|]| %*d | %63s", below) == 1 && strcmp(below, ifname) == 0)
			return true;
	}
	return false;
}

static uint8_t read_ttl(const char *path)
{
	cleanup_fclose FILE *f = fopen(path, "re");
	unsigned ttl;

	return f && fscanf(f, "%u", &ttl) == 1 && ttl > 0 && ttl <= UINT8_MAX ? (uint8_t)ttl : TTL_DEFAULT;
}

static uint8_t ttl_of(const struct interface *i, const struct ip_addr *addr)
{
	char path[96];

	if (ip_is_v4(addr))
		return read_ttl("/proc/sys/net/ipv4/ip_default_ttl");
	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/hop_limit", i->name);
	return read_ttl(path);
}

/* ---- the program ---- */

static int prepare(struct xdp_side *x, struct err *e)
{
	struct launcher *l = x->l;

	if (x->xdp)
		return 0;
	x->xdp = xdp_new(e);
	if (!x->xdp)
		return e->code;
	x->quiesce = quiesce_new(l->base, on_quiet, l, e);
	if (x->quiesce)
		return 0;
	xdp_free(x->xdp);
	x->xdp = NULL;
	return e->code;
}

static int try_ways(struct xdp_side *x, struct interface *i, bool hardware, struct err *e)
{
	int fd = -EOPNOTSUPP;

	if (hardware) {
		fd = xdp_attach(x->xdp, i->ifindex, i->name, XDP_NATIVE, e);
		i->way = XDP_NATIVE;
	}
	if (fd < 0 && x->mode == XDP_ON && fd != -EBUSY && fd != -EEXIST) {
		fd = xdp_attach(x->xdp, i->ifindex, i->name, XDP_GENERIC, e);
		i->way = XDP_GENERIC;
	}
	return fd;
}

static int attach(struct xdp_side *x, struct interface *i, const struct link_info *link, struct err *e)
{
	bool hardware = link->kind[0] == '\0';

	if (mac_is_zero(&link->mac))
		return err_set(e, -EOPNOTSUPP, "%s has no MAC address", i->name);
	if (!hardware && x->mode == XDP_AUTO)
		return err_set(e, -EOPNOTSUPP, "%s is no hardware", i->name);
	if (has_vlans(i->name))
		return err_set(e, -EOPNOTSUPP, "%s has VLAN devices on it", i->name);
	if (prepare(x, e) < 0)
		return e->code;
	i->link = try_ways(x, i, hardware, e);
	return MIN(i->link, 0);
}

/* auto is content with sockets; who says "on" wants to know why not. */
static void tell(const struct xdp_side *x, const struct interface *i, const struct err *e)
{
	if (i->link >= 0)
		log_info("DNS on %s: plain queries are answered by XDP (%s)", i->name,
			 i->way == XDP_NATIVE ? "in its driver" : "generic");
	else if (x->mode == XDP_ON)
		log_warn("DNS on %s is answered by the sockets alone: %s", i->name, e->text);
	else if (e->code == -EOPNOTSUPP)
		log_debug("DNS on %s is answered by the sockets alone: %s", i->name, e->text);
	else
		log_info("DNS on %s is answered by the sockets alone: %s", i->name, e->text);
}

static void add_interface(struct xdp_side *x, int ifindex)
{
	struct interface *i = &x->interfaces[x->n_interfaces];
	struct link_info link;
	struct err e;

	if (x->n_interfaces == PLACES_MAX || netlink_link_by_index(x->l->netlink, ifindex, &link, &e) < 0)
		return; /* it is gone, and news of that are on their way */
	*i = (struct interface){ .ifindex = ifindex, .mac = link.mac, .link = -1, .wanted = true };
	str_copy(i->name, link.name);
	x->n_interfaces++;
	if (attach(x, i, &link, &e) < 0)
		i->link = -1;
	tell(x, i, &e);
}

static void drop_interface(struct xdp_side *x, size_t n)
{
	fd_close(&x->interfaces[n].link);
	x->interfaces[n] = x->interfaces[--x->n_interfaces];
}

/* A link may have another MAC or name by now, and VLAN devices. */
static void look_at_link(struct xdp_side *x, struct interface *i)
{
	struct link_info link;
	struct err e;

	i->wanted = true;
	if (netlink_link_by_index(x->l->netlink, i->ifindex, &link, &e) < 0)
		return;
	i->mac = link.mac;
	str_copy(i->name, link.name);
	if (i->link < 0 || !has_vlans(i->name))
		return;
	log_info("DNS on %s is answered by the sockets alone from now on: it has VLAN devices on it", i->name);
	fd_close(&i->link);
}

static void choose_interfaces(struct xdp_side *x, const struct places *p)
{
	for (size_t i = 0; i < x->n_interfaces; i++)
		x->interfaces[i].wanted = false;
	for (size_t i = 0; i < p->n; i++) {
		struct interface *known = find_interface(x, p->v[i].ifindex);

		if (known && known->link >= 0 && !xdp_is_attached(known->link)) {
			drop_interface(x, (size_t)(known - x->interfaces));
			known = NULL;
		}
		if (!known)
			add_interface(x, p->v[i].ifindex);
		else if (!known->wanted)
			look_at_link(x, known);
	}
	for (size_t i = x->n_interfaces; i-- > 0;) {
		if (!x->interfaces[i].wanted)
			drop_interface(x, i);
	}
}

static bool has_place(const struct places *p, const struct xdp_place *wanted)
{
	for (size_t i = 0; i < p->n; i++) {
		if (p->v[i].ifindex == wanted->ifindex && p->v[i].port == wanted->port &&
		    ip_equal(&p->v[i].addr, &wanted->addr))
			return true;
	}
	return false;
}

/* Those where the program is, and only those. */
static void listen_at(struct xdp_side *x, struct places *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct interface *on = find_interface(x, p->v[i].ifindex);

		if (!on || on->link < 0)
			continue;
		p->v[n] = p->v[i];
		p->v[n].mac = on->mac;
		p->v[n].ttl = ttl_of(on, &p->v[n].addr);
		n += xdp_listen(x->xdp, &p->v[n]) == 0;
	}
	p->n = n;
	for (size_t i = 0; i < x->places.n; i++) {
		if (!has_place(p, &x->places.v[i]))
			xdp_unlisten(x->xdp, &x->places.v[i]);
	}
	x->places = *p;
}

static void look(struct xdp_side *x)
{
	struct places p = { .conf = x->l->conf };
	struct err e;

	if (x->mode != XDP_OFF && addresses_each(x->l->netlink, take_address, &p, &e) < 0) {
		log_warn("DNS is answered by the sockets alone: %s", e.text);
		p.n = 0;
	}
	choose_interfaces(x, &p);
	listen_at(x, &p);
}

/* The sockets' share of the budget changes with the first interface and the last. */
static void on_address(void *arg, int ifindex)
{
	struct xdp_side *x = arg;
	bool before = is_attached(x->l);

	if (ifindex > 0 && !find_interface(x, ifindex))
		return;
	look(x);
	if (is_attached(x->l) == before)
		return;
	xdp_side_withdraw(x->l);
	if (x->l->dns_told)
		dns_snapshot(x->l);
}

static bool has_addresses(const struct launcher *l)
{
	for (size_t i = 0; i < l->conf->listen.n; i++) {
		const struct ip_addr *a = &l->conf->listen.v[i].addr;
		bool wildcard = ip_is_v4(a) ? !(a->b[12] | a->b[13] | a->b[14] | a->b[15]) : ip_is_zero(a);

		if (!wildcard)
			return true;
	}
	return false;
}

/* Kept from the first configuration on that needs it. */
static struct xdp_side *side_of(struct launcher *l)
{
	struct xdp_side *x = l->xdp;
	struct err e;

	if (x || l->conf->dns.xdp == XDP_OFF || !has_addresses(l) || getenv("JITSU_NO_BPF"))
		return x;
	x = calloc(1, sizeof(*x));
	if (!x)
		abort();
	x->l = l;
	x->mode = XDP_OFF;
	x->monitor = addresses_watch(l->base, on_address, x, &e);
	if (!x->monitor) {
		log_warn("DNS is answered by the sockets alone: %s", e.text);
		free(x);
		return NULL;
	}
	l->xdp = x;
	return x;
}

void xdp_side_configured(struct launcher *l)
{
	struct xdp_side *x = side_of(l);

	if (!x) {
		if (l->conf->dns.xdp == XDP_ON && !has_addresses(l))
			log_warn("dns.xdp does nothing: listen has wildcards only, and interfaces are found by addresses");
		return;
	}
	for (size_t i = x->n_interfaces; i-- > 0;) {
		if (x->mode != l->conf->dns.xdp || x->interfaces[i].link < 0)
			drop_interface(x, i);
	}
	x->mode = l->conf->dns.xdp;
	look(x);
}

void xdp_side_stop(struct launcher *l)
{
	struct xdp_side *x = l->xdp;
	struct service *s;

	if (!x)
		return;
	while (x->n_interfaces > 0)
		drop_interface(x, 0);
	addresses_monitor_free(x->monitor);
	quiesce_free(x->quiesce);
	xdp_free(x->xdp);
	free(x);
	l->xdp = NULL;
	FOR_EACH_SERVICE(l, s)
		s->by_xdp = false;
}

/* ---- what happened ---- */

static struct xdp_asked asked(const struct service *s)
{
	struct xdp_asked a = { 0 };

	if (s->l->xdp && s->l->xdp->xdp)
		xdp_asked(s->l->xdp->xdp, s->index, &a);
	return a;
}

uint64_t xdp_side_asked_ms(const struct service *s) { return MIN(asked(s).last_ns, clock_now_ns()) / NS_PER_MS; }

uint64_t xdp_side_count(const struct service *s) { return asked(s).n; }

void xdp_side_status(struct launcher *l, struct msg_ctl_row *row)
{
	const struct xdp_side *x = l->xdp;
	struct xdp_counts c;

	if (!x || !x->xdp)
		return;
	xdp_counts(x->xdp, &c);
	row_num(row, "xdp_answers", c.answered);
	for (size_t i = 0; i < x->n_interfaces; i++) {
		if (x->interfaces[i].link >= 0)
			row_list_str(row, "xdp", "%s: %s", x->interfaces[i].name,
				     x->interfaces[i].way == XDP_NATIVE ? "native" : "generic");
	}
}

void xdp_side_counts(const struct launcher *l, struct xdp_counts *out)
{
	if (l->xdp && l->xdp->xdp)
		xdp_counts(l->xdp->xdp, out);
}

void xdp_side_stats(struct launcher *l, struct msg_ctl_row *row)
{
	struct xdp_counts c;

	if (!l->xdp || !l->xdp->xdp)
		return;
	xdp_counts(l->xdp->xdp, &c);
	row_num(row, "xdp_answers", c.answered);
	row_num(row, "xdp_limited", c.limited);
	row_num(row, "xdp_no_room", c.no_room);
}
