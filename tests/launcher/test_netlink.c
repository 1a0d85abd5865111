#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>
#include <fcntl.h>
#include <net/if.h> /* before the next */
#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/if_tun.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "launcher/netlink.h"
#include "launcher/netlink_internal.h"
#include "tests/netns.h"

static bool have_netns;
static struct netlink *nl;

static int setup(void **state)
{
	struct err e;

	(void)state;
	if (!have_netns)
		return 0;
	nl = netlink_new(&e);
	return nl && ip_run("ip link add br0 type bridge; ip link set br0 address 02:00:00:00:00:01; "
			    "ip addr add 10.9.0.1/24 dev br0; ip addr add 10.9.1.1/24 dev br0; "
			    "ip -6 addr add fd09::1/64 dev br0 nodad; ip -6 addr add fe80::ff:fe00:1/64 dev br0 nodad; "
			    "ip link set br0 up") == 0
		       ? 0
		       : -1;
}

static void delete_link(void *arg, const struct tap_info *tap)
{
	(void)arg;
	ip_run("ip link del %s", tap->link.name);
}

static int teardown(void **state)
{
	struct err e;

	(void)state;
	if (!have_netns)
		return 0;
	netlink_taps(nl, delete_link, NULL, &e);
	netlink_free(nl);
	return ip_run("ip link del br0");
}

static void needs_netns(void)
{
	if (!have_netns)
		skip();
}

static struct bridge_info bridge(void)
{
	struct bridge_info b;
	struct err e = { 0 };

	if (netlink_bridge(nl, "br0", &b, &e) < 0)
		fail_msg("%s", e.text);
	return b;
}

static int make_tap(const char *ifname, const char *service, unsigned nic, struct err *e)
{
	struct tap_conf c = {
		.ifname = ifname,
		.service = service,
		.nic = nic,
		.mac = { { 0xfe, 1, 2, 3, 4, 5 } },
		.bridge = bridge().ifindex,
	};
	int ifindex = -1, r = netlink_tap_create(nl, &c, &ifindex, e);

	return r < 0 ? r : ifindex;
}

/* Where its frames go while nobody has it open; one that is no port of the bridge is no reason to have no tap. */
static void test_tap_with_backup(void **state)
{
	struct tap_conf c = { .ifname = "jt0000000002", .service = "www", .mac = { { 0xfe, 1, 2, 3, 4, 6 } } };
	struct err e = { 0 };
	int ifindex;

	(void)state;
	needs_netns();
	c.bridge = bridge().ifindex;
	c.backup = make_tap("jt0000000001", "www", 0, &e);
	assert_true(c.backup > 0);
	assert_int_equal(netlink_tap_create(nl, &c, &ifindex, &e), 0);
	assert_int_equal(ip_run("ip -d link show dev jt0000000002 | grep -q 'backup_port jt0000000001'"), 0);
	assert_int_equal(ip_run("ip link del jt0000000001"), 0);
	assert_int_equal(ip_run("ip -d link show dev jt0000000002 | grep -q backup_port"), -EIO);
	assert_int_equal(netlink_tap_delete(nl, c.ifname, &e), 0);
	c.backup = 1;
	assert_int_equal(netlink_tap_create(nl, &c, &ifindex, &e), 0);
	assert_int_equal(netlink_tap_delete(nl, c.ifname, &e), 0);
}

static void test_bridge(void **state)
{
	static const struct mac_addr mac = { { 2, 0, 0, 0, 0, 1 } };
	struct bridge_info b;
	char text[ADDR_TEXT_MAX];

	(void)state;
	needs_netns();
	b = bridge();
	assert_int_equal(b.ifindex, if_nametoindex("br0"));
	assert_string_equal(b.name, "br0");
	assert_memory_equal(&b.mac, &mac, sizeof(mac));
	assert_true(b.up);
	assert_false(b.stp);
	assert_false(b.vlan_filtering);
	assert_int_equal(b.mtu, 1500);
	assert_string_equal(prefix_format(&b.ip4, text), "10.9.0.1/24"); /* the first one */
	assert_string_equal(prefix_format(&b.ip6, text), "fd09::1/64");
	assert_string_equal(ip_format(&b.ip6_link_local, text), "fe80::ff:fe00:1");
}

static void test_what_is_no_bridge(void **state)
{
	struct bridge_info b = { .ifindex = 77 };
	struct err e = { 0 };

	(void)state;
	needs_netns();
	assert_int_equal(netlink_bridge(nl, "br9", &b, &e), -ENODEV);
	assert_non_null(strstr(e.text, "br9"));
	assert_int_equal(netlink_bridge(nl, "a-name-that-is-too-long", &b, &e), -ENODEV);
	assert_int_equal(netlink_bridge(nl, "", &b, &e), -ENODEV);
	assert_int_equal(netlink_bridge(nl, "lo", &b, &e), -EOPNOTSUPP);
	assert_int_equal(b.ifindex, 77);
}

struct warnings {
	char text[2048];
	unsigned n;
};

static void note_warning(void *arg, const char *sentence)
{
	struct warnings *w = arg;

	w->n++;
	strncat(w->text, sentence, sizeof(w->text) - strlen(w->text) - 1);
}

static void test_warnings(void **state)
{
	struct warnings quiet = { 0 }, loud = { 0 };
	struct bridge_info b;

	(void)state;
	needs_netns();
	b = bridge();
	netlink_bridge_warnings(&b, note_warning, &quiet);
	assert_int_equal(quiet.n, access("/proc/sys/net/bridge", F_OK) == 0 ? quiet.n : 0);
	assert_int_equal(ip_run("ip link set br0 type bridge forward_delay 1500 stp_state 1; ip link set br0 down"), 0);
	b = bridge();
	assert_true(b.stp);
	assert_int_equal(b.forward_delay_ms, 15000);
	netlink_bridge_warnings(&b, note_warning, &loud);
	assert_int_equal(loud.n, quiet.n + 2);
	assert_non_null(strstr(loud.text, "carries nothing for 30 s"));
	assert_non_null(strstr(loud.text, "ip link set br0 up"));
}

static void test_tap_is_ready_for_qemu(void **state)
{
	static const struct mac_addr mac = { { 0xfe, 1, 2, 3, 4, 5 } };
	struct link_info l;
	struct err e = { 0 };
	int ifindex;

	(void)state;
	needs_netns();
	ifindex = make_tap("jt0123456789", "www", 1, &e);
	assert_int_equal(ifindex, if_nametoindex("jt0123456789"));
	assert_int_equal(netlink_link(nl, "jt0123456789", &l, &e), 0);
	assert_int_equal(l.ifindex, ifindex);
	assert_string_equal(l.kind, "tun");
	assert_string_equal(l.alias, "jitsu:www:1");
	assert_memory_equal(&l.mac, &mac, sizeof(mac));
	assert_int_equal(l.master, bridge().ifindex);
	assert_true(l.up);
	assert_false(l.carrier); /* nobody holds it */
	assert_int_equal(ip_run("test -z \"$(ip -6 addr show dev jt0123456789)\""), 0);
	assert_int_equal(ip_run("ip link show dev jt0123456789 | grep -q 'qdisc noqueue'"), 0);
	assert_int_equal(netlink_link_by_index(nl, ifindex, &l, &e), 0);
	assert_string_equal(l.name, "jt0123456789");
	/* the MAC of the bridge is still its own */
	assert_int_equal(bridge().mac.b[5], 1);
}

/* 10 ms is far above what it takes (0.6), and far below what a process would. */
static void test_tap_is_quick(void **state)
{
	uint64_t best = UINT64_MAX;
	struct err e;

	(void)state;
	needs_netns();
	for (unsigned i = 0; i < 5; i++) {
		char name[MSG_IFNAME_MAX];
		uint64_t t = clock_now_ns();

		snprintf(name, sizeof(name), "jtquick%u", i % 10);
		assert_true(make_tap(name, "www", 0, &e) > 0);
		best = MIN(best, clock_now_ns() - t);
	}
	assert_in_range(best, 1, 10 * NS_PER_MS);
}

static void test_leftover_tap_is_taken(void **state)
{
	struct link_info l;
	struct err e;
	int first;

	(void)state;
	needs_netns();
	first = make_tap("jtleft", "old", 0, &e);
	assert_true(first > 0);
	assert_int_equal(ip_run("ip link set jtleft nomaster; ip link set jtleft down"), 0);
	assert_int_equal(make_tap("jtleft", "new", 0, &e), first);
	assert_int_equal(netlink_link(nl, "jtleft", &l, &e), 0);
	assert_string_equal(l.alias, "jitsu:new:0");
	assert_true(l.up);
	assert_int_equal(l.master, bridge().ifindex);
}

static void test_held_tap_is_not_taken(void **state)
{
	struct err e = { 0 };
	char pid[32];
	int fd;

	(void)state;
	needs_netns();
	assert_true(make_tap("jtheld", "www", 0, &e) > 0);
	fd = tap_attach("jtheld", IFF_VNET_HDR);
	assert_true(fd >= 0);
	assert_int_equal(make_tap("jtheld", "www", 0, &e), -EBUSY);
	snprintf(pid, sizeof(pid), "process %d (", getpid());
	assert_non_null(strstr(e.text, pid));
	close(fd);
	assert_true(make_tap("jtheld", "www", 0, &e) > 0);
}

static void test_foreign_names_are_left_alone(void **state)
{
	struct err e = { 0 };

	(void)state;
	needs_netns();
	assert_int_equal(ip_run("ip link add jtforeign type bridge"), 0);
	assert_int_equal(make_tap("jtforeign", "www", 0, &e), -EEXIST);
	assert_int_equal(netlink_tap_delete(nl, "jtforeign", &e), -EPERM);
	assert_int_equal(netlink_tap_delete(nl, "br0", &e), -EPERM);
	assert_true(if_nametoindex("br0") > 0);
	assert_int_equal(ip_run("ip link del jtforeign"), 0);
	assert_int_equal(ip_run("ip tuntap add jtnoalias mode tap"), 0); /* named like ours, without our alias */
	assert_int_equal(make_tap("jtnoalias", "www", 0, &e), -EEXIST);
	assert_int_equal(netlink_tap_delete(nl, "jtnoalias", &e), -EPERM);
	assert_int_equal(ip_run("ip link del jtnoalias"), 0);
}

static void test_tap_on_no_bridge(void **state)
{
	struct tap_conf c = { .ifname = "jtbad", .service = "www", .mac = { { 0xfe } }, .bridge = 987654 };
	struct err e = { 0 };
	int ifindex = -1;

	(void)state;
	needs_netns();
	assert_true(netlink_tap_create(nl, &c, &ifindex, &e) < 0);
	assert_non_null(strstr(e.text, "www"));
	assert_int_equal(ifindex, -1);
	assert_int_equal(if_nametoindex("jtbad"), 0); /* nothing is left */
}

static void count_tap(void *arg, const struct tap_info *tap)
{
	unsigned *seen = arg, i = (unsigned)(tap->link.name[6] - '0') * 10 + (unsigned)(tap->link.name[7] - '0');

	assert_in_range(i, 0, 39);
	assert_int_equal(tap->nic, i % MSG_NICS_MAX);
	assert_string_equal(tap->service, i < 20 ? "www" : "a-service-with:colon");
	seen[i]++;
}

static void test_lists_taps_of_ours(void **state)
{
	unsigned seen[40] = { 0 };
	struct err e;

	(void)state;
	needs_netns();
	assert_int_equal(ip_run("ip tuntap add jtnoalias mode tap; ip tuntap add vnet0 mode tap; "
				"ip link set vnet0 alias jitsu:www:0; ip tuntap add jtbadalias mode tap; "
				"ip link set jtbadalias alias jitsu:www:x"),
			 0);
	for (unsigned i = 0; i < ARRAY_SIZE(seen); i++) {
		char name[MSG_IFNAME_MAX];

		snprintf(name, sizeof(name), "jttest%02u", i);
		assert_true(make_tap(name, i < 20 ? "www" : "a-service-with:colon", i % MSG_NICS_MAX, &e) > 0);
	}
	assert_int_equal(netlink_taps(nl, count_tap, seen, &e), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(seen); i++)
		assert_int_equal(seen[i], 1);
	assert_int_equal(ip_run("for i in jtnoalias vnet0 jtbadalias; do ip link del $i; done"), 0);
}

static void test_deletes(void **state)
{
	struct err e;

	(void)state;
	needs_netns();
	assert_true(make_tap("jtgone", "www", 0, &e) > 0);
	assert_int_equal(netlink_tap_delete(nl, "jtgone", &e), 0);
	assert_int_equal(if_nametoindex("jtgone"), 0);
	assert_int_equal(netlink_tap_delete(nl, "jtgone", &e), 0);
}

static void forget(void *arg, const struct mac_addr *mac)
{
	unsigned *n = arg;
	struct err e;

	assert_int_equal(netlink_fdb_delete(nl, (int)if_nametoindex("jtlist1"), mac, &e), 0);
	(*n)++;
}

/* What is behind one port, and not behind the other; and not the port's own MAC. */
static void test_fdb_list(void **state)
{
	static const struct mac_addr last = { { 2, 0, 0, 0, 1, 0x59 } }, other = { { 2, 0, 0, 0, 2, 0 } };
	struct fdb_entry f;
	unsigned n = 0;
	struct err e;
	int port;

	(void)state;
	needs_netns();
	port = make_tap("jtlist1", "www", 0, &e);
	make_tap("jtlist2", "www", 1, &e);
	assert_int_equal(ip_run("for i in 0 1 2 3 4 5; do for j in 0 1 2 3 4 5 6 7 8 9; do bridge fdb add "
				"02:00:00:00:01:$i$j dev jtlist1 master sticky static; done; done"), 0);
	assert_int_equal(ip_run("bridge fdb add 02:00:00:00:02:00 dev jtlist2 master static"), 0);
	assert_int_equal(netlink_fdb_find(nl, bridge().ifindex, &last, &f, &e), 0);
	assert_int_equal(netlink_fdb_each(nl, bridge().ifindex, port, forget, &n, &e), 0);
	assert_int_equal(n, 60);
	assert_int_equal(netlink_fdb_find(nl, bridge().ifindex, &last, &f, &e), -ENOENT);
	assert_int_equal(netlink_fdb_find(nl, bridge().ifindex, &other, &f, &e), 0);
	assert_int_equal(netlink_fdb_each(nl, bridge().ifindex, port, forget, &n, &e), 0);
	assert_int_equal(n, 60);
	assert_int_equal(ip_run("ip link del jtlist1; ip link del jtlist2"), 0);
}

static void test_fdb(void **state)
{
	static const struct mac_addr vm = { { 2, 0, 0, 0, 0, 0x10 } }, own = { { 0xfe, 1, 2, 3, 4, 5 } };
	struct fdb_entry f;
	struct err e;
	int port;

	(void)state;
	needs_netns();
	port = make_tap("jtfdb", "www", 0, &e);
	assert_int_equal(netlink_fdb_find(nl, bridge().ifindex, &vm, &f, &e), -ENOENT);
	assert_int_equal(ip_run("bridge fdb add 02:00:00:00:00:10 dev jtfdb master static"), 0);
	assert_int_equal(netlink_fdb_find(nl, bridge().ifindex, &vm, &f, &e), 0);
	assert_int_equal(f.port, port);
	assert_true(f.is_static);
	assert_false(f.local);
	assert_int_equal(netlink_fdb_find(nl, bridge().ifindex, &own, &f, &e), 0);
	assert_true(f.local);
	assert_int_equal(netlink_fdb_delete(nl, port, &vm, &e), 0);
	assert_int_equal(netlink_fdb_find(nl, bridge().ifindex, &vm, &f, &e), -ENOENT);
	assert_int_equal(netlink_fdb_delete(nl, port, &vm, &e), 0);
}

/* Taps that a test holds: what it writes to one, comes to the bridge from there. */
enum { TAP, VM, CLIENT, OTHER, N_PORTS };

struct ports {
	int fd[N_PORTS], index[N_PORTS];
};

static const struct mac_addr vm_mac = { { 2, 0, 0, 0, 0, 0x10 } }, client_mac = { { 2, 0, 0, 0, 0, 0x20 } };

static struct ports open_ports(void)
{
	struct ports p;

	needs_netns();
	for (int i = 0; i < N_PORTS; i++) {
		char name[MSG_IFNAME_MAX];

		snprintf(name, sizeof(name), "port%d", i);
		p.fd[i] = tap_attach(name, 0);
		assert_true(p.fd[i] >= 0);
		assert_int_equal(ip_run("sysctl -qw net.ipv6.conf.%s.disable_ipv6=1; "
					"ip link set %s txqueuelen 20000 master br0 up", name, name), 0);
		p.index[i] = (int)if_nametoindex(name);
	}
	return p;
}

static void close_ports(struct ports *p)
{
	for (int i = 0; i < N_PORTS; i++)
		close(p->fd[i]);
}

/* A frame of no known protocol. */
static bool try_frame(int fd, const struct mac_addr *dst, const struct mac_addr *src)
{
	uint8_t f[60] = { 0 };

	memcpy(f, dst, 6);
	memcpy(f + 6, src, 6);
	f[12] = 0x88;
	f[13] = 0xb5;
	return write(fd, f, sizeof(f)) == sizeof(f);
}

static void write_frame(int fd, const struct mac_addr *dst, const struct mac_addr *src)
{
	assert_true(try_frame(fd, dst, src));
}

/* How many frames of that kind waited there. */
static unsigned drain(int fd)
{
	uint8_t f[2048];
	unsigned n = 0;

	while (read(fd, f, sizeof(f)) > 0)
		n += f[12] == 0x88 && f[13] == 0xb5;
	return n;
}

static void expect_at(const struct ports *p, int where)
{
	for (int i = 0; i < N_PORTS; i++)
		assert_int_equal(drain(p->fd[i]), i == where);
}

static struct fdb_entry find(const struct mac_addr *mac)
{
	struct fdb_entry f = { 0 };
	struct err e = { 0 };

	if (netlink_fdb_find(nl, bridge().ifindex, mac, &f, &e) < 0)
		fail_msg("%s", e.text);
	return f;
}

static void put_at(int port, const struct mac_addr *mac, enum fdb_kind kind)
{
	struct err e = { 0 };

	if (netlink_fdb_set(nl, port, mac, kind, &e) < 0)
		fail_msg("%s", e.text);
}

static void test_fdb_sticky_stays(void **state)
{
	struct ports p = open_ports();

	(void)state;
	put_at(p.index[TAP], &vm_mac, FDB_STICKY);
	assert_true(find(&vm_mac).sticky);
	assert_true(find(&vm_mac).is_static);
	write_frame(p.fd[VM], &client_mac, &vm_mac); /* the VM's first words */
	assert_int_equal(drain(p.fd[CLIENT]), 1); /* are forwarded */
	for (int i = 0; i < N_PORTS; i++)
		drain(p.fd[i]);
	assert_int_equal(find(&vm_mac).port, p.index[TAP]); /* but move nothing */
	write_frame(p.fd[CLIENT], &vm_mac, &client_mac);
	expect_at(&p, TAP);
	put_at(p.index[VM], &vm_mac, FDB_STICKY);
	assert_int_equal(find(&vm_mac).port, p.index[VM]);
	write_frame(p.fd[CLIENT], &vm_mac, &client_mac);
	expect_at(&p, VM);
	close_ports(&p);
}

static void test_fdb_static_follows(void **state)
{
	struct ports p = open_ports();

	(void)state;
	put_at(p.index[TAP], &vm_mac, FDB_STICKY);
	put_at(p.index[TAP], &vm_mac, FDB_STATIC); /* no more */
	assert_false(find(&vm_mac).sticky);
	write_frame(p.fd[VM], &client_mac, &vm_mac);
	assert_int_equal(find(&vm_mac).port, p.index[VM]);
	assert_true(find(&vm_mac).is_static);
	close_ports(&p);
}

/* What the bridge has learned is taken over. */
static void test_fdb_learned_is_taken(void **state)
{
	struct ports p = open_ports();

	(void)state;
	write_frame(p.fd[OTHER], &client_mac, &vm_mac);
	assert_int_equal(find(&vm_mac).port, p.index[OTHER]);
	assert_false(find(&vm_mac).is_static);
	put_at(p.index[TAP], &vm_mac, FDB_STICKY);
	assert_int_equal(find(&vm_mac).port, p.index[TAP]);
	assert_true(find(&vm_mac).sticky);
	close_ports(&p);
}

/* Frames are sent all the time, and the entry moves under them: each comes to one of the two ports,
 * none to both, none to a third. */
static void test_fdb_moves_in_one_step(void **state)
{
	enum { FRAMES = 30000 };
	struct ports p = open_ports();
	unsigned at[N_PORTS] = { 0 }, moves = 0;
	int status, i;
	pid_t child;

	(void)state;
	put_at(p.index[TAP], &vm_mac, FDB_STICKY);
	child = fork();
	if (child == 0) {
		for (i = 0; i < FRAMES && try_frame(p.fd[CLIENT], &vm_mac, &client_mac); i++)
			usleep(i % 1000 == 0);
		_exit(i < FRAMES);
	}
	assert_true(child > 0);
	while (waitpid(child, &status, WNOHANG) == 0) {
		put_at(p.index[++moves % 2 ? VM : TAP], &vm_mac, FDB_STICKY);
		for (i = 0; i < N_PORTS; i++)
			at[i] += drain(p.fd[i]);
	}
	assert_int_equal(status, 0);
	for (i = 0; i < N_PORTS; i++)
		at[i] += drain(p.fd[i]);
	assert_in_range(moves, 20, FRAMES * 100);
	assert_int_equal(at[CLIENT] + at[OTHER], 0);
	assert_int_equal(at[TAP] + at[VM], FRAMES);
	assert_true(at[TAP] > 0 && at[VM] > 0);
	close_ports(&p);
}

static void test_fdb_goes_with_its_port(void **state)
{
	struct ports p = open_ports();
	struct fdb_entry f;
	struct err e = { 0 };

	(void)state;
	put_at(p.index[VM], &vm_mac, FDB_STICKY);
	ip_run("ip link set port%d nomaster", VM);
	assert_int_equal(netlink_fdb_find(nl, bridge().ifindex, &vm_mac, &f, &e), -ENOENT);
	assert_int_equal(netlink_fdb_set(nl, p.index[VM], &vm_mac, FDB_STICKY, &e), -ENODEV);
	ip_run("ip link set port%d master br0", VM);
	put_at(p.index[VM], &vm_mac, FDB_STICKY);
	close(p.fd[VM]);
	assert_int_equal(netlink_fdb_find(nl, bridge().ifindex, &vm_mac, &f, &e), -ENOENT);
	assert_int_equal(netlink_fdb_set(nl, p.index[VM], &vm_mac, FDB_STICKY, &e), -ENODEV);
	assert_int_equal(netlink_fdb_set(nl, 0, &vm_mac, FDB_STICKY, &e), -ENODEV);
	assert_non_null(strstr(e.text, "no bridge"));
	p.fd[VM] = tap_attach("port1", 0);
	close_ports(&p);
}

/* QEMU is gone, its tap is still there. */
static void test_fdb_stays_without_carrier(void **state)
{
	struct err e;
	int port, fd;

	(void)state;
	needs_netns();
	port = make_tap("jtfdb", "www", 0, &e);
	fd = tap_attach("jtfdb", IFF_VNET_HDR);
	put_at(port, &vm_mac, FDB_STICKY);
	close(fd);
	assert_int_equal(find(&vm_mac).port, port);
}

static void test_fdb_own_macs_are_left_alone(void **state)
{
	static const struct mac_addr own = { { 2, 0, 0, 0, 0, 1 } }, tap = { { 0xfe, 1, 2, 3, 4, 5 } };
	struct err e = { 0 };
	int port;

	(void)state;
	needs_netns();
	port = make_tap("jtfdb", "www", 0, &e);
	assert_int_equal(netlink_fdb_set(nl, port, &own, FDB_STICKY, &e), -EADDRINUSE);
	assert_non_null(strstr(e.text, "02:00:00:00:00:01"));
	assert_int_equal(netlink_fdb_set(nl, port, &tap, FDB_STICKY, &e), -EADDRINUSE);
	assert_true(find(&own).local);
	assert_true(find(&tap).local);
}

static void test_port_of(void **state)
{
	struct err e;
	int port, br;

	(void)state;
	needs_netns();
	port = make_tap("jtport", "www", 0, &e);
	br = bridge().ifindex;
	assert_int_equal(netlink_is_port_of(nl, port, br, &e), 1);
	assert_int_equal(netlink_is_port_of(nl, br, br, &e), 0);
	assert_int_equal(netlink_is_port_of(nl, port, 1, &e), 0);
	assert_int_equal(ip_run("ip link set jtport nomaster"), 0);
	assert_int_equal(netlink_is_port_of(nl, port, br, &e), 0);
	assert_int_equal(netlink_is_port_of(nl, port, 0, &e), 0);
	netlink_tap_delete(nl, "jtport", &e);
	assert_int_equal(netlink_is_port_of(nl, port, br, &e), 0);
}

/* As the kernel tells of a bridge's port. */
static bool is_settling(unsigned flags, uint8_t port_state)
{
	struct request r;
	struct ifinfomsg *ifi = request_link(&r, RTM_NEWLINK, 0, 7);
	struct nlattr *info = mnl_attr_nest_start(r.h, IFLA_LINKINFO), *data;
	struct link_detail d;

	ifi->ifi_flags = flags;
	mnl_attr_put_strz(r.h, IFLA_INFO_SLAVE_KIND, "bridge");
	data = mnl_attr_nest_start(r.h, IFLA_INFO_SLAVE_DATA);
	mnl_attr_put_u8(r.h, IFLA_BRPORT_STATE, port_state);
	mnl_attr_nest_end(r.h, data);
	mnl_attr_nest_end(r.h, info);
	assert_true(netlink_parse_link(r.h, &d));
	return d.link.settling;
}

/* What a VM says through such a port is heard there, and goes nowhere.  Without a carrier nothing is on its way. */
static void test_port_that_does_not_forward_yet(void **state)
{
	const unsigned up = IFF_UP, carrier = IFF_UP | IFF_LOWER_UP;

	(void)state;
	assert_true(is_settling(carrier, BR_STATE_LISTENING));
	assert_true(is_settling(carrier, BR_STATE_LEARNING));
	assert_true(is_settling(carrier, BR_STATE_DISABLED));
	assert_false(is_settling(up, BR_STATE_DISABLED));
	assert_false(is_settling(carrier, BR_STATE_FORWARDING));
}

static void test_vlans(void **state)
{
	struct bridge_info b;
	struct err e = { 0 };
	int port;

	(void)state;
	needs_netns();
	port = make_tap("jtvlan", "www", 0, &e);
	b = bridge();
	assert_int_equal(netlink_check_vlan(nl, &b, port, &e), 0); /* it does not filter */
	b.vlan_filtering = true; /* few kernels of test machines can */
	b.default_pvid = 0;
	assert_int_equal(netlink_check_vlan(nl, &b, 0, &e), -EOPNOTSUPP);
	assert_non_null(strstr(e.text, "vlan_default_pvid"));
	b.default_pvid = 77;
	assert_int_equal(netlink_check_vlan(nl, &b, 0, &e), 0);
	assert_int_equal(netlink_check_vlan(nl, &b, port, &e), -EOPNOTSUPP);
	assert_non_null(strstr(e.text, "VLAN 77"));
	if (ip_run("ip link set br0 type bridge vlan_filtering 1 vlan_default_pvid 5 2>/dev/null") < 0) {
		print_message("this kernel's bridges do not filter VLANs\n");
		return;
	}
	b = bridge();
	assert_true(b.vlan_filtering);
	assert_int_equal(b.default_pvid, 5);
	assert_int_equal(netlink_check_vlan(nl, &b, port, &e), 0);
	put_at(port, &vm_mac, FDB_STICKY);
	assert_int_equal(ip_run("bridge fdb show dev jtvlan | grep '02:00:00:00:00:10 vlan 5' | grep -q sticky"), 0);
	assert_int_equal(ip_run("bridge vlan del dev jtvlan vid 5; bridge vlan add dev jtvlan vid 6 pvid untagged"), 0);
	assert_int_equal(netlink_check_vlan(nl, &b, port, &e), -EOPNOTSUPP);
}

/* ---- news ---- */

struct news {
	struct event_base *base;
	unsigned up, down, gone, joined, left;
	struct netlink_monitor *to_free; /* at the first word */
};

static void on_link(void *arg, enum link_event what, const struct link_info *l)
{
	struct news *n = arg;

	if (what == LINK_LOST_TRACK || strcmp(l->name, "jtnews") != 0)
		return;
	n->up += what == LINK_UP;
	n->down += what == LINK_DOWN;
	n->gone += what == LINK_GONE;
	n->joined += what == LINK_JOINED;
	n->left += what == LINK_LEFT;
	if (what == LINK_JOINED || what == LINK_LEFT)
		assert_int_equal(l->master, if_nametoindex("br0"));
	if (n->to_free)
		netlink_monitor_free(n->to_free);
	n->to_free = NULL;
}

/* Until *what is not 0, but not for ever; without it, for a moment. */
static void hear(struct news *n, const unsigned *what)
{
	struct timeval t = clock_timeval_ms(50);

	for (int i = 0; i < (what ? 60 : 1) && (!what || *what == 0); i++) {
		event_base_loopexit(n->base, &t);
		event_base_dispatch(n->base);
	}
}

static void test_monitor(void **state)
{
	struct news n = { .base = NULL };
	struct netlink_monitor *m;
	struct err e;
	int fd;

	(void)state;
	needs_netns();
	n.base = event_base_new();
	m = netlink_monitor_new(n.base, on_link, &n, &e);
	assert_non_null(m);
	assert_true(make_tap("jtnews", "www", 0, &e) > 0);
	hear(&n, &n.up);
	n = (struct news){ .base = n.base };
	hear(&n, &n.down); /* its maker let go of it */
	n = (struct news){ .base = n.base };
	fd = tap_attach("jtnews", IFF_VNET_HDR);
	hear(&n, &n.up);
	assert_true(n.up > 0);
	assert_int_equal(n.gone, 0);
	close(fd);
	n.down = 0;
	hear(&n, &n.down);
	assert_true(n.down > 0);
	assert_int_equal(n.left, 0);
	assert_int_equal(ip_run("ip link set jtnews nomaster"), 0);
	hear(&n, &n.left);
	assert_int_equal(n.left, 1);
	assert_int_equal(n.gone, 0); /* it only left the bridge */
	n.joined = 0;
	assert_int_equal(ip_run("ip link set jtnews master br0"), 0);
	hear(&n, &n.joined);
	assert_true(n.joined > 0);
	netlink_tap_delete(nl, "jtnews", &e);
	hear(&n, &n.gone);
	assert_int_equal(n.gone, 1);
	assert_int_equal(n.left, 2);
	n.to_free = m;
	assert_true(make_tap("jtnews", "www", 0, &e) > 0);
	hear(&n, NULL);
	assert_null(n.to_free);
	event_base_free(n.base);
}

#define ON_BRIDGE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BRIDGE(test_tap_with_backup),
		ON_BRIDGE(test_bridge),
		ON_BRIDGE(test_what_is_no_bridge),
		ON_BRIDGE(test_warnings),
		ON_BRIDGE(test_tap_is_ready_for_qemu),
		ON_BRIDGE(test_tap_is_quick),
		ON_BRIDGE(test_leftover_tap_is_taken),
		ON_BRIDGE(test_held_tap_is_not_taken),
		ON_BRIDGE(test_foreign_names_are_left_alone),
		ON_BRIDGE(test_tap_on_no_bridge),
		ON_BRIDGE(test_lists_taps_of_ours),
		ON_BRIDGE(test_deletes),
		ON_BRIDGE(test_fdb),
		ON_BRIDGE(test_fdb_list),
		ON_BRIDGE(test_fdb_sticky_stays),
		ON_BRIDGE(test_fdb_static_follows),
		ON_BRIDGE(test_fdb_learned_is_taken),
		ON_BRIDGE(test_fdb_moves_in_one_step),
		ON_BRIDGE(test_fdb_goes_with_its_port),
		ON_BRIDGE(test_fdb_stays_without_carrier),
		ON_BRIDGE(test_fdb_own_macs_are_left_alone),
		ON_BRIDGE(test_port_of),
		cmocka_unit_test(test_port_that_does_not_forward_yet),
		ON_BRIDGE(test_vlans),
		ON_BRIDGE(test_monitor),
	};

	have_netns = netns_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
