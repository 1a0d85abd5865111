/* How a process gives up what it must not have: an empty root directory, a user of its own, no
 * capability, no way to get one back, and only the system calls it was written to make.
 */
#ifndef BASE_SANDBOX_H
#define BASE_SANDBOX_H

#include <sys/types.h>

#include "base/err.h"

struct sandbox {
	const char *chroot_dir; /* an empty directory of root's; NULL: none */
	uid_t uid; /* 0: stay root (then no chroot and no seccomp are asked for either) */
	gid_t gid;
	const int *syscalls; /* SCMP_SYS() numbers, beyond those every process of ours needs */
	size_t n_syscalls;
	bool threads; /* it may start threads, and nothing else that clone() can */
	bool no_seccomp;
};

/* Afterwards: not dumpable, no_new_privs, no core file, every capability gone from every set.  A
 * call outside the list kills the process (the kernel logs it).  0, or -errno with *e; after a
 * failure the process must exit. */
int sandbox_enter(const struct sandbox *s, struct err *e);

#endif
