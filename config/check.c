/* Checks across options.  A value that is empty or zero was told to be wrong already, and is passed
 * over; so is a reference into a list that has such a value, for the one meant may be it. */
#include "config/check.h"

#include <assert.h>

#include "base/nearest.h"
#include "config/load.h"
#include "config/unique.h"

/* ---- references ---- */

void check_reference(struct mistakes *m, const struct spot *where, const char *name, const char *list,
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

void check_below(const struct string_list *dirs, const char *name, const char *path, const struct spot *where,
                 struct mistakes *m)
{
	bool below = !path[0] || dirs->n == 0;

	for (size_t i = 0; i < dirs->n && !below; i++)
		below = !dirs->v[i][0] || path_is_below(path, dirs->v[i]);
	if (!below)
		mistake(m, where, "\"%.200s\" is below none of %s: put it into \"%.100s\", or add its directory there", path, name,
			dirs->v[0]);
}

/* ---- services ---- */

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
