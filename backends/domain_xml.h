/* libvirt's XML of a domain: written for the machines we define, read for those we find.  Pure:
 * text in, text out.
 *
 * What we choose where the operator says nothing:
 * - machine: x86_64 boots a kernel on microvm, a disk on q35; aarch64 has virt.
 * - acpi: off for a kernel alone on microvm (a unikernel: it is then told its devices on the
 *   command line, and starts 6 ms sooner, but has no power button); on with an initrd or a disk, a
 *   general-purpose system, which wants it for its devices; on with PCI.
 * - No device beyond those asked for but a virtio-rng, the serial console and the channel of the guest's
 *   words: no USB, no memory balloon, no video.
 */
#ifndef BACKENDS_DOMAIN_XML_H
#define BACKENDS_DOMAIN_XML_H

#include "base/buf.h"
#include "base/err.h"
#include "base/msg.h"

struct domain_host {
	bool kvm; /* guests of the host's own architecture may be of type kvm */
	const char *arch; /* the host's: "x86_64" */
	const char *console_path; /* the socket the serial console connects to; NULL: no console */
	const char *guest_path; /* ... and the channel of the guest's words; NULL: none */
};

/* Adds the domain's XML to `out`.  0, or -EINVAL with *e for a machine that cannot be (an unknown
 * architecture, a name libvirt would refuse).  Look at out->error afterwards. */
int domain_xml_write(const struct msg_be_start *m, const struct domain_host *host, struct buf *out, struct err *e);

/* What there is beyond the message. */
struct domain_more {
	char network[MSG_NICS_MAX][MSG_NAME_MAX]; /* of NICs whose bridge the XML does not tell; else "" */
	char guest_path[MSG_PATH_MAX]; /* where QEMU listens for who wants to hear the guest's words; "": nowhere */
};

/* Fills in uuid, name, memory_bytes, writable_disk, nics from what libvirt says of a domain.
 * 0 or -EBADMSG. */
int domain_xml_read(const char *xml, struct msg_be_domain *d, struct domain_more *more);

/* The bridge of a <network>; "" when it has none. */
int network_xml_read_bridge(const char *xml, char bridge[MSG_IFNAME_MAX]);

/* `text` as XML character data or attribute value.  Bytes that XML cannot carry (controls) become
 * spaces. */
void xml_escape(struct buf *out, const char *text);

#endif
