/* What libxl is told of a machine, and what of its lists we tell: without a Xen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/libxl_conf.h"
#include "backends/libxl_domains.h"

#define UUID "9b4c2e1a-0000-4000-8000-0000000000a1"

static const struct xl_host pc = { .pvh = true, .pv = true, .arch = "x86_64", .vif_script = "/usr/sbin/jitsu-vif" };

static struct msg_be_start machine(void)
{
	struct msg_be_start m = { .vcpus = 3, .memory_bytes = 48 << 20, .n_nics = 2, .n_disks = 2 };

	str_copy(m.name, "jitsu-www");
	str_copy(m.uuid, UUID);
	str_copy(m.kernel, "/images/www.elf");
	str_copy(m.initrd, "/images/initrd");
	str_copy(m.cmdline, "ip=10.0.0.2 name=www");
	str_copy(m.arch, "x86_64");
	for (unsigned i = 0; i < 2; i++) {
		m.nics[i].mac = (struct mac_addr){ { 0x52, 0x54, 0, 1, 2, (uint8_t)i } };
		snprintf(m.nics[i].bridge, sizeof(m.nics[i].bridge), "br%u", i);
	}
	str_copy(m.disks[0].path, "/images/a.raw");
	str_copy(m.disks[0].format, "raw");
	m.disks[0].read_only = true;
	str_copy(m.disks[1].path, "/images/b.qcow2");
	str_copy(m.disks[1].format, "qcow2");
	return m;
}

static void test_all_of_a_machine(void **state)
{
	struct msg_be_start m = machine();
	libxl_domain_config c;
	char uuid[MSG_UUID_MAX];
	struct err e = { 0 };

	(void)state;
	libxl_domain_config_init(&c);
	assert_int_equal(xl_conf_build(&m, &pc, &c, &e), 0);
	assert_int_equal(c.c_info.type, LIBXL_DOMAIN_TYPE_PVH);
	assert_int_equal(c.b_info.type, LIBXL_DOMAIN_TYPE_PVH);
	assert_string_equal(c.c_info.name, "jitsu-www");
	xl_uuid_format(&c.c_info.uuid, uuid);
	assert_string_equal(uuid, UUID);
	assert_string_equal(c.b_info.kernel, "/images/www.elf");
	assert_string_equal(c.b_info.ramdisk, "/images/initrd");
	assert_string_equal(c.b_info.cmdline, "ip=10.0.0.2 name=www");
	assert_int_equal(c.b_info.max_memkb, 48 * 1024);
	assert_int_equal(c.b_info.target_memkb, 48 * 1024);
	assert_int_equal(c.b_info.max_vcpus, 3);
	for (int i = 0; i < 3; i++)
		assert_true(libxl_bitmap_test(&c.b_info.avail_vcpus, i));
	assert_false(libxl_bitmap_test(&c.b_info.avail_vcpus, 3));
	assert_int_equal(c.num_nics, 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(c.nics[i].devid, i);
		assert_int_equal(c.nics[i].mac[5], i);
		assert_string_equal(c.nics[i].script, "/usr/sbin/jitsu-vif");
		assert_int_equal(c.nics[i].nictype, LIBXL_NIC_TYPE_VIF);
	}
	assert_string_equal(c.nics[1].bridge, "br1");
	assert_int_equal(c.num_disks, 2);
	assert_string_equal(c.disks[0].pdev_path, "/images/a.raw");
	assert_string_equal(c.disks[0].vdev, "xvda");
	assert_int_equal(c.disks[0].format, LIBXL_DISK_FORMAT_RAW);
	assert_false(c.disks[0].readwrite);
	assert_string_equal(c.disks[1].vdev, "xvdb");
	assert_int_equal(c.disks[1].format, LIBXL_DISK_FORMAT_QCOW2);
	assert_true(c.disks[1].readwrite);
	libxl_domain_config_dispose(&c);
}

/* What is raw needs nobody's QEMU: a block device as it is, a file by Xen's script. */
static void test_who_serves_disks(void **state)
{
	static const struct {
		const char *path;
		libxl_disk_format format;
		libxl_disk_backend backend;
		bool qemu;
		int error;
		const char *script, *why;
	} rows[] = {
		{ "/proc/self/exe", LIBXL_DISK_FORMAT_RAW, LIBXL_DISK_BACKEND_UNKNOWN, false, 0, "block", NULL },
		{ "/proc/self/exe", LIBXL_DISK_FORMAT_RAW, LIBXL_DISK_BACKEND_PHY, true, 0, "block", NULL },
		{ "/dev/null", LIBXL_DISK_FORMAT_RAW, LIBXL_DISK_BACKEND_UNKNOWN, false, 0, NULL, NULL }, /* no file */
		{ "/proc/self/exe", LIBXL_DISK_FORMAT_QCOW2, LIBXL_DISK_BACKEND_UNKNOWN, true, 0, NULL, NULL },
		{ "/proc/self/exe", LIBXL_DISK_FORMAT_QCOW2, LIBXL_DISK_BACKEND_UNKNOWN, false, -ENOTSUP, NULL, "qemu-img convert" },
		{ "/proc/self/exe", LIBXL_DISK_FORMAT_VHD, LIBXL_DISK_BACKEND_UNKNOWN, false, -ENOTSUP, NULL, "raw disks alone" },
		{ "/proc/self/exe", LIBXL_DISK_FORMAT_RAW, LIBXL_DISK_BACKEND_QDISK, false, -ENOTSUP, NULL, "qemu-system-xen" },
		{ "/nowhere/d.raw", LIBXL_DISK_FORMAT_RAW, LIBXL_DISK_BACKEND_UNKNOWN, true, -ENOENT, NULL, "/nowhere/d.raw" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct xl_host host = pc;
		libxl_domain_config c;
		struct err e = { 0 };

		host.qemu = rows[i].qemu;
		libxl_domain_config_init(&c);
		c.disks = calloc(1, sizeof(*c.disks));
		assert_non_null(c.disks);
		c.num_disks = 1;
		libxl_device_disk_init(&c.disks[0]);
		c.disks[0].pdev_path = strdup(rows[i].path);
		c.disks[0].format = rows[i].format;
		c.disks[0].backend = rows[i].backend;
		if (xl_conf_place_disks(&c, &host, &e) != rows[i].error || (rows[i].why && !strstr(e.text, rows[i].why)) ||
		    !c.disks[0].script != !rows[i].script)
			fail_msg("row %zu: %d, %s", i, e.code, e.text);
		if (rows[i].script)
			assert_string_equal(c.disks[0].script, rows[i].script);
		libxl_domain_config_dispose(&c);
	}
}

static void test_least_of_a_machine(void **state)
{
	struct msg_be_start m = { .vcpus = 1, .memory_bytes = 8 << 20 };
	struct xl_host host = pc;
	libxl_domain_config c;
	struct err e = { 0 };

	(void)state;
	str_copy(m.name, "jitsu-least");
	str_copy(m.uuid, UUID);
	str_copy(m.kernel, "/k");
	host.vif_script = NULL;
	libxl_domain_config_init(&c);
	assert_int_equal(xl_conf_build(&m, &host, &c, &e), 0);
	assert_null(c.b_info.ramdisk);
	assert_null(c.b_info.cmdline);
	assert_int_equal(c.num_nics, 0);
	assert_int_equal(c.num_disks, 0);
	libxl_domain_config_dispose(&c);
	m.n_nics = 1;
	libxl_domain_config_init(&c);
	assert_int_equal(xl_conf_build(&m, &host, &c, &e), 0);
	assert_null(c.nics[0].script); /* Xen's own */
	libxl_domain_config_dispose(&c);
}

/* Which type of domain comes of a machine's name, on which host. */
static void test_types(void **state)
{
	static const struct xl_host no_hvm = { .pv = true, .arch = "x86_64" }, no_pv = { .pvh = true, .arch = "x86_64" };
	static const struct xl_host arm = { .arch = "aarch64" }, neither = { .arch = "x86_64" };
	static const struct {
		const char *machine;
		const struct xl_host *host;
		libxl_domain_type type; /* INVALID: it is refused */
		const char *says;
	} rows[] = {
		{ "", &pc, LIBXL_DOMAIN_TYPE_PVH, NULL },
		{ "pvh", &pc, LIBXL_DOMAIN_TYPE_PVH, NULL },
		{ "pv", &pc, LIBXL_DOMAIN_TYPE_PV, NULL },
		{ "microvm", &pc, LIBXL_DOMAIN_TYPE_PVH, NULL },
		{ "q35", &pc, LIBXL_DOMAIN_TYPE_PVH, NULL },
		{ "", &no_hvm, LIBXL_DOMAIN_TYPE_PV, NULL },
		{ "pc", &no_hvm, LIBXL_DOMAIN_TYPE_PV, NULL },
		{ "pvh", &no_hvm, LIBXL_DOMAIN_TYPE_INVALID, "\"pv\"" },
		{ "pv", &no_pv, LIBXL_DOMAIN_TYPE_INVALID, "\"pvh\"" },
		{ "", &no_pv, LIBXL_DOMAIN_TYPE_PVH, NULL },
		{ "", &neither, LIBXL_DOMAIN_TYPE_INVALID, "firmware" },
		{ "virt", &arm, LIBXL_DOMAIN_TYPE_PVH, NULL },
		{ "", &arm, LIBXL_DOMAIN_TYPE_PVH, NULL },
		{ "pv", &arm, LIBXL_DOMAIN_TYPE_INVALID, "\"pvh\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		libxl_domain_type type = LIBXL_DOMAIN_TYPE_INVALID;
		struct err e = { 0 };
		int r = xl_conf_type(rows[i].machine, rows[i].host, &type, &e);

		assert_int_equal(r, rows[i].says ? -ENOTSUP : 0);
		assert_int_equal(type, rows[i].type);
		if (rows[i].says && !strstr(e.text, rows[i].says))
			fail_msg("\"%s\" says: %s", rows[i].machine, e.text);
	}
}

static void refused(const struct msg_be_start *m, int error, const char *says)
{
	libxl_domain_config c;
	struct err e = { 0 };

	libxl_domain_config_init(&c);
	assert_int_equal(xl_conf_build(m, &pc, &c, &e), error);
	if (!strstr(e.text, says))
		fail_msg("it says: %s", e.text);
	libxl_domain_config_dispose(&c);
}

static void test_what_cannot_be(void **state)
{
	struct msg_be_start m = machine();

	(void)state;
	str_copy(m.arch, "aarch64");
	refused(&m, -ENOTSUP, "architecture");
	m = machine();
	str_copy(m.uuid, "no-uuid");
	refused(&m, -EINVAL, "no-uuid");
	m = machine();
	m.kernel[0] = '\0';
	refused(&m, -EINVAL, "kernel");
	m = machine();
	m.vcpus = 0;
	refused(&m, -EINVAL, "processors");
	m = machine();
	m.n_nics = MSG_NICS_MAX + 1;
	refused(&m, -EINVAL, "devices");
}

static void test_ports(void **state)
{
	libxl_device_nic nic = { .devid = 2, .bridge = (char *)"br7", .mac = { 2, 0, 0, 0, 0, 9 } };
	struct msg_nic out;

	(void)state;
	xl_conf_tell_nic(41, &nic, &out);
	assert_string_equal(out.ifname, "vif41.2");
	assert_string_equal(out.bridge, "br7");
	assert_string_equal(out.kind, "vif");
	assert_int_equal(out.mac.b[5], 9);
	nic.ifname = (char *)"web0";
	nic.bridge = NULL;
	xl_conf_tell_nic(41, &nic, &out);
	assert_string_equal(out.ifname, "web0");
	assert_string_equal(out.bridge, "");
}

/* ---- what becomes of domains ---- */

static void test_life(void **state)
{
	(void)state;
	assert_int_equal(xl_life_of(&(libxl_dominfo){ .running = true }), XL_RUNNING);
	assert_int_equal(xl_life_of(&(libxl_dominfo){ .blocked = true }), XL_RUNNING);
	assert_int_equal(xl_life_of(&(libxl_dominfo){ .paused = true }), XL_PAUSED);
	assert_int_equal(xl_life_of(&(libxl_dominfo){ .paused = true, .shutdown = true }), XL_DOWN);
	assert_int_equal(xl_life_of(&(libxl_dominfo){ .shutdown = true, .dying = true }), XL_GONE);
}

static void test_events_of_a_life(void **state)
{
	static const struct {
		enum xl_life from, to;
		libxl_shutdown_reason reason;
		int what; /* -1: nothing is told */
		const char *text;
	} rows[] = {
		{ XL_NEW, XL_RUNNING, 0, EVENT_STARTED, "started" },
		{ XL_NEW, XL_GONE, 0, -1, NULL }, /* a create that failed */
		{ XL_RUNNING, XL_PAUSED, 0, EVENT_SUSPENDED, "paused" },
		{ XL_PAUSED, XL_RUNNING, 0, EVENT_RESUMED, "resumed" },
		{ XL_RUNNING, XL_GONE, 0, EVENT_STOPPED, "destroyed" },
		{ XL_PAUSED, XL_GONE, 0, EVENT_STOPPED, "destroyed" },
		{ XL_RUNNING, XL_DOWN, LIBXL_SHUTDOWN_REASON_POWEROFF, EVENT_STOPPED, "shutdown" },
		{ XL_RUNNING, XL_DOWN, LIBXL_SHUTDOWN_REASON_REBOOT, EVENT_STOPPED, "reboot" },
		{ XL_RUNNING, XL_DOWN, LIBXL_SHUTDOWN_REASON_CRASH, EVENT_CRASHED, "crashed" },
		{ XL_PAUSED, XL_DOWN, LIBXL_SHUTDOWN_REASON_SUSPEND, EVENT_SAVED, "saved" },
		{ XL_DOWN, XL_GONE, 0, -1, NULL }, /* told already */
		{ XL_GONE, XL_GONE, 0, -1, NULL },
		{ XL_RUNNING, XL_RUNNING, 0, -1, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		enum domain_event what = EVENT_N;
		const char *text = NULL;
		bool told = xl_life_event(rows[i].from, rows[i].to, rows[i].reason, &what, &text);

		assert_int_equal(told, rows[i].what >= 0);
		if (!told)
			continue;
		assert_int_equal(what, rows[i].what);
		assert_string_equal(text, rows[i].text);
	}
}

/* Every change from one to another, and back, is told once at most. */
static void test_a_life_ends_once(void **state)
{
	(void)state;
	for (int from = 0; from < XL_LIFE_N; from++) {
		enum domain_event what;
		const char *text;

		assert_false(xl_life_event((enum xl_life)from, (enum xl_life)from, LIBXL_SHUTDOWN_REASON_POWEROFF, &what, &text));
		assert_false(xl_life_event(XL_GONE, (enum xl_life)from, LIBXL_SHUTDOWN_REASON_POWEROFF, &what, &text));
	}
}

/* ---- notes ---- */

static void test_notes(void **state)
{
	char dir[] = "/tmp/jitsu-test-XXXXXX", path[256];
	struct xl_notes n = { .dir = "" };
	libxl_uuid uuid;
	struct err e = { 0 };
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(xl_notes_init(&n, dir, &e), 0);
	assert_int_equal(xl_notes_init(&n, dir, &e), 0);
	assert_int_equal(libxl_uuid_from_string(&uuid, UUID), 0);
	assert_int_equal(xl_note_get(&n, &uuid), XL_NOTE_NONE);
	for (enum xl_note what = XL_NOTE_BUILDING; what <= XL_NOTE_ENDING; what++) {
		xl_note_set(&n, &uuid, what);
		assert_int_equal(xl_note_get(&n, &uuid), what);
	}
	/* cut off in the middle of writing: it was being built */
	snprintf(path, sizeof(path), "%s/libxl/" UUID, dir);
	f = fopen(path, "we");
	fclose(f);
	assert_int_equal(xl_note_get(&n, &uuid), XL_NOTE_BUILDING);
	xl_note_set(&n, &uuid, XL_NOTE_NONE);
	assert_int_equal(xl_note_get(&n, &uuid), XL_NOTE_NONE);
	assert_int_equal(rmdir(n.dir), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(xl_notes_init(&n, "/nowhere/at/all", &e), -ENOENT);
}

/* ---- what libxl says ---- */

static void test_words(void **state)
{
	struct xl_ctx x = { .xl = NULL };
	struct err e = { 0 };

	(void)state;
	xl_words_init(&x.words);
	assert_int_equal(xl_say(&x, ERROR_NOMEM, &e), -ENOMEM);
	assert_true(strstr(e.text, "gave no reason") != NULL);
	xtl_log(&x.words.logger, XTL_DEBUG, -1, "libxl", "chatter");
	xtl_log(&x.words.logger, XTL_ERROR, ENOENT, "libxl", "%s", "libxl_dom.c:12:libxl__build: Domain 3:no kernel");
	xtl_log(&x.words.logger, XTL_ERROR, -1, "libxl", "libxl_create.c:99:domcreate: Domain 3:no\nbuild\n");
	xtl_log(&x.words.logger, XTL_ERROR, -1, "libxl", "libxl_create.c:98:domcreate: Domain 3:no\nbuild\n");
	assert_int_equal(xl_say(&x, ERROR_FAIL, &e), -EIO);
	assert_string_equal(e.text, "Domain 3:no kernel: No such file or directory; Domain 3:no build");
	for (int i = 0; i < 100; i++)
		xtl_log(&x.words.logger, XTL_ERROR, -1, "xc", "line %d of many that are said one after the other", i);
	assert_int_equal(xl_say(&x, ERROR_FAIL, &e), -EIO);
	assert_true(strstr(e.text, "Domain 3:no kernel") == e.text);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_of_a_machine), cmocka_unit_test(test_who_serves_disks),
		cmocka_unit_test(test_least_of_a_machine),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_what_cannot_be),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_events_of_a_life),
		cmocka_unit_test(test_a_life_ends_once),
		cmocka_unit_test(test_notes),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests_name("libxl's machines", tests, NULL, NULL);
}
