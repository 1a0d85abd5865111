#include "launcher/addresses.h"

#include "launcher/netlink_internal.h"

enum {
	NEWS_MAX = 16 * 1024,
	READS_PER_WAKEUP = 16,
	GROUPS = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
};

/* ---- asking ---- */

struct walk {
	addresses_fn *each;
	void *arg;
};

/* IFA_LOCAL is ours where the link is point-to-point; else both are the same. */
static const struct nlattr *find_address(const struct nlmsghdr *h, uint32_t *flags)
{
	const struct nlattr *a, *address = NULL;

	mnl_attr_for_each(a, h, sizeof(struct ifaddrmsg))
	{
		if (mnl_attr_get_type(a) == IFA_LOCAL || (mnl_attr_get_type(a) == IFA_ADDRESS && !address))
			address = a;
		if (mnl_attr_get_type(a) == IFA_FLAGS && mnl_attr_validate(a, MNL_TYPE_U32) == 0)
			*flags = mnl_attr_get_u32(a);
	}
	return address;
}

static int on_address(const struct nlmsghdr *h, void *arg)
{
	const struct walk *w = arg;
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(h);
	struct own_address out = { 0 };
	const struct nlattr *a;
	uint32_t flags;
	bool v4;

	if (h->nlmsg_type != RTM_NEWADDR || mnl_nlmsg_get_payload_len(h) < sizeof(*ifa))
		return MNL_CB_OK;
	if (ifa->ifa_family != AF_INET && ifa->ifa_family != AF_INET6)
		return MNL_CB_OK;
	v4 = ifa->ifa_family == AF_INET;
	flags = ifa->ifa_flags;
	a = find_address(h, &flags);
	if (!a || mnl_attr_get_payload_len(a) != (v4 ? 4 : 16))
		return MNL_CB_OK;
	if (v4)
		memset(out.prefix.addr.b + 10, 0xff, 2);
	memcpy(out.prefix.addr.b + (v4 ? 12 : 0), mnl_attr_get_payload(a), v4 ? 4 : 16);
	out.prefix.len = (uint8_t)(ifa->ifa_prefixlen + (v4 ? 96 : 0));
	out.ifindex = (int)ifa->ifa_index;
	out.usable = !(flags & IFA_F_DADFAILED) && (!(flags & IFA_F_TENTATIVE) || flags & IFA_F_OPTIMISTIC);
	w->each(w->arg, &out);
	return MNL_CB_OK;
}

int addresses_each(struct netlink *nl, addresses_fn *each, void *arg, struct err *e)
{
	struct walk w = { each, arg };
	int result = -EINTR;

	for (int i = 0; i < DUMP_TRIES && result == -EINTR; i++) {
		struct request r;
		struct ifaddrmsg *ifa;

		request_begin(&r, RTM_GETADDR, NLM_F_DUMP);
		ifa = mnl_nlmsg_put_extra_header(r.h, sizeof(*ifa));
		ifa->ifa_family = AF_UNSPEC;
		each(arg, NULL);
		result = netlink_talk(nl, &r, on_address, &w);
	}
	return result < 0 ? err_set_errno(e, result, "cannot read the addresses of this host") : 0;
}

/* ---- gateways ---- */

struct route_walk {
	addresses_gateway_fn *each;
	void *arg;
};

static int on_route(const struct nlmsghdr *h, void *arg)
{
	const struct route_walk *w = arg;
	const struct nlattr *a;
	struct ip_addr gateway = { 0 };

	if (h->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(h) < sizeof(struct rtmsg))
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, sizeof(struct rtmsg))
	{
		if (mnl_attr_get_type(a) != RTA_GATEWAY || mnl_attr_get_payload_len(a) != 4)
			continue;
		memset(gateway.b + 10, 0xff, 2);
		memcpy(gateway.b + 12, mnl_attr_get_payload(a), 4);
		w->each(w->arg, &gateway);
	}
	return MNL_CB_OK;
}

int addresses_gateways(struct netlink *nl, addresses_gateway_fn *each, void *arg, struct err *e)
{
	struct route_walk w = { each, arg };
	int result = -EINTR;

	for (int i = 0; i < DUMP_TRIES && result == -EINTR; i++) {
		struct request r;
		struct rtmsg *rt;

		request_begin(&r, RTM_GETROUTE, NLM_F_DUMP);
		rt = mnl_nlmsg_put_extra_header(r.h, sizeof(*rt));
		rt->rtm_family = AF_INET;
		result = netlink_talk(nl, &r, on_route, &w);
	}
	return result < 0 ? err_set_errno(e, result, "cannot read the routes of this host") : 0;
}

/* ---- neighbours ---- */

struct neighbour_walk {
	int ifindex;
	const struct mac_addr *mac;
	addresses_neighbour_fn *each;
	void *arg;
};

static int on_neighbour(const struct nlmsghdr *h, void *arg)
{
	const struct neighbour_walk *w = arg;
	const struct ndmsg *nd = mnl_nlmsg_get_payload(h);
	const struct nlattr *a, *dst = NULL, *mac = NULL;
	struct ip_addr addr = { 0 };

	if (h->nlmsg_type != RTM_NEWNEIGH || mnl_nlmsg_get_payload_len(h) < sizeof(*nd) || nd->ndm_family != AF_INET ||
	    nd->ndm_ifindex != w->ifindex)
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, sizeof(*nd))
	{
		if (mnl_attr_get_type(a) == NDA_DST && mnl_attr_get_payload_len(a) == 4)
			dst = a;
		if (mnl_attr_get_type(a) == NDA_LLADDR && mnl_attr_get_payload_len(a) == sizeof(*w->mac))
			mac = a;
	}
	if (!dst || !mac || memcmp(mnl_attr_get_payload(mac), w->mac, sizeof(*w->mac)) != 0)
		return MNL_CB_OK;
	memset(addr.b + 10, 0xff, 2);
	memcpy(addr.b + 12, mnl_attr_get_payload(dst), 4);
	w->each(w->arg, &addr);
	return MNL_CB_OK;
}

int addresses_neighbours(struct netlink *nl, int ifindex, const struct mac_addr *mac, addresses_neighbour_fn *each,
			 void *arg, struct err *e)
{
	struct neighbour_walk w = { ifindex, mac, each, arg };
	int result = -EINTR;

	for (int i = 0; i < DUMP_TRIES && result == -EINTR; i++) {
		struct request r;
		struct ndmsg *nd;

		request_begin(&r, RTM_GETNEIGH, NLM_F_DUMP);
		nd = mnl_nlmsg_put_extra_header(r.h, sizeof(*nd));
		nd->ndm_family = AF_INET;
		nd->ndm_ifindex = ifindex;
		result = netlink_talk(nl, &r, on_neighbour, &w);
	}
	return result < 0 ? err_set_errno(e, result, "cannot read this host's neighbours") : 0;
}

/* ---- news ---- */

struct addresses_monitor {
	struct netlink_news from;
	addresses_changed_fn *fn;
	void *arg;
	_Alignas(struct nlmsghdr) char news[NEWS_MAX];
};

/* The link that this one lies on, or 0. */
static int link_below(const struct nlmsghdr *h)
{
	const struct nlattr *a;

	mnl_attr_for_each(a, h, sizeof(struct ifinfomsg))
	{
		if (mnl_attr_get_type(a) == IFLA_LINK && mnl_attr_validate(a, MNL_TYPE_U32) == 0)
			return (int)mnl_attr_get_u32(a);
	}
	return 0;
}

static int on_news(const struct nlmsghdr *h, void *arg)
{
	const struct addresses_monitor *m = arg;
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(h);
	int below;

	if (h->nlmsg_type == RTM_NEWADDR || h->nlmsg_type == RTM_DELADDR) {
		m->fn(m->arg, 0);
		return MNL_CB_OK;
	}
	if (mnl_nlmsg_get_payload_len(h) < sizeof(*link) || link->ifi_index <= 0)
		return MNL_CB_OK;
	m->fn(m->arg, link->ifi_index);
	below = link_below(h);
	if (below > 0 && below != link->ifi_index)
		m->fn(m->arg, below);
	return MNL_CB_OK;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct addresses_monitor *m = arg;

	(void)fd;
	(void)what;
	for (int i = 0; i < READS_PER_WAKEUP; i++) {
		ssize_t n = mnl_socket_recvfrom(m->from.sock, m->news, sizeof(m->news));

		if (n < 0 && errno == ENOBUFS)
			m->fn(m->arg, 0);
		else if (n < 0)
			break;
		else
			mnl_cb_run(m->news, (size_t)n, 0, 0, on_news, m);
	}
}

struct addresses_monitor *addresses_watch(struct event_base *base, addresses_changed_fn *fn, void *arg,
					  struct err *e)
{
	struct addresses_monitor *m = calloc(1, sizeof(*m));

	if (!m) {
		err_set(e, -ENOMEM, "no memory to watch addresses");
		return NULL;
	}
	m->fn = fn;
	m->arg = arg;
	if (netlink_news_open(&m->from, base, GROUPS, on_readable, m, "addresses", e) < 0) {
		addresses_monitor_free(m);
		return NULL;
	}
	return m;
}

void addresses_monitor_free(struct addresses_monitor *m)
{
	if (!m)
		return;
	netlink_news_close(&m->from);
	free(m);
}
