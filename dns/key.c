#include "dns/key.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>

enum { FILE_MAX = 4096, SECRET = 32, POINT = 65 };

/* ---- the file ---- */

/* The value of the line that begins with `name`, without blanks around it.  False: there is none. */
static bool find_value(const char *text, const char *name, char *out, size_t size)
{
	size_t name_n = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		size_t n;

		line += *line == '\n';
		if (strncmp(line, name, name_n) != 0 || line[name_n] != ':')
			continue;
		line += name_n + 1;
		line += strspn(line, " \t");
		n = strcspn(line, " \t\r\n");
		if (n == 0 || n >= size)
			return false;
		memcpy(out, line, n);
		out[n] = '\0';
		return true;
	}
	return false;
}

/* The secret, with zeros before it if it was written shorter. */
static bool decode_secret(const char *text, uint8_t *secret)
{
	size_t n = strlen(text), padding = 0;
	uint8_t b[64];
	int got;
	bool good;

	memset(secret, 0, SECRET);
	while (padding < n && padding < 2 && text[n - 1 - padding] == '=')
		padding++;
	got = n <= 4 * sizeof(b) / 3 ? EVP_DecodeBlock(b, (const unsigned char *)text, (int)n) : -1;
	good = got > (int)padding && (size_t)got - padding <= SECRET;
	if (good) {
		n = (size_t)got - padding;
		for (size_t i = 0; i < n; i++)
			secret[SECRET - n + i] = b[i];
	}
	OPENSSL_cleanse(b, sizeof(b));
	return good;
}

/* "", or what is wrong. */
static const char *read_secret(const char *text, unsigned algorithm, uint8_t *secret)
{
	char value[128];
	const char *wrong = "";

	if (!find_value(text, "Private-key-format", value, sizeof(value)) || strncmp(value, "v1.", 3) != 0)
		wrong = "is no private key in the format v1.3";
	else if (!find_value(text, "Algorithm", value, sizeof(value)) || strtoul(value, NULL, 10) != algorithm)
		wrong = "is a key of another algorithm than it should be";
	else if (!find_value(text, "PrivateKey", value, sizeof(value)) || !decode_secret(value, secret))
		wrong = "has no private key that can be read";
	OPENSSL_cleanse(value, sizeof(value));
	return wrong;
}

static int read_text(int fd, char *text, size_t size)
{
	size_t n = 0;
	ssize_t got;

	do {
		got = read(fd, text + n, size - 1 - n);
		if (got > 0)
			n += (size_t)got;
	} while (got > 0 || (got < 0 && errno == EINTR));
	text[n] = '\0';
	return got < 0 ? -errno : 0;
}

/* ---- the pair ---- */

/* The public point of a secret number. */
static bool point_of(const EC_GROUP *group, const BIGNUM *secret, uint8_t *out)
{
	EC_POINT *point = EC_POINT_new(group);
	bool good = point && EC_POINT_mul(group, point, secret, NULL, NULL, NULL) &&
		    EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, out, POINT, NULL) == POINT;

	EC_POINT_free(point);
	return good;
}

static EVP_PKEY *pair_of(const BIGNUM *secret, const uint8_t *point)
{
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM *params = NULL;
	EVP_PKEY *pair = NULL;

	if (builder && OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, SN_X9_62_prime256v1, 0) &&
	    OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, POINT) &&
	    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, secret))
		params = OSSL_PARAM_BLD_to_param(builder);
	if (params && ctx && EVP_PKEY_fromdata_init(ctx) > 0 &&
	    EVP_PKEY_fromdata(ctx, &pair, EVP_PKEY_KEYPAIR, params) <= 0)
		pair = NULL;
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(builder);
	EVP_PKEY_CTX_free(ctx);
	return pair;
}

static EVP_PKEY *new_p256(const uint8_t *secret, uint8_t *public_part)
{
	EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	BIGNUM *number = BN_secure_new();
	EVP_PKEY *pair = NULL;
	uint8_t point[POINT];

	if (group && number && BN_bin2bn(secret, SECRET, number) && !BN_is_zero(number) &&
	    BN_cmp(number, EC_GROUP_get0_order(group)) < 0 && point_of(group, number, point)) {
		pair = pair_of(number, point);
		memcpy(public_part, point + 1, POINT - 1); /* RFC 6605, 4 */
	}
	BN_clear_free(number);
	EC_GROUP_free(group);
	return pair;
}

static EVP_PKEY *new_ed25519(const uint8_t *secret, uint8_t *public_part)
{
	EVP_PKEY *pair = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, SECRET);
	size_t n = SECRET;

	if (pair && !EVP_PKEY_get_raw_public_key(pair, public_part, &n)) {
		EVP_PKEY_free(pair);
		pair = NULL;
	}
	return pair;
}

/* RFC 4034, appendix B. */
static uint16_t tag_of(const uint8_t *dnskey, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? dnskey[i] : (uint32_t)dnskey[i] << 8;
	return (uint16_t)(sum + (sum >> 16));
}

static bool make_pair(struct key *k, const uint8_t *secret)
{
	bool p256 = k->algorithm == KEY_P256;

	k->pair = p256 ? new_p256(secret, k->dnskey + 4) : new_ed25519(secret, k->dnskey + 4);
	k->dnskey_n = p256 ? 4 + POINT - 1 : 4 + SECRET;
	return k->pair != NULL;
}

int key_read(const struct msg_dns_key *m, int fd, struct key *out, struct err *e)
{
	cleanup_close int taken = fd;
	struct key k = { .algorithm = m->algorithm, .publish = m->publish, .sign = m->sign, .sign_keys = m->sign_keys,
			 .cds = m->cds };
	char text[FILE_MAX];
	uint8_t secret[SECRET];
	const char *wrong = "";
	int r;

	if (m->algorithm != KEY_P256 && m->algorithm != KEY_ED25519)
		return err_set(e, -EINVAL, "key %u of zone %.200s has algorithm %u, which is not supported: 13 and 15 are",
			       m->tag, m->zone, m->algorithm);
	r = read_text(taken, text, sizeof(text));
	if (r == 0)
		wrong = read_secret(text, m->algorithm, secret);
	OPENSSL_cleanse(text, sizeof(text));
	if (r < 0)
		return err_set_errno(e, r, "cannot read key %u of zone %.200s", m->tag, m->zone);
	wire_put16(k.dnskey, m->flags);
	k.dnskey[2] = 3; /* RFC 4034, 2.1.2 */
	k.dnskey[3] = m->algorithm;
	if (!*wrong && !make_pair(&k, secret))
		wrong = "has a private key that is none of its algorithm";
	OPENSSL_cleanse(secret, sizeof(secret));
	k.tag = tag_of(k.dnskey, k.dnskey_n);
	if (!*wrong && k.tag != m->tag)
		wrong = "is another key: its tag is not this";
	if (*wrong) {
		key_clear(&k);
		return err_set(e, -EINVAL, "the file of key %u of zone %.200s %s", m->tag, m->zone, wrong);
	}
	*out = k;
	return 0;
}

void key_clear(struct key *k)
{
	EVP_PKEY_free(k->pair); /* which wipes what is secret */
	OPENSSL_cleanse(k, sizeof(*k));
}

/* ---- signing ---- */

/* RFC 6605, 4: the two numbers, not what libcrypto makes of them. */
static bool flatten(const uint8_t *der, size_t n, uint8_t *signature)
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
	bool good = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), signature, SECRET) == SECRET &&
		    BN_bn2binpad(ECDSA_SIG_get0_s(sig), signature + SECRET, SECRET) == SECRET;

	ECDSA_SIG_free(sig);
	return good;
}

int key_sign(const struct key *k, const uint8_t *data, size_t n, uint8_t *signature)
{
	bool p256 = k->algorithm == KEY_P256, good;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t b[128];
	size_t b_n = sizeof(b);

	good = ctx && EVP_DigestSignInit(ctx, NULL, p256 ? EVP_sha256() : NULL, NULL, k->pair) > 0 &&
	       EVP_DigestSign(ctx, b, &b_n, data, n) > 0;
	EVP_MD_CTX_free(ctx);
	if (good && p256)
		good = flatten(b, b_n, signature);
	else if (good)
		memcpy(signature, b, KEY_SIGNATURE);
	return good ? 0 : -EIO;
}

int key_ds(const struct key *k, const struct name *zone, uint8_t *out)
{
	uint8_t b[WIRE_NAME_MAX + KEY_DNSKEY_MAX];

	memcpy(b, zone->b, zone->n);
	memcpy(b + zone->n, k->dnskey, k->dnskey_n);
	wire_put16(out, k->tag);
	out[2] = k->algorithm;
	out[3] = 2; /* SHA-256 */
	return EVP_Digest(b, (size_t)zone->n + k->dnskey_n, out + 4, NULL, EVP_sha256(), NULL) ? 0 : -EIO;
}

void key_warm_up(void)
{
	static const uint8_t secret[SECRET] = { [SECRET - 1] = 1 }; /* of nobody */
	uint8_t signature[KEY_SIGNATURE];

	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	for (unsigned i = 0; i < 2; i++) {
		struct key k = { .algorithm = i ? KEY_ED25519 : KEY_P256 };

		if (make_pair(&k, secret))
			key_sign(&k, secret, sizeof(secret), signature);
		key_clear(&k);
	}
}
