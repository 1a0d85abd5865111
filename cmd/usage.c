#include "cmd/usage.h"
#include "cmd/dnssec.h"
#include "cmd/edit.h"
#include "cmd/old_jitsu.h"
#include "cmd/subcommands.h"

enum { WORDS_WIDTH = 23 };

static const char option_help[] = "Options:\n"
				  "  -n N               at most N wakes, flows, events or lines (1..1000)\n"
				  "  -f, --follow       go on until ^C\n"
				  "      --dry-run      tell what a change would be, and change nothing\n"
				  "      --raw          console: escape sequences too\n"
				  "      --json         a JSON object per row, on a line each\n"
				  "      --no-color     no colour (nor with NO_COLOR set, nor into a pipe)\n"
				  "  -S, --socket PATH  jitsud's control socket; else $JITSU_SOCKET, else\n"
				  "                     " CLIENT_SOCKET_DEFAULT "\n"
				  "  -h, --help         this text\n"
				  "      --version\n";

/* What does not fit before its meaning has a line of its own. */
static void print_command(FILE *f, const char *name, const char *args, const char *usage)
{
	char words[64];
	int n = snprintf(words, sizeof(words), "%-7s %s", name, args);

	if (n <= WORDS_WIDTH)
		fprintf(f, "  %-*s %s\n", WORDS_WIDTH, words, usage);
	else
		fprintf(f, "  %s\n  %*s %s\n", words, WORDS_WIDTH, "", usage);
}

void usage_print(FILE *f)
{
	struct complete_command c;

	fprintf(f, "Usage: jitsuctl [OPTION]... COMMAND [NAME]\n\nCommands:\n");
	for (size_t i = 0; subcommand_nth(i, &c); i++)
		print_command(f, c.name, c.args, c.usage);
	fprintf(f, "\n%s\nThe manual: man 8 jitsuctl\n", option_help);
}

static void print_dnssec_help(FILE *f)
{
	const struct dnssec_action *a;

	fprintf(f, "\nActions:\n");
	for (size_t i = 0; (a = dnssec_action_nth(i)); i++)
		fprintf(f, "  dnssec %s %s\n      %s\n", a->name, a->args, a->usage);
	fprintf(f, "\nOptions:\n"
		   "  --algorithm NAME   of the key: ecdsap256sha256 (the default) or ed25519\n"
		   "  --ds-ttl SECONDS   how long resolvers keep the parent's DS (86400)\n"
		   "  --force            do the step now, without waiting for caches\n"
		   "  --yes-ds-is-gone   you have looked: the parent has no DS any more\n");
}

static void print_usage_of(FILE *f, const struct subcommand *s)
{
	fprintf(f, "Usage: jitsuctl [OPTION]... %s%s%s\n%s\n", s->name, *s->args ? " " : "", s->args,
		s->usage);
	if (s->takes_name == NAME_DNSSEC)
		print_dnssec_help(f);
}

static void print_edit_help(const struct edit_command *c)
{
	struct term term = term_of_stdout(true);
	cleanup_buf struct buf options = { 0 };

	printf("Usage: jitsuctl [OPTION]... %s%s%s\n%s\n", c->name, *c->args ? " " : "", c->args, c->usage);
	if (c->takes & EDIT_CHANGES)
		puts("  --dry-run          check it, and change nothing");
	if (!(c->takes & EDIT_WORDS))
		return;
	record_help(&term, &options);
	printf("%s", options.text ? options.text : "");
}

void usage_print_old(void)
{
	cleanup_buf struct buf help = { 0 };

	old_jitsu_help(&help);
	printf("Usage: jitsuctl [OPTION]... import-jitsu [OLD-OPTION]... KEY=VALUE,...\n%s", help.text ? help.text : "");
}

int usage_print_of(const char *command, struct err *e)
{
	const struct edit_command *edit = edit_command_find(command);
	const struct subcommand *s = edit ? NULL : subcommand_find(command, e);

	if (edit)
		print_edit_help(edit);
	else if (!s)
		return e->code;
	else if (s->exec == subcommand_do_import_jitsu)
		usage_print_old();
	else
		print_usage_of(stdout, s);
	return 0;
}

int usage_error(const char *text)
{
	fprintf(stderr, "jitsuctl: %s\nTry: jitsuctl help\n", text);
	return EXIT_USAGE;
}
