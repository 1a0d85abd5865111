#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "cmd/old_jitsu.h"

enum { WORDS_MAX = 12 };

static int parse(const char *const *words, struct old_jitsu *out, struct buf *mistakes)
{
	int n = 0;

	while (n < WORDS_MAX && words[n])
		n++;
	return old_jitsu_parse(n, (char *const *)words, "/home/op", out, mistakes);
}

#define BASE "dns=www.example.org,ip=10.0.0.1,name=www"
#define HEAD "{\"name\":\"www\",\"dns\":[\"www.example.org\"],\"ip\":[\"10.0.0.1/24\"]"
#define OWN ",\"machine\":{\"kernel\":\"/k\",\"memory\":\"64000KiB\"}}"
#define DOMAIN_WWW ",\"machine\":{\"domain\":\"www\"}}"
#define KERNEL ",kernel=/k,memory=64000"

static const struct {
	const char *words[WORDS_MAX];
	const char *record; /* of the first service */
} taken[] = {
	/* the README's examples */
	{ { "dns=www.openmirage.org,ip=192.168.0.22,name=mirage-www" },
	  "{\"name\":\"mirage-www\",\"dns\":[\"www.openmirage.org\"],\"ip\":[\"192.168.0.22/24\"],"
	  "\"machine\":{\"domain\":\"mirage-www\"}}" },
	{ { "-x", "libxl", "dns=www.example.org,ip=10.0.0.1,kernel=mirage-www.xen,memory=64000,name=www,nic=br0" },
	  HEAD ",\"machine\":{\"kernel\":\"/home/op/mirage-www.xen\",\"memory\":\"64000KiB\","
	       "\"nics\":[{\"bridge\":\"br0\"}]}}" },
	{ { "dns=www.example.com,ip=127.0.0.1,name=Ubuntu", "-m", "suspend" },
	  "{\"name\":\"ubuntu\",\"dns\":[\"www.example.com\"],\"ip\":[\"127.0.0.1/24\"],\"stop\":\"suspend\","
	  "\"machine\":{\"domain\":\"Ubuntu\"}}" },
	/* options, in each way they can be written, before and behind */
	{ { "-t", "30", BASE }, HEAD ",\"ttl\":\"30s\",\"idle_timeout\":\"60s\"" DOMAIN_WWW },
	{ { BASE, "-t30" }, HEAD ",\"ttl\":\"30s\",\"idle_timeout\":\"60s\"" DOMAIN_WWW },
	{ { "--ttl=30", BASE }, HEAD ",\"ttl\":\"30s\",\"idle_timeout\":\"60s\"" DOMAIN_WWW },
	{ { BASE, "--ttl", "30" }, HEAD ",\"ttl\":\"30s\",\"idle_timeout\":\"60s\"" DOMAIN_WWW },
	{ { "-d", "0.1", BASE }, HEAD ",\"ready\":[\"delay:100\"]" DOMAIN_WWW },
	{ { "--delay=2", BASE }, HEAD ",\"ready\":[\"delay:2000\"]" DOMAIN_WWW },
	{ { "--mode=shutdown", BASE }, HEAD ",\"stop\":\"shutdown\"" DOMAIN_WWW },
	{ { "-x", "libvirt", BASE }, HEAD DOMAIN_WWW },
	{ { "--hypervisor", "xen", BASE }, HEAD ",\"machine\":{\"hypervisor\":\"xen\",\"domain\":\"www\"}}" },
	{ { "--prefix", "16", BASE },
	  "{\"name\":\"www\",\"dns\":[\"www.example.org\"],\"ip\":[\"10.0.0.1/16\"]" DOMAIN_WWW },
	/* keys */
	{ { BASE KERNEL }, HEAD OWN },
	{ { "dns=www.example.org, ip=10.0.0.1, name=www , kernel=/k,memory=64000 " }, HEAD OWN },
	{ { BASE ",dns=b.example.org" },
	  "{\"name\":\"www\",\"dns\":[\"www.example.org\",\"b.example.org\"],\"ip\":[\"10.0.0.1/24\"]" DOMAIN_WWW },
	{ { BASE ",uuid=6e696eb7-09f4-484c-981b-8d34efa0304d" },
	  HEAD ",\"machine\":{\"domain\":\"6e696eb7-09f4-484c-981b-8d34efa0304d\"}}" },
	{ { "dns=www.example.org,ip=10.0.0.1,uuid=6e696eb7-09f4-484c-981b-8d34efa0304d" },
	  "{\"name\":\"www-example-org\",\"dns\":[\"www.example.org\"],\"ip\":[\"10.0.0.1/24\"],"
	  "\"machine\":{\"domain\":\"6e696eb7-09f4-484c-981b-8d34efa0304d\"}}" },
	{ { BASE ",response_delay=0.25", "-d", "1" }, HEAD ",\"ready\":[\"delay:250\"]" DOMAIN_WWW },
	{ { BASE ",wait_for_key=data/status" }, HEAD ",\"ready\":[\"xenstore:data/status\"]" DOMAIN_WWW },
	{ { BASE ",wait_for_key=k", "-d", "0.1" }, HEAD ",\"ready\":[\"xenstore:k\",\"delay:100\"]" DOMAIN_WWW },
	{ { BASE ",use_synjitsu=1" }, HEAD ",\"hold\":\"park\"" DOMAIN_WWW },
	{ { BASE ",use_synjitsu=0" }, HEAD ",\"hold\":\"off\"" DOMAIN_WWW },
	{ { BASE KERNEL ",cmdline=a=b {x} c" },
	  HEAD ",\"machine\":{\"kernel\":\"/k\",\"memory\":\"64000KiB\",\"cmdline\":\"a=b {{x} c\"}}" },
	{ { BASE KERNEL ",nic=br0,nic=br1" },
	  HEAD ",\"machine\":{\"kernel\":\"/k\",\"memory\":\"64000KiB\","
	       "\"nics\":[{\"bridge\":\"br0\"},{\"bridge\":\"br1\"}]}}" },
	{ { BASE KERNEL ",disk=images/a.iso@xvda,disk=/b@hdb" },
	  HEAD ",\"machine\":{\"kernel\":\"/k\",\"memory\":\"64000KiB\",\"disks\":[{\"path\":\"/home/op/images/a.iso\"},"
	       "{\"path\":\"/b\"}]}}" },
	{ { "dns=a.example.org,ip=10.0.0.1,name=My VM (old)" },
	  "{\"name\":\"my-vm-old\",\"dns\":[\"a.example.org\"],\"ip\":[\"10.0.0.1/24\"],"
	  "\"machine\":{\"domain\":\"My VM (old)\"}}" },
};

static void test_what_is_taken(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
		cleanup_buf struct buf mistakes = { 0 };
		struct old_jitsu o;

		if (parse(taken[i].words, &o, &mistakes) < 0)
			fail_msg("%s: %s", taken[i].words[0], mistakes.text);
		assert_int_equal(o.n, 1);
		assert_string_equal(o.records[0], taken[i].record);
		assert_null(mistakes.text);
		old_jitsu_free(&o);
	}
}

static const struct {
	const char *words[WORDS_MAX];
	const char *why;
} refused[] = {
	/* every option and key of the README that has no place here */
	{ { "-b", "10.0.0.9", BASE }, "--bind: jitsud's addresses are for all services: \"listen\"" },
	{ { "--bind=10.0.0.9", BASE }, "--bind: " },
	{ { "-l", "5353", BASE }, "--listen: jitsud's port is for all services" },
	{ { "-c", "xen:///", BASE }, "--connect: jitsud connects to hypervisors" },
	{ { "-f", "8.8.8.8", BASE }, "--forwarder: forwarding is for all services: \"forward\"" },
	{ { "-p", "53", BASE }, "--port: forwarding is for all services" },
	{ { "--persistdb=/x", BASE }, "--persistdb: services are always kept" },
	{ { "--synjitsu", "6e696eb7-09f4-484c-981b-8d34efa0304d", BASE }, "--synjitsu: no other VM is needed" },
	{ { "--version" }, "--version: \"jitsuctl --version\"" },
	{ { "-x", "xapi", BASE }, "--backend: xapi is not spoken here" },
	{ { BASE KERNEL ",script=vif-bridge" }, "script: none is named here: jitsud, or jitsu-vif on Xen" },
	{ { BASE KERNEL ",rumprun_config=json.cfg" }, "rumprun_config: jitsud writes nothing into XenStore" },
	/* bad values */
	{ { "-x", "kvm", BASE }, "--backend: expected libvirt or libxl, got \"kvm\"" },
	{ { "-m", "kill", BASE }, "--mode: expected destroy, shutdown or suspend, got \"kill\"" },
	{ { "-t", "0", BASE }, "--ttl: expected 1..604800 seconds" },
	{ { "-t", "1m", BASE }, "--ttl: expected 1..604800 seconds, got \"1m\"" },
	{ { "-d", "soon", BASE }, "--delay: expected seconds" },
	{ { "-d", "nan", BASE }, "--delay: expected seconds" },
	{ { BASE ",response_delay=-1" }, "response_delay: expected seconds" },
	{ { "--prefix", "33", BASE }, "--prefix: expected 1..32" },
	{ { BASE, "-t" }, "--ttl needs a value" },
	{ { "--dry-run=1", BASE }, "--dry-run takes no value" },
	{ { "--tttl", "3", BASE }, "did you mean --ttl?" },
	{ { "-q", BASE }, "-q: there is no such option" },
	{ { BASE KERNEL ",memroy=3" }, "memroy: there is no such key; did you mean memory?" },
	{ { BASE ",xyzzyplugh=3" }, "xyzzyplugh: there is no such key" },
	{ { BASE ",kernel" }, "\"kernel\": expected KEY=VALUE" },
	{ { BASE ",kernel=" }, "kernel: needs a value" },
	{ { BASE ",name=two" }, "name: is there twice" },
	{ { BASE ",ip=10.0.0.2" }, "ip: is there twice" },
	{ { "dns=a.b,ip=fd00::1,name=x" }, "ip: expected an IPv4 address, got \"fd00::1\"" },
	{ { "ip=10.0.0.1,name=x" }, "dns: is missing" },
	{ { "dns=a.b,name=x" }, "ip: is missing" },
	{ { "dns=a.b,ip=10.0.0.1" }, "name: is missing" },
	{ { "dns=a.b,ip=10.0.0.1,name=..." }, "name: none can be made of \"...\"" },
	{ { BASE ",kernel=/k" }, "memory: is missing" },
	{ { BASE ",kernel=/k,memory=64MB" }, "memory: expected a number of KiB, got \"64MB\"" },
	{ { BASE ",memory=64000" }, "memory: is only for a service with a kernel" },
	{ { BASE ",nic=br0" }, "nic: is only for a service with a kernel" },
	{ { "-x", "libxl", BASE }, "kernel: is missing, which libxl needs" },
	{ { BASE KERNEL ",uuid=6e696eb7-09f4-484c-981b-8d34efa0304d" }, "uuid: a VM with a kernel has one" },
	{ { BASE KERNEL ",disk=/a" }, "disk: expected FILE@DEVICE" },
	{ { BASE KERNEL ",disk=@xvda" }, "disk: expected FILE@DEVICE" },
	{ { "-t", "60" }, "no service" },
	{ { NULL }, "no service" },
};

static void test_what_is_refused_says_why(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		cleanup_buf struct buf mistakes = { 0 };
		struct old_jitsu o;

		assert_int_equal(parse(refused[i].words, &o, &mistakes), -EINVAL);
		if (!mistakes.text || !strstr(mistakes.text, refused[i].why))
			fail_msg("\"%s\" is not in \"%s\"", refused[i].why, mistakes.text ? mistakes.text : "");
		old_jitsu_free(&o);
	}
}

static void test_several_services_and_all_mistakes(void **state)
{
	static const char *const good[] = { BASE, "-t", "5", "dns=b.example.org,ip=10.0.0.2,name=b", "--dry-run", NULL };
	static const char *const bad[] = { "-b", "1", "dns=a.b,name=x", "dns=a.b,ip=10.0.0.1", NULL };
	cleanup_buf struct buf mistakes = { 0 };
	struct old_jitsu o;

	(void)state;
	assert_int_equal(parse(good, &o, &mistakes), 0);
	assert_int_equal(o.n, 2);
	assert_true(o.dry_run);
	assert_non_null(strstr(o.records[1], "\"name\":\"b\""));
	assert_non_null(strstr(o.records[1], "\"ttl\":\"5s\""));
	old_jitsu_free(&o);
	assert_int_equal(parse(bad, &o, &mistakes), -EINVAL);
	assert_non_null(strstr(mistakes.text, "--bind: "));
	assert_non_null(strstr(mistakes.text, "ip: is missing\n"));
	assert_non_null(strstr(mistakes.text, "name: is missing\n"));
	old_jitsu_free(&o);
}

static void test_too_many_services(void **state)
{
	char *words[OLD_JITSU_SERVICES_MAX + 1];
	cleanup_buf struct buf mistakes = { 0 };
	struct old_jitsu o;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		words[i] = (char *)BASE;
	assert_int_equal(old_jitsu_parse(OLD_JITSU_SERVICES_MAX, words, "/", &o, &mistakes), 0);
	assert_int_equal(o.n, OLD_JITSU_SERVICES_MAX);
	old_jitsu_free(&o);
	assert_int_equal(old_jitsu_parse(OLD_JITSU_SERVICES_MAX + 1, words, "/", &o, &mistakes), -EINVAL);
	assert_non_null(strstr(mistakes.text, "more than 64 services"));
	old_jitsu_free(&o);
}

static void test_help_names_all_that_is_taken(void **state)
{
	static const char *const named[] = { "--ttl", "--mode", "--delay", "--backend", "kernel", "memory", "nic",
					     "disk", "response_delay", "use_synjitsu" };
	cleanup_buf struct buf help = { 0 };

	(void)state;
	old_jitsu_help(&help);
	for (size_t i = 0; i < ARRAY_SIZE(named); i++)
		assert_non_null(strstr(help.text, named[i]));
	assert_null(strstr(help.text, "persistdb"));
	for (const char *line = help.text; *line; line += strcspn(line, "\n") + 1)
		assert_true(strcspn(line, "\n") <= 80);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_taken),
		cmocka_unit_test(test_what_is_refused_says_why),
		cmocka_unit_test(test_several_services_and_all_mistakes),
		cmocka_unit_test(test_too_many_services),
		cmocka_unit_test(test_help_names_all_that_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
