#include "cmd/subcommands.h"
#include "base/clock.h"
#include "base/nearest.h"
#include "cmd/dnssec.h"
#include "cmd/doctor_show.h"
#include "cmd/edit.h"
#include "cmd/event.h"
#include "cmd/listing.h"
#include "cmd/live.h"
#include "cmd/render.h"
#include "cmd/screen.h"
#include "cmd/top.h"
#include "cmd/usage.h"

enum { TRACE_N = 5, LINE_WIDTH = 4096 /* of lines that nobody's terminal breaks */ };

/* ---- what they do ---- */

static int list_row(struct run *r, const struct client_reply *reply, void *arg)
{
	if (r->opt.json)
		return run_print_json(r, reply);
	if (reply->kind == REPLY_ROW && listing_add(arg, reply->row) < 0)
		return run_complain("out of memory");
	return 0;
}

/* `none` is said when there is nothing to list; NULL: nothing is. */
static int do_listing(struct run *r, enum listing_of of, const char *none)
{
	struct listing *list = listing_new(of, &r->term);
	cleanup_buf struct buf out = { 0 };
	int status;

	if (!list)
		return run_complain("out of memory");
	status = run_ask(r, r->sub->name, list_row, list);
	if (status == EXIT_OK)
		listing_print(list, &out);
	if (status == EXIT_OK && out.n == 0 && none && !r->opt.json)
		fprintf(stderr, "jitsuctl: %s\n", none);
	run_print(r, &out);
	listing_free(list);
	return status;
}

static int do_list(struct run *r) { return do_listing(r, LISTING_SERVICES, NULL); }

static int do_stats(struct run *r) { return do_listing(r, LISTING_COUNTS, NULL); }

static int do_zones(struct run *r) { return do_listing(r, LISTING_ZONES, "no zone is configured"); }

static int do_flows(struct run *r) { return do_listing(r, LISTING_FLOWS, "nothing is held"); }

static int do_show(struct run *r)
{
	struct run_shape shape = { .row = render_fields, .gap = true };

	return run_ask(r, r->sub->name, run_print_shape, &shape);
}

static int print_state(struct run *r, const struct client_reply *reply, void *arg)
{
	const char *state = reply->kind == REPLY_ROW ? row_text(reply->row, "state") : NULL;
	cleanup_buf struct buf out = { 0 };

	(void)arg;
	if (r->opt.json)
		return run_print_json(r, reply);
	if (!state)
		return 0;
	text_clean(&r->term, r->name, &out);
	buf_adds(&out, " is ");
	text_clean(&r->term, state, &out);
	buf_adds(&out, "\n");
	run_print(r, &out);
	return 0;
}

/* Does it, then tells what became of it: the state the service is in now. */
static int do_change(struct run *r)
{
	int status = run_ask(r, r->sub->name, run_drop_row, NULL);

	return status == EXIT_OK ? run_ask(r, "show", print_state, NULL) : status;
}

static int why_row(struct run *r, const struct client_reply *reply, void *arg)
{
	cleanup_buf struct buf out = { 0 };

	(void)arg;
	if (r->opt.json)
		return run_print_json(r, reply);
	if (reply->kind == REPLY_ROW)
		render_why(reply->row, r->name, &r->term, clock_wall_ms(), &out);
	run_print(r, &out);
	return 0;
}

static int do_why(struct run *r) { return run_ask(r, "why", why_row, NULL); }

static int do_trace(struct run *r)
{
	struct run_shape shape = { .row = render_wake, .gap = true };
	int status;

	if (r->opt.n < 0)
		r->opt.n = TRACE_N;
	status = run_ask(r, "trace", run_print_shape, &shape);
	if (status == EXIT_OK && shape.n == 0 && !r->opt.json)
		fprintf(stderr, "jitsuctl: no wake yet%s%s\n", r->name ? " of " : "", r->name ? r->name : "");
	return status;
}

static int console_data(struct run *r, const struct client_reply *reply, void *arg)
{
	struct text_filter *filter = arg;
	cleanup_buf struct buf out = { 0 };

	if (r->opt.json)
		return run_print_json(r, reply);
	if (reply->kind != REPLY_DATA)
		return 0;
	if (r->opt.raw || !isatty(STDOUT_FILENO))
		buf_add(&out, reply->data, reply->n);
	else
		text_filter(filter, &r->term, reply->data, reply->n, &out);
	run_print(r, &out);
	return 0;
}

static int do_console(struct run *r)
{
	struct text_filter filter = { FILTER_TEXT };

	return run_ask(r, "console", console_data, &filter);
}

static int do_log(struct run *r)
{
	struct run_shape shape = { .row = render_log };

	return run_ask(r, "log", run_print_shape, &shape);
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
	run_print(r, &out);
	return *left > 0 && --*left == 0 ? -1 : 0;
}

/* The service must be there, or a misspelt one would be watched for ever. */
static int do_watch(struct run *r)
{
	struct client_request q = run_request("watch");
	int64_t left = r->opt.n;
	int status;

	r->opt.n = -1; /* it counts events */
	status = r->name ? run_ask(r, "show", run_drop_row, NULL) : EXIT_OK;
	q.service = r->name;
	if (!isatty(STDOUT_FILENO))
		r->term.width = LINE_WIDTH;
	if (status == EXIT_OK)
		status = run_ask_this(r, &q, print_event, &left);
	return status < 0 ? EXIT_OK : status;
}

static int top_row(struct run *r, const struct client_reply *reply, void *arg)
{
	if (r->opt.json)
		return run_print_json(r, reply);
	return reply->kind == REPLY_ROW && top_add(arg, reply->row) < 0 ? run_complain("out of memory") : 0;
}

static int print_top(struct run *r)
{
	struct top *top = top_new();
	cleanup_buf struct buf out = { 0 };
	int status = top ? run_ask(r, "list", top_row, top) : run_complain("out of memory");

	if (status == EXIT_OK && !r->opt.json) {
		top_done(top);
		top_print(top, &r->term, 0, &out);
		run_print(r, &out);
	}
	top_free(top);
	return status;
}

static int do_top(struct run *r)
{
	struct err e;

	if (r->opt.json || !screen_is_there())
		return print_top(r);
	return live_top(r->opt.socket, r->opt.no_color, &e) < 0 ? run_complain(e.text) : EXIT_OK;
}

static int do_reload(struct run *r)
{
	struct run_shape shape = { .row = render_fields };
	int status = run_ask(r, "reload", run_print_shape, &shape);

	if (status == EXIT_OK && !r->opt.json)
		puts("the configuration was read again");
	return status;
}

static int do_dnssec(struct run *r)
{
	struct run_shape shape = { .row = r->dnssec->shows_ds ? dnssec_render_ds : render_fields, .gap = true };

	return run_ask(r, r->dnssec->verb, run_print_shape, &shape);
}

/* It asks the host, and jitsud nothing. */
static int do_doctor(struct run *r)
{
	cleanup_buf struct buf out = { 0 };
	unsigned n_bad = doctor_show(r->name ? r->name : DOCTOR_CONF_DEFAULT, r->opt.socket, &r->term, r->opt.json, &out);

	run_print(r, &out);
	return n_bad == 0 ? EXIT_OK : EXIT_FAILED;
}

static int do_help(struct run *r)
{
	struct err e;

	if (!r->name)
		usage_print(stdout);
	else if (usage_print_of(r->name, &e) < 0)
		return usage_error(e.text);
	return EXIT_OK;
}

/* ---- the table ---- */

const struct subcommand subcommand_edit = { "", "", "", NAME_MAY, OPT_N, subcommand_do_edit };

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
	  subcommand_do_import_jitsu },
	{ "doctor", "[FILE]", "is this host fit for it, and what to do if not", NAME_MAY, 0, do_doctor },
	{ "help", "[COMMAND]", "this text", NAME_MAY, 0, do_help },
};

bool subcommand_nth(size_t i, struct complete_command *out)
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

const struct subcommand *subcommand_find(const char *name, struct err *e)
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
