/* Metrics over HTTP, for Prometheus: GET and HEAD of /metrics, and nothing else.  The text comes from the
 * launcher (base/msg.h), and is written here.
 */
#ifndef CONTROL_HTTP_H
#define CONTROL_HTTP_H

#include "base/msg.h"

struct event_base;
struct http;

enum {
	HTTP_CLIENTS_MAX = 16, /* at once; others wait in the sockets' backlogs */
	HTTP_CLIENT_MS = 10000, /* a connection is over after that, whatever it does */
	HTTP_LAUNCHER_MS = 3000, /* so long the launcher may take */
};

struct http_conf {
	/* Sends MSG_METRICS_ASK to the launcher: 0 or -errno. */
	int (*tell)(void *arg, enum msg_type type, const void *body);
	void *arg;
};

/* What the C library reads from files: before the sandbox is entered. */
void http_prepare(void);

struct http *http_new(struct event_base *base, const struct http_conf *conf); /* NULL: no memory */
void http_free(struct http *h); /* NULL is fine */

/* Takes `fd`, a listening TCP socket, that is known as `what`.  0 or -errno. */
int http_listen(struct http *h, const struct msg_listen *what, int fd);
void http_listen_end(struct http *h, const struct msg_listen *what);

/* The launcher went, or is another one: nothing more of its answer comes. */
void http_launcher_changed(struct http *h);
/* MSG_METRICS, MSG_METRICS_HISTOGRAM, MSG_METRICS_END; false: it is none of these. */
bool http_answer(struct http *h, enum msg_type type, const void *body);

#endif
