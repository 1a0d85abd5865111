/* One request after another on one connection; it is opened anew when jitsud was restarted, and until then the old
 * table stays, with a line that says so.  With very many services it asks less often: a tenth of the time at most
 * is spent on listings.
 */
#include "cmd/live.h"

#include "base/clock.h"
#include "cmd/client.h"
#include "cmd/screen.h"
#include "cmd/top.h"

enum { EVERY_MS = 1000, SHARE = 10 };

struct live {
	const char *socket;
	bool no_color;
	struct client *client;
	struct top *top;
};

static int fetch(struct live *v, struct err *e)
{
	struct client_request q = { .verb = "list", .n = -1, .ds_ttl_s = -1, .revision = -1 };
	struct client_reply reply = { 0 };
	int r = v->client ? 0 : client_open(v->socket, &v->client, e);

	if (r == 0)
		r = client_ask(v->client, &q, e);
	top_begin(v->top);
	while (r == 0 && (r = client_next(v->client, &reply, e)) == 0 && reply.kind != REPLY_END) {
		if (reply.kind == REPLY_ROW && top_add(v->top, reply.row) < 0)
			r = err_set(e, -ENOMEM, "out of memory");
	}
	if (r == 0) {
		top_done(v->top);
		return 0;
	}
	client_close(v->client);
	v->client = NULL;
	return r;
}

static bool draw(const struct live *v)
{
	struct term term = term_of_stdout(v->no_color);
	cleanup_buf struct buf lines = { 0 };

	top_print(v->top, &term, screen_height(), &lines);
	return screen_draw(&lines);
}

/* Until it is time for the next listing; false: enough. */
static bool wait_for(const struct live *v, uint64_t until)
{
	for (;;) {
		uint64_t now = clock_now_ms();
		int key = now < until ? screen_key((unsigned)(until - now)) : SCREEN_NOTHING;

		if (key == SCREEN_CLOSED || (key >= 0 && !top_key(v->top, key)))
			return false;
		if (key == SCREEN_NOTHING && clock_now_ms() >= until)
			return true;
		if (!draw(v))
			return false;
	}
}

static void look(struct live *v)
{
	uint64_t begin, took;
	struct err e;

	do {
		begin = clock_now_ms();
		if (fetch(v, &e) < 0)
			top_complain(v->top, e.text);
		took = clock_now_ms() - begin;
	} while (draw(v) && wait_for(v, begin + MAX((uint64_t)EVERY_MS, took * SHARE)));
}

int live_top(const char *socket, bool no_color, struct err *e)
{
	struct live v = { .socket = socket, .no_color = no_color, .top = top_new() };
	int r = v.top ? fetch(&v, e) : err_set(e, -ENOMEM, "out of memory");

	if (r == 0) {
		r = screen_take();
		if (r < 0)
			err_set_errno(e, r, "cannot use the terminal");
	}
	if (r == 0) {
		look(&v);
		screen_give_back();
	}
	client_close(v.client);
	top_free(v.top);
	return r;
}
