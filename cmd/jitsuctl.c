/* jitsuctl: the operator's tool.  Asks jitsud's control socket and shows the answer. */
#include <getopt.h>
#include <locale.h>

#include "base/clock.h"
#include "base/nearest.h"
#include "base/version.h"
#include "cmd/client.h"
#include "cmd/listing.h"
#include "cmd/render.h"

enum { EXIT_OK, EXIT_FAILED, EXIT_USAGE };
enum { N_MAX = 1000, TRACE_N = 5 };

struct options {
	const char *socket;
	bool json, no_color, follow, raw, help, version;
	int64_t n; /* -1: not given */
};

struct subcommand;

/* One run of the program. */
struct run {
	const struct subcommand *sub;
	struct options opt;
	const char *name; /* the service; NULL when none is given */
	struct client *client;
	struct term term;
	bool out_failed;
};

enum { OPT_N = 1 << 0, OPT_FOLLOW = 1 << 1, OPT_RAW = 1 << 2 };
enum name_rule { NAME_NONE, NAME_MAY, NAME_MUST };

struct subcommand {
	const char *name, *args, *usage;
	enum name_rule takes_name;
	unsigned options;
	int (*exec)(struct run *r);
};

/* ---- saying things ---- */

/* A sentence, or several lines (the mistakes of a configuration), which may quote anything. */
static int complain(const char *text)
{
	struct term term = term_of_stdout(true);
	cleanup_buf struct buf out = { 0 };

	while (*text) {
		size_t n = strcspn(text, "\n");
		cleanup_free char *line = strndup(text, n);

		text_clean(&term, line ? line : "", &out);
		text += n + strspn(text + n, "\n");
		if (*text)
			buf_adds(&out, "\n");
	}
	fprintf(stderr, "jitsuctl: %s\n", out.text ? out.text : "it failed, without a reason");
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

/* Asks `verb` and gives each row and piece of data to `each`, whose value other than 0 ends it.
 * The exit status. */
static int ask(struct run *r, const char *verb, reply_fn *each, void *arg)
{
	struct client_request q = {
		.verb = verb, .service = r->name, .n = r->opt.n, .follow = r->opt.follow
	};
	struct client_reply reply;
	struct err e;
	int status = 0;

	if (!r->client && client_open(r->opt.socket, &r->client, &e) < 0)
		return complain(e.text);
	if (client_ask(r->client, &q, &e) < 0)
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

static int do_reload(struct run *r)
{
	struct shape shape = { .row = render_fields };
	int status = ask(r, "reload", print_shape, &shape);

	if (status == EXIT_OK && !r->opt.json)
		puts("the configuration was read again");
	return status;
}

static int do_help(struct run *r);

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
	{ "status", "", "jitsud itself: processes, limits, hypervisors", NAME_NONE, 0, do_show },
	{ "reload", "", "have jitsud read its configuration again", NAME_NONE, 0, do_reload },
	{ "help", "[COMMAND]", "this text", NAME_MAY, 0, do_help },
};

/* ---- usage ---- */

static const char option_help[] = "Options:\n"
				  "  -n N               at most N wakes, flows or lines (1..1000)\n"
				  "  -f, --follow       go on until ^C\n"
				  "      --raw          console: escape sequences too\n"
				  "      --json         a JSON object per row, on a line each\n"
				  "      --no-color     no colour (nor with NO_COLOR set, nor into a pipe)\n"
				  "  -S, --socket PATH  jitsud's control socket; else $JITSU_SOCKET, else\n"
				  "                     " CLIENT_SOCKET_DEFAULT "\n"
				  "  -h, --help         this text\n"
				  "      --version\n";

static void print_help(FILE *f)
{
	fprintf(f, "Usage: jitsuctl [OPTION]... COMMAND [NAME]\n\nCommands:\n");
	for (size_t i = 0; i < ARRAY_SIZE(subcommands); i++) {
		const struct subcommand *s = &subcommands[i];

		fprintf(f, "  %-8s%-15s %s\n", s->name, s->args, s->usage);
	}
	fprintf(f, "\n%s\nThe manual: man 8 jitsuctl\n", option_help);
}

static void print_usage_of(FILE *f, const struct subcommand *s)
{
	fprintf(f, "Usage: jitsuctl [OPTION]... %s%s%s\n%s\n", s->name, *s->args ? " " : "", s->args,
		s->usage);
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
	s = find_subcommand(r->name, &e);
	if (!s)
		return usage_error(e.text);
	print_usage_of(stdout, s);
	return EXIT_OK;
}

/* ---- the command line ---- */

enum { LONG_JSON = 256, LONG_NO_COLOR, LONG_RAW, LONG_VERSION };

static const struct option long_options[] = {
	{ "socket", 1, NULL, 'S' },     { "follow", 0, NULL, 'f' },
	{ "json", 0, NULL, LONG_JSON }, { "no-color", 0, NULL, LONG_NO_COLOR },
	{ "raw", 0, NULL, LONG_RAW },   { "version", 0, NULL, LONG_VERSION },
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
	if (near.name && strcmp(near.name, near.word) != 0)
		return err_set(e, -EINVAL, "there is no option %.60s; did you mean --%s?", arg, near.name);
	return err_set(e, -EINVAL, "there is no option %.60s", arg);
}

static int parse_options(int argc, char **argv, struct options *o, struct err *e)
{
	const char *env = getenv("JITSU_SOCKET");
	int c;

	*o = (struct options){ .socket = env && *env ? env : CLIENT_SOCKET_DEFAULT, .n = -1 };
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

/* The options given must be some that the command takes, and so must the arguments. */
static int check_use(const struct run *r, int n_args, struct err *e)
{
	const struct subcommand *s = r->sub;

	if (r->opt.n >= 0 && !(s->options & OPT_N))
		return err_set(e, -EINVAL, "%s takes no -n", s->name);
	if (r->opt.follow && !(s->options & OPT_FOLLOW))
		return err_set(e, -EINVAL, "%s takes no -f", s->name);
	if (r->opt.raw && !(s->options & OPT_RAW))
		return err_set(e, -EINVAL, "%s takes no --raw", s->name);
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

	r->sub = find_subcommand(args[0], &e);
	if (!r->sub)
		return usage_error(e.text);
	if (r->opt.help) {
		print_usage_of(stdout, r->sub);
		return EXIT_OK;
	}
	if (check_use(r, n_args - 1, &e) < 0)
		return usage_error(e.text);
	r->name = n_args > 1 ? args[1] : NULL;
	r->term = term_of_stdout(r->opt.no_color);
	status = r->sub->exec(r);
	client_close(r->client);
	if (status == EXIT_OK && r->out_failed)
		status = complain("cannot write to the standard output");
	return status;
}

int main(int argc, char **argv)
{
	struct run r = { 0 };
	struct err e;

	setlocale(LC_CTYPE, "");
	if (parse_options(argc, argv, &r.opt, &e) < 0)
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
