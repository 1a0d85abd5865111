/* What jitsuctl says of how it is used. */
#ifndef CMD_USAGE_H
#define CMD_USAGE_H

#include <stdio.h>

#include "base/err.h"

void usage_print(FILE *f);
/* Of a command, to stdout.  0, or -EINVAL with *e: there is none of this name. */
int usage_print_of(const char *command, struct err *e);
/* The first jitsu's options, to stdout. */
void usage_print_old(void);

/* EXIT_USAGE, having said why. */
int usage_error(const char *text);

#endif
