/* Theory of operation
 *
 * A ring of bytes.  `head` is where the next query is put, `tail` where the next one is taken from; both
 * only grow, and lie modulo QUEUE_BYTES.  Whoever puts writes the bytes, then `head` (release); whoever
 * gets reads `head` (acquire), then the bytes, then writes `tail`.  So each word has one writer.
 *
 * A query is a record {client, length, bytes} of whole words.  It does not wrap: what is left at the
 * end is skipped, with a length that no query has.
 *
 * The bell is an eventfd that is written to at most once until the other side has looked: `rung` is
 * taken back before the queues are read, so that a query put afterwards rings again.
 *
 * Places of a fixed size were refused: most queries have 60 bytes, some a few thousand.
 */
#include "dns/queue.h"

#include <assert.h>
#include <sys/eventfd.h>

enum { SKIP = UINT16_MAX };

struct record {
	struct client from;
	uint16_t n;
};

struct queue {
	_Atomic size_t head __attribute__((aligned(64)));
	_Atomic size_t tail __attribute__((aligned(64)));
	uint8_t b[QUEUE_BYTES] __attribute__((aligned(64)));
};

static size_t record_bytes(size_t n)
{
	size_t word = _Alignof(struct record);

	return (sizeof(struct record) + n + word - 1) / word * word;
}

struct queue *queue_new(void)
{
	struct queue *q = aligned_alloc(64, sizeof(struct queue));

	if (q) {
		atomic_init(&q->head, 0);
		atomic_init(&q->tail, 0);
	}
	return q;
}

void queue_free(struct queue *q) { free(q); }

bool queue_put(struct queue *q, const struct client *from, const uint8_t *packet, size_t n)
{
	size_t head = atomic_load_explicit(&q->head, memory_order_relaxed), at = head % QUEUE_BYTES;
	size_t tail = atomic_load_explicit(&q->tail, memory_order_acquire), need = record_bytes(n);
	size_t skip = QUEUE_BYTES - at < need ? QUEUE_BYTES - at : 0;
	size_t room = from->verified ? QUEUE_BYTES : QUEUE_BYTES - QUEUE_VERIFIED_BYTES;
	struct record record = { .from = *from, .n = (uint16_t)n };

	assert(n <= QUEUE_PACKET_MAX);
	if (head - tail + skip + need > room)
		return false;
	if (skip >= sizeof(record)) {
		struct record none = { .n = SKIP };

		memcpy(q->b + at, &none, sizeof(none));
	}
	at = (head + skip) % QUEUE_BYTES;
	memcpy(q->b + at, &record, sizeof(record));
	memcpy(q->b + at + sizeof(record), packet, n);
	atomic_store_explicit(&q->head, head + skip + need, memory_order_release);
	return true;
}

bool queue_get(struct queue *q, struct client *from, uint8_t *packet, size_t *n)
{
	size_t head = atomic_load_explicit(&q->head, memory_order_acquire);
	size_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed), at = tail % QUEUE_BYTES;
	struct record record = { .n = SKIP };

	if (head == tail)
		return false;
	if (QUEUE_BYTES - at >= sizeof(record))
		memcpy(&record, q->b + at, sizeof(record));
	if (record.n == SKIP) { /* there is one behind what is skipped: both were put at once */
		tail += QUEUE_BYTES - at;
		at = 0;
		memcpy(&record, q->b, sizeof(record));
	}
	*from = record.from;
	*n = record.n;
	memcpy(packet, q->b + at + sizeof(record), record.n);
	atomic_store_explicit(&q->tail, tail + record_bytes(record.n), memory_order_release);
	return true;
}

/* ---- the bell ---- */

int bell_open(struct bell *b)
{
	b->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	atomic_init(&b->rung, false);
	return b->fd < 0 ? -errno : 0;
}

void bell_close(struct bell *b) { fd_close(&b->fd); }

void bell_ring(struct bell *b)
{
	uint64_t one = 1;
	ssize_t n;

	if (atomic_exchange(&b->rung, true))
		return;
	n = write(b->fd, &one, sizeof(one));
	(void)n; /* it cannot be full */
}

void bell_heard(struct bell *b)
{
	uint64_t times;
	ssize_t n = read(b->fd, &times, sizeof(times));

	(void)n; /* nothing to read: it was heard already */
	atomic_exchange(&b->rung, false); /* a store alone would not show what was put before the last ring */
}
