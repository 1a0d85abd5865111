#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
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

static void test_wanted_again_is_the_same_socket(void **state)
{
	struct listeners *l = listeners_new();
	struct msg_listen udp = on_loopback(LISTEN_UDP, 0), tcp = on_loopback(LISTEN_TCP, 0);
	int fd = -1, tcp_fd = -1, same = -1, type = 0;
	socklen_t n = sizeof(type);
	struct err e;

	(void)state;
	assert_int_equal(listeners_want(l, &udp, &fd, &e), 1);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n), 0);
	assert_int_equal(type, SOCK_DGRAM);
	assert_int_equal(listeners_want(l, &udp, &same, &e), 0);
	assert_int_equal(same, -1);
	assert_int_equal(listeners_want(l, &tcp, &tcp_fd, &e), 1);
	assert_int_equal(getsockopt(tcp_fd, SOL_SOCKET, SO_ACCEPTCONN, &type, &n), 0);
	assert_int_equal(type, 1);
	assert_int_equal(held(l), 2);
	listeners_free(l);
	assert_false(is_open(fd) || is_open(tcp_fd));
}

static void test_what_the_next_list_lacks_is_closed(void **state)
{
	struct listeners *l = listeners_new();
	struct msg_listen udp = on_loopback(LISTEN_UDP, 0), tcp = on_loopback(LISTEN_TCP, 0);
	int fd = -1, tcp_fd = -1;
	struct err e;

	(void)state;
	assert_int_equal(listeners_want(l, &udp, &fd, &e), 1);
	assert_int_equal(listeners_want(l, &tcp, &tcp_fd, &e), 1);
	assert_false(listeners_sweep(l));
	assert_int_equal(listeners_want(l, &tcp, &tcp_fd, &e), 0);
	assert_true(listeners_sweep(l));
	assert_false(is_open(fd));
	assert_true(is_open(tcp_fd));
	assert_int_equal(held(l), 1);
	listeners_free(l);
}

static void test_a_taken_port_says_so(void **state)
{
	struct listeners *l = listeners_new();
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sin);
	cleanup_close int other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct msg_listen udp, unix_ = on_loopback(LISTEN_UNIX, 0);
	int fd = -1;
	struct err e;

	(void)state;
	assert_int_equal(bind(other, (void *)&sin, n), 0);
	assert_int_equal(getsockname(other, (void *)&sin, &n), 0);
	udp = on_loopback(LISTEN_UDP, ntohs(sin.sin_port));
	assert_int_equal(listeners_want(l, &udp, &fd, &e), -EADDRINUSE);
	assert_non_null(strstr(e.text, "another program holds it"));
	assert_int_equal(listeners_want(l, &unix_, &fd, &e), -EINVAL);
	assert_int_equal(fd, -1);
	assert_int_equal(held(l), 0);
	listeners_free(l);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wanted_again_is_the_same_socket),
		cmocka_unit_test(test_what_the_next_list_lacks_is_closed),
		cmocka_unit_test(test_a_taken_port_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
