/* What the kernel takes 15 to 40 ms for, on a thread of its own: closing a packet socket and
 * deleting a tap both wait until every CPU has let go of it.  The launcher's loop must not, since
 * another VM may be starting.
 */
#ifndef LAUNCHER_REAPER_H
#define LAUNCHER_REAPER_H

#include "base/err.h"
#include "base/util.h"

struct reaper;

/* A socket is closed this long after reaper_close(): the process that has a copy of it and closes
 * it meanwhile is then not the last one, and does not wait. */
enum { REAPER_DELAY_MS = 250 };

struct reaper *reaper_new(struct err *e); /* NULL with *e */
/* Does at once what is still to be done, and waits for it.  NULL is fine. */
void reaper_free(struct reaper *r);

/* Takes `fd`. */
void reaper_close(struct reaper *r, int fd);

/* Deletes this tap of ours soon.  One that cannot be deleted stays, and is found by netlink_taps(). */
void reaper_delete_tap(struct reaper *r, const char *ifname);

/* The tap is wanted after all.  To be called before netlink_tap_create(), so that what was to be
 * deleted is not deleted under the next VM.  Waits, at most some 40 ms, only when the deletion
 * has begun. */
void reaper_keep_tap(struct reaper *r, const char *ifname);

#endif
