/* Domains from xl configurations, without a Xen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/libxl_file.h"

static const struct xl_host pc = { .pvh = true, .pv = true, .arch = "x86_64", .vif_script = "/usr/sbin/jitsu-vif" };

static const char whole[] = "# a server\n"
			    "name = \"web\"\n"
			    "uuid = \"9b4c2e1a-0000-4000-8000-0000000000b2\"\n"
			    "type = \"pvh\"\n"
			    "kernel = '/images/vmlinuz'\n"
			    "ramdisk = '/images/initrd'\n"
			    "root = '/dev/xvda ro'; extra = 'console=hvc0'\n"
			    "memory = 96\n"
			    "maxmem = 96\n"
			    "vcpus = 2\n"
			    "cpu_weight = 512\n"
			    "cap = 50\n"
			    "on_poweroff = 'destroy'\n"
			    "on_crash = 'restart'\n"
			    "disk = [ '/images/a.raw,raw,xvda,rw',\n"
			    "         'format=qcow2, vdev=xvdb, access=ro, target=/images/b.qcow2' ]\n"
			    "vif = [ 'mac=00:16:3e:00:00:01,bridge=br0',\n"
			    "        'mac=00:16:3e:00:00:02,bridge=br1,script=/etc/mine,vifname=web1,rate=1MB/s,type=vif' ]\n";

static void test_all_of_a_file(void **state)
{
	libxl_domain_config c;
	char uuid[MSG_UUID_MAX];
	struct err e = { 0 };

	(void)state;
	libxl_domain_config_init(&c);
	if (xl_file_parse("web.cfg", whole, &pc, &c, &e) != 0)
		fail_msg("%s", e.text);
	assert_string_equal(c.c_info.name, "web");
	xl_uuid_format(&c.c_info.uuid, uuid);
	assert_string_equal(uuid, "9b4c2e1a-0000-4000-8000-0000000000b2");
	assert_int_equal(c.c_info.type, LIBXL_DOMAIN_TYPE_PVH);
	assert_string_equal(c.b_info.kernel, "/images/vmlinuz");
	assert_string_equal(c.b_info.ramdisk, "/images/initrd");
	assert_string_equal(c.b_info.cmdline, "root=/dev/xvda ro console=hvc0");
	assert_int_equal(c.b_info.max_memkb, 96 * 1024);
	assert_int_equal(c.b_info.max_vcpus, 2);
	assert_int_equal(c.b_info.sched_params.weight, 512);
	assert_int_equal(c.b_info.sched_params.cap, 50);
	assert_int_equal(c.num_disks, 2);
	assert_string_equal(c.disks[0].pdev_path, "/images/a.raw");
	assert_string_equal(c.disks[0].vdev, "xvda");
	assert_true(c.disks[0].readwrite);
	assert_int_equal(c.disks[1].format, LIBXL_DISK_FORMAT_QCOW2);
	assert_false(c.disks[1].readwrite);
	assert_int_equal(c.num_nics, 2);
	assert_int_equal(c.nics[0].mac[5], 1);
	assert_string_equal(c.nics[0].bridge, "br0");
	assert_string_equal(c.nics[0].script, "/usr/sbin/jitsu-vif");
	assert_int_equal(c.nics[1].devid, 1);
	assert_string_equal(c.nics[1].script, "/etc/mine");
	assert_string_equal(c.nics[1].ifname, "web1");
	assert_true(c.nics[1].rate_bytes_per_interval > 0);
	libxl_domain_config_dispose(&c);
}

/* Of a domain that is off. */
static void test_what_is_told(void **state)
{
	static const char two[] = "name = 'a'\nkernel = '/k'\nmemory = 8\ndisk = [ '/d,raw,xvda,ro' ]\n"
				  "vif = [ 'mac=00:16:3e:00:00:01,vifname=web', 'bridge=br1' ]\n";
	struct msg_be_domain d[2];
	libxl_domain_config c;
	struct err e = { 0 };

	(void)state;
	for (int i = 0; i < 2; i++) {
		libxl_domain_config_init(&c);
		assert_int_equal(xl_file_parse("f", i == 0 ? whole : two, &pc, &c, &e), 0);
		xl_file_tell(&c, &d[i]);
		libxl_domain_config_dispose(&c);
		assert_int_equal(d[i].state, DOMAIN_OFF);
		assert_int_equal(d[i].domain_id, -1);
		assert_int_equal(d[i].n_nics, 2);
		assert_string_equal(d[i].nics[0].ifname, "");
	}
	assert_string_equal(d[0].name, "web");
	assert_string_equal(d[0].uuid, "9b4c2e1a-0000-4000-8000-0000000000b2");
	assert_int_equal(d[0].memory_bytes, 96 << 20);
	assert_true(d[0].writable_disk);
	assert_string_equal(d[0].nics[0].bridge, "br0");
	assert_int_equal(d[0].nics[0].mac.b[5], 1);
	assert_false(d[1].writable_disk);
	assert_string_equal(d[1].nics[0].bridge, "xenbr0");
	assert_true(mac_is_zero(&d[1].nics[1].mac)); /* each start gives it another one */
}

/* The least there is, and what follows from it. */
static void test_defaults(void **state)
{
	static const char least[] = "name = 'a'\nkernel = '/k'\nmemory = 8\n";
	struct xl_host arm = { .pvh = true, .arch = "aarch64" };
	libxl_domain_config c[3];
	struct err e = { 0 };

	(void)state;
	for (int i = 0; i < 3; i++) {
		libxl_domain_config_init(&c[i]);
		assert_int_equal(xl_file_parse("f", least, i == 2 ? &arm : &pc, &c[i], &e), 0);
	}
	assert_int_equal(c[0].c_info.type, LIBXL_DOMAIN_TYPE_PV);
	assert_int_equal(c[2].c_info.type, LIBXL_DOMAIN_TYPE_PVH);
	assert_int_equal(c[0].b_info.max_vcpus, 1);
	assert_null(c[0].b_info.cmdline);
	/* the same domain has the same UUID each time */
	assert_int_equal(libxl_uuid_compare(&c[0].c_info.uuid, &c[1].c_info.uuid), 0);
	assert_false(libxl_uuid_is_nil(&c[0].c_info.uuid));
	for (int i = 0; i < 3; i++)
		libxl_domain_config_dispose(&c[i]);
}

/* Each with the file's name, the line, and what is wrong. */
static void test_refused(void **state)
{
	static const struct {
		const char *text;
		int error;
		const char *says, *why;
	} rows[] = {
		{ "name = 'a'\nkernel = '/k'\nmemory = 8\nsdl = 1\n", -ENOTSUP, "f:4: sdl:", "xl create" },
		{ "name = 'a'\n\nbootloader = 'pygrub'\n", -ENOTSUP, "f:3: bootloader:", "as root" },
		{ "builder = 'hvm'\n", -ENOTSUP, "f:1: builder:", "type" },
		{ "name = 'a'\ntype = 'hvm'\nkernel = '/k'\nmemory = 8\n", -EINVAL, "f:2: type:", "device model" },
		{ "name = 'a'\nname += 'b'\n", -ENOTSUP, "f:2: name:", "+=" },
		{ "kernel = '/k'\nmemory = 8\n", -ENOENT, "f:1:", "\"name\"" },
		{ "name = 'a'\nmemory = 8\n", -EINVAL, "f:1: kernel:", "missing" },
		{ "name = 'a'\nkernel = '/k'\n", -EINVAL, "f:1: memory:", "missing" },
		{ "name = 'a'\nkernel = '/k'\nmemory = 0\n", -EINVAL, "f:3: memory:", "cannot be" },
		{ "name = 'a'\nkernel = '/k'\nmemory = 'much'\n", -EINVAL, "f:3: memory:", "number" },
		{ "name = 'a'\nkernel = '/k'\nmemory = 8\nmaxmem = 16\n", -EINVAL, "f:4: maxmem:", "begins with" },
		{ "name = 'a'\nkernel = '/k'\nmemory = 8\nvcpus = 2\nmaxvcpus = 4\n", -EINVAL, "f:5: maxvcpus:", "begins with" },
		{ "name = 'a'\nuuid = 'x'\nkernel = '/k'\nmemory = 8\n", -EINVAL, "f:2: uuid:", "UUID" },
		{ "name = 'a'\nkernel = [ '/k' ]\nmemory = 8\n", -EINVAL, "f:2: kernel:", "text" },
		{ "name = 'a'\nkernel = '/k'\nmemory = 8\nvif = 'mac=1'\n", -EINVAL, "f:4: vif:", "list" },
		{ "name = 'a'\nkernel = '/k'\nmemory = 8\nvif = [ 'mac=zz' ]\n", -EINVAL, "f:4: vif:", "expected mac=" },
		{ "name = 'a'\nkernel = '/k'\nmemory = 8\nvif = [ 'bridge' ]\n", -EINVAL, "f:4: vif:", "KEY=VALUE" },
		{ "name = 'a'\nkernel = '/k'\nmemory = 8\nvif = [ 'mac=00:16:3e:00:00:01,backend=d' ]\n", -EINVAL, "f:4: vif:",
		  "supported" },
		{ "name = 'a'\nkernel = '/k'\nmemory = 8\ndisk = [ 'nonsense=1' ]\n", -EINVAL, "f:4: disk:", "xl-disk" },
		{ "name = 'a'\n\"oops\n", -EBADMSG, "f:2:", "expected" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		libxl_domain_config c;
		struct err e = { 0 };

		libxl_domain_config_init(&c);
		if (xl_file_parse("f", rows[i].text, &pc, &c, &e) != rows[i].error || strncmp(e.text, rows[i].says, strlen(rows[i].says)) != 0 ||
		    !strstr(e.text, rows[i].why))
			fail_msg("row %zu: %d, %s", i, e.code, e.text);
		libxl_domain_config_dispose(&c);
	}
}

static void test_too_many(void **state)
{
	char text[1024] = "name = 'a'\nkernel = '/k'\nmemory = 8\nvif = [ ";
	libxl_domain_config c;
	struct err e = { 0 };

	(void)state;
	for (int i = 0; i <= MSG_NICS_MAX; i++) {
		size_t n = strlen(text);

		snprintf(text + n, sizeof(text) - n, "'mac=00:16:3e:00:00:%02x', ", i);
	}
	strcat(text, "]\n");
	libxl_domain_config_init(&c);
	assert_int_equal(xl_file_parse("f", text, &pc, &c, &e), -EINVAL);
	assert_true(strstr(e.text, "more than are supported") != NULL);
	libxl_domain_config_dispose(&c);
}

static void test_files(void **state)
{
	char path[] = "/tmp/jitsu-test-XXXXXX";
	libxl_domain_config c;
	struct err e = { 0 };
	int fd = mkstemp(path);

	(void)state;
	assert_int_equal(write(fd, whole, sizeof(whole) - 1), sizeof(whole) - 1);
	libxl_domain_config_init(&c);
	assert_int_equal(xl_file_read(path, "web", &pc, &c, &e), 0);
	libxl_domain_config_dispose(&c);
	libxl_domain_config_init(&c);
	assert_int_equal(xl_file_read(path, "other", &pc, &c, &e), -EINVAL);
	assert_true(strstr(e.text, "is called web now, and was other") != NULL);
	libxl_domain_config_dispose(&c);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	close(fd);
	libxl_domain_config_init(&c);
	assert_int_equal(xl_file_read(path, "web", &pc, &c, &e), -EFBIG);
	unlink(path);
	assert_int_equal(xl_file_read(path, "web", &pc, &c, &e), -ENOENT);
	libxl_domain_config_dispose(&c);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_of_a_file), cmocka_unit_test(test_what_is_told), cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_too_many),      cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests_name("xl configurations", tests, NULL, NULL);
}
