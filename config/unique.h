/* Values of one kind, no two of which may be equal.  Inside config/ only. */
#ifndef CONFIG_UNIQUE_H
#define CONFIG_UNIQUE_H

#include "config/read.h"

struct unique_entry {
	char *key;
	size_t order;
	bool shared; /* any number of these may be equal */
	struct spot where;
};

/* Zero but for `m`: there are none.  Sorted when they are compared, as there may be many. */
struct unique {
	struct mistakes *m;
	struct unique_entry *v;
	size_t n, room;
};

void unique_free(struct unique *u);

#define cleanup_unique __attribute__((cleanup(unique_free)))

/* "" is passed over: it was told to be wrong already.  So are addresses that are zero. */
void unique_add(struct unique *u, const char *key, const struct spot *where);
void unique_add_shared(struct unique *u, const char *key, const struct spot *where, bool shared);
/* A name of the DNS: case does not count. */
void unique_add_host(struct unique *u, const char *name, const struct spot *where);
void unique_add_ip(struct unique *u, const struct ip_addr *a, const struct spot *where);

/* A mistake for each that is there a second time. */
void unique_check(struct unique *u);

#endif
