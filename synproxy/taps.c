/* Theory of operation
 *
 * Our tap on a bridge is a port of it: what is sent to a claimed MAC comes in here, and what is
 * flooded; a filter of the launcher's has taken out what concerns no held service.  The tap and the
 * frames in it outlive us and the launcher: a new descriptor is the same open file.
 *
 * Frames are read BATCH at a time, with one look at the clock, and after each batch the loop goes
 * round: messages and the timer come first (PRIORITY_FRAMES), so that a flood delays them by one batch
 * at most.
 *
 * Each frame is read and parsed before the one before it is dealt with: meanwhile the processor fetches
 * what the table has of its flow, which in a flood of forged SYNs is in no cache.
 *
 * A tap that cannot be read (it was deleted, or is down) is tried again each second.
 */
#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "synproxy/synproxy.h"

enum {
	BATCH = 256,
	EMPTY_BATCHES = 16, /* in each millisecond a flood may fill the queue again: 4096 are what fits into it */
	FRAME_BYTES = 9216, /* the rest of a longer frame is lost */
	RETRY_S = 1,
};

struct arrival {
	size_t n;
	struct frame f;
	uint8_t bytes[FRAME_BYTES];
};

void taps_init(struct taps *t)
{
	for (unsigned i = 0; i < HOLD_BRIDGES_MAX; i++)
		t->at[i] = (struct tap){ .fd = -1 };
}

static void tap_close(struct tap *t)
{
	if (t->readable)
		event_free(t->readable);
	t->readable = NULL;
	fd_close(&t->fd);
}

void taps_end(struct taps *t)
{
	for (unsigned i = 0; i < HOLD_BRIDGES_MAX; i++)
		tap_close(&t->at[i]);
}

static void try_later(struct tap *t)
{
	event_del(t->readable);
	agenda_set(&t->s->agenda, DUE_TAPS, clock_now_ns() + RETRY_S * NS_PER_S);
}

/* 0 or -errno. */
static int read_frame(struct tap *t, struct arrival *a)
{
	ssize_t n = read(t->fd, a->bytes, sizeof(a->bytes));

	a->n = n > 0 ? (size_t)n : 0;
	if (n < 0)
		return -errno;
	frame_parse(a->bytes, a->n, &a->f);
	if (t->s->shared.table && a->f.kind == FRAME_TCP)
		hold_expect(t->s->shared.table, &a->f);
	return 0;
}

/* False when there is no more to read now. */
static bool read_batch(struct tap *t, uint32_t bridge)
{
	uint64_t now_ns = clock_now_ns();
	struct arrival arrivals[2], *last = NULL;
	int r = 0;

	wards_look(t->s, now_ns); /* whose frames they are */
	for (int i = 0; i < BATCH && r == 0; i++) {
		struct arrival *a = &arrivals[i % 2];

		r = read_frame(t, a);
		if (last)
			wards_frame(t->s, bridge, last->bytes, last->n, &last->f, now_ns);
		last = a->n > 0 ? a : NULL;
	}
	if (last)
		wards_frame(t->s, bridge, last->bytes, last->n, &last->f, now_ns);
	if (r < 0 && r != -EAGAIN && r != -EINTR) {
		log_limited(LOG_WARN, "cannot read the tap on bridge %s: %s", t->name, strerror(-r));
		try_later(t);
	}
	wards_look(t->s, now_ns);
	return r == 0;
}

static void on_frames(evutil_socket_t fd, short what, void *arg)
{
	struct tap *t = arg;

	(void)fd;
	(void)what;
	read_batch(t, (uint32_t)(t - t->s->taps.at));
}

void tap_read_empty(struct synproxy *s, uint32_t bridge)
{
	struct tap *t = &s->taps.at[bridge];

	for (int i = 0; i < EMPTY_BATCHES && t->fd >= 0; i++) {
		if (!read_batch(t, bridge))
			return;
	}
}

void tap_send(struct synproxy *s, uint32_t bridge, const uint8_t *frame, size_t n)
{
	const struct tap *t = &s->taps.at[bridge];

	if (t->fd >= 0 && write(t->fd, frame, n) < 0 && errno != EAGAIN && errno != EINTR)
		log_limited(LOG_WARN, "cannot send through the tap on bridge %s: %s", t->name, strerror(errno));
}

static void tap_listen(struct synproxy *s, struct tap *t)
{
	t->s = s;
	if (t->fd < 0)
		return;
	t->readable = event_new(child_base(s->child), t->fd, EV_READ | EV_PERSIST, on_frames, t);
	if (!t->readable || event_priority_set(t->readable, PRIORITY_FRAMES) < 0 || event_add(t->readable, NULL) < 0)
		log_error("no memory to listen to the tap on bridge %s", t->name);
}

void tap_set(struct taps *t, const struct msg_hold_bridge *m, int *fd)
{
	struct tap *tap = &t->at[m->bridge];

	tap_close(tap);
	evutil_make_socket_nonblocking(*fd);
	tap->fd = *fd;
	*fd = -1;
	str_copy(tap->name, m->name);
	tap->check_ms = m->conflict_probe_ms;
}

void taps_take(struct synproxy *s, struct taps *t)
{
	taps_end(&s->taps);
	s->taps = *t;
	taps_init(t);
	for (unsigned i = 0; i < HOLD_BRIDGES_MAX; i++)
		tap_listen(s, &s->taps.at[i]);
}

void tap_replace(struct synproxy *s, const struct msg_hold_bridge *m, int *fd)
{
	tap_set(&s->taps, m, fd);
	tap_listen(s, &s->taps.at[m->bridge]);
	wards_announce(s, m->bridge, clock_now_ns());
}

void taps_retry(struct synproxy *s, uint64_t now_ns)
{
	if (!agenda_is_due(&s->agenda, DUE_TAPS, now_ns))
		return;
	agenda_set(&s->agenda, DUE_TAPS, 0);
	for (unsigned i = 0; i < HOLD_BRIDGES_MAX; i++) {
		if (s->taps.at[i].readable)
			event_add(s->taps.at[i].readable, NULL);
	}
}
