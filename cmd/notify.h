/* What the service manager is told: systemd's Type=notify, and its watchdog.
 *
 * sd_notify(3) is one datagram to $NOTIFY_SOCKET, so no library is needed for it.
 */
#ifndef CMD_NOTIFY_H
#define CMD_NOTIFY_H

#include "base/util.h"

/* Sends `state` ("READY=1"; several assignments with newlines between).  Does nothing where no service manager
 * asked for it; says in the log when it cannot be reached. */
void notify_send(const char *state);

/* "RELOADING=1" with the time, as the protocol wants it; "READY=1" must follow. */
void notify_reloading(void);

/* How often at least the service manager wants to hear "WATCHDOG=1", in ms ($WATCHDOG_USEC).  0: not at all, or it
 * is another process that it watches ($WATCHDOG_PID). */
uint64_t notify_watchdog_ms(void);

#endif
