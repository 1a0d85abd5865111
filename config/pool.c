#include "config/pool.h"

static int compare(const struct ip_addr *a, const struct ip_addr *b) { return memcmp(a, b, sizeof(*a)); }

static bool is_within(const struct ip_range *r, const struct ip_addr *a)
{
	return compare(&r->first, a) <= 0 && compare(a, &r->last) <= 0;
}

static bool next_address(struct ip_addr *a)
{
	for (unsigned i = sizeof(a->b); i-- > 0;)
		if (++a->b[i])
			return true;
	return false;
}

/* Not the network's own address, its first one, nor, of IPv4, its last. */
static bool is_usable(const struct ip_range *r, const struct ip_addr *a)
{
	bool zeros = true, ones = true;

	if (r->len > 126)
		return true;
	for (unsigned bit = r->len; bit < 127; bit++) {
		bool one = a->b[bit / 8] & (0x80u >> bit % 8);

		zeros = zeros && !one;
		ones = ones && one;
	}
	return !zeros && !(ones && a->b[15] & 1 && ip_is_v4(a));
}

bool pools_have(const struct range_list *pools, bool v4)
{
	for (size_t i = 0; i < pools->n; i++)
		if (pools->v[i].len > 0 && ip_is_v4(&pools->v[i].first) == v4)
			return true;
	return false;
}

bool pools_contain(const struct range_list *pools, const struct ip_addr *a, uint8_t *len)
{
	for (size_t i = 0; i < pools->n; i++) {
		const struct ip_range *r = &pools->v[i];

		if (!is_within(r, a) || !is_usable(r, a))
			continue;
		*len = r->len;
		return true;
	}
	return false;
}

/* One way through a range, or the rest of it. */
struct search {
	pool_taken_fn *taken;
	void *arg;
	unsigned looks;
	struct ip_prefix *out;
};

static bool look_through(struct search *s, const struct ip_range *r, const struct ip_addr *from,
			 const struct ip_addr *to)
{
	struct ip_addr a = *from;

	for (; compare(&a, to) <= 0 && s->looks < POOL_LOOKS_MAX; s->looks++) {
		if (is_usable(r, &a) && !s->taken(s->arg, &a)) {
			*s->out = (struct ip_prefix){ a, r->len };
			return true;
		}
		if (!next_address(&a))
			break;
	}
	return false;
}

/* Where the circle begins: the range that `after` lies in, or n. */
static size_t range_of(const struct range_list *pools, const struct ip_addr *after)
{
	size_t i = 0;

	while (i < pools->n && !is_within(&pools->v[i], after))
		i++;
	return i;
}

bool pools_next(const struct range_list *pools, bool v4, const struct ip_addr *after, pool_taken_fn *taken, void *arg,
		struct ip_prefix *out)
{
	struct search s = { taken, arg, 0, out };
	size_t begin = range_of(pools, after);
	struct ip_addr from = *after;

	if (begin < pools->n && ip_is_v4(after) == v4 && next_address(&from) &&
	    look_through(&s, &pools->v[begin], &from, &pools->v[begin].last))
		return true;
	for (size_t i = 1; i <= pools->n; i++) {
		const struct ip_range *r = &pools->v[begin < pools->n ? (begin + i) % pools->n : i - 1];

		if (r->len > 0 && ip_is_v4(&r->first) == v4 && look_through(&s, r, &r->first, &r->last))
			return true;
	}
	return false;
}

const struct bridge_conf *pools_bridge(const struct conf *c, const struct service_conf *s)
{
	for (size_t i = 0; i < c->bridges.n && s->machine.nics.n > 0; i++)
		if (strcmp(c->bridges.v[i].name, s->machine.nics.v[0].bridge) == 0)
			return &c->bridges.v[i];
	return NULL;
}
