/* qemu.conf for the driver that runs inside our process (qemu:///embed?root=DIR reads
 * DIR/etc/qemu.conf), and what else DIR needs.
 *
 * Both isolations: QEMU runs as `user` with its seccomp sandbox on.  `strict` leaves cgroups,
 * namespaces and the security driver to what libvirt finds on the host; `fast` does without
 * (a start costs a third less).  Files are not chowned in either: kernels and images must be
 * readable by the user, and disks to be written writable for it.
 */
#ifndef BACKENDS_LIBVIRT_CONF_H
#define BACKENDS_LIBVIRT_CONF_H

#include "base/buf.h"
#include "base/err.h"
#include "base/msg.h"

/* DIR of "qemu:///embed?root=DIR", percent-decoded.  False when the URI is no embed one, or DIR is
 * not absolute or too long. */
bool libvirt_embed_root(const char *uri, char root[MSG_PATH_MAX]);

void libvirt_conf_text(struct buf *out, enum isolation isolation, unsigned uid, unsigned gid);

/* Makes DIR and writes the file.  0, or -errno with *e. */
int libvirt_conf_write(const char *root, enum isolation isolation, unsigned uid, unsigned gid, struct err *e);

#endif
