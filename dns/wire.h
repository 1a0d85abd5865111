/* DNS messages as bytes (RFC 1035, 4): just what a server of few record types needs.
 *
 * Everything read here is hostile.  A query is parsed once, front to back, with every length
 * checked against the packet's end; nothing is allocated, no compression pointer is ever
 * followed.
 */
#ifndef DNS_WIRE_H
#define DNS_WIRE_H

#include "base/util.h"

enum {
	WIRE_HEADER = 12,
	WIRE_NAME_MAX = 255, /* with its final zero */
	WIRE_LABEL_MAX = 63,
	WIRE_LABELS_MAX = 127,
	WIRE_QUESTION_MAX = WIRE_NAME_MAX + 4,
	WIRE_OPT = 11, /* an OPT record without options */
	WIRE_COOKIE_CLIENT = 8,
	WIRE_COOKIE_MAX = 40, /* the client's part and the server's (RFC 7873, 4) */
	WIRE_OPTIONS_MAX = 160, /* that an answer's OPT carries, beside an extended error */
	WIRE_NORMAL_MAX = WIRE_HEADER + WIRE_QUESTION_MAX + WIRE_OPT + 4 + 4 + 4 + WIRE_COOKIE_MAX,
	WIRE_UDP_PLAIN = 512, /* an answer's most bytes over UDP without EDNS */
	WIRE_UDP_MAX = 1232, /* with EDNS: fits every path without fragments */
	WIRE_TCP_MAX = 65535,
};

enum {
	TYPE_A = 1,
	TYPE_NS = 2,
	TYPE_MD = 3,
	TYPE_MF = 4,
	TYPE_CNAME = 5,
	TYPE_SOA = 6,
	TYPE_MB = 7,
	TYPE_MG = 8,
	TYPE_MR = 9,
	TYPE_NULL = 10,
	TYPE_PTR = 12,
	TYPE_HINFO = 13,
	TYPE_MINFO = 14,
	TYPE_MX = 15,
	TYPE_TXT = 16,
	TYPE_SIG = 24,
	TYPE_AAAA = 28,
	TYPE_NXT = 30,
	TYPE_SRV = 33,
	TYPE_DNAME = 39,
	TYPE_OPT = 41,
	TYPE_DS = 43,
	TYPE_RRSIG = 46,
	TYPE_NSEC = 47,
	TYPE_DNSKEY = 48,
	TYPE_NSEC3 = 50,
	TYPE_NSEC3PARAM = 51,
	TYPE_CDS = 59,
	TYPE_CDNSKEY = 60,
	TYPE_SVCB = 64,
	TYPE_HTTPS = 65,
	TYPE_TKEY = 249,
	TYPE_TSIG = 250,
	TYPE_IXFR = 251,
	TYPE_AXFR = 252,
	TYPE_MAILB = 253,
	TYPE_MAILA = 254,
	TYPE_ANY = 255,
	CLASS_IN = 1,
	CLASS_CH = 3,
	CLASS_ANY = 255,
};

enum {
	OPTION_NSID = 3, /* RFC 5001 */
	OPTION_COOKIE = 10, /* RFC 7873 */
	OPTION_KEEPALIVE = 11, /* RFC 7828 */
	OPTION_EDE = 15, /* RFC 8914 */
};

enum {
	RCODE_NOERROR = 0,
	RCODE_FORMERR = 1,
	RCODE_SERVFAIL = 2,
	RCODE_NXDOMAIN = 3,
	RCODE_NOTIMP = 4,
	RCODE_REFUSED = 5,
	RCODE_YXDOMAIN = 6,
	RCODE_NOTAUTH = 9,
	RCODE_BADVERS = 16, /* its high bits travel in the OPT record */
	RCODE_BADCOOKIE = 23, /* so do its */
};

/* The header's second word */
enum {
	FLAG_QR = 0x8000,
	FLAG_OPCODE = 0x7800,
	FLAG_AA = 0x0400,
	FLAG_TC = 0x0200,
	FLAG_RD = 0x0100,
	FLAG_RA = 0x0080,
	FLAG_AD = 0x0020,
	FLAG_CD = 0x0010,
	FLAG_RCODE = 0x000f,
	OPCODE_NOTIFY = 4 << 11, /* RFC 1996 */
};

struct wire_query {
	const uint8_t *packet; /* borrowed: lives as long as the packet */
	uint16_t id;
	uint16_t flags;
	uint16_t type, class;
	uint16_t question_n; /* bytes of the question, at WIRE_HEADER; 0: there is none to echo */
	bool edns, dnssec_ok;
	uint8_t edns_version;
	uint16_t edns_size; /* as asked for */
	bool nsid, keepalive; /* the client has these options */
	uint16_t tsig_at; /* where its TSIG record (RFC 8945), the last, begins; 0: it has none */
	uint8_t cookie_n; /* 0: it has none */
	const uint8_t *cookie; /* in the packet */
	uint8_t options_n; /* what the answer's OPT shall carry: wire_option() */
	uint8_t options[WIRE_OPTIONS_MAX];
	uint8_t labels; /* without the root */
	uint8_t name_n; /* with the final zero */
	uint8_t name[WIRE_NAME_MAX]; /* in wire form, lower case */
};

static inline uint16_t wire_get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }

static inline uint8_t *wire_put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

static inline uint8_t *wire_put32(uint8_t *p, uint32_t v)
{
	wire_put16(p, v >> 16);
	return wire_put16(p + 2, v & 0xffff);
}

/* Lower case (ASCII alone, RFC 4343).  Length bytes are at most 63, below 'A': a whole name can be
 * treated at once. */
static inline void wire_lower(uint8_t *out, const uint8_t *in, size_t n)
{
	const uint64_t each = 0x0101010101010101;
	size_t i;

	for (i = 0; i + 8 <= n; i += 8) { /* the high bit of each byte tells whether it is one of A .. Z */
		uint64_t v, low, upper;

		memcpy(&v, in + i, sizeof(v));
		low = v & each * 0x7f;
		upper = ~v & (low + each * (0x80 - 'A')) & ~(low + each * (0x7f - 'Z')) & each * 0x80;
		v |= upper >> 2;
		memcpy(out + i, &v, sizeof(v));
	}
	for (; i < n; i++)
		out[i] = (uint8_t)(in[i] + ((uint8_t)(in[i] - 'A') < 26 ? 32 : 0));
}

/* Bytes of the whole name at p, final zero included; 0 when it is not one within n bytes, or has
 * a compression pointer.  *labels counts them without the root. */
size_t wire_name_length(const uint8_t *p, size_t n, unsigned *labels);

/* 0 when the packet is a well-formed query; RCODE_FORMERR when it is one that is not; -EINVAL when
 * it must not be answered at all (too short for a header, or itself an answer).  With
 * RCODE_FORMERR only id and flags are set, and question_n and edns say "none". */
int wire_parse(const uint8_t *packet, size_t n, struct wire_query *q);

/* The same query without whatever does not matter for its answer: header, question, OPT with the
 * options that are answered, or with none of them.  `out` holds WIRE_NORMAL_MAX bytes.  The length. */
size_t wire_normalise(const struct wire_query *q, bool options, uint8_t *out);

/* The answer to this query will carry this option, if there is room for it in `options`. */
void wire_option(struct wire_query *q, unsigned code, const void *data, size_t n);

/* The most bytes its answer may have. */
size_t wire_limit(const struct wire_query *q, bool tcp);

/* ---- an answer being written ---- */

enum { WIRE_NAMES_MAX = 126 };

/* Names that lie in the answer already, so that others may point to them (RFC 1035, 4.1.4): each
 * suffix of a name, found by its hash. */
struct wire_names {
	unsigned n;
	bool closed; /* nothing more is remembered */
	uint8_t slots[256]; /* 0: free; else 1 + which of `at` */
	uint32_t hash[WIRE_NAMES_MAX];
	uint16_t at[WIRE_NAMES_MAX];
};

struct wire_reply {
	uint8_t *b;
	size_t n, limit;
	const struct wire_query *q;
	const char *ede_text; /* with ede_code: an extended error (RFC 8914), when the query had EDNS */
	uint16_t ede_code;
	bool cut; /* TC is set */
	bool has_names; /* `names` has been filled */
	struct wire_names names;
};

/* Header and question.  Never more than `limit` bytes, at least WIRE_UDP_PLAIN, are written.
 * `flags`: QR, AA, RA and rcode (also BADVERS) as wanted; RD follows the query, and CD
 * where RA is set and AA is not (RFC 4035, 3.1.6 and 3.2.2). */
void wire_begin(struct wire_reply *r, const struct wire_query *q, uint8_t *b, size_t limit, unsigned flags,
		unsigned rcode);
void wire_set_rcode(struct wire_reply *r, unsigned rcode); /* its low four bits */

enum wire_section { SECTION_ANSWER = 6, SECTION_AUTHORITY = 8, SECTION_ADDITIONAL = 10 }; /* where its count lies */

/* `count` records, ready made.  Where they start, or NULL when they do not fit: then TC is set. */
uint8_t *wire_add(struct wire_reply *r, enum wire_section section, const uint8_t *records, size_t n,
		  unsigned count);

enum { WIRE_RECORD_HEAD = 12, WIRE_OWNER_QUESTION = 0xc000 | WIRE_HEADER };

/* Records of one owner and type, each as WIRE_RECORD_HEAD (a pointer for the owner, type, class,
 * TTL, length) and its data without compression. */
struct wire_rrset {
	uint16_t type, count;
	const uint8_t *records;
	size_t n;
	uint16_t owner_at; /* where its owner lies in the answer; 0: it is to be written */
	const uint8_t *owner; /* only then; in lower case */
	uint8_t owner_labels;
};

/* The whole set, with names compressed where RFC 3597, 4 allows it.  False: it does not fit, and
 * nothing was written. */
bool wire_add_rrset(struct wire_reply *r, enum wire_section section, const struct wire_rrset *set);

/* Something that must be in the answer does not fit (RFC 2181, 9). */
void wire_set_cut(struct wire_reply *r);

/* Adds OPT when the query had one.  The answer's length. */
size_t wire_end(struct wire_reply *r, unsigned rcode);

/* ---- names within record data ---- */

/* How a type's data begins: `skip` bytes, then `names` names. */
struct wire_layout {
	uint8_t skip, names;
	bool compress; /* RFC 3597, 4: the types of RFC 1035 alone */
	bool additional; /* the (last) name's addresses are of use to whoever asks */
};
/* NULL: no names that anything is done with. */
const struct wire_layout *wire_layout(unsigned type);

#endif
