/* The libvirt side of a backend: backend.h's functions over one libvirt connection. */
#ifndef BACKENDS_LIBVIRT_H
#define BACKENDS_LIBVIRT_H

#include "backends/backend.h"
#include "backends/console.h"
#include "backends/guests.h"

struct libvirt;

struct libvirt_conf {
	const char *uri;
	const char *console_dir;
	const char *log_dir; /* QEMU's stderr, a file per domain; NULL when it is not ours */
	bool kvm; /* a test guest ran */
	const char *no_kvm; /* why not */
	const char *unusable; /* why it must not even be tried; NULL: it may */
	struct consoles *consoles; /* borrowed; NULL: no consoles */
	struct guests *guests; /* borrowed; NULL: guests are not heard */
	uid_t qemu_uid;
	gid_t qemu_gid;
};

extern const struct backend_ops libvirt_ops; /* hv: struct libvirt */

/* Borrows conf's strings for its life.  NULL with errno. */
struct libvirt *libvirt_new(const struct libvirt_conf *conf);
/* Where events go; before the first open. */
void libvirt_set_backend(struct libvirt *l, struct backend *b);
void libvirt_free(struct libvirt *l);

/* Loop thread, now and then: keeps QEMU's own log files small. */
void libvirt_trim_logs(const struct libvirt *l);

#endif
