#include "base/nearest.h"

#include <ctype.h>

static bool same(char a, char b) { return tolower((unsigned char)a) == tolower((unsigned char)b); }

/* Optimal string alignment: three rows of the table are enough.  Both words are at most
 * NEAREST_WORD_MAX long. */
static unsigned distance(const char *a, size_t na, const char *b, size_t nb)
{
	uint8_t rows[3][NEAREST_WORD_MAX + 1];

	for (size_t j = 0; j <= nb; j++)
		rows[0][j] = (uint8_t)j;
	for (size_t i = 1; i <= na; i++) {
		uint8_t *now = rows[i % 3], *last = rows[(i - 1) % 3], *before = rows[(i + 1) % 3];

		now[0] = (uint8_t)i;
		for (size_t j = 1; j <= nb; j++) {
			unsigned best = last[j - 1] + !same(a[i - 1], b[j - 1]);

			best = MIN(best, MIN(last[j], now[j - 1]) + 1u);
			if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
				best = MIN(best, before[j - 2] + 1u);
			now[j] = (uint8_t)best;
		}
	}
	return rows[na % 3][nb];
}

void nearest_try(struct nearest *n, const char *known)
{
	size_t nw = strlen(n->word), nk = strlen(known);
	unsigned d, most = (unsigned)(nw + 2) / 3;

	if (nw == 0 || nw > NEAREST_WORD_MAX || nk > NEAREST_WORD_MAX)
		return;
	d = distance(n->word, nw, known, nk);
	if (d > 1 && nw >= 2 && strncmp(n->word, known, nw) == 0)
		d = 1; /* a name not typed to its end */
	/* A word of which nothing is left is another word. */
	if (d > most || d >= nk || (n->name && d >= n->distance))
		return;
	n->name = known;
	n->distance = d;
}
