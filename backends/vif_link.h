/* A change to one interface, by rtnetlink: for jitsu-vif, which is static and has no library for it. */
#ifndef BACKENDS_VIF_LINK_H
#define BACKENDS_VIF_LINK_H

#include "base/util.h"

enum link_flag { LINK_AS_IT_IS, LINK_DOWN, LINK_UP };

struct link_change {
	enum link_flag flag;
	const char *name; /* NULL: as it is; the interface must be down */
	const uint8_t *mac; /* 6 bytes; NULL: as it is */
	uint32_t mtu; /* 0: as it is */
	const int *master; /* ifindex of the bridge it shall be a port of, 0 for none; NULL: as it is */
	bool no_ipv6; /* it gets no address by itself, when it comes up */
};

/* All of it, or (mostly) nothing: 0 or the kernel's -errno.  -ENODEV when there is no such interface. */
int link_change(int ifindex, const struct link_change *c);

#endif
