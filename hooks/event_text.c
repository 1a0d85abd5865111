#include "hooks/event_text.h"

#include "base/json.h"

void event_text(const struct msg_hook_event *m, struct buf *out)
{
	struct json_writer w = { .out = out };
	char client[ADDR_TEXT_MAX];

	json_open(&w, NULL, '{');
	json_put_string(&w, "event", hook_event_name(m->event));
	json_put_integer(&w, "wall_ms", (int64_t)m->wall_ms);
	if (m->service[0])
		json_put_string(&w, "service", m->service);
	if (m->cause < CAUSE_N)
		json_put_string(&w, "cause", cause_name(m->cause));
	if (!ip_is_zero(&m->client))
		json_put_string(&w, "client", ip_format(&m->client, client));
	if (m->event == HOOK_UP)
		json_put_integer(&w, "wake_ms", (int64_t)m->wake_ms);
	if (m->reason[0])
		json_put_string(&w, "reason", m->reason);
	json_close(&w, '}');
	buf_adds(out, "\n");
}
