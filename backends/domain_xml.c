#include "backends/domain_xml.h"

#include <ctype.h>
#include <inttypes.h>

#include "backends/guests.h"
#include "backends/xml.h"

/* ---- writing ---- */

/* What of a machine's bus our devices sit on. */
enum bus { BUS_MMIO, BUS_PCI };

struct machine {
	const char *arch, *name;
	enum bus bus;
	bool option_roms; /* takes "x-option-roms" */
	bool nic_rom; /* a NIC brings a boot ROM along */
	bool no_usb; /* has a USB controller unless told not to */
	bool acpi; /* can be had without a firmware of our own */
};

static const struct machine machines[] = {
	{ "x86_64", "microvm", BUS_MMIO, true, false, true, true },
	{ "x86_64", "q35", BUS_PCI, false, true, true, true },
	{ "x86_64", "pc", BUS_PCI, false, true, true, true },
	{ "aarch64", "virt", BUS_MMIO, false, false, true, false },
};

static const struct machine *find_machine(const struct msg_be_start *m)
{
	for (size_t i = 0; i < ARRAY_SIZE(machines); i++) {
		const struct machine *k = &machines[i];

		if (strcmp(k->arch, m->arch) != 0)
			continue;
		if (m->machine[0] ? strcmp(k->name, m->machine) == 0 : m->kernel[0] || k->bus == BUS_PCI || !k->option_roms)
			return k;
	}
	return NULL;
}

void xml_escape(struct buf *out, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&': buf_adds(out, "&amp;"); break;
		case '<': buf_adds(out, "&lt;"); break;
		case '>': buf_adds(out, "&gt;"); break;
		case '"': buf_adds(out, "&quot;"); break;
		case '\'': buf_adds(out, "&apos;"); break;
		default: buf_add(out, (unsigned char)*text < 0x20 || *text == 0x7f ? " " : text, 1);
		}
	}
}

/* `before`, the escaped text, `after`; nothing when the text is "". */
static void add_text(struct buf *out, const char *before, const char *text, const char *after)
{
	if (!text[0])
		return;
	buf_adds(out, before);
	xml_escape(out, text);
	buf_adds(out, after);
}

static bool is_general_purpose(const struct msg_be_start *m) { return m->initrd[0] || m->n_disks > 0; }

static void add_os(struct buf *out, const struct msg_be_start *m, const struct machine *k)
{
	buf_addf(out, "<os><type arch='%s' machine='%s'>hvm</type>", k->arch, k->name);
	add_text(out, "<kernel>", m->kernel, "</kernel>");
	add_text(out, "<initrd>", m->initrd, "</initrd>");
	add_text(out, "<cmdline>", m->cmdline, "</cmdline>");
	if (!m->kernel[0])
		buf_adds(out, "<boot dev='hd'/>");
	buf_adds(out, "</os>");
	if (k->acpi && (k->bus == BUS_PCI || is_general_purpose(m)))
		buf_adds(out, "<features><acpi/></features>");
	buf_adds(out, "<on_poweroff>destroy</on_poweroff><on_reboot>destroy</on_reboot><on_crash>destroy</on_crash>");
}

static const char *mmio(const struct machine *k) { return k->bus == BUS_MMIO ? "<address type='virtio-mmio'/>" : ""; }

/* /dev/vda, /dev/vdb .. in the order given. */
static void add_disk(struct buf *out, const struct msg_disk *d, unsigned i, const struct machine *k)
{
	add_text(out, "<disk type='file' device='disk'><driver name='qemu' type='", d->format[0] ? d->format : "raw", "'/>");
	add_text(out, "<source file='", d->path, "'/>");
	buf_addf(out, "<target dev='vd%c' bus='virtio'/>%s%s</disk>", 'a' + (int)i, d->read_only ? "<readonly/>" : "", mmio(k));
}

static void add_nic(struct buf *out, const struct msg_nic *nic, const struct machine *k)
{
	char mac[MAC_TEXT_MAX];

	buf_addf(out, "<interface type='ethernet'><mac address='%s'/>", mac_format(&nic->mac, mac));
	add_text(out, "<target dev='", nic->ifname, "' managed='no'/>");
	buf_addf(out, "<model type='virtio'/>%s%s</interface>", k->nic_rom ? "<rom enabled='no'/>" : "", mmio(k));
}

/* QEMU tries the socket again each second, so that the console comes back when we do; without a
 * reader it drops the guest's words. */
static void add_console(struct buf *out, const char *path)
{
	add_text(out, "<serial type='unix'><source mode='connect' path='", path,
		 "'><reconnect enabled='yes' timeout='1'/></source><target port='0'/></serial>");
}

/* Two ports are the fewest that have a name: the first is for a console. */
static void add_guest_channel(struct buf *out, const struct machine *k, const char *path)
{
	buf_addf(out, "<controller type='virtio-serial' index='0' ports='2'>%s</controller>", mmio(k));
	add_text(out, "<channel type='unix'><source mode='connect' path='", path,
		 "'><reconnect enabled='yes' timeout='1'/></source><target type='virtio' name='" GUEST_CHANNEL
		 "'/></channel>");
}

static void add_devices(struct buf *out, const struct msg_be_start *m, const struct machine *k,
			const struct domain_host *host)
{
	buf_adds(out, "<devices>");
	if (k->no_usb)
		buf_adds(out, "<controller type='usb' model='none'/>");
	for (unsigned i = 0; i < m->n_disks; i++)
		add_disk(out, &m->disks[i], i, k);
	for (unsigned i = 0; i < m->n_nics; i++)
		add_nic(out, &m->nics[i], k);
	if (host->console_path)
		add_console(out, host->console_path);
	if (host->guest_path && m->guest_channel)
		add_guest_channel(out, k, host->guest_path);
	buf_addf(out, "<memballoon model='none'/><rng model='virtio'><backend model='random'>/dev/urandom</backend>%s</rng>",
		 mmio(k));
	buf_adds(out, "</devices>");
}

/* "/" cannot be in a name, and libvirt takes no newline; ours are much narrower anyway. */
static bool good_name(const char *name)
{
	if (!isalnum((unsigned char)name[0]))
		return false;
	for (; *name; name++) {
		if (!isalnum((unsigned char)*name) && !strchr("-_.", *name))
			return false;
	}
	return true;
}

static int check(const struct msg_be_start *m, struct err *e)
{
	if (!good_name(m->name))
		return err_set(e, -EINVAL, "\"%s\" is no name for a domain", m->name);
	if (!m->kernel[0] && m->n_disks == 0)
		return err_set(e, -EINVAL, "the machine has neither a kernel nor a disk to boot from");
	if (m->vcpus == 0 || m->memory_bytes == 0)
		return err_set(e, -EINVAL, "the machine has no vcpus or no memory");
	if (strcmp(m->machine, "microvm") == 0 && !m->kernel[0])
		return err_set(e, -EINVAL, "a microvm boots a kernel, not a disk: set kernel, or machine to q35");
	for (unsigned i = 0; i < m->n_nics; i++) {
		if (!m->nics[i].ifname[0])
			return err_set(e, -EINVAL, "NIC %u has no port", i);
	}
	return 0;
}

int domain_xml_write(const struct msg_be_start *m, const struct domain_host *host, struct buf *out, struct err *e)
{
	const struct machine *k = find_machine(m);
	bool kvm = host->kvm && strcmp(host->arch, m->arch) == 0;
	int error = check(m, e);

	if (error < 0)
		return error;
	if (!k)
		return err_set(e, -EINVAL, "no machine \"%s\" for architecture \"%s\": known are microvm, q35, pc (x86_64) and virt (aarch64)",
			       m->machine, m->arch);
	buf_addf(out, "<domain type='%s' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>", kvm ? "kvm" : "qemu");
	add_text(out, "<name>", m->name, "</name>");
	add_text(out, "<uuid>", m->uuid, "</uuid>");
	buf_addf(out, "<memory unit='b'>%" PRIu64 "</memory><vcpu>%u</vcpu>", m->memory_bytes, m->vcpus);
	add_os(out, m, k);
	if (kvm)
		buf_adds(out, "<cpu mode='host-passthrough' check='none'/>");
	else if (strcmp(k->arch, "aarch64") == 0)
		buf_adds(out, "<cpu mode='custom' match='exact' check='none'><model>cortex-a57</model></cpu>");
	add_devices(out, m, k, host);
	/* qboot instead of SeaBIOS with an option ROM that loads the kernel. */
	if (k->option_roms)
		buf_adds(out, "<qemu:commandline><qemu:arg value='-machine'/><qemu:arg value='x-option-roms=off'/></qemu:commandline>");
	/* With it, libvirt asks QEMU for some 400 CPU properties one by one before the guest may run. */
	buf_adds(out, "<qemu:capabilities><qemu:del capability='cpu-unavailable-features'/></qemu:capabilities></domain>");
	return 0;
}

/* ---- reading ---- */

static uint64_t scale(const char *unit)
{
	static const struct {
		const char *unit;
		uint64_t bytes;
	} units[] = {
		{ "b", 1 },		   { "bytes", 1 },	      { "", 1024 },
		{ "KiB", 1024 },	   { "k", 1024 },	      { "KB", 1000 },
		{ "MiB", 1024 * 1024 },	   { "M", 1024 * 1024 },      { "MB", 1000 * 1000 },
		{ "GiB", 1024ull << 20 },  { "G", 1024ull << 20 },    { "GB", 1000ull * 1000 * 1000 },
		{ "TiB", 1024ull << 30 },  { "T", 1024ull << 30 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(units[i].unit, unit) == 0)
			return units[i].bytes;
	}
	return 0;
}

/* What is gathered of the device being read. */
struct gather {
	struct msg_be_domain *d;
	struct domain_more *more;
	uint64_t memory_unit;
	bool is_disk, read_only; /* <disk device='disk'> */
	struct msg_nic nic;
	char network[MSG_NAME_MAX];
	char channel_path[MSG_PATH_MAX]; /* of a <channel> that QEMU listens on */
	bool is_guests; /* it is the one of the guest's words */
};

static void open_nic_part(struct gather *g, const struct xml_reader *x)
{
	char text[64];

	if (xml_at(x, "domain/devices/interface/mac")) {
		xml_attr(x, "address", text, sizeof(text));
		mac_parse(text, &g->nic.mac);
	} else if (xml_at(x, "domain/devices/interface/target")) {
		xml_attr(x, "dev", g->nic.ifname, sizeof(g->nic.ifname));
	} else if (xml_at(x, "domain/devices/interface/source")) {
		xml_attr(x, "bridge", g->nic.bridge, sizeof(g->nic.bridge));
		xml_attr(x, "network", g->network, sizeof(g->network));
	} else if (xml_at(x, "domain/devices/interface/virtualport")) {
		/* Open vSwitch and the like: their "bridge" is none of the kernel's. */
		xml_attr(x, "type", text, sizeof(text));
		snprintf(g->nic.kind, sizeof(g->nic.kind), "%.15s", text);
	}
}

static void open_channel_part(struct gather *g, const struct xml_reader *x)
{
	char text[64];

	if (xml_at(x, "domain/devices/channel")) {
		g->channel_path[0] = '\0';
		g->is_guests = false;
	} else if (xml_at(x, "domain/devices/channel/source")) {
		xml_attr(x, "mode", text, sizeof(text));
		if (strcmp(text, "bind") == 0)
			xml_attr(x, "path", g->channel_path, sizeof(g->channel_path));
	} else if (xml_at(x, "domain/devices/channel/target")) {
		xml_attr(x, "name", text, sizeof(text));
		g->is_guests = strcmp(text, GUEST_CHANNEL) == 0;
	}
}

static void open_part(struct gather *g, const struct xml_reader *x)
{
	char text[64];

	if (xml_at(x, "domain/memory")) {
		xml_attr(x, "unit", text, sizeof(text));
		g->memory_unit = scale(text);
	} else if (xml_at(x, "domain/devices/disk")) {
		xml_attr(x, "device", text, sizeof(text));
		g->is_disk = !text[0] || strcmp(text, "disk") == 0 || strcmp(text, "lun") == 0;
		g->read_only = false;
	} else if (xml_at(x, "domain/devices/disk/readonly")) {
		g->read_only = true;
	} else if (xml_at(x, "domain/devices/interface")) {
		memset(&g->nic, 0, sizeof(g->nic));
		g->network[0] = '\0';
		xml_attr(x, "type", text, sizeof(text));
		snprintf(g->nic.kind, sizeof(g->nic.kind), "%.15s", text);
	} else {
		open_nic_part(g, x);
		open_channel_part(g, x);
	}
}

static void text_part(struct gather *g, const struct xml_reader *x)
{
	char text[32];

	if (xml_at(x, "domain/name")) {
		xml_text(x, g->d->name, sizeof(g->d->name));
	} else if (xml_at(x, "domain/uuid")) {
		xml_text(x, g->d->uuid, sizeof(g->d->uuid));
	} else if (xml_at(x, "domain/memory")) {
		xml_text(x, text, sizeof(text));
		g->d->memory_bytes = strtoull(text, NULL, 10) * g->memory_unit;
	}
}

/* On none of the kernel's bridges as far as the XML tells. */
static bool is_bridged(const struct msg_nic *nic)
{
	return strcmp(nic->kind, "bridge") == 0 || strcmp(nic->kind, "network") == 0 || strcmp(nic->kind, "ethernet") == 0;
}

static void close_part(struct gather *g, const struct xml_reader *x)
{
	struct msg_be_domain *d = g->d;

	if (xml_at(x, "domain/devices/disk") && g->is_disk && !g->read_only)
		d->writable_disk = true;
	if (xml_at(x, "domain/devices/channel") && g->is_guests)
		str_copy(g->more->guest_path, g->channel_path);
	if (!xml_at(x, "domain/devices/interface") || d->n_nics == MSG_NICS_MAX)
		return;
	if (!is_bridged(&g->nic))
		g->nic.bridge[0] = '\0';
	if (strcmp(g->nic.kind, "network") == 0 && !g->nic.bridge[0])
		str_copy(g->more->network[d->n_nics], g->network);
	d->nics[d->n_nics++] = g->nic;
}

int domain_xml_read(const char *xml, struct msg_be_domain *d, struct domain_more *more)
{
	struct gather g = { .d = d, .more = more };
	struct xml_reader x;

	memset(more, 0, sizeof(*more));
	d->n_nics = 0;
	d->writable_disk = false;
	xml_init(&x, xml);
	for (;;) {
		switch (xml_next(&x)) {
		case XML_OPEN: open_part(&g, &x); break;
		case XML_TEXT: text_part(&g, &x); break;
		case XML_CLOSE: close_part(&g, &x); break;
		case XML_END: return d->name[0] ? 0 : -EBADMSG;
		case XML_BAD: return -EBADMSG;
		}
	}
}

int network_xml_read_bridge(const char *xml, char bridge[MSG_IFNAME_MAX])
{
	struct xml_reader x;
	enum xml_step step;

	bridge[0] = '\0';
	xml_init(&x, xml);
	while ((step = xml_next(&x)) != XML_END) {
		if (step == XML_BAD)
			return -EBADMSG;
		if (step == XML_OPEN && xml_at(&x, "network/bridge"))
			xml_attr(&x, "name", bridge, MSG_IFNAME_MAX);
	}
	return 0;
}
