/* The registry: objects, revisions, versions; and what the disk, other programs and sudden death do to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "config/registry.h"

static char dir[64], path[96];
static struct registry *r;
static struct err e;

static const struct registry_author somebody = { 1000, "alice", "set www ttl", 1700000000000 };

static void reopen(void)
{
	registry_free(r);
	r = NULL;
	assert_int_equal(registry_open(path, &r, &e), 0);
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/jitsu-registry-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/registry.db", dir);
	r = NULL;
	e = (struct err){ 0 };
	return 0;
}

static int teardown(void **state)
{
	char line[128];

	(void)state;
	registry_free(r);
	r = NULL;
	snprintf(line, sizeof(line), "rm -rf %s", dir);
	return system(line);
}

/* The number of the revision, or the error. */
static int64_t put(const char *name, const char *body)
{
	struct registry_change c = { .kind = REGISTRY_SERVICE, .name = name, .after = body };
	uint64_t number = 0;
	int error = registry_commit(r, &c, 1, &somebody, &number, &e);

	return error < 0 ? error : (int64_t)number;
}

static uint64_t newest(void)
{
	uint64_t n = UINT64_MAX;

	assert_int_equal(registry_newest(r, &n, &e), 0);
	return n;
}

/* The object's text, "" when it is not there. */
static const char *get(const char *name)
{
	static char text[256];
	struct buf body = { 0 };
	int error = registry_get(r, REGISTRY_SERVICE, name, &body, &e);

	assert_true(error == 0 || error == -ENOENT);
	snprintf(text, sizeof(text), "%s", error == 0 ? body.text : "");
	buf_free(&body);
	return text;
}

static void assert_error(const char *part)
{
	if (!strstr(e.text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, e.text);
}

/* ---- what it keeps ---- */

static bool add_name(void *arg, const char *name, const char *body)
{
	buf_addf(arg, "%s=%s ", name, body);
	return true;
}

static bool add_revision(void *arg, const struct registry_revision *rev)
{
	buf_addf(arg, "%llu:%u:%s:%s:%llu ", (unsigned long long)rev->number, rev->by.uid, rev->by.user, rev->by.command,
		 (unsigned long long)rev->by.wall_ms);
	return true;
}

static bool add_change(void *arg, const struct registry_change *c)
{
	buf_addf(arg, "%s %s:%s->%s ", registry_kind_name(c->kind), c->name, c->before ? c->before : "-",
		 c->after ? c->after : "-");
	return true;
}

static void assert_changes(uint64_t number, const char *expected)
{
	struct buf text = { 0 };

	assert_int_equal(registry_changes(r, number, add_change, &text, &e), 0);
	assert_string_equal(text.text, expected);
	buf_free(&text);
}

static void assert_objects(const char *after, const char *expected)
{
	struct buf text = { 0 };

	buf_adds(&text, "");
	assert_int_equal(registry_each(r, REGISTRY_SERVICE, after, add_name, &text, &e), 0);
	assert_string_equal(text.text ? text.text : "", expected);
	buf_free(&text);
}

static void assert_history(const char *name, uint64_t before, unsigned n, const char *expected)
{
	struct buf text = { 0 };

	buf_adds(&text, "");
	assert_int_equal(registry_history(r, name, before, n, add_revision, &text, &e), 0);
	assert_string_equal(text.text ? text.text : "", expected);
	buf_free(&text);
}

static void test_objects_and_their_history(void **state)
{
	(void)state;
	reopen();
	assert_int_equal(newest(), 0);
	assert_objects("", "");
	assert_int_equal(put("www", "1"), 1);
	assert_int_equal(put("api", "2"), 2);
	assert_int_equal(put("www", "3"), 3);
	assert_int_equal(put("www", NULL), 4);
	for (int i = 0; i < 2; i++) { /* and when it is opened again */
		assert_string_equal(get("api"), "2");
		assert_string_equal(get("www"), "");
		assert_objects("", "api=2 ");
		assert_changes(1, "service www:-->1 ");
		assert_changes(3, "service www:1->3 ");
		assert_changes(4, "service www:3->- ");
		assert_history("api", 0, 9, "2:1000:alice:set www ttl:1700000000000 ");
		assert_history(NULL, 4, 1, "3:1000:alice:set www ttl:1700000000000 ");
		assert_history("www", 3, 9, "1:1000:alice:set www ttl:1700000000000 ");
		assert_history("nobody", 0, 9, "");
		assert_int_equal(newest(), 4);
		reopen();
	}
	assert_int_equal(registry_changes(r, 5, add_change, NULL, &e), -ENOENT);
	assert_error("there is no revision 5");
}

static void test_all_or_nothing(void **state)
{
	const struct registry_change good[] = { { REGISTRY_SERVICE, "a", NULL, "1" }, { REGISTRY_ORDER, "a", NULL, "up" } };
	const struct registry_change bad[] = { { REGISTRY_SERVICE, "b", NULL, "1" }, { REGISTRY_SERVICE, "c", NULL, NULL } };
	uint64_t number = 0;

	(void)state;
	reopen();
	assert_int_equal(registry_commit(r, good, 2, &somebody, &number, &e), 0);
	assert_int_equal(number, 1);
	assert_changes(1, "service a:-->1 order a:-->up ");
	assert_int_equal(registry_commit(r, bad, 2, &somebody, &number, &e), -ENOENT);
	assert_error("no service \"c\"");
	assert_int_equal(number, 1);
	assert_string_equal(get("b"), "");
	assert_int_equal(newest(), 1);
	assert_objects("", "a=1 ");
	assert_int_equal(put("b", "2"), 2); /* it goes on */
	assert_objects("a", "b=2 ");
}

static void test_what_has_changed_since(void **state)
{
	struct buf text = { 0 };

	(void)state;
	reopen();
	assert_int_equal(put("a", "1"), 1);
	assert_int_equal(put("b", "1"), 2);
	assert_int_equal(put("a", "2"), 3);
	assert_int_equal(put("c", "1"), 4);
	assert_int_equal(put("a", "3"), 5);
	assert_int_equal(put("b", NULL), 6);
	assert_int_equal(registry_since(r, 2, add_change, &text, &e), 0);
	assert_string_equal(text.text, "service a:3->1 service b:-->1 service c:1->- ");
	buf_clear(&text);
	assert_int_equal(registry_since(r, 0, add_change, &text, &e), 0);
	assert_string_equal(text.text, "service a:3->- service b:-->- service c:1->- ");
	buf_clear(&text);
	assert_int_equal(registry_since(r, 6, add_change, &text, &e), 0);
	assert_int_equal(text.n, 0);
	assert_int_equal(registry_since(r, 7, add_change, &text, &e), -ENOENT);
	assert_error("they go from 0 to 6");
	buf_free(&text);
}

static bool add_learned(void *arg, const struct registry_fact *f)
{
	buf_addf(arg, "%s.%s=%s@%llu ", f->name, f->key, f->value, (unsigned long long)f->wall_ms);
	return true;
}

static void assert_learned(const char *expected)
{
	struct buf text = { 0 };

	buf_adds(&text, "");
	assert_int_equal(registry_learned(r, add_learned, &text, &e), 0);
	assert_string_equal(text.text ? text.text : "", expected);
	buf_free(&text);
}

static void learn(const char *name, const char *key, const char *value, uint64_t wall_ms)
{
	const struct registry_fact f = { name, key, value, wall_ms };

	assert_int_equal(registry_learn(r, &f, 1, &e), 0);
}

static void test_learned(void **state)
{
	const struct registry_fact both[] = { { "www", "wakes", "2", 7 }, { "api", "wakes", "9", 8 } };

	(void)state;
	reopen();
	learn("www", "wakes", "1", 5);
	learn("www", "boot_ms", "80", 6);
	assert_int_equal(registry_learn(r, both, 2, &e), 0);
	reopen();
	assert_learned("api.wakes=9@8 www.boot_ms=80@6 www.wakes=2@7 ");
	learn("www", "wakes", NULL, 9);
	assert_learned("api.wakes=9@8 www.boot_ms=80@6 ");
	learn("www", NULL, NULL, 9);
	assert_learned("api.wakes=9@8 ");
	assert_int_equal(newest(), 0); /* no revision */
}

static void test_others_cannot_read_it(void **state)
{
	struct stat st;

	(void)state;
	reopen();
	assert_int_equal(put("www", "1"), 1);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

/* ---- versions ---- */

static void make_database(const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* As the first release made it: this text never changes. */
static const char version_1[] =
	"CREATE TABLE object (kind INTEGER NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,"
	" PRIMARY KEY (kind, name)) WITHOUT ROWID;"
	"CREATE TABLE revision (number INTEGER PRIMARY KEY, wall_ms INTEGER NOT NULL, uid INTEGER NOT NULL,"
	" user TEXT NOT NULL, command TEXT NOT NULL);"
	"CREATE TABLE change (revision INTEGER NOT NULL, kind INTEGER NOT NULL, name TEXT NOT NULL,"
	" before TEXT, after TEXT, PRIMARY KEY (revision, kind, name)) WITHOUT ROWID;"
	"CREATE INDEX change_of ON change (name, revision);"
	"PRAGMA application_id = 1785295987; PRAGMA user_version = 1;"
	"INSERT INTO object VALUES (0, 'www', 'old');"
	"INSERT INTO revision VALUES (7, 1600000000000, 0, 'root', 'add www');"
	"INSERT INTO change VALUES (7, 0, 'www', NULL, 'old');";

static void test_version_1_is_brought_up_to_date(void **state)
{
	(void)state;
	make_database(version_1);
	reopen();
	assert_string_equal(get("www"), "old");
	assert_history("www", 0, 9, "7:0:root:add www:1600000000000 ");
	assert_int_equal(put("www", "new"), 8);
	assert_changes(8, "service www:old->new ");
	learn("www", "wakes", "1", 5);
	reopen();
	assert_string_equal(get("www"), "new");
}

/* Whatever stops the way to the next version, leaves the one before. */
static void test_version_1_stays_when_it_cannot_be_brought(void **state)
{
	(void)state;
	make_database(version_1);
	make_database("CREATE TABLE learned (something TEXT)");
	assert_int_equal(registry_open(path, &r, &e), -EIO);
	assert_error("learned already exists");
	make_database("DROP TABLE learned");
	reopen();
	assert_string_equal(get("www"), "old");
	learn("www", "wakes", "1", 5);
}

static void test_what_is_none_of_ours_is_refused(void **state)
{
	FILE *f;

	(void)state;
	make_database("PRAGMA application_id = 1785295987; PRAGMA user_version = 3; CREATE TABLE future (a)");
	assert_int_equal(registry_open(path, &r, &e), -EPROTONOSUPPORT);
	assert_error("version 3, which a newer jitsu has made");
	unlink(path);
	make_database("CREATE TABLE recipes (cake TEXT)");
	assert_int_equal(registry_open(path, &r, &e), -EUCLEAN);
	assert_error("another program");
	unlink(path);
	f = fopen(path, "w");
	for (int i = 0; i < 1000; i++)
		fputs("this is a text ", f);
	fclose(f);
	assert_int_equal(registry_open(path, &r, &e), -EUCLEAN);
	assert_error("this is no database");
	snprintf(path, sizeof(path), "%s/nowhere/registry.db", dir);
	assert_int_equal(registry_open(path, &r, &e), -EACCES);
	assert_error("is its directory there");
}

/* Bytes of the tables are overwritten, between the file's header and its end. */
static void test_damage_is_told_when_it_is_opened(void **state)
{
	char text[1024], junk[512];
	int fd;

	(void)state;
	reopen();
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 50; i++) {
		char name[16];

		snprintf(name, sizeof(name), "s%d", i);
		assert_true(put(name, text) > 0);
	}
	registry_free(r); /* all is in the one file now */
	r = NULL;
	memset(junk, 0xa5, sizeof(junk));
	fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	for (int page = 2; page < 20; page++)
		assert_int_equal(pwrite(fd, junk, sizeof(junk), page * 4096), sizeof(junk));
	close(fd);
	assert_int_equal(registry_open(path, &r, &e), -EUCLEAN);
	assert_error("it is damaged");
}

/* ---- others ---- */

static void test_another_program_holds_it(void **state)
{
	uint64_t before = clock_now_ms();
	sqlite3 *db;

	(void)state;
	reopen();
	assert_int_equal(put("www", "1"), 1);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(put("www", "2"), -EBUSY);
	assert_error("another program holds a lock");
	assert_true(clock_now_ms() - before >= REGISTRY_BUSY_MS);
	assert_string_equal(get("www"), "1"); /* reading goes on */
	assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(put("www", "2"), 2);
	sqlite3_close(db);
}

/* ---- a disk that fails ---- */

/* A VFS in front of the real one.  The `fail_at`-th write, sync or truncation from now on fails with
 * `fail_with`, and so do all after it until it is armed anew. */
static int fail_at, fail_with;

struct bad_file {
	sqlite3_file base;
	sqlite3_file *real;
};

static sqlite3_file *real_of(sqlite3_file *f) { return ((struct bad_file *)f)->real; }

static bool is_due(void) { return fail_at > 0 && --fail_at == 0 ? (fail_at = 1, true) : false; }

static int bad_close(sqlite3_file *f)
{
	int code = real_of(f)->pMethods->xClose(real_of(f));

	sqlite3_free(real_of(f));
	return code;
}

static int bad_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	return real_of(f)->pMethods->xRead(real_of(f), p, n, at);
}

/* Half of it is written. */
static int bad_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	if (!is_due())
		return real_of(f)->pMethods->xWrite(real_of(f), p, n, at);
	real_of(f)->pMethods->xWrite(real_of(f), p, n / 2, at);
	return fail_with == SQLITE_IOERR ? SQLITE_IOERR_WRITE : fail_with;
}

static int bad_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	return is_due() ? SQLITE_IOERR_TRUNCATE : real_of(f)->pMethods->xTruncate(real_of(f), size);
}

static int bad_sync(sqlite3_file *f, int flags)
{
	return is_due() ? SQLITE_IOERR_FSYNC : real_of(f)->pMethods->xSync(real_of(f), flags);
}

static int bad_size(sqlite3_file *f, sqlite3_int64 *size)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), size);
}
static int bad_lock(sqlite3_file *f, int l) { return real_of(f)->pMethods->xLock(real_of(f), l); }
static int bad_unlock(sqlite3_file *f, int l) { return real_of(f)->pMethods->xUnlock(real_of(f), l); }
static int bad_reserved(sqlite3_file *f, int *out)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}
static int bad_control(sqlite3_file *f, int op, void *arg)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}
static int bad_sector(sqlite3_file *f) { return real_of(f)->pMethods->xSectorSize(real_of(f)); }
static int bad_traits(sqlite3_file *f) { return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f)); }
static int bad_shm_map(sqlite3_file *f, int page, int size, int more, void volatile **p)
{
	return real_of(f)->pMethods->xShmMap(real_of(f), page, size, more, p);
}
static int bad_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return real_of(f)->pMethods->xShmLock(real_of(f), at, n, flags);
}
static void bad_shm_barrier(sqlite3_file *f) { real_of(f)->pMethods->xShmBarrier(real_of(f)); }
static int bad_shm_unmap(sqlite3_file *f, int del) { return real_of(f)->pMethods->xShmUnmap(real_of(f), del); }

static const sqlite3_io_methods bad_methods = {
	2,	      bad_close,   bad_read,	 bad_write,    bad_truncate, bad_sync,	 bad_size,
	bad_lock,     bad_unlock,  bad_reserved, bad_control,  bad_sector,   bad_traits, bad_shm_map,
	bad_shm_lock, bad_shm_barrier, bad_shm_unmap, NULL,    NULL,
};

static sqlite3_vfs bad_vfs, *real_vfs;

static int bad_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
	struct bad_file *b = (struct bad_file *)f;
	int code;

	(void)vfs;
	b->base.pMethods = NULL;
	b->real = sqlite3_malloc(real_vfs->szOsFile);
	if (!b->real)
		return SQLITE_NOMEM;
	code = real_vfs->xOpen(real_vfs, name, b->real, flags, out);
	if (code != SQLITE_OK)
		sqlite3_free(b->real);
	else
		b->base.pMethods = &bad_methods;
	return code;
}

static void use_bad_disk(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	bad_vfs = *real_vfs;
	bad_vfs.zName = "bad";
	bad_vfs.szOsFile = sizeof(struct bad_file);
	bad_vfs.xOpen = bad_open;
	bad_vfs.pNext = NULL;
	assert_int_equal(sqlite3_vfs_register(&bad_vfs, 1), SQLITE_OK);
}

static void use_good_disk(void)
{
	sqlite3_vfs_unregister(&bad_vfs);
	sqlite3_vfs_register(real_vfs, 1);
}

/* Both objects say the same number, and so does the newest revision: else something was half done. */
static uint64_t whole(void)
{
	char one[32];
	uint64_t n = newest();

	snprintf(one, sizeof(one), "%s", get("one"));
	assert_string_equal(one, get("two"));
	assert_int_equal(strtoull(one, NULL, 10), n);
	return n;
}

static int put_both(uint64_t number)
{
	char body[32];
	struct registry_change both[] = { { REGISTRY_SERVICE, "one", NULL, body },
					  { REGISTRY_SERVICE, "two", NULL, body } };
	uint64_t got = 0;
	int error;

	snprintf(body, sizeof(body), "%llu", (unsigned long long)number);
	error = registry_commit(r, both, 2, &somebody, &got, &e);
	if (error == 0)
		assert_int_equal(got, number);
	return error;
}

/* The k-th operation of a commit fails: it is refused with a sentence, and neither now nor after it was
 * opened anew is anything half there; and then it goes on. */
static unsigned fail_once(int k, int with)
{
	uint64_t before = whole(), after;
	int error;

	fail_at = k;
	fail_with = with;
	error = put_both(before + 1);
	if (fail_at != 1) { /* not that many */
		fail_at = 0;
		assert_int_equal(error, 0);
		return 0;
	}
	fail_at = 0;
	if (error < 0)
		assert_true(error == -EIO || error == -ENOSPC);
	after = whole();
	assert_int_equal(after, error < 0 ? before : before + 1);
	assert_int_equal(put_both(after + 1), 0);
	reopen();
	assert_int_equal(whole(), after + 1);
	return error < 0;
}

static void test_a_disk_that_fails(void **state)
{
	unsigned refused = 0;

	(void)state;
	use_bad_disk();
	reopen();
	assert_int_equal(put_both(1), 0);
	for (int k = 1; k <= 16; k++) {
		refused += fail_once(k, SQLITE_IOERR);
		refused += fail_once(k, SQLITE_FULL);
	}
	assert_true(refused >= 8);
	registry_free(r);
	r = NULL;
	use_good_disk();
	reopen();
	whole();
}

/* While it is opened, too; also when what is there must be recovered from the log. */
static void test_a_disk_that_fails_at_the_start(void **state)
{
	unsigned refused = 0;

	(void)state;
	use_bad_disk();
	for (int k = 1; k <= 12; k++) {
		int error;

		fail_at = k;
		fail_with = SQLITE_IOERR;
		error = registry_open(path, &r, &e);
		if (error < 0)
			assert_true(error == -EIO || error == -ENOSPC || error == -EACCES);
		refused += error < 0;
		fail_at = 0;
		reopen();
		assert_int_equal(newest(), 0);
		registry_free(r);
		r = NULL;
		assert_int_equal(unlink(path), 0);
	}
	assert_true(refused >= 4);
	use_good_disk();
}

/* ---- a disk that is full, or read only ---- */

static bool small_disk(const char *options)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return false;
	return mount("tmpfs", dir, "tmpfs", 0, options) == 0;
}

static void in_child(void (*run)(void))
{
	int status = -1;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (!small_disk("size=256k"))
			_exit(77);
		run();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* In a child a failed assertion would go on as the test's parent: it ends instead. */
#define must(condition)                                                                  \
	do {                                                                             \
		if (!(condition)) {                                                      \
			fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, e.text); \
			_exit(1);                                                        \
		}                                                                        \
	} while (0)

static uint64_t newest_in_child(void)
{
	uint64_t n = 0;

	must(registry_newest(r, &n, &e) == 0);
	return n;
}

static void fill_it(void)
{
	static char text[4000];
	uint64_t last = 0;
	int64_t n;

	memset(text, 'x', sizeof(text) - 1);
	must(registry_open(path, &r, &e) == 0);
	for (int i = 0; i < 1000; i++) {
		char name[16];

		snprintf(name, sizeof(name), "s%d", i);
		n = put(name, text);
		if (n < 0)
			break;
		last = (uint64_t)n;
	}
	must(n == -ENOSPC && last > 5);
	must(strstr(e.text, "there is no room on its disk"));
	must(newest_in_child() == last);
	registry_free(r);
	r = NULL;
	must(mount(NULL, dir, NULL, MS_REMOUNT, "size=2m") == 0);
	must(registry_open(path, &r, &e) == 0);
	must(newest_in_child() == last);
	must(put("more", text) == (int64_t)last + 1);
}

static void test_a_full_disk(void **state)
{
	(void)state;
	in_child(fill_it);
}

static void make_read_only(void)
{
	must(registry_open(path, &r, &e) == 0);
	must(put("www", "1") == 1);
	registry_free(r);
	r = NULL;
	must(mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
	must(registry_open(path, &r, &e) < 0);
	must(strstr(e.text, "cannot be"));
	must(mount(NULL, dir, NULL, MS_REMOUNT, NULL) == 0);
	must(registry_open(path, &r, &e) == 0);
	must(put("www", "2") == 2);
}

static void test_a_read_only_disk(void **state)
{
	(void)state;
	in_child(make_read_only);
}

/* ---- sudden death ---- */

/* Commits without end, and says each number once it is acknowledged. */
static void write_until_killed(int fd)
{
	uint64_t n = 0;

	registry_free(r); /* a connection does not outlive a fork: this one is not used */
	must(registry_open(path, &r, &e) == 0);
	must(registry_newest(r, &n, &e) == 0);
	for (;;) {
		n++;
		must(put_both(n) == 0);
		must(write(fd, &n, sizeof(n)) == sizeof(n));
	}
}

static void kill_a_writer(unsigned after_us)
{
	uint64_t acknowledged = 0, n, before;
	int fds[2], status;
	pid_t pid;

	reopen();
	before = acknowledged = newest();
	registry_free(r);
	r = NULL;
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		write_until_killed(fds[1]);
	close(fds[1]);
	assert_int_equal(poll(&(struct pollfd){ .fd = fds[0], .events = POLLIN }, 1, 60000), 1);
	usleep(after_us);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	while (read(fds[0], &n, sizeof(n)) == sizeof(n))
		acknowledged = n;
	close(fds[0]);
	assert_true(acknowledged > before);
	reopen();
	assert_in_range(whole(), acknowledged, acknowledged + 1); /* the last one may have had no time to be told */
}

static void test_a_writer_that_is_killed(void **state)
{
	unsigned rounds = getenv("LONG") ? 300 : 20, seed = (unsigned)clock_now_ns();
	const char *wanted = getenv("SEED");

	(void)state;
	if (wanted)
		seed = (unsigned)strtoul(wanted, NULL, 10);
	print_message("SEED=%u\n", seed);
	for (unsigned i = 0; i < rounds; i++)
		kill_a_writer((unsigned)rand_r(&seed) % 30000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_objects_and_their_history, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_or_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_has_changed_since, setup, teardown),
		cmocka_unit_test_setup_teardown(test_learned, setup, teardown),
		cmocka_unit_test_setup_teardown(test_others_cannot_read_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_version_1_is_brought_up_to_date, setup, teardown),
		cmocka_unit_test_setup_teardown(test_version_1_stays_when_it_cannot_be_brought, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_none_of_ours_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage_is_told_when_it_is_opened, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_program_holds_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_disk_that_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_disk_that_fails_at_the_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_full_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_read_only_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_writer_that_is_killed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
