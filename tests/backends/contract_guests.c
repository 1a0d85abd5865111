/* The cases of backends with real guests: the first two for all, the others for those that run in QEMU. */
#include "tests/backends/contract.h"

#include <poll.h>
#include <pwd.h>
#include <sys/stat.h>

void test_guests_outlive_the_process(void **state)
{
	struct msg_be_start m = machine(1);
	int32_t id;

	(void)state;
	start(&m);
	id = got.result.domain_id;
	kill_process();
	begin_process(NULL);
	assert_int_equal(row_of(m.name).state, DOMAIN_RUNNING);
	assert_int_equal(row_of(m.name).domain_id, id);
	assert_string_equal(row_of(m.name).nics[0].ifname, port_of(1, id));
	stop(m.name);
	start(&m);
	stop(m.name);
}

void test_console_is_kept(void **state)
{
	struct msg_be_start m = machine(2);
	uint64_t until = clock_now_ms() + WAIT_MS;

	(void)state;
	start(&m);
	while (!console_says(m.name, "jitsu guest: booting t2") && clock_now_ms() < until)
		usleep(10000);
	assert_true(console_says(m.name, "jitsu guest: booting t2"));
	stop(m.name);
}

static pid_t qemu_pid(const char *name)
{
	char path[256];
	cleanup_fclose FILE *f = NULL;
	int pid = 0;

	snprintf(path, sizeof(path), "%s/%s.pid", suite.pid_dir, name);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &pid), 1);
	return pid;
}

static void test_guest_that_dies_is_told(void **state)
{
	struct msg_be_start m = machine(1);

	(void)state;
	start(&m);
	hear_event(m.name, EVENT_STARTED);
	kill(qemu_pid(m.name), SIGKILL);
	hear_event(m.name, EVENT_CRASHED);
	assert_int_equal(row_of(m.name).state, DOMAIN_STATE_N);
}

/* The process's credentials and seccomp mode, from /proc. */
static void test_qemu_has_no_privileges(void **state)
{
	struct msg_be_start m = machine(1);
	const struct passwd *pw = getpwnam("libvirt-qemu");
	cleanup_fclose FILE *f = NULL;
	char path[64], line[256];
	unsigned uid = 0, seccomp = 0;
	unsigned long long caps = 1;

	(void)state;
	start(&m);
	snprintf(path, sizeof(path), "/proc/%d/status", qemu_pid(m.name));
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "Uid: %u", &uid);
		sscanf(line, "Seccomp: %u", &seccomp);
		sscanf(line, "CapEff: %llx", &caps);
	}
	assert_int_equal(uid, pw->pw_uid);
	assert_int_equal(seccomp, 2);
	assert_int_equal(caps, 0);
	stop(m.name);
}

/* What the guest says, as it says it, on the stream that has come. */
static void guest_says(int fd, const char *what)
{
	char text[256] = "";
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t until = clock_now_ms() + WAIT_MS;
	size_t n = 0;

	while (!strstr(text, what) && clock_now_ms() < until && n < sizeof(text) - 1) {
		ssize_t got_n = poll(&p, 1, 100) > 0 ? recv(fd, text + n, sizeof(text) - 1 - n, MSG_DONTWAIT) : 0;

		n += got_n > 0 ? (size_t)got_n : 0;
		text[n] = '\0';
	}
	if (!strstr(text, what))
		fail_msg("the guest said \"%s\"", text);
}

static int hear_guest(const char *name)
{
	int fd;

	do
		hear_until(MSG_BE_GUEST);
	while (strcmp(got.guest.name, name) != 0);
	assert_true(got_fd >= 0);
	fd = got_fd;
	got_fd = -1;
	return fd;
}

static void test_guest_is_heard(void **state)
{
	struct msg_be_start m = machine(1);
	struct pollfd p = { .events = POLLIN };
	int first, again;

	(void)state;
	m.guest_channel = true;
	snprintf(m.cmdline + strlen(m.cmdline), 64, " ready_delay=1000");
	say(MSG_BE_START, &m);
	first = hear_guest(m.name);
	connect_launcher(); /* the next launcher has it, too */
	again = hear_guest(m.name);
	close(first);
	guest_says(again, "ready\n");
	stop(m.name);
	p.fd = again;
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_int_equal(recv(again, m.name, 1, 0), 0); /* its end */
	close(again);
	connect_launcher(); /* and is told no more of it */
	m = machine(1);
	start(&m);
	for (enum msg_type type; (type = hear(QUIET_MS));)
		assert_int_not_equal(type, MSG_BE_GUEST); /* nor has one that asks for none a channel */
	stop(m.name);
}

/* The channel of a domain that others have defined. */
static void test_guest_of_an_existing_domain_is_heard(void **state)
{
	bool started = false;
	uint32_t req;
	int fd = -1;

	(void)state;
	start_existing(&req);
	while (fd < 0 || !started) { /* in whichever order */
		enum msg_type type = hear(WAIT_MS);

		assert_true(type == MSG_BE_GUEST || type == MSG_BE_RESULT || type == MSG_BE_EVENT);
		started = started || type == MSG_BE_RESULT;
		if (type != MSG_BE_GUEST)
			continue;
		assert_string_equal(got.guest.name, EXISTING);
		assert_string_equal(got.guest.uuid, EXISTING_UUID);
		fd = got_fd;
		got_fd = -1;
	}
	guest_says(fd, "ready\n");
	close(fd);
	stop(EXISTING);
}

/* Each kind of machine boots: the guest says so on its console.  With a disk and without. */
static void boots(const char *arch, const char *kind, const char *kernel, const char *disk_format)
{
	struct msg_be_start m = machine(3);
	uint64_t until = clock_now_ms() + WAIT_MS;
	char path[160], banner[128];

	snprintf(m.name, sizeof(m.name), "jitsu-%s-%s-%s", arch, kind[0] ? kind : "any", disk_format);
	snprintf(m.cmdline, sizeof(m.cmdline), "ip=10.77.0.13/24 mac=52:54:00:77:00:03 name=%s", m.name);
	snprintf(banner, sizeof(banner), "jitsu guest: booting %s", m.name);
	str_copy(m.arch, arch);
	str_copy(m.machine, kind);
	str_copy(m.kernel, kernel);
	if (disk_format[0]) {
		m.n_disks = 1;
		snprintf(path, sizeof(path), "%s/disk.raw", suite.dir);
		str_copy(m.disks[0].path, path);
		str_copy(m.disks[0].format, disk_format);
		m.disks[0].read_only = true;
	}
	start(&m);
	while (!console_says(m.name, banner) && clock_now_ms() < until)
		usleep(10000);
	if (!console_says(m.name, banner))
		fail_msg("%s does not boot", m.name);
	assert_int_equal(row_of(m.name).state, DOMAIN_RUNNING);
	assert_string_equal(row_of(m.name).nics[0].ifname, "jt3");
	assert_false(row_of(m.name).writable_disk);
	stop(m.name);
}

static void test_every_machine_boots(void **state)
{
	char path[160];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/disk.raw", suite.dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	close(fd);
	boots("x86_64", "", suite.kernel, "");
	boots("x86_64", "microvm", suite.kernel, "raw");
	boots("x86_64", "pc", suite.kernel, "");
	boots("x86_64", "pc", suite.kernel, "raw");
	boots("x86_64", "q35", suite.kernel, "");
	boots("x86_64", "q35", suite.kernel, "raw");
	if (access(suite.kernel_arm64, R_OK) == 0 && access("/usr/bin/qemu-system-aarch64", X_OK) == 0) {
		boots("aarch64", "", suite.kernel_arm64, "");
		boots("aarch64", "virt", suite.kernel_arm64, "raw");
	}
}

static const struct CMUnitTest with_guests[] = {
	cmocka_unit_test(test_guests_outlive_the_process),
	cmocka_unit_test(test_guest_that_dies_is_told),
	cmocka_unit_test(test_qemu_has_no_privileges),
	cmocka_unit_test(test_console_is_kept),
	cmocka_unit_test(test_guest_is_heard),
	cmocka_unit_test(test_guest_of_an_existing_domain_is_heard),
	cmocka_unit_test(test_every_machine_boots),
};

int run_with_guests(void)
{
	return cmocka_run_group_tests_name("backend contract: libvirt's guests", with_guests, begin_process, end_process);
}
