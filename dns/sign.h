/* Signing the zones of finished tables (RFC 4034, 4035), in steps, so that queries are answered meanwhile
 * from the tables in force.
 */
#ifndef DNS_SIGN_H
#define DNS_SIGN_H

#include "base/err.h"
#include "dns/signatures.h"
#include "dns/zone.h"

enum {
	SIGN_KEYS_MAX = 8, /* of a zone */
	SIGN_ZONES_MAX = MSG_SIGNED_ZONES_MAX,
	SIGN_VALID_S = 14 * 86400, /* a signature lasts so long */
	SIGN_RENEW_S = 7 * 86400, /* and is made anew when less is left: somebody must load meanwhile */
	SIGN_EARLY_S = 3600, /* it counts from this much before, for clocks that are behind */
};

struct signing;

/* `cache` must outlive it.  NULL: no memory. */
struct signing *signing_new(struct signatures *cache);
void signing_free(struct signing *s); /* NULL is fine; wipes the keys */

/* Closes fd.  0, or -errno with *e: the key cannot be used. */
int signing_add_key(struct signing *s, const struct msg_dns_key *m, int fd, struct err *e);

/* After tables_finish().  1: there is more; 0: all zones with a key that signs are signed; -errno with *e. */
int signing_step(struct signing *s, struct tables *t, uint32_t now_s, struct err *e);

#endif
