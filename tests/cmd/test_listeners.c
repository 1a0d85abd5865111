#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/util.h"
#include "cmd/listeners.h"

static struct msg_listen on_loopback(uint8_t proto, uint16_t port)
{
	struct msg_listen m = { .proto = proto, .port = port };

	assert_int_equal(ip_parse("127.0.0.1", &m.addr), 0);
	return m;
}

static bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

static void count(void *arg, const struct msg_listen *what, int fd)
{
	unsigned *n = arg;

	(void)what;
	assert_true(is_open(fd));
	(*n)++;
}

static unsigned held(const struct listeners *l)
{
	unsigned n = 0;

	listeners_each(l, count, &n);
	return n;
}

/* What listeners_want() has told last. */
struct told {
	unsigned n;
	int fds[LISTEN_SHARERS_MAX];
};

static void on_new(void *arg, const struct msg_listen *what, int fd)
{
	struct told *t = arg;

	assert_true(is_open(fd));
	assert_int_equal(what->sharers, 0);
	t->fds[what->place] = fd;
	t->n++;
}

static int want(struct listeners *l, const struct msg_listen *m, struct told *t, struct err *e)
{
	t->n = 0;
	return listeners_want(l, m, on_new, t, e);
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in sin = { 0 };
	socklen_t n = sizeof(sin);

	assert_int_equal(getsockname(fd, (void *)&sin, &n), 0);
	return ntohs(sin.sin_port);
}

/* One that was free just now. */
static uint16_t free_port(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	cleanup_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (void *)&sin, sizeof(sin)), 0);
	return port_of(fd);
}

static void on_closed(void *arg, const struct msg_listen *what, int fd)
{
	unsigned *n = arg;

	(void)what;
	assert_int_equal(fd, -1);
	++*n;
}

/* How many of them were closed, at least in part. */
static unsigned swept(struct listeners *l)
{
	unsigned n = 0;

	listeners_sweep(l, on_closed, &n);
	return n;
}

static void test_wanted_again_is_the_same_socket(void **state)
{
	struct listeners *l = listeners_new();
	struct msg_listen udp = on_loopback(LISTEN_UDP, 0), tcp = on_loopback(LISTEN_TCP, 0);
	int udp_fd, type = 0;
	socklen_t n = sizeof(type);
	struct told t = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(want(l, &udp, &t, &e), 0);
	assert_int_equal(t.n, 1);
	udp_fd = t.fds[0];
	assert_int_equal(getsockopt(udp_fd, SOL_SOCKET, SO_TYPE, &type, &n), 0);
	assert_int_equal(type, SOCK_DGRAM);
	assert_int_equal(getsockopt(udp_fd, SOL_SOCKET, SO_REUSEPORT, &type, &n), 0);
	assert_int_equal(type, 0); /* alone, it shares with nobody */
	assert_int_equal(want(l, &udp, &t, &e), 0);
	assert_int_equal(t.n, 0);
	assert_int_equal(want(l, &tcp, &t, &e), 0);
	assert_int_equal(t.n, 1);
	assert_int_equal(getsockopt(t.fds[0], SOL_SOCKET, SO_ACCEPTCONN, &type, &n), 0);
	assert_int_equal(type, 1);
	assert_int_equal(held(l), 2);
	listeners_free(l);
	assert_false(is_open(udp_fd) || is_open(t.fds[0]));
}

static void test_what_the_next_list_lacks_is_closed(void **state)
{
	struct listeners *l = listeners_new();
	struct msg_listen udp = on_loopback(LISTEN_UDP, 0), tcp = on_loopback(LISTEN_TCP, 0);
	struct told t, t_tcp;
	struct err e;

	(void)state;
	assert_int_equal(want(l, &udp, &t, &e), 0);
	assert_int_equal(want(l, &tcp, &t_tcp, &e), 0);
	assert_int_equal(swept(l), 0);
	assert_int_equal(listeners_want(l, &tcp, on_new, &t_tcp, &e), 0);
	assert_int_equal(swept(l), 1);
	assert_false(is_open(t.fds[0]));
	assert_true(is_open(t_tcp.fds[0]));
	assert_int_equal(held(l), 1);
	listeners_free(l);
}

static void test_a_taken_port_says_so(void **state)
{
	struct listeners *l = listeners_new();
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	cleanup_close int other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct msg_listen udp, unix_ = on_loopback(LISTEN_UNIX, 0);
	struct told t;
	struct err e;

	(void)state;
	assert_int_equal(bind(other, (void *)&sin, sizeof(sin)), 0);
	udp = on_loopback(LISTEN_UDP, port_of(other));
	for (udp.sharers = 1; udp.sharers <= 4; udp.sharers++) {
		assert_int_equal(want(l, &udp, &t, &e), -EADDRINUSE);
		assert_non_null(strstr(e.text, "another program holds it"));
		assert_int_equal(t.n, 0);
	}
	assert_int_equal(want(l, &unix_, &t, &e), -EINVAL);
	assert_int_equal(held(l), 0);
	listeners_free(l);
}

/* Also when all of them would share their ports with others. */
static void test_two_of_us_do_not_share_a_port(void **state)
{
	struct listeners *a = listeners_new(), *b = listeners_new();
	struct msg_listen udp = on_loopback(LISTEN_UDP, free_port());
	struct told t;
	struct err e;

	(void)state;
	udp.sharers = 3;
	assert_int_equal(want(a, &udp, &t, &e), 0);
	assert_int_equal(t.n, 3);
	assert_int_equal(want(b, &udp, &t, &e), -EADDRINUSE);
	assert_non_null(strstr(e.text, "another program holds it"));
	assert_int_equal(held(a), 3);
	assert_int_equal(held(b), 0);
	listeners_free(a);
	assert_int_equal(want(b, &udp, &t, &e), 0);
	listeners_free(b);
}

/* How many of n sockets get something when many clients send. */
static unsigned reached(const int *fds, unsigned n, uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port) };
	unsigned got = 0, all = 0;

	for (unsigned i = 0; i < 64; i++) {
		cleanup_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		assert_int_equal(sendto(fd, "x", 1, 0, (void *)&to, sizeof(to)), 1);
	}
	for (unsigned i = 0; i < n; i++) {
		unsigned of_this = 0;
		char b;

		while (recv(fds[i], &b, 1, MSG_DONTWAIT) == 1)
			of_this++;
		got += of_this > 0;
		all += of_this;
	}
	assert_int_equal(all, 64);
	return got;
}

/* The number follows the configuration; what stays is the same socket. */
static void test_sharers_come_and_go(void **state)
{
	struct listeners *l = listeners_new();
	struct msg_listen udp = on_loopback(LISTEN_UDP, free_port());
	int fds[4];
	struct told t;
	struct err e;

	(void)state;
	assert_int_equal(want(l, &udp, &t, &e), 0);
	fds[0] = t.fds[0];
	assert_int_equal(swept(l), 0);
	assert_int_equal(reached(fds, 1, udp.port), 1);
	udp.sharers = 4;
	assert_int_equal(want(l, &udp, &t, &e), 0); /* three more beside the first, which was alone */
	assert_int_equal(t.n, 3);
	memcpy(fds + 1, t.fds + 1, 3 * sizeof(*fds));
	assert_int_equal(swept(l), 0);
	assert_int_equal(held(l), 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(port_of(fds[i]), udp.port);
	assert_true(reached(fds, 4, udp.port) >= 2);
	udp.sharers = 2;
	assert_int_equal(want(l, &udp, &t, &e), 0);
	assert_int_equal(t.n, 0);
	assert_int_equal(swept(l), 1);
	assert_int_equal(held(l), 2);
	assert_true(is_open(fds[1]));
	assert_false(is_open(fds[2]) || is_open(fds[3]));
	assert_true(reached(fds, 2, udp.port) == 2);
	udp.sharers = LISTEN_SHARERS_MAX + 1;
	assert_int_equal(want(l, &udp, &t, &e), -EINVAL);
	listeners_free(l);
}

/* Those that are there serve on, also when the list ends. */
static void test_no_room_for_more_sharers(void **state)
{
	struct listeners *l = listeners_new();
	struct msg_listen udp = on_loopback(LISTEN_UDP, free_port());
	struct rlimit was, few;
	struct told t;
	struct err e;

	(void)state;
	udp.sharers = 2;
	assert_int_equal(want(l, &udp, &t, &e), 0);
	assert_int_equal(swept(l), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	few = (struct rlimit){ (rlim_t)MAX(t.fds[0], t.fds[1]) + 2, was.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	udp.sharers = 8;
	assert_int_equal(want(l, &udp, &t, &e), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_int_equal(t.n, 0);
	assert_int_equal(held(l), 2);
	assert_int_equal(swept(l), 0);
	assert_int_equal(held(l), 2);
	assert_int_equal(swept(l), 1); /* the next list lacks it */
	assert_int_equal(held(l), 0);
	listeners_free(l);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wanted_again_is_the_same_socket),
		cmocka_unit_test(test_what_the_next_list_lacks_is_closed),
		cmocka_unit_test(test_a_taken_port_says_so),
		cmocka_unit_test(test_two_of_us_do_not_share_a_port),
		cmocka_unit_test(test_sharers_come_and_go),
		cmocka_unit_test(test_no_room_for_more_sharers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
