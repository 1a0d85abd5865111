#include "launcher/mutes.h"

#include <sys/random.h>

#include "base/siphash.h"

enum {
	SETS = 512,
	WAYS = 8,
	BITS_V4 = 24,
	BITS_V6 = 56,
	MAPPED = 96, /* bits before an IPv4 address within ip_addr */
};

struct entry {
	struct mute_key key; /* its network; gen 0: a free place */
	uint32_t unused; /* in a row */
	uint64_t until_ms; /* muted */
	uint64_t used_ms; /* last heard of */
};

struct mutes {
	struct siphash_key hash;
	struct entry table[SETS][WAYS];
};

struct mutes *mutes_new(void)
{
	struct mutes *m = calloc(1, sizeof(*m));

	if (m && getrandom(&m->hash, sizeof(m->hash), 0) != sizeof(m->hash)) {
		free(m);
		return NULL;
	}
	return m;
}

void mutes_free(struct mutes *m) { free(m); }

static struct mute_key network_of(const struct mute_key *key)
{
	unsigned bytes = ip_is_v4(&key->client) ? (MAPPED + BITS_V4) / 8 : BITS_V6 / 8;
	struct mute_key net = *key;

	memset(net.client.b + bytes, 0, sizeof(net.client.b) - bytes);
	return net;
}

static bool is_same(const struct mute_key *a, const struct mute_key *b)
{
	return a->gen == b->gen && a->svc == b->svc && a->verified == b->verified && ip_equal(&a->client, &b->client);
}

static struct entry *set_of(struct mutes *m, const struct mute_key *net)
{
	uint64_t words[4] = { 0, 0, (uint64_t)net->gen << 32 | net->svc, net->verified };

	memcpy(words, net->client.b, sizeof(net->client.b));
	return m->table[siphash(&m->hash, words, ARRAY_SIZE(words)) % SETS];
}

static struct entry *find(struct mutes *m, const struct mute_key *net)
{
	struct entry *set = set_of(m, net);

	for (unsigned i = 0; i < WAYS; i++) {
		if (is_same(&set[i].key, net))
			return &set[i];
	}
	return NULL;
}

static struct entry *make(struct mutes *m, const struct mute_key *net)
{
	struct entry *set = set_of(m, net), *oldest = set;

	for (unsigned i = 1; i < WAYS; i++) {
		if (set[i].used_ms < oldest->used_ms)
			oldest = &set[i];
	}
	*oldest = (struct entry){ .key = *net };
	return oldest;
}

uint64_t mutes_unused(struct mutes *m, const struct mute_key *key, uint32_t after, uint64_t now_ms)
{
	struct mute_key net = network_of(key);
	struct entry *e = find(m, &net);
	uint64_t wait = MUTE_MIN_MS;

	if (after == 0)
		return 0;
	if (!e)
		e = make(m, &net);
	if (now_ms > MAX(e->used_ms, e->until_ms) + MUTE_MAX_MS)
		e->unused = 0; /* long ago */
	e->used_ms = now_ms;
	e->unused++;
	if (e->unused < after)
		return 0;
	for (uint32_t i = after; i < e->unused && wait < MUTE_MAX_MS; i++)
		wait *= 2;
	wait = MIN(wait, (uint64_t)MUTE_MAX_MS);
	e->until_ms = now_ms + wait;
	return wait;
}

void mutes_used(struct mutes *m, const struct mute_key *key)
{
	struct mute_key net = network_of(key);
	struct entry *e = find(m, &net);

	if (e)
		*e = (struct entry){ 0 };
}

uint64_t mutes_left_ms(const struct mutes *m, const struct mute_key *key, uint64_t now_ms)
{
	struct mute_key net = network_of(key);
	const struct entry *e = find((struct mutes *)m, &net);

	return e && e->until_ms > now_ms ? e->until_ms - now_ms : 0;
}

size_t mutes_of(const struct mutes *m, uint32_t svc, uint32_t gen, uint64_t now_ms, struct mute *out, size_t n)
{
	const struct entry *e = m->table[0], *end = e + (size_t)SETS * WAYS;
	size_t found = 0;

	for (; e < end; e++) {
		if (e->key.gen != gen || e->key.svc != svc || e->until_ms <= now_ms)
			continue;
		if (found++ < n)
			out[found - 1] = (struct mute){ .key = e->key, .unused = e->unused, .left_ms = e->until_ms - now_ms,
							.bits = ip_is_v4(&e->key.client) ? BITS_V4 : BITS_V6 };
	}
	return found;
}
