/* Theory of operation
 *
 * A hold tap lives longer than every process of ours but the one that keeps its descriptor: with
 * that go the frames in its ring, its carrier, and so its place among the bridge's ports.  A new
 * launcher is given the descriptor, or, when nobody kept it, attaches to the tap that is still
 * there (it is persistent) or makes it.  Everything that can be set is set each time, in an order
 * in which a tap that was in use never stops carrying frames: what is right already, the kernel
 * leaves alone.
 *
 * A tap that nobody held before passes through these steps, as tap.c's do:
 *
 *     TUNSETIFF          exists, goes away with our descriptor
 *     TUNATTACHFILTER    drops everything
 *     RTM_NEWLINK        has our alias: from now on it is known as ours
 *     RTM_NEWLINK        is a port of the bridge, down
 *     RTM_NEWLINK        does not learn: a frame that we write has a client's source
 *     RTM_NEWLINK        is up
 *     TUNSETPERSIST      stays
 *
 * The classic filter that drops everything belongs to the tap, too, and the kernel remembers where
 * in the memory of a process that is long gone it was: IFF_NOFILTER keeps it from looking there
 * again.
 *
 * Multicast: a bridge that snoops forwards a group's frames only to the ports that asked for it, and
 * neighbour solicitations go to groups.  A port "to a multicast router" gets all.
 *
 * Refused: one tap per service (a bridge floods to each of them); a packet socket on the bridge
 * (it hears a copy of what the host gets, and the bridge still floods the frame everywhere).
 */
#include "launcher/hold_tap.h"

#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include "launcher/identity.h"
#include "launcher/netlink_internal.h"

#define ALIAS_PREFIX "jitsu-hold:"

enum { ROUTER_PERMANENT = 2 }; /* IFLA_BRPORT_MULTICAST_ROUTER */

static bool is_hold_tap(const struct link_info *l)
{
	return strcmp(l->kind, "tun") == 0 && strncmp(l->name, HOLD_TAP_PREFIX, strlen(HOLD_TAP_PREFIX)) == 0 &&
	       strncmp(l->alias, ALIAS_PREFIX, strlen(ALIAS_PREFIX)) == 0;
}

/* ---- making ---- */

/* Is it that tap's, as we make them, and is the tap there? */
static bool is_of(int fd, const char *ifname)
{
	static const short wanted = IFF_TAP | IFF_NO_PI, all = wanted | IFF_TUN | IFF_VNET_HDR | IFF_MULTI_QUEUE;
	struct ifreq ifr = { .ifr_flags = 0 };

	return fd >= 0 && ioctl(fd, TUNGETIFF, &ifr) == 0 && strcmp(ifr.ifr_name, ifname) == 0 &&
	       (ifr.ifr_flags & all) == wanted && if_nametoindex(ifname) > 0;
}

static int drop_everything(int fd)
{
	struct sock_filter code = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog prog = { .len = 1, .filter = &code };

	return ioctl(fd, TUNATTACHFILTER, &prog) < 0 ? -errno : 0;
}

static int attach(struct hold_tap *t, int kept)
{
	t->kept = is_of(kept, t->ifname);
	if (t->kept) {
		t->fd = kept;
		return 0;
	}
	fd_close(&kept);
	t->fd = tap_attach(t->ifname, IFF_NOFILTER);
	return t->fd < 0 ? t->fd : drop_everything(t->fd);
}

static int set_descriptor(int fd)
{
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
	    ioctl(fd, TUNSETOFFLOAD, 0) < 0)
		return -errno;
	return 0;
}

static int set_port(struct netlink *nl, int ifindex)
{
	static const struct {
		uint16_t attr;
		uint8_t value;
	} options[] = {
		{ IFLA_BRPORT_LEARNING, 0 },
		{ IFLA_BRPORT_UNICAST_FLOOD, 1 },
		{ IFLA_BRPORT_MCAST_FLOOD, 1 },
		{ IFLA_BRPORT_BCAST_FLOOD, 1 },
		{ IFLA_BRPORT_MCAST_TO_UCAST, 0 },
		{ IFLA_BRPORT_MULTICAST_ROUTER, ROUTER_PERMANENT },
		{ IFLA_BRPORT_ISOLATED, 0 },
	};
	struct nlattr *info, *data;
	struct request r;

	request_link(&r, RTM_NEWLINK, 0, ifindex);
	info = mnl_attr_nest_start(r.h, IFLA_LINKINFO);
	mnl_attr_put_strz(r.h, IFLA_INFO_SLAVE_KIND, "bridge");
	data = mnl_attr_nest_start(r.h, IFLA_INFO_SLAVE_DATA);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		mnl_attr_put_u8(r.h, options[i].attr, options[i].value);
	mnl_attr_nest_end(r.h, data);
	mnl_attr_nest_end(r.h, info);
	return netlink_talk(nl, &r, NULL, NULL);
}

static int set_link(struct netlink *nl, const struct identity *id, const struct bridge_info *b, int ifindex)
{
	struct tap_looks looks = { .mtu = b->mtu, .frames = HOLD_TAP_FRAMES };
	int r;

	snprintf(looks.alias, sizeof(looks.alias), ALIAS_PREFIX "%s", b->name);
	identity_hold_mac(id, b->name, &looks.mac);
	r = tap_describe(nl, ifindex, &looks);
	if (r == 0)
		tap_drop_queueing(nl, ifindex); /* a kernel without noqueue: the default one does too */
	if (r == 0)
		r = tap_put_on(nl, ifindex, b->ifindex, false);
	if (r == 0)
		r = set_port(nl, ifindex);
	return r == 0 ? tap_put_on(nl, ifindex, b->ifindex, true) : r;
}

static int set_up(struct netlink *nl, const struct identity *id, const struct bridge_info *b, struct hold_tap *t)
{
	int r;

	t->ifindex = (int)if_nametoindex(t->ifname);
	r = t->ifindex > 0 ? set_descriptor(t->fd) : -ENODEV;
	if (r == 0)
		r = set_link(nl, id, b, t->ifindex);
	if (r == 0 && ioctl(t->fd, TUNSETPERSIST, 1) < 0)
		r = -errno;
	return r;
}

int hold_tap_open(struct netlink *nl, const struct identity *id, const struct bridge_info *b, int kept,
		  struct hold_tap *out, struct err *e)
{
	char whose[MSG_NAME_MAX + 16];
	struct hold_tap t = { .fd = -1 };
	struct mac_addr ignored;
	int r;

	snprintf(whose, sizeof(whose), "bridge %s", b->name);
	identity_hold_name(id, b->name, t.ifname);
	r = tap_check_name(nl, t.ifname, is_hold_tap, &ignored, e);
	if (r < 0) {
		fd_close(&kept);
		return r;
	}
	r = attach(&t, kept);
	if (r < 0) {
		fd_close(&t.fd);
		return tap_open_error(t.ifname, whose, r, e);
	}
	r = set_up(nl, id, b, &t);
	if (r < 0) {
		fd_close(&t.fd);
		return err_set_errno(e, r, "cannot set up the tap %s of %s", t.ifname, whose);
	}
	*out = t;
	return 0;
}

void hold_tap_close(struct hold_tap *t) { fd_close(&t->fd); }

int hold_tap_delete(struct netlink *nl, const char *ifname, struct err *e)
{
	return tap_delete(nl, ifname, is_hold_tap, e);
}

/* ---- listing ---- */

struct our_taps {
	hold_tap_fn *each;
	void *arg;
};

static void tell_if_ours(void *arg, const struct link_info *l)
{
	const struct our_taps *ours = arg;

	if (is_hold_tap(l))
		ours->each(ours->arg, l, l->alias + strlen(ALIAS_PREFIX));
}

int hold_tap_list(struct netlink *nl, hold_tap_fn *each, void *arg, struct err *e)
{
	struct our_taps ours = { each, arg };
	int r = tap_each(nl, tell_if_ours, &ours);

	return r < 0 ? err_set_errno(e, r, "cannot list the taps") : 0;
}
