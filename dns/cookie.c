#include "dns/cookie.h"

#include "base/siphash.h"

enum { VERSION = 1, TIME_AT = 12, HASH_AT = 16, HASHED = 16 };

/* ---- SipHash-2-4 of bytes ---- */

static uint64_t little64(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

uint64_t siphash24(const uint8_t key[16], const uint8_t *data, size_t n)
{
	struct siphash_key words = { { little64(key, 8), little64(key + 8, 8) } };
	uint64_t v[4];
	size_t i;

	siphash_begin(v, &words);
	for (i = 0; i + 8 <= n; i += 8)
		siphash_word(v, little64(data + i, 8), 2);
	siphash_word(v, (uint64_t)n << 56 | little64(data + i, n - i), 2);
	return siphash_end(v, 4);
}

/* ---- cookies ---- */

/* RFC 9018, 4.4: over the first 16 bytes and the address. */
static void hash_cookie(const uint8_t *secret, const uint8_t *cookie, const struct ip_addr *client, uint8_t out[8])
{
	bool v4 = ip_is_v4(client);
	uint8_t data[HASHED + 16];
	uint64_t hash;

	memcpy(data, cookie, HASHED);
	memcpy(data + HASHED, v4 ? client->b + 12 : client->b, v4 ? 4 : 16);
	hash = siphash24(secret, data, HASHED + (v4 ? 4 : 16));
	for (unsigned i = 0; i < 8; i++)
		out[i] = (uint8_t)(hash >> 8 * i);
}

/* In time that takes no account of where the difference is. */
static bool is_equal(const uint8_t *a, const uint8_t *b, size_t n)
{
	uint8_t difference = 0;

	for (size_t i = 0; i < n; i++)
		difference |= a[i] ^ b[i];
	return difference == 0;
}

/* Seconds since it was made, in serial number arithmetic; negative when that is yet to come. */
static int32_t age_s(const uint8_t *cookie, uint32_t now_s)
{
	uint32_t made_s = (uint32_t)wire_get16(cookie + TIME_AT) << 16 | wire_get16(cookie + TIME_AT + 2);

	return (int32_t)(now_s - made_s);
}

static bool is_made_with(const uint8_t *secret, const uint8_t *cookie, const struct ip_addr *client)
{
	uint8_t hash[8];

	hash_cookie(secret, cookie, client, hash);
	return is_equal(hash, cookie + HASH_AT, sizeof(hash));
}

static bool is_in_time(const uint8_t *cookie, size_t n, uint32_t now_s)
{
	return n == COOKIE_FULL && cookie[WIRE_COOKIE_CLIENT] == VERSION && age_s(cookie, now_s) <= COOKIE_OLD_S &&
	       age_s(cookie, now_s) >= -COOKIE_AHEAD_S;
}

bool cookie_is_good(const struct cookies *c, const uint8_t *cookie, size_t n, const struct ip_addr *client,
		    uint32_t now_s)
{
	bool good = false;

	if (!is_in_time(cookie, n, now_s))
		return false;
	for (unsigned i = 0; i < c->n; i++)
		good |= is_made_with(c->secrets[i], cookie, client);
	return good;
}

void cookie_answer(const struct cookies *c, const uint8_t *cookie, size_t n, const struct ip_addr *client,
		   uint32_t now_s, uint8_t *out)
{
	memcpy(out, cookie, MIN(n, (size_t)COOKIE_FULL));
	if (is_in_time(cookie, n, now_s) && age_s(cookie, now_s) < COOKIE_RENEW_S &&
	    is_made_with(c->secrets[0], cookie, client))
		return;
	out[WIRE_COOKIE_CLIENT] = VERSION;
	memset(out + WIRE_COOKIE_CLIENT + 1, 0, 3);
	wire_put32(out + TIME_AT, now_s);
	hash_cookie(c->secrets[0], out, client, out + HASH_AT);
}
