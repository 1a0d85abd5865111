/* SipHash (Aumasson and Bernstein, 2012): a keyed hash whose collisions nobody can make who does not
 * know the key.  Tables of ours take SipHash-1-3 of whole words; SipHash-2-4 is what DNS cookies are
 * made of (RFC 9018, 4.4).
 */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include "base/util.h"

struct siphash_key {
	uint64_t k[2];
};

static inline uint64_t siphash_turn(uint64_t x, unsigned by) { return x << by | x >> (64 - by); }

static inline void siphash_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = siphash_turn(v[1], 13) ^ v[0];
	v[3] = siphash_turn(v[3], 16) ^ v[2];
	v[0] = siphash_turn(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = siphash_turn(v[1], 17) ^ v[2];
	v[3] = siphash_turn(v[3], 21) ^ v[0];
	v[2] = siphash_turn(v[2], 32);
}

static inline void siphash_rounds(uint64_t v[4], unsigned n)
{
	while (n-- > 0)
		siphash_round(v);
}

static inline void siphash_word(uint64_t v[4], uint64_t word, unsigned rounds)
{
	v[3] ^= word;
	siphash_rounds(v, rounds);
	v[0] ^= word;
}

static inline void siphash_begin(uint64_t v[4], const struct siphash_key *key)
{
	v[0] = key->k[0] ^ 0x736f6d6570736575;
	v[1] = key->k[1] ^ 0x646f72616e646f6d;
	v[2] = key->k[0] ^ 0x6c7967656e657261;
	v[3] = key->k[1] ^ 0x7465646279746573;
}

static inline uint64_t siphash_end(uint64_t v[4], unsigned rounds)
{
	v[2] ^= 0xff;
	siphash_rounds(v, rounds);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* SipHash-1-3 of the 8 * n bytes which these words are, least significant byte first. */
static inline uint64_t siphash(const struct siphash_key *key, const uint64_t *words, size_t n)
{
	uint64_t v[4];

	siphash_begin(v, key);
	for (size_t i = 0; i < n; i++)
		siphash_word(v, words[i], 1);
	siphash_word(v, (uint64_t)(8 * n) << 56, 1);
	return siphash_end(v, 3);
}

#endif
