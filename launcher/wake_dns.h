/* Which queries may wake a service; wake_dns.c tells how.  For the launcher's own files. */
#ifndef LAUNCHER_WAKE_DNS_H
#define LAUNCHER_WAKE_DNS_H

#include "base/err.h"
#include "base/msg.h"
#include "launcher/budget.h"
#include "launcher/mutes.h"

struct launcher;
struct service;

/* What the launcher knows of those who wake.  Each kind has its own, so that none takes from another. */
enum waker { WAKER_PACKET, WAKER_VERIFIED, WAKER_UNVERIFIED, WAKER_N };

struct wakers {
	struct sources *sources[WAKER_N];
	struct allowance unverified; /* of all services together */
	struct mutes *mutes;
};

/* ... and of one service. */
struct service_wakers {
	struct allowance queries[WAKER_N];
	uint64_t refused; /* queries that did not wake it */
	uint64_t muted; /* those of resolvers that ask ahead */
};

enum waker waker_of(const struct msg_wake *m);
int wakers_init(struct launcher *l);
void wakers_set(struct launcher *l); /* after a reload */

/* From dns. */
void wake_dns_heard(struct launcher *l, const struct msg_wake *m);
/* Takes what this wake costs; false, with the sentence, when there is not enough of it. */
bool wakers_take(struct service *s, const struct msg_wake *m, struct err *e);
/* What a query woke is about to be stopped: has anybody come to it? */
void wake_dns_judge(struct service *s, bool came);

#endif
