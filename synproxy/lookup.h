/* Whose is this address, or this MAC?  A hash table with a key of its own, so that nobody can make
 * collisions.
 */
#ifndef SYNPROXY_LOOKUP_H
#define SYNPROXY_LOOKUP_H

#include "base/addr.h"

struct lookup;

enum { LOOKUP_NOBODY = -1 };

/* For up to `most` addresses and MACs.  NULL when memory ran out. */
struct lookup *lookup_new(size_t most);
void lookup_free(struct lookup *l); /* NULL is fine */

bool lookup_has_room(const struct lookup *l, size_t n); /* for so many more */

/* A later one of the same address takes the earlier one's place. */
void lookup_add_ip(struct lookup *l, const struct ip_addr *a, int whose);
void lookup_add_mac(struct lookup *l, const struct mac_addr *m, int whose);

/* LOOKUP_NOBODY when it is nobody's, or `l` is NULL. */
int lookup_ip(const struct lookup *l, const struct ip_addr *a);
int lookup_mac(const struct lookup *l, const struct mac_addr *m);

#endif
