#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/mman.h>

#include "base/slots.h"

static void test_mark_is_seen_through_another_mapping(void **state)
{
	int fd = slots_create();
	struct slots *writer = slots_map(fd), *reader = slots_map(fd);

	(void)state;
	assert_true(fd >= 0);
	assert_non_null(writer);
	assert_non_null(reader);
	assert_int_equal(slots_asked_ns(reader, 7, 3, 1000), 0);
	slots_mark(writer, 7, 3, 500);
	slots_mark(writer, 7, 3, 600);
	assert_int_equal(slots_asked_ns(reader, 7, 3, 1000), 600);
	assert_int_equal(slots_count(reader, 7, 3), 2);
	slots_unmap(writer);
	slots_unmap(reader);
	close(fd);
}

static void test_values_are_hints(void **state)
{
	int fd = slots_create();
	struct slots *s = slots_map(fd);

	(void)state;
	slots_mark(s, 7, 3, 500);
	assert_int_equal(slots_asked_ns(s, 7, 4, 1000), 0); /* another generation */
	assert_int_equal(slots_asked_ns(s, 7, 3, 400), 400); /* never in the future */
	slots_mark(s, SLOTS_MAX, 3, 500); /* out of range: nothing happens */
	assert_int_equal(slots_asked_ns(s, SLOTS_MAX, 3, 1000), 0);
	slots_mark(s, 7, 4, 700); /* a new generation begins from nothing */
	assert_int_equal(slots_count(s, 7, 4), 1);
	assert_int_equal(slots_asked_ns(s, 7, 3, 1000), 0);
	slots_unmap(s);
	close(fd);
}

static void test_only_ours_is_mapped(void **state)
{
	int plain = memfd_create("plain", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int ours = slots_create();

	(void)state;
	assert_int_equal(ftruncate(plain, 1 << 20), 0);
	assert_null(slots_map(plain));
	assert_null(slots_map(-1));
	assert_int_not_equal(ftruncate(ours, 0), 0); /* sealed: nobody can shrink it under a reader */
	close(plain);
	close(ours);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mark_is_seen_through_another_mapping),
		cmocka_unit_test(test_values_are_hints),
		cmocka_unit_test(test_only_ours_is_mapped),
	};

	return cmocka_run_group_tests_name("base/slots", tests, NULL, NULL);
}
