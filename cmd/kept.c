#include "cmd/kept.h"

static unsigned find(const struct kept *k, const char *name)
{
	unsigned i = 0;

	while (i < k->n && strcmp(k->v[i].name, name) != 0)
		i++;
	return i;
}

static void drop(struct kept *k, unsigned i)
{
	fd_close(&k->v[i].fd);
	k->v[i] = k->v[--k->n];
}

int kept_put(struct kept *k, const char *name, int fd)
{
	unsigned i = find(k, name);

	if (!name[0])
		return -EINVAL;
	if (i == ARRAY_SIZE(k->v) && fd >= 0)
		return -ENOSPC;
	if (i < k->n)
		drop(k, i);
	if (fd < 0)
		return 0;
	str_copy(k->v[k->n].name, name);
	k->v[k->n++].fd = fd;
	return 0;
}

void kept_clear(struct kept *k)
{
	while (k->n > 0)
		drop(k, k->n - 1);
}
