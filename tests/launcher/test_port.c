#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "launcher/netlink.h"
#include "launcher/netlink_internal.h"
#include "launcher/port.h"
#include "tests/launcher/frames.h"
#include "tests/netns.h"

/* In a namespace of its own: a tap whose descriptor is the VM, and a packet socket on it that puts
 * in what a bridge would forward to the VM. */

#define VM "02:00:00:00:00:10"
#define PROBER "02:00:00:00:00:fe"
#define CLIENT "02:00:00:00:00:20"

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
	vm_fd = tap_attach("jttest");
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

static const struct {
	struct test_frame t;
	bool out; /* to the VM */
	bool counts;
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
			struct port_activity before = look(p), after;
			uint64_t t = clock_now_ns();

			if (rows[i].out)
				to_vm(&rows[i].t);
			else
				from_vm(&rows[i].t);
			after = look(p);
			if (after.packets - before.packets != rows[i].counts)
				fail_msg("%s should %scount", rows[i].t.name, rows[i].counts ? "" : "not ");
			if (rows[i].counts)
				assert_in_range(after.last_ns, t, clock_now_ns());
			else
				assert_int_equal(after.last_ns, before.last_ns);
			if (way == PORT_WAY_BPF)
				assert_int_equal(after.bytes - before.bytes >= FRAME_BYTES - 4, rows[i].counts);
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
	};

	have_netns = netns_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
