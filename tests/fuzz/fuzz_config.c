/* Any bytes as a configuration: refused with at least one mistake, or printed, and what was printed
 * loads to the same. */
#include "config/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void print_and_load_again(const struct conf *c)
{
	cleanup_buf struct buf once = { 0 }, twice = { 0 }, mistakes = { 0 };
	struct conf *again;

	conf_print(c, &once);
	again = conf_parse("printed", once.text, once.n, &mistakes);
	if (!again) {
		fprintf(stderr, "%s%s", once.text, mistakes.text);
		abort();
	}
	conf_print(again, &twice);
	if (once.n != twice.n || memcmp(once.text, twice.text, once.n) != 0)
		abort();
	conf_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	cleanup_buf struct buf mistakes = { 0 };
	struct conf *c = conf_parse("fuzz", (const char *)data, n, &mistakes);

	if (c)
		print_and_load_again(c);
	if ((c == NULL) != (mistakes.n > 0))
		abort();
	conf_free(c);
	return 0;
}
