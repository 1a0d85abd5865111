/* The datagrams for the service manager, read at the other end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "cmd/notify.h"

static int manager = -1;

/* A socket that is bound to `address` ('@': the abstract one), and named by NOTIFY_SOCKET. */
static void listen_at(const char *address)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	socklen_t n;

	assert_true(str_copy(sun.sun_path, address));
	if (address[0] == '@')
		sun.sun_path[0] = '\0';
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(manager >= 0);
	n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address));
	assert_int_equal(bind(manager, (void *)&sun, n), 0);
	setenv("NOTIFY_SOCKET", address, 1);
}

static void assert_heard(const char *begins)
{
	struct pollfd p = { .fd = manager, .events = POLLIN };
	char text[256] = "";
	ssize_t n;

	assert_int_equal(poll(&p, 1, 5000), 1);
	n = recv(manager, text, sizeof(text) - 1, 0);
	assert_true(n > 0);
	assert_memory_equal(text, begins, strlen(begins));
}

static int forget(void **state)
{
	(void)state;
	if (manager >= 0)
		close(manager);
	manager = -1;
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	return 0;
}

static void test_by_path(void **state)
{
	char dir[] = "/tmp/jitsu-test-XXXXXX", path[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/notify", dir);
	listen_at(path);
	notify_send("READY=1");
	assert_heard("READY=1");
	notify_reloading();
	assert_heard("RELOADING=1\nMONOTONIC_USEC=");
	unlink(path);
	notify_send("READY=1"); /* nobody there: a line in the log, and no more */
	rmdir(dir);
}

static void test_by_abstract_name(void **state)
{
	char name[64];

	(void)state;
	snprintf(name, sizeof(name), "@jitsu-test-%d", (int)getpid());
	listen_at(name);
	notify_send("STOPPING=1");
	assert_heard("STOPPING=1");
}

static void test_nobody_asked(void **state)
{
	char name[64];
	struct pollfd p;

	(void)state;
	snprintf(name, sizeof(name), "@jitsu-test-%d", (int)getpid());
	listen_at(name);
	unsetenv("NOTIFY_SOCKET");
	notify_send("READY=1");
	setenv("NOTIFY_SOCKET", "", 1);
	notify_send("READY=1");
	p = (struct pollfd){ .fd = manager, .events = POLLIN };
	assert_int_equal(poll(&p, 1, 0), 0);
}

static void assert_period(const char *usec, const char *pid, uint64_t ms)
{
	setenv("WATCHDOG_USEC", usec, 1);
	if (pid)
		setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(notify_watchdog_ms(), ms);
	unsetenv("WATCHDOG_PID");
}

static void test_watchdog_period(void **state)
{
	char me[16];

	(void)state;
	snprintf(me, sizeof(me), "%d", (int)getpid());
	assert_int_equal(notify_watchdog_ms(), 0);
	assert_period("60000000", NULL, 60000);
	assert_period("60000000", me, 60000);
	assert_period("60000000", "1", 0);
	assert_period("60000000", "x", 0);
	assert_period("0", NULL, 0);
	assert_period("", NULL, 0);
	assert_period("-5", NULL, 0);
	assert_period("60s", NULL, 0);
	assert_period("99999999999999999999999", NULL, 0);
	assert_period("1", NULL, 100); /* not as fast as it would be asked for */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_by_path, forget),
		cmocka_unit_test_teardown(test_by_abstract_name, forget),
		cmocka_unit_test_teardown(test_nobody_asked, forget),
		cmocka_unit_test_teardown(test_watchdog_period, forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
