#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/domain_xml.h"
#include "backends/libvirt_conf.h"
#include "backends/xml.h"

static const struct domain_host tcg = { .kvm = false, .arch = "x86_64" };
static const struct domain_host kvm = { .kvm = true, .arch = "x86_64" };

static struct msg_be_start machine(void)
{
	struct msg_be_start m = { .vcpus = 1, .memory_bytes = 16 << 20, .n_nics = 1 };

	str_copy(m.name, "jitsu-www");
	str_copy(m.uuid, "11111111-2222-4333-8444-555555555555");
	str_copy(m.kernel, "/images/www.elf");
	str_copy(m.cmdline, "ip=192.168.1.20/24");
	str_copy(m.arch, "x86_64");
	mac_parse("52:54:00:12:34:56", &m.nics[0].mac);
	str_copy(m.nics[0].ifname, "jt0");
	return m;
}

/* The XML; freed at the next call. */
static const char *write_xml(const struct msg_be_start *m, const struct domain_host *host)
{
	static struct buf out;
	struct err e = { 0 };

	buf_free(&out);
	if (domain_xml_write(m, host, &out, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(out.error, 0);
	return out.text;
}

static void refuses(const struct msg_be_start *m, const char *what)
{
	cleanup_buf struct buf out = { 0 };
	struct err e = { 0 };

	assert_int_equal(domain_xml_write(m, &tcg, &out, &e), -EINVAL);
	if (!strstr(e.text, what))
		fail_msg("\"%s\" does not speak of %s", e.text, what);
}

#define has(xml, what) assert_non_null(strstr((xml), (what)))
#define hasnt(xml, what) assert_null(strstr((xml), (what)))

static void test_unikernel_on_microvm(void **state)
{
	struct msg_be_start m = machine();
	const char *xml = write_xml(&m, &tcg);

	(void)state;
	has(xml, "<domain type='qemu'");
	has(xml, "<name>jitsu-www</name><uuid>11111111-2222-4333-8444-555555555555</uuid>");
	has(xml, "<memory unit='b'>16777216</memory><vcpu>1</vcpu>");
	has(xml, "<type arch='x86_64' machine='microvm'>hvm</type><kernel>/images/www.elf</kernel><cmdline>ip=192.168.1.20/24</cmdline>");
	has(xml, "<on_poweroff>destroy</on_poweroff><on_reboot>destroy</on_reboot><on_crash>destroy</on_crash>");
	has(xml, "<controller type='usb' model='none'/>");
	has(xml, "<interface type='ethernet'><mac address='52:54:00:12:34:56'/><target dev='jt0' managed='no'/>"
		 "<model type='virtio'/><address type='virtio-mmio'/></interface>");
	has(xml, "<rng model='virtio'><backend model='random'>/dev/urandom</backend><address type='virtio-mmio'/></rng>");
	has(xml, "x-option-roms=off");
	hasnt(xml, "<acpi/>");
	hasnt(xml, "<rom ");
	hasnt(xml, "<cpu");
	hasnt(xml, "<serial");
}

static void test_general_purpose_system_has_acpi(void **state)
{
	struct msg_be_start m = machine();

	(void)state;
	str_copy(m.initrd, "/images/initrd");
	has(write_xml(&m, &tcg), "<initrd>/images/initrd</initrd>");
	has(write_xml(&m, &tcg), "<features><acpi/></features>");
}

static void test_pc_and_q35(void **state)
{
	struct msg_be_start m = machine();
	const char *xml;

	(void)state;
	str_copy(m.machine, "pc");
	xml = write_xml(&m, &tcg);
	has(xml, "machine='pc'");
	has(xml, "<model type='virtio'/><rom enabled='no'/></interface>");
	hasnt(xml, "virtio-mmio");
	hasnt(xml, "x-option-roms");
	str_copy(m.machine, "q35");
	has(write_xml(&m, &tcg), "machine='q35'");
}

static void test_disk_machine_is_q35_and_boots_from_it(void **state)
{
	struct msg_be_start m = machine();
	const char *xml;

	(void)state;
	m.kernel[0] = m.cmdline[0] = '\0';
	m.n_disks = 2;
	str_copy(m.disks[0].path, "/images/root.qcow2");
	str_copy(m.disks[0].format, "qcow2");
	str_copy(m.disks[1].path, "/images/data.raw");
	m.disks[1].read_only = true;
	xml = write_xml(&m, &tcg);
	has(xml, "machine='q35'>hvm</type><boot dev='hd'/></os>");
	has(xml, "<driver name='qemu' type='qcow2'/><source file='/images/root.qcow2'/><target dev='vda' bus='virtio'/></disk>");
	has(xml, "<driver name='qemu' type='raw'/><source file='/images/data.raw'/><target dev='vdb' bus='virtio'/><readonly/></disk>");
	hasnt(xml, "<kernel>");
	str_copy(m.machine, "microvm");
	refuses(&m, "microvm");
}

static void test_kvm_only_for_the_hosts_own_kind(void **state)
{
	struct msg_be_start m = machine();

	(void)state;
	has(write_xml(&m, &kvm), "<domain type='kvm'");
	has(write_xml(&m, &kvm), "host-passthrough");
	str_copy(m.arch, "aarch64");
	has(write_xml(&m, &kvm), "<domain type='qemu'");
	has(write_xml(&m, &kvm), "arch='aarch64' machine='virt'");
	has(write_xml(&m, &kvm), "<model>cortex-a57</model>");
	str_copy(m.machine, "microvm");
	refuses(&m, "aarch64");
}

static void test_console(void **state)
{
	struct domain_host host = tcg;
	struct msg_be_start m = machine();

	(void)state;
	host.console_path = "/run/jitsu/console/jitsu-www.sock";
	has(write_xml(&m, &host), "<serial type='unix'><source mode='connect' path='/run/jitsu/console/jitsu-www.sock'>"
				  "<reconnect enabled='yes' timeout='1'/></source>");
}

static void test_guests_channel(void **state)
{
	struct domain_host host = tcg;
	struct msg_be_start m = machine();

	(void)state;
	host.guest_path = "/run/jitsu/console/jitsu-www.talk";
	hasnt(write_xml(&m, &host), "virtio-serial"); /* nobody wants it */
	m.guest_channel = true;
	has(write_xml(&m, &host), "<controller type='virtio-serial' index='0' ports='2'><address type='virtio-mmio'/></controller>"
				  "<channel type='unix'><source mode='connect' path='/run/jitsu/console/jitsu-www.talk'>"
				  "<reconnect enabled='yes' timeout='1'/></source>"
				  "<target type='virtio' name='org.jitsu.guest.0'/></channel>");
	hasnt(write_xml(&m, &tcg), "virtio-serial");
	str_copy(m.machine, "q35");
	has(write_xml(&m, &host), "<controller type='virtio-serial' index='0' ports='2'></controller>");
}

/* Of several the one with the right name, and only where QEMU waits for somebody. */
static void test_a_guests_channel_is_found(void **state)
{
	static const struct {
		const char *channel, *path;
	} cases[] = {
		{ "<channel type='unix'><source mode='bind' path='/a'/><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
		  "<channel type='unix'><source mode='bind' path='/b'/><target type='virtio' name='org.jitsu.guest.0'/></channel>"
		  "<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>", "/b" },
		{ "<channel type='unix'><source mode='connect' path='/b'/><target type='virtio' name='org.jitsu.guest.0'/></channel>", "" },
		{ "<channel type='unix'><source mode='bind' path='/b'/><target type='virtio' name='org.jitsu.guest.00'/></channel>", "" },
		{ "<serial type='unix'><source mode='bind' path='/b'/></serial>", "" },
		{ "<channel type='pty'><source path='/dev/pts/1'/><target type='virtio' name='org.jitsu.guest.0'/></channel>", "" },
	};
	struct msg_be_domain d = { 0 };
	struct domain_more more;
	char xml[1024];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(xml, sizeof(xml), "<domain><name>x</name><devices>%s</devices></domain>", cases[i].channel);
		assert_int_equal(domain_xml_read(xml, &d, &more), 0);
		assert_string_equal(more.guest_path, cases[i].path);
	}
}

/* Nothing an operator writes can become markup. */
static void test_everything_is_escaped(void **state)
{
	struct msg_be_start m = machine();
	const char *xml;

	(void)state;
	str_copy(m.cmdline, "a=\"b\" c='d' <&> \x01\n</cmdline><kernel>/etc/shadow</kernel>");
	str_copy(m.kernel, "/images/a&b<c>.elf");
	xml = write_xml(&m, &tcg);
	has(xml, "<cmdline>a=&quot;b&quot; c=&apos;d&apos; &lt;&amp;&gt;   &lt;/cmdline&gt;&lt;kernel&gt;/etc/shadow&lt;/kernel&gt;</cmdline>");
	has(xml, "<kernel>/images/a&amp;b&lt;c&gt;.elf</kernel>");
	hasnt(xml, "/etc/shadow</kernel><");
	m.n_disks = 1;
	str_copy(m.disks[0].path, "/x'/><evil a='");
	str_copy(m.disks[0].format, "raw'");
	hasnt(write_xml(&m, &tcg), "<evil");
	str_copy(m.nics[0].ifname, "a'/><x>");
	hasnt(write_xml(&m, &tcg), "<x>");
}

static void test_machines_that_cannot_be(void **state)
{
	struct msg_be_start m = machine();

	(void)state;
	str_copy(m.name, "../www");
	refuses(&m, "name");
	m = machine();
	m.kernel[0] = '\0';
	refuses(&m, "neither");
	m = machine();
	m.vcpus = 0;
	refuses(&m, "vcpus");
	m = machine();
	m.memory_bytes = 0;
	refuses(&m, "memory");
	m = machine();
	str_copy(m.arch, "sparc");
	refuses(&m, "sparc");
	m = machine();
	m.nics[0].ifname[0] = '\0';
	refuses(&m, "port");
}

/* ---- reading ---- */

static const char running[] =
	"<?xml version='1.0'?>\n<!-- <name>no</name> -->\n"
	"<domain type='kvm' id='3'>\n  <name>web &amp; db</name>\n  <uuid>aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee</uuid>\n"
	"  <memory unit='KiB'>524288</memory>\n  <currentMemory unit='KiB'>1</currentMemory>\n"
	"  <metadata><x:y xmlns:x='u'><name>nor this</name></x:y></metadata>\n"
	"  <devices>\n    <emulator>/usr/bin/qemu</emulator>\n"
	"    <disk type='file' device='cdrom'><source file='/a.iso'/><target dev='sda'/></disk>\n"
	"    <disk type='file' device='disk'><source file='/a'/><readonly/></disk>\n"
	"    <interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/><target dev='vnet0'/></interface>\n"
	"    <interface type='network'><mac address='52:54:00:00:00:02'/><source network='default' bridge='virbr0'/><target dev='vnet1'/></interface>\n"
	"    <interface type=\"network\"><source network='lab'/><mac address='52:54:00:00:00:03'/></interface>\n"
	"    <interface type='user'><mac address='52:54:00:00:00:04'/></interface>\n"
	"    <interface type='ethernet'><mac address='52:54:00:00:00:05'/></interface>\n"
	"  </devices>\n</domain>\n";

static void test_a_domain_is_read(void **state)
{
	struct msg_be_domain d = { 0 };
	struct domain_more more;

	(void)state;
	assert_int_equal(domain_xml_read(running, &d, &more), 0);
	assert_string_equal(d.name, "web & db");
	assert_string_equal(d.uuid, "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee");
	assert_int_equal(d.memory_bytes, 512 << 20);
	assert_false(d.writable_disk); /* a CD-ROM is none, and the disk is read-only */
	assert_int_equal(d.n_nics, MSG_NICS_MAX);
	assert_string_equal(d.nics[0].bridge, "br0");
	assert_string_equal(d.nics[0].ifname, "vnet0");
	assert_int_equal(d.nics[0].mac.b[5], 1);
	assert_string_equal(d.nics[1].bridge, "virbr0");
	assert_string_equal(d.nics[1].kind, "network");
	assert_string_equal(more.network[1], "");
	assert_string_equal(d.nics[2].bridge, "");
	assert_string_equal(more.network[2], "lab");
	assert_string_equal(d.nics[2].ifname, "");
	assert_string_equal(d.nics[3].kind, "user");
}

static void test_writable_disks_and_open_vswitch(void **state)
{
	static const char xml[] =
		"<domain><name>x</name><memory unit='GiB'>2</memory><devices><disk><source dev='/dev/x'/></disk>"
		"<interface type='bridge'><source bridge='ovs0'/><virtualport type='openvswitch'/></interface></devices></domain>";
	struct msg_be_domain d = { 0 };
	struct domain_more more;

	(void)state;
	assert_int_equal(domain_xml_read(xml, &d, &more), 0);
	assert_true(d.writable_disk);
	assert_int_equal(d.memory_bytes, 2ull << 30);
	assert_string_equal(d.nics[0].kind, "openvswitch");
	assert_string_equal(d.nics[0].bridge, ""); /* it is none of the kernel's */
}

static void test_what_is_written_can_be_read(void **state)
{
	struct msg_be_start m = machine();
	struct msg_be_domain d = { 0 };
	struct domain_more more;

	(void)state;
	m.n_disks = 1;
	str_copy(m.disks[0].path, "/x");
	assert_int_equal(domain_xml_read(write_xml(&m, &tcg), &d, &more), 0);
	assert_string_equal(d.name, m.name);
	assert_string_equal(d.uuid, m.uuid);
	assert_int_equal(d.memory_bytes, m.memory_bytes);
	assert_true(d.writable_disk);
	assert_memory_equal(&d.nics[0].mac, &m.nics[0].mac, sizeof(m.nics[0].mac));
	assert_string_equal(d.nics[0].ifname, "jt0");
}

static void test_broken_xml_is_refused(void **state)
{
	static const char *const broken[] = {
		"",
		"<domain>",
		"<domain><name>x</name></domian>",
		"<domain><name>x</name></domain",
		"<domain><name>x</name></domain></domain>",
		"<!DOCTYPE d [<!ENTITY a 'b'>]><domain><name>x</name></domain>",
		"<domain a='<'><name>x</name></domain>",
		"<domain a='b><name>x</name></domain>",
		"<domain><!-- <name>x</name></domain>",
		"<domain><![CDATA[<name>x</name></domain>",
		"<domain>< name>x</name></domain>",
		"<domain></domain>",
	};
	struct msg_be_domain d;
	struct domain_more more;
	char deep[XML_DEPTH_MAX * 3 + 64] = "";

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		memset(&d, 0, sizeof(d));
		if (domain_xml_read(broken[i], &d, &more) != -EBADMSG)
			fail_msg("taken: %s", broken[i]);
	}
	for (int i = 0; i <= XML_DEPTH_MAX; i++)
		strcat(deep, "<a>");
	assert_int_equal(domain_xml_read(deep, &d, &more), -EBADMSG);
}

static void test_references_are_decoded_and_cut(void **state)
{
	struct xml_reader x;
	char out[8];

	(void)state;
	xml_init(&x, "<a k='&lt;&#65;&#x42;&quot;&#9731;' long='123456789' e=''/>");
	assert_int_equal(xml_next(&x), XML_OPEN);
	assert_true(xml_attr(&x, "k", out, sizeof(out)));
	assert_string_equal(out, "<AB\"?");
	assert_false(xml_attr(&x, "long", out, sizeof(out)));
	assert_string_equal(out, "");
	assert_true(xml_attr(&x, "e", out, sizeof(out)));
	assert_false(xml_attr(&x, "none", out, sizeof(out)));
	assert_int_equal(xml_next(&x), XML_CLOSE);
	assert_int_equal(xml_next(&x), XML_END);
}

static void test_bridge_of_a_network(void **state)
{
	char bridge[MSG_IFNAME_MAX];

	(void)state;
	assert_int_equal(network_xml_read_bridge("<network><name>lab</name><bridge name='virbr7' stp='on'/></network>", bridge), 0);
	assert_string_equal(bridge, "virbr7");
	assert_int_equal(network_xml_read_bridge("<network><name>lab</name></network>", bridge), 0);
	assert_string_equal(bridge, "");
	assert_int_equal(network_xml_read_bridge("<network>", bridge), -EBADMSG);
}

/* ---- qemu.conf ---- */

static void test_embed_root(void **state)
{
	char root[MSG_PATH_MAX];

	(void)state;
	assert_true(libvirt_embed_root("qemu:///embed?root=/run/jitsu/qemu", root));
	assert_string_equal(root, "/run/jitsu/qemu");
	assert_true(libvirt_embed_root("qemu:///embed?x=y&root=%2frun%2Fa%20b", root));
	assert_string_equal(root, "/run/a b");
	assert_false(libvirt_embed_root("qemu:///system", root));
	assert_false(libvirt_embed_root("qemu:///embed", root));
	assert_false(libvirt_embed_root("qemu:///embed?xroot=/a", root));
	assert_false(libvirt_embed_root("qemu:///embed?root=relative", root));
	assert_false(libvirt_embed_root("qemu:///embed?root=/a%zz", root));
	assert_false(libvirt_embed_root("qemu:///embed?root=/a%00b", root));
}

static void test_qemu_is_confined_in_both_isolations(void **state)
{
	cleanup_buf struct buf strict = { 0 }, fast = { 0 };

	(void)state;
	libvirt_conf_text(&strict, ISOLATION_STRICT, 990, 991);
	libvirt_conf_text(&fast, ISOLATION_FAST, 990, 991);
	has(strict.text, "user = \"+990\"\ngroup = \"+991\"\n");
	has(fast.text, "user = \"+990\"\ngroup = \"+991\"\n");
	has(strict.text, "seccomp_sandbox = 1\n");
	has(fast.text, "seccomp_sandbox = 1\n");
	hasnt(strict.text, "cgroup_controllers");
	hasnt(strict.text, "namespaces");
	hasnt(strict.text, "security_driver");
	has(fast.text, "cgroup_controllers = []\nnamespaces = []\nsecurity_driver = \"none\"\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unikernel_on_microvm),
		cmocka_unit_test(test_general_purpose_system_has_acpi),
		cmocka_unit_test(test_pc_and_q35),
		cmocka_unit_test(test_disk_machine_is_q35_and_boots_from_it),
		cmocka_unit_test(test_kvm_only_for_the_hosts_own_kind),
		cmocka_unit_test(test_console),
		cmocka_unit_test(test_guests_channel),
		cmocka_unit_test(test_a_guests_channel_is_found),
		cmocka_unit_test(test_everything_is_escaped),
		cmocka_unit_test(test_machines_that_cannot_be),
		cmocka_unit_test(test_a_domain_is_read),
		cmocka_unit_test(test_writable_disks_and_open_vswitch),
		cmocka_unit_test(test_what_is_written_can_be_read),
		cmocka_unit_test(test_broken_xml_is_refused),
		cmocka_unit_test(test_references_are_decoded_and_cut),
		cmocka_unit_test(test_bridge_of_a_network),
		cmocka_unit_test(test_embed_root),
		cmocka_unit_test(test_qemu_is_confined_in_both_isolations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
