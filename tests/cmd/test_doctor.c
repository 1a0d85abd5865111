/* Hosts made of files, each with one thing that is wrong, and what is found there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <limits.h>
#include <sys/stat.h>

#include "cmd/doctor.h"

static char root[64];
static struct buf found; /* "GRADE CHECK: FINDING | CURE" */

static void note(void *arg, const char *check, enum doctor_grade grade, const char *finding, const char *cure)
{
	(void)arg;
	buf_addf(&found, "%s %s: %s | %s\n", doctor_grade_name(grade), check, finding, cure);
}

static void put(const char *path, const char *text)
{
	char whole[PATH_MAX];
	FILE *f;

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	for (char *c = whole + strlen(root) + 1; (c = strchr(c, '/')); c++) {
		*c = '\0';
		assert_true(mkdir(whole, 0755) == 0 || errno == EEXIST);
		*c = '/';
	}
	if (whole[strlen(whole) - 1] == '/')
		return;
	f = fopen(whole, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void take(const char *path)
{
	char line[PATH_MAX + 16];

	snprintf(line, sizeof(line), "rm -rf %s%s", root, path);
	assert_int_equal(system(line), 0);
}

#define UDP_HEAD "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
#define UDP_LINE(local, inode) \
	"  123: " local " 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 " inode " 2 0 0\n"
#define TCP_LINE(local, state, inode) \
	"   0: " local " 00000000:0000 " state " 00000000:00000000 00:00000000 00000000     0        0 " inode " 1 0 0\n"

/* A process of that name with that socket. */
static void put_process(const char *pid, const char *comm, const char *inode)
{
	char path[128], whole[PATH_MAX], target[64];

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	put(path, comm);
	snprintf(path, sizeof(path), "/proc/%s/fd/", pid);
	put(path, "");
	snprintf(whole, sizeof(whole), "%s/proc/%s/fd/%s", root, pid, inode);
	snprintf(target, sizeof(target), "socket:[%s]", inode);
	assert_int_equal(symlink(target, whole), 0);
}

/* A host where nothing is wrong, but that it has no KVM. */
static int setup(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/jitsu-test-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	put("/etc/passwd", "root:x:0:0::/:/bin/sh\njitsu-dns:x:101:101::/:/x\njitsu-net:x:102:102::/:/x\n"
			   "jitsu-ctl:x:103:103::/:/x\nlibvirt-qemu:x:104:104::/:/x\n");
	put("/etc/group", "root:x:0:\njitsu:x:110:\njitsu-admin:x:111:\n");
	put("/dev/net/tun", "");
	put("/proc/net/packet", "");
	put("/proc/sys/kernel/unprivileged_bpf_disabled", "2\n");
	put("/proc/sys/net/bridge/bridge-nf-call-iptables", "0\n");
	put("/proc/net/udp", UDP_HEAD);
	put("/usr/sbin/jitsu-libvirt", "");
	put("/usr/bin/qemu-system-x86_64", "");
	put("/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so", "");
	put("/run/libvirt/libvirt-sock", "");
	put("/sys/class/net/br0/bridge/stp_state", "0\n");
	put("/sys/class/net/br0/flags", "0x1003\n");
	put("/sys/class/net/br0/brif/eth0/", "");
	put("/sys/class/net/br0/brif/jhed4b4f584b/", ""); /* jitsud runs: nobody reaches anything by that */
	put("/var/images/", "");
	put("/conf.json", "{\"listen\":[\"192.0.2.1:53\"],\"zones\":[{\"name\":\"z.example\",\"ns\":[\"n.example\"]}],"
			  "\"hypervisors\":[{\"name\":\"e\",\"uri\":\"qemu:///embed?root=/run/q\"},"
			  "{\"name\":\"s\",\"uri\":\"qemu:///system\"}],"
			  "\"bridges\":[{\"name\":\"br0\"}],\"image_dirs\":[\"/var/images\"]}");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	take("");
	buf_free(&found);
	return 0;
}

static unsigned run(void)
{
	char path[PATH_MAX];
	struct doctor d = { .root = root, .conf_path = path, .say = note };

	if (geteuid() != 0) {
		print_message("skip: needs root: what is root's is one of the findings\n");
		skip();
	}
	snprintf(path, sizeof(path), "%s/conf.json", root);
	buf_clear(&found);
	return doctor_run(&d);
}

/* Both words in one finding. */
static void assert_found(const char *begins, const char *has)
{
	const char *line = found.text;

	while (line && *line) {
		size_t n = strcspn(line, "\n");
		cleanup_free char *copy = strndup(line, n);

		if (strncmp(copy, begins, strlen(begins)) == 0 && strstr(copy, has))
			return;
		line += n + (line[n] == '\n');
	}
	fail_msg("no \"%s\" with \"%s\" in:\n%s", begins, has, found.text ? found.text : "");
}

static void assert_not_found(const char *words)
{
	if (found.text && strstr(found.text, words))
		fail_msg("\"%s\" in:\n%s", words, found.text);
}

static void test_nothing_is_wrong(void **state)
{
	static const char *const checks[] = { "configuration", "users", "programs", "kernel", "libvirt", "bridges",
					      "netfilter", "port" };

	(void)state;
	assert_int_equal(run(), 0);
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		char begins[32];

		snprintf(begins, sizeof(begins), "good %s: ", checks[i]);
		assert_found(begins, "");
	}
	assert_found("note kvm: ", "no /dev/kvm");
	assert_not_found("bad ");
}

/* One thing is put or taken away; what is said of it. */
static const struct {
	const char *path, *text; /* NULL: it is taken away */
	const char *begins, *has;
	bool bad;
} one_thing[] = {
	{ "/etc/passwd", "jitsu-net:x:102:102::/:/x\njitsu-ctl:x:103:103::/:/x\nlibvirt-qemu:x:104:104::/:/x\n",
	  "bad users: there is no user \"jitsu-dns\"", "useradd --system", true },
	{ "/etc/group", "jitsu:x:1:\n", "bad users: there is no group \"jitsu-admin\"", "groupadd", true },
	{ "/usr/sbin/jitsu-libvirt", NULL, "bad programs: jitsu-libvirt", "package jitsu-libvirt", true },
	{ "/usr/bin/qemu-system-x86_64", NULL, "bad programs: QEMU", "apt-get install qemu-system-x86", true },
	{ "/usr/lib", NULL, "bad programs: libvirt's QEMU driver", "libvirt-daemon-driver-qemu", true },
	{ "/dev/net/tun", NULL, "bad kernel: there is no /dev/net/tun", "modprobe tun", true },
	{ "/proc/net/packet", NULL, "bad kernel: the kernel has no packet sockets", "af_packet", true },
	{ "/proc/sys/kernel/unprivileged_bpf_disabled", NULL, "note kernel: the kernel has no BPF", "CONFIG_BPF", false },
	{ "/dev/kvm", "", "note kvm: whether KVM works was not tried", "root", false },
	{ "/run/libvirt/libvirt-sock", NULL, "bad libvirt: ", "systemctl start libvirtd", true },
	{ "/sys/class/net/br0", NULL, "bad bridges: there is no Linux bridge \"br0\"", "ip link add br0 type bridge", true },
	{ "/sys/class/net/br0/flags", "0x1002\n", "bad bridges: br0 is down", "ip link set br0 up", true },
	{ "/sys/class/net/br0/bridge/stp_state", "1\n", "note bridges: br0 uses the spanning tree", "stp_state 0", false },
	{ "/sys/class/net/br0/bridge/vlan_filtering", "1\n", "note bridges: br0 filters VLANs", "bridge vlan add", false },
	{ "/sys/class/net/br0/brif/eth0", NULL, "note bridges: br0 has no ports", "ip link set CARD master br0", false },
	{ "/proc/sys/net/bridge/bridge-nf-call-iptables", "1\n", "note netfilter: ", "bridge-nf-call-iptables=0", false },
	{ "/proc/sys/net/bridge/bridge-nf-call-arptables", "1\n", "note netfilter: ", "bridge-nf-call-arptables=0", false },
	{ "/var/images", NULL, "bad images: there is no directory /var/images", "install -d /var/images", true },
	{ "/conf.json", "{\"lissten\":[]}", "bad configuration: ", "jitsud --check-config", true },
	{ "/conf.json", NULL, "bad configuration: ", "cannot be read", true },
};

static void test_one_thing_is_wrong(void **state)
{
	for (size_t i = 0; i < sizeof(one_thing) / sizeof(one_thing[0]); i++) {
		assert_int_equal(teardown(state), 0);
		assert_int_equal(setup(state), 0);
		if (one_thing[i].text)
			put(one_thing[i].path, one_thing[i].text);
		else
			take(one_thing[i].path);
		assert_int_equal(run() > 0, one_thing[i].bad);
		assert_found(one_thing[i].begins, one_thing[i].has);
	}
}

/* It is one thing to do, so it is one finding. */
static void test_netfilter_is_told_once(void **state)
{
	(void)state;
	put("/proc/sys/net/bridge/bridge-nf-call-iptables", "1\n");
	put("/proc/sys/net/bridge/bridge-nf-call-ip6tables", "1\n");
	run();
	assert_found("note netfilter: what bridges carry goes through the host's iptables, ip6tables, too",
		     "sysctl -w net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0, or");
	assert_null(strstr(strstr(found.text, "note netfilter") + 1, "note netfilter"));
}

/* A host with Xen alone needs jitsu-libxl, and nothing of libvirt's. */
static void test_xen_needs_its_own(void **state)
{
	(void)state;
	put("/conf.json", "{\"listen\":[\"192.0.2.1:53\"],\"zones\":[{\"name\":\"z.example\",\"ns\":[\"n.example\"]}],"
			  "\"hypervisors\":[{\"name\":\"x\",\"uri\":\"libxl:///\"}],"
			  "\"bridges\":[{\"name\":\"br0\"}],\"image_dirs\":[\"/var/images\"]}");
	take("/usr/sbin/jitsu-libvirt");
	take("/usr/bin/qemu-system-x86_64");
	assert_true(run() > 0);
	assert_found("bad programs: jitsu-libxl", "package jitsu-xen");
	assert_not_found("bad programs: jitsu-libvirt");
	assert_not_found("bad programs: QEMU");
	put("/usr/sbin/jitsu-libxl", "");
	assert_int_equal(run(), 1);
	assert_found("bad xen: this is no dom0 of Xen", "xen-system-amd64");
	put("/dev/xen/privcmd", "");
	assert_int_equal(run(), 1);
	assert_found("bad xen: xenstored does not listen", "service xen start");
	put("/run/xenstored/socket", "");
	take("/etc/passwd");
	put("/etc/passwd", "jitsu-dns:x:101:101::/:/x\njitsu-net:x:102:102::/:/x\njitsu-ctl:x:103:103::/:/x\n");
	assert_int_equal(run(), 0);
	assert_found("good xen: ", "");
	assert_not_found("kvm");
}

/* Whom hooks are run as counts where there are any. */
static void test_hooks_need_their_user(void **state)
{
	(void)state;
	put("/conf.json", "{\"listen\":[\"192.0.2.1:53\"],\"zones\":[{\"name\":\"z.example\",\"ns\":[\"n.example\"]}],"
			  "\"hooks\":[{\"on\":[\"up\"],\"exec\":\"/bin/true\"}],\"image_dirs\":[\"/var/images\"]}");
	assert_true(run() > 0);
	assert_found("bad users: there is no user \"jitsu-hooks\"", "useradd");
}

static void test_others_may_write_images(void **state)
{
	char path[PATH_MAX];

	(void)state;
	snprintf(path, sizeof(path), "%s/var/images", root);
	assert_int_equal(chmod(path, 0777), 0);
	assert_int_equal(run(), 1);
	assert_found("bad images: /var/images is not root's alone", "chmod go-w /var/images");
}

/* Who holds the port, by what the kernel's tables look like; 0035 is 53. */
static void test_somebody_holds_the_port(void **state)
{
	(void)state;
	put("/proc/net/udp", UDP_HEAD UDP_LINE("00000000:0035", "4711"));
	put("/proc/net/tcp", UDP_HEAD TCP_LINE("00000000:0035", "0A", "4712"));
	put_process("99", "dnsmasq\n", "4711");
	put_process("99", "dnsmasq\n", "4712");
	assert_int_equal(run(), 1); /* once, though it holds two */
	assert_found("bad port: dnsmasq is in jitsud's way: it holds 0.0.0.0:53 (UDP)", "bind-interfaces");
	assert_found("bad port: dnsmasq", "server=/z.example/192.0.2.1");
}

static void test_each_resolver_has_its_line(void **state)
{
	static const struct {
		const char *comm, *line;
	} resolvers[] = {
		{ "unbound\n", "stub-zone: name: \"z.example\" stub-addr: 192.0.2.1" },
		{ "pihole-FTL\n", "server=/z.example/192.0.2.1 in /etc/dnsmasq.d/" },
		{ "systemd-resolve\n", "DNS=192.0.2.1 and Domains=~z.example" },
		{ "named\n", "zone \"z.example\" { type static-stub; server-addresses { 192.0.2.1; }; };" },
	};

	for (size_t i = 0; i < sizeof(resolvers) / sizeof(resolvers[0]); i++) {
		assert_int_equal(teardown(state), 0);
		assert_int_equal(setup(state), 0);
		put("/proc/net/udp", UDP_HEAD UDP_LINE("010200C0:0035", "4711")); /* 192.0.2.1 */
		put_process("99", resolvers[i].comm, "4711");
		assert_int_equal(run(), 1);
		assert_found("bad port: ", resolvers[i].line);
		/* elsewhere it is in nobody's way, and useful */
		put("/proc/net/udp", UDP_HEAD UDP_LINE("3500007F:0035", "4711")); /* 127.0.0.53 */
		assert_int_equal(run(), 0);
		assert_found("note port: ", resolvers[i].line);
		assert_found("note port: ", "answers at 127.0.0.53:53");
	}
}

/* The resolver has port 53, and jitsud another one. */
static void test_jitsud_is_on_another_port(void **state)
{
	static const struct {
		const char *comm, *line;
	} resolvers[] = {
		{ "dnsmasq\n", "server=/z.example/192.0.2.1#5353" },
		{ "pihole-FTL\n", "server=/z.example/192.0.2.1#5353 in /etc/dnsmasq.d/" },
		{ "unbound\n", "stub-addr: 192.0.2.1@5353 " },
		{ "systemd-resolve\n", "DNS=192.0.2.1:5353 " },
		{ "named\n", "type forward; forward only; forwarders { 192.0.2.1 port 5353; }; };" },
	};

	for (size_t i = 0; i < sizeof(resolvers) / sizeof(resolvers[0]); i++) {
		assert_int_equal(teardown(state), 0);
		assert_int_equal(setup(state), 0);
		put("/conf.json", "{\"listen\":[\"192.0.2.1:5353\"],\"zones\":[{\"name\":\"z.example\",\"ns\":[\"n.example\"]}],"
				  "\"image_dirs\":[\"/var/images\"]}");
		put("/proc/net/udp", UDP_HEAD UDP_LINE("00000000:0035", "4711"));
		put_process("99", resolvers[i].comm, "4711");
		assert_int_equal(run(), 0);
		assert_found("note port: ", resolvers[i].line);
		assert_found("good port: nobody else holds port 5353", "");
	}
}

static void test_nobody_holds_the_port(void **state)
{
	(void)state;
	/* another port; a connection that is not listened on; another address; IPv6 */
	put("/proc/net/udp", UDP_HEAD UDP_LINE("00000000:0036", "1") UDP_LINE("0100007F:0035", "2") "nonsense\n");
	put("/proc/net/tcp", UDP_HEAD TCP_LINE("010200C0:0035", "01", "3"));
	put("/proc/net/udp6", UDP_HEAD UDP_LINE("00000000000000000000000000000000:0035", "4"));
	assert_int_equal(run(), 0);
	assert_found("good port: ", "");
	/* jitsud itself */
	put("/proc/net/udp", UDP_HEAD UDP_LINE("010200C0:0035", "5"));
	put_process("98", "jitsud\n", "5");
	assert_int_equal(run(), 0);
	assert_found("good port: ", "");
	/* somebody nobody knows */
	put("/proc/net/udp", UDP_HEAD UDP_LINE("010200C0:0035", "6"));
	assert_int_equal(run(), 1);
	assert_found("bad port: some program", "Stop it");
}

static void test_the_port_over_ipv6(void **state)
{
	(void)state;
	put("/conf.json", "{\"listen\":[\"[2001:db8::1]:53\"],\"zones\":[{\"name\":\"z.example\",\"ns\":[\"n.example\"]}]}");
	put("/proc/net/udp6", UDP_HEAD UDP_LINE("B80D0120000000000000000001000000:0035", "4")); /* 2001:db8::1 */
	put_process("98", "unbound\n", "4");
	run();
	assert_found("bad port: unbound is in jitsud's way: it holds [2001:db8::1]:53", "stub-addr: 2001:db8::1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing_is_wrong, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_thing_is_wrong, setup, teardown),
		cmocka_unit_test_setup_teardown(test_netfilter_is_told_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_xen_needs_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hooks_need_their_user, setup, teardown),
		cmocka_unit_test_setup_teardown(test_others_may_write_images, setup, teardown),
		cmocka_unit_test_setup_teardown(test_somebody_holds_the_port, setup, teardown),
		cmocka_unit_test_setup_teardown(test_each_resolver_has_its_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_jitsud_is_on_another_port, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_holds_the_port, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_port_over_ipv6, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
