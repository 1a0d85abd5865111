/* Theory of operation
 *
 * A waiter is made when a query must wait and freed when it is answered, given up or its TCP
 * client gone: serve.c alone decides that.  It is reached in five ways, hence the five links: by
 * token (the launcher names it), by key (a client's retry), by service (a state changed), by
 * deadline (a binary heap), and by age (the tables changed: all are looked at again).
 *
 * Clients choose what goes into the key, so its hash is seeded, and the chains are short enough
 * (WAITING_MAX / BUCKETS on average) that even a lucky client gains little.
 *
 * Fairness is a hard share per network rather than eviction of the greediest: a query that was
 * accepted is never sent away for another one's sake, which would make the launcher's work for it
 * wasted.  Nor may those whose addresses may be forged, and who therefore have as many networks as
 * they like, take the places of those who are verified.  The count per network is kept in a small
 * node that lives while one of its queries waits.
 */
#include "dns/waiting.h"

#include <assert.h>

#include "base/slots.h"

enum { BUCKETS = 4096 };

struct share {
	LIST_ENTRY(share) chain;
	uint8_t net[16];
	uint32_t n;
};

LIST_HEAD(waiter_list, waiter);
LIST_HEAD(share_list, share);
TAILQ_HEAD(waiter_queue, waiter);

struct waiting {
	uint32_t max, n, n_unverified;
	uint32_t last_token;
	uint64_t seed;
	struct waiter **heap;
	uint32_t heap_room;
	struct waiter_list by_token[BUCKETS], by_key[BUCKETS];
	struct share_list shares[BUCKETS];
	struct waiter_queue by_service[SLOTS_MAX];
	struct waiter_queue by_age;
};

struct waiting *waiting_new(uint32_t max, uint64_t seed)
{
	struct waiting *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->seed = seed;
	w->last_token = (uint32_t)(seed >> 32);
	waiting_set_max(w, max);
	TAILQ_INIT(&w->by_age);
	for (unsigned i = 0; i < SLOTS_MAX; i++)
		TAILQ_INIT(&w->by_service[i]);
	return w;
}

void waiting_free(struct waiting *w)
{
	struct waiter *q;

	if (!w)
		return;
	while ((q = waiting_first(w)))
		waiting_remove(w, q);
	free(w->heap);
	free(w);
}

void waiting_set_max(struct waiting *w, uint32_t max) { w->max = MAX(1, MIN(max, WAITING_MAX)); }

uint32_t waiting_count(const struct waiting *w) { return w->n; }

/* ---- the heap of deadlines ---- */

static void heap_put(struct waiting *w, uint32_t at, struct waiter *q)
{
	w->heap[at] = q;
	q->heap_at = at;
}

/* Finds the place of `q`, which may go to `at` or above. */
static void heap_up(struct waiting *w, uint32_t at, struct waiter *q)
{
	while (at > 0 && w->heap[(at - 1) / 2]->deadline_ns > q->deadline_ns) {
		heap_put(w, at, w->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	heap_put(w, at, q);
}

static void heap_down(struct waiting *w, uint32_t at, struct waiter *q)
{
	for (;;) {
		uint32_t child = at * 2 + 1;

		if (child + 1 < w->n && w->heap[child + 1]->deadline_ns < w->heap[child]->deadline_ns)
			child++;
		if (child >= w->n || w->heap[child]->deadline_ns >= q->deadline_ns)
			break;
		heap_put(w, at, w->heap[child]);
		at = child;
	}
	heap_up(w, at, q);
}

static int heap_room(struct waiting *w)
{
	uint32_t more = w->heap_room ? w->heap_room * 2 : 64;
	struct waiter **heap;

	if (w->n < w->heap_room)
		return 0;
	heap = reallocarray(w->heap, more, sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	w->heap = heap;
	w->heap_room = more;
	return 0;
}

/* ---- keys ---- */

static uint64_t mix(uint64_t hash, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ p[i]) * 0x100000001b3ull;
	return hash ^ hash >> 29;
}

/* The same client, and the same query with the same id.  Flags and EDNS are part of it: the
 * whole normalised packet is. */
static bool is_same(const struct waiter *q, const struct client *c, const uint8_t *packet, size_t n)
{
	return q->n == n && q->client.port == c->port && q->client.conn == c->conn &&
	       q->client.socket == c->socket && ip_equal(&q->client.addr, &c->addr) &&
	       ip_equal(&q->client.local, &c->local) && memcmp(q->packet, packet, n) == 0;
}

static struct waiter_list *key_bucket(struct waiting *w, const struct client *c, const uint8_t *packet,
				      size_t n)
{
	uint64_t hash = mix(w->seed, &c->addr, sizeof(c->addr));

	hash = mix(hash, &c->port, sizeof(c->port));
	hash = mix(hash, &c->conn, sizeof(c->conn));
	return &w->by_key[mix(hash, packet, n) % BUCKETS];
}

static void network_of(const struct ip_addr *a, uint8_t net[16])
{
	size_t kept = ip_is_v4(a) ? 12 + 3 : 7;

	memset(net, 0, 16);
	memcpy(net, a->b, kept);
}

/* The share of this network, made when it has none; NULL: no memory. */
static struct share *get_share(struct waiting *w, const struct ip_addr *a)
{
	uint8_t net[16];
	struct share_list *bucket;
	struct share *s;

	network_of(a, net);
	bucket = &w->shares[mix(w->seed, net, sizeof(net)) % BUCKETS];
	LIST_FOREACH(s, bucket, chain)
		if (memcmp(s->net, net, sizeof(net)) == 0)
			return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	memcpy(s->net, net, sizeof(net));
	LIST_INSERT_HEAD(bucket, s, chain);
	return s;
}

static void put_share(struct share *s)
{
	if (s->n > 0)
		return;
	LIST_REMOVE(s, chain);
	free(s);
}

static uint32_t new_token(struct waiting *w)
{
	do
		w->last_token++;
	while (w->last_token == 0 || waiting_find(w, w->last_token));
	return w->last_token;
}

/* ---- coming and going ---- */

static void link_waiter(struct waiting *w, struct waiter *q, struct waiter_list *key)
{
	LIST_INSERT_HEAD(key, q, by_key);
	LIST_INSERT_HEAD(&w->by_token[q->token % BUCKETS], q, by_token);
	TAILQ_INSERT_TAIL(&w->by_service[q->svc], q, by_service);
	TAILQ_INSERT_TAIL(&w->by_age, q, by_age);
	q->share->n++;
	w->n_unverified += !q->client.verified;
	w->n++;
	heap_up(w, w->n - 1, q);
}

int waiting_add(struct waiting *w, const struct client *client, const uint8_t *packet, size_t n, uint32_t svc,
		uint32_t gen, uint64_t deadline_ns, struct waiter **out)
{
	struct waiter_list *key = key_bucket(w, client, packet, n);
	struct share *share;
	struct waiter *q;

	assert(n <= WIRE_NORMAL_MAX && svc < SLOTS_MAX);
	LIST_FOREACH(q, key, by_key) {
		if (is_same(q, client, packet, n)) {
			*out = q;
			return -EALREADY;
		}
	}
	if (w->n >= w->max || (!client->verified && w->n_unverified >= MAX(1u, w->max / WAITING_UNVERIFIED)))
		return -ENOSPC;
	share = get_share(w, &client->addr);
	if (!share)
		return -ENOMEM;
	if (share->n >= MAX(1u, w->max / WAITING_SHARE))
		return -EDQUOT;
	q = heap_room(w) == 0 ? calloc(1, sizeof(*q)) : NULL;
	if (!q) {
		put_share(share);
		return -ENOMEM;
	}
	q->token = new_token(w);
	q->svc = svc;
	q->gen = gen;
	q->client = *client;
	q->deadline_ns = deadline_ns;
	q->n = (uint16_t)n;
	memcpy(q->packet, packet, n);
	q->share = share;
	link_waiter(w, q, key);
	*out = q;
	return 0;
}

void waiting_remove(struct waiting *w, struct waiter *q)
{
	struct waiter *last = w->heap[--w->n];

	if (last != q)
		heap_down(w, q->heap_at, last);
	LIST_REMOVE(q, by_key);
	LIST_REMOVE(q, by_token);
	TAILQ_REMOVE(&w->by_service[q->svc], q, by_service);
	TAILQ_REMOVE(&w->by_age, q, by_age);
	w->n_unverified -= !q->client.verified;
	q->share->n--;
	put_share(q->share);
	free(q);
}

void waiting_move(struct waiting *w, struct waiter *q, uint32_t svc, uint32_t gen)
{
	assert(svc < SLOTS_MAX);
	TAILQ_REMOVE(&w->by_service[q->svc], q, by_service);
	q->svc = svc;
	q->gen = gen;
	TAILQ_INSERT_TAIL(&w->by_service[svc], q, by_service);
}

/* ---- looking ---- */

struct waiter *waiting_find(struct waiting *w, uint32_t token)
{
	struct waiter *q;

	LIST_FOREACH(q, &w->by_token[token % BUCKETS], by_token)
		if (q->token == token)
			return q;
	return NULL;
}

struct waiter *waiting_first_of(struct waiting *w, uint32_t svc)
{
	return svc < SLOTS_MAX ? TAILQ_FIRST(&w->by_service[svc]) : NULL;
}

struct waiter *waiting_next_of(struct waiter *q) { return TAILQ_NEXT(q, by_service); }

struct waiter *waiting_first(struct waiting *w) { return TAILQ_FIRST(&w->by_age); }

struct waiter *waiting_next(struct waiter *q) { return TAILQ_NEXT(q, by_age); }

struct waiter *waiting_soonest(struct waiting *w) { return w->n > 0 ? w->heap[0] : NULL; }
