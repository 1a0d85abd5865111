/* What is saved of VMs (`stop`: save), in files of ours.
 *
 * SAVE_DIR/SERVICE/MACHINE.FILES is what one of a service was: MACHINE stands for what its record said of the
 * machine, FILES for its kernel, initial RAM disk and disks, both as they were when it was booted.  If they are not the
 * same any more, or a disk was written to since, the file is void.  Beside it there may be
 *
 *     ... .part	being written, or never finished: it is never restored
 *     failed		the last one that could not be restored
 *
 * The hypervisor's process writes a file whole and renames it, and removes it once the VM is in memory again and before
 * it runs (backends/save_file.h): so none is restored twice, whoever dies when.
 *
 * Of a domain of an xl configuration that file counts as its kernel does; what the file names the hypervisor's process
 * looks at.  Existing domains of libvirt are saved by libvirt, which keeps them where `virsh` knows of them: none of this is
 * about those.
 */
#ifndef LAUNCHER_SAVES_H
#define LAUNCHER_SAVES_H

#include "base/err.h"
#include "base/msg.h"

struct launcher;
struct service;

/* Its saves are files of ours; else its hypervisor keeps them. */
bool saves_are_ours(const struct service *s);

/* It is about to be booted, as its record and files are now: saves_place() goes by that later.  0 or -errno with *e. */
int saves_note(struct service *s, struct err *e);

/* Where it is to be saved; there is such a directory, and room for it.  0 or -errno with *e. */
int saves_place(struct service *s, char path[MSG_PATH_MAX], struct err *e);

/* Something is saved, void or not.  `path` may be NULL. */
bool saves_exist(const struct service *s, char path[MSG_PATH_MAX]);

/* 1: *path is to be restored.  0: nothing is saved.  -ESTALE with *e: it is void; another -errno with *e: that cannot be
 * told now. */
int saves_find(const struct service *s, char path[MSG_PATH_MAX], struct err *e);

void saves_drop(const struct service *s); /* all that is saved of it */
/* It runs: what is saved is of the past. */
void saves_runs(const struct service *s);
/* It could not be restored: kept for people to look at, until another one takes its place.  True when it was there. */
bool saves_put_aside(const struct service *s);
/* ... but it was not the file's fault. */
void saves_put_back(const struct service *s);

/* Removes what is saved of services that there are not. */
void saves_sweep(struct launcher *l);

#endif
