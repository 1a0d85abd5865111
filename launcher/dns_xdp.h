/* Where the BPF program that answers DNS queries and xdp.c meet. */
#ifndef LAUNCHER_DNS_XDP_H
#define LAUNCHER_DNS_XDP_H

#include <linux/types.h>

#define DNS_XDP_NAME_MAX 64 /* bytes of a name on the wire, final zero included */
#define DNS_XDP_RECORDS_MAX 448 /* 16 addresses of IPv6 */
#define DNS_XDP_OPT 11
#define DNS_XDP_SERVICES 16384
#define DNS_XDP_ANSWERS (DNS_XDP_SERVICES * 16 * 2)
#define DNS_XDP_LISTENERS 64
#define DNS_XDP_CLIENTS 1024
#define DNS_XDP_NETWORKS (64 * 1024)

/* An address and port that queries are answered at, when they come in by this interface. */
struct dns_xdp_place {
	__u32 ifindex;
	__be16 port;
	__u16 zero;
	__u8 addr[16]; /* IPv4 as ::ffff:a.b.c.d; so everywhere */
};

struct dns_xdp_listener {
	__u8 mac[6]; /* the interface's own */
	__u8 ttl; /* of answers: IPv4's time to live, IPv6's hop limit */
	__u8 zero;
};

struct dns_xdp_question {
	__u64 name[DNS_XDP_NAME_MAX / 8]; /* its bytes in lower case, zero behind its end */
	__be16 type;
	__u16 zero[3];
};

struct dns_xdp_answer {
	__u32 service; /* its place in `asked` */
	__u16 count, n; /* of the records; n is even */
	__u32 sum; /* of the records' 16-bit words as they lie in memory */
	__u8 records[DNS_XDP_RECORDS_MAX + DNS_XDP_OPT]; /* at n: the OPT record of an answer with EDNS */
};

/* Of one service, one for each CPU. */
struct dns_xdp_asked {
	__u64 last_ns; /* CLOCK_MONOTONIC, a few milliseconds late */
	__u64 n;
};

#define DNS_XDP_EXEMPT 1 /* no rate limit */
#define DNS_XDP_FORWARD 2 /* may have queries forwarded: answers say RA */

struct dns_xdp_prefix {
	__u32 len;
	__u8 addr[16];
};

struct dns_xdp_settings {
	__u64 interval_ns; /* between two answers to one network; 0 with `limited`: none at all */
	__u8 limited;
	__u8 clients; /* there are prefixes to be looked at */
	__u8 zero[6];
};

/* One for each CPU. */
struct dns_xdp_counts {
	__u64 answered;
	__u64 limited; /* passed on: over the network's budget */
	__u64 no_room; /* passed on: the packet cannot grow by as much as the answer needs */
};

#endif
