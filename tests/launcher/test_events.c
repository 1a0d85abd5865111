/* What control hears while somebody watches; and what it hears of zones. */
#include "tests/launcher/peers.h"

static void watch(bool on)
{
	struct msg_ctl_watch m = { .on = on };

	say(w.control, MSG_CTL_WATCH, &m);
}

/* The next event; rows and ends of requests are passed over. */
static struct msg_ctl_event next_event(void)
{
	static struct msg_ctl_event m;
	enum msg_type type;

	while ((type = hear(w.control, WAIT_MS)) != MSG_CTL_EVENT)
		assert_int_not_equal(type, 0);
	memcpy(&m, &got, sizeof(m));
	return m;
}

static struct msg_ctl_event expect_moved(enum service_state before, enum service_state state, const char *why)
{
	struct msg_ctl_event m = next_event();

	assert_int_equal(m.event, CTL_EVENT_STATE);
	assert_string_equal(m.service, "a");
	assert_int_equal(m.before, before);
	assert_int_equal(m.state, state);
	if (!strstr(m.text, why))
		fail_msg("\"%s\" is not in \"%s\"", why, m.text);
	return m;
}

static struct msg_ctl_event expect_wake(enum ctl_event event)
{
	struct msg_ctl_event m = next_event();
	char client[ADDR_TEXT_MAX];

	assert_int_equal(m.event, event);
	assert_string_equal(m.service, "a");
	assert_int_equal(m.cause, CAUSE_DNS);
	assert_string_equal(ip_format(&m.client, client), "192.0.2.1");
	return m;
}

static void test_a_wake_from_its_cause_to_its_end(void **state)
{
	struct msg_ctl_event m;
	uint64_t wake, number;

	(void)state;
	begin(SERVICE("a", "1", EAGER));
	watch(true);
	m = next_event();
	assert_int_equal(m.event, CTL_EVENT_BEGIN);
	number = m.number;
	bring_up("a", "dom-a", 7);
	m = expect_wake(CTL_EVENT_WAKE);
	assert_int_equal(m.number, number + 1);
	wake = m.wake;
	expect_moved(STATE_OFF, STATE_STARTING, "wake");
	expect_moved(STATE_STARTING, STATE_BOOTING, "started");
	m = expect_moved(STATE_BOOTING, STATE_UP, "ready");
	assert_int_equal(m.number, number + 4);
	assert_true(m.wall_ms > 0);
	m = expect_wake(CTL_EVENT_WOKEN);
	assert_int_equal(m.wake, wake);
	assert_string_equal(m.result, "up");
	assert_true(m.ms < 60000);
	say_result(drain_and_stop("a", "dom-a"), "dom-a", 0, "", -1);
	expect_moved(STATE_UP, STATE_DRAINING, "idle");
	expect_moved(STATE_DRAINING, STATE_STOPPING, "no traffic for");
	m = expect_moved(STATE_STOPPING, STATE_OFF, "no traffic for");
	assert_int_equal(m.number, number + 8);
}

static void test_a_failure_says_why(void **state)
{
	struct msg_ctl_event m;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	watch(true);
	next_event();
	wake("a");
	expect_state("a", STATE_STARTING);
	say_result(expect_start("dom-a"), "dom-a", -EIO, "no such kernel", -1);
	expect_wake(CTL_EVENT_WAKE);
	expect_moved(STATE_OFF, STATE_STARTING, "wake");
	expect_moved(STATE_STARTING, STATE_FAILED, "no such kernel");
	m = expect_wake(CTL_EVENT_WOKEN);
	assert_string_equal(m.result, "failed");
	assert_non_null(strstr(m.text, "no such kernel"));
}

static void test_a_stop_from_outside_says_so(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", LAZY));
	bring_up("a", "dom-a", 7);
	watch(true);
	assert_int_equal(next_event().number, 5); /* counted, though nobody watched */
	say_event("dom-a", EVENT_STOPPED, -1, "destroyed");
	inspected("dom-a", -1, DOMAIN_OFF);
	expect_moved(STATE_UP, STATE_OFF, "stopped by itself, or was stopped from outside");
}

static void test_revisions_are_events(void **state)
{
	struct msg_ctl_request ask = { .id = 1, .verb = CTL_ADD, .admin = true, .uid = 4242 };
	struct msg_ctl_event m;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	watch(true);
	next_event();
	str_copy(ask.record, SERVICE("b", "2", LAZY));
	say(w.control, MSG_CTL_REQUEST, &ask);
	m = next_event();
	assert_int_equal(m.event, CTL_EVENT_REVISION);
	assert_string_equal(m.service, "b");
	assert_int_equal(m.revision, 1);
	assert_int_equal(m.changes, 1);
	assert_int_equal(m.uid, 4242);
	assert_non_null(strstr(m.text, "add"));
	ask.dry_run = true;
	ask.verb = CTL_REMOVE;
	str_copy(ask.service, "b");
	ask.record[0] = '\0';
	say(w.control, MSG_CTL_REQUEST, &ask);
	ask.dry_run = false;
	say(w.control, MSG_CTL_REQUEST, &ask);
	m = next_event();
	assert_int_equal(m.revision, 2); /* the dry one is none */
}

static void test_reloads_are_events(void **state)
{
	struct msg_ctl_event m;
	uint32_t id;

	(void)state;
	begin(SERVICE("a", "1", LAZY));
	watch(true);
	next_event();
	write_conf("", SERVICE("a", "1", LAZY ",\"ttl\":\"abc\",\"tll\":\"1s\""));
	id = ask(CTL_RELOAD, "", true);
	m = next_event();
	assert_int_equal(m.event, CTL_EVENT_RELOAD);
	assert_string_equal(m.result, "refused");
	assert_non_null(strstr(m.text, "services[0].t"));
	assert_non_null(strstr(m.text, " (and 1 more)"));
	assert_null(strchr(m.text, '\n'));
	expect_end(id, -EINVAL);
	write_conf("", SERVICE("a", "1", LAZY) "," SERVICE("b", "2", LAZY));
	say(w.supervisor, MSG_RELOAD, NULL);
	m = next_event();
	assert_int_equal(m.event, CTL_EVENT_RELOAD);
	assert_string_equal(m.service, "");
	assert_string_equal(m.result, "done");
	assert_string_equal(m.text, "2 services");
}

static void test_nobody_watches_any_more(void **state)
{
	(void)state;
	begin(SERVICE("a", "1", LAZY));
	watch(true);
	next_event();
	watch(false);
	bring_up("a", "dom-a", 7);
	assert_int_equal(hear(w.control, QUIET_MS), 0);
	watch(true);
	next_event();
	meet_control(); /* another control: it has not asked */
	say_event("dom-a", EVENT_STOPPED, -1, "destroyed");
	inspected("dom-a", -1, DOMAIN_OFF);
	expect_state("a", STATE_OFF);
	assert_int_equal(hear(w.control, QUIET_MS), 0);
}

static const char *value_of(const char *key)
{
	for (uint16_t i = 0; i < got.row.n_fields; i++) {
		if (strcmp(got.row.fields[i].key, key) == 0)
			return got.row.fields[i].value;
	}
	return "absent";
}

static void test_zones_are_rows(void **state)
{
	struct msg_ctl_request ask = { .id = 1, .verb = CTL_ZONES };
	struct msg_dns_zone_serial serial = { .zone = "jitsu.example", .serial = 4000000000u };

	(void)state;
	w.zone = ",\"secondaries\":[{\"address\":\"192.0.2.53\"},{\"address\":\"192.0.2.54\",\"port\":5353}]";
	begin(SERVICE("a", "1", LAZY));
	say(w.control, MSG_CTL_REQUEST, &ask);
	expect(w.control, MSG_CTL_ROW);
	assert_string_equal(value_of("zone"), "jitsu.example");
	assert_string_equal(value_of("serial"), ""); /* dns has not said it yet */
	assert_string_equal(value_of("signed"), "false");
	assert_string_equal(value_of("phase"), "off");
	assert_string_equal(value_of("secondaries"), "192.0.2.53 port 53");
	expect(w.control, MSG_CTL_END);
	assert_int_equal(got.end.error, 0);
	say(w.dns, MSG_DNS_ZONE_SERIAL, &serial);
	for (int i = 0; strcmp(value_of("serial"), "4000000000") != 0; i++) {
		assert_true(i < 100);
		say(w.control, MSG_CTL_REQUEST, &ask);
		expect(w.control, MSG_CTL_ROW);
		if (strcmp(value_of("serial"), "4000000000") == 0)
			break;
		expect(w.control, MSG_CTL_END);
	}
	w.zone = NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_a_wake_from_its_cause_to_its_end),
		TEST(test_a_failure_says_why),
		TEST(test_a_stop_from_outside_says_so),
		TEST(test_revisions_are_events),
		TEST(test_reloads_are_events),
		TEST(test_nobody_watches_any_more),
		TEST(test_zones_are_rows),
	};

	loads_at_once = true;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
