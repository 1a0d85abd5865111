/* Any stream of bytes from a TCP client, in pieces of any size: what comes back are whole messages,
 * each the answer to a query that was asked, and the server goes on.
 *
 * The first byte: 1, the client ends its half when all is sent; 2, answers are held back until then;
 * the rest of it, and each byte before a piece: the size of the pieces.
 */
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "dns/tcp.h"
#include "tests/fuzz/dns_check.h"

enum { HELD_MAX = 256, OUT_MAX = 1024 * 1024 };

static struct event_base *base;
static struct tcp *tcp;
static struct tables *tables;
static struct sockaddr_in server = { .sin_family = AF_INET };
static bool hold;

struct held {
	struct client to;
	size_t n;
	uint8_t b[WIRE_UDP_PLAIN];
};
static struct held held[HELD_MAX];
static unsigned n_held, n_asked;
static uint8_t ids[65536 / 8]; /* that were asked with */

static size_t on_query(void *arg, const struct client *from, const uint8_t *packet, size_t n, uint8_t *reply,
		       bool *waits)
{
	struct asker asker = { .addr = from->addr, .tcp = true };
	struct answer a;

	(void)arg;
	answer_query(tables, &asker, packet, n, reply, &a);
	if (a.verdict != VERDICT_REPLY)
		return 0;
	n_asked++;
	ids[a.q.id / 8] |= (uint8_t)(1 << a.q.id % 8);
	if (!hold || n_held == HELD_MAX || a.n > sizeof(held[0].b))
		return a.n;
	held[n_held].to = *from;
	held[n_held].n = a.n;
	memcpy(held[n_held++].b, reply, a.n);
	*waits = true;
	return 0;
}

static void on_gone(void *arg, uint64_t conn)
{
	(void)arg;
	assert(conn != 0);
	n_held = 0;
}

static void init(void)
{
	socklen_t n = sizeof(server);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct ip_addr addr;
	struct err e;
	uint16_t port;

	server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert(bind(fd, (struct sockaddr *)&server, n) == 0 && listen(fd, 16) == 0);
	assert(getsockname(fd, (struct sockaddr *)&server, &n) == 0);
	ip_from_sockaddr((struct sockaddr *)&server, &addr, &port);
	base = event_base_new();
	tcp = tcp_new(base, 1000, on_query, on_gone, NULL);
	tcp_set_max(tcp, 64);
	assert(tcp_add(tcp, fd, &addr, port) == 0);
	tcp_start(tcp);
	tables = tables_new();
	add_zone(tables, "e");
	assert(tables_place(tables) == 0);
	assert(add_text(tables, "e", static_text, sizeof(static_text) - 1, &e) == 0);
	assert(tables_finish(tables) == 0);
}

/* The fuzzer's own timer may interrupt it. */
static int connected(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int r = connect(fd, (struct sockaddr *)&server, sizeof(server));

	assert(r == 0 || errno == EINTR);
	while (r < 0 && poll(&p, 1, -1) < 0)
		assert(errno == EINTR);
	return fd;
}

static uint8_t out[OUT_MAX];

/* All whole messages were asked for. */
static unsigned check_out(size_t n, bool whole)
{
	unsigned messages = 0;
	size_t at = 0;

	while (at + 2 <= n && at + 2 + wire_get16(out + at) <= n) {
		const uint8_t *m = out + at + 2;
		size_t m_n = wire_get16(out + at);
		unsigned id;

		assert(m_n >= WIRE_HEADER);
		id = wire_get16(m);
		assert(ids[id / 8] & 1 << id % 8);
		check_records(m, m_n);
		at += 2 + m_n;
		messages++;
	}
	assert(!whole || at == n);
	return messages;
}

static size_t turn(int fd, size_t out_n)
{
	ssize_t n;

	event_base_loop(base, EVLOOP_NONBLOCK);
	n = recv(fd, out + out_n, sizeof(out) - out_n, MSG_DONTWAIT);
	return out_n + (n > 0 ? (size_t)n : 0);
}

static size_t answer_held(int fd, size_t out_n)
{
	unsigned n = n_held;

	n_held = 0;
	for (unsigned i = 0; i < n; i++)
		tcp_reply(tcp, &held[i].to, held[i].b, held[i].n);
	return turn(fd, out_n);
}

/* False: the server has hung up. */
static bool send_all(int fd, const uint8_t *data, size_t n, size_t *out_n)
{
	while (n > 1) {
		size_t piece = MIN(n - 1, data[0] & 0x80 ? (size_t)(data[0] & 0x7f) * 32 + 1 : data[0] + 1u);

		if (send(fd, data + 1, piece, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)piece)
			return false;
		data += 1 + piece;
		n -= 1 + piece;
		*out_n = turn(fd, *out_n);
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct linger reset = { 1, 0 };
	size_t out_n = 0;
	int fd;

	if (n == 0)
		return 0;
	if (!base)
		init();
	hold = data[0] & 2;
	n_held = n_asked = 0;
	memset(ids, 0, sizeof(ids));
	fd = connected();
	turn(fd, 0);
	if (send_all(fd, data + 1, n - 1, &out_n) && data[0] & 1)
		shutdown(fd, SHUT_WR);
	out_n = turn(fd, out_n);
	for (unsigned i = 0; i < 4; i++)
		out_n = hold ? answer_held(fd, out_n) : turn(fd, out_n);
	assert(check_out(out_n, false) <= n_asked);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)); /* no port stays in TIME_WAIT */
	close(fd);
	for (unsigned i = 0; i < 4 && tcp_count(tcp) > 0; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	assert(tcp_count(tcp) == 0);
	return 0;
}
