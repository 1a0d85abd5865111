/* Two listings: what is shown, and the one that is coming in.  The order is made anew for each, and equal ones
 * are in the order of their names, so that lines do not jump about.
 */
#include "cmd/top.h"

#include <assert.h>
#include <inttypes.h>

#include "base/msg.h"
#include "cmd/render.h"
#include "cmd/table.h"

enum { HEAD_LINES = 3 };

struct entry {
	char name[MSG_NAME_MAX], state[16], client[64], by[16];
	uint64_t held, memory, wakes;
	bool holds, woken, runs;
	uint64_t woken_ago_ms, took_ms, running_ms;
};

struct listing {
	struct entry *v;
	size_t n, room;
};

enum sort { SORT_NAME, SORT_STATE, SORT_HELD, SORT_MEMORY, SORT_WOKEN, SORT_TOOK, SORT_N };

struct top {
	struct listing now, next;
	enum sort sort;
	size_t first; /* of the services, on the screen */
	size_t page; /* how many are on it */
	bool listed; /* there was one */
	char complaint[256];
};

/* ---- rows ---- */

static struct entry *add(struct listing *l)
{
	if (l->n == l->room) {
		size_t room = MAX(l->room * 2, (size_t)64);
		struct entry *v = reallocarray(l->v, room, sizeof(*v));

		if (!v)
			return NULL;
		l->v = v;
		l->room = room;
	}
	l->v[l->n] = (struct entry){ 0 };
	return &l->v[l->n++];
}

void top_begin(struct top *t) { t->next.n = 0; }

int top_add(struct top *t, const struct json_node *row)
{
	struct entry *e = add(&t->next);

	if (!e)
		return -ENOMEM;
	snprintf(e->name, sizeof(e->name), "%s", row_text_or(row, "name", "?"));
	snprintf(e->state, sizeof(e->state), "%s", row_text_or(row, "state", "?"));
	snprintf(e->client, sizeof(e->client), "%s", row_text_or(row, "woken_by_client", ""));
	snprintf(e->by, sizeof(e->by), "%s", row_text_or(row, "woken_by", ""));
	e->holds = row_number(row, "held", &e->held);
	row_number(row, "memory_bytes", &e->memory);
	row_number(row, "wakes", &e->wakes);
	row_number(row, "last_wake_ms", &e->took_ms);
	e->woken = row_number(row, "woken_ago_ms", &e->woken_ago_ms);
	e->runs = row_number(row, "running_ms", &e->running_ms);
	return 0;
}

/* ---- order ---- */

/* What an operator looks for comes first. */
static int state_rank(const char *state)
{
	static const char *const ranks[] = { "failed",	 "conflict", "starting", "booting",   "draining", "stopping",
					     "up",	 "adopted",  "suspended", "warm",     "saved",	  "off" };

	for (int i = 0; i < (int)ARRAY_SIZE(ranks); i++) {
		if (strcmp(ranks[i], state) == 0)
			return i;
	}
	return -1;
}

static int more_first(uint64_t a, uint64_t b) { return a < b ? 1 : a > b ? -1 : 0; }

/* Not woken is longer ago than anything. */
static uint64_t woken_ago(const struct entry *e) { return e->woken ? e->woken_ago_ms : UINT64_MAX; }

static int compare(const void *a, const void *b, void *arg)
{
	const struct entry *x = a, *y = b;
	enum sort sort = *(const enum sort *)arg;
	int r = 0;

	switch (sort) {
	case SORT_STATE: r = state_rank(x->state) - state_rank(y->state); break;
	case SORT_HELD: r = more_first(x->held, y->held); break;
	case SORT_MEMORY: r = more_first(x->runs ? x->memory : 0, y->runs ? y->memory : 0); break;
	case SORT_WOKEN: r = more_first(woken_ago(y), woken_ago(x)); break;
	case SORT_TOOK: r = more_first(x->took_ms, y->took_ms); break;
	case SORT_NAME:
	case SORT_N: break;
	}
	return r ? r : strcmp(x->name, y->name);
}

static void sort(struct top *t)
{
	if (t->now.n > 0)
		qsort_r(t->now.v, t->now.n, sizeof(*t->now.v), compare, &t->sort);
}

void top_done(struct top *t)
{
	struct listing old = t->now;

	t->now = t->next;
	t->next = old;
	t->listed = true;
	t->complaint[0] = '\0';
	sort(t);
}

void top_complain(struct top *t, const char *text) { snprintf(t->complaint, sizeof(t->complaint), "%s", text); }

/* ---- keys ---- */

static size_t last_page(const struct top *t) { return t->now.n > t->page ? t->now.n - t->page : 0; }

bool top_key(struct top *t, int key)
{
	size_t last = last_page(t);

	switch (key) {
	case 'q':
	case 'Q': return false;
	case 's': t->sort = (t->sort + 1) % SORT_N; break;
	case 'S': t->sort = (t->sort + SORT_N - 1) % SORT_N; break;
	case 'k':
	case TOP_UP: t->first -= MIN(t->first, (size_t)1); break;
	case 'j':
	case TOP_DOWN: t->first = MIN(t->first + 1, last); break;
	case TOP_PAGE_UP: t->first -= MIN(t->first, t->page); break;
	case ' ':
	case TOP_PAGE_DOWN: t->first = MIN(t->first + t->page, last); break;
	case TOP_HOME: t->first = 0; break;
	case TOP_END: t->first = last; break;
	default: return true;
	}
	if (key == 's' || key == 'S')
		sort(t);
	return true;
}

/* ---- the screen ---- */

static void count(const struct top *t, size_t *up, size_t *between, size_t *failed, uint64_t *held, uint64_t *memory)
{
	for (size_t i = 0; i < t->now.n; i++) {
		const struct entry *e = &t->now.v[i];
		int rank = state_rank(e->state);

		*up += rank >= state_rank("up") && rank <= state_rank("adopted");
		*between += rank >= state_rank("starting") && rank <= state_rank("stopping");
		*failed += rank >= 0 && rank < state_rank("starting");
		*held += e->held;
		*memory += e->runs ? e->memory : 0;
	}
}

static void add_line(const struct term *term, enum color c, const char *text, struct buf *out)
{
	color_on(term, c, out);
	text_shorten(term, text, term->width, out);
	color_off(term, c, out);
	buf_adds(out, "\n");
}

static void add_head(const struct top *t, const struct term *term, struct buf *out)
{
	static const char *const sorts[SORT_N] = {
		[SORT_NAME] = "name", [SORT_STATE] = "state", [SORT_HELD] = "held",
		[SORT_MEMORY] = "memory", [SORT_WOKEN] = "last wake", [SORT_TOOK] = "time of the last wake",
	};
	size_t up = 0, between = 0, failed = 0;
	uint64_t held = 0, memory = 0;
	char room[TEXT_UNIT_MAX], line[256];

	count(t, &up, &between, &failed, &held, &memory);
	snprintf(line, sizeof(line), "%zu services: %zu up, %zu on their way, %zu failed; %s used; %" PRIu64 " held",
		 t->now.n, up, between, failed, text_bytes(memory, room), held);
	add_line(term, COLOR_NONE, t->listed ? line : "jitsud is asked", out);
	snprintf(line, sizeof(line), "sorted by %s; keys: s sort, j k space scroll, q quit", sorts[t->sort]);
	add_line(term, t->complaint[0] ? COLOR_RED : COLOR_DIM, t->complaint[0] ? t->complaint : line, out);
	buf_adds(out, "\n");
}

enum { NAME, STATE, CLIENT, HELD, MEMORY, RUNS, WOKEN, TOOK, COLUMNS_N };

static const struct table_column columns[] = {
	[NAME] = { "NAME", false, 8, 0 },     [STATE] = { "STATE", false, 0, 0 },
	[CLIENT] = { "CLIENT", false, 9, 2 }, [HELD] = { "HELD", true, 0, 0 },
	[MEMORY] = { "MEMORY", true, 0, 0 },  [RUNS] = { "RUNS", true, 0, 1 },
	[WOKEN] = { "WOKEN", true, 0, 0 },    [TOOK] = { "TOOK", true, 0, 0 },
};
static_assert(ARRAY_SIZE(columns) == COLUMNS_N, "a column is not described");

static const char *duration(bool known, uint64_t ms, char *room)
{
	return known ? text_duration(ms, true, room) : "-";
}

static void add_entry(struct table *table, const struct entry *e)
{
	char held[24] = "-", memory[TEXT_UNIT_MAX], runs[TEXT_UNIT_MAX], woken[TEXT_UNIT_MAX], took[TEXT_UNIT_MAX];

	if (e->holds)
		snprintf(held, sizeof(held), "%" PRIu64, e->held);
	table_add(table, e->name, COLOR_NONE);
	table_add(table, e->state, render_state_color(e->state));
	table_add(table, e->client[0] ? e->client : e->by[0] ? e->by : "-", COLOR_NONE);
	table_add(table, held, e->held ? COLOR_CYAN : COLOR_NONE);
	table_add(table, text_bytes(e->memory, memory), e->runs ? COLOR_NONE : COLOR_DIM);
	table_add(table, duration(e->runs, e->running_ms, runs), COLOR_NONE);
	table_add(table, duration(e->woken, e->woken_ago_ms, woken), COLOR_NONE);
	table_add(table, duration(e->took_ms > 0, e->took_ms, took), COLOR_NONE);
}

static void add_services(const struct top *t, const struct term *term, size_t first, size_t n, struct buf *out)
{
	struct table *table = table_new(columns, COLUMNS_N);

	for (size_t i = first; table && i < first + n; i++)
		add_entry(table, &t->now.v[i]);
	if (table)
		table_print(table, term, out);
	table_free(table);
}

static void add_screen(struct top *t, const struct term *term, size_t height, struct buf *out)
{
	size_t n;
	char line[64];

	/* the head, the titles, and a line that says how many there are more */
	t->page = height > HEAD_LINES + 3 ? height - HEAD_LINES - 2 : 1;
	t->first = MIN(t->first, last_page(t));
	n = MIN(t->page, t->now.n - t->first);
	add_head(t, term, out);
	add_services(t, term, t->first, n, out);
	if (n == t->now.n)
		return;
	snprintf(line, sizeof(line), "%zu to %zu of %zu", t->first + 1, t->first + n, t->now.n);
	add_line(term, COLOR_DIM, line, out);
}

/* As many bytes as so many lines take, for a screen with room for little more than the head. */
static size_t length_of_lines(const char *text, size_t n)
{
	const char *at = text;

	for (; *at && n > 0; n--)
		at += strcspn(at, "\n") + 1;
	return (size_t)(at - text);
}

void top_print(struct top *t, const struct term *term, size_t height, struct buf *out)
{
	cleanup_buf struct buf all = { 0 };

	if (height == 0)
		add_services(t, term, 0, t->now.n, out);
	else
		add_screen(t, term, height, &all);
	if (all.text)
		buf_add(out, all.text, length_of_lines(all.text, height));
}

/* ---- life ---- */

struct top *top_new(void) { return calloc(1, sizeof(struct top)); }

void top_free(struct top *t)
{
	if (!t)
		return;
	free(t->now.v);
	free(t->next.v);
	free(t);
}
