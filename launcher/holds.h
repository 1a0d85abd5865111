/* Holding: which services' addresses are ours on their bridge while their VM is away, and what
 * synproxy and the bridge are told of it.
 *
 *     holds.c          each service: is it held, its stage, where its forwarding entry is
 *     hold_place.c     on which bridge and with which MAC; why not
 *     hold_events.c    what synproxy says of a held service
 *     hold_bridges.c   our tap on each bridge that has such services
 *     synproxy_side.c  the channel: a whole snapshot, then news
 *     links.c          ports and taps that come and go
 *     wake_packet.c    which packets may wake
 *     flows.c          operators ask which connections are held
 */
#ifndef LAUNCHER_HOLDS_H
#define LAUNCHER_HOLDS_H

#include "base/addr_list.h"
#include "base/msg.h"
#include "launcher/hold_tap.h"
#include "launcher/netlink.h"
#include "launcher/port.h"

struct launcher;
struct service;

/* A bridge with our tap on it. */
struct hold_bridge {
	struct launcher *l;
	uint32_t number; /* stands for it in messages */
	struct bridge_info info; /* as it was when the tap was made */
	struct prober prober;
	uint32_t conflict_probe_ms;
	struct hold_tap tap;
	bool filtered; /* the tap's filter is this launcher's */
	bool clean; /* the bridge has no MAC at the tap but those that we put there */
	bool kept; /* an earlier launcher of this jitsud made the tap: what it claimed, is claimed */
	bool told; /* synproxy has it */
	bool link_was_down; /* one of its ports that is no VM's: what is behind it may have forgotten us */
	bool wanted; /* mark and sweep */
	unsigned n_held; /* services */
};

enum { HOLD_PASS_UNKNOWN = UINT8_MAX };

enum hold_at { HOLD_AT_UNKNOWN, HOLD_AT_TAP, HOLD_AT_VM };

/* Where a service is held: what must be the same for a claim to go on. */
struct hold_place {
	struct hold_bridge *bridge; /* NULL: it is not held */
	struct mac_addr mac; /* the VM's */
	struct addr_list addrs;
};

/* Part of each service. */
struct hold {
	bool look_again; /* its VM's NICs were told: they may be others */
	bool known; /* its hypervisor has told whether its VM runs, and which NICs a domain has */
	bool mac_varies; /* the xl configuration says no MAC, so each start has another one */
	const char *unread; /* a note: why the xl configuration of its domain does not tell its NICs */
	const char *refused; /* a note: why it is not held although the record wants it */
	struct hold_place place;
	uint64_t claim; /* stands for the place; as run_state.claim: nobody else has the addresses */
	enum hold_at at; /* the forwarding entry, as far as it is ours */
	int port; /* ifindex of the VM's port, when the entry was put there or was last taken away; 0: none */
	bool wants_move; /* synproxy has asked for it, and the VM's port does not forward yet */
	bool port_lost; /* the VM runs, and its port is gone or left the bridge */
	bool done; /* handed over, and nothing comes to the tap any more */
	bool conflict; /* somebody else has an address: nothing is claimed */
	struct ip_addr conflict_addr; /* who it was last, also when that is over */
	struct mac_addr conflict_mac;
	uint64_t freed_ms, given_ms; /* when synproxy last ended a conflict, and asked for the VM's port; 0: never */
	bool gave_up; /* it was not started for those who waited */
	uint8_t pass_mac, pass_addr; /* enum hold_pass: what the tap's filter has of its place; or HOLD_PASS_UNKNOWN */
	uint32_t pass_turn; /* as of which that is sure */
	uint8_t stage; /* enum hold_stage: as synproxy knows it */
	uint32_t drain_seq; /* of HOLD_STAGE_DRAIN, until it is acknowledged */
	uint64_t wakes_refused;
	struct msg_hold_counts counts;
};

/* ---- holds.c ---- */
/* Whether and where it is held is looked at again.  `news`: also what else synproxy knows of its record. */
void holds_judge(struct service *s, bool news);
/* Facts have changed, but not the state: the stage follows, and dns is told when it matters there. */
void holds_update(struct service *s);
/* The state has changed; before anybody else is told. */
void holds_moved(struct service *s, enum service_state before);
/* All of them, and their bridges: after a reload, or when a bridge or our tap is another one. */
void holds_refresh(struct launcher *l);
/* Those that are refused only: what stood in the way may be gone. */
void holds_retry(struct launcher *l);
void holds_free(struct service *s); /* the service is about to be forgotten */
/* Clients are held, so that its address may be given out while the VM is away. */
bool holds_now(const struct service *s);
/* The VM's port must stay open: synproxy passes something on through it, or may have to. */
bool holds_need_port(const struct service *s);
/* The forwarding entry is put where `at` says.  0 or -errno with *e. */
int holds_put(struct service *s, enum hold_at at, struct err *e);
/* Nobody else has its addresses. */
void holds_claim(struct service *s);
void holds_yield(struct service *s);
/* Those who waited for a start that did not come are told. */
void holds_gave_up(struct service *s);
/* Has its VM's port gone, or come back? */
void holds_look_at_port(struct service *s);

/* ---- hold_place.c ---- */
/* Where it is to be held; hold_place_clear() ends it.  -EAGAIN: that cannot be told yet; else -errno: never, as
 * things are.  The sentence is in *e; without one `hold` is off. */
int hold_place_find(struct service *s, struct hold_place *out, struct err *e);
void hold_place_clear(struct hold_place *p);
/* Can a VM with this first NIC be held at all?  NULL: it has none.  0 or -errno with *e. */
int hold_place_check_nic(const struct msg_nic *n, struct err *e);
/* It is held there from now on, so that others with its MAC are refused; no longer. */
void hold_place_enter(struct service *s);
void hold_place_leave(struct service *s);
/* Is an entry of this MAC at our tap on that bridge a service's, as far as is known? */
bool hold_place_has(struct launcher *l, const struct hold_bridge *b, const struct mac_addr *mac);
uint64_t hold_place_claim(const struct hold_place *p);
bool hold_place_equal(const struct hold_place *a, const struct hold_place *b);

/* ---- hold_bridges.c ---- */
struct hold_bridges;
struct hold_bridges *hold_bridges_new(struct launcher *l, struct err *e);
/* From MSG_KEPT; takes the descriptor.  Without a name: that was all. */
void hold_bridges_kept(struct launcher *l, const struct msg_keep *m, int *fd);
/* Taps can be made: it is known which are kept. */
bool hold_bridges_ready(const struct launcher *l);
/* What is known of the bridge of that name, whether there is a tap of ours on it or not.  0 or -errno with *e. */
int hold_bridges_look(struct launcher *l, const char *name, struct bridge_info *info, struct prober *prober,
		      struct err *e);
/* The bridge of that name, with our tap on it.  NULL with *e. */
struct hold_bridge *hold_bridges_get(struct launcher *l, const char *name, struct err *e);
struct hold_bridge *hold_bridges_next(struct launcher *l, const struct hold_bridge *after); /* NULL: the first */
/* Is each of them, and its tap, as it was?  Whatever is not, is made anew; then true. */
bool hold_bridges_check(struct launcher *l);
/* Those without a tap by now; no service is held on them any more. */
void hold_bridges_drop_broken(struct launcher *l);
/* The link of a port that is no VM's came or went: behind it may be switches, which are told again where our
 * addresses are. */
void hold_bridges_uplink(struct launcher *l, const struct link_info *link, bool up);
/* Does this link matter to one of them? */
bool hold_bridges_concern(const struct launcher *l, const struct link_info *link);
/* What nobody needs is deleted: taps of bridges without held services, and of earlier runs; and forwarding entries at
 * our taps that an earlier launcher has put there. */
void hold_bridges_sweep(struct launcher *l);
void hold_bridges_filter(struct launcher *l); /* taps that still have another filter get theirs */
/* What the filter of the tap at its place lets in. */
void hold_bridges_pass(struct hold *h, enum hold_stage stage, bool done);
void hold_bridges_stop(struct launcher *l); /* an orderly end: nothing of it stays */

/* ---- synproxy_side.c ---- */
int synproxy_init(struct launcher *l);
void synproxy_channel(struct launcher *l, int fd);
/* A bridge that synproxy has: its link has changed. */
void synproxy_say_bridge(struct hold_bridge *b);
/* The whole snapshot, as soon as it is known what to say. */
void synproxy_snapshot(struct launcher *l);
bool synproxy_is_told(const struct launcher *l);
bool synproxy_is_current(struct launcher *l); /* ... all that only a snapshot tells */
void synproxy_say_service(struct service *s);
/* The message's seq; 0 when synproxy is away. */
uint32_t synproxy_say_stage(struct service *s);
void synproxy_say_drop(struct service *s, const struct ip_addr *client, bool reset);

/* ---- hold_events.c ---- */
void hold_events_init(struct launcher *l);
void hold_event(struct launcher *l, const struct msg_hold_event *m);
void hold_move(struct service *s); /* the forwarding entry to the VM's port, if that fits */
void hold_ack(struct launcher *l, const struct msg_hold_stage *m);
void hold_counts(struct launcher *l, const struct msg_hold_counts *m);
/* "10.0.0.5 (MAC 52:54:00:12:34:56)": who had one of its addresses last. */
const char *hold_conflict_text(const struct service *s, char *out, size_t size);

/* ---- links.c ---- */
struct netlink_monitor *links_watch(struct launcher *l, struct err *e);

/* ---- flows.c ---- */
struct flows;
struct flows *flows_new(void);
void flows_ask(struct launcher *l, const struct msg_ctl_request *ask, const struct service *s); /* s: NULL for all */
void flows_rows(struct launcher *l, const struct msg_flows_rows *m);
void flows_end(struct launcher *l, const struct msg_flows_end *m);
void flows_cancel(struct launcher *l, uint32_t id); /* control's */
void flows_drop(struct launcher *l); /* control is another one */
void flows_synproxy_gone(struct launcher *l);

#endif
