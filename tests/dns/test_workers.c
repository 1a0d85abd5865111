/* Several workers for one address, in the whole process: clients in threads ask without a pause while the
 * test, as its launcher, changes all that they ask about.
 */
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/dns/process.h"

enum { WORKERS = 3, CLIENTS = 3, WINDOW = 16, ROUNDS = 40, LOST_AFTER_MS = 10000 };

#define ADDRESS "127.0.0.1"

/* ---- sockets that share a port ---- */

static uint16_t shared_port;

static int shared_socket(uint16_t *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
	socklen_t n = sizeof(sin);

	sin.sin_port = htons(*port);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &n), 0);
	*port = ntohs(sin.sin_port);
	return fd;
}

static void give_place(struct world *w, uint16_t place)
{
	struct msg_listen m = { .proto = LISTEN_UDP, .addr = ip(ADDRESS), .place = place };
	int fd = shared_socket(&shared_port);

	m.port = shared_port;
	assert_int_equal(ipc_send_fd(w->supervisor, MSG_LISTEN, &m, fd), 0);
	close(fd);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	start_process(w);
	shared_port = 0;
	for (uint16_t i = 0; i < WORKERS; i++)
		give_place(w, i);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	stop_process(w); /* in time, and with all workers asleep */
	free(w);
	return 0;
}

/* ---- what the launcher says ---- */

/* The file's address tells which snapshot it is of. */
static void say_snapshot(struct world *w, uint32_t number, uint8_t state)
{
	struct msg_dns_conf conf = { .seq = number, .max_waiting = 200, .max_tcp = 10 };
	struct msg_dns_zone z = zone_msg("jitsu.example");
	struct msg_dns_service s = service_msg(SVC_WWW, "www", "www.jitsu.example", "192.168.1.20", state, ANSWER_READY);
	char text[64];

	snprintf(text, sizeof(text), "host A 10.0.%u.%u\n", number >> 8, number & 255);
	s.max_hold_ms = 60000;
	ipc_send(w->launcher, MSG_BEGIN, NULL);
	ipc_send(w->launcher, MSG_DNS_CONF, &conf);
	ipc_send(w->launcher, MSG_DNS_ZONE, &z);
	give_zone_file(w, "jitsu.example", text);
	ipc_send(w->launcher, MSG_DNS_SERVICE, &s);
	ipc_send(w->launcher, MSG_END, NULL);
}

static void snapshot(struct world *w, uint32_t number, uint8_t state)
{
	say_snapshot(w, number, state);
	WAIT_FOR(w, w->n_loaded > 0 && w->loaded.seq == number);
	assert_int_equal(w->loaded.error, 0);
}

static void say_state(struct world *w, uint8_t state)
{
	static uint32_t seq;
	struct msg_dns_state m = { .svc = SVC_WWW, .gen = GEN, .state = state, .answer = ANSWER_READY };

	m.seq = ++seq;
	w->n_acks = 0;
	ipc_send(w->launcher, MSG_DNS_STATE, &m);
	WAIT_FOR(w, w->n_acks > 0);
	assert_int_equal(w->acks[0].seq, seq);
}

/* ---- clients ---- */

static _Atomic bool clients_end;
static _Atomic uint64_t n_asked, n_lost, n_wrong;
static _Atomic uint32_t newest_said, oldest_valid; /* snapshots */

enum question { ASK_HOST, ASK_WWW, ASK_NOPE, QUESTIONS };

static size_t ask_one(int fd, uint16_t id)
{
	static const char *const names[QUESTIONS] = { "host.jitsu.example", "www.jitsu.example", "nope.jitsu.example" };
	uint8_t b[512];
	size_t n = make_query(b, (struct ask){ .name = names[id % QUESTIONS], .type = TYPE_A, .id = id });

	atomic_fetch_add(&n_asked, 1);
	return (size_t)send(fd, b, n, 0);
}

/* What a host's answer was of is between what was in force when it was asked, and what was said last. */
static bool is_right(const uint8_t *b, size_t n, uint16_t first, const uint32_t *least)
{
	unsigned id = wire_get16(b), i = id - first, rcode = b[3] & 15;
	uint32_t number = (uint32_t)b[n - 2] << 8 | b[n - 1];

	if (i >= WINDOW)
		return false;
	if (id % QUESTIONS == ASK_NOPE)
		return rcode == RCODE_NXDOMAIN;
	if (rcode != RCODE_NOERROR || wire_get16(b + 6) != 1)
		return false;
	if (id % QUESTIONS == ASK_WWW)
		return memcmp(b + n - 4, "\300\250\1\24", 4) == 0;
	return b[n - 4] == 10 && number >= *least && number <= atomic_load(&newest_said);
}

/* WINDOW queries, and all their answers. */
static void ask_window(int fd, uint16_t first)
{
	uint32_t least = atomic_load(&oldest_valid);
	uint64_t until = clock_now_ms() + LOST_AFTER_MS;
	unsigned answered = 0;
	uint8_t b[2000];

	for (unsigned i = 0; i < WINDOW; i++)
		ask_one(fd, (uint16_t)(first + i));
	while (answered < WINDOW && clock_now_ms() < until) {
		struct pollfd p = { fd, POLLIN, 0 };
		ssize_t n;

		poll(&p, 1, 100);
		while ((n = recv(fd, b, sizeof(b), MSG_DONTWAIT)) > WIRE_HEADER) {
			answered++;
			if (!is_right(b, (size_t)n, first, &least))
				atomic_fetch_add(&n_wrong, 1);
		}
	}
	atomic_fetch_add(&n_lost, WINDOW - answered);
}

/* From many ports, so that all workers have something to do. */
static void *be_client(void *arg)
{
	int fds[4];

	(void)arg;
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = client_socket(SOCK_DGRAM, ADDRESS, ADDRESS, shared_port);
	for (unsigned round = 0; !atomic_load(&clients_end) && !atomic_load(&n_lost); round++)
		ask_window(fds[round % ARRAY_SIZE(fds)], (uint16_t)(1 + round * WINDOW % 60000));
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	return NULL;
}

static void start_clients(pthread_t *threads, void *(*run)(void *))
{
	atomic_store(&clients_end, false);
	atomic_store(&n_asked, 0);
	atomic_store(&n_lost, 0);
	atomic_store(&n_wrong, 0);
	for (unsigned i = 0; i < CLIENTS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run, NULL), 0);
}

static void stop_clients(pthread_t *threads)
{
	atomic_store(&clients_end, true);
	for (unsigned i = 0; i < CLIENTS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

/* ---- counts ---- */

static void ask_counts(struct world *w)
{
	w->n_counts = 0;
	ipc_send(w->launcher, MSG_DNS_COUNTS_ASK, NULL);
	WAIT_FOR(w, w->n_counts > 0);
	assert_int_equal(w->counts.n, DNS_COUNT_N);
}

static uint64_t counted(const struct world *w, enum dns_count what) { return w->counts.counts[what].n; }

/* ---- tests ---- */

static void test_all_changes_and_nobody_notices(void **state)
{
	struct world *w = *state;
	pthread_t threads[CLIENTS];
	uint64_t asked;

	atomic_store(&newest_said, 1);
	snapshot(w, 1, STATE_UP);
	atomic_store(&oldest_valid, 1);
	start_clients(threads, be_client);
	for (uint32_t i = 2; i < 2 + ROUNDS; i++) {
		atomic_store(&newest_said, i);
		snapshot(w, i, i % 2 ? STATE_UP : STATE_ADOPTED);
		atomic_store(&oldest_valid, i);
		say_state(w, STATE_ADOPTED);
		say_state(w, STATE_UP);
		for (unsigned turns = 0; turns < 5; turns++)
			turn(w);
	}
	stop_clients(threads);
	asked = atomic_load(&n_asked);
	assert_int_equal(atomic_load(&n_lost), 0);
	assert_int_equal(atomic_load(&n_wrong), 0);
	assert_true(asked >= CLIENTS * WINDOW);
	ask_counts(w);
	assert_int_equal(w->counts.workers, WORKERS + 1 + (w->has_v6 ? 1 : 0));
	assert_int_equal(counted(w, DNS_COUNT_UDP4), asked);
	assert_int_equal(counted(w, DNS_COUNT_A), asked);
	assert_int_equal(counted(w, DNS_COUNT_NOERROR) + counted(w, DNS_COUNT_NXDOMAIN), asked);
	assert_int_equal(counted(w, DNS_COUNT_PASSED), 0);
}

static _Atomic uint64_t epoch; /* odd: DRAINING is acknowledged */
static _Atomic uint64_t n_addresses;

static void hear(int fd, const uint64_t *epochs)
{
	uint8_t b[2000];

	while (recv(fd, b, sizeof(b), MSG_DONTWAIT) > WIRE_HEADER) {
		uint64_t now = atomic_load(&epoch), asked = epochs[wire_get16(b) % 256];

		if (wire_get16(b + 6) == 0)
			continue;
		atomic_fetch_add(&n_addresses, 1);
		if (asked == now && now % 2 == 1)
			atomic_fetch_add(&n_wrong, 1);
	}
}

static void *be_client_of_www(void *arg)
{
	int fd = client_socket(SOCK_DGRAM, ADDRESS, ADDRESS, shared_port);
	uint64_t epochs[256] = { 0 };
	uint8_t b[512];

	(void)arg;
	for (uint16_t id = 1; !atomic_load(&clients_end); id = (uint16_t)(id % 60000 + 1)) {
		size_t n = make_query(b, (struct ask){ .name = "www.jitsu.example", .type = TYPE_A, .id = id });

		epochs[id % 256] = atomic_load(&epoch);
		send(fd, b, n, 0);
		if (id % 8 == 0)
			usleep(200);
		hear(fd, epochs);
	}
	close(fd);
	return NULL;
}

static void wait_for_addresses(struct world *w, uint64_t more)
{
	uint64_t before = atomic_load(&n_addresses);

	WAIT_FOR(w, atomic_load(&n_addresses) >= before + more);
}

/* The launcher's last look: from the acknowledgement on nobody is given the address. */
static void test_nothing_leaves_after_the_ack_of_draining(void **state)
{
	struct world *w = *state;
	pthread_t threads[CLIENTS];

	snapshot(w, 1, STATE_UP);
	start_clients(threads, be_client_of_www);
	for (unsigned i = 0; i < ROUNDS / 2; i++) {
		uint64_t marks;

		wait_for_addresses(w, 20);
		say_state(w, STATE_DRAINING);
		atomic_fetch_add(&epoch, 1);
		marks = slots_count(w->slots, SVC_WWW, GEN);
		for (unsigned turns = 0; turns < 10; turns++)
			turn(w);
		assert_int_equal(slots_count(w->slots, SVC_WWW, GEN), marks);
		atomic_fetch_add(&epoch, 1);
		say_state(w, STATE_UP);
	}
	stop_clients(threads);
	assert_int_equal(atomic_load(&n_wrong), 0);
	assert_true(w->n_wakes > 0);
}

static void test_what_a_worker_cannot_answer_is_passed_on(void **state)
{
	struct world *w = *state;
	int fd = client_socket(SOCK_DGRAM, ADDRESS, ADDRESS, shared_port);
	uint8_t b[2000];
	size_t n = make_query(b, (struct ask){ .name = "www.jitsu.example", .type = TYPE_A, .id = 7 });

	snapshot(w, 1, STATE_OFF);
	assert_int_equal(send(fd, b, n, 0), n);
	WAIT_FOR(w, w->n_wakes == 1);
	ask_counts(w);
	assert_int_equal(counted(w, DNS_COUNT_PASSED), 1);
	assert_int_equal(counted(w, DNS_COUNT_NOERROR), 0);
	say_state(w, STATE_UP);
	WAIT_FOR(w, recv(fd, b, sizeof(b), MSG_DONTWAIT) > 0);
	assert_int_equal(wire_get16(b + 6), 1);
	ask_counts(w);
	assert_int_equal(counted(w, DNS_COUNT_NOERROR), 1);
	assert_int_equal(counted(w, DNS_COUNT_UDP4), 1);
	close(fd);
}

/* Each place is replaced: the workers of the old sockets end, the new ones answer. */
static void test_sockets_are_replaced(void **state)
{
	struct world *w = *state;
	uint8_t b[2000];

	snapshot(w, 1, STATE_UP);
	for (uint16_t i = 0; i < WORKERS; i++)
		give_place(w, i);
	ask_counts(w); /* another channel: the sockets may still be on their way */
	for (unsigned i = 0; i < 30; i++) {
		int fd = client_socket(SOCK_DGRAM, ADDRESS, ADDRESS, shared_port);
		uint64_t asked_ms = 0;
		ssize_t got;

		do { /* what lay in an old one is lost with it */
			if (clock_now_ms() >= asked_ms + 500) {
				ask_one(fd, 3 + ASK_WWW);
				asked_ms = clock_now_ms();
			}
			turn(w);
			got = recv(fd, b, sizeof(b), MSG_DONTWAIT);
		} while (got < 0 && clock_now_ms() < asked_ms + WAIT_MS);
		assert_true(got > 0);
		close(fd);
	}
	ask_counts(w);
	assert_int_equal(w->counts.workers, WORKERS + 1 + (w->has_v6 ? 1 : 0));
}

/* How often the kernel has given the workers a CPU. */
static unsigned long time_slices(pid_t pid, unsigned *threads)
{
	unsigned long all = 0, ran, waited, slices;
	struct dirent *d;
	char path[300];
	DIR *dir;

	*threads = 0;
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	assert_non_null(dir);
	while ((d = readdir(dir))) {
		cleanup_fclose FILE *f = NULL;

		if (d->d_name[0] == '.' || atoi(d->d_name) == pid)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, d->d_name);
		f = fopen(path, "r");
		if (f && fscanf(f, "%lu %lu %lu", &ran, &waited, &slices) == 3) {
			all += slices;
			(*threads)++;
		}
	}
	closedir(dir);
	return all;
}

static void test_idle_workers_sleep(void **state)
{
	struct world *w = *state;
	unsigned long before = 0, now;
	unsigned threads;

	snapshot(w, 1, STATE_UP);
	if (!SANDBOX)
		skip(); /* the sanitizers have threads of their own */
	now = time_slices(w->pid, &threads);
	assert_int_equal(threads, WORKERS + 1 + (w->has_v6 ? 1 : 0));
	for (unsigned tries = 0; now != before && tries < 20; tries++) { /* they may not have begun yet */
		before = now;
		usleep(300000);
		now = time_slices(w->pid, &threads);
	}
	assert_int_equal(now, before);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_all_changes_and_nobody_notices),
		T(test_nothing_leaves_after_the_ack_of_draining),
		T(test_what_a_worker_cannot_answer_is_passed_on),
		T(test_sockets_are_replaced),
		T(test_idle_workers_sleep),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
