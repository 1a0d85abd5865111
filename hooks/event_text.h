/* An event as hooks read it: one JSON object on a line. */
#ifndef HOOKS_EVENT_TEXT_H
#define HOOKS_EVENT_TEXT_H

#include "base/buf.h"
#include "base/msg.h"

void event_text(const struct msg_hook_event *m, struct buf *out);

#endif
