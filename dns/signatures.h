/* Signatures made before, by a digest of all that they are of: so that a reload signs only what changed.
 *
 * They belong to builds of the tables.  Between signatures_begin() and signatures_end() whatever is
 * looked up or added is in use by that build; what the builds since do not use is forgotten.
 */
#ifndef DNS_SIGNATURES_H
#define DNS_SIGNATURES_H

#include "dns/key.h"

enum { SIGNATURES_DIGEST = 16, SIGNATURES_MAX = 4 * 1024 * 1024 };

struct signature {
	uint8_t digest[SIGNATURES_DIGEST];
	uint32_t inception_s, expiration_s; /* of the wall clock (RFC 4034, 3.1.5) */
	uint32_t build; /* the newest that uses it */
	uint8_t bytes[KEY_SIGNATURE];
};

struct signatures;

struct signatures *signatures_new(void); /* NULL: no memory */
void signatures_free(struct signatures *c); /* NULL is fine */

/* Tables are signed from now on, instead of those that were under way, if any. */
void signatures_begin(struct signatures *c);
/* They are done: only what they use stays. */
void signatures_end(struct signatures *c);

/* NULL: there is none.  Valid until the next is added. */
const struct signature *signatures_find(struct signatures *c, const uint8_t *digest);
/* In the place of one with this digest, if there is one.  Without memory, or when there are
 * SIGNATURES_MAX, it is not kept. */
void signatures_add(struct signatures *c, const struct signature *s);
uint32_t signatures_count(const struct signatures *c);

#endif
