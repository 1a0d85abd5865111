#include "config/load.h"

#include <assert.h>

#include "base/json.h"
#include "config/schema.h"

static_assert((int)VALUE_TEXT_MAX >= (int)ADDR_TEXT_MAX, "addresses need more room");

static void print_object(const struct schema *s, const void *record, struct json_writer *w, const char *key);

static bool is_zero(const void *value, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (((const char *)value)[i])
			return false;
	}
	return true;
}

/* Nothing was said and nothing follows: such an option is left out. */
static bool is_unset(const struct opt *o, const void *record)
{
	const void *value = (const char *)record + o->offset;

	if (!(o->flags & OPT_UNSET))
		return false;
	if (o->flags & OPT_LIST)
		return list_get(record, o).n == 0;
	if (o->type == OPT_TEXT || o->type == OPT_WORD)
		return (*(char *const *)value)[0] == '\0';
	return is_zero(value, opt_element_size(o));
}

/* Values that are written as a string of their own language. */
static const char *format_value(const struct opt *o, const void *value, char *out)
{
	const struct endpoint *e = value;

	switch (o->type) {
	case OPT_DURATION:
		return duration_format(*(const uint64_t *)value, out);
	case OPT_SIZE:
		return size_format(*(const uint64_t *)value, out);
	case OPT_ENUM:
		return o->names[*(const unsigned *)value];
	case OPT_WORD:
	case OPT_TEXT:
		return *(char *const *)value;
	case OPT_IP4:
	case OPT_IP6:
		return ip_format(value, out);
	case OPT_HOST:
		return service_ip_format(value, out);
	case OPT_RANGE:
		return range_format(value, out);
	case OPT_PREFIX:
		return prefix_format(value, out);
	case OPT_ENDPOINT:
		return endpoint_format(&e->addr, e->port, out);
	case OPT_MAC:
		return mac_format(value, out);
	case OPT_READY:
		return ready_format(value, out);
	default:
		assert(false);
		return "";
	}
}

static void print_value(const struct opt *o, const void *value, struct json_writer *w, const char *key)
{
	char text[VALUE_TEXT_MAX];

	switch (o->type) {
	case OPT_BOOL:
		json_put_bool(w, key, *(const bool *)value);
		break;
	case OPT_INT:
		json_put_integer(w, key, *(const uint32_t *)value);
		break;
	case OPT_PORT:
		json_put_integer(w, key, *(const uint16_t *)value);
		break;
	case OPT_OBJECT:
		print_object(o->of, value, w, key);
		break;
	default:
		json_put_string(w, key, format_value(o, value, text));
	}
}

static void print_pair(const struct opt *o, const void *record, struct json_writer *w)
{
	const void *value = (const char *)record + o->offset, *also = (const char *)record + o->also;
	char text[VALUE_TEXT_MAX];

	if (o->type == OPT_RATE)
		rate_format(*(const uint32_t *)value, *(const uint64_t *)also, text);
	else if (*(const uint64_t *)value > 0)
		size_format(*(const uint64_t *)value, text);
	else
		snprintf(text, sizeof(text), "%u%%", *(const uint32_t *)also);
	json_put_string(w, o->key, text);
}

static const void *element(const struct any_list *list, const struct opt *o, size_t i)
{
	return (const char *)list->v + i * opt_element_size(o);
}

/* All on one line. */
static void print_plain_list(const struct opt *o, const struct any_list *list, struct json_writer *w)
{
	cleanup_buf struct buf line = { 0 };
	struct json_writer item = { .out = &line };

	buf_adds(&line, "[");
	for (size_t i = 0; i < list->n; i++) {
		buf_adds(&line, i == 0 ? "" : ", ");
		print_value(o, element(list, o, i), &item, NULL);
	}
	buf_adds(&line, "]");
	if (line.error)
		w->out->error = line.error;
	else
		json_put_raw(w, o->key, line.text);
}

static void print_list(const struct opt *o, const void *record, struct json_writer *w)
{
	struct any_list list = list_get(record, o);

	if (!o->of)
		return print_plain_list(o, &list, w);
	json_open(w, o->key, '[');
	for (size_t i = 0; i < list.n; i++)
		print_value(o, element(&list, o, i), w, NULL);
	json_close(w, ']');
}

static void print_object(const struct schema *s, const void *record, struct json_writer *w, const char *key)
{
	assert(s);
	json_open(w, key, '{');
	for (size_t i = 0; i < s->n; i++) {
		const struct opt *o = &s->opts[i];

		if (is_unset(o, record))
			continue;
		if (o->flags & OPT_LIST)
			print_list(o, record, w);
		else if (o->type == OPT_SHARE || o->type == OPT_RATE)
			print_pair(o, record, w);
		else
			print_value(o, (const char *)record + o->offset, w, o->key);
	}
	json_close(w, '}');
}

static void hide_text(char *text)
{
	size_t n = strlen(text);

	explicit_bzero(text, n);
	memset(text, '*', MIN(n, (size_t)3));
}

static void hide(const struct schema *s, void *record)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct opt *o = &s->opts[i];
		bool is_list = o->flags & OPT_LIST;
		struct any_list list = is_list ? list_get(record, o) : (struct any_list){ 1, (char *)record + o->offset };

		for (size_t k = 0; k < list.n && (o->of || o->flags & OPT_SECRET); k++) {
			void *value = (char *)list.v + k * opt_element_size(o);

			if (o->of)
				hide(o->of, value);
			else
				hide_text(*(char **)value);
		}
	}
}

void conf_hide_secrets(struct conf *c) { hide(&schema_conf, c); }

void conf_print(const struct conf *c, struct buf *out)
{
	struct json_writer w = { .out = out, .indent = 2 };

	print_object(&schema_conf, c, &w, NULL);
	buf_adds(out, "\n");
}

void conf_print_service(const struct service_conf *s, struct buf *out)
{
	struct json_writer w = { .out = out };

	print_object(&schema_service, s, &w, NULL);
}

/* ---- what was said, and no more ---- */

static void print_given(const struct schema *s, const void *record, const struct json_node *given,
                        struct json_writer *w, const char *key);

static void print_given_list(const struct opt *o, const void *record, const struct json_node *given,
                             struct json_writer *w)
{
	struct any_list list = list_get(record, o);
	const struct json_node *v = json_first(given);

	json_open(w, o->key, '[');
	for (size_t i = 0; i < list.n && v; i++, v = json_next(v))
		print_given(o->of, element(&list, o, i), v, w, NULL);
	json_close(w, ']');
}

static void print_given(const struct schema *s, const void *record, const struct json_node *given,
                        struct json_writer *w, const char *key)
{
	json_open(w, key, '{');
	for (size_t i = 0; i < s->n; i++) {
		const struct opt *o = &s->opts[i];
		const struct json_node *v = json_get(given, o->key);

		if (!v)
			continue;
		if (o->of && (o->flags & OPT_LIST))
			print_given_list(o, record, v, w);
		else if (o->of)
			print_given(o->of, (const char *)record + o->offset, v, w, o->key);
		else if (o->flags & OPT_LIST)
			print_list(o, record, w);
		else if (o->type == OPT_SHARE || o->type == OPT_RATE)
			print_pair(o, record, w);
		else
			print_value(o, (const char *)record + o->offset, w, o->key);
	}
	json_close(w, '}');
}

void conf_print_given(const struct service_conf *s, const struct json_node *given, struct buf *out)
{
	struct json_writer w = { .out = out };

	print_given(&schema_service, s, given, &w, NULL);
}
