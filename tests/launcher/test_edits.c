/* Commands about the registry, as the launcher does them: what control, dns and the disk get of them. */
#include "tests/launcher/peers.h"

#include "config/registry.h"

#define FILE_SERVICE SERVICE("a", "1", LAZY)
/* Likewise, as a record. */
#define RECORD(name, digit, more) SERVICE(name, digit, more)

static void send_edit(enum ctl_verb verb, const char *service, const char *record, const char *to, uint64_t revision,
		      bool dry_run)
{
	static struct msg_ctl_request m;

	m = (struct msg_ctl_request){ .id = ++w.last_id, .verb = (uint8_t)verb, .admin = true, .uid = 4242,
				      .revision = revision, .dry_run = dry_run, .client = 1, .n = 100 };
	str_copy(m.service, service);
	str_copy(m.record, record);
	str_copy(m.to, to);
	say(w.control, MSG_CTL_REQUEST, &m);
}

/* The number in this field of the last row; UINT64_MAX: it has none. */
static uint64_t number_of(const char *key)
{
	for (uint16_t i = 0; i < got.row.n_fields; i++) {
		if (strcmp(got.row.fields[i].key, key) == 0)
			return strtoull(got.row.fields[i].value, NULL, 10);
	}
	return UINT64_MAX;
}

/* dns has the snapshot that it was just sent. */
static void say_loaded(uint32_t seq)
{
	struct msg_dns_loaded m = { .seq = seq };

	say(w.dns, MSG_DNS_LOADED, &m);
}

static uint32_t hear_tables(void)
{
	enum msg_type type;
	uint32_t seq = 0;

	while ((type = hear(w.dns, WAIT_MS)) == MSG_DNS_STATE || type == MSG_DNS_CHANGING)
		;
	assert_int_equal(type, MSG_BEGIN);
	w.n = 0;
	while ((type = hear(w.dns, WAIT_MS)) != MSG_END) {
		assert_int_not_equal(type, 0);
		if (type == MSG_DNS_CONF)
			seq = got.dns_conf.seq;
		if (type == MSG_DNS_SERVICE)
			w.services[w.n++] = got.service;
	}
	return seq;
}

/* It is made, and acknowledged only when dns has it, which says nothing of the names before.  The revision. */
static uint64_t made(enum ctl_verb verb, const char *service, const char *record, const char *to, uint64_t revision)
{
	uint64_t number;

	send_edit(verb, service, record, to, revision, false);
	expect(w.control, MSG_CTL_ROW);
	number = number_of("revision");
	uint32_t seq = hear_tables();
	assert_int_equal(hear(w.control, QUIET_MS), 0);
	say_loaded(seq);
	expect_end(w.last_id, 0);
	return number;
}

static void ordered(const char *service, const char *to)
{
	send_edit(CTL_PIN, service, "", to, 0, false);
	expect(w.control, MSG_CTL_ROW);
	expect_end(w.last_id, 0);
}

static void refused(enum ctl_verb verb, const char *service, const char *record, const char *to, int error,
		    const char *words)
{
	send_edit(verb, service, record, to, 99, false);
	expect_end(w.last_id, error);
	if (!strstr(got.end.text, words))
		fail_msg("\"%s\" is not in \"%s\"", words, got.end.text);
}

static void test_add_set_remove(void **state)
{
	(void)state;
	begin(FILE_SERVICE);
	assert_int_equal(made(CTL_ADD, "", RECORD("b", "2", LAZY), "", 0), 1);
	assert_int_equal(w.n, 2);
	assert_int_equal(of("b")->addrs[0].b[15], 2);
	assert_string_equal(field(CTL_SHOW, "b", "origin"), "registry");
	assert_string_equal(field(CTL_SHOW, "a", "origin"), "file");
	assert_int_equal(made(CTL_SET, "b", "{\"ttl\":\"9s\"}", "", 0), 2);
	assert_int_equal(of("b")->ttl_s, 9);
	assert_int_equal(made(CTL_SET, "b", "{\"ttl\":null}", "", 0), 3);
	assert_int_equal(of("b")->ttl_s, 60);
	assert_int_equal(made(CTL_SET, "b", "{\"enabled\":false}", "", 0), 4);
	assert_int_equal(w.n, 1);
	assert_int_equal(made(CTL_SET, "b", "{\"enabled\":null}", "", 0), 5);
	assert_int_equal(w.n, 2);
	assert_int_equal(made(CTL_RENAME, "b", "", "c", 0), 6);
	assert_string_equal(of("c")->names[0].text, "b.jitsu.example");
	assert_int_equal(made(CTL_REMOVE, "c", "", "", 0), 7);
	assert_int_equal(w.n, 1);
	assert_int_equal(made(CTL_ROLLBACK, "", "", "", 2), 8);
	assert_int_equal(of("b")->ttl_s, 9);
	assert_int_equal(w.n, 2);
	/* the name that is said counts more than the record's */
	assert_int_equal(made(CTL_ADD, "d", SERVICE_AS("other", "4", "10", "destroy", LAZY), "", 0), 9);
	assert_int_equal(of("d")->addrs[0].b[15], 4);
}

static void expect_changing(const char *name)
{
	enum msg_type type;

	while ((type = hear(w.dns, WAIT_MS)) == MSG_DNS_STATE)
		;
	assert_int_equal(type, MSG_DNS_CHANGING);
	assert_int_equal(got.changing.n_names, 1);
	assert_string_equal(got.changing.names[0].text, name);
}

static void say_changing_ack(uint32_t seq)
{
	static struct msg_dns_changing m;

	m.seq = seq;
	say(w.dns, MSG_DNS_CHANGING_ACK, &m);
}

/* It is done when dns knows the names; the snapshot follows, one for all that has changed by then, and while dns is
 * busy with one there is no other. */
static void test_done_before_the_tables(void **state)
{
	uint32_t seq, first;

	(void)state;
	begin(FILE_SERVICE);
	send_edit(CTL_ADD, "", RECORD("b", "2", LAZY), "", 0, false);
	expect(w.control, MSG_CTL_ROW);
	expect_changing("b.jitsu.example");
	assert_int_equal(got.changing.addrs[0].b[15], 2);
	say_changing_ack(got.changing.seq - 1);
	say_changing_ack(got.changing.seq);
	expect_end(w.last_id, 0);
	seq = hear_tables();
	assert_int_equal(w.n, 2);
	send_edit(CTL_SET, "b", "{\"dns\":[\"x.jitsu.example\"]}", "", 0, false);
	expect(w.control, MSG_CTL_ROW);
	expect_changing("b.jitsu.example"); /* what it was, and what it is */
	first = got.changing.seq;
	expect_changing("x.jitsu.example");
	say_changing_ack(first);
	assert_int_equal(hear(w.control, QUIET_MS), 0);
	say_changing_ack(got.changing.seq);
	expect_end(w.last_id, 0);
	send_edit(CTL_REMOVE, "b", "", "", 0, false);
	expect(w.control, MSG_CTL_ROW);
	expect_changing("x.jitsu.example");
	say_changing_ack(got.changing.seq);
	expect_end(w.last_id, 0);
	assert_int_equal(hear(w.dns, 4 * QUIET_MS), 0);
	say_loaded(seq);
	hear_tables();
	assert_int_equal(w.n, 1);
}

static void test_what_runs_goes_on(void **state)
{
	uint32_t gen;

	(void)state;
	begin(FILE_SERVICE);
	made(CTL_ADD, "", RECORD("b", "2", LAZY), "", 0);
	gen = of("b")->gen;
	inspected("dom-b", -1, DOMAIN_OFF); /* does it run already? */
	bring_up("b", "dom-b", 7);
	made(CTL_SET, "b", "{\"ttl\":\"9s\"}", "", 0);
	assert_int_equal(of("b")->gen, gen);
	assert_string_equal(state_of("b"), "up");
	refused(CTL_RENAME, "b", "", "c", -EBUSY, "jitsuctl stop b");
	made(CTL_REMOVE, "b", "", "", 0);
	assert_int_equal(w.n, 1);
}

static void test_refused(void **state)
{
	(void)state;
	begin(FILE_SERVICE);
	made(CTL_ADD, "", RECORD("b", "2", LAZY), "", 0);
	refused(CTL_ADD, "", RECORD("b", "3", LAZY), "", -EEXIST, "there is a service \"b\" already");
	refused(CTL_ADD, "", RECORD("a", "3", LAZY), "", -EEXIST, "there is a service \"a\" already");
	refused(CTL_ADD, "", RECORD("c", "1", LAZY), "", -EEXIST, "ip[0]: \"10.77.0.1\" is used already by service \"a\"");
	refused(CTL_ADD, "", "{\"name\":\"c\"}", "", -EINVAL, "dns: missing");
	refused(CTL_ADD, "n\"o", "{}", "", -EINVAL, "name: expected");
	refused(CTL_SET, "a", "{\"ttl\":\"9s\"}", "", -EPERM, "is in the configuration file, line 1: change it there");
	refused(CTL_REMOVE, "a", "", "", -EPERM, "is in the configuration file");
	refused(CTL_SET, "b", "{\"ttl\":\"x\"}", "", -EINVAL, "ttl: expected");
	refused(CTL_SET, "b", "{\"name\":\"c\"}", "", -EINVAL, "jitsuctl rename b");
	refused(CTL_SET, "b", "{\"dns\":[\"a.jitsu.example\"]}", "", -EEXIST, "dns[0]: \"a.jitsu.example\" is used already");
	refused(CTL_SET, "z", "{\"ttl\":\"9s\"}", "", -ENOENT, "there is no service \"z\"");
	refused(CTL_RENAME, "b", "", "a", -EEXIST, "there is a service \"a\" already");
	refused(CTL_RENAME, "b", "", "B!", -EINVAL, "expected");
	refused(CTL_PIN, "b", "", "sideways", -EINVAL, "expected \"up\", \"down\"");
	refused(CTL_PIN, "z", "", "up", -ENOENT, "there is no service \"z\"");
	refused(CTL_ROLLBACK, "", "", "", -ENOENT, "there is no revision 99");
	refused(CTL_DIFF, "", "", "", -ENOENT, "there is no revision 99");
	refused(CTL_IMPORT, "", "{}", "", -EINVAL, "expected an array");
	quiet(w.dns);
	/* and what was refused takes nobody's place */
	assert_int_equal(made(CTL_ADD, "", RECORD("c", "3", LAZY), "", 0), 2);
}

static void test_dry_runs_and_nothing_new(void **state)
{
	(void)state;
	begin(FILE_SERVICE);
	send_edit(CTL_ADD, "", RECORD("b", "2", LAZY), "", 0, true);
	do /* all of its options, before */
		expect(w.control, MSG_CTL_ROW);
	while (number_of("changes") == UINT64_MAX);
	assert_int_equal(number_of("changes"), 1);
	assert_int_equal(number_of("revision"), 0);
	expect_end(w.last_id, 0);
	assert_int_equal(made(CTL_ADD, "", RECORD("b", "2", LAZY), "", 0), 1);
	send_edit(CTL_SET, "b", "{\"idle_timeout\":\"60m\"}", "", 0, false); /* which is an hour */
	expect(w.control, MSG_CTL_ROW);
	assert_int_equal(number_of("changes"), 0);
	expect_end(w.last_id, 0);
	quiet(w.dns);
}

/* The differences that a diff of it would have, and then how many there are. */
static void expect_difference(const char *name, const char *option, const char *before, const char *after)
{
	const char *const expected[] = { "service", name, option, before, after };
	static const char *const keys[] = { "kind", "name", "option", "before", "after" };
	size_t n = 1;

	expect(w.control, MSG_CTL_ROW);
	assert_int_equal(number_of("revision"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (!expected[i])
			continue;
		assert_string_equal(got.row.fields[n].key, keys[i]);
		assert_string_equal(got.row.fields[n++].value, expected[i]);
	}
	assert_int_equal(got.row.n_fields, n);
}

static void test_dry_runs_tell_what_they_would_do(void **state)
{
	(void)state;
	begin(FILE_SERVICE);
	made(CTL_ADD, "", RECORD("b", "2", LAZY), "", 0);
	made(CTL_SET, "b", "{\"ttl\":\"9s\"}", "", 0);
	send_edit(CTL_SET, "b", "{\"ttl\":\"8s\",\"idle_timeout\":null,\"ports\":[80]}", "", 0, true);
	expect_difference("b", "ttl", "\"9s\"", "\"8s\"");
	expect_difference("b", "idle_timeout", "\"3600s\"", NULL);
	expect_difference("b", "ports", NULL, "[80]");
	expect(w.control, MSG_CTL_ROW);
	assert_int_equal(number_of("changes"), 1);
	expect_end(w.last_id, 0);
	send_edit(CTL_ROLLBACK, "", "", "", 1, true);
	expect_difference("b", "ttl", "\"9s\"", NULL);
	expect(w.control, MSG_CTL_ROW);
	expect_end(w.last_id, 0);
	assert_string_equal(field(CTL_SHOW, "b", "ttl_s"), "9");
}

/* All of it, or none; what is there already says so. */
static void test_imports(void **state)
{
	(void)state;
	begin(FILE_SERVICE);
	made(CTL_ADD, "", RECORD("b", "2", LAZY), "", 0);
	refused(CTL_IMPORT, "", "{\"services\":[" RECORD("c", "3", LAZY) "," RECORD("d", "1", LAZY) "]}", "", -EEXIST,
		"service \"d\": ip[0]: \"10.77.0.1\" is used already");
	refused(CTL_IMPORT, "", "{\"services\":[" RECORD("c", "3", LAZY) "," RECORD("c", "4", LAZY) "]}", "", -EINVAL,
		"\"c\" is there twice");
	quiet(w.dns);
	/* two that change places */
	assert_int_equal(made(CTL_IMPORT, "", "{\"services\":[" RECORD("b", "3", LAZY) "," RECORD("c", "2", LAZY) "]}", "",
			      0), 2);
	assert_int_equal(of("b")->addrs[0].b[15], 3);
	assert_int_equal(of("c")->addrs[0].b[15], 2);
	assert_int_equal(w.n, 3);
}

/* One that is there already, in the file or the registry: none is added. */
static void test_an_import_of_new_ones(void **state)
{
	static struct msg_ctl_request m = { .verb = CTL_IMPORT, .admin = true, .client = 1, .fresh = true };

	(void)state;
	begin(FILE_SERVICE);
	made(CTL_ADD, "", RECORD("b", "2", LAZY), "", 0);
	str_copy(m.record, "{\"services\":[" RECORD("c", "3", LAZY) "," RECORD("b", "4", LAZY) "]}");
	m.id = ++w.last_id;
	say(w.control, MSG_CTL_REQUEST, &m);
	expect_end(m.id, -EEXIST);
	assert_non_null(strstr(got.end.text, "there is a service \"b\" already"));
	str_copy(m.record, "{\"services\":[" RECORD("c", "3", LAZY) "," RECORD("a", "4", LAZY) "]}");
	m.id = ++w.last_id;
	say(w.control, MSG_CTL_REQUEST, &m);
	expect_end(m.id, -EEXIST);
	quiet(w.dns);
	str_copy(m.record, "{\"services\":[" RECORD("c", "3", LAZY) "," RECORD("d", "4", LAZY) "]}");
	m.id = ++w.last_id;
	say(w.control, MSG_CTL_REQUEST, &m);
	expect(w.control, MSG_CTL_ROW);
	assert_int_equal(number_of("revision"), 2);
	say_loaded(hear_tables());
	expect_end(m.id, 0);
	assert_int_equal(w.n, 4);
	assert_int_equal(of("b")->addrs[0].b[15], 2);
}

static void test_another_launcher_knows_all(void **state)
{
	(void)state;
	begin(FILE_SERVICE);
	made(CTL_ADD, "", RECORD("b", "2", LAZY), "", 0);
	made(CTL_ADD, "", RECORD("c", "3", LAZY), "", 0);
	send_edit(CTL_PIN, "c", "", "down", 0, false);
	expect(w.control, MSG_CTL_ROW);
	expect_end(w.last_id, 0);
	kill(w.pid, SIGKILL);
	end_launcher();
	launch();
	connect_with(NULL);
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	assert_int_equal(w.n, 3);
	assert_string_equal(field(CTL_SHOW, "c", "pin"), "down");
	wake("c");
	expect(w.dns, MSG_DNS_REFUSED);
	assert_non_null(strstr(got.refused.text, "keeps it down"));
	/* the file comes to have one of them: the file counts, and the other one is left out */
	kill(w.pid, SIGKILL);
	end_launcher();
	begin_with("", FILE_SERVICE "," SERVICE("b", "9", LAZY));
	connect_with(NULL);
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	assert_int_equal(w.n, 3);
	assert_int_equal(of("b")->addrs[0].b[15], 9);
	assert_string_equal(field(CTL_SHOW, "b", "origin"), "file");
}

static void test_a_reload_with_a_name_in_both_is_refused(void **state)
{
	uint32_t id;

	(void)state;
	begin(FILE_SERVICE);
	made(CTL_ADD, "", RECORD("b", "2", LAZY), "", 0);
	write_conf("", FILE_SERVICE "," SERVICE("b", "9", LAZY));
	id = ask(CTL_RELOAD, "", true);
	expect_end(id, -EINVAL);
	assert_non_null(strstr(got.end.text, "in the registry: service \"b\": name: there is a service \"b\" already"));
	quiet(w.dns);
	reload_with(FILE_SERVICE);
	assert_int_equal(w.n, 2);
	assert_int_equal(of("b")->addrs[0].b[15], 2);
}

static void test_history_and_diff(void **state)
{
	(void)state;
	begin(FILE_SERVICE);
	made(CTL_ADD, "", RECORD("b", "2", LAZY), "", 0);
	made(CTL_SET, "b", "{\"ttl\":\"9s\"}", "", 0);
	send_edit(CTL_HISTORY, "b", "", "", 0, false);
	expect(w.control, MSG_CTL_ROW);
	assert_int_equal(number_of("revision"), 2);
	assert_int_equal(number_of("uid"), 4242);
	expect(w.control, MSG_CTL_ROW);
	assert_int_equal(number_of("revision"), 1);
	expect_end(w.last_id, 0);
	send_edit(CTL_DIFF, "", "", "", 2, false);
	expect(w.control, MSG_CTL_ROW);
	assert_string_equal(got.row.fields[3].key, "option");
	assert_string_equal(got.row.fields[3].value, "ttl");
	assert_string_equal(got.row.fields[4].key, "after");
	assert_string_equal(got.row.fields[4].value, "\"9s\"");
	expect_end(w.last_id, 0);
}

/* As they were typed, whatever they were to the protocol. */
static void test_the_history_has_commands(void **state)
{
	static const char *const newest_first[] = { "release b", "pin b down", "lease b 2h", "enable b",
						    "disable b", "set b {\"ttl\":\"9s\"}", "add b" };

	(void)state;
	begin(FILE_SERVICE);
	made(CTL_ADD, "", RECORD("b", "2", LAZY), "", 0);
	made(CTL_SET, "b", "{\"ttl\":\"9s\"}", "", 0);
	made(CTL_SET, "b", "{\"enabled\":false}", "", 0);
	assert_string_equal(field(CTL_SHOW, "b", "reason"), "disabled");
	made(CTL_SET, "b", "{\"enabled\":null}", "", 0);
	ordered("b", "2h");
	ordered("b", "down");
	assert_string_equal(field(CTL_SHOW, "b", "reason"), "an operator keeps it down (pin)");
	ordered("b", "none");
	assert_string_equal(field(CTL_SHOW, "b", "reason"), "");
	send_edit(CTL_HISTORY, "b", "", "", 0, false);
	for (size_t i = 0; i < ARRAY_SIZE(newest_first); i++) {
		expect(w.control, MSG_CTL_ROW);
		assert_string_equal(got.row.fields[4].key, "command");
		assert_string_equal(got.row.fields[4].value, newest_first[i]);
	}
	expect_end(w.last_id, 0);
}

static void test_what_was_learned_is_kept(void **state)
{
	(void)state;
	begin(FILE_SERVICE);
	bring_up("a", "dom-a", 7);
	assert_string_equal(field(CTL_SHOW, "a", "wakes"), "1");
	kill(w.pid, SIGTERM); /* in order: it does not wait until it would be written */
	end_launcher();
	begin(FILE_SERVICE);
	assert_string_equal(field(CTL_SHOW, "a", "wakes"), "1");
}

#define LEARNED(name, machine)                                                                              \
	"{\"name\":\"" name "\",\"dns\":[\"" name ".jitsu.example\"],\"ip\":[\"learned\"],\"hold\":\"off\","   \
	"\"machine\":{\"hypervisor\":\"hv\"," machine "},\"idle_timeout\":\"1h\"}"

static void add_with_kernel(const char *name, const char *nic)
{
	char record[1024];

	snprintf(record, sizeof(record), LEARNED("%s", "\"kernel\":\"%s/k\",\"nics\":[{%s}]"), name, name, w.dir, nic);
	made(CTL_ADD, "", record, "", 0);
}

/* By another name an existing domain is the same VM, as is one with a MAC of its own. */
static void test_a_renamed_one_keeps_its_learned_address(void **state)
{
	(void)state;
	w.bridge = "br0";
	begin(FILE_SERVICE);
	made(CTL_ADD, "", LEARNED("b", "\"domain\":\"dom-b\""), "", 0);
	add_with_kernel("own", "\"mac\":\"52:54:00:00:00:07\"");
	add_with_kernel("derived", "");
	kill(w.pid, SIGTERM);
	end_launcher();
	put_learned("b", "10.77.0.5/24 arp 1000 1 4294967297 new");
	put_learned("own", "10.77.0.6/24 arp 1000 2 2 stable");
	put_learned("derived", "10.77.0.7/24 arp 1000 2 2 stable");
	begin(FILE_SERVICE);
	assert_string_equal(field(CTL_SHOW, "b", "ip"), "10.77.0.5");
	assert_string_equal(field(CTL_SHOW, "own", "ip"), "10.77.0.6");
	assert_string_equal(field(CTL_SHOW, "derived", "ip"), "10.77.0.7");
	made(CTL_RENAME, "b", "", "c", 0);
	made(CTL_RENAME, "own", "", "ours", 0);
	made(CTL_RENAME, "derived", "", "other", 0);
	assert_string_equal(field(CTL_SHOW, "c", "ip"), "10.77.0.5");
	assert_string_equal(field(CTL_SHOW, "c", "ip_stable"), "false");
	assert_string_equal(field(CTL_SHOW, "ours", "ip"), "10.77.0.6");
	assert_string_equal(field(CTL_SHOW, "ours", "ip_stable"), "true");
	assert_string_not_equal(field(CTL_SHOW, "other", "ip"), "10.77.0.7");
	kill(w.pid, SIGTERM);
	end_launcher();
	begin(FILE_SERVICE);
	assert_string_equal(field(CTL_SHOW, "c", "ip"), "10.77.0.5");
	w.bridge = NULL;
}

/* Another program has the database: refused, and all goes on. */
static void test_a_locked_registry(void **state)
{
	char path[128];
	sqlite3 *db;

	(void)state;
	begin(FILE_SERVICE);
	made(CTL_ADD, "", RECORD("b", "2", LAZY), "", 0);
	snprintf(path, sizeof(path), "%s/registry.db", w.dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	refused(CTL_SET, "b", "{\"ttl\":\"9s\"}", "", -EBUSY, "another program holds a lock");
	assert_string_equal(state_of("b"), "off");
	inspected("dom-b", -1, DOMAIN_OFF); /* does it run already? */
	bring_up("b", "dom-b", 7);
	assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	made(CTL_SET, "b", "{\"ttl\":\"9s\"}", "", 0);
	assert_int_equal(of("b")->ttl_s, 9);
}

static void test_without_dns(void **state)
{
	(void)state;
	begin_with("", FILE_SERVICE);
	connect_with(NULL);
	send_edit(CTL_ADD, "", RECORD("b", "2", LAZY), "", 0, false);
	expect(w.control, MSG_CTL_ROW);
	expect_end(w.last_id, 0); /* whoever comes will be told */
	meet(&w.dns, ROLE_DNS);
	hear_snapshot();
	assert_int_equal(w.n, 2);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_add_set_remove),
		T(test_done_before_the_tables),
		T(test_what_runs_goes_on),
		T(test_refused),
		T(test_dry_runs_and_nothing_new),
		T(test_dry_runs_tell_what_they_would_do),
		T(test_imports),
		T(test_another_launcher_knows_all),
		T(test_a_reload_with_a_name_in_both_is_refused),
		T(test_history_and_diff),
		T(test_the_history_has_commands),
		T(test_what_was_learned_is_kept),
		T(test_a_renamed_one_keeps_its_learned_address),
		T(test_a_locked_registry),
		T(test_without_dns),
	};

	if (!netns_enter_as_root())
		return 77;
	loads_at_once = true;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
