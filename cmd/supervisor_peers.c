/* Introductions: what each process is given, who is introduced to whom, and what the launcher is told of all of
 * them.  supervisor.c tells why.
 */
#include "cmd/supervisor_internal.h"

#include "base/log.h"

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

enum role supervisor_role_of(const struct msg_listen *what)
{
	return what->proto == LISTEN_METRICS ? ROLE_CONTROL : ROLE_DNS;
}

void supervisor_give_listener(void *arg, const struct msg_listen *what, int fd)
{
	struct process *p = supervisor_find(arg, supervisor_role_of(what), "");

	if (p && p->channel)
		ipc_send_fd(p->channel, MSG_LISTEN, what, fd);
}

/* To one that is new: its own. */
static void give_its_listener(void *arg, const struct msg_listen *what, int fd)
{
	struct process *p = arg;

	if (supervisor_role_of(what) == p->role)
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

void supervisor_tell_about(const struct process *p)
{
	tell_process(supervisor_find(p->sup, ROLE_LAUNCHER, ""), p->name, p->pid, p->starts);
}

void supervisor_tell_gone(const struct process *p)
{
	tell_process(supervisor_find(p->sup, ROLE_LAUNCHER, ""), p->name, 0, 0);
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

void supervisor_introduce(struct supervisor *s, struct process *fresh)
{
	struct process *p;

	give_descriptors(s, fresh);
	if (fresh->role != ROLE_LAUNCHER) {
		introduce(supervisor_find(s, ROLE_LAUNCHER, ""), fresh);
		supervisor_tell_about(fresh);
		return;
	}
	tell_process(fresh, "jitsud", getpid(), 1);
	TAILQ_FOREACH(p, &s->processes, next) {
		supervisor_tell_about(p);
		if (p != fresh)
			introduce(fresh, p);
	}
}
