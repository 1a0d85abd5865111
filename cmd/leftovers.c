#include "cmd/leftovers.h"

#include <dirent.h>
#include <limits.h>
#include <signal.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/proc.h"
#include "base/util.h"

enum { LEFTOVERS_MAX = 64 };

/* Field 22 of /proc/PID/stat (proc(5)): clock ticks since boot; 0 when there is no such process.
 * The command's name before it may hold anything, so the search begins behind its last ')'. */
static unsigned long long start_time(pid_t pid)
{
	cleanup_buf struct buf stat = { 0 };
	unsigned long long ticks = 0;
	char path[64];
	char *at;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (buf_read_file(&stat, path, 4096) < 0)
		return 0;
	at = strrchr(stat.text, ')');
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (at)
		ticks = strtoull(at, NULL, 10);
	return ticks;
}

static void record_path(char path[PATH_MAX], const char *run_dir, const char *name)
{
	snprintf(path, PATH_MAX, "%s/pids/%s", run_dir, name);
}

void leftovers_record(const char *run_dir, const char *name, pid_t pid)
{
	char path[PATH_MAX];
	FILE *f;

	record_path(path, run_dir, name);
	f = fopen(path, "we");
	if (!f) {
		log_warn("cannot write %s: %s; a later jitsud will not find this process", path, strerror(errno));
		return;
	}
	fprintf(f, "%d %llu\n", (int)pid, start_time(pid));
	fclose(f);
}

void leftovers_forget(const char *run_dir, const char *name)
{
	char path[PATH_MAX];

	record_path(path, run_dir, name);
	unlink(path);
}

static bool started_then(void *arg, pid_t pid)
{
	const unsigned long long *ticks = arg;

	return start_time(pid) == *ticks;
}

/* A pidfd of the recorded process if it is still that one; else -1. */
static int open_recorded(const char *path)
{
	cleanup_buf struct buf text = { 0 };
	unsigned long long ticks;
	int pid;

	if (buf_read_file(&text, path, 128) < 0 || sscanf(text.text, "%d %llu", &pid, &ticks) != 2)
		return -1;
	return proc_open(pid, started_then, &ticks);
}

static void end_process(int pidfd, unsigned ms)
{
	if (proc_wait(pidfd, ms))
		return;
	proc_signal(pidfd, SIGKILL);
	proc_wait(pidfd, ms);
}

unsigned leftovers_end(const char *run_dir, unsigned ms)
{
	int pidfds[LEFTOVERS_MAX];
	unsigned n = 0;
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	record_path(path, run_dir, "");
	dir = opendir(path);
	if (!dir)
		return 0;
	while ((entry = readdir(dir)) && n < LEFTOVERS_MAX) {
		if (entry->d_name[0] == '.')
			continue;
		record_path(path, run_dir, entry->d_name);
		pidfds[n] = open_recorded(path);
		unlink(path);
		if (pidfds[n] < 0)
			continue;
		log_info("ending %s, left by an earlier jitsud", entry->d_name);
		proc_signal(pidfds[n], SIGTERM);
		n++;
	}
	closedir(dir);
	for (unsigned i = 0; i < n; i++) {
		end_process(pidfds[i], ms);
		close(pidfds[i]);
	}
	return n;
}
