/* jitsuctl: the operator's tool.  Asks jitsud's control socket and shows the answer. */
#include <getopt.h>
#include <locale.h>
#include <signal.h>

#include "base/version.h"
#include "cmd/complete.h"
#include "cmd/render.h"
#include "cmd/subcommands.h"
#include "cmd/usage.h"

enum { COMPLETE_S = 2 };

/* ---- a command ---- */

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
	if (r->edit && (r->opt.follow || r->opt.raw || options_of_dnssec(&r->opt)))
		return err_set(e, -EINVAL, "%s does not take this option", r->edit->name);
	if (r->edit)
		return edit_check(r->edit, &r->opt.edit, n_args, e);
	if (r->opt.n >= 0 && !(s->options & OPT_N))
		return err_set(e, -EINVAL, "%s takes no -n", s->name);
	if (r->opt.follow && !(s->options & OPT_FOLLOW))
		return err_set(e, -EINVAL, "%s takes no -f", s->name);
	if (r->opt.raw && !(s->options & OPT_RAW))
		return err_set(e, -EINVAL, "%s takes no --raw", s->name);
	if (!(s->options & OPT_DNSSEC) && options_of_dnssec(&r->opt))
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
	r->sub = r->edit ? &subcommand_edit : subcommand_find(args[0], &e);
	if (!r->sub)
		return usage_error(e.text);
	if (r->opt.help) {
		usage_print_of(args[0], &e);
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
		status = run_complain("cannot write to the standard output");
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
	struct client_request q = run_request(verb);
	const char *path = arg ? arg : options_socket_default();
	struct client *client = NULL;
	struct client_reply reply;
	struct err e;

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
	struct complete_source source = { subcommand_nth, complete_rows, socket_in(n, words) };
	cleanup_buf struct buf out = { 0 };

	signal(SIGALRM, give_up);
	alarm(COMPLETE_S);
	complete(&source, n, words, &out);
	fputs(out.text ? out.text : "", stdout);
	return EXIT_OK;
}

/* ---- the command line ---- */

int main(int argc, char **argv)
{
	struct run r = { 0 };
	struct err e;

	if (argc > 1 && strcmp(argv[1], "--complete") == 0)
		return do_complete(argc - 2, argv + 2);
	setlocale(LC_CTYPE, "");
	take_old_words(&r, &argc, argv);
	if (edit_take_options(&argc, argv, &r.opt.edit, &e) < 0 || options_parse(argc, argv, &r.opt, &e) < 0)
		return usage_error(e.text);
	if (r.opt.version) {
		puts("jitsuctl " JITSU_VERSION);
		return EXIT_OK;
	}
	if (optind < argc)
		return run_command(&r, argc - optind, argv + optind);
	usage_print(r.opt.help ? stdout : stderr);
	return r.opt.help ? EXIT_OK : EXIT_USAGE;
}
