/* What the operator wants: plain records, filled by config/load.c through the schema table and
 * by nothing else.  Everything has its default already; strings are never NULL ("" for unset).
 *
 * Units: durations are milliseconds, sizes bytes.  DURATION_NEVER stands for "never".
 */
#ifndef CONFIG_SERVICE_H
#define CONFIG_SERVICE_H

#include "base/addr.h"
#include "base/msg.h"
#include "base/util.h"

#define DURATION_NEVER UINT64_MAX
#define DURATION_AUTO (UINT64_MAX - 1) /* worked out from other options: the manual says how */

enum hold_mode { HOLD_OFF, HOLD_PARK, HOLD_SPLICE, HOLD_N };
/* Who may wake it by a packet: anybody; only while an answer with its address may be in use. */
enum wake_mode { WAKE_ANY, WAKE_AFTER_DNS, WAKE_OFF, WAKE_N };
enum conflict_mode { CONFLICT_YIELD, CONFLICT_DEFEND, CONFLICT_N };
enum { ANSWER_AUTO = ANSWER_N }; /* at once while connections are held for it, else when it is ready */
enum manage_mode { MANAGE_AUTO, MANAGE_ALWAYS, MANAGE_N };

struct string_list {
	size_t n;
	char **v;
};

enum ready_kind { READY_ARP, READY_TCP, READY_TCP_PORT, READY_DELAY, READY_GUEST, READY_KEY };

struct ready_rule {
	enum ready_kind kind;
	uint16_t port; /* READY_TCP_PORT */
	uint64_t delay_ms; /* READY_DELAY: after the VM runs */
	char key[MSG_KEY_MAX]; /* READY_KEY: of XenStore, below the domain's directory */
};

struct ready_list {
	size_t n;
	struct ready_rule *v;
};

struct prefix_list {
	size_t n;
	struct ip_prefix *v;
};

/* How a service comes to an address. */
enum ip_how {
	IP_GIVEN, /* it is written there */
	IP_AUTO, /* "auto": of the pools of its first NIC's bridge, IPv4 if they have such */
	IP_AUTO6, /* "auto6": likewise, IPv6 */
	IP_LEARNED, /* "learned": of the VM when it runs, IPv4; it never stands in the record (launcher/learning.c) */
};

/* An address with its network's length.  Where it is not written there the loader fills in the family alone, with
 * `len` 0, and whoever gives addresses of pools (launcher/pools.c) the rest. */
struct service_ip {
	union {
		struct ip_prefix prefix;
		struct {
			struct ip_addr addr;
			uint8_t len;
		};
	};
	uint8_t how; /* enum ip_how */
};

static inline bool service_ip_known(const struct service_ip *ip) { return ip->how == IP_GIVEN || ip->len > 0; }
/* It is to be given one of a pool, and has none yet. */
static inline bool service_ip_wanted(const struct service_ip *ip)
{
	return (ip->how == IP_AUTO || ip->how == IP_AUTO6) && ip->len == 0;
}

struct service_ip_list {
	size_t n;
	struct service_ip *v;
};

/* Addresses in a row, of one family, all in a network of this length. */
struct ip_range {
	struct ip_addr first, last;
	uint8_t len;
};

struct range_list {
	size_t n;
	struct ip_range *v;
};

struct port_list {
	size_t n;
	uint16_t *v;
};

struct endpoint {
	struct ip_addr addr;
	uint16_t port;
};

struct endpoint_list {
	size_t n;
	struct endpoint *v;
};

struct disk_conf {
	char *path;
	char *format; /* "raw" or "qcow2" */
	bool read_only;
};

struct disk_list {
	size_t n;
	struct disk_conf *v;
};

struct nic_conf {
	char *bridge; /* the name of one of `bridges` */
	struct mac_addr mac; /* zero: derived from machine-id, service and number of the NIC */
};

struct nic_list {
	size_t n;
	struct nic_conf *v;
};

struct machine_conf {
	char *hypervisor; /* the name of one of `hypervisors` */
	char *domain; /* an existing domain, by name or UUID; then nothing else below but that */
	char *xl_config; /* or: the file of xl's that has it */
	char *kernel, *initrd, *cmdline;
	char *arch; /* "x86_64", "aarch64" */
	char *machine; /* "" : the backend's choice (microvm where it can) */
	uint64_t memory_bytes;
	uint32_t vcpus;
	struct disk_list disks;
	struct nic_list nics;
};

/* Is the VM described elsewhere, so that only its hypervisor knows its NICs, memory and the like? */
static inline bool machine_is_defined(const struct machine_conf *m) { return m->domain[0] || m->xl_config[0]; }

static inline bool machine_writes(const struct machine_conf *m)
{
	for (size_t i = 0; i < m->disks.n; i++) {
		if (!m->disks.v[i].read_only)
			return true;
	}
	return false;
}

struct service_conf {
	char *name; /* [a-z0-9-]{1,40} */
	bool enabled; /* false: it is known, and nobody is served */
	struct string_list dns; /* names in one of the zones, no final dot */
	struct service_ip_list ip;
	uint32_t max_instances; /* of a template: at once */
	uint64_t instance_ttl_ms; /* how long one is kept after its VM stopped */
	uint64_t ttl_ms; /* whole seconds */
	uint64_t ttl_down_ms; /* while its VM is not up: at most ttl_ms */
	struct string_list fallback_ip; /* addresses given when it cannot be had */
	struct port_list ports;
	struct machine_conf machine;
	char *gateway; /* for {gw}; "" : the first address of the network */
	enum hold_mode hold;
	enum wake_dns wake_dns;
	enum wake_mode wake_syn;
	struct prefix_list wake_allow, wake_deny; /* sources; empty: all may, none is denied */
	enum ping_mode wake_ping;
	enum conflict_mode on_conflict;
	uint32_t hold_udp; /* datagrams of a flow held; 0: none */
	unsigned answer; /* enum answer_when, or ANSWER_AUTO */
	struct ready_list ready;
	enum stop_how stop;
	bool stop_force; /* a graceful stop that times out becomes a destroy */
	enum manage_mode manage;
	uint64_t idle_timeout_ms; /* or DURATION_NEVER */
	uint64_t guest_lease_ms; /* the longest that its guest keeps it up with one word; 0: not at all */
	uint64_t start_timeout_ms;
	uint64_t stop_timeout_ms;
	uint64_t max_hold_ms;
	uint64_t dns_grace_ms; /* with a hold: how long it stays up for a query alone */
	uint64_t dns_horizon_ms; /* DURATION_AUTO: max(2 x ttl, 300 s) while hold is off */
	/* where it stands in the file, for messages */
	unsigned line;
	bool packed; /* it is one piece of memory (conf_pack_service()) */
};

/* A service named by a wildcard: it has no VM, but each name that is asked for below it becomes one that has. */
static inline bool conf_is_template(const struct service_conf *s)
{
	return s->dns.n > 0 && strncmp(s->dns.v[0], "*.", 2) == 0;
}

/* A secret shared with other servers (RFC 8945). */
struct tsig_key_conf {
	char *name;
	enum tsig_algorithm algorithm;
	char *secret; /* in Base64; or: */
	char *secret_file; /* the file that has it; "": `secret` */
};

struct secondary_conf {
	char *address;
	uint16_t port;
	char *key; /* the name of one of `tsig_keys`; "": none */
};

struct secondary_list {
	size_t n;
	struct secondary_conf *v;
};

struct zone_conf {
	char *name;
	struct string_list ns;
	char *hostmaster;
	uint64_t ttl_ms, negative_ttl_ms; /* whole seconds */
	char *file; /* static records; "": none */
	struct secondary_list secondaries; /* are told of changes, and may have the zone */
	struct prefix_list transfer_allow; /* so may these; */
	char *transfer_key; /* who has signed with it; "": whoever it is */
};

enum xdp_mode { XDP_AUTO, XDP_ON, XDP_OFF, XDP_MODE_N };

struct dns_conf {
	char *nsid; /* "": none */
	struct string_list cookie_secrets; /* 32 hex digits each; none: dns makes its own */
	uint32_t workers; /* threads for each UDP address; 0: one for each CPU */
	uint32_t rate; /* UDP answers per second to one network; 0: any number */
	uint32_t rate_slip;
	struct prefix_list rate_exempt;
	enum xdp_mode xdp;
};

struct hypervisor_conf {
	char *name;
	char *uri;
	enum isolation isolation;
};

struct bridge_conf {
	char *name; /* of the Linux bridge */
	struct ip_addr probe_ip; /* zero: the bridge's own address */
	struct ip_addr probe_ip6; /* zero: the bridge's own link-local address */
	uint64_t conflict_probe_ms; /* how long an address is asked for before it is claimed; 0: not */
	struct range_list pools; /* addresses for services that want one */
};

struct limits_conf {
	uint32_t max_running;
	uint32_t max_starting;
	uint64_t memory_bytes; /* 0: memory_percent counts */
	uint32_t memory_percent; /* of the host's RAM */
	uint32_t wakes_per_source; /* ... per wakes_period_ms */
	uint64_t wakes_period_ms;
	uint32_t wakes_per_service; /* by queries; ... per service_period_ms */
	uint64_t service_period_ms;
	uint32_t wakes_unverified; /* by queries of clients that may be anybody; ... per unverified_period_ms */
	uint64_t unverified_period_ms;
	uint32_t mute_after; /* wakes of a resolver that nobody came after; 0: never */
	uint32_t max_waiting; /* DNS queries held at once */
	uint32_t max_tcp; /* DNS clients over TCP at once */
	uint32_t max_held; /* connections held at once, of all services */
	uint32_t held_per_source; /* ... of one address (IPv6: /64) */
};

struct users_conf {
	char *dns, *net, *control; /* the users dns, synproxy and control run as */
	char *qemu; /* the user of QEMU */
	char *hooks; /* the user of hooks, which may be root */
	char *readers, *admins; /* groups: who may look, who may act */
};

struct metrics_conf {
	struct endpoint_list listen; /* none: nobody is told */
	bool services; /* of each service, too */
};

struct hook_event_list {
	size_t n;
	enum hook_event *v;
};

struct hook_conf {
	struct hook_event_list on;
	char *exec, *webhook; /* one of them; "": not this */
	uint64_t timeout_ms;
};

struct conf {
	struct endpoint_list listen;
	struct { size_t n; struct zone_conf *v; } zones;
	struct { size_t n; struct tsig_key_conf *v; } tsig_keys;
	struct endpoint_list forward;
	struct prefix_list forward_allow;
	struct { size_t n; struct hypervisor_conf *v; } hypervisors;
	struct { size_t n; struct bridge_conf *v; } bridges;
	struct string_list image_dirs, zone_dirs;
	struct dns_conf dns;
	struct limits_conf limits;
	struct users_conf users;
	struct metrics_conf metrics;
	struct { size_t n; struct hook_conf *v; } hooks;
	char *run_dir; /* sockets, taps' records, consoles: gone after a reboot */
	char *state_dir; /* what must outlive a reboot */
	char *save_dir; /* of saved VMs */
	char *log_level;
	struct { size_t n; struct service_conf *v; } services;
};

#endif
