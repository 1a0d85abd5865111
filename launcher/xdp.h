/* DNS answers from the network card: dns_xdp.bpf.c's program on interfaces, and its tables.
 *
 * Which queries it answers stands at the top of dns_xdp.bpf.c; what is not in the tables, or odd, goes to
 * dns's sockets as if there were no program.  It lives as long as this process and struct xdp do: the
 * kernel takes it off the interfaces when the descriptors are closed, whoever closes them.
 */
#ifndef LAUNCHER_XDP_H
#define LAUNCHER_XDP_H

#include "base/addr.h"
#include "base/err.h"
#include "base/util.h"

enum {
	XDP_ADDRS_MAX = 16, /* of a name */
	XDP_CLIENTS_MAX = 1024,
};

struct xdp;

struct xdp *xdp_new(struct err *e); /* NULL with *e: the kernel does not let us */
void xdp_free(struct xdp *x); /* the program is nowhere any more; NULL is fine */

/* ---- where ---- */

enum xdp_way {
	XDP_NATIVE, /* in the interface's driver */
	XDP_GENERIC, /* in the kernel's network stack: any interface, at a higher price */
};

/* Puts the program on an interface.  A descriptor that keeps it there until it is closed (the caller's),
 * or -errno with *e: -EBUSY and -EEXIST when another program is there, which stays. */
int xdp_attach(struct xdp *x, int ifindex, const char *ifname, enum xdp_way way, struct err *e);

/* False: the interface has gone, though there may be another with its number. */
bool xdp_is_attached(int link);

struct xdp_place {
	int ifindex;
	struct mac_addr mac; /* the interface's own: whatever is not sent to it is left alone */
	struct ip_addr addr;
	uint16_t port;
	uint8_t ttl; /* that answers are sent with */
};

/* Queries are answered there from now on, or not any longer. */
int xdp_listen(struct xdp *x, const struct xdp_place *p);
void xdp_unlisten(struct xdp *x, const struct xdp_place *p);

/* ---- what ---- */

struct xdp_name {
	uint32_t service; /* its index */
	const char *name; /* letters, digits, hyphens and dots, no final dot */
	uint32_t ttl_s;
	size_t n_addrs;
	struct ip_addr addrs[XDP_ADDRS_MAX];
};

/* Questions for its addresses are answered, in their order.  A name that is too long for the table is
 * left to dns.  0 or -errno: then nothing of it is there. */
int xdp_add(struct xdp *x, const struct xdp_name *n);
/* None is, by any program that begins after this; those that run may have an answer on its way. */
void xdp_delete(struct xdp *x, const char *name);
void xdp_clear(struct xdp *x); /* of all names */

/* ---- for whom ---- */

struct xdp_limits {
	uint32_t rate; /* answers per second to one network, when `limited` */
	bool limited;
	size_t n_exempt, n_forward;
	const struct ip_prefix *exempt; /* these have no limit */
	const struct ip_prefix *forward; /* answers to these say that recursion is available */
};

/* Not while there are names in the table.  0 or -errno: then nobody may be answered. */
int xdp_set_limits(struct xdp *x, const struct xdp_limits *l);

/* ---- what happened ---- */

struct xdp_asked {
	uint64_t last_ns; /* CLOCK_MONOTONIC, some milliseconds late; 0: never */
	uint64_t n;
};

void xdp_asked(struct xdp *x, uint32_t service, struct xdp_asked *out);
/* The index belongs to another service now. */
void xdp_forget(struct xdp *x, uint32_t service);

struct xdp_counts {
	uint64_t answered;
	uint64_t limited; /* left to dns, which decides what becomes of a query over the budget */
	uint64_t no_room; /* left to dns: the packet had no room for the answer */
};

void xdp_counts(struct xdp *x, struct xdp_counts *out);

#endif
