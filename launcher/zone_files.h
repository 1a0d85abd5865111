/* The zone files: read when the configuration is, kept as copies, and handed to dns; and the serials
 * that the zones are served with.
 *
 * dns parses, because it has no privileges; here nothing of a file is understood.  What dns is given
 * is a copy in STATE_DIR/zones, so that it reads what we read, and what it took last stays there for
 * the time when the file cannot be used.
 */
#ifndef LAUNCHER_ZONE_FILES_H
#define LAUNCHER_ZONE_FILES_H

#include "base/buf.h"
#include "base/err.h"
#include "config/service.h"

enum { ZONE_FILES_MAX_BYTES = 64 * 1024 * 1024 };

struct zone_files;

struct zone_files *zone_files_new(void); /* NULL: no memory */
void zone_files_free(struct zone_files *z);

/* A configuration is in force: reads every file anew.  What cannot be read is logged, and among the
 * mistakes.  now_s: since the epoch. */
void zone_files_set(struct zone_files *z, const struct conf *conf, uint32_t now_s);

/* The services have changed, and nothing else: the zones need later serials. */
void zone_files_changed(struct zone_files *z, uint32_t now_s);
/* The same of this zone alone: its keys or signatures have changed. */
void zone_files_zone_changed(struct zone_files *z, const char *zone, uint32_t now_s);
/* It goes to dns once more, and may become another: a later serial, if dns has served it with this one. */
void zone_files_zone_again(struct zone_files *z, const char *zone, uint32_t now_s);

/* An operator's file, as it is now: below one of these directories, and no links on the way.  A descriptor, or -errno
 * with *e. */
int zone_files_find(const struct string_list *dirs, const char *path, struct err *e);

/* The text that dns shall use for this zone, and whether what does not fit in it may be left out
 * (it fitted once); -ENOENT: none. */
int zone_files_open(const struct zone_files *z, const char *zone, bool *lenient);
/* No file of any zone: dns has nothing to say about them. */
bool zone_files_empty(const struct zone_files *z);

/* dns has taken everything: what it has taken is what counts from now on. */
void zone_files_accepted(struct zone_files *z);
/* dns says that this zone's text has a mistake.  True: another one is to be had, or none at all shall
 * be used; send a new snapshot.  False: that was not its newest text. */
bool zone_files_refused(struct zone_files *z, const char *zone, const char *why);
/* A line for each file that is not used as it is. */
void zone_files_mistakes(const struct zone_files *z, struct buf *out);

/* The least serial that the zone may be served with: later than any before, also of earlier launchers. */
uint32_t zone_files_serial(const struct zone_files *z, const char *zone);
/* What dns serves it with; false: dns has not said so yet, since it was last changed. */
bool zone_files_served_serial(const struct zone_files *z, const char *zone, uint32_t *serial);
/* Why its file is not used as it is; "": it is, or there is none. */
const char *zone_files_mistake(const struct zone_files *z, const char *zone);
/* It is served with this one.  Only the first time since the least one was raised counts: dns cannot make us
 * write without end. */
void zone_files_served(struct zone_files *z, const char *zone, uint32_t serial);

#endif
