/* Pools of addresses: how they are written, what they give, and services that want one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/load.h"
#include "config/pool.h"
#include "config/value.h"

/* ---- ranges ---- */

static void test_ranges_are_what_they_say(void **state)
{
	static const struct {
		const char *text, *first, *last;
	} rows[] = {
		{ "10.0.0.5-10.0.0.9/24", "10.0.0.5", "10.0.0.9" },
		{ "10.0.0.0/24", "10.0.0.0", "10.0.0.255" },
		{ "10.0.0.7-10.0.0.7/24", "10.0.0.7", "10.0.0.7" },
		{ "fd00::10-fd00::1f/64", "fd00::10", "fd00::1f" },
		{ "fd00:0:0:1::/64", "fd00:0:0:1::", "fd00::1:ffff:ffff:ffff:ffff" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[VALUE_TEXT_MAX];
		struct ip_range r, again;
		struct ip_addr a;

		assert_int_equal(range_parse(rows[i].text, &r), 0);
		assert_int_equal(ip_parse(rows[i].first, &a), 0);
		assert_true(ip_equal(&a, &r.first));
		assert_int_equal(ip_parse(rows[i].last, &a), 0);
		assert_true(ip_equal(&a, &r.last));
		assert_int_equal(range_parse(range_format(&r, text), &again), 0);
		assert_memory_equal(&r, &again, sizeof(r));
	}
}

static void test_no_ranges(void **state)
{
	static const char *const texts[] = {
		"", "10.0.0.0", "10.0.0.1/24", "10.0.0.9-10.0.0.5/24", "10.0.0.5-10.0.1.9/24", "10.0.0.5-fd00::1/64",
		"10.0.0.5-/24", "-10.0.0.5/24", "10.0.0.5-10.0.0.9", "0.0.0.0/0", "10.0.0.1-10.0.0.2/33",
		"1111111111111111111111111111111111111111111111111111111111111111111111-10.0.0.9/24",
	};
	struct ip_range r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_true(range_parse(texts[i], &r) < 0);
}

/* ---- giving ---- */

static bool is_in_list(void *arg, const struct ip_addr *a)
{
	const char *text;
	char given[ADDR_TEXT_MAX];

	ip_format(a, given);
	for (const char *const *list = arg; (text = *list); list++)
		if (strcmp(text, given) == 0)
			return true;
	return false;
}

/* "" when there is none. */
static const char *next(const struct range_list *pools, bool v4, const char *after, const char *const *taken)
{
	static char text[ADDR_TEXT_MAX];
	struct ip_addr a = { { 0 } };
	struct ip_prefix p;

	if (*after)
		assert_int_equal(ip_parse(after, &a), 0);
	return pools_next(pools, v4, &a, is_in_list, (void *)taken, &p) ? prefix_format(&p, text) : "";
}

static void test_the_next_one_in_a_circle(void **state)
{
	struct ip_range r[3];
	struct range_list pools = { 3, r };
	static const char *const none[] = { NULL }, *const some[] = { "10.0.0.6", "10.0.0.7", NULL };
	static const char *const all[] = { "10.0.0.5", "10.0.0.6", "10.0.0.7", "10.1.0.8", NULL };

	(void)state;
	assert_int_equal(range_parse("10.0.0.5-10.0.0.7/24", &r[0]), 0);
	assert_int_equal(range_parse("fd00::/64", &r[1]), 0);
	assert_int_equal(range_parse("10.1.0.8-10.1.0.8/16", &r[2]), 0);
	assert_string_equal(next(&pools, true, "", none), "10.0.0.5/24");
	assert_string_equal(next(&pools, true, "10.0.0.5", none), "10.0.0.6/24");
	assert_string_equal(next(&pools, true, "10.0.0.5", some), "10.1.0.8/16");
	assert_string_equal(next(&pools, true, "10.1.0.8", none), "10.0.0.5/24");
	assert_string_equal(next(&pools, true, "10.0.0.7", all), "");
	assert_string_equal(next(&pools, false, "", none), "fd00::2/64");
	assert_string_equal(next(&pools, false, "fd00::2", none), "fd00::3/64");
	assert_string_equal(next(&pools, false, "fd00::ffff:ffff:ffff:ffff", none), "fd00::2/64");
}

static void test_not_the_networks_own(void **state)
{
	struct ip_range r;
	struct range_list pools = { 1, &r };
	static const char *const none[] = { NULL }, *const two[] = { "10.0.0.2", NULL };

	(void)state;
	assert_int_equal(range_parse("10.0.0.0/30", &r), 0);
	assert_string_equal(next(&pools, true, "", none), "10.0.0.2/30"); /* .0 the network, .1 the router, .3 all */
	assert_string_equal(next(&pools, true, "", two), "");
	assert_string_equal(next(&pools, true, "10.0.0.2", none), "10.0.0.2/30");
}

/* ---- the configuration ---- */

#define FILE_WITH(pools, service)                                                                  \
	"{\"zones\":[{\"name\":\"jitsu.example\",\"ns\":[\"ns.jitsu.example\"]}],"                 \
	"\"hypervisors\":[{\"name\":\"local\",\"uri\":\"test:///default\"}],"                      \
	"\"bridges\":[{\"name\":\"br0\",\"pools\":" pools "}],\"image_dirs\":[\"/images\"],"       \
	"\"services\":[{\"name\":\"www\",\"dns\":[\"www.jitsu.example\"]," service "}]}"
#define KERNEL(cmdline) "\"machine\":{\"kernel\":\"/images/k\",\"cmdline\":\"" cmdline "\"}"

static struct buf mistakes;

static struct conf *load(const char *text)
{
	buf_clear(&mistakes);
	return conf_parse("file", text, strlen(text), &mistakes);
}

static void refused(const char *text, const char *words)
{
	struct conf *c = load(text);

	conf_free(c);
	assert_null(c);
	if (!strstr(mistakes.text, words))
		fail_msg("\"%s\" is not in \"%s\"", words, mistakes.text);
}

static void test_services_that_want_one(void **state)
{
	cleanup_buf struct buf text = { 0 };
	struct conf *c = load(FILE_WITH("[\"10.0.0.0/24\",\"fd00::/64\"]",
					"\"ip\":[\"auto\",\"auto6\",\"10.0.0.9/24\"],\"gateway\":\"10.0.0.1\"," KERNEL("{ip} {ip6}")));
	const struct service_conf *s;

	(void)state;
	if (!c)
		fail_msg("%s", mistakes.text);
	s = &c->services.v[0];
	assert_int_equal(s->ip.n, 3);
	assert_false(service_ip_known(&s->ip.v[0]));
	assert_true(ip_is_v4(&s->ip.v[0].addr));
	assert_false(ip_is_v4(&s->ip.v[1].addr));
	assert_true(service_ip_known(&s->ip.v[2]));
	/* what was given stays unsaid */
	assert_int_equal(prefix_parse("10.0.0.7/24", &s->ip.v[0].prefix), 0);
	conf_print_service(s, &text);
	assert_non_null(strstr(text.text, "\"ip\":[\"auto\", \"auto6\", \"10.0.0.9/24\"]"));
	conf_free(c);
	/* of IPv6 where there is nothing else */
	c = load(FILE_WITH("[\"fd00::/64\"]", "\"ip\":[\"auto\"]," KERNEL("{ip6}")));
	assert_non_null(c);
	assert_false(ip_is_v4(&c->services.v[0].ip.v[0].addr));
	conf_free(c);
}

static void test_what_does_not_fit(void **state)
{
	(void)state;
	refused(FILE_WITH("[]", "\"ip\":[\"auto\"]," KERNEL("")), "ip[0]: bridge \"br0\" has no pools to take");
	refused(FILE_WITH("[\"10.0.0.0/24\"]", "\"ip\":[\"auto6\"]," KERNEL("")), "has no pools of IPv6");
	refused(FILE_WITH("[\"10.0.0.0/24\"]", "\"ip\":[\"auto\",\"auto\"]," KERNEL("")), "ip[1]: this is there twice");
	refused(FILE_WITH("[\"10.0.0.0/24\"]", "\"ip\":[\"auto\"],\"machine\":{\"domain\":\"d\"}"),
		"ip[0]: does not go with domain");
	refused(FILE_WITH("[\"10.0.0.0/24\"]", "\"ip\":[\"auto\"]," KERNEL("{ip6}")), "{ip6} needs an IPv6 address");
	refused(FILE_WITH("[\"10.0.0.0/24\"]", "\"ip\":[\"auto\"],\"gateway\":\"10.1.0.1\"," KERNEL("")),
		"\"10.1.0.1\" is in no network of ip");
	refused(FILE_WITH("[\"10.0.0.0/24\"]", "\"ip\":[\"auto\"],\"fallback_ip\":[\"fd00::9\"]," KERNEL("")),
		"ip has no IPv6 address");
	refused(FILE_WITH("[\"10.0.0.0/24\",\"10.0.0.5-10.0.0.9/24\"]", "\"ip\":[\"auto\"]," KERNEL("")),
		"pools[1]: has addresses that pools[0] has, too");
	refused(FILE_WITH("[\"127.0.0.0/24\"]", "\"ip\":[\"auto\"]," KERNEL("")),
		"pools[0]: these are no addresses of hosts");
	refused(FILE_WITH("[\"10.0.0.1/24\"]", "\"ip\":[\"auto\"]," KERNEL("")), "pools[0]: expected addresses and their");
}

/* ---- templates ---- */

#define TEMPLATE_WITH(more, machine)                                                               \
	"{\"zones\":[{\"name\":\"jitsu.example\",\"ns\":[\"ns.jitsu.example\"]}],"                 \
	"\"hypervisors\":[{\"name\":\"local\",\"uri\":\"test:///default\"}],"                      \
	"\"bridges\":[{\"name\":\"br0\",\"pools\":[\"10.0.0.0/24\"]}],\"image_dirs\":[\"/images\"],"  \
	"\"services\":[{\"name\":\"vm\"," more ",\"machine\":{\"kernel\":\"/images/k\"" machine "}}]}"
#define WILD "\"dns\":[\"*.vm.jitsu.example\"]"
#define OWN "\"dns\":[\"vm.jitsu.example\"]"
#define AUTO "\"ip\":[\"auto\"]"

static void test_templates(void **state)
{
	cleanup_buf struct buf text = { 0 };
	struct conf *c = load(TEMPLATE_WITH(WILD "," AUTO, ",\"cmdline\":\"name={label}\""));

	(void)state;
	if (!c)
		fail_msg("%s", mistakes.text);
	assert_true(conf_is_template(&c->services.v[0]));
	assert_int_equal(c->services.v[0].max_instances, 16);
	assert_int_equal(c->services.v[0].instance_ttl_ms, 600000);
	conf_free(c);
	c = load(TEMPLATE_WITH(OWN "," AUTO, ""));
	assert_false(conf_is_template(&c->services.v[0]));
	conf_print_service(&c->services.v[0], &text);
	assert_null(strstr(text.text, "instance"));
	conf_free(c);
}

static void test_no_templates(void **state)
{
	(void)state;
	refused(TEMPLATE_WITH(OWN "," AUTO ",\"max_instances\":3", ""), "max_instances: has no meaning without a name");
	refused(TEMPLATE_WITH(OWN "," AUTO ",\"instance_ttl\":\"3s\"", ""), "instance_ttl: has no meaning without a name");
	refused(TEMPLATE_WITH("\"dns\":[\"*.vm.jitsu.example\",\"vm.jitsu.example\"]," AUTO, ""), "a template has one name");
	refused(TEMPLATE_WITH("\"dns\":[\"vm.jitsu.example\",\"*.vm.jitsu.example\"]," AUTO, ""), "a template has one name");
	refused(TEMPLATE_WITH("\"dns\":[\"*.vm.example.org\"]," AUTO, ""), "is in none of the zones");
	refused(TEMPLATE_WITH("\"dns\":[\"a.*.jitsu.example\"]," AUTO, ""), "dns[0]: expected a host name");
	refused(TEMPLATE_WITH("\"dns\":[\"*a.jitsu.example\"]," AUTO, ""), "dns[0]: expected a host name");
	refused(TEMPLATE_WITH(WILD ",\"ip\":[\"10.0.0.9/24\"]", ""), "needs an address of its own");
	refused(TEMPLATE_WITH(WILD "," AUTO ",\"wake_dns\":\"off\"", ""), "instances are made for queries");
	refused(TEMPLATE_WITH(WILD "," AUTO, ",\"nics\":[{\"mac\":\"52:54:00:00:00:01\"}]"),
		"all instances of the template would have it");
	refused(TEMPLATE_WITH(WILD "," AUTO, ",\"disks\":[{\"path\":\"/images/d\"}]"), "would write to it");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges_are_what_they_say),
		cmocka_unit_test(test_no_ranges),
		cmocka_unit_test(test_the_next_one_in_a_circle),
		cmocka_unit_test(test_not_the_networks_own),
		cmocka_unit_test(test_services_that_want_one),
		cmocka_unit_test(test_what_does_not_fit),
		cmocka_unit_test(test_templates),
		cmocka_unit_test(test_no_templates),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	buf_free(&mistakes);
	return r;
}
