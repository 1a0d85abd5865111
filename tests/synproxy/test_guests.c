#pragma GCC diagnostic ignored "-Wunused-function" /* not all of what is there */
#include "tests/synproxy/world.h"

/* What guests say, as the process in its sandbox hears it: this test is supervisor, launcher and guest. */

enum { SVC = 3, GEN = 5, WAIT_MS = 10000, QUIET_MS = 300 };
#ifdef JITSU_SANITIZED /* which has a memory of its own */
enum { GROWTH_KIB = 64 * 1024 };
#else
enum { GROWTH_KIB = 2048 };
#endif

static _Alignas(16) uint8_t body[MSG_BODY_MAX];
static const struct msg_guest_said *const said = (const void *)body;

static void snapshot(void)
{
	struct msg_hold_conf conf = { .max_held = 1000, .held_per_source = 500 };

	put_message(launcher, MSG_BEGIN, NULL, -1);
	put_message(launcher, MSG_HOLD_CONF, &conf, -1);
	put_message(launcher, MSG_END, NULL, -1);
}

static int setup(void **state)
{
	(void)state;
	if (run_synproxy() < 0)
		return -1;
	snapshot();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return stop_synproxy();
}

/* The guest's end. */
static int open_guest(uint32_t svc, uint32_t stream)
{
	struct msg_guest m = { svc, GEN, stream };
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	put_message(launcher, MSG_GUEST_OPEN, &m, fds[1]);
	close(fds[1]);
	return fds[0];
}

static void say(int guest, const char *text) { assert_int_equal(write(guest, text, strlen(text)), strlen(text)); }

static void hear(uint32_t svc, uint32_t stream)
{
	enum msg_type type;

	do
		type = get_message(launcher, WAIT_MS, body);
	while (type == MSG_LOG);
	assert_int_equal(type, MSG_GUEST_SAID);
	assert_int_equal(said->svc, svc);
	assert_int_equal(said->gen, GEN);
	assert_int_equal(said->stream, stream);
}

static void quiet(void) { assert_int_equal(get_message(launcher, QUIET_MS, body), MSG_TYPE_MAX); }

static bool is_closed(int guest)
{
	struct pollfd p = { .fd = guest, .events = POLLIN };
	char byte;

	return poll(&p, 1, WAIT_MS) == 1 && recv(guest, &byte, 1, 0) <= 0;
}

static void test_words_are_told(void **state)
{
	cleanup_close int guest = open_guest(SVC, 7);

	(void)state;
	say(guest, "ready busy\nlease ");
	hear(SVC, 7);
	assert_true(said->ready && said->use == GUEST_BUSY && !said->has_lease && !said->ended);
	say(guest, "30\n");
	hear(SVC, 7);
	assert_true(!said->ready && said->has_lease && said->lease_s == 30);
	say(guest, "\n");
	quiet();
	fd_close(&guest);
	hear(SVC, 7);
	assert_true(said->ended);
	quiet();
}

static void test_one_stream_each(void **state)
{
	cleanup_close int first = open_guest(SVC, 1), other = open_guest(SVC + 1, 1), second = -1;
	struct msg_guest m = { SVC, GEN, 1 };

	(void)state;
	second = open_guest(SVC, 2);
	assert_true(is_closed(first));
	put_message(launcher, MSG_GUEST_CLOSE, &m, -1); /* it is about the past */
	say(second, "idle\n");
	hear(SVC, 2);
	assert_int_equal(said->use, GUEST_IDLE);
	m.stream = 2;
	put_message(launcher, MSG_GUEST_CLOSE, &m, -1);
	assert_true(is_closed(second));
	say(other, "ready\n");
	hear(SVC + 1, 1);
}

/* One that the launcher tells of again goes on, in the middle of a line even; another launcher's are gone. */
static void test_snapshots(void **state)
{
	cleanup_close int kept = open_guest(SVC, 1), dropped = open_guest(SVC + 1, 1), again = -1;
	struct msg_hold_conf conf = { .max_held = 1000, .held_per_source = 500 };

	(void)state;
	say(kept, "lease ");
	quiet();
	put_message(launcher, MSG_BEGIN, NULL, -1);
	put_message(launcher, MSG_HOLD_CONF, &conf, -1);
	again = open_guest(SVC, 1);
	put_message(launcher, MSG_END, NULL, -1);
	assert_true(is_closed(dropped));
	assert_true(is_closed(again)); /* it stands for the same stream */
	say(kept, "9\n");
	hear(SVC, 1);
	assert_int_equal(said->lease_s, 9);
}

static void test_garbage_is_told_once(void **state)
{
	cleanup_close int guest = open_guest(SVC, 1);

	(void)state;
	say(guest, "GET / HTTP/1.1\n");
	hear(SVC, 1);
	assert_true(said->garbled && !said->ready);
	say(guest, "Host: me\n");
	quiet();
	say(guest, "busy\n");
	hear(SVC, 1);
	assert_true(!said->garbled && said->use == GUEST_BUSY);
}

/* CPU time of that process, in ms, and what it has in memory, in KiB. */
static unsigned cpu_ms(pid_t pid, long *rss)
{
	char path[64], line[512];
	cleanup_fclose FILE *f = NULL;
	unsigned long user = 0, system = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	assert_int_equal(sscanf(strrchr(line, ')') + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d "
							"%*d %*u %*u %ld", &user, &system, rss), 3);
	*rss *= sysconf(_SC_PAGESIZE) / 1024;
	return (unsigned)((user + system) * 1000 / (unsigned long)sysconf(_SC_CLK_TCK));
}

/* As much as it can for two seconds: most of it waits, and then the guest does. */
static void test_a_guest_that_shouts(void **state)
{
	cleanup_close int guest = open_guest(SVC, 1), quiet_one = open_guest(SVC + 1, 1);
	static const char noise[] = "busy\nwhat?\nidle\nlease 5\nready\n";
	unsigned before, after, told = 0, others = 0;
	uint64_t until = clock_now_ms() + 2000, sent = 0;
	long rss, rss_after;

	(void)state;
	before = cpu_ms(proxy_pid, &rss);
	while (clock_now_ms() < until) {
		struct pollfd p = { .fd = guest, .events = POLLOUT };
		ssize_t n = poll(&p, 1, 50) == 1 ? write(guest, noise, sizeof(noise) - 1) : 0;

		sent += n > 0 ? (uint64_t)n : 0;
		while (get_message(launcher, 0, body) == MSG_GUEST_SAID)
			told++;
	}
	after = cpu_ms(proxy_pid, &rss_after);
	print_message("%llu bytes, %u messages, %u ms of CPU\n", (unsigned long long)sent, told, after - before);
	assert_true(sent > 10000);
	assert_in_range(told, 10, 10 + 10 * 4); /* ten at once, ten a second: of two seconds, or of a few more */
	assert_true(after - before < 300);
	assert_true(rss_after - rss < GROWTH_KIB);
	say(quiet_one, "ready\n"); /* nobody else has to wait */
	for (int i = 0; i < 20 && !others; i++)
		others += get_message(launcher, WAIT_MS, body) == MSG_GUEST_SAID && said->svc == SVC + 1;
	assert_int_equal(others, 1);
}

static void test_nonsense_from_the_launcher(void **state)
{
	struct msg_guest m = { UINT32_MAX, GEN, 1 };
	cleanup_close int guest = -1;

	(void)state;
	put_message(launcher, MSG_GUEST_OPEN, &m, -1);
	put_message(launcher, MSG_GUEST_CLOSE, &m, -1);
	m.svc = SVC;
	put_message(launcher, MSG_GUEST_OPEN, &m, -1);
	put_message(launcher, MSG_GUEST_CLOSE, &m, -1);
	guest = open_guest(SVC, 4);
	say(guest, "ready\n");
	hear(SVC, 4);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_words_are_told), CASE(test_one_stream_each), CASE(test_snapshots),
		CASE(test_garbage_is_told_once), CASE(test_a_guest_that_shouts), CASE(test_nonsense_from_the_launcher),
	};

	if (geteuid() != 0) {
		printf("skipped: needs root, to be somebody else then\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
