/* Text to typed requests and back: the contract is docs/control-protocol.md.
 *
 * Whoever may open the socket may write anything into it, so this file believes nothing: every
 * key is looked up in the table of what its verb takes, every value has a type and a range, and
 * what is not understood is refused with the key and the nearest known one, never ignored.  A
 * client that misspells "follow" must not be left to wonder why its log ends.
 *
 * Rows come from the launcher, which is trusted to be honest but not to be free of bugs: a number
 * that is no JSON number is written as a string, and bytes of a guest's console that are no UTF-8
 * go out as base64.  So a line is always valid JSON, whatever was in the row.
 */
#include "control/protocol.h"

#include <assert.h>

#include "base/json.h"
#include "base/nearest.h"
#include "base/utf8.h"

/* ---- requests ---- */

enum {
	TAKES_SERVICE = 1 << 0,
	NEEDS_SERVICE = 1 << 1 | TAKES_SERVICE,
	TAKES_N = 1 << 2,
	TAKES_FOLLOW = 1 << 3,
	NEEDS_OF = 1 << 4,
	ADMIN = 1 << 5,
	ALL = 1 << 6, /* a key every request has */
	TAKES_ZONE = 1 << 7,
	NEEDS_ZONE = 1 << 8 | TAKES_ZONE,
	TAKES_ALGORITHM = 1 << 9,
	TAKES_FORCE = 1 << 10,
	TAKES_DS_GONE = 1 << 11,
	TAKES_DS_TTL = 1 << 12,
	TAKES_RECORD = 1 << 13,
	NEEDS_RECORD = 1 << 14 | TAKES_RECORD,
	NEEDS_TO = 1 << 15,
	TAKES_REVISION = 1 << 16,
	NEEDS_REVISION = 1 << 17 | TAKES_REVISION,
	CHANGES = 1 << 18 | ADMIN, /* "dry_run" */
	TAKES_PARTS = 1 << 19, /* "more", "exact", "new" */
};

enum { DO_CANCEL = CTL_VERB_N, DO_WATCH, DO_N };

static const struct verb {
	unsigned takes;
	uint32_t n; /* when left out */
} verbs[] = {
	[CTL_LIST] = { 0, 0 },
	[CTL_SHOW] = { NEEDS_SERVICE, 0 },
	[CTL_START] = { NEEDS_SERVICE | ADMIN, 0 },
	[CTL_STOP] = { NEEDS_SERVICE | ADMIN, 0 },
	[CTL_WHY] = { NEEDS_SERVICE, 0 },
	[CTL_TRACE] = { TAKES_SERVICE | TAKES_N, PROTOCOL_TRACE_N },
	[CTL_CONSOLE] = { NEEDS_SERVICE | TAKES_FOLLOW, 0 },
	[CTL_LOG] = { TAKES_N | TAKES_FOLLOW, PROTOCOL_LOG_N },
	[CTL_STATUS] = { 0, 0 },
	[CTL_RELOAD] = { ADMIN, 0 },
	[CTL_FLOWS] = { TAKES_SERVICE | TAKES_N, PROTOCOL_N_MAX },
	[CTL_STATS] = { 0, 0 },
	[CTL_DNSSEC_STATUS] = { TAKES_ZONE, 0 },
	[CTL_DNSSEC_DS] = { NEEDS_ZONE, 0 },
	[CTL_DNSSEC_ENABLE] = { NEEDS_ZONE | TAKES_ALGORITHM | ADMIN, 0 },
	[CTL_DNSSEC_DISABLE] = { NEEDS_ZONE | TAKES_DS_GONE | TAKES_DS_TTL | TAKES_FORCE | ADMIN, 0 },
	[CTL_DNSSEC_ROLL] = { NEEDS_ZONE | TAKES_ALGORITHM | ADMIN, 0 },
	[CTL_DNSSEC_DS_SEEN] = { NEEDS_ZONE | TAKES_DS_TTL | TAKES_FORCE | ADMIN, 0 },
	[CTL_ADD] = { TAKES_SERVICE | NEEDS_RECORD | CHANGES, 0 },
	[CTL_SET] = { NEEDS_SERVICE | NEEDS_RECORD | CHANGES, 0 },
	[CTL_REMOVE] = { NEEDS_SERVICE | CHANGES, 0 },
	[CTL_RENAME] = { NEEDS_SERVICE | NEEDS_TO | CHANGES, 0 },
	[CTL_PIN] = { NEEDS_SERVICE | NEEDS_TO | CHANGES, 0 },
	[CTL_HISTORY] = { TAKES_SERVICE | TAKES_N | TAKES_REVISION, PROTOCOL_HISTORY_N },
	[CTL_DIFF] = { NEEDS_REVISION, 0 },
	[CTL_ROLLBACK] = { NEEDS_REVISION | CHANGES, 0 },
	[CTL_EXPORT] = { TAKES_SERVICE | TAKES_N, PROTOCOL_N_MAX },
	[CTL_IMPORT] = { NEEDS_RECORD | TAKES_PARTS | CHANGES, 0 },
	[CTL_ZONES] = { 0, 0 },
	[CTL_ADOPT] = { NEEDS_RECORD | CHANGES, 0 },
	[DO_CANCEL] = { NEEDS_OF, 0 },
	[DO_WATCH] = { TAKES_SERVICE, 0 },
};
static_assert(ARRAY_SIZE(verbs) == DO_N, "a verb has no row");

static const char *verb_name(unsigned verb)
{
	return verb == DO_CANCEL ? "cancel" : verb == DO_WATCH ? "watch" : ctl_verb_name(verb);
}

typedef int take_fn(const struct json_node *v, struct protocol_request *out, struct err *e);

static int wrong_type(const struct json_node *v, const char *key, const char *expected, struct err *e)
{
	return err_set(e, -EINVAL, "\"%s\": expected %s, got %s", key, expected,
		       json_type_name(json_type(v)));
}

/* An id as the JSON text that every answer repeats; the writer's text is canonical, so that equal
 * ids have equal texts. */
static int id_text(const struct json_node *v, const char *key, char *text, struct err *e)
{
	cleanup_buf struct buf b = { 0 };
	struct json_writer w = { .out = &b, .first = true };
	int64_t number;

	if (json_type(v) == JSON_STRING) {
		if (strlen(json_string(v)) > PROTOCOL_ID_BYTES)
			return err_set(e, -EINVAL, "\"%s\": longer than %d bytes", key, PROTOCOL_ID_BYTES);
		json_put_string(&w, NULL, json_string(v));
	} else if (json_type(v) == JSON_NUMBER) {
		if (json_integer(v, &number) < 0)
			return err_set(e, -EINVAL,
				       "\"%s\": expected a whole number of at most 63 bits or a string", key);
		json_put_integer(&w, NULL, number);
	} else {
		return wrong_type(v, key, "a number or a string", e);
	}
	if (b.error)
		return err_set_errno(e, b.error, "\"%s\"", key);
	str_copy_n(text, PROTOCOL_ID_MAX, b.text);
	return 0;
}

static int take_nothing(const struct json_node *v, struct protocol_request *out, struct err *e)
{
	(void)v; /* "version", "id" and "do" were read before the rest */
	(void)out;
	(void)e;
	return 0;
}

static int take_service(const struct json_node *v, struct protocol_request *out, struct err *e)
{
	if (json_type(v) != JSON_STRING)
		return wrong_type(v, "service", "a string", e);
	if (!json_string(v)[0])
		return err_set(e, -EINVAL, "\"service\": the name is empty");
	if (!str_copy(out->msg.service, json_string(v)))
		return err_set(e, -ENOENT, "no service has a name of more than %d bytes", MSG_NAME_MAX - 1);
	return 0;
}

static int take_n(const struct json_node *v, struct protocol_request *out, struct err *e)
{
	int64_t n;

	if (json_type(v) != JSON_NUMBER)
		return wrong_type(v, "n", "a number", e);
	if (json_integer(v, &n) < 0 || n < 1 || n > PROTOCOL_N_MAX)
		return err_set(e, -EINVAL, "\"n\": expected 1..%d, got %.40s", PROTOCOL_N_MAX,
			       json_number_text(v));
	out->msg.n = (uint32_t)n;
	return 0;
}

static int take_bool(const struct json_node *v, const char *key, bool *out, struct err *e)
{
	if (json_type(v) != JSON_BOOL)
		return wrong_type(v, key, "true or false", e);
	*out = json_bool(v);
	return 0;
}

static int take_follow(const struct json_node *v, struct protocol_request *out, struct err *e)
{
	return take_bool(v, "follow", &out->msg.follow, e);
}

static int take_force(const struct json_node *v, struct protocol_request *out, struct err *e)
{
	return take_bool(v, "force", &out->msg.force, e);
}

static int take_ds_gone(const struct json_node *v, struct protocol_request *out, struct err *e)
{
	return take_bool(v, "ds_gone", &out->msg.ds_gone, e);
}

static int take_zone(const struct json_node *v, struct protocol_request *out, struct err *e)
{
	if (json_type(v) != JSON_STRING)
		return wrong_type(v, "zone", "a string", e);
	if (!json_string(v)[0])
		return err_set(e, -EINVAL, "\"zone\": the name is empty");
	if (!str_copy(out->msg.zone, json_string(v)))
		return err_set(e, -ENOENT, "no zone has a name of more than %d bytes", MSG_DOMAIN_NAME_MAX - 1);
	return 0;
}

/* Which there are, the launcher knows. */
static int take_algorithm(const struct json_node *v, struct protocol_request *out, struct err *e)
{
	if (json_type(v) != JSON_STRING)
		return wrong_type(v, "algorithm", "a string", e);
	if (!json_string(v)[0] || !str_copy(out->msg.algorithm, json_string(v)))
		return err_set(e, -EINVAL, "\"algorithm\": unknown \"%.40s\"", json_string(v));
	return 0;
}

static int take_ds_ttl(const struct json_node *v, struct protocol_request *out, struct err *e)
{
	int64_t s;

	if (json_type(v) != JSON_NUMBER)
		return wrong_type(v, "ds_ttl_s", "a number", e);
	if (json_integer(v, &s) < 0 || s < 0 || s > PROTOCOL_DS_TTL_MAX)
		return err_set(e, -EINVAL, "\"ds_ttl_s\": expected 0..%d, got %.40s", PROTOCOL_DS_TTL_MAX,
			       json_number_text(v));
	out->msg.ds_ttl_s = (uint32_t)s;
	out->msg.has_ds_ttl = true;
	return 0;
}

static int take_of(const struct json_node *v, struct protocol_request *out, struct err *e)
{
	return id_text(v, "of", out->of, e);
}

/* The launcher is given what our own writer makes of it, never a client's text. */
static int take_record(const struct json_node *v, struct protocol_request *out, struct err *e)
{
	cleanup_buf struct buf text = { 0 };
	struct json_writer w = { .out = &text };

	if (json_type(v) != JSON_OBJECT)
		return wrong_type(v, "record", "an object", e);
	json_put_node(&w, NULL, v);
	if (text.error)
		return err_set_errno(e, text.error, "\"record\"");
	if (!str_copy(out->msg.record, text.text))
		return err_set(e, -EMSGSIZE, "\"record\": longer than %d bytes", MSG_RECORD_MAX - 1);
	return 0;
}

static int take_to(const struct json_node *v, struct protocol_request *out, struct err *e)
{
	if (json_type(v) != JSON_STRING)
		return wrong_type(v, "to", "a string", e);
	if (!json_string(v)[0] || !str_copy(out->msg.to, json_string(v)))
		return err_set(e, -EINVAL, "\"to\": expected 1 to %d bytes", MSG_NAME_MAX - 1);
	return 0;
}

static int take_revision(const struct json_node *v, struct protocol_request *out, struct err *e)
{
	int64_t n;

	if (json_type(v) != JSON_NUMBER)
		return wrong_type(v, "revision", "a number", e);
	if (json_integer(v, &n) < 0 || n < 0)
		return err_set(e, -EINVAL, "\"revision\": expected a whole number from 0 on, got %.40s",
			       json_number_text(v));
	out->msg.revision = (uint64_t)n;
	out->has_revision = true;
	return 0;
}

static int take_truth(const struct json_node *v, const char *key, bool *out, struct err *e)
{
	if (json_type(v) != JSON_BOOL)
		return wrong_type(v, key, "true or false", e);
	*out = json_bool(v);
	return 0;
}

static int take_dry_run(const struct json_node *v, struct protocol_request *out, struct err *e)
{
	return take_truth(v, "dry_run", &out->msg.dry_run, e);
}

static int take_more(const struct json_node *v, struct protocol_request *out, struct err *e)
{
	return take_truth(v, "more", &out->msg.more, e);
}

static int take_exact(const struct json_node *v, struct protocol_request *out, struct err *e)
{
	return take_truth(v, "exact", &out->msg.exact, e);
}

static int take_new(const struct json_node *v, struct protocol_request *out, struct err *e)
{
	return take_truth(v, "new", &out->msg.fresh, e);
}

static const struct key {
	const char *name;
	unsigned bit; /* taken by the verbs that have it */
	take_fn *take;
} keys[] = {
	{ "version", ALL, take_nothing }, { "id", ALL, take_nothing },
	{ "do", ALL, take_nothing },      { "service", TAKES_SERVICE, take_service },
	{ "n", TAKES_N, take_n },         { "follow", TAKES_FOLLOW, take_follow },
	{ "of", NEEDS_OF, take_of },
	{ "record", TAKES_RECORD, take_record },
	{ "to", NEEDS_TO, take_to },
	{ "revision", TAKES_REVISION, take_revision },
	{ "dry_run", CHANGES & ~(unsigned)ADMIN, take_dry_run },
	{ "more", TAKES_PARTS, take_more },
	{ "exact", TAKES_PARTS, take_exact },
	{ "new", TAKES_PARTS, take_new },
	{ "zone", TAKES_ZONE, take_zone }, { "algorithm", TAKES_ALGORITHM, take_algorithm },
	{ "force", TAKES_FORCE, take_force }, { "ds_gone", TAKES_DS_GONE, take_ds_gone },
	{ "ds_ttl_s", TAKES_DS_TTL, take_ds_ttl },
};

static int unknown_key(const char *name, unsigned takes, const char *verb, struct err *e)
{
	struct nearest near = { .word = name };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (takes & keys[i].bit)
			nearest_try(&near, keys[i].name);
	}
	if (near.name)
		return err_set(e, -EINVAL, "\"%.40s\": unknown key, did you mean \"%s\"?", name, near.name);
	return err_set(e, -EINVAL, "\"%.40s\": unknown key for \"%s\"", name, verb);
}

static int take_member(const struct json_node *v, unsigned takes, const char *verb,
		       struct protocol_request *out, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(json_key(v), keys[i].name) != 0)
			continue;
		if (!(takes & keys[i].bit))
			return err_set(e, -EINVAL, "\"%s\" takes no \"%s\"", verb, keys[i].name);
		return keys[i].take(v, out, e);
	}
	return unknown_key(json_key(v), takes, verb, e);
}

static int take_members(const struct json_node *root, unsigned verb, struct protocol_request *out,
			struct err *e)
{
	const struct verb *row = &verbs[verb];
	unsigned takes = row->takes | ALL;

	out->msg.n = row->n;
	out->needs_admin = row->takes & ADMIN;
	out->cancel = verb == DO_CANCEL;
	out->watch = verb == DO_WATCH;
	out->msg.verb = verb < CTL_VERB_N ? (uint8_t)verb : 0;
	for (const struct json_node *v = json_first(root); v; v = json_next(v)) {
		int r = take_member(v, takes, verb_name(verb), out, e);

		if (r < 0)
			return r;
	}
	if ((takes & NEEDS_SERVICE) == NEEDS_SERVICE && !out->msg.service[0])
		return err_set(e, -EINVAL, "\"%s\" needs \"service\"", verb_name(verb));
	if ((takes & NEEDS_ZONE) == NEEDS_ZONE && !out->msg.zone[0])
		return err_set(e, -EINVAL, "\"%s\" needs \"zone\"", verb_name(verb));
	if ((takes & NEEDS_RECORD) == NEEDS_RECORD && !out->msg.record[0])
		return err_set(e, -EINVAL, "\"%s\" needs \"record\", an object", verb_name(verb));
	if ((takes & NEEDS_TO) && !out->msg.to[0])
		return err_set(e, -EINVAL, "\"%s\" needs \"to\"", verb_name(verb));
	if ((takes & NEEDS_REVISION) == NEEDS_REVISION && !out->has_revision)
		return err_set(e, -EINVAL, "\"%s\" needs \"revision\": \"history\" lists them", verb_name(verb));
	if (out->cancel && !out->of[0])
		return err_set(e, -EINVAL, "\"cancel\" needs \"of\", the id of the request to end");
	return 0;
}

static int check_version(const struct json_node *root, struct err *e)
{
	const struct json_node *v = json_get(root, "version");
	int64_t version;

	if (!v)
		return err_set(e, -EINVAL, "\"version\" is missing: say \"version\":%d", PROTOCOL_VERSION);
	if (json_type(v) != JSON_NUMBER)
		return wrong_type(v, "version", "a number", e);
	if (json_integer(v, &version) < 0 || version != PROTOCOL_VERSION)
		return err_set(e, -EPROTONOSUPPORT,
			       "version %.40s of the protocol is not served here; served: %d",
			       json_number_text(v), PROTOCOL_VERSION);
	return 0;
}

static int find_verb(const struct json_node *root, unsigned *verb, struct err *e)
{
	const struct json_node *v = json_get(root, "do");
	struct nearest near = { 0 };

	if (!v)
		return err_set(e, -EINVAL, "\"do\" is missing: it names what to do, as in \"do\":\"list\"");
	if (json_type(v) != JSON_STRING)
		return wrong_type(v, "do", "a string", e);
	near.word = json_string(v);
	for (*verb = 0; *verb < DO_N; (*verb)++) {
		if (strcmp(near.word, verb_name(*verb)) == 0)
			return 0;
		nearest_try(&near, verb_name(*verb));
	}
	if (near.name)
		return err_set(e, -EINVAL, "\"do\": unknown \"%.40s\", did you mean \"%s\"?", near.word,
			       near.name);
	return err_set(e, -EINVAL, "\"do\": unknown \"%.40s\"", near.word);
}

static int parse_object(const struct json_node *root, struct protocol_request *out, struct err *e)
{
	const struct json_node *id;
	unsigned verb = DO_N;
	int r;

	if (json_type(root) != JSON_OBJECT)
		return err_set(e, -EINVAL, "a request is an object, this is %s",
			       json_type_name(json_type(root)));
	id = json_get(root, "id");
	r = id ? id_text(id, "id", out->id, e) : 0;
	if (r == 0)
		r = check_version(root, e);
	if (r == 0 && !id)
		r = err_set(e, -EINVAL, "\"id\" is missing: a number or a string that the answer will carry");
	if (r == 0)
		r = find_verb(root, &verb, e);
	if (r == 0)
		r = take_members(root, verb, out, e);
	return r;
}

int protocol_parse(const char *line, size_t n, struct protocol_request *out, struct err *e)
{
	struct json_place at;
	struct json *doc;
	struct err why;
	int r;

	memset(out, 0, sizeof(*out));
	str_copy(out->id, "null");
	if (n > PROTOCOL_LINE_MAX)
		return err_set(e, -EMSGSIZE, "the request is longer than %d bytes", PROTOCOL_LINE_MAX);
	doc = json_parse(line, n, &at, &why);
	if (!doc)
		return err_set(e, -EINVAL, "the request is no valid JSON: column %u: %.400s", at.column,
			       why.text);
	r = parse_object(json_root(doc), out, e);
	json_free(doc);
	return r;
}

/* ---- answers ---- */

static void open_answer(struct json_writer *w, const char *id, struct buf *out)
{
	*w = (struct json_writer){ .out = out, .first = true };
	json_open(w, NULL, '{');
	json_put_raw(w, "id", id);
}

static void close_answer(struct json_writer *w)
{
	json_close(w, '}');
	buf_adds(w->out, "\n");
}

static const char *skip_digits(const char *s)
{
	while (*s >= '0' && *s <= '9')
		s++;
	return s;
}

/* RFC 8259, section 6. */
static bool is_json_number(const char *s)
{
	const char *from;

	s += *s == '-';
	from = s;
	s = skip_digits(s);
	if (s == from || (*from == '0' && s > from + 1))
		return false;
	if (*s == '.') {
		from = s + 1;
		s = skip_digits(from);
		if (s == from)
			return false;
	}
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '+' || *s == '-';
		from = s;
		s = skip_digits(from);
		if (s == from)
			return false;
	}
	return !*s;
}

static void put_value(struct json_writer *w, const char *key, const struct msg_ctl_field *f)
{
	switch (f->kind) {
	case CTL_NUM:
	case CTL_LIST_NUM:
		if (is_json_number(f->value))
			json_put_raw(w, key, f->value);
		else
			json_put_string(w, key, f->value);
		break;
	case CTL_BOOL:
		json_put_bool(w, key, strcmp(f->value, "true") == 0 || strcmp(f->value, "1") == 0);
		break;
	case CTL_NULL: json_put_null(w, key); break;
	case CTL_LIST_EMPTY: break;
	default: json_put_string(w, key, f->value);
	}
}

static bool is_list(const struct msg_ctl_field *f)
{
	return f->kind == CTL_LIST_STR || f->kind == CTL_LIST_NUM || f->kind == CTL_LIST_EMPTY;
}

/* The fields from `first` on that share its key: one value, or an array when the kind says so or
 * there are several. */
static void put_fields(struct json_writer *w, const struct msg_ctl_row *row, uint16_t first)
{
	const struct msg_ctl_field *f = &row->fields[first];
	bool list = is_list(f);

	for (uint16_t i = first + 1; i < row->n_fields && !list; i++)
		list = strcmp(row->fields[i].key, f->key) == 0;
	if (!list) {
		put_value(w, f->key, f);
		return;
	}
	json_open(w, f->key, '[');
	for (uint16_t i = first; i < row->n_fields; i++) {
		if (strcmp(row->fields[i].key, f->key) == 0)
			put_value(w, NULL, &row->fields[i]);
	}
	json_close(w, ']');
}

/* Keys are words of the launcher's own; anything else could not be told from another key once it
 * is JSON, and is left out. */
static bool is_key(const char *s)
{
	const char *from = s;

	while ((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || *s == '_')
		s++;
	return !*s && s > from;
}

static bool seen_before(const struct msg_ctl_row *row, uint16_t at)
{
	for (uint16_t i = 0; i < at; i++) {
		if (strcmp(row->fields[i].key, row->fields[at].key) == 0)
			return true;
	}
	return false;
}

void protocol_row(const char *id, const struct msg_ctl_row *row, struct buf *out)
{
	struct json_writer w;

	open_answer(&w, id, out);
	json_open(&w, "row", '{');
	for (uint16_t i = 0; i < row->n_fields; i++) {
		if (is_key(row->fields[i].key) && !seen_before(row, i))
			put_fields(&w, row, i);
	}
	json_close(&w, '}');
	close_answer(&w);
}

/* Whether it can be a JSON string as it is. */
static bool is_text(const char *s, size_t n)
{
	size_t length;

	while (n > 0 && (length = utf8_length(s, n)) > 0) {
		s += length;
		n -= length;
	}
	return n == 0;
}

/* RFC 4648, section 4.  `out` has room for n * 4 / 3 + 5 bytes. */
static void base64(const uint8_t *in, size_t n, char *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)in[i] << 16;

		if (i + 1 < n)
			v |= (uint32_t)in[i + 1] << 8;
		if (i + 2 < n)
			v |= in[i + 2];
		*out++ = digits[v >> 18];
		*out++ = digits[v >> 12 & 63];
		*out++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
		*out++ = i + 2 < n ? digits[v & 63] : '=';
	}
	*out = '\0';
}

void protocol_data(const char *id, const struct msg_ctl_data *data, struct buf *out)
{
	static_assert(sizeof(struct msg_byte) == 1, "data is an array of bytes");
	const char *bytes = (const char *)data->data;
	struct json_writer w;
	char text[MSG_DATA_MAX * 4 / 3 + 5];

	open_answer(&w, id, out);
	if (is_text(bytes, data->n)) {
		memcpy(text, bytes, data->n);
		text[data->n] = '\0';
		json_put_string(&w, "data", text);
	} else {
		base64((const uint8_t *)bytes, data->n, text);
		json_put_string(&w, "base64", text);
	}
	close_answer(&w);
}

static void put_state(struct json_writer *w, const struct msg_ctl_event *m)
{
	json_put_string(w, "state", state_name(m->state));
	json_put_string(w, "before", state_name(m->before));
	json_put_string(w, "reason", m->text);
}

static void put_wake(struct json_writer *w, const struct msg_ctl_event *m)
{
	char client[ADDR_TEXT_MAX];

	json_put_integer(w, "wake", (int64_t)m->wake);
	json_put_string(w, "cause", cause_name(m->cause));
	if (!ip_is_zero(&m->client))
		json_put_string(w, "client", ip_format(&m->client, client));
	if (m->event != CTL_EVENT_WOKEN)
		return;
	json_put_string(w, "result", m->result);
	json_put_integer(w, "took_ms", (int64_t)m->ms);
	json_put_string(w, "reason", m->text);
}

static void put_revision(struct json_writer *w, const struct msg_ctl_event *m)
{
	json_put_integer(w, "revision", (int64_t)m->revision);
	json_put_integer(w, "changes", m->changes);
	json_put_integer(w, "uid", m->uid);
	json_put_string(w, "command", m->text);
}

void protocol_event(const struct msg_ctl_event *m, struct buf *out)
{
	struct json_writer w = { .out = out, .first = true };

	json_open(&w, NULL, '{');
	json_put_integer(&w, "number", (int64_t)m->number);
	json_put_integer(&w, "wall_ms", (int64_t)m->wall_ms);
	json_put_string(&w, "event", ctl_event_name(m->event));
	if (m->service[0])
		json_put_string(&w, "service", m->service);
	switch ((enum ctl_event)m->event) {
	case CTL_EVENT_STATE: put_state(&w, m); break;
	case CTL_EVENT_WAKE:
	case CTL_EVENT_WOKEN: put_wake(&w, m); break;
	case CTL_EVENT_REVISION: put_revision(&w, m); break;
	case CTL_EVENT_RELOAD: json_put_string(&w, "result", m->result); /* fall through */
	case CTL_EVENT_HYPERVISOR:
	case CTL_EVENT_SAVE:
	case CTL_EVENT_ADDRESS: json_put_string(&w, "reason", m->text); break;
	case CTL_EVENT_BEGIN:
	case CTL_EVENT_N: break;
	}
	json_close(&w, '}');
}

void protocol_event_line(const char *id, const char *object, struct buf *out)
{
	struct json_writer w;

	open_answer(&w, id, out);
	json_put_raw(&w, "row", object);
	close_answer(&w);
}

void protocol_missed(const char *id, uint64_t n, struct buf *out)
{
	struct json_writer w;

	open_answer(&w, id, out);
	json_open(&w, "row", '{');
	json_put_string(&w, "event", "missed");
	json_put_integer(&w, "missed", (int64_t)n);
	json_close(&w, '}');
	close_answer(&w);
}

void protocol_end(const char *id, struct buf *out)
{
	struct json_writer w;

	open_answer(&w, id, out);
	json_put_bool(&w, "end", true);
	close_answer(&w);
}

void protocol_error(const char *id, int error, const char *text, struct buf *out)
{
	const char *code = strerrorname_np(-error);
	struct json_writer w;

	open_answer(&w, id, out);
	json_open(&w, "error", '{');
	json_put_string(&w, "code", code && error != 0 ? code : "EIO");
	json_put_string(&w, "text", text);
	if (error == -EPROTONOSUPPORT) {
		json_open(&w, "versions", '[');
		json_put_integer(&w, NULL, PROTOCOL_VERSION);
		json_close(&w, ']');
	}
	json_close(&w, '}');
	close_answer(&w);
}
