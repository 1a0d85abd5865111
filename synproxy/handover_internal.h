/* What the files of a hand-over share, and nobody else uses.
 *
 *     handover.c           stages, the hand-over itself, what is due
 *     handover_packets.c   what becomes of a packet; wakes, answers in the VM's place
 *     handover_ports.c     the VM's port, and which TCP ports of it are waited for
 *     handover_release.c   what is held goes: to the VM, or with a RST, or in silence
 */
#ifndef SYNPROXY_HANDOVER_INTERNAL_H
#define SYNPROXY_HANDOVER_INTERNAL_H

#include "synproxy/handover.h"

enum {
	PORTS_MAX = 2 * MSG_LIST_MAX + HOLD_PORTS_MAX, /* configured, asked for by readiness, held */
};

/* A port that is waited for. */
struct port {
	uint16_t port;
	bool configured;
	bool deaf; /* it cannot be asked: taken for open when the VM is there */
	bool open, refused;
	bool closed; /* refused for so long that it is settled */
	bool held; /* there may be SYNs to it */
};

struct handover {
	const struct msg_hold_service *conf;
	struct handover_shared *shared;
	const struct handover_ops *ops;
	void *arg;
	enum hold_stage stage;
	bool at_vm, over;
	bool in_path;
	bool resuming; /* it was paused: its connections live */
	bool unsure; /* we began in the midst of a boot */
	bool packets; /* packets are held, not only SYNs */
	/* the VM's port */
	bool port_there, probing, link;
	unsigned n_ports;
	struct port *ports; /* room for PORTS_MAX while a VM comes; NULL: none are waited for, nor were lately */
	uint64_t open_ns, configured_open_ns; /* since when a port is open; ... a configured one; 0: none is */
	uint64_t up_ns, failed_ns;
	uint64_t asked_ns; /* when HOLD_MOVE or HOLD_WANT_PORT was last said; 0: it was not */
	uint64_t quiet_ns; /* the last straggler */
	struct bucket pace;
	bool stuck; /* the port did not take the last one */
	uint32_t unsaid; /* released, and not yet told */
	bool said_released;
	/* wakes */
	struct bucket wakes;
	bool wake_due, wake_again; /* ... for a client that came again */
	bool unheard; /* nobody listens to wakes */
	struct msg_wake wake;
	struct msg_hold_counts counts;
};

/* What is held. */
static inline uint32_t handover_held(const struct handover *h)
{
	return h->shared->table ? hold_count(h->shared->table, h->conf->svc) : 0;
}

/* The VM is there, or nearly, and not about to go. */
static inline bool handover_vm_comes(enum hold_stage stage)
{
	return stage == HOLD_STAGE_BOOT || stage == HOLD_STAGE_UP;
}

/* Of two times, where 0 is never. */
static inline uint64_t handover_sooner(uint64_t a, uint64_t b) { return !a || (b && b < a) ? b : a; }

static inline uint64_t handover_soon(uint64_t now_ns) { return now_ns + NS_PER_MS; }

/* `addr` may be NULL. */
void handover_tell(struct handover *h, enum hold_what what, const struct ip_addr *addr, uint16_t port, uint32_t n,
		   uint64_t now_ns);

/* ---- handover_packets.c ---- */

bool handover_wakes(const struct handover *h); /* what comes now does */
bool handover_discards(const struct handover *h); /* nothing is held now */
bool handover_resets_strays(const struct handover *h); /* no connection of the VM's can live */
bool handover_say_wake(struct handover *h, uint64_t now_ns); /* the one that is due, if it may be said; was it? */
void handover_review_wake(struct handover *h); /* the one that is due is forgotten, if it does not wake now */
uint64_t handover_wake_ns(const struct handover *h); /* when that is; 0: none is due */
void handover_wake_for_held(struct handover *h, uint64_t now_ns); /* what is held already wants the VM */

/* ---- handover_ports.c ---- */

struct port *handover_find_port(struct handover *h, uint16_t port);
/* Ports are waited for now. */
bool handover_waits(const struct handover *h);
/* For this one, from now on: because it is configured, or because SYNs to it are held. */
void handover_add_port(struct handover *h, uint16_t port, bool configured);
/* For those configured and those with held SYNs, if any are now. */
void handover_wait_for_ports(struct handover *h);
/* How many ports are not settled; *due_ns: when the next one may be. */
unsigned handover_settle(struct handover *h, uint64_t now_ns, uint64_t *due_ns);
void handover_leave_port(struct handover *h);

/* ---- handover_release.c: each returns true when some of it is left for the next tick ---- */

bool handover_release_packets(struct handover *h, uint64_t now_ns);
bool handover_release_syns(struct handover *h, int port, uint64_t now_ns); /* as hold_take_syns() */
bool handover_release_open_ports(struct handover *h, uint64_t now_ns);
/* RST to what waits for ports that stay closed. */
bool handover_refuse_closed_ports(struct handover *h, uint64_t now_ns);
/* The first ones at once, the rest when it is all of them. */
void handover_say_released(struct handover *h, bool left, uint64_t now_ns);
/* RST to what came at or before failed_ns. */
bool handover_refuse_failed(struct handover *h, uint64_t now_ns);
/* The next two: when they want to be called again; 0: never. */
uint64_t handover_expire(struct handover *h, uint64_t now_ns);
uint64_t handover_discard(struct handover *h);

#endif
