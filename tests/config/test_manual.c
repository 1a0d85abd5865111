/* jitsud.conf(5) says of every option what the schema says.  With the argument -w the option list in
 * the page is written anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/load.h"
#include "config/schema.h"

enum { PAGE_MAX = 256 * 1024 };

static const char page_path[] = "man/jitsud.conf.5";
static const char begin_mark[] = ".\\\" options: written by tests/config/test_manual -w\n";
static const char end_mark[] = ".\\\" options: end\n";

/* The page, and where in it the option list stands. */
static void read_page(struct buf *page, char **from, char **to)
{
	if (buf_read_file(page, page_path, PAGE_MAX) < 0)
		fail_msg("%s cannot be read: run this from the top of the tree", page_path);
	*from = strstr(page->text, begin_mark);
	assert_non_null(*from);
	*from += strlen(begin_mark);
	*to = strstr(*from, end_mark);
	assert_non_null(*to);
}

static void test_page_has_the_list_as_the_schema_makes_it(void **state)
{
	cleanup_buf struct buf page = { 0 }, list = { 0 };
	char *from, *to;

	(void)state;
	read_page(&page, &from, &to);
	schema_manual(&list);
	assert_int_equal(list.error, 0);
	*to = '\0';
	if (strcmp(from, list.text) != 0)
		fail_msg("%s is not what config/schema.c says: run this with -w, and read what it wrote",
		         page_path);
}

/* As a reader sees it: roff's escapes and line breaks are gone. */
static void make_plain(const char *roff, struct buf *out)
{
	for (; *roff; roff++) {
		if (strncmp(roff, "\\(dq", 4) == 0) {
			buf_adds(out, "\"");
			roff += 3;
		} else if (strncmp(roff, "\\&", 2) == 0) {
			roff++;
		} else if (strncmp(roff, "\\-", 2) == 0 || strncmp(roff, "\\e", 2) == 0) {
			buf_adds(out, roff[1] == 'e' ? "\\" : "-");
			roff++;
		} else if (*roff == '\n' || *roff == ' ') {
			if (out->n > 0 && out->text[out->n - 1] != ' ')
				buf_adds(out, " ");
		} else {
			buf_add(out, roff, 1);
		}
	}
}

/* `text` with single spaces must be between `from` and `to`. */
static void assert_says(const char *from, const char *to, const struct opt *o, const char *text)
{
	cleanup_buf struct buf plain = { 0 };
	const char *found;

	make_plain(text, &plain);
	found = strstr(from, plain.text);
	if (!found || found > to)
		fail_msg("%s does not say of %s: %s", page_path, o->key, plain.text);
}

/* One option's item begins at *at; moves behind it. */
static void check_option(const struct opt *o, const char **at)
{
	cleanup_buf struct buf head = { 0 }, expected = { 0 };
	const char *from, *to;

	buf_addf(&head, ".It Cm %s ", o->key);
	from = strstr(*at, head.text);
	if (!from) {
		fail_msg("%s has no option %s", page_path, o->key);
		return;
	}
	to = strstr(from + 1, ".It Cm ");
	if (!to)
		to = from + strlen(from);
	opt_expected(o, &expected);
	assert_says(from, to, o, expected.text);
	assert_says(from, to, o, o->help);
	if (o->fallback && strcmp(o->fallback, "{}") != 0)
		assert_says(from, to, o, o->fallback);
	if (o->otherwise)
		assert_says(from, to, o, o->otherwise);
	if (o->flags & OPT_REQUIRED)
		assert_says(from, to, o, "Required.");
	*at = from + 1;
}

static size_t check_schema(const struct schema *s, const char **at)
{
	size_t n = s->n;

	for (size_t i = 0; i < s->n; i++)
		check_option(&s->opts[i], at);
	for (size_t i = 0; i < s->n; i++) {
		if (s->opts[i].of)
			n += check_schema(s->opts[i].of, at);
	}
	return n;
}

static void test_page_says_type_and_default_of_every_row(void **state)
{
	cleanup_buf struct buf page = { 0 }, plain = { 0 };
	char *from, *to;
	const char *at;
	size_t rows, items = 0;

	(void)state;
	read_page(&page, &from, &to);
	*to = '\0';
	make_plain(from, &plain);
	at = plain.text;
	rows = check_schema(&schema_conf, &at);
	for (at = plain.text; (at = strstr(at, ".It Cm ")); at++)
		items++;
	assert_int_equal(items, rows);
	assert_true(rows > 60);
}

static void test_every_row_has_help_and_says_its_default_once(void **state)
{
	const struct schema *todo[32] = { &schema_conf };
	size_t n = 1;

	(void)state;
	for (size_t k = 0; k < n; k++) {
		for (size_t i = 0; i < todo[k]->n; i++) {
			const struct opt *o = &todo[k]->opts[i];

			assert_true(strlen(o->help) > 10 && o->help[strlen(o->help) - 1] == '.');
			assert_false(o->fallback && o->otherwise);
			assert_false((o->flags & OPT_REQUIRED) && (o->fallback || o->otherwise));
			if (o->of)
				todo[n++] = o->of;
		}
	}
}

/* The page's example is one that loads. */
static void test_example_of_the_page_loads(void **state)
{
	cleanup_buf struct buf page = { 0 }, mistakes = { 0 };
	char *from, *to;
	struct conf *c;

	(void)state;
	read_page(&page, &from, &to);
	from = strstr(to, ".Bd -literal\n");
	assert_non_null(from);
	from += strlen(".Bd -literal\n");
	to = strstr(from, ".Ed\n");
	assert_non_null(to);
	c = conf_parse("example", from, (size_t)(to - from), &mistakes);
	if (!c)
		fail_msg("%s", mistakes.text);
	assert_int_equal(c->services.n, 2);
	assert_int_equal(c->services.v[1].stop, STOP_SHUTDOWN);
	conf_free(c);
}

static int write_page(void)
{
	cleanup_buf struct buf page = { 0 }, list = { 0 };
	cleanup_fclose FILE *f = NULL;
	char *from, *to;

	read_page(&page, &from, &to);
	schema_manual(&list);
	f = fopen(page_path, "w");
	if (!f || list.error)
		return 1;
	fprintf(f, "%.*s%s%s", (int)(from - page.text), page.text, list.text, to);
	return ferror(f) ? 1 : 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_page_has_the_list_as_the_schema_makes_it),
		cmocka_unit_test(test_page_says_type_and_default_of_every_row),
		cmocka_unit_test(test_every_row_has_help_and_says_its_default_once),
		cmocka_unit_test(test_example_of_the_page_loads),
	};

	if (argc == 2 && strcmp(argv[1], "-w") == 0)
		return write_page();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
