/* A service's record from the words of a command line: `--memory 128MiB`, `ttl=30s`.  The schema says
 * which options there are and what becomes of their text; whether a value is good is jitsud's to say.
 */
#ifndef CMD_RECORD_H
#define CMD_RECORD_H

#include "base/buf.h"
#include "base/err.h"
#include "base/nearest.h"
#include "cmd/text.h"
#include "config/schema.h"

enum { RECORD_WORDS_MAX = 128 };

/* One option and its text, both borrowed. */
struct record_word {
	const char *key; /* "memory", "machine.memory"; '-' and '_' are the same */
	const char *text; /* "": back to the default */
};

/* Whether a service, or its machine, has such an option. */
bool record_knows(const char *key);

/* The option itself, NULL when there is none; and all of them that a word can set, NULL behind the last. */
const struct opt *record_option(const char *key);
const struct opt *record_nth(size_t i);

/* Adds the words as a JSON object to `out`.  Lists: several words, or one with commas.  What begins with
 * '{' or '[' is JSON.  0, or -EINVAL with *e: no such option, and the nearest; one that is no list twice. */
int record_build(const struct record_word *words, size_t n, struct buf *out, struct err *e);

/* Tries all options' names, as they are written on a command line. */
void record_nearest(struct nearest *near);

/* Every option and what it says first, as wide as the terminal. */
void record_help(const struct term *t, struct buf *out);

#endif
