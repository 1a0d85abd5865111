/* DNS cookies (RFC 7873), made as RFC 9018 wants, so that servers with the same secrets take each
 * other's: SipHash-2-4 over the client's cookie, version, time and address.
 *
 * The client's cookie proves nothing; the server's, 16 bytes behind it, proves that an answer of ours
 * reached that address within the last hour.
 */
#ifndef DNS_COOKIE_H
#define DNS_COOKIE_H

#include "base/addr.h"
#include "dns/wire.h"

enum {
	COOKIE_SECRET = 16,
	COOKIE_SECRETS_MAX = 4,
	COOKIE_FULL = 24, /* bytes of the client's and ours */
	COOKIE_OLD_S = 3600, /* no longer taken */
	COOKIE_RENEW_S = 1800, /* still taken, and replaced */
	COOKIE_AHEAD_S = 300, /* of our clock, that another server's may be */
};

struct cookies {
	unsigned n; /* secrets; the first makes, all are taken */
	uint8_t secrets[COOKIE_SECRETS_MAX][COOKIE_SECRET];
};

/* RFC 9018, 4.4, and the reference's own test vectors. */
uint64_t siphash24(const uint8_t key[16], const uint8_t *data, size_t n);

/* The client's cookie has our part behind it, and we made that for this address; now_s: of the wall
 * clock. */
bool cookie_is_good(const struct cookies *c, const uint8_t *cookie, size_t n, const struct ip_addr *client,
		    uint32_t now_s);

/* What the answer carries: the same one while it is good for a while, else one made now.  `out` has
 * COOKIE_FULL bytes. */
void cookie_answer(const struct cookies *c, const uint8_t *cookie, size_t n, const struct ip_addr *client,
		   uint32_t now_s, uint8_t *out);

#endif
