/* Text for a person's terminal: its width, foreign bytes made harmless, durations and sizes. */
#ifndef CMD_TEXT_H
#define CMD_TEXT_H

#include "base/buf.h"

struct term {
	unsigned width; /* columns */
	bool utf8;
	bool color;
};

enum { TERM_WIDTH_DEFAULT = 80, TERM_WIDTH_MIN = 60, TEXT_UNIT_MAX = 32 };

/* What stdout is: its columns ($COLUMNS when it is no terminal: watch(1) sets it), its character
 * set, and whether colour is welcome (a terminal, no NO_COLOR, and not `plain`). */
struct term term_of_stdout(bool plain);

enum color {
	COLOR_NONE,
	COLOR_RED,
	COLOR_GREEN,
	COLOR_YELLOW,
	COLOR_BLUE,
	COLOR_MAGENTA,
	COLOR_CYAN,
	COLOR_DIM,
	COLOR_BOLD,
	COLOR_N
};

/* Between color_on() and color_off(); both add nothing without colour or for COLOR_NONE. */
void color_on(const struct term *t, enum color c, struct buf *out);
void color_off(const struct term *t, enum color c, struct buf *out);

/* Columns that the text takes: one per character. */
size_t text_width(const char *s);

/* Adds the text with everything that could move the cursor, and what the terminal cannot show,
 * as '?'. */
void text_clean(const struct term *t, const char *s, struct buf *out);

/* text_clean() of at most `width` columns; a longer text ends in an ellipsis.  Returns the
 * columns it took. */
size_t text_shorten(const struct term *t, const char *s, size_t width, struct buf *out);

/* text_clean(), broken between words so that no line is wider than the terminal; `first` columns
 * are taken already, later lines begin with `indent` blanks.  Ends with a newline. */
void text_wrap(const struct term *t, const char *s, size_t first, size_t indent, struct buf *out);

/* "412 ms", "3.4 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"; compact: "412ms", "3.4s", "3m20s".
 * `out` holds TEXT_UNIT_MAX bytes.  Both return `out`. */
const char *text_duration(uint64_t ms, bool compact, char *out);
/* "512 B", "16 MiB", "1.5 GiB" */
const char *text_bytes(uint64_t bytes, char *out);
/* Local time: "14:03:22.123", with the date before it when that is not today's. */
const char *text_time(uint64_t wall_ms, uint64_t now_wall_ms, char *out);

/* A guest's console for a terminal: escape sequences are taken out, line breaks and tabs kept.
 * The state carries over from chunk to chunk. */
struct text_filter {
	enum {
		FILTER_TEXT,
		FILTER_ESCAPE,
		FILTER_SEQUENCE,
		FILTER_STRING,
		FILTER_STRING_ESCAPE,
		FILTER_C2
	} state;
};
void text_filter(struct text_filter *f, const struct term *t, const char *s, size_t n, struct buf *out);

#endif
