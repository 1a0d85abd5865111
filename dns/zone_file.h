/* A zone's text (RFC 1035, 5; RFC 2308, 4; RFC 3597, 5), record by record.
 *
 * One file, without $INCLUDE (nothing here opens files) and $GENERATE.  Data is read by ldns; lines,
 * names, TTLs and classes are read here, so that every mistake has its line.
 */
#ifndef DNS_ZONE_FILE_H
#define DNS_ZONE_FILE_H

#include "base/err.h"
#include "dns/zone.h"

enum { ZONE_FILE_MAX = 64 * 1024 * 1024 }; /* bytes */

struct zone_file;

/* Reads the whole file and closes fd.  `path` is what mistakes call it, `zone` its name, `ttl_s` for
 * records where the file says nothing.  NULL with *e. */
struct zone_file *zone_file_open(int fd, const char *path, const char *zone, uint32_t ttl_s, struct err *e);
/* The same of `n` bytes, which are copied. */
struct zone_file *zone_file_new(const char *text, size_t n, const char *path, const char *zone, uint32_t ttl_s,
				struct err *e);
void zone_file_free(struct zone_file *f);

/* 1 with a record (its data dies with the next call), 0 at the end, -EINVAL or -ENOMEM with *e, which
 * begins with path and line; after that nothing more can be read. */
int zone_file_next(struct zone_file *f, struct zone_record *out, struct err *e);
/* Puts path and line of the newest record before the sentence in *e, which is about it. */
int zone_file_blame(const struct zone_file *f, struct err *e);

#endif
