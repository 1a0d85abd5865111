/* Theory of operation
 *
 * One blocking rtnetlink socket per struct netlink, one request at a time.  The launcher is
 * single-threaded and each answer takes the kernel tens of microseconds, so a queue of requests
 * would buy nothing and make every caller a state machine.  What could block longer is the
 * kernel's network lock; the socket's timeout bounds that.  An answer that comes after its
 * timeout is told from the next one by its sequence number and dropped.
 */
#include "launcher/netlink.h"

#include <event2/event.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include "base/clock.h"
#include "launcher/addresses.h"
#include "launcher/netlink_internal.h"

enum {
	ANSWER_MAX = 32 * 1024, /* the most that the kernel puts into one packet of a dump */
	MONITOR_BUFFER_BYTES = 1024 * 1024,
	READS_PER_WAKEUP = 64,
	USER_HZ = 100, /* the unit of the bridge's delays */
};

struct netlink {
	struct mnl_socket *sock;
	unsigned portid;
	uint32_t seq;
	bool has_ipv6;
	_Alignas(struct nlmsghdr) char answer[ANSWER_MAX];
};

/* ---- one request ---- */

struct nlmsghdr *request_begin(struct request *r, uint16_t type, uint16_t flags)
{
	r->h = mnl_nlmsg_put_header(r->room);
	r->h->nlmsg_type = type;
	r->h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	return r->h;
}

struct ifinfomsg *request_link(struct request *r, uint16_t type, uint16_t flags, int ifindex)
{
	struct ifinfomsg *ifi;

	request_begin(r, type, flags);
	ifi = mnl_nlmsg_put_extra_header(r->h, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = ifindex;
	return ifi;
}

/* The answer's packets, until it is complete.  0 or -errno. */
static int hear_answer(struct netlink *nl, uint32_t seq, mnl_cb_t each, void *arg)
{
	for (;;) {
		ssize_t n = mnl_socket_recvfrom(nl->sock, nl->answer, sizeof(nl->answer));
		const struct nlmsghdr *h = (const void *)nl->answer;
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (!mnl_nlmsg_ok(h, (int)n) || h->nlmsg_seq != seq)
			continue; /* of a request that was given up */
		r = mnl_cb_run(nl->answer, (size_t)n, seq, nl->portid, each, arg);
		if (r < 0)
			return -errno;
		if (r == MNL_CB_STOP)
			return 0;
	}
}

/* `each` sees the messages of the answer.  -EINTR: a dump was interrupted by a change. */
int netlink_talk(struct netlink *nl, struct request *r, mnl_cb_t each, void *arg)
{
	if ((r->h->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP) /* two bits, which others share */
		r->h->nlmsg_flags |= NLM_F_ACK;
	r->h->nlmsg_seq = ++nl->seq;
	if (mnl_socket_sendto(nl->sock, r->h, r->h->nlmsg_len) < 0)
		return -errno;
	return hear_answer(nl, nl->seq, each, arg);
}

struct netlink *netlink_new(struct err *e)
{
	struct timeval timeout = clock_timeval_ms(NETLINK_TIMEOUT_MS);
	struct netlink *nl = calloc(1, sizeof(*nl));

	if (!nl) {
		err_set(e, -ENOMEM, "no memory for a netlink socket");
		return NULL;
	}
	nl->sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!nl->sock || mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		err_set_errno(e, -errno, "cannot open a netlink socket");
		netlink_free(nl);
		return NULL;
	}
	setsockopt(mnl_socket_get_fd(nl->sock), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	nl->portid = mnl_socket_get_portid(nl->sock);
	nl->has_ipv6 = access("/proc/net/if_inet6", F_OK) == 0;
	return nl;
}

bool netlink_has_ipv6(const struct netlink *nl) { return nl->has_ipv6; }

void netlink_free(struct netlink *nl)
{
	if (!nl)
		return;
	if (nl->sock)
		mnl_socket_close(nl->sock);
	free(nl);
}

/* ---- links ---- */

static int parse_bridge_attr(const struct nlattr *a, void *arg)
{
	struct link_detail *d = arg;

	switch (mnl_attr_get_type(a)) {
	case IFLA_BR_STP_STATE:
		if (mnl_attr_validate(a, MNL_TYPE_U32) == 0)
			d->stp = mnl_attr_get_u32(a);
		break;
	case IFLA_BR_FORWARD_DELAY:
		if (mnl_attr_validate(a, MNL_TYPE_U32) == 0)
			d->forward_delay = mnl_attr_get_u32(a);
		break;
	case IFLA_BR_VLAN_FILTERING:
		if (mnl_attr_validate(a, MNL_TYPE_U8) == 0)
			d->vlan_filtering = mnl_attr_get_u8(a);
		break;
	case IFLA_BR_VLAN_DEFAULT_PVID:
		if (mnl_attr_validate(a, MNL_TYPE_U16) == 0)
			d->default_pvid = mnl_attr_get_u16(a);
		break;
	}
	return MNL_CB_OK;
}

static int parse_port_attr(const struct nlattr *a, void *arg)
{
	struct link_detail *d = arg;

	if (mnl_attr_get_type(a) == IFLA_BRPORT_STATE && mnl_attr_validate(a, MNL_TYPE_U8) == 0) {
		uint8_t at = mnl_attr_get_u8(a);

		/* a carrier makes the port usable at once, and the bridge hears of it a moment later */
		d->link.settling = at == BR_STATE_LISTENING || at == BR_STATE_LEARNING ||
				   (at == BR_STATE_DISABLED && d->link.carrier);
	}
	return MNL_CB_OK;
}

/* The kinds come before their data. */
static int parse_linkinfo_attr(const struct nlattr *a, void *arg)
{
	struct link_detail *d = arg;

	switch (mnl_attr_get_type(a)) {
	case IFLA_INFO_KIND:
		if (mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0)
			str_copy(d->link.kind, mnl_attr_get_str(a));
		break;
	case IFLA_INFO_DATA:
		if (strcmp(d->link.kind, "bridge") == 0)
			mnl_attr_parse_nested(a, parse_bridge_attr, d);
		break;
	case IFLA_INFO_SLAVE_KIND:
		d->of_bridge = mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0 && strcmp(mnl_attr_get_str(a), "bridge") == 0;
		break;
	case IFLA_INFO_SLAVE_DATA:
		if (d->of_bridge)
			mnl_attr_parse_nested(a, parse_port_attr, d);
		break;
	}
	return MNL_CB_OK;
}

static int parse_link_attr(const struct nlattr *a, void *arg)
{
	struct link_detail *d = arg;
	struct link_info *l = &d->link;

	switch (mnl_attr_get_type(a)) {
	case IFLA_IFNAME:
		if (mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0)
			str_copy(l->name, mnl_attr_get_str(a));
		break;
	case IFLA_IFALIAS:
		if (mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0)
			str_copy(l->alias, mnl_attr_get_str(a));
		break;
	case IFLA_ADDRESS:
		if (mnl_attr_get_payload_len(a) == sizeof(l->mac))
			memcpy(&l->mac, mnl_attr_get_payload(a), sizeof(l->mac));
		break;
	case IFLA_MASTER:
		if (mnl_attr_validate(a, MNL_TYPE_U32) == 0)
			l->master = (int)mnl_attr_get_u32(a);
		break;
	case IFLA_MTU:
		if (mnl_attr_validate(a, MNL_TYPE_U32) == 0)
			l->mtu = mnl_attr_get_u32(a);
		break;
	case IFLA_LINKINFO:
		mnl_attr_parse_nested(a, parse_linkinfo_attr, d);
		break;
	}
	return MNL_CB_OK;
}

/* Family AF_UNSPEC is news of a link itself; AF_BRIDGE of its being a port: one that leaves looks
 * deleted there.  False when it is neither. */
static bool parse_link_of(const struct nlmsghdr *h, unsigned char family, struct link_detail *out)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);

	if (h->nlmsg_type != RTM_NEWLINK && h->nlmsg_type != RTM_DELLINK)
		return false;
	if (mnl_nlmsg_get_payload_len(h) < sizeof(*ifi) || ifi->ifi_family != family)
		return false;
	memset(out, 0, sizeof(*out));
	out->link.ifindex = ifi->ifi_index;
	out->link.up = ifi->ifi_flags & IFF_UP;
	out->link.carrier = ifi->ifi_flags & IFF_LOWER_UP;
	mnl_attr_parse(h, sizeof(*ifi), parse_link_attr, out);
	return true;
}

bool netlink_parse_link(const struct nlmsghdr *h, struct link_detail *out)
{
	return parse_link_of(h, AF_UNSPEC, out);
}

static int on_link_answer(const struct nlmsghdr *h, void *arg)
{
	netlink_parse_link(h, arg);
	return MNL_CB_OK;
}

int netlink_find_link(struct netlink *nl, const char *ifname, int ifindex, struct link_detail *out)
{
	struct request r;

	request_link(&r, RTM_GETLINK, 0, ifindex);
	if (ifname)
		mnl_attr_put_strz(r.h, IFLA_IFNAME, ifname);
	mnl_attr_put_u32(r.h, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	return netlink_talk(nl, &r, on_link_answer, out);
}

/* A longer name cannot be an interface's, and the kernel would not say so but -ERANGE. */
bool netlink_is_ifname(const char *ifname) { return *ifname && strlen(ifname) < IFNAMSIZ; }

int netlink_link(struct netlink *nl, const char *ifname, struct link_info *out, struct err *e)
{
	struct link_detail d;
	int r = netlink_is_ifname(ifname) ? netlink_find_link(nl, ifname, 0, &d) : -ENODEV;

	if (r == -ENODEV)
		return err_set(e, r, "there is no interface %s", ifname);
	if (r < 0)
		return err_set_errno(e, r, "cannot look at interface %s", ifname);
	*out = d.link;
	return 0;
}

int netlink_link_by_index(struct netlink *nl, int ifindex, struct link_info *out, struct err *e)
{
	struct link_detail d;
	int r = ifindex > 0 ? netlink_find_link(nl, NULL, ifindex, &d) : -ENODEV;

	if (r < 0)
		return err_set_errno(e, r, "cannot look at interface number %d", ifindex);
	*out = d.link;
	return 0;
}

int netlink_is_port_of(struct netlink *nl, int ifindex, int bridge, struct err *e)
{
	struct link_info l = { 0 };
	int r = netlink_link_by_index(nl, ifindex, &l, e);

	if (r == -ENODEV)
		return 0;
	return r < 0 ? r : bridge > 0 && l.master == bridge;
}

/* ---- bridges ---- */

static bool is_unique_or_global(const uint8_t *a) { return (a[0] & 0xe0) == 0x20 || (a[0] & 0xfe) == 0xfc; }

static void take_address(void *arg, const struct own_address *a)
{
	static const struct ip_prefix none;
	static const struct ip_addr no_address;
	struct bridge_info *b = arg;

	if (!a) {
		b->ip4 = b->ip6 = none;
		b->ip6_link_local = no_address;
	} else if (a->ifindex != b->ifindex) {
		return;
	} else if (ip_is_v4(&a->prefix.addr)) {
		if (memcmp(&b->ip4, &none, sizeof(none)) == 0)
			b->ip4 = a->prefix;
	} else if (a->prefix.addr.b[0] == 0xfe && (a->prefix.addr.b[1] & 0xc0) == 0x80) {
		b->ip6_link_local = a->prefix.addr;
	} else if (is_unique_or_global(a->prefix.addr.b) && memcmp(&b->ip6, &none, sizeof(none)) == 0) {
		b->ip6 = a->prefix;
	}
}

static int refuse_kind(const struct link_info *l, struct err *e)
{
	if (strcmp(l->kind, "openvswitch") == 0)
		return err_set(e, -EOPNOTSUPP,
			       "%s is an Open vSwitch bridge: jitsu makes its VMs' ports on Linux bridges only; give "
			       "a Linux bridge (ip link add NAME type bridge)",
			       l->name);
	return err_set(e, -EOPNOTSUPP, "%s is no bridge%s%s; make one with: ip link add NAME type bridge", l->name,
		       *l->kind ? " but of kind " : "", l->kind);
}

int netlink_bridge(struct netlink *nl, const char *name, struct bridge_info *out, struct err *e)
{
	struct link_detail d = { 0 };
	struct bridge_info b = { 0 };
	int r = netlink_is_ifname(name) ? netlink_find_link(nl, name, 0, &d) : -ENODEV;

	if (r == -ENODEV)
		return err_set(e, r, "there is no bridge %s; make it with: ip link add %s type bridge", name, name);
	if (r < 0)
		return err_set_errno(e, r, "cannot look at bridge %s", name);
	if (strcmp(d.link.kind, "bridge") != 0)
		return refuse_kind(&d.link, e);
	b.ifindex = d.link.ifindex;
	str_copy(b.name, d.link.name);
	b.mac = d.link.mac;
	b.mtu = d.link.mtu;
	b.up = d.link.up;
	b.stp = d.stp != 0;
	b.forward_delay_ms = d.forward_delay * (MS_PER_S / USER_HZ);
	b.vlan_filtering = d.vlan_filtering != 0;
	b.default_pvid = d.default_pvid;
	r = addresses_each(nl, take_address, &b, e);
	if (r < 0)
		return r;
	*out = b;
	return 0;
}

static bool sysctl_is_on(const char *path)
{
	cleanup_fclose FILE *f = fopen(path, "re");
	int v = 0;

	return f && fscanf(f, "%d", &v) == 1 && v != 0;
}

void netlink_warn(netlink_warn_fn *fn, void *arg, const char *fmt, ...)
{
	char text[MSG_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fn(arg, text);
}

void netlink_bridge_warnings(const struct bridge_info *b, netlink_warn_fn *fn, void *arg)
{
	if (!b->up)
		netlink_warn(fn, arg, "bridge %s is down: nothing reaches its VMs; set it up with: ip link set %s up",
			     b->name, b->name);
	if (b->stp && b->forward_delay_ms > 0)
		netlink_warn(fn, arg,
			     "bridge %s runs the spanning tree protocol: a new VM's port carries nothing for %u s; "
			     "unless the bridge is part of a loop, turn it off with: ip link set %s type bridge "
			     "stp_state 0",
			     b->name, 2 * b->forward_delay_ms / MS_PER_S, b->name);
	if (b->vlan_filtering)
		netlink_warn(fn, arg,
			     "bridge %s filters VLANs: a new VM's port is in the bridge's default VLAN only; add others "
			     "with: bridge vlan add",
			     b->name);
	if (sysctl_is_on("/proc/sys/net/bridge/bridge-nf-call-iptables"))
		netlink_warn(fn, arg,
			     "br_netfilter sends what bridge %s forwards through iptables: where the policy of FORWARD "
			     "is DROP (Docker sets that) clients do not reach VMs; allow it with: iptables -I FORWARD "
			     "-i %s -o %s -j ACCEPT, or set net.bridge.bridge-nf-call-iptables=0",
			     b->name, b->name, b->name);
}

/* ---- queueing disciplines ---- */

struct qdisc_search {
	int ifindex;
	char kind[NETLINK_KIND_MAX];
};

static int on_qdisc_answer(const struct nlmsghdr *h, void *arg)
{
	struct qdisc_search *s = arg;
	const struct tcmsg *tc = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWQDISC || mnl_nlmsg_get_payload_len(h) < sizeof(*tc))
		return MNL_CB_OK;
	if (tc->tcm_ifindex != s->ifindex || tc->tcm_parent != TC_H_INGRESS)
		return MNL_CB_OK; /* clsact has the same parent */
	mnl_attr_for_each(a, h, sizeof(*tc))
	{
		if (mnl_attr_get_type(a) == TCA_KIND && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0)
			str_copy(s->kind, mnl_attr_get_str(a));
	}
	return MNL_CB_OK;
}

int netlink_ingress_kind(struct netlink *nl, int ifindex, char kind[NETLINK_KIND_MAX], struct err *e)
{
	struct qdisc_search s = { .ifindex = ifindex };
	int result = -EINTR;

	for (int i = 0; i < DUMP_TRIES && result == -EINTR; i++) {
		struct request r;
		struct tcmsg *tc;

		request_begin(&r, RTM_GETQDISC, NLM_F_DUMP);
		tc = mnl_nlmsg_put_extra_header(r.h, sizeof(*tc));
		tc->tcm_family = AF_UNSPEC;
		tc->tcm_ifindex = ifindex; /* kernels that can, then look at this one only */
		result = netlink_talk(nl, &r, on_qdisc_answer, &s);
	}
	if (result < 0)
		return err_set_errno(e, result, "cannot look at what is attached to interface number %d", ifindex);
	memcpy(kind, s.kind, sizeof(s.kind));
	return 0;
}

/* ---- news ---- */

int netlink_news_open(struct netlink_news *n, struct event_base *base, unsigned groups, event_callback_fn fn,
		      void *arg, const char *what, struct err *e)
{
	int size = MONITOR_BUFFER_BYTES, fd;

	n->sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!n->sock || mnl_socket_bind(n->sock, groups, MNL_SOCKET_AUTOPID) < 0)
		return err_set_errno(e, -errno, "cannot watch %s", what);
	fd = mnl_socket_get_fd(n->sock);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	n->readable = event_new(base, fd, EV_READ | EV_PERSIST, fn, arg);
	if (!n->readable || event_add(n->readable, NULL) < 0)
		return err_set(e, -ENOMEM, "no memory to watch %s", what);
	return 0;
}

void netlink_news_close(struct netlink_news *n)
{
	if (n->readable)
		event_free(n->readable);
	if (n->sock)
		mnl_socket_close(n->sock);
	*n = (struct netlink_news){ 0 };
}

struct netlink_monitor {
	struct netlink_news from;
	netlink_link_fn *on_link;
	void *arg;
	bool in_callback; /* netlink_monitor_free() inside one only marks it */
	bool freed;
	_Alignas(struct nlmsghdr) char news[ANSWER_MAX];
};

static int on_news(const struct nlmsghdr *h, void *arg)
{
	struct netlink_monitor *m = arg;
	bool gone = h->nlmsg_type == RTM_DELLINK;
	struct link_detail d;
	enum link_event what;

	if (parse_link_of(h, AF_BRIDGE, &d))
		what = gone ? LINK_LEFT : LINK_JOINED;
	else if (!netlink_parse_link(h, &d))
		return MNL_CB_OK;
	else if (gone)
		what = LINK_GONE;
	else
		what = d.link.up && d.link.carrier ? LINK_UP : LINK_DOWN;
	if (what == LINK_JOINED && d.link.master == 0)
		return MNL_CB_OK; /* the bridge itself */
	m->on_link(m->arg, what, &d.link);
	return m->freed ? MNL_CB_STOP : MNL_CB_OK;
}

static void on_monitor(evutil_socket_t fd, short events, void *arg)
{
	struct netlink_monitor *m = arg;

	(void)fd;
	(void)events;
	m->in_callback = true;
	for (int i = 0; i < READS_PER_WAKEUP && !m->freed; i++) {
		ssize_t n = mnl_socket_recvfrom(m->from.sock, m->news, sizeof(m->news));

		if (n < 0 && errno == ENOBUFS)
			m->on_link(m->arg, LINK_LOST_TRACK, NULL);
		else if (n < 0)
			break;
		else
			mnl_cb_run(m->news, (size_t)n, 0, 0, on_news, m);
	}
	m->in_callback = false;
	if (m->freed)
		netlink_monitor_free(m);
}

struct netlink_monitor *netlink_monitor_new(struct event_base *base, netlink_link_fn *on_link, void *arg,
					    struct err *e)
{
	struct netlink_monitor *m = calloc(1, sizeof(*m));

	if (!m) {
		err_set(e, -ENOMEM, "no memory to watch links");
		return NULL;
	}
	m->on_link = on_link;
	m->arg = arg;
	if (netlink_news_open(&m->from, base, RTMGRP_LINK, on_monitor, m, "links", e) < 0) {
		netlink_monitor_free(m);
		return NULL;
	}
	return m;
}

void netlink_monitor_free(struct netlink_monitor *m)
{
	if (!m)
		return;
	m->freed = true;
	if (m->in_callback)
		return;
	netlink_news_close(&m->from);
	free(m);
}
