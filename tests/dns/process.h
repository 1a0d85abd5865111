/* The whole process, in its sandbox when the test is root's: the test is its supervisor and its
 * launcher.
 */
#ifndef TESTS_DNS_PROCESS_H
#define TESTS_DNS_PROCESS_H

#include <event2/event.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tests/dns/net.h"

#include "base/ipc.h"
#include "base/log.h"
#include "base/slots.h"
#include "dns/main.h"

enum { WAIT_MS = 4000, LOG_MAX = 64 };

struct world {
	struct event_base *base;
	struct ipc *supervisor, *launcher;
	pid_t pid;
	char root[32];
	uint16_t port4, port6;
	bool has_v6, ready;
	unsigned n_wakes, n_answered, n_acks, n_loaded;
	struct msg_wake wakes[LOG_MAX];
	struct msg_dns_answered answered[LOG_MAX];
	struct msg_dns_state acks[LOG_MAX];
	struct msg_dns_loaded loaded; /* the newest */
	struct msg_dns_counts counts; /* the newest */
	unsigned n_counts;
	struct slots *slots;
};

/* ---- supervisor and launcher ---- */

static void on_supervised(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct world *w = arg;

	(void)ch;
	(void)body;
	(void)fd;
	if (type == MSG_READY)
		w->ready = true;
}

static void on_launched(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct world *w = arg;

	(void)ch;
	(void)fd;
	if (type == MSG_WAKE && w->n_wakes < LOG_MAX)
		w->wakes[w->n_wakes++] = *(const struct msg_wake *)body;
	if (type == MSG_DNS_ANSWERED && w->n_answered < LOG_MAX)
		w->answered[w->n_answered++] = *(const struct msg_dns_answered *)body;
	if (type == MSG_DNS_STATE_ACK && w->n_acks < LOG_MAX)
		w->acks[w->n_acks++] = *(const struct msg_dns_state *)body;
	if (type == MSG_DNS_COUNTS) {
		w->counts = *(const struct msg_dns_counts *)body;
		w->n_counts++;
	}
	if (type == MSG_DNS_LOADED) {
		w->loaded = *(const struct msg_dns_loaded *)body;
		w->n_loaded++;
	}
}

static void on_end(void *arg, struct ipc *ch, int error)
{
	(void)arg;
	(void)ch;
	(void)error;
}

static UNUSED void turn(struct world *w)
{
	event_base_loop(w->base, EVLOOP_NONBLOCK);
	usleep(500);
}

#define WAIT_FOR(w, condition)                                                                     \
	do {                                                                                       \
		uint64_t until_ = clock_now_ms() + WAIT_MS;                                        \
		bool met_;                                                                         \
		while (!(met_ = (condition)) && clock_now_ms() < until_)                           \
			turn(w);                                                                   \
		if (!met_)                                                                         \
			fail_msg("not in time: %s", #condition);                                   \
	} while (0)

static void give_launcher(struct world *w)
{
	struct msg_peer peer = { .role = ROLE_LAUNCHER };
	int fds[2];

	assert_int_equal(ipc_pair(fds), 0);
	w->launcher = ipc_new(w->base, fds[0], on_launched, on_end, w);
	assert_int_equal(ipc_send_fd(w->supervisor, MSG_PEER, &peer, fds[1]), 0);
	close(fds[1]);
}

static void give_socket(struct world *w, int fd, uint8_t proto, const char *addr, uint16_t port)
{
	struct msg_listen m = { .proto = proto, .addr = ip(addr), .port = port };

	assert_true(fd >= 0);
	assert_int_equal(ipc_send_fd(w->supervisor, MSG_LISTEN, &m, fd), 0);
	close(fd);
}

static void give_sockets(struct world *w)
{
	int udp = -1, tcp = -1;

	assert_true(bound_pair("0.0.0.0", &w->port4, &udp, &tcp));
	give_socket(w, udp, LISTEN_UDP, "0.0.0.0", w->port4);
	give_socket(w, tcp, LISTEN_TCP, "0.0.0.0", w->port4);
	w->has_v6 = bound_pair("::", &w->port6, &udp, &tcp);
	if (!w->has_v6)
		return;
	give_socket(w, udp, LISTEN_UDP, "::", w->port6);
	give_socket(w, tcp, LISTEN_TCP, "::", w->port6);
}

static void give_slots(struct world *w)
{
	int fd = slots_create();

	assert_true(fd >= 0);
	w->slots = slots_map(fd);
	assert_int_equal(ipc_send_fd(w->supervisor, MSG_SLOTS, NULL, fd), 0);
	close(fd);
}

#ifdef JITSU_SANITIZED
enum { SANDBOX = false }; /* the sanitizers look into /proc at the end */
#else
enum { SANDBOX = true };
#endif

static void run_child(const struct world *w, int channel)
{
	struct child_args args = { .role = ROLE_DNS, .log_level = "error" };

	if (SANDBOX && geteuid() == 0) {
		args.uid = args.gid = 65534;
		args.chroot_dir = w->root;
	}
	if (channel != CHILD_SUPERVISOR_FD)
		dup2(channel, CHILD_SUPERVISOR_FD);
	for (int fd = CHILD_SUPERVISOR_FD + 1; fd < 256; fd++)
		close(fd);
	_exit(dns_main(&args));
}

/* A process that has its sockets, and a launcher that has said nothing yet. */
static UNUSED void start_process(struct world *w)
{
	int fds[2];

	strcpy(w->root, "/tmp/jitsu-dns-XXXXXX");
	assert_non_null(mkdtemp(w->root));
	assert_int_equal(ipc_pair(fds), 0);
	w->pid = fork();
	if (w->pid == 0)
		run_child(w, fds[1]);
	close(fds[1]);
	w->base = event_base_new();
	w->supervisor = ipc_new(w->base, fds[0], on_supervised, on_end, w);
	give_sockets(w);
	give_slots(w);
	give_launcher(w);
}

/* It ends when it is told to, and with 0. */
static UNUSED void stop_process(struct world *w)
{
	uint64_t until = clock_now_ms() + WAIT_MS;
	int status = -1;
	pid_t gone;

	ipc_send(w->supervisor, MSG_STOP, NULL);
	while ((gone = waitpid(w->pid, &status, WNOHANG)) == 0 && clock_now_ms() < until)
		turn(w);
	if (gone == 0) {
		kill(w->pid, SIGKILL);
		waitpid(w->pid, &status, 0);
	}
	ipc_free(w->launcher);
	ipc_free(w->supervisor);
	event_base_free(w->base);
	slots_unmap(w->slots);
	rmdir(w->root);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* A regular file, not written to any more. */
static UNUSED int text_file(const char *text)
{
	int fd = memfd_create("zone", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static UNUSED void give_zone_file(struct world *w, const char *zone, const char *text)
{
	struct msg_dns_zone_file m = { .path = "/zones/test" };
	int fd = text_file(text);

	str_copy(m.zone, zone);
	assert_int_equal(ipc_send_fd(w->launcher, MSG_DNS_ZONE_FILE, &m, fd), 0);
	close(fd);
}

#endif
