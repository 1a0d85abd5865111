/* Theory of operation
 *
 * While a VM is away its MAC is behind our hold tap, and for the hand-over it must be behind the
 * VM's port, without a moment in which it is nowhere: the bridge floods what it does not know, and
 * then the frame reaches the VM, the hold tap and every other port.
 *
 * RTM_NEWNEIGH for an entry that exists does not make another one.  The kernel's fdb_add_entry()
 * stores the new port in the entry that the forwarding path looks up (under RCU), then sets what
 * kind it is.  A frame whose forwarding had begun may still be on its way to the old port.
 *
 * Sticky is the one flag that a frame cannot undo: a static entry does not age, but like every
 * other it moves to the port at which its MAC is seen as a source, and a VM sends its first frame
 * (IPv6's multicast listener report) long before it answers anybody.
 *
 * Refused: deleting and adding (two moments, and flooding between them); VLANs named one by one
 * (the kernel does all of the port's when none is named).
 */
#include <libmnl/libmnl.h>
#include <linux/if_bridge.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "launcher/netlink.h"
#include "launcher/netlink_internal.h"

/* ---- finding ---- */

struct fdb_search {
	struct mac_addr mac;
	struct fdb_entry entry;
	bool found;
};

static int on_fdb_answer(const struct nlmsghdr *h, void *arg)
{
	struct fdb_search *s = arg;
	const struct ndmsg *nd = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWNEIGH || mnl_nlmsg_get_payload_len(h) < sizeof(*nd) || s->found)
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, sizeof(*nd))
	{
		if (mnl_attr_get_type(a) == NDA_LLADDR && mnl_attr_get_payload_len(a) == sizeof(s->mac) &&
		    memcmp(mnl_attr_get_payload(a), &s->mac, sizeof(s->mac)) == 0)
			s->found = true;
	}
	if (s->found) {
		s->entry.port = nd->ndm_ifindex;
		s->entry.local = nd->ndm_state & NUD_PERMANENT;
		s->entry.is_static = nd->ndm_state & (NUD_PERMANENT | NUD_NOARP);
		s->entry.sticky = nd->ndm_flags & NTF_STICKY;
	}
	return MNL_CB_OK;
}

static struct ndmsg *request_fdb(struct request *r, uint16_t type, uint16_t flags, int port,
				 const struct mac_addr *mac)
{
	struct ndmsg *nd;

	request_begin(r, type, flags);
	nd = mnl_nlmsg_put_extra_header(r->h, sizeof(*nd));
	nd->ndm_family = PF_BRIDGE;
	nd->ndm_ifindex = port;
	mnl_attr_put(r->h, NDA_LLADDR, sizeof(*mac), mac);
	return nd;
}

/* The entry without a VLAN: one look into a hash table. */
static int find_untagged(struct netlink *nl, int bridge, struct fdb_search *s)
{
	struct request r;

	request_fdb(&r, RTM_GETNEIGH, 0, 0, &s->mac);
	mnl_attr_put_u32(r.h, NDA_MASTER, (uint32_t)bridge);
	return netlink_talk(nl, &r, on_fdb_answer, s);
}

/* One try; -EINTR: the table changed meanwhile. */
static int dump(struct netlink *nl, int bridge, mnl_cb_t each, void *arg)
{
	struct request r;

	/* the form that takes IFLA_MASTER as a filter */
	request_link(&r, RTM_GETNEIGH, NLM_F_DUMP, 0)->ifi_family = PF_BRIDGE;
	mnl_attr_put_u32(r.h, IFLA_MASTER, (uint32_t)bridge);
	return netlink_talk(nl, &r, each, arg);
}

static int find_in_all(struct netlink *nl, int bridge, struct fdb_search *s)
{
	int result = -EINTR;

	for (int i = 0; i < DUMP_TRIES && result == -EINTR; i++)
		result = dump(nl, bridge, on_fdb_answer, s);
	return result;
}

int netlink_fdb_find(struct netlink *nl, int bridge, const struct mac_addr *mac, struct fdb_entry *out, struct err *e)
{
	struct fdb_search s = { .mac = *mac };
	char text[MAC_TEXT_MAX];
	int result = find_untagged(nl, bridge, &s);

	if (result == -ENOENT)
		result = find_in_all(nl, bridge, &s);
	if (result < 0)
		return err_set_errno(e, result, "cannot read the forwarding table of bridge number %d", bridge);
	if (!s.found)
		return err_set(e, -ENOENT, "the bridge does not know %s", mac_format(mac, text));
	*out = s.entry;
	return 0;
}

/* ---- listing ---- */

struct fdb_list {
	int port;
	struct mac_addr *v;
	size_t n, size;
	bool no_memory;
};

static void add_mac(struct fdb_list *l, const struct mac_addr *mac)
{
	if (l->n == l->size) {
		size_t size = l->size ? 2 * l->size : 16;
		struct mac_addr *v = realloc(l->v, size * sizeof(*v));

		l->no_memory |= !v;
		if (!v)
			return;
		l->v = v;
		l->size = size;
	}
	l->v[l->n++] = *mac;
}

static int on_fdb_of_port(const struct nlmsghdr *h, void *arg)
{
	struct fdb_list *l = arg;
	const struct ndmsg *nd = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWNEIGH || mnl_nlmsg_get_payload_len(h) < sizeof(*nd) || nd->ndm_ifindex != l->port ||
	    nd->ndm_state & NUD_PERMANENT || nd->ndm_flags & NTF_SELF) /* the device's own table */
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, sizeof(*nd))
	{
		if (mnl_attr_get_type(a) == NDA_LLADDR && mnl_attr_get_payload_len(a) == sizeof(struct mac_addr))
			add_mac(l, mnl_attr_get_payload(a));
	}
	return MNL_CB_OK;
}

int netlink_fdb_each(struct netlink *nl, int bridge, int port, netlink_fdb_fn *each, void *arg, struct err *e)
{
	struct fdb_list list = { .port = port };
	int result = -EINTR;

	for (int i = 0; i < DUMP_TRIES && result == -EINTR; i++) {
		list.n = 0;
		result = dump(nl, bridge, on_fdb_of_port, &list);
	}
	if (result == 0 && list.no_memory)
		result = -ENOMEM;
	for (size_t i = 0; result == 0 && i < list.n; i++)
		each(arg, &list.v[i]);
	free(list.v);
	return result < 0 ? err_set_errno(e, result, "cannot read the forwarding table of bridge number %d", bridge) : 0;
}

/* ---- changing ---- */

static int refuse_no_port(int port, struct err *e)
{
	return err_set(e, -ENODEV, "interface number %d is on no bridge", port);
}

/* An interface's own MAC must stay its own: moved away, the host would hear nothing any more. */
static int check_not_local(struct netlink *nl, int port, const struct mac_addr *mac, struct err *e)
{
	struct fdb_search s = { .mac = *mac };
	struct request r;
	char text[MAC_TEXT_MAX];
	int result;

	request_fdb(&r, RTM_GETNEIGH, 0, port, mac)->ndm_flags = NTF_MASTER; /* of the port's bridge */
	result = netlink_talk(nl, &r, on_fdb_answer, &s);
	if (result == -ENODEV || result == -EINVAL)
		return refuse_no_port(port, e);
	if (result < 0 && result != -ENOENT)
		return err_set_errno(e, result, "cannot look where the bridge has %s", mac_format(mac, text));
	if (s.found && s.entry.local)
		return err_set(e, -EADDRINUSE,
			       "%s is the MAC of an interface of this host, on the same bridge: give the VM another",
			       mac_format(mac, text));
	return 0;
}

int netlink_fdb_set(struct netlink *nl, int port, const struct mac_addr *mac, enum fdb_kind kind, struct err *e)
{
	struct request r;
	struct ndmsg *nd;
	char text[MAC_TEXT_MAX];
	int result = port > 0 ? check_not_local(nl, port, mac, e) : refuse_no_port(port, e);

	if (result < 0)
		return result;
	nd = request_fdb(&r, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, port, mac);
	nd->ndm_state = NUD_NOARP;
	nd->ndm_flags = (uint8_t)(NTF_MASTER | (kind == FDB_STICKY ? NTF_STICKY : 0));
	result = netlink_talk(nl, &r, NULL, NULL);
	if (result == -ENODEV || result == -EOPNOTSUPP)
		return refuse_no_port(port, e);
	if (result < 0)
		return err_set_errno(e, result, "cannot tell the bridge that %s is behind interface number %d",
				     mac_format(mac, text), port);
	return 0;
}

int netlink_fdb_delete(struct netlink *nl, int port, const struct mac_addr *mac, struct err *e)
{
	struct request r;
	char text[MAC_TEXT_MAX];
	int result;

	request_fdb(&r, RTM_DELNEIGH, 0, port, mac)->ndm_flags = NTF_MASTER;
	result = netlink_talk(nl, &r, NULL, NULL);
	if (result < 0 && result != -ENOENT)
		return err_set_errno(e, result, "cannot make the bridge forget %s", mac_format(mac, text));
	return 0;
}

/* ---- VLANs ---- */

struct pvid_search {
	int port;
	uint16_t pvid; /* untagged in and out; 0: none */
};

static int parse_vlan_attr(const struct nlattr *a, void *arg)
{
	static const uint16_t both = BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED;
	struct pvid_search *s = arg;
	const struct bridge_vlan_info *v = mnl_attr_get_payload(a);

	if (mnl_attr_get_type(a) == IFLA_BRIDGE_VLAN_INFO && mnl_attr_get_payload_len(a) >= sizeof(*v) &&
	    (v->flags & both) == both)
		s->pvid = v->vid;
	return MNL_CB_OK;
}

static int on_port_vlans(const struct nlmsghdr *h, void *arg)
{
	struct pvid_search *s = arg;
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(h) < sizeof(*ifi) || ifi->ifi_index != s->port)
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, sizeof(*ifi))
	{
		if (mnl_attr_get_type(a) == IFLA_AF_SPEC)
			mnl_attr_parse_nested(a, parse_vlan_attr, s);
	}
	return MNL_CB_OK;
}

static int find_pvid(struct netlink *nl, struct pvid_search *s)
{
	int result = -EINTR;

	for (int i = 0; i < DUMP_TRIES && result == -EINTR; i++) {
		struct request r;

		request_link(&r, RTM_GETLINK, NLM_F_DUMP, 0)->ifi_family = PF_BRIDGE;
		mnl_attr_put_u32(r.h, IFLA_EXT_MASK, RTEXT_FILTER_BRVLAN_COMPRESSED);
		result = netlink_talk(nl, &r, on_port_vlans, s);
	}
	return result;
}

int netlink_check_vlan(struct netlink *nl, const struct bridge_info *b, int port, struct err *e)
{
	struct pvid_search s = { .port = port };
	int r;

	if (!b->vlan_filtering)
		return 0;
	if (b->default_pvid == 0)
		return err_set(e, -EOPNOTSUPP,
			       "bridge %s filters VLANs and puts new ports into none; set one with: "
			       "ip link set %s type bridge vlan_default_pvid VLAN",
			       b->name, b->name);
	if (port == 0)
		return 0;
	r = find_pvid(nl, &s);
	if (r < 0)
		return err_set_errno(e, r, "cannot read the VLANs of the ports of bridge %s", b->name);
	if (s.pvid != b->default_pvid)
		return err_set(e, -EOPNOTSUPP,
			       "bridge %s filters VLANs, and the VM's port is not untagged in its default VLAN %u, "
			       "the only one in which connections are held",
			       b->name, b->default_pvid);
	return 0;
}
