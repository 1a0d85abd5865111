/* The queue of hooks: first come, first served, JOBS_RUNNING_MAX at once, so that a burst of events is a
 * queue and not a burst of processes, and one hook that hangs does not keep the others from running.
 *
 *     jobs_add() --> waiting --start()--> running --SIGCHLD--> forgotten, counted
 *                      \ full: dropped       \ its time is over: killed, then SIGCHLD
 *
 * A program that others could change is not run (base/program.h); the launcher has said so when it took the
 * configuration.
 *
 * A webhook is a process, too: a fork of ours that talks to the network and ends, so that what it reads
 * there can harm nobody else, and a name server that does not answer holds up nobody.
 */
#include "hooks/jobs.h"

#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/program.h"
#include "hooks/webhook.h"

struct job {
	TAILQ_ENTRY(job) next;
	struct jobs *jobs;
	struct msg_hook hook;
	unsigned number;
	char *text;
	pid_t pid; /* 0: it waits */
	bool late;
	struct event *limit;
};

TAILQ_HEAD(job_list, job);

struct jobs {
	struct event_base *base;
	struct job_list waiting, running;
	unsigned n_waiting, n_running;
	struct msg_hook_counts counts;
	jobs_counted_fn *fn;
	void *arg;
	struct event *sigchld;
};

/* ---- the new process ---- */

static void reset_signals(void)
{
	static const int ours[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGPIPE };
	sigset_t none;

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		signal(ours[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void run(const struct job *job, int input, pid_t parent)
{
	static char *const environment[] = {
		(char *)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", (char *)"LANG=C.UTF-8", NULL
	};
	char *const argv[] = { (char *)job->hook.exec, NULL };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(126);
	setpgid(0, 0);
	reset_signals();
	if (dup2(input, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0 || chdir("/") < 0)
		_exit(126);
	closefrom(STDERR_FILENO + 1);
	if (!job->hook.exec[0]) {
		clearenv();
		_exit(webhook_send(job->hook.webhook, job->text, job->hook.timeout_ms) == 0 ? 0 : 1);
	}
	execve(job->hook.exec, argv, environment);
	_exit(127);
}

/* A file: a pipe would have to be written to while the other side reads, or does not. */
static int make_input(const char *text)
{
	int fd = memfd_create("event", MFD_CLOEXEC);
	size_t n = strlen(text);

	if (fd < 0)
		return -errno;
	if (write(fd, text, n) == (ssize_t)n && lseek(fd, 0, SEEK_SET) == 0)
		return fd;
	close(fd);
	return -EIO;
}

static int fork_job(struct job *job)
{
	cleanup_close int input = make_input(job->text);
	pid_t parent = getpid();

	if (input < 0)
		return input;
	job->pid = fork();
	if (job->pid == 0)
		run(job, input, parent);
	if (job->pid < 0) {
		job->pid = 0;
		return -errno;
	}
	setpgid(job->pid, job->pid); /* whoever is first */
	return 0;
}

/* ---- the queue ---- */

/* (A webhook's URL may have a secret in it.) */
static const char *name_of(const struct job *job, char *out, size_t size)
{
	if (job->hook.exec[0])
		snprintf(out, size, "%s", job->hook.exec);
	else
		snprintf(out, size, "the webhook of hooks[%u]", job->number);
	return out;
}

static void job_free(struct job *job)
{
	if (job->limit)
		event_free(job->limit);
	free(job->text);
	free(job);
}

static void on_limit(evutil_socket_t fd, short what, void *arg)
{
	struct job *job = arg;

	(void)fd;
	(void)what;
	job->late = true;
	kill(-job->pid, SIGKILL);
}

/* Looked at each time, because files change. */
static int check_and_fork(struct job *job, struct err *e)
{
	char name[MSG_PATH_MAX];
	int r = job->hook.exec[0] ? program_check(job->hook.exec, geteuid(), e) : 0;

	if (r < 0)
		return r;
	r = fork_job(job);
	return r < 0 ? err_set_errno(e, r, "cannot run %s", name_of(job, name, sizeof(name))) : 0;
}

static void tell_counts(struct jobs *j)
{
	if (j->fn)
		j->fn(j->arg, &j->counts);
}

static void start(struct jobs *j, struct job *job)
{
	struct timeval tv = clock_timeval_ms(job->hook.timeout_ms);
	struct err e;

	if (check_and_fork(job, &e) < 0) {
		log_limited(LOG_ERROR, "%s", e.text);
		j->counts.failed++;
		tell_counts(j);
		job_free(job);
		return;
	}
	TAILQ_INSERT_TAIL(&j->running, job, next);
	j->n_running++;
	event_add(job->limit, &tv);
}

static void start_waiting(struct jobs *j)
{
	struct job *job;

	while (j->n_running < JOBS_RUNNING_MAX && (job = TAILQ_FIRST(&j->waiting))) {
		TAILQ_REMOVE(&j->waiting, job, next);
		j->n_waiting--;
		start(j, job);
	}
}

void jobs_add(struct jobs *j, const struct msg_hook *hook, unsigned number, const char *text)
{
	struct job *job;

	if (j->n_waiting >= JOBS_WAITING_MAX) {
		j->counts.dropped++;
		log_limited(LOG_WARN, "%d hooks wait already: one more is not run, %" PRIu64 " in all", JOBS_WAITING_MAX,
			    j->counts.dropped);
		tell_counts(j);
		return;
	}
	job = calloc(1, sizeof(*job));
	if (!job)
		abort();
	job->jobs = j;
	job->hook = *hook;
	job->number = number;
	job->text = strdup(text);
	job->limit = evtimer_new(j->base, on_limit, job);
	if (!job->text || !job->limit)
		abort();
	TAILQ_INSERT_TAIL(&j->waiting, job, next);
	j->n_waiting++;
	start_waiting(j);
}

/* ---- ends ---- */

static void say_end(const struct job *job, const siginfo_t *how)
{
	char name[MSG_PATH_MAX];

	name_of(job, name, sizeof(name));
	if (job->late)
		log_limited(LOG_WARN, "%s was killed: it took longer than %" PRIu32 " ms", name, job->hook.timeout_ms);
	else if (how->si_code != CLD_EXITED)
		log_limited(LOG_WARN, "%s was killed by signal %d", name, how->si_status);
	else if (how->si_status == 127 && job->hook.exec[0])
		log_limited(LOG_WARN, "%s cannot be run by the user of hooks (or exited with status 127)", name);
	else if (how->si_status != 0)
		log_limited(LOG_WARN, "%s failed: status %d", name, how->si_status);
}

/* While it has not been waited for its number is its own, and so is its group's. */
static void bury(struct job *job)
{
	kill(-job->pid, SIGKILL);
	waitpid(job->pid, NULL, 0);
	TAILQ_REMOVE(&job->jobs->running, job, next);
	job->jobs->n_running--;
	job_free(job);
}

static void on_sigchld(evutil_socket_t sig, short what, void *arg)
{
	struct job *job, *job_next;
	struct jobs *j = arg;

	(void)sig;
	(void)what;
	for (job = TAILQ_FIRST(&j->running); job; job = job_next) {
		siginfo_t how = { 0 };

		job_next = TAILQ_NEXT(job, next);
		if (waitid(P_PID, (id_t)job->pid, &how, WEXITED | WNOHANG | WNOWAIT) < 0 || how.si_pid == 0)
			continue;
		say_end(job, &how);
		if (how.si_code == CLD_EXITED && how.si_status == 0)
			j->counts.done++;
		else
			j->counts.failed++;
		bury(job);
	}
	start_waiting(j);
	tell_counts(j);
}

/* ---- life ---- */

struct jobs *jobs_new(struct event_base *base, jobs_counted_fn *fn, void *arg)
{
	struct jobs *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->base = base;
	j->fn = fn;
	j->arg = arg;
	TAILQ_INIT(&j->waiting);
	TAILQ_INIT(&j->running);
	j->sigchld = evsignal_new(base, SIGCHLD, on_sigchld, j);
	if (j->sigchld && event_add(j->sigchld, NULL) == 0)
		return j;
	jobs_free(j);
	return NULL;
}

void jobs_free(struct jobs *j)
{
	struct job *job;

	if (!j)
		return;
	while ((job = TAILQ_FIRST(&j->running)))
		bury(job);
	while ((job = TAILQ_FIRST(&j->waiting))) {
		TAILQ_REMOVE(&j->waiting, job, next);
		job_free(job);
	}
	if (j->sigchld)
		event_free(j->sigchld);
	free(j);
}
