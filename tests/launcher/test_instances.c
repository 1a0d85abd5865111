/* Templates and their instances, as the launcher makes and ends them for what dns says, in a network namespace of the
 * test's own.  Their VMs do not start here: their kernel is not there. */
#include "tests/launcher/peers.h"

/* `more` follows a comma. */
#define TEMPLATE_OF(name, host, more)                                                              \
	"{\"name\":\"" name "\",\"dns\":[\"*." host "\"],\"ip\":[\"auto\"],"                       \
	"\"machine\":{\"hypervisor\":\"hv\",\"kernel\":\"%s/k\"}" more "}"
#define TEMPLATE_AT(name, host, more) TEMPLATE_OF(name, host, ",\"hold\":\"off\"" more)
#define TEMPLATE_HELD(more) TEMPLATE_OF("vm", "vm.jitsu.example", ",\"hold\":\"park\"" more)
#define TEMPLATE(more) TEMPLATE_AT("vm", "vm.jitsu.example", more)

static const char *in_dir(const char *text)
{
	static char room[4096];

	snprintf(room, sizeof(room), text, w.dir, w.dir, w.dir);
	return room;
}

static int setup_instances(void **state) { return setup_on_bridge(state, NULL, "\"10.77.0.101-10.77.0.106/24\""); }

static void ask_for_as(const char *label, const char *client, bool verified)
{
	struct msg_wake m = { .svc = of("vm")->svc, .gen = of("vm")->gen, .token = 7, .verified = verified,
			      .t_ns = clock_now_ns() };

	assert_int_equal(ip_parse(client, &m.client), 0);
	str_copy(m.label, label);
	say(w.dns, MSG_WAKE, &m);
}

static void ask_for(const char *label) { ask_for_as(label, "192.0.2.1", true); }

/* ... and dns has it. */
static void made(const char *label, const char *name, unsigned last)
{
	ask_for(label);
	hear_snapshot_after_states();
	assert_int_equal(of(name)->addrs[0].b[15], last);
}

static void not_made(enum refused_how how, const char *words)
{
	enum msg_type type;

	while ((type = hear(w.dns, WAIT_MS)) == MSG_DNS_STATE)
		;
	assert_int_equal(type, MSG_DNS_REFUSED);
	assert_int_equal(got.refused.token, 7);
	assert_int_equal(got.refused.svc, of("vm")->svc);
	assert_int_equal(got.refused.how, how);
	if (!strstr(got.refused.text, words))
		fail_msg("\"%s\" is not in \"%s\"", words, got.refused.text);
}

static unsigned number_of(const char *name, const char *key)
{
	return (unsigned)strtoul(field(CTL_SHOW, name, key), NULL, 10);
}

/* ---- making ---- */

static void test_one_for_each_name(void **state)
{
	(void)state;
	begin(in_dir(TEMPLATE("")));
	assert_true(of("vm")->template4);
	assert_false(of("vm")->template6);
	assert_int_equal(of("vm")->n_addrs, 0);
	assert_string_equal(of("vm")->names[0].text, "*.vm.jitsu.example");
	made("a", "vm-a", 101);
	assert_string_equal(of("vm-a")->names[0].text, "a.vm.jitsu.example");
	assert_false(of("vm-a")->template4);
	made("b", "vm-b", 102);
	assert_int_equal(of("vm-a")->addrs[0].b[15], 101);
	assert_int_equal(number_of("vm", "instances"), 2);
	assert_string_equal(field(CTL_SHOW, "vm-a", "template"), "vm");
	assert_string_equal(field(CTL_SHOW, "vm-a", "origin"), "instance");
	assert_string_equal(field(CTL_SHOW, "vm-a", "woken_by"), "dns");
	ask_for("a"); /* it is there */
	settle();
	assert_int_equal(number_of("vm", "instances"), 2);
}

static void test_names(void **state)
{
	(void)state;
	begin(in_dir(TEMPLATE("") "," TEMPLATE_AT("vm-a", "other.jitsu.example", "")));
	made("b", "vm-b", 101);
	/* its plain name is the template's */
	ask_for("a");
	hear_snapshot_after_states();
	assert_int_equal(w.n, 4);
	for (unsigned i = 0; i < w.n; i++) {
		const struct msg_dns_service *s = &w.services[i];

		assert_true(strlen(s->name) <= 40);
		if (strcmp(s->names[0].text, "a.vm.jitsu.example") == 0)
			assert_int_equal(strlen(s->name), strlen("vm-a-01234567"));
	}
	/* a long one, and one that is like it */
	ask_for("a123456789012345678901234567890123456789012345678901234567890-x");
	hear_snapshot_after_states();
	ask_for("a123456789012345678901234567890123456789012345678901234567890-y");
	hear_snapshot_after_states();
	assert_int_equal(w.n, 6);
	assert_int_equal(number_of("vm", "instances"), 4);
}

static void test_no_labels(void **state)
{
	static const char *const labels[] = { "", "-a", "a-", "A", "a.b", "a_b", "*", "a b", "\xc3\xa4" };

	(void)state;
	begin(in_dir(TEMPLATE("")));
	for (size_t i = 0; i < ARRAY_SIZE(labels); i++)
		ask_for(labels[i]);
	quiet(w.dns);
	assert_int_equal(number_of("vm", "instances"), 0);
}

/* ---- limits ---- */

static void test_no_more_than_max_instances(void **state)
{
	(void)state;
	begin(in_dir(TEMPLATE(",\"max_instances\":2")));
	made("a", "vm-a", 101);
	made("b", "vm-b", 102);
	ask_for("c");
	not_made(REFUSED_FULL, "there are 2 already (max_instances)");
	assert_int_equal(number_of("vm", "instances"), 2);
}

static void test_half_for_those_who_may_be_anybody(void **state)
{
	char label[16], client[32];

	(void)state;
	begin(in_dir(TEMPLATE(",\"max_instances\":4")));
	for (unsigned i = 0; i < 2; i++) {
		snprintf(label, sizeof(label), "f%u", i);
		snprintf(client, sizeof(client), "198.51.%u.1", i);
		ask_for_as(label, client, false);
		hear_snapshot_after_states();
	}
	for (unsigned i = 2; i < 20; i++) {
		snprintf(label, sizeof(label), "f%u", i);
		snprintf(client, sizeof(client), "198.51.%u.1", i);
		ask_for_as(label, client, false);
		not_made(REFUSED_PROVE, "have half of max_instances");
	}
	made("a", "vm-a", 103);
	/* one of theirs is somebody's now */
	ask_for("f0");
	ask_for_as("f30", "198.51.100.1", false);
	not_made(REFUSED_PROVE, "have half of max_instances");
	made("b", "vm-b", 104);
	ask_for("c");
	not_made(REFUSED_FULL, "max_instances");
}

static void test_allowances(void **state)
{
	(void)state;
	begin_limited("\"wakes_per_source\":\"2/h\"", in_dir(TEMPLATE("")));
	made("a", "vm-a", 101);
	made("b", "vm-b", 102);
	ask_for("c");
	not_made(REFUSED_FAIL, "limits.wakes_per_source");
	ask_for_as("c", "192.0.3.1", true);
	hear_snapshot_after_states();
	assert_int_equal(w.n, 4);
}

static void test_the_pool_is_empty(void **state)
{
	(void)state;
	w.pools = "\"10.77.0.101-10.77.0.102/24\"";
	begin(in_dir(TEMPLATE("")));
	made("a", "vm-a", 101);
	made("b", "vm-b", 102);
	ask_for("c");
	not_made(REFUSED_FAIL, "have no address left");
	assert_int_equal(number_of("vm", "instances"), 2);
}

static void test_only_for_the_verified(void **state)
{
	(void)state;
	begin(in_dir(TEMPLATE(",\"wake_dns\":\"verified\"")));
	ask_for_as("a", "192.0.2.1", false);
	not_made(REFUSED_PROVE, "wake_dns");
	made("a", "vm-a", 101);
}

/* ---- ending ---- */

static void test_it_ends(void **state)
{
	char path[128];

	(void)state;
	begin(in_dir(TEMPLATE(",\"instance_ttl\":\"1s\",\"max_instances\":1")));
	made("a", "vm-a", 101);
	ask_for("b");
	not_made(REFUSED_FULL, "there are 1 already (max_instances)");
	assert_string_equal(field(CTL_SHOW, "vm", "reason"), "there are 1 already (max_instances)");
	snprintf(path, sizeof(path), "%s/services/vm-a", w.dir);
	hear_snapshot_after_states();
	assert_int_equal(w.n, 1);
	assert_int_equal(number_of("vm", "instances"), 0);
	assert_string_equal(field(CTL_SHOW, "vm", "reason"), "");
	assert_int_not_equal(access(path, F_OK), 0);
	made("a", "vm-a", 102); /* who had .101 does not meet another */
	kill(w.pid, SIGKILL);
	end_launcher();
	begin(in_dir(TEMPLATE(",\"instance_ttl\":\"1h\"")));
	assert_int_equal(w.n, 2);
	assert_int_equal(of("vm-a")->addrs[0].b[15], 102);
}

/* As long as nobody knows what runs, its VM may. */
static bool has_file(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", w.dir, name);
	return access(path, F_OK) == 0;
}

/* The last launcher was killed when the registry had forgotten it, and before its files were removed. */
static void test_files_of_those_who_are_gone(void **state)
{
#define RAN "00000000-0000-4000-8000-000000000001 4 1 1 0 0 0 - 0 0 0\n"
#define OFF "- -1 0 3 0 0 0 - 0 0 0\n"
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/console", w.dir);
	assert_int_equal(mkdir(path, 0700), 0);
	put_file("services/vm-gone", OFF);
	put_file("console/jitsu-vm-gone.log", "Hello\n");
	put_file("services/vm-runs", RAN);
	put_file("services/plain", OFF);
	begin(in_dir(TEMPLATE("") "," SERVICE("plain", "9", ",\"hold\":\"off\"")));
	assert_false(has_file("services/vm-gone"));
	assert_false(has_file("console/jitsu-vm-gone.log"));
	assert_true(has_file("services/vm-runs")); /* somebody may bring its record back */
	assert_true(has_file("services/plain"));
}

/* Nobody knows which services there are. */
static void test_no_files_without_the_registry(void **state)
{
	(void)state;
	put_file("registry.db",
		   "this is no database, and somewhat longer than the head of one would be ..................");
	put_file("services/vm-gone", OFF);
	begin(in_dir(SERVICE("plain", "9", ",\"hold\":\"off\"")));
	assert_true(has_file("services/vm-gone"));
}

static void test_not_before_it_is_known_what_runs(void **state)
{
	(void)state;
	begin(in_dir(TEMPLATE(",\"instance_ttl\":\"1h\"")));
	made("a", "vm-a", 101);
	kill(w.pid, SIGKILL);
	end_launcher();
	begin_with("", in_dir(TEMPLATE(",\"instance_ttl\":\"100ms\"")));
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	assert_int_equal(w.n, 2);
	quiet_for(w.dns, 2200);
	connect_with(NULL);
	hear_snapshot_after_states();
	assert_int_equal(w.n, 1);
}

static void test_with_its_template(void **state)
{
	(void)state;
	begin(in_dir(TEMPLATE("")));
	made("a", "vm-a", 101);
	made("b", "vm-b", 102);
	reload_with(in_dir(TEMPLATE(",\"ttl\":\"9s\"")));
	assert_int_equal(w.n, 3);
	assert_int_equal(of("vm-b")->ttl_s, 9);
	assert_int_equal(of("vm-b")->addrs[0].b[15], 102);
	/* another service comes to have its name */
	reload_with(in_dir(TEMPLATE("") ",{\"name\":\"own\",\"dns\":[\"a.vm.jitsu.example\"],\"ip\":[\"10.77.0.9/24\"],"
					"\"machine\":{\"hypervisor\":\"hv\",\"kernel\":\"%s/k\"},\"hold\":\"off\"}"));
	assert_int_equal(w.n, 3);
	of("own");
	of("vm-b");
	reload_with(in_dir(SERVICE("x", "1", LAZY)));
	assert_int_equal(w.n, 1);
	reload_with(in_dir(TEMPLATE("")));
	assert_int_equal(w.n, 1);
}

/* Another machine has its address: it is given another, and is an instance still. */
static void test_its_address_is_in_use(void **state)
{
	struct msg_hold_event event = { .what = HOLD_IN_USE, .mac = { { 2, 0, 0, 0, 0, 9 } } };

	(void)state;
	assert_int_equal(ip_run("ip address add 10.77.0.1/24 dev br0"), 0);
	begin(in_dir(TEMPLATE_HELD(",\"instance_ttl\":\"4s\"")));
	meet(&w.synproxy, ROLE_SYNPROXY);
	made("a", "vm-a", 101);
	expect(w.be, MSG_BE_INSPECT); /* there is no such domain */
	say_result(got.target.req, got.target.domain, -ENOENT, "", -1);
	settle();
	event.svc = of("vm-a")->svc;
	event.gen = of("vm-a")->gen;
	event.addr = of("vm-a")->addrs[0];
	while (hear(w.synproxy, WAIT_MS) != MSG_HOLD_SERVICE || got.hold_service.svc != event.svc)
		;
	say(w.synproxy, MSG_HOLD_EVENT, &event);
	hear_snapshot_after_states();
	assert_int_equal(of("vm-a")->addrs[0].b[15], 102);
	assert_string_equal(field(CTL_SHOW, "vm-a", "template"), "vm");
	assert_int_equal(number_of("vm", "instances"), 1);
	hear_snapshot_after_states(); /* it ends as others do */
	assert_int_equal(w.n, 1);
}

static void test_commands(void **state)
{
	static struct msg_ctl_request m = { .admin = true, .uid = 1, .client = 1, .n = 100 };
	const struct {
		enum ctl_verb verb;
		const char *service, *to, *words;
	} rows[] = {
		{ CTL_REMOVE, "vm-a", "", "is an instance of \"vm\"" },
		{ CTL_SET, "vm-a", "", "is an instance of \"vm\"" },
		{ CTL_PIN, "vm-a", "up", "is an instance" },
		{ CTL_PIN, "vm", "up", "is a template" },
		{ CTL_START, "vm", "", "it is a template" },
	};

	(void)state;
	begin(in_dir(TEMPLATE("")));
	made("a", "vm-a", 101);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		m.id = ++w.last_id;
		m.verb = (uint8_t)rows[i].verb;
		str_copy(m.service, rows[i].service);
		str_copy(m.to, rows[i].to);
		str_copy(m.record, rows[i].verb == CTL_SET ? "{}" : "");
		say(w.control, MSG_CTL_REQUEST, &m);
		expect(w.control, MSG_CTL_END);
		assert_int_not_equal(got.end.error, 0);
		if (!strstr(got.end.text, rows[i].words))
			fail_msg("\"%s\" is not in \"%s\"", rows[i].words, got.end.text);
	}
}

/* One that a command has added, and takes away: done as soon as dns has the tables that it was told at once. */
static void edit(enum ctl_verb verb, const char *service, const char *record)
{
	static struct msg_ctl_request m;

	m = (struct msg_ctl_request){ .admin = true, .uid = 1, .client = 1, .id = ++w.last_id, .verb = (uint8_t)verb };
	str_copy(m.service, service);
	str_copy(m.record, record);
	say(w.control, MSG_CTL_REQUEST, &m);
	expect(w.control, MSG_CTL_ROW);
	hear_snapshot_after_states();
	expect_end(w.last_id, 0);
	settle();
	while (hear(w.dns, QUIET_MS) == MSG_BEGIN)
		hear_rest_of_snapshot();
}

static void test_of_the_registry(void **state)
{
	(void)state;
	begin(in_dir(SERVICE("x", "1", LAZY)));
	edit(CTL_ADD, "", in_dir(TEMPLATE("")));
	made("a", "vm-a", 101);
	edit(CTL_REMOVE, "vm", "");
	assert_int_equal(w.n, 1);
	of("x");
	edit(CTL_ADD, "", in_dir(TEMPLATE(""))); /* a new one */
	assert_int_equal(w.n, 2);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup_instances, teardown_on_bridge)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_one_for_each_name),
		T(test_names),
		T(test_no_labels),
		T(test_no_more_than_max_instances),
		T(test_half_for_those_who_may_be_anybody),
		T(test_allowances),
		T(test_the_pool_is_empty),
		T(test_only_for_the_verified),
		T(test_it_ends),
		T(test_files_of_those_who_are_gone),
		T(test_no_files_without_the_registry),
		T(test_not_before_it_is_known_what_runs),
		T(test_with_its_template),
		T(test_its_address_is_in_use),
		T(test_commands),
		T(test_of_the_registry),
	};

	if (!netns_enter())
		return 77;
	loads_at_once = true;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
