/* Shared memory between a process on the hot path and the launcher: "this service was asked for
 * just now", without a message per packet.
 *
 * One sealed memfd (F_SEAL_SHRINK | F_SEAL_GROW) of SLOTS_MAX fixed slots; the supervisor holds
 * it, so that it outlives both sides.  What is read from it is a hint: a value of another
 * generation counts as nothing, and a time in the future as now.
 */
#ifndef BASE_SLOTS_H
#define BASE_SLOTS_H

#include "base/util.h"

enum { SLOTS_MAX = 16384, SLOTS_LAYOUT = 3 };

struct slots;

/* The sealed memfd, close-on-exec; or -errno. */
int slots_create(void);

/* Maps `fd` (which stays the caller's).  NULL with errno when it is not such a memfd: wrong
 * size, layout, or not sealed. */
struct slots *slots_map(int fd);
void slots_unmap(struct slots *s); /* NULL is fine */

/* Writer: the service was asked for at `now_ns`. */
void slots_mark(struct slots *s, uint32_t svc, uint32_t gen, uint64_t now_ns);

/* Reader: when it was last asked for, at most `now_ns`; 0 for never. */
uint64_t slots_asked_ns(const struct slots *s, uint32_t svc, uint32_t gen, uint64_t now_ns);
/* Reader: how often, since gen began. */
uint64_t slots_count(const struct slots *s, uint32_t svc, uint32_t gen);

#endif
