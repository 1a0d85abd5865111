/* The manners of one held service on its bridge: is its address free, whose is it, and who asks for
 * it (RFC 5227 for IPv4; RFC 4861 and 4862 for IPv6).
 *
 * Pure: frames and the time come in, frames and events go out through two functions.
 */
#ifndef SYNPROXY_CLAIM_H
#define SYNPROXY_CLAIM_H

#include "base/msg.h"
#include "base/bucket.h"
#include "synproxy/frame.h"

struct claim;

enum {
	CLAIM_PROBES = 3, /* of each address, in the time that a check takes */
	CLAIM_RECHECK_LEAST_S = 10, /* of an address in use elsewhere: after this time .. */
	CLAIM_RECHECK_MOST_S = 60, /* .. to this, at random */
	CLAIM_ANNOUNCE_S = 120, /* a claim is repeated, so that switches remember it */
	CLAIM_DEFEND_S = 10, /* at most one defence in this time (RFC 5227, 2.4 (b)) */
	CLAIM_GONE_S = 2, /* so long after a VM went, frames from its MAC may be its last ones */
};

/* Called from inside the functions below; neither may free the claim. */
struct claim_ops {
	/* Onto the bridge, through our tap. */
	void (*send)(void *arg, const uint8_t *frame, size_t n);
	/* HOLD_FREE; or HOLD_IN_USE: by whom. */
	void (*event)(void *arg, enum hold_what what, const struct ip_addr *addr, const struct mac_addr *mac,
		      uint64_t now_ns);
};

/* How many announcements and probes all services together send; zero is fine. */
struct claim_pace {
	struct bucket frames;
	uint64_t turn_ns; /* of the last of those that wait */
	uint64_t random; /* the state of a generator; not zero */
};
void claim_pace_init(struct claim_pace *p, uint64_t seed);

/* `conf` stays the caller's, and as it is, until another one is given or the claim is freed; `check_ms` is how long a
 * check takes.  `ops` and `pace` must outlive it.  NULL when memory ran out. */
struct claim *claim_new(const struct msg_hold_service *conf, uint32_t check_ms, struct claim_pace *pace,
			const struct claim_ops *ops, void *arg, uint64_t now_ns);
void claim_free(struct claim *c); /* NULL is fine */
/* The same service says something else; stage and at_vm, too. */
void claim_conf(struct claim *c, const struct msg_hold_service *conf, uint32_t check_ms, uint64_t now_ns);

/* `at_vm`: the VM has its address itself; nothing is answered. */
void claim_stage(struct claim *c, enum hold_stage stage, bool at_vm, uint64_t now_ns);

/* The bridge's link changed: say again whose the addresses are. */
void claim_announce(struct claim *c, uint64_t now_ns);

/* A frame on the bridge, which speaks of one of the addresses (ARP, solicitation, advertisement) or
 * comes from the VM's MAC.  `f` was parsed. */
void claim_frame(struct claim *c, const struct frame *f, uint64_t now_ns);

/* Sends what is due.  When it wants to be called next; 0: never. */
uint64_t claim_tick(struct claim *c, uint64_t now_ns);

/* Do we answer for its addresses now? */
bool claim_is_ours(const struct claim *c);
uint64_t claim_answered(const struct claim *c); /* questions */
uint64_t claim_conflicts(const struct claim *c);

#endif
