/* Theory of operation
 *
 * What is not answered by a mere copy walks (RFC 1034, 4.3.2): each step looks for the name it has come
 * to, and is the end, or an alias (CNAME, DNAME) to the next name, as long as that is in one of our zones.
 *
 *	encloser below or at a delegation	referral: NS, glue			end
 *	a service's name, A or AAAA		its address, now or when it is ready	end
 *	records of that type			they					end
 *	CNAME					it, and on to its target
 *	a name above is a DNAME			it, the CNAME that follows from it, and on
 *	no such name, but a wildcard		as if the name had its records (RFC 4592)
 *	... of a template, A or AAAA		its instance's address, once there is one	end
 *	no such record, no such name		SOA					end
 */
#include "dns/answer_internal.h"

/* ---- the ends ---- */

static void no_such_name(struct walk *w)
{
	w->a->rcode = RCODE_NXDOMAIN; /* also at the end of aliases: RFC 6604, 3 */
	wire_set_rcode(&w->r, RCODE_NXDOMAIN);
	walk_add_negative(w);
	walk_prove(w, w->name, w->labels);
	walk_prove_no_wildcard(w);
}

static void no_such_record(struct walk *w, const struct zone_node *node)
{
	walk_add_negative(w);
	walk_prove_types(w, node);
}

/* ---- aliases ---- */

/* On to this name; STEP_END when it is not ours, or we were there.  Nor on to another zone when a proof of this
 * one is to be given: both may have an NSEC at the name where one lies in the other, which nobody could tell
 * apart. */
static enum step go_to(struct walk *w, const struct name *target)
{
	struct name *name = &w->seen[w->n_seen];
	const struct zone *zone = w->m.zone;

	if (w->r.cut || w->n_seen == ANSWER_CHAIN_MAX)
		return STEP_END;
	*name = *target;
	wire_lower(name->b, target->b, target->n);
	if (name->n == w->a->q.name_n && memcmp(name->b, w->a->q.name, name->n) == 0)
		return STEP_END;
	for (unsigned i = 0; i < w->n_seen; i++)
		if (w->seen[i].n == name->n && memcmp(w->seen[i].b, name->b, name->n) == 0)
			return STEP_END;
	if (!tables_find(w->t, name->b, name->n, name->labels, &w->m) || (w->n_proofs > 0 && w->m.zone != zone))
		return STEP_END;
	w->n_seen++;
	w->first = false;
	w->name = name->b;
	w->name_n = name->n;
	w->labels = name->labels;
	return STEP_ON;
}

static enum step follow_cname(struct walk *w, const struct zone_rrset *cname)
{
	const uint8_t *record = tables_bytes(w->t, cname);
	struct name target;

	walk_add_set(w, SECTION_ANSWER, cname, NULL);
	if (!name_from_wire(record + WIRE_RECORD_HEAD, wire_get16(record + 10), &target))
		return STEP_END;
	return go_to(w, &target);
}

/* One DNAME may lead on more than once, and is given once (RFC 2181, 5). */
static bool was_given(struct walk *w, const struct zone_rrset *dname)
{
	for (unsigned i = 0; i < w->n_dnames; i++)
		if (w->dnames[i] == dname)
			return true;
	w->dnames[w->n_dnames++] = dname;
	return false;
}

/* RFC 6672, 3.1: the name's labels before the DNAME's owner, before its target. */
static enum step follow_dname(struct walk *w)
{
	const struct zone_node *above = w->m.encloser;
	const struct zone_rrset *dname = tables_rrset(w->t, above, TYPE_DNAME);
	const uint8_t *from = tables_bytes(w->t, dname);
	uint8_t b[WIRE_RECORD_HEAD + WIRE_NAME_MAX];
	struct wire_rrset set = { .type = TYPE_CNAME, .count = 1, .records = b, .owner = w->name,
				  .owner_labels = w->labels, .owner_at = w->first ? WIRE_HEADER : 0 };
	struct name target;

	if (!was_given(w, dname))
		walk_add_set(w, SECTION_ANSWER, dname, above);
	if (w->r.cut)
		return STEP_END;
	if (!name_join(w->name, w->name_n - (size_t)above->name_n, from + WIRE_RECORD_HEAD, wire_get16(from + 10),
		       &target)) {
		w->a->rcode = RCODE_YXDOMAIN;
		wire_set_rcode(&w->r, RCODE_YXDOMAIN);
		return STEP_END;
	}
	memcpy(b, from, WIRE_RECORD_HEAD); /* class, TTL */
	wire_put16(b + 2, TYPE_CNAME);
	wire_put16(b + 10, target.n);
	memcpy(b + WIRE_RECORD_HEAD, target.b, target.n);
	set.n = WIRE_RECORD_HEAD + (size_t)target.n;
	if (!wire_add_rrset(&w->r, SECTION_ANSWER, &set)) {
		wire_set_cut(&w->r);
		return STEP_END;
	}
	if (w->a->q.type == TYPE_CNAME) /* that was the answer */
		return STEP_END;
	return go_to(w, &target);
}

/* ---- names ---- */

static enum step at_service(struct walk *w)
{
	const struct zone_rrset *set = tables_rrset(w->t, w->m.node, w->a->q.type);
	enum step step = answer_ask_service(w->a, w->t, w->m.node, &set);

	if (step == STEP_END && set)
		walk_add_set(w, SECTION_ANSWER, set, NULL);
	else if (step == STEP_END)
		no_such_record(w, w->m.node);
	return step;
}

/* A name that exists, or the wildcard that stands for it. */
static enum step at_node(struct walk *w, const struct zone_node *node)
{
	unsigned type = w->a->q.type;
	const struct zone_rrset *set;

	if (type == TYPE_ANY && node->flags & NODE_CNAME)
		type = TYPE_CNAME;
	set = tables_rrset(w->t, node, type);
	if (set) {
		walk_add_set(w, SECTION_ANSWER, set, NULL);
		return STEP_END;
	}
	if (type == TYPE_RRSIG && (set = walk_least_signed(w, node)))
		walk_add_only_signatures(w, set);
	else if (node->flags & NODE_CNAME)
		return follow_cname(w, tables_rrset(w->t, node, TYPE_CNAME));
	else if (type == TYPE_ANY && w->a->q.dnssec_ok && (set = walk_least_signed(w, node)))
		walk_add_set(w, SECTION_ANSWER, set, NULL);
	else if (type == TYPE_ANY && node->rrsets != ZONE_NONE)
		walk_add_hinfo(w);
	else
		no_such_record(w, node);
	return STEP_END;
}

/* What stands for the asterisk: one label of what host names are made of. */
static bool take_label(const struct walk *w, const struct zone_node *wildcard, char *out)
{
	size_t n = w->name[0];

	if (w->labels != wildcard->labels || w->name[1] == '-' || w->name[n] == '-')
		return false;
	for (size_t i = 1; i <= n; i++) {
		uint8_t c = w->name[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
			return false;
	}
	memcpy(out, w->name + 1, n);
	out[n] = '\0';
	return true;
}

/* A name that a template stands for, and that has no instance yet: the launcher makes one, and the tables that have
 * it answer the query.  So until then it waits, whatever the service's `answer` says.  What cannot be made is not
 * there; but of a signed zone that would have to be proved, with the NSEC that says that addresses are. */
static enum step at_template(struct walk *w, const struct zone_node *node)
{
	struct zone_service *s = tables_service_at(w->t, node->service);
	bool has_family = w->a->q.type == TYPE_A ? s->template4 : s->template6;
	const struct zone_rrset *fallback;
	enum todo todo;

	if (!has_family)
		return at_node(w, node);
	if (!take_label(w, node, w->a->label)) {
		w->a->trouble = TROUBLE_NAME;
		return w->m.zone->is_signed ? STEP_FAIL : at_node(w, node);
	}
	todo = answer_may_do(w->a, s->wake_dns, HOLD_AND_WAKE);
	w->a->service = s;
	w->a->wake = todo == HOLD_AND_WAKE && w->a->wish == WISH_WAIT;
	if (w->a->wake)
		return STEP_HOLD;
	if (!w->a->verified && (todo == PROVE || w->a->wish == WISH_PROVE))
		return STEP_PROVE;
	fallback = tables_variant(w->t, node, w->a->q.type, ZONE_FALLBACK);
	if (!fallback)
		return STEP_FAIL;
	walk_add_set(w, SECTION_ANSWER, fallback, NULL);
	return STEP_END;
}

/* The asterisk itself is nobody's name. */
static enum step at_asterisk(struct walk *w, const struct zone_node *node)
{
	w->a->trouble = TROUBLE_NAME;
	return w->m.zone->is_signed ? STEP_FAIL : at_node(w, node);
}

static bool is_template(const struct walk *w, const struct zone_node *node)
{
	return node->service != ZONE_NONE && zone_service_is_template(tables_service_at(w->t, node->service));
}

/* RFC 1034, 4.2.1: whom to ask instead.  No authority, if that is all there is to say. */
static enum step refer(struct walk *w, const struct zone_node *cut)
{
	const struct zone_rrset *ds = w->m.zone->is_signed ? tables_rrset(w->t, cut, TYPE_DS) : NULL;

	if (w->first)
		w->r.b[2] &= (uint8_t)~(FLAG_AA >> 8);
	w->cut = cut;
	walk_add_set(w, SECTION_AUTHORITY, tables_rrset(w->t, cut, TYPE_NS), cut);
	if (ds && w->a->q.dnssec_ok)
		walk_add_set(w, SECTION_AUTHORITY, ds, cut);
	else
		walk_prove_types(w, cut);
	return STEP_END;
}

/* ---- the walk ---- */

static enum step take_step(struct walk *w)
{
	const struct zone_node *node = w->m.node, *encloser = w->m.encloser, *cut = tables_node(w->t, encloser->cut);

	if (cut && !(node == cut && w->a->q.type == TYPE_DS)) /* RFC 4035, 3.1.4.1: DS is the parent's */
		return refer(w, cut);
	if (!node && encloser->flags & NODE_DNAME)
		return follow_dname(w);
	if (!node) {
		node = tables_node(w->t, encloser->wildcard);
		if (!node) {
			no_such_name(w);
			return STEP_END;
		}
		walk_prove(w, w->name, w->labels);
	}
	if (!is_address(w->a->q.type))
		return at_node(w, node);
	if (is_template(w, node))
		return node == w->m.node ? at_asterisk(w, node) : at_template(w, node);
	if (node->service != ZONE_NONE && node == w->m.node)
		return at_service(w);
	return at_node(w, node);
}

static void finish_walk(struct walk *w, enum step last)
{
	struct answer *a = w->a;

	switch (last) {
	case STEP_HOLD:
		a->verdict = VERDICT_HOLD;
		break;
	case STEP_PROVE:
		a->n = answer_prove(&a->q, w->r.b, &a->rcode);
		a->verdict = VERDICT_REPLY;
		break;
	case STEP_FAIL:
		a->n = answer_servfail(&a->q, w->tcp, w->flags & FLAG_RA, a->trouble, w->r.b);
		a->verdict = VERDICT_REPLY;
		a->rcode = RCODE_SERVFAIL;
		break;
	default:
		walk_add_proofs(w);
		if (w->n_extras > 0 && !w->r.cut) {
			walk_add_additional(w, TYPE_A);
			walk_add_additional(w, TYPE_AAAA);
		}
		answer_finish(a, &w->r, a->rcode);
	}
}

/* RFC 4035, 3.1.4.1: the DS of a zone are in the zone above it, if that is ours too. */
static void look_above(struct walk *w)
{
	size_t label_n = w->name[0] + 1u;
	struct zone_match above;

	if (!w->m.node || !(w->m.node->flags & NODE_APEX) || w->labels == 0)
		return;
	if (!tables_find(w->t, w->name + label_n, w->name_n - label_n, w->labels - 1u, &above))
		return;
	w->m.zone = above.zone;
	w->m.apex_at = w->name_n - (unsigned)above.zone->name_n;
	if (above.encloser->cut != ZONE_NONE) {
		w->m.encloser = above.encloser;
		w->m.node = NULL;
	}
}

void answer_walk(struct answer *a, struct tables *t, const struct zone_match *m, bool tcp, unsigned flags,
		 uint8_t *b)
{
	enum step step = STEP_ON;
	struct walk w;

	w.t = t;
	w.a = a;
	w.tcp = tcp;
	w.flags = flags;
	w.m = *m;
	w.name = a->q.name;
	w.name_n = a->q.name_n;
	w.labels = a->q.labels;
	w.first = true;
	w.n_seen = w.n_dnames = w.n_extras = w.n_glued = w.n_proofs = 0;
	w.cut = NULL;
	answer_begin(&w.r, &a->q, tcp, b, flags | FLAG_AA, RCODE_NOERROR);
	if (a->q.type == TYPE_DS)
		look_above(&w);
	while (step == STEP_ON)
		step = take_step(&w);
	finish_walk(&w, step);
}
