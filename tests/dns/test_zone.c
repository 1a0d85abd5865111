#include "tests/dns/util.h"

#include "base/slots.h"

/* Asks the tables by text.  False: in no zone. */
static bool find(const struct tables *t, const char *name, struct zone_match *m)
{
	uint8_t b[WIRE_NAME_MAX];
	size_t n = (size_t)(put_dotted(b, name) - b);
	unsigned labels;

	assert_int_equal(wire_name_length(b, n, &labels), n);
	wire_lower(b, b, n);
	return tables_find(t, b, n, labels, m);
}

static unsigned count(const struct tables *t, const struct zone_node *node, unsigned type)
{
	const struct zone_rrset *set = tables_rrset(t, node, type);

	return set ? set->count : 0;
}

static void test_names_and_those_between(void **state)
{
	static const struct {
		const char *name;
		bool inside, exists;
		int service; /* place, -1: none */
	} rows[] = {
		{ "jitsu.example", true, true, -1 },
		{ "JITSU.example", true, true, -1 },
		{ "www.jitsu.example", true, true, 0 },
		{ "wWw.jItSu.ExAmPlE", true, true, 0 },
		{ "shop.deep.jitsu.example", true, true, 0 },
		{ "deep.jitsu.example", true, true, -1 },
		{ "x.deep.jitsu.example", true, false, -1 },
		{ "four.jitsu.example", true, true, 1 },
		{ "a.b.c.d.e.f.jitsu.example", true, false, -1 },
		{ "a.www.jitsu.example", true, false, -1 },
		{ "ns1.jitsu.example", true, false, -1 }, /* no service has it: it has no address */
		{ "example", false, false, -1 },
		{ "xjitsu.example", false, false, -1 },
		{ "", false, false, -1 },
		{ "com", false, false, -1 },
	};
	struct tables *t = example_tables(STATE_UP, ANSWER_READY);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct zone_match m;

		assert_int_equal(find(t, rows[i].name, &m), rows[i].inside);
		if (!rows[i].inside)
			continue;
		assert_int_equal(m.node != NULL, rows[i].exists);
		assert_int_equal(m.node ? (int)m.node->service : -1, rows[i].service);
		assert_int_equal(m.apex_at, strlen(rows[i].name) - strlen("jitsu.example"));
	}
	tables_free(t);
}

static void test_reverse_names_are_zones_of_their_own(void **state)
{
	struct tables *t = example_tables(STATE_UP, ANSWER_READY);
	struct zone_match m;

	(void)state;
	assert_true(find(t, "20.1.168.192.in-addr.arpa", &m));
	assert_int_equal(m.apex_at, 0);
	assert_int_equal(count(t, m.node, TYPE_PTR), 1);
	assert_int_equal(count(t, m.node, TYPE_SOA), 1);
	assert_true(find(t, "0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", &m));
	assert_int_equal(count(t, m.node, TYPE_PTR), 1);
	assert_false(find(t, "22.1.168.192.in-addr.arpa", &m));
	assert_false(find(t, "1.168.192.in-addr.arpa", &m));
	tables_free(t);
}

static void test_reverse_zone_that_is_configured(void **state)
{
	struct tables *t = tables_new();
	struct msg_dns_zone z = zone_msg("jitsu.example"), r = zone_msg("168.192.in-addr.arpa");
	struct msg_dns_service www = service_msg(1, "www", "www.jitsu.example", "192.168.1.20", STATE_UP, ANSWER_READY);
	struct zone_match m;

	(void)state;
	tables_add_service(t, &www);
	tables_add_zone(t, &z);
	tables_add_zone(t, &r);
	assert_int_equal(tables_place(t), 0);
	assert_int_equal(tables_finish(t), 0);
	assert_true(find(t, "20.1.168.192.in-addr.arpa", &m));
	assert_int_equal(m.apex_at, strlen("20.1."));
	assert_int_equal(count(t, m.node, TYPE_PTR), 1);
	assert_int_equal(count(t, m.node, TYPE_SOA), 0);
	assert_true(find(t, "1.168.192.in-addr.arpa", &m));
	assert_non_null(m.node);
	assert_true(find(t, "9.168.192.in-addr.arpa", &m));
	assert_null(m.node);
	tables_free(t);
}

static void test_zone_within_a_zone(void **state)
{
	struct tables *t = tables_new();
	struct msg_dns_zone inner = zone_msg("lab.east.example.org"), outer = zone_msg("example.org");
	struct msg_dns_service s = service_msg(1, "s", "s.lab.east.example.org", "10.0.0.1", STATE_UP, ANSWER_READY);
	struct zone_match m;

	(void)state;
	tables_add_zone(t, &inner);
	tables_add_zone(t, &outer);
	tables_add_service(t, &s);
	assert_int_equal(tables_place(t), 0);
	assert_int_equal(tables_finish(t), 0);
	assert_true(find(t, "s.lab.east.example.org", &m));
	assert_int_equal(m.zone->name_n, strlen("lab.east.example.org") + 2);
	assert_true(find(t, "east.example.org", &m)); /* RFC 8020: something is below it */
	assert_non_null(m.node);
	assert_int_equal(m.zone->name_n, strlen("example.org") + 2);
	assert_true(find(t, "west.example.org", &m));
	assert_null(m.node);
	tables_free(t);
}

static void test_root_zone(void **state)
{
	struct tables *t = tables_new();
	struct msg_dns_zone z = zone_msg("");
	struct msg_dns_service s = service_msg(1, "s", "host", "10.0.0.1", STATE_UP, ANSWER_READY);
	struct zone_match m;

	(void)state;
	str_copy(z.ns[0].text, "ns.example");
	str_copy(z.hostmaster, "admin.example");
	tables_add_zone(t, &z);
	tables_add_service(t, &s);
	assert_int_equal(tables_place(t), 0);
	assert_int_equal(tables_finish(t), 0);
	assert_true(find(t, "host", &m) && m.node && m.node->service == 0);
	assert_int_equal(m.apex_at, 5);
	assert_true(find(t, "", &m) && m.node);
	assert_true(find(t, "nothing.here", &m) && !m.node);
	tables_free(t);
}

static void test_what_cannot_be_used_is_left_out(void **state)
{
	struct tables *t = tables_new();
	struct msg_dns_zone good = zone_msg("jitsu.example"), bad = zone_msg("a..b"), twice = zone_msg("JITSU.example");
	struct msg_dns_zone no_mailbox = zone_msg("other.example");
	struct msg_dns_service outside = service_msg(1, "outside", "www.elsewhere", "10.0.0.1", STATE_UP, ANSWER_READY);
	struct msg_dns_service odd = service_msg(2, "odd", "x..jitsu.example ok.jitsu.example", "10.0.0.2", STATE_UP, ANSWER_READY);
	struct msg_dns_service same = service_msg(3, "same", "OK.jitsu.example", "10.0.0.2", STATE_UP, ANSWER_READY);
	struct msg_dns_service bad_svc = service_msg(SLOTS_MAX, "bad", "bad.jitsu.example", "10.0.0.3", STATE_UP, ANSWER_READY);
	struct msg_dns_service bad_state = service_msg(4, "bad", "bad.jitsu.example", "10.0.0.3", STATE_N, ANSWER_READY);
	struct msg_dns_service bad_answer = service_msg(4, "bad", "bad.jitsu.example", "10.0.0.3", STATE_UP, ANSWER_N);
	struct msg_dns_service svc_twice = service_msg(2, "bad", "bad.jitsu.example", "10.0.0.3", STATE_UP, ANSWER_READY);
	const struct msg_dns_service *services[] = { &outside, &odd, &same, &bad_svc, &bad_state, &bad_answer, &svc_twice };
	struct zone_match m;

	(void)state;
	str_copy(no_mailbox.hostmaster, "..");
	good.n_ns = 2;
	memset(good.ns[1].text, 'n', 100); /* a label of 100 */
	assert_int_equal(tables_add_zone(t, &good), 0);
	assert_int_equal(tables_add_zone(t, &bad), 0);
	assert_int_equal(tables_add_zone(t, &twice), 0);
	assert_int_equal(tables_add_zone(t, &no_mailbox), 0);
	for (size_t i = 0; i < ARRAY_SIZE(services); i++)
		assert_int_equal(tables_add_service(t, services[i]), 0);
	assert_int_equal(tables_place(t), 0);
	assert_int_equal(tables_finish(t), 0);
	assert_true(find(t, "jitsu.example", &m));
	assert_int_equal(count(t, m.node, TYPE_NS), 1);
	assert_false(find(t, "www.elsewhere", &m));
	assert_false(find(t, "1.0.0.10.in-addr.arpa", &m)); /* nobody is called by it */
	assert_false(find(t, "other.example", &m));
	assert_true(find(t, "ok.jitsu.example", &m));
	assert_int_equal(m.node->service, 1); /* the first that came */
	assert_true(find(t, "bad.jitsu.example", &m));
	assert_null(m.node);
	tables_free(t);
}

static void test_services_by_index_and_generation(void **state)
{
	struct tables *t = example_tables(STATE_OFF, ANSWER_READY);

	(void)state;
	assert_string_equal(tables_service(t, SVC_FOUR, GEN)->name, "four");
	assert_null(tables_service(t, SVC_FOUR, GEN + 1));
	assert_null(tables_service(t, 99, GEN));
	assert_null(tables_service(t, SLOTS_MAX, GEN));
	assert_null(tables_service(t, UINT32_MAX, GEN));
	assert_string_equal(tables_service_at(t, 0)->name, "www");
	assert_null(tables_service_at(t, 3));
	tables_free(t);
}

static void test_forward_bounds(void **state)
{
	struct tables *t = tables_new();
	struct msg_dns_forward f = { .addr = ip("10.0.0.1"), .port = 53 };
	struct msg_dns_allow a = { { ip("10.1.2.3"), 120 } }, wild = { { ip("0.0.0.0"), 200 } };
	struct ip_addr friend = ip("10.1.2.99"), stranger = ip("10.1.3.1");
	unsigned n;

	(void)state;
	assert_int_equal(tables_add_allow(t, &wild), 0); /* no such length: not "everyone" */
	assert_int_equal(tables_add_allow(t, &a), 0);
	assert_false(tables_may_forward(t, &friend)); /* nowhere to */
	for (int i = 0; i < ZONE_FORWARDS_MAX; i++)
		assert_int_equal(tables_add_forward(t, &f), 0);
	assert_int_equal(tables_add_forward(t, &f), -ENOSPC);
	assert_true(tables_may_forward(t, &friend));
	assert_false(tables_may_forward(t, &stranger));
	tables_forwards(t, &n);
	assert_int_equal(n, ZONE_FORWARDS_MAX);
	for (int i = 1; i < ZONE_ALLOW_MAX; i++)
		assert_int_equal(tables_add_allow(t, &a), 0);
	assert_int_equal(tables_add_allow(t, &a), -ENOSPC);
	tables_free(t);
}

/* The hash table and the arena grow through many sizes; every name stays found. */
static void test_many_services(void **state)
{
	struct tables *t = tables_new();
	struct msg_dns_zone z = zone_msg("jitsu.example");
	struct zone_match m;
	char name[64];

	(void)state;
	tables_add_zone(t, &z);
	for (uint32_t i = 0; i < SLOTS_MAX; i++) {
		struct msg_dns_service s;
		char addr[32];

		snprintf(name, sizeof(name), "s%u.r%u.jitsu.example", i, i % 100);
		snprintf(addr, sizeof(addr), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		s = service_msg(i, "s", name, addr, STATE_OFF, ANSWER_READY);
		assert_int_equal(tables_add_service(t, &s), 0);
	}
	assert_int_equal(tables_place(t), 0);
	assert_int_equal(tables_finish(t), 0);
	for (uint32_t i = 0; i < SLOTS_MAX; i++) {
		snprintf(name, sizeof(name), "s%u.r%u.jitsu.example", i, i % 100);
		assert_true(find(t, name, &m) && m.node && m.node->service == i);
		snprintf(name, sizeof(name), "%u.%u.0.10.in-addr.arpa", i & 255, i >> 8 & 255);
		assert_true(find(t, name, &m) && m.node && count(t, m.node, TYPE_PTR) == 1);
		snprintf(name, sizeof(name), "t%u.r%u.jitsu.example", i, i % 100);
		assert_true(find(t, name, &m) && !m.node);
	}
	tables_free(t);
}

/* Whatever a batch holds: packets of any length, cut anywhere (what ASan looks for), and too many of them. */
static void test_touching_a_batch_is_harmless(void **state)
{
	struct tables *t = example_tables(STATE_UP, ANSWER_READY);
	uint8_t long_name[WIRE_HEADER + 64] = { 0 }, packet[WIRE_HEADER + 64] = { 0 };
	struct zone_match m;

	(void)state;
	put_dotted(packet + WIRE_HEADER, "www.jitsu.example");
	memset(long_name + WIRE_HEADER, WIRE_LABEL_MAX, 64); /* a label, and the end where another one should be */
	for (size_t n = 1; n <= sizeof(long_name); n++) {
		uint8_t *cut = malloc(n), *copy = malloc(n);
		struct iovec batch[TABLES_TOUCH_MAX + 1];

		memcpy(cut, packet, n);
		memcpy(copy, long_name, n);
		for (unsigned i = 0; i < ARRAY_SIZE(batch); i++)
			batch[i] = (struct iovec){ i % 2 ? cut : copy, n - i % 2 };
		for (unsigned k = 0; k <= ARRAY_SIZE(batch); k++)
			tables_touch(t, batch, k);
		free(cut);
		free(copy);
	}
	assert_true(find(t, "www.jitsu.example", &m) && m.node);
	tables_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_and_those_between),
		cmocka_unit_test(test_reverse_names_are_zones_of_their_own),
		cmocka_unit_test(test_reverse_zone_that_is_configured),
		cmocka_unit_test(test_zone_within_a_zone),
		cmocka_unit_test(test_root_zone),
		cmocka_unit_test(test_what_cannot_be_used_is_left_out),
		cmocka_unit_test(test_services_by_index_and_generation),
		cmocka_unit_test(test_forward_bounds),
		cmocka_unit_test(test_many_services),
		cmocka_unit_test(test_touching_a_batch_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
