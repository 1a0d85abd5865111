/* Theory of operation
 *
 * A tap passes through these steps, each of which may be the last one this process lives to see:
 *
 *     TUNSETIFF        exists, goes away with our descriptor
 *     RTM_NEWLINK      has our alias: from now on it is known as ours
 *     TUNSETPERSIST    stays
 *     close            ... without us, and waits for QEMU
 *
 * so a tap without an alias never outlives the launcher, and one with an alias is found by
 * netlink_taps() and deleted by whoever reconciles.  It is set up while we still hold it: then it
 * has a carrier, and the bridge makes it a forwarding port at once instead of when QEMU opens it.
 *
 * Making the tap costs about half a millisecond, so it is made at each start and deleted when the
 * VM is gone: a service that is off leaves nothing on the host.  Taps made in advance were
 * refused for that reason; but a bridge that knows thousands of MACs looks through them all when a
 * port joins and when it leaves, and there some of the taps stay its ports, for whichever VM boots
 * next (reaper.c).  `ip tuntap` and libvirt's own tap (which runs `tc`, 10 ms) were
 * refused because a process per start costs more than everything here.
 */
#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include "launcher/netlink.h"
#include "launcher/netlink_internal.h"

#define ALIAS_PREFIX "jitsu:"

/* "jitsu:SERVICE:NIC" */
static bool parse_alias(const char *alias, struct tap_info *out)
{
	const char *service = alias + strlen(ALIAS_PREFIX), *colon;
	char *end;
	unsigned long nic;

	if (strncmp(alias, ALIAS_PREFIX, strlen(ALIAS_PREFIX)) != 0)
		return false;
	colon = strrchr(service, ':');
	if (!colon || colon == service || (size_t)(colon - service) >= sizeof(out->service))
		return false;
	nic = strtoul(colon + 1, &end, 10);
	if (end == colon + 1 || *end || nic >= MSG_NICS_MAX)
		return false;
	memcpy(out->service, service, (size_t)(colon - service));
	out->service[colon - service] = '\0';
	out->nic = (unsigned)nic;
	return true;
}

static bool is_our_tap(const struct link_info *l, struct tap_info *out)
{
	out->link = *l;
	return strcmp(l->kind, "tun") == 0 && strncmp(l->name, TAP_PREFIX, strlen(TAP_PREFIX)) == 0 &&
	       parse_alias(l->alias, out);
}

static bool is_service_tap(const struct link_info *l)
{
	struct tap_info ignored;

	return is_our_tap(l, &ignored);
}

struct link_list {
	struct link_info *v;
	size_t n, room;
	bool no_memory;
};

static int on_link_of_list(const struct nlmsghdr *h, void *arg)
{
	struct link_list *list = arg;
	struct link_detail d;

	if (!netlink_parse_link(h, &d) || strcmp(d.link.kind, "tun") != 0 || list->no_memory)
		return MNL_CB_OK;
	if (list->n == list->room) {
		size_t room = list->room ? 2 * list->room : 16;
		struct link_info *v = reallocarray(list->v, room, sizeof(*v));

		if (!v) {
			list->no_memory = true;
			return MNL_CB_OK;
		}
		list->v = v;
		list->room = room;
	}
	list->v[list->n++] = d.link;
	return MNL_CB_OK;
}

int tap_each(struct netlink *nl, tap_fn *each, void *arg)
{
	struct link_list list = { 0 };
	int result = -EINTR;

	for (int i = 0; i < DUMP_TRIES && result == -EINTR; i++) {
		struct request r;

		list.n = 0;
		request_link(&r, RTM_GETLINK, NLM_F_DUMP, 0);
		mnl_attr_put_u32(r.h, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
		result = netlink_talk(nl, &r, on_link_of_list, &list);
	}
	if (result == 0 && list.no_memory)
		result = -ENOMEM;
	for (size_t i = 0; result == 0 && i < list.n; i++)
		each(arg, &list.v[i]);
	free(list.v);
	return result;
}

struct our_taps {
	netlink_tap_fn *each;
	void *arg;
};

static void tell_if_ours(void *arg, const struct link_info *link)
{
	const struct our_taps *ours = arg;
	struct tap_info tap;

	if (is_our_tap(link, &tap))
		ours->each(ours->arg, &tap);
}

int netlink_taps(struct netlink *nl, netlink_tap_fn *each, void *arg, struct err *e)
{
	struct our_taps ours = { each, arg };
	int r = tap_each(nl, tell_if_ours, &ours);

	return r < 0 ? err_set_errno(e, r, "cannot list the taps") : 0;
}

int tap_attach(const char *ifname, short more)
{
	struct ifreq ifr = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | more) };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	int r;

	if (fd < 0)
		return -errno;
	str_copy(ifr.ifr_name, ifname);
	if (ioctl(fd, TUNSETIFF, &ifr) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

/* Of one process: does it have the tap open?  Its descriptors that are taps tell their name in
 * fdinfo's line "iff:". */
static bool process_holds(int proc, const char *pid, const char *ifname)
{
	char path[64], line[128], name[IFNAMSIZ];
	struct dirent *d;
	bool found = false;
	int fd;
	DIR *dir;

	snprintf(path, sizeof(path), "%.20s/fdinfo", pid);
	fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		fd_close(&fd);
		return false;
	}
	while (!found && (d = readdir(dir))) {
		int info = d->d_name[0] == '.' ? -1 : openat(fd, d->d_name, O_RDONLY | O_CLOEXEC);
		cleanup_fclose FILE *f = info >= 0 ? fdopen(info, "r") : NULL;

		while (!found && f && fgets(line, sizeof(line), f))
			found = sscanf(line, "iff: %15s", name) == 1 && strcmp(name, ifname) == 0;
	}
	closedir(dir);
	return found;
}

static void read_comm(int proc, const char *pid, char *out, size_t size)
{
	char path[64];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "%.20s/comm", pid);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		n = read(fd, out, size - 1);
	fd_close(&fd);
	out[n > 0 ? n : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

void tap_holder(const char *ifname, char *out, size_t size)
{
	DIR *dir = opendir("/proc");
	struct dirent *d;

	snprintf(out, size, "a process that cannot be found");
	while (dir && (d = readdir(dir))) {
		char comm[32];

		if (d->d_name[0] < '0' || d->d_name[0] > '9' || !process_holds(dirfd(dir), d->d_name, ifname))
			continue;
		read_comm(dirfd(dir), d->d_name, comm, sizeof(comm));
		snprintf(out, size, "process %.20s (%s)", d->d_name, comm);
		break;
	}
	if (dir)
		closedir(dir);
}

int tap_check_name(struct netlink *nl, const char *ifname, tap_is_fn *is_ours, struct mac_addr *mac, struct err *e)
{
	struct link_detail d;
	int r = netlink_find_link(nl, ifname, 0, &d);

	if (r == -ENODEV)
		return 0;
	if (r < 0)
		return err_set_errno(e, r, "cannot look at interface %s", ifname);
	if (!is_ours(&d.link))
		return err_set(e, -EEXIST, "there is an interface %s already, which is no tap of jitsu's; rename it",
			       ifname);
	*mac = d.link.mac;
	return 0;
}

/* All that can be said of it in one message: what it is called, that it has no IPv6 address. */
static int describe(struct netlink *nl, int ifindex, const struct tap_looks *l, bool ipv6)
{
	struct request r;

	request_link(&r, RTM_NEWLINK, 0, ifindex);
	mnl_attr_put_str(r.h, IFLA_IFALIAS, l->alias);
	if (!mac_is_zero(&l->mac))
		mnl_attr_put(r.h, IFLA_ADDRESS, sizeof(l->mac), &l->mac);
	if (l->mtu)
		mnl_attr_put_u32(r.h, IFLA_MTU, l->mtu);
	if (l->frames)
		mnl_attr_put_u32(r.h, IFLA_TXQLEN, l->frames);
	if (ipv6) {
		struct nlattr *spec = mnl_attr_nest_start(r.h, IFLA_AF_SPEC);
		struct nlattr *inet6 = mnl_attr_nest_start(r.h, AF_INET6);

		mnl_attr_put_u8(r.h, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
		mnl_attr_nest_end(r.h, inet6);
		mnl_attr_nest_end(r.h, spec);
	}
	return netlink_talk(nl, &r, NULL, NULL);
}

int tap_describe(struct netlink *nl, int ifindex, const struct tap_looks *l)
{
	int r = describe(nl, ifindex, l, netlink_has_ipv6(nl));

	if (r != -EAFNOSUPPORT)
		return r;
	/* its MTU was too small for IPv6 (RFC 8200, 5), and need not be any more */
	r = describe(nl, ifindex, l, false);
	if (r == 0)
		describe(nl, ifindex, l, true);
	return r;
}

/* A tap has a ring of its own; a queueing discipline before it costs a lock and delay. */
int tap_drop_queueing(struct netlink *nl, int ifindex)
{
	struct request r;
	struct tcmsg *tc;

	request_begin(&r, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE);
	tc = mnl_nlmsg_put_extra_header(r.h, sizeof(*tc));
	tc->tcm_family = AF_UNSPEC;
	tc->tcm_ifindex = ifindex;
	tc->tcm_parent = TC_H_ROOT;
	mnl_attr_put_strz(r.h, TCA_KIND, "noqueue");
	return netlink_talk(nl, &r, NULL, NULL);
}

int tap_put_on(struct netlink *nl, int ifindex, int bridge, bool up)
{
	struct request r;
	struct ifinfomsg *ifi = request_link(&r, RTM_NEWLINK, 0, ifindex);

	if (up)
		ifi->ifi_flags = ifi->ifi_change = IFF_UP;
	mnl_attr_put_u32(r.h, IFLA_MASTER, (uint32_t)bridge);
	return netlink_talk(nl, &r, NULL, NULL);
}

/* Frames for a VM that has just gone come to the hold tap.  What counts more: a bridge whose port goes down looks
 * for the port's entries among all that it has, three times in the life of a VM, unless there is such a port; of
 * ten thousand held services each time is a millisecond.  (Linux 4.18; an older one has none, and looks.) */
static void back_up(struct netlink *nl, int ifindex, int backup)
{
	struct nlattr *info, *data;
	struct request r;

	request_link(&r, RTM_NEWLINK, 0, ifindex);
	info = mnl_attr_nest_start(r.h, IFLA_LINKINFO);
	mnl_attr_put_strz(r.h, IFLA_INFO_SLAVE_KIND, "bridge");
	data = mnl_attr_nest_start(r.h, IFLA_INFO_SLAVE_DATA);
	mnl_attr_put_u32(r.h, IFLA_BRPORT_BACKUP_PORT, (uint32_t)backup);
	mnl_attr_nest_end(r.h, data);
	mnl_attr_nest_end(r.h, info);
	netlink_talk(nl, &r, NULL, NULL);
}

static int tap_set_up(struct netlink *nl, const struct tap_conf *c, int ifindex)
{
	struct tap_looks looks = { .mac = c->mac, .mtu = c->mtu };
	int r;

	snprintf(looks.alias, sizeof(looks.alias), ALIAS_PREFIX "%s:%u", c->service, c->nic);
	r = tap_describe(nl, ifindex, &looks);
	if (r == 0)
		tap_drop_queueing(nl, ifindex); /* a kernel without noqueue: the default one does too */
	if (r == 0)
		r = tap_put_on(nl, ifindex, c->bridge, true);
	if (r == 0 && c->backup)
		back_up(nl, ifindex, c->backup);
	return r;
}

int tap_open_error(const char *ifname, const char *whose, int r, struct err *e)
{
	char holder[80];

	if (r == -EBUSY) {
		tap_holder(ifname, holder, sizeof(holder));
		return err_set(e, r, "the tap %s of %s is still held by %s; end that first", ifname, whose, holder);
	}
	if (r == -ENOENT || r == -ENODEV)
		return err_set(e, r, "there is no /dev/net/tun; load the kernel module: modprobe tun");
	return err_set_errno(e, r, "cannot make the tap %s of %s", ifname, whose);
}

int netlink_tap_create(struct netlink *nl, const struct tap_conf *c, int *ifindex, struct err *e)
{
	struct tap_conf changed = *c;
	char whose[MSG_NAME_MAX + 16];
	cleanup_close int fd = -1;
	struct mac_addr mac = { 0 };
	int index, r;

	assert(netlink_is_ifname(c->ifname) && strncmp(c->ifname, TAP_PREFIX, strlen(TAP_PREFIX)) == 0);
	r = tap_check_name(nl, c->ifname, is_service_tap, &mac, e);
	if (r < 0)
		return r;
	if (memcmp(&mac, &c->mac, sizeof(mac)) == 0) /* to be told so, a bridge looks through all that it knows */
		memset(&changed.mac, 0, sizeof(changed.mac));
	fd = tap_attach(c->ifname, IFF_VNET_HDR);
	snprintf(whose, sizeof(whose), "service %s", c->service);
	if (fd < 0)
		return tap_open_error(c->ifname, whose, fd, e);
	index = (int)if_nametoindex(c->ifname);
	r = index > 0 ? tap_set_up(nl, &changed, index) : -ENODEV;
	if (r == 0 && ioctl(fd, TUNSETPERSIST, 1) < 0)
		r = -errno;
	if (r < 0)
		return err_set_errno(e, r, "cannot set up the tap %s of %s", c->ifname, whose);
	*ifindex = index;
	return 0;
}

int tap_delete(struct netlink *nl, const char *ifname, tap_is_fn *is_ours, struct err *e)
{
	struct link_detail d;
	struct request r;
	int result = netlink_find_link(nl, ifname, 0, &d);

	if (result == -ENODEV)
		return 0;
	if (result == 0 && !is_ours(&d.link))
		return err_set(e, -EPERM, "%s is no tap of jitsu's: it stays", ifname);
	if (result == 0) {
		request_link(&r, RTM_DELLINK, 0, d.link.ifindex);
		result = netlink_talk(nl, &r, NULL, NULL);
	}
	if (result < 0 && result != -ENODEV)
		return err_set_errno(e, result, "cannot delete the tap %s", ifname);
	return 0;
}

int netlink_tap_delete(struct netlink *nl, const char *ifname, struct err *e)
{
	return tap_delete(nl, ifname, is_service_tap, e);
}

static int may_be_spare(struct netlink *nl, const struct link_info *l, int bridge, const struct mac_addr *vm_mac,
			struct err *e)
{
	struct fdb_entry at;
	int r;

	if (!is_service_tap(l) || l->master != bridge)
		return err_set(e, -EPERM, "%s is no port of ours on that bridge", l->name);
	if (l->carrier)
		return err_set(e, -EBUSY, "a process has %s open", l->name);
	r = netlink_fdb_find(nl, bridge, vm_mac, &at, e);
	if (r == 0 && at.port == l->ifindex)
		return err_set(e, -EADDRINUSE, "frames for its VM would go to the next one on %s", l->name);
	return r == -ENOENT ? 0 : r;
}

int netlink_tap_set_aside(struct netlink *nl, const char *ifname, int bridge, const struct mac_addr *vm_mac,
			  int *ifindex, struct err *e)
{
	struct ifinfomsg *ifi;
	struct link_info l;
	struct request req;
	int r = netlink_link(nl, ifname, &l, e);

	if (r == 0)
		r = may_be_spare(nl, &l, bridge, vm_mac, e);
	if (r < 0)
		return r;
	ifi = request_link(&req, RTM_NEWLINK, 0, l.ifindex);
	ifi->ifi_change = IFF_UP;
	mnl_attr_put_str(req.h, IFLA_IFALIAS, ALIAS_PREFIX TAP_SPARE ":0");
	r = netlink_talk(nl, &req, NULL, NULL);
	if (r < 0)
		return err_set_errno(e, r, "cannot set the tap %s aside", ifname);
	*ifindex = l.ifindex;
	return 0;
}

int netlink_tap_rename(struct netlink *nl, int ifindex, const char *ifname, struct err *e)
{
	struct request req;
	int r;

	request_link(&req, RTM_NEWLINK, 0, ifindex);
	mnl_attr_put_strz(req.h, IFLA_IFNAME, ifname);
	r = netlink_talk(nl, &req, NULL, NULL);
	return r < 0 ? err_set_errno(e, r, "cannot call a spare tap %s", ifname) : 0;
}
