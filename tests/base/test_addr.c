#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/addr.h"
#include "base/addr_list.h"

static void test_ip_round_trip(void **state)
{
	static const char *const good[] = { "0.0.0.0", "192.168.1.20", "255.255.255.255", "::", "::1", "fd00::1:2",
					    "2001:db8::ff" };
	char text[ADDR_TEXT_MAX];
	struct ip_addr a;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(ip_parse(good[i], &a), 0);
		assert_string_equal(ip_format(&a, text), good[i]);
		assert_int_equal(ip_is_v4(&a), strchr(good[i], '.') != NULL);
	}
}

static void test_ip_refuses(void **state)
{
	static const char *const bad[] = { "", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4 ", " 1.2.3.4", "g::",
					   "1.2.3.4/8", "[::1]", ":::1" };
	struct ip_addr a;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(ip_parse(bad[i], &a), -EINVAL);
}

static void test_prefix(void **state)
{
	static const struct {
		const char *text, *printed;
		unsigned bits;
	} good[] = { { "10.0.0.5/8", "10.0.0.5/8", 8 },	     { "10.0.0.5", "10.0.0.5/32", 32 },
		     { "0.0.0.0/0", "0.0.0.0/0", 0 },	     { "fd00::5/64", "fd00::5/64", 64 },
		     { "fd00::5", "fd00::5/128", 128 } };
	static const char *const bad[] = { "10.0.0.5/33", "10.0.0.5/", "10.0.0.5/-1", "10.0.0.5/8x", "fd00::/129", "/8",
					   "10.0.0.5/+8", "10.0.0.5/ 8" };
	char text[ADDR_TEXT_MAX];
	struct ip_prefix p;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(prefix_parse(good[i].text, &p), 0);
		assert_string_equal(prefix_format(&p, text), good[i].printed);
		assert_int_equal(prefix_bits(&p), good[i].bits);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(prefix_parse(bad[i], &p), -EINVAL);
}

static void test_list(void **state)
{
	struct addr_list a = { 0 }, b = { 0 };
	struct ip_addr one, two;

	(void)state;
	assert_int_equal(ip_parse("10.0.0.1", &one), 0);
	assert_int_equal(ip_parse("fd00::1", &two), 0);
	assert_true(addr_list_equal(&a, &b));
	assert_true(addr_list_add(&a, &one) && addr_list_add(&a, &two));
	assert_true(addr_list_add(&b, &one));
	assert_false(addr_list_equal(&a, &b));
	assert_true(addr_list_add(&b, &two));
	assert_true(addr_list_equal(&a, &b));
	b.v[0] = two;
	assert_false(addr_list_equal(&a, &b));
	addr_list_clear(&a);
	addr_list_clear(&b);
	assert_int_equal(a.n, 0);
	addr_list_clear(&a);
}

static void test_prefix_contains(void **state)
{
	static const struct {
		const char *prefix, *addr;
		bool inside;
	} cases[] = {
		{ "10.1.2.3/24", "10.1.2.200", true }, { "10.1.2.3/24", "10.1.3.3", false },
		{ "10.1.2.3/23", "10.1.3.3", true },   { "10.1.2.3/32", "10.1.2.3", true },
		{ "10.1.2.3/32", "10.1.2.2", false },  { "0.0.0.0/0", "200.1.1.1", true },
		{ "0.0.0.0/0", "fd00::1", false },     { "fd00:1::/33", "fd00:1:7fff::1", true },
		{ "fd00:1::/33", "fd00:1:8000::1", false }, { "::/0", "1.2.3.4", true },
	};
	struct ip_prefix p;
	struct ip_addr a;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(prefix_parse(cases[i].prefix, &p), 0);
		assert_int_equal(ip_parse(cases[i].addr, &a), 0);
		assert_int_equal(prefix_contains(&p, &a), cases[i].inside);
	}
}

static void test_endpoint(void **state)
{
	static const char *const good[] = { "0.0.0.0:53", "127.0.0.1:65535", "[::]:53", "[fd00::1]:5300" };
	static const char *const bad[] = { "", ":53", "0.0.0.0", "0.0.0.0:", "0.0.0.0:0", "0.0.0.0:65536", "::1:53",
					   "[::1]53", "[::1", "[1.2.3.4]:53", "0.0.0.0:5x", "0.0.0.0:+5" };
	char text[ADDR_TEXT_MAX];
	struct ip_addr a;
	uint16_t port;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(endpoint_parse(good[i], &a, &port), 0);
		assert_string_equal(endpoint_format(&a, port, text), good[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(endpoint_parse(bad[i], &a, &port), -EINVAL);
}

static void test_sockaddr_round_trip(void **state)
{
	static const char *const addrs[] = { "192.0.2.1", "2001:db8::7" };
	struct sockaddr_storage sa;
	struct ip_addr a, back;
	uint16_t port;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(addrs); i++) {
		assert_int_equal(ip_parse(addrs[i], &a), 0);
		assert_true(ip_to_sockaddr(&a, 4242, &sa) > 0);
		ip_from_sockaddr((struct sockaddr *)&sa, &back, &port);
		assert_true(ip_equal(&a, &back));
		assert_int_equal(port, 4242);
	}
}

static void test_mac(void **state)
{
	static const char *const bad[] = { "", "52:54:00:12:34", "52:54:00:12:34:5", "52:54:00:12:34:567",
					   "52-54-00-12-34-56", "5g:54:00:12:34:56" };
	char text[MAC_TEXT_MAX];
	struct mac_addr m;

	(void)state;
	assert_int_equal(mac_parse("52:54:00:AB:cd:ef", &m), 0);
	assert_string_equal(mac_format(&m, text), "52:54:00:ab:cd:ef");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(mac_parse(bad[i], &m), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ip_round_trip),	    cmocka_unit_test(test_ip_refuses),
		cmocka_unit_test(test_prefix),		    cmocka_unit_test(test_prefix_contains),
		cmocka_unit_test(test_endpoint),	    cmocka_unit_test(test_sockaddr_round_trip),
		cmocka_unit_test(test_mac),		    cmocka_unit_test(test_list),
	};

	return cmocka_run_group_tests_name("base/addr", tests, NULL, NULL);
}
