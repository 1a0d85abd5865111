/* A zone's key: read from its file, shown as DNSKEY and CDS, signed with. */
#ifndef DNS_KEY_H
#define DNS_KEY_H

#include <openssl/types.h>

#include "base/err.h"
#include "base/msg.h"
#include "dns/name.h"

enum {
	KEY_P256 = 13, /* ECDSA P-256 with SHA-256 (RFC 6605) */
	KEY_ED25519 = 15, /* RFC 8080 */
	KEY_SIGNATURE = 64, /* bytes, of both */
	KEY_DNSKEY_MAX = 4 + 64, /* a DNSKEY's data */
	KEY_DS = 4 + 32, /* a DS record's data, with SHA-256 */
};

struct key {
	EVP_PKEY *pair;
	uint16_t tag;
	uint8_t algorithm;
	bool publish, sign, sign_keys, cds; /* as in struct msg_dns_key */
	uint8_t dnskey[KEY_DNSKEY_MAX];
	uint8_t dnskey_n;
};

/* From BIND's private-key format.  Closes fd.  0, or -EINVAL or -errno with *e. */
int key_read(const struct msg_dns_key *m, int fd, struct key *out, struct err *e);
/* Wipes it. */
void key_clear(struct key *k);

/* 0 or -EIO. */
int key_sign(const struct key *k, const uint8_t *data, size_t n, uint8_t *signature);
/* RFC 4034, 5.1; `zone` in lower case, `out` has KEY_DS bytes. */
int key_ds(const struct key *k, const struct name *zone, uint8_t *out);

/* libcrypto opens files when it is used first: to be called before that is forbidden. */
void key_warm_up(void);

#endif
