/* The supervisor: the one process that stays.  supervisor.c tells how it works. */
#ifndef CMD_SUPERVISOR_H
#define CMD_SUPERVISOR_H

#include "config/load.h"

/* Runs until SIGTERM or SIGINT.  `conf_path` is absolute.  The exit status. */
int supervisor_run(const struct conf *conf, const char *conf_path);

#endif
