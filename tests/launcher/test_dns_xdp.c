/* What XDP answers, against what dns's own sockets answer to the same frames.
 *
 * In a namespace of its own: c0 is the host's interface, with the addresses that are served; at c1, the
 * other end, the test sends whole frames and hears what comes back.  The launcher is the real process;
 * where bytes are compared, dns is, too.
 */
#include "tests/launcher/peers.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <event2/event.h>
#include <linux/bpf.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include "dns/main.h"
#include "launcher/dns_xdp.h"
#include "launcher/quiesce.h"
#include "launcher/xdp.h"

#define HOST_MAC "02:00:00:00:00:01"
#define CLIENT_MAC "02:00:00:00:00:20"
#define HOST "10.9.0.1"
#define HOST6 "fd09::1"
#define CLIENT "10.9.0.20"
#define CLIENT6 "fd09::20"
#define STRANGER "192.0.2.7" /* is exempt from nothing, and may have nothing forwarded */
#define LABEL_48 "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstu"

enum { DNS_PORT = 53, FRAME_MAX = 2048, SILENCE_MS = 60, A = 1, AAAA = 28, MX = 15, RD = 0x0100 };

static bool have_netns;
static int client = -1, dns_supervisor = -1;
static pid_t dns_pid;
static char dns_root[32];

/* ---- the network ---- */

static void checksums_by_hand(const char *ifname)
{
	struct ethtool_value off = { .cmd = ETHTOOL_STXCSUM };
	struct ifreq ifr = { .ifr_data = (void *)&off };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	str_copy(ifr.ifr_name, ifname);
	assert_int_equal(ioctl(fd, SIOCETHTOOL, &ifr), 0);
	close(fd);
}

static int setup_net(void **state)
{
	struct sockaddr_ll where = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int on = 1;

	if (!have_netns)
		return 0;
	if (setup(state) < 0)
		return -1;
	w.bpf = true;
	if (ip_run("ip link add c0 address " HOST_MAC " type veth peer name c1 address " CLIENT_MAC "; "
		   "sysctl -qw net.ipv6.conf.c1.disable_ipv6=1 net.ipv6.auto_flowlabels=0; "
		   "ip addr add " HOST "/24 dev c0; ip addr add " HOST6 "/64 dev c0 nodad; "
		   "ip link set c0 up; ip link set c1 up; ip route add 192.0.2.0/24 dev c0; "
		   "for a in " CLIENT " " CLIENT6 " " STRANGER "; do "
		   "ip neigh replace $a lladdr " CLIENT_MAC " dev c0 nud permanent; done") < 0)
		return -1;
	checksums_by_hand("c0");
	where.sll_ifindex = (int)if_nametoindex("c1");
	client = socket(AF_PACKET, SOCK_RAW, 0);
	setsockopt(client, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on));
	return bind(client, (void *)&where, sizeof(where));
}

/* ---- the program, as the kernel sees it ---- */

static uint32_t program_id(void)
{
	uint32_t id = 0;

	assert_int_equal(bpf_xdp_query_id((int)if_nametoindex("c0"), 0, &id), 0);
	return id;
}

/* A descriptor of the map of that name of the program on c0. */
static int map_of_program(const char *name)
{
	struct bpf_prog_info info = { 0 };
	uint32_t ids[16], size = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(program_id());

	assert_true(fd >= 0);
	info.map_ids = (uintptr_t)ids;
	info.nr_map_ids = ARRAY_SIZE(ids);
	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &size), 0);
	close(fd);
	for (uint32_t i = 0; i < info.nr_map_ids; i++) {
		struct bpf_map_info map = { 0 };
		uint32_t map_size = sizeof(map);

		fd = bpf_map_get_fd_by_id(ids[i]);
		assert_true(fd >= 0);
		assert_int_equal(bpf_obj_get_info_by_fd(fd, &map, &map_size), 0);
		if (strcmp(map.name, name) == 0)
			return fd;
		close(fd);
	}
	fail_msg("no map %s", name);
	return -1;
}

static struct dns_xdp_counts counts(void)
{
	struct dns_xdp_counts of_cpu[256], sum = { 0 };
	uint32_t zero = 0;
	int fd;

	if (program_id() == 0)
		return sum;
	fd = map_of_program("counts");
	assert_true(libbpf_num_possible_cpus() <= (int)ARRAY_SIZE(of_cpu));
	assert_int_equal(bpf_map_lookup_elem(fd, &zero, of_cpu), 0);
	close(fd);
	for (int i = 0; i < libbpf_num_possible_cpus(); i++) {
		sum.answered += of_cpu[i].answered;
		sum.limited += of_cpu[i].limited;
		sum.no_room += of_cpu[i].no_room;
	}
	return sum;
}

static unsigned names_in_table(void)
{
	struct dns_xdp_question q;
	unsigned n = 0;
	int fd, r;

	if (program_id() == 0)
		return 0;
	fd = map_of_program("answers");
	for (r = bpf_map_get_next_key(fd, NULL, &q); r == 0; r = bpf_map_get_next_key(fd, &q, &q))
		n++;
	close(fd);
	return n;
}

static void needs_xdp(void)
{
	struct err e = { 0 };
	struct xdp *x;

	if (!have_netns)
		skip();
	x = xdp_new(&e);
	if (!x) {
		print_message("%s\n", e.text);
		skip();
	}
	xdp_free(x);
}

#define WAIT_UNTIL(condition)                                                                      \
	do {                                                                                       \
		uint64_t until_ = clock_now_ms() + WAIT_MS;                                        \
		while (!(condition) && clock_now_ms() < until_)                                    \
			usleep(2000);                                                              \
		if (!(condition))                                                                  \
			fail_msg("not in time: %s", #condition);                                   \
	} while (0)

/* ---- frames ---- */

enum oddity {
	PLAIN,
	BAD_UDP_SUM,
	NO_UDP_SUM,
	BAD_IP_SUM,
	FRAGMENT, /* more are to come, which never do */
	DONT_FRAGMENT,
	EXTENSION, /* IP options; a destination options header */
	TAGGED,
	TAGGED_0, /* a priority, of VLAN 0 */
	OTHER_MAC,
	PADDED, /* the frame, behind the packet */
	TRAILING, /* a byte in the datagram, behind the message */
	CUT, /* the datagram is said to be longer than it is */
	TWO_QUESTIONS,
	AN_ANSWER,
	IS_ANSWER, /* QR */
	POINTER, /* a compressed name */
	MANY_HOPS, /* another TTL, TOS, IP identification and flow label */
	LOW_PORT, /* from port 0 */
};

enum edns { NO_EDNS, EDNS, EDNS_DO, EDNS_Z, EDNS_V1, EDNS_COOKIE, EDNS_NSID, EDNS_PADDING, EDNS_TWICE };

struct probe {
	const char *name; /* below jitsu.example unless it ends with a dot */
	uint16_t type; /* 0: A */
	uint16_t size; /* with EDNS; 0: 1232 */
	uint16_t flags, class; /* 0: RD, IN; flags 1: none */
	enum oddity odd;
	enum edns edns;
	const char *from, *to; /* NULL: CLIENT, HOST */
	uint16_t port; /* 0: 53 */
	bool xdp; /* who answers */
	bool large; /* ... unless the packet cannot grow by so much */
	bool silent; /* nobody does */
	bool v6;
};

static uint8_t *put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

static uint8_t *put_name(uint8_t *p, const char *name)
{
	char whole[300];
	size_t n = strlen(name);

	snprintf(whole, sizeof(whole), "%s%s", name, name[n - 1] == '.' ? "" : ".jItSu.eXample.");
	for (const char *label = whole; *label; label += n + 1) {
		n = strcspn(label, ".");
		*p++ = (uint8_t)n;
		memcpy(p, label, n);
		p += n;
	}
	*p++ = 0;
	return p;
}

static uint8_t *put_edns(uint8_t *p, const struct probe *k)
{
	static const struct { uint16_t code, n; } options[] = {
		[EDNS_COOKIE] = { 10, 8 }, [EDNS_NSID] = { 3, 0 }, [EDNS_PADDING] = { 12, 6 }, [EDNS_TWICE] = { 0, 0 },
	};
	bool has_option = k->edns == EDNS_COOKIE || k->edns == EDNS_NSID || k->edns == EDNS_PADDING;

	for (int i = 0; i < (k->edns == EDNS_TWICE ? 2 : 1); i++) {
		*p++ = 0;
		p = put16(p, 41);
		p = put16(p, k->size ? k->size : 1232);
		p = put16(p, k->edns == EDNS_V1 ? 1 : 0);
		p = put16(p, k->edns == EDNS_DO ? 0x8000 : k->edns == EDNS_Z ? 0x4000 : 0);
		p = put16(p, has_option ? 4u + options[k->edns].n : 0);
	}
	if (!has_option)
		return p;
	p = put16(p, options[k->edns].code);
	p = put16(p, options[k->edns].n);
	memset(p, 0x5a, options[k->edns].n);
	return p + options[k->edns].n;
}

static size_t put_message(uint8_t *b, const struct probe *k, uint16_t id)
{
	uint8_t *p = put16(b, id);

	p = put16(p, (k->flags == 1 ? 0 : k->flags ? k->flags : (unsigned)RD) | (k->odd == IS_ANSWER ? 0x8000 : 0));
	p = put16(p, k->odd == TWO_QUESTIONS ? 2 : 1);
	p = put16(p, k->odd == AN_ANSWER ? 1 : 0);
	p = put16(p, 0);
	p = put16(p, k->edns == EDNS_TWICE ? 2 : k->edns != NO_EDNS);
	for (int i = 0; i < (k->odd == TWO_QUESTIONS ? 2 : 1); i++) {
		p = put_name(p, k->name);
		if (k->odd == POINTER)
			p = put16(p - 1, 0xc00c);
		p = put16(p, k->type ? k->type : (unsigned)A);
		p = put16(p, k->class ? k->class : 1);
	}
	if (k->odd == AN_ANSWER) {
		memcpy(p, "\xc0\x0c\0\1\0\1\0\0\0\0\0\4abcd", 16);
		p += 16;
	}
	if (k->edns != NO_EDNS)
		p = put_edns(p, k);
	if (k->odd == TRAILING)
		*p++ = 0;
	return (size_t)(p - b);
}

static uint32_t sum_of(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += i % 2 ? p[i] : (unsigned)p[i] << 8;
	return sum;
}

static uint16_t finish(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint8_t *put_ip4(uint8_t *p, const struct probe *k, size_t n)
{
	size_t head = k->odd == EXTENSION ? 24 : 20;
	bool hops = k->odd == MANY_HOPS;

	memset(p, 0, head);
	p[0] = (uint8_t)(0x40 | head / 4);
	p[1] = hops ? 0xb9 : 0;
	put16(p + 2, (unsigned)(head + n));
	put16(p + 4, hops ? 0x1234 : 0);
	put16(p + 6, k->odd == FRAGMENT ? 0x2000 : k->odd == DONT_FRAGMENT ? 0x4000 : 0);
	p[8] = hops ? 3 : 64;
	p[9] = IPPROTO_UDP;
	inet_pton(AF_INET, k->from ? k->from : CLIENT, p + 12);
	inet_pton(AF_INET, k->to ? k->to : HOST, p + 16);
	memset(p + 20, 1, head - 20); /* no-operation */
	put16(p + 10, finish(sum_of(p, head)) ^ (k->odd == BAD_IP_SUM ? 0x100u : 0));
	return p + head;
}

static uint8_t *put_ip6(uint8_t *p, const struct probe *k, size_t n)
{
	size_t more = k->odd == EXTENSION ? 8 : 0;

	memset(p, 0, 48);
	p[0] = 0x60;
	if (k->odd == MANY_HOPS)
		memcpy(p, "\x6b\x92\x34\x56", 4);
	put16(p + 4, (unsigned)(n + more));
	p[6] = more ? 60 : IPPROTO_UDP;
	p[7] = k->odd == MANY_HOPS ? 3 : 64;
	inet_pton(AF_INET6, k->from ? k->from : CLIENT6, p + 8);
	inet_pton(AF_INET6, k->to ? k->to : HOST6, p + 24);
	if (more)
		memcpy(p + 40, "\x11\0\1\4\0\0\0\0", 8); /* a PadN option */
	return p + 40 + more;
}

static void put_udp(uint8_t *udp, const struct probe *k, uint16_t id, size_t n, const uint8_t *ip)
{
	const uint8_t *addrs = k->v6 ? ip + 8 : ip + 12;
	unsigned said = (unsigned)n + (k->odd == CUT ? 20 : 0);
	uint16_t check;

	put16(udp, k->odd == LOW_PORT ? 0 : 30000u + id);
	put16(udp + 2, k->port ? k->port : (unsigned)DNS_PORT);
	put16(udp + 4, said);
	put16(udp + 6, 0);
	check = finish(sum_of(udp, n) + sum_of(addrs, k->v6 ? 32 : 8) + IPPROTO_UDP + said);
	if (k->odd != NO_UDP_SUM)
		put16(udp + 6, (check ? check : 0xffff) ^ (k->odd == BAD_UDP_SUM ? 0x10u : 0));
}

static size_t make_frame(uint8_t *b, const struct probe *k, uint16_t id)
{
	uint8_t message[600], *p = b, *ip, *udp;
	size_t n = put_message(message, k, id) + 8;

	memcpy(p, k->odd == OTHER_MAC ? "\2\0\0\0\0\x77" : "\2\0\0\0\0\1", 6);
	memcpy(p + 6, "\2\0\0\0\0\x20", 6);
	p += 12;
	if (k->odd == TAGGED || k->odd == TAGGED_0) {
		p = put16(p, ETH_P_8021Q);
		p = put16(p, k->odd == TAGGED ? 5 : 0x6000);
	}
	ip = put16(p, k->v6 ? ETH_P_IPV6 : ETH_P_IP);
	udp = k->v6 ? put_ip6(ip, k, n) : put_ip4(ip, k, n);
	memcpy(udp + 8, message, n - 8);
	put_udp(udp, k, id, n, ip);
	p = udp + n;
	if (k->odd == PADDED) {
		memset(p, 0xee, 13);
		p += 13;
	}
	return (size_t)(p - b);
}

static void send_probe(const struct probe *k, uint16_t id)
{
	uint8_t b[FRAME_MAX];
	size_t n = make_frame(b, k, id);

	assert_int_equal(send(client, b, n, 0), n);
}

static size_t header_of(const uint8_t *b)
{
	return b[12] == 0x86 ? ETH_HLEN + 40 + 8 : ETH_HLEN + 20 + 8;
}

/* A DNS answer with this identification; what else is heard, the kernel's own noise, is passed over. */
static bool is_answer(const uint8_t *b, size_t n, uint16_t id)
{
	size_t at = n > ETH_HLEN ? header_of(b) : 0;

	if (n < at + 12 || (b[12] != 0x08 && b[12] != 0x86) || b[13] == 0x06)
		return false;
	if (b[at - 8 - (b[12] == 0x86 ? 34 : 11)] != IPPROTO_UDP)
		return false;
	return (b[at] << 8 | b[at + 1]) == id && b[at + 2] & 0x80;
}

/* The whole frame; 0: none came. */
static size_t hear_answer(uint8_t *b, uint16_t id, unsigned ms)
{
	uint64_t until = clock_now_ms() + ms, now;
	struct pollfd p = { .fd = client, .events = POLLIN };

	while ((now = clock_now_ms()) < until) {
		ssize_t n;

		if (poll(&p, 1, (int)(until - now)) <= 0)
			continue;
		n = recv(client, b, FRAME_MAX, 0);
		if (n > 0 && is_answer(b, (size_t)n, id))
			return (size_t)n;
	}
	return 0;
}

static size_t ask_by(const struct probe *k, uint16_t id, uint8_t *b)
{
	send_probe(k, id);
	return hear_answer(b, id, k->silent ? SILENCE_MS : WAIT_MS);
}

/* ---- the configuration ---- */

#define V4_8                                                                                       \
	"\"10.77.1.8/24\",\"10.77.1.1/24\",\"10.77.1.7/24\",\"10.77.1.2/24\",\"10.77.1.6/24\","       \
	"\"10.77.1.3/24\",\"10.77.1.5/24\",\"10.77.1.4/24\""
#define V6_8(net)                                                                                  \
	"\"" net "::8/64\",\"" net "::1/64\",\"" net "::7/64\",\"" net "::2/64\","                      \
	"\"" net "::6/64\",\"" net "::3/64\",\"" net "::5/64\",\"" net "::4/64\""

static const struct {
	const char *name, *dns, *ip;
} machines[] = {
	{ "www", "\"www.jitsu.example\",\"ww.jitsu.example\",\"" LABEL_48 ".jitsu.example\",\"" LABEL_48 "v.jitsu.example\"",
	  "\"10.77.0.20/24\",\"fd77::20/64\"" },
	{ "multi", "\"m.jitsu.example\",\"Multi.Jitsu.example\"", V4_8 "," V6_8("fd78") },
	{ "full", "\"full.jitsu.example\"", V6_8("fd79") "," V6_8("fd80") },
	{ "off", "\"off.jitsu.example\"", "\"10.77.0.30/24\"" },
};

static void write_xdp_conf(const char *listen, const char *dns, const char *more)
{
	char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "%s/zone", w.dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs("static.jitsu.example. 60 IN A 192.0.2.1\n*.wild.jitsu.example. 60 IN A 192.0.2.2\n"
	      "jitsu.example. 60 IN MX 10 www.jitsu.example.\nwww.jitsu.example. 60 IN MX 5 static.jitsu.example.\n", f);
	assert_int_equal(fclose(f), 0);
	snprintf(path, sizeof(path), "%s/conf.json", w.dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f,
		"{\"listen\":[%s],\"dns\":{%s},\"zones\":[{\"name\":\"jitsu.example\",\"ns\":[\"ns.jitsu.example\"],"
		"\"file\":\"%s/zone\"}],\"zone_dirs\":[\"%s\"],\"forward\":[\"10.9.0.99:53\"],"
		"\"forward_allow\":[\"10.9.0.0/24\",\"fd09::/64\"],"
		"\"hypervisors\":[{\"name\":\"hv\",\"uri\":\"test:///default\"}],\"run_dir\":\"%s\",\"state_dir\":\"%s\","
		"\"users\":{\"qemu\":\"nobody\"},\"image_dirs\":[\"%s\"],\"services\":[",
		listen, dns, w.dir, w.dir, w.dir, w.dir, w.dir);
	for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
		fprintf(f, "%s{\"name\":\"%s\",\"dns\":[%s],\"ip\":[%s],\"machine\":{\"hypervisor\":\"hv\",\"domain\":\"dom-%s\"},"
			"\"ready\":[\"delay:10\"],\"ttl\":\"77s\",\"stop\":\"destroy\"%s}", i ? "," : "",
			machines[i].name, machines[i].dns, machines[i].ip, machines[i].name, more);
	fputs("]}", f);
	assert_int_equal(fclose(f), 0);
}

#define LISTEN "\"" HOST ":53\",\"[" HOST6 "]:53\""

/* ---- dns ---- */

static void give_socket(const char *addr)
{
	struct msg_listen m = { .proto = LISTEN_UDP, .port = DNS_PORT };
	struct sockaddr_storage ss;
	socklen_t n;
	int fd;

	assert_int_equal(ip_parse(addr, &m.addr), 0);
	n = ip_to_sockaddr(&m.addr, DNS_PORT, &ss);
	fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (void *)&ss, n), 0);
	say_fd(dns_supervisor, MSG_LISTEN, &m, fd);
	close(fd);
}

static void run_dns(int channel)
{
	struct child_args args = { .role = ROLE_DNS, .log_level = getenv("TEST_VERBOSE") ? "debug" : "error" };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
#ifndef JITSU_SANITIZED /* the sanitizers look into /proc at the end */
	args.uid = args.gid = 65534;
	args.chroot_dir = dns_root;
#endif
	if (channel != CHILD_SUPERVISOR_FD)
		dup2(channel, CHILD_SUPERVISOR_FD);
	for (int fd = CHILD_SUPERVISOR_FD + 1; fd < 64; fd++)
		close(fd);
	_exit(dns_main(&args));
}

static void introduce(void)
{
	struct msg_peer to_dns = { .role = ROLE_LAUNCHER }, to_launcher = { .role = ROLE_DNS };
	int fds[2];

	assert_int_equal(ipc_pair(fds), 0);
	say_fd(dns_supervisor, MSG_PEER, &to_dns, fds[0]);
	say_fd(w.supervisor, MSG_PEER, &to_launcher, fds[1]);
	close(fds[0]);
	close(fds[1]);
}

static void start_dns(void)
{
	int fds[2], slots = slots_create();

	strcpy(dns_root, "/tmp/jitsu-dns-XXXXXX");
	assert_non_null(mkdtemp(dns_root));
	assert_int_equal(ipc_pair(fds), 0);
	dns_pid = fork();
	assert_true(dns_pid >= 0);
	if (dns_pid == 0)
		run_dns(fds[1]);
	close(fds[1]);
	dns_supervisor = fds[0];
	give_socket(HOST);
	give_socket(HOST6);
	say_fd(dns_supervisor, MSG_SLOTS, NULL, slots);
	close(slots);
	introduce();
}

static void stop_dns(void)
{
	int status = -1;

	if (dns_pid == 0)
		return;
	say(dns_supervisor, MSG_STOP, NULL);
	waitpid(dns_pid, &status, 0);
	hang_up(&dns_supervisor);
	rmdir(dns_root);
	dns_pid = 0;
	assert_int_equal(status, 0);
}

/* It must have stopped well, and left nothing on the interface. */
static int teardown_net(void **state)
{
	int r;

	if (!have_netns)
		return 0;
	stop_dns();
	r = teardown(state);
	if (program_id() != 0)
		r = -1;
	fd_close(&client);
	return ip_run("ip link del c0") < 0 ? -1 : r;
}

/* All but "off" run, started by somebody else. */
#define RUNNING                                                                                    \
	DOMAINS({ "dom-www", 7, DOMAIN_RUNNING }, { "dom-multi", 8, DOMAIN_RUNNING }, { "dom-full", 9, DOMAIN_RUNNING })

static const struct probe www = { .name = "www", .xdp = true };

static void until_answered(void)
{
	uint64_t until = clock_now_ms() + WAIT_MS;
	uint8_t b[FRAME_MAX];

	while (clock_now_ms() < until) {
		send_probe(&www, 9999);
		if (hear_answer(b, 9999, 100) > 0)
			return;
	}
	fail_msg("nobody answers");
}

static void begin_with_dns(const char *listen, const char *dns)
{
	needs_xdp();
	write_xdp_conf(listen, dns, "");
	launch();
	connect_with(RUNNING);
	start_dns();
	until_answered();
}

/* www 4 names, of which the longest has no place, m 2, full 1; of two types, but full has IPv6 only. */
enum { NAMES = 3 * 2 + 2 * 2 + 1 };

static void wait_for_program(void)
{
	uint64_t until = clock_now_ms() + WAIT_MS;

	while (names_in_table() != NAMES && clock_now_ms() < until)
		usleep(5000);
	assert_int_equal(names_in_table(), NAMES);
}

static void reload_xdp(const char *listen, const char *dns)
{
	write_xdp_conf(listen, dns, "");
	say(w.supervisor, MSG_RELOAD, NULL);
	settle();
}

#define ON "\"xdp\":\"on\",\"rate\":0"

/* ---- the same bytes ---- */

static const struct probe probes[] = {
	{ "www", A, .xdp = true },
	{ "www", AAAA, .xdp = true },
	{ "www", A, .xdp = true, .v6 = true },
	{ "www", AAAA, .xdp = true, .v6 = true },
	{ "ww", A, .xdp = true }, /* a name of even length */
	{ "ww", AAAA, .xdp = true, .v6 = true },
	{ "ww", A, .xdp = true, .edns = EDNS, .size = 4660 },
	{ "WwW", A, .xdp = true },
	{ LABEL_48, A, .xdp = true }, /* the longest that has a place */
	{ LABEL_48, AAAA, .xdp = true, .edns = EDNS, .v6 = true },
	{ LABEL_48 "v", .type = A },
	{ "multi", A, .xdp = true },
	{ "MULTI", AAAA, .xdp = true, .edns = EDNS },
	{ "m", A, .xdp = true, .v6 = true },
	{ "m", AAAA, .xdp = true, .v6 = true, .edns = EDNS },
	{ "full", .type = AAAA }, /* does not fit without EDNS */
	{ "full", AAAA, .edns = EDNS, .size = 500 },
	{ "full", AAAA, .xdp = true, .large = true, .edns = EDNS, .size = 1232 },
	{ "full", .type = A },
	{ "www", A, .xdp = true, .edns = EDNS },
	{ "www", A, .xdp = true, .edns = EDNS, .size = 4096 },
	{ "www", A, .xdp = true, .edns = EDNS, .size = 65535 },
	{ "www", A, .xdp = true, .edns = EDNS, .size = 511 },
	{ "www", AAAA, .xdp = true, .edns = EDNS, .v6 = true, .size = 1400 },
	{ "www", A, .xdp = true, .flags = 1 }, /* no RD */
	{ "www", A, .xdp = true, .flags = RD | 0x20 },
	{ "www", A, .xdp = true, .flags = RD | 0x10 },
	{ "www", A, .xdp = true, .flags = 0x30, .v6 = true, .edns = EDNS },
	{ "www", A, .xdp = true, .from = STRANGER },
	{ "www", A, .xdp = true, .from = STRANGER, .edns = EDNS },
	{ "www", A, .xdp = true, .odd = NO_UDP_SUM },
	{ "ww", A, .xdp = true, .odd = NO_UDP_SUM, .edns = EDNS },
	{ "www", A, .xdp = true, .odd = PADDED },
	{ "www", A, .xdp = true, .odd = PADDED, .v6 = true },
	{ "www", A, .xdp = true, .odd = DONT_FRAGMENT },
	{ "www", A, .xdp = true, .odd = MANY_HOPS },
	{ "www", A, .xdp = true, .odd = MANY_HOPS, .v6 = true },
	/* passed on */
	{ "www", .type = MX },
	{ "www", .type = 255 },
	{ "www", A, .class = 3 },
	{ "www", A, .class = 255 },
	{ "static", .type = A },
	{ "a.wild", .type = A },
	{ "nothing", .type = A },
	{ "b.www", .type = A },
	{ "www.example.", A, .flags = 1 },
	{ ".", A, .flags = 1 },
	{ "jitsu.example.", .type = MX },
	{ "off", A, .silent = true }, /* is woken, and waits */
	{ "off", .type = AAAA },
	{ "www", A, .edns = EDNS_DO },
	{ "www", A, .edns = EDNS_Z },
	{ "www", A, .edns = EDNS_V1 },
	{ "www", A, .edns = EDNS_NSID },
	{ "www", A, .edns = EDNS_PADDING },
	{ "www", A, .edns = EDNS_TWICE },
	{ "www", A, .flags = 0x2800 }, /* UPDATE */
	{ "www", A, .flags = RD | 0x400 },
	{ "www", A, .flags = RD | 0x200 },
	{ "www", A, .flags = RD | 0x80 },
	{ "www", A, .flags = RD | 0x40 },
	{ "www", A, .flags = RD | 3 },
	{ "www", A, .odd = TRAILING },
	{ "www", A, .odd = TWO_QUESTIONS },
	{ "www", A, .odd = AN_ANSWER },
	{ "www", A, .odd = POINTER },
	{ "www", A, .odd = IS_ANSWER, .silent = true },
	{ "www", A, .odd = EXTENSION },
	{ "www", A, .odd = EXTENSION, .v6 = true },
	{ "www", A, .odd = BAD_UDP_SUM, .silent = true },
	{ "www", A, .odd = BAD_UDP_SUM, .v6 = true, .silent = true },
	{ "www", A, .odd = NO_UDP_SUM, .v6 = true, .silent = true },
	{ "www", A, .odd = BAD_IP_SUM, .silent = true },
	{ "www", A, .odd = FRAGMENT, .silent = true },
	{ "www", A, .odd = CUT, .silent = true },
	{ "www", A, .odd = TAGGED, .silent = true },
	{ "www", A, .odd = OTHER_MAC, .silent = true },
	{ "www", A, .odd = LOW_PORT, .silent = true },
	{ "www", A, .port = 54, .silent = true },
	{ "www", A, .to = "10.9.0.2", .silent = true },
	{ "www", A, .from = HOST, .silent = true }, /* its own address */
	{ "www", A, .from = "127.0.0.1", .silent = true },
	{ "www", A, .from = "224.0.0.1", .silent = true },
	{ "www", A, .from = "0.0.0.0", .silent = true },
	{ "www", A, .from = "ff02::1", .v6 = true, .silent = true },
	{ "www", A, .from = "::1", .v6 = true, .silent = true },
};

static uint8_t answers[ARRAY_SIZE(probes)][FRAME_MAX];
static size_t answer_bytes[ARRAY_SIZE(probes)];

static void describe(size_t i, const char *what)
{
	const struct probe *k = &probes[i];

	fail_msg("%s: %s, type %u, oddity %u, EDNS %u, flags %#x, row %zu", what, k->name, k->type, k->odd, k->edns,
		 k->flags, i);
}

static void print_frame(const char *whose, const uint8_t *b, size_t n)
{
	print_error("%s, %zu bytes:", whose, n);
	for (size_t i = 0; i < n; i++)
		print_error("%s%02x", i % 16 ? " " : "\n\t", b[i]);
	print_error("\n");
}

/* IPv4's identification is the kernel's to choose, and says nothing of packets that are never
 * fragmented (RFC 6864, 4.1): it may be another, and so the header's checksum, if that is right. */
static bool same_frames(uint8_t *a, uint8_t *b, size_t n)
{
	if (n > ETH_HLEN + 20 && a[12] == 0x08 && b[12] == 0x08) {
		if (finish(sum_of(a + ETH_HLEN, 20)) != 0 || finish(sum_of(b + ETH_HLEN, 20)) != 0)
			return false;
		memcpy(b + ETH_HLEN + 4, a + ETH_HLEN + 4, 2);
		memcpy(b + ETH_HLEN + 10, a + ETH_HLEN + 10, 2);
	}
	return memcmp(a, b, n) == 0;
}

static void test_same_bytes(void **state)
{
	uint8_t b[FRAME_MAX];

	(void)state;
	begin_with_dns(LISTEN, ON);
	wait_for_program();
	for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
		struct dns_xdp_counts before = counts(), after;

		answer_bytes[i] = ask_by(&probes[i], (uint16_t)(1 + i), answers[i]);
		after = counts();
		if (probes[i].large)
			after.answered += after.no_room - before.no_room;
		if ((answer_bytes[i] == 0) != probes[i].silent)
			describe(i, answer_bytes[i] ? "answered" : "not answered");
		if (after.answered != before.answered + probes[i].xdp)
			describe(i, probes[i].xdp ? "not answered by XDP" : "answered by XDP");
	}
	reload_xdp(LISTEN, "\"xdp\":\"off\",\"rate\":0");
	assert_int_equal(program_id(), 0);
	until_answered();
	for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
		size_t n = ask_by(&probes[i], (uint16_t)(1 + i), b);

		/* (a negative answer has the zone's serial, which rises with each configuration) */
		if (n == answer_bytes[i] && (!probes[i].xdp || same_frames(answers[i], b, n)))
			continue;
		print_frame("with XDP", answers[i], answer_bytes[i]);
		print_frame("without", b, n);
		describe(i, "the sockets say otherwise");
	}
}

/* A server's cookie tells the time. */
static void test_cookies_are_for_dns(void **state)
{
	static const struct probe cookie = { "www", A, .edns = EDNS_COOKIE };
	uint8_t b[FRAME_MAX];
	uint64_t before;

	(void)state;
	begin_with_dns(LISTEN, ON);
	wait_for_program();
	before = counts().answered;
	assert_int_equal(ask_by(&cookie, 1, b), header_of(b) + 12 + 23 + 16 + 11 + 4 + 24);
	assert_int_equal(counts().answered, before);
}

/* The sender leaves the checksum to hardware, which a veth has none of: the kernel's word counts. */
static void test_unfinished_checksum(void **state)
{
	static const struct {
		const char *type, *name, *at, *address;
	} kinds[] = {
		{ "A", "www", HOST, CLIENT "/24" },
		{ "AAAA", "ww", HOST, CLIENT "/24" },
		{ "A", "ww", HOST6, CLIENT6 "/64" },
		{ "AAAA", "www", HOST6, CLIENT6 "/64" },
	};

	(void)state;
	begin_with_dns(LISTEN, ON);
	wait_for_program();
	assert_int_equal(ip_run("ip netns add jxdp%d && ip link set c1 netns jxdp%d", getpid(), getpid()), 0);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		uint64_t before = counts().answered;
		int r = ip_run("n=jxdp%d; ip -n $n link set c1 up; ip -n $n addr replace %s dev c1 nodad 2>/dev/null || "
			       "ip -n $n addr replace %s dev c1; nsenter --net=/run/netns/$n "
			       "dig +noedns +noadflag +tries=5 +time=2 @%s %s.jitsu.example %s | "
			       "grep -q 'status: NOERROR'", getpid(), kinds[i].address, kinds[i].address, kinds[i].at,
			       kinds[i].name, kinds[i].type);

		if (r != 0 || counts().answered != before + 1) {
			ip_run("ip netns del jxdp%d", getpid());
			fail_msg("row %zu: result %d, answered by XDP %u", i, r, (unsigned)(counts().answered - before));
		}
	}
	assert_int_equal(ip_run("ip -n jxdp%d link set c1 netns %d; ip netns del jxdp%d", getpid(), getpid(), getpid()), 0);
}

/* ---- states ---- */

static void test_state_and_reload(void **state)
{
	enum msg_type type = 0;
	uint8_t b[FRAME_MAX];
	uint64_t before;

	(void)state;
	begin_with_dns(LISTEN, ON);
	wait_for_program();
	say_event("dom-multi", EVENT_STOPPED, 8, "");
	inspected("dom-multi", -1, DOMAIN_OFF);
	WAIT_UNTIL(names_in_table() == NAMES - 4);
	before = counts().answered;
	for (unsigned i = 0; i < WAIT_MS / 100 && type == 0; i++) { /* dns may not have heard yet */
		send_probe(&(struct probe){ .name = "multi" }, 1);
		type = hear(w.be, 100);
	}
	assert_int_equal(type, MSG_BE_START); /* it was woken; the query waits */
	assert_int_equal(counts().answered, before);
	/* another record */
	write_xdp_conf(LISTEN, ON, ",\"ttl_down\":\"1s\"");
	say(w.supervisor, MSG_RELOAD, NULL);
	settle();
	WAIT_UNTIL(names_in_table() == NAMES - 4);
	before = counts().answered;
	assert_true(ask_by(&www, 2, b) > 0);
	assert_int_equal(counts().answered, before + 1);
}

/* ---- who else is there ---- */

static int foreign_program(void)
{
	const struct bpf_insn pass[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "foreign", "GPL", pass, ARRAY_SIZE(pass), NULL);
}

static void test_foreign_program_stays(void **state)
{
	int ifindex, fd;
	uint8_t b[FRAME_MAX];
	uint32_t id;

	(void)state;
	needs_xdp();
	ifindex = (int)if_nametoindex("c0");
	fd = foreign_program();
	assert_true(fd >= 0);
	assert_int_equal(bpf_xdp_attach(ifindex, fd, XDP_FLAGS_SKB_MODE, NULL), 0);
	id = program_id();
	begin_with_dns(LISTEN, ON);
	assert_int_equal(program_id(), id);
	assert_true(ask_by(&www, 1, b) > 0);
	assert_int_equal(bpf_xdp_detach(ifindex, XDP_FLAGS_SKB_MODE, NULL), 0);
	close(fd);
	reload_xdp(LISTEN, ON); /* is tried again */
	wait_for_program();
	assert_int_not_equal(program_id(), id);
}

static void test_only_where_wanted(void **state)
{
	static const char *const listen[] = { LISTEN, LISTEN, "\"0.0.0.0:53\",\"[::]:53\"", "\"127.0.0.1:53\"" };
	static const char *const dns[] = { "\"xdp\":\"off\"", "", ON, ON };

	(void)state;
	begin_with_dns(LISTEN, dns[0]);
	for (size_t i = 0; i < ARRAY_SIZE(listen); i++) { /* auto: not on a veth */
		reload_xdp(listen[i], dns[i]);
		assert_int_equal(program_id(), 0);
		until_answered();
	}
	reload_xdp(LISTEN, ON);
	wait_for_program();
}

static void test_addresses_that_move(void **state)
{
	uint64_t before;
	uint8_t b[FRAME_MAX];

	(void)state;
	begin_with_dns("\"" HOST ":53\"", ON);
	wait_for_program();
	assert_int_equal(ip_run("ip addr del " HOST "/24 dev c0"), 0);
	WAIT_UNTIL(program_id() == 0);
	assert_int_equal(ip_run("ip addr add " HOST "/24 dev c0; ip neigh replace " CLIENT " lladdr " CLIENT_MAC
				" dev c0 nud permanent"), 0);
	wait_for_program();
	before = counts().answered;
	assert_true(ask_by(&www, 1, b) > 0);
	assert_int_equal(counts().answered, before + 1);
	/* another MAC: frames to the old one are not for us any more */
	assert_int_equal(ip_run("ip link set c0 address 02:00:00:00:00:77"), 0);
	WAIT_UNTIL(ask_by(&(struct probe){ .name = "www", .odd = OTHER_MAC, .silent = true }, 2, b) > 0 &&
		   counts().answered > before + 1);
}

static void test_killed_launcher(void **state)
{
	uint8_t b[FRAME_MAX];

	(void)state;
	begin_with_dns(LISTEN, ON);
	wait_for_program();
	kill(w.pid, SIGKILL);
	end_launcher();
	WAIT_UNTIL(program_id() == 0);
	assert_true(ask_by(&www, 1, b) > 0); /* dns goes on */
	launch();
	connect_with(RUNNING);
	introduce();
	wait_for_program();
}

/* ---- budgets ---- */

static void test_budget(void **state)
{
	enum { RATE = 20, N = 100 };
	static const struct probe stranger = { .name = "www", .from = STRANGER };
	uint8_t b[FRAME_MAX];
	struct dns_xdp_counts before, after;
	uint64_t began;
	unsigned whole = 0;

	(void)state;
	begin_with_dns(LISTEN, "\"xdp\":\"on\",\"rate\":20,\"rate_slip\":0,\"rate_exempt\":[\"10.9.0.0/24\",\"fd09::/64\"]");
	wait_for_program();
	before = counts();
	began = clock_now_ms();
	for (uint16_t i = 0; i < N; i++)
		send_probe(&stranger, 1 + i);
	for (uint16_t i = 0; i < N; i++)
		whole += hear_answer(b, 1 + i, 20) > 0;
	began = clock_now_ms() - began;
	after = counts();
	assert_true(after.answered - before.answered >= RATE / 2);
	assert_true(after.answered - before.answered <= RATE / 2 + 1 + began * RATE / 2 / 1000);
	assert_int_equal(after.answered + after.limited - before.answered - before.limited, N);
	if (whole > RATE + 2 + began * RATE / 1000)
		fail_msg("%u answers within %u ms", whole, (unsigned)began);
	for (uint16_t i = 0; i < N; i++) { /* those who are exempt are not counted */
		before = counts();
		assert_true(ask_by(&www, 200 + i, b) > 0);
		assert_int_equal(counts().answered, before.answered + 1);
	}
}

/* ---- the idle rule; dns is a script ---- */

static void say_loaded(void)
{
	struct msg_dns_loaded m = { .seq = got.dns_conf.seq };

	say(w.dns, MSG_DNS_LOADED, &m);
}

/* Woken and up; only its DNS horizon can keep it up for long.  dns's share of the rate in *rate. */
static void begin_with_script(const char *horizon, uint32_t *rate)
{
	char more[128];
	enum msg_type type;
	struct msg_dns_loaded loaded = { 0 };

	needs_xdp();
	snprintf(more, sizeof(more), ",\"hold\":\"off\",\"idle_timeout\":\"150ms\",\"dns_horizon\":\"%s\"", horizon);
	write_xdp_conf(LISTEN, "\"xdp\":\"on\",\"rate\":7", more);
	launch();
	connect_with(NULL);
	meet(&w.dns, ROLE_DNS);
	expect(w.dns, MSG_BEGIN);
	w.n = 0;
	while ((type = hear(w.dns, WAIT_MS)) != MSG_END) {
		assert_int_not_equal(type, 0);
		if (type == MSG_DNS_CONF) {
			loaded.seq = got.dns_conf.seq;
			*rate = got.dns_conf.rate;
		}
		if (type == MSG_DNS_SERVICE)
			w.services[w.n++] = got.service;
	}
	say(w.dns, MSG_DNS_LOADED, &loaded);
	settle();
}

static void test_last_asked_is_seen(void **state)
{
	uint8_t b[FRAME_MAX];
	uint32_t rate = 0;

	(void)state;
	begin_with_script("1h", &rate);
	assert_int_equal(rate, 4); /* of 7 */
	bring_up("www", "dom-www", 7);
	assert_int_equal(names_in_table(), 6);
	assert_true(ask_by(&www, 1, b) > 0); /* nobody but XDP is there to answer */
	quiet_for(w.dns, 600); /* four times as long as without */
	assert_string_equal(state_of("www"), "up");
	assert_string_equal(field(CTL_SHOW, "www", "xdp_answers"), "1");
}

static void test_drain_ends_answers(void **state)
{
	uint8_t b[FRAME_MAX];
	uint64_t before;
	uint32_t rate = 0;

	(void)state;
	begin_with_script("0s", &rate);
	bring_up("www", "dom-www", 7);
	assert_true(ask_by(&www, 1, b) > 0);
	expect_state("www", STATE_DRAINING);
	assert_int_equal(names_in_table(), 0); /* before dns was told */
	before = counts().answered;
	assert_int_equal(ask_by(&(struct probe){ .name = "www", .silent = true }, 2, b), 0);
	assert_int_equal(counts().answered, before);
	say(w.dns, MSG_DNS_STATE_ACK, &got.state);
	expect_state("www", STATE_STOPPING);
	say_result(expect_target(MSG_BE_STOP, "dom-www"), "dom-www", 0, "", -1);
	expect_state("www", STATE_OFF);
	assert_int_equal(names_in_table(), 0);
	bring_up("www", "dom-www", 8);
	assert_int_equal(names_in_table(), 6);
}

/* ---- waiting for programs ---- */

static void on_quiet(void *arg, uint32_t number)
{
	uint32_t *last = arg;

	assert_true(number > *last);
	*last = number;
}

static void test_every_asking_is_answered(void **state)
{
	struct event_base *base = event_base_new();
	uint32_t last = 0;
	struct err e = { 0 };
	struct quiesce *q = quiesce_new(base, on_quiet, &last, &e);

	(void)state;
	if (!q) {
		print_message("%s\n", e.text);
		event_base_free(base);
		skip();
	}
	for (uint32_t i = 1; i <= 3; i++)
		assert_int_equal(quiesce_ask(q), i);
	while (last < 3)
		assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
	assert_int_equal(quiesce_ask(q), 4);
	while (last < 4)
		assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
	quiesce_ask(q); /* nobody waits for this one */
	quiesce_free(q);
	event_base_free(base);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup_net, teardown_net)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_same_bytes),
		T(test_cookies_are_for_dns),
		T(test_unfinished_checksum),
		T(test_state_and_reload),
		T(test_foreign_program_stays),
		T(test_only_where_wanted),
		T(test_addresses_that_move),
		T(test_killed_launcher),
		T(test_budget),
		T(test_last_asked_is_seen),
		T(test_drain_ends_answers),
		cmocka_unit_test(test_every_asking_is_answered),
	};

	have_netns = netns_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
