#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "launcher/service_fsm.h"

/* Every pair has a verdict inside the enums, a name, and what changes nothing moves nowhere. */
static void test_table_is_total(void **state)
{
	(void)state;
	for (unsigned s = 0; s < STATE_N; s++) {
		for (unsigned e = 0; e < SVC_EVENT_N; e++) {
			struct service_move m = service_fsm((enum service_state)s, (enum service_event)e);

			assert_true(m.action < SERVICE_ACTION_N);
			assert_true(m.next < STATE_N);
			assert_string_not_equal(service_event_name(e), "?");
			assert_string_not_equal(service_action_name(m.action), "?");
			if (m.action == DO_IMPOSSIBLE)
				assert_int_equal(m.next, s);
			if (m.action == DO_NOTHING && e != SVC_CONFLICT_OVER)
				assert_int_equal(m.next, s);
		}
	}
}

static void test_a_wake_is_never_lost(void **state)
{
	(void)state;
	for (unsigned s = 0; s < STATE_N; s++) {
		struct service_move m = service_fsm((enum service_state)s, SVC_WAKE);

		switch (s) {
		case STATE_OFF:
		case STATE_SAVED:
		case STATE_FAILED: assert_int_equal(m.action, DO_START); break;
		case STATE_SUSPENDED:
		case STATE_WARM: assert_int_equal(m.action, DO_RESUME); break;
		case STATE_DRAINING: assert_int_equal(m.action, DO_STAY); break;
		case STATE_STOPPING: assert_int_equal(m.action, DO_REMEMBER); break;
		default: assert_int_equal(m.action, DO_NOTHING);
		}
	}
}

/* Whatever we believed: when the VM is gone, the service ends where a wake starts it again. */
static void test_a_vm_that_is_gone(void **state)
{
	(void)state;
	for (unsigned s = 0; s < STATE_N; s++) {
		struct service_move m = service_fsm((enum service_state)s, SVC_STOPPED);

		assert_int_not_equal(m.action, DO_IMPOSSIBLE);
		if (s == STATE_STARTING || s == STATE_CONFLICT || s == STATE_SAVED)
			continue; /* the start's own result tells; the conflict goes on; it had none */
		assert_true(m.next == STATE_OFF || m.next == STATE_FAILED);
	}
}

/* A VM that somebody else started is never stopped, whatever comes, unless the operator says that it may be. */
static void test_adopted_is_never_stopped(void **state)
{
	(void)state;
	for (unsigned e = 0; e < SVC_EVENT_N; e++) {
		struct service_move m = service_fsm(STATE_ADOPTED, (enum service_event)e);

		assert_int_not_equal(m.action, DO_STOP);
		assert_int_not_equal(m.action, DO_DRAIN);
		assert_int_not_equal(m.action, DO_GIVE_UP);
		assert_true(m.next == STATE_ADOPTED || e == SVC_STOPPED || e == SVC_TAKEN);
	}
	for (unsigned s = 0; s < STATE_N; s++)
		assert_int_equal(service_fsm((enum service_state)s, SVC_FOUND_FOREIGN).next, STATE_ADOPTED);
}

/* Only through DRAINING, the operator's hand or a VM that never got ready is anything stopped. */
static void test_ways_to_stop(void **state)
{
	(void)state;
	for (unsigned s = 0; s < STATE_N; s++) {
		for (unsigned e = 0; e < SVC_EVENT_N; e++) {
			struct service_move m = service_fsm((enum service_state)s, (enum service_event)e);
			bool allowed = e == SVC_OPERATOR_STOP || (s == STATE_DRAINING && e == SVC_DRAINED) ||
				       (s == STATE_STOPPING && (e == SVC_STARTED || e == SVC_STOP_LOST));

			if (m.action == DO_STOP)
				assert_true(allowed);
			if (m.action == DO_GIVE_UP)
				assert_true(e == SVC_START_TIMEOUT && state_is_starting((enum service_state)s));
		}
	}
}

static void test_the_usual_life(void **state)
{
	static const struct {
		enum service_event event;
		enum service_action action;
		enum service_state next;
	} life[] = {
		{ SVC_WAKE, DO_START, STATE_STARTING },	   { SVC_STARTED, DO_PROBE, STATE_BOOTING },
		{ SVC_WAKE, DO_NOTHING, STATE_BOOTING },   { SVC_READY, DO_UP, STATE_UP },
		{ SVC_IDLE, DO_DRAIN, STATE_DRAINING },	   { SVC_WANTED, DO_STAY, STATE_UP },
		{ SVC_IDLE, DO_DRAIN, STATE_DRAINING },	   { SVC_DRAINED, DO_STOP, STATE_STOPPING },
		{ SVC_WAKE, DO_REMEMBER, STATE_STOPPING }, { SVC_STOPPED, DO_DOWN, STATE_OFF },
		{ SVC_WAKE, DO_START, STATE_STARTING },	   { SVC_READY, DO_UP, STATE_UP },
		{ SVC_STARTED, DO_NOTE_STARTED, STATE_UP }, { SVC_STOPPED, DO_DOWN, STATE_OFF },
		{ SVC_WAKE, DO_START, STATE_STARTING },	   { SVC_START_FAILED, DO_FAIL, STATE_FAILED },
		{ SVC_WAKE, DO_START, STATE_STARTING },	   { SVC_START_TIMEOUT, DO_GIVE_UP, STATE_FAILED },
	};
	enum service_state s = STATE_OFF;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(life); i++) {
		struct service_move m = service_fsm(s, life[i].event);

		assert_int_equal(m.action, life[i].action);
		assert_int_equal(m.next, life[i].next);
		s = m.next;
	}
}

/* What is saved is in no state but SAVED, until it is restored, thrown away, or found to run. */
static void test_what_is_saved(void **state)
{
	(void)state;
	for (unsigned s = 0; s < STATE_N; s++) {
		struct service_move m = service_fsm((enum service_state)s, SVC_SAVED);

		assert_true(m.next == STATE_SAVED || m.next == s);
		if (!state_counts((enum service_state)s) || s == STATE_STOPPING)
			assert_int_equal(m.next, STATE_SAVED);
		m = service_fsm((enum service_state)s, SVC_SAVE_GONE);
		assert_int_equal(m.next, s == STATE_SAVED ? STATE_OFF : s);
		m = service_fsm((enum service_state)s, SVC_RESTORE_FAILED);
		assert_true(m.next == s && (m.action == DO_START) == (s == STATE_STARTING));
	}
}

/* WARM shares SUSPENDED's rows, and neither it nor SAVED must turn into it by an event that means nothing. */
static void test_sleeping_states_keep_their_name(void **state)
{
	static const enum service_state sleeping[] = { STATE_SUSPENDED, STATE_SAVED, STATE_WARM };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sleeping); i++)
		assert_int_equal(service_fsm(sleeping[i], SVC_READY).next, sleeping[i]);
}

/* One that was never ready does not become so by a stop that fails. */
static void test_a_stop_that_fails(void **state)
{
	(void)state;
	assert_int_equal(service_fsm(STATE_STOPPING, SVC_STOP_FAILED).next, STATE_UP);
	assert_int_equal(service_fsm(STATE_STOPPING, SVC_STOP_FAILED_EARLY).next, STATE_BOOTING);
	for (unsigned s = 0; s < STATE_N; s++) {
		struct service_move m = service_fsm((enum service_state)s, SVC_STOP_FAILED_EARLY);

		assert_true(s == STATE_STOPPING || m.next == s);
	}
}

/* Whoever else has the address: a VM that is there stays what it is, and none is started. */
static void test_conflicts(void **state)
{
	(void)state;
	for (unsigned s = 0; s < STATE_N; s++) {
		enum service_state next = service_fsm((enum service_state)s, SVC_CONFLICT).next;

		if (s == STATE_OFF || s == STATE_FAILED || s == STATE_CONFLICT)
			assert_int_equal(next, STATE_CONFLICT);
		else
			assert_int_equal(next, s);
	}
	assert_int_equal(service_fsm(STATE_CONFLICT, SVC_CONFLICT_OVER).next, STATE_OFF);
	assert_int_equal(service_fsm(STATE_CONFLICT, SVC_WAKE).action, DO_NOTHING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_is_total),
		cmocka_unit_test(test_a_wake_is_never_lost),
		cmocka_unit_test(test_a_vm_that_is_gone),
		cmocka_unit_test(test_adopted_is_never_stopped),
		cmocka_unit_test(test_ways_to_stop),
		cmocka_unit_test(test_the_usual_life),
		cmocka_unit_test(test_what_is_saved),
		cmocka_unit_test(test_sleeping_states_keep_their_name),
		cmocka_unit_test(test_a_stop_that_fails),
		cmocka_unit_test(test_conflicts),
	};

	return cmocka_run_group_tests_name("launcher/service_fsm", tests, NULL, NULL);
}
