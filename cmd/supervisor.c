/* The supervisor: starts the other processes, introduces them to each other, starts them again
 * when they die, and holds what must not die with them: listening sockets (listeners.h), shared
 * memory, and the descriptors that the launcher asks it to keep (kept.h).
 *
 * It reads the configuration file once, before anything runs, to refuse a bad one and to know
 * directories and users; from then on it parses nothing.  Which sockets and backends are wanted,
 * the launcher tells in typed messages (MSG_WANT_*), again after each reload and each restart of
 * its own; what stays in the list stays open.
 *
 * Introductions: the launcher talks to each of the others over a socket pair of their own.
 * Whenever one side is new, a new pair is made and an end sent to both (MSG_PEER), which tells
 * both that what they knew of each other must be said again.  Before that, each new process is
 * given its descriptors: synproxy the memory of held packets as its very first message, so that it
 * works on what its predecessor left; the launcher all that was kept, and then the end of it.
 *
 * Lifetimes (supervisor_processes.c): a process that dies is started again after RESTART_MIN_MS, doubled
 * up to RESTART_MAX_MS for as long as it does not live RESTART_FORGET_MS.  One that does not read its
 * channel, or talks nonsense, is killed (a backend that does not answer, too: the launcher says
 * which); where the service manager has a watchdog, so is one whose event loop does not turn
 * (pulse.h).  When the supervisor itself is killed the others go on; the next supervisor ends them
 * (leftovers.h) and takes over, with new memory and nothing kept: what was held then is lost to its
 * clients' next try.  VMs belong to none of us and live through all of this, an orderly stop too.
 */
#include "cmd/supervisor_internal.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/slots.h"
#include "cmd/leftovers.h"
#include "cmd/notify.h"
#include "cmd/run_dir.h"
#include "synproxy/hold.h"

enum {
	STOP_WAIT_MS = 3000,
	LOOKS_PER_PERIOD = 4, /* of the watchdog */
	TAKEOVER_WAIT_MS = 1000,
	FILES_MAX = 65536, /* as in etc/jitsud.service */
};

/* ---- what children say ---- */

/* Our own lines go to the launcher too, which keeps the last ones for `jitsuctl log`. */
static void tell_log(void *arg, enum log_level level, const char *line)
{
	struct process *launcher = supervisor_find(arg, ROLE_LAUNCHER, "");
	struct msg_log m = { .level = (uint8_t)level };

	if (!launcher || !launcher->channel || level > LOG_INFO)
		return;
	str_copy(m.line, line);
	ipc_send(launcher->channel, MSG_LOG, &m);
}

static void child_is_ready(struct process *ready)
{
	struct supervisor *s = ready->sup;
	struct process *p;

	ready->ready = true;
	TAILQ_FOREACH(p, &s->processes, next) {
		if (!p->ready && !is_on_demand(p))
			return;
	}
	if (s->told_ready)
		return;
	s->told_ready = true;
	log_info("ready");
	notify_send("READY=1");
}

void supervisor_reloaded(struct supervisor *s)
{
	if (s->reloading && !s->stopping)
		notify_send("READY=1");
	s->reloading = false;
}

void supervisor_on_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct process *p = arg;

	(void)ch;
	if (type == MSG_READY)
		child_is_ready(p);
	else if (type == MSG_PONG)
		pulse_hear(&p->pulse, clock_now_ms());
	else if (type == MSG_RELOADED && p->role == ROLE_LAUNCHER)
		supervisor_reloaded(p->sup);
	else if (p->role == ROLE_LAUNCHER && !p->sup->stopping)
		supervisor_on_wants(p->sup, type, body, fd);
}

/* ---- the watchdog ---- */

static void look_after(struct process *p, uint64_t now)
{
	if (p->pid <= 0 || !p->channel)
		return;
	switch (pulse_look(&p->pulse, now, p->sup->watchdog_ms)) {
	case PULSE_ASK:
		pulse_ask(&p->pulse, now);
		ipc_send(p->channel, MSG_PING, NULL);
		break;
	case PULSE_STUCK:
		log_warn("%s has not answered for %llu ms: killing it", p->name,
			 (unsigned long long)(now - p->pulse.asked_ms));
		kill(p->pid, SIGKILL);
		break;
	case PULSE_WAIT: break;
	}
}

/* A hypervisor's process may be away for as long as its hypervisor is; without one of the others jitsud does not
 * do what it is for. */
static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;
	uint64_t now = clock_now_ms();
	bool all_beat = true;
	struct process *p;

	(void)fd;
	(void)what;
	TAILQ_FOREACH(p, &s->processes, next) {
		if (!s->stopping)
			look_after(p, now);
		if (p->role != ROLE_BACKEND && !pulse_beats(&p->pulse, now, s->watched_since_ms, s->watchdog_ms))
			all_beat = false;
	}
	if (all_beat || s->stopping)
		notify_send("WATCHDOG=1");
	else
		log_error("a process does not come back: no sign of life for the service manager");
}

static void start_watchdog(struct supervisor *s)
{
	struct timeval tv;

	s->watchdog_ms = notify_watchdog_ms();
	s->watched_since_ms = clock_now_ms();
	tv = clock_timeval_ms(s->watchdog_ms / LOOKS_PER_PERIOD);
	s->watchdog = event_new(s->base, -1, EV_PERSIST, on_watchdog, s);
	if (!s->watchdog || (s->watchdog_ms > 0 && event_add(s->watchdog, &tv) < 0))
		abort();
}

static void on_sigchld(evutil_socket_t sig, short what, void *arg)
{
	struct supervisor *s = arg;
	struct process *p, *p_next;
	int status;

	(void)sig;
	(void)what;
	for (p = TAILQ_FIRST(&s->processes); p; p = p_next) {
		p_next = TAILQ_NEXT(p, next);
		if (p->pid > 0 && waitpid(p->pid, &status, WNOHANG) == p->pid)
			process_ended(p, status);
	}
}

/* ---- stopping ---- */

void supervisor_finish(struct supervisor *s)
{
	struct process *p;

	TAILQ_FOREACH(p, &s->processes, next) {
		if (p->pid > 0)
			return;
	}
	event_base_loopbreak(s->base);
}

static void on_stop_late(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;
	struct process *p;

	(void)fd;
	(void)what;
	TAILQ_FOREACH(p, &s->processes, next) {
		if (p->pid > 0) {
			log_warn("%s did not stop in time: killing it", p->name);
			kill(p->pid, SIGKILL);
		}
	}
}

void supervisor_stop(struct supervisor *s)
{
	struct timeval tv = clock_timeval_ms(STOP_WAIT_MS);
	struct process *p;

	if (s->stopping)
		return;
	s->stopping = true;
	log_info("stopping; running VMs are left as they are");
	notify_send("STOPPING=1");
	TAILQ_FOREACH(p, &s->processes, next) {
		if (p->channel)
			ipc_send(p->channel, MSG_STOP, NULL);
		else if (p->pid > 0)
			kill(p->pid, SIGTERM);
	}
	event_add(s->stop_timer, &tv);
	supervisor_finish(s);
}

static void on_sigterm(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	supervisor_stop(arg);
}

static void on_sighup(evutil_socket_t sig, short what, void *arg)
{
	struct supervisor *s = arg;
	struct process *launcher = supervisor_find(s, ROLE_LAUNCHER, "");

	(void)sig;
	(void)what;
	if (!launcher || !launcher->channel)
		return;
	if (s->told_ready && !s->stopping) {
		s->reloading = true;
		notify_reloading();
	}
	ipc_send(launcher->channel, MSG_RELOAD, NULL);
}

/* ---- life ---- */

/* What outlives the other processes. */
static int make_memory(struct supervisor *s, struct err *e)
{
	s->slots_fd = slots_create();
	if (s->slots_fd < 0)
		return err_set_errno(e, s->slots_fd, "cannot make shared memory");
	s->hold_fd = hold_memory_create();
	if (s->hold_fd < 0)
		return err_set_errno(e, s->hold_fd, "cannot make the memory of held packets");
	return 0;
}

static int prepare(struct supervisor *s, struct err *e)
{
	const struct conf *conf = s->programs.conf;
	int r = programs_find(&s->programs, e);

	child_want_files(FILES_MAX); /* of each process: a guest takes about six of its backend's */
	if (r == 0)
		r = users_find(&conf->users, &s->programs.users, e);
	if (r == 0)
		r = run_dir_make(conf, e);
	if (r == 0)
		r = s->lock_fd = run_dir_lock(s->run_dir, e);
	if (r >= 0) {
		leftovers_end(s->run_dir, TAKEOVER_WAIT_MS);
		r = s->control_fd = run_dir_control(s->run_dir, s->programs.users.readers_gid, e);
	}
	return r >= 0 ? make_memory(s, e) : r;
}

static struct event *watch(struct supervisor *s, int sig, event_callback_fn fn)
{
	struct event *ev = evsignal_new(s->base, sig, fn, s);

	if (!ev || event_add(ev, NULL) < 0)
		abort();
	return ev;
}

static void release(struct supervisor *s)
{
	struct event *events[] = { s->sigchld, s->sigterm, s->sigint, s->sighup, s->stop_timer, s->watchdog };
	struct process *p;

	while ((p = TAILQ_FIRST(&s->processes)))
		process_remove(p);
	listeners_free(s->listeners);
	kept_clear(&s->kept);
	for (size_t i = 0; i < ARRAY_SIZE(events); i++)
		event_free(events[i]);
	event_base_free(s->base);
}

int supervisor_run(const struct conf *conf, const char *conf_path)
{
	static const enum role roles[] = { ROLE_LAUNCHER, ROLE_DNS, ROLE_SYNPROXY, ROLE_CONTROL };
	struct supervisor s = {
		.run_dir = conf->run_dir, .programs = { .conf = conf, .conf_path = conf_path },
		.slots_fd = -1, .hold_fd = -1, .control_fd = -1, .lock_fd = -1,
	};
	struct err e;

	TAILQ_INIT(&s.processes);
	umask(022);
	signal(SIGPIPE, SIG_IGN);
	if (prepare(&s, &e) < 0)
		log_fatal("%s", e.text);
	s.base = event_base_new();
	s.listeners = listeners_new();
	if (!s.base || !s.listeners)
		log_fatal("cannot make the event loop");
	s.sigchld = watch(&s, SIGCHLD, on_sigchld);
	s.sigterm = watch(&s, SIGTERM, on_sigterm);
	s.sigint = watch(&s, SIGINT, on_sigterm);
	s.sighup = watch(&s, SIGHUP, on_sighup);
	s.stop_timer = evtimer_new(s.base, on_stop_late, &s);
	start_watchdog(&s);
	log_set_sink(tell_log, &s);
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
		process_spawn(process_new(&s, roles[i], role_name(roles[i])));
	event_base_dispatch(s.base);
	run_dir_forget_control(s.run_dir);
	release(&s);
	log_set_sink(NULL, NULL);
	log_info("stopped");
	return s.failed;
}
