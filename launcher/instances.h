/* Templates, services named by a wildcard, and their instances: a service for each name that was asked for. */
#ifndef LAUNCHER_INSTANCES_H
#define LAUNCHER_INSTANCES_H

#include "config/claims.h"
#include "launcher/launcher.h"

/* A query for a name that the template stands for, and that dns knows no service of: from wake_dns_heard(). */
void instances_wake(struct service *template, const struct msg_wake *m);

/* How many there are of it. */
size_t instances_count(const struct service *template);
/* The template's name; "": it is no instance. */
const char *instances_template(const struct service *s);
/* How long it is kept if nobody comes; UINT64_MAX: its VM is there. */
uint64_t instances_left_ms(const struct service *s);

/* The record of the instance as its template has it; NULL with lines in `why`. */
struct service_conf *instances_conf(const struct conf *conf, const struct service_conf *template, const char *label,
				    const char *name, struct buf *why);
/* "vm a" is template "vm", label "a"; the one is cut off, and the other returned.  NULL: it is no such text. */
const char *instances_split(char *text);

/* A configuration is in force, perhaps with instances that were there before. */
void instances_begin(struct launcher *l);
/* It has this record now, or (not `there`) will be gone. */
void instances_follow(struct service *s, bool there);
/* It is freed, and will not come back: so are its files. */
void instances_freed(const struct service *s);
/* At start: so are those of services that are gone without that, since the last launcher was killed or they left the
 * file meanwhile; but not while they tell of a VM. */
void instances_sweep(struct launcher *l);

#endif
