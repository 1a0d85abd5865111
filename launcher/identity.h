/* Names, MACs and UUIDs that are the same after every restart, and differ from host to host.
 *
 * All are cut from SHA-256 over a label, the host's machine-id and what is to be named; the
 * machine-id itself cannot be found out from them (machine-id(5) asks for that).
 */
#ifndef LAUNCHER_IDENTITY_H
#define LAUNCHER_IDENTITY_H

#include "base/addr.h"
#include "base/err.h"
#include "base/msg.h"
#include "base/util.h"

struct identity {
	uint8_t machine_id[16];
};

/* From /etc/machine-id, or where that is missing or unset, from `state_dir`/machine-id, which is
 * made with a random one when it is missing too.  -errno with *e. */
int identity_load(const char *state_dir, struct identity *out, struct err *e);
/* The same with another place than /etc/machine-id. */
int identity_load_from(const char *path, const char *state_dir, struct identity *out, struct err *e);

/* The MAC of a service's NIC: locally administered, unicast, begins with 02:. */
void identity_mac(const struct identity *id, const char *service, unsigned nic, struct mac_addr *out);
/* The UUID of the domain we define for a service (RFC 9562, version 8). */
void identity_uuid(const struct identity *id, const char *service, char out[MSG_UUID_MAX]);
/* The tap of a service's NIC: "jt" and ten hex digits. */
void identity_tap_name(const struct identity *id, const char *service, unsigned nic, char out[MSG_IFNAME_MAX]);
/* Our side of that tap: begins with fe:, so that a bridge takes it for its own only where all ports are such.
 * (A bridge without a MAC of its own has the lowest of its ports'.) */
void identity_tap_mac(const struct identity *id, const char *service, unsigned nic, struct mac_addr *out);
/* Our hold tap of a bridge: "jh" and ten hex digits; its MAC begins with fe:00:, below that of every VM's
 * port, libvirt's too: so the bridge's own MAC does not change when such a port comes or goes, which would cut off
 * the host's connections. */
void identity_hold_name(const struct identity *id, const char *bridge, char out[MSG_IFNAME_MAX]);
void identity_hold_mac(const struct identity *id, const char *bridge, struct mac_addr *out);
/* From which VMs on this bridge are probed, when they are not probed from the bridge's own. */
void identity_probe_mac(const struct identity *id, const char *bridge, struct mac_addr *out);

#endif
