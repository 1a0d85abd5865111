/* The launcher's rows as text for people.  Pure: rows (JSON objects) in, text out; which fields
 * there are is docs/control-protocol.md's.  A field that is unknown here is shown all the same, by
 * what its name ends in: _ms, _us, _s, _bytes, _ago_ms.
 */
#ifndef CMD_RENDER_H
#define CMD_RENDER_H

#include "base/json.h"
#include "cmd/table.h"

/* The text of a string or a number; NULL when there is none (absent, null, or something else). */
const char *row_text(const struct json_node *row, const char *key);
/* A whole number that is not negative; false when there is none. */
bool row_number(const struct json_node *row, const char *key, uint64_t *out);

/* A node as JSON on one line: for --json. */
void render_json(const struct json_node *v, struct buf *out);

/* `list`: rows are gathered, then printed; remarks follow the table. */
struct render_list;
struct render_list *render_list_new(const struct term *t); /* NULL: no memory */
int render_list_add(struct render_list *l, const struct json_node *row); /* -ENOMEM */
void render_list_print(const struct render_list *l, struct buf *out);
void render_list_free(struct render_list *l);

/* `show`, `status`: a line per field. */
void render_fields(const struct json_node *row, const struct term *t, uint64_t now_wall_ms, struct buf *out);
/* `why`: sentences about the service `name`. */
void render_why(const struct json_node *row, const char *name, const struct term *t, uint64_t now_wall_ms,
		struct buf *out);
/* `trace`: one wake. */
void render_wake(const struct json_node *row, const struct term *t, uint64_t now_wall_ms, struct buf *out);
/* `log`: one line. */
void render_log(const struct json_node *row, const struct term *t, uint64_t now_wall_ms, struct buf *out);

#endif
