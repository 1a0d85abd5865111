/* The table of held packets: what clients sent to a service whose VM is not there yet.
 *
 * Two kinds: a connection's newest SYN, one for each flow, without data that may be in it; and
 * packets that are kept as they came, in order: UDP datagrams, and segments of connections that live in
 * a paused VM.
 *
 * The table lies in a sealed memfd that the supervisor keeps, so that a process that is killed at
 * any moment loses nothing: the next one finds every packet that was whole.  What is in the memory
 * is rebuilt into lists and hashes of that process's own by hold_open(); nothing in it is trusted.
 *
 * An owner is a service: a small number of the caller's, below HOLD_OWNERS_MAX, which may change
 * (hold_assign()).  Pure but for the memory: frames and the time come in.  All times are
 * CLOCK_MONOTONIC.
 */
#ifndef SYNPROXY_HOLD_H
#define SYNPROXY_HOLD_H

#include "base/msg.h"
#include "base/slots.h"
#include "synproxy/frame.h"

enum {
	HOLD_SYN_BYTES = 134, /* Ethernet, an IPv4 and a TCP header with all options (or IPv6 without any of its own) */
	HOLD_SYNS_MAX = 262144,
	HOLD_PACKET_BYTES = 1536, /* a longer packet is not held */
	HOLD_PACKETS_MAX = 4096,
	HOLD_OWNERS_MAX = SLOTS_MAX,
	HOLD_OWNER_PACKET_BYTES = 64 * 1024, /* of packets kept whole, of one owner */
	HOLD_PORTS_MAX = 64, /* distinct ports of one owner with held SYNs */
};

#define HOLD_NOBODY UINT32_MAX /* no owner */

struct hold_table;

/* A memfd for one table, sealed against resizing; close-on-exec.  Sparse: memory is where packets
 * were, and is given back when the last of many goes.  Or -errno. */
int hold_memory_create(void);

/* Maps `fd` (which stays the caller's) and takes over what lies in it; all of it belongs to
 * HOLD_NOBODY until hold_assign().  What is not whole or not sound is let go; times later than now
 * are now.  One process at a time.  NULL with errno: no such memory (EINVAL), or none left. */
struct hold_table *hold_open(int fd);
void hold_close(struct hold_table *t); /* what is held stays in the memory.  NULL is fine */
/* All that is held (at most HOLD_SYNS_MAX), and of one source: an IPv4 address, an IPv6 /64.  Without
 * a call, no more than fits.  No owner holds more than what is free, so at most half.  What is held
 * already stays. */
void hold_limits(struct hold_table *t, uint32_t max_held, uint32_t held_per_source);

enum hold_verdict {
	HOLD_NEW, /* a flow that was not held before */
	HOLD_AGAIN, /* it took the place of the flow's older SYN, or came behind its other packets */
	HOLD_FULL, /* a limit: not held */
};

/* A frame that will be held, or looked for, in a moment: what the table has of its flow is fetched into
 * the processor's cache meanwhile. */
void hold_expect(struct hold_table *t, const struct frame *f);

/* A SYN (RFC 9293, 3.5: without ACK, RST and FIN), whose frame of `n` bytes was parsed into *f. */
enum hold_verdict hold_syn(struct hold_table *t, uint32_t owner, const uint8_t *bytes, size_t n,
			   const struct frame *f, uint64_t now_ns);
/* Any packet of TCP or UDP, kept as it came: at most `per_flow` of one flow; those that come later are
 * not held. */
enum hold_verdict hold_packet(struct hold_table *t, uint32_t owner, const uint8_t *bytes, size_t n,
			      const struct frame *f, uint32_t per_flow, uint64_t now_ns);

/* One held packet, as it is shown to a callback; dies on return. */
struct held {
	uint32_t owner; /* or HOLD_NOBODY */
	uint8_t proto; /* enum flow_proto */
	bool syn;
	struct ip_addr client, addr;
	uint16_t client_port, port;
	uint64_t since_ns, newest_ns; /* of a SYN's flow; a packet's own */
	uint32_t packets; /* SYNs of the flow that came */
	const uint8_t *frame;
	size_t n;
};
/* Returns false to leave this packet held and end the walk (a socket's buffer is full).  It may look
 * into the table, and must not change it. */
typedef bool hold_fn(void *arg, const struct held *h);

enum { HOLD_ANY_PORT = -1 };

/* Gives up to `most` held SYNs of the owner to `take` and lets go of them: first those of flows whose
 * client sent more than one, in the order in which they did so first (after hold_assign(): of the flows'
 * beginnings), then the others, in the order of arrival.  `port`: those to that port only, or
 * HOLD_ANY_PORT.  How many were taken.
 *
 * Here and below: who is killed between `take` and our letting go leaves the packet, and it may be
 * taken a second time. */
unsigned hold_take_syns(struct hold_table *t, uint32_t owner, int port, unsigned most, hold_fn *take, void *arg);
/* The same for packets kept whole, in the order of arrival. */
unsigned hold_take_packets(struct hold_table *t, uint32_t owner, unsigned most, hold_fn *take, void *arg);
/* Everything of this client, in no order. */
unsigned hold_take_client(struct hold_table *t, uint32_t owner, const struct ip_addr *client, hold_fn *take,
			  void *arg);
/* SYNs whose flow began, and packets that came, at or before `before_ns`; at most `most`, the oldest first. */
unsigned hold_take_old(struct hold_table *t, uint32_t owner, uint64_t before_ns, unsigned most, hold_fn *take,
		       void *arg);
/* When the owner's oldest flow began, or its oldest packet came; 0: nothing is held. */
uint64_t hold_oldest_ns(const struct hold_table *t, uint32_t owner);

/* Everything is given to the owner that `whose` names for its address.  Let go is what that is
 * HOLD_NOBODY for, and SYNs to more than HOLD_PORTS_MAX ports of one owner: how many were. */
typedef uint32_t hold_whose_fn(void *arg, const struct ip_addr *addr);
unsigned hold_assign(struct hold_table *t, hold_whose_fn *whose, void *arg);

/* Shows, and keeps, up to `most`, from the `from`-th on, the oldest first, SYNs before packets; how
 * many were shown. */
unsigned hold_show(const struct hold_table *t, uint32_t owner, unsigned from, unsigned most, hold_fn *fn, void *arg);

uint32_t hold_count(const struct hold_table *t, uint32_t owner); /* SYNs and packets */
uint32_t hold_count_all(const struct hold_table *t);
/* The distinct ports with held SYNs, in no order (those of nobody: none): how many of them, at most
 * `most`, were put into `out`. */
unsigned hold_ports(const struct hold_table *t, uint32_t owner, uint16_t *out, unsigned most);

#endif
