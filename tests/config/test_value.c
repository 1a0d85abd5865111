/* The small languages of values: what they take, what they refuse, and that what is formatted reads
 * back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/value.h"

struct number_row {
	const char *text;
	int r;
	uint64_t value;
};

typedef int parse_number_fn(const char *text, uint64_t *out);

static void check_numbers(parse_number_fn *parse, const struct number_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t v = 4711;
		int r = parse(rows[i].text, &v);

		if (r != rows[i].r || v != (r ? 4711 : rows[i].value))
			fail_msg("\"%s\": expected %d %llu, got %d %llu", rows[i].text, rows[i].r,
			         (unsigned long long)rows[i].value, r, (unsigned long long)v);
	}
}

static void test_durations(void **state)
{
	static const struct number_row rows[] = {
		{ "500ms", 0, 500 },
		{ "1s", 0, 1000 },
		{ "60s", 0, 60000 },
		{ "2m", 0, 120000 },
		{ "90m", 0, 5400000 },
		{ "1h", 0, 3600000 },
		{ "7d", 0, 604800000 },
		{ "0", 0, 0 },
		{ "0s", 0, 0 },
		{ "00", 0, 0 },
		{ "18446744073709551613ms", 0, UINT64_MAX - 2 },
		{ "", -EINVAL, 0 },
		{ "60", -EINVAL, 0 },
		{ "s", -EINVAL, 0 },
		{ "60 s", -EINVAL, 0 },
		{ " 60s", -EINVAL, 0 },
		{ "60s ", -EINVAL, 0 },
		{ "60S", -EINVAL, 0 },
		{ "60sec", -EINVAL, 0 },
		{ "1h30m", -EINVAL, 0 },
		{ "1.5h", -EINVAL, 0 },
		{ "-1s", -EINVAL, 0 },
		{ "+1s", -EINVAL, 0 },
		{ "0x10s", -EINVAL, 0 },
		{ "1e3s", -EINVAL, 0 },
		{ "never", -EINVAL, 0 },
		{ "auto", -EINVAL, 0 },
		/* these two values stand for "auto" and "never" */
		{ "18446744073709551614ms", -ERANGE, 0 },
		{ "18446744073709551615ms", -ERANGE, 0 },
		{ "18446744073709551616ms", -ERANGE, 0 },
		{ "99999999999999999999999ms", -ERANGE, 0 },
		{ "18446744073709552s", -ERANGE, 0 },
		{ "213503982334602d", -ERANGE, 0 },
	};

	(void)state;
	check_numbers(duration_parse, rows, ARRAY_SIZE(rows));
}

static void test_sizes(void **state)
{
	static const struct number_row rows[] = {
		{ "0", 0, 0 },
		{ "1B", 0, 1 },
		{ "64KiB", 0, 64 << 10 },
		{ "16MiB", 0, 16 << 20 },
		{ "1GiB", 0, 1 << 30 },
		{ "3TiB", 0, 3ull << 40 },
		{ "16777215TiB", 0, 16777215ull << 40 },
		{ "", -EINVAL, 0 },
		{ "64", -EINVAL, 0 },
		{ "MiB", -EINVAL, 0 },
		{ "64MB", -EINVAL, 0 },
		{ "64M", -EINVAL, 0 },
		{ "64mib", -EINVAL, 0 },
		{ "1.5GiB", -EINVAL, 0 },
		{ "-1B", -EINVAL, 0 },
		{ "64 MiB", -EINVAL, 0 },
		{ "64MiBs", -EINVAL, 0 },
		{ "16777216TiB", -ERANGE, 0 },
		{ "18446744073709551616B", -ERANGE, 0 },
	};

	(void)state;
	check_numbers(size_parse, rows, ARRAY_SIZE(rows));
}

static int parse_percent(const char *text, uint64_t *out)
{
	uint32_t v = 0;
	int r = percent_parse(text, &v);

	if (r == 0)
		*out = v;
	return r;
}

static void test_percentages(void **state)
{
	static const struct number_row rows[] = {
		{ "0%", 0, 0 },
		{ "80%", 0, 80 },
		{ "100%", 0, 100 },
		{ "101%", -ERANGE, 0 },
		{ "80", -EINVAL, 0 },
		{ "%", -EINVAL, 0 },
		{ "80%%", -EINVAL, 0 },
		{ "-1%", -EINVAL, 0 },
		{ "8.5%", -EINVAL, 0 },
		{ "80 %", -EINVAL, 0 },
		{ "4294967376%", -ERANGE, 0 },
	};

	(void)state;
	check_numbers(parse_percent, rows, ARRAY_SIZE(rows));
}

static void test_rates(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint32_t n;
		uint64_t period_ms;
	} rows[] = {
		{ "30/min", 0, 30, 60000 },
		{ "1/s", 0, 1, 1000 },
		{ "4294967295/h", 0, UINT32_MAX, 3600000 },
		{ "0/s", 0, 0, 1000 },
		{ "30", -EINVAL, 0, 0 },
		{ "30/", -EINVAL, 0, 0 },
		{ "/min", -EINVAL, 0, 0 },
		{ "30/m", -EINVAL, 0, 0 },
		{ "30/minute", -EINVAL, 0, 0 },
		{ "30 /s", -EINVAL, 0, 0 },
		{ "-3/s", -EINVAL, 0, 0 },
		{ "4294967296/h", -ERANGE, 0, 0 },
		{ "", -EINVAL, 0, 0 },
		{ "3.5/min", -EINVAL, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t period = 7;
		uint32_t n = 7;

		assert_int_equal(rate_parse(rows[i].text, &n, &period), rows[i].r);
		assert_int_equal(n, rows[i].r ? 7 : rows[i].n);
		assert_int_equal(period, rows[i].r ? 7 : rows[i].period_ms);
	}
}

static void assert_same_rule(const struct ready_rule *a, const struct ready_rule *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->port, b->port);
	assert_true(a->delay_ms == b->delay_ms);
	assert_string_equal(a->key, b->key);
}

static void test_ready_rules(void **state)
{
	static const struct {
		const char *text;
		int r;
		struct ready_rule rule;
	} rows[] = {
		{ "arp", 0, { .kind = READY_ARP } },
		{ "tcp", 0, { .kind = READY_TCP } },
		{ "tcp:1", 0, { .kind = READY_TCP_PORT, .port = 1 } },
		{ "tcp:65535", 0, { .kind = READY_TCP_PORT, .port = 65535 } },
		{ "delay:500", 0, { .kind = READY_DELAY, .delay_ms = 500 } },
		{ "delay:500ms", 0, { .kind = READY_DELAY, .delay_ms = 500 } },
		{ "delay:2s", 0, { .kind = READY_DELAY, .delay_ms = 2000 } },
		{ "delay:0", 0, { .kind = READY_DELAY } },
		{ "delay:1h", 0, { .kind = READY_DELAY, .delay_ms = 3600000 } },
		{ "guest", 0, { .kind = READY_GUEST } },
		{ "xenstore:data/up", 0, { .kind = READY_KEY, .key = "data/up" } },
		{ "xenstore:a-Z_0@9", 0, { .kind = READY_KEY, .key = "a-Z_0@9" } },
		{ "xenstore:12345678901234567890123456789012345678901234567890123", 0,
		  { .kind = READY_KEY, .key = "12345678901234567890123456789012345678901234567890123" } },
		{ .text = "xenstore:123456789012345678901234567890123456789012345678901234", .r = -ERANGE },
		{ .text = "guest:", .r = -EINVAL },
		{ .text = "xenstore", .r = -EINVAL },
		{ .text = "xenstore:", .r = -EINVAL },
		{ .text = "xenstore:/local/domain/1/data", .r = -EINVAL },
		{ .text = "xenstore:data/", .r = -EINVAL },
		{ .text = "xenstore:data//up", .r = -EINVAL },
		{ .text = "xenstore:../2/data", .r = -EINVAL },
		{ .text = "xenstore:data/../../2", .r = -EINVAL },
		{ .text = "xenstore:data up", .r = -EINVAL },
		{ .text = "", .r = -EINVAL },
		{ .text = "ARP", .r = -EINVAL },
		{ .text = "arp ", .r = -EINVAL },
		{ .text = "tcp:", .r = -EINVAL },
		{ .text = "tcp:http", .r = -EINVAL },
		{ .text = "tcp:80x", .r = -EINVAL },
		{ .text = "tcp:-1", .r = -EINVAL },
		{ .text = "tcp:0", .r = -ERANGE },
		{ .text = "tcp:65536", .r = -ERANGE },
		{ .text = "tcp:99999999999999999999", .r = -ERANGE },
		{ .text = "udp:53", .r = -EINVAL },
		{ .text = "delay", .r = -EINVAL },
		{ .text = "delay:", .r = -EINVAL },
		{ .text = "delay:soon", .r = -EINVAL },
		{ .text = "delay:-1", .r = -EINVAL },
		{ .text = "delay:1h1ms", .r = -EINVAL },
		{ .text = "delay:3600001", .r = -ERANGE },
		{ .text = "delay:2h", .r = -ERANGE },
		{ .text = "delay:99999999999999999999", .r = -ERANGE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct ready_rule rule = { .port = 9 };

		if (ready_parse(rows[i].text, &rule) != rows[i].r)
			fail_msg("\"%s\"", rows[i].text);
		if (rows[i].r)
			assert_int_equal(rule.port, 9);
		else
			assert_same_rule(&rule, &rows[i].rule);
	}
}

static void test_formatted_values_read_back(void **state)
{
	static const uint64_t numbers[] = {
		0, 1, 999, 1000, 1500, 60000, 604800000, 1 << 20, (1 << 20) + 1, 3ull << 40, UINT64_MAX - 2
	};
	char text[VALUE_TEXT_MAX];
	struct ready_rule rule, back;
	uint64_t v, period;
	uint32_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		assert_int_equal(duration_parse(duration_format(numbers[i], text), &v), 0);
		assert_true(v == numbers[i]);
		assert_int_equal(size_parse(size_format(numbers[i], text), &v), 0);
		assert_true(v == numbers[i]);
	}
	assert_int_equal(rate_parse(rate_format(30, 60000, text), &n, &period), 0);
	assert_string_equal(text, "30/min");
	assert_string_equal(rate_format(5, 3600000, text), "5/h");
	assert_string_equal(rate_format(UINT32_MAX, 1000, text), "4294967295/s");
	for (int kind = READY_ARP; kind <= READY_DELAY; kind++) {
		rule = (struct ready_rule){ .kind = (enum ready_kind)kind };
		rule.port = kind == READY_TCP_PORT ? 8080 : 0;
		rule.delay_ms = kind == READY_DELAY ? 1500 : 0;
		assert_int_equal(ready_parse(ready_format(&rule, text), &back), 0);
		assert_same_rule(&rule, &back);
	}
}

static void test_formats(void **state)
{
	char text[VALUE_TEXT_MAX];

	(void)state;
	assert_string_equal(duration_format(DURATION_NEVER, text), "never");
	assert_string_equal(duration_format(DURATION_AUTO, text), "auto");
	assert_string_equal(duration_format(120000, text), "120s");
	assert_string_equal(duration_format(1500, text), "1500ms");
	assert_string_equal(duration_format(0, text), "0s");
	assert_string_equal(size_format(0, text), "0B");
	assert_string_equal(size_format(64 << 20, text), "64MiB");
	assert_string_equal(size_format(1536, text), "1536B");
	assert_string_equal(size_format(1ull << 40, text), "1TiB");
	assert_true(value_lacks_unit("60"));
	assert_false(value_lacks_unit("60s"));
	assert_false(value_lacks_unit(""));
}

static void test_kinds_of_text(void **state)
{
	static const struct {
		const struct text_kind *kind;
		const char *good[8], *bad[16];
	} rows[] = {
		{ &text_name,
		  { "www", "a", "7", "a-b", "0--9", "abcdefghijklmnopqrstuvwxyz0123456789-abc" },
		  { "", "-", "-a", "a-", "Www", "a.b", "a_b", "a b", "\xc3\xa9",
		    "abcdefghijklmnopqrstuvwxyz0123456789-abcd" } },
		{ &text_host,
		  { "example", "www.Example.org", "_dmarc.a-b.c", "3com.net", "1.168.192.in-addr.arpa",
		    "xn--e1afmkfd.x" },
		  { "", ".", "a.", ".a", "a..b", "-a.b", "a-.b", "a b", "a@b", "\xc3\xa9.org", "10.0.0.1",
		    "a.1", "a/b", "*.a" } },
		{ &text_ifname,
		  { "br0", "br-lan", "Bridge.7", "abcdefghijklmno" },
		  { "", ".", "..", "a/b", "a b", "a:b", "abcdefghijklmnop", "br0\n" } },
		{ &text_user,
		  { "root", "_dns", "jitsu-ctl", "u1" },
		  { "", "1u", "-u", "Root", "a b", "a:b", "a.b", "a$" } },
		{ &text_path,
		  { "/a", "/var/lib/jitsu", "/a b/c.d", "/...", "/.hidden", "/a..b" },
		  { "", "/", "a", "a/b", "/a/", "//a", "/a//b", "/a/./b", "/a/..", "/../a", "/a/.", "./a",
		    "/a\nb", "/a\x7f" } },
		{ &text_run_dir,
		  { "/run/jitsu" },
		  { "", "run", "/run/../x",
		    "/run/0123456789012345678901234567890123456789012345678901234567890" } },
		{ &text_uri,
		  { "qemu:///system", "qemu:///embed?root=/a", "qemu+ssh://host/system", "test:///default" },
		  { "", "qemu", "qemu:", "qemu:/a", "://a", "1q:///a", "Qemu:///system", "qemu:///a b",
		    "qemu:///a\n", "q_q:///a" } },
		{ &text_domain,
		  { "postgres", "My VM", "c7a5fdbd-edaf-9455-926a-d65c16db1809" },
		  { "", "a/b", "a\nb", "\x1b[1m" } },
		{ &text_cmdline, { "", "a=b c", "ip={ip}" }, { "a\nb", "\t", "\x7f" } },
		{ &text_ip,
		  { "10.0.0.1", "fd00::1" },
		  { "", "10.0.0", "10.0.0.1/8", "fd00::g", "localhost" } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(rows[i].good) && rows[i].good[k]; k++) {
			if (!text_ok(rows[i].kind, rows[i].good[k]))
				fail_msg("%s: \"%s\" was refused", rows[i].kind->expected, rows[i].good[k]);
		}
		for (size_t k = 0; k < ARRAY_SIZE(rows[i].bad) && rows[i].bad[k]; k++) {
			if (text_ok(rows[i].kind, rows[i].bad[k]))
				fail_msg("%s: \"%s\" was taken", rows[i].kind->expected, rows[i].bad[k]);
		}
	}
}

/* Labels of 63, names of 253; each text kind at its limit and over it. */
static void test_lengths(void **state)
{
	char text[MSG_CMDLINE_MAX + 1], host[256];

	(void)state;
	memset(host, 'a', 255);
	host[63] = host[127] = host[191] = '.';
	host[253] = '\0';
	assert_true(text_ok(&text_host, host));
	host[253] = 'a';
	host[254] = '\0';
	assert_false(text_ok(&text_host, host));
	host[252] = '\0';
	host[63] = 'a';
	assert_false(text_ok(&text_host, host));

	memset(text, 'a', sizeof(text));
	text[MSG_CMDLINE_MAX] = '\0';
	assert_false(text_ok(&text_cmdline, text));
	text[MSG_CMDLINE_MAX - 1] = '\0';
	assert_true(text_ok(&text_cmdline, text));
	text[0] = '/';
	text[MSG_PATH_MAX] = '\0';
	assert_false(text_ok(&text_path, text));
	text[MSG_PATH_MAX - 1] = '\0';
	assert_true(text_ok(&text_path, text));
	text[MSG_NAME_MAX * 2] = '\0';
	assert_false(text_ok(&text_domain, text + 1) && text_ok(&text_domain, text));
	assert_true(text_ok(&text_domain, text + 1));
}

static void test_command_lines(void **state)
{
	static const struct {
		const char *text, *says; /* says NULL: it is good */
	} rows[] = {
		{ "", NULL },
		{ "quiet console=ttyS0", NULL },
		{ "ip={ip}/{prefix} gw={gw} mac={mac} name={name} boot={boot} ip6={ip6}", NULL },
		{ "a={{b}", NULL },
		{ "{{{ip}}", NULL },
		{ "}", NULL },
		{ "x={ipp}", "unknown placeholder {ipp}, did you mean {ip}?" },
		{ "x={nmae}", "did you mean {name}?" },
		{ "x={IP}", "did you mean {ip}?" },
		{ "x={whatever}", "unknown placeholder {whatever}: there are {ip}" },
		{ "x={}", "unknown placeholder {}" },
		{ "x={ip", "no '}' ends it" },
		{ "x={", "no '}' ends it" },
		{ "x={ip{gw}}", "no '}' ends it" },
		{ "{{{", "no '}' ends it" },
		{ "{ip} {{ {gx}", "did you mean {gw}?" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err e = { 0 };
		int r = cmdline_check(rows[i].text, &e);

		assert_int_equal(r, rows[i].says ? -EINVAL : 0);
		if (rows[i].says && !strstr(e.text, rows[i].says))
			fail_msg("%s: %s", rows[i].text, e.text);
	}
}

static void test_command_lines_use_words(void **state)
{
	(void)state;
	assert_true(cmdline_uses("a={ip}/{prefix}", "prefix"));
	assert_true(cmdline_uses("{{{ip}", "ip"));
	assert_false(cmdline_uses("a={ip6}", "ip"));
	assert_false(cmdline_uses("a={{ip}", "ip"));
	assert_false(cmdline_uses("", "ip"));
}

static void test_base64(void **state)
{
	static const struct {
		const char *text;
		int n; /* or -errno */
		const char *bytes;
	} rows[] = { /* RFC 4648, 10 */
		{ "Zg==", 1, "f" }, { "Zm8=", 2, "fo" }, { "Zm9v", 3, "foo" }, { "Zm9vYg==", 4, "foob" },
		{ "Zm9vYmE=", 5, "fooba" }, { "Zm9vYmFy", 6, "foobar" }, { "+/+/", 3, "\xfb\xff\xbf" },
		{ "", -EINVAL, "" }, { "Zg=", -EINVAL, "" }, { "Zg", -EINVAL, "" }, { "Z===", -EINVAL, "" },
		{ "Zg==Zg==", -EINVAL, "" }, { "Zm9 ", -EINVAL, "" }, { "Zm-v", -EINVAL, "" },
		{ "Zm9vYmFyZg==", -ERANGE, "" },
	};
	uint8_t out[6];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (base64_parse(rows[i].text, out, sizeof(out)) != rows[i].n)
			fail_msg("%s", rows[i].text);
		if (rows[i].n > 0)
			assert_memory_equal(out, rows[i].bytes, rows[i].n);
	}
	assert_true(text_ok(&text_tsig_secret, "AAECAwQFBgcICQoLDA0ODw=="));
	assert_false(text_ok(&text_tsig_secret, "AAECAwQFBgcICQoLDA0O"));
}

static void test_paths_below(void **state)
{
	(void)state;
	assert_true(path_is_below("/images/a", "/images"));
	assert_true(path_is_below("/images/a/b", "/images"));
	assert_false(path_is_below("/images", "/images"));
	assert_false(path_is_below("/images2/a", "/images"));
	assert_false(path_is_below("/", "/images"));
	assert_false(path_is_below("/other/images/a", "/images"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_percentages),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_ready_rules),
		cmocka_unit_test(test_formatted_values_read_back),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_kinds_of_text),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_command_lines),
		cmocka_unit_test(test_command_lines_use_words),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_paths_below),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
