/* What changed in the zones from one serial to the next (RFC 1995), kept in memory: found by comparing
 * tables that replace each other, forgotten oldest first.  Main thread alone.
 */
#ifndef DNS_CHANGES_H
#define DNS_CHANGES_H

#include "dns/zone_walk.h"

enum {
	CHANGES_BYTES_MAX = 32 * 1024 * 1024, /* of all changes together */
	CHANGES_ONE_MAX = 4 * 1024 * 1024, /* of one: a larger one is no better than the whole zone */
	CHANGES_MAX = 4096,
	CHANGES_CHAIN_MAX = 64, /* changes that one answer is made of */
};

/* One step of a zone's.  The sets lie one behind the other: the old SOA, what is gone, the new SOA, what
 * came. */
struct change;
struct change *change_ref(struct change *c); /* returns it */
void change_unref(struct change *c); /* NULL is fine */
/* The set at *at, which moves on; false: there is none.  Borrows the change. */
bool change_next(const struct change *c, size_t *at, struct wire_rrset *out);

struct changes;

/* A zone has come from one serial to the next: the change is there, if there will be one. */
typedef void changes_done_fn(void *arg, const struct tables *t, uint32_t zone);

struct changes *changes_new(changes_done_fn *on_done, void *arg); /* NULL: no memory */
void changes_free(struct changes *j);

/* `to` is in force instead of `from` (NULL: nothing was before).  Both are kept by reference until they
 * are compared: call changes_step() while it says true, which takes about a millisecond. */
void changes_compare(struct changes *j, const struct tables *from, const struct tables *to);
bool changes_step(struct changes *j);

/* The changes that lead from this serial to `to`: how many, referenced; 0: they are not there (all of
 * them).  `zone` is its name in lower case. */
unsigned changes_find(const struct changes *j, const struct name *zone, uint32_t from, uint32_t to,
		      struct change *out[CHANGES_CHAIN_MAX]);

#endif
