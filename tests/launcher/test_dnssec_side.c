/* The zones' keys between operators, the disk and dns: a launcher among peers that follow a script. */
#include "tests/launcher/peers.h"

#include "base/buf.h"

enum { KEYS_MAX = 4 };

/* What the last snapshot said of the zone. */
static struct {
	uint32_t seq, serial;
	unsigned n;
	struct msg_dns_key keys[KEYS_MAX];
	char text[KEYS_MAX][512];
} shot;

static void hear_keys(void)
{
	bool in_zone = false;
	enum msg_type type;

	memset(&shot, 0, sizeof(shot));
	while ((type = hear(w.dns, WAIT_MS)) != MSG_END) {
		assert_int_not_equal(type, 0);
		if (type == MSG_DNS_CONF)
			shot.seq = got.dns_conf.seq;
		if (type == MSG_DNS_ZONE) {
			in_zone = true;
			shot.serial = got.zone.serial;
		}
		if (type != MSG_DNS_KEY)
			continue;
		assert_true(in_zone && w.fd >= 0 && shot.n < KEYS_MAX);
		memcpy(&shot.keys[shot.n], &got, sizeof(shot.keys[0]));
		assert_string_equal(shot.keys[shot.n].zone, "jitsu.example");
		assert_true(read(w.fd, shot.text[shot.n], sizeof(shot.text[0]) - 1) > 0);
		assert_non_null(strstr(shot.text[shot.n], "PrivateKey: "));
		shot.n++;
	}
}

static void say_served(uint32_t ttl_s)
{
	struct msg_dns_loaded m = { .seq = shot.seq };
	struct msg_dns_zone_serial serial = { .zone = "jitsu.example", .serial = shot.serial, .ttl_s = ttl_s };

	say(w.dns, MSG_DNS_ZONE_SERIAL, &serial);
	say(w.dns, MSG_DNS_LOADED, &m);
}

static void begin_zone(void)
{
	w.zone = ",\"ttl\":\"1s\",\"negative_ttl\":\"1s\"";
	begin_with("", SERVICE("a", "1", LAZY));
	connect_with(NULL);
	meet(&w.dns, ROLE_DNS);
	hear_keys();
	say_served(1);
}

static struct msg_ctl_request request(enum ctl_verb verb, const char *zone)
{
	struct msg_ctl_request m = { .id = ++w.last_id, .verb = (uint8_t)verb, .admin = true };

	str_copy(m.zone, zone);
	return m;
}

/* Asks, and hears the end; the last row's `key` is in `value`. */
static char value[MSG_VALUE_MAX];
static unsigned n_rows;

static void ask_for(const struct msg_ctl_request *m, int error, const char *key)
{
	enum msg_type type;

	value[0] = '\0';
	n_rows = 0;
	say(w.control, MSG_CTL_REQUEST, m);
	while ((type = hear(w.control, WAIT_MS)) == MSG_CTL_ROW) {
		n_rows++;
		for (uint16_t i = 0; key && i < got.row.n_fields; i++)
			if (strcmp(got.row.fields[i].key, key) == 0)
				str_copy(value, got.row.fields[i].value);
	}
	assert_int_equal(type, MSG_CTL_END);
	if (got.end.error != error)
		fail_msg("%d instead of %d: %s", got.end.error, error, got.end.text);
}

static void act(enum ctl_verb verb)
{
	struct msg_ctl_request m = request(verb, "jitsu.example");

	m.force = m.ds_gone = m.has_ds_ttl = true;
	m.ds_ttl_s = 1;
	ask_for(&m, 0, NULL);
}

static void refused(enum ctl_verb verb, const char *zone, int error, const char *part)
{
	struct msg_ctl_request m = request(verb, zone);

	ask_for(&m, error, NULL);
	assert_int_equal(n_rows, 0);
	if (!strstr(got.end.text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, got.end.text);
}

static const char *phase(void)
{
	struct msg_ctl_request m = request(CTL_DNSSEC_STATUS, "jitsu.example");

	ask_for(&m, 0, "phase");
	assert_int_equal(n_rows, 1);
	return value;
}

static void wait_phase(const char *wanted)
{
	uint64_t until = clock_now_ms() + WAIT_MS;

	while (strcmp(phase(), wanted) != 0) {
		if (clock_now_ms() > until)
			fail_msg("it is %s, not %s", phase(), wanted);
		usleep(20000);
	}
}

static void relaunch(void)
{
	kill(w.pid, SIGKILL);
	end_launcher();
	launch();
	connect_with(NULL);
	meet(&w.dns, ROLE_DNS);
	hear_keys();
}

static void test_a_zone_is_signed_and_its_keys_go_to_dns(void **state)
{
	struct msg_ctl_request m;
	uint32_t serial;
	char text[512];

	(void)state;
	begin_zone();
	assert_int_equal(shot.n, 0);
	assert_string_equal(phase(), "off");
	serial = shot.serial;
	m = request(CTL_DNSSEC_ENABLE, "Jitsu.Example.");
	str_copy(m.algorithm, "ED25519");
	ask_for(&m, 0, "ds_sha256");
	assert_int_equal(n_rows, 1);
	assert_int_equal(strlen(value), 64);
	hear_keys();
	assert_int_equal(shot.n, 1);
	assert_int_equal(shot.keys[0].algorithm, 15);
	assert_int_equal(shot.keys[0].flags, 257);
	assert_true(shot.keys[0].publish && shot.keys[0].sign && shot.keys[0].sign_keys && !shot.keys[0].cds);
	assert_true((int32_t)(shot.serial - serial) > 0);
	strcpy(text, shot.text[0]);
	assert_string_equal(phase(), "fresh");
	refused(CTL_DNSSEC_DS_SEEN, "jitsu.example", -EINPROGRESS, "too early");
	say_served(1);
	hear_keys(); /* two seconds later: its DS may be shown */
	assert_true(shot.keys[0].cds);
	assert_string_equal(phase(), "wait-ds");
	relaunch();
	assert_int_equal(shot.n, 1);
	assert_string_equal(shot.text[0], text);
	assert_true(shot.keys[0].cds);
	say_served(1);
	assert_string_equal(phase(), "wait-ds");
	serial = shot.serial;
	meet(&w.dns, ROLE_DNS); /* dns was restarted, and makes other signatures: what differs has another serial */
	hear_keys();
	assert_string_equal(shot.text[0], text);
	assert_true((int32_t)(shot.serial - serial) > 0);
	w.zone = NULL;
}

static void test_a_roll(void **state)
{
	uint16_t old_tag, new_tag;
	uint32_t serial;

	(void)state;
	begin_zone();
	act(CTL_DNSSEC_ENABLE);
	hear_keys();
	act(CTL_DNSSEC_DS_SEEN);
	hear_keys();
	assert_string_equal(phase(), "signed");
	old_tag = shot.keys[0].tag;
	act(CTL_DNSSEC_ROLL);
	assert_int_equal(n_rows, 2);
	hear_keys();
	assert_int_equal(shot.n, 2);
	assert_int_equal(shot.keys[0].tag, old_tag);
	new_tag = shot.keys[1].tag;
	assert_true(shot.keys[0].sign && !shot.keys[1].sign);
	assert_true(shot.keys[0].sign_keys && shot.keys[1].sign_keys && shot.keys[1].publish && shot.keys[1].cds);
	relaunch();
	assert_int_equal(shot.n, 2);
	assert_true(shot.keys[0].sign && !shot.keys[1].sign);
	say_served(1);
	hear_keys();
	wait_phase("wait-new-ds");
	serial = shot.serial;
	say_served(1);
	act(CTL_DNSSEC_DS_SEEN);
	hear_keys();
	assert_true(!shot.keys[0].sign && shot.keys[0].publish && shot.keys[1].sign);
	assert_true((int32_t)(shot.serial - serial) > 0);
	say_served(2);
	hear_keys();
	assert_int_equal(shot.n, 1);
	assert_int_equal(shot.keys[0].tag, new_tag);
	assert_string_equal(phase(), "signed");
	act(CTL_DNSSEC_DISABLE);
	hear_keys();
	assert_false(shot.keys[0].cds);
	say_served(1);
	hear_keys();
	assert_int_equal(shot.n, 0);
	assert_string_equal(phase(), "off");
	w.zone = NULL;
}

static void test_bad_requests(void **state)
{
	struct msg_ctl_request m;

	(void)state;
	begin_zone();
	refused(CTL_DNSSEC_ENABLE, "other.example", -ENOENT, "there is no zone \"other.example\"");
	refused(CTL_DNSSEC_ENABLE, "", -EINVAL, "no zone is named");
	refused(CTL_DNSSEC_STATUS, "jitsu", -ENOENT, "there is no zone");
	refused(CTL_DNSSEC_DS, "jitsu.example", -ENOENT, "it is not signed");
	refused(CTL_DNSSEC_ROLL, "jitsu.example", -EALREADY, "it is not signed");
	refused(CTL_DNSSEC_DISABLE, "jitsu.example", -EALREADY, "it is not signed");
	m = request(CTL_DNSSEC_ENABLE, "jitsu.example");
	str_copy(m.algorithm, "rsasha1");
	ask_for(&m, -EINVAL, NULL);
	assert_non_null(strstr(got.end.text, "ecdsap256sha256 or ed25519"));
	for (enum ctl_verb verb = CTL_DNSSEC_ENABLE; verb <= CTL_DNSSEC_DS_SEEN; verb++) {
		m = request(verb, "jitsu.example");
		m.admin = false;
		ask_for(&m, -EPERM, NULL);
	}
	quiet(w.dns);
	assert_string_equal(phase(), "off");
	act(CTL_DNSSEC_ENABLE);
	hear_keys();
	refused(CTL_DNSSEC_DISABLE, "jitsu.example", -EPERM, "--yes-ds-is-gone");
	refused(CTL_DNSSEC_ENABLE, "jitsu.example", -EALREADY, "signed already");
	m = request(CTL_DNSSEC_DS, "jitsu.example"); /* whoever may look */
	m.admin = false;
	ask_for(&m, 0, "not_before_wall_ms");
	assert_true(strtoull(value, NULL, 10) > clock_wall_ms());
	quiet(w.dns);
	w.zone = NULL;
}

static void test_keys_that_cannot_be_used(void **state)
{
	char line[128];

	(void)state;
	begin_zone();
	act(CTL_DNSSEC_ENABLE);
	hear_keys();
	snprintf(line, sizeof(line), "echo x > %s/keys/jitsu.example/state", w.dir);
	assert_int_equal(system(line), 0);
	say(w.supervisor, MSG_RELOAD, NULL);
	hear_keys();
	assert_int_equal(shot.n, 1); /* they were good */
	refused(CTL_DNSSEC_DS_SEEN, "jitsu.example", -EBADF, "/keys/jitsu.example/state is damaged");
	relaunch();
	assert_int_equal(shot.n, 0); /* and the zone is served */
	refused(CTL_DNSSEC_ENABLE, "jitsu.example", -EBADF, "state is damaged");
	ask_for(&(struct msg_ctl_request){ .id = ++w.last_id, .verb = CTL_DNSSEC_STATUS }, 0, "mistake");
	assert_non_null(strstr(value, "state is damaged"));
	w.zone = NULL;
}

static void test_keys_of_no_zone_are_told(void **state)
{
	char line[128];

	(void)state;
	begin_zone();
	snprintf(line, sizeof(line), "mkdir -p %s/keys/gone.example", w.dir);
	assert_int_equal(system(line), 0);
	ask_for(&(struct msg_ctl_request){ .id = ++w.last_id, .verb = CTL_DNSSEC_STATUS }, 0, "phase");
	assert_int_equal(n_rows, 2);
	assert_string_equal(value, "not configured");
	w.zone = NULL;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_a_zone_is_signed_and_its_keys_go_to_dns),
		T(test_a_roll),
		T(test_bad_requests),
		T(test_keys_that_cannot_be_used),
		T(test_keys_of_no_zone_are_told),
	};

	if (!netns_enter_as_root())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
