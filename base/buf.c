#include "base/buf.h"

#include <fcntl.h>
#include <stdarg.h>

void buf_free(struct buf *b)
{
	free(b->text);
	*b = (struct buf){ .limit = b->limit };
}

void buf_clear(struct buf *b)
{
	b->n = 0;
	b->error = 0;
	if (b->text)
		b->text[0] = '\0';
}

static bool make_room(struct buf *b, size_t more)
{
	size_t limit = b->limit ? b->limit : BUF_LIMIT, want;
	char *text;

	if (b->error)
		return false;
	if (more > limit || b->n + more > limit) {
		b->error = -EMSGSIZE;
		return false;
	}
	if (b->n + more + 1 <= b->room)
		return true;
	want = MAX(b->room * 2, b->n + more + 1);
	want = MAX(want, 256);
	text = realloc(b->text, want);
	if (!text) {
		b->error = -ENOMEM;
		return false;
	}
	b->text = text;
	b->room = want;
	return true;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	if (!make_room(b, n))
		return;
	if (n > 0)
		memcpy(b->text + b->n, p, n);
	b->n += n;
	b->text[b->n] = '\0';
}

void buf_adds(struct buf *b, const char *s) { buf_add(b, s, strlen(s)); }

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || !make_room(b, (size_t)n))
		return;
	va_start(ap, fmt);
	vsnprintf(b->text + b->n, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->n += (size_t)n;
}

int buf_read_file(struct buf *b, const char *path, size_t limit)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	char chunk[4096];
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, chunk, sizeof(chunk))) > 0) {
		if (b->n + (size_t)n > limit)
			return -EFBIG;
		buf_add(b, chunk, (size_t)n);
	}
	if (n < 0)
		return -errno;
	buf_adds(b, "");
	return b->error;
}
