/* The heart of the process: a query comes in, its answer goes out, now or when the service it
 * waits for is up; and what the launcher says changes what is answered.  No sockets: main.c
 * gives the ways out.
 */
#ifndef DNS_SERVE_H
#define DNS_SERVE_H

#include "dns/answer.h"
#include "dns/client.h"
#include "dns/view.h"

struct serve;

enum {
	SERVE_CHANGING_S = 10, /* so long a query waits for the tables that say what became of its name */
	SERVE_UNVERIFIED_WAKES = 500, /* a second, for clients that may be anybody */
	SERVE_MAX_WAITING = 1024, /* until the launcher says otherwise */
	SERVE_ROLL_S = 86400, /* a cookie secret of our own is replaced by the next */
};

struct serve_ops {
	/* An answer that had to wait.  Must not come back into serve.c. */
	void (*reply)(void *arg, const struct client *to, const uint8_t *packet, size_t n);
	/* To the launcher; 0 or -errno (-EPIPE while there is none). */
	int (*tell)(void *arg, enum msg_type type, const void *body);
	/* An address of this service was given out, or it runs and was asked for. */
	void (*mark)(void *arg, uint32_t svc, uint32_t gen, uint64_t now_ns);
	/* As forward_query(). */
	int (*forward)(void *arg, const struct client *from, const struct wire_query *q);
	/* New tables are in force. */
	void (*on_tables)(void *arg, const struct tables *t);
	/* From now on workers answer from a copy of this, with the slots that `mark` knows; returns when none
	 * of them answers from an earlier one. */
	void (*publish)(void *arg, const struct view *view);
	/* A service's state was changed: returns when no worker answers by what it was. */
	void (*settle)(void *arg);
	/* As special_query(). */
	size_t (*special)(void *arg, const struct client *from, const uint8_t *packet, size_t n, struct answer *a,
			  uint8_t *reply, bool *waits);
};

/* `ops` must outlive it; `seed` is a random number.  NULL: no memory. */
struct serve *serve_new(const struct serve_ops *ops, void *arg, uint64_t seed);
void serve_free(struct serve *s);

/* A client_query_fn: `arg` is the struct serve.  Before the first snapshot nothing is answered. */
size_t serve_query(void *arg, const struct client *from, const uint8_t *packet, size_t n, uint8_t *reply,
		   bool *waits);

/* What the launcher says.  Unknown messages are ignored. */
void serve_launcher_msg(struct serve *s, enum msg_type type, const void *body);
/* MSG_DNS_ZONE_FILE; takes fd. */
void serve_zone_file(struct serve *s, const struct msg_dns_zone_file *m, int fd);
/* MSG_DNS_KEY; takes fd. */
void serve_key(struct serve *s, const struct msg_dns_key *m, int fd);
/* The snapshot is whole, but its zone files are being read, or its zones signed: call serve_load() until
 * that is done. */
bool serve_is_loading(const struct serve *s);
void serve_load(struct serve *s); /* takes about a millisecond */
/* Its channel is another one: a snapshot that was under way will not be finished. */
void serve_launcher_changed(struct serve *s);

/* This TCP connection is gone, with whatever waited on it. */
void serve_forget(struct serve *s, uint64_t conn);

/* Ends the waits whose time is over, and replaces a cookie secret whose day is. */
void serve_expire(struct serve *s, uint64_t now_ns);
/* When to call serve_expire() next; UINT64_MAX: nothing waits. */
uint64_t serve_deadline_ns(const struct serve *s);
/* The same for the cookies' secret: UINT64_MAX when it is not ours. */
uint64_t serve_roll_ns(const struct serve *s);

uint32_t serve_waiting(const struct serve *s);

/* What the main thread counts: here queries over TCP, and what is over a rate; answers are the caller's
 * to count. */
struct counts *serve_counts(struct serve *s);

#endif
