/* Theory of operation
 *
 *     header, one page | SYNs: HOLD_SYNS_MAX + 1 slots | packets: HOLD_PACKETS_MAX + 1 slots
 *
 * The file is as long as all of that, and sparse: a page has memory only once a slot in it was
 * written.  Even reading a page that has none would give it some, so the header says up to where
 * slots were used.
 *
 * One slot more than packets may be held: the newer packet of a flow is written into a free slot,
 * and only then the older one's is cleared.  Whoever is killed between leaves both, and a reader
 * takes the newer one; whoever is killed before leaves the older one.  (A kill loses no store that
 * was made, and slots are not meant to outlive the host: the order of a process's own stores is
 * all that is needed.)
 *
 * A header that is not this version's, because another version or a hostile predecessor wrote it, is
 * begun anew: held packets are a courtesy, and every client sends its own again.
 */
#include "synproxy/hold_store.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "synproxy/hold.h"

enum {
	LAYOUT = 0x4a480001, /* "JH", version */
	PAGE = 4096,
	ALIGN = 8,
};

struct hold_store_header {
	_Atomic uint32_t layout;
	_Atomic uint32_t used[HOLD_AREAS];
};

#define STRIDE(room) ((sizeof(struct hold_slot) + (room) + ALIGN - 1) / ALIGN * ALIGN)
#define AREA_BYTES(slots, room) (((slots) * STRIDE(room) + PAGE - 1) / PAGE * PAGE)

static const struct area {
	uint32_t slots;
	size_t room, stride, at, bytes;
} areas[HOLD_AREAS] = {
	[HOLD_AREA_SYNS] = {
		.slots = HOLD_SYNS_MAX + 1,
		.room = HOLD_SYN_BYTES,
		.stride = STRIDE(HOLD_SYN_BYTES),
		.at = PAGE,
		.bytes = AREA_BYTES(HOLD_SYNS_MAX + 1, HOLD_SYN_BYTES),
	},
	[HOLD_AREA_PACKETS] = {
		.slots = HOLD_PACKETS_MAX + 1,
		.room = HOLD_PACKET_BYTES,
		.stride = STRIDE(HOLD_PACKET_BYTES),
		.at = PAGE + AREA_BYTES(HOLD_SYNS_MAX + 1, HOLD_SYN_BYTES),
		.bytes = AREA_BYTES(HOLD_PACKETS_MAX + 1, HOLD_PACKET_BYTES),
	},
};

static size_t whole_size(void) { return areas[HOLD_AREA_PACKETS].at + areas[HOLD_AREA_PACKETS].bytes; }

int hold_memory_create(void)
{
	cleanup_close int fd = memfd_create("jitsu-held", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int done;

	if (fd < 0 || ftruncate(fd, (off_t)whole_size()) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	done = fd;
	fd = -1;
	return done;
}

static bool is_ours(int fd)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & F_SEAL_SHRINK) && fstat(fd, &st) == 0 && (size_t)st.st_size == whole_size();
}

int hold_store_map(struct hold_store *s, int fd)
{
	void *p;

	if (!is_ours(fd))
		return -EINVAL;
	p = mmap(NULL, whole_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	*s = (struct hold_store){ .header = p, .size = whole_size() };
	if (atomic_load(&s->header->layout) == LAYOUT)
		return 0;
	for (unsigned a = 0; a < HOLD_AREAS; a++)
		hold_store_empty(s, (enum hold_area)a);
	atomic_store(&s->header->layout, LAYOUT);
	return 0;
}

void hold_store_unmap(struct hold_store *s)
{
	if (s->header)
		munmap(s->header, s->size);
	s->header = NULL;
}

uint32_t hold_store_slots(enum hold_area area) { return areas[area].slots; }

size_t hold_store_room(enum hold_area area) { return areas[area].room; }

struct hold_slot *hold_store_slot(const struct hold_store *s, enum hold_area area, uint32_t i)
{
	return (struct hold_slot *)((uint8_t *)s->header + areas[area].at + i * areas[area].stride);
}

uint32_t hold_store_used(const struct hold_store *s, enum hold_area area)
{
	return MIN(atomic_load(&s->header->used[area]), areas[area].slots);
}

void hold_store_use(struct hold_store *s, enum hold_area area, uint32_t slots)
{
	atomic_store_explicit(&s->header->used[area], slots, memory_order_release);
}

/* (Should the kernel refuse: they are not used, all the same.) */
void hold_store_empty(struct hold_store *s, enum hold_area area)
{
	hold_store_use(s, area, 0);
	madvise((uint8_t *)s->header + areas[area].at, areas[area].bytes, MADV_REMOVE);
}
