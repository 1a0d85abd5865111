/* What the guest serves. */
#ifndef GUEST_SERVICES_H
#define GUEST_SERVICES_H

#include "tcp.h"

extern const struct tcp_service http_service;
extern const struct tcp_service banner_service;

/** guest_off_soon() - Power off, once the answer that says so has had time */
void guest_off_soon(void);

/** guest_say() - Tell jitsu this, as soon as it hears us */
void guest_say(const char *line);

/** guest_shout() - Tell it so many lines that are no message, as fast as possible */
void guest_shout(uint32_t times);

#endif
