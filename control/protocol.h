/* The control protocol as pure text work: a line of bytes in, a typed request or a sentence out;
 * the launcher's rows in, lines of JSON out.  docs/control-protocol.md is the contract with
 * clients; nothing here knows of sockets or time.
 */
#ifndef CONTROL_PROTOCOL_H
#define CONTROL_PROTOCOL_H

#include "base/buf.h"
#include "base/err.h"
#include "base/msg.h"

enum {
	PROTOCOL_VERSION = 1,
	PROTOCOL_LINE_MAX = 64 * 1024, /* of a request, without its newline */
	PROTOCOL_ID_BYTES = 64, /* of an id that is a string */
	PROTOCOL_ID_MAX = PROTOCOL_ID_BYTES * 6 + 3, /* the same as JSON text, with its NUL */
	PROTOCOL_N_MAX = 1000, /* rows of old events, wakes or flows in one answer */
	PROTOCOL_TRACE_N = 10, /* "n" when it is left out */
	PROTOCOL_LOG_N = 100,
	PROTOCOL_HISTORY_N = 20,
	PROTOCOL_DS_TTL_MAX = 604800, /* seconds */
};

struct protocol_request {
	char id[PROTOCOL_ID_MAX]; /* the client's, as the JSON text its answers carry */
	bool cancel; /* "do":"cancel": ends the client's own request `of`; msg counts for nothing */
	char of[PROTOCOL_ID_MAX];
	bool watch; /* "do":"watch": events, of msg.service or of all; the launcher is not asked */
	bool needs_admin;
	bool has_revision;
	struct msg_ctl_request msg; /* verb, service, n, follow; the rest is the caller's to fill in */
};

/* One line without its newline.  0, or -errno with *e; out->id is set in either case ("null"
 * when the line has none that could be read), so that the error can be addressed.
 * -EPROTONOSUPPORT: another version of the protocol. */
int protocol_parse(const char *line, size_t n, struct protocol_request *out, struct err *e);

/* Each adds one line, with its newline.  `id` is protocol_request.id. */
void protocol_row(const char *id, const struct msg_ctl_row *row, struct buf *out);
void protocol_data(const char *id, const struct msg_ctl_data *data, struct buf *out);
/* An event as a JSON object, without a newline; as a line of one who watches. */
void protocol_event(const struct msg_ctl_event *m, struct buf *out);
void protocol_event_line(const char *id, const char *object, struct buf *out);
/* That line in place of `n` events that the watcher will not see. */
void protocol_missed(const char *id, uint64_t n, struct buf *out);
void protocol_end(const char *id, struct buf *out);
/* `error` is a negative errno, `text` the sentence. */
void protocol_error(const char *id, int error, const char *text, struct buf *out);

#endif
