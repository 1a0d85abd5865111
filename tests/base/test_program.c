/* Programs that are run only if nobody else can change them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/msg.h"
#include "base/program.h"

enum { SOMEBODY = 12345 };

static char root[64];

static const char *at(const char *below)
{
	static char path[4][256];
	static unsigned i;
	char *p = path[i++ % 4];

	snprintf(p, 256, "%s/%s", root, below);
	return p;
}

/* ROOT/sub/run, which is good. */
static int make_tree(void **state)
{
	FILE *f;

	(void)state;
	umask(022);
	strcpy(root, "/tmp/jitsu-program.XXXXXX");
	if (!mkdtemp(root) || mkdir(at("sub"), 0755) < 0)
		return -1;
	f = fopen(at("sub/run"), "w");
	if (!f)
		return -1;
	fclose(f);
	return chmod(at("sub/run"), 0755);
}

static int remove_tree(void **state)
{
	char line[128];

	(void)state;
	snprintf(line, sizeof(line), "rm -rf '%s'", root);
	return system(line);
}

static void refused(const char *path, int code, const char *words)
{
	struct err e = { 0 };

	assert_int_equal(program_check(path, geteuid(), &e), code);
	assert_non_null(strstr(e.text, path));
	assert_non_null(strstr(e.text, words));
}

static void good(const char *path, uid_t user)
{
	struct err e = { 0 };

	if (program_check(path, user, &e) < 0)
		fail_msg("%s", e.text);
}

static void test_paths(void **state)
{
	char longest[MSG_PATH_MAX + 1];

	(void)state;
	memset(longest, 'a', sizeof(longest) - 1);
	longest[0] = '/';
	longest[MSG_PATH_MAX] = '\0';
	assert_false(path_is_plain(longest));
	longest[MSG_PATH_MAX - 1] = '\0';
	assert_true(path_is_plain(longest));
	good(at("sub/run"), geteuid());
	refused("run", -EINVAL, "absolute");
	refused("/", -EINVAL, "absolute");
	refused("", -EINVAL, "absolute");
	refused(at("sub/../sub/run"), -EINVAL, "absolute");
	refused(at("./sub/run"), -EINVAL, "absolute");
	refused(at("sub//run"), -EINVAL, "absolute");
	refused(at("sub/run/"), -EINVAL, "absolute");
	refused(at("sub/none"), -ENOENT, "there is no");
	refused(at("none/run"), -ENOENT, at("none"));
	refused(at("sub"), -EACCES, "no file");
}

static void test_links(void **state)
{
	(void)state;
	assert_int_equal(symlink("run", at("sub/link")), 0);
	assert_int_equal(symlink("sub", at("way")), 0);
	refused(at("sub/link"), -ELOOP, "real path");
	refused(at("way/run"), -ELOOP, at("way"));
}

static void test_who_writes(void **state)
{
	static const mode_t bits[] = { 0020, 0002, 0022 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		chmod(at("sub/run"), 0755 | bits[i]);
		refused(at("sub/run"), -EPERM, "chmod go-w");
		chmod(at("sub/run"), 0755);
		chmod(at("sub"), 0755 | bits[i]);
		refused(at("sub/run"), -EPERM, "sub can be written");
		chmod(at("sub"), 01755 | bits[i]); /* nobody replaces what is not his */
		good(at("sub/run"), geteuid());
		chmod(at("sub"), 0755);
		chmod(root, 0755 | bits[i]);
		refused(at("sub/run"), -EPERM, root);
		chmod(root, 0755);
	}
	chmod(at("sub/run"), 0644);
	refused(at("sub/run"), -EACCES, "chmod +x");
}

/* Root and the one whom it is run by, and no third. */
static void test_whose(void **state)
{
	struct err e = { 0 };

	(void)state;
	if (geteuid() != 0) {
		assert_int_equal(program_check(at("sub/run"), SOMEBODY, &e), -EPERM);
		skip();
	}
	good(at("sub/run"), SOMEBODY);
	assert_int_equal(chown(at("sub/run"), SOMEBODY, 0), 0);
	good(at("sub/run"), SOMEBODY);
	refused(at("sub/run"), -EPERM, "belongs to user 12345");
	assert_int_equal(program_check(at("sub/run"), SOMEBODY + 1, &e), -EPERM);
	assert_int_equal(chown(at("sub/run"), 0, 0), 0);
	assert_int_equal(chown(at("sub"), SOMEBODY, 0), 0);
	refused(at("sub/run"), -EPERM, "chown root");
	good(at("sub/run"), SOMEBODY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_tree, remove_tree)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_paths), TEST(test_links), TEST(test_who_writes), TEST(test_whose),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
