/* JSON (RFC 8259): one strict reader, one writer.  jsmn finds the tokens; this file checks the
 * grammar jsmn leaves open, decodes strings, and knows line and column of everything, because a
 * person must be told where the mistake is.
 *
 * Limits: text of JSON_TEXT_MAX bytes, JSON_DEPTH_MAX levels, JSON_NODES_MAX values.  Duplicate
 * keys, invalid UTF-8, unpaired surrogates and U+0000 in strings are errors.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/buf.h"
#include "base/err.h"
#include "base/util.h"

enum { JSON_TEXT_MAX = 16 * 1024 * 1024, JSON_DEPTH_MAX = 32, JSON_NODES_MAX = 1000000 };

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json; /* a whole document */
struct json_node; /* a value in it: borrowed, lives as long as the document */

/* A position in the text; both count from 1, columns in bytes. */
struct json_place {
	unsigned line, column;
};

/* The document, or NULL with *e ("expected a value, got '}'") and *at where it went wrong.
 * `text` is copied. */
struct json *json_parse(const char *text, size_t n, struct json_place *at, struct err *e);
void json_free(struct json *doc); /* NULL is fine */
static inline void json_free_at(struct json **doc) { json_free(*doc); }
#define cleanup_json __attribute__((cleanup(json_free_at)))
const struct json_node *json_root(const struct json *doc);

enum json_type json_type(const struct json_node *v);
const char *json_type_name(enum json_type type); /* "an object", "a string" .. for sentences */
struct json_place json_place(const struct json_node *v); /* of the value */
struct json_place json_key_place(const struct json_node *v); /* of its key, in an object */

/* Children of an array or object, in order; NULL at the end. */
const struct json_node *json_first(const struct json_node *v);
const struct json_node *json_next(const struct json_node *v);
const char *json_key(const struct json_node *v); /* of an object's member; NULL else */
const struct json_node *json_get(const struct json_node *object, const char *key); /* or NULL */

/* The value; the node must have that type. */
bool json_bool(const struct json_node *v);
const char *json_string(const struct json_node *v);
/* The number's text as written ("1e3"), and as a whole number: -ERANGE when it has a fraction,
 * an exponent, or does not fit. */
const char *json_number_text(const struct json_node *v);
int json_integer(const struct json_node *v, int64_t *out);

/* ---- writing ---- */

/* Commas and (with `indent` > 0) line breaks are put by the writer.  In an object give each
 * value its key; in an array, and at the top, key is NULL. */
struct json_writer {
	struct buf *out;
	unsigned indent; /* spaces per level; 0: all on one line */
	unsigned depth;
	bool first; /* nothing written yet at this level */
};

void json_open(struct json_writer *w, const char *key, char bracket); /* '{' or '[' */
void json_close(struct json_writer *w, char bracket); /* '}' or ']' */
void json_put_string(struct json_writer *w, const char *key, const char *value); /* invalid UTF-8 becomes U+FFFD */
void json_put_integer(struct json_writer *w, const char *key, int64_t value);
void json_put_bool(struct json_writer *w, const char *key, bool value);
void json_put_null(struct json_writer *w, const char *key);
void json_put_raw(struct json_writer *w, const char *key, const char *json); /* already JSON */
void json_put_node(struct json_writer *w, const char *key, const struct json_node *v); /* all of it */

/* `v` as `patch` changes it (RFC 7396): members of objects are replaced, null takes one away, and
 * members of both that are objects are changed likewise. */
void json_put_patched(struct json_writer *w, const char *key, const struct json_node *v,
                      const struct json_node *patch);

#endif
