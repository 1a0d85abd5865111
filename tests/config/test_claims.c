/* A service by itself, as commands bring them: what its text says, what is wrong with it, and what
 * others have already. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/claims.h"
#include "config/load.h"

static const char file[] =
	"{\"zones\":[{\"name\":\"jitsu.example\",\"ns\":[\"ns.jitsu.example\"]}],"
	"\"hypervisors\":[{\"name\":\"local\",\"uri\":\"test:///default\"}],"
	"\"bridges\":[{\"name\":\"br0\",\"probe_ip\":\"10.0.0.250\"}],\"image_dirs\":[\"/images\"],"
	"\"services\":[\n{\"name\":\"www\",\"dns\":[\"www.jitsu.example\"],\"ip\":[\"10.0.0.20/24\"],"
	"\"machine\":{\"kernel\":\"/images/k\","
	"\"disks\":[{\"path\":\"/images/d\"},{\"path\":\"/images/ro\",\"read_only\":true}],"
	"\"nics\":[{\"mac\":\"52:54:00:00:00:01\"}]}}]}";

static struct conf *conf;
static struct claims *claims;
static struct buf mistakes;

static int setup(void **state)
{
	(void)state;
	conf = conf_parse("file", file, strlen(file), &mistakes);
	claims = claims_new();
	if (!conf || !claims || !claims_add_bridges(claims, conf))
		return -1;
	return claims_add(claims, &conf->services.v[0]) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	claims_free(claims);
	conf_free(conf);
	buf_free(&mistakes);
	return 0;
}

static struct service_conf *parse(const char *text, struct buf *given)
{
	buf_clear(&mistakes);
	return conf_parse_service(conf, text, strlen(text), given, &mistakes);
}

static void assert_mistake(const char *line)
{
	if (!mistakes.text || !strstr(mistakes.text, line))
		fail_msg("\"%s\" is not in \"%s\"", line, mistakes.text ? mistakes.text : "");
}

#define API "\"name\":\"api\",\"dns\":[\"api.jitsu.example\"],\"ip\":[\"10.0.0.21/24\"]"
#define KERNEL "\"machine\":{\"kernel\":\"/images/k\"}"

/* One piece of memory, which says the same of every option, also of those that nobody gave. */
static void test_packed(void **state)
{
	static const char full[] =
		"{" API ",\"ports\":[80,443],\"fallback_ip\":[\"10.0.0.9\",\"10.0.0.10\"],\"gateway\":\"10.0.0.1\","
		"\"wake_allow\":[\"10.0.0.0/8\"],\"ready\":[\"arp\",\"tcp:80\",\"delay:1s\"],"
		"\"machine\":{\"kernel\":\"/images/k\",\"cmdline\":\"a=b\",\"disks\":[{\"path\":\"/images/a\"},"
		"{\"path\":\"/images/b\",\"format\":\"qcow2\"}],\"nics\":[{\"bridge\":\"br0\"},{\"bridge\":\"br0\"}]}}";
	static const char *const texts[] = { full, "{" API "," KERNEL "}" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		cleanup_buf struct buf before = { 0 }, after = { 0 };
		struct service_conf *s = parse(texts[i], NULL);

		if (!s)
			fail_msg("%s", mistakes.text);
		conf_print_service(s, &before);
		s = conf_pack_service(s);
		assert_true(s->packed);
		conf_print_service(s, &after);
		assert_string_equal(after.text, before.text);
		assert_int_equal(s->ready.n, i == 0 ? 3 : s->ready.n);
		s = conf_pack_service(s); /* it may be one already */
		buf_clear(&after);
		conf_print_service(s, &after);
		assert_string_equal(after.text, before.text);
		conf_free_service(s);
	}
}

static void test_what_is_given_is_kept_in_one_way(void **state)
{
	struct buf one = { 0 }, two = { 0 };
	struct service_conf *a, *b;

	(void)state;
	a = parse("{\"machine\":{\"nics\":[{}],\"memory\":\"131072KiB\",\"kernel\":\"/images/k\"},\"ttl\":\"120s\","
		  "\"ports\":[80, 443],\"ip\":[\"10.0.0.21/24\"],\"dns\":[\"api.jitsu.example\"],\"name\":\"api\"}", &one);
	assert_non_null(a);
	assert_string_equal(one.text,
			    "{\"name\":\"api\",\"dns\":[\"api.jitsu.example\"],\"ip\":[\"10.0.0.21/24\"],\"ttl\":\"120s\","
			    "\"ports\":[80, 443],\"machine\":{\"kernel\":\"/images/k\",\"memory\":\"128MiB\",\"nics\":[{}]}}");
	assert_int_equal(a->machine.memory_bytes, 128 << 20);
	assert_string_equal(a->machine.nics.v[0].bridge, "br0");
	assert_string_equal(a->machine.hypervisor, "local");
	assert_int_equal(a->line, 0);
	b = parse(one.text, &two);
	assert_non_null(b);
	assert_string_equal(one.text, two.text);
	conf_free_service(a);
	conf_free_service(b);
	buf_free(&one);
	buf_free(&two);
}

static void test_mistakes_name_the_option(void **state)
{
	static const struct {
		const char *text, *mistake;
	} rows[] = {
		{ "{" API "," KERNEL ",\"ttl\":\"x\"}", "ttl: expected 0s..604800s, got \"x\"\n" },
		{ "{" API "," KERNEL ",\"tttl\":\"1s\"}", "tttl: unknown option, did you mean \"ttl\"?" },
		{ "{" API ",\"machine\":{}}", "machine.kernel: missing: a machine needs a kernel" },
		{ "{" API ",\"machine\":{\"kernel\":\"/etc/k\"}}", "machine.kernel: \"/etc/k\" is below none of image_dirs: put it into" },
		{ "{" API ",\"machine\":{\"kernel\":\"/images/k\",\"hypervisor\":\"x\"}}",
		  "machine.hypervisor: there is no \"x\" in hypervisors" },
		{ "{\"name\":\"api\",\"dns\":[\"api.example\"],\"ip\":[\"10.0.0.21/24\"]," KERNEL "}",
		  "dns[0]: \"api.example\" is in none of the zones" },
		{ "{" KERNEL "}", "name: missing, and it has no default" },
		{ "[]", "expected an object, got an array" },
		{ "{", "1:2: " },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_null(parse(rows[i].text, NULL));
		assert_mistake(rows[i].mistake);
	}
}

static void assert_taken(const char *text, const char *line)
{
	struct service_conf *s = parse(text, NULL);

	assert_non_null(s);
	assert_false(claims_fit(claims, s, &mistakes));
	assert_mistake(line);
	conf_free_service(s);
}

static void test_what_others_have(void **state)
{
	(void)state;
	assert_taken("{\"name\":\"www\",\"dns\":[\"a.jitsu.example\"],\"ip\":[\"10.0.0.21/24\"]," KERNEL "}",
		     "name: there is a service \"www\" already, in the configuration file");
	assert_taken("{\"name\":\"api\",\"dns\":[\"a.jitsu.example\",\"WWW.jitsu.example\"],"
		     "\"ip\":[\"10.0.0.21/24\"]," KERNEL "}",
		     "dns[1]: \"www.jitsu.example\" is used already by service \"www\", in the configuration file");
	assert_taken("{\"name\":\"api\",\"dns\":[\"a.jitsu.example\"],\"ip\":[\"10.0.0.20/16\"]," KERNEL "}",
		     "ip[0]: \"10.0.0.20\" is used already by service \"www\"");
	assert_taken("{\"name\":\"api\",\"dns\":[\"a.jitsu.example\"],\"ip\":[\"10.0.0.250/24\"]," KERNEL "}",
		     "ip[0]: \"10.0.0.250\" is the address that a bridge is probed from");
	assert_taken("{" API ",\"machine\":{\"kernel\":\"/images/k\",\"nics\":[{\"mac\":\"52:54:00:00:00:01\"}]}}",
		     "machine.nics[0].mac: \"52:54:00:00:00:01\" is used already");
	assert_taken("{" API ",\"machine\":{\"kernel\":\"/images/k\","
		     "\"disks\":[{\"path\":\"/images/d\",\"read_only\":true}]}}",
		     "machine.disks[0].path: \"/images/d\" is used already");
	assert_taken("{\"name\":\"api\",\"dns\":[\"a.jitsu.example\",\"A.jitsu.example\"],"
		     "\"ip\":[\"10.0.0.21/24\"]," KERNEL "}",
		     "dns[1]: \"a.jitsu.example\" is there twice");
}

static void test_many_come_and_go(void **state)
{
	enum { N = 3000 };
	struct service_conf *all[N];
	char text[512];

	(void)state;
	for (int i = 0; i < N; i++) {
		snprintf(text, sizeof(text),
			 "{\"name\":\"s%d\",\"dns\":[\"s%d.jitsu.example\"],\"ip\":[\"10.1.%d.%d/8\"],\"machine\":"
			 "{\"kernel\":\"/images/k\",\"disks\":[{\"path\":\"/images/ro\",\"read_only\":true}]}}",
			 i, i, i / 250, i % 250 + 1);
		all[i] = parse(text, NULL);
		assert_non_null(all[i]);
		assert_true(claims_fit(claims, all[i], &mistakes));
		assert_true(claims_add(claims, all[i]));
		assert_true(claims_fit(claims, all[i], &mistakes)); /* itself is no other */
	}
	assert_int_equal(claims_count(claims), N + 1);
	for (int i = 0; i < N; i += 2)
		claims_remove(claims, all[i]);
	for (int i = 0; i < N; i++) {
		struct service_conf copy = *all[i];

		assert_ptr_equal(claims_find(claims, all[i]->name), i % 2 ? all[i] : NULL);
		assert_int_equal(claims_fit(claims, &copy, &mistakes), i % 2 == 0);
	}
	assert_int_equal(claims_count(claims), N / 2 + 1);
	claims_free(claims); /* first: it points to them */
	claims = NULL;
	for (int i = 0; i < N; i++)
		conf_free_service(all[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_packed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_given_is_kept_in_one_way, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mistakes_name_the_option, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_others_have, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_come_and_go, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
