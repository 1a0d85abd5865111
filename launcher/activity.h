/* Where the counting BPF program and port.c meet. */
#ifndef LAUNCHER_ACTIVITY_H
#define LAUNCHER_ACTIVITY_H

#include <linux/types.h>

/* Of one port, one for each CPU; the key is the port's ifindex.  port.c makes and deletes the
 * entry; the program only counts in it. */
struct activity {
	__u64 last_ns; /* CLOCK_MONOTONIC */
	__u64 packets; /* as the kernel hands them over: a segmented burst is one */
	__u64 bytes;
	__u8 vm_mac[6]; /* zero: unknown */
	__u8 ignore_mac[6]; /* zero: none */
	__u8 pad[4];
};

#endif
