#include "cmd/programs.h"

#include <fcntl.h>
#include <signal.h>

#include "base/child.h"
#include "config/value.h"

enum { ARGS_MAX = 32 };

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

static void backend_args(struct argv *a, const struct msg_want_backend *backend, const char *qemu_user)
{
	arg_add(a, "--name", backend->name);
	arg_add(a, "--uri", backend->uri);
	arg_add(a, "--isolation", isolation_name(backend->isolation));
	arg_add(a, "--qemu-user", qemu_user);
}

static void make_args(struct argv *a, const struct programs *p, enum role role,
		      const struct msg_want_backend *backend, const char *program, const char *empty)
{
	const struct users *u = &p->users;

	*a = (struct argv){ .v = { (char *)program }, .n = 1 };
	arg_add(a, "--role", role_name(role));
	arg_add(a, "--log", p->conf->log_level);
	arg_add(a, "--run-dir", p->conf->run_dir);
	switch (role) {
	case ROLE_DNS: sandbox_args(a, &u->dns, empty); break;
	case ROLE_SYNPROXY: sandbox_args(a, &u->net, empty); break;
	case ROLE_CONTROL:
		sandbox_args(a, &u->control, empty);
		arg_add_number(a, "--readers", u->readers_gid);
		arg_add_number(a, "--admins", u->admins_gid);
		break;
	case ROLE_LAUNCHER: arg_add(a, "--conf", p->conf_path); break;
	case ROLE_HOOKS: /* it has to find the programs that it runs */
		arg_add_number(a, "--uid", u->hooks.uid);
		arg_add_number(a, "--gid", u->hooks.gid);
		break;
	case ROLE_BACKEND: backend_args(a, backend, p->conf->users.qemu); break;
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
	_exit(PROGRAMS_NOT_RUN);
}

const struct backend_program *programs_backend(const struct msg_want_backend *backend)
{
	static const struct backend_program xen = { "jitsu-libxl", "jitsu-xen" };
	static const struct backend_program libvirt = { "jitsu-libvirt", "jitsu-libvirt" };

	return uri_is_xen(backend->uri) ? &xen : &libvirt;
}

pid_t programs_run(const struct programs *p, enum role role, const struct msg_want_backend *backend, int channel)
{
	char program[PATH_MAX + 32], empty[PATH_MAX];
	struct argv a;
	pid_t pid;

	if (role == ROLE_BACKEND)
		snprintf(program, sizeof(program), "%s/%s", p->libexec, programs_backend(backend)->program);
	else if (role == ROLE_HOOKS)
		snprintf(program, sizeof(program), "%s/jitsu-hooks", p->libexec);
	else
		str_copy(program, p->exe);
	snprintf(empty, sizeof(empty), "%s/empty", p->conf->run_dir);
	make_args(&a, p, role, backend, program, empty);
	pid = fork();
	if (pid == 0)
		exec_child(program, a.v, channel);
	return pid < 0 ? -errno : pid;
}

int programs_find(struct programs *p, struct err *e)
{
	ssize_t n = readlink("/proc/self/exe", p->exe, sizeof(p->exe) - 1);
	const char *libexec = getenv("JITSU_LIBEXEC");
	char *slash;

	if (n < 0)
		return err_set_errno(e, -errno, "cannot read /proc/self/exe (is /proc mounted?)");
	p->exe[n] = '\0';
	str_copy(p->libexec, libexec ? libexec : p->exe);
	slash = strrchr(p->libexec, '/');
	if (!libexec && slash)
		*slash = '\0';
	return 0;
}
