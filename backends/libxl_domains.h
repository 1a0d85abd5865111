/* Which domains there are, and what becomes of them: the source of a backend's events on Xen, for domains of ours
 * and of others.  libxl_domains.c says how it finds out.
 */
#ifndef BACKENDS_LIBXL_DOMAINS_H
#define BACKENDS_LIBXL_DOMAINS_H

#include "backends/libxl_notes.h"

struct event_base;
struct xl_domains;

enum xl_life { XL_NEW, XL_RUNNING, XL_PAUSED, XL_DOWN, XL_GONE, XL_LIFE_N };

/* On the loop's thread. */
struct xl_domains_ops {
	void (*event)(void *arg, const struct msg_be_event *event);
	/* The console of a domain that began: a pseudo-terminal of xenconsoled's. */
	void (*console)(void *arg, const char *name, const char *tty);
	void (*lost)(void *arg, const char *why); /* nothing more will be known */
};

/* After watches_init().  NULL: no memory. */
struct xl_domains *xl_domains_new(struct event_base *base, const struct xl_notes *notes, const struct xl_domains_ops *ops,
				  void *arg);

/* Worker; once.  Those that run already begin without an event.  0, or -errno with *e. */
int xl_domains_open(struct xl_domains *d, struct err *e);

/* Any thread: what a call of ours has just made of a domain.  Its event, if it is one, is on its way. */
void xl_domains_tell(struct xl_domains *d, uint32_t domid, const libxl_uuid *uuid, const char *name, enum xl_life life);

/* Pure: what a domain's listing says. */
enum xl_life xl_life_of(const libxl_dominfo *info);

/* Pure: what going from one to the other is called; false: nothing to tell.  `reason`: of a shutdown. */
bool xl_life_event(enum xl_life from, enum xl_life to, libxl_shutdown_reason reason, enum domain_event *what, const char **text);

#endif
