/* The cases that are the same for every backend. */
#include "tests/backends/contract.h"

static void test_hello_comes_with_each_channel(void **state)
{
	(void)state;
	assert_true(got.hello.connected);
	assert_true(strlen(got.hello.version) > 3);
	assert_true(got.hello.kvm || got.hello.text[0]);
	connect_launcher();
	assert_true(got.hello.connected);
}

static void test_inline_machine_comes_and_goes(void **state)
{
	struct msg_be_start m = machine(1);
	const struct msg_be_result *r;
	struct msg_be_domain row;

	(void)state;
	say(MSG_BE_START, &m);
	r = hear_result(m.req);
	if (r->error)
		fail_msg("%s", r->text);
	assert_int_equal(r->svc, 1);
	assert_int_equal(r->gen, 7);
	assert_string_equal(r->uuid, m.uuid);
	assert_true(r->domain_id > 0);
	assert_true(r->t_begin_ns > 0 && r->t_done_ns >= r->t_begin_ns && r->t_done_ns <= clock_now_ns());
	assert_int_equal(r->n_nics, 1);
	assert_string_equal(r->nics[0].ifname, port_of(1, r->domain_id));
	assert_string_equal(hear_event(m.name, EVENT_STARTED)->uuid, m.uuid);
	row = row_of(m.name);
	assert_int_equal(row.state, DOMAIN_RUNNING);
	assert_string_equal(row.uuid, m.uuid);
	assert_int_equal(row.memory_bytes, m.memory_bytes);
	assert_false(row.writable_disk);
	assert_int_equal(row.n_nics, 1);
	assert_memory_equal(&row.nics[0].mac, &m.nics[0].mac, sizeof(struct mac_addr));
	assert_string_equal(row.nics[0].ifname, port_of(1, row.domain_id));
	stop(m.uuid);
	assert_true(strstr(hear_event(m.name, EVENT_STOPPED)->text, "destroyed") != NULL);
	assert_int_equal(row_of(m.name).state, DOMAIN_STATE_N);
	stop(m.name); /* gone already: fine */
}

static void test_second_start_is_refused_and_touches_nothing(void **state)
{
	struct msg_be_start m = machine(1);
	int32_t id;

	(void)state;
	start(&m);
	id = row_of(m.name).domain_id;
	m.req = ++be.last_req;
	say(MSG_BE_START, &m);
	expect(m.req, -EEXIST);
	assert_string_equal(got.result.uuid, m.uuid);
	assert_int_equal(got.result.domain_id, id);
	assert_int_equal(row_of(m.name).domain_id, id);
	stop(m.name);
}

static void test_failed_start_tells_why_and_leaves_nothing(void **state)
{
	struct msg_be_start m = machine(1);

	(void)state;
	str_copy(m.kernel, "/nowhere/no-such-kernel.elf");
	say(MSG_BE_START, &m);
	hear_result(m.req);
	assert_true(got.result.error < 0);
	if (!strstr(got.result.text, "no-such-kernel"))
		fail_msg("the reason does not name the kernel: %s", got.result.text);
	assert_null(strchr(got.result.text, '\n'));
	assert_int_equal(row_of(m.name).state, DOMAIN_STATE_N);
	m = machine(1);
	start(&m); /* and the name is free */
	stop(m.name);
}

static void test_paused_start_resume_suspend(void **state)
{
	struct msg_be_start m = machine(1);

	(void)state;
	m.paused = true;
	start(&m);
	assert_int_equal(row_of(m.name).state, DOMAIN_PAUSED);
	expect(ask(MSG_BE_RESUME, m.name, 0), 0);
	assert_true(got.result.domain_id > 0);
	assert_int_equal(row_of(m.name).state, DOMAIN_RUNNING);
	expect(ask(MSG_BE_RESUME, m.uuid, 0), 0);
	expect(ask(MSG_BE_STOP, m.name, STOP_SUSPEND), 0);
	hear_event(m.name, EVENT_SUSPENDED);
	assert_int_equal(row_of(m.name).state, DOMAIN_PAUSED);
	expect(ask(MSG_BE_STOP, m.name, STOP_SUSPEND), 0);
	stop(m.name);
	expect(ask(MSG_BE_RESUME, m.name, 0), -ENOENT);
}

/* A directory of its own in the suite's, as the launcher makes one. */
static void save_in(char path[MSG_PATH_MAX])
{
	char dir[sizeof(suite.dir) + 8];

	snprintf(dir, sizeof(dir), "%s/saved", suite.dir);
	assert_true(mkdir(dir, 0700) == 0 || errno == EEXIST);
	snprintf(path, MSG_PATH_MAX, "%s/state", dir);
}

static uint32_t ask_save(const char *domain, const char *file)
{
	struct msg_be_target m = { .req = ++be.last_req, .svc = 1, .gen = 7, .how = STOP_SAVE };

	str_copy(m.domain, domain);
	str_copy(m.save, file);
	say(MSG_BE_STOP, &m);
	return m.req;
}

/* A guest of Xen has to say first that it can take part, which it does when it has booted. */
static void save(const char *domain, const char *file)
{
	uint64_t until = clock_now_ms() + WAIT_MS;

	while (hear_result(ask_save(domain, file))->error == -ENOTSUP && suite.xen && clock_now_ms() < until)
		usleep(100000);
	if (got.result.error)
		fail_msg("%s", got.result.text);
}

static void restore(struct msg_be_start *m, int error)
{
	m->req = ++be.last_req;
	say(MSG_BE_START, m);
	expect(m->req, error);
}

static void test_save_and_restore(void **state)
{
	struct msg_be_start m = machine(1);
	struct stat st;
	int32_t id;

	(void)state;
	start(&m);
	id = row_of(m.name).domain_id;
	save_in(m.save);
	save(m.name, m.save);
	assert_int_equal(row_of(m.name).state, DOMAIN_STATE_N);
	assert_int_equal(stat(m.save, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(st.st_size > 0);
	restore(&m, 0);
	assert_string_equal(got.result.uuid, m.uuid);
	assert_int_not_equal(got.result.domain_id, id);
	assert_string_equal(got.result.nics[0].ifname, port_of(1, got.result.domain_id));
	assert_int_equal(row_of(m.name).state, DOMAIN_RUNNING);
	assert_int_equal(access(m.save, F_OK), -1); /* nobody restores it twice */
	stop(m.name);
}

/* What cannot be written leaves the domain as it was, and nothing behind. */
static void test_a_save_that_fails(void **state)
{
	struct msg_be_start m = machine(1);
	int32_t id;

	(void)state;
	start(&m);
	id = row_of(m.name).domain_id;
	expect_error(ask_save(m.name, "/nowhere/at/all"));
	assert_int_equal(row_of(m.name).state, DOMAIN_RUNNING);
	assert_int_equal(row_of(m.name).domain_id, id);
	stop(m.name);
	expect(ask_save(m.name, "/nowhere/at/all"), -ENOENT);
}

/* The file is no state of anything: it is left for its owner, no domain is there, and the name is free. */
static void test_a_restore_that_fails(void **state)
{
	struct msg_be_start m = machine(1);
	FILE *f;

	(void)state;
	save_in(m.save);
	f = fopen(m.save, "w");
	assert_non_null(f);
	for (int i = 0; i < 4096; i++)
		fputs("garbage ", f);
	assert_int_equal(fclose(f), 0);
	m.req = ++be.last_req;
	say(MSG_BE_START, &m);
	expect_error(m.req);
	assert_int_equal(row_of(m.name).state, DOMAIN_STATE_N);
	assert_int_equal(access(m.save, F_OK), 0);
	unlink(m.save);
	m.save[0] = '\0';
	m.req = ++be.last_req;
	start(&m);
	stop(m.name);
}

/* Its hypervisor keeps it, and its next start is a restore. */
static void test_existing_domain_is_saved(void **state)
{
	uint32_t req;

	(void)state;
	start_existing(&req);
	expect(req, 0);
	expect(ask_save(EXISTING, ""), 0);
	assert_int_equal(row_of(EXISTING).state, DOMAIN_SAVED);
	start_existing(&req);
	expect(req, 0);
	assert_int_equal(row_of(EXISTING).state, DOMAIN_RUNNING);
	expect(ask_save(EXISTING_UUID, ""), 0);
	start_fresh(&req);
	expect(req, 0);
	stop(EXISTING);
	assert_int_equal(row_of(EXISTING).state, DOMAIN_OFF);
}

static void test_existing_domain(void **state)
{
	uint32_t req;
	struct msg_be_domain row = row_of(EXISTING);

	(void)state;
	assert_int_equal(row.state, DOMAIN_OFF);
	assert_int_equal(row.domain_id, -1);
	start_existing(&req);
	expect(req, 0);
	assert_string_equal(got.result.uuid, EXISTING_UUID);
	assert_int_equal(got.result.n_nics, 1);
	assert_true(got.result.nics[0].ifname[0]);
	start_existing(&req);
	expect(req, -EEXIST);
	assert_true(got.result.domain_id > 0);
	assert_true(got.result.nics[0].ifname[0]);
	expect(ask(MSG_BE_STOP, EXISTING_UUID, STOP_SUSPEND), 0);
	start_existing(&req);
	expect(req, -EBUSY);
	stop(EXISTING);
	assert_int_equal(row_of(EXISTING).state, DOMAIN_OFF); /* off, and still defined */
	expect(ask(MSG_BE_STOP, EXISTING, STOP_SHUTDOWN), 0);
}

static void test_inspect(void **state)
{
	uint32_t req = ask(MSG_BE_INSPECT, EXISTING, 0);

	(void)state;
	hear_until(MSG_BE_DOMAIN);
	assert_int_equal(got.domain.req, req);
	assert_string_equal(got.domain.name, EXISTING);
	assert_string_equal(got.domain.uuid, EXISTING_UUID);
	assert_int_equal(got.domain.state, DOMAIN_OFF);
	assert_int_equal(got.domain.nics[0].mac.b[5], 0x99);
	assert_string_equal(got.domain.nics[0].bridge, "br-test");
	expect(req, 0);
}

/* Addresses are told of a domain that runs, and where nobody knows any the answer comes all the same. */
static void test_inspect_addresses(void **state)
{
	struct msg_be_start m = machine(1);
	uint32_t req;

	(void)state;
	start(&m);
	req = ask(MSG_BE_INSPECT, m.name, INSPECT_ADDRESSES);
	hear_until(MSG_BE_DOMAIN);
	assert_int_equal(got.domain.req, req);
	assert_int_equal(got.domain.state, DOMAIN_RUNNING);
	for (unsigned i = 0; i < got.domain.n_addrs; i++)
		assert_true(got.domain.addrs[i].how < LEARN_N);
	expect(req, 0);
	stop(m.name);
}

static void test_inspect_addresses_of_one_that_is_off(void **state)
{
	uint32_t req = ask(MSG_BE_INSPECT, EXISTING, INSPECT_ADDRESSES);

	(void)state;
	hear_until(MSG_BE_DOMAIN);
	assert_int_equal(got.domain.state, DOMAIN_OFF);
	assert_int_equal(got.domain.n_addrs, 0);
	expect(req, 0);
}

static void test_inspect_what_is_not_there(void **state)
{
	(void)state;
	expect(ask(MSG_BE_INSPECT, "no-such-domain", 0), -ENOENT);
	assert_true(strstr(got.result.text, "no-such-domain") != NULL);
	expect(ask(MSG_BE_INSPECT, "01234567-89ab-cdef-0123-456789abcdef", 0), -ENOENT);
}

static void test_requests_for_one_domain_keep_their_order(void **state)
{
	enum { ROUNDS = 3 };
	struct msg_be_start m = machine(1);
	uint32_t first = be.last_req;

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		m.req = ++be.last_req;
		say(MSG_BE_START, &m);
		ask(MSG_BE_STOP, i % 2 ? m.uuid : m.name, STOP_DESTROY);
	}
	for (uint32_t req = first + 1; req <= first + 2 * ROUNDS; req++)
		expect(req, 0);
	assert_int_equal(row_of(m.name).state, DOMAIN_STATE_N);
}

static void test_different_domains_start_side_by_side(void **state)
{
	struct msg_be_start m[TAPS];
	bool answered[TAPS] = { false };

	(void)state;
	for (unsigned i = 0; i < TAPS; i++) {
		m[i] = machine(i);
		say(MSG_BE_START, &m[i]);
	}
	for (unsigned i = 0; i < TAPS; i++) {
		hear_until(MSG_BE_RESULT);
		if (got.result.error)
			fail_msg("%s", got.result.text);
		assert_true(got.result.req >= m[0].req && got.result.req - m[0].req < TAPS);
		assert_false(answered[got.result.req - m[0].req]);
		answered[got.result.req - m[0].req] = true;
	}
	for (unsigned i = 0; i < TAPS; i++) {
		assert_int_equal(row_of(m[i].name).state, DOMAIN_RUNNING);
		stop(m[i].name);
	}
}

static void test_start_whose_result_was_lost_is_in_the_next_list(void **state)
{
	struct msg_be_start m = machine(1);
	enum msg_type type;

	(void)state;
	say(MSG_BE_START, &m);
	usleep(5000); /* it has begun */
	connect_launcher();
	assert_int_equal(row_of(m.name).state, DOMAIN_RUNNING);
	stop(m.name);
	while ((type = hear(QUIET_MS)))
		assert_int_not_equal(type, MSG_BE_RESULT); /* the old launcher's answer is nobody's */
}

static void test_requests_that_make_no_sense(void **state)
{
	struct msg_be_start m = machine(1);

	(void)state;
	expect(ask(MSG_BE_STOP, "", STOP_DESTROY), -EINVAL);
	expect(ask(MSG_BE_STOP, "x", STOP_N), -EINVAL);
	expect(ask(MSG_BE_INSPECT, "", 0), -EINVAL);
	m.name[0] = '\0';
	say(MSG_BE_START, &m);
	expect(m.req, -EINVAL);
}

static void test_flood_gets_one_answer_each(void **state)
{
	enum { FLOOD = BACKEND_REQUESTS_MAX + 200 };
	static bool answered[FLOOD];
	uint32_t first = be.last_req + 1;
	enum msg_type type;
	unsigned n = 0;

	(void)state;
	memset(answered, 0, sizeof(answered));
	for (unsigned i = 0; i < FLOOD; i++)
		ask(MSG_BE_INSPECT, "no-such-domain", 0);
	while (n < FLOOD) {
		hear_until(MSG_BE_RESULT);
		assert_true(got.result.req - first < FLOOD);
		assert_false(answered[got.result.req - first]);
		assert_true(got.result.error == -ENOENT || got.result.error == -EBUSY);
		answered[got.result.req - first] = true;
		n++;
	}
	while ((type = hear(QUIET_MS)))
		assert_int_equal(type, MSG_BE_HELLO); /* of what is known only now */
	/* and afterwards there is room for all again */
	for (unsigned i = 0; i < BACKEND_REQUESTS_MAX; i++)
		ask(MSG_BE_INSPECT, "no-such-domain", 0);
	for (n = 0; n < BACKEND_REQUESTS_MAX; n++) {
		hear_until(MSG_BE_RESULT);
		assert_int_equal(got.result.error, -ENOENT);
	}
}

static const struct CMUnitTest common[] = {
	cmocka_unit_test(test_hello_comes_with_each_channel),
	cmocka_unit_test(test_inline_machine_comes_and_goes),
	cmocka_unit_test(test_second_start_is_refused_and_touches_nothing),
	cmocka_unit_test(test_failed_start_tells_why_and_leaves_nothing),
	cmocka_unit_test(test_paused_start_resume_suspend),
	cmocka_unit_test(test_inspect_addresses),
	cmocka_unit_test(test_inspect_what_is_not_there),
	cmocka_unit_test(test_requests_for_one_domain_keep_their_order),
	cmocka_unit_test(test_different_domains_start_side_by_side),
	cmocka_unit_test(test_start_whose_result_was_lost_is_in_the_next_list),
	cmocka_unit_test(test_requests_that_make_no_sense),
};

static const struct CMUnitTest many_requests[] = {
	cmocka_unit_test(test_flood_gets_one_answer_each),
};

/* Where a domain that is off is still known. */
static const struct CMUnitTest with_definitions[] = {
	cmocka_unit_test(test_existing_domain),
	cmocka_unit_test(test_existing_domain_is_saved),
	cmocka_unit_test(test_inspect),
	cmocka_unit_test(test_inspect_addresses_of_one_that_is_off),
};

int run_common(const char *name) { return cmocka_run_group_tests_name(name, common, begin_process, end_process); }

static const struct CMUnitTest saves[] = {
	cmocka_unit_test(test_save_and_restore),
	cmocka_unit_test(test_a_save_that_fails),
	cmocka_unit_test(test_a_restore_that_fails),
};

int run_saves(void)
{
	return cmocka_run_group_tests_name("backend contract: saves", saves, begin_process, end_process);
}

int run_many_requests(void)
{
	return cmocka_run_group_tests_name("backend contract: many requests", many_requests, begin_process, end_process);
}

int run_with_definitions(const char *name)
{
	return cmocka_run_group_tests_name(name, with_definitions, begin_process, end_process);
}
