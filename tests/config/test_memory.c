/* Memory runs out at each allocation in turn: a file is then refused, nothing crashes, and nothing is
 * left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/load.h"

#ifndef JITSU_SANITIZED

/* glibc's own, behind the ones below. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void __libc_free(void *p);

static bool counting;
static long until_failure; /* allocations that still succeed */
static long live;

static bool must_fail(void) { return counting && until_failure-- == 0; }

void *malloc(size_t n)
{
	void *p = must_fail() ? NULL : __libc_malloc(n);

	live += counting && p;
	return p;
}

void *calloc(size_t n, size_t size)
{
	void *p = must_fail() ? NULL : __libc_calloc(n, size);

	live += counting && p;
	return p;
}

void *realloc(void *old, size_t n)
{
	void *p = must_fail() ? NULL : __libc_realloc(old, n);

	live += counting && p && !old;
	return p;
}

void free(void *p)
{
	live -= counting && p;
	__libc_free(p);
}

/* One load in which the allocation number `fail_at` fails; whether it went well. */
static bool load_once(const char *text, size_t n, long fail_at, bool *told)
{
	struct buf mistakes = { 0 };
	struct conf *c;
	bool good;

	live = 0;
	until_failure = fail_at;
	counting = true;
	c = conf_parse("f", text, n, &mistakes);
	until_failure = -1;
	good = c != NULL;
	conf_free(c);
	*told = mistakes.error == -ENOMEM || (mistakes.text && strstr(mistakes.text, "out of memory"));
	buf_free(&mistakes);
	conf_forget_defaults();
	counting = false;
	return good;
}

static void test_every_allocation_may_fail(void **state)
{
	cleanup_buf struct buf text = { 0 };
	bool told = false;
	long i = 0;

	(void)state;
	assert_int_equal(buf_read_file(&text, "etc/jitsud.json", 65536), 0);
	while (!load_once(text.text, text.n, i, &told)) {
		if (!told)
			fail_msg("allocation %ld failed, but nobody said so", i);
		assert_int_equal(live, 0);
		i++;
	}
	assert_int_equal(live, 0);
	assert_true(i > 100);
}

/* Where mistakes are being told, each line may be the one that there is no memory for. */
static void test_mistakes_without_memory(void **state)
{
	static const char text[] =
	        "{\"a\": 1, \"log\": \"x\", \"zones\": [{\"name\": \"a.b\"}, 7], \"services\": ["
	        "{\"name\": \"w\", \"dns\": [\"w.a.b\", \"w.a.b\"], \"ip\": [\"10.0.0.1/8\"]}]}";
	bool told;

	(void)state;
	for (long i = 0; i < 1000; i++) {
		assert_false(load_once(text, strlen(text), i, &told));
		assert_int_equal(live, 0);
	}
	assert_false(told);
}

#else

/* The sanitizer has malloc() for itself. */
static void test_every_allocation_may_fail(void **state)
{
	(void)state;
	skip();
}

static void test_mistakes_without_memory(void **state)
{
	(void)state;
	skip();
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_allocation_may_fail),
		cmocka_unit_test(test_mistakes_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
