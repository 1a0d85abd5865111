/* One client's connection: lines in, lines out, and everything about it bounded.  What the lines
 * mean is server.c's.
 */
#ifndef CONTROL_SESSION_H
#define CONTROL_SESSION_H

#include "base/buf.h"
#include "control/peer.h"

struct event_base;
struct session;

enum {
	SESSION_OUTPUT_MAX =
		4 * 1024 * 1024, /* not yet read by the client; beyond it the client is dropped */
	SESSION_OUTPUT_HIGH = 256 * 1024, /* beyond it nothing more is read from the client */
	SESSION_STALL_S = 30, /* output waits and none is taken: dropped */
};

struct session_ops {
	/* A line of at most PROTOCOL_LINE_MAX bytes, without its newline; borrowed. */
	void (*on_line)(void *arg, struct session *s, const char *line, size_t n);
	/* A line is longer than that; no further one comes. */
	void (*on_overlong)(void *arg, struct session *s);
	/* The client has closed its sending side: no further line comes, answers may still go. */
	void (*on_half_closed)(void *arg, struct session *s);
	/* All that was sent has been taken by the kernel. */
	void (*on_drained)(void *arg, struct session *s);
	/* It is over, and session_free() is due.  `why` is NULL when the client went, else a phrase
	 * for the log.  Called from the loop, never from inside one of the functions below. */
	void (*on_gone)(void *arg, struct session *s, const char *why);
};

/* Takes `fd`.  `serial` is the owner's name for it, `ops` must live on.  NULL: no memory. */
struct session *session_new(struct event_base *base, int fd, uint32_t serial, const struct peer *peer,
			    const struct session_ops *ops, void *arg);
void session_free(struct session *s); /* NULL is fine */

uint32_t session_serial(const struct session *s);
const struct peer *session_peer(const struct session *s);

/* Whatever the owner wants to find with it; NULL at first. */
void session_set_mark(struct session *s, void *mark);
void *session_mark(const struct session *s);

/* Sends, or keeps for when the client reads.  Nothing once the session is over. */
void session_send(struct session *s, const struct buf *lines);

/* A client that reads slowly, and may: it has `stall_s` until it is dropped, and the kernel keeps about
 * `bytes` for it. */
void session_be_patient(struct session *s, unsigned stall_s, int bytes);

/* What is kept still goes; then it is over. */
void session_finish(struct session *s);

/* Ends it without more words. */
void session_drop(struct session *s, const char *why);

size_t session_output(const struct session *s); /* bytes kept */
uint64_t session_idle_ms(const struct session *s); /* since something was last read or sent */
/* No further line will come; all that came were taken. */
bool session_half_closed(const struct session *s);
/* The client closed its sending side, and nobody is left who could read: asks the kernel. */
bool session_is_deserted(const struct session *s);

#endif
