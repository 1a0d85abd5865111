/* The address of a service: given, waited for, or refused, as its state and its options have it. */
#include "dns/answer_internal.h"

#include <assert.h>

/* By the service's state and its `answer`. */
static const uint8_t todo_of[STATE_N][ANSWER_N] = {
	/*		       at-once		  started	  ready */
	[STATE_OFF]	  = { ANSWER_AND_WAKE, HOLD_AND_WAKE, HOLD_AND_WAKE },
	[STATE_STARTING]  = { ANSWER,		HOLD,		HOLD },
	[STATE_BOOTING]	  = { ANSWER,		ANSWER,	HOLD },
	[STATE_UP]	  = { ANSWER,		ANSWER,	ANSWER },
	[STATE_ADOPTED]	  = { ANSWER,		ANSWER,	ANSWER },
	[STATE_DRAINING]  = { ANSWER_AND_WAKE, HOLD_AND_WAKE, HOLD_AND_WAKE },
	[STATE_STOPPING]  = { ANSWER_AND_WAKE, HOLD_AND_WAKE, HOLD_AND_WAKE },
	[STATE_FAILED]	  = { ANSWER_AND_WAKE, HOLD_AND_WAKE, HOLD_AND_WAKE },
	[STATE_SUSPENDED] = { ANSWER_AND_WAKE, HOLD_AND_WAKE, HOLD_AND_WAKE },
	[STATE_SAVED]	  = { ANSWER_AND_WAKE, HOLD_AND_WAKE, HOLD_AND_WAKE },
	[STATE_WARM]	  = { ANSWER_AND_WAKE, HOLD_AND_WAKE, HOLD_AND_WAKE },
	[STATE_CONFLICT]  = { FAIL,		FAIL,		FAIL },
};
static_assert(STATE_N == 12, "a new state needs its row above");

static bool is_running(uint8_t state) { return state == STATE_UP || state == STATE_ADOPTED; }

enum todo answer_may_do(const struct answer *a, unsigned wake_dns, enum todo todo)
{
	bool waits = todo == HOLD || todo == HOLD_AND_WAKE;

	if (wake_dns == WAKE_DNS_VERIFIED && waits && !a->verified)
		return PROVE;
	if (wake_dns == WAKE_DNS_OFF && todo == HOLD_AND_WAKE)
		return FAIL;
	if (todo == ANSWER_AND_WAKE && (wake_dns == WAKE_DNS_OFF || (wake_dns == WAKE_DNS_VERIFIED && !a->verified)))
		return ANSWER;
	return todo;
}

/* Who asks for an address that nobody knows yet can only wait for it. */
static enum todo wait_for(enum todo todo)
{
	if (todo == ANSWER)
		return HOLD;
	return todo == ANSWER_AND_WAKE ? HOLD_AND_WAKE : todo;
}

/* ... and so has whoever asks again, for a query that must not wait any longer. */
static enum todo what_to_do(const struct answer *a, const struct zone_service *s, unsigned state, bool unknown)
{
	unsigned when = s->answer; /* an index itself would not be read atomically (GCC) */
	enum todo usual = todo_of[state][when];
	enum todo todo = answer_may_do(a, s->wake_dns, unknown ? wait_for(usual) : usual);

	if (unknown && todo == ANSWER) /* wake_dns: off */
		todo = FAIL;
	if (a->wish == WISH_WAIT || todo == ANSWER || todo == FAIL)
		return todo;
	if (a->wish == WISH_NOW && !unknown)
		return ANSWER;
	return a->wish == WISH_PROVE && !a->verified ? PROVE : FAIL;
}

static bool use_variant(const struct tables *t, const struct zone_node *node, unsigned type,
			enum zone_variant variant, const struct zone_rrset **set)
{
	const struct zone_rrset *other = tables_variant(t, node, type, variant);

	if (other)
		*set = other;
	return other;
}

enum step answer_ask_service(struct answer *a, struct tables *t, const struct zone_node *node,
			     const struct zone_rrset **set)
{
	struct zone_service *s = tables_service_at(t, node->service);
	unsigned state = s->state, type = a->q.type;
	bool unknown = s->unknown && type == TYPE_A;
	enum todo todo = what_to_do(a, s, state, unknown);

	a->service = s;
	a->wake = todo == ANSWER_AND_WAKE || todo == HOLD_AND_WAKE;
	a->mark = is_running(state);
	if (!*set && !unknown)
		return STEP_END;
	if (todo == PROVE)
		return STEP_PROVE;
	if (todo == HOLD || todo == HOLD_AND_WAKE)
		return STEP_HOLD;
	if (todo == FAIL) {
		if (a->wish == WISH_WAIT)
			a->trouble = state == STATE_CONFLICT ? TROUBLE_CONFLICT : TROUBLE_ASLEEP;
		return use_variant(t, node, type, ZONE_FALLBACK, set) ? STEP_END : STEP_FAIL;
	}
	a->mark = true;
	if (!is_running(state))
		use_variant(t, node, type, ZONE_DOWN, set);
	return STEP_END;
}
