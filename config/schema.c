#include "config/schema.h"

#include <assert.h>

#include "base/slots.h"

/* The offset of a member, and a warning when the member is no TYPE: a row's type and its variable
 * cannot drift apart. */
#define AT(TYPE, record, member) \
	.offset = offsetof(struct record, member) + 0 * sizeof((TYPE *)0 == &((struct record *)0)->member)
#define ALSO(TYPE, record, member) \
	.also = offsetof(struct record, member) + 0 * sizeof((TYPE *)0 == &((struct record *)0)->member)
#define LIST_AT(TYPE, record, member) \
	.offset = offsetof(struct record, member) + 0 * sizeof((TYPE *)0 == ((struct record *)0)->member.v)

#define SECONDS(n) ((uint64_t)(n)*1000)
#define MIB (1ull << 20)
#define TIB (1ull << 40)

#define SCHEMA(var, record, its_name, its_path, rows) \
	const struct schema var = { its_name, its_path, sizeof(struct record), ARRAY_SIZE(rows), rows }

/* ---- words ---- */

static const char *const hold_names[] = {
	[HOLD_OFF] = "off", [HOLD_PARK] = "park", [HOLD_SPLICE] = "splice", NULL
};
static_assert(ARRAY_SIZE(hold_names) == HOLD_N + 1, "a hold mode has no name");
static const char *const wake_names[] = {
	[WAKE_ANY] = "any", [WAKE_AFTER_DNS] = "after-dns", [WAKE_OFF] = "off", NULL
};
static_assert(ARRAY_SIZE(wake_names) == WAKE_N + 1, "a wake mode has no name");
static const char *const wake_dns_names[] = {
	[WAKE_DNS_ANY] = "any", [WAKE_DNS_VERIFIED] = "verified", [WAKE_DNS_OFF] = "off", NULL
};
static_assert(ARRAY_SIZE(wake_dns_names) == WAKE_DNS_N + 1, "a wake_dns mode has no name");
static const char *const xdp_names[] = { [XDP_AUTO] = "auto", [XDP_ON] = "on", [XDP_OFF] = "off", NULL };
static_assert(ARRAY_SIZE(xdp_names) == XDP_MODE_N + 1, "an XDP mode has no name");
static const char *const ping_names[] = {
	[PING_IGNORE] = "ignore", [PING_ANSWER] = "answer", [PING_WAKE] = "wake", NULL
};
static_assert(ARRAY_SIZE(ping_names) == PING_N + 1, "a ping mode has no name");
static const char *const conflict_names[] = {
	[CONFLICT_YIELD] = "yield", [CONFLICT_DEFEND] = "defend", NULL
};
static_assert(ARRAY_SIZE(conflict_names) == CONFLICT_N + 1, "a conflict mode has no name");
static const char *const hook_event_names[] = {
	[HOOK_UP] = "up", [HOOK_FAILED] = "failed", [HOOK_STOPPED] = "stopped", [HOOK_ALL_IDLE] = "all-idle", NULL
};
static_assert(ARRAY_SIZE(hook_event_names) == HOOK_EVENT_N + 1, "an event of hooks has no name");
static const char *const manage_names[] = { [MANAGE_AUTO] = "auto", [MANAGE_ALWAYS] = "always", NULL };
static_assert(ARRAY_SIZE(manage_names) == MANAGE_N + 1, "a manage mode has no name");
/* The same words as base/msg.c has for the other processes: a test compares them. */
static const char *const answer_names[] = {
	[ANSWER_AT_ONCE] = "at-once",
	[ANSWER_STARTED] = "started",
	[ANSWER_READY] = "ready",
	[ANSWER_AUTO] = "auto",
	NULL,
};
static_assert(ARRAY_SIZE(answer_names) == ANSWER_N + 2, "an answer mode has no name");
static const char *const stop_names[] = {
	[STOP_DESTROY] = "destroy", [STOP_SHUTDOWN] = "shutdown", [STOP_SUSPEND] = "suspend",
	[STOP_SAVE] = "save", NULL
};
static_assert(ARRAY_SIZE(stop_names) == STOP_N + 1, "a stop mode has no name");
static const char *const isolation_names[] = {
	[ISOLATION_STRICT] = "strict", [ISOLATION_FAST] = "fast", NULL
};
static_assert(ARRAY_SIZE(isolation_names) == ISOLATION_N + 1, "an isolation has no name");
static const char *const tsig_names[] = {
	[TSIG_HMAC_SHA256] = "hmac-sha256",
	[TSIG_HMAC_SHA384] = "hmac-sha384",
	[TSIG_HMAC_SHA512] = "hmac-sha512",
	NULL,
};
static_assert(ARRAY_SIZE(tsig_names) == TSIG_ALGORITHM_N + 1, "a TSIG algorithm has no name");
static const char *const arch_names[] = { "x86_64", "aarch64", NULL };
static const char *const machine_names[] = { "microvm", "pc", "q35", "virt", "pv", "pvh", NULL };
static const char *const format_names[] = { "raw", "qcow2", NULL };
static const char *const log_names[] = { "error", "warn", "info", "debug", NULL };

/* ---- the tables ---- */

static const struct opt disk_opts[] = {
	{ "path", OPT_TEXT, OPT_REQUIRED, AT(char *, disk_conf, path), .text = &text_path,
	  .help = "The image, below one of image_dirs." },
	{ "read_only", OPT_BOOL, 0, AT(bool, disk_conf, read_only), .fallback = "false",
	  .help = "The guest cannot write to it.  Any number of services may share such an image." },
	{ "format", OPT_WORD, 0, AT(char *, disk_conf, format), .names = format_names, .fallback = "\"raw\"",
	  .help = "How the image is laid out.  It is never guessed from the image, which the guest may "
	          "have written.  On Xen qcow2 needs a QEMU in dom0 (package qemu-system-xen), and is refused at the "
	          "start without one; raw needs none." },
};
static SCHEMA(schema_disk, disk_conf, "a disk", "services[].machine.disks[]", disk_opts);

static const struct opt nic_opts[] = {
	{ "bridge", OPT_TEXT, OPT_UNSET, AT(char *, nic_conf, bridge), .text = &text_ifname,
	  .otherwise = "the bridge, if bridges has exactly one",
	  .help = "The name of one of bridges: the VM's port joins it." },
	{ "mac", OPT_MAC, OPT_UNSET, AT(struct mac_addr, nic_conf, mac),
	  .otherwise = "derived from this host's machine-id, the service's name and the number of the NIC",
	  .help = "The VM's own address on this NIC." },
};
static SCHEMA(schema_nic, nic_conf, "a network card", "services[].machine.nics[]", nic_opts);

static const struct opt machine_opts[] = {
	{ "hypervisor", OPT_TEXT, OPT_UNSET, AT(char *, machine_conf, hypervisor), .text = &text_name,
	  .otherwise = "the first of hypervisors",
	  .help = "The name of one of hypervisors: where the VM runs." },
	{ "domain", OPT_TEXT, OPT_UNSET, AT(char *, machine_conf, domain), .text = &text_domain,
	  .help = "An existing domain, by name or UUID, instead of all options below.  It is "
	          "started as it is defined and never redefined; its MAC address, bridge and port are "
	          "found from it.  Xen keeps no definitions: there it is found when it runs, and somebody else "
	          "starts it." },
	{ "xl_config", OPT_TEXT, OPT_UNSET, AT(char *, machine_conf, xl_config), .text = &text_path,
	  .help = "With Xen, the configuration file of an existing domain, as xl.cfg(5) says, below one of image_dirs, "
	          "instead of domain and of all options below.  The domain has the name that is in there.  Its kind "
	          "must be pv or pvh; what else is not supported is refused at the start, with its line.  To be held, its "
	          "first vif needs a mac=; it is read again after each run, and by jitsuctl reload." },
	{ "kernel", OPT_TEXT, OPT_UNSET, AT(char *, machine_conf, kernel), .text = &text_path,
	  .help = "The unikernel or kernel to boot, below one of image_dirs.  Required without domain and xl_config." },
	{ "initrd", OPT_TEXT, OPT_UNSET, AT(char *, machine_conf, initrd), .text = &text_path,
	  .help = "The initial RAM disk for the kernel, below one of image_dirs." },
	{ "cmdline", OPT_TEXT, OPT_UNSET, AT(char *, machine_conf, cmdline), .text = &text_cmdline,
	  .fallback = "\"\"",
	  .help = "The kernel's command line.  {ip} becomes the service's first IPv4 address, {prefix} the "
	          "length of its network, {ip6} the first IPv6 address, {gw} the gateway, {mac} the MAC "
	          "address of the first NIC, {name} the service's name, {label} the first label of its first DNS name, "
	          "{boot} how often it was started, and "
	          "{{ a brace." },
	{ "memory", OPT_SIZE, OPT_UNSET, AT(uint64_t, machine_conf, memory_bytes), .min = MIB,
	  .max = 16 * TIB, .fallback = "\"64MiB\"", .help = "The VM's RAM." },
	{ "vcpus", OPT_INT, OPT_UNSET, AT(uint32_t, machine_conf, vcpus), .min = 1, .max = 64,
	  .fallback = "1", .help = "The VM's processors." },
	{ "arch", OPT_WORD, OPT_UNSET, AT(char *, machine_conf, arch), .names = arch_names,
	  .otherwise = "this host's", .help = "The VM's architecture.  A foreign one is emulated." },
	{ "machine", OPT_WORD, OPT_UNSET, AT(char *, machine_conf, machine), .names = machine_names,
	  .otherwise = "what suits the hypervisor, the kernel and arch",
	  .help = "The kind of machine.  QEMU makes microvm, pc and q35 of x86_64 and virt of aarch64; a kernel alone "
	          "gets microvm.  Xen makes pvh, and, of x86_64, pv, which needs no hardware virtualisation and a "
	          "kernel that knows how; without machine, and with one of QEMU's, it makes pvh where the "
	          "processor can, else pv.  QEMU makes neither of these." },
	{ "disks", OPT_OBJECT, OPT_LIST | OPT_UNSET, LIST_AT(struct disk_conf, machine_conf, disks),
	  .of = &schema_disk, .most = MSG_DISKS_MAX, .fallback = "[]",
	  .help = "The VM's disks, in this order." },
	{ "nics", OPT_OBJECT, OPT_LIST | OPT_UNSET, LIST_AT(struct nic_conf, machine_conf, nics),
	  .of = &schema_nic, .least = 1, .most = MSG_NICS_MAX,
	  .otherwise = "one on the bridge, if bridges has exactly one",
	  .help = "The VM's network cards, in this order; the service's addresses are on the first." },
};
static SCHEMA(schema_machine, machine_conf, "the machine of a service", "services[].machine", machine_opts);

static const struct opt service_opts[] = {
	{ "name", OPT_TEXT, OPT_REQUIRED, AT(char *, service_conf, name), .text = &text_name,
	  .help = "What logs and jitsuctl call it.  Unique." },
	{ "enabled", OPT_BOOL, 0, AT(bool, service_conf, enabled), .fallback = "true",
	  .help = "Whether it is served.  If not, the service is kept, but its names are not in DNS, its clients "
	          "are not held, and nothing wakes it; its VM is stopped when nobody uses it." },
	{ "dns", OPT_TEXT, OPT_REQUIRED | OPT_LIST, LIST_AT(char *, service_conf, dns), .text = &text_service_host,
	  .least = 1, .most = MSG_LIST_MAX,
	  .help = "The names that wake it, each in one of zones.  Each belongs to one service only.  One name that begins "
	          "with *. makes the service a template: whoever asks for the address of a name with one label of a-z, "
	          "0-9 and inner - in place of the asterisk, that no other service or record has, has an instance made, a "
	          "service with an address and a VM of its own." },
	{ "ip", OPT_HOST, OPT_REQUIRED | OPT_LIST, LIST_AT(struct service_ip, service_conf, ip), .least = 1,
	  .most = MSG_LIST_MAX,
	  .help = "The addresses that its names lead to, each with the length of its network.  PTR "
	          "records follow from them.  Each belongs to one service only.  auto: it is given one of the pools "
	          "of its first network card's bridge, IPv4 if they have such, and keeps it as long as it is "
	          "configured; auto6: likewise an IPv6 one.  learned: the IPv4 address that its VM turns out to have, "
	          "by DHCP or otherwise, in a network of the bridge that its first NIC is on.  It is remembered; "
	          "queries wait until the VM is up, and clients are held once it had the same one in two boots, or "
	          "for ten minutes." },
	{ "max_instances", OPT_INT, OPT_UNSET, AT(uint32_t, service_conf, max_instances), .min = 1, .max = SLOTS_MAX,
	  .otherwise = "16, of a template",
	  .help = "Of a template: instances that there may be at once.  Those that were made for clients that are not "
	          "verified (see wake_dns), and that nobody has come to, are at most half of them.  Beyond that the "
	          "answer is that of a service that cannot be had.  How many are made in a minute is a matter of "
	          "limits.wakes_per_service and wakes_per_source." },
	{ "instance_ttl", OPT_DURATION, OPT_UNSET, AT(uint64_t, service_conf, instance_ttl_ms), .min = 100,
	  .max = SECONDS(86400 * 366), .otherwise = "10m, of a template",
	  .help = "Of a template: how long after its VM stopped an instance is kept, with its address.  Then it is removed "
	          "wholly, and the next query for its name makes another one." },
	{ "ttl", OPT_DURATION, OPT_SECONDS, AT(uint64_t, service_conf, ttl_ms), .max = SECONDS(604800),
	  .fallback = "\"60s\"", .help = "How long resolvers may keep its addresses." },
	{ "ttl_down", OPT_DURATION, OPT_SECONDS, AT(uint64_t, service_conf, ttl_down_ms), .max = SECONDS(604800),
	  .otherwise = "ttl",
	  .help = "The same for answers that are given while its VM is not up, and for fallback_ip; at most "
	          "ttl.  0: they are asked for anew each time." },
	{ "fallback_ip", OPT_TEXT, OPT_LIST, LIST_AT(char *, service_conf, fallback_ip), .text = &text_ip,
	  .most = MSG_LIST_MAX, .fallback = "[]",
	  .help = "The addresses of another machine, perhaps one that says sorry, of families that ip has: who "
	          "asks for the service gets them, instead of SERVFAIL, when it could not be started, its "
	          "address is in use elsewhere, its wake was refused or max_hold is over." },
	{ "ports", OPT_PORT, OPT_LIST, LIST_AT(uint16_t, service_conf, ports), .min = 1, .max = 65535,
	  .most = MSG_LIST_MAX, .fallback = "[]", .help = "The TCP ports it serves." },
	{ "machine", OPT_OBJECT, OPT_REQUIRED, AT(struct machine_conf, service_conf, machine),
	  .of = &schema_machine, .help = "The VM behind it." },
	{ "gateway", OPT_TEXT, OPT_UNSET, AT(char *, service_conf, gateway), .text = &text_ip,
	  .otherwise = "the first address in the network of the first IPv4 address",
	  .help = "What {gw} stands for in cmdline; in the network of one of ip." },
	{ "hold", OPT_ENUM, 0, AT(enum hold_mode, service_conf, hold), .names = hold_names,
	  .fallback = "\"park\"",
	  .help = "What becomes of clients that come to its addresses while the VM is away.  park: they are "
	          "held, wake it, and are let through when it is up.  off: nothing is at its addresses then, "
	          "and its names alone wake it.  splice is not in this version." },
	{ "wake_dns", OPT_ENUM, 0, AT(enum wake_dns, service_conf, wake_dns), .names = wake_dns_names,
	  .fallback = "\"any\"",
	  .help = "Whose queries for its names wake the VM: anybody's, within limits.wakes_unverified (any); only "
	          "those over TCP or with a valid DNS cookie, whose senders are who they say (verified); or "
	          "nobody's (off).  With verified, others get the address at once where clients are held, and "
	          "their first packet wakes the VM; elsewhere they are told to ask again over TCP, or with the "
	          "cookie that they are given.  With off, an answer of auto is given at once; where it would "
	          "have to wait for a VM that sleeps, it is fallback_ip, or SERVFAIL." },
	{ "wake_syn", OPT_ENUM, 0, AT(enum wake_mode, service_conf, wake_syn), .names = wake_names,
	  .fallback = "\"any\"",
	  .help = "Whether a client's packet wakes the VM: always (any), only until dns_horizon after the "
	          "last answer with its address (after-dns), so that scanners wake nothing, or never (off).  "
	          "It rules new connections, datagrams and pings alike." },
	{ "wake_allow", OPT_PREFIX, OPT_LIST, LIST_AT(struct ip_prefix, service_conf, wake_allow),
	  .fallback = "[]",
	  .help = "Where packets that wake it may come from: addresses and networks.  Empty: from anywhere.  "
	          "Queries wake it whoever asks." },
	{ "wake_deny", OPT_PREFIX, OPT_LIST, LIST_AT(struct ip_prefix, service_conf, wake_deny),
	  .fallback = "[]", .help = "Where they may not come from, even if wake_allow has it." },
	{ "wake_ping", OPT_ENUM, 0, AT(enum ping_mode, service_conf, wake_ping), .names = ping_names,
	  .fallback = "\"ignore\"",
	  .help = "What an ICMP echo request for the sleeping VM does: nothing, it is answered in the VM's "
	          "place, or it wakes the VM." },
	{ "hold_udp", OPT_INT, 0, AT(uint32_t, service_conf, hold_udp), .max = 16, .fallback = "4",
	  .help = "How many datagrams of one UDP flow are held while the VM is away; a datagram that is held "
	          "wakes it.  0: none." },
	{ "on_conflict", OPT_ENUM, 0, AT(enum conflict_mode, service_conf, on_conflict),
	  .names = conflict_names, .fallback = "\"yield\"",
	  .help = "What is done when another machine uses one of its addresses: nothing more is held until "
	          "that machine is gone (yield), or the address is announced again, at most once in 10 "
	          "seconds (defend)." },
	{ "answer", OPT_ENUM, 0, AT(unsigned, service_conf, answer), .names = answer_names,
	  .fallback = "\"auto\"",
	  .help = "When a query for the sleeping service is answered: at once, when its VM was started, or "
	          "when it is ready.  auto: at once while its clients are held, else when it is ready.  The "
	          "query wakes it in any case." },
	{ "ready", OPT_READY, OPT_LIST, LIST_AT(struct ready_rule, service_conf, ready), .least = 1,
	  .most = MSG_LIST_MAX, .otherwise = "[\"tcp\"] if there are ports, else [\"arp\"]",
	  .help = "What must have happened before the VM counts as ready, all of it: its addresses answer "
	          "ARP or neighbour solicitations (arp), each of ports is open (tcp), that port is open "
	          "(tcp:PORT), that many milliseconds have passed since it was started (delay:MS, or "
	          "delay: and a duration), its guest has said that it is (guest), or, on Xen, KEY has come to be "
	          "in XenStore, below its domain's directory, and is not empty (xenstore:KEY)." },
	{ "guest_lease", OPT_DURATION, 0, AT(uint64_t, service_conf, guest_lease_ms), .max = SECONDS(604800),
	  .fallback = "\"1h\"",
	  .help = "The longest that a guest keeps its VM up by saying once that it is busy, or that it wants not to "
	          "be stopped.  0s: what it says does not keep it up." },
	{ "stop", OPT_ENUM, 0, AT(enum stop_how, service_conf, stop), .names = stop_names,
	  .otherwise = "shutdown for a domain and for a machine with a writable disk, else destroy",
	  .help = "What becomes of the VM when it is idle: it is ended at once, asked to shut down, "
	          "paused with its RAM, or saved to a file in save_dir, from which the next wake restores it.  On Xen "
	          "the guest must say that it can be suspended (control/feature-suspend in XenStore), as Linux does; "
	          "Xen for arm64 cannot." },
	{ "stop_force", OPT_BOOL, 0, AT(bool, service_conf, stop_force), .fallback = "false",
	  .help = "A VM that was asked to shut down and has not after stop_timeout is ended, and so is one that "
	          "cannot be saved.  Without this it is left up, and the log says so." },
	{ "manage", OPT_ENUM, 0, AT(enum manage_mode, service_conf, manage), .names = manage_names,
	  .fallback = "\"auto\"",
	  .help = "auto: a VM that jitsu did not start is served and never stopped.  always: it is "
	          "stopped like any other." },
	{ "idle_timeout", OPT_DURATION, OPT_NEVER, AT(uint64_t, service_conf, idle_timeout_ms), .min = 100,
	  .max = SECONDS(2592000), .fallback = "\"120s\"",
	  .help = "The VM is stopped when it had no IP traffic for this long, and no resolver may still "
	          "lead anyone to it (see dns_horizon)." },
	{ "start_timeout", OPT_DURATION, 0, AT(uint64_t, service_conf, start_timeout_ms), .min = 100,
	  .max = SECONDS(3600), .fallback = "\"60s\"",
	  .help = "A VM that is not ready after this long has failed." },
	{ "stop_timeout", OPT_DURATION, 0, AT(uint64_t, service_conf, stop_timeout_ms), .min = 100,
	  .max = SECONDS(3600), .fallback = "\"60s\"",
	  .help = "How long a VM that was asked to shut down may take." },
	{ "max_hold", OPT_DURATION, 0, AT(uint64_t, service_conf, max_hold_ms), .min = 100,
	  .max = SECONDS(600), .fallback = "\"60s\"",
	  .help = "How long a query or a connection may wait for the VM; a query is then answered with "
	          "SERVFAIL, a connection is reset." },
	{ "dns_grace", OPT_DURATION, 0, AT(uint64_t, service_conf, dns_grace_ms), .min = 100,
	  .max = SECONDS(604800), .fallback = "\"30s\"",
	  .help = "While its clients are held: a VM that a query woke, and that no client came to for this "
	          "long, is stopped again." },
	{ "dns_horizon", OPT_DURATION, OPT_AUTO, AT(uint64_t, service_conf, dns_horizon_ms),
	  .max = SECONDS(604800), .fallback = "\"auto\"",
	  .help = "How long someone may still come after its name was last asked for.  Where clients are not "
	          "held, the VM stays up for so long; with wake_syn after-dns, their packets wake it for so "
	          "long.  auto: twice ttl, at least 300 seconds." },
};
SCHEMA(schema_service, service_conf, "a service", "services[]", service_opts);

static const struct opt tsig_key_opts[] = {
	{ "name", OPT_TEXT, OPT_REQUIRED, AT(char *, tsig_key_conf, name), .text = &text_host,
	  .help = "What both servers call the key.  Unique." },
	{ "algorithm", OPT_ENUM, 0, AT(enum tsig_algorithm, tsig_key_conf, algorithm), .names = tsig_names,
	  .fallback = "\"hmac-sha256\"", .help = "How it signs: the same on both servers." },
	{ "secret_file", OPT_TEXT, OPT_UNSET, AT(char *, tsig_key_conf, secret_file), .text = &text_path,
	  .help = "A file with nothing but the secret, in Base64.  It belongs to root, nobody else can read it, "
	          "and it is no symbolic link.  It is read when jitsud starts and at each reload." },
	{ "secret", OPT_TEXT, OPT_UNSET | OPT_SECRET, AT(char *, tsig_key_conf, secret), .text = &text_tsig_secret,
	  .help = "The secret itself, in Base64, instead of secret_file: only where nobody else can read this "
	          "configuration.  It is never printed." },
};
static SCHEMA(schema_tsig_key, tsig_key_conf, "a key shared with other servers", "tsig_keys[]", tsig_key_opts);

static const struct opt secondary_opts[] = {
	{ "address", OPT_TEXT, OPT_REQUIRED, AT(char *, secondary_conf, address), .text = &text_ip,
	  .help = "Where it is told of changes, and asks for the zone from." },
	{ "port", OPT_PORT, 0, AT(uint16_t, secondary_conf, port), .min = 1, .max = 65535, .fallback = "53",
	  .help = "The port where it is told of changes." },
	{ "key", OPT_TEXT, OPT_UNSET, AT(char *, secondary_conf, key), .text = &text_host,
	  .help = "The name of one of tsig_keys: what it is told is signed with it, and so must be what it asks.  "
	          "Without a key its address is all that it must have." },
};
static SCHEMA(schema_secondary, secondary_conf, "a secondary server", "zones[].secondaries[]", secondary_opts);

static const struct opt zone_opts[] = {
	{ "name", OPT_TEXT, OPT_REQUIRED, AT(char *, zone_conf, name), .text = &text_host,
	  .help = "The zone's name.  Unique." },
	{ "ns", OPT_TEXT, OPT_REQUIRED | OPT_LIST, LIST_AT(char *, zone_conf, ns), .text = &text_host,
	  .least = 1, .most = MSG_LIST_MAX, .help = "The zone's name servers." },
	{ "hostmaster", OPT_TEXT, OPT_UNSET, AT(char *, zone_conf, hostmaster), .text = &text_host,
	  .otherwise = "hostmaster in the zone",
	  .help = "Whom to write to about the zone: a mail address with a dot for the @." },
	{ "ttl", OPT_DURATION, OPT_SECONDS, AT(uint64_t, zone_conf, ttl_ms), .max = SECONDS(604800),
	  .fallback = "\"300s\"",
	  .help = "How long resolvers may keep the zone's own records (SOA, NS, PTR)." },
	{ "negative_ttl", OPT_DURATION, OPT_SECONDS, AT(uint64_t, zone_conf, negative_ttl_ms),
	  .max = SECONDS(604800), .fallback = "\"60s\"",
	  .help = "How long resolvers may remember that a name does not exist." },
	{ "file", OPT_TEXT, OPT_UNSET, AT(char *, zone_conf, file), .text = &text_path,
	  .help = "Its other records: a zone file (RFC 1035) below one of zone_dirs, without $INCLUDE and "
	          "$GENERATE.  The services' names and addresses come on top; the file cannot have A, AAAA "
	          "or CNAME records at a service's name.  If it has an SOA, or NS at the zone's name, these "
	          "count instead of ns, hostmaster, ttl and negative_ttl, and the serial is never less than "
	          "the SOA's.  It is read when jitsud starts and at each reload; a file with a mistake is "
	          "not used, and the zone goes on as it was." },
	{ "secondaries", OPT_OBJECT, OPT_LIST, LIST_AT(struct secondary_conf, zone_conf, secondaries),
	  .of = &schema_secondary, .most = 16, .fallback = "[]",
	  .help = "Servers that have a copy of the zone: they are told at once when it has changed (NOTIFY), and may "
	          "fetch it, as a whole (AXFR) or what has changed (IXFR)." },
	{ "transfer_allow", OPT_PREFIX, OPT_LIST, LIST_AT(struct ip_prefix, zone_conf, transfer_allow),
	  .fallback = "[]",
	  .help = "Who else may fetch the zone, without being told of changes: addresses and networks." },
	{ "transfer_key", OPT_TEXT, OPT_UNSET, AT(char *, zone_conf, transfer_key), .text = &text_host,
	  .help = "The name of one of tsig_keys, with which those in transfer_allow must have signed." },
};
static SCHEMA(schema_zone, zone_conf, "a zone", "zones[]", zone_opts);

static const struct opt dns_opts[] = {
	{ "nsid", OPT_TEXT, OPT_UNSET, AT(char *, dns_conf, nsid), .text = &text_nsid,
	  .help = "What it calls itself when a client asks which server has answered (RFC 5001)." },
	{ "cookie_secrets", OPT_TEXT, OPT_LIST | OPT_SECRET, LIST_AT(char *, dns_conf, cookie_secrets), .text = &text_secret,
	  .most = MSG_SECRETS_MAX, .fallback = "[]",
	  .help = "What DNS cookies (RFC 7873, RFC 9018) are made with, the same on all servers of an address: "
	          "the first makes them, all are taken.  To replace one, add the new one at the end "
	          "everywhere, then move it to the front, and an hour later remove the old one.  Without "
	          "any, jitsu makes its own, and a new one each day." },
	{ "workers", OPT_INT, OPT_UNSET, AT(uint32_t, dns_conf, workers), .min = 1, .max = LISTEN_SHARERS_MAX,
	  .otherwise = "one for each CPU",
	  .help = "Threads that answer over UDP, for each address in listen; all together at most 256." },
	{ "rate", OPT_INT, 0, AT(uint32_t, dns_conf, rate), .max = 1000000, .fallback = "200",
	  .help = "Answers per second that one network (IPv4 /24, IPv6 /56) is sent over UDP, unless a cookie "
	          "shows that the client is who it says; 0: any number.  Where "
	          "xdp has found an interface, half of it is for answers from there." },
	{ "rate_slip", OPT_INT, 0, AT(uint32_t, dns_conf, rate_slip), .max = 10, .fallback = "2",
	  .help = "One in so many of the queries over that rate is answered with the advice to ask over TCP, "
	          "so that a client whose address is abused still gets through; 0: none." },
	{ "rate_exempt", OPT_PREFIX, OPT_LIST, LIST_AT(struct ip_prefix, dns_conf, rate_exempt),
	  .fallback = "[\"127.0.0.0/8\", \"10.0.0.0/8\", \"172.16.0.0/12\", \"192.168.0.0/16\", "
	              "\"169.254.0.0/16\", \"::1/128\", \"fc00::/7\", \"fe80::/10\"]",
	  .help = "Clients without that limit." },
	{ "xdp", OPT_ENUM, 0, AT(enum xdp_mode, dns_conf, xdp), .names = xdp_names, .fallback = "\"auto\"",
	  .help = "Whether plain queries for the addresses of services that are up are answered by a BPF "
	          "program (XDP) on the interfaces that have the addresses of listen; wildcards in listen "
	          "have none.  auto: where the interface's own driver can run it, on hardware that is.  on: "
	          "elsewhere by the kernel's generic way, too.  Where it cannot run, and for all other "
	          "queries, the sockets answer.  The host's packet filter does not see what is answered by it." },
};
static SCHEMA(schema_dns, dns_conf, "the DNS server", "dns", dns_opts);

static const struct opt hypervisor_opts[] = {
	{ "name", OPT_TEXT, OPT_REQUIRED, AT(char *, hypervisor_conf, name), .text = &text_name,
	  .help = "What machines, logs and jitsuctl call it.  Unique." },
	{ "uri", OPT_TEXT, OPT_REQUIRED, AT(char *, hypervisor_conf, uri), .text = &text_uri,
	  .help = "How libvirt finds it; qemu:///embed?root=DIRECTORY runs QEMU without libvirtd.  libxl:/// is the "
	          "Xen of this host, whose dom0 this is, without libvirt: it needs the package jitsu-xen.  There is "
	          "one of these at most." },
	{ "isolation", OPT_ENUM, 0, AT(enum isolation, hypervisor_conf, isolation), .names = isolation_names,
	  .fallback = "\"strict\"",
	  .help = "strict: whatever the host has to keep VMs apart (cgroups, namespaces, its security "
	          "driver).  fast: none of these, for laboratories and demonstrations; QEMU still runs as "
	          "a user of its own, in its seccomp sandbox.  It is about QEMU alone." },
};
static SCHEMA(schema_hypervisor, hypervisor_conf, "a hypervisor", "hypervisors[]", hypervisor_opts);

static const struct opt bridge_opts[] = {
	{ "name", OPT_TEXT, OPT_REQUIRED, AT(char *, bridge_conf, name), .text = &text_ifname,
	  .help = "The Linux bridge's interface.  Unique." },
	{ "probe_ip", OPT_IP4, OPT_UNSET, AT(struct ip_addr, bridge_conf, probe_ip),
	  .otherwise = "the bridge's own address",
	  .help = "The address that VMs on this bridge are probed from: one that nobody else uses." },
	{ "probe_ip6", OPT_IP6, OPT_UNSET, AT(struct ip_addr, bridge_conf, probe_ip6),
	  .otherwise = "the bridge's own link-local address", .help = "The same for IPv6." },
	{ "conflict_probe", OPT_DURATION, 0, AT(uint64_t, bridge_conf, conflict_probe_ms),
	  .max = SECONDS(60), .fallback = "\"3s\"",
	  .help = "How long is asked on it whether anybody has an address (RFC 5227), before clients are "
	          "first held there.  0: nobody is asked." },
	{ "pools", OPT_RANGE, OPT_LIST, LIST_AT(struct ip_range, bridge_conf, pools), .most = 64, .fallback = "[]",
	  .help = "Addresses for services on it whose ip is auto or auto6: ranges, or whole networks.  Never given are "
	          "those of other services and of this host, a network's own, its broadcast address and its first one, "
	          "where routers are, a service's gateway, and what is found in use elsewhere." },
};
static SCHEMA(schema_bridge, bridge_conf, "a bridge", "bridges[]", bridge_opts);

static const struct opt limits_opts[] = {
	{ "max_running", OPT_INT, 0, AT(uint32_t, limits_conf, max_running), .min = 1, .max = SLOTS_MAX,
	  .fallback = "64", .help = "VMs up at once." },
	{ "max_starting", OPT_INT, 0, AT(uint32_t, limits_conf, max_starting), .min = 1, .max = 64,
	  .fallback = "2", .help = "VMs being started at once; further ones queue." },
	{ "memory", OPT_SHARE, 0, AT(uint64_t, limits_conf, memory_bytes),
	  ALSO(uint32_t, limits_conf, memory_percent), .min = MIB, .max = 1024 * TIB, .fallback = "\"80%\"",
	  .help = "RAM of all VMs together; a percentage is of the host's." },
	{ "wakes_per_source", OPT_RATE, 0, AT(uint32_t, limits_conf, wakes_per_source),
	  ALSO(uint64_t, limits_conf, wakes_period_ms), .min = 1, .max = 1000000, .fallback = "\"30/min\"",
	  .help = "Wakes that one client's network (IPv4 /24, IPv6 /56) may cause: by packets, by queries of "
	          "clients that are verified (see wake_dns), and by those of others, each counted apart." },
	{ "wakes_per_service", OPT_RATE, 0, AT(uint32_t, limits_conf, wakes_per_service),
	  ALSO(uint64_t, limits_conf, service_period_ms), .min = 1, .max = 1000000, .fallback = "\"30/min\"",
	  .help = "Wakes of one service that queries may cause: by verified clients, and by others, counted "
	          "apart." },
	{ "wakes_unverified", OPT_RATE, 0, AT(uint32_t, limits_conf, wakes_unverified),
	  ALSO(uint64_t, limits_conf, unverified_period_ms), .min = 1, .max = 1000000, .fallback = "\"60/min\"",
	  .help = "Wakes of all services together that queries of clients that are not verified may cause: "
	          "their addresses may be forged.  VMs that they woke, and that nobody has come to, take at "
	          "most half of max_running, max_starting and memory, but always one may start.  Over it, a "
	          "query that would wait is answered with the advice to ask over TCP." },
	{ "mute_after", OPT_INT, 0, AT(uint32_t, limits_conf, mute_after), .max = 1000, .fallback = "3",
	  .help = "A network (IPv4 /24, IPv6 /56) whose queries woke a held service so often in a row, and "
	          "nobody came, seems to be of a resolver that asks ahead: its queries for that service are "
	          "answered at once and wake nothing for 5 minutes, and for twice as long, up to a day, each "
	          "time it turns out so again.  0: never." },
	{ "max_waiting", OPT_INT, 0, AT(uint32_t, limits_conf, max_waiting), .min = 1, .max = 65536,
	  .fallback = "1024", .help = "Queries that wait for a VM at once." },
	{ "max_tcp", OPT_INT, 0, AT(uint32_t, limits_conf, max_tcp), .min = 1, .max = 4096, .fallback = "128",
	  .help = "DNS clients connected over TCP at once." },
	{ "max_held", OPT_INT, 0, AT(uint32_t, limits_conf, max_held), .min = 1, .max = 262144,
	  .fallback = "131072",
	  .help = "Connections held at once, of all services.  One service may have as many as are still "
	          "free: at most half." },
	{ "held_per_source", OPT_INT, 0, AT(uint32_t, limits_conf, held_per_source), .min = 1, .max = 262144,
	  .fallback = "4096", .help = "Connections held of one client (IPv4 address, IPv6 /64)." },
};
static SCHEMA(schema_limits, limits_conf, "what all services together may use", "limits", limits_opts);

static const struct opt users_opts[] = {
	{ "dns", OPT_TEXT, 0, AT(char *, users_conf, dns), .text = &text_user, .fallback = "\"jitsu-dns\"",
	  .help = "The user of the process that reads DNS." },
	{ "net", OPT_TEXT, 0, AT(char *, users_conf, net), .text = &text_user, .fallback = "\"jitsu-net\"",
	  .help = "The user of the process that probes VMs." },
	{ "control", OPT_TEXT, 0, AT(char *, users_conf, control), .text = &text_user,
	  .fallback = "\"jitsu-ctl\"", .help = "The user of the process that jitsuctl talks to." },
	{ "qemu", OPT_TEXT, 0, AT(char *, users_conf, qemu), .text = &text_user,
	  .fallback = "\"libvirt-qemu\"", .help = "The user of QEMU; never root." },
	{ "hooks", OPT_TEXT, 0, AT(char *, users_conf, hooks), .text = &text_user, .fallback = "\"jitsu-hooks\"",
	  .help = "The user that hooks are run by.  It is root only if that is written here." },
	{ "readers", OPT_TEXT, 0, AT(char *, users_conf, readers), .text = &text_user,
	  .fallback = "\"jitsu\"", .help = "The group whose members may look with jitsuctl." },
	{ "admins", OPT_TEXT, 0, AT(char *, users_conf, admins), .text = &text_user,
	  .fallback = "\"jitsu-admin\"",
	  .help = "The group whose members may start and stop services with jitsuctl." },
};
static SCHEMA(schema_users, users_conf, "users and groups", "users", users_opts);

static const struct opt metrics_opts[] = {
	{ "listen", OPT_ENDPOINT, OPT_LIST, LIST_AT(struct endpoint, metrics_conf, listen), .most = 16,
	  .fallback = "[]",
	  .help = "Where they are served, over HTTP, at /metrics, as Prometheus reads them.  Whoever can connect "
	          "may read them.  Empty: nowhere." },
	{ "services", OPT_BOOL, 0, AT(bool, metrics_conf, services), .fallback = "false",
	  .help = "Also those of each service by its name: six lines for each." },
};
static SCHEMA(schema_metrics, metrics_conf, "metrics", "metrics", metrics_opts);

static const struct opt hook_opts[] = {
	{ "on", OPT_ENUM, OPT_REQUIRED | OPT_LIST, LIST_AT(enum hook_event, hook_conf, on), .names = hook_event_names,
	  .least = 1, .most = HOOK_EVENT_N,
	  .help = "When it is run: a VM that was woken is up; one failed to start; one is off or suspended; no VM "
	          "runs any more (all-idle)." },
	{ "exec", OPT_TEXT, OPT_UNSET, AT(char *, hook_conf, exec), .text = &text_path,
	  .help = "The program that is run, without arguments, by users.hooks.  What happened is on its standard "
	          "input, a line of JSON.  Its environment is PATH and LANG.  It must be root's or users.hooks' own, as must "
	          "be the directories that it lies in, and writable by the owner alone; no symbolic link." },
	{ "webhook", OPT_TEXT, OPT_UNSET | OPT_SECRET, AT(char *, hook_conf, webhook), .text = &text_url,
	  .help = "Or: the http or https URL that the line is posted to.  Certificates are verified.  It is tried "
	          "three times." },
	{ "timeout", OPT_DURATION, 0, AT(uint64_t, hook_conf, timeout_ms), .min = 100, .max = SECONDS(600),
	  .fallback = "\"10s\"", .help = "How long it may take; then it is killed." },
};
static SCHEMA(schema_hook, hook_conf, "a hook", "hooks[]", hook_opts);

static const struct opt conf_opts[] = {
	{ "listen", OPT_ENDPOINT, OPT_LIST, LIST_AT(struct endpoint, conf, listen), .least = 1, .most = 16,
	  .fallback = "[\"0.0.0.0:53\", \"[::]:53\"]", .help = "Where DNS is served, over UDP and TCP." },
	{ "zones", OPT_OBJECT, OPT_REQUIRED | OPT_LIST, LIST_AT(struct zone_conf, conf, zones),
	  .of = &schema_zone, .least = 1, .help = "The zones it is authoritative for." },
	{ "tsig_keys", OPT_OBJECT, OPT_LIST, LIST_AT(struct tsig_key_conf, conf, tsig_keys), .of = &schema_tsig_key,
	  .fallback = "[]", .help = "Secrets that it shares with other DNS servers, to sign what they say to each other." },
	{ "forward", OPT_ENDPOINT, OPT_LIST, LIST_AT(struct endpoint, conf, forward), .most = 8,
	  .fallback = "[]",
	  .help = "Resolvers that questions outside the zones are passed to.  Without them, and for "
	          "everyone who is not in forward_allow, the answer is REFUSED." },
	{ "forward_allow", OPT_PREFIX, OPT_LIST, LIST_AT(struct ip_prefix, conf, forward_allow),
	  .fallback = "[]",
	  .help = "The clients that may have questions forwarded: addresses and networks.  The whole "
	          "Internet is refused." },
	{ "hypervisors", OPT_OBJECT, OPT_LIST, LIST_AT(struct hypervisor_conf, conf, hypervisors),
	  .of = &schema_hypervisor, .least = 1, .most = 16,
	  .otherwise = "one, named local, with qemu:///embed and its root at run_dir/qemu",
	  .help = "Where VMs run." },
	{ "bridges", OPT_OBJECT, OPT_LIST, LIST_AT(struct bridge_conf, conf, bridges), .of = &schema_bridge,
	  .fallback = "[]", .help = "The Linux bridges that VMs are on." },
	{ "image_dirs", OPT_TEXT, OPT_LIST, LIST_AT(char *, conf, image_dirs), .text = &text_path, .least = 1,
	  .most = 64, .fallback = "[\"/var/lib/jitsu/images\"]",
	  .help = "Kernels, initial RAM disks and disks lie below these directories.  They are checked at "
	          "each start: no symbolic links, kernels and directories writable by root alone." },
	{ "zone_dirs", OPT_TEXT, OPT_LIST, LIST_AT(char *, conf, zone_dirs), .text = &text_path, .least = 1,
	  .most = 64, .fallback = "[\"/etc/jitsu/zones\"]",
	  .help = "Zone files lie below these directories, without symbolic links on the way." },
	{ "dns", OPT_OBJECT, 0, AT(struct dns_conf, conf, dns), .of = &schema_dns, .fallback = "{}",
	  .help = "How DNS is served." },
	{ "limits", OPT_OBJECT, 0, AT(struct limits_conf, conf, limits), .of = &schema_limits,
	  .fallback = "{}", .help = "What all services together may use." },
	{ "metrics", OPT_OBJECT, 0, AT(struct metrics_conf, conf, metrics), .of = &schema_metrics, .fallback = "{}",
	  .help = "What jitsu can be measured by, for Prometheus." },
	{ "hooks", OPT_OBJECT, OPT_LIST, LIST_AT(struct hook_conf, conf, hooks), .of = &schema_hook, .most = MSG_HOOKS_MAX,
	  .fallback = "[]",
	  .help = "What is run when something happens, four at once; when 256 wait to be run, further ones are not." },
	{ "users", OPT_OBJECT, 0, AT(struct users_conf, conf, users), .of = &schema_users, .fallback = "{}",
	  .help = "Whom its processes run as, and who may talk to it." },
	{ "run_dir", OPT_TEXT, 0, AT(char *, conf, run_dir), .text = &text_run_dir,
	  .fallback = "\"/run/jitsu\"",
	  .help = "Sockets, consoles and other things that need not outlive a reboot." },
	{ "state_dir", OPT_TEXT, 0, AT(char *, conf, state_dir), .text = &text_path,
	  .fallback = "\"/var/lib/jitsu\"", .help = "What must outlive a reboot." },
	{ "save_dir", OPT_TEXT, OPT_UNSET, AT(char *, conf, save_dir), .text = &text_path,
	  .otherwise = "state_dir/saved",
	  .help = "Where VMs are saved whose stop is save: a file of about the VM's memory for each.  The directory must "
	          "be root's alone; it is made if need be.  Existing domains of libvirt are saved where libvirt keeps such." },
	{ "log", OPT_WORD, 0, AT(char *, conf, log_level), .names = log_names, .fallback = "\"info\"",
	  .help = "The least important lines that are still logged." },
	{ "services", OPT_OBJECT, OPT_LIST, LIST_AT(struct service_conf, conf, services),
	  .of = &schema_service, .most = SLOTS_MAX, .fallback = "[]", .help = "What is summoned." },
};
SCHEMA(schema_conf, conf, "The whole", "", conf_opts);
