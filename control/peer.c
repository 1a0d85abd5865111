#include "control/peer.h"

#include <sys/socket.h>

enum { GROUPS_MAX = 65536 + 1 }; /* the kernel's NGROUPS_MAX, and the primary one */

static bool is_member(const gid_t *groups, size_t n, gid_t group)
{
	for (size_t i = 0; i < n && group != 0; i++) {
		if (groups[i] == group)
			return true;
	}
	return false;
}

int peer_judge(uid_t uid, const gid_t *groups, size_t n, gid_t readers, gid_t admins, bool *admin,
	       struct err *e)
{
	bool is_admin = uid == 0 || is_member(groups, n, admins);

	if (!is_admin && !is_member(groups, n, readers))
		return err_set(e, -EACCES,
			       "user %u may not ask: it is in neither the readers' group (gid %u) nor the "
			       "administrators' (gid %u)",
			       (unsigned)uid, (unsigned)readers, (unsigned)admins);
	*admin = is_admin;
	return 0;
}

/* All groups of the peer: the supplementary ones and, first, the primary. */
static int read_groups(int fd, gid_t primary, gid_t **out, size_t *n)
{
	socklen_t size = 64 * sizeof(gid_t);

	for (;;) {
		gid_t *groups = malloc(sizeof(gid_t) + size);

		if (!groups)
			return -ENOMEM;
		groups[0] = primary;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups + 1, &size) == 0) {
			*out = groups;
			*n = 1 + size / sizeof(gid_t);
			return 0;
		}
		free(groups);
		/* With ERANGE the kernel says in `size` how much it takes. */
		if (errno != ERANGE || size > GROUPS_MAX * sizeof(gid_t))
			return -errno;
	}
}

int peer_identify(int fd, gid_t readers, gid_t admins, struct peer *out, struct err *e)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);
	cleanup_free gid_t *groups = NULL;
	size_t n = 0;
	bool admin;
	int r;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return err_set_errno(e, -errno, "cannot tell who is asking");
	r = read_groups(fd, cred.gid, &groups, &n);
	if (r < 0)
		return err_set_errno(e, r, "cannot tell the groups of user %u", (unsigned)cred.uid);
	r = peer_judge(cred.uid, groups, n, readers, admins, &admin, e);
	if (r < 0)
		return r;
	*out = (struct peer){ .pid = cred.pid, .uid = cred.uid, .admin = admin };
	return 0;
}
