/* jitsuctl's commands that change the registry. */
#include <unistd.h>

#include "base/msg.h"
#include "cmd/edit.h"
#include "cmd/old_jitsu.h"
#include "cmd/render.h"
#include "cmd/subcommands.h"
#include "cmd/usage.h"

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
			return run_complain(e.text);
		json_put_node(&w, NULL, json_root(doc));
		json_free(doc);
	}
	json_close(&w, ']');
	json_close(&w, '}');
	buf_adds(&out, "\n");
	run_print(r, &out);
	return EXIT_OK;
}

/* Page by page; anew when somebody has changed something meanwhile. */
static int do_export(struct run *r)
{
	struct export x = { .n = 1 };
	uint64_t revision = 0;
	int status = EXIT_OK;

	while (status == EXIT_OK && x.n > 0) {
		struct client_request q = run_request("export");
		bool first = !x.last[0];
		char after[MSG_NAME_MAX];

		str_copy(after, x.last);
		q.service = first ? NULL : after;
		status = run_ask_this(r, &q, export_reply, &x);
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
	struct run_shape shape = { .row = edit_render_result };
	struct client_request q = run_request("import");
	struct run *r = arg;

	q.record = record;
	q.more = !last;
	q.exact = r->opt.edit.exact;
	q.fresh = r->only_new;
	q.dry_run = r->opt.edit.dry_run;
	return run_ask_this(r, &q, run_print_shape, &shape);
}

static int do_import(struct run *r)
{
	struct err e;
	int status = edit_split(r->args[0], send_part, r, &e);

	return status < 0 ? run_complain(e.text) : status;
}

int subcommand_do_edit(struct run *r)
{
	struct run_shape shape = { .row = edit_render_result };
	struct client_request q = run_request(r->edit->verb);
	cleanup_buf struct buf record = { 0 };
	struct err e;
	int status;

	if (strcmp(r->edit->name, "export") == 0)
		return do_export(r);
	if (strcmp(r->edit->name, "import") == 0)
		return do_import(r);
	if (edit_request(r->edit, &r->opt.edit, r->n_args, r->args, &record, &q, &e) < 0) {
		run_complain(e.text);
		return EXIT_USAGE;
	}
	q.n = r->opt.n;
	if (strcmp(r->edit->name, "history") == 0)
		shape.row = edit_render_revision;
	else if (strcmp(r->edit->name, "diff") == 0)
		shape.row = edit_render_difference;
	status = run_ask_this(r, &q, run_print_shape, &shape);
	if (status == EXIT_OK && shape.n == 0 && shape.row == edit_render_revision && !r->opt.json)
		fprintf(stderr, "jitsuctl: no change yet%s%s\n", q.service ? " of " : "", q.service ? q.service : "");
	return status;
}

/* ---- the first jitsu's command line ---- */

static int add_one(struct run *r, const struct old_jitsu *old)
{
	struct run_shape shape = { .row = edit_render_result };
	struct client_request q = run_request("add");

	q.record = old->records[0];
	q.dry_run = old->dry_run;
	return run_ask_this(r, &q, run_print_shape, &shape);
}

/* All or none, in one revision. */
static int add_several(struct run *r, const struct old_jitsu *old)
{
	cleanup_buf struct buf text = { 0 };
	cleanup_json struct json *doc = NULL;
	struct json_place at;
	struct err e;
	int status;

	for (size_t i = 0; i < old->n; i++)
		buf_addf(&text, "%c%s", i == 0 ? '[' : ',', old->records[i]);
	buf_adds(&text, "]");
	doc = text.error ? NULL : json_parse(text.text, text.n, &at, &e);
	if (!doc)
		return run_complain(text.error ? "out of memory" : e.text);
	r->opt.edit.dry_run = old->dry_run;
	r->only_new = true;
	status = edit_split_list(json_root(doc), send_part, r, &e);
	return status < 0 ? run_complain(e.text) : status;
}

int subcommand_do_import_jitsu(struct run *r)
{
	cleanup_buf struct buf mistakes = { 0 };
	cleanup_free char *cwd = getcwd(NULL, 0);
	struct old_jitsu old;
	int status = EXIT_OK;

	if (old_jitsu_parse(r->n_old, r->old, cwd ? cwd : "/", &old, &mistakes) < 0) {
		run_complain(mistakes.text ? mistakes.text : "out of memory");
		status = EXIT_USAGE;
	} else if (old.help) {
		usage_print_old();
	} else {
		r->opt.json |= old.json;
		status = old.n > 1 ? add_several(r, &old) : add_one(r, &old);
	}
	old_jitsu_free(&old);
	return status;
}
