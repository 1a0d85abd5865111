/* Services whose addresses come from a pool (`ip: auto`): which one each of them has. */
#ifndef LAUNCHER_POOLS_H
#define LAUNCHER_POOLS_H

#include "config/claims.h"
#include "launcher/launcher.h"

struct registry;

struct pools *pools_new(struct launcher *l);
/* For the first time, when the registry is open and nothing was forgotten yet. */
void pools_begin(struct launcher *l, const struct conf *conf, struct registry *reg);

/* Addresses that it has already: those in force under this name, or remembered in the registry.  True when
 * nothing is missing any more. */
bool pools_recall(struct launcher *l, const struct conf *conf, const struct claims *claims, struct service_conf *s,
		  const char *name);
/* New ones for what is missing; `claims` has what others have.  False with a line in `mistakes`: nothing is
 * missing more or less than before. */
bool pools_give(struct launcher *l, const struct conf *conf, const struct claims *claims, struct service_conf *s,
		struct buf *mistakes);
/* Those that it had under its name before it was removed, or was told another one, where they are free still.  True
 * when nothing is missing any more.  pools_give() does so first; here it is for those who come before others. */
bool pools_return(struct launcher *l, const struct conf *conf, const struct claims *claims, struct service_conf *s);
/* Of those that were given: "it had .., which is taken: it is given ..", or NULL.  Before pools_keep().  The caller
 * frees it. */
char *pools_explain_other(struct launcher *l, const struct conf *conf, const struct service_conf *s);
/* Where the registry keeps what a removed service had as `key`, one of pools_keys[]. */
struct pools_key {
	const char *has, *had;
};
extern const struct pools_key pools_keys[2];
/* What was given since the last time is on the disk, and so its service's for good; or it is forgotten. */
int pools_keep(struct launcher *l, struct err *e);
void pools_drop(struct launcher *l);
/* ... or they are in force though that failed: the next pools_keep() has them, too, and nothing drops them. */
void pools_owe(struct launcher *l);
/* Everybody's addresses are known: those that only the registry knew of need not be kept clear of any longer. */
void pools_gathered(struct launcher *l);
/* One more thing that is to be remembered together with these; `key` lives for ever. */
void pools_note(struct launcher *l, const char *name, const char *key, const char *value);
/* Reads the addresses of this host anew for the next that are given. */
void pools_look_again(struct launcher *l);

bool pools_same(const struct service_conf *a, const struct service_conf *b); /* both have the same ones */
bool pools_known(const struct service_conf *s); /* it has all its addresses */
/* Some other machine uses this one, which a pool gave: the service gets another.  False: it stays as it is. */
bool pools_move(struct service *s, const struct ip_addr *taken);

#endif
