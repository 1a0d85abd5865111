/* A zone's key: made, written as text, and read again from text that may be anything.
 *
 * Its text is BIND's private-key format, v1.3, which ldns reads too.  Flags are always 257 (RFC 4034, 2.1.1): one
 * key signs the whole zone and is what the parent's DS stands for.
 */
#ifndef LAUNCHER_DNSSEC_KEY_H
#define LAUNCHER_DNSSEC_KEY_H

#include "base/buf.h"
#include "base/err.h"
#include "base/msg.h"

enum { DNSSEC_KEY_TEXT_MAX = 2048, DNSSEC_KEY_FLAGS = 257, DNSSEC_DIGEST_TEXT_MAX = 97, DNSSEC_PUBLIC_TEXT_MAX = 128 };
enum { DNSSEC_ECDSAP256SHA256 = 13, DNSSEC_ED25519 = 15 }; /* algorithms: RFC 6605, RFC 8080 */
enum { DNSSEC_SHA256 = 2, DNSSEC_SHA384 = 4 }; /* digests of a DS: RFC 4509, RFC 6605 */

struct dnssec_key {
	uint8_t algorithm;
	uint16_t tag; /* RFC 4034, appendix B */
	char text[DNSSEC_KEY_TEXT_MAX]; /* the secret; NUL-terminated */
	char public_text[DNSSEC_PUBLIC_TEXT_MAX]; /* its public part as base64 */
	char sha256[DNSSEC_DIGEST_TEXT_MAX], sha384[DNSSEC_DIGEST_TEXT_MAX]; /* of its DS, as hex digits */
};

/* "ecdsap256sha256", "ed25519"; "?" for another.  By name, any case: 0 or -EINVAL. */
const char *dnssec_algorithm_name(unsigned algorithm);
int dnssec_algorithm_find(const char *name, uint8_t *out);

/* A new one for this zone.  0, or -errno with *e. */
int dnssec_key_make(const char *zone, uint8_t algorithm, struct dnssec_key *out, struct err *e);

/* The key whose secret this text is.  0, or -EINVAL with *e: `path` is what the sentence begins with. */
int dnssec_key_parse(const char *zone, const char *path, const char *text, struct dnssec_key *out, struct err *e);

/* Its DNSKEY record as a line of a zone file. */
void dnssec_key_public(const struct dnssec_key *k, const char *zone, struct buf *out);

/* A sealed file that only holds its secret, read from its beginning; -errno. */
int dnssec_key_fd(const struct dnssec_key *k);

void dnssec_key_wipe(struct dnssec_key *k);

#endif
