#include "base/child.h"

#include <event2/event.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/log.h"

enum { LAST_WORDS_MS = 200, OWN_PAGES_BYTES = 128 * 1024 };

struct child {
	struct event_base *base;
	struct ipc *supervisor, *launcher;
	struct event *sigterm;
	const struct child_ops *ops;
	void *arg;
	enum role role;
	bool said_ready;
};

/* ---- arguments ---- */

static int role_parse(const char *name, enum role *role)
{
	for (unsigned i = 0; i < ROLE_N; i++) {
		if (strcmp(name, role_name(i)) == 0) {
			*role = (enum role)i;
			return 0;
		}
	}
	return -EINVAL;
}

static bool number_parse(const char *text, unsigned *out)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	*out = (unsigned)v;
	return *text && !*end && v < UINT32_MAX;
}

bool child_args_parse(int argc, char **argv, struct child_args *args)
{
	static const struct option options[] = {
		{ "role", 1, NULL, 'r' },	 { "uid", 1, NULL, 'u' },	 { "gid", 1, NULL, 'g' },
		{ "chroot", 1, NULL, 'c' },	 { "log", 1, NULL, 'l' },	 { "readers", 1, NULL, 'R' },
		{ "admins", 1, NULL, 'A' },	 { "conf", 1, NULL, 'f' },	 { "run-dir", 1, NULL, 'd' },
		{ "name", 1, NULL, 'n' },	 { "uri", 1, NULL, 'U' },	 { "isolation", 1, NULL, 'i' },
		{ "qemu-user", 1, NULL, 'q' },	 { 0 },
	};
	bool ok = true, got_role = false;
	int c;

	*args = (struct child_args){ .log_level = "info", .run_dir = "/run/jitsu" };
	optind = 1;
	while (ok && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'r': ok = got_role = role_parse(optarg, &args->role) == 0; break;
		case 'u': ok = number_parse(optarg, &args->uid); break;
		case 'g': ok = number_parse(optarg, &args->gid); break;
		case 'R': ok = number_parse(optarg, &args->readers_gid); break;
		case 'A': ok = number_parse(optarg, &args->admins_gid); break;
		case 'c': args->chroot_dir = optarg; break;
		case 'l': args->log_level = optarg; break;
		case 'f': args->conf_path = optarg; break;
		case 'd': args->run_dir = optarg; break;
		case 'n': args->name = optarg; break;
		case 'U': args->uri = optarg; break;
		case 'i': args->isolation = optarg; break;
		case 'q': args->qemu_user = optarg; break;
		default: ok = false;
		}
	}
	ok = ok && got_role && optind == argc;
	if (!ok)
		fprintf(stderr, "%s: this program is started by jitsud, not by hand\n", argv[0]);
	return ok;
}

/* ---- channels ---- */

/* Lines also go to the launcher, which keeps the last ones for `jitsuctl log`. */
static void tell_log(void *arg, enum log_level level, const char *line)
{
	struct child *c = arg;
	struct msg_log m = { .level = (uint8_t)level };

	if (!c->launcher || level > LOG_INFO)
		return;
	str_copy(m.line, line);
	ipc_send(c->launcher, MSG_LOG, &m);
}

static void on_launcher_end(void *arg, struct ipc *ch, int error)
{
	struct child *c = arg;

	ipc_free(ch);
	if (ch != c->launcher)
		return;
	c->launcher = NULL;
	if (c->ops->on_launcher_gone)
		c->ops->on_launcher_gone(c->arg);
	if (error < 0) { /* the launcher lives, and only a new process is introduced to it again */
		log_error("the channel to the launcher broke: %s; ending, to be started again", strerror(-error));
		event_base_loopbreak(c->base);
	}
}

static void on_launcher_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct child *c = arg;

	if (ch == c->launcher)
		c->ops->on_launcher_msg(c->arg, ch, type, body, fd);
}

static void new_launcher(struct child *c, int fd)
{
	ipc_free(c->launcher);
	c->launcher = ipc_new(c->base, fd, on_launcher_msg, on_launcher_end, c);
	if (!c->launcher)
		log_fatal("no memory for a channel");
	if (c->ops->on_launcher)
		c->ops->on_launcher(c->arg);
}

static void stop(struct child *c)
{
	if (c->ops->on_stop)
		c->ops->on_stop(c->arg);
	if (c->launcher)
		ipc_flush(c->launcher, LAST_WORDS_MS);
	event_base_loopbreak(c->base);
}

static void on_supervisor_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct child *c = arg;
	const struct msg_peer *peer = body;

	if (type == MSG_STOP) {
		stop(c);
	} else if (type == MSG_PING) {
		ipc_send(ch, MSG_PONG, NULL);
	} else if (type == MSG_PEER && peer->role == ROLE_LAUNCHER && c->role != ROLE_LAUNCHER && *fd >= 0) {
		new_launcher(c, *fd);
		*fd = -1;
	} else if (c->ops->on_supervisor_msg) {
		c->ops->on_supervisor_msg(c->arg, ch, type, body, fd);
	}
}

static void on_supervisor_end(void *arg, struct ipc *ch, int error)
{
	struct child *c = arg;

	(void)error;
	ipc_free(ch);
	c->supervisor = NULL;
	log_warn("the supervisor is gone; serving on without it until jitsud is started again");
}

static void on_sigterm(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	stop(arg);
}

/* ---- life ---- */

static void enter_sandbox(const struct child_args *args, const struct child_ops *ops)
{
	struct sandbox s = {
		.chroot_dir = args->chroot_dir,
		.uid = args->uid,
		.gid = args->gid,
		.syscalls = ops->syscalls,
		.n_syscalls = ops->n_syscalls,
		.threads = ops->threads,
		.no_seccomp = ops->no_seccomp,
	};
	struct err e;

	if (args->uid != 0 && sandbox_enter(&s, &e) < 0)
		log_fatal("%s", e.text);
}

/* ^C in a terminal and a SIGHUP to the group are for the supervisor, which tells us what it
 * wants; a closed connection is an error of the call that wrote to it. */
static void ignore_signals(void)
{
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
}

/* The coarse clock that libevent prefers would make every timer up to 4 ms late. */
static struct event_base *new_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	if (!config)
		return NULL;
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

void child_want_files(unsigned n)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur >= n)
		return;
	files.rlim_cur = MIN((rlim_t)n, files.rlim_max);
	setrlimit(RLIMIT_NOFILE, &files);
}

struct child *child_new(const struct child_args *args, const struct child_ops *ops, void *arg)
{
	struct child *c = calloc(1, sizeof(*c));
	enum log_level level = LOG_INFO;

	if (!c)
		abort();
	log_level_parse(args->log_level, &level);
	log_init(args->role == ROLE_BACKEND && args->name ? args->name : role_name(args->role), level);
	/* what is as large goes back to the host when it is freed: by default that is so the first time only */
	mallopt(M_MMAP_THRESHOLD, OWN_PAGES_BYTES);
	ignore_signals();
	fcntl(CHILD_SUPERVISOR_FD, F_SETFD, FD_CLOEXEC);
	c->ops = ops;
	c->arg = arg;
	c->role = args->role;
	c->base = new_base();
	if (c->base)
		c->supervisor = ipc_new(c->base, CHILD_SUPERVISOR_FD, on_supervisor_msg, on_supervisor_end, c);
	if (c->base)
		c->sigterm = evsignal_new(c->base, SIGTERM, on_sigterm, c);
	if (!c->supervisor || !c->sigterm || evsignal_add(c->sigterm, NULL) < 0)
		log_fatal("cannot make the event loop");
	log_set_sink(tell_log, c);
	enter_sandbox(args, ops);
	return c;
}

struct event_base *child_base(struct child *c) { return c->base; }

struct ipc *child_launcher(struct child *c) { return c->launcher; }

struct ipc *child_supervisor(struct child *c) { return c->supervisor; }

int child_tell(struct child *c, enum msg_type type, const void *body)
{
	return c->launcher ? ipc_send(c->launcher, type, body) : -EPIPE;
}

void child_ready(struct child *c)
{
	if (c->said_ready || !c->supervisor)
		return;
	c->said_ready = ipc_send(c->supervisor, MSG_READY, NULL) == 0;
}

int child_run(struct child *c)
{
	if (event_base_dispatch(c->base) < 0) {
		log_error("the event loop failed");
		return 1;
	}
	return 0;
}

void child_free(struct child *c)
{
	log_set_sink(NULL, NULL);
	event_free(c->sigterm);
	ipc_free(c->supervisor);
	ipc_free(c->launcher);
	event_base_free(c->base);
	free(c);
}
