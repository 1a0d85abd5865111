/* Where the BPF programs on VMs' ports and port.c meet. */
#ifndef LAUNCHER_ACTIVITY_H
#define LAUNCHER_ACTIVITY_H

#include <linux/types.h>

#define GUARD_ADDRS_MAX 16

/* Of one port, one for each CPU; the key is the port's ifindex.  port.c makes and deletes the
 * entry; the program only counts in it. */
struct activity {
	__u64 last_ns; /* CLOCK_MONOTONIC */
	__u64 packets; /* as the kernel hands them over: a segmented burst is one */
	__u64 bytes;
	__u64 guard_drops;
	__u8 vm_mac[6]; /* zero: unknown */
	__u8 ignore_mac[6]; /* zero: none */
	__u8 pad[4];
};

/* Of one port, the same for all CPUs.  port.c makes it, replaces it and deletes it; the program only
 * sets first_data_ns. */
struct guard {
	__u64 first_data_ns; /* CLOCK_MONOTONIC; 0: nothing yet */
	__u8 mac[6];
	__u8 on; /* 0: the VM may send what it likes */
	__u8 n_addrs; /* 0: its MAC alone is checked */
	__be32 addrs[GUARD_ADDRS_MAX][4]; /* IPv4 as ::ffff:a.b.c.d */
};

#endif
