/* Services whose address is learned of their VMs (`ip` has "learned"), while jitsud runs. */
#ifndef LAUNCHER_LEARNING_H
#define LAUNCHER_LEARNING_H

#include "launcher/learned.h"

struct launcher;
struct msg_be_domain;
struct msg_ctl_row;
struct service;
struct service_conf;

struct learning; /* of a service */

/* Its record is new, or another one. */
void learning_configured(struct service *s);
void learning_free(struct service *s); /* it is about to be forgotten */
/* From the registry, at start. */
void learning_know(struct service *s, const char *text);
/* What of it another one takes over that has this record: the same VM under another name.  To be freed; NULL: nothing,
 * also where its MACs follow from the name, so that another address is as likely. */
char *learning_to_keep(const struct service *s, const struct service_conf *c);
void learning_take_over(struct service *s, const char *text);
/* For the registry; false when there is nothing to keep. */
bool learning_print(const struct service *s, char out[LEARNED_TEXT_MAX]);

/* Its address is learned, and not known yet: who wants it must wait. */
bool learning_is_unknown(const struct service *s);
/* Of some service. */
bool learning_has(const struct launcher *l, const struct ip_addr *addr);
/* ... and why, as a sentence. */
const char *learning_why_unknown(const struct service *s);
/* Its addresses are those that its VM will have, or has. */
bool learning_is_sure(const struct service *s);
/* What it must wait for before it can be held; "" when it need not. */
void learning_explain_hold(const struct service *s, char *out, size_t size);

/* Its VM has a port, or has none any more. */
void learning_begin(struct service *s);
void learning_end(struct service *s);
/* The VM is up: this boot counts. */
void learning_up(struct service *s);
void learning_found(struct launcher *l, const struct msg_learn_found *m); /* from synproxy */
void learning_synproxy_new(struct launcher *l); /* it has had a snapshot */
void learning_told(struct service *s, const struct msg_be_domain *d); /* by its hypervisor */

void learning_describe(const struct service *s, struct msg_ctl_row *row);

#endif
