/* A batch of queries, looked at before any of them is answered.
 *
 * With many names an answer waits most for memory: the bucket, then the node that it leads to, then that
 * node's name and sets.  For one query these come one after the other.  Asked for of a whole batch at
 * once, one step at a time, all of them are on their way together.  What is found here is used for
 * nothing else, and a query that is none costs a look.
 */
#include "dns/zone_internal.h"

struct touched {
	uint32_t hash;
	bool is_name;
};

static inline void touch(const void *p) { __builtin_prefetch(p); }

static struct touched hash_question(const struct tables *t, const uint8_t *packet, size_t n)
{
	struct touched none = { 0 };
	uint8_t name[WIRE_NAME_MAX];
	unsigned labels;
	size_t name_n;

	if (n <= WIRE_HEADER)
		return none;
	name_n = wire_name_length(packet + WIRE_HEADER, n - WIRE_HEADER, &labels);
	if (name_n == 0 || labels > t->max_labels)
		return none;
	wire_lower(name, packet + WIRE_HEADER, name_n);
	return (struct touched){ name_hash(name, labels), true };
}

static const struct zone_node *node_of(const struct tables *t, uint32_t hash)
{
	uint32_t i = t->buckets[hash & (t->n_buckets - 1)];

	return i == ZONE_NONE ? NULL : &t->nodes[i];
}

static void touch_node(const struct zone_node *node)
{
	touch(node);
	touch((const uint8_t *)(node + 1) - 1); /* it may lie in two lines */
}

static void touch_content(const struct tables *t, const struct zone_node *node)
{
	touch(t->arena + node->name_at);
	if (node->rrsets != ZONE_NONE)
		touch(&t->rrsets[node->rrsets]);
}

void tables_touch(const struct tables *t, const struct iovec *packets, unsigned n)
{
	struct touched touched[TABLES_TOUCH_MAX];
	const struct zone_node *nodes[TABLES_TOUCH_MAX];

	if (n < 2 || n > TABLES_TOUCH_MAX || t->n_buckets == 0)
		return;
	for (unsigned i = 0; i < n; i++) {
		touched[i] = hash_question(t, packets[i].iov_base, packets[i].iov_len);
		if (touched[i].is_name)
			touch(&t->buckets[touched[i].hash & (t->n_buckets - 1)]);
	}
	for (unsigned i = 0; i < n; i++) {
		nodes[i] = touched[i].is_name ? node_of(t, touched[i].hash) : NULL;
		if (nodes[i])
			touch_node(nodes[i]);
	}
	for (unsigned i = 0; i < n; i++)
		if (nodes[i])
			touch_content(t, nodes[i]);
}
