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
		cmocka_unit_test(test_normal_form_keeps_what_matters),
		cmocka_unit_test(test_malformed_packets),
		cmocka_unit_test(test_every_cut_is_malformed),
		cmocka_unit_test(test_name_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
