/* Where the BPF program of hold taps and hold_tap.c meet. */
#ifndef LAUNCHER_HOLD_FILTER_H
#define LAUNCHER_HOLD_FILTER_H

#include <linux/types.h>

/* The values are bits of enum hold_pass (hold_tap.h). */
#define HOLD_FILTER_WATCH 1
#define HOLD_FILTER_FROM 2
#define HOLD_FILTER_TO 4

#define HOLD_FILTER_ADDRS (HOLD_FILTER_MACS * 16)
#define HOLD_FILTER_MACS 16384

struct hold_addr_key {
	__u32 tap; /* ifindex */
	__be32 addr[4]; /* IPv4 as ::ffff:a.b.c.d */
};

struct hold_mac_key {
	__u32 tap;
	__u8 mac[6];
	__u8 pad[2]; /* zero */
};

#endif
