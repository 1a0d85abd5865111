/* The kernel's links, bridges and forwarding tables, through one rtnetlink socket.
 *
 * Every call blocks until the kernel has answered: tens of microseconds, as long as nobody else
 * sits on the kernel's network lock.  A socket that gets no answer for NETLINK_TIMEOUT_MS gives
 * -ETIMEDOUT.  All of it works in the network namespace in which netlink_new() was called.
 *
 * Outputs are untouched on failure; *e then has a sentence.
 */
#ifndef LAUNCHER_NETLINK_H
#define LAUNCHER_NETLINK_H

#include "base/addr.h"
#include "base/err.h"
#include "base/msg.h"
#include "base/util.h"

struct event_base;
struct netlink;

enum { NETLINK_TIMEOUT_MS = 2000, NETLINK_ALIAS_MAX = 256, NETLINK_KIND_MAX = 16 };

struct netlink *netlink_new(struct err *e); /* NULL with *e */
void netlink_free(struct netlink *nl); /* NULL is fine */

/* ---- links ---- */

struct link_info {
	int ifindex;
	int master; /* the ifindex of the bridge it is a port of; 0: none */
	char name[MSG_IFNAME_MAX];
	char kind[NETLINK_KIND_MAX]; /* "tun", "bridge", "openvswitch", "veth" ...; "" for hardware */
	char alias[NETLINK_ALIAS_MAX]; /* "" for none */
	struct mac_addr mac;
	uint32_t mtu;
	bool up; /* someone set it up */
	bool carrier; /* the other end is there; of a tap: a process has it open */
	/* A bridge's port that does not forward yet: the spanning tree listens and learns first; or its carrier has just
	 * come, and the bridge has not heard of it. */
	bool settling;
};

/* 0, -ENODEV when there is none, or -errno. */
int netlink_link(struct netlink *nl, const char *ifname, struct link_info *out, struct err *e);
int netlink_link_by_index(struct netlink *nl, int ifindex, struct link_info *out, struct err *e);

/* Is the interface a port of that bridge?  1 or 0 (also when it is gone), or -errno. */
int netlink_is_port_of(struct netlink *nl, int ifindex, int bridge, struct err *e);

/* ---- bridges ---- */

struct bridge_info {
	int ifindex;
	char name[MSG_IFNAME_MAX];
	struct mac_addr mac;
	uint32_t mtu;
	bool up;
	bool stp; /* the spanning tree protocol is on, or a daemon runs it */
	uint32_t forward_delay_ms; /* how long a new port waits, twice, before it forwards, under STP */
	bool vlan_filtering;
	uint16_t default_pvid; /* the VLAN that a new port's untagged frames are in; 0: none, or not known */
	struct ip_prefix ip4; /* its own first IPv4 address; all zero when it has none */
	struct ip_prefix ip6; /* its own first global or unique-local IPv6 address, or zero */
	struct ip_addr ip6_link_local; /* or zero */
};

/* What is known of a Linux bridge.  -ENODEV when there is no such interface, -EOPNOTSUPP when it
 * is no Linux bridge (Open vSwitch is named as such in the sentence). */
int netlink_bridge(struct netlink *nl, const char *name, struct bridge_info *out, struct err *e);

/* What about this bridge makes VMs slow or unreachable, one sentence each with what to do: STP
 * with its forward delay, VLAN filtering, a bridge that is down, br_netfilter with iptables in
 * the way.  For the log, at start.  The bridge must have been asked for with netlink_bridge(). */
typedef void netlink_warn_fn(void *arg, const char *sentence);
void netlink_warn(netlink_warn_fn *fn, void *arg, const char *fmt, ...) PRINTF_LIKE(3, 4);
void netlink_bridge_warnings(const struct bridge_info *b, netlink_warn_fn *warn, void *arg);

/* ---- taps of ours ---- */

/* A tap is ours when its name begins with TAP_PREFIX and its alias is "jitsu:SERVICE:NIC".  Both
 * are set before it can carry anything. */
#define TAP_PREFIX "jt"

struct tap_conf {
	const char *ifname; /* identity_tap_name() */
	const char *service;
	unsigned nic;
	struct mac_addr mac; /* of our side, identity_tap_mac(): begins with fe:; zero: as it is */
	int bridge; /* ifindex; 0: on none */
	int backup; /* ifindex of the hold tap there, which gets what comes while nobody has the tap open; 0: none */
	uint32_t mtu; /* 0: the kernel's default */
};

struct tap_info {
	struct link_info link;
	char service[MSG_NAME_MAX];
	unsigned nic;
};

/* Makes a persistent tap (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, one queue), a port of the bridge
 * and up, with no IPv6 address of its own and no queueing discipline; nothing holds it open
 * afterwards.  One of ours that was left over is taken and set right again; -EBUSY when a process
 * still holds that one (the sentence names it), -EEXIST when the name is another's. */
int netlink_tap_create(struct netlink *nl, const struct tap_conf *c, int *ifindex, struct err *e);

/* Deletes a tap of ours; what is no tap of ours is left alone (-EPERM).  0 too when it is gone. */
int netlink_tap_delete(struct netlink *nl, const char *ifname, struct err *e);

/* What a port of the bridge that no VM has is said to belong to: no service can be called so. */
#define TAP_SPARE "(spare)"

/* Sets a tap of ours aside, for another VM: down, of service TAP_SPARE, and still a port of the bridge.  0, or
 * -errno and it is to be deleted: it is no port of this bridge, a process has it open (-EBUSY), or the bridge still
 * looks for `vm_mac` behind it. */
int netlink_tap_set_aside(struct netlink *nl, const char *ifname, int bridge, const struct mac_addr *vm_mac,
			  int *ifindex, struct err *e);
/* Gives such a one its new name; netlink_tap_create() with that name does the rest.  -ENODEV: it is gone. */
int netlink_tap_rename(struct netlink *nl, int ifindex, const char *ifname, struct err *e);

/* Calls `each` for every tap of ours. */
typedef void netlink_tap_fn(void *arg, const struct tap_info *tap);
int netlink_taps(struct netlink *nl, netlink_tap_fn *each, void *arg, struct err *e);

/* ---- forwarding database ----
 *
 * Where a bridge believes MACs to be.  An entry goes away with its port, whatever it is; when only
 * the carrier of the port goes, static ones stay.
 */

struct fdb_entry {
	int port; /* ifindex behind which the MAC is */
	bool local; /* it is the port's (or the bridge's) own */
	bool is_static; /* does not age */
	bool sticky; /* does not move when a frame with that source comes from another port */
};

/* Where the bridge believes this MAC to be (any VLAN; the first one found).  -ENOENT: nowhere. */
int netlink_fdb_find(struct netlink *nl, int bridge, const struct mac_addr *mac, struct fdb_entry *out, struct err *e);

/* A static entry still moves to the port at which its MAC is seen as a source; a sticky one never. */
enum fdb_kind { FDB_STATIC, FDB_STICKY };

/* From now on the MAC is behind `port`, which is a port of a bridge, and nowhere else on that
 * bridge.  One request makes the entry or moves the one that is there, whoever made it: in the
 * kernel that is one store to the entry's port, so that no frame finds none or is flooded (when it
 * was not known before, it is flooded until then).  On return it holds for every frame that the
 * bridge has yet to look at.
 *
 * VLANs: as the request names none, the kernel makes an entry without a VLAN and one for each VLAN
 * that the port is in (netlink_check_vlan() says whether that will do).
 *
 * -ENODEV: the port is gone, or on no bridge.  -EADDRINUSE: the MAC is an interface's own on that
 * bridge; nothing was changed. */
int netlink_fdb_set(struct netlink *nl, int port, const struct mac_addr *mac, enum fdb_kind kind, struct err *e);

/* Makes the bridge forget that the MAC is behind `port`.  0 too when it did not know it. */
int netlink_fdb_delete(struct netlink *nl, int port, const struct mac_addr *mac, struct err *e);

/* Calls `each` for every MAC that the bridge has behind `port`, once for each of its VLANs, but not for interfaces'
 * own.  It may change the entries. */
typedef void netlink_fdb_fn(void *arg, const struct mac_addr *mac);
int netlink_fdb_each(struct netlink *nl, int bridge, int port, netlink_fdb_fn *each, void *arg, struct err *e);

/* Can a MAC be moved between our hold tap and this port of the bridge (0: a port that will be made
 * like any new one)?  Yes (0) on a bridge that does not filter VLANs, or when the port sends and
 * takes untagged frames of the bridge's default VLAN, where our tap is.  Else -EOPNOTSUPP. */
int netlink_check_vlan(struct netlink *nl, const struct bridge_info *b, int port, struct err *e);

/* ---- queueing disciplines ---- */

/* What sits at the ingress hook of the interface: "clsact", "ingress" or "" for nothing. */
int netlink_ingress_kind(struct netlink *nl, int ifindex, char kind[NETLINK_KIND_MAX], struct err *e);

/* ---- news ---- */

enum link_event {
	LINK_UP, /* up and with carrier: for a tap, a process opened it */
	LINK_DOWN, /* set down, or the carrier went */
	LINK_GONE, /* deleted; link->ifindex and name are those it had */
	LINK_JOINED, /* it is a port of the bridge link->master now (or still is: something of the port changed) */
	LINK_LEFT, /* it was a port of the bridge link->master, and its forwarding entries are gone */
	LINK_LOST_TRACK, /* events were lost: look at everything again; link is NULL */
};

struct netlink_monitor;

/* Called from the loop on every change of a link (and for LINK_UP, LINK_DOWN and LINK_JOINED also
 * when nothing of interest changed).  The kernel may tell of a carrier up to a second late; the
 * others come at once.  A port that is deleted leaves first, then is gone.  Of LINK_JOINED and
 * LINK_LEFT only ifindex, name, master, mac, mtu, up and carrier are set in `link`, which dies on
 * return. */
typedef void netlink_link_fn(void *arg, enum link_event what, const struct link_info *link);
struct netlink_monitor *netlink_monitor_new(struct event_base *base, netlink_link_fn *on_link, void *arg,
					    struct err *e);
void netlink_monitor_free(struct netlink_monitor *m); /* NULL is fine */

#endif
