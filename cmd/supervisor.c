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
 * Lifetimes: a process that dies is started again after RESTART_MIN_MS, doubled up to
 * RESTART_MAX_MS for as long as it does not live RESTART_FORGET_MS.  One that does not read its
 * channel, or talks nonsense, is killed (a backend that does not answer, too: the launcher says which); where the service manager has a watchdog, so is one whose
 * event loop does not turn (pulse.h).  When the supervisor itself is killed the others go on;
 * the next supervisor ends them (leftovers.h) and takes over, with new memory and nothing kept: what
 * was held then is lost to its clients' next try.  VMs belong to none of us and live through all of
 * this, an orderly stop too.
 */
#include "cmd/supervisor.h"

#include <event2/event.h>
#include <signal.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/slots.h"
#include "cmd/kept.h"
#include "cmd/leftovers.h"
#include "cmd/listeners.h"
#include "cmd/notify.h"
#include "cmd/programs.h"
#include "cmd/pulse.h"
#include "cmd/run_dir.h"
#include "synproxy/hold.h"

enum {
	RESTART_MIN_MS = 20,
	RESTART_MAX_MS = 500,
	RESTART_FORGET_MS = 1000,
	STOP_WAIT_MS = 3000,
	LOOKS_PER_PERIOD = 4, /* of the watchdog */
	TAKEOVER_WAIT_MS = 1000,
	FILES_MAX = 65536, /* as in etc/jitsud.service */
};

struct process {
	TAILQ_ENTRY(process) next;
	struct supervisor *sup;
	enum role role;
	char name[MSG_NAME_MAX]; /* of a backend; else the role's */
	struct msg_want_backend backend;
	pid_t pid; /* 0 while it does not run */
	struct ipc *channel;
	struct event *restart;
	uint64_t started_ms;
	uint32_t starts;
	struct pulse pulse;
	unsigned delay_ms;
	bool ready;
	bool wanted; /* mark and sweep of MSG_WANT_BACKEND */
	bool dropped; /* swept: it was told to end */
};

struct supervisor {
	struct event_base *base;
	const char *run_dir;
	struct programs programs;
	int slots_fd, hold_fd, control_fd, lock_fd;
	TAILQ_HEAD(, process) processes;
	struct listeners *listeners;
	struct kept kept;
	bool in_list; /* between the launcher's first MSG_WANT_* and its MSG_WANT_END */
	bool settled; /* the first MSG_WANT_END went well */
	bool failed; /* ... or did not: exit status 1 */
	bool told_ready, reloading; /* to the service manager */
	bool stopping;
	uint64_t watchdog_ms, watched_since_ms; /* watchdog_ms 0: nobody waits for our signs of life */
	struct event *watchdog;
	struct event *stop_timer, *sigchld, *sigterm, *sigint, *sighup;
};

static void spawn(struct process *p);
static void restart_later(struct process *p);
static void begin_stop(struct supervisor *s);

/* ---- introductions ---- */

static struct process *find(struct supervisor *s, enum role role, const char *name)
{
	struct process *p;

	TAILQ_FOREACH(p, &s->processes, next) {
		if (p->role == role && (role != ROLE_BACKEND || strcmp(p->name, name) == 0))
			return p;
	}
	return NULL;
}

/* It runs while the launcher wants it. */
static bool is_on_demand(const struct process *p) { return p->role == ROLE_BACKEND || p->role == ROLE_HOOKS; }

static void introduce(struct process *launcher, struct process *p)
{
	struct msg_peer to_launcher = { .role = (uint8_t)p->role }, to_p = { .role = ROLE_LAUNCHER };
	int fds[2];

	if (!launcher || !launcher->channel || !p->channel)
		return;
	if (ipc_pair(fds) < 0) {
		log_error("cannot make a socket pair: %s", strerror(errno));
		return;
	}
	str_copy(to_launcher.name, p->name);
	ipc_send_fd(launcher->channel, MSG_PEER, &to_launcher, fds[0]);
	ipc_send_fd(p->channel, MSG_PEER, &to_p, fds[1]);
	close(fds[0]);
	close(fds[1]);
}

static enum role role_of_listener(const struct msg_listen *what)
{
	return what->proto == LISTEN_METRICS ? ROLE_CONTROL : ROLE_DNS;
}

/* Whose it is may be away: it is given all when it is there again. */
static void give_listener(void *arg, const struct msg_listen *what, int fd)
{
	struct process *p = find(arg, role_of_listener(what), "");

	if (p && p->channel)
		ipc_send_fd(p->channel, MSG_LISTEN, what, fd);
}

/* To one that is new: its own. */
static void give_its_listener(void *arg, const struct msg_listen *what, int fd)
{
	struct process *p = arg;

	if (role_of_listener(what) == p->role)
		ipc_send_fd(p->channel, MSG_LISTEN, what, fd);
}

/* For jitsu's metrics. */
static void tell_process(struct process *launcher, const char *name, pid_t pid, uint32_t starts)
{
	struct msg_process m = { .pid = (uint32_t)pid, .starts = starts };

	if (!launcher || !launcher->channel)
		return;
	str_copy(m.name, name);
	ipc_send(launcher->channel, MSG_PROCESS, &m);
}

static void tell_about(const struct process *p)
{
	tell_process(find(p->sup, ROLE_LAUNCHER, ""), p->name, p->pid, p->starts);
}

/* What an earlier launcher had kept, then one without a name: that was all. */
static void give_kept(struct supervisor *s, struct process *launcher)
{
	struct msg_keep m = { .name = "" };

	for (unsigned i = 0; i < s->kept.n; i++) {
		str_copy(m.name, s->kept.v[i].name);
		ipc_send_fd(launcher->channel, MSG_KEPT, &m, s->kept.v[i].fd);
	}
	ipc_send(launcher->channel, MSG_KEPT, &(struct msg_keep){ .name = "" });
}

/* Before anybody is introduced to it. */
static void give_descriptors(struct supervisor *s, struct process *p)
{
	struct msg_listen control = { .proto = LISTEN_UNIX };

	if (p->role == ROLE_CONTROL)
		ipc_send_fd(p->channel, MSG_LISTEN, &control, s->control_fd);
	listeners_each(s->listeners, give_its_listener, p);
	if (p->role == ROLE_DNS || p->role == ROLE_LAUNCHER)
		ipc_send_fd(p->channel, MSG_SLOTS, NULL, s->slots_fd);
	if (p->role == ROLE_SYNPROXY)
		ipc_send_fd(p->channel, MSG_HOLD_MEMORY, NULL, s->hold_fd);
	if (p->role == ROLE_LAUNCHER)
		give_kept(s, p);
}

static void introduce_all(struct supervisor *s, struct process *fresh)
{
	struct process *p;

	give_descriptors(s, fresh);
	if (fresh->role != ROLE_LAUNCHER) {
		introduce(find(s, ROLE_LAUNCHER, ""), fresh);
		tell_about(fresh);
		return;
	}
	tell_process(fresh, "jitsud", getpid(), 1);
	TAILQ_FOREACH(p, &s->processes, next) {
		tell_about(p);
		if (p != fresh)
			introduce(fresh, p);
	}
}

/* ---- what the launcher wants ---- */

/* At the start nothing is served then; later, all goes on but this. */
static void cannot_have(struct supervisor *s, const char *why)
{
	struct process *launcher = find(s, ROLE_LAUNCHER, "");
	struct msg_want_failed failed;

	if (!s->settled) {
		log_error("%s", why);
		s->failed = true;
		begin_stop(s);
		return;
	}
	str_copy(failed.text, why);
	ipc_send(launcher->channel, MSG_WANT_FAILED, &failed);
}

static void want_listen(struct supervisor *s, const struct msg_listen *what)
{
	struct err e;

	if (listeners_want(s->listeners, what, give_listener, s, &e) < 0)
		cannot_have(s, e.text);
}

static struct process *process_new(struct supervisor *s, enum role role, const char *name);

static void want_backend(struct supervisor *s, const struct msg_want_backend *want)
{
	struct process *p = find(s, ROLE_BACKEND, want->name);

	if (p && strcmp(p->backend.uri, want->uri) == 0 && p->backend.isolation == want->isolation) {
		p->wanted = true;
		return;
	}
	if (p) { /* its connection changed: a new process */
		p->backend = *want;
		p->wanted = true;
		if (p->pid > 0)
			kill(p->pid, SIGTERM);
		return;
	}
	p = process_new(s, ROLE_BACKEND, want->name);
	p->backend = *want;
	p->wanted = true;
	spawn(p);
}

static void want_hooks(struct supervisor *s)
{
	struct process *p = find(s, ROLE_HOOKS, "");
	struct err e;

	if (p) {
		p->wanted = true;
		return;
	}
	if (!s->programs.users.has_hooks) {
		err_set(&e, -ENOENT, "there are hooks, but there is no user \"%s\": create it with \"useradd --system %s\", "
			"and start jitsud again", s->programs.conf->users.hooks, s->programs.conf->users.hooks);
		cannot_have(s, e.text);
		return;
	}
	p = process_new(s, ROLE_HOOKS, role_name(ROLE_HOOKS));
	p->wanted = true;
	spawn(p);
}

static void process_remove(struct process *p)
{
	tell_process(find(p->sup, ROLE_LAUNCHER, ""), p->name, 0, 0);
	TAILQ_REMOVE(&p->sup->processes, p, next);
	event_free(p->restart);
	ipc_free(p->channel);
	free(p);
}

/* A socket that is wanted no more was closed here.  dns drops its copies when it restarts, and answers on them
 * until then, so it is restarted; control has users, and is told. */
static void listener_closed(void *arg, const struct msg_listen *what, int fd)
{
	struct process *p = find(arg, role_of_listener(what), "");

	(void)fd;
	if (p && p->role == ROLE_DNS && p->pid > 0)
		kill(p->pid, SIGTERM);
	else if (p && p->role == ROLE_CONTROL && p->channel)
		ipc_send(p->channel, MSG_LISTEN_END, what);
}

static void want_end(struct supervisor *s)
{
	struct process *p, *p_next;

	listeners_sweep(s->listeners, listener_closed, s);
	for (p = TAILQ_FIRST(&s->processes); p; p = p_next) {
		p_next = TAILQ_NEXT(p, next);
		if (!is_on_demand(p))
			continue;
		p->dropped = !p->wanted;
		if (p->dropped && p->pid > 0)
			kill(p->pid, SIGTERM); /* on_child_exit() forgets it */
		else if (p->dropped)
			process_remove(p); /* it was about to be started again */
	}
	s->settled = true;
}

/* *fd is taken from the message when it is kept. */
static void keep(struct supervisor *s, const struct msg_keep *m, int *fd)
{
	int r = kept_put(&s->kept, m->name, *fd);

	if (r == 0)
		*fd = -1;
	else
		log_warn("cannot keep \"%s\" for the next launcher: %s", m->name, strerror(-r));
}

static void unmark_backends(struct supervisor *s)
{
	struct process *p;

	TAILQ_FOREACH(p, &s->processes, next)
		p->wanted = false;
}

/* ---- what children say ---- */

/* Our own lines go to the launcher too, which keeps the last ones for `jitsuctl log`. */
static void tell_log(void *arg, enum log_level level, const char *line)
{
	struct process *launcher = find(arg, ROLE_LAUNCHER, "");
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

/* The launcher has read the configuration again, or is gone and its successor reads it anyway. */
static void reload_is_over(struct supervisor *s)
{
	if (s->reloading && !s->stopping)
		notify_send("READY=1");
	s->reloading = false;
}

static void peer_is_stuck(struct supervisor *s, const struct msg_peer *peer)
{
	struct process *p = find(s, (enum role)peer->role, peer->name);

	if (!p || p->pid <= 0 || p->role == ROLE_LAUNCHER)
		return;
	log_warn("%s does not keep up, does not answer, or talks nonsense: killing it", p->name);
	kill(p->pid, SIGKILL);
}

/* Only the launcher may ask for anything. */
static void on_launcher_wants(struct supervisor *s, enum msg_type type, const void *body, int *fd)
{
	if (!s->in_list && (type == MSG_WANT_LISTEN || type == MSG_WANT_BACKEND || type == MSG_WANT_HOOKS ||
			    type == MSG_WANT_END)) {
		unmark_backends(s);
		s->in_list = true;
	}
	switch (type) {
	case MSG_WANT_LISTEN: want_listen(s, body); break;
	case MSG_WANT_BACKEND: want_backend(s, body); break;
	case MSG_WANT_HOOKS: want_hooks(s); break;
	case MSG_WANT_END:
		s->in_list = false;
		want_end(s);
		break;
	case MSG_KEEP: keep(s, body, fd); break;
	case MSG_STUCK: peer_is_stuck(s, body); break;
	default: break;
	}
}

static void on_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct process *p = arg;

	(void)ch;
	if (type == MSG_READY)
		child_is_ready(p);
	else if (type == MSG_PONG)
		pulse_hear(&p->pulse, clock_now_ms());
	else if (type == MSG_RELOADED && p->role == ROLE_LAUNCHER)
		reload_is_over(p->sup);
	else if (p->role == ROLE_LAUNCHER && !p->sup->stopping)
		on_launcher_wants(p->sup, type, body, fd);
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

/* ---- starting ---- */

static void spawn(struct process *p)
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
	p->channel = ipc_new(s->base, fds[0], on_msg, on_end, p);
	if (!p->channel)
		abort();
	introduce_all(s, p);
}

static void on_restart(evutil_socket_t fd, short what, void *arg)
{
	struct process *p = arg;

	(void)fd;
	(void)what;
	if (!p->sup->stopping)
		spawn(p);
}

static struct process *process_new(struct supervisor *s, enum role role, const char *name)
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

static void restart_later(struct process *p)
{
	struct timeval tv;

	if (clock_now_ms() - p->started_ms >= RESTART_FORGET_MS)
		p->delay_ms = RESTART_MIN_MS;
	tv = clock_timeval_ms(p->delay_ms);
	event_add(p->restart, &tv);
	p->delay_ms = MIN(p->delay_ms * 2, RESTART_MAX_MS);
}

static void finish_if_alone(struct supervisor *s)
{
	struct process *p;

	TAILQ_FOREACH(p, &s->processes, next) {
		if (p->pid > 0)
			return;
	}
	event_base_loopbreak(s->base);
}

static void on_child_exit(struct process *p, int status)
{
	struct supervisor *s = p->sup;
	char how[PATH_MAX + 128];

	p->pid = 0;
	leftovers_forget(s->run_dir, p->name);
	ipc_free(p->channel);
	p->channel = NULL;
	if (p->role == ROLE_LAUNCHER)
		reload_is_over(s);
	if (s->stopping) {
		finish_if_alone(s);
		return;
	}
	if (p->dropped && !p->wanted) {
		log_info("%s ended: it is no longer configured", p->name);
		process_remove(p);
		return;
	}
	tell_about(p);
	describe_end(p, status, how, sizeof(how));
	log_warn("%s %s; starting it again in %u ms", p->name, how, p->delay_ms);
	restart_later(p);
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
			on_child_exit(p, status);
	}
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

/* ---- stopping ---- */

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

static void begin_stop(struct supervisor *s)
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
	finish_if_alone(s);
}

static void on_sigterm(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	begin_stop(arg);
}

static void on_sighup(evutil_socket_t sig, short what, void *arg)
{
	struct supervisor *s = arg;
	struct process *launcher = find(s, ROLE_LAUNCHER, "");

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
		spawn(process_new(&s, roles[i], role_name(roles[i])));
	event_base_dispatch(s.base);
	run_dir_forget_control(s.run_dir);
	release(&s);
	log_set_sink(NULL, NULL);
	log_info("stopped");
	return s.failed;
}
