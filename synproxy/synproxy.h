/* What the files of this process share; nobody else includes it.
 *
 *     main.c    messages, the sandbox, the loop
 *     taps.c    our tap on each bridge: frames in
 *     wards.c   held services: a claim and a hand-over each, and what these say
 *     ports.c   VM ports: a packet socket and a probe each
 *     learners.c  VM ports at which an address is learned
 *     flows.c   what is held, told to operators
 *     guests.c  what guests say
 *
 * Pointers to wards and ports die on return to the loop; services are named by index (svc) and gen.
 */
#ifndef SYNPROXY_SYNPROXY_H
#define SYNPROXY_SYNPROXY_H

#include <sys/queue.h>

#include "base/child.h"
#include "base/slots.h"
#include "synproxy/agenda.h"
#include "synproxy/claim.h"
#include "synproxy/handover.h"
#include "synproxy/lookup.h"
#include "synproxy/probe.h"

struct event;
struct synproxy;

/* ---- taps.c ---- */

struct tap {
	struct synproxy *s;
	int fd; /* -1: there is none */
	char name[MSG_IFNAME_MAX]; /* the bridge */
	uint32_t check_ms;
	struct event *readable;
};

struct taps {
	struct tap at[HOLD_BRIDGES_MAX]; /* by msg_hold_bridge.bridge */
};

void taps_init(struct taps *t);
void taps_end(struct taps *t);
/* Takes *fd; nothing is read from it yet. */
void tap_set(struct taps *t, const struct msg_hold_bridge *m, int *fd);
/* From now on frames are read from the taps in `t`, which is left without any. */
void taps_take(struct synproxy *s, struct taps *t);
/* One tap is another, or its bridge's link has changed.  Takes *fd. */
void tap_replace(struct synproxy *s, const struct msg_hold_bridge *m, int *fd);
/* Reads what came so far, but no more than is reasonable. */
void tap_read_empty(struct synproxy *s, uint32_t bridge);
void tap_send(struct synproxy *s, uint32_t bridge, const uint8_t *frame, size_t n);
void taps_retry(struct synproxy *s, uint64_t now_ns);

/* ---- wards.c ---- */

/* A held service. */
struct ward {
	struct synproxy *s;
	struct msg_hold_service *conf;
	struct claim *claim;
	struct handover *handover;
	bool counted; /* its counts may be new */
	struct msg_hold_counts told;
};

/* Those that something happened to, a queue. */
struct touched {
	unsigned n, first;
	uint16_t svc[SLOTS_MAX];
	bool is[SLOTS_MAX];
};

/* The ward that m->svc and gen name; NULL: none. */
struct ward *ward_find(struct synproxy *s, uint32_t svc, uint32_t gen);
/* Something happened to it: it is looked at before the loop goes on. */
void ward_touch(struct ward *w);
void wards_look(struct synproxy *s, uint64_t now_ns);
/* The same, but when services have changed it can wait for the next turn of the loop, for more of them. */
void wards_look_soon(struct synproxy *s, uint64_t now_ns);
void ward_set(struct synproxy *s, const struct msg_hold_service *m, uint64_t now_ns);
void ward_free(struct synproxy *s, uint32_t svc);
void ward_stage(struct ward *w, enum hold_stage stage, uint64_t now_ns);
void ward_moved(struct ward *w, uint64_t now_ns);
/* The addresses of those on this bridge are announced. */
void wards_announce(struct synproxy *s, uint32_t bridge, uint64_t now_ns);
/* Frames of clients and rivals, from the tap of that bridge. */
/* `f` is what was parsed of `bytes`. */
void wards_frame(struct synproxy *s, uint32_t bridge, const uint8_t *bytes, size_t n, const struct frame *f,
		 uint64_t now_ns);
void wards_tick(struct synproxy *s, uint64_t now_ns);
void wards_tell_counts(struct synproxy *s, uint64_t now_ns);

/* ---- ports.c ---- */

/* A VM's port. */
struct port_watch {
	struct synproxy *s;
	struct probe *probe;
	struct event *readable;
	int fd;
	struct msg_probe_start want;
	bool for_ready; /* MSG_PROBE_START asked, and not all has answered */
	bool for_hold; /* the hand-over uses it */
	uint64_t deaf_ns; /* nothing is heard until then; 0: it is not deaf */
	bool stale; /* not yet mentioned in the snapshot that is coming in */
};

void ports_start(struct synproxy *s, const struct msg_probe_start *m, bool for_ready, int *fd);
void ports_stop(struct synproxy *s, const struct msg_probe_stop *m);
void ports_tick(struct synproxy *s, uint64_t now_ns);
void ports_mark_stale(struct synproxy *s);
void ports_end_stale(struct synproxy *s);
void ports_end(struct synproxy *s);
/* The port of a ward's VM begins to be used for its hand-over, if there is one. */
void port_attach(struct ward *w, uint64_t now_ns);
/* ... and its VM is ready. */
void port_is_ready(struct ward *w, uint64_t now_ns);
void port_leave(struct ward *w);
bool port_want(struct ward *w, uint16_t port);
bool port_send(struct ward *w, const uint8_t *frame, size_t n);

/* ---- learners.c ---- */

struct learner;

/* Takes *fd. */
void learners_start(struct synproxy *s, const struct msg_learn_start *m, int *fd);
void learners_stop(struct synproxy *s, const struct msg_probe_stop *m);
void learners_tell(struct synproxy *s, const struct msg_learn_tell *m);
void learners_tick(struct synproxy *s, uint64_t now_ns);
void learners_mark_stale(struct synproxy *s);
void learners_end_stale(struct synproxy *s);
void learners_end(struct synproxy *s);

/* ---- flows.c ---- */

void flows_tell(struct synproxy *s, const struct msg_flows_ask *m);

/* ---- guests.c ---- */

struct guest;

/* Takes *fd. */
void guests_open(struct synproxy *s, const struct msg_guest *m, int *fd);
void guests_close(struct synproxy *s, const struct msg_guest *m);
void guests_mark_stale(struct synproxy *s);
void guests_end_stale(struct synproxy *s);
void guests_end(struct synproxy *s);

/* ---- main.c ---- */

/* In the agenda: wards, ports, and these. */
enum { DUE_WARDS = 0, DUE_PORTS = SLOTS_MAX, DUE_COUNTS = 2 * SLOTS_MAX, DUE_TAPS, DUE_ASSIGN, DUE_LEARN, DUE_N };

/* The loop serves messages and the timer before frames, whatever comes in. */
enum { PRIORITY_FIRST, PRIORITY_NORMAL, PRIORITY_FRAMES, PRIORITY_N };

/* What MSG_BEGIN .. MSG_END says, before it counts. */
struct snapshot {
	struct taps taps;
	struct msg_hold_service *services[SLOTS_MAX];
};

struct synproxy {
	struct child *child;
	struct agenda agenda;
	struct event *tick;
	/* ports */
	struct port_watch *ports[SLOTS_MAX];
	unsigned n_ports, first_port; /* first_port: whose turn it is */
	LIST_HEAD(, learner) learners;
	unsigned n_learners;
	struct guest *guests[SLOTS_MAX];
	/* holding */
	struct msg_hold_conf conf;
	struct handover_shared shared;
	struct claim_pace pace;
	struct taps taps;
	struct ward *wards[SLOTS_MAX];
	struct lookup *lookup;
	struct touched touched;
	bool assign_due; /* which services there are has changed, and is not seen in `lookup` yet */
	struct snapshot *coming; /* NULL: none is */
};

#endif
