#include "cmd/pulse.h"

void pulse_restart(struct pulse *p) { p->asked = false; }

enum pulse_state pulse_look(const struct pulse *p, uint64_t now, uint64_t period)
{
	if (!p->asked)
		return PULSE_ASK;
	return now - p->asked_ms >= period / 2 ? PULSE_STUCK : PULSE_WAIT;
}

void pulse_ask(struct pulse *p, uint64_t now)
{
	p->asked = true;
	p->asked_ms = now;
}

void pulse_hear(struct pulse *p, uint64_t now)
{
	p->asked = false;
	p->heard_ms = now;
}

bool pulse_beats(const struct pulse *p, uint64_t now, uint64_t since, uint64_t period)
{
	return now - MAX(p->heard_ms, since) < period;
}
