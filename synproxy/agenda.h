/* One timer for many: when each of a fixed number of things is due.
 *
 * A timerfd of our own, since libevent's timers go by a clock that steps every 4 ms.
 */
#ifndef SYNPROXY_AGENDA_H
#define SYNPROXY_AGENDA_H

#include "base/util.h"

enum { AGENDA_LEAST_MS = 1 }; /* it rings no more often than this */

struct agenda {
	int fd; /* readable when it rings */
	uint64_t armed_ns; /* 0: it is not */
	uint64_t rang_ns;
	unsigned n;
	uint64_t *at_ns; /* of each; 0: never */
};

/* For `n` things.  0 or -errno. */
int agenda_init(struct agenda *a, unsigned n);
void agenda_end(struct agenda *a);

/* Number `i` is due at `at_ns`, which may be in the past; 0: not any more. */
void agenda_set(struct agenda *a, unsigned i, uint64_t at_ns);
static inline bool agenda_is_due(const struct agenda *a, unsigned i, uint64_t now_ns)
{
	return a->at_ns[i] && a->at_ns[i] <= now_ns;
}

/* It rang: takes note of that.  False when it had not. */
bool agenda_rang(struct agenda *a, uint64_t now_ns);
/* All that was due has been done, and set anew. */
void agenda_done(struct agenda *a);

#endif
