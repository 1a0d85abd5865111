/* VMs that are saved to a file when nobody uses them, and restored when somebody does. */
#include "tests/launcher/peers.h"

#include "tests/netns.h"

/* ---- an existing domain: its hypervisor keeps what was saved ---- */

static uint32_t drain_and_save(void)
{
	uint32_t req = drain_and_stop("a", "dom-a");

	assert_int_equal(got.target.how, STOP_SAVE);
	assert_string_equal(got.target.save, "");
	return req;
}

static void begin_saved(const char *more)
{
	char service[512];

	snprintf(service, sizeof(service), SERVICE_AS("a", "1", "10", "save", EAGER "%s"), more);
	begin(service);
	bring_up("a", "dom-a", 3);
}

/* The event that it is gone comes before the answer, and means nothing by itself. */
static void test_save_and_restore(void **state)
{
	uint32_t req;

	(void)state;
	begin_saved("");
	req = drain_and_save();
	say_event("dom-a", EVENT_SAVED, 3, "saved");
	quiet(w.dns);
	say_result(req, "dom-a", 0, "", -1);
	expect_state("a", STATE_SAVED);
	assert_non_null(strstr(field(CTL_WHY, "a", "last_stop_reason"), "idle"));
	wake("a");
	expect_state("a", STATE_STARTING);
	req = expect_start("dom-a");
	assert_false(got.start.fresh);
	say_result(req, "dom-a", 0, "", 4);
	expect_state("a", STATE_BOOTING);
	expect_state("a", STATE_UP);
}

/* Whoever comes while it is written waits, and is served by a restore at once. */
static void test_a_wake_while_it_is_saved(void **state)
{
	uint32_t req;

	(void)state;
	begin_saved("");
	req = drain_and_save();
	wake("a");
	quiet(w.be);
	say_result(req, "dom-a", 0, "", -1);
	expect_state("a", STATE_SAVED);
	expect_start("dom-a");
	expect_state("a", STATE_STARTING);
}

/* It stays up, says why, and is tried again. */
static void test_a_save_that_fails(void **state)
{
	uint32_t req;

	(void)state;
	begin_saved("");
	req = drain_and_save();
	say_result(req, "dom-a", -ENOSPC, "No space left on device", -1);
	inspected("dom-a", 3, DOMAIN_RUNNING);
	expect_state("a", STATE_UP);
	assert_non_null(strstr(field(CTL_SHOW, "a", "last_error"), "could not be saved: No space left on device"));
	say_result(drain_and_save(), "dom-a", 0, "", -1);
	expect_state("a", STATE_SAVED);
}

static void test_a_save_that_fails_with_stop_force(void **state)
{
	(void)state;
	begin_saved(",\"stop_force\":true");
	say_result(drain_and_save(), "dom-a", -ENOSPC, "No space left on device", -1);
	inspected("dom-a", 3, DOMAIN_RUNNING);
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", 0, "", -1);
	expect_state("a", STATE_OFF);
}

/* It cost the VM its life: that is said. */
static void test_a_save_that_loses_it(void **state)
{
	(void)state;
	begin_saved("");
	say_result(drain_and_save(), "dom-a", -EIO, "cannot rename", -1);
	inspected("dom-a", -1, DOMAIN_OFF);
	expect_state("a", STATE_OFF);
	assert_non_null(strstr(field(CTL_WHY, "a", "last_stop_reason"), "is lost: it could not be saved: cannot rename"));
}

/* The backend dies while it saves: what its successor finds counts. */
static void test_a_backend_that_dies_while_it_saves(void **state)
{
	(void)state;
	begin_saved("");
	drain_and_save();
	connect_with(DOMAINS({ "dom-a", 3, DOMAIN_RUNNING }));
	expect_target(MSG_BE_STOP, "dom-a");
	assert_int_equal(got.target.how, STOP_SAVE);
	connect_with(DOMAINS({ "dom-a", -1, DOMAIN_SAVED }));
	expect_state("a", STATE_SAVED);
}

static void test_found_saved(void **state)
{
	(void)state;
	begin_with("", SERVICE_AS("a", "1", "10", "save", LAZY));
	connect_with(DOMAINS({ "dom-a", -1, DOMAIN_SAVED }));
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	assert_int_equal(of("a")->state, STATE_SAVED);
	connect_with(DOMAINS({ "dom-a", -1, DOMAIN_OFF })); /* somebody has thrown it away */
	expect_state("a", STATE_OFF);
}

/* Within the same wake it is booted, without what was saved. */
static void test_a_restore_that_fails(void **state)
{
	uint32_t req;

	(void)state;
	begin_saved("");
	say_result(drain_and_save(), "dom-a", 0, "", -1);
	expect_state("a", STATE_SAVED);
	wake("a");
	expect_state("a", STATE_STARTING);
	say_result(expect_start("dom-a"), "dom-a", -EIO, "unexpected end of file", -1);
	req = expect_start("dom-a");
	assert_true(got.start.fresh);
	say_result(req, "dom-a", 0, "", 4);
	expect_state("a", STATE_BOOTING);
	expect_state("a", STATE_UP);
	say_result(drain_and_save(), "dom-a", 0, "", -1);
	expect_state("a", STATE_SAVED);
	wake("a");
	expect_start("dom-a");
	assert_false(got.start.fresh); /* the next one is another one */
}

static void test_a_stop_of_a_saved_domain(void **state)
{
	uint32_t id;

	(void)state;
	begin_saved("");
	say_result(drain_and_save(), "dom-a", 0, "", -1);
	expect_state("a", STATE_SAVED);
	id = ask(CTL_STOP, "a", true);
	expect_end(id, 0);
	assert_string_equal(state_of("a"), "saved"); /* which is its owner's */
	quiet(w.be);
}

/* There is nothing in it that anybody would be served by. */
static void test_one_that_is_not_ready_is_not_saved(void **state)
{
	(void)state;
	begin(SERVICE_AS("a", "1", "5000", "save", LAZY));
	wake("a");
	expect_state("a", STATE_STARTING);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 3);
	expect_state("a", STATE_BOOTING);
	ask(CTL_STOP, "a", true);
	expect_target(MSG_BE_STOP, "dom-a");
	assert_int_equal(got.target.how, STOP_SHUTDOWN);
}

/* ---- a machine of ours: a file of ours ---- */

static int setup_machine(void **state)
{
	w.bridge = "br0";
	return ip_run("ip link add br0 type bridge") == 0 ? setup(state) : -1;
}

static int teardown_machine(void **state)
{
	int r = teardown(state);

	w.bridge = NULL;
	return ip_run("ip link del br0") == 0 ? r : -1;
}

static const char *path_in(const char *file)
{
	static char path[2][256];
	static unsigned n;

	n = !n;
	snprintf(path[n], sizeof(path[n]), "%s/%s", w.dir, file);
	return path[n];
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static const char *machine(const char *memory)
{
	static char service[1024];

	snprintf(service, sizeof(service),
		 "{\"name\":\"m\",\"dns\":[\"m.jitsu.example\"],\"ip\":[\"10.77.0.5/24\"],\"hold\":\"off\",\"stop\":\"save\","
		 "\"ready\":[\"delay:10\"]" LAZY ",\"machine\":{\"hypervisor\":\"hv\",\"kernel\":\"%s\",\"memory\":\"%s\","
		 "\"disks\":[{\"path\":\"%s\"}],\"nics\":[{\"bridge\":\"br0\"}]}}", path_in("kernel"), memory, path_in("disk"));
	return service;
}

/* The next start, and the file that it is from; "": it is a boot. */
static uint32_t expect_boot(char save[MSG_PATH_MAX])
{
	expect(w.be, MSG_BE_START);
	assert_string_equal(got.start.name, "jitsu-m");
	strcpy(save, got.start.save);
	return got.start.req;
}

static void start_machine(char save[MSG_PATH_MAX])
{
	uint32_t req;

	wake("m");
	expect_state("m", STATE_STARTING);
	req = expect_boot(save);
	say_result(req, "jitsu-m", 0, "", 3);
	expect_state("m", STATE_BOOTING);
	expect_state("m", STATE_UP);
}

/* By the operator; *path is where the hypervisor puts it. */
static void save_machine(char path[MSG_PATH_MAX])
{
	ask(CTL_STOP, "m", true);
	expect_state("m", STATE_STOPPING);
	expect(w.be, MSG_BE_STOP);
	assert_int_equal(got.target.how, STOP_SAVE);
	strcpy(path, got.target.save);
	write_file(path, "what it was");
	say_result(got.target.req, "jitsu-m", 0, "", -1);
	expect_state("m", STATE_SAVED);
	settle();
}

static void begin_machine(char path[MSG_PATH_MAX])
{
	char none[MSG_PATH_MAX];

	write_file(path_in("kernel"), "kernel");
	write_file(path_in("disk"), "disk");
	assert_int_equal(chmod(path_in("disk"), 0666), 0);
	assert_int_equal(chmod(w.dir, 0755), 0); /* QEMU's user must get at it */
	begin(machine("16MiB"));
	start_machine(none);
	assert_string_equal(none, "");
	save_machine(path);
}

static void expect_thrown_away(const char *path)
{
	char save[MSG_PATH_MAX];

	start_machine(save);
	assert_string_equal(save, "");
	assert_int_equal(access(path, F_OK), -1);
}

static void test_machine_is_restored(void **state)
{
	char path[MSG_PATH_MAX], save[MSG_PATH_MAX];
	struct stat st;

	(void)state;
	begin_machine(path);
	assert_int_equal(stat(path_in("saved/m"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	start_machine(save);
	assert_string_equal(save, path);
	assert_int_equal(access(path, F_OK), -1); /* even if the hypervisor had left it */
}

/* A new launcher, and nothing left in /run: the file tells. */
static void test_machine_is_found_saved_after_a_reboot(void **state)
{
	char path[MSG_PATH_MAX], save[MSG_PATH_MAX];

	(void)state;
	begin_machine(path);
	kill(w.pid, SIGKILL);
	end_launcher();
	assert_int_equal(unlink(path_in("services/m")), 0);
	begin(machine("16MiB"));
	assert_int_equal(of("m")->state, STATE_SAVED);
	start_machine(save);
	assert_string_equal(save, path);
}

static void test_machine_with_another_kernel_is_booted(void **state)
{
	char path[MSG_PATH_MAX];

	(void)state;
	begin_machine(path);
	write_file(path_in("kernel"), "a newer kernel");
	expect_thrown_away(path);
}

/* Its file system is not the one that it remembers. */
static void test_machine_whose_disk_was_written_to_is_booted(void **state)
{
	char path[MSG_PATH_MAX];

	(void)state;
	begin_machine(path);
	usleep(20 * 1000);
	write_file(path_in("disk"), "repaired");
	expect_thrown_away(path);
}

/* Its record says another machine: at once there is nothing to be restored. */
static void test_machine_that_changes_while_it_is_saved(void **state)
{
	char path[MSG_PATH_MAX], save[MSG_PATH_MAX];

	(void)state;
	begin_machine(path);
	reload_with(machine("32MiB"));
	assert_int_equal(of("m")->state, STATE_OFF);
	assert_int_equal(access(path, F_OK), -1);
	start_machine(save);
	assert_string_equal(save, "");
}

/* What runs is what was booted, whatever the record says by the time that it is saved. */
static void test_machine_that_changes_while_it_runs(void **state)
{
	char path[MSG_PATH_MAX], save[MSG_PATH_MAX];

	(void)state;
	begin_machine(path);
	start_machine(save);
	reload_with(machine("32MiB"));
	save_machine(path);
	expect_thrown_away(path);
}

static void test_file_that_cannot_be_restored_is_put_aside(void **state)
{
	char path[MSG_PATH_MAX], save[MSG_PATH_MAX];

	(void)state;
	begin_machine(path);
	wake("m");
	expect_state("m", STATE_STARTING);
	say_result(expect_boot(save), "jitsu-m", -EIO, "bad magic", -1);
	assert_string_equal(save, path);
	say_result(expect_boot(save), "jitsu-m", 0, "", 4);
	assert_string_equal(save, "");
	expect_state("m", STATE_BOOTING);
	expect_state("m", STATE_UP);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(access(path_in("saved/m/failed"), F_OK), 0);
	save_machine(path); /* and another takes its place */
	assert_int_equal(access(path_in("saved/m/failed"), F_OK), -1);
}

/* What is in the file kills whoever reads it: not for ever. */
static void test_file_that_kills_the_hypervisors_process(void **state)
{
	char path[MSG_PATH_MAX], save[MSG_PATH_MAX];

	(void)state;
	begin_machine(path);
	wake("m");
	expect_state("m", STATE_STARTING);
	for (int i = 0; i < 2; i++) {
		expect_boot(save);
		assert_string_equal(save, path);
		connect_with(NULL);
	}
	expect_boot(save);
	assert_string_equal(save, "");
	assert_int_equal(access(path_in("saved/m/failed"), F_OK), 0);
}

/* Nor can it be booted: it is not the file that is bad, and the next try is with it again. */
static void test_file_is_kept_where_nothing_can_be_started(void **state)
{
	char path[MSG_PATH_MAX], save[MSG_PATH_MAX];

	(void)state;
	begin_machine(path);
	wake("m");
	expect_state("m", STATE_STARTING);
	say_result(expect_boot(save), "jitsu-m", -ENOMEM, "no memory", -1);
	say_result(expect_boot(save), "jitsu-m", -ENOMEM, "no memory", -1);
	assert_string_equal(save, "");
	expect_state("m", STATE_FAILED);
	settle();
	assert_int_equal(access(path, F_OK), 0);
	ask(CTL_START, "m", true);
	expect_boot(save);
	assert_string_equal(save, path);
}

static void test_stop_throws_away_what_is_saved(void **state)
{
	char path[MSG_PATH_MAX];
	uint32_t id;

	(void)state;
	begin_machine(path);
	id = ask(CTL_STOP, "m", true);
	expect_state("m", STATE_OFF);
	expect_end(id, 0);
	assert_int_equal(access(path, F_OK), -1);
	quiet(w.be);
}

static void test_removed_service_takes_its_file_along(void **state)
{
	char path[MSG_PATH_MAX];

	(void)state;
	begin_machine(path);
	reload_with("");
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(access(path_in("saved/m"), F_OK), -1);
}

/* It was removed while nobody looked.  What is not of our making stays. */
static void test_files_of_nobody_are_removed_at_start(void **state)
{
	char path[MSG_PATH_MAX];

	(void)state;
	begin_machine(path);
	kill(w.pid, SIGKILL);
	end_launcher();
	assert_int_equal(mkdir(path_in("saved/other"), 0700), 0);
	write_file(path_in("saved/other/0123456789abcdef.0123456789abcdef.part"), "x");
	write_file(path_in("saved/other/a.txt"), "x");
	begin("");
	settle();
	assert_int_equal(access(path_in("saved/m"), F_OK), -1);
	assert_int_equal(access(path_in("saved/other/0123456789abcdef.0123456789abcdef.part"), F_OK), -1);
	assert_int_equal(access(path_in("saved/other/a.txt"), F_OK), 0);
}

/* Others could read its memory, or put another one in its place. */
static void test_a_directory_that_is_not_roots_alone(void **state)
{
	char path[MSG_PATH_MAX], save[MSG_PATH_MAX];
	uint32_t id;

	(void)state;
	begin_machine(path);
	start_machine(save);
	assert_int_equal(chmod(path_in("saved"), 0777), 0);
	id = ask(CTL_STOP, "m", true);
	expect_state("m", STATE_STOPPING);
	expect_state("m", STATE_UP);
	expect_end(id, -EIO);
	assert_non_null(strstr(field(CTL_SHOW, "m", "last_error"), "root alone can write to"));
	quiet(w.be);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest domains[] = {
		T(test_save_and_restore),
		T(test_a_wake_while_it_is_saved),
		T(test_a_save_that_fails),
		T(test_a_save_that_fails_with_stop_force),
		T(test_a_save_that_loses_it),
		T(test_a_backend_that_dies_while_it_saves),
		T(test_found_saved),
		T(test_a_restore_that_fails),
		T(test_a_stop_of_a_saved_domain),
		T(test_one_that_is_not_ready_is_not_saved),
	};
#define M(test) cmocka_unit_test_setup_teardown(test, setup_machine, teardown_machine)
	const struct CMUnitTest machines[] = {
		M(test_machine_is_restored),
		M(test_machine_is_found_saved_after_a_reboot),
		M(test_machine_with_another_kernel_is_booted),
		M(test_machine_whose_disk_was_written_to_is_booted),
		M(test_machine_that_changes_while_it_is_saved),
		M(test_machine_that_changes_while_it_runs),
		M(test_file_that_cannot_be_restored_is_put_aside),
		M(test_file_that_kills_the_hypervisors_process),
		M(test_file_is_kept_where_nothing_can_be_started),
		M(test_stop_throws_away_what_is_saved),
		M(test_removed_service_takes_its_file_along),
		M(test_files_of_nobody_are_removed_at_start),
		M(test_a_directory_that_is_not_roots_alone),
	};

	int failed;

	signal(SIGPIPE, SIG_IGN);
	failed = cmocka_run_group_tests_name("launcher/saves", domains, NULL, NULL);
	if (failed > 0 || !netns_enter())
		return failed;
	return cmocka_run_group_tests_name("launcher/saves: machines of ours", machines, NULL, NULL);
}
