/* An address that was learned of a service's VM: what is known of it, whether it proved stable, and which
 * addresses a VM may be taken to have.  Pure: no clock, no sockets.
 */
#ifndef LAUNCHER_LEARNED_H
#define LAUNCHER_LEARNED_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/msg.h"

enum {
	LEARNED_BOOTS = 2, /* with the same address: it is stable; .. */
	LEARNED_STABLE_MS = 10 * 60 * 1000, /* .. or it had it that long since it was seen with it in one boot */
	LEARNED_OWN_MAX = 256, /* addresses of the host's that are looked at */
	LEARNED_TEXT_MAX = 160,
	LEARNED_CHANGES = 4, /* in one boot that are believed at once; then one each .. */
	LEARNED_CHANGE_MS = 60 * 1000,
};

struct learned_address {
	struct ip_prefix at; /* with its network's length; 0: none is known */
	uint8_t how; /* enum learn_how: of the first time */
	bool stable;
	uint64_t since_ms; /* since 1970: the first time */
	uint32_t boots; /* that it was seen in, in a row */
	uint64_t boot; /* the last one that was counted */
};

bool learned_is_known(const struct learned_address *a);
/* Another one than before, in this boot. */
void learned_set(struct learned_address *a, const struct ip_prefix *at, enum learn_how how, uint64_t wall_ms, uint64_t boot);
/* The VM has it, in this boot, and was first seen with it `for_ms` ago.  True when something of `a` has changed. */
bool learned_seen(struct learned_address *a, uint64_t boot, uint64_t for_ms);

/* How often a VM took another address in one boot, as if each were forgiven after LEARNED_CHANGE_MS.  Zero: never. */
struct learned_changes {
	uint64_t until_ms; /* when all are forgiven */
};

/* 0: it may now, and has; else how long it must keep the one that it has, for all that anybody believes. */
uint64_t learned_change(struct learned_changes *c, uint64_t now_ms);

/* As it is kept: one line, which parses to the same.  -EINVAL: it is no such text. */
void learned_print(const struct learned_address *a, char out[LEARNED_TEXT_MAX]);
int learned_parse(const char *text, struct learned_address *out);

/* What is known of the host and of the bridge that the VM is on. */
struct learned_host {
	const char *bridge;
	int ifindex; /* of it */
	size_t n;
	struct learned_own {
		struct ip_prefix at; /* the address itself, with its network's length */
		bool on_bridge;
		bool is_gateway; /* not the host's own, but one that it sends through */
	} own[LEARNED_OWN_MAX];
};

/* May a VM on that bridge have it?  0 with its network's length in *at, or -errno with a sentence: only in a
 * network of the bridge's own, and not the network's own address, the host's or a gateway's. */
int learned_check(const struct learned_host *h, const struct ip_addr *addr, struct ip_prefix *at, struct err *e);

#endif
