#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "launcher/image.h"

/* ROOT/images (root's, 0755)/sub/kernel and more: needs root, since all must be root's. */
static char root[64];
static char images[80];

static const char *at(const char *below)
{
	static char path[4][256];
	static unsigned i;
	char *p = path[i++ % 4];

	snprintf(p, 256, "%s/%s", images, below);
	return p;
}

static void put_file(const char *path, mode_t mode)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs("kernel", f);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

static int make_tree(void **state)
{
	(void)state;
	umask(022);
	strcpy(root, "/tmp/jitsu-image.XXXXXX");
	if (!mkdtemp(root) || chmod(root, 0755) < 0)
		return -1;
	snprintf(images, sizeof(images), "%s/images", root);
	if (mkdir(images, 0755) < 0 || mkdir(at("sub"), 0755) < 0)
		return -1;
	put_file(at("sub/kernel"), 0644);
	put_file(at("kernel"), 0644);
	return 0;
}

static int remove_tree(void **state)
{
	char line[128];

	(void)state;
	snprintf(line, sizeof(line), "rm -rf '%s'", root);
	return system(line);
}

static void needs_root(void)
{
	if (geteuid() != 0) {
		print_message("the files must be root's\n");
		skip();
	}
}

static int check_as(const char *path, enum image_kind kind, const struct image_reader *reader, const char *words)
{
	char *v[] = { (char *)"/nonexistent", images };
	struct string_list dirs = { 2, v };
	struct image_file f = { .size = 99 };
	struct err e = { 0 };
	int r = image_check(&dirs, path, kind, reader, &f, &e);

	if (r < 0) {
		assert_int_equal(f.size, 99);
		assert_int_equal(e.code, r);
		assert_non_null(strstr(e.text, path)); /* always told which */
		if (words && !strstr(e.text, words))
			fail_msg("no \"%s\" in: %s", words, e.text);
	} else {
		assert_int_equal(f.size, 6);
		assert_true(f.ino != 0);
	}
	return r;
}

static int check(const char *path, const char *words) { return check_as(path, IMAGE_KERNEL, NULL, words); }

static void test_paths_that_are_not_plain(void **state)
{
	static const char *const bad[] = { "kernel",	      "",	     "/nonexistent/../etc/passwd",
					   "/nonexistent/./x", "/nonexistent//x", "/nonexistent/x/" };
	char *v[] = { (char *)"/nonexistent" };
	struct string_list dirs = { 1, v };
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(image_check(&dirs, bad[i], IMAGE_KERNEL, NULL, NULL, &e), -EINVAL);
}

static void test_outside_image_dirs(void **state)
{
	char *v[] = { (char *)"/nonexistent/", (char *)"/var/lib/x" };
	struct string_list dirs = { 2, v }, none = { 0, NULL };
	struct err e;

	(void)state;
	assert_int_equal(image_check(&dirs, "/etc/passwd", IMAGE_KERNEL, NULL, NULL, &e), -EACCES);
	assert_int_equal(image_check(&dirs, "/nonexistent2/k", IMAGE_KERNEL, NULL, NULL, &e), -EACCES);
	assert_int_equal(image_check(&dirs, "/nonexistent", IMAGE_KERNEL, NULL, NULL, &e), -EACCES);
	assert_int_equal(image_check(&none, "/etc/passwd", IMAGE_KERNEL, NULL, NULL, &e), -EACCES);
	assert_non_null(strstr(e.text, "image_dirs"));
	assert_int_equal(image_check(&dirs, "/nonexistent/k", IMAGE_KERNEL, NULL, NULL, &e), -ENOENT);
}

static void test_good_files(void **state)
{
	(void)state;
	needs_root();
	assert_int_equal(check(at("kernel"), NULL), 0);
	assert_int_equal(check(at("sub/kernel"), NULL), 0);
	assert_int_equal(check_as(at("sub/kernel"), IMAGE_INITRD, NULL, NULL), 0);
	assert_int_equal(check_as(at("sub/kernel"), IMAGE_DISK, NULL, NULL), 0);
}

static void test_missing(void **state)
{
	(void)state;
	needs_root();
	assert_int_equal(check(at("nope"), "is not there"), -ENOENT);
	assert_int_equal(check(at("nope/kernel"), "there is no"), -ENOENT);
	assert_int_equal(check(at("kernel/kernel"), "no directory"), -ENOTDIR);
}

static void test_links(void **state)
{
	(void)state;
	needs_root();
	assert_int_equal(symlink(at("sub/kernel"), at("link")), 0);
	assert_int_equal(symlink("sub", at("dirlink")), 0);
	assert_int_equal(symlink("/etc", at("out")), 0);
	assert_int_equal(check(at("link"), "symbolic link"), -ELOOP);
	assert_int_equal(check(at("dirlink/kernel"), "dirlink is a symbolic link"), -ELOOP);
	assert_int_equal(check(at("out/passwd"), "symbolic link"), -ELOOP);
	assert_int_equal(check_as(at("link"), IMAGE_DISK, NULL, "symbolic link"), -ELOOP);
}

static void test_types(void **state)
{
	(void)state;
	needs_root();
	assert_int_equal(mkfifo(at("fifo"), 0644), 0);
	assert_int_equal(check(at("fifo"), "no regular file"), -ENODEV);
	assert_int_equal(check_as(at("fifo"), IMAGE_DISK, NULL, "no regular file"), -ENODEV);
	assert_int_equal(check(at("sub"), "is a directory"), -EISDIR);
}

static void test_others_could_change_it(void **state)
{
	(void)state;
	needs_root();
	assert_int_equal(chmod(at("sub/kernel"), 0664), 0);
	assert_int_equal(check(at("sub/kernel"), "chmod go-w"), -EPERM);
	assert_int_equal(check_as(at("sub/kernel"), IMAGE_DISK, NULL, NULL), 0);
	assert_int_equal(chmod(at("sub/kernel"), 0646), 0);
	assert_int_equal(check_as(at("sub/kernel"), IMAGE_INITRD, NULL, "chmod go-w"), -EPERM);
	assert_int_equal(chmod(at("sub/kernel"), 0644), 0);
	assert_int_equal(chown(at("sub/kernel"), 1234, 0), 0);
	assert_int_equal(check(at("sub/kernel"), "belongs to user 1234"), -EPERM);
	assert_int_equal(check_as(at("sub/kernel"), IMAGE_DISK_READ_ONLY, NULL, NULL), 0);
}

static void test_directories_others_could_change(void **state)
{
	(void)state;
	needs_root();
	assert_int_equal(chmod(at("sub"), 0777), 0);
	assert_int_equal(check(at("sub/kernel"), "sub can be written by others"), -EPERM);
	assert_int_equal(check_as(at("sub/kernel"), IMAGE_DISK, NULL, "sub can be written"), -EPERM);
	assert_int_equal(chmod(at("sub"), 0755), 0);
	assert_int_equal(chown(images, 1234, 0), 0);
	assert_int_equal(check(at("sub/kernel"), "belongs to user 1234"), -EPERM);
}

static void test_the_reader_must_be_able_to(void **state)
{
	struct image_reader qemu = { .uid = 4321, .gid = 4321, .n_groups = 1, .groups = { 555 } };
	struct image_reader by_root = { 0 };

	(void)state;
	needs_root();
	assert_int_equal(check_as(at("sub/kernel"), IMAGE_KERNEL, &qemu, NULL), 0);
	assert_int_equal(check_as(at("sub/kernel"), IMAGE_DISK, &qemu, "read and written"), -EACCES);
	assert_int_equal(check_as(at("sub/kernel"), IMAGE_DISK_READ_ONLY, &qemu, NULL), 0);
	assert_int_equal(chmod(at("sub/kernel"), 0640), 0);
	assert_int_equal(check_as(at("sub/kernel"), IMAGE_KERNEL, &qemu, "uid 4321"), -EACCES);
	assert_int_equal(check_as(at("sub/kernel"), IMAGE_KERNEL, &by_root, NULL), 0);
	assert_int_equal(chown(at("sub/kernel"), 0, 555), 0);
	assert_int_equal(check_as(at("sub/kernel"), IMAGE_KERNEL, &qemu, NULL), 0);
	/* its own file's owner bits count, even where others might more */
	assert_int_equal(chown(at("sub/kernel"), 4321, 555), 0);
	assert_int_equal(chmod(at("sub/kernel"), 0066), 0);
	assert_int_equal(check_as(at("sub/kernel"), IMAGE_DISK, &qemu, "read and written"), -EACCES);
	assert_int_equal(chmod(at("sub/kernel"), 0600), 0);
	assert_int_equal(check_as(at("sub/kernel"), IMAGE_DISK, &qemu, NULL), 0);
	assert_int_equal(chmod(at("sub"), 0700), 0);
	assert_int_equal(check_as(at("sub/kernel"), IMAGE_DISK, &qemu, "may not enter"), -EACCES);
}

static void test_finds_a_user(void **state)
{
	struct image_reader r = { .uid = 77 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(image_reader_find("no-such-user-here", &r, &e), -ENOENT);
	assert_non_null(strstr(e.text, "no-such-user-here"));
	assert_int_equal(r.uid, 77);
	assert_int_equal(image_reader_find("root", &r, &e), 0);
	assert_int_equal(r.uid, 0);
}

#define IN_TREE(test) cmocka_unit_test_setup_teardown(test, make_tree, remove_tree)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths_that_are_not_plain),
		cmocka_unit_test(test_outside_image_dirs),
		cmocka_unit_test(test_finds_a_user),
		IN_TREE(test_good_files),
		IN_TREE(test_missing),
		IN_TREE(test_links),
		IN_TREE(test_types),
		IN_TREE(test_others_could_change_it),
		IN_TREE(test_directories_others_could_change),
		IN_TREE(test_the_reader_must_be_able_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
