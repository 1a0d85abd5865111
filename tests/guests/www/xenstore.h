/* XenStore: the small database that a guest and its host share.
 *
 * Paths that do not begin with a slash are relative to the guest's own
 * directory, /local/domain/ID. */
#ifndef GUEST_XENSTORE_H
#define GUEST_XENSTORE_H

#include <stdbool.h>
#include <stddef.h>

struct xen_machine;

/* What can be watched, one path each. */
enum xenstore_watch { XENSTORE_SHUTDOWN, XENSTORE_BACKEND, XENSTORE_WATCHES };

/** xenstore_start() - Begin, again in another domain: it knows no watches there */
void xenstore_start(const struct xen_machine *machine);

/**
 * xenstore_read() - Wait for the value of @path
 *
 * What does not fit into @room is cut off.  Returns false, and an empty text,
 * where there is no such path.
 */
bool xenstore_read(const char *path, char *value, size_t room);

/**
 * xenstore_write() - Set @path to @value
 *
 * Does not wait for the answer: one that says no is told on the console.
 * Writes and reads happen in the order in which they are asked for.
 */
void xenstore_write(const char *path, const char *value);

/** xenstore_watch() - Watch @path, as watch @which; it fires once at once */
void xenstore_watch(const char *path, enum xenstore_watch which);

/** xenstore_fired() - Has watch @which fired since last asked?  Does not wait */
bool xenstore_fired(enum xenstore_watch which);

/** xenstore_wait() - Sleep until watch @which fires */
void xenstore_wait(enum xenstore_watch which);

/** xenstore_pending() - Is there anything that xenstore_fired() would look at? */
bool xenstore_pending(void);

#endif
