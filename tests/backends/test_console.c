#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "backends/console.h"
#include "base/ring_file.h"

static struct event_base *base;
static struct consoles *consoles;
static char dir[64];

static void turn(void)
{
	struct timeval limit = { 0, 20000 };

	event_base_loopexit(base, &limit);
	event_base_dispatch(base);
}

/* As QEMU does. */
static int connect_to(const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(console_socket_path(dir, name, addr.sun_path, sizeof(addr.sun_path)));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		close(fd);
		return -errno;
	}
	turn();
	return fd;
}

static void expect_ring(const char *name, const char *text)
{
	char path[128], buf[RING_ROOM_DEFAULT];
	cleanup_close int fd = -1;
	uint64_t at = 0;
	ssize_t n;

	turn();
	snprintf(path, sizeof(path), "%s/%s.log", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = ring_file_read(fd, &at, buf, sizeof(buf));
	assert_int_equal(n, strlen(text));
	assert_memory_equal(buf, text, (size_t)n);
}

static void make_consoles(void)
{
	struct err e;

	consoles = consoles_new(base, dir, getuid(), getgid(), &e);
	if (!consoles)
		fail_msg("%s", e.text);
}

static int setup(void **state)
{
	(void)state;
	base = event_base_new();
	snprintf(dir, sizeof(dir), "/tmp/jitsu-console-XXXXXX");
	assert_non_null(mkdtemp(dir));
	make_consoles();
	return 0;
}

static int teardown(void **state)
{
	char line[128];

	(void)state;
	consoles_free(consoles);
	event_base_free(base);
	snprintf(line, sizeof(line), "rm -r %s", dir);
	return system(line);
}

static void open_console(const char *name)
{
	struct err e;

	if (consoles_open(consoles, name, &e) < 0)
		fail_msg("%s", e.text);
}

static void test_what_a_guest_says_is_kept(void **state)
{
	cleanup_close int qemu = -1;
	char path[128];
	struct stat st;

	(void)state;
	open_console("jitsu-a");
	open_console("jitsu-a"); /* again is fine */
	snprintf(path, sizeof(path), "%s/jitsu-a.sock", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	stat(dir, &st);
	assert_int_equal(st.st_mode & 0777, 0710);
	qemu = connect_to("jitsu-a");
	assert_int_equal(write(qemu, "booting\n", 8), 8);
	expect_ring("jitsu-a", "booting\n");
}

static void test_next_boot_takes_over(void **state)
{
	cleanup_close int first = -1;
	cleanup_close int second = -1;

	(void)state;
	open_console("jitsu-a");
	first = connect_to("jitsu-a");
	assert_int_equal(write(first, "one ", 4), 4);
	turn();
	second = connect_to("jitsu-a");
	assert_int_equal(write(second, "two", 3), 3);
	expect_ring("jitsu-a", "one two");
	assert_int_equal(send(first, "x", 1, MSG_NOSIGNAL), -1); /* hung up on */
}

static void test_survives_our_restart(void **state)
{
	cleanup_close int qemu = -1;

	(void)state;
	open_console("jitsu-a");
	qemu = connect_to("jitsu-a");
	assert_int_equal(write(qemu, "before ", 7), 7);
	turn();
	fd_close(&qemu);
	consoles_free(consoles);
	assert_true(connect_to("jitsu-a") < 0);
	make_consoles();
	open_console("jitsu-a");
	qemu = connect_to("jitsu-a");
	assert_int_equal(write(qemu, "after", 5), 5);
	expect_ring("jitsu-a", "before after");
}

static void test_names_that_lead_elsewhere_are_refused(void **state)
{
	char name[MSG_NAME_MAX + 8], path[512], long_dir[300];
	struct err e;

	(void)state;
	assert_true(consoles_open(consoles, "", &e) < 0);
	assert_true(consoles_open(consoles, "../x", &e) < 0);
	assert_true(consoles_open(consoles, "a/b", &e) < 0);
	assert_true(consoles_open(consoles, ".hidden", &e) < 0);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	memset(long_dir, '/', sizeof(long_dir) - 1);
	long_dir[sizeof(long_dir) - 1] = '\0';
	assert_false(console_socket_path(long_dir, name, path, sizeof(path))); /* longer than a socket's may be */
	assert_true(console_socket_path("/run/jitsu/console", name, path, sizeof(path)));
}

static void test_one_that_will_not_come_back(void **state)
{
	cleanup_close int qemu = -1;
	char path[128];

	(void)state;
	consoles_close(consoles, "jitsu-a"); /* nobody knows it */
	open_console("jitsu-a");
	open_console("jitsu-b");
	qemu = connect_to("jitsu-a");
	assert_int_equal(write(qemu, "x", 1), 1);
	turn();
	consoles_close(consoles, "jitsu-a");
	assert_int_equal(send(qemu, "y", 1, MSG_NOSIGNAL), -1);
	for (const char *const *end = (const char *const[]){ "sock", "log", NULL }; *end; end++) {
		snprintf(path, sizeof(path), "%s/jitsu-a.%s", dir, *end);
		assert_int_not_equal(access(path, F_OK), 0);
		snprintf(path, sizeof(path), "%s/jitsu-b.%s", dir, *end);
		assert_int_equal(access(path, F_OK), 0);
	}
	open_console("jitsu-a");
	fd_close(&qemu);
	qemu = connect_to("jitsu-a");
	assert_true(qemu >= 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_a_guest_says_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_next_boot_takes_over, setup, teardown),
		cmocka_unit_test_setup_teardown(test_survives_our_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_that_will_not_come_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names_that_lead_elsewhere_are_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
