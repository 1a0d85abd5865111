/* Metrics as Prometheus reads them: the text format, version 0.0.4.  Pure.
 *
 *     # HELP jitsu_services Services in each state.
 *     # TYPE jitsu_services gauge
 *     jitsu_services{state="off"} 3
 *
 * The samples of one metric must come one after the other, as the launcher sends them; one that comes
 * again later, or that base/metric.h does not have, is left out, for the reader would refuse the whole.
 */
#ifndef CONTROL_EXPOSITION_H
#define CONTROL_EXPOSITION_H

#include "base/buf.h"
#include "base/msg.h"

#define EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct exposition {
	struct buf text;
	bool begun[METRIC_N]; /* its HELP and TYPE are there */
	unsigned now; /* the metric of the last sample */
};

void exposition_clear(struct exposition *x); /* leaves an empty one */
void exposition_sample(struct exposition *x, const struct msg_sample *s);
void exposition_histogram(struct exposition *x, const struct msg_histogram *h);

#endif
