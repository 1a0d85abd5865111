#include "dns/wire.h"

#include <assert.h>

#include "dns/name.h"

enum { RR_FIXED = 10 /* type, class, ttl, length */, EDE_TEXT_MAX = 80, POINTER_MAX = 0x3fff };

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

/* RFC 7873, 5.2.2: 8 bytes of the client, and 8 to 32 of the server or none. */
static bool is_cookie_length(size_t n)
{
	return n == WIRE_COOKIE_CLIENT || (n >= 2 * WIRE_COOKIE_CLIENT && n <= WIRE_COOKIE_MAX);
}

static bool take_option(unsigned code, const uint8_t *data, size_t n, struct wire_query *q)
{
	switch (code) {
	case OPTION_NSID: q->nsid = true; break;
	case OPTION_KEEPALIVE: q->keepalive = true; break;
	case OPTION_COOKIE:
		if (!is_cookie_length(n))
			return false;
		if (q->cookie_n == 0) { /* RFC 7873, 5.2: the first one counts */
			q->cookie = data;
			q->cookie_n = (uint8_t)n;
		}
		break;
	default: break; /* RFC 6891, 6.1.2: what is not known is ignored */
	}
	return true;
}

/* They must be whole, whatever they are (RFC 6891, 6.1.2). */
static bool take_options(const uint8_t *p, size_t n, struct wire_query *q)
{
	while (n > 0) {
		size_t length;

		if (n < 4)
			return false;
		length = 4u + wire_get16(p + 2);
		if (length > n || !take_option(wire_get16(p), p + 4, length - 4, q))
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
	if (!take_options(p + RR_FIXED, wire_get16(p + 8), q))
		return RCODE_FORMERR;
	q->edns = true;
	q->edns_size = wire_get16(p + 2);
	q->edns_version = p[5];
	q->dnssec_ok = (p[6] & 0x80) != 0;
	return 0;
}

/* Every record behind the question, whatever it is, must be whole; OPT is taken from the additional
 * section, TSIG from its end (RFC 8945, 5.1), and nothing may follow the last. */
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
		} else if (wire_get16(packet + at) == TYPE_TSIG) {
			if (i < before || i + 1 < total || name_at > UINT16_MAX)
				return RCODE_FORMERR;
			q->tsig_at = (uint16_t)name_at;
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
	q->edns = q->dnssec_ok = q->nsid = q->keepalive = false;
	q->cookie_n = q->options_n = 0;
	q->edns_version = 0;
	q->edns_size = 0;
	q->tsig_at = 0;
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

static uint8_t *put_option(uint8_t *p, unsigned code, const void *data, size_t n)
{
	p = wire_put16(p, code);
	p = wire_put16(p, (unsigned)n);
	if (n > 0)
		memcpy(p, data, n);
	return p + n;
}

static uint8_t *put_query_options(uint8_t *p, const struct wire_query *q)
{
	uint8_t *length = p - 2;

	if (q->nsid)
		p = put_option(p, OPTION_NSID, NULL, 0);
	if (q->keepalive)
		p = put_option(p, OPTION_KEEPALIVE, NULL, 0);
	if (q->cookie_n > 0)
		p = put_option(p, OPTION_COOKIE, q->cookie, q->cookie_n);
	wire_put16(length, (unsigned)(p - length) - 2);
	return p;
}

size_t wire_normalise(const struct wire_query *q, bool options, uint8_t *out)
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
	if (q->edns && options)
		p = put_query_options(p, q);
	return (size_t)(p - out);
}

void wire_option(struct wire_query *q, unsigned code, const void *data, size_t n)
{
	if (n + 4 > sizeof(q->options) - q->options_n)
		return;
	put_option(q->options + q->options_n, code, data, n);
	q->options_n = (uint8_t)(q->options_n + n + 4);
}

size_t wire_limit(const struct wire_query *q, bool tcp)
{
	if (tcp)
		return WIRE_TCP_MAX;
	if (!q->edns)
		return WIRE_UDP_PLAIN;
	return MIN(MAX(q->edns_size, WIRE_UDP_PLAIN), WIRE_UDP_MAX);
}

/* ---- names within record data ---- */

const struct wire_layout *wire_layout(unsigned type)
{
	static const struct wire_layout one = { 0, 1, true, false }, two = { 0, 2, true, false };
	static const struct wire_layout ns = { 0, 1, true, true }, mx = { 2, 1, true, true };
	static const struct wire_layout srv = { 6, 1, false, true }, svcb = { 2, 1, false, true };

	switch (type) {
	case TYPE_NS: return &ns;
	case TYPE_CNAME:
	case TYPE_PTR:
	case TYPE_MD:
	case TYPE_MF:
	case TYPE_MB:
	case TYPE_MG:
	case TYPE_MR: return &one;
	case TYPE_SOA:
	case TYPE_MINFO: return &two;
	case TYPE_MX: return &mx;
	case TYPE_SRV: return &srv;
	case TYPE_SVCB:
	case TYPE_HTTPS: return &svcb;
	default: return NULL;
	}
}

/* ---- writing ---- */

void wire_begin(struct wire_reply *r, const struct wire_query *q, uint8_t *b, size_t limit, unsigned flags,
		unsigned rcode)
{
	unsigned keep = q->flags & FLAG_OPCODE;

	assert(limit >= WIRE_UDP_PLAIN);
	if (keep == 0) /* only a QUERY has these bits */
		keep = q->flags & ((flags & (FLAG_RA | FLAG_AA)) == FLAG_RA ? FLAG_RD | FLAG_CD : FLAG_RD);
	r->b = b;
	r->limit = limit - (q->edns ? (size_t)WIRE_OPT + q->options_n : 0);
	r->q = q;
	r->ede_text = NULL;
	r->cut = r->has_names = false;
	wire_put16(b, q->id);
	wire_put16(b + 2, FLAG_QR | keep | flags | (rcode & FLAG_RCODE));
	wire_put16(b + 4, q->question_n ? 1 : 0);
	memset(b + 6, 0, 6);
	memcpy(b + WIRE_HEADER, q->packet + WIRE_HEADER, q->question_n);
	r->n = WIRE_HEADER + (size_t)q->question_n;
}

void wire_set_rcode(struct wire_reply *r, unsigned rcode)
{
	r->b[3] = (uint8_t)((r->b[3] & ~FLAG_RCODE) | (rcode & FLAG_RCODE));
}

void wire_set_cut(struct wire_reply *r)
{
	r->b[2] |= FLAG_TC >> 8;
	r->cut = true;
}

static void count(struct wire_reply *r, enum wire_section section, unsigned more)
{
	wire_put16(r->b + section, wire_get16(r->b + section) + more);
}

uint8_t *wire_add(struct wire_reply *r, enum wire_section section, const uint8_t *records, size_t n,
		  unsigned n_records)
{
	uint8_t *at = r->b + r->n;

	if (n > r->limit - r->n) {
		wire_set_cut(r);
		return NULL;
	}
	memcpy(at, records, n);
	r->n += n;
	count(r, section, n_records);
	return at;
}

/* ---- names in the answer ---- */

/* What lies at `at` in the answer, pointers and all, is this name, in any case. */
static bool is_name_at(const uint8_t *b, size_t at, const uint8_t *name)
{
	uint8_t label[WIRE_LABEL_MAX], wanted[WIRE_LABEL_MAX];

	for (;; name += *name + 1u, at += b[at] + 1u) {
		while (b[at] >= 0xc0)
			at = wire_get16(b + at) & POINTER_MAX;
		if (b[at] != *name)
			return false;
		if (*name == 0)
			return true;
		wire_lower(label, b + at + 1, *name);
		wire_lower(wanted, name + 1, *name);
		if (memcmp(label, wanted, *name) != 0)
			return false;
	}
}

static void remember(struct wire_names *names, uint32_t hash, size_t at)
{
	uint8_t slot = (uint8_t)hash;

	if (names->closed || names->n == WIRE_NAMES_MAX || at > POINTER_MAX)
		return;
	while (names->slots[slot] != 0)
		slot++;
	names->hash[names->n] = hash;
	names->at[names->n] = (uint16_t)at;
	names->slots[slot] = (uint8_t)++names->n;
}

/* 0: it is nowhere yet. */
static size_t find_name(const struct wire_reply *r, uint32_t hash, const uint8_t *name)
{
	for (uint8_t slot = (uint8_t)hash; r->names.slots[slot] != 0; slot++) {
		unsigned i = r->names.slots[slot] - 1u;

		if (i < r->names.n && r->names.hash[i] == hash && is_name_at(r->b, r->names.at[i], name))
			return r->names.at[i];
	}
	return 0;
}

/* hashes[l]: of the name's last l labels. */
static void hash_suffixes(const uint8_t *name, unsigned labels, uint8_t *starts, uint32_t *hashes)
{
	uint8_t lower[WIRE_NAME_MAX];

	name_label_starts(name, labels, starts);
	wire_lower(lower, name, starts[labels] + 1u);
	hashes[0] = NAME_HASH_ROOT;
	for (unsigned l = 1; l <= labels; l++)
		hashes[l] = name_hash_label(hashes[l - 1], lower + starts[labels - l]);
}

static void begin_names(struct wire_reply *r)
{
	uint8_t starts[WIRE_LABELS_MAX + 1];
	uint32_t hashes[WIRE_LABELS_MAX + 1];
	const struct wire_query *q = r->q;

	r->has_names = true;
	r->names.closed = false;
	r->names.n = 0;
	memset(r->names.slots, 0, sizeof(r->names.slots));
	if (q->question_n == 0)
		return;
	hash_suffixes(q->name, q->labels, starts, hashes);
	for (unsigned l = q->labels; l > 0; l--)
		remember(&r->names, hashes[l], WIRE_HEADER + (size_t)starts[q->labels - l]);
}

/* The longest end of it that lies in the answer already becomes a pointer. */
static bool put_name(struct wire_reply *r, const uint8_t *name, unsigned labels)
{
	uint8_t starts[WIRE_LABELS_MAX + 1];
	uint32_t hashes[WIRE_LABELS_MAX + 1];
	size_t target = 0, head_n;
	unsigned l = labels;

	if (!r->has_names)
		begin_names(r);
	hash_suffixes(name, labels, starts, hashes);
	while (l > 0 && (target = find_name(r, hashes[l], name + starts[labels - l])) == 0)
		l--;
	head_n = starts[labels - l];
	if (head_n + (target ? 2 : 1) > r->limit - r->n)
		return false;
	for (unsigned i = labels; i > l; i--)
		remember(&r->names, hashes[i], r->n + starts[labels - i]);
	memcpy(r->b + r->n, name, head_n);
	r->n += head_n;
	if (target)
		wire_put16(r->b + r->n, 0xc000u | (unsigned)target);
	else
		r->b[r->n] = 0;
	r->n += target ? 2 : 1;
	return true;
}

static bool put_bytes(struct wire_reply *r, const uint8_t *bytes, size_t n)
{
	if (n > r->limit - r->n)
		return false;
	memcpy(r->b + r->n, bytes, n);
	r->n += n;
	return true;
}

static bool put_owner(struct wire_reply *r, const struct wire_rrset *set, uint16_t *owner_at)
{
	uint8_t pointer[2];

	if (*owner_at == 0) {
		size_t at = r->n;

		if (!put_name(r, set->owner, set->owner_labels))
			return false;
		if (at <= POINTER_MAX) /* if it became a pointer itself, to where that leads */
			*owner_at = r->b[at] >= 0xc0 ? wire_get16(r->b + at) & POINTER_MAX : (uint16_t)at;
		return true;
	}
	wire_put16(pointer, 0xc000u | *owner_at);
	return put_bytes(r, pointer, sizeof(pointer));
}

static bool put_data(struct wire_reply *r, const struct wire_layout *layout, const uint8_t *data, size_t n)
{
	size_t at = layout->skip;

	if (!put_bytes(r, data, at))
		return false;
	for (unsigned i = 0; i < layout->names; i++) {
		unsigned labels = 0;
		size_t name_n = wire_name_length(data + at, n - at, &labels);

		assert(name_n > 0); /* the zone's maker has looked */
		if (!put_name(r, data + at, labels))
			return false;
		at += name_n;
	}
	return put_bytes(r, data + at, n - at);
}

static bool put_record(struct wire_reply *r, const struct wire_rrset *set, const struct wire_layout *layout,
		       const uint8_t *record, uint16_t *owner_at)
{
	size_t n = wire_get16(record + 10), data_at;

	if (!put_owner(r, set, owner_at) || !put_bytes(r, record + 2, 10))
		return false;
	data_at = r->n;
	if (layout ? !put_data(r, layout, record + WIRE_RECORD_HEAD, n) : !put_bytes(r, record + WIRE_RECORD_HEAD, n))
		return false;
	wire_put16(r->b + data_at - 2, (unsigned)(r->n - data_at));
	return true;
}

/* Slots of names that are no longer there stay, and count for nothing. */
static void take_back(struct wire_reply *r, size_t n, unsigned n_names)
{
	r->n = n;
	if (r->has_names) {
		r->names.n = n_names;
		r->names.closed = true;
	}
}

bool wire_add_rrset(struct wire_reply *r, enum wire_section section, const struct wire_rrset *set)
{
	const struct wire_layout *layout = wire_layout(set->type);
	size_t before = r->n;
	unsigned names_before;
	uint16_t owner_at = set->owner_at;
	const uint8_t *p = set->records;

	if (layout && !layout->compress)
		layout = NULL;
	if (!r->has_names && (layout || owner_at == 0))
		begin_names(r);
	names_before = r->has_names ? r->names.n : 0;
	for (unsigned i = 0; i < set->count; i++, p += WIRE_RECORD_HEAD + (size_t)wire_get16(p + 10)) {
		if (!put_record(r, set, layout, p, &owner_at)) {
			take_back(r, before, names_before);
			return false;
		}
	}
	count(r, section, set->count);
	return true;
}

/* RFC 8914, 2; left out when there is no room. */
static void add_ede(struct wire_reply *r, uint8_t *opt_length)
{
	size_t text_n = strnlen(r->ede_text, EDE_TEXT_MAX), room = r->limit + WIRE_OPT + r->q->options_n - r->n;
	uint8_t *p = r->b + r->n;

	if (text_n + 6 > room)
		return;
	wire_put16(opt_length, wire_get16(opt_length) + (unsigned)text_n + 6);
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
	if (r->q->options_n > 0) {
		wire_put16(end - 2, r->q->options_n);
		memcpy(end, r->q->options, r->q->options_n);
	}
	r->n = (size_t)(end - r->b) + r->q->options_n;
	count(r, SECTION_ADDITIONAL, 1);
	if (r->ede_text)
		add_ede(r, end - 2);
	return r->n;
}
