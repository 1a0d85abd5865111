#include "base/ring_file.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { RING_MAGIC = 0x676e726a, RING_LAYOUT = 1, RING_ROOM_MAX = 16 * 1024 * 1024 };

struct header {
	uint32_t magic, layout;
	uint64_t room;
	uint64_t begun; /* what the writer is about to have written */
	uint64_t written;
};

struct ring_file {
	int fd;
	size_t room;
	uint64_t written;
};

static int read_header(int fd, struct header *h)
{
	ssize_t n = pread(fd, h, sizeof(*h), 0);

	if (n < 0)
		return -errno;
	if (n != sizeof(*h) || h->magic != RING_MAGIC || h->layout != RING_LAYOUT || h->room == 0 ||
	    h->room > RING_ROOM_MAX)
		return -EINVAL;
	return 0;
}

static int write_all(int fd, const void *p, size_t n, off_t at)
{
	const char *from = p;

	while (n > 0) {
		ssize_t w = pwrite(fd, from, n, at);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return w < 0 ? -errno : -EIO;
		from += w;
		at += w;
		n -= (size_t)w;
	}
	return 0;
}

static int begin(struct ring_file *r)
{
	struct header h = { RING_MAGIC, RING_LAYOUT, r->room, 0, 0 };

	if (ftruncate(r->fd, 0) < 0 || ftruncate(r->fd, (off_t)(sizeof(h) + r->room)) < 0)
		return -errno;
	r->written = 0;
	return write_all(r->fd, &h, sizeof(h), 0);
}

/* 0 when `fd` is a regular file with a ring in it, or was made one. */
static int adopt(struct ring_file *r)
{
	struct header h;
	struct stat st;

	if (fstat(r->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (read_header(r->fd, &h) < 0 || h.room != r->room || (size_t)st.st_size != sizeof(h) + r->room)
		return begin(r);
	r->written = h.written;
	return 0;
}

struct ring_file *ring_file_new(const char *path, size_t room)
{
	struct ring_file *r;
	int error;

	if (room == 0 || room > RING_ROOM_MAX) {
		errno = EINVAL;
		return NULL;
	}
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->room = room;
	r->fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	error = r->fd < 0 ? -errno : adopt(r);
	if (error < 0) {
		ring_file_free(r);
		errno = -error;
		return NULL;
	}
	return r;
}

void ring_file_free(struct ring_file *r)
{
	if (!r)
		return;
	fd_close(&r->fd);
	free(r);
}

static int put_counter(struct ring_file *r, size_t offset, uint64_t value)
{
	return write_all(r->fd, &value, sizeof(value), (off_t)offset);
}

int ring_file_append(struct ring_file *r, const void *p, size_t n)
{
	const char *from = p;
	int error = put_counter(r, offsetof(struct header, begun), r->written + n);

	if (n > r->room) {
		r->written += n - r->room;
		from += n - r->room;
		n = r->room;
	}
	while (error == 0 && n > 0) {
		size_t at = r->written % r->room;
		size_t part = MIN(n, r->room - at);

		error = write_all(r->fd, from, part, (off_t)(sizeof(struct header) + at));
		r->written += part;
		from += part;
		n -= part;
	}
	return error < 0 ? error : put_counter(r, offsetof(struct header, written), r->written);
}

/* Copies stream bytes [from, from + n) out of the ring. */
static int copy_out(int fd, uint64_t room, uint64_t from, char *buf, size_t n)
{
	while (n > 0) {
		uint64_t at = from % room;
		ssize_t got = pread(fd, buf, MIN(n, room - at), (off_t)(sizeof(struct header) + at));

		if (got <= 0)
			return got < 0 ? -errno : -EINVAL;
		from += (uint64_t)got;
		buf += got;
		n -= (size_t)got;
	}
	return 0;
}

/* The first byte of the stream that no write has touched again, not even one that is under way. */
static uint64_t oldest(const struct header *h)
{
	uint64_t end = MAX(h->begun, h->written);

	return end > h->room ? end - h->room : 0;
}

ssize_t ring_file_read(int fd, uint64_t *at, void *buf, size_t size)
{
	struct header before, after = { 0 };
	uint64_t from;
	size_t n, lost = 0;
	int error = read_header(fd, &before);

	if (error < 0)
		return error;
	/* A position ahead of the stream is of a ring that was begun anew. */
	from = *at > before.written ? oldest(&before) : MAX(*at, oldest(&before));
	n = from < before.written ? MIN(size, (size_t)(before.written - from)) : 0;
	if (n == 0) {
		*at = from;
		return 0;
	}
	error = copy_out(fd, before.room, from, buf, n);
	if (error == 0)
		error = read_header(fd, &after);
	if (error < 0)
		return error;
	if (oldest(&after) > from) {
		lost = MIN(n, (size_t)(oldest(&after) - from));
		memmove(buf, (char *)buf + lost, n - lost);
	}
	*at = from + n;
	return (ssize_t)(n - lost);
}
