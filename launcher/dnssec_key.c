#include "launcher/dnssec_key.h"

#include <fcntl.h>
#include <ldns/ldns.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <strings.h>
#include <sys/mman.h>

enum { SECRET_BYTES = 32, SECRET_TEXT_MAX = 48 }; /* of both algorithms */

static const struct {
	uint8_t number;
	const char *name, *bind_name;
} algorithms[] = {
	{ DNSSEC_ECDSAP256SHA256, "ecdsap256sha256", "ECDSAP256SHA256" },
	{ DNSSEC_ED25519, "ed25519", "ED25519" },
};

const char *dnssec_algorithm_name(unsigned algorithm)
{
	for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
		if (algorithms[i].number == algorithm)
			return algorithms[i].name;
	return "?";
}

int dnssec_algorithm_find(const char *name, uint8_t *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++) {
		if (strcasecmp(algorithms[i].name, name) != 0)
			continue;
		*out = algorithms[i].number;
		return 0;
	}
	return -EINVAL;
}

void dnssec_key_wipe(struct dnssec_key *k) { explicit_bzero(k, sizeof(*k)); }

/* ---- making ---- */

static bool make_ecdsa(uint8_t out[SECRET_BYTES])
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	BIGNUM *secret = NULL;
	bool ok = pkey && EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_PRIV_KEY, &secret) == 1 &&
		  BN_bn2binpad(secret, out, SECRET_BYTES) == SECRET_BYTES;

	BN_clear_free(secret);
	EVP_PKEY_free(pkey);
	return ok;
}

static bool make_ed25519(uint8_t out[SECRET_BYTES])
{
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	size_t n = SECRET_BYTES;
	bool ok = pkey && EVP_PKEY_get_raw_private_key(pkey, out, &n) == 1 && n == SECRET_BYTES;

	EVP_PKEY_free(pkey);
	return ok;
}

static const char *bind_name(uint8_t algorithm)
{
	return algorithm == DNSSEC_ED25519 ? algorithms[1].bind_name : algorithms[0].bind_name;
}

int dnssec_key_make(const char *zone, uint8_t algorithm, struct dnssec_key *out, struct err *e)
{
	uint8_t secret[SECRET_BYTES];
	char text[DNSSEC_KEY_TEXT_MAX], base64[SECRET_TEXT_MAX];
	int r;

	if (!(algorithm == DNSSEC_ED25519 ? make_ed25519(secret) : make_ecdsa(secret)))
		return err_set(e, -EIO, "libcrypto cannot make a key of algorithm %s",
			       dnssec_algorithm_name(algorithm));
	EVP_EncodeBlock((unsigned char *)base64, secret, SECRET_BYTES);
	snprintf(text, sizeof(text), "Private-key-format: v1.3\nAlgorithm: %u (%s)\nPrivateKey: %s\n", algorithm,
		 bind_name(algorithm), base64);
	r = dnssec_key_parse(zone, "the new key", text, out, e);
	explicit_bzero(secret, sizeof(secret));
	explicit_bzero(text, sizeof(text));
	explicit_bzero(base64, sizeof(base64));
	return r;
}

/* ---- reading ---- */

static ldns_key *read_key(const char *zone, const char *text)
{
	cleanup_fclose FILE *f = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	ldns_rdf *owner = ldns_dname_new_frm_str(zone);
	ldns_key *k = NULL;

	if (!f || !owner || ldns_key_new_frm_fp(&k, f) != LDNS_STATUS_OK) {
		ldns_rdf_deep_free(owner);
		return NULL;
	}
	ldns_dname2canonical(owner);
	ldns_key_set_pubkey_owner(k, owner);
	ldns_key_set_flags(k, DNSSEC_KEY_FLAGS);
	return k;
}

/* The last field of a record as text: the public key, the digest. */
static bool last_field(const ldns_rr *rr, char *out, size_t size)
{
	size_t n = rr ? ldns_rr_rd_count(rr) : 0;
	char *text = n > 0 ? ldns_rdf2str(ldns_rr_rdf(rr, n - 1)) : NULL;
	bool ok = text && *text && str_copy_n(out, size, text);

	free(text);
	return ok;
}

static bool digest(const ldns_rr *dnskey, ldns_hash hash, char *out)
{
	ldns_rr *ds = ldns_key_rr2ds(dnskey, hash);
	bool ok = last_field(ds, out, DNSSEC_DIGEST_TEXT_MAX);

	ldns_rr_free(ds);
	for (; ok && *out; out++)
		*out = (char)(*out >= 'a' && *out <= 'f' ? *out - 32 : *out);
	return ok;
}

/* What follows from the secret. */
static bool describe(const ldns_key *key, struct dnssec_key *out)
{
	ldns_rr *dnskey = ldns_key2rr(key);
	bool ok = dnskey && ldns_rr_rd_count(dnskey) == 4 &&
		  last_field(dnskey, out->public_text, sizeof(out->public_text)) &&
		  digest(dnskey, LDNS_SHA256, out->sha256) && digest(dnskey, LDNS_SHA384, out->sha384);

	if (ok)
		out->tag = ldns_calc_keytag(dnskey);
	ldns_rr_free(dnskey);
	return ok;
}

int dnssec_key_parse(const char *zone, const char *path, const char *text, struct dnssec_key *out, struct err *e)
{
	struct dnssec_key fresh = { 0 };
	ldns_key *key = str_copy(fresh.text, text) && *text ? read_key(zone, text) : NULL;
	bool ok = false;

	if (key) {
		fresh.algorithm = (uint8_t)ldns_key_algorithm(key);
		ok = strcmp(dnssec_algorithm_name(fresh.algorithm), "?") != 0 && describe(key, &fresh);
		ldns_key_deep_free(key);
	}
	if (!ok)
		err_set(e, -EINVAL, "%.300s holds no key of an algorithm that is used here", path);
	else
		*out = fresh;
	dnssec_key_wipe(&fresh);
	return ok ? 0 : -EINVAL;
}

void dnssec_key_public(const struct dnssec_key *k, const char *zone, struct buf *out)
{
	buf_addf(out, "%s. IN DNSKEY %u 3 %u %s ; key tag %u\n", zone, DNSSEC_KEY_FLAGS, k->algorithm, k->public_text,
		 k->tag);
}

int dnssec_key_fd(const struct dnssec_key *k)
{
	size_t n = strlen(k->text);
	int fd = memfd_create("dnssec-key", MFD_CLOEXEC | MFD_ALLOW_SEALING), r;

	if (fd < 0)
		return -errno;
	if (write(fd, k->text, n) == (ssize_t)n && lseek(fd, 0, SEEK_SET) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0)
		return fd;
	r = errno ? -errno : -EIO;
	close(fd);
	return r;
}
