/* Which known name was probably meant by a mistyped one: "did you mean "ttl"?".
 *
 *     struct nearest near = { .word = "tlt" };
 *     for (each known name)
 *             nearest_try(&near, name);
 *     if (near.name) ...
 */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include "base/util.h"

enum { NEAREST_WORD_MAX = 64 }; /* a longer word resembles nothing */

struct nearest {
	const char *word;
	const char *name; /* the best so far; NULL while none is close enough to be a mistype */
	unsigned distance; /* of `name`: letters left out, added, changed or swapped */
};

/* The first of equally near names wins. */
void nearest_try(struct nearest *n, const char *known);

#endif
