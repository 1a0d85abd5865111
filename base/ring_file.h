/* A file that keeps the last bytes of an endless stream: a guest's serial console.
 *
 * One writer, any number of readers in other processes, no lock.  Positions count bytes since the
 * file was made and never go back, so that a reader can follow: it keeps the position it has read
 * to, and learns when what it wanted was overwritten meanwhile.
 *
 * Layout: u32 magic, u32 layout version, u64 room, u64 begun, u64 written (in the host's byte
 * order: the file never leaves it), then `room` bytes; byte p of the stream lies at p % room.  The
 * writer stores `begun`, then the bytes, then `written`; a reader looks at both counters before
 * and after copying, and drops what may have changed under it.
 */
#ifndef BASE_RING_FILE_H
#define BASE_RING_FILE_H

#include "base/util.h"

enum { RING_ROOM_DEFAULT = 64 * 1024 };

struct ring_file; /* a writer's */

/* Opens or makes `path` (mode 0600, never through a symlink); an existing ring of the same room is
 * continued, anything else is begun anew.  NULL with errno. */
struct ring_file *ring_file_new(const char *path, size_t room);
void ring_file_free(struct ring_file *r); /* NULL is fine */

/* 0 or -errno.  More than the room leaves the last of it. */
int ring_file_append(struct ring_file *r, const void *p, size_t n);

/* Reads from the ring open at `fd` at most `size` bytes that follow *at; moves *at behind them.
 * When bytes after *at are gone already, reading goes on at the oldest ones there are.  Start with
 * *at = 0.  Bytes read, 0 when there is nothing new, or -errno (-EINVAL: not a ring). */
ssize_t ring_file_read(int fd, uint64_t *at, void *buf, size_t size);

#endif
