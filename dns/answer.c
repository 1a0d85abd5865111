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
 *	no such record, no such name		SOA					end
 *
 * Additional records are only static ones.  A service's address is given only to those who ask for
 * it, so that whoever has it has woken the service.
 */
#include "dns/answer.h"

#include <assert.h>

/* What a query for the address of a service leads to, by the service's state and its `answer`. */
enum todo { ANSWER, ANSWER_AND_WAKE, HOLD, HOLD_AND_WAKE, FAIL };

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
	/* sets whose names may have addresses worth adding */
	unsigned n_extras;
	const struct zone_rrset *extras[EXTRAS_MAX];
	const struct zone_node *cut; /* a referral's */
	unsigned n_glued;
	const struct zone_node *glued[GLUED_MAX];
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

/* The set with this owner; without one, with the name we have come to. */
static void add_set(struct walk *w, enum wire_section section, const struct zone_rrset *set,
		    const struct zone_node *owner)
{
	const struct wire_layout *layout = wire_layout(set->type);
	struct wire_rrset out = { .type = set->type, .count = set->count, .records = tables_bytes(w->t, set),
				  .n = set->n, .owner = w->name, .owner_labels = w->labels };

	if (!owner && w->first && set->plain) {
		wire_add(&w->r, section, out.records, set->n, set->count);
		return;
	}
	if (owner) {
		out.owner = tables_name(w->t, owner);
		out.owner_labels = owner->labels;
	} else if (w->first) {
		out.owner_at = WIRE_HEADER;
	}
	if (!wire_add_rrset(&w->r, section, &out))
		wire_set_cut(&w->r);
	else if (layout && layout->additional && w->n_extras < EXTRAS_MAX)
		w->extras[w->n_extras++] = set;
}

/* RFC 2308, 3: the SOA tells how long "no" may be remembered.  Its owner is the zone: the end of
 * the question's name. */
static void add_soa(struct wire_reply *r, const struct tables *t, const struct zone_match *m)
{
	const struct zone *z = m->zone;
	uint8_t *at = wire_add(r, SECTION_AUTHORITY, tables_bytes(t, &z->negative), z->negative.n, 1);

	for (unsigned i = 0; at && i < z->n_pointers; i++)
		wire_put16(at + z->pointers[i], 0xc000u | (WIRE_HEADER + m->apex_at));
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
	if (!wire_add_rrset(&w->r, SECTION_AUTHORITY, &set))
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
	if (!wire_add_rrset(&w->r, SECTION_ADDITIONAL, &out) && w->cut && tables_node(w->t, node->cut) == w->cut)
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

enum step { STEP_END, STEP_ON, STEP_HOLD, STEP_FAIL };

static void no_such_name(struct walk *w)
{
	w->a->rcode = RCODE_NXDOMAIN; /* also at the end of aliases: RFC 6604, 3 */
	wire_set_rcode(&w->r, RCODE_NXDOMAIN);
	add_negative(w);
}

/* On to this name; STEP_END when it is not ours, or we were there. */
static enum step go_to(struct walk *w, const struct name *target)
{
	struct name *name = &w->seen[w->n_seen];

	if (w->r.cut || w->n_seen == ANSWER_CHAIN_MAX)
		return STEP_END;
	*name = *target;
	wire_lower(name->b, target->b, target->n);
	if (name->n == w->a->q.name_n && memcmp(name->b, w->a->q.name, name->n) == 0)
		return STEP_END;
	for (unsigned i = 0; i < w->n_seen; i++)
		if (w->seen[i].n == name->n && memcmp(w->seen[i].b, name->b, name->n) == 0)
			return STEP_END;
	if (!tables_find(w->t, name->b, name->n, name->labels, &w->m))
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

/* A query for the address of a service.  Of a family that it does not have (no set), the answer is
 * known at once; the service is wanted all the same. */
static enum step ask_service(struct answer *a, struct zone_service *s, const struct zone_rrset *set)
{
	enum todo todo = todo_of[s->state][s->answer];

	a->service = s;
	a->wake = todo == ANSWER_AND_WAKE || todo == HOLD_AND_WAKE;
	if (set && todo == FAIL)
		return STEP_FAIL;
	if (set && (todo == HOLD || todo == HOLD_AND_WAKE))
		return STEP_HOLD;
	a->mark = set || is_running(s->state);
	return STEP_END;
}

static enum step at_service(struct walk *w)
{
	const struct zone_rrset *set = tables_rrset(w->t, w->m.node, w->a->q.type);
	enum step step = ask_service(w->a, tables_service_at(w->t, w->m.node->service), set);

	if (step == STEP_END && set)
		add_set(w, SECTION_ANSWER, set, NULL);
	else if (step == STEP_END)
		add_negative(w);
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
	if (node->flags & NODE_CNAME)
		return follow_cname(w, tables_rrset(w->t, node, TYPE_CNAME));
	if (type == TYPE_ANY && node->rrsets != ZONE_NONE)
		add_hinfo(w);
	else
		add_negative(w);
	return STEP_END;
}

/* RFC 1034, 4.2.1: whom to ask instead.  No authority, if that is all there is to say. */
static enum step refer(struct walk *w, const struct zone_node *cut)
{
	if (w->first)
		w->r.b[2] &= (uint8_t)~(FLAG_AA >> 8);
	w->cut = cut;
	add_set(w, SECTION_AUTHORITY, tables_rrset(w->t, cut, TYPE_NS), cut);
	return STEP_END;
}

static enum step take_step(struct walk *w)
{
	const struct zone_node *node = w->m.node, *encloser = w->m.encloser, *cut = tables_node(w->t, encloser->cut);

	if (cut && !(node == cut && w->a->q.type == TYPE_DS)) /* RFC 4035, 3.1.4.1: DS is the parent's */
		return refer(w, cut);
	if (!node && encloser->flags & NODE_DNAME)
		return follow_dname(w);
	if (!node)
		node = tables_node(w->t, encloser->wildcard);
	if (!node) {
		no_such_name(w);
		return STEP_END;
	}
	if (node->service != ZONE_NONE && is_address(w->a->q.type) && node == w->m.node)
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
	case STEP_FAIL:
		a->n = answer_servfail(&a->q, w->tcp, w->flags & FLAG_RA, TROUBLE_CONFLICT, w->r.b);
		a->verdict = VERDICT_REPLY;
		a->rcode = RCODE_SERVFAIL;
		break;
	default:
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

	if (encloser->cut != ZONE_NONE || encloser->wildcard != ZONE_NONE || encloser->flags & NODE_DNAME)
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
	if (node->service != ZONE_NONE && is_address(a->q.type) &&
	    ask_service(a, tables_service_at(t, node->service), set) != STEP_END)
		return false;
	begin(&r, &a->q, tcp, b, flags | FLAG_AA, RCODE_NOERROR);
	wire_add(&r, SECTION_ANSWER, tables_bytes(t, set), set->n, set->count);
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
	w.n_seen = w.n_extras = w.n_glued = 0;
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
	out->wake = out->mark = false;
	out->verified = tcp;
	if (parsed < 0)
		return;
	if (out->q.cookie_n > 0 || out->q.nsid || out->q.keepalive)
		answer_options(t, asker, out);
	may_forward = tables_may_forward(t, &asker->addr);
	flags = may_forward ? FLAG_RA : 0;
	rcode = refuse(&out->q, parsed);
	if (rcode != RCODE_NOERROR) {
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
