/* jitsuctl: the operator's tool.  Asks jitsud's control socket and shows the answer. */
#include <getopt.h>
#include <locale.h>
#include <signal.h>

#include "base/clock.h"
#include "base/msg.h"
#include "base/nearest.h"
#include "base/version.h"
#include "cmd/client.h"
#include "cmd/complete.h"
#include "cmd/dnssec.h"
#include "cmd/doctor_show.h"
#include "cmd/edit.h"
#include "cmd/event.h"
#include "cmd/listing.h"
#include "cmd/live.h"
#include "cmd/old_jitsu.h"
#include "cmd/render.h"
#include "cmd/screen.h"
#include "cmd/top.h"

enum { EXIT_OK, EXIT_FAILED, EXIT_USAGE };
enum { N_MAX = 1000, TRACE_N = 5, COMPLETE_S = 2 };
enum { WORDS_WIDTH = 23, LINE_WIDTH = 4096 /* of lines that nobody's terminal breaks */ };

struct options {
	const char *socket;
	bool json, no_color, follow, raw, help, version;
	int64_t n; /* -1: not given */
	struct dnssec_options dnssec;
	struct edit_options edit;
};

struct subcommand;

/* One run of the program. */
struct run {
	const struct subcommand *sub;
	struct options opt;
	const char *name; /* the service; NULL when none is given */
	const struct dnssec_action *dnssec; /* what follows `dnssec`, */
	const char *zone; /* and that; NULL else */
	const struct edit_command *edit; /* a command of the registry, NULL else; and its arguments */
	int n_args;
	char **args;
	int n_old; /* what follows `import-jitsu` */
	char **old;
	bool old_dry_run;
	struct client *client;
	struct term term;
	bool out_failed;
};

enum { OPT_N = 1 << 0, OPT_FOLLOW = 1 << 1, OPT_RAW = 1 << 2, OPT_DNSSEC = 1 << 3 };
enum name_rule { NAME_NONE, NAME_MAY, NAME_MUST, NAME_DNSSEC };

struct subcommand {
	const char *name, *args, *usage;
	enum name_rule takes_name;
	unsigned options;
	int (*exec)(struct run *r);
};

/* ---- saying things ---- */

/* A line: broken between words on a terminal, whole for whoever searches in it. */
static void put_complaint(const struct term *term, const char *line, bool first, struct buf *out)
{
	if (isatty(STDERR_FILENO)) {
		text_wrap(term, line, first ? strlen("jitsuctl: ") : 0, 2, out);
		return;
	}
	text_clean(term, line, out);
	buf_adds(out, "\n");
}

/* A sentence, or several lines (the mistakes of a configuration), which may quote anything. */
static int complain(const char *text)
{
	struct term term = term_of_stdout(true);
	cleanup_buf struct buf out = { 0 };

	while (*text) {
		size_t n = strcspn(text, "\n");
		cleanup_free char *line = strndup(text, n);

		put_complaint(&term, line ? line : "", out.n == 0, &out);
		text += n + strspn(text + n, "\n");
	}
	fprintf(stderr, "jitsuctl: %s", out.text ? out.text : "it failed, without a reason\n");
	return EXIT_FAILED;
}

/* To stdout at once, so that what is followed is seen as it comes. */
static void print(struct run *r, struct buf *text)
{
	if (text->n > 0 && fwrite(text->text, 1, text->n, stdout) != text->n)
		r->out_failed = true;
	if (fflush(stdout) != 0)
		r->out_failed = true;
	buf_clear(text);
}

/* ---- asking ---- */

typedef int reply_fn(struct run *r, const struct client_reply *reply, void *arg);

/* Gives each row and piece of data of the answer to `each`, whose value other than 0 ends it.
 * The exit status. */
static int ask_this(struct run *r, const struct client_request *q, reply_fn *each, void *arg)
{
	struct client_reply reply;
	struct err e;
	int status = 0;

	if (!r->client && client_open(r->opt.socket, &r->client, &e) < 0)
		return complain(e.text);
	if (client_ask(r->client, q, &e) < 0)
		return complain(e.text);
	for (;;) {
		if (client_next(r->client, &reply, &e) < 0)
			return complain(e.text);
		if (reply.kind == REPLY_END)
			return EXIT_OK;
		status = each(r, &reply, arg);
		if (status != 0 || r->out_failed)
			return status; /* run_command() complains */
	}
}

static int ask(struct run *r, const char *verb, reply_fn *each, void *arg)
{
	struct client_request q = {
		.verb = verb, .service = r->name, .n = r->opt.n, .follow = r->opt.follow, .zone = r->zone,
		.algorithm = r->opt.dnssec.algorithm, .ds_ttl_s = r->opt.dnssec.ds_ttl_s,
		.force = r->opt.dnssec.force, .ds_gone = r->opt.dnssec.ds_gone, .revision = -1,
	};

	return ask_this(r, &q, each, arg);
}

static int print_json(struct run *r, const struct client_reply *reply)
{
	cleanup_buf struct buf out = { 0 };
	struct json_writer w = { .out = &out, .first = true };

	if (reply->kind == REPLY_ROW) {
		render_json(reply->row, &out);
	} else {
		json_open(&w, NULL, '{');
		json_put_string(&w, reply->base64 ? "base64" : "data",
				reply->base64 ? reply->base64 : reply->data);
		json_close(&w, '}');
		buf_adds(&out, "\n");
	}
	print(r, &out);
	return 0;
}

/* A row as JSON or as text by `arg`, a render function. */
struct shape {
	void (*row)(const struct json_node *row, const struct term *t, uint64_t now_wall_ms, struct buf *out);
	bool gap; /* an empty line between two */
	unsigned n;
};

static int print_shape(struct run *r, const struct client_reply *reply, void *arg)
{
	struct shape *shape = arg;
	cleanup_buf struct buf out = { 0 };

	if (r->opt.json)
		return print_json(r, reply);
	if (reply->kind != REPLY_ROW)
		return 0;
	if (shape->gap && shape->n++ > 0)
		buf_adds(&out, "\n");
	shape->row(reply->row, &r->term, clock_wall_ms(), &out);
	print(r, &out);
	return 0;
}

/* ---- subcommands ---- */

static int list_row(struct run *r, const struct client_reply *reply, void *arg)
{
	if (r->opt.json)
		return print_json(r, reply);
	if (reply->kind == REPLY_ROW && listing_add(arg, reply->row) < 0)
		return complain("out of memory");
	return 0;
}

/* `none` is said when there is nothing to list; NULL: nothing is. */
static int do_listing(struct run *r, enum listing_of of, const char *none)
{
	struct listing *list = listing_new(of, &r->term);
	cleanup_buf struct buf out = { 0 };
	int status;

	if (!list)
		return complain("out of memory");
	status = ask(r, r->sub->name, list_row, list);
	if (status == EXIT_OK)
		listing_print(list, &out);
	if (status == EXIT_OK && out.n == 0 && none && !r->opt.json)
		fprintf(stderr, "jitsuctl: %s\n", none);
	print(r, &out);
	listing_free(list);
	return status;
}

static int do_list(struct run *r) { return do_listing(r, LISTING_SERVICES, NULL); }

static int do_stats(struct run *r) { return do_listing(r, LISTING_COUNTS, NULL); }

static int do_zones(struct run *r) { return do_listing(r, LISTING_ZONES, "no zone is configured"); }

static int do_flows(struct run *r) { return do_listing(r, LISTING_FLOWS, "nothing is held"); }

static int do_show(struct run *r)
{
	struct shape shape = { .row = render_fields, .gap = true };

	return ask(r, r->sub->name, print_shape, &shape);
}

static int print_state(struct run *r, const struct client_reply *reply, void *arg)
{
	const char *state = reply->kind == REPLY_ROW ? row_text(reply->row, "state") : NULL;
	cleanup_buf struct buf out = { 0 };

	(void)arg;
	if (r->opt.json)
		return print_json(r, reply);
	if (!state)
		return 0;
	text_clean(&r->term, r->name, &out);
	buf_adds(&out, " is ");
	text_clean(&r->term, state, &out);
	buf_adds(&out, "\n");
	print(r, &out);
	return 0;
}

static int drop_row(struct run *r, const struct client_reply *reply, void *arg)
{
	(void)r;
	(void)reply;
	(void)arg;
	return 0;
}

/* Does it, then tells what became of it: the state the service is in now. */
static int do_change(struct run *r)
{
	int status = ask(r, r->sub->name, drop_row, NULL);

	return status == EXIT_OK ? ask(r, "show", print_state, NULL) : status;
}

static int why_row(struct run *r, const struct client_reply *reply, void *arg)
{
	cleanup_buf struct buf out = { 0 };

	(void)arg;
	if (r->opt.json)
		return print_json(r, reply);
	if (reply->kind == REPLY_ROW)
		render_why(reply->row, r->name, &r->term, clock_wall_ms(), &out);
	print(r, &out);
	return 0;
}

static int do_why(struct run *r) { return ask(r, "why", why_row, NULL); }

static int do_trace(struct run *r)
{
	struct shape shape = { .row = render_wake, .gap = true };
	int status;

	if (r->opt.n < 0)
		r->opt.n = TRACE_N;
	status = ask(r, "trace", print_shape, &shape);
	if (status == EXIT_OK && shape.n == 0 && !r->opt.json)
		fprintf(stderr, "jitsuctl: no wake yet%s%s\n", r->name ? " of " : "", r->name ? r->name : "");
	return status;
}

static int console_data(struct run *r, const struct client_reply *reply, void *arg)
{
	struct text_filter *filter = arg;
	cleanup_buf struct buf out = { 0 };

	if (r->opt.json)
		return print_json(r, reply);
	if (reply->kind != REPLY_DATA)
		return 0;
	if (r->opt.raw || !isatty(STDOUT_FILENO))
		buf_add(&out, reply->data, reply->n);
	else
		text_filter(filter, &r->term, reply->data, reply->n, &out);
	print(r, &out);
	return 0;
}

static int do_console(struct run *r)
{
	struct text_filter filter = { FILTER_TEXT };

	return ask(r, "console", console_data, &filter);
}

static int do_log(struct run *r)
{
	struct shape shape = { .row = render_log };

	return ask(r, "log", print_shape, &shape);
}

static int print_event(struct run *r, const struct client_reply *reply, void *arg)
{
	int64_t *left = arg;
	cleanup_buf struct buf out = { 0 };

	if (reply->kind != REPLY_ROW)
		return 0;
	if (r->opt.json)
		render_json(reply->row, &out);
	else
		event_render(reply->row, &r->term, clock_wall_ms(), &out);
	print(r, &out);
	return *left > 0 && --*left == 0 ? -1 : 0;
}

/* The service must be there, or a misspelt one would be watched for ever. */
static int do_watch(struct run *r)
{
	struct client_request q = { .verb = "watch", .service = r->name, .n = -1, .ds_ttl_s = -1, .revision = -1 };
	int64_t left = r->opt.n;
	int status = r->name ? ask(r, "show", drop_row, NULL) : EXIT_OK;

	if (!isatty(STDOUT_FILENO))
		r->term.width = LINE_WIDTH;
	if (status == EXIT_OK)
		status = ask_this(r, &q, print_event, &left);
	return status < 0 ? EXIT_OK : status;
}

static int top_row(struct run *r, const struct client_reply *reply, void *arg)
{
	if (r->opt.json)
		return print_json(r, reply);
	return reply->kind == REPLY_ROW && top_add(arg, reply->row) < 0 ? complain("out of memory") : 0;
}

static int print_top(struct run *r)
{
	struct top *top = top_new();
	cleanup_buf struct buf out = { 0 };
	int status = top ? ask(r, "list", top_row, top) : complain("out of memory");

	if (status == EXIT_OK && !r->opt.json) {
		top_done(top);
		top_print(top, &r->term, 0, &out);
		print(r, &out);
	}
	top_free(top);
	return status;
}

static int do_top(struct run *r)
{
	struct err e;

	if (r->opt.json || !screen_is_there())
		return print_top(r);
	return live_top(r->opt.socket, r->opt.no_color, &e) < 0 ? complain(e.text) : EXIT_OK;
}

static int do_reload(struct run *r)
{
	struct shape shape = { .row = render_fields };
	int status = ask(r, "reload", print_shape, &shape);

	if (status == EXIT_OK && !r->opt.json)
		puts("the configuration was read again");
	return status;
}

static int do_dnssec(struct run *r)
{
	struct shape shape = { .row = r->dnssec->shows_ds ? dnssec_render_ds : render_fields, .gap = true };

	return ask(r, r->dnssec->verb, print_shape, &shape);
}

/* ---- the registry ---- */

static struct client_request no_request(void)
{
	return (struct client_request){ .n = -1, .ds_ttl_s = -1, .revision = -1 };
}

/* Pieces of lines, a service each; then a row that says how far they go. */
struct export {
	struct buf lines;
	char last[MSG_NAME_MAX];
	uint64_t n, revision;
};

static int export_reply(struct run *r, const struct client_reply *reply, void *arg)
{
	struct export *x = arg;

	(void)r;
	if (reply->kind == REPLY_DATA) {
		buf_add(&x->lines, reply->data, reply->n);
		return 0;
	}
	str_copy(x->last, row_text_or(reply->row, "last", ""));
	row_number(reply->row, "n", &x->n);
	row_number(reply->row, "revision", &x->revision);
	return 0;
}

static int print_services(struct run *r, const char *lines)
{
	cleanup_buf struct buf out = { 0 };
	struct json_writer w = { .out = &out, .indent = 2 };
	struct json_place at;
	struct err e;

	json_open(&w, NULL, '{');
	json_open(&w, "services", '[');
	for (size_t n; *lines; lines += n + (lines[n] == '\n')) {
		struct json *doc;

		n = strcspn(lines, "\n");
		doc = json_parse(lines, n, &at, &e);
		if (!doc)
			return complain(e.text);
		json_put_node(&w, NULL, json_root(doc));
		json_free(doc);
	}
	json_close(&w, ']');
	json_close(&w, '}');
	buf_adds(&out, "\n");
	print(r, &out);
	return EXIT_OK;
}

/* Page by page; anew when somebody has changed something meanwhile. */
static int do_export(struct run *r)
{
	struct export x = { .n = 1 };
	uint64_t revision = 0;
	int status = EXIT_OK;

	while (status == EXIT_OK && x.n > 0) {
		struct client_request q = no_request();
		bool first = !x.last[0];
		char after[MSG_NAME_MAX];

		str_copy(after, x.last);
		q.verb = "export";
		q.service = first ? NULL : after;
		status = ask_this(r, &q, export_reply, &x);
		if (!first && x.revision != revision) {
			buf_clear(&x.lines);
			x.last[0] = '\0';
			x.n = 1;
		}
		revision = x.revision;
	}
	if (status == EXIT_OK)
		status = print_services(r, x.lines.text ? x.lines.text : "");
	buf_free(&x.lines);
	return status;
}

/* Its `each` ends with an exit status; 0 goes on. */
static int send_part(void *arg, const char *record, bool last)
{
	struct shape shape = { .row = edit_render_result };
	struct client_request q = no_request();
	struct run *r = arg;

	q.verb = "import";
	q.record = record;
	q.more = !last;
	q.exact = r->opt.edit.exact;
	q.dry_run = r->opt.edit.dry_run;
	return ask_this(r, &q, print_shape, &shape);
}

static int do_import(struct run *r)
{
	struct err e;
	int status = edit_split(r->args[0], send_part, r, &e);

	return status < 0 ? complain(e.text) : status;
}

static int do_edit(struct run *r)
{
	struct shape shape = { .row = edit_render_result };
	struct client_request q = no_request();
	cleanup_buf struct buf record = { 0 };
	struct err e;

	if (strcmp(r->edit->name, "export") == 0)
		return do_export(r);
	if (strcmp(r->edit->name, "import") == 0)
		return do_import(r);
	if (edit_request(r->edit, &r->opt.edit, r->n_args, r->args, &record, &q, &e) < 0) {
		complain(e.text);
		return EXIT_USAGE;
	}
	q.n = r->opt.n;
	if (strcmp(r->edit->name, "history") == 0)
		shape.row = edit_render_revision;
	else if (strcmp(r->edit->name, "diff") == 0)
		shape.row = edit_render_difference;
	return ask_this(r, &q, print_shape, &shape);
}

/* ---- the first jitsu's command line ---- */

static int add_record(struct run *r, const char *record, bool dry_run)
{
	struct shape shape = { .row = edit_render_result };
	struct client_request q = no_request();

	q.verb = "add";
	q.record = record;
	q.dry_run = dry_run;
	return ask_this(r, &q, dry_run && !r->old_dry_run ? drop_row : print_shape, &shape);
}

/* All are looked at before the first is added. */
static int add_records(struct run *r, const struct old_jitsu *old)
{
	int status = EXIT_OK;

	r->old_dry_run = old->dry_run;
	for (size_t i = 0; i < old->n && status == EXIT_OK && (old->dry_run || old->n > 1); i++)
		status = add_record(r, old->records[i], true);
	for (size_t i = 0; i < old->n && status == EXIT_OK && !old->dry_run; i++)
		status = add_record(r, old->records[i], false);
	return status;
}

static void print_old_help(void)
{
	cleanup_buf struct buf help = { 0 };

	old_jitsu_help(&help);
	printf("Usage: jitsuctl [OPTION]... import-jitsu [OLD-OPTION]... KEY=VALUE,...\n%s", help.text ? help.text : "");
}

static int do_import_jitsu(struct run *r)
{
	cleanup_buf struct buf mistakes = { 0 };
	cleanup_free char *cwd = getcwd(NULL, 0);
	struct old_jitsu old;
	int status = EXIT_OK;

	if (old_jitsu_parse(r->n_old, r->old, cwd ? cwd : "/", &old, &mistakes) < 0) {
		complain(mistakes.text ? mistakes.text : "out of memory");
		status = EXIT_USAGE;
	} else if (old.help) {
		print_old_help();
	} else {
		r->opt.json |= old.json;
		status = add_records(r, &old);
	}
	old_jitsu_free(&old);
	return status;
}

/* Words behind the command are the old program's, its options too. */
static void take_old_words(struct run *r, int *argc, char **argv)
{
	for (int i = 1; i < *argc; i++) {
		if (strcmp(argv[i], "-S") == 0 || strcmp(argv[i], "--socket") == 0)
			i++;
		else if (strcmp(argv[i], "import-jitsu") == 0) {
			r->n_old = *argc - i - 1;
			r->old = argv + i + 1;
			*argc = i + 1;
			return;
		} else if (argv[i][0] != '-') {
			return;
		}
	}
}

/* It asks the host, and jitsud nothing. */
static int do_doctor(struct run *r)
{
	cleanup_buf struct buf out = { 0 };
	unsigned n_bad = doctor_show(r->name ? r->name : DOCTOR_CONF_DEFAULT, &r->term, r->opt.json, &out);

	print(r, &out);
	return n_bad == 0 ? EXIT_OK : EXIT_FAILED;
}

static int do_help(struct run *r);

static const struct subcommand edit_subcommand = { "", "", "", NAME_MAY, OPT_N, do_edit };

static const struct subcommand subcommands[] = {
	{ "list", "", "every service: state, address, how long it runs", NAME_NONE, 0, do_list },
	{ "show", "NAME", "everything known of a service", NAME_MUST, 0, do_show },
	{ "start", "NAME", "wake it, and wait until it is up", NAME_MUST, 0, do_change },
	{ "stop", "NAME", "stop it now", NAME_MUST, 0, do_change },
	{ "why", "NAME", "who woke it, why it is up, why it stopped", NAME_MUST, 0, do_why },
	{ "trace", "[NAME] [-n N]", "the last wakes, phase by phase", NAME_MAY, OPT_N, do_trace },
	{ "flows", "[NAME] [-n N]", "the connections that are held for it", NAME_MAY, OPT_N, do_flows },
	{ "console", "NAME [-f]", "its serial console", NAME_MUST, OPT_FOLLOW | OPT_RAW, do_console },
	{ "log", "[-f] [-n N]", "what jitsud did", NAME_NONE, OPT_FOLLOW | OPT_N, do_log },
	{ "watch", "[NAME] [-n N]", "what happens, as it happens", NAME_MAY, OPT_N, do_watch },
	{ "top", "", "a live table: who is up, held, woken last", NAME_NONE, 0, do_top },
	{ "zones", "", "the zones: serial, file, signed, secondaries", NAME_NONE, 0, do_zones },
	{ "stats", "", "what the DNS server was asked, and said", NAME_NONE, 0, do_stats },
	{ "status", "", "jitsud itself: processes, limits, hypervisors", NAME_NONE, 0, do_show },
	{ "reload", "", "have jitsud read its configuration again", NAME_NONE, 0, do_reload },
	{ "dnssec", "ACTION [ZONE]", "sign a zone: help dnssec tells how", NAME_DNSSEC, OPT_DNSSEC, do_dnssec },
	{ "import-jitsu", "CONFIG...", "add what the first jitsu was started with", NAME_NONE, 0,
	  do_import_jitsu },
	{ "doctor", "[FILE]", "is this host fit for it, and what to do if not", NAME_MAY, 0, do_doctor },
	{ "help", "[COMMAND]", "this text", NAME_MAY, 0, do_help },
};

/* ---- usage ---- */

static const char option_help[] = "Options:\n"
				  "  -n N               at most N wakes, flows, events or lines (1..1000)\n"
				  "  -f, --follow       go on until ^C\n"
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

/* All that can be the first word. */
static bool any_command(size_t i, struct complete_command *out)
{
	const struct edit_command *c;

	if (i < ARRAY_SIZE(subcommands)) {
		*out = (struct complete_command){ subcommands[i].name, subcommands[i].args, subcommands[i].usage,
						  false };
		return true;
	}
	c = edit_command_nth(i - ARRAY_SIZE(subcommands));
	if (!c)
		return false;
	*out = (struct complete_command){ c->name, c->args, c->usage, c->takes & EDIT_CHANGES };
	return true;
}

static void print_help(FILE *f)
{
	struct complete_command c;

	fprintf(f, "Usage: jitsuctl [OPTION]... COMMAND [NAME]\n\nCommands:\n");
	for (size_t i = 0; any_command(i, &c); i++)
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
	cleanup_buf struct buf options = { 0 };

	printf("Usage: jitsuctl [OPTION]... %s%s%s\n%s\n", c->name, *c->args ? " " : "", c->args, c->usage);
	if (c->takes & EDIT_CHANGES)
		puts("  --dry-run          check it, and change nothing");
	if (!(c->takes & EDIT_WORDS))
		return;
	record_help(&options);
	printf("%s", options.text ? options.text : "");
}

static int usage_error(const char *text)
{
	fprintf(stderr, "jitsuctl: %s\nTry: jitsuctl help\n", text);
	return EXIT_USAGE;
}

static const struct subcommand *find_subcommand(const char *name, struct err *e)
{
	struct nearest near = { .word = name };

	for (size_t i = 0; i < ARRAY_SIZE(subcommands); i++) {
		if (strcmp(subcommands[i].name, name) == 0)
			return &subcommands[i];
		nearest_try(&near, subcommands[i].name);
	}
	for (size_t i = 0; edit_command_nth(i); i++)
		nearest_try(&near, edit_command_nth(i)->name);
	if (near.name)
		err_set(e, -EINVAL, "there is no command \"%.60s\"; did you mean \"%s\"?", name, near.name);
	else
		err_set(e, -EINVAL, "there is no command \"%.60s\"", name);
	return NULL;
}

static int do_help(struct run *r)
{
	const struct subcommand *s;
	struct err e;

	if (!r->name) {
		print_help(stdout);
		return EXIT_OK;
	}
	if (edit_command_find(r->name)) {
		print_edit_help(edit_command_find(r->name));
		return EXIT_OK;
	}
	s = find_subcommand(r->name, &e);
	if (!s)
		return usage_error(e.text);
	if (s->exec == do_import_jitsu) {
		print_old_help();
		return EXIT_OK;
	}
	print_usage_of(stdout, s);
	return EXIT_OK;
}

/* ---- the command line ---- */

enum { LONG_JSON = 256, LONG_NO_COLOR, LONG_RAW, LONG_ALGORITHM, LONG_DS_TTL, LONG_FORCE, LONG_DS_GONE, LONG_VERSION };

static const struct option long_options[] = {
	{ "socket", 1, NULL, 'S' },     { "follow", 0, NULL, 'f' },
	{ "json", 0, NULL, LONG_JSON }, { "no-color", 0, NULL, LONG_NO_COLOR },
	{ "raw", 0, NULL, LONG_RAW },   { "version", 0, NULL, LONG_VERSION },
	{ "algorithm", 1, NULL, LONG_ALGORITHM }, { "ds-ttl", 1, NULL, LONG_DS_TTL },
	{ "force", 0, NULL, LONG_FORCE }, { "yes-ds-is-gone", 0, NULL, LONG_DS_GONE },
	{ "help", 0, NULL, 'h' },       { 0 },
};

static int parse_n(const char *text, int64_t *out, struct err *e)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (!*text || *end || n < 1 || n > N_MAX)
		return err_set(e, -EINVAL, "-n: expected 1..%d, got \"%.40s\"", N_MAX, text);
	*out = n;
	return 0;
}

/* An option that getopt does not know, in a sentence; a long one with the nearest that it knows. */
static int unknown_option(char **argv, struct err *e)
{
	const char *arg = argv[optind - 1];
	struct nearest near = { 0 };

	if (optopt != 0 && optopt < LONG_JSON && strncmp(arg, "--", 2) != 0)
		return err_set(e, -EINVAL, "there is no option -%c", optopt);
	near.word = arg + strspn(arg, "-");
	for (const struct option *o = long_options; o->name; o++)
		nearest_try(&near, o->name);
	record_nearest(&near);
	if (near.name && strcmp(near.name, near.word) != 0)
		return err_set(e, -EINVAL, "there is no option %.60s; did you mean --%s?", arg, near.name);
	return err_set(e, -EINVAL, "there is no option %.60s", arg);
}

static int parse_options(int argc, char **argv, struct options *o, struct err *e)
{
	const char *env = getenv("JITSU_SOCKET");
	int c;

	o->socket = env && *env ? env : CLIENT_SOCKET_DEFAULT;
	o->n = o->dnssec.ds_ttl_s = -1;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":S:n:fh", long_options, NULL)) != -1) {
		switch (c) {
		case 'S': o->socket = optarg; break;
		case 'f': o->follow = true; break;
		case 'h': o->help = true; break;
		case LONG_JSON: o->json = true; break;
		case LONG_NO_COLOR: o->no_color = true; break;
		case LONG_RAW: o->raw = true; break;
		case LONG_VERSION: o->version = true; break;
		case LONG_ALGORITHM: o->dnssec.algorithm = optarg; break;
		case LONG_FORCE: o->dnssec.force = true; break;
		case LONG_DS_GONE: o->dnssec.ds_gone = true; break;
		case LONG_DS_TTL:
			if (dnssec_parse_ds_ttl(optarg, &o->dnssec.ds_ttl_s, e) < 0)
				return e->code;
			break;
		case 'n':
			if (parse_n(optarg, &o->n, e) < 0)
				return e->code;
			break;
		case ':': return err_set(e, -EINVAL, "%.60s needs a value", argv[optind - 1]);
		default: return unknown_option(argv, e);
		}
	}
	return 0;
}

static bool is_dnssec(const struct dnssec_options *o)
{
	return o->algorithm || o->ds_ttl_s >= 0 || o->force || o->ds_gone;
}

/* The words behind `dnssec`. */
static int take_dnssec(struct run *r, int n_args, char **args, struct err *e)
{
	r->dnssec = dnssec_action_find(args[0], e);
	r->zone = n_args > 1 ? args[1] : NULL;
	return r->dnssec ? dnssec_action_check(r->dnssec, r->zone, &r->opt.dnssec, e) : e->code;
}

/* The options given must be some that the command takes, and so must the arguments. */
static int check_use(const struct run *r, int n_args, struct err *e)
{
	const struct subcommand *s = r->sub;

	if (r->edit && r->opt.n >= 0 && !(r->edit->takes & EDIT_N))
		return err_set(e, -EINVAL, "%s takes no -n", r->edit->name);
	if (r->edit && (r->opt.follow || r->opt.raw || is_dnssec(&r->opt.dnssec)))
		return err_set(e, -EINVAL, "%s does not take this option", r->edit->name);
	if (r->edit)
		return edit_check(r->edit, &r->opt.edit, n_args, e);
	if (r->opt.n >= 0 && !(s->options & OPT_N))
		return err_set(e, -EINVAL, "%s takes no -n", s->name);
	if (r->opt.follow && !(s->options & OPT_FOLLOW))
		return err_set(e, -EINVAL, "%s takes no -f", s->name);
	if (r->opt.raw && !(s->options & OPT_RAW))
		return err_set(e, -EINVAL, "%s takes no --raw", s->name);
	if (!(s->options & OPT_DNSSEC) && is_dnssec(&r->opt.dnssec))
		return err_set(e, -EINVAL, "%s takes none of dnssec's options", s->name);
	if (s->takes_name == NAME_DNSSEC)
		return n_args < 1 || n_args > 2 ? err_set(e, -EINVAL, "dnssec takes an action and a zone") : 0;
	if (n_args == 0 && s->takes_name == NAME_MUST)
		return err_set(e, -EINVAL, "%s needs the name of a service; jitsuctl list tells them",
			       s->name);
	if (n_args > (s->takes_name == NAME_NONE ? 0 : 1))
		return err_set(e, -EINVAL, "%s takes %s", s->name,
			       s->takes_name == NAME_NONE ? "no argument" : "one name alone");
	return 0;
}

static int run_command(struct run *r, int n_args, char **args)
{
	struct err e;
	int status;

	r->edit = edit_command_find(args[0]);
	r->n_args = n_args - 1;
	r->args = args + 1;
	r->sub = r->edit ? &edit_subcommand : find_subcommand(args[0], &e);
	if (!r->sub)
		return usage_error(e.text);
	if (r->opt.help && r->edit) {
		print_edit_help(r->edit);
		return EXIT_OK;
	}
	if (r->opt.help) {
		print_usage_of(stdout, r->sub);
		return EXIT_OK;
	}
	if (check_use(r, n_args - 1, &e) < 0)
		return usage_error(e.text);
	if (r->sub->takes_name == NAME_DNSSEC) {
		if (take_dnssec(r, n_args - 1, args + 1, &e) < 0)
			return usage_error(e.text);
	} else {
		r->name = n_args > 1 ? args[1] : NULL;
	}
	r->term = term_of_stdout(r->opt.no_color);
	status = r->sub->exec(r);
	client_close(r->client);
	if (status == EXIT_OK && r->out_failed)
		status = complain("cannot write to the standard output");
	return status;
}

/* ---- completion ---- */

static void give_up(int sig)
{
	(void)sig;
	_exit(EXIT_OK);
}

static void complete_row(const struct json_node *row, const char *field, struct complete_out *out)
{
	const char *word = row_text(row, field);
	char number[24];
	uint64_t n;

	if (!word && row_number(row, field, &n)) {
		snprintf(number, sizeof(number), "%llu", (unsigned long long)n);
		word = number;
	}
	if (word)
		complete_add(out, word, row_text_or(row, "state", ""));
}

static void complete_rows(void *arg, const char *verb, const char *field, struct complete_out *out)
{
	struct client_request q = no_request();
	const char *env = getenv("JITSU_SOCKET");
	const char *path = arg ? arg : env && *env ? env : CLIENT_SOCKET_DEFAULT;
	struct client *client = NULL;
	struct client_reply reply;
	struct err e;

	q.verb = verb;
	if (client_open(path, &client, &e) < 0)
		return;
	if (client_ask(client, &q, &e) == 0)
		while (client_next(client, &reply, &e) == 0 && reply.kind != REPLY_END)
			if (reply.kind == REPLY_ROW)
				complete_row(reply.row, field, out);
	client_close(client);
}

/* The socket that the line names, if it does. */
static char *socket_in(int n, char **words)
{
	char *path = NULL;

	for (int i = 0; i + 2 < n; i++)
		if (strcmp(words[i], "-S") == 0 || strcmp(words[i], "--socket") == 0)
			path = words[i + 1];
	return path;
}

/* For a shell, whose user waits and types: says nothing but what may come, and that soon. */
static int do_complete(int n, char **words)
{
	struct complete_source source = { any_command, complete_rows, socket_in(n, words) };
	cleanup_buf struct buf out = { 0 };

	signal(SIGALRM, give_up);
	alarm(COMPLETE_S);
	complete(&source, n, words, &out);
	fputs(out.text ? out.text : "", stdout);
	return EXIT_OK;
}

int main(int argc, char **argv)
{
	struct run r = { 0 };
	struct err e;

	if (argc > 1 && strcmp(argv[1], "--complete") == 0)
		return do_complete(argc - 2, argv + 2);
	setlocale(LC_CTYPE, "");
	take_old_words(&r, &argc, argv);
	if (edit_take_options(&argc, argv, &r.opt.edit, &e) < 0 || parse_options(argc, argv, &r.opt, &e) < 0)
		return usage_error(e.text);
	if (r.opt.version) {
		puts("jitsuctl " JITSU_VERSION);
		return EXIT_OK;
	}
	if (optind < argc)
		return run_command(&r, argc - optind, argv + optind);
	print_help(r.opt.help ? stdout : stderr);
	return r.opt.help ? EXIT_OK : EXIT_USAGE;
}
