/* What completion offers, from tables of the test's own and the options of a service. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cmd/complete.h"
#include "cmd/record.h"

static const struct complete_command commands[] = {
	{ "list", "", "all of them", false },
	{ "show", "NAME", "one of them", false },
	{ "trace", "[NAME] [-n N]", "wakes", false },
	{ "console", "NAME [-f]", "its console", false },
	{ "add", "NAME --KEY VALUE... | -f FILE", "a new one", true },
	{ "set", "NAME KEY=VALUE...", "change it", true },
	{ "pin", "NAME up|down", "keep it", true },
	{ "diff", "REVISION", "changes", false },
	{ "import", "FILE [--exact]", "many", true },
	{ "dnssec", "ACTION [ZONE]", "sign", false },
	{ "help", "[COMMAND]", "this", false },
};

static bool command(size_t i, struct complete_command *out)
{
	if (i >= sizeof(commands) / sizeof(commands[0]))
		return false;
	*out = commands[i];
	return true;
}

static unsigned n_asked;

static void rows(void *arg, const char *verb, const char *field, struct complete_out *out)
{
	(void)arg;
	n_asked++;
	if (strcmp(verb, "list") == 0 && strcmp(field, "name") == 0) {
		complete_add(out, "www", "up");
		complete_add(out, "web", "off");
		complete_add(out, "we\nb; rm", "forged");
	} else if (strcmp(verb, "history") == 0 && strcmp(field, "revision") == 0) {
		complete_add(out, "12", "");
	} else if (strcmp(verb, "dnssec-status") == 0 && strcmp(field, "zone") == 0) {
		complete_add(out, "jitsu.example", "");
	} else {
		fail_msg("asked for %s of %s", field, verb);
	}
}

/* The words, without descriptions, of `jitsuctl WORD...`, each followed by a space. */
static char *offered(const char *const *words)
{
	static const struct complete_source source = { command, rows, NULL };
	static char out[65536];
	struct buf text = { 0 };
	char *copy, *rest, *line;
	int n = 0;

	while (words[n])
		n++;
	complete(&source, n, (char **)words, &text);
	out[0] = '\0';
	rest = copy = strdup(text.text ? text.text : "");
	while ((line = strsep(&rest, "\n")) && *line) {
		line[strcspn(line, "\t")] = '\0';
		strncat(out, line, sizeof(out) - strlen(out) - 2);
		strcat(out, " ");
	}
	free(copy);
	buf_free(&text);
	return out;
}
#define OFFERED(...) offered((const char *const[]){ __VA_ARGS__, NULL })

static void test_commands(void **state)
{
	(void)state;
	assert_string_equal(OFFERED(""), "list show trace console add set pin diff import dnssec help ");
	assert_string_equal(OFFERED("s"), "show set ");
	assert_string_equal(OFFERED("--json", "s"), "show set ");
	assert_string_equal(OFFERED("help", "di"), "diff ");
	assert_string_equal(OFFERED("x"), "");
	assert_string_equal(OFFERED("nonsense", ""), "list show trace console add set pin diff import dnssec help ");
}

static void test_names(void **state)
{
	(void)state;
	n_asked = 0;
	assert_string_equal(OFFERED("show", ""), "www web ");
	assert_string_equal(OFFERED("show", "we"), "web ");
	assert_string_equal(OFFERED("-S", "/a/socket", "show", "ww"), "www ");
	assert_string_equal(OFFERED("trace", "-n", "5", "ww"), "www ");
	assert_string_equal(OFFERED("diff", ""), "12 ");
	assert_string_equal(OFFERED("dnssec", "roll", ""), "jitsu.example ");
	assert_int_equal(n_asked, 6);
	assert_string_equal(OFFERED("show", "www", ""), "");
	assert_string_equal(OFFERED("list", ""), "");
	assert_string_equal(OFFERED("add", ""), ""); /* a new one */
	assert_string_equal(OFFERED("trace", "-n", ""), "");
	assert_int_equal(n_asked, 6);
}

static void test_words_of_a_usage(void **state)
{
	(void)state;
	assert_string_equal(OFFERED("pin", "www", ""), "up down ");
	assert_string_equal(OFFERED("pin", "www", "d"), "down ");
	assert_string_equal(OFFERED("import", ""), ":files ");
	assert_string_equal(OFFERED("import", "--exact", "x"), ":files ");
	assert_string_equal(OFFERED("add", "-f", ""), ":files ");
	assert_string_equal(OFFERED("-S", ""), ":files ");
	assert_string_equal(OFFERED("dnssec", "r"), "roll ");
}

static void test_options(void **state)
{
	(void)state;
	assert_string_equal(OFFERED("-"), "--json --no-color --socket --help ");
	assert_string_equal(OFFERED("list", "--j"), "--json ");
	assert_string_equal(OFFERED("console", "www", "-"), "-f --json --no-color --socket --help ");
	assert_string_equal(OFFERED("trace", "-n"), "-n ");
	assert_string_equal(OFFERED("pin", "--d"), "--dry-run ");
	assert_string_equal(OFFERED("show", "--d"), "");
	assert_string_equal(OFFERED("import", "--e"), "--exact ");
	assert_string_equal(OFFERED("dnssec", "enable", "z", "--a"), "--algorithm ");
	assert_string_equal(OFFERED("dnssec", "enable", "z", "--algorithm", "ed"), "ed25519 ");
	assert_non_null(strstr(OFFERED("add", "x", "-"), "-f "));
}

static void test_options_of_a_service(void **state)
{
	const struct opt *o;

	(void)state;
	assert_string_equal(OFFERED("set", "www", "idle"), "idle-timeout= ");
	assert_string_equal(OFFERED("set", "www", "ttl=1s", "kern"), "kernel= ");
	assert_string_equal(OFFERED("add", "x", "--idle"), "--idle-timeout ");
	assert_string_equal(OFFERED("add", "x", "--idle-timeout", "2s", "--kern"), "--kernel ");
	assert_string_equal(OFFERED("set", "www", "hold=p"), "hold=park ");
	assert_string_equal(OFFERED("set", "www", "enabled="), "enabled=true enabled=false ");
	assert_string_equal(OFFERED("add", "x", "--hold", "p"), "park ");
	assert_string_equal(OFFERED("set", "www", "nonsense="), "");
	assert_string_equal(OFFERED("set", "www", "name"), "");
	/* each of them, whatever its help says */
	for (size_t i = 0; (o = record_nth(i)); i++) {
		char word[64], expected[66];

		snprintf(word, sizeof(word), "--%s", o->key);
		for (char *c = word; *c; c++)
			*c = *c == '_' ? '-' : *c;
		snprintf(expected, sizeof(expected), "%s ", word);
		assert_non_null(strstr(OFFERED("add", "x", word), expected));
	}
}

/* Any number of words, and long ones. */
static void test_nonsense(void **state)
{
	char word[5000];

	(void)state;
	memset(word, 'x', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	assert_string_equal(OFFERED(word), "");
	assert_string_equal(OFFERED("set", "www", word), "");
	word[4000] = '=';
	assert_string_equal(OFFERED("set", "www", word), "");
	assert_string_equal(OFFERED("add", word, word, "--", "-", ""), "");
	assert_string_equal(offered((const char *const[]){ NULL }), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_words_of_a_usage),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_options_of_a_service),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
