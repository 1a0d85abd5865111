#include "base/sandbox.h"

#include <cap-ng.h>
#include <grp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* The sanitizers' own system calls are nobody's to list. */
#ifdef JITSU_SANITIZED
#define SANITIZED true
#else
#define SANITIZED false
#endif

/* What an event loop with messages, timers, memory and a log needs, and no more: nothing here
 * opens a file, makes a socket, starts a program or looks at another process. */
static const int common_syscalls[] = {
	/* the loop */
	SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),
	SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime), SCMP_SYS(eventfd2), SCMP_SYS(poll), SCMP_SYS(ppoll),
	/* descriptors we were given */
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(close), SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg), SCMP_SYS(recvfrom), SCMP_SYS(sendto), SCMP_SYS(fcntl), SCMP_SYS(fstat),
	SCMP_SYS(newfstatat), SCMP_SYS(lseek), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(shutdown),
	/* memory */
	SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(mprotect), SCMP_SYS(madvise), SCMP_SYS(brk),
	/* time, random, ourselves */
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday),
	SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid),
	SCMP_SYS(futex), SCMP_SYS(sched_yield), SCMP_SYS(restart_syscall),
	/* signals, ends */
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
	SCMP_SYS(tgkill), SCMP_SYS(exit), SCMP_SYS(exit_group),
};

static int add_rules(scmp_filter_ctx ctx, const int *syscalls, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r;

		if (syscalls[i] < 0)
			continue; /* this architecture does not have it */
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, syscalls[i], 0);
		if (r < 0 && r != -EEXIST)
			return r;
	}
	return 0;
}

/* libevent's bufferevents ask how much there is to read.  Any other request on a descriptor that we
 * were given, a tap above all, would change what it is. */
static int add_ioctl(scmp_filter_ctx ctx)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, FIONREAD));
}

/* clone() with exactly the flags of pthread_create().  clone3() has them in memory, where a filter cannot
 * look: it is "not there", so that the C library takes clone(). */
static int add_threads(scmp_filter_ctx ctx)
{
	static const int of_threads[] = { SCMP_SYS(set_robust_list), SCMP_SYS(rseq) };
	const scmp_datum_t flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SIGHAND | CLONE_THREAD |
				   CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
	int r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_EQ, flags));
	return r == 0 ? add_rules(ctx, of_threads, ARRAY_SIZE(of_threads)) : r;
}

static int enter_seccomp(const struct sandbox *s, struct err *e)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	if (!ctx)
		return err_set(e, -ENOMEM, "no memory for the system call filter");
	r = add_rules(ctx, common_syscalls, ARRAY_SIZE(common_syscalls));
	if (r == 0)
		r = add_rules(ctx, s->syscalls, s->n_syscalls);
	if (r == 0)
		r = add_ioctl(ctx);
	if (r == 0 && s->threads)
		r = add_threads(ctx);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	if (r < 0)
		return err_set_errno(e, r, "cannot install the system call filter (is CONFIG_SECCOMP_FILTER on?)");
	return 0;
}

static int change_root(const char *dir, struct err *e)
{
	if (chroot(dir) < 0 || chdir("/") < 0)
		return err_set_errno(e, -errno, "cannot make %s the root directory", dir);
	return 0;
}

static int change_user(uid_t uid, gid_t gid, struct err *e)
{
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return err_set_errno(e, -errno, "cannot become user %u, group %u", uid, gid);
	return 0;
}

int sandbox_enter(const struct sandbox *s, struct err *e)
{
	struct rlimit no_core = { 0, 0 };
	int r = 0;

	if (s->chroot_dir)
		r = change_root(s->chroot_dir, e);
	if (r == 0 && s->uid != 0)
		r = change_user(s->uid, s->gid, e);
	if (r < 0)
		return r;
	setrlimit(RLIMIT_CORE, &no_core);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set_errno(e, -errno, "prctl");
	capng_clear(CAPNG_SELECT_ALL);
	if (capng_apply(CAPNG_SELECT_CAPS) < 0)
		return err_set(e, -EPERM, "cannot give up the capabilities");
	if (s->no_seccomp || SANITIZED)
		return 0;
	return enter_seccomp(s, e);
}
