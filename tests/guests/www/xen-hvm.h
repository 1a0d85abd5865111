/* Guests of Xen whose addresses are their own: PVH and arm64. */
#ifndef GUEST_XEN_HVM_H
#define GUEST_XEN_HVM_H

#include "xen-machine.h"

/** xen_hvm_start() - Map what is the host's, ask for the rest, and go on to xen_main() */
void xen_hvm_start(const char *cmdline) __attribute__((noreturn));

#endif
