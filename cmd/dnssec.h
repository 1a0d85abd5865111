/* `jitsuctl dnssec`: what may follow it, and how DS records are shown. */
#ifndef CMD_DNSSEC_H
#define CMD_DNSSEC_H

#include "base/err.h"
#include "base/json.h"
#include "cmd/text.h"

enum { DNSSEC_DS_TTL_MAX = 604800 }; /* seconds */

struct dnssec_options {
	const char *algorithm; /* NULL: not given */
	int64_t ds_ttl_s; /* -1: not given */
	bool force, ds_gone;
};

struct dnssec_action {
	const char *name, *verb, *args, *usage;
	bool needs_zone;
	bool shows_ds; /* its rows are for dnssec_render_ds() */
	unsigned options;
};

/* NULL with *e. */
const struct dnssec_action *dnssec_action_find(const char *name, struct err *e);
/* NULL: behind the last. */
const struct dnssec_action *dnssec_action_nth(size_t i);
/* 0, or -EINVAL with *e: an option that it does not take, or no zone where it needs one. */
int dnssec_action_check(const struct dnssec_action *a, const char *zone, const struct dnssec_options *o,
			struct err *e);
/* Seconds.  0, or -EINVAL with *e. */
int dnssec_parse_ds_ttl(const char *text, int64_t *out, struct err *e);

/* The records as lines of a zone file, none wider than 80 columns unless the zone's name makes it so; all else as
 * its comments. */
void dnssec_render_ds(const struct json_node *row, const struct term *t, uint64_t now_wall_ms, struct buf *out);

#endif
