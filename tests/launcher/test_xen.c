/* The launcher and a hypervisor that is Xen: domains from xl's files, and machines whose ports are Xen's. */
#include "tests/launcher/peers.h"

#define HOLD_OFF_ ",\"hold\":\"off\",\"ready\":[\"delay:10\"],\"stop\":\"destroy\"" LAZY "}"

#define OUR_FILE "db.cfg"

static const char *file_path(void)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/" OUR_FILE, w.dir);
	return path;
}

/* "a" is the domain of that file. */
static const char *service_of_file(const char *more)
{
	static char service[512];

	w.uri = "libxl:///";
	snprintf(service, sizeof(service),
		 "{\"name\":\"a\",\"dns\":[\"a.jitsu.example\"],\"ip\":[\"10.77.0.1/24\"],\"machine\":{\"xl_config\":\"%s\"}%s",
		 file_path(), more);
	return service;
}

/* It is off, and the backend is asked what its file says; "": it is not to read it. */
static uint32_t expect_question_(const char *domain, const char *file, const char *source, int line)
{
	uint32_t req = expect_target_(MSG_BE_INSPECT, domain, source, line);

	assert_string_equal(got.target.xl_config, file);
	return req;
}
#define expect_question(domain, file) expect_question_(domain, file, __FILE__, __LINE__)

static void begin_with_file(const char *text, const char *domain)
{
	if (geteuid() != 0)
		skip(); /* what is root's is what may be started */
	put_file(OUR_FILE, text);
	begin(service_of_file(HOLD_OFF_));
	say_result(expect_question(domain, domain[0] == '/' ? "" : file_path()), "x", -ENOENT, "no domain runs", -1);
}

static void test_domain_has_the_name_in_its_file(void **state)
{
	uint32_t req;

	(void)state;
	begin_with_file("name = 'dom-db'\nmemory = 8\n", "dom-db");
	assert_string_equal(field(CTL_SHOW, "a", "domain"), "dom-db");
	assert_string_equal(field(CTL_SHOW, "a", "xl_config"), file_path());
	wake("a");
	req = expect_start("dom-db");
	assert_string_equal(got.start.xl_config, file_path());
	say_result(req, "dom-db", 0, "", 4);
	expect_state("a", STATE_STARTING);
	expect_state("a", STATE_BOOTING);
	expect_state("a", STATE_UP);
}

/* It has another name by the time of the next start. */
static void test_file_is_read_at_each_start(void **state)
{
	(void)state;
	begin_with_file("name = 'dom-db'\n", "dom-db");
	put_file(OUR_FILE, "name = 'dom-new'\n");
	wake("a");
	expect_start("dom-new");
	assert_string_equal(field(CTL_SHOW, "a", "domain"), "dom-new");
}

static void test_file_that_cannot_be(void **state)
{
	(void)state;
	begin_with_file("memory = 8\n", file_path());
	assert_string_equal(field(CTL_SHOW, "a", "domain"), file_path());
	wake("a");
	expect_state("a", STATE_STARTING);
	expect_state("a", STATE_FAILED);
	assert_non_null(strstr(field(CTL_SHOW, "a", "last_error"), "db.cfg:1: it has no \"name\""));
}

static void add(const char *name, const char *machine, int error, const char *words)
{
	struct msg_ctl_request m = { .id = ++w.last_id, .verb = CTL_ADD, .admin = true };

	str_copy(m.service, name);
	snprintf(m.record, sizeof(m.record),
		 "{\"name\":\"%s\",\"dns\":[\"%s.jitsu.example\"],\"ip\":[\"10.77.0.9/24\"],\"machine\":{%s}" HOLD_OFF_,
		 name, name, machine);
	say(w.control, MSG_CTL_REQUEST, &m);
	expect_end(m.id, error);
	if (!strstr(got.end.text, words))
		fail_msg("\"%s\" is not in \"%s\"", words, got.end.text);
}

/* By commands, whether the file says it or the record. */
static void test_domain_of_another_service_is_not_added(void **state)
{
	char machine[256], other[128];

	(void)state;
	begin_with_file("name = 'dom-db'\n", "dom-db");
	snprintf(other, sizeof(other), "%s/other.cfg", w.dir);
	put_file("other.cfg", "name = 'dom-db'\n");
	snprintf(machine, sizeof(machine), "\"xl_config\":\"%s\"", other);
	add("b", machine, -EEXIST, "machine.xl_config: domain \"dom-db\" is service \"a\"'s already");
	add("b", "\"domain\":\"dom-db\"", -EEXIST, "machine.domain: domain \"dom-db\" is service \"a\"'s already");
}

/* Its file says so only later: the first one keeps it. */
static void test_domain_that_becomes_another_services(void **state)
{
	static char services[1200];
	char mine[512], other[128];

	(void)state;
	if (geteuid() != 0)
		skip();
	put_file(OUR_FILE, "name = 'dom-db'\n");
	snprintf(other, sizeof(other), "%s/other.cfg", w.dir);
	put_file("other.cfg", "name = 'dom-b'\n");
	str_copy_n(mine, sizeof(mine), service_of_file(HOLD_OFF_));
	snprintf(services, sizeof(services), "%s,{\"name\":\"b\",\"dns\":[\"b.jitsu.example\"],"
		 "\"ip\":[\"10.77.0.2/24\"],"
		 "\"machine\":{\"xl_config\":\"%s\"}" HOLD_OFF_, mine, other);
	begin(services);
	expect_question("dom-db", file_path());
	expect_question("dom-b", other);
	put_file("other.cfg", "name = 'dom-db'\n");
	wake("b");
	expect_state("b", STATE_STARTING);
	expect_state("b", STATE_FAILED);
	assert_non_null(strstr(field(CTL_SHOW, "b", "last_error"), "as service \"a\" does its own"));
	wake("a");
	expect_start("dom-db");
}

static void test_file_that_others_may_write(void **state)
{
	(void)state;
	begin_with_file("name = 'dom-db'\n", "dom-db");
	assert_int_equal(chmod(file_path(), 0666), 0);
	wake("a");
	expect_state("a", STATE_STARTING);
	expect_state("a", STATE_FAILED);
	assert_non_null(strstr(field(CTL_SHOW, "a", "last_error"), "xl configuration"));
	assert_non_null(strstr(field(CTL_SHOW, "a", "last_error"), "chmod go-w"));
}

static const char *image(const char *name, mode_t mode)
{
	static char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", w.dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fchmod(fileno(f), mode), 0);
	fclose(f);
	return path;
}

/* "m" is a machine of that kernel. */
static void begin_machine(const char *kernel)
{
	char service[512];

	assert_int_equal(chmod(w.dir, 0755), 0);
	w.bridge = "br-none";
	snprintf(service, sizeof(service),
		 "{\"name\":\"m\",\"dns\":[\"m.jitsu.example\"],\"ip\":[\"10.77.0.1/24\"],\"machine\":{\"kernel\":\"%s\","
		 "\"disks\":[{\"path\":\"%s\"}]}" HOLD_OFF_, kernel, image("disk", 0600));
	begin(service);
}

/* No tap is made: there is not even a bridge.  Its port is called what Xen says.  Its disk, which nobody but root can
 * read, is opened by root. */
static void test_machine_has_xens_port(void **state)
{
	struct msg_be_result m = { .domain_id = 7, .n_nics = 1 };
	char kernel[96];

	(void)state;
	if (geteuid() != 0)
		skip();
	w.uri = "libxl:///";
	str_copy(kernel, image("kernel", 0600));
	begin_machine(kernel);
	wake("m");
	expect(w.be, MSG_BE_START);
	assert_string_equal(got.start.nics[0].bridge, "br-none");
	assert_string_equal(got.start.nics[0].ifname, "");
	assert_int_equal(got.start.n_disks, 1);
	assert_false(mac_is_zero(&got.start.nics[0].mac));
	m.req = got.start.req;
	m.nics[0] = got.start.nics[0];
	str_copy(m.uuid, got.start.uuid);
	str_copy(m.nics[0].ifname, "vif7.0");
	m.t_begin_ns = m.t_done_ns = clock_now_ns();
	say(w.be, MSG_BE_RESULT, &m);
	expect_state("m", STATE_STARTING);
	expect_state("m", STATE_BOOTING);
	assert_non_null(strstr(field(CTL_SHOW, "m", "nics"), "vif7.0"));
}

/* Elsewhere QEMU opens it, which has a user of its own. */
static void test_disk_that_qemu_cannot_write(void **state)
{
	char kernel[96];

	(void)state;
	if (geteuid() != 0)
		skip();
	w.uri = NULL;
	str_copy(kernel, image("kernel", 0644));
	begin_machine(kernel);
	wake("m");
	expect_state("m", STATE_STARTING);
	expect_state("m", STATE_FAILED);
	assert_non_null(strstr(field(CTL_SHOW, "m", "last_error"), "disk cannot be read and written by QEMU's user"));
}

/* ---- held before it first runs ---- */

static int setup_bridge(void **state) { return setup_on_bridge(state, "10.77.0.254/24", NULL); }

/* What the file says, by the backend; no MAC: it has none. */
static void tell_file(uint32_t req, const char *domain, const char *mac)
{
	struct msg_be_domain m = { .req = req, .domain_id = -1, .state = DOMAIN_OFF, .memory_bytes = 1 << 24, .n_nics = 1 };

	str_copy(m.name, domain);
	str_copy(m.nics[0].bridge, "br0");
	str_copy(m.nics[0].kind, "vif");
	if (mac)
		assert_int_equal(mac_parse(mac, &m.nics[0].mac), 0);
	say(w.be, MSG_BE_DOMAIN, &m);
	say_result(req, domain, 0, "", -1);
}

static uint32_t begin_asking(void)
{
	put_file(OUR_FILE, "name = 'dom-a'\n");
	begin(service_of_file(",\"ready\":[\"delay:10\"],\"stop\":\"destroy\"" LAZY "}"));
	return expect_question("dom-a", file_path());
}

static void expect_refused(const char *why)
{
	const char *said;

	settle();
	said = field(CTL_SHOW, "a", "not_held_because");
	if (!strstr(said, why))
		fail_msg("\"%s\" is not the reason; it is: %s", why, said);
}

/* synproxy is told that the service is held, with this MAC. */
static void expect_held(const char *mac)
{
	char text[MAC_TEXT_MAX];
	enum msg_type type;
	unsigned n = 0;

	meet(&w.synproxy, ROLE_SYNPROXY);
	while ((type = hear(w.synproxy, WAIT_MS)) != MSG_END) {
		assert_int_not_equal(type, 0);
		if (type != MSG_HOLD_SERVICE)
			continue;
		assert_string_equal(mac_format(&got.hold_service.mac, text), mac);
		n++;
	}
	assert_int_equal(n, 1);
}

static void knock(void)
{
	struct msg_wake m = { .svc = of("a")->svc, .gen = of("a")->gen, .cause = CAUSE_SYN, .t_ns = clock_now_ns() };

	assert_int_equal(ip_parse("192.0.2.1", &m.client), 0);
	say(w.synproxy, MSG_WAKE, &m);
}

static void test_held_before_it_first_runs(void **state)
{
	struct msg_hold_event free_ = { .what = HOLD_FREE, .n = 1 };

	(void)state;
	tell_file(begin_asking(), "dom-a", "52:54:00:00:00:0a");
	settle();
	expect_held("52:54:00:00:00:0a");
	assert_string_equal(field(CTL_SHOW, "a", "memory_bytes"), "16777216");
	free_.svc = of("a")->svc;
	free_.gen = of("a")->gen;
	say(w.synproxy, MSG_HOLD_EVENT, &free_);
	expect(w.synproxy, MSG_HOLD_STAGE);
	assert_int_equal(got.hold_stage.stage, HOLD_STAGE_SLEEP);
	knock();
	say_result(expect_start("dom-a"), "dom-a", 0, "", 4);
	assert_string_equal(got.start.xl_config, file_path());
}

/* Off again, its file may say something else by now. */
static void test_file_is_asked_again_after_each_run(void **state)
{
	uint32_t req;

	(void)state;
	tell_file(begin_asking(), "dom-a", "52:54:00:00:00:0a");
	settle();
	bring_up("a", "dom-a", 4);
	put_file(OUR_FILE, "name = 'dom-b'\n");
	ask(CTL_STOP, "a", true);
	req = expect_target(MSG_BE_STOP, "dom-a");
	say_result(req, "dom-a", 0, "", -1);
	tell_file(expect_question("dom-b", file_path()), "dom-b", "52:54:00:00:00:0b");
	settle();
	expect_held("52:54:00:00:00:0b");
}

static void test_file_without_a_mac(void **state)
{
	(void)state;
	tell_file(begin_asking(), "dom-a", NULL);
	expect_refused("give it mac=");
	expect_refused(file_path());
	wake("a"); /* its name wakes it all the same */
	say_result(expect_start("dom-a"), "dom-a", 0, "", 4);
	expect_refused("give it mac="); /* which it has until it is off, and not again */
}

static void test_file_that_is_refused(void **state)
{
	(void)state;
	say_result(begin_asking(), "dom-a", -ENOTSUP, "db.cfg:9: usb: is not supported here", -1);
	expect_refused("db.cfg:9: usb");
	put_file(OUR_FILE, "memory = 8\n");
	reload_with(service_of_file(",\"ready\":[\"delay:10\"],\"stop\":\"destroy\"" LAZY "}"));
	expect_question("dom-a", "");
	expect_refused("it has no \"name\"");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define HELD(name) cmocka_unit_test_setup_teardown(name, setup_bridge, teardown_on_bridge)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(test_domain_has_the_name_in_its_file),
		CASE(test_file_is_read_at_each_start),
		CASE(test_file_that_cannot_be),
		CASE(test_domain_of_another_service_is_not_added),
		CASE(test_domain_that_becomes_another_services),
		CASE(test_file_that_others_may_write),
		CASE(test_machine_has_xens_port),
		CASE(test_disk_that_qemu_cannot_write),
	};
	static const struct CMUnitTest held[] = {
		HELD(test_held_before_it_first_runs),
		HELD(test_file_is_asked_again_after_each_run),
		HELD(test_file_without_a_mac),
		HELD(test_file_that_is_refused),
	};
	int failed = cmocka_run_group_tests_name("the launcher and Xen", tests, NULL, NULL);

	if (failed > 0 || !netns_enter())
		return failed;
	return cmocka_run_group_tests_name("holds on Xen", held, NULL, NULL);
}
