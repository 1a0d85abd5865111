#include "dns/changing.h"

#include "dns/name.h"

enum { CHAINS = 256, NOBODY = UINT16_MAX };

struct entry {
	uint32_t hash;
	uint16_t next; /* of its chain, or NOBODY */
	uint8_t n;
	uint8_t name[WIRE_NAME_MAX];
};

struct changing {
	uint16_t chains[CHAINS];
	size_t n;
	struct entry v[]; /* in the order in which they came */
};

static void put(struct changing *c, const uint8_t *name, uint8_t n, uint32_t hash)
{
	struct entry *e = &c->v[c->n];
	uint16_t *chain = &c->chains[hash % CHAINS];

	e->hash = hash;
	e->n = n;
	memcpy(e->name, name, n);
	e->next = *chain;
	*chain = (uint16_t)c->n++;
}

static void put_name(struct changing *c, const struct name *name)
{
	put(c, name->b, name->n, name_hash(name->b, name->labels));
}

int changing_new(const struct changing *old, size_t drop, const struct msg_dns_changing *m, struct changing **out)
{
	size_t kept = changing_count(old) - MIN(drop, changing_count(old)), n = kept;
	struct changing *c;
	struct name name;

	if (m)
		n += (size_t)m->n_names + m->n_addrs;
	if (n > CHANGING_MAX)
		return -ENOSPC;
	if (n == 0) {
		*out = NULL;
		return 0;
	}
	c = malloc(sizeof(*c) + n * sizeof(c->v[0]));
	if (!c)
		return -ENOMEM;
	c->n = 0;
	memset(c->chains, 0xff, sizeof(c->chains));
	for (size_t i = drop; i < drop + kept; i++)
		put(c, old->v[i].name, old->v[i].n, old->v[i].hash);
	for (unsigned i = 0; m && i < m->n_names; i++) {
		if (name_from_text(m->names[i].text, &name))
			put_name(c, &name);
	}
	for (unsigned i = 0; m && i < m->n_addrs; i++) {
		name_of_address(&m->addrs[i], &name);
		put_name(c, &name);
	}
	*out = c;
	return 0;
}

void changing_free(struct changing *c) { free(c); }

size_t changing_count(const struct changing *c) { return c ? c->n : 0; }

bool changing_has(const struct changing *c, const struct wire_query *q)
{
	uint32_t hash;

	if (!c || q->name_n == 0)
		return false;
	hash = name_hash(q->name, q->labels);
	for (uint16_t i = c->chains[hash % CHAINS]; i != NOBODY; i = c->v[i].next) {
		if (c->v[i].hash == hash && c->v[i].n == q->name_n && memcmp(c->v[i].name, q->name, q->name_n) == 0)
			return true;
	}
	return false;
}
