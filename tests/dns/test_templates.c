/* Names of a template, a service whose name is a wildcard: which of them are asked of the launcher, and what all
 * others get (RFC 4592). */
#include "tests/dns/util.h"

#include "tests/dns/keys.h"

enum { SVC_VM = 4, SVC_A = 5 };

static struct tables *tables_with(bool template6, bool with_fallback, bool with_instance)
{
	struct tables *t = tables_new();
	struct msg_dns_conf conf = { 0 };
	struct msg_dns_zone z = zone_msg("jitsu.example");
	struct msg_dns_service vm = service_msg(SVC_VM, "vm", "*.vm.jitsu.example", "", STATE_OFF, ANSWER_AT_ONCE);
	struct msg_dns_service a = service_msg(SVC_A, "vm-a", "a.vm.jitsu.example", "10.0.0.5", STATE_UP, ANSWER_AT_ONCE);

	vm.template4 = true;
	vm.template6 = template6;
	if (with_fallback) {
		vm.n_fallback = 1;
		vm.fallback[0] = ip("192.0.2.8");
	}
	assert_int_equal(tables_set_conf(t, &conf), 0);
	assert_int_equal(tables_add_zone(t, &z), 0);
	assert_int_equal(tables_add_service(t, &vm), 0);
	if (with_instance)
		assert_int_equal(tables_add_service(t, &a), 0);
	assert_int_equal(tables_place(t), 0);
	return t;
}

static struct tables *plain(bool template6, bool with_fallback, bool with_instance)
{
	struct tables *t = tables_with(template6, with_fallback, with_instance);

	assert_int_equal(tables_finish(t), 0);
	return t;
}

static void ask_as(struct tables *t, struct asker asker, const char *name, unsigned type, bool dnssec_ok,
		   struct answer *a, uint8_t *reply)
{
	uint8_t query[512];
	size_t n = make_query(query, (struct ask){ .name = name, .type = type, .edns_size = 1232, .dnssec_ok = dnssec_ok });

	asker.addr = ip("192.0.2.200");
	answer_query(t, &asker, query, n, reply, a);
}

static uint8_t reply[ANSWER_SIZE_MAX];

static struct answer ask(struct tables *t, const char *name, unsigned type)
{
	struct answer a;

	ask_as(t, (struct asker){ 0 }, name, type, false, &a, reply);
	return a;
}

static void assert_asked(struct tables *t, const char *name, unsigned type, const char *label)
{
	struct answer a = ask(t, name, type);

	assert_int_equal(a.verdict, VERDICT_HOLD);
	assert_true(a.wake);
	assert_int_equal(a.service->svc, SVC_VM);
	assert_string_equal(a.label, label);
}

static void assert_said(struct tables *t, const char *name, unsigned type, unsigned rcode, unsigned answers)
{
	struct answer a = ask(t, name, type);

	if (a.verdict != VERDICT_REPLY || a.rcode != rcode || wire_get16(reply + 6) != answers)
		fail_msg("%s %u: verdict %d, rcode %u, %u records", name, type, a.verdict, a.rcode, wire_get16(reply + 6));
	assert_false(a.wake);
}

static void test_which_are_asked_of_the_launcher(void **state)
{
	struct tables *t = plain(false, false, false), *both = plain(true, false, false);
	char longest[128] = "", label[64] = "";

	(void)state;
	assert_asked(t, "a.vm.jitsu.example", TYPE_A, "a");
	assert_asked(t, "Foo-1.VM.jitsu.example", TYPE_A, "foo-1");
	memset(longest, 'x', 63);
	strcat(longest, ".vm.jitsu.example");
	memset(label, 'x', 63);
	assert_asked(t, longest, TYPE_A, label);
	assert_asked(both, "a.vm.jitsu.example", TYPE_AAAA, "a");
	tables_free(t);
	tables_free(both);
}

static void test_what_others_get(void **state)
{
	struct tables *t = plain(false, false, false);

	(void)state;
	assert_said(t, "a.vm.jitsu.example", TYPE_AAAA, RCODE_NOERROR, 0); /* there are none of that family */
	assert_said(t, "a.vm.jitsu.example", TYPE_TXT, RCODE_NOERROR, 0);
	assert_said(t, "a.vm.jitsu.example", TYPE_ANY, RCODE_NOERROR, 0);
	assert_said(t, "b.a.vm.jitsu.example", TYPE_A, RCODE_NOERROR, 0); /* the wildcard stands for it, too */
	assert_said(t, "vm.jitsu.example", TYPE_A, RCODE_NOERROR, 0);
	assert_said(t, "*.vm.jitsu.example", TYPE_A, RCODE_NOERROR, 0);
	assert_said(t, "x.*.vm.jitsu.example", TYPE_A, RCODE_NXDOMAIN, 0);
	assert_said(t, "-a.vm.jitsu.example", TYPE_A, RCODE_NOERROR, 0);
	assert_said(t, "a-.vm.jitsu.example", TYPE_A, RCODE_NOERROR, 0);
	assert_said(t, "a_b.vm.jitsu.example", TYPE_A, RCODE_NOERROR, 0);
	assert_said(t, "\xc3\xa4.vm.jitsu.example", TYPE_A, RCODE_NOERROR, 0);
	assert_said(t, "a.jitsu.example", TYPE_A, RCODE_NXDOMAIN, 0);
	tables_free(t);
}

static void test_an_instance_is_a_name_of_its_own(void **state)
{
	struct tables *t = plain(true, false, true);

	(void)state;
	assert_int_equal(ask(t, "a.vm.jitsu.example", TYPE_A).service->svc, SVC_A);
	assert_int_equal(wire_get16(reply + 6), 1);
	assert_string_equal(ask(t, "a.vm.jitsu.example", TYPE_A).label, "");
	assert_said(t, "b.a.vm.jitsu.example", TYPE_A, RCODE_NXDOMAIN, 0); /* no wildcard is beside it there */
	assert_asked(t, "b.vm.jitsu.example", TYPE_A, "b");
	tables_free(t);
}

/* Who is refused, and who has to show who he is. */
static void test_refused(void **state)
{
	struct tables *t = plain(false, false, false), *with = plain(false, true, false);
	struct answer a;

	(void)state;
	ask_as(t, (struct asker){ .wish = WISH_GIVE_UP }, "a.vm.jitsu.example", TYPE_A, false, &a, reply);
	assert_int_equal(a.rcode, RCODE_SERVFAIL);
	ask_as(t, (struct asker){ .wish = WISH_NOW }, "a.vm.jitsu.example", TYPE_A, false, &a, reply);
	assert_int_equal(a.rcode, RCODE_SERVFAIL);
	ask_as(t, (struct asker){ .wish = WISH_PROVE }, "a.vm.jitsu.example", TYPE_A, false, &a, reply);
	assert_true(reply[2] & FLAG_TC >> 8);
	ask_as(t, (struct asker){ .wish = WISH_PROVE, .tcp = true }, "a.vm.jitsu.example", TYPE_A, false, &a, reply);
	assert_int_equal(a.rcode, RCODE_SERVFAIL);
	ask_as(with, (struct asker){ .wish = WISH_GIVE_UP }, "a.vm.jitsu.example", TYPE_A, false, &a, reply);
	assert_int_equal(a.rcode, RCODE_NOERROR);
	assert_int_equal(wire_get16(reply + 6), 1);
	tables_service(t, SVC_VM, GEN)->wake_dns = WAKE_DNS_VERIFIED;
	ask_as(t, (struct asker){ 0 }, "a.vm.jitsu.example", TYPE_A, false, &a, reply);
	assert_int_equal(a.verdict, VERDICT_REPLY);
	assert_true(reply[2] & FLAG_TC >> 8);
	ask_as(t, (struct asker){ .tcp = true }, "a.vm.jitsu.example", TYPE_A, false, &a, reply);
	assert_int_equal(a.verdict, VERDICT_HOLD);
	tables_free(t);
	tables_free(with);
}

/* ---- signed ---- */

static bool has_type(ldns_pkt *p, const char *owner, ldns_rr_type type)
{
	ldns_rr_list *list = ldns_pkt_authority(p);
	ldns_rdf *name = ldns_dname_new_frm_str(owner);
	bool has = false;

	for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
		ldns_rr *rr = ldns_rr_list_rr(list, i);

		if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_NSEC && ldns_dname_compare(ldns_rr_owner(rr), name) == 0)
			has = ldns_nsec_bitmap_covers_type(ldns_rr_rdf(rr, 1), type);
	}
	ldns_rdf_deep_free(name);
	return has;
}

/* Nobody may learn that a name which has no instance has no address: what is proved of it leaves that open. */
static void test_signed_zones(void **state)
{
	struct test_key *key = make_key("jitsu.example", LDNS_SIGN_ECDSAP256SHA256, KEY_ALL), *keys[] = { key, NULL };
	struct signatures *cache = signatures_new();
	struct tables *t = tables_with(false, false, true);
	struct asker asker = { .tcp = true };
	struct answer a;
	ldns_pkt *p;

	(void)state;
	assert_int_equal(tables_finish(t), 0);
	sign_tables(t, keys, cache, 1700000000);
	ask_as(t, asker, "b.vm.jitsu.example", TYPE_TXT, true, &a, reply);
	assert_int_equal(a.rcode, RCODE_NOERROR);
	p = parse_reply(reply, a.n);
	assert_true(has_type(p, "*.vm.jitsu.example.", LDNS_RR_TYPE_A));
	assert_false(has_type(p, "*.vm.jitsu.example.", LDNS_RR_TYPE_AAAA));
	ldns_pkt_free(p);
	ask_as(t, asker, "b.vm.jitsu.example", TYPE_AAAA, true, &a, reply);
	assert_int_equal(a.rcode, RCODE_NOERROR);
	ask_as(t, asker, "b.vm.jitsu.example", TYPE_A, true, &a, reply);
	assert_int_equal(a.verdict, VERDICT_HOLD);
	/* what would contradict it is not said */
	ask_as(t, asker, "c.b.vm.jitsu.example", TYPE_A, true, &a, reply);
	assert_int_equal(a.rcode, RCODE_SERVFAIL);
	ask_as(t, asker, "*.vm.jitsu.example", TYPE_A, true, &a, reply);
	assert_int_equal(a.rcode, RCODE_SERVFAIL);
	tables_free(t);
	signatures_free(cache);
	free_key(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_which_are_asked_of_the_launcher),
		cmocka_unit_test(test_what_others_get),
		cmocka_unit_test(test_an_instance_is_a_name_of_its_own),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_signed_zones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
