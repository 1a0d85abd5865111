/* A guest that says anything (synproxy/guest_words.c).
 *
 * Checked: what is said is in range, and does not depend on the pieces that it comes in; a line that is no message
 * counts for nothing; and after any of it a line is heard as ever.
 */
#include <assert.h>

#include "synproxy/guest_words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool is_same(const struct msg_guest_said *a, const struct msg_guest_said *b)
{
	return a->ready == b->ready && a->use == b->use && a->has_lease == b->has_lease && a->lease_s == b->lease_s &&
	       a->garbled == b->garbled;
}

/* Line by line: one that is garbled says nothing else. */
static void check_lines(const uint8_t *data, size_t n)
{
	struct guest_words words = { .n = 0 };

	for (size_t at = 0, end; at < n; at = end) {
		struct msg_guest_said said = { .ready = false };

		for (end = at; end < n && data[end] != '\n'; end++)
			;
		end += end < n;
		guest_words_read(&words, data + at, end - at, &said);
		assert(!said.garbled || (!said.ready && said.use == GUEST_UNSAID && !said.has_lease));
		assert(!said.garbled || data[end - 1] == '\n');
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct guest_words whole = { .n = 0 }, pieces = { .n = 0 };
	struct msg_guest_said a = { .ready = false }, b = { .ready = false }, after = { .ready = false };

	guest_words_read(&whole, data, n, &a);
	for (size_t i = 0; i < n; i++)
		guest_words_read(&pieces, data + i, 1, &b);
	assert(is_same(&a, &b));
	assert(a.use <= GUEST_IDLE && a.lease_s <= GUEST_LEASE_MAX_S && (a.has_lease || a.lease_s == 0));
	check_lines(data, n);
	guest_words_read(&whole, "\nready\n", 7, &after);
	assert(after.ready);
	return 0;
}
