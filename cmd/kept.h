/* Descriptors that the launcher has the supervisor keep for its successors (MSG_KEEP), each under a
 * name of its own: a network device of ours, and the frames that wait in it, live on while no
 * launcher runs.  What they are is not looked at. */
#ifndef CMD_KEPT_H
#define CMD_KEPT_H

#include "base/msg.h"

struct kept {
	unsigned n;
	struct {
		char name[MSG_NAME_MAX];
		int fd;
	} v[HOLD_BRIDGES_MAX];
};

/* Takes `fd`, which replaces what had this name; -1: what had it is closed.  0; -EINVAL: no name;
 * -ENOSPC: there are HOLD_BRIDGES_MAX others.  On failure `fd` stays the caller's. */
int kept_put(struct kept *k, const char *name, int fd);
void kept_clear(struct kept *k); /* closes all */

#endif
