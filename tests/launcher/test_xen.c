/* The launcher and a hypervisor that is Xen: domains from xl's files, and machines whose ports are Xen's. */
#include "tests/launcher/peers.h"

#define HOLD_OFF_ ",\"hold\":\"off\",\"ready\":[\"delay:10\"],\"stop\":\"destroy\"" LAZY "}"

static const char *file_path(void)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/db.cfg", w.dir);
	return path;
}

static void write_file(const char *text)
{
	FILE *f = fopen(file_path(), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* "a" is the domain of that file. */
static void begin_with_file(const char *text)
{
	char service[512];

	if (geteuid() != 0)
		skip(); /* what is root's is what may be started */
	write_file(text);
	w.uri = "libxl:///";
	snprintf(service, sizeof(service),
		 "{\"name\":\"a\",\"dns\":[\"a.jitsu.example\"],\"ip\":[\"10.77.0.1/24\"],\"machine\":{\"xl_config\":\"%s\"}"
		 HOLD_OFF_, file_path());
	begin(service);
}

static void test_domain_has_the_name_in_its_file(void **state)
{
	uint32_t req;

	(void)state;
	begin_with_file("name = 'dom-db'\nmemory = 8\n");
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
	begin_with_file("name = 'dom-db'\n");
	write_file("name = 'dom-new'\n");
	wake("a");
	expect_start("dom-new");
	assert_string_equal(field(CTL_SHOW, "a", "domain"), "dom-new");
}

static void test_file_that_cannot_be(void **state)
{
	(void)state;
	begin_with_file("memory = 8\n");
	assert_string_equal(field(CTL_SHOW, "a", "domain"), file_path());
	wake("a");
	expect_state("a", STATE_STARTING);
	expect_state("a", STATE_FAILED);
	assert_non_null(strstr(field(CTL_SHOW, "a", "last_error"), "db.cfg:1: it has no \"name\""));
}

static void test_file_that_others_may_write(void **state)
{
	(void)state;
	begin_with_file("name = 'dom-db'\n");
	assert_int_equal(chmod(file_path(), 0666), 0);
	wake("a");
	expect_state("a", STATE_STARTING);
	expect_state("a", STATE_FAILED);
	assert_non_null(strstr(field(CTL_SHOW, "a", "last_error"), "xl configuration"));
	assert_non_null(strstr(field(CTL_SHOW, "a", "last_error"), "chmod go-w"));
}

/* No tap is made: there is not even a bridge.  Its port is called what Xen says. */
static void test_machine_has_xens_port(void **state)
{
	struct msg_be_result m = { .domain_id = 7, .n_nics = 1 };
	char service[512], path[96];
	FILE *f;

	(void)state;
	if (geteuid() != 0)
		skip();
	snprintf(path, sizeof(path), "%s/kernel", w.dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(chmod(w.dir, 0755), 0);
	w.uri = "libxl:///";
	w.bridge = "br-none";
	snprintf(service, sizeof(service),
		 "{\"name\":\"m\",\"dns\":[\"m.jitsu.example\"],\"ip\":[\"10.77.0.1/24\"],\"machine\":{\"kernel\":\"%s\"}" HOLD_OFF_,
		 path);
	begin(service);
	wake("m");
	expect(w.be, MSG_BE_START);
	assert_string_equal(got.start.nics[0].bridge, "br-none");
	assert_string_equal(got.start.nics[0].ifname, "");
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

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(test_domain_has_the_name_in_its_file),
		CASE(test_file_is_read_at_each_start),
		CASE(test_file_that_cannot_be),
		CASE(test_file_that_others_may_write),
		CASE(test_machine_has_xens_port),
	};

	return cmocka_run_group_tests_name("the launcher and Xen", tests, NULL, NULL);
}
