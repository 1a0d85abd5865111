/* `jitsuctl top`: the services as a table that fits a screen.  Pure: rows and keys in, text out. */
#ifndef CMD_TOP_H
#define CMD_TOP_H

#include "base/json.h"
#include "cmd/text.h"

struct top;

/* Keys that are not a character. */
enum top_key { TOP_UP = 256, TOP_DOWN, TOP_PAGE_UP, TOP_PAGE_DOWN, TOP_HOME, TOP_END };

struct top *top_new(void); /* NULL: no memory */
void top_free(struct top *t); /* NULL is fine */

/* A new listing takes the place of the old one at top_done(); an unfinished one is dropped by the next. */
void top_begin(struct top *t);
int top_add(struct top *t, const struct json_node *row); /* a row of `list`.  -ENOMEM */
void top_done(struct top *t);
/* Said above the table until the next top_done(): why there is no newer one. */
void top_complain(struct top *t, const char *text);

/* False: it means "quit". */
bool top_key(struct top *t, int key);

/* Lines of at most term->width columns, at most `height` of them; 0: all services, without words about keys. */
void top_print(struct top *t, const struct term *term, size_t height, struct buf *out);

#endif
