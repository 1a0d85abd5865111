/* Time, in one place, so that tests can hold the clock still.
 *
 * Everything inside a process and in messages between processes is CLOCK_MONOTONIC: it is
 * the same clock for all processes of a host, and the one BPF's ktime uses.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#define MS_PER_S 1000u
#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull

struct timeval;

uint64_t clock_now_ns(void); /* CLOCK_MONOTONIC, nanoseconds */
uint64_t clock_now_ms(void); /* the same in milliseconds */
uint64_t clock_wall_ms(void); /* CLOCK_REALTIME since the epoch, for people */
struct timeval clock_timeval_ms(uint64_t ms); /* for libevent */

/* Tests only: from now on clock_now_*() answer `ns` (0: the real clock again). */
void clock_fake_ns(uint64_t ns);

#endif
