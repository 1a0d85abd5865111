/* Theory of operation
 *
 * An array of signatures, and an open-addressing table of places in it.  The digest is a hash already,
 * of data and of a key that nobody knows, so its first bytes are the place.  Nothing is taken out one by
 * one: whenever a build begins or ends, what may go is left out of the array.
 *
 *	begins	stay: what the last finished build uses, and what the one that was under way does
 *	ends	stay: what it uses
 *
 * so builds that are overtaken by the next again and again keep what they have done, and there are
 * never more signatures than three builds use.
 */
#include "dns/signatures.h"

struct signatures {
	struct signature *all;
	uint32_t n, room;
	uint32_t *places; /* 1 + which of `all`; 0: free */
	uint32_t n_places; /* a power of two, at least twice n; or 0 */
	uint32_t build, finished;
};

struct signatures *signatures_new(void) { return calloc(1, sizeof(struct signatures)); }

void signatures_free(struct signatures *c)
{
	if (!c)
		return;
	free(c->all);
	free(c->places);
	free(c);
}

/* The place where it is, or the free one where it belongs. */
static uint32_t *find(const struct signatures *c, const uint8_t *digest)
{
	uint32_t i;

	memcpy(&i, digest, sizeof(i));
	for (;; i++) {
		uint32_t *place = &c->places[i & (c->n_places - 1)];

		if (*place == 0 || memcmp(c->all[*place - 1].digest, digest, SIGNATURES_DIGEST) == 0)
			return place;
	}
}

/* The table anew, for room for this many. */
static bool index_all(struct signatures *c, uint32_t room)
{
	uint32_t n_places = 64, *places;

	while (n_places < 2 * room)
		n_places *= 2;
	places = calloc(n_places, sizeof(*places));
	if (!places)
		return false;
	free(c->places);
	c->places = places;
	c->n_places = n_places;
	for (uint32_t i = 0; i < c->n; i++)
		*find(c, c->all[i].digest) = i + 1;
	return true;
}

/* False: no memory; there is room for as many as before. */
static bool resize(struct signatures *c, uint32_t room)
{
	struct signature *all = index_all(c, room) ? reallocarray(c->all, room, sizeof(*all)) : NULL;

	if (!all)
		return false;
	c->all = all;
	c->room = room;
	return true;
}

/* Only those stay that a build uses which is `build`, or `since` or later. */
static void sweep(struct signatures *c, uint32_t build, uint32_t since)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->n; i++)
		if (c->all[i].build == build || c->all[i].build >= since)
			c->all[n++] = c->all[i];
	if (n == c->n)
		return;
	c->n = n;
	if (!resize(c, MAX(n, 32u))) { /* what the places lead to may have moved */
		c->n = 0;
		memset(c->places, 0, c->n_places * sizeof(*c->places));
	}
}

void signatures_begin(struct signatures *c)
{
	if (c->build > c->finished)
		sweep(c, c->finished, c->build);
	c->build++;
}

void signatures_end(struct signatures *c)
{
	c->finished = c->build;
	sweep(c, c->build, c->build);
}

const struct signature *signatures_find(struct signatures *c, const uint8_t *digest)
{
	uint32_t *place = c->n > 0 ? find(c, digest) : NULL;

	if (!place || *place == 0)
		return NULL;
	c->all[*place - 1].build = c->build;
	return &c->all[*place - 1];
}

void signatures_add(struct signatures *c, const struct signature *s)
{
	bool full = c->n == c->room || 2 * (c->n + 1) > c->n_places;
	uint32_t *place;

	if (c->n >= SIGNATURES_MAX || (full && !resize(c, MAX(2 * c->n, 64u))))
		return;
	place = find(c, s->digest);
	if (*place == 0)
		*place = ++c->n;
	c->all[*place - 1] = *s;
	c->all[*place - 1].build = c->build;
}

uint32_t signatures_count(const struct signatures *c) { return c->n; }
