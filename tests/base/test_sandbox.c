/* What a process in the sandbox may and may not do to the descriptors that it was given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/sandbox.h"

enum { DONE = 7 };

/* How a child ends that does this one call in the sandbox. */
static int status_of(long number, long a, long b, long c)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		struct sandbox s = { .chroot_dir = NULL };
		struct err e;

		if (sandbox_enter(&s, &e) < 0)
			_exit(1);
		syscall(number, a, b, c);
		_exit(DONE);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void assert_may(int status)
{
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), DONE);
}

static void assert_killed(int status)
{
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void skip_without_sandbox(void)
{
#ifdef JITSU_SANITIZED
	skip();
#endif
	if (getuid() != 0)
		skip();
}

static void test_ioctl_is_for_counting_bytes_only(void **state)
{
	int pipes[2], bytes = -1;

	(void)state;
	skip_without_sandbox();
	assert_int_equal(pipe(pipes), 0);
	assert_may(status_of(SYS_ioctl, pipes[0], FIONREAD, (long)&bytes));
	assert_killed(status_of(SYS_ioctl, pipes[0], FIOCLEX, 0));
	assert_killed(status_of(SYS_ioctl, pipes[0], TIOCSTI, 0));
	close(pipes[0]);
	close(pipes[1]);
}

static void test_nothing_is_opened_or_started(void **state)
{
	(void)state;
	skip_without_sandbox();
	assert_may(status_of(SYS_getpid, 0, 0, 0));
	assert_killed(status_of(SYS_openat, AT_FDCWD, (long)"/etc/passwd", O_RDONLY));
	assert_killed(status_of(SYS_execve, (long)"/bin/true", 0, 0));
	assert_killed(status_of(SYS_socket, 2, 2, 0));
	assert_killed(status_of(SYS_ptrace, 0, 0, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ioctl_is_for_counting_bytes_only),
		cmocka_unit_test(test_nothing_is_opened_or_started),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
