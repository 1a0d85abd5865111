/* The control process: what cmd/jitsud.c runs for `--role control`. */
#ifndef CONTROL_MAIN_H
#define CONTROL_MAIN_H

#include "base/child.h"

/* Does not return before the process is told to stop.  The exit status. */
int control_main(const struct child_args *args);

#endif
