#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "launcher/managers.h"

/* A root directory of the test's own. */
static char root[64];

static int setup(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/jitsu-managers-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
	char line[128];

	(void)state;
	snprintf(line, sizeof(line), "rm -rf %s", root);
	return system(line);
}

static void put(const char *path, const char *text)
{
	char whole[512];
	FILE *f;

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	for (char *slash = whole + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(whole, 0755);
		*slash = '/';
	}
	f = fopen(whole, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

struct heard {
	unsigned n;
	char last[MSG_TEXT_MAX];
};

static void hear(void *arg, const char *sentence)
{
	struct heard *h = arg;

	h->n++;
	str_copy(h->last, sentence);
}

/* What it warns of: the sentence, or "" for nothing. */
static const char *warning(void)
{
	static struct heard h;

	h = (struct heard){ 0 };
	managers_warnings(root, hear, &h);
	assert_true(h.n <= 1);
	return h.last;
}

static void test_nothing_runs(void **state)
{
	(void)state;
	assert_string_equal(warning(), "");
	put("/proc/1/comm", "systemd\n");
	put("/proc/self/comm", "NetworkManager\n"); /* no pid */
	put("/etc/NetworkManager/NetworkManager.conf", "[main]\n");
	put("/etc/systemd/network/all.network", "[Match]\nName=*\n");
	assert_string_equal(warning(), "");
}

static void test_network_manager(void **state)
{
	static const struct {
		const char *file, *text;
		bool enough;
	} rows[] = {
		{ "/etc/NetworkManager/NetworkManager.conf", "[keyfile]\nunmanaged-devices=interface-name:jt*;interface-name:jh*\n", true },
		{ "/etc/NetworkManager/conf.d/jitsu.conf", "[keyfile]\nunmanaged-devices = interface-name:jt* , interface-name:jh*\n", true },
		{ "/run/NetworkManager/conf.d/x.conf", "[keyfile]\nunmanaged-devices+=interface-name:j[th]*\n", true },
		{ "/usr/lib/NetworkManager/conf.d/x.conf", "[keyfile]\nunmanaged-devices=*,except:type:wifi\n", true },
		{ "/etc/NetworkManager/conf.d/x.conf", "[device-taps]\nmatch-device=type:tun\nmanaged=0\n", true },
		{ "/etc/NetworkManager/conf.d/x.conf", "[device-taps]\nmanaged=false\nmatch-device=interface-name:j*\n", true },
		{ "/etc/NetworkManager/conf.d/x.conf", "[keyfile]\n#unmanaged-devices=interface-name:j*\n", false },
		{ "/etc/NetworkManager/conf.d/x.conf", "[keyfile]\nunmanaged-devices=interface-name:jt*\n", false },
		{ "/etc/NetworkManager/conf.d/x.conf", "[keyfile]\nunmanaged-devices=except:interface-name:j*\n", false },
		{ "/etc/NetworkManager/conf.d/x.conf", "[keyfile]\nunmanaged-devices=interface-name:vnet*;mac:02:00:00:00:00:01\n", false },
		{ "/etc/NetworkManager/conf.d/x.conf", "[device-taps]\nmatch-device=type:tun\nmanaged=1\n", false },
		{ "/etc/NetworkManager/conf.d/x.conf", "[device-a]\nmatch-device=type:tun\n[device-b]\nmanaged=0\n", false },
		{ "/etc/NetworkManager/conf.d/x.txt", "[keyfile]\nunmanaged-devices=interface-name:j*\n", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		put("/proc/4711/comm", "NetworkManager\n");
		assert_non_null(strstr(warning(), "unmanaged-devices=interface-name:jt*;interface-name:jh*"));
		put(rows[i].file, rows[i].text);
		if (!*warning() != rows[i].enough)
			fail_msg("%s: \"%s\"", rows[i].text, warning());
		teardown(NULL);
		mkdir(root, 0700);
	}
}

static void test_networkd(void **state)
{
	static const struct {
		const char *text;
		bool takes_us;
	} rows[] = {
		{ "[Match]\nName=*\n[Network]\nDHCP=yes\n", true },
		{ "[Match]\nName=en* j*\n", true },
		{ "[Match]\nName=jh*\n", true },
		{ "[Match]\nName=!en* !lo\n", true },
		{ "[Match]\nType=ether\n", true },
		{ "[Match]\nKind=tun tap\n", true },
		{ "[Network]\nDHCP=yes\n", true },
		{ "[Match]\nName=en*\n", false },
		{ "[Match]\nName=!j*\n", false },
		{ "[Match]\nName=*\nType=wlan\n", false },
		{ "[Match]\nName=*\nKind=!tun\n", false },
		{ "[Match]\nName=*\nMACAddress=02:00:00:00:00:01\n", false },
		{ "[Match]\nName=vt-*\nKind=tun\n", false },
		{ "[Match]\nName=*\n[Link]\nUnmanaged=yes\n", false },
	};

	(void)state;
	put("/proc/4711/comm", "systemd-network\n"); /* as the kernel cuts it */
	assert_string_equal(warning(), "");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		put("/etc/systemd/network/50-it.network", rows[i].text);
		if (!*warning() == rows[i].takes_us)
			fail_msg("%s: \"%s\"", rows[i].text, warning());
	}
}

static void test_networkd_goes_by_the_first_that_matches(void **state)
{
	static const char all[] = "[Match]\nName=*\n", ours[] = "[Match]\nName=jt* jh*\n[Link]\nUnmanaged=yes\n";

	(void)state;
	put("/proc/4711/comm", "systemd-network\n");
	put("/usr/lib/systemd/network/50-all.network", all);
	assert_non_null(strstr(warning(), " /usr/lib/systemd/network/50-all.network "));
	put("/etc/systemd/network/60-jitsu.network", ours); /* too late */
	assert_non_null(strstr(warning(), "50-all.network"));
	put("/run/systemd/network/40-jitsu.network", "[Match]\nName=jt*\n[Link]\nUnmanaged=yes\n"); /* only half */
	assert_non_null(strstr(warning(), "50-all.network"));
	put("/run/systemd/network/40-jitsu.network", ours);
	assert_string_equal(warning(), "");
	put("/etc/systemd/network/40-jitsu.network", "[Match]\nName=en*\n"); /* instead of that in /run */
	assert_non_null(strstr(warning(), "50-all.network"));
	put("/etc/systemd/network/50-all.network", "[Match]\nName=en*\n");
	assert_string_equal(warning(), "");
}

static void test_ifupdown(void **state)
{
	(void)state;
	put("/etc/network/interfaces", "source interfaces.d/*\nauto lo\niface lo inet loopback\nallow-hotplug eth0 /en*\n");
	assert_string_equal(warning(), "");
	put("/etc/network/interfaces.d/taps", "# allow-hotplug /j*\n");
	assert_string_equal(warning(), "");
	put("/etc/network/interfaces.d/taps", "allow-hotplug\teth1 /jt*\n");
	assert_non_null(strstr(warning(), "allow-hotplug"));
}

#define IN_ROOT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_ROOT(test_nothing_runs),
		IN_ROOT(test_network_manager),
		IN_ROOT(test_networkd),
		IN_ROOT(test_networkd_goes_by_the_first_that_matches),
		IN_ROOT(test_ifupdown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
