/* What a walk puts into the reply: sets of records with their signatures, proofs, and what may help.
 *
 * To whom asks for DNSSEC (DO), each set of a signed zone is given with its signatures, which lie behind it;
 * and NSEC records, after all else of the authority section, prove what is not there (RFC 4035, 3.1.3):
 *
 *	no such name			its place, and that of the wildcard, are in gaps
 *	no such record			the name's own NSEC tells its types; of a name between others (it has
 *					no NSEC), its place is in a gap whose end lies below it
 *	a wildcard stood in		the name's place is in a gap
 *	a delegation without DS		as no such record
 *
 * Additional records are only static ones.  A service's address is given only to those who ask for
 * it, so that whoever has it has woken the service.
 */
#include "dns/answer_internal.h"

#include <assert.h>

/* ---- sets ---- */

void walk_add_hinfo(struct walk *w)
{
	static const uint8_t data[] = "\x07RFC8482"; /* CPU, and its NUL is an empty OS */
	uint8_t b[WIRE_RECORD_HEAD + sizeof(data)];
	struct wire_rrset set = { .type = TYPE_HINFO, .count = 1, .records = b, .n = sizeof(b),
				  .owner_at = w->first ? WIRE_HEADER : 0, .owner = w->name, .owner_labels = w->labels };
	uint8_t *p = wire_put16(b, WIRE_OWNER_QUESTION);

	p = wire_put16(p, TYPE_HINFO);
	p = wire_put16(p, CLASS_IN);
	p = wire_put32(p, w->m.zone->ttl_s);
	p = wire_put16(p, sizeof(data));
	memcpy(p, data, sizeof(data));
	if (!wire_add_rrset(&w->r, SECTION_ANSWER, &set))
		wire_set_cut(&w->r);
}

/* What is signed is given with its signatures, to who asks for them.  Of the set that was just added. */
static bool add_signatures(struct walk *w, enum wire_section section, const struct zone_rrset *set,
			   const struct wire_rrset *added)
{
	struct wire_rrset out = *added;

	if (set->sig_n == 0 || !w->a->q.dnssec_ok)
		return true;
	out.type = TYPE_RRSIG;
	out.count = (uint16_t)tables_signatures(w->t, set);
	out.records = tables_bytes(w->t, set) + set->n;
	out.n = set->sig_n;
	return wire_add_rrset(&w->r, section, &out);
}

void answer_add_plain(struct wire_reply *r, enum wire_section section, const struct tables *t,
		      const struct zone_rrset *set)
{
	if (set->sig_n > 0 && r->q->dnssec_ok)
		wire_add(r, section, tables_bytes(t, set), (size_t)set->n + set->sig_n,
			 set->count + tables_signatures(t, set));
	else
		wire_add(r, section, tables_bytes(t, set), set->n, set->count);
}

void walk_add_set(struct walk *w, enum wire_section section, const struct zone_rrset *set,
		  const struct zone_node *owner)
{
	const struct wire_layout *layout = wire_layout(set->type);
	struct wire_rrset out = { .type = set->type, .count = set->count, .records = tables_bytes(w->t, set),
				  .n = set->n, .owner = w->name, .owner_labels = w->labels };

	if (!owner && w->first && set->plain) {
		answer_add_plain(&w->r, section, w->t, set);
		return;
	}
	if (owner) {
		out.owner = tables_name(w->t, owner);
		out.owner_labels = owner->labels;
	} else if (w->first) {
		out.owner_at = WIRE_HEADER;
	}
	if (!wire_add_rrset(&w->r, section, &out) || !add_signatures(w, section, set, &out))
		wire_set_cut(&w->r);
	else if (layout && layout->additional && w->n_extras < EXTRAS_MAX)
		w->extras[w->n_extras++] = set;
}

void answer_add_soa(struct wire_reply *r, const struct tables *t, const struct zone_match *m)
{
	const struct zone *z = m->zone;
	unsigned pointer = 0xc000u | (WIRE_HEADER + m->apex_at);
	size_t sig_n = r->q->dnssec_ok ? z->negative.sig_n : 0;
	unsigned count = sig_n ? 1 + tables_signatures(t, &z->negative) : 1;
	uint8_t *at = wire_add(r, SECTION_AUTHORITY, tables_bytes(t, &z->negative), z->negative.n + sig_n, count);

	for (unsigned i = 0; at && i < z->n_pointers; i++)
		wire_put16(at + z->pointers[i], pointer);
	for (size_t i = z->negative.n; at && i < z->negative.n + sig_n; i += sig_n / (count - 1))
		wire_put16(at + i, pointer);
}

void walk_add_negative(struct walk *w)
{
	const struct zone *z = w->m.zone;
	const struct zone_rrset *soa;
	uint8_t b[WIRE_RECORD_HEAD + 2 * WIRE_NAME_MAX + 20];
	struct wire_rrset set = { .type = TYPE_SOA, .count = 1, .records = b };

	if (w->first) {
		answer_add_soa(&w->r, w->t, &w->m);
		return;
	}
	soa = tables_rrset(w->t, tables_node(w->t, z->apex), TYPE_SOA);
	memcpy(b, tables_bytes(w->t, soa), soa->n);
	memcpy(b + 6, tables_bytes(w->t, &z->negative) + 6, 4); /* its TTL is the lesser */
	set.n = soa->n;
	set.owner = tables_name(w->t, tables_node(w->t, z->apex));
	set.owner_labels = tables_node(w->t, z->apex)->labels;
	if (!wire_add_rrset(&w->r, SECTION_AUTHORITY, &set) ||
	    !add_signatures(w, SECTION_AUTHORITY, &z->negative, &set))
		wire_set_cut(&w->r);
}

/* ---- proofs ---- */

static void need_proof(struct walk *w, const struct zone_node *node)
{
	for (unsigned i = 0; i < w->n_proofs; i++)
		if (w->proofs[i] == node)
			return;
	assert(w->n_proofs < ARRAY_SIZE(w->proofs));
	w->proofs[w->n_proofs++] = node;
}

void walk_prove(struct walk *w, const uint8_t *name, unsigned labels)
{
	if (w->a->q.dnssec_ok && w->m.zone->is_signed)
		need_proof(w, tables_denial(w->t, w->m.zone, name, labels));
}

void walk_prove_types(struct walk *w, const struct zone_node *node)
{
	bool own = w->a->q.dnssec_ok && tables_zone_at(w->t, node->zone) == w->m.zone &&
		   tables_rrset(w->t, node, TYPE_NSEC);

	if (own)
		need_proof(w, node);
	else
		walk_prove(w, tables_name(w->t, node), node->labels);
}

void walk_prove_no_wildcard(struct walk *w)
{
	const struct zone_node *encloser = w->m.encloser;
	uint8_t wildcard[WIRE_NAME_MAX + 2] = { 1, '*' };

	memcpy(wildcard + 2, tables_name(w->t, encloser), encloser->name_n);
	walk_prove(w, wildcard, encloser->labels + 1u);
}

void walk_add_proofs(struct walk *w)
{
	for (unsigned i = 0; i < w->n_proofs; i++)
		walk_add_set(w, SECTION_AUTHORITY, tables_rrset(w->t, w->proofs[i], TYPE_NSEC), w->proofs[i]);
}

const struct zone_rrset *walk_least_signed(const struct walk *w, const struct zone_node *node)
{
	const struct zone_rrset *least = NULL;

	for (const struct zone_rrset *set = tables_first(w->t, node); set; set = tables_next(w->t, set)) {
		bool address = node->service != ZONE_NONE && is_address(set->type);
		bool above = node->flags & NODE_APEX && set->type == TYPE_DS;

		if (set->sig_n > 0 && !address && !above && (!least || set->n < least->n))
			least = set;
	}
	return least;
}

void walk_add_only_signatures(struct walk *w, const struct zone_rrset *set)
{
	struct wire_rrset out = { .type = TYPE_RRSIG, .count = (uint16_t)tables_signatures(w->t, set),
				  .records = tables_bytes(w->t, set) + set->n, .n = set->sig_n,
				  .owner_at = w->first ? WIRE_HEADER : 0, .owner = w->name, .owner_labels = w->labels };

	if (!wire_add_rrset(&w->r, SECTION_ANSWER, &out))
		wire_set_cut(&w->r);
}

/* ---- additional ---- */

static bool is_glued(struct walk *w, const struct zone_node *node)
{
	for (unsigned i = 0; i < w->n_glued; i++)
		if (w->glued[i] == node)
			return true;
	if (w->n_glued == GLUED_MAX)
		return true;
	w->glued[w->n_glued++] = node;
	return false;
}

/* RFC 9471: addresses of servers below their own delegation must be there, or TC. */
static void add_glue(struct walk *w, const struct zone_node *node, unsigned type)
{
	const struct zone_rrset *set = tables_rrset(w->t, node, type);
	struct wire_rrset out = { .type = (uint16_t)type, .owner = tables_name(w->t, node), .owner_labels = node->labels };

	if (!set)
		return;
	out.count = set->count;
	out.records = tables_bytes(w->t, set);
	out.n = set->n;
	if (wire_add_rrset(&w->r, SECTION_ADDITIONAL, &out))
		add_signatures(w, SECTION_ADDITIONAL, set, &out); /* or not (RFC 4035, 3.1.1) */
	else if (w->cut && tables_node(w->t, node->cut) == w->cut)
		wire_set_cut(&w->r);
}

static void add_addresses(struct walk *w, const uint8_t *name, unsigned type)
{
	struct zone_match m;
	struct name lower;
	unsigned labels;

	lower.n = (uint8_t)wire_name_length(name, WIRE_NAME_MAX, &labels);
	wire_lower(lower.b, name, lower.n);
	if (!tables_find(w->t, lower.b, lower.n, labels, &m) || !m.node || m.zone != w->m.zone)
		return;
	if (m.node->service == ZONE_NONE && !is_glued(w, m.node))
		add_glue(w, m.node, type);
}

void walk_add_additional(struct walk *w, unsigned type)
{
	w->n_glued = 0;
	for (unsigned i = 0; i < w->n_extras; i++) {
		const struct zone_rrset *set = w->extras[i];
		const uint8_t *p = tables_bytes(w->t, set);
		size_t skip = WIRE_RECORD_HEAD + (size_t)wire_layout(set->type)->skip;

		for (unsigned j = 0; j < set->count; j++) {
			add_addresses(w, p + skip, type);
			p += WIRE_RECORD_HEAD + (size_t)wire_get16(p + 10);
		}
	}
}
