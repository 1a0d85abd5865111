#include "tests/dns/util.h"

static const char friend_text[] = "10.0.0.1"; /* may forward */
static const char stranger_text[] = "203.0.113.1";

/* ---- every kind of answer ---- */

struct row {
	const char *what;
	struct ask ask;
	bool tcp, friend;
	/* expected */
	enum verdict verdict;
	unsigned rcode; /* with the high bits of EDNS */
	unsigned flags; /* QR, opcode, AA, TC, RD, RA, AD, CD: all of them */
	unsigned answers, authority;
	const char *first; /* the first answer, else the first authority record */
};

#define NEGATIVE_SOA "jitsu.example.\t30\tIN\tSOA\tns1.jitsu.example. admin.jitsu.example. 5 3600 600 86400 30"
#define SOA "jitsu.example.\t300\tIN\tSOA\tns1.jitsu.example. admin.jitsu.example. 5 3600 600 86400 30"
enum { QR = FLAG_QR, AA = FLAG_AA, RD = FLAG_RD, RA = FLAG_RA, TC = FLAG_TC, CD = FLAG_CD };

static const struct row rows[] = {
	{ "A", { .name = "www.jitsu.example", .type = 1 }, .verdict = VERDICT_REPLY, .flags = QR | AA, .answers = 1,
	  .first = "www.jitsu.example.\t60\tIN\tA\t192.168.1.20" },
	{ "AAAA", { .name = "www.jitsu.example", .type = 28 }, .verdict = VERDICT_REPLY, .flags = QR | AA, .answers = 1,
	  .first = "www.jitsu.example.\t60\tIN\tAAAA\tfd00::20" },
	{ "second name", { .name = "shop.deep.jitsu.example", .type = 1 }, .verdict = VERDICT_REPLY, .flags = QR | AA,
	  .answers = 1, .first = "shop.deep.jitsu.example.\t60\tIN\tA\t192.168.1.20" },
	{ "case is kept", { .name = "WwW.jItSu.EXAMPLE", .type = 1 }, .verdict = VERDICT_REPLY, .flags = QR | AA,
	  .answers = 1, .first = "WwW.jItSu.EXAMPLE.\t60\tIN\tA\t192.168.1.20" },
	{ "RD comes back, CD does not", { .name = "www.jitsu.example", .type = 1, .flags = RD | CD }, .verdict = VERDICT_REPLY,
	  .flags = QR | AA | RD, .answers = 1 },
	{ "AD, Z, AA, TC, RA do not", { .name = "www.jitsu.example", .type = 1, .flags = 0x0660 | RA },
	  .verdict = VERDICT_REPLY, .flags = QR | AA, .answers = 1 },
	{ "RA for those who may", { .name = "www.jitsu.example", .type = 1, .flags = RD }, .friend = true,
	  .verdict = VERDICT_REPLY, .flags = QR | AA | RD | RA, .answers = 1 },
	{ "SOA", { .name = "jitsu.example", .type = 6 }, .verdict = VERDICT_REPLY, .flags = QR | AA, .answers = 1, .first = SOA },
	{ "NS", { .name = "jitsu.example", .type = 2 }, .verdict = VERDICT_REPLY, .flags = QR | AA, .answers = 1,
	  .first = "jitsu.example.\t300\tIN\tNS\tns1.jitsu.example." },
	{ "PTR", { .name = "20.1.168.192.in-addr.arpa", .type = 12 }, .verdict = VERDICT_REPLY, .flags = QR | AA, .answers = 1,
	  .first = "20.1.168.192.in-addr.arpa.\t60\tIN\tPTR\twww.jitsu.example." },
	{ "PTR, IPv6", { .name = "0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.IP6.arpa", .type = 12 },
	  .verdict = VERDICT_REPLY, .flags = QR | AA, .answers = 1,
	  .first = "0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.IP6.arpa.\t60\tIN\tPTR\twww.jitsu.example." },
	{ "reverse name, other type", { .name = "20.1.168.192.in-addr.arpa", .type = 1 }, .verdict = VERDICT_REPLY,
	  .flags = QR | AA, .authority = 1,
	  .first = "20.1.168.192.in-addr.arpa.\t30\tIN\tSOA\tns1.jitsu.example. admin.jitsu.example. 5 3600 600 86400 30" },
	{ "reverse name of others", { .name = "99.1.168.192.in-addr.arpa", .type = 12 }, .verdict = VERDICT_REPLY,
	  .rcode = RCODE_REFUSED, .flags = QR },
	{ "NXDOMAIN", { .name = "nope.jitsu.example", .type = 1 }, .verdict = VERDICT_REPLY, .rcode = RCODE_NXDOMAIN,
	  .flags = QR | AA, .authority = 1, .first = NEGATIVE_SOA },
	{ "NXDOMAIN below a service", { .name = "a.www.jitsu.example", .type = 1 }, .verdict = VERDICT_REPLY,
	  .rcode = RCODE_NXDOMAIN, .flags = QR | AA, .authority = 1, .first = NEGATIVE_SOA },
	{ "NXDOMAIN deeper than all", { .name = "1.2.3.4.5.6.7.8.9.jitsu.example", .type = 1 }, .verdict = VERDICT_REPLY,
	  .rcode = RCODE_NXDOMAIN, .flags = QR | AA, .authority = 1, .first = NEGATIVE_SOA },
	{ "NODATA", { .name = "www.jitsu.example", .type = 16 }, .verdict = VERDICT_REPLY, .flags = QR | AA, .authority = 1,
	  .first = NEGATIVE_SOA },
	{ "NODATA at the apex", { .name = "jitsu.example", .type = 1 }, .verdict = VERDICT_REPLY, .flags = QR | AA,
	  .authority = 1, .first = NEGATIVE_SOA },
	{ "NODATA of a family", { .name = "four.jitsu.example", .type = 28 }, .verdict = VERDICT_REPLY, .flags = QR | AA,
	  .authority = 1, .first = NEGATIVE_SOA },
	{ "empty non-terminal", { .name = "deep.jitsu.example", .type = 1 }, .verdict = VERDICT_REPLY, .flags = QR | AA,
	  .authority = 1, .first = NEGATIVE_SOA },
	{ "ANY", { .name = "www.jitsu.example", .type = 255 }, .verdict = VERDICT_REPLY, .flags = QR | AA, .answers = 1,
	  .first = "www.jitsu.example.\t300\tIN\tHINFO\t\"RFC8482\" \"\"" },
	{ "ANY of nothing", { .name = "deep.jitsu.example", .type = 255 }, .verdict = VERDICT_REPLY, .flags = QR | AA,
	  .authority = 1, .first = NEGATIVE_SOA },
	{ "RRSIG and the like", { .name = "www.jitsu.example", .type = 46 }, .verdict = VERDICT_REPLY, .flags = QR | AA,
	  .authority = 1 },

	{ "AXFR", { .name = "jitsu.example", .type = TYPE_AXFR }, .tcp = true, .verdict = VERDICT_SPECIAL },
	{ "IXFR", { .name = "jitsu.example", .type = TYPE_IXFR }, .friend = true, .verdict = VERDICT_SPECIAL },
	{ "AXFR of class CH", { .name = "jitsu.example", .type = TYPE_AXFR, .class = 3 }, .verdict = VERDICT_REPLY,
	  .rcode = RCODE_REFUSED, .flags = QR },
	{ "class CH", { .name = "version.bind", .type = 16, .class = 3 }, .verdict = VERDICT_REPLY, .rcode = RCODE_REFUSED,
	  .flags = QR },
	{ "class ANY", { .name = "www.jitsu.example", .type = 1, .class = 255 }, .verdict = VERDICT_REPLY,
	  .rcode = RCODE_REFUSED, .flags = QR },
	{ "type 0", { .name = "www.jitsu.example", .type = 0 }, .verdict = VERDICT_REPLY, .rcode = RCODE_FORMERR, .flags = QR },
	{ "type OPT", { .name = "www.jitsu.example", .type = 41 }, .verdict = VERDICT_REPLY, .rcode = RCODE_FORMERR,
	  .flags = QR },
	{ "type TKEY", { .name = "www.jitsu.example", .type = 249 }, .verdict = VERDICT_REPLY, .rcode = RCODE_NOTIMP,
	  .flags = QR },
	{ "type MAILA", { .name = "www.jitsu.example", .type = 254 }, .verdict = VERDICT_REPLY, .rcode = RCODE_NOTIMP,
	  .flags = QR },

	{ "opcode STATUS, RD goes", { .name = "www.jitsu.example", .type = 1, .flags = 2 << 11 | RD | CD },
	  .verdict = VERDICT_REPLY, .rcode = RCODE_NOTIMP, .flags = QR | 2 << 11 },
	{ "opcode NOTIFY", { .name = "jitsu.example", .type = 6, .flags = 4 << 11 }, .verdict = VERDICT_SPECIAL },
	{ "opcode UPDATE", { .name = "jitsu.example", .type = 6, .flags = 5 << 11 }, .verdict = VERDICT_REPLY,
	  .rcode = RCODE_NOTIMP, .flags = QR | 5 << 11 },
	{ "opcode 15, header alone", { .flags = 15 << 11 }, .verdict = VERDICT_REPLY, .rcode = RCODE_NOTIMP,
	  .flags = QR | 15 << 11 },
	{ "no question", { .flags = RD }, .verdict = VERDICT_REPLY, .rcode = RCODE_FORMERR, .flags = QR | RD },
	{ "an answer", { .name = "www.jitsu.example", .type = 1, .flags = QR }, .verdict = VERDICT_DROP },

	{ "EDNS", { .name = "www.jitsu.example", .type = 1, .edns_size = 4096, .dnssec_ok = true }, .verdict = VERDICT_REPLY,
	  .flags = QR | AA, .answers = 1 },
	{ "EDNS of size 0", { .name = "www.jitsu.example", .type = 1, .edns_size = 1 }, .verdict = VERDICT_REPLY,
	  .flags = QR | AA, .answers = 1 },
	{ "EDNS version 1", { .name = "www.jitsu.example", .type = 1, .edns_size = 4096, .edns_version = 1 },
	  .verdict = VERDICT_REPLY, .rcode = RCODE_BADVERS, .flags = QR },
	{ "EDNS version 255, not ours", { .name = "elsewhere", .type = 1, .edns_size = 512, .edns_version = 255 },
	  .verdict = VERDICT_REPLY, .rcode = RCODE_BADVERS, .flags = QR },

	{ "too long for 512", { .name = MANY, .type = 28 }, .verdict = VERDICT_REPLY, .flags = QR | AA | TC },
	{ "too long for EDNS 512", { .name = MANY, .type = 28, .edns_size = 512 }, .verdict = VERDICT_REPLY,
	  .flags = QR | AA | TC },
	{ "fits EDNS 1232", { .name = MANY, .type = 28, .edns_size = 65535 }, .verdict = VERDICT_REPLY,
	  .flags = QR | AA, .answers = 16, .first = MANY ".\t60\tIN\tAAAA\tfd00::1" },
	{ "fits TCP", { .name = MANY, .type = 28 }, .tcp = true, .verdict = VERDICT_REPLY, .flags = QR | AA,
	  .answers = 16 },

	{ "outside", { .name = "example.org", .type = 1, .flags = RD }, .verdict = VERDICT_REPLY, .rcode = RCODE_REFUSED,
	  .flags = QR | RD },
	{ "outside, root", { .name = "", .type = 2, .flags = RD }, .verdict = VERDICT_REPLY, .rcode = RCODE_REFUSED,
	  .flags = QR | RD },
	{ "outside, may forward", { .name = "example.org", .type = 1, .flags = RD }, .friend = true,
	  .verdict = VERDICT_FORWARD },
	{ "outside, may forward, but does not want to", { .name = "example.org", .type = 1 }, .friend = true,
	  .verdict = VERDICT_REPLY, .rcode = RCODE_REFUSED, .flags = QR | RA },
	{ "ours is never forwarded", { .name = "nope.jitsu.example", .type = 1, .flags = RD }, .friend = true,
	  .verdict = VERDICT_REPLY, .rcode = RCODE_NXDOMAIN, .flags = QR | AA | RD | RA, .authority = 1 },
};

static void check_edns(const struct row *row, const ldns_pkt *p)
{
	assert_int_equal(ldns_pkt_edns(p), row->ask.edns_size != 0);
	if (!ldns_pkt_edns(p))
		return;
	assert_int_equal(ldns_pkt_edns_version(p), 0);
	assert_int_equal(ldns_pkt_edns_udp_size(p), WIRE_UDP_MAX);
	assert_int_equal(ldns_pkt_edns_do(p), row->ask.dnssec_ok);
	assert_int_equal(ldns_pkt_edns_extended_rcode(p), row->rcode >> 4);
}

static void check_reply(const struct row *row, const uint8_t *query, size_t query_n, const uint8_t *reply, size_t n)
{
	ldns_pkt *p = parse_reply(reply, n);
	ldns_rr_list *first = row->answers ? ldns_pkt_answer(p) : ldns_pkt_authority(p);
	unsigned flags = wire_get16(reply + 2);

	assert_memory_equal(reply, query, 2);
	if (flags != (row->flags | (row->rcode & 15)))
		fail_msg("%s: flags %04x", row->what, flags);
	assert_int_equal(wire_get16(reply + 6), row->answers);
	assert_int_equal(wire_get16(reply + 8), row->authority);
	assert_int_equal(wire_get16(reply + 4), row->ask.name ? 1 : 0);
	assert_true(n <= (row->tcp ? ANSWER_SIZE_MAX : row->ask.edns_size > 512 ? 1232 : 512));
	if (row->ask.name) { /* byte for byte */
		size_t question_n = strlen(row->ask.name) + (row->ask.name[0] ? 2 : 1) + 4;

		assert_true(query_n >= WIRE_HEADER + question_n);
		assert_memory_equal(reply + WIRE_HEADER, query + WIRE_HEADER, question_n);
	}
	if (row->first)
		assert_rr(first, 0, row->first);
	check_edns(row, p);
	ldns_pkt_free(p);
}

static void test_every_kind_of_answer(void **state)
{
	struct tables *t = example_tables(STATE_UP, ANSWER_READY);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct ip_addr client = ip(rows[i].friend ? friend_text : stranger_text);
		uint8_t query[512], *reply = malloc(rows[i].tcp ? ANSWER_SIZE_MAX : WIRE_UDP_MAX);
		size_t n = make_query(query, rows[i].ask);
		struct answer a;

		ask_tables(t, &client, rows[i].tcp, query, n, reply, &a);
		if (a.verdict != rows[i].verdict || a.rcode != rows[i].rcode)
			fail_msg("%s: verdict %u, rcode %u", rows[i].what, a.verdict, a.rcode);
		if (a.verdict == VERDICT_REPLY)
			check_reply(&rows[i], query, n, reply, a.n);
		else
			assert_int_equal(a.n, 0);
		assert_false(a.wake);
		free(reply);
	}
	tables_free(t);
}

/* The negative answer's SOA belongs to the zone, however long the name before it. */
static void test_longest_name_in_the_zone(void **state)
{
	struct tables *t = example_tables(STATE_UP, ANSWER_READY);
	struct ip_addr client = ip(stranger_text);
	uint8_t query[512], reply[WIRE_UDP_MAX];
	char name[260] = "";
	struct answer a;
	ldns_pkt *p;
	size_t n;

	(void)state;
	for (int i = 0; i < 119; i++) /* 238 + 15 + 2: all 255 */
		strcat(name, "a.");
	strcat(name, "bc.");
	memmove(name, name + 2, strlen(name) - 1);
	strcat(name, "jitsu.example");
	n = make_query(query, (struct ask){ .name = name, .type = 1 });
	ask_tables(t, &client, false, query, n, reply, &a);
	assert_int_equal(a.rcode, RCODE_NXDOMAIN);
	p = parse_reply(reply, a.n);
	assert_rr(ldns_pkt_authority(p), 0, NEGATIVE_SOA);
	ldns_pkt_free(p);
	tables_free(t);
}

/* ---- every state and every way to answer ---- */

enum { DO_ANSWER = 1, DO_HOLD = 2, DO_FAIL = 4, DO_WAKE = 8 };

static const uint8_t expected[STATE_N][ANSWER_N] = {
	[STATE_OFF] = { DO_ANSWER | DO_WAKE, DO_HOLD | DO_WAKE, DO_HOLD | DO_WAKE },
	[STATE_STARTING] = { DO_ANSWER, DO_HOLD, DO_HOLD },
	[STATE_BOOTING] = { DO_ANSWER, DO_ANSWER, DO_HOLD },
	[STATE_UP] = { DO_ANSWER, DO_ANSWER, DO_ANSWER },
	[STATE_ADOPTED] = { DO_ANSWER, DO_ANSWER, DO_ANSWER },
	[STATE_DRAINING] = { DO_ANSWER | DO_WAKE, DO_HOLD | DO_WAKE, DO_HOLD | DO_WAKE },
	[STATE_STOPPING] = { DO_ANSWER | DO_WAKE, DO_HOLD | DO_WAKE, DO_HOLD | DO_WAKE },
	[STATE_FAILED] = { DO_ANSWER | DO_WAKE, DO_HOLD | DO_WAKE, DO_HOLD | DO_WAKE },
	[STATE_SUSPENDED] = { DO_ANSWER | DO_WAKE, DO_HOLD | DO_WAKE, DO_HOLD | DO_WAKE },
	[STATE_SAVED] = { DO_ANSWER | DO_WAKE, DO_HOLD | DO_WAKE, DO_HOLD | DO_WAKE },
	[STATE_WARM] = { DO_ANSWER | DO_WAKE, DO_HOLD | DO_WAKE, DO_HOLD | DO_WAKE },
	[STATE_CONFLICT] = { DO_FAIL, DO_FAIL, DO_FAIL },
};

static void check_state(unsigned state, unsigned when, unsigned type)
{
	struct tables *t = example_tables((uint8_t)state, (uint8_t)when);
	struct ip_addr client = ip(stranger_text);
	unsigned todo = expected[state][when];
	uint8_t query[512], reply[WIRE_UDP_MAX];
	struct answer a;
	size_t n = make_query(query, (struct ask){ .name = "www.jitsu.example", .type = type });

	ask_tables(t, &client, false, query, n, reply, &a);
	assert_non_null(a.service);
	assert_int_equal(a.service->svc, SVC_WWW);
	assert_int_equal(a.verdict, todo & DO_HOLD ? VERDICT_HOLD : VERDICT_REPLY);
	assert_int_equal(a.wake, !!(todo & DO_WAKE));
	assert_int_equal(a.mark, !!(todo & DO_ANSWER));
	if (todo & DO_FAIL)
		assert_int_equal(a.rcode, RCODE_SERVFAIL);
	if (todo & DO_ANSWER)
		assert_int_equal(wire_get16(reply + 6), 1);
	tables_free(t);
}

static void test_every_state_and_way_to_answer(void **state)
{
	(void)state;
	for (unsigned s = 0; s < STATE_N; s++) {
		for (unsigned when = 0; when < ANSWER_N; when++) {
			check_state(s, when, TYPE_A);
			check_state(s, when, TYPE_AAAA);
		}
	}
}

/* Browsers ask for both families: the missing one is known at once, and still a wish. */
static void test_missing_family_wakes_and_never_waits(void **state)
{
	(void)state;
	for (unsigned s = 0; s < STATE_N; s++) {
		struct tables *t = example_tables((uint8_t)s, ANSWER_READY);
		struct ip_addr client = ip(stranger_text);
		uint8_t query[512], reply[WIRE_UDP_MAX];
		struct answer a;
		size_t n = make_query(query, (struct ask){ .name = "four.jitsu.example", .type = TYPE_AAAA });

		ask_tables(t, &client, false, query, n, reply, &a);
		assert_int_equal(a.verdict, VERDICT_REPLY);
		assert_int_equal(a.rcode, RCODE_NOERROR);
		assert_int_equal(wire_get16(reply + 6), 0);
		assert_int_equal(wire_get16(reply + 8), 1);
		assert_int_equal(a.wake, !!(expected[s][ANSWER_READY] & DO_WAKE));
		assert_int_equal(a.mark, s == STATE_UP || s == STATE_ADOPTED);
		tables_free(t);
	}
}

/* Nothing else wakes, waits or counts as use. */
static void test_only_addresses_wake(void **state)
{
	static const struct ask asks[] = {
		{ .name = "www.jitsu.example", .type = TYPE_ANY },   { .name = "www.jitsu.example", .type = 16 },
		{ .name = "www.jitsu.example", .type = TYPE_SOA },   { .name = "jitsu.example", .type = TYPE_A },
		{ .name = "x.www.jitsu.example", .type = TYPE_A },   { .name = "deep.jitsu.example", .type = TYPE_A },
		{ .name = "20.1.168.192.in-addr.arpa", .type = 12 }, { .name = "www.jitsu.example", .type = 65 },
		{ .name = "www.jitsu.example", .type = TYPE_A, .class = 3 },
		{ .name = "www.jitsu.example", .type = TYPE_A, .flags = 1 << 11 },
		{ .name = "www.jitsu.example", .type = TYPE_A, .edns_size = 512, .edns_version = 3 },
	};
	struct tables *t = example_tables(STATE_OFF, ANSWER_READY);
	struct ip_addr client = ip(stranger_text);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(asks); i++) {
		uint8_t query[512], reply[WIRE_UDP_MAX];
		struct answer a;
		size_t n = make_query(query, asks[i]);

		ask_tables(t, &client, false, query, n, reply, &a);
		assert_int_equal(a.verdict, VERDICT_REPLY);
		assert_false(a.wake);
		assert_false(a.mark);
		assert_int_equal(wire_get16(reply + 6) > 0, asks[i].type == TYPE_ANY || asks[i].type == 12);
	}
	tables_free(t);
}

/* ---- SERVFAIL ---- */

static void test_servfail_says_why_with_edns(void **state)
{
	(void)state;
	for (unsigned why = 0; why < TROUBLE_N; why++) {
		uint8_t query[512], reply[WIRE_UDP_MAX];
		size_t n = make_query(query, (struct ask){ .name = "Www.jitsu.example", .type = 1, .flags = RD, .edns_size = 512 });
		struct wire_query q;
		ldns_pkt *p;
		ldns_rdf *options;

		assert_int_equal(wire_parse(query, n, &q), 0);
		n = answer_servfail(&q, false, true, why, reply);
		assert_int_equal(wire_get16(reply + 2), QR | RD | RA | RCODE_SERVFAIL);
		p = parse_reply(reply, n);
		options = ldns_pkt_edns_data(p);
		assert_non_null(options);
		assert_int_equal(ldns_read_uint16(ldns_rdf_data(options)), 15);
		assert_true(ldns_rdf_size(options) > 10);
		ldns_pkt_free(p);
	}
}

static void test_servfail_without_edns_is_bare(void **state)
{
	uint8_t query[512], reply[WIRE_UDP_MAX];
	size_t n = make_query(query, (struct ask){ .name = "www.jitsu.example", .type = 1 });
	struct wire_query q;

	(void)state;
	assert_int_equal(wire_parse(query, n, &q), 0);
	assert_int_equal(answer_servfail(&q, false, false, TROUBLE_SLOW, reply), n);
	assert_int_equal(wire_get16(reply + 2), QR | RCODE_SERVFAIL);
}

/* ---- options ---- */

static size_t with_option(uint8_t *query, size_t n, unsigned code)
{
	wire_put16(query + n - 2, 4);
	wire_put16(wire_put16(query + n, code), 0);
	return n + 4;
}

/* The OPT's options in the answer to a query for www with this option; "" when there are none. */
static const char *options_for(unsigned code, bool tcp, const char *nsid, size_t *n)
{
	static uint8_t reply[ANSWER_SIZE_MAX];
	struct asker asker = { .addr = ip(stranger_text), .tcp = tcp, .keepalive_ms = 10000 };
	struct tables *t = example_tables(STATE_UP, ANSWER_READY);
	struct msg_dns_conf conf = { .max_tcp = 1 };
	struct answer a;
	uint8_t query[512], *opt;
	size_t query_n;

	str_copy(conf.nsid, nsid);
	tables_set_conf(t, &conf);
	query_n = with_option(query, make_query(query, (struct ask){ .name = "www.jitsu.example", .type = 1, .edns_size = 512 }), code);
	answer_query(t, &asker, query, query_n, reply, &a);
	assert_int_equal(a.verdict, VERDICT_REPLY);
	assert_int_equal(wire_get16(reply + 6), 1);
	opt = reply + WIRE_HEADER + 19 + 4 + 16;
	*n = wire_get16(opt + 9);
	assert_int_equal(a.n, opt + 11 + *n - reply);
	tables_free(t);
	return (const char *)opt + 11;
}

static void test_nsid(void **state)
{
	const char *options;
	size_t n;

	(void)state;
	options = options_for(OPTION_NSID, false, "ns-7", &n);
	assert_int_equal(n, 8);
	assert_memory_equal(options, "\0\3\0\4ns-7", 8);
	options_for(OPTION_NSID, false, "", &n);
	assert_int_equal(n, 0);
	options_for(4711, false, "ns-7", &n); /* it did not ask */
	assert_int_equal(n, 0);
}

static void test_keepalive_is_for_tcp(void **state)
{
	const char *options;
	size_t n;

	(void)state;
	options = options_for(OPTION_KEEPALIVE, true, "", &n);
	assert_int_equal(n, 6);
	assert_memory_equal(options, "\0\13\0\2\0\144", 6); /* RFC 7828: in tenths of seconds */
	options_for(OPTION_KEEPALIVE, false, "", &n);
	assert_int_equal(n, 0);
}

static void test_refused_says_that_the_name_is_not_ours(void **state)
{
	struct tables *t = example_tables(STATE_UP, ANSWER_READY);
	struct ip_addr client = ip(stranger_text);
	uint8_t query[512], reply[WIRE_UDP_MAX];
	struct answer a;
	size_t n = make_query(query, (struct ask){ .name = "example.org", .type = 1, .edns_size = 512 });

	(void)state;
	ask_tables(t, &client, false, query, n, reply, &a);
	assert_int_equal(a.rcode, RCODE_REFUSED);
	assert_int_equal(a.n, n + 6);
	assert_memory_equal(reply + n - 2, "\0\6\0\17\0\2\0\24", 8); /* RFC 8914: Not Authoritative */
	tables_free(t);
}

/* No NS, all NS, and the largest of them: only TCP carries that. */
static void test_largest_and_smallest_ns(void **state)
{
	struct tables *t = tables_new();
	struct msg_dns_zone large = zone_msg("large.example"), none = zone_msg("none.example");
	struct ip_addr client = ip(stranger_text);
	uint8_t query[512], reply[ANSWER_SIZE_MAX];
	struct answer a;
	ldns_pkt *p;
	size_t n;

	(void)state;
	large.n_ns = MSG_LIST_MAX;
	for (int i = 0; i < MSG_LIST_MAX; i++) {
		char *to = large.ns[i].text;

		for (int l = 0; l < 4; l++, to += 61)
			memset(to, 'a' + i, 60), to[60] = '.';
		to[-1] = '\0';
	}
	none.n_ns = 0;
	assert_int_equal(tables_add_zone(t, &large), 0);
	assert_int_equal(tables_add_zone(t, &none), 0);
	assert_int_equal(tables_place(t), 0);
	assert_int_equal(tables_finish(t), 0);
	n = make_query(query, (struct ask){ .name = "large.example", .type = TYPE_NS, .edns_size = 4096 });
	ask_tables(t, &client, true, query, n, reply, &a);
	p = parse_reply(reply, a.n);
	assert_int_equal(ldns_rr_list_rr_count(ldns_pkt_answer(p)), MSG_LIST_MAX);
	ldns_pkt_free(p);
	ask_tables(t, &client, false, query, n, reply, &a);
	assert_int_equal(wire_get16(reply + 2), QR | AA | TC);
	assert_int_equal(wire_get16(reply + 6), 0);
	n = make_query(query, (struct ask){ .name = "none.example", .type = TYPE_NS });
	ask_tables(t, &client, false, query, n, reply, &a);
	p = parse_reply(reply, a.n);
	assert_rr(ldns_pkt_authority(p), 0, "none.example.\t30\tIN\tSOA\tnone.example. admin.none.example. 5 3600 600 86400 30");
	ldns_pkt_free(p);
	tables_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_kind_of_answer),
		cmocka_unit_test(test_longest_name_in_the_zone),
		cmocka_unit_test(test_every_state_and_way_to_answer),
		cmocka_unit_test(test_missing_family_wakes_and_never_waits),
		cmocka_unit_test(test_only_addresses_wake),
		cmocka_unit_test(test_servfail_says_why_with_edns),
		cmocka_unit_test(test_servfail_without_edns_is_bare),
		cmocka_unit_test(test_nsid),
		cmocka_unit_test(test_keepalive_is_for_tcp),
		cmocka_unit_test(test_refused_says_that_the_name_is_not_ours),
		cmocka_unit_test(test_largest_and_smallest_ns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
