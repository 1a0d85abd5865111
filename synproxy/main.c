/* Theory of operation
 *
 * One probe per service that boots, each with the packet socket that came with its
 * MSG_PROBE_START; one timer for all.  The timer is set to the probe that is due first and serves
 * all that are due then, at most FRAMES_PER_TICK frames together, beginning each time with another
 * probe, so that none starves when there are more questions than budget.  What is left over goes
 * out a tick later: however many VMs boot and ports are closed, the process asks at most
 * FRAMES_PER_TICK questions a millisecond.  A VM that talks without end is heard READS_PER_WAKEUP frames at
 * a time, with DEAF_MS between: the rest is dropped by its socket, at the kernel's price.  The timer is a timerfd of our own: libevent's go by a
 * clock that steps every 4 ms.
 *
 * A probe ends when everything answered, at MSG_PROBE_STOP, when a later start replaces it, or
 * when a snapshot of the launcher (MSG_BEGIN .. MSG_END) does not mention it any more.  While
 * the launcher is away probes go on, and their events are lost: the next launcher starts them anew
 * and hears everything again.
 *
 * The process is unprivileged and keeps to the sockets it is given.  Closing the last copy of a
 * packet socket waits for the kernel, so the launcher keeps its own until we have closed ours.
 */
#include "synproxy/main.h"

#include <event2/event.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/slots.h"
#include "synproxy/probe.h"

enum {
	WATCHES_MAX = 1024,
	FRAMES_PER_TICK = 16,
	TICK_LEAST_MS = 1,
	READS_PER_WAKEUP = 64,
	DEAF_MS = 2,
	FRAME_READ_BYTES = 512, /* of a longer frame the rest is of no interest */
};

struct watch {
	TAILQ_ENTRY(watch) next;
	struct synproxy *s;
	struct probe *probe;
	struct event *readable;
	int fd;
	uint32_t svc, gen;
	uint64_t due_ns; /* 0: never */
	uint64_t hear_ns; /* deaf until then; 0: it is not */
	bool stale; /* not yet mentioned in the snapshot that is coming in */
};

struct synproxy {
	struct child *child;
	int timer; /* a timerfd */
	struct event *tick;
	TAILQ_HEAD(watches, watch) watches;
	unsigned n_watches;
	struct watch *by_svc[SLOTS_MAX];
};

/* ---- what a probe does ---- */

/* The port may not be up yet, its queue full, or gone. */
static bool is_passing(int error)
{
	return error == ENETDOWN || error == ENOBUFS || error == EAGAIN || error == ENXIO || error == ENODEV ||
	       error == EINTR;
}

static void send_frame(void *arg, const uint8_t *frame, size_t n)
{
	struct watch *w = arg;

	if (send(w->fd, frame, n, MSG_DONTWAIT) < 0 && !is_passing(errno))
		log_limited(LOG_WARN, "cannot probe service %u: %s", w->svc, strerror(errno));
}

static void tell_event(void *arg, enum probe_what what, const struct ip_addr *addr, uint16_t port, uint64_t now_ns)
{
	struct watch *w = arg;
	struct msg_probe_event m = {
		.svc = w->svc,
		.gen = w->gen,
		.what = (uint8_t)what,
		.addr = *addr,
		.port = port,
		.t_ns = now_ns,
	};

	child_tell(w->s->child, MSG_PROBE_EVENT, &m); /* no launcher: the next one starts us anew */
}

static const struct probe_ops probe_ops = { .send = send_frame, .event = tell_event };

/* ---- one timer ---- */

static uint64_t sooner(uint64_t a, uint64_t b) { return !a || (b && b < a) ? b : a; }

static void set_timer(struct synproxy *s, uint64_t now_ns)
{
	struct itimerspec at = { 0 };
	uint64_t first = 0;
	struct watch *w;

	TAILQ_FOREACH (w, &s->watches, next)
		first = sooner(first, sooner(w->due_ns, w->hear_ns));
	if (first) { /* else it is turned off */
		first = MAX(first, now_ns + TICK_LEAST_MS * NS_PER_MS);
		at.it_value.tv_sec = (time_t)(first / NS_PER_S);
		at.it_value.tv_nsec = (long)(first % NS_PER_S);
	}
	timerfd_settime(s->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static void watch_free(struct watch *w)
{
	struct synproxy *s = w->s;

	TAILQ_REMOVE(&s->watches, w, next);
	s->by_svc[w->svc] = NULL;
	s->n_watches--;
	if (w->readable)
		event_free(w->readable);
	probe_free(w->probe);
	fd_close(&w->fd);
	free(w);
}

static void hear_again(struct synproxy *s, uint64_t now_ns)
{
	struct watch *w;

	TAILQ_FOREACH (w, &s->watches, next) {
		if (w->hear_ns && w->hear_ns <= now_ns && event_add(w->readable, NULL) == 0)
			w->hear_ns = 0;
	}
}

static void tick(struct synproxy *s)
{
	uint64_t now_ns = clock_now_ns();
	unsigned budget = FRAMES_PER_TICK;

	hear_again(s, now_ns);
	for (unsigned i = s->n_watches; i > 0 && budget > 0; i--) {
		struct watch *w = TAILQ_FIRST(&s->watches);

		TAILQ_REMOVE(&s->watches, w, next);
		TAILQ_INSERT_TAIL(&s->watches, w, next);
		w->due_ns = probe_tick(w->probe, now_ns, &budget);
		if (probe_is_done(w->probe))
			watch_free(w);
	}
	set_timer(s, now_ns);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	uint64_t times;

	(void)what;
	if (read(fd, &times, sizeof(times)) == sizeof(times))
		tick(arg);
}

/* ---- frames ---- */

static void on_frames(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	struct synproxy *s = w->s;
	uint8_t frame[FRAME_READ_BYTES];
	ssize_t n = 0;

	(void)what;
	for (int i = 0; i < READS_PER_WAKEUP && n >= 0 && !probe_is_done(w->probe); i++) {
		n = recv(fd, frame, sizeof(frame), MSG_DONTWAIT);
		if (n >= 0)
			probe_frame(w->probe, frame, (size_t)n, clock_now_ns());
		else if (!is_passing(errno))
			log_limited(LOG_WARN, "cannot hear service %u: %s", w->svc, strerror(errno));
	}
	if (probe_is_done(w->probe)) {
		watch_free(w);
	} else if (n >= 0) { /* there may be more: it must wait */
		event_del(w->readable);
		w->hear_ns = clock_now_ns() + DEAF_MS * NS_PER_MS;
	} else {
		return;
	}
	set_timer(s, clock_now_ns());
}

/* ---- what the launcher says ---- */

/* Takes `fd`, also on failure.  NULL when memory ran out. */
static struct watch *watch_new(struct synproxy *s, const struct msg_probe_start *m, int fd)
{
	uint64_t now_ns = clock_now_ns();
	struct watch *w = calloc(1, sizeof(*w));

	if (!w) {
		close(fd);
		return NULL;
	}
	w->s = s;
	w->fd = fd;
	w->svc = m->svc;
	w->gen = m->gen;
	w->due_ns = now_ns;
	w->probe = probe_new(m, &probe_ops, w, now_ns);
	w->readable = event_new(child_base(s->child), fd, EV_READ | EV_PERSIST, on_frames, w);
	TAILQ_INSERT_HEAD(&s->watches, w, next);
	s->by_svc[w->svc] = w;
	s->n_watches++;
	if (w->probe && w->readable && event_add(w->readable, NULL) == 0)
		return w;
	watch_free(w);
	return NULL;
}

static void on_start(struct synproxy *s, const struct msg_probe_start *m, int *fd)
{
	if (m->svc >= SLOTS_MAX || *fd < 0) {
		log_error("the launcher asked for a probe without a socket, or of a service that cannot be");
		return;
	}
	if (s->by_svc[m->svc])
		watch_free(s->by_svc[m->svc]);
	if (s->n_watches >= WATCHES_MAX) {
		log_limited(LOG_ERROR, "more than %d services boot at once: service %u is not probed", WATCHES_MAX, m->svc);
		return;
	}
	evutil_make_socket_nonblocking(*fd);
	if (!watch_new(s, m, *fd))
		log_limited(LOG_ERROR, "no memory to probe service %u", m->svc);
	*fd = -1;
	tick(s); /* the first question goes out now */
}

static void on_probe_stop(struct synproxy *s, const struct msg_probe_stop *m)
{
	struct watch *w = m->svc < SLOTS_MAX ? s->by_svc[m->svc] : NULL;

	if (!w || w->gen != m->gen)
		return; /* it ended by itself, or is about the past */
	watch_free(w);
	set_timer(s, clock_now_ns());
}

static void on_begin(struct synproxy *s)
{
	struct watch *w;

	TAILQ_FOREACH (w, &s->watches, next)
		w->stale = true;
}

static void on_end(struct synproxy *s)
{
	struct watch *w, *next;

	for (w = TAILQ_FIRST(&s->watches); w; w = next) {
		next = TAILQ_NEXT(w, next);
		if (w->stale)
			watch_free(w);
	}
	set_timer(s, clock_now_ns());
	child_ready(s->child);
}

static void on_launcher_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct synproxy *s = arg;

	(void)ch;
	switch ((int)type) {
	case MSG_BEGIN: on_begin(s); break;
	case MSG_END: on_end(s); break;
	case MSG_PROBE_START: on_start(s, body, fd); break;
	case MSG_PROBE_STOP: on_probe_stop(s, body); break;
	default: log_limited(LOG_WARN, "the launcher says %s, which is not for synproxy", msg_name(type));
	}
}

static const struct child_ops child_ops = { .on_launcher_msg = on_launcher_msg };

int synproxy_main(const struct child_args *args)
{
	struct synproxy *s = calloc(1, sizeof(*s));
	int status;

	if (!s)
		return 1;
	TAILQ_INIT(&s->watches);
	s->child = child_new(args, &child_ops, s);
	s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	s->tick = event_new(child_base(s->child), s->timer, EV_READ | EV_PERSIST, on_timer, s);
	if (s->timer < 0 || !s->tick || event_add(s->tick, NULL) < 0)
		log_fatal("cannot make a timer");
	status = child_run(s->child);
	while (!TAILQ_EMPTY(&s->watches))
		watch_free(TAILQ_FIRST(&s->watches));
	event_free(s->tick);
	fd_close(&s->timer);
	child_free(s->child);
	free(s);
	return status;
}
