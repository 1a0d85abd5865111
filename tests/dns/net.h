/* Loopback sockets for the tests of dns/'s moving parts. */
#ifndef TESTS_DNS_NET_H
#define TESTS_DNS_NET_H

#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "tests/dns/util.h"

/* A socket bound to this address, and any port when *port is 0.  -1 when the host has no such
 * family. */
static UNUSED int bound_socket(int type, const char *addr, uint16_t *port)
{
	struct ip_addr a = ip(addr);
	struct sockaddr_storage ss;
	socklen_t n = ip_to_sockaddr(&a, *port, &ss);
	int fd = socket(ss.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

	if (fd < 0)
		return -1;
	if (ss.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (ip_is_zero(&a) || strcmp(addr, "0.0.0.0") == 0) /* a wildcard, but for this host alone */
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2), 0);
	if (bind(fd, (struct sockaddr *)&ss, n) < 0) {
		close(fd);
		return -1;
	}
	n = sizeof(ss);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &n), 0);
	ip_from_sockaddr((struct sockaddr *)&ss, &a, port);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 64), 0);
	return fd;
}

/* Two sockets on one port, this one, or if *port is 0 one that nobody has, neither for UDP nor for TCP.
 * False when the host has no such family. */
static UNUSED bool bound_pair(const char *addr, uint16_t *port, int *udp, int *tcp)
{
	uint16_t wanted = *port;

	for (unsigned i = 0; i < 100; i++) {
		*port = wanted;
		*udp = bound_socket(SOCK_DGRAM, addr, port);
		if (*udp < 0)
			return false;
		*tcp = bound_socket(SOCK_STREAM, addr, port);
		if (*tcp >= 0)
			return true;
		close(*udp); /* somebody else has it for TCP */
	}
	fail_msg("no port of %s is free", addr);
	return false;
}

/* Link-local ones are lo's. */
static UNUSED void set_scope(struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	if (ss->ss_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
		in6->sin6_scope_id = if_nametoindex("lo");
}

/* A client's socket from `from` to `to`. */
static UNUSED int client_socket(int type, const char *from, const char *to, uint16_t port)
{
	struct ip_addr a = ip(from), b = ip(to);
	struct sockaddr_storage ss;
	socklen_t n = ip_to_sockaddr(&a, 0, &ss);
	int fd = socket(ss.ss_family, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	set_scope(&ss);
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, n), 0);
	n = ip_to_sockaddr(&b, port, &ss);
	set_scope(&ss);
	assert_int_equal(connect(fd, (struct sockaddr *)&ss, n), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

/* Sends as one TCP message. */
static UNUSED void send_tcp(int fd, const uint8_t *packet, size_t n)
{
	uint8_t b[2 + 512];

	wire_put16(b, (unsigned)n);
	memcpy(b + 2, packet, n);
	assert_int_equal(send(fd, b, n + 2, MSG_NOSIGNAL), n + 2);
}

#endif
