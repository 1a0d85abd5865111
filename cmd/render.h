/* The launcher's rows as text for people.  Pure: rows (JSON objects) in, text out; which fields
 * there are is docs/control-protocol.md's.  A field that is unknown here is shown all the same, by
 * what its name ends in: _ms, _us, _s, _bytes, _ago_ms.
 */
#ifndef CMD_RENDER_H
#define CMD_RENDER_H

#include "base/json.h"
#include "cmd/text.h"

/* The text of a string or a number; NULL when there is none (absent, null, or something else). */
const char *row_text(const struct json_node *row, const char *key);
const char *row_text_or(const struct json_node *row, const char *key, const char *instead);
/* A whole number that is not negative; false when there is none. */
bool row_number(const struct json_node *row, const char *key, uint64_t *out);

/* A node as JSON on one line: for --json. */
void render_json(const struct json_node *v, struct buf *out);

enum color render_state_color(const char *state); /* "up", "off" .. */

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
