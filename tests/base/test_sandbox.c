/* What a process in the sandbox may and may not do to the descriptors that it was given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/sandbox.h"

enum { DONE = 7 };

static void *nothing(void *arg) { return arg; }

/* A thread comes and goes, by the library's own ways. */
static bool can_thread(void)
{
	pthread_t thread;
	void *said = NULL;
	int word;

	return pthread_create(&thread, NULL, nothing, &word) == 0 && pthread_join(thread, &said) == 0 && said == &word;
}

static int status_of_threads(long number, long a)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		struct sandbox s = { .threads = true };
		struct err e;

		if (sandbox_enter(&s, &e) < 0 || !can_thread())
			_exit(1);
		if (syscall(number, a, 0, 0, 0, 0) == -1 && errno == ENOSYS)
			_exit(DONE);
		_exit(2);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

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

static void test_threads_and_nothing_else_that_clone_can(void **state)
{
	(void)state;
	skip_without_sandbox();
	assert_may(status_of_threads(SYS_clone3, 0));
	assert_killed(status_of_threads(SYS_clone, SIGCHLD)); /* fork() */
	assert_killed(status_of_threads(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD));
	assert_killed(status_of_threads(SYS_clone, CLONE_NEWUSER | SIGCHLD));
	assert_killed(status_of_threads(SYS_unshare, CLONE_NEWUSER));
	assert_killed(status_of(SYS_clone3, 0, 0, 0)); /* who may not, may not */
	assert_killed(status_of(SYS_clone, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND, 0, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ioctl_is_for_counting_bytes_only),
		cmocka_unit_test(test_nothing_is_opened_or_started),
		cmocka_unit_test(test_threads_and_nothing_else_that_clone_can),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
