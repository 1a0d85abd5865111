/* Processes that are named by a pid from elsewhere: a file, /proc.
 *
 * By now that pid may be another process's.  So it is first made a descriptor, which stays with one
 * process (pidfd_open(2)), and then looked at: whatever is found belongs to the process that the
 * descriptor is of, or the process is gone, which a signal through the descriptor cannot harm.
 */
#ifndef BASE_PROC_H
#define BASE_PROC_H

#include <stdbool.h>
#include <sys/types.h>

/* Is it the process that is meant?  NULL: any is. */
typedef bool proc_is_fn(void *arg, pid_t pid);

/* A pidfd, close-on-exec, the caller's; -1: no such process, or another one. */
int proc_open(pid_t pid, proc_is_fn *is, void *arg);

void proc_signal(int pidfd, int sig);

/* Whether it ended, waiting for that at most `ms`. */
bool proc_wait(int pidfd, unsigned ms);

#endif
