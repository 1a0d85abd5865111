/* The server with real sockets, in one loop with its clients; the test is the launcher. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <grp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/protocol.h"
#include "control/requests.h"
#include "control/server.h"
#include "control/session.h"
#include "control/watchers.h"

enum { PATIENCE_MS = 4000, CLIENTS = 70 };

static struct world {
	struct event_base *base;
	struct server *server;
	struct sockaddr_un address;
	socklen_t address_size;
	struct msg_ctl_request asked[128];
	size_t n_asked;
	uint32_t cancelled[128];
	size_t n_cancelled;
	int watching; /* the last MSG_CTL_WATCH: on, off; -1: none came */
	int tell_result;
	int clients[CLIENTS];
} w;

/* ---- the launcher ---- */

static int tell(void *arg, enum msg_type type, const void *body)
{
	(void)arg;
	if (w.tell_result < 0)
		return w.tell_result;
	if (type == MSG_CTL_REQUEST) {
		assert_true(w.n_asked < ARRAY_SIZE(w.asked));
		w.asked[w.n_asked++] = *(const struct msg_ctl_request *)body;
	} else if (type == MSG_CTL_WATCH) {
		w.watching = ((const struct msg_ctl_watch *)body)->on;
	} else {
		assert_int_equal(type, MSG_CTL_CANCEL);
		assert_true(w.n_cancelled < ARRAY_SIZE(w.cancelled));
		w.cancelled[w.n_cancelled++] = ((const struct msg_ctl_cancel *)body)->id;
	}
	return 0;
}

static void answer_row(uint32_t id, const char *value)
{
	static struct msg_ctl_row row;

	row = (struct msg_ctl_row){ .id = id, .n_fields = 1, .fields = { { "x", CTL_STR, "" } } };
	str_copy(row.fields[0].value, value);
	server_answer(w.server, MSG_CTL_ROW, &row);
}

static void answer_end(uint32_t id, int error, const char *text)
{
	struct msg_ctl_end end = { .id = id, .error = error };

	str_copy(end.text, text);
	server_answer(w.server, MSG_CTL_END, &end);
}

/* ---- clients ---- */

static void turn(void)
{
	struct pollfd none = { .fd = -1 };

	event_base_loop(w.base, EVLOOP_NONBLOCK);
	poll(&none, 1, 1);
}

static int connect_client(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&w.address, w.address_size), 0);
	for (size_t i = 0; i < CLIENTS; i++) {
		if (w.clients[i] < 0) {
			w.clients[i] = fd;
			return fd;
		}
	}
	fail();
	return -1;
}

static void disconnect(int fd)
{
	for (size_t i = 0; i < CLIENTS; i++) {
		if (w.clients[i] == fd)
			fd_close(&w.clients[i]);
	}
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* The next line, while the loop turns; "" at the end of the connection. */
static const char *hear(int fd)
{
	static char line[PROTOCOL_LINE_MAX];
	uint64_t t = 0;
	size_t n = 0;

	for (;;) {
		ssize_t r = recv(fd, line + n, 1, MSG_DONTWAIT);

		if (r == 0 || (r < 0 && errno == ECONNRESET))
			return "";
		if (r == 1 && line[n++] == '\n') {
			line[n - 1] = '\0';
			return line;
		}
		if (r == 1)
			continue;
		turn();
		if (t++ > PATIENCE_MS)
			fail_msg("nothing more was heard after \"%.*s\"", (int)n, line);
	}
}

static void assert_hears(int fd, const char *what)
{
	const char *line = hear(fd);

	if (!strstr(line, what) || (!*what && *line))
		fail_msg("expected \"%s\", heard \"%s\"", what, line);
}

#define UNTIL(condition)                                           \
	do {                                                       \
		for (int turns = 0; !(condition); turns++) {       \
			if (turns > PATIENCE_MS)                   \
				fail_msg("never: %s", #condition); \
			turn();                                    \
		}                                                  \
	} while (0)

/* ---- life ---- */

static int setup(void **state)
{
	struct server_conf conf = { .readers = getgid(), .admins = getgid(), .tell = tell };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	log_set_level(LOG_ERROR);
	memset(&w, 0, sizeof(w));
	memset(w.clients, -1, sizeof(w.clients));
	w.watching = -1;
	w.base = event_base_new();
	w.server = server_new(w.base, &conf);
	w.address.sun_family = AF_UNIX;
	/* The kernel chooses an abstract name: nothing to clean up. */
	assert_int_equal(bind(fd, (struct sockaddr *)&w.address, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(fd, CLIENTS), 0);
	w.address_size = sizeof(w.address);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&w.address, &w.address_size), 0);
	assert_int_equal(server_listen(w.server, fd), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	clock_fake_ns(0);
	server_free(w.server);
	for (size_t i = 0; i < CLIENTS; i++)
		fd_close(&w.clients[i]);
	event_base_free(w.base);
	return 0;
}

#define REQUEST(id, rest) "{\"version\":1,\"id\":" id ",\"do\":" rest "}\n"
#define LIST(id) REQUEST(id, "\"list\"")
#define FOLLOW(id) REQUEST(id, "\"log\",\"follow\":true")

/* ---- tests ---- */

static void test_an_answer_streams_to_whom_it_belongs(void **state)
{
	int a, b;

	(void)state;
	server_launcher_up(w.server);
	a = connect_client();
	b = connect_client();
	say(a, LIST("1"));
	say(b, REQUEST("1", "\"show\",\"service\":\"www\""));
	UNTIL(w.n_asked == 2);
	assert_int_not_equal(w.asked[0].id, w.asked[1].id);
	assert_true(w.asked[0].admin);
	assert_int_equal(w.asked[0].uid, getuid());
	for (size_t i = 0; i < 2; i++) {
		bool list = w.asked[i].verb == CTL_LIST;

		answer_row(w.asked[i].id, list ? "for a" : "for b");
		answer_end(w.asked[i].id, list ? 0 : -ENOENT, "no such service");
	}
	assert_hears(a, "{\"id\":1,\"row\":{\"x\":\"for a\"}}");
	assert_hears(a, "{\"id\":1,\"end\":true}");
	assert_hears(b, "{\"id\":1,\"row\":{\"x\":\"for b\"}}");
	assert_hears(b, "{\"id\":1,\"error\":{\"code\":\"ENOENT\",\"text\":\"no such service\"}}");
}

static void test_lines_may_come_in_pieces_and_many_at_once(void **state)
{
	int a;

	(void)state;
	server_launcher_up(w.server);
	a = connect_client();
	say(a, "{\"version\":1,");
	for (int i = 0; i < 20; i++)
		turn();
	assert_int_equal(w.n_asked, 0);
	say(a, "\"id\":1,\"do\":\"list\"}\r\n\n" LIST("2") LIST("3"));
	UNTIL(w.n_asked == 3);
}

static void test_nonsense_is_answered_and_the_next_line_counts(void **state)
{
	int a;

	(void)state;
	server_launcher_up(w.server);
	a = connect_client();
	say(a, "nonsense\n" LIST("2"));
	assert_hears(a, "{\"id\":null,\"error\":{\"code\":\"EINVAL\"");
	UNTIL(w.n_asked == 1);
}

static void test_an_endless_line_ends_the_connection(void **state)
{
	static char blanks[PROTOCOL_LINE_MAX + 100];
	int a;

	(void)state;
	a = connect_client();
	memset(blanks, ' ', sizeof(blanks) - 1);
	say(a, blanks);
	assert_hears(a, "EMSGSIZE");
	assert_hears(a, "");
}

static void test_a_client_that_goes_cancels(void **state)
{
	int a;

	(void)state;
	server_launcher_up(w.server);
	a = connect_client();
	say(a, FOLLOW("1") LIST("2"));
	UNTIL(w.n_asked == 2);
	disconnect(a);
	UNTIL(w.n_cancelled == 2);
	answer_row(w.asked[0].id, "too late"); /* nobody there: nothing happens */
	answer_end(w.asked[1].id, 0, "");
}

static void test_cancel_ends_one_request(void **state)
{
	int a;

	(void)state;
	server_launcher_up(w.server);
	a = connect_client();
	say(a, FOLLOW("1"));
	UNTIL(w.n_asked == 1);
	say(a, REQUEST("2", "\"cancel\",\"of\":1"));
	assert_hears(a, "{\"id\":1,\"error\":{\"code\":\"ECANCELED\"");
	assert_hears(a, "{\"id\":2,\"end\":true}");
	assert_int_equal(w.n_cancelled, 1);
	assert_int_equal(w.cancelled[0], w.asked[0].id);
	say(a, REQUEST("3", "\"cancel\",\"of\":1"));
	assert_hears(a, "{\"id\":3,\"error\":{\"code\":\"ENOENT\"");
}

static void test_a_half_closed_client_gets_its_answers(void **state)
{
	int a;

	(void)state;
	server_launcher_up(w.server);
	a = connect_client();
	say(a, "{\"version\":1,\"id\":1,\"do\":\"list\"}"); /* and no newline */
	shutdown(a, SHUT_WR);
	UNTIL(w.n_asked == 1);
	for (int i = 0; i < 20; i++)
		turn();
	assert_int_equal(w.n_cancelled, 0);
	answer_end(w.asked[0].id, 0, "");
	assert_hears(a, "end");
	assert_hears(a, "");
}

static void test_a_half_closed_client_that_then_goes_cancels(void **state)
{
	int a;

	(void)state;
	server_launcher_up(w.server);
	a = connect_client();
	say(a, FOLLOW("1"));
	shutdown(a, SHUT_WR);
	UNTIL(w.n_asked == 1);
	for (int i = 0; i < 20; i++)
		turn();
	disconnect(a);
	UNTIL(w.n_cancelled == 1);
}

static void test_sixteen_requests_are_enough_for_one_client(void **state)
{
	char line[100];
	int a;

	(void)state;
	server_launcher_up(w.server);
	a = connect_client();
	for (int i = 0; i < REQUESTS_PER_CLIENT + 1; i++) {
		snprintf(line, sizeof(line), "{\"version\":1,\"id\":%d,\"do\":\"list\"}\n", i);
		say(a, line);
	}
	assert_hears(a, "{\"id\":16,\"error\":{\"code\":\"EBUSY\"");
	assert_int_equal(w.n_asked, REQUESTS_PER_CLIENT);
	answer_end(w.asked[3].id, 0, "");
	assert_hears(a, "{\"id\":3,\"end\":true}");
	say(a, LIST("17"));
	UNTIL(w.n_asked == REQUESTS_PER_CLIENT + 1);
}

static void test_requests_wait_for_the_launcher(void **state)
{
	int a;

	(void)state;
	a = connect_client();
	say(a, LIST("1"));
	for (int i = 0; i < 20; i++)
		turn();
	assert_int_equal(w.n_asked, 0);
	server_launcher_up(w.server);
	assert_int_equal(w.n_asked, 1);
	answer_end(w.asked[0].id, 0, "");
	assert_hears(a, "{\"id\":1,\"end\":true}");
}

static void test_waiting_for_the_launcher_has_an_end(void **state)
{
	int a;

	(void)state;
	clock_fake_ns(10 * NS_PER_S);
	a = connect_client();
	say(a, LIST("1"));
	for (int i = 0; i < 700; i++) /* longer than a tick */
		turn();
	clock_fake_ns(16 * NS_PER_S);
	assert_hears(a, "{\"id\":1,\"error\":{\"code\":\"EAGAIN\",\"text\":\"the launcher is being "
			"restarted; try again\"}}");
	server_launcher_up(w.server);
	assert_int_equal(w.n_asked, 0);
}

static void test_what_a_dead_launcher_was_asked(void **state)
{
	int a;

	(void)state;
	server_launcher_up(w.server);
	a = connect_client();
	say(a, LIST("1") LIST("2") REQUEST("3", "\"start\",\"service\":\"www\""));
	UNTIL(w.n_asked == 3);
	answer_row(w.asked[1].id, "half");
	assert_hears(a, "half");
	server_launcher_gone(w.server);
	/* 1 can be asked again unnoticed; 2 was half told; 3 may have been done */
	assert_hears(a, "{\"id\":2,\"error\":{\"code\":\"EAGAIN\",\"text\":\"the launcher was restarted in "
			"the middle");
	assert_hears(a,
		     "{\"id\":3,\"error\":{\"code\":\"EAGAIN\",\"text\":\"the launcher was restarted while");
	server_launcher_up(w.server);
	assert_int_equal(w.n_asked, 4);
	assert_int_equal(w.asked[3].verb, CTL_LIST);
	answer_end(w.asked[3].id, 0, "");
	assert_hears(a, "{\"id\":1,\"end\":true}");
}

static void test_a_channel_that_breaks_while_asking(void **state)
{
	int a;

	(void)state;
	server_launcher_up(w.server);
	w.tell_result = -EPIPE;
	a = connect_client();
	say(a, LIST("1"));
	for (int i = 0; i < 20; i++)
		turn();
	w.tell_result = 0;
	server_launcher_gone(w.server);
	server_launcher_up(w.server);
	assert_int_equal(w.n_asked, 1);
}

static void test_a_client_that_does_not_read_is_dropped(void **state)
{
	static char value[MSG_VALUE_MAX];
	int a, b;

	(void)state;
	server_launcher_up(w.server);
	a = connect_client();
	b = connect_client();
	say(a, FOLLOW("1"));
	UNTIL(w.n_asked == 1);
	memset(value, 'x', sizeof(value) - 1);
	for (size_t n = 0; n < 3 * SESSION_OUTPUT_MAX / sizeof(value) && w.n_cancelled == 0; n++) {
		answer_row(w.asked[0].id, value);
		if (n % 64 == 0)
			event_base_loop(w.base, EVLOOP_NONBLOCK);
	}
	UNTIL(w.n_cancelled == 1);
	say(b, LIST("1")); /* the others do not suffer */
	UNTIL(w.n_asked == 2);
}

static void test_a_client_that_only_asks_is_not_read_for_ever(void **state)
{
	static const char bad[] = "{\"version\":1,\"id\":1,\"do\":\"abracadabra-and-more-of-it\"}\n";
	size_t sent = 0, quiet = 0;
	int a;

	(void)state;
	a = connect_client();
	while (quiet < 50 && sent < 64 * 1024 * 1024) {
		ssize_t n = send(a, bad, sizeof(bad) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);

		sent += n > 0 ? (size_t)n : 0;
		quiet = n > 0 ? 0 : quiet + 1;
		if (n <= 0)
			turn();
	}
	/* It was made to wait, not dropped: as soon as it reads, every line is answered. */
	assert_true(sent > SESSION_OUTPUT_HIGH / 8 && sent < SESSION_OUTPUT_MAX);
	for (size_t lines = sent / (sizeof(bad) - 1); lines > 0; lines--)
		assert_hears(a, "EINVAL");
}

static void test_the_places_are_bounded(void **state)
{
	unsigned most = getuid() == 0 ? REQUESTS_CLIENTS_MAX : SERVER_CLIENTS_PER_USER;
	int a = -1, first = -1;

	(void)state;
	for (unsigned i = 0; i < most; i++) {
		a = connect_client();
		first = i == 0 ? a : first;
	}
	say(a, "x\n");
	assert_hears(a, "EINVAL");
	a = connect_client();
	assert_hears(a, "{\"id\":null,\"error\":{\"code\":\"EBUSY\"");
	assert_hears(a, "");
	disconnect(first);
	for (int i = 0; i < 20; i++)
		turn();
	a = connect_client();
	say(a, "x\n");
	assert_hears(a, "EINVAL");
}

static void test_an_idle_client_is_dropped_and_a_busy_one_is_not(void **state)
{
	int idle, busy;

	(void)state;
	clock_fake_ns(10 * NS_PER_S);
	server_launcher_up(w.server);
	idle = connect_client();
	busy = connect_client();
	say(busy, FOLLOW("1"));
	UNTIL(w.n_asked == 1);
	clock_fake_ns((10 + SERVER_IDLE_S) * NS_PER_S);
	assert_hears(idle, "");
	answer_row(w.asked[0].id, "still here");
	assert_hears(busy, "still here");
}

/* ---- as another user, when we are root ---- */

enum { STRANGER = 65533 };

/* A fresh server; `readers` may read, and nobody may change things. */
static void serve_readers(gid_t readers)
{
	struct server_conf conf = { .readers = readers, .tell = tell };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	server_free(w.server);
	w.server = server_new(w.base, &conf);
	w.address_size = sizeof(w.address);
	assert_int_equal(bind(fd, (struct sockaddr *)&w.address, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(fd, CLIENTS), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&w.address, &w.address_size), 0);
	assert_int_equal(server_listen(w.server, fd), 0);
}

/* Runs `other_end` in a process of user STRANGER while the server works; it must give 0. */
static void as_stranger(int (*other_end)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		if (getuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(STRANGER, STRANGER, STRANGER) < 0 ||
				      setresuid(STRANGER, STRANGER, STRANGER) < 0))
			_exit(100);
		alarm(10);
		_exit(other_end());
	}
	UNTIL(waitpid(pid, &status, WNOHANG) == pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static gid_t strangers_group(void) { return getuid() == 0 ? STRANGER : getgid(); }

/* A connection that waits for answers; what comes first begins with `expected`. */
static bool is_told(int fd, const char *expected)
{
	char text[1000];
	size_t n = 0;
	ssize_t r;

	while (n < strlen(expected) && (r = recv(fd, text + n, sizeof(text) - 1 - n, 0)) > 0)
		n += (size_t)r;
	return n >= strlen(expected) && strncmp(text, expected, strlen(expected)) == 0;
}

static int dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return connect(fd, (struct sockaddr *)&w.address, w.address_size) == 0 ? fd : -1;
}

static int be_refused(void) { return is_told(dial(), "{\"id\":null,\"error\":{\"code\":\"EACCES\"") ? 0 : 1; }

static void test_strangers_hear_why_they_are_refused(void **state)
{
	(void)state;
	serve_readers(0);
	as_stranger(be_refused);
}

static int try_to_change(void)
{
	static const char *const changes[] = {
		REQUEST("5", "\"start\",\"service\":\"www\""),
		REQUEST("5", "\"stop\",\"service\":\"www\""),
		REQUEST("5", "\"reload\""),
	};
	int fd = dial();

	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		static const char refusal[] = "{\"id\":5,\"error\":{\"code\":\"EACCES\",\"text\":\"only root";

		if (write(fd, changes[i], strlen(changes[i])) < 0 || !is_told(fd, refusal))
			return 1;
	}
	return write(fd, LIST("6"), strlen(LIST("6"))) > 0 ? 0 : 2;
}

static void test_readers_may_look_and_change_nothing(void **state)
{
	(void)state;
	serve_readers(strangers_group());
	server_launcher_up(w.server);
	as_stranger(try_to_change);
	UNTIL(w.n_asked == 1);
	assert_int_equal(w.asked[0].verb, CTL_LIST);
	assert_false(w.asked[0].admin);
	assert_int_equal(w.asked[0].uid, getuid() == 0 ? STRANGER : getuid());
}

/* ---- watching ---- */

static void event(enum ctl_event what, uint64_t number, const char *service)
{
	struct msg_ctl_event m = { .event = (uint8_t)what, .number = number, .state = STATE_UP, .before = STATE_BOOTING };

	str_copy(m.service, service);
	server_answer(w.server, MSG_CTL_EVENT, &m);
}

/* One that hears all from number 10 on. */
static int watcher(const char *rest)
{
	char line[128];
	int a = connect_client();

	snprintf(line, sizeof(line), "{\"version\":1,\"id\":7,\"do\":\"watch\"%s}\n", rest);
	say(a, line);
	if (w.watching != 1) {
		UNTIL(w.watching == 1);
		event(CTL_EVENT_BEGIN, 10, "");
	}
	assert_hears(a, "{\"id\":7,\"row\":{\"number\":1");
	return a;
}

static void test_events_go_to_those_who_watch(void **state)
{
	int a, b, c;

	(void)state;
	server_launcher_up(w.server);
	event(CTL_EVENT_STATE, 9, "www"); /* of an earlier time, to nobody */
	a = watcher("");
	b = watcher(",\"service\":\"www\"");
	event(CTL_EVENT_STATE, 11, "www");
	event(CTL_EVENT_STATE, 12, "mail");
	event(CTL_EVENT_REVISION, 13, "");
	assert_hears(a, "\"number\":11,");
	assert_hears(a, "\"number\":12,");
	assert_hears(a, "\"number\":13,");
	assert_hears(b, "\"number\":11,");
	assert_hears(b, "\"number\":13,");
	c = watcher(""); /* later: from here on */
	event(CTL_EVENT_STATE, 14, "www");
	assert_hears(c, "\"number\":14,");
	disconnect(a);
	disconnect(b);
	for (int i = 0; i < 50; i++)
		turn();
	assert_int_equal(w.watching, 1);
	disconnect(c);
	UNTIL(w.watching == 0);
	event(CTL_EVENT_STATE, 15, "www");
	a = watcher("");
	event(CTL_EVENT_STATE, 11, "www");
	assert_hears(a, "\"number\":11,");
	assert_int_equal(w.n_asked, 0);
}

static void test_gaps_are_told(void **state)
{
	int a, b;

	(void)state;
	server_launcher_up(w.server);
	a = watcher("");
	b = watcher(",\"service\":\"mail\"");
	event(CTL_EVENT_STATE, 14, "www");
	assert_hears(a, "{\"id\":7,\"row\":{\"event\":\"missed\",\"missed\":3}}");
	assert_hears(a, "\"number\":14,");
	assert_hears(b, "\"missed\":3}");
}

/* More than the ring holds, between two turns of the loop. */
static void test_what_left_the_ring_is_told(void **state)
{
	int a;

	(void)state;
	server_launcher_up(w.server);
	a = watcher("");
	for (uint64_t i = 11; i < 11 + WATCHERS_RING + 5; i++)
		event(CTL_EVENT_STATE, i, "www");
	assert_hears(a, "\"missed\":5}");
	for (uint64_t i = 16; i < 11 + WATCHERS_RING + 5; i++) {
		char number[32];

		snprintf(number, sizeof(number), "{\"number\":%u,", (unsigned)i);
		assert_hears(a, number);
	}
}

static void test_a_launcher_that_is_restarted_begins_anew(void **state)
{
	int a;

	(void)state;
	server_launcher_up(w.server);
	a = watcher("");
	server_launcher_gone(w.server);
	w.watching = -1;
	event(CTL_EVENT_STATE, 99, "www");
	server_launcher_up(w.server);
	assert_int_equal(w.watching, 1);
	event(CTL_EVENT_BEGIN, 0, "");
	event(CTL_EVENT_STATE, 1, "www");
	assert_hears(a, "{\"number\":0,");
	assert_hears(a, "{\"number\":1,");
}

static void test_who_watches_does_nothing_else(void **state)
{
	int a, b;

	(void)state;
	server_launcher_up(w.server);
	b = connect_client();
	say(b, FOLLOW("1"));
	UNTIL(w.n_asked == 1);
	say(b, REQUEST("2", "\"watch\""));
	assert_hears(b, "other requests are under way here");
	a = watcher("");
	say(a, LIST("8") REQUEST("9", "\"cancel\",\"of\":3") REQUEST("10", "\"watch\""));
	assert_hears(a, "{\"id\":8,\"error\":{\"code\":\"EBUSY\"");
	assert_hears(a, "{\"id\":9,\"error\":{\"code\":\"EBUSY\"");
	assert_hears(a, "{\"id\":10,\"error\":{\"code\":\"EBUSY\"");
	say(a, REQUEST("11", "\"cancel\",\"of\":7"));
	assert_hears(a, "{\"id\":7,\"error\":{\"code\":\"ECANCELED\"");
	assert_hears(a, "{\"id\":11,\"end\":true}");
	assert_hears(a, "");
	UNTIL(w.watching == 0);
}

static void test_a_half_closed_watcher_goes_on_until_it_is_gone(void **state)
{
	int a;

	(void)state;
	server_launcher_up(w.server);
	a = watcher("");
	shutdown(a, SHUT_WR);
	for (int i = 0; i < 20; i++)
		turn();
	event(CTL_EVENT_STATE, 11, "www");
	assert_hears(a, "\"number\":11,");
	disconnect(a);
	UNTIL(w.watching == 0);
}

static void test_watchers_are_not_idle_clients(void **state)
{
	int a;

	(void)state;
	server_launcher_up(w.server);
	a = watcher("");
	clock_fake_ns(clock_now_ns() + 2ull * SERVER_IDLE_S * NS_PER_S);
	for (int i = 0; i < 700; i++)
		turn();
	event(CTL_EVENT_STATE, 11, "www");
	assert_hears(a, "\"number\":11,");
}

static int dial_and_watch(void)
{
	static const char ask[] = REQUEST("1", "\"watch\"");
	int fd = dial();

	return write(fd, ask, sizeof(ask) - 1) == (ssize_t)sizeof(ask) - 1 ? fd : -1;
}

static int watch_without_end(void)
{
	for (int i = 0; i < WATCHERS_PER_USER; i++) {
		if (!is_told(dial_and_watch(), "{\"id\":1,\"row\""))
			return 1;
	}
	return 0;
}

static int watch_too_often(void)
{
	if (watch_without_end())
		return 2;
	return is_told(dial_and_watch(), "{\"id\":1,\"error\":{\"code\":\"EBUSY\"") ? 0 : 3;
}

static void test_one_user_cannot_watch_without_end(void **state)
{
	(void)state;
	serve_readers(strangers_group());
	server_launcher_up(w.server);
	watcher(""); /* (the launcher has begun) */
	as_stranger(watch_too_often);
}

static int take_all_places(void)
{
	for (int i = 0; i < SERVER_CLIENTS_PER_USER; i++) {
		int fd = dial();

		if (write(fd, "x\n", 2) != 2 || !is_told(fd, "{\"id\":null,\"error\":{\"code\":\"EINVAL\""))
			return 1;
	}
	return is_told(dial(), "{\"id\":null,\"error\":{\"code\":\"EBUSY\"") ? 0 : 2;
}

static void test_one_user_cannot_take_all_places(void **state)
{
	(void)state;
	serve_readers(strangers_group());
	as_stranger(take_all_places);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_an_answer_streams_to_whom_it_belongs),
		TEST(test_lines_may_come_in_pieces_and_many_at_once),
		TEST(test_nonsense_is_answered_and_the_next_line_counts),
		TEST(test_an_endless_line_ends_the_connection),
		TEST(test_a_client_that_goes_cancels),
		TEST(test_cancel_ends_one_request),
		TEST(test_a_half_closed_client_gets_its_answers),
		TEST(test_a_half_closed_client_that_then_goes_cancels),
		TEST(test_sixteen_requests_are_enough_for_one_client),
		TEST(test_requests_wait_for_the_launcher),
		TEST(test_waiting_for_the_launcher_has_an_end),
		TEST(test_what_a_dead_launcher_was_asked),
		TEST(test_a_channel_that_breaks_while_asking),
		TEST(test_a_client_that_does_not_read_is_dropped),
		TEST(test_a_client_that_only_asks_is_not_read_for_ever),
		TEST(test_the_places_are_bounded),
		TEST(test_an_idle_client_is_dropped_and_a_busy_one_is_not),
		TEST(test_strangers_hear_why_they_are_refused),
		TEST(test_readers_may_look_and_change_nothing),
		TEST(test_one_user_cannot_take_all_places),
		TEST(test_events_go_to_those_who_watch),
		TEST(test_gaps_are_told),
		TEST(test_what_left_the_ring_is_told),
		TEST(test_a_launcher_that_is_restarted_begins_anew),
		TEST(test_who_watches_does_nothing_else),
		TEST(test_a_half_closed_watcher_goes_on_until_it_is_gone),
		TEST(test_watchers_are_not_idle_clients),
		TEST(test_one_user_cannot_watch_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
