/* The other servers of our zones: the secrets shared with them, who is told of a change, and who may have
 * a zone.  Part of a snapshot's tables, and constant with them.
 */
#ifndef DNS_PEERS_H
#define DNS_PEERS_H

#include "base/addr.h"
#include "base/msg.h"
#include "dns/tsig.h"

enum { PEERS_NO_KEY = UINT32_MAX, PEERS_KEYS_MAX = 256, PEERS_PER_ZONE_MAX = 256 };

struct peer {
	struct ip_prefix from; /* a secondary: one address */
	uint16_t port; /* of a secondary; else 0 */
	uint32_t key; /* what it must have signed with, or PEERS_NO_KEY */
};

struct peers;

struct peers *peers_new(void); /* NULL: no memory */
void peers_free(struct peers *p); /* NULL is fine */

/* What makes no sense is logged and left out.  `zone` is the zone's place in the tables.  0 or -ENOMEM. */
int peers_add_key(struct peers *p, const struct msg_dns_tsig_key *m);
int peers_add_secondary(struct peers *p, uint32_t zone, const struct msg_dns_secondary *m);
int peers_add_transfer(struct peers *p, uint32_t zone, const struct msg_dns_transfer *m);

const struct tsig_key *peers_key(const struct peers *p, uint32_t key);
/* The key that signed this, or PEERS_NO_KEY. */
uint32_t peers_find_key(const struct peers *p, const struct tsig_record *record);

/* Whether this client, which has signed with `key`, may have the zone. */
bool peers_may_transfer(const struct peers *p, uint32_t zone, const struct ip_addr *client, uint32_t key);
/* The zone's secondaries, from 0 on; NULL behind the last. */
const struct peer *peers_secondary(const struct peers *p, uint32_t zone, unsigned nth);

#endif
