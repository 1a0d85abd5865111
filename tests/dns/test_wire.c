#include "tests/dns/util.h"

/* ---- well-formed ---- */

static void test_query_is_read(void **state)
{
	struct wire_query q;
	uint8_t b[512];
	size_t n = make_query(b, (struct ask){ .name = "WwW.Example", .type = TYPE_AAAA, .flags = FLAG_RD | FLAG_CD,
					       .edns_size = 4000, .dnssec_ok = true });

	(void)state;
	assert_int_equal(wire_parse(b, n, &q), 0);
	assert_int_equal(q.id, 0x1234);
	assert_int_equal(q.flags, FLAG_RD | FLAG_CD);
	assert_int_equal(q.type, TYPE_AAAA);
	assert_int_equal(q.class, CLASS_IN);
	assert_int_equal(q.name_n, 13);
	assert_int_equal(q.labels, 2);
	assert_memory_equal(q.name, "\3www\7example", 13);
	assert_int_equal(q.question_n, 17);
	assert_true(q.edns && q.dnssec_ok);
	assert_int_equal(q.edns_size, 4000);
	assert_int_equal(wire_limit(&q, false), WIRE_UDP_MAX);
	assert_int_equal(wire_limit(&q, true), WIRE_TCP_MAX);
}

static void test_root_is_a_name(void **state)
{
	struct wire_query q;
	uint8_t b[512];
	size_t n = make_query(b, (struct ask){ .name = "", .type = TYPE_NS });

	(void)state;
	assert_int_equal(wire_parse(b, n, &q), 0);
	assert_int_equal(q.name_n, 1);
	assert_int_equal(q.labels, 0);
}

static void test_limit_follows_edns(void **state)
{
	static const struct {
		unsigned edns, limit;
	} rows[] = { { 0, 512 }, { 1, 512 }, { 511, 512 }, { 512, 512 }, { 1000, 1000 }, { 1232, 1232 }, { 65535, 1232 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct wire_query q;
		uint8_t b[512];
		size_t n = make_query(b, (struct ask){ .name = "a", .type = 1, .edns_size = rows[i].edns });

		assert_int_equal(wire_parse(b, n, &q), 0);
		assert_int_equal(wire_limit(&q, false), rows[i].limit);
	}
}

static void test_longest_name(void **state)
{
	uint8_t b[512] = { 0x12, 0x34, 0, 0, 0, 1 };
	struct wire_query q;
	uint8_t *p = b + WIRE_HEADER;

	(void)state;
	for (int i = 0; i < WIRE_LABELS_MAX; i++) {
		*p++ = 1;
		*p++ = 'X';
	}
	*p++ = 0;
	p = wire_put16(p, TYPE_A);
	p = wire_put16(p, CLASS_IN);
	assert_int_equal(wire_parse(b, (size_t)(p - b), &q), 0);
	assert_int_equal(q.name_n, 255);
	assert_int_equal(q.labels, WIRE_LABELS_MAX);
	assert_int_equal(q.name[253], 'x');
}

static void test_records_behind_the_question_are_skipped(void **state)
{
	uint8_t b[512];
	struct wire_query q;
	size_t n = make_query(b, (struct ask){ .name = "a.b", .type = 1 });
	uint8_t *p = b + n;

	(void)state;
	/* an answer whose owner is a pointer, an authority record with a name of labels and a
	 * pointer, then OPT with an option */
	static const uint8_t records[] = {
		0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 1, 2, 3, 4,
		1, 'x', 0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 1, 0, 0,
		0, 0, 41, 4, 210, 0, 0, 0, 0, 0, 6, 0, 12, 0, 2, 0, 0,
	};
	memcpy(p, records, sizeof(records));
	b[7] = b[9] = b[11] = 1;
	assert_int_equal(wire_parse(b, n + sizeof(records), &q), 0);
	assert_true(q.edns);
	assert_int_equal(q.edns_size, 1234);
}

#define OPTIONS(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })
#define BYTES8 1, 2, 3, 4, 5, 6, 7, 8

static void test_options(void **state)
{
	const struct {
		const char *what;
		const uint8_t *b;
		size_t n;
		int expected;
		bool nsid, keepalive;
		unsigned cookie_n;
	} rows[] = {
		{ "NSID", OPTIONS(0, 3, 0, 0), .nsid = true },
		{ "keepalive", OPTIONS(0, 11, 0, 0), .keepalive = true },
		{ "one nobody knows", OPTIONS(0xfd, 0xe9, 0, 3, 1, 2, 3), .cookie_n = 0 },
		{ "the same twice", OPTIONS(0xfd, 0xe9, 0, 0, 0xfd, 0xe9, 0, 0), .cookie_n = 0 },
		{ "a client's cookie", OPTIONS(0, 10, 0, 8, BYTES8), .cookie_n = 8 },
		{ "a whole cookie", OPTIONS(0, 10, 0, 16, BYTES8, BYTES8), .cookie_n = 16 },
		{ "the longest", OPTIONS(0, 10, 0, 40, BYTES8, BYTES8, BYTES8, BYTES8, BYTES8), .cookie_n = 40 },
		{ "all", OPTIONS(0, 3, 0, 0, 0xfd, 0xe9, 0, 1, 9, 0, 10, 0, 8, BYTES8, 0, 11, 0, 0), 0, true, true, 8 },
		{ "two cookies: the first", OPTIONS(0, 10, 0, 8, BYTES8, 0, 10, 0, 16, BYTES8, BYTES8), .cookie_n = 8 },
		{ "no cookie in it", OPTIONS(0, 10, 0, 0), .expected = RCODE_FORMERR },
		{ "half a cookie", OPTIONS(0, 10, 0, 7, 1, 2, 3, 4, 5, 6, 7), .expected = RCODE_FORMERR },
		{ "half a server's", OPTIONS(0, 10, 0, 12, BYTES8, 1, 2, 3, 4), .expected = RCODE_FORMERR },
		{ "a cookie too long", OPTIONS(0, 10, 0, 41, BYTES8, BYTES8, BYTES8, BYTES8, BYTES8, 1), .expected = RCODE_FORMERR },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t b[512], normal[WIRE_NORMAL_MAX];
		size_t n = make_query(b, (struct ask){ .name = "a", .type = 1, .edns_size = 512 });
		struct wire_query q;

		wire_put16(b + n - 2, (unsigned)rows[i].n);
		memcpy(b + n, rows[i].b, rows[i].n);
		if (wire_parse(b, n + rows[i].n, &q) != rows[i].expected)
			fail_msg("%s", rows[i].what);
		if (rows[i].expected)
			continue;
		for (int again = 0; again < 2; again++) { /* the normal form has them, too */
			assert_int_equal(q.nsid, rows[i].nsid);
			assert_int_equal(q.keepalive, rows[i].keepalive);
			assert_int_equal(q.cookie_n, rows[i].cookie_n);
			n = wire_normalise(&q, true, normal);
			assert_int_equal(wire_parse(normal, n, &q), 0);
		}
		n = wire_normalise(&q, false, b); /* an upstream is not asked for them */
		assert_int_equal(wire_parse(b, n, &q), 0);
		assert_true(q.edns && !q.nsid && !q.keepalive && q.cookie_n == 0);
	}
}

/* ---- names in answers ---- */

struct written {
	struct wire_query q;
	uint8_t query[512], b[ANSWER_SIZE_MAX];
	struct wire_reply r;
};

static struct written *begin_reply(const char *question, size_t limit)
{
	struct written *w = calloc(1, sizeof(*w));
	size_t n = make_query(w->query, (struct ask){ .name = question, .type = 1 });

	assert_int_equal(wire_parse(w->query, n, &w->q), 0);
	wire_begin(&w->r, &w->q, w->b, limit, 0, 0);
	return w;
}

/* One record of this owner; names in dotted form. */
static bool add_name_record(struct written *w, const char *owner, unsigned type, const char *target)
{
	uint8_t record[WIRE_RECORD_HEAD + WIRE_NAME_MAX + 2] = { 0xc0, 12 }, name[WIRE_NAME_MAX], *p;
	struct wire_rrset set = { .type = (uint16_t)type, .count = 1, .records = record, .owner = name };
	unsigned labels;

	wire_name_length(name, (size_t)(put_dotted(name, owner) - name), &labels);
	set.owner_labels = (uint8_t)labels;
	p = put_dotted(record + WIRE_RECORD_HEAD + (type == TYPE_MX ? 2 : 0), target);
	wire_put16(record + 2, type);
	wire_put16(record + 4, CLASS_IN);
	wire_put16(record + 10, (unsigned)(p - record) - WIRE_RECORD_HEAD);
	set.n = (size_t)(p - record);
	return wire_add_rrset(&w->r, SECTION_ANSWER, &set);
}

static void test_names_are_compressed(void **state)
{
	struct written *w = begin_reply("WWW.example.org", ANSWER_SIZE_MAX);
	ldns_pkt *p;

	(void)state;
	assert_true(add_name_record(w, "www.example.org", TYPE_CNAME, "a.b.Example.org"));
	assert_int_equal(w->r.n, 12 + 17 + 4 + 2 + 10 + 6); /* pointers to the question, for both */
	assert_true(add_name_record(w, "b.example.org", TYPE_MX, "a.b.example.ORG"));
	assert_int_equal(w->r.n, 51 + 2 + 10 + 4);
	assert_true(add_name_record(w, "c.other", TYPE_NS, "other"));
	assert_int_equal(w->r.n, 67 + 9 + 10 + 2);
	assert_true(add_name_record(w, "c.other", TYPE_SRV, "c.other")); /* not there: RFC 3597 */
	assert_int_equal(w->r.n, 88 + 2 + 10 + 9);
	assert_true(add_name_record(w, "", TYPE_NS, ""));
	assert_int_equal(w->r.n, 109 + 1 + 10 + 1);
	wire_put16(w->b + 2, FLAG_QR);
	p = NULL;
	wire_put16(w->b + SECTION_ANSWER, 3); /* (the SRV above is none) */
	assert_int_equal(ldns_wire2pkt(&p, w->b, 88), LDNS_STATUS_OK);
	assert_rr(ldns_pkt_answer(p), 0, "WWW.example.org.\t0\tIN\tCNAME\ta.b.example.org.");
	assert_rr(ldns_pkt_answer(p), 1, "b.example.org.\t0\tIN\tMX\t0 a.b.example.org.");
	assert_rr(ldns_pkt_answer(p), 2, "c.other.\t0\tIN\tNS\tother.");
	ldns_pkt_free(p);
	free(w);
}

/* More names than are remembered, and beyond where a pointer can lead; and sets that are taken back. */
static void test_many_names(void **state)
{
	struct written *w = begin_reply("example.org", ANSWER_SIZE_MAX);
	unsigned count = 0;
	ldns_pkt *p = NULL;
	char name[64];

	(void)state;
	do {
		snprintf(name, sizeof(name), "some-name-%u.%u.example.org", count, count % 300);
		count++;
	} while (add_name_record(w, name, TYPE_NS, name));
	count--;
	assert_true(count > 1000);
	assert_int_equal(ldns_wire2pkt(&p, w->b, w->r.n), LDNS_STATUS_OK);
	assert_int_equal(ldns_rr_list_rr_count(ldns_pkt_answer(p)), count);
	for (unsigned i = 0; i < count; i += 13) {
		char expected[200];

		snprintf(name, sizeof(name), "some-name-%u.%u.example.org.", i, i % 300);
		snprintf(expected, sizeof(expected), "%s\t0\tIN\tNS\t%s", name, name);
		assert_rr(ldns_pkt_answer(p), i, expected);
	}
	ldns_pkt_free(p);
	free(w);
}

static void test_a_set_that_does_not_fit_leaves_nothing(void **state)
{
	struct written *w = begin_reply("example.org", WIRE_UDP_PLAIN);
	uint8_t before[WIRE_UDP_PLAIN];
	char name[256], other[256];
	size_t n;

	(void)state;
	snprintf(name, sizeof(name), "%060u.%060u.%060u.example.org", 1u, 1u, 1u);
	assert_true(add_name_record(w, "a", TYPE_NS, name));
	n = w->r.n;
	memcpy(before, w->b, n);
	for (unsigned i = 2; i < 1000; i++) { /* however often it is tried */
		snprintf(name, sizeof(name), "%060u.%060u.%060u.example.org", i, i, i);
		snprintf(other, sizeof(other), "%060u.%060u.%060u.example.org", i, i, i + 1);
		assert_false(add_name_record(w, name, TYPE_NS, other));
		assert_int_equal(w->r.n, n);
	}
	assert_memory_equal(w->b, before, n);
	snprintf(name, sizeof(name), "%060u.%060u.%060u.example.org", 1u, 1u, 1u);
	assert_true(add_name_record(w, "a", TYPE_CNAME, name)); /* what is there is still known */
	assert_int_equal(w->r.n, n + 2 + 10 + 2);
	free(w);
}

static void test_normal_form_keeps_what_matters(void **state)
{
	struct wire_query q, again;
	uint8_t b[512], normal[WIRE_NORMAL_MAX];
	size_t n = make_query(b, (struct ask){ .name = "CaSe.example", .type = 28, .flags = FLAG_RD, .edns_size = 1400,
					       .dnssec_ok = true, .edns_version = 0 });

	(void)state;
	assert_int_equal(wire_parse(b, n, &q), 0);
	n = wire_normalise(&q, true, normal);
	assert_int_equal(wire_parse(normal, n, &again), 0);
	assert_int_equal(again.id, q.id);
	assert_int_equal(again.flags, q.flags);
	assert_int_equal(again.edns_size, 1400);
	assert_true(again.dnssec_ok);
	assert_memory_equal(normal + WIRE_HEADER, b + WIRE_HEADER, q.question_n);
}

/* ---- malformed ---- */

#define HEADER(qd, an, ns, ar) 0x12, 0x34, 0, 0, 0, qd, 0, an, 0, ns, 0, ar
#define QUESTION 1, 'a', 0, 0, 1, 0, 1
#define OPT 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0

struct bad {
	const char *what;
	int expected;
	size_t n;
	const uint8_t *b;
};

#define BAD(what, expected, ...)                                                                   \
	{ what, expected, sizeof((const uint8_t[]){ __VA_ARGS__ }), (const uint8_t[]){ __VA_ARGS__ } }

static const struct bad bads[] = {
	BAD("eleven bytes", -EINVAL, 0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0),
	BAD("an answer", -EINVAL, 0x12, 0x34, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, QUESTION),
	BAD("no question", RCODE_FORMERR, HEADER(0, 0, 0, 0)),
	BAD("no question but OPT", RCODE_FORMERR, HEADER(0, 0, 0, 1), OPT),
	BAD("two questions", RCODE_FORMERR, HEADER(2, 0, 0, 0), QUESTION, QUESTION),
	BAD("header alone", RCODE_FORMERR, HEADER(1, 0, 0, 0)),
	BAD("name without its end", RCODE_FORMERR, HEADER(1, 0, 0, 0), 1, 'a'),
	BAD("label longer than the packet", RCODE_FORMERR, HEADER(1, 0, 0, 0), 63, 'a', 0, 0, 1, 0, 1),
	BAD("pointer as name", RCODE_FORMERR, HEADER(1, 0, 0, 0), 0xc0, 12, 0, 1, 0, 1),
	BAD("pointer in the name", RCODE_FORMERR, HEADER(1, 0, 0, 0), 1, 'a', 0xc0, 12, 0, 1, 0, 1),
	BAD("extended label", RCODE_FORMERR, HEADER(1, 0, 0, 0), 0x41, 'a', 0, 0, 1, 0, 1),
	BAD("0x80 label", RCODE_FORMERR, HEADER(1, 0, 0, 0), 0x80, 'a', 0, 0, 1, 0, 1),
	BAD("no type", RCODE_FORMERR, HEADER(1, 0, 0, 0), 1, 'a', 0),
	BAD("half a class", RCODE_FORMERR, HEADER(1, 0, 0, 0), 1, 'a', 0, 0, 1, 0),
	BAD("bytes left over", RCODE_FORMERR, HEADER(1, 0, 0, 0), QUESTION, 0),
	BAD("an answer promised", RCODE_FORMERR, HEADER(1, 1, 0, 0), QUESTION),
	BAD("additional promised", RCODE_FORMERR, HEADER(1, 0, 0, 1), QUESTION),
	BAD("65535 records promised", RCODE_FORMERR, 0x12, 0x34, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, QUESTION),
	BAD("record cut in its head", RCODE_FORMERR, HEADER(1, 0, 0, 1), QUESTION, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0),
	BAD("record cut in its data", RCODE_FORMERR, HEADER(1, 0, 0, 1), QUESTION, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 4, 0, 0),
	BAD("data length beyond all", RCODE_FORMERR, HEADER(1, 0, 0, 1), QUESTION, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0xff, 0xff),
	BAD("owner without end", RCODE_FORMERR, HEADER(1, 0, 0, 1), QUESTION, 5, 'a'),
	BAD("half a pointer as owner", RCODE_FORMERR, HEADER(1, 0, 0, 1), QUESTION, 0xc0),
	BAD("0x40 label as owner", RCODE_FORMERR, HEADER(1, 0, 0, 1), QUESTION, 0x40, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0),
	BAD("two OPT", RCODE_FORMERR, HEADER(1, 0, 0, 2), QUESTION, OPT, OPT),
	BAD("OPT as an answer", RCODE_FORMERR, HEADER(1, 1, 0, 0), QUESTION, OPT),
	BAD("OPT as authority", RCODE_FORMERR, HEADER(1, 0, 1, 0), QUESTION, OPT),
	BAD("OPT not of the root", RCODE_FORMERR, HEADER(1, 0, 0, 1), QUESTION, 1, 'a', OPT),
	BAD("OPT of a pointer", RCODE_FORMERR, HEADER(1, 0, 0, 1), QUESTION, 0xc0, 12, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0),
	BAD("option cut in its head", RCODE_FORMERR, HEADER(1, 0, 0, 1), QUESTION, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 3, 0, 10, 0),
	BAD("option cut in its data", RCODE_FORMERR, HEADER(1, 0, 0, 1), QUESTION, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 5, 0, 10, 0, 2, 0),
};

static void test_malformed_packets(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bads); i++) {
		uint8_t *exact = malloc(bads[i].n); /* so that ASan sees a byte too far */
		struct wire_query q;
		int r;

		memcpy(exact, bads[i].b, bads[i].n);
		r = wire_parse(exact, bads[i].n, &q);
		if (r != bads[i].expected)
			fail_msg("%s: %d", bads[i].what, r);
		if (r > 0) {
			assert_int_equal(q.question_n, 0);
			assert_false(q.edns);
			assert_int_equal(q.id, 0x1234);
		}
		free(exact);
	}
}

/* Every way to cut a good packet short is malformed; none reads beyond its end. */
static void test_every_cut_is_malformed(void **state)
{
	uint8_t b[512];
	size_t n = make_query(b, (struct ask){ .name = "www.jitsu.example", .type = 1, .edns_size = 1232 });

	(void)state;
	for (size_t cut = 0; cut < n; cut++) {
		uint8_t *exact = malloc(cut + 1);
		struct wire_query q;

		memcpy(exact, b, cut);
		assert_int_equal(wire_parse(cut ? exact : b, cut, &q), cut < WIRE_HEADER ? -EINVAL : RCODE_FORMERR);
		free(exact);
	}
}

static void test_name_too_long(void **state)
{
	uint8_t b[512] = { 0x12, 0x34, 0, 0, 0, 1 };
	struct wire_query q;
	uint8_t *p = b + WIRE_HEADER;

	(void)state;
	for (int i = 0; i < 4; i++) { /* 4 x 64 + 1 = 257 bytes */
		*p++ = 63;
		memset(p, 'a', 63);
		p += 63;
	}
	*p++ = 0;
	p = wire_put32(p, 0x00010001);
	assert_int_equal(wire_parse(b, (size_t)(p - b), &q), RCODE_FORMERR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query_is_read),
		cmocka_unit_test(test_root_is_a_name),
		cmocka_unit_test(test_limit_follows_edns),
		cmocka_unit_test(test_longest_name),
		cmocka_unit_test(test_records_behind_the_question_are_skipped),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_names_are_compressed),
		cmocka_unit_test(test_many_names),
		cmocka_unit_test(test_a_set_that_does_not_fit_leaves_nothing),
		cmocka_unit_test(test_normal_form_keeps_what_matters),
		cmocka_unit_test(test_malformed_packets),
		cmocka_unit_test(test_every_cut_is_malformed),
		cmocka_unit_test(test_name_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
