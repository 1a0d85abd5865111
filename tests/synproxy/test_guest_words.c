#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "synproxy/guest_words.h"

static struct guest_words words;

static int setup(void **state)
{
	(void)state;
	words = (struct guest_words){ .n = 0 };
	return 0;
}

static struct msg_guest_said hear(const char *text)
{
	struct msg_guest_said said = { .ready = false };

	guest_words_read(&words, text, strlen(text), &said);
	return said;
}

static bool says_nothing(const struct msg_guest_said *s)
{
	return !s->ready && s->use == GUEST_UNSAID && !s->has_lease && !s->garbled;
}

static void test_each_word(void **state)
{
	struct msg_guest_said s = hear("ready\n");

	(void)state;
	assert_true(s.ready && s.use == GUEST_UNSAID && !s.has_lease && !s.garbled);
	s = hear("busy\n");
	assert_true(!s.ready && s.use == GUEST_BUSY);
	s = hear("idle\r\n");
	assert_true(s.use == GUEST_IDLE && !s.garbled);
	s = hear("lease 90\n");
	assert_true(s.has_lease && s.lease_s == 90);
	s = hear("lease 0\n");
	assert_true(s.has_lease && s.lease_s == 0);
	s = hear("\n  \t \r\n");
	assert_true(says_nothing(&s));
}

static void test_several_words(void **state)
{
	struct msg_guest_said s = hear("ready busy  lease 5\nidle\n\tlease 7 busy\nlease 6\n");

	(void)state;
	assert_true(s.ready && s.use == GUEST_BUSY && s.has_lease && s.lease_s == 6 && !s.garbled);
}

static void test_in_pieces(void **state)
{
	static const char text[] = "ready\nlease 12\n";
	struct msg_guest_said s = { .ready = false };

	(void)state;
	for (size_t i = 0; i < strlen(text); i++) {
		guest_words_read(&words, text + i, 1, &s);
		assert_int_equal(s.ready, i >= 5);
		assert_int_equal(s.has_lease, i >= 14);
	}
	assert_int_equal(s.lease_s, 12);
	assert_false(s.garbled);
}

static void test_long_leases(void **state)
{
	(void)state;
	assert_int_equal(hear("lease 999999999\n").lease_s, GUEST_LEASE_MAX_S);
	assert_int_equal(hear("lease 4294967301\n").lease_s, GUEST_LEASE_MAX_S);
	assert_int_equal(hear("lease 99999999999999999999999999999999999\n").lease_s, GUEST_LEASE_MAX_S);
}

static void test_garbled_lines_count_for_nothing(void **state)
{
	static const char *const bad[] = {
		"hello\n", "READY\n", "ready!\n", "ready hello\n", "hello ready\n", "lease\n", "lease x\n", "lease -1\n",
		"lease 1s\n", "lease +5\n", "busy lease\n", "ready\vbusy\n", "re\xffy\n", "{\"ready\":true}\n",
		"ready ready ready ready ready ready ready ready ready ready ready\n", /* 65 bytes */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct msg_guest_said s = hear(bad[i]);

		if (!s.garbled || s.ready || s.use != GUEST_UNSAID || s.has_lease)
			fail_msg("\"%s\" was taken for something", bad[i]);
		s = hear("ready\n"); /* and the next one is heard */
		assert_true(s.ready && !s.garbled);
	}
}

static void test_a_line_of_64_bytes(void **state)
{
	char line[GUEST_LINE_MAX + 3];
	struct msg_guest_said s;

	(void)state;
	memset(line, ' ', sizeof(line));
	memcpy(line, "ready", 5);
	strcpy(line + GUEST_LINE_MAX, "\n");
	s = hear(line);
	assert_true(s.ready && !s.garbled);
	strcpy(line + GUEST_LINE_MAX, " \n");
	s = hear(line);
	assert_true(!s.ready && s.garbled);
}

static void test_a_zero_byte(void **state)
{
	struct msg_guest_said s = { .ready = false };

	(void)state;
	guest_words_read(&words, "ready\0\n", 7, &s);
	assert_true(s.garbled && !s.ready);
}

static void test_endless_line(void **state)
{
	static char much[100000];
	struct msg_guest_said s = { .ready = false };

	(void)state;
	memset(much, 'r', sizeof(much));
	guest_words_read(&words, much, sizeof(much), &s);
	assert_true(says_nothing(&s)); /* not before it ends */
	s = hear("eady\nbusy\n");
	assert_true(s.garbled && !s.ready && s.use == GUEST_BUSY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_each_word, setup),
		cmocka_unit_test_setup(test_several_words, setup),
		cmocka_unit_test_setup(test_in_pieces, setup),
		cmocka_unit_test_setup(test_long_leases, setup),
		cmocka_unit_test_setup(test_garbled_lines_count_for_nothing, setup),
		cmocka_unit_test_setup(test_a_line_of_64_bytes, setup),
		cmocka_unit_test_setup(test_a_zero_byte, setup),
		cmocka_unit_test_setup(test_endless_line, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
