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

#endif
