#include "cmd/listing.h"

#include <assert.h>

#include "cmd/render.h"

struct listing {
	struct term term;
	enum listing_of of;
	struct table *table;
	struct buf remarks;
	uint64_t rows;
};

struct cell {
	const char *text;
	enum color color;
};

static int add_cells(struct listing *l, const struct cell *cells, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (table_add(l->table, cells[i].text, cells[i].color) < 0)
			return -ENOMEM;
	}
	l->rows++;
	return 0;
}

static const char *duration_cell(const struct json_node *row, const char *key, char *room)
{
	uint64_t ms;

	return row_number(row, key, &ms) ? text_duration(ms, true, room) : "-";
}

/* ---- services ---- */

enum {
	LIST_NAME,
	LIST_STATE,
	LIST_ADDRESS,
	LIST_RUNS,
	LIST_STOPS_IN,
	LIST_WAKES,
	LIST_TOOK,
	LIST_MEMORY,
	LIST_N
};

static const struct table_column service_columns[] = {
	[LIST_NAME] = { "NAME", false, 8, 0 },        [LIST_STATE] = { "STATE", false, 0, 0 },
	[LIST_ADDRESS] = { "ADDRESS", false, 15, 0 }, [LIST_RUNS] = { "RUNS", true, 0, 2 },
	[LIST_STOPS_IN] = { "STOPS IN", true, 0, 1 }, [LIST_WAKES] = { "WAKES", true, 0, 3 },
	[LIST_TOOK] = { "TOOK", true, 0, 4 },         [LIST_MEMORY] = { "MEMORY", true, 0, 5 },
};
static_assert(ARRAY_SIZE(service_columns) == LIST_N, "a column is not described");

/* The first address, and how many more there are. */
static void address_cell(const struct json_node *row, struct buf *out)
{
	const struct json_node *v = json_get(row, "ip");
	const char *instances = row_text(row, "instances");
	unsigned more = 0;

	if (instances) { /* a template */
		buf_addf(out, "%s of %s made", instances, row_text_or(row, "max_instances", "?"));
		return;
	}
	if (v && json_type(v) == JSON_ARRAY) {
		v = json_first(v);
		for (const struct json_node *m = v ? json_next(v) : NULL; m; m = json_next(m))
			more++;
	}
	buf_adds(out, v && json_type(v) == JSON_STRING ? json_string(v) : "-");
	if (more > 0)
		buf_addf(out, " +%u", more);
}

/* "www: not held: ...", below the table; nothing for an empty text. */
static void add_remark(struct listing *l, const char *name, const char *what, const char *text)
{
	size_t taken = text_width(name) + 2 + strlen(what);

	if (!text[0])
		return;
	text_clean(&l->term, name, &l->remarks);
	buf_addf(&l->remarks, ": %s", what);
	text_wrap(&l->term, text, taken, 4, &l->remarks);
}

static int add_service(struct listing *l, const struct json_node *row)
{
	const char *name = row_text_or(row, "name", "?");
	const char *state = row_text(row, "instances") ? "template" : row_text_or(row, "state", "?");
	char runs[TEXT_UNIT_MAX], stops[TEXT_UNIT_MAX], took[TEXT_UNIT_MAX], memory[TEXT_UNIT_MAX] = "-";
	cleanup_buf struct buf address = { 0 };
	uint64_t bytes;

	add_remark(l, name, "", row_text_or(row, "reason", ""));
	add_remark(l, name, "clients are not held: ", row_text_or(row, "not_held_because", ""));
	address_cell(row, &address);
	if (row_number(row, "memory_bytes", &bytes))
		text_bytes(bytes, memory);
	const struct cell cells[] = {
		[LIST_NAME] = { name, COLOR_NONE },
		[LIST_STATE] = { state, render_state_color(state) },
		[LIST_ADDRESS] = { address.text ? address.text : "-", COLOR_NONE },
		[LIST_RUNS] = { duration_cell(row, "running_ms", runs), COLOR_NONE },
		[LIST_STOPS_IN] = { duration_cell(row, "idle_in_ms", stops), COLOR_NONE },
		[LIST_WAKES] = { row_text_or(row, "wakes", "-"), COLOR_NONE },
		[LIST_TOOK] = { duration_cell(row, "last_wake_ms", took), COLOR_NONE },
		[LIST_MEMORY] = { memory, COLOR_NONE },
	};
	return add_cells(l, cells, ARRAY_SIZE(cells));
}

/* ---- flows ---- */

enum { FLOW_SERVICE, FLOW_PROTO_NAME, FLOW_CLIENT, FLOW_PORT, FLOW_AGE, FLOW_PACKETS, FLOW_STATE, FLOW_N };

static const struct table_column flow_columns[] = {
	[FLOW_SERVICE] = { "SERVICE", false, 8, 0 },  [FLOW_PROTO_NAME] = { "PROTO", false, 0, 2 },
	[FLOW_CLIENT] = { "CLIENT", false, 21, 0 },   [FLOW_PORT] = { "PORT", true, 0, 0 },
	[FLOW_AGE] = { "AGE", true, 0, 0 },	      [FLOW_PACKETS] = { "PACKETS", true, 0, 3 },
	[FLOW_STATE] = { "STATE", false, 0, 1 },
};
static_assert(ARRAY_SIZE(flow_columns) == FLOW_N, "a column is not described");

/* "10.0.0.5:40001", "[fd00::5]:40001": as one would write it. */
static void client_cell(const struct json_node *row, struct buf *out)
{
	const char *client = row_text_or(row, "client", "?"), *port = row_text(row, "client_port");
	bool v6 = strchr(client, ':') != NULL;

	buf_addf(out, "%s%s%s", v6 && port ? "[" : "", client, v6 && port ? "]" : "");
	if (port)
		buf_addf(out, ":%s", port);
}

/* The last row has no flow, but how many are held. */
static int add_total(struct listing *l, const struct json_node *row)
{
	uint64_t held;

	if (row_number(row, "held", &held) && held > l->rows)
		buf_addf(&l->remarks, "%llu more are held and not shown\n", (unsigned long long)(held - l->rows));
	return 0;
}

static int add_flow(struct listing *l, const struct json_node *row)
{
	const char *state = row_text_or(row, "state", "?");
	cleanup_buf struct buf client = { 0 };
	char age[TEXT_UNIT_MAX];

	if (!json_get(row, "client"))
		return add_total(l, row);
	client_cell(row, &client);
	const struct cell cells[] = {
		[FLOW_SERVICE] = { row_text_or(row, "service", "?"), COLOR_NONE },
		[FLOW_PROTO_NAME] = { row_text_or(row, "proto", "?"), COLOR_NONE },
		[FLOW_CLIENT] = { client.text ? client.text : "?", COLOR_NONE },
		[FLOW_PORT] = { row_text_or(row, "port", "-"), COLOR_NONE },
		[FLOW_AGE] = { duration_cell(row, "age_ms", age), COLOR_NONE },
		[FLOW_PACKETS] = { row_text_or(row, "packets", "-"), COLOR_NONE },
		[FLOW_STATE] = { state, render_state_color(state) },
	};
	return add_cells(l, cells, ARRAY_SIZE(cells));
}

/* ---- counts: one row, with a line for each that is not zero ---- */

enum { COUNT_WHAT, COUNT_NUMBER, COUNT_N };

static const struct table_column count_columns[] = {
	[COUNT_WHAT] = { "WHAT", false, 16, 0 },
	[COUNT_NUMBER] = { "NUMBER", true, 0, 0 },
};
static_assert(ARRAY_SIZE(count_columns) == COUNT_N, "a column is not described");

/* "type_a" is "type a" to people. */
static void what_cell(const char *key, struct buf *out)
{
	for (; *key; key++)
		buf_addf(out, "%c", *key == '_' ? ' ' : *key);
}

static int add_counts(struct listing *l, const struct json_node *row)
{
	for (const struct json_node *v = json_first(row); v; v = json_next(v)) {
		cleanup_buf struct buf what = { 0 };
		uint64_t n;

		if (!row_number(row, json_key(v), &n) || n == 0)
			continue;
		what_cell(json_key(v), &what);
		const struct cell cells[] = {
			[COUNT_WHAT] = { what.text ? what.text : "?", COLOR_NONE },
			[COUNT_NUMBER] = { row_text_or(row, json_key(v), "?"), COLOR_NONE },
		};
		if (add_cells(l, cells, ARRAY_SIZE(cells)) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* ---- zones ---- */

enum { ZONE_NAME, ZONE_SERIAL, ZONE_SIGNED, ZONE_SECONDARIES, ZONE_FILE, ZONE_N };

static const struct table_column zone_columns[] = {
	[ZONE_NAME] = { "ZONE", false, 12, 0 },	   [ZONE_SERIAL] = { "SERIAL", true, 0, 0 },
	[ZONE_SIGNED] = { "SIGNED", false, 0, 0 }, [ZONE_SECONDARIES] = { "SECONDARIES", false, 11, 0 },
	[ZONE_FILE] = { "FILE", false, 8, 0 },
};
static_assert(ARRAY_SIZE(zone_columns) == ZONE_N, "a column is not described");

/* The first, and how many more there are. */
static void secondaries_cell(const struct json_node *row, struct buf *out)
{
	const struct json_node *v = json_get(row, "secondaries");
	unsigned more = 0;

	v = v && json_type(v) == JSON_ARRAY ? json_first(v) : NULL;
	for (const struct json_node *m = v ? json_next(v) : NULL; m; m = json_next(m))
		more++;
	buf_adds(out, v && json_type(v) == JSON_STRING ? json_string(v) : "-");
	if (more > 0)
		buf_addf(out, " +%u", more);
}

static int add_zone(struct listing *l, const struct json_node *row)
{
	const char *name = row_text_or(row, "zone", "?"), *file = row_text_or(row, "file", "");
	const char *phase = row_text_or(row, "phase", "off");
	cleanup_buf struct buf secondaries = { 0 };

	add_remark(l, name, "", row_text_or(row, "mistake", ""));
	secondaries_cell(row, &secondaries);
	const struct cell cells[] = {
		[ZONE_NAME] = { name, COLOR_NONE },
		[ZONE_SERIAL] = { row_text_or(row, "serial", "-"), COLOR_NONE },
		[ZONE_SIGNED] = { strcmp(phase, "off") == 0 ? "no" : phase, COLOR_NONE },
		[ZONE_SECONDARIES] = { secondaries.text ? secondaries.text : "-", COLOR_NONE },
		[ZONE_FILE] = { *file ? file : "-", COLOR_NONE },
	};
	return add_cells(l, cells, ARRAY_SIZE(cells));
}

/* ---- all ---- */

static const struct {
	const struct table_column *columns;
	size_t n;
	int (*add)(struct listing *l, const struct json_node *row);
} kinds[] = {
	[LISTING_SERVICES] = { service_columns, LIST_N, add_service },
	[LISTING_FLOWS] = { flow_columns, FLOW_N, add_flow },
	[LISTING_COUNTS] = { count_columns, COUNT_N, add_counts },
	[LISTING_ZONES] = { zone_columns, ZONE_N, add_zone },
};
static_assert(ARRAY_SIZE(kinds) == LISTING_N, "a kind is not described");

struct listing *listing_new(enum listing_of of, const struct term *t)
{
	struct listing *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->term = *t;
	l->of = of;
	l->table = table_new(kinds[of].columns, kinds[of].n);
	if (l->table)
		return l;
	free(l);
	return NULL;
}

void listing_free(struct listing *l)
{
	if (!l)
		return;
	table_free(l->table);
	buf_free(&l->remarks);
	free(l);
}

int listing_add(struct listing *l, const struct json_node *row) { return kinds[l->of].add(l, row); }

void listing_print(const struct listing *l, struct buf *out)
{
	table_print(l->table, &l->term, out);
	if (l->remarks.n == 0)
		return;
	if (l->rows > 0)
		buf_adds(out, "\n");
	buf_add(out, l->remarks.text, l->remarks.n);
}
