/* The cases of Xen, in a dom0 that is there for them. */
#include "tests/backends/contract.h"

#include <libgen.h>
#include <limits.h>
#include <sys/stat.h>

static const char *xl_path(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s.cfg", suite.dir, name);
	return path;
}

/* A domain as xl has it, with a line more. */
static void write_xl(const char *name, const char *uuid, const char *more)
{
	cleanup_fclose FILE *f = fopen(xl_path(name), "we");

	assert_non_null(f);
	fprintf(f, "name = '%s'\nuuid = '%s'\ntype = '%s'\nkernel = '%s'\nmemory = 16\nvcpus = 1\n"
		   "cmdline = 'ip=10.77.0.99/24 name=%s'\nvif = [ 'mac=52:54:00:00:00:99,bridge=br-test,script=%s' ]\n%s\n",
		name, uuid, suite.machine, suite.kernel, name, getenv("JITSU_VIF"), more);
}

static void start_xl(const char *name, const char *file, int error)
{
	struct msg_be_start m = { .req = ++be.last_req, .svc = 2, .gen = 1 };

	str_copy(m.domain, name);
	str_copy(m.xl_config, file);
	say(MSG_BE_START, &m);
	expect(m.req, error);
}

/* Xen's toolstack as others use it. */
static void run_xl(const char *command, const char *what)
{
	char line[256];

	snprintf(line, sizeof(line), "xl %s %s > %s/xl.out 2>&1 < /dev/null", command, what, suite.dir);
	assert_int_equal(system(line), 0);
}

static void test_domain_from_an_xl_config(void **state)
{
	const char *file = xl_path(EXISTING);
	uint32_t req;

	(void)state;
	write_xl(EXISTING, EXISTING_UUID, "");
	assert_int_equal(row_of(EXISTING).state, DOMAIN_STATE_N);
	start_xl(EXISTING, "", -ENOENT);
	assert_true(strstr(got.result.text, "xl_config") != NULL);
	start_xl(EXISTING, file, 0);
	assert_string_equal(got.result.uuid, EXISTING_UUID);
	assert_int_equal(got.result.n_nics, 1);
	assert_string_equal(got.result.nics[0].ifname, port_of(0, got.result.domain_id));
	hear_event(EXISTING, EVENT_STARTED);
	req = ask(MSG_BE_INSPECT, EXISTING_UUID, 0);
	hear_until(MSG_BE_DOMAIN);
	assert_string_equal(got.domain.name, EXISTING);
	assert_int_equal(got.domain.state, DOMAIN_RUNNING);
	assert_int_equal(got.domain.memory_bytes, 16 << 20);
	assert_int_equal(got.domain.nics[0].mac.b[5], 0x99);
	assert_string_equal(got.domain.nics[0].bridge, "br-test");
	expect(req, 0);
	start_xl(EXISTING, file, -EEXIST);
	assert_true(got.result.domain_id > 0);
	start_xl(EXISTING, "", -EEXIST); /* who made it does not count */
	expect(ask(MSG_BE_STOP, EXISTING_UUID, STOP_SUSPEND), 0);
	start_xl(EXISTING, file, -EBUSY);
	stop(EXISTING);
	assert_int_equal(row_of(EXISTING).state, DOMAIN_STATE_N);
	expect(ask(MSG_BE_STOP, EXISTING, STOP_SHUTDOWN), 0);
}

static uint32_t inspect_xl(const char *name, const char *file)
{
	struct msg_be_target m = { .req = ++be.last_req, .svc = 2, .gen = 1 };

	str_copy(m.domain, name);
	str_copy(m.xl_config, file);
	say(MSG_BE_INSPECT, &m);
	return m.req;
}

/* Of a domain that is off, its file tells all; of one that runs, nothing. */
static void test_inspect_reads_an_xl_config(void **state)
{
	const char *file = xl_path(EXISTING);
	uint32_t req;

	(void)state;
	write_xl(EXISTING, EXISTING_UUID, "");
	expect(inspect_xl(EXISTING, ""), -ENOENT);
	req = inspect_xl(EXISTING, file);
	hear_until(MSG_BE_DOMAIN);
	assert_int_equal(got.domain.req, req);
	assert_int_equal(got.domain.state, DOMAIN_OFF);
	assert_int_equal(got.domain.domain_id, -1);
	assert_string_equal(got.domain.name, EXISTING);
	assert_string_equal(got.domain.uuid, EXISTING_UUID);
	assert_int_equal(got.domain.memory_bytes, 16 << 20);
	assert_int_equal(got.domain.n_nics, 1);
	assert_int_equal(got.domain.nics[0].mac.b[5], 0x99);
	assert_string_equal(got.domain.nics[0].bridge, "br-test");
	assert_string_equal(got.domain.nics[0].ifname, "");
	expect(req, 0);
	assert_int_equal(row_of(EXISTING).state, DOMAIN_STATE_N); /* looking starts nothing */
	expect(inspect_xl("other", file), -EINVAL);
	assert_true(strstr(got.result.text, "is called " EXISTING " now") != NULL);
	expect(inspect_xl(EXISTING, "/nowhere/none.cfg"), -ENOENT);
	assert_true(strstr(got.result.text, "/nowhere/none.cfg") != NULL);
	start_xl(EXISTING, file, 0);
	req = inspect_xl(EXISTING, "/nowhere/none.cfg");
	hear_until(MSG_BE_DOMAIN);
	assert_int_equal(got.domain.state, DOMAIN_RUNNING);
	assert_string_equal(got.domain.nics[0].ifname, port_of(0, got.domain.domain_id));
	expect(req, 0);
	stop(EXISTING);
}

static void test_xl_config_that_cannot_be(void **state)
{
	(void)state;
	write_xl("bad", EXISTING_UUID, "usb = 1");
	start_xl("bad", xl_path("bad"), -ENOTSUP);
	assert_true(strstr(got.result.text, "bad.cfg:9: usb") != NULL);
	write_xl("bad", EXISTING_UUID, "");
	start_xl("good", xl_path("bad"), -EINVAL);
	assert_true(strstr(got.result.text, "is called bad now") != NULL);
	start_xl("bad", xl_path("none"), -ENOENT);
	assert_int_equal(row_of("bad").state, DOMAIN_STATE_N);
}

static unsigned count_lines(const char *command)
{
	FILE *f = popen(command, "re");
	char line[512];
	unsigned n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n++;
	pclose(f);
	return n;
}

/* A raw file needs no QEMU: blkback has it by a loop device, which goes with the domain.  Other kinds do, and none is
 * here. */
static void test_disks(void **state)
{
	const char *loops = "cat /sys/block/loop*/loop/backing_file 2>/dev/null";
	struct msg_be_start m = machine(1);
	uint64_t until = clock_now_ms() + WAIT_MS;
	cleanup_close int fd = -1;

	(void)state;
	m.n_disks = 1;
	snprintf(m.disks[0].path, sizeof(m.disks[0].path), "%s/disk.raw", suite.dir);
	str_copy(m.disks[0].format, "raw");
	fd = open(m.disks[0].path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	start(&m);
	assert_true(row_of(m.name).writable_disk);
	assert_int_equal(count_lines(loops), 1);
	assert_int_equal(count_lines("xenstore-ls -f /local/domain/0/backend/vbd | grep 'physical-device = '"), 1);
	stop(m.name);
	while (count_lines(loops) > 0 && clock_now_ms() < until)
		usleep(100000);
	assert_int_equal(count_lines(loops), 0);
	m.req = ++be.last_req;
	str_copy(m.disks[0].format, "qcow2");
	say(MSG_BE_START, &m);
	expect(m.req, -ENOTSUP);
	assert_true(strstr(got.result.text, "qemu-img convert") != NULL);
	assert_int_equal(row_of(m.name).state, DOMAIN_STATE_N);
	unlink(m.disks[0].path);
}

static void wait_for_no(const char *name)
{
	uint64_t until = clock_now_ms() + WAIT_MS;

	while (row_of(name).state != DOMAIN_STATE_N && clock_now_ms() < until)
		usleep(50000);
	assert_int_equal(row_of(name).state, DOMAIN_STATE_N);
}

/* It says so, and nothing is left of it: nobody else would remove it. */
static void test_guest_shuts_itself_down(void **state)
{
	struct msg_be_start m = machine(1);

	(void)state;
	forget_events();
	start(&m);
	while (!console_says(m.name, "booting"))
		usleep(50000);
	expect(ask(MSG_BE_STOP, m.name, STOP_SHUTDOWN), 0);
	assert_string_equal(hear_event(m.name, EVENT_STOPPED)->text, "shutdown");
	m.req = ++be.last_req;
	start(&m); /* at once: it waits for the rest to be gone */
	stop(m.name);
	start(&m);
	while (!console_says(m.name, "booting"))
		usleep(50000);
	expect(ask(MSG_BE_STOP, m.name, STOP_SHUTDOWN), 0);
	wait_for_no(m.name);
}

/* What others do with domains, ours and theirs, is told. */
static void test_domains_of_others(void **state)
{
	struct msg_be_start m = machine(1);

	(void)state;
	write_xl("theirs", UUID_OF("d"), "");
	run_xl("create", xl_path("theirs"));
	assert_string_equal(hear_event("theirs", EVENT_STARTED)->uuid, UUID_OF("d"));
	assert_int_equal(row_of("theirs").state, DOMAIN_RUNNING);
	run_xl("pause", "theirs");
	hear_event("theirs", EVENT_SUSPENDED);
	run_xl("unpause", "theirs");
	hear_event("theirs", EVENT_RESUMED);
	run_xl("destroy", "theirs");
	assert_string_equal(hear_event("theirs", EVENT_STOPPED)->text, "destroyed");
	start(&m);
	run_xl("destroy", m.name);
	hear_event(m.name, EVENT_STOPPED);
	wait_for_no(m.name);
	start(&m);
	stop(m.name);
}

/* Processes are killed in the middle of a create: what they had half built is not in the way, and is not there. */
static void test_killed_in_the_middle_of_a_start(void **state)
{
	(void)state;
	for (unsigned ms = 20; ms < 2000; ms = ms * 5 / 2) {
		struct msg_be_start m = machine(1);

		say(MSG_BE_START, &m);
		usleep(ms * 1000);
		kill_process();
		begin_process(NULL);
		if (row_of(m.name).state != DOMAIN_STATE_N) /* it was whole */
			assert_int_equal(row_of(m.name).state, DOMAIN_RUNNING);
		stop(m.name);
		m.req = ++be.last_req;
		start(&m);
		stop(m.name);
	}
}

/* After all of the above: no domain, no port, no node in XenStore, no note. */
static void test_nothing_is_left(void **state)
{
	char notes[128];
	uint64_t until = clock_now_ms() + WAIT_MS;

	(void)state;
	snprintf(notes, sizeof(notes), "ls %s/libxl", suite.dir);
	while (count_lines("xl list") > 2 && clock_now_ms() < until)
		usleep(100000);
	assert_int_equal(count_lines("xl list"), 2); /* the heading and dom0 */
	assert_int_equal(count_lines("ls /sys/class/net | grep vif"), 0);
	assert_int_equal(count_lines("xenstore-list /local/domain"), 1);
	assert_int_equal(count_lines("xenstore-ls /local/domain/0/backend/vif 2>/dev/null | grep -c frontend | grep -v '^0'"), 0);
	assert_int_equal(count_lines(notes), 0);
}

/* The test is in a dom0 that is there for it, and leaves no domain of its own. */
static int prepare_xen(void)
{
	char text[64] = "", vif[PATH_MAX];
	cleanup_close int fd = open("/proc/xen/capabilities", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 || !strstr(text, "control_d"))
		return cannot("needs dom0 of a Xen: tests/xen/run.sh");
	snprintf(suite.dir, sizeof(suite.dir), "/run/jitsu-test-XXXXXX");
	if (!mkdtemp(suite.dir) || chmod(suite.dir, 0755) < 0)
		return cannot("needs /run");
	snprintf(suite.uri, sizeof(suite.uri), "libxl:///");
	snprintf(vif, sizeof(vif), "%s/jitsu-vif", dirname(strdupa(suite.program)));
	setenv("JITSU_VIF", vif, 0);
	return make_bridge("br-test") ? 0 : cannot("needs bridges");
}

static const struct CMUnitTest with_xen[] = {
	cmocka_unit_test(test_domain_from_an_xl_config),
	cmocka_unit_test(test_inspect_reads_an_xl_config),
	cmocka_unit_test(test_xl_config_that_cannot_be),
	cmocka_unit_test(test_disks),
	cmocka_unit_test(test_guests_outlive_the_process),
	cmocka_unit_test(test_console_is_kept),
	cmocka_unit_test(test_guest_shuts_itself_down),
	cmocka_unit_test(test_domains_of_others),
	cmocka_unit_test(test_killed_in_the_middle_of_a_start),
	cmocka_unit_test(test_nothing_is_left),
};

int run_xen(void)
{
	int status = prepare_xen();

	if (status != 0)
		return status;
	status = run_common("backend contract: libxl");
	status += run_saves();
	status += cmocka_run_group_tests_name("backend contract: Xen's guests", with_xen, begin_process, end_process);
	if (getenv("LONG")) /* a minute, where Xen is emulated */
		status += run_many_requests();
	remove_bridge("br-test"); /* this is dom0's own network */
	return status;
}
