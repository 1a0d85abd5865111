#include "base/addr_list.h"

bool addr_list_add(struct addr_list *l, const struct ip_addr *a)
{
	struct ip_addr *v = l->n < UINT16_MAX ? realloc(l->v, (l->n + 1u) * sizeof(*v)) : NULL;

	if (!v)
		return false;
	l->v = v;
	l->v[l->n++] = *a;
	return true;
}

void addr_list_clear(struct addr_list *l)
{
	free(l->v);
	*l = (struct addr_list){ 0 };
}

bool addr_list_equal(const struct addr_list *a, const struct addr_list *b)
{
	return a->n == b->n && (a->n == 0 || memcmp(a->v, b->v, a->n * sizeof(*a->v)) == 0);
}
