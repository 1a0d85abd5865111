#include "tests/bench/page.h"

#include <poll.h>
#include <sys/socket.h>

enum { HTTP_PORT = 80 };

static uint64_t deadline_ms;

void limit_set(unsigned ms) { deadline_ms = clock_now_ms() + ms; }

int limit_left_ms(void)
{
	uint64_t now = clock_now_ms();

	return now < deadline_ms ? (int)(deadline_ms - now) : 0;
}

bool limit_wait(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, limit_left_ms()) > 0;
}

double ms_since(uint64_t from_ns) { return (double)(clock_now_ns() - from_ns) / 1e6; }

double failed(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	return -1;
}

int page_connect(const struct ip_addr *ip, const struct ip_addr *from)
{
	struct sockaddr_storage to, own;
	socklen_t n = ip_to_sockaddr(ip, HTTP_PORT, &to);
	int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || (from && bind(fd, (void *)&own, ip_to_sockaddr(from, 0, &own)) < 0) ||
	    (connect(fd, (void *)&to, n) < 0 && errno != EINPROGRESS))
		fd_close(&fd);
	return fd;
}

bool page_ask(int fd)
{
	static const char request[] = "GET / HTTP/1.0\r\n\r\n";

	return send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) == (ssize_t)sizeof(request) - 1;
}

/* While a VM boots, nobody answers for its address, and then its port is not open yet. */
static bool is_not_yet(int error) { return error == ECONNREFUSED || error == EHOSTUNREACH; }

/* A connected socket, or -1 with errno. */
static int connected(const struct ip_addr *ip, bool patient)
{
	int error;

	do {
		socklen_t n = sizeof(error);
		int fd = page_connect(ip, NULL);

		error = fd < 0 ? errno : ETIMEDOUT;
		if (fd >= 0 && limit_wait(fd, POLLOUT))
			getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n);
		if (!error)
			return fd;
		fd_close(&fd);
	} while (patient && is_not_yet(error) && limit_left_ms() > 0);
	errno = error;
	return -1;
}

static void read_rest(int fd)
{
	char bytes[4096];

	while (limit_wait(fd, POLLIN) && read(fd, bytes, sizeof(bytes)) > 0)
		;
}

bool page_get(const struct ip_addr *ip, uint64_t since_ns, bool patient, struct page_times *out)
{
	struct page_times t;
	cleanup_close int fd = connected(ip, patient);
	char byte;

	t.connected = ms_since(since_ns);
	if (fd < 0 || !page_ask(fd)) {
		failed("connect");
		return false;
	}
	if (!limit_wait(fd, POLLIN) || read(fd, &byte, 1) != 1) {
		failed("no page");
		return false;
	}
	t.first_byte = ms_since(since_ns);
	read_rest(fd);
	*out = t;
	return true;
}
