#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "launcher/netlink.h"
#include "launcher/netlink_internal.h"
#include "launcher/port.h"
#include "tests/launcher/frames.h"
#include "tests/launcher/packets.h"
#include "tests/netns.h"

/* In a namespace of its own: a tap whose descriptor is the VM, and a packet socket on it that puts
 * in what a bridge would forward to the VM. */

#define VM "02:00:00:00:00:10"
#define PROBER "02:00:00:00:00:fe"
#define CLIENT "02:00:00:00:00:20"
#define OTHER "02:00:00:00:00:21"

static const struct mac_addr vm = { { 2, 0, 0, 0, 0, 0x10 } }, prober = { { 2, 0, 0, 0, 0, 0xfe } };
static bool have_netns;
static struct netlink *nl;
static int vm_fd = -1, bridge_side = -1;

static int setup(void **state)
{
	struct sockaddr_ll where = { .sll_family = AF_PACKET, .sll_protocol = 0 };
	struct err e;

	(void)state;
	if (!have_netns)
		return 0;
	nl = netlink_new(&e);
	vm_fd = tap_attach("jttest", IFF_VNET_HDR);
	if (!nl || vm_fd < 0 || ip_run("sysctl -qw net.ipv6.conf.jttest.disable_ipv6=1; ip link set jttest up") < 0)
		return -1;
	where.sll_ifindex = (int)if_nametoindex("jttest");
	bridge_side = socket(AF_PACKET, SOCK_RAW, 0);
	return bind(bridge_side, (void *)&where, sizeof(where));
}

static int teardown(void **state)
{
	(void)state;
	fd_close(&bridge_side);
	fd_close(&vm_fd);
	netlink_free(nl);
	nl = NULL;
	return 0;
}

static void needs_netns(void)
{
	if (!have_netns)
		skip();
}

/* A frame of the tap is led by a struct virtio_net_hdr of zeros. */
enum { VNET_HDR = 10 };

static void from_vm(const struct test_frame *t)
{
	uint8_t buf[VNET_HDR + FRAME_BYTES] = { 0 };
	size_t n = frame_make(t, buf + VNET_HDR);

	assert_int_equal(write(vm_fd, buf, VNET_HDR + n), VNET_HDR + n);
}

static void to_vm(const struct test_frame *t)
{
	uint8_t buf[FRAME_BYTES];
	size_t n = frame_make(t, buf);

	assert_int_equal(send(bridge_side, buf, n, 0), n);
}

enum { BY_SOCKET = 2 };

static const struct {
	struct test_frame t;
	bool out; /* to the VM */
	uint8_t counts; /* false, true, or BY_SOCKET: BPF knows better */
} rows[] = {
	{ { .name = "TCP from it", .dst = CLIENT, .src = VM, .type = 0x0800, .proto = 6, .ip_dst = 10 }, false, true },
	{ { .name = "TCP to it", .dst = VM, .src = CLIENT, .type = 0x0800, .proto = 6, .ip_dst = 10 }, true, true },
	{ { .name = "IPv6 from it", .dst = CLIENT, .src = VM, .type = 0x86dd, .proto = 17, .ip_dst = 0x20 }, false, true },
	{ { .name = "IPv6 to it", .dst = VM, .src = CLIENT, .type = 0x86dd, .proto = 17, .ip_dst = 0x20 }, true, true },
	{ { .name = "tagged, from it", .dst = CLIENT, .src = VM, .tags = { 0x8100 }, .type = 0x0800, .proto = 6, .ip_dst = 10 }, false, true },
	{ { .name = "tagged, to it", .dst = VM, .src = CLIENT, .tags = { 0x8100 }, .type = 0x0800, .proto = 6, .ip_dst = 10 }, true, true },
	{ { .name = "tagged twice, from it", .dst = CLIENT, .src = VM, .tags = { 0x88a8, 0x8100 }, .type = 0x0800, .proto = 6, .ip_dst = 10 }, false, true },
	{ { .name = "ping on IPv6", .dst = VM, .src = CLIENT, .type = 0x86dd, .proto = 58, .l4_0 = 128, .ip_dst = 0x20 }, true, true },
	{ { .name = "ARP from it", .dst = CLIENT, .src = VM, .type = 0x0806 }, false, false },
	{ { .name = "ARP to it", .dst = VM, .src = CLIENT, .type = 0x0806 }, true, false },
	{ { .name = "ARP to all", .dst = "ff:ff:ff:ff:ff:ff", .src = CLIENT, .type = 0x0806 }, true, false },
	{ { .name = "a solicitation", .dst = VM, .src = CLIENT, .type = 0x86dd, .proto = 58, .l4_0 = 135, .ip_dst = 0xfe }, true, false },
	{ { .name = "an advertisement", .dst = CLIENT, .src = VM, .type = 0x86dd, .proto = 58, .l4_0 = 136, .ip_dst = 0xfe }, false, false },
	{ { .name = "a tagged solicitation", .dst = VM, .src = CLIENT, .tags = { 0x8100 }, .type = 0x86dd, .proto = 58, .l4_0 = 135, .ip_dst = 0xfe }, true, false },
	{ { .name = "multicast", .dst = "01:00:5e:00:00:fb", .src = CLIENT, .type = 0x0800, .proto = 17, .ip_dst = 224 }, true, false },
	{ { .name = "broadcast", .dst = "ff:ff:ff:ff:ff:ff", .src = VM, .type = 0x0800, .proto = 17, .ip_dst = 255 }, false, false },
	{ { .name = "flooded, for another", .dst = CLIENT, .src = "02:00:00:00:00:21", .type = 0x0800, .proto = 6, .ip_dst = 10 }, true, false },
	{ { .name = "a probe", .dst = VM, .src = PROBER, .type = 0x0800, .proto = 6, .ip_dst = 10 }, true, false },
	{ { .name = "its answer", .dst = PROBER, .src = VM, .type = 0x0800, .proto = 6, .ip_dst = 10 }, false, false },
	{ { .name = "a SYN", .dst = VM, .src = CLIENT, .type = 0x0800, .proto = 6, .ip_dst = 10, .tcp_flags = 0x02 }, true, true },
	{ { .name = "its SYN-ACK", .dst = CLIENT, .src = VM, .type = 0x0800, .proto = 6, .ip_dst = 10, .tcp_flags = 0x12 }, false, BY_SOCKET },
	{ { .name = "a SYN-ACK to it", .dst = VM, .src = CLIENT, .type = 0x0800, .proto = 6, .ip_dst = 10, .tcp_flags = 0x12 }, true, true },
	{ { .name = "a RST", .dst = VM, .src = CLIENT, .type = 0x0800, .proto = 6, .ip_dst = 10, .tcp_flags = 0x04 }, true, BY_SOCKET },
	{ { .name = "a RST in IPv6", .dst = CLIENT, .src = VM, .type = 0x86dd, .proto = 6, .ip_dst = 0x20, .tcp_flags = 0x14 }, false, BY_SOCKET },
	{ { .name = "a FIN", .dst = VM, .src = CLIENT, .type = 0x0800, .proto = 6, .ip_dst = 10, .tcp_flags = 0x11 }, true, true },
	{ { .name = "a fragment", .dst = VM, .src = CLIENT, .type = 0x0800, .proto = 6, .ip_dst = 10, .tcp_flags = 0x04, .fragment = 9 }, true, true },
	{ { .name = "LLDP", .dst = "01:80:c2:00:00:0e", .src = VM, .type = 0x88cc }, false, false },
};

static struct port_activity look(struct port *p)
{
	struct port_activity a;

	assert_int_equal(port_activity(p, clock_now_ns(), &a), 0);
	return a;
}

static void count_everything(enum port_way way)
{
	struct port_conf conf = { .ifname = "jttest", .vm_mac = vm, .ignore_mac = prober };
	struct port_monitor *m;
	struct port *p;
	struct err e;

	needs_netns();
	m = port_monitor_new(nl, way, &e);
	assert_non_null(m);
	if (port_monitor_way(m) != way) {
		print_message("%s\n", port_monitor_note(m));
		port_monitor_free(m);
		skip();
	}
	assert_int_equal(port_open(m, &conf, &p, &e), 0);
	assert_int_equal(port_way(p), way);
	assert_int_equal(look(p).packets, 0);
	assert_int_equal(look(p).last_ns, 0);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			bool counts = rows[i].counts == true || (way == PORT_WAY_SOCKET && rows[i].counts == BY_SOCKET);
			struct port_activity before = look(p), after;
			uint64_t t = clock_now_ns();

			if (rows[i].out)
				to_vm(&rows[i].t);
			else
				from_vm(&rows[i].t);
			after = look(p);
			if (after.packets - before.packets != counts)
				fail_msg("%s should %scount", rows[i].t.name, counts ? "" : "not ");
			if (counts)
				assert_in_range(after.last_ns, t, clock_now_ns());
			else
				assert_int_equal(after.last_ns, before.last_ns);
			if (way == PORT_WAY_BPF)
				assert_int_equal(after.bytes - before.bytes >= FRAME_BYTES - 4, counts);
		}
	}
	port_close(p);
	port_monitor_free(m);
}

static void test_bpf_counts(void **state)
{
	(void)state;
	count_everything(PORT_WAY_BPF);
}

static void test_socket_counts(void **state)
{
	(void)state;
	count_everything(PORT_WAY_SOCKET);
}

/* What is counted is not limited by the socket's tiny buffer. */
static void test_socket_counts_thousands(void **state)
{
	struct port_conf conf = { .ifname = "jttest", .vm_mac = vm };
	struct port_monitor *m;
	struct port *p;
	struct err e;

	(void)state;
	needs_netns();
	m = port_monitor_new(nl, PORT_WAY_SOCKET, &e);
	assert_int_equal(port_open(m, &conf, &p, &e), 0);
	for (int i = 0; i < 5000; i++)
		from_vm(&rows[0].t);
	assert_int_equal(look(p).packets, 5000);
	port_close(p);
	port_monitor_free(m);
}

static struct port *open_port(struct port_monitor *m)
{
	struct port_conf conf = { .ifname = "jttest", .vm_mac = vm, .ignore_mac = prober };
	struct port *p = NULL;
	struct err e = { 0 };

	if (port_open(m, &conf, &p, &e) < 0)
		fail_msg("%s", e.text);
	return p;
}

static struct port_monitor *bpf_monitor(void)
{
	struct port_monitor *m;
	struct err e;

	needs_netns();
	m = port_monitor_new(nl, PORT_WAY_BPF, &e);
	assert_non_null(m);
	if (port_monitor_way(m) == PORT_WAY_BPF)
		return m;
	print_message("%s\n", port_monitor_note(m));
	port_monitor_free(m);
	skip();
	return NULL;
}

static const char *ingress_kind(void)
{
	static char kind[NETLINK_KIND_MAX];
	struct err e;

	assert_int_equal(netlink_ingress_kind(nl, (int)if_nametoindex("jttest"), kind, &e), 0);
	return kind;
}

static void test_closing_leaves_nothing(void **state)
{
	struct port_monitor *m = bpf_monitor();
	struct port *p = open_port(m);

	(void)state;
	assert_string_equal(ingress_kind(), "clsact");
	port_close(p);
	assert_string_equal(ingress_kind(), "");
	port_monitor_free(m);
}

/* A foreign port: what others attached stays, and still sees every frame. */
static void test_others_filters_stay(void **state)
{
	struct port_monitor *m = bpf_monitor();
	struct port *p;

	(void)state;
	assert_int_equal(ip_run("tc qdisc add dev jttest clsact"), 0);
	p = open_port(m);
	port_close(p);
	assert_string_equal(ingress_kind(), "clsact");
	assert_int_equal(ip_run("tc qdisc del dev jttest clsact"), 0);
	p = open_port(m);
	assert_int_equal(ip_run("tc filter add dev jttest egress protocol all prio 65000 handle 1 bpf da bytecode '1,6 0 0 4294967295'"), 0);
	port_close(p);
	assert_string_equal(ingress_kind(), "clsact");
	assert_int_equal(ip_run("tc filter show dev jttest egress | grep -q 65000"), 0);
	port_monitor_free(m);
}

/* libvirt's <bandwidth> has put an ingress qdisc where clsact would go. */
static void test_ingress_qdisc_means_a_socket(void **state)
{
	struct port_monitor *m = bpf_monitor();
	struct port *p;

	(void)state;
	assert_int_equal(ip_run("tc qdisc add dev jttest ingress"), 0);
	p = open_port(m);
	assert_int_equal(port_way(p), PORT_WAY_SOCKET);
	from_vm(&rows[0].t);
	assert_int_equal(look(p).packets, 1);
	port_close(p);
	assert_string_equal(ingress_kind(), "ingress");
	port_monitor_free(m);
}

/* A launcher that died left its programs; the next one replaces them and, when done, takes the
 * hook off. */
static void test_a_predecessor_is_replaced(void **state)
{
	struct port_monitor *old = bpf_monitor(), *new = bpf_monitor();
	struct port *left = open_port(old), *p;

	(void)state;
	from_vm(&rows[0].t);
	p = open_port(new);
	assert_int_equal(look(p).packets, 0);
	from_vm(&rows[0].t);
	to_vm(&rows[1].t);
	assert_int_equal(look(p).packets, 2);
	assert_int_equal(look(left).packets, 1);
	assert_int_equal(ip_run("test $(tc filter show dev jttest ingress | grep -c jitsu_activity\\\\\\|from_vm) = 1"), 0);
	port_close(p);
	assert_string_equal(ingress_kind(), "");
	port_close(left);
	port_monitor_free(new);
	port_monitor_free(old);
}

static void test_a_port_that_goes_away(void **state)
{
	struct port_monitor *m[2];
	struct port *p[2];
	struct port_activity a;
	struct err e;

	(void)state;
	m[0] = bpf_monitor();
	m[1] = port_monitor_new(nl, PORT_WAY_SOCKET, &e);
	p[0] = open_port(m[0]);
	p[1] = open_port(m[1]);
	fd_close(&vm_fd); /* the tap goes with it */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(port_activity(p[i], clock_now_ns(), &a), -ENODEV);
		port_close(p[i]);
		port_monitor_free(m[i]);
	}
}

static void test_no_such_interface(void **state)
{
	struct port_conf conf = { .ifname = "jtnothere" };
	struct port_monitor *m;
	struct port *p = NULL;
	struct err e = { 0 };

	(void)state;
	needs_netns();
	m = port_monitor_new(nl, PORT_WAY_BPF, &e);
	assert_int_equal(port_open(m, &conf, &p, &e), -ENODEV);
	assert_non_null(strstr(e.text, "jtnothere"));
	assert_int_equal(port_probe_socket("jtnothere", &vm, &prober, &e), -ENODEV);
	assert_int_equal(port_tap_busy("jtnothere", &e), -ENODEV);
	assert_int_equal(if_nametoindex("jtnothere"), 0); /* asking did not make it */
	port_monitor_free(m);
}

static void test_busy_tap(void **state)
{
	struct err e = { 0 };
	char pid[32];

	(void)state;
	needs_netns();
	snprintf(pid, sizeof(pid), "process %d ", getpid());
	assert_int_equal(port_tap_busy("jttest", &e), 1);
	assert_non_null(strstr(e.text, pid));
	assert_int_equal(ip_run("ip tuntap add jtfree mode tap vnet_hdr"), 0);
	assert_int_equal(port_tap_busy("jtfree", &e), 0);
	assert_int_equal(port_tap_busy("jtfree", &e), 0);
	assert_int_equal(ip_run("ip link del jtfree"), 0);
}

static void test_probe_socket(void **state)
{
	struct test_frame arp = { .dst = PROBER, .src = VM, .type = 0x0806 },
			  data = { .dst = CLIENT, .src = VM, .type = 0x0800, .proto = 6, .tcp_flags = 0x18 },
			  probe = { .dst = VM, .src = PROBER, .type = 0x0806 };
	uint8_t buf[256];
	size_t n;
	struct err e;
	int fd;

	(void)state;
	needs_netns();
	fd = port_probe_socket("jttest", &vm, &prober, &e);
	assert_true(fd >= 0);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), -1); /* does not block */
	assert_int_equal(errno, EAGAIN);
	to_vm(&arp); /* the other direction is not heard */
	from_vm(&data);
	from_vm(&arp);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 60);
	assert_int_equal(buf[12] << 8 | buf[13], 0x0806);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), -1);
	while (read(vm_fd, buf, sizeof(buf)) > 0)
		;
	n = frame_make(&probe, buf);
	assert_int_equal(send(fd, buf, n, 0), n);
	memset(buf, 0, sizeof(buf));
	assert_int_equal(read(vm_fd, buf, sizeof(buf)), VNET_HDR + n);
	assert_int_equal(buf[VNET_HDR + 11], 0xfe);
	close(fd);
}

/* ---- the guard ---- */

#define VM_IP "10.9.0.10"
#define VM_IP6 "fd09::10"
#define CLIENT_IP "10.9.0.20"
#define CLIENT_IP6 "fd09::20"
#define GATEWAY_IP "10.9.0.1"

static void write_packet(const struct packet *k)
{
	uint8_t buf[VNET_HDR + PACKET_BYTES] = { 0 };
	size_t n = packet_make(k, buf + VNET_HDR);

	assert_int_equal(write(vm_fd, buf, VNET_HDR + n), VNET_HDR + n);
}

static struct port *open_guarded(struct port_monitor *m, const char *const *addrs, uint16_t n)
{
	struct port_conf conf = { .ifname = "jttest", .vm_mac = vm, .ignore_mac = prober, .guard = true, .n_guard_addrs = n };
	struct port *p = NULL;
	struct err e = { 0 };

	for (uint16_t i = 0; i < n; i++)
		assert_int_equal(ip_parse(addrs[i], &conf.guard_addrs[i]), 0);
	if (port_open(m, &conf, &p, &e) < 0)
		fail_msg("%s", e.text);
	return p;
}

enum { DROPPED, IF_MAC_ONLY, PASSES };

static const struct {
	struct packet k;
	int what;
} guarded[] = {
	{ { .name = "TCP", .dst = CLIENT, .src = VM, .type = T_IP4, .from = VM_IP, .to = CLIENT_IP, .proto = TCP }, PASSES },
	{ { .name = "TCP behind options", .dst = CLIENT, .src = VM, .type = T_IP4, .from = VM_IP, .to = CLIENT_IP, .proto = TCP, .extensions = 3 }, PASSES },
	{ { .name = "a fragment", .dst = CLIENT, .src = VM, .type = T_IP4, .from = VM_IP, .to = CLIENT_IP, .proto = UDP, .fragment = 9, .data = 64 }, PASSES },
	{ { .name = "its second address", .dst = CLIENT, .src = VM, .type = T_IP4, .from = "10.9.0.12", .to = CLIENT_IP, .proto = UDP }, PASSES },
	{ { .name = "IPv6", .dst = CLIENT, .src = VM, .type = T_IP6, .from = VM_IP6, .to = CLIENT_IP6, .proto = TCP }, PASSES },
	{ { .name = "IPv6, link-local", .dst = CLIENT, .src = VM, .type = T_IP6, .from = "fe80::10", .to = "fe80::1", .proto = TCP }, PASSES },
	{ { .name = "the end of link-local", .dst = CLIENT, .src = VM, .type = T_IP6, .from = "febf::10", .to = "fe80::1", .proto = TCP }, PASSES },
	{ { .name = "DHCP", .dst = TO_ALL, .src = VM, .type = T_IP4, .to = "255.255.255.255", .proto = UDP, .sport = 68, .dport = 67, .data = 300 }, PASSES },
	{ { .name = "an ARP request", .dst = TO_ALL, .src = VM, .type = T_ARP, .from = VM_IP, .to = GATEWAY_IP }, PASSES },
	{ { .name = "an ARP reply", .dst = CLIENT, .src = VM, .type = T_ARP, .op = 2, .from = VM_IP, .tha = CLIENT, .to = CLIENT_IP }, PASSES },
	{ { .name = "an ARP probe", .dst = TO_ALL, .src = VM, .type = T_ARP, .to = "10.9.0.77" }, PASSES },
	{ { .name = "RARP", .dst = TO_ALL, .src = VM, .type = T_RARP, .op = 3, .tha = VM }, PASSES },
	{ { .name = "its address detection", .dst = "33:33:ff:00:00:10", .src = VM, .type = T_IP6, .to = "ff02::1:ff00:10", .proto = ICMP6, .icmp = 135, .target = VM_IP6 }, PASSES },
	{ { .name = "its advertisement", .dst = CLIENT, .src = VM, .type = T_IP6, .from = VM_IP6, .to = CLIENT_IP6, .proto = ICMP6, .icmp = 136, .target = VM_IP6 }, PASSES },
	{ { .name = "its link-local advertisement", .dst = CLIENT, .src = VM, .type = T_IP6, .from = "fe80::10", .to = CLIENT_IP6, .proto = ICMP6, .icmp = 136, .target = "fe80::10" }, PASSES },
	{ { .name = "MLD", .dst = "33:33:00:00:00:16", .src = VM, .type = T_IP6, .to = "ff02::16", .proto = ICMP6, .icmp = 143, .extensions = 1 }, PASSES },
	{ { .name = "Wake-on-LAN", .dst = TO_ALL, .src = VM, .type = T_WOL }, PASSES },
	{ { .name = "a priority tag", .dst = CLIENT, .src = VM, .tagged = true, .vlan = 0x6000, .type = T_IP4, .from = VM_IP, .to = CLIENT_IP, .proto = TCP }, PASSES },

	{ { .name = "another's MAC", .dst = CLIENT, .src = OTHER, .type = T_IP4, .from = VM_IP, .to = CLIENT_IP, .proto = TCP }, DROPPED },
	{ { .name = "ARP from another's MAC", .dst = TO_ALL, .src = OTHER, .type = T_ARP, .sha = VM, .from = VM_IP, .to = GATEWAY_IP }, DROPPED },
	{ { .name = "ARP with another's MAC", .dst = TO_ALL, .src = VM, .type = T_ARP, .sha = CLIENT, .from = VM_IP, .to = GATEWAY_IP }, DROPPED },
	{ { .name = "RARP for another", .dst = TO_ALL, .src = VM, .type = T_RARP, .op = 3, .sha = CLIENT, .tha = VM }, DROPPED },
	{ { .name = "gateway's ARP", .dst = TO_ALL, .src = VM, .type = T_ARP, .op = 2, .from = GATEWAY_IP, .to = CLIENT_IP }, IF_MAC_ONLY },
	{ { .name = "another's IPv4", .dst = CLIENT, .src = VM, .type = T_IP4, .from = "10.9.0.11", .to = CLIENT_IP, .proto = TCP }, IF_MAC_ONLY },
	{ { .name = "no IPv4", .dst = TO_ALL, .src = VM, .type = T_IP4, .to = "255.255.255.255", .proto = UDP, .sport = 68, .dport = 9 }, IF_MAC_ONLY },
	{ { .name = "no IPv4, TCP", .dst = TO_ALL, .src = VM, .type = T_IP4, .to = "255.255.255.255", .proto = TCP, .sport = 68, .dport = 67 }, IF_MAC_ONLY },
	{ { .name = "no IPv4, a fragment", .dst = TO_ALL, .src = VM, .type = T_IP4, .to = "255.255.255.255", .proto = UDP, .sport = 68, .dport = 67, .fragment = 7, .data = 64 }, IF_MAC_ONLY },
	{ { .name = "another's IPv6", .dst = CLIENT, .src = VM, .type = T_IP6, .from = "fd09::11", .to = CLIENT_IP6, .proto = TCP }, IF_MAC_ONLY },
	{ { .name = "beyond link-local", .dst = CLIENT, .src = VM, .type = T_IP6, .from = "fec0::10", .to = CLIENT_IP6, .proto = TCP }, IF_MAC_ONLY },
	{ { .name = "mapped IPv4", .dst = CLIENT, .src = VM, .type = T_IP6, .from = "::ffff:10.9.0.11", .to = CLIENT_IP6, .proto = TCP }, IF_MAC_ONLY },
	{ { .name = "another's advertisement", .dst = CLIENT, .src = VM, .type = T_IP6, .from = "fe80::10", .to = CLIENT_IP6, .proto = ICMP6, .icmp = 136, .target = "fd09::1" }, IF_MAC_ONLY },
	{ { .name = "... hidden behind options", .dst = CLIENT, .src = VM, .type = T_IP6, .from = "fe80::10", .to = CLIENT_IP6, .proto = ICMP6, .icmp = 136, .target = "fd09::1", .extensions = 2 }, IF_MAC_ONLY },
	{ { .name = "too many options", .dst = CLIENT, .src = VM, .type = T_IP6, .from = "fe80::10", .to = CLIENT_IP6, .proto = ICMP6, .icmp = 136, .target = "fe80::10", .extensions = 4 }, IF_MAC_ONLY },
	{ { .name = "a VLAN", .dst = CLIENT, .src = VM, .tagged = true, .vlan = 5, .type = T_IP4, .from = VM_IP, .to = CLIENT_IP, .proto = TCP }, IF_MAC_ONLY },
	{ { .name = "a spanning tree", .dst = "01:80:c2:00:00:00", .src = VM, .type = 38 }, IF_MAC_ONLY },
	{ { .name = "LLDP", .dst = "01:80:c2:00:00:0e", .src = VM, .type = 0x88cc }, IF_MAC_ONLY },
	{ { .name = "PPPoE", .dst = TO_ALL, .src = VM, .type = 0x8863 }, IF_MAC_ONLY },
};

/* What comes through: behind the guard, a bridge forwards it to another tap. */
static int open_bridge(void)
{
	int fd = tap_attach("jtpeer", 0);

	assert_true(fd >= 0);
	assert_int_equal(ip_run("ip link add br0 type bridge group_fwd_mask 0x4000; ip link set br0 address 02:00:00:00:00:01; "
				"sysctl -qw net.ipv6.conf.br0.disable_ipv6=1 net.ipv6.conf.jtpeer.disable_ipv6=1; "
				"for i in jttest jtpeer; do ip link set $i master br0 up; done; ip link set br0 up"),
			 0);
	return fd;
}

/* How many of those frames it has; the bridge has words of its own (multicast reports). */
static unsigned count_at(int fd, const struct packet *k)
{
	uint8_t buf[PACKET_BYTES], source[6];
	unsigned n = 0;

	packet_mac(k->src, source);
	while (read(fd, buf, sizeof(buf)) > 0)
		n += memcmp(buf + 6, source, 6) == 0;
	return n;
}

static bool comes_through(int fd, const struct packet *k)
{
	unsigned n;

	write_packet(k);
	n = count_at(fd, k);
	assert_true(n <= 1);
	return n > 0;
}

/* Spanning tree frames are for bridges alone, and none of them forwards one. */
static bool is_forwarded(const struct packet *k) { return strcmp(k->dst, "01:80:c2:00:00:00") != 0; }

static void check_guard(struct port *p, int peer, int least)
{
	for (size_t i = 0; i < ARRAY_SIZE(guarded); i++) {
		const struct packet *k = &guarded[i].k;
		uint64_t drops = port_guard_drops(p);
		struct port_activity before = look(p), after;
		bool passes = guarded[i].what >= least, through = comes_through(peer, k);

		after = look(p);
		if ((is_forwarded(k) && through != passes) || port_guard_drops(p) - drops != !passes)
			fail_msg("%s should %s", k->name, passes ? "pass" : "be dropped");
		if (!passes)
			assert_int_equal(after.packets, before.packets); /* it is no use of the VM */
	}
}

static void test_guard(void **state)
{
	static const char *const addrs[] = { VM_IP, VM_IP6, "10.9.0.12" };
	struct port_monitor *m = bpf_monitor();
	struct port *p = open_guarded(m, addrs, ARRAY_SIZE(addrs));
	int peer = open_bridge();

	(void)state;
	assert_true(port_is_guarded(p));
	assert_int_equal(port_guard_drops(p), 0);
	check_guard(p, peer, PASSES);
	port_close(p);
	for (size_t i = 0; i < ARRAY_SIZE(guarded); i++) {
		if (is_forwarded(&guarded[i].k) && !comes_through(peer, &guarded[i].k))
			fail_msg("%s does not come through without a guard: it proves nothing", guarded[i].k.name);
	}
	port_monitor_free(m);
	close(peer);
	ip_run("ip link del br0");
}

static void test_guard_of_a_mac_alone(void **state)
{
	struct port_monitor *m = bpf_monitor();
	struct port *p = open_guarded(m, NULL, 0);
	int peer = open_bridge();

	(void)state;
	check_guard(p, peer, IF_MAC_ONLY);
	port_close(p);
	port_monitor_free(m);
	close(peer);
	ip_run("ip link del br0");
}

static void test_guard_knows_as_many_addresses_as_a_service_has(void **state)
{
	struct packet k = { .name = "its last address", .dst = CLIENT, .src = VM, .type = T_IP4, .from = "10.9.0.115", .to = CLIENT_IP, .proto = TCP };
	char text[MSG_LIST_MAX][ADDR_TEXT_MAX];
	const char *addrs[MSG_LIST_MAX];
	struct port_monitor *m = bpf_monitor();
	struct port *p;

	(void)state;
	for (int i = 0; i < MSG_LIST_MAX; i++) {
		snprintf(text[i], sizeof(text[i]), "10.9.0.%d", 100 + i);
		addrs[i] = text[i];
	}
	p = open_guarded(m, addrs, MSG_LIST_MAX);
	write_packet(&k);
	assert_int_equal(port_guard_drops(p), 0);
	k.from = "10.9.0.116";
	write_packet(&k);
	assert_int_equal(port_guard_drops(p), 1);
	port_close(p);
	port_monitor_free(m);
}

/* A launcher that was restarted has another guard in place of the old at once: not one frame comes
 * through in between. */
static void test_guard_is_never_off(void **state)
{
	static const struct packet bad = { .dst = CLIENT, .src = VM, .type = T_IP4, .from = "10.9.0.11", .to = CLIENT_IP, .proto = TCP };
	static const char *const addrs[] = { VM_IP };
	struct port_monitor *m[20] = { bpf_monitor() };
	struct port *p[ARRAY_SIZE(m)] = { open_guarded(m[0], addrs, 1) };
	int peer = open_bridge(), status;
	size_t n;
	pid_t child;

	(void)state;
	child = fork();
	if (child == 0) {
		uint8_t frame[VNET_HDR + PACKET_BYTES] = { 0 };

		for (n = packet_make(&bad, frame + VNET_HDR); write(vm_fd, frame, VNET_HDR + n) > 0;)
			;
		_exit(1);
	}
	assert_true(child > 0);
	for (size_t i = 1; i < ARRAY_SIZE(m); i++) {
		m[i] = bpf_monitor();
		p[i] = open_guarded(m[i], addrs, 1);
		usleep(1000);
	}
	for (int ms = 0; ms < 5000 && port_guard_drops(p[ARRAY_SIZE(p) - 1]) == 0; ms++)
		usleep(1000); /* the child is slow on a busy machine */
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	assert_true(port_guard_drops(p[ARRAY_SIZE(p) - 1]) > 0);
	assert_int_equal(count_at(peer, &bad), 0);
	for (size_t i = 0; i < ARRAY_SIZE(m); i++) {
		port_close(p[i]);
		port_monitor_free(m[i]);
	}
	close(peer);
	ip_run("ip link del br0");
}

static void test_without_bpf_nothing_is_guarded(void **state)
{
	static const char *const addrs[] = { VM_IP };
	struct port_monitor *m;
	struct port *p;
	struct err e;

	(void)state;
	needs_netns();
	m = port_monitor_new(nl, PORT_WAY_SOCKET, &e);
	assert_non_null(strstr(port_monitor_note(m), "not dropped"));
	p = open_guarded(m, addrs, 1);
	assert_false(port_is_guarded(p));
	assert_int_equal(port_guard_drops(p), 0);
	assert_int_equal(port_first_data(p), 0);
	port_first_data_reset(p);
	port_close(p);
	port_monitor_free(m);
}

/* ---- the first byte ---- */

static const struct packet no_data[] = {
	{ .name = "a SYN-ACK", .dst = CLIENT, .src = VM, .type = T_IP4, .from = VM_IP, .to = CLIENT_IP, .proto = TCP, .flags = 0x12 },
	{ .name = "an ACK behind options", .dst = CLIENT, .src = VM, .type = T_IP4, .from = VM_IP, .to = CLIENT_IP, .proto = TCP, .flags = 0x10, .extensions = 2 },
	{ .name = "a FIN", .dst = CLIENT, .src = VM, .type = T_IP6, .from = VM_IP6, .to = CLIENT_IP6, .proto = TCP, .flags = 0x11 },
	{ .name = "UDP", .dst = CLIENT, .src = VM, .type = T_IP4, .from = VM_IP, .to = CLIENT_IP, .proto = UDP, .data = 100 },
	{ .name = "UDP on IPv6", .dst = CLIENT, .src = VM, .type = T_IP6, .from = VM_IP6, .to = CLIENT_IP6, .proto = UDP, .data = 100 },
	{ .name = "a later fragment", .dst = CLIENT, .src = VM, .type = T_IP4, .from = VM_IP, .to = CLIENT_IP, .proto = TCP, .data = 100, .fragment = 7 },
	{ .name = "data for the prober", .dst = PROBER, .src = VM, .type = T_IP4, .from = VM_IP, .to = CLIENT_IP, .proto = TCP, .data = 1 },
};

static const struct packet some_data[] = {
	{ .name = "one byte", .dst = CLIENT, .src = VM, .type = T_IP4, .from = VM_IP, .to = CLIENT_IP, .proto = TCP, .flags = PSH_ACK, .data = 1 },
	{ .name = "one byte on IPv6", .dst = CLIENT, .src = VM, .type = T_IP6, .from = VM_IP6, .to = CLIENT_IP6, .proto = TCP, .flags = PSH_ACK, .data = 1 },
	{ .name = "one behind options", .dst = CLIENT, .src = VM, .type = T_IP4, .from = VM_IP, .to = CLIENT_IP, .proto = TCP, .data = 1, .extensions = 2 },
};

static void test_first_data(void **state)
{
	struct port_monitor *m = bpf_monitor();
	struct port *p = open_port(m);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(some_data); i++) {
		uint64_t t, first;

		for (size_t j = 0; j < ARRAY_SIZE(no_data); j++) {
			write_packet(&no_data[j]);
			if (port_first_data(p))
				fail_msg("%s is no data", no_data[j].name);
		}
		t = clock_now_ns();
		write_packet(&some_data[i]);
		first = port_first_data(p);
		if (!first)
			fail_msg("%s is data", some_data[i].name);
		assert_in_range(first, t, clock_now_ns());
		write_packet(&some_data[i]);
		assert_int_equal(port_first_data(p), first); /* the first is the first */
		t = look(p).packets;
		port_first_data_reset(p);
		assert_int_equal(port_first_data(p), 0);
		assert_int_equal(look(p).packets, t);
	}
	port_close(p);
	port_monitor_free(m);
}

/* ---- sending held frames ---- */

static int probe_socket(void)
{
	struct err e;
	int fd = port_probe_socket("jttest", &vm, &prober, &e);

	assert_true(fd >= 0);
	return fd;
}

static size_t big_frame(uint8_t out[PACKET_BYTES])
{
	static const struct packet k = { .dst = VM, .src = CLIENT, .type = T_IP4, .from = CLIENT_IP, .to = VM_IP, .proto = TCP, .data = 1460 };

	return packet_make(&k, out);
}

/* How many frames the VM gets. */
static unsigned vm_reads(size_t bytes)
{
	uint8_t buf[VNET_HDR + PACKET_BYTES];
	unsigned n = 0;

	for (ssize_t r; (r = read(vm_fd, buf, sizeof(buf))) > 0; n++)
		assert_int_equal(r, VNET_HDR + bytes);
	return n;
}

static void test_a_burst_of_whole_frames(void **state)
{
	uint8_t f[PACKET_BYTES];
	size_t n = big_frame(f);
	int fd;

	(void)state;
	needs_netns();
	fd = probe_socket();
	assert_int_equal(n, 1514);
	for (int i = 0; i < 256; i++)
		assert_int_equal(send(fd, f, n, 0), n);
	assert_int_equal(vm_reads(n), 256);
	assert_int_equal(send(fd, f, n + 100, 0), -1);
	assert_int_equal(errno, EMSGSIZE);
	close(fd);
}

/* The VM does not read: each frame that was not refused waits for it, and no more. */
static void test_a_full_queue_refuses(void **state)
{
	uint8_t f[PACKET_BYTES];
	size_t n = big_frame(f);
	unsigned taken = 0;
	int fd;

	(void)state;
	needs_netns();
	fd = probe_socket();
	while (taken < 100000 && send(fd, f, n, 0) > 0)
		taken++;
	assert_int_equal(errno, ENOBUFS);
	assert_in_range(taken, 256, 99999);
	assert_int_equal(vm_reads(n), taken);
	assert_int_equal(send(fd, f, n, 0), n); /* there is room again */
	close(fd);
}

static void test_nobody_has_the_tap_open(void **state)
{
	uint8_t f[PACKET_BYTES];
	size_t n = big_frame(f);
	int fd;

	(void)state;
	needs_netns();
	fd = probe_socket();
	assert_int_equal(ioctl(vm_fd, TUNSETPERSIST, 1), 0);
	fd_close(&vm_fd);
	assert_int_equal(send(fd, f, n, 0), -1);
	assert_int_equal(errno, ENOBUFS);
	vm_fd = tap_attach("jttest", IFF_VNET_HDR); /* QEMU comes: at once it takes frames */
	assert_int_equal(send(fd, f, n, 0), n);
	assert_int_equal(vm_reads(n), 1);
	assert_int_equal(ip_run("ip link set jttest down"), 0);
	assert_int_equal(send(fd, f, n, 0), -1);
	assert_int_equal(errno, ENETDOWN);
	assert_int_equal(ip_run("ip link del jttest"), 0);
	assert_int_equal(send(fd, f, n, 0), -1);
	assert_int_equal(errno, ENXIO);
	close(fd);
}

#define ON_TAP(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_TAP(test_bpf_counts),
		ON_TAP(test_socket_counts),
		ON_TAP(test_socket_counts_thousands),
		ON_TAP(test_closing_leaves_nothing),
		ON_TAP(test_others_filters_stay),
		ON_TAP(test_ingress_qdisc_means_a_socket),
		ON_TAP(test_a_predecessor_is_replaced),
		ON_TAP(test_a_port_that_goes_away),
		ON_TAP(test_no_such_interface),
		ON_TAP(test_busy_tap),
		ON_TAP(test_probe_socket),
		ON_TAP(test_guard),
		ON_TAP(test_guard_of_a_mac_alone),
		ON_TAP(test_guard_knows_as_many_addresses_as_a_service_has),
		ON_TAP(test_guard_is_never_off),
		ON_TAP(test_without_bpf_nothing_is_guarded),
		ON_TAP(test_first_data),
		ON_TAP(test_a_burst_of_whole_frames),
		ON_TAP(test_a_full_queue_refuses),
		ON_TAP(test_nobody_has_the_tap_open),
	};

	have_netns = netns_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
