#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "base/buf.h"
#include "launcher/identity.h"
#include "launcher/netlink.h"
#include "launcher/port.h"

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/jitsu-identity.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static const char *in_dir(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static int remove_dir(void **state)
{
	(void)state;
	unlink(in_dir("machine-id"));
	unlink(in_dir("host-id"));
	return rmdir(dir);
}

static void put_file(const char *name, const char *text)
{
	FILE *f = fopen(in_dir(name), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static const struct identity id = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 } };
static const struct identity other = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17 } };

static void test_reads_machine_id(void **state)
{
	struct identity got;
	struct err e;

	(void)state;
	put_file("host-id", "0102030405060708090a0b0c0d0e0f10\n");
	assert_int_equal(identity_load_from(in_dir("host-id"), dir, &got, &e), 0);
	assert_memory_equal(&got, &id, sizeof(id));
	assert_int_equal(access(in_dir("machine-id"), F_OK), -1);
}

static void test_makes_one_and_keeps_it(void **state)
{
	char path[128];
	struct identity first, again;
	struct stat st;
	struct err e;

	(void)state;
	strcpy(path, in_dir("host-id"));
	assert_int_equal(identity_load_from(path, dir, &first, &e), 0);
	assert_int_equal(stat(in_dir("machine-id"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(identity_load_from(path, dir, &again, &e), 0);
	assert_memory_equal(&first, &again, sizeof(first));
}

static void test_unset_host_id_is_no_id(void **state)
{
	static const char *const unset[] = {
		"uninitialized\n", "", "\n", "00000000000000000000000000000000\n", "0102030405060708090A0B0C0D0E0F10\n",
		"0102030405060708090a0b0c0d0e0f\n", "0102030405060708090a0b0c0d0e0f1011\n",
	};
	struct identity kept, got;
	struct err e;
	char path[128];

	(void)state;
	strcpy(path, in_dir("host-id"));
	assert_int_equal(identity_load_from(path, dir, &kept, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(unset); i++) {
		put_file("host-id", unset[i]);
		assert_int_equal(identity_load_from(path, dir, &got, &e), 0);
		assert_memory_equal(&got, &kept, sizeof(got));
	}
}

static void test_damaged_state_is_told(void **state)
{
	struct identity got = id;
	struct err e = { 0 };
	char path[128];

	(void)state;
	strcpy(path, in_dir("host-id"));
	put_file("machine-id", "0102\n");
	assert_int_equal(identity_load_from(path, dir, &got, &e), -EINVAL);
	assert_non_null(strstr(e.text, in_dir("machine-id")));
	assert_memory_equal(&got, &id, sizeof(id));
}

static void test_state_dir_that_is_not_there(void **state)
{
	struct identity got;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(identity_load_from("/nonexistent/id", "/nonexistent", &got, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/nonexistent/machine-id"));
}

/* Frozen: a host that is upgraded must keep its VMs' MACs and domains. */
static void test_values_never_change(void **state)
{
	char text[MSG_UUID_MAX], mac[MAC_TEXT_MAX];
	struct mac_addr m;

	(void)state;
	identity_mac(&id, "www", 0, &m);
	assert_string_equal(mac_format(&m, mac), "02:ae:db:24:2d:24");
	identity_tap_mac(&id, "www", 0, &m);
	assert_string_equal(mac_format(&m, mac), "fe:44:1b:23:3f:08");
	identity_probe_mac(&id, "br0", &m);
	assert_string_equal(mac_format(&m, mac), "02:91:a2:ef:50:61");
	identity_tap_name(&id, "www", 0, text);
	assert_string_equal(text, "jte7e14e2acd");
	identity_hold_mac(&id, "br0", &m);
	assert_string_equal(mac_format(&m, mac), "fe:00:3a:3d:3f:f7");
	identity_hold_name(&id, "br0", text);
	assert_string_equal(text, "jhfcdbce4c45");
	identity_uuid(&id, "www", text);
	assert_string_equal(text, "7e43cf18-8edb-8090-b849-0696da23b34d");
}

static void test_values_differ(void **state)
{
	struct mac_addr a, b[4];

	(void)state;
	identity_mac(&id, "www", 0, &a);
	identity_mac(&id, "www", 1, &b[0]);
	identity_mac(&id, "ww", 0, &b[1]);
	identity_mac(&other, "www", 0, &b[2]);
	identity_probe_mac(&id, "www", &b[3]);
	for (int i = 0; i < 4; i++)
		assert_memory_not_equal(&a, &b[i], sizeof(a));
}

static void test_forms(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		struct mac_addr nic, tap;
		char name[MSG_IFNAME_MAX], uuid[MSG_UUID_MAX];

		identity_mac(&id, "svc", i, &nic);
		identity_tap_mac(&id, "svc", i, &tap);
		identity_tap_name(&id, "svc", i, name);
		assert_int_equal(nic.b[0], 0x02); /* local, unicast */
		assert_int_equal(tap.b[0], 0xfe);
		assert_true(tap.b[1] >= 0x40);
		assert_memory_not_equal(nic.b + 1, tap.b + 1, 5);
		assert_int_equal(strlen(name), 12);
		assert_int_equal(strspn(name + 2, "0123456789abcdef"), 10);
		snprintf(name, sizeof(name), "svc%u", i);
		identity_uuid(&id, name, uuid);
		assert_int_equal(strlen(uuid), 36);
		assert_int_equal(uuid[14], '8');
		assert_non_null(strchr("89ab", uuid[19]));
	}
}

static struct bridge_info bridge(void)
{
	struct bridge_info b = { .name = "br0", .mac = { { 2, 0xaa, 0xbb, 0xcc, 0xdd, 0xee } } };

	ip_parse("192.168.1.1", &b.ip4.addr);
	b.ip4.len = 120;
	ip_parse("fe80::1", &b.ip6_link_local);
	return b;
}

static void test_prober_with_the_bridges_own_address(void **state)
{
	struct bridge_info b = bridge();
	struct ip_addr none = { { 0 } };
	char text[ADDR_TEXT_MAX];
	struct prober p;

	(void)state;
	prober_choose(&id, &b, &none, &none, &p);
	assert_memory_equal(&p.mac, &b.mac, sizeof(p.mac));
	assert_true(ip_equal(&p.ip4, &b.ip4.addr));
	assert_true(ip_equal(&p.ip6, &b.ip6_link_local));
	assert_true(mac_is_zero(&p.ignore_mac));
	prober_choose(&id, &b, &b.ip4.addr, &none, &p);
	assert_memory_equal(&p.mac, &b.mac, sizeof(p.mac));
	b.ip6_link_local = none; /* no carrier yet */
	prober_choose(&id, &b, &none, &none, &p);
	assert_string_equal(ip_format(&p.ip6, text), "fe80::aa:bbff:fecc:ddee");
}

static void test_prober_with_an_address_of_its_own(void **state)
{
	struct bridge_info b = bridge();
	struct ip_addr none = { { 0 } }, ip4, ip6;
	struct mac_addr derived;
	struct prober p;

	(void)state;
	ip_parse("192.168.1.250", &ip4);
	ip_parse("fd00::250", &ip6);
	identity_probe_mac(&id, "br0", &derived);
	prober_choose(&id, &b, &ip4, &none, &p);
	assert_memory_equal(&p.mac, &derived, sizeof(p.mac));
	assert_memory_equal(&p.ignore_mac, &derived, sizeof(p.mac));
	assert_true(ip_equal(&p.ip4, &ip4));
	assert_int_equal(p.ip6.b[0], 0xfe);
	assert_int_equal(p.ip6.b[1], 0x80);
	assert_int_equal(p.ip6.b[8], derived.b[0] ^ 2);
	assert_int_equal(p.ip6.b[11], 0xff);
	assert_memory_equal(p.ip6.b + 13, derived.b + 3, 3);
	prober_choose(&id, &b, &ip4, &ip6, &p);
	assert_true(ip_equal(&p.ip6, &ip6));
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(test_reads_machine_id),
		WITH_DIR(test_makes_one_and_keeps_it),
		WITH_DIR(test_unset_host_id_is_no_id),
		WITH_DIR(test_damaged_state_is_told),
		cmocka_unit_test(test_state_dir_that_is_not_there),
		cmocka_unit_test(test_values_never_change),
		cmocka_unit_test(test_values_differ),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_prober_with_the_bridges_own_address),
		cmocka_unit_test(test_prober_with_an_address_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
