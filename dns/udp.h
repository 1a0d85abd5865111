/* DNS over UDP: queries in, answers out, from the address each was sent to. */
#ifndef DNS_UDP_H
#define DNS_UDP_H

#include "dns/client.h"

struct event_base;
struct udp;

enum { UDP_SOCKETS_MAX = 64 };

/* NULL: no memory. */
struct udp *udp_new(struct event_base *base, client_query_fn *on_query, void *arg);
void udp_free(struct udp *u);

/* Takes a bound socket; one for the same address and port before is closed.  Nothing is read
 * from it before udp_start().  0 or -errno (fd closed). */
int udp_add(struct udp *u, int fd, const struct ip_addr *addr, uint16_t port);
void udp_start(struct udp *u);

/* An answer that had to wait. */
void udp_reply(struct udp *u, const struct client *to, const uint8_t *packet, size_t n);

#endif
