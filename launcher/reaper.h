/* What the kernel takes 15 to 40 ms for, on a thread of its own: closing a packet socket,
 * deleting a tap and setting one down all wait until every CPU has let go of it.  The launcher's
 * loop must not, since another VM may be starting.
 */
#ifndef LAUNCHER_REAPER_H
#define LAUNCHER_REAPER_H

#include "base/addr.h"
#include "base/err.h"
#include "base/util.h"

struct netlink;
struct reaper;

/* A socket is closed this long after reaper_close(): the process that has a copy of it and closes
 * it meanwhile is then not the last one, and does not wait. */
enum { REAPER_DELAY_MS = 250 };

struct reaper *reaper_new(struct err *e); /* NULL with *e */
/* Does at once what is still to be done, and waits for it; spare taps are deleted.  NULL is fine. */
void reaper_free(struct reaper *r);

/* Takes `fd`. */
void reaper_close(struct reaper *r, int fd);

/* Deletes this tap of ours soon.  One that cannot be deleted stays, and is found by netlink_taps(). */
void reaper_delete_tap(struct reaper *r, const char *ifname);

/* At most so many taps are kept for other VMs, and each costs the kernel some 100 KiB. */
enum { REAPER_SPARES_MAX = 8 };

/* The same, but if there is room and nothing speaks against it, the tap stays a port of `bridge` (its ifindex), down, for
 * the next VM there, whichever that is.  The bridge must not know any MAC behind it but `vm_mac`: the port was guarded. */
void reaper_spare_tap(struct reaper *r, const char *ifname, int bridge, const struct mac_addr *vm_mac);

/* The tap is wanted after all, or for the first time.  To be called before netlink_tap_create(), so that what was to
 * be deleted is not deleted under the next VM, and a spare one of this bridge has the name.  Waits, at most some 40 ms,
 * only when the deletion has begun.  `nl`: the caller's.  True: a spare one has the name now. */
bool reaper_keep_tap(struct reaper *r, struct netlink *nl, const char *ifname, int bridge);

#endif
