/* What guests say, as the launcher takes it: readiness, busy, idle, leases; and keys of XenStore.  The backend and
 * synproxy follow a script (peers.h).
 */
#include "tests/launcher/peers.h"

#include <inttypes.h>
#include <sys/inotify.h>

enum { DOM_ID = 3 };

#define READY(rules, more) \
	"{\"name\":\"a\",\"dns\":[\"a.jitsu.example\"],\"ip\":[\"10.77.0.1/24\"],\"machine\":{\"hypervisor\":\"hv\"," \
	"\"domain\":\"dom-a\"},\"stop\":\"destroy\",\"ready\":[" rules "]" more "}"

static uint32_t stream; /* its number, as synproxy was told last */

/* ---- the peers' part ---- */

static void meet_synproxy(void)
{
	meet(&w.synproxy, ROLE_SYNPROXY);
	expect(w.synproxy, MSG_BEGIN);
	expect(w.synproxy, MSG_HOLD_CONF);
}

static void no_streams(void)
{
	meet_synproxy();
	expect(w.synproxy, MSG_END);
}

static void expect_stream_(const char *file, int line)
{
	expect_(w.synproxy, MSG_GUEST_OPEN, file, line);
	assert_int_equal(got.guest.svc, of("a")->svc);
	assert_int_equal(got.guest.gen, of("a")->gen);
	assert_true(w.fd >= 0);
	stream = got.guest.stream;
}
#define expect_stream() expect_stream_(__FILE__, __LINE__)

/* The backend has a stream of this domain's; its other end is returned. */
static int give_stream(const char *domain)
{
	struct msg_be_guest m = { .name = "" };
	int fds[2];

	str_copy(m.name, domain);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	say_fd(w.be, MSG_BE_GUEST, &m, fds[1]);
	close(fds[1]);
	return fds[0];
}

static int connect_guest(void)
{
	int fd = give_stream("dom-a");

	expect_stream();
	return fd;
}

static void say_words(struct msg_guest_said m)
{
	m.svc = of("a")->svc;
	m.gen = of("a")->gen;
	m.stream = stream;
	say(w.synproxy, MSG_GUEST_SAID, &m);
}

static void say_use(enum guest_use_said use) { say_words((struct msg_guest_said){ .use = (uint8_t)use }); }

static void say_lease(uint32_t seconds) { say_words((struct msg_guest_said){ .has_lease = true, .lease_s = seconds }); }

static void say_ready(void) { say_words((struct msg_guest_said){ .ready = true }); }

static uint64_t until_draining(uint64_t since_ms)
{
	expect_state("a", STATE_DRAINING);
	return clock_now_ms() - since_ms;
}

/* Up, with a guest that is heard. */
static int begin_up(const char *services)
{
	begin(services);
	no_streams();
	bring_up("a", "dom-a", DOM_ID);
	return connect_guest();
}

static void booted(void)
{
	wake("a");
	expect_state("a", STATE_STARTING);
	say_result(expect_start("dom-a"), "dom-a", 0, "", DOM_ID);
	expect_state("a", STATE_BOOTING);
}

/* ---- ready ---- */

static void test_ready_when_the_guest_says_so(void **state)
{
	cleanup_close int guest = -1;

	(void)state;
	begin(READY("\"delay:10\",\"guest\"", LAZY));
	no_streams();
	booted();
	guest = connect_guest();
	quiet(w.dns);
	assert_string_equal(field(CTL_SHOW, "a", "guest_ready"), "false");
	assert_string_equal(field(CTL_SHOW, "a", "guest_heard"), "true");
	say_use(GUEST_BUSY); /* it is working, and not ready for that */
	quiet(w.dns);
	say_ready();
	expect_state("a", STATE_UP);
	assert_string_equal(field(CTL_SHOW, "a", "guest_ready"), "true");
}

static void test_what_the_last_boot_said_is_over(void **state)
{
	cleanup_close int guest = -1, next = -1;
	uint32_t old;

	(void)state;
	begin(READY("\"guest\"", EAGER));
	no_streams();
	booted();
	guest = connect_guest();
	say_ready();
	expect_state("a", STATE_UP);
	say_result(drain_and_stop("a", "dom-a"), "dom-a", 0, "", -1);
	expect_state("a", STATE_OFF);
	expect(w.synproxy, MSG_GUEST_CLOSE);
	assert_int_equal(got.guest.stream, stream);
	old = stream;
	booted();
	next = connect_guest();
	assert_int_not_equal(stream, old);
	stream = old;
	say_ready(); /* heard late */
	quiet(w.dns);
	stream = old + 1;
	say_ready();
	expect_state("a", STATE_UP);
}

static void test_a_guest_that_never_says_it(void **state)
{
	(void)state;
	begin(READY("\"guest\"", ",\"start_timeout\":\"200ms\""));
	no_streams();
	booted();
	expect_state("a", STATE_FAILED);
	assert_non_null(strstr(field(CTL_SHOW, "a", "last_error"), "no channel to it"));
}

/* ---- use ---- */

static void test_busy_keeps_it_up_and_idle_lets_it_go(void **state)
{
	cleanup_close int guest = -1;
	uint64_t since;

	(void)state;
	guest = begin_up(SERVICE("a", "1", EAGER));
	say_use(GUEST_BUSY);
	quiet_for(w.dns, 4 * EAGER_MS);
	assert_non_null(strstr(field(CTL_WHY, "a", "kept_up_by"), "the guest: it says that it is busy"));
	assert_true(strtoull(field(CTL_SHOW, "a", "guest_busy_left_ms"), NULL, 10) > 3500 * 1000);
	since = clock_now_ms();
	say_use(GUEST_IDLE);
	assert_in_range(until_draining(since), EAGER_MS - 1, 5000); /* it was used until then */
}

static void test_busy_is_not_for_ever(void **state)
{
	cleanup_close int guest = -1;
	uint64_t since;

	(void)state;
	guest = begin_up(SERVICE("a", "1", EAGER ",\"guest_lease\":\"500ms\""));
	since = clock_now_ms();
	say_use(GUEST_BUSY);
	assert_in_range(until_draining(since), 500 + EAGER_MS - 1, 8000);
}

static void test_a_lease_runs_out(void **state)
{
	cleanup_close int guest = -1;
	uint64_t since;

	(void)state;
	guest = begin_up(SERVICE("a", "1", EAGER));
	since = clock_now_ms();
	say_lease(1);
	settle();
	assert_non_null(strstr(field(CTL_WHY, "a", "kept_up_by"), "the guest: lease for another 1 s"));
	assert_in_range(until_draining(since), 999, 8000);
}

static void test_a_lease_is_bounded(void **state)
{
	cleanup_close int guest = -1;
	uint64_t since;

	(void)state;
	guest = begin_up(SERVICE("a", "1", EAGER ",\"guest_lease\":\"600ms\""));
	since = clock_now_ms();
	say_lease(UINT32_MAX);
	assert_in_range(until_draining(since), 599, 8000);
}

static void test_a_lease_can_be_given_back(void **state)
{
	cleanup_close int guest = -1;

	(void)state;
	guest = begin_up(SERVICE("a", "1", EAGER));
	say_lease(600);
	quiet_for(w.dns, 2 * EAGER_MS);
	say_lease(0);
	expect_state("a", STATE_DRAINING);
}

/* What it says between the look and the stop counts. */
static void test_busy_while_draining(void **state)
{
	cleanup_close int guest = -1;
	struct msg_dns_state ack;

	(void)state;
	guest = begin_up(SERVICE("a", "1", EAGER));
	expect_state("a", STATE_DRAINING);
	ack = got.state;
	say_use(GUEST_BUSY);
	settle();
	say(w.dns, MSG_DNS_STATE_ACK, &ack);
	expect_state("a", STATE_UP);
	quiet_for(w.dns, 3 * EAGER_MS);
	say_use(GUEST_IDLE);
	expect_state("a", STATE_DRAINING);
}

static void test_where_guests_have_no_say(void **state)
{
	cleanup_close int guest = -1;

	(void)state;
	guest = begin_up(SERVICE("a", "1", EAGER ",\"guest_lease\":\"0s\""));
	say_words((struct msg_guest_said){ .ready = true, .use = GUEST_BUSY, .has_lease = true, .lease_s = 60 });
	say_result(drain_and_stop("a", "dom-a"), "dom-a", 0, "", -1);
}

/* An honest synproxy tells ten times a second. */
static void test_more_words_than_there_can_be(void **state)
{
	cleanup_close int guest = -1;

	(void)state;
	guest = begin_up(SERVICE("a", "1", EAGER ",\"guest_lease\":\"2s\""));
	for (int i = 0; i < 500; i++)
		say_use(GUEST_BUSY);
	say_use(GUEST_IDLE); /* not heard any more */
	quiet_for(w.dns, 4 * EAGER_MS);
	expect_state("a", STATE_DRAINING);
}

/* How often its file is written, until there was nothing for so long; what it says then is in `text`. */
static unsigned count_saves(int watch, int quiet_ms, char text[256])
{
	struct pollfd p = { .fd = watch, .events = POLLIN };
	_Alignas(struct inotify_event) char room[4096];
	char path[96];
	unsigned n = 0;
	FILE *f;

	while (poll(&p, 1, quiet_ms) > 0) {
		ssize_t length = read(watch, room, sizeof(room));

		for (ssize_t at = 0; at < length; n++)
			at += (ssize_t)(sizeof(struct inotify_event) + ((struct inotify_event *)(room + at))->len);
	}
	snprintf(path, sizeof(path), "%s/services/a", w.dir);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_non_null(fgets(text, 256, f));
	fclose(f);
	return n;
}

/* How it ended teardown() looks at. */
static void end_orderly(void)
{
	siginfo_t info;

	assert_int_equal(kill(w.pid, SIGTERM), 0);
	assert_int_equal(waitid(P_PID, (id_t)w.pid, &info, WEXITED | WNOWAIT), 0);
}

static uint64_t busy_until(const char *text)
{
	uint64_t busy = 1, lease = 1;

	assert_int_equal(sscanf(text, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64, &busy, &lease), 2);
	return busy;
}

/* Its words are what an honest synproxy tells of a guest that never holds its tongue. */
static void test_words_are_not_files(void **state)
{
	cleanup_close int guest = -1, watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	unsigned n_words = 24, n_saves = 0;
	char path[96], text[256];
	uint64_t begin_ms;

	(void)state;
	snprintf(path, sizeof(path), "%s/services", w.dir);
	guest = begin_up(SERVICE("a", "1", LAZY));
	settle();
	assert_true(inotify_add_watch(watch, path, IN_MOVED_TO) >= 0);
	begin_ms = clock_now_ms();
	say_use(GUEST_BUSY); /* a promise is kept at once */
	for (unsigned i = 0; i < 50 && n_saves == 0; i++)
		n_saves = count_saves(watch, 200, text);
	assert_int_equal(n_saves, 1);
	assert_true(busy_until(text) > clock_now_ms());
	for (unsigned i = 0; i < n_words; i++) {
		say_use(i % 2 ? GUEST_BUSY : GUEST_IDLE);
		n_saves += count_saves(watch, 50, text);
	}
	say_use(GUEST_IDLE);
	for (unsigned i = 0; i < 50 && (i == 0 || busy_until(text) > 0); i++)
		n_saves += count_saves(watch, 500, text);
	assert_in_range(n_saves, 1, 3 + 3 * (clock_now_ms() - begin_ms) / 1000);
	assert_int_equal(busy_until(text), 0); /* the last word counts, */
	say_use(GUEST_BUSY);
	settle();
	say_use(GUEST_IDLE);
	settle();
	end_orderly();
	count_saves(watch, 0, text);
	assert_int_equal(busy_until(text), 0); /* also when nothing comes after it */
}

static void test_nonsense_from_synproxy(void **state)
{
	cleanup_close int guest = -1;
	struct msg_guest_said m = { .svc = UINT32_MAX, .gen = 1, .ready = true };

	(void)state;
	guest = begin_up(SERVICE("a", "1", EAGER));
	say(w.synproxy, MSG_GUEST_SAID, &m);
	m.svc = of("a")->svc;
	m.gen = of("a")->gen + 1;
	m.use = GUEST_BUSY;
	say(w.synproxy, MSG_GUEST_SAID, &m);
	say_words((struct msg_guest_said){ .use = 77, .garbled = true });
	expect_state("a", STATE_DRAINING);
}

/* ---- streams ---- */

static void test_a_new_synproxy_has_the_stream(void **state)
{
	cleanup_close int guest = -1;
	char byte = 0;

	(void)state;
	guest = begin_up(SERVICE("a", "1", LAZY));
	meet_synproxy();
	expect_stream();
	assert_int_equal(write(guest, "x", 1), 1);
	assert_int_equal(read(w.fd, &byte, 1), 1);
	assert_int_equal(byte, 'x');
	expect(w.synproxy, MSG_END);
	say_words((struct msg_guest_said){ .ended = true });
	settle();
	no_streams(); /* it is not given to the next one */
}

static void test_a_stream_takes_the_place_of_the_last(void **state)
{
	cleanup_close int guest = -1, next = -1, stranger = -1;
	uint32_t old;

	(void)state;
	guest = begin_up(SERVICE("a", "1", LAZY));
	old = stream;
	next = give_stream("dom-a");
	expect(w.synproxy, MSG_GUEST_CLOSE);
	assert_int_equal(got.guest.stream, old);
	expect_stream();
	assert_int_not_equal(stream, old);
	stranger = give_stream("dom-x");
	quiet(w.synproxy);
	assert_int_equal(recv(stranger, &old, 1, 0), 0); /* nobody keeps it */
}

/* A backend tells it behind each look at the domain. */
static void test_the_same_stream_is_nothing_new(void **state)
{
	struct msg_be_guest m = { .name = "dom-a" };
	int fds[2];

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	no_streams();
	bring_up("a", "dom-a", DOM_ID);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	say_fd(w.be, MSG_BE_GUEST, &m, fds[1]);
	expect_stream();
	say_fd(w.be, MSG_BE_GUEST, &m, fds[1]);
	quiet(w.synproxy);
	say_words((struct msg_guest_said){ .ended = true });
	settle();
	say_fd(w.be, MSG_BE_GUEST, &m, fds[1]); /* synproxy has lost it, and the backend has not */
	expect_stream();
	close(fds[0]);
	close(fds[1]);
}

/* What it has said is known to the next launcher, which counts from the same clock. */
static void test_a_new_launcher_knows_it(void **state)
{
	cleanup_close int guest = -1, again = -1;
	uint32_t req;

	(void)state;
	guest = begin_up(SERVICE("a", "1", IDLES("100ms", "0s")));
	say_words((struct msg_guest_said){ .ready = true, .use = GUEST_BUSY });
	settle();
	kill(w.pid, SIGKILL);
	end_launcher();
	launch();
	meet(&w.dns, ROLE_DNS);
	req = connect_backend();
	say_domain(req, &(struct domain){ "dom-a", DOM_ID, DOMAIN_RUNNING });
	end_list(req);
	hear_snapshot();
	assert_int_equal(of("a")->state, STATE_UP);
	no_streams();
	again = connect_guest();
	quiet_for(w.dns, 500);
	assert_string_equal(field(CTL_SHOW, "a", "guest_ready"), "true");
	say_use(GUEST_IDLE);
	expect_state("a", STATE_DRAINING);
}

/* ---- keys of XenStore ---- */

static void say_key(int32_t id, const char *key)
{
	struct msg_be_key m = { .svc = of("a")->svc, .gen = of("a")->gen, .domain_id = id };

	str_copy(m.key, key);
	say(w.be, MSG_BE_KEY, &m);
}

static void expect_watch(void)
{
	expect(w.be, MSG_BE_WATCH);
	assert_string_equal(got.watch.domain, "dom-a");
	assert_int_equal(got.watch.domain_id, DOM_ID);
	assert_int_equal(got.watch.n_keys, 2);
	assert_string_equal(got.watch.keys[0].text, "data/up");
	assert_string_equal(got.watch.keys[1].text, "data/jitsu/x");
}

static void test_ready_when_the_keys_are_there(void **state)
{
	uint32_t req;

	(void)state;
	w.uri = "libxl:///";
	begin(READY("\"xenstore:data/up\",\"delay:1\",\"xenstore:data/jitsu/x\"", LAZY));
	booted();
	expect_watch();
	say_key(DOM_ID, "data/up");
	say_key(DOM_ID - 1, "data/jitsu/x"); /* of another boot */
	say_key(DOM_ID, "data/other");
	quiet(w.dns);
	req = connect_backend(); /* the next backend is asked again */
	say_domain(req, &(struct domain){ "dom-a", DOM_ID, DOMAIN_RUNNING });
	end_list(req);
	expect_watch();
	say_key(DOM_ID, "data/jitsu/x");
	expect_state("a", STATE_UP);
	w.uri = NULL;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(test_ready_when_the_guest_says_so),
		CASE(test_what_the_last_boot_said_is_over),
		CASE(test_a_guest_that_never_says_it),
		CASE(test_busy_keeps_it_up_and_idle_lets_it_go),
		CASE(test_busy_is_not_for_ever),
		CASE(test_a_lease_runs_out),
		CASE(test_a_lease_is_bounded),
		CASE(test_a_lease_can_be_given_back),
		CASE(test_busy_while_draining),
		CASE(test_where_guests_have_no_say),
		CASE(test_more_words_than_there_can_be),
		CASE(test_words_are_not_files),
		CASE(test_nonsense_from_synproxy),
		CASE(test_a_new_synproxy_has_the_stream),
		CASE(test_a_stream_takes_the_place_of_the_last),
		CASE(test_the_same_stream_is_nothing_new),
		CASE(test_a_new_launcher_knows_it),
		CASE(test_ready_when_the_keys_are_there),
	};

	if (!netns_enter_as_root())
		return 77;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
