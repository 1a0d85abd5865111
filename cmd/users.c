#include "cmd/users.h"

#include <grp.h>
#include <pwd.h>

static int find_user(const char *name, struct ids *ids, struct err *e)
{
	struct passwd *pw = getpwnam(name);

	if (!pw)
		return err_set(e, -ENOENT, "there is no user \"%s\": create it with \"useradd --system %s\"", name,
			       name);
	if (pw->pw_uid == 0)
		return err_set(e, -EINVAL, "the user \"%s\" is root: name one without privileges", name);
	*ids = (struct ids){ pw->pw_uid, pw->pw_gid };
	return 0;
}

static int find_group(const char *name, unsigned *gid, struct err *e)
{
	struct group *gr = getgrnam(name);

	if (!gr)
		return err_set(e, -ENOENT, "there is no group \"%s\": create it with \"groupadd --system %s\"", name,
			       name);
	*gid = gr->gr_gid;
	return 0;
}

/* Needed only where there are hooks, and root only if somebody said so. */
static void find_hooks(const char *name, struct users *users)
{
	struct passwd *pw = getpwnam(name);

	users->has_hooks = pw && (pw->pw_uid != 0 || strcmp(name, "root") == 0);
	if (users->has_hooks)
		users->hooks = (struct ids){ pw->pw_uid, pw->pw_gid };
}

int users_find(const struct users_conf *conf, struct users *users, struct err *e)
{
	struct users found = { 0 };
	int r = find_user(conf->dns, &found.dns, e);

	if (r == 0)
		r = find_user(conf->net, &found.net, e);
	if (r == 0)
		r = find_user(conf->control, &found.control, e);
	if (r == 0)
		r = find_group(conf->readers, &found.readers_gid, e);
	if (r == 0)
		r = find_group(conf->admins, &found.admins_gid, e);
	find_hooks(conf->hooks, &found);
	if (r == 0)
		*users = found;
	return r;
}
