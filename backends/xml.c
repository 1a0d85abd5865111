#include "backends/xml.h"

void xml_init(struct xml_reader *x, const char *text)
{
	memset(x, 0, sizeof(*x));
	x->at = text;
}

static enum xml_step bad(struct xml_reader *x)
{
	x->bad = true;
	return XML_BAD;
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static bool is_name(char c) { return c && !is_space(c) && !strchr("<>/='\"&", c); }

static size_t name_length(const char *p)
{
	size_t n = 0;

	while (is_name(p[n]))
		n++;
	return n;
}

static bool starts(const char *p, const char *with) { return strncmp(p, with, strlen(with)) == 0; }

/* To behind `what`; false when it never comes. */
static bool skip_to(struct xml_reader *x, const char *what)
{
	const char *found = strstr(x->at, what);

	if (found)
		x->at = found + strlen(what);
	return found != NULL;
}

/* The end of a tag's attributes: a '>' inside quotes does not count. */
static const char *tag_end(const char *p)
{
	char quote = 0;

	for (; *p && *p != '<'; p++) {
		if (quote) {
			if (*p == quote)
				quote = 0;
		} else if (*p == '"' || *p == '\'') {
			quote = *p;
		} else if (*p == '>') {
			return p;
		}
	}
	return NULL;
}

static enum xml_step open_tag(struct xml_reader *x)
{
	const char *name = x->at + 1;
	size_t n = name_length(name);
	const char *end = n > 0 && n < XML_NAME_MAX ? tag_end(name + n) : NULL;

	if (!end || x->depth == XML_DEPTH_MAX)
		return bad(x);
	memcpy(x->names[x->depth], name, n);
	x->names[x->depth][n] = '\0';
	x->depth++;
	x->closes = end[-1] == '/';
	x->begin = name + n;
	x->end = x->closes ? end - 1 : end;
	x->at = end + 1;
	return XML_OPEN;
}

static enum xml_step close_tag(struct xml_reader *x)
{
	const char *name = x->at + 2;
	size_t n = name_length(name);
	const char *p = name + n;

	while (is_space(*p))
		p++;
	if (*p != '>' || x->depth == 0 || strlen(xml_name(x)) != n || memcmp(xml_name(x), name, n) != 0)
		return bad(x);
	x->at = p + 1;
	return XML_CLOSE;
}

/* What is passed over: comments, instructions.  False: it has no end, or is a <!DOCTYPE. */
static bool pass_over(struct xml_reader *x)
{
	if (starts(x->at, "<!--"))
		return skip_to(x, "-->");
	return starts(x->at, "<?") && skip_to(x, "?>");
}

/* The last step's element is left on the stack for xml_name() until the next call. */
enum xml_step xml_next(struct xml_reader *x)
{
	static const char cdata[] = "<![CDATA[";

	if (x->bad)
		return XML_BAD;
	if (x->closes) {
		x->closes = false;
		x->begin = NULL;
		return XML_CLOSE;
	}
	if (!x->begin && x->depth > 0)
		x->depth--; /* the last step was a close */
	x->begin = x->end = x->at;
	while (starts(x->at, "<!--") || starts(x->at, "<?") || starts(x->at, "<!DOCTYPE")) {
		if (!pass_over(x))
			return bad(x);
	}
	if (!*x->at)
		return x->depth == 0 ? XML_END : bad(x);
	if (starts(x->at, cdata)) {
		x->begin = x->at + sizeof(cdata) - 1;
		if (!skip_to(x, "]]>"))
			return bad(x);
		x->end = x->at - 3;
		return XML_TEXT;
	}
	if (starts(x->at, "</")) {
		x->begin = NULL;
		return close_tag(x);
	}
	if (*x->at == '<')
		return open_tag(x);
	x->begin = x->at;
	while (*x->at && *x->at != '<')
		x->at++;
	x->end = x->at;
	return XML_TEXT;
}

const char *xml_name(const struct xml_reader *x) { return x->depth > 0 ? x->names[x->depth - 1] : ""; }

bool xml_at(const struct xml_reader *x, const char *path)
{
	for (unsigned i = 0; i < x->depth; i++) {
		size_t n = strlen(x->names[i]);

		if (strncmp(path, x->names[i], n) != 0)
			return false;
		path += n;
		if (i + 1 < x->depth && *path++ != '/')
			return false;
	}
	return x->depth > 0 && !*path;
}

/* ---- values ---- */

/* One reference ("&amp;", "&#38;") at *p; its character, as one byte of ASCII or '?'. */
static char reference(const char **p, const char *end)
{
	static const struct {
		const char *name;
		char c;
	} known[] = { { "&amp;", '&' }, { "&lt;", '<' }, { "&gt;", '>' }, { "&quot;", '"' }, { "&apos;", '\'' } };
	const char *semicolon = memchr(*p, ';', (size_t)(end - *p));
	unsigned long v;

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if ((size_t)(end - *p) >= strlen(known[i].name) && starts(*p, known[i].name)) {
			*p += strlen(known[i].name);
			return known[i].c;
		}
	}
	if ((*p)[1] != '#' || !semicolon) {
		(*p)++;
		return '&';
	}
	v = (*p)[2] == 'x' ? strtoul(*p + 3, NULL, 16) : strtoul(*p + 2, NULL, 10);
	*p = semicolon + 1;
	return v > 0 && v < 0x80 ? (char)v : '?';
}

static bool decode(const char *p, const char *end, char *out, size_t size)
{
	size_t n = 0;

	while (p < end && n + 1 < size) {
		if (*p == '&')
			out[n++] = reference(&p, end);
		else
			out[n++] = *p++;
	}
	out[n] = '\0';
	return p == end;
}

bool xml_attr(const struct xml_reader *x, const char *name, char *out, size_t size)
{
	const char *p = x->begin;

	out[0] = '\0';
	while (p && p < x->end) {
		const char *key, *value, *close;
		size_t n;

		while (p < x->end && is_space(*p))
			p++;
		key = p;
		n = name_length(p);
		p += n;
		if (n == 0 || p[0] != '=' || (p[1] != '"' && p[1] != '\''))
			return false;
		value = p + 2;
		close = memchr(value, p[1], (size_t)(x->end - value));
		if (!close)
			return false;
		if (strlen(name) == n && memcmp(key, name, n) == 0) {
			if (decode(value, close, out, size))
				return true;
			out[0] = '\0';
			return false;
		}
		p = close + 1;
	}
	return false;
}

void xml_text(const struct xml_reader *x, char *out, size_t size) { decode(x->begin, x->end, out, size); }
