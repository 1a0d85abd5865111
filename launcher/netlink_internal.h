/* What netlink.c, tap.c and port.c share, and nobody else uses. */
#ifndef LAUNCHER_NETLINK_INTERNAL_H
#define LAUNCHER_NETLINK_INTERNAL_H

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "launcher/netlink.h"

enum {
	REQUEST_MAX = 1024,
	DUMP_TRIES = 4, /* the tables may change while they are read */
};

/* ---- requests ---- */

struct request {
	struct nlmsghdr *h;
	_Alignas(struct nlmsghdr) char room[REQUEST_MAX];
};

/* `flags` beyond NLM_F_REQUEST.  The second one adds the header of a link's message. */
struct nlmsghdr *request_begin(struct request *r, uint16_t type, uint16_t flags);
struct ifinfomsg *request_link(struct request *r, uint16_t type, uint16_t flags, int ifindex);

/* Asks and hears the whole answer, message by message; `each` may be NULL.  0 or the kernel's
 * -errno; -EINTR when the tables changed while they were dumped: try again. */
int netlink_talk(struct netlink *nl, struct request *r, mnl_cb_t each, void *arg);

bool netlink_has_ipv6(const struct netlink *nl); /* the kernel does, at all */

/* ---- links ---- */

/* A link with what only bridges have. */
struct link_detail {
	struct link_info link;
	uint32_t stp, forward_delay;
	uint8_t vlan_filtering;
};

/* False when the message is no news of a link itself. */
bool netlink_parse_link(const struct nlmsghdr *h, struct link_detail *out);
/* By name, or when that is NULL by index. */
int netlink_find_link(struct netlink *nl, const char *ifname, int ifindex, struct link_detail *out);
bool netlink_is_ifname(const char *ifname); /* short enough to be one, and not empty */

/* ---- /dev/net/tun ---- */

/* A descriptor with the tap's one queue; makes the tap when there is none, and then it goes away
 * with the descriptor.  Or -errno: -EBUSY when somebody else has the queue. */
int tap_attach(const char *ifname);

/* "process 4711 (qemu-system-x86)": who has the tap open. */
void tap_holder(const char *ifname, char *out, size_t size);

#endif
