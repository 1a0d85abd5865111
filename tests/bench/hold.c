/* The clients of the hold benchmark.
 *
 *     hold wake NETNS ADDRESS [TRACE [IFINDEX]]
 *
 * One connection, to the first byte of the page, with captures at the client (here) and at the VM's
 * port (IFINDEX, or a port in NETNS that was not there before).  Prints a line of WAKE_FIGURES; "-1" is
 * what did not happen, and the reason is on stderr.  Appends what was seen to the file TRACE.
 *
 *     hold clients ADDRESS FROM N SPREAD_MS
 *
 * N connections from FROM and the addresses after it, begun evenly over SPREAD_MS, each with
 * CONNECT_MS to be connected and PAGE_MS more for the first byte: a line "connected_ms
 * first_byte_ms" for each, "-1" as above.
 */
#include <net/if_arp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "tests/bench/capture.h"
#include "tests/bench/page.h"

enum { LIMIT_MS = 60000, CONNECT_MS = 15000, PAGE_MS = 15000, CLIENTS_MAX = 1000 };

/* ---- one wake ---- */

#define WAKE_FIGURES "first_byte connected after_arp first_syn vm_first vm_arp syn_ack (ms) syns syns_too_late"

/* What the captures tell; the times are in ms since connect(), -1: was not seen. */
struct story {
	unsigned port_ifindex; /* the VM's; 0: one that was not there before */
	double first_syn, syn_ack; /* at the client */
	double vm_first; /* the first frame in which the VM says where its address is, at its port */
	double vm_arp; /* the first such that answers a question */
	double vm_open; /* the first SYN-ACK that it sends to anybody else: its port is open */
	uint16_t port; /* the client's */
	unsigned syns; /* of the client, until the SYN-ACK */
	double syn_at[16];
};

static void trace(FILE *f, const char *side, const struct seen *s)
{
	char src[ADDR_TEXT_MAX], dst[ADDR_TEXT_MAX];

	if (!f)
		return;
	ip_format(&s->src, src);
	ip_format(&s->dst, dst);
	fprintf(f, "%9.3f %s if%u%s %s ", s->ms, side, s->ifindex, s->came_later ? "(new)" : "", s->outgoing ? "out" : "in");
	if (s->is_arp)
		fprintf(f, "ARP %s %s -> %s\n", s->arp_op == ARPOP_REQUEST ? "who-has" : "is-at", src, dst);
	else
		fprintf(f, "%s:%u -> %s:%u flags %02x, %zu bytes\n", src, s->src_port, dst, s->dst_port, s->tcp_flags, s->payload);
}

static void at_client(struct story *y, const struct seen *s, const struct ip_addr *vm)
{
	if (s->is_arp || y->syn_ack >= 0 || !(s->tcp_flags & TH_SYN))
		return;
	if (!s->outgoing && ip_equal(&s->src, vm) && (s->tcp_flags & TH_ACK))
		y->syn_ack = s->ms;
	if (!s->outgoing || !ip_equal(&s->dst, vm))
		return;
	if (y->syns == 0)
		y->first_syn = s->ms;
	y->port = s->src_port;
	y->syn_at[MIN(y->syns, ARRAY_SIZE(y->syn_at) - 1)] = s->ms;
	y->syns++;
}

static void note_first(double *at, bool it_is, const struct seen *s)
{
	if (*at < 0 && it_is)
		*at = s->ms;
}

static void at_vm(struct story *y, const struct seen *s, const struct ip_addr *vm)
{
	bool its_port = y->port_ifindex ? s->ifindex == y->port_ifindex : s->came_later;

	if (!its_port || s->outgoing || !ip_equal(&s->src, vm))
		return;
	note_first(&y->vm_first, s->is_arp, s);
	note_first(&y->vm_arp, s->is_arp && s->arp_op == ARPOP_REPLY, s);
	note_first(&y->vm_open, s->tcp_flags == (TH_SYN | TH_ACK) && s->dst_port != y->port, s);
}

static void read_captures(struct story *y, struct capture *client, struct capture *host, uint64_t t0,
			  const struct ip_addr *vm, FILE *f)
{
	struct seen s;

	while (capture_next(client, t0, &s)) {
		trace(f, "client", &s);
		at_client(y, &s, vm);
	}
	while (capture_next(host, t0, &s)) {
		trace(f, "host  ", &s);
		at_vm(y, &s, vm);
	}
}

/* SYNs that the client had to send again although the VM's port was open (when nobody asked the port
 * before, although the VM was there): it waited for its own timer. */
static unsigned syns_too_late(const struct story *y)
{
	double ready = y->vm_open >= 0 ? y->vm_open : y->vm_first;
	unsigned n = 0;

	for (unsigned i = 1; i < MIN(y->syns, ARRAY_SIZE(y->syn_at)); i++)
		n += ready >= 0 && y->syn_at[i] > ready;
	return n;
}

static int wake(const char *netns, const char *address, const char *trace_path, unsigned port_ifindex)
{
	struct story y = { port_ifindex, .first_syn = -1, .syn_ack = -1, .vm_first = -1, .vm_arp = -1, .vm_open = -1 };
	FILE *f = trace_path ? fopen(trace_path, "ae") : NULL;
	struct page_times t = { -1, -1 };
	struct capture client, host;
	struct ip_addr vm;
	uint64_t t0, real0;
	bool ok;

	if (ip_parse(address, &vm) < 0 || !capture_begin(&client, NULL) || !capture_begin(&host, netns))
		return 2;
	usleep(CAPTURE_WARM_MS * 1000);
	real0 = real_now_ns();
	t0 = clock_now_ns();
	ok = page_get(&vm, t0, false, &t);
	read_captures(&y, &client, &host, real0, &vm, f);
	printf("%.3f %.3f %.3f %.3f %.3f %.3f %.3f %u %u\n", t.first_byte, t.connected,
	       ok && y.vm_arp >= 0 ? t.first_byte - y.vm_arp : -1, y.first_syn, y.vm_first, y.vm_arp, y.syn_ack, y.syns,
	       syns_too_late(&y));
	if (f)
		fprintf(f, "%9.3f connected, %.3f first byte\n\n", t.connected, t.first_byte);
	if (f)
		fclose(f);
	capture_end(&client);
	capture_end(&host);
	return !ok;
}

/* ---- many clients ---- */

enum phase { WAITING, CONNECTING, ASKED, OVER };

struct client {
	enum phase phase;
	struct ip_addr from;
	uint64_t begin_ms, deadline_ms;
	uint64_t began_ns;
	double connected, first_byte;
};

static struct client clients[CLIENTS_MAX];
static struct pollfd polled[CLIENTS_MAX]; /* its socket, or -1 */

static void end_client(unsigned i)
{
	fd_close(&polled[i].fd);
	clients[i].phase = OVER;
}

static void begin_client(unsigned i, const struct ip_addr *vm, uint64_t now_ms)
{
	struct client *c = &clients[i];

	c->began_ns = clock_now_ns();
	c->deadline_ms = now_ms + CONNECT_MS;
	c->phase = CONNECTING;
	polled[i] = (struct pollfd){ .fd = page_connect(vm, &c->from), .events = POLLOUT };
	if (polled[i].fd < 0) {
		failed("connect");
		end_client(i);
	}
}

static void on_connected(unsigned i)
{
	struct client *c = &clients[i];
	int error = 0;
	socklen_t n = sizeof(error);

	getsockopt(polled[i].fd, SOL_SOCKET, SO_ERROR, &error, &n);
	errno = error;
	if (error || !page_ask(polled[i].fd)) {
		failed("connect");
		end_client(i);
		return;
	}
	c->connected = ms_since(c->began_ns);
	c->deadline_ms = clock_now_ms() + PAGE_MS;
	c->phase = ASKED;
	polled[i].events = POLLIN;
}

static void on_page(unsigned i)
{
	char bytes[4096];

	if (read(polled[i].fd, bytes, sizeof(bytes)) > 0)
		clients[i].first_byte = ms_since(clients[i].began_ns);
	else
		failed("no page");
	end_client(i);
}

static void step(unsigned i, const struct ip_addr *vm, uint64_t now_ms)
{
	struct client *c = &clients[i];

	if (c->phase == WAITING && now_ms >= c->begin_ms) {
		begin_client(i, vm, now_ms);
	} else if (c->phase == CONNECTING && polled[i].revents) {
		on_connected(i);
	} else if (c->phase == ASKED && polled[i].revents) {
		on_page(i);
	} else if ((c->phase == CONNECTING || c->phase == ASKED) && now_ms >= c->deadline_ms) {
		errno = ETIMEDOUT;
		failed(c->phase == ASKED ? "no page" : "connect");
		end_client(i);
	}
}

static bool all_over(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (clients[i].phase != OVER)
			return false;
	}
	return true;
}

static int many(const char *address, const char *first, unsigned n, unsigned spread_ms)
{
	uint64_t t0 = clock_now_ms();
	struct ip_addr vm, from;

	if (ip_parse(address, &vm) < 0 || ip_parse(first, &from) < 0 || n == 0 || n > CLIENTS_MAX)
		return 2;
	for (unsigned i = 0; i < n; i++, from.b[15]++) {
		clients[i] = (struct client){ .from = from, .begin_ms = t0 + (uint64_t)spread_ms * i / n, .connected = -1,
					      .first_byte = -1 };
		polled[i].fd = -1;
	}
	while (!all_over(n)) {
		poll(polled, n, 1);
		for (unsigned i = 0; i < n; i++)
			step(i, &vm, clock_now_ms());
	}
	for (unsigned i = 0; i < n; i++)
		printf("%.3f %.3f\n", clients[i].connected, clients[i].first_byte);
	return 0;
}

int main(int argc, char **argv)
{
	limit_set(LIMIT_MS);
	if (argc >= 4 && argc <= 6 && strcmp(argv[1], "wake") == 0)
		return wake(argv[2], argv[3], argc > 4 ? argv[4] : NULL, argc > 5 ? (unsigned)atoi(argv[5]) : 0);
	if (argc == 6 && strcmp(argv[1], "clients") == 0)
		return many(argv[2], argv[3], (unsigned)atoi(argv[4]), (unsigned)atoi(argv[5]));
	fprintf(stderr, "usage: hold wake NETNS ADDRESS [TRACE [IFINDEX]] | hold clients ADDRESS FROM N SPREAD_MS\n"
			"wake prints: " WAKE_FIGURES "\n");
	return 2;
}
