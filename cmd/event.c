#include "cmd/event.h"

#include <inttypes.h>

#include "cmd/render.h"

static void add_state(const struct json_node *row, struct buf *out)
{
	buf_addf(out, "%s: %s -> %s", row_text_or(row, "service", "?"), row_text_or(row, "before", "?"),
		 row_text_or(row, "state", "?"));
}

static void add_wake(const struct json_node *row, struct buf *out)
{
	const char *cause = row_text_or(row, "cause", "?"), *client = row_text_or(row, "client", "");

	buf_addf(out, "%s is woken by %s", row_text_or(row, "service", "?"), strcmp(cause, "cli") == 0 ? "jitsuctl" : cause);
	if (*client)
		buf_addf(out, " from %s", client);
	buf_addf(out, " (wake %s)", row_text_or(row, "wake", "?"));
}

static void add_woken(const struct json_node *row, struct buf *out)
{
	buf_addf(out, "%s: wake %s: %s after %s ms", row_text_or(row, "service", "?"), row_text_or(row, "wake", "?"),
		 row_text_or(row, "result", "?"), row_text_or(row, "took_ms", "?"));
}

static void add_revision(const struct json_node *row, struct buf *out)
{
	buf_addf(out, "registry: revision %s by uid %s: %s", row_text_or(row, "revision", "?"), row_text_or(row, "uid", "?"),
		 row_text_or(row, "command", "?"));
}

/* What is said of it behind its number. */
static void describe(const struct json_node *row, const char *event, struct buf *out)
{
	const char *reason = row_text_or(row, "reason", "");

	if (strcmp(event, "begin") == 0)
		buf_adds(out, "from here on every event is shown");
	else if (strcmp(event, "missed") == 0)
		buf_addf(out, "%s events were missed: this is read too slowly", row_text_or(row, "missed", "?"));
	else if (strcmp(event, "state") == 0)
		add_state(row, out);
	else if (strcmp(event, "wake") == 0)
		add_wake(row, out);
	else if (strcmp(event, "woken") == 0)
		add_woken(row, out);
	else if (strcmp(event, "revision") == 0)
		add_revision(row, out);
	else if (strcmp(event, "address") == 0)
		buf_addf(out, "%s: its address", row_text_or(row, "service", "?"));
	else if (strcmp(event, "reload") == 0)
		buf_addf(out, "reload: %s", row_text_or(row, "result", "?"));
	else
		buf_adds(out, event);
	if (*reason)
		buf_addf(out, ": %s", reason);
}

static enum color color_of(const struct json_node *row, const char *event)
{
	const char *result = row_text_or(row, "result", "");

	if (strcmp(event, "state") == 0)
		return render_state_color(row_text_or(row, "state", ""));
	if (strcmp(event, "woken") == 0)
		return strcmp(result, "up") == 0 ? COLOR_GREEN : COLOR_RED;
	if (strcmp(event, "reload") == 0 && strcmp(result, "refused") == 0)
		return COLOR_RED;
	return strcmp(event, "missed") == 0 ? COLOR_YELLOW : COLOR_NONE;
}

void event_render(const struct json_node *row, const struct term *t, uint64_t now_wall_ms, struct buf *out)
{
	const char *event = row_text_or(row, "event", "?"), *number = row_text(row, "number");
	cleanup_buf struct buf head = { 0 }, line = { 0 };
	enum color c = color_of(row, event);
	char when[TEXT_UNIT_MAX];
	uint64_t wall_ms;

	if (row_number(row, "wall_ms", &wall_ms))
		buf_addf(&head, "%s ", text_time(wall_ms, now_wall_ms, when));
	if (number)
		buf_addf(&head, "%s ", number);
	color_on(t, COLOR_DIM, out);
	if (head.text)
		text_clean(t, head.text, out);
	color_off(t, COLOR_DIM, out);
	describe(row, event, &line);
	color_on(t, c, out);
	text_wrap(t, line.text ? line.text : "", head.text ? text_width(head.text) : 0, 4, out);
	color_off(t, c, out);
}
