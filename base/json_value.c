/* Looking at what was read. */
#include <assert.h>

#include "base/json_internal.h"

static const char *const type_names[] = {
	[JSON_NULL] = "null",       [JSON_BOOL] = "true or false", [JSON_NUMBER] = "a number",
	[JSON_STRING] = "a string", [JSON_ARRAY] = "an array",     [JSON_OBJECT] = "an object",
};
static_assert(ARRAY_SIZE(type_names) == JSON_OBJECT + 1, "a type without a name");

static const struct json_node *node_at(const struct json *doc, int i)
{
	return i == NONE ? NULL : &doc->nodes[i];
}

const struct json_node *json_root(const struct json *doc) { return &doc->nodes[0]; }

enum json_type json_type(const struct json_node *v) { return v->type; }

const char *json_type_name(enum json_type type) { return type_names[type]; }

struct json_place json_place(const struct json_node *v) { return v->at; }

struct json_place json_key_place(const struct json_node *v) { return v->key_at; }

const struct json_node *json_first(const struct json_node *v) { return node_at(v->doc, v->first); }

const struct json_node *json_next(const struct json_node *v) { return node_at(v->doc, v->next); }

const char *json_key(const struct json_node *v) { return v->key; }

const struct json_node *json_get(const struct json_node *object, const char *key)
{
	const struct json_node *v;

	assert(object->type == JSON_OBJECT);
	for (v = json_first(object); v; v = json_next(v)) {
		if (strcmp(v->key, key) == 0)
			return v;
	}
	return NULL;
}

bool json_bool(const struct json_node *v)
{
	assert(v->type == JSON_BOOL);
	return v->truth;
}

const char *json_string(const struct json_node *v)
{
	assert(v->type == JSON_STRING);
	return v->text;
}

const char *json_number_text(const struct json_node *v)
{
	assert(v->type == JSON_NUMBER);
	return v->text;
}

int json_integer(const struct json_node *v, int64_t *out)
{
	const char *s = json_number_text(v);
	long long n;

	if (strpbrk(s, ".eE"))
		return -ERANGE;
	errno = 0;
	n = strtoll(s, NULL, 10);
	if (errno)
		return -ERANGE;
	*out = n;
	return 0;
}
