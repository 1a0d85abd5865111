/* RUN_DIR and what the supervisor has in it before anything else runs: directories, the lock that
 * lets only one jitsud work there, and the socket that jitsuctl connects to. */
#ifndef CMD_RUN_DIR_H
#define CMD_RUN_DIR_H

#include "base/err.h"
#include "config/service.h"

/* Makes run_dir, what belongs in it, and state_dir; root's.  0, or -errno and a sentence. */
int run_dir_make(const struct conf *conf, struct err *e);

/* The lock's descriptor, close-on-exec; it is held for as long as that is open.  -EBUSY with a
 * sentence when another jitsud has it; other -errno likewise. */
int run_dir_lock(const char *run_dir, struct err *e);

/* A listening socket, close-on-exec, at RUN_DIR/control.sock, which may be connected to by all and
 * belongs to group `gid`; or -errno and a sentence. */
int run_dir_control(const char *run_dir, unsigned gid, struct err *e);
void run_dir_forget_control(const char *run_dir);

#endif
