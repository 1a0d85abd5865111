/* The other servers of our zones, as dns is told of them: the secrets shared with them, which are read when the
 * configuration is, and who may have which zone.
 */
#ifndef LAUNCHER_SECONDARIES_H
#define LAUNCHER_SECONDARIES_H

#include "base/buf.h"
#include "base/err.h"
#include "base/ipc.h"
#include "config/service.h"

struct secondaries;

struct secondaries *secondaries_new(void); /* NULL: no memory */
void secondaries_free(struct secondaries *s);

/* A configuration is in force: reads every secret anew.  What cannot be read is logged, and among the
 * mistakes; nobody is served by such a key. */
void secondaries_set(struct secondaries *s, const struct conf *conf);
/* A line for each key that cannot be used. */
void secondaries_mistakes(const struct secondaries *s, struct buf *out);

/* Within a snapshot: the keys, and behind each zone whom it is about. */
void secondaries_send_keys(const struct secondaries *s, struct ipc *dns);
void secondaries_send_zone(const struct zone_conf *zone, struct ipc *dns);

/* The secret in that file: its length, or -errno with *e. */
int secondaries_read_secret(const char *path, uint8_t *secret, size_t room, struct err *e);

#endif
