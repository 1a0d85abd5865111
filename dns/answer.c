/* Theory of operation
 *
 * A query for something that is there is answered with bytes made beforehand: one lookup, one copy.
 * So is "no such name" and "no such record": the SOA's copy has its pointers set to where the zone's
 * name lies in the question.
 *
 * All else walks (RFC 1034, 4.3.2): each step looks for the name it has come to, and is the end, or
 * an alias (CNAME, DNAME) to the next name, as long as that is in one of our zones.
 *
 *	encloser below or at a delegation	referral: NS, glue			end
 *	a service's name, A or AAAA		its address, now or when it is ready	end
 *	records of that type			they					end
 *	CNAME					it, and on to its target
 *	a name above is a DNAME			it, the CNAME that follows from it, and on
 *	no such name, but a wildcard		as if the name had its records (RFC 4592)
 *	... of a template, A or AAAA		its instance's address, once there is one	end
 *	no such record, no such name		SOA					end
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
#include "dns/answer.h"

#include <assert.h>

/* What a query for the address of a service leads to, by the service's state and its `answer`. */
enum todo { ANSWER, ANSWER_AND_WAKE, HOLD, HOLD_AND_WAKE, PROVE, FAIL };

static const uint8_t todo_of[STATE_N][ANSWER_N] = {
	/*		       at-once		  started	  ready */
	[STATE_OFF]	  = { ANSWER_AND_WAKE, HOLD_AND_WAKE, HOLD_AND_WAKE },
	[STATE_STARTING]  = { ANSWER,		HOLD,		HOLD },
	[STATE_BOOTING]	  = { ANSWER,		ANSWER,	HOLD },
	[STATE_UP]	  = { ANSWER,		ANSWER,	ANSWER },
	[STATE_ADOPTED]	  = { ANSWER,		ANSWER,	ANSWER },
	[STATE_DRAINING]  = { ANSWER_AND_WAKE, HOLD_AND_WAKE, HOLD_AND_WAKE },
	[STATE_STOPPING]  = { ANSWER_AND_WAKE, HOLD_AND_WAKE, HOLD_AND_WAKE },
	[STATE_FAILED]	  = { ANSWER_AND_WAKE, HOLD_AND_WAKE, HOLD_AND_WAKE },
	[STATE_SUSPENDED] = { ANSWER_AND_WAKE, HOLD_AND_WAKE, HOLD_AND_WAKE },
	[STATE_SAVED]	  = { ANSWER_AND_WAKE, HOLD_AND_WAKE, HOLD_AND_WAKE },
	[STATE_WARM]	  = { ANSWER_AND_WAKE, HOLD_AND_WAKE, HOLD_AND_WAKE },
	[STATE_CONFLICT]  = { FAIL,		FAIL,		FAIL },
};
static_assert(STATE_N == 12, "a new state needs its row above");

static const struct {
	uint16_t code; /* RFC 8914, 4: 14 Not Ready, 22 No Reachable Authority, 0 Other Error */
	const char *text;
} troubles[] = {
	[TROUBLE_START] = { 0, "the service could not be started" },
	[TROUBLE_SLOW] = { 14, "the service did not start in time" },
	[TROUBLE_CROWD] = { 14, "too many queries wait" },
	[TROUBLE_CONFLICT] = { 0, "the address is in use elsewhere" },
	[TROUBLE_UPSTREAM] = { 22, "no upstream answered" },
	[TROUBLE_ASLEEP] = { 14, "the service is not up, and queries do not wake it" },
	[TROUBLE_NAME] = { 0, "no service is made for such a name" },
};
static_assert(ARRAY_SIZE(troubles) == TROUBLE_N, "a trouble has no text");

static void begin(struct wire_reply *r, const struct wire_query *q, bool tcp, uint8_t *b, unsigned flags,
		  unsigned rcode)
{
	wire_begin(r, q, b, MIN(wire_limit(q, tcp), (size_t)ANSWER_SIZE_MAX), flags, rcode);
}

static void finish(struct answer *a, struct wire_reply *r, unsigned rcode)
{
	a->verdict = VERDICT_REPLY;
	a->rcode = rcode;
	a->n = wire_end(r, rcode);
}

/* An answer that is nothing but an rcode. */
static void reply_rcode(struct answer *a, bool tcp, unsigned flags, unsigned rcode, uint8_t *b)
{
	struct wire_reply r;

	begin(&r, &a->q, tcp, b, flags, rcode);
	finish(a, &r, rcode);
}

static void reply_not_ours(struct answer *a, bool tcp, unsigned flags, uint8_t *b)
{
	struct wire_reply r;

	begin(&r, &a->q, tcp, b, flags, RCODE_REFUSED);
	r.ede_code = 20; /* RFC 8914, 4.21: Not Authoritative */
	r.ede_text = "";
	finish(a, &r, RCODE_REFUSED);
}

size_t answer_servfail(const struct wire_query *q, bool tcp, bool may_forward, enum trouble why, uint8_t *reply)
{
	struct wire_reply r;

	begin(&r, q, tcp, reply, may_forward ? FLAG_RA : 0, RCODE_SERVFAIL);
	r.ede_code = troubles[why].code;
	r.ede_text = troubles[why].text;
	return wire_end(&r, RCODE_SERVFAIL);
}

size_t answer_slip(struct wire_query *q, uint8_t *reply)
{
	struct wire_reply r;

	if (q->options_n > 4 + COOKIE_FULL) /* a cookie helps the client, anything more a forger */
		q->options_n = 0;
	begin(&r, q, false, reply, 0, RCODE_NOERROR);
	wire_set_cut(&r);
	return wire_end(&r, RCODE_NOERROR);
}

size_t answer_prove(struct wire_query *q, uint8_t *reply, unsigned *rcode)
{
	struct wire_reply r;

	if (q->cookie_n == 0 || q->options_n > 4 + COOKIE_FULL) {
		*rcode = RCODE_NOERROR;
		return answer_slip(q, reply);
	}
	*rcode = RCODE_BADCOOKIE;
	begin(&r, q, false, reply, 0, RCODE_BADCOOKIE);
	return wire_end(&r, RCODE_BADCOOKIE);
}

/* ---- walking ---- */

enum { EXTRAS_MAX = 8, GLUED_MAX = 64 };

struct walk {
	struct tables *t;
	struct answer *a;
	bool tcp;
	unsigned flags;
	struct wire_reply r;
	/* where we are */
	struct zone_match m;
	const uint8_t *name; /* in lower case */
	uint8_t name_n, labels;
	bool first; /* still at the question's own name */
	/* names gone through, so that no circle is walked; the last is where we are */
	unsigned n_seen;
	struct name seen[ANSWER_CHAIN_MAX];
	unsigned n_dnames; /* gone through */
	const struct zone_rrset *dnames[ANSWER_CHAIN_MAX + 1];
	/* sets whose names may have addresses worth adding */
	unsigned n_extras;
	const struct zone_rrset *extras[EXTRAS_MAX];
	const struct zone_node *cut; /* a referral's */
	unsigned n_glued;
	const struct zone_node *glued[GLUED_MAX];
	/* names whose NSEC are needed: at most one for each name gone through, and two at the end */
	unsigned n_proofs;
	const struct zone_node *proofs[ANSWER_CHAIN_MAX + 3];
};

static bool is_address(unsigned type) { return type == TYPE_A || type == TYPE_AAAA; }

/* RFC 8482, 4.2: one record that says nothing, so that ANY neither amplifies nor wakes. */
static void add_hinfo(struct walk *w)
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

/* The set of which the bytes are the answer, as a whole: a copy. */
static void add_plain(struct wire_reply *r, enum wire_section section, const struct tables *t,
		      const struct zone_rrset *set)
{
	if (set->sig_n > 0 && r->q->dnssec_ok)
		wire_add(r, section, tables_bytes(t, set), (size_t)set->n + set->sig_n,
			 set->count + tables_signatures(t, set));
	else
		wire_add(r, section, tables_bytes(t, set), set->n, set->count);
}

/* The set with this owner; without one, with the name we have come to. */
static void add_set(struct walk *w, enum wire_section section, const struct zone_rrset *set,
		    const struct zone_node *owner)
{
	const struct wire_layout *layout = wire_layout(set->type);
	struct wire_rrset out = { .type = set->type, .count = set->count, .records = tables_bytes(w->t, set),
				  .n = set->n, .owner = w->name, .owner_labels = w->labels };

	if (!owner && w->first && set->plain) {
		add_plain(&w->r, section, w->t, set);
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

/* RFC 2308, 3: the SOA tells how long "no" may be remembered.  Its owner is the zone: the end of
 * the question's name. */
static void add_soa(struct wire_reply *r, const struct tables *t, const struct zone_match *m)
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

/* The same for the name that aliases led to. */
static void add_negative(struct walk *w)
{
	const struct zone *z = w->m.zone;
	const struct zone_rrset *soa;
	uint8_t b[WIRE_RECORD_HEAD + 2 * WIRE_NAME_MAX + 20];
	struct wire_rrset set = { .type = TYPE_SOA, .count = 1, .records = b };

	if (w->first) {
		add_soa(&w->r, w->t, &w->m);
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

/* That this name is not there, or what there is at it. */
static void prove(struct walk *w, const uint8_t *name, unsigned labels)
{
	if (w->a->q.dnssec_ok && w->m.zone->is_signed)
		need_proof(w, tables_denial(w->t, w->m.zone, name, labels));
}

/* What there is at this name; for which its own NSEC is at hand, if it is one of this zone. */
static void prove_types(struct walk *w, const struct zone_node *node)
{
	bool own = w->a->q.dnssec_ok && tables_zone_at(w->t, node->zone) == w->m.zone &&
		   tables_rrset(w->t, node, TYPE_NSEC);

	if (own)
		need_proof(w, node);
	else
		prove(w, tables_name(w->t, node), node->labels);
}

/* That no wildcard stands for the name either. */
static void prove_no_wildcard(struct walk *w)
{
	const struct zone_node *encloser = w->m.encloser;
	uint8_t wildcard[WIRE_NAME_MAX + 2] = { 1, '*' };

	memcpy(wildcard + 2, tables_name(w->t, encloser), encloser->name_n);
	prove(w, wildcard, encloser->labels + 1u);
}

static void add_proofs(struct walk *w)
{
	for (unsigned i = 0; i < w->n_proofs; i++)
		add_set(w, SECTION_AUTHORITY, tables_rrset(w->t, w->proofs[i], TYPE_NSEC), w->proofs[i]);
}

/* The smallest set of the name, but for a service's addresses and the DS of the zone above, that has
 * signatures; or NULL. */
static const struct zone_rrset *least_signed(const struct walk *w, const struct zone_node *node)
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

/* RRSIG as a question is as large a one as ANY, and answered in the same way (RFC 8482, 4.1). */
static void add_only_signatures(struct walk *w, const struct zone_rrset *set)
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

/* Of one type for all names, so that each has an address before one has two. */
static void add_additional(struct walk *w, unsigned type)
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

/* ---- steps ---- */

enum step { STEP_END, STEP_ON, STEP_HOLD, STEP_PROVE, STEP_FAIL };

static void no_such_name(struct walk *w)
{
	w->a->rcode = RCODE_NXDOMAIN; /* also at the end of aliases: RFC 6604, 3 */
	wire_set_rcode(&w->r, RCODE_NXDOMAIN);
	add_negative(w);
	prove(w, w->name, w->labels);
	prove_no_wildcard(w);
}

static void no_such_record(struct walk *w, const struct zone_node *node)
{
	add_negative(w);
	prove_types(w, node);
}

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

	add_set(w, SECTION_ANSWER, cname, NULL);
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
		add_set(w, SECTION_ANSWER, dname, above);
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

static bool is_running(uint8_t state) { return state == STATE_UP || state == STATE_ADOPTED; }

/* wake_dns has a say in what wakes and waits: who may not wake it does not wait for it either, where a proof
 * of who he is would help. */
static enum todo may_do(const struct answer *a, unsigned wake_dns, enum todo todo)
{
	bool waits = todo == HOLD || todo == HOLD_AND_WAKE;

	if (wake_dns == WAKE_DNS_VERIFIED && waits && !a->verified)
		return PROVE;
	if (wake_dns == WAKE_DNS_OFF && todo == HOLD_AND_WAKE)
		return FAIL;
	if (todo == ANSWER_AND_WAKE && (wake_dns == WAKE_DNS_OFF || (wake_dns == WAKE_DNS_VERIFIED && !a->verified)))
		return ANSWER;
	return todo;
}

/* Who asks for an address that nobody knows yet can only wait for it. */
static enum todo wait_for(enum todo todo)
{
	if (todo == ANSWER)
		return HOLD;
	return todo == ANSWER_AND_WAKE ? HOLD_AND_WAKE : todo;
}

/* ... and so has whoever asks again, for a query that must not wait any longer. */
static enum todo what_to_do(const struct answer *a, const struct zone_service *s, unsigned state, bool unknown)
{
	unsigned when = s->answer; /* an index itself would not be read atomically (GCC) */
	enum todo usual = todo_of[state][when];
	enum todo todo = may_do(a, s->wake_dns, unknown ? wait_for(usual) : usual);

	if (unknown && todo == ANSWER) /* wake_dns: off */
		todo = FAIL;
	if (a->wish == WISH_WAIT || todo == ANSWER || todo == FAIL)
		return todo;
	if (a->wish == WISH_NOW && !unknown)
		return ANSWER;
	return a->wish == WISH_PROVE && !a->verified ? PROVE : FAIL;
}

static bool use_variant(const struct tables *t, const struct zone_node *node, unsigned type,
			enum zone_variant variant, const struct zone_rrset **set)
{
	const struct zone_rrset *other = tables_variant(t, node, type, variant);

	if (other)
		*set = other;
	return other;
}

/* A query for the address of a service.  Of a family that it does not have (*set is NULL), the answer is
 * known at once, unless it is still to be learned; the service is wanted all the same.  *set becomes the form of
 * it that is to be given. */
static enum step ask_service(struct answer *a, struct tables *t, const struct zone_node *node,
			     const struct zone_rrset **set)
{
	struct zone_service *s = tables_service_at(t, node->service);
	unsigned state = s->state, type = a->q.type;
	bool unknown = s->unknown && type == TYPE_A;
	enum todo todo = what_to_do(a, s, state, unknown);

	a->service = s;
	a->wake = todo == ANSWER_AND_WAKE || todo == HOLD_AND_WAKE;
	a->mark = is_running(state);
	if (!*set && !unknown)
		return STEP_END;
	if (todo == PROVE)
		return STEP_PROVE;
	if (todo == HOLD || todo == HOLD_AND_WAKE)
		return STEP_HOLD;
	if (todo == FAIL) {
		if (a->wish == WISH_WAIT)
			a->trouble = state == STATE_CONFLICT ? TROUBLE_CONFLICT : TROUBLE_ASLEEP;
		return use_variant(t, node, type, ZONE_FALLBACK, set) ? STEP_END : STEP_FAIL;
	}
	a->mark = true;
	if (!is_running(state))
		use_variant(t, node, type, ZONE_DOWN, set);
	return STEP_END;
}

static enum step at_service(struct walk *w)
{
	const struct zone_rrset *set = tables_rrset(w->t, w->m.node, w->a->q.type);
	enum step step = ask_service(w->a, w->t, w->m.node, &set);

	if (step == STEP_END && set)
		add_set(w, SECTION_ANSWER, set, NULL);
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
		add_set(w, SECTION_ANSWER, set, NULL);
		return STEP_END;
	}
	if (type == TYPE_RRSIG && (set = least_signed(w, node)))
		add_only_signatures(w, set);
	else if (node->flags & NODE_CNAME)
		return follow_cname(w, tables_rrset(w->t, node, TYPE_CNAME));
	else if (type == TYPE_ANY && w->a->q.dnssec_ok && (set = least_signed(w, node)))
		add_set(w, SECTION_ANSWER, set, NULL);
	else if (type == TYPE_ANY && node->rrsets != ZONE_NONE)
		add_hinfo(w);
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
	todo = may_do(w->a, s->wake_dns, HOLD_AND_WAKE);
	w->a->service = s;
	w->a->wake = todo == HOLD_AND_WAKE && w->a->wish == WISH_WAIT;
	if (w->a->wake)
		return STEP_HOLD;
	if (!w->a->verified && (todo == PROVE || w->a->wish == WISH_PROVE))
		return STEP_PROVE;
	fallback = tables_variant(w->t, node, w->a->q.type, ZONE_FALLBACK);
	if (!fallback)
		return STEP_FAIL;
	add_set(w, SECTION_ANSWER, fallback, NULL);
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
	add_set(w, SECTION_AUTHORITY, tables_rrset(w->t, cut, TYPE_NS), cut);
	if (ds && w->a->q.dnssec_ok)
		add_set(w, SECTION_AUTHORITY, ds, cut);
	else
		prove_types(w, cut);
	return STEP_END;
}

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
		prove(w, w->name, w->labels);
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
		add_proofs(w);
		if (w->n_extras > 0 && !w->r.cut) {
			add_additional(w, TYPE_A);
			add_additional(w, TYPE_AAAA);
		}
		finish(a, &w->r, a->rcode);
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

/* No such name, and nothing that stands in for it.  False: walk. */
static bool answer_miss(struct answer *a, const struct tables *t, const struct zone_match *m, bool tcp,
			unsigned flags, uint8_t *b)
{
	const struct zone_node *encloser = m->encloser;
	struct wire_reply r;

	if (encloser->cut != ZONE_NONE || encloser->wildcard != ZONE_NONE || encloser->flags & NODE_DNAME ||
	    (a->q.dnssec_ok && m->zone->is_signed))
		return false;
	begin(&r, &a->q, tcp, b, flags | FLAG_AA, RCODE_NXDOMAIN);
	add_soa(&r, t, m);
	finish(a, &r, RCODE_NXDOMAIN);
	return true;
}

/* What most are: records that are there, and are bytes to copy.  False: walk. */
static bool answer_hit(struct answer *a, struct tables *t, const struct zone_match *m, bool tcp, unsigned flags,
		       uint8_t *b)
{
	const struct zone_node *node = m->node;
	const struct zone_rrset *set;
	struct wire_reply r;

	if (!node)
		return answer_miss(a, t, m, tcp, flags, b);
	if (node->cut != ZONE_NONE)
		return false;
	set = tables_rrset(t, node, a->q.type);
	if (!set || !set->plain)
		return false;
	if (node->service != ZONE_NONE && is_address(a->q.type) && ask_service(a, t, node, &set) != STEP_END)
		return false;
	begin(&r, &a->q, tcp, b, flags | FLAG_AA, RCODE_NOERROR);
	add_plain(&r, SECTION_ANSWER, t, set);
	finish(a, &r, RCODE_NOERROR);
	return true;
}

static void answer_from_tables(struct answer *a, struct tables *t, const struct zone_match *m, bool tcp,
			       unsigned flags, uint8_t *b)
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
	begin(&w.r, &a->q, tcp, b, flags | FLAG_AA, RCODE_NOERROR);
	if (a->q.type == TYPE_DS)
		look_above(&w);
	while (step == STEP_ON)
		step = take_step(&w);
	finish_walk(&w, step);
}

/* ---- the query itself ---- */

/* The rcode of a query that no table is needed for; RCODE_NOERROR: look further. */
static unsigned refuse(const struct wire_query *q, int parsed)
{
	if (q->flags & FLAG_OPCODE)
		return RCODE_NOTIMP;
	if (parsed != 0)
		return RCODE_FORMERR;
	if (q->edns && q->edns_version > 0)
		return RCODE_BADVERS;
	if (q->type == 0 || q->type == TYPE_OPT)
		return RCODE_FORMERR;
	if (q->class != CLASS_IN || q->type == TYPE_AXFR || q->type == TYPE_IXFR)
		return RCODE_REFUSED;
	if (q->type >= TYPE_TKEY && q->type < TYPE_ANY)
		return RCODE_NOTIMP;
	return RCODE_NOERROR;
}

/* Not answered from the tables alone.  Only of what is refused, or signed. */
static bool is_special(const struct wire_query *q, int parsed)
{
	unsigned opcode = q->flags & FLAG_OPCODE;

	if (parsed != 0)
		return false;
	return q->tsig_at > 0 || opcode == OPCODE_NOTIFY ||
	       (opcode == 0 && q->class == CLASS_IN && (q->type == TYPE_AXFR || q->type == TYPE_IXFR) &&
		!(q->edns && q->edns_version > 0));
}

static void answer_cookie(const struct asker *asker, struct answer *a)
{
	struct wire_query *q = &a->q;
	uint8_t cookie[COOKIE_FULL];

	if (cookie_is_good(asker->cookies, q->cookie, q->cookie_n, &asker->addr, asker->now_s))
		a->verified = true;
	cookie_answer(asker->cookies, q->cookie, q->cookie_n, &asker->addr, asker->now_s, cookie);
	wire_option(q, OPTION_COOKIE, cookie, sizeof(cookie));
}

/* What the answer's OPT will say, whatever the answer is. */
static void answer_options(const struct tables *t, const struct asker *asker, struct answer *a)
{
	const char *nsid = tables_conf(t)->nsid;
	uint8_t timeout[2];

	if (a->q.cookie_n > 0 && asker->cookies)
		answer_cookie(asker, a);
	if (a->q.nsid && nsid[0])
		wire_option(&a->q, OPTION_NSID, nsid, strlen(nsid));
	if (a->q.keepalive && asker->tcp) {
		wire_put16(timeout, MIN(asker->keepalive_ms / 100, (unsigned)UINT16_MAX));
		wire_option(&a->q, OPTION_KEEPALIVE, timeout, sizeof(timeout));
	}
}

void answer_query(struct tables *t, const struct asker *asker, const uint8_t *packet, size_t n, uint8_t *reply,
		  struct answer *out)
{
	int parsed = wire_parse(packet, n, &out->q);
	bool may_forward, tcp = asker->tcp;
	struct zone_match match;
	unsigned flags, rcode;

	out->verdict = VERDICT_DROP;
	out->n = 0;
	out->rcode = RCODE_NOERROR;
	out->service = NULL;
	out->label[0] = '\0';
	out->wake = out->mark = false;
	out->verified = tcp || asker->has_signed;
	out->wish = asker->wish;
	out->trouble = asker->trouble;
	if (parsed < 0)
		return;
	if (out->q.cookie_n > 0 || out->q.nsid || out->q.keepalive)
		answer_options(t, asker, out);
	may_forward = tables_may_forward(t, &asker->addr);
	flags = may_forward ? FLAG_RA : 0;
	rcode = refuse(&out->q, parsed);
	if ((rcode != RCODE_NOERROR || out->q.tsig_at > 0) && is_special(&out->q, parsed)) {
		out->verdict = VERDICT_SPECIAL;
	} else if (rcode != RCODE_NOERROR) {
		reply_rcode(out, tcp, flags, rcode, reply);
	} else if (!tables_find(t, out->q.name, out->q.name_n, out->q.labels, &match)) {
		if (may_forward && out->q.flags & FLAG_RD)
			out->verdict = VERDICT_FORWARD;
		else
			reply_not_ours(out, tcp, flags, reply);
	} else if (!answer_hit(out, t, &match, tcp, flags, reply)) {
		answer_from_tables(out, t, &match, tcp, flags, reply);
	}
}
