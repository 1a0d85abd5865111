/* Domains from xl configurations, xl.cfg(5): PV and PVH ones, of what a server needs.  Anything else is refused, with
 * its line: a domain that is almost what its file says would be worse than none.
 *
 * Not supported, and why: HVM (it has a device model, which libvirt's drivers run with less than root), boot loaders
 * (they read the guest's own disk, as root), devices but disks and NICs.
 */
#ifndef BACKENDS_LIBXL_FILE_H
#define BACKENDS_LIBXL_FILE_H

#include "backends/libxl_conf.h"

/* What the file `path`, which is only the beginning of what *e says, has as `text`.  `c` was initialised, and is
 * disposed of by the caller whatever this returns.  0, or -errno with "PATH:LINE: ..." in *e. */
int xl_file_parse(const char *path, const char *text, const struct xl_host *host, libxl_domain_config *c, struct err *e);

/* What is known by it of a domain that is off.  A NIC without a MAC of its own has 00:00:00:00:00:00: it will be
 * another one at each start. */
void xl_file_tell(const libxl_domain_config *c, struct msg_be_domain *out);

/* The same as xl_file_parse(), read from there; its domain must be called `name`. */
int xl_file_read(const char *path, const char *name, const struct xl_host *host, libxl_domain_config *c, struct err *e);

#endif
