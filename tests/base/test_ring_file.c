#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/ring_file.h"

enum { ROOM = 64 };

static char path[64];

static int setup(void **state)
{
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "/tmp/jitsu-ring-XXXXXX");
	fd = mkstemp(path);
	close(fd);
	unlink(path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

static int open_ring(void)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void expect_read(int fd, uint64_t *at, const char *text)
{
	char buf[ROOM * 2];
	ssize_t n = ring_file_read(fd, at, buf, sizeof(buf));

	assert_int_equal(n, strlen(text));
	assert_memory_equal(buf, text, (size_t)n);
}

static void test_what_is_written_is_read_in_order(void **state)
{
	struct ring_file *r = ring_file_new(path, ROOM);
	cleanup_close int fd = open_ring();
	uint64_t at = 0;

	(void)state;
	expect_read(fd, &at, "");
	assert_int_equal(ring_file_append(r, "hello ", 6), 0);
	assert_int_equal(ring_file_append(r, "world", 5), 0);
	expect_read(fd, &at, "hello world");
	expect_read(fd, &at, "");
	assert_int_equal(ring_file_append(r, "!", 1), 0);
	expect_read(fd, &at, "!");
	ring_file_free(r);
}

static void test_the_oldest_goes_first(void **state)
{
	struct ring_file *r = ring_file_new(path, ROOM);
	cleanup_close int fd = open_ring();
	char text[ROOM + 1];
	uint64_t at = 0;
	struct stat st;

	(void)state;
	for (char c = 'a'; c <= 'z'; c++) {
		memset(text, c, 5);
		ring_file_append(r, text, 5);
	}
	/* 130 bytes went in: the last 64 are 4 'n', 5 of each of o..z */
	memset(text, 'n', 4);
	for (int i = 0; i < 12; i++)
		memset(text + 4 + 5 * i, 'o' + i, 5);
	text[ROOM] = '\0';
	expect_read(fd, &at, text);
	assert_int_equal(at, 130);
	fstat(fd, &st);
	assert_true(st.st_size < ROOM + 64); /* bounded */
	ring_file_free(r);
}

static void test_more_than_the_room_leaves_the_last_of_it(void **state)
{
	struct ring_file *r = ring_file_new(path, ROOM);
	cleanup_close int fd = open_ring();
	char text[ROOM * 3 + 7], last[ROOM + 1];
	uint64_t at = 3;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('A' + i % 26);
	ring_file_append(r, "xyz", 3);
	ring_file_append(r, text, sizeof(text));
	memcpy(last, text + sizeof(text) - ROOM, ROOM);
	last[ROOM] = '\0';
	expect_read(fd, &at, last);
	ring_file_free(r);
}

static void test_a_ring_is_continued(void **state)
{
	struct ring_file *r = ring_file_new(path, ROOM);
	cleanup_close int fd = -1;
	uint64_t at = 0;

	(void)state;
	ring_file_append(r, "one ", 4);
	ring_file_free(r);
	r = ring_file_new(path, ROOM);
	ring_file_append(r, "two", 3);
	fd = open_ring();
	expect_read(fd, &at, "one two");
	ring_file_free(r);
	/* another room: begun anew, and a follower finds the beginning */
	r = ring_file_new(path, ROOM * 2);
	ring_file_append(r, "new", 3);
	expect_read(fd, &at, "new");
	ring_file_free(r);
}

static void test_what_is_no_ring_is_refused_or_begun_anew(void **state)
{
	cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char buf[8];
	uint64_t at = 0;
	struct ring_file *r;

	(void)state;
	assert_int_equal(ring_file_read(fd, &at, buf, sizeof(buf)), -EINVAL);
	assert_int_equal(write(fd, "something else entirely, and longer than a header is", 52), 52);
	assert_int_equal(ring_file_read(fd, &at, buf, sizeof(buf)), -EINVAL);
	r = ring_file_new(path, ROOM);
	assert_non_null(r);
	expect_read(fd, &at, "");
	ring_file_free(r);
	assert_null(ring_file_new(path, 0));
	unlink(path);
	assert_int_equal(symlink("/tmp/jitsu-ring-elsewhere", path), 0);
	assert_null(ring_file_new(path, ROOM));
	assert_int_equal(errno, ELOOP);
}

/* A reader beside a writer that never rests gets only whole, ordered numbers. */
static void test_a_reader_never_sees_torn_bytes(void **state)
{
	enum { LINE = 8, LINES = 40000 };
	struct ring_file *r = ring_file_new(path, LINE * 32);
	cleanup_close int fd = open_ring();
	unsigned long last = 0, seen = 0;
	uint64_t at = 0;
	pid_t writer = fork();

	(void)state;
	if (writer == 0) {
		char line[LINE + 1];

		for (unsigned i = 1; i <= LINES; i++) {
			snprintf(line, sizeof(line), "%07u\n", i);
			ring_file_append(r, line, LINE);
		}
		_exit(0);
	}
	while (last < LINES) {
		char buf[LINE * 32 + 1];
		ssize_t n = ring_file_read(fd, &at, buf, sizeof(buf) - 1);

		assert_true(n >= 0);
		assert_int_equal(n % LINE, 0);
		for (ssize_t i = 0; i < n; i += LINE) {
			char *end;
			unsigned long v = strtoul(buf + i, &end, 10);

			assert_ptr_equal(end, buf + i + LINE - 1);
			assert_true(v > last);
			last = v;
			seen++;
		}
	}
	assert_true(seen > 0);
	waitpid(writer, NULL, 0);
	ring_file_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_is_written_is_read_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_oldest_goes_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_more_than_the_room_leaves_the_last_of_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_ring_is_continued, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_no_ring_is_refused_or_begun_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_reader_never_sees_torn_bytes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
