#include "dns/canonical.h"

#include "dns/name.h"

enum { TYPE_RP = 17, TYPE_AFSDB = 18, TYPE_RT = 21, TYPE_PX = 26, TYPE_NAPTR = 35, TYPE_KX = 36, TYPE_A6 = 38 };

/* Labels are compared from the root end, as strings of bytes. */
int canonical_compare(const uint8_t *a, unsigned a_labels, const uint8_t *b, unsigned b_labels, unsigned skip)
{
	uint8_t a_starts[WIRE_LABELS_MAX + 1], b_starts[WIRE_LABELS_MAX + 1];

	name_label_starts(a, a_labels, a_starts);
	name_label_starts(b, b_labels, b_starts);
	for (unsigned l = skip + 1; l <= MIN(a_labels, b_labels); l++) {
		const uint8_t *p = a + a_starts[a_labels - l], *q = b + b_starts[b_labels - l];
		int c = memcmp(p + 1, q + 1, MIN(*p, *q));

		if (c == 0)
			c = *p - *q;
		if (c != 0)
			return c;
	}
	return (int)a_labels - (int)b_labels;
}

/* Where the names begin in the data of such a record, and how many there are.  (HINFO, NSEC and RRSIG
 * are not among them: RFC 6840, 5.1, and erratum 1062.) */
static unsigned names_of(unsigned type, size_t *at)
{
	static const struct { uint16_t type; uint8_t skip, names; } rows[] = {
		{ TYPE_NS, 0, 1 },    { TYPE_MD, 0, 1 },    { TYPE_MF, 0, 1 },	{ TYPE_CNAME, 0, 1 },
		{ TYPE_SOA, 0, 2 },   { TYPE_MB, 0, 1 },    { TYPE_MG, 0, 1 },	{ TYPE_MR, 0, 1 },
		{ TYPE_PTR, 0, 1 },   { TYPE_MINFO, 0, 2 }, { TYPE_MX, 2, 1 },	{ TYPE_RP, 0, 2 },
		{ TYPE_AFSDB, 2, 1 }, { TYPE_RT, 2, 1 },    { TYPE_PX, 2, 2 },	{ TYPE_NAPTR, 4, 1 },
		{ TYPE_KX, 2, 1 },    { TYPE_SRV, 6, 1 },   { TYPE_DNAME, 0, 1 }, { TYPE_A6, 1, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].type == type) {
			*at = rows[i].skip;
			return rows[i].names;
		}
	}
	return 0;
}

/* Before the name of these lies what has a length of its own. */
static size_t skip_more(unsigned type, const uint8_t *data, size_t n, size_t at)
{
	if (type == TYPE_A6 && n > 0 && data[0] <= 128) /* RFC 2874, 3.1.1 */
		return at + 16 - data[0] / 8u;
	for (unsigned i = 0; type == TYPE_NAPTR && i < 3; i++) /* RFC 3403, 4.1: three strings */
		at += at < n ? data[at] + 1u : 1u;
	return at;
}

void canonical_data(unsigned type, uint8_t *data, size_t n)
{
	size_t at = 0;
	unsigned names = names_of(type, &at), labels;

	if (names == 0)
		return;
	at = skip_more(type, data, n, at);
	for (unsigned i = 0; i < names && at < n; i++) {
		size_t name_n = wire_name_length(data + at, n - at, &labels);

		if (name_n == 0)
			return;
		wire_lower(data + at, data + at, name_n);
		at += name_n;
	}
}
