#include "dns/wire.h"

#include <assert.h>

enum { RR_FIXED = 10 /* type, class, ttl, length */, OPTION_EDE = 15, EDE_TEXT_MAX = 80 };

/* ---- reading ---- */

size_t wire_name_length(const uint8_t *p, size_t n, unsigned *labels)
{
	unsigned count = 0;
	size_t at = 0;

	if (n > WIRE_NAME_MAX)
		n = WIRE_NAME_MAX;
	while (at < n) {
		if (p[at] == 0) {
			*labels = count;
			return at + 1;
		}
		if (p[at] > WIRE_LABEL_MAX)
			return 0;
		at += p[at] + 1u;
		count++;
	}
	return 0;
}

static int parse_question(const uint8_t *packet, size_t n, struct wire_query *q)
{
	const uint8_t *p = packet + WIRE_HEADER;
	unsigned labels;
	size_t name_n = wire_name_length(p, n - WIRE_HEADER, &labels);

	if (name_n == 0 || n - WIRE_HEADER - name_n < 4)
		return RCODE_FORMERR;
	wire_lower(q->name, p, name_n);
	q->name_n = (uint8_t)name_n;
	q->labels = (uint8_t)labels;
	q->type = wire_get16(p + name_n);
	q->class = wire_get16(p + name_n + 2);
	q->question_n = (uint16_t)(name_n + 4);
	return 0;
}

/* Behind the name at `at`, which may end in a pointer; 0 when it is none. */
static size_t skip_name(const uint8_t *packet, size_t n, size_t at)
{
	while (at < n) {
		uint8_t length = packet[at];

		if (length == 0)
			return at + 1;
		if (length >= 0xc0)
			return at + 2 <= n ? at + 2 : 0;
		if (length > WIRE_LABEL_MAX)
			return 0;
		at += length + 1u;
	}
	return 0;
}

/* The OPT record's options must at least be whole (RFC 6891, 6.1.2). */
static bool options_are_whole(const uint8_t *p, size_t n)
{
	while (n > 0) {
		size_t length;

		if (n < 4)
			return false;
		length = 4u + wire_get16(p + 2);
		if (length > n)
			return false;
		p += length;
		n -= length;
	}
	return true;
}

static int take_opt(const uint8_t *packet, size_t name_at, size_t at, struct wire_query *q)
{
	const uint8_t *p = packet + at;

	if (q->edns || packet[name_at] != 0) /* RFC 6891, 6.1.1: one, and its owner is the root */
		return RCODE_FORMERR;
	if (!options_are_whole(p + RR_FIXED, wire_get16(p + 8)))
		return RCODE_FORMERR;
	q->edns = true;
	q->edns_size = wire_get16(p + 2);
	q->edns_version = p[5];
	q->dnssec_ok = (p[6] & 0x80) != 0;
	return 0;
}

/* Every record behind the question, whatever it is, must be whole; OPT is taken from the additional
 * section, and nothing may follow the last. */
static int parse_records(const uint8_t *packet, size_t n, struct wire_query *q)
{
	unsigned before = (unsigned)wire_get16(packet + 6) + wire_get16(packet + 8);
	unsigned total = before + wire_get16(packet + 10);
	size_t at = WIRE_HEADER + q->question_n;

	for (unsigned i = 0; i < total; i++) {
		size_t name_at = at;

		at = skip_name(packet, n, at);
		if (at == 0 || n - at < RR_FIXED || n - at - RR_FIXED < wire_get16(packet + at + 8))
			return RCODE_FORMERR;
		if (wire_get16(packet + at) == TYPE_OPT) {
			if (i < before || take_opt(packet, name_at, at, q) != 0)
				return RCODE_FORMERR;
		}
		at += RR_FIXED + (size_t)wire_get16(packet + at + 8);
	}
	return at == n ? 0 : RCODE_FORMERR;
}

int wire_parse(const uint8_t *packet, size_t n, struct wire_query *q)
{
	int r;

	if (n < WIRE_HEADER)
		return -EINVAL;
	q->packet = packet;
	q->id = wire_get16(packet);
	q->flags = wire_get16(packet + 2);
	q->question_n = 0;
	q->edns = q->dnssec_ok = false;
	q->edns_version = 0;
	q->edns_size = 0;
	q->type = q->class = 0;
	q->labels = q->name_n = 0;
	if (q->flags & FLAG_QR)
		return -EINVAL;
	if (wire_get16(packet + 4) != 1) /* RFC 9619 */
		return RCODE_FORMERR;
	r = parse_question(packet, n, q);
	if (r == 0)
		r = parse_records(packet, n, q);
	if (r != 0) {
		q->question_n = 0;
		q->edns = false;
	}
	return r;
}

static uint8_t *put_opt(uint8_t *p, const struct wire_query *q, unsigned size, unsigned rcode, unsigned version)
{
	*p++ = 0;
	p = wire_put16(p, TYPE_OPT);
	p = wire_put16(p, size);
	*p++ = (uint8_t)(rcode >> 4);
	*p++ = (uint8_t)version;
	p = wire_put16(p, q->dnssec_ok ? 0x8000 : 0);
	return wire_put16(p, 0);
}

size_t wire_normalise(const struct wire_query *q, uint8_t *out)
{
	uint8_t *p = out;

	p = wire_put16(p, q->id);
	p = wire_put16(p, q->flags);
	p = wire_put16(p, 1);
	p = wire_put32(p, 0);
	p = wire_put16(p, q->edns ? 1 : 0);
	memcpy(p, q->packet + WIRE_HEADER, q->question_n);
	p += q->question_n;
	if (q->edns)
		p = put_opt(p, q, q->edns_size, 0, q->edns_version);
	return (size_t)(p - out);
}

size_t wire_limit(const struct wire_query *q, bool tcp)
{
	if (tcp)
		return WIRE_TCP_MAX;
	if (!q->edns)
		return WIRE_UDP_PLAIN;
	return MIN(MAX(q->edns_size, WIRE_UDP_PLAIN), WIRE_UDP_MAX);
}

/* ---- writing ---- */

void wire_begin(struct wire_reply *r, const struct wire_query *q, uint8_t *b, size_t limit, unsigned flags,
		unsigned rcode)
{
	unsigned keep = q->flags & FLAG_OPCODE;

	assert(limit >= WIRE_UDP_PLAIN);
	if (keep == 0) /* only a QUERY has these bits */
		keep = q->flags & (FLAG_RD | FLAG_CD);
	*r = (struct wire_reply){ .b = b, .limit = limit - (q->edns ? WIRE_OPT : 0), .q = q };
	wire_put16(b, q->id);
	wire_put16(b + 2, FLAG_QR | keep | flags | (rcode & FLAG_RCODE));
	wire_put16(b + 4, q->question_n ? 1 : 0);
	memset(b + 6, 0, 6);
	memcpy(b + WIRE_HEADER, q->packet + WIRE_HEADER, q->question_n);
	r->n = WIRE_HEADER + (size_t)q->question_n;
}

uint8_t *wire_add(struct wire_reply *r, enum wire_section section, const uint8_t *records, size_t n,
		  unsigned count)
{
	uint8_t *at = r->b + r->n;

	if (n > r->limit - r->n) {
		r->b[2] |= FLAG_TC >> 8;
		memset(r->b + 6, 0, 6);
		r->n = WIRE_HEADER + (size_t)r->q->question_n;
		return NULL;
	}
	memcpy(at, records, n);
	r->n += n;
	wire_put16(r->b + section, wire_get16(r->b + section) + count);
	return at;
}

/* RFC 8914, 2; left out when there is no room. */
static void add_ede(struct wire_reply *r, uint8_t *opt_length)
{
	size_t text_n = strnlen(r->ede_text, EDE_TEXT_MAX);
	uint8_t *p = r->b + r->n;

	if (text_n + 6 > r->limit + WIRE_OPT - r->n)
		return;
	wire_put16(opt_length, (unsigned)text_n + 6);
	p = wire_put16(p, OPTION_EDE);
	p = wire_put16(p, (unsigned)text_n + 2);
	p = wire_put16(p, r->ede_code);
	memcpy(p, r->ede_text, text_n);
	r->n += text_n + 6;
}

size_t wire_end(struct wire_reply *r, unsigned rcode)
{
	uint8_t *end;

	if (!r->q->edns)
		return r->n;
	end = put_opt(r->b + r->n, r->q, WIRE_UDP_MAX, rcode, 0);
	r->n = (size_t)(end - r->b);
	wire_put16(r->b + 10, 1);
	if (r->ede_text)
		add_ede(r, end - 2);
	return r->n;
}
