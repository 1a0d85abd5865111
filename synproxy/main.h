/* The process that looks at VMs from the network: whether they are ready, who wants those that are
 * not there, and what clients send to them meanwhile.
 */
#ifndef SYNPROXY_MAIN_H
#define SYNPROXY_MAIN_H

#include "base/child.h"

/* Runs until it is told to stop; the exit status. */
int synproxy_main(const struct child_args *args);

#endif
