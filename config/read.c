/* Reading is one walk over the schema and the JSON side by side.  A mistake does not end it: the
 * value stays zero or empty, the walk goes on, and whoever looks at the records later takes an empty
 * value for "told already".  The first CONF_MISTAKES_MAX mistakes are kept and sorted by place at
 * the end, since checks across options come after the walk. */
#include "config/read.h"

#include <assert.h>
#include <pthread.h>
#include <stdarg.h>

#include "base/clock.h"
#include "base/nearest.h"
#include "config/load.h"

/* ---- places ---- */

struct spot spot_root(const struct json_node *root)
{
	return (struct spot){ .v = root, .at = json_place(root) };
}

/* At most `most` bytes of `part` at the end of a path of n bytes; its length then.  (Without printf(): there is a path
 * for every option of every service.) */
static size_t add_part(char *path, size_t n, const char *part, size_t most)
{
	size_t more = strnlen(part, most);

	memcpy(path + n, part, more);
	path[n + more] = '\0';
	return n + more;
}

enum { PATH_PART_MAX = 100, KEY_PART_MAX = 50 };
static_assert((int)PATH_PART_MAX + 1 + (int)KEY_PART_MAX < (int)SPOT_PATH_MAX, "there is room for both and a dot");

struct spot spot_member(const struct spot *object, const char *key)
{
	const struct json_node *v = NULL;
	struct spot s;
	size_t n;

	if (object->v && json_type(object->v) == JSON_OBJECT)
		v = json_get(object->v, key);
	s.at = v ? json_place(v) : object->at;
	s.v = v;
	n = add_part(s.path, 0, object->path, PATH_PART_MAX);
	if (n > 0)
		n = add_part(s.path, n, ".", 1);
	add_part(s.path, n, key, KEY_PART_MAX);
	return s;
}

struct spot spot_item(const struct spot *list, size_t i, const struct json_node *v)
{
	struct spot s = { .v = v, .at = v ? json_place(v) : list->at };

	snprintf(s.path, sizeof(s.path), "%.130s[%zu]", list->path, i);
	return s;
}

struct spot spot_nth(const struct spot *list, size_t i)
{
	const struct json_node *v = NULL;

	if (list->v && json_type(list->v) == JSON_ARRAY)
		v = json_first(list->v);
	for (size_t k = 0; v && k < i; k++)
		v = json_next(v);
	return spot_item(list, i, v);
}

/* ---- mistakes ---- */

struct told {
	struct json_place at;
	size_t order;
	char path[SPOT_PATH_MAX];
	char text[480];
};

struct mistakes {
	const char *file;
	size_t n; /* all of them */
	bool no_memory;
	struct told kept[CONF_MISTAKES_MAX];
};

struct mistakes *mistakes_new(const char *file)
{
	struct mistakes *m = calloc(1, sizeof(*m));

	if (m)
		m->file = file;
	return m;
}

void mistakes_free(struct mistakes *m) { free(m); }

size_t mistakes_count(const struct mistakes *m) { return m->n + m->no_memory; }

void mistake(struct mistakes *m, const struct spot *where, const char *fmt, ...)
{
	struct told *t;
	va_list ap;

	if (m->n++ >= CONF_MISTAKES_MAX)
		return;
	t = &m->kept[m->n - 1];
	t->at = where->at;
	t->order = m->n;
	str_copy(t->path, where->path);
	va_start(ap, fmt);
	vsnprintf(t->text, sizeof(t->text), fmt, ap);
	va_end(ap);
}

void mistake_out_of_memory(struct mistakes *m) { m->no_memory = true; }

bool mistakes_are_memory(const struct mistakes *m) { return m->no_memory; }

static int by_place(const void *a, const void *b)
{
	const struct told *x = a, *y = b;

	if (x->at.line != y->at.line)
		return x->at.line < y->at.line ? -1 : 1;
	if (x->at.column != y->at.column)
		return x->at.column < y->at.column ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

void mistakes_write(struct mistakes *m, struct buf *out)
{
	size_t kept = MIN(m->n, (size_t)CONF_MISTAKES_MAX);

	qsort(m->kept, kept, sizeof(m->kept[0]), by_place);
	for (size_t i = 0; i < kept; i++) {
		const struct told *t = &m->kept[i];

		if (m->file[0])
			buf_addf(out, "%s:%u:%u: ", m->file, t->at.line, t->at.column);
		buf_addf(out, "%s%s%s\n", t->path, t->path[0] ? ": " : "", t->text);
	}
	if (m->n > kept)
		buf_addf(out, "%s%sand %zu more mistakes\n", m->file, m->file[0] ? ": " : "", m->n - kept);
	if (m->no_memory)
		buf_addf(out, "%s%sout of memory\n", m->file, m->file[0] ? ": " : "");
}

/* ---- what the file has instead ---- */

enum { GOT_MAX = 60 }; /* bytes shown of a wrong value */

/* Cut, quoted and escaped, so that no file can forge lines. */
static void add_got_string(const char *s, struct buf *out)
{
	struct json_writer w = { .out = out };
	char cut[GOT_MAX + 4];

	snprintf(cut, sizeof(cut), strlen(s) > GOT_MAX ? "%.*s..." : "%.*s", GOT_MAX, s);
	json_put_string(&w, NULL, cut);
}

static void add_got(const struct json_node *v, struct buf *out)
{
	switch (json_type(v)) {
	case JSON_STRING:
		add_got_string(json_string(v), out);
		break;
	case JSON_NUMBER:
		buf_addf(out, "%.*s", GOT_MAX, json_number_text(v));
		break;
	case JSON_BOOL:
		buf_adds(out, json_bool(v) ? "true" : "false");
		break;
	default:
		buf_adds(out, json_type_name(json_type(v)));
	}
}

/* What may have been meant. */
static void add_hint(const struct opt *o, const struct json_node *v, struct buf *out)
{
	bool needs_unit = o->type == OPT_DURATION || o->type == OPT_SIZE || o->type == OPT_SHARE;
	bool string = json_type(v) == JSON_STRING;
	struct nearest near = { .word = string ? json_string(v) : "" };

	if (needs_unit && (json_type(v) == JSON_NUMBER || (string && value_lacks_unit(json_string(v)))))
		buf_adds(out, o->flags & OPT_SECONDS ? "" : ": a unit is needed");
	for (size_t i = 0; o->names && o->names[i]; i++)
		nearest_try(&near, o->names[i]);
	if (near.name)
		buf_addf(out, ", did you mean \"%s\"?", near.name);
}

static void mistake_expected(struct mistakes *m, const struct opt *o, const struct spot *where)
{
	cleanup_buf struct buf text = { 0 };

	buf_adds(&text, "expected ");
	opt_expected(o, &text);
	if (!(o->flags & OPT_SECRET)) {
		buf_adds(&text, ", got ");
		add_got(where->v, &text);
		add_hint(o, where->v, &text);
	}
	if (text.error)
		mistake_out_of_memory(m);
	else
		mistake(m, where, "%s", text.text);
}

static void mistake_unknown(struct mistakes *m, const struct schema *s, const struct spot *object,
                            const struct json_node *v)
{
	cleanup_buf struct buf key = { 0 };
	const char *near = schema_nearest(s, json_key(v));
	struct spot where;

	/* A key that is no plain word is shown as JSON writes it. */
	if (json_key(v)[0] &&
	    strspn(json_key(v), "abcdefghijklmnopqrstuvwxyz_-ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") ==
	            strlen(json_key(v)))
		buf_addf(&key, "%.*s", GOT_MAX, json_key(v));
	else
		add_got_string(json_key(v), &key);
	if (key.error)
		return mistake_out_of_memory(m);
	where = spot_member(object, key.text);
	where.at = json_key_place(v);
	if (near)
		mistake(m, &where, "unknown option, did you mean \"%s\"?", near);
	else
		mistake(m, &where, "unknown option");
}

/* ---- one value of each type: 0, or any error ---- */

/* Of strings alone; NULL else. */
static const char *string_of(const struct json_node *v)
{
	return json_type(v) == JSON_STRING ? json_string(v) : NULL;
}

static int in_range(const struct opt *o, uint64_t v) { return v < o->min || v > o->max ? -ERANGE : 0; }

static int read_bool(const struct opt *o, const struct json_node *v, void *value)
{
	(void)o;
	if (json_type(v) != JSON_BOOL)
		return -EINVAL;
	*(bool *)value = json_bool(v);
	return 0;
}

static int read_number(const struct opt *o, const struct json_node *v, uint64_t *out)
{
	int64_t n;

	if (json_type(v) != JSON_NUMBER || json_integer(v, &n) < 0 || n < 0 || in_range(o, (uint64_t)n) < 0)
		return -EINVAL;
	*out = (uint64_t)n;
	return 0;
}

static int read_int(const struct opt *o, const struct json_node *v, void *value)
{
	uint64_t n;

	if (read_number(o, v, &n) < 0)
		return -EINVAL;
	*(uint32_t *)value = (uint32_t)n;
	return 0;
}

static int read_port(const struct opt *o, const struct json_node *v, void *value)
{
	uint64_t n;

	if (read_number(o, v, &n) < 0)
		return -EINVAL;
	*(uint16_t *)value = (uint16_t)n;
	return 0;
}

/* A bare number: seconds where the option says so, else only 0. */
static int read_bare_duration(const struct opt *o, const struct json_node *v, uint64_t *ms)
{
	int64_t n;

	if (json_integer(v, &n) < 0 || n < 0 || n > (int64_t)(o->max / MS_PER_S))
		return -EINVAL;
	if (n != 0 && !(o->flags & OPT_SECONDS))
		return -EINVAL;
	*ms = (uint64_t)n * MS_PER_S;
	return 0;
}

static int read_duration(const struct opt *o, const struct json_node *v, void *value)
{
	const char *s = string_of(v);
	uint64_t ms;
	int r;

	if (s && (o->flags & OPT_NEVER) && strcmp(s, "never") == 0) {
		*(uint64_t *)value = DURATION_NEVER;
		return 0;
	}
	if (s && (o->flags & OPT_AUTO) && strcmp(s, "auto") == 0) {
		*(uint64_t *)value = DURATION_AUTO;
		return 0;
	}
	if (json_type(v) == JSON_NUMBER)
		r = read_bare_duration(o, v, &ms);
	else
		r = s ? duration_parse(s, &ms) : -EINVAL;
	if (r < 0 || in_range(o, ms) < 0 || ((o->flags & OPT_SECONDS) && ms % MS_PER_S != 0))
		return -EINVAL;
	*(uint64_t *)value = ms;
	return 0;
}

static int read_size(const struct opt *o, const struct json_node *v, void *value)
{
	const char *s = string_of(v);
	uint64_t bytes;

	if (!s || size_parse(s, &bytes) < 0 || in_range(o, bytes) < 0)
		return -EINVAL;
	*(uint64_t *)value = bytes;
	return 0;
}

/* Types with a second variable get the record too. */
static int read_share(const struct opt *o, const struct json_node *v, void *record)
{
	uint32_t *percent = (void *)((char *)record + o->also);
	const char *s = string_of(v);
	uint32_t p;

	if (!s || percent_parse(s, &p) < 0)
		return read_size(o, v, (char *)record + o->offset);
	if (p == 0)
		return -ERANGE;
	*percent = p;
	return 0;
}

static int read_rate(const struct opt *o, const struct json_node *v, void *record)
{
	const char *s = string_of(v);
	uint64_t period;
	uint32_t n;

	if (!s || rate_parse(s, &n, &period) < 0 || in_range(o, n) < 0)
		return -EINVAL;
	*(uint32_t *)(void *)((char *)record + o->offset) = n;
	*(uint64_t *)(void *)((char *)record + o->also) = period;
	return 0;
}

static int read_enum(const struct opt *o, const struct json_node *v, void *value)
{
	const char *s = string_of(v);

	for (unsigned i = 0; s && o->names[i]; i++) {
		if (strcmp(o->names[i], s) == 0) {
			memcpy(value, &i, sizeof(i));
			return 0;
		}
	}
	return -EINVAL;
}

static int read_ip(const struct opt *o, const struct json_node *v, void *value)
{
	const char *s = string_of(v);
	struct ip_addr a;

	if (!s || ip_parse(s, &a) < 0 || ip_is_v4(&a) != (o->type == OPT_IP4) || ip_is_zero(&a))
		return -EINVAL;
	*(struct ip_addr *)value = a;
	return 0;
}

static int read_prefix(const struct opt *o, const struct json_node *v, void *value)
{
	const char *s = string_of(v);
	struct ip_prefix p;

	(void)o;
	if (!s || prefix_parse(s, &p) < 0)
		return -EINVAL;
	*(struct ip_prefix *)value = p;
	return 0;
}

static int read_host(const struct opt *o, const struct json_node *v, void *value)
{
	const char *s = string_of(v);

	(void)o;
	return s ? service_ip_parse(s, value) : -EINVAL;
}

static int read_range(const struct opt *o, const struct json_node *v, void *value)
{
	const char *s = string_of(v);

	(void)o;
	return s ? range_parse(s, value) : -EINVAL;
}

static int read_endpoint(const struct opt *o, const struct json_node *v, void *value)
{
	const char *s = string_of(v);
	struct endpoint e;

	(void)o;
	if (!s || endpoint_parse(s, &e.addr, &e.port) < 0)
		return -EINVAL;
	*(struct endpoint *)value = e;
	return 0;
}

static int read_mac(const struct opt *o, const struct json_node *v, void *value)
{
	const char *s = string_of(v);
	struct mac_addr mac;

	(void)o;
	if (!s || mac_parse(s, &mac) < 0 || mac_is_zero(&mac) || (mac.b[0] & 1))
		return -EINVAL;
	*(struct mac_addr *)value = mac;
	return 0;
}

static int read_ready(const struct opt *o, const struct json_node *v, void *value)
{
	const char *s = string_of(v);

	(void)o;
	return s ? ready_parse(s, value) : -EINVAL;
}

typedef int read_fn(const struct opt *o, const struct json_node *v, void *value);

static read_fn *const readers[OPT_TYPE_N] = {
	[OPT_BOOL] = read_bool,
	[OPT_INT] = read_int,
	[OPT_PORT] = read_port,
	[OPT_DURATION] = read_duration,
	[OPT_SIZE] = read_size,
	[OPT_ENUM] = read_enum,
	[OPT_IP4] = read_ip,
	[OPT_IP6] = read_ip,
	[OPT_HOST] = read_host,
	[OPT_RANGE] = read_range,
	[OPT_PREFIX] = read_prefix,
	[OPT_ENDPOINT] = read_endpoint,
	[OPT_MAC] = read_mac,
	[OPT_READY] = read_ready,
};

/* These fill two variables of the record. */
static read_fn *const pair_readers[OPT_TYPE_N] = {
	[OPT_SHARE] = read_share,
	[OPT_RATE] = read_rate,
};

/* ---- strings ---- */

char *read_copy(struct mistakes *m, const char *text)
{
	char *s = strdup(text);

	if (!s)
		mistake_out_of_memory(m);
	return s;
}

static bool is_string(const struct opt *o) { return o->type == OPT_TEXT || o->type == OPT_WORD; }

static void read_string(struct mistakes *m, const struct opt *o, const struct spot *where, char **value)
{
	const char *s = string_of(where->v);
	unsigned ignored;
	bool ok;

	if (o->type == OPT_WORD)
		ok = read_enum(o, where->v, &ignored) == 0;
	else
		ok = s && text_ok(o->text, s);
	if (!ok)
		mistake_expected(m, o, where);
	free(*value);
	*value = read_copy(m, ok ? s : "");
}

/* ---- options ---- */

static void read_value(struct mistakes *m, const struct opt *o, const struct spot *where, void *value)
{
	if (o->of) {
		read_object(m, o->of, where, value);
		return;
	}
	if (is_string(o)) {
		read_string(m, o, where, value);
		return;
	}
	assert(readers[o->type]);
	if (readers[o->type](o, where->v, value) < 0)
		mistake_expected(m, o, where);
}

static size_t count_items(const struct json_node *array)
{
	size_t n = 0;

	for (const struct json_node *v = json_first(array); v; v = json_next(v))
		n++;
	return n;
}

static void read_list(struct mistakes *m, const struct opt *o, const struct spot *where, void *record)
{
	size_t size = opt_element_size(o), n, i = 0;
	const struct json_node *v;
	struct any_list list;

	if (json_type(where->v) != JSON_ARRAY) {
		cleanup_buf struct buf got = { 0 };

		add_got(where->v, &got);
		mistake(m, where, "expected an array, got %s", got.text ? got.text : "");
		return;
	}
	n = count_items(where->v);
	if (n < o->least || n > opt_most(o))
		mistake(m, where, "expected %u to %u entries, got %zu", o->least, opt_most(o), n);
	list.n = MIN(n, opt_most(o));
	list.v = calloc(MAX(list.n, 1), size);
	if (!list.v)
		return mistake_out_of_memory(m);
	list_set(record, o, list);
	for (v = json_first(where->v); v && i < list.n; v = json_next(v), i++) {
		struct spot item = spot_item(where, i, v);

		read_value(m, o, &item, (char *)list.v + i * size);
	}
}

static void read_option(struct mistakes *m, const struct opt *o, const struct spot *where, void *record)
{
	if (o->flags & OPT_LIST)
		read_list(m, o, where, record);
	else if (!pair_readers[o->type])
		read_value(m, o, where, (char *)record + o->offset);
	else if (pair_readers[o->type](o, where->v, record) < 0)
		mistake_expected(m, o, where);
}

void read_option_text(struct mistakes *m, const struct opt *o, const struct spot *where, const char *json,
                      void *record)
{
	struct spot from = *where;
	struct json_place at;
	struct err e = { 0 };
	struct json *doc = json_parse(json, strlen(json), &at, &e);

	if (!doc) {
		assert(e.code == -ENOMEM); /* else a default in the schema is no JSON */
		return mistake_out_of_memory(m);
	}
	from.v = json_root(doc);
	read_option(m, o, &from, record);
	json_free(doc);
}

/* What the schema's defaults say: the same for every service, so each text is parsed once, and kept. */
enum { DEFAULTS_MAX = 512 };
static struct {
	pthread_mutex_t lock;
	struct {
		const char *text; /* of the schema */
		struct json *doc;
	} v[DEFAULTS_MAX];
} defaults = { .lock = PTHREAD_MUTEX_INITIALIZER };

static const struct json_node *default_value(const char *text)
{
	size_t at = ((uintptr_t)text >> 3) % DEFAULTS_MAX, tries = 0;
	struct json_place place;
	struct json *doc;
	struct err e = { 0 };

	pthread_mutex_lock(&defaults.lock);
	while (defaults.v[at].text && defaults.v[at].text != text && tries++ < DEFAULTS_MAX)
		at = (at + 1) % DEFAULTS_MAX;
	assert(tries < DEFAULTS_MAX); /* else there are more options than places */
	doc = defaults.v[at].text ? defaults.v[at].doc : json_parse(text, strlen(text), &place, &e);
	assert(doc || e.code == -ENOMEM); /* else a default in the schema is no JSON */
	defaults.v[at].text = doc ? text : NULL;
	defaults.v[at].doc = doc;
	pthread_mutex_unlock(&defaults.lock);
	return doc ? json_root(doc) : NULL;
}

void conf_forget_defaults(void)
{
	pthread_mutex_lock(&defaults.lock);
	for (size_t i = 0; i < DEFAULTS_MAX; i++)
		json_free(defaults.v[i].doc);
	memset(defaults.v, 0, sizeof(defaults.v));
	pthread_mutex_unlock(&defaults.lock);
}

static void read_missing(struct mistakes *m, const struct opt *o, const struct spot *where, void *record)
{
	struct spot from = *where;

	if (o->flags & OPT_REQUIRED) {
		mistake(m, where, "missing, and it has no default");
		return;
	}
	if (!o->fallback)
		return;
	from.v = default_value(o->fallback);
	if (from.v)
		read_option(m, o, &from, record);
	else
		mistake_out_of_memory(m);
}

/* No char * stays NULL, whether or not the file has the object that it is in. */
static void set_empty_strings(struct mistakes *m, const struct schema *s, void *record)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct opt *o = &s->opts[i];
		char **text = (void *)((char *)record + o->offset);

		if (o->flags & OPT_LIST)
			continue;
		if (is_string(o) && !*text)
			*text = read_copy(m, "");
		else if (o->of)
			set_empty_strings(m, o->of, (char *)record + o->offset);
	}
}

void read_object(struct mistakes *m, const struct schema *s, const struct spot *where, void *record)
{
	const struct json_node *v;

	if (json_type(where->v) != JSON_OBJECT) {
		cleanup_buf struct buf got = { 0 };

		add_got(where->v, &got);
		mistake(m, where, "expected an object, got %s", got.text ? got.text : "");
		set_empty_strings(m, s, record);
		return;
	}
	set_empty_strings(m, s, record);
	for (v = json_first(where->v); v; v = json_next(v)) {
		if (!schema_find(s, json_key(v)))
			mistake_unknown(m, s, where, v);
	}
	for (size_t i = 0; i < s->n; i++) {
		struct spot option = spot_member(where, s->opts[i].key);

		if (option.v)
			read_option(m, &s->opts[i], &option, record);
		else
			read_missing(m, &s->opts[i], &option, record);
	}
}
