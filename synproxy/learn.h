/* Which IPv4 address does this VM have?  Heard from what comes out of its own port, and asked there.
 *
 * Pure: frames and the time come in, frames and findings go out through two functions.  Nothing here
 * blocks, reads a clock or owns a descriptor.
 */
#ifndef SYNPROXY_LEARN_H
#define SYNPROXY_LEARN_H

#include "base/msg.h"
#include "base/util.h"

struct learn;

enum {
	LEARN_CANDIDATES_MAX = 4, /* that are looked at at once: the oldest makes room */
	LEARN_ASKS = 8, /* times a candidate is asked, .. */
	LEARN_ASK_MS = 50, /* first after this; each time twice as late */
	LEARN_GONE_ASKS = 3, /* so often the known address is asked before another one takes its place, .. */
	LEARN_GONE_MS = 150, /* .. and this long each answer is waited for */
	LEARN_PAUSE_MS = 1000, /* between two findings of one VM */
	LEARN_SWEEP_AFTER_MS = 1000, /* nothing was heard for so long: its network's addresses are asked for, .. */
	LEARN_SWEEP_LAST_MS = 60000, /* .. again after twice the time, up to this, .. */
	LEARN_SWEEP_MAX = 4096, /* .. of a network that has no more, .. */
	LEARN_SWEEP_AT_ONCE = 8, /* .. so many every .. */
	LEARN_SWEEP_STEP_MS = 4,
	LEARN_AGAIN_MS = 60000, /* the same finding is not told again before */
};

/* Called from inside learn_frame(), learn_tell() and learn_tick(); neither may free it. */
struct learn_ops {
	/* Into the VM's port; a frame that cannot be sent is lost. */
	void (*send)(void *arg, const uint8_t *frame, size_t n);
	/* It has this address; one that is not the known one only where that does not answer any more. */
	void (*found)(void *arg, enum learn_how how, const struct ip_addr *addr);
};

/* NULL when memory ran out.  `ops` must outlive it; `want` is copied. */
struct learn *learn_new(const struct msg_learn_start *want, const struct learn_ops *ops, void *arg, uint64_t now_ns);
void learn_free(struct learn *l); /* NULL is fine */

/* A frame that came out of the VM's port. */
void learn_frame(struct learn *l, const uint8_t *bytes, size_t n, uint64_t now_ns);
/* From the launcher: its address is this one from now on (`known`), or may be. */
void learn_tell(struct learn *l, const struct msg_learn_tell *m, uint64_t now_ns);
/* Asks what is due.  When it wants to be called next; 0: it need not be. */
uint64_t learn_tick(struct learn *l, uint64_t now_ns);

#endif
