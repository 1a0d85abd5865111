/* Theory of operation
 *
 * A query for something that is there is answered with bytes made beforehand: one lookup, one copy.
 * So is "no such name" and "no such record": the SOA's copy has its pointers set to where the zone's
 * name lies in the question.
 *
 * All else walks (answer_walk.c).
 */
#include "dns/answer_internal.h"

#include <assert.h>

/* ---- replies ---- */

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
	[TROUBLE_FULL] = { 14, "no more services of its template may be made now" },
};
static_assert(ARRAY_SIZE(troubles) == TROUBLE_N, "a trouble has no text");

/* An answer that is nothing but an rcode. */
static void reply_rcode(struct answer *a, bool tcp, unsigned flags, unsigned rcode, uint8_t *b)
{
	struct wire_reply r;

	answer_begin(&r, &a->q, tcp, b, flags, rcode);
	answer_finish(a, &r, rcode);
}

static void reply_not_ours(struct answer *a, bool tcp, unsigned flags, uint8_t *b)
{
	struct wire_reply r;

	answer_begin(&r, &a->q, tcp, b, flags, RCODE_REFUSED);
	r.ede_code = 20; /* RFC 8914, 4.21: Not Authoritative */
	r.ede_text = "";
	answer_finish(a, &r, RCODE_REFUSED);
}

size_t answer_servfail(const struct wire_query *q, bool tcp, bool may_forward, enum trouble why, uint8_t *reply)
{
	struct wire_reply r;

	answer_begin(&r, q, tcp, reply, may_forward ? FLAG_RA : 0, RCODE_SERVFAIL);
	r.ede_code = troubles[why].code;
	r.ede_text = troubles[why].text;
	return wire_end(&r, RCODE_SERVFAIL);
}

size_t answer_slip(struct wire_query *q, uint8_t *reply)
{
	struct wire_reply r;

	if (q->options_n > 4 + COOKIE_FULL) /* a cookie helps the client, anything more a forger */
		q->options_n = 0;
	answer_begin(&r, q, false, reply, 0, RCODE_NOERROR);
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
	answer_begin(&r, q, false, reply, 0, RCODE_BADCOOKIE);
	return wire_end(&r, RCODE_BADCOOKIE);
}

/* ---- what needs no walk ---- */

/* No such name, and nothing that stands in for it.  False: walk. */
static bool answer_miss(struct answer *a, const struct tables *t, const struct zone_match *m, bool tcp,
			unsigned flags, uint8_t *b)
{
	const struct zone_node *encloser = m->encloser;
	struct wire_reply r;

	if (encloser->cut != ZONE_NONE || encloser->wildcard != ZONE_NONE || encloser->flags & NODE_DNAME ||
	    (a->q.dnssec_ok && m->zone->is_signed))
		return false;
	answer_begin(&r, &a->q, tcp, b, flags | FLAG_AA, RCODE_NXDOMAIN);
	answer_add_soa(&r, t, m);
	answer_finish(a, &r, RCODE_NXDOMAIN);
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
	if (node->service != ZONE_NONE && is_address(a->q.type) && answer_ask_service(a, t, node, &set) != STEP_END)
		return false;
	answer_begin(&r, &a->q, tcp, b, flags | FLAG_AA, RCODE_NOERROR);
	answer_add_plain(&r, SECTION_ANSWER, t, set);
	answer_finish(a, &r, RCODE_NOERROR);
	return true;
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
		answer_walk(out, t, &match, tcp, flags, reply);
	}
}
