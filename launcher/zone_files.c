/* Theory of operation
 *
 * Of each zone there may be, in STATE_DIR/zones:
 *
 *	ZONE.zone-new	a copy of the file as it was read last; dns has not judged it yet
 *	ZONE.zone	what dns took last
 *	ZONE.serial	the serial that it was served with last
 *
 *	read -> NEW -> dns took it: renamed to ZONE.zone -> GOOD
 *	          \-> dns refused it: the mistake is kept    -> GOOD, or NONE if there is no such copy
 *	not readable: the mistake is kept                    -> GOOD, or NONE
 *
 * GOOD is read leniently: it was good once, and only what else is configured may be against some of
 * its records now (a service has got such a name); these are left out then.  So it is never refused,
 * and a zone does not lose everything for one record.
 *
 * Serials compare as RFC 1982 says.  A new configuration makes each zone's serial at least one more
 * than it was, and at least the time; dns takes the file's instead, if that is later still, and tells
 * which it was.
 */
#include "launcher/zone_files.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "config/value.h"

enum use { USE_NONE, USE_NEW, USE_GOOD };

struct entry {
	char *zone;
	enum use use;
	bool has_file; /* one is configured */
	bool told; /* dns has said its serial, which it does once for a configuration */
	uint32_t served, least; /* serials */
	char mistake[MSG_TEXT_MAX]; /* "": none */
};

struct zone_files {
	size_t n;
	struct entry *entries;
	char dir[MSG_PATH_MAX];
};

/* ---- places ---- */

static void path_of(const struct zone_files *z, const char *zone, const char *what, char path[PATH_MAX])
{
	size_t n = (size_t)snprintf(path, PATH_MAX, "%s/%s.%s", z->dir, zone, what);

	for (size_t i = strlen(z->dir); i < n && path[i]; i++)
		path[i] = (char)(path[i] >= 'A' && path[i] <= 'Z' ? path[i] + 32 : path[i]);
}

static struct entry *find(const struct zone_files *z, const char *zone)
{
	for (size_t i = 0; i < z->n; i++)
		if (strcasecmp(z->entries[i].zone, zone) == 0)
			return &z->entries[i];
	return NULL;
}

static void set_mistake(struct entry *en, const char *why)
{
	snprintf(en->mistake, sizeof(en->mistake), "%.*s (zone %.60s is served %s)", (int)sizeof(en->mistake) - 100, why,
		 en->zone, en->use == USE_NONE ? "without it" : "as it was");
	log_error("%s", en->mistake);
}

/* ---- serials ---- */

static bool is_later(uint32_t a, uint32_t b) { return (int32_t)(a - b) > 0; }

static void load_serial(const struct zone_files *z, struct entry *en)
{
	cleanup_buf struct buf text = { 0 };
	char path[PATH_MAX];

	path_of(z, en->zone, "serial", path);
	if (buf_read_file(&text, path, 32) == 0)
		en->served = (uint32_t)strtoul(text.text, NULL, 10);
}

static void save_serial(const struct zone_files *z, const struct entry *en)
{
	char path[PATH_MAX], fresh[PATH_MAX];
	bool ok;
	FILE *f;

	path_of(z, en->zone, "serial", path);
	path_of(z, en->zone, "serial-new", fresh);
	f = fopen(fresh, "we");
	ok = f && fprintf(f, "%u\n", en->served) > 0;
	if (f && fclose(f) != 0)
		ok = false;
	if (!ok || rename(fresh, path) < 0)
		log_warn("cannot write %s: %s", path, strerror(errno));
}

uint32_t zone_files_serial(const struct zone_files *z, const char *zone)
{
	const struct entry *en = find(z, zone);

	return en ? en->least : 1;
}

bool zone_files_served_serial(const struct zone_files *z, const char *zone, uint32_t *serial)
{
	const struct entry *en = find(z, zone);

	if (!en || !en->told)
		return false;
	*serial = en->served;
	return true;
}

const char *zone_files_mistake(const struct zone_files *z, const char *zone)
{
	const struct entry *en = find(z, zone);

	return en ? en->mistake : "";
}

static void raise_serial(struct entry *en, uint32_t now_s)
{
	uint32_t next = (en->told ? en->served : en->least) + 1;

	en->least = is_later(now_s, next) ? now_s : next;
	en->told = false;
}

void zone_files_changed(struct zone_files *z, uint32_t now_s)
{
	for (size_t i = 0; i < z->n; i++)
		raise_serial(&z->entries[i], now_s);
}

void zone_files_zone_changed(struct zone_files *z, const char *zone, uint32_t now_s)
{
	struct entry *en = find(z, zone);

	if (en)
		raise_serial(en, now_s);
}

void zone_files_served(struct zone_files *z, const char *zone, uint32_t serial)
{
	struct entry *en = find(z, zone);

	if (!en || en->told)
		return;
	en->told = true;
	if (en->served == serial)
		return;
	en->served = serial;
	save_serial(z, en);
}

void zone_files_zone_again(struct zone_files *z, const char *zone, uint32_t now_s)
{
	struct entry *en = find(z, zone);

	if (en && en->told)
		raise_serial(en, now_s);
}

/* ---- reading ---- */

/* The operator's file: regular, below the directory, no links on the way. */
static int open_below(const char *dir, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	cleanup_close int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = at < 0 ? -1 : (int)syscall(SYS_openat2, at, path, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

/* The longest of the directories that the path lies under; 0: none.  Its length. */
static size_t dir_of(const struct string_list *dirs, const char *path)
{
	size_t longest = 0;

	for (size_t i = 0; i < dirs->n; i++) {
		size_t n = strlen(dirs->v[i]);

		if (path_is_below(path, dirs->v[i]))
			longest = MAX(longest, n);
	}
	return longest;
}

int zone_files_find(const struct string_list *dirs, const char *path, struct err *e)
{
	char dir[MSG_PATH_MAX];
	size_t n = dir_of(dirs, path);
	struct stat st;
	int fd;

	if (n == 0)
		return err_set(e, -EACCES, "%s does not lie below one of zone_dirs; move it there, or add its directory", path);
	str_copy(dir, path);
	dir[n] = '\0';
	while (path[n] == '/')
		n++;
	fd = open_below(dir, path + n);
	if (fd == -ELOOP || fd == -EXDEV)
		return err_set(e, fd, "%s: there is a symbolic link on the way; give the real path", path);
	if (fd < 0)
		return err_set_errno(e, fd, "cannot read %s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > ZONE_FILES_MAX_BYTES) {
		close(fd);
		return err_set(e, -EINVAL, "%s is no regular file, or larger than %d MiB", path,
			       ZONE_FILES_MAX_BYTES / 1024 / 1024);
	}
	return fd;
}

static int copy_to(int from, int to)
{
	static char chunk[256 * 1024];
	ssize_t n;

	while ((n = read(from, chunk, sizeof(chunk))) > 0)
		if (write(to, chunk, (size_t)n) != n)
			return errno ? -errno : -ENOSPC;
	return n < 0 ? -errno : 0;
}

static int copy_file(const struct zone_files *z, const char *zone, const struct string_list *dirs, const char *path,
		     struct err *e)
{
	cleanup_close int from = zone_files_find(dirs, path, e), to = -1;
	char copy[PATH_MAX];
	int r;

	if (from < 0)
		return from;
	path_of(z, zone, "zone-new", copy);
	unlink(copy); /* dns may still read the one before */
	to = open(copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	r = to < 0 ? -errno : copy_to(from, to);
	if (r < 0)
		return err_set_errno(e, r, "%s cannot be copied to %s", path, copy);
	return 0;
}

static bool has_good(const struct zone_files *z, const char *zone)
{
	char path[PATH_MAX];

	path_of(z, zone, "zone", path);
	return access(path, R_OK) == 0;
}

static void forget_copy(const struct zone_files *z, const char *zone, const char *what)
{
	char path[PATH_MAX];

	path_of(z, zone, what, path);
	unlink(path);
}

static void read_entry(const struct zone_files *z, struct entry *en, const struct conf *conf,
		       const struct zone_conf *c)
{
	struct err e;

	en->has_file = c->file[0] != '\0';
	en->mistake[0] = '\0';
	en->use = USE_NONE;
	if (!en->has_file) {
		forget_copy(z, en->zone, "zone");
	} else if (copy_file(z, en->zone, &conf->zone_dirs, c->file, &e) == 0) {
		en->use = USE_NEW;
	} else {
		en->use = has_good(z, en->zone) ? USE_GOOD : USE_NONE;
		set_mistake(en, e.text);
	}
}

/* ---- a configuration ---- */

static void free_entries(struct entry *entries, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(entries[i].zone);
	free(entries);
}

static void make_dir(struct zone_files *z, const struct conf *conf)
{
	snprintf(z->dir, sizeof(z->dir), "%.400s/zones", conf->state_dir);
	if (mkdir(z->dir, 0700) < 0 && errno != EEXIST)
		log_warn("cannot make %s: %s", z->dir, strerror(errno));
}

void zone_files_set(struct zone_files *z, const struct conf *conf, uint32_t now_s)
{
	struct entry *old = z->entries;
	size_t n_old = z->n;

	z->n = conf->zones.n;
	z->entries = calloc(z->n + 1, sizeof(*z->entries));
	if (!z->entries)
		abort();
	make_dir(z, conf);
	for (size_t i = 0; i < z->n; i++) {
		struct entry *en = &z->entries[i];

		en->zone = strdup(conf->zones.v[i].name);
		if (!en->zone)
			abort();
		load_serial(z, en);
		en->least = en->served == 0 || is_later(now_s, en->served + 1) ? now_s : en->served + 1;
		read_entry(z, en, conf, &conf->zones.v[i]);
	}
	free_entries(old, n_old);
}

/* ---- what dns has and says ---- */

int zone_files_open(const struct zone_files *z, const char *zone, bool *lenient)
{
	const struct entry *en = find(z, zone);
	char path[PATH_MAX];
	int fd;

	if (!en || en->use == USE_NONE)
		return -ENOENT;
	path_of(z, zone, en->use == USE_NEW ? "zone-new" : "zone", path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		log_error("zone %s: cannot read %s: %s", zone, path, strerror(errno));
		return -ENOENT;
	}
	*lenient = en->use == USE_GOOD;
	return fd;
}

bool zone_files_empty(const struct zone_files *z)
{
	for (size_t i = 0; i < z->n; i++)
		if (z->entries[i].has_file)
			return false;
	return true;
}

void zone_files_accepted(struct zone_files *z)
{
	for (size_t i = 0; i < z->n; i++) {
		struct entry *en = &z->entries[i];
		char fresh[PATH_MAX], good[PATH_MAX];

		if (en->use != USE_NEW)
			continue;
		path_of(z, en->zone, "zone-new", fresh);
		path_of(z, en->zone, "zone", good);
		if (rename(fresh, good) < 0)
			log_warn("cannot write %s: %s", good, strerror(errno));
		else
			en->use = USE_GOOD;
	}
}

bool zone_files_refused(struct zone_files *z, const char *zone, const char *why)
{
	struct entry *en = find(z, zone);

	if (!en || en->use == USE_NONE)
		return false;
	if (en->use == USE_NEW)
		forget_copy(z, zone, "zone-new");
	en->use = en->use == USE_NEW && has_good(z, zone) ? USE_GOOD : USE_NONE;
	set_mistake(en, why);
	return true;
}

void zone_files_mistakes(const struct zone_files *z, struct buf *out)
{
	for (size_t i = 0; i < z->n; i++)
		if (z->entries[i].mistake[0])
			buf_addf(out, "%s\n", z->entries[i].mistake);
}

struct zone_files *zone_files_new(void) { return calloc(1, sizeof(struct zone_files)); }

void zone_files_free(struct zone_files *z)
{
	if (!z)
		return;
	free_entries(z->entries, z->n);
	free(z);
}
