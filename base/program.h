/* May a program that somebody named in a configuration be run: can nobody but those who may change it anyway? */
#ifndef BASE_PROGRAM_H
#define BASE_PROGRAM_H

#include <sys/types.h>

#include "base/err.h"

/* Absolute, no empty, "." or ".." component, no slash at the end, and shorter than MSG_PATH_MAX. */
bool path_is_plain(const char *path);

/* The file, and every directory from the root down to it, must belong to root or to `user`, whom it is run by, and
 * be writable by its owner alone; but for a directory with the sticky bit (/tmp), where what belongs to root or
 * `user` is not replaced by others.  No link on the way.  0, or -errno with a sentence that has the path and the
 * cure: -EINVAL no plain absolute path; -ELOOP a link; -ENOENT; -EPERM others can change it; -EACCES no regular
 * file, or none that can be executed, or `user` may not look. */
int program_check(const char *path, uid_t user, struct err *e);

#endif
