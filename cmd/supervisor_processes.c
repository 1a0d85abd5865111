/* The supervisor's processes: how one starts, and what becomes of one that ends. */
#include "cmd/supervisor_internal.h"

#include <limits.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmd/leftovers.h"

enum { RESTART_MIN_MS = 20, RESTART_MAX_MS = 500, RESTART_FORGET_MS = 1000 };

struct process *supervisor_find(struct supervisor *s, enum role role, const char *name)
{
	struct process *p;

	TAILQ_FOREACH(p, &s->processes, next) {
		if (p->role == role && (role != ROLE_BACKEND || strcmp(p->name, name) == 0))
			return p;
	}
	return NULL;
}

/* ---- starting ---- */

static void restart_later(struct process *p)
{
	struct timeval tv;

	if (clock_now_ms() - p->started_ms >= RESTART_FORGET_MS)
		p->delay_ms = RESTART_MIN_MS;
	tv = clock_timeval_ms(p->delay_ms);
	event_add(p->restart, &tv);
	p->delay_ms = MIN(p->delay_ms * 2, RESTART_MAX_MS);
}

static void on_end(void *arg, struct ipc *ch, int error)
{
	struct process *p = arg;

	ipc_free(ch);
	if (p->channel == ch)
		p->channel = NULL;
	if (error < 0 && p->pid > 0) {
		log_warn("%s: %s: killing it", p->name, strerror(-error));
		kill(p->pid, SIGKILL);
	}
}

void process_spawn(struct process *p)
{
	struct supervisor *s = p->sup;
	int fds[2];

	p->started_ms = clock_now_ms();
	pulse_restart(&p->pulse);
	if (ipc_pair(fds) < 0) {
		log_error("cannot make a socket pair: %s", strerror(errno));
		restart_later(p);
		return;
	}
	p->pid = programs_run(&s->programs, p->role, &p->backend, fds[1]);
	close(fds[1]);
	if (p->pid < 0) {
		log_error("cannot start %s: %s", p->name, strerror(-p->pid));
		close(fds[0]);
		p->pid = 0;
		restart_later(p);
		return;
	}
	p->starts++;
	if (p->role == ROLE_LAUNCHER) /* its predecessor may have died within its list */
		s->in_list = false;
	leftovers_record(s->run_dir, p->name, p->pid);
	p->channel = ipc_new(s->base, fds[0], supervisor_on_msg, on_end, p);
	if (!p->channel)
		abort();
	supervisor_introduce(s, p);
}

static void on_restart(evutil_socket_t fd, short what, void *arg)
{
	struct process *p = arg;

	(void)fd;
	(void)what;
	if (!p->sup->stopping)
		process_spawn(p);
}

struct process *process_new(struct supervisor *s, enum role role, const char *name)
{
	struct process *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	p->sup = s;
	p->role = role;
	p->delay_ms = RESTART_MIN_MS;
	str_copy(p->name, name);
	p->restart = evtimer_new(s->base, on_restart, p);
	if (!p->restart)
		abort();
	TAILQ_INSERT_TAIL(&s->processes, p, next);
	return p;
}

void process_remove(struct process *p)
{
	supervisor_tell_gone(p);
	TAILQ_REMOVE(&p->sup->processes, p, next);
	event_free(p->restart);
	ipc_free(p->channel);
	free(p);
}

/* ---- dying ---- */

static void describe_end(const struct process *p, int status, char *out, size_t size)
{
	const struct backend_program *b = p->role == ROLE_BACKEND ? programs_backend(&p->backend) : NULL;

	if (WIFSIGNALED(status))
		snprintf(out, size, "killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (b && WEXITSTATUS(status) == PROGRAMS_NOT_RUN)
		snprintf(out, size, "could not be run: is %s/%s there? The package %s has it", p->sup->programs.libexec,
			 b->program, b->package);
	else
		snprintf(out, size, "exited with status %d", WEXITSTATUS(status));
}

void process_ended(struct process *p, int status)
{
	struct supervisor *s = p->sup;
	char how[PATH_MAX + 128];

	p->pid = 0;
	leftovers_forget(s->run_dir, p->name);
	ipc_free(p->channel);
	p->channel = NULL;
	if (p->role == ROLE_LAUNCHER)
		supervisor_reloaded(s);
	if (s->stopping) {
		supervisor_finish(s);
		return;
	}
	if (p->dropped && !p->wanted) {
		log_info("%s ended: it is no longer configured", p->name);
		process_remove(p);
		return;
	}
	supervisor_tell_about(p);
	describe_end(p, status, how, sizeof(how));
	log_warn("%s %s; starting it again in %u ms", p->name, how, p->delay_ms);
	restart_later(p);
}
