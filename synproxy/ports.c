/* Theory of operation
 *
 * A VM's port is the packet socket that came with MSG_PROBE_START or MSG_HOLD_PORT, and a probe.  It
 * has up to two users: readiness, until everything that MSG_PROBE_START asks for has answered or the
 * service is UP, and the service's hand-over, until that is quiet.  When the last one leaves, it is closed; at once at
 * MSG_PROBE_STOP, or when a later start replaces it.  A snapshot of the launcher
 * (MSG_BEGIN .. MSG_END) that does not mention a probe ends it.  While the launcher is away probes go
 * on, and their events are lost: the next launcher starts them anew and hears everything again.
 *
 * Questions are paced: the agenda rings for the probe that is due first, and all that are due are
 * served, at most FRAMES_PER_TICK frames together, beginning each time with another probe, so that
 * none starves when there are more questions than budget.  What is left over goes out a tick later:
 * however many VMs boot and ports are closed, the process asks at most FRAMES_PER_TICK questions a
 * millisecond.
 * A VM that talks without end is heard READS_PER_WAKEUP frames at a time, with DEAF_MS between: the
 * rest is dropped by its socket, at the kernel's price.
 *
 * Closing the last copy of a packet socket waits for the kernel, so the launcher keeps its own
 * until we have closed ours.
 */
#include <event2/event.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "synproxy/synproxy.h"

enum {
	PORTS_AT_ONCE = 1024,
	FRAMES_PER_TICK = 16,
	READS_PER_WAKEUP = 64,
	DEAF_MS = 2,
	FRAME_READ_BYTES = 512, /* of a longer frame the rest is of no interest */
};

/* ---- sending ---- */

/* The port may not be up yet, its queue full, or gone. */
static bool is_passing(int error)
{
	return error == ENETDOWN || error == ENOBUFS || error == EAGAIN || error == ENXIO || error == ENODEV ||
	       error == EINTR;
}

static void send_frame(void *arg, const uint8_t *frame, size_t n)
{
	struct port_watch *p = arg;

	if (send(p->fd, frame, n, MSG_DONTWAIT) < 0 && !is_passing(errno))
		log_limited(LOG_WARN, "cannot probe service %u: %s", p->want.svc, strerror(errno));
}

bool port_send(struct ward *w, const uint8_t *frame, size_t n)
{
	struct port_watch *p = w->s->ports[w->conf->svc];

	if (!p || !p->for_hold)
		return false;
	if (send(p->fd, frame, n, MSG_DONTWAIT) >= 0)
		return true;
	if (is_passing(errno))
		return false;
	log_limited(LOG_WARN, "service=%s: a packet of %zu bytes is lost: %s", w->conf->name, n, strerror(errno));
	return true;
}

/* ---- what a probe says ---- */

static void tell_launcher(const struct port_watch *p, enum probe_what what, const struct ip_addr *addr, uint16_t port,
			  uint64_t now_ns)
{
	struct msg_probe_event m = {
		.svc = p->want.svc,
		.gen = p->want.gen,
		.what = (uint8_t)what,
		.addr = *addr,
		.port = port,
		.t_ns = now_ns,
	};

	child_tell(p->s->child, MSG_PROBE_EVENT, &m); /* no launcher: the next one starts us anew */
}

static void tell_ward(struct ward *w, enum probe_what what, uint16_t port, uint64_t now_ns)
{
	handover_probe(w->handover, what, port, now_ns);
	ward_touch(w);
}

static void on_event(void *arg, enum probe_what what, const struct ip_addr *addr, uint16_t port, uint64_t now_ns)
{
	struct port_watch *p = arg;
	struct ward *w = ward_find(p->s, p->want.svc, p->want.gen);

	if (p->for_ready)
		tell_launcher(p, what, addr, port, now_ns);
	if (what == PROBE_DONE)
		p->for_ready = false;
	if (w && p->for_hold)
		tell_ward(w, what, port, now_ns);
}

static const struct probe_ops probe_ops = { .send = send_frame, .event = on_event };

static void recall(void *arg, enum probe_what what, const struct ip_addr *addr, uint16_t port, uint64_t now_ns)
{
	(void)addr;
	tell_ward(arg, what, port, now_ns);
}

static const struct probe_ops recall_ops = { .event = recall };

/* ---- users ---- */

static void set_due(struct port_watch *p)
{
	uint64_t due_ns = probe_due_ns(p->probe);

	if (p->deaf_ns && (!due_ns || p->deaf_ns < due_ns))
		due_ns = p->deaf_ns;
	agenda_set(&p->s->agenda, DUE_PORTS + p->want.svc, due_ns);
}

/* Who will use it is known when the snapshot is whole. */
static bool is_used(const struct port_watch *p) { return p->for_ready || p->for_hold || p->s->coming; }

static void port_free(struct port_watch *p)
{
	struct synproxy *s = p->s;
	struct ward *w = ward_find(s, p->want.svc, p->want.gen);

	s->ports[p->want.svc] = NULL;
	s->n_ports--;
	agenda_set(&s->agenda, DUE_PORTS + p->want.svc, 0);
	if (w && p->for_hold) {
		handover_port_gone(w->handover);
		ward_touch(w);
	}
	if (p->readable)
		event_free(p->readable);
	probe_free(p->probe);
	fd_close(&p->fd);
	free(p);
}

void port_attach(struct ward *w, uint64_t now_ns)
{
	struct port_watch *p = w->s->ports[w->conf->svc];

	if (!p || p->want.gen != w->conf->gen || p->for_hold)
		return;
	p->for_hold = true;
	handover_port(w->handover, p->want.tcp, p->want.n_tcp, p->for_ready, now_ns);
	probe_recall(p->probe, &recall_ops, w, now_ns);
	ward_touch(w);
	set_due(p);
}

/* Nobody waits for its answers any more, whether they came or not. */
void port_is_ready(struct ward *w, uint64_t now_ns)
{
	struct port_watch *p = w->s->ports[w->conf->svc];

	if (!p || p->want.gen != w->conf->gen)
		return;
	p->for_ready = false;
	port_attach(w, now_ns);
}

void port_leave(struct ward *w)
{
	struct port_watch *p = w->s->ports[w->conf->svc];

	if (!p || !p->for_hold)
		return;
	p->for_hold = false;
	probe_want_no_more(p->probe);
	if (!is_used(p))
		port_free(p);
}

bool port_want(struct ward *w, uint16_t port)
{
	struct port_watch *p = w->s->ports[w->conf->svc];

	if (!p || !probe_want_port(p->probe, port, clock_now_ns()))
		return false;
	set_due(p);
	return true;
}

/* ---- hearing ---- */

static void listen_again(struct port_watch *p, uint64_t now_ns)
{
	if (p->deaf_ns && p->deaf_ns <= now_ns && event_add(p->readable, NULL) == 0)
		p->deaf_ns = 0;
}

/* For a while: there may be more to hear, which must wait. */
static void go_deaf(struct port_watch *p)
{
	event_del(p->readable);
	p->deaf_ns = clock_now_ns() + DEAF_MS * NS_PER_MS;
}

static void on_frames(evutil_socket_t fd, short what, void *arg)
{
	struct port_watch *p = arg;
	struct synproxy *s = p->s;
	uint8_t frame[FRAME_READ_BYTES];
	ssize_t n = 0;

	(void)what;
	for (int i = 0; i < READS_PER_WAKEUP && n >= 0 && is_used(p); i++) {
		n = recv(fd, frame, sizeof(frame), MSG_DONTWAIT);
		if (n >= 0)
			probe_frame(p->probe, frame, (size_t)n, clock_now_ns());
		else if (!is_passing(errno))
			log_limited(LOG_WARN, "cannot hear service %u: %s", p->want.svc, strerror(errno));
	}
	if (is_used(p)) {
		if (n >= 0)
			go_deaf(p);
		set_due(p);
	} else {
		port_free(p);
	}
	wards_look(s, clock_now_ns());
}

/* ---- asking ---- */

static void ask(struct port_watch *p, uint64_t now_ns, unsigned *budget)
{
	listen_again(p, now_ns);
	probe_tick(p->probe, now_ns, budget);
	if (is_used(p))
		set_due(p);
	else
		port_free(p);
}

void ports_tick(struct synproxy *s, uint64_t now_ns)
{
	unsigned budget = FRAMES_PER_TICK, first = s->first_port;

	for (unsigned i = 0; i < SLOTS_MAX && s->n_ports > 0; i++) {
		unsigned svc = (first + i) % SLOTS_MAX;

		if (!agenda_is_due(&s->agenda, DUE_PORTS + svc, now_ns))
			continue;
		if (budget > 0)
			s->first_port = svc + 1;
		ask(s->ports[svc], now_ns, &budget);
	}
}

/* ---- what the launcher says ---- */

/* Takes `fd`, also on failure.  NULL when memory ran out. */
static struct port_watch *port_new(struct synproxy *s, const struct msg_probe_start *m, bool for_ready, int fd)
{
	struct port_watch *p = calloc(1, sizeof(*p));

	if (!p) {
		close(fd);
		return NULL;
	}
	p->s = s;
	p->fd = fd;
	p->want = *m;
	p->for_ready = for_ready;
	p->probe = probe_new(m, &probe_ops, p, clock_now_ns());
	p->readable = event_new(child_base(s->child), fd, EV_READ | EV_PERSIST, on_frames, p);
	s->ports[m->svc] = p;
	s->n_ports++;
	if (p->probe && p->readable && event_add(p->readable, NULL) == 0)
		return p;
	port_free(p);
	return NULL;
}

void ports_start(struct synproxy *s, const struct msg_probe_start *m, bool for_ready, int *fd)
{
	struct ward *w = ward_find(s, m->svc, m->gen);
	unsigned budget = FRAMES_PER_TICK;
	struct port_watch *p;

	if (s->ports[m->svc])
		port_free(s->ports[m->svc]);
	if (s->n_ports >= PORTS_AT_ONCE) {
		log_limited(LOG_ERROR, "more than %d services boot at once: service %u is not probed", PORTS_AT_ONCE,
			    m->svc);
		return;
	}
	evutil_make_socket_nonblocking(*fd);
	p = port_new(s, m, for_ready, *fd);
	*fd = -1;
	if (!p) {
		log_limited(LOG_ERROR, "no memory to probe service %u", m->svc);
		return;
	}
	if (w)
		port_attach(w, clock_now_ns());
	ask(p, clock_now_ns(), &budget); /* the first question goes out now */
}

void ports_stop(struct synproxy *s, const struct msg_probe_stop *m)
{
	struct port_watch *p = m->svc < SLOTS_MAX ? s->ports[m->svc] : NULL;

	if (p && p->want.gen == m->gen) /* else it ended by itself, or this is about the past */
		port_free(p);
}

void ports_mark_stale(struct synproxy *s)
{
	for (unsigned i = 0; i < SLOTS_MAX; i++) {
		if (s->ports[i])
			s->ports[i]->stale = true;
	}
}

/* A probe that was not mentioned again ends; a hand-over of a service that was goes on. */
void ports_end_stale(struct synproxy *s)
{
	for (unsigned i = 0; i < SLOTS_MAX; i++) {
		struct port_watch *p = s->ports[i];

		if (p && p->stale)
			p->for_ready = false;
		if (p && !is_used(p))
			port_free(p);
	}
}

void ports_end(struct synproxy *s)
{
	for (unsigned i = 0; i < SLOTS_MAX; i++) {
		if (s->ports[i])
			port_free(s->ports[i]);
	}
}
