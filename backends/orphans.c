#include "backends/orphans.h"

#include <event2/event.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/util.h"

struct orphans {
	struct event *sigchld;
	pid_t session;
};

/* "PID (COMM) STATE PPID PGRP SESSION ..": COMM may hold anything but is at most 15 bytes. */
static bool is_dead_qemu(const struct orphans *o, pid_t pid)
{
	cleanup_fclose FILE *f = NULL;
	char path[64], line[512], state;
	const char *comm, *rest;
	int ppid, pgrp, session;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f || !fgets(line, sizeof(line), f))
		return false;
	comm = strchr(line, '(');
	rest = strrchr(line, ')');
	if (!comm || !rest || sscanf(rest + 1, " %c %d %d %d", &state, &ppid, &pgrp, &session) != 4)
		return false;
	return state == 'Z' && session != o->session && strncmp(comm + 1, "qemu-system", 11) == 0;
}

/* Orphans become children of the main thread.  A kernel that does not list children (it was built
 * without CONFIG_PROC_CHILDREN) leaves them until we end: destroy is slower then, no more. */
static void on_sigchld(evutil_socket_t sig, short what, void *arg)
{
	const struct orphans *o = arg;
	cleanup_fclose FILE *f = NULL;
	char path[64];
	int pid;

	(void)sig;
	(void)what;
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	f = fopen(path, "re");
	while (f && fscanf(f, "%d", &pid) == 1) {
		if (is_dead_qemu(o, pid))
			waitpid(pid, NULL, WNOHANG);
	}
}

struct orphans *orphans_new(struct event_base *base)
{
	struct orphans *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->session = getsid(0);
	o->sigchld = evsignal_new(base, SIGCHLD, on_sigchld, o);
	if (!o->sigchld || event_add(o->sigchld, NULL) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
		orphans_free(o);
		return NULL;
	}
	return o;
}

void orphans_free(struct orphans *o)
{
	if (!o)
		return;
	if (o->sigchld)
		event_free(o->sigchld);
	free(o);
}
