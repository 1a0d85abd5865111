/* Signatures: against MACs that were computed by other means (Python's hmac, from RFC 8945's text), against
 * ldns both ways, and with every byte of them changed. */
#include "tests/dns/tsig_record.h"
#include "tests/dns/util.h"

#include "dns/notify.h"
#include "dns/tsig.h"

enum { T = 1700000000, PACKET_MAX = 1024 };

static const struct {
	const char *name, *mac[4]; /* of a query, its answer, the answer's second message, and of BADTIME */
} vectors[] = {
	[TSIG_HMAC_SHA256] = { "hmac-sha256.", {
		"5ba212987187d636e789bc67b6b33fc6c77cd7172aabcea129be231185cfdfcc",
		"7ea535ec4ec113747508fd591ffe183607b9feeae5853d4f65327d7ac249bf3c",
		"5fdd7b33130af33855c7aaae4f22ca71428d2cd1cfca394e540ca3472eb39fa1",
		"e65ec17bb7f4fedff44f5f86af7bc7cbbceeea4e07b843f3a000273563c1715d" } },
	[TSIG_HMAC_SHA384] = { "hmac-sha384.", {
		"499034e376247ff5f3eddf8456bfce72c8732d2ef83ac089227bda4d04ff3e818267dc50693225972d9300ce7b8d9be7",
		"87cc1cc5ee029b5124754d0f2e9d110a2da128cb55af97a2373520b6f56b87d16a93572969e990c9f61484b4a20dbe14",
		"7d9555f78f09da46c503758cce3bda206e78dd511b704014444669ac7a32e87967f600af82b2ab836ba6aa35a0245e71",
		"c52dce5759106b871a64a77161f3a610ecbc8252cfdd125ecd43804172215e9cfded4ae97875c886c4996274a4af4f7f" } },
	[TSIG_HMAC_SHA512] = { "hmac-sha512.", {
		"84d92f68356e30e1e988d53b3a2648b5e020a3400360a5eafe522689701a6a54"
		"360822b0f93e1fad01e3b25ce52b135732a7a20b17e095b07d7d7684a00bb388",
		"96ae8ea95ae251bff53343d0ba9f6b8f9d5d856ff1d3b0cb59f3e39859798a86"
		"04053b35a521e1734974806629afc2e2de891d8ba7c2576a3e8b7a078af90ba7",
		"c8bc7e7f1cb176d9dc6b017dec902a89d275eb4d3c0ae95a41dd7e6c703f4f84"
		"0be7a0c7c291f94a57f74ed8309af7c94e9fe87ab091c4bb65a2b133893e2fa1",
		"989ef66deb58026ec4a45e35b2858702e1d12aeebc3f6f96ce4efec3f622fac5"
		"d54160160231c1fa1675ccb57fa1b5e9d158b67e686124ee655935be020ddeec" } },
};
static_assert(TSIG_HMAC_SHA256 == 0 && TSIG_HMAC_SHA512 == 2, "the others are asked of ldns");
static_assert(ARRAY_SIZE(vectors) == TSIG_ALGORITHM_N, "an algorithm has no vectors");

#define SECRET_BASE64 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

static struct tsig_key key_with(uint8_t algorithm)
{
	struct msg_dns_tsig_key m = { .name = "Key.Example", .algorithm = algorithm, .secret_n = 32 };
	struct tsig_key key;

	for (unsigned i = 0; i < 32; i++)
		m.secret[i] = (uint8_t)i;
	assert_true(tsig_key_of(&m, &key));
	return key;
}

static void assert_mac(const uint8_t *b, size_t n, const char *hex)
{
	struct tsig_record r = tsig_record_of(b, n);
	char text[2 * TSIG_MAC_MAX + 1];

	for (size_t i = 0; i < r.mac_n; i++)
		snprintf(text + 2 * i, 3, "%02x", r.mac[i]);
	assert_string_equal(text, hex);
}

static size_t query(uint8_t *b) { return make_query(b, (struct ask){ .name = "www.jitsu.example", .type = 1 }); }

static size_t signed_query(struct tsig_chain *chain, uint8_t *b, uint64_t at_s)
{
	return tsig_sign(chain, b, query(b), at_s);
}

static void test_known_macs(void **state)
{
	(void)state;
	for (uint8_t i = 0; i < TSIG_ALGORITHM_N; i++) {
		struct tsig_chain chain = { .key = key_with(i) }, error;
		struct tsig_record asked;
		uint8_t b[PACKET_MAX], reply[PACKET_MAX];
		size_t n = signed_query(&chain, b, T), size;

		assert_mac(b, n, vectors[i].mac[0]);
		asked = tsig_record_of(b, n);
		assert_true(tsig_is_key(&chain.key, &asked));
		chain.later = false; /* an answer begins */
		error = chain;
		size = query(reply);
		wire_put16(reply + 2, 0x8400);
		size = tsig_sign(&chain, reply, size, T + 1);
		assert_mac(reply, size, vectors[i].mac[1]);
		size = query(reply);
		wire_put16(reply + 2, 0x8400);
		size = tsig_sign(&chain, reply, size, T + 2);
		assert_mac(reply, size, vectors[i].mac[2]);
		size = query(reply);
		wire_put16(reply + 2, 0x8009);
		size = tsig_sign_error(&error, reply, size, &asked, TSIG_BADTIME, T + 1000);
		assert_mac(reply, size, vectors[i].mac[3]);
		assert_int_equal(tsig_record_of(reply, size).other_n, 6);
	}
}

static void test_a_good_signature_is_taken(void **state)
{
	struct tsig_chain chain = { .key = key_with(0) }, server = chain;
	uint8_t b[PACKET_MAX];
	size_t n = signed_query(&chain, b, T);
	struct tsig_record r = tsig_record_of(b, n);

	(void)state;
	assert_int_equal(tsig_check(&server, b, &r, T), TSIG_OK);
	assert_int_equal(server.mac_n, 32);
	assert_memory_equal(server.mac, chain.mac, 32);
	server = (struct tsig_chain){ .key = chain.key };
	assert_int_equal(tsig_check(&server, b, &r, T + TSIG_FUDGE_S), TSIG_OK);
	server = (struct tsig_chain){ .key = chain.key };
	assert_int_equal(tsig_check(&server, b, &r, T - TSIG_FUDGE_S), TSIG_OK);
	server = (struct tsig_chain){ .key = chain.key };
	assert_int_equal(tsig_check(&server, b, &r, T + TSIG_FUDGE_S + 1), TSIG_BADTIME);
	server = (struct tsig_chain){ .key = chain.key };
	assert_int_equal(tsig_check(&server, b, &r, T - TSIG_FUDGE_S - 1), TSIG_BADTIME);
	wire_put16(b, 0x7777); /* a forwarder's id (RFC 8945, 5.1): what was signed had the original one */
	server = (struct tsig_chain){ .key = chain.key };
	assert_int_equal(tsig_check(&server, b, &r, T), TSIG_OK);
}

/* Nothing of the message or of the signature can be changed. */
static void test_every_changed_byte_is_noticed(void **state)
{
	struct tsig_chain chain = { .key = key_with(0) };
	uint8_t b[PACKET_MAX];
	size_t n = signed_query(&chain, b, T);

	(void)state;
	for (size_t i = 2; i < n; i++) {
		struct tsig_chain server = { .key = chain.key };
		struct tsig_record r;
		struct wire_query q;

		b[i] ^= 0x10;
		if (wire_parse(b, n, &q) == 0 && q.tsig_at > 0 && tsig_parse(b, n, q.tsig_at, &r) &&
		    tsig_is_key(&server.key, &r) && tsig_check(&server, b, &r, T) == TSIG_OK)
			fail_msg("byte %zu", i);
		b[i] ^= 0x10;
	}
}

static void test_other_secrets_and_names(void **state)
{
	struct tsig_chain chain = { .key = key_with(0) }, other = chain;
	uint8_t b[PACKET_MAX];
	size_t n = signed_query(&chain, b, T);
	struct tsig_record r = tsig_record_of(b, n);
	struct tsig_key key = key_with(0);

	(void)state;
	other.mac_n = 0;
	other.key.secret[31] ^= 1;
	assert_int_equal(tsig_check(&other, b, &r, T), TSIG_BADSIG);
	key.name.b[1] ^= 1;
	assert_false(tsig_is_key(&key, &r));
	key = key_with(1);
	assert_false(tsig_is_key(&key, &r));
}

/* RFC 8945, 5.2.2.1 and 5.2.4 */
static void test_macs_cut_short(void **state)
{
	struct tsig_chain chain = { .key = key_with(2) };
	uint8_t b[PACKET_MAX];
	size_t n = signed_query(&chain, b, T);
	struct tsig_record r = tsig_record_of(b, n);

	(void)state;
	for (uint16_t mac_n = 0; mac_n <= TSIG_MAC_MAX + 1; mac_n++) {
		struct tsig_chain server = { .key = chain.key };
		int expected = mac_n < 32 || mac_n > 64 ? -EBADMSG : mac_n < 64 ? TSIG_BADTRUNC : TSIG_OK;
		int too_late = expected == -EBADMSG ? -EBADMSG : TSIG_BADTIME; /* the time is looked at first: 5.2 */

		r.mac_n = mac_n;
		assert_int_equal(tsig_check(&server, b, &r, T), expected);
		if (expected == TSIG_BADTRUNC)
			assert_int_equal(server.mac_n, mac_n);
		server = (struct tsig_chain){ .key = chain.key };
		assert_int_equal(tsig_check(&server, b, &r, T + TSIG_FUDGE_S + 1), too_late);
		if (too_late == TSIG_BADTIME)
			assert_int_equal(server.mac_n, mac_n);
	}
}

static void test_records_that_are_none(void **state)
{
	struct tsig_chain chain = { .key = key_with(0) };
	uint8_t b[PACKET_MAX];
	size_t n = signed_query(&chain, b, T);
	struct tsig_record r = tsig_record_of(b, n), again;
	struct wire_query q;

	(void)state;
	for (size_t cut = 1; cut < n - r.at; cut++)
		assert_false(tsig_parse(b, n - cut, r.at, &again));
	b[n++] = 0; /* something behind it */
	assert_int_equal(wire_parse(b, n, &q), RCODE_FORMERR);
	assert_false(tsig_parse(b, n, r.at, &again));
	n--;
	memcpy(b + n, b + r.at, n - r.at); /* two of them */
	wire_put16(b + SECTION_ADDITIONAL, 2);
	assert_int_equal(wire_parse(b, 2 * n - r.at, &q), RCODE_FORMERR);
	wire_put16(b + SECTION_ADDITIONAL, 0); /* in another section */
	wire_put16(b + SECTION_AUTHORITY, 1);
	assert_int_equal(wire_parse(b, n, &q), RCODE_FORMERR);
}

/* A compressed owner: some make it, when the key is named like the question. */
static void test_a_name_may_point_elsewhere(void **state)
{
	uint8_t b[64] = { [12] = 3, 'k', 'e', 'y', 7, 'E', 'x', 'a', 'm', 'p', 'l', 'e', 0, 1, 'a', 0xc0, 16, 0xc0, 33,
			  0xc0, 31, 0xc0, 25 };
	struct name name;
	char text[NAME_TEXT_MAX];

	(void)state;
	assert_int_equal(name_read(b, sizeof(b), 12, &name), 25);
	assert_int_equal(name_read(b, sizeof(b), 25, &name), 29);
	assert_string_equal(name_to_text(name.b, text), "a.Example.");
	assert_int_equal(name.labels, 2);
	assert_int_equal(name_read(b, sizeof(b), 29, &name), 0); /* forwards */
	assert_int_equal(name_read(b, sizeof(b), 31, &name), 0); /* to itself */
	assert_int_equal(name_read(b, sizeof(b), 33, &name), 35);
	assert_int_equal(name_read(b, 28, 25, &name), 0);
	memset(b, 1, sizeof(b)); /* no end */
	assert_int_equal(name_read(b, sizeof(b), 0, &name), 0);
}

/* ---- ldns, which misspells hmac-sha384 ---- */

static void test_ldns_takes_our_signature(void **state)
{
	(void)state;
	for (uint8_t i = 0; i < TSIG_ALGORITHM_N; i += TSIG_HMAC_SHA512) {
		struct tsig_chain chain = { .key = key_with(i) };
		uint8_t b[PACKET_MAX];
		size_t n = signed_query(&chain, b, (uint64_t)time(NULL));
		ldns_pkt *p = parse_reply(b, n);

		assert_true(ldns_pkt_tsig_verify(p, b, n, "key.example.", SECRET_BASE64, NULL));
		assert_false(ldns_pkt_tsig_verify(p, b, n, "key.example.", "AQECAwQFBgcICQoLDA0ODw==", NULL));
		ldns_pkt_free(p);
	}
}

static void test_we_take_ldns_signature(void **state)
{
	(void)state;
	for (uint8_t i = 0; i < TSIG_ALGORITHM_N; i += TSIG_HMAC_SHA512) {
		struct tsig_chain server = { .key = key_with(i) };
		ldns_pkt *p = NULL;
		struct tsig_record r;
		uint8_t *wire = NULL;
		size_t n = 0;

		assert_int_equal(ldns_pkt_query_new_frm_str(&p, "jitsu.example.", LDNS_RR_TYPE_AXFR, LDNS_RR_CLASS_IN, 0), 0);
		ldns_pkt_set_id(p, 0x4321);
		assert_int_equal(ldns_pkt_tsig_sign(p, "key.example.", SECRET_BASE64, 300, vectors[i].name, NULL), 0);
		assert_int_equal(ldns_pkt2wire(&wire, p, &n), 0);
		r = tsig_record_of(wire, n);
		assert_true(tsig_is_key(&server.key, &r));
		assert_int_equal(tsig_check(&server, wire, &r, (uint64_t)time(NULL)), TSIG_OK);
		free(wire);
		ldns_pkt_free(p);
	}
}

/* ---- answers to NOTIFY ---- */

static void test_answers_to_notify(void **state)
{
	struct tsig_chain ours = { .key = key_with(0) }, theirs, chain;
	uint8_t b[PACKET_MAX], wrong[PACKET_MAX];
	struct ask ask = { .name = "jitsu.example", .type = 6, .flags = OPCODE_NOTIFY | FLAG_AA };
	size_t n, plain = make_query(b, ask);

	(void)state;
	tsig_sign(&ours, b, plain, T);
	ours.later = false;
	theirs = ours;
	ask.flags |= FLAG_QR;
	plain = make_query(b, ask);
	assert_int_equal(notify_answer(NULL, 0x1234, b, plain, T), RCODE_NOERROR);
	assert_int_equal(notify_answer(NULL, 0x1235, b, plain, T), -EINVAL);
	assert_int_equal(notify_answer(NULL, 0x1234, b, 11, T), -EINVAL);
	chain = ours;
	assert_int_equal(notify_answer(&chain, 0x1234, b, plain, T), -EINVAL); /* it must be signed */
	n = tsig_sign(&theirs, b, plain, T);
	chain = ours;
	assert_int_equal(notify_answer(&chain, 0x1234, b, n, T), RCODE_NOERROR);
	assert_int_equal(b[2] & 0x80, 0x80);
	memcpy(wrong, b, n);
	wrong[n - 20] ^= 1;
	chain = ours;
	assert_int_equal(notify_answer(&chain, 0x1234, wrong, n, T), -EINVAL);
	chain = ours;
	assert_int_equal(notify_answer(&chain, 0x1234, b, n, T + 400), -EINVAL);
	wire_put16(b + 2, OPCODE_NOTIFY | FLAG_QR | RCODE_REFUSED);
	assert_int_equal(notify_answer(NULL, 0x1234, b, n, T), RCODE_REFUSED);
	wire_put16(b + 2, FLAG_QR); /* another opcode */
	assert_int_equal(notify_answer(NULL, 0x1234, b, n, T), -EINVAL);
	wire_put16(b + 2, OPCODE_NOTIFY); /* no answer */
	assert_int_equal(notify_answer(NULL, 0x1234, b, n, T), -EINVAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_macs),
		cmocka_unit_test(test_a_good_signature_is_taken),
		cmocka_unit_test(test_every_changed_byte_is_noticed),
		cmocka_unit_test(test_other_secrets_and_names),
		cmocka_unit_test(test_macs_cut_short),
		cmocka_unit_test(test_records_that_are_none),
		cmocka_unit_test(test_a_name_may_point_elsewhere),
		cmocka_unit_test(test_ldns_takes_our_signature),
		cmocka_unit_test(test_we_take_ldns_signature),
		cmocka_unit_test(test_answers_to_notify),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
