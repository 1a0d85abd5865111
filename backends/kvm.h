/* Does KVM truly run a guest here?  /dev/kvm may be there, open, even make a VM, and then run
 * nothing (nested without support: an endless loop, an error in the first entry, or QEMU aborting
 * on an MSR).  So we look, once, before believing: first a page of our own code under bare KVM,
 * then QEMU itself with a firmware of five bytes, both as QEMU's user and bounded in time.
 *
 * For single-threaded times: before the first thread is made.
 */
#ifndef BACKENDS_KVM_H
#define BACKENDS_KVM_H

#include <sys/types.h>

#include "base/err.h"

struct kvm_user {
	const char *name;
	uid_t uid;
	gid_t gid;
};

/* 0 when a guest ran; or -errno and in *e why KVM is not used, and what to do.  `dir` is a
 * directory of root's for a temporary file that `user` can read. */
int kvm_check(const struct kvm_user *user, const char *dir, struct err *e);

/* Gives this process a mount namespace and in it a /dev without kvm.  libvirt would otherwise
 * find, at every start, that its cached probe of QEMU and its own look at /dev/kvm disagree, and
 * probe anew, for seconds.  Nothing to do where there is no /dev/kvm. */
int kvm_hide(struct err *e);

/* The parts of kvm_check(), for tests. */
int kvm_run_page(void); /* in the calling process; 0 or -errno; may never return */
enum { KVM_ROM_BYTES = 64 * 1024, KVM_ROM_STATUS = 33 };
void kvm_fill_rom(unsigned char rom[KVM_ROM_BYTES]); /* QEMU that runs it exits with KVM_ROM_STATUS */

#endif
