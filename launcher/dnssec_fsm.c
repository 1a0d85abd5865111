#include "launcher/dnssec_fsm.h"

#include <assert.h>

struct row {
	enum dnssec_phase phase;
	enum dnssec_event event;
	struct dnssec_move move;
};

static const struct row rows[] = {
	{ DNSSEC_OFF, DNSSEC_ENABLE, { DNSSEC_FIRST_KEY, DNSSEC_FRESH, false } },

	{ DNSSEC_FRESH, DNSSEC_TIME, { DNSSEC_KEEP, DNSSEC_WAIT_DS, true } },
	{ DNSSEC_FRESH, DNSSEC_DS_SEEN, { DNSSEC_KEEP, DNSSEC_SIGNED, true } },
	{ DNSSEC_FRESH, DNSSEC_DISABLE, { DNSSEC_DROP_ALL, DNSSEC_OFF, false } },

	{ DNSSEC_WAIT_DS, DNSSEC_DS_SEEN, { DNSSEC_KEEP, DNSSEC_SIGNED, false } },
	{ DNSSEC_WAIT_DS, DNSSEC_DISABLE, { DNSSEC_KEEP, DNSSEC_WITHDRAWN, false } },

	{ DNSSEC_SIGNED, DNSSEC_DS_SEEN, { DNSSEC_KEEP, DNSSEC_SIGNED, false } },
	{ DNSSEC_SIGNED, DNSSEC_ROLL, { DNSSEC_NEXT_KEY, DNSSEC_PUBLISH, false } },
	{ DNSSEC_SIGNED, DNSSEC_DISABLE, { DNSSEC_KEEP, DNSSEC_WITHDRAWN, false } },

	{ DNSSEC_PUBLISH, DNSSEC_TIME, { DNSSEC_KEEP, DNSSEC_WAIT_NEW_DS, true } },
	{ DNSSEC_PUBLISH, DNSSEC_DS_SEEN, { DNSSEC_SWAP_KEYS, DNSSEC_SWAPPED, true } },

	{ DNSSEC_WAIT_NEW_DS, DNSSEC_DS_SEEN, { DNSSEC_SWAP_KEYS, DNSSEC_SWAPPED, false } },

	{ DNSSEC_SWAPPED, DNSSEC_TIME, { DNSSEC_DROP_RETIRED, DNSSEC_SIGNED, true } },
	{ DNSSEC_SWAPPED, DNSSEC_DS_SEEN, { DNSSEC_DROP_RETIRED, DNSSEC_SIGNED, true } },

	{ DNSSEC_WITHDRAWN, DNSSEC_TIME, { DNSSEC_DROP_ALL, DNSSEC_OFF, true } },
	{ DNSSEC_WITHDRAWN, DNSSEC_DISABLE, { DNSSEC_DROP_ALL, DNSSEC_OFF, true } },
	{ DNSSEC_WITHDRAWN, DNSSEC_ENABLE, { DNSSEC_KEEP, DNSSEC_WAIT_DS, false } },
};

const struct dnssec_move *dnssec_fsm(enum dnssec_phase phase, enum dnssec_event event)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].phase == phase && rows[i].event == event)
			return &rows[i].move;
	return NULL;
}

#define IS_SIGNED \
	"it is signed already: \"jitsuctl dnssec status\" shows its key, \"jitsuctl dnssec roll\" makes a new one"
#define ROLLS "a key roll is under way: \"jitsuctl dnssec status\" shows its next step"
#define NOT_SIGNED "it is not signed: \"jitsuctl dnssec enable\" does that"
#define NO_DS_YET \
	"the parent has no DS for its key yet, as far as known: when it has, run \"jitsuctl dnssec ds-seen\" first"
#define LEAVES "it is about to be no longer signed: \"jitsuctl dnssec enable\" keeps it signed"
#define FINISH_ROLL "a key roll is under way: finish it first; \"jitsuctl dnssec status\" shows its next step"

static const char *const refusals[DNSSEC_PHASE_N][DNSSEC_EVENT_N] = {
	[DNSSEC_OFF] = { [DNSSEC_DS_SEEN] = NOT_SIGNED, [DNSSEC_ROLL] = NOT_SIGNED, [DNSSEC_DISABLE] = NOT_SIGNED },
	[DNSSEC_FRESH] = { [DNSSEC_ENABLE] = IS_SIGNED, [DNSSEC_ROLL] = NO_DS_YET },
	[DNSSEC_WAIT_DS] = { [DNSSEC_ENABLE] = IS_SIGNED, [DNSSEC_ROLL] = NO_DS_YET },
	[DNSSEC_SIGNED] = { [DNSSEC_ENABLE] = IS_SIGNED },
	[DNSSEC_PUBLISH] = { [DNSSEC_ENABLE] = IS_SIGNED, [DNSSEC_ROLL] = ROLLS, [DNSSEC_DISABLE] = FINISH_ROLL },
	[DNSSEC_WAIT_NEW_DS] = { [DNSSEC_ENABLE] = IS_SIGNED, [DNSSEC_ROLL] = ROLLS, [DNSSEC_DISABLE] = FINISH_ROLL },
	[DNSSEC_SWAPPED] = { [DNSSEC_ENABLE] = IS_SIGNED, [DNSSEC_ROLL] = ROLLS, [DNSSEC_DISABLE] = FINISH_ROLL },
	[DNSSEC_WITHDRAWN] = { [DNSSEC_DS_SEEN] = LEAVES, [DNSSEC_ROLL] = LEAVES },
};

const char *dnssec_refusal(enum dnssec_phase phase, enum dnssec_event event)
{
	const char *text = refusals[phase][event];

	return text ? text : "";
}

static const struct {
	const char *name, *means;
	enum dnssec_wait wait;
	bool cds;
	unsigned keys;
} phases[] = {
	[DNSSEC_OFF] = { "off", "not signed", DNSSEC_WAIT_NONE, false, 0 },
	[DNSSEC_FRESH] = { "fresh",
			   "signed; resolvers may still have records without signatures, so the parent must not have "
			   "its DS yet",
			   DNSSEC_WAIT_TTL, false, 1 },
	[DNSSEC_WAIT_DS] = { "wait-ds",
			     "signed; its DS can be given to the parent, and then \"jitsuctl dnssec ds-seen\"",
			     DNSSEC_WAIT_NONE, true, 1 },
	[DNSSEC_SIGNED] = { "signed", "signed; the parent has its DS", DNSSEC_WAIT_NONE, true, 1 },
	[DNSSEC_PUBLISH] = { "publish",
			     "a new key is published; resolvers may still have the DNSKEY records without it",
			     DNSSEC_WAIT_DNSKEY_TTL, true, 2 },
	[DNSSEC_WAIT_NEW_DS] = { "wait-new-ds",
				 "a new key is published; its DS can be added at the parent, beside the old one, and "
				 "then \"jitsuctl dnssec ds-seen\"",
				 DNSSEC_WAIT_NONE, true, 2 },
	[DNSSEC_SWAPPED] = { "swapped",
			     "the new key signs; resolvers may still have signatures or the DS of the old one",
			     DNSSEC_WAIT_TTL_AND_DS, true, 2 },
	[DNSSEC_WITHDRAWN] = { "withdrawn", "signed until no resolver can have its DS any more", DNSSEC_WAIT_DS_TTL,
			       false, 1 },
};
static_assert(ARRAY_SIZE(phases) == DNSSEC_PHASE_N, "a phase has no row");

enum dnssec_wait dnssec_wait_of(enum dnssec_phase phase) { return phases[phase].wait; }

bool dnssec_lists_cds(enum dnssec_phase phase) { return phases[phase].cds; }

unsigned dnssec_keys_of(enum dnssec_phase phase) { return phases[phase].keys; }

const char *dnssec_phase_name(unsigned phase) { return phase < DNSSEC_PHASE_N ? phases[phase].name : "?"; }

const char *dnssec_phase_means(unsigned phase) { return phase < DNSSEC_PHASE_N ? phases[phase].means : "?"; }

static const char *const event_names[] = {
	[DNSSEC_ENABLE] = "enable",   [DNSSEC_TIME] = "time",	      [DNSSEC_DS_SEEN] = "ds-seen",
	[DNSSEC_ROLL] = "roll", [DNSSEC_DISABLE] = "disable",
};
static_assert(ARRAY_SIZE(event_names) == DNSSEC_EVENT_N, "an event has no name");

const char *dnssec_event_name(unsigned event) { return event < DNSSEC_EVENT_N ? event_names[event] : "?"; }
