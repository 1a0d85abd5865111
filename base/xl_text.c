#include "base/xl_text.h"

#include <ctype.h>

enum { LIST_DEPTH_MAX = 8 };

struct reader {
	const char *at;
	unsigned line;
	struct err *e;
};

static int bad(const struct reader *r, const char *what) { return err_set(r->e, -EBADMSG, "%u: %s", r->line, what); }

/* Blanks and comments; the ends of lines, too, where they have no meaning. */
static void skip_blanks(struct reader *r, bool lines)
{
	for (;; r->at++) {
		if (*r->at == '#')
			r->at += strcspn(r->at, "\n");
		if (*r->at == '\n' && lines)
			r->line++;
		else if (*r->at != ' ' && *r->at != '\t' && *r->at != '\r')
			return;
	}
}

static void put(char *out, size_t size, size_t *n, char c)
{
	if (out && *n + 1 < size)
		out[(*n)++] = c;
}

/* Escapes are kept as the character they hide: names and numbers, which is what is read here, have none. */
static int read_quoted(struct reader *r, char *out, size_t size)
{
	char quote = *r->at++;
	size_t n = 0;

	for (; *r->at != quote; r->at++) {
		if (*r->at == '\0' || *r->at == '\n')
			return bad(r, "a quotation mark is not closed");
		if (*r->at == '\\' && r->at[1] && r->at[1] != '\n')
			r->at++;
		put(out, size, &n, *r->at);
	}
	r->at++;
	if (out)
		out[n] = '\0';
	return 0;
}

static int read_plain(struct reader *r, char *out, size_t size)
{
	size_t n = 0;

	for (; isalnum((unsigned char)*r->at) || *r->at == '_' || *r->at == '-'; r->at++)
		put(out, size, &n, *r->at);
	if (out)
		out[n] = '\0';
	return n > 0 || !out ? 0 : bad(r, "expected a number, a text in quotation marks, or a list");
}

static int read_list(struct reader *r, unsigned depth)
{
	int error = 0;

	if (depth == LIST_DEPTH_MAX)
		return bad(r, "lists in lists in lists");
	r->at++;
	for (;;) {
		skip_blanks(r, true);
		if (*r->at == ']') {
			r->at++;
			return 0;
		}
		if (*r->at == '\'' || *r->at == '"')
			error = read_quoted(r, NULL, 0);
		else if (*r->at == '[')
			error = read_list(r, depth + 1);
		else if (isalnum((unsigned char)*r->at))
			error = read_plain(r, NULL, 0);
		else
			error = bad(r, "a list is not closed");
		if (error < 0)
			return error;
		skip_blanks(r, true);
		if (*r->at == ',')
			r->at++;
		else if (*r->at != ']')
			return bad(r, "expected ',' or ']' in a list");
	}
}

static int read_value(struct reader *r, struct xl_option *o)
{
	o->is_list = *r->at == '[';
	if (o->is_list)
		return read_list(r, 0);
	if (*r->at == '\'' || *r->at == '"')
		return read_quoted(r, o->value, sizeof(o->value));
	return read_plain(r, o->value, sizeof(o->value));
}

static int read_option(struct reader *r, struct xl_option *o)
{
	size_t n = 0;
	int error;

	*o = (struct xl_option){ .line = r->line };
	for (; isalnum((unsigned char)*r->at) || *r->at == '_'; r->at++)
		put(o->key, sizeof(o->key), &n, *r->at);
	if (n == 0)
		return bad(r, "expected the name of an option");
	skip_blanks(r, false);
	o->adds = *r->at == '+';
	r->at += o->adds;
	if (*r->at != '=')
		return bad(r, "expected '=' behind the name of an option");
	r->at++;
	skip_blanks(r, false);
	error = read_value(r, o);
	if (error < 0)
		return error;
	skip_blanks(r, false);
	if (*r->at && *r->at != '\n' && *r->at != ';')
		return bad(r, "there is more in the line than one option");
	return 0;
}

int xl_text_each(const char *text, int (*fn)(void *arg, const struct xl_option *o), void *arg, struct err *e)
{
	struct reader r = { .at = text, .line = 1, .e = e };
	struct xl_option o;
	int error = 0;

	while (error == 0) {
		skip_blanks(&r, true);
		while (*r.at == ';') {
			r.at++;
			skip_blanks(&r, true);
		}
		if (!*r.at)
			return 0;
		error = read_option(&r, &o);
		if (error == 0)
			error = fn(arg, &o);
	}
	return error;
}

struct wanted {
	char value[XL_TEXT_VALUE_MAX];
	bool found;
};

static int take_name(void *arg, const struct xl_option *o)
{
	struct wanted *w = arg;

	if (strcmp(o->key, "name") == 0 && !o->is_list) {
		str_copy(w->value, o->value);
		w->found = true;
	}
	return 0;
}

int xl_text_name(const char *text, char *name, size_t size, struct err *e)
{
	struct wanted w = { .found = false };
	int error = xl_text_each(text, take_name, &w, e);

	if (error < 0)
		return error;
	if (!w.found)
		return err_set(e, -ENOENT, "1: it has no \"name\"");
	for (const char *c = w.value; *c; c++) {
		if (*c < ' ' || *c > '~' || *c == '/')
			return err_set(e, -EINVAL, "1: its name has a letter that no name should have");
	}
	if (!w.value[0] || strlen(w.value) >= size)
		return err_set(e, -EINVAL, "1: its name is empty, or too long");
	str_copy_n(name, size, w.value);
	return 0;
}
