/* A domain's state to a file and from one, by libxl.  What is in the file is libxl's alone: the domain's configuration
 * is made again as for a boot.
 */
#ifndef BACKENDS_LIBXL_SAVE_H
#define BACKENDS_LIBXL_SAVE_H

#include "backends/libxl_ctx.h"

/* Its guest has to take part: it stops itself, and finds everything of the host's anew in another domain.  -ENOTSUP with
 * *e when it does not say that it can (control/feature-suspend in XenStore), which else would take libxl a minute to
 * find out. */
int xl_save_check_guest(uint32_t domid, struct err *e);

/* The domain is suspended, and its state is at `file` (save_file.h).  0; or -errno with *e: it runs on. */
int xl_save(struct xl_ctx *x, uint32_t domid, const char *file, struct err *e);
/* A suspended domain goes on as if nothing had been. */
int xl_save_undo(struct xl_ctx *x, uint32_t domid);

/* -EBADMSG with *e when there is something else in the file; -ESTALE when the kernel or a disk was written to since the
 * file was.  Block devices cannot be asked. */
int xl_save_check(const libxl_domain_config *c, const char *file, struct err *e);

/* As libxl_domain_create_new(), from the file; which is gone then. */
int xl_restore(struct xl_ctx *x, libxl_domain_config *c, const char *file, uint32_t *domid);

#endif
