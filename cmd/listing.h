/* Rows that are gathered and then shown as a table, with what is to be said beside it below. */
#ifndef CMD_LISTING_H
#define CMD_LISTING_H

#include "base/json.h"
#include "cmd/table.h"

enum listing_of { LISTING_SERVICES, LISTING_FLOWS, LISTING_COUNTS, LISTING_ZONES, LISTING_N };

struct listing;

struct listing *listing_new(enum listing_of of, const struct term *t); /* NULL: no memory */
void listing_free(struct listing *l);
int listing_add(struct listing *l, const struct json_node *row); /* -ENOMEM */
void listing_print(const struct listing *l, struct buf *out); /* nothing, when there were no rows */

#endif
