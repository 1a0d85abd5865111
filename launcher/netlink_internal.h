/* What netlink.c, addresses.c, fdb.c, tap.c, hold_tap.c and port.c share, and nobody else uses. */
#ifndef LAUNCHER_NETLINK_INTERNAL_H
#define LAUNCHER_NETLINK_INTERNAL_H

#include <event2/event.h>
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

/* ---- news ---- */

/* What the kernel tells by itself.  Zero: not open. */
struct netlink_news {
	struct mnl_socket *sock; /* does not block */
	struct event *readable;
};

/* News of these groups (RTMGRP_), with room for many; `readable` calls fn(fd, EV_READ, arg).  `what` they are
 * of is for the sentence.  0 or -errno; to be closed in either case. */
int netlink_news_open(struct netlink_news *n, struct event_base *base, unsigned groups, event_callback_fn fn,
		      void *arg, const char *what, struct err *e);
void netlink_news_close(struct netlink_news *n);

/* ---- links ---- */

/* A link with what only bridges have. */
struct link_detail {
	struct link_info link;
	uint32_t stp, forward_delay;
	uint8_t vlan_filtering;
	uint16_t default_pvid;
	bool of_bridge; /* it is a port of a Linux bridge */
};

/* False when the message is no news of a link itself. */
bool netlink_parse_link(const struct nlmsghdr *h, struct link_detail *out);
/* By name, or when that is NULL by index. */
int netlink_find_link(struct netlink *nl, const char *ifname, int ifindex, struct link_detail *out);
bool netlink_is_ifname(const char *ifname); /* short enough to be one, and not empty */

/* ---- taps ---- */

/* A descriptor with the tap's one queue; makes the tap when there is none, and then it goes away
 * with the descriptor.  `more`: flags beyond IFF_TAP and IFF_NO_PI.  Or -errno: -EBUSY when somebody
 * else has the queue. */
int tap_attach(const char *ifname, short more);

/* "process 4711 (qemu-system-x86)": who has the tap open. */
void tap_holder(const char *ifname, char *out, size_t size);

/* What tap_attach() said, as a sentence; `whose`: "service www". */
int tap_open_error(const char *ifname, const char *whose, int r, struct err *e);

struct tap_looks {
	char alias[NETLINK_ALIAS_MAX];
	struct mac_addr mac; /* zero: as it is */
	uint32_t mtu; /* 0: as it is */
	uint32_t frames; /* that wait in it; 0: as it is */
};

/* 0 or -errno, each of them one request. */
int tap_describe(struct netlink *nl, int ifindex, const struct tap_looks *l);
int tap_drop_queueing(struct netlink *nl, int ifindex);
int tap_put_on(struct netlink *nl, int ifindex, int bridge, bool up);

/* Is this tap one of a kind of ours? */
typedef bool tap_is_fn(const struct link_info *l);

/* 0: the name is free, or such a tap has it: then *mac is what it has. */
int tap_check_name(struct netlink *nl, const char *ifname, tap_is_fn *is_ours, struct mac_addr *mac, struct err *e);
/* -EPERM for anything else; 0 too when it is gone. */
int tap_delete(struct netlink *nl, const char *ifname, tap_is_fn *is_ours, struct err *e);

/* Every tap there is, whosesoever. */
typedef void tap_fn(void *arg, const struct link_info *l);
int tap_each(struct netlink *nl, tap_fn *each, void *arg);

#endif
