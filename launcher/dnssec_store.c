/* Theory of operation
 *
 * Of each zone there is, in STATE_DIR/keys/ZONE:
 *
 *	state			the phase, since when, and which keys have which role
 *	KZONE.+ALG+TAG.private	a key's secret, as BIND writes it
 *	KZONE.+ALG+TAG.key	its DNSKEY record, for people; nothing reads it
 *	*.new			being written
 *
 * `state` is the truth.  Saving writes the files of new keys first, then `state` beside its place, and renames it:
 * that is the moment in which the new state counts.  Everything is synced before, the directory after, and only
 * then are keys removed that `state` does not name.  A crash leaves at most files that nothing refers to; the
 * next save takes them away.
 *
 * Reading believes nothing: a directory or file that others can write or read, or that is not ours, a state with a
 * word too many or too few, a key that is not the one its name says, are all refused with a sentence.  Then nothing
 * is saved either: what an operator can mend must not be overwritten.
 */
#include "launcher/dnssec_store.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "base/log.h"

enum { FILE_NAME_MAX = 320, STATE_BYTES_MAX = 1024 };

static const char *const role_names[] = {
	[DNSSEC_ACTIVE] = "active", [DNSSEC_NEXT] = "next", [DNSSEC_RETIRED] = "retired",
};
static_assert(ARRAY_SIZE(role_names) == DNSSEC_ROLE_N, "a role has no name");

const char *dnssec_role_name(unsigned role) { return role < DNSSEC_ROLE_N ? role_names[role] : "?"; }

/* ---- places ---- */

static void lower(char *s)
{
	for (; *s; s++)
		*s = (char)(*s >= 'A' && *s <= 'Z' ? *s + 32 : *s);
}

void dnssec_store_path(const char *keys_dir, const char *zone, char path[MSG_PATH_MAX])
{
	char name[MSG_DOMAIN_NAME_MAX];

	str_copy(name, zone);
	lower(name);
	snprintf(path, MSG_PATH_MAX, "%.250s/%s", keys_dir, name);
}

static void key_name(const char *zone, const struct dnssec_key *k, const char *what, char name[FILE_NAME_MAX])
{
	snprintf(name, FILE_NAME_MAX, "K%.255s.+%03u+%05u.%s", zone, k->algorithm, k->tag, what);
	lower(name + 1);
}

/* ---- reading ---- */

/* Ours, and nobody else's to read or write. */
static int check_private(int fd, const char *path, bool is_dir, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set_errno(e, -errno, "cannot look at %.300s", path);
	if (is_dir ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "%.300s is no %s", path, is_dir ? "directory" : "regular file");
	if (st.st_uid != geteuid())
		return err_set(e, -EPERM, "%.300s belongs to user %u, and is not used: chown it to root if it is right",
			       path, st.st_uid);
	if (st.st_mode & 077)
		return err_set(e, -EPERM,
			       "%.300s can be used by others (mode %04o), and is not used: chmod %s it, and make a new "
			       "key if the secret may be known",
			       path, (unsigned)st.st_mode & 07777, is_dir ? "700" : "600");
	return 0;
}

/* The directory; -ENOENT without a sentence when it is not there. */
static int open_dir(const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r;

	if (fd < 0)
		return errno == ENOENT ? -ENOENT : err_set_errno(e, -errno, "cannot open %.300s", path);
	r = check_private(fd, path, true, e);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

static int read_file(int dir, const char *dir_path, const char *name, char *out, size_t size, struct err *e)
{
	cleanup_close int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char path[MSG_PATH_MAX + FILE_NAME_MAX];
	ssize_t n;
	int r;

	snprintf(path, sizeof(path), "%s/%s", dir_path, name);
	if (fd < 0)
		return err_set_errno(e, -errno, "cannot read %.400s", path);
	r = check_private(fd, path, false, e);
	if (r < 0)
		return r;
	n = read(fd, out, size);
	if (n < 0)
		return err_set_errno(e, -errno, "cannot read %.400s", path);
	if ((size_t)n == size || memchr(out, '\0', (size_t)n))
		return err_set(e, -EINVAL, "%.400s is damaged: restore it", path);
	out[n] = '\0';
	return 0;
}

static int read_key(int dir, const char *dir_path, const char *zone, struct dnssec_key *k, struct err *e)
{
	char name[FILE_NAME_MAX], path[MSG_PATH_MAX + FILE_NAME_MAX], text[DNSSEC_KEY_TEXT_MAX];
	struct dnssec_key wanted = *k;
	int r;

	key_name(zone, k, "private", name);
	snprintf(path, sizeof(path), "%s/%s", dir_path, name);
	r = read_file(dir, dir_path, name, text, sizeof(text), e);
	if (r == 0)
		r = dnssec_key_parse(zone, path, text, k, e);
	if (r == 0 && (k->tag != wanted.tag || k->algorithm != wanted.algorithm))
		r = err_set(e, -EINVAL, "%.400s holds another key than its name says (%u): restore it", path, k->tag);
	explicit_bzero(text, sizeof(text));
	return r;
}

/* ---- the state as text ---- */

static void write_state(const struct dnssec_keys *k, char text[STATE_BYTES_MAX])
{
	int n = snprintf(text, STATE_BYTES_MAX,
			 "jitsu-dnssec 1\nphase %s\nserved %d\nsince %" PRIu64 " %" PRId64 " %s\nwait %" PRIu32
			 "\nds-ttl %" PRIu32 "\ngone %u\n",
			 dnssec_phase_name(k->phase), k->served, k->since.wall_s, k->since.mono_ms,
			 k->since.boot[0] ? k->since.boot : "-", k->wait_s, k->ds_ttl_s, k->gone);

	for (unsigned i = 0; i < k->n; i++)
		n += snprintf(text + n, STATE_BYTES_MAX - (size_t)n, "key %u %u %s\n", k->of[i].key.algorithm,
			      k->of[i].key.tag, dnssec_role_name(k->of[i].role));
	snprintf(text + n, STATE_BYTES_MAX - (size_t)n, "end\n");
}

static bool find_phase(const char *name, enum dnssec_phase *out)
{
	for (unsigned i = 0; i < DNSSEC_PHASE_N; i++) {
		if (strcmp(dnssec_phase_name(i), name) != 0)
			continue;
		*out = (enum dnssec_phase)i;
		return true;
	}
	return false;
}

static bool find_role(const char *name, enum dnssec_role *out)
{
	for (unsigned i = 0; i < DNSSEC_ROLE_N; i++) {
		if (strcmp(dnssec_role_name(i), name) != 0)
			continue;
		*out = (enum dnssec_role)i;
		return true;
	}
	return false;
}

static bool parse_key(const char *line, struct dnssec_keys *out)
{
	struct dnssec_key *k = &out->of[MIN(out->n, (unsigned)DNSSEC_KEYS_MAX - 1)].key;
	char role[16];
	int n = 0;

	if (out->n == DNSSEC_KEYS_MAX)
		return false;
	if (sscanf(line, "key %" SCNu8 " %" SCNu16 " %15s\n%n", &k->algorithm, &k->tag, role, &n) != 3 || line[n])
		return false;
	return find_role(role, &out->of[out->n++].role);
}

/* One active key in every phase but OFF, and as many as the phase has; of one algorithm. */
static bool is_sound(const struct dnssec_keys *k)
{
	unsigned active = 0;

	for (unsigned i = 0; i < k->n; i++) {
		active += k->of[i].role == DNSSEC_ACTIVE;
		if (k->of[i].key.algorithm != k->of[0].key.algorithm)
			return false;
	}
	return k->n == dnssec_keys_of(k->phase) && active == (k->n > 0);
}

static bool parse_head(const char *text, struct dnssec_keys *out, int *n)
{
	struct dnssec_time *t = &out->since;
	char phase[16];
	int served;

	if (sscanf(text,
		   "jitsu-dnssec 1\nphase %15s\nserved %d\nsince %" SCNu64 " %" SCNd64 " %39s\nwait %" SCNu32
		   "\nds-ttl %" SCNu32 "\ngone %" SCNu16 "%n",
		   phase, &served, &t->wall_s, &t->mono_ms, t->boot, &out->wait_s, &out->ds_ttl_s, &out->gone, n) != 8)
		return false;
	out->served = served != 0;
	return text[(*n)++] == '\n' && (served == 0 || served == 1) && find_phase(phase, &out->phase);
}

/* False: it is no state.  The keys have algorithm and tag only. */
static bool parse_state(const char *text, struct dnssec_keys *out)
{
	char line[64];
	int n = 0;

	if (!parse_head(text, out, &n))
		return false;
	for (text += n; strcmp(text, "end\n") != 0; text += n) {
		n = (int)strcspn(text, "\n") + 1;
		if (text[n - 1] != '\n' || n >= (int)sizeof(line))
			return false;
		memcpy(line, text, (size_t)n);
		line[n] = '\0';
		if (!parse_key(line, out))
			return false;
	}
	return is_sound(out);
}

static int load_from(int dir, const char *path, const char *zone, struct dnssec_keys *k, struct err *e)
{
	char text[STATE_BYTES_MAX];
	int r = faccessat(dir, "state", F_OK, AT_SYMLINK_NOFOLLOW);

	if (r < 0 && errno == ENOENT)
		return 0;
	r = read_file(dir, path, "state", text, sizeof(text), e);
	if (r < 0)
		return r;
	if (!parse_state(text, k))
		return err_set(e, -EINVAL, "%.300s/state is damaged: restore the directory from a copy", path);
	for (unsigned i = 0; i < k->n && r == 0; i++)
		r = read_key(dir, path, zone, &k->of[i].key, e);
	return r;
}

int dnssec_store_load(const char *keys_dir, const char *zone, struct dnssec_keys *out, struct err *e)
{
	struct dnssec_keys k = { .phase = DNSSEC_OFF };
	cleanup_close int above = open_dir(keys_dir, e), dir = -1;
	char path[MSG_PATH_MAX];
	int r = above < 0 ? above : 0;

	dnssec_store_path(keys_dir, zone, path);
	if (r == 0) {
		dir = open_dir(path, e);
		r = dir < 0 ? dir : load_from(dir, path, zone, &k, e);
	}
	if (r == 0 || (r == -ENOENT && dir < 0)) {
		*out = k;
		r = 0;
	}
	explicit_bzero(&k, sizeof(k));
	return r;
}

/* ---- writing ---- */

static int make_dir(const char *path, struct err *e)
{
	int fd;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_set_errno(e, -errno, "cannot make %.300s", path);
	fd = open_dir(path, e);
	return fd == -ENOENT ? err_set_errno(e, fd, "cannot open %.300s", path) : fd;
}

/* Whole, synced, and only then under its name. */
static int write_file(int dir, const char *name, const char *text, struct err *e)
{
	char fresh[FILE_NAME_MAX + 8];
	cleanup_close int fd = -1;
	size_t n = strlen(text);

	snprintf(fresh, sizeof(fresh), "%s.new", name);
	unlinkat(dir, fresh, 0);
	fd = openat(dir, fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	errno = fd < 0 ? errno : ENOSPC; /* a short write says nothing itself */
	if (fd >= 0 && write(fd, text, n) == (ssize_t)n && fsync(fd) == 0 && renameat(dir, fresh, dir, name) == 0)
		return 0;
	err_set_errno(e, -errno, "cannot write %.300s", fresh);
	unlinkat(dir, fresh, 0);
	return e->code;
}

/* Whether a file holds this text already; if not, whatever is there is of a save that was cut off. */
static bool has_file(int dir, const char *name, const char *text)
{
	char there[DNSSEC_KEY_TEXT_MAX];
	struct err e;
	bool same = read_file(dir, "", name, there, sizeof(there), &e) == 0 && strcmp(there, text) == 0;

	explicit_bzero(there, sizeof(there));
	return same;
}

static int write_key(int dir, const char *zone, const struct dnssec_key *k, struct err *e)
{
	cleanup_buf struct buf public = { 0 };
	char name[FILE_NAME_MAX];
	int r;

	key_name(zone, k, "private", name);
	if (has_file(dir, name, k->text))
		return 0;
	r = write_file(dir, name, k->text, e);
	if (r < 0)
		return r;
	dnssec_key_public(k, zone, &public);
	key_name(zone, k, "key", name);
	return public.error ? err_set_errno(e, public.error, "cannot write %.300s", name) :
			      write_file(dir, name, public.text, e);
}

/* Whether the state has a use for it: anything that is not named like a file of ours is not touched. */
static bool is_stale(const char *file, const char *zone, const struct dnssec_keys *k)
{
	char name[FILE_NAME_MAX];
	size_t n = strlen(zone), end = strlen(file);

	if (end > 4 && strcmp(file + end - 4, ".new") == 0)
		return true;
	if (file[0] != 'K' || strncasecmp(file + 1, zone, n) != 0 || strncmp(file + 1 + n, ".+", 2) != 0)
		return false;
	for (unsigned i = 0; i < 2 * k->n; i++) {
		key_name(zone, &k->of[i / 2].key, i % 2 ? "key" : "private", name);
		if (strcmp(name, file) == 0)
			return false;
	}
	return true;
}

static void remove_stale(int dir, const char *zone, const struct dnssec_keys *k)
{
	int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = again < 0 ? NULL : fdopendir(again);
	const struct dirent *entry;

	while (d && (entry = readdir(d)))
		if (is_stale(entry->d_name, zone, k) && unlinkat(dir, entry->d_name, 0) < 0)
			log_warn("zone %s: cannot remove %s, a key that is no longer used: %s", zone, entry->d_name,
				 strerror(errno));
	if (d)
		closedir(d);
	else if (again >= 0)
		close(again);
}

int dnssec_store_save(const char *keys_dir, const char *zone, const struct dnssec_keys *k, struct err *e)
{
	cleanup_close int above = make_dir(keys_dir, e), dir = -1;
	char path[MSG_PATH_MAX], text[STATE_BYTES_MAX];
	int r = 0;

	dnssec_store_path(keys_dir, zone, path);
	if (above < 0)
		return above;
	dir = make_dir(path, e);
	if (dir < 0)
		return dir;
	for (unsigned i = 0; i < k->n && r == 0; i++)
		r = write_key(dir, zone, &k->of[i].key, e);
	write_state(k, text);
	if (r == 0 && (fsync(dir) < 0 || fsync(above) < 0))
		r = err_set_errno(e, -errno, "cannot write to %.300s", path);
	if (r == 0)
		r = write_file(dir, "state", text, e);
	if (r < 0)
		return r;
	if (fsync(dir) < 0)
		log_warn("cannot sync %s: %s", path, strerror(errno));
	remove_stale(dir, zone, k);
	return 0;
}
