/* The control process: wires the server to its socket and to the launcher.
 *
 * It parses what users write, so it has a user of its own, an empty root directory, no capability,
 * and only the system calls below.  The supervisor gives it the listening socket, which it could
 * not open itself.
 */
#include "control/main.h"

#include <seccomp.h>
#include <sys/resource.h>

#include "base/log.h"
#include "control/requests.h"
#include "control/server.h"
#include "control/watchers.h"

struct control {
	struct child *child;
	struct server *server;
	bool listening, snapshot;
};

static const int syscalls[] = {
	SCMP_SYS(accept4), /* clients of the socket we were given */
};

static void ready_if_complete(struct control *c)
{
	if (c->listening && c->snapshot)
		child_ready(c->child);
}

static int tell_launcher(void *arg, enum msg_type type, const void *body)
{
	struct control *c = arg;

	return child_tell(c->child, type, body);
}

/* A channel that is new or gone: the launcher behind it knows nothing of what was asked before. */
static void on_launcher_changed(void *arg)
{
	struct control *c = arg;

	c->snapshot = false;
	server_launcher_gone(c->server);
}

static void on_launcher_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct control *c = arg;

	(void)ch;
	(void)fd;
	switch (type) {
	case MSG_BEGIN: break; /* there is nothing to know before a request */
	case MSG_END:
		c->snapshot = true;
		server_launcher_up(c->server);
		ready_if_complete(c);
		break;
	default: server_answer(c->server, type, body);
	}
}

static void on_supervisor_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct control *c = arg;
	const struct msg_listen *m = body;

	(void)ch;
	if (type != MSG_LISTEN || m->proto != LISTEN_UNIX || *fd < 0)
		return;
	if (server_listen(c->server, *fd) < 0)
		log_fatal("no memory to listen");
	*fd = -1;
	c->listening = true;
	ready_if_complete(c);
}

/* A descriptor for each client and watcher, and some to spare. */
static void want_descriptors(void)
{
	struct rlimit limit;
	rlim_t wanted = REQUESTS_CLIENTS_MAX + WATCHERS_MAX + 64;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = MIN(wanted, limit.rlim_max);
	setrlimit(RLIMIT_NOFILE, &limit);
}

int control_main(const struct child_args *args)
{
	static const struct child_ops ops = {
		.syscalls = syscalls,
		.n_syscalls = ARRAY_SIZE(syscalls),
		.on_launcher = on_launcher_changed,
		.on_launcher_msg = on_launcher_msg,
		.on_launcher_gone = on_launcher_changed,
		.on_supervisor_msg = on_supervisor_msg,
	};
	struct control c = { 0 };
	struct server_conf conf = {
		.readers = args->readers_gid,
		.admins = args->admins_gid,
		.tell = tell_launcher,
		.arg = &c,
	};
	int status;

	want_descriptors();
	c.child = child_new(args, &ops, &c);
	c.server = server_new(child_base(c.child), &conf);
	if (!c.server)
		log_fatal("no memory to serve");
	status = child_run(c.child);
	server_free(c.server);
	child_free(c.child);
	return status;
}
