/* The launcher process: what cmd/jitsud.c runs for `--role launcher`. */
#ifndef LAUNCHER_MAIN_H
#define LAUNCHER_MAIN_H

#include "base/child.h"

/* Does not return before the process is told to stop.  The exit status. */
int launcher_main(const struct child_args *args);

#endif
