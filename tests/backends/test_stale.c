/* What a killed predecessor leaves behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
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
	assert_int_equal(stale_end_forks(), 1);
	assert_int_equal(waitpid(fork_of_us, &status, 0), fork_of_us);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_equal(waitpid(other, &status, WNOHANG), 0);
	assert_int_equal(stale_end_forks(), 0);
	kill(other, SIGKILL);
	waitpid(other, &status, 0);
	close(ready[0]);
	close(ready[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_forks_are_ended) };

	return cmocka_run_group_tests_name("backends/stale", tests, NULL, NULL);
}
