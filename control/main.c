/* The control process: wires the server to its socket and to the launcher, and the HTTP server of metrics to its
 * sockets and to the launcher.
 *
 * It parses what users write, so it has a user of its own, an empty root directory, no capability,
 * and only the system calls below.  The supervisor gives it the listening sockets, which it could
 * not open itself.
 */
#include "control/main.h"

#include <seccomp.h>

#include "base/log.h"
#include "control/requests.h"
#include "control/http.h"
#include "control/server.h"
#include "control/watchers.h"

struct control {
	struct child *child;
	struct server *server;
	struct http *http;
	bool listening, snapshot;
};

static const int syscalls[] = {
	SCMP_SYS(accept4), /* clients of the sockets we were given */
	SCMP_SYS(listen), SCMP_SYS(getpeername), SCMP_SYS(getsockname), /* libevent, of these */
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
	http_launcher_changed(c->http);
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
	default:
		if (!http_answer(c->http, type, body))
			server_answer(c->server, type, body);
	}
}

static void listen_for_metrics(struct control *c, const struct msg_listen *m, int *fd)
{
	char where[ADDR_TEXT_MAX];
	int r = http_listen(c->http, m, *fd);

	*fd = -1;
	if (r < 0)
		log_error("cannot serve metrics on %s: %s", endpoint_format(&m->addr, m->port, where), strerror(-r));
}

static void on_supervisor_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct control *c = arg;
	const struct msg_listen *m = body;

	(void)ch;
	if (type == MSG_LISTEN_END)
		http_listen_end(c->http, m);
	if (type == MSG_LISTEN && m->proto == LISTEN_METRICS && *fd >= 0)
		listen_for_metrics(c, m, fd);
	if (type != MSG_LISTEN || m->proto != LISTEN_UNIX || *fd < 0)
		return;
	if (server_listen(c->server, *fd) < 0)
		log_fatal("no memory to listen");
	*fd = -1;
	c->listening = true;
	ready_if_complete(c);
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
	struct http_conf metrics = { .tell = tell_launcher, .arg = &c };
	int status;

	child_want_files(REQUESTS_CLIENTS_MAX + WATCHERS_MAX + 64); /* each client and watcher, and some to spare */
	http_prepare();
	c.child = child_new(args, &ops, &c);
	c.server = server_new(child_base(c.child), &conf);
	c.http = http_new(child_base(c.child), &metrics);
	if (!c.server || !c.http)
		log_fatal("no memory to serve");
	status = child_run(c.child);
	server_free(c.server);
	http_free(c.http);
	child_free(c.child);
	return status;
}
