#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>

#include "cmd/kept.h"

static int open_any(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

static void test_a_name_has_one_descriptor(void **state)
{
	struct kept k = { 0 };
	int a = open_any(), b = open_any(), again = open_any();

	(void)state;
	assert_int_equal(kept_put(&k, "a", a), 0);
	assert_int_equal(kept_put(&k, "b", b), 0);
	assert_int_equal(kept_put(&k, "a", again), 0);
	assert_int_equal(k.n, 2);
	assert_false(is_open(a));
	assert_true(is_open(b) && is_open(again));
	assert_int_equal(kept_put(&k, "b", -1), 0);
	assert_false(is_open(b));
	assert_int_equal(kept_put(&k, "never", -1), 0);
	assert_int_equal(k.n, 1);
	assert_string_equal(k.v[0].name, "a");
	assert_int_equal(k.v[0].fd, again);
	kept_clear(&k);
	assert_int_equal(k.n, 0);
	assert_false(is_open(again));
}

static void test_there_is_a_bound(void **state)
{
	struct kept k = { 0 };
	int over = open_any();
	char name[16];

	(void)state;
	for (int i = 0; i < HOLD_BRIDGES_MAX; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		assert_int_equal(kept_put(&k, name, open_any()), 0);
	}
	assert_int_equal(kept_put(&k, "over", over), -ENOSPC);
	assert_int_equal(kept_put(&k, "", over), -EINVAL);
	assert_true(is_open(over)); /* still the caller's */
	assert_int_equal(kept_put(&k, "n7", over), 0); /* in another's place */
	assert_int_equal(k.n, HOLD_BRIDGES_MAX);
	kept_clear(&k);
	assert_false(is_open(over));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_name_has_one_descriptor),
		cmocka_unit_test(test_there_is_a_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
