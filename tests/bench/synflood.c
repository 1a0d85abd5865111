/* Sends forged SYNs, each of another flow, to one port of one address.
 *
 *     synflood IFNAME MAC ADDRESS PORT SEED COUNT SECONDS RATE [LOCAL]
 *
 * At most COUNT of them, for at most SECONDS, RATE in a second (0: as fast as it can).  The same SEED
 * gives the same SYNs.  Their sources are anywhere in 198.18.0.0/15 (for benchmarks, RFC 2544), and,
 * with LOCAL (A.B.C.D), every LOCAL_EVERY-th one in the 64 addresses from there on.  Prints a line:
 * how many were sent, and in how many seconds.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "base/addr.h"
#include "base/clock.h"

enum { BATCH = 64, SYN_BYTES = 74, OPTION_BYTES = 20, LOCAL_EVERY = 8, LOCAL_ADDRS = 64 };
enum { AT_IP = 14, AT_IP_SUM = 24, AT_SRC = 26, AT_DST = 30, AT_TCP = 34, AT_SEQ = 38, AT_TCP_SUM = 50 };

/* From `i` to a flow one to one: its 32 bits are 17 of the address in 198.18.0.0/15 and 15 of the port. */
#define SCATTER 2654435761u
#define SOURCES 0xc6120000u

struct flood {
	int fd;
	uint32_t seed, local; /* local: 0 when there is none */
	uint32_t ip_sum, tcp_sum; /* of what is the same in all, not folded */
	uint8_t frames[BATCH][SYN_BYTES];
	struct iovec parts[BATCH];
	struct mmsghdr messages[BATCH];
};

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static uint32_t get32(const uint8_t *p) { return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]; }

static uint32_t sum_of(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* What all have in common: Linux's SYN, with its options. */
static void make_frame(struct flood *fl, uint8_t *f, const struct mac_addr *to, const struct mac_addr *own,
		       const struct ip_addr *dst, uint16_t port)
{
	static const uint8_t ip[12] = { 0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, IPPROTO_TCP };
	static const uint8_t options[OPTION_BYTES] = { 2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7 };

	memset(f, 0, SYN_BYTES);
	memcpy(f, to->b, 6);
	memcpy(f + 6, own->b, 6);
	put16(f + 12, ETH_P_IP);
	memcpy(f + AT_IP, ip, sizeof(ip));
	memcpy(f + AT_DST, dst->b + 12, 4);
	put16(f + AT_TCP + 2, port);
	f[AT_TCP + 12] = (20 + OPTION_BYTES) / 4 << 4;
	f[AT_TCP + 13] = 2; /* SYN */
	put16(f + AT_TCP + 14, 64240);
	memcpy(f + AT_TCP + 20, options, OPTION_BYTES);
	fl->ip_sum = sum_of(f + AT_IP, 20);
	fl->tcp_sum = sum_of(f + AT_TCP, 20 + OPTION_BYTES) + sum_of(f + AT_DST, 4) + IPPROTO_TCP + 20 + OPTION_BYTES;
}

static void forge(const struct flood *fl, uint8_t *f, uint32_t i)
{
	uint32_t flow = (fl->seed + i) * SCATTER, src = SOURCES | flow >> 15, seq = flow * SCATTER, sum;
	uint32_t port = 32768 | (flow & 0x7fff);

	if (fl->local && i % LOCAL_EVERY == 0)
		src = fl->local + (flow >> 15) % LOCAL_ADDRS;
	sum = (src >> 16) + (src & 0xffff);
	put32(f + AT_SRC, src);
	put16(f + AT_IP_SUM, fold(fl->ip_sum + sum));
	put16(f + AT_TCP, port);
	put32(f + AT_SEQ, seq);
	put16(f + AT_TCP_SUM, fold(fl->tcp_sum + sum + port + (seq >> 16) + (seq & 0xffff)));
}

static int open_port(const char *ifname, struct mac_addr *own)
{
	static const int one = 1;
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(ifname) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	struct ifreq r = { 0 };

	if (fd < 0 || !str_copy(r.ifr_name, ifname) || ioctl(fd, SIOCGIFHWADDR, &r) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) < 0 || bind(fd, (void *)&at, sizeof(at)) < 0)
		return -1;
	memcpy(own->b, r.ifr_hwaddr.sa_data, 6);
	return fd;
}

static void sleep_until(uint64_t ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S) };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* What the interface does not take is lost and not tried again. */
static uint64_t send_batch(struct flood *fl, unsigned n)
{
	uint64_t sent = 0;
	unsigned at = 0;

	while (at < n) {
		int k = sendmmsg(fl->fd, fl->messages + at, n - at, 0);

		sent += k > 0 ? (unsigned)k : 0;
		at += k > 0 ? (unsigned)k : 1;
	}
	return sent;
}

static uint64_t run(struct flood *fl, uint64_t count, double seconds, uint64_t rate, uint64_t t0)
{
	uint64_t end = t0 + (uint64_t)(seconds * 1e9), sent = 0;

	for (uint64_t i = 0; i < count && clock_now_ns() < end; i += BATCH) {
		unsigned n = (unsigned)MIN((uint64_t)BATCH, count - i);

		for (unsigned k = 0; k < n; k++)
			forge(fl, fl->frames[k], (uint32_t)i + k);
		sent += send_batch(fl, n);
		if (rate)
			sleep_until(t0 + (i + n) * NS_PER_S / rate);
	}
	return sent;
}

static bool set_up(struct flood *fl, char **argv)
{
	struct mac_addr to, own = { { 0 } };
	struct ip_addr dst, local;

	if (mac_parse(argv[1], &to) < 0 || ip_parse(argv[2], &dst) < 0 || (argv[8] && ip_parse(argv[8], &local) < 0))
		return false;
	fl->fd = open_port(argv[0], &own);
	fl->seed = (uint32_t)strtoul(argv[4], NULL, 10);
	fl->local = argv[8] ? get32(local.b + 12) : 0;
	for (unsigned i = 0; i < BATCH; i++) {
		make_frame(fl, fl->frames[i], &to, &own, &dst, (uint16_t)atoi(argv[3]));
		fl->parts[i] = (struct iovec){ .iov_base = fl->frames[i], .iov_len = SYN_BYTES };
		fl->messages[i].msg_hdr = (struct msghdr){ .msg_iov = &fl->parts[i], .msg_iovlen = 1 };
	}
	return fl->fd >= 0;
}

int main(int argc, char **argv)
{
	static struct flood fl;
	uint64_t t0, sent;

	if (argc < 9 || argc > 10 || !set_up(&fl, argv + 1)) {
		perror("synflood");
		return 2;
	}
	t0 = clock_now_ns();
	sent = run(&fl, strtoull(argv[6], NULL, 10), atof(argv[7]), strtoull(argv[8], NULL, 10), t0);
	printf("%llu %.3f\n", (unsigned long long)sent, (double)(clock_now_ns() - t0) / 1e9);
	return 0;
}
