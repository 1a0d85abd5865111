/* Network managers that run on this host, and take every new interface for theirs: they may set our
 * taps down, take them off their bridge, or ask for an address there. */
#ifndef LAUNCHER_MANAGERS_H
#define LAUNCHER_MANAGERS_H

#include "launcher/netlink.h"

/* One sentence for each that nobody told to leave our taps (TAP_PREFIX, HOLD_TAP_PREFIX) alone, with
 * what to write where.  For the log, at start.  Looks at NetworkManager, systemd-networkd and
 * ifupdown: which run, and their configuration files.  `root` is put before every path: "" but for
 * tests.  Takes some milliseconds. */
void managers_warnings(const char *root, netlink_warn_fn *warn, void *arg);

#endif
