#include "config/load.h"

#include "config/check.h"

const struct hypervisor_conf *conf_hypervisor(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->hypervisors.n; i++) {
		if (strcmp(c->hypervisors.v[i].name, name) == 0)
			return &c->hypervisors.v[i];
	}
	return NULL;
}

void conf_free(struct conf *c)
{
	if (!c)
		return;
	schema_clear(&schema_conf, c);
	free(c);
}

/* The three steps over a document; *c is whole when no mistake was found. */
static void fill(struct conf *c, const struct json_node *root, struct mistakes *m)
{
	struct spot whole = spot_root(root);

	read_object(m, &schema_conf, &whole, c);
	if (json_type(root) != JSON_OBJECT || mistakes_are_memory(m))
		return;
	conf_complete(c, &whole, m);
	if (!mistakes_are_memory(m))
		conf_check(c, &whole, m);
}

static struct conf *parse(const char *name, const struct json *doc, struct buf *mistakes)
{
	struct mistakes *m = mistakes_new(name);
	struct conf *c = calloc(1, sizeof(*c));

	if (!m || !c) {
		buf_addf(mistakes, "%s: out of memory\n", name);
		goto fail;
	}
	fill(c, json_root(doc), m);
	if (mistakes_count(m) > 0) {
		mistakes_write(m, mistakes);
		goto fail;
	}
	mistakes_free(m);
	return c;
fail:
	mistakes_free(m);
	conf_free(c);
	return NULL;
}

struct conf *conf_parse(const char *name, const char *text, size_t n, struct buf *mistakes)
{
	struct json_place at;
	struct err e = { 0 };
	struct json *doc = json_parse(text, n, &at, &e);
	struct conf *c;

	if (!doc) {
		buf_addf(mistakes, "%s:%u:%u: %s\n", name, at.line, at.column, e.text);
		return NULL;
	}
	c = parse(name, doc, mistakes);
	json_free(doc);
	return c;
}

struct conf *conf_load(const char *path, struct buf *mistakes)
{
	cleanup_buf struct buf text = { 0 };
	int r = buf_read_file(&text, path, JSON_TEXT_MAX);

	if (r < 0) {
		buf_addf(mistakes, "%s: cannot be read: %s\n", path, strerror(-r));
		return NULL;
	}
	return conf_parse(path, text.text, text.n, mistakes);
}

/* ---- one service ---- */

void conf_free_service(struct service_conf *s)
{
	if (!s)
		return;
	if (!s->packed)
		schema_clear(&schema_service, s);
	free(s);
}

struct service_conf *conf_pack_service(struct service_conf *s)
{
	struct service_conf *packed = schema_pack(&schema_service, s);

	if (!packed)
		return s;
	packed->packed = true;
	conf_free_service(s);
	return packed;
}

static struct service_conf *parse_service(const struct conf *c, const struct json *doc, struct mistakes *m)
{
	struct service_conf *s = calloc(1, sizeof(*s));
	struct spot where = spot_root(json_root(doc));

	if (!s) {
		mistake_out_of_memory(m);
		return NULL;
	}
	read_object(m, &schema_service, &where, s);
	if (json_type(where.v) != JSON_OBJECT || mistakes_are_memory(m))
		return s;
	conf_complete_service(c, s, &where, m);
	if (!mistakes_are_memory(m))
		conf_check_service(c, s, &where, m);
	s->line = 0; /* it stands in no file */
	return s;
}

struct service_conf *conf_parse_service(const struct conf *c, const char *text, size_t n, struct buf *given,
                                        struct buf *mistakes)
{
	struct json_place at;
	struct err e = { 0 };
	struct json *doc = json_parse(text, n, &at, &e);
	struct mistakes *m = mistakes_new("");
	struct service_conf *s = NULL;

	if (!m || (!doc && e.code == -ENOMEM))
		buf_adds(mistakes, "out of memory\n");
	else if (!doc)
		buf_addf(mistakes, "%u:%u: %s\n", at.line, at.column, e.text);
	else
		s = parse_service(c, doc, m);
	if (m && mistakes_count(m) > 0) {
		mistakes_write(m, mistakes);
		conf_free_service(s);
		s = NULL;
	}
	if (s && given)
		conf_print_given(s, json_root(doc), given);
	mistakes_free(m);
	json_free(doc);
	return s;
}
