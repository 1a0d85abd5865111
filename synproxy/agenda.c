#include "synproxy/agenda.h"

#include <sys/timerfd.h>

#include "base/clock.h"

int agenda_init(struct agenda *a, unsigned n)
{
	*a = (struct agenda){ .fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), .n = n };
	if (a->fd < 0)
		return -errno;
	a->at_ns = calloc(n, sizeof(*a->at_ns));
	if (a->at_ns)
		return 0;
	fd_close(&a->fd);
	return -ENOMEM;
}

void agenda_end(struct agenda *a)
{
	fd_close(&a->fd);
	free(a->at_ns);
	a->at_ns = NULL;
}

static void arm(struct agenda *a, uint64_t at_ns)
{
	struct itimerspec at = { 0 };

	at_ns = MAX(at_ns, a->rang_ns + AGENDA_LEAST_MS * NS_PER_MS);
	if (a->armed_ns && a->armed_ns <= at_ns)
		return; /* when it rings, it is set again */
	a->armed_ns = at_ns;
	at.it_value.tv_sec = (time_t)(at_ns / NS_PER_S);
	at.it_value.tv_nsec = (long)(at_ns % NS_PER_S);
	timerfd_settime(a->fd, TFD_TIMER_ABSTIME, &at, NULL);
}

void agenda_set(struct agenda *a, unsigned i, uint64_t at_ns)
{
	a->at_ns[i] = at_ns;
	if (at_ns)
		arm(a, at_ns);
}

bool agenda_rang(struct agenda *a, uint64_t now_ns)
{
	uint64_t times;

	if (read(a->fd, &times, sizeof(times)) != sizeof(times))
		return false;
	a->armed_ns = 0;
	a->rang_ns = now_ns;
	return true;
}

void agenda_done(struct agenda *a)
{
	uint64_t first_ns = UINT64_MAX;

	for (unsigned i = 0; i < a->n; i++)
		first_ns = MIN(first_ns, a->at_ns[i] - 1); /* 0, never, is the last of all */
	if (first_ns != UINT64_MAX)
		arm(a, first_ns + 1);
}
