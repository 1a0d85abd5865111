/* The client of the summon benchmark: one measurement per run, printed in ms.
 *
 *     summon query SERVER PORT NAME         from the query sent to the first byte of its page
 *     summon raw NETNS ARGV-FILE IP         from the exec of QEMU (in NETNS) to the same; ends it
 *     summon rtt SERVER PORT NAME N US      N queries, one each US microseconds: a line per answer
 *
 * "-1" is printed for a failure, with the reason on stderr; nothing takes longer than LIMIT_MS.
 * For `raw` the client learns that the guest is there from its gratuitous ARP, like a switch
 * would, and connects again at once while the port is closed.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "tests/bench/page.h"

enum { LIMIT_MS = 60000, ARGS_MAX = 256, QUERY_MAX = 300 };

/* The time from `t0` to the first byte of the page; -1 when there is none. */
static double first_byte(const struct ip_addr *ip, uint64_t t0, bool patient)
{
	struct page_times t;

	return page_get(ip, t0, patient, &t) ? t.first_byte : -1;
}

/* ---- DNS ---- */

static size_t make_query(const char *name, uint16_t id, uint8_t *q)
{
	uint8_t *at = q + 12;

	memset(q, 0, 12);
	q[0] = (uint8_t)(id >> 8);
	q[1] = (uint8_t)id;
	q[5] = 1; /* one question */
	while (*name) {
		size_t n = strcspn(name, ".");

		*at++ = (uint8_t)n;
		memcpy(at, name, n);
		at += n;
		name += n + (name[n] == '.');
	}
	memcpy(at, "\0\0\1\0\1", 5); /* the root, A, IN */
	return (size_t)(at + 5 - q);
}

static int dns_socket(const char *server, const char *port)
{
	struct sockaddr_storage sa;
	struct ip_addr ip;
	socklen_t n;
	int fd;

	if (ip_parse(server, &ip) < 0)
		return -1;
	n = ip_to_sockaddr(&ip, (uint16_t)atoi(port), &sa);
	fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return connect(fd, (void *)&sa, n) < 0 ? -1 : fd;
}

/* The address in the answer to query `id`: false when there is none. */
static bool read_answer(int fd, uint16_t id, struct ip_addr *ip)
{
	uint8_t a[1500];
	char text[ADDR_TEXT_MAX];
	ssize_t n = recv(fd, a, sizeof(a), 0);

	/* one A record is all our services have: its address ends the answer */
	if (n < 28 || (a[0] << 8 | a[1]) != id || (a[3] & 15) != 0 || a[7] != 1)
		return false;
	snprintf(text, sizeof(text), "%u.%u.%u.%u", a[n - 4], a[n - 3], a[n - 2], a[n - 1]);
	return ip_parse(text, ip) == 0;
}

static double query(char **argv)
{
	uint8_t q[QUERY_MAX];
	int fd = dns_socket(argv[0], argv[1]);
	uint16_t id = (uint16_t)clock_now_ns();
	size_t n = make_query(argv[2], id, q);
	uint64_t t0 = clock_now_ns();
	struct ip_addr ip;

	if (fd < 0 || send(fd, q, n, 0) < 0)
		return failed("query");
	if (!limit_wait(fd, POLLIN) || !read_answer(fd, id, &ip))
		return failed("no answer");
	return first_byte(&ip, t0, false);
}

static int rtt(char **argv)
{
	int fd = dns_socket(argv[0], argv[1]), count = atoi(argv[3]), step_us = atoi(argv[4]);
	uint8_t q[QUERY_MAX];
	struct ip_addr ip;

	for (int i = 0; i < count; i++) {
		size_t n = make_query(argv[2], (uint16_t)i, q);
		uint64_t t0 = clock_now_ns();
		double ms;

		if (fd < 0 || send(fd, q, n, 0) < 0 || !limit_wait(fd, POLLIN) || !read_answer(fd, (uint16_t)i, &ip))
			return 1;
		ms = ms_since(t0);
		printf("%.3f\n", ms);
		if (ms * 1000 < step_us)
			usleep((useconds_t)(step_us - (int)(ms * 1000)));
	}
	return 0;
}

/* ---- raw QEMU ---- */

static int read_argv(const char *path, char **args)
{
	static char text[65536];
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	int count = 0;
	char *at = text;

	if (f)
		fclose(f);
	text[n] = '\0';
	while (*at && count < ARGS_MAX - 1) {
		args[count++] = at;
		at += strcspn(at, "\n");
		if (*at)
			*at++ = '\0';
	}
	args[count] = NULL;
	return count;
}

static int arp_socket(void)
{
	struct sockaddr_ll sll = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ARP) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ARP));

	sll.sll_ifindex = (int)if_nametoindex("eth0");
	return bind(fd, (void *)&sll, sizeof(sll)) < 0 ? -1 : fd;
}

static bool wait_announced(int fd, const struct ip_addr *ip)
{
	uint8_t frame[100];

	while (limit_wait(fd, POLLIN)) {
		ssize_t n = recv(fd, frame, sizeof(frame), 0);

		if (n >= 42 && memcmp(frame + 28, ip->b + 12, 4) == 0)
			return true;
	}
	return false;
}

static void run_qemu(const char *netns, char **args)
{
	int null = open("/dev/null", O_RDWR), ns = open(netns, O_RDONLY);

	if (setns(ns, CLONE_NEWNET) < 0)
		_exit(126);
	dup2(null, 0);
	dup2(null, 1);
	execv(args[0], args);
	_exit(127);
}

static double raw(char **argv)
{
	char *args[ARGS_MAX];
	struct ip_addr ip;
	int arp = arp_socket();
	double ms = -1;
	uint64_t t0;
	pid_t pid;

	if (read_argv(argv[1], args) < 2 || ip_parse(argv[2], &ip) < 0 || arp < 0)
		return failed("setting up");
	t0 = clock_now_ns();
	pid = fork();
	if (pid == 0)
		run_qemu(argv[0], args);
	if (wait_announced(arp, &ip))
		ms = first_byte(&ip, t0, true);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return ms;
}

int main(int argc, char **argv)
{
	double ms;

	limit_set(LIMIT_MS);
	if (argc == 7 && strcmp(argv[1], "rtt") == 0)
		return rtt(argv + 2);
	if (argc == 5 && strcmp(argv[1], "query") == 0)
		ms = query(argv + 2);
	else if (argc == 5 && strcmp(argv[1], "raw") == 0)
		ms = raw(argv + 2);
	else
		return 2;
	printf("%.3f\n", ms);
	return ms < 0;
}
