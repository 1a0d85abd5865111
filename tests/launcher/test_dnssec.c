/* The zones' keys: the table of their phases, files that may be anything, crashes, and a whole life by a clock that
 * the test sets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "launcher/dnssec.h"

enum { TTL_S = 300, SERVICE_TTL_S = 60, DS_TTL_S = 1000 };

static char dir[64], keys_dir[96];
static struct service_conf service = { .ttl_ms = SERVICE_TTL_S * 1000 };
static struct zone_conf zone = { .name = (char *)"Jitsu.example", .ttl_ms = TTL_S * 1000, .negative_ttl_ms = 60000 };
static struct conf conf = { .zones = { 1, &zone }, .services = { 1, &service } };
static struct dnssec_time now;
static struct dnssec *d;

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/jitsu-dnssec.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(keys_dir, sizeof(keys_dir), "%s/keys", dir);
	conf.state_dir = dir;
	conf.zones.n = 1;
	now = (struct dnssec_time){ .wall_s = 1795000000, .mono_ms = 5000000, .boot = "boot-1" };
	return 0;
}

static int remove_dir(void **state)
{
	char line[96];

	(void)state;
	dnssec_free(d);
	d = NULL;
	snprintf(line, sizeof(line), "rm -rf %s", dir);
	return system(line);
}

static const char *in_zone(const char *file)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/jitsu.example/%s", keys_dir, file);
	return path;
}

static void write_text(const char *path, const char *text, size_t n)
{
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), n);
}

static void read_text(const char *path, struct buf *out)
{
	assert_int_equal(buf_read_file(out, path, 4096), 0);
}

static unsigned count_files(const char *pattern)
{
	char line[256], answer[16] = "";
	FILE *f;

	snprintf(line, sizeof(line), "find %s -name '%s' | wc -l", keys_dir, pattern);
	f = popen(line, "r");
	assert_non_null(f);
	assert_non_null(fgets(answer, sizeof(answer), f));
	pclose(f);
	return (unsigned)atoi(answer);
}

static void assert_says(const struct err *e, const char *part)
{
	if (!strstr(e->text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, e->text);
}

/* ---- the table ---- */

static int change_of(enum dnssec_action action, enum dnssec_phase phase)
{
	switch (action) {
	case DNSSEC_FIRST_KEY:
	case DNSSEC_NEXT_KEY: return 1;
	case DNSSEC_DROP_RETIRED: return -1;
	case DNSSEC_DROP_ALL: return -(int)dnssec_keys_of(phase);
	default: return 0;
	}
}

static void test_every_pair_has_its_answer(void **state)
{
	(void)state;
	for (unsigned p = 0; p < DNSSEC_PHASE_N; p++) {
		assert_string_not_equal(dnssec_phase_name(p), "?");
		for (unsigned ev = 0; ev < DNSSEC_EVENT_N; ev++) {
			const struct dnssec_move *m = dnssec_fsm(p, ev);
			const char *why = dnssec_refusal(p, ev);

			assert_string_not_equal(dnssec_event_name(ev), "?");
			if (!m) {
				assert_int_equal(*why == '\0', ev == DNSSEC_TIME);
				continue;
			}
			assert_int_equal(*why, '\0');
			assert_int_equal((int)dnssec_keys_of(p) + change_of(m->action, p), dnssec_keys_of(m->next));
			if (m->after_wait)
				assert_int_not_equal(dnssec_wait_of(p), DNSSEC_WAIT_NONE);
		}
		/* what waits goes on by itself, and only when it has waited */
		assert_int_equal(dnssec_fsm(p, DNSSEC_TIME) != NULL, dnssec_wait_of(p) != DNSSEC_WAIT_NONE);
		if (dnssec_fsm(p, DNSSEC_TIME))
			assert_true(dnssec_fsm(p, DNSSEC_TIME)->after_wait);
	}
	assert_string_equal(dnssec_phase_name(DNSSEC_PHASE_N), "?");
	assert_string_equal(dnssec_event_name(DNSSEC_EVENT_N), "?");
}

static void reach(enum dnssec_phase p, bool seen[DNSSEC_PHASE_N])
{
	if (seen[p])
		return;
	seen[p] = true;
	for (unsigned ev = 0; ev < DNSSEC_EVENT_N; ev++)
		if (dnssec_fsm(p, ev))
			reach(dnssec_fsm(p, ev)->next, seen);
}

static void test_every_phase_is_reached_and_left(void **state)
{
	(void)state;
	for (unsigned from = 0; from < DNSSEC_PHASE_N; from++) {
		bool seen[DNSSEC_PHASE_N] = { false };

		reach(from, seen);
		for (unsigned p = 0; p < DNSSEC_PHASE_N; p++)
			assert_true(seen[p]);
	}
}

/* What must never happen: a DS without its key; a key that signs and was not published for long enough; a key
 * removed while its signatures may be kept. */
static void test_no_row_is_unsafe(void **state)
{
	(void)state;
	for (unsigned p = 0; p < DNSSEC_PHASE_N; p++) {
		for (unsigned ev = 0; ev < DNSSEC_EVENT_N; ev++) {
			const struct dnssec_move *m = dnssec_fsm(p, ev);

			if (!m)
				continue;
			if (m->action == DNSSEC_DROP_ALL && p != DNSSEC_FRESH) {
				assert_int_equal(dnssec_wait_of(p), DNSSEC_WAIT_DS_TTL);
				assert_true(m->after_wait);
			}
			if (m->action == DNSSEC_DROP_RETIRED) {
				assert_int_equal(dnssec_wait_of(p), DNSSEC_WAIT_TTL_AND_DS);
				assert_true(m->after_wait);
			}
			if (m->action == DNSSEC_SWAP_KEYS && p == DNSSEC_PUBLISH)
				assert_true(m->after_wait);
			if (m->next == DNSSEC_SIGNED && p == DNSSEC_FRESH)
				assert_true(m->after_wait);
		}
	}
	assert_false(dnssec_lists_cds(DNSSEC_FRESH));
	assert_false(dnssec_lists_cds(DNSSEC_WITHDRAWN));
}

/* ---- keys ---- */

/* RFC 6605, 6.1; RFC 8080, 6.1. */
static const struct {
	const char *zone, *text, *public_text, *sha256;
	uint8_t algorithm;
	uint16_t tag;
} known[] = {
	{ "example.net", "Private-key-format: v1.2\nAlgorithm: 13 (ECDSAP256SHA256)\n"
			 "PrivateKey: GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=\n",
	  "GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==",
	  "B4C8C1FE2E7477127B27115656AD6256F424625BF5C1E2770CE6D6E37DF61D17", 13, 55648 },
	{ "Example.COM", "Private-key-format: v1.2\nAlgorithm: 15 (ED25519)\n"
			 "PrivateKey: ODIyNjAzODQ2MjgwODAxMjI2NDUxOTAyMDQxNDIyNjI=\n",
	  "l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=",
	  "3AA5AB37EFCE57F737FC1627013FEE07BDF241BD10F3B1964AB55C78E79A304B", 15, 3613 },
};

static void test_known_keys(void **state)
{
	struct dnssec_key k;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		assert_int_equal(dnssec_key_parse(known[i].zone, "f", known[i].text, &k, &e), 0);
		assert_int_equal(k.algorithm, known[i].algorithm);
		assert_int_equal(k.tag, known[i].tag);
		assert_string_equal(k.public_text, known[i].public_text);
		assert_string_equal(k.sha256, known[i].sha256);
		assert_int_equal(strlen(k.sha384), 96);
	}
}

static void test_new_keys(void **state)
{
	static const uint8_t algorithms[] = { DNSSEC_ECDSAP256SHA256, DNSSEC_ED25519 };
	struct dnssec_key a, b;
	char text[DNSSEC_KEY_TEXT_MAX] = "";
	struct err e;
	uint8_t found;
	int fd;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++) {
		assert_int_equal(dnssec_key_make("jitsu.example", algorithms[i], &a, &e), 0);
		assert_int_equal(dnssec_key_make("jitsu.example", algorithms[i], &b, &e), 0);
		assert_string_not_equal(a.text, b.text);
		assert_int_equal(a.algorithm, algorithms[i]);
		assert_int_equal(strncmp(a.text, "Private-key-format: v1.3\n", 25), 0);
		assert_int_equal(dnssec_key_parse("jitsu.example", "f", a.text, &b, &e), 0);
		assert_memory_equal(&a, &b, sizeof(a));
		assert_int_equal(dnssec_algorithm_find(dnssec_algorithm_name(algorithms[i]), &found), 0);
		assert_int_equal(found, algorithms[i]);
	}
	fd = dnssec_key_fd(&a);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, sizeof(text) - 1), strlen(a.text));
	assert_string_equal(text, a.text);
	assert_true(write(fd, "x", 1) < 0); /* sealed */
	close(fd);
	assert_int_equal(dnssec_algorithm_find("rsasha256", &found), -EINVAL);
	assert_int_equal(dnssec_algorithm_find("", &found), -EINVAL);
	dnssec_key_wipe(&a);
	assert_int_equal(a.text[0], '\0');
}

static void test_garbage_is_no_key(void **state)
{
	static const char *const garbage[] = {
		"",
		"hello\n",
		"Private-key-format: v1.3\n",
		"Private-key-format: v1.3\nAlgorithm: 13 (ECDSAP256SHA256)\n",
		"Private-key-format: v1.3\nAlgorithm: 13 (ECDSAP256SHA256)\nPrivateKey: \n",
		"Private-key-format: v1.3\nAlgorithm: 13 (ECDSAP256SHA256)\nPrivateKey: !!!!\n",
		"Private-key-format: v1.3\nAlgorithm: 99 (WHAT)\nPrivateKey: GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=\n",
		"Private-key-format: v2.0\nAlgorithm: 15 (ED25519)\nPrivateKey: ODIyNjAzODQ2MjgwODAxMjI2NDUxOTAyMDQxNDIyNjI=\n",
		"Private-key-format: v1.3\nAlgorithm: 157 (HMAC_MD5)\nKey: AAAA\n",
	};
	struct dnssec_key k = { .tag = 7 };
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(garbage); i++) {
		if (dnssec_key_parse("jitsu.example", "/the/file", garbage[i], &k, &e) != -EINVAL)
			fail_msg("taken: %s", garbage[i]);
		assert_says(&e, "/the/file holds no key");
		assert_int_equal(k.tag, 7);
	}
}

/* ---- files ---- */

static void make_keys(unsigned n, struct dnssec_keys *k)
{
	struct err e;

	*k = (struct dnssec_keys){ .phase = n == 2 ? DNSSEC_PUBLISH : DNSSEC_SIGNED, .served = true, .since = now,
				   .wait_s = 300, .ds_ttl_s = 86400, .gone = 77, .n = n };
	for (unsigned i = 0; i < n; i++) {
		k->of[i].role = i ? DNSSEC_NEXT : DNSSEC_ACTIVE;
		assert_int_equal(dnssec_key_make(zone.name, DNSSEC_ED25519, &k->of[i].key, &e), 0);
	}
}

static void save(const struct dnssec_keys *k)
{
	struct err e;

	if (dnssec_store_save(keys_dir, zone.name, k, &e) < 0)
		fail_msg("%s", e.text);
}

static bool is_same(const struct dnssec_keys *a, const struct dnssec_keys *b)
{
	bool same = a->phase == b->phase && a->served == b->served && a->wait_s == b->wait_s &&
		    a->ds_ttl_s == b->ds_ttl_s && a->gone == b->gone && a->n == b->n &&
		    a->since.wall_s == b->since.wall_s && a->since.mono_ms == b->since.mono_ms &&
		    strcmp(a->since.boot, b->since.boot) == 0;

	for (unsigned i = 0; same && i < a->n; i++)
		same = a->of[i].role == b->of[i].role && a->of[i].key.tag == b->of[i].key.tag &&
		       strcmp(a->of[i].key.text, b->of[i].key.text) == 0;
	return same;
}

static void assert_loads(const struct dnssec_keys *wanted)
{
	struct dnssec_keys k;
	struct err e;

	if (dnssec_store_load(keys_dir, zone.name, &k, &e) < 0)
		fail_msg("%s", e.text);
	assert_true(is_same(&k, wanted));
}

static void assert_refused(const char *part)
{
	struct dnssec_keys k = { .ds_ttl_s = 4711 };
	struct err e = { 0 };

	assert_true(dnssec_store_load(keys_dir, zone.name, &k, &e) < 0);
	assert_says(&e, part);
	assert_int_equal(k.ds_ttl_s, 4711);
	assert_int_equal(k.n, 0);
}

static void assert_mode(const char *path, unsigned mode)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, mode);
}

static void key_file(const struct dnssec_key *k, const char *what, char name[96])
{
	snprintf(name, 96, "Kjitsu.example.+%03u+%05u.%s", k->algorithm, k->tag, what);
}

static void test_what_is_saved_is_loaded(void **state)
{
	struct dnssec_keys k, none = { .phase = DNSSEC_OFF };
	char name[96];
	mode_t mask = umask(0);

	(void)state;
	assert_loads(&none);
	assert_int_equal(access(keys_dir, F_OK), -1); /* looking makes nothing */
	make_keys(2, &k);
	save(&k);
	umask(mask);
	assert_loads(&k);
	assert_mode(keys_dir, 0700);
	assert_mode(in_zone(""), 0700);
	assert_mode(in_zone("state"), 0600);
	for (unsigned i = 0; i < 2; i++) {
		key_file(&k.of[i].key, "private", name);
		assert_mode(in_zone(name), 0600);
		key_file(&k.of[i].key, "key", name);
		assert_mode(in_zone(name), 0600);
	}
	k.of[1] = k.of[0]; /* another key, and the old ones go */
	make_keys(1, &k);
	save(&k);
	assert_loads(&k);
	assert_int_equal(count_files("K*"), 2);
	k = none;
	k.since = now;
	save(&k);
	assert_loads(&k);
	assert_int_equal(count_files("K*"), 0);
}

static void test_a_save_that_was_cut_off(void **state)
{
	struct dnssec_keys before, after, other;
	struct buf old_state = { 0 };
	char name[96];

	(void)state;
	make_keys(1, &before);
	save(&before);
	read_text(in_zone("state"), &old_state);
	make_keys(2, &after);
	after.of[0] = before.of[0];
	/* the new key is there, the state is not; half of it lies beside its place */
	save(&after);
	write_text(in_zone("state"), old_state.text, old_state.n);
	write_text(in_zone("state.new"), "jitsu-dns", 9);
	assert_loads(&before);
	/* another key of the same name was left: the one that is saved counts */
	make_keys(1, &other);
	key_file(&after.of[1].key, "private", name);
	write_text(in_zone(name), other.of[0].key.text, strlen(other.of[0].key.text));
	save(&after);
	assert_loads(&after);
	assert_int_equal(count_files("*.new"), 0);
	/* the state is there, the old key is not removed yet */
	make_keys(1, &other);
	write_text(in_zone("Kjitsu.example.+015+00001.private"), "old", 3);
	write_text(in_zone("notes-of-mine"), "old", 3);
	assert_loads(&after);
	save(&other);
	assert_loads(&other);
	assert_int_equal(count_files("K*"), 2);
	assert_int_equal(count_files("notes-of-mine"), 1);
	buf_free(&old_state);
}

static _Noreturn void save_for_ever(const struct dnssec_keys *a, const struct dnssec_keys *b)
{
	struct err e;

	for (;;) {
		dnssec_store_save(keys_dir, zone.name, a, &e);
		dnssec_store_save(keys_dir, zone.name, b, &e);
	}
}

/* Killed at any moment of many saves, what is there is one of the two. */
static void test_killed_while_saving(void **state)
{
	unsigned rounds = getenv("LONG") ? 500 : 40;
	struct dnssec_keys a, b, k;
	struct err e;

	(void)state;
	make_keys(1, &a);
	make_keys(2, &b);
	b.of[0] = a.of[0];
	save(&a);
	for (unsigned i = 0; i < rounds; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			save_for_ever(&b, &a);
		usleep(500 + i * 577 % 20000);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		if (dnssec_store_load(keys_dir, zone.name, &k, &e) < 0)
			fail_msg("%s", e.text);
		assert_true(is_same(&k, &a) || is_same(&k, &b));
	}
}

static void test_files_that_others_can_use(void **state)
{
	struct dnssec_keys k;
	char name[96], path[256];

	(void)state;
	make_keys(1, &k);
	save(&k);
	key_file(&k.of[0].key, "private", name);
	chmod(in_zone(name), 0640);
	assert_refused("can be used by others (mode 0640)");
	chmod(in_zone(name), 0600);
	chmod(in_zone("state"), 0602);
	assert_refused("/state can be used by others (mode 0602)");
	chmod(in_zone("state"), 0600);
	chmod(in_zone(""), 0755);
	assert_refused("can be used by others (mode 0755), and is not used: chmod 700");
	chmod(in_zone(""), 0700);
	chmod(keys_dir, 0711);
	assert_refused("can be used by others (mode 0711)");
	chmod(keys_dir, 0700);
	if (geteuid() == 0) {
		assert_int_equal(chown(in_zone(name), 1, 0), 0);
		assert_refused("belongs to user 1");
		assert_int_equal(chown(in_zone(name), 0, 0), 0);
	}
	assert_loads(&k);
	strcpy(path, in_zone(name));
	assert_int_equal(rename(path, in_zone("elsewhere")), 0);
	assert_refused("No such file");
	assert_int_equal(symlink("elsewhere", path), 0);
	assert_refused("cannot read");
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_refused("is no regular file");
}

static void test_a_damaged_state(void **state)
{
	static const struct {
		const char *from, *to;
	} edits[] = {
		{ "jitsu-dnssec 1", "jitsu-dnssec 2" },
		{ "phase publish", "phase signed" },
		{ "phase publish", "phase xyz" },
		{ "served 1", "served 2" },
		{ "next", "active" },
		{ "next", "nxet" },
		{ "key 15", "key 13" },
		{ "end\n", "end\nend\n" },
		{ "end\n", "key 15 1 next\nend\n" },
		{ "wait 300", "wait x" },
		{ "gone 77\n", "gone 77 \n" },
		{ "end\n", "end" },
	};
	struct buf text = { 0 };
	struct dnssec_keys k;

	(void)state;
	make_keys(2, &k);
	save(&k);
	read_text(in_zone("state"), &text);
	for (size_t n = 0; n < text.n; n++) {
		write_text(in_zone("state"), text.text, n);
		assert_refused("state is damaged");
	}
	for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
		const char *at = strstr(text.text, edits[i].from);
		struct buf bad = { 0 };

		assert_non_null(at);
		buf_add(&bad, text.text, (size_t)(at - text.text));
		buf_adds(&bad, edits[i].to);
		buf_adds(&bad, at + strlen(edits[i].from));
		write_text(in_zone("state"), bad.text, bad.n);
		assert_refused(strcmp(edits[i].from, "key 15") == 0 ? "" : "state is damaged");
		buf_free(&bad);
	}
	write_text(in_zone("state"), text.text, text.n);
	assert_loads(&k);
	buf_free(&text);
}

static void test_a_key_under_another_name(void **state)
{
	struct dnssec_keys k, other;
	char name[96];

	(void)state;
	make_keys(1, &k);
	make_keys(1, &other);
	save(&k);
	key_file(&k.of[0].key, "private", name);
	write_text(in_zone(name), other.of[0].key.text, strlen(other.of[0].key.text));
	assert_refused("holds another key than its name says");
	write_text(in_zone(name), "garbage", 7);
	assert_refused("holds no key");
}

/* ---- a life ---- */

static const struct dnssec_wish plain = { .ds_ttl_s = -1 };
static const struct dnssec_wish insist = { .ds_ttl_s = -1, .force = true };

static struct dnssec_zone *the_zone(void) { return dnssec_zone(d, "jitsu.EXAMPLE."); }

static void restart(void)
{
	dnssec_free(d);
	d = dnssec_new();
	assert_non_null(d);
	dnssec_set(d, &conf, &now);
	assert_non_null(the_zone());
}

static void pass(uint64_t s)
{
	now.wall_s += s;
	now.mono_ms += (int64_t)s * 1000;
}

static void assert_phase_(enum dnssec_phase phase, const char *file, int line)
{
	if (the_zone()->keys.phase == phase)
		return;
	print_error("expected %s, got %s\n", dnssec_phase_name(phase), dnssec_phase_name(the_zone()->keys.phase));
	_fail(file, line);
}
#define assert_phase(phase) assert_phase_(phase, __FILE__, __LINE__)

static void step_with(enum dnssec_event event, const struct dnssec_wish *wish)
{
	struct err e;

	if (dnssec_step(d, the_zone(), event, wish, &now, &e) < 0)
		fail_msg("%s: %s", dnssec_event_name(event), e.text);
}

static void step(enum dnssec_event event) { step_with(event, &plain); }

/* Nothing changes: neither here nor on disk. */
static void assert_step_refused(enum dnssec_event event, const struct dnssec_wish *wish, int error, const char *part)
{
	struct dnssec_keys before = the_zone()->keys;
	struct err e = { 0 };

	assert_int_equal(dnssec_step(d, the_zone(), event, wish, &now, &e), error);
	assert_says(&e, part);
	assert_true(is_same(&before, &the_zone()->keys));
	assert_loads(&before);
}

/* The phase ends by itself after so many seconds since dns has served it, and not one earlier; a launcher that is
 * restarted meanwhile goes on. */
static void expect_wait(uint64_t s, enum dnssec_phase next)
{
	enum dnssec_phase phase = the_zone()->keys.phase;

	pass(100000); /* dns is away: nothing counts */
	assert_false(dnssec_tick(d, &now));
	assert_true(dnssec_next_ms(d, &now) == UINT64_MAX);
	dnssec_served(d, &now);
	assert_true(dnssec_next_ms(d, &now) == s * 1000);
	pass(s / 2);
	restart();
	pass(s - s / 2 - 1);
	assert_false(dnssec_tick(d, &now));
	assert_phase(phase);
	assert_true(dnssec_next_ms(d, &now) == 1000);
	pass(1);
	assert_true(dnssec_next_ms(d, &now) == 0);
	assert_true(dnssec_tick(d, &now));
	assert_phase(next);
	assert_false(dnssec_tick(d, &now));
}

/* A letter for each key: publishes, signs data, signs keys, is in CDS. */
static void assert_duties(const char *first, const char *second)
{
	const char *wanted[] = { first, second };
	unsigned n = (first != NULL) + (second != NULL);

	assert_int_equal(the_zone()->keys.n, n);
	for (unsigned i = 0; i < n; i++) {
		struct msg_dns_key m;
		char got[8];

		dnssec_describe_key(the_zone(), i, &m);
		snprintf(got, sizeof(got), "%c%c%c%c", m.publish ? 'p' : '-', m.sign ? 's' : '-',
			 m.sign_keys ? 'k' : '-', m.cds ? 'c' : '-');
		assert_string_equal(got, wanted[i]);
		assert_string_equal(m.zone, zone.name);
		assert_int_equal(m.flags, 257);
		assert_int_equal(m.tag, the_zone()->keys.of[i].key.tag);
	}
}

static void test_a_whole_life(void **state)
{
	struct dnssec_wish ds_gone = { .ds_gone = true, .ds_ttl_s = DS_TTL_S }, seen = { .ds_ttl_s = DS_TTL_S };
	uint16_t first, second;

	(void)state;
	restart();
	assert_phase(DNSSEC_OFF);
	assert_duties(NULL, NULL);
	assert_step_refused(DNSSEC_ROLL, &plain, -EALREADY, "not signed");
	assert_step_refused(DNSSEC_DS_SEEN, &insist, -EALREADY, "not signed");
	step(DNSSEC_ENABLE);
	assert_phase(DNSSEC_FRESH);
	assert_duties("psk-", NULL);
	assert_int_equal(the_zone()->keys.of[0].key.algorithm, DNSSEC_ECDSAP256SHA256);
	first = the_zone()->keys.of[0].key.tag;
	assert_step_refused(DNSSEC_ENABLE, &plain, -EALREADY, "signed already");
	assert_step_refused(DNSSEC_DS_SEEN, &plain, -EINPROGRESS, "dns does not answer by the last step yet");
	expect_wait(TTL_S + 1, DNSSEC_WAIT_DS);
	assert_duties("pskc", NULL);
	assert_step_refused(DNSSEC_ROLL, &plain, -EALREADY, "the parent has no DS");
	step_with(DNSSEC_DS_SEEN, &seen);
	assert_phase(DNSSEC_SIGNED);
	assert_duties("pskc", NULL);
	dnssec_served(d, &now);
	assert_true(dnssec_next_ms(d, &now) == UINT64_MAX);

	step(DNSSEC_ROLL);
	assert_phase(DNSSEC_PUBLISH);
	assert_duties("pskc", "p-kc");
	second = the_zone()->keys.of[1].key.tag;
	assert_int_not_equal(first, second);
	assert_int_equal(the_zone()->keys.of[1].key.algorithm, DNSSEC_ECDSAP256SHA256);
	assert_step_refused(DNSSEC_ROLL, &insist, -EALREADY, "a key roll is under way");
	assert_step_refused(DNSSEC_DISABLE, &ds_gone, -EALREADY, "finish it first");
	dnssec_served(d, &now);
	assert_step_refused(DNSSEC_DS_SEEN, &plain, -EINPROGRESS, "it is too early: ");
	assert_step_refused(DNSSEC_DS_SEEN, &plain, -EINPROGRESS, " UTC on; --force");
	the_zone()->keys.served = false;
	expect_wait(TTL_S + 1, DNSSEC_WAIT_NEW_DS);
	assert_duties("pskc", "p-kc");
	step(DNSSEC_DS_SEEN);
	assert_phase(DNSSEC_SWAPPED);
	assert_duties("p-kc", "pskc");
	expect_wait(DS_TTL_S + 1, DNSSEC_SIGNED); /* the parent's is the longer one */
	assert_duties("pskc", NULL);
	assert_int_equal(the_zone()->keys.of[0].key.tag, second);
	assert_int_equal(the_zone()->keys.gone, first);
	assert_int_equal(count_files("*.private"), 1);
	step(DNSSEC_DS_SEEN); /* the parent has let go of the old DS */
	assert_int_equal(the_zone()->keys.gone, 0);

	assert_step_refused(DNSSEC_DISABLE, &plain, -EPERM, "have its DS removed there first");
	assert_step_refused(DNSSEC_DISABLE, &insist, -EPERM, "--yes-ds-is-gone");
	step_with(DNSSEC_DISABLE, &ds_gone);
	assert_phase(DNSSEC_WITHDRAWN);
	assert_duties("psk-", NULL);
	assert_step_refused(DNSSEC_ROLL, &plain, -EALREADY, "no longer signed");
	step(DNSSEC_ENABLE); /* after all */
	assert_phase(DNSSEC_WAIT_DS);
	assert_int_equal(the_zone()->keys.of[0].key.tag, second);
	step_with(DNSSEC_DISABLE, &ds_gone);
	expect_wait(DS_TTL_S + 1, DNSSEC_OFF);
	assert_duties(NULL, NULL);
	assert_int_equal(count_files("*.private"), 0);
	restart();
	assert_phase(DNSSEC_OFF);
	step(DNSSEC_ENABLE);
	assert_phase(DNSSEC_FRESH);
	step_with(DNSSEC_DISABLE, &ds_gone); /* nobody can have a DS yet */
	assert_phase(DNSSEC_OFF);
}

static void test_insisting(void **state)
{
	struct dnssec_wish gone = { .ds_gone = true, .force = true, .ds_ttl_s = -1 };

	(void)state;
	restart();
	step(DNSSEC_ENABLE);
	step_with(DNSSEC_DS_SEEN, &insist);
	assert_phase(DNSSEC_SIGNED);
	assert_int_equal(the_zone()->keys.ds_ttl_s, DNSSEC_DS_TTL_S);
	step(DNSSEC_ROLL);
	step_with(DNSSEC_DS_SEEN, &insist);
	assert_phase(DNSSEC_SWAPPED);
	assert_step_refused(DNSSEC_DS_SEEN, &plain, -EINPROGRESS, "too early");
	step_with(DNSSEC_DS_SEEN, &insist);
	assert_phase(DNSSEC_SIGNED);
	step_with(DNSSEC_DISABLE, &gone);
	assert_phase(DNSSEC_WITHDRAWN);
	step_with(DNSSEC_DISABLE, &gone);
	assert_phase(DNSSEC_OFF);
}

static void test_algorithms(void **state)
{
	struct dnssec_wish ed = { .algorithm = DNSSEC_ED25519, .ds_ttl_s = -1 };
	struct dnssec_wish ec = { .algorithm = DNSSEC_ECDSAP256SHA256, .ds_ttl_s = -1 };

	(void)state;
	restart();
	step_with(DNSSEC_ENABLE, &ed);
	assert_int_equal(the_zone()->keys.of[0].key.algorithm, DNSSEC_ED25519);
	step_with(DNSSEC_DS_SEEN, &insist);
	assert_step_refused(DNSSEC_ROLL, &ec, -EOPNOTSUPP, "its key is of algorithm ed25519, which a roll does not change");
	step_with(DNSSEC_ROLL, &ed);
	assert_int_equal(the_zone()->keys.of[1].key.algorithm, DNSSEC_ED25519);
	restart();
	assert_phase(DNSSEC_PUBLISH);
}

/* In every phase that waits, and whichever way the wall clock is set. */
static void test_the_wall_clock_may_jump(void **state)
{
	static const int64_t jumps[] = { INT64_C(400) * 86400, INT64_C(-400) * 86400 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(jumps); i++) {
		restart();
		step(DNSSEC_ENABLE);
		dnssec_served(d, &now);
		pass(100);
		now.wall_s += (uint64_t)jumps[i];
		assert_false(dnssec_tick(d, &now));
		restart();
		assert_false(dnssec_tick(d, &now));
		assert_true(dnssec_next_ms(d, &now) == (TTL_S + 1 - 100) * 1000);
		pass(TTL_S + 1 - 100);
		assert_true(dnssec_tick(d, &now));
		assert_phase(DNSSEC_WAIT_DS);
		assert_int_equal(remove_dir(state), 0);
		assert_int_equal(mkdir(dir, 0700), 0);
	}
}

static void boot(const char *name, int64_t mono_ms, int64_t wall_s)
{
	strcpy(now.boot, name);
	now.mono_ms = mono_ms;
	now.wall_s += (uint64_t)wall_s;
	restart();
}

static void test_a_reboot(void **state)
{
	(void)state;
	restart();
	step(DNSSEC_ENABLE);
	dnssec_served(d, &now);
	boot("boot-2", 10000, 200); /* 200 s later, by the wall clock */
	assert_true(dnssec_next_ms(d, &now) == (TTL_S + 1 - 200) * 1000);
	pass(50);
	now.wall_s -= 100000; /* the time server corrects it: this boot has its own count by now */
	restart();
	assert_true(dnssec_next_ms(d, &now) == (TTL_S + 1 - 250) * 1000);
	boot("boot-3", 5000, -1000); /* no clock that survives: it begins anew, and ends */
	assert_true(dnssec_next_ms(d, &now) == (TTL_S + 1) * 1000);
	now.wall_s += 500000;
	assert_false(dnssec_tick(d, &now));
	pass(TTL_S + 1);
	assert_true(dnssec_tick(d, &now));
	assert_phase(DNSSEC_WAIT_DS);
}

static void test_ttls(void **state)
{
	(void)state;
	restart();
	step(DNSSEC_ENABLE);
	dnssec_told_ttl(d, "jitsu.example", 4000); /* a record of the zone's file */
	dnssec_told_ttl(d, "other.example", 9000);
	dnssec_served(d, &now);
	assert_true(dnssec_next_ms(d, &now) == 4001 * 1000);
	dnssec_told_ttl(d, "jitsu.example", 10); /* what was given out with the longer one is still there */
	assert_true(dnssec_next_ms(d, &now) == 4001 * 1000);
	restart();
	assert_true(dnssec_next_ms(d, &now) == 4001 * 1000);
	dnssec_told_ttl(d, "jitsu.example", 5000);
	dnssec_told_ttl(d, "jitsu.example", 10);
	assert_true(dnssec_next_ms(d, &now) == 5001 * 1000);
	dnssec_told_ttl(d, "jitsu.example", UINT32_MAX); /* none is that long */
	assert_true(dnssec_next_ms(d, &now) == (INT32_MAX + 1ull) * 1000);
	service.ttl_ms = 7000 * 1000; /* dns has not said anything yet */
	restart();
	assert_true(dnssec_next_ms(d, &now) == 7001 * 1000);
	service.ttl_ms = SERVICE_TTL_S * 1000;
	zone.secondaries.n = 1; /* they may be as late as their refresh */
	restart();
	assert_true(dnssec_next_ms(d, &now) == 4001 * 1000); /* what it was; 300 + 3600 is less */
	dnssec_told_ttl(d, "jitsu.example", 5000);
	assert_true(dnssec_next_ms(d, &now) == (5000 + DNSSEC_SECONDARIES_S + 1) * 1000);
	zone.secondaries.n = 0;
}

/* Whoever lowers TTLs to make a roll shorter has to wait until the longer ones are gone. */
static void test_ttls_lowered_before_a_roll(void **state)
{
	const struct dnssec_wish short_ds = { .ds_ttl_s = 10, .force = true };

	(void)state;
	zone.ttl_ms = 4000 * 1000;
	restart();
	step(DNSSEC_ENABLE);
	dnssec_told_ttl(d, "jitsu.example", 6000);
	dnssec_served(d, &now);
	step_with(DNSSEC_DS_SEEN, &insist);
	pass(9000);
	dnssec_served(d, &now);
	zone.ttl_ms = TTL_S * 1000;
	dnssec_set(d, &conf, &now);
	dnssec_told_ttl(d, "jitsu.example", 300);
	pass(10);
	dnssec_served(d, &now);
	pass(100);
	step(DNSSEC_ROLL);
	dnssec_served(d, &now);
	assert_true(dnssec_left_ms(the_zone(), &now) == (4000 - 100 + 1) * 1000);
	step_with(DNSSEC_DS_SEEN, &short_ds);
	dnssec_served(d, &now);
	assert_true(dnssec_left_ms(the_zone(), &now) == (6000 - 100 + 1) * 1000);
	pass(6000);
	dnssec_served(d, &now);
	step_with(DNSSEC_DS_SEEN, &insist);
	step(DNSSEC_ROLL);
	dnssec_served(d, &now);
	assert_true(dnssec_left_ms(the_zone(), &now) == (TTL_S + 1) * 1000); /* as long as ever */
}

static void test_signatures_are_renewed(void **state)
{
	(void)state;
	restart();
	assert_true(dnssec_renew_ms(d, &now) == UINT64_MAX);
	step(DNSSEC_ENABLE);
	assert_true(dnssec_renew_ms(d, &now) == DNSSEC_RENEW_MS);
	assert_true(DNSSEC_RENEW_MS <= 86400 * 1000);
	pass(3600);
	assert_true(dnssec_renew_ms(d, &now) == DNSSEC_RENEW_MS - 3600 * 1000);
	pass(86400);
	assert_true(dnssec_renew_ms(d, &now) == 0);
	dnssec_told(d, &now);
	assert_true(dnssec_renew_ms(d, &now) == DNSSEC_RENEW_MS);
	dnssec_not_taken(d, &now);
	assert_true(dnssec_renew_ms(d, &now) == DNSSEC_REFUSED_MS);
	dnssec_told(d, &now);
	assert_true(dnssec_renew_ms(d, &now) == DNSSEC_RENEW_MS);
}

/* A board without a battery for its clock: it boots in 1970, and learns the time later. */
static void test_the_wall_clock_is_set(void **state)
{
	const uint64_t right_s = now.wall_s;

	(void)state;
	now.wall_s = 100;
	restart();
	assert_true(dnssec_renew_ms(d, &now) == UINT64_MAX);
	step(DNSSEC_ENABLE);
	dnssec_told(d, &now);
	dnssec_served(d, &now);
	pass(100);
	assert_true(dnssec_left_ms(dnssec_nth(d, 0), &now) == (TTL_S + 1 - 100) * 1000);
	now.wall_s = right_s;
	assert_true(dnssec_renew_ms(d, &now) == 0); /* what was signed in 1970 is no good */
	dnssec_told(d, &now);
	assert_true(dnssec_renew_ms(d, &now) == DNSSEC_RENEW_MS);
	assert_true(dnssec_left_ms(dnssec_nth(d, 0), &now) == (TTL_S + 1 - 100) * 1000);
	boot("boot-2", 10000, 50);
	assert_true(dnssec_left_ms(dnssec_nth(d, 0), &now) == (TTL_S + 1 - 150) * 1000); /* and not over */
	now.wall_s -= 3600; /* it went wrong by an hour */
	assert_true(dnssec_renew_ms(d, &now) == 0);
	dnssec_told(d, &now);
	now.wall_s += 10; /* as NTP does every day */
	assert_true(dnssec_renew_ms(d, &now) == DNSSEC_RENEW_MS);
}

/* One more than dns has room for is refused. */
static void test_as_many_zones_as_dns_can_sign(void **state)
{
	enum { N = MSG_SIGNED_ZONES_MAX + 1 };
	static struct zone_conf many[N];
	static char names[N][32];
	struct conf all = conf;
	struct err e;

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		snprintf(names[i], sizeof(names[i]), "z%u.example", i);
		many[i] = (struct zone_conf){ .name = names[i] };
	}
	all.zones.n = N;
	all.zones.v = many;
	d = dnssec_new();
	dnssec_set(d, &all, &now);
	for (unsigned i = 0; i < N - 1; i++)
		dnssec_nth(d, i)->keys.n = 1; /* as good as signed, for this */
	assert_int_equal(dnssec_step(d, dnssec_nth(d, N - 1), DNSSEC_ENABLE, &plain, &now, &e), -ENOSPC);
	assert_says(&e, "256 zones are signed already");
	dnssec_nth(d, 0)->keys.n = 0;
	assert_int_equal(dnssec_step(d, dnssec_nth(d, N - 1), DNSSEC_ENABLE, &plain, &now, &e), 0);
}

/* ---- files that go bad ---- */

static void test_damaged_files_leave_the_keys_in_force(void **state)
{
	struct dnssec_zone *z;
	struct err e;
	uint16_t tag;

	(void)state;
	restart();
	step(DNSSEC_ENABLE);
	tag = the_zone()->keys.of[0].key.tag;
	chmod(in_zone("state"), 0644);
	dnssec_set(d, &conf, &now);
	z = the_zone();
	assert_non_null(strstr(z->mistake, "can be used by others"));
	assert_int_equal(z->keys.of[0].key.tag, tag);
	assert_int_equal(dnssec_step(d, z, DNSSEC_DS_SEEN, &insist, &now, &e), -EBADF);
	assert_says(&e, "jitsuctl reload");
	dnssec_served(d, &now); /* nothing is overwritten */
	assert_true(dnssec_next_ms(d, &now) == UINT64_MAX);
	pass(10000);
	assert_false(dnssec_tick(d, &now));
	assert_mode(in_zone("state"), 0644);
	restart(); /* a launcher that never had them */
	z = the_zone();
	assert_int_equal(z->keys.n, 0);
	assert_non_null(strstr(z->mistake, "can be used by others"));
	assert_int_equal(dnssec_step(d, z, DNSSEC_ENABLE, &plain, &now, &e), -EBADF);
	chmod(in_zone("state"), 0600);
	dnssec_set(d, &conf, &now);
	assert_string_equal(the_zone()->mistake, "");
	assert_int_equal(the_zone()->keys.of[0].key.tag, tag);
}

static void test_files_that_are_gone(void **state)
{
	char line[128];

	(void)state;
	restart();
	step(DNSSEC_ENABLE);
	snprintf(line, sizeof(line), "rm -rf %s", keys_dir);
	assert_int_equal(system(line), 0);
	dnssec_set(d, &conf, &now);
	assert_int_equal(the_zone()->keys.n, 1);
	assert_non_null(strstr(the_zone()->mistake, "are gone"));
}

static void test_a_step_that_cannot_be_saved(void **state)
{
	struct dnssec_keys before;
	struct err e;

	(void)state;
	restart();
	step(DNSSEC_ENABLE);
	dnssec_served(d, &now);
	before = the_zone()->keys;
	assert_int_equal(mkdir(in_zone("state.new"), 0700), 0);
	assert_true(dnssec_step(d, the_zone(), DNSSEC_DS_SEEN, &insist, &now, &e) < 0);
	assert_says(&e, "cannot write state");
	assert_true(is_same(&before, &the_zone()->keys));
	assert_loads(&before);
	pass(TTL_S + 1);
	assert_false(dnssec_tick(d, &now));
	assert_phase(DNSSEC_FRESH);
	assert_true(dnssec_next_ms(d, &now) == 60000); /* later again, not all the time */
	assert_int_equal(rmdir(in_zone("state.new")), 0);
	pass(60);
	assert_true(dnssec_tick(d, &now));
	assert_phase(DNSSEC_WAIT_DS);
}

static void test_a_zone_that_is_not_configured_keeps_its_keys(void **state)
{
	uint16_t tag;

	(void)state;
	restart();
	step(DNSSEC_ENABLE);
	tag = the_zone()->keys.of[0].key.tag;
	conf.zones.n = 0;
	dnssec_set(d, &conf, &now);
	assert_null(the_zone());
	assert_null(dnssec_nth(d, 0));
	assert_int_equal(count_files("*.private"), 1);
	conf.zones.n = 1;
	dnssec_set(d, &conf, &now);
	assert_phase(DNSSEC_FRESH);
	assert_int_equal(the_zone()->keys.of[0].key.tag, tag);
}

#define T(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_pair_has_its_answer),
		cmocka_unit_test(test_every_phase_is_reached_and_left),
		cmocka_unit_test(test_no_row_is_unsafe),
		cmocka_unit_test(test_known_keys),
		cmocka_unit_test(test_new_keys),
		cmocka_unit_test(test_garbage_is_no_key),
		T(test_what_is_saved_is_loaded),
		T(test_a_save_that_was_cut_off),
		T(test_killed_while_saving),
		T(test_files_that_others_can_use),
		T(test_a_damaged_state),
		T(test_a_key_under_another_name),
		T(test_a_whole_life),
		T(test_insisting),
		T(test_algorithms),
		T(test_the_wall_clock_may_jump),
		T(test_a_reboot),
		T(test_ttls),
		T(test_ttls_lowered_before_a_roll),
		T(test_signatures_are_renewed),
		T(test_the_wall_clock_is_set),
		T(test_as_many_zones_as_dns_can_sign),
		T(test_damaged_files_leave_the_keys_in_force),
		T(test_files_that_are_gone),
		T(test_a_step_that_cannot_be_saved),
		T(test_a_zone_that_is_not_configured_keeps_its_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
