/* A VM's state in a file: whole and on the disk, or not there.
 *
 *     save_file_part(path, part)     the hypervisor writes there
 *     save_file_commit(path)         ... and is done: the file is at `path` from now on, whatever happens
 *     save_file_spend(path)          the VM is in memory again, and does not run yet: nobody restores it twice
 *
 * All block, for as long as the disk takes.
 */
#ifndef BACKENDS_SAVE_FILE_H
#define BACKENDS_SAVE_FILE_H

#include "base/err.h"
#include "base/msg.h"

enum { SAVE_FILE_PATH_MAX = MSG_PATH_MAX + 8 };

/* What an earlier try left there is removed. */
void save_file_part(const char *path, char part[SAVE_FILE_PATH_MAX]);
void save_file_drop_part(const char *path);
/* 0 or -errno with *e; then neither of them is there. */
int save_file_commit(const char *path, struct err *e);
/* 0 or -errno with *e. */
int save_file_spend(const char *path, struct err *e);

#endif
