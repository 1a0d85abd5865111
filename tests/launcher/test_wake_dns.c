/* Which queries wake: the launcher process among peers that follow a script. */
#include "tests/launcher/peers.h"

static void wake_unverified(const char *name, uint32_t token, const char *client)
{
	wake_as(name, token, client, false);
}

static void expect_refused_(uint32_t token, enum refused_how how, const char *why, const char *file, int line)
{
	expect_(w.dns, MSG_DNS_REFUSED, file, line);
	_assert_int_equal(got.refused.token, token, file, line);
	_assert_int_equal(got.refused.how, how, file, line);
	if (!strstr(got.refused.text, why)) {
		print_error("\"%s\" does not name %s\n", got.refused.text, why);
		_fail(file, line);
	}
}
#define expect_refused(token, how, why) expect_refused_(token, how, why, __FILE__, __LINE__)

#define A(more) SERVICE("a", "1", LAZY more)
#define B SERVICE("b", "2", LAZY)
#define C SERVICE("c", "3", LAZY)

/* ---- wake_dns ---- */

static void test_what_dns_is_told(void **state)
{
	(void)state;
	begin(A(",\"wake_dns\":\"verified\",\"ttl\":\"60s\",\"ttl_down\":\"5s\",\"fallback_ip\":[\"192.0.2.9\"]")
	      "," B);
	assert_int_equal(of("a")->wake_dns, WAKE_DNS_VERIFIED);
	assert_int_equal(of("a")->ttl_s, 60);
	assert_int_equal(of("a")->ttl_down_s, 5);
	assert_int_equal(of("a")->n_fallback, 1);
	assert_int_equal(of("b")->wake_dns, WAKE_DNS_ANY);
	assert_int_equal(of("b")->ttl_down_s, of("b")->ttl_s);
	assert_int_equal(of("b")->n_fallback, 0);
}

/* Nothing is held here: who may not wake it must not be sent to it. */
static void test_when_it_is_answered(void **state)
{
	(void)state;
	begin(A(",\"wake_dns\":\"off\"") "," SERVICE("b", "2", LAZY ",\"wake_dns\":\"off\",\"answer\":\"ready\"") ","
	      SERVICE("c", "3", LAZY ",\"wake_dns\":\"verified\",\"answer\":\"at-once\"") ","
	      SERVICE("d", "4", LAZY ",\"answer\":\"at-once\""));
	assert_int_equal(of("a")->answer, ANSWER_AT_ONCE);
	assert_int_equal(of("b")->answer, ANSWER_READY);
	assert_int_equal(of("c")->answer, ANSWER_STARTED);
	assert_int_equal(of("d")->answer, ANSWER_AT_ONCE);
}

static void test_off(void **state)
{
	(void)state;
	begin(A(",\"wake_dns\":\"off\""));
	wake_from("a", 1, "192.0.2.1");
	expect_refused(1, REFUSED_FAIL, "wake_dns");
	wake_from("a", 0, "192.0.2.1");
	quiet(w.be);
	quiet(w.dns);
	assert_string_equal(field(CTL_SHOW, "a", "dns_wakes_refused"), "2");
	assert_string_equal(field(CTL_SHOW, "a", "wake_dns"), "off");
}

static void test_verified(void **state)
{
	(void)state;
	begin(A(",\"wake_dns\":\"verified\""));
	wake_unverified("a", 1, "192.0.2.1");
	expect_refused(1, REFUSED_PROVE, "wake_dns");
	quiet(w.be);
	wake_from("a", 2, "192.0.2.1");
	expect_start("dom-a");
}

/* ---- allowances ---- */

static void test_all_who_are_not_verified_share(void **state)
{
	(void)state;
	begin_limited("\"wakes_unverified\":\"1/h\",\"max_starting\":8", A() "," B);
	wake_unverified("a", 1, "192.0.2.1");
	expect_start("dom-a");
	expect_state("a", STATE_STARTING);
	wake_unverified("b", 2, "198.51.100.1");
	expect_refused(2, REFUSED_PROVE, "wakes_unverified");
	wake_unverified("b", 0, "198.51.100.1"); /* nobody waits, nobody is told */
	quiet(w.be);
	wake_from("b", 3, "198.51.100.1"); /* it has shown who it is */
	expect_start("dom-b");
}

static void test_a_network_has_one_of_each_kind(void **state)
{
	(void)state;
	begin_limited("\"wakes_per_source\":\"1/h\",\"max_starting\":8", A() "," B "," C);
	wake_unverified("a", 1, "192.0.2.1");
	expect_start("dom-a");
	expect_state("a", STATE_STARTING);
	wake_unverified("b", 2, "192.0.2.2");
	expect_refused(2, REFUSED_PROVE, "wakes_per_source");
	wake_from("b", 3, "192.0.2.3");
	expect_start("dom-b");
	expect_state("b", STATE_STARTING);
	wake_from("c", 4, "192.0.2.4");
	expect_refused(4, REFUSED_FAIL, "wakes_per_source");
}

static void test_a_service_has_one_of_each_kind(void **state)
{
	uint32_t req;

	(void)state;
	begin_limited("\"wakes_per_service\":\"1/h\"", SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 1);
	req = drain_and_stop("a", "dom-a");
	say_result(req, "dom-a", 0, "", -1);
	expect_state("a", STATE_OFF);
	wake_from("a", 2, "198.51.100.1");
	expect_refused(2, REFUSED_FAIL, "wakes_per_service");
	wake_unverified("a", 3, "203.0.113.1");
	expect_start("dom-a");
}

static void test_one_token_is_not_taken_without_the_others(void **state)
{
	(void)state;
	begin_limited("\"wakes_unverified\":\"1/h\",\"wakes_per_source\":\"1/h\",\"max_starting\":8",
		      A() "," B "," C);
	wake_unverified("a", 1, "192.0.2.1");
	expect_start("dom-a");
	expect_state("a", STATE_STARTING);
	wake_unverified("b", 2, "192.0.2.1"); /* over its network's */
	expect_refused(2, REFUSED_PROVE, "wakes_per_source");
	wake_unverified("b", 3, "198.51.100.1");
	expect_refused(3, REFUSED_PROVE, "wakes_unverified");
	wake_unverified("b", 4, "198.51.100.1"); /* that cost its network nothing */
	expect_refused(4, REFUSED_PROVE, "wakes_unverified");
}

/* Many refusals leave the trace of what truly happened alone. */
static void test_a_flood_is_not_traced(void **state)
{
	(void)state;
	begin_limited("\"wakes_unverified\":\"1/h\",\"max_starting\":8", A() "," B);
	wake_unverified("a", 1, "192.0.2.1");
	expect_start("dom-a");
	expect_state("a", STATE_STARTING);
	for (uint32_t i = 0; i < 100; i++)
		wake_unverified("b", 0, "198.51.100.1");
	settle();
	assert_string_equal(field(CTL_SHOW, "b", "dns_wakes_refused"), "100");
	ask(CTL_TRACE, "b", false);
	expect(w.control, MSG_CTL_END); /* no row */
}

/* ---- the limits of the host ---- */

static void test_half_of_the_starts_is_left_for_others(void **state)
{
	(void)state;
	begin_limited("\"max_starting\":2", A() "," B "," C);
	wake_unverified("a", 1, "192.0.2.1");
	expect_start("dom-a");
	expect_state("a", STATE_STARTING);
	wake_unverified("b", 2, "192.0.2.1");
	quiet(w.be);
	assert_non_null(strstr(field(CTL_SHOW, "b", "reason"), "not verified"));
	wake_from("c", 3, "192.0.2.1");
	expect_start("dom-c");
	expect_state("c", STATE_STARTING);
	wake_from("b", 4, "192.0.2.1"); /* somebody else wants it, and there is no place for him either */
	quiet(w.be);
	assert_non_null(strstr(field(CTL_SHOW, "b", "reason"), "2 of 2"));
}

static void test_half_of_the_places_is_left_for_others(void **state)
{
	(void)state;
	begin_limited("\"max_running\":2,\"max_starting\":8", A() "," B "," C);
	wake_unverified("a", 1, "192.0.2.1");
	say_result(expect_start("dom-a"), "dom-a", 0, "", 1);
	expect_state("a", STATE_STARTING);
	expect_state("a", STATE_BOOTING);
	expect_state("a", STATE_UP);
	wake_unverified("b", 2, "192.0.2.1"); /* nobody has come to the first */
	quiet(w.be);
	wake_from("c", 3, "192.0.2.1");
	expect_start("dom-c");
}

static void test_those_who_are_verified_come_first(void **state)
{
	(void)state;
	begin_limited("\"max_starting\":1", A() "," B "," C);
	wake_unverified("a", 1, "192.0.2.1");
	expect_state("a", STATE_STARTING);
	wake_unverified("b", 2, "192.0.2.1");
	wake_from("c", 3, "192.0.2.1");
	settle();
	say_result(expect_start("dom-a"), "dom-a", 0, "", 1);
	expect_start("dom-c"); /* and not dom-b, which was wanted before */
}

static void test_wanted_by_somebody_else_too(void **state)
{
	(void)state;
	begin_limited("\"max_starting\":1", A() "," B "," C);
	wake_from("a", 1, "192.0.2.1");
	expect_state("a", STATE_STARTING);
	wake_unverified("b", 2, "192.0.2.1");
	wake_unverified("c", 3, "192.0.2.1");
	wake_from("c", 4, "192.0.2.1");
	settle();
	say_result(expect_start("dom-a"), "dom-a", 0, "", 1);
	expect_start("dom-c");
}

/* ---- about to be stopped ---- */

static void test_a_flood_does_not_keep_it_up(void **state)
{
	(void)state;
	begin_limited("\"wakes_unverified\":\"1/h\"", SERVICE("a", "1", EAGER));
	wake_unverified("a", 1, "192.0.2.1");
	expect_state("a", STATE_STARTING);
	say_result(expect_start("dom-a"), "dom-a", 0, "", 1);
	expect_state("a", STATE_BOOTING);
	expect_state("a", STATE_UP);
	expect_state("a", STATE_DRAINING);
	wake_unverified("a", 2, "192.0.2.2");
	say(w.dns, MSG_DNS_STATE_ACK, &got.state);
	expect_refused(2, REFUSED_PROVE, "wakes_unverified");
	expect_state("a", STATE_STOPPING);
}

static void test_who_is_verified_keeps_it_up(void **state)
{
	struct msg_dns_state draining;

	(void)state;
	begin_limited("\"wakes_per_source\":\"1/h\"", SERVICE("a", "1", EAGER));
	bring_up("a", "dom-a", 1);
	expect_state("a", STATE_DRAINING);
	draining = got.state;
	wake_from("a", 2, "192.0.2.1");
	expect_state("a", STATE_UP);
	say(w.dns, MSG_DNS_STATE_ACK, &draining);
}

#define LAUNCHER(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		LAUNCHER(test_what_dns_is_told),
		LAUNCHER(test_when_it_is_answered),
		LAUNCHER(test_off),
		LAUNCHER(test_verified),
		LAUNCHER(test_all_who_are_not_verified_share),
		LAUNCHER(test_a_network_has_one_of_each_kind),
		LAUNCHER(test_a_service_has_one_of_each_kind),
		LAUNCHER(test_one_token_is_not_taken_without_the_others),
		LAUNCHER(test_a_flood_is_not_traced),
		LAUNCHER(test_half_of_the_starts_is_left_for_others),
		LAUNCHER(test_half_of_the_places_is_left_for_others),
		LAUNCHER(test_those_who_are_verified_come_first),
		LAUNCHER(test_wanted_by_somebody_else_too),
		LAUNCHER(test_a_flood_does_not_keep_it_up),
		LAUNCHER(test_who_is_verified_keeps_it_up),
	};

	if (!netns_enter_as_root())
		return 77;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("launcher/wake_dns", tests, NULL, NULL);
}
