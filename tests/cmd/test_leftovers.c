#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/util.h"
#include "cmd/leftovers.h"

enum { WAIT_MS = 200 };

static char dir[64];

static int setup(void **state)
{
	char pids[128];

	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/jitsu-test-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(pids, sizeof(pids), "%s/pids", dir);
	return mkdir(pids, 0700);
}

static void record_of(const char *name, char path[PATH_MAX]) { snprintf(path, PATH_MAX, "%s/pids/%s", dir, name); }

static int teardown(void **state)
{
	char path[PATH_MAX];

	(void)state;
	leftovers_forget(dir, "one");
	record_of("", path);
	return rmdir(path) < 0 || rmdir(dir) < 0;
}

/* A process that waits for a signal; `deaf` to SIGTERM. */
static pid_t start(bool deaf)
{
	int ready[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		signal(SIGTERM, deaf ? SIG_IGN : SIG_DFL);
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static int ended_by(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	return WTERMSIG(status);
}

static void test_it_is_asked_to_end(void **state)
{
	pid_t pid = start(false);
	char path[PATH_MAX];

	(void)state;
	leftovers_record(dir, "one", pid);
	assert_int_equal(leftovers_end(dir, WAIT_MS), 1);
	assert_int_equal(ended_by(pid), SIGTERM);
	record_of("one", path);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(leftovers_end(dir, WAIT_MS), 0);
}

static void test_it_is_killed_when_it_does_not(void **state)
{
	pid_t pid = start(true);

	(void)state;
	leftovers_record(dir, "one", pid);
	assert_int_equal(leftovers_end(dir, WAIT_MS), 1);
	assert_int_equal(ended_by(pid), SIGKILL);
}

/* The pid is another process's by now: it began at another time. */
static void test_another_process_is_left_alone(void **state)
{
	pid_t pid = start(false);
	char path[PATH_MAX];
	FILE *f;

	(void)state;
	record_of("one", path);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "%d 1\n", (int)pid);
	fclose(f);
	assert_int_equal(leftovers_end(dir, WAIT_MS), 0);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	kill(pid, SIGKILL);
	assert_int_equal(ended_by(pid), SIGKILL);
}

static void test_what_was_forgotten_is_left_alone(void **state)
{
	pid_t pid = start(false);

	(void)state;
	leftovers_record(dir, "one", pid);
	leftovers_forget(dir, "one");
	assert_int_equal(leftovers_end(dir, WAIT_MS), 0);
	kill(pid, SIGKILL);
	assert_int_equal(ended_by(pid), SIGKILL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_it_is_asked_to_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_it_is_killed_when_it_does_not, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_process_is_left_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_was_forgotten_is_left_alone, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
