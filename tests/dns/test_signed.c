/* Signed zones: every signature in an answer is verified by ldns, and each answer has the sets it must
 * have.  That validators are convinced by them is for test_delv.c.
 */
#include "tests/dns/keys.h"

#include <ctype.h>

#include "dns/zone_walk.h"

enum { NOW = 1800000000, MANY_NAMES = 3000 };

static const char zone_text[] =
	"$TTL 300\n"
	"@ NS NS1\n@ MX 10 Mail\n@ MX 20 MAIL2\n@ TXT apex\n"
	"ns1 A 10.0.0.1\nmail A 10.0.0.2\nmail AAAA fd00::2\nmail2 A 10.0.0.22\nmail2 A 10.0.0.21\nmail2 A 10.0.0.9\n"
	"*.wild A 10.0.0.3\n*.wild TXT x\n*.cw CNAME Mail\n*.star.deep A 10.0.0.33\n"
	"a.b.ent A 10.0.0.4\n"
	"old DNAME New\nx.new A 10.0.0.5\n"
	"secure NS ns.secure\nsecure DS 12345 13 2 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"
	"ns.secure A 10.0.0.6\nsecure A 10.0.0.66\n"
	"insecure NS ns.elsewhere.example.\ninsecure NS Ns1\n"
	"alias CNAME mail\nchain CNAME Alias\nwildly CNAME one.cw\nout CNAME www.elsewhere.example.\nto-www CNAME www\n"
	"lost CNAME nowhere\n"
	"_s._t SRV 1 2 3 Mail\nnaptr NAPTR 1 2 \"u\" \"E2U+sip\" \"\" Mail\nrp RP Mail Alias\nptr PTR Mail\n"
	"h HTTPS 1 . alpn=h2\nunknown TYPE999 \\# 2 0102\nfar TYPE65280 \\# 1 01\n"
	"many A 10.1.0.1\nmany A 10.1.0.2\nmany A 10.1.0.3\nmany AAAA fd00::9\nmany TXT many\n";

struct fixture {
	struct test_key *outer, *inner, *fresh;
	struct signatures *cache;
	struct tables *t;
};

static struct tables *begin_tables(const struct fixture *f, uint8_t service_state)
{
	struct tables *t = tables_new();
	struct msg_dns_zone outer = zone_msg("jitsu.example"), inner = zone_msg("sub.jitsu.example");
	struct msg_dns_zone plain = zone_msg("plain.jitsu.example"), alone = zone_msg("alone.example");
	struct msg_dns_service www = service_msg(SVC_WWW, "www", "www.jitsu.example deep.shop.jitsu.example",
						 "192.168.1.20", service_state, ANSWER_AT_ONCE);
	char *ds = ds_text(f->inner);

	www.ttl_down_s = 5;
	www.fallback[www.n_fallback++] = ip("192.168.1.99");
	assert_int_equal(tables_add_zone(t, &outer), 0);
	assert_int_equal(tables_add_zone(t, &inner), 0);
	assert_int_equal(tables_add_zone(t, &plain), 0);
	assert_int_equal(tables_add_zone(t, &alone), 0);
	assert_int_equal(tables_add_service(t, &www), 0);
	assert_int_equal(tables_place(t), 0);
	add_zone_text(t, "jitsu.example", zone_text);
	add_zone_text(t, "jitsu.example", ds);
	add_zone_text(t, "sub.jitsu.example", "www A 10.2.0.1\nback CNAME mail.jitsu.example.\n");
	add_zone_text(t, "plain.jitsu.example", "www A 10.3.0.1\n");
	add_zone_text(t, "alone.example", "www A 10.4.0.1\n");
	free(ds);
	assert_int_equal(tables_finish(t), 0);
	return t;
}

static struct tables *signed_tables(struct fixture *f, uint8_t service_state)
{
	struct test_key *keys[] = { f->outer, f->inner, NULL };
	struct tables *t = begin_tables(f, service_state);

	sign_tables(t, keys, f->cache, NOW);
	return t;
}

static int setup(void **state)
{
	static struct fixture f;

	f.outer = make_key("jitsu.example", LDNS_SIGN_ECDSAP256SHA256, KEY_ALL);
	f.inner = make_key("sub.jitsu.example", LDNS_SIGN_ED25519, KEY_ALL);
	f.fresh = make_key("jitsu.example", LDNS_SIGN_ECDSAP256SHA256, KEY_PUBLISH);
	f.cache = signatures_new();
	f.t = signed_tables(&f, STATE_UP);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	tables_free(f->t);
	signatures_free(f->cache);
	free_key(f->outer);
	free_key(f->inner);
	free_key(f->fresh);
	return 0;
}

/* ---- asking ---- */

static ldns_pkt *ask_sized(struct tables *t, const char *name, unsigned type, bool tcp, unsigned edns_size)
{
	struct asker asker = { .addr = ip("203.0.113.1"), .tcp = tcp };
	static uint8_t reply[ANSWER_SIZE_MAX];
	uint8_t query[512];
	struct answer a;
	size_t n = make_query(query, (struct ask){ .name = name, .type = type, .edns_size = edns_size, .dnssec_ok = true });

	answer_query(t, &asker, query, n, reply, &a);
	assert_int_equal(a.verdict, VERDICT_REPLY);
	return parse_reply(reply, a.n);
}

static ldns_pkt *ask(struct tables *t, const char *name, unsigned type)
{
	return ask_sized(t, name, type, true, 1232);
}

/* The records of this owner and type. */
static ldns_rr_list *subset(ldns_rr_list *section, const ldns_rdf *owner, ldns_rr_type type)
{
	ldns_rr_list *out = ldns_rr_list_new();

	for (size_t i = 0; i < ldns_rr_list_rr_count(section); i++) {
		ldns_rr *rr = ldns_rr_list_rr(section, i);

		if (ldns_rr_get_type(rr) == type && ldns_dname_compare(ldns_rr_owner(rr), owner) == 0)
			ldns_rr_list_push_rr(out, rr);
	}
	return out;
}

/* How many signatures of the set are good; each must be, and of one of our keys. */
static unsigned verify(const struct fixture *f, ldns_rr_list *section, ldns_rr_list *set)
{
	const ldns_rr *first = ldns_rr_list_rr(set, 0);
	ldns_rr_list *sigs = subset(section, ldns_rr_owner(first), LDNS_RR_TYPE_RRSIG);
	struct test_key *const keys[] = { f->outer, f->inner, f->fresh };
	unsigned good = 0;

	for (size_t i = 0; i < ldns_rr_list_rr_count(sigs); i++) {
		ldns_rr *sig = ldns_rr_list_rr(sigs, i);
		unsigned before = good;

		if (ldns_rdf2rr_type(ldns_rr_rrsig_typecovered(sig)) != ldns_rr_get_type(first))
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
			if (ldns_calc_keytag(keys[k]->dnskey) == ldns_rdf2native_int16(ldns_rr_rrsig_keytag(sig)) &&
			    ldns_dname_compare(ldns_rr_rrsig_signame(sig), ldns_rr_owner(keys[k]->dnskey)) == 0 &&
			    ldns_verify_rrsig_time(set, sig, keys[k]->dnskey, NOW) == LDNS_STATUS_OK)
				good++;
		if (good != before + 1)
			fail_msg("a bad signature: %s", ldns_rr2str(sig));
		assert_int_equal(ldns_rr_ttl(sig), ldns_rr_ttl(first));
	}
	ldns_rr_list_free(sigs);
	return good;
}

static char *put_owner(char *p, const ldns_rr *rr)
{
	char *text = ldns_rdf2str(ldns_rr_owner(rr)), *end;

	for (char *c = text; *c; c++)
		*c = (char)tolower(*c);
	end = strstr(text, "jitsu.example.");
	if (end == text)
		strcpy(text, "@");
	else if (end)
		end[-1] = '\0';
	p += sprintf(p, "%s", text);
	free(text);
	return p;
}

/* Each set once: "name TYPE", and a + for each good signature. */
static char *put_section(char *p, const struct fixture *f, ldns_rr_list *section)
{
	for (size_t i = 0; i < ldns_rr_list_rr_count(section); i++) {
		ldns_rr *rr = ldns_rr_list_rr(section, i);
		ldns_rr_list *set = subset(section, ldns_rr_owner(rr), ldns_rr_get_type(rr));
		char *type = ldns_rr_type2str(ldns_rr_get_type(rr));

		if (ldns_rr_get_type(rr) != LDNS_RR_TYPE_RRSIG && ldns_rr_list_rr(set, 0) == rr) {
			p = put_owner(p, rr);
			p += sprintf(p, " %s", type);
			for (unsigned n = verify(f, section, set); n > 0; n--)
				*p++ = '+';
			p += sprintf(p, ", ");
		}
		free(type);
		ldns_rr_list_free(set);
	}
	return p;
}

static void check(struct fixture *f, struct tables *t, const char *name, unsigned type, const char *expected)
{
	ldns_pkt *pkt = ask(t, name, type);
	char text[4096], *p = text;

	p += sprintf(p, "%s%s: ", pkt->_header->_rcode == 3 ? "NX" : pkt->_header->_rcode ? "ERROR" : "OK",
		     ldns_pkt_aa(pkt) ? "" : " not AA");
	p = put_section(p, f, ldns_pkt_answer(pkt));
	p += sprintf(p, "| ");
	p = put_section(p, f, ldns_pkt_authority(pkt));
	p += sprintf(p, "| ");
	p = put_section(p, f, ldns_pkt_additional(pkt));
	if (strcmp(text, expected) != 0)
		fail_msg("%s type %u:\n  %s\nand not\n  %s", name, type, text, expected);
	assert_false(ldns_pkt_ad(pkt));
	assert_true(ldns_pkt_edns_do(pkt));
	ldns_pkt_free(pkt);
}

/* ---- answers ---- */

struct row {
	const char *name;
	unsigned type;
	const char *expected;
};

#define D ".jitsu.example"

static const struct row rows[] = {
	/* what is there */
	{ "jitsu.example", TYPE_SOA, "OK: @ SOA+, | | " },
	{ "jitsu.example", TYPE_NS, "OK: @ NS+, | | ns1 A+, " },
	{ "jitsu.example", TYPE_MX, "OK: @ MX+, | | mail A+, mail2 A+, mail AAAA+, " },
	{ "jitsu.example", TYPE_DNSKEY, "OK: @ DNSKEY+, | | " },
	{ "jitsu.example", TYPE_CDS, "OK: @ CDS+, | | " },
	{ "jitsu.example", TYPE_CDNSKEY, "OK: @ CDNSKEY+, | | " },
	{ "MaIl" D, TYPE_A, "OK: mail A+, | | " },
	{ "mail2" D, TYPE_A, "OK: mail2 A+, | | " },
	{ "_s._t" D, TYPE_SRV, "OK: _s._t SRV+, | | mail A+, mail AAAA+, " },
	{ "naptr" D, LDNS_RR_TYPE_NAPTR, "OK: naptr NAPTR+, | | " },
	{ "rp" D, LDNS_RR_TYPE_RP, "OK: rp RP+, | | " },
	{ "ptr" D, TYPE_PTR, "OK: ptr PTR+, | | " },
	{ "h" D, TYPE_HTTPS, "OK: h HTTPS+, | | " },
	{ "unknown" D, 999, "OK: unknown TYPE999+, | | " },
	{ "ns1" D, TYPE_NSEC, "OK: ns1 NSEC+, | | " },
	{ "*.wild" D, TYPE_A, "OK: *.wild A+, | | " },
	/* what is not */
	{ "mail" D, TYPE_TXT, "OK: | @ SOA+, mail NSEC+, | " },
	{ "nope" D, TYPE_A, "NX: | @ SOA+, x.new NSEC+, @ NSEC+, | " },
	{ "a" D, TYPE_A, "NX: | @ SOA+, _s._t NSEC+, @ NSEC+, | " },
	{ "zzz" D, TYPE_A, "NX: | @ SOA+, www NSEC+, @ NSEC+, | " },
	{ "x.mail" D, TYPE_A, "NX: | @ SOA+, mail NSEC+, | " },
	{ "ent" D, TYPE_A, "OK: | @ SOA+, *.star.deep NSEC+, | " },
	{ "b.ent" D, TYPE_A, "OK: | @ SOA+, *.star.deep NSEC+, | " },
	{ "x.b.ent" D, TYPE_A, "NX: | @ SOA+, a.b.ent NSEC+, *.star.deep NSEC+, | " },
	{ "jitsu.example", TYPE_DS, "OK: | @ SOA+, @ NSEC+, | " },
	{ "jitsu.example", TYPE_AAAA, "OK: | @ SOA+, @ NSEC+, | " },
	/* wildcards (RFC 4592) */
	{ "a.wild" D, TYPE_A, "OK: a.wild A+, | *.wild NSEC+, | " },
	{ "a.b.wild" D, TYPE_TXT, "OK: a.b.wild TXT+, | *.wild NSEC+, | " },
	{ "a.wild" D, TYPE_MX, "OK: | @ SOA+, *.wild NSEC+, | " },
	{ "wild" D, TYPE_A, "OK: | @ SOA+, unknown NSEC+, | " },
	{ "a.cw" D, TYPE_A, "OK: a.cw CNAME+, mail A+, | *.cw NSEC+, | " },
	{ "a.cw" D, TYPE_TXT, "OK: a.cw CNAME+, | @ SOA+, *.cw NSEC+, mail NSEC+, | " },
	{ "wildly" D, TYPE_A, "OK: wildly CNAME+, one.cw CNAME+, mail A+, | *.cw NSEC+, | " },
	/* aliases */
	{ "alias" D, TYPE_A, "OK: alias CNAME+, mail A+, | | " },
	{ "chain" D, TYPE_AAAA, "OK: chain CNAME+, alias CNAME+, mail AAAA+, | | " },
	{ "chain" D, TYPE_CNAME, "OK: chain CNAME+, | | " },
	{ "out" D, TYPE_A, "OK: out CNAME+, | | " },
	{ "lost" D, TYPE_A, "NX: lost CNAME+, | @ SOA+, x.new NSEC+, @ NSEC+, | " },
	{ "alias" D, TYPE_TXT, "OK: alias CNAME+, | @ SOA+, mail NSEC+, | " },
	{ "alias" D, TYPE_NSEC, "OK: alias NSEC+, | | " },
	{ "x.old" D, TYPE_A, "OK: old DNAME+, x.old CNAME, x.new A+, | | " },
	{ "y.old" D, TYPE_A, "NX: old DNAME+, y.old CNAME, | @ SOA+, x.new NSEC+, naptr NSEC+, | " },
	{ "old" D, TYPE_A, "OK: | @ SOA+, old NSEC+, | " },
	/* delegations */
	{ "secure" D, TYPE_A, "OK not AA: | secure NS, secure DS+, | ns.secure A, " },
	{ "x.secure" D, TYPE_A, "OK not AA: | secure NS, secure DS+, | ns.secure A, " },
	{ "secure" D, TYPE_DS, "OK: secure DS+, | | " },
	{ "x.insecure" D, TYPE_A, "OK not AA: | insecure NS, insecure NSEC+, | ns1 A+, " },
	{ "insecure" D, TYPE_DS, "OK: | @ SOA+, insecure NSEC+, | " },
	{ "x.insecure" D, TYPE_DS, "OK not AA: | insecure NS, insecure NSEC+, | ns1 A+, " },
	/* zones of ours within */
	{ "sub" D, TYPE_DS, "OK: sub DS+, | | " },
	{ "sub" D, TYPE_SOA, "OK: sub SOA+, | | " },
	{ "sub" D, TYPE_DNSKEY, "OK: sub DNSKEY+, | | " },
	{ "sub" D, TYPE_MX, "OK: | sub SOA+, sub NSEC+, | " },
	{ "www.sub" D, TYPE_A, "OK: www.sub A+, | | " },
	{ "nope.sub" D, TYPE_A, "NX: | sub SOA+, back.sub NSEC+, sub NSEC+, | " },
	{ "back.sub" D, TYPE_A, "OK: back.sub CNAME+, mail A+, | | " },
	{ "back.sub" D, TYPE_TXT, "OK: back.sub CNAME+, | @ SOA+, mail NSEC+, | " },
	{ "plain" D, TYPE_DS, "OK: | @ SOA+, plain NSEC+, | " },
	{ "plain" D, TYPE_SOA, "OK: plain SOA, | | " },
	{ "www.plain" D, TYPE_A, "OK: www.plain A, | | " },
	{ "nope.plain" D, TYPE_A, "NX: | plain SOA, | " },
	/* services */
	{ "www" D, TYPE_A, "OK: www A+, | | " },
	{ "deep.shop" D, TYPE_A, "OK: deep.shop A+, | | " },
	{ "www" D, TYPE_AAAA, "OK: | @ SOA+, www NSEC+, | " },
	{ "www" D, TYPE_TXT, "OK: | @ SOA+, www NSEC+, | " },
	{ "to-www" D, TYPE_A, "OK: to-www CNAME+, www A+, | | " },
	/* not signed */
	{ "www.alone.example", TYPE_A, "OK: www.alone.example. A, | | " },
	{ "nope.alone.example", TYPE_A, "NX: | alone.example. SOA, | " },
	{ "20.1.168.192.in-addr.arpa", TYPE_PTR, "OK: 20.1.168.192.in-addr.arpa. PTR, | | " },
};

static void test_answers_and_their_proofs(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check(f, f->t, rows[i].name, rows[i].type, rows[i].expected);
}

/* Who does not ask for DNSSEC gets the very bytes that the zone gives that is not signed. */
static void test_without_do_nothing_changes(void **state)
{
	struct fixture *f = *state;
	struct tables *t = begin_tables(f, STATE_UP);
	struct asker asker = { .addr = ip("203.0.113.1") };
	struct answer a, b;
	uint8_t reply[2][WIRE_UDP_MAX], query[512];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t n = make_query(query, (struct ask){ .name = rows[i].name, .type = rows[i].type, .edns_size = 1232 });
		bool only_signed = rows[i].type == TYPE_DNSKEY || rows[i].type == TYPE_NSEC || rows[i].type == TYPE_CDS ||
				   rows[i].type == TYPE_CDNSKEY;

		answer_query(f->t, &asker, query, n, reply[0], &a);
		answer_query(t, &asker, query, n, reply[1], &b);
		if (only_signed != (a.n != b.n || memcmp(reply[0], reply[1], a.n) != 0))
			fail_msg("%s type %u", rows[i].name, rows[i].type);
	}
	tables_free(t);
}

/* One set, however many there are (RFC 8482). */
static void test_any_and_rrsig_are_one_set(void **state)
{
	static const struct row any[] = {
		{ "many" D, TYPE_ANY, "OK: many TXT+, | | " },
		{ "www" D, TYPE_ANY, "OK: www NSEC+, | | " }, /* and not its address */
		{ "alias" D, TYPE_ANY, "OK: alias CNAME+, | | " },
		{ "a.wild" D, TYPE_ANY, "OK: a.wild TXT+, | *.wild NSEC+, | " },
		{ "ent" D, TYPE_ANY, "OK: | @ SOA+, *.star.deep NSEC+, | " },
		{ "sub" D, TYPE_ANY, "OK: sub NS+, | | " }, /* not the DS, which are above */
		{ "www.alone.example", TYPE_ANY, "OK: www.alone.example. HINFO, | | " },
		{ "www.alone.example", TYPE_RRSIG, "OK: | alone.example. SOA, | " },
		{ "ent" D, TYPE_RRSIG, "OK: | @ SOA+, *.star.deep NSEC+, | " },
	};
	struct fixture *f = *state;
	static const char *const names[] = { "many" D, "www" D, "alias" D, "jitsu.example" };

	for (size_t i = 0; i < ARRAY_SIZE(any); i++)
		check(f, f->t, any[i].name, any[i].type, any[i].expected);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		ldns_pkt *p = ask(f->t, names[i], TYPE_RRSIG);

		assert_int_equal(ldns_pkt_ancount(p), 1);
		assert_int_equal(ldns_rr_get_type(ldns_rr_list_rr(ldns_pkt_answer(p), 0)), LDNS_RR_TYPE_RRSIG);
		ldns_pkt_free(p);
	}
}

static void test_what_does_not_fit_is_cut(void **state)
{
	struct fixture *f = *state;
	ldns_pkt *p = ask_sized(f->t, "many" D, TYPE_A, false, 512);

	assert_false(ldns_pkt_tc(p));
	ldns_pkt_free(p);
	p = ask_sized(f->t, "y.old" D, TYPE_A, false, 512); /* four signatures */
	assert_true(ldns_pkt_tc(p));
	assert_true(ldns_pkt_size(p) <= 512);
	ldns_pkt_free(p);
	p = ask_sized(f->t, "y.old" D, TYPE_A, false, 1232);
	assert_false(ldns_pkt_tc(p));
	ldns_pkt_free(p);
	p = ask_sized(f->t, "jitsu.example", TYPE_MX, false, 512); /* signatures of what is additional may go */
	assert_false(ldns_pkt_tc(p));
	ldns_pkt_free(p);
}

/* Each form of a service's addresses has its signatures. */
static void test_services_in_all_forms(void **state)
{
	struct fixture *f = *state;
	struct tables *t = signed_tables(f, STATE_OFF);
	ldns_pkt *p = ask(t, "www" D, TYPE_A);

	check(f, t, "www" D, TYPE_A, "OK: www A+, | | ");
	assert_int_equal(ldns_rr_ttl(ldns_rr_list_rr(ldns_pkt_answer(p), 0)), 5);
	ldns_pkt_free(p);
	tables_free(t);
	t = signed_tables(f, STATE_CONFLICT);
	check(f, t, "to-www" D, TYPE_A, "OK: to-www CNAME+, www A+, | | ");
	p = ask(t, "www" D, TYPE_A);
	assert_rr(ldns_pkt_answer(p), 0, "www.jitsu.example.\t5\tIN\tA\t192.168.1.99");
	ldns_pkt_free(p);
	tables_free(t);
}

/* ---- the chain ---- */

static const uint16_t types[] = {
	TYPE_A, TYPE_NS, TYPE_CNAME, TYPE_SOA, TYPE_PTR, TYPE_MX, TYPE_TXT, LDNS_RR_TYPE_RP, TYPE_AAAA, TYPE_SRV,
	LDNS_RR_TYPE_NAPTR, TYPE_DNAME, TYPE_DS, TYPE_RRSIG, TYPE_NSEC, TYPE_DNSKEY, TYPE_CDS, TYPE_CDNSKEY, TYPE_HTTPS,
	999, 65280,
};

/* The server says that there are such records, with their signature. */
static bool has_type(struct tables *t, const char *name, unsigned type)
{
	ldns_pkt *p = ask(t, name, type);
	ldns_rdf *owner = ldns_dname_new_frm_str(name);
	ldns_rr_list *set = subset(ldns_pkt_answer(p), owner, (ldns_rr_type)type);
	bool found = ldns_rr_list_rr_count(set) > 0;

	ldns_rr_list_free(set);
	ldns_rdf_deep_free(owner);
	ldns_pkt_free(p);
	return found;
}

/* Its bits are those types that can be had; of a delegation, NS and perhaps DS. */
static void check_types(struct tables *t, const char *name, const ldns_rr *nsec, bool apex)
{
	const ldns_rdf *bits = ldns_nsec_get_bitmap(nsec);
	bool cut = !apex && ldns_nsec_bitmap_covers_type(bits, LDNS_RR_TYPE_NS);
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		bool listed = ldns_nsec_bitmap_covers_type(bits, (ldns_rr_type)types[i]), expected;

		if (cut && types[i] != TYPE_DS)
			expected = types[i] == TYPE_NS || types[i] == TYPE_RRSIG || types[i] == TYPE_NSEC;
		else
			expected = !(apex && types[i] == TYPE_DS) && has_type(t, name, types[i]);
		if (listed != expected)
			fail_msg("%s: its NSEC is wrong about type %u", name, types[i]);
		n += listed;
	}
	for (unsigned type = 0; type < 65536; type++)
		n -= ldns_nsec_bitmap_covers_type(bits, (ldns_rr_type)type);
	assert_int_equal(n, 0);
}

/* The NSEC of this name, as the tables have it. */
static ldns_rr *nsec_of(struct tables *t, const char *apex, const char *name)
{
	const struct zone_node *node;
	const struct zone_rrset *set;
	struct zone_match m;
	struct name wire;
	ldns_rr *nsec = NULL;
	size_t at = 0;
	uint8_t b[1024];

	assert_true(name_from_text(apex, &wire));
	assert_true(tables_find(t, wire.b, wire.n, wire.labels, &m));
	assert_true(name_from_text(name, &wire));
	node = tables_denial(t, m.zone, wire.b, wire.labels);
	set = tables_rrset(t, node, TYPE_NSEC);
	assert_true(set && set->sig_n > 0 && set->n < 512);
	assert_memory_equal(tables_name(t, node), wire.b, wire.n);
	memcpy(b, wire.b, wire.n);
	memcpy(b + wire.n, tables_bytes(t, set) + 2, set->n - 2u);
	assert_int_equal(ldns_wire2rr(&nsec, b, wire.n + set->n - 2u, &at, LDNS_SECTION_ANSWER), LDNS_STATUS_OK);
	return nsec;
}

static void next_of(const ldns_rr *nsec, char name[64])
{
	char *next = ldns_rdf2str(ldns_rr_rdf(nsec, 0));

	next[strlen(next) - 1] = '\0';
	str_copy_n(name, 64, next);
	free(next);
}

/* The names of the zone's NSEC, in their order, and back to the first. */
static unsigned walk_chain(struct tables *t, const char *apex, char names[][64], unsigned max)
{
	ldns_rdf *last = NULL;
	unsigned n = 0;
	char name[64];

	str_copy(name, apex);
	do {
		ldns_rr *nsec = nsec_of(t, apex, name);

		if (last)
			assert_int_equal(ldns_dname_compare(last, ldns_rr_owner(nsec)), -1);
		ldns_rdf_deep_free(last);
		last = ldns_rdf_clone(ldns_rr_owner(nsec));
		check_types(t, name, nsec, n == 0);
		assert_true(n < max);
		str_copy(names[n], name);
		n++;
		next_of(nsec, name);
		ldns_rr_free(nsec);
	} while (strcmp(name, apex) != 0);
	ldns_rdf_deep_free(last);
	return n;
}

static void test_the_chain_has_all_names_and_types(void **state)
{
	static const char *const expected[] = {
		"jitsu.example", "_s._t" D, "alias" D, "chain" D, "*.cw" D, "*.star.deep" D, "a.b.ent" D, "far" D, "h" D,
		"insecure" D, "lost" D, "mail" D, "mail2" D, "many" D, "naptr" D, "x.new" D, "ns1" D, "old" D, "out" D,
		"plain" D, "ptr" D, "rp" D, "secure" D, "deep.shop" D, "sub" D, "to-www" D, "unknown" D, "*.wild" D, "wildly" D,
		"www" D,
	};
	struct fixture *f = *state;
	char names[64][64];

	assert_int_equal(walk_chain(f->t, "jitsu.example", names, 64), ARRAY_SIZE(expected));
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		assert_string_equal(names[i], expected[i]);
	assert_int_equal(walk_chain(f->t, "sub.jitsu.example", names, 64), 3);
	assert_string_equal(names[1], "back.sub" D);
	assert_string_equal(names[2], "www.sub" D);
}

/* What a transfer has of the zone: all sets, each once, with the delegation to the zone within; and what is
 * in it is found there again. */
static void test_a_walk_has_everything(void **state)
{
	struct fixture *f = *state;
	struct zone_walk w;
	struct zone_set set;
	unsigned budget = 100000, n_nsec = 0, n_rrsig = 0, n_sub_ns = 0, n_records = 0;
	uint32_t zone = tables_zone(f->t, "jitsu.example");

	zone_walk_begin(&w, f->t, zone);
	while (zone_walk_next(&w, &budget, &set) > 0) {
		const uint8_t *name = tables_name(f->t, set.owner), *p = set.records;

		n_nsec += set.type == TYPE_NSEC;
		n_rrsig += set.type == TYPE_RRSIG;
		n_sub_ns += set.type == TYPE_NS && name[0] == 3 && memcmp(name + 1, "sub", 3) == 0;
		n_records += set.type != TYPE_NSEC && set.type != TYPE_RRSIG;
		for (unsigned i = 0; i < set.count; i++, p += WIRE_RECORD_HEAD + (size_t)wire_get16(p + 10))
			if (!zone_walk_has(f->t, zone, name, p))
				fail_msg("type %u of %s is not found again", set.type, name + 1);
	}
	assert_int_equal(n_nsec, 30);
	assert_int_equal(n_sub_ns, 1);
	/* not signed: NS of 4 delegations, A at and below one; not told here: SOA */
	assert_int_equal(n_rrsig, n_nsec + n_records - 6 + 1);
}

/* A zone too large for one step, its names in no order. */
static void test_a_large_zone_in_steps(void **state)
{
	struct fixture *f = *state;
	struct tables *t = tables_new();
	struct msg_dns_zone z = zone_msg("jitsu.example");
	struct test_key *keys[] = { f->outer, NULL };
	static char names[MANY_NAMES + 8][64];
	struct signatures *cache = signatures_new();

	assert_int_equal(tables_add_zone(t, &z), 0);
	assert_int_equal(tables_place(t), 0);
	for (unsigned i = 0; i < MANY_NAMES; i++) {
		char line[64];

		snprintf(line, sizeof(line), "n%x.%c TXT %u\n", i * 2654435761u, 'a' + i % 7, i);
		add_zone_text(t, "jitsu.example", line);
	}
	assert_int_equal(tables_finish(t), 0);
	assert_true(sign_tables(t, keys, cache, NOW) > MANY_NAMES / 100);
	assert_int_equal(walk_chain(t, "jitsu.example", names, ARRAY_SIZE(names)), MANY_NAMES + 1);
	assert_int_equal(signatures_count(cache), 2 * MANY_NAMES + 3 + 3); /* SOA NS NSEC, DNSKEY CDS CDNSKEY */
	tables_free(t);
	signatures_free(cache);
}

/* A wildcard's proof of one zone and a denial of another are not given together: here both would need an NSEC at
 * sub.jitsu.example, and whoever got them would take them for one set, which no signature is of. */
static void test_proofs_are_of_one_zone(void **state)
{
	struct fixture *f = *state;
	struct test_key *keys[] = { f->outer, f->inner, NULL };
	struct msg_dns_zone outer = zone_msg("jitsu.example"), inner = zone_msg("sub.jitsu.example");
	struct tables *t = tables_new();

	assert_int_equal(tables_add_zone(t, &outer), 0);
	assert_int_equal(tables_add_zone(t, &inner), 0);
	assert_int_equal(tables_place(t), 0);
	add_zone_text(t, "jitsu.example", "*.w CNAME x\n* CNAME nope.sub\nlost CNAME nope.sub\n");
	assert_int_equal(tables_finish(t), 0);
	sign_tables(t, keys, f->cache, NOW);
	check(f, t, "t" D, TYPE_A, "OK: t CNAME+, | sub NSEC+, | ");
	check(f, t, "lost" D, TYPE_A, "NX: lost CNAME+, | sub SOA+, sub NSEC+, | ");
	tables_free(t);
}

/* The reverse names of services are signed where they lie in a signed zone. */
static void test_reverse_names(void **state)
{
	struct fixture *f = *state;
	struct test_key *reverse = make_key("168.192.in-addr.arpa", LDNS_SIGN_ECDSAP256SHA256, KEY_ALL), *fresh = f->fresh;
	struct msg_dns_zone z = zone_msg("jitsu.example"), r = zone_msg("168.192.in-addr.arpa");
	struct msg_dns_service www = service_msg(SVC_WWW, "www", "www.jitsu.example", "192.168.1.20 10.0.0.1", STATE_UP,
						 ANSWER_READY);
	struct test_key *keys[] = { f->outer, reverse, NULL };
	struct tables *t = tables_new();

	assert_int_equal(tables_add_zone(t, &z), 0);
	assert_int_equal(tables_add_zone(t, &r), 0);
	assert_int_equal(tables_add_service(t, &www), 0);
	assert_int_equal(tables_place(t), 0);
	assert_int_equal(tables_finish(t), 0);
	sign_tables(t, keys, f->cache, NOW);
	f->fresh = reverse; /* a key that is known */
	check(f, t, "20.1.168.192.in-addr.arpa", TYPE_PTR, "OK: 20.1.168.192.in-addr.arpa. PTR+, | | ");
	check(f, t, "1.168.192.in-addr.arpa", TYPE_PTR,
	      "OK: | 168.192.in-addr.arpa. SOA+, 168.192.in-addr.arpa. NSEC+, | ");
	check(f, t, "1.0.0.10.in-addr.arpa", TYPE_PTR, "OK: 1.0.0.10.in-addr.arpa. PTR, | | ");
	f->fresh = fresh;
	free_key(reverse);
	tables_free(t);
}

/* ---- keys ---- */

static unsigned count_type(struct tables *t, const char *name, unsigned type)
{
	ldns_pkt *p = ask(t, name, type);
	ldns_rr_list *list = ldns_pkt_rr_list_by_type(p, (ldns_rr_type)type, LDNS_SECTION_ANSWER);
	unsigned n = (unsigned)ldns_rr_list_rr_count(list);

	ldns_rr_list_deep_free(list);
	ldns_pkt_free(p);
	return n;
}

/* Through a roll: the new key shows itself, then signs, then the old one goes. */
static void test_a_roll(void **state)
{
	static const struct {
		unsigned old, fresh; /* flags of the keys */
		unsigned dnskeys, cds;
		const char *keys, *data, *no;
	} steps[] = {
		{ KEY_ALL, 0, 1, 1, "OK: @ DNSKEY+, | | ", "OK: mail A+, | | ", "OK: | @ SOA+, mail NSEC+, | " },
		{ KEY_ALL, KEY_PUBLISH | KEY_SIGN_KEYS | KEY_CDS, 2, 2, "OK: @ DNSKEY++, | | ", "OK: mail A+, | | ",
		  "OK: | @ SOA+, mail NSEC+, | " },
		{ KEY_PUBLISH | KEY_SIGN_KEYS, KEY_ALL, 2, 1, "OK: @ DNSKEY++, | | ", "OK: mail A+, | | ",
		  "OK: | @ SOA+, mail NSEC+, | " },
		{ 0, KEY_ALL, 1, 1, "OK: @ DNSKEY+, | | ", "OK: mail A+, | | ", "OK: | @ SOA+, mail NSEC+, | " },
		{ KEY_ALL, KEY_ALL, 2, 2, "OK: @ DNSKEY++, | | ", "OK: mail A++, | | ", "OK: | @ SOA++, mail NSEC++, | " },
		{ KEY_PUBLISH, KEY_PUBLISH, 2, 0, "OK: @ DNSKEY, | | ", "OK: mail A, | | ", "OK: | @ SOA, | " },
	};
	struct fixture *f = *state;
	struct test_key *keys[] = { f->outer, f->fresh, NULL };

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		struct tables *t = begin_tables(f, STATE_UP);

		use_key(f->outer, steps[i].old);
		use_key(f->fresh, steps[i].fresh);
		sign_tables(t, keys, f->cache, NOW);
		check(f, t, "jitsu.example", TYPE_DNSKEY, steps[i].keys);
		check(f, t, "mail" D, TYPE_A, steps[i].data);
		check(f, t, "mail" D, TYPE_TXT, steps[i].no);
		assert_int_equal(count_type(t, "jitsu.example", TYPE_DNSKEY), steps[i].dnskeys);
		assert_int_equal(count_type(t, "jitsu.example", TYPE_CDS), steps[i].cds);
		assert_int_equal(count_type(t, "jitsu.example", TYPE_CDNSKEY), steps[i].cds);
		tables_free(t);
	}
	use_key(f->outer, KEY_ALL);
	use_key(f->fresh, KEY_PUBLISH);
}

/* RFC 7344, 3: the CDS is what the DS shall be. */
static void test_cds_is_the_ds(void **state)
{
	struct fixture *f = *state;
	ldns_pkt *p = ask(f->t, "jitsu.example", TYPE_CDS), *k = ask(f->t, "jitsu.example", TYPE_CDNSKEY);
	ldns_rr *ds = ldns_key_rr2ds(f->outer->dnskey, LDNS_SHA256), *cds = ldns_rr_list_rr(ldns_pkt_answer(p), 0);
	ldns_rr *cdnskey = ldns_rr_list_rr(ldns_pkt_answer(k), 0);

	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(ldns_rdf_compare(ldns_rr_rdf(cds, i), ldns_rr_rdf(ds, i)), 0);
		assert_int_equal(ldns_rdf_compare(ldns_rr_rdf(cdnskey, i), ldns_rr_rdf(f->outer->dnskey, i)), 0);
	}
	ldns_rr_free(ds);
	ldns_pkt_free(p);
	ldns_pkt_free(k);
}

static void test_keys_that_cannot_be_used(void **state)
{
	struct fixture *f = *state;
	const struct {
		const char *text;
		unsigned tag_off, algorithm;
		const char *why;
	} bad[] = {
		{ "", 0, 13, "is no private key" },
		{ "Private-key-format: v1.2\nAlgorithm: 8 (RSASHA256)\n", 0, 13, "another algorithm" },
		{ "Private-key-format: v1.3\nAlgorithm: 13 (ECDSAP256SHA256)\n", 0, 13, "has no private key" },
		{ "Private-key-format: v1.3\nAlgorithm: 13\nPrivateKey: AAAA\n", 0, 13, "none of its algorithm" },
		{ "Private-key-format: v1.3\nAlgorithm: 13\nPrivateKey: //////////////////////////////////////////8=\n", 0, 13,
		  "none of its algorithm" },
		{ "Private-key-format: v1.3\nAlgorithm: 13\nPrivateKey: !!!!\n", 0, 13, "has no private key" },
		{ "Private-key-format: v1.3\nAlgorithm: 13\n"
		  "PrivateKey: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n", 0, 13,
		  "has no private key" },
		{ f->outer->text, 1, 13, "its tag is not this" },
		{ f->outer->text, 0, 15, "another algorithm" },
		{ f->outer->text, 0, 8, "algorithm 8, which is not supported" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct msg_dns_key m = f->outer->msg;
		struct key k;
		struct err e = { 0 };

		m.tag = (uint16_t)(m.tag + bad[i].tag_off);
		m.algorithm = (uint8_t)bad[i].algorithm;
		assert_int_equal(key_read(&m, key_file(bad[i].text), &k, &e), -EINVAL);
		if (!strstr(e.text, bad[i].why) || !strstr(e.text, "jitsu.example"))
			fail_msg("%zu: %s", i, e.text);
	}
}

/* ---- signatures made before ---- */

static void dump(struct tables *t, uint8_t *out, size_t size)
{
	FILE *f = fmemopen(out, size, "w");

	memset(out, 0, size);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		ldns_pkt *p = ask(t, rows[i].name, rows[i].type);

		ldns_pkt_set_querytime(p, 0);
		for (size_t s = 0; s < ldns_rr_list_rr_count(ldns_pkt_answer(p)); s++)
			ldns_rr_print(f, ldns_rr_list_rr(ldns_pkt_answer(p), s));
		ldns_pkt_free(p);
	}
	fclose(f);
}

static void test_signatures_last_over_reloads(void **state)
{
	enum { SIZE = 128 * 1024, DAY = 86400 };
	struct fixture *f = *state;
	struct test_key *keys[] = { f->outer, f->inner, NULL }, *one[] = { f->inner, NULL };
	uint8_t *first = calloc(1, SIZE), *again = calloc(1, SIZE);
	uint32_t n = 0;

	for (unsigned day = 0; day <= 8; day++) {
		struct tables *t = begin_tables(f, STATE_UP);

		sign_tables(t, keys, f->cache, NOW + day * DAY);
		dump(t, day == 0 ? first : again, SIZE);
		if (day == 0)
			n = signatures_count(f->cache);
		else if ((memcmp(first, again, SIZE) == 0) != (day <= 7)) /* renewed when less than a week is left */
			fail_msg("day %u", day);
		assert_int_equal(signatures_count(f->cache), n);
		tables_free(t);
	}
	struct tables *t = begin_tables(f, STATE_UP); /* what nobody needs any more goes */
	sign_tables(t, one, f->cache, NOW);
	assert_true(signatures_count(f->cache) < n / 2);
	tables_free(t);
	free(first);
	free(again);
}

/* Each snapshot is overtaken by the next before it is done: what was signed is not lost, and it is not
 * kept for ever. */
static void test_interrupted_builds(void **state)
{
	struct fixture *f = *state;
	struct signatures *cache = signatures_new();
	uint32_t before = 0, whole;
	struct tables *t = begin_tables(f, STATE_UP);
	struct test_key *keys[] = { f->outer, NULL };

	sign_tables(t, keys, cache, NOW);
	tables_free(t);
	whole = signatures_count(cache);
	signatures_free(cache);
	cache = signatures_new();
	for (unsigned i = 0; i < 20; i++) {
		struct signing *s = signing_new(cache);
		struct err e = { 0 };

		t = begin_tables(f, STATE_UP);
		assert_int_equal(signing_add_key(s, &f->outer->msg, key_file(f->outer->text), &e), 0);
		for (unsigned j = 0; j < 6; j++) /* keys, three of the chain, one step of names */
			signing_step(s, t, NOW + i, &e);
		signing_free(s);
		tables_free(t);
		assert_true(signatures_count(cache) >= before && signatures_count(cache) <= whole);
		before = signatures_count(cache);
	}
	assert_int_equal(before, whole);
	signatures_free(cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers_and_their_proofs),
		cmocka_unit_test(test_without_do_nothing_changes),
		cmocka_unit_test(test_any_and_rrsig_are_one_set),
		cmocka_unit_test(test_what_does_not_fit_is_cut),
		cmocka_unit_test(test_services_in_all_forms),
		cmocka_unit_test(test_the_chain_has_all_names_and_types),
		cmocka_unit_test(test_a_walk_has_everything),
		cmocka_unit_test(test_a_large_zone_in_steps),
		cmocka_unit_test(test_reverse_names),
		cmocka_unit_test(test_proofs_are_of_one_zone),
		cmocka_unit_test(test_a_roll),
		cmocka_unit_test(test_cds_is_the_ds),
		cmocka_unit_test(test_keys_that_cannot_be_used),
		cmocka_unit_test(test_signatures_last_over_reloads),
		cmocka_unit_test(test_interrupted_builds),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
