/* How a service's state moves: a table of rows (state, event, action, next), and nothing else.
 *
 *         wake                 started                ready
 *   OFF --------> STARTING -------------> BOOTING -------------> UP <---- wanted ---- DRAINING
 *    ^   ^            |  \__________________________ready_______^ | \____ idle ________^  |
 *    |   |            | failed, timeout      |                    |                       | drained
 *    |   | wake after v                      v                    | operator              v
 *    |   +--------- FAILED <-----------------+                    +------------------> STOPPING
 *    +-------------------------- stopped -----------------------------------------------+
 *
 *   SUSPENDED (paused in RAM), SAVED (in a file, and not in RAM), WARM (created, paused, never ran) are
 *   like OFF, but a wake resumes or restores instead of booting.  ADOPTED: it runs and someone else started it.
 *   CONFLICT: the address is in use elsewhere.  DRAINING: everyone who could still send a client
 *   to the VM was told to stop doing so; once they have said yes and nobody asked meanwhile, it
 *   may be stopped without anybody noticing.
 *
 * READY may come before STARTED: a small guest answers before the hypervisor's call returns.
 */
#ifndef LAUNCHER_SERVICE_FSM_H
#define LAUNCHER_SERVICE_FSM_H

#include "base/msg.h"

enum service_event {
	SVC_WAKE, /* someone wants it, and limits allow it to start now */
	SVC_STARTED, /* the hypervisor says: it runs */
	SVC_START_FAILED,
	SVC_START_LOST, /* the backend died before it said how the start went, and the VM is not there */
	SVC_START_TIMEOUT, /* not ready within start_timeout */
	SVC_READY, /* every ready rule holds */
	SVC_IDLE, /* the idle rule says: nobody uses it */
	SVC_WANTED, /* asked for, or used, while draining */
	SVC_DRAINED, /* nobody can be sent to it any more, and nobody was */
	SVC_STOPPED, /* the VM is gone */
	SVC_STOP_FAILED, /* it could not be stopped, or did not go in time: it is still up */
	SVC_STOP_FAILED_EARLY, /* the same of one that was never ready: it is still booting */
	SVC_STOP_LOST, /* the backend died before it said how the stop went, and the VM is there */
	SVC_SUSPENDED, /* paused in RAM */
	SVC_SAVED, /* it does not run, and what it was is in a file */
	SVC_SAVE_GONE, /* there is no such file any more, or it is not to be used */
	SVC_RESTORE_FAILED, /* the file is no good: it is put aside, and the VM is booted */
	SVC_OPERATOR_STOP,
	SVC_FOUND_BOOTING, /* it was found running; we started it, and had not seen it ready */
	SVC_FOUND_UP, /* it was found running; we started it, and had seen it ready */
	SVC_FOUND_FOREIGN, /* it was found running, and someone else started it */
	SVC_FOUND_PAUSED,
	SVC_TAKEN, /* the operator says that what runs is ours, whoever started it */
	SVC_CONFLICT, /* its address is in use elsewhere, and is left to whoever has it */
	SVC_CONFLICT_OVER,
	SVC_EVENT_N
};

enum service_action {
	DO_NOTHING, /* an explicit row: this event needs no answer in this state */
	DO_START,
	DO_RESUME,
	DO_PROBE, /* runs: wait until it is ready */
	DO_UP, /* ready: tell everyone who waits */
	DO_NOTE_STARTED, /* ready already; only the hypervisor's facts are new */
	DO_FAIL, /* back off, tell everyone who waits */
	DO_GIVE_UP, /* like DO_FAIL, and end what did not become ready */
	DO_DRAIN,
	DO_STAY, /* no stop after all */
	DO_STOP,
	DO_REMEMBER, /* stopping: start again when it is down */
	DO_DOWN, /* gone: clean up behind it */
	DO_PAUSED, /* suspended: clean up behind it, keep the port */
	DO_SAVED, /* clean up behind it, and remember that it is saved */
	DO_DISCARD, /* what is saved of it is thrown away, if it is ours */
	DO_ADOPT,
	DO_CONFLICT, /* say so */
	DO_IMPOSSIBLE, /* cannot happen; logged, changes nothing */
	SERVICE_ACTION_N
};

struct service_move {
	enum service_action action;
	enum service_state next;
};

/* Total: every (state, event) has its row. */
struct service_move service_fsm(enum service_state state, enum service_event event);

const char *service_event_name(unsigned event);
const char *service_action_name(unsigned action);

/* A VM of this service exists or may come to exist: it counts against the limits. */
bool state_counts(enum service_state state);
/* It is on its way up: it counts against max_starting. */
bool state_is_starting(enum service_state state);
/* Clients may be sent to it. */
bool state_serves(enum service_state state);

#endif
