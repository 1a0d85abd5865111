/* libxlu, which xl itself is made of, reads values, disks and rates.  It has no way to say which options there are, and
 * ignores those that nobody asks for; so the text is walked by ourselves, too (base/xl_text.h), and each option must
 * have a row here.
 */
#include "backends/libxl_file.h"

#include <libxlutil.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/xl_text.h"

#define DEFAULT_BRIDGE "xenbr0" /* libxl's own, where vif names none */

struct file {
	const char *path, *text;
	const struct xl_host *host;
	libxl_domain_config *c;
	XLU_Config *cfg;
	char *said; /* by libxlu */
	size_t said_n;
	FILE *report;
	struct err *e;
};

/* ---- which options there are ---- */

enum taken { TAKEN, IGNORED, REFUSED };

static const struct {
	const char *key;
	enum taken taken;
	const char *why; /* it is refused */
} options[] = {
	{ "name", TAKEN, NULL },	{ "uuid", TAKEN, NULL },	{ "type", TAKEN, NULL },
	{ "kernel", TAKEN, NULL },	{ "ramdisk", TAKEN, NULL },	{ "cmdline", TAKEN, NULL },
	{ "root", TAKEN, NULL },	{ "extra", TAKEN, NULL },	{ "memory", TAKEN, NULL },
	{ "maxmem", TAKEN, NULL },	{ "vcpus", TAKEN, NULL },	{ "maxvcpus", TAKEN, NULL },
	{ "cpu_weight", TAKEN, NULL },	{ "cap", TAKEN, NULL },		{ "disk", TAKEN, NULL },
	{ "vif", TAKEN, NULL },
	/* jitsu decides when it runs */
	{ "on_poweroff", IGNORED, NULL }, { "on_reboot", IGNORED, NULL }, { "on_watchdog", IGNORED, NULL },
	{ "on_crash", IGNORED, NULL },	  { "on_soft_reset", IGNORED, NULL },
	{ "dhcp", IGNORED, NULL }, /* of xen-tools, and never xl's */
	{ "bootloader", REFUSED, "a boot loader reads the guest's own disk as root: name the kernel, and the ramdisk" },
	{ "bootloader_args", REFUSED, "a boot loader reads the guest's own disk as root: name the kernel, and the ramdisk" },
	{ "builder", REFUSED, "write type = \"pv\" or \"pvh\" instead" },
	{ "pvh", REFUSED, "write type = \"pvh\" instead" },
};

static int refuse(struct file *f, unsigned line, int error, const char *key, const char *why)
{
	return err_set(f->e, error, "%s:%u: %s%s%s", f->path, line, key, key[0] ? ": " : "", why);
}

static int check_option(void *arg, const struct xl_option *o)
{
	struct file *f = arg;

	if (o->adds)
		return refuse(f, o->line, -ENOTSUP, o->key, "+= is not supported: write the whole list");
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (strcmp(options[i].key, o->key) != 0)
			continue;
		return options[i].taken == REFUSED ? refuse(f, o->line, -ENOTSUP, o->key, options[i].why) : 0;
	}
	return refuse(f, o->line, -ENOTSUP, o->key,
		      "is not supported here: leave it out, or start the domain with xl create and name it as \"domain\"");
}

/* ---- where an option is, for mistakes ---- */

struct wanted {
	const char *key;
	unsigned line;
};

static int find_line(void *arg, const struct xl_option *o)
{
	struct wanted *w = arg;

	if (strcmp(o->key, w->key) == 0)
		w->line = o->line;
	return 0;
}

static unsigned line_of(const struct file *f, const char *key)
{
	struct wanted w = { .key = key, .line = 1 };
	struct err ignored;

	xl_text_each(f->text, find_line, &w, &ignored);
	return w.line;
}

static int wrong(struct file *f, const char *key, const char *why) { return refuse(f, line_of(f, key), -EINVAL, key, why); }
static int no_memory(struct file *f) { return err_set(f->e, -ENOMEM, "no memory to read %s", f->path); }

/* ---- values ---- */

/* NULL when it is not there. */
static int get_text(struct file *f, const char *key, const char **text)
{
	*text = NULL;
	return xlu_cfg_get_string(f->cfg, key, text, 1) == EINVAL ? wrong(f, key, "expected a text") : 0;
}

static int copy_text(struct file *f, const char *key, char **to)
{
	const char *text;
	int r = get_text(f, key, &text);

	if (r < 0 || !text || !text[0])
		return r;
	*to = strdup(text);
	return *to ? 0 : no_memory(f);
}

/* `value` stays when it is not there. */
static int get_number(struct file *f, const char *key, long min, long max, long *value)
{
	long n;

	switch (xlu_cfg_get_long(f->cfg, key, &n, 1)) {
	case 0: break;
	case ESRCH: return 0;
	default: return wrong(f, key, "expected a number");
	}
	if (n < min || n > max)
		return wrong(f, key, "that number cannot be");
	*value = n;
	return 0;
}

/* ---- the domain ---- */

static int read_type(struct file *f)
{
	const char *type = NULL;
	libxl_domain_type t = LIBXL_DOMAIN_TYPE_INVALID;
	int r = get_text(f, "type", &type);

	if (r < 0)
		return r;
	if (!type) /* xl.cfg(5): "pv" is what was meant before there was PVH; on ARM there is nothing else */
		type = strcmp(f->host->arch, "x86_64") == 0 ? "pv" : "pvh";
	if (strcmp(type, "pv") != 0 && strcmp(type, "pvh") != 0)
		return wrong(f, "type", "\"pv\" and \"pvh\" are supported: an HVM domain has a device model that runs as root");
	r = xl_conf_type(type, f->host, &t, f->e);
	if (r < 0)
		return r;
	f->c->c_info.type = t;
	libxl_domain_build_info_init_type(&f->c->b_info, t);
	return 0;
}

/* One UUID for each name, where the file has none: the domain is the same each time. */
static void uuid_of_name(const char *name, libxl_uuid *uuid)
{
	uint8_t *b = libxl_uuid_bytearray(uuid);
	uint64_t h[2] = { 0xcbf29ce484222325, 0x84222325cbf29ce4 }; /* FNV-1a, twice */

	for (const char *c = name; *c; c++) {
		for (int i = 0; i < 2; i++)
			h[i] = (h[i] ^ (uint8_t)*c) * 0x100000001b3;
	}
	memcpy(b, h, sizeof(h));
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x80); /* version 8: whatever its maker likes (RFC 9562, 5.8) */
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
}

static int read_identity(struct file *f)
{
	char name[MSG_NAME_MAX * 2];
	const char *uuid = NULL;
	int r = xl_text_name(f->text, name, sizeof(name), f->e);

	if (r == 0)
		r = get_text(f, "uuid", &uuid);
	if (r < 0)
		return r;
	f->c->c_info.name = strdup(name);
	if (!f->c->c_info.name)
		return no_memory(f);
	if (!uuid)
		uuid_of_name(name, &f->c->c_info.uuid);
	else if (libxl_uuid_from_string(&f->c->c_info.uuid, uuid) != 0)
		return wrong(f, "uuid", "expected a UUID");
	return 0;
}

static int read_sizes(struct file *f)
{
	libxl_domain_build_info *b = &f->c->b_info;
	long memory = 0, maxmem = 0, vcpus = 1, maxvcpus = 0, weight = 0, cap = -1;
	int r = get_number(f, "memory", 1, 1 << 24, &memory);

	if (r == 0)
		r = get_number(f, "maxmem", 1, 1 << 24, &maxmem);
	if (r == 0)
		r = get_number(f, "vcpus", 1, 128, &vcpus);
	if (r == 0)
		r = get_number(f, "maxvcpus", 1, 128, &maxvcpus);
	if (r == 0)
		r = get_number(f, "cpu_weight", 1, 65535, &weight);
	if (r == 0)
		r = get_number(f, "cap", 0, 12800, &cap);
	if (r < 0)
		return r;
	if (memory == 0)
		return refuse(f, 1, -EINVAL, "memory", "is missing");
	if ((maxmem > 0 && maxmem != memory) || (maxvcpus > 0 && maxvcpus != vcpus))
		return wrong(f, maxmem > 0 && maxmem != memory ? "maxmem" : "maxvcpus",
			     "must be what the domain begins with: nothing here changes that while it runs");
	b->max_memkb = b->target_memkb = (uint64_t)memory * 1024;
	if (weight > 0)
		b->sched_params.weight = (int)weight;
	if (cap >= 0)
		b->sched_params.cap = (int)cap;
	return xl_conf_set_vcpus(f->c, (unsigned)vcpus, f->e);
}

/* cmdline, or what is older than it: root and extra. */
static int read_cmdline(struct file *f)
{
	const char *root = NULL, *extra = NULL;
	int r = copy_text(f, "cmdline", &f->c->b_info.cmdline);

	if (r == 0)
		r = get_text(f, "root", &root);
	if (r == 0)
		r = get_text(f, "extra", &extra);
	if (r < 0 || f->c->b_info.cmdline || (!root && !extra))
		return r;
	if (asprintf(&f->c->b_info.cmdline, "%s%s%s%s", root ? "root=" : "", root ? root : "", root && extra ? " " : "",
		     extra ? extra : "") >= 0)
		return 0;
	f->c->b_info.cmdline = NULL;
	return no_memory(f);
}

static int read_boot(struct file *f)
{
	int r = copy_text(f, "kernel", &f->c->b_info.kernel);

	if (r == 0)
		r = copy_text(f, "ramdisk", &f->c->b_info.ramdisk);
	if (r == 0)
		r = read_cmdline(f);
	if (r == 0 && !f->c->b_info.kernel)
		return refuse(f, 1, -EINVAL, "kernel", "is missing");
	return r;
}

/* ---- devices ---- */

static int get_list(struct file *f, const char *key, int most, XLU_ConfigList **list, int *n)
{
	*n = 0;
	switch (xlu_cfg_get_list(f->cfg, key, list, n, 1)) {
	case ESRCH: return 0;
	case 0: return *n > most ? wrong(f, key, "there are more than are supported") : 0;
	default: return wrong(f, key, "expected a list of texts");
	}
}

static int read_disks(struct file *f)
{
	XLU_ConfigList *list = NULL;
	int n, r = get_list(f, "disk", MSG_DISKS_MAX, &list, &n);

	if (r < 0 || n == 0)
		return r;
	f->c->disks = calloc((size_t)n, sizeof(*f->c->disks));
	if (!f->c->disks)
		return no_memory(f);
	for (int i = 0; i < n; i++) {
		const char *spec = xlu_cfg_get_listitem(list, i);

		libxl_device_disk_init(&f->c->disks[i]);
		f->c->num_disks++;
		if (!spec || xlu_disk_parse(f->cfg, 1, &spec, &f->c->disks[i]) != 0)
			return wrong(f, "disk", "expected a disk as xl-disk-configuration(5) says");
	}
	return 0;
}

static int set_mac(struct file *f, libxl_device_nic *nic, const char *value)
{
	struct mac_addr mac;

	if (mac_parse(value, &mac) < 0 || mac_is_zero(&mac))
		return wrong(f, "vif", "expected mac=00:16:3e:...");
	memcpy(nic->mac, mac.b, sizeof(nic->mac));
	return 0;
}

static int set_nic_option(struct file *f, libxl_device_nic *nic, const char *key, const char *value)
{
	char **text = strcmp(key, "bridge") == 0  ? &nic->bridge :
		      strcmp(key, "script") == 0  ? &nic->script :
		      strcmp(key, "vifname") == 0 ? &nic->ifname :
		      strcmp(key, "ip") == 0	  ? &nic->ip :
						    NULL;

	if (text) {
		free(*text);
		*text = strdup(value);
		return *text ? 0 : no_memory(f);
	}
	if (strcmp(key, "mac") == 0)
		return set_mac(f, nic, value);
	if (strcmp(key, "rate") == 0)
		return xlu_vif_parse_rate(f->cfg, value, nic) == 0 ? 0 : wrong(f, "vif", "expected rate=10Mb/s");
	if (strcmp(key, "type") == 0 && (strcmp(value, "vif") == 0 || strcmp(value, "netfront") == 0))
		return 0;
	return wrong(f, "vif", "mac, bridge, script, vifname, ip, rate and type=vif are supported");
}

static int read_nic(struct file *f, libxl_device_nic *nic, const char *spec)
{
	cleanup_free char *copy = strdup(spec);
	char *save = NULL;
	int r = 0;

	if (!copy)
		return no_memory(f);
	for (char *key = strtok_r(copy, ",", &save); key && r == 0; key = strtok_r(NULL, ",", &save)) {
		char *value = strchr(key, '=');

		key += strspn(key, " \t");
		if (!value)
			return wrong(f, "vif", "expected KEY=VALUE,KEY=VALUE");
		*value++ = '\0';
		r = set_nic_option(f, nic, key, value);
	}
	if (r == 0 && !nic->script && f->host->vif_script && !(nic->script = strdup(f->host->vif_script)))
		return no_memory(f);
	return r;
}

static int read_nics(struct file *f)
{
	XLU_ConfigList *list = NULL;
	int n, r = get_list(f, "vif", MSG_NICS_MAX, &list, &n);

	if (r < 0 || n == 0)
		return r;
	f->c->nics = calloc((size_t)n, sizeof(*f->c->nics));
	if (!f->c->nics)
		return no_memory(f);
	for (int i = 0; i < n && r == 0; i++) {
		const char *spec = xlu_cfg_get_listitem(list, i);

		libxl_device_nic_init(&f->c->nics[i]);
		f->c->nics[i].devid = i;
		f->c->nics[i].nictype = LIBXL_NIC_TYPE_VIF;
		f->c->num_nics++;
		r = spec ? read_nic(f, &f->c->nics[i], spec) : wrong(f, "vif", "expected a list of texts");
	}
	return r;
}

/* ---- the whole ---- */

static int read_all(struct file *f)
{
	static int (*const parts[])(struct file *) = { read_type, read_identity, read_sizes, read_boot, read_disks, read_nics };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parts) && r == 0; i++)
		r = parts[i](f);
	f->c->on_poweroff = f->c->on_reboot = f->c->on_crash = f->c->on_watchdog = LIBXL_ACTION_ON_SHUTDOWN_DESTROY;
	return r;
}

/* "LINE: what" of xl_text.h becomes "PATH:LINE: what". */
static int in_file(const struct file *f, int r)
{
	struct err plain = *f->e;
	size_t n = strlen(f->path);

	if (r < 0 && strncmp(plain.text, f->path, n) != 0)
		err_set(f->e, r, "%s:%s%s", f->path, plain.text[0] >= '0' && plain.text[0] <= '9' ? "" : " ", plain.text);
	return r;
}

static int parse_with(struct file *f)
{
	int r = 0;

	f->report = open_memstream(&f->said, &f->said_n);
	f->cfg = f->report ? xlu_cfg_init(f->report, f->path) : NULL;
	if (!f->cfg)
		r = no_memory(f);
	else if (xlu_cfg_readdata(f->cfg, f->text, (int)strlen(f->text)) != 0)
		r = err_set(f->e, -EBADMSG, "1: libxlu does not understand it");
	else
		r = read_all(f);
	if (f->cfg)
		xlu_cfg_destroy(f->cfg);
	if (f->report)
		fclose(f->report);
	free(f->said);
	return r;
}

int xl_file_parse(const char *path, const char *text, const struct xl_host *host, libxl_domain_config *c, struct err *e)
{
	struct file f = { .path = path, .text = text, .host = host, .c = c, .e = e };
	int r = xl_text_each(text, check_option, &f, e);

	return in_file(&f, r < 0 ? r : parse_with(&f));
}

void xl_file_tell(const libxl_domain_config *c, struct msg_be_domain *out)
{
	*out = (struct msg_be_domain){ .domain_id = -1, .state = DOMAIN_OFF };
	str_copy(out->name, c->c_info.name);
	xl_uuid_format(&c->c_info.uuid, out->uuid);
	out->memory_bytes = c->b_info.max_memkb * 1024;
	for (int i = 0; i < c->num_disks; i++)
		out->writable_disk |= c->disks[i].readwrite && !c->disks[i].is_cdrom;
	for (int i = 0; i < c->num_nics; i++) {
		struct msg_nic *nic = &out->nics[out->n_nics++];

		xl_conf_tell_nic(0, &c->nics[i], nic);
		nic->ifname[0] = '\0'; /* it has no port yet */
		if (!nic->bridge[0])
			str_copy(nic->bridge, DEFAULT_BRIDGE);
	}
}

int xl_file_read(const char *path, const char *name, const struct xl_host *host, libxl_domain_config *c, struct err *e)
{
	cleanup_buf struct buf text = { 0 };
	int r = buf_read_file(&text, path, XL_TEXT_BYTES_MAX);

	if (r < 0)
		return err_set_errno(e, r, "cannot read %s", path);
	r = xl_file_parse(path, text.text ? text.text : "", host, c, e);
	if (r == 0 && strcmp(c->c_info.name, name) != 0)
		return err_set(e, -EINVAL, "%s: its domain is called %s now, and was %s: jitsuctl reload", path, c->c_info.name,
			       name);
	return r;
}
