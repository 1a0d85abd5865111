/* The machine of a service: what goes with what, and with its hypervisor. */
#include <assert.h>

#include "config/check.h"
#include "config/load.h"

static_assert(offsetof(struct hypervisor_conf, name) == 0, "the name must be first");
static_assert(offsetof(struct bridge_conf, name) == 0, "the name must be first");

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

void check_machine(const struct conf *c, const struct machine_conf *machine, const struct spot *where,
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
