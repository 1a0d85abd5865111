/* What libxl is told of a domain, from a request to start one.  Pure but for memory.
 *
 * The kind of domain: "pv" and "pvh" as named.  Everything else ("" and the names of QEMU's machines, so that a
 * service may move between hypervisors) is what suits the host: PVH where its processor can, else PV.
 */
#ifndef BACKENDS_LIBXL_CONF_H
#define BACKENDS_LIBXL_CONF_H

#include "backends/libxl_ctx.h"

struct xl_host {
	bool pvh; /* the processor has hardware virtualisation */
	bool pv; /* Xen was built with PV */
	bool qemu; /* dom0 has one, which disks of other kinds than raw need */
	const char *arch; /* "x86_64" */
	const char *vif_script; /* what connects a NIC to its bridge; NULL: libxl's own default */
};

/* `c` was initialised, and is disposed of by the caller whatever this returns.  0, or -errno with *e. */
int xl_conf_build(const struct msg_be_start *m, const struct xl_host *host, libxl_domain_config *c, struct err *e);

/* The type of domain for `machine`; 0, or -ENOTSUP with *e. */
int xl_conf_type(const char *machine, const struct xl_host *host, libxl_domain_type *type, struct err *e);

/* Room for `vcpus` processors, all of them there from the beginning. */
int xl_conf_set_vcpus(libxl_domain_config *c, unsigned vcpus, struct err *e);

/* Who serves each disk: Xen's block driver in dom0, blkback, what is raw (a file by a loop device, which Xen's script
 * `block` makes), QEMU the rest.  Looks at the files.  0, or -errno with *e: one is not there, or needs a QEMU that is
 * not.  Disks that say themselves how (script=, another driver domain) are left as they are. */
int xl_conf_place_disks(libxl_domain_config *c, const struct xl_host *host, struct err *e);

/* The NIC's port on our side, which libxl names after the domain unless it was told a name. */
void xl_conf_name_port(uint32_t domid, const libxl_device_nic *nic, char out[MSG_IFNAME_MAX]);

/* What of a NIC our messages have. */
void xl_conf_tell_nic(uint32_t domid, const libxl_device_nic *nic, struct msg_nic *out);

#endif
