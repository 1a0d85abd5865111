/* Zone files and serials between the operator's files, the copies, and dns. */
#include "tests/launcher/peers.h"

#include "launcher/zone_files.h"

/* ---- by itself ---- */

static struct zone_conf zone = { .name = (char *)"Jitsu.example" };
static char *zone_dir;
static struct conf conf = { .zones = { 1, &zone }, .zone_dirs = { 1, &zone_dir } };

static int setup_alone(void **state)
{
	static char dir[64], file[96];

	if (setup(state) < 0)
		return -1;
	strcpy(dir, w.dir);
	snprintf(file, sizeof(file), "%s/zone", w.dir);
	conf.state_dir = zone_dir = dir;
	zone.file = file;
	return 0;
}

static int teardown_alone(void **state)
{
	char line[128];

	(void)state;
	snprintf(line, sizeof(line), "rm -rf %s", w.dir);
	return system(line);
}

static void assert_text(const struct zone_files *z, const char *text, bool lenient)
{
	char got_text[256] = "";
	bool got_lenient = !lenient;
	int fd = zone_files_open(z, "jitsu.EXAMPLE", &got_lenient);

	if (!text) {
		assert_int_equal(fd, -ENOENT);
		return;
	}
	assert_true(fd >= 0);
	assert_true(read(fd, got_text, sizeof(got_text) - 1) >= 0);
	assert_string_equal(got_text, text);
	assert_int_equal(got_lenient, lenient);
	close(fd);
}

static void assert_mistake(const struct zone_files *z, const char *part)
{
	struct buf text = { 0 };

	zone_files_mistakes(z, &text);
	if (!part)
		assert_int_equal(text.n, 0);
	else if (!text.text || !strstr(text.text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, text.text ? text.text : "");
	buf_free(&text);
}

static void test_new_then_good(void **state)
{
	struct zone_files *z = zone_files_new();

	(void)state;
	put_file("zone", "one");
	zone_files_set(z, &conf, 100);
	assert_false(zone_files_empty(z));
	assert_text(z, "one", false);
	put_file("zone", "two"); /* not before a reload */
	assert_text(z, "one", false);
	zone_files_accepted(z);
	assert_text(z, "one", true);
	zone_files_set(z, &conf, 100);
	assert_text(z, "two", false);
	assert_true(zone_files_refused(z, "jitsu.example", "f, line 1: bad"));
	assert_mistake(z, "f, line 1: bad (zone Jitsu.example is served as it was)");
	assert_text(z, "one", true);
	zone_files_accepted(z);
	zone_files_free(z);
	z = zone_files_new(); /* another launcher, and the file is bad still */
	zone_files_set(z, &conf, 100);
	assert_text(z, "two", false);
	assert_mistake(z, NULL);
	assert_true(zone_files_refused(z, "jitsu.example", "bad"));
	assert_text(z, "one", true);
	assert_true(zone_files_refused(z, "jitsu.example", "no memory"));
	assert_text(z, NULL, false);
	assert_false(zone_files_refused(z, "jitsu.example", "again"));
	assert_false(zone_files_refused(z, "other.example", "whose?"));
	zone_files_free(z);
}

static void test_files_that_cannot_be_read(void **state)
{
	struct zone_files *z = zone_files_new();
	char *file = zone.file, path[128];

	(void)state;
	zone_files_set(z, &conf, 100);
	assert_mistake(z, "No such file");
	assert_text(z, NULL, false);
	put_file("zone", "one");
	zone_files_set(z, &conf, 100);
	assert_mistake(z, NULL);
	zone_files_accepted(z);
	zone.file = (char *)"/etc/passwd";
	zone_files_set(z, &conf, 100);
	assert_mistake(z, "does not lie below one of zone_dirs");
	assert_text(z, "one", true); /* as it was */
	snprintf(path, sizeof(path), "%s/link", w.dir);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	zone.file = path;
	zone_files_set(z, &conf, 100);
	assert_mistake(z, "there is a symbolic link on the way");
	snprintf(path, sizeof(path), "%s/services", w.dir);
	zone_files_set(z, &conf, 100);
	assert_mistake(z, "is no regular file");
	snprintf(path, sizeof(path), "%s/fifo", w.dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	zone_files_set(z, &conf, 100);
	assert_mistake(z, "is no regular file");
	zone.file = (char *)"";
	zone_files_set(z, &conf, 100);
	assert_true(zone_files_empty(z));
	assert_mistake(z, NULL);
	assert_text(z, NULL, false);
	zone.file = file;
	zone_files_free(z);
}

static void test_serials_only_rise(void **state)
{
	struct zone_files *z = zone_files_new();

	(void)state;
	put_file("zone", "one");
	zone_files_set(z, &conf, 1000);
	assert_int_equal(zone_files_serial(z, "jitsu.example"), 1000);
	zone_files_served(z, "jitsu.example", 1000);
	zone_files_served(z, "jitsu.example", 7777); /* it says so once */
	zone_files_set(z, &conf, 1000); /* within the same second */
	assert_int_equal(zone_files_serial(z, "jitsu.example"), 1001);
	zone_files_served(z, "jitsu.example", 2026112201); /* the file's own */
	zone_files_free(z);
	z = zone_files_new();
	zone_files_set(z, &conf, 5000);
	assert_int_equal(zone_files_serial(z, "jitsu.example"), 2026112202);
	zone_files_served(z, "jitsu.example", UINT32_MAX);
	zone_files_set(z, &conf, 5000); /* RFC 1982: 0 comes after it, and 5000 later still */
	assert_int_equal(zone_files_serial(z, "jitsu.example"), 5000);
	assert_int_equal(zone_files_serial(z, "unknown.example"), 1);
	zone_files_free(z);
}

/* ---- with dns ---- */

static char zone_text[128];

/* The next snapshot: what it says of the zone, and what comes with its file. */
static struct snapshot {
	uint32_t seq, serial;
	bool has_file, lenient;
	char text[256];
} snapshot;

static void hear_zones(void)
{
	enum msg_type type;

	memset(&snapshot, 0, sizeof(snapshot));
	while ((type = hear(w.dns, WAIT_MS)) != MSG_END) {
		assert_int_not_equal(type, 0);
		if (type == MSG_DNS_CONF)
			snapshot.seq = got.dns_conf.seq;
		if (type == MSG_DNS_ZONE)
			snapshot.serial = got.zone.serial;
		if (type != MSG_DNS_ZONE_FILE)
			continue;
		assert_true(w.fd >= 0);
		snapshot.has_file = true;
		snapshot.lenient = got.zone_file.lenient;
		assert_string_equal(got.zone_file.zone, "jitsu.example");
		assert_true(read(w.fd, snapshot.text, sizeof(snapshot.text) - 1) >= 0);
	}
}

static void say_loaded(int error, const char *text)
{
	struct msg_dns_loaded m = { .seq = snapshot.seq, .error = error, .zone = "jitsu.example" };
	struct msg_dns_zone_serial serial = { .zone = "jitsu.example", .serial = snapshot.serial };

	str_copy(m.text, text);
	if (!error)
		say(w.dns, MSG_DNS_ZONE_SERIAL, &serial);
	say(w.dns, MSG_DNS_LOADED, &m);
}

static void begin_zone(const char *text)
{
	put_file("zone.txt", text);
	snprintf(zone_text, sizeof(zone_text), ",\"file\":\"%s/zone.txt\"", w.dir);
	w.zone = zone_text;
	begin_with("", SERVICE("a", "1", LAZY));
	connect_with(NULL);
	meet(&w.dns, ROLE_DNS);
	hear_zones();
	assert_true(snapshot.has_file);
	assert_false(snapshot.lenient);
	assert_string_equal(snapshot.text, text);
	say_loaded(0, "");
}

static void test_reload_tells_how_it_went(void **state)
{
	uint32_t id, serial;

	(void)state;
	begin_zone("good");
	serial = snapshot.serial;
	put_file("zone.txt", "better");
	id = ask(CTL_RELOAD, "", true);
	hear_zones();
	assert_string_equal(snapshot.text, "better");
	assert_true(snapshot.serial > serial);
	assert_int_equal(hear(w.control, QUIET_MS), 0); /* dns has the last word */
	say_loaded(0, "");
	expect_end(id, 0);
	put_file("zone.txt", "bad");
	id = ask(CTL_RELOAD, "", true);
	hear_zones();
	assert_string_equal(snapshot.text, "bad");
	say_loaded(-EINVAL, "zone.txt, line 7: no good");
	hear_zones(); /* as it was */
	assert_string_equal(snapshot.text, "better");
	assert_true(snapshot.lenient);
	assert_int_equal(hear(w.control, QUIET_MS), 0);
	say_loaded(0, "");
	expect_end(id, -EINVAL);
	assert_non_null(strstr(got.end.text, "zone.txt, line 7: no good"));
	w.zone = NULL;
}

/* What an earlier snapshot's file was like says nothing of the newest. */
static void test_a_late_verdict(void **state)
{
	struct snapshot first;
	uint32_t id;

	(void)state;
	begin_zone("good");
	id = ask(CTL_RELOAD, "", true);
	hear_zones();
	first = snapshot;
	meet(&w.dns, ROLE_DNS); /* it died meanwhile */
	hear_zones();
	assert_int_not_equal(snapshot.seq, first.seq);
	assert_string_equal(snapshot.text, "good");
	snapshot.seq = first.seq;
	say_loaded(-EINVAL, "late");
	assert_int_equal(hear(w.dns, QUIET_MS), 0);
	snapshot.seq = first.seq + 1;
	say_loaded(0, "");
	expect_end(id, 0);
	w.zone = NULL;
}

static void test_a_reload_that_dns_never_answers(void **state)
{
	uint32_t id;

	(void)state;
	begin_zone("good");
	id = ask(CTL_RELOAD, "", true);
	hear_zones();
	assert_int_equal(hear(w.control, 11000), MSG_CTL_END);
	assert_int_equal(got.end.id, id);
	assert_int_equal(got.end.error, -EINVAL);
	assert_non_null(strstr(got.end.text, "dns has not said yet"));
	say_loaded(0, "");
	quiet(w.dns);
	w.zone = NULL;
}

#define ALONE(f) cmocka_unit_test_setup_teardown(f, setup_alone, teardown_alone)
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALONE(test_new_then_good),
		ALONE(test_files_that_cannot_be_read),
		ALONE(test_serials_only_rise),
		T(test_reload_tells_how_it_went),
		T(test_a_late_verdict),
		T(test_a_reload_that_dns_never_answers),
	};

	if (!netns_enter_as_root())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
