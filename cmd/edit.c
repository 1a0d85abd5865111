#include "cmd/edit.h"

#include <inttypes.h>
#include <time.h>

#include "base/msg.h"
#include "base/nearest.h"
#include "cmd/render.h"

enum { PART_MAX = MSG_RECORD_MAX - 256 };

static const struct edit_command commands[] = {
	{ "add", "NAME --KEY VALUE... | -f FILE", "register a service (help add: options)", "add", 0, 1,
	  EDIT_CHANGES | EDIT_WORDS | EDIT_FILE },
	{ "set", "NAME KEY=VALUE...", "change a service; KEY= is its default again", "set", 1, RECORD_WORDS_MAX,
	  EDIT_CHANGES | EDIT_WORDS | EDIT_FILE },
	{ "remove", "NAME", "forget it; its VM is stopped once nobody uses it", "remove", 1, 1, EDIT_CHANGES },
	{ "rename", "NAME NEW", "give it another name, while its VM is off", "rename", 2, 2, EDIT_CHANGES },
	{ "enable", "NAME", "serve it again", "set", 1, 1, EDIT_CHANGES },
	{ "disable", "NAME", "keep it, but serve nobody", "set", 1, 1, EDIT_CHANGES },
	{ "pin", "NAME up|down", "keep it up, or down, until it is released", "pin", 2, 2, EDIT_CHANGES },
	{ "lease", "NAME TIME", "keep it up for that long: 90s, 2h, 7d", "pin", 2, 2, EDIT_CHANGES },
	{ "release", "NAME", "end its pin or lease", "pin", 1, 1, EDIT_CHANGES },
	{ "history", "[NAME] [-n N]", "who changed what, the newest first", "history", 0, 1, EDIT_N },
	{ "diff", "REVISION", "what a revision changed", "diff", 1, 1, 0 },
	{ "rollback", "REVISION", "all services as they were after it", "rollback", 1, 1, EDIT_CHANGES },
	{ "export", "", "the registry's services as JSON", "export", 0, 0, 0 },
	{ "adopt", "DOMAIN [--KEY VALUE]...", "serve an existing domain, changing nothing in it", "adopt", 1, 1,
	  EDIT_CHANGES | EDIT_WORDS | EDIT_FILE },
	{ "import", "FILE [--exact]", "add and change services, all or none", "import", 1, 1, EDIT_CHANGES | EDIT_EXACT },
};

const struct edit_command *edit_command_nth(size_t i) { return i < ARRAY_SIZE(commands) ? &commands[i] : NULL; }

const struct edit_command *edit_command_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

/* ---- options ---- */

/* The word that names the command, behind options that all commands have. */
static const struct edit_command *command_of(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-S") == 0 || strcmp(argv[i], "--socket") == 0 || strcmp(argv[i], "-n") == 0)
			i++;
		else if (argv[i][0] != '-')
			return edit_command_find(argv[i]);
	}
	return NULL;
}

/* The value of the option at argv[*i]: behind its '=', or the next word. */
static int value_of(int argc, char **argv, int *i, const char **value, struct err *e)
{
	const char *equals = strchr(argv[*i], '=');

	if (equals && argv[*i][1] == '-')
		*value = equals + 1;
	else if (*i + 1 < argc)
		*value = argv[++*i];
	else
		return err_set(e, -EINVAL, "%.60s needs a value", argv[*i]);
	return 0;
}

static int take_word(int argc, char **argv, int *i, struct edit_options *out, struct err *e)
{
	char *key = argv[*i] + 2;
	struct record_word *w = &out->words[out->n];

	if (out->n == RECORD_WORDS_MAX)
		return err_set(e, -E2BIG, "more than %d options: write them in a file, and use -f", RECORD_WORDS_MAX);
	if (value_of(argc, argv, i, &w->text, e) < 0)
		return e->code;
	key[strcspn(key, "=")] = '\0';
	w->key = key;
	out->n++;
	return 0;
}

static bool is_word(const char *arg)
{
	char key[64];

	if (strncmp(arg, "--", 2) != 0 || !arg[2])
		return false;
	snprintf(key, sizeof(key), "%.*s", (int)strcspn(arg + 2, "="), arg + 2);
	return record_knows(key);
}

static int take_option(int argc, char **argv, int *i, struct edit_options *out, bool *taken, struct err *e)
{
	*taken = true;
	if (strcmp(argv[*i], "--dry-run") == 0)
		out->dry_run = true;
	else if (strcmp(argv[*i], "--exact") == 0)
		out->exact = true;
	else if (strcmp(argv[*i], "-f") == 0 || strcmp(argv[*i], "--file") == 0)
		return value_of(argc, argv, i, &out->file, e);
	else if (is_word(argv[*i]))
		return take_word(argc, argv, i, out, e);
	else
		*taken = false;
	return 0;
}

int edit_take_options(int *argc, char **argv, struct edit_options *out, struct err *e)
{
	int kept = 1;
	bool taken;

	*out = (struct edit_options){ 0 };
	if (!command_of(*argc, argv))
		return 0;
	for (int i = 1; i < *argc; i++) {
		if (take_option(*argc, argv, &i, out, &taken, e) < 0)
			return e->code;
		if (!taken)
			argv[kept++] = argv[i];
	}
	argv[kept] = NULL;
	*argc = kept;
	return 0;
}

bool edit_options_given(const struct edit_options *o) { return o->dry_run || o->exact || o->file || o->n > 0; }

int edit_check(const struct edit_command *c, const struct edit_options *o, int n_args, struct err *e)
{
	if (o->dry_run && !(c->takes & EDIT_CHANGES))
		return err_set(e, -EINVAL, "%s changes nothing: it takes no --dry-run", c->name);
	if (o->exact && !(c->takes & EDIT_EXACT))
		return err_set(e, -EINVAL, "%s takes no --exact", c->name);
	if (o->file && !(c->takes & EDIT_FILE))
		return err_set(e, -EINVAL, "%s takes no -f", c->name);
	if (o->n > 0 && !(c->takes & EDIT_WORDS))
		return err_set(e, -EINVAL, "%s takes no --%.40s", c->name, o->words[0].key);
	if (n_args < (int)c->least || n_args > (int)c->most)
		return err_set(e, -EINVAL, "%s takes %s; \"jitsuctl help %s\" tells more", c->name,
			       c->most == 0 ? "no argument" : c->args, c->name);
	return 0;
}

/* ---- requests ---- */

static int parse_revision(const char *text, int64_t *out, struct err *e)
{
	char *end;
	long long n = strtoll(text, &end, 10);

	if (!*text || *end || n < 0)
		return err_set(e, -EINVAL, "\"%.40s\" is no revision's number: \"jitsuctl history\" lists them", text);
	*out = n;
	return 0;
}

/* KEY=VALUE, split in place. */
static int add_pairs(struct record_word *words, size_t *n, int n_args, char **args, struct err *e)
{
	for (int i = 0; i < n_args; i++) {
		char *equals = strchr(args[i], '=');

		if (!equals || equals == args[i])
			return err_set(e, -EINVAL, "\"%.60s\": expected KEY=VALUE, such as ttl=30s", args[i]);
		if (*n == RECORD_WORDS_MAX)
			return err_set(e, -E2BIG, "more than %d options", RECORD_WORDS_MAX);
		*equals = '\0';
		words[(*n)++] = (struct record_word){ args[i], equals + 1 };
	}
	return 0;
}

static struct json *read_json(const char *path, struct err *e)
{
	cleanup_buf struct buf text = { 0 };
	int error = buf_read_file(&text, strcmp(path, "-") == 0 ? "/dev/stdin" : path, JSON_TEXT_MAX);
	struct json_place at;
	struct err why;
	struct json *doc;

	if (error < 0) {
		err_set_errno(e, error, "cannot read %s", path);
		return NULL;
	}
	doc = json_parse(text.text ? text.text : "", text.n, &at, &why);
	if (!doc)
		err_set(e, -EINVAL, "%s:%u:%u: %.300s", path, at.line, at.column, why.text);
	return doc;
}

/* The file's record with the words on top of it, or either. */
static int build(const struct edit_options *o, const struct record_word *words, size_t n, struct buf *record,
		 struct err *e)
{
	cleanup_buf struct buf text = { 0 };
	struct json_writer w = { .out = record };
	struct json_place at;
	struct err why;
	struct json *file, *patch;

	if (!o->file)
		return record_build(words, n, record, e);
	file = read_json(o->file, e);
	if (!file)
		return e->code;
	if (record_build(words, n, &text, e) < 0) {
		json_free(file);
		return e->code;
	}
	patch = json_parse(text.text, text.n, &at, &why);
	json_put_patched(&w, NULL, json_root(file), json_root(patch));
	json_free(file);
	json_free(patch);
	return 0;
}

static int request_record(const struct edit_command *c, const struct edit_options *o, int n_args, char **args,
			  struct buf *record, struct client_request *q, struct err *e)
{
	struct record_word words[RECORD_WORDS_MAX];
	size_t n = o->n;

	memcpy(words, o->words, sizeof(words));
	if (strcmp(c->name, "set") == 0 && add_pairs(words, &n, n_args - 1, args + 1, e) < 0)
		return e->code;
	if (strcmp(c->name, "adopt") == 0) {
		if (n == RECORD_WORDS_MAX)
			return err_set(e, -E2BIG, "more than %d options", RECORD_WORDS_MAX);
		words[n++] = (struct record_word){ "domain", args[0] };
		q->service = NULL; /* its name may follow from the domain's */
	}
	if (n == 0 && !o->file)
		return err_set(e, -EINVAL, "nothing is said about it: \"jitsuctl help %s\" lists the options", c->name);
	if (build(o, words, n, record, e) < 0)
		return e->code;
	q->record = record->text;
	return 0;
}

int edit_request(const struct edit_command *c, const struct edit_options *o, int n_args, char **args,
		 struct buf *record, struct client_request *q, struct err *e)
{
	bool numbered = strcmp(c->verb, "diff") == 0 || strcmp(c->verb, "rollback") == 0;

	q->verb = c->verb;
	q->dry_run = o->dry_run;
	q->exact = o->exact;
	if (numbered)
		return parse_revision(args[0], &q->revision, e);
	q->service = n_args > 0 ? args[0] : NULL;
	if (strcmp(c->name, "enable") == 0)
		q->record = "{\"enabled\":null}";
	else if (strcmp(c->name, "disable") == 0)
		q->record = "{\"enabled\":false}";
	else if (strcmp(c->name, "release") == 0)
		q->to = "none";
	else if (strcmp(c->name, "pin") == 0 && strcmp(args[1], "up") != 0 && strcmp(args[1], "down") != 0)
		return err_set(e, -EINVAL, "\"%.40s\": expected up or down; \"jitsuctl lease\" is for a time", args[1]);
	else if (strcmp(c->verb, "pin") == 0 || strcmp(c->verb, "rename") == 0)
		q->to = args[1];
	else if (c->takes & EDIT_WORDS)
		return request_record(c, o, n_args, args, record, q, e);
	return 0;
}

/* ---- import ---- */

/* One more service; what is full goes first. */
static int add_service(struct buf *part, const char *text, size_t n, edit_part_fn *each, void *arg)
{
	int error = 0;

	if (part->n > 0 && part->n + n + 2 > PART_MAX) {
		buf_adds(part, "]}");
		error = each(arg, part->text, false);
		buf_clear(part);
	}
	buf_adds(part, part->n == 0 ? "{\"services\":[" : ",");
	buf_add(part, text, n);
	return error;
}

int edit_split_list(const struct json_node *list, edit_part_fn *each, void *arg, struct err *e)
{
	cleanup_buf struct buf part = { 0 };
	int error = 0;

	for (const struct json_node *v = json_first(list); v && error == 0; v = json_next(v)) {
		cleanup_buf struct buf text = { 0 };
		struct json_writer w = { .out = &text };

		json_put_node(&w, NULL, v);
		if (text.n > PART_MAX - 32)
			return err_set(e, -EMSGSIZE, "line %u: this service is longer than %d bytes", json_place(v).line,
				       PART_MAX - 32);
		error = add_service(&part, text.text, text.n, each, arg);
	}
	if (error)
		return error;
	buf_adds(&part, part.n == 0 ? "{\"services\":[]}" : "]}");
	return each(arg, part.text, true);
}

int edit_split(const char *path, edit_part_fn *each, void *arg, struct err *e)
{
	struct json *doc = read_json(path, e);
	const struct json_node *root = doc ? json_root(doc) : NULL, *list = root;
	int error;

	if (!doc)
		return e->code;
	if (json_type(root) == JSON_OBJECT)
		list = json_get(root, "services");
	if (!list || json_type(list) != JSON_ARRAY)
		error = err_set(e, -EINVAL, "%s: expected {\"services\": [...]}, as \"jitsuctl export\" writes it", path);
	else
		error = edit_split_list(list, each, arg, e);
	json_free(doc);
	return error;
}

/* ---- answers ---- */

static bool is_true(const struct json_node *row, const char *key)
{
	const struct json_node *v = json_get(row, key);

	return v && json_type(v) == JSON_BOOL && json_bool(v);
}

void edit_render_result(const struct json_node *row, const struct term *t, uint64_t now_wall_ms, struct buf *out)
{
	const struct json_node *remarks = json_get(row, "remarks");
	uint64_t changes = 0, revision = 0;

	row_number(row, "changes", &changes);
	row_number(row, "revision", &revision);
	if (row_text(row, "option")) { /* of a dry run */
		edit_render_difference(row, t, now_wall_ms, out);
		return;
	}
	if (row_text(row, "domain")) { /* what was found of it, before the change */
		render_fields(row, t, now_wall_ms, out);
		return;
	}
	if (changes == 0)
		buf_adds(out, "nothing changes: it is so already\n");
	else if (is_true(row, "dry_run"))
		buf_addf(out, "good: it would change %" PRIu64 " object%s; nothing was changed\n", changes,
			 changes == 1 ? "" : "s");
	else
		buf_addf(out, "revision %" PRIu64 "\n", revision);
	for (const struct json_node *v = remarks ? json_first(remarks) : NULL; v; v = json_next(v))
		if (json_type(v) == JSON_STRING)
			text_wrap(t, json_string(v), 0, 4, out);
}

static void add_time(const struct json_node *row, struct buf *out)
{
	uint64_t wall_ms = 0;
	char text[32];
	struct tm tm;
	time_t s;

	row_number(row, "wall_ms", &wall_ms);
	s = (time_t)(wall_ms / 1000);
	if (localtime_r(&s, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) > 0)
		buf_adds(out, text);
}

void edit_render_revision(const struct json_node *row, const struct term *t, uint64_t now_wall_ms, struct buf *out)
{
	uint64_t revision = 0, uid = 0;
	const char *user = row_text_or(row, "user", "");
	cleanup_buf struct buf line = { 0 };

	(void)now_wall_ms;
	row_number(row, "revision", &revision);
	row_number(row, "uid", &uid);
	buf_addf(&line, "%6" PRIu64 "  ", revision);
	add_time(row, &line);
	if (*user)
		buf_addf(&line, "  %-10s  ", user);
	else
		buf_addf(&line, "  uid %-6" PRIu64 "  ", uid);
	buf_adds(&line, row_text_or(row, "command", ""));
	text_shorten(t, line.text, t->width, out);
	buf_adds(out, "\n");
}

void edit_render_difference(const struct json_node *row, const struct term *t, uint64_t now_wall_ms, struct buf *out)
{
	const char *before = row_text(row, "before"), *after = row_text(row, "after");
	cleanup_buf struct buf line = { 0 };

	(void)now_wall_ms;
	buf_adds(&line, row_text_or(row, "name", "?"));
	if (strcmp(row_text_or(row, "kind", "service"), "service") != 0)
		buf_addf(&line, " (%s)", row_text(row, "kind"));
	buf_addf(&line, " %s: ", row_text_or(row, "option", ""));
	if (before && after)
		buf_addf(&line, "%s -> %s", before, after);
	else
		buf_addf(&line, "%s %s", before ? "-" : "+", before ? before : after ? after : "");
	text_wrap(t, line.text, 0, 4, out);
}
