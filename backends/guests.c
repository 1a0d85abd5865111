/* A stream is a socket of which the launcher and the process that reads it have copies.  Ours stays open so that the
 * next launcher can have one, and is watched for its end only (EV_CLOSED): what it brings is others' to read.
 *
 * QEMU makes a connection once, when it starts, and tries again each second when it is lost.  It is not lost
 * when this process ends, as long as the launcher has its copy: the next process knows nothing of it, and needs not
 * to.
 *
 * guests_take() may come from workers, which look at domains: what it brings waits in a list until the loop
 * has its turn.
 */
#include "backends/guests.h"

#include <event2/event.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "backends/listener.h"
#include "base/log.h"

enum { STREAMS_MAX = 16384, LISTENERS_MAX = 16384 };

struct stream {
	LIST_ENTRY(stream) next;
	struct guests *g;
	struct msg_be_guest id;
	int fd;
	struct event *closed; /* NULL: it is still to be told */
};

struct door {
	LIST_ENTRY(door) next;
	struct guests *g;
	char name[MSG_NAME_MAX + 8];
	struct listener *listener;
};

LIST_HEAD(streams, stream);

struct guests {
	struct event_base *base;
	guests_tell_fn *tell;
	void *arg;
	pthread_mutex_t lock;
	struct streams streams, fresh; /* under lock */
	unsigned n_streams; /* of both; under lock */
	int wakeup;
	struct event *on_wakeup;
	LIST_HEAD(, door) doors;
	unsigned n_doors;
};

static struct stream *find(struct streams *list, const char *name)
{
	struct stream *s;

	LIST_FOREACH (s, list, next) {
		if (strcmp(s->id.name, name) == 0)
			return s;
	}
	return NULL;
}

/* Under the lock, on the loop's thread; or of one that nobody knows of any more. */
static void stream_free(struct stream *s)
{
	LIST_REMOVE(s, next);
	s->g->n_streams--;
	if (s->closed)
		event_free(s->closed);
	fd_close(&s->fd);
	free(s);
}

static void on_closed(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;
	struct guests *g = s->g;

	(void)fd;
	(void)what;
	pthread_mutex_lock(&g->lock);
	stream_free(s);
	pthread_mutex_unlock(&g->lock);
}

/* Under the lock. */
static bool enlist(struct guests *g, struct stream *s)
{
	struct stream *old = find(&g->streams, s->id.name);

	LIST_REMOVE(s, next);
	LIST_INSERT_HEAD(&g->streams, s, next);
	if (old)
		stream_free(old);
	s->closed = event_new(g->base, s->fd, EV_CLOSED | EV_PERSIST, on_closed, s);
	if (s->closed && event_add(s->closed, NULL) == 0)
		return true;
	stream_free(s);
	return false;
}

static void on_wakeup(evutil_socket_t fd, short what, void *arg)
{
	struct guests *g = arg;
	struct stream *s;
	eventfd_t n;

	(void)what;
	eventfd_read(fd, &n);
	pthread_mutex_lock(&g->lock);
	while ((s = LIST_FIRST(&g->fresh))) {
		if (enlist(g, s))
			g->tell(g->arg, &s->id, s->fd);
	}
	pthread_mutex_unlock(&g->lock);
}

void guests_tell(struct guests *g, const char *name)
{
	const struct stream *s;

	pthread_mutex_lock(&g->lock);
	s = find(&g->streams, name);
	if (s)
		g->tell(g->arg, &s->id, s->fd);
	pthread_mutex_unlock(&g->lock);
}

void guests_on_launcher(struct guests *g)
{
	struct stream *s;

	pthread_mutex_lock(&g->lock);
	LIST_FOREACH (s, &g->streams, next)
		g->tell(g->arg, &s->id, s->fd);
	pthread_mutex_unlock(&g->lock);
}

void guests_take(struct guests *g, const char *name, const char *uuid, int fd)
{
	struct stream *s = calloc(1, sizeof(*s)), *old;
	bool room;

	if (!s) {
		close(fd);
		return;
	}
	s->g = g;
	s->fd = fd;
	str_copy(s->id.name, name);
	str_copy(s->id.uuid, uuid);
	pthread_mutex_lock(&g->lock);
	old = find(&g->fresh, name); /* the loop takes them in no order */
	if (old)
		stream_free(old);
	room = g->n_streams < STREAMS_MAX;
	if (room) {
		LIST_INSERT_HEAD(&g->fresh, s, next);
		g->n_streams++;
		eventfd_write(g->wakeup, 1);
	}
	pthread_mutex_unlock(&g->lock);
	if (room)
		return;
	close(fd);
	free(s);
}

void guests_connect(struct guests *g, const char *name, const char *uuid, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	bool known;
	int fd;

	pthread_mutex_lock(&g->lock);
	known = find(&g->streams, name) || find(&g->fresh, name);
	pthread_mutex_unlock(&g->lock);
	if (known || !str_copy(addr.sun_path, path))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		guests_take(g, name, uuid, fd);
	else
		fd_close(&fd); /* somebody else may listen to it, or it is too late */
}

/* ---- domains of ours ---- */

bool guests_socket_path(const char *dir, const char *name, char *out, size_t size)
{
	return listener_path(dir, name, "talk", out, size);
}

static void on_connect(void *arg, int fd)
{
	struct door *d = arg;

	guests_take(d->g, d->name, "", fd);
}

int guests_listen(struct guests *g, const char *dir, const char *name, uid_t uid, gid_t gid, struct err *e)
{
	char path[MSG_PATH_MAX];
	struct door *d;

	LIST_FOREACH (d, &g->doors, next) {
		if (strcmp(d->name, name) == 0)
			return 0;
	}
	if (!name[0] || name[0] == '.' || strchr(name, '/') || g->n_doors == LISTENERS_MAX ||
	    !guests_socket_path(dir, name, path, sizeof(path)))
		return err_set(e, -EINVAL, "no channel for the guest of \"%s\"", name);
	d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(e, -ENOMEM, "no memory for a guest's channel");
	d->g = g;
	str_copy(d->name, name);
	d->listener = listener_new(g->base, path, uid, gid, on_connect, d);
	if (!d->listener) {
		int error = -errno;

		free(d);
		return err_set_errno(e, error, "no channel for the guest of %s in %s", name, dir);
	}
	LIST_INSERT_HEAD(&g->doors, d, next);
	g->n_doors++;
	return 0;
}

void guests_leave(struct guests *g, const char *dir, const char *name)
{
	char path[MSG_PATH_MAX];
	struct door *d;

	LIST_FOREACH (d, &g->doors, next) {
		if (strcmp(d->name, name) == 0)
			break;
	}
	if (!d)
		return;
	LIST_REMOVE(d, next);
	g->n_doors--;
	listener_free(d->listener);
	free(d);
	if (guests_socket_path(dir, name, path, sizeof(path)))
		unlink(path);
}

/* ---- life ---- */

struct guests *guests_new(struct event_base *base, guests_tell_fn *tell, void *arg)
{
	struct guests *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	*g = (struct guests){ .base = base, .tell = tell, .arg = arg };
	pthread_mutex_init(&g->lock, NULL);
	g->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	g->on_wakeup = g->wakeup < 0 ? NULL : event_new(base, g->wakeup, EV_READ | EV_PERSIST, on_wakeup, g);
	if (g->on_wakeup && event_add(g->on_wakeup, NULL) == 0)
		return g;
	guests_free(g);
	errno = ENOMEM;
	return NULL;
}

void guests_free(struct guests *g)
{
	struct door *d;

	if (!g)
		return;
	while ((d = LIST_FIRST(&g->doors))) {
		LIST_REMOVE(d, next);
		listener_free(d->listener);
		free(d);
	}
	while (!LIST_EMPTY(&g->streams))
		stream_free(LIST_FIRST(&g->streams));
	while (!LIST_EMPTY(&g->fresh))
		stream_free(LIST_FIRST(&g->fresh));
	if (g->on_wakeup)
		event_free(g->on_wakeup);
	fd_close(&g->wakeup);
	pthread_mutex_destroy(&g->lock);
	free(g);
}
