/* What the system tests send and see on the wire, beyond what curl, dig and ping can do.
 *
 *     packets capture IF                         a line for each frame of IF, until it is ended
 *     packets wol IF udp PORT MAC                a magic packet in an UDP broadcast
 *     packets wol IF ether MAC                   the same right in a frame (0x0842)
 *     packets arp IF ask|tell MAC SENDER TARGET  one broadcast ARP frame of that station
 *     packets scan IF FROM N TO N PORT COUNT RATE
 *         COUNT forged SYNs, RATE each second, from N addresses (FROM and those after it) to N others
 *     packets queries IF OWN DNS FROM N ZONE M COUNT RATE
 *         COUNT forged queries to DNS for the A of s1.ZONE .. sM.ZONE, RATE each second, from N addresses, each of
 *         a network (/24) of its own: FROM, and every 256th after it.  OWN is whom DNS's MAC is told.
 *     packets clients SECONDS N SOURCES IP:PORT...
 *         N HTTP clients at once, from the addresses SOURCES (comma-separated, in turn) to the
 *         servers named, in turn.  A line each: server, ms to connect, ms to the first byte,
 *         "boot N" of its page, or what went wrong.  Fails unless all had their page.
 *
 * A line of `capture` begins with CLOCK_MONOTONIC's seconds, "in" or "out", the two MACs, and goes on
 *
 *     arp ask|tell SENDER SENDER-MAC TARGET
 *     tcp FROM:PORT TO:PORT FLAGS SEQ ACK BYTES        FLAGS of "SAFR", "-" for none
 *     udp FROM:PORT TO:PORT BYTES
 *     ip PROTOCOL FROM TO TYPE                         TYPE: of ICMP
 *     type ETHERTYPE
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "base/addr.h"
#include "base/clock.h"

enum { ARP_BYTES = 28, FRAME_BYTES = 2048, CLIENTS_MAX = 1024, PAGE_BYTES = 1024 };

static int die(const char *what)
{
	fprintf(stderr, "packets: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int usage(void)
{
	fprintf(stderr, "usage: see the top of tests/system/packets.c\n");
	return 2;
}

/* ---- the wire ---- */

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static uint32_t get32(const uint8_t *p) { return (uint32_t)get16(p) << 16 | get16(p + 2); }

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

/* RFC 1071, over an even number of bytes. */
static uint32_t sum16(uint32_t sum, const uint8_t *p, size_t n)
{
	for (; n > 1; n -= 2, p += 2)
		sum += get16(p);
	return sum;
}

static unsigned fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

/* A packet socket of this interface, which hears `type` (0: nothing); its own address into `mac`. */
static int card_open(const char *ifname, unsigned type, uint8_t *mac)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons((uint16_t)type) };
	struct ifreq r = { 0 };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	at.sll_ifindex = (int)if_nametoindex(ifname);
	if (fd < 0 || !at.sll_ifindex || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		die(ifname);
	str_copy(r.ifr_name, ifname);
	if (ioctl(fd, SIOCGIFHWADDR, &r) < 0)
		die(ifname);
	memcpy(mac, r.ifr_hwaddr.sa_data, ETH_ALEN);
	return fd;
}

static void card_send(int fd, const uint8_t *frame, size_t n)
{
	if (send(fd, frame, n, 0) != (ssize_t)n)
		die("send");
}

static void ethernet(uint8_t *frame, const uint8_t *to, const uint8_t *from, unsigned type)
{
	memset(frame, 0xff, ETH_ALEN);
	if (to)
		memcpy(frame, to, ETH_ALEN);
	memcpy(frame + ETH_ALEN, from, ETH_ALEN);
	put16(frame + 2 * ETH_ALEN, type);
}

static uint32_t ip4(const char *text)
{
	struct ip_addr a;

	if (ip_parse(text, &a) < 0 || !ip_is_v4(&a)) {
		errno = EINVAL;
		die(text);
	}
	return get32(a.b + 12);
}

/* ---- capture ---- */

static const char *ip_text(const uint8_t *p)
{
	static char text[4][INET_ADDRSTRLEN];
	static unsigned turn;

	return inet_ntop(AF_INET, p, text[turn++ % 4], sizeof(text[0]));
}

static const char *mac_text(const uint8_t *p)
{
	static char text[4][MAC_TEXT_MAX];
	static unsigned turn;
	struct mac_addr m;

	memcpy(m.b, p, sizeof(m.b));
	return mac_format(&m, text[turn++ % 4]);
}

static const char *flags_text(unsigned flags)
{
	static const struct {
		unsigned bit;
		char name;
	} names[] = { { TH_SYN, 'S' }, { TH_ACK, 'A' }, { TH_FIN, 'F' }, { TH_RST, 'R' } };
	static char text[8];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (flags & names[i].bit)
			text[n++] = names[i].name;
	if (n == 0)
		text[n++] = '-';
	text[n] = '\0';
	return text;
}

static void show_arp(const uint8_t *arp)
{
	printf(" arp %s %s %s %s\n", get16(arp + 6) == ARPOP_REQUEST ? "ask" : "tell", ip_text(arp + 14),
	       mac_text(arp + 8), ip_text(arp + 24));
}

static void show_ip(const uint8_t *ip, size_t n)
{
	size_t header = (ip[0] & 15u) * 4, total = MIN(n, (size_t)get16(ip + 2));
	const uint8_t *l4 = ip + header;
	size_t left = total > header ? total - header : 0;

	if (ip[9] == IPPROTO_TCP && left >= sizeof(struct tcphdr))
		printf(" tcp %s:%u %s:%u %s %u %u %zu\n", ip_text(ip + 12), get16(l4), ip_text(ip + 16),
		       get16(l4 + 2), flags_text(l4[13]), get32(l4 + 4), get32(l4 + 8), left - (l4[12] >> 4) * 4u);
	else if (ip[9] == IPPROTO_UDP && left >= sizeof(struct udphdr))
		printf(" udp %s:%u %s:%u %zu\n", ip_text(ip + 12), get16(l4), ip_text(ip + 16), get16(l4 + 2), left - 8);
	else
		printf(" ip %u %s %s %u\n", ip[9], ip_text(ip + 12), ip_text(ip + 16), left ? (unsigned)l4[0] : 0u);
}

static void show(const uint8_t *frame, size_t n, bool out)
{
	uint64_t now = clock_now_ns();
	unsigned type = get16(frame + 12);

	printf("%llu.%06llu %s %s %s", (unsigned long long)(now / NS_PER_S),
	       (unsigned long long)(now % NS_PER_S / 1000), out ? "out" : "in", mac_text(frame + 6), mac_text(frame));
	if (type == ETH_P_ARP && n >= ETH_HLEN + ARP_BYTES)
		show_arp(frame + ETH_HLEN);
	else if (type == ETH_P_IP && n >= ETH_HLEN + sizeof(struct iphdr))
		show_ip(frame + ETH_HLEN, n - ETH_HLEN);
	else
		printf(" type %04x\n", type);
}

static void __attribute__((noreturn)) capture(char **argv)
{
	uint8_t mac[ETH_ALEN], frame[FRAME_BYTES] = { 0 };
	int fd = card_open(argv[0], ETH_P_ALL, mac), room = 16 << 20;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("# %s\n", argv[0]); /* from here on nothing is missed */
	for (;;) {
		struct sockaddr_ll from = { 0 };
		socklen_t size = sizeof(from);
		ssize_t n = recvfrom(fd, frame, sizeof(frame), 0, (struct sockaddr *)&from, &size);

		if (n >= ETH_HLEN)
			show(frame, (size_t)n, from.sll_pkttype == PACKET_OUTGOING);
		else if (n < 0 && errno != EINTR && errno != ENETDOWN)
			die(argv[0]);
	}
}

/* ---- single frames ---- */

static int wol(int argc, char **argv)
{
	enum { MAGIC = 6 + 16 * ETH_ALEN };
	bool udp = argc == 4 && strcmp(argv[1], "udp") == 0;
	uint8_t mac[ETH_ALEN], frame[ETH_HLEN + 28 + MAGIC] = { 0 };
	size_t at = udp ? ETH_HLEN + 28 : ETH_HLEN;
	struct mac_addr whom;
	int fd;

	if ((!udp && argc != 3) || mac_parse(argv[argc - 1], &whom) < 0)
		return usage();
	fd = card_open(argv[0], 0, mac);
	ethernet(frame, NULL, mac, udp ? ETH_P_IP : 0x0842);
	if (udp) {
		uint8_t *ip = frame + ETH_HLEN;

		ip[0] = 0x45;
		put16(ip + 2, 28 + MAGIC);
		ip[8] = 64;
		ip[9] = IPPROTO_UDP;
		put32(ip + 12, 0);
		put32(ip + 16, UINT32_MAX);
		put16(ip + 10, fold(sum16(0, ip, 20)));
		put16(ip + 20, 40000);
		put16(ip + 22, (unsigned)atoi(argv[2]));
		put16(ip + 24, 8 + MAGIC);
	}
	memset(frame + at, 0xff, 6);
	for (size_t i = 0; i < 16; i++)
		memcpy(frame + at + 6 + i * ETH_ALEN, whom.b, ETH_ALEN);
	card_send(fd, frame, at + MAGIC);
	return 0;
}

static void arp_fill(uint8_t *frame, unsigned op, const uint8_t *mac, uint32_t sender, uint32_t target)
{
	static const uint8_t fixed[] = { 0, 1, 8, 0, 6, 4 };

	memset(frame, 0, ETH_ZLEN);
	ethernet(frame, NULL, mac, ETH_P_ARP);
	memcpy(frame + ETH_HLEN, fixed, sizeof(fixed));
	put16(frame + ETH_HLEN + 6, op);
	memcpy(frame + ETH_HLEN + 8, mac, ETH_ALEN);
	put32(frame + ETH_HLEN + 14, sender);
	put32(frame + ETH_HLEN + 24, target);
}

static int arp(char **argv)
{
	bool ask = strcmp(argv[1], "ask") == 0;
	uint8_t own[ETH_ALEN], frame[ETH_ZLEN];
	struct mac_addr mac;
	int fd = card_open(argv[0], 0, own);

	if (mac_parse(argv[2], &mac) < 0)
		return usage();
	arp_fill(frame, ask ? ARPOP_REQUEST : ARPOP_REPLY, mac.b, ip4(argv[3]), ip4(argv[4]));
	card_send(fd, frame, sizeof(frame));
	return 0;
}

/* ---- scan ---- */

/* Asks for this address until somebody says its MAC, for a second. */
static void resolve(int fd, const uint8_t *own, uint32_t from, uint32_t whom, uint8_t *mac)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint8_t frame[FRAME_BYTES];
	uint64_t until = clock_now_ms() + 1000, asked = 0;

	while (clock_now_ms() < until) {
		if (clock_now_ms() >= asked + 100) {
			arp_fill(frame, ARPOP_REQUEST, own, from, whom);
			card_send(fd, frame, ETH_ZLEN);
			asked = clock_now_ms();
		}
		if (poll(&p, 1, 20) > 0 && recv(fd, frame, sizeof(frame), 0) >= ETH_HLEN + ARP_BYTES
		    && get16(frame + ETH_HLEN + 6) == ARPOP_REPLY && get32(frame + ETH_HLEN + 14) == whom) {
			memcpy(mac, frame + ETH_HLEN + 8, ETH_ALEN);
			return;
		}
	}
	errno = EHOSTUNREACH;
	die("scan");
}

static size_t syn_fill(uint8_t *frame, uint32_t from, uint32_t to, unsigned from_port, unsigned to_port)
{
	uint8_t *ip = frame + ETH_HLEN, *tcp = ip + 20;

	memset(ip, 0, 40);
	ip[0] = 0x45;
	put16(ip + 2, 40);
	ip[8] = 64;
	ip[9] = IPPROTO_TCP;
	put32(ip + 12, from);
	put32(ip + 16, to);
	put16(ip + 10, fold(sum16(0, ip, 20)));
	put16(tcp, from_port);
	put16(tcp + 2, to_port);
	put32(tcp + 4, from * 2654435761u + from_port);
	tcp[12] = 5 << 4;
	tcp[13] = TH_SYN;
	put16(tcp + 14, 64240);
	put16(tcp + 16, fold(sum16(IPPROTO_TCP + 20 + sum16(0, ip + 12, 8), tcp, 20)));
	return ETH_HLEN + 40;
}

static void sleep_until(uint64_t ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S) };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static int scan(char **argv)
{
	uint32_t from = ip4(argv[1]), n_from = (uint32_t)atoi(argv[2]), to = ip4(argv[3]), n_to = (uint32_t)atoi(argv[4]);
	unsigned port = (unsigned)atoi(argv[5]), count = (unsigned)atoi(argv[6]), rate = (unsigned)atoi(argv[7]);
	uint8_t own[ETH_ALEN], frame[FRAME_BYTES], (*macs)[ETH_ALEN] = calloc(n_to ? n_to : 1, ETH_ALEN);
	int fd = card_open(argv[0], ETH_P_ARP, own);
	uint64_t began;

	if (!macs || !n_from || !n_to || !rate)
		return usage();
	for (uint32_t i = 0; i < n_to; i++)
		resolve(fd, own, from, to + i, macs[i]);
	began = clock_now_ns();
	for (unsigned i = 0; i < count; i++) {
		ethernet(frame, macs[i % n_to], own, ETH_P_IP);
		card_send(fd, frame, syn_fill(frame, from + i % n_from, to + i % n_to, 1024 + i % 60000, port));
		sleep_until(began + (i + 1) * NS_PER_S / rate);
	}
	free(macs);
	return 0;
}

/* ---- queries ---- */

static uint8_t *put_label(uint8_t *p, const char *text, size_t n)
{
	*p++ = (uint8_t)n;
	memcpy(p, text, n);
	return p + n;
}

static uint8_t *put_name(uint8_t *p, const char *name)
{
	while (*name) {
		size_t n = strcspn(name, ".");

		p = put_label(p, name, n);
		name += n + (name[n] == '.');
	}
	*p++ = 0;
	return p;
}

static size_t query_fill(uint8_t *frame, uint32_t from, uint32_t to, unsigned id, const char *name)
{
	uint8_t *ip = frame + ETH_HLEN, *udp = ip + 20, *dns = udp + 8, *p = dns + 12;

	memset(ip, 0, 40);
	p = put_name(p, name);
	put16(p, 1); /* A, IN */
	put16(p + 2, 1);
	p += 4;
	put16(dns, id);
	put16(dns + 4, 1);
	put16(udp, 1024 + id % 60000);
	put16(udp + 2, 53);
	put16(udp + 4, (unsigned)(p - udp)); /* without a checksum */
	ip[0] = 0x45;
	put16(ip + 2, (unsigned)(p - ip));
	ip[8] = 64;
	ip[9] = IPPROTO_UDP;
	put32(ip + 12, from);
	put32(ip + 16, to);
	put16(ip + 10, fold(sum16(0, ip, 20)));
	return (size_t)(p - frame);
}

static int queries(char **argv)
{
	uint32_t own_ip = ip4(argv[1]), to = ip4(argv[2]), from = ip4(argv[3]), n_from = (uint32_t)atoi(argv[4]);
	unsigned names = (unsigned)atoi(argv[6]), count = (unsigned)atoi(argv[7]), rate = (unsigned)atoi(argv[8]);
	uint8_t own[ETH_ALEN], mac[ETH_ALEN], frame[FRAME_BYTES];
	int fd = card_open(argv[0], ETH_P_ARP, own);
	uint64_t began;

	if (!n_from || !names || !rate || strlen(argv[5]) > 200)
		return usage();
	resolve(fd, own, own_ip, to, mac);
	ethernet(frame, mac, own, ETH_P_IP);
	began = clock_now_ns();
	for (unsigned i = 0; i < count; i++) {
		char name[256];

		snprintf(name, sizeof(name), "s%u.%s", i % names + 1, argv[5]);
		card_send(fd, frame, query_fill(frame, from + i % n_from * 256, to, i & 0xffff, name));
		sleep_until(began + (i + 1) * NS_PER_S / rate);
	}
	return 0;
}

/* ---- clients ---- */

static const char request[] = "GET / HTTP/1.0\r\n\r\n";

struct client {
	int fd; /* -1: it is done */
	const char *server;
	double connect_ms, first_ms; /* 0: not yet */
	char page[PAGE_BYTES];
	size_t n;
	const char *error; /* NULL: none so far */
};

static double ms_since(uint64_t ns) { return (double)(clock_now_ns() - ns) / 1e6; }

static void client_end(struct client *c, const char *error)
{
	c->error = error;
	fd_close(&c->fd);
}

static void client_begin(struct client *c, const char *server, uint32_t source)
{
	struct sockaddr_in own = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(source) };
	struct sockaddr_storage sa;
	struct ip_addr ip;
	uint16_t port;
	socklen_t n;

	c->server = server;
	if (endpoint_parse(server, &ip, &port) < 0)
		die(server);
	n = ip_to_sockaddr(&ip, port, &sa);
	c->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || bind(c->fd, (struct sockaddr *)&own, sizeof(own)) < 0)
		die("a client's socket");
	if (connect(c->fd, (struct sockaddr *)&sa, n) < 0 && errno != EINPROGRESS)
		client_end(c, strerror(errno));
}

static void client_connected(struct client *c, uint64_t t0)
{
	int error = 0;
	socklen_t n = sizeof(error);

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n);
	if (error != 0) {
		client_end(c, strerror(error));
		return;
	}
	c->connect_ms = ms_since(t0);
	if (send(c->fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0)
		client_end(c, strerror(errno));
}

static void client_reads(struct client *c, uint64_t t0)
{
	ssize_t n = recv(c->fd, c->page + c->n, sizeof(c->page) - 1 - c->n, 0);

	if (n < 0) {
		client_end(c, strerror(errno));
		return;
	}
	if (c->first_ms == 0)
		c->first_ms = ms_since(t0);
	c->n += (size_t)n;
	if (n == 0 || c->n == sizeof(c->page) - 1)
		client_end(c, strstr(c->page, "\nboot ") ? NULL : "another page");
}

static bool client_report(const struct client *c)
{
	const char *boot = strstr(c->page, "\nboot ");

	if (c->fd >= 0 || c->error)
		printf("%s %.1f %.1f %s\n", c->server, c->connect_ms, c->first_ms, c->error ? c->error : "timed out");
	else
		printf("%s %.1f %.1f %.*s\n", c->server, c->connect_ms, c->first_ms, (int)strcspn(boot + 1, "\n"),
		       boot + 1);
	return c->fd < 0 && !c->error;
}

/* One round of all that wait; false when none is left. */
static bool clients_wait(struct client *c, size_t n, uint64_t t0)
{
	static struct pollfd p[CLIENTS_MAX];
	bool left = false;

	for (size_t i = 0; i < n; i++) {
		p[i] = (struct pollfd){ .fd = c[i].fd, .events = c[i].connect_ms == 0 ? POLLOUT : POLLIN };
		left = left || c[i].fd >= 0;
	}
	if (!left || poll(p, n, 100) < 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (p[i].fd < 0 || !p[i].revents)
			continue;
		if (c[i].connect_ms == 0)
			client_connected(&c[i], t0);
		else
			client_reads(&c[i], t0);
	}
	return true;
}

static int clients(int argc, char **argv)
{
	static struct client all[CLIENTS_MAX];
	uint32_t sources[CLIENTS_MAX], n_sources = 0;
	size_t n = (size_t)atoi(argv[1]), served = 0;
	uint64_t t0 = clock_now_ns(), limit_ms = (uint64_t)atoi(argv[0]) * MS_PER_S;

	if (n > CLIENTS_MAX)
		return usage();
	for (char *s = strtok(argv[2], ","); s && n_sources < CLIENTS_MAX; s = strtok(NULL, ","))
		sources[n_sources++] = ip4(s);
	for (size_t i = 0; i < n && n_sources; i++)
		client_begin(&all[i], argv[3 + i % (size_t)(argc - 3)], sources[i % n_sources]);
	while (clock_now_ns() - t0 < limit_ms * NS_PER_MS && clients_wait(all, n, t0))
		;
	for (size_t i = 0; i < n; i++)
		served += client_report(&all[i]);
	return served == n ? 0 : 1;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "capture") == 0 && argc == 3)
		capture(argv + 2);
	if (strcmp(what, "wol") == 0 && argc >= 5)
		return wol(argc - 2, argv + 2);
	if (strcmp(what, "arp") == 0 && argc == 7)
		return arp(argv + 2);
	if (strcmp(what, "scan") == 0 && argc == 10)
		return scan(argv + 2);
	if (strcmp(what, "queries") == 0 && argc == 11)
		return queries(argv + 2);
	if (strcmp(what, "clients") == 0 && argc >= 6)
		return clients(argc - 2, argv + 2);
	return usage();
}
