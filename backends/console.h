/* Serial consoles: a ring file per domain that keeps the last of what the guest said, and where that comes from:
 * a listening socket that its QEMU connects to, or a stream that is given.  All on the loop's thread.
 *
 * A guest never waits for us: while nobody listens QEMU drops its words and tries again each
 * second, so the console comes back after a restart of this process.
 */
#ifndef BACKENDS_CONSOLE_H
#define BACKENDS_CONSOLE_H

#include <sys/types.h>

#include "base/err.h"
#include "base/msg.h"

struct event_base;
struct consoles;

/* Under DIR, which is made: NAME.sock, connectable by `uid` (and root) alone, and NAME.log, a ring
 * file (base/ring_file.h).  CONSOLES_GIVEN as uid: no sockets.  NULL with *e. */
#define CONSOLES_GIVEN ((uid_t)-1)
struct consoles *consoles_new(struct event_base *base, const char *dir, uid_t uid, gid_t gid, struct err *e);
void consoles_free(struct consoles *c); /* leaves the ring files */

/* Keeps the console of this domain, and listens for its QEMU, from now on; again is fine.  0, or -errno with *e. */
int consoles_open(struct consoles *c, const char *name, struct err *e);

/* Is it kept? */
bool consoles_has(const struct consoles *c, const char *name);

/* Of one that is kept: this is where it comes from now.  Takes `fd`, which does not block. */
void consoles_attach(struct consoles *c, const char *name, int fd);

/* The domain will not come back: no more of it, and its files go.  One that is not known is fine. */
void consoles_close(struct consoles *c, const char *name);

/* Where a domain's QEMU connects to: pure, any thread.  False when it is longer than a socket's
 * path may be: the domain has no console then. */
bool console_socket_path(const char *dir, const char *name, char *out, size_t size);

#endif
