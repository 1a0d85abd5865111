/* The addresses of this host's interfaces: which there are, and that they have changed. */
#ifndef LAUNCHER_ADDRESSES_H
#define LAUNCHER_ADDRESSES_H

#include "base/addr.h"
#include "base/err.h"
#include "base/util.h"

struct event_base;
struct netlink;
struct addresses_monitor;

struct own_address {
	int ifindex;
	struct ip_prefix prefix; /* the address itself, with its network's length */
	bool usable; /* the kernel takes packets for it: not tentative, and no duplicate (RFC 4862, 5.4) */
};

/* Calls `each` for every one of them; it may be called for the same one again, then after a call with NULL: begin
 * anew, the list has changed meanwhile.  0 or -errno with *e. */
typedef void addresses_fn(void *arg, const struct own_address *a);
int addresses_each(struct netlink *nl, addresses_fn *each, void *arg, struct err *e);

/* Each IPv4 address that the host has a route through.  May be called twice for one. */
typedef void addresses_gateway_fn(void *arg, const struct ip_addr *gateway);
int addresses_gateways(struct netlink *nl, addresses_gateway_fn *each, void *arg, struct err *e);

/* Each IPv4 address that this host's neighbour table has on that interface with that MAC, however old. */
typedef void addresses_neighbour_fn(void *arg, const struct ip_addr *addr);
int addresses_neighbours(struct netlink *nl, int ifindex, const struct mac_addr *mac, addresses_neighbour_fn *each,
			 void *arg, struct err *e);

/* Called from the loop when an address came, went or changed (ifindex 0), when the link of that number did,
 * or one on top of it (a VLAN device), and with 0 when news were lost. */
typedef void addresses_changed_fn(void *arg, int ifindex);
struct addresses_monitor *addresses_watch(struct event_base *base, addresses_changed_fn *fn, void *arg,
					  struct err *e);
void addresses_monitor_free(struct addresses_monitor *m); /* NULL is fine */

#endif
