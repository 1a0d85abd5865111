#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <unistd.h>

#include "launcher/netlink.h"
#include "launcher/netlink_internal.h"
#include "launcher/reaper.h"
#include "tests/netns.h"

static bool have_netns;
static struct netlink *nl;
static struct reaper *r;
static int hold; /* a port of br0 that is no VM's */
static const struct mac_addr tap_mac = { { 0xfe, 1, 2, 3, 4, 5 } }, vm_mac = { { 2, 1, 2, 3, 4, 5 } };

static int setup(void **state)
{
	struct err e;

	(void)state;
	if (!have_netns)
		return 0;
	nl = netlink_new(&e);
	r = reaper_new(&e);
	if (!nl || !r ||
	    ip_run("ip link add br0 type bridge; ip link add br1 type bridge; ip link set br0 up; ip link set br1 up; "
		   "ip tuntap add mode tap name hold; ip link set hold master br0 up") < 0)
		return -1;
	hold = (int)if_nametoindex("hold");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (!have_netns)
		return 0;
	reaper_free(r);
	netlink_free(nl);
	return ip_run("for i in $(ip -o link | sed -n 's/^[0-9]*: \\(jt[^:]*\\):.*/\\1/p'); do ip link del $i; done; "
		      "ip link del br0; ip link del br1; ip link del hold");
}

static void needs_netns(void)
{
	if (!have_netns)
		skip();
}

static bool is_there(const char *ifname) { return if_nametoindex(ifname) > 0; }

static int make_tap(const char *ifname, const char *service, const char *bridge)
{
	struct tap_conf c = {
		.ifname = ifname,
		.service = service,
		.mac = tap_mac,
		.bridge = (int)if_nametoindex(bridge),
		.backup = hold,
	};
	struct err e;
	int ifindex;

	if (netlink_tap_create(nl, &c, &ifindex, &e) < 0)
		fail_msg("%s", e.text);
	return ifindex;
}

/* Its clock is the kernel's, so the tests wait, two seconds at most. */
#define WAIT_FOR(what) \
	do { \
		for (int i_ = 0; i_ < 400 && !(what); i_++) \
			usleep(5000); \
		assert_true(what); \
	} while (0)

static void test_deletes_taps(void **state)
{
	(void)state;
	needs_netns();
	make_tap("jtreap", "www", "br0");
	reaper_delete_tap(r, "jtreap");
	WAIT_FOR(!is_there("jtreap"));
	reaper_delete_tap(r, "jtreap"); /* it is gone: nothing happens */
}

static void test_keeps_what_is_wanted_again(void **state)
{
	struct err e;

	(void)state;
	needs_netns();
	for (int i = 0; i < 20; i++) {
		make_tap("jtreap", "www", "br0");
		reaper_delete_tap(r, "jtreap");
		if (i % 2)
			usleep((unsigned)i * 200); /* so that it has sometimes begun */
		assert_false(reaper_keep_tap(r, nl, "jtreap", (int)if_nametoindex("br0")));
		make_tap("jtreap", "www", "br0");
		usleep(2000);
		assert_true(is_there("jtreap"));
	}
	reaper_free(r);
	assert_true(is_there("jtreap"));
	r = reaper_new(&e);
	assert_non_null(r);
}

static void test_closes_later_and_finishes(void **state)
{
	struct err e;
	int fds[2];
	char byte;

	(void)state;
	needs_netns();
	assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
	reaper_close(r, fds[1]);
	usleep(20000);
	assert_int_equal(read(fds[0], &byte, 1), -1); /* still open */
	make_tap("jtreap", "www", "br0");
	reaper_delete_tap(r, "jtreap");
	reaper_free(r);
	assert_int_equal(read(fds[0], &byte, 1), 0); /* closed */
	assert_false(is_there("jtreap"));
	close(fds[0]);
	r = reaper_new(&e);
	assert_non_null(r);
}

/* ---- spare taps ---- */

static struct link_info link_of(const char *ifname)
{
	struct link_info l = { 0 };
	struct err e;

	netlink_link(nl, ifname, &l, &e);
	return l;
}

static bool is_spare(const char *ifname)
{
	struct link_info l = link_of(ifname);

	return !l.up && strcmp(l.alias, "jitsu:" TAP_SPARE ":0") == 0;
}

static void spare(const char *ifname, const char *bridge)
{
	reaper_spare_tap(r, ifname, (int)if_nametoindex(bridge), &vm_mac);
}

/* One thing after the other: once this one is gone, all before it is done. */
static void wait_done(void)
{
	make_tap("jtlast", "last", "br0");
	reaper_delete_tap(r, "jtlast");
	WAIT_FOR(!is_there("jtlast"));
}

static bool keep(const char *ifname, const char *bridge)
{
	return reaper_keep_tap(r, nl, ifname, (int)if_nametoindex(bridge));
}

/* Another VM's next tap is the same port, never out of the bridge: its number there stays. */
static void test_spare_is_the_next_vms(void **state)
{
	int www, mail;

	(void)state;
	needs_netns();
	www = make_tap("jtwww", "www", "br0");
	spare("jtwww", "br0");
	wait_done();
	assert_true(is_spare("jtwww"));
	assert_int_equal(link_of("jtwww").master, if_nametoindex("br0"));
	assert_true(keep("jtmail", "br0"));
	assert_false(is_there("jtwww"));
	mail = make_tap("jtmail", "mail", "br0");
	assert_int_equal(mail, www);
	assert_true(link_of("jtmail").up);
	assert_string_equal(link_of("jtmail").alias, "jitsu:mail:0");
	assert_int_equal(ip_run("ip -d link show dev jtmail | grep -q 'backup_port hold'"), 0);
	assert_int_equal(ip_run("ip -d link show dev jtmail | grep -q 'state forwarding\\|state disabled'"), 0);
	/* it is no spare any more */
	assert_false(keep("jtother", "br0"));
	/* and can be opened and carries frames, as QEMU does it */
	int fd = tap_attach("jtmail", IFF_VNET_HDR);

	assert_true(fd >= 0);
	WAIT_FOR(ip_run("ip -d link show dev jtmail | grep -q 'state forwarding'") == 0);
	close(fd);
}

/* The name that a VM's tap must have may be a spare one's: then it gets that one, and not another. */
static void test_spare_with_its_own_name(void **state)
{
	int www, mail;

	(void)state;
	needs_netns();
	mail = make_tap("jtmail", "mail", "br0");
	www = make_tap("jtwww", "www", "br0");
	spare("jtmail", "br0");
	spare("jtwww", "br0");
	wait_done();
	assert_true(is_spare("jtmail") && is_spare("jtwww"));
	assert_true(keep("jtwww", "br1"));
	assert_int_equal(make_tap("jtwww", "www", "br1"), www);
	assert_int_equal(link_of("jtwww").master, if_nametoindex("br1"));
	assert_false(keep("jtnew", "br1"));
	assert_true(keep("jtmail", "br0"));
	assert_int_equal(make_tap("jtmail", "mail", "br0"), mail);
}

/* Where frames for the last VM would reach the next one, or its process is not gone, there is none. */
static void test_what_cannot_be_spared_is_deleted(void **state)
{
	int fd, ifindex;
	struct err e;

	(void)state;
	needs_netns();
	ifindex = make_tap("jtknown", "www", "br0");
	assert_int_equal(netlink_fdb_set(nl, ifindex, &vm_mac, FDB_STATIC, &e), 0);
	spare("jtknown", "br0");
	WAIT_FOR(!is_there("jtknown"));

	make_tap("jtmoved", "www", "br1");
	spare("jtmoved", "br0");
	WAIT_FOR(!is_there("jtmoved"));

	make_tap("jtheld", "www", "br0");
	fd = tap_attach("jtheld", IFF_VNET_HDR);
	assert_true(fd >= 0);
	spare("jtheld", "br0");
	WAIT_FOR(!is_there("jtheld"));
	close(fd);
	assert_false(keep("jtnew", "br0"));
}

static void test_spares_are_few_and_go(void **state)
{
	char name[MSG_IFNAME_MAX];
	struct err e;
	int gone;

	(void)state;
	needs_netns();
	for (int i = 0; i <= REAPER_SPARES_MAX; i++) {
		snprintf(name, sizeof(name), "jt%d", i);
		make_tap(name, "www", "br0");
	}
	for (int i = 0; i <= REAPER_SPARES_MAX; i++) {
		snprintf(name, sizeof(name), "jt%d", i);
		spare(name, "br0");
	}
	WAIT_FOR(!is_there(name)); /* the one too many */
	/* somebody deletes two: one is asked for by name, one taken for another */
	assert_int_equal(ip_run("ip link del jt0; ip link del jt1"), 0);
	gone = 0;
	for (int i = 0; i < REAPER_SPARES_MAX; i++) {
		snprintf(name, sizeof(name), "jtnew%d", i);
		gone += !keep(name, "br0");
		make_tap(name, "new", "br0");
		spare(name, "br0");
		wait_done();
		assert_true(is_spare(name));
	}
	assert_true(gone <= 2);
	reaper_free(r);
	assert_int_equal(ip_run("ip -o link | grep -q ': jt'"), -EIO);
	r = reaper_new(&e);
	assert_non_null(r);
}

#define ON_BRIDGE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BRIDGE(test_deletes_taps),
		ON_BRIDGE(test_keeps_what_is_wanted_again),
		ON_BRIDGE(test_closes_later_and_finishes),
		ON_BRIDGE(test_spare_is_the_next_vms),
		ON_BRIDGE(test_spare_with_its_own_name),
		ON_BRIDGE(test_what_cannot_be_spared_is_deleted),
		ON_BRIDGE(test_spares_are_few_and_go),
	};

	have_netns = netns_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
