/* Names of which the launcher has said that something else will be said of them soon: who asks for one waits until
 * new tables are in force, which are built from a snapshot that comes later.
 *
 * A set that never changes, so that workers can look into it: another name makes another set.
 */
#ifndef DNS_CHANGING_H
#define DNS_CHANGING_H

#include "base/msg.h"
#include "dns/wire.h"

enum { CHANGING_MAX = 4096 }; /* names */

struct changing;

/* The names of `old` (NULL: none), without its first `drop`, and those of `m` (NULL: none): they and the reverse names
 * of its addresses.  0 with the set in *out, NULL when it is empty; -ENOSPC: there would be too many; -ENOMEM. */
int changing_new(const struct changing *old, size_t drop, const struct msg_dns_changing *m, struct changing **out);
void changing_free(struct changing *c); /* NULL is fine */
size_t changing_count(const struct changing *c); /* NULL: 0 */

/* Is this query about one of them?  NULL: it is not. */
bool changing_has(const struct changing *c, const struct wire_query *q);

#endif
