/* The words that the processes say to each other: the only place where they meet.
 *
 *     supervisor <-> everyone      who your peers are, the descriptors you work with, stop
 *     launcher   <-> dns           the tables to answer from; wakes
 *     launcher   <-> synproxy      which VM ports to probe; what answered
 *     launcher   <-> control       an operator's request; rows of its answer
 *     launcher    -> hooks         what happened
 *     launcher   <-> backends      start, stop, resume, inspect; results and events
 *
 * The launcher is the only truth.  Whenever a peer gets a new launcher channel (either side was
 * restarted), the launcher sends MSG_BEGIN, everything that peer needs, MSG_END: a whole
 * snapshot.  Before its first MSG_END a process answers nothing; at every later one it swaps the
 * old tables for the new at once.
 *
 * A service is named by `svc`, its index below SLOTS_MAX, and `gen`, which differs each time the
 * index is used for another service, and with each launcher; a message whose gen is not the current
 * one is about the past, and is dropped.  All times are CLOCK_MONOTONIC nanoseconds.
 */
#ifndef BASE_MSG_H
#define BASE_MSG_H

#include "base/addr.h"
#include "base/codec.h"
#include "base/metric.h"
#include "base/util.h"

enum {
	MSG_NAME_MAX = 64, /* a service's, a bridge's, a hypervisor's name, with its NUL */
	MSG_DOMAIN_NAME_MAX = 256, /* a DNS name as text */
	MSG_PATH_MAX = 512,
	MSG_TEXT_MAX = 480, /* a sentence: as long as struct err's */
	MSG_UUID_MAX = 40,
	MSG_IFNAME_MAX = 16,
	MSG_LIST_MAX = 16, /* names, addresses, ports of one service */
	MSG_DISKS_MAX = 8,
	MSG_NICS_MAX = 4,
	MSG_CMDLINE_MAX = 2048,
	MSG_FIELDS_MAX = 96,
	MSG_VALUE_MAX = 512,
	MSG_DATA_MAX = 4096,
	MSG_LOG_MAX = 1024,
	MSG_FLOWS_MAX = 64, /* rows in one MSG_FLOWS_ROWS */
	MSG_SECRETS_MAX = 4, /* of DNS cookies */
	MSG_SIGNED_ZONES_MAX = 256,
	MSG_TSIG_SECRET_MAX = 128, /* bytes of a TSIG key's secret */
	MSG_HOOKS_MAX = 32,
	MSG_SAMPLES_MAX = 64, /* in one MSG_METRICS */
	MSG_KEY_MAX = 54, /* of XenStore, below a domain's directory, with its NUL */
	MSG_KEYS_MAX = 8, /* of one service */
	MSG_RECORD_MAX = 32 * 1024, /* JSON of one service, or of a part of an import */
};

enum role { ROLE_SUPERVISOR, ROLE_LAUNCHER, ROLE_DNS, ROLE_SYNPROXY, ROLE_CONTROL, ROLE_BACKEND, ROLE_HOOKS, ROLE_N };

/* launcher/service_fsm.h tells how a service moves through them. */
enum service_state {
	STATE_OFF,
	STATE_STARTING,
	STATE_BOOTING,
	STATE_UP,
	STATE_ADOPTED,
	STATE_DRAINING,
	STATE_STOPPING,
	STATE_FAILED,
	STATE_SUSPENDED,
	STATE_SAVED,
	STATE_WARM,
	STATE_CONFLICT,
	STATE_N
};

enum wake_cause { CAUSE_DNS, CAUSE_SYN, CAUSE_UDP, CAUSE_WOL, CAUSE_CLI, CAUSE_DEPENDENCY, CAUSE_PING, CAUSE_N };
enum answer_when { ANSWER_AT_ONCE, ANSWER_STARTED, ANSWER_READY, ANSWER_N };
/* Whose queries wake it: anybody's; those of clients that are where they say (a good cookie, TCP); nobody's. */
enum wake_dns { WAKE_DNS_ANY, WAKE_DNS_VERIFIED, WAKE_DNS_OFF, WAKE_DNS_N };
enum ping_mode { PING_IGNORE, PING_ANSWER, PING_WAKE, PING_N };
enum stop_how { STOP_DESTROY, STOP_SHUTDOWN, STOP_SUSPEND, STOP_SAVE, STOP_N };
enum hook_event { HOOK_UP, HOOK_FAILED, HOOK_STOPPED, HOOK_ALL_IDLE, HOOK_EVENT_N };
/* How an address of a VM became known. */
enum learn_how {
	LEARN_ARP, /* the VM has said so, in ARP */
	LEARN_DHCP, /* it has asked a DHCP server for it */
	LEARN_TRAFFIC, /* it sends from it */
	LEARN_LEASE, /* the hypervisor has given it */
	LEARN_AGENT, /* the guest's agent says so */
	LEARN_NEIGHBOUR, /* this host has talked with it */
	LEARN_N
};
enum isolation { ISOLATION_STRICT, ISOLATION_FAST, ISOLATION_N };

/* "UP", "dns", "ready", "destroy", "strict": as people and files write them; "?" when out of range. */
const char *role_name(unsigned role);
const char *state_name(unsigned state); /* lower case: "off" .. "conflict" */
const char *cause_name(unsigned cause);
const char *answer_name(unsigned when);
const char *wake_dns_name(unsigned wake_dns);
const char *stop_name(unsigned how);
const char *isolation_name(unsigned isolation);
const char *learn_name(unsigned how); /* "arp" .. */
const char *hook_event_name(unsigned event);

enum msg_type {
	/* supervisor -> child */
	MSG_PEER = 1, /* + fd: your channel to that peer; it replaces an earlier one */
	MSG_LISTEN, /* + fd: a bound socket to serve (dns: udp, tcp; control: unix, metrics) */
	MSG_SLOTS, /* + fd: the memfd of slots.h */
	MSG_RELOAD, /* launcher: read the configuration again */
	MSG_STOP, /* finish and exit 0 */
	MSG_PING, /* answer MSG_PONG from your loop; the launcher says it to backends, too */
	MSG_HOLD_MEMORY, /* synproxy: + fd: where held packets lie; it outlives synproxy */
	MSG_KEPT, /* launcher: + fd: what an earlier launcher had kept under this name; before the first
		     MSG_PEER, and at their end one without a name and fd */
	MSG_LISTEN_END, /* control: stop listening there */
	MSG_PROCESS, /* launcher: a process was started, or ended */
	/* child -> supervisor */
	MSG_READY, /* I work: once, when the process first serves */
	MSG_PONG,
	MSG_RELOADED, /* launcher: after each MSG_RELOAD, whether the new configuration is used or not */
	MSG_STUCK, /* this peer of mine does not read, or talks nonsense: restart it */
	MSG_WANT_LISTEN, /* launcher: open, and give to dns; metrics: to control */
	MSG_WANT_BACKEND, /* launcher: run this backend process */
	MSG_WANT_HOOKS, /* launcher: run the process of hooks */
	MSG_WANT_END, /* the list is whole: what is not in it, goes */
	MSG_KEEP, /* launcher: + fd: keep it for my successors; without fd: close what has this name */
	/* supervisor -> launcher */
	MSG_WANT_FAILED, /* one of them could not be had, and why */

	/* launcher -> any */
	MSG_BEGIN = 32,
	MSG_END,
	/* any -> launcher */
	MSG_LOG,

	/* launcher -> dns, between MSG_BEGIN and MSG_END */
	MSG_DNS_CONF = 48,
	MSG_DNS_ZONE,
	MSG_DNS_FORWARD,
	MSG_DNS_ALLOW,
	MSG_DNS_EXEMPT,
	MSG_DNS_SERVICE,
	MSG_DNS_ZONE_FILE, /* + fd: a regular file that nobody writes to any more */
	MSG_DNS_KEY, /* + fd: the private key's file; after its zone's MSG_DNS_ZONE */
	MSG_DNS_TSIG_KEY, /* before the two that may name it */
	MSG_DNS_SECONDARY, /* after its zone's MSG_DNS_ZONE, like the next */
	MSG_DNS_TRANSFER,
	/* launcher -> dns, any time */
	MSG_DNS_STATE,
	MSG_DNS_REFUSED,
	MSG_DNS_COUNTS_ASK,
	MSG_DNS_CHANGING,
	/* dns -> launcher */
	MSG_DNS_STATE_ACK,
	MSG_DNS_CHANGING_ACK,
	MSG_DNS_ANSWERED,
	MSG_DNS_ZONE_SERIAL, /* one for each configured zone, before its MSG_DNS_LOADED */
	MSG_DNS_LOADED,
	MSG_DNS_COUNTS, /* for each MSG_DNS_COUNTS_ASK */
	MSG_WAKE,

	/* launcher -> synproxy, any time */
	MSG_PROBE_START = 72, /* + fd: a packet socket bound to the VM's port */
	MSG_PROBE_STOP,
	MSG_HOLD_PORT, /* + fd: the same for a VM that need not be probed for being ready */
	MSG_HOLD_STAGE,
	MSG_HOLD_MOVED,
	MSG_HOLD_DROP,
	MSG_FLOWS_ASK,
	MSG_LEARN_START, /* + fd: a packet socket bound to the VM's port; which address has it? */
	MSG_LEARN_STOP,
	MSG_LEARN_TELL,
	MSG_GUEST_OPEN, /* + fd: a stream of what a guest says (docs/guest-messages.md) */
	MSG_GUEST_CLOSE, /* hear it no more */
	/* launcher -> synproxy, between MSG_BEGIN and MSG_END */
	MSG_HOLD_CONF,
	MSG_HOLD_BRIDGE, /* + fd: our tap, a port of that bridge; also later, when the bridge's link has changed */
	MSG_HOLD_SERVICE, /* also later, when a service is new or says something else */
	/* synproxy -> launcher; and MSG_WAKE */
	MSG_PROBE_EVENT,
	MSG_HOLD_EVENT,
	MSG_HOLD_ACK,
	MSG_HOLD_COUNTS,
	MSG_FLOWS_ROWS,
	MSG_FLOWS_END,
	MSG_LEARN_FOUND,
	MSG_GUEST_SAID,

	/* control -> launcher */
	MSG_CTL_REQUEST = 96,
	MSG_CTL_CANCEL,
	MSG_CTL_WATCH,
	/* launcher -> control: any number of rows, lines and data, then one end */
	MSG_CTL_ROW,
	MSG_CTL_DATA,
	MSG_CTL_END,
	MSG_CTL_EVENT, /* while there is somebody who watches */
	/* control -> launcher */
	MSG_METRICS_ASK,
	/* launcher -> control: any number of the first two, all of one metric together, then one end */
	MSG_METRICS,
	MSG_METRICS_HISTOGRAM,
	MSG_METRICS_END,

	/* launcher -> backend; backends/backend.h is the contract */
	MSG_BE_START = 112,
	MSG_BE_STOP,
	MSG_BE_RESUME,
	MSG_BE_INSPECT,
	MSG_BE_LIST,
	MSG_BE_CONSOLE,
	MSG_BE_WATCH,
	/* backend -> launcher */
	MSG_BE_HELLO,
	MSG_BE_RESULT,
	MSG_BE_DOMAIN,
	MSG_BE_LIST_END,
	MSG_BE_EVENT,
	MSG_BE_GUEST, /* + fd: where what its guest says comes from */
	MSG_BE_KEY,

	/* launcher -> hooks, between MSG_BEGIN and MSG_END */
	MSG_HOOK = 128,
	/* launcher -> hooks, any time */
	MSG_HOOK_EVENT,
	/* hooks -> launcher */
	MSG_HOOK_COUNTS,
	MSG_TYPE_MAX
};

/* ---- supervisor ---- */

struct msg_peer { /* MSG_PEER, MSG_STUCK */
	uint8_t role; /* enum role */
	char name[MSG_NAME_MAX]; /* which backend */
};

enum listen_proto { LISTEN_UDP, LISTEN_TCP, LISTEN_UNIX, LISTEN_METRICS /* TCP; HTTP */ };
enum { LISTEN_SHARERS_MAX = 64, LISTEN_UDP_MAX = 256 /* all UDP sockets together */ };

struct msg_listen { /* MSG_LISTEN, MSG_LISTEN_END, MSG_WANT_LISTEN */
	uint8_t proto; /* enum listen_proto */
	struct ip_addr addr;
	uint16_t port;
	uint16_t sharers; /* MSG_WANT_LISTEN, UDP: so many sockets share the port (0: one) */
	uint16_t place; /* MSG_LISTEN: which of them this is, from 0 */
};

struct msg_process {
	char name[MSG_NAME_MAX]; /* "jitsud", "dns", a hypervisor's */
	uint32_t pid; /* 0: it does not run */
	uint32_t starts; /* how often it was started; 0: it is wanted no more */
};

struct msg_want_backend {
	char name[MSG_NAME_MAX];
	char uri[MSG_PATH_MAX];
	uint8_t isolation; /* enum isolation */
};

struct msg_want_failed {
	char text[MSG_TEXT_MAX];
};

struct msg_keep { /* MSG_KEEP, MSG_KEPT */
	char name[MSG_NAME_MAX];
};

/* ---- any ---- */

struct msg_log {
	uint8_t level; /* enum log_level */
	char line[MSG_LOG_MAX];
};

/* ---- dns ---- */

struct msg_domain_name {
	char text[MSG_DOMAIN_NAME_MAX]; /* "www.example.org", no final dot, as the operator wrote it */
};

struct msg_secret {
	uint8_t b[16];
};

struct msg_dns_conf {
	uint32_t max_waiting; /* queries held at once */
	uint32_t max_tcp; /* TCP clients at once */
	uint32_t seq; /* of this snapshot: MSG_DNS_LOADED has it */
	char nsid[MSG_NAME_MAX]; /* RFC 5001; "": none */
	uint32_t rate; /* UDP answers per second to one network; 0: any number */
	uint32_t slip; /* of those over it, each slip-th says "ask over TCP"; 0: none */
	uint16_t n_secrets; /* 0: dns makes its own */
	struct msg_secret secrets[MSG_SECRETS_MAX];
};

struct msg_dns_zone {
	char name[MSG_DOMAIN_NAME_MAX];
	char hostmaster[MSG_DOMAIN_NAME_MAX]; /* mailbox as a domain name */
	uint16_t n_ns;
	struct msg_domain_name ns[MSG_LIST_MAX];
	uint32_t serial, refresh_s, retry_s, expire_s, minimum_s, ttl_s;
};

struct msg_dns_forward {
	struct ip_addr addr;
	uint16_t port;
};

struct msg_dns_allow { /* MSG_DNS_ALLOW: may forward; MSG_DNS_EXEMPT: without `rate` */
	struct ip_prefix prefix;
};

struct msg_dns_zone_file {
	char zone[MSG_DOMAIN_NAME_MAX]; /* as in its MSG_DNS_ZONE */
	char path[MSG_PATH_MAX]; /* what its mistakes are told with */
	bool lenient; /* what does not fit into the zone is left out, and is no mistake */
};

/* A key of that zone, which is signed if one of its keys has `sign`.  The file is in BIND's private-key
 * format, v1.3, as ldns_key_new_frm_fp() reads it. */
struct msg_dns_key {
	char zone[MSG_DOMAIN_NAME_MAX]; /* as in its MSG_DNS_ZONE */
	uint16_t tag; /* RFC 4034, appendix B */
	uint16_t flags; /* of its DNSKEY: 257 */
	uint8_t algorithm; /* 13: ECDSA P-256, 15: Ed25519 */
	bool publish; /* it is in the DNSKEY RRset */
	bool sign; /* signs what is in the zone */
	bool sign_keys; /* signs the DNSKEY, CDS and CDNSKEY RRsets */
	bool cds; /* it is in the CDS and CDNSKEY RRsets */
};

enum tsig_algorithm { TSIG_HMAC_SHA256, TSIG_HMAC_SHA384, TSIG_HMAC_SHA512, TSIG_ALGORITHM_N };

/* A secret shared with other servers (RFC 8945). */
struct msg_dns_tsig_key {
	char name[MSG_DOMAIN_NAME_MAX];
	uint8_t algorithm; /* enum tsig_algorithm */
	uint8_t secret_n;
	uint8_t secret[MSG_TSIG_SECRET_MAX];
};

/* It is told when the zone has changed, and may have it. */
struct msg_dns_secondary {
	char zone[MSG_DOMAIN_NAME_MAX]; /* as in its MSG_DNS_ZONE */
	struct ip_addr addr;
	uint16_t port;
	char key[MSG_DOMAIN_NAME_MAX]; /* of its MSG_DNS_TSIG_KEY: all is signed; "": nothing */
};

/* These, too, may have the zone. */
struct msg_dns_transfer {
	char zone[MSG_DOMAIN_NAME_MAX];
	struct ip_prefix prefix;
	char key[MSG_DOMAIN_NAME_MAX]; /* as above */
};

struct msg_dns_service {
	uint32_t svc, gen;
	char name[MSG_NAME_MAX];
	uint8_t state; /* enum service_state */
	uint8_t answer; /* enum answer_when */
	uint8_t wake_dns; /* enum wake_dns */
	bool unknown; /* its IPv4 address is not known yet: who asks for it waits */
	uint32_t ttl_s;
	uint32_t ttl_down_s; /* of its addresses while it is not up; at most ttl_s */
	uint32_t max_hold_ms;
	uint16_t n_names;
	struct msg_domain_name names[MSG_LIST_MAX];
	uint16_t n_addrs;
	struct ip_addr addrs[MSG_LIST_MAX];
	bool template4, template6; /* its name is a wildcard: who asks for a name that it stands for has a service made,
				      with an address of this family; the wake has a `label` */
	uint16_t n_fallback;
	struct ip_addr fallback[MSG_LIST_MAX]; /* given instead of SERVFAIL when it cannot be had */
};

/* Something else will be said of these names, and of the reverse names of these addresses, in the next snapshot that
 * begins: until it is in force, who asks for one waits.  dns answers with MSG_DNS_CHANGING_ACK, with the seq and
 * nothing else, once it goes by it; never, when there are too many: then the snapshot must be waited for. */
struct msg_dns_changing { /* MSG_DNS_CHANGING, MSG_DNS_CHANGING_ACK */
	uint32_t seq;
	uint16_t n_names;
	struct msg_domain_name names[MSG_LIST_MAX];
	uint16_t n_addrs;
	struct ip_addr addrs[MSG_LIST_MAX];
};

/* Sent whenever a service's state changes.  dns answers with MSG_DNS_STATE_ACK and the same seq
 * once it goes by it: after the ack of STATE_DRAINING it answers no query of that service from
 * its own table any more, so that the launcher can look at the slot one last time and then stop
 * the VM, knowing that nobody was sent to it in between. */
struct msg_dns_state { /* MSG_DNS_STATE, MSG_DNS_STATE_ACK */
	uint32_t svc, gen;
	uint8_t state;
	uint8_t answer; /* enum answer_when: at once only while connections are held for it */
	uint32_t seq;
};

/* Someone wants the service.  `token` names the waiting query (0: nobody waits). */
struct msg_wake {
	uint32_t svc, gen;
	uint8_t cause; /* enum wake_cause */
	uint32_t token;
	struct ip_addr client; /* zero: unknown (Wake-on-LAN) */
	uint16_t client_port;
	uint16_t port; /* of the service that it wants; 0: none */
	bool verified; /* CAUSE_DNS: the client is where it says; else its address may be forged */
	char label[MSG_NAME_MAX]; /* of a template: what stands for the asterisk, in lower case; else "" */
	uint64_t t_ns; /* when the packet came */
};

enum refused_how {
	REFUSED_FAIL, /* its fallback address, or SERVFAIL */
	REFUSED_PROVE, /* not for a client that may be anybody: "ask over TCP"; where it has shown who it is, FAIL */
	REFUSED_ANSWER, /* the address all the same: whoever comes is held */
	REFUSED_FULL, /* as FAIL: its template has as many services as it may have */
	REFUSED_N
};

/* The wake with this token will not be served: answer now. */
struct msg_dns_refused {
	uint32_t svc, gen;
	uint32_t token;
	uint8_t how; /* enum refused_how */
	char text[MSG_TEXT_MAX]; /* why */
};

/* A query that had to wait was answered (or gave up: rcode SERVFAIL). */
struct msg_dns_answered {
	uint32_t svc, gen;
	uint32_t token;
	uint16_t rcode;
	struct ip_addr client;
	uint64_t t_query_ns, t_answer_ns;
};

struct msg_dns_zone_serial {
	char zone[MSG_DOMAIN_NAME_MAX];
	uint32_t serial; /* of the SOA it is served with */
	uint32_t ttl_s; /* the longest of its records */
};

/* The snapshot with this seq is in force (error 0), or is not and never will be: the file of `zone`
 * has a mistake, or, where that is "", something else is wrong (a key, no memory).  What was in force before
 * stays, and the launcher sends another one. */
struct msg_dns_loaded {
	uint32_t seq;
	int32_t error; /* 0 or -errno */
	char zone[MSG_DOMAIN_NAME_MAX];
	char text[MSG_TEXT_MAX]; /* the sentence */
};

/* What dns counts since it was started. */
enum dns_count {
	/* queries, by transport */
	DNS_COUNT_UDP4,
	DNS_COUNT_UDP6,
	DNS_COUNT_TCP,
	/* ... by type */
	DNS_COUNT_A,
	DNS_COUNT_AAAA,
	DNS_COUNT_NS,
	DNS_COUNT_SOA,
	DNS_COUNT_MX,
	DNS_COUNT_TXT,
	DNS_COUNT_PTR,
	DNS_COUNT_SRV,
	DNS_COUNT_HTTPS,
	DNS_COUNT_DNSSEC, /* DS, DNSKEY, CDS, CDNSKEY */
	DNS_COUNT_TRANSFER, /* AXFR, IXFR */
	DNS_COUNT_ANY,
	DNS_COUNT_OTHER_TYPE,
	/* answers, by rcode */
	DNS_COUNT_NOERROR,
	DNS_COUNT_FORMERR,
	DNS_COUNT_SERVFAIL,
	DNS_COUNT_NXDOMAIN,
	DNS_COUNT_NOTIMP,
	DNS_COUNT_REFUSED,
	DNS_COUNT_OTHER_RCODE,
	/* no answers */
	DNS_COUNT_DROPPED, /* not a query, or one from nowhere */
	DNS_COUNT_LIMITED, /* over `rate` */
	DNS_COUNT_SLIPPED, /* ... and told to ask over TCP, which is an answer */
	/* between a worker and the main thread */
	DNS_COUNT_PASSED, /* queries that a worker cannot answer by itself */
	DNS_COUNT_QUEUE_FULL, /* ... and which were lost */
	DNS_COUNT_N
};
const char *dns_count_name(unsigned what); /* "queries_udp4" .. */

struct msg_count {
	uint64_t n;
};

struct msg_dns_counts {
	uint16_t workers; /* threads that answer */
	uint16_t n; /* DNS_COUNT_N */
	struct msg_count counts[DNS_COUNT_N];
};

/* ---- synproxy ---- */

struct msg_port {
	uint16_t port;
};

/* Ask through this port, every interval_ms, until everything wanted has answered or
 * MSG_PROBE_STOP comes.  Each address is asked by ARP or a neighbour solicitation; each port in
 * `tcp` by a half-open SYN from probe_ip to the first address of each family that has a
 * probe_ip.  A second start for the same svc replaces the first. */
struct msg_probe_start {
	uint32_t svc, gen;
	struct mac_addr vm_mac;
	struct mac_addr probe_mac;
	struct ip_addr probe_ip4, probe_ip6; /* zero: this family's ports cannot be asked */
	uint32_t interval_ms;
	uint16_t n_addrs;
	struct ip_addr addrs[MSG_LIST_MAX];
	uint16_t n_tcp;
	struct msg_port tcp[MSG_LIST_MAX];
};

struct msg_probe_stop {
	uint32_t svc, gen;
};

enum probe_what {
	PROBE_LINK, /* addr answered ARP or ND */
	PROBE_PORT, /* addr has `port` open */
	PROBE_REFUSED, /* addr said RST for `port`: told once per port */
	PROBE_SILENT, /* addr answers, but `port` says nothing at all: a filter is in the guest */
	PROBE_DONE, /* everything asked for has answered; probing has stopped */
};

struct msg_probe_event {
	uint32_t svc, gen;
	uint8_t what; /* enum probe_what */
	struct ip_addr addr;
	uint16_t port;
	uint64_t t_ns;
};

/* ---- holds ----
 *
 * While a held service's VM is away, synproxy claims its addresses on the bridge and parks what
 * clients send; synproxy/main.h and "Holding" in ARCHITECTURE.md tell how.  The launcher moves the
 * bridge's forwarding entry of the VM's MAC between our tap and the VM's port, and tells synproxy
 * what the VM is doing, which is the service's stage:
 */
enum hold_stage {
	HOLD_STAGE_NONE, /* not held: claim nothing, drop what is held */
	HOLD_STAGE_CHECK, /* is the address free?  RFC 5227, 2.1: HOLD_FREE or HOLD_IN_USE */
	HOLD_STAGE_CONFLICT, /* it is in use elsewhere: claim nothing, look again now and then: HOLD_FREE */
	HOLD_STAGE_SLEEP, /* ours, and no VM: claim, park, wake; strays get RST */
	HOLD_STAGE_FROZEN, /* the VM is paused with its connections: strays wake and are held, too */
	HOLD_STAGE_BOOT, /* the VM is on its way: claim, park; when its ports open: HOLD_MOVE */
	HOLD_STAGE_UP, /* the VM is ready: hand over, if that is not done */
	HOLD_STAGE_DRAIN, /* the VM is there, and about to go: pass on what belongs to its connections, and
			     let everything wake */
	HOLD_STAGE_STOP, /* it is going: as long as it has a port, pass on; park and wake as SLEEP */
	HOLD_STAGE_FAILED, /* it did not come up: RST to all that is held; else as SLEEP */
	HOLD_STAGE_N
};
const char *hold_stage_name(unsigned stage); /* "none", "check" .. */

struct msg_hold_conf {
	uint32_t max_held; /* connections, of all services */
	uint32_t held_per_source; /* ... of one address (IPv6: /64) */
};

struct msg_hold_bridge {
	uint32_t bridge; /* a small number that stands for it in MSG_HOLD_SERVICE */
	char name[MSG_IFNAME_MAX];
	uint32_t conflict_probe_ms; /* how long HOLD_STAGE_CHECK takes; 0: no look */
};

enum { HOLD_BRIDGES_MAX = 64 };

struct msg_hold_service {
	uint32_t svc, gen;
	char name[MSG_NAME_MAX];
	uint32_t bridge;
	struct mac_addr mac; /* the VM's */
	uint16_t n_addrs;
	struct ip_addr addrs[MSG_LIST_MAX];
	uint16_t n_ports;
	struct msg_port ports[MSG_LIST_MAX]; /* configured: waited for at the hand-over */
	uint8_t stage; /* enum hold_stage */
	bool at_vm; /* the forwarding entry is at the VM's port */
	uint8_t ping; /* enum ping_mode */
	bool defend; /* on_conflict: defend */
	bool wakes; /* false: nothing from the wire wakes it (wake_syn: off) */
	uint32_t hold_udp; /* datagrams of a flow; 0: none */
	uint32_t max_hold_ms;
};

struct msg_hold_stage { /* MSG_HOLD_STAGE; MSG_HOLD_ACK, once it goes by it and, for DRAIN, all that had come to
			   the tap before was looked at */
	uint32_t svc, gen;
	uint8_t stage;
	uint32_t seq;
};

struct msg_hold_port {
	uint32_t svc, gen;
	struct mac_addr vm_mac, probe_mac;
	struct ip_addr probe_ip4, probe_ip6;
};

struct msg_hold_moved { /* the forwarding entry is at the VM's port now */
	uint32_t svc, gen;
};

/* The launcher will not start it for this client: forget what is held of it. */
struct msg_hold_drop {
	uint32_t svc, gen;
	struct ip_addr client;
	bool reset; /* tell it with a RST; else in silence, and its next try may be heard */
};

enum hold_what {
	HOLD_FREE, /* nobody has its addresses */
	HOLD_IN_USE, /* somebody has: addr, mac */
	HOLD_FIRST, /* the first packet since the VM was last there was held: t_ns */
	HOLD_MOVE, /* move the forwarding entry to the VM's port, then MSG_HOLD_MOVED */
	HOLD_RELEASED, /* held packets were sent to the VM: n of them */
	HOLD_REFUSED, /* `port` stays closed: what was held for it got RST: n of them */
	HOLD_DONE, /* handed over, and nothing comes to the tap any more: the port's socket is closed */
	HOLD_WANT_PORT, /* packets are held for a VM that has the forwarding entry: MSG_HOLD_PORT */
	HOLD_WHAT_N
};

struct msg_hold_event {
	uint32_t svc, gen;
	uint8_t what; /* enum hold_what */
	struct ip_addr addr;
	struct mac_addr mac;
	uint16_t port;
	uint32_t n;
	uint64_t t_ns;
};

/* Since synproxy began with this gen; sent at most once a second, and only when they changed. */
struct msg_hold_counts {
	uint32_t svc, gen;
	uint32_t held; /* now */
	uint64_t syns; /* SYNs that came to the tap, retransmissions too */
	uint64_t parked; /* connections held, ever */
	uint64_t released, refused, expired; /* ... sent on; RST since the port or the start failed; RST at max_hold */
	uint64_t dropped; /* over a limit */
	uint64_t strays; /* segments of dead connections: RST */
	uint64_t datagrams; /* held */
	uint64_t arps; /* questions answered */
	uint64_t conflicts;
};

/* Which IPv4 address does this VM have?  What it says through its port is heard until MSG_LEARN_STOP; who else may
 * know tells MSG_LEARN_TELL.  Each address that the VM answers for when it is asked by ARP is told once with
 * MSG_LEARN_FOUND; another one than `addr` only when the VM does not answer for that any more.  A second start
 * replaces the first. */
struct msg_learn_start {
	uint32_t svc, gen;
	struct mac_addr vm_mac, probe_mac;
	struct ip_addr probe_ip4; /* whom it answers; zero: it cannot be asked, only heard */
	struct ip_addr addr; /* that it has, as far as is known; zero: none is */
	struct ip_prefix net; /* its network's addresses are asked for, of a VM that says nothing; length 0: not */
};

struct msg_learn_tell {
	uint32_t svc, gen;
	bool known; /* it has this one from now on; else it may have it */
	uint8_t how; /* enum learn_how */
	struct ip_addr addr;
};

struct msg_learn_found {
	uint32_t svc, gen;
	uint8_t how; /* enum learn_how */
	struct ip_addr addr;
};

struct msg_flows_ask {
	uint32_t id;
	bool all;
	uint32_t svc, gen; /* unless all */
};

enum flow_proto { FLOW_TCP, FLOW_UDP };

struct msg_flow {
	uint32_t svc, gen;
	uint8_t proto; /* enum flow_proto */
	struct ip_addr client, addr;
	uint16_t client_port, port;
	uint64_t since_ns, newest_ns; /* its first and its newest packet */
	uint32_t packets; /* that came */
};

struct msg_flows_rows {
	uint32_t id;
	uint16_t n;
	struct msg_flow flows[MSG_FLOWS_MAX];
};

struct msg_flows_end {
	uint32_t id;
	uint32_t total; /* held, also where not all were told */
};

/* ---- what guests say ---- */

struct msg_guest { /* MSG_GUEST_OPEN, MSG_GUEST_CLOSE */
	uint32_t svc, gen;
	uint32_t stream; /* another one for each stream of the service */
};

enum guest_use_said { GUEST_UNSAID, GUEST_BUSY, GUEST_IDLE };

/* What was new in what was read at once; of several words of a kind the last. */
struct msg_guest_said {
	uint32_t svc, gen, stream;
	bool ready; /* it serves */
	uint8_t use; /* enum guest_use_said */
	bool has_lease;
	uint32_t lease_s; /* has_lease: it wants not to be stopped for so long; 0: no more */
	bool garbled; /* there was a line that is none of these: told once of each stream */
	bool ended; /* there will be nothing more */
};

/* ---- control ---- */

enum ctl_verb {
	CTL_LIST, /* a row per service */
	CTL_SHOW, /* one row: `service` with everything known of it */
	CTL_START, /* wake it now; waits until it is up or failed.  Admin */
	CTL_STOP, /* stop it now.  Admin */
	CTL_WHY, /* one row: who woke it, why it is up, why it stopped */
	CTL_TRACE, /* a row per wake, newest last, at most `n`; all services when `service` is "" */
	CTL_CONSOLE, /* data: the serial console's ring; goes on when `follow` */
	CTL_LOG, /* a row per event, at most `n` old ones; goes on when `follow` */
	CTL_STATUS, /* one row: version, processes, limits, hypervisors */
	CTL_RELOAD, /* as SIGHUP.  Admin */
	CTL_FLOWS, /* a row per held connection, at most `n`; all services when `service` is "" */
	CTL_STATS, /* one row: what dns has counted */
	CTL_DNSSEC_STATUS, /* a row per zone, or of `zone`: its keys, and what happens next */
	CTL_DNSSEC_DS, /* a row per key whose DS the parent should have */
	CTL_DNSSEC_ENABLE, /* sign it; rows as CTL_DNSSEC_DS.  Admin, like the rest */
	CTL_DNSSEC_DISABLE, /* sign it no longer */
	CTL_DNSSEC_ROLL, /* give it a new key */
	CTL_DNSSEC_DS_SEEN, /* the parent has the DS */
	/* The registry.  All but three of them are Admin, and change nothing when `dry_run`. */
	CTL_ADD, /* the service of `record`, or `service` as `record` says */
	CTL_SET, /* `record` changes `service` (RFC 7396) */
	CTL_REMOVE,
	CTL_RENAME, /* to `to` */
	CTL_PIN, /* `to`: "up", "down", "none", or up for a duration */
	CTL_HISTORY, /* a row per revision before `revision`, newest first, at most `n`.  Not admin */
	CTL_DIFF, /* a row per change of `revision`.  Not admin */
	CTL_ROLLBACK, /* to what `revision` left */
	CTL_EXPORT, /* data: JSON lines, a service each, behind `service`, at most `n`; one row.  Not admin */
	CTL_ZONES, /* a row per zone: its serial, file, signing, secondaries */
	CTL_IMPORT, /* `record` has an array `services`; with `more`, kept until the last part comes */
	CTL_ADOPT, /* an existing domain as a service: `record` has machine.domain, and what else shall be so */
	CTL_VERB_N
};
const char *ctl_verb_name(unsigned verb); /* "list" .. */

struct msg_ctl_request {
	uint32_t id; /* control's own: the answer carries it */
	uint8_t verb;
	char service[MSG_NAME_MAX];
	uint32_t n;
	char zone[MSG_DOMAIN_NAME_MAX]; /* DNSSEC, like the rest up to has_ds_ttl */
	char algorithm[24]; /* by its name; "": whichever */
	uint32_t ds_ttl_s; /* of the parent's DS */
	bool has_ds_ttl;
	bool ds_gone; /* the operator says: the parent has none */
	bool force; /* does not wait */
	char to[MSG_NAME_MAX];
	uint64_t revision;
	bool dry_run;
	bool more;
	bool exact; /* CTL_IMPORT: services that it does not have are removed */
	bool fresh; /* CTL_IMPORT: none of its services is there yet, or it is refused */
	uint32_t client; /* control's number of the connection */
	char record[MSG_RECORD_MAX]; /* a JSON object, as control has written it; "": none */
	bool follow;
	bool admin; /* the peer is root or in group jitsu-admin */
	uint32_t uid;
};

struct msg_ctl_cancel {
	uint32_t id;
};

/* How a field's text becomes JSON: string, number, true/false, null; the same key more than once
 * or LIST kinds make an array ("ports": [80, 443]). */
enum ctl_kind { CTL_STR, CTL_NUM, CTL_BOOL, CTL_NULL, CTL_LIST_STR, CTL_LIST_NUM, CTL_LIST_EMPTY, CTL_KIND_N };

struct msg_ctl_field {
	char key[32];
	uint8_t kind;
	char value[MSG_VALUE_MAX];
};

struct msg_ctl_row {
	uint32_t id;
	uint16_t n_fields;
	struct msg_ctl_field fields[MSG_FIELDS_MAX];
};

struct msg_byte {
	uint8_t b;
};

struct msg_ctl_data {
	uint32_t id;
	uint16_t n;
	struct msg_byte data[MSG_DATA_MAX];
};

struct msg_ctl_end {
	uint32_t id;
	int32_t error; /* 0 or -errno */
	char text[MSG_TEXT_MAX]; /* the sentence when error is not 0 */
};

/* Events are told from now on, or no more.  The first one is EVENT_BEGIN. */
struct msg_ctl_watch {
	bool on;
};

enum ctl_event {
	CTL_EVENT_BEGIN, /* `number` is that of the newest event, whoever heard it */
	CTL_EVENT_STATE, /* a service went from `before` to `state`; text: why */
	CTL_EVENT_WAKE, /* it is woken: `wake` is the wake's number */
	CTL_EVENT_WOKEN, /* that wake ended: `text` says how, `ms` is how long it took */
	CTL_EVENT_REVISION, /* the registry has a new one; text: the command */
	CTL_EVENT_ADDRESS, /* of its addresses one from a pool, or a learned one, is another; text: which, and why */
	CTL_EVENT_HYPERVISOR, /* its process does not answer, is replaced, or answers again; text: which, and what */
	CTL_EVENT_RELOAD, /* result: "done" or "refused"; text: what is in force, or why not */
	CTL_EVENT_SAVE, /* a VM could not be saved, or what is saved of it is not used; text: why */
	CTL_EVENT_N
};
const char *ctl_event_name(unsigned event); /* "begin", "state" .. */

struct msg_ctl_event {
	uint64_t number; /* of this launcher's events, from 1 on; one that is not told leaves a gap */
	uint64_t wall_ms;
	uint8_t event; /* enum ctl_event */
	char service[MSG_NAME_MAX]; /* "": several */
	uint8_t state, before; /* enum service_state */
	uint64_t wake;
	uint8_t cause; /* enum wake_cause */
	struct ip_addr client; /* zero: none */
	uint64_t ms;
	char result[16]; /* CTL_EVENT_WOKEN: as in a trace; CTL_EVENT_RELOAD */
	uint64_t revision;
	uint32_t changes; /* objects that it changed */
	uint32_t uid; /* whose command it was */
	char text[MSG_TEXT_MAX];
};

/* ---- metrics ---- */

struct msg_metrics_id { /* MSG_METRICS_ASK, MSG_METRICS_END */
	uint32_t id;
};

struct msg_sample {
	uint8_t metric; /* enum metric */
	struct msg_label {
		char text[MSG_NAME_MAX];
	} labels[METRIC_LABELS_MAX]; /* "" where it has none */
	uint64_t value;
};

struct msg_metrics {
	uint32_t id;
	uint16_t n;
	struct msg_sample samples[MSG_SAMPLES_MAX];
};

struct msg_histogram {
	uint32_t id;
	uint8_t metric;
	char label[MSG_NAME_MAX];
	uint64_t sum_ns;
	uint16_t n; /* METRIC_BOUNDS_N + 1 */
	struct msg_count buckets[METRIC_BOUNDS_N + 1]; /* how many were in each, by itself */
};

/* ---- backends ---- */

struct msg_disk {
	char path[MSG_PATH_MAX];
	char format[16]; /* "raw", "qcow2" */
	bool read_only;
};

struct msg_nic {
	struct mac_addr mac;
	char ifname[MSG_IFNAME_MAX]; /* the port on our side; "" while the domain is off */
	char bridge[MSG_IFNAME_MAX]; /* "" when it is on none (user-mode, macvtap, Open vSwitch) */
	char kind[16]; /* "ethernet", "bridge", "network", "user", ... */
};

struct msg_be_start {
	uint32_t req, svc, gen;
	char name[MSG_NAME_MAX + 8]; /* of the domain to define: "jitsu-www" */
	char uuid[MSG_UUID_MAX];
	char domain[MSG_NAME_MAX * 2]; /* an existing one, by name or UUID; then of what is below only this counts: */
	char xl_config[MSG_PATH_MAX]; /* the xl configuration that has that name; "": it must be known already */
	char kernel[MSG_PATH_MAX];
	char initrd[MSG_PATH_MAX];
	char cmdline[MSG_CMDLINE_MAX];
	char arch[16]; /* "x86_64", "aarch64" */
	char machine[32]; /* "microvm", "pc", "q35", "virt", "" the backend's default */
	uint16_t vcpus;
	uint64_t memory_bytes;
	bool paused;
	bool guest_channel; /* the machine has one, by which its guest can say something */
	char save[MSG_PATH_MAX]; /* it is not booted, but restored from this file; "": not */
	bool fresh; /* an existing domain: it is booted, and what its hypervisor has saved of it is thrown away */
	uint16_t n_disks;
	struct msg_disk disks[MSG_DISKS_MAX];
	uint16_t n_nics;
	struct msg_nic nics[MSG_NICS_MAX]; /* taps that exist and are on their bridge */
};

enum inspect_what { INSPECT_PLAIN, INSPECT_ADDRESSES /* also which addresses it has, which may take seconds */ };

struct msg_be_target { /* MSG_BE_STOP, MSG_BE_RESUME, MSG_BE_INSPECT, MSG_BE_LIST, MSG_BE_LIST_END */
	uint32_t req, svc, gen;
	char domain[MSG_NAME_MAX * 2]; /* name or UUID */
	uint8_t how; /* MSG_BE_STOP: enum stop_how; MSG_BE_INSPECT: enum inspect_what */
	char xl_config[MSG_PATH_MAX]; /* MSG_BE_INSPECT: of one that is off, what this xl configuration says; "": nothing */
	char save[MSG_PATH_MAX]; /* STOP_SAVE: where to; "": its hypervisor keeps it */
};

/* The serial console of this domain goes to this bounded ring file from now on. */
struct msg_be_console {
	uint32_t svc, gen;
	char name[MSG_NAME_MAX + 8];
	bool over; /* or: there will be no such domain any more, and its file goes */
};

struct msg_be_hello {
	bool connected;
	bool kvm; /* a guest truly ran under it */
	char version[64]; /* "libvirt 9.0.0, QEMU 7.2.22" */
	char text[MSG_TEXT_MAX]; /* not connected, or no KVM: why */
};

struct msg_be_result {
	uint32_t req, svc, gen;
	int32_t error; /* 0 or -errno */
	char text[MSG_TEXT_MAX]; /* the hypervisor's own words when error is not 0 */
	uint64_t t_begin_ns, t_done_ns; /* of the hypervisor call */
	char uuid[MSG_UUID_MAX];
	int32_t domain_id; /* differs each time the domain starts; -1 when it is off */
	uint16_t n_nics;
	struct msg_nic nics[MSG_NICS_MAX];
};

struct msg_be_address {
	struct mac_addr mac; /* of the NIC that has it */
	struct ip_addr addr;
	uint8_t how; /* enum learn_how */
};

enum domain_state { DOMAIN_OFF, DOMAIN_RUNNING, DOMAIN_PAUSED, DOMAIN_SAVED, DOMAIN_STATE_N };

struct msg_be_domain { /* a row of MSG_BE_LIST's and MSG_BE_INSPECT's answer */
	uint32_t req;
	char name[MSG_NAME_MAX * 2];
	char uuid[MSG_UUID_MAX];
	int32_t domain_id;
	uint8_t state; /* enum domain_state */
	uint64_t memory_bytes;
	bool writable_disk; /* it has a disk that is not read-only */
	uint16_t n_nics;
	struct msg_nic nics[MSG_NICS_MAX];
	uint16_t n_addrs; /* INSPECT_ADDRESSES */
	struct msg_be_address addrs[MSG_LIST_MAX];
};

enum domain_event { EVENT_STARTED, EVENT_STOPPED, EVENT_CRASHED, EVENT_SUSPENDED, EVENT_RESUMED, EVENT_SAVED, EVENT_N };

struct msg_be_event {
	char name[MSG_NAME_MAX * 2];
	char uuid[MSG_UUID_MAX];
	int32_t domain_id;
	uint8_t what; /* enum domain_event */
	char text[MSG_TEXT_MAX]; /* the hypervisor's reason: "shutdown", "destroyed", "crashed" */
};

/* A stream of lines that the guest of this domain writes.  `name` is as in its MSG_BE_START where we define it. */
struct msg_be_guest {
	char name[MSG_NAME_MAX * 2];
	char uuid[MSG_UUID_MAX]; /* "": not known */
};

struct msg_key {
	char text[MSG_KEY_MAX];
};

/* Say MSG_BE_KEY for each of these keys that is, or comes to be, below this boot's directory, and not empty.  It
 * takes the place of what was asked for the domain before. */
struct msg_be_watch {
	uint32_t svc, gen;
	char domain[MSG_NAME_MAX * 2]; /* name or UUID */
	int32_t domain_id;
	uint16_t n_keys;
	struct msg_key keys[MSG_KEYS_MAX];
};

struct msg_be_key {
	uint32_t svc, gen;
	int32_t domain_id;
	char key[MSG_KEY_MAX];
};

/* ---- hooks ---- */

struct msg_hook {
	uint32_t on; /* bits of enum hook_event */
	char exec[MSG_PATH_MAX]; /* a program; "": */
	char webhook[MSG_PATH_MAX]; /* a URL */
	uint32_t timeout_ms;
};

struct msg_hook_event {
	uint8_t event; /* enum hook_event */
	uint64_t wall_ms;
	char service[MSG_NAME_MAX]; /* "": of none */
	uint8_t cause; /* enum wake_cause; CAUSE_N: none */
	struct ip_addr client; /* zero: none */
	uint64_t wake_ms; /* HOOK_UP: how long it took */
	char reason[MSG_TEXT_MAX]; /* HOOK_FAILED, HOOK_STOPPED: why */
};

/* Since that process was started. */
struct msg_hook_counts {
	uint64_t done, failed, dropped;
};

enum { MSG_BODY_MAX = 56 * 1024 }; /* no decoded struct is larger: asserted in msg.c */

/* The codec of a type; NULL for an unknown type.  MSG_BEGIN and the like have an empty one. */
const struct codec_table *msg_codec(enum msg_type type);
const char *msg_name(enum msg_type type);

#endif
