/* The libxl side of a backend: backend.h's functions over Xen's toolstack library. */
#ifndef BACKENDS_LIBXL_H
#define BACKENDS_LIBXL_H

#include "backends/backend.h"

struct libxl;
struct event_base;

struct libxl_conf {
	const char *run_dir;
	const char *vif_script; /* NULL: libxl's default */
	/* Loop thread: the console of a domain that began. */
	void (*console)(void *arg, const char *name, const char *tty);
	/* Loop thread: the domain will not come back. */
	void (*forget)(void *arg, const char *name);
	/* Loop thread: somebody wants the console of this one kept. */
	void (*keep)(void *arg, const char *name);
	void *arg;
};

extern const struct backend_ops libxl_ops; /* hv: struct libxl */

/* Borrows conf's strings for its life.  NULL with *e. */
struct libxl *libxl_new(struct event_base *base, const struct libxl_conf *conf, struct err *e);
/* Where events go; before the first open. */
void libxl_set_backend(struct libxl *l, struct backend *b);
/* Loop thread.  XenStore is gone: what is connected to it does not come back, a new process may. */
bool libxl_is_lost(const struct libxl *l);

#endif
