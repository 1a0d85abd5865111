/* The table of held packets: what clients sent to a service whose VM is not there yet.
 *
 * Two kinds: a connection's newest SYN (HOLD_SYN_BYTES of room, one for each flow), and packets
 * kept whole and in order: UDP datagrams, and segments of connections that live in a paused VM.
 *
 * The table lies in a sealed memfd that the supervisor keeps, so that a process that is killed at
 * any moment loses nothing: the next one finds every packet that was whole.  What is in the memory
 * is rebuilt into lists and hashes of this process's own by hold_open(); nothing in it is trusted.
 *
 * An owner is a service: a small number of the caller's, which may change (hold_assign()).
 * Pure but for the memory: frames and the time come in.  All times are CLOCK_MONOTONIC.
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
	HOLD_NOBODY = UINT32_MAX, /* no owner */
};

struct hold_table;

/* A memfd for one table, sealed against resizing; close-on-exec.  Or -errno. */
int hold_memory_create(void);

/* Maps `fd` (which stays the caller's) and takes over what lies in it; all of it belongs to nobody
 * until hold_assign().  NULL with errno: no such memory, or none left. */
struct hold_table *hold_open(int fd);
void hold_close(struct hold_table *t); /* what is held stays in the memory.  NULL is fine */
void hold_limits(struct hold_table *t, uint32_t max_held, uint32_t held_per_source);

enum hold_verdict {
	HOLD_NEW, /* a flow that was not held before */
	HOLD_AGAIN, /* its packet took the older one's place, or came behind it */
	HOLD_FULL, /* a limit: not held */
};

/* A SYN (RFC 9293, 3.5), whose frame of `n` bytes was parsed into *f. */
enum hold_verdict hold_syn(struct hold_table *t, uint32_t owner, const uint8_t *bytes, size_t n,
			   const struct frame *f, uint64_t now_ns);
/* Any other packet of TCP or UDP, kept whole: at most `per_flow` of one flow, the newest ones of which are refused. */
enum hold_verdict hold_packet(struct hold_table *t, uint32_t owner, const uint8_t *bytes, size_t n,
			      const struct frame *f, uint32_t per_flow, uint64_t now_ns);

/* One held packet, as it is shown to a callback; dies on return. */
struct held {
	uint32_t owner;
	uint8_t proto; /* enum flow_proto */
	bool syn;
	struct ip_addr client, addr;
	uint16_t client_port, port;
	uint64_t since_ns, newest_ns; /* of a SYN's flow; a packet's own */
	uint32_t packets; /* SYNs of the flow that came */
	const uint8_t *frame;
	size_t n;
};
/* Returns false to leave this packet held and end the walk (a socket's buffer is full). */
typedef bool hold_fn(void *arg, const struct held *h);

enum { HOLD_ANY_PORT = -1 };

/* Gives up to `most` held packets of the owner to `take` and lets go of them: first the flows whose
 * client has sent its SYN more than once, then the others; each kind in the order of arrival.
 * `port`: SYNs to that port only, or HOLD_ANY_PORT.  How many were taken. */
unsigned hold_take_syns(struct hold_table *t, uint32_t owner, int port, unsigned most, hold_fn *take, void *arg);
/* The same for packets kept whole, in the order of arrival. */
unsigned hold_take_packets(struct hold_table *t, uint32_t owner, unsigned most, hold_fn *take, void *arg);
/* Everything of this client. */
unsigned hold_take_client(struct hold_table *t, uint32_t owner, const struct ip_addr *client, hold_fn *take, void *arg);
/* SYNs whose flow began, and packets that came, at or before `before_ns`; at most `most`. */
unsigned hold_take_old(struct hold_table *t, uint32_t owner, uint64_t before_ns, unsigned most, hold_fn *take, void *arg);
/* When the owner's oldest flow began; 0: nothing is held. */
uint64_t hold_oldest_ns(const struct hold_table *t, uint32_t owner);

/* Everything is given to the owner that `whose` names for its address; HOLD_NOBODY: it is let go. */
typedef uint32_t hold_whose_fn(void *arg, const struct ip_addr *addr);
void hold_assign(struct hold_table *t, hold_whose_fn *whose, void *arg);

/* Shows, and keeps, up to `most`, from the `from`-th on; how many were shown. */
unsigned hold_show(const struct hold_table *t, uint32_t owner, unsigned from, unsigned most, hold_fn *show, void *arg);

uint32_t hold_count(const struct hold_table *t, uint32_t owner); /* SYNs and packets */
uint32_t hold_count_all(const struct hold_table *t);
/* The distinct ports with held SYNs: how many of them, at most `most`, were put into `out`. */
unsigned hold_ports(const struct hold_table *t, uint32_t owner, uint16_t *out, unsigned most);

#endif
