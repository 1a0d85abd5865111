#include "cmd/waterfall.h"

#include <assert.h>

enum { NAME_COLUMNS = 10, MS_COLUMNS = 9, BAR_AT = 2 + NAME_COLUMNS + MS_COLUMNS + 2, BAR_MIN = 10 };

static const struct mark {
	const char *key, *name;
	enum color color;
} marks[] = {
	[MARK_HEARD] = { "t_wake_us", "heard", COLOR_DIM },
	[MARK_SYN] = { "t_syn_us", "SYN", COLOR_DIM },
	[MARK_START] = { "t_start_us", "start", COLOR_CYAN },
	[MARK_RUNNING] = { "t_running_us", "running", COLOR_BLUE },
	[MARK_LINK] = { "t_link_us", "ARP", COLOR_MAGENTA },
	[MARK_PORT] = { "t_port_us", "port open", COLOR_YELLOW },
	[MARK_MOVED] = { "t_moved_us", "FDB moved", COLOR_CYAN },
	[MARK_RELEASED] = { "t_released_us", "released", COLOR_GREEN },
	[MARK_FIRST_BYTE] = { "t_first_byte_us", "first byte", COLOR_GREEN },
	[MARK_UP] = { "t_up_us", "up", COLOR_GREEN },
	[MARK_ANSWERED] = { "t_answered_us", "answered", COLOR_GREEN },
	[MARK_FAILED] = { "t_failed_us", "failed", COLOR_RED },
};
static_assert(ARRAY_SIZE(marks) == MARK_N, "a mark has no name");

const char *waterfall_key(enum waterfall_mark mark) { return marks[mark].key; }

/* Tenths of a millisecond: every time is rounded first and subtracted then, so that what is shown
 * adds up. */
static uint64_t tenths(int64_t us) { return ((uint64_t)us + 50) / 100; }

static void add_ms(uint64_t t, int width, struct buf *out)
{
	buf_addf(out, "%*llu.%u", MAX(width - 2, 0), (unsigned long long)(t / 10), (unsigned)(t % 10));
}

/* The marks that were reached, by time; how many. */
static size_t in_order(const struct waterfall *w, enum waterfall_mark order[MARK_N])
{
	size_t n = 0;

	for (unsigned m = 0; m < MARK_N; m++) {
		size_t at = n;

		if (w->us[m] < 0)
			continue;
		for (; at > 0 && w->us[order[at - 1]] > w->us[m]; at--)
			order[at] = order[at - 1];
		order[at] = (enum waterfall_mark)m;
		n++;
	}
	return n;
}

static void add_times(const char *s, size_t n, struct buf *out)
{
	while (n-- > 0)
		buf_adds(out, s);
}

/* The bar from `from` to `to` of `all`, `room` columns wide: the first column is where it begins,
 * it ends exact to an eighth of a column (to a whole one in ASCII), and something is always
 * seen. */
static void add_bar(uint64_t from, uint64_t to, uint64_t all, size_t room, const struct term *t,
		    enum color color, struct buf *out)
{
	static const char *const eighths[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
	size_t first = all > 0 ? (size_t)(from * room / all) : 0, length;

	first = MIN(first, room - 1);
	length = all > 0 ? (size_t)(to * room * 8 / all) : 0;
	length = length > first * 8 ? length - first * 8 : 0;
	length = MAX(length, 1u);
	buf_addf(out, "%*s", (int)first, "");
	color_on(t, color, out);
	if (t->utf8) {
		add_times("█", length / 8, out);
		buf_adds(out, eighths[length % 8]);
	} else {
		add_times("#", MAX(length / 8, 1u), out);
	}
	color_off(t, color, out);
	buf_adds(out, "\n");
}

static void draw_phases(const struct waterfall *w, const struct term *t, size_t width, struct buf *out)
{
	enum waterfall_mark order[MARK_N];
	size_t n = in_order(w, order), room = width > BAR_AT + BAR_MIN ? width - BAR_AT : BAR_MIN;
	uint64_t all = n > 0 ? tenths(w->us[order[n - 1]]) : 0, last = 0;

	for (size_t i = 0; i < n; i++) {
		const struct mark *m = &marks[order[i]];
		uint64_t now = tenths(w->us[order[i]]);

		buf_addf(out, "  %-*s", NAME_COLUMNS, m->name);
		add_ms(now - last, MS_COLUMNS, out);
		buf_adds(out, "  ");
		add_bar(last, now, all, room, t, m->color, out);
		last = now;
	}
	if (n == 0)
		return;
	buf_addf(out, "  %-*s", NAME_COLUMNS, "total");
	add_ms(all, MS_COLUMNS, out);
	buf_adds(out, " ms\n");
}

static bool is_up(const struct waterfall *w) { return strcmp(w->result, "up") == 0; }

static enum color result_color(const struct waterfall *w)
{
	if (is_up(w))
		return COLOR_GREEN;
	return strcmp(w->result, "under way") == 0 ? COLOR_YELLOW : COLOR_RED;
}

/* "www  wake 7  14:03:22.123  up in 97.4 ms": the name is shortened when the rest needs the
 * room. */
static void draw_header(const struct waterfall *w, const struct term *t, size_t width, uint64_t now_wall_ms,
			struct buf *out)
{
	cleanup_buf struct buf rest = { 0 };
	char when[TEXT_UNIT_MAX];
	enum color color = result_color(w);
	size_t taken;

	buf_addf(&rest, "  wake %llu  %s  ", (unsigned long long)w->wake,
		 text_time(w->wall_ms, now_wall_ms, when));
	taken = rest.n + text_width(w->result) + sizeof(" in 99999.9 ms");
	color_on(t, COLOR_BOLD, out);
	text_shorten(t, w->service, MAX(width, taken + 8) - taken, out);
	color_off(t, COLOR_BOLD, out);
	buf_adds(out, rest.text ? rest.text : "");
	color_on(t, color, out);
	text_clean(t, w->result, out);
	if (is_up(w) && w->us[MARK_UP] >= 0) {
		buf_adds(out, " in ");
		add_ms(tenths(w->us[MARK_UP]), 0, out);
		buf_adds(out, " ms");
	}
	color_off(t, color, out);
	buf_adds(out, "\n");
}

static void draw_asked(const struct waterfall *w, const struct term *t, struct buf *out)
{
	buf_addf(out, "  %-*s", NAME_COLUMNS, "asked");
	add_ms(0, MS_COLUMNS, out);
	buf_adds(out, "  ");
	text_clean(t, w->cause[0] ? w->cause : "?", out);
	if (w->client[0]) {
		buf_adds(out, ", ");
		text_clean(t, w->client, out);
	}
	buf_adds(out, "\n");
}

void waterfall_draw(const struct waterfall *w, const struct term *t, uint64_t now_wall_ms, struct buf *out)
{
	size_t width = MIN(t->width, (unsigned)WATERFALL_WIDTH_MAX);
	struct term narrow = *t;

	narrow.width = (unsigned)width;
	draw_header(w, &narrow, width, now_wall_ms, out);
	draw_asked(w, &narrow, out);
	draw_phases(w, &narrow, width, out);
	if (w->reason[0]) {
		buf_addf(out, "  %-*s", NAME_COLUMNS, is_up(w) ? "note" : "why");
		text_wrap(&narrow, w->reason, 2 + NAME_COLUMNS, 2 + NAME_COLUMNS, out);
	}
}
