/* Who may be started now: limits on what runs, and on what one source may wake.  Pure: numbers in,
 * verdicts out.
 *
 * A wake over a limit of the host waits (its answer may wait too); one over its source's limit
 * is refused, for waiting would only let one source fill the queue of all.
 */
#ifndef LAUNCHER_BUDGET_H
#define LAUNCHER_BUDGET_H

#include "base/addr.h"
#include "base/util.h"

struct budget {
	uint32_t max_running, max_starting;
	uint64_t max_memory; /* bytes, of all guests together */
	uint32_t running, starting;
	uint64_t memory;
	/* of these, what clients woke whose addresses may be forged, as long as nobody has come */
	uint32_t unproven_running, unproven_starting;
	uint64_t unproven_memory;
};

enum budget_verdict { BUDGET_OK, BUDGET_RUNNING, BUDGET_STARTING, BUDGET_MEMORY, BUDGET_N };

/* May one more VM with `memory` bytes start?  A VM that is larger than the whole limit never may. */
enum budget_verdict budget_admit(const struct budget *b, uint64_t memory);
/* The same for one that such a client wakes: they may have half of each limit, and always one VM, so that the other
 * half is left for those who have shown who they are. */
enum budget_verdict budget_admit_unproven(const struct budget *b, uint64_t memory);
/* A sentence for people: "64 VMs run already (limits.max_running)". */
void budget_explain(const struct budget *b, enum budget_verdict verdict, uint64_t memory, char *out, size_t size);

/* ---- allowances ----
 *
 * A token bucket of `most` tokens, that fills within period_ms.  Zeroed: full.
 */
struct allowance {
	double tokens;
	uint64_t filled_ms; /* `tokens` were right then */
};

/* Has it a token? */
bool allowance_has(struct allowance *a, uint32_t most, uint64_t period_ms, uint64_t now_ms);
void allowance_take(struct allowance *a); /* one, which it has */

/* ---- sources ----
 *
 * A token bucket for each client network (/24, /56), in a fixed table: the one not heard of for
 * longest makes room, so that a flood of forged sources costs no memory.  A bucket begins full.
 */
struct sources;

struct sources *sources_new(uint32_t most, uint64_t period_ms);
void sources_free(struct sources *s);
void sources_set(struct sources *s, uint32_t most, uint64_t period_ms); /* after a reload */
/* Is there a token? */
bool sources_has(struct sources *s, const struct ip_addr *source, uint64_t now_ms);
/* Takes one token; false when there is none. */
bool sources_take(struct sources *s, const struct ip_addr *source, uint64_t now_ms);

/* ---- back-off ---- */

/* How long to wait after the n-th failure in a row (from 1), in ms: 1 s doubled up to 5 min, and
 * a quarter of it up or down by `random`, so that many services do not retry in step. */
uint64_t back_off_ms(uint32_t failures, uint32_t random);

#endif
