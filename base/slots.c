#include "base/slots.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* A slot has a cache line of its own: writers of different services do not slow each other. */
struct slot {
	_Atomic uint32_t gen;
	_Atomic uint64_t asked_ns;
	_Atomic uint64_t count;
} __attribute__((aligned(64)));

struct slots {
	_Atomic uint32_t layout;
	struct slot slot[SLOTS_MAX];
};

int slots_create(void)
{
	cleanup_close int fd = memfd_create("jitsu-slots", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct slots *s;
	int done;

	if (fd < 0 || ftruncate(fd, sizeof(*s)) < 0)
		return -errno;
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (s == MAP_FAILED)
		return -errno;
	atomic_store(&s->layout, SLOTS_LAYOUT);
	munmap(s, sizeof(*s));
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	done = fd;
	fd = -1;
	return done;
}

static bool is_ours(int fd)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & F_SEAL_SHRINK) && fstat(fd, &st) == 0 && st.st_size == sizeof(struct slots);
}

struct slots *slots_map(int fd)
{
	struct slots *s;

	if (!is_ours(fd)) {
		errno = EINVAL;
		return NULL;
	}
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (s == MAP_FAILED)
		return NULL;
	if (atomic_load(&s->layout) != SLOTS_LAYOUT) {
		munmap(s, sizeof(*s));
		errno = EINVAL;
		return NULL;
	}
	return s;
}

void slots_unmap(struct slots *s)
{
	if (s)
		munmap(s, sizeof(*s));
}

void slots_mark(struct slots *s, uint32_t svc, uint32_t gen, uint64_t now_ns)
{
	struct slot *slot;

	if (svc >= SLOTS_MAX)
		return;
	slot = &s->slot[svc];
	if (atomic_load_explicit(&slot->gen, memory_order_relaxed) != gen) {
		atomic_store_explicit(&slot->count, 0, memory_order_relaxed);
		atomic_store_explicit(&slot->asked_ns, 0, memory_order_relaxed);
		atomic_store_explicit(&slot->gen, gen, memory_order_release);
	}
	atomic_fetch_add_explicit(&slot->count, 1, memory_order_relaxed);
	atomic_store_explicit(&slot->asked_ns, now_ns, memory_order_release);
}

uint64_t slots_asked_ns(const struct slots *s, uint32_t svc, uint32_t gen, uint64_t now_ns)
{
	uint64_t asked;

	if (svc >= SLOTS_MAX)
		return 0;
	asked = atomic_load_explicit(&s->slot[svc].asked_ns, memory_order_acquire);
	if (atomic_load_explicit(&s->slot[svc].gen, memory_order_acquire) != gen)
		return 0;
	return MIN(asked, now_ns);
}

uint64_t slots_count(const struct slots *s, uint32_t svc, uint32_t gen)
{
	if (svc >= SLOTS_MAX || atomic_load(&s->slot[svc].gen) != gen)
		return 0;
	return atomic_load(&s->slot[svc].count);
}
