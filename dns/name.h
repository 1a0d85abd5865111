/* Domain names in wire form (RFC 1035, 3.1), without compression. */
#ifndef DNS_NAME_H
#define DNS_NAME_H

#include "base/addr.h"
#include "dns/wire.h"

struct name {
	uint8_t b[WIRE_NAME_MAX];
	uint8_t n, labels; /* bytes with the final zero; labels without the root */
};

enum { NAME_TEXT_MAX = 4 * WIRE_NAME_MAX + 2 };

/* From text as people write it ("" is the root), in lower case.  False: it is none. */
bool name_from_text(const char *text, struct name *out);
/* With a final dot, escaped as RFC 1035, 5.1 wants; `out` has NAME_TEXT_MAX bytes.  Returns `out`. */
const char *name_to_text(const uint8_t *name, char *out);
/* From `n` bytes of wire form, case kept.  False: it is none, or shorter than `n`. */
bool name_from_wire(const uint8_t *p, size_t n, struct name *out);
/* The name at `at` of a message, which may go on elsewhere (RFC 1035, 4.1.4), case kept.  Where it ends; 0:
 * it is none. */
size_t name_read(const uint8_t *packet, size_t n, size_t at, struct name *out);
/* RFC 1035, 3.5; RFC 3596, 2.5. */
void name_of_address(const struct ip_addr *a, struct name *out);

/* `prefix_n` bytes of labels before `suffix`.  False: longer than a name may be. */
bool name_join(const uint8_t *prefix, size_t prefix_n, const uint8_t *suffix, size_t suffix_n, struct name *out);

/* Where each label begins; starts[labels] is the root.  `starts` holds labels + 1. */
static inline void name_label_starts(const uint8_t *name, unsigned labels, uint8_t *starts)
{
	unsigned at = 0;

	for (unsigned i = 0; i <= labels; i++) {
		starts[i] = (uint8_t)at;
		at += name[at] + 1u;
	}
}

/* A hash made label by label from the root end, so that one pass gives those of a name and of all
 * that it lies below.  Of names in lower case. */
enum { NAME_HASH_ROOT = 0x811c9dc5 };
/* Less than 8 bytes as a number; where they overlap, the same length always overlaps the same. */
static inline uint64_t name_word(const uint8_t *p, size_t n)
{
	uint32_t a, b;
	uint16_t c, d;

	if (n >= 4) {
		memcpy(&a, p, sizeof(a));
		memcpy(&b, p + n - 4, sizeof(b));
		return a | (uint64_t)b << 32;
	}
	if (n < 2)
		return n ? p[0] : 0;
	memcpy(&c, p, sizeof(c));
	memcpy(&d, p + n - 2, sizeof(d));
	return c | (uint32_t)d << 16;
}

static inline uint32_t name_hash_label(uint32_t hash, const uint8_t *label)
{
	const uint64_t factor = 0x9e3779b97f4a7c15;
	size_t n = label[0] + 1u;
	uint64_t h = hash, v;

	for (; n >= 8; n -= 8, label += 8) {
		memcpy(&v, label, sizeof(v));
		h = (h ^ v) * factor;
		h ^= h >> 32;
	}
	h = (h ^ name_word(label, n)) * factor;
	return (uint32_t)(h ^ h >> 32);
}
uint32_t name_hash(const uint8_t *name, unsigned labels);

#endif
