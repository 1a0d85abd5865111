/* What every process of ours but the supervisor does alike.
 *
 * The supervisor execs it with descriptor 3 as their channel and these arguments:
 *
 *     --role dns --uid 990 --gid 990 --chroot /run/jitsu/empty --log info
 *
 * child_new() enters the sandbox, makes the event loop and listens to the supervisor; MSG_PEER
 * gives the channel to the launcher (again whenever one of the two was restarted).  MSG_PING is
 * answered, for the supervisor to see that the loop turns.  MSG_STOP, or SIGTERM, ends the loop.  When the supervisor itself dies, its children go on serving without
 * it; the next supervisor ends them when it takes over.
 */
#ifndef BASE_CHILD_H
#define BASE_CHILD_H

#include "base/ipc.h"
#include "base/sandbox.h"

struct child;

enum { CHILD_SUPERVISOR_FD = 3 };

struct child_args {
	enum role role;
	unsigned uid, gid;
	const char *chroot_dir;
	const char *log_level;
	/* control */
	unsigned readers_gid, admins_gid;
	/* launcher, backends */
	const char *conf_path;
	const char *run_dir;
	/* backends */
	const char *name, *uri, *isolation, *qemu_user;
};

/* False, with a line on stderr, when the arguments are not those the supervisor gives. */
bool child_args_parse(int argc, char **argv, struct child_args *args);

struct child_ops {
	const int *syscalls; /* for the sandbox */
	size_t n_syscalls;
	bool threads; /* as in struct sandbox */
	bool no_seccomp; /* likewise */
	/* A new channel to the launcher (child_launcher() gives it): what was known is now unsure
	 * until the next MSG_END.  May be NULL. */
	void (*on_launcher)(void *arg);
	/* What the launcher says. */
	ipc_msg_fn *on_launcher_msg;
	/* The launcher went away; child_launcher() is NULL until a new one comes.  May be NULL. */
	void (*on_launcher_gone)(void *arg);
	/* What the supervisor says beyond MSG_PEER of the launcher and MSG_STOP: MSG_LISTEN,
	 * MSG_SLOTS, MSG_RELOAD, MSG_PEER of others.  May be NULL. */
	ipc_msg_fn *on_supervisor_msg;
	/* Before the loop ends.  May be NULL. */
	void (*on_stop)(void *arg);
};

/* This process, and those that it starts, may have so many descriptors: as far as the host allows. */
void child_want_files(unsigned n);

/* Never NULL: exits with a log line when anything is missing. */
struct child *child_new(const struct child_args *args, const struct child_ops *ops, void *arg);
struct event_base *child_base(struct child *c);
struct ipc *child_launcher(struct child *c); /* NULL while there is none */
struct ipc *child_supervisor(struct child *c); /* NULL once it died */

/* Sends to the launcher; -EPIPE while there is none. */
int child_tell(struct child *c, enum msg_type type, const void *body);

/* Says MSG_READY to the supervisor, once; later calls do nothing. */
void child_ready(struct child *c);

/* Runs until told to stop.  The exit status. */
int child_run(struct child *c);
void child_free(struct child *c);

#endif
