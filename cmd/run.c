#include <unistd.h>

#include "base/clock.h"
#include "cmd/render.h"
#include "cmd/run.h"

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

int run_complain(const char *text)
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

void run_print(struct run *r, struct buf *text)
{
	if (text->n > 0 && fwrite(text->text, 1, text->n, stdout) != text->n)
		r->out_failed = true;
	if (fflush(stdout) != 0)
		r->out_failed = true;
	buf_clear(text);
}

/* ---- asking ---- */

struct client_request run_request(const char *verb)
{
	return (struct client_request){ .verb = verb, .n = -1, .ds_ttl_s = -1, .revision = -1 };
}

int run_ask_this(struct run *r, const struct client_request *q, run_reply_fn *each, void *arg)
{
	struct client_reply reply;
	struct err e;
	int status = 0;

	if (!r->client && client_open(r->opt.socket, &r->client, &e) < 0)
		return run_complain(e.text);
	if (client_ask(r->client, q, &e) < 0)
		return run_complain(e.text);
	for (;;) {
		if (client_next(r->client, &reply, &e) < 0)
			return run_complain(e.text);
		if (reply.kind == REPLY_END)
			return EXIT_OK;
		status = each(r, &reply, arg);
		if (status != 0 || r->out_failed)
			return status; /* run_command() complains */
	}
}

int run_ask(struct run *r, const char *verb, run_reply_fn *each, void *arg)
{
	struct client_request q = {
		.verb = verb, .service = r->name, .n = r->opt.n, .follow = r->opt.follow, .zone = r->zone,
		.algorithm = r->opt.dnssec.algorithm, .ds_ttl_s = r->opt.dnssec.ds_ttl_s,
		.force = r->opt.dnssec.force, .ds_gone = r->opt.dnssec.ds_gone, .revision = -1,
	};

	return run_ask_this(r, &q, each, arg);
}

int run_print_json(struct run *r, const struct client_reply *reply)
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
	run_print(r, &out);
	return 0;
}

int run_print_shape(struct run *r, const struct client_reply *reply, void *arg)
{
	struct run_shape *shape = arg;
	cleanup_buf struct buf out = { 0 };

	if (r->opt.json)
		return run_print_json(r, reply);
	if (reply->kind != REPLY_ROW)
		return 0;
	if (shape->n++ > 0 && shape->gap)
		buf_adds(&out, "\n");
	shape->row(reply->row, &r->term, clock_wall_ms(), &out);
	run_print(r, &out);
	return 0;
}

int run_drop_row(struct run *r, const struct client_reply *reply, void *arg)
{
	(void)r;
	(void)reply;
	(void)arg;
	return 0;
}
