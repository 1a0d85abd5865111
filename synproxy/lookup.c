#include "synproxy/lookup.h"

#include <assert.h>
#include <sys/random.h>

#include "base/siphash.h"

/* An address, or a MAC behind a byte that no service's address begins with. */
struct key {
	uint64_t words[2];
};

struct entry {
	struct key key;
	int whose;
};

struct lookup {
	struct siphash_key secret;
	size_t n, most;
	size_t mask;
	struct entry entries[];
};

struct lookup *lookup_new(size_t most)
{
	size_t room = 16;
	struct lookup *l;

	while (room < 2 * most)
		room *= 2;
	l = malloc(sizeof(*l) + room * sizeof(l->entries[0]));
	if (!l)
		return NULL;
	l->n = 0;
	l->most = most;
	l->mask = room - 1;
	/* too early in the host's boot for random numbers: then the key is where the table lies */
	if (getrandom(&l->secret, sizeof(l->secret), GRND_NONBLOCK) < 0)
		l->secret = (struct siphash_key){ { (uintptr_t)l, room } };
	for (size_t i = 0; i < room; i++)
		l->entries[i].whose = LOOKUP_NOBODY;
	return l;
}

bool lookup_has_room(const struct lookup *l, size_t n) { return l->n + n < l->most; }

void lookup_free(struct lookup *l) { free(l); }

static struct key ip_key(const struct ip_addr *a)
{
	struct key k;

	memcpy(&k, a, sizeof(k));
	return k;
}

static struct key mac_key(const struct mac_addr *m)
{
	struct key k = { { 0xff, 0 } }; /* (on a big-endian host: of a reserved prefix, RFC 4291, 2.4) */

	memcpy(&k.words[1], m, sizeof(*m));
	return k;
}

/* Where it is, or would be: there is always an empty entry. */
static size_t place_of(const struct lookup *l, const struct key *k)
{
	size_t i = siphash(&l->secret, k->words, 2) & l->mask;

	while (l->entries[i].whose != LOOKUP_NOBODY && memcmp(&l->entries[i].key, k, sizeof(*k)) != 0)
		i = (i + 1) & l->mask;
	return i;
}

static void add(struct lookup *l, const struct key *k, int whose)
{
	size_t i = place_of(l, k);

	assert(l->n < l->most && whose >= 0);
	l->n += l->entries[i].whose == LOOKUP_NOBODY;
	l->entries[i] = (struct entry){ *k, whose };
}

void lookup_add_ip(struct lookup *l, const struct ip_addr *a, int whose)
{
	struct key k = ip_key(a);

	add(l, &k, whose);
}

void lookup_add_mac(struct lookup *l, const struct mac_addr *m, int whose)
{
	struct key k = mac_key(m);

	add(l, &k, whose);
}

int lookup_ip(const struct lookup *l, const struct ip_addr *a)
{
	struct key k = ip_key(a);

	return l ? l->entries[place_of(l, &k)].whose : LOOKUP_NOBODY;
}

int lookup_mac(const struct lookup *l, const struct mac_addr *m)
{
	struct key k = mac_key(m);

	return l ? l->entries[place_of(l, &k)].whose : LOOKUP_NOBODY;
}
