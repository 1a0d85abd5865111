#include "base/program.h"

#include <sys/stat.h>

#include "base/msg.h"

bool path_is_plain(const char *path)
{
	if (path[0] != '/' || strlen(path) >= MSG_PATH_MAX)
		return false;
	while (*path == '/') {
		size_t n = strcspn(++path, "/");

		if (n == 0 || (n == 1 && path[0] == '.') || (n == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		path += n;
	}
	return true;
}

/* Each directory is judged before anything in it is: once it is known that nobody else changes it, its entries are
 * still the same when the next one is looked at by its path, and when the program is run by it. */
static int check_one(const char *path, const char *part, bool last, uid_t user, struct err *e)
{
	struct stat st;

	if (lstat(part, &st) < 0)
		return errno == ENOENT ? err_set(e, -ENOENT, "%s is not run: there is no %s", path, part)
				       : err_set_errno(e, -errno, "%s is not run: cannot look at %s", path, part);
	if (S_ISLNK(st.st_mode))
		return err_set(e, -ELOOP, "%s is not run: %s is a symbolic link; give the real path", path, part);
	if (st.st_uid != 0 && st.st_uid != user)
		return err_set(e, -EPERM, "%s is not run: %s belongs to user %u, who could change what is run; "
			       "chown root it", path, part, (unsigned)st.st_uid);
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) && !(S_ISDIR(st.st_mode) && (st.st_mode & S_ISVTX)))
		return err_set(e, -EPERM, "%s is not run: %s can be written by others than its owner; chmod go-w it",
			       path, part);
	if (last && !S_ISREG(st.st_mode))
		return err_set(e, -EACCES, "%s is not run: it is no file", path);
	if (last && !(st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)))
		return err_set(e, -EACCES, "%s is not run: it is not executable; chmod +x it", path);
	return 0;
}

int program_check(const char *path, uid_t user, struct err *e)
{
	char part[MSG_PATH_MAX];
	int error;

	if (!path_is_plain(path))
		return err_set(e, -EINVAL, "%s is not run: give an absolute path without \".\", \"..\" or \"//\"", path);
	error = check_one(path, "/", false, user, e);
	for (const char *end = path; *end && error == 0;) {
		end += 1 + strcspn(end + 1, "/");
		snprintf(part, sizeof(part), "%.*s", (int)(end - path), path);
		error = check_one(path, part, !*end, user, e);
	}
	return error;
}
