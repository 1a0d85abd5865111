/* What no two services may have: names, host names, addresses, MACs, domains, disks that are written
 * to; and what a bridge is probed from.  An index of all that is in force, so that one more service is
 * judged without looking at the others.
 */
#ifndef CONFIG_CLAIMS_H
#define CONFIG_CLAIMS_H

#include "base/buf.h"
#include "config/service.h"

struct claims;

struct claims *claims_new(void); /* NULL: no memory */
void claims_free(struct claims *c); /* NULL is fine */

/* The service's record stays where it is until claims_remove() or claims_free().  False when memory
 * ran out: then nothing was added. */
bool claims_add(struct claims *c, const struct service_conf *s);
void claims_remove(struct claims *c, const struct service_conf *s);
/* Likewise the probe addresses of all bridges. */
bool claims_add_bridges(struct claims *c, const struct conf *conf);

/* False when it has something that another one has, and then a line for each in `mistakes`, which
 * begins with the option: "ip[0]: ...".  Itself, if it was added, is no other. */
bool claims_fit(const struct claims *c, const struct service_conf *s, struct buf *mistakes);

/* The one with this name, or NULL. */
const struct service_conf *claims_find(const struct claims *c, const char *name);

/* Somebody has this address. */
bool claims_has_address(const struct claims *c, const struct ip_addr *a);

/* ... and who: NULL is a bridge that is probed from it. */
bool claims_find_address(const struct claims *c, const struct ip_addr *a, const struct service_conf **owner);

/* Each service that was added, in no order. */
void claims_each(const struct claims *c, void (*fn)(void *arg, const struct service_conf *s), void *arg);

size_t claims_count(const struct claims *c); /* services */

#endif
