/* What a service manager hears of a supervisor whose processes follow a script.  It runs this very program for
 * each role: it answers the supervisor's pings, unless a file $JITSU_TEST_MUTE.ROLE is there. */
#include "tests/cmd/supervised.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"

#define MUTE "JITSU_TEST_MUTE"

enum { WAIT_MS = 30000, PERIOD_MS = 1200 };

/* ---- a process ---- */

static bool is_mute(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s.%s", getenv(MUTE), my_role);
	return access(path, F_OK) == 0;
}

static void on_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	(void)arg;
	(void)body;
	(void)fd;
	if (type == MSG_STOP)
		exit(0);
	if (type == MSG_PING && !is_mute())
		ipc_send(ch, MSG_PONG, NULL);
	if (type == MSG_RELOAD && !is_mute())
		ipc_send(ch, MSG_RELOADED, NULL);
}

/* ---- the test ---- */

static int manager = -1;

static void have_a_watchdog(void)
{
	setenv("WATCHDOG_USEC", "1200000", 1);
	unsetenv("WATCHDOG_PID");
}

static int setup(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char path[128];

	(void)state;
	if (geteuid() != 0)
		return 0;
	if (make_dir() < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/mute", dir);
	setenv(MUTE, path, 1);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/notify", dir);
	setenv("NOTIFY_SOCKET", sun.sun_path, 1);
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (manager < 0 || bind(manager, (void *)&sun, sizeof(sun)) < 0)
		return -1;
	supervisor = start_supervisor(have_a_watchdog);
	return 0;
}

static int teardown(void **state)
{
	int r;

	(void)state;
	if (geteuid() != 0)
		return 0;
	r = stop_supervisor();
	close(manager);
	return r;
}

/* The next thing said within `ms`; false when nothing is. */
static bool hear(char text[256], uint64_t ms)
{
	struct pollfd p = { .fd = manager, .events = POLLIN };
	ssize_t n;

	if (poll(&p, 1, (int)ms) != 1)
		return false;
	n = recv(manager, text, 255, 0);
	assert_true(n > 0);
	text[n] = '\0';
	return true;
}

static void wait_for(const char *begins)
{
	uint64_t until = clock_now_ms() + WAIT_MS;
	char text[256];

	while (clock_now_ms() < until) {
		if (hear(text, 1000) && strncmp(text, begins, strlen(begins)) == 0)
			return;
	}
	fail_msg("%s was not said", begins);
}

/* No sign of life for longer than there may be between two. */
static void wait_for_silence(void)
{
	uint64_t until = clock_now_ms() + WAIT_MS;
	char text[256];

	while (clock_now_ms() < until) {
		if (!hear(text, 2 * PERIOD_MS))
			return;
	}
	fail_msg("the signs of life go on");
}

static pid_t pid_of(const char *role)
{
	char path[128];
	FILE *f;
	int pid = 0;

	snprintf(path, sizeof(path), "%s/run/pids/%s", dir, role);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%d", &pid) != 1)
		pid = 0;
	fclose(f);
	return pid;
}

static bool gets_another(const char *role, pid_t old)
{
	uint64_t until = clock_now_ms() + WAIT_MS;

	while (clock_now_ms() < until) {
		pid_t now = pid_of(role);

		if (now > 0 && now != old)
			return true;
		usleep(20000);
	}
	return false;
}

static void mute(const char *role, bool on)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/mute.%s", dir, role);
	if (on)
		close(open(path, O_CREAT | O_CLOEXEC, 0644));
	else
		unlink(path);
}

#define NEED_ROOT()                                                                  \
	do {                                                                         \
		if (geteuid() != 0) {                                                \
			print_message("skip: needs root: the supervisor does\n");    \
			skip();                                                      \
		}                                                                    \
	} while (0)

static void test_ready_then_signs_of_life(void **state)
{
	char text[256];

	(void)state;
	NEED_ROOT();
	assert_true(hear(text, WAIT_MS));
	while (strcmp(text, "WATCHDOG=1") == 0)
		assert_true(hear(text, WAIT_MS));
	assert_string_equal(text, "READY=1");
	wait_for("WATCHDOG=1");
	wait_for("WATCHDOG=1");
}

static void test_stuck_is_killed(void **state)
{
	pid_t dns;

	(void)state;
	NEED_ROOT();
	wait_for("WATCHDOG=1");
	dns = pid_of("dns");
	assert_true(dns > 0);
	kill(dns, SIGSTOP);
	assert_true(gets_another("dns", dns));
	wait_for("WATCHDOG=1");
}

static void test_no_sign_of_life_without_a_process(void **state)
{
	(void)state;
	NEED_ROOT();
	wait_for("WATCHDOG=1");
	mute("control", true);
	wait_for_silence();
	mute("control", false);
	wait_for("WATCHDOG=1");
}

static void test_reload_begins_and_ends(void **state)
{
	pid_t launcher;

	(void)state;
	NEED_ROOT();
	wait_for("READY=1");
	kill(supervisor, SIGHUP);
	wait_for("RELOADING=1\nMONOTONIC_USEC=");
	wait_for("READY=1");
	/* a launcher that dies over it: its successor reads it at its start */
	mute("launcher", true);
	kill(supervisor, SIGHUP);
	wait_for("RELOADING=1\n");
	launcher = pid_of("launcher");
	mute("launcher", false);
	kill(launcher, SIGKILL);
	wait_for("READY=1");
	kill(supervisor, SIGTERM);
	wait_for("STOPPING=1");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ready_then_signs_of_life, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stuck_is_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_sign_of_life_without_a_process, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reload_begins_and_ends, setup, teardown),
	};

	if (argc > 2 && strcmp(argv[1], "--role") == 0)
		return play(argv[2], on_msg, true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
