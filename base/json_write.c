/* The JSON writer. */
#include <assert.h>

#include "base/json_internal.h"
#include "base/utf8.h"

/* ---- texts ---- */

static void add_escaped(struct buf *out, unsigned char c)
{
	const char *value = strchr(escape_values, c);

	if (value)
		buf_addf(out, "\\%c", escape_letters[value - escape_values]);
	else
		buf_addf(out, "\\u%04x", c);
}

static void add_quoted(struct buf *out, const char *s)
{
	size_t n = strlen(s), run = 0; /* [run, i) still has to be copied */
	size_t i = 0, len;

	buf_adds(out, "\"");
	while (i < n) {
		unsigned char c = (unsigned char)s[i];

		len = utf8_length(s + i, n - i);
		if (len > 0 && c >= 0x20 && c != '"' && c != '\\') {
			i += len;
			continue;
		}
		buf_add(out, s + run, i - run);
		if (len == 0)
			buf_adds(out, "\xef\xbf\xbd"); /* U+FFFD */
		else
			add_escaped(out, c);
		run = ++i;
	}
	buf_add(out, s + run, n - run);
	buf_adds(out, "\"");
}

/* ---- values ---- */

static void line_break(struct json_writer *w)
{
	if (w->indent > 0)
		buf_addf(w->out, "\n%*s", (int)(w->indent * w->depth), "");
}

/* The comma, the line break and the key before a value. */
static void begin_value(struct json_writer *w, const char *key)
{
	if (w->depth > 0) {
		if (!w->first)
			buf_adds(w->out, ",");
		line_break(w);
	}
	w->first = false;
	if (!key)
		return;
	add_quoted(w->out, key);
	buf_adds(w->out, w->indent > 0 ? ": " : ":");
}

void json_open(struct json_writer *w, const char *key, char bracket)
{
	assert(bracket == '{' || bracket == '[');
	begin_value(w, key);
	buf_add(w->out, &bracket, 1);
	w->depth++;
	w->first = true;
}

void json_close(struct json_writer *w, char bracket)
{
	assert(w->depth > 0 && (bracket == '}' || bracket == ']'));
	w->depth--;
	if (!w->first)
		line_break(w);
	buf_add(w->out, &bracket, 1);
	w->first = false;
}

void json_put_string(struct json_writer *w, const char *key, const char *value)
{
	begin_value(w, key);
	add_quoted(w->out, value);
}

void json_put_integer(struct json_writer *w, const char *key, int64_t value)
{
	begin_value(w, key);
	buf_addf(w->out, "%lld", (long long)value);
}

void json_put_bool(struct json_writer *w, const char *key, bool value)
{
	json_put_raw(w, key, value ? "true" : "false");
}

void json_put_null(struct json_writer *w, const char *key) { json_put_raw(w, key, "null"); }

void json_put_raw(struct json_writer *w, const char *key, const char *json)
{
	begin_value(w, key);
	buf_adds(w->out, json);
}

/* ---- what was read ---- */

static void put_members(struct json_writer *w, const struct json_node *v)
{
	for (v = json_first(v); v; v = json_next(v))
		json_put_node(w, json_key(v), v);
}

/* Depth is JSON_DEPTH_MAX at most. */
void json_put_node(struct json_writer *w, const char *key, const struct json_node *v)
{
	switch (json_type(v)) {
	case JSON_NULL:
		json_put_null(w, key);
		break;
	case JSON_BOOL:
		json_put_bool(w, key, json_bool(v));
		break;
	case JSON_NUMBER:
		json_put_raw(w, key, json_number_text(v));
		break;
	case JSON_STRING:
		json_put_string(w, key, json_string(v));
		break;
	case JSON_ARRAY:
		json_open(w, key, '[');
		put_members(w, v);
		json_close(w, ']');
		break;
	case JSON_OBJECT:
		json_open(w, key, '{');
		put_members(w, v);
		json_close(w, '}');
		break;
	}
}

static bool is_object(const struct json_node *v) { return v && json_type(v) == JSON_OBJECT; }

void json_put_patched(struct json_writer *w, const char *key, const struct json_node *v,
                      const struct json_node *patch)
{
	if (!is_object(patch)) {
		json_put_node(w, key, patch);
		return;
	}
	if (!is_object(v))
		v = NULL;
	json_open(w, key, '{');
	for (const struct json_node *m = v ? json_first(v) : NULL; m; m = json_next(m)) {
		const struct json_node *p = json_get(patch, json_key(m));

		if (!p)
			json_put_node(w, json_key(m), m);
		else if (json_type(p) != JSON_NULL)
			json_put_patched(w, json_key(m), m, p);
	}
	for (const struct json_node *p = json_first(patch); p; p = json_next(p)) {
		if (json_type(p) != JSON_NULL && !(v && json_get(v, json_key(p))))
			json_put_patched(w, json_key(p), NULL, p);
	}
	json_close(w, '}');
}
