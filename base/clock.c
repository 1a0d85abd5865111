#include "base/clock.h"

#include <sys/time.h>
#include <time.h>

static uint64_t fake_ns;

static uint64_t read_clock(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t clock_now_ns(void) { return fake_ns ? fake_ns : read_clock(CLOCK_MONOTONIC); }

uint64_t clock_now_ms(void) { return clock_now_ns() / NS_PER_MS; }

uint64_t clock_wall_ms(void) { return read_clock(CLOCK_REALTIME) / NS_PER_MS; }

void clock_fake_ns(uint64_t ns) { fake_ns = ns; }

struct timeval clock_timeval_ms(uint64_t ms)
{
	return (struct timeval){ .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000) };
}
