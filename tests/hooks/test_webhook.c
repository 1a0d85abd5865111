/* Webhooks, to servers on loopback that follow a script. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "hooks/webhook.h"

enum { TIMEOUT_MS = 9000, HEARD_MAX = 8192 };

#define EVENT "{\"event\":\"up\",\"service\":\"www\"}\n"
#define ANSWER(status) "HTTP/1.1 " status "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

static struct world {
	int listener, heard; /* the server's; and what it was asked */
	uint16_t port;
	pid_t server;
	char url[64];
} w;

static void open_port(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sa);

	w.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(w.listener, (void *)&sa, n), 0);
	assert_int_equal(listen(w.listener, 8), 0);
	assert_int_equal(getsockname(w.listener, (void *)&sa, &n), 0);
	w.port = ntohs(sa.sin_port);
	snprintf(w.url, sizeof(w.url), "http://127.0.0.1:%u/hook?a=b", w.port);
}

/* Answers one client after the other; NULL: closes without a word.  The last answer is for all further ones. */
static void serve(const char *const *answers, int to)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		int fd = accept(w.listener, NULL, NULL);
		char text[HEARD_MAX];
		size_t n = 0;
		ssize_t got;

		do {
			got = recv(fd, text + n, sizeof(text) - n, 0);
			n += got > 0 ? (size_t)got : 0;
		} while (got > 0 && !memmem(text, n, EVENT, strlen(EVENT)));
		if (write(to, text, n) < 0 || write(to, "\f", 1) < 0)
			_exit(1);
		if (*answers)
			send(fd, *answers, strlen(*answers), MSG_NOSIGNAL);
		close(fd);
		if (answers[1])
			answers++;
	}
}

static void start_server(const char *const *answers)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	w.server = fork();
	if (w.server == 0)
		serve(answers, fds[1]);
	close(fds[1]);
	w.heard = fds[0];
}

/* What the server heard, all requests with a form feed after each; it is ended. */
static const char *heard(unsigned *requests)
{
	static char text[4 * HEARD_MAX];
	size_t n = 0;
	ssize_t got;

	kill(w.server, SIGKILL);
	waitpid(w.server, NULL, 0);
	w.server = 0;
	while ((got = read(w.heard, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	*requests = 0;
	for (const char *p = text; (p = strchr(p, '\f')); p++)
		++*requests;
	close(w.heard);
	return text;
}

static int setup(void **state)
{
	(void)state;
	open_port();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (w.server > 0) {
		kill(w.server, SIGKILL);
		waitpid(w.server, NULL, 0);
		w.server = 0;
	}
	close(w.listener);
	return 0;
}

#define SERVER(...) start_server((const char *const[]){ __VA_ARGS__, NULL })

static void test_post(void **state)
{
	const char *text;
	unsigned n;

	(void)state;
	SERVER(ANSWER("204 No Content"));
	assert_int_equal(webhook_send(w.url, EVENT, TIMEOUT_MS), 0);
	text = heard(&n);
	assert_int_equal(n, 1);
	assert_int_equal(strncmp(text, "POST /hook?a=b HTTP/1.1\r\n", 25), 0);
	assert_non_null(strstr(text, "\r\nContent-Type: application/json\r\n"));
	assert_non_null(strstr(text, "\r\n\r\n" EVENT));
}

static void test_tried_again(void **state)
{
	unsigned n;

	(void)state;
	SERVER(ANSWER("503 Later"), ANSWER("200 OK"));
	assert_int_equal(webhook_send(w.url, EVENT, TIMEOUT_MS), 0);
	heard(&n);
	assert_int_equal(n, 2);
}

static void test_given_up(void **state)
{
	uint64_t began = clock_now_ms();
	unsigned n;

	(void)state;
	SERVER(ANSWER("500 Broken"));
	assert_int_equal(webhook_send(w.url, EVENT, TIMEOUT_MS), -ETIMEDOUT);
	heard(&n);
	assert_int_equal(n, WEBHOOK_TRIES);
	assert_true(clock_now_ms() - began >= 2900); /* not in one go */
}

static void test_refused(void **state)
{
	unsigned n;

	(void)state;
	SERVER(ANSWER("404 Not Found"));
	assert_int_equal(webhook_send(w.url, EVENT, TIMEOUT_MS), -EREMOTEIO);
	heard(&n);
	assert_int_equal(n, 1);
}

/* Wherever it leads: not there. */
static void test_redirections_are_not_followed(void **state)
{
	char answer[160];
	unsigned n;

	(void)state;
	snprintf(answer, sizeof(answer), "HTTP/1.1 307 There\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", w.url);
	SERVER(answer);
	assert_int_equal(webhook_send(w.url, EVENT, TIMEOUT_MS), -EREMOTEIO);
	heard(&n);
	assert_int_equal(n, 1);
}

static void test_nobody_answers(void **state)
{
	uint64_t began = clock_now_ms();

	(void)state; /* the backlog takes it, and nobody reads */
	assert_int_equal(webhook_send(w.url, EVENT, 600), -ETIMEDOUT);
	assert_true(clock_now_ms() - began < 20000);
}

static void test_other_schemes(void **state)
{
	(void)state;
	assert_int_equal(webhook_send("file:///etc/passwd", EVENT, TIMEOUT_MS), -EREMOTEIO);
	assert_int_equal(webhook_send("ftp://127.0.0.1/x", EVENT, TIMEOUT_MS), -EREMOTEIO);
}

/* ---- TLS ---- */

static void run_openssl(const char *dir)
{
	char line[400];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(line, sizeof(line),
		 "cd %s && openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -days 2 -subj /CN=localhost >/dev/null 2>&1 &&"
		 " exec openssl s_server -quiet -accept 127.0.0.1:%u -cert cert -key key > got 2>/dev/null", dir, w.port);
	execl("/bin/sh", "sh", "-c", line, NULL);
	_exit(127);
}

static bool reachable(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(w.port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = connect(fd, (void *)&sa, sizeof(sa)) == 0;

	close(fd);
	return ok;
}

/* A certificate that nobody vouches for: it hears nothing of the event, and is not asked again. */
static void test_certificates_are_verified(void **state)
{
	char dir[] = "/tmp/jitsu-webhook-XXXXXX", line[128], url[64];
	uint64_t began = clock_now_ms();

	(void)state;
	if (access("/usr/bin/openssl", X_OK) < 0)
		skip();
	assert_non_null(mkdtemp(dir));
	close(w.listener);
	w.listener = -1;
	w.server = fork();
	if (w.server == 0)
		run_openssl(dir);
	while (!reachable() && clock_now_ms() - began < 20000)
		usleep(20000);
	assert_true(reachable());
	snprintf(url, sizeof(url), "https://localhost:%u/", w.port);
	assert_int_equal(webhook_send(url, EVENT, TIMEOUT_MS), -EREMOTEIO);
	snprintf(line, sizeof(line), "test -e %s/got && ! grep -q event %s/got && rm -rf %s", dir, dir, dir);
	assert_int_equal(system(line), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_post),
		TEST(test_tried_again),
		TEST(test_given_up),
		TEST(test_refused),
		TEST(test_redirections_are_not_followed),
		TEST(test_nobody_answers),
		TEST(test_other_schemes),
		TEST(test_certificates_are_verified),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
