#include "cmd/table.h"

#include <assert.h>

enum { GAP = 2 };

struct cell {
	char *text;
	enum color color;
};

struct table {
	const struct table_column *columns;
	size_t n_columns;
	struct cell *cells;
	size_t n, room;
};

struct table *table_new(const struct table_column *columns, size_t n)
{
	struct table *t = calloc(1, sizeof(*t));

	assert(n > 0 && n <= TABLE_COLUMNS_MAX);
	if (t)
		*t = (struct table){ .columns = columns, .n_columns = n };
	return t;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		free(t->cells[i].text);
	free(t->cells);
	free(t);
}

int table_add(struct table *t, const char *text, enum color color)
{
	char *copy = strdup(text);

	if (copy && t->n == t->room) {
		size_t room = MAX(t->room * 2, 64u);
		struct cell *cells = reallocarray(t->cells, room, sizeof(*cells));

		if (!cells) {
			free(copy);
			return -ENOMEM;
		}
		t->cells = cells;
		t->room = room;
	}
	if (!copy)
		return -ENOMEM;
	t->cells[t->n++] = (struct cell){ copy, color };
	return 0;
}

/* Of a column that is left out: */
enum { LEFT_OUT = 0 };

static size_t total(const size_t *widths, size_t n)
{
	size_t sum = 0, shown = 0;

	for (size_t i = 0; i < n; i++) {
		sum += widths[i];
		shown += widths[i] != LEFT_OUT;
	}
	return shown > 0 ? sum + GAP * (shown - 1) : 0;
}

/* One letter less where most are; false when no column can do without. */
static bool shrink_widest(const struct table *t, size_t *widths)
{
	size_t best = t->n_columns;

	for (size_t i = 0; i < t->n_columns; i++) {
		if (t->columns[i].min > 0 && widths[i] > t->columns[i].min &&
		    (best == t->n_columns || widths[i] > widths[best]))
			best = i;
	}
	if (best < t->n_columns)
		widths[best]--;
	return best < t->n_columns;
}

static bool leave_one_out(const struct table *t, size_t *widths)
{
	size_t best = t->n_columns;

	for (size_t i = 0; i < t->n_columns; i++) {
		if (widths[i] != LEFT_OUT && t->columns[i].leave > 0 &&
		    (best == t->n_columns || t->columns[i].leave > t->columns[best].leave))
			best = i;
	}
	if (best < t->n_columns)
		widths[best] = LEFT_OUT;
	return best < t->n_columns;
}

static void natural_widths(const struct table *t, size_t *widths)
{
	for (size_t i = 0; i < t->n_columns; i++)
		widths[i] = text_width(t->columns[i].title);
	for (size_t i = 0; i < t->n; i++) {
		size_t *width = &widths[i % t->n_columns];

		*width = MAX(*width, text_width(t->cells[i].text));
	}
}

/* What is left out makes room, so the others get their letters back. */
static void fit(const struct table *t, size_t *widths, size_t room)
{
	size_t natural[TABLE_COLUMNS_MAX];

	natural_widths(t, natural);
	for (;;) {
		memcpy(widths, natural, sizeof(natural));
		while (total(widths, t->n_columns) > room && shrink_widest(t, widths))
			;
		if (total(widths, t->n_columns) <= room || !leave_one_out(t, natural))
			return;
	}
}

static void print_cell(const struct term *term, const char *text, enum color color, size_t width, bool right,
		       bool last, struct buf *out)
{
	size_t pad = width - MIN(width, text_width(text));

	if (right)
		buf_addf(out, "%*s", (int)pad, "");
	color_on(term, color, out);
	text_shorten(term, text, width, out);
	color_off(term, color, out);
	if (!right && !last)
		buf_addf(out, "%*s", (int)pad, "");
	if (!last)
		buf_addf(out, "%*s", GAP, "");
}

/* `cells` NULL: the titles. */
static void print_row(const struct table *t, const struct term *term, const size_t *widths,
		      const struct cell *cells, struct buf *out)
{
	size_t last = t->n_columns - 1;

	while (last > 0 && widths[last] == LEFT_OUT)
		last--;
	for (size_t i = 0; i <= last; i++) {
		const struct table_column *c = &t->columns[i];

		if (widths[i] == LEFT_OUT)
			continue;
		print_cell(term, cells ? cells[i].text : c->title, cells ? cells[i].color : COLOR_BOLD,
			   widths[i], c->right, i == last, out);
	}
	buf_adds(out, "\n");
}

void table_print(const struct table *t, const struct term *term, struct buf *out)
{
	size_t widths[TABLE_COLUMNS_MAX];

	assert(t->n % t->n_columns == 0);
	if (t->n == 0)
		return;
	fit(t, widths, term->width);
	print_row(t, term, widths, NULL, out);
	for (size_t i = 0; i < t->n; i += t->n_columns)
		print_row(t, term, widths, &t->cells[i], out);
}
