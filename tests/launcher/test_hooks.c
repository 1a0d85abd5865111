/* What the launcher tells the process of hooks, and that it does not wait for it. */
#include "tests/launcher/peers.h"

#define HOOKS(on, more) \
	"},\"hooks\":[{\"on\":[" on "],\"exec\":\"/bin/hook\",\"timeout\":\"7s\"}" more "],\"metrics\":{\"services\":false"
#define ALL "\"up\",\"failed\",\"stopped\",\"all-idle\""

static int hooks = -1;

static int end(void **state)
{
	hang_up(&hooks);
	return teardown(state);
}

static const struct msg_hook_event *hear_event(enum hook_event event)
{
	const struct msg_hook_event *m = (const void *)&got;

	expect(hooks, MSG_HOOK_EVENT);
	assert_int_equal(m->event, event);
	return m;
}

static void test_hooks_are_told(void **state)
{
	const struct msg_hook *m = (const void *)&got;

	(void)state;
	begin_limited(HOOKS("\"up\",\"all-idle\"", ",{\"on\":[\"failed\"],\"webhook\":\"https://localhost/x\"}"),
		      SERVICE("www", "20", LAZY));
	meet(&hooks, ROLE_HOOKS);
	expect(hooks, MSG_BEGIN);
	expect(hooks, MSG_HOOK);
	assert_int_equal(m->on, 1u << HOOK_UP | 1u << HOOK_ALL_IDLE);
	assert_string_equal(m->exec, "/bin/hook");
	assert_string_equal(m->webhook, "");
	assert_int_equal(m->timeout_ms, 7000);
	expect(hooks, MSG_HOOK);
	assert_int_equal(m->on, 1u << HOOK_FAILED);
	assert_string_equal(m->exec, "");
	assert_string_equal(m->webhook, "https://localhost/x");
	expect(hooks, MSG_END);
}

static void begin_all(const char *services)
{
	begin_limited(HOOKS(ALL, ""), services);
	meet(&hooks, ROLE_HOOKS);
	expect(hooks, MSG_BEGIN);
	expect(hooks, MSG_HOOK);
	expect(hooks, MSG_END);
}

static void test_a_life(void **state)
{
	const struct msg_hook_event *m;
	char client[ADDR_TEXT_MAX];

	(void)state;
	begin_all(SERVICE("www", "20", EAGER) "," SERVICE("mail", "21", LAZY));
	bring_up("www", "dom-www", 1);
	m = hear_event(HOOK_UP);
	assert_string_equal(m->service, "www");
	assert_int_equal(m->cause, CAUSE_DNS);
	assert_string_equal(ip_format(&m->client, client), "192.0.2.1");
	assert_true(m->wall_ms <= clock_wall_ms() && m->wall_ms + 60000 > clock_wall_ms());
	drain_and_stop("www", "dom-www");
	say_event("dom-www", EVENT_STOPPED, -1, "destroyed");
	m = hear_event(HOOK_STOPPED);
	assert_string_equal(m->service, "www");
	assert_non_null(strstr(m->reason, "idle"));
	m = hear_event(HOOK_ALL_IDLE);
	assert_string_equal(m->service, "");
	quiet(hooks);
}

static void test_a_failure(void **state)
{
	const struct msg_hook_event *m;
	uint32_t req;

	(void)state;
	begin_all(SERVICE("www", "20", LAZY));
	wake("www");
	expect_state("www", STATE_STARTING);
	req = expect_start_("dom-www", __FILE__, __LINE__);
	say_result(req, "dom-www", -EIO, "no such kernel", -1);
	m = hear_event(HOOK_FAILED);
	assert_string_equal(m->service, "www");
	assert_non_null(strstr(m->reason, "no such kernel"));
	quiet(hooks); /* nothing ran, so nothing has stopped */
}

/* Nobody reads, or nobody is there: services go on. */
static void test_nobody_waits_for_it(void **state)
{
	(void)state;
	begin_all(SERVICE("www", "20", EAGER));
	hang_up(&hooks);
	settle();
	bring_up("www", "dom-www", 1);
	drain_and_stop("www", "dom-www");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_hooks_are_told),
		TEST(test_a_life),
		TEST(test_a_failure),
		TEST(test_nobody_waits_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
