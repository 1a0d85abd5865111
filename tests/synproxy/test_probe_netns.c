#include "tests/synproxy/world.h"

/* ---- each test ---- */

static int start_synproxy(void)
{
	static _Alignas(16) uint8_t body[MSG_BODY_MAX];

	if (run_synproxy() < 0)
		return -1;
	put_message(launcher, MSG_BEGIN, NULL, -1);
	put_message(launcher, MSG_END, NULL, -1);
	return get_message(supervisor, 2000, body) == MSG_READY ? 0 : -1;
}

static int setup(void **state)
{
	(void)state;
	if (!have_netns)
		return 0;
	return start_vm("ip addr add 10.9.0.250/24 dev port0") < 0 || start_synproxy() < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	int status;

	(void)state;
	if (!have_netns)
		return 0;
	status = stop_synproxy();
	stop_vm();
	return status;
}

static void expect_event(uint32_t svc, enum probe_what what, const char *addr)
{
	static _Alignas(16) uint8_t body[MSG_BODY_MAX];
	const struct msg_probe_event *m = (const void *)body;
	struct ip_addr a = { { 0 } };

	if (get_message(launcher, 3000, body) != MSG_PROBE_EVENT)
		fail_msg("no event in 3 s, where number %d was expected", what);
	if (addr)
		ip_parse(addr, &a);
	assert_int_equal(m->svc, svc);
	assert_int_equal(m->gen, 5);
	assert_int_equal(m->what, what);
	assert_true(ip_equal(&m->addr, &a));
	assert_int_equal(m->port, what == PROBE_PORT || what == PROBE_REFUSED ? 80 : 0);
	assert_true(m->t_ns <= clock_now_ns() && m->t_ns > clock_now_ns() - NS_PER_S);
}

static void expect_silence(unsigned ms)
{
	static _Alignas(16) uint8_t body[MSG_BODY_MAX];

	assert_int_equal(get_message(launcher, ms, body), MSG_TYPE_MAX);
}

static void test_link_refused_open(void **state)
{
	struct msg_probe_start m = wanted(3);

	(void)state;
	needs_netns();
	start_probe(&m);
	expect_silence(60); /* the VM is not up */
	tell_vm('u');
	expect_event(3, PROBE_LINK, "10.9.0.7");
	expect_event(3, PROBE_REFUSED, "10.9.0.7");
	expect_silence(30);
	tell_vm('l');
	expect_event(3, PROBE_PORT, "10.9.0.7");
	expect_event(3, PROBE_DONE, NULL);
	assert_int_equal(tell_vm('c'), 'n'); /* the application saw nothing */
	expect_silence(30);
}

static void test_both_families(void **state)
{
	struct msg_probe_start m = wanted(3);
	static _Alignas(16) uint8_t body[MSG_BODY_MAX];
	const struct msg_probe_event *e = (const void *)body;
	unsigned links = 0, ports = 0;

	(void)state;
	needs_netns();
	ip_parse("fd09::7", &m.addrs[m.n_addrs++]);
	tell_vm('u');
	tell_vm('l');
	start_probe(&m);
	do {
		assert_int_equal(get_message(launcher, 3000, body), MSG_PROBE_EVENT);
		links += e->what == PROBE_LINK;
		ports += e->what == PROBE_PORT;
	} while (e->what != PROBE_DONE);
	assert_int_equal(links, 2);
	assert_int_equal(ports, 2);
	assert_int_equal(tell_vm('c'), 'n');
}

static void test_stop_and_past(void **state)
{
	struct msg_probe_start m = wanted(3);
	struct msg_probe_stop past = { .svc = 3, .gen = 4 }, stop = { .svc = 3, .gen = 5 }, wild = { .svc = 999999 };

	(void)state;
	needs_netns();
	start_probe(&m);
	put_message(launcher, MSG_PROBE_STOP, &wild, -1);
	put_message(launcher, MSG_PROBE_STOP, &past, -1); /* of an earlier generation: nothing happens */
	tell_vm('u');
	expect_event(3, PROBE_LINK, "10.9.0.7");
	expect_event(3, PROBE_REFUSED, "10.9.0.7");
	put_message(launcher, MSG_PROBE_STOP, &stop, -1);
	expect_silence(30);
	tell_vm('l');
	expect_silence(60);
}

/* A launcher that was restarted starts the probe again, and hears everything again; what it does
 * not mention ends. */
static void test_snapshot(void **state)
{
	struct msg_probe_start kept = wanted(3), dropped = wanted(4);

	(void)state;
	needs_netns();
	tell_vm('u');
	start_probe(&kept);
	expect_event(3, PROBE_LINK, "10.9.0.7");
	expect_event(3, PROBE_REFUSED, "10.9.0.7");
	start_probe(&dropped);
	expect_event(4, PROBE_LINK, "10.9.0.7");
	expect_event(4, PROBE_REFUSED, "10.9.0.7");
	put_message(launcher, MSG_BEGIN, NULL, -1);
	start_probe(&kept);
	put_message(launcher, MSG_END, NULL, -1);
	expect_event(3, PROBE_LINK, "10.9.0.7");
	expect_event(3, PROBE_REFUSED, "10.9.0.7");
	tell_vm('l');
	expect_event(3, PROBE_PORT, "10.9.0.7");
	expect_event(3, PROBE_DONE, NULL);
	expect_silence(60);
}

/* Without a launcher it goes on, and serves the next one. */
static void test_launcher_goes_away(void **state)
{
	struct msg_probe_start m = wanted(3);

	(void)state;
	needs_netns();
	start_probe(&m);
	fd_close(&launcher);
	tell_vm('u'); /* its answer has nowhere to go */
	usleep(20000);
	assert_int_equal(new_launcher(), 0);
	put_message(launcher, MSG_BEGIN, NULL, -1);
	start_probe(&m);
	put_message(launcher, MSG_END, NULL, -1);
	expect_event(3, PROBE_LINK, "10.9.0.7");
	expect_event(3, PROBE_REFUSED, "10.9.0.7");
}

static uint64_t cpu_ns(pid_t pid)
{
	char path[64];
	cleanup_fclose FILE *f = NULL;
	uint64_t ns = 0;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
	f = fopen(path, "re");
	return f && fscanf(f, "%" SCNu64, &ns) == 1 ? ns : 0;
}

/* A VM that does nothing but shout must not keep the process busy, and is still probed. */
static void test_vm_that_floods(void **state)
{
	struct msg_probe_start m = wanted(3);
	uint64_t used;

	(void)state;
	needs_netns();
	tell_vm('u');
	start_probe(&m);
	expect_event(3, PROBE_LINK, "10.9.0.7");
	expect_event(3, PROBE_REFUSED, "10.9.0.7");
	used = cpu_ns(proxy_pid);
	tell_vm('f');
	usleep(300000);
	used = cpu_ns(proxy_pid) - used;
	tell_vm('l');
	expect_event(3, PROBE_PORT, "10.9.0.7");
	expect_event(3, PROBE_DONE, NULL);
	if (used > 150 * NS_PER_MS) /* of 300; unbounded it takes all the time it gets */
		fail_msg("%" PRIu64 " ms of CPU in 300 ms", used / NS_PER_MS);
}

/* The port may vanish under the probe. */
static void test_port_goes_away(void **state)
{
	struct msg_probe_start m = wanted(3);

	(void)state;
	needs_netns();
	start_probe(&m);
	expect_silence(10);
	assert_int_equal(ip_run("ip link del port0"), 0);
	expect_silence(30);
	assert_int_equal(kill(proxy_pid, 0), 0);
	assert_int_equal(waitpid(proxy_pid, NULL, WNOHANG), 0);
}

#define WITH_VM(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_VM(test_link_refused_open), WITH_VM(test_both_families),	   WITH_VM(test_stop_and_past),
		WITH_VM(test_snapshot),		 WITH_VM(test_launcher_goes_away), WITH_VM(test_vm_that_floods),
		WITH_VM(test_port_goes_away),
	};

	have_netns = netns_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
