/* Threads for calls that block, beside a loop that must not.
 *
 * A job has up to two keys (a domain's name, its UUID).  Jobs that share a key run in the order
 * they were given; all others side by side, as far as there are threads.  `run` is called in a
 * worker, `done` later on the loop's thread.
 *
 * Jobs marked `slow` (a destroy waits 200 ms for QEMU to go) may take all threads but two, so
 * that a start never waits for a stop of another domain.  Jobs marked `gated` wait, in order with
 * the rest of their key, until workers_open_gate().
 */
#ifndef BACKENDS_WORKERS_H
#define BACKENDS_WORKERS_H

#include <sys/queue.h>

#include "base/util.h"

struct event_base;
struct workers;

enum { JOB_KEY_MAX = 128, JOB_KEYS = 2, WORKERS_MAX = 16 };

enum job_state { JOB_NEW, JOB_WAITING, JOB_RUNNING, JOB_DONE };

/* Embedded in the caller's own struct, which lives until `done` was called (or the job was taken
 * back). */
struct job {
	void (*run)(struct job *job); /* worker thread */
	void (*done)(struct job *job); /* loop thread */
	char keys[JOB_KEYS][JOB_KEY_MAX]; /* "" : none */
	bool slow;
	bool gated;
	bool alone; /* begins only when all jobs given before it have ended */
	/* workers' own */
	enum job_state state;
	TAILQ_ENTRY(job) next;
};

/* `n` threads, 3..WORKERS_MAX.  NULL with errno. */
struct workers *workers_new(struct event_base *base, unsigned n);

/* Waits for running jobs; jobs not begun are dropped without `done`. */
void workers_free(struct workers *w);

void workers_submit(struct workers *w, struct job *job);

/* True when the job had not begun: it never will, and `done` is not called. */
bool workers_take_back(struct workers *w, struct job *job);

void workers_open_gate(struct workers *w);
void workers_shut_gate(struct workers *w);

/* One thread more, for one that hangs in a call.  0, -EBUSY at WORKERS_MAX, or -errno. */
int workers_add(struct workers *w);

#endif
