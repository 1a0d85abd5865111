#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control/peer.h"
#include "control/requests.h"

static struct request *add(struct requests *rs, uint32_t client, const char *id, struct err *e)
{
	struct protocol_request p = { .msg.verb = CTL_LIST };

	str_copy(p.id, id);
	return requests_add(rs, client, &p, 1000, e);
}

static void test_a_request_is_found_by_both_its_ids(void **state)
{
	struct requests *rs = requests_new();
	struct request *a, *b;
	struct err e;

	(void)state;
	a = add(rs, 1, "7", &e);
	b = add(rs, 2, "7", &e);
	assert_non_null(a);
	assert_non_null(b);
	assert_int_not_equal(a->msg.id, b->msg.id);
	assert_ptr_equal(requests_find(rs, a->msg.id), a);
	assert_ptr_equal(requests_find_of(rs, 2, "7"), b);
	assert_null(requests_find_of(rs, 2, "\"7\""));
	assert_null(requests_find_of(rs, 3, "7"));
	requests_free(rs);
}

static void test_a_late_answer_names_nobody(void **state)
{
	struct requests *rs = requests_new();
	struct request *r;
	struct err e;
	uint32_t old;

	(void)state;
	r = add(rs, 1, "1", &e);
	old = r->msg.id;
	requests_remove(rs, r);
	assert_null(requests_find(rs, old));
	r = add(rs, 1, "2", &e);
	assert_int_not_equal(r->msg.id, old);
	assert_null(requests_find(rs, old));
	assert_null(requests_find(rs, 0));
	assert_null(requests_find(rs, UINT32_MAX));
	requests_free(rs);
}

static void test_each_client_has_its_share_and_no_more(void **state)
{
	struct requests *rs = requests_new();
	struct err e = { 0 };
	char id[16];

	(void)state;
	for (uint32_t client = 1; client <= REQUESTS_CLIENTS_MAX; client++) {
		for (unsigned i = 0; i < REQUESTS_PER_CLIENT; i++) {
			snprintf(id, sizeof(id), "%u", i);
			assert_non_null(add(rs, client, id, &e));
		}
		assert_null(add(rs, client, "more", &e));
		assert_int_equal(e.code, -EBUSY);
		assert_int_equal(requests_count(rs, client), REQUESTS_PER_CLIENT);
	}
	requests_free(rs);
}

static void test_an_id_is_used_once_at_a_time(void **state)
{
	struct requests *rs = requests_new();
	struct err e = { 0 };
	struct request *r;

	(void)state;
	r = add(rs, 1, "1", &e);
	assert_null(add(rs, 1, "1", &e));
	assert_int_equal(e.code, -EEXIST);
	requests_remove(rs, r);
	assert_non_null(add(rs, 1, "1", &e));
	requests_free(rs);
}

static void test_the_walk_sees_all_and_allows_removal(void **state)
{
	struct requests *rs = requests_new();
	unsigned seen = 0;
	struct err e;

	(void)state;
	add(rs, 1, "1", &e);
	add(rs, 1, "2", &e);
	add(rs, 2, "1", &e);
	for (struct request *r = requests_next(rs, NULL); r; r = requests_next(rs, r), seen++)
		requests_remove(rs, r);
	assert_int_equal(seen, 3);
	assert_null(requests_next(rs, NULL));
	requests_free(rs);
}

static void test_waiting_has_an_end(void **state)
{
	struct requests *rs = requests_new();
	struct request *r;
	struct err e;

	(void)state;
	r = add(rs, 1, "1", &e);
	assert_int_equal(r->state, REQUEST_WAITING);
	assert_false(request_waited_too_long(r, 1000 + REQUESTS_WAIT_MS - 1));
	assert_true(request_waited_too_long(r, 1000 + REQUESTS_WAIT_MS));
	r->state = REQUEST_SENT;
	assert_false(request_waited_too_long(r, 1000000));
	request_wait(r, 2000);
	assert_false(request_waited_too_long(r, 1000 + REQUESTS_WAIT_MS));
	requests_free(rs);
}

static void test_who_may_what(void **state)
{
	static const struct {
		uid_t uid;
		gid_t groups[3], readers, admins;
		int result;
		bool admin;
	} cases[] = {
		{ 0, { 0, 0, 0 }, 100, 200, 0, true },
		{ 1000, { 1000, 5, 6 }, 100, 200, -EACCES, false },
		{ 1000, { 1000, 100, 6 }, 100, 200, 0, false },
		{ 1000, { 100, 5, 6 }, 100, 200, 0, false },
		{ 1000, { 1000, 5, 200 }, 100, 200, 0, true },
		/* a group that does not exist is 0: root's group opens nothing */
		{ 1000, { 1000, 0, 6 }, 0, 0, -EACCES, false },
		{ 1000, { 0, 100, 6 }, 100, 0, 0, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = { 0 };
		bool admin = false;

		assert_int_equal(peer_judge(cases[i].uid, cases[i].groups, 3, cases[i].readers,
					    cases[i].admins, &admin, &e),
				 cases[i].result);
		assert_int_equal(admin, cases[i].admin);
		assert_int_equal(e.code, cases[i].result);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_request_is_found_by_both_its_ids),
		cmocka_unit_test(test_a_late_answer_names_nobody),
		cmocka_unit_test(test_each_client_has_its_share_and_no_more),
		cmocka_unit_test(test_an_id_is_used_once_at_a_time),
		cmocka_unit_test(test_the_walk_sees_all_and_allows_removal),
		cmocka_unit_test(test_waiting_has_an_end),
		cmocka_unit_test(test_who_may_what),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
