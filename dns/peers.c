#include "dns/peers.h"

#include <stdlib.h>

#include "base/log.h"

/* Of one zone: the secondaries first, then the others. */
struct zone_peers {
	struct peer *v;
	unsigned n, n_secondaries;
};

struct peers {
	struct tsig_key *keys;
	uint32_t n_keys;
	struct zone_peers *zones;
	uint32_t n_zones;
};

struct peers *peers_new(void) { return calloc(1, sizeof(struct peers)); }

void peers_free(struct peers *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < p->n_zones; i++)
		free(p->zones[i].v);
	if (p->keys)
		explicit_bzero(p->keys, p->n_keys * sizeof(*p->keys));
	free(p->keys);
	free(p->zones);
	free(p);
}

/* ---- filling ---- */

static uint32_t find_named(const struct peers *p, const struct name *name)
{
	for (uint32_t i = 0; i < p->n_keys; i++)
		if (p->keys[i].name.n == name->n && memcmp(p->keys[i].name.b, name->b, name->n) == 0)
			return i;
	return PEERS_NO_KEY;
}

int peers_add_key(struct peers *p, const struct msg_dns_tsig_key *m)
{
	struct tsig_key key, *more;

	if (!tsig_key_of(m, &key) || p->n_keys == PEERS_KEYS_MAX || find_named(p, &key.name) != PEERS_NO_KEY) {
		log_warn("TSIG key %s left out: the launcher's message makes no sense", m->name);
		return 0;
	}
	more = calloc(p->n_keys + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	if (p->keys) {
		memcpy(more, p->keys, p->n_keys * sizeof(*more));
		explicit_bzero(p->keys, p->n_keys * sizeof(*more));
	}
	free(p->keys);
	p->keys = more;
	p->keys[p->n_keys++] = key;
	explicit_bzero(&key, sizeof(key));
	return 0;
}

static struct zone_peers *zone_of(struct peers *p, uint32_t zone)
{
	struct zone_peers *more;

	if (zone < p->n_zones)
		return &p->zones[zone];
	more = reallocarray(p->zones, zone + 1, sizeof(*more));
	if (!more)
		return NULL;
	memset(more + p->n_zones, 0, (zone + 1 - p->n_zones) * sizeof(*more));
	p->zones = more;
	p->n_zones = zone + 1;
	return &p->zones[zone];
}

/* False: it names a key that is not there, and is left out. */
static bool take_key(const struct peers *p, const char *zone, const char *key, uint32_t *out)
{
	struct name name;

	*out = PEERS_NO_KEY;
	if (!key[0])
		return true;
	if (name_from_text(key, &name))
		*out = find_named(p, &name);
	if (*out == PEERS_NO_KEY)
		log_warn("zone %s: the TSIG key %s cannot be used, so nobody gets the zone by it", zone, key);
	return *out != PEERS_NO_KEY;
}

static int add(struct peers *p, uint32_t zone, const struct peer *peer)
{
	struct zone_peers *z = zone_of(p, zone);
	struct peer *more = z ? reallocarray(z->v, z->n + 1, sizeof(*more)) : NULL;

	if (!more)
		return -ENOMEM;
	z->v = more;
	more[z->n] = *peer;
	if (peer->port) {
		more[z->n] = more[z->n_secondaries];
		more[z->n_secondaries++] = *peer;
	}
	z->n++;
	return 0;
}

static bool is_full(const struct peers *p, uint32_t zone)
{
	return zone < p->n_zones && p->zones[zone].n >= 2 * PEERS_PER_ZONE_MAX;
}

int peers_add_secondary(struct peers *p, uint32_t zone, const struct msg_dns_secondary *m)
{
	struct peer peer = { .from = { .addr = m->addr, .len = 128 }, .port = m->port };

	if (m->port == 0 || is_full(p, zone)) {
		log_warn("zone %s: a secondary left out: the launcher's message makes no sense", m->zone);
		return 0;
	}
	return take_key(p, m->zone, m->key, &peer.key) ? add(p, zone, &peer) : 0;
}

int peers_add_transfer(struct peers *p, uint32_t zone, const struct msg_dns_transfer *m)
{
	struct peer peer = { .from = m->prefix };

	if (is_full(p, zone)) {
		log_warn("zone %s: who may have it is left out: the launcher's message makes no sense", m->zone);
		return 0;
	}
	return take_key(p, m->zone, m->key, &peer.key) ? add(p, zone, &peer) : 0;
}

/* ---- asking ---- */

const struct tsig_key *peers_key(const struct peers *p, uint32_t key)
{
	return key < p->n_keys ? &p->keys[key] : NULL;
}

uint32_t peers_find_key(const struct peers *p, const struct tsig_record *record)
{
	for (uint32_t i = 0; i < p->n_keys; i++)
		if (tsig_is_key(&p->keys[i], record))
			return i;
	return PEERS_NO_KEY;
}

bool peers_may_transfer(const struct peers *p, uint32_t zone, const struct ip_addr *client, uint32_t key)
{
	for (unsigned i = 0; zone < p->n_zones && i < p->zones[zone].n; i++) {
		const struct peer *peer = &p->zones[zone].v[i];

		if ((peer->key == PEERS_NO_KEY || peer->key == key) && prefix_contains(&peer->from, client))
			return true;
	}
	return false;
}

const struct peer *peers_secondary(const struct peers *p, uint32_t zone, unsigned nth)
{
	return zone < p->n_zones && nth < p->zones[zone].n_secondaries ? &p->zones[zone].v[nth] : NULL;
}
