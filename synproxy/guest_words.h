/* The words of guests (docs/guest-messages.md): lines of at most GUEST_LINE_MAX bytes.  Pure.
 *
 *     ready           it serves
 *     busy, idle      it works, or does not, whatever is seen on the network
 *     lease SECONDS   it wants not to be stopped for so long
 *
 * A line has one or several of them, with blanks between.  One with anything else, or a longer one, is garbled and
 * counts for nothing.
 */
#ifndef SYNPROXY_GUEST_WORDS_H
#define SYNPROXY_GUEST_WORDS_H

#include "base/msg.h"

enum { GUEST_LINE_MAX = 64, GUEST_LEASE_MAX_S = 999999999 };

/* Zero: nothing was heard yet. */
struct guest_words {
	char line[GUEST_LINE_MAX + 1]; /* what there is of it */
	uint8_t n;
	bool too_long; /* all is passed over up to its end */
};

/* Adds to *said what these bytes say, with what is left of those before; of words of a kind the last one counts.
 * Longer leases are GUEST_LEASE_MAX_S.  What follows the last end of a line waits for the next bytes. */
void guest_words_read(struct guest_words *w, const void *bytes, size_t n, struct msg_guest_said *said);

#endif
