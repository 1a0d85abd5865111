/* Static records with services on top: what goes into a zone, and what comes out.  (How all of it is
 * answered is compared with NSD in test_nsd.c.)
 */
#include "tests/dns/util.h"

#include "dns/zone_file.h"

#define WWW_A "www.jitsu.example.\t60\tIN\tA\t192.168.1.20"
#define SOA "jitsu.example.\t30\tIN\tSOA\tns1.jitsu.example. admin.jitsu.example. 5 3600 600 86400 30"

/* The text into a zone of the tables; what was wrong, or "". */
static const char *add_text(struct tables *t, const char *zone, const char *text)
{
	static struct err e;
	struct zone_file *f = zone_file_new(text, strlen(text), "f", zone, 300, &e);
	struct zone_record record;
	int r;

	e.text[0] = '\0';
	while ((r = zone_file_next(f, &record, &e)) == 1) {
		r = tables_add_record(t, tables_zone(t, zone), &record, &e);
		if (r < 0 && r != -EINVAL)
			fail_msg("%s", strerror(-r));
		if (r < 0) {
			zone_file_blame(f, &e);
			break;
		}
	}
	zone_file_free(f);
	return e.text;
}

/* jitsu.example with service www (and deep.shop), not finished. */
static struct tables *begin_tables(uint8_t service_state)
{
	struct tables *t = tables_new();
	struct msg_dns_zone z = zone_msg("jitsu.example");
	struct msg_dns_service www = service_msg(SVC_WWW, "www", "www.jitsu.example deep.shop.jitsu.example",
						 "192.168.1.20 fd00::20", service_state, ANSWER_READY);

	assert_int_equal(tables_add_zone(t, &z), 0);
	assert_int_equal(tables_add_service(t, &www), 0);
	return t;
}

static struct tables *tables_with(uint8_t service_state, const char *text)
{
	struct tables *t = begin_tables(service_state);

	assert_int_equal(tables_place(t), 0);
	assert_string_equal(add_text(t, "jitsu.example", text), "");
	assert_int_equal(tables_finish(t), 0);
	return t;
}

struct got {
	struct answer a;
	uint8_t b[ANSWER_SIZE_MAX];
	ldns_pkt *p;
};

static void ask(struct tables *t, const char *name, unsigned type, struct got *g)
{
	struct asker asker = { .addr = ip("203.0.113.1") };
	uint8_t query[512];
	size_t n = make_query(query, (struct ask){ .name = name, .type = type, .edns_size = 1232 });

	answer_query(t, &asker, query, n, g->b, &g->a);
	g->p = g->a.verdict == VERDICT_REPLY ? parse_reply(g->b, g->a.n) : NULL;
}

/* All records of the answer, authority and additional sections, in that order. */
static void assert_answer(struct tables *t, const char *name, unsigned type, unsigned rcode, const char *const *records)
{
	struct got *g = calloc(1, sizeof(*g));
	ldns_rr_list *sections[3];
	size_t i = 0;

	ask(t, name, type, g);
	assert_int_equal(g->a.verdict, VERDICT_REPLY);
	if (g->a.rcode != rcode)
		fail_msg("%s: rcode %u", name, g->a.rcode);
	sections[0] = ldns_pkt_answer(g->p);
	sections[1] = ldns_pkt_authority(g->p);
	sections[2] = ldns_pkt_additional(g->p);
	for (size_t s = 0; s < 3; s++)
		for (size_t j = 0; j < ldns_rr_list_rr_count(sections[s]); j++) {
			if (records[i])
				assert_rr(sections[s], j, records[i++]);
			else
				fail_msg("%s: more than %zu records", name, i);
		}
	assert_null(records[i]);
	ldns_pkt_free(g->p);
	free(g);
}

#define ANSWERS(t, name, type, rcode, ...) \
	assert_answer(t, name, type, rcode, (const char *const[]){ __VA_ARGS__, NULL })

/* ---- services on top ---- */

static void test_static_records_beside_services(void **state)
{
	struct tables *t = tables_with(STATE_UP, "www TXT hello\n*  A 10.0.0.1\n* TXT wild\nshop TXT shop\n");

	(void)state;
	ANSWERS(t, "www.jitsu.example", TYPE_A, 0, WWW_A);
	ANSWERS(t, "www.jitsu.example", TYPE_TXT, 0, "www.jitsu.example.\t300\tIN\tTXT\t\"hello\"");
	ANSWERS(t, "www.jitsu.example", TYPE_MX, 0, SOA);
	ANSWERS(t, "any.jitsu.example", TYPE_A, 0, "any.jitsu.example.\t300\tIN\tA\t10.0.0.1");
	/* Names that are there, or lie below one that is, are no wildcard's. */
	ANSWERS(t, "below.www.jitsu.example", TYPE_A, RCODE_NXDOMAIN, SOA);
	ANSWERS(t, "below.shop.jitsu.example", TYPE_A, RCODE_NXDOMAIN, SOA);
	ANSWERS(t, "shop.jitsu.example", TYPE_TXT, 0, "shop.jitsu.example.\t300\tIN\tTXT\t\"shop\"");
	ANSWERS(t, "20.1.168.192.in-addr.arpa", TYPE_PTR, 0, "20.1.168.192.in-addr.arpa.\t60\tIN\tPTR\twww.jitsu.example.");
	tables_free(t);
}

static void check_alias(const char *name, uint8_t service_state, enum verdict verdict, bool wake)
{
	struct tables *t = tables_with(service_state, "alias CNAME alias2\nalias2 CNAME WWW\n*.wild CNAME www\nd DNAME shop\n");
	struct got *g = calloc(1, sizeof(*g));

	ask(t, name, TYPE_A, g);
	assert_int_equal(g->a.verdict, verdict);
	assert_non_null(g->a.service);
	assert_int_equal(g->a.service->svc, SVC_WWW);
	assert_int_equal(g->a.wake, wake);
	assert_int_equal(g->a.mark, verdict == VERDICT_REPLY);
	if (g->p)
		ldns_pkt_free(g->p);
	ask(t, name, TYPE_MX, g);
	assert_int_equal(g->a.verdict, VERDICT_REPLY);
	assert_null(g->a.service);
	assert_false(g->a.wake || g->a.mark);
	ldns_pkt_free(g->p);
	free(g);
	tables_free(t);
}

/* Whoever asks for an address by an alias wants the service as if it had asked by its name. */
static void test_aliases_of_services_wake(void **state)
{
	static const char *const names[] = { "alias.jitsu.example", "x.wild.jitsu.example", "deep.d.jitsu.example" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		check_alias(names[i], STATE_OFF, VERDICT_HOLD, true);
		check_alias(names[i], STATE_STARTING, VERDICT_HOLD, false);
		check_alias(names[i], STATE_UP, VERDICT_REPLY, false);
	}
}

static void test_an_alias_is_answered_with_its_service(void **state)
{
	struct tables *t = tables_with(STATE_UP, "alias CNAME alias2\nalias2 CNAME www\n");

	(void)state;
	ANSWERS(t, "alias.jitsu.example", TYPE_A, 0, "alias.jitsu.example.\t300\tIN\tCNAME\talias2.jitsu.example.",
		"alias2.jitsu.example.\t300\tIN\tCNAME\twww.jitsu.example.", WWW_A);
	ANSWERS(t, "alias.jitsu.example", TYPE_TXT, 0, "alias.jitsu.example.\t300\tIN\tCNAME\talias2.jitsu.example.",
		"alias2.jitsu.example.\t300\tIN\tCNAME\twww.jitsu.example.", SOA);
	tables_free(t);
}

static void test_an_alias_of_a_service_in_conflict_fails(void **state)
{
	struct tables *t = tables_with(STATE_CONFLICT, "alias CNAME www\n");

	(void)state;
	ANSWERS(t, "alias.jitsu.example", TYPE_A, RCODE_SERVFAIL, NULL);
	tables_free(t);
}

/* Whoever has a service's address has asked for it: nothing else gives it away. */
static void test_services_are_never_additional(void **state)
{
	struct tables *t = tables_with(STATE_UP, "@ MX 1 www\n@ MX 2 mail\nmail A 10.0.0.5\nmail AAAA fd00::5\n"
						 "_x._tcp SRV 1 2 3 mail\nh HTTPS 1 mail alpn=h2\n");

	(void)state;
	ANSWERS(t, "jitsu.example", TYPE_MX, 0, "jitsu.example.\t300\tIN\tMX\t1 www.jitsu.example.",
		"jitsu.example.\t300\tIN\tMX\t2 mail.jitsu.example.", "mail.jitsu.example.\t300\tIN\tA\t10.0.0.5",
		"mail.jitsu.example.\t300\tIN\tAAAA\tfd00::5");
	ANSWERS(t, "_x._tcp.jitsu.example", TYPE_SRV, 0, "_x._tcp.jitsu.example.\t300\tIN\tSRV\t1 2 3 mail.jitsu.example.",
		"mail.jitsu.example.\t300\tIN\tA\t10.0.0.5", "mail.jitsu.example.\t300\tIN\tAAAA\tfd00::5");
	ANSWERS(t, "h.jitsu.example", TYPE_HTTPS, 0, "h.jitsu.example.\t300\tIN\tHTTPS\t1 mail.jitsu.example. alpn=h2",
		"mail.jitsu.example.\t300\tIN\tA\t10.0.0.5", "mail.jitsu.example.\t300\tIN\tAAAA\tfd00::5");
	tables_free(t);
}

/* ---- what cannot be ---- */

static void test_what_cannot_be_in_a_zone(void **state)
{
	static const struct {
		const char *text;
		unsigned line;
		const char *why;
	} rows[] = {
		{ "a A 1.2.3.4\nWWW A 1.2.3.4\n", 2, "this is the name of service \"www\"" },
		{ "www AAAA ::1\n", 1, "this is the name of service" },
		{ "www CNAME a\n", 1, "this is the name of service" },
		{ "shop NS ns.elsewhere.\n", 1, "a service's name lies there" },
		{ "www NS ns.elsewhere.\n", 1, "a service's name lies there" },
		{ "shop DNAME a\n", 1, "there are names below it" },
		{ "@ DNAME a.elsewhere.\n", 1, "there are names below it" },
		{ "a.elsewhere. A 1.2.3.4\n", 1, "a.elsewhere.: this name is not in the zone" },
		{ "xjitsu.example. A 1.2.3.4\n", 1, "not in the zone" },
		{ "a A 1.2.3.4\na CNAME b\n", 2, "it has other records" },
		{ "a CNAME b\na A 1.2.3.4\n", 2, "it is a CNAME" },
		{ "a CNAME b\na CNAME c\n", 2, "two different CNAME" },
		{ "a DNAME b\na DNAME c\n", 2, "two different DNAME" },
		{ "a DNAME b\nx.a A 1.2.3.4\n", 2, "a name above it is a DNAME" },
		{ "@ CNAME a\n", 1, "cannot be a CNAME" },
		{ "@ SOA a b 1 2 3 4 5\n@ SOA a b 2 2 3 4 5\n", 2, "one SOA" },
		{ "a SOA a b 1 2 3 4 5\n", 1, "only the zone's own name" },
		{ "@ DS 1 13 2 00\n", 1, "the zone above" },
		{ "*.a NS b\n", 1, "a wildcard cannot be delegated" },
		{ "a RRSIG A 13 3 60 20300101000000 20200101000000 1 jitsu.example. AAAA\n", 1, "signatures and denials" },
		{ "a TYPE251 \\# 0\n", 1, "cannot" },
		{ "a TYPE1 \\# 3 010203\n", 1, "its data is not what" },
		{ "a TYPE2 \\# 2 0161\n", 1, "its data is not what" },
		{ "a TYPE39 \\# 4 01610000\n", 1, "its data is not what" },
		{ "a TYPE15 \\# 2 0001\n", 1, "its data is not what" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct tables *t = begin_tables(STATE_OFF);
		const char *wrong;
		char where[32];

		assert_int_equal(tables_place(t), 0);
		wrong = add_text(t, "jitsu.example", rows[i].text);
		snprintf(where, sizeof(where), "f, line %u: ", rows[i].line);
		if (strncmp(wrong, where, strlen(where)) != 0 || !strstr(wrong, rows[i].why))
			fail_msg("\"%s\": \"%s\"", rows[i].text, wrong);
		tables_free(t);
	}
}

/* A name of which all records were left out is none: neither it nor a wildcard stands in anyone's way. */
static void test_what_is_left_out_leaves_no_name(void **state)
{
	struct tables *t = begin_tables(STATE_OFF);

	(void)state;
	assert_int_equal(tables_place(t), 0);
	assert_string_equal(add_text(t, "jitsu.example", "d DNAME e\nx.e A 10.0.0.9\n"), "");
	assert_string_not_equal(add_text(t, "jitsu.example", "*.a NS b\n"), "");
	assert_string_not_equal(add_text(t, "jitsu.example", "x.d A 1.2.3.4\n"), "");
	assert_string_not_equal(add_text(t, "jitsu.example", "y.z TYPE1 \\# 3 010203\n"), "");
	assert_int_equal(tables_finish(t), 0);
	ANSWERS(t, "q.a.jitsu.example", TYPE_A, RCODE_NXDOMAIN, SOA);
	ANSWERS(t, "a.jitsu.example", TYPE_A, RCODE_NXDOMAIN, SOA);
	ANSWERS(t, "z.jitsu.example", TYPE_A, RCODE_NXDOMAIN, SOA);
	ANSWERS(t, "x.d.jitsu.example", TYPE_A, 0, "d.jitsu.example.\t300\tIN\tDNAME\te.jitsu.example.",
		"x.d.jitsu.example.\t300\tIN\tCNAME\tx.e.jitsu.example.", "x.e.jitsu.example.\t300\tIN\tA\t10.0.0.9");
	tables_free(t);
}

/* One DNAME that leads on twice is given once (RFC 2181, 5). */
static void test_a_dname_is_given_once(void **state)
{
	struct tables *t = tables_with(STATE_OFF, "d DNAME e\nx.e CNAME y.d\ny.e A 10.0.0.9\n");

	(void)state;
	ANSWERS(t, "x.d.jitsu.example", TYPE_A, 0, "d.jitsu.example.\t300\tIN\tDNAME\te.jitsu.example.",
		"x.d.jitsu.example.\t300\tIN\tCNAME\tx.e.jitsu.example.",
		"x.e.jitsu.example.\t300\tIN\tCNAME\ty.d.jitsu.example.",
		"y.d.jitsu.example.\t300\tIN\tCNAME\ty.e.jitsu.example.", "y.e.jitsu.example.\t300\tIN\tA\t10.0.0.9");
	tables_free(t);
}

/* A set must fit into one message, or nobody could ever be told of it. */
static void test_a_set_too_large(void **state)
{
	struct tables *t = begin_tables(STATE_OFF);
	char text[64];
	unsigned i = 0;
	const char *wrong;

	(void)state;
	assert_int_equal(tables_place(t), 0);
	do {
		snprintf(text, sizeof(text), "a A 10.%u.%u.%u\n", i >> 16, i >> 8 & 255, i & 255);
		wrong = add_text(t, "jitsu.example", text);
		i++;
	} while (!*wrong && i < 10000);
	assert_non_null(strstr(wrong, "too many for one answer"));
	assert_true(i * 16 > 59 * 1024);
	tables_free(t);
}

static void test_records_that_are_said_twice(void **state)
{
	struct tables *t = tables_with(STATE_UP, "a 60 A 1.1.1.1\na 30 A 1.1.1.2\na 90 A 1.1.1.1\nc CNAME a\nc CNAME a\n");

	(void)state;
	ANSWERS(t, "a.jitsu.example", TYPE_A, 0, "a.jitsu.example.\t30\tIN\tA\t1.1.1.1",
		"a.jitsu.example.\t30\tIN\tA\t1.1.1.2"); /* RFC 2181, 5 */
	tables_free(t);
}

/* ---- SOA and NS ---- */

static void test_soa_and_ns_of_the_file_count(void **state)
{
	struct tables *t = tables_with(STATE_UP, "@ 100 SOA primary.elsewhere. mail 9 8 7 6 5\n@ NS one\n@ NS two.elsewhere.\none A 10.0.0.1\n");

	(void)state;
	ANSWERS(t, "jitsu.example", TYPE_SOA, 0,
		"jitsu.example.\t100\tIN\tSOA\tprimary.elsewhere. mail.jitsu.example. 9 8 7 6 5");
	ANSWERS(t, "nope.jitsu.example", TYPE_A, RCODE_NXDOMAIN,
		"jitsu.example.\t5\tIN\tSOA\tprimary.elsewhere. mail.jitsu.example. 9 8 7 6 5");
	ANSWERS(t, "jitsu.example", TYPE_NS, 0, "jitsu.example.\t100\tIN\tNS\tone.jitsu.example.",
		"jitsu.example.\t100\tIN\tNS\ttwo.elsewhere.", "one.jitsu.example.\t100\tIN\tA\t10.0.0.1");
	assert_int_equal(tables_zone_at(t, 0)->serial, 9);
	tables_free(t);
}

/* The launcher's is 5. */
static void test_the_later_serial_counts(void **state)
{
	static const struct {
		const char *file;
		uint32_t serial;
	} rows[] = { { "4", 5 }, { "5", 5 }, { "6", 6 }, { "2147483652", 2147483652 }, { "2147483654", 5 }, { "4294967295", 5 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[100];
		struct tables *t;

		snprintf(text, sizeof(text), "@ SOA a b %s 1 1 1 1\n", rows[i].file);
		t = tables_with(STATE_UP, text);
		assert_int_equal(tables_zone_at(t, 0)->serial, rows[i].serial);
		tables_free(t);
	}
}

/* ---- delegations ---- */

static void test_referral_with_glue(void **state)
{
	struct tables *t = tables_with(STATE_UP, "sub NS ns.sub\nsub NS ns.elsewhere.\nns.sub A 10.0.0.9\nsub DS 1 13 2 00\n"
						 "hidden.sub TXT x\nalias CNAME x.sub\n");
	struct got *g = calloc(1, sizeof(*g));

	(void)state;
	ANSWERS(t, "x.y.sub.jitsu.example", TYPE_A, 0, "sub.jitsu.example.\t300\tIN\tNS\tns.sub.jitsu.example.",
		"sub.jitsu.example.\t300\tIN\tNS\tns.elsewhere.", "ns.sub.jitsu.example.\t300\tIN\tA\t10.0.0.9");
	ANSWERS(t, "hidden.sub.jitsu.example", TYPE_TXT, 0, "sub.jitsu.example.\t300\tIN\tNS\tns.sub.jitsu.example.",
		"sub.jitsu.example.\t300\tIN\tNS\tns.elsewhere.", "ns.sub.jitsu.example.\t300\tIN\tA\t10.0.0.9");
	ANSWERS(t, "sub.jitsu.example", TYPE_DS, 0, "sub.jitsu.example.\t300\tIN\tDS\t1 13 2 00");
	ask(t, "sub.jitsu.example", TYPE_NS, g);
	assert_int_equal(wire_get16(g->b + 2), FLAG_QR); /* no authority */
	ldns_pkt_free(g->p);
	ask(t, "alias.jitsu.example", TYPE_A, g);
	assert_int_equal(wire_get16(g->b + 2), FLAG_QR | FLAG_AA);
	assert_int_equal(wire_get16(g->b + 6), 1);
	assert_int_equal(wire_get16(g->b + 8), 2);
	ldns_pkt_free(g->p);
	free(g);
	tables_free(t);
}

/* RFC 9471: a referral without the addresses that belong to it is no whole answer. */
static void test_glue_that_does_not_fit(void **state)
{
	char text[8000] = "sub NS ns.sub\nsub NS ns.elsewhere.\n";
	struct got *g = calloc(1, sizeof(*g));
	struct tables *t;

	(void)state;
	for (int i = 0; i < 90; i++)
		sprintf(text + strlen(text), "ns.sub A 10.0.1.%d\n", i);
	t = tables_with(STATE_UP, text);
	ask(t, "sub.jitsu.example", TYPE_A, g);
	assert_int_equal(wire_get16(g->b + 2), FLAG_QR | FLAG_TC);
	assert_int_equal(wire_get16(g->b + 8), 2);
	ldns_pkt_free(g->p);
	free(g);
	tables_free(t);
}

/* ---- zones in zones ---- */

static void test_a_zone_within_one_with_a_file(void **state)
{
	struct tables *t = begin_tables(STATE_UP);
	struct msg_dns_zone inner = zone_msg("in.jitsu.example");

	(void)state;
	assert_int_equal(tables_add_zone(t, &inner), 0);
	assert_int_equal(tables_place(t), 0);
	assert_string_equal(add_text(t, "jitsu.example", "in NS ns1\nin DS 1 13 2 00\nx.in A 10.0.0.1\n"), "");
	assert_string_equal(add_text(t, "in.jitsu.example", "y TXT inner\n"), "");
	assert_int_equal(tables_finish(t), 0);
	ANSWERS(t, "x.in.jitsu.example", TYPE_A, RCODE_NXDOMAIN,
		"in.jitsu.example.\t30\tIN\tSOA\tns1.in.jitsu.example. admin.in.jitsu.example. 5 3600 600 86400 30");
	ANSWERS(t, "in.jitsu.example", TYPE_DS, 0, "in.jitsu.example.\t300\tIN\tDS\t1 13 2 00");
	ANSWERS(t, "y.in.jitsu.example", TYPE_TXT, 0, "y.in.jitsu.example.\t300\tIN\tTXT\t\"inner\"");
	tables_free(t);
}

static void test_ds_of_a_zone_without_one_is_the_parents_no(void **state)
{
	struct tables *t = begin_tables(STATE_UP);
	struct msg_dns_zone inner = zone_msg("in.jitsu.example");

	(void)state;
	assert_int_equal(tables_add_zone(t, &inner), 0);
	assert_int_equal(tables_place(t), 0);
	assert_int_equal(tables_finish(t), 0);
	ANSWERS(t, "in.jitsu.example", TYPE_DS, 0, SOA);
	tables_free(t);
}

static void test_reverse_zone_with_a_file(void **state)
{
	struct tables *t = begin_tables(STATE_UP);
	struct msg_dns_zone reverse = zone_msg("168.192.in-addr.arpa");

	(void)state;
	assert_int_equal(tables_add_zone(t, &reverse), 0);
	assert_int_equal(tables_place(t), 0);
	assert_string_equal(add_text(t, "168.192.in-addr.arpa", "1.1 PTR router.jitsu.example.\n7.1 PTR x.\n"), "");
	assert_int_equal(tables_finish(t), 0);
	ANSWERS(t, "20.1.168.192.in-addr.arpa", TYPE_PTR, 0, "20.1.168.192.in-addr.arpa.\t60\tIN\tPTR\twww.jitsu.example.");
	ANSWERS(t, "1.1.168.192.in-addr.arpa", TYPE_PTR, 0, "1.1.168.192.in-addr.arpa.\t300\tIN\tPTR\trouter.jitsu.example.");
	tables_free(t);
}

/* The zone's file says by a DNAME who knows: a service's reverse name must not stand before it. */
static void test_reverse_names_below_a_dname(void **state)
{
	struct tables *t = begin_tables(STATE_UP);
	struct msg_dns_zone reverse = zone_msg("168.192.in-addr.arpa");

	(void)state;
	assert_int_equal(tables_add_zone(t, &reverse), 0);
	assert_int_equal(tables_place(t), 0);
	assert_string_equal(add_text(t, "168.192.in-addr.arpa", "1 DNAME rev.elsewhere.\n"), "");
	assert_int_equal(tables_finish(t), 0);
	ANSWERS(t, "20.1.168.192.in-addr.arpa", TYPE_PTR, 0,
		"1.168.192.in-addr.arpa.\t300\tIN\tDNAME\trev.elsewhere.",
		"20.1.168.192.in-addr.arpa.\t300\tIN\tCNAME\t20.rev.elsewhere.");
	tables_free(t);
}

/* ---- warnings ---- */

static void keep_warning(void *arg, const char *sentence)
{
	strcat(arg, sentence);
	strcat(arg, "\n");
}

static void test_name_servers_without_an_address(void **state)
{
	struct tables *t = tables_with(STATE_UP, "@ NS www\n@ NS lost\n@ NS ns.elsewhere.\nsub NS ns.sub\nsub2 NS x.sub3\n"
						 "sub3 NS glued.sub3\nglued.sub3 A 10.0.0.1\n");
	char text[4096] = "";

	(void)state;
	tables_warnings(t, keep_warning, text);
	assert_string_equal(text, "jitsu.example. has the name server lost.jitsu.example., which has no address\n"
				  "sub.jitsu.example. has the name server ns.sub.jitsu.example., which has no address\n");
	tables_free(t);
}

/* ---- many ---- */

static void test_a_hundred_thousand_names(void **state)
{
	struct tables *t = begin_tables(STATE_UP);
	struct zone_record r = { .type = TYPE_A, .ttl_s = 60, .data = (const uint8_t *)"\1\2\3\4", .n = 4 };
	struct err e;
	char name[64];

	(void)state;
	assert_int_equal(tables_place(t), 0);
	for (unsigned i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "host-%u.jitsu.example", i);
		assert_true(name_from_text(name, &r.name));
		assert_int_equal(tables_add_record(t, 0, &r, &e), 0);
	}
	assert_int_equal(tables_finish(t), 0);
	for (unsigned i = 0; i < 100000; i += 777) {
		char expected[100];

		snprintf(name, sizeof(name), "host-%u.jitsu.example", i);
		snprintf(expected, sizeof(expected), "%s.\t60\tIN\tA\t1.2.3.4", name);
		ANSWERS(t, name, TYPE_A, 0, expected);
	}
	ANSWERS(t, "host-100000.jitsu.example", TYPE_A, RCODE_NXDOMAIN, SOA);
	tables_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_static_records_beside_services),
		cmocka_unit_test(test_aliases_of_services_wake),
		cmocka_unit_test(test_an_alias_is_answered_with_its_service),
		cmocka_unit_test(test_an_alias_of_a_service_in_conflict_fails),
		cmocka_unit_test(test_services_are_never_additional),
		cmocka_unit_test(test_what_cannot_be_in_a_zone),
		cmocka_unit_test(test_what_is_left_out_leaves_no_name),
		cmocka_unit_test(test_a_dname_is_given_once),
		cmocka_unit_test(test_a_set_too_large),
		cmocka_unit_test(test_records_that_are_said_twice),
		cmocka_unit_test(test_soa_and_ns_of_the_file_count),
		cmocka_unit_test(test_the_later_serial_counts),
		cmocka_unit_test(test_referral_with_glue),
		cmocka_unit_test(test_glue_that_does_not_fit),
		cmocka_unit_test(test_a_zone_within_one_with_a_file),
		cmocka_unit_test(test_ds_of_a_zone_without_one_is_the_parents_no),
		cmocka_unit_test(test_reverse_zone_with_a_file),
		cmocka_unit_test(test_reverse_names_below_a_dname),
		cmocka_unit_test(test_name_servers_without_an_address),
		cmocka_unit_test(test_a_hundred_thousand_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
