/* One VM's port on a bridge: a tap of ours or a vnetX of libvirt's.  Who uses the VM, and the
 * socket to probe it through.
 *
 * What counts as use: unicast IPv4 and IPv6 frames from or to the VM, VLAN-tagged ones too.  Not
 * ARP, neighbour discovery (ICMPv6 133..137), multicast, broadcast, frames flooded to the port
 * for another MAC, and frames from or to the prober's own MAC.
 *
 * Two ways to count, behind one interface.  With BPF: a clsact program on each port, loaded once
 * per process, that also knows the time of the last packet.  Where BPF is not allowed: a packet
 * socket with a classic filter, never read, whose kernel counter is asked; then the time of the
 * last packet is only known to lie between two calls of port_activity(), and is given as that of
 * the later one.  Neither wakes this process per packet.
 *
 * Counting begins at port_open(): after a restart of the launcher it begins again from nothing,
 * and a caller does well to count that moment as a use.
 */
#ifndef LAUNCHER_PORT_H
#define LAUNCHER_PORT_H

#include "base/addr.h"
#include "base/err.h"
#include "base/util.h"

struct netlink;
struct port_monitor;
struct port;

enum port_way { PORT_WAY_BPF, PORT_WAY_SOCKET };

/* What all ports share.  PORT_WAY_BPF falls back to sockets when the kernel does not let us; then
 * port_monitor_note() is the reason ("" otherwise), for the log.  NULL with *e only when memory ran
 * out.  `nl` stays the caller's, and must live longer than the monitor. */
struct port_monitor *port_monitor_new(struct netlink *nl, enum port_way way, struct err *e);
void port_monitor_free(struct port_monitor *m); /* after every port; NULL is fine */
enum port_way port_monitor_way(const struct port_monitor *m);
const char *port_monitor_note(const struct port_monitor *m);

struct port_conf {
	const char *ifname;
	struct mac_addr vm_mac; /* zero: unknown, then every unicast frame on the port counts */
	struct mac_addr ignore_mac; /* the prober's own MAC (struct prober: ignore_mac); zero: none */
};

struct port_activity {
	uint64_t last_ns; /* CLOCK_MONOTONIC of the last frame that counts; 0: none since port_open() */
	uint64_t packets; /* since port_open() */
	uint64_t bytes; /* the same; counted by BPF only, else 0 */
};

/* Begins to count.  It takes about half a millisecond and may be done after the VM's start is
 * under way, but must be done before anybody is sent to the VM: adding a clsact qdisc makes the
 * kernel deactivate the interface's queues for a moment, and a SYN that comes just then is lost,
 * which costs its client a second.  One that is there already is used as it is.  What an earlier launcher left attached is replaced.  -ENODEV when there is no such
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

/* A packet socket bound to the interface, for MSG_PROBE_START: nonblocking, close-on-exec, a
 * small receive buffer, what is sent goes straight to the port.  A classic filter, locked so that
 * the process it goes to cannot take it off, lets in what the prober needs and nothing else: from
 * vm_mac only; ARP; neighbour solicitations and advertisements; broadcast and multicast IPv4;
 * TCP SYN or RST to probe_mac.  The descriptor (the caller's), or -errno with *e.
 *
 * The last one to close such a socket waits some 15 ms for the kernel.  So keep it while the
 * prober works, and give it to reaper_close() after MSG_PROBE_STOP was sent or PROBE_DONE came. */
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
