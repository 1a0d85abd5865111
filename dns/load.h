/* Reading the zone files of a snapshot into its tables, a few records at a time, so that queries are
 * answered meanwhile from the tables in force.
 */
#ifndef DNS_LOAD_H
#define DNS_LOAD_H

#include "dns/zone.h"

enum { LOAD_FILES_MAX = 256, LOAD_STEP = 256 /* records: about a millisecond */ };

struct load;

struct load *load_new(void); /* NULL: no memory */
void load_free(struct load *l);

/* Takes fd.  0, -ENOSPC, -ENOMEM. */
int load_add(struct load *l, const struct msg_dns_zone_file *m, int fd);

/* After tables_place().  1: there is more; 0: all is read; -errno with *e: a file has a mistake. */
int load_step(struct load *l, struct tables *t, struct err *e);
/* The zone that load_step() was at. */
const char *load_zone(const struct load *l);

#endif
