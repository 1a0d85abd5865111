#include "cmd/complete.h"

#include "cmd/dnssec.h"
#include "cmd/record.h"
#include "config/schema.h"

enum { SPEC_MAX = 64 };

/* Options of every command, or nearly; with a description. */
static const struct {
	const char *name, *description;
} common_options[] = {
	{ "--json", "a JSON object per row" },
	{ "--no-color", "no colour" },
	{ "--socket", "jitsud's control socket" },
	{ "--help", "what the command takes" },
};

/* Options that are followed by a word of their own. */
static const struct {
	const char *name, *spec;
} valued_options[] = {
	{ "-S", "FILE" }, { "--socket", "FILE" }, { "-n", "N" }, { "--algorithm", "ecdsap256sha256|ed25519" },
	{ "--ds-ttl", "SECONDS" },
};

struct line {
	const struct complete_source *source;
	struct complete_command command;
	bool has_command;
	const char *action; /* the word after `dnssec`; NULL: none yet */
	unsigned position; /* words after the command, without options */
	struct complete_out out;
};

void complete_add(struct complete_out *out, const char *word, const char *description)
{
	cleanup_buf struct buf line = { 0 };

	if (strncmp(word, out->begins, strlen(out->begins)) != 0)
		return;
	buf_addf(&line, "%s\t%s", word, description);
	/* One line each, whatever the names are: what a shell splits must not be forged. */
	for (char *c = line.text; c && *c; c++)
		if ((unsigned char)*c < 0x20 && *c != '\t')
			return;
	buf_addf(out->text, "%s\n", line.text ? line.text : "");
}

static bool find_command(const struct complete_source *source, const char *name, struct complete_command *out)
{
	struct complete_command c;

	for (size_t i = 0; source->command(i, &c); i++) {
		if (strcmp(c.name, name) == 0) {
			*out = c;
			return true;
		}
	}
	return false;
}

static void add_commands(struct line *l)
{
	struct complete_command c;

	for (size_t i = 0; l->source->command(i, &c); i++)
		complete_add(&l->out, c.name, c.usage);
}

static void add_actions(struct line *l)
{
	const struct dnssec_action *a;

	for (size_t i = 0; (a = dnssec_action_nth(i)); i++)
		complete_add(&l->out, a->name, a->usage);
}

/* "up|down" */
static void add_alternatives(struct line *l, const char *spec)
{
	cleanup_free char *copy = strdup(spec);
	char *rest = copy, *word;

	while (copy && (word = strsep(&rest, "|")))
		complete_add(&l->out, word, "");
}

/* ---- the options of a service ---- */

/* As they are typed: "idle-timeout".  prefix "--": --idle-timeout; suffix "=": idle-timeout=. */
static void add_keys(struct line *l, const char *prefix, const char *suffix)
{
	const struct opt *o;

	for (size_t i = 0; (o = record_nth(i)); i++) {
		char word[SPEC_MAX];

		snprintf(word, sizeof(word), "%s%s%s", prefix, o->key, suffix);
		for (char *c = word; *c; c++)
			*c = *c == '_' ? '-' : *c;
		complete_add(&l->out, word, o->help ? o->help : "");
	}
}

/* What may follow KEY=, or --KEY as a word of its own; `before` is what stands in the same word. */
static void add_values(struct line *l, const char *key, const char *before)
{
	static const char *const truths[] = { "true", "false", NULL };
	const struct opt *o = record_option(key);
	const char *const *names = o && o->type == OPT_BOOL ? truths : o ? o->names : NULL;

	for (; names && *names; names++) {
		char word[2 * SPEC_MAX];

		snprintf(word, sizeof(word), "%s%s", before, *names);
		complete_add(&l->out, word, "");
	}
}

static void add_key_or_value(struct line *l)
{
	const char *equals = strchr(l->out.begins, '=');
	char key[SPEC_MAX], before[SPEC_MAX];

	if (!equals) {
		add_keys(l, "", "=");
		return;
	}
	snprintf(key, sizeof(key), "%.*s", (int)(equals - l->out.begins), l->out.begins);
	snprintf(before, sizeof(before), "%.*s", (int)(equals + 1 - l->out.begins), l->out.begins);
	add_values(l, key, before);
}

/* ---- one word of a usage ---- */

static void add_rows(struct line *l, const char *verb, const char *field)
{
	if (l->source->rows)
		l->source->rows(l->source->arg, verb, field, &l->out);
}

static void add_by_spec(struct line *l, const char *spec)
{
	if (strcmp(spec, "NAME") == 0)
		add_rows(l, "list", "name");
	else if (strcmp(spec, "ZONE") == 0)
		add_rows(l, "dnssec-status", "zone");
	else if (strcmp(spec, "REVISION") == 0)
		add_rows(l, "history", "revision");
	else if (strcmp(spec, "FILE") == 0)
		buf_adds(l->out.text, ":files\n");
	else if (strcmp(spec, "COMMAND") == 0)
		add_commands(l);
	else if (strcmp(spec, "ACTION") == 0)
		add_actions(l);
	else if (strcmp(spec, "KEY=VALUE") == 0)
		add_key_or_value(l);
	else if (strchr(spec, '|'))
		add_alternatives(l, spec);
}

/* The next word of a usage: without brackets, and whether "..." stood behind it.  False at the end, and at a '|'
 * that stands alone: what comes then is another way to say it. */
static bool next_spec(const char **args, char spec[SPEC_MAX], bool *again)
{
	size_t n = strcspn(*args += strspn(*args, " "), " "), from = strspn(*args, "[");
	const char *word = *args;

	*args += n;
	if (n == 0 || (n == 1 && *word == '|'))
		return false;
	snprintf(spec, SPEC_MAX, "%.*s", (int)(n - from), word + from);
	*again = strstr(spec, "...") != NULL;
	spec[strcspn(spec, "].")] = '\0';
	return true;
}

static void add_position(struct line *l)
{
	const char *args = l->command.args;
	unsigned at = 0;
	char spec[SPEC_MAX];
	bool again, skip = false; /* the word of an option */

	if (strcmp(l->command.name, "add") == 0) /* its name is a new one */
		return;
	while (next_spec(&args, spec, &again)) {
		bool option = spec[0] == '-', of_option = skip;

		skip = option && *args == ' ' && args[1] != '[' && args[1] != '-' && args[1] != '|';
		if (option || of_option)
			continue;
		if (at == l->position || (again && at < l->position)) {
			add_by_spec(l, spec);
			return;
		}
		at++;
	}
}

/* ---- options ---- */

static void add_options_of(struct line *l, const char *args)
{
	char spec[SPEC_MAX];
	bool again;

	while (next_spec(&args, spec, &again)) {
		if (strcmp(spec, "--KEY") == 0)
			add_keys(l, "--", "");
		else if (spec[0] == '-')
			complete_add(&l->out, spec, "");
		args += strncmp(args, " | ", 3) == 0 ? 2 : 0; /* options of the other way, too */
	}
}

static void add_options(struct line *l)
{
	const struct dnssec_action *a;

	if (l->has_command)
		add_options_of(l, l->command.args);
	if (l->has_command && l->command.changes)
		complete_add(&l->out, "--dry-run", "check it, and change nothing");
	for (size_t i = 0; l->action && (a = dnssec_action_nth(i)); i++)
		if (strcmp(a->name, l->action) == 0)
			add_options_of(l, a->args);
	for (size_t i = 0; i < ARRAY_SIZE(common_options); i++)
		complete_add(&l->out, common_options[i].name, common_options[i].description);
}

static bool takes_keys(const struct line *l) { return l->has_command && strstr(l->command.args, "--KEY"); }

/* What an option wants behind it; NULL: nothing, it is whole. */
static const char *value_of(const struct line *l, const char *option)
{
	for (size_t i = 0; i < ARRAY_SIZE(valued_options); i++)
		if (strcmp(valued_options[i].name, option) == 0)
			return valued_options[i].spec;
	if (strcmp(option, "-f") == 0 && l->has_command && strstr(l->command.args, "-f FILE"))
		return "FILE";
	return takes_keys(l) && strncmp(option, "--", 2) == 0 && record_option(option + 2) ? "VALUE" : NULL;
}

/* ---- the line ---- */

static void take_word(struct line *l, const char *word)
{
	if (!l->has_command) {
		l->has_command = find_command(l->source, word, &l->command);
		return;
	}
	if (l->position == 0 && strcmp(l->command.name, "dnssec") == 0)
		l->action = word;
	l->position++;
}

/* The words before the last one.  What the last of them wants behind it, and what it is. */
static const char *take_words(struct line *l, int n, char **words, const char **option)
{
	const char *wants = NULL;

	for (int i = 0; i < n; i++) {
		if (wants) {
			wants = NULL;
		} else if (words[i][0] == '-') {
			wants = value_of(l, words[i]);
			*option = words[i];
		} else {
			take_word(l, words[i]);
		}
	}
	return wants;
}

void complete(const struct complete_source *source, int n, char **words, struct buf *text)
{
	struct line l = { .source = source, .out = { .text = text } };
	const char *wants, *option = NULL;

	if (n < 1)
		return;
	l.out.begins = words[n - 1];
	wants = take_words(&l, n - 1, words, &option);
	if (wants && strcmp(wants, "VALUE") == 0)
		add_values(&l, option + 2, "");
	else if (wants)
		add_by_spec(&l, wants);
	else if (l.out.begins[0] == '-')
		add_options(&l);
	else if (!l.has_command)
		add_commands(&l);
	else
		add_position(&l);
}
