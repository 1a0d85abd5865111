/* The options of one service, beside those of its machine: its addresses, names, ports, and what becomes of its
 * clients.
 */
#include <strings.h>

#include "config/check.h"
#include "config/load.h"

/* ---- addresses ---- */

/* Bits behind the network's length: all zero, all one. */
static void host_bits(const struct ip_prefix *p, bool *zeros, bool *ones)
{
	*zeros = *ones = true;
	for (unsigned i = p->len; i < 128; i++) {
		if (p->addr.b[i / 8] & (0x80u >> (i % 8)))
			*zeros = false;
		else
			*ones = false;
	}
}

/* Why no VM can have this address, or NULL. */
static const char *address_problem(const struct ip_prefix *p)
{
	const uint8_t *b = p->addr.b;
	bool v4 = ip_is_v4(&p->addr), zeros, ones;
	unsigned bits = prefix_bits(p);

	host_bits(p, &zeros, &ones);
	if (bits == 0)
		return "a network's length of 0 is no network";
	if (v4 ? b[12] == 0 : ip_is_zero(&p->addr))
		return "this is no host's address";
	if (v4 ? b[12] == 127
	       : ip_is_zero(&p->addr) || (b[15] == 1 && memcmp(b, (const uint8_t[15]){ 0 }, 15) == 0))
		return "this is a loopback address";
	if (v4 ? b[12] >= 224 : b[0] == 0xff)
		return "this is a multicast or reserved address";
	if (!v4 && b[0] == 0xfe && (b[1] & 0xc0) == 0x80)
		return "a link-local address has no meaning in DNS";
	if (v4 ? bits > 30 : bits > 126)
		return NULL;
	if (zeros)
		return "this is the network's own address, not a host's";
	if (v4 && ones)
		return "this is the network's broadcast address";
	return NULL;
}

/* It was told already; nobody knows what was meant. */
static bool is_wrong(const struct service_ip *ip)
{
	return ip->how == IP_GIVEN && ip->len == 0 && ip_is_zero(&ip->addr);
}

static bool learns(const struct service_conf *s)
{
	for (size_t i = 0; i < s->ip.n; i++) {
		if (s->ip.v[i].how == IP_LEARNED)
			return true;
	}
	return false;
}

/* What the VM has is one address, and nothing else. */
static void check_learned(const struct service_conf *s, size_t nth, const struct spot *where, struct mistakes *m)
{
	for (size_t i = 0; i < s->ip.n; i++) {
		const struct service_ip *other = &s->ip.v[i];

		if (i == nth || is_wrong(other) || !ip_is_v4(&other->addr))
			continue;
		if (i < nth || other->how != IP_LEARNED)
			mistake(m, where, "\"learned\" is the service's one IPv4 address: no other can be beside it");
		return;
	}
}

static void check_addresses(const struct service_conf *s, const struct spot *where, struct mistakes *m)
{
	struct spot ips = spot_member(where, "ip");

	for (size_t i = 0; i < s->ip.n; i++) {
		struct spot ip = spot_nth(&ips, i);
		const char *problem = s->ip.v[i].how == IP_GIVEN ? address_problem(&s->ip.v[i].prefix) : NULL;

		if (problem && !is_wrong(&s->ip.v[i]))
			mistake(m, &ip, "%s", problem);
		if (s->ip.v[i].how == IP_LEARNED)
			check_learned(s, i, &ip, m);
	}
}

static bool has_family(const struct service_conf *s, bool v4)
{
	for (size_t i = 0; i < s->ip.n; i++) {
		if (is_wrong(&s->ip.v[i]) || ip_is_v4(&s->ip.v[i].addr) == v4)
			return true;
	}
	return s->ip.n == 0;
}

static bool is_own_address(const struct service_conf *s, const struct ip_addr *a)
{
	for (size_t i = 0; i < s->ip.n; i++) {
		if (service_ip_known(&s->ip.v[i]) && ip_equal(&s->ip.v[i].addr, a))
			return true;
	}
	return false;
}

static void check_fallback(const struct service_conf *s, const struct spot *where, struct mistakes *m)
{
	struct spot list = spot_member(where, "fallback_ip"), ttl = spot_member(where, "ttl_down");

	for (size_t i = 0; i < s->fallback_ip.n; i++) {
		struct spot at = spot_nth(&list, i);
		const char *text = s->fallback_ip.v[i];
		struct ip_addr a;

		if (ip_parse(text, &a) < 0)
			continue;
		if (is_own_address(s, &a))
			mistake(m, &at, "\"%s\" is the service's own address", text);
		else if (!has_family(s, ip_is_v4(&a)))
			mistake(m, &at, "nobody would be given \"%s\": ip has no %s address", text,
			        ip_is_v4(&a) ? "IPv4" : "IPv6");
	}
	if (s->ttl_down_ms > s->ttl_ms && s->ttl_ms > 0) /* 0: it may be wrong, and told already */
		mistake(m, &ttl, "is more than ttl: what is known while the VM is down would outlive what is said "
		                 "when it is up");
}

static void check_gateway(const struct conf *c, const struct service_conf *s, const struct spot *where,
                          struct mistakes *m)
{
	struct spot gateway = spot_member(where, "gateway");
	bool inside = false, own = false;
	struct ip_addr a;

	if (!s->gateway[0] || ip_parse(s->gateway, &a) < 0)
		return;
	for (size_t i = 0; i < s->ip.n; i++) {
		if (is_wrong(&s->ip.v[i]) || s->ip.v[i].how == IP_LEARNED)
			return;
		inside = inside || (s->ip.v[i].how == IP_GIVEN ? prefix_contains(&s->ip.v[i].prefix, &a)
		                                               : check_is_beside_pool(c, s, &a));
		own = own || (s->ip.v[i].how == IP_GIVEN && ip_equal(&s->ip.v[i].addr, &a));
	}
	if (own)
		mistake(m, &gateway, "\"%s\" is the service's own address", s->gateway);
	else if (!inside && s->ip.n > 0)
		mistake(m, &gateway, "\"%s\" is in no network of ip", s->gateway);
}

/* ---- names ---- */

static bool is_in_zone(const char *name, const char *zone)
{
	size_t n = strlen(name), z = strlen(zone);

	if (n < z || strcasecmp(name + n - z, zone) != 0)
		return false;
	return n == z || name[n - z - 1] == '.';
}

static void check_dns_names(const struct conf *c, const struct service_conf *s, const struct spot *where,
                            struct mistakes *m)
{
	struct spot names = spot_member(where, "dns");

	for (size_t i = 0; i < s->dns.n; i++) {
		struct spot name = spot_nth(&names, i);
		bool inside = !s->dns.v[i][0] || c->zones.n == 0;

		for (size_t z = 0; z < c->zones.n && !inside; z++)
			inside = !c->zones.v[z].name[0] || is_in_zone(s->dns.v[i], c->zones.v[z].name);
		if (!inside)
			mistake(m, &name, "\"%s\" is in none of the zones: end it with \".%s\", or add its zone to \"zones\"",
				s->dns.v[i], c->zones.v[0].name);
	}
}

/* ---- ports and readiness ---- */

static void check_ports(const struct service_conf *s, const struct spot *where, struct mistakes *m)
{
	struct spot ports = spot_member(where, "ports");

	for (size_t i = 1; i < s->ports.n; i++) {
		struct spot port = spot_nth(&ports, i);

		for (size_t k = 0; k < i; k++) {
			if (s->ports.v[i] == s->ports.v[k] && s->ports.v[i] != 0) {
				mistake(m, &port, "%u is there twice", s->ports.v[i]);
				break;
			}
		}
	}
}

static bool same_rule(const struct ready_rule *a, const struct ready_rule *b)
{
	return a->kind == b->kind && a->port == b->port && a->delay_ms == b->delay_ms && strcmp(a->key, b->key) == 0;
}

static bool is_on_xen(const struct conf *c, const struct service_conf *s)
{
	for (size_t i = 0; i < c->hypervisors.n; i++) {
		const struct hypervisor_conf *hv = &c->hypervisors.v[i];

		if (strcmp(hv->name, s->machine.hypervisor) == 0)
			return strncmp(hv->uri, "libxl:", 6) == 0;
	}
	return true; /* there is none of that name, which is told elsewhere */
}

static void check_rule(const struct conf *c, const struct service_conf *s, size_t i, const struct spot *where,
                       struct mistakes *m)
{
	const struct ready_rule *rule = &s->ready.v[i];

	if (rule->kind == READY_TCP && s->ports.n == 0)
		mistake(m, where, "\"tcp\" asks each of ports, but there are none");
	if (rule->kind == READY_DELAY && s->start_timeout_ms > 0 && rule->delay_ms >= s->start_timeout_ms)
		mistake(m, where,
		        "the delay is not shorter than start_timeout: the VM would never be ready in time");
	if (rule->kind == READY_KEY && !is_on_xen(c, s))
		mistake(m, where,
		        "hypervisor \"%s\" has no XenStore, which Xen alone has: \"guest\" waits for what the guest says",
		        s->machine.hypervisor);
	for (size_t k = 0; k < i; k++) {
		if (same_rule(rule, &s->ready.v[k]))
			return mistake(m, where, "this is there twice");
	}
}

static void check_ready(const struct conf *c, const struct service_conf *s, const struct spot *where, struct mistakes *m)
{
	struct spot ready = spot_member(where, "ready");
	size_t tcp = s->ports.n, keys = 0;

	for (size_t i = 0; i < s->ready.n; i++) {
		struct spot rule = spot_nth(&ready, i);

		/* a wrong one is zero, which is "arp" */
		if (rule.v && (json_type(rule.v) != JSON_STRING ||
		               ready_parse(json_string(rule.v), &(struct ready_rule){ 0 }) < 0))
			return;
		check_rule(c, s, i, &rule, m);
		tcp += s->ready.v[i].kind == READY_TCP_PORT;
		keys += s->ready.v[i].kind == READY_KEY;
	}
	if (tcp > MSG_LIST_MAX)
		mistake(m, &ready, "ports and tcp:PORT together are %zu ports to ask: at most %d", tcp,
		        MSG_LIST_MAX);
	if (keys > MSG_KEYS_MAX)
		mistake(m, &ready, "%zu keys of XenStore: at most %d", keys, MSG_KEYS_MAX);
}

/* ---- the command line ---- */

/* Placeholders without which the guest would get an empty word. */
static void check_placeholders(const struct service_conf *s, const struct spot *machine, struct mistakes *m)
{
	struct spot cmdline = spot_member(machine, "cmdline");
	const char *text = s->machine.cmdline;
	bool v4 = false, v6 = false;

	for (size_t i = 0; i < s->ip.n; i++) {
		if (s->ip.v[i].how == IP_LEARNED)
			continue;
		if (is_wrong(&s->ip.v[i]))
			return;
		v4 = v4 || ip_is_v4(&s->ip.v[i].addr);
		v6 = v6 || !ip_is_v4(&s->ip.v[i].addr);
	}
	if (s->ip.n == 0)
		return;
	if (!v4 && (cmdline_uses(text, "ip") || cmdline_uses(text, "prefix")))
		mistake(m, &cmdline, "{ip} and {prefix} need an IPv4 address in ip%s",
			learns(s) ? "; one that is learned is known when the guest runs" : "");
	if (!v4 && !s->gateway[0] && cmdline_uses(text, "gw"))
		mistake(m, &cmdline, "{gw} needs an IPv4 address in ip, or gateway");
	if (!v6 && cmdline_uses(text, "ip6"))
		mistake(m, &cmdline, "{ip6} needs an IPv6 address in ip");
}

/* ---- holding ---- */

/* It says what it would without being there, or it is wrong and was told. */
static bool says_nothing(const struct opt *o, const struct service_conf *s, struct mistakes *m)
{
	const void *value = (const char *)s + o->offset;
	struct service_conf zero = { 0 }, plain = { 0 };

	if (o->flags & OPT_LIST)
		return list_get(s, o).n == 0;
	read_option_text(m, o, &(struct spot){ 0 }, o->fallback, &plain);
	return memcmp(value, (char *)&plain + o->offset, opt_element_size(o)) == 0 ||
	       memcmp(value, (char *)&zero + o->offset, opt_element_size(o)) == 0;
}

static void check_hold(const struct service_conf *s, const struct spot *where, struct mistakes *m)
{
	static const char *const needs_hold[] = { "wake_syn", "wake_allow",  "wake_deny", "wake_ping",
		                                  "hold_udp", "on_conflict", "dns_grace" };
	struct spot hold = spot_member(where, "hold");
	/* a wrong one is zero, which is "off" */
	bool off = hold.v && json_type(hold.v) == JSON_STRING && strcmp(json_string(hold.v), "off") == 0;

	if (s->hold == HOLD_SPLICE)
		mistake(m, &hold, "\"splice\" is not in this version: choose \"park\" or \"off\"");
	for (size_t i = 0; off && i < ARRAY_SIZE(needs_hold); i++) {
		struct spot option = spot_member(where, needs_hold[i]);

		if (!says_nothing(schema_find(&schema_service, needs_hold[i]), s, m))
			mistake(m, &option, "has no meaning with hold \"off\", which leaves packets alone");
	}
}

/* ---- stopping ---- */

static void check_stop(const struct conf *c, const struct service_conf *s, const struct spot *where, struct mistakes *m)
{
	const struct hypervisor_conf *hv = conf_hypervisor(c, s->machine.hypervisor);
	struct spot stop = spot_member(where, "stop");

	if (s->stop == STOP_SAVE && hv && uri_is_xen(hv->uri) && s->machine.domain[0])
		mistake(m, &stop, "\"save\" is not for a domain that Xen could not make again: name its file in xl_config, or "
		                  "choose another");
}

/* ---- all of it ---- */

void conf_check_service(const struct conf *c, const struct service_conf *s, const struct spot *where,
                        struct mistakes *m)
{
	struct spot machine = spot_member(where, "machine");

	check_hold(s, where, m);
	check_dns_names(c, s, where, m);
	check_addresses(s, where, m);
	check_pools_of(c, s, where, m);
	check_template(s, where, m);
	check_fallback(s, where, m);
	check_gateway(c, s, where, m);
	check_ports(s, where, m);
	check_ready(c, s, where, m);
	if (!machine.v || json_type(machine.v) != JSON_OBJECT)
		return;
	check_machine(c, &s->machine, &machine, m);
	check_stop(c, s, where, m);
	check_placeholders(s, &machine, m);
}
