/* Pools of addresses, services that want one of them, and templates, whose instances do. */
#include "config/check.h"
#include "config/pool.h"

static bool overlap(const struct ip_range *a, const struct ip_range *b)
{
	return memcmp(&a->first, &b->last, sizeof(a->first)) <= 0 && memcmp(&b->first, &a->last, sizeof(a->first)) <= 0;
}

/* No VM can have any of these: "this network", loopback, link-local, multicast. */
static bool is_for_hosts(const struct ip_range *r)
{
	const uint8_t *b = r->first.b;

	if (ip_is_v4(&r->first))
		return b[12] != 0 && b[12] != 127 && r->last.b[12] < 224 && !(b[12] == 169 && b[13] == 254);
	return b[0] != 0xff && r->last.b[0] != 0xff && !(b[0] == 0xfe && (b[1] & 0xc0) == 0x80) && (b[0] || b[1]);
}

void check_ranges(const struct bridge_conf *b, const struct spot *where, struct mistakes *m)
{
	struct spot list = spot_member(where, "pools");

	for (size_t i = 0; i < b->pools.n; i++) {
		const struct ip_range *r = &b->pools.v[i];
		struct spot at = spot_nth(&list, i);

		if (r->len == 0)
			continue; /* told already */
		if (!is_for_hosts(r))
			mistake(m, &at, "these are no addresses of hosts");
		for (size_t k = 0; k < i; k++) {
			if (b->pools.v[k].len > 0 && overlap(r, &b->pools.v[k]))
				mistake(m, &at, "has addresses that pools[%zu] has, too", k);
		}
	}
}

bool check_is_beside_pool(const struct conf *c, const struct service_conf *s, const struct ip_addr *a)
{
	const struct bridge_conf *b = pools_bridge(c, s);

	for (size_t i = 0; b && i < b->pools.n; i++) {
		const struct ip_prefix net = { b->pools.v[i].first, b->pools.v[i].len };

		if (net.len == 0 || prefix_contains(&net, a))
			return true;
	}
	return !b; /* told already */
}

static void check_one(const struct conf *c, const struct service_conf *s, const struct service_ip *ip,
                      const struct spot *at, struct mistakes *m)
{
	const struct bridge_conf *b = pools_bridge(c, s);
	bool v4 = ip_is_v4(&ip->addr);

	if (machine_is_defined(&s->machine))
		mistake(m, at, "does not go with domain, which has its addresses already: say them here");
	else if (b && !pools_have(&b->pools, v4))
		mistake(m, at, "bridge \"%s\" has no pools%s to take an address of: give it some in \"bridges\" of "
			"the configuration (\"pools\": [\"FIRST-LAST/LENGTH\"])", b->name,
			b->pools.n == 0 ? "" : v4 ? " of IPv4" : " of IPv6");
}

void check_pools_of(const struct conf *c, const struct service_conf *s, const struct spot *where, struct mistakes *m)
{
	struct spot ips = spot_member(where, "ip");

	for (size_t i = 0; i < s->ip.n; i++) {
		const struct service_ip *ip = &s->ip.v[i];
		struct spot at = spot_nth(&ips, i);

		if (ip->how == IP_GIVEN || ip->how == IP_LEARNED)
			continue;
		check_one(c, s, ip, &at, m);
		for (size_t k = 0; k < i; k++) {
			if (s->ip.v[k].how == ip->how)
				mistake(m, &at, "this is there twice");
		}
	}
}

/* ---- templates ---- */

static void check_own_things(const struct machine_conf *machine, const struct spot *where, struct mistakes *m)
{
	struct spot domain = spot_member(where, "domain"), nics = spot_member(where, "nics");
	struct spot disks = spot_member(where, "disks");

	if (machine->domain[0])
		mistake(m, &domain, "a template's instances have VMs of their own: say kernel and the like");
	for (size_t i = 0; i < machine->nics.n; i++) {
		struct spot nic = spot_nth(&nics, i), mac = spot_member(&nic, "mac");

		if (!mac_is_zero(&machine->nics.v[i].mac))
			mistake(m, &mac, "all instances of the template would have it: leave it out, and each has its own");
	}
	for (size_t i = 0; i < machine->disks.n; i++) {
		struct spot disk = spot_nth(&disks, i);

		if (!machine->disks.v[i].read_only)
			mistake(m, &disk, "all instances of the template would write to it: \"read_only\" it can be");
	}
}

void check_template(const struct service_conf *s, const struct spot *where, struct mistakes *m)
{
	static const char *const of_templates[] = { "max_instances", "instance_ttl" };
	struct spot names = spot_member(where, "dns"), ips = spot_member(where, "ip");
	struct spot wake_dns = spot_member(where, "wake_dns"), machine = spot_member(where, "machine");
	bool is_template = false;

	for (size_t i = 0; i < s->dns.n; i++)
		is_template = is_template || s->dns.v[i][0] == '*';
	for (size_t i = 0; i < ARRAY_SIZE(of_templates) && !is_template; i++) {
		struct spot option = spot_member(where, of_templates[i]);

		if (option.v)
			mistake(m, &option, "has no meaning without a name that begins with \"*.\"");
	}
	if (!is_template)
		return;
	if (s->dns.n > 1)
		mistake(m, &names, "a template has one name, the one with \"*.\"");
	for (size_t i = 0; i < s->ip.n; i++) {
		struct spot ip = spot_nth(&ips, i);

		if (s->ip.v[i].how != IP_AUTO && s->ip.v[i].how != IP_AUTO6)
			mistake(m, &ip, "each instance of the template needs an address of its own: \"auto\"");
	}
	if (s->wake_dns == WAKE_DNS_OFF)
		mistake(m, &wake_dns, "instances are made for queries: \"any\" or \"verified\"");
	if (machine.v && json_type(machine.v) == JSON_OBJECT)
		check_own_things(&s->machine, &machine, m);
}
