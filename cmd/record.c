#include "cmd/record.h"

#include <assert.h>

#include "base/json.h"

/* ---- options ---- */

/* "idle-timeout" as "idle_timeout". */
static void spell(const char *key, char *out, size_t size)
{
	snprintf(out, size, "%s", key);
	for (char *c = out; *c; c++)
		*c = *c == '-' ? '_' : *c;
}

static const struct schema *machine_schema(void) { return schema_find(&schema_service, "machine")->of; }

/* The option, and whether it is the machine's; NULL: there is none. */
static const struct opt *find(const char *key, bool *machine)
{
	static const char prefix[] = "machine.";
	char name[64];
	const struct opt *o;

	spell(key, name, sizeof(name));
	*machine = strncmp(name, prefix, strlen(prefix)) == 0;
	if (*machine)
		return schema_find(machine_schema(), name + strlen(prefix));
	o = schema_find(&schema_service, name);
	if (o && (!o->of || (o->flags & OPT_LIST)))
		return o;
	*machine = true;
	return schema_find(machine_schema(), name);
}

const struct opt *record_option(const char *key)
{
	bool machine;

	return find(key, &machine);
}

bool record_knows(const char *key) { return record_option(key) != NULL; }

const struct opt *record_nth(size_t i)
{
	const struct schema *const schemas[] = { &schema_service, machine_schema() };

	for (size_t s = 0; s < ARRAY_SIZE(schemas); s++) {
		for (size_t k = 0; k < schemas[s]->n; k++) {
			const struct opt *o = &schemas[s]->opts[k];
			bool is_name = s == 0 && strcmp(o->key, "name") == 0; /* `rename` does that */

			if (!is_name && (!o->of || (o->flags & OPT_LIST)) && i-- == 0)
				return o;
		}
	}
	return NULL;
}

void record_nearest(struct nearest *near)
{
	for (size_t i = 0; i < schema_service.n; i++)
		nearest_try(near, schema_service.opts[i].key);
	for (size_t i = 0; i < machine_schema()->n; i++)
		nearest_try(near, machine_schema()->opts[i].key);
}

static int unknown(const char *key, struct err *e)
{
	struct nearest near = { .word = key };

	record_nearest(&near);
	if (near.name)
		return err_set(e, -EINVAL, "a service has no option \"%.60s\", did you mean \"%s\"?", key, near.name);
	return err_set(e, -EINVAL, "a service has no option \"%.60s\": man 5 jitsud.conf lists them", key);
}

/* ---- values ---- */

static bool is_number(const char *text) { return *text && strspn(text, "0123456789") == strlen(text); }

static void put_plain(const struct opt *o, const char *text, const char *key, struct json_writer *w)
{
	if (o->type == OPT_BOOL && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0))
		json_put_bool(w, key, text[0] == 't');
	else if ((o->type == OPT_INT || o->type == OPT_PORT) && is_number(text) && strlen(text) < 10)
		json_put_integer(w, key, strtol(text, NULL, 10));
	else
		json_put_string(w, key, text);
}

static int put_json(const char *text, const char *key, bool elements, struct json_writer *w, struct err *e)
{
	struct json_place at;
	struct err why;
	struct json *doc = json_parse(text, strlen(text), &at, &why);
	const struct json_node *v;

	if (!doc)
		return err_set(e, -EINVAL, "%s: no valid JSON: column %u: %.300s", key ? key : "", at.column, why.text);
	v = json_root(doc);
	if (elements && json_type(v) == JSON_ARRAY) {
		for (v = json_first(v); v; v = json_next(v))
			json_put_node(w, NULL, v);
	} else {
		json_put_node(w, elements ? NULL : key, v);
	}
	json_free(doc);
	return 0;
}

static bool is_json(const char *text) { return text[0] == '{' || text[0] == '['; }

/* "path=/x,read_only=true", or "/x" where the first option is meant. */
static int put_object(const struct opt *list, const char *text, struct json_writer *w, struct err *e)
{
	cleanup_free char *copy = strdup(text);
	const struct schema *of = list->of;
	char *rest = NULL;

	assert(of && of->opts);
	json_open(w, NULL, '{');
	for (char *part = copy ? strtok_r(copy, ",", &rest) : NULL; part; part = strtok_r(NULL, ",", &rest)) {
		char *value = strchr(part, '=');
		const struct opt *o = &of->opts[0];
		char key[64] = "";
		const char *near;

		if (value) {
			*value++ = '\0';
			spell(part, key, sizeof(key));
			o = schema_find(of, key);
		}
		near = o ? NULL : schema_nearest(of, key);
		if (!o)
			return err_set(e, -EINVAL, "%s: there is no option \"%.60s\", did you mean \"%s\"?", list->key, part,
				       near ? near : of->opts[0].key);
		put_plain(o, value ? value : part, o->key, w);
	}
	json_close(w, '}');
	return 0;
}

static void put_parts(const struct opt *o, const char *text, struct json_writer *w)
{
	cleanup_free char *copy = strdup(text);
	char *rest = NULL;

	for (char *part = copy ? strtok_r(copy, ",", &rest) : NULL; part; part = strtok_r(NULL, ",", &rest))
		put_plain(o, part, NULL, w);
}

static int put_elements(const struct opt *o, const char *text, struct json_writer *w, struct err *e)
{
	if (is_json(text))
		return put_json(text, o->key, true, w, e);
	if (o->of)
		return put_object(o, text, w, e);
	put_parts(o, text, w);
	return 0;
}

/* ---- records ---- */

struct words {
	const struct record_word *v;
	size_t n;
};

static bool is_of(const struct record_word *word, const struct opt *o)
{
	bool machine;

	return find(word->key, &machine) == o;
}

static int put_list(const struct words *words, const struct opt *o, struct json_writer *w, struct err *e)
{
	json_open(w, o->key, '[');
	for (size_t i = 0; i < words->n; i++) {
		if (is_of(&words->v[i], o) && put_elements(o, words->v[i].text, w, e) < 0)
			return e->code;
	}
	json_close(w, ']');
	return 0;
}

static int put_option(const struct words *words, const struct opt *o, struct json_writer *w, struct err *e)
{
	const char *text = NULL;
	unsigned n = 0;

	for (size_t i = 0; i < words->n; i++) {
		if (!is_of(&words->v[i], o))
			continue;
		text = words->v[i].text;
		n++;
	}
	if (n == 0)
		return 0;
	if (n == 1 && !*text)
		json_put_null(w, o->key);
	else if (o->flags & OPT_LIST)
		return put_list(words, o, w, e);
	else if (n > 1)
		return err_set(e, -EINVAL, "%s is there twice", o->key);
	else
		put_plain(o, text, o->key, w);
	return 0;
}

static int put_options(const struct words *words, const struct schema *s, struct json_writer *w, struct err *e)
{
	int error = 0;

	for (size_t i = 0; i < s->n && error == 0; i++) {
		if (!s->opts[i].of || (s->opts[i].flags & OPT_LIST))
			error = put_option(words, &s->opts[i], w, e);
	}
	return error;
}

int record_build(const struct record_word *v, size_t n, struct buf *out, struct err *e)
{
	struct json_writer w = { .out = out };
	struct words words = { v, n };
	bool machine, any = false;

	for (size_t i = 0; i < n; i++) {
		if (!find(v[i].key, &machine))
			return unknown(v[i].key, e);
		any |= machine;
	}
	json_open(&w, NULL, '{');
	if (put_options(&words, &schema_service, &w, e) < 0)
		return e->code;
	if (any) {
		json_open(&w, "machine", '{');
		if (put_options(&words, machine_schema(), &w, e) < 0)
			return e->code;
		json_close(&w, '}');
	}
	json_close(&w, '}');
	return out->error ? err_set(e, -ENOMEM, "out of memory") : 0;
}

/* ---- help ---- */

/* As much of it as a line has: to the end of the sentence, or of its first half. */
static size_t first_sentence(const char *help)
{
	size_t n = 0;

	while (help[n] && !((help[n] == '.' || help[n] == ':') && (!help[n + 1] || help[n + 1] == ' ')))
		n++;
	return n;
}

static void help_of(const struct schema *s, const struct term *t, struct buf *out)
{
	enum { HELP_KEY_COLUMNS = 16, HELP_COLUMNS = HELP_KEY_COLUMNS + 5 };
	char key[64], text[512];

	for (size_t i = 0; i < s->n; i++) {
		const struct opt *o = &s->opts[i];

		if ((o->of && !(o->flags & OPT_LIST)) || strcmp(o->key, "name") == 0)
			continue;
		snprintf(key, sizeof(key), "%s", o->key);
		for (char *c = key; *c; c++)
			*c = *c == '_' ? '-' : *c;
		snprintf(text, sizeof(text), "%.*s", (int)first_sentence(o->help), o->help);
		buf_addf(out, "  --%-*s ", HELP_KEY_COLUMNS, key);
		text_wrap(t, text, HELP_COLUMNS, HELP_COLUMNS, out);
	}
}

void record_help(const struct term *t, struct buf *out)
{
	help_of(&schema_service, t, out);
	help_of(machine_schema(), t, out);
}
