#include "backends/libxl_conf.h"

#include <sys/stat.h>

static int no_memory(struct err *e) { return err_set(e, -ENOMEM, "no memory to describe the machine"); }

/* False when there is no memory.  "" stays NULL. */
static bool set_text(char **to, const char *text)
{
	*to = text[0] ? strdup(text) : NULL;
	return *to || !text[0];
}

int xl_conf_type(const char *machine, const struct xl_host *host, libxl_domain_type *type, struct err *e)
{
	bool arm = strcmp(host->arch, "x86_64") != 0, named = strcmp(machine, "pvh") == 0;

	if (strcmp(machine, "pv") == 0) {
		if (arm || !host->pv)
			return err_set(e, -ENOTSUP, "this Xen has no PV guests: set machine to \"pvh\", or leave it out");
		*type = LIBXL_DOMAIN_TYPE_PV;
	} else if (host->pvh || arm) {
		*type = LIBXL_DOMAIN_TYPE_PVH;
	} else if (named || !host->pv) {
		return err_set(e, -ENOTSUP, "PVH needs hardware virtualisation, and Xen finds none: switch it on in the "
					    "firmware, or set machine to \"pv\"");
	} else {
		*type = LIBXL_DOMAIN_TYPE_PV;
	}
	return 0;
}

/* ---- a request as libxl has it ---- */

int xl_conf_set_vcpus(libxl_domain_config *c, unsigned vcpus, struct err *e)
{
	libxl_bitmap *b = &c->b_info.avail_vcpus;

	libxl_bitmap_dispose(b);
	libxl_bitmap_init(b);
	b->map = calloc(1, (vcpus + 7) / 8);
	if (!b->map)
		return no_memory(e);
	b->size = (vcpus + 7) / 8;
	for (unsigned i = 0; i < vcpus; i++)
		b->map[i / 8] |= (uint8_t)(1u << i % 8);
	c->b_info.max_vcpus = (int)vcpus;
	return 0;
}

static int set_disk(const struct msg_disk *d, unsigned i, libxl_device_disk *out, struct err *e)
{
	char vdev[16];

	snprintf(vdev, sizeof(vdev), "xvd%c", 'a' + (int)i);
	out->format = strcmp(d->format, "qcow2") == 0 ? LIBXL_DISK_FORMAT_QCOW2 : LIBXL_DISK_FORMAT_RAW;
	out->readwrite = !d->read_only;
	return set_text(&out->pdev_path, d->path) && set_text(&out->vdev, vdev) ? 0 : no_memory(e);
}

static int set_disks(const struct msg_be_start *m, libxl_domain_config *c, struct err *e)
{
	int r = 0;

	c->disks = m->n_disks > 0 ? calloc(m->n_disks, sizeof(*c->disks)) : NULL;
	if (m->n_disks > 0 && !c->disks)
		return no_memory(e);
	for (unsigned i = 0; r == 0 && i < m->n_disks; i++) {
		libxl_device_disk_init(&c->disks[i]);
		c->num_disks++;
		r = set_disk(&m->disks[i], i, &c->disks[i], e);
	}
	return r;
}

static int needs_qemu(const libxl_device_disk *d, const struct xl_host *host, struct err *e)
{
	if (host->qemu)
		return 0;
	return err_set(e, -ENOTSUP, "disk %s: without a QEMU in dom0, Xen serves raw disks alone: convert it (qemu-img convert "
				    "-O raw), or install qemu-system-xen", d->pdev_path);
}

static int place_disk(libxl_device_disk *d, const struct xl_host *host, struct err *e)
{
	struct stat st;

	if (!d->pdev_path || !d->pdev_path[0] || d->script || d->backend_domname || d->backend_domid != 0)
		return 0;
	if (stat(d->pdev_path, &st) < 0)
		return err_set_errno(e, -errno, "cannot read disk %s", d->pdev_path);
	if (d->backend == LIBXL_DISK_BACKEND_QDISK || d->format != LIBXL_DISK_FORMAT_RAW)
		return needs_qemu(d, host, e);
	if (S_ISREG(st.st_mode) && !set_text(&d->script, "block"))
		return no_memory(e);
	return 0;
}

int xl_conf_place_disks(libxl_domain_config *c, const struct xl_host *host, struct err *e)
{
	int r = 0;

	for (int i = 0; r == 0 && i < c->num_disks; i++)
		r = place_disk(&c->disks[i], host, e);
	return r;
}

static int set_nic(const struct msg_nic *n, const struct xl_host *host, libxl_device_nic *out, struct err *e)
{
	out->nictype = LIBXL_NIC_TYPE_VIF;
	memcpy(out->mac, n->mac.b, sizeof(out->mac));
	return set_text(&out->bridge, n->bridge) && set_text(&out->script, host->vif_script ? host->vif_script : "") ?
		       0 :
		       no_memory(e);
}

static int set_nics(const struct msg_be_start *m, const struct xl_host *host, libxl_domain_config *c, struct err *e)
{
	int r = 0;

	c->nics = m->n_nics > 0 ? calloc(m->n_nics, sizeof(*c->nics)) : NULL;
	if (m->n_nics > 0 && !c->nics)
		return no_memory(e);
	for (unsigned i = 0; r == 0 && i < m->n_nics; i++) {
		libxl_device_nic_init(&c->nics[i]);
		c->nics[i].devid = (libxl_devid)i;
		c->num_nics++;
		r = set_nic(&m->nics[i], host, &c->nics[i], e);
	}
	return r;
}

static int set_boot(const struct msg_be_start *m, libxl_domain_build_info *b, struct err *e)
{
	b->max_memkb = b->target_memkb = m->memory_bytes / 1024;
	return set_text(&b->kernel, m->kernel) && set_text(&b->ramdisk, m->initrd) && set_text(&b->cmdline, m->cmdline) ?
		       0 :
		       no_memory(e);
}

static int check(const struct msg_be_start *m, const struct xl_host *host, struct err *e)
{
	if (m->arch[0] && strcmp(m->arch, host->arch) != 0)
		return err_set(e, -ENOTSUP, "Xen runs guests of the host's own architecture alone: %s, not %s", host->arch,
			       m->arch);
	if (m->n_disks > MSG_DISKS_MAX || m->n_nics > MSG_NICS_MAX || m->vcpus == 0 || m->memory_bytes < 1024)
		return err_set(e, -EINVAL, "a machine without processors or memory, or with too many devices");
	if (!m->kernel[0])
		return err_set(e, -EINVAL, "a machine without a kernel");
	return 0;
}

int xl_conf_build(const struct msg_be_start *m, const struct xl_host *host, libxl_domain_config *c, struct err *e)
{
	libxl_domain_type type = LIBXL_DOMAIN_TYPE_INVALID;
	int r = check(m, host, e);

	if (r == 0)
		r = xl_conf_type(m->machine, host, &type, e);
	if (r < 0)
		return r;
	c->c_info.type = type;
	libxl_domain_build_info_init_type(&c->b_info, type);
	if (libxl_uuid_from_string(&c->c_info.uuid, m->uuid) != 0)
		return err_set(e, -EINVAL, "\"%s\" is no UUID", m->uuid);
	if (!set_text(&c->c_info.name, m->name))
		return no_memory(e);
	r = xl_conf_set_vcpus(c, m->vcpus, e);
	if (r == 0)
		r = set_boot(m, &c->b_info, e);
	if (r == 0)
		r = set_disks(m, c, e);
	if (r == 0)
		r = set_nics(m, host, c, e);
	c->on_poweroff = c->on_reboot = c->on_crash = c->on_watchdog = LIBXL_ACTION_ON_SHUTDOWN_DESTROY;
	return r;
}

/* ---- and back ---- */

void xl_conf_name_port(uint32_t domid, const libxl_device_nic *nic, char out[MSG_IFNAME_MAX])
{
	if (nic->ifname && nic->ifname[0])
		str_copy_n(out, MSG_IFNAME_MAX, nic->ifname);
	else
		snprintf(out, MSG_IFNAME_MAX, "vif%u.%d", domid, nic->devid);
}

void xl_conf_tell_nic(uint32_t domid, const libxl_device_nic *nic, struct msg_nic *out)
{
	*out = (struct msg_nic){ .kind = "vif" };
	memcpy(out->mac.b, nic->mac, sizeof(out->mac.b));
	str_copy(out->bridge, nic->bridge ? nic->bridge : "");
	xl_conf_name_port(domid, nic, out->ifname);
}
