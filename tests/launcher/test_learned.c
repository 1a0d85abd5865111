#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "launcher/learned.h"

static struct ip_addr ip(const char *text)
{
	struct ip_addr a;

	assert_int_equal(ip_parse(text, &a), 0);
	return a;
}

static struct ip_prefix net(const char *text)
{
	struct ip_prefix p;

	assert_int_equal(prefix_parse(text, &p), 0);
	return p;
}

static struct learned_address fresh(uint64_t boot)
{
	struct ip_prefix at = net("10.0.0.5/24");
	struct learned_address a;

	learned_set(&a, &at, LEARN_DHCP, 1700000000000, boot);
	return a;
}

static void test_two_boots(void **state)
{
	struct learned_address a = fresh(7);

	(void)state;
	assert_true(learned_is_known(&a));
	assert_false(a.stable);
	assert_false(learned_seen(&a, 7, 0)); /* the same boot again, as after a restart of the launcher */
	assert_false(learned_seen(&a, 7, LEARNED_STABLE_MS - 1));
	assert_true(learned_seen(&a, 8, 0));
	assert_true(a.stable);
	assert_int_equal(a.boots, 2);
}

static void test_ten_minutes(void **state)
{
	struct learned_address a = fresh(7);

	(void)state;
	assert_true(learned_seen(&a, 7, LEARNED_STABLE_MS));
	assert_true(a.stable);
	assert_int_equal(a.boots, 1);
	a = fresh(8); /* another address begins anew */
	assert_false(a.stable);
}

static void test_text(void **state)
{
	static const char *const bad[] = {
		"", "10.0.0.5/24", "10.0.0.5/24 dhcp 17 2 8", "10.0.0.5/24 dhcp 17 2 8 stable more", "10.0.0.5/24 dhcp 17 2 8 no",
		"10.0.0.5/24 post 17 2 8 new", "fd00::5/64 arp 17 2 8 new", "10.0.0.5/0 arp 17 2 8 new",
		"10.0.0.5/33 arp 17 2 8 new", "x arp 17 2 8 new",
	};
	struct learned_address a = fresh(7), b;
	char text[LEARNED_TEXT_MAX], again[LEARNED_TEXT_MAX];

	(void)state;
	for (int i = 0; i < 2; i++) {
		learned_print(&a, text);
		assert_int_equal(learned_parse(text, &b), 0);
		learned_print(&b, again);
		assert_string_equal(text, again);
		learned_seen(&a, UINT64_MAX, 0);
	}
	assert_string_equal(again, "10.0.0.5/24 dhcp 1700000000000 2 18446744073709551615 stable");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(learned_parse(bad[i], &b), -EINVAL);
}

/* Four at once, then one a minute. */
static void test_changes_are_paced(void **state)
{
	struct learned_changes c = { 0 };
	uint64_t now_ms = 1000;

	(void)state;
	for (int i = 0; i < LEARNED_CHANGES; i++)
		assert_int_equal(learned_change(&c, now_ms), 0);
	assert_int_equal(learned_change(&c, now_ms), LEARNED_CHANGE_MS);
	/* who tries is not punished for it */
	assert_int_equal(learned_change(&c, now_ms + 1), LEARNED_CHANGE_MS - 1);
	for (int i = 0; i < 20; i++) {
		now_ms += LEARNED_CHANGE_MS;
		assert_int_equal(learned_change(&c, now_ms), 0);
		assert_int_not_equal(learned_change(&c, now_ms), 0);
	}
	now_ms += 100 * (uint64_t)LEARNED_CHANGE_MS; /* quiet for long: four again, and no more */
	for (int i = 0; i < LEARNED_CHANGES; i++)
		assert_int_equal(learned_change(&c, now_ms), 0);
	assert_int_not_equal(learned_change(&c, now_ms), 0);
}

static void add(struct learned_host *h, const char *at, bool on_bridge, bool is_gateway)
{
	h->own[h->n++] = (struct learned_own){ .at = net(at), .on_bridge = on_bridge, .is_gateway = is_gateway };
}

static void test_which(void **state)
{
	static const struct {
		const char *addr, *is; /* with its length, or what the sentence says */
		int error;
	} cases[] = {
		{ "10.0.0.5", "10.0.0.5/24", 0 },
		{ "10.0.0.1", "host's own", -EADDRINUSE },
		{ "10.0.0.254", "gateway", -EADDRINUSE },
		{ "10.0.0.0", "whole network", -EADDRNOTAVAIL },
		{ "10.0.0.255", "whole network", -EADDRNOTAVAIL },
		{ "10.0.1.5", "no network of bridge br0", -EADDRNOTAVAIL },
		{ "192.168.1.9", "no network of bridge br0", -EADDRNOTAVAIL }, /* of another interface */
		{ "192.168.1.4", "host's own", -EADDRINUSE },
		{ "10.9.0.129", "10.9.0.129/25", 0 }, /* the longest that has it */
		{ "10.9.0.128", "whole network", -EADDRNOTAVAIL },
		{ "10.9.0.100", "10.9.0.100/16", 0 },
		{ "10.8.0.1", "10.8.0.1/31", 0 }, /* RFC 3021: it has no address of its own */
		{ "fd00::5", "no IPv4", -EAFNOSUPPORT },
	};
	static struct learned_host h = { .bridge = "br0" };

	(void)state;
	h.n = 0;
	add(&h, "127.0.0.1/8", false, false);
	add(&h, "10.0.0.1/24", true, false);
	add(&h, "10.9.0.1/16", true, false);
	add(&h, "10.9.0.130/25", true, false);
	add(&h, "10.8.0.0/31", true, false);
	add(&h, "fd00::1/64", true, false);
	add(&h, "192.168.1.4/24", false, false);
	add(&h, "10.0.0.254/32", false, true);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ip_addr addr = ip(cases[i].addr);
		struct ip_prefix at = { 0 };
		char text[ADDR_TEXT_MAX];
		struct err e = { 0 };

		assert_int_equal(learned_check(&h, &addr, &at, &e), cases[i].error);
		prefix_format(&at, text);
		if (!strstr(cases[i].error ? e.text : text, cases[i].is))
			fail_msg("%s: \"%s\" is not in \"%s\"", cases[i].addr, cases[i].is, cases[i].error ? e.text : text);
		if (cases[i].error)
			assert_int_equal(at.len, 0);
	}
}

static void test_no_network(void **state)
{
	static struct learned_host h = { .bridge = "br0" };
	struct ip_addr addr = ip("10.0.0.5");
	struct ip_prefix at;
	struct err e;

	(void)state;
	h.n = 0;
	add(&h, "fd00::1/64", true, false);
	assert_int_equal(learned_check(&h, &addr, &at, &e), -EADDRNOTAVAIL);
	assert_non_null(strstr(e.text, "bridge br0 has no IPv4 address"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes_are_paced),
		cmocka_unit_test(test_two_boots), cmocka_unit_test(test_ten_minutes), cmocka_unit_test(test_text),
		cmocka_unit_test(test_which),	  cmocka_unit_test(test_no_network),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
