/* A hypervisor's process that does not answer: who waits for it, who hears of it, and what becomes of it. */
#include "tests/launcher/peers.h"

#define TIMEOUT(t) LAZY ",\"start_timeout\":\"" t "\""

/* Until the status says so of the hypervisor. */
static void wait_status(const char *part)
{
	const char *is = "";

	for (int i = 0; i < 200; i++) {
		is = field(CTL_STATUS, "", "hypervisors");
		if (strstr(is, part))
			return;
		usleep(50 * 1000);
	}
	fail_msg("\"%s\" is not in \"%s\"", part, is);
}

/* What else it says, it may. */
static void expect_stuck(void)
{
	enum msg_type type;

	while ((type = hear(w.supervisor, WAIT_MS)) != MSG_STUCK)
		assert_int_not_equal(type, 0);
	assert_int_equal(got.peer.role, ROLE_BACKEND);
	assert_string_equal(got.peer.name, "hv");
}

static void test_a_process_that_answers_is_left_alone(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", TIMEOUT("2s")));
	quiet_for(w.supervisor, 3500); /* and its questions are answered meanwhile */
	wait_status("connected");
	bring_up("a", "dom-a", 3);
}

static void test_a_silent_one_is_reported_and_replaced(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", TIMEOUT("2s")));
	w.mute = true;
	wait_status("not answered for");
	wait_status("replaced after 2000");
	expect_stuck();
	w.mute = false;
	connect_with(DOMAINS({ "dom-a", 4, DOMAIN_RUNNING }));
	wait_status("connected");
}

/* It is not sent what it may never read; and once there is somebody, nobody has to ask again. */
static void test_wakes_wait_for_its_successor(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", TIMEOUT("2s")));
	w.mute = true;
	wait_status("not answered for");
	wake("a");
	settle();
	assert_string_equal(state_of("a"), "off");
	assert_non_null(strstr(field(CTL_SHOW, "a", "reason"), "does not answer"));
	expect_stuck();
	w.mute = false;
	connect_with(NULL);
	expect_start("dom-a");
	expect_state("a", STATE_STARTING);
}

static void test_or_until_it_answers_again(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", TIMEOUT("60s")));
	w.mute = true;
	wait_status("not answered for");
	wake("a");
	settle();
	assert_string_equal(state_of("a"), "off");
	w.mute = false;
	expect_start("dom-a");
	expect_state("a", STATE_STARTING);
	wait_status("connected");
	quiet_for(w.supervisor, 100);
}

static void begin_with_a_start_that_hangs(void)
{
	begin(SERVICE("a", "1", TIMEOUT("3s")));
	w.mute = true;
	wake("a");
	expect_start("dom-a");
	expect_state("a", STATE_STARTING);
	expect_stuck();
}

/* What it was asked for before lost its answer: the list of the next one settles it. */
static void test_a_start_under_way_is_begun_again(void **state)
{
	(void)state;
	begin_with_a_start_that_hangs();
	quiet_for(w.dns, 2000); /* its time is over, but that was not its fault */
	w.mute = false;
	connect_with(NULL);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 5);
	expect_state("a", STATE_BOOTING);
	expect_state("a", STATE_UP);
}

/* But one VM is not tried for ever. */
static void test_a_second_time_it_has_failed(void **state)
{
	(void)state;
	begin_with_a_start_that_hangs();
	w.mute = false;
	connect_with(NULL);
	w.mute = true;
	expect_start("dom-a");
	expect_state("a", STATE_FAILED);
}

/* A stop is refused at once, with the reason; nothing else of jitsuctl asks a hypervisor. */
static void test_operators_do_not_wait(void **state)
{
	uint32_t id;

	(void)state;
	begin(SERVICE("a", "1", TIMEOUT("60s")));
	bring_up("a", "dom-a", 3);
	w.mute = true;
	wait_status("not answered for");
	id = ask(CTL_STOP, "a", true);
	expect_end(id, -ENOTCONN);
	assert_non_null(strstr(got.end.text, "does not answer"));
	assert_string_equal(state_of("a"), "up");
}

static void test_the_most_impatient_service_counts(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", TIMEOUT("1m")) "," SERVICE("b", "2", TIMEOUT("7s")) "," SERVICE("c", "3", TIMEOUT("100ms")));
	w.mute = true;
	wait_status("replaced after 2000"); /* but a busy host is not a process that hangs */
	w.mute = false;
	wait_status("connected");
	reload_with(SERVICE("a", "1", TIMEOUT("1m")) "," SERVICE("b", "2", TIMEOUT("7s")));
	w.mute = true;
	wait_status("replaced after 7000");
}

static const struct msg_ctl_event *expect_event(const char *part)
{
	static struct msg_ctl_event m;
	enum msg_type type;

	while ((type = hear(w.control, WAIT_MS)) != MSG_CTL_EVENT)
		assert_int_not_equal(type, 0);
	memcpy(&m, &got, sizeof(m));
	if (m.event != CTL_EVENT_BEGIN && !strstr(m.text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, m.text);
	return &m;
}

static void test_who_watches_hears_of_it(void **state)
{
	struct msg_ctl_watch on = { .on = true };

	(void)state;
	begin(SERVICE("a", "1", TIMEOUT("2s")));
	say(w.control, MSG_CTL_WATCH, &on);
	assert_int_equal(expect_event("")->event, CTL_EVENT_BEGIN);
	w.mute = true;
	assert_int_equal(expect_event("\"hv\" does not answer")->event, CTL_EVENT_HYPERVISOR);
	assert_int_equal(expect_event("is replaced")->event, CTL_EVENT_HYPERVISOR);
	w.mute = false;
	hear(w.be, 0); /* it lives */
	assert_int_equal(expect_event("answers again")->event, CTL_EVENT_HYPERVISOR);
}

static int begin_speaking(void **state)
{
	w.mute = false;
	return setup(state);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin_speaking, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(test_a_process_that_answers_is_left_alone),
		CASE(test_a_silent_one_is_reported_and_replaced),
		CASE(test_wakes_wait_for_its_successor),
		CASE(test_or_until_it_answers_again),
		CASE(test_a_start_under_way_is_begun_again),
		CASE(test_a_second_time_it_has_failed),
		CASE(test_operators_do_not_wait),
		CASE(test_the_most_impatient_service_counts),
		CASE(test_who_watches_hears_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
