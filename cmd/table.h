/* A table for a terminal: columns as wide as their content, and never wider together than the
 * terminal: first columns that can do without some letters are shortened, then the least
 * important ones left out.
 */
#ifndef CMD_TABLE_H
#define CMD_TABLE_H

#include "cmd/text.h"

struct table;

struct table_column {
	const char *title;
	bool right; /* numbers */
	unsigned min; /* may be shortened to so many columns; 0: never shortened */
	unsigned leave; /* may be left out, the largest first; 0: never */
};

enum { TABLE_COLUMNS_MAX = 16 };

/* `columns` must live on.  NULL: no memory. */
struct table *table_new(const struct table_column *columns, size_t n);
void table_free(struct table *t); /* NULL is fine */

/* The next cell, row by row; the text is copied.  -ENOMEM. */
int table_add(struct table *t, const char *text, enum color color);

/* The titles, and each row, a line each.  Nothing for a table without rows. */
void table_print(const struct table *t, const struct term *term, struct buf *out);

#endif
