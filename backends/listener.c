#include "backends/listener.h"

#include <event2/listener.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

struct listener {
	struct evconnlistener *socket;
	uid_t uid;
	listener_fn *on_connect;
	void *arg;
};

bool listener_path(const char *dir, const char *name, const char *kind, char *out, size_t size)
{
	int n = snprintf(out, size, "%s/%s.%s", dir, name, kind);

	return n > 0 && (size_t)n < size && (size_t)n < sizeof(((struct sockaddr_un *)0)->sun_path);
}

/* The directory keeps others out; this keeps them out if somebody opens it. */
static bool is_qemu(const struct listener *l, int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == l->uid || peer.uid == 0);
}

static void on_connect(struct evconnlistener *socket, evutil_socket_t fd, struct sockaddr *addr, int size, void *arg)
{
	struct listener *l = arg;

	(void)socket;
	(void)addr;
	(void)size;
	if (is_qemu(l, fd))
		l->on_connect(l->arg, fd);
	else
		close(fd);
}

static int bind_socket(const char *path, uid_t uid, gid_t gid)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	cleanup_close int fd = -1;
	int taken;

	if (!str_copy(addr.sun_path, path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	unlink(path);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || chmod(path, 0600) < 0 ||
	    chown(path, uid, gid) < 0 || listen(fd, 4) < 0)
		return -1;
	taken = fd;
	fd = -1;
	return taken;
}

struct listener *listener_new(struct event_base *base, const char *path, uid_t uid, gid_t gid, listener_fn *fn,
			      void *arg)
{
	struct listener *l = calloc(1, sizeof(*l));
	int fd = l ? bind_socket(path, uid, gid) : -1;

	if (fd < 0) {
		free(l);
		return NULL;
	}
	*l = (struct listener){ .uid = uid, .on_connect = fn, .arg = arg };
	l->socket = evconnlistener_new(base, on_connect, l, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (l->socket)
		return l;
	close(fd);
	free(l);
	errno = ENOMEM;
	return NULL;
}

void listener_free(struct listener *l)
{
	if (!l)
		return;
	evconnlistener_free(l->socket);
	free(l);
}
