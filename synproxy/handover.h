/* What becomes of the packets that clients send to one held service: they are parked, they wake,
 * and they are handed over to the VM, port by port, once it is there.
 *
 * Pure: frames, events and the time come in; frames, wakes and events go out through functions.
 * Nothing here blocks, reads a clock or owns a descriptor.  Held packets lie in the table that all
 * services share; this one's owner number in it is conf->svc.
 */
#ifndef SYNPROXY_HANDOVER_H
#define SYNPROXY_HANDOVER_H

#include "base/msg.h"
#include "base/bucket.h"
#include "synproxy/frame.h"
#include "synproxy/hold.h"

struct handover;

enum {
	HANDOVER_REFUSED_S = 3, /* a port that stays closed so long after the first one opened: RST */
	HANDOVER_QUIET_S = 2, /* without a straggler: it is over */
	HANDOVER_MOVE_AGAIN_S = 1, /* HOLD_MOVE is asked for again when nobody answered */
	HANDOVER_BURST = 256, /* held packets sent on at once, .. */
	HANDOVER_PER_MS = 64, /* .. and from then on in each millisecond */
	HANDOVER_STRAYS_PER_FLOW = 16, /* segments held for a paused VM */
	HANDOVER_WAKE_BURST = 8, /* wakes of one service at once, .. */
	HANDOVER_WAKES_PER_S = 50, /* .. and from then on */
	HANDOVER_ALL_WAKE_BURST = 256, /* the same of all services */
	HANDOVER_ALL_WAKES_PER_S = 2000,
	HANDOVER_ANSWERS_PER_S = 1000, /* RST to strays and answers to pings, of all services */
};

/* What all services share. */
struct handover_shared {
	struct hold_table *table; /* NULL: nothing is held */
	struct bucket wakes, answers;
	uint32_t turn; /* the service that is the first to say its wake when not all can */
};
void handover_shared_init(struct handover_shared *s, struct hold_table *table);

/* Called from inside the functions below; none of them may free it. */
struct handover_ops {
	/* To a client, through our tap; what cannot be sent is lost. */
	void (*to_tap)(void *arg, const uint8_t *frame, size_t n);
	/* Into the VM's port.  False: not now; a held packet stays held, another is lost. */
	bool (*to_port)(void *arg, const uint8_t *frame, size_t n);
	/* From now on ask the VM for this port too, and tell handover_probe().  False: it cannot be
	 * asked for. */
	bool (*want_port)(void *arg, uint16_t port);
	/* The VM's port is not needed any more. */
	void (*leave_port)(void *arg);
	/* svc, gen and token are filled in (0).  False: nobody hears it; it will be said again. */
	bool (*wake)(void *arg, const struct msg_wake *m);
	/* HOLD_FIRST, HOLD_MOVE, HOLD_RELEASED, HOLD_REFUSED, HOLD_WANT_PORT, HOLD_DONE.  svc and gen
	 * are filled in. */
	void (*event)(void *arg, const struct msg_hold_event *m);
};

/* `conf` stays the caller's until another one is given or the hand-over is freed; `shared` and `ops` must outlive it.
 * NULL when memory ran out. */
struct handover *handover_new(const struct msg_hold_service *conf, struct handover_shared *shared,
			      const struct handover_ops *ops, void *arg, uint64_t now_ns);
void handover_free(struct handover *h); /* what is held stays in the table.  NULL is fine */

/* ---- the network ---- */

/* A frame from the tap: an IP packet (FRAME_TCP, UDP, ECHO, WOL in UDP, IP) to one of its
 * addresses.  `f` is what was parsed of `bytes`. */
void handover_frame(struct handover *h, const uint8_t *bytes, size_t n, const struct frame *f, uint64_t now_ns);
/* A magic packet with the VM's MAC; `from` may be zero. */
void handover_wol(struct handover *h, const struct ip_addr *from, uint64_t now_ns);

/* The VM's port is there (again).  `asked`, n of them, are ports that are asked for anyhow; `probing`:
 * the port will be needed until PROBE_DONE, whatever is held. */
void handover_port(struct handover *h, const struct msg_port *asked, unsigned n, bool probing, uint64_t now_ns);
/* The VM's port was taken away. */
void handover_port_gone(struct handover *h);
/* What the VM answers. */
void handover_probe(struct handover *h, enum probe_what what, uint16_t port, uint64_t now_ns);

/* ---- the launcher ---- */

/* The same service says something else: ports, limits, wakes; stage and at_vm too.  That its start has
 * failed is told once, by handover_stage(): here FAILED, and SLEEP behind it, change nothing. */
void handover_conf(struct handover *h, const struct msg_hold_service *conf, uint64_t now_ns);
void handover_stage(struct handover *h, enum hold_stage stage, uint64_t now_ns);
void handover_moved(struct handover *h, uint64_t now_ns);
void handover_drop(struct handover *h, const struct ip_addr *client, bool reset, uint64_t now_ns);
/* There is a new launcher, which knows nothing of what was said: wakes and requests are said again. */
void handover_again(struct handover *h, uint64_t now_ns);

/* Does what is due.  When it wants to be called next (not after now_ns: at once); 0: when
 * something happens.  To be called after any of the functions above, too. */
uint64_t handover_tick(struct handover *h, uint64_t now_ns);

/* Is the forwarding entry at the VM's port, as far as we know? */
bool handover_at_vm(const struct handover *h);
/* All but arps and conflicts. */
void handover_counts(const struct handover *h, struct msg_hold_counts *out);

#endif
