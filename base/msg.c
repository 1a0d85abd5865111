#include "base/msg.h"

#include <assert.h>

/* ---- names ---- */

#define NAME_OF(names, i) ((i) < ARRAY_SIZE(names) && (names)[i] ? (names)[i] : "?")

static const char *const role_names[] = {
	[ROLE_SUPERVISOR] = "supervisor", [ROLE_LAUNCHER] = "launcher", [ROLE_DNS] = "dns",
	[ROLE_SYNPROXY] = "synproxy",	  [ROLE_CONTROL] = "control",	[ROLE_BACKEND] = "backend",
	[ROLE_HOOKS] = "hooks",
};
static_assert(ARRAY_SIZE(role_names) == ROLE_N, "a role has no name");

static const char *const state_names[] = {
	[STATE_OFF] = "off",	       [STATE_STARTING] = "starting",	[STATE_BOOTING] = "booting",
	[STATE_UP] = "up",	       [STATE_ADOPTED] = "adopted",	[STATE_DRAINING] = "draining",
	[STATE_STOPPING] = "stopping", [STATE_FAILED] = "failed",	[STATE_SUSPENDED] = "suspended",
	[STATE_SAVED] = "saved",       [STATE_WARM] = "warm",		[STATE_CONFLICT] = "conflict",
};
static_assert(ARRAY_SIZE(state_names) == STATE_N, "a state has no name");

static const char *const cause_names[] = {
	[CAUSE_DNS] = "dns", [CAUSE_SYN] = "syn", [CAUSE_UDP] = "udp",
	[CAUSE_WOL] = "wol", [CAUSE_CLI] = "cli", [CAUSE_DEPENDENCY] = "dependency",
	[CAUSE_PING] = "ping",
};
static_assert(ARRAY_SIZE(cause_names) == CAUSE_N, "a cause has no name");

static const char *const answer_names[] = {
	[ANSWER_AT_ONCE] = "at-once", [ANSWER_STARTED] = "started", [ANSWER_READY] = "ready",
};
static_assert(ARRAY_SIZE(answer_names) == ANSWER_N, "an answer mode has no name");

static const char *const wake_dns_names[] = {
	[WAKE_DNS_ANY] = "any", [WAKE_DNS_VERIFIED] = "verified", [WAKE_DNS_OFF] = "off",
};
static_assert(ARRAY_SIZE(wake_dns_names) == WAKE_DNS_N, "a wake_dns mode has no name");

static const char *const stop_names[] = {
	[STOP_DESTROY] = "destroy", [STOP_SHUTDOWN] = "shutdown", [STOP_SUSPEND] = "suspend",
	[STOP_SAVE] = "save",
};
static_assert(ARRAY_SIZE(stop_names) == STOP_N, "a stop mode has no name");

static const char *const isolation_names[] = { [ISOLATION_STRICT] = "strict", [ISOLATION_FAST] = "fast" };
static_assert(ARRAY_SIZE(isolation_names) == ISOLATION_N, "an isolation has no name");

static const char *const learn_names[] = {
	[LEARN_ARP] = "arp",	 [LEARN_DHCP] = "dhcp",	  [LEARN_TRAFFIC] = "traffic",
	[LEARN_LEASE] = "lease", [LEARN_AGENT] = "agent", [LEARN_NEIGHBOUR] = "neighbour",
};
static_assert(ARRAY_SIZE(learn_names) == LEARN_N, "a way to learn has no name");

static const char *const hook_event_names[] = {
	[HOOK_UP] = "up", [HOOK_FAILED] = "failed", [HOOK_STOPPED] = "stopped", [HOOK_ALL_IDLE] = "all-idle",
};
static_assert(ARRAY_SIZE(hook_event_names) == HOOK_EVENT_N, "an event of hooks has no name");

static const char *const hold_stage_names[] = {
	[HOLD_STAGE_NONE] = "none",	[HOLD_STAGE_CHECK] = "check",	[HOLD_STAGE_CONFLICT] = "conflict",
	[HOLD_STAGE_SLEEP] = "sleep",	[HOLD_STAGE_FROZEN] = "frozen", [HOLD_STAGE_BOOT] = "boot",
	[HOLD_STAGE_UP] = "up",		[HOLD_STAGE_DRAIN] = "drain",	[HOLD_STAGE_STOP] = "stop",
	[HOLD_STAGE_FAILED] = "failed",
};
static_assert(ARRAY_SIZE(hold_stage_names) == HOLD_STAGE_N, "a hold's stage has no name");

static const char *const verb_names[] = {
	[CTL_LIST] = "list",   [CTL_SHOW] = "show",	  [CTL_START] = "start", [CTL_STOP] = "stop",
	[CTL_WHY] = "why",     [CTL_TRACE] = "trace",	  [CTL_CONSOLE] = "console", [CTL_LOG] = "log",
	[CTL_STATUS] = "status", [CTL_RELOAD] = "reload", [CTL_FLOWS] = "flows",
	[CTL_STATS] = "stats",
	[CTL_DNSSEC_STATUS] = "dnssec-status",	 [CTL_DNSSEC_DS] = "dnssec-ds",	    [CTL_DNSSEC_ENABLE] = "dnssec-enable",
	[CTL_DNSSEC_DISABLE] = "dnssec-disable", [CTL_DNSSEC_ROLL] = "dnssec-roll", [CTL_DNSSEC_DS_SEEN] = "dnssec-ds-seen",
	[CTL_ADD] = "add",     [CTL_SET] = "set",	  [CTL_REMOVE] = "remove", [CTL_RENAME] = "rename",
	[CTL_PIN] = "pin",     [CTL_HISTORY] = "history", [CTL_DIFF] = "diff",	   [CTL_ROLLBACK] = "rollback",
	[CTL_EXPORT] = "export", [CTL_IMPORT] = "import", [CTL_ZONES] = "zones",
	[CTL_ADOPT] = "adopt",
};
static_assert(ARRAY_SIZE(verb_names) == CTL_VERB_N, "a verb has no name");

static const char *const event_names[] = {
	[CTL_EVENT_BEGIN] = "begin", [CTL_EVENT_STATE] = "state",	[CTL_EVENT_WAKE] = "wake",
	[CTL_EVENT_WOKEN] = "woken", [CTL_EVENT_REVISION] = "revision", [CTL_EVENT_ADDRESS] = "address",
	[CTL_EVENT_HYPERVISOR] = "hypervisor", [CTL_EVENT_RELOAD] = "reload", [CTL_EVENT_SAVE] = "save",
};
static_assert(ARRAY_SIZE(event_names) == CTL_EVENT_N, "an event has no name");

static const char *const dns_count_names[] = {
	[DNS_COUNT_UDP4] = "queries_udp4", [DNS_COUNT_UDP6] = "queries_udp6",
	[DNS_COUNT_TCP] = "queries_tcp", [DNS_COUNT_A] = "type_a", [DNS_COUNT_AAAA] = "type_aaaa",
	[DNS_COUNT_NS] = "type_ns", [DNS_COUNT_SOA] = "type_soa", [DNS_COUNT_MX] = "type_mx",
	[DNS_COUNT_TXT] = "type_txt", [DNS_COUNT_PTR] = "type_ptr", [DNS_COUNT_SRV] = "type_srv",
	[DNS_COUNT_HTTPS] = "type_https", [DNS_COUNT_DNSSEC] = "type_dnssec",
	[DNS_COUNT_TRANSFER] = "type_transfer", [DNS_COUNT_ANY] = "type_any",
	[DNS_COUNT_OTHER_TYPE] = "type_other", [DNS_COUNT_NOERROR] = "rcode_noerror",
	[DNS_COUNT_FORMERR] = "rcode_formerr", [DNS_COUNT_SERVFAIL] = "rcode_servfail",
	[DNS_COUNT_NXDOMAIN] = "rcode_nxdomain", [DNS_COUNT_NOTIMP] = "rcode_notimp",
	[DNS_COUNT_REFUSED] = "rcode_refused", [DNS_COUNT_OTHER_RCODE] = "rcode_other",
	[DNS_COUNT_DROPPED] = "dropped", [DNS_COUNT_LIMITED] = "limited", [DNS_COUNT_SLIPPED] = "slipped",
	[DNS_COUNT_PASSED] = "passed", [DNS_COUNT_QUEUE_FULL] = "queue_full",
};
static_assert(ARRAY_SIZE(dns_count_names) == DNS_COUNT_N, "a count has no name");

const char *role_name(unsigned role) { return NAME_OF(role_names, role); }
const char *state_name(unsigned state) { return NAME_OF(state_names, state); }
const char *cause_name(unsigned cause) { return NAME_OF(cause_names, cause); }
const char *answer_name(unsigned when) { return NAME_OF(answer_names, when); }
const char *wake_dns_name(unsigned wake_dns) { return NAME_OF(wake_dns_names, wake_dns); }
const char *stop_name(unsigned how) { return NAME_OF(stop_names, how); }
const char *learn_name(unsigned how) { return NAME_OF(learn_names, how); }
const char *isolation_name(unsigned isolation) { return NAME_OF(isolation_names, isolation); }
const char *hook_event_name(unsigned event) { return NAME_OF(hook_event_names, event); }
const char *hold_stage_name(unsigned stage) { return NAME_OF(hold_stage_names, stage); }
const char *ctl_verb_name(unsigned verb) { return NAME_OF(verb_names, verb); }
const char *ctl_event_name(unsigned event) { return NAME_OF(event_names, event); }
const char *dns_count_name(unsigned what) { return NAME_OF(dns_count_names, what); }

/* ---- codecs ---- */

#define MSG_TABLE(var, type, ...)                                                                  \
	static_assert(sizeof(struct type) <= MSG_BODY_MAX, "raise MSG_BODY_MAX");                  \
	CODEC_TABLE(var, type, __VA_ARGS__)

static const struct codec_table empty = { "empty", 0, 0, NULL };

MSG_TABLE(peer, msg_peer, F_U8(struct msg_peer, role), F_STR(struct msg_peer, name));

MSG_TABLE(listen_sock, msg_listen, F_U8(struct msg_listen, proto), F_BYTES(struct msg_listen, addr),
	     F_U16(struct msg_listen, port), F_U16(struct msg_listen, sharers), F_U16(struct msg_listen, place));

MSG_TABLE(want_backend, msg_want_backend, F_STR(struct msg_want_backend, name),
	     F_STR(struct msg_want_backend, uri), F_U8(struct msg_want_backend, isolation));

MSG_TABLE(want_failed, msg_want_failed, F_STR(struct msg_want_failed, text));

MSG_TABLE(keep, msg_keep, F_STR(struct msg_keep, name));

MSG_TABLE(log_msg, msg_log, F_U8(struct msg_log, level), F_STR(struct msg_log, line));

MSG_TABLE(domain_name, msg_domain_name, F_STR(struct msg_domain_name, text));

MSG_TABLE(address, ip_addr, F_BYTES(struct ip_addr, b));

MSG_TABLE(secret, msg_secret, F_BYTES(struct msg_secret, b));

MSG_TABLE(dns_conf, msg_dns_conf, F_U32(struct msg_dns_conf, max_waiting), F_U32(struct msg_dns_conf, max_tcp),
	     F_U32(struct msg_dns_conf, seq), F_STR(struct msg_dns_conf, nsid), F_U32(struct msg_dns_conf, rate),
	     F_U32(struct msg_dns_conf, slip), F_LIST(struct msg_dns_conf, secrets, n_secrets, secret));

MSG_TABLE(dns_zone, msg_dns_zone, F_STR(struct msg_dns_zone, name), F_STR(struct msg_dns_zone, hostmaster),
	     F_LIST(struct msg_dns_zone, ns, n_ns, domain_name), F_U32(struct msg_dns_zone, serial),
	     F_U32(struct msg_dns_zone, refresh_s), F_U32(struct msg_dns_zone, retry_s),
	     F_U32(struct msg_dns_zone, expire_s), F_U32(struct msg_dns_zone, minimum_s),
	     F_U32(struct msg_dns_zone, ttl_s));

MSG_TABLE(dns_forward, msg_dns_forward, F_BYTES(struct msg_dns_forward, addr),
	     F_U16(struct msg_dns_forward, port));

MSG_TABLE(dns_allow, msg_dns_allow, F_BYTES(struct msg_dns_allow, prefix.addr),
	     F_U8(struct msg_dns_allow, prefix.len));

MSG_TABLE(dns_zone_file, msg_dns_zone_file, F_STR(struct msg_dns_zone_file, zone),
	     F_STR(struct msg_dns_zone_file, path), F_BOOL(struct msg_dns_zone_file, lenient));

MSG_TABLE(dns_key, msg_dns_key, F_STR(struct msg_dns_key, zone), F_U16(struct msg_dns_key, tag),
	     F_U16(struct msg_dns_key, flags), F_U8(struct msg_dns_key, algorithm), F_BOOL(struct msg_dns_key, publish),
	     F_BOOL(struct msg_dns_key, sign), F_BOOL(struct msg_dns_key, sign_keys), F_BOOL(struct msg_dns_key, cds));

MSG_TABLE(dns_tsig_key, msg_dns_tsig_key, F_STR(struct msg_dns_tsig_key, name),
	     F_U8(struct msg_dns_tsig_key, algorithm), F_U8(struct msg_dns_tsig_key, secret_n),
	     F_BYTES(struct msg_dns_tsig_key, secret));

MSG_TABLE(dns_secondary, msg_dns_secondary, F_STR(struct msg_dns_secondary, zone),
	     F_BYTES(struct msg_dns_secondary, addr), F_U16(struct msg_dns_secondary, port),
	     F_STR(struct msg_dns_secondary, key));

MSG_TABLE(dns_transfer, msg_dns_transfer, F_STR(struct msg_dns_transfer, zone),
	     F_BYTES(struct msg_dns_transfer, prefix.addr), F_U8(struct msg_dns_transfer, prefix.len),
	     F_STR(struct msg_dns_transfer, key));

MSG_TABLE(dns_zone_serial, msg_dns_zone_serial, F_STR(struct msg_dns_zone_serial, zone),
	     F_U32(struct msg_dns_zone_serial, serial), F_U32(struct msg_dns_zone_serial, ttl_s));

MSG_TABLE(dns_loaded, msg_dns_loaded, F_U32(struct msg_dns_loaded, seq), F_I32(struct msg_dns_loaded, error),
	     F_STR(struct msg_dns_loaded, zone), F_STR(struct msg_dns_loaded, text));

MSG_TABLE(dns_service, msg_dns_service, F_U32(struct msg_dns_service, svc), F_U32(struct msg_dns_service, gen),
	     F_STR(struct msg_dns_service, name), F_U8(struct msg_dns_service, state),
	     F_U8(struct msg_dns_service, answer), F_U8(struct msg_dns_service, wake_dns),
	     F_BOOL(struct msg_dns_service, unknown),
	     F_U32(struct msg_dns_service, ttl_s), F_U32(struct msg_dns_service, ttl_down_s),
	     F_U32(struct msg_dns_service, max_hold_ms), F_LIST(struct msg_dns_service, names, n_names, domain_name),
	     F_LIST(struct msg_dns_service, addrs, n_addrs, address), F_BOOL(struct msg_dns_service, template4),
	     F_BOOL(struct msg_dns_service, template6), F_LIST(struct msg_dns_service, fallback, n_fallback, address));

MSG_TABLE(dns_changing, msg_dns_changing, F_U32(struct msg_dns_changing, seq),
	     F_LIST(struct msg_dns_changing, names, n_names, domain_name),
	     F_LIST(struct msg_dns_changing, addrs, n_addrs, address));

MSG_TABLE(dns_state, msg_dns_state, F_U32(struct msg_dns_state, svc), F_U32(struct msg_dns_state, gen),
	     F_U8(struct msg_dns_state, state), F_U8(struct msg_dns_state, answer), F_U32(struct msg_dns_state, seq));

MSG_TABLE(wake, msg_wake, F_U32(struct msg_wake, svc), F_U32(struct msg_wake, gen), F_U8(struct msg_wake, cause),
	     F_U32(struct msg_wake, token), F_BYTES(struct msg_wake, client), F_U16(struct msg_wake, client_port),
	     F_U16(struct msg_wake, port), F_BOOL(struct msg_wake, verified), F_STR(struct msg_wake, label),
	     F_U64(struct msg_wake, t_ns));

MSG_TABLE(dns_refused, msg_dns_refused, F_U32(struct msg_dns_refused, svc), F_U32(struct msg_dns_refused, gen),
	     F_U32(struct msg_dns_refused, token), F_U8(struct msg_dns_refused, how),
	     F_STR(struct msg_dns_refused, text));

MSG_TABLE(dns_answered, msg_dns_answered, F_U32(struct msg_dns_answered, svc),
	     F_U32(struct msg_dns_answered, gen), F_U32(struct msg_dns_answered, token),
	     F_U16(struct msg_dns_answered, rcode), F_BYTES(struct msg_dns_answered, client),
	     F_U64(struct msg_dns_answered, t_query_ns), F_U64(struct msg_dns_answered, t_answer_ns));

MSG_TABLE(port, msg_port, F_U16(struct msg_port, port));

MSG_TABLE(probe_start, msg_probe_start, F_U32(struct msg_probe_start, svc), F_U32(struct msg_probe_start, gen),
	     F_BYTES(struct msg_probe_start, vm_mac), F_BYTES(struct msg_probe_start, probe_mac),
	     F_BYTES(struct msg_probe_start, probe_ip4), F_BYTES(struct msg_probe_start, probe_ip6),
	     F_U32(struct msg_probe_start, interval_ms), F_LIST(struct msg_probe_start, addrs, n_addrs, address),
	     F_LIST(struct msg_probe_start, tcp, n_tcp, port));

MSG_TABLE(probe_stop, msg_probe_stop, F_U32(struct msg_probe_stop, svc), F_U32(struct msg_probe_stop, gen));

MSG_TABLE(probe_event, msg_probe_event, F_U32(struct msg_probe_event, svc), F_U32(struct msg_probe_event, gen),
	     F_U8(struct msg_probe_event, what), F_BYTES(struct msg_probe_event, addr),
	     F_U16(struct msg_probe_event, port), F_U64(struct msg_probe_event, t_ns));

MSG_TABLE(learn_start, msg_learn_start, F_U32(struct msg_learn_start, svc), F_U32(struct msg_learn_start, gen),
	     F_BYTES(struct msg_learn_start, vm_mac), F_BYTES(struct msg_learn_start, probe_mac),
	     F_BYTES(struct msg_learn_start, probe_ip4), F_BYTES(struct msg_learn_start, addr),
	     F_BYTES(struct msg_learn_start, net));

MSG_TABLE(learn_tell, msg_learn_tell, F_U32(struct msg_learn_tell, svc), F_U32(struct msg_learn_tell, gen),
	     F_BOOL(struct msg_learn_tell, known), F_U8(struct msg_learn_tell, how),
	     F_BYTES(struct msg_learn_tell, addr));

MSG_TABLE(learn_found, msg_learn_found, F_U32(struct msg_learn_found, svc), F_U32(struct msg_learn_found, gen),
	     F_U8(struct msg_learn_found, how), F_BYTES(struct msg_learn_found, addr));

MSG_TABLE(hold_conf, msg_hold_conf, F_U32(struct msg_hold_conf, max_held), F_U32(struct msg_hold_conf, held_per_source));

MSG_TABLE(hold_bridge, msg_hold_bridge, F_U32(struct msg_hold_bridge, bridge), F_STR(struct msg_hold_bridge, name),
	     F_U32(struct msg_hold_bridge, conflict_probe_ms));

MSG_TABLE(hold_service, msg_hold_service, F_U32(struct msg_hold_service, svc), F_U32(struct msg_hold_service, gen),
	     F_STR(struct msg_hold_service, name), F_U32(struct msg_hold_service, bridge),
	     F_BYTES(struct msg_hold_service, mac), F_LIST(struct msg_hold_service, addrs, n_addrs, address),
	     F_LIST(struct msg_hold_service, ports, n_ports, port), F_U8(struct msg_hold_service, stage),
	     F_BOOL(struct msg_hold_service, at_vm), F_U8(struct msg_hold_service, ping),
	     F_BOOL(struct msg_hold_service, defend), F_BOOL(struct msg_hold_service, wakes),
	     F_U32(struct msg_hold_service, hold_udp), F_U32(struct msg_hold_service, max_hold_ms));

MSG_TABLE(hold_stage, msg_hold_stage, F_U32(struct msg_hold_stage, svc), F_U32(struct msg_hold_stage, gen),
	     F_U8(struct msg_hold_stage, stage), F_U32(struct msg_hold_stage, seq));

MSG_TABLE(hold_port, msg_hold_port, F_U32(struct msg_hold_port, svc), F_U32(struct msg_hold_port, gen),
	     F_BYTES(struct msg_hold_port, vm_mac), F_BYTES(struct msg_hold_port, probe_mac),
	     F_BYTES(struct msg_hold_port, probe_ip4), F_BYTES(struct msg_hold_port, probe_ip6));

MSG_TABLE(hold_moved, msg_hold_moved, F_U32(struct msg_hold_moved, svc), F_U32(struct msg_hold_moved, gen));

MSG_TABLE(hold_drop, msg_hold_drop, F_U32(struct msg_hold_drop, svc), F_U32(struct msg_hold_drop, gen),
	     F_BYTES(struct msg_hold_drop, client), F_BOOL(struct msg_hold_drop, reset));

MSG_TABLE(hold_event, msg_hold_event, F_U32(struct msg_hold_event, svc), F_U32(struct msg_hold_event, gen),
	     F_U8(struct msg_hold_event, what), F_BYTES(struct msg_hold_event, addr),
	     F_BYTES(struct msg_hold_event, mac), F_U16(struct msg_hold_event, port),
	     F_U32(struct msg_hold_event, n), F_U64(struct msg_hold_event, t_ns));

MSG_TABLE(hold_counts, msg_hold_counts, F_U32(struct msg_hold_counts, svc), F_U32(struct msg_hold_counts, gen),
	     F_U32(struct msg_hold_counts, held), F_U64(struct msg_hold_counts, syns),
	     F_U64(struct msg_hold_counts, parked), F_U64(struct msg_hold_counts, released),
	     F_U64(struct msg_hold_counts, refused), F_U64(struct msg_hold_counts, expired),
	     F_U64(struct msg_hold_counts, dropped), F_U64(struct msg_hold_counts, strays),
	     F_U64(struct msg_hold_counts, datagrams), F_U64(struct msg_hold_counts, arps),
	     F_U64(struct msg_hold_counts, conflicts));

MSG_TABLE(flows_ask, msg_flows_ask, F_U32(struct msg_flows_ask, id), F_BOOL(struct msg_flows_ask, all),
	     F_U32(struct msg_flows_ask, svc), F_U32(struct msg_flows_ask, gen));

MSG_TABLE(flow, msg_flow, F_U32(struct msg_flow, svc), F_U32(struct msg_flow, gen), F_U8(struct msg_flow, proto),
	     F_BYTES(struct msg_flow, client), F_BYTES(struct msg_flow, addr), F_U16(struct msg_flow, client_port),
	     F_U16(struct msg_flow, port), F_U64(struct msg_flow, since_ns), F_U64(struct msg_flow, newest_ns),
	     F_U32(struct msg_flow, packets));

MSG_TABLE(flows_rows, msg_flows_rows, F_U32(struct msg_flows_rows, id), F_LIST(struct msg_flows_rows, flows, n, flow));

MSG_TABLE(flows_end, msg_flows_end, F_U32(struct msg_flows_end, id), F_U32(struct msg_flows_end, total));

MSG_TABLE(ctl_request, msg_ctl_request, F_U32(struct msg_ctl_request, id), F_U8(struct msg_ctl_request, verb),
	     F_STR(struct msg_ctl_request, service), F_U32(struct msg_ctl_request, n),
	     F_STR(struct msg_ctl_request, zone), F_STR(struct msg_ctl_request, algorithm),
	     F_U32(struct msg_ctl_request, ds_ttl_s), F_BOOL(struct msg_ctl_request, has_ds_ttl),
	     F_BOOL(struct msg_ctl_request, ds_gone), F_BOOL(struct msg_ctl_request, force),
	     F_STR(struct msg_ctl_request, to), F_U64(struct msg_ctl_request, revision),
	     F_BOOL(struct msg_ctl_request, dry_run), F_BOOL(struct msg_ctl_request, more),
	     F_BOOL(struct msg_ctl_request, exact), F_BOOL(struct msg_ctl_request, fresh),
	     F_U32(struct msg_ctl_request, client),
	     F_STR(struct msg_ctl_request, record),
	     F_BOOL(struct msg_ctl_request, follow), F_BOOL(struct msg_ctl_request, admin),
	     F_U32(struct msg_ctl_request, uid));

MSG_TABLE(ctl_cancel, msg_ctl_cancel, F_U32(struct msg_ctl_cancel, id));

MSG_TABLE(ctl_field, msg_ctl_field, F_STR(struct msg_ctl_field, key), F_U8(struct msg_ctl_field, kind),
	     F_STR(struct msg_ctl_field, value));

MSG_TABLE(ctl_row, msg_ctl_row, F_U32(struct msg_ctl_row, id),
	     F_LIST(struct msg_ctl_row, fields, n_fields, ctl_field));

MSG_TABLE(byte, msg_byte, F_U8(struct msg_byte, b));

MSG_TABLE(ctl_data, msg_ctl_data, F_U32(struct msg_ctl_data, id), F_LIST(struct msg_ctl_data, data, n, byte));

MSG_TABLE(ctl_end, msg_ctl_end, F_U32(struct msg_ctl_end, id), F_I32(struct msg_ctl_end, error),
	     F_STR(struct msg_ctl_end, text));

MSG_TABLE(ctl_watch, msg_ctl_watch, F_BOOL(struct msg_ctl_watch, on));

MSG_TABLE(ctl_event, msg_ctl_event, F_U64(struct msg_ctl_event, number), F_U64(struct msg_ctl_event, wall_ms),
	     F_U8(struct msg_ctl_event, event), F_STR(struct msg_ctl_event, service),
	     F_U8(struct msg_ctl_event, state), F_U8(struct msg_ctl_event, before),
	     F_U64(struct msg_ctl_event, wake), F_U8(struct msg_ctl_event, cause),
	     F_BYTES(struct msg_ctl_event, client), F_U64(struct msg_ctl_event, ms),
	     F_STR(struct msg_ctl_event, result), F_U64(struct msg_ctl_event, revision),
	     F_U32(struct msg_ctl_event, changes), F_U32(struct msg_ctl_event, uid),
	     F_STR(struct msg_ctl_event, text));

MSG_TABLE(disk, msg_disk, F_STR(struct msg_disk, path), F_STR(struct msg_disk, format),
	     F_BOOL(struct msg_disk, read_only));

MSG_TABLE(nic, msg_nic, F_BYTES(struct msg_nic, mac), F_STR(struct msg_nic, ifname),
	     F_STR(struct msg_nic, bridge), F_STR(struct msg_nic, kind));

MSG_TABLE(be_start, msg_be_start, F_U32(struct msg_be_start, req), F_U32(struct msg_be_start, svc),
	     F_U32(struct msg_be_start, gen), F_STR(struct msg_be_start, name), F_STR(struct msg_be_start, uuid),
	     F_STR(struct msg_be_start, domain), F_STR(struct msg_be_start, xl_config), F_STR(struct msg_be_start, kernel),
	     F_STR(struct msg_be_start, initrd), F_STR(struct msg_be_start, cmdline),
	     F_STR(struct msg_be_start, arch), F_STR(struct msg_be_start, machine),
	     F_U16(struct msg_be_start, vcpus), F_U64(struct msg_be_start, memory_bytes),
	     F_BOOL(struct msg_be_start, paused), F_BOOL(struct msg_be_start, guest_channel),
	     F_STR(struct msg_be_start, save), F_BOOL(struct msg_be_start, fresh),
	     F_LIST(struct msg_be_start, disks, n_disks, disk),
	     F_LIST(struct msg_be_start, nics, n_nics, nic));

MSG_TABLE(be_target, msg_be_target, F_U32(struct msg_be_target, req), F_U32(struct msg_be_target, svc),
	     F_U32(struct msg_be_target, gen), F_STR(struct msg_be_target, domain), F_U8(struct msg_be_target, how),
	     F_STR(struct msg_be_target, xl_config), F_STR(struct msg_be_target, save));

MSG_TABLE(be_console, msg_be_console, F_U32(struct msg_be_console, svc), F_U32(struct msg_be_console, gen),
	     F_STR(struct msg_be_console, name), F_BOOL(struct msg_be_console, over));

MSG_TABLE(process, msg_process, F_STR(struct msg_process, name), F_U32(struct msg_process, pid),
	     F_U32(struct msg_process, starts));

MSG_TABLE(be_hello, msg_be_hello, F_BOOL(struct msg_be_hello, connected), F_BOOL(struct msg_be_hello, kvm),
	     F_STR(struct msg_be_hello, version), F_STR(struct msg_be_hello, text));

MSG_TABLE(be_result, msg_be_result, F_U32(struct msg_be_result, req), F_U32(struct msg_be_result, svc),
	     F_U32(struct msg_be_result, gen), F_I32(struct msg_be_result, error),
	     F_STR(struct msg_be_result, text), F_U64(struct msg_be_result, t_begin_ns),
	     F_U64(struct msg_be_result, t_done_ns), F_STR(struct msg_be_result, uuid),
	     F_I32(struct msg_be_result, domain_id), F_LIST(struct msg_be_result, nics, n_nics, nic));

MSG_TABLE(be_address, msg_be_address, F_BYTES(struct msg_be_address, mac), F_BYTES(struct msg_be_address, addr),
	     F_U8(struct msg_be_address, how));

MSG_TABLE(be_domain, msg_be_domain, F_U32(struct msg_be_domain, req), F_STR(struct msg_be_domain, name),
	     F_STR(struct msg_be_domain, uuid), F_I32(struct msg_be_domain, domain_id),
	     F_U8(struct msg_be_domain, state), F_U64(struct msg_be_domain, memory_bytes),
	     F_BOOL(struct msg_be_domain, writable_disk), F_LIST(struct msg_be_domain, nics, n_nics, nic),
	     F_LIST(struct msg_be_domain, addrs, n_addrs, be_address));

MSG_TABLE(be_event, msg_be_event, F_STR(struct msg_be_event, name), F_STR(struct msg_be_event, uuid),
	     F_I32(struct msg_be_event, domain_id), F_U8(struct msg_be_event, what),
	     F_STR(struct msg_be_event, text));

MSG_TABLE(be_guest, msg_be_guest, F_STR(struct msg_be_guest, name), F_STR(struct msg_be_guest, uuid));

MSG_TABLE(key, msg_key, F_STR(struct msg_key, text));

MSG_TABLE(be_watch, msg_be_watch, F_U32(struct msg_be_watch, svc), F_U32(struct msg_be_watch, gen),
	     F_STR(struct msg_be_watch, domain), F_I32(struct msg_be_watch, domain_id),
	     F_LIST(struct msg_be_watch, keys, n_keys, key));

MSG_TABLE(be_key, msg_be_key, F_U32(struct msg_be_key, svc), F_U32(struct msg_be_key, gen),
	     F_I32(struct msg_be_key, domain_id), F_STR(struct msg_be_key, key));

MSG_TABLE(guest, msg_guest, F_U32(struct msg_guest, svc), F_U32(struct msg_guest, gen), F_U32(struct msg_guest, stream));

MSG_TABLE(guest_said, msg_guest_said, F_U32(struct msg_guest_said, svc), F_U32(struct msg_guest_said, gen),
	     F_U32(struct msg_guest_said, stream), F_BOOL(struct msg_guest_said, ready),
	     F_U8(struct msg_guest_said, use), F_BOOL(struct msg_guest_said, has_lease),
	     F_U32(struct msg_guest_said, lease_s), F_BOOL(struct msg_guest_said, garbled),
	     F_BOOL(struct msg_guest_said, ended));

MSG_TABLE(count, msg_count, F_U64(struct msg_count, n));

MSG_TABLE(dns_counts, msg_dns_counts, F_U16(struct msg_dns_counts, workers),
	     F_LIST(struct msg_dns_counts, counts, n, count));

MSG_TABLE(hook, msg_hook, F_U32(struct msg_hook, on), F_STR(struct msg_hook, exec), F_STR(struct msg_hook, webhook),
	     F_U32(struct msg_hook, timeout_ms));

MSG_TABLE(hook_event, msg_hook_event, F_U8(struct msg_hook_event, event), F_U64(struct msg_hook_event, wall_ms),
	     F_STR(struct msg_hook_event, service), F_U8(struct msg_hook_event, cause),
	     F_BYTES(struct msg_hook_event, client), F_U64(struct msg_hook_event, wake_ms),
	     F_STR(struct msg_hook_event, reason));

MSG_TABLE(hook_counts, msg_hook_counts, F_U64(struct msg_hook_counts, done), F_U64(struct msg_hook_counts, failed),
	     F_U64(struct msg_hook_counts, dropped));

MSG_TABLE(metrics_id, msg_metrics_id, F_U32(struct msg_metrics_id, id));

MSG_TABLE(sample, msg_sample, F_U8(struct msg_sample, metric), F_STR(struct msg_sample, labels[0].text),
	     F_STR(struct msg_sample, labels[1].text), F_U64(struct msg_sample, value));
static_assert(METRIC_LABELS_MAX == 2, "a label is not sent");

MSG_TABLE(metrics, msg_metrics, F_U32(struct msg_metrics, id), F_LIST(struct msg_metrics, samples, n, sample));

MSG_TABLE(histogram, msg_histogram, F_U32(struct msg_histogram, id), F_U8(struct msg_histogram, metric),
	     F_STR(struct msg_histogram, label), F_U64(struct msg_histogram, sum_ns),
	     F_LIST(struct msg_histogram, buckets, n, count));

static const struct {
	const char *name;
	const struct codec_table *codec;
} types[MSG_TYPE_MAX] = {
#define TYPE(type, table) [type] = { #type, &(table) }
	TYPE(MSG_PEER, peer),
	TYPE(MSG_LISTEN, listen_sock),
	TYPE(MSG_SLOTS, empty),
	TYPE(MSG_RELOAD, empty),
	TYPE(MSG_STOP, empty),
	TYPE(MSG_PING, empty),
	TYPE(MSG_HOLD_MEMORY, empty),
	TYPE(MSG_KEPT, keep),
	TYPE(MSG_LISTEN_END, listen_sock),
	TYPE(MSG_PROCESS, process),
	TYPE(MSG_KEEP, keep),
	TYPE(MSG_READY, empty),
	TYPE(MSG_PONG, empty),
	TYPE(MSG_RELOADED, empty),
	TYPE(MSG_STUCK, peer),
	TYPE(MSG_WANT_LISTEN, listen_sock),
	TYPE(MSG_WANT_BACKEND, want_backend),
	TYPE(MSG_WANT_END, empty),
	TYPE(MSG_WANT_HOOKS, empty),
	TYPE(MSG_WANT_FAILED, want_failed),
	TYPE(MSG_BEGIN, empty),
	TYPE(MSG_END, empty),
	TYPE(MSG_LOG, log_msg),
	TYPE(MSG_DNS_CONF, dns_conf),
	TYPE(MSG_DNS_ZONE, dns_zone),
	TYPE(MSG_DNS_FORWARD, dns_forward),
	TYPE(MSG_DNS_ALLOW, dns_allow),
	TYPE(MSG_DNS_EXEMPT, dns_allow),
	TYPE(MSG_DNS_ZONE_FILE, dns_zone_file),
	TYPE(MSG_DNS_KEY, dns_key),
	TYPE(MSG_DNS_SERVICE, dns_service),
	TYPE(MSG_DNS_STATE, dns_state),
	TYPE(MSG_DNS_REFUSED, dns_refused),
	TYPE(MSG_DNS_STATE_ACK, dns_state),
	TYPE(MSG_DNS_CHANGING, dns_changing),
	TYPE(MSG_DNS_CHANGING_ACK, dns_changing),
	TYPE(MSG_DNS_ANSWERED, dns_answered),
	TYPE(MSG_DNS_TSIG_KEY, dns_tsig_key),
	TYPE(MSG_DNS_SECONDARY, dns_secondary),
	TYPE(MSG_DNS_TRANSFER, dns_transfer),
	TYPE(MSG_DNS_ZONE_SERIAL, dns_zone_serial),
	TYPE(MSG_DNS_LOADED, dns_loaded),
	TYPE(MSG_DNS_COUNTS_ASK, empty),
	TYPE(MSG_DNS_COUNTS, dns_counts),
	TYPE(MSG_WAKE, wake),
	TYPE(MSG_PROBE_START, probe_start),
	TYPE(MSG_PROBE_STOP, probe_stop),
	TYPE(MSG_PROBE_EVENT, probe_event),
	TYPE(MSG_LEARN_START, learn_start),
	TYPE(MSG_LEARN_STOP, probe_stop),
	TYPE(MSG_LEARN_TELL, learn_tell),
	TYPE(MSG_LEARN_FOUND, learn_found),
	TYPE(MSG_HOLD_PORT, hold_port),
	TYPE(MSG_HOLD_STAGE, hold_stage),
	TYPE(MSG_HOLD_MOVED, hold_moved),
	TYPE(MSG_HOLD_DROP, hold_drop),
	TYPE(MSG_FLOWS_ASK, flows_ask),
	TYPE(MSG_GUEST_OPEN, guest),
	TYPE(MSG_GUEST_CLOSE, guest),
	TYPE(MSG_GUEST_SAID, guest_said),
	TYPE(MSG_HOLD_CONF, hold_conf),
	TYPE(MSG_HOLD_BRIDGE, hold_bridge),
	TYPE(MSG_HOLD_SERVICE, hold_service),
	TYPE(MSG_HOLD_EVENT, hold_event),
	TYPE(MSG_HOLD_ACK, hold_stage),
	TYPE(MSG_HOLD_COUNTS, hold_counts),
	TYPE(MSG_FLOWS_ROWS, flows_rows),
	TYPE(MSG_FLOWS_END, flows_end),
	TYPE(MSG_CTL_REQUEST, ctl_request),
	TYPE(MSG_CTL_CANCEL, ctl_cancel),
	TYPE(MSG_CTL_WATCH, ctl_watch),
	TYPE(MSG_CTL_ROW, ctl_row),
	TYPE(MSG_CTL_DATA, ctl_data),
	TYPE(MSG_CTL_END, ctl_end),
	TYPE(MSG_CTL_EVENT, ctl_event),
	TYPE(MSG_METRICS_ASK, metrics_id),
	TYPE(MSG_METRICS, metrics),
	TYPE(MSG_METRICS_HISTOGRAM, histogram),
	TYPE(MSG_METRICS_END, metrics_id),
	TYPE(MSG_BE_START, be_start),
	TYPE(MSG_BE_STOP, be_target),
	TYPE(MSG_BE_RESUME, be_target),
	TYPE(MSG_BE_INSPECT, be_target),
	TYPE(MSG_BE_LIST, be_target),
	TYPE(MSG_BE_CONSOLE, be_console),
	TYPE(MSG_BE_WATCH, be_watch),
	TYPE(MSG_BE_HELLO, be_hello),
	TYPE(MSG_BE_RESULT, be_result),
	TYPE(MSG_BE_DOMAIN, be_domain),
	TYPE(MSG_BE_LIST_END, be_target),
	TYPE(MSG_BE_EVENT, be_event),
	TYPE(MSG_BE_GUEST, be_guest),
	TYPE(MSG_BE_KEY, be_key),
	TYPE(MSG_HOOK, hook),
	TYPE(MSG_HOOK_EVENT, hook_event),
	TYPE(MSG_HOOK_COUNTS, hook_counts),
#undef TYPE
};

const struct codec_table *msg_codec(enum msg_type type)
{
	return (unsigned)type < MSG_TYPE_MAX ? types[type].codec : NULL;
}

const char *msg_name(enum msg_type type)
{
	return (unsigned)type < MSG_TYPE_MAX && types[type].name ? types[type].name : "?";
}
