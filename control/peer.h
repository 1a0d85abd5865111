/* Who is at the other end of a UNIX socket, as the kernel knows it, and what they may do. */
#ifndef CONTROL_PEER_H
#define CONTROL_PEER_H

#include <sys/types.h>

#include "base/err.h"

struct peer {
	pid_t pid; /* for the log alone: it may be reused */
	uid_t uid;
	bool admin; /* root, or a member of the admins' group: may start, stop and reload */
};

/* 0 with *out; -EACCES with *e when they are neither root nor in one of the groups.  A group 0
 * stands for "there is no such group", so that root's own group opens nothing.  Membership is as
 * it was when they connected. */
int peer_identify(int fd, gid_t readers, gid_t admins, struct peer *out, struct err *e);

/* The rule alone, of one who has these groups. */
int peer_judge(uid_t uid, const gid_t *groups, size_t n, gid_t readers, gid_t admins, bool *admin,
	       struct err *e);

#endif
