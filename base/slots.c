#include "base/slots.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* A slot has a cache line of its own: writers of different services do not slow each other. */
struct slot {
	_Atomic uint64_t counted; /* generation << 32 | count: changed as one by several threads */
	_Atomic uint64_t asked_ns;
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

static uint32_t generation_of(uint64_t counted) { return (uint32_t)(counted >> 32); }

void slots_mark(struct slots *s, uint32_t svc, uint32_t gen, uint64_t now_ns)
{
	uint64_t was, now;
	struct slot *slot;

	if (svc >= SLOTS_MAX)
		return;
	slot = &s->slot[svc];
	atomic_store_explicit(&slot->asked_ns, now_ns, memory_order_relaxed);
	was = atomic_load_explicit(&slot->counted, memory_order_relaxed);
	do {
		uint32_t count = generation_of(was) == gen ? (uint32_t)was + 1 : 1;

		now = (uint64_t)gen << 32 | count;
	} while (!atomic_compare_exchange_weak_explicit(&slot->counted, &was, now, memory_order_release,
							memory_order_relaxed));
}

uint64_t slots_asked_ns(const struct slots *s, uint32_t svc, uint32_t gen, uint64_t now_ns)
{
	if (svc >= SLOTS_MAX ||
	    generation_of(atomic_load_explicit(&s->slot[svc].counted, memory_order_acquire)) != gen)
		return 0;
	return MIN(atomic_load_explicit(&s->slot[svc].asked_ns, memory_order_relaxed), now_ns);
}

uint64_t slots_count(const struct slots *s, uint32_t svc, uint32_t gen)
{
	uint64_t counted;

	if (svc >= SLOTS_MAX)
		return 0;
	counted = atomic_load(&s->slot[svc].counted);
	return generation_of(counted) == gen ? (uint32_t)counted : 0;
}
