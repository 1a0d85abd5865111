#include "backends/libvirt_conf.h"

#include <ctype.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { PATH_ROOM = MSG_PATH_MAX + 32 };

static int hex(char c)
{
	if (isdigit((unsigned char)c))
		return c - '0';
	return isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10 : -1;
}

/* The value up to '&' or the end; false when it does not fit or holds a NUL. */
static bool decode(const char *p, char *out, size_t size)
{
	size_t n = 0;

	for (; *p && *p != '&'; p++) {
		char c = *p;

		if (c == '%') {
			int high = hex(p[1]), low = high < 0 ? -1 : hex(p[2]);

			if (low < 0)
				return false;
			c = (char)(high << 4 | low);
			p += 2;
		}
		if (!c || n + 1 == size)
			return false;
		out[n++] = c;
	}
	out[n] = '\0';
	return true;
}

bool libvirt_embed_root(const char *uri, char root[MSG_PATH_MAX])
{
	static const char scheme[] = "qemu:///embed?";
	const char *p;

	if (strncmp(uri, scheme, sizeof(scheme) - 1) != 0)
		return false;
	p = uri + sizeof(scheme) - 2;
	do {
		p++;
		if (strncmp(p, "root=", 5) == 0)
			return decode(p + 5, root, MSG_PATH_MAX) && root[0] == '/';
		p = strchr(p, '&');
	} while (p);
	return false;
}

void libvirt_conf_text(struct buf *out, enum isolation isolation, unsigned uid, unsigned gid)
{
	buf_adds(out, "# written by jitsu-libvirt at each start: edits are lost\n");
	/* "+": a number, whatever users are called */
	buf_addf(out, "user = \"+%u\"\ngroup = \"+%u\"\n", uid, gid);
	buf_adds(out, "seccomp_sandbox = 1\n"
		      /* Images belong to root and stay so. */
		      "dynamic_ownership = 0\n"
		      "remember_owner = 0\n"
		      /* No virtlogd. */
		      "stdio_handler = \"file\"\n"
		      /* With it, each start asks QEMU for some 400 CPU properties one by one. */
		      "capability_filters = [ \"cpu-unavailable-features\" ]\n");
	if (isolation == ISOLATION_FAST)
		buf_adds(out, "cgroup_controllers = []\n"
			      "namespaces = []\n"
			      "security_driver = \"none\"\n");
}

static int make_dir(const char *path, struct err *e)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return err_set_errno(e, -errno, "cannot make %s", path);
	return 0;
}

/* QEMU's user must be able to walk down to its sockets. */
static int make_dirs(const char *root, struct err *e)
{
	char path[PATH_ROOM];
	int error = 0;

	str_copy(path, root);
	for (char *slash = strchr(path + 1, '/'); slash && error == 0; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		error = make_dir(path, e);
		*slash = '/';
	}
	if (error == 0)
		error = make_dir(path, e);
	snprintf(path, sizeof(path), "%s/etc", root);
	return error < 0 ? error : make_dir(path, e);
}

static int write_whole(int fd, const struct buf *b)
{
	size_t at = 0;

	while (at < b->n) {
		ssize_t n = write(fd, b->text + at, b->n - at);

		if (n < 0)
			return -errno;
		at += (size_t)n;
	}
	return 0;
}

int libvirt_conf_write(const char *root, enum isolation isolation, unsigned uid, unsigned gid, struct err *e)
{
	cleanup_buf struct buf text = { 0 };
	cleanup_close int fd = -1;
	char path[PATH_ROOM], temporary[PATH_ROOM];
	int error = make_dirs(root, e);

	if (error < 0)
		return error;
	snprintf(path, sizeof(path), "%s/etc/qemu.conf", root);
	snprintf(temporary, sizeof(temporary), "%s/etc/.qemu.conf", root);
	libvirt_conf_text(&text, isolation, uid, gid);
	if (text.error < 0)
		return err_set_errno(e, text.error, "cannot write %s", path);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	error = fd < 0 ? -errno : write_whole(fd, &text);
	if (error == 0 && rename(temporary, path) < 0)
		error = -errno;
	return error < 0 ? err_set_errno(e, error, "cannot write %s", path) : 0;
}
