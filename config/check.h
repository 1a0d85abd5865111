/* What follows from, and what must fit with, other options.  Inside config/ only. */
#ifndef CONFIG_CHECK_H
#define CONFIG_CHECK_H

#include "config/read.h"

/* Fills in the defaults that depend on other options. */
void conf_complete(struct conf *c, const struct spot *root, struct mistakes *m);

/* After conf_complete(): names are unique, references lead somewhere, options go together. */
void conf_check(const struct conf *c, const struct spot *root, struct mistakes *m);

/* The same of one service, where `where` is its object. */
void conf_complete_service(const struct conf *c, struct service_conf *s, const struct spot *where, struct mistakes *m);
void conf_check_service(const struct conf *c, const struct service_conf *s, const struct spot *where,
                        struct mistakes *m);

/* ---- check.c ---- */
/* `name` must be the name, the first member, of one of n records.  `list` is what the file calls them. */
void check_reference(struct mistakes *m, const struct spot *where, const char *name, const char *list,
                     const void *records, size_t n, size_t size);
/* The path must be below one of the directories of the option `name`. */
void check_below(const struct string_list *dirs, const char *name, const char *path, const struct spot *where,
                 struct mistakes *m);

/* ---- check_machine.c ---- */
void check_machine(const struct conf *c, const struct machine_conf *machine, const struct spot *where,
                   struct mistakes *m);

/* ---- check_pools.c ---- */
/* Of a bridge's pools. */
void check_ranges(const struct bridge_conf *b, const struct spot *where, struct mistakes *m);
/* Where its addresses come from pools: that there are such. */
void check_pools_of(const struct conf *c, const struct service_conf *s, const struct spot *where, struct mistakes *m);
/* That it is whole, if it is one. */
void check_template(const struct service_conf *s, const struct spot *where, struct mistakes *m);
/* It lies in a network of a pool of the service's bridge. */
bool check_is_beside_pool(const struct conf *c, const struct service_conf *s, const struct ip_addr *a);

#endif
