/* The JSON reader.
 *
 * jsmn cuts the text into tokens, but even its strict mode lets much pass: missing and doubled
 * commas, keys without a value, any word that begins like a literal, numbers like 01 or 1.e,
 * control characters and broken UTF-8 in strings, text behind the end.  And when it does refuse
 * something it does not say why.  So a second step, the walk, follows the text from its first byte
 * to its last with the grammar of RFC 8259 in hand: wherever a value may begin, it must find jsmn's
 * next token at that very place, and between tokens it accepts nothing but white space and the one
 * punctuation mark that belongs there.  What jsmn refused is met by the walk as a token that is not
 * there, and it says what it found instead.  Thus one place decides what is an error, and knows
 * where: the walk counts lines as it goes (line breaks can only be between tokens).
 *
 * The walk leaves an array of nodes, linked by index, and an arena with the decoded strings and the
 * numbers' texts.  A decoded string with its NUL is never longer than its source with the quotes,
 * so the arena is as large as the text and never grows.  The text and jsmn's tokens are given back
 * at the end.
 *
 * Limits: the text's length and the number of values are checked first of all.  Depth must be
 * limited before jsmn sees the text: at each closing bracket it climbs from the newest token to the
 * bracket's opening one, which takes quadratic time in "[[[[...]]]]".  So it is only given the text
 * up to the first bracket that is too deep, and the walk, arriving there, says so.
 */
#include "base/json_internal.h"

#include <assert.h>

#include "base/utf8.h"

#define JSMN_STATIC
#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#include <jsmn.h>

/* The walk's state. */
struct walk {
	const char *text; /* n bytes, then a NUL */
	size_t n;
	size_t pos;
	size_t line_start;
	unsigned line;
	size_t too_deep; /* where the first bracket stands that is too deep; n: nowhere */
	const jsmntok_t *tokens;
	int n_tokens, token; /* `token` is the next to be met */
	struct json *doc;
	size_t arena_n;
	struct json_place *at;
	struct err *e;
};

/* ---- errors ---- */

static struct json_place place_of(const struct walk *w, size_t pos)
{
	return (struct json_place){ w->line, (unsigned)(pos - w->line_start + 1) };
}

static int fail_at(struct walk *w, size_t pos, const char *what)
{
	*w->at = place_of(w, pos);
	return err_set(w->e, -EBADMSG, "%s", what);
}

/* "expected WHAT, got '}'" at the cursor. */
static int fail_expected(struct walk *w, const char *what)
{
	unsigned char c;

	*w->at = place_of(w, w->pos);
	if (w->pos >= w->n)
		return err_set(w->e, -EBADMSG, "expected %s, but the text ends", what);
	c = (unsigned char)w->text[w->pos];
	if (c > 0x20 && c < 0x7f)
		return err_set(w->e, -EBADMSG, "expected %s, got '%c'", what, c);
	return err_set(w->e, -EBADMSG, "expected %s, got byte 0x%02x", what, c);
}

/* ---- strings ---- */

/* The four hex digits at `pos`, or -1. */
static int32_t hex4(const struct walk *w, size_t pos)
{
	int32_t v = 0;

	for (size_t i = pos; i < pos + 4; i++) {
		char c = i < w->n ? w->text[i] : '\0';

		if (c >= '0' && c <= '9')
			v = v << 4 | (c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			v = v << 4 | ((c | 0x20) - 'a' + 10);
		else
			return -1;
	}
	return v;
}

/* The \uXXXX at *pos, or two of them that make a surrogate pair; *pos then stands behind. */
static int decode_unicode(struct walk *w, size_t *pos, char *out, size_t *n)
{
	size_t start = *pos;
	int32_t c = hex4(w, start + 2), low;

	if (c < 0)
		return fail_at(w, start, "\\u must be followed by four hexadecimal digits");
	if (c == 0)
		return fail_at(w, start, "the character U+0000 is not allowed in a string");
	*pos += 6;
	if (c >= 0xd800 && c <= 0xdfff) {
		low = w->n - *pos >= 6 && w->text[*pos] == '\\' && w->text[*pos + 1] == 'u'
		              ? hex4(w, *pos + 2)
		              : -1;
		if (c >= 0xdc00 || low < 0xdc00 || low > 0xdfff)
			return fail_at(w, start, "a surrogate must be one of a pair: high, then low");
		*pos += 6;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	*n += utf8_encode((uint32_t)c, out + *n);
	return 0;
}

static int decode_escape(struct walk *w, size_t *pos, char *out, size_t *n)
{
	char c = *pos + 1 < w->n ? w->text[*pos + 1] : '\0';
	const char *letter = c ? strchr(escape_letters, c) : NULL;

	if (c == 'u')
		return decode_unicode(w, pos, out, n);
	if (!letter)
		return fail_at(w, *pos,
		               "unknown escape: only \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\uXXXX exist");
	out[(*n)++] = escape_values[letter - escape_letters];
	*pos += 2;
	return 0;
}

/* The string whose opening quote stands at the cursor.  Decodes it into the arena and moves behind
 * it. */
static int walk_string(struct walk *w, const char **out)
{
	char *to = w->doc->arena + w->arena_n;
	size_t pos = w->pos + 1, n = 0, len;

	for (;;) {
		int r = 0;

		if (pos >= w->n || w->text[pos] == '\n')
			return fail_at(w, w->pos, "this string is not closed: a double quote is missing");
		if (w->text[pos] == '"')
			break;
		len = utf8_length(w->text + pos, w->n - pos);
		if ((unsigned char)w->text[pos] < 0x20)
			r = fail_at(w, pos, "a control character in a string must be written as an escape");
		else if (len == 0)
			r = fail_at(w, pos, "this is not valid UTF-8");
		else if (w->text[pos] == '\\')
			r = decode_escape(w, &pos, to, &n);
		else {
			memcpy(to + n, w->text + pos, len);
			n += len;
			pos += len;
		}
		if (r < 0)
			return r;
	}
	to[n++] = '\0';
	w->arena_n += n;
	w->pos = pos + 1;
	*out = to;
	return 0;
}

/* ---- the walk ---- */

static void skip_space(struct walk *w)
{
	for (;; w->pos++) {
		char c = w->text[w->pos]; /* the NUL behind the text ends the loop */

		if (c == '\n') {
			w->line++;
			w->line_start = w->pos + 1;
		} else if (c != ' ' && c != '\t' && c != '\r') {
			return;
		}
	}
}

static bool at_char(const struct walk *w, char c) { return w->pos < w->n && w->text[w->pos] == c; }

/* jsmn's next token, if it begins at the cursor. */
static const jsmntok_t *take_token(struct walk *w)
{
	const jsmntok_t *t = &w->tokens[w->token];
	size_t start;

	if (w->token >= w->n_tokens)
		return NULL;
	start = (size_t)t->start - (t->type == JSMN_STRING ? 1 : 0);
	if (start != w->pos)
		return NULL;
	w->token++;
	return t;
}

static struct json_node *add_node(struct walk *w, enum json_type type)
{
	struct json_node *v = &w->doc->nodes[w->doc->n++];

	*v = (struct json_node){ .type = type, .next = NONE, .first = NONE, .last = NONE, .doc = w->doc };
	v->at = place_of(w, w->pos);
	return v;
}

static void adopt(struct json *doc, struct json_node *parent, struct json_node *child)
{
	int i = (int)(child - doc->nodes);

	if (parent->first == NONE)
		parent->first = i;
	else
		doc->nodes[parent->last].next = i;
	parent->last = i;
}

static size_t count_digits(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n && s[i] >= '0' && s[i] <= '9')
		i++;
	return i;
}

/* RFC 8259, 6: [ minus ] int [ frac ] [ exp ] */
static bool is_number(const char *s, size_t n)
{
	size_t i = n > 0 && s[0] == '-', digits = count_digits(s + i, n - i);

	if (digits == 0 || (digits > 1 && s[i] == '0'))
		return false;
	i += digits;
	if (i < n && s[i] == '.') {
		digits = count_digits(s + i + 1, n - i - 1);
		if (digits == 0)
			return false;
		i += 1 + digits;
	}
	if (i < n && (s[i] | 0x20) == 'e') {
		i++;
		if (i < n && (s[i] == '+' || s[i] == '-'))
			i++;
		digits = count_digits(s + i, n - i);
		if (digits == 0)
			return false;
		i += digits;
	}
	return i == n;
}

static bool is_word(const char *s, size_t n, const char *word)
{
	return strlen(word) == n && memcmp(s, word, n) == 0;
}

static int walk_primitive(struct walk *w, const jsmntok_t *t, struct json_node *v)
{
	const char *s = w->text + t->start;
	size_t n = (size_t)(t->end - t->start);

	if (is_word(s, n, "null")) {
		v->type = JSON_NULL;
	} else if (is_word(s, n, "true") || is_word(s, n, "false")) {
		v->type = JSON_BOOL;
		v->truth = *s == 't';
	} else if (is_number(s, n)) {
		char *to = w->doc->arena + w->arena_n;

		memcpy(to, s, n);
		to[n] = '\0';
		w->arena_n += n + 1;
		v->type = JSON_NUMBER;
		v->text = to;
	} else {
		*w->at = v->at;
		return err_set(w->e, -EBADMSG, "\"%.*s\" is no value: words and texts need double quotes",
		               (int)MIN(n, 40), s);
	}
	w->pos += n;
	return 0;
}

static int walk_value(struct walk *w, struct json_node **out);

static int walk_array(struct walk *w, struct json_node *v)
{
	struct json_node *child;
	int r;

	w->pos++;
	skip_space(w);
	while (!at_char(w, ']')) {
		r = walk_value(w, &child);
		if (r < 0)
			return r;
		adopt(w->doc, v, child);
		skip_space(w);
		if (at_char(w, ']'))
			break;
		if (!at_char(w, ','))
			return fail_expected(w, "',' or ']'");
		w->pos++;
		skip_space(w);
		if (at_char(w, ']'))
			return fail_expected(w, "a value");
	}
	w->pos++;
	return 0;
}

/* One `"key": value`. */
static int walk_member(struct walk *w, struct json_node **out)
{
	struct json_place key_at;
	const char *key = NULL;
	int r;

	if (!at_char(w, '"'))
		return fail_expected(w, "a key in double quotes");
	key_at = place_of(w, w->pos);
	take_token(w);
	r = walk_string(w, &key);
	if (r < 0)
		return r;
	skip_space(w);
	if (!at_char(w, ':'))
		return fail_expected(w, "':' after the key");
	w->pos++;
	skip_space(w);
	r = walk_value(w, out);
	if (r < 0)
		return r;
	(*out)->key = key;
	(*out)->key_at = key_at;
	return 0;
}

static int by_key_then_order(const void *a, const void *b)
{
	const struct json_node *const *x = a, *const *y = b;
	int c = strcmp((*x)->key, (*y)->key);

	return c ? c : (*x > *y) - (*x < *y);
}

/* Sorted, so that an object of a million keys takes no quadratic time. */
static int check_duplicates(struct walk *w, const struct json_node *object, size_t n)
{
	cleanup_free const struct json_node **sorted = NULL;
	const struct json_node *v, *twice = NULL;
	size_t i = 0;

	if (n < 2)
		return 0;
	sorted = calloc(n, sizeof(*sorted));
	if (!sorted)
		return err_set(w->e, -ENOMEM, "out of memory");
	for (v = json_first(object); v; v = json_next(v))
		sorted[i++] = v;
	qsort(sorted, n, sizeof(*sorted), by_key_then_order);
	for (i = 1; i < n; i++) {
		if (strcmp(sorted[i - 1]->key, sorted[i]->key) == 0 && (!twice || sorted[i] < twice))
			twice = sorted[i];
	}
	if (!twice)
		return 0;
	*w->at = twice->key_at;
	return err_set(w->e, -EBADMSG, "the key \"%.80s\" is there twice", twice->key);
}

static int walk_object(struct walk *w, struct json_node *v)
{
	struct json_node *child;
	size_t n = 0;
	int r;

	w->pos++;
	skip_space(w);
	while (!at_char(w, '}')) {
		r = walk_member(w, &child);
		if (r < 0)
			return r;
		adopt(w->doc, v, child);
		n++;
		skip_space(w);
		if (at_char(w, '}'))
			break;
		if (!at_char(w, ','))
			return fail_expected(w, "',' or '}'");
		w->pos++;
		skip_space(w);
		if (at_char(w, '}'))
			return fail_expected(w, "a key in double quotes");
	}
	w->pos++;
	return check_duplicates(w, v, n);
}

/* jsmn has no token here: say why. */
static int fail_value(struct walk *w)
{
	static const char begins[] = "\"-0123456789tfn";
	const char *ignored;

	if (w->pos >= w->n || !memchr(begins, w->text[w->pos], sizeof(begins) - 1))
		return fail_expected(w, "a value");
	if (w->text[w->pos] == '"' && walk_string(w, &ignored) < 0)
		return w->e->code;
	return fail_at(w, w->pos, "this is no value: words and texts need double quotes");
}

static int walk_value(struct walk *w, struct json_node **out)
{
	const jsmntok_t *t;

	*w->at = place_of(w, w->pos);
	if (w->pos == w->too_deep && w->pos < w->n)
		return err_set(w->e, -EBADMSG, "nested deeper than %d levels", JSON_DEPTH_MAX);
	if (w->doc->n == JSON_NODES_MAX)
		return err_set(w->e, -E2BIG, "too large: more than %d values", JSON_NODES_MAX);
	t = take_token(w);
	if (!t)
		return fail_value(w);
	*out = add_node(w, JSON_NULL);
	switch (t->type) {
	case JSMN_STRING:
		(*out)->type = JSON_STRING;
		return walk_string(w, &(*out)->text);
	case JSMN_ARRAY:
		(*out)->type = JSON_ARRAY;
		return walk_array(w, *out);
	case JSMN_OBJECT:
		(*out)->type = JSON_OBJECT;
		return walk_object(w, *out);
	default:
		return walk_primitive(w, t, *out);
	}
}

static int walk_document(struct walk *w)
{
	struct json_node *root;
	int r;

	skip_space(w);
	r = walk_value(w, &root);
	if (r < 0)
		return r;
	skip_space(w);
	if (w->pos < w->n)
		return fail_expected(w, "the end of the text");
	return 0;
}

/* ---- tokens ---- */

/* Where the first bracket stands that is nested too deep, as jsmn would count; n for nowhere. */
static size_t find_too_deep(const char *text, size_t n)
{
	bool in_string = false;
	size_t depth = 0;

	for (size_t i = 0; i < n; i++) {
		char c = text[i];

		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '[' || c == '{') && ++depth > JSON_DEPTH_MAX)
			return i;
		else if (!in_string && (c == ']' || c == '}') && depth > 0)
			depth--;
	}
	return n;
}

/* All tokens up to the first thing that jsmn refuses: what that was, the walk finds out.  `size`
 * counts the line feed behind the text, without which jsmn would not see a number's end. */
static int find_tokens(const char *text, size_t size, jsmntok_t **tokens, int *n)
{
	/* A member takes two, so that too many values run out of nodes first. */
	enum { TOKENS_MAX = 2 * JSON_NODES_MAX + 2 };
	size_t room = 0;
	jsmn_parser parser;
	jsmntok_t *more;
	int r;

	jsmn_init(&parser);
	do {
		room = MIN(MAX(room * 2, 64u), (size_t)TOKENS_MAX);
		more = realloc(*tokens, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		*tokens = more;
		r = jsmn_parse(&parser, text, size, *tokens, (unsigned)room);
	} while (r == JSMN_ERROR_NOMEM && room < TOKENS_MAX);
	*n = (int)parser.toknext;
	return 0;
}

static int parse(struct json *doc, struct walk *w)
{
	cleanup_free jsmntok_t *tokens = NULL;
	cleanup_free char *text = malloc(w->n + 2);
	int r;

	if (!text)
		return -ENOMEM;
	memcpy(text, w->text, w->n);
	text[w->n] = '\n';
	text[w->n + 1] = '\0';
	w->too_deep = find_too_deep(text, w->n);
	r = find_tokens(text, MIN(w->too_deep, w->n + 1) + (w->too_deep == w->n), &tokens, &w->n_tokens);
	if (r < 0)
		return r;
	text[w->n] = '\0';
	w->text = text;
	w->tokens = tokens;
	doc->nodes = calloc(MIN((size_t)w->n_tokens + 1, (size_t)JSON_NODES_MAX), sizeof(*doc->nodes));
	doc->arena = malloc(w->n + 2);
	if (!doc->nodes || !doc->arena)
		return -ENOMEM;
	return walk_document(w);
}

struct json *json_parse(const char *text, size_t n, struct json_place *at, struct err *e)
{
	struct walk w = { .text = text, .n = n, .line = 1, .at = at, .e = e };
	struct json *doc;
	int r;

	*at = (struct json_place){ 1, 1 };
	if (n > JSON_TEXT_MAX) {
		err_set(e, -E2BIG, "too large: more than %d bytes", JSON_TEXT_MAX);
		return NULL;
	}
	doc = calloc(1, sizeof(*doc));
	if (!doc) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	w.doc = doc;
	r = parse(doc, &w);
	if (r == 0)
		return doc;
	if (r == -ENOMEM)
		err_set(e, -ENOMEM, "out of memory");
	json_free(doc);
	return NULL;
}

void json_free(struct json *doc)
{
	if (!doc)
		return;
	free(doc->nodes);
	free(doc->arena);
	free(doc);
}
