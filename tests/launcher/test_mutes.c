#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "launcher/mutes.h"

enum { AFTER = 3, SVC = 4, GEN = 9, T0 = 1000, HOUR_MS = 3600000 };

static struct mute_key key(const char *client, bool verified)
{
	struct mute_key k = { .svc = SVC, .gen = GEN, .verified = verified };

	assert_int_equal(ip_parse(client, &k.client), 0);
	return k;
}

static uint64_t unused(struct mutes *m, const char *client, uint64_t now_ms)
{
	struct mute_key k = key(client, true);

	return mutes_unused(m, &k, AFTER, now_ms);
}

static uint64_t left(struct mutes *m, const char *client, uint64_t now_ms)
{
	struct mute_key k = key(client, true);

	return mutes_left_ms(m, &k, now_ms);
}

static void test_after_so_many_in_a_row(void **state)
{
	struct mutes *m = mutes_new();
	struct mute_key k = key("192.0.2.1", true);

	(void)state;
	assert_int_equal(unused(m, "192.0.2.1", T0), 0);
	assert_int_equal(unused(m, "192.0.2.9", T0), 0); /* the same network */
	assert_int_equal(left(m, "192.0.2.1", T0), 0);
	assert_int_equal(unused(m, "192.0.2.1", T0), MUTE_MIN_MS);
	assert_int_equal(left(m, "192.0.2.200", T0 + 1), MUTE_MIN_MS - 1);
	assert_int_equal(left(m, "192.0.3.1", T0), 0);
	assert_int_equal(left(m, "192.0.2.1", T0 + MUTE_MIN_MS), 0);
	mutes_used(m, &k);
	assert_int_equal(left(m, "192.0.2.1", T0), 0);
	assert_int_equal(unused(m, "192.0.2.1", T0), 0); /* it begins anew */
	mutes_free(m);
}

static void test_each_time_it_is_longer(void **state)
{
	struct mutes *m = mutes_new();
	uint64_t now = T0, expected = MUTE_MIN_MS;

	(void)state;
	for (int i = 1; i < AFTER; i++)
		assert_int_equal(unused(m, "2001:db8::1", now), 0);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(unused(m, "2001:db8:0:ff::1", now), expected);
		now += expected;
		assert_int_equal(left(m, "2001:db8::1", now), 0);
		expected = MIN(2 * expected, (uint64_t)MUTE_MAX_MS);
	}
	assert_int_equal(expected, MUTE_MAX_MS);
	now += MUTE_MAX_MS + 1; /* a day without a word */
	assert_int_equal(unused(m, "2001:db8::1", now), 0);
	mutes_free(m);
}

static void test_never(void **state)
{
	struct mutes *m = mutes_new();
	struct mute_key k = key("192.0.2.1", true);

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_int_equal(mutes_unused(m, &k, 0, T0), 0);
	assert_int_equal(mutes_left_ms(m, &k, T0), 0);
	mutes_free(m);
}

/* Whoever forges the address of a resolver does not get it muted. */
static void test_who_may_be_forged_is_counted_apart(void **state)
{
	struct mutes *m = mutes_new();
	struct mute_key forged = key("192.0.2.1", false), other = key("192.0.2.1", true);

	(void)state;
	for (int i = 0; i < AFTER; i++)
		mutes_unused(m, &forged, AFTER, T0);
	assert_int_equal(mutes_left_ms(m, &forged, T0), MUTE_MIN_MS);
	assert_int_equal(left(m, "192.0.2.1", T0), 0);
	for (int i = 0; i < AFTER; i++)
		mutes_unused(m, &other, AFTER, T0);
	other.svc++;
	assert_int_equal(mutes_left_ms(m, &other, T0), 0); /* of that service alone */
	other.svc--;
	other.gen++;
	assert_int_equal(mutes_left_ms(m, &other, T0), 0);
	mutes_free(m);
}

static void test_those_of_a_service(void **state)
{
	struct mutes *m = mutes_new();
	struct mute list[2];
	char text[ADDR_TEXT_MAX];

	(void)state;
	for (int i = 0; i < AFTER; i++) {
		unused(m, "192.0.2.1", T0);
		unused(m, "198.51.100.1", T0 + 1);
		unused(m, "2001:db8:1:2:3::4", T0 + 2);
	}
	unused(m, "203.0.113.1", T0);
	assert_int_equal(mutes_of(m, SVC, GEN, T0 + 2, list, 2), 3);
	assert_int_equal(mutes_of(m, SVC + 1, GEN, T0 + 2, list, 2), 0);
	assert_int_equal(mutes_of(m, SVC, GEN, T0 + 1 + MUTE_MIN_MS, list, 2), 1);
	assert_string_equal(ip_format(&list[0].key.client, text), "2001:db8:1::");
	assert_int_equal(list[0].bits, 56);
	assert_int_equal(list[0].unused, AFTER);
	assert_int_equal(list[0].left_ms, 1);
	mutes_free(m);
}

/* A flood of networks takes no memory, and leaves most of those alone that it does not outlive. */
static void test_flood_of_networks(void **state)
{
	struct mutes *m = mutes_new();
	struct mute list[1];

	(void)state;
	for (uint32_t i = 0; i < 200000; i++) {
		struct mute_key k = key("10.0.0.0", false);

		k.client.b[13] = (uint8_t)(i >> 16);
		k.client.b[14] = (uint8_t)(i >> 8);
		k.client.b[12] = (uint8_t)i;
		mutes_unused(m, &k, 1, T0 + i);
	}
	assert_in_range(mutes_of(m, SVC, GEN, T0 + 200000, list, 1), 1, 4096);
	for (int i = 0; i < AFTER; i++)
		unused(m, "192.0.2.1", T0 + HOUR_MS);
	assert_true(left(m, "192.0.2.1", T0 + HOUR_MS) > 0);
	mutes_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_after_so_many_in_a_row), cmocka_unit_test(test_each_time_it_is_longer),
		cmocka_unit_test(test_never), cmocka_unit_test(test_who_may_be_forged_is_counted_apart),
		cmocka_unit_test(test_those_of_a_service), cmocka_unit_test(test_flood_of_networks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
