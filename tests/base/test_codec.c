#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/codec.h"
#include "base/ipc.h"

struct item {
	uint16_t number;
	char word[8];
};

struct sample {
	uint8_t a;
	uint32_t b;
	uint64_t c;
	int32_t d;
	bool yes;
	uint8_t raw[3];
	char text[10];
	uint16_t n;
	struct item items[2];
};

CODEC_TABLE(item_table, item, F_U16(struct item, number), F_STR(struct item, word));
CODEC_TABLE(sample_table, sample, F_U8(struct sample, a), F_U32(struct sample, b), F_U64(struct sample, c),
	    F_I32(struct sample, d), F_BOOL(struct sample, yes), F_BYTES(struct sample, raw),
	    F_STR(struct sample, text), F_LIST(struct sample, items, n, item_table));

static const struct sample filled = {
	.a = 200, .b = 0xdeadbeef, .c = 0x0102030405060708ull, .d = -7, .yes = true, .raw = { 1, 2, 3 },
	.text = "nine char", .n = 2, .items = { { 1, "one" }, { 65535, "seven77" } },
};

static void test_round_trip(void **state)
{
	uint8_t bytes[256];
	struct sample back;
	ssize_t n = codec_encode(&sample_table, &filled, bytes, sizeof(bytes));

	(void)state;
	assert_int_equal(n, 1 + 4 + 8 + 4 + 1 + 3 + 2 + 9 + 2 + (2 + 2 + 3) + (2 + 2 + 7));
	assert_int_equal(codec_decode(&sample_table, bytes, (size_t)n, &back), 0);
	assert_memory_equal(&back, &filled, sizeof(back));
}

static void test_every_truncation_is_refused(void **state)
{
	uint8_t bytes[256];
	struct sample back;
	ssize_t n = codec_encode(&sample_table, &filled, bytes, sizeof(bytes));

	(void)state;
	for (ssize_t cut = 0; cut < n; cut++)
		assert_int_equal(codec_decode(&sample_table, bytes, (size_t)cut, &back), -EBADMSG);
	assert_int_equal(codec_decode(&sample_table, bytes, (size_t)n + 1, &back), -EBADMSG);
	for (ssize_t room = 0; room < n; room++)
		assert_int_equal(codec_encode(&sample_table, &filled, bytes, (size_t)room), -EMSGSIZE);
}

static void test_values_that_do_not_fit(void **state)
{
	uint8_t bytes[256];
	struct sample back;
	ssize_t n = codec_encode(&sample_table, &filled, bytes, sizeof(bytes));
	uint8_t *yes = bytes + 17, *text_len = bytes + 21, *text = bytes + 23, *count = bytes + 32;

	(void)state;
	*yes = 2;
	assert_int_equal(codec_decode(&sample_table, bytes, (size_t)n, &back), -EBADMSG);
	*yes = 1;
	*text_len = 10; /* would need an eleventh byte for the NUL */
	assert_int_equal(codec_decode(&sample_table, bytes, (size_t)n, &back), -EBADMSG);
	*text_len = 9;
	text[4] = '\0';
	assert_int_equal(codec_decode(&sample_table, bytes, (size_t)n, &back), -EBADMSG);
	text[4] = 'x';
	*count = 3;
	assert_int_equal(codec_decode(&sample_table, bytes, (size_t)n, &back), -EBADMSG);
	*count = 2;
	assert_int_equal(codec_decode(&sample_table, bytes, (size_t)n, &back), 0);
}

static void test_encoder_refuses_unterminated_text_and_long_lists(void **state)
{
	struct sample bad = filled;
	uint8_t bytes[256];

	(void)state;
	memset(bad.text, 'x', sizeof(bad.text));
	assert_int_equal(codec_encode(&sample_table, &bad, bytes, sizeof(bytes)), -EMSGSIZE);
	bad = filled;
	bad.n = 3;
	assert_int_equal(codec_encode(&sample_table, &bad, bytes, sizeof(bytes)), -EMSGSIZE);
}

/* Every message type: zeroes survive the way there and back, and a wrong version or type does not. */
static void test_every_message(void **state)
{
	static uint8_t body[MSG_BODY_MAX], back[MSG_BODY_MAX], packet[IPC_PACKET_MAX];
	enum msg_type type;
	unsigned known = 0;

	(void)state;
	for (unsigned t = 0; t < MSG_TYPE_MAX + 10u; t++) {
		ssize_t n = ipc_encode((enum msg_type)t, body, packet, sizeof(packet));

		if (!msg_codec((enum msg_type)t)) {
			assert_int_equal(n, -EMSGSIZE);
			assert_string_equal(msg_name((enum msg_type)t), "?");
			continue;
		}
		known++;
		assert_true(n >= 4);
		assert_int_equal(ipc_decode(packet, (size_t)n, &type, back), 0);
		assert_int_equal(type, t);
		assert_memory_equal(back, body, msg_codec(type)->size);
		packet[0]++;
		assert_int_equal(ipc_decode(packet, (size_t)n, &type, back), -EBADMSG);
	}
	assert_true(known > 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_every_truncation_is_refused),
		cmocka_unit_test(test_values_that_do_not_fit),
		cmocka_unit_test(test_encoder_refuses_unterminated_text_and_long_lists),
		cmocka_unit_test(test_every_message),
	};

	return cmocka_run_group_tests_name("base/codec", tests, NULL, NULL);
}
