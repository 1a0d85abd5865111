#include "backends/kvm.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/kvm.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "base/clock.h"

enum { PAGE_LIMIT_MS = 2000, QEMU_LIMIT_MS = 8000, GROUPS_MAX = 64 };

/* ---- a guest of one page ---- */

#if defined(__x86_64__)

enum { GUEST_AT = 0x1000, GUEST_BYTES = 0x1000, GUEST_PORT = 0x10, GUEST_SAYS = 'J', GUEST_EXITS_MAX = 100 };

/* mov al, 'J'; out 0x10, al; hlt */
static const unsigned char guest_code[] = { 0xb0, GUEST_SAYS, 0xe6, GUEST_PORT, 0xf4 };

static int give_memory(int vm)
{
	struct kvm_userspace_memory_region region = { .guest_phys_addr = GUEST_AT, .memory_size = GUEST_BYTES };
	void *page = mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return -errno;
	memcpy(page, guest_code, sizeof(guest_code));
	region.userspace_addr = (uintptr_t)page;
	return ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

static int set_registers(int vcpu)
{
	struct kvm_regs regs = { .rip = GUEST_AT, .rflags = 2 };
	struct kvm_sregs sregs;

	if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0)
		return -errno;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu, KVM_SET_REGS, &regs) < 0)
		return -errno;
	return 0;
}

/* Until the guest has said its byte and halted. */
static int run_vcpu(int vcpu, const struct kvm_run *run)
{
	bool said = false;

	for (int i = 0; i < GUEST_EXITS_MAX; i++) {
		if (ioctl(vcpu, KVM_RUN, 0) < 0)
			return -errno;
		switch (run->exit_reason) {
		case KVM_EXIT_IO:
			said = run->io.port == GUEST_PORT &&
			       *((const unsigned char *)run + run->io.data_offset) == GUEST_SAYS;
			break;
		case KVM_EXIT_HLT:
			return said ? 0 : -EIO;
		default:
			return -EIO;
		}
	}
	return -ELOOP;
}

int kvm_run_page(void)
{
	cleanup_close int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	cleanup_close int vm = -1;
	cleanup_close int vcpu = -1;
	struct kvm_run *run;
	int size, error;

	if (kvm < 0)
		return -errno;
	if (ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return -ENOTSUP;
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0)
		return -errno;
	error = give_memory(vm);
	vcpu = error == 0 ? ioctl(vm, KVM_CREATE_VCPU, 0) : -1;
	size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (vcpu < 0 || size < (int)sizeof(*run))
		return error < 0 ? error : -ENODEV;
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		return -errno;
	error = set_registers(vcpu);
	return error < 0 ? error : run_vcpu(vcpu, run);
}

#else

int kvm_run_page(void) { return -ENOTSUP; }

#endif

/* ---- children that are bounded in time ---- */

struct identity {
	const struct kvm_user *user;
	gid_t groups[GROUPS_MAX];
	int n_groups;
};

/* In the child: QEMU's user and nothing more. */
static void become(const struct identity *id)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (setgroups((size_t)id->n_groups, id->groups) < 0 || setgid(id->user->gid) < 0 || setuid(id->user->uid) < 0)
		_exit(EPERM);
}

/* The exit status, -ETIMEDOUT, or -EFAULT when a signal ended it. */
static int wait_for(pid_t pid, unsigned limit_ms)
{
	cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	bool late = pidfd < 0 || poll(&p, 1, (int)limit_ms) <= 0;
	int status;

	if (late)
		kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	if (late)
		return -ETIMEDOUT;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EFAULT;
}

static int try_page(const struct identity *id)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		become(id);
		_exit(-kvm_run_page());
	}
	return wait_for(pid, PAGE_LIMIT_MS);
}

/* At the reset vector: mov al, 16; out 0xf4, al; hlt.  The debug-exit device makes that QEMU's
 * exit status 16 * 2 + 1. */
void kvm_fill_rom(unsigned char rom[KVM_ROM_BYTES])
{
	static const unsigned char code[] = { 0xb0, KVM_ROM_STATUS / 2, 0xe6, 0xf4, 0xf4 };

	memset(rom, 0xf4, KVM_ROM_BYTES);
	memcpy(rom + KVM_ROM_BYTES - 16, code, sizeof(code));
}

static int write_rom(const char *path)
{
	static unsigned char rom[KVM_ROM_BYTES];
	cleanup_close int fd = -1;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	kvm_fill_rom(rom);
	return write(fd, rom, sizeof(rom)) == (ssize_t)sizeof(rom) ? 0 : -EIO;
}

/* With the CPU model that domain_xml.c chooses: it is the one QEMU may abort on. */
static void exec_qemu(const char *rom)
{
	int null = open("/dev/null", O_RDWR);

	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	execlp("qemu-system-x86_64", "qemu-system-x86_64", "-no-user-config", "-nodefaults", "-display", "none", "-no-reboot",
	       "-machine", "microvm,accel=kvm", "-cpu", "host", "-m", "2", "-bios", rom, "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
	       (char *)NULL);
	_exit(ENOENT);
}

static int try_qemu(const struct identity *id, const char *dir)
{
	char rom[4096];
	pid_t pid;
	int status;

	snprintf(rom, sizeof(rom), "%s/kvm-check.rom", dir);
	status = write_rom(rom);
	pid = status == 0 ? fork() : -1;
	if (pid == 0) {
		become(id);
		exec_qemu(rom);
	}
	if (pid > 0)
		status = wait_for(pid, QEMU_LIMIT_MS);
	unlink(rom);
	return status;
}

int kvm_check(const struct kvm_user *user, const char *dir, struct err *e)
{
	struct identity id = { .user = user, .n_groups = GROUPS_MAX };
	int status;

	if (access("/dev/kvm", F_OK) < 0)
		return err_set(e, -ENODEV, "this host has no /dev/kvm: guests are emulated, which is slow");
	if (getgrouplist(user->name, user->gid, id.groups, &id.n_groups) < 0)
		return err_set(e, -E2BIG, "user %s is in too many groups", user->name);
	status = try_page(&id);
	if (status == EACCES)
		return err_set(e, -EACCES, "user %s may not open /dev/kvm: the device should belong to group kvm with mode 0660, and the user be in that group (usermod -aG kvm %s); until then guests are emulated, which is slow",
			       user->name, user->name);
	if (status != 0)
		return err_set(e, -EIO, "/dev/kvm is there, but a test guest did not run (%s): guests are emulated, which is slow",
			       status == -ETIMEDOUT ? "it never came back" : strerror(status > 0 ? status : -status));
	status = try_qemu(&id, dir);
	if (status != KVM_ROM_STATUS)
		return err_set(e, -EIO, "KVM runs a page of code, but QEMU does not run a guest under it (status %d): guests are emulated, which is slow",
			       status);
	return 0;
}

/* ---- a /dev without kvm ---- */

enum { DEV_NODES_MAX = 8192, DEV_DEPTH_MAX = 8 };

struct dev_copy {
	dev_t device; /* of the old /dev itself: other file systems in it are mounts */
	int left; /* nodes that may still be made */
};

static int copy_dir(int from, int to, const char *path, unsigned depth, struct dev_copy *c);

static int copy_link(int from, int to, const char *name)
{
	char target[4096];
	ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	return symlinkat(target, to, name) < 0 ? -errno : 0;
}

static int copy_subdir(int from, int to, const char *path, const char *name, const struct stat *st, unsigned depth,
		       struct dev_copy *c)
{
	cleanup_close int sub_from = -1;
	cleanup_close int sub_to = -1;
	char sub_path[512], new_path[600];

	snprintf(sub_path, sizeof(sub_path), "%s/%s", path, name);
	if (mkdirat(to, name, st->st_mode & 07777) < 0)
		return -errno;
	sub_to = openat(to, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (sub_to < 0)
		return -errno;
	if (st->st_dev != c->device) {
		snprintf(new_path, sizeof(new_path), "/proc/self/fd/%d", sub_to);
		return mount(sub_path, new_path, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
	}
	sub_from = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return sub_from < 0 ? -errno : copy_dir(sub_from, sub_to, sub_path, depth + 1, c);
}

static int copy_node(int from, int to, const char *path, const char *name, unsigned depth, struct dev_copy *c)
{
	struct stat st;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (c->left-- == 0)
		return -E2BIG;
	switch (st.st_mode & S_IFMT) {
	case S_IFDIR:
		return copy_subdir(from, to, path, name, &st, depth, c);
	case S_IFLNK:
		return copy_link(from, to, name);
	case S_IFCHR:
	case S_IFBLK:
		if (mknodat(to, name, st.st_mode, st.st_rdev) < 0 || fchownat(to, name, st.st_uid, st.st_gid, 0) < 0 ||
		    fchmodat(to, name, st.st_mode & 07777, 0) < 0)
			return -errno;
		return 0;
	default: /* sockets and the like are others' */
		return 0;
	}
}

/* Takes neither descriptor. */
static int copy_dir(int from, int to, const char *path, unsigned depth, struct dev_copy *c)
{
	DIR *dir = fdopendir(dup(from));
	struct dirent *entry;
	int error = 0;

	if (!dir)
		return -errno;
	if (depth > DEV_DEPTH_MAX)
		error = -ELOOP;
	while (error == 0 && (entry = readdir(dir))) {
		bool is_kvm = depth == 0 && strcmp(entry->d_name, "kvm") == 0;

		if (!is_kvm && strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			error = copy_node(from, to, path, entry->d_name, depth, c);
	}
	closedir(dir);
	return error;
}

/* On a tmpfs at `at`; other file systems in /dev (pts, shm) are bound into it. */
static int build_dev(const char *at)
{
	cleanup_close int from = open("/dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_close int to = -1;
	struct dev_copy c = { .left = DEV_NODES_MAX };
	struct stat st;

	if (from < 0 || fstat(from, &st) < 0)
		return -errno;
	c.device = st.st_dev;
	if (mount("jitsu-dev", at, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=1m") < 0)
		return -errno;
	to = open(at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return to < 0 ? -errno : copy_dir(from, to, "/dev", 0, &c);
}

/* Every mount on /dev and below it, here only: libvirt takes each line of the mount table that
 * begins with /dev for one to carry along. */
static int replace_dev(const char *built)
{
	if (umount2("/dev", MNT_DETACH) < 0 && errno != EINVAL)
		return -errno;
	return mount(built, "/dev", NULL, MS_MOVE, NULL) < 0 ? -errno : 0;
}

int kvm_hide(struct err *e)
{
	char ground[] = "/run/jitsu-dev-XXXXXX";
	int error = 0;
	mode_t mask;

	if (access("/dev/kvm", F_OK) < 0)
		return 0;
	if (!mkdtemp(ground))
		return err_set_errno(e, -errno, "cannot make %s", ground);
	mask = umask(0);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
		error = -errno;
	if (error == 0)
		error = build_dev(ground);
	if (error == 0)
		error = replace_dev(ground);
	umask(mask);
	rmdir(ground);
	return error < 0 ? err_set_errno(e, error, "cannot make a /dev without kvm") : 0;
}
