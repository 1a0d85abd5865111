/* Which program a process of ours is, what it is told on its command line, and running it.
 * base/child.h says what it finds there. */
#ifndef CMD_PROGRAMS_H
#define CMD_PROGRAMS_H

#include <limits.h>
#include <sys/types.h>

#include "base/msg.h"
#include "cmd/users.h"

struct programs {
	const struct conf *conf;
	const char *conf_path; /* absolute */
	struct users users;
	char exe[PATH_MAX], libexec[PATH_MAX]; /* ourselves, and the directory of the backends */
};

/* Which program speaks to a hypervisor, and the package that has it. */
struct backend_program {
	const char *program, *package;
};
const struct backend_program *programs_backend(const struct msg_want_backend *backend);

enum { PROGRAMS_NOT_RUN = 127 }; /* the exit status of a process whose program could not be run */

/* Fills in `exe` and `libexec`.  0, or -errno and a sentence. */
int programs_find(struct programs *p, struct err *e);

/* Runs the program of this role in a session of its own; `channel` becomes its descriptor 3, and it
 * has no other but stdio.  `backend` is for ROLE_BACKEND.  The pid, or -errno. */
pid_t programs_run(const struct programs *p, enum role role, const struct msg_want_backend *backend, int channel);

#endif
