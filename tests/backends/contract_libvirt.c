/* The cases of libvirt, with its embedded driver and with a libvirtd; and the host that they need. */
#include "tests/backends/contract.h"

#include <dirent.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <pwd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "backends/kvm.h"

/* ---- libvirtd ---- */

static void run_libvirtd(void)
{
	char conf[128], socket_path[128], out[128];
	uint64_t until = clock_now_ms() + WAIT_MS;

	snprintf(conf, sizeof(conf), "%s/libvirtd.conf", suite.dir);
	snprintf(socket_path, sizeof(socket_path), "%s/libvirt-sock", suite.dir);
	snprintf(out, sizeof(out), "%s/libvirtd.out", suite.dir);
	fflush(NULL);
	suite.libvirtd = fork();
	if (suite.libvirtd == 0) {
		int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		execl("/usr/sbin/libvirtd", "libvirtd", "-f", conf, "-p", "/run/libvirt/libvirtd.pid", (char *)NULL);
		_exit(127);
	}
	while (access(socket_path, F_OK) < 0 && clock_now_ms() < until)
		usleep(10000);
}

static void kill_libvirtd(void)
{
	char socket_path[128];
	int status;

	snprintf(socket_path, sizeof(socket_path), "%s/libvirt-sock", suite.dir);
	kill(suite.libvirtd, SIGKILL);
	waitpid(suite.libvirtd, &status, 0);
	unlink(socket_path);
}

static void test_lost_libvirtd_is_told_and_found_again(void **state)
{
	struct msg_be_start m = machine(1);
	int32_t id;

	(void)state;
	start(&m);
	id = got.result.domain_id;
	kill_libvirtd();
	hear_until(MSG_BE_HELLO);
	assert_false(got.hello.connected);
	assert_true(got.hello.text[0]);
	expect(ask(MSG_BE_INSPECT, m.name, 0), -ENOTCONN);
	expect(ask(MSG_BE_STOP, m.name, STOP_DESTROY), -ENOTCONN);
	run_libvirtd();
	do
		hear_until(MSG_BE_HELLO);
	while (!got.hello.connected);
	assert_int_equal(row_of(m.name).state, DOMAIN_RUNNING);
	assert_int_equal(row_of(m.name).domain_id, id);
	forget_events();
	stop(m.name);
	hear_event(m.name, EVENT_STOPPED); /* events come again */
}

/* A daemon that is stopped, not dead, answers nothing: calls must not hang for ever. */
static void test_silent_libvirtd_is_given_up(void **state)
{
	(void)state;
	kill(suite.libvirtd, SIGSTOP);
	do
		hear_until(MSG_BE_HELLO);
	while (got.hello.connected);
	expect(ask(MSG_BE_INSPECT, EXISTING, 0), -ENOTCONN);
	kill(suite.libvirtd, SIGCONT);
	do
		hear_until(MSG_BE_HELLO);
	while (!got.hello.connected);
	assert_string_equal(row_of(EXISTING).uuid, EXISTING_UUID);
}

/* ---- the embedded driver ---- */

/* A driver's directory has one owner: who comes while the old one still dies says so and makes
 * room for another try. */
static void test_successor_of_a_process_that_still_lives(void **state)
{
	struct msg_peer peer = { .role = ROLE_LAUNCHER };
	pid_t old = be.pid;
	int old_supervisor = be.supervisor, old_launcher = be.launcher;
	int fds[2], status;

	(void)state;
	be.supervisor = be.launcher = -1;
	run_process();
	assert_int_equal(ipc_pair(fds), 0);
	say_fd(be.supervisor, MSG_PEER, &peer, fds[1]);
	close(fds[1]);
	be.launcher = fds[0];
	do
		hear_until(MSG_BE_HELLO);
	while (strstr(got.hello.text, "still connecting"));
	assert_false(got.hello.connected);
	assert_true(strstr(got.hello.text, "driver.pid") != NULL);
	waitpid(be.pid, &status, 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	fd_close(&be.supervisor);
	fd_close(&be.launcher);
	kill(old, SIGKILL);
	waitpid(old, &status, 0);
	close(old_supervisor);
	close(old_launcher);
	begin_process(NULL);
	assert_int_equal(row_of(EXISTING).state, DOMAIN_OFF);
}

/* ---- the host ---- */

static bool make_tap(unsigned i)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	cleanup_close int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	cleanup_close int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(ifr.ifr_name, IFNAMSIZ, "jt%u", i);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETPERSIST, 1) < 0)
		return false;
	ifr.ifr_flags = IFF_UP;
	return ioctl(sock, SIOCSIFFLAGS, &ifr) == 0;
}

static void make_path(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
}

static const char *embed_etc(void)
{
	static char etc[128];

	snprintf(etc, sizeof(etc), "%s/etc", suite.root);
	return etc;
}

static bool write_file(const char *path, const char *text)
{
	cleanup_fclose FILE *f = fopen(path, "we");

	return f && fputs(text, f) >= 0;
}

/* Everything libvirtd keeps is on file systems of our own. */
static bool prepare_libvirtd(void)
{
	static const char *const dirs[] = { "/run/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt",
					    "/etc/libvirt" };
	char path[128], text[256];
	struct err e;

	/* Where KVM does not work, libvirtd would look for it again and again, for seconds each. */
	if (kvm_hide(&e) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		if ((mkdir(dirs[i], 0755) < 0 && errno != EEXIST) || mount("test", dirs[i], "tmpfs", 0, "mode=0755") < 0)
			return false;
	}
	snprintf(path, sizeof(path), "%s/libvirtd.conf", suite.dir);
	snprintf(text, sizeof(text), "unix_sock_dir = \"%s\"\nauth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\n", suite.dir);
	return write_file(path, text) &&
	       write_file("/etc/libvirt/qemu.conf", "stdio_handler = \"file\"\nuser = \"libvirt-qemu\"\ngroup = \"libvirt-qemu\"\n"
						      "dynamic_ownership = 0\nremember_owner = 0\ncgroup_controllers = []\n"
						      "namespaces = []\nsecurity_driver = \"none\"\n");
}

/* A domain that the driver finds defined when it starts. */
static bool define_existing(void)
{
	char path[160];
	cleanup_fclose FILE *f = NULL;

	snprintf(path, sizeof(path), "%s/qemu/%s.xml", suite.daemon ? "/etc/libvirt" : embed_etc(), EXISTING);
	make_path(path);
	f = fopen(path, "we");
	return f && fprintf(f,
			    "<domain type='qemu'><name>%s</name><uuid>%s</uuid><memory unit='MiB'>16</memory><vcpu>1</vcpu>"
			    "<os><type arch='x86_64' machine='microvm'>hvm</type><kernel>%s</kernel>"
			    "<cmdline>ready_delay=1000</cmdline></os>"
			    "<devices><controller type='usb' model='none'/><interface type='bridge'><source bridge='br-test'/>"
			    "<mac address='52:54:00:00:00:99'/><model type='virtio'/><address type='virtio-mmio'/></interface>"
			    "<controller type='virtio-serial' index='0'><address type='virtio-mmio'/></controller>"
			    "<channel type='unix'><target type='virtio' name='org.jitsu.guest.0'/></channel>"
			    "<memballoon model='none'/></devices></domain>\n",
			    EXISTING, EXISTING_UUID, suite.kernel) > 0;
}

/* Namespaces of our own: taps, mounts and what the driver leaves vanish with the test. */
static int prepare_libvirt(void)
{
	if (geteuid() != 0)
		return cannot("needs root");
	if (!getpwnam("libvirt-qemu"))
		return cannot("needs the user libvirt-qemu");
	if (access("/usr/bin/qemu-system-x86_64", X_OK) < 0 || access(suite.kernel, R_OK) < 0)
		return cannot("needs qemu-system-x86_64 and the guest's kernel");
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) < 0)
		return cannot("needs namespaces of its own");
	for (unsigned i = 0; i < TAPS; i++) {
		if (!make_tap(i))
			return cannot("needs /dev/net/tun");
	}
	if (!make_bridge("br-test"))
		return cannot("needs bridges");
	snprintf(suite.dir, sizeof(suite.dir), "/run/jitsu-test-XXXXXX");
	if (!mkdtemp(suite.dir) || chmod(suite.dir, 0755) < 0 || mount("test", suite.dir, "tmpfs", 0, "mode=0755") < 0)
		return cannot("needs a tmpfs of its own");
	snprintf(suite.root, sizeof(suite.root), "%s/qemu", suite.dir);
	snprintf(suite.uri, sizeof(suite.uri), "qemu:///embed?root=%s", suite.root);
	snprintf(suite.pid_dir, sizeof(suite.pid_dir), "%s/run/qemu", suite.root);
	if (suite.daemon) {
		snprintf(suite.uri, sizeof(suite.uri), "qemu:///system?socket=%s/libvirt-sock", suite.dir);
		snprintf(suite.pid_dir, sizeof(suite.pid_dir), "/run/libvirt/qemu");
		if (access("/usr/sbin/libvirtd", X_OK) < 0 || !prepare_libvirtd())
			return cannot("needs libvirtd (package libvirt-daemon)");
	}
	return define_existing() ? 0 : cannot("cannot write to its own tmpfs");
}

/* A case that failed half-way may have left guests. */
static void kill_guests(void)
{
	DIR *dir = opendir(suite.pid_dir);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char path[512];
		cleanup_fclose FILE *f = NULL;
		int pid = 0;

		snprintf(path, sizeof(path), "%s/%s", suite.pid_dir, entry->d_name);
		f = strstr(entry->d_name, "jitsu-") == entry->d_name && strstr(path, ".pid") ? fopen(path, "re") : NULL;
		if (f && fscanf(f, "%d", &pid) == 1 && pid > 1)
			kill(pid, SIGKILL);
	}
	if (dir)
		closedir(dir);
}

/* ---- all of them ---- */

static const struct CMUnitTest embedded[] = {
	cmocka_unit_test(test_successor_of_a_process_that_still_lives),
};

static const struct CMUnitTest with_daemon[] = {
	cmocka_unit_test(test_lost_libvirtd_is_told_and_found_again),
	cmocka_unit_test(test_silent_libvirtd_is_given_up),
};

int run_libvirt(void)
{
	int status = prepare_libvirt();

	if (status != 0)
		return status;
	if (suite.daemon)
		run_libvirtd();
	status = run_common("backend contract: libvirt");
	status += run_saves();
	status += run_many_requests();
	status += run_with_definitions("backend contract: libvirt's definitions");
	status += run_with_guests();
	if (!suite.daemon)
		status += cmocka_run_group_tests_name("backend contract: the embedded driver", embedded, begin_process, end_process);
	if (suite.daemon) {
		status += cmocka_run_group_tests_name("backend contract: libvirtd", with_daemon, begin_process, end_process);
		kill_libvirtd();
	}
	kill_guests();
	umount2(suite.dir, MNT_DETACH);
	rmdir(suite.dir);
	return status;
}
