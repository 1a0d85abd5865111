/* VM ports at which an address is learned: a packet socket each, for as long as the VM runs.
 *
 * They are few, and mostly silent: one list, and one time for all of them in the agenda.  A VM that
 * talks without end is heard READS_PER_WAKEUP frames at a time, with DEAF_MS between; what comes meanwhile is
 * dropped by its socket when that is full.  A snapshot of the launcher (MSG_BEGIN .. MSG_END) that does not start
 * one again ends it.
 */
#include <event2/event.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "synproxy/learn.h"
#include "synproxy/synproxy.h"

enum { LEARNERS_MAX = 4096, READS_PER_WAKEUP = 16, DEAF_MS = 20, FRAME_READ_BYTES = 1536 };

struct learner {
	LIST_ENTRY(learner) next;
	struct synproxy *s;
	uint32_t svc, gen;
	struct learn *learn;
	struct event *readable;
	int fd;
	uint64_t deaf_ns; /* nothing is heard until then; 0: it is not deaf */
	uint64_t due_ns; /* 0: never */
	bool stale;
};

static void send_frame(void *arg, const uint8_t *frame, size_t n)
{
	const struct learner *l = arg;

	if (send(l->fd, frame, n, MSG_DONTWAIT) < 0) /* the port may be gone, or full: it is asked again */
		log_debug("cannot ask service %u for its address: %s", l->svc, strerror(errno));
}

static void found(void *arg, enum learn_how how, const struct ip_addr *addr)
{
	const struct learner *l = arg;
	struct msg_learn_found m = { .svc = l->svc, .gen = l->gen, .how = (uint8_t)how, .addr = *addr };

	child_tell(l->s->child, MSG_LEARN_FOUND, &m);
}

static const struct learn_ops learn_ops = { .send = send_frame, .found = found };

static struct learner *find(struct synproxy *s, uint32_t svc)
{
	struct learner *l;

	LIST_FOREACH(l, &s->learners, next) {
		if (l->svc == svc)
			return l;
	}
	return NULL;
}

static void end(struct learner *l)
{
	LIST_REMOVE(l, next);
	l->s->n_learners--;
	if (l->readable)
		event_free(l->readable);
	learn_free(l->learn);
	fd_close(&l->fd);
	free(l);
}

/* ---- time ---- */

static uint64_t sooner(uint64_t a_ns, uint64_t b_ns) { return !a_ns || (b_ns && b_ns < a_ns) ? b_ns : a_ns; }

static void look(struct learner *l, uint64_t now_ns)
{
	if (l->deaf_ns && l->deaf_ns <= now_ns && event_add(l->readable, NULL) == 0)
		l->deaf_ns = 0;
	l->due_ns = sooner(learn_tick(l->learn, now_ns), l->deaf_ns);
}

static void set_due(struct synproxy *s)
{
	const struct learner *l;
	uint64_t due_ns = 0;

	LIST_FOREACH(l, &s->learners, next)
		due_ns = sooner(due_ns, l->due_ns);
	agenda_set(&s->agenda, DUE_LEARN, due_ns);
}

void learners_tick(struct synproxy *s, uint64_t now_ns)
{
	struct learner *l;

	if (!agenda_is_due(&s->agenda, DUE_LEARN, now_ns))
		return;
	LIST_FOREACH(l, &s->learners, next) {
		if (l->due_ns && l->due_ns <= now_ns)
			look(l, now_ns);
	}
	set_due(s);
}

static void on_frames(evutil_socket_t fd, short what, void *arg)
{
	struct learner *l = arg;
	uint8_t frame[FRAME_READ_BYTES];
	ssize_t n = 0;

	(void)what;
	for (int i = 0; i < READS_PER_WAKEUP && n >= 0; i++) {
		n = recv(fd, frame, sizeof(frame), MSG_DONTWAIT);
		if (n >= 0)
			learn_frame(l->learn, frame, (size_t)n, clock_now_ns());
	}
	if (n >= 0) {
		event_del(l->readable);
		l->deaf_ns = clock_now_ns() + DEAF_MS * NS_PER_MS;
	}
	look(l, clock_now_ns());
	set_due(l->s);
}

/* ---- what the launcher says ---- */

static struct learner *learner_new(struct synproxy *s, const struct msg_learn_start *m, int fd)
{
	struct learner *l = calloc(1, sizeof(*l));

	if (!l) {
		close(fd);
		return NULL;
	}
	*l = (struct learner){ .s = s, .svc = m->svc, .gen = m->gen, .fd = fd };
	LIST_INSERT_HEAD(&s->learners, l, next);
	s->n_learners++;
	l->learn = learn_new(m, &learn_ops, l, clock_now_ns());
	l->readable = event_new(child_base(s->child), fd, EV_READ | EV_PERSIST, on_frames, l);
	if (l->learn && l->readable && event_add(l->readable, NULL) == 0)
		return l;
	end(l);
	return NULL;
}

void learners_start(struct synproxy *s, const struct msg_learn_start *m, int *fd)
{
	struct learner *l = find(s, m->svc);

	if (l)
		end(l);
	if (s->n_learners >= LEARNERS_MAX) {
		log_limited(LOG_ERROR, "more than %d services run whose addresses are learned: that of service %u is not",
			    LEARNERS_MAX, m->svc);
		return;
	}
	evutil_make_socket_nonblocking(*fd);
	l = learner_new(s, m, *fd);
	*fd = -1;
	if (!l) {
		log_limited(LOG_ERROR, "no memory to learn the address of service %u", m->svc);
		return;
	}
	look(l, clock_now_ns());
	set_due(s);
}

void learners_stop(struct synproxy *s, const struct msg_probe_stop *m)
{
	struct learner *l = find(s, m->svc);

	if (!l || l->gen != m->gen)
		return;
	end(l);
	set_due(s);
}

void learners_tell(struct synproxy *s, const struct msg_learn_tell *m)
{
	struct learner *l = find(s, m->svc);

	if (!l || l->gen != m->gen)
		return;
	learn_tell(l->learn, m, clock_now_ns());
	look(l, clock_now_ns());
	set_due(s);
}

void learners_mark_stale(struct synproxy *s)
{
	struct learner *l;

	LIST_FOREACH(l, &s->learners, next)
		l->stale = true;
}

void learners_end_stale(struct synproxy *s)
{
	struct learner *l, *later;

	for (l = LIST_FIRST(&s->learners); l; l = later) {
		later = LIST_NEXT(l, next);
		if (l->stale)
			end(l);
	}
	set_due(s);
}

void learners_end(struct synproxy *s)
{
	while (!LIST_EMPTY(&s->learners))
		end(LIST_FIRST(&s->learners));
}
