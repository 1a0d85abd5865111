/* The whole process against a real network stack: a child in a namespace of its own is the VM, at
 * the other end of a veth pair; synproxy runs as another child, in its sandbox, with its two
 * channels held by the test.
 */
#ifndef TESTS_SYNPROXY_WORLD_H
#define TESTS_SYNPROXY_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/ipc.h"
#include "synproxy/main.h"
#include "tests/netns.h"

#define VM_MAC "02:00:00:00:00:10"
#define UNPRIVILEGED 65534

static bool have_netns;
static pid_t vm_pid, proxy_pid;
static int to_vm = -1; /* a byte makes the VM do the next thing; closing ends it */
static int supervisor = -1, launcher = -1;

/* ---- the VM ---- */

static void listen_on(uint16_t port)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	if (bind(fd, (void *)&a, sizeof(a)) < 0 || listen(fd, 5) < 0)
		_exit(1);
	/* an application must see nothing of a probe: accept() would */
	if (fd != 9 && dup2(fd, 9) < 0)
		_exit(1);
}

static bool somebody_connected(void)
{
	struct pollfd p = { .fd = 9, .events = POLLIN };

	return poll(&p, 1, 50) > 0;
}

/* Asks for the prober, which must answer, as fast as it can, for 400 ms, beside the VM's other doings. */
static void flood(void)
{
	static const uint8_t arp[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 0x10, 0x08, 0x06, 0, 1, 0x08, 0,
					 6, 4, 0, 1, 2, 0, 0, 0, 0, 0x10, 10, 9, 0, 7, 0, 0, 0, 0, 0, 0, 10, 9, 0, 251 };
	struct sockaddr_ll where = { .sll_family = AF_PACKET };
	uint64_t until = clock_now_ns() + 400 * NS_PER_MS;
	int fd;

	if (fork() != 0)
		return;
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	where.sll_ifindex = (int)if_nametoindex("vm0");
	if (bind(fd, (void *)&where, sizeof(where)) < 0)
		_exit(1);
	while (clock_now_ns() < until)
		send(fd, arp, sizeof(arp), 0);
	_exit(0);
}

/* Answers questions of ARP and nothing else, like a guest with a firewall: what it says to the prober goes
 * nowhere. */
static void be_deaf(void)
{
	if (ip_run("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.vm0.rp_filter=0; "
		   "ip route add blackhole 10.9.0.251/32"))
		_exit(1);
}

/* 'u': up with its addresses; 'l': listens on port 80; 'c': did anybody connect?  'f': floods; 'd': is deaf. */
static void be_vm(int commands)
{
	char c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (unshare(CLONE_NEWNET) < 0)
		_exit(1);
	if (write(commands, "r", 1) != 1)
		_exit(1);
	while (read(commands, &c, 1) == 1) {
		if (c == 'u' && ip_run("ip addr add 10.9.0.7/24 dev vm0; ip -6 addr add fd09::7/64 dev vm0 nodad; "
				       "ip link set lo up; ip link set vm0 up"))
			_exit(1);
		if (c == 'l')
			listen_on(80);
		if (c == 'f')
			flood();
		if (c == 'd')
			be_deaf();
		if (c == 'c')
			c = somebody_connected() ? 'y' : 'n';
		if (write(commands, &c, 1) != 1)
			_exit(1);
	}
	_exit(0);
}

static char tell_vm(char what)
{
	char c = 0;

	assert_int_equal(write(to_vm, &what, 1), 1);
	assert_int_equal(read(to_vm, &c, 1), 1);
	return c;
}

/* `port`: what is done to its port0. */
static int start_vm(const char *port)
{
	int fds[2];
	char c;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -1;
	vm_pid = fork();
	if (vm_pid == 0) {
		close(fds[0]);
		be_vm(fds[1]);
	}
	close(fds[1]);
	to_vm = fds[0];
	if (vm_pid < 0 || read(to_vm, &c, 1) != 1)
		return -1;
	return ip_run("ip link add port0 type veth peer name vm0 address " VM_MAC " && "
		      "ip link set vm0 netns %d && %s && ip link set port0 up", (int)vm_pid, port);
}

/* ---- synproxy ---- */

static void be_synproxy(int channel)
{
	struct child_args args = { .role = ROLE_SYNPROXY, .uid = UNPRIVILEGED, .gid = UNPRIVILEGED, .log_level = "warn" };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(channel, CHILD_SUPERVISOR_FD) < 0)
		_exit(1);
	_exit(synproxy_main(&args));
}

static void put_message(int fd, enum msg_type type, const void *body, int pass)
{
	static uint8_t packet[IPC_PACKET_MAX];
	ssize_t n = ipc_encode(type, body, packet, sizeof(packet));
	struct iovec iov = { packet, (size_t)n };
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	assert_true(n > 0);
	if (pass >= 0) {
		m.msg_control = control.room;
		m.msg_controllen = sizeof(control.room);
		control.align = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) };
		memcpy(CMSG_DATA(&control.align), &pass, sizeof(pass));
	}
	assert_int_equal(sendmsg(fd, &m, 0), n);
}

/* The next message within `ms`, or MSG_TYPE_MAX. */
static enum msg_type get_message(int fd, unsigned ms, void *body)
{
	static uint8_t packet[IPC_PACKET_MAX];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	enum msg_type type;
	ssize_t n;

	if (poll(&p, 1, (int)ms) <= 0)
		return MSG_TYPE_MAX;
	n = recv(fd, packet, sizeof(packet), 0);
	assert_true(n > 0);
	assert_int_equal(ipc_decode(packet, (size_t)n, &type, body), 0);
	return type;
}

/* A process in its sandbox, with a supervisor's and a launcher's channel; it has been told nothing. */
static int run_synproxy(void)
{
	struct msg_peer peer = { .role = ROLE_LAUNCHER };
	int to_child[2], to_launcher[2];

	if (ipc_pair(to_child) < 0 || ipc_pair(to_launcher) < 0)
		return -1;
	proxy_pid = fork();
	if (proxy_pid == 0)
		be_synproxy(to_child[1]);
	close(to_child[1]);
	supervisor = to_child[0];
	launcher = to_launcher[0];
	put_message(supervisor, MSG_PEER, &peer, to_launcher[1]);
	close(to_launcher[1]);
	return 0;
}

/* There is a new launcher. */
static int new_launcher(void)
{
	struct msg_peer peer = { .role = ROLE_LAUNCHER };
	int pair[2];

	fd_close(&launcher);
	if (ipc_pair(pair) < 0)
		return -1;
	launcher = pair[0];
	put_message(supervisor, MSG_PEER, &peer, pair[1]);
	close(pair[1]);
	return 0;
}

/* Both ends, and its exit status. */
static int stop_synproxy(void)
{
	int status = 0;

	put_message(supervisor, MSG_STOP, NULL, -1);
	waitpid(proxy_pid, &status, 0);
	fd_close(&supervisor);
	fd_close(&launcher);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1; /* else its sandbox killed it */
}

static void stop_vm(void)
{
	fd_close(&to_vm);
	waitpid(vm_pid, NULL, 0);
	ip_run("ip link del port0 2>/dev/null"); /* its namespace ends a little later than the VM */
}

static void needs_netns(void)
{
	if (!have_netns)
		skip();
}

static int port_socket(void)
{
	struct sockaddr_ll where = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1;

	where.sll_ifindex = (int)if_nametoindex("port0");
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (void *)&where, sizeof(where)), 0);
	return fd;
}

static struct msg_probe_start wanted(uint32_t svc)
{
	struct msg_probe_start m = { .svc = svc, .gen = 5, .interval_ms = 2, .n_addrs = 1, .n_tcp = 1, .tcp = { { 80 } } };

	mac_parse(VM_MAC, &m.vm_mac);
	mac_parse("02:00:00:00:00:fe", &m.probe_mac);
	ip_parse("10.9.0.251", &m.probe_ip4);
	ip_parse("fe80::fe", &m.probe_ip6);
	ip_parse("10.9.0.7", &m.addrs[0]);
	return m;
}

static void start_probe(const struct msg_probe_start *m)
{
	int fd = port_socket();

	put_message(launcher, MSG_PROBE_START, m, fd);
	close(fd);
}

#endif
