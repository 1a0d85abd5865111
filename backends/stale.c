#include "backends/stale.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>

#include "backends/xml.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/msg.h"
#include "base/proc.h"

enum { NOTE_MAX_BYTES = 1024 * 1024, END_WAIT_MS = 2000, DIR_MAX = MSG_PATH_MAX + 16, FILE_MAX = DIR_MAX + NAME_MAX + 8 };

struct note {
	char name[MSG_NAME_MAX * 2];
	char reason[32];
	pid_t pid; /* 0: none is named */
	char lib_dir[PATH_MAX]; /* its sockets and keys; "" when not told */
};

static int read_note(const char *path, struct note *n)
{
	cleanup_buf struct buf text = { 0 };
	struct xml_reader x;
	char pid[16];
	enum xml_step step;

	if (buf_read_file(&text, path, NOTE_MAX_BYTES) < 0)
		return -EIO;
	xml_init(&x, text.text);
	while ((step = xml_next(&x)) != XML_END && step != XML_BAD) {
		if (step != XML_OPEN)
			continue;
		if (xml_at(&x, "domstatus")) {
			xml_attr(&x, "reason", n->reason, sizeof(n->reason));
			n->pid = xml_attr(&x, "pid", pid, sizeof(pid)) ? (pid_t)strtol(pid, NULL, 10) : 0;
		} else if (xml_at(&x, "domstatus/libDir")) {
			xml_attr(&x, "path", n->lib_dir, sizeof(n->lib_dir));
		}
	}
	return step == XML_BAD ? -EBADMSG : 0;
}

static int read_command(pid_t pid, struct buf *out)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	return buf_read_file(out, path, 65536);
}

static bool is_qemu_of(void *arg, pid_t pid)
{
	const struct note *n = arg;
	cleanup_buf struct buf line = { 0 };
	char guest[sizeof(n->name) + 16];

	snprintf(guest, sizeof(guest), "guest=%s,", n->name);
	return read_command(pid, &line) == 0 && memmem(line.text, line.n, guest, strlen(guest));
}

static void end_qemu(int pidfd)
{
	proc_signal(pidfd, SIGKILL);
	proc_wait(pidfd, END_WAIT_MS);
}

/* Its files, and the directory if nothing else is in it. */
static void remove_dir(const char *root, const char *dir)
{
	size_t n = strlen(root);
	struct dirent *entry;
	DIR *d;

	if (strncmp(dir, root, n) != 0 || dir[n] != '/' || strstr(dir, "/../"))
		return;
	d = opendir(dir);
	if (!d)
		return;
	while ((entry = readdir(d)))
		unlinkat(dirfd(d), entry->d_name, 0);
	closedir(d);
	rmdir(dir);
}

static bool clear_one(const char *root, const char *dir, const char *file)
{
	size_t stem = strlen(file) - strlen(".xml");
	struct note n = { .pid = 0 };
	char path[FILE_MAX];
	cleanup_close int qemu = -1;

	snprintf(n.name, sizeof(n.name), "%.*s", (int)MIN(stem, sizeof(n.name) - 1), file);
	snprintf(path, sizeof(path), "%s/%s", dir, file);
	if (read_note(path, &n) < 0)
		return false; /* libvirt says what it thinks of it */
	qemu = proc_open(n.pid, is_qemu_of, &n);
	if (qemu >= 0 && strcmp(n.reason, "starting up") != 0)
		return false;
	if (qemu >= 0)
		end_qemu(qemu);
	unlink(path);
	snprintf(path, sizeof(path), "%s/%s.pid", dir, n.name);
	unlink(path);
	if (n.lib_dir[0])
		remove_dir(root, n.lib_dir);
	log_info("domain %s %s: cleared away", n.name, qemu >= 0 ? "was only half started" : "is gone");
	return true;
}

/* libvirt locks this file for as long as the driver is open. */
static bool is_in_use(const char *root)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[FILE_MAX];
	cleanup_close int fd = -1;

	snprintf(path, sizeof(path), "%.*s/run/qemu/driver.pid", MSG_PATH_MAX - 1, root);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* A thread of ours has no entry in /proc that is listed. */
static bool is_fork(void *arg, pid_t pid)
{
	const struct buf *own = arg;
	cleanup_buf struct buf line = { 0 };

	return pid != getpid() && read_command(pid, &line) == 0 && line.n == own->n &&
	       memcmp(line.text, own->text, own->n) == 0;
}

unsigned stale_end_forks(const char *root)
{
	cleanup_buf struct buf own = { 0 };
	struct dirent *entry;
	unsigned ended = 0;
	DIR *d = is_in_use(root) ? NULL : opendir("/proc");

	if (d && read_command(getpid(), &own) == 0 && own.n > 0) {
		while ((entry = readdir(d))) {
			cleanup_close int fd = proc_open((pid_t)strtol(entry->d_name, NULL, 10), is_fork, &own);

			if (fd < 0)
				continue;
			proc_signal(fd, SIGKILL);
			ended += proc_wait(fd, END_WAIT_MS);
		}
	}
	if (d)
		closedir(d);
	return ended;
}

unsigned stale_clear(const char *root)
{
	struct dirent *entry;
	unsigned cleared = 0;
	char dir[DIR_MAX];
	DIR *d;

	snprintf(dir, sizeof(dir), "%.*s/run/qemu", MSG_PATH_MAX - 1, root);
	d = is_in_use(root) ? NULL : opendir(dir);
	if (!d)
		return 0;
	while ((entry = readdir(d))) {
		size_t n = strlen(entry->d_name);

		if (n > 4 && strcmp(entry->d_name + n - 4, ".xml") == 0)
			cleared += clear_one(root, dir, entry->d_name);
	}
	closedir(d);
	return cleared;
}
