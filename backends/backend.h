/* The contract between the launcher and a backend, as messages (base/msg.h has the structs).
 *
 * A backend is a process of its own for one hypervisor connection.  Its calls to the hypervisor
 * block, in worker threads; its loop never does.
 *
 * - Whenever the launcher's channel is new, whenever the connection is made or lost, and when more
 *   is known of it, it says MSG_BE_HELLO.  While it is not connected it answers every request with
 *   -ENOTCONN and the reason, and goes on trying to connect.  When the connection is lost, what has
 *   not begun is answered so too; what has begun, with what its call says in the end.
 * - Each request (START, STOP, RESUME, INSPECT) gets exactly one MSG_BE_RESULT with its `req`,
 *   whatever happens: after BACKEND_DEADLINE_MS it is -ETIMEDOUT, and what the call may still do
 *   is told by events.  INSPECT, when it succeeds, gets one MSG_BE_DOMAIN before it, which has the domain's
 *   addresses only if INSPECT_ADDRESSES was asked for and it runs.  Where the hypervisor keeps no definitions, a
 *   domain that is off is told as the xl configuration says that came with INSPECT.  LIST gets a
 *   MSG_BE_DOMAIN for each domain (running or not) and one MSG_BE_LIST_END, or a MSG_BE_RESULT
 *   with the error.  More than BACKEND_REQUESTS_MAX at once: -EBUSY.
 * - Requests for one domain are carried out in the order given; those for different domains side
 *   by side.  Two requests are for one domain when they share a name or a UUID as text (START of an
 *   inline machine has both).
 * - START of an inline machine creates a transient domain: when it stops nothing is left.  A
 *   domain of that name that runs already is an error (-EEXIST); it is not touched.  START of an
 *   existing domain starts it as it is defined; it is never redefined.  One that runs already:
 *   -EEXIST with the domain's uuid, id and NICs in the result.  One that is paused: -EBUSY.
 *   None of that name: -ENOENT.  The result's nics tell the port of each NIC on our side.
 * - STOP destroy: 0 once the domain is gone, also when it was gone before.  STOP shutdown: 0 once
 *   the guest was asked (the end comes as an event), also when it is off; the launcher waits and
 *   decides.  STOP suspend: paused in RAM.  STOP save: 0 once the domain is gone and what it was is whole in the file
 *   `save`, on the disk; on an error it runs as before, unless INSPECT says otherwise, and there is no such file.  An
 *   existing domain's, with `save` "", is kept by its hypervisor, where it has a place for that: -ENOTSUP elsewhere.
 * - START with `save` restores from that file what STOP save has put there, and removes the file when the VM is in memory
 *   again, before it runs.  On an error there is no domain, and the file is there still unless it was in memory.  An existing domain that its
 *   hypervisor has saved is restored by its START, unless it is `fresh`.
 * - What goes to a file or comes from one may take BACKEND_SAVE_DEADLINE_MS instead.
 * - RESUME: it runs on; 0 also when it ran already, -ENOENT when it is off.
 * - MSG_BE_EVENT comes for every domain of the connection, those jitsu did not start too, and may
 *   come before the RESULT that it belongs to.
 * - MSG_PING is answered with MSG_PONG by the loop, at once: one that does not is killed.  When as many calls hang
 *   as there are threads, past their deadline, and none returns, the loop ends (event_base_loopbreak()), and with
 *   it the process; so it does when the call that connects is past that deadline.
 * - MSG_BE_GUEST comes for each stream of what a guest says, when it is there and whenever the launcher's channel is
 *   new; and behind each MSG_BE_DOMAIN of one that runs, since its service may be newer than it.
 * - MSG_BE_WATCH goes to a hypervisor with XenStore only.  MSG_BE_KEY comes once for each of its keys.
 * - MSG_BE_CONSOLE has no answer.  START of an inline machine implies it.
 * - When the launcher's channel is replaced, what was asked through the old one and has not begun
 *   is dropped; what has begun is finished and its result thrown away.  A LIST through the new
 *   channel waits for it, so that a START whose result was lost is found there.
 */
#ifndef BACKENDS_BACKEND_H
#define BACKENDS_BACKEND_H

#include "base/child.h"
#include "base/msg.h"

enum { BACKEND_DEADLINE_MS = 180 * 1000, BACKEND_SAVE_DEADLINE_MS = 1800 * 1000, BACKEND_REQUESTS_MAX = 1024, BACKEND_RECONNECT_MS = 1000 };

/* ---- what a hypervisor implements ---- */

struct backend;
struct backend_rows; /* where LIST puts its domains */

/* All but `console`, `console_end` and `spent` are called in worker threads, several at a time, and may block.  0 or -errno
 * with *e, whose text is the hypervisor's own words.  `hv` is the implementation's own. */
struct backend_ops {
	/* Connects, again after a loss.  Fills in version and text as far as they are known. */
	int (*open)(void *hv, struct msg_be_hello *hello, struct err *e);
	/* Once after each open, before the first START: what the first start would pay for.  May
	 * be NULL; may complete the hello. */
	void (*warm)(void *hv, struct msg_be_hello *hello);
	/* r->uuid, domain_id and nics are filled in, for -EEXIST too. */
	int (*start)(void *hv, const struct msg_be_start *m, struct msg_be_result *r, struct err *e);
	int (*stop)(void *hv, const char *domain, enum stop_how how, struct msg_be_result *r, struct err *e);
	/* STOP save; `file` "": wherever the hypervisor keeps such.  May be NULL, with restore: it cannot. */
	int (*save)(void *hv, const char *domain, const char *file, struct msg_be_result *r, struct err *e);
	/* START with m->save. */
	int (*restore)(void *hv, const struct msg_be_start *m, struct msg_be_result *r, struct err *e);
	int (*resume)(void *hv, const char *domain, struct msg_be_result *r, struct err *e);
	int (*inspect)(void *hv, const struct msg_be_target *t, struct msg_be_domain *d, struct err *e);
	/* After inspect, of a domain that runs: which addresses it is known to have, as far as there is room.  May be
	 * NULL: nothing is known. */
	void (*addresses)(void *hv, const char *domain, struct msg_be_domain *d);
	int (*list)(void *hv, struct backend_rows *rows, struct err *e);
	/* Loop thread; must not block.  May be NULL. */
	void (*console)(void *hv, const char *name);
	/* The same of a domain that will not come back.  May be NULL. */
	void (*console_end)(void *hv, const char *name);
	/* Loop thread, before connecting again: true when only a new process can.  The loop ends
	 * then.  May be NULL. */
	bool (*spent)(void *hv);
};

int backend_add_row(struct backend_rows *rows, const struct msg_be_domain *d); /* 0 or -ENOMEM */

/* ---- the loop that all backends share (backend.c) ---- */

typedef void backend_tell_fn(void *arg, enum msg_type type, const void *body);

/* Connects at once, in a worker.  `workers` threads, at least 3.  NULL with errno. */
struct backend *backend_new(struct event_base *base, const struct backend_ops *ops, void *hv, unsigned workers,
			    backend_tell_fn *tell, void *arg);
/* Waits for calls that run. */
void backend_free(struct backend *b);

/* The launcher's channel is new. */
void backend_on_launcher(struct backend *b);
/* What the launcher says. */
void backend_on_msg(struct backend *b, enum msg_type type, const void *body);

/* From the implementation, on the loop's thread. */
void backend_event(struct backend *b, const struct msg_be_event *event);
void backend_lost(struct backend *b, const char *why);

#endif
