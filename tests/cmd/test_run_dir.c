#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/util.h"
#include "cmd/run_dir.h"

static char dir[64];

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/jitsu-test-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static void below(const char *name, char path[128]) { snprintf(path, 128, "%s%s", dir, name); }

static int teardown(void **state)
{
	static const char *const dirs[] = { "/run/empty", "/run/pids", "/run/console", "/run/services", "/run",
		                            "/state", "" };
	char path[128];

	(void)state;
	below("/jitsud.lock", path);
	unlink(path);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		below(dirs[i], path);
		if (rmdir(path) < 0 && errno != ENOENT)
			return -1;
	}
	return 0;
}

static void test_directories_are_closed_to_others(void **state)
{
	struct conf conf = { 0 };
	char run[128], state_dir[128], pids[128];
	struct stat st;
	struct err e;

	(void)state;
	if (geteuid() != 0)
		skip();
	below("/run", run);
	below("/state", state_dir);
	below("/run/pids", pids);
	conf.run_dir = run;
	conf.state_dir = state_dir;
	assert_int_equal(run_dir_make(&conf, &e), 0);
	assert_int_equal(chmod(pids, 0777), 0); /* by somebody: it is set right again */
	assert_int_equal(run_dir_make(&conf, &e), 0);
	assert_int_equal(stat(pids, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(run, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
}

static void test_only_one_has_the_lock(void **state)
{
	struct err e;
	int lock = run_dir_lock(dir, &e), again;

	(void)state;
	assert_true(lock >= 0);
	assert_int_equal(run_dir_lock(dir, &e), -EBUSY);
	assert_non_null(strstr(e.text, "another jitsud already runs"));
	close(lock);
	again = run_dir_lock(dir, &e);
	assert_true(again >= 0);
	close(again);
}

static void test_the_control_socket_can_be_connected_to(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char long_dir[200];
	struct err e;
	struct stat st;
	cleanup_close int fd = run_dir_control(dir, getegid(), &e);
	cleanup_close int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	if (geteuid() != 0 && fd < 0)
		skip();
	assert_true(fd >= 0);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/control.sock", dir);
	assert_int_equal(stat(sun.sun_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	assert_int_equal(connect(client, (void *)&sun, sizeof(sun)), 0);
	run_dir_forget_control(dir);
	assert_int_equal(stat(sun.sun_path, &st), -1);
	snprintf(long_dir, sizeof(long_dir), "/tmp/%0150d", 1);
	assert_int_equal(run_dir_control(long_dir, 0, &e), -ENAMETOOLONG);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_directories_are_closed_to_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_one_has_the_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_control_socket_can_be_connected_to, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
