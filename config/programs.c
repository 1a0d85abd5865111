/* What a configuration would have run: looked at when it is taken, and by --check-config.  It is no part of loading:
 * what somebody did to a file since must not keep jitsud from starting. */
#include <pwd.h>

#include "base/program.h"
#include "config/load.h"

/* As long as there is no such user: root alone. */
static uid_t uid_of(const char *user)
{
	struct passwd pw, *found = NULL;
	char room[4096];

	getpwnam_r(user, &pw, room, sizeof(room), &found);
	return found ? found->pw_uid : 0;
}

int conf_check_programs(const char *name, const struct conf *c, struct buf *mistakes)
{
	uid_t user = uid_of(c->users.hooks);
	int error = 0;
	struct err e;

	for (size_t i = 0; i < c->hooks.n; i++) {
		const char *exec = c->hooks.v[i].exec;

		if (!exec[0] || program_check(exec, user, &e) == 0)
			continue;
		buf_addf(mistakes, "%s: hooks[%zu].exec: %s\n", name, i, e.text);
		error = -EPERM;
	}
	return error;
}
