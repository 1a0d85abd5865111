/* Reading the zone files of a snapshot into its tables, and signing the zones that have keys, a piece at
 * a time, so that queries are answered meanwhile from the tables in force.
 */
#ifndef DNS_LOAD_H
#define DNS_LOAD_H

#include "dns/sign.h"
#include "dns/zone.h"

enum { LOAD_FILES_MAX = 256, LOAD_STEP = 256 /* records: about a millisecond */ };

struct load;

/* `cache` must outlive it.  NULL: no memory. */
struct load *load_new(struct signatures *cache);
void load_free(struct load *l);

/* Takes fd.  0, -ENOSPC, -ENOMEM. */
int load_add(struct load *l, const struct msg_dns_zone_file *m, int fd);

/* Takes fd.  A key that cannot be used is a mistake that load_step() tells. */
void load_add_key(struct load *l, const struct msg_dns_key *m, int fd);

/* After tables_place().  1: there is more; 0: the tables are finished, and signed; -errno with *e: a file
 * or a key has a mistake, or there is no memory. */
int load_step(struct load *l, struct tables *t, struct err *e);
/* The zone whose file load_step() was at; "": no file is to blame. */
const char *load_zone(const struct load *l);

#endif
