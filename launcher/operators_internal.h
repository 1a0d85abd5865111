/* What operators.c, operators_vms.c and operators_dns.c share, and nobody else uses. */
#ifndef LAUNCHER_OPERATORS_INTERNAL_H
#define LAUNCHER_OPERATORS_INTERNAL_H

#include "launcher/launcher.h"

struct waiting {
	TAILQ_ENTRY(waiting) next;
	struct operators *r;
	struct msg_ctl_request ask;
	/* start, stop */
	uint32_t svc, gen;
	bool moved; /* the service has left the state it was in */
	/* changes of the registry */
	bool edit, told; /* the snapshot that has it was sent */
	uint32_t changing; /* dns knows its names once it has acknowledged this; 0: that is not enough */
	/* adopt */
	uint32_t req; /* of the hypervisor's */
	/* console; the others: it has waited too long */
	struct event *poll;
	uint64_t offset;
};

struct operators {
	struct launcher *l;
	TAILQ_HEAD(, waiting) waiting;
	unsigned n_waiting;
};

/* ---- operators.c ---- */

/* The service that is asked about.  NULL, and the end was sent: there is none. */
struct service *operators_find(struct operators *r, const struct msg_ctl_request *ask);

/* The request stays.  NULL, and the end was sent: there are too many. */
struct waiting *operators_wait(struct operators *r, const struct msg_ctl_request *ask);
bool operators_may_wait(const struct operators *r); /* there are not */
/* `late` is called with it, which ends it. */
void operators_wait_at_most(struct waiting *w, uint64_t ms, event_callback_fn late);
void operators_wait_over(struct waiting *w);

/* ---- verbs ---- */

void operators_do_start(struct operators *r, const struct msg_ctl_request *ask);
void operators_do_stop(struct operators *r, const struct msg_ctl_request *ask);
void operators_do_console(struct operators *r, const struct msg_ctl_request *ask);
void operators_do_adopt(struct operators *r, const struct msg_ctl_request *ask);
void operators_do_stats(struct operators *r, const struct msg_ctl_request *ask);
void operators_do_reload(struct operators *r, const struct msg_ctl_request *ask);
void operators_do_zones(struct operators *r, const struct msg_ctl_request *ask);
void operators_do_dnssec(struct operators *r, const struct msg_ctl_request *ask);

#endif
