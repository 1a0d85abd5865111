/* Services with `ip: auto`, as the launcher gives them addresses: commands, reloads, restarts, an address that is
 * in use elsewhere.  In a network namespace of the test's own, with a real bridge and a scripted synproxy. */
#include "tests/launcher/peers.h"

#include <net/if.h>

#include "config/registry.h"

#define AUTO_MORE(name, ip, more)                                                                  \
	"{\"name\":\"" name "\",\"dns\":[\"" name ".jitsu.example\"],\"ip\":[" ip "],"             \
	"\"machine\":{\"hypervisor\":\"hv\",\"kernel\":\"%DIR%/k\"},\"idle_timeout\":\"1h\"" more "}"
#define OFF ",\"hold\":\"off\""
#define AUTO(name) AUTO_MORE(name, "\"auto\"", OFF)

static const char *fill(const char *text)
{
	static char room[4][8192];
	static unsigned n;
	char *out = room[n++ % 4];
	size_t at = 0;

	for (; *text; text++) {
		if (strncmp(text, "%DIR%", 5) == 0) {
			at += (size_t)snprintf(out + at, sizeof(room[0]) - at, "%s", w.dir);
			text += 4;
		} else {
			out[at++] = *text;
		}
	}
	out[at] = '\0';
	return out;
}

static int setup_pools(void **state)
{
	return setup_on_bridge(state, "10.77.0.102/24", "\"10.77.0.101-10.77.0.105/24\"");
}

static void send_edit(enum ctl_verb verb, const char *service, const char *record, const char *to, bool dry_run)
{
	static struct msg_ctl_request m;

	m = (struct msg_ctl_request){ .id = ++w.last_id, .verb = (uint8_t)verb, .admin = true, .uid = 4242,
				      .dry_run = dry_run, .client = 1, .n = 100 };
	if (verb == CTL_ROLLBACK)
		m.revision = strtoull(to, NULL, 10);
	str_copy(m.service, service);
	str_copy(m.record, fill(record));
	str_copy(m.to, to);
	say(w.control, MSG_CTL_REQUEST, &m);
}

static void made(enum ctl_verb verb, const char *service, const char *record, const char *to)
{
	struct msg_dns_loaded loaded = { 0 };
	enum msg_type type;

	send_edit(verb, service, record, to, false);
	expect(w.control, MSG_CTL_ROW);
	while ((type = hear(w.dns, WAIT_MS)) == MSG_DNS_STATE || type == MSG_DNS_CHANGING)
		;
	assert_int_equal(type, MSG_BEGIN);
	w.n = 0;
	while ((type = hear(w.dns, WAIT_MS)) != MSG_END) {
		assert_int_not_equal(type, 0);
		if (type == MSG_DNS_CONF)
			loaded.seq = got.dns_conf.seq;
		if (type == MSG_DNS_SERVICE)
			w.services[w.n++] = got.service;
	}
	say(w.dns, MSG_DNS_LOADED, &loaded);
	expect_end(w.last_id, 0);
}

static void refused(enum ctl_verb verb, const char *service, const char *record, int error, const char *words)
{
	send_edit(verb, service, record, "", false);
	expect_end(w.last_id, error);
	if (!strstr(got.end.text, words))
		fail_msg("\"%s\" is not in \"%s\"", words, got.end.text);
}

static unsigned octet_of(const char *name) { return of(name)->addrs[0].b[15]; }

static void again(const char *services)
{
	kill(w.pid, SIGKILL);
	end_launcher();
	begin(fill(services));
}

/* .102 is this host's own. */
static void test_given_and_kept(void **state)
{
	(void)state;
	begin(fill(AUTO("a")));
	assert_int_equal(octet_of("a"), 101);
	made(CTL_ADD, "", AUTO("b"), "");
	assert_int_equal(octet_of("b"), 103);
	assert_string_equal(field(CTL_SHOW, "b", "ip"), "10.77.0.103");
	made(CTL_SET, "b", "{\"ttl\":\"9s\"}", "");
	assert_int_equal(octet_of("b"), 103);
	made(CTL_RENAME, "b", "", "c");
	assert_int_equal(octet_of("c"), 103);
	again(AUTO("a"));
	assert_int_equal(octet_of("a"), 101);
	assert_int_equal(octet_of("c"), 103);
	/* what was given back comes last */
	made(CTL_REMOVE, "c", "", "");
	made(CTL_ADD, "", AUTO("d"), "");
	assert_int_equal(octet_of("d"), 104);
	made(CTL_SET, "d", "{\"ip\":[\"10.77.0.9/24\"]}", "");
	assert_int_equal(octet_of("d"), 9);
	made(CTL_ADD, "", AUTO("e"), "");
	assert_int_equal(octet_of("e"), 105);
	made(CTL_REMOVE, "e", "", "");
	again(AUTO("a"));
	made(CTL_ADD, "", AUTO("f"), ""); /* of 103 to 105 that which is free for longest */
	assert_int_equal(octet_of("f"), 103);
}

static void test_not_what_another_one_says(void **state)
{
	(void)state;
	begin(fill(AUTO("a") "," AUTO_MORE("b", "\"10.77.0.101/24\"", OFF)));
	assert_int_equal(octet_of("b"), 101);
	assert_int_equal(octet_of("a"), 103);
	refused(CTL_ADD, "", AUTO_MORE("c", "\"10.77.0.103/24\"", OFF), -EEXIST, "is used already by service \"a\"");
	made(CTL_IMPORT, "", "{\"services\":[" AUTO("c") "," AUTO_MORE("d", "\"10.77.0.104/24\"", OFF) "]}", "");
	assert_int_equal(octet_of("d"), 104);
	assert_int_equal(octet_of("c"), 105);
}

static void test_none_left(void **state)
{
	enum msg_type type;

	(void)state;
	begin(fill(AUTO("a") "," AUTO("b") "," AUTO_MORE("c", "\"auto\"", OFF ",\"gateway\":\"10.77.0.104\"")));
	assert_int_equal(octet_of("c"), 105);
	send_edit(CTL_ADD, "", AUTO("d"), "", true); /* dry: nobody has it then */
	expect(w.control, MSG_CTL_ROW);
	while ((type = hear(w.control, WAIT_MS)) == MSG_CTL_ROW) /* a change each */
		;
	assert_int_equal(type, MSG_CTL_END);
	assert_int_equal(got.end.error, 0);
	made(CTL_ADD, "", AUTO("d"), "");
	assert_int_equal(octet_of("d"), 104);
	refused(CTL_ADD, "", AUTO("e"), -EADDRNOTAVAIL,
		"ip[0]: the pools of bridge \"br0\" (10.77.0.101-10.77.0.105/24) have no address left: services have 4 (");
	quiet(w.dns);
	made(CTL_REMOVE, "d", "", "");
	made(CTL_ADD, "", AUTO("e"), "");
	assert_int_equal(octet_of("e"), 104);
}

/* The file's, by a reload: those that stay keep theirs, what is gone is free. */
static void test_reloads(void **state)
{
	uint32_t id;

	(void)state;
	begin(fill(AUTO("a") "," AUTO("b")));
	assert_int_equal(octet_of("b"), 103);
	reload_with(fill(AUTO("b") "," AUTO("c")));
	assert_int_equal(octet_of("b"), 103);
	assert_int_equal(octet_of("c"), 104);
	write_conf("", fill(AUTO("b") "," AUTO("c") "," AUTO("x") "," AUTO("y") "," AUTO("z")));
	id = ask(CTL_RELOAD, "", true);
	expect_end(id, -EINVAL);
	assert_non_null(strstr(got.end.text, "in the configuration file: service \"z\": ip[0]: the pools of bridge"));
	quiet(w.dns);
	again(AUTO("c") "," AUTO("b"));
	assert_int_equal(octet_of("b"), 103);
	assert_int_equal(octet_of("c"), 104);
	/* at start those are served for whom there is enough */
	again(AUTO("b") "," AUTO("c") "," AUTO("x") "," AUTO("y") "," AUTO("z"));
	assert_int_equal(w.n, 4);
}

static void test_a_smaller_pool(void **state)
{
	(void)state;
	begin(fill(AUTO("a") "," AUTO("b")));
	assert_int_equal(octet_of("b"), 103);
	w.pools = "\"10.77.0.101-10.77.0.101/24\",\"10.77.0.104-10.77.0.105/24\"";
	reload_with(fill(AUTO("a") "," AUTO("b")));
	assert_int_equal(octet_of("a"), 101);
	assert_int_equal(octet_of("b"), 104);
}

/* One that is gone from the file when jitsud starts, and comes back when another one has its address. */
static void test_gone_and_back(void **state)
{
	(void)state;
	begin(fill(AUTO("a") "," AUTO("b")));
	assert_int_equal(octet_of("a"), 101);
	again(AUTO("b"));
	usleep(2000 * 1000); /* it is forgotten soon after the start */
	settle();
	made(CTL_ADD, "", AUTO_MORE("c", "\"10.77.0.101/24\"", OFF), "");
	again(AUTO("a") "," AUTO("b"));
	assert_int_equal(w.n, 3);
	assert_int_equal(octet_of("c"), 101);
	assert_int_equal(octet_of("b"), 103);
	assert_int_equal(octet_of("a"), 104);
}

/* A rollback gives back what a command took: at once, and by other launchers. */
static void test_back_as_it_was(void **state)
{
	(void)state;
	begin(fill(AUTO("a")));
	made(CTL_ADD, "", AUTO("b"), ""); /* revision 1 */
	made(CTL_ADD, "", AUTO("c"), "");
	assert_int_equal(octet_of("b"), 103);
	assert_int_equal(octet_of("c"), 104);
	made(CTL_REMOVE, "b", "", "");
	made(CTL_REMOVE, "c", "", "");
	made(CTL_ROLLBACK, "", "", "2");
	assert_int_equal(octet_of("b"), 103);
	assert_int_equal(octet_of("c"), 104);
	made(CTL_RENAME, "b", "", "d"); /* 6 */
	made(CTL_ROLLBACK, "", "", "5");
	assert_int_equal(octet_of("b"), 103);
	made(CTL_SET, "c", "{\"ip\":[\"10.77.0.9/24\"]}", ""); /* 8 */
	made(CTL_ROLLBACK, "", "", "7");
	assert_int_equal(octet_of("c"), 104);
	made(CTL_REMOVE, "b", "", "");
	again(AUTO("a"));
	usleep(2000 * 1000); /* what is gone is forgotten soon after the start */
	settle();
	made(CTL_ROLLBACK, "", "", "9");
	assert_int_equal(octet_of("b"), 103);
	assert_int_equal(octet_of("c"), 104);
	again(AUTO("a"));
	assert_int_equal(octet_of("b"), 103);
}

/* The launcher was killed when the removal was on the disk, and what it had not yet another's. */
static void test_back_though_killed(void **state)
{
	(void)state;
	begin(fill(AUTO("a")));
	made(CTL_ADD, "", AUTO("b"), "");
	made(CTL_ADD, "", AUTO("c"), "");
	made(CTL_REMOVE, "b", "", "");
	kill(w.pid, SIGKILL);
	end_launcher();
	registry_run("DELETE FROM learned WHERE name = 'b';"
		     "INSERT INTO learned (name, key, value, wall_ms) VALUES ('b', 'auto', '10.77.0.103/24', 1)");
	begin(fill(AUTO("a")));
	usleep(2000 * 1000);
	settle();
	made(CTL_ROLLBACK, "", "", "2");
	assert_int_equal(octet_of("b"), 103);
}

/* Others may have got it: then there is another one, and the command's answer says so. */
static void test_back_with_another(void **state)
{
	char remarks[MSG_VALUE_MAX] = "";
	enum msg_type type;

	(void)state;
	begin(fill(AUTO("a")));
	made(CTL_ADD, "", AUTO("b"), "");
	made(CTL_REMOVE, "b", "", "");
	made(CTL_ADD, "", AUTO_MORE("x", "\"10.77.0.103/24\"", OFF), "");
	send_edit(CTL_ADD, "", AUTO("b"), "", true);
	while ((type = hear(w.control, WAIT_MS)) == MSG_CTL_ROW)
		for (uint16_t i = 0; i < got.row.n_fields; i++)
			if (strcmp(got.row.fields[i].key, "remarks") == 0)
				str_copy(remarks, got.row.fields[i].value);
	assert_int_equal(type, MSG_CTL_END);
	assert_string_equal(remarks, "service \"b\": it had 10.77.0.103, which is taken: it is given 10.77.0.104");
	made(CTL_ADD, "", AUTO("b"), "");
	assert_int_not_equal(octet_of("b"), 103);
	assert_int_equal(octet_of("x"), 103);
	/* nor one that its bridge has not any more */
	made(CTL_REMOVE, "b", "", "");
	made(CTL_REMOVE, "x", "", "");
	w.pools = "\"10.77.0.101-10.77.0.101/24\",\"10.77.0.107-10.77.0.108/24\"";
	reload_with(fill(AUTO("a")));
	made(CTL_ADD, "", AUTO("b"), "");
	assert_int_equal(octet_of("b"), 107);
}

/* What the registry's text says is "auto": an import of it changes nothing, and both families may be had. */
static void test_both_families_and_the_same_again(void **state)
{
	struct ip_addr six;

	(void)state;
	w.pools = "\"10.77.0.101-10.77.0.105/24\",\"fd00:77::/64\"";
	begin(fill(AUTO("a")));
	made(CTL_ADD, "", AUTO_MORE("b", "\"auto\",\"auto6\"", OFF), "");
	assert_int_equal(octet_of("b"), 103);
	assert_int_equal(ip_parse("fd00:77::2", &six), 0);
	assert_true(ip_equal(&of("b")->addrs[1], &six));
	send_edit(CTL_IMPORT, "", "{\"services\":[" AUTO_MORE("b", "\"auto\",\"auto6\"", OFF) "]}", "", false);
	expect(w.control, MSG_CTL_ROW);
	expect_end(w.last_id, 0);
	quiet(w.dns);
	again(AUTO("a"));
	assert_int_equal(octet_of("b"), 103);
	assert_true(ip_equal(&of("b")->addrs[1], &six));
}

static void test_without_the_registry(void **state)
{
	char path[128];
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/registry.db", w.dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs("this is no database, and somewhat longer than the head of one would be ........................", f);
	assert_int_equal(fclose(f), 0);
	begin(fill(AUTO("a") "," AUTO_MORE("b", "\"10.77.0.9/24\"", OFF)));
	assert_int_equal(w.n, 1);
	assert_int_equal(octet_of("b"), 9);
}

/* What a start could not write down is written with what is given next, also when something is refused in between. */
static void test_kept_later_than_given(void **state)
{
	(void)state;
	begin(fill(AUTO_MORE("o", "\"10.77.0.9/24\"", OFF)));
	kill(w.pid, SIGKILL);
	end_launcher();
	registry_run("CREATE TRIGGER full BEFORE INSERT ON learned BEGIN "
		     "SELECT RAISE(FAIL, 'as if the disk were full'); END");
	begin(fill(AUTO("a")));
	assert_int_equal(octet_of("a"), 101);
	registry_run("DROP TRIGGER full");
	refused(CTL_ADD, "", AUTO_MORE("c", "\"10.77.0.101/24\"", OFF), -EEXIST, "is used already by service \"a\"");
	made(CTL_ADD, "", AUTO("b"), "");
	assert_int_equal(octet_of("b"), 103);
	again(AUTO("z") "," AUTO("a"));
	assert_int_equal(octet_of("a"), 101);
	assert_int_equal(octet_of("z"), 104);
}

/* Nor what was learned of another one's VM, though that is known of only later. */
static void test_not_what_was_learned(void **state)
{
#define LEARNS "{\"name\":\"l\",\"dns\":[\"l.jitsu.example\"],\"ip\":[\"learned\"],\"hold\":\"off\"," \
	       "\"machine\":{\"hypervisor\":\"hv\",\"domain\":\"dom-l\"}}"
	(void)state;
	begin(LEARNS);
	kill(w.pid, SIGKILL);
	end_launcher();
	put_learned("l", "10.77.0.101/24 arp 1000 2 2 stable");
	begin(fill(AUTO("a") "," LEARNS));
	assert_int_equal(octet_of("l"), 101);
	assert_int_equal(octet_of("a"), 103);
}

/* ---- in use elsewhere ---- */

static void hear_held(const char *name, struct msg_hold_service *out)
{
	enum msg_type type;

	while ((type = hear(w.synproxy, WAIT_MS)) != 0) {
		if (type != MSG_HOLD_SERVICE || strcmp(got.hold_service.name, name) != 0)
			continue;
		*out = got.hold_service;
		return;
	}
	fail_msg("synproxy hears nothing of \"%s\"", name);
}

static void test_another_one_when_it_is_in_use(void **state)
{
	struct msg_hold_event event = { .what = HOLD_IN_USE, .mac = { { 2, 0, 0, 0, 0, 9 } } };
	struct msg_hold_service s;

	(void)state;
	begin(fill(AUTO_MORE("a", "\"auto\"", ",\"hold\":\"park\"")));
	meet(&w.synproxy, ROLE_SYNPROXY);
	hear_held("a", &s);
	assert_int_equal(s.stage, HOLD_STAGE_CHECK);
	assert_int_equal(s.addrs[0].b[15], 101);
	event.svc = s.svc;
	event.gen = s.gen;
	event.addr = s.addrs[0];
	say(w.synproxy, MSG_HOLD_EVENT, &event);
	hear_held("a", &s);
	assert_int_equal(s.stage, HOLD_STAGE_CHECK);
	assert_int_equal(s.addrs[0].b[15], 103);
	hear_snapshot_after_states();
	assert_int_equal(octet_of("a"), 103);
	assert_string_equal(state_of("a"), "off");
	again(AUTO("a"));
	assert_int_equal(octet_of("a"), 103);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup_pools, teardown_on_bridge)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_given_and_kept),	     T(test_not_what_another_one_says), T(test_none_left),
		T(test_reloads),	     T(test_a_smaller_pool),		T(test_without_the_registry),
		T(test_another_one_when_it_is_in_use),
		T(test_gone_and_back),
		T(test_back_as_it_was),
		T(test_back_though_killed),
		T(test_back_with_another),
		T(test_kept_later_than_given),
		T(test_not_what_was_learned),
		T(test_both_families_and_the_same_again),
	};

	if (!netns_enter())
		return 77;
	loads_at_once = true;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
