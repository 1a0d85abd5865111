/* A text that grows: never over `limit` bytes, so that no input can make it grow for ever. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/util.h"

struct buf {
	char *text; /* NUL-terminated once anything was added; NULL before */
	size_t n, room;
	size_t limit; /* 0: BUF_LIMIT */
	int error; /* sticky: 0, -ENOMEM or -EMSGSIZE; later additions do nothing */
};

enum { BUF_LIMIT = 64 * 1024 * 1024 };

#define cleanup_buf __attribute__((cleanup(buf_free)))

void buf_free(struct buf *b); /* leaves an empty one */
void buf_clear(struct buf *b); /* keeps the room */
void buf_add(struct buf *b, const void *p, size_t n);
void buf_adds(struct buf *b, const char *s);
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The whole file, at most `limit` bytes.  0, or -errno (-EFBIG when longer). */
int buf_read_file(struct buf *b, const char *path, size_t limit);

#endif
