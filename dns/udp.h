/* DNS over UDP: queries in, answers out, from the address each was sent to.  A worker (worker.h) for
 * each socket answers what can be answered at once; the rest is heard here, in the event loop.
 */
#ifndef DNS_UDP_H
#define DNS_UDP_H

#include "dns/client.h"
#include "dns/view.h"

struct event_base;
struct udp;

enum { UDP_SOCKETS_MAX = VIEW_READERS_MAX };

/* `on_query` gets the queries that no worker can answer.  NULL: no memory. */
struct udp *udp_new(struct event_base *base, client_query_fn *on_query, void *arg);
void udp_free(struct udp *u);

/* Takes a bound socket, the place-th of those that share the port; one for the same address, port and
 * place before is closed.  Nothing is read from it before the first udp_publish().  0 or -errno (fd
 * closed). */
int udp_add(struct udp *u, int fd, const struct ip_addr *addr, uint16_t port, uint16_t place);

/* As views_publish() and views_settle(), for all workers. */
void udp_publish(struct udp *u, const struct view *view);
void udp_settle(struct udp *u);

/* An answer that had to wait. */
void udp_reply(struct udp *u, const struct client *to, const uint8_t *packet, size_t n);

/* Adds what the workers have counted, and how many they are. */
void udp_count(const struct udp *u, struct msg_dns_counts *m);

#endif
