/* What a line looks like, for a person and for the journal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/log.h"

static int ends[2], kept_stderr;

static int setup(void **state)
{
	(void)state;
	kept_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
	return pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0 || dup2(ends[1], STDERR_FILENO) < 0 || kept_stderr < 0;
}

static int teardown(void **state)
{
	(void)state;
	unsetenv("JOURNAL_STREAM");
	dup2(kept_stderr, STDERR_FILENO);
	close(kept_stderr);
	close(ends[0]);
	close(ends[1]);
	log_init("test", LOG_INFO);
	return 0;
}

/* JOURNAL_STREAM as systemd sets it for this very stream; `off` is added to the inode. */
static void set_stream(unsigned off)
{
	char text[64];
	struct stat st;

	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(text, sizeof(text), "%lu:%lu", (unsigned long)st.st_dev, (unsigned long)st.st_ino + off);
	setenv("JOURNAL_STREAM", text, 1);
}

static const char *line(void)
{
	static char text[2048];
	ssize_t n = read(ends[0], text, sizeof(text) - 1);

	text[n < 0 ? 0 : n] = '\0';
	return text;
}

static void test_journal_gets_priorities(void **state)
{
	(void)state;
	set_stream(0);
	log_init("dns", LOG_DEBUG);
	log_error("a");
	assert_string_equal(line(), "<3>dns: a\n");
	log_warn("b");
	assert_string_equal(line(), "<4>dns: b\n");
	log_info("service=%s is up", "www");
	assert_string_equal(line(), "<6>dns: service=www is up\n");
	log_debug("d");
	assert_string_equal(line(), "<7>dns: d\n");
}

static void assert_for_people(void)
{
	const char *text;

	log_init("dns", LOG_INFO);
	log_info("service=www is up");
	text = line();
	assert_true(strlen(text) > strlen("2026-01-02T03:04:05.678Z"));
	assert_int_equal(text[10], 'T');
	assert_string_equal(text + strlen("2026-01-02T03:04:05.678Z"), " info dns: service=www is up\n");
}

static void test_people_get_times(void **state)
{
	(void)state;
	assert_for_people();
}

static void test_another_stream_is_no_journal(void **state)
{
	(void)state;
	set_stream(1);
	assert_for_people();
	setenv("JOURNAL_STREAM", "nonsense", 1);
	assert_for_people();
}

static void test_no_line_in_a_line(void **state)
{
	(void)state;
	set_stream(0);
	log_init("dns", LOG_INFO);
	log_info("name=%s", "a\n<3>forged\033[2J");
	assert_string_equal(line(), "<6>dns: name=a?<3>forged?[2J\n");
	log_debug("not at this level");
	assert_string_equal(line(), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_journal_gets_priorities, setup, teardown),
		cmocka_unit_test_setup_teardown(test_people_get_times, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_stream_is_no_journal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_line_in_a_line, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
