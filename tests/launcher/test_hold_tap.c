#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "launcher/hold_tap.h"
#include "launcher/identity.h"
#include "launcher/netlink_internal.h"
#include "tests/launcher/packets.h"
#include "tests/netns.h"

/* In a namespace of its own: a bridge br0 with a veth behind which a client is, a packet socket. */

#define VM "02:00:00:00:00:10"
#define VM2 "02:00:00:00:00:11"
#define CLIENT "02:00:00:00:00:20"
#define OTHER "02:00:00:00:00:21"
#define NOBODY "02:00:00:00:00:22" /* never sends: the bridge floods what is for it */
#define VM_IP "10.9.0.10"
#define VM_IP6 "fd09::10"
#define CLIENT_IP "10.9.0.20"
#define CLIENT_IP6 "fd09::20"

static const struct identity id = { { 1, 2, 3 } };
static bool have_netns;
static struct netlink *nl;
static struct hold_filter *filter;
static int client = -1;

static int setup(void **state)
{
	struct sockaddr_ll where = { .sll_family = AF_PACKET, .sll_protocol = 0 };
	struct err e;

	(void)state;
	if (!have_netns)
		return 0;
	nl = netlink_new(&e);
	if (!nl || ip_run("ip link add br0 type bridge; ip link set br0 address 02:00:00:00:00:01; "
			  "sysctl -qw net.ipv6.conf.br0.disable_ipv6=1; "
			  "ip link add c0 type veth peer name c1; "
			  "for i in c0 c1; do sysctl -qw net.ipv6.conf.$i.disable_ipv6=1; done; "
			  "ip link set c0 master br0; for i in br0 c0 c1; do ip link set $i up; done") < 0)
		return -1;
	where.sll_ifindex = (int)if_nametoindex("c1");
	client = socket(AF_PACKET, SOCK_RAW, 0);
	return bind(client, (void *)&where, sizeof(where));
}

static void delete_tap(void *arg, const struct link_info *link, const char *bridge)
{
	(void)arg;
	(void)bridge;
	ip_run("ip link del %s", link->name);
}

static int teardown(void **state)
{
	struct err e;

	(void)state;
	if (!have_netns)
		return 0;
	fd_close(&client);
	hold_filter_free(filter);
	filter = NULL;
	hold_tap_list(nl, delete_tap, NULL, &e);
	netlink_free(nl);
	return ip_run("ip link del c0; ip link del br0; ip link del br1 2>/dev/null; true");
}

static struct bridge_info bridge(const char *name)
{
	struct bridge_info b;
	struct err e = { 0 };

	if (netlink_bridge(nl, name, &b, &e) < 0)
		fail_msg("%s", e.text);
	return b;
}

static struct hold_tap open_tap(const char *on, int kept)
{
	struct bridge_info b = bridge(on);
	struct hold_tap t = { .fd = -1 };
	struct err e = { 0 };

	if (hold_tap_open(nl, &id, &b, kept, &t, &e) < 0)
		fail_msg("%s", e.text);
	return t;
}

static void set_addr(const struct hold_tap *t, const char *text, unsigned pass)
{
	struct ip_addr a;

	assert_int_equal(ip_parse(text, &a), 0);
	assert_int_equal(hold_filter_set_addr(filter, t->ifindex, &a, pass), 0);
}

static void set_mac(const struct hold_tap *t, const char *text, unsigned pass)
{
	struct mac_addr m;

	assert_int_equal(mac_parse(text, &m), 0);
	assert_int_equal(hold_filter_set_mac(filter, t->ifindex, &m, pass), 0);
}

static void attach(const struct hold_tap *t)
{
	struct err e = { 0 };

	if (hold_filter_attach(filter, t, &e) < 0)
		fail_msg("%s", e.text);
}

static void claim(const struct hold_tap *t, unsigned pass)
{
	set_mac(t, VM, pass);
	set_addr(t, VM_IP, pass);
	set_addr(t, VM_IP6, pass);
}

static void new_filter(bool bpf)
{
	struct err e = { 0 };

	filter = hold_filter_new(bpf, &e);
	assert_non_null(filter);
	if (bpf && hold_filter_note(filter)[0]) {
		print_message("%s\n", hold_filter_note(filter));
		skip();
	}
}

/* A tap with a filter that passes what concerns VM. */
static struct hold_tap claiming_tap(bool bpf)
{
	static const struct mac_addr vm = { { 2, 0, 0, 0, 0, 0x10 } };
	struct hold_tap t;
	struct err e;

	if (!have_netns)
		skip();
	new_filter(bpf);
	t = open_tap("br0", -1);
	claim(&t, HOLD_PASS_CLAIM);
	attach(&t);
	assert_int_equal(netlink_fdb_set(nl, t.ifindex, &vm, FDB_STICKY, &e), 0);
	return t;
}

static void needs_netns(void)
{
	if (!have_netns)
		skip();
}

static void send_packet(const struct packet *k)
{
	uint8_t buf[PACKET_BYTES];
	size_t n = packet_make(k, buf);

	assert_int_equal(send(client, buf, n, 0), n);
}

/* How many of them wait in the tap. */
static unsigned drain(int fd)
{
	uint8_t buf[PACKET_BYTES];
	unsigned n = 0;

	while (read(fd, buf, sizeof(buf)) > 0)
		n++;
	assert_int_equal(errno, EAGAIN);
	return n;
}

/* A bridge forwards in the softirq of the sender: by the time send() returns, a frame is there. */
static void expect(const struct hold_tap *t, const struct packet *k, bool passes)
{
	uint8_t sent[PACKET_BYTES], got[PACKET_BYTES];
	size_t n = packet_make(k, sent);
	ssize_t r;

	assert_int_equal(send(client, sent, n, 0), n);
	r = read(t->fd, got, sizeof(got));
	if ((r > 0) != passes)
		fail_msg("%s should %s", k->name, passes ? "pass" : "be dropped");
	if (passes) {
		assert_int_equal(r, n); /* whole, as it was */
		assert_memory_equal(got, sent, n);
	}
}

static const struct packet syn = {
	.name = "a SYN", .dst = VM, .src = CLIENT, .type = T_IP4, .from = CLIENT_IP, .to = VM_IP, .proto = TCP, .dport = 80, .flags = SYN
};

/* ---- the tap ---- */

static void test_is_made_right(void **state)
{
	struct hold_tap t;
	struct mac_addr mac;
	struct link_info l;
	struct err e;

	(void)state;
	needs_netns();
	ip_run("ip link set br0 mtu 1400");
	t = open_tap("br0", -1);
	assert_false(t.kept);
	assert_int_equal(strncmp(t.ifname, HOLD_TAP_PREFIX, 2), 0);
	assert_int_equal(netlink_link_by_index(nl, t.ifindex, &l, &e), 0);
	assert_string_equal(l.name, t.ifname);
	assert_string_equal(l.alias, "jitsu-hold:br0");
	identity_hold_mac(&id, "br0", &mac);
	assert_memory_equal(&l.mac, &mac, sizeof(mac));
	assert_int_equal(mac.b[0], 0xfe);
	assert_int_equal(l.mtu, 1400);
	assert_int_equal(l.master, bridge("br0").ifindex);
	assert_true(l.up);
	assert_true(l.carrier);
	assert_int_equal(bridge("br0").mac.b[5], 1); /* still its own */
	assert_true(fcntl(t.fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(t.fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(ip_run("test -z \"$(ip -6 addr show dev %s)\"", t.ifname), 0);
	assert_int_equal(ip_run("ip link show dev %s | grep -q 'qdisc noqueue.*qlen 4096'", t.ifname), 0);
	assert_int_equal(ip_run("ip -d link show dev %s | grep -q 'state forwarding.* learning off flood on.*mcast_router 2.*"
				"mcast_flood on bcast_flood on mcast_to_unicast off'", t.ifname), 0);
	hold_tap_close(&t);
	assert_int_equal(t.fd, -1);
	assert_true(if_nametoindex(t.ifname) > 0);
}

static void test_drops_everything_until_it_has_a_filter(void **state)
{
	struct hold_tap t;

	(void)state;
	needs_netns();
	t = open_tap("br0", -1);
	expect(&t, &syn, false);
	hold_tap_close(&t);
	t = open_tap("br0", -1); /* the same, for it was let go of */
	expect(&t, &syn, false);
	hold_tap_close(&t);
}

static void test_as_many_frames_as_it_says_wait_in_it(void **state)
{
	struct hold_tap t = claiming_tap(true);

	(void)state;
	for (int i = 0; i < HOLD_TAP_FRAMES + 100; i++)
		send_packet(&syn);
	assert_int_equal(drain(t.fd), HOLD_TAP_FRAMES);
	hold_tap_close(&t);
}

/* The process dies, and its descriptor was kept: nothing is lost, and the bridge sees nothing. */
static void test_a_kept_one_goes_on(void **state)
{
	static const struct mac_addr vm = { { 2, 0, 0, 0, 0, 0x10 } };
	struct hold_tap t = claiming_tap(true), again;
	struct fdb_entry f;
	struct err e;
	int kept;

	(void)state;
	for (int i = 0; i < 10; i++)
		send_packet(&syn);
	kept = dup(t.fd);
	hold_tap_close(&t);
	hold_filter_free(filter);
	filter = NULL;
	for (int i = 0; i < 10; i++)
		send_packet(&syn); /* the filter is still there, and its tables */
	again = open_tap("br0", kept);
	assert_true(again.kept);
	assert_int_equal(again.fd, kept);
	assert_int_equal(again.ifindex, t.ifindex);
	assert_true(fcntl(again.fd, F_GETFD) & FD_CLOEXEC);
	expect(&again, &syn, true);
	assert_int_equal(drain(again.fd), 20);
	assert_int_equal(netlink_fdb_find(nl, bridge("br0").ifindex, &vm, &f, &e), 0);
	assert_int_equal(f.port, t.ifindex);
	hold_tap_close(&again);
}

static void test_what_was_kept_may_be_something_else(void **state)
{
	struct hold_tap t, again;
	int fds[2], kept;

	(void)state;
	needs_netns();
	t = open_tap("br0", -1);
	kept = dup(t.fd);
	hold_tap_close(&t);
	assert_int_equal(ip_run("ip link del %s", t.ifname), 0); /* it was deleted meanwhile */
	again = open_tap("br0", kept);
	assert_false(again.kept);
	assert_int_not_equal(again.ifindex, t.ifindex);
	hold_tap_close(&again);
	kept = tap_attach("jtother", 0);
	assert_true(kept >= 0);
	again = open_tap("br0", kept);
	assert_false(again.kept);
	assert_int_equal(if_nametoindex("jtother"), 0); /* it was closed */
	hold_tap_close(&again);
	assert_int_equal(pipe(fds), 0);
	again = open_tap("br0", fds[0]);
	assert_false(again.kept);
	close(fds[1]);
	hold_tap_close(&again);
	kept = tap_attach(t.ifname, IFF_VNET_HDR); /* it is ours, but frames would be led by a header */
	assert_true(kept >= 0);
	again = open_tap("br0", kept);
	assert_false(again.kept);
	hold_tap_close(&again);
}

static void test_everything_is_set_right_again(void **state)
{
	struct hold_tap t, again;
	int kept;

	(void)state;
	needs_netns();
	t = open_tap("br0", -1);
	kept = dup(t.fd);
	hold_tap_close(&t);
	assert_int_equal(ip_run("ip link set %s nomaster mtu 1000; ip link set %s down; ip link set %s txqueuelen 5; "
				"ip link add br1 type bridge; ip link set %s master br1; "
				"ip link set %s type bridge_slave learning on flood off mcast_router 0",
				t.ifname, t.ifname, t.ifname, t.ifname, t.ifname),
			 0);
	again = open_tap("br0", kept);
	assert_true(again.kept);
	assert_int_equal(ip_run("ip -d link show dev %s | grep -q 'mtu 1500 .*master br0.*qlen 4096'", t.ifname), 0);
	assert_int_equal(ip_run("ip -d link show dev %s | grep -q ' learning off flood on.*mcast_router 2'", t.ifname), 0);
	assert_int_equal(ip_run("ip link show dev %s | grep -q LOWER_UP; ip link del br1", t.ifname), 0);
	hold_tap_close(&again);
}

static void test_somebody_else_has_it(void **state)
{
	struct bridge_info b;
	struct hold_tap t, other = { .fd = -1 };
	struct err e = { 0 };
	char pid[32];

	(void)state;
	needs_netns();
	b = bridge("br0");
	t = open_tap("br0", -1);
	assert_int_equal(hold_tap_open(nl, &id, &b, -1, &other, &e), -EBUSY);
	snprintf(pid, sizeof(pid), "process %d (", getpid());
	assert_non_null(strstr(e.text, pid));
	assert_non_null(strstr(e.text, "br0"));
	assert_int_equal(other.fd, -1);
	hold_tap_close(&t);
}

static void test_foreign_names_are_left_alone(void **state)
{
	struct bridge_info b;
	struct hold_tap t = { .fd = -1 };
	struct err e = { 0 };
	char name[MSG_IFNAME_MAX];
	int fds[2];

	(void)state;
	needs_netns();
	b = bridge("br0");
	identity_hold_name(&id, "br0", name);
	assert_int_equal(ip_run("ip tuntap add %s mode tap", name), 0);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(hold_tap_open(nl, &id, &b, fds[0], &t, &e), -EEXIST);
	assert_int_equal(fcntl(fds[0], F_GETFD), -1); /* used up */
	assert_int_equal(hold_tap_delete(nl, name, &e), -EPERM);
	assert_int_equal(hold_tap_delete(nl, "br0", &e), -EPERM);
	assert_int_equal(ip_run("ip link del %s", name), 0);
	assert_int_equal(hold_tap_delete(nl, name, &e), 0);
	close(fds[1]);
}

struct found {
	unsigned n;
	char bridges[64];
};

static void note_tap(void *arg, const struct link_info *link, const char *on)
{
	struct found *f = arg;

	f->n++;
	assert_int_equal(strncmp(link->name, HOLD_TAP_PREFIX, 2), 0);
	strncat(f->bridges, on, sizeof(f->bridges) - strlen(f->bridges) - 1);
}

static void test_lists_and_deletes_ours(void **state)
{
	struct found before = { 0 }, after = { 0 };
	struct hold_tap a, b;
	struct err e;

	(void)state;
	needs_netns();
	assert_int_equal(ip_run("ip link add br1 type bridge; ip tuntap add jhnoalias mode tap; "
				"ip tuntap add vnet7 mode tap; ip link set vnet7 alias jitsu-hold:br0"),
			 0);
	a = open_tap("br0", -1);
	b = open_tap("br1", -1);
	assert_int_equal(hold_tap_list(nl, note_tap, &before, &e), 0);
	assert_int_equal(before.n, 2);
	assert_string_equal(before.bridges, "br0br1");
	assert_int_equal(hold_tap_delete(nl, a.ifname, &e), 0); /* open or not */
	assert_int_equal(ip_run("ip link del br1"), 0); /* its bridge went before it */
	assert_int_equal(hold_tap_list(nl, note_tap, &after, &e), 0);
	assert_string_equal(after.bridges, "br1");
	hold_tap_close(&a);
	hold_tap_close(&b);
	assert_int_equal(hold_tap_delete(nl, b.ifname, &e), 0);
	assert_int_equal(if_nametoindex(b.ifname), 0);
	assert_int_equal(ip_run("ip link del jhnoalias; ip link del vnet7"), 0);
}

/* We write frames whose source is a client's: the bridge must not look for it here then. */
static void test_does_not_learn(void **state)
{
	static const struct mac_addr mac = { { 2, 0, 0, 0, 0, 0x20 } };
	struct packet k = { .dst = VM2, .src = CLIENT, .type = T_IP4, .proto = UDP };
	struct hold_tap t = claiming_tap(true);
	uint8_t buf[PACKET_BYTES];
	struct fdb_entry f;
	size_t n = packet_make(&k, buf);
	struct err e;

	(void)state;
	send_packet(&k);
	assert_int_equal(netlink_fdb_find(nl, bridge("br0").ifindex, &mac, &f, &e), 0);
	assert_int_equal(f.port, if_nametoindex("c0"));
	assert_int_equal(write(t.fd, buf, n), n);
	assert_int_equal(netlink_fdb_find(nl, bridge("br0").ifindex, &mac, &f, &e), 0);
	assert_int_equal(f.port, if_nametoindex("c0"));
	hold_tap_close(&t);
}

/* The host itself is a client whose kernel leaves checksums and segmenting to the hardware: a tap
 * that promises nothing gets finished frames. */
static void test_frames_of_the_host_are_finished(void **state)
{
	struct hold_tap t = claiming_tap(true);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(80) };
	uint8_t f[PACKET_BYTES];
	uint32_t sum = 0;
	ssize_t n = -1;
	int s;

	(void)state;
	inet_pton(AF_INET, VM_IP, &to.sin_addr);
	assert_int_equal(ip_run("ip addr add 10.9.0.1/24 dev br0; ip neigh add " VM_IP " lladdr " VM " dev br0"), 0);
	s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(s, (void *)&to, sizeof(to)), -1); /* it is under way */
	n = read(t.fd, f, sizeof(f));
	assert_in_range(n, 54, 80);
	assert_int_equal(f[23], TCP);
	/* RFC 9293, 3.1: with the pseudo-header the sum is all ones */
	for (ssize_t i = 26; i < n; i++)
		sum += (uint32_t)f[i] << (i % 2 ? 0 : 8);
	sum += TCP + (uint32_t)(n - 34);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	assert_int_equal(sum, 0xffff);
	close(s);
	hold_tap_close(&t);
}

/* ---- the filter ---- */

enum { NO = 0, W = HOLD_PASS_WATCH, F = HOLD_PASS_FROM, T = HOLD_PASS_TO, ANY = 0x10 };

/* When a frame passes: with which of these bits for VM and its addresses; ANY: without, too. */
struct row {
	struct packet k;
	unsigned with;
	bool classic; /* without BPF */
};

static const struct row rows[] = {
	/* to it */
	{ { .name = "a SYN", .dst = VM, .src = CLIENT, .type = T_IP4, .from = CLIENT_IP, .to = VM_IP, .proto = TCP, .flags = SYN }, T, true },
	{ { .name = "TCP behind IP options", .dst = VM, .src = CLIENT, .type = T_IP4, .from = CLIENT_IP, .to = VM_IP, .proto = TCP, .extensions = 2 }, T, true },
	{ { .name = "UDP", .dst = VM, .src = CLIENT, .type = T_IP4, .from = CLIENT_IP, .to = VM_IP, .proto = UDP, .dport = 53, .data = 9 }, T, true },
	{ { .name = "a big one", .dst = VM, .src = CLIENT, .type = T_IP4, .from = CLIENT_IP, .to = VM_IP, .proto = TCP, .flags = PSH_ACK, .data = 1460 }, T, true },
	{ { .name = "a fragment", .dst = VM, .src = CLIENT, .type = T_IP4, .from = CLIENT_IP, .to = VM_IP, .proto = UDP, .fragment = 7 }, T, true },
	{ { .name = "a SYN on IPv6", .dst = VM, .src = CLIENT, .type = T_IP6, .from = CLIENT_IP6, .to = VM_IP6, .proto = TCP, .flags = SYN }, T, true },
	{ { .name = "ping on IPv6", .dst = VM, .src = CLIENT, .type = T_IP6, .from = CLIENT_IP6, .to = VM_IP6, .proto = ICMP6, .icmp = 128 }, T, true },
	{ { .name = "Wake-on-LAN to its MAC", .dst = VM, .src = CLIENT, .type = T_IP4, .from = CLIENT_IP, .to = "10.9.0.99", .proto = UDP, .dport = 9, .data = 102 }, T, true },
	{ { .name = "an ARP request", .dst = TO_ALL, .src = CLIENT, .type = T_ARP, .from = CLIENT_IP, .to = VM_IP }, T, true },
	{ { .name = "a unicast ARP request", .dst = VM, .src = CLIENT, .type = T_ARP, .from = CLIENT_IP, .to = VM_IP }, T, true },
	{ { .name = "an ARP reply to it", .dst = VM, .src = CLIENT, .type = T_ARP, .op = 2, .from = CLIENT_IP, .to = VM_IP }, T, true },
	{ { .name = "a solicitation", .dst = "33:33:ff:00:00:10", .src = CLIENT, .type = T_IP6, .from = CLIENT_IP6, .to = "ff02::1:ff00:10", .proto = ICMP6, .icmp = 135, .target = VM_IP6 }, T, true },
	{ { .name = "a unicast solicitation", .dst = VM, .src = CLIENT, .type = T_IP6, .from = CLIENT_IP6, .to = VM_IP6, .proto = ICMP6, .icmp = 135, .target = VM_IP6 }, T, true },
	/* somebody else has it */
	{ { .name = "another's gratuitous ARP", .dst = TO_ALL, .src = OTHER, .type = T_ARP, .from = VM_IP, .to = VM_IP }, W | T, true },
	{ { .name = "another's ARP request with its address", .dst = TO_ALL, .src = OTHER, .type = T_ARP, .from = VM_IP, .to = CLIENT_IP }, W, true },
	{ { .name = "an ARP probe", .dst = TO_ALL, .src = OTHER, .type = T_ARP, .to = VM_IP }, W | T, true },
	{ { .name = "ARP with its MAC as sender", .dst = TO_ALL, .src = OTHER, .type = T_ARP, .sha = VM, .from = "10.9.0.66", .to = CLIENT_IP }, W, true },
	{ { .name = "RARP of its MAC", .dst = TO_ALL, .src = OTHER, .type = T_RARP, .op = 3, .sha = VM, .tha = VM }, W, true },
	{ { .name = "RARP for its MAC", .dst = TO_ALL, .src = OTHER, .type = T_RARP, .op = 3, .tha = VM }, W, true },
	{ { .name = "an advertisement", .dst = "33:33:00:00:00:01", .src = OTHER, .type = T_IP6, .from = VM_IP6, .to = "ff02::1", .proto = ICMP6, .icmp = 136, .target = VM_IP6 }, W, true },
	{ { .name = "another's address detection", .dst = "33:33:ff:00:00:10", .src = OTHER, .type = T_IP6, .to = "ff02::1:ff00:10", .proto = ICMP6, .icmp = 135, .target = VM_IP6 }, W | T, true },
	{ { .name = "another's solicitation from it", .dst = "33:33:ff:00:00:20", .src = OTHER, .type = T_IP6, .from = VM_IP6, .to = "ff02::1:ff00:20", .proto = ICMP6, .icmp = 135, .target = CLIENT_IP6 }, W, true },
	{ { .name = "its MAC as source of UDP", .dst = NOBODY, .src = VM, .type = T_IP4, .from = VM_IP, .to = CLIENT_IP, .proto = UDP }, F, true },
	{ { .name = "its MAC as source of a broadcast", .dst = TO_ALL, .src = VM, .type = T_IP4, .from = VM_IP, .to = "10.9.0.255", .proto = UDP, .dport = 137 }, F, false },
	{ { .name = "its MAC as source of anything", .dst = TO_ALL, .src = VM, .type = 0x88b5 }, F, false },
	/* Wake-on-LAN */
	{ { .name = "a magic frame", .dst = TO_ALL, .src = CLIENT, .type = T_WOL }, ANY, true },
	{ { .name = "a magic frame to nobody", .dst = NOBODY, .src = CLIENT, .type = T_WOL }, ANY, true },
	{ { .name = "a magic datagram", .dst = TO_ALL, .src = CLIENT, .type = T_IP4, .from = CLIENT_IP, .to = "10.9.0.255", .proto = UDP, .dport = 9, .data = 102 }, ANY, true },
	{ { .name = "one to port 7, IP options", .dst = TO_ALL, .src = CLIENT, .type = T_IP4, .from = CLIENT_IP, .to = "255.255.255.255", .proto = UDP, .dport = 7, .data = 102, .extensions = 1 }, ANY, true },
	{ { .name = "a magic multicast", .dst = "01:00:5e:01:01:01", .src = CLIENT, .type = T_IP4, .from = CLIENT_IP, .to = "239.1.1.1", .proto = UDP, .dport = 9, .data = 102 }, ANY, true },
	{ { .name = "a magic datagram on IPv6", .dst = "33:33:00:00:00:01", .src = CLIENT, .type = T_IP6, .from = CLIENT_IP6, .to = "ff02::1", .proto = UDP, .dport = 9, .data = 102 }, ANY, true },
	/* noise */
	{ { .name = "a SYN for another MAC", .dst = NOBODY, .src = CLIENT, .type = T_IP4, .from = CLIENT_IP, .to = VM_IP, .proto = TCP, .flags = SYN }, NO, true },
	{ { .name = "a SYN for another address", .dst = VM, .src = CLIENT, .type = T_IP4, .from = CLIENT_IP, .to = "10.9.0.11", .proto = TCP, .flags = SYN }, NO, true },
	{ { .name = "a SYN for another one", .dst = NOBODY, .src = CLIENT, .type = T_IP4, .from = CLIENT_IP, .to = "10.9.0.11", .proto = TCP, .flags = SYN }, NO, true },
	{ { .name = "Wake-on-LAN for another MAC", .dst = NOBODY, .src = CLIENT, .type = T_IP4, .from = CLIENT_IP, .to = VM_IP, .proto = UDP, .dport = 9 }, NO, true },
	{ { .name = "IPv6 for another", .dst = NOBODY, .src = CLIENT, .type = T_IP6, .from = CLIENT_IP6, .to = "fd09::11", .proto = TCP }, NO, true },
	{ { .name = "IPv6 for another address", .dst = VM, .src = CLIENT, .type = T_IP6, .from = CLIENT_IP6, .to = "fd09::11", .proto = TCP }, NO, true },
	{ { .name = "ARP for another", .dst = TO_ALL, .src = CLIENT, .type = T_ARP, .from = CLIENT_IP, .to = "10.9.0.11" }, NO, true },
	{ { .name = "an ARP probe for another", .dst = TO_ALL, .src = CLIENT, .type = T_ARP, .to = "10.9.0.11" }, NO, true },
	{ { .name = "RARP of another", .dst = TO_ALL, .src = CLIENT, .type = T_RARP, .op = 3, .tha = OTHER }, NO, true },
	{ { .name = "a solicitation for another", .dst = "33:33:ff:00:00:11", .src = CLIENT, .type = T_IP6, .from = CLIENT_IP6, .to = "ff02::1:ff00:11", .proto = ICMP6, .icmp = 135, .target = "fd09::11" }, NO, true },
	{ { .name = "an advertisement of another", .dst = "33:33:00:00:00:01", .src = OTHER, .type = T_IP6, .from = "fd09::11", .to = "ff02::1", .proto = ICMP6, .icmp = 136, .target = "fd09::11" }, NO, true },
	{ { .name = "IP broadcast", .dst = TO_ALL, .src = CLIENT, .type = T_IP4, .from = CLIENT_IP, .to = "10.9.0.255", .proto = UDP, .dport = 138 }, NO, false },
	{ { .name = "its address in a broadcast frame", .dst = TO_ALL, .src = CLIENT, .type = T_IP4, .from = CLIENT_IP, .to = VM_IP, .proto = TCP, .flags = SYN }, NO, false },
	{ { .name = "a later fragment of a broadcast", .dst = TO_ALL, .src = CLIENT, .type = T_IP4, .from = CLIENT_IP, .to = "10.9.0.255", .proto = UDP, .dport = 9, .fragment = 7 }, NO, false },
	{ { .name = "TCP to port 9", .dst = TO_ALL, .src = CLIENT, .type = T_IP4, .from = CLIENT_IP, .to = "10.9.0.255", .proto = TCP, .dport = 9 }, NO, false },
	{ { .name = "multicast", .dst = "01:00:5e:00:00:fb", .src = CLIENT, .type = T_IP4, .from = CLIENT_IP, .to = "224.0.0.251", .proto = UDP, .dport = 5353 }, NO, false },
	{ { .name = "multicast on IPv6", .dst = "33:33:00:00:00:fb", .src = CLIENT, .type = T_IP6, .from = CLIENT_IP6, .to = "ff02::fb", .proto = UDP, .dport = 5353 }, NO, false },
	{ { .name = "a router's advertisement", .dst = "33:33:00:00:00:01", .src = OTHER, .type = T_IP6, .from = "fe80::1", .to = "ff02::1", .proto = ICMP6, .icmp = 134, .target = VM_IP6 }, NO, false },
	{ { .name = "some other type", .dst = TO_ALL, .src = CLIENT, .type = 0x88b5 }, NO, false },
	{ { .name = "a tagged SYN", .dst = VM, .src = CLIENT, .tagged = true, .vlan = 5, .type = T_IP4, .from = CLIENT_IP, .to = VM_IP, .proto = TCP, .flags = SYN }, NO, false },
	{ { .name = "a tagged ARP request", .dst = TO_ALL, .src = CLIENT, .tagged = true, .vlan = 5, .type = T_ARP, .from = CLIENT_IP, .to = VM_IP }, NO, false },
};

static void test_what_passes(void **state)
{
	struct hold_tap t = claiming_tap(true);

	(void)state;
	for (unsigned pass = 0; pass <= HOLD_PASS_CLAIM; pass++) {
		claim(&t, pass);
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
			expect(&t, &rows[i].k, rows[i].with & (pass | ANY));
	}
	hold_tap_close(&t);
}

static void test_what_passes_without_bpf(void **state)
{
	struct hold_tap t = claiming_tap(false);

	(void)state;
	assert_non_null(strstr(hold_filter_note(filter), "no BPF"));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		expect(&t, &rows[i].k, rows[i].classic);
	hold_tap_close(&t);
}

static void test_a_short_frame_is_dropped(void **state)
{
	struct hold_tap t = claiming_tap(true);
	uint8_t buf[PACKET_BYTES];

	(void)state;
	packet_make(&syn, buf);
	for (size_t n = 14; n < 34; n++)
		assert_int_equal(send(client, buf, n, 0), n);
	assert_int_equal(drain(t.fd), 0);
	hold_tap_close(&t);
}

/* Noise wakes nobody. */
static void test_a_flood_of_noise(void **state)
{
	static const char *const noise[] = { "a SYN for another one", "ARP for another", "IP broadcast", "multicast on IPv6" };
	struct hold_tap t = claiming_tap(true);
	struct pollfd p = { .fd = t.fd, .events = POLLIN };
	uint64_t began = clock_now_ns();

	(void)state;
	for (int n = 0; n < 20000; n++) {
		for (size_t i = 0; n < 5000 * (int)ARRAY_SIZE(noise) && i < ARRAY_SIZE(rows); i++) {
			if (strcmp(rows[i].k.name, noise[n / 5000]) == 0)
				send_packet(&rows[i].k);
		}
	}
	print_message("%.2f us for each frame of noise, its sending included\n",
		      (double)(clock_now_ns() - began) / 20000 / 1000);
	assert_int_equal(poll(&p, 1, 0), 0);
	expect(&t, &syn, true);
	hold_tap_close(&t);
}

/* Between two frames, and in either direction between the kinds of filter. */
static void test_a_new_filter_replaces_the_old(void **state)
{
	static const struct packet arp = { .name = "ARP", .dst = TO_ALL, .src = CLIENT, .type = T_ARP, .from = CLIENT_IP, .to = "10.9.0.11" };
	struct hold_tap t = claiming_tap(true);
	struct hold_filter *old = filter;

	(void)state;
	expect(&t, &arp, false);
	new_filter(true);
	attach(&t); /* it knows nothing */
	expect(&t, &syn, false);
	claim(&t, HOLD_PASS_CLAIM);
	hold_filter_free(old);
	expect(&t, &syn, true);
	hold_filter_free(filter);
	new_filter(false);
	attach(&t);
	expect(&t, &arp, true);
	hold_filter_free(filter);
	new_filter(true);
	claim(&t, HOLD_PASS_CLAIM);
	attach(&t);
	expect(&t, &arp, false);
	expect(&t, &syn, true);
	hold_tap_close(&t);
}

static void test_each_tap_has_its_own(void **state)
{
	struct hold_tap t = claiming_tap(true), other;

	(void)state;
	assert_int_equal(ip_run("ip link add br1 type bridge; ip link set br1 up"), 0);
	other = open_tap("br1", -1);
	attach(&other);
	claim(&t, HOLD_PASS_NONE);
	claim(&other, HOLD_PASS_CLAIM);
	expect(&t, &syn, false);
	claim(&t, HOLD_PASS_CLAIM);
	claim(&other, HOLD_PASS_NONE);
	expect(&t, &syn, true);
	hold_tap_close(&t);
	hold_tap_close(&other);
	assert_int_equal(ip_run("ip link del br1"), 0);
}

static void test_the_tables_have_an_end(void **state)
{
	struct hold_tap t = claiming_tap(true);
	struct mac_addr m = { { 2, 1 } };
	int r = 0;

	(void)state;
	claim(&t, HOLD_PASS_NONE);
	for (unsigned i = 0; r == 0 && i <= HOLD_FILTER_MACS_MAX; i++) {
		m.b[4] = (uint8_t)(i >> 8);
		m.b[5] = (uint8_t)i;
		r = hold_filter_set_mac(filter, t.ifindex, &m, HOLD_PASS_CLAIM);
		assert_int_equal(r, i < HOLD_FILTER_MACS_MAX ? 0 : -E2BIG);
	}
	assert_int_equal(hold_filter_set_mac(filter, t.ifindex, &m, HOLD_PASS_NONE), 0); /* it is not in */
	m.b[4] = 0;
	assert_int_equal(hold_filter_set_mac(filter, t.ifindex, &m, HOLD_PASS_NONE), 0);
	assert_int_equal(hold_filter_set_mac(filter, t.ifindex, &m, HOLD_PASS_TO), 0);
	hold_tap_close(&t);
}

/* A bridge that snoops and asks for groups forwards those nobody has asked for to routers' ports
 * alone. */
static void test_hears_every_group(void **state)
{
	static const struct packet wol = { .name = "a magic multicast", .dst = "01:00:5e:01:01:01", .src = CLIENT, .type = T_IP4, .from = CLIENT_IP, .to = "239.1.1.1", .proto = UDP, .dport = 9, .data = 102 };
	struct hold_tap t = claiming_tap(true);

	(void)state;
	assert_int_equal(ip_run("ip addr add 10.9.0.1/24 dev br0; ip link set br0 type bridge mcast_snooping 1 "
				"mcast_query_response_interval 1; ip link set br0 type bridge mcast_querier 1; sleep 0.1"),
			 0);
	expect(&t, &wol, true);
	assert_int_equal(ip_run("ip link set %s type bridge_slave mcast_router 0", t.ifname), 0);
	expect(&t, &wol, false); /* so it is that which does it */
	hold_tap_close(&t);
}

/* All of it in the default VLAN of a bridge that filters: untagged on our side. */
static void test_on_a_bridge_that_filters_vlans(void **state)
{
	static const struct mac_addr vm = { { 2, 0, 0, 0, 0, 0x10 } };
	struct hold_tap t;
	struct err e;

	(void)state;
	needs_netns();
	if (ip_run("ip link set br0 type bridge vlan_filtering 1 vlan_default_pvid 5 2>/dev/null") < 0) {
		print_message("this kernel's bridges do not filter VLANs\n");
		skip();
	}
	t = claiming_tap(true);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!rows[i].k.tagged)
			expect(&t, &rows[i].k, rows[i].with);
	}
	assert_int_equal(netlink_fdb_set(nl, (int)if_nametoindex("c0"), &vm, FDB_STICKY, &e), 0);
	expect(&t, &syn, false); /* moved in that VLAN, too */
	hold_tap_close(&t);
}

#define ON_BRIDGE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BRIDGE(test_is_made_right),
		ON_BRIDGE(test_drops_everything_until_it_has_a_filter),
		ON_BRIDGE(test_as_many_frames_as_it_says_wait_in_it),
		ON_BRIDGE(test_a_kept_one_goes_on),
		ON_BRIDGE(test_what_was_kept_may_be_something_else),
		ON_BRIDGE(test_everything_is_set_right_again),
		ON_BRIDGE(test_somebody_else_has_it),
		ON_BRIDGE(test_foreign_names_are_left_alone),
		ON_BRIDGE(test_lists_and_deletes_ours),
		ON_BRIDGE(test_does_not_learn),
		ON_BRIDGE(test_frames_of_the_host_are_finished),
		ON_BRIDGE(test_what_passes),
		ON_BRIDGE(test_what_passes_without_bpf),
		ON_BRIDGE(test_a_short_frame_is_dropped),
		ON_BRIDGE(test_a_flood_of_noise),
		ON_BRIDGE(test_a_new_filter_replaces_the_old),
		ON_BRIDGE(test_each_tap_has_its_own),
		ON_BRIDGE(test_the_tables_have_an_end),
		ON_BRIDGE(test_hears_every_group),
		ON_BRIDGE(test_on_a_bridge_that_filters_vlans),
	};

	have_netns = netns_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
