#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "synproxy/lookup.h"

static struct ip_addr numbered(unsigned i)
{
	return (struct ip_addr){ { [10] = 0xff, 0xff, 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i } };
}

static struct mac_addr numbered_mac(unsigned i)
{
	return (struct mac_addr){ { 2, 0, 0, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i } };
}

static void test_all_are_found(void **state)
{
	enum { N = 4096 * 17 };
	struct lookup *l = lookup_new(N);

	(void)state;
	for (unsigned i = 0; i < N / 2; i++) {
		struct ip_addr a = numbered(i);
		struct mac_addr m = numbered_mac(i);

		lookup_add_ip(l, &a, (int)i);
		lookup_add_mac(l, &m, (int)(i + 1));
	}
	for (unsigned i = 0; i < N; i++) {
		struct ip_addr a = numbered(i);
		struct mac_addr m = numbered_mac(i);

		assert_int_equal(lookup_ip(l, &a), i < N / 2 ? (int)i : LOOKUP_NOBODY);
		assert_int_equal(lookup_mac(l, &m), i < N / 2 ? (int)i + 1 : LOOKUP_NOBODY);
	}
	lookup_free(l);
}

static void test_none(void **state)
{
	struct lookup *l = lookup_new(0);
	struct ip_addr a = numbered(1), zero = { { 0 } };
	struct mac_addr m = numbered_mac(1), zero_mac = { { 0 } };

	(void)state;
	assert_int_equal(lookup_ip(l, &a), LOOKUP_NOBODY);
	assert_int_equal(lookup_ip(l, &zero), LOOKUP_NOBODY);
	assert_int_equal(lookup_mac(l, &m), LOOKUP_NOBODY);
	assert_int_equal(lookup_mac(l, &zero_mac), LOOKUP_NOBODY);
	assert_int_equal(lookup_ip(NULL, &a), LOOKUP_NOBODY);
	assert_int_equal(lookup_mac(NULL, &m), LOOKUP_NOBODY);
	lookup_free(l);
	lookup_free(NULL);
}

static void test_the_later_one_counts(void **state)
{
	struct lookup *l = lookup_new(2);
	struct ip_addr a = numbered(1);

	(void)state;
	lookup_add_ip(l, &a, 5);
	lookup_add_ip(l, &a, 6);
	assert_int_equal(lookup_ip(l, &a), 6);
	lookup_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_are_found),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_the_later_one_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
