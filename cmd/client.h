/* A connection to the control socket: asks, and gives the replies one by one.  Blocking: for
 * command line tools.  docs/control-protocol.md is the protocol.
 */
#ifndef CMD_CLIENT_H
#define CMD_CLIENT_H

#include "base/err.h"
#include "base/json.h"

#define CLIENT_SOCKET_DEFAULT "/run/jitsu/control.sock"

struct client;

struct client_request {
	const char *verb, *service; /* service NULL: none */
	int64_t n; /* -1: not given */
	bool follow;
	const char *zone, *algorithm; /* NULL: none */
	int64_t ds_ttl_s; /* -1: not given */
	bool force, ds_gone;
	const char *to, *record; /* NULL: none; `record` is JSON */
	int64_t revision; /* -1: not given */
	bool dry_run, more, exact, fresh;
};

enum reply_kind { REPLY_ROW, REPLY_DATA, REPLY_END };

struct client_reply {
	enum reply_kind kind;
	const struct json_node *row; /* REPLY_ROW: an object */
	const char *data; /* REPLY_DATA: n bytes */
	size_t n;
	const char *base64; /* REPLY_DATA: how it came when it was no text; NULL else */
};

/* 0, or -errno with *e telling what to do. */
int client_open(const char *path, struct client **out, struct err *e);
void client_close(struct client *c); /* NULL is fine */

int client_ask(struct client *c, const struct client_request *q, struct err *e);

/* The next reply to the last request; what it points to lives until the next call.  0, or -errno
 * with *e: the server's own sentence when it refused. */
int client_next(struct client *c, struct client_reply *out, struct err *e);

#endif
