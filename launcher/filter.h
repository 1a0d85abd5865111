/* Classic BPF programs (socket filters) for a VM's port and for hold taps: which frames they take. */
#ifndef LAUNCHER_FILTER_H
#define LAUNCHER_FILTER_H

#include <linux/filter.h>

#include "base/addr.h"
#include "base/util.h"

enum { FILTER_MAX = 64, FILTER_PROBE_BYTES = 256 };

struct filter {
	struct sock_filter code[FILTER_MAX];
	uint16_t n;
};

/* What the prober hears (port_probe_socket() in port.h): the first FILTER_PROBE_BYTES of it. */
void filter_probe(struct filter *f, const struct mac_addr *vm_mac, const struct mac_addr *probe_mac);

/* What counts as use of the VM (port.h), in both directions; one byte of it, for it is never read.
 * The MACs as in struct port_conf. */
void filter_activity(struct filter *f, const struct mac_addr *vm_mac, const struct mac_addr *ignore_mac);

/* What a hold tap passes where there is no BPF (hold_tap.h): every frame of a kind that may concern
 * an address of ours, whosesoever it is. */
void filter_hold(struct filter *f);

/* To a socket, which cannot take it off again when `lock`.  0 or -errno. */
int filter_attach(const struct filter *f, int fd, bool lock);

#endif
