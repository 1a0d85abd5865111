/* Addresses out of the pools of a bridge.  Pure: ranges and a question in, an address out. */
#ifndef CONFIG_POOL_H
#define CONFIG_POOL_H

#include "config/service.h"

enum { POOL_LOOKS_MAX = 128 * 1024 /* addresses looked at for one: more cannot be in use */ };

bool pools_have(const struct range_list *pools, bool v4);
/* The address is one of them that a service can have; *len: its network's length. */
bool pools_contain(const struct range_list *pools, const struct ip_addr *a, uint8_t *len);

typedef bool pool_taken_fn(void *arg, const struct ip_addr *a);

/* The first one of the family behind `after` (all in a circle: so that one that was given back is not given to
 * the next, whom its clients would come to) that is not taken.  False: there is none. */
bool pools_next(const struct range_list *pools, bool v4, const struct ip_addr *after, pool_taken_fn *taken, void *arg,
		struct ip_prefix *out);

/* The bridge of the service's first NIC, or NULL. */
const struct bridge_conf *pools_bridge(const struct conf *c, const struct service_conf *s);

#endif
