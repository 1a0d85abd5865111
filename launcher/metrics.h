/* What jitsu can be measured by (base/metric.h): what the launcher counts for it, and the answer to the
 * control process, which writes it for whoever asks over HTTP.
 *
 * Counters of other processes begin at zero when those are started again; here they go on, so that they
 * only ever rise while the launcher lives.  What a process counted after it was last asked, dies with it.
 */
#ifndef LAUNCHER_METRICS_H
#define LAUNCHER_METRICS_H

#include "base/log.h"
#include "base/msg.h"

struct launcher;
struct metrics;

/* A counter that is somebody else's, and may begin anew. */
struct tally {
	uint64_t total, last;
};
void tally_follow(struct tally *t, uint64_t now);
void tally_restart(struct tally *t); /* it begins at zero again */

struct metrics *metrics_new(struct launcher *l); /* NULL: no memory */

/* Control asks: MSG_METRICS and the like follow, at the latest when dns has not answered in time. */
void metrics_ask(struct launcher *l, const struct msg_metrics_id *ask);
void metrics_control_new(struct launcher *l); /* what was asked before, nobody waits for */

void metrics_dns_new(struct launcher *l); /* it counts from zero */
void metrics_dns_counted(struct launcher *l, const struct msg_dns_counts *m);
void metrics_held(struct launcher *l, const struct msg_hold_counts *before, const struct msg_hold_counts *now);
void metrics_hooks_new(struct launcher *l);
void metrics_hooks_counted(struct launcher *l, const struct msg_hook_counts *m);
void metrics_logged(struct launcher *l, enum log_level level);
void metrics_process(struct launcher *l, const struct msg_process *m);

#endif
