/* wake_dns, ttl_down and fallback_ip: what a query for a service's address leads to. */
#include "tests/dns/util.h"

enum { TTL_S = 60, TTL_DOWN_S = 5 };

static struct tables *tables_of(uint8_t state, uint8_t answer, uint8_t wake_dns, uint32_t ttl_down_s)
{
	struct tables *t = tables_new();
	struct msg_dns_conf conf = { 0 };
	struct msg_dns_zone z = zone_msg("jitsu.example");
	struct msg_dns_service s = service_msg(SVC_WWW, "www", "www.jitsu.example web.jitsu.example",
					       "192.168.1.20 fd00::20", state, answer);

	s.wake_dns = wake_dns;
	s.ttl_s = TTL_S;
	s.ttl_down_s = ttl_down_s;
	s.n_fallback = 2;
	s.fallback[0] = ip("192.0.2.8");
	s.fallback[1] = ip("192.0.2.9");
	assert_int_equal(tables_set_conf(t, &conf), 0);
	assert_int_equal(tables_add_zone(t, &z), 0);
	assert_int_equal(tables_add_service(t, &s), 0);
	assert_int_equal(tables_place(t), 0);
	assert_int_equal(tables_finish(t), 0);
	return t;
}

struct result {
	struct answer a;
	size_t query_n;
	uint8_t reply[ANSWER_SIZE_MAX];
};

static void ask_with(struct tables *t, struct asker asker, unsigned type, struct result *r)
{
	uint8_t query[512];

	asker.addr = ip("192.0.2.200");
	r->query_n = make_query(query, (struct ask){ .name = "www.jitsu.example", .type = type });
	answer_query(t, &asker, query, r->query_n, r->reply, &r->a);
}

static void ask_once(uint8_t state, uint8_t answer, uint8_t wake_dns, struct asker asker, unsigned type,
		     struct result *r)
{
	struct tables *t = tables_of(state, answer, wake_dns, TTL_DOWN_S);

	ask_with(t, asker, type, r);
	tables_free(t);
}

static bool is_cut(const struct result *r) { return r->a.verdict == VERDICT_REPLY && r->reply[2] & FLAG_TC >> 8; }

/* Whatever the service does and whenever it is answered. */
static void each(void (*check)(uint8_t state, uint8_t answer))
{
	for (uint8_t state = 0; state < STATE_N; state++)
		for (uint8_t answer = 0; answer < ANSWER_N; answer++)
			check(state, answer);
}

/* ---- wake_dns ---- */

static void check_off(uint8_t state, uint8_t answer)
{
	static struct result r;

	for (unsigned tcp = 0; tcp < 2; tcp++) {
		ask_once(state, answer, WAKE_DNS_OFF, (struct asker){ .tcp = tcp }, TYPE_A, &r);
		assert_false(r.a.wake);
		ask_once(state, answer, WAKE_DNS_OFF, (struct asker){ .tcp = tcp }, TYPE_AAAA, &r);
		assert_false(r.a.wake);
		if (r.a.verdict == VERDICT_HOLD) /* somebody else has woken it */
			assert_true(state == STATE_STARTING || state == STATE_BOOTING);
	}
}

static void test_off_never_wakes(void **state)
{
	(void)state;
	each(check_off);
}

static void check_verified(uint8_t state, uint8_t answer)
{
	static struct result any, proven, anybody;

	ask_once(state, answer, WAKE_DNS_ANY, (struct asker){ 0 }, TYPE_A, &any);
	ask_once(state, answer, WAKE_DNS_VERIFIED, (struct asker){ .tcp = true }, TYPE_A, &proven);
	ask_once(state, answer, WAKE_DNS_VERIFIED, (struct asker){ 0 }, TYPE_A, &anybody);
	assert_int_equal(proven.a.verdict, any.a.verdict);
	assert_int_equal(proven.a.wake, any.a.wake);
	assert_int_equal(proven.a.mark, any.a.mark);
	assert_false(anybody.a.wake);
	assert_int_equal(anybody.a.verdict, VERDICT_REPLY);
	assert_int_equal(is_cut(&anybody), any.a.verdict == VERDICT_HOLD);
	if (is_cut(&anybody))
		assert_true(2 * anybody.a.n <= 3 * anybody.query_n);
	else
		assert_int_equal(anybody.a.mark, any.a.mark); /* the address was given, without a wake */
}

static void test_who_is_not_verified_does_not_wake_nor_wait(void **state)
{
	(void)state;
	each(check_verified);
}

static void test_no_address_of_that_family(void **state)
{
	struct tables *t = example_tables(STATE_OFF, ANSWER_READY);
	struct asker asker = { .addr = ip("192.0.2.1") };
	uint8_t query[512], reply[WIRE_UDP_MAX];
	size_t n = make_query(query, (struct ask){ .name = "four.jitsu.example", .type = TYPE_AAAA });
	struct answer a;

	(void)state;
	answer_query(t, &asker, query, n, reply, &a);
	assert_true(a.wake);
	tables_service(t, SVC_FOUR, GEN)->wake_dns = WAKE_DNS_VERIFIED;
	answer_query(t, &asker, query, n, reply, &a);
	assert_int_equal(a.verdict, VERDICT_REPLY);
	assert_int_equal(a.rcode, RCODE_NOERROR);
	assert_false(a.wake);
	tables_free(t);
}

/* ---- showing who one is ---- */

/* A query with a cookie of n bytes. */
static size_t cookie_query(uint8_t *b, const uint8_t *cookie, size_t cookie_n)
{
	size_t n = make_query(b, (struct ask){ .name = "www.jitsu.example", .type = TYPE_A, .edns_size = 1232 });
	uint8_t *p = wire_put16(b + n - 2, (unsigned)(4 + cookie_n));

	p = wire_put16(p, OPTION_COOKIE);
	p = wire_put16(p, (unsigned)cookie_n);
	memcpy(p, cookie, cookie_n);
	return n + 4 + cookie_n;
}

/* Who knows cookies gets one to come back with, and is verified then. */
static void test_a_cookie_is_as_good_as_tcp(void **state)
{
	struct tables *t = tables_of(STATE_OFF, ANSWER_READY, WAKE_DNS_VERIFIED, TTL_S);
	struct cookies cookies = { .n = 1, .secrets = { { 1, 2, 3 } } };
	struct asker asker = { .addr = ip("192.0.2.1"), .now_s = 1000, .cookies = &cookies };
	uint8_t query[512], reply[ANSWER_SIZE_MAX];
	size_t n = cookie_query(query, (const uint8_t *)"8 bytes.", WIRE_COOKIE_CLIENT), size;
	struct answer a;
	ldns_pkt *p;

	(void)state;
	answer_query(t, &asker, query, n, reply, &a);
	assert_int_equal(a.verdict, VERDICT_REPLY);
	assert_int_equal(a.rcode, RCODE_BADCOOKIE);
	assert_false(a.wake);
	assert_true(2 * a.n <= 3 * n);
	p = parse_reply(reply, a.n);
	assert_int_equal(ldns_pkt_edns_extended_rcode(p) << 4 | ldns_pkt_get_rcode(p), RCODE_BADCOOKIE);
	assert_int_equal(ldns_pkt_ancount(p), 0);
	ldns_pkt_free(p);
	size = a.n;
	n = cookie_query(query, reply + size - COOKIE_FULL, COOKIE_FULL); /* the last of its OPT */
	answer_query(t, &asker, query, n, reply, &a);
	assert_int_equal(a.verdict, VERDICT_HOLD);
	assert_true(a.wake);
	assert_true(a.verified);
	asker.addr = ip("192.0.2.2"); /* not of this one */
	answer_query(t, &asker, query, n, reply, &a);
	assert_int_equal(a.rcode, RCODE_BADCOOKIE);
	tables_free(t);
}

/* ---- asked again, and not to wait any longer ---- */

static void test_the_address_now(void **state)
{
	static struct result r;

	(void)state;
	ask_once(STATE_OFF, ANSWER_READY, WAKE_DNS_ANY, (struct asker){ .wish = WISH_NOW }, TYPE_A, &r);
	assert_int_equal(r.a.verdict, VERDICT_REPLY);
	assert_int_equal(r.reply[7], 1);
	assert_true(r.a.mark);
	assert_false(r.a.wake);
	ask_once(STATE_CONFLICT, ANSWER_READY, WAKE_DNS_ANY, (struct asker){ .wish = WISH_NOW }, TYPE_AAAA, &r);
	assert_int_equal(r.a.rcode, RCODE_SERVFAIL);
}

static void test_show_who_you_are(void **state)
{
	static struct result r;

	(void)state;
	ask_once(STATE_OFF, ANSWER_READY, WAKE_DNS_ANY, (struct asker){ .wish = WISH_PROVE }, TYPE_A, &r);
	assert_true(is_cut(&r));
	ask_once(STATE_OFF, ANSWER_READY, WAKE_DNS_ANY, (struct asker){ .wish = WISH_PROVE, .tcp = true }, TYPE_AAAA,
		 &r);
	assert_int_equal(r.a.rcode, RCODE_SERVFAIL);
	ask_once(STATE_UP, ANSWER_READY, WAKE_DNS_ANY, (struct asker){ .wish = WISH_PROVE }, TYPE_A, &r);
	assert_int_equal(r.reply[7], 1); /* it came up meanwhile */
}

/* ---- ttl_down, fallback_ip ---- */

static void assert_answer(const struct result *r, size_t i, const char *expected)
{
	ldns_pkt *p = parse_reply(r->reply, r->a.n);

	assert_int_equal(r->a.rcode, RCODE_NOERROR);
	assert_rr(ldns_pkt_answer(p), i, expected);
	ldns_pkt_free(p);
}

static void test_ttl_while_it_is_not_up(void **state)
{
	static struct result r;
	struct tables *t = tables_of(STATE_OFF, ANSWER_AT_ONCE, WAKE_DNS_ANY, 0);

	(void)state;
	ask_once(STATE_OFF, ANSWER_AT_ONCE, WAKE_DNS_ANY, (struct asker){ 0 }, TYPE_A, &r);
	assert_answer(&r, 0, "www.jitsu.example.\t5\tIN\tA\t192.168.1.20");
	ask_once(STATE_BOOTING, ANSWER_STARTED, WAKE_DNS_ANY, (struct asker){ 0 }, TYPE_AAAA, &r);
	assert_answer(&r, 0, "www.jitsu.example.\t5\tIN\tAAAA\tfd00::20");
	ask_once(STATE_UP, ANSWER_AT_ONCE, WAKE_DNS_ANY, (struct asker){ 0 }, TYPE_A, &r);
	assert_answer(&r, 0, "www.jitsu.example.\t60\tIN\tA\t192.168.1.20");
	ask_once(STATE_ADOPTED, ANSWER_READY, WAKE_DNS_ANY, (struct asker){ 0 }, TYPE_A, &r);
	assert_answer(&r, 0, "www.jitsu.example.\t60\tIN\tA\t192.168.1.20");
	ask_with(t, (struct asker){ 0 }, TYPE_A, &r);
	assert_answer(&r, 0, "www.jitsu.example.\t0\tIN\tA\t192.168.1.20");
	tables_free(t);
}

/* A family without one is better told that there is trouble than that there is no address. */
static void test_fallback(void **state)
{
	static const struct {
		uint8_t state, answer, wake_dns;
		enum wish wish;
	} cases[] = {
		{ STATE_CONFLICT, ANSWER_AT_ONCE, WAKE_DNS_ANY, WISH_WAIT },
		{ STATE_OFF, ANSWER_READY, WAKE_DNS_OFF, WISH_WAIT },
		{ STATE_OFF, ANSWER_READY, WAKE_DNS_ANY, WISH_GIVE_UP },
		{ STATE_FAILED, ANSWER_STARTED, WAKE_DNS_ANY, WISH_GIVE_UP },
		{ STATE_BOOTING, ANSWER_READY, WAKE_DNS_VERIFIED, WISH_GIVE_UP },
	};
	static struct result r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct asker asker = { .tcp = true, .wish = cases[i].wish };

		ask_once(cases[i].state, cases[i].answer, cases[i].wake_dns, asker, TYPE_A, &r);
		assert_answer(&r, 0, "www.jitsu.example.\t5\tIN\tA\t192.0.2.8");
		assert_answer(&r, 1, "www.jitsu.example.\t5\tIN\tA\t192.0.2.9");
		assert_false(r.a.mark); /* nobody was sent to the service */
		assert_false(r.a.wake);
		ask_once(cases[i].state, cases[i].answer, cases[i].wake_dns, asker, TYPE_AAAA, &r);
		assert_int_equal(r.a.rcode, RCODE_SERVFAIL);
	}
}

/* Of the other forms nothing shows where they are not asked for. */
static void test_each_form_is_a_set_of_its_own(void **state)
{
	struct tables *t = tables_of(STATE_OFF, ANSWER_AT_ONCE, WAKE_DNS_ANY, TTL_DOWN_S);
	struct zone_match m;

	(void)state;
	assert_true(tables_find(t, (const uint8_t *)"\3web\5jitsu\7example", 19, 3, &m));
	assert_non_null(m.node);
	assert_int_equal(tables_rrset(t, m.node, TYPE_A)->count, 1);
	assert_int_equal(tables_variant(t, m.node, TYPE_A, ZONE_DOWN)->count, 1);
	assert_int_equal(tables_variant(t, m.node, TYPE_A, ZONE_FALLBACK)->count, 2);
	assert_non_null(tables_variant(t, m.node, TYPE_AAAA, ZONE_DOWN));
	assert_null(tables_variant(t, m.node, TYPE_AAAA, ZONE_FALLBACK));
	tables_free(t);
	t = tables_of(STATE_OFF, ANSWER_AT_ONCE, WAKE_DNS_ANY, TTL_S);
	assert_true(tables_find(t, (const uint8_t *)"\3web\5jitsu\7example", 19, 3, &m));
	assert_null(tables_variant(t, m.node, TYPE_A, ZONE_DOWN)); /* it would be the same */
	tables_free(t);
}

/* ---- an address that is not known yet ---- */

static struct tables *tables_unknown(uint8_t state, uint8_t answer, bool fallback)
{
	struct tables *t = tables_new();
	struct msg_dns_conf conf = { 0 };
	struct msg_dns_zone z = zone_msg("jitsu.example");
	struct msg_dns_service s = service_msg(SVC_WWW, "www", "www.jitsu.example", "fd00::20", state, answer);

	s.unknown = true;
	s.n_fallback = fallback;
	s.fallback[0] = ip("192.0.2.8");
	assert_int_equal(tables_set_conf(t, &conf), 0);
	assert_int_equal(tables_add_zone(t, &z), 0);
	assert_int_equal(tables_add_service(t, &s), 0);
	assert_int_equal(tables_place(t), 0);
	assert_int_equal(tables_finish(t), 0);
	return t;
}

/* Who asks for it waits, whatever the service does, and wakes what must be woken; other families do not. */
static void check_unknown(uint8_t state, uint8_t answer)
{
	static struct result r, known;

	for (unsigned fallback = 0; fallback < 2; fallback++) {
		struct tables *t = tables_unknown(state, answer, fallback);

		ask_with(t, (struct asker){ 0 }, TYPE_A, &r);
		ask_once(state, answer, WAKE_DNS_ANY, (struct asker){ 0 }, TYPE_A, &known);
		assert_int_equal(r.a.verdict, state == STATE_CONFLICT ? VERDICT_REPLY : VERDICT_HOLD);
		assert_int_equal(r.a.wake, known.a.wake);
		ask_with(t, (struct asker){ .wish = WISH_NOW }, TYPE_A, &r);
		assert_int_equal(r.a.verdict, VERDICT_REPLY);
		assert_int_equal(r.a.rcode, fallback ? RCODE_NOERROR : RCODE_SERVFAIL);
		assert_false(r.a.wake);
		ask_with(t, (struct asker){ .wish = WISH_GIVE_UP }, TYPE_A, &r);
		assert_int_equal(r.a.rcode, fallback ? RCODE_NOERROR : RCODE_SERVFAIL);
		tables_free(t);
	}
	struct tables *t = tables_unknown(state, answer, false);
	ask_with(t, (struct asker){ 0 }, TYPE_AAAA, &r);
	ask_once(state, answer, WAKE_DNS_ANY, (struct asker){ 0 }, TYPE_AAAA, &known);
	assert_int_equal(r.a.verdict, known.a.verdict);
	assert_int_equal(r.a.wake, known.a.wake);
	tables_free(t);
}

static void test_unknown_waits(void **state)
{
	(void)state;
	each(check_unknown);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_off_never_wakes),
		cmocka_unit_test(test_who_is_not_verified_does_not_wake_nor_wait),
		cmocka_unit_test(test_no_address_of_that_family),
		cmocka_unit_test(test_a_cookie_is_as_good_as_tcp),
		cmocka_unit_test(test_the_address_now),
		cmocka_unit_test(test_show_who_you_are),
		cmocka_unit_test(test_ttl_while_it_is_not_up),
		cmocka_unit_test(test_fallback),
		cmocka_unit_test(test_each_form_is_a_set_of_its_own),
		cmocka_unit_test(test_unknown_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
