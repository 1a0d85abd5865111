/* The supervisor: starts the other processes, introduces them to each other, starts them again
 * when they die, and holds what must not die with them: listening sockets and shared memory.
 *
 * It reads the configuration file once, before anything runs, to refuse a bad one and to know
 * directories and users; from then on it parses nothing.  Which sockets and backends are wanted,
 * the launcher tells in typed messages (MSG_WANT_*), again after each reload and each restart of
 * its own; what stays in the list stays open.
 *
 * Introductions: the launcher talks to each of the others over a socket pair of their own.
 * Whenever one side is new, a new pair is made and an end sent to both (MSG_PEER), which tells
 * both that what they knew of each other must be said again.
 *
 * Lifetimes: a process that dies is started again after RESTART_MIN_MS, doubled up to
 * RESTART_MAX_MS for as long as it does not live RESTART_FORGET_MS.  One that does not read its
 * channel, or talks nonsense, is killed.  When the supervisor itself is killed the others go on;
 * the next supervisor ends them (leftovers.h) and takes over.  VMs belong to none of us and live
 * through all of this, an orderly stop too.
 */
#include "cmd/supervisor.h"

#include <event2/event.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/slots.h"
#include "cmd/leftovers.h"

enum {
	RESTART_MIN_MS = 20,
	RESTART_MAX_MS = 500,
	RESTART_FORGET_MS = 1000,
	STOP_WAIT_MS = 3000,
	TAKEOVER_WAIT_MS = 1000,
	LISTEN_BACKLOG = 128,
	UDP_BUFFER_BYTES = 1024 * 1024,
	ARGS_MAX = 32,
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
	unsigned delay_ms;
	bool ready;
	bool wanted; /* mark and sweep of MSG_WANT_BACKEND */
	bool dropped; /* swept: it was told to end */
};

struct socket_held {
	TAILQ_ENTRY(socket_held) next;
	struct msg_listen what;
	int fd;
	bool wanted;
};

struct ids {
	unsigned uid, gid;
};

struct supervisor {
	struct event_base *base;
	const struct conf *conf;
	const char *conf_path;
	char exe[PATH_MAX], libexec[PATH_MAX]; /* ourselves, and the directory of the backends */
	struct ids dns, net, control;
	unsigned readers_gid, admins_gid;
	int slots_fd, control_fd, lock_fd;
	TAILQ_HEAD(, process) processes;
	TAILQ_HEAD(, socket_held) sockets;
	bool settled; /* the first MSG_WANT_END went well */
	bool failed; /* ... or did not: exit status 1 */
	bool stopping;
	struct event *stop_timer, *sigchld, *sigterm, *sigint, *sighup;
};

static void spawn(struct process *p);
static void restart_later(struct process *p);
static void begin_stop(struct supervisor *s);

/* ---- users ---- */

static int find_user(const char *name, struct ids *ids, struct err *e)
{
	struct passwd *pw = getpwnam(name);

	if (!pw)
		return err_set(e, -ENOENT, "there is no user \"%s\": create it with \"useradd --system %s\"", name,
			       name);
	if (pw->pw_uid == 0)
		return err_set(e, -EINVAL, "the user \"%s\" is root: name one without privileges", name);
	*ids = (struct ids){ pw->pw_uid, pw->pw_gid };
	return 0;
}

static int find_group(const char *name, unsigned *gid, struct err *e)
{
	struct group *gr = getgrnam(name);

	if (!gr)
		return err_set(e, -ENOENT, "there is no group \"%s\": create it with \"groupadd --system %s\"", name,
			       name);
	*gid = gr->gr_gid;
	return 0;
}

static int find_users(struct supervisor *s, struct err *e)
{
	const struct users_conf *u = &s->conf->users;
	int r = find_user(u->dns, &s->dns, e);

	if (r == 0)
		r = find_user(u->net, &s->net, e);
	if (r == 0)
		r = find_user(u->control, &s->control, e);
	if (r == 0)
		r = find_group(u->readers, &s->readers_gid, e);
	if (r == 0)
		r = find_group(u->admins, &s->admins_gid, e);
	return r;
}

/* ---- directories and sockets ---- */

/* Makes `dir` under RUN_DIR if need be: root's, and closed to others by `mode`. */
static int make_dir(const char *dir, mode_t mode, struct err *e)
{
	if (mkdir(dir, mode) < 0 && errno != EEXIST)
		return err_set_errno(e, -errno, "cannot make the directory %s", dir);
	if (chown(dir, 0, 0) < 0 || chmod(dir, mode) < 0)
		return err_set_errno(e, -errno, "cannot own the directory %s", dir);
	return 0;
}

static int make_run_dir(const struct supervisor *s, struct err *e)
{
	static const struct {
		const char *name;
		mode_t mode;
	} dirs[] = { { "", 0755 }, { "/empty", 0755 }, { "/pids", 0700 }, { "/console", 0711 }, { "/services", 0700 } };
	char path[PATH_MAX];
	int r = 0;

	r = make_dir(s->conf->state_dir, 0755, e);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(dirs); i++) {
		snprintf(path, sizeof(path), "%s%s", s->conf->run_dir, dirs[i].name);
		r = make_dir(path, dirs[i].mode, e);
	}
	return r;
}

static int take_lock(struct supervisor *s, struct err *e)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/jitsud.lock", s->conf->run_dir);
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return err_set_errno(e, -errno, "cannot open %s", path);
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(e, -EBUSY, "another jitsud already runs with run_dir %s: stop it first, or use another run_dir",
			       s->conf->run_dir);
	return 0;
}

static int open_control(struct supervisor *s, struct err *e)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int n = snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/control.sock", s->conf->run_dir);

	if (n < 0 || (size_t)n >= sizeof(sun.sun_path))
		return err_set(e, -ENAMETOOLONG, "run_dir is too long for a socket's path: at most %zu bytes",
			       sizeof(sun.sun_path) - sizeof("/control.sock"));
	unlink(sun.sun_path);
	s->control_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->control_fd < 0 || bind(s->control_fd, (void *)&sun, sizeof(sun)) < 0 ||
	    chown(sun.sun_path, 0, s->readers_gid) < 0 || chmod(sun.sun_path, 0666) < 0 ||
	    listen(s->control_fd, LISTEN_BACKLOG) < 0)
		return err_set_errno(e, -errno, "cannot listen on %s", sun.sun_path);
	return 0;
}

static int set_options(int fd, const struct msg_listen *what)
{
	int on = 1, size = UDP_BUFFER_BYTES;
	bool v4 = ip_is_v4(&what->addr);

	/* Not for UDP: two servers that both set it would share the port, and neither would notice. */
	if ((what->proto == LISTEN_TCP && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0) ||
	    (!v4 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0))
		return -errno;
	if (what->proto == LISTEN_UDP) {
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
		/* the reply must leave from the address that was asked */
		if (setsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_PKTINFO : IPV6_RECVPKTINFO, &on,
			       sizeof(on)) < 0)
			return -errno;
	}
	return 0;
}

/* The bound socket, or -errno with a sentence. */
static int open_listener(const struct msg_listen *what, struct err *e)
{
	struct sockaddr_storage sa;
	socklen_t n = ip_to_sockaddr(&what->addr, what->port, &sa);
	bool udp = what->proto == LISTEN_UDP;
	cleanup_close int fd = socket(sa.ss_family, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char where[ADDR_TEXT_MAX];
	int done, r = fd < 0 ? -errno : set_options(fd, what);

	if (r == 0 && (bind(fd, (void *)&sa, n) < 0 || (!udp && listen(fd, LISTEN_BACKLOG) < 0)))
		r = -errno;
	endpoint_format(&what->addr, what->port, where);
	if (r == -EADDRINUSE)
		return err_set(e, r,
			       "cannot listen on %s (%s): another program holds it; \"ss -lnp sport = :%u\" tells which",
			       where, udp ? "UDP" : "TCP", what->port);
	if (r < 0)
		return err_set_errno(e, r, "cannot listen on %s (%s)", where, udp ? "UDP" : "TCP");
	done = fd;
	fd = -1;
	return done;
}

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

static void give_sockets(struct supervisor *s, struct process *p)
{
	struct msg_listen control = { .proto = LISTEN_UNIX };
	struct socket_held *h;

	if (p->role == ROLE_CONTROL)
		ipc_send_fd(p->channel, MSG_LISTEN, &control, s->control_fd);
	if (p->role == ROLE_DNS) {
		TAILQ_FOREACH(h, &s->sockets, next)
			ipc_send_fd(p->channel, MSG_LISTEN, &h->what, h->fd);
	}
	if (p->role == ROLE_DNS || p->role == ROLE_LAUNCHER)
		ipc_send_fd(p->channel, MSG_SLOTS, NULL, s->slots_fd);
}

static void introduce_all(struct supervisor *s, struct process *fresh)
{
	struct process *p;

	give_sockets(s, fresh);
	if (fresh->role != ROLE_LAUNCHER) {
		introduce(find(s, ROLE_LAUNCHER, ""), fresh);
		return;
	}
	TAILQ_FOREACH(p, &s->processes, next) {
		if (p != fresh)
			introduce(fresh, p);
	}
}

/* ---- what the launcher wants ---- */

static struct socket_held *find_socket(struct supervisor *s, const struct msg_listen *what)
{
	struct socket_held *h;

	TAILQ_FOREACH(h, &s->sockets, next) {
		if (h->what.proto == what->proto && h->what.port == what->port && ip_equal(&h->what.addr, &what->addr))
			return h;
	}
	return NULL;
}

static void want_listen(struct supervisor *s, const struct msg_listen *what)
{
	struct process *dns = find(s, ROLE_DNS, ""), *launcher = find(s, ROLE_LAUNCHER, "");
	struct socket_held *h = find_socket(s, what);
	struct msg_want_failed failed;
	struct err e;
	int fd;

	if (h) {
		h->wanted = true;
		return;
	}
	if (what->proto != LISTEN_UDP && what->proto != LISTEN_TCP)
		return;
	fd = open_listener(what, &e);
	if (fd < 0) {
		if (!s->settled) {
			log_error("%s", e.text);
			s->failed = true;
			begin_stop(s);
			return;
		}
		str_copy(failed.text, e.text);
		ipc_send(launcher->channel, MSG_WANT_FAILED, &failed);
		return;
	}
	h = calloc(1, sizeof(*h));
	if (!h)
		abort();
	*h = (struct socket_held){ .what = *what, .fd = fd, .wanted = true };
	TAILQ_INSERT_TAIL(&s->sockets, h, next);
	if (dns && dns->channel)
		ipc_send_fd(dns->channel, MSG_LISTEN, what, fd);
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

static void process_remove(struct process *p)
{
	TAILQ_REMOVE(&p->sup->processes, p, next);
	event_free(p->restart);
	ipc_free(p->channel);
	free(p);
}

/* A socket that is wanted no more is closed here; dns drops its copy when it restarts, and
 * answers on it until then, so dns is restarted. */
static void want_end(struct supervisor *s)
{
	struct socket_held *h, *h_next;
	struct process *p, *p_next, *dns = find(s, ROLE_DNS, "");
	bool closed = false;

	for (h = TAILQ_FIRST(&s->sockets); h; h = h_next) {
		h_next = TAILQ_NEXT(h, next);
		if (!h->wanted) {
			TAILQ_REMOVE(&s->sockets, h, next);
			close(h->fd);
			free(h);
			closed = true;
			continue;
		}
		h->wanted = false;
	}
	for (p = TAILQ_FIRST(&s->processes); p; p = p_next) {
		p_next = TAILQ_NEXT(p, next);
		if (p->role != ROLE_BACKEND)
			continue;
		p->dropped = !p->wanted;
		if (p->dropped && p->pid > 0)
			kill(p->pid, SIGTERM); /* on_child_exit() forgets it */
		else if (p->dropped)
			process_remove(p); /* it was about to be started again */
	}
	if (closed && dns && dns->pid > 0)
		kill(dns->pid, SIGTERM);
	s->settled = true;
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


static void notify(const char *state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	cleanup_close int fd = -1;
	socklen_t n;

	if (!path || !str_copy(sun.sun_path, path))
		return;
	n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (sun.sun_path[0] == '@')
		sun.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && sendto(fd, state, strlen(state), MSG_NOSIGNAL, (void *)&sun, n) < 0)
		log_warn("cannot notify the service manager: %s", strerror(errno));
}

static void child_is_ready(struct process *ready)
{
	static bool told;
	struct process *p;

	ready->ready = true;
	TAILQ_FOREACH(p, &ready->sup->processes, next) {
		if (!p->ready && p->role != ROLE_BACKEND)
			return;
	}
	if (told)
		return;
	told = true;
	log_info("ready");
	notify("READY=1");
}

static void peer_is_stuck(struct supervisor *s, const struct msg_peer *peer)
{
	struct process *p = find(s, (enum role)peer->role, peer->name);

	if (!p || p->pid <= 0 || p->role == ROLE_LAUNCHER)
		return;
	log_warn("%s does not keep up or talks nonsense: killing it", p->name);
	kill(p->pid, SIGKILL);
}

/* Only the launcher may ask for anything. */
static void on_launcher_wants(struct supervisor *s, enum msg_type type, const void *body)
{
	static bool in_list;

	if (!in_list && (type == MSG_WANT_LISTEN || type == MSG_WANT_BACKEND || type == MSG_WANT_END)) {
		unmark_backends(s);
		in_list = true;
	}
	switch (type) {
	case MSG_WANT_LISTEN: want_listen(s, body); break;
	case MSG_WANT_BACKEND: want_backend(s, body); break;
	case MSG_WANT_END:
		in_list = false;
		want_end(s);
		break;
	case MSG_STUCK: peer_is_stuck(s, body); break;
	default: break;
	}
}

static void on_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct process *p = arg;

	(void)ch;
	(void)fd;
	if (type == MSG_READY)
		child_is_ready(p);
	else if (p->role == ROLE_LAUNCHER && !p->sup->stopping)
		on_launcher_wants(p->sup, type, body);
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

struct argv {
	char *v[ARGS_MAX];
	char numbers[8][12];
	int n, n_numbers;
};

static void arg_add(struct argv *a, const char *option, const char *value)
{
	a->v[a->n++] = (char *)option;
	a->v[a->n++] = (char *)value;
}

static void arg_add_number(struct argv *a, const char *option, unsigned value)
{
	char *text = a->numbers[a->n_numbers++];

	snprintf(text, sizeof(a->numbers[0]), "%u", value);
	arg_add(a, option, text);
}

static void sandbox_args(struct argv *a, const struct ids *ids, const char *empty)
{
	arg_add_number(a, "--uid", ids->uid);
	arg_add_number(a, "--gid", ids->gid);
	arg_add(a, "--chroot", empty);
}

static void backend_args(struct argv *a, const struct process *p)
{
	arg_add(a, "--name", p->backend.name);
	arg_add(a, "--uri", p->backend.uri);
	arg_add(a, "--isolation", isolation_name(p->backend.isolation));
	arg_add(a, "--qemu-user", p->sup->conf->users.qemu);
}

static void make_args(struct argv *a, struct process *p, const char *program, const char *empty)
{
	struct supervisor *s = p->sup;

	*a = (struct argv){ .v = { (char *)program }, .n = 1 };
	arg_add(a, "--role", role_name(p->role));
	arg_add(a, "--log", s->conf->log_level);
	arg_add(a, "--run-dir", s->conf->run_dir);
	switch (p->role) {
	case ROLE_DNS: sandbox_args(a, &s->dns, empty); break;
	case ROLE_SYNPROXY: sandbox_args(a, &s->net, empty); break;
	case ROLE_CONTROL:
		sandbox_args(a, &s->control, empty);
		arg_add_number(a, "--readers", s->readers_gid);
		arg_add_number(a, "--admins", s->admins_gid);
		break;
	case ROLE_LAUNCHER: arg_add(a, "--conf", s->conf_path); break;
	case ROLE_BACKEND: backend_args(a, p); break;
	default: break;
	}
}

/* In the new process: nothing of ours but stdio and the channel, and no signal blocked. */
static void exec_child(const char *program, char **argv, int channel)
{
	sigset_t none;

	if (channel == CHILD_SUPERVISOR_FD) {
		fcntl(channel, F_SETFD, 0);
	} else if (dup2(channel, CHILD_SUPERVISOR_FD) < 0) {
		_exit(126);
	}
	closefrom(CHILD_SUPERVISOR_FD + 1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	execv(program, argv);
	_exit(127);
}

static void spawn(struct process *p)
{
	struct supervisor *s = p->sup;
	char program[PATH_MAX + 32], empty[PATH_MAX];
	struct argv a;
	int fds[2];

	if (p->role == ROLE_BACKEND)
		snprintf(program, sizeof(program), "%s/jitsu-libvirt", s->libexec);
	else
		str_copy(program, s->exe);
	snprintf(empty, sizeof(empty), "%s/empty", s->conf->run_dir);
	make_args(&a, p, program, empty);
	p->started_ms = clock_now_ms();
	if (ipc_pair(fds) < 0) {
		log_error("cannot make a socket pair: %s", strerror(errno));
		restart_later(p);
		return;
	}
	p->pid = fork();
	if (p->pid == 0)
		exec_child(program, a.v, fds[1]);
	close(fds[1]);
	if (p->pid < 0) {
		log_error("cannot start %s: %s", p->name, strerror(errno));
		close(fds[0]);
		p->pid = 0;
		restart_later(p);
		return;
	}
	leftovers_record(s->conf->run_dir, p->name, p->pid);
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

static void describe_end(int status, char *out, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(out, size, "killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
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
	char how[64];

	p->pid = 0;
	leftovers_forget(s->conf->run_dir, p->name);
	ipc_free(p->channel);
	p->channel = NULL;
	if (s->stopping) {
		finish_if_alone(s);
		return;
	}
	if (p->dropped && !p->wanted) {
		log_info("%s ended: it is no longer configured", p->name);
		process_remove(p);
		return;
	}
	describe_end(status, how, sizeof(how));
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
	notify("STOPPING=1");
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
	struct process *launcher = find(arg, ROLE_LAUNCHER, "");

	(void)sig;
	(void)what;
	if (launcher && launcher->channel)
		ipc_send(launcher->channel, MSG_RELOAD, NULL);
}

/* ---- life ---- */

static int find_programs(struct supervisor *s, struct err *e)
{
	ssize_t n = readlink("/proc/self/exe", s->exe, sizeof(s->exe) - 1);
	const char *libexec = getenv("JITSU_LIBEXEC");
	char *slash;

	if (n < 0)
		return err_set_errno(e, -errno, "cannot read /proc/self/exe (is /proc mounted?)");
	s->exe[n] = '\0';
	str_copy(s->libexec, libexec ? libexec : s->exe);
	slash = strrchr(s->libexec, '/');
	if (!libexec && slash)
		*slash = '\0';
	return 0;
}

static int prepare(struct supervisor *s, struct err *e)
{
	int r = find_programs(s, e);

	if (r == 0)
		r = find_users(s, e);
	if (r == 0)
		r = make_run_dir(s, e);
	if (r == 0)
		r = take_lock(s, e);
	if (r == 0) {
		leftovers_end(s->conf->run_dir, TAKEOVER_WAIT_MS);
		r = open_control(s, e);
	}
	if (r == 0 && (s->slots_fd = slots_create()) < 0)
		r = err_set_errno(e, s->slots_fd, "cannot make shared memory");
	return r;
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
	struct event *events[] = { s->sigchld, s->sigterm, s->sigint, s->sighup, s->stop_timer };
	struct socket_held *h;
	struct process *p;

	while ((p = TAILQ_FIRST(&s->processes)))
		process_remove(p);
	while ((h = TAILQ_FIRST(&s->sockets))) {
		TAILQ_REMOVE(&s->sockets, h, next);
		close(h->fd);
		free(h);
	}
	for (size_t i = 0; i < ARRAY_SIZE(events); i++)
		event_free(events[i]);
	event_base_free(s->base);
}

int supervisor_run(const struct conf *conf, const char *conf_path)
{
	static const enum role roles[] = { ROLE_LAUNCHER, ROLE_DNS, ROLE_SYNPROXY, ROLE_CONTROL };
	struct supervisor s = { .conf = conf, .conf_path = conf_path, .slots_fd = -1, .control_fd = -1, .lock_fd = -1 };
	char path[PATH_MAX];
	struct err e;

	TAILQ_INIT(&s.processes);
	TAILQ_INIT(&s.sockets);
	umask(022);
	signal(SIGPIPE, SIG_IGN);
	if (prepare(&s, &e) < 0)
		log_fatal("%s", e.text);
	s.base = event_base_new();
	if (!s.base)
		log_fatal("cannot make the event loop");
	s.sigchld = watch(&s, SIGCHLD, on_sigchld);
	s.sigterm = watch(&s, SIGTERM, on_sigterm);
	s.sigint = watch(&s, SIGINT, on_sigterm);
	s.sighup = watch(&s, SIGHUP, on_sighup);
	s.stop_timer = evtimer_new(s.base, on_stop_late, &s);
	log_set_sink(tell_log, &s);
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
		spawn(process_new(&s, roles[i], role_name(roles[i])));
	event_base_dispatch(s.base);
	snprintf(path, sizeof(path), "%s/control.sock", conf->run_dir);
	unlink(path);
	release(&s);
	log_set_sink(NULL, NULL);
	log_info("stopped");
	return s.failed;
}
