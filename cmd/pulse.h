/* Whether processes still go round their event loops.
 *
 * Each is asked (MSG_PING) once in a while and answers from its loop (MSG_PONG), so an answer means that
 * everything else that comes to it is heard, too.  One question at a time: a process that does not answer is
 * asked no more, and its channel does not fill up.
 *
 * One that does not answer is stuck, and killed by the supervisor, which starts it again.  Where that does not
 * help - no process in this place has answered for a whole period - the service manager is left without its sign
 * of life, and starts everything anew.
 *
 * All times are in ms of the same clock.
 */
#ifndef CMD_PULSE_H
#define CMD_PULSE_H

#include "base/util.h"

/* Of one process, or of those that follow each other in its place. */
struct pulse {
	bool asked; /* at asked_ms, and not answered */
	uint64_t asked_ms, heard_ms;
};

enum pulse_state { PULSE_ASK /* it now: pulse_ask() */, PULSE_WAIT, PULSE_STUCK };

/* Another process begins in its place. */
void pulse_restart(struct pulse *p);
/* `period`: of the watchdog; a process may take half of it to answer. */
enum pulse_state pulse_look(const struct pulse *p, uint64_t now, uint64_t period);
void pulse_ask(struct pulse *p, uint64_t now);
void pulse_hear(struct pulse *p, uint64_t now);
/* Whether it was heard within a period; `since`: when the watching began. */
bool pulse_beats(const struct pulse *p, uint64_t now, uint64_t since, uint64_t period);

#endif
