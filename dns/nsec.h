/* What is not there, proven (RFC 4034, 4; RFC 4035, 2.3): the names of signed zones in canonical order,
 * each with an NSEC record that tells its types and the next name.
 */
#ifndef DNS_NSEC_H
#define DNS_NSEC_H

#include "dns/zone_internal.h"

struct nsec;

/* For tables that are finished, and whose zones say whether they are signed.  NULL: no memory. */
struct nsec *nsec_new(void);
void nsec_free(struct nsec *c);

/* 1: there is more to do, 0: all have their NSEC; -ENOMEM, -ENOSPC.  A step takes about a millisecond. */
int nsec_step(struct nsec *c, struct tables *t);

#endif
