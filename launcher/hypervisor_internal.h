/* What the files of hypervisors share, and nobody else uses.
 *
 *     hypervisor.c            their channels
 *     hypervisor_requests.c   requests under way, and what each asks
 *     hypervisor_results.c    what they answer, and tell by themselves
 *     hypervisor_found.c      what a domain is to its service; reconciling
 */
#ifndef LAUNCHER_HYPERVISOR_INTERNAL_H
#define LAUNCHER_HYPERVISOR_INTERNAL_H

#include "launcher/launcher.h"

/* ---- hypervisor_requests.c ---- */

/* Good until the next one is made or dropped.  NULL: there is none. */
struct request *request_find(struct hypervisor *hv, uint32_t req);
struct request *request_of(const struct hypervisor *hv, const struct service *s, enum request_kind kind);

static inline bool request_is_there(const struct hypervisor *hv, const struct service *s, enum request_kind kind)
{
	return request_of(hv, s, kind) != NULL;
}

void request_drop(struct hypervisor *hv, struct request *r);
void requests_clear(struct hypervisor *hv); /* all are settled */
/* A request was answered: one of those that wait takes its place. */
void request_next(struct launcher *l);
/* What it says is to be kept from here on, if its machine is ours.  There is no answer. */
void request_console(struct hypervisor *hv, const struct service *s);

/* ---- hypervisor_found.c ---- */

/* This domain runs, or is paused. */
void hypervisor_found(struct service *s, const struct msg_be_domain *d);
void hypervisor_found_stopped(struct service *s);
/* It is off; NULL: it is not there.  Is it saved? */
void hypervisor_found_saved(struct service *s, const struct msg_be_domain *d);
bool hypervisor_is_of(const struct msg_be_domain *d, const struct service *s);
void hypervisor_learn(struct service *s, const char *uuid, int32_t id, uint16_t n_nics, const struct msg_nic *nics);
/* Of one that is off: its ports, if it had any, are of a boot that is over. */
void hypervisor_learn_absent(struct service *s, const struct msg_be_domain *d);
/* The whole list is there. */
void hypervisor_reconcile(struct hypervisor *hv);

/* ---- hypervisor_results.c ---- */

void hypervisor_on_result(struct hypervisor *hv, const struct msg_be_result *m);
void hypervisor_on_domain(struct hypervisor *hv, const struct msg_be_domain *m);
void hypervisor_on_event(struct hypervisor *hv, const struct msg_be_event *m);

#endif
