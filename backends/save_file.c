#include "backends/save_file.h"

#include <fcntl.h>
#include <libgen.h>
#include <sys/stat.h>

void save_file_part(const char *path, char part[SAVE_FILE_PATH_MAX])
{
	snprintf(part, SAVE_FILE_PATH_MAX, "%s.part", path);
	unlink(part);
}

void save_file_drop_part(const char *path)
{
	char part[SAVE_FILE_PATH_MAX];

	save_file_part(path, part);
}

static int sync_path(const char *path, int flags, struct err *e)
{
	cleanup_close int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 || fsync(fd) < 0 ? err_set_errno(e, -errno, "cannot bring %s to the disk", path) : 0;
}

/* The directory that has it, and the one that has that, which may be new. */
static int sync_dirs(const char *path, struct err *e)
{
	char dir[MSG_PATH_MAX];
	int r = 0;

	str_copy(dir, path);
	for (int i = 0; i < 2 && r == 0; i++) {
		dirname(dir);
		r = sync_path(dir, O_RDONLY | O_DIRECTORY, e);
	}
	return r;
}

/* Its time is that of the VM's end: a disk that is younger was written to by somebody else. */
int save_file_commit(const char *path, struct err *e)
{
	char part[SAVE_FILE_PATH_MAX];
	int r;

	snprintf(part, sizeof(part), "%s.part", path);
	r = chmod(part, 0600) < 0 || utimensat(AT_FDCWD, part, NULL, 0) < 0 ? err_set_errno(e, -errno, "cannot keep %s", part) : 0;
	if (r == 0)
		r = sync_path(part, O_RDONLY, e);
	if (r == 0 && rename(part, path) < 0)
		r = err_set_errno(e, -errno, "cannot rename %s", part);
	if (r == 0)
		r = sync_dirs(path, e);
	if (r == 0)
		return 0;
	unlink(part);
	unlink(path);
	return r;
}

int save_file_spend(const char *path, struct err *e)
{
	if (unlink(path) < 0)
		return err_set_errno(e, -errno, "cannot remove %s", path);
	return sync_dirs(path, e);
}
