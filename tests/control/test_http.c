/* The control process as the supervisor runs it, with its sandbox if we are root, asked for metrics over HTTP. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "control/http.h"
#include "control/main.h"

enum { NOBODY = 65534, WAIT_MS = 10000, SHORT_MS = 300 };

static struct world {
	char dir[64];
	pid_t control;
	int supervisor, launcher; /* our ends */
	struct msg_listen where;
} w;

/* ---- messages ---- */

static void say_fd(int sock, enum msg_type type, const void *body, int fd)
{
	static char packet[IPC_PACKET_MAX];
	_Alignas(struct cmsghdr) char room[CMSG_SPACE(sizeof(int))] = { 0 };
	ssize_t n = ipc_encode(type, body, packet, sizeof(packet));
	struct iovec iov = { packet, (size_t)n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c = (struct cmsghdr *)room;

	assert_true(n > 0);
	if (fd >= 0) {
		m.msg_control = room;
		m.msg_controllen = sizeof(room);
		*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	assert_int_equal(sendmsg(sock, &m, MSG_NOSIGNAL), n);
}

static void say(int sock, enum msg_type type, const void *body) { say_fd(sock, type, body, -1); }

/* The number of the question that the launcher hears; 0: none came. */
static uint32_t asked(unsigned ms)
{
	static _Alignas(16) char body[MSG_BODY_MAX];
	static char packet[IPC_PACKET_MAX];
	struct pollfd p = { .fd = w.launcher, .events = POLLIN };
	enum msg_type type = 0;
	ssize_t n;

	if (poll(&p, 1, (int)ms) <= 0)
		return 0;
	n = recv(w.launcher, packet, sizeof(packet), 0);
	assert_true(n > 0 && ipc_decode(packet, (size_t)n, &type, body) == 0);
	assert_int_equal(type, MSG_METRICS_ASK);
	return ((const struct msg_metrics_id *)(const void *)body)->id;
}

static void tell(uint32_t id, uint64_t running)
{
	struct msg_metrics m = { .id = id, .n = 2 };
	struct msg_histogram h = { .id = id, .metric = METRIC_WAKE_PHASE, .label = "up", .n = METRIC_BOUNDS_N + 1 };
	struct msg_metrics_id end = { .id = id };

	m.samples[0] = (struct msg_sample){ .metric = METRIC_VMS_RUNNING, .value = running };
	m.samples[1] = (struct msg_sample){ .metric = METRIC_SERVICES, .value = 1 };
	str_copy(m.samples[1].labels[0].text, "off");
	say(w.launcher, MSG_METRICS, &m);
	say(w.launcher, MSG_METRICS_HISTOGRAM, &h);
	say(w.launcher, MSG_METRICS_END, &end);
}

/* ---- the process ---- */

static void meet_launcher(void)
{
	struct msg_peer peer = { .role = ROLE_LAUNCHER };
	int fds[2];

	assert_int_equal(ipc_pair(fds), 0);
	if (w.launcher > 0)
		close(w.launcher);
	w.launcher = fds[1];
	say_fd(w.supervisor, MSG_PEER, &peer, fds[0]);
	close(fds[0]);
	say(w.launcher, MSG_BEGIN, NULL);
	say(w.launcher, MSG_END, NULL);
}

static void run_control(int fd)
{
	struct child_args args = { .role = ROLE_CONTROL, .log_level = "error" };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (geteuid() == 0) {
		args.uid = args.gid = NOBODY;
		args.chroot_dir = w.dir;
	}
	if (fd != CHILD_SUPERVISOR_FD)
		dup2(fd, CHILD_SUPERVISOR_FD);
	for (fd = CHILD_SUPERVISOR_FD + 1; fd < 64; fd++)
		close(fd);
	_exit(control_main(&args));
}

static void open_port(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t n = sizeof(sa);

	assert_int_equal(bind(fd, (void *)&sa, n), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (void *)&sa, &n), 0);
	w.where = (struct msg_listen){ .proto = LISTEN_METRICS, .port = ntohs(sa.sin_port) };
	assert_int_equal(ip_parse("127.0.0.1", &w.where.addr), 0);
	say_fd(w.supervisor, MSG_LISTEN, &w.where, fd);
	close(fd);
}

static int setup(void **state)
{
	int fds[2];

	(void)state;
	w = (struct world){ .dir = "/tmp/jitsu-http-XXXXXX" };
	assert_non_null(mkdtemp(w.dir));
	assert_int_equal(ipc_pair(fds), 0);
	w.control = fork();
	assert_true(w.control >= 0);
	if (w.control == 0)
		run_control(fds[1]);
	close(fds[1]);
	w.supervisor = fds[0];
	open_port();
	meet_launcher();
	return 0;
}

static int teardown(void **state)
{
	int status;

	(void)state;
	say(w.supervisor, MSG_STOP, NULL);
	waitpid(w.control, &status, 0);
	close(w.supervisor);
	close(w.launcher);
	rmdir(w.dir);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* ---- a client ---- */

static int open_client(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				  .sin_port = htons(w.where.port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (void *)&sa, sizeof(sa)) == 0)
		return fd;
	close(fd);
	return -1;
}

static int ask(const char *request)
{
	int fd = open_client();

	assert_true(fd >= 0);
	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	return fd;
}

/* All until the server closes, which it must. */
static const char *hear(int fd)
{
	static char text[16384];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t n = 0;
	ssize_t got;

	do {
		if (poll(&p, 1, WAIT_MS) <= 0)
			fail_msg("nothing came; so far: %.*s", (int)n, text);
		got = recv(fd, text + n, sizeof(text) - 1 - n, 0);
		n += got > 0 ? (size_t)got : 0;
	} while (got > 0);
	text[n] = '\0';
	close(fd);
	return text;
}

static bool is_quiet(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, SHORT_MS) == 0;
}

#define GET "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"

static void assert_status(const char *text, const char *status)
{
	if (strncmp(text, "HTTP/1.", 7) != 0 || strncmp(text + 9, status, strlen(status)) != 0)
		fail_msg("not %s: %s", status, text);
}

/* ---- tests ---- */

static void test_get(void **state)
{
	int fd = ask(GET);
	const char *text;

	(void)state;
	tell(asked(WAIT_MS), 7);
	text = hear(fd);
	assert_status(text, "200");
	assert_non_null(strstr(text, "Content-Type: text/plain; version=0.0.4"));
	assert_non_null(strstr(text, "\njitsu_vms_running 7\n"));
	assert_non_null(strstr(text, "\njitsu_services{state=\"off\"} 1\n"));
	assert_non_null(strstr(text, "\njitsu_wake_phase_seconds_count{phase=\"up\"} 0\n"));
}

static void test_head(void **state)
{
	int fd = ask("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
	const char *text;

	(void)state;
	tell(asked(WAIT_MS), 7);
	text = hear(fd);
	assert_status(text, "200");
	assert_non_null(strstr(text, "Content-Length: "));
	assert_null(strstr(text, "jitsu_"));
}

/* Nothing but GET and HEAD, nothing but /metrics: the launcher hears nothing of it. */
static void test_all_else_is_refused(void **state)
{
	char longer[16000] = "GET /metrics HTTP/1.1\r\nX: ";
	int fd;

	(void)state;
	assert_status(hear(ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n")), "404");
	assert_status(hear(ask("GET /metrics/.. HTTP/1.0\r\n\r\n")), "404");
	assert_non_null(strstr(hear(ask("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
					"Connection: close\r\n\r\nx")), "HTTP/1.1 501"));
	assert_non_null(strstr(hear(ask("DELETE /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")), "HTTP/1.1 501"));
	hear(ask("\x16\x03\x01 this is not HTTP\r\n\r\n"));
	memset(longer + strlen(longer), 'a', sizeof(longer) - strlen(longer) - 1);
	fd = open_client();
	send(fd, longer, sizeof(longer) - 1, MSG_NOSIGNAL);
	assert_null(strstr(hear(fd), " 200 "));
	assert_int_equal(asked(SHORT_MS), 0);
	test_get(NULL);
}

static void test_many_share_an_answer(void **state)
{
	int fds[8];
	uint32_t id;

	(void)state;
	for (int i = 0; i < 8; i++)
		fds[i] = ask(GET);
	id = asked(WAIT_MS);
	assert_int_equal(asked(SHORT_MS), 0);
	close(fds[7]); /* it did not wait */
	tell(id, 9);
	for (int i = 0; i < 7; i++)
		assert_non_null(strstr(hear(fds[i]), "\njitsu_vms_running 9\n"));
}

static void test_a_launcher_that_says_nothing(void **state)
{
	int fd = ask(GET);
	uint32_t id = asked(WAIT_MS);

	(void)state;
	assert_status(hear(fd), "503");
	tell(id, 1); /* too late, and no harm */
	test_get(NULL);
}

static void test_a_launcher_that_goes(void **state)
{
	int fd = ask(GET);

	(void)state;
	assert_true(asked(WAIT_MS) > 0);
	meet_launcher();
	assert_status(hear(fd), "503");
	test_get(NULL);
	close(w.launcher);
	w.launcher = 0;
	usleep(50000);
	assert_status(hear(ask(GET)), "503");
	meet_launcher();
	test_get(NULL);
}

/* Whoever comes when all places are taken waits until one is free. */
static void test_clients_are_bounded(void **state)
{
	int fds[HTTP_CLIENTS_MAX], fd;
	uint32_t id;

	(void)state;
	for (int i = 0; i < HTTP_CLIENTS_MAX; i++)
		fds[i] = open_client();
	fd = ask(GET);
	assert_int_equal(asked(SHORT_MS), 0);
	assert_true(is_quiet(fd));
	close(fds[3]);
	id = asked(WAIT_MS);
	tell(id, 7);
	assert_status(hear(fd), "200");
	for (int i = 0; i < HTTP_CLIENTS_MAX; i++) {
		if (i != 3)
			close(fds[i]);
	}
	test_get(NULL);
}

/* A byte at a time keeps no place for ever. */
static void test_slow_clients(void **state)
{
	uint64_t began = clock_now_ms();
	bool closed = false;
	int fd;

	(void)state;
	if (!getenv("LONG"))
		skip();
	fd = ask("GET /metrics HTTP/1.1\r\nX: ");
	while (!closed && clock_now_ms() - began < HTTP_CLIENT_MS + WAIT_MS)
		closed = !is_quiet(fd) || send(fd, "a", 1, MSG_NOSIGNAL) < 0;
	assert_true(closed);
	assert_true(clock_now_ms() - began >= HTTP_CLIENT_MS - 1000);
	close(fd);
	test_get(NULL);
}

static void test_an_address_that_is_wanted_no_more(void **state)
{
	uint64_t began = clock_now_ms();
	struct msg_listen other = w.where;
	int fd;

	(void)state;
	other.port ^= 1;
	say(w.supervisor, MSG_LISTEN_END, &other);
	test_get(NULL);
	say(w.supervisor, MSG_LISTEN_END, &w.where);
	while ((fd = open_client()) >= 0 && clock_now_ms() - began < WAIT_MS) {
		close(fd);
		usleep(5000);
	}
	assert_int_equal(fd, -1);
	open_port();
	test_get(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_get, setup, teardown),
		cmocka_unit_test_setup_teardown(test_head, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_else_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_share_an_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_launcher_that_says_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_launcher_that_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clients_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_clients, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_address_that_is_wanted_no_more, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
