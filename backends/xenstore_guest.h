/* What guests of Xen say in XenStore (docs/guest-messages.md), and keys of theirs that somebody waits for.
 *
 * A value of data/jitsu becomes a line of the domain's stream (guests.h).  Nothing of it is understood here; more
 * than XENSTORE_VALUE_MAX bytes of it are not passed on.
 */
#ifndef BACKENDS_XENSTORE_GUEST_H
#define BACKENDS_XENSTORE_GUEST_H

#include "backends/guests.h"

struct xenstore_guests;

enum {
	XENSTORE_VALUE_MAX = 65, /* one byte more than a message may have, so that a longer one is none */
	XENSTORE_READS_AT_ONCE = 10, XENSTORE_READS_PER_S = 10, /* of one domain */
};

/* On the loop's thread. */
typedef void xenstore_key_fn(void *arg, const struct msg_be_key *m);

/* Borrows `streams`.  NULL with errno. */
struct xenstore_guests *xenstore_guests_new(struct event_base *base, struct guests *streams, xenstore_key_fn *on_key,
					    void *arg);

/* On the loop's thread; none of them waits for XenStore. */
/* It runs; again is fine. */
void xenstore_guests_began(struct xenstore_guests *x, int32_t domid, const char *name, const char *uuid);
void xenstore_guests_gone(struct xenstore_guests *x, int32_t domid);
/* MSG_BE_WATCH, of a domain that has begun. */
void xenstore_guests_watch(struct xenstore_guests *x, const struct msg_be_watch *m);

/* Waits for its thread, which XenStore may hold up. */
void xenstore_guests_free(struct xenstore_guests *x);

#endif
