/* Is this VM ready?  Asked from the network, through the VM's own port.
 *
 * Pure: frames and the time come in, frames and events go out through two functions.  Nothing here
 * blocks, reads a clock or owns a descriptor.
 */
#ifndef SYNPROXY_PROBE_H
#define SYNPROXY_PROBE_H

#include "base/msg.h"
#include "base/util.h"

struct probe;

enum {
	PROBE_INTERVAL_MS = 2, /* when MSG_PROBE_START gives 0 */
	PROBE_INTERVAL_MAX_MS = 1000,
	/* How the interval of ports grows, counted from the first answer: */
	PROBE_FAST_S = 5, /* until then it is as given */
	PROBE_SLOW_S = 30, /* until then PROBE_SLOW_FACTOR, later PROBE_SLOWEST_FACTOR times that */
	PROBE_SLOW_FACTOR = 5,
	PROBE_SLOWEST_FACTOR = 25,
	/* ... and that of addresses, from the start: questions wait in the VM's port until its guest reads. */
	PROBE_EAGER_MS = 200, /* until then it is as given, .. */
	PROBE_CALM_MS = 600, /* .. and has grown to PROBE_SLOW_FACTOR times that by then */
	PROBE_SILENT_MS = 200, /* a port that says nothing for so long, of a VM that speaks, is filtered */
	PROBE_EXTRA_MAX = 80, /* ports beyond those of MSG_PROBE_START */
	PROBE_EXTRA_AT_ONCE = 8, /* of them, asked in one interval; when there are more, they take turns */
};

/* Called from inside probe_frame() and probe_tick(); neither may free the probe. */
struct probe_ops {
	/* Into the VM's port; a frame that cannot be sent is lost, and the next one is due soon. */
	void (*send)(void *arg, const uint8_t *frame, size_t n);
	/* `addr` and `port` are zero where the event has none. */
	void (*event)(void *arg, enum probe_what what, const struct ip_addr *addr, uint16_t port, uint64_t now_ns);
};

/* NULL when memory ran out.  `ops` must outlive the probe; `want` is copied.  What is sent first is
 * sent by the first probe_tick(). */
struct probe *probe_new(const struct msg_probe_start *want, const struct probe_ops *ops, void *arg, uint64_t now_ns);
void probe_free(struct probe *p); /* NULL is fine */

/* A frame that came out of the VM's port, or claims so. */
void probe_frame(struct probe *p, const uint8_t *bytes, size_t n, uint64_t now_ns);

/* Asks for this port too, from now on; PROBE_DONE does not wait for it.  False when it cannot be
 * asked (no probe_ip), or there are too many. */
bool probe_want_port(struct probe *p, uint16_t port, uint64_t now_ns);
/* Of the ports of probe_want_port() nothing is asked any more. */
void probe_want_no_more(struct probe *p);
/* Tells all that is known, PROBE_DONE but for, to another listener. */
void probe_recall(const struct probe *p, const struct probe_ops *ops, void *arg, uint64_t now_ns);

/* Sends what is due, at most *budget frames, and takes those off *budget.  When it wants to be called next
 * (not after `now_ns` when the budget was too small); 0: there is nothing to ask. */
uint64_t probe_tick(struct probe *p, uint64_t now_ns, unsigned *budget);
/* The same, after probe_frame() or probe_want_port(). */
uint64_t probe_due_ns(const struct probe *p);

/* Everything that MSG_PROBE_START wanted has answered: PROBE_DONE was told. */
bool probe_is_done(const struct probe *p);

#endif
