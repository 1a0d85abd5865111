/* Event loop hooks of libraries over libevent.
 *
 * The libraries call the functions below from any thread, also from inside a callback, and often
 * with locks of their own held.  From that follow the rules here:
 *
 * - One mutex guards the table of watches.  It is never held while a callback of a library's runs,
 *   nor while libevent could wait for one: events are deleted with event_del_noblock(), since
 *   event_del() would wait for the loop, which may wait for the very lock our caller holds.
 * - A removed watch is freed on the loop's thread, later: its callback may be running there right
 *   now, and a library's free function takes locks that the remover holds.  A watch is found
 *   by its number, so a removed one is never found again.
 * - A timer of 0 ms fires in each round until it is changed (libvirt switches its own off in the
 *   callback).  Timers are armed anew before their callback, which may change or remove them.
 */
#include "backends/watches.h"

#include <event2/event.h>
#include <pthread.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/util.h"

enum kind { OF_FD, OF_TIMER };

struct watch {
	LIST_ENTRY(watch) next;
	int id;
	enum kind kind;
	int fd;
	int period_ms; /* timer: -1 off */
	union {
		watch_fd_fn *fd;
		watch_timer_fn *timer;
	} call;
	void *opaque;
	watch_free_fn *free_opaque;
	struct event *readable, *writable; /* a timer uses the first */
	bool removed;
};

LIST_HEAD(watch_list, watch);

/* libvirt gives its hooks no cookie: one loop per process. */
static struct {
	pthread_mutex_t lock;
	struct event_base *base;
	struct watch_list live, removed;
	struct event *bury;
	int last_id;
} loop = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct watch *find(int id, enum kind kind)
{
	struct watch *w;

	LIST_FOREACH (w, &loop.live, next) {
		if (w->id == id && w->kind == kind)
			return w;
	}
	return NULL;
}

static void watch_free(struct watch *w)
{
	if (w->readable)
		event_free(w->readable);
	if (w->writable)
		event_free(w->writable);
	free(w);
}

/* Loop thread: no callback of a removed watch runs now, and none will. */
static void on_bury(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w;

	(void)fd;
	(void)what;
	(void)arg;
	for (;;) {
		pthread_mutex_lock(&loop.lock);
		w = LIST_FIRST(&loop.removed);
		if (w)
			LIST_REMOVE(w, next);
		pthread_mutex_unlock(&loop.lock);
		if (!w)
			return;
		if (w->free_opaque)
			w->free_opaque(w->opaque);
		watch_free(w);
	}
}

/* ---- sockets ---- */

static void set_armed(struct event *e, bool armed)
{
	if (armed)
		event_add(e, NULL);
	else
		event_del_noblock(e);
}

/* Errors and hang-ups come with either direction: libevent tells them as readable and writable. */
static void arm_fd(struct watch *w, int events)
{
	set_armed(w->readable, events & WATCH_READ);
	set_armed(w->writable, events & WATCH_WRITE);
}

static void on_fd(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	bool removed;
	int events = 0;

	pthread_mutex_lock(&loop.lock);
	removed = w->removed;
	pthread_mutex_unlock(&loop.lock);
	if (what & EV_READ)
		events |= WATCH_READ;
	if (what & EV_WRITE)
		events |= WATCH_WRITE;
	if (!removed)
		w->call.fd(w->id, fd, events, w->opaque);
}

static struct watch *watch_new(enum kind kind, void *opaque, watch_free_fn *free_opaque)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->kind = kind;
	w->fd = -1;
	w->opaque = opaque;
	w->free_opaque = free_opaque;
	return w;
}

/* Under the lock. */
static int enlist(struct watch *w)
{
	w->id = ++loop.last_id;
	LIST_INSERT_HEAD(&loop.live, w, next);
	return w->id;
}

int watch_add_fd(int fd, int events, watch_fd_fn *call, void *opaque, watch_free_fn *free_opaque)
{
	struct watch *w = watch_new(OF_FD, opaque, free_opaque);
	int id;

	if (!w)
		return -1;
	w->fd = fd;
	w->call.fd = call;
	w->readable = event_new(loop.base, fd, EV_READ | EV_PERSIST, on_fd, w);
	w->writable = event_new(loop.base, fd, EV_WRITE | EV_PERSIST, on_fd, w);
	if (!w->readable || !w->writable) {
		watch_free(w);
		return -1;
	}
	pthread_mutex_lock(&loop.lock);
	id = enlist(w);
	arm_fd(w, events);
	pthread_mutex_unlock(&loop.lock);
	return id;
}

void watch_update_fd(int id, int events)
{
	struct watch *w;

	pthread_mutex_lock(&loop.lock);
	w = find(id, OF_FD);
	if (w)
		arm_fd(w, events);
	pthread_mutex_unlock(&loop.lock);
}

/* ---- timers ---- */

static void arm_timer(struct watch *w)
{
	struct timeval after = clock_timeval_ms(w->period_ms > 0 ? (uint64_t)w->period_ms : 0);

	if (w->period_ms < 0)
		event_del_noblock(w->readable);
	else
		event_add(w->readable, &after);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	bool wanted;

	(void)fd;
	(void)what;
	pthread_mutex_lock(&loop.lock);
	wanted = !w->removed && w->period_ms >= 0;
	if (wanted)
		arm_timer(w);
	pthread_mutex_unlock(&loop.lock);
	if (wanted)
		w->call.timer(w->id, w->opaque);
}

int watch_add_timer(int period_ms, watch_timer_fn *call, void *opaque, watch_free_fn *free_opaque)
{
	struct watch *w = watch_new(OF_TIMER, opaque, free_opaque);
	int id;

	if (!w)
		return -1;
	w->call.timer = call;
	w->period_ms = period_ms;
	w->readable = event_new(loop.base, -1, 0, on_timer, w);
	if (!w->readable) {
		watch_free(w);
		return -1;
	}
	pthread_mutex_lock(&loop.lock);
	id = enlist(w);
	arm_timer(w);
	pthread_mutex_unlock(&loop.lock);
	return id;
}

void watch_update_timer(int id, int period_ms)
{
	struct watch *w;

	pthread_mutex_lock(&loop.lock);
	w = find(id, OF_TIMER);
	if (w) {
		w->period_ms = period_ms;
		arm_timer(w);
	}
	pthread_mutex_unlock(&loop.lock);
}

/* ---- both ---- */

static int remove_watch(int id, enum kind kind)
{
	struct watch *w;

	pthread_mutex_lock(&loop.lock);
	w = find(id, kind);
	if (w) {
		w->removed = true;
		event_del_noblock(w->readable);
		if (w->writable)
			event_del_noblock(w->writable);
		LIST_REMOVE(w, next);
		LIST_INSERT_HEAD(&loop.removed, w, next);
		event_active(loop.bury, EV_TIMEOUT, 0);
	}
	pthread_mutex_unlock(&loop.lock);
	return w ? 0 : -1;
}

int watch_remove_fd(int id) { return remove_watch(id, OF_FD); }
int watch_remove_timer(int id) { return remove_watch(id, OF_TIMER); }

int watches_init(struct event_base *base)
{
	LIST_INIT(&loop.live);
	LIST_INIT(&loop.removed);
	loop.base = base;
	loop.bury = event_new(base, -1, 0, on_bury, NULL);
	return loop.bury ? 0 : -ENOMEM;
}
