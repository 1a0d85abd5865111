/* `jitsuctl top` on a terminal: asks again each second, until "q". */
#ifndef CMD_LIVE_H
#define CMD_LIVE_H

#include "base/err.h"

/* 0, or -errno with *e when the terminal cannot be used, or jitsud could not be asked even once. */
int live_top(const char *socket, bool no_color, struct err *e);

#endif
