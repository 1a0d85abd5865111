/* What must outlive the launcher, but not the host: one small file per service that runs, under
 * RUN_DIR/services.  It tells a VM that we started from one that somebody else did: the domain's
 * UUID and its id, which libvirt changes each time the domain starts; or, between the request to
 * start it and the answer, that it was asked for.  And whether its addresses are known to be ours,
 * so that they need not be looked for again; and with which addresses a machine of ours was started, for it
 * goes on using them when its record is given others; and what its guest has said; and what it was booted from.
 *
 * A file is written beside its place and renamed, so that a reader sees the old or the new.
 */
#ifndef LAUNCHER_RUN_STATE_H
#define LAUNCHER_RUN_STATE_H

#include "base/addr_list.h"
#include "base/err.h"
#include "base/msg.h"

enum { RUN_STATE_OFF = -1, RUN_STATE_ASKED = -2 };

struct run_state {
	char uuid[MSG_UUID_MAX];
	int32_t domain_id; /* or RUN_STATE_OFF: it did not run when this was written; RUN_STATE_ASKED */
	bool up; /* it was seen ready */
	uint64_t boots; /* how often it was started, ever since the host booted */
	uint64_t claim; /* of the place (holds.h) where nobody else has its addresses; 0: that is not known */
	bool moved; /* the forwarding entry was at the VM's port */
	struct addr_list addrs; /* of the machine of ours that runs; none: not known */
	uint64_t machine, files; /* what it was booted from (saves.h); 0: not known */
	/* what its guest has said in this boot: guest.h */
	bool guest_ready;
	uint64_t guest_busy_ms, guest_lease_ms; /* busy, or not to be stopped, until then (CLOCK_MONOTONIC); 0: not */
	uint64_t saved; /* stands for what the file says; 0: not known */
	uint64_t saved_busy_ms, saved_lease_ms; /* what it says of these */
	uint64_t asked_ms; /* when its address was last given out (CLOCK_MONOTONIC), or a little earlier; 0: not known */
};

/* Zeroes, and domain_id -1, when there is none or it cannot be read.  What `out` was, is overwritten. */
void run_state_load(const char *run_dir, const char *service, struct run_state *out);
void run_state_clear(struct run_state *st); /* what it owns */
/* Errors are logged: the worst that follows is that a VM of ours is taken for somebody else's, and
 * not stopped.  What the file says already is not written again. */
void run_state_save(const char *run_dir, const char *service, struct run_state *st);

/* Each service that a file is of, in no order, and whether that tells of a VM.  The file may be removed meanwhile. */
void run_state_each(const char *run_dir, void (*fn)(void *arg, const char *service, bool has_vm), void *arg);

#endif
