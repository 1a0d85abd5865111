/* What the files of the supervisor share, and nobody else uses.
 *
 *     supervisor.c             its life: what its processes say, the watchdog, stopping
 *     supervisor_processes.c   how one starts, and what becomes of one that ends
 *     supervisor_peers.c       what each is given, and who is introduced to whom
 *     supervisor_wants.c       what the launcher wants
 */
#ifndef CMD_SUPERVISOR_INTERNAL_H
#define CMD_SUPERVISOR_INTERNAL_H

#include <event2/event.h>
#include <sys/queue.h>

#include "base/ipc.h"
#include "cmd/kept.h"
#include "cmd/listeners.h"
#include "cmd/programs.h"
#include "cmd/pulse.h"
#include "cmd/supervisor.h"

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

/* It runs while the launcher wants it. */
static inline bool is_on_demand(const struct process *p) { return p->role == ROLE_BACKEND || p->role == ROLE_HOOKS; }

/* ---- supervisor.c ---- */

/* An ipc_msg_fn of a process. */
void supervisor_on_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd);
/* The launcher has read the configuration again, or is gone and its successor reads it anyway. */
void supervisor_reloaded(struct supervisor *s);
/* All processes are told to end. */
void supervisor_stop(struct supervisor *s);
/* The loop ends when nobody runs any more. */
void supervisor_finish(struct supervisor *s);

/* ---- supervisor_processes.c ---- */

struct process *supervisor_find(struct supervisor *s, enum role role, const char *name);
struct process *process_new(struct supervisor *s, enum role role, const char *name);
void process_spawn(struct process *p);
void process_ended(struct process *p, int status);
void process_remove(struct process *p);

/* ---- supervisor_peers.c ---- */

/* Gives a new process its descriptors, and introduces it. */
void supervisor_introduce(struct supervisor *s, struct process *fresh);
/* The launcher hears of this process: that it runs, or not; */
void supervisor_tell_about(const struct process *p);
/* that there is none of this name. */
void supervisor_tell_gone(const struct process *p);
enum role supervisor_role_of(const struct msg_listen *what);
/* A listener_fn: whose it is may be away, and is given all when it is there again. */
void supervisor_give_listener(void *arg, const struct msg_listen *what, int fd);

/* ---- supervisor_wants.c ---- */

/* *fd is taken from the message when it is kept. */
void supervisor_on_wants(struct supervisor *s, enum msg_type type, const void *body, int *fd);

#endif
