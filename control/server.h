/* The control server: clients of the UNIX socket on one side, the launcher on the other.  It does
 * not know how the launcher is reached, so that a test can be one.
 */
#ifndef CONTROL_SERVER_H
#define CONTROL_SERVER_H

#include <sys/types.h>

#include "base/msg.h"

struct event_base;
struct server;

enum {
	SERVER_CLIENTS_PER_USER = 16, /* root alone may have more */
	SERVER_CLIENTS_FOR_ROOT = 8, /* of REQUESTS_CLIENTS_MAX: nobody else gets these */
	SERVER_IDLE_S = 600, /* a client that asks nothing for so long is dropped */
};

struct server_conf {
	gid_t readers, admins; /* who may connect, and who may change things; 0: no such group */
	/* Sends MSG_CTL_REQUEST or MSG_CTL_CANCEL to the launcher: 0 or -errno. */
	int (*tell)(void *arg, enum msg_type type, const void *body);
	void *arg;
};

struct server *server_new(struct event_base *base, const struct server_conf *conf); /* NULL: no memory */
void server_free(struct server *sv); /* NULL is fine; the clients are dropped */

/* Takes `fd`, a listening UNIX stream socket; it replaces an earlier one. */
int server_listen(struct server *sv, int fd);

/* The launcher can be asked from now on; what waited for it is sent. */
void server_launcher_up(struct server *sv);
/* It cannot: what was asked and can be asked again waits, the rest ends with an error.  Also when
 * it was not up. */
void server_launcher_gone(struct server *sv);
/* What the launcher says: MSG_CTL_ROW, MSG_CTL_DATA, MSG_CTL_END; others are ignored. */
void server_answer(struct server *sv, enum msg_type type, const void *body);

#endif
