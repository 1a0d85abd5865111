/* The shared loop against a hypervisor that misbehaves: what the contract suite cannot ask of a
 * real one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <event2/thread.h>

#include "backends/fake.h"
#include "backends/workers.h"
#include "base/clock.h"
#include "base/log.h"

enum { WAIT_MS = 10000, HEARD_MAX = 4096 };

static struct event_base *base;
static struct fake *fake;
static struct backend *b;

/* What the launcher heard, in order. */
static struct heard {
	enum msg_type type;
	uint32_t req;
	int32_t error;
	bool connected;
	char text[MSG_TEXT_MAX];
} heard[HEARD_MAX];
static unsigned n_heard;

static void hear(void *arg, enum msg_type type, const void *body)
{
	struct heard *h = &heard[n_heard++];

	(void)arg;
	assert_true(n_heard < HEARD_MAX);
	*h = (struct heard){ .type = type };
	if (type == MSG_BE_RESULT) {
		const struct msg_be_result *m = body;

		h->req = m->req;
		h->error = m->error;
		str_copy(h->text, m->text);
	} else if (type == MSG_BE_HELLO) {
		const struct msg_be_hello *m = body;

		h->connected = m->connected;
		str_copy(h->text, m->text);
	} else if (type == MSG_BE_DOMAIN) {
		h->req = ((const struct msg_be_domain *)body)->req;
	}
}

/* One more round of the loop, at most `ms` long. */
static void turn(unsigned ms)
{
	struct timeval limit = { 0, ms * 1000 };

	event_base_loopexit(base, &limit);
	event_base_dispatch(base);
}

static struct heard *find_result(uint32_t req)
{
	struct heard *found = NULL;

	for (unsigned i = 0; i < n_heard; i++) {
		if (heard[i].type == MSG_BE_RESULT && heard[i].req == req) {
			assert_null(found); /* exactly one */
			found = &heard[i];
		}
	}
	return found;
}

static void expect(uint32_t req, int error)
{
	for (unsigned ms = 0; ms < WAIT_MS && !find_result(req); ms += 5)
		turn(5);
	if (!find_result(req))
		fail_msg("no result for request %u", req);
	if (find_result(req)->error != error)
		fail_msg("request %u: %d (%s)", req, find_result(req)->error, find_result(req)->text);
}

static bool last_hello(void)
{
	bool connected = false;

	for (unsigned i = 0; i < n_heard; i++) {
		if (heard[i].type == MSG_BE_HELLO)
			connected = heard[i].connected;
	}
	return connected;
}

static void wait_connected(bool connected)
{
	for (unsigned ms = 0; ms < WAIT_MS && last_hello() != connected; ms += 5)
		turn(5);
	assert_int_equal(last_hello(), connected);
}

static unsigned count(enum msg_type type)
{
	unsigned n = 0;

	for (unsigned i = 0; i < n_heard; i++)
		n += heard[i].type == type;
	return n;
}

static void start(uint32_t req, const char *name)
{
	struct msg_be_start m = { .req = req };

	str_copy(m.name, name);
	snprintf(m.uuid, sizeof(m.uuid), "uuid-%s", name);
	str_copy(m.kernel, "/proc/self/exe");
	backend_on_msg(b, MSG_BE_START, &m);
}

static void ask(enum msg_type type, uint32_t req, const char *domain)
{
	struct msg_be_target m = { .req = req, .how = STOP_DESTROY };

	str_copy(m.domain, domain);
	backend_on_msg(b, type, &m);
}

static const char hangs[] = "hangs";

static int setup_refusing(void **state)
{
	(void)state;
	n_heard = 0;
	base = event_base_new();
	fake = fake_new(base);
	if (state && *state == hangs)
		fake_hang(fake, FAKE_OPEN);
	else if (state && *state)
		fake_refuse(fake, *state);
	b = backend_new(base, &fake_ops, fake, 4, hear, NULL);
	fake_set_backend(fake, b);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return setup_refusing(NULL);
}

static int teardown(void **state)
{
	(void)state;
	clock_fake_ns(0);
	fake_release(fake);
	backend_free(b);
	fake_free(fake);
	event_base_free(base);
	return 0;
}

static void test_not_connected_answers_at_once_and_goes_on_trying(void **state)
{
	uint64_t begin = clock_now_ms();
	unsigned hellos;

	(void)state;
	start(1, "early"); /* while the first attempt is still under way, or has failed */
	expect(1, -ENOTCONN);
	while (clock_now_ms() - begin < 1600)
		turn(50);
	hellos = count(MSG_BE_HELLO);
	assert_int_equal(hellos, 1); /* the same failure again is no news */
	assert_false(last_hello());
	assert_string_equal(heard[n_heard - 1].type == MSG_BE_HELLO ? heard[n_heard - 1].text : heard[0].text, "nobody home");
	ask(MSG_BE_LIST, 2, "");
	expect(2, -ENOTCONN);
	assert_string_equal(find_result(2)->text, "nobody home");
	fake_refuse(fake, NULL);
	wait_connected(true);
	start(3, "late");
	expect(3, 0);
}

static void wait_break(void)
{
	for (unsigned ms = 0; ms < WAIT_MS && !event_base_got_break(base); ms += 300)
		turn(300);
	assert_true(event_base_got_break(base)); /* the process ends */
}

static void test_open_that_hangs_ends_the_process(void **state)
{
	uint64_t begin_ns = clock_now_ns();

	(void)state;
	turn(300);
	clock_fake_ns(begin_ns + 15 * NS_PER_S);
	for (unsigned ms = 0; ms < WAIT_MS && count(MSG_BE_HELLO) == 0; ms += 50)
		turn(50);
	assert_int_equal(count(MSG_BE_HELLO), 1);
	assert_false(last_hello());
	assert_string_equal(heard[n_heard - 1].text, "the call that connects to it does not return");
	start(1, "www");
	expect(1, -ENOTCONN);
	assert_string_equal(find_result(1)->text, "the call that connects to it does not return");
	assert_false(event_base_got_break(base));
	clock_fake_ns(begin_ns + (BACKEND_DEADLINE_MS + 1000) * NS_PER_MS);
	wait_break();
	assert_int_equal(count(MSG_BE_HELLO), 1);
}

/* A start would wait for it for ever. */
static void test_warming_that_hangs_ends_the_process(void **state)
{
	uint64_t begin_ns = clock_now_ns();

	(void)state;
	fake_hang(fake, "");
	wait_connected(true);
	backend_lost(b, "gone");
	turn(300);
	assert_false(event_base_got_break(base));
	clock_fake_ns(begin_ns + (BACKEND_DEADLINE_MS + 5000) * NS_PER_MS);
	wait_break();
}

static void test_lost_connection_settles_what_waits(void **state)
{
	(void)state;
	wait_connected(true);
	fake_hang(fake, "d");
	start(1, "d");
	ask(MSG_BE_STOP, 2, "d"); /* waits behind it */
	turn(50);
	backend_lost(b, "cable cut");
	expect(2, -ENOTCONN);
	assert_string_equal(find_result(2)->text, "cable cut");
	assert_null(find_result(1)); /* how that one ends, only its call knows */
	wait_connected(false);
	fake_release(fake);
	expect(1, 0);
	wait_connected(true);
	assert_int_equal(count(MSG_BE_RESULT), 2);
	ask(MSG_BE_STOP, 3, "d");
	expect(3, 0);
}

static void test_starts_wait_while_the_hypervisor_warms_up(void **state)
{
	(void)state;
	fake_hang(fake, ""); /* warm() */
	wait_connected(true);
	start(1, "a");
	ask(MSG_BE_LIST, 2, "");
	turn(100);
	assert_null(find_result(1));
	assert_int_equal(count(MSG_BE_LIST_END), 1); /* what only looks need not wait */
	fake_release(fake);
	expect(1, 0);
}

static void test_as_many_requests_wait_as_said(void **state)
{
	(void)state;
	wait_connected(true);
	fake_hang(fake, "d");
	start(1, "d");
	for (uint32_t req = 2; req <= BACKEND_REQUESTS_MAX; req++)
		ask(MSG_BE_STOP, req, "d"); /* waits behind it */
	turn(50);
	assert_int_equal(count(MSG_BE_RESULT), 0);
	ask(MSG_BE_STOP, BACKEND_REQUESTS_MAX + 1, "d");
	expect(BACKEND_REQUESTS_MAX + 1, -EBUSY);
}

static void test_hung_call_is_answered_and_others_go_on(void **state)
{
	char name[16];

	(void)state;
	wait_connected(true);
	start(1, "ok");
	expect(1, 0);
	fake_hang(fake, "stuck");
	start(2, "stuck");
	ask(MSG_BE_STOP, 3, "stuck");
	turn(100);
	assert_null(find_result(2));
	clock_fake_ns(clock_now_ns() + (BACKEND_DEADLINE_MS + 1000) * NS_PER_MS);
	expect(2, -ETIMEDOUT);
	expect(3, -ETIMEDOUT);
	for (uint32_t i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		start(10 + i, name);
	}
	for (uint32_t i = 0; i < 8; i++)
		expect(10 + i, 0);
	fake_release(fake);
	turn(100);
	assert_non_null(find_result(2)); /* and still only one */
}

/* More hung calls than there are threads: the loop goes on and answers each. */
static void test_loop_lives_when_every_worker_hangs(void **state)
{
	(void)state;
	wait_connected(true);
	fake_hang(fake, "?"); /* LIST */
	for (uint32_t req = 1; req <= WORKERS_MAX + 8; req++)
		ask(MSG_BE_LIST, req, "");
	turn(50);
	clock_fake_ns(clock_now_ns() + (BACKEND_DEADLINE_MS + 1000) * NS_PER_MS);
	turn(1000);
	assert_true(event_base_got_break(base)); /* the process ends */
	for (uint32_t req = 1; req <= WORKERS_MAX + 8; req++)
		expect(req, -ETIMEDOUT);
	fake_release(fake);
	turn(50);
	ask(MSG_BE_LIST, 100, "");
	turn(300);
	assert_int_equal(count(MSG_BE_LIST_END), 1);
}

static void test_new_launcher_hears_nothing_of_the_old(void **state)
{
	(void)state;
	wait_connected(true);
	fake_hang(fake, "d");
	start(1, "d");
	ask(MSG_BE_STOP, 2, "d"); /* not begun: dropped */
	turn(50);
	backend_on_launcher(b);
	assert_int_equal(heard[n_heard - 1].type, MSG_BE_HELLO);
	assert_true(heard[n_heard - 1].connected);
	ask(MSG_BE_LIST, 1, "");
	turn(100);
	assert_int_equal(count(MSG_BE_LIST_END), 0); /* waits for the start that is under way */
	fake_release(fake);
	turn(300);
	assert_int_equal(count(MSG_BE_LIST_END), 1);
	assert_int_equal(count(MSG_BE_DOMAIN), 1); /* and finds it, running: the old stop is gone */
	assert_int_equal(count(MSG_BE_RESULT), 0);
}

static void test_death_of_a_guest_is_an_event(void **state)
{
	(void)state;
	wait_connected(true);
	start(1, "d");
	expect(1, 0);
	assert_int_equal(fake_kill(fake, "d"), 0);
	turn(100);
	assert_int_equal(count(MSG_BE_EVENT), 2); /* started, crashed */
	assert_int_equal(fake_kill(fake, "d"), -ENOENT);
}

static void test_starts_run_side_by_side(void **state)
{
	char name[16];

	(void)state;
	wait_connected(true);
	fake_set_delay(fake, 50);
	for (uint32_t i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		start(1 + i, name);
	}
	for (uint32_t i = 0; i < 4; i++)
		expect(1 + i, 0);
	assert_int_equal(fake_most_at_once(fake), 4);
}

static void test_messages_for_others_are_ignored(void **state)
{
	struct msg_dns_state m = { 0 };

	(void)state;
	wait_connected(true);
	turn(50);
	n_heard = 0;
	backend_on_msg(b, MSG_DNS_STATE, &m);
	backend_on_msg(b, MSG_BEGIN, NULL);
	backend_on_msg(b, MSG_END, NULL);
	backend_on_msg(b, MSG_BE_CONSOLE, &(struct msg_be_console){ .name = "x" });
	turn(20);
	assert_int_equal(n_heard, 0);
}

static char nobody_home[] = "nobody home";

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate_setup_teardown(test_not_connected_answers_at_once_and_goes_on_trying, setup_refusing,
							 teardown, nobody_home),
		cmocka_unit_test_prestate_setup_teardown(test_open_that_hangs_ends_the_process, setup_refusing,
							 teardown, (void *)hangs),
		cmocka_unit_test_setup_teardown(test_warming_that_hangs_ends_the_process, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_connection_settles_what_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_starts_wait_while_the_hypervisor_warms_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_as_many_requests_wait_as_said, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hung_call_is_answered_and_others_go_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loop_lives_when_every_worker_hangs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_new_launcher_hears_nothing_of_the_old, setup, teardown),
		cmocka_unit_test_setup_teardown(test_death_of_a_guest_is_an_event, setup, teardown),
		cmocka_unit_test_setup_teardown(test_starts_run_side_by_side, setup, teardown),
		cmocka_unit_test_setup_teardown(test_messages_for_others_are_ignored, setup, teardown),
	};

	log_init("test", LOG_ERROR);
	evthread_use_pthreads();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
