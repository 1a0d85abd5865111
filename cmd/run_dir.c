#include "cmd/run_dir.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { BACKLOG = 128 };

/* Makes `dir` if need be: root's, and closed to others by `mode`. */
static int make_dir(const char *dir, mode_t mode, struct err *e)
{
	if (mkdir(dir, mode) < 0 && errno != EEXIST)
		return err_set_errno(e, -errno, "cannot make the directory %s", dir);
	if (chown(dir, 0, 0) < 0 || chmod(dir, mode) < 0)
		return err_set_errno(e, -errno, "cannot own the directory %s", dir);
	return 0;
}

int run_dir_make(const struct conf *conf, struct err *e)
{
	static const struct {
		const char *name;
		mode_t mode;
	} dirs[] = { { "", 0755 }, { "/empty", 0755 }, { "/pids", 0700 }, { "/console", 0711 }, { "/services", 0700 } };
	char path[PATH_MAX];
	int r = make_dir(conf->state_dir, 0755, e);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(dirs); i++) {
		snprintf(path, sizeof(path), "%s%s", conf->run_dir, dirs[i].name);
		r = make_dir(path, dirs[i].mode, e);
	}
	return r;
}

int run_dir_lock(const char *run_dir, struct err *e)
{
	cleanup_close int fd = -1;
	char path[PATH_MAX];
	int done;

	snprintf(path, sizeof(path), "%s/jitsud.lock", run_dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set_errno(e, -errno, "cannot open %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(e, -EBUSY, "another jitsud already runs with run_dir %s: stop it first, or use another run_dir",
			       run_dir);
	done = fd;
	fd = -1;
	return done;
}

static int control_address(const char *run_dir, struct sockaddr_un *sun)
{
	int n;

	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(sun->sun_path, sizeof(sun->sun_path), "%s/control.sock", run_dir);
	return n < 0 || (size_t)n >= sizeof(sun->sun_path) ? -ENAMETOOLONG : 0;
}

int run_dir_control(const char *run_dir, unsigned gid, struct err *e)
{
	cleanup_close int fd = -1;
	struct sockaddr_un sun;
	int done;

	if (control_address(run_dir, &sun) < 0)
		return err_set(e, -ENAMETOOLONG, "run_dir is too long for a socket's path: at most %zu bytes",
			       sizeof(sun.sun_path) - sizeof("/control.sock"));
	unlink(sun.sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (void *)&sun, sizeof(sun)) < 0 || chown(sun.sun_path, 0, gid) < 0 ||
	    chmod(sun.sun_path, 0666) < 0 || listen(fd, BACKLOG) < 0)
		return err_set_errno(e, -errno, "cannot listen on %s", sun.sun_path);
	done = fd;
	fd = -1;
	return done;
}

void run_dir_forget_control(const char *run_dir)
{
	struct sockaddr_un sun;

	if (control_address(run_dir, &sun) == 0)
		unlink(sun.sun_path);
}
