/* Which domains are ours, and which of them must not be: a file per domain, for its life, named by its UUID, that
 * outlives this process.
 *
 *     building, ending   a call was under way: if this process is new, what there is of the domain is a leftover
 *     ours               it runs; when its guest shuts it down nobody else removes it
 */
#ifndef BACKENDS_LIBXL_NOTES_H
#define BACKENDS_LIBXL_NOTES_H

#include "backends/libxl_ctx.h"

enum xl_note { XL_NOTE_NONE, XL_NOTE_BUILDING, XL_NOTE_OURS, XL_NOTE_SAVING, XL_NOTE_ENDING };

struct xl_notes {
	char dir[MSG_PATH_MAX];
};

/* Makes the directory.  0, or -errno with *e. */
int xl_notes_init(struct xl_notes *n, const char *run_dir, struct err *e);

/* Any thread.  XL_NOTE_NONE removes it.  What could not be noted is no error: a leftover may stay then. */
void xl_note_set(const struct xl_notes *n, const libxl_uuid *uuid, enum xl_note what);
enum xl_note xl_note_get(const struct xl_notes *n, const libxl_uuid *uuid);

/* Of a new process, before its first call: destroys what earlier calls have left, lets run what they were saving, and drops the notes of domains
 * that are no more.  How many were destroyed. */
unsigned xl_notes_clear(const struct xl_notes *n, struct xl_ctx *x);

#endif
