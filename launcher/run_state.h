/* What must outlive the launcher, but not the host: one small file per service that runs, under
 * RUN_DIR/services.  It tells a VM that we started from one that somebody else did: the domain's
 * UUID and its id, which libvirt changes each time the domain starts.
 *
 * A file is written beside its place and renamed, so that a reader sees the old or the new.
 */
#ifndef LAUNCHER_RUN_STATE_H
#define LAUNCHER_RUN_STATE_H

#include "base/err.h"
#include "base/msg.h"

struct run_state {
	char uuid[MSG_UUID_MAX];
	int32_t domain_id; /* -1: it is not running, or did not when this was written */
	bool up; /* it was seen ready */
	uint64_t boots; /* how often it was started, ever since the host booted */
};

/* Zeroes, and domain_id -1, when there is none or it cannot be read. */
void run_state_load(const char *run_dir, const char *service, struct run_state *out);
/* Errors are logged: the worst that follows is that a VM of ours is taken for somebody else's, and
 * not stopped. */
void run_state_save(const char *run_dir, const char *service, const struct run_state *st);

#endif
