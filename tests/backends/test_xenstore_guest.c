/* What guests of Xen say, with a XenStore in this process: libxenstore's functions are here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <xenstore.h>

#include "backends/xenstore_guest.h"
#include "base/clock.h"

enum { KEYS = 16, WATCHES = 32, FIRED = 8192, WAIT_MS = 10000 };

/* ---- a XenStore ---- */

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
static void fire(const char *path)
{
	for (unsigned i = 0; i < WATCHES; i++) {
		size_t n = strlen(store.watches[i].path);

		if (n == 0 || strncmp(path, store.watches[i].path, n) != 0 || store.n_fired == FIRED)
			continue;
		str_copy(store.fired[store.n_fired].path, path);
		str_copy(store.fired[store.n_fired++].token, store.watches[i].token);
		eventfd_write(store.fd, 1);
	}
}

static void set_key(const char *path, const void *value, unsigned n)
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

static void set_text(const char *path, const char *value) { set_key(path, value, (unsigned)strlen(value)); }

static unsigned watches(void)
{
	unsigned n = 0;

	pthread_mutex_lock(&store.lock);
	for (unsigned i = 0; i < WATCHES; i++)
		n += store.watches[i].path[0] != '\0';
	pthread_mutex_unlock(&store.lock);
	return n;
}

static bool has_watch(const char *path)
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
	str_copy(store.fired[store.n_fired].path, path);
	str_copy(store.fired[store.n_fired++].token, token);
	eventfd_write(store.fd, 1);
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

/* ---- around it ---- */

static struct event_base *base;
static struct guests *streams;
static struct xenstore_guests *x;
static struct msg_be_guest told;
static int told_fd = -1;
static struct msg_be_key keys[8];
static unsigned n_told, n_keys;

static void on_stream(void *arg, const struct msg_be_guest *m, int fd)
{
	(void)arg;
	told = *m;
	fd_close(&told_fd);
	told_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	n_told++;
}

static void on_key(void *arg, const struct msg_be_key *m)
{
	(void)arg;
	assert_true(n_keys < ARRAY_SIZE(keys));
	keys[n_keys++] = *m;
}

static void turn(void)
{
	struct timeval limit = { 0, 10000 };

	event_base_loopexit(base, &limit);
	event_base_dispatch(base);
}

static void turn_until(const unsigned *count, unsigned wanted)
{
	uint64_t until = clock_now_ms() + WAIT_MS;

	while (*count < wanted && clock_now_ms() < until)
		turn();
	assert_int_equal(*count, wanted);
}

static int setup(void **state)
{
	(void)state;
	memset(store.keys, 0, sizeof(store.keys));
	memset(store.watches, 0, sizeof(store.watches));
	store.n_fired = store.reads = 0;
	n_told = n_keys = 0;
	store.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	base = event_base_new();
	streams = guests_new(base, on_stream, NULL);
	x = xenstore_guests_new(base, streams, on_key, NULL);
	return x ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	xenstore_guests_free(x);
	guests_free(streams);
	event_base_free(base);
	fd_close(&told_fd);
	fd_close(&store.fd);
	return 0;
}

static void begin(int32_t domid)
{
	unsigned before = n_told;

	xenstore_guests_began(x, domid, "jitsu-a", "uuid-a");
	turn_until(&n_told, before + 1);
}

/* Exactly this comes next on the stream. */
static void hear_bytes(const char *what, size_t size)
{
	char text[256] = "";
	uint64_t until = clock_now_ms() + WAIT_MS;
	size_t n = 0;

	while (n < size && clock_now_ms() < until) {
		struct pollfd p = { .fd = told_fd, .events = POLLIN };
		ssize_t got = poll(&p, 1, 100) > 0 ? recv(told_fd, text + n, size - n, 0) : 0;

		n += got > 0 ? (size_t)got : 0;
	}
	assert_int_equal(n, size);
	assert_memory_equal(text, what, size);
}

static void hear(const char *what) { hear_bytes(what, strlen(what)); }

static void test_a_value_is_a_line(void **state)
{
	(void)state;
	set_text("/local/domain/5/data/jitsu", "ready"); /* before anybody looked */
	begin(5);
	assert_string_equal(told.name, "jitsu-a");
	assert_string_equal(told.uuid, "uuid-a");
	hear("ready\n");
	set_text("/local/domain/5/data/jitsu", "ready busy lease 30");
	hear("ready busy lease 30\n");
	set_text("/local/domain/6/data/jitsu", "busy"); /* a stranger's */
	set_key("/local/domain/5/data/jitsu", "\0\xff\n", 3);
	hear_bytes("\0\xff\n\n", 4); /* as it is: others look at it */
	xenstore_guests_began(x, 5, "jitsu-a", "uuid-a"); /* again is fine */
	turn();
	assert_int_equal(n_told, 1);
}

static void test_long_values_are_cut(void **state)
{
	char value[300], line[XENSTORE_VALUE_MAX + 2];

	(void)state;
	memset(value, 'x', sizeof(value));
	memset(line, 'x', sizeof(line));
	strcpy(line + XENSTORE_VALUE_MAX, "\n");
	begin(5);
	set_key("/local/domain/5/data/jitsu", value, sizeof(value));
	hear(line);
	set_text("/local/domain/5/data/jitsu", "idle");
	hear("idle\n");
}

static void test_the_end(void **state)
{
	uint64_t until = clock_now_ms() + WAIT_MS;
	char byte;

	(void)state;
	begin(5);
	xenstore_guests_gone(x, 5);
	while (watches() > 0 && clock_now_ms() < until)
		turn();
	assert_int_equal(watches(), 0);
	while (recv(told_fd, &byte, 1, MSG_DONTWAIT) < 0 && clock_now_ms() < until)
		turn();
	assert_int_equal(recv(told_fd, &byte, 1, 0), 0);
	turn();
	turn();
	guests_on_launcher(streams); /* nothing is left to be told */
	assert_int_equal(n_told, 1);
	begin(6);
	assert_int_equal(n_told, 2);
}

/* Thousands of writes are some reads, and the last one is heard. */
/* The loop was busy while the domain ended and began again: the stream that it has is the last one. */
static void test_the_next_boot_at_once(void **state)
{
	uint64_t until = clock_now_ms() + WAIT_MS;

	(void)state;
	xenstore_guests_began(x, 5, "jitsu-a", "uuid-a");
	xenstore_guests_gone(x, 5);
	xenstore_guests_began(x, 6, "jitsu-a", "uuid-a");
	set_text("/local/domain/6/data/jitsu", "ready");
	while (!has_watch("/local/domain/6/data/jitsu") && clock_now_ms() < until)
		usleep(1000);
	for (int i = 0; i < 5; i++)
		turn();
	hear("ready\n");
}

/* For a service that is newer than its domain's stream. */
static void test_a_stream_is_told_again(void **state)
{
	(void)state;
	begin(5);
	guests_tell(streams, "jitsu-b");
	assert_int_equal(n_told, 1);
	guests_tell(streams, "jitsu-a");
	assert_int_equal(n_told, 2);
	assert_string_equal(told.uuid, "uuid-a");
	set_text("/local/domain/5/data/jitsu", "busy");
	hear("busy\n");
}

static void test_a_guest_that_writes_too_much(void **state)
{
	char text[32];
	uint64_t begun;

	(void)state;
	begin(5);
	begun = clock_now_ms();
	for (int i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "lease %d", i % 10 + 10);
		set_text("/local/domain/5/data/jitsu", text);
		if (i % 50 == 0)
			usleep(1000);
	}
	set_text("/local/domain/5/data/jitsu", "lease 77777");
	for (char last[12] = "", byte; strcmp(last, "lease 77777") != 0;) {
		if (recv(told_fd, &byte, 1, MSG_DONTWAIT) == 1) {
			memmove(last, last + 1, sizeof(last) - 2);
			last[sizeof(last) - 2] = byte;
			if (byte == '\n')
				memset(last, ' ', sizeof(last) - 1);
		}
		assert_true(clock_now_ms() - begun < WAIT_MS);
	}
	assert_true(store.reads <= 12 + (clock_now_ms() - begun) / 100);
}

/* ---- keys ---- */

static void test_keys_are_told_when_they_are_there(void **state)
{
	struct msg_be_watch m = { .svc = 3, .gen = 9, .domain_id = 5, .n_keys = 3,
				  .keys = { { "data/up" }, { "data/late" }, { "data/never" } } };

	(void)state;
	set_text("/local/domain/5/data/up", "1");
	begin(5);
	xenstore_guests_watch(x, &m);
	turn_until(&n_keys, 1);
	assert_string_equal(keys[0].key, "data/up");
	assert_int_equal(keys[0].svc, 3);
	assert_int_equal(keys[0].gen, 9);
	assert_int_equal(keys[0].domain_id, 5);
	set_text("/local/domain/5/data/late", ""); /* it is there, and empty */
	set_text("/local/domain/6/data/late", "1");
	set_text("/local/domain/5/data/up", "2"); /* told already */
	for (int i = 0; i < 20; i++)
		turn();
	assert_int_equal(n_keys, 1);
	set_text("/local/domain/5/data/late", "x");
	turn_until(&n_keys, 2);
	assert_string_equal(keys[1].key, "data/late");
	xenstore_guests_watch(x, &m); /* the next launcher asks again */
	turn_until(&n_keys, 4);
}

static void test_keys_go_with_the_domain(void **state)
{
	struct msg_be_watch m = { .domain_id = 5, .n_keys = 1, .keys = { { "data/up" } } };

	(void)state;
	begin(5);
	xenstore_guests_watch(x, &m);
	xenstore_guests_gone(x, 5);
	xenstore_guests_watch(x, &m); /* too late */
	for (int i = 0; i < 20; i++)
		turn();
	assert_int_equal(watches(), 0);
	set_text("/local/domain/5/data/up", "1");
	for (int i = 0; i < 10; i++)
		turn();
	assert_int_equal(n_keys, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_a_value_is_a_line), CASE(test_long_values_are_cut), CASE(test_the_end),
		CASE(test_the_next_boot_at_once), CASE(test_a_stream_is_told_again), CASE(test_a_guest_that_writes_too_much),
		CASE(test_keys_are_told_when_they_are_there), CASE(test_keys_go_with_the_domain),
	};

	evthread_use_pthreads();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
