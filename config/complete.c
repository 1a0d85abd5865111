/* Defaults that depend on other options.  What the file has, even wrongly, is left alone: a wrong
 * value was told already, and a default in its place would lead to mistakes nobody made. */
#include "config/check.h"

#include <sys/utsname.h>

#include "config/pool.h"

static bool is_given(const struct spot *object, const char *key)
{
	return spot_member(object, key).v != NULL;
}

static void set_text(struct mistakes *m, char **text, const char *value)
{
	free(*text);
	*text = read_copy(m, value);
}

static void complete_hypervisors(struct conf *c, const struct spot *root, struct mistakes *m)
{
	const struct opt *o = schema_find(&schema_conf, "hypervisors");
	struct spot where = spot_member(root, "hypervisors");
	cleanup_buf struct buf uri = { 0 }, json = { 0 };
	struct json_writer w = { .out = &json };

	if (where.v || !c->run_dir[0])
		return;
	buf_addf(&uri, "qemu:///embed?root=%s/qemu", c->run_dir);
	json_open(&w, NULL, '[');
	json_open(&w, NULL, '{');
	json_put_string(&w, "name", "local");
	json_put_string(&w, "uri", uri.text ? uri.text : "");
	json_close(&w, '}');
	json_close(&w, ']');
	if (uri.error || json.error)
		return mistake_out_of_memory(m);
	read_option_text(m, o, &where, json.text, c);
}

static void complete_save_dir(struct conf *c, const struct spot *root, struct mistakes *m)
{
	cleanup_buf struct buf dir = { 0 };

	if (is_given(root, "save_dir") || !c->state_dir[0])
		return;
	buf_addf(&dir, "%s/saved", c->state_dir);
	if (dir.error)
		return mistake_out_of_memory(m);
	set_text(m, &c->save_dir, dir.text);
}

static void complete_zone(struct zone_conf *z, const struct spot *where, struct mistakes *m)
{
	struct spot hostmaster = spot_member(where, "hostmaster");
	char name[MSG_DOMAIN_NAME_MAX + 16];

	if (hostmaster.v || !z->name[0])
		return;
	snprintf(name, sizeof(name), "hostmaster.%s", z->name);
	if (text_ok(&text_host, name))
		set_text(m, &z->hostmaster, name);
	else
		mistake(m, &hostmaster,
		        "missing, and its default, hostmaster in the zone, would be too long a name");
}

/* The one bridge there is, or "" and a mistake. */
static const char *only_bridge(const struct conf *c, const struct spot *missing, struct mistakes *m)
{
	if (c->bridges.n == 1)
		return c->bridges.v[0].name;
	if (c->bridges.n == 0)
		mistake(m, missing, "missing, and there are no bridges that it could be on");
	else
		mistake(m, missing, "missing, and there are %zu bridges: say which one", c->bridges.n);
	return "";
}

static void complete_nics(const struct conf *c, struct machine_conf *machine, const struct spot *where,
                          struct mistakes *m)
{
	struct spot nics = spot_member(where, "nics");

	if (!nics.v) {
		machine->nics.v = calloc(1, sizeof(*machine->nics.v));
		if (!machine->nics.v)
			return mistake_out_of_memory(m);
		machine->nics.n = 1;
		set_text(m, &machine->nics.v[0].bridge, only_bridge(c, &nics, m));
		return;
	}
	for (size_t i = 0; i < machine->nics.n; i++) {
		struct spot nic = spot_nth(&nics, i), bridge = spot_member(&nic, "bridge");

		if (!bridge.v && json_type(nic.v) == JSON_OBJECT)
			set_text(m, &machine->nics.v[i].bridge, only_bridge(c, &bridge, m));
	}
}

static void set_host_arch(struct machine_conf *machine, struct mistakes *m)
{
	const struct opt *o = schema_find(schema_find(&schema_service, "machine")->of, "arch");
	struct utsname host = { 0 };

	uname(&host);
	for (size_t i = 0; o->names[i]; i++) {
		if (strcmp(o->names[i], host.machine) == 0)
			return set_text(m, &machine->arch, o->names[i]);
	}
	set_text(m, &machine->arch, o->names[0]);
}

static void complete_machine(const struct conf *c, struct machine_conf *machine, const struct spot *where,
                             struct mistakes *m)
{
	if (!is_given(where, "hypervisor") && c->hypervisors.n > 0)
		set_text(m, &machine->hypervisor, c->hypervisors.v[0].name);
	if (is_given(where, "domain") || is_given(where, "xl_config")) {
		/* its definition says these */
		machine->memory_bytes = 0;
		machine->vcpus = 0;
		return;
	}
	if (!is_given(where, "arch"))
		set_host_arch(machine, m);
	complete_nics(c, machine, where, m);
}

/* The family that an address of a pool will have. */
static void complete_addresses(const struct conf *c, struct service_conf *s)
{
	const struct bridge_conf *b = pools_bridge(c, s);

	for (size_t i = 0; i < s->ip.n; i++) {
		struct service_ip *ip = &s->ip.v[i];
		bool v6_alone = b && !pools_have(&b->pools, true) && pools_have(&b->pools, false);
		bool v6 = ip->how == IP_AUTO6 || (ip->how == IP_AUTO && v6_alone);

		if (ip->how == IP_GIVEN)
			continue;
		ip->prefix = (struct ip_prefix){ 0 };
		if (!v6)
			memset(ip->addr.b + 10, 0xff, 2);
	}
}

enum { INSTANCES_DEFAULT = 16, INSTANCE_TTL_DEFAULT_MS = 600 * 1000 };

static void complete_template(struct service_conf *s, const struct spot *where)
{
	if (!conf_is_template(s))
		return;
	if (!is_given(where, "max_instances"))
		s->max_instances = INSTANCES_DEFAULT;
	if (!is_given(where, "instance_ttl"))
		s->instance_ttl_ms = INSTANCE_TTL_DEFAULT_MS;
}

void conf_complete_service(const struct conf *c, struct service_conf *s, const struct spot *where,
                           struct mistakes *m)
{
	struct spot machine = spot_member(where, "machine"), ready = spot_member(where, "ready");

	s->line = where->at.line;
	complete_template(s, where);
	if (!is_given(where, "ttl_down"))
		s->ttl_down_ms = s->ttl_ms;
	if (!ready.v)
		read_option_text(m, schema_find(&schema_service, "ready"), &ready,
		                 s->ports.n > 0 ? "[\"tcp\"]" : "[\"arp\"]", s);
	if (machine.v && json_type(machine.v) == JSON_OBJECT)
		complete_machine(c, &s->machine, &machine, m);
	complete_addresses(c, s);
	if (!machine.v || json_type(machine.v) != JSON_OBJECT)
		return;
	if (!is_given(where, "stop"))
		s->stop = machine_is_defined(&s->machine) || machine_writes(&s->machine) ? STOP_SHUTDOWN
		                                                                         : STOP_DESTROY;
}

void conf_complete(struct conf *c, const struct spot *root, struct mistakes *m)
{
	struct spot zones = spot_member(root, "zones"), services = spot_member(root, "services");
	const struct json_node *v = services.v && c->services.n > 0 ? json_first(services.v) : NULL;

	complete_hypervisors(c, root, m);
	complete_save_dir(c, root, m);
	for (size_t i = 0; i < c->zones.n; i++) {
		struct spot zone = spot_nth(&zones, i);

		if (json_type(zone.v) == JSON_OBJECT)
			complete_zone(&c->zones.v[i], &zone, m);
	}
	for (size_t i = 0; i < c->services.n; i++, v = json_next(v)) {
		struct spot service = spot_item(&services, i, v);

		if (json_type(v) == JSON_OBJECT)
			conf_complete_service(c, &c->services.v[i], &service, m);
	}
}
