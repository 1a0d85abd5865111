/* The processes of an earlier supervisor that was killed.
 *
 * They go on serving without it.  The next supervisor finds them by the records it and its
 * predecessors keep under RUN_DIR/pids, one file per process with its pid and start time, and
 * ends them before it starts its own.  The start time tells a process from a later one with the
 * same pid, so that nothing foreign is ever ended.
 */
#ifndef CMD_LEFTOVERS_H
#define CMD_LEFTOVERS_H

#include <sys/types.h>

#include "base/err.h"

/* Notes that `name` runs as `pid`. */
void leftovers_record(const char *run_dir, const char *name, pid_t pid);
void leftovers_forget(const char *run_dir, const char *name);

/* Ends what is left: SIGTERM, and SIGKILL after `ms`.  How many there were. */
unsigned leftovers_end(const char *run_dir, unsigned ms);

#endif
