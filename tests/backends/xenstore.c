/* libxenstore's functions, and the XenStore that they reach. */
#include "tests/backends/xenstore.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <xenstore.h>

#include "base/buf.h"

enum { KEYS = 16, WATCHES = 32, FIRED = 8192 };

struct xs_handle {
	int dummy;
};

static struct {
	pthread_mutex_t lock;
	struct {
		char path[128], value[512];
		unsigned n;
	} keys[KEYS];
	struct {
		char path[128], token[32]; /* "": free */
	} watches[WATCHES];
	struct {
		char path[128], token[32];
	} fired[FIRED];
	unsigned n_fired, reads;
	int fd;
} store = { .lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1 };

static struct xs_handle handle;

/* Under the lock. */
static void fire_one(const char *path, const char *token)
{
	if (store.n_fired == FIRED)
		return;
	str_copy(store.fired[store.n_fired].path, path);
	str_copy(store.fired[store.n_fired].token, token);
	store.n_fired++;
	eventfd_write(store.fd, 1);
}

/* Under the lock. */
static void fire(const char *path)
{
	for (unsigned i = 0; i < WATCHES; i++) {
		size_t n = strlen(store.watches[i].path);

		if (n > 0 && strncmp(path, store.watches[i].path, n) == 0)
			fire_one(path, store.watches[i].token);
	}
}

void store_key(const char *path, const void *value, unsigned n)
{
	unsigned i = 0;

	pthread_mutex_lock(&store.lock);
	while (store.keys[i].path[0] && strcmp(store.keys[i].path, path) != 0)
		i++;
	str_copy(store.keys[i].path, path);
	memcpy(store.keys[i].value, value, n);
	store.keys[i].n = n;
	fire(path);
	pthread_mutex_unlock(&store.lock);
}

void store_text(const char *path, const char *value) { store_key(path, value, (unsigned)strlen(value)); }

unsigned store_watches(void)
{
	unsigned n = 0;

	pthread_mutex_lock(&store.lock);
	for (unsigned i = 0; i < WATCHES; i++)
		n += store.watches[i].path[0] != '\0';
	pthread_mutex_unlock(&store.lock);
	return n;
}

bool store_has_watch(const char *path)
{
	bool has = false;

	pthread_mutex_lock(&store.lock);
	for (unsigned i = 0; i < WATCHES; i++)
		has |= strcmp(store.watches[i].path, path) == 0;
	pthread_mutex_unlock(&store.lock);
	return has;
}

struct xs_handle *xs_open(unsigned long flags)
{
	(void)flags;
	return &handle;
}

void xs_close(struct xs_handle *h) { (void)h; }

int xs_fileno(struct xs_handle *h)
{
	(void)h;
	return store.fd;
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
	unsigned i = 0;

	(void)h;
	pthread_mutex_lock(&store.lock);
	while (store.watches[i].path[0])
		i++;
	str_copy(store.watches[i].path, path);
	str_copy(store.watches[i].token, token);
	fire_one(path, token);
	pthread_mutex_unlock(&store.lock);
	return true;
}

bool xs_unwatch(struct xs_handle *h, const char *path, const char *token)
{
	bool had = false;

	(void)h;
	pthread_mutex_lock(&store.lock);
	for (unsigned i = 0; i < WATCHES; i++) {
		if (strcmp(store.watches[i].path, path) == 0 && strcmp(store.watches[i].token, token) == 0) {
			store.watches[i].path[0] = '\0';
			had = true;
		}
	}
	pthread_mutex_unlock(&store.lock);
	return had;
}

char **xs_check_watch(struct xs_handle *h)
{
	char **event = NULL;
	eventfd_t n;

	(void)h;
	pthread_mutex_lock(&store.lock);
	if (store.n_fired == 0)
		eventfd_read(store.fd, &n);
	if (store.n_fired > 0 && (event = malloc(2 * sizeof(*event) + sizeof(store.fired[0])))) {
		char *text = (char *)(event + 2);

		memcpy(text, &store.fired[0], sizeof(store.fired[0]));
		event[XS_WATCH_PATH] = text;
		event[XS_WATCH_TOKEN] = text + sizeof(store.fired[0].path);
		memmove(&store.fired[0], &store.fired[1], --store.n_fired * sizeof(store.fired[0]));
	}
	pthread_mutex_unlock(&store.lock);
	errno = EAGAIN;
	return event;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned *n)
{
	char *value = NULL;

	(void)h;
	(void)t;
	pthread_mutex_lock(&store.lock);
	store.reads++;
	for (unsigned i = 0; i < KEYS && !value; i++) {
		if (strcmp(store.keys[i].path, path) != 0)
			continue;
		value = malloc(store.keys[i].n + 1);
		if (!value)
			break;
		memcpy(value, store.keys[i].value, store.keys[i].n);
		*n = store.keys[i].n;
	}
	pthread_mutex_unlock(&store.lock);
	return value;
}

unsigned store_reads(void)
{
	unsigned n;

	pthread_mutex_lock(&store.lock);
	n = store.reads;
	pthread_mutex_unlock(&store.lock);
	return n;
}

void store_begin(void)
{
	memset(store.keys, 0, sizeof(store.keys));
	memset(store.watches, 0, sizeof(store.watches));
	store.n_fired = store.reads = 0;
	store.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

void store_end(void) { fd_close(&store.fd); }
