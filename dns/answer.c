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

size_t answer_servfail(const struct wire_query *q, bool tcp, bool may_forward, enum trouble why, uint8_t *reply)
{
	struct wire_reply r;

	begin(&r, q, tcp, reply, may_forward ? FLAG_RA : 0, RCODE_SERVFAIL);
	r.ede_code = troubles[why].code;
	r.ede_text = troubles[why].text;
	return wire_end(&r, RCODE_SERVFAIL);
}

/* ---- from the tables ---- */

/* RFC 8482, 4.2: one record that says nothing, so that ANY neither amplifies nor wakes. */
static void add_hinfo(struct wire_reply *r, uint32_t ttl_s)
{
	static const uint8_t rdata[] = "\x07RFC8482"; /* CPU, and its NUL is an empty OS */
	uint8_t b[12 + sizeof(rdata)];
	uint8_t *p = wire_put16(b, 0xc000 | WIRE_HEADER);

	p = wire_put16(p, TYPE_HINFO);
	p = wire_put16(p, CLASS_IN);
	p = wire_put32(p, ttl_s);
	p = wire_put16(p, sizeof(rdata));
	memcpy(p, rdata, sizeof(rdata));
	wire_add(r, SECTION_ANSWER, b, sizeof(b), 1);
}

static const struct zone_records *records_of(const struct zone_node *node, uint16_t type)
{
	static const struct zone_records none;

	switch (type) {
	case TYPE_A: return &node->rr[ZONE_A];
	case TYPE_AAAA: return &node->rr[ZONE_AAAA];
	case TYPE_NS: return &node->rr[ZONE_NS];
	case TYPE_SOA: return &node->rr[ZONE_SOA];
	case TYPE_PTR: return &node->rr[ZONE_PTR];
	default: return &none;
	}
}

static bool has_records(const struct zone_node *node)
{
	for (unsigned i = 0; i < ZONE_RR_N; i++)
		if (node->rr[i].count > 0)
			return true;
	return false;
}

/* RFC 2308, 3: the SOA tells how long "no" may be remembered.  Its owner is the zone: the end of
 * the question's name. */
static void add_negative(struct wire_reply *r, const struct tables *t, const struct zone_match *m)
{
	const struct zone_records *soa = &m->zone->negative_soa;
	uint8_t *at = wire_add(r, SECTION_AUTHORITY, tables_bytes(t, soa), soa->n, soa->count);

	if (at)
		wire_put16(at, 0xc000u | (WIRE_HEADER + m->apex_at));
}

static void reply_from_zone(struct answer *a, const struct tables *t, const struct zone_match *m, bool tcp,
			    unsigned flags, uint8_t *b)
{
	unsigned rcode = m->node ? RCODE_NOERROR : RCODE_NXDOMAIN;
	const struct zone_records *records = m->node ? records_of(m->node, a->q.type) : NULL;
	struct wire_reply r;

	begin(&r, &a->q, tcp, b, flags | FLAG_AA, rcode);
	if (m->node && a->q.type == TYPE_ANY && has_records(m->node))
		add_hinfo(&r, m->zone->ttl_s);
	else if (records && records->count > 0)
		wire_add(&r, SECTION_ANSWER, tables_bytes(t, records), records->n, records->count);
	else
		add_negative(&r, t, m);
	finish(a, &r, rcode);
}

static bool is_running(uint8_t state) { return state == STATE_UP || state == STATE_ADOPTED; }

/* A query for the address of a service.  Of a family that it does not have, the answer is known
 * at once; the service is wanted all the same. */
static void answer_service(struct answer *a, const struct tables *t, const struct zone_match *m, bool tcp,
			   unsigned flags, uint8_t *b)
{
	struct zone_service *s = a->service;
	enum todo todo = todo_of[s->state][s->answer];
	bool has_address = records_of(m->node, a->q.type)->count > 0;

	a->wake = todo == ANSWER_AND_WAKE || todo == HOLD_AND_WAKE;
	if (has_address && todo == FAIL) {
		a->n = answer_servfail(&a->q, tcp, flags & FLAG_RA, TROUBLE_CONFLICT, b);
		a->verdict = VERDICT_REPLY;
		a->rcode = RCODE_SERVFAIL;
	} else if (has_address && (todo == HOLD || todo == HOLD_AND_WAKE)) {
		a->verdict = VERDICT_HOLD;
	} else {
		a->mark = has_address || is_running(s->state);
		reply_from_zone(a, t, m, tcp, flags, b);
	}
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

void answer_query(struct tables *t, const struct ip_addr *client, bool tcp, const uint8_t *packet, size_t n,
		  uint8_t *reply, struct answer *out)
{
	int parsed = wire_parse(packet, n, &out->q);
	bool may_forward;
	struct zone_match match;
	unsigned flags, rcode;

	out->verdict = VERDICT_DROP;
	out->n = 0;
	out->rcode = RCODE_NOERROR;
	out->service = NULL;
	out->wake = out->mark = false;
	if (parsed < 0)
		return;
	may_forward = tables_may_forward(t, client);
	flags = may_forward ? FLAG_RA : 0;
	rcode = refuse(&out->q, parsed);
	if (rcode != RCODE_NOERROR) {
		reply_rcode(out, tcp, flags, rcode, reply);
	} else if (!tables_find(t, out->q.name, out->q.name_n, out->q.labels, &match)) {
		if (may_forward && out->q.flags & FLAG_RD)
			out->verdict = VERDICT_FORWARD;
		else
			reply_rcode(out, tcp, flags, RCODE_REFUSED, reply);
	} else if (match.node && match.node->service != ZONE_NONE &&
		   (out->q.type == TYPE_A || out->q.type == TYPE_AAAA)) {
		out->service = tables_service_at(t, match.node->service);
		answer_service(out, t, &match, tcp, flags, reply);
	} else {
		reply_from_zone(out, t, &match, tcp, flags, reply);
	}
}
