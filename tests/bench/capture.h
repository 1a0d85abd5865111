/* What went by on the interfaces of a network namespace: ARP, and TCP with its flags, each with the
 * time at which the kernel saw it.  Nothing is read before the end, so that the capture takes no
 * time from what it looks at; what does not fit into the socket's buffer is lost.
 */
#ifndef TESTS_BENCH_CAPTURE_H
#define TESTS_BENCH_CAPTURE_H

#include "base/addr.h"
#include "base/clock.h"

enum { CAPTURE_PORTS_MAX = 256 };

struct capture {
	int fd; /* -1: none */
	unsigned n_ports;
	unsigned ports[CAPTURE_PORTS_MAX]; /* interfaces that were there when it began */
};

struct seen {
	double ms; /* since the moment given to capture_read() */
	unsigned ifindex;
	bool came_later; /* the interface was not there when the capture began */
	bool outgoing; /* sent through the interface; else it came in */
	bool is_arp;
	struct ip_addr src, dst; /* ARP: sender's and target's protocol address */
	uint16_t arp_op;
	uint16_t src_port, dst_port;
	uint8_t tcp_flags;
	size_t payload; /* bytes of TCP */
};

/* `netns` is a path, or NULL for the own one.  Prints what failed.  It takes a moment until the kernel
 * puts times on packets: wait CAPTURE_WARM_MS before what is to be seen. */
enum { CAPTURE_WARM_MS = 20 };
bool capture_begin(struct capture *c, const char *netns);
void capture_end(struct capture *c);

/* The next one, in order; false: there is no more. */
bool capture_next(struct capture *c, uint64_t since_real_ns, struct seen *out);

uint64_t real_now_ns(void); /* CLOCK_REALTIME, by which the kernel stamps packets */

#endif
