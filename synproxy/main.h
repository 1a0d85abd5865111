/* The process that looks at VMs from the network: today, whether they are ready. */
#ifndef SYNPROXY_MAIN_H
#define SYNPROXY_MAIN_H

#include "base/child.h"

/* Runs until it is told to stop; the exit status. */
int synproxy_main(const struct child_args *args);

#endif
