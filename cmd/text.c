#include "cmd/text.h"

#include <assert.h>
#include <langinfo.h>
#include <sys/ioctl.h>
#include <time.h>

#include "base/utf8.h"

/* ---- the terminal ---- */

static unsigned columns(void)
{
	const char *env = getenv("COLUMNS");
	struct winsize size;
	unsigned width = 0;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		width = size.ws_col;
	if (width == 0 && env)
		width = (unsigned)strtoul(env, NULL, 10);
	if (width == 0 || width > 1000)
		width = TERM_WIDTH_DEFAULT;
	return MAX(width, (unsigned)TERM_WIDTH_MIN);
}

struct term term_of_stdout(bool plain)
{
	const char *no_color = getenv("NO_COLOR"), *type = getenv("TERM");

	return (struct term){
		.width = columns(),
		.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0,
		.color = !plain && isatty(STDOUT_FILENO) && !(no_color && *no_color) && type &&
			 strcmp(type, "dumb") != 0,
	};
}

static const char *const color_codes[] = {
	[COLOR_NONE] = "",      [COLOR_RED] = "31",  [COLOR_GREEN] = "32",
	[COLOR_YELLOW] = "33",  [COLOR_BLUE] = "34", [COLOR_CYAN] = "36",
	[COLOR_MAGENTA] = "35", [COLOR_DIM] = "2",   [COLOR_BOLD] = "1",
};
static_assert(ARRAY_SIZE(color_codes) == COLOR_N, "a colour has no code");

void color_on(const struct term *t, enum color c, struct buf *out)
{
	if (t->color && c != COLOR_NONE)
		buf_addf(out, "\033[%sm", color_codes[c]);
}

void color_off(const struct term *t, enum color c, struct buf *out)
{
	if (t->color && c != COLOR_NONE)
		buf_adds(out, "\033[0m");
}

/* ---- foreign text ---- */

/* Bytes of the next character, at least 1; *shown tells whether it may reach the terminal. */
static size_t next_char(const char *s, bool utf8, bool *shown)
{
	size_t n = utf8_length(s, strlen(s));
	uint32_t point = n > 0 ? utf8_point(s) : 0;

	/* U+0080..9F are control characters to many a terminal; U+2028 to 202E and U+2066 to 2069
	 * break lines or turn the direction of what follows. */
	*shown = point >= 0x20 && point != 0x7f && (utf8 || point < 0x80) &&
		 !(point >= 0x80 && point < 0xa0) && !(point >= 0x2028 && point <= 0x202e) &&
		 !(point >= 0x2066 && point <= 0x2069);
	return MAX(n, 1u);
}

size_t text_width(const char *s)
{
	size_t width = 0;
	bool shown;

	for (; *s; width++)
		s += next_char(s, true, &shown);
	return width;
}

/* At most `width` columns of it. */
static const char *add_clean(const struct term *t, const char *s, size_t width, struct buf *out)
{
	while (*s && width-- > 0) {
		bool shown;
		size_t n = next_char(s, t->utf8, &shown);

		if (shown)
			buf_add(out, s, n);
		else
			buf_adds(out, "?");
		s += n;
	}
	return s;
}

void text_clean(const struct term *t, const char *s, struct buf *out) { add_clean(t, s, SIZE_MAX, out); }

size_t text_shorten(const struct term *t, const char *s, size_t width, struct buf *out)
{
	const char *ellipsis = t->utf8 ? "…" : "~";
	size_t whole = text_width(s);

	if (whole <= width) {
		text_clean(t, s, out);
		return whole;
	}
	if (width == 0)
		return 0;
	add_clean(t, s, width - 1, out);
	buf_adds(out, ellipsis);
	return width;
}

void text_wrap(const struct term *t, const char *s, size_t first, size_t indent, struct buf *out)
{
	size_t at = first;
	bool fresh = true; /* nothing of the text is on this line yet */

	while (*s) {
		size_t bytes = strcspn(s, " "), width;
		char word[512];

		bytes = MIN(bytes, sizeof(word) - 1);
		memcpy(word, s, bytes);
		word[bytes] = '\0';
		width = text_width(word);
		if (!fresh && at + 1 + width > t->width) {
			buf_addf(out, "\n%*s", (int)indent, "");
			at = indent;
		} else if (!fresh) {
			buf_adds(out, " ");
			at++;
		}
		text_clean(t, word, out);
		at += width;
		fresh = false;
		s += bytes;
		s += strspn(s, " ");
	}
	buf_adds(out, "\n");
}

/* ---- units ---- */

const char *text_duration(uint64_t ms, bool compact, char *out)
{
	static const struct {
		uint64_t below_ms, big_ms, small_ms;
		const char *big, *small, *big_short, *small_short;
	} forms[] = {
		{ 3600000, 60000, 1000, "min", "s", "m", "s" },
		{ 86400000, 3600000, 60000, "h", "min", "h", "m" },
		{ UINT64_MAX, 86400000, 3600000, "d", "h", "d", "h" },
	};
	const char *gap = compact ? "" : " ";
	size_t i = 0;

	if (ms < 1000) {
		snprintf(out, TEXT_UNIT_MAX, "%u%sms", (unsigned)ms, gap);
		return out;
	}
	if (ms < 60000) {
		unsigned tenths = (unsigned)(ms / 100);

		if (tenths < 100 && tenths % 10 != 0)
			snprintf(out, TEXT_UNIT_MAX, "%u.%u%ss", tenths / 10, tenths % 10, gap);
		else
			snprintf(out, TEXT_UNIT_MAX, "%u%ss", tenths / 10, gap);
		return out;
	}
	while (ms >= forms[i].below_ms && i + 1 < ARRAY_SIZE(forms))
		i++;
	snprintf(out, TEXT_UNIT_MAX, "%llu%s%s", (unsigned long long)(ms / forms[i].big_ms), gap,
		 compact ? forms[i].big_short : forms[i].big);
	ms = ms % forms[i].big_ms / forms[i].small_ms;
	if (ms > 0)
		snprintf(out + strlen(out), TEXT_UNIT_MAX - strlen(out), "%s%u%s%s", gap, (unsigned)ms, gap,
			 compact ? forms[i].small_short : forms[i].small);
	return out;
}

const char *text_bytes(uint64_t bytes, char *out)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	uint64_t rest = 0;
	size_t unit = 0;

	while (bytes >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
		rest = bytes % 1024;
		bytes /= 1024;
		unit++;
	}
	if (rest * 10 / 1024 > 0 && bytes < 100)
		snprintf(out, TEXT_UNIT_MAX, "%u.%u %s", (unsigned)bytes, (unsigned)(rest * 10 / 1024),
			 units[unit]);
	else
		snprintf(out, TEXT_UNIT_MAX, "%u %s", (unsigned)bytes, units[unit]);
	return out;
}

const char *text_time(uint64_t wall_ms, uint64_t now_wall_ms, char *out)
{
	time_t then = (time_t)(wall_ms / 1000), now = (time_t)(now_wall_ms / 1000);
	struct tm tm, today;
	size_t n;

	if (!localtime_r(&then, &tm) || !localtime_r(&now, &today)) {
		str_copy_n(out, TEXT_UNIT_MAX, "?");
		return out;
	}
	if (tm.tm_yday == today.tm_yday && tm.tm_year == today.tm_year)
		n = strftime(out, TEXT_UNIT_MAX, "%H:%M:%S", &tm);
	else
		n = strftime(out, TEXT_UNIT_MAX, "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(out + n, TEXT_UNIT_MAX - n, ".%03u", (unsigned)(wall_ms % 1000));
	return out;
}

/* ---- consoles ---- */

/* Text: what of it may be shown.  C2 is kept back, because with 80..9F after it, it is a control
 * character; behind any other byte it was the first of a harmless one. */
static void filter_text(struct text_filter *f, const struct term *t, uint8_t c, struct buf *out)
{
	char one = (char)c;

	if (c == 0x1b)
		f->state = FILTER_ESCAPE;
	else if (c == 0xc2 && t->utf8)
		f->state = FILTER_C2;
	else if (c >= 0x80 && !t->utf8)
		buf_adds(out, "?");
	else if (c == '\n' || c == '\r' || c == '\t' || c == '\b' || (c >= 0x20 && c != 0x7f))
		buf_add(out, &one, 1);
}

/* ECMA-48: ESC [ parameters final (40..7E); ESC ] P X ^ _ text BEL or ESC \; ESC and one more. */
static void filter_byte(struct text_filter *f, const struct term *t, uint8_t c, struct buf *out)
{
	switch (f->state) {
	case FILTER_TEXT: filter_text(f, t, c, out); break;
	case FILTER_ESCAPE:
		if (c == '[')
			f->state = FILTER_SEQUENCE;
		else if (c != '\0' && strchr("]PX^_", c))
			f->state = FILTER_STRING;
		else if (c < 0x20 || c > 0x2f) /* an intermediate byte has more behind it */
			f->state = FILTER_TEXT;
		break;
	case FILTER_SEQUENCE:
		if (c >= 0x40 && c <= 0x7e)
			f->state = FILTER_TEXT;
		break;
	case FILTER_STRING:
		if (c == 0x07)
			f->state = FILTER_TEXT;
		else if (c == 0x1b)
			f->state = FILTER_STRING_ESCAPE;
		break;
	case FILTER_STRING_ESCAPE: f->state = c == '\\' ? FILTER_TEXT : FILTER_STRING; break;
	case FILTER_C2:
		f->state = FILTER_TEXT;
		if (c >= 0xa0 && c <= 0xbf)
			buf_add(out, (char[]){ (char)0xc2, (char)c }, 2);
		else if (c < 0x80 || c > 0x9f)
			filter_text(f, t, c, out);
		break;
	}
}

void text_filter(struct text_filter *f, const struct term *t, const char *s, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++)
		filter_byte(f, t, (uint8_t)s[i], out);
}
