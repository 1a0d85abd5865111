/* What happens, told to the process that runs hooks.  It is away where there are none. */
#ifndef LAUNCHER_HOOKS_SIDE_H
#define LAUNCHER_HOOKS_SIDE_H

#include "base/msg.h"

struct launcher;
struct service;

void hooks_channel(struct launcher *l, int fd);
void hooks_configured(struct launcher *l); /* a configuration is in force */

void hooks_up(const struct service *s, uint64_t wake_ms);
void hooks_failed(const struct service *s);
/* It is off or suspended; and perhaps nothing runs any more. */
void hooks_stopped(const struct service *s);

#endif
