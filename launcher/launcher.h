/* What the launcher's files share: the one launcher, its hypervisors and its services.
 *
 * Nothing here is for other folders.  Everything runs on one event loop; a pointer to a service
 * or hypervisor is good until return to it, and what must last longer (requests under way,
 * messages) carries index and gen.
 *
 *     main.c        wiring: channels, signals, the first configuration
 *     reload.c      a new configuration: what is new, changed, gone
 *     service.c     a service's life; service_start.c, service_stop.c: the actions of service_fsm's table
 *     use.c         who uses its VM
 *     wake.c        wakes: limits, the queue of those that must wait
 *     wake_dns.c    which queries may wake
 *     learning.c    addresses that are learned of running VMs
 *     start.c       from a service's record to a start request: images, taps, command line
 *     saves.c       files of VMs that are saved
 *     ready.c       when is it ready: probes and delays
 *     guest.c       what its guest says
 *     hypervisor.c  backends (_requests: what they are asked, _results: what they say, _found: what that means for
 *                   services; reconciling with what runs)
 *     dns_side.c    what dns is told
 *     dnssec_side.c the zones' keys: their timer, what dns and operators are told of them
 *     xdp_side.c    what is answered by XDP before dns sees it
 *     pools.c       addresses that services are given
 *     instances.c   services that are made when a template's names are asked for
 *     registrar.c   the registry's services: what is in force (_edit: changes, _facts: what is remembered); edits.c
 *                   has the commands that change them
 *     orders.c      services that operators keep up, or down
 *     operators.c   what operators ask through control (_vms, _dns: and wait for)
 *     journal.c     the last log lines of all processes
 *
 * What is held of clients while a VM is away: holds.h lists its files.
 */
#ifndef LAUNCHER_LAUNCHER_H
#define LAUNCHER_LAUNCHER_H

#include <event2/event.h>
#include <sys/queue.h>

#include "base/bucket.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/slots.h"
#include "config/load.h"
#include "config/value.h"
#include "launcher/budget.h"
#include "launcher/guest.h"
#include "launcher/holds.h"
#include "launcher/identity.h"
#include "launcher/image.h"
#include "launcher/journal.h"
#include "launcher/learning.h"
#include "launcher/netlink.h"
#include "launcher/note.h"
#include "launcher/port.h"
#include "launcher/reaper.h"
#include "launcher/run_state.h"
#include "launcher/saves.h"
#include "launcher/service_fsm.h"
#include "launcher/sweeps.h"
#include "launcher/trace.h"
#include "launcher/wake_dns.h"
#include "launcher/xdp_side.h"

struct launcher;
struct service;

/* A configuration, or one service of the registry, as long as anything still points into it. */
struct conf_ref {
	struct conf *conf; /* NULL: it is `service` */
	struct service_conf *service;
	char *instance_of; /* the template that made it; NULL: none */
	unsigned refs;
};

/* What an operator has ordered. */
enum order { ORDER_NONE, ORDER_UP, ORDER_DOWN };

enum request_kind {
	REQUEST_NONE,
	REQUEST_START,
	REQUEST_RESUME,
	REQUEST_STOP,
	REQUEST_VERIFY,
	REQUEST_DISCOVER,
	REQUEST_ADDRESSES,
	REQUEST_ADOPT, /* of a domain that is no service yet */
};

struct request {
	enum request_kind kind;
	uint32_t req, svc, gen;
	uint8_t how; /* REQUEST_STOP: enum stop_how */
	bool again; /* REQUEST_VERIFY: asked for once more before its answer came */
	int32_t boot; /* the domain's number as it was when this was asked; -1: none */
	struct msg_be_domain *domain; /* that came; NULL: none did */
};

struct heartbeat {
	struct event *timer;
	bool asked, silent; /* silent: for so long that it counts */
	uint64_t asked_ms, patience_ms;
};

struct hypervisor {
	TAILQ_ENTRY(hypervisor) next;
	struct launcher *l;
	char name[MSG_NAME_MAX], uri[MSG_PATH_MAX];
	enum isolation isolation;
	struct ipc *channel;
	struct msg_be_hello hello;
	bool greeted; /* this process has said something */
	bool reconciled; /* we know what runs there: services may be started */
	uint32_t list_req; /* of the MSG_BE_LIST under way, 0 for none */
	struct event *list_again; /* the last one failed */
	size_t n_found, room_found;
	struct msg_be_domain *found;
	size_t n_requests, room_requests;
	struct request *requests; /* under way, in no order */
	bool wanted; /* mark and sweep of a reload */
	struct heartbeat heartbeat;
};

enum { SERVICE_NAMES = 4096 }; /* chains of services by a hash */

enum timer_for { TIMER_NONE, TIMER_START, TIMER_IDLE, TIMER_DRAIN, TIMER_STOP, TIMER_FORGET };

struct service {
	struct launcher *l;
	struct conf_ref *ref; /* where conf lives */
	const struct service_conf *conf;
	uint32_t index, gen;
	const struct service_ip *addrs; /* what it has now: the record's, or what was learned (learning.c) */
	size_t n_addrs; /* at most MSG_LIST_MAX */
	struct learning *learning; /* NULL: its record has them all */
	struct service *same_name, *same_mac; /* the next ones in launcher.by_name's and by_mac's chains */
	TAILQ_ENTRY(service) busy;
	LIST_ENTRY(service) made;
	bool is_made; /* in launcher.made */
	bool is_busy; /* in launcher.busy */
	TAILQ_ENTRY(service) refused;
	TAILQ_ENTRY(service) undiscovered;
	bool is_undiscovered; /* in launcher.undiscovered */
	bool removed; /* no longer configured; forgotten once it is off */
	enum order order;
	uint64_t order_until_ms; /* since 1970; 0: until further orders */
	TAILQ_ENTRY(service) unlearned;
	bool is_unlearned; /* in launcher.unlearned */

	enum service_state state;
	uint64_t since_ms; /* in this state */
	uint64_t running_since_ms; /* while it runs: since its start, or since it was found running */

	/* the VM */
	struct hypervisor *hv;
	char *target; /* how the backend is told which domain; a path while nobody knows what it is called */
	bool on_taps; /* its NICs are on taps of ours; else its ports are the hypervisor's, which tells their names */
	char uuid[MSG_UUID_MAX];
	int32_t domain_id; /* -1: not running */
	uint64_t memory_bytes;
	bool by_us; /* we started what runs */
	uint16_t n_nics;
	struct msg_nic *nics; /* room for MSG_NICS_MAX, and as many ports; NULL: it never had any (service_room()) */
	struct port **ports;
	struct run_state run;
	bool changed_meanwhile; /* an event told of it while the hypervisor was asked what runs */
	bool stop_under_way; /* a stop was asked of the backend and has not ended: no start before */
	bool stop_waits; /* ... and it has not been sent: the start of this domain must be answered first */
	enum stop_how stop_how; /* stop_waits: how it will be */
	bool saves; /* the stop that was asked for last is a save */
	bool saved_there; /* its hypervisor keeps what was saved of it: a start restores that */
	bool restores; /* the start that was asked for last is a restore */
	bool restore_lost; /* the hypervisor's process has died in a restore of it */
	bool fresh; /* what its hypervisor has saved is no good */
	bool put_aside; /* so is the file of ours, and the boot in its place was asked for */
	enum { STALL_NONE, STALL_NOW, STALL_OVER } stalled; /* its start, by a process that hangs or hung */

	/* the wake under way, or the last one */
	uint64_t wake; /* its number in the trace */
	uint64_t wake_ns; /* when it was asked for */
	enum wake_cause cause;
	struct ip_addr client;
	uint64_t woken_ms;
	uint64_t last_wake_ms; /* how long the last one that came up took */
	uint64_t wakes, starts_failed;
	bool wake_again; /* woken while stopping */
	bool by_query; /* what runs was woken by somebody who may come */
	enum waker waker; /* who it was */
	bool proven; /* an instance: somebody has come to it, or wanted it who is not just anybody */
	bool trusted; /* ... or somebody has woken it since who is not WAKER_UNVERIFIED */
	bool came; /* somebody has come to what runs, as far as was looked */
	uint64_t came_looked_ms;
	struct service_wakers wakers;

	/* ready */
	bool links_known; /* probing is under way */
	int probe_fd; /* synproxy's socket, kept so that its close costs synproxy nothing; -1 */
	bool probes_done, delay_done, running;
	bool seen_ready; /* what runs was */

	/* waiting to start */
	TAILQ_ENTRY(service) queue;
	bool queued;
	uint64_t queued_until_ms;

	/* failures */
	uint32_t failures; /* in a row */
	uint64_t retry_ms; /* no start before */
	const char *last_error; /* note.h; so are the others */

	/* stopping */
	uint32_t drain_seq; /* of dns; 0 once it has acknowledged, or when it is away */
	uint32_t xdp_seq; /* of quiesce: answers by XDP may still be on their way; 0: none */
	bool by_xdp; /* its names are answered by XDP */
	bool drains_alone; /* dns or synproxy is away: whoever comes back must have time to see it */
	uint64_t uses; /* when it was found idle: any more, and it is not */
	uint64_t stop_failed_ms;
	uint64_t answered_ms; /* last waiting query answered with its address */
	uint64_t answers; /* how many were */
	const char *stop_reason;
	uint64_t last_stop_ms;

	struct hold hold;
	struct guest guest;

	struct event *timer, *delay, *look, *settle;
	enum timer_for timer_for;
};

TAILQ_HEAD(service_queue, service);

struct launcher {
	struct child *child;
	struct event_base *base;
	const struct child_args *args;
	struct conf_ref *ref;
	const struct conf *conf;
	uint64_t started_ms;
	struct zone_files *zone_files;
	struct secondaries *secondaries;
	struct dnssec *dnssec; /* the zones' keys */
	struct event *dnssec_timer; /* the next step, or the next snapshot for new signatures */

	struct ipc *dns, *synproxy, *control, *hooks;
	bool dns_told; /* it has had its first snapshot from us */
	uint32_t dns_seq; /* of the newest snapshot */
	uint32_t dns_loaded; /* dns_seq, once dns has said what became of it */
	uint64_t dns_sent_ms, dns_took_ms; /* when that was sent; how long sending took */
	uint32_t dns_changing; /* seq of the last MSG_DNS_CHANGING */
	bool dns_loading; /* the newest configuration is not in force there yet */
	struct event *dns_late; /* tell it even though not everything is reconciled */
	struct slots *slots;
	struct xdp_side *xdp; /* NULL: not wanted until now */

	struct hold_bridges *bridges;
	struct netlink_monitor *links;
	struct event *refresh; /* bridges or taps have changed */
	bool synproxy_told, synproxy_waited; /* it has a snapshot of us; it need not wait for one any longer */
	bool synproxy_stale; /* it knows services that are not held any more */
	struct msg_hold_conf synproxy_conf; /* that it has */
	struct bucket ports; /* what synproxy may ask for (hold_events.c) */
	struct event *synproxy_late;
	struct flows *flows;
	struct sweeps *sweeps;

	struct identity identity;
	struct image_reader qemu;
	struct netlink *netlink;
	struct port_monitor *monitor;
	struct reaper *reaper;

	TAILQ_HEAD(, hypervisor) hypervisors;
	struct service *services[SLOTS_MAX];
	size_t n_services; /* indices in use are below this */
	size_t first_free; /* none below this is free */
	struct service *by_name[SERVICE_NAMES];
	struct service *by_mac[SERVICE_NAMES]; /* those that are held */
	struct service_queue undiscovered; /* their hypervisors are asked about them when others have been answered */
	LIST_HEAD(, learning) learning; /* of the services whose address is learned */
	struct service_queue refused; /* those that are not held, and hold.refused says why */
	struct service_queue busy; /* all that may count against the limits, and a few more */
	struct service_queue unlearned; /* the registry shall have what came of them */
	struct registrar *registrar;
	struct pools *pools;
	LIST_HEAD(, service) made; /* the instances: who asks for names has them counted, and there may be many others */
	struct event *instances; /* when instances are looked after; NULL: there was none yet */
	struct import *import; /* the parts of one that have come; NULL: none */
	struct event *orders; /* there are some: they are looked after */
	uint32_t last_gen, last_req, last_seq;

	struct wakers wakers;
	struct service_queue waiting; /* to be started: those who are trusted first */
	struct event *queue_timer;

	struct trace *trace;
	struct journal *journal;
	struct operators *operators;
	struct events *events;
	struct metrics *metrics;
};

#define FOR_EACH_SERVICE(l, s)                                                                     \
	for (size_t index_##s = 0; index_##s < (l)->n_services; index_##s++)                       \
		if (((s) = (l)->services[index_##s]))

/* ---- service.c ---- */
struct service *service_new(struct launcher *l, struct conf_ref *ref, const struct service_conf *conf);
void service_free(struct service *s);
/* Points it to another record; `changed`: it says something else. */
void service_set_conf(struct service *s, struct conf_ref *ref, const struct service_conf *conf, bool changed);
void service_event(struct service *s, enum service_event event);
/* The current one of that index and gen, or NULL. */
struct service *service_find(struct launcher *l, uint32_t index, uint32_t gen);
struct service *service_by_name(struct launcher *l, const char *name);
struct service *service_by_name_any(struct launcher *l, const char *name); /* also one that was removed */
/* One that does not get ready is asked to shut down, and not ended. */
bool service_gives_up_gently(const struct service *s);
bool service_is_served(const struct service *s); /* it is configured, and enabled */
void service_set_error(struct service *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* dns or synproxy has acknowledged. */
void service_drained(struct service *s);
/* What its existing domain is called. */
void service_set_target(struct service *s, const char *domain);
/* There is room for its NICs and ports from now on. */
void service_room(struct service *s);
/* It is there, and was to be saved: why not is its last error. */
void service_not_saved(struct service *s);
void service_lost(struct service *s, const char *why); /* ... and is gone */
void service_not_restored(struct service *s, const char *why); /* it is booted instead */
void service_start_lost(struct service *s); /* the hypervisor's process died in it, and it is not there */
void service_not_booted(struct service *s); /* its start failed */
void service_runs(struct service *s); /* it succeeded */
/* What was to be stopped is there and stays. */
void service_stop_failed(struct service *s);
/* The VM is known to be gone: whatever state it is in, clean up behind it. */
void service_gone(struct service *s);
void service_arm(struct service *s, enum timer_for what, uint64_t ms);

/* ---- use.c ---- */
void service_count(struct launcher *l, struct budget *b);
void service_is_busy(struct service *s); /* it counts from now on, perhaps */
uint64_t service_memory(const struct service *s);
struct idle_verdict service_idle(struct service *s);
uint64_t use_asked_ms(const struct service *s); /* when its address was last given out; 0: never */
/* Changes with each packet from or to it, and each answer by which somebody may come unheld. */
uint64_t use_count(struct service *s);
bool use_has_come(struct service *s); /* was there any traffic since it was started? */
void use_begin(struct service *s); /* what is counted from now on is of another boot */
void use_watch(struct service *s); /* when does its first byte go out? */

/* ---- wake.c ---- */
/* Somebody who may, wants it. */
void wake_up(struct service *s, const struct msg_wake *m);
/* The same, by one who has paid for it (wakers_take()). */
void wake_paid(struct service *s, const struct msg_wake *m);
/* An operator's; the sentence in *e when it is refused. */
int wake_by_hand(struct service *s, struct err *e);
/* It waits for its start from now on, if it did not. */
void wake_queue(struct service *s);
/* Starts what waits and may now. */
void wake_pump(struct launcher *l);
int wake_init(struct launcher *l);
/* Whoever woke it and waits for the start is told no more: it is not to be started after all. */
void wake_forget(struct service *s, const char *why);
/* What it waits for, as a sentence; "" when it does not wait. */
void wake_explain(const struct service *s, char *out, size_t size);

/* ---- wake_packet.c ---- */
void wake_packet_heard(struct launcher *l, const struct msg_wake *m); /* from synproxy */
/* Whoever sent it is not served; `never`: nor would it be if it tried again. */
void wake_packet_refuse(struct service *s, const struct msg_wake *m, bool never);

/* ---- start.c ---- */
/* As the record has it: of a machine that we define. */
void start_describe_nic(const struct service *s, size_t nic, struct msg_nic *out);
/* `save`: the file that it is restored from; "": none. */
int start_send(struct service *s, const char *save, struct err *e);
/* What an existing domain is called; the path of its xl configuration while that cannot be read. */
void start_name_domain(const struct service *s, char *name, size_t size);
/* The domain that the xl configuration has now, and that file, which may be used.  0 or -errno with *e. */
int start_name_file(struct service *s, char domain[MSG_NAME_MAX * 2], char file[MSG_PATH_MAX], struct err *e);
/* What the xl configuration of this record names its domain, whoever else has that name. */
int start_xl_name(const struct launcher *l, const struct service_conf *c, char *name, size_t size, struct err *e);
/* That domain of that hypervisor is the service's, as far as is known. */
bool start_is_domain_of(const struct service *s, const char *hypervisor, const char *name);
void start_name_nics(struct service *s); /* of a machine that we define: we know them best */
void start_clean_up(struct service *s); /* taps and ports of a VM that is gone */
void start_open_ports(struct service *s);
void start_close_ports(struct service *s);
void start_guard_again(struct service *s); /* its VM speaks with other addresses from now on */

/* ---- ready.c ---- */
void ready_begin(struct service *s); /* a start or resume was asked for */
void ready_running(struct service *s); /* the hypervisor says it runs */
void ready_look(struct service *s); /* its guest has said something */
void ready_stop(struct service *s);
/* Why it may be that the probes of a VM that runs were not answered, as far as its port tells. */
const char *ready_explain_silence(const struct service *s);
void ready_event(struct launcher *l, const struct msg_probe_event *m);
void ready_synproxy_new(struct launcher *l); /* it was restarted: tell it again */
void ready_give_port(struct service *s); /* synproxy gets a socket of the VM's port, to hand over */
/* From which address the VM is asked, on the bridge of its first NIC.  0 or -errno with *e. */
int ready_find_prober(const struct service *s, struct prober *out, struct err *e);
void ready_address_known(struct service *s); /* or it is another one */
/* False when clients' frames do not reach the VM's port yet; it is looked at again, until they do. */
bool ready_port_forwards(struct service *s);
void ready_drop_port(struct service *s); /* ... and does not need it any more, or it is gone */
void ready_port_back(struct service *s);

/* ---- heartbeat.c ---- */
void heartbeat_new(struct hypervisor *hv);
void heartbeat_free(struct hypervisor *hv);
void heartbeat_begin(struct hypervisor *hv); /* its channel is new */
void heartbeat_end(struct hypervisor *hv); /* ... or gone */
void heartbeat_hear(struct hypervisor *hv);
/* For so long has it not answered; 0 while it does, or is not there. */
uint64_t heartbeat_silent_ms(const struct hypervisor *hv);

/* ---- hypervisor.c ---- */
struct hypervisor *hypervisor_find(struct launcher *l, const char *name);
struct hypervisor *hypervisor_new(struct launcher *l, const char *name);
void hypervisor_free(struct hypervisor *hv);
void hypervisor_channel(struct hypervisor *hv, int fd);
bool hypervisor_ready(const struct hypervisor *hv);
bool hypervisor_answers(const struct hypervisor *hv); /* that, and its process is not silent */
/* The request's number, or -ENOTCONN. */
int hypervisor_start(struct service *s, struct msg_be_start *m);
int hypervisor_resume(struct service *s);
int hypervisor_stop(struct service *s, enum stop_how how);
/* The same, to a file.  -ENOTCONN, or -errno with *e. */
int hypervisor_save(struct service *s, struct err *e);
void hypervisor_discover(struct service *s); /* does it run by now? */
void hypervisor_forget(struct service *s); /* it is about to be freed */
void hypervisor_end_console(const struct service *s); /* it will not come back */
void hypervisor_verify(struct service *s); /* is it truly gone? */
void hypervisor_ask_addresses(struct service *s); /* which does its VM have? */
/* What is this domain?  operators_domain_told() hears it, by the number that is returned; -errno: it cannot be asked. */
int64_t hypervisor_ask_domain(struct hypervisor *hv, const char *domain);
/* A stop was asked for and the hypervisor has not said yet how it went. */
bool hypervisor_is_stopping(const struct service *s);
bool hypervisors_reconciled(const struct launcher *l);

/* ---- dns_side.c ---- */
void dns_channel(struct launcher *l, int fd);
void dns_snapshot(struct launcher *l);
uint32_t dns_tell_state(struct service *s); /* the message's seq; 0 when dns is away */
enum answer_when dns_answer_when(const struct service *s);
/* The next snapshot says something else of these names, and of the reverse names of these addresses.  False when it
 * must be waited for: dns is away; else operators_edits_seen() follows. */
bool dns_say_changing(struct launcher *l, const struct service_conf *c, const struct service *s);
bool dns_is_behind(const struct launcher *l); /* it is still busy with the newest snapshot */
void dns_refuse(struct service *s, uint32_t token, enum refused_how how, const char *why);

/* ---- dnssec_side.c ---- */
typedef void dnssec_row_fn(void *arg, struct msg_ctl_row *row);
int dnssec_init(struct launcher *l);
void dnssec_configured(struct launcher *l); /* a configuration is in force */
void dnssec_send_keys(struct launcher *l, const char *zone); /* within a snapshot */
void dnssec_loaded(struct launcher *l); /* dns answers by the newest snapshot */
void dnssec_refused(struct launcher *l); /* or goes on with what it had, which is no zone file's fault */
/* A CTL_DNSSEC request: each row of its answer goes to `each`.  0, or -errno with *e. */
int dnssec_ask(struct launcher *l, const struct msg_ctl_request *ask, dnssec_row_fn *each, void *arg, struct err *e);

/* ---- operators.c---- */
struct operators *operators_new(struct launcher *l);
void operators_channel(struct launcher *l, int fd);
void operators_state_changed(struct service *s); /* somebody may wait for it */
void operators_line(struct launcher *l, const struct journal_line *line);
/* dns has the zones of the newest configuration, or `why` not: reloads that waited end. */
void operators_zones_loaded(struct launcher *l, const char *why);
/* dns has told its counts. */
void operators_dns_counted(struct launcher *l, const struct msg_dns_counts *m);

/* `d` NULL: there is none, or `m` says why nobody knows. */
void operators_domain_told(struct launcher *l, struct hypervisor *hv, const struct msg_be_result *m,
			   const struct msg_be_domain *d);

/* The end of a request, and rows before it. */
void operators_end(struct launcher *l, uint32_t id, int error, const char *text);
void operators_end_with(struct launcher *l, uint32_t id, int error, const struct buf *mistakes);
void operators_row(struct launcher *l, struct msg_ctl_row *row);
void operators_data(struct launcher *l, uint32_t id, const char *text, size_t n);
/* An edit is in force but for dns: ends once that goes by it, or knows its names (dns_changing; `waits`: it must have
 * all of it; `told`: it is being sent that). */
void operators_edit_made(struct launcher *l, const struct msg_ctl_request *ask, bool waits, bool told);
void operators_edits_seen(struct launcher *l, uint32_t changing);
void operators_edits_told(struct launcher *l); /* the next snapshot has all that were made */

/* ---- events.c: what operators watch ---- */
struct events *events_new(struct launcher *l);
void events_watch(struct launcher *l, bool on); /* somebody does, or nobody any more */
/* It was `before`, and `event` brought it where it is. */
void events_moved(const struct service *s, enum service_state before, enum service_event event);
/* The registry has a new revision; `service`: what it is about, "": several. */
void events_revision(struct launcher *l, uint64_t revision, const char *service, uint32_t changes, uint32_t uid,
		     const char *command);
void events_address(const struct service *s, const char *fmt, ...) PRINTF_LIKE(2, 3); /* a learned one */

/* It has another address of its pool; `why` says which. */
void events_readdressed(const struct service *s, const char *why);
/* It could not be saved, or restored: a sentence. */
void events_saved(const struct service *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A hypervisor's process: a sentence. */
void events_hypervisor(struct launcher *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The configuration was read again: it is in force, or was refused for these mistakes, a line each. */
void events_reloaded(struct launcher *l, bool done, const struct buf *mistakes);

/* ---- zones.c ---- */
void zones_describe(const struct launcher *l, const struct zone_conf *z, struct msg_ctl_row *row);

/* ---- registrar.c ---- */
/* It came up: how often it was woken and how long that took will be kept, soon. */
void registrar_learn(struct service *s);
void registrar_learned(struct service *s); /* ... or it need not be: the service is forgotten */
/* ... at once: it is not said again; but many of them together. */
void registrar_learn_soon(struct service *s);
/* dns gets its tables anew, soon: something in them has changed. */
void registrar_tell(struct launcher *l);
/* Does a record, or a bridge, have it?  `owner`: the service; "": a bridge is probed from it. */
bool registrar_has_address(const struct launcher *l, const struct ip_addr *addr, char *owner, size_t size);

/* ---- orders.c ---- */
bool order_keeps_up(const struct service *s);
bool order_keeps_down(const struct service *s);
void orders_init(struct launcher *l);

/* ---- reload.c ---- */
/* One service: new, or changed.  `judge`: whether it is held is found out at once. */
void reload_put(struct launcher *l, struct conf_ref *ref, const struct service_conf *c, bool judge);
void reload_remove(struct service *s);
/* The registry's services once more, beside the file's that are in force. */
void reload_services(struct launcher *l);
/* At start.  A file that has become bad since is not used: the last good one is, from RUN_DIR. */
int reload_first(struct launcher *l);
/* 0, or -EINVAL with every mistake in `mistakes`; then nothing has changed. */
int reload(struct launcher *l, struct buf *mistakes);
struct conf_ref *conf_ref_new(struct service_conf *s); /* of one service, which it takes, and may put elsewhere */
void conf_unref(struct conf_ref *ref);
struct conf_ref *conf_hold(struct conf_ref *ref);

/* ---- main.c ---- */
/* This peer is broken: the supervisor shall restart it. */
void launcher_stuck(struct launcher *l, enum role role, const char *name);
void launcher_hear_log(struct launcher *l, const char *process, const struct msg_log *m);

#endif
