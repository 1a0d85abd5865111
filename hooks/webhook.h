/* One event to one URL: an HTTP POST of JSON. */
#ifndef HOOKS_WEBHOOK_H
#define HOOKS_WEBHOOK_H

#include "base/util.h"

enum { WEBHOOK_TRIES = 3 };

/* Blocks: in a process of its own.  Tried again, WEBHOOK_TRIES times in all and a second or two apart, when nobody
 * answered or the server says that the fault is its own (5xx) or a matter of time (408, 429); certificates are
 * always verified, and redirections not followed.  0; -EREMOTEIO: refused; -ETIMEDOUT: no try was successful. */
int webhook_send(const char *url, const char *text, uint32_t timeout_ms);

#endif
