/* A wake drawn as a waterfall: one line for each phase, its length in ms and a bar that begins
 * where the phase before it ended.
 *
 *     www  wake 6  03:04:05.678  up in 97.4 ms
 *       asked           0.0  dns, 192.168.1.5
 *       heard           0.3  ▏
 *       start           1.2  ▊
 *       SYN             1.0   ▍
 *       running        59.1   ██████████████████████████▌
 *       ARP            12.4                              █████▍
 *       port open      23.4                                   ██████████▎
 *       up              0.0                                             ▏
 *       FDB moved       0.4                                             ▎
 *       released        0.1                                             ▎
 *       first byte      1.4                                             ▌
 *       total          99.3 ms
 *
 * The phases are exact: each is the difference of two rounded times, so that they add up to the
 * total as it is shown.  A phase ends at its mark, in the order in which the marks were reached
 * (a guest may answer ARP before the hypervisor's call returns); a mark not reached has no line.
 */
#ifndef CMD_WATERFALL_H
#define CMD_WATERFALL_H

#include "cmd/text.h"

enum waterfall_mark {
	MARK_HEARD, /* the launcher has the wake */
	MARK_SYN, /* a client's first packet was held */
	MARK_START, /* the hypervisor was asked */
	MARK_RUNNING,
	MARK_LINK, /* first answer to ARP or ND */
	MARK_PORT, /* the port is open */
	MARK_MOVED, /* the bridge sends the VM's frames to its own port again */
	MARK_RELEASED, /* what was held was sent on */
	MARK_FIRST_BYTE, /* the VM's first data for a client */
	MARK_UP, /* everything wanted is there */
	MARK_ANSWERED, /* the query that waited was answered */
	MARK_FAILED, /* it was given up */
	MARK_N
};

enum { WATERFALL_WIDTH_MAX = 80 };

struct waterfall {
	uint64_t wake;
	const char *service, *cause, *client, *result, *reason; /* "" when unknown, never NULL */
	uint64_t wall_ms; /* when it was asked */
	int64_t us[MARK_N]; /* microseconds from then to each mark; -1: not reached */
};

/* The row's key for a mark: "t_wake_us" .. */
const char *waterfall_key(enum waterfall_mark mark);

/* Adds the lines; `now_wall_ms` tells whether the day must be named. */
void waterfall_draw(const struct waterfall *w, const struct term *t, uint64_t now_wall_ms, struct buf *out);

#endif
