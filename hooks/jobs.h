/* What is run for events: programs, and webhooks.
 *
 * Each is a process of its own, with the event's text as its standard input (a file of its own), an
 * environment of PATH and LANG alone, standard output and error where ours is, and no other descriptor;
 * it leads a process group.  When its time is over the group is killed; also when it has ended and left
 * somebody behind, and when we die.
 */
#ifndef HOOKS_JOBS_H
#define HOOKS_JOBS_H

#include "base/buf.h"
#include "base/msg.h"

struct event_base;
struct jobs;

enum { JOBS_RUNNING_MAX = 4, JOBS_WAITING_MAX = 256 };

/* Called after each end and each drop, with all there were: MSG_HOOK_COUNTS. */
typedef void jobs_counted_fn(void *arg, const struct msg_hook_counts *counts);

struct jobs *jobs_new(struct event_base *base, jobs_counted_fn *fn, void *arg); /* NULL: no memory */
void jobs_free(struct jobs *j); /* NULL is fine; what runs is killed */

/* Runs it now or after those before it; dropped and counted when JOBS_WAITING_MAX wait already.  `number` of
 * the hook, for the log. */
void jobs_add(struct jobs *j, const struct msg_hook *hook, unsigned number, const char *text);

#endif
