/* What serve.c (queries, and waits) and serve_tables.c (what they are answered from) share, and nobody else uses. */
#ifndef DNS_SERVE_INTERNAL_H
#define DNS_SERVE_INTERNAL_H

#include "base/bucket.h"
#include "dns/load.h"
#include "dns/rate.h"
#include "dns/serve.h"
#include "dns/waiting.h"

struct serve {
	const struct serve_ops *ops;
	void *arg;
	struct tables *tables, *next;
	struct load *load; /* of `next` */
	struct signatures *signatures;
	struct changing *changing; /* names that wait for other tables */
	size_t covered; /* the first of them: `next` has what they wait for */
	bool loading;
	struct waiting *waiting;
	struct rate *rate;
	struct counts *counts;
	struct cookies cookies;
	bool own_secrets; /* nobody gave us any */
	uint64_t rolled_ns; /* when ours were last replaced */
	/* the wall clock in seconds, asked at most once a second */
	uint32_t now_s;
	uint64_t now_s_until_ns;
	struct bucket unverified; /* wakes for clients that are not verified */
	char *warned; /* what was last said about zones; NULL: nothing */
	bool synced; /* the launcher we talk to has given the tables: it knows their generations */
};

/* ---- serve.c ---- */

/* Workers answer from what is in force from here on. */
void serve_publish(struct serve *s);
/* A cookie secret of ours becomes the last one, and a new one is the first. */
void serve_roll(struct serve *s, uint64_t now_ns);
/* Every waiter asks the new tables, and wakes anew: the launcher may be another. */
void serve_ask_again(struct serve *s);
/* Wakes that could not be sent while the launcher was away. */
void serve_send_pending(struct serve *s, struct tables *old);

/* ---- serve_tables.c ---- */

void serve_on_begin(struct serve *s);
void serve_on_end(struct serve *s);
void serve_on_changing(struct serve *s, const struct msg_dns_changing *m);
/* What lies between MSG_BEGIN and MSG_END.  0 or -errno. */
int serve_fill_next(struct tables *next, enum msg_type type, const void *body);

#endif
