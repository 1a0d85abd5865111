/* The launcher process as the supervisor runs it, among peers that follow a script: what it says
 * to dns, control and a backend for what they say to it.  Everything goes through real channels.
 *
 * The services are domains that are ready after a delay, so that neither taps nor probes, and no
 * privileges, are needed.  As root they work in a network namespace of their own, for a launcher
 * looks for stray taps when it starts.
 */
#include "tests/launcher/peers.h"

/* ---- the snapshot ---- */

static void test_dns_waits_for_what_runs(void **state)
{
	uint32_t req;

	(void)state;
	begin_with("", SERVICE("a", "1", LAZY));
	meet(&w.dns, ROLE_DNS);
	req = connect_backend();
	say_domain(req, &(struct domain){ "dom-a", 7, DOMAIN_RUNNING });
	quiet(w.dns);
	end_list(req);
	hear_snapshot();
	assert_int_equal(of("a")->state, STATE_ADOPTED);
	assert_int_equal(of("a")->n_addrs, 1);
	assert_string_equal(of("a")->names[0].text, "a.jitsu.example");
}

/* Nor is it kept waiting for ever; the wake is, until the hypervisor is there. */
static void test_dns_is_told_without_a_hypervisor(void **state)
{
	(void)state;
	begin_with("", SERVICE("a", "1", LAZY));
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	assert_int_equal(of("a")->state, STATE_OFF);
	wake("a");
	quiet(w.dns);
	meet(&w.be, ROLE_BACKEND);
	say_hello(false);
	settle();
	assert_non_null(strstr(field(CTL_SHOW, "a", "reason"), "libvirtd does not answer"));
	say_hello(true);
	expect(w.be, MSG_BE_LIST);
	end_list(got.target.req);
	expect_start("dom-a");
	expect_state("a", STATE_STARTING);
}

static void test_a_new_dns_hears_everything_again(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY));
	bring_up("a", "dom-a", 3);
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	assert_int_equal(of("a")->state, STATE_UP);
	assert_int_equal(of("b")->state, STATE_OFF);
	assert_int_not_equal(of("a")->gen, of("b")->gen);
}

/* ---- starting ---- */

static void test_fifty_wakes_start_it_once(void **state)
{
	uint64_t began;
	uint32_t req;

	(void)state;
	begin(SERVICE_AS("a", "1", "120", "destroy", LAZY));
	for (uint32_t i = 0; i < 25; i++)
		wake_from("a", i + 1, "192.0.2.1");
	req = expect_start("dom-a");
	for (uint32_t i = 0; i < 25; i++)
		wake_from("a", i + 26, "198.51.100.1");
	expect_state("a", STATE_STARTING);
	quiet(w.be);
	began = clock_now_ms();
	say_result(req, "dom-a", 0, "", 1);
	expect_state("a", STATE_BOOTING);
	wake("a");
	expect_state("a", STATE_UP);
	assert_in_range(clock_now_ms() - began, 115, 2000);
	quiet(w.be);
	quiet(w.dns);
	assert_string_equal(field(CTL_SHOW, "a", "wakes"), "1");
	assert_string_equal(field(CTL_WHY, "a", "woken_by_client"), "192.0.2.1");
}

static void test_a_failure_backs_off(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", LAZY));
	wake("a");
	expect_state("a", STATE_STARTING);
	say_result(expect_start("dom-a"), "dom-a", -ENOENT, "Domain not found: no domain with that name", -1);
	expect_state("a", STATE_FAILED);
	wake_from("a", 77, "192.0.2.9");
	expect(w.dns, MSG_DNS_REFUSED);
	assert_int_equal(got.refused.token, 77);
	assert_int_equal(got.refused.svc, of("a")->svc);
	assert_non_null(strstr(got.refused.text, "no domain with that name"));
	quiet(w.be);
	assert_string_equal(field(CTL_SHOW, "a", "last_error"), "Domain not found: no domain with that name");
	usleep(1260 * 1000); /* the first back-off is 1 s, a quarter up or down */
	wake("a");
	expect_start("dom-a");
	expect_state("a", STATE_STARTING);
}

static void test_an_operator_does_not_wait_for_the_back_off(void **state)
{
	uint32_t id;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	wake("a");
	say_result(expect_start("dom-a"), "dom-a", -EIO, "broken", -1);
	expect_state("a", STATE_STARTING);
	expect_state("a", STATE_FAILED);
	id = ask(CTL_START, "a", true);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 4);
	expect_end(id, 0);
}

static void test_one_that_never_gets_ready_is_ended(void **state)
{
	uint32_t req;

	(void)state;
	begin(SERVICE_AS("a", "1", "200", "destroy", ",\"start_timeout\":\"250ms\""));
	wake("a");
	expect_state("a", STATE_STARTING);
	usleep(120 * 1000); /* and then its delay is longer than what is left */
	say_result(expect_start("dom-a"), "dom-a", 0, "", 4);
	expect_state("a", STATE_BOOTING);
	expect_state("a", STATE_FAILED);
	req = expect_target(MSG_BE_STOP, "dom-a");
	assert_int_equal(got.target.how, STOP_DESTROY);
	usleep(1260 * 1000);
	wake("a"); /* the back-off is over, but not the stop */
	quiet(w.be);
	say_result(req, "dom-a", 0, "", -1);
	expect_start("dom-a");
}

/* Asked to shut down is not yet gone: until it is, it keeps its place and is not started again. */
static void test_one_that_never_gets_ready_is_shut_down_with_care(void **state)
{
	(void)state;
	begin_limited("\"max_running\":1", SERVICE_AS("a", "1", "200", "shutdown", ",\"start_timeout\":\"250ms\"") ","
		   SERVICE("b", "2", LAZY));
	wake("a");
	expect_state("a", STATE_STARTING);
	usleep(120 * 1000);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 4);
	expect_state("a", STATE_BOOTING);
	expect_state("a", STATE_FAILED);
	expect_target(MSG_BE_STOP, "dom-a");
	assert_int_equal(got.target.how, STOP_SHUTDOWN);
	say_result(got.target.req, "dom-a", 0, "", 4);
	inspected("dom-a", 4, DOMAIN_RUNNING);
	wake("b");
	quiet(w.be);
	say_event("dom-a", EVENT_STOPPED, -1, "shutdown");
	inspected("dom-a", -1, DOMAIN_OFF);
	expect_start("dom-b");
}

/* ---- stopping ---- */

static void test_idle_is_stopped_after_the_acknowledgement(void **state)
{
	struct msg_dns_state ack;
	uint64_t up;

	(void)state;
	begin(SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 3);
	up = clock_now_ms();
	expect_state("a", STATE_DRAINING);
	assert_in_range(clock_now_ms() - up, EAGER_MS - 10, 2000);
	ack = got.state;
	quiet(w.be);
	ack.seq++; /* of another message */
	say(w.dns, MSG_DNS_STATE_ACK, &ack);
	quiet(w.be);
	ack.seq--;
	say(w.dns, MSG_DNS_STATE_ACK, &ack);
	expect_state("a", STATE_STOPPING);
	expect_target(MSG_BE_STOP, "dom-a");
	assert_int_equal(got.target.how, STOP_DESTROY);
	say_result(got.target.req, "dom-a", 0, "", -1);
	expect_state("a", STATE_OFF);
	assert_non_null(strstr(field(CTL_WHY, "a", "last_stop_reason"), "idle"));
}

static void test_acknowledging_again_and_again_delays_nothing(void **state)
{
	struct msg_dns_state ack;

	(void)state;
	begin(SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 3);
	expect_state("a", STATE_DRAINING);
	ack = got.state;
	for (int i = 0; i < 15; i++) {
		say(w.dns, MSG_DNS_STATE_ACK, &ack);
		ack.seq = 0;
		usleep(10000);
	}
	assert_int_equal(hear(w.be, 0), MSG_BE_STOP);
}

/* By a query that came a little before, even. */
static void test_asked_for_while_draining(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 3);
	expect_state("a", STATE_DRAINING);
	slots_mark(w.slots, of("a")->svc, of("a")->gen, clock_now_ns() - 20 * NS_PER_MS);
	say(w.dns, MSG_DNS_STATE_ACK, &got.state);
	expect_state("a", STATE_UP);
	quiet(w.be);
	say_result(drain_and_stop("a", "dom-a"), "dom-a", 0, "", -1);
	expect_state("a", STATE_OFF);
}

static void test_woken_while_draining(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 3);
	expect_state("a", STATE_DRAINING);
	wake("a");
	expect_state("a", STATE_UP);
	say(w.dns, MSG_DNS_STATE_ACK, &got.state);
	quiet(w.be);
}

/* What dns gave away, at once or to one who waited, keeps it up for the horizon. */
static void test_an_answer_keeps_it_up(void **state)
{
	struct msg_dns_answered m = { .token = 1 };
	uint64_t answered;

	(void)state;
	begin(SERVICE("a", "1", IDLES("150ms", "500ms")));
	bring_up("a", "dom-a", 3);
	slots_mark(w.slots, of("a")->svc, of("a")->gen, clock_now_ns());
	answered = clock_now_ms();
	expect_state("a", STATE_DRAINING);
	assert_in_range(clock_now_ms() - answered, 495, 5000);
	m.svc = of("a")->svc;
	m.gen = of("a")->gen;
	say(w.dns, MSG_DNS_ANSWERED, &m);
	say(w.dns, MSG_DNS_STATE_ACK, &got.state);
	expect_state("a", STATE_UP);
}

static void test_a_dead_dns_does_not_keep_it_up(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 3);
	expect_state("a", STATE_DRAINING);
	hang_up(&w.dns);
	quiet(w.be);
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", 0, "", -1);
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	assert_string_equal(state_of("a"), "off");
}

static void test_woken_while_stopping(void **state)
{
	uint32_t stop;

	(void)state;
	begin(SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 3);
	stop = drain_and_stop("a", "dom-a");
	wake_from("a", 9, "192.0.2.33");
	wake_from("a", 10, "192.0.2.34");
	quiet(w.be);
	say_event("dom-a", EVENT_STOPPED, -1, "destroyed"); /* comes before the stop's own result */
	expect_state("a", STATE_OFF);
	say_result(stop, "dom-a", 0, "", -1);
	expect_state("a", STATE_STARTING);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 4);
	expect_state("a", STATE_BOOTING);
	expect_state("a", STATE_UP);
	assert_string_equal(field(CTL_SHOW, "a", "wakes"), "2");
	assert_string_equal(field(CTL_WHY, "a", "woken_by_client"), "192.0.2.33");
	quiet_for(w.be, 0);
}

static void test_a_stop_that_fails_leaves_it_up(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 3);
	say_result(drain_and_stop("a", "dom-a"), "dom-a", -EIO, "the monitor does not answer", 3);
	inspected("dom-a", 3, DOMAIN_RUNNING);
	expect_state("a", STATE_UP);
	assert_non_null(strstr(field(CTL_SHOW, "a", "last_error"), "the monitor does not answer"));
	drain_and_stop("a", "dom-a"); /* it is tried again */
}

/* A shutdown ends with the guest, not with having asked for it. */
static void test_shutdown_waits_for_the_guest(void **state)
{
	uint32_t req;

	(void)state;
	begin(SERVICE_AS("a", "1", "10", "shutdown", EAGER));
	bring_up("a", "dom-a", 3);
	req = drain_and_stop("a", "dom-a");
	assert_int_equal(got.target.how, STOP_SHUTDOWN);
	say_result(req, "dom-a", 0, "", 3);
	inspected("dom-a", 3, DOMAIN_RUNNING);
	quiet(w.dns);
	say_event("dom-a", EVENT_STOPPED, -1, "shutdown");
	expect_state("a", STATE_OFF);
}

/* What is seen of a guest that is quick may be told after its end: it does not run again. */
static void test_shutdown_that_overtakes_a_look(void **state)
{
	uint32_t req;

	(void)state;
	begin(SERVICE_AS("a", "1", "10", "shutdown", EAGER));
	bring_up("a", "dom-a", 3);
	say_result(drain_and_stop("a", "dom-a"), "dom-a", 0, "", 3);
	req = expect_target(MSG_BE_INSPECT, "dom-a");
	say_event("dom-a", EVENT_STOPPED, 3, "shutdown");
	expect_state("a", STATE_OFF);
	say_domain(req, &(struct domain){ "dom-a", 3, DOMAIN_RUNNING });
	say_result(req, "dom-a", 0, "", 3);
	say_event("dom-a", EVENT_STARTED, 4, "started"); /* asked about only while it is off */
	inspected("dom-a", -1, DOMAIN_OFF);
	quiet(w.dns);
	assert_string_equal(state_of("a"), "off");
	bring_up("a", "dom-a", 4);
}

static void test_shutdown_that_the_guest_ignores(void **state)
{
	(void)state;
	begin(SERVICE_AS("a", "1", "10", "shutdown", EAGER ",\"stop_timeout\":\"200ms\""));
	bring_up("a", "dom-a", 3);
	say_result(drain_and_stop("a", "dom-a"), "dom-a", 0, "", 3);
	inspected("dom-a", 3, DOMAIN_RUNNING);
	expect_state("a", STATE_UP);
	assert_non_null(strstr(field(CTL_SHOW, "a", "last_error"), "stop_timeout"));
}

static void test_shutdown_by_force(void **state)
{
	(void)state;
	begin(SERVICE_AS("a", "1", "10", "shutdown", EAGER ",\"stop_timeout\":\"100ms\",\"stop_force\":true"));
	bring_up("a", "dom-a", 3);
	drain_and_stop("a", "dom-a");
	assert_int_equal(got.target.how, STOP_SHUTDOWN);
	expect_target(MSG_BE_STOP, "dom-a");
	assert_int_equal(got.target.how, STOP_DESTROY);
	say_event("dom-a", EVENT_STOPPED, -1, "destroyed");
	expect_state("a", STATE_OFF);
}

/* It was off before it was asked to shut down, so that no event tells. */
static void test_shutdown_of_what_is_off(void **state)
{
	(void)state;
	begin(SERVICE_AS("a", "1", "10", "shutdown", EAGER));
	bring_up("a", "dom-a", 3);
	say_result(drain_and_stop("a", "dom-a"), "dom-a", 0, "", -1);
	inspected("dom-a", -1, DOMAIN_OFF);
	expect_state("a", STATE_OFF);
}

static void test_suspend_and_resume(void **state)
{
	uint32_t req;

	(void)state;
	begin(SERVICE_AS("a", "1", "10", "suspend", EAGER));
	bring_up("a", "dom-a", 3);
	req = drain_and_stop("a", "dom-a");
	assert_int_equal(got.target.how, STOP_SUSPEND);
	say_event("dom-a", EVENT_SUSPENDED, 3, "paused");
	say_result(req, "dom-a", 0, "", 3);
	expect_state("a", STATE_SUSPENDED);
	wake("a");
	expect_state("a", STATE_STARTING);
	req = expect_target(MSG_BE_RESUME, "dom-a");
	say_event("dom-a", EVENT_RESUMED, 3, "unpaused");
	say_result(req, "dom-a", 0, "", 3);
	expect_state("a", STATE_BOOTING);
	expect_state("a", STATE_UP);
	say_result(drain_and_stop("a", "dom-a"), "dom-a", 0, "", 3);
	expect_state("a", STATE_SUSPENDED);
}

/* By hand: it is up again, and ours as before. */
static void test_resumed_from_outside(void **state)
{
	(void)state;
	begin(SERVICE_AS("a", "1", "10", "suspend", EAGER));
	bring_up("a", "dom-a", 3);
	say_result(drain_and_stop("a", "dom-a"), "dom-a", 0, "", 3);
	expect_state("a", STATE_SUSPENDED);
	say_event("dom-a", EVENT_RESUMED, 3, "unpaused");
	inspected("dom-a", 3, DOMAIN_RUNNING);
	expect_state("a", STATE_UP);
	drain_and_stop("a", "dom-a");
}

/* The VM is still there, paused: the next wake resumes it. */
static void test_a_resume_that_fails(void **state)
{
	(void)state;
	begin(SERVICE_AS("a", "1", "10", "suspend", EAGER));
	bring_up("a", "dom-a", 3);
	say_result(drain_and_stop("a", "dom-a"), "dom-a", 0, "", 3);
	expect_state("a", STATE_SUSPENDED);
	wake("a");
	expect_state("a", STATE_STARTING);
	say_result(expect_target(MSG_BE_RESUME, "dom-a"), "dom-a", -EIO, "cannot acquire state change lock", 3);
	expect_state("a", STATE_FAILED);
	inspected("dom-a", 3, DOMAIN_PAUSED);
	expect_state("a", STATE_SUSPENDED);
	wake_from("a", 5, "192.0.2.1");
	expect(w.dns, MSG_DNS_REFUSED);
	assert_non_null(strstr(got.refused.text, "state change lock"));
	usleep(1260 * 1000);
	wake("a");
	expect_target(MSG_BE_RESUME, "dom-a");
}

/* ---- the operator's hand ---- */

static void test_started_by_someone_else_is_never_stopped(void **state)
{
	uint32_t id;

	(void)state;
	begin(SERVICE("a", "1", EAGER));
	wake("a");
	expect_state("a", STATE_STARTING);
	say_result(expect_start("dom-a"), "dom-a", -EEXIST, "domain is already running", 8);
	expect_state("a", STATE_ADOPTED);
	quiet_for(w.be, 3 * EAGER_MS);
	quiet(w.dns);
	id = ask(CTL_STOP, "a", true);
	expect_end(id, -EPERM);
	quiet(w.be);
	say_event("dom-a", EVENT_STOPPED, -1, "destroyed");
	inspected("dom-a", -1, DOMAIN_OFF);
	expect_state("a", STATE_OFF);
	bring_up("a", "dom-a", 9); /* now it is ours */
	drain_and_stop("a", "dom-a");
}

static void test_manage_always(void **state)
{
	(void)state;
	begin_with("", SERVICE("a", "1", EAGER ",\"manage\":\"always\""));
	connect_with(DOMAINS({ "dom-a", 7, DOMAIN_RUNNING }));
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	expect_state("a", STATE_UP);
	drain_and_stop("a", "dom-a");
}

static void test_managed_by_a_reload(void **state)
{
	(void)state;
	begin_with("", SERVICE("a", "1", EAGER));
	connect_with(DOMAINS({ "dom-a", 7, DOMAIN_RUNNING }));
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	assert_string_equal(state_of("a"), "adopted");
	quiet_for(w.be, 2 * EAGER_MS);
	write_conf("", SERVICE("a", "1", EAGER ",\"manage\":\"always\""));
	say(w.supervisor, MSG_RELOAD, NULL);
	expect_state("a", STATE_UP);
	hear_snapshot();
	assert_string_equal(field(CTL_SHOW, "a", "started_by"), "jitsu");
	drain_and_stop("a", "dom-a");
}

/* Found by an event, between two boots of ours. */
static void test_started_by_hand_while_off(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", EAGER));
	say_event("dom-a", EVENT_STARTED, 5, "booted");
	inspected("dom-a", 5, DOMAIN_RUNNING);
	expect_state("a", STATE_ADOPTED);
	quiet_for(w.be, 2 * EAGER_MS);
}

/* Stopped and started again by hand while ours was up: what runs now is not ours. */
static void test_restarted_by_hand_while_up(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", IDLES("400ms", "0s")));
	bring_up("a", "dom-a", 3);
	say_event("dom-a", EVENT_STOPPED, -1, "destroyed");
	say_event("dom-a", EVENT_STARTED, 4, "booted");
	inspected("dom-a", 4, DOMAIN_RUNNING);
	expect_state("a", STATE_OFF);
	expect_state("a", STATE_ADOPTED);
	quiet_for(w.be, 600);
}

static void test_operators_start_and_stop(void **state)
{
	uint32_t start, stop;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	expect_end(ask(CTL_START, "a", false), -EPERM);
	expect_end(ask(CTL_STOP, "a", false), -EPERM);
	expect_end(ask(CTL_RELOAD, "", false), -EPERM);
	expect_end(ask(CTL_START, "b", true), -ENOENT);
	quiet(w.be);
	start = ask(CTL_START, "a", true);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 2);
	expect_end(start, 0);
	assert_string_equal(state_of("a"), "up");
	stop = ask(CTL_STOP, "a", true);
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", 0, "", -1);
	expect_end(stop, 0);
	assert_string_equal(state_of("a"), "off");
}

/* While the start is under way: the stop follows it. */
static void test_operators_stop_of_a_start(void **state)
{
	uint32_t start, id;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	wake("a");
	start = expect_start("dom-a");
	id = ask(CTL_STOP, "a", true);
	expect_state("a", STATE_STARTING);
	expect_state("a", STATE_STOPPING);
	assert_int_equal(hear(w.be, QUIET_MS), 0);
	say_result(start, "dom-a", 0, "", 5);
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", 0, "", -1);
	expect_end(id, 0);
	expect_state("a", STATE_OFF);
	quiet(w.be);
	quiet(w.dns);
	bring_up("a", "dom-a", 6);
}

/* Somebody had started it by hand meanwhile: it is theirs. */
static void test_operators_stop_of_what_someone_else_started(void **state)
{
	uint32_t start, id;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	wake("a");
	start = expect_start("dom-a");
	id = ask(CTL_STOP, "a", true);
	expect_state("a", STATE_STARTING);
	expect_state("a", STATE_STOPPING);
	say_result(start, "dom-a", -EEXIST, "domain is already running", 8);
	expect_state("a", STATE_ADOPTED);
	expect_end(id, -EIO);
	quiet(w.be);
}

static void test_operators_stop_of_a_start_that_fails(void **state)
{
	uint32_t start, id;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	wake("a");
	start = expect_start("dom-a");
	id = ask(CTL_STOP, "a", true);
	say_result(start, "dom-a", -EIO, "broken", -1);
	expect_end(id, 0);
	assert_string_equal(state_of("a"), "off");
	quiet(w.be);
}

/* It was never ready, and cannot be stopped: it goes on booting. */
static void test_a_stop_that_fails_while_booting(void **state)
{
	uint32_t id;

	(void)state;
	begin(SERVICE_AS("a", "1", "150", "destroy", LAZY));
	wake("a");
	expect_state("a", STATE_STARTING);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 5);
	expect_state("a", STATE_BOOTING);
	id = ask(CTL_STOP, "a", true);
	expect_state("a", STATE_STOPPING);
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", -EIO, "the monitor does not answer", 5);
	inspected("dom-a", 5, DOMAIN_RUNNING);
	expect_state("a", STATE_BOOTING);
	expect_end(id, -EIO);
	expect_state("a", STATE_UP);
}

/* ---- events ---- */

static void test_a_stale_stop_is_not_believed(void **state)
{
	uint32_t req;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	bring_up("a", "dom-a", 5);
	say_event("dom-a", EVENT_STOPPED, 4, "destroyed");
	inspected("dom-a", 5, DOMAIN_RUNNING);
	quiet(w.dns);
	assert_string_equal(state_of("a"), "up");
	say_event("dom-a", EVENT_CRASHED, -1, "crashed");
	req = expect_target(MSG_BE_INSPECT, "dom-a");
	say_result(req, "dom-a", -EIO, "no answer", -1); /* nobody knows: it stays */
	quiet(w.dns);
	say_event("dom-a", EVENT_CRASHED, -1, "crashed");
	req = expect_target(MSG_BE_INSPECT, "dom-a");
	say_result(req, "dom-a", -ENOENT, "no such domain", -1);
	expect_state("a", STATE_OFF);
	bring_up("a", "dom-a", 6);
}

/* An end of the boot before, told while the next one is on its way. */
static void test_a_stale_stop_while_starting(void **state)
{
	uint32_t start, req;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	wake("a");
	expect_state("a", STATE_STARTING);
	start = expect_start("dom-a");
	say_event("dom-a", EVENT_STOPPED, -1, "destroyed");
	req = expect_target(MSG_BE_INSPECT, "dom-a");
	say_result(start, "dom-a", 0, "", 5);
	say_domain(req, &(struct domain){ "dom-a", 5, DOMAIN_RUNNING });
	say_result(req, "dom-a", 0, "", 5);
	expect_state("a", STATE_BOOTING);
	expect_state("a", STATE_UP);
	quiet(w.dns);
}

static void test_the_guest_ends_while_booting(void **state)
{
	uint32_t req;

	(void)state;
	begin(SERVICE_AS("a", "1", "10s", "destroy", LAZY));
	wake("a");
	expect_state("a", STATE_STARTING);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 5);
	expect_state("a", STATE_BOOTING);
	say_event("dom-a", EVENT_CRASHED, -1, "panicked");
	req = expect_target(MSG_BE_INSPECT, "dom-a");
	say_result(req, "dom-a", -ENOENT, "no such domain", -1);
	expect_state("a", STATE_FAILED);
	assert_non_null(strstr(field(CTL_SHOW, "a", "last_error"), "panicked"));
}

/* ---- the backend is replaced ---- */

static void test_a_start_that_was_lost(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", LAZY));
	wake("a");
	expect_state("a", STATE_STARTING);
	expect_start("dom-a");
	hang_up(&w.be);
	connect_with(DOMAINS({ "dom-a", -1, DOMAIN_OFF }));
	say_result(expect_start("dom-a"), "dom-a", 0, "", 6);
	expect_state("a", STATE_BOOTING);
	expect_state("a", STATE_UP);
}

/* It ran: the one who asked for it was us. */
static void test_a_start_whose_result_was_lost(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", EAGER));
	wake("a");
	expect_state("a", STATE_STARTING);
	expect_start("dom-a");
	connect_with(DOMAINS({ "dom-a", 6, DOMAIN_RUNNING }));
	expect_state("a", STATE_BOOTING);
	expect_state("a", STATE_UP);
	drain_and_stop("a", "dom-a");
}

static void test_a_stop_whose_result_was_lost(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", EAGER) "," SERVICE("b", "2", LAZY));
	bring_up("b", "dom-b", 2);
	bring_up("a", "dom-a", 3);
	drain_and_stop("a", "dom-a");
	connect_with(DOMAINS({ "dom-a", 3, DOMAIN_RUNNING }, { "dom-b", 2, DOMAIN_RUNNING }));
	expect_target(MSG_BE_STOP, "dom-a");
	connect_with(DOMAINS({ "dom-b", 2, DOMAIN_RUNNING }));
	expect_state("a", STATE_OFF);
	quiet(w.be);
	quiet(w.dns);
	assert_string_equal(state_of("b"), "up");
}

/* It went down while the backend was away. */
static void test_gone_meanwhile(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", LAZY));
	bring_up("a", "dom-a", 3);
	hang_up(&w.be);
	wake("a");
	quiet(w.dns);
	connect_with(NULL);
	expect_state("a", STATE_OFF);
	bring_up("a", "dom-a", 4);
}

/* Between the row that says it runs and the end of the list it stops: the event is all there is. */
static void test_an_event_within_the_list(void **state)
{
	uint32_t req;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	bring_up("a", "dom-a", 3);
	req = connect_backend();
	say_event("dom-a", EVENT_STOPPED, -1, "destroyed");
	say_domain(req, &(struct domain){ "dom-a", 3, DOMAIN_RUNNING });
	end_list(req);
	req = expect_target(MSG_BE_INSPECT, "dom-a");
	say_result(req, "dom-a", -ENOENT, "no such domain", -1);
	expect_state("a", STATE_OFF);
}

static void test_a_list_that_fails(void **state)
{
	(void)state;
	begin_with("", SERVICE("a", "1", LAZY));
	say_result(connect_backend(), "dom-a", -EIO, "cannot recv data", -1);
	expect(w.be, MSG_BE_LIST);
	end_list(got.target.req);
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	wake("a");
	expect_start("dom-a");
}

/* Old numbers mean nothing on a new channel. */
static void test_results_of_the_old_channel(void **state)
{
	uint32_t old, fresh;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	wake("a");
	expect_state("a", STATE_STARTING);
	old = expect_start("dom-a");
	connect_with(NULL);
	expect_start("dom-a");
	fresh = got.start.req;
	say_result(old, "dom-a", -EIO, "of the past", -1);
	quiet(w.dns);
	say_result(fresh, "dom-a", 0, "", 1);
	expect_state("a", STATE_BOOTING);
}

/* ---- the launcher is replaced ---- */

static void relaunch(void)
{
	kill(w.pid, SIGKILL);
	end_launcher();
	launch();
}

static void test_a_new_launcher_knows_its_own(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", EAGER) "," SERVICE("b", "2", EAGER) "," SERVICE("c", "3", EAGER));
	bring_up("a", "dom-a", 5);
	wake("c");
	expect_state("c", STATE_STARTING);
	say_result(expect_start("dom-c"), "dom-c", 0, "", 7);
	expect_state("c", STATE_BOOTING);
	expect_state("c", STATE_UP);
	settle();
	relaunch();
	/* dom-b was never ours, and dom-c was started again by someone */
	meet(&w.dns, ROLE_DNS);
	connect_with(DOMAINS({ "dom-a", 5, DOMAIN_RUNNING }, { "dom-b", 6, DOMAIN_RUNNING }, { "dom-c", 8, DOMAIN_RUNNING }));
	hear_snapshot();
	assert_int_equal(of("a")->state, STATE_UP);
	assert_int_equal(of("b")->state, STATE_ADOPTED);
	assert_int_equal(of("c")->state, STATE_ADOPTED);
	drain_and_stop("a", "dom-a");
	quiet_for(w.be, 2 * EAGER_MS);
}

static void test_a_new_launcher_goes_on_with_a_boot(void **state)
{
	(void)state;
	begin(SERVICE_AS("a", "1", "300", "destroy", LAZY));
	wake("a");
	expect_state("a", STATE_STARTING);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 5);
	expect_state("a", STATE_BOOTING);
	relaunch();
	connect_with(DOMAINS({ "dom-a", 5, DOMAIN_RUNNING }));
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	assert_int_equal(of("a")->state, STATE_BOOTING);
	expect_state("a", STATE_UP);
}

/* It died between the request and its answer. */
static void test_a_new_launcher_finds_what_the_old_one_asked_for(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", EAGER) "," SERVICE("b", "2", EAGER));
	wake("a");
	expect_start("dom-a");
	wake("b");
	say_result(expect_start("dom-b"), "dom-b", -EEXIST, "is running already", 3);
	settle();
	relaunch();
	connect_with(DOMAINS({ "dom-a", 5, DOMAIN_RUNNING }, { "dom-b", 3, DOMAIN_RUNNING }));
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	assert_int_equal(of("b")->state, STATE_ADOPTED);
	if (of("a")->state == STATE_BOOTING)
		expect_state("a", STATE_UP);
	else
		assert_int_equal(of("a")->state, STATE_UP);
	drain_and_stop("a", "dom-a");
}

/* A file that has become bad is not used, and the last good one is. */
static void test_a_new_launcher_with_a_bad_file(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", LAZY));
	write_conf("", "{\"name\":\"a\"}");
	expect_end(ask(CTL_RELOAD, "", true), -EINVAL);
	assert_non_null(strstr(got.end.text, "conf.json:1:"));
	relaunch();
	connect_with(NULL);
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	bring_up("a", "dom-a", 1);
}

/* ---- limits ---- */

static void test_no_more_run_than_may(void **state)
{
	(void)state;
	begin_limited("\"max_running\":1", SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY) "," SERVICE("c", "3", LAZY));
	bring_up("a", "dom-a", 1);
	wake("b");
	wake("c");
	quiet(w.be);
	quiet(w.dns);
	assert_non_null(strstr(field(CTL_SHOW, "b", "reason"), "limits.max_running"));
	ask(CTL_STOP, "a", true);
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", 0, "", -1);
	expect(w.control, MSG_CTL_END);
	expect_start("dom-b"); /* first come, first served */
	quiet(w.be);
}

static void test_no_more_start_at_once_than_may(void **state)
{
	uint32_t first;

	(void)state;
	begin_limited("\"max_starting\":1", SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY));
	wake("a");
	first = expect_start("dom-a");
	wake("b");
	quiet(w.be);
	say_result(first, "dom-a", -EIO, "broken", -1);
	expect_start("dom-b");
}

/* Memory counts what a domain has, as far as it is known. */
static void test_no_more_memory_than_may(void **state)
{
	(void)state;
	begin_with("\"memory\":\"24MiB\"", SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY));
	connect_with(DOMAINS({ "dom-a", -1, DOMAIN_OFF }, { "dom-b", -1, DOMAIN_OFF }));
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	bring_up("a", "dom-a", 1);
	wake("b");
	quiet(w.be);
	assert_non_null(strstr(field(CTL_SHOW, "b", "reason"), "limits.memory"));
}

/* Its client has given up by then: it is not started for nobody. */
static void test_who_waits_too_long_is_not_started(void **state)
{
	(void)state;
	begin_limited("\"max_running\":1", SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY ",\"max_hold\":\"200ms\""));
	bring_up("a", "dom-a", 1);
	wake("b");
	usleep(600 * 1000);
	assert_non_null(strstr(field(CTL_SHOW, "b", "last_error"), "waited"));
	ask(CTL_STOP, "a", true);
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", 0, "", -1);
	expect(w.control, MSG_CTL_END);
	quiet(w.be);
}

static void test_a_stop_takes_it_out_of_the_queue(void **state)
{
	(void)state;
	begin_limited("\"max_running\":1", SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY));
	bring_up("a", "dom-a", 1);
	wake("b");
	settle();
	expect_end(ask(CTL_STOP, "b", true), 0);
	ask(CTL_STOP, "a", true);
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", 0, "", -1);
	expect(w.control, MSG_CTL_END);
	quiet(w.be);
}

static void test_a_source_wakes_no_more_than_it_may(void **state)
{
	(void)state;
	begin_limited("\"wakes_per_source\":\"2/h\",\"max_starting\":8",
		   SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY) "," SERVICE("c", "3", LAZY));
	wake_from("a", 1, "192.0.2.1");
	expect_start("dom-a");
	wake_from("a", 2, "192.0.2.1"); /* wakes nothing, costs nothing */
	wake_from("b", 3, "192.0.2.200"); /* of the same network */
	expect_start("dom-b");
	expect_state("a", STATE_STARTING);
	expect_state("b", STATE_STARTING);
	wake_from("c", 4, "192.0.2.1");
	expect(w.dns, MSG_DNS_REFUSED);
	assert_int_equal(got.refused.token, 4);
	assert_non_null(strstr(got.refused.text, "wakes_per_source"));
	quiet(w.be);
	wake_from("c", 5, "198.51.100.1");
	expect_start("dom-c");
}

/* A wake while it stops starts it again, and so counts like any other. */
static void test_a_source_may_not_keep_restarting(void **state)
{
	uint32_t req;

	(void)state;
	begin_limited("\"wakes_per_source\":\"1/h\"", SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 1);
	req = drain_and_stop("a", "dom-a");
	wake_from("a", 4, "192.0.2.1");
	expect(w.dns, MSG_DNS_REFUSED);
	assert_int_equal(got.refused.token, 4);
	say_result(req, "dom-a", 0, "", -1);
	expect_state("a", STATE_OFF);
	quiet(w.be);
}

/* ---- another configuration ---- */

static void test_an_old_generation_is_the_past(void **state)
{
	struct msg_dns_service old;
	struct msg_wake m = { .token = 1 };
	struct msg_dns_state ack = { 0 };

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	old = *of("a");
	reload_with(SERVICE("b", "2", EAGER));
	inspected("dom-b", -1, DOMAIN_OFF);
	assert_int_equal(w.n, 1);
	assert_int_equal(of("b")->svc, old.svc);
	assert_int_not_equal(of("b")->gen, old.gen);
	m.svc = old.svc;
	m.gen = old.gen;
	say(w.dns, MSG_WAKE, &m);
	quiet(w.be);
	quiet(w.dns);
	bring_up("b", "dom-b", 1);
	expect_state("b", STATE_DRAINING);
	ack = got.state;
	ack.gen = old.gen;
	say(w.dns, MSG_DNS_STATE_ACK, &ack);
	quiet(w.be);
}

static void test_removed_while_up(void **state)
{
	uint32_t req;

	(void)state;
	begin(SERVICE("a", "1", EAGER) "," SERVICE("b", "2", LAZY));
	bring_up("b", "dom-b", 2);
	bring_up("a", "dom-a", 1);
	reload_with(SERVICE("b", "2", LAZY));
	assert_int_equal(w.n, 1);
	assert_int_equal(of("b")->state, STATE_UP);
	req = expect_target(MSG_BE_STOP, "dom-a");
	assert_string_equal(field(CTL_STATUS, "", "services"), "2");
	say_result(req, "dom-a", 0, "", -1);
	quiet(w.be);
	assert_string_equal(field(CTL_STATUS, "", "services"), "1");
	reload_with(SERVICE("b", "2", LAZY) "," SERVICE("a", "1", LAZY));
	inspected("dom-a", -1, DOMAIN_OFF);
	bring_up("a", "dom-a", 2);
}

/* It runs already, and is known to from the beginning. */
static void test_a_new_one_that_runs(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", LAZY));
	reload_with(SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY));
	assert_int_equal(of("b")->state, STATE_OFF);
	inspected("dom-b", 4, DOMAIN_RUNNING);
	expect_state("b", STATE_ADOPTED);
}

static void test_removed_and_back_before_it_was_off(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", LAZY));
	bring_up("a", "dom-a", 1);
	reload_with(SERVICE("b", "2", LAZY));
	inspected("dom-b", -1, DOMAIN_OFF);
	reload_with(SERVICE("a", "1", LAZY));
	assert_int_equal(of("a")->state, STATE_UP);
	quiet(w.be);
}

static void test_a_change_goes_on_as_it_is(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", LAZY));
	bring_up("a", "dom-a", 1);
	reload_with(SERVICE("a", "1", EAGER ",\"ttl\":7"));
	assert_int_equal(of("a")->state, STATE_UP);
	assert_int_equal(of("a")->ttl_s, 7);
	drain_and_stop("a", "dom-a");
}

/* ---- hostile peers ---- */

static void test_a_hostile_dns(void **state)
{
	static const uint32_t indices[] = { 1, 4095, 4096, UINT32_MAX };
	struct msg_be_result result = { .req = 1 };
	struct msg_ctl_request request = { .id = 1, .verb = CTL_START, .service = "a", .admin = true };
	struct msg_be_start start = { .req = 1 };

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	say(w.dns, MSG_BE_RESULT, &result);
	say(w.dns, MSG_BE_START, &start);
	say(w.dns, MSG_CTL_REQUEST, &request);
	say(w.dns, MSG_RELOAD, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(indices); i++) {
		struct msg_wake m = { .svc = indices[i], .gen = of("a")->gen, .token = 1 };
		struct msg_dns_state ack = { .svc = indices[i], .gen = of("a")->gen };
		struct msg_dns_answered answered = { .svc = indices[i], .gen = of("a")->gen };

		say(w.dns, MSG_WAKE, &m);
		say(w.dns, MSG_DNS_STATE_ACK, &ack);
		say(w.dns, MSG_DNS_ANSWERED, &answered);
		m.svc = of("a")->svc;
		m.cause = (uint8_t)(CAUSE_N + i);
		say(w.dns, MSG_WAKE, &m);
	}
	quiet(w.be);
	quiet(w.dns);
	quiet(w.control);
	wake("a");
	expect_start("dom-a");
}

/* A time from the future is not taken for one. */
static void test_a_wake_from_the_future(void **state)
{
	struct msg_wake m = { .token = 1, .t_ns = UINT64_MAX };

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	m.svc = of("a")->svc;
	m.gen = of("a")->gen;
	say(w.dns, MSG_WAKE, &m);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 1);
	expect_state("a", STATE_STARTING);
	expect_state("a", STATE_BOOTING);
	expect_state("a", STATE_UP);
	assert_in_range(strtoul(field(CTL_SHOW, "a", "last_wake_ms"), NULL, 10), 9, 5000);
}

static void test_nonsense_ends_the_channel(void **state)
{
	static const uint8_t nonsense[] = { 1, 0, 255, 255, 0 };

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	assert_int_equal(send(w.dns, nonsense, sizeof(nonsense), 0), sizeof(nonsense));
	expect(w.supervisor, MSG_STUCK);
	assert_int_equal(got.peer.role, ROLE_DNS);
	assert_int_equal(send(w.be, nonsense, sizeof(nonsense), 0), sizeof(nonsense));
	expect(w.supervisor, MSG_STUCK);
	assert_int_equal(got.peer.role, ROLE_BACKEND);
	assert_string_equal(got.peer.name, "hv");
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	connect_with(NULL);
	bring_up("a", "dom-a", 1);
}

static void test_a_hostile_control(void **state)
{
	struct msg_ctl_request m = { .id = 1, .verb = CTL_VERB_N, .admin = true };
	struct msg_ctl_cancel cancel = { .id = 12345 };
	struct msg_wake wake_up = { 0 };
	uint32_t id;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	wake_up.svc = of("a")->svc;
	wake_up.gen = of("a")->gen;
	say(w.control, MSG_CTL_REQUEST, &m);
	say(w.control, MSG_CTL_CANCEL, &cancel);
	say(w.control, MSG_WAKE, &wake_up);
	quiet(w.be);
	for (unsigned i = 0; i < 300; i++) { /* more than may wait; the last ones are told so */
		struct msg_ctl_request follow = { .id = 1000 + i, .verb = CTL_LOG, .n = 1, .follow = true };

		say(w.control, MSG_CTL_REQUEST, &follow);
	}
	while ((id = hear(w.control, WAIT_MS)) == MSG_CTL_ROW)
		;
	assert_int_equal(id, MSG_CTL_END);
	assert_int_equal(got.end.error, -EBUSY);
}

static void test_what_dns_has_counted(void **state)
{
	struct msg_dns_counts m = { .workers = 3, .n = DNS_COUNT_N };
	uint32_t first, second;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	m.counts[DNS_COUNT_UDP4].n = 5000000000;
	m.counts[DNS_COUNT_QUEUE_FULL].n = 1;
	say(w.dns, MSG_DNS_COUNTS, &m); /* nobody asked */
	first = ask(CTL_STATS, "", false);
	expect(w.dns, MSG_DNS_COUNTS_ASK);
	say(w.dns, MSG_DNS_COUNTS, &m);
	expect(w.control, MSG_CTL_ROW);
	assert_int_equal(got.row.n_fields, 1 + DNS_COUNT_N);
	assert_string_equal(got.row.fields[0].key, "workers");
	assert_string_equal(got.row.fields[0].value, "3");
	assert_string_equal(got.row.fields[1].key, "queries_udp4");
	assert_string_equal(got.row.fields[1].value, "5000000000");
	assert_string_equal(got.row.fields[DNS_COUNT_N].key, "queue_full");
	expect_end(first, 0);
	second = ask(CTL_STATS, "", false);
	expect(w.dns, MSG_DNS_COUNTS_ASK); /* and says nothing */
	expect_end(second, -ETIMEDOUT);
	hang_up(&w.dns);
	quiet(w.be);
	expect_end(ask(CTL_STATS, "", false), -ENOTCONN);
}

/* Nobody asked it to probe: what it says makes nothing ready. */
static void test_a_hostile_synproxy(void **state)
{
	struct msg_probe_event m = { .what = PROBE_DONE };
	struct msg_dns_state ack = { 0 };

	(void)state;
	begin(SERVICE_AS("a", "1", "10s", "destroy", LAZY));
	meet(&w.synproxy, ROLE_SYNPROXY);
	expect(w.synproxy, MSG_BEGIN);
	expect(w.synproxy, MSG_HOLD_CONF);
	expect(w.synproxy, MSG_END);
	wake("a");
	expect_state("a", STATE_STARTING);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 1);
	expect_state("a", STATE_BOOTING);
	m.svc = ack.svc = of("a")->svc;
	m.gen = ack.gen = of("a")->gen;
	say(w.synproxy, MSG_PROBE_EVENT, &m);
	m.what = 200;
	say(w.synproxy, MSG_PROBE_EVENT, &m);
	say(w.synproxy, MSG_DNS_STATE_ACK, &ack);
	quiet(w.dns);
}

static void test_a_hostile_backend(void **state)
{
	struct msg_wake m = { 0 };
	struct msg_be_event event = { .what = 200, .name = "dom-a" };

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	say_result(4711, "dom-a", 0, "", 1);
	say_domain(4711, &(struct domain){ "dom-a", 1, DOMAIN_RUNNING });
	end_list(4711);
	say_result(0, "dom-a", -EIO, "?", 1);
	say(w.be, MSG_BE_EVENT, &event);
	m.svc = of("a")->svc;
	m.gen = of("a")->gen;
	say(w.be, MSG_WAKE, &m);
	quiet(w.dns);
	quiet(w.be);
	assert_string_equal(state_of("a"), "off");
}

/* ---- late, lost, or twice ---- */

/* Its time was over and its end asked for: nobody is sent to it any more. */
static void test_a_start_that_comes_too_late(void **state)
{
	uint32_t start;

	(void)state;
	begin(SERVICE("a", "1", ",\"start_timeout\":\"100ms\""));
	wake("a");
	expect_state("a", STATE_STARTING);
	start = expect_start("dom-a");
	expect_state("a", STATE_FAILED);
	quiet(w.be); /* it may turn out to be somebody else's */
	say_result(start, "dom-a", 0, "", 4);
	quiet(w.dns);
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", 0, "", -1);
	quiet(w.dns);
	assert_string_equal(state_of("a"), "failed");
}

static void test_a_start_that_was_given_up_and_was_someone_elses(void **state)
{
	uint32_t start;

	(void)state;
	begin(SERVICE("a", "1", ",\"start_timeout\":\"100ms\""));
	wake("a");
	expect_state("a", STATE_STARTING);
	start = expect_start("dom-a");
	expect_state("a", STATE_FAILED);
	say_result(start, "dom-a", -EEXIST, "domain is already running", 4);
	expect_state("a", STATE_ADOPTED);
	quiet(w.be);
}

/* It died a moment ago, and nobody has noticed yet. */
static void test_a_start_by_a_backend_that_is_dead(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", LAZY));
	settle();
	kill(w.pid, SIGSTOP);
	wake("a");
	hang_up(&w.be);
	kill(w.pid, SIGCONT);
	quiet_for(w.supervisor, 0);
	connect_with(NULL);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 1);
	expect_state("a", STATE_STARTING);
	expect_state("a", STATE_BOOTING);
	expect_state("a", STATE_UP);
}

/* Each backend dies with it: that does not go on for ever. */
static void test_a_start_that_is_lost_again_and_again(void **state)
{
	uint64_t began;

	(void)state;
	begin(SERVICE("a", "1", ",\"start_timeout\":\"1s\""));
	wake("a");
	began = clock_now_ms();
	expect_state("a", STATE_STARTING);
	for (int i = 0; i < 3; i++) {
		expect_start("dom-a");
		usleep(200 * 1000);
		connect_with(NULL);
	}
	expect_state("a", STATE_FAILED);
	assert_in_range(clock_now_ms() - began, 995, 1500);
}

/* While the hypervisor has not said whether it will shut down, it is not up again. */
static void test_a_shutdown_that_is_answered_late(void **state)
{
	uint32_t stop;

	(void)state;
	begin(SERVICE_AS("a", "1", "10", "shutdown", EAGER ",\"stop_timeout\":\"100ms\""));
	bring_up("a", "dom-a", 3);
	stop = drain_and_stop("a", "dom-a");
	usleep(150 * 1000);
	quiet(w.dns);
	say_result(stop, "dom-a", 0, "", 3);
	inspected("dom-a", 3, DOMAIN_RUNNING);
	expect_state("a", STATE_UP);
}

/* How it is stopped is what was asked for then, whatever the record says by now. */
static void test_a_shutdown_and_then_another_record(void **state)
{
	uint32_t stop;

	(void)state;
	begin(SERVICE_AS("a", "1", "10", "shutdown", EAGER));
	bring_up("a", "dom-a", 3);
	stop = drain_and_stop("a", "dom-a");
	reload_with(SERVICE("a", "1", EAGER));
	say_result(stop, "dom-a", 0, "", 3);
	inspected("dom-a", 3, DOMAIN_RUNNING);
	quiet(w.dns);
	say_event("dom-a", EVENT_STOPPED, -1, "shutdown");
	expect_state("a", STATE_OFF);
}

static void test_force_for_what_never_got_ready(void **state)
{
	(void)state;
	begin(SERVICE_AS("a", "1", "200", "shutdown",
			 ",\"start_timeout\":\"250ms\",\"stop_timeout\":\"100ms\",\"stop_force\":true"));
	wake("a");
	expect_state("a", STATE_STARTING);
	usleep(120 * 1000);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 4);
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", 0, "", 4);
	inspected("dom-a", 4, DOMAIN_RUNNING);
	expect_target(MSG_BE_STOP, "dom-a");
	assert_int_equal(got.target.how, STOP_DESTROY);
}

/* Nothing is there that could be suspended: it is off, and not up. */
static void test_a_suspend_of_what_is_gone(void **state)
{
	uint32_t id, req;

	(void)state;
	begin(SERVICE_AS("a", "1", "10", "suspend", LAZY));
	wake("a");
	say_result(expect_start("dom-a"), "dom-a", -EIO, "broken", -1);
	expect_state("a", STATE_STARTING);
	expect_state("a", STATE_FAILED);
	id = ask(CTL_STOP, "a", true);
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", -ENOENT, "no such domain", -1);
	req = expect_target(MSG_BE_INSPECT, "dom-a");
	say_result(req, "dom-a", -ENOENT, "no such domain", -1);
	expect_state("a", STATE_STOPPING);
	expect_state("a", STATE_OFF);
	expect_end(id, 0);
}

static void test_saved_by_hand(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", LAZY));
	bring_up("a", "dom-a", 3);
	say_event("dom-a", EVENT_SAVED, -1, "saved");
	inspected("dom-a", -1, DOMAIN_SAVED);
	expect_state("a", STATE_OFF);
	expect_state("a", STATE_SAVED);
	bring_up("a", "dom-a", 4);
}

/* The answer to the first question may be older than the second event. */
static void test_an_end_while_an_earlier_one_is_looked_at(void **state)
{
	uint32_t req;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	bring_up("a", "dom-a", 5);
	say_event("dom-a", EVENT_STOPPED, 4, "destroyed");
	req = expect_target(MSG_BE_INSPECT, "dom-a");
	say_event("dom-a", EVENT_STOPPED, 5, "destroyed");
	say_domain(req, &(struct domain){ "dom-a", 5, DOMAIN_RUNNING });
	say_result(req, "dom-a", 0, "", 5);
	inspected("dom-a", -1, DOMAIN_OFF);
	expect_state("a", STATE_OFF);
}

/* dns may still send somebody there, until it says that it does not. */
static void test_a_silent_dns_keeps_it_up(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 3);
	expect_state("a", STATE_DRAINING);
	expect_state("a", STATE_UP);
	quiet_for(w.be, 0);
	drain_and_stop("a", "dom-a");
}

/* It could not be stopped, and clients would wait for that. */
static void test_idle_without_a_hypervisor(void **state)
{
	uint32_t id;

	(void)state;
	begin(SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 3);
	say_hello(false);
	quiet_for(w.dns, 2 * EAGER_MS);
	id = ask(CTL_STOP, "a", true);
	expect_end(id, -ENOTCONN);
	assert_non_null(strstr(got.end.text, "\"hv\" is not connected"));
	quiet(w.dns);
	connect_with(DOMAINS({ "dom-a", 3, DOMAIN_RUNNING }));
	drain_and_stop("a", "dom-a");
}

/* Who comes later waits as long as who came first. */
static void test_the_queue_waits_for_its_last_client(void **state)
{
	(void)state;
	begin_limited("\"max_running\":1", SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY ",\"max_hold\":\"500ms\""));
	bring_up("a", "dom-a", 1);
	wake("b");
	usleep(300 * 1000);
	wake_from("b", 2, "198.51.100.1");
	usleep(400 * 1000);
	ask(CTL_STOP, "a", true);
	say_result(expect_target(MSG_BE_STOP, "dom-a"), "dom-a", 0, "", -1);
	expect_start("dom-b");
}

/* The domain that runs is the one to be stopped; the next start is another's. */
static void test_another_domain_from_the_next_start_on(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 1);
	reload_with("{\"name\":\"a\",\"dns\":[\"a.jitsu.example\"],\"ip\":[\"10.77.0.1/24\"],\"machine\":{\"hypervisor\":"
		    "\"hv\",\"domain\":\"dom-z\"},\"ready\":[\"delay:10\"],\"stop\":\"destroy\"" EAGER "}");
	say_result(drain_and_stop("a", "dom-a"), "dom-a", 0, "", -1);
	expect_state("a", STATE_OFF);
	bring_up("a", "dom-z", 2);
	say_result(drain_and_stop("a", "dom-z"), "dom-z", 0, "", -1);
	expect_state("a", STATE_OFF);
	say_event("dom-z", EVENT_STARTED, 3, "started");
	inspected("dom-z", 3, DOMAIN_RUNNING);
	expect_state("a", STATE_ADOPTED);
}

/* Who waits for one that is configured no more is told. */
static void test_removed_while_an_operator_waits(void **state)
{
	uint32_t id;

	(void)state;
	begin_limited("\"max_running\":1", SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY));
	bring_up("a", "dom-a", 1);
	id = ask(CTL_START, "b", true);
	usleep(50 * 1000);
	reload_with(SERVICE("a", "1", LAZY));
	expect_end(id, -EIO);
}

/* A backend takes no more than 1024 requests at once: of many that are new, all are asked about all the same. */
static void test_many_new_services(void **state)
{
	enum { MANY = 1500, AT_ONCE = 256 };
	cleanup_free char *text = malloc(MANY * 256);
	static uint32_t reqs[MANY];
	unsigned n = 0, answered = 0;
	size_t at = 0;

	(void)state;
	assert_non_null(text);
	begin("");
	for (unsigned i = 0; i < MANY; i++)
		at += (size_t)snprintf(text + at, 256, "%s{\"name\":\"m%u\",\"dns\":[\"m%u.jitsu.example\"],\"ip\":[\"10.78.%u.%u/16\"],"
				       "\"machine\":{\"hypervisor\":\"hv\",\"domain\":\"dom-m%u\"},\"ready\":[\"delay:10\"]}",
				       i ? "," : "", i, i, i / 200, i % 200 + 2, i);
	write_conf("", text);
	say(w.supervisor, MSG_RELOAD, NULL);
	for (; n < AT_ONCE; n++) {
		expect(w.be, MSG_BE_INSPECT);
		reqs[n] = got.target.req;
	}
	quiet(w.be);
	while (answered < MANY) {
		say_result(reqs[answered++], "", -ENOENT, "Domain not found", -1);
		if (n == MANY)
			continue;
		expect(w.be, MSG_BE_INSPECT);
		reqs[n++] = got.target.req;
	}
	quiet(w.be);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static const struct CMUnitTest first_half[] = {
	CASE(test_dns_waits_for_what_runs),
	CASE(test_dns_is_told_without_a_hypervisor),
	CASE(test_a_new_dns_hears_everything_again),
	CASE(test_fifty_wakes_start_it_once),
	CASE(test_a_failure_backs_off),
	CASE(test_an_operator_does_not_wait_for_the_back_off),
	CASE(test_one_that_never_gets_ready_is_ended),
	CASE(test_one_that_never_gets_ready_is_shut_down_with_care),
	CASE(test_idle_is_stopped_after_the_acknowledgement),
	CASE(test_acknowledging_again_and_again_delays_nothing),
	CASE(test_asked_for_while_draining),
	CASE(test_woken_while_draining),
	CASE(test_an_answer_keeps_it_up),
	CASE(test_a_dead_dns_does_not_keep_it_up),
	CASE(test_woken_while_stopping),
	CASE(test_a_stop_that_fails_leaves_it_up),
	CASE(test_shutdown_waits_for_the_guest),
	CASE(test_shutdown_that_overtakes_a_look),
	CASE(test_shutdown_that_the_guest_ignores),
	CASE(test_shutdown_by_force),
	CASE(test_shutdown_of_what_is_off),
};

static const struct CMUnitTest second_half[] = {
	CASE(test_suspend_and_resume),
	CASE(test_resumed_from_outside),
	CASE(test_a_resume_that_fails),
	CASE(test_started_by_someone_else_is_never_stopped),
	CASE(test_manage_always),
	CASE(test_managed_by_a_reload),
	CASE(test_started_by_hand_while_off),
	CASE(test_restarted_by_hand_while_up),
	CASE(test_operators_start_and_stop),
	CASE(test_operators_stop_of_a_start),
	CASE(test_operators_stop_of_what_someone_else_started),
	CASE(test_operators_stop_of_a_start_that_fails),
	CASE(test_a_stop_that_fails_while_booting),
	CASE(test_a_stale_stop_is_not_believed),
	CASE(test_a_stale_stop_while_starting),
	CASE(test_the_guest_ends_while_booting),
	CASE(test_a_start_that_was_lost),
	CASE(test_a_start_whose_result_was_lost),
	CASE(test_a_stop_whose_result_was_lost),
	CASE(test_gone_meanwhile),
	CASE(test_an_event_within_the_list),
	CASE(test_a_list_that_fails),
	CASE(test_results_of_the_old_channel),
	CASE(test_a_new_launcher_knows_its_own),
	CASE(test_a_new_launcher_goes_on_with_a_boot),
	CASE(test_a_new_launcher_finds_what_the_old_one_asked_for),
	CASE(test_a_new_launcher_with_a_bad_file),
	CASE(test_no_more_run_than_may),
	CASE(test_no_more_start_at_once_than_may),
	CASE(test_no_more_memory_than_may),
	CASE(test_who_waits_too_long_is_not_started),
	CASE(test_a_stop_takes_it_out_of_the_queue),
	CASE(test_a_source_wakes_no_more_than_it_may),
	CASE(test_a_source_may_not_keep_restarting),
	CASE(test_an_old_generation_is_the_past),
	CASE(test_removed_while_up),
	CASE(test_a_new_one_that_runs),
	CASE(test_removed_and_back_before_it_was_off),
	CASE(test_a_change_goes_on_as_it_is),
	CASE(test_a_hostile_dns),
	CASE(test_a_wake_from_the_future),
	CASE(test_nonsense_ends_the_channel),
	CASE(test_a_hostile_control),
	CASE(test_a_hostile_synproxy),
	CASE(test_a_hostile_backend),
	CASE(test_a_start_that_comes_too_late),
	CASE(test_a_start_that_was_given_up_and_was_someone_elses),
	CASE(test_a_start_by_a_backend_that_is_dead),
	CASE(test_a_start_that_is_lost_again_and_again),
	CASE(test_a_shutdown_that_is_answered_late),
	CASE(test_a_shutdown_and_then_another_record),
	CASE(test_force_for_what_never_got_ready),
	CASE(test_a_suspend_of_what_is_gone),
	CASE(test_saved_by_hand),
	CASE(test_an_end_while_an_earlier_one_is_looked_at),
	CASE(test_a_silent_dns_keeps_it_up),
	CASE(test_idle_without_a_hypervisor),
	CASE(test_the_queue_waits_for_its_last_client),
	CASE(test_what_dns_has_counted),
	CASE(test_another_domain_from_the_next_start_on),
	CASE(test_removed_while_an_operator_waits),
	CASE(test_many_new_services),
};

/* Half of them in a process of its own, for most of the time is waiting.  What it says, `said`
 * keeps. */
static pid_t run_second_half(FILE *said)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(fileno(said), STDOUT_FILENO);
	dup2(fileno(said), STDERR_FILENO);
	exit(cmocka_run_group_tests(second_half, NULL, NULL));
}

int main(int argc, char **argv)
{
	FILE *said = tmpfile();
	int failed, status = -1, c;
	pid_t pid;

	if (!netns_enter_as_root())
		return 77;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	pid = said ? run_second_half(said) : -1;
	if (pid < 0)
		return 1;
	failed = cmocka_run_group_tests(first_half, NULL, NULL);
	waitpid(pid, &status, 0);
	rewind(said);
	while ((c = getc(said)) != EOF)
		putchar(c);
	return failed || status != 0;
}
