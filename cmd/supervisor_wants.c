/* What the launcher wants: sockets, backends and hooks (MSG_WANT_*), descriptors that are kept, and the end of
 * whoever is stuck.
 */
#include "cmd/supervisor_internal.h"

#include <signal.h>

#include "base/log.h"

/* At the start nothing is served then; later, all goes on but this. */
static void cannot_have(struct supervisor *s, const char *why)
{
	struct process *launcher = supervisor_find(s, ROLE_LAUNCHER, "");
	struct msg_want_failed failed;

	if (!s->settled) {
		log_error("%s", why);
		s->failed = true;
		supervisor_stop(s);
		return;
	}
	str_copy(failed.text, why);
	ipc_send(launcher->channel, MSG_WANT_FAILED, &failed);
}

static void want_listen(struct supervisor *s, const struct msg_listen *what)
{
	struct err e;

	if (listeners_want(s->listeners, what, supervisor_give_listener, s, &e) < 0)
		cannot_have(s, e.text);
}

static void want_backend(struct supervisor *s, const struct msg_want_backend *want)
{
	struct process *p = supervisor_find(s, ROLE_BACKEND, want->name);

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
	process_spawn(p);
}

static void want_hooks(struct supervisor *s)
{
	struct process *p = supervisor_find(s, ROLE_HOOKS, "");
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
	process_spawn(p);
}

/* A socket that is wanted no more was closed here.  dns drops its copies when it restarts, and answers on them
 * until then, so it is restarted; control has users, and is told. */
static void listener_closed(void *arg, const struct msg_listen *what, int fd)
{
	struct process *p = supervisor_find(arg, supervisor_role_of(what), "");

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
			kill(p->pid, SIGTERM); /* process_ended() forgets it */
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

static void unmark(struct supervisor *s)
{
	struct process *p;

	TAILQ_FOREACH(p, &s->processes, next)
		p->wanted = false;
}

static void peer_is_stuck(struct supervisor *s, const struct msg_peer *peer)
{
	struct process *p = supervisor_find(s, (enum role)peer->role, peer->name);

	if (!p || p->pid <= 0 || p->role == ROLE_LAUNCHER)
		return;
	log_warn("%s does not keep up, does not answer, or talks nonsense: killing it", p->name);
	kill(p->pid, SIGKILL);
}

/* Only the launcher may ask for anything. */
void supervisor_on_wants(struct supervisor *s, enum msg_type type, const void *body, int *fd)
{
	if (!s->in_list && (type == MSG_WANT_LISTEN || type == MSG_WANT_BACKEND || type == MSG_WANT_HOOKS ||
			    type == MSG_WANT_END)) {
		unmark(s);
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
