/* Existing domains as services: what a domain turns out to be, as a record. */
#ifndef LAUNCHER_ADOPT_H
#define LAUNCHER_ADOPT_H

#include "base/buf.h"
#include "launcher/launcher.h"

/* Which domain is asked for, and of which hypervisor, by a CTL_ADOPT request.  0, or -errno with *e. */
int adopt_target(struct launcher *l, const struct msg_ctl_request *ask, struct hypervisor **hv,
		 char domain[MSG_NAME_MAX * 2], struct err *e);

/* The record of a service of this domain, as the request wants it, into `record`; and a row of what was found.
 * -errno with *e: it cannot be one as it is, and what to do. */
int adopt_record(struct launcher *l, const struct msg_ctl_request *ask, const struct hypervisor *hv,
		 const struct msg_be_domain *d, struct buf *record, struct msg_ctl_row *row, struct err *e);

#endif
