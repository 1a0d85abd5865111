/* What every backend's process is to the launcher: one that hears requests (backend.h), and that tells what its
 * domains and their guests do (guests.h).
 */
#ifndef BACKENDS_PROCESS_H
#define BACKENDS_PROCESS_H

#include "backends/backend.h"
#include "backends/guests.h"

/* The first member of what the program hands to child_new(), backend_new() and guests_new() as `arg`. */
struct backend_process {
	struct child *child;
	struct backend *backend; /* NULL: not yet */
	struct guests *guests; /* NULL: they are not heard */
};

/* A backend_tell_fn: to the launcher, with the stream of what a domain's guest says behind the domain. */
void process_tell(void *arg, enum msg_type type, const void *body);
/* A guests_tell_fn. */
void process_tell_guest(void *arg, const struct msg_be_guest *m, int fd);
/* Of struct child_ops. */
void process_on_launcher(void *arg);

#endif
