/* `jitsuctl watch`: an event as a line. */
#ifndef CMD_EVENT_H
#define CMD_EVENT_H

#include "base/json.h"
#include "cmd/text.h"

void event_render(const struct json_node *row, const struct term *t, uint64_t now_wall_ms, struct buf *out);

#endif
