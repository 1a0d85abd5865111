/* DNS answered by XDP: where the program is, and for which services it answers.  (xdp.h is the program.)
 *
 * A service's names are in its table while these hold: dns has taken the newest snapshot, so that both
 * answer by the same configuration; the service is UP or ADOPTED; its record is in force.
 */
#ifndef LAUNCHER_XDP_SIDE_H
#define LAUNCHER_XDP_SIDE_H

#include "base/msg.h"

struct launcher;
struct service;

void xdp_side_stop(struct launcher *l); /* it is on no interface any more */

/* Another configuration is about to be in force, or dns to be told anew: nothing is answered until
 * xdp_side_loaded(). */
void xdp_side_withdraw(struct launcher *l);
/* A configuration is in force: which interfaces? */
void xdp_side_configured(struct launcher *l);
/* dns answers by the newest snapshot. */
void xdp_side_loaded(struct launcher *l);

/* Before dns hears of its new state. */
void xdp_side_judge(struct service *s);
/* Before it gets another record, and before it is forgotten. */
void xdp_side_leave(struct service *s);
/* A new service, whose index may have been another's. */
void xdp_side_begin(struct service *s);

/* How much of dns.rate is left for dns's sockets. */
uint32_t xdp_side_rate(const struct launcher *l);

/* When it was last asked for here, and how often. */
uint64_t xdp_side_asked_ms(const struct service *s);
uint64_t xdp_side_count(const struct service *s);

void xdp_side_status(struct launcher *l, struct msg_ctl_row *row);
/* All that it counts; *out is left alone where there is none. */
struct xdp_counts;
void xdp_side_counts(const struct launcher *l, struct xdp_counts *out);
void xdp_side_stats(struct launcher *l, struct msg_ctl_row *row);

#endif
