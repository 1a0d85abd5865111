/* The console of a domain is a listening socket for as long as this process lives: its fate does
 * not depend on the order in which a stop's event, a start's request and QEMU's connection come.
 * Their number is that of the services that ever ran, but for those of which the launcher says that they will not come
 * back, bounded by CONSOLES_MAX.
 *
 * One connection at a time: a new one is of a new QEMU, the old one's is dead or about to be.
 *
 * Reading is bounded per round of the loop, so that a guest that shouts costs its share and
 * delays nobody; what we have not read yet waits in QEMU, which drops what its buffer does not
 * take.  pty and file back ends were refused: a pty nobody reads stalls some guests, a file has no
 * bound.
 */
#include "backends/console.h"

#include <event2/event.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "backends/listener.h"
#include "base/log.h"
#include "base/ring_file.h"

enum { CONSOLES_MAX = 4096, READ_BYTES = 16 * 1024 };

struct console {
	SLIST_ENTRY(console) next;
	struct consoles *all;
	char name[MSG_NAME_MAX + 8];
	struct listener *listener;
	struct event *readable; /* NULL while no QEMU is connected */
	int stream;
	struct ring_file *ring;
};

struct consoles {
	struct event_base *base;
	char dir[MSG_PATH_MAX];
	uid_t uid;
	gid_t gid;
	SLIST_HEAD(, console) list;
	unsigned n;
};

bool console_socket_path(const char *dir, const char *name, char *out, size_t size)
{
	return listener_path(dir, name, "sock", out, size);
}

static void hang_up(struct console *k)
{
	if (k->readable)
		event_free(k->readable);
	k->readable = NULL;
	fd_close(&k->stream);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct console *k = arg;
	char text[READ_BYTES];
	ssize_t n = read(fd, text, sizeof(text));
	int error;

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		hang_up(k);
		return;
	}
	error = ring_file_append(k->ring, text, (size_t)n);
	if (error < 0)
		log_limited(LOG_WARN, "console of %s: %s", k->name, strerror(-error));
}

static void attach(struct console *k, int fd)
{
	hang_up(k);
	k->stream = fd;
	k->readable = event_new(k->all->base, fd, EV_READ | EV_PERSIST, on_readable, k);
	if (!k->readable || event_add(k->readable, NULL) < 0)
		hang_up(k);
}

static void on_connect(void *arg, int fd) { attach(arg, fd); }

static void console_free(struct console *k)
{
	hang_up(k);
	listener_free(k->listener);
	ring_file_free(k->ring);
	free(k);
}

static int listen_to(struct console *k)
{
	char path[MSG_PATH_MAX];

	if (!console_socket_path(k->all->dir, k->name, path, sizeof(path)))
		return -ENAMETOOLONG;
	k->listener = listener_new(k->all->base, path, k->all->uid, k->all->gid, on_connect, k);
	return k->listener ? 0 : -errno;
}

static int open_ring(struct console *k)
{
	char path[MSG_PATH_MAX + MSG_NAME_MAX + 16];

	snprintf(path, sizeof(path), "%s/%s.log", k->all->dir, k->name);
	k->ring = ring_file_new(path, RING_ROOM_DEFAULT);
	return k->ring ? 0 : -errno;
}

static struct console *find(const struct consoles *c, const char *name)
{
	struct console *k;

	SLIST_FOREACH (k, &c->list, next) {
		if (strcmp(k->name, name) == 0)
			return k;
	}
	return NULL;
}

int consoles_open(struct consoles *c, const char *name, struct err *e)
{
	struct console *k = find(c, name);
	int error;

	if (k)
		return 0;
	if (!name[0] || name[0] == '.' || strchr(name, '/') || c->n == CONSOLES_MAX)
		return err_set(e, -EINVAL, "no console for \"%s\"", name);
	k = calloc(1, sizeof(*k));
	if (!k)
		return err_set(e, -ENOMEM, "no memory for a console");
	k->all = c;
	k->stream = -1;
	str_copy(k->name, name);
	error = open_ring(k);
	if (error == 0 && c->uid != CONSOLES_GIVEN)
		error = listen_to(k);
	if (error < 0) {
		console_free(k);
		return err_set_errno(e, error, "no console for %s in %s", name, c->dir);
	}
	SLIST_INSERT_HEAD(&c->list, k, next);
	c->n++;
	return 0;
}

bool consoles_has(const struct consoles *c, const char *name) { return find(c, name) != NULL; }

void consoles_attach(struct consoles *c, const char *name, int fd)
{
	struct console *k = find(c, name);

	if (k)
		attach(k, fd);
	else
		close(fd);
}

void consoles_close(struct consoles *c, const char *name)
{
	struct console *k = find(c, name);
	char path[MSG_PATH_MAX + MSG_NAME_MAX + 16];

	if (!k)
		return;
	SLIST_REMOVE(&c->list, k, console, next);
	c->n--;
	snprintf(path, sizeof(path), "%s/%s.sock", c->dir, name);
	unlink(path);
	snprintf(path, sizeof(path), "%s/%s.log", c->dir, name);
	unlink(path);
	console_free(k);
}

struct consoles *consoles_new(struct event_base *base, const char *dir, uid_t uid, gid_t gid, struct err *e)
{
	struct consoles *c = calloc(1, sizeof(*c));

	if (!c || !str_copy(c->dir, dir)) {
		free(c);
		err_set(e, -ENAMETOOLONG, "%s: too long", dir);
		return NULL;
	}
	c->base = base;
	c->uid = uid;
	c->gid = gid;
	SLIST_INIT(&c->list);
	/* QEMU's group may walk through, nobody else. */
	if ((mkdir(dir, 0710) < 0 && errno != EEXIST) || chown(dir, 0, gid) < 0 || chmod(dir, 0710) < 0) {
		err_set_errno(e, -errno, "cannot make %s", dir);
		free(c);
		return NULL;
	}
	return c;
}

void consoles_free(struct consoles *c)
{
	struct console *k;

	if (!c)
		return;
	while ((k = SLIST_FIRST(&c->list))) {
		SLIST_REMOVE_HEAD(&c->list, next);
		console_free(k);
	}
	free(c);
}
