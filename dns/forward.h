/* Queries outside our zones, asked of an upstream for the few clients that may.
 *
 * Whether a client may is the caller's decision (tables_may_forward()).  UDP clients' queries go
 * over UDP (a truncated answer is passed on, and brings the client back over TCP), TCP clients'
 * over TCP.
 */
#ifndef DNS_FORWARD_H
#define DNS_FORWARD_H

#include "dns/client.h"
#include "dns/wire.h"
#include "dns/zone.h"

struct event_base;
struct forward;

enum {
	FORWARD_MAX = 256, /* asked at once */
	FORWARD_SHARE = 4, /* at most FORWARD_MAX / 4 of them for one client address */
	FORWARD_TRY_MS = 1200, /* then the next upstream is asked */
	FORWARD_TRIES_MAX = 4,
};

/* The answer for the client: the upstream's, or SERVFAIL. */
typedef void forward_answer_fn(void *arg, const struct client *to, const uint8_t *packet, size_t n);

/* NULL: no memory. */
struct forward *forward_new(struct event_base *base, forward_answer_fn *on_answer, void *arg);
void forward_free(struct forward *f);

/* Whom to ask from now on; copied. */
void forward_set(struct forward *f, const struct zone_forward *upstreams, unsigned n);

/* 0: on_answer() will be called, later.  -EALREADY: the same query of that client is under way.
 * Other -errno: it cannot be asked now. */
int forward_query(struct forward *f, const struct client *from, const struct wire_query *q);

/* This TCP connection is gone: its queries are forgotten. */
void forward_forget(struct forward *f, uint64_t conn);

unsigned forward_count(const struct forward *f);

#endif
