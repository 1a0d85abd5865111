/* SipHash-1-3 (Aumasson and Bernstein, 2012) of whole words: a keyed hash whose collisions nobody
 * can make who does not know the key.
 */
#ifndef SYNPROXY_SIPHASH_H
#define SYNPROXY_SIPHASH_H

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

static inline void siphash_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	siphash_round(v);
	v[0] ^= word;
}

/* As that of the 8 * n bytes which these words are, least significant byte first. */
static inline uint64_t siphash(const struct siphash_key *key, const uint64_t *words, size_t n)
{
	uint64_t v[4] = {
		key->k[0] ^ 0x736f6d6570736575,
		key->k[1] ^ 0x646f72616e646f6d,
		key->k[0] ^ 0x6c7967656e657261,
		key->k[1] ^ 0x7465646279746573,
	};

	for (size_t i = 0; i < n; i++)
		siphash_word(v, words[i]);
	siphash_word(v, (uint64_t)(8 * n) << 56);
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		siphash_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
