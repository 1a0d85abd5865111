/* Who touches many services that it may not wake: a scanner.  Pure.
 *
 * A fixed table of the sources (IPv4 addresses, IPv6 /64) refused lately; the one not heard of for
 * longest makes room, so that a flood of forged sources costs no memory.
 */
#ifndef LAUNCHER_SWEEPS_H
#define LAUNCHER_SWEEPS_H

#include "base/addr.h"
#include "base/util.h"

enum {
	SWEEP_SERVICES = 8, /* so many different ones .. */
	SWEEP_MS = 60000, /* .. within this time */
};

struct sweeps;

struct sweeps *sweeps_new(void); /* NULL: no memory */
void sweeps_free(struct sweeps *s);

/* This source was refused at this service.  True when that makes it a sweep, at most once in
 * SWEEP_MS of each source. */
bool sweeps_note(struct sweeps *s, const struct ip_addr *source, uint32_t service, uint64_t now_ms);

/* How many there were. */
uint64_t sweeps_count(const struct sweeps *s);

#endif
