/* Theory of operation
 *
 * Tables that replace each other are compared in steps, zone by zone: a walk of the old one finds what is
 * gone, a walk of the new one what came; both write into the change that is being made.  A record with
 * another TTL is another record.
 *
 *	compare -> gone -> came -> done, the next zone
 *
 * Pairs wait in a row, as each holds two tables: at most PAIRS_MAX.  When there are more, what is not
 * compared yet is given up, with the history of all zones: their secondaries transfer them whole, once.
 * The same becomes of a zone whose change is larger than CHANGES_ONE_MAX, or whose serial did not rise.
 *
 * A zone's changes make an unbroken chain, which ends at the serial that is compared last: forgetting takes
 * the oldest of all zones first.  Nothing is written to disk; after a restart the first transfer is whole.
 */
#include "dns/changes.h"

#include <sys/queue.h>

#include "base/log.h"

enum { PAIRS_MAX = 3, STEP_NAMES = 2000, SET_HEAD = 8 };

struct change {
	TAILQ_ENTRY(change) next;
	unsigned refs;
	struct name zone;
	uint32_t from, to; /* serials */
	uint8_t *b;
	size_t n, room;
};

TAILQ_HEAD(change_queue, change);

struct pair {
	struct tables *from, *to;
};

enum stage { STAGE_NEXT, STAGE_GONE, STAGE_CAME };

struct changes {
	changes_done_fn *on_done;
	void *arg;
	struct change_queue changes; /* oldest first */
	size_t bytes;
	unsigned n;
	/* what is being compared: pairs[0] */
	struct pair pairs[PAIRS_MAX];
	unsigned n_pairs;
	uint32_t zone, old_zone; /* places in `to` and `from` */
	enum stage stage;
	struct zone_walk walk;
	struct change *making; /* NULL: it became too large */
};

/* ---- changes ---- */

struct change *change_ref(struct change *c)
{
	c->refs++;
	return c;
}

void change_unref(struct change *c)
{
	if (!c || --c->refs > 0)
		return;
	free(c->b);
	free(c);
}

/* length of the owner, its labels, type, count, bytes; then the owner and the records */
static uint8_t *put_head(uint8_t *p, const struct wire_rrset *set, size_t owner_n)
{
	*p++ = (uint8_t)owner_n;
	*p++ = set->owner_labels;
	p = wire_put16(p, set->type);
	p = wire_put16(p, set->count);
	return wire_put16(p, (unsigned)set->n);
}

bool change_next(const struct change *c, size_t *at, struct wire_rrset *out)
{
	const uint8_t *p = c->b + *at;

	if (*at >= c->n)
		return false;
	*out = (struct wire_rrset){ .type = wire_get16(p + 2), .count = wire_get16(p + 4), .n = wire_get16(p + 6),
				    .owner = p + SET_HEAD, .owner_labels = p[1], .records = p + SET_HEAD + p[0] };
	*at += SET_HEAD + p[0] + out->n;
	return true;
}

/* False: it is too large, or there is no memory. */
static bool change_add(struct change *c, const struct wire_rrset *set, size_t owner_n)
{
	size_t n = SET_HEAD + owner_n + set->n;
	uint8_t *p;

	if (c->n + n > CHANGES_ONE_MAX)
		return false;
	if (!c->b || c->n + n > c->room) {
		size_t room = MAX(c->n + n, MAX(2 * c->room, (size_t)1024));

		p = realloc(c->b, room);
		if (!p)
			return false;
		c->b = p;
		c->room = room;
	}
	p = put_head(c->b + c->n, set, owner_n);
	memcpy(p, set->owner, owner_n);
	memcpy(p + owner_n, set->records, set->n);
	c->n += n;
	return true;
}

static void forget(struct changes *j, struct change *c)
{
	TAILQ_REMOVE(&j->changes, c, next);
	j->bytes -= c->n;
	j->n--;
	change_unref(c);
}

static bool is_of(const struct change *c, const struct name *zone)
{
	return c->zone.n == zone->n && memcmp(c->zone.b, zone->b, zone->n) == 0;
}

/* NULL: of all zones. */
static void forget_zone(struct changes *j, const struct name *zone)
{
	struct change *c = TAILQ_FIRST(&j->changes), *next;

	for (; c; c = next) {
		next = TAILQ_NEXT(c, next);
		if (!zone || is_of(c, zone))
			forget(j, c);
	}
}

static void enter(struct changes *j, struct change *c)
{
	uint8_t *b = c->n > 0 ? realloc(c->b, c->n) : NULL;

	if (b) {
		c->b = b;
		c->room = c->n;
	}
	TAILQ_INSERT_TAIL(&j->changes, c, next);
	j->bytes += c->n;
	j->n++;
	while (j->bytes > CHANGES_BYTES_MAX || j->n > CHANGES_MAX)
		forget(j, TAILQ_FIRST(&j->changes));
}

static void let_go(struct change **chain, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		change_unref(chain[i]);
}

unsigned changes_find(const struct changes *j, const struct name *zone, uint32_t from, uint32_t to,
		      struct change *out[CHANGES_CHAIN_MAX])
{
	struct change *c;
	unsigned n = 0;

	TAILQ_FOREACH(c, &j->changes, next) {
		if (from == to || n == CHANGES_CHAIN_MAX)
			break;
		if (c->from != from || !is_of(c, zone))
			continue;
		out[n++] = change_ref(c);
		from = c->to;
	}
	if (from == to)
		return n;
	let_go(out, n);
	return 0;
}

/* ---- comparing ---- */

static void end_pair(struct changes *j)
{
	tables_free(j->pairs[0].from);
	tables_free(j->pairs[0].to);
	memmove(j->pairs, j->pairs + 1, (PAIRS_MAX - 1) * sizeof(j->pairs[0]));
	j->n_pairs--;
	j->zone = 0;
}

static void stop_making(struct changes *j)
{
	change_unref(j->making);
	j->making = NULL;
	j->stage = STAGE_NEXT;
}

void changes_compare(struct changes *j, const struct tables *from, const struct tables *to)
{
	if (j->n_pairs == PAIRS_MAX) {
		log_info("the zones change faster than they are compared: their next transfers are whole");
		forget_zone(j, NULL);
		stop_making(j);
		while (j->n_pairs > 0)
			end_pair(j);
		from = NULL;
	}
	j->pairs[j->n_pairs++] = (struct pair){ from ? tables_ref(from) : NULL, tables_ref(to) };
}

static void zone_name(const struct tables *t, uint32_t zone, struct name *out)
{
	const struct zone_node *apex = tables_node(t, tables_zone_at(t, zone)->apex);

	name_from_wire(tables_name(t, apex), apex->name_n, out);
}

static bool add_soa(struct change *c, const struct tables *t, uint32_t zone)
{
	const struct zone_node *apex = tables_node(t, tables_zone_at(t, zone)->apex);
	const struct zone_rrset *soa = zone_soa(t, zone);
	struct wire_rrset set = { .type = TYPE_SOA, .count = 1, .records = tables_bytes(t, soa), .n = soa->n,
				  .owner = tables_name(t, apex), .owner_labels = apex->labels };

	return change_add(c, &set, apex->name_n);
}

static struct change *new_change(const struct name *zone, uint32_t from, uint32_t to)
{
	struct change *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->refs = 1;
	c->zone = *zone;
	c->from = from;
	c->to = to;
	return c;
}

/* The zone `j->zone` of the new tables, if it was in the old ones. */
static void begin_zone(struct changes *j)
{
	const struct pair *p = &j->pairs[0];
	uint32_t serial = tables_zone_at(p->to, j->zone)->serial, old;
	struct name name;

	zone_name(p->to, j->zone, &name);
	j->old_zone = p->from ? tables_zone(p->from, tables_zone_name(p->to, j->zone)) : ZONE_NONE;
	if (j->old_zone == ZONE_NONE || j->old_zone >= tables_zones(p->from)) {
		forget_zone(j, &name);
		j->on_done(j->arg, p->to, j->zone++);
		return;
	}
	old = tables_zone_at(p->from, j->old_zone)->serial;
	if (old == serial) {
		j->zone++;
		return;
	}
	if ((int32_t)(serial - old) > 0)
		j->making = new_change(&name, old, serial);
	if (j->making && !add_soa(j->making, p->from, j->old_zone))
		stop_making(j);
	zone_walk_begin(&j->walk, p->from, j->old_zone);
	j->stage = STAGE_GONE;
}

static void end_zone(struct changes *j)
{
	struct name name;

	zone_name(j->pairs[0].to, j->zone, &name);
	if (j->making)
		enter(j, j->making);
	else
		forget_zone(j, &name);
	j->making = NULL;
	j->stage = STAGE_NEXT;
	j->on_done(j->arg, j->pairs[0].to, j->zone++);
}

/* Those of the set's records that the other tables do not have. */
static bool add_missing(struct change *c, const struct zone_set *s, const struct tables *t,
			const struct tables *other, uint32_t other_zone)
{
	const uint8_t *p = s->records, *end = p + s->n, *name = tables_name(t, s->owner);
	uint8_t *missing = malloc(s->n);
	struct wire_rrset set = { .type = s->type, .records = missing, .owner = name, .owner_labels = s->owner->labels };
	bool ok = missing;

	for (size_t n; ok && p < end; p += n) {
		n = WIRE_RECORD_HEAD + (size_t)wire_get16(p + 10);
		if (zone_walk_has(other, other_zone, name, p))
			continue;
		memcpy(missing + set.n, p, n);
		set.n += n;
		set.count++;
	}
	if (ok && set.count > 0)
		ok = change_add(c, &set, s->owner->name_n);
	free(missing);
	return ok;
}

/* False: the stage is over. */
static bool compare_some(struct changes *j, unsigned *budget)
{
	const struct pair *p = &j->pairs[0];
	bool gone = j->stage == STAGE_GONE;
	struct zone_set s;
	int r = 0;

	while (j->making && (r = zone_walk_next(&j->walk, budget, &s)) == 1) {
		if (!add_missing(j->making, &s, gone ? p->from : p->to, gone ? p->to : p->from,
				 gone ? j->zone : j->old_zone)) {
			change_unref(j->making);
			j->making = NULL;
		}
	}
	return j->making && r == -EAGAIN;
}

static void next_stage(struct changes *j)
{
	if (j->stage == STAGE_CAME || !j->making || !add_soa(j->making, j->pairs[0].to, j->zone)) {
		end_zone(j);
		return;
	}
	zone_walk_begin(&j->walk, j->pairs[0].to, j->zone);
	j->stage = STAGE_CAME;
}

/* Zones that are gone have no history. */
static void forget_gone(struct changes *j)
{
	struct change *c = TAILQ_FIRST(&j->changes), *next;

	for (; c; c = next) {
		char text[NAME_TEXT_MAX];

		next = TAILQ_NEXT(c, next);
		if (tables_zone(j->pairs[0].to, name_to_text(c->zone.b, text)) == ZONE_NONE)
			forget(j, c);
	}
}

bool changes_step(struct changes *j)
{
	unsigned budget = STEP_NAMES;

	while (j->n_pairs > 0 && budget > 0) {
		budget--;
		if (j->stage != STAGE_NEXT) {
			if (!compare_some(j, &budget))
				next_stage(j);
		} else if (j->zone < tables_zones(j->pairs[0].to)) {
			begin_zone(j);
		} else {
			forget_gone(j);
			end_pair(j);
		}
	}
	return j->n_pairs > 0;
}

struct changes *changes_new(changes_done_fn *on_done, void *arg)
{
	struct changes *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->on_done = on_done;
	j->arg = arg;
	TAILQ_INIT(&j->changes);
	return j;
}

void changes_free(struct changes *j)
{
	if (!j)
		return;
	forget_zone(j, NULL);
	stop_making(j);
	while (j->n_pairs > 0)
		end_pair(j);
	free(j);
}
