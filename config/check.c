/* Checks across options.  A value that is empty or zero was told to be wrong already, and is passed
 * over; so is a reference into a list that has such a value, for the one meant may be it. */
#include "config/check.h"

#include <assert.h>
#include <ctype.h>
#include <strings.h>

#include "base/nearest.h"
#include "config/load.h"

/* ---- uniqueness ---- */

struct entry {
	char *key;
	size_t order;
	bool shared; /* any number of these may be equal */
	struct spot where;
};

/* Values of one kind, to find those that are there twice: sorted, as there may be many. */
struct unique {
	struct mistakes *m;
	struct entry *v;
	size_t n, room;
};

static void unique_free(struct unique *u)
{
	for (size_t i = 0; i < u->n; i++)
		free(u->v[i].key);
	free(u->v);
}

#define cleanup_unique __attribute__((cleanup(unique_free)))

static void unique_add_shared(struct unique *u, const char *key, const struct spot *where, bool shared)
{
	struct entry *more;

	if (!key[0])
		return;
	if (u->n == u->room) {
		more = realloc(u->v, MAX(u->room * 2, 64) * sizeof(*more));
		if (!more)
			return mistake_out_of_memory(u->m);
		u->v = more;
		u->room = MAX(u->room * 2, 64);
	}
	u->v[u->n] = (struct entry){
		.key = read_copy(u->m, key), .order = u->n, .shared = shared, .where = *where
	};
	if (u->v[u->n].key)
		u->n++;
}

static void unique_add(struct unique *u, const char *key, const struct spot *where)
{
	unique_add_shared(u, key, where, false);
}

/* Names of the DNS: case does not count. */
static void unique_add_host(struct unique *u, const char *name, const struct spot *where)
{
	char lower[MSG_DOMAIN_NAME_MAX];

	str_copy(lower, name);
	for (char *c = lower; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	unique_add(u, lower, where);
}

static void unique_add_ip(struct unique *u, const struct ip_addr *a, const struct spot *where)
{
	char text[ADDR_TEXT_MAX];

	if (!ip_is_zero(a))
		unique_add(u, ip_format(a, text), where);
}

static int by_key(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int c = strcmp(x->key, y->key);

	return c ? c : (x->order > y->order) - (x->order < y->order);
}

static void unique_check(struct unique *u)
{
	const struct entry *first = u->v;

	if (u->n == 0)
		return;
	qsort(u->v, u->n, sizeof(*u->v), by_key);
	for (size_t i = 1; i < u->n; i++) {
		const struct entry *e = &u->v[i];

		if (strcmp(first->key, e->key) != 0)
			first = e;
		else if (!first->shared || !e->shared)
			mistake(u->m, &e->where, "\"%.255s\" is used already by %s, line %u", e->key,
			        first->where.path, first->where.at.line);
	}
}

/* ---- references ---- */

/* `name` must be the name, the first member, of one of n records.  `list` is what the file calls
 * them. */
static void check_reference(struct mistakes *m, const struct spot *where, const char *name, const char *list,
                            const void *records, size_t n, size_t size)
{
	struct nearest near = { .word = name };

	if (!name || !name[0])
		return;
	for (size_t i = 0; i < n; i++) {
		const char *known = *(char *const *)(const void *)((const char *)records + i * size);

		if (!known[0] || strcmp(name, known) == 0)
			return;
		nearest_try(&near, known);
	}
	if (near.name)
		mistake(m, where, "there is no \"%s\" in %s, did you mean \"%s\"?", name, list, near.name);
	else
		mistake(m, where, "there is no \"%s\" in %s", name, list);
}

static_assert(offsetof(struct hypervisor_conf, name) == 0, "the name must be first");
static_assert(offsetof(struct bridge_conf, name) == 0, "the name must be first");

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
			mistake(m, &name, "\"%s\" is in none of the zones", s->dns.v[i]);
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

/* ---- machines ---- */

static void check_below(const struct string_list *dirs, const char *name, const char *path, const struct spot *where,
                        struct mistakes *m)
{
	bool below = !path[0] || dirs->n == 0;

	for (size_t i = 0; i < dirs->n && !below; i++)
		below = !dirs->v[i][0] || path_is_below(path, dirs->v[i]);
	if (!below)
		mistake(m, where, "\"%.200s\" is below none of %s", path, name);
}

static void check_image(const struct conf *c, const char *path, const struct spot *where, struct mistakes *m)
{
	check_below(&c->image_dirs, "image_dirs", path, where, m);
}

static void check_images(const struct conf *c, const struct machine_conf *machine, const struct spot *where,
                         struct mistakes *m)
{
	struct spot kernel = spot_member(where, "kernel"), initrd = spot_member(where, "initrd");
	struct spot disks = spot_member(where, "disks");

	check_image(c, machine->kernel, &kernel, m);
	check_image(c, machine->initrd, &initrd, m);
	for (size_t i = 0; i < machine->disks.n; i++) {
		struct spot disk = spot_nth(&disks, i), path = spot_member(&disk, "path");

		check_image(c, machine->disks.v[i].path, &path, m);
	}
}

/* `domain` or `xl_config` stands instead of every option but the hypervisor. */
static void check_alone(const char *definition, const struct spot *where, struct mistakes *m)
{
	const struct schema *machine = schema_find(&schema_service, "machine")->of;

	for (size_t i = 0; i < machine->n; i++) {
		const char *key = machine->opts[i].key;
		struct spot option = spot_member(where, key);

		if (!option.v || strcmp(key, definition) == 0 || strcmp(key, "hypervisor") == 0)
			continue;
		option.at = json_key_place(option.v);
		mistake(m, &option, "does not go with %s, whose own definition says it", definition);
	}
}

static void check_xl_config(const struct conf *c, const struct machine_conf *machine, const struct spot *where,
                            struct mistakes *m)
{
	const struct hypervisor_conf *hv = conf_hypervisor(c, machine->hypervisor);
	struct spot file = spot_member(where, "xl_config");

	check_alone("xl_config", where, m);
	check_image(c, machine->xl_config, &file, m);
	if (hv && hv->uri[0] && !uri_is_xen(hv->uri))
		mistake(m, &file, "is Xen's, and hypervisor \"%s\" is none: name one whose uri is \"libxl:///\"", hv->name);
}

/* Which hypervisors make a machine of this kind, of which architecture.  Xen makes what it can of QEMU's. */
static void check_kind(const struct conf *c, const struct machine_conf *machine, const struct spot *where,
                       struct mistakes *m)
{
	static const struct {
		const char *kind, *arch; /* "": of any */
		bool xen_alone;
	} kinds[] = {
		{ "microvm", "x86_64", false }, { "pc", "x86_64", false }, { "q35", "x86_64", false },
		{ "virt", "aarch64", false },   { "pvh", "", true },       { "pv", "x86_64", true },
	};
	struct spot kind = spot_member(where, "machine");
	const struct hypervisor_conf *hv = conf_hypervisor(c, machine->hypervisor);

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(kinds[i].kind, machine->machine) != 0)
			continue;
		if (machine->arch[0] && kinds[i].arch[0] && strcmp(kinds[i].arch, machine->arch) != 0)
			mistake(m, &kind, "\"%s\" is no machine of arch %s", machine->machine, machine->arch);
		else if (kinds[i].xen_alone && hv && hv->uri[0] && !uri_is_xen(hv->uri))
			mistake(m, &kind, "\"%s\" is a machine of Xen, and hypervisor \"%s\" is none: leave it out, or name "
			                  "a hypervisor whose uri is \"libxl:///\"", machine->machine, hv->name);
	}
}

static void check_cmdline(const struct machine_conf *machine, const struct spot *where, struct mistakes *m)
{
	struct spot cmdline = spot_member(where, "cmdline");
	struct err e = { 0 };

	if (cmdline_check(machine->cmdline, &e) < 0)
		mistake(m, &cmdline, "%s", e.text);
}

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

static void check_machine(const struct conf *c, const struct machine_conf *machine, const struct spot *where,
                          struct mistakes *m)
{
	struct spot hypervisor = spot_member(where, "hypervisor"), memory = spot_member(where, "memory");
	struct spot nics = spot_member(where, "nics"), kernel = spot_member(where, "kernel");
	struct spot xl_config = spot_member(where, "xl_config");

	check_reference(m, &hypervisor, machine->hypervisor, "hypervisors", c->hypervisors.v,
	                c->hypervisors.n, sizeof(*c->hypervisors.v));
	if (spot_member(where, "domain").v)
		return check_alone("domain", where, m);
	if (xl_config.v)
		return check_xl_config(c, machine, where, m);
	if (!kernel.v)
		mistake(m, &kernel, "missing: a machine needs a kernel, or a domain that has its own");
	check_kind(c, machine, where, m);
	check_images(c, machine, where, m);
	check_cmdline(machine, where, m);
	if (c->limits.memory_bytes > 0 && machine->memory_bytes > c->limits.memory_bytes)
		mistake(m, &memory, "is more than limits.memory: the VM could never start");
	for (size_t i = 0; i < machine->nics.n; i++) {
		struct spot nic = spot_nth(&nics, i), bridge = spot_member(&nic, "bridge");

		check_reference(m, &bridge, machine->nics.v[i].bridge, "bridges", c->bridges.v, c->bridges.n,
		                sizeof(*c->bridges.v));
	}
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

/* ---- services ---- */

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
	check_placeholders(s, &machine, m);
}

/* What no two services may have. */
struct uniques {
	struct unique names, hosts, ips, macs, domains, disks;
};

static void collect_machine(struct uniques *u, const struct machine_conf *machine, const struct spot *where)
{
	struct spot domain = spot_member(where, "domain");
	struct spot nics = spot_member(where, "nics"), disks = spot_member(where, "disks");
	struct spot xl_config = spot_member(where, "xl_config");
	char mac[MAC_TEXT_MAX], name[MSG_NAME_MAX * 3 + 1] = "";

	if (machine->domain[0])
		snprintf(name, sizeof(name), "%s/%s", machine->hypervisor, machine->domain);
	unique_add(&u->domains, name, &domain);
	unique_add(&u->domains, machine->xl_config, &xl_config); /* a domain's name has no slash */
	for (size_t i = 0; i < machine->nics.n; i++) {
		struct spot nic = spot_nth(&nics, i), at = spot_member(&nic, "mac");

		if (!mac_is_zero(&machine->nics.v[i].mac))
			unique_add(&u->macs, mac_format(&machine->nics.v[i].mac, mac), &at);
	}
	for (size_t i = 0; i < machine->disks.n; i++) {
		struct spot disk = spot_nth(&disks, i), path = spot_member(&disk, "path");

		unique_add_shared(&u->disks, machine->disks.v[i].path, &path, machine->disks.v[i].read_only);
	}
}

static void collect_service(struct uniques *u, const struct service_conf *s, const struct spot *where)
{
	struct spot name = spot_member(where, "name"), machine = spot_member(where, "machine");
	struct spot hosts = spot_member(where, "dns"), ips = spot_member(where, "ip");

	unique_add(&u->names, s->name, &name);
	for (size_t i = 0; i < s->dns.n; i++) {
		struct spot host = spot_nth(&hosts, i);

		unique_add_host(&u->hosts, s->dns.v[i], &host);
	}
	for (size_t i = 0; i < s->ip.n; i++) {
		struct spot ip = spot_nth(&ips, i);

		if (s->ip.v[i].how == IP_GIVEN)
			unique_add_ip(&u->ips, &s->ip.v[i].addr, &ip);
	}
	collect_machine(u, &s->machine, &machine);
}

/* Nobody else may use a bridge's probe address, but several bridges may have the same. */
static void collect_probe_addresses(struct uniques *u, const struct conf *c, const struct spot *bridges)
{
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < c->bridges.n; i++) {
		const struct bridge_conf *b = &c->bridges.v[i];
		struct spot bridge = spot_nth(bridges, i), ip = spot_member(&bridge, "probe_ip");
		struct spot ip6 = spot_member(&bridge, "probe_ip6");

		if (!ip_is_zero(&b->probe_ip))
			unique_add_shared(&u->ips, ip_format(&b->probe_ip, text), &ip, true);
		if (!ip_is_zero(&b->probe_ip6))
			unique_add_shared(&u->ips, ip_format(&b->probe_ip6, text), &ip6, true);
	}
}

static void check_services(const struct conf *c, const struct spot *root, struct mistakes *m)
{
	struct spot services = spot_member(root, "services"), bridges = spot_member(root, "bridges");
	const struct json_node *v = c->services.n > 0 ? json_first(services.v) : NULL;
	struct uniques u = { 0 };
	struct unique *all[] = { &u.names, &u.hosts, &u.ips, &u.macs, &u.domains, &u.disks };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		all[i]->m = m;
	collect_probe_addresses(&u, c, &bridges);
	for (size_t i = 0; i < c->services.n; i++, v = json_next(v)) {
		struct spot service = spot_item(&services, i, v);

		if (json_type(v) != JSON_OBJECT)
			continue;
		conf_check_service(c, &c->services.v[i], &service, m);
		collect_service(&u, &c->services.v[i], &service);
	}
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		unique_check(all[i]);
		unique_free(all[i]);
	}
}

/* ---- other servers ---- */

static_assert(offsetof(struct tsig_key_conf, name) == 0, "the name must be first");

static void check_tsig_keys(const struct conf *c, const struct spot *root, struct mistakes *m)
{
	struct spot list = spot_member(root, "tsig_keys");
	cleanup_unique struct unique names = { .m = m };

	for (size_t i = 0; i < c->tsig_keys.n; i++) {
		struct spot key = spot_nth(&list, i), name = spot_member(&key, "name");
		struct spot secret = spot_member(&key, "secret"), file = spot_member(&key, "secret_file");

		unique_add_host(&names, c->tsig_keys.v[i].name, &name);
		if (json_type(key.v) != JSON_OBJECT)
			continue;
		if (!secret.v && !file.v)
			mistake(m, &file, "missing: a key needs a file with its secret");
		else if (secret.v && file.v)
			mistake(m, &secret, "does not go with secret_file: a key has one secret");
	}
	unique_check(&names);
}

static void check_key(const struct conf *c, const char *key, const struct spot *where, struct mistakes *m)
{
	check_reference(m, where, key, "tsig_keys", c->tsig_keys.v, c->tsig_keys.n, sizeof(*c->tsig_keys.v));
}

static void check_transfers(const struct conf *c, const struct zone_conf *z, const struct spot *zone,
                            struct mistakes *m)
{
	struct spot list = spot_member(zone, "secondaries"), key = spot_member(zone, "transfer_key");
	cleanup_unique struct unique places = { .m = m };

	for (size_t i = 0; i < z->secondaries.n; i++) {
		const struct secondary_conf *s = &z->secondaries.v[i];
		struct spot at = spot_nth(&list, i), its_key = spot_member(&at, "key"), address = spot_member(&at, "address");
		char text[ADDR_TEXT_MAX];
		struct ip_addr a;

		check_key(c, s->key, &its_key, m);
		if (s->address[0] && ip_parse(s->address, &a) == 0 && s->port > 0)
			unique_add(&places, endpoint_format(&a, s->port, text), &address);
	}
	unique_check(&places);
	check_key(c, z->transfer_key, &key, m);
	if (key.v && z->transfer_allow.n == 0)
		mistake(m, &key, "has no meaning without transfer_allow; a secondary has a key of its own");
}

/* ---- the rest ---- */

static void check_zones(const struct conf *c, const struct spot *root, struct mistakes *m)
{
	struct spot list = spot_member(root, "zones");
	cleanup_unique struct unique names = { .m = m };

	for (size_t i = 0; i < c->zones.n; i++) {
		struct spot zone = spot_nth(&list, i), name = spot_member(&zone, "name");
		struct spot file = spot_member(&zone, "file");

		check_below(&c->zone_dirs, "zone_dirs", c->zones.v[i].file, &file, m);
		unique_add_host(&names, c->zones.v[i].name, &name);
		if (json_type(zone.v) == JSON_OBJECT)
			check_transfers(c, &c->zones.v[i], &zone, m);
	}
	unique_check(&names);
}

static void check_hypervisors(const struct conf *c, const struct spot *root, struct mistakes *m)
{
	struct spot list = spot_member(root, "hypervisors");
	cleanup_unique struct unique names = { .m = m }, uris = { .m = m };

	for (size_t i = 0; i < c->hypervisors.n; i++) {
		struct spot hypervisor = spot_nth(&list, i), name = spot_member(&hypervisor, "name");
		struct spot uri = spot_member(&hypervisor, "uri");

		unique_add(&names, c->hypervisors.v[i].name, &name);
		for (unsigned role = 0; role < ROLE_N; role++) {
			if (strcmp(c->hypervisors.v[i].name, role_name(role)) == 0)
				mistake(m, &name, "\"%s\" is the name of a process of jitsud: choose another",
					role_name(role));
		}
		unique_add(&uris, c->hypervisors.v[i].uri, &uri);
	}
	unique_check(&names);
	unique_check(&uris);
}

static void check_bridges(const struct conf *c, const struct spot *root, struct mistakes *m)
{
	struct spot list = spot_member(root, "bridges");
	cleanup_unique struct unique names = { .m = m };

	for (size_t i = 0; i < c->bridges.n; i++) {
		struct spot bridge = spot_nth(&list, i), name = spot_member(&bridge, "name");

		unique_add(&names, c->bridges.v[i].name, &name);
		check_ranges(&c->bridges.v[i], &bridge, m);
	}
	unique_check(&names);
}

static void add_endpoints(struct unique *sockets, const struct endpoint_list *endpoints, const struct spot *list)
{
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < endpoints->n; i++) {
		const struct endpoint *e = &endpoints->v[i];
		struct spot where = spot_nth(list, i);

		if (e->port > 0)
			unique_add(sockets, endpoint_format(&e->addr, e->port, text), &where);
	}
}

static void check_listen(const struct conf *c, const struct spot *root, struct mistakes *m)
{
	struct spot list = spot_member(root, "listen"), metrics = spot_member(root, "metrics");
	struct spot metrics_list = spot_member(&metrics, "listen");
	cleanup_unique struct unique sockets = { .m = m };

	add_endpoints(&sockets, &c->listen, &list);
	add_endpoints(&sockets, &c->metrics.listen, &metrics_list);
	unique_check(&sockets);
	if (c->dns.workers * c->listen.n > LISTEN_UDP_MAX) {
		struct spot dns = spot_member(root, "dns"), workers = spot_member(&dns, "workers");

		mistake(m, &workers, "%u for each of %zu addresses in listen are more than %d in all", c->dns.workers,
			c->listen.n, LISTEN_UDP_MAX);
	}
}

static void check_forward_allow(const struct conf *c, const struct spot *root, struct mistakes *m)
{
	struct spot list = spot_member(root, "forward_allow");

	for (size_t i = 0; i < c->forward_allow.n; i++) {
		const struct ip_prefix *p = &c->forward_allow.v[i];
		struct spot where = spot_nth(&list, i);
		struct ip_prefix parsed;

		if (json_type(where.v) == JSON_STRING && prefix_parse(json_string(where.v), &parsed) == 0 &&
		    prefix_bits(p) == 0)
			mistake(m, &where, "this is everyone: forwarding must not be open to the Internet");
	}
}

static void check_users(const struct conf *c, const struct spot *root, struct mistakes *m)
{
	const struct {
		const char *key, *user;
	} rows[] = {
		{ "dns", c->users.dns },
		{ "net", c->users.net },
		{ "control", c->users.control },
		{ "qemu", c->users.qemu },
	};
	struct spot users = spot_member(root, "users");

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct spot user = spot_member(&users, rows[i].key);

		if (strcmp(rows[i].user, "root") == 0)
			mistake(m, &user, "must not be root");
	}
}

static void check_hooks(const struct conf *c, const struct spot *root, struct mistakes *m)
{
	struct spot list = spot_member(root, "hooks");

	for (size_t i = 0; i < c->hooks.n; i++) {
		const struct hook_conf *h = &c->hooks.v[i];
		struct spot hook = spot_nth(&list, i), exec = spot_member(&hook, "exec"), url = spot_member(&hook, "webhook");

		if (!exec.v && !url.v)
			mistake(m, &hook, "needs \"exec\" or \"webhook\"");
		else if (h->exec[0] && h->webhook[0])
			mistake(m, &url, "there is \"exec\", too: make two hooks of it");
	}
}

void conf_check(const struct conf *c, const struct spot *root, struct mistakes *m)
{
	check_listen(c, root, m);
	check_tsig_keys(c, root, m);
	check_zones(c, root, m);
	check_forward_allow(c, root, m);
	check_hypervisors(c, root, m);
	check_bridges(c, root, m);
	check_users(c, root, m);
	check_hooks(c, root, m);
	check_services(c, root, m);
}
