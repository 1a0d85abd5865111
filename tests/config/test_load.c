/* Loading: every row of the schema and every check across options refuses its bad input, with the
 * place and the path; what is taken has its defaults; what is printed loads to the same.
 *
 * Bad files are made from a good one (base_text) by overrides: "in the object at this path, this
 * option has this JSON".  An '@' in that JSON is taken out, and marks where the mistake is expected;
 * without one it is at the beginning. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/utsname.h>

#include "base/json.h"
#include "base/log.h"
#include "base/slots.h"
#include "config/load.h"
#include "config/schema.h"

static const char base_text[] =
        "{\"listen\": [\"127.0.0.1:5353\"],"
        " \"zones\": [{\"name\": \"jitsu.example\", \"ns\": [\"ns1.jitsu.example\"],"
        "             \"secondaries\": [{\"address\": \"192.0.2.1\"}]}],"
        " \"tsig_keys\": [{\"name\": \"k.example\", \"secret_file\": \"/etc/jitsu/k\"}],"
        " \"hypervisors\": [{\"name\": \"local\", \"uri\": \"test:///default\"},"
        "                   {\"name\": \"other\", \"uri\": \"qemu:///system\"}],"
        " \"bridges\": [{\"name\": \"br0\", \"probe_ip\": \"192.168.1.250\"}],"
        " \"image_dirs\": [\"/images\"],"
        " \"dns\": {}, \"limits\": {}, \"users\": {}, \"metrics\": {},"
        " \"hooks\": [{\"on\": [\"up\"], \"exec\": \"/hook\"}],"
        " \"services\": ["
        "  {\"name\": \"www\", \"dns\": [\"www.jitsu.example\"], \"ip\": [\"192.168.1.20/24\", "
        "\"fd00::20/64\"],"
        "   \"ports\": [80], \"machine\": {\"kernel\": \"/images/www\", \"disks\": [{\"path\": "
        "\"/images/www.raw\"}],"
        "                                \"nics\": [{\"bridge\": \"br0\", \"mac\": \"52:54:00:00:00:01\"}]}},"
        "  {\"name\": \"db\", \"dns\": [\"db.jitsu.example\"], \"ip\": [\"192.168.1.21/24\"],"
        "   \"machine\": {\"hypervisor\": \"other\", \"domain\": \"postgres\"}}]}";

#define WWW "services[0]"
#define MACHINE "services[0].machine"
#define DB "services[1]"

struct override {
	const char *object; /* "services[0].machine", "" for the whole */
	const char *key;
	const char *json; /* NULL: leave the option out */
};

enum { OVERRIDES_MAX = 4, PATH_MAX_BYTES = 128 };

struct maker {
	struct json_writer w;
	const struct override *overrides; /* the first one's place is looked for */
	size_t n;
	size_t at, key_at; /* offsets of the first override's '@' (or value) and key */
};

static void make_value(struct maker *m, const char *key, const struct json_node *v, const char *path);

static const struct override *overridden(const struct maker *m, const char *path, const char *key)
{
	for (size_t i = 0; i < m->n; i++) {
		if (strcmp(m->overrides[i].object, path) == 0 && strcmp(m->overrides[i].key, key) == 0)
			return &m->overrides[i];
	}
	return NULL;
}

static void make_override(struct maker *m, const struct override *o)
{
	cleanup_buf struct buf json = { 0 };
	const char *mark = strchr(o->json, '@');

	buf_add(&json, o->json, mark ? (size_t)(mark - o->json) : strlen(o->json));
	buf_adds(&json, mark ? mark + 1 : "");
	json_put_raw(&m->w, o->key, json.text ? json.text : "");
	if (o != m->overrides)
		return;
	m->at = m->w.out->n - json.n + (mark ? (size_t)(mark - o->json) : 0);
	m->key_at = m->w.out->n - json.n - strlen(o->key) - 4; /* "key":_ */
}

static void make_object(struct maker *m, const char *key, const struct json_node *v, const char *path)
{
	const struct json_node *child;
	char below[PATH_MAX_BYTES];

	json_open(&m->w, key, '{');
	for (child = json_first(v); child; child = json_next(child)) {
		if (overridden(m, path, json_key(child)))
			continue;
		snprintf(below, sizeof(below), "%.80s%s%.40s", path, path[0] ? "." : "", json_key(child));
		make_value(m, json_key(child), child, below);
	}
	for (size_t i = 0; i < m->n; i++) {
		if (strcmp(m->overrides[i].object, path) == 0 && m->overrides[i].json)
			make_override(m, &m->overrides[i]);
	}
	json_close(&m->w, '}');
}

static void make_value(struct maker *m, const char *key, const struct json_node *v, const char *path)
{
	const struct json_node *child;
	char below[PATH_MAX_BYTES];
	size_t i = 0;

	if (json_type(v) == JSON_OBJECT) {
		make_object(m, key, v, path);
	} else if (json_type(v) == JSON_ARRAY) {
		json_open(&m->w, key, '[');
		for (child = json_first(v); child; child = json_next(child)) {
			snprintf(below, sizeof(below), "%.100s[%zu]", path, i++);
			make_value(m, NULL, child, below);
		}
		json_close(&m->w, ']');
	} else if (json_type(v) == JSON_STRING) {
		json_put_string(&m->w, key, json_string(v));
	} else {
		json_put_raw(&m->w, key, json_number_text(v));
	}
}

/* The file, and where the first override's mistake is to be. */
static void make_file(const struct override *overrides, size_t n, struct buf *out, struct json_place *at,
                      struct json_place *key_at)
{
	struct maker m = { .w = { .out = out, .indent = 2 }, .overrides = overrides, .n = n };
	struct json_place here = { 1, 1 }, none;
	struct err e = { 0 };
	struct json *doc = json_parse(base_text, strlen(base_text), &none, &e);

	assert_non_null(doc);
	make_value(&m, NULL, json_root(doc), "");
	json_free(doc);
	assert_int_equal(out->error, 0);
	for (size_t i = 0; i <= m.at; i++) {
		if (i == m.key_at)
			*key_at = here;
		if (i == m.at)
			*at = here;
		here.column++;
		if (out->text[i] == '\n')
			here = (struct json_place){ here.line + 1, 1 };
	}
}

static size_t count_overrides(const struct override *o)
{
	size_t n = 0;

	while (n < OVERRIDES_MAX && o[n].key)
		n++;
	return n;
}

/* A line of `mistakes` must begin with the place and the path, and have `says` in it. */
static bool has_mistake(const char *mistakes, struct json_place at, const char *path, const char *says)
{
	char head[256];
	const char *line, *end, *found;

	snprintf(head, sizeof(head), "t.json:%u:%u: %s: ", at.line, at.column, path);
	for (line = mistakes; *line; line = end + 1) {
		end = strchr(line, '\n');
		found = strstr(line, says);
		if (strncmp(line, head, strlen(head)) == 0 && found && found < end)
			return true;
	}
	return false;
}

static void assert_refused_at(const struct override *o, bool at_key, const char *path, const char *says)
{
	cleanup_buf struct buf file = { 0 }, mistakes = { 0 };
	struct json_place at, key_at;
	struct conf *c;

	make_file(o, count_overrides(o), &file, &at, &key_at);
	c = conf_parse("t.json", file.text, file.n, &mistakes);
	if (c)
		fail_msg("%s.%s: %s was taken", o->object, o->key, o->json ? o->json : "(left out)");
	if (at_key)
		at = key_at;
	if (!has_mistake(mistakes.text, at, path, says))
		fail_msg("expected t.json:%u:%u: %s: ...%s..., got\n%s%s", at.line, at.column, path, says,
		         mistakes.text, file.text);
}

static void assert_refused(const struct override *o, const char *path, const char *says)
{
	assert_refused_at(o, false, path, says);
}

/* For those that are told at another place than the override's: `line` is in the mistakes. */
static void assert_says(const struct override *o, const char *line)
{
	cleanup_buf struct buf file = { 0 }, mistakes = { 0 };
	struct json_place at, key_at;

	make_file(o, count_overrides(o), &file, &at, &key_at);
	conf_free(conf_parse("t.json", file.text, file.n, &mistakes));
	if (mistakes.n == 0 || !strstr(mistakes.text, line))
		fail_msg("expected %s, got %s", line, mistakes.n ? mistakes.text : "nothing");
}

/* NULL with the mistakes printed when it is refused. */
static struct conf *load_with(const struct override *o)
{
	cleanup_buf struct buf file = { 0 }, mistakes = { 0 };
	struct json_place at, key_at;
	struct conf *c;

	make_file(o, count_overrides(o), &file, &at, &key_at);
	c = conf_parse("t.json", file.text, file.n, &mistakes);
	if (!c)
		fail_msg("%s", mistakes.text);
	return c;
}

/* ---- the walk over the schema ---- */

/* "services[].machine" -> "services[0].machine" */
static void first_path(const struct schema *s, char *out)
{
	for (const char *p = s->path; *p; p++) {
		*out++ = *p;
		if (*p == '[')
			*out++ = '0';
	}
	*out = '\0';
}

/* What no value of a type is: one by one, up to NULL. */
static const char *const bad_values[OPT_TYPE_N][20] = {
	[OPT_BOOL] = { "0", "\"true\"", "\"\"" },
	[OPT_INT] = { "true", "\"1\"", "1.5", "1e1", "-1", "99999999999999999999" },
	[OPT_PORT] = { "true", "\"80\"", "80.5", "0", "-1", "65536" },
	[OPT_DURATION] = { "true", "\"\"", "\"abc\"", "\"1h30m\"", "\"1.5s\"", "\"-1s\"", "-1", "0.5",
	                   "\"60 s\"", "\"99999999999999999999s\"", "\"60\"" },
	[OPT_SIZE] = { "true", "1048576", "\"\"", "\"64\"", "\"64MB\"", "\"many\"", "\"-1MiB\"", "\"80%\"" },
	[OPT_SHARE] = { "true", "80", "\"\"", "\"80\"", "\"0%\"", "\"101%\"", "\"1GB\"", "\"8.5%\"" },
	[OPT_RATE] = { "true", "30", "\"\"", "\"30\"", "\"30/day\"", "\"/min\"", "\"99999999999/s\"" },
	[OPT_ENUM] = { "true", "0", "\"\"", "\"zz\"", "\"OFF\"" },
	[OPT_WORD] = { "true", "0", "\"\"", "\"zz\"", "\"INFO\"" },
	[OPT_TEXT] = { "true", "0", "\"a\\u0001b\"" },
	[OPT_IP4] = { "true", "0", "\"\"", "\"10.0.0\"", "\"fd00::1\"", "\"0.0.0.0/0\"", "\"10.0.0.1/8\"",
	              "\"host\"" },
	[OPT_IP6] = { "true", "0", "\"\"", "\"10.0.0.1\"", "\"::\"", "\"fd00::g\"" },
	[OPT_HOST] = { "true", "0", "\"\"", "\"10.0.0.1\"", "\"10.0.0.1/33\"", "\"10.0.0.1/\"",
	               "\"10.0.0.1/x\"", "\"fd00::1/129\"", "\"host/24\"" },
	[OPT_RANGE] = { "true", "0", "\"\"", "\"10.0.0.1\"", "\"10.0.0.1/24\"", "\"10.0.0.9-10.0.0.1/24\"",
	                "\"10.0.0.1-10.0.1.1/24\"", "\"10.0.0.1-10.0.0.9\"", "\"auto\"" },
	[OPT_PREFIX] = { "true", "0", "\"\"", "\"10.0.0.0/33\"", "\"10.0.0/24\"", "\"all\"" },
	[OPT_ENDPOINT] = { "true", "53", "\"\"", "\"10.0.0.1\"", "\"10.0.0.1:0\"", "\"10.0.0.1:65536\"",
	                   "\":53\"", "\"fd00::1:53\"", "\"[10.0.0.1]:53\"", "\"host:53\"" },
	[OPT_MAC] = { "true", "0", "\"\"", "\"52:54:00:12:34\"", "\"52-54-00-12-34-56\"",
	              "\"53:54:00:12:34:56\"", "\"00:00:00:00:00:00\"", "\"52:54:00:12:34:5g\"" },
	[OPT_READY] = { "true", "0", "\"\"", "\"udp\"", "\"tcp:0\"", "\"tcp:65536\"", "\"delay:x\"", "\"xenstore:../x\"",
	                "\"delay:2h\"" },
	[OPT_OBJECT] = { "true", "0", "\"\"", "[]" },
};

typedef void row_fn(const struct schema *s, const struct opt *o, const char *object);

static void for_each_row(const struct schema *s, row_fn *check)
{
	char object[PATH_MAX_BYTES];

	first_path(s, object);
	for (size_t i = 0; i < s->n; i++) {
		check(s, &s->opts[i], object);
		if (s->opts[i].of)
			for_each_row(s->opts[i].of, check);
	}
}

static void path_of(const char *object, const char *key, const char *tail, char *out)
{
	snprintf(out, PATH_MAX_BYTES, "%.80s%s%.40s%s", object, object[0] ? "." : "", key, tail);
}

static void assert_row_refuses(const struct opt *o, const char *object, const char *json)
{
	char path[PATH_MAX_BYTES], list[256];
	struct override one[OVERRIDES_MAX] = { { object, o->key, json } };

	if (!(o->flags & OPT_LIST)) {
		path_of(object, o->key, "", path);
		return assert_refused(one, path, "expected ");
	}
	one[0].json = list;
	snprintf(list, sizeof(list), "[@%s]", json);
	path_of(object, o->key, "[0]", path);
	assert_refused(one, path, "expected ");
	snprintf(list, sizeof(list), "[%s, @%s]", json, json);
	path_of(object, o->key, "[1]", path);
	assert_refused(one, path, "expected ");
}

static void check_bad_values(const struct schema *s, const struct opt *o, const char *object)
{
	(void)s;
	assert_non_null(bad_values[o->type][0]); /* a new type needs its bad values here */
	assert_row_refuses(o, object, "null");
	if (!o->of)
		assert_row_refuses(o, object, "{\"a\": 1}");
	if (!o->of)
		assert_row_refuses(o, object, "[1]");
	for (size_t i = 0; bad_values[o->type][i]; i++)
		assert_row_refuses(o, object, bad_values[o->type][i]);
	if (o->type == OPT_DURATION && !(o->flags & OPT_NEVER))
		assert_row_refuses(o, object, "\"never\"");
	if (o->type == OPT_DURATION && !(o->flags & OPT_AUTO))
		assert_row_refuses(o, object, "\"auto\"");
	if (o->type == OPT_DURATION)
		assert_row_refuses(o, object, o->flags & OPT_SECONDS ? "\"1500ms\"" : "60");
	if (o->type == OPT_TEXT && o->text != &text_cmdline)
		assert_row_refuses(o, object, "\"\"");
}

static void test_every_row_refuses_bad_values(void **state)
{
	(void)state;
	for_each_row(&schema_conf, check_bad_values);
}

/* A number as the row's JSON. */
static void number_json(const struct opt *o, uint64_t v, char *out, size_t size)
{
	switch (o->type) {
	case OPT_INT:
	case OPT_PORT:
		snprintf(out, size, "%llu", (unsigned long long)v);
		break;
	case OPT_DURATION:
		snprintf(out, size, "\"%llums\"", (unsigned long long)v);
		break;
	case OPT_RATE:
		snprintf(out, size, "\"%llu/min\"", (unsigned long long)v);
		break;
	default:
		snprintf(out, size, "\"%lluB\"", (unsigned long long)v);
	}
}

/* Taken by itself: other checks may still mind it. */
static void assert_row_takes(const struct opt *o, const char *object, const char *json)
{
	cleanup_buf struct buf file = { 0 }, mistakes = { 0 };
	struct override one = { object, o->key, json };
	char path[PATH_MAX_BYTES], list[128];
	struct json_place at, key_at;

	if (o->flags & OPT_LIST) {
		snprintf(list, sizeof(list), "[@%s]", json);
		one.json = list;
	}
	make_file(&one, 1, &file, &at, &key_at);
	conf_free(conf_parse("t.json", file.text, file.n, &mistakes));
	path_of(object, o->key, o->flags & OPT_LIST ? "[0]" : "", path);
	if (mistakes.n > 0 && has_mistake(mistakes.text, at, path, "expected "))
		fail_msg("%s: %s was refused: %s", path, json, mistakes.text);
}

static void check_bounds(const struct schema *s, const struct opt *o, const char *object)
{
	bool has_range = o->type == OPT_INT || o->type == OPT_PORT || o->type == OPT_DURATION ||
	                 o->type == OPT_SIZE || o->type == OPT_SHARE || o->type == OPT_RATE;
	uint64_t step = o->flags & OPT_SECONDS ? 1000 : 1;
	char json[64];

	(void)s;
	if (!has_range)
		return;
	assert_true(o->min < o->max);
	number_json(o, o->min, json, sizeof(json));
	assert_row_takes(o, object, json);
	number_json(o, o->max, json, sizeof(json));
	assert_row_takes(o, object, json);
	number_json(o, o->max + step, json, sizeof(json));
	assert_row_refuses(o, object, json);
	if (o->min == 0)
		return;
	number_json(o, o->min - step, json, sizeof(json));
	assert_row_refuses(o, object, json);
}

static void test_every_range_is_kept_exactly(void **state)
{
	(void)state;
	for_each_row(&schema_conf, check_bounds);
}

static void check_words(const struct schema *s, const struct opt *o, const char *object)
{
	char path[PATH_MAX_BYTES], json[64], says[64];
	struct override one[OVERRIDES_MAX] = { { object, o->key, json } };

	bool list = o->flags & OPT_LIST;

	(void)s;
	for (size_t i = 0; o->names && o->names[i]; i++) {
		snprintf(json, sizeof(json), "\"%s\"", o->names[i]);
		assert_row_takes(o, object, json);
		snprintf(json, sizeof(json), list ? "[@\"%sx\"]" : "\"%sx\"", o->names[i]);
		snprintf(says, sizeof(says), "did you mean \"%s\"?", o->names[i]);
		path_of(object, o->key, list ? "[0]" : "", path);
		assert_refused(one, path, says);
	}
}

static void test_every_word_is_taken_and_suggested(void **state)
{
	(void)state;
	for_each_row(&schema_conf, check_words);
}

static void check_list(const struct schema *s, const struct opt *o, const char *object)
{
	static const char *const no_lists[] = { "null", "true", "7", "\"x\"", "{}" };
	struct override one[OVERRIDES_MAX] = { { object, o->key, NULL } };
	cleanup_buf struct buf many = { 0 };
	char path[PATH_MAX_BYTES], says[64];

	(void)s;
	if (!(o->flags & OPT_LIST))
		return;
	path_of(object, o->key, "", path);
	for (size_t i = 0; i < ARRAY_SIZE(no_lists); i++) {
		one[0].json = no_lists[i];
		assert_refused(one, path, "expected an array, got ");
	}
	one[0].json = "[]";
	if (o->least > 0)
		assert_refused(one, path, "entries, got 0");
	buf_adds(&many, "[0");
	for (unsigned i = 0; i < opt_most(o); i++)
		buf_adds(&many, ",0");
	buf_adds(&many, "]");
	one[0].json = many.text;
	snprintf(says, sizeof(says), "expected %u to %u entries, got %u", o->least, opt_most(o),
	         opt_most(o) + 1);
	assert_refused(one, path, says);
}

static void test_every_list_keeps_its_bounds(void **state)
{
	(void)state;
	for_each_row(&schema_conf, check_list);
}

static void check_unknown(const struct schema *s, const struct opt *o, const char *object)
{
	char path[PATH_MAX_BYTES], says[80], key[64];
	struct override one[OVERRIDES_MAX] = { { object, key, "0" } };

	snprintf(key, sizeof(key), "%sx", o->key);
	snprintf(says, sizeof(says), "unknown option, did you mean \"%s\"?", schema_nearest(s, key));
	path_of(object, key, "", path);
	assert_refused_at(one, true, path, says);
}

static void test_every_mistyped_key_is_suggested(void **state)
{
	(void)state;
	for_each_row(&schema_conf, check_unknown);
	assert_string_equal(schema_nearest(&schema_service, "ttll"), "ttl");
	assert_string_equal(schema_nearest(&schema_service, "idle-timeout"), "idle_timeout");
	assert_string_equal(schema_nearest(&schema_service, "Ports"), "ports");
	assert_null(schema_nearest(&schema_service, "colour"));
}

static void check_missing(const struct schema *s, const struct opt *o, const char *object)
{
	cleanup_buf struct buf file = { 0 }, mistakes = { 0 };
	struct override one = { object, o->key, NULL };
	struct json_place at, key_at;
	char says[PATH_MAX_BYTES + 64], path[PATH_MAX_BYTES];

	(void)s;
	make_file(&one, 1, &file, &at, &key_at);
	conf_free(conf_parse("t.json", file.text, file.n, &mistakes));
	path_of(object, o->key, "", path);
	snprintf(says, sizeof(says), " %s: missing, and it has no default\n", path);
	if (o->flags & OPT_REQUIRED)
		assert_true(mistakes.n > 0 && strstr(mistakes.text, says));
	else
		assert_true(mistakes.n == 0 || !strstr(mistakes.text, says));
}

static void test_every_required_row_is_missed(void **state)
{
	(void)state;
	for_each_row(&schema_conf, check_missing);
}

/* Two mistakes at one place come in the order in which they were found. */
static void test_long_names_and_equal_places(void **state)
{
	char zone[300];
	const struct override bad_rule[OVERRIDES_MAX] = { { WWW, "ready", "[\"tcp\", @\"tcp\"]" },
		                                          { WWW, "ports", "[]" } };
	struct override long_zone[OVERRIDES_MAX] = { { "zones[0]", "name", zone } };

	(void)state;
	assert_refused(bad_rule, "services[0].ready[1]", "there are none\n");
	assert_refused(bad_rule, "services[0].ready[1]", "this is there twice\n");
	memset(zone, 'a', sizeof(zone));
	zone[0] = zone[249] = '"';
	zone[50] = zone[100] = zone[150] = zone[200] = '.';
	zone[250] = '\0';
	assert_says(
	        long_zone,
	        "zones[0].hostmaster: missing, and its default, hostmaster in the zone, would be too long");
}

static void test_missing_option_is_told_at_its_object(void **state)
{
	static const char text[] = "{\"zones\": [\n  {\"ns\": [\"a.b\"]}]}";
	cleanup_buf struct buf mistakes = { 0 };

	(void)state;
	assert_null(conf_parse("f", text, strlen(text), &mistakes));
	assert_string_equal(mistakes.text, "f:2:3: zones[0].name: missing, and it has no default\n");
}

/* ---- checks across options ---- */

static const struct {
	struct override o[OVERRIDES_MAX];
	const char *path, *says;
} cross[] = {
	/* names are unique */
	{ { { "", "listen", "[\"127.0.0.1:53\", \"[::1]:53\", @\"127.0.0.1:53\"]" } },
	  "listen[2]",
	  "used already by listen[0]" },
	{ { { "", "zones",
	      "[{\"name\": \"jitsu.example\", \"ns\": [\"a.b\"]}, {\"name\": @\"JITSU.example\", \"ns\": "
	      "[\"a.b\"]}]" } },
	  "zones[1].name",
	  "used already by zones[0].name" },
	{ { { "", "tsig_keys",
	      "[{\"name\": \"a.b\", \"secret_file\": \"/a\"}, {\"name\": @\"A.b\", \"secret_file\": \"/a\"}]" } },
	  "tsig_keys[1].name",
	  "used already by tsig_keys[0].name" },
	{ { { "tsig_keys[0]", "secret", "@\"AAECAwQFBgcICQoLDA0ODw==\"" } },
	  "tsig_keys[0].secret",
	  "does not go with secret_file" },
	{ { { "zones[0]", "secondaries",
	      "[{\"address\": \"fd00::1\"}, {\"address\": @\"fd00:0::1\", \"port\": 53}]" } },
	  "zones[0].secondaries[1].address",
	  "used already by zones[0].secondaries[0].address" },
	{ { { "zones[0].secondaries[0]", "key", "@\"k.exampel\"" } },
	  "zones[0].secondaries[0].key",
	  "there is no \"k.exampel\" in tsig_keys, did you mean \"k.example\"?" },
	{ { { "zones[0]", "transfer_key", "@\"other\"" }, { "zones[0]", "transfer_allow", "[\"10.0.0.0/8\"]" } },
	  "zones[0].transfer_key",
	  "there is no \"other\" in tsig_keys" },
	{ { { "zones[0]", "transfer_key", "@\"k.example\"" } },
	  "zones[0].transfer_key",
	  "has no meaning without transfer_allow" },
	{ { { "", "save_dir", "@\"saved\"" } }, "save_dir", "absolute path" },
	{ { { DB, "stop", "@\"save\"" }, { "hypervisors[1]", "uri", "\"libxl:///\"" } },
	  "services[1].stop",
	  "\"save\" is not for a domain that Xen could not make again" },
	{ { { "dns", "xdp", "@\"native\"" } }, "dns.xdp", "expected \"auto\", \"on\" or \"off\", got \"native\"" },
	{ { { "dns", "workers", "@60" },
	    { "", "listen", "[\"127.0.0.1:53\", \"127.0.0.2:53\", \"127.0.0.3:53\", \"127.0.0.4:53\", \"127.0.0.5:53\"]" } },
	  "dns.workers",
	  "60 for each of 5 addresses in listen are more than 256 in all" },
	{ { { "hypervisors[1]", "name", "\"local\"" } },
	  "hypervisors[1].name",
	  "used already by hypervisors[0].name" },
	{ { { "hypervisors[1]", "uri", "\"test:///default\"" } }, "hypervisors[1].uri", "used already" },
	{ { { "hypervisors[1]", "name", "\"dns\"" } }, "hypervisors[1].name", "\"dns\" is the name of a process" },
	{ { { "", "bridges", "[{\"name\": \"br0\"}, {\"name\": @\"br0\"}]" } },
	  "bridges[1].name",
	  "used already" },
	{ { { DB, "name", "\"www\"" } },
	  "services[1].name",
	  "\"www\" is used already by services[0].name, line" },
	{ { { DB, "dns", "[\"db.jitsu.example\", @\"WWW.jitsu.Example\"]" } },
	  "services[1].dns[1]",
	  "used already by services[0].dns[0]" },
	{ { { WWW, "dns", "[\"www.jitsu.example\", @\"www.jitsu.example\"]" } },
	  "services[0].dns[1]",
	  "used already by services[0].dns[0]" },
	{ { { DB, "ip", "[@\"192.168.1.20/16\"]" } },
	  "services[1].ip[0]",
	  "\"192.168.1.20\" is used already" },
	{ { { DB, "ip", "[@\"fd00:0::0020/64\"]" } },
	  "services[1].ip[0]",
	  "\"fd00::20\" is used already by services[0].ip[1]" },
	{ { { DB, "ip", "[@\"192.168.1.250/24\"]" } },
	  "services[1].ip[0]",
	  "used already by bridges[0].probe_ip" },
	{ { { MACHINE, "nics", "[{\"mac\": \"52:54:00:00:00:01\"}, {\"mac\": @\"52:54:00:00:00:01\"}]" } },
	  "services[0].machine.nics[1].mac",
	  "used already" },
	{ { { MACHINE, "disks",
	      "[{\"path\": \"/images/a\"}, {\"path\": @\"/images/a\", \"read_only\": true}]" } },
	  "services[0].machine.disks[1].path",
	  "used already" },
	/* references lead somewhere */
	{ { { MACHINE, "hypervisor", "\"locl\"" } },
	  "services[0].machine.hypervisor",
	  "there is no \"locl\" in hypervisors, did you mean \"local\"?" },
	{ { { MACHINE, "hypervisor", "\"mars\"" } },
	  "services[0].machine.hypervisor",
	  "there is no \"mars\" in hypervisors" },
	{ { { MACHINE, "nics", "[{\"bridge\": @\"br1\"}]" } },
	  "services[0].machine.nics[0].bridge",
	  "there is no \"br1\" in bridges, did you mean \"br0\"?" },
	{ { { "zones[0]", "file", "@\"/elsewhere/zone\"" } }, "zones[0].file", "is below none of zone_dirs" },
	{ { { "zones[0]", "file", "@\"/etc/jitsu/zonesx\"" } }, "zones[0].file", "is below none of zone_dirs" },
	{ { { WWW, "dns", "[@\"www.other.example\"]" } }, "services[0].dns[0]", "is in none of the zones" },
	{ { { WWW, "dns", "[@\"xjitsu.example\"]" } }, "services[0].dns[0]", "is in none of the zones" },
	{ { { WWW, "dns", "[@\"example\"]" } }, "services[0].dns[0]", "is in none of the zones" },
	/* addresses that no VM can have */
	{ { { WWW, "ip", "[@\"10.0.0.1/0\"]" } }, "services[0].ip[0]", "length of 0" },
	{ { { WWW, "ip", "[@\"0.0.0.1/8\"]" } }, "services[0].ip[0]", "no host's address" },
	{ { { WWW, "ip", "[@\"::/64\"]" } }, "services[0].ip[0]", "no host's address" },
	{ { { WWW, "ip", "[@\"127.0.0.5/8\"]" } }, "services[0].ip[0]", "loopback" },
	{ { { WWW, "ip", "[@\"::1/128\"]" } }, "services[0].ip[0]", "loopback" },
	{ { { WWW, "ip", "[@\"224.0.0.5/24\"]" } }, "services[0].ip[0]", "multicast" },
	{ { { WWW, "ip", "[@\"255.255.255.255/32\"]" } }, "services[0].ip[0]", "multicast" },
	{ { { WWW, "ip", "[@\"ff02::5/64\"]" } }, "services[0].ip[0]", "multicast" },
	{ { { WWW, "ip", "[@\"fe80::5/64\"]" } }, "services[0].ip[0]", "link-local" },
	{ { { WWW, "ip", "[@\"10.0.0.0/24\"]" } }, "services[0].ip[0]", "the network's own" },
	{ { { WWW, "ip", "[@\"fd00::/64\"]" } }, "services[0].ip[0]", "the network's own" },
	{ { { WWW, "ip", "[\"10.0.0.1/24\", @\"10.0.0.255/24\"]" } }, "services[0].ip[1]", "broadcast" },
	{ { { WWW, "gateway", "\"10.0.0.1\"" } }, "services[0].gateway", "is in no network of ip" },
	{ { { WWW, "gateway", "\"192.168.1.20\"" } }, "services[0].gateway", "the service's own address" },
	/* learned of the VM */
	{ { { WWW, "ip", "[@\"learned\", \"192.168.1.20/24\"]" } }, "services[0].ip[0]", "no other can be beside it" },
	{ { { WWW, "ip", "[\"learned\", @\"learned\"]" } }, "services[0].ip[1]", "no other can be beside it" },
	{ { { WWW, "ip", "[@\"Learned\"]" } }, "services[0].ip[0]", "or \"learned\"" },
	{ { { MACHINE, "cmdline", "@\"ip={ip}\"" }, { WWW, "ip", "[\"learned\"]" } },
	  "services[0].machine.cmdline",
	  "known when the guest runs" },
	{ { { WWW, "fallback_ip", "[@\"fd00::1\"]" }, { WWW, "ip", "[\"learned\"]" } },
	  "services[0].fallback_ip[0]",
	  "ip has no IPv6 address" },
	/* what is said instead */
	{ { { WWW, "fallback_ip", "[@\"192.168.1.20\"]" } }, "services[0].fallback_ip[0]", "the service's own address" },
	{ { { WWW, "fallback_ip", "[\"10.0.0.1\", @\"fd00::1\"]" }, { WWW, "ip", "[\"192.168.1.20/24\"]" } },
	  "services[0].fallback_ip[1]",
	  "ip has no IPv6 address" },
	{ { { WWW, "fallback_ip", "[@\"10.0.0.0/8\"]" } }, "services[0].fallback_ip[0]", "expected" },
	{ { { WWW, "ttl_down", "61" } }, "services[0].ttl_down", "is more than ttl" },
	{ { { WWW, "wake_dns", "\"all\"" } }, "services[0].wake_dns", "expected" },
	{ { { "limits", "wakes_unverified", "\"0/min\"" } }, "limits.wakes_unverified", "expected" },
	{ { { "limits", "wakes_per_service", "30" } }, "limits.wakes_per_service", "expected" },
	{ { { "limits", "mute_after", "1001" } }, "limits.mute_after", "expected" },
	/* ports and readiness */
	{ { { WWW, "ports", "[80, 443, @80]" } }, "services[0].ports[2]", "80 is there twice" },
	{ { { WWW, "ready", "[@\"tcp\"]" }, { WWW, "ports", "[]" } },
	  "services[0].ready[0]",
	  "there are none" },
	{ { { WWW, "ready", "[\"arp\", \"tcp:80\", @\"tcp:80\"]" } },
	  "services[0].ready[2]",
	  "this is there twice" },
	{ { { WWW, "ready", "[\"delay:1000\", @\"delay:1s\"]" } },
	  "services[0].ready[1]",
	  "this is there twice" },
	{ { { WWW, "ready", "[\"guest\", @\"guest\"]" } },
	  "services[0].ready[1]",
	  "this is there twice" },
	{ { { WWW, "ready", "[@\"xenstore:data/up\"]" } },
	  "services[0].ready[0]",
	  "hypervisor \"local\" has no XenStore" },
	{ { { WWW, "guest_lease", "\"never\"" } }, "services[0].guest_lease", "expected" },
	{ { { WWW, "ready", "[@\"delay:60s\"]" } },
	  "services[0].ready[0]",
	  "not shorter than start_timeout" },
	{ { { WWW, "ready", "[\"tcp\", \"tcp:1\"]" },
	    { WWW, "ports", "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]" } },
	  "services[0].ready",
	  "17 ports to ask: at most 16" },
	/* holding */
	{ { { WWW, "hold", "\"splice\"" } }, "services[0].hold", "choose \"park\" or \"off\"" },
	{ { { WWW, "wake_syn", "\"after-dns\"" }, { WWW, "hold", "\"off\"" } },
	  "services[0].wake_syn",
	  "no meaning with hold \"off\"" },
	{ { { WWW, "wake_allow", "[\"10.0.0.0/8\"]" }, { WWW, "hold", "\"off\"" } },
	  "services[0].wake_allow",
	  "no meaning with hold \"off\"" },
	{ { { WWW, "wake_deny", "[\"10.0.0.0/8\"]" }, { WWW, "hold", "\"off\"" } },
	  "services[0].wake_deny",
	  "no meaning with hold \"off\"" },
	{ { { WWW, "wake_ping", "\"answer\"" }, { WWW, "hold", "\"off\"" } },
	  "services[0].wake_ping",
	  "no meaning with hold \"off\"" },
	{ { { WWW, "hold_udp", "5" }, { WWW, "hold", "\"off\"" } },
	  "services[0].hold_udp",
	  "no meaning with hold \"off\"" },
	{ { { WWW, "on_conflict", "\"defend\"" }, { WWW, "hold", "\"off\"" } },
	  "services[0].on_conflict",
	  "no meaning with hold \"off\"" },
	{ { { WWW, "dns_grace", "\"31s\"" }, { WWW, "hold", "\"off\"" } },
	  "services[0].dns_grace",
	  "no meaning with hold \"off\"" },
	/* machines */
	{ { { MACHINE, "kernel", "\"/other/www\"" } },
	  "services[0].machine.kernel",
	  "below none of image_dirs" },
	{ { { MACHINE, "kernel", "\"/images2/www\"" } },
	  "services[0].machine.kernel",
	  "below none of image_dirs" },
	{ { { MACHINE, "initrd", "\"/boot/initrd\"" } },
	  "services[0].machine.initrd",
	  "below none of image_dirs" },
	{ { { MACHINE, "disks", "[{\"path\": @\"/dev/sda\"}]" } },
	  "services[0].machine.disks[0].path",
	  "below none of image_dirs" },
	{ { { MACHINE, "cmdline", "\"{ip}\"" }, { WWW, "ip", "[\"fd00::20/64\"]" } },
	  "services[0].machine.cmdline",
	  "{ip} and {prefix} need an IPv4 address" },
	{ { { MACHINE, "cmdline", "\"{{ {prefix}\"" }, { WWW, "ip", "[\"fd00::20/64\"]" } },
	  "services[0].machine.cmdline",
	  "{ip} and {prefix} need an IPv4 address" },
	{ { { MACHINE, "cmdline", "\"{gw}\"" }, { WWW, "ip", "[\"fd00::20/64\"]" } },
	  "services[0].machine.cmdline",
	  "{gw} needs an IPv4 address in ip, or gateway" },
	{ { { MACHINE, "cmdline", "\"{ip6}\"" }, { WWW, "ip", "[\"192.168.1.20/24\"]" } },
	  "services[0].machine.cmdline",
	  "{ip6} needs an IPv6 address" },
	{ { { MACHINE, "machine", "\"virt\"" }, { MACHINE, "arch", "\"x86_64\"" } },
	  "services[0].machine.machine",
	  "no machine of arch x86_64" },
	{ { { MACHINE, "machine", "\"q35\"" }, { MACHINE, "arch", "\"aarch64\"" } },
	  "services[0].machine.machine",
	  "no machine of arch aarch64" },
	{ { { MACHINE, "machine", "\"pvh\"" } },
	  "services[0].machine.machine",
	  "a machine of Xen, and hypervisor \"local\" is none" },
	{ { { MACHINE, "machine", "\"pv\"" }, { MACHINE, "arch", "\"aarch64\"" } },
	  "services[0].machine.machine",
	  "no machine of arch aarch64" },
	{ { { "services[1].machine", "xl_config", "\"/images/db.cfg\"" }, { "services[1].machine", "domain", NULL } },
	  "services[1].machine.xl_config",
	  "hypervisor \"other\" is none" },
	{ { { "services[1].machine", "xl_config", "\"/etc/xen/db.cfg\"" }, { "services[1].machine", "domain", NULL },
	    { "hypervisors[1]", "uri", "\"libxl:///\"" } },
	  "services[1].machine.xl_config",
	  "below none of image_dirs" },
	{ { { "hypervisors[0]", "uri", "\"libxl://host/\"" } }, "hypervisors[0].uri", "or \"libxl:///\"" },
	{ { { "hypervisors[1]", "uri", "\"libxl:///\"" }, { "hypervisors[0]", "uri", "\"libxl:///\"" } },
	  "hypervisors[1].uri",
	  "is used already by hypervisors[0].uri" },
	{ { { MACHINE, "cmdline", "\"ip={pi}\"" } }, "services[0].machine.cmdline", "did you mean {ip}?" },
	{ { { MACHINE, "cmdline", "\"ip={ip\"" } }, "services[0].machine.cmdline", "no '}' ends it" },
	{ { { MACHINE, "memory", "\"2GiB\"" }, { "limits", "memory", "\"1GiB\"" } },
	  "services[0].machine.memory",
	  "more than limits.memory" },
	/* the rest */
	{ { { "", "forward_allow", "[\"10.0.0.0/8\", @\"0.0.0.0/0\"]" } }, "forward_allow[1]", "everyone" },
	{ { { "", "forward_allow", "[@\"::/0\"]" } }, "forward_allow[0]", "everyone" },
	{ { { "metrics", "listen", "[\"127.0.0.1:9464\", @\"127.0.0.1:9464\"]" } }, "metrics.listen[1]",
	  "is used already by metrics.listen[0]" },
	{ { { "metrics", "listen", "[@\"9464\"]" } }, "metrics.listen[0]", "expected" },
	{ { { "metrics", "services", "\"www\"" } }, "metrics.services", "expected" },
	{ { { "hooks[0]", "webhook", "\"https://localhost/x\"" } }, "hooks[0].webhook", "make two hooks of it" },
	{ { { "hooks[0]", "webhook", "\"ftp://localhost/x\"" } }, "hooks[0].webhook", "http://" },
	{ { { "hooks[0]", "webhook", "\"http://\"" } }, "hooks[0].webhook", "http://" },
	{ { { "hooks[0]", "webhook", "\"http://local host/\"" } }, "hooks[0].webhook", "http://" },
	{ { { "hooks[0]", "exec", "\"hook\"" } }, "hooks[0].exec", "absolute path" },
	{ { { "hooks[0]", "on", "[@\"down\"]" } }, "hooks[0].on[0]", "all-idle" },
	{ { { "users", "dns", "\"root\"" } }, "users.dns", "must not be root" },
	{ { { "users", "net", "\"root\"" } }, "users.net", "must not be root" },
	{ { { "users", "control", "\"root\"" } }, "users.control", "must not be root" },
	{ { { "users", "qemu", "\"root\"" } }, "users.qemu", "must not be root" },
};

static void test_checks_across_options(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cross); i++)
		assert_refused(cross[i].o, cross[i].path, cross[i].says);
}

static void test_mistakes_told_at_another_place(void **state)
{
	const struct override two_bridges[OVERRIDES_MAX] = {
		{ "", "bridges", "[{\"name\": \"a\"}, {\"name\": \"b\"}]" }, { MACHINE, "nics", NULL }
	};
	const struct override unsaid[OVERRIDES_MAX] = {
		{ "", "bridges", "[{\"name\": \"a\"}, {\"name\": \"b\"}]" }, { MACHINE, "nics", "[{}]" }
	};
	const struct override no_bridge[OVERRIDES_MAX] = { { "", "bridges", "[]" },
		                                           { MACHINE, "nics", NULL } };
	const struct override taken_probe[OVERRIDES_MAX] = { { "bridges[0]", "probe_ip6", "\"fd00::20\"" } };
	const struct override no_kernel[OVERRIDES_MAX] = { { MACHINE, "kernel", NULL } };
	const struct override same_domain[OVERRIDES_MAX] = {
		{ WWW, "machine", "{\"hypervisor\": \"other\", \"domain\": \"postgres\"}" }
	};

	(void)state;
	assert_says(two_bridges,
	            "services[0].machine.nics: missing, and there are 2 bridges: say which one\n");
	assert_says(unsaid,
	            "services[0].machine.nics[0].bridge: missing, and there are 2 bridges: say which one\n");
	assert_says(no_bridge, "services[0].machine.nics: missing, and there are no bridges");
	assert_says(taken_probe, "services[0].ip[1]: \"fd00::20\" is used already by bridges[0].probe_ip6");
	assert_says(no_kernel, "services[0].machine.kernel: missing: a machine needs a kernel, or a domain");
	assert_says(same_domain, "services[0].machine.domain");
}

/* `domain` and each option of an inline machine. */
static void test_domain_stands_alone(void **state)
{
	const struct schema *machine = schema_find(&schema_service, "machine")->of;
	const char *values[] = { "\"/images/a\"", "\"/images/a\"", "\"/images/a\"", "\"\"", "\"64MiB\"", "1",
		                 "\"x86_64\"",    "\"pc\"",        "[]",   "[{}]" };
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < machine->n; i++) {
		const char *key = machine->opts[i].key;
		struct override one[OVERRIDES_MAX] = { { "services[1].machine", key, NULL } };
		char path[PATH_MAX_BYTES];

		if (strcmp(key, "domain") == 0 || strcmp(key, "hypervisor") == 0)
			continue;
		one[0].json = values[n++];
		path_of("services[1].machine", key, "", path);
		assert_refused_at(one, true, path, "does not go with domain");
	}
	assert_int_equal(n, ARRAY_SIZE(values));
}

/* One wrong value must not make its references look wrong too. */
static void test_one_mistake_is_told_once(void **state)
{
	static const struct override rows[][OVERRIDES_MAX] = {
		{ { "zones[0]", "name", "\"-\"" } },
		{ { "bridges[0]", "name", "\"a/b\"" } },
		{ { "hypervisors[0]", "name", "7" } },
		{ { "", "image_dirs", "[\"images\"]" } },
		{ { "", "zones", "{}" } },
		{ { WWW, "dns", "[\"-\"]" } },
		{ { WWW, "ip", "[\"x\"]" }, { MACHINE, "cmdline", "\"{ip6}\"" } },
		{ { WWW, "ports", "[0]" } },
		{ { WWW, "ready", "[\"x\"]" } },
		{ { WWW, "start_timeout", "\"x\"" } },
		{ { WWW, "machine", "7" } },
		{ { WWW, "gateway", "\"x\"" } },
		{ { WWW, "fallback_ip", "[\"x\"]" } },
		{ { WWW, "fallback_ip", "[\"10.0.0.1\", \"fd00::1\"]" }, { WWW, "ip", "[\"x\"]" }, { MACHINE, "cmdline", "\"\"" } },
		{ { WWW, "ttl", "\"x\"" }, { WWW, "ttl_down", "5" } },
		{ { WWW, "hold", "\"x\"" }, { WWW, "hold_udp", "7" } },
		{ { WWW, "hold_udp", "17" }, { WWW, "hold", "\"off\"" } },
		{ { WWW, "gateway", "\"10.0.0.1\"" }, { WWW, "ip", "[\"10.0.0.7/8\", \"x\"]" } },
		{ { MACHINE, "kernel", "\"x\"" } },
		{ { MACHINE, "memory", "\"x\"" } },
		{ { MACHINE, "arch", "\"x\"" }, { MACHINE, "machine", "\"pc\"" } },
		{ { "services[0].machine.nics[0]", "mac", "\"x\"" } },
		{ { "services[1].machine", "domain", "7" } },
		{ { "", "forward_allow", "[7]" } },
		{ { "", "hypervisors", "[7]" } },
		{ { "", "bridges", "[7]" } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_buf struct buf file = { 0 }, mistakes = { 0 };
		struct json_place at, key_at;

		make_file(rows[i], count_overrides(rows[i]), &file, &at, &key_at);
		assert_null(conf_parse("t.json", file.text, file.n, &mistakes));
		if (strchr(mistakes.text, '\n') != mistakes.text + mistakes.n - 1)
			fail_msg("more than one mistake:\n%s", mistakes.text);
	}
}

/* ---- the list of mistakes ---- */

static void assert_mistakes(const char *text, const char *expected)
{
	cleanup_buf struct buf mistakes = { 0 };

	assert_null(conf_parse("f", text, strlen(text), &mistakes));
	assert_string_equal(mistakes.text, expected);
}

static void test_no_json_and_no_object(void **state)
{
	(void)state;
	assert_mistakes("", "f:1:1: expected a value, but the text ends\n");
	assert_mistakes("{\n \"zones\": [}", "f:2:12: expected a value, got '}'\n");
	assert_mistakes("{\"log\": \"info\",\n\"log\": \"warn\"}", "f:2:1: the key \"log\" is there twice\n");
	assert_mistakes("[]", "f:1:1: expected an object, got an array\n");
	assert_mistakes("7", "f:1:1: expected an object, got 7\n");
}

static void test_the_example_of_a_mistake(void **state)
{
	const struct override one[OVERRIDES_MAX] = { { WWW, "ttl", "\"abc\"" } };

	(void)state;
	assert_refused(one, "services[0].ttl", "expected 0s..604800s, got \"abc\"");
}

static void test_every_mistake_is_told_in_order(void **state)
{
	(void)state;
	assert_mistakes(
	        "{\"zones\": [{\"name\": \"a.b\", \"ns\": [\"n.a.b\", 7]}],\n"
	        " \"log\": \"loud\",\n"
	        " \"services\": [{\"name\": \"X\",\n"
	        "  \"dns\": [\"w.a.c\"], \"ip\": [\"10.0.0.1/8\"],\n"
	        "  \"ttl\": 700000, \"idle\": 1, \"machine\": {\"domain\": \"d\", \"hypervisor\": \"h\"}}],\n"
	        " \"limits\": {\"max_running\": 0}}",
	        "f:1:44: zones[0].ns[1]: expected a host name without a final dot, got 7\n"
	        "f:2:9: log: expected \"error\", \"warn\", \"info\" or \"debug\", got \"loud\"\n"
	        "f:3:24: services[0].name: expected a name of a-z, 0-9 and inner '-', at most 40, got \"X\"\n"
	        "f:4:11: services[0].dns[0]: \"w.a.c\" is in none of the zones: end it with \".a.b\", or add its zone to "
	        "\"zones\"\n"
	        "f:5:10: services[0].ttl: expected 0s..604800s, got 700000\n"
	        "f:5:18: services[0].idle: unknown option, did you mean \"idle_timeout\"?\n"
	        "f:5:70: services[0].machine.hypervisor: there is no \"h\" in hypervisors\n"
	        "f:6:28: limits.max_running: expected 1..16384, got 0\n");
}

static void test_too_many_mistakes_are_counted(void **state)
{
	cleanup_buf struct buf text = { 0 }, mistakes = { 0 };
	size_t lines = 0;

	(void)state;
	buf_adds(&text, "{\"zones\": [{\"name\": \"a.b\", \"ns\": [\"n.a.b\"]}]");
	for (int i = 0; i < 1000; i++)
		buf_addf(&text, ",\n\"q%d\": 0", i);
	buf_adds(&text, "}");
	assert_null(conf_parse("f", text.text, text.n, &mistakes));
	for (size_t i = 0; i < mistakes.n; i++)
		lines += mistakes.text[i] == '\n';
	assert_int_equal(lines, CONF_MISTAKES_MAX + 1);
	assert_non_null(strstr(mistakes.text, "\nf: and 900 more mistakes\n"));
}

/* A file cannot forge lines, nor fill the screen. */
static void test_foreign_text_is_escaped_and_cut(void **state)
{
	cleanup_buf struct buf text = { 0 }, mistakes = { 0 };

	(void)state;
	buf_adds(&text, "{\"a\\nb\\u001b\": 1, \"log\": \"x\\ny");
	for (int i = 0; i < 1000; i++)
		buf_adds(&text, "z");
	buf_adds(&text, "\", \"zones\": [{\"name\": \"a.b\", \"ns\": [\"n.a.b\"]}]}");
	assert_null(conf_parse("f", text.text, text.n, &mistakes));
	assert_non_null(strstr(mistakes.text, "f:1:2: \"a\\nb\\u001b\": unknown option\n"));
	assert_non_null(strstr(mistakes.text, "got \"x\\nyzzz"));
	assert_non_null(strstr(mistakes.text, "zzz...\"\n"));
	assert_true(mistakes.n < 300);
}

static void test_lost_units_are_told(void **state)
{
	const struct override text[OVERRIDES_MAX] = { { WWW, "idle_timeout", "\"60\"" } };
	const struct override number[OVERRIDES_MAX] = { { WWW, "idle_timeout", "60" } };
	const struct override size[OVERRIDES_MAX] = { { MACHINE, "memory", "64" } };

	(void)state;
	assert_refused(text, "services[0].idle_timeout", "got \"60\": a unit is needed");
	assert_refused(number, "services[0].idle_timeout", "got 60: a unit is needed");
	assert_refused(size, "services[0].machine.memory", "got 64: a unit is needed");
}

static void test_file_that_cannot_be_read(void **state)
{
	cleanup_buf struct buf mistakes = { 0 };

	(void)state;
	assert_null(conf_load("/nonexistent/jitsud.json", &mistakes));
	assert_string_equal(mistakes.text,
	                    "/nonexistent/jitsud.json: cannot be read: No such file or directory\n");
}

/* ---- records ---- */

static const struct override as_it_is[OVERRIDES_MAX];

static void test_defaults(void **state)
{
	struct conf *c = load_with(as_it_is);
	const struct service_conf *www = &c->services.v[0];
	struct utsname host;

	(void)state;
	uname(&host);
	assert_int_equal(c->limits.max_running, 64);
	assert_int_equal(c->limits.max_starting, 2);
	assert_int_equal(c->limits.memory_percent, 80);
	assert_true(c->limits.memory_bytes == 0);
	assert_int_equal(c->limits.wakes_per_source, 30);
	assert_true(c->limits.wakes_period_ms == 60000);
	assert_true(c->limits.wakes_per_service == 30 && c->limits.service_period_ms == 60000);
	assert_true(c->limits.wakes_unverified == 60 && c->limits.unverified_period_ms == 60000);
	assert_int_equal(c->limits.mute_after, 3);
	assert_int_equal(c->limits.max_waiting, 1024);
	assert_int_equal(c->limits.max_tcp, 128);
	assert_int_equal(c->limits.max_held, 131072);
	assert_int_equal(c->limits.held_per_source, 4096);
	assert_true(c->bridges.v[0].conflict_probe_ms == 3000);
	assert_string_equal(c->users.dns, "jitsu-dns");
	assert_string_equal(c->users.qemu, "libvirt-qemu");
	assert_string_equal(c->users.admins, "jitsu-admin");
	assert_string_equal(c->run_dir, "/run/jitsu");
	assert_string_equal(c->state_dir, "/var/lib/jitsu");
	assert_string_equal(c->save_dir, "/var/lib/jitsu/saved");
	assert_string_equal(c->log_level, "info");
	assert_string_equal(c->zones.v[0].hostmaster, "hostmaster.jitsu.example");
	assert_true(c->zones.v[0].ttl_ms == 300000 && c->zones.v[0].negative_ttl_ms == 60000);
	assert_int_equal(c->hypervisors.v[0].isolation, ISOLATION_STRICT);
	assert_true(ip_is_zero(&c->bridges.v[0].probe_ip6));

	assert_true(www->ttl_ms == 60000 && www->idle_timeout_ms == 120000 && www->start_timeout_ms == 60000);
	assert_true(www->stop_timeout_ms == 60000 && www->max_hold_ms == 60000);
	assert_true(www->dns_horizon_ms == DURATION_AUTO);
	assert_int_equal(www->hold, HOLD_PARK);
	assert_int_equal(www->wake_dns, WAKE_DNS_ANY);
	assert_true(www->ttl_down_ms == www->ttl_ms);
	assert_int_equal(www->fallback_ip.n, 0);
	assert_int_equal(www->wake_syn, WAKE_ANY);
	assert_true(www->wake_allow.n == 0 && www->wake_deny.n == 0);
	assert_int_equal(www->wake_ping, PING_IGNORE);
	assert_int_equal(www->on_conflict, CONFLICT_YIELD);
	assert_int_equal(www->hold_udp, 4);
	assert_true(www->dns_grace_ms == 30000);
	assert_int_equal(www->answer, ANSWER_AUTO);
	assert_int_equal(www->manage, MANAGE_AUTO);
	assert_false(www->stop_force);
	assert_string_equal(www->gateway, "");
	assert_string_equal(www->machine.hypervisor, "local");
	assert_string_equal(www->machine.domain, "");
	assert_string_equal(www->machine.initrd, "");
	assert_string_equal(www->machine.cmdline, "");
	assert_string_equal(www->machine.machine, "");
	assert_string_equal(www->machine.arch, strcmp(host.machine, "aarch64") == 0 ? "aarch64" : "x86_64");
	assert_true(www->machine.memory_bytes == 64 << 20);
	assert_int_equal(www->machine.vcpus, 1);
	assert_string_equal(www->machine.disks.v[0].format, "raw");
	assert_false(www->machine.disks.v[0].read_only);
	assert_true(www->line > 1);
	conf_free(c);
	conf_free(NULL);
}

static void test_default_hypervisor_is_in_run_dir(void **state)
{
	const struct override o[OVERRIDES_MAX] = { { "", "hypervisors", NULL },
		                                   { "", "run_dir", "\"/tmp/j\"" },
		                                   { "services[1].machine", "hypervisor", NULL } };
	struct conf *c = load_with(o);

	(void)state;
	assert_int_equal(c->hypervisors.n, 1);
	assert_string_equal(c->hypervisors.v[0].name, "local");
	assert_string_equal(c->hypervisors.v[0].uri, "qemu:///embed?root=/tmp/j/qemu");
	assert_int_equal(c->hypervisors.v[0].isolation, ISOLATION_STRICT);
	assert_string_equal(c->services.v[1].machine.hypervisor, "local");
	conf_free(c);
}

static void test_default_ready_follows_ports(void **state)
{
	struct conf *c = load_with(as_it_is);

	(void)state;
	assert_int_equal(c->services.v[0].ready.n, 1);
	assert_int_equal(c->services.v[0].ready.v[0].kind, READY_TCP);
	assert_int_equal(c->services.v[1].ready.n, 1);
	assert_int_equal(c->services.v[1].ready.v[0].kind, READY_ARP);
	conf_free(c);
}

/* What may lose data is asked to shut down; what cannot is ended. */
static void test_default_stop_spares_data(void **state)
{
	static const struct {
		struct override o[OVERRIDES_MAX];
		enum stop_how www, db;
	} rows[] = {
		{ { { WWW, "ttl", "1" } }, STOP_SHUTDOWN, STOP_SHUTDOWN },
		{ { { MACHINE, "disks", "[]" } }, STOP_DESTROY, STOP_SHUTDOWN },
		{ { { MACHINE, "disks", NULL } }, STOP_DESTROY, STOP_SHUTDOWN },
		{ { { MACHINE, "disks", "[{\"path\": \"/images/a\", \"read_only\": true}]" } },
		  STOP_DESTROY,
		  STOP_SHUTDOWN },
		{ { { MACHINE, "disks",
		      "[{\"path\": \"/images/a\", \"read_only\": true}, {\"path\": \"/images/b\"}]" } },
		  STOP_SHUTDOWN,
		  STOP_SHUTDOWN },
		{ { { WWW, "stop", "\"destroy\"" }, { DB, "stop", "\"suspend\"" } },
		  STOP_DESTROY,
		  STOP_SUSPEND },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct conf *c = load_with(rows[i].o);

		assert_int_equal(c->services.v[0].stop, rows[i].www);
		assert_int_equal(c->services.v[1].stop, rows[i].db);
		conf_free(c);
	}
}

static void test_default_nic_is_on_the_only_bridge(void **state)
{
	const struct override none[OVERRIDES_MAX] = { { MACHINE, "nics", NULL } };
	const struct override bare[OVERRIDES_MAX] = { { MACHINE, "nics",
		                                        "[{}, {\"mac\": \"52:54:00:00:00:09\"}]" } };
	struct conf *c = load_with(none);

	(void)state;
	assert_int_equal(c->services.v[0].machine.nics.n, 1);
	assert_string_equal(c->services.v[0].machine.nics.v[0].bridge, "br0");
	assert_true(mac_is_zero(&c->services.v[0].machine.nics.v[0].mac));
	conf_free(c);
	c = load_with(bare);
	assert_string_equal(c->services.v[0].machine.nics.v[0].bridge, "br0");
	assert_string_equal(c->services.v[0].machine.nics.v[1].bridge, "br0");
	conf_free(c);
}

static void test_domain_has_nothing_inline(void **state)
{
	struct conf *c = load_with(as_it_is);
	const struct machine_conf *db = &c->services.v[1].machine;

	(void)state;
	assert_string_equal(db->domain, "postgres");
	assert_true(db->memory_bytes == 0);
	assert_int_equal(db->vcpus, 0);
	assert_string_equal(db->arch, "");
	assert_int_equal(db->nics.n, 0);
	assert_int_equal(db->disks.n, 0);
	conf_free(c);
}

static void test_values_arrive(void **state)
{
	const struct override o[OVERRIDES_MAX] = {
		{ WWW, "ready", "[\"tcp:8080\", \"delay:250\", \"arp\"]" },
		{ WWW, "idle_timeout", "\"never\"" },
		{ WWW, "dns_horizon", "\"10m\"" },
		{ "limits", "memory", "\"3GiB\"" },
	};
	struct conf *c = load_with(o);
	const struct service_conf *www = &c->services.v[0];
	char text[ADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(www->ready.n, 3);
	assert_int_equal(www->ready.v[0].port, 8080);
	assert_true(www->ready.v[1].delay_ms == 250);
	assert_true(www->idle_timeout_ms == DURATION_NEVER);
	assert_true(www->dns_horizon_ms == 600000);
	assert_true(c->limits.memory_bytes == 3ull << 30);
	assert_int_equal(c->limits.memory_percent, 0);
	assert_string_equal(endpoint_format(&c->listen.v[0].addr, c->listen.v[0].port, text),
	                    "127.0.0.1:5353");
	assert_string_equal(prefix_format(&www->ip.v[0].prefix, text), "192.168.1.20/24");
	assert_string_equal(prefix_format(&www->ip.v[1].prefix, text), "fd00::20/64");
	assert_int_equal(www->ports.v[0], 80);
	assert_string_equal(mac_format(&www->machine.nics.v[0].mac, text), "52:54:00:00:00:01");
	conf_free(c);
}

/* Alone, beside IPv6, of several services; and as it was written. */
static void test_learned(void **state)
{
	static const char text[] =
		"{\"listen\":[\"127.0.0.1:5353\"],\"zones\":[{\"name\":\"j.example\",\"ns\":[\"ns.j.example\"]}],"
		"\"hypervisors\":[{\"name\":\"hv\",\"uri\":\"test:///default\"}],\"services\":["
		"{\"name\":\"a\",\"dns\":[\"a.j.example\"],\"ip\":[\"learned\"],\"gateway\":\"10.0.0.1\","
		"\"fallback_ip\":[\"10.0.0.9\"],\"machine\":{\"domain\":\"a\"}},"
		"{\"name\":\"b\",\"dns\":[\"b.j.example\"],\"ip\":[\"fd00::2/64\",\"learned\"],"
		"\"machine\":{\"domain\":\"b\"}}]}";
	cleanup_buf struct buf mistakes = { 0 }, printed = { 0 };
	struct conf *conf = conf_parse("test", text, strlen(text), &mistakes);

	(void)state;
	if (!conf)
		fail_msg("%s", mistakes.text);
	assert_true(conf->services.v[0].ip.v[0].how == IP_LEARNED);
	assert_false(conf->services.v[1].ip.v[0].how == IP_LEARNED);
	assert_true(conf->services.v[1].ip.v[1].how == IP_LEARNED);
	conf_print_service(&conf->services.v[1], &printed);
	assert_non_null(strstr(printed.text, "\"fd00::2/64\", \"learned\""));
	conf_free(conf);
}

static void test_values_of_holding_arrive(void **state)
{
	const struct override o[OVERRIDES_MAX] = {
		{ WWW, "wake_syn", "\"after-dns\"" },
		{ WWW, "wake_allow", "[\"10.0.0.0/8\", \"fd00::/8\"]" },
		{ WWW, "answer", "\"auto\"" },
		{ "bridges[0]", "conflict_probe", "\"0\"" },
	};
	struct conf *c = load_with(o);
	const struct service_conf *www = &c->services.v[0];
	char text[ADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(www->wake_syn, WAKE_AFTER_DNS);
	assert_int_equal(www->wake_allow.n, 2);
	assert_string_equal(prefix_format(&www->wake_allow.v[0], text), "10.0.0.0/8");
	assert_string_equal(prefix_format(&www->wake_allow.v[1], text), "fd00::/8");
	assert_int_equal(www->wake_deny.n, 0);
	assert_int_equal(www->answer, ANSWER_AUTO);
	assert_true(c->bridges.v[0].conflict_probe_ms == 0);
	conf_free(c);
}

/* The same read-only disk in two services, several bridges with one probe address, PTR-only twins. */
static void test_what_may_be_shared(void **state)
{
	const struct override o[OVERRIDES_MAX] = {
		{ "", "bridges",
		  "[{\"name\": \"br0\", \"probe_ip\": \"10.0.0.9\"}, {\"name\": \"br1\", \"probe_ip\": "
		  "\"10.0.0.9\"}]" },
		{ MACHINE, "disks", "[{\"path\": \"/images/a\", \"read_only\": true}]" },
		{ DB, "machine",
		  "{\"kernel\": \"/images/www\", \"disks\": [{\"path\": \"/images/a\", \"read_only\": true}],"
		  " \"nics\": [{\"bridge\": \"br1\"}]}" },
	};

	(void)state;
	conf_free(load_with(o));
}

/* What {gw} needs is there: gateway. */
static void test_placeholders_that_have_what_they_need(void **state)
{
	const struct override o[OVERRIDES_MAX] = { { MACHINE, "cmdline",
		                                     "\"{{ip} {ip6} {gw} {mac} {name} {boot}\"" },
		                                   { WWW, "ip", "[\"fd00::20/64\"]" },
		                                   { WWW, "gateway", "\"fd00::1\"" } };
	/* the only address of its network, which is no network's own then */
	const struct override alone[OVERRIDES_MAX] = { { WWW, "ip",
		                                         "[\"192.168.1.0/32\", \"10.0.0.1/31\"]" } };
	const struct override both[OVERRIDES_MAX] = { { MACHINE, "cmdline",
		                                        "\"{ip}/{prefix} {ip6} {gw}\"" } };

	(void)state;
	conf_free(load_with(o));
	conf_free(load_with(both));
	conf_free(load_with(alone));
}

/* A domain of the same name on another hypervisor is another domain. */
static void test_same_domain_on_two_hypervisors(void **state)
{
	const struct override o[OVERRIDES_MAX] = { { WWW, "machine", "{\"domain\": \"postgres\"}" } };

	(void)state;
	conf_free(load_with(o));
}

/* ---- printing ---- */

static void assert_prints_the_same(const struct conf *c)
{
	cleanup_buf struct buf once = { 0 }, twice = { 0 }, mistakes = { 0 };
	struct conf *again;

	conf_print(c, &once);
	assert_int_equal(once.error, 0);
	again = conf_parse("printed", once.text, once.n, &mistakes);
	if (!again)
		fail_msg("%s%s", once.text, mistakes.text);
	conf_print(again, &twice);
	assert_string_equal(once.text, twice.text);
	for (size_t i = 0; i < c->services.n; i++) {
		cleanup_buf struct buf a = { 0 }, b = { 0 };

		conf_print_service(&c->services.v[i], &a);
		conf_print_service(&again->services.v[i], &b);
		assert_string_equal(a.text, b.text);
	}
	conf_free(again);
}

static void test_printed_configuration_loads_to_the_same(void **state)
{
	static const struct override rows[][OVERRIDES_MAX] = {
		{ { NULL, NULL, NULL } },
		{ { "", "hypervisors", NULL }, { "services[1].machine", "hypervisor", NULL } },
		{ { MACHINE, "cmdline", "\"ip={ip} \\\"q\\\" \\\\ \xc3\xa9\"" },
		  { MACHINE, "machine", "\"q35\"" },
		  { MACHINE, "arch", "\"x86_64\"" } },
		{ { WWW, "ready", "[\"tcp:8080\", \"delay:1500\", \"arp\", \"tcp\", \"guest\"]" },
		  { WWW, "guest_lease", "\"0s\"" },
		  { WWW, "gateway", "\"192.168.1.254\"" } },
		{ { WWW, "idle_timeout", "\"never\"" },
		  { WWW, "dns_horizon", "\"0\"" },
		  { WWW, "max_hold", "\"100ms\"" },
		  { WWW, "ttl", "0" } },
		{ { WWW, "ttl_down", "0" }, { WWW, "fallback_ip", "[\"10.0.0.1\", \"fd00::1\"]" },
		  { WWW, "wake_dns", "\"verified\"" }, { "limits", "mute_after", "0" } },
		{ { "limits", "memory", "\"1025KiB\"" },
		  { "limits", "wakes_per_source", "\"7/h\"" },
		  { MACHINE, "memory", "\"1MiB\"" } },
		{ { "metrics", "listen", "[\"127.0.0.1:9464\", \"[::1]:9464\"]" }, { "metrics", "services", "true" } },
		{ { "hooks[0]", "exec", NULL }, { "hooks[0]", "webhook", "\"https://a:b@localhost:8443/x?y=z\"" },
		  { "hooks[0]", "on", "[\"stopped\", \"all-idle\"]" } },
		{ { "users", "hooks", "\"root\"" }, { "hooks[0]", "timeout", "\"1m\"" } },
		{ { "limits", "wakes_unverified", "\"5/h\"" }, { "limits", "wakes_per_service", "\"3/s\"" } },
		{ { "", "forward", "[\"[fd00::1]:53\", \"10.0.0.1:5353\"]" },
		  { "", "forward_allow", "[\"10.0.0.0/8\", \"fd00::1\"]" } },
		{ { "bridges[0]", "probe_ip6", "\"fd00::9\"" }, { "bridges[0]", "probe_ip", NULL } },
		{ { WWW, "stop", "\"save\"" }, { "", "save_dir", "\"/srv/saved\"" } },
		{ { WWW, "hold", "\"off\"" }, { WWW, "answer", "\"at-once\"" } },
		{ { WWW, "wake_syn", "\"after-dns\"" },
		  { WWW, "wake_allow", "[\"10.0.0.0/8\", \"fd00::/8\"]" },
		  { WWW, "wake_deny", "[\"10.9.0.0/16\"]" },
		  { WWW, "hold_udp", "0" } },
		{ { "bridges[0]", "conflict_probe", "\"0\"" },
		  { "limits", "max_held", "1" },
		  { "limits", "held_per_source", "262144" } },
		{ { "", "services", "[]" } },
		{ { MACHINE, "nics", NULL },
		  { MACHINE, "disks",
		    "[{\"path\": \"/images/a\", \"format\": \"qcow2\", \"read_only\": true}]" } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct conf *c = load_with(rows[i]);

		assert_prints_the_same(c);
		conf_free(c);
	}
}

/* Whatever changes in a service changes its print. */
static void test_printed_service_tells_changes(void **state)
{
	static const struct override changes[][OVERRIDES_MAX] = {
		{ { WWW, "name", "\"web\"" } },
		{ { WWW, "dns", "[\"www.jitsu.example\", \"w.jitsu.example\"]" } },
		{ { WWW, "ip", "[\"192.168.1.22/24\"]" } },
		{ { WWW, "ttl", "61" } },
		{ { WWW, "ttl_down", "7" } },
		{ { WWW, "fallback_ip", "[\"10.0.0.1\"]" } },
		{ { WWW, "wake_dns", "\"off\"" } },
		{ { WWW, "ports", "[80, 81]" } },
		{ { WWW, "gateway", "\"192.168.1.254\"" } },
		{ { WWW, "hold", "\"off\"" } },
		{ { WWW, "wake_syn", "\"off\"" } },
		{ { WWW, "wake_allow", "[\"10.0.0.0/8\"]" } },
		{ { WWW, "wake_deny", "[\"10.0.0.0/8\"]" } },
		{ { WWW, "wake_ping", "\"wake\"" } },
		{ { WWW, "hold_udp", "1" } },
		{ { WWW, "on_conflict", "\"defend\"" } },
		{ { WWW, "dns_grace", "\"1s\"" } },
		{ { WWW, "answer", "\"started\"" } },
		{ { WWW, "ready", "[\"arp\"]" } },
		{ { WWW, "stop", "\"destroy\"" } },
		{ { WWW, "stop_force", "true" } },
		{ { WWW, "manage", "\"always\"" } },
		{ { WWW, "idle_timeout", "\"1s\"" } },
		{ { WWW, "start_timeout", "\"1s\"" } },
		{ { WWW, "stop_timeout", "\"1s\"" } },
		{ { WWW, "max_hold", "\"1s\"" } },
		{ { WWW, "dns_horizon", "\"1s\"" } },
		{ { MACHINE, "hypervisor", "\"other\"" } },
		{ { MACHINE, "kernel", "\"/images/w\"" } },
		{ { MACHINE, "initrd", "\"/images/i\"" } },
		{ { MACHINE, "cmdline", "\"x\"" } },
		{ { MACHINE, "memory", "\"65MiB\"" } },
		{ { MACHINE, "vcpus", "2" } },
		{ { MACHINE, "machine", "\"pc\"" }, { MACHINE, "arch", "\"x86_64\"" } },
		{ { "services[0].machine.disks[0]", "path", "\"/images/b\"" } },
		{ { "services[0].machine.disks[0]", "format", "\"qcow2\"" } },
		{ { "services[0].machine.disks[0]", "read_only", "true" } },
		{ { "services[0].machine.nics[0]", "mac", NULL } },
	};
	struct conf *c = load_with(as_it_is);
	cleanup_buf struct buf before = { 0 };

	(void)state;
	conf_print_service(&c->services.v[0], &before);
	conf_free(c);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		cleanup_buf struct buf after = { 0 };

		c = load_with(changes[i]);
		conf_print_service(&c->services.v[0], &after);
		if (strcmp(before.text, after.text) == 0)
			fail_msg("a change of %s does not show", changes[i][0].key);
		conf_free(c);
	}
}

/* Nobody sees a secret: not when it is wrong, not when the configuration is shown. */
static void test_secrets_are_not_told(void **state)
{
	static const char good[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", bad[] = "AAECAwQFBgcI-wrong";
	struct override o[OVERRIDES_MAX] = { { "tsig_keys[0]", "secret", "\"AAECAwQFBgcI-wrong\"" } };
	struct override whole[OVERRIDES_MAX] = { { "", "tsig_keys",
		"[{\"name\": \"k\", \"secret\": \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"}]" },
		{ "dns", "cookie_secrets", "[\"000102030405060708090a0b0c0d0e0f\"]" } };
	cleanup_buf struct buf file = { 0 }, mistakes = { 0 }, text = { 0 }, shown = { 0 };
	struct json_place at, key_at;
	struct conf *c;

	(void)state;
	assert_refused(o, "tsig_keys[0].secret", "expected Base64 of 16 to 128 bytes");
	make_file(o, 1, &file, &at, &key_at);
	assert_null(conf_parse("t.json", file.text, file.n, &mistakes));
	assert_null(strstr(mistakes.text, bad));
	c = load_with(whole);
	assert_string_equal(c->tsig_keys.v[0].secret, good);
	conf_print(c, &text); /* for the launcher's own eyes */
	assert_non_null(strstr(text.text, good));
	conf_hide_secrets(c);
	conf_print(c, &shown);
	assert_null(strstr(shown.text, "AAEC"));
	assert_null(strstr(shown.text, "0001020304"));
	assert_non_null(strstr(shown.text, "\"secret\": \"***\""));
	conf_free(c);
}

static void test_example_file_loads(void **state)
{
	cleanup_buf struct buf mistakes = { 0 };
	struct conf *c = conf_load("etc/jitsud.json", &mistakes);

	(void)state;
	if (!c)
		fail_msg("%s", mistakes.text);
	assert_int_equal(c->services.n, 1);
	assert_string_equal(c->services.v[0].name, "www");
	assert_true(c->services.v[0].machine.memory_bytes == 16 << 20);
	assert_prints_the_same(c);
	conf_free(c);
}

/* As many as there may be, and one more; quick enough for a reload. */
static void make_many(struct buf *text, unsigned n)
{
	buf_clear(text);
	buf_adds(text, "{\"zones\": [{\"name\": \"z\", \"ns\": [\"n.z\"]}], \"bridges\": [{\"name\": "
	               "\"br0\"}], \"services\": [");
	for (unsigned i = 0; i < n; i++)
		buf_addf(text,
		         "%s{\"name\": \"s%u\", \"dns\": [\"a%u.z\", \"b%u.z\"], \"ip\": [\"10.1.%u.%u/8\"],"
		         " \"machine\": {\"kernel\": \"/var/lib/jitsu/images/k\"}}",
		         i ? "," : "", i, i, i, i >> 8, i & 255);
	buf_adds(text, "]}");
}

/* The same service on QEMU and on Xen: whatever its machine is called there. */
static void test_machines_of_xen(void **state)
{
	static const char *const kinds[] = { "microvm", "pc", "q35", "pv", "pvh" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		cleanup_buf struct buf text = { 0 }, mistakes = { 0 };
		struct conf *c;

		buf_addf(&text, "{\"zones\": [{\"name\": \"z\", \"ns\": [\"n.z\"]}], \"bridges\": [{\"name\": \"br0\"}],"
		                "\"hypervisors\": [{\"name\": \"xen\", \"uri\": \"libxl:///\"}], \"services\": [{\"name\": "
		                "\"a\", \"dns\": [\"a.z\"], \"ip\": [\"10.0.0.2/24\"], \"machine\": {\"kernel\": "
		                "\"/var/lib/jitsu/images/k\", \"arch\": \"x86_64\", \"machine\": \"%s\"}}]}", kinds[i]);
		c = conf_parse("f", text.text, text.n, &mistakes);
		if (!c)
			fail_msg("%s", mistakes.text);
		assert_string_equal(c->services.v[0].machine.machine, kinds[i]);
		conf_free(c);
	}
}

static void test_most_services(void **state)
{
	cleanup_buf struct buf text = { 0 }, mistakes = { 0 };
	struct conf *c;

	(void)state;
	make_many(&text, SLOTS_MAX);
	c = conf_parse("f", text.text, text.n, &mistakes);
	if (!c)
		fail_msg("%s", mistakes.text);
	assert_int_equal(c->services.n, SLOTS_MAX);
	conf_free(c);
	make_many(&text, SLOTS_MAX + 1);
	assert_null(conf_parse("f", text.text, text.n, &mistakes));
	assert_non_null(strstr(mistakes.text, "services: expected 0 to 16384 entries, got 16385\n"));
}

/* The other processes call these things by the same words. */
static void test_words_are_those_of_messages(void **state)
{
	const struct schema *hypervisor = schema_find(&schema_conf, "hypervisors")->of;
	const struct opt *log = schema_find(&schema_conf, "log");

	(void)state;
	for (unsigned i = 0; i < ANSWER_N; i++)
		assert_string_equal(schema_find(&schema_service, "answer")->names[i], answer_name(i));
	for (unsigned i = 0; i < WAKE_DNS_N; i++)
		assert_string_equal(schema_find(&schema_service, "wake_dns")->names[i], wake_dns_name(i));
	for (unsigned i = 0; i < STOP_N; i++)
		assert_string_equal(schema_find(&schema_service, "stop")->names[i], stop_name(i));
	for (unsigned i = 0; i < ISOLATION_N; i++)
		assert_string_equal(schema_find(hypervisor, "isolation")->names[i], isolation_name(i));
	for (unsigned i = 0; log->names[i]; i++)
		assert_string_equal(log->names[i], log_level_name((enum log_level)i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_row_refuses_bad_values),
		cmocka_unit_test(test_every_range_is_kept_exactly),
		cmocka_unit_test(test_every_word_is_taken_and_suggested),
		cmocka_unit_test(test_every_list_keeps_its_bounds),
		cmocka_unit_test(test_every_mistyped_key_is_suggested),
		cmocka_unit_test(test_every_required_row_is_missed),
		cmocka_unit_test(test_long_names_and_equal_places),
		cmocka_unit_test(test_missing_option_is_told_at_its_object),
		cmocka_unit_test(test_checks_across_options),
		cmocka_unit_test(test_mistakes_told_at_another_place),
		cmocka_unit_test(test_domain_stands_alone),
		cmocka_unit_test(test_one_mistake_is_told_once),
		cmocka_unit_test(test_no_json_and_no_object),
		cmocka_unit_test(test_the_example_of_a_mistake),
		cmocka_unit_test(test_every_mistake_is_told_in_order),
		cmocka_unit_test(test_too_many_mistakes_are_counted),
		cmocka_unit_test(test_foreign_text_is_escaped_and_cut),
		cmocka_unit_test(test_lost_units_are_told),
		cmocka_unit_test(test_file_that_cannot_be_read),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_default_hypervisor_is_in_run_dir),
		cmocka_unit_test(test_default_ready_follows_ports),
		cmocka_unit_test(test_default_stop_spares_data),
		cmocka_unit_test(test_default_nic_is_on_the_only_bridge),
		cmocka_unit_test(test_domain_has_nothing_inline),
		cmocka_unit_test(test_values_arrive),
		cmocka_unit_test(test_learned),
		cmocka_unit_test(test_values_of_holding_arrive),
		cmocka_unit_test(test_what_may_be_shared),
		cmocka_unit_test(test_placeholders_that_have_what_they_need),
		cmocka_unit_test(test_same_domain_on_two_hypervisors),
		cmocka_unit_test(test_printed_configuration_loads_to_the_same),
		cmocka_unit_test(test_printed_service_tells_changes),
		cmocka_unit_test(test_secrets_are_not_told),
		cmocka_unit_test(test_example_file_loads),
		cmocka_unit_test(test_machines_of_xen),
		cmocka_unit_test(test_most_services),
		cmocka_unit_test(test_words_are_those_of_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
