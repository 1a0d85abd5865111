/* Those who watch: each event once from the launcher, and on to every connection that wants it.  However many
 * they are, and whatever they do not read, they cost a bounded amount of memory and hold up nobody.
 */
#ifndef CONTROL_WATCHERS_H
#define CONTROL_WATCHERS_H

#include <sys/types.h>

#include "control/protocol.h"
#include "control/session.h"

struct event_base;
struct watchers;

enum {
	WATCHERS_MAX = 1024,
	WATCHERS_PER_USER = 128, /* root alone may have more */
	WATCHERS_FOR_ROOT = 64, /* of WATCHERS_MAX: nobody else gets these */
	WATCHERS_RING = 1024, /* events kept for those who are behind */
	WATCHERS_OUTPUT = 16 * 1024, /* bytes waiting for one of them, about */
	WATCHERS_STALL_S = 600, /* reads nothing for so long: dropped */
};

/* `want` tells the launcher whether there is anybody (MSG_CTL_WATCH). */
struct watchers *watchers_new(struct event_base *base, void (*want)(void *arg, bool on), void *arg); /* NULL: no memory */
void watchers_free(struct watchers *ws); /* NULL is fine; its sessions too */

/* The session is a watcher's from now on, and in here.  -errno with *e: there is no place for that user. */
int watchers_add(struct watchers *ws, struct session *s, const struct protocol_request *p, struct err *e);
/* Whether it was one; forgets it, but does not free the session. */
bool watchers_remove(struct watchers *ws, struct session *s);
/* The id that it watches by; NULL: it does not. */
const char *watchers_id(const struct session *s);
size_t watchers_count(const struct watchers *ws);

/* Drops those who have gone without a word; now and then. */
void watchers_look_after(struct watchers *ws);
/* It has read all that was sent. */
void watchers_drained(struct watchers *ws, struct session *s);

/* The launcher can be told what is wanted; it has gone. */
void watchers_launcher_up(struct watchers *ws);
void watchers_launcher_gone(struct watchers *ws);
void watchers_event(struct watchers *ws, const struct msg_ctl_event *m);

#endif
