/* What a killed predecessor leaves behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "backends/stale.h"
#include "base/util.h"

/* A child that has not executed anything has our own command line; one that has, has another. */
static void test_forks_are_ended(void **state)
{
	pid_t fork_of_us = fork(), other = -1;
	int status, ready[2];
	char c;

	(void)state;
	if (fork_of_us == 0) {
		for (;;)
			pause();
	}
	assert_int_equal(pipe(ready), 0);
	other = fork();
	if (other == 0) {
		dup2(ready[1], 1);
		execlp("sh", "sh", "-c", "echo; exec sleep 60", NULL);
		_exit(1);
	}
	assert_true(fork_of_us > 0 && other > 0);
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(stale_end_forks("/nonexistent"), 1);
	assert_int_equal(waitpid(fork_of_us, &status, 0), fork_of_us);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_equal(waitpid(other, &status, WNOHANG), 0);
	assert_int_equal(stale_end_forks("/nonexistent"), 0);
	kill(other, SIGKILL);
	waitpid(other, &status, 0);
	close(ready[0]);
	close(ready[1]);
}

/* Who has the driver open is no fork of a dead process, whatever it is called. */
static void test_nobody_is_ended_while_the_driver_is_open(void **state)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char root[] = "/tmp/jitsu-stale-XXXXXX", path[128];
	int ready[2], status;
	pid_t owner;
	char c;

	(void)state;
	assert_non_null(mkdtemp(root));
	snprintf(path, sizeof(path), "mkdir -p %s/run/qemu && touch %s/run/qemu/driver.pid", root, root);
	assert_int_equal(system(path), 0);
	snprintf(path, sizeof(path), "%s/run/qemu/driver.pid", root);
	assert_int_equal(pipe(ready), 0);
	owner = fork();
	if (owner == 0) {
		int fd = open(path, O_RDWR);

		if (fcntl(fd, F_SETLK, &lock) == 0 && write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(stale_end_forks(root), 0);
	kill(owner, SIGKILL);
	waitpid(owner, &status, 0);
	snprintf(path, sizeof(path), "rm -r %s", root);
	assert_int_equal(system(path), 0);
	close(ready[0]);
	close(ready[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forks_are_ended),
		cmocka_unit_test(test_nobody_is_ended_while_the_driver_is_open),
	};

	return cmocka_run_group_tests_name("backends/stale", tests, NULL, NULL);
}
