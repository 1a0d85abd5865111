/* What jitsu-vif does: libxl's hot-plug helper for a VM's NIC on a Linux bridge, in the place of Xen's own script
 * vif-bridge, and with the same meaning.
 *
 * libxl runs it as its script when netback has made the interface and before the VM runs, and again when the VM is
 * gone:
 *
 *     online|offline type_if=vif    environment: vif=vifD.N, XENBUS_PATH=backend/vif/D/N
 *     add|remove     type_if=tap    the same for the tap of an emulated NIC, INTERFACE
 *
 * What it reads in XenStore, below XENBUS_PATH: `bridge`, `vifname` (how the interface shall be called) and `mtu`
 * (else the bridge's).  What it writes: `hotplug-status` "connected", which netback waits for; or `hotplug-error`, a
 * sentence that libxl puts into its log, and `hotplug-status` "error"; the VM's `mtu` where it is not 1500.
 *
 * The interface gets the MAC fe:ff:ff:ff:ff:ff, which is above all others, so that no bridge takes it for its own,
 * and no IPv6 address.  What vif-bridge does besides is not done: iptables rules for the NIC's `ip`, hooks in
 * /etc/xen/scripts/vif-post.d, a search for some bridge where none is named.
 */
#ifndef BACKENDS_VIF_H
#define BACKENDS_VIF_H

#include "base/err.h"

struct xs_handle;

struct vif_task {
	bool join; /* else leave */
	bool emulated; /* the tap of an emulated NIC: netback does not wait for it */
	const char *ifname;
	const char *path; /* XENBUS_PATH */
};

/* From the arguments and the environment, whose strings are not copied.  -EINVAL with the sentence. */
int vif_task_parse(int argc, char **argv, struct vif_task *out, struct err *e);

/* Does it.  What is done already is no error, and leaving what is gone is none.  0 or -errno; then XenStore has been
 * told what went wrong. */
int vif_do(struct xs_handle *xs, const struct vif_task *t, struct err *e);

#endif
