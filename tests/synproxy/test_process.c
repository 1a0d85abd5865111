#include <fcntl.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include "synproxy/handover.h"
#include "synproxy/hold.h"
#include "tests/synproxy/packets.h"
#include "tests/synproxy/world.h"

/* Holding, by the process in its sandbox: a bridge with its tap, this test as supervisor, launcher
 * and client, and a VM behind another port of the bridge. */

enum { SVC = 3, GEN = 5, WAIT_MS = 5000 };
enum { MAX_HOLD_MS = 1700 }; /* not when a client sends its SYN again: after 1 s, and 2 or 3 */

#define OTHER_MAC "02:00:00:00:00:20"

static int tap = -1, memory = -1;
static _Alignas(16) uint8_t body[MSG_BODY_MAX]; /* the last message that was waited for */

/* ---- the bridge ---- */

static int make_tap(void)
{
	struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI };

	strcpy(r.ifr_name, "hold0");
	tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (tap < 0 || ioctl(tap, TUNSETIFF, &r) < 0)
		return -errno;
	return ip_run("sysctl -qw net.ipv6.conf.hold0.disable_ipv6=1; ip link set hold0 master br0 "
		      "txqueuelen 4096 up && bridge link set dev hold0 learning off");
}

static int entry_at(const char *port)
{
	return ip_run("bridge fdb replace " VM_MAC " dev %s master static %s", port,
		      strcmp(port, "hold0") == 0 ? "sticky" : "");
}

static bool entry_is_at_tap(void)
{
	return ip_run("bridge fdb show br br0 | grep -q '^" VM_MAC " dev hold0 .*sticky.*static'") == 0;
}

static int setup(void **state)
{
	(void)state;
	if (!have_netns)
		return 0;
	memory = hold_memory_create();
	if (memory < 0 || ip_run("ip link add br0 type bridge && ip addr add 10.9.0.250/24 dev br0 && "
				 "ip link set br0 up") < 0)
		return -1;
	if (make_tap() < 0 || entry_at("hold0") < 0 || start_vm("ip link set port0 master br0") < 0)
		return -1;
	return run_synproxy();
}

static int teardown(void **state)
{
	int status;

	(void)state;
	if (!have_netns)
		return 0;
	status = stop_synproxy();
	stop_vm();
	fd_close(&tap);
	fd_close(&memory);
	ip_run("ip link del br0");
	return status;
}

/* ---- the launcher ---- */

static struct msg_hold_service service(uint32_t gen, enum hold_stage stage)
{
	struct msg_hold_service m = {
		.svc = SVC, .gen = gen, .name = "www", .bridge = 9, .n_addrs = 1, .n_ports = 1, .ports = { { 80 } },
		.stage = (uint8_t)stage, .wakes = true, .hold_udp = 4, .max_hold_ms = MAX_HOLD_MS,
	};

	mac_parse(VM_MAC, &m.mac);
	ip_parse("10.9.0.7", &m.addrs[0]);
	return m;
}

static void give_tap(void)
{
	struct msg_hold_bridge m = { .bridge = 9, .name = "br0", .conflict_probe_ms = 300 };

	put_message(launcher, MSG_HOLD_BRIDGE, &m, tap);
}

static void snapshot_of(const struct msg_hold_service *m)
{
	struct msg_hold_conf conf = { .max_held = 1000, .held_per_source = 500 };

	put_message(launcher, MSG_BEGIN, NULL, -1);
	put_message(launcher, MSG_HOLD_CONF, &conf, -1);
	give_tap();
	put_message(launcher, MSG_HOLD_SERVICE, m, -1);
	put_message(launcher, MSG_END, NULL, -1);
}

/* The next message of this type; others are passed over. */
static const void *wait_for(enum msg_type wanted_type)
{
	uint64_t until = clock_now_ms() + WAIT_MS;
	enum msg_type type;

	do {
		type = get_message(launcher, WAIT_MS, body);
		if (type == wanted_type)
			return body;
	} while (type != MSG_TYPE_MAX && clock_now_ms() < until);
	fail_msg("no %s came", msg_name(wanted_type));
	return NULL;
}

static const struct msg_hold_event *wait_for_event(enum hold_what what)
{
	const struct msg_hold_event *m;

	do {
		m = wait_for(MSG_HOLD_EVENT);
	} while (m->what != what);
	return m;
}

static void begin(enum hold_stage stage)
{
	struct msg_hold_service m = service(GEN, stage);

	put_message(supervisor, MSG_HOLD_MEMORY, NULL, memory);
	snapshot_of(&m);
	assert_int_equal(get_message(supervisor, WAIT_MS, body), MSG_READY);
}

static void say_stage(enum hold_stage stage)
{
	struct msg_hold_stage m = { .svc = SVC, .gen = GEN, .stage = (uint8_t)stage, .seq = 77 };
	const struct msg_hold_stage *ack;

	put_message(launcher, MSG_HOLD_STAGE, &m, -1);
	ack = wait_for(MSG_HOLD_ACK);
	assert_int_equal(ack->seq, 77);
	assert_int_equal(ack->stage, stage);
}

static void give_port(void)
{
	struct msg_probe_start p = wanted(SVC);
	struct msg_hold_port m = {
		.svc = SVC, .gen = GEN, .vm_mac = p.vm_mac, .probe_mac = p.probe_mac, .probe_ip4 = p.probe_ip4,
		.probe_ip6 = p.probe_ip6,
	};
	int fd = port_socket();

	put_message(launcher, MSG_HOLD_PORT, &m, fd);
	close(fd);
}

static void move(void)
{
	struct msg_hold_moved m = { .svc = SVC, .gen = GEN };

	wait_for_event(HOLD_MOVE);
	assert_int_equal(entry_at("port0"), 0);
	put_message(launcher, MSG_HOLD_MOVED, &m, -1);
}

/* What is held, as operators hear it; of the last flow in *out. */
static uint32_t flows(struct msg_flow *out)
{
	struct msg_flows_ask ask = { .id = 12, .all = true };
	uint32_t rows = 0;
	enum msg_type type;

	put_message(launcher, MSG_FLOWS_ASK, &ask, -1);
	do {
		const struct msg_flows_rows *m = (const void *)body;

		type = get_message(launcher, WAIT_MS, body);
		assert_int_not_equal(type, MSG_TYPE_MAX);
		if (type != MSG_FLOWS_ROWS)
			continue;
		assert_int_equal(m->id, 12);
		rows += m->n;
		*out = m->flows[m->n - 1];
	} while (type != MSG_FLOWS_END);
	assert_int_equal(((const struct msg_flows_end *)(const void *)body)->total, rows);
	return rows;
}

static uint32_t n_flows(void)
{
	struct msg_flow last;

	return flows(&last);
}

/* ---- the client ---- */

/* Begins to connect; `port` is its own, 0: any. */
static int connecting(uint16_t to_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(to_port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, "10.9.0.7", &a.sin_addr);
	assert_int_equal(connect(fd, (void *)&a, sizeof(a)), -1);
	assert_int_equal(errno, EINPROGRESS);
	return fd;
}

/* 0, or how it failed; -EAGAIN when neither in `ms`.  Closes it. */
static int connected(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	socklen_t n = sizeof(int);
	int error = EAGAIN;

	if (poll(&p, 1, ms) == 1)
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n);
	close(fd);
	return -error;
}

/* A socket that sends any frame into the bridge, as the host. */
static int raw_socket(void)
{
	struct sockaddr_ll where = { .sll_family = AF_PACKET };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	where.sll_ifindex = (int)if_nametoindex("br0");
	assert_int_equal(bind(fd, (void *)&where, sizeof(where)), 0);
	return fd;
}

static size_t forged_syn(uint8_t *out, uint32_t i)
{
	struct tcp_segment s = {
		.src_port = (uint16_t)(1024 + i % 50000), .dst_port = 80, .flags = TCP_SYN, .seq = i,
	};

	mac_parse(VM_MAC, &s.eth_dst);
	mac_parse(OTHER_MAC, &s.eth_src);
	ip_parse("10.9.0.7", &s.dst);
	s.src = (struct ip_addr){ { [10] = 0xff, 0xff, 11, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i } };
	return frame_tcp(out, &s);
}

/* ---- asleep ---- */

static void test_arp_and_syn(void **state)
{
	const struct msg_wake *w;
	const struct msg_hold_counts *c;
	struct msg_flow f;
	struct ip_addr host;
	int fd;

	(void)state;
	needs_netns();
	begin(HOLD_STAGE_SLEEP);
	fd = connecting(80);
	w = wait_for(MSG_WAKE);
	ip_parse("10.9.0.250", &host);
	assert_int_equal(w->svc, SVC);
	assert_int_equal(w->gen, GEN);
	assert_int_equal(w->cause, CAUSE_SYN);
	assert_int_equal(w->port, 80);
	assert_true(ip_equal(&w->client, &host));
	assert_true(w->t_ns <= clock_now_ns() && w->t_ns > clock_now_ns() - NS_PER_S);
	assert_int_equal(ip_run("ip neigh show 10.9.0.7 | grep -q " VM_MAC), 0); /* the VM's own MAC */
	assert_int_equal(flows(&f), 1);
	assert_true(ip_equal(&f.client, &host));
	assert_int_equal(f.port, 80);
	assert_int_equal(f.packets, 1);
	c = wait_for(MSG_HOLD_COUNTS);
	assert_int_equal(c->held, 1);
	assert_int_equal(c->syns, 1);
	assert_true(c->arps > 0);
	assert_int_equal(connected(fd, MAX_HOLD_MS + 500), -ECONNREFUSED); /* RST at max_hold */
	assert_int_equal(n_flows(), 0);
	assert_true(entry_is_at_tap());
}

static void test_nothing_before_the_first_snapshot(void **state)
{
	int fd;

	(void)state;
	needs_netns();
	put_message(supervisor, MSG_HOLD_MEMORY, NULL, memory);
	fd = connecting(80);
	assert_int_equal(get_message(launcher, 100, body), MSG_TYPE_MAX);
	assert_int_equal(connected(fd, 0), -EAGAIN);
	assert_int_not_equal(ip_run("ip neigh show 10.9.0.7 | grep -q " VM_MAC), 0);
}

static void test_without_memory(void **state)
{
	struct msg_hold_service m = service(GEN, HOLD_STAGE_SLEEP);
	int fd;

	(void)state;
	needs_netns();
	snapshot_of(&m);
	fd = connecting(80);
	wait_for(MSG_WAKE); /* the retransmission will be served */
	assert_int_equal(n_flows(), 0);
	close(fd);
}

static void test_wake_on_lan(void **state)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
	const struct msg_wake *w;
	uint8_t magic[102];
	struct mac_addr mac;

	(void)state;
	needs_netns();
	begin(HOLD_STAGE_SLEEP);
	mac_parse(VM_MAC, &mac);
	memset(magic, 0xff, 6);
	for (int i = 1; i <= 16; i++)
		memcpy(magic + 6 * i, &mac, 6);
	inet_pton(AF_INET, "10.9.0.255", &to.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
	assert_int_equal(sendto(fd, magic, sizeof(magic), 0, (void *)&to, sizeof(to)), sizeof(magic));
	close(fd);
	w = wait_for(MSG_WAKE);
	assert_int_equal(w->cause, CAUSE_WOL);
	assert_int_equal(w->svc, SVC);
}

/* ---- the whole way ---- */

static void boot(void)
{
	struct msg_probe_start m = wanted(SVC);

	say_stage(HOLD_STAGE_BOOT);
	start_probe(&m);
	tell_vm('u');
	tell_vm('l');
}

static void test_hand_over(void **state)
{
	uint64_t begun = clock_now_ms();
	int fd;

	(void)state;
	needs_netns();
	begin(HOLD_STAGE_SLEEP);
	fd = connecting(80);
	wait_for(MSG_WAKE);
	boot();
	move();
	assert_int_equal(wait_for_event(HOLD_RELEASED)->n, 1);
	assert_int_equal(connected(fd, 2000), 0);
	assert_true(clock_now_ms() < begun + 900); /* not by the client's own retransmission */
	assert_int_equal(tell_vm('c'), 'y');
	say_stage(HOLD_STAGE_UP);
	wait_for_event(HOLD_DONE);
	assert_int_equal(connected(connecting(80), 500), 0); /* there is nothing of ours in its way */
	assert_int_equal(n_flows(), 0);
}

/* The VM is to be stopped, and a client comes at the last moment. */
static void test_drain_and_back(void **state)
{
	struct msg_hold_stage m = { .svc = SVC, .gen = GEN, .stage = HOLD_STAGE_DRAIN, .seq = 78 };
	enum msg_type type;
	int fd;

	(void)state;
	needs_netns();
	begin(HOLD_STAGE_SLEEP);
	boot();
	move();
	say_stage(HOLD_STAGE_UP);
	assert_int_equal(connected(connecting(80), 1000), 0);
	kill(proxy_pid, SIGSTOP);
	assert_int_equal(entry_at("hold0"), 0);
	fd = connecting(80);
	give_port();
	put_message(launcher, MSG_HOLD_STAGE, &m, -1);
	kill(proxy_pid, SIGCONT);
	do { /* the wake comes before the acknowledgement */
		type = get_message(launcher, WAIT_MS, body);
		assert_int_not_equal(type, MSG_TYPE_MAX);
		assert_int_not_equal(type, MSG_HOLD_ACK);
	} while (type != MSG_WAKE);
	wait_for(MSG_HOLD_ACK);
	say_stage(HOLD_STAGE_UP);
	move();
	assert_int_equal(connected(fd, 500), 0);
}

/* The VM answers ARP and nothing else. */
static void test_a_guest_with_a_firewall(void **state)
{
	struct msg_probe_start m = wanted(SVC);
	const struct msg_probe_event *e;
	uint64_t begun;

	(void)state;
	needs_netns();
	begin(HOLD_STAGE_BOOT);
	tell_vm('u');
	assert_int_equal(tell_vm('d'), 'd');
	begun = clock_now_ms();
	start_probe(&m);
	do {
		e = wait_for(MSG_PROBE_EVENT);
	} while (e->what == PROBE_LINK);
	assert_int_equal(e->what, PROBE_SILENT);
	assert_in_range(clock_now_ms() - begun, 200, 1000);
	move();
}

static unsigned packet_sockets(void)
{
	char line[256];
	unsigned n = 0;
	FILE *f = fopen("/proc/net/packet", "re");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n++;
	fclose(f);
	return n - 1; /* the first line is a title */
}

/* The VM is ready by other rules, and one of its addresses never answers. */
static void test_an_address_that_never_answers(void **state)
{
	struct msg_probe_start m = wanted(SVC);

	(void)state;
	needs_netns();
	begin(HOLD_STAGE_BOOT);
	ip_parse("10.9.0.77", &m.addrs[m.n_addrs++]);
	tell_vm('u');
	tell_vm('l');
	start_probe(&m);
	move();
	say_stage(HOLD_STAGE_UP);
	assert_int_equal(packet_sockets(), 1);
	wait_for_event(HOLD_DONE);
	n_flows(); /* it has gone on since */
	assert_int_equal(packet_sockets(), 0);
}

/* Who comes before other stages may as well be told of after them. */
static void test_only_drain_waits_for_the_tap(void **state)
{
	struct msg_hold_stage m = { .svc = SVC, .gen = GEN, .stage = HOLD_STAGE_FROZEN, .seq = 78 };
	uint8_t frame[FRAME_BUILT_MAX];
	enum msg_type type;
	int raw;

	(void)state;
	needs_netns();
	begin(HOLD_STAGE_SLEEP);
	raw = raw_socket();
	kill(proxy_pid, SIGSTOP);
	for (uint32_t i = 0; i < 100; i++)
		assert_true(send(raw, frame, forged_syn(frame, i), 0) > 0);
	put_message(launcher, MSG_HOLD_STAGE, &m, -1);
	kill(proxy_pid, SIGCONT);
	do {
		type = get_message(launcher, WAIT_MS, body);
		assert_int_not_equal(type, MSG_TYPE_MAX);
		assert_int_not_equal(type, MSG_WAKE);
	} while (type != MSG_HOLD_ACK);
	wait_for(MSG_WAKE);
	close(raw);
}

/* ---- many ---- */

enum { MANY = 60 };

static struct msg_hold_service one_of_many(uint32_t i)
{
	struct msg_hold_service m = service(GEN, HOLD_STAGE_SLEEP);

	m.svc = SVC + 1 + i;
	m.mac.b[4] = 1;
	m.mac.b[5] = (uint8_t)i;
	ip_parse("10.9.1.0", &m.addrs[0]);
	m.addrs[0].b[15] = (uint8_t)i;
	return m;
}

/* The wakes of each service in `ms`. */
static void count_wakes(unsigned ms, unsigned *n)
{
	uint64_t until = clock_now_ms() + ms;

	while (clock_now_ms() < until) {
		if (get_message(launcher, 10, body) == MSG_WAKE)
			n[((const struct msg_wake *)(const void *)body)->svc]++;
	}
}

/* Whose is what is found out once for all that are told of at once. */
static void test_services_that_are_told_of_together(void **state)
{
	unsigned n[SVC + 1 + MANY] = { 0 };
	int fd;

	(void)state;
	needs_netns();
	begin(HOLD_STAGE_SLEEP);
	fd = connecting(80);
	wait_for(MSG_WAKE);
	kill(proxy_pid, SIGSTOP);
	for (uint32_t i = 0; i < MANY; i++) {
		struct msg_hold_service m = one_of_many(i);

		put_message(launcher, MSG_HOLD_SERVICE, &m, -1);
	}
	kill(proxy_pid, SIGCONT);
	count_wakes(300, n);
	assert_in_range(n[SVC], 1, 2); /* who waits speaks each time */
	assert_int_equal(n_flows(), 1);
	close(fd);
}

static pid_t flood_many(int raw, unsigned ms)
{
	uint64_t until = clock_now_ms() + ms;
	uint8_t frame[FRAME_BUILT_MAX];
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (uint32_t i = 0; clock_now_ms() < until; i++) {
		struct msg_hold_service m = one_of_many(i % MANY);
		struct tcp_segment s = {
			.eth_dst = m.mac, .dst = m.addrs[0], .src_port = (uint16_t)(1024 + i % 50000), .dst_port = 80,
			.flags = TCP_SYN, .seq = i,
		};

		mac_parse(OTHER_MAC, &s.eth_src);
		s.src = (struct ip_addr){ { [10] = 0xff, 0xff, 11, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i } };
		send(raw, frame, frame_tcp(frame, &s), 0);
		if (i % 20 == 0)
			usleep(1000);
	}
	_exit(0);
}

/* More services are flooded than may wake together: each gets its share. */
static void test_each_has_its_turn_to_wake(void **state)
{
	enum { MS = 1500, SHARE = MS * HANDOVER_ALL_WAKES_PER_S / MS_PER_S / MANY };
	unsigned n[SVC + 1 + MANY] = { 0 };
	pid_t flooder;
	int raw;

	(void)state;
	needs_netns();
	begin(HOLD_STAGE_SLEEP);
	for (uint32_t i = 0; i < MANY; i++) {
		struct msg_hold_service m = one_of_many(i);

		put_message(launcher, MSG_HOLD_SERVICE, &m, -1);
	}
	raw = raw_socket();
	flooder = flood_many(raw, MS);
	count_wakes(MS, n);
	waitpid(flooder, NULL, 0);
	close(raw);
	for (uint32_t i = 0; i < MANY; i++)
		assert_true(n[SVC + 1 + i] >= SHARE / 2);
}

/* ---- restarts ---- */

static void test_killed(void **state)
{
	struct msg_hold_service m = service(GEN + 1, HOLD_STAGE_SLEEP);
	const struct msg_wake *w;
	struct msg_flow before, after;
	int fd;

	(void)state;
	needs_netns();
	begin(HOLD_STAGE_SLEEP);
	fd = connecting(80);
	wait_for(MSG_WAKE);
	assert_int_equal(flows(&before), 1);
	kill(proxy_pid, SIGKILL);
	waitpid(proxy_pid, NULL, 0);
	fd_close(&supervisor);
	fd_close(&launcher);
	assert_true(entry_is_at_tap());
	assert_int_equal(run_synproxy(), 0);
	put_message(supervisor, MSG_HOLD_MEMORY, NULL, memory);
	m.svc = SVC + 1; /* a service's number means nothing to the next one */
	snapshot_of(&m);
	w = wait_for(MSG_WAKE);
	assert_int_equal(w->svc, SVC + 1);
	assert_int_equal(w->gen, GEN + 1);
	assert_int_equal(flows(&after), 1);
	assert_int_equal(after.client_port, before.client_port);
	assert_int_equal(after.since_ns, before.since_ns);
	assert_int_equal(connected(fd, MAX_HOLD_MS), -ECONNREFUSED);
}

/* It goes on without a launcher, and tells the next one what it would have told. */
static void test_launcher_goes_away(void **state)
{
	struct msg_hold_service m = service(GEN + 1, HOLD_STAGE_SLEEP);
	int fd;

	(void)state;
	needs_netns();
	begin(HOLD_STAGE_SLEEP);
	fd_close(&launcher);
	fd = connecting(80);
	usleep(100000);
	assert_int_equal(ip_run("ip neigh show 10.9.0.7 | grep -q " VM_MAC), 0);
	assert_int_equal(new_launcher(), 0);
	snapshot_of(&m);
	assert_int_equal(((const struct msg_wake *)wait_for(MSG_WAKE))->gen, GEN + 1);
	assert_int_equal(n_flows(), 1);
	assert_int_equal(connected(fd, MAX_HOLD_MS), -ECONNREFUSED);
}

/* A service that a snapshot does not name is not held any more. */
static void test_a_service_goes(void **state)
{
	struct msg_hold_service m = service(GEN, HOLD_STAGE_SLEEP);
	int fd;

	(void)state;
	needs_netns();
	begin(HOLD_STAGE_SLEEP);
	fd = connecting(80);
	wait_for(MSG_WAKE);
	ip_parse("10.9.0.8", &m.addrs[0]);
	m.gen++;
	snapshot_of(&m);
	assert_int_equal(n_flows(), 0);
	assert_int_equal(connected(fd, 0), -EAGAIN); /* in silence: whose address it is now, we do not know */
}

/* The launcher gives the tap again: no frame is lost, and switches are told where the MAC is. */
static void test_the_tap_again(void **state)
{
	int raw, fd;
	struct pollfd p = { .events = POLLIN };
	uint8_t frame[128];
	struct frame f;

	(void)state;
	needs_netns();
	begin(HOLD_STAGE_SLEEP);
	raw = raw_socket();
	usleep(2600000); /* the two announcements of a claim are over */
	close(raw);
	raw = port_socket();
	kill(proxy_pid, SIGSTOP);
	give_tap();
	fd = connecting(80);
	kill(proxy_pid, SIGCONT);
	wait_for(MSG_WAKE);
	p.fd = raw;
	close(fd);
	close(raw);
	raw = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ARP));
	p.fd = raw;
	give_tap();
	do {
		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		frame_parse(frame, (size_t)recv(raw, frame, sizeof(frame), 0), &f);
	} while (!frame_is_announcement(&f));
	close(raw);
}

/* ---- whose address is it? ---- */

static void test_a_free_address(void **state)
{
	uint64_t begun = clock_now_ms();

	(void)state;
	needs_netns();
	begin(HOLD_STAGE_CHECK);
	wait_for_event(HOLD_FREE);
	assert_in_range(clock_now_ms() - begun, 300, 1500);
}

static void test_an_address_in_use(void **state)
{
	struct msg_hold_service m = service(GEN, HOLD_STAGE_CHECK);
	const struct msg_hold_event *e;
	char mac[MAC_TEXT_MAX];

	(void)state;
	needs_netns();
	tell_vm('u'); /* which is somebody else here */
	assert_int_equal(ip_run("bridge fdb del " VM_MAC " dev hold0 master"), 0);
	mac_parse(OTHER_MAC, &m.mac);
	snapshot_of(&m);
	e = wait_for(MSG_HOLD_EVENT);
	assert_int_equal(e->what, HOLD_IN_USE);
	assert_true(ip_equal(&e->addr, &m.addrs[0]));
	assert_string_equal(mac_format(&e->mac, mac), VM_MAC);
}

/* ---- floods ---- */

/* Forged SYNs as fast as one can send them do not keep the process from its messages and clients. */
static void test_flood(void **state)
{
	uint64_t until, asked, slowest = 0;
	uint32_t held = 0;
	uint8_t frame[FRAME_BUILT_MAX];
	struct msg_flow last;
	pid_t flooder;
	int raw;

	(void)state;
	needs_netns();
	begin(HOLD_STAGE_SLEEP);
	raw = raw_socket();
	flooder = fork();
	if (flooder == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		until = clock_now_ms() + 2000;
		for (uint32_t i = 0; clock_now_ms() < until; i++)
			send(raw, frame, forged_syn(frame, i), 0);
		_exit(0);
	}
	usleep(200000);
	for (int i = 0; i < 10; i++) {
		asked = clock_now_ms();
		held = flows(&last);
		slowest = MAX(slowest, clock_now_ms() - asked);
		usleep(50000);
	}
	assert_true(slowest < 500);
	assert_int_equal(held, 500); /* half of what there is room for */
	waitpid(flooder, NULL, 0);
	close(raw);
}

/* What the launcher may not say is not believed. */
static void test_nonsense(void **state)
{
	struct msg_hold_service m = service(GEN, HOLD_STAGE_SLEEP), bad = m;
	struct msg_hold_stage stage = { .svc = 999999, .gen = GEN, .stage = HOLD_STAGE_UP };
	struct msg_hold_moved moved = { .svc = 999999, .gen = GEN };
	struct msg_hold_drop drop = { .svc = 999999, .gen = GEN };
	struct msg_hold_port port = { .svc = 999999, .gen = GEN };
	struct msg_hold_bridge bridge = { .bridge = 999 };
	struct msg_probe_start probe = wanted(999999);

	(void)state;
	needs_netns();
	begin(HOLD_STAGE_SLEEP);
	bad.svc = 999999;
	put_message(launcher, MSG_HOLD_SERVICE, &bad, -1);
	bad = m;
	bad.bridge = 999;
	put_message(launcher, MSG_HOLD_SERVICE, &bad, -1);
	bad = m;
	bad.stage = 200;
	put_message(launcher, MSG_HOLD_SERVICE, &bad, -1);
	put_message(launcher, MSG_HOLD_STAGE, &stage, -1);
	stage = (struct msg_hold_stage){ .svc = SVC, .gen = GEN, .stage = 200 };
	put_message(launcher, MSG_HOLD_STAGE, &stage, -1);
	put_message(launcher, MSG_HOLD_MOVED, &moved, -1);
	put_message(launcher, MSG_HOLD_DROP, &drop, -1);
	put_message(launcher, MSG_HOLD_PORT, &port, -1);
	put_message(launcher, MSG_HOLD_PORT, &port, tap);
	put_message(launcher, MSG_HOLD_BRIDGE, &bridge, tap);
	put_message(launcher, MSG_PROBE_START, &probe, tap);
	put_message(launcher, MSG_PROBE_START, &probe, -1);
	put_message(launcher, MSG_DNS_STATE_ACK, &(struct msg_dns_state){ 0 }, -1);
	assert_int_equal(n_flows(), 0);
	say_stage(HOLD_STAGE_SLEEP);
}

#define ON_A_BRIDGE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_A_BRIDGE(test_arp_and_syn),	       ON_A_BRIDGE(test_nothing_before_the_first_snapshot),
		ON_A_BRIDGE(test_without_memory),      ON_A_BRIDGE(test_wake_on_lan),
		ON_A_BRIDGE(test_hand_over),	       ON_A_BRIDGE(test_drain_and_back),
		ON_A_BRIDGE(test_a_guest_with_a_firewall),
		ON_A_BRIDGE(test_an_address_that_never_answers), ON_A_BRIDGE(test_only_drain_waits_for_the_tap),
		ON_A_BRIDGE(test_services_that_are_told_of_together), ON_A_BRIDGE(test_each_has_its_turn_to_wake),
		ON_A_BRIDGE(test_killed),
		ON_A_BRIDGE(test_launcher_goes_away),  ON_A_BRIDGE(test_a_service_goes),
		ON_A_BRIDGE(test_the_tap_again),       ON_A_BRIDGE(test_a_free_address),
		ON_A_BRIDGE(test_an_address_in_use),   ON_A_BRIDGE(test_flood),
		ON_A_BRIDGE(test_nonsense),
	};

	have_netns = netns_enter() && access("/dev/net/tun", R_OK | W_OK) == 0;
	if (!have_netns)
		printf("skipped: needs root, a network namespace and /dev/net/tun\n");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
