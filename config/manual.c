/* The option list of jitsud.conf(5), from the schema.  tests/config/test_manual compares it with the
 * page and can write it there. */
#include "config/schema.h"

enum { WIDTH = 78 };

/* One word, so that roff takes it as it is. */
static void add_word(struct buf *out, const char *word, size_t n, bool first)
{
	if (first && (word[0] == '.' || word[0] == '\''))
		buf_adds(out, "\\&");
	for (size_t i = 0; i < n; i++) {
		if (word[i] == '\\')
			buf_adds(out, "\\e");
		else
			buf_add(out, &word[i], 1);
	}
}

/* Filled lines; a new one for each sentence, as mdoc likes it. */
static void add_text(struct buf *out, const char *text)
{
	size_t column = 0, n;

	while (*(text += strspn(text, " "))) {
		n = strcspn(text, " ");
		if (column > 0 && column + 1 + n > WIDTH) {
			buf_adds(out, "\n");
			column = 0;
		}
		if (column > 0)
			buf_adds(out, " ");
		add_word(out, text, n, column == 0);
		column += n + (column > 0);
		if (strncmp(text + n, "  ", 2) == 0) {
			buf_adds(out, "\n");
			column = 0;
		}
		text += n;
	}
	buf_adds(out, "\n");
}

/* JSON as the arguments of a macro. */
static void add_literal(struct buf *out, const char *json)
{
	buf_adds(out, ".Li ");
	for (; *json; json++) {
		if (*json == '"')
			buf_adds(out, "\\(dq");
		else if (*json == '-')
			buf_adds(out, "\\-");
		else
			buf_add(out, json, 1);
	}
	buf_adds(out, " .\n");
}

/* What its value may be, as a sentence. */
static void add_type(struct buf *out, const struct opt *o)
{
	cleanup_buf struct buf text = { 0 };

	buf_adds(&text, "Value: ");
	if (o->flags & OPT_LIST)
		buf_addf(&text, "an array of %u to %u, each ", o->least, opt_most(o));
	opt_expected(o, &text);
	if (o->of)
		buf_addf(&text, " (see %s)", o->of->path);
	buf_adds(&text, o->flags & OPT_SECONDS ? "; a bare number counts seconds." : ".");
	if (text.error)
		out->error = text.error;
	else
		add_text(out, text.text);
}

static void add_default(struct buf *out, const struct opt *o)
{
	cleanup_buf struct buf text = { 0 };

	if (o->fallback && !(o->of && !(o->flags & OPT_LIST))) {
		buf_adds(out, "Default:\n");
		add_literal(out, o->fallback);
	} else if (o->otherwise) {
		buf_addf(&text, "Default: %s.", o->otherwise);
		add_text(out, text.text ? text.text : "");
	} else if (o->flags & OPT_REQUIRED) {
		buf_adds(out, "Required.\n");
	} else if (!o->fallback) {
		buf_adds(out, "Default: none.\n");
	}
}

static void add_option(struct buf *out, const struct opt *o)
{
	buf_addf(out, ".It Cm %s\n", o->key);
	add_text(out, o->help);
	buf_adds(out, ".Pp\n");
	add_type(out, o);
	add_default(out, o);
}

static void add_schema(struct buf *out, const struct schema *s)
{
	if (s->path[0])
		buf_addf(out, ".Ss %s: %s\n", s->path, s->name);
	else
		buf_addf(out, ".Ss %s\n", s->name);
	buf_adds(out, ".Bl -tag -width Ds\n");
	for (size_t i = 0; i < s->n; i++)
		add_option(out, &s->opts[i]);
	buf_adds(out, ".El\n");
	for (size_t i = 0; i < s->n; i++) {
		if (s->opts[i].of)
			add_schema(out, s->opts[i].of);
	}
}

void schema_manual(struct buf *out) { add_schema(out, &schema_conf); }
