/* The DNS process: answers for the zones, wakes the services asked for. */
#ifndef DNS_MAIN_H
#define DNS_MAIN_H

#include "base/child.h"

/* The exit status. */
int dns_main(const struct child_args *args);

#endif
