/* jitsuctl's commands about the registry: words become requests, rows text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cmd/edit.h"

static const struct term ascii = { .width = 80 };
static struct err e;

/* ---- records ---- */

static void assert_record(const char *expected, const struct record_word *words, size_t n)
{
	struct buf out = { 0 };

	assert_int_equal(record_build(words, n, &out, &e), 0);
	assert_string_equal(out.text, expected);
	buf_free(&out);
}
#define ASSERT_RECORD(expected, ...)                                        \
	assert_record(expected, (const struct record_word[]){ __VA_ARGS__ }, \
		      sizeof((const struct record_word[]){ __VA_ARGS__ }) / sizeof(struct record_word))

static void test_words_become_a_record(void **state)
{
	(void)state;
	ASSERT_RECORD("{\"ttl\":\"30s\"}", { "ttl", "30s" });
	ASSERT_RECORD("{\"dns\":[\"a.example\",\"b.example\",\"c.example\"],\"idle_timeout\":\"2s\"}",
		      { "idle-timeout", "2s" }, { "dns", "a.example,b.example" }, { "dns", "c.example" });
	ASSERT_RECORD("{\"ports\":[80,443],\"stop_force\":true,\"machine\":{\"kernel\":\"/k\",\"vcpus\":2}}",
		      { "kernel", "/k" }, { "ports", "80,443" }, { "machine.vcpus", "2" }, { "stop_force", "true" });
	ASSERT_RECORD("{\"machine\":{\"machine\":\"q35\"}}", { "machine", "q35" });
	ASSERT_RECORD("{\"ports\":[80],\"machine\":{\"cmdline\":\"a,b=c\"}}", { "cmdline", "a,b=c" }, { "ports", "[80]" });
	ASSERT_RECORD("{\"machine\":{\"disks\":[{\"path\":\"/a\",\"read_only\":true},{\"path\":\"/b\"}],"
		      "\"nics\":[{\"bridge\":\"br1\"}]}}",
		      { "disks", "/a,read-only=true" }, { "disks", "path=/b" }, { "nics", "{\"bridge\":\"br1\"}" });
	ASSERT_RECORD("{\"ttl\":null,\"ports\":null}", { "ttl", "" }, { "ports", "" }); /* as if never said */
	ASSERT_RECORD("{\"hold_udp\":\"many\",\"stop_force\":\"yes\"}", { "hold-udp", "many" }, { "stop-force", "yes" });
	assert_true(record_knows("fallback-ip") && record_knows("machine.kernel") && !record_knows("machine.ttl"));
}

static void assert_bad(const char *words, struct record_word a, struct record_word b)
{
	const struct record_word v[] = { a, b };
	struct buf out = { 0 };

	assert_true(record_build(v, b.key ? 2 : 1, &out, &e) < 0);
	if (!strstr(e.text, words))
		fail_msg("\"%s\" is not in \"%s\"", words, e.text);
	buf_free(&out);
}

static void test_bad_words(void **state)
{
	static const struct record_word none;

	(void)state;
	assert_bad("\"memroy\", did you mean \"memory\"", (struct record_word){ "memroy", "1" }, none);
	assert_bad("ttl is there twice", (struct record_word){ "ttl", "1s" }, (struct record_word){ "ttl", "2s" });
	assert_bad("ports: no valid JSON", (struct record_word){ "ports", "[80" }, none);
	assert_bad("disks: there is no option \"pth\", did you mean \"path\"",
		   (struct record_word){ "disks", "pth=/x" }, none);
}

static void test_help_fits_the_terminal(void **state)
{
	cleanup_buf struct buf out = { 0 };

	(void)state;
	record_help(&ascii, &out);
	for (const char *line = out.text; *line; line += strcspn(line, "\n") + 1)
		assert_in_range(strcspn(line, "\n"), 1, 80);
	assert_non_null(strstr(out.text, "\n  --memory           The VM's RAM\n"));
	/* a sentence, whatever dots are in it; what does not fit is under its beginning */
	assert_non_null(strstr(out.text, "domain, as\n                     xl.cfg(5) says, below one of image_dirs"));
}

/* ---- command lines ---- */

enum { ARGS_MAX = 16 };

static struct edit_options options;
static struct buf record;
static struct client_request q;

/* What the words of the line ask for; the error, or 0. */
static int request(const char *line)
{
	static char copy[512];
	char *argv[ARGS_MAX + 1] = { (char *)"jitsuctl" }, *rest = NULL;
	const struct edit_command *c;
	int argc = 1;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok_r(copy, " ", &rest); word && argc < ARGS_MAX; word = strtok_r(NULL, " ", &rest))
		argv[argc++] = word;
	buf_clear(&record);
	q = (struct client_request){ .n = -1, .revision = -1 };
	e = (struct err){ 0 };
	if (edit_take_options(&argc, argv, &options, &e) < 0)
		return e.code;
	c = edit_command_find(argv[1]);
	assert_non_null(c);
	if (edit_check(c, &options, argc - 2, &e) < 0)
		return e.code;
	return edit_request(c, &options, argc - 2, argv + 2, &record, &q, &e);
}

static void test_command_lines(void **state)
{
	(void)state;
	assert_int_equal(request("add www --dns www.example --ip=10.0.0.1/24 --kernel /k --dry-run"), 0);
	assert_string_equal(q.verb, "add");
	assert_string_equal(q.service, "www");
	assert_string_equal(q.record, "{\"dns\":[\"www.example\"],\"ip\":[\"10.0.0.1/24\"],"
				      "\"machine\":{\"kernel\":\"/k\"}}");
	assert_true(q.dry_run);
	assert_int_equal(request("set www ttl=3s machine.memory= --ports 80"), 0);
	assert_string_equal(q.record, "{\"ttl\":\"3s\",\"ports\":[80],\"machine\":{\"memory\":null}}");
	assert_false(q.dry_run);
	assert_int_equal(request("disable www"), 0);
	assert_string_equal(q.verb, "set");
	assert_string_equal(q.record, "{\"enabled\":false}");
	assert_int_equal(request("enable www"), 0);
	assert_string_equal(q.record, "{\"enabled\":null}");
	assert_int_equal(request("pin www up"), 0);
	assert_string_equal(q.to, "up");
	assert_int_equal(request("lease www 2h"), 0);
	assert_string_equal(q.verb, "pin");
	assert_string_equal(q.to, "2h");
	assert_int_equal(request("release www"), 0);
	assert_string_equal(q.to, "none");
	assert_int_equal(request("rename www web"), 0);
	assert_string_equal(q.to, "web");
	assert_int_equal(request("rollback 7"), 0);
	assert_int_equal(q.revision, 7);
	assert_null(q.service);
	assert_int_equal(request("history"), 0);
	assert_null(q.service);
	assert_int_equal(request("adopt Web.1 --dns www.example --hold off --dry-run"), 0);
	assert_string_equal(q.verb, "adopt");
	assert_null(q.service);
	assert_string_equal(q.record, "{\"dns\":[\"www.example\"],\"hold\":\"off\",\"machine\":{\"domain\":\"Web.1\"}}");
	assert_true(q.dry_run);
	assert_int_equal(request("adopt vm"), 0);
	assert_string_equal(q.record, "{\"machine\":{\"domain\":\"vm\"}}");
}

static void assert_wrong(const char *line, const char *words)
{
	assert_true(request(line) < 0);
	if (!strstr(e.text, words))
		fail_msg("\"%s\" is not in \"%s\"", words, e.text);
}

static void test_wrong_command_lines(void **state)
{
	(void)state;
	assert_wrong("add www", "nothing is said about it");
	assert_wrong("add www --dns", "--dns needs a value");
	assert_wrong("set www ttl", "expected KEY=VALUE");
	assert_wrong("adopt", "adopt takes DOMAIN");
	assert_wrong("adopt a b", "adopt takes DOMAIN");
	assert_wrong("remove", "remove takes NAME; \"jitsuctl help remove\" tells more");
	assert_wrong("remove www --ttl 3s", "remove takes no --ttl");
	assert_wrong("history --dry-run", "takes no --dry-run");
	assert_wrong("set www -f /nowhere/x", "cannot read /nowhere/x");
	assert_wrong("pin www 2h", "expected up or down");
	assert_wrong("diff seven", "is no revision's number");
	assert_wrong("export there", "export takes no argument; \"jitsuctl help export\" tells more");
}

static void test_other_commands_keep_their_options(void **state)
{
	char *argv[] = { (char *)"jitsuctl", (char *)"log", (char *)"-f", (char *)"--ttl", NULL };
	int argc = 4;

	(void)state;
	assert_int_equal(edit_take_options(&argc, argv, &options, &e), 0);
	assert_int_equal(argc, 4);
	assert_false(edit_options_given(&options));
}

static void test_a_file_with_words_on_top(void **state)
{
	char path[] = "/tmp/jitsu-edit-XXXXXX", line[128];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	dprintf(fd, "{\"name\": \"www\", \"ttl\": \"5s\", \"machine\": {\"kernel\": \"/k\"}}");
	close(fd);
	snprintf(line, sizeof(line), "add -f %s --memory 1GiB --ttl 9s", path);
	assert_int_equal(request(line), 0);
	assert_null(q.service);
	assert_string_equal(q.record, "{\"name\":\"www\",\"ttl\":\"9s\","
				      "\"machine\":{\"kernel\":\"/k\",\"memory\":\"1GiB\"}}");
	unlink(path);
}

/* ---- parts of an import ---- */

struct parts {
	unsigned n, services;
	bool last;
};

static int count_part(void *arg, const char *text, bool last)
{
	struct parts *p = arg;
	struct json_place at;
	struct json *doc = json_parse(text, strlen(text), &at, &e);

	assert_non_null(doc);
	assert_true(strlen(text) < 32 * 1024);
	assert_false(p->last);
	for (const struct json_node *v = json_first(json_get(json_root(doc), "services")); v; v = json_next(v))
		p->services++;
	p->n++;
	p->last = last;
	json_free(doc);
	return 0;
}

static void test_an_import_comes_in_parts(void **state)
{
	char path[] = "/tmp/jitsu-edit-XXXXXX";
	FILE *f = fdopen(mkstemp(path), "w");
	struct parts p = { 0 };

	(void)state;
	fputs("{\"services\": [", f);
	for (int i = 0; i < 1000; i++)
		fprintf(f, "%s{\"name\": \"s%d\", \"machine\": {\"cmdline\": \"%0100d\"}}", i ? "," : "", i, i);
	fputs("]}", f);
	fclose(f);
	assert_int_equal(edit_split(path, count_part, &p, &e), 0);
	assert_int_equal(p.services, 1000);
	assert_true(p.last && p.n > 3);
	f = fopen(path, "w");
	fputs("{\"service\": []}", f);
	fclose(f);
	assert_int_equal(edit_split(path, count_part, &p, &e), -EINVAL);
	f = fopen(path, "w");
	fputs("[]", f);
	fclose(f);
	p = (struct parts){ 0 };
	assert_int_equal(edit_split(path, count_part, &p, &e), 0); /* with --exact: nothing is left */
	assert_true(p.n == 1 && p.last && p.services == 0);
	unlink(path);
}

/* ---- answers ---- */

typedef void render_fn(const struct json_node *row, const struct term *t, uint64_t now, struct buf *out);

static void assert_text(render_fn *render, const char *row, const char *expected)
{
	struct json_place at;
	struct json *doc = json_parse(row, strlen(row), &at, &e);
	struct buf out = { 0 };

	assert_non_null(doc);
	render(json_root(doc), &ascii, 0, &out);
	assert_string_equal(out.text, expected);
	json_free(doc);
	buf_free(&out);
}

static void test_answers(void **state)
{
	(void)state;
	setenv("TZ", "UTC", 1);
	assert_text(edit_render_result, "{\"revision\":7,\"changes\":1,\"dry_run\":false}", "revision 7\n");
	assert_text(edit_render_result, "{\"revision\":7,\"changes\":1,\"dry_run\":false,\"remarks\":[\"one\",\"two\"]}",
		    "revision 7\none\ntwo\n");
	assert_text(edit_render_result, "{\"revision\":0,\"changes\":0,\"dry_run\":false}",
		    "nothing changes: it is so already\n");
	assert_text(edit_render_result, "{\"revision\":0,\"changes\":2,\"dry_run\":true}",
		    "good: it would change 2 objects; nothing was changed\n");
	assert_text(edit_render_result,
		    "{\"revision\":0,\"kind\":\"service\",\"name\":\"www\",\"option\":\"domain\",\"after\":\"\\\"x\\\"\"}",
		    "www domain: + \"x\"\n");
	assert_text(edit_render_revision,
		    "{\"revision\":7,\"wall_ms\":1700000000000,\"uid\":0,\"user\":\"root\","
		    "\"command\":\"set www {\\u0007}\"}",
		    "     7  2023-11-14 22:13:20  root        set www {?}\n");
	assert_text(edit_render_revision,
		    "{\"revision\":8,\"wall_ms\":0,\"uid\":1001,\"user\":\"\",\"command\":\"remove www\"}",
		    "     8  1970-01-01 00:00:00  uid 1001    remove www\n");
	assert_text(edit_render_difference,
		    "{\"kind\":\"service\",\"name\":\"www\",\"option\":\"ttl\","
		    "\"before\":\"\\\"1s\\\"\",\"after\":\"\\\"2s\\\"\"}",
		    "www ttl: \"1s\" -> \"2s\"\n");
	assert_text(edit_render_difference,
		    "{\"kind\":\"order\",\"name\":\"www\",\"option\":\"pin\",\"after\":\"\\\"up\\\"\"}",
		    "www (order) pin: + \"up\"\n");
	assert_text(edit_render_difference,
		    "{\"kind\":\"service\",\"name\":\"www\",\"option\":\"ports\",\"before\":\"[80]\"}",
		    "www ports: - [80]\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_become_a_record),
		cmocka_unit_test(test_bad_words),
		cmocka_unit_test(test_help_fits_the_terminal),
		cmocka_unit_test(test_command_lines),
		cmocka_unit_test(test_wrong_command_lines),
		cmocka_unit_test(test_other_commands_keep_their_options),
		cmocka_unit_test(test_a_file_with_words_on_top),
		cmocka_unit_test(test_an_import_comes_in_parts),
		cmocka_unit_test(test_answers),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	buf_free(&record);
	return failed;
}
