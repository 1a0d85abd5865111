/* Theory of operation
 *
 * The path is walked component by component, from the image directory down, each opened
 * relative to the one before with O_PATH | O_NOFOLLOW and judged by fstat() of what was opened.
 * One openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS) would find the same file, but every
 * directory on the way must be judged anyway, and walking judges exactly what it walks.
 *
 * QEMU opens the file by its path, later.  What was seen here still holds then, because nobody but
 * root can change an entry in any of these directories.  The image directory's own parents are
 * the operator's choice, as is the directory; they may contain links.
 */
#include "launcher/image.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/clock.h"
#include "base/msg.h"
#include "base/program.h"

/* ---- who reads ---- */

int image_reader_find(const char *user, struct image_reader *out, struct err *e)
{
	struct image_reader r = { 0 };
	char room[4096];
	struct passwd pw, *found = NULL;
	int n = ARRAY_SIZE(r.groups);

	getpwnam_r(user, &pw, room, sizeof(room), &found);
	if (!found)
		return err_set(e, -ENOENT, "there is no user %s; make it, or name another in users.qemu", user);
	r.uid = pw.pw_uid;
	r.gid = pw.pw_gid;
	if (getgrouplist(user, pw.pw_gid, r.groups, &n) < 0)
		n = ARRAY_SIZE(r.groups); /* in more groups than that: the first ones */
	r.n_groups = (size_t)n;
	*out = r;
	return 0;
}

static bool in_group(const struct image_reader *r, gid_t gid)
{
	if (r->gid == gid)
		return true;
	for (size_t i = 0; i < r->n_groups; i++) {
		if (r->groups[i] == gid)
			return true;
	}
	return false;
}

/* `want`: 4 read, 2 write, 1 search; as the kernel decides, by the first class that fits. */
static bool mode_allows(const struct stat *st, const struct image_reader *r, unsigned want)
{
	unsigned shift = 0;

	if (r->uid == 0)
		return true;
	if (st->st_uid == r->uid)
		shift = 6;
	else if (in_group(r, st->st_gid))
		shift = 3;
	return (st->st_mode >> shift & want) == want;
}

static bool has_acl(const char *path) { return getxattr(path, "system.posix_acl_access", NULL, 0) > 0; }

static bool may(const struct stat *st, const char *path, const struct image_reader *r, unsigned want)
{
	return !r || mode_allows(st, r, want) || has_acl(path);
}

/* ---- the walk ---- */

struct walk {
	const char *path; /* the whole one, as configured */
	const char *what; /* "the kernel" */
	enum image_kind kind;
	const struct image_reader *reader;
	char done[MSG_PATH_MAX]; /* as far as we have come */
	struct err *e;
};

static const char *const kind_names[] = {
	[IMAGE_KERNEL] = "kernel",
	[IMAGE_INITRD] = "initrd",
	[IMAGE_XL_CONFIG] = "xl configuration",
	[IMAGE_DISK_READ_ONLY] = "disk",
	[IMAGE_DISK] = "disk",
};

static int check_owner(const struct walk *w, const struct stat *st)
{
	if (st->st_uid != 0)
		return err_set(w->e, -EPERM, "%s %s: %s belongs to user %u, who could change what is started; chown root it",
			       w->what, w->path, w->done, (unsigned)st->st_uid);
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return err_set(w->e, -EPERM, "%s %s: %s can be written by others than root; chmod go-w it", w->what,
			       w->path, w->done);
	return 0;
}

static int check_directory(const struct walk *w, const struct stat *st)
{
	int r;

	if (S_ISLNK(st->st_mode))
		return err_set(w->e, -ELOOP, "%s %s: %s is a symbolic link; give the real path", w->what, w->path, w->done);
	if (!S_ISDIR(st->st_mode))
		return err_set(w->e, -ENOTDIR, "%s %s: %s is no directory", w->what, w->path, w->done);
	r = check_owner(w, st);
	if (r == 0 && !may(st, w->done, w->reader, 1))
		r = err_set(w->e, -EACCES, "%s %s: QEMU's user (uid %u) may not enter %s; chmod o+x it", w->what, w->path,
			    (unsigned)w->reader->uid, w->done);
	return r;
}

static int check_type(const struct walk *w, const struct stat *st)
{
	if (S_ISLNK(st->st_mode))
		return err_set(w->e, -ELOOP, "%s %s is a symbolic link; give the real path", w->what, w->path);
	if (S_ISDIR(st->st_mode))
		return err_set(w->e, -EISDIR, "%s %s is a directory; give a file", w->what, w->path);
	if (!S_ISREG(st->st_mode))
		return err_set(w->e, -ENODEV, "%s %s is no regular file", w->what, w->path);
	return 0;
}

static int check_file(const struct walk *w, const struct stat *st)
{
	bool writes = w->kind == IMAGE_DISK;
	int r = check_type(w, st);

	if (r == 0 && w->kind != IMAGE_DISK_READ_ONLY && w->kind != IMAGE_DISK)
		r = check_owner(w, st);
	if (r == 0 && !may(st, w->path, w->reader, writes ? 6 : 4))
		r = err_set(w->e, -EACCES, "%s %s cannot be %s by QEMU's user (uid %u); chown or chmod it", w->what, w->path,
			    writes ? "read and written" : "read", (unsigned)w->reader->uid);
	return r;
}

static int open_error(const struct walk *w, int r)
{
	if (r == -ENOENT && strcmp(w->done, w->path) == 0)
		return err_set(w->e, r, "%s %s is not there", w->what, w->path);
	if (r == -ENOENT)
		return err_set(w->e, r, "%s %s is not there: there is no %s", w->what, w->path, w->done);
	return err_set_errno(w->e, r, "%s %s: cannot look at %s", w->what, w->path, w->done);
}

/* One component further: `name` in the directory *dir, which is replaced.  */
static int step(struct walk *w, int *dir, const char *name, struct stat *st)
{
	size_t n = strlen(w->done);
	int fd;

	if ((size_t)snprintf(w->done + n, sizeof(w->done) - n, "/%s", name) >= sizeof(w->done) - n)
		return err_set(w->e, -ENAMETOOLONG, "%s %s: the path is too long", w->what, w->path);
	fd = openat(*dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return open_error(w, -errno);
	fd_close(dir);
	*dir = fd;
	return fstat(fd, st) < 0 ? open_error(w, -errno) : 0;
}

/* `rest`: below the image directory, which w->done names. */
static int walk(struct walk *w, const char *rest, struct stat *st)
{
	char room[MSG_PATH_MAX], *save = NULL;
	cleanup_close int fd = open(w->done, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 || fstat(fd, st) < 0 ? open_error(w, -errno) : check_directory(w, st);

	str_copy(room, rest);
	for (char *name = strtok_r(room, "/", &save), *next; name && r == 0; name = next) {
		next = strtok_r(NULL, "/", &save);
		r = step(w, &fd, name, st);
		if (r == 0 && next)
			r = check_directory(w, st);
	}
	return r < 0 ? r : check_file(w, st);
}

/* ---- which image directory ---- */

/* The length of `dir` when `path` lies under it, else 0. */
static size_t under(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	while (n > 1 && dir[n - 1] == '/')
		n--;
	return n > 0 && strncmp(path, dir, n) == 0 && path[n] == '/' && path[n + 1] ? n : 0;
}

int image_check(const struct string_list *image_dirs, const char *path, enum image_kind kind,
		const struct image_reader *reader, struct image_file *out, struct err *e)
{
	struct walk w = { .path = path, .what = kind_names[kind], .kind = kind, .reader = reader, .e = e };
	struct stat st = { 0 };
	size_t longest = 0;
	int r;

	if (!path_is_plain(path))
		return err_set(e, -EINVAL, "%s %s: give an absolute path without \".\", \"..\" or \"//\"", w.what, path);
	for (size_t i = 0; i < image_dirs->n; i++)
		longest = MAX(longest, under(path, image_dirs->v[i]));
	if (longest == 0)
		return err_set(e, -EACCES, "%s %s does not lie under one of image_dirs; move it there, or add its directory",
			       w.what, path);
	memcpy(w.done, path, longest);
	r = walk(&w, path + longest, &st);
	if (r == 0 && out)
		*out = (struct image_file){ .size = (uint64_t)st.st_size, .dev = st.st_dev, .ino = st.st_ino,
					    .changed_ns = (uint64_t)st.st_mtim.tv_sec * NS_PER_S +
							  (uint64_t)st.st_mtim.tv_nsec };
	return r;
}
