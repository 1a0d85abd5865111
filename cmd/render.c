#include "cmd/render.h"

#include <assert.h>

#include "cmd/waterfall.h"

/* ---- rows ---- */

static const char *node_text(const struct json_node *v)
{
	if (v && json_type(v) == JSON_STRING)
		return json_string(v);
	if (v && json_type(v) == JSON_NUMBER)
		return json_number_text(v);
	return NULL;
}

static bool node_number(const struct json_node *v, uint64_t *out)
{
	int64_t n;

	if (!v || json_type(v) != JSON_NUMBER || json_integer(v, &n) < 0 || n < 0)
		return false;
	*out = (uint64_t)n;
	return true;
}

const char *row_text(const struct json_node *row, const char *key) { return node_text(json_get(row, key)); }

bool row_number(const struct json_node *row, const char *key, uint64_t *out)
{
	return node_number(json_get(row, key), out);
}

const char *row_text_or(const struct json_node *row, const char *key, const char *instead)
{
	const char *text = row_text(row, key);

	return text ? text : instead;
}

static void put_json(struct json_writer *w, const char *key, const struct json_node *v)
{
	switch (json_type(v)) {
	case JSON_NULL: json_put_null(w, key); return;
	case JSON_BOOL: json_put_bool(w, key, json_bool(v)); return;
	case JSON_NUMBER: json_put_raw(w, key, json_number_text(v)); return;
	case JSON_STRING: json_put_string(w, key, json_string(v)); return;
	case JSON_ARRAY:
	case JSON_OBJECT: break;
	}
	json_open(w, key, json_type(v) == JSON_ARRAY ? '[' : '{');
	for (const struct json_node *m = json_first(v); m; m = json_next(m))
		put_json(w, json_key(m), m); /* no deeper than the reader lets a document be */
	json_close(w, json_type(v) == JSON_ARRAY ? ']' : '}');
}

void render_json(const struct json_node *v, struct buf *out)
{
	struct json_writer w = { .out = out, .first = true };

	put_json(&w, NULL, v);
	buf_adds(out, "\n");
}

/* ---- fields ---- */

enum color render_state_color(const char *state)
{
	static const struct {
		const char *state;
		enum color color;
	} colors[] = {
		{ "up", COLOR_GREEN },       { "adopted", COLOR_GREEN }, { "starting", COLOR_YELLOW },
		{ "booting", COLOR_YELLOW }, { "draining", COLOR_CYAN }, { "stopping", COLOR_CYAN },
		{ "failed", COLOR_RED },     { "conflict", COLOR_RED },  { "off", COLOR_DIM },
		{ "suspended", COLOR_DIM },  { "saved", COLOR_DIM },     { "warm", COLOR_DIM },
	};

	for (size_t i = 0; i < ARRAY_SIZE(colors); i++) {
		if (strcmp(colors[i].state, state) == 0)
			return colors[i].color;
	}
	return COLOR_NONE;
}

enum { LABEL_COLUMNS = 18 };

enum unit { UNIT_NONE, UNIT_AGO_MS, UNIT_MS, UNIT_US, UNIT_S, UNIT_BYTES, UNIT_WALL_MS };

/* The first that fits counts. */
static const struct suffix {
	const char *end;
	enum unit unit;
} suffixes[] = {
	{ "_ago_ms", UNIT_AGO_MS }, { "_ms_ago", UNIT_AGO_MS }, { "_wall_ms", UNIT_WALL_MS },
	{ "_ms", UNIT_MS },         { "_us", UNIT_US },         { "_bytes", UNIT_BYTES },
	{ "_s", UNIT_S },
};

static enum unit unit_of(const char *key, size_t *stem)
{
	size_t n = strlen(key);

	*stem = n;
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		size_t length = strlen(suffixes[i].end);

		if (n <= length || strcmp(key + n - length, suffixes[i].end) != 0)
			continue;
		*stem = n - length;
		return suffixes[i].unit;
	}
	return UNIT_NONE;
}

/* "idle_in_ms" is shown as "idle in". */
static void put_label(const char *key, size_t stem, const struct term *t, struct buf *out)
{
	char label[64];

	stem = MIN(stem, sizeof(label) - 1);
	for (size_t i = 0; i < stem; i++)
		label[i] = key[i] == '_' ? ' ' : key[i];
	label[stem] = '\0';
	color_on(t, COLOR_DIM, out);
	text_clean(t, label, out);
	color_off(t, COLOR_DIM, out);
	buf_addf(out, "%*s", (int)(LABEL_COLUMNS - MIN(text_width(label), (size_t)LABEL_COLUMNS - 1)), "");
}

static const char *with_unit(uint64_t n, enum unit unit, uint64_t now_wall_ms, char *room)
{
	switch (unit) {
	case UNIT_AGO_MS:
		text_duration(n, false, room);
		strncat(room, " ago", TEXT_UNIT_MAX - strlen(room) - 1);
		return room;
	case UNIT_MS: return text_duration(n, false, room);
	case UNIT_S: return text_duration(n > UINT64_MAX / 1000 ? UINT64_MAX : n * 1000, false, room);
	case UNIT_BYTES: return text_bytes(n, room);
	case UNIT_WALL_MS: return text_time(n, now_wall_ms, room);
	case UNIT_US:
		snprintf(room, TEXT_UNIT_MAX, "%llu.%03u ms", (unsigned long long)(n / 1000),
			 (unsigned)(n % 1000));
		return room;
	case UNIT_NONE: break;
	}
	return NULL;
}

/* One value, not a list, as it is shown; `room` is TEXT_UNIT_MAX bytes. */
static const char *value_text(const struct json_node *v, enum unit unit, uint64_t now_wall_ms, char *room)
{
	const char *text = NULL;
	uint64_t n;

	if (node_number(v, &n))
		text = with_unit(n, unit, now_wall_ms, room);
	if (!text)
		text = node_text(v);
	if (!text && json_type(v) == JSON_BOOL)
		text = json_bool(v) ? "yes" : "no";
	if (!text && json_type(v) == JSON_NULL && unit == UNIT_MS) /* a time that does not come */
		text = "never";
	return text && *text ? text : "-";
}

static void put_field(const struct json_node *v, const struct term *t, uint64_t now_wall_ms, struct buf *out)
{
	char room[TEXT_UNIT_MAX];
	size_t stem;
	enum unit unit = unit_of(json_key(v), &stem);
	bool list = json_type(v) == JSON_ARRAY;
	const struct json_node *m = list ? json_first(v) : v;

	put_label(json_key(v), stem, t, out);
	if (!m)
		buf_adds(out, "-\n");
	for (bool first = true; m; first = false, m = list ? json_next(m) : NULL) {
		const char *text = value_text(m, unit, now_wall_ms, room);
		enum color c = strcmp(json_key(v), "state") == 0 ? render_state_color(text) : COLOR_NONE;

		if (!first)
			buf_addf(out, "%*s", LABEL_COLUMNS, "");
		color_on(t, c, out);
		if (json_type(m) == JSON_OBJECT || json_type(m) == JSON_ARRAY)
			render_json(m, out);
		else
			text_wrap(t, text, LABEL_COLUMNS, LABEL_COLUMNS, out);
		color_off(t, c, out);
	}
}

void render_fields(const struct json_node *row, const struct term *t, uint64_t now_wall_ms, struct buf *out)
{
	for (const struct json_node *v = json_first(row); v; v = json_next(v))
		put_field(v, t, now_wall_ms, out);
}

/* ---- why ---- */

static const char *const why_told[] = {
	"name",
	"reason",
	"state",
	"since_ms_ago",
	"woken_by",
	"woken_by_client",
	"woken_ago_ms",
	"kept_up_by",
	"stops_in_ms",
	"last_stop_reason",
	"last_stop_ago_ms",
	"last_error",
	"instances",
	"max_instances",
	"template",
	"ends_in_ms",
};

static bool is_told(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(why_told); i++) {
		if (strcmp(why_told[i], key) == 0)
			return true;
	}
	return false;
}

static void say(const struct term *t, struct buf *sentence, struct buf *out)
{
	if (sentence->n > 0)
		text_wrap(t, sentence->text, 0, 2, out);
	buf_clear(sentence);
}

/* "cli" is how the protocol calls it. */
static const char *cause_text(const char *cause) { return strcmp(cause, "cli") == 0 ? "jitsuctl" : cause; }

static void say_woken(const struct json_node *row, struct buf *s)
{
	const char *by = row_text_or(row, "woken_by", ""), *client = row_text_or(row, "woken_by_client", "");
	char room[TEXT_UNIT_MAX];
	uint64_t ms;

	if (!by[0])
		return;
	buf_addf(s, "It was last woken by %s", cause_text(by));
	if (client[0])
		buf_addf(s, " from %s", client);
	if (row_number(row, "woken_ago_ms", &ms))
		buf_addf(s, ", %s ago", text_duration(ms, false, room));
	buf_adds(s, ".");
}

static void say_template(const struct json_node *row, struct buf *s)
{
	const char *instances = row_text(row, "instances"), *template = row_text(row, "template");
	char room[TEXT_UNIT_MAX];
	uint64_t ms;

	if (instances)
		buf_addf(s, "It is a template, of which %s of at most %s instances are made.", instances,
			 row_text_or(row, "max_instances", "?"));
	if (template)
		buf_addf(s, "It is an instance of %s", template);
	if (template && row_number(row, "ends_in_ms", &ms))
		buf_addf(s, ", and is removed in %s if nobody asks for it", text_duration(ms, false, room));
	if (template)
		buf_adds(s, ".");
}

static void say_kept_up(const struct json_node *row, const struct term *t, struct buf *out)
{
	const struct json_node *v = json_get(row, "kept_up_by");

	if (!v || json_type(v) != JSON_ARRAY || !json_first(v))
		return;
	buf_adds(out, "It is kept up by:\n");
	for (const struct json_node *m = json_first(v); m; m = json_next(m)) {
		buf_adds(out, "  - ");
		text_wrap(t, node_text(m) ? node_text(m) : "?", 4, 4, out);
	}
}

static void say_last_stop(const struct json_node *row, struct buf *s)
{
	const char *reason = row_text_or(row, "last_stop_reason", "");
	char room[TEXT_UNIT_MAX];
	uint64_t ms;

	if (!reason[0])
		return;
	buf_adds(s, "It last stopped");
	if (row_number(row, "last_stop_ago_ms", &ms))
		buf_addf(s, " %s ago", text_duration(ms, false, room));
	buf_addf(s, ": %s.", reason);
}

void render_why(const struct json_node *row, const char *name, const struct term *t, uint64_t now_wall_ms,
		struct buf *out)
{
	cleanup_buf struct buf s = { 0 };
	const char *error = row_text_or(row, "last_error", ""), *reason = row_text_or(row, "reason", "");
	char room[TEXT_UNIT_MAX];
	uint64_t ms;
	bool since = row_number(row, "since_ms_ago", &ms);

	if (!row_text(row, "instances")) {
		buf_addf(&s, "%s %s %s", row_text_or(row, "name", name), since ? "has been" : "is",
			 row_text_or(row, "state", "?"));
		if (since)
			buf_addf(&s, " for %s", text_duration(ms, false, room));
		buf_adds(&s, ".");
	}
	say(t, &s, out);
	say_template(row, &s);
	say(t, &s, out);
	say_woken(row, &s);
	say(t, &s, out);
	say_kept_up(row, t, out);
	if (row_number(row, "stops_in_ms", &ms))
		buf_addf(&s, "It stops in %s if nobody uses it until then.", text_duration(ms, false, room));
	say(t, &s, out);
	say_last_stop(row, &s);
	say(t, &s, out);
	if (error[0])
		buf_addf(&s, "The last error: %s", error);
	say(t, &s, out);
	if (reason[0] && strcmp(reason, error) != 0)
		buf_addf(&s, "A remark: %s", reason);
	say(t, &s, out);
	for (const struct json_node *v = json_first(row); v; v = json_next(v)) {
		if (!is_told(json_key(v)))
			put_field(v, t, now_wall_ms, out);
	}
}

/* ---- trace, log ---- */

void render_wake(const struct json_node *row, const struct term *t, uint64_t now_wall_ms, struct buf *out)
{
	struct waterfall w = {
		.service = row_text_or(row, "service", "?"),
		.cause = cause_text(row_text_or(row, "cause", "")),
		.client = row_text_or(row, "client", ""),
		.result = row_text_or(row, "result", "?"),
		.reason = row_text_or(row, "reason", ""),
	};
	uint64_t us;

	row_number(row, "wake", &w.wake);
	row_number(row, "wall_ms", &w.wall_ms);
	for (unsigned m = 0; m < MARK_N; m++)
		w.us[m] = row_number(row, waterfall_key((enum waterfall_mark)m), &us) ? (int64_t)us : -1;
	waterfall_draw(&w, t, now_wall_ms, out);
}

void render_log(const struct json_node *row, const struct term *t, uint64_t now_wall_ms, struct buf *out)
{
	const char *level = row_text_or(row, "level", "?");
	enum color c = strcmp(level, "error") == 0  ? COLOR_RED
		       : strcmp(level, "warn") == 0 ? COLOR_YELLOW
						    : COLOR_NONE;
	char when[TEXT_UNIT_MAX];
	uint64_t wall_ms;

	if (row_number(row, "wall_ms", &wall_ms)) {
		color_on(t, COLOR_DIM, out);
		buf_adds(out, text_time(wall_ms, now_wall_ms, when));
		color_off(t, COLOR_DIM, out);
		buf_adds(out, " ");
	}
	color_on(t, c, out);
	text_clean(t, level, out);
	color_off(t, c, out);
	buf_adds(out, " ");
	text_clean(t, row_text_or(row, "process", "?"), out);
	buf_adds(out, ": ");
	text_clean(t, row_text_or(row, "line", ""), out);
	buf_adds(out, "\n");
}
