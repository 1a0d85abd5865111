#include "config/unique.h"

#include <ctype.h>

void unique_free(struct unique *u)
{
	for (size_t i = 0; i < u->n; i++)
		free(u->v[i].key);
	free(u->v);
}

void unique_add_shared(struct unique *u, const char *key, const struct spot *where, bool shared)
{
	struct unique_entry *more;

	if (!key[0])
		return;
	if (u->n == u->room) {
		more = realloc(u->v, MAX(u->room * 2, 64) * sizeof(*more));
		if (!more)
			return mistake_out_of_memory(u->m);
		u->v = more;
		u->room = MAX(u->room * 2, 64);
	}
	u->v[u->n] = (struct unique_entry){
		.key = read_copy(u->m, key), .order = u->n, .shared = shared, .where = *where
	};
	if (u->v[u->n].key)
		u->n++;
}

void unique_add(struct unique *u, const char *key, const struct spot *where)
{
	unique_add_shared(u, key, where, false);
}

void unique_add_host(struct unique *u, const char *name, const struct spot *where)
{
	char lower[MSG_DOMAIN_NAME_MAX];

	str_copy(lower, name);
	for (char *c = lower; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	unique_add(u, lower, where);
}

void unique_add_ip(struct unique *u, const struct ip_addr *a, const struct spot *where)
{
	char text[ADDR_TEXT_MAX];

	if (!ip_is_zero(a))
		unique_add(u, ip_format(a, text), where);
}

static int by_key(const void *a, const void *b)
{
	const struct unique_entry *x = a, *y = b;
	int c = strcmp(x->key, y->key);

	return c ? c : (x->order > y->order) - (x->order < y->order);
}

void unique_check(struct unique *u)
{
	const struct unique_entry *first = u->v;

	if (u->n == 0)
		return;
	qsort(u->v, u->n, sizeof(*u->v), by_key);
	for (size_t i = 1; i < u->n; i++) {
		const struct unique_entry *e = &u->v[i];

		if (strcmp(first->key, e->key) != 0)
			first = e;
		else if (!first->shared || !e->shared)
			mistake(u->m, &e->where, "\"%.255s\" is used already by %s, line %u", e->key,
			        first->where.path, first->where.at.line);
	}
}
