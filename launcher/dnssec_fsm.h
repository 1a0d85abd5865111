/* How the keys of a zone move: a table of rows (phase, event, action, next), and nothing else.
 *
 *           enable             TTL               ds-seen
 *   OFF ------------> FRESH --------> WAIT_DS -------------> SIGNED <-------------------.
 *    ^                  |             |  ^                   |  |  roll                  | TTL,
 *    |     disable      |     disable |  | enable    disable |  v                        | DS's TTL
 *    |<-----------------'             v  |                   | PUBLISH                   |
 *    |             DS's TTL          WITHDRAWN <-------------'  | DNSKEY's TTL           |
 *    '----------------------------------'                       v            ds-seen     |
 *                                                           WAIT_NEW_DS ----------> SWAPPED
 *
 * Whoever insists need not wait: ds-seen leads from FRESH to SIGNED, from PUBLISH to SWAPPED, from SWAPPED to SIGNED,
 * disable from WITHDRAWN to OFF.
 *
 *   phase        signs   published  in CDS     waits until nobody can have kept
 *   FRESH        the key the key    -          a record of the time without signatures
 *   WAIT_DS      the key the key    the key    (the operator)
 *   SIGNED       the key the key    the key
 *   PUBLISH      old     both       both       DNSKEY records without the new key
 *   WAIT_NEW_DS  old     both       both       (the operator)
 *   SWAPPED      new     both       both       signatures of the old key, or a DS that stands for it alone
 *   WITHDRAWN    the key the key    -          a DS
 *
 * Each key that is published signs the DNSKEY, CDS and CDNSKEY records (RFC 6781, 4.1.2, "double signature"), so
 * that either DS at the parent will do.  All of a zone's keys have the same algorithm: another one would have to sign
 * everything as well (RFC 6840, 5.11).
 */
#ifndef LAUNCHER_DNSSEC_FSM_H
#define LAUNCHER_DNSSEC_FSM_H

#include "base/util.h"

enum dnssec_phase {
	DNSSEC_OFF,
	DNSSEC_FRESH,
	DNSSEC_WAIT_DS,
	DNSSEC_SIGNED,
	DNSSEC_PUBLISH,
	DNSSEC_WAIT_NEW_DS,
	DNSSEC_SWAPPED,
	DNSSEC_WITHDRAWN,
	DNSSEC_PHASE_N
};

enum dnssec_event {
	DNSSEC_ENABLE,
	DNSSEC_TIME, /* the phase's wait is over */
	DNSSEC_DS_SEEN, /* the operator says: the parent has the DS that it should */
	DNSSEC_ROLL,
	DNSSEC_DISABLE, /* the operator says: the parent has no DS */
	DNSSEC_EVENT_N
};

enum dnssec_action {
	DNSSEC_KEEP, /* the same keys */
	DNSSEC_FIRST_KEY, /* one is made */
	DNSSEC_NEXT_KEY, /* another one is made */
	DNSSEC_SWAP_KEYS, /* the next one signs */
	DNSSEC_DROP_RETIRED,
	DNSSEC_DROP_ALL,
	DNSSEC_ACTION_N
};

/* What must have run out of everybody's cache before the phase's wait is over. */
enum dnssec_wait {
	DNSSEC_WAIT_NONE,
	DNSSEC_WAIT_TTL, /* any record of the zone */
	DNSSEC_WAIT_DNSKEY_TTL, /* its DNSKEY records */
	DNSSEC_WAIT_TTL_AND_DS, /* any record, and the parent's DS */
	DNSSEC_WAIT_DS_TTL, /* the parent's DS */
};

struct dnssec_move {
	enum dnssec_action action;
	enum dnssec_phase next;
	bool after_wait; /* only once the phase's wait is over, unless the operator insists */
};

/* NULL: that cannot be done in this phase, and dnssec_refusal() says why. */
const struct dnssec_move *dnssec_fsm(enum dnssec_phase phase, enum dnssec_event event);
/* A sentence with what to do; "" for DNSSEC_TIME. */
const char *dnssec_refusal(enum dnssec_phase phase, enum dnssec_event event);
enum dnssec_wait dnssec_wait_of(enum dnssec_phase phase);
/* Its keys are listed in CDS and CDNSKEY. */
bool dnssec_lists_cds(enum dnssec_phase phase);
/* How many keys a zone has then. */
unsigned dnssec_keys_of(enum dnssec_phase phase);

const char *dnssec_phase_name(unsigned phase); /* "off", "fresh", "wait-ds" .. */
const char *dnssec_event_name(unsigned event);
/* What the phase waits for, or that it does not; a sentence. */
const char *dnssec_phase_means(unsigned phase);

#endif
