#include "tests/dns/util.h"

#include "dns/cookie.h"

static size_t unhex(const char *text, uint8_t *out)
{
	size_t n = strlen(text) / 2;

	for (size_t i = 0; i < n; i++) {
		unsigned b;

		assert_int_equal(sscanf(text + 2 * i, "%2x", &b), 1);
		out[i] = (uint8_t)b;
	}
	return n;
}

/* The reference implementation's vectors: key 00 .. 0f, data 00, 01, 02 ... */
static void test_siphash(void **state)
{
	static const struct {
		size_t n;
		uint64_t hash;
	} rows[] = {
		{ 0, 0x726fdb47dd0e0e31 }, { 1, 0x74f839c593dc67fd }, { 7, 0xab0200f58b01d137 },
		{ 8, 0x93f5f5799a932462 }, { 15, 0xa129ca6149be45e5 }, { 63, 0x958a324ceb064572 },
	};
	uint8_t key[16], data[64];

	(void)state;
	for (unsigned i = 0; i < 64; i++)
		data[i] = (uint8_t)i;
	memcpy(key, data, sizeof(key));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(siphash24(key, data, rows[i].n), rows[i].hash);
}

/* RFC 9018, appendix A. */
static void test_vectors(void **state)
{
	static const struct {
		const char *secrets[2], *client, *query;
		uint32_t now_s;
		bool good;
		const char *answer;
	} rows[] = {
		{ { "e5e973e5a6b2a43f48e7dc849e37bfcf" }, "198.51.100.100", "2464c4abcf10c957", 1559731985, false,
		  "2464c4abcf10c957010000005cf79f111f8130c3eee29480" },
		{ { "e5e973e5a6b2a43f48e7dc849e37bfcf" }, "198.51.100.100",
		  "2464c4abcf10c957010000005cf79f111f8130c3eee29480", 1559734385, true,
		  "2464c4abcf10c957010000005cf7a871d4a564a1442aca77" },
		{ { "e5e973e5a6b2a43f48e7dc849e37bfcf" }, "203.0.113.203",
		  "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", 1559728000, true,
		  "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5" },
		{ { "e5e973e5a6b2a43f48e7dc849e37bfcf" }, "203.0.113.203",
		  "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", 1559734700, false,
		  "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e" },
		{ { "445536bcd2513298075a5d379663c962", "dd3bdf9344b678b185a6f5cb60fca715" },
		  "2001:db8:220:1:59de:d0f4:8769:82b8", "22681ab97d52c298010000005cf7c57926556bd0934c72f8", 1559741961, true,
		  "22681ab97d52c298010000005cf7c609a6bb79d16625507a" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct ip_addr client = ip(rows[i].client);
		uint8_t query[WIRE_COOKIE_MAX], answer[COOKIE_FULL], expected[COOKIE_FULL];
		size_t n = unhex(rows[i].query, query);
		struct cookies c = { 0 };

		for (; c.n < 2 && rows[i].secrets[c.n]; c.n++)
			unhex(rows[i].secrets[c.n], c.secrets[c.n]);
		unhex(rows[i].answer, expected);
		if (cookie_is_good(&c, query, n, &client, rows[i].now_s) != rows[i].good)
			fail_msg("row %zu", i);
		cookie_answer(&c, query, n, &client, rows[i].now_s, answer);
		assert_memory_equal(answer, expected, sizeof(expected));
	}
}

static const struct cookies one = { .n = 1, .secrets = { { 1, 2, 3 } } };
enum { NOW_S = 1700000000 };

static void make(const char *client, uint32_t now_s, uint8_t out[COOKIE_FULL])
{
	static const uint8_t asked[WIRE_COOKIE_CLIENT] = "client!";
	struct ip_addr a = ip(client);

	cookie_answer(&one, asked, sizeof(asked), &a, now_s, out);
}

static bool is_good(const struct cookies *c, const uint8_t *cookie, const char *client, uint32_t now_s)
{
	struct ip_addr a = ip(client);

	return cookie_is_good(c, cookie, COOKIE_FULL, &a, now_s);
}

static void test_a_cookie_is_for_one_address_and_an_hour(void **state)
{
	uint8_t cookie[COOKIE_FULL];

	(void)state;
	make("192.0.2.1", NOW_S, cookie);
	assert_true(is_good(&one, cookie, "192.0.2.1", NOW_S));
	assert_true(is_good(&one, cookie, "192.0.2.1", NOW_S + COOKIE_OLD_S));
	assert_false(is_good(&one, cookie, "192.0.2.1", NOW_S + COOKIE_OLD_S + 1));
	assert_true(is_good(&one, cookie, "192.0.2.1", NOW_S - COOKIE_AHEAD_S));
	assert_false(is_good(&one, cookie, "192.0.2.1", NOW_S - COOKIE_AHEAD_S - 1));
	assert_false(is_good(&one, cookie, "192.0.2.2", NOW_S));
	assert_false(is_good(&one, cookie, "2001:db8::1", NOW_S));
	for (unsigned i = 0; i < COOKIE_FULL; i++) { /* no bit of it is without meaning */
		cookie[i] ^= 1;
		assert_false(is_good(&one, cookie, "192.0.2.1", NOW_S));
		cookie[i] ^= 1;
	}
}

static void test_secrets_roll(void **state)
{
	struct cookies both = { .n = 2, .secrets = { { 9 }, { 1, 2, 3 } } }, gone = { .n = 1, .secrets = { { 9 } } };
	struct ip_addr client = ip("192.0.2.1");
	uint8_t cookie[COOKIE_FULL], fresh[COOKIE_FULL];

	(void)state;
	make("192.0.2.1", NOW_S, cookie);
	assert_true(is_good(&both, cookie, "192.0.2.1", NOW_S + 1));
	cookie_answer(&both, cookie, sizeof(cookie), &client, NOW_S + 1, fresh); /* with the first */
	assert_memory_not_equal(fresh, cookie, sizeof(cookie));
	assert_true(is_good(&gone, fresh, "192.0.2.1", NOW_S + 1));
	assert_false(is_good(&gone, cookie, "192.0.2.1", NOW_S + 1));
}

static void test_a_fresh_cookie_is_kept(void **state)
{
	struct ip_addr client = ip("192.0.2.1");
	uint8_t cookie[COOKIE_FULL], again[COOKIE_FULL];

	(void)state;
	make("192.0.2.1", NOW_S, cookie);
	cookie_answer(&one, cookie, sizeof(cookie), &client, NOW_S + COOKIE_RENEW_S - 1, again);
	assert_memory_equal(again, cookie, sizeof(cookie));
	cookie_answer(&one, cookie, sizeof(cookie), &client, NOW_S + COOKIE_RENEW_S, again);
	assert_memory_not_equal(again, cookie, sizeof(cookie));
}

static void test_other_lengths_are_not_ours(void **state)
{
	struct ip_addr client = ip("192.0.2.1");
	uint8_t cookie[WIRE_COOKIE_MAX] = { 0 }, answer[COOKIE_FULL];

	(void)state;
	make("192.0.2.1", NOW_S, cookie);
	for (size_t n = WIRE_COOKIE_CLIENT; n <= sizeof(cookie); n++) {
		assert_int_equal(cookie_is_good(&one, cookie, n, &client, NOW_S), n == COOKIE_FULL);
		cookie_answer(&one, cookie, n, &client, NOW_S, answer);
		assert_memory_equal(answer, cookie, WIRE_COOKIE_CLIENT);
		assert_true(is_good(&one, answer, "192.0.2.1", NOW_S));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_siphash),
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_a_cookie_is_for_one_address_and_an_hour),
		cmocka_unit_test(test_secrets_roll),
		cmocka_unit_test(test_a_fresh_cookie_is_kept),
		cmocka_unit_test(test_other_lengths_are_not_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
