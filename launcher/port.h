/* One VM's port on a bridge: a tap of ours or a vnetX of libvirt's.  Who uses the VM, and the
 * socket to probe it through.
 *
 * What counts as use: unicast IPv4 and IPv6 frames from or to the VM, VLAN-tagged ones too.  Not
 * ARP, neighbour discovery (ICMPv6 133..137), multicast, broadcast, frames flooded to the port
 * for another MAC, and frames from or to the prober's own MAC; nor, with BPF, RSTs and the VM's
 * SYN-ACKs, which a prober with the bridge's own MAC leaves behind.
 *
 * Two ways to count, behind one interface.  With BPF: a clsact program on each port, loaded once
 * per process, that also knows the time of the last packet.  Where BPF is not allowed: a packet
 * socket with a classic filter, never read, whose kernel counter is asked; then the time of the
 * last packet is only known to lie between two calls of port_activity(), and is given as that of
 * the later one.  Neither wakes this process per packet.
 *
 * Counting begins at port_open(): after a restart of the launcher it begins again from nothing,
 * and a caller does well to count that moment as a use.
 *
 * The guard, for taps of ours (BPF only; without it nothing is guarded, and the note says so):
 * what the VM sends with addresses that are not its own is dropped before the bridge sees it.
 * What passes, is, from its own MAC as Ethernet source:
 *
 *     ARP     with its MAC as sender, and as sender address its own or 0.0.0.0 (RFC 5227: a probe);
 *             RARP with its MAC as sender
 *     IPv4    from its own address; from 0.0.0.0 only as a DHCP client (UDP from 68 to 67)
 *     IPv6    from its own address, a link-local one or ::; a neighbour advertisement only for its
 *             own or a link-local address
 *     0x0842  Wake-on-LAN: to wake others
 *
 * and nothing else: no VLAN tag but the one of VLAN 0 (a priority only), no spanning tree, LLDP,
 * PPPoE, MPLS.  A NIC whose addresses are not known (n_guard_addrs 0) is held to its MAC only, as
 * Ethernet source and as ARP and RARP sender; whatever else it sends, passes.  Frames that are
 * dropped count as no use.
 */
#ifndef LAUNCHER_PORT_H
#define LAUNCHER_PORT_H

#include "base/addr.h"
#include "base/err.h"
#include "base/msg.h"
#include "base/util.h"

struct netlink;
struct port_monitor;
struct port;

enum port_way { PORT_WAY_BPF, PORT_WAY_SOCKET };

/* What all ports share.  PORT_WAY_BPF falls back to sockets when the kernel does not let us.  With
 * sockets port_monitor_note() says why, and what of it ("" with BPF), for the log.  NULL with *e only when memory ran
 * out.  `nl` stays the caller's, and must live longer than the monitor. */
struct port_monitor *port_monitor_new(struct netlink *nl, enum port_way way, struct err *e);
void port_monitor_free(struct port_monitor *m); /* after every port; NULL is fine */
enum port_way port_monitor_way(const struct port_monitor *m);
const char *port_monitor_note(const struct port_monitor *m);

struct port_conf {
	const char *ifname;
	struct mac_addr vm_mac; /* zero: unknown, then every unicast frame on the port counts */
	struct mac_addr ignore_mac; /* the prober's own MAC (struct prober: ignore_mac); zero: none */
	bool guard; /* for taps of ours alone, and with vm_mac */
	uint16_t n_guard_addrs; /* 0: its MAC alone is checked */
	struct ip_addr guard_addrs[MSG_LIST_MAX]; /* with which it may speak */
};

struct port_activity {
	uint64_t last_ns; /* CLOCK_MONOTONIC of the last frame that counts; 0: none since port_open() */
	uint64_t packets; /* since port_open() */
	uint64_t bytes; /* the same; counted by BPF only, else 0 */
};

/* Begins to count.  It takes about half a millisecond and may be done after the VM's start is
 * under way, but must be done before anybody is sent to the VM: adding a clsact qdisc makes the
 * kernel deactivate the interface's queues for a moment, and a SYN that comes just then is lost,
 * which costs its client a second.  One that is there already is used as it is.  What an earlier
 * launcher left attached is replaced, the guard with it, at once.  -ENODEV when there is no such
 * interface. */
int port_open(struct port_monitor *m, const struct port_conf *c, struct port **out, struct err *e);

/* Stops counting and takes everything of ours off the interface, if that still exists.  NULL is
 * fine. */
void port_close(struct port *p);

const char *port_ifname(const struct port *p);
int port_ifindex(const struct port *p);
enum port_way port_way(const struct port *p); /* of this port: a foreign port may need a socket */

/* `now_ns`: clock_now_ns().  0, or -ENODEV once the interface is gone. */
int port_activity(struct port *p, uint64_t now_ns, struct port_activity *out);

/* Is what the VM sends through this port guarded? */
bool port_is_guarded(const struct port *p);
/* From now on the VM may speak with these, and no others: n at most MSG_LIST_MAX.  Without a guard nothing. */
void port_guard_allow(struct port *p, const struct ip_addr *addrs, uint16_t n);
/* Frames that the guard dropped since port_open(); 0 when there is none. */
uint64_t port_guard_drops(struct port *p);

/* CLOCK_MONOTONIC of the first TCP segment with data that the VM has sent, other than to
 * ignore_mac, since port_open() or the last reset: the first byte that a client got.  0: none yet,
 * or not known (no BPF). */
uint64_t port_first_data(struct port *p);
void port_first_data_reset(struct port *p);

/* A packet socket bound to the interface, for MSG_PROBE_START and MSG_HOLD_PORT: nonblocking,
 * close-on-exec.
 *
 * Hearing: a classic filter, locked so that the process it goes to cannot take it off, lets in
 * what the prober needs and nothing else: from vm_mac only; ARP; neighbour solicitations and
 * advertisements; broadcast and multicast IPv4; TCP SYN or RST to probe_mac.  What the guard drops
 * is heard too.
 *
 * Sending: whole frames, checksums done, up to the interface's MTU + 14 bytes (+ 4 with a VLAN
 * tag), else -EMSGSIZE.  They go straight to the port, around the bridge and every queueing
 * discipline, in order.  What send() returns is the truth: -ENOBUFS when the VM's queue is full or
 * nobody has the tap open (no carrier), and then the frame is lost; -ENETDOWN when the interface
 * is down, -ENXIO when it is gone.
 *
 * The descriptor (the caller's), or -errno with *e.  The last one to close such a socket waits some
 * 15 ms for the kernel.  So keep it while the prober works, and give it to reaper_close() after
 * MSG_PROBE_STOP was sent, or PROBE_DONE or HOLD_DONE came. */
int port_probe_socket(const char *ifname, const struct mac_addr *vm_mac, const struct mac_addr *probe_mac,
		      struct err *e);

/* Does a process have this persistent one-queue tap open: a QEMU that was left over would answer
 * in place of the new one.  1 when so (*e says which process holds it), 0, or -errno: -ENODEV. */
int port_tap_busy(const char *ifname, struct err *e);

/* ---- who probes ---- */

struct bridge_info;
struct identity;

/* From which addresses a VM on this bridge is probed. */
struct prober {
	struct mac_addr mac;
	struct ip_addr ip4, ip6; /* zero: this family cannot be asked */
	struct mac_addr ignore_mac; /* for port_conf: zero when `mac` is the bridge's own */
};

/* The VM remembers which MAC the prober's address has, and the host must not suffer from it.  So
 * with the bridge's own address (ip4 zero or equal to it) go the bridge's own MAC and link-local
 * address: what the VM then knows is the truth.  With an address of the prober's own goes a
 * derived MAC, and, when ip6 is zero, the link-local address that belongs to it. */
void prober_choose(const struct identity *id, const struct bridge_info *b, const struct ip_addr *ip4,
		   const struct ip_addr *ip6, struct prober *out);

#endif
