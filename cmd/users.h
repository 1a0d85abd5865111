/* Who the processes run as, and who may talk to them: the numbers of the configuration's names. */
#ifndef CMD_USERS_H
#define CMD_USERS_H

#include "base/err.h"
#include "config/service.h"

struct ids {
	unsigned uid, gid;
};

struct users {
	struct ids dns, net, control;
	struct ids hooks;
	bool has_hooks; /* there is such a user */
	unsigned readers_gid, admins_gid;
};

/* 0, or -errno and a sentence: one of them does not exist, or is root. */
int users_find(const struct users_conf *conf, struct users *users, struct err *e);

#endif
