/* Are these files fit to start a VM from: looked at again at each start, because files change.
 *
 * A path must lie under one of image_dirs.  From that directory down no component may be a
 * symbolic link, and every directory must be root's and writable by root alone, so that nobody
 * else can put another file in its place between this look and QEMU's.  A kernel, initrd or
 * xl configuration must itself be root's and writable by root alone; a disk may belong to anyone.
 */
#ifndef LAUNCHER_IMAGE_H
#define LAUNCHER_IMAGE_H

#include <sys/types.h>

#include "base/err.h"
#include "base/util.h"
#include "config/service.h"

enum image_kind { IMAGE_KERNEL, IMAGE_INITRD, IMAGE_XL_CONFIG, IMAGE_DISK_READ_ONLY, IMAGE_DISK };

/* Who opens it in the end. */
struct image_reader {
	uid_t uid;
	gid_t gid;
	size_t n_groups;
	gid_t groups[32]; /* supplementary ones */
};

/* From the user database; -ENOENT with *e when there is no such user. */
int image_reader_find(const char *user, struct image_reader *out, struct err *e);

struct image_file {
	uint64_t size; /* bytes */
	dev_t dev;
	ino_t ino;
	uint64_t changed_ns; /* its contents, since 1970 */
};

/* 0 with *out (which may be NULL), or -errno with a sentence that names the path, what is wrong
 * with it and what to do:
 *   -EACCES  not under image_dirs; or the reader cannot read (write: IMAGE_DISK) it
 *   -ENOENT  not there
 *   -ELOOP   a symbolic link on the way
 *   -EINVAL  not an absolute path, or one with "." or ".." in it
 *   -EPERM   someone but root could change it
 *   -EISDIR, -ENODEV  a directory; no regular file
 * `reader` NULL: not checked.  The check goes by mode bits; a file with an access control list
 * passes it. */
int image_check(const struct string_list *image_dirs, const char *path, enum image_kind kind,
		const struct image_reader *reader, struct image_file *out, struct err *e);

#endif
