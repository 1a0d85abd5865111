/* DNS over TCP (RFC 7766): two bytes of length before each message, any number of queries on a
 * connection, answers in the order they become known.
 */
#ifndef DNS_TCP_H
#define DNS_TCP_H

#include "dns/client.h"

struct event_base;
struct tcp;

enum {
	TCP_SOCKETS_MAX = 64,
	TCP_CLIENTS_MAX = 4096,
	TCP_IDLE_MS = 10000, /* without a whole query, while none waits */
	TCP_WAITING_MAX = 64, /* unanswered queries of one connection: no more is read until some are */
};

/* A connection ended with queries unanswered: whoever holds them forgets them. */
typedef void tcp_gone_fn(void *arg, uint64_t conn);

/* A connection has sent all that it was given, and an answer of several messages may go on: tcp_part(). */
typedef void tcp_room_fn(void *arg, uint64_t conn);

/* `idle_ms`: TCP_IDLE_MS but for tests.  NULL: no memory. */
struct tcp *tcp_new(struct event_base *base, unsigned idle_ms, client_query_fn *on_query, tcp_gone_fn *on_gone,
		    void *arg);
void tcp_free(struct tcp *t);

/* Clients at once, in all, at most TCP_CLIENTS_MAX; a quarter of them (at least 2) from one
 * address (IPv6: /64).  When all places are taken, the client idle for longest makes room. */
void tcp_set_max(struct tcp *t, uint32_t max);

/* Takes a listening socket; one for the same address and port before is closed.  Nobody is
 * accepted before tcp_start().  0 or -errno (fd closed). */
int tcp_add(struct tcp *t, int fd, const struct ip_addr *addr, uint16_t port);
void tcp_start(struct tcp *t);

/* The answer to a query that waited; nothing when its connection is gone. */
void tcp_reply(struct tcp *t, const struct client *to, const uint8_t *packet, size_t n);

/* The answer to a query that waited, in several messages: each but the last.  That is tcp_reply()'s.  When there
 * is room for more, on_room() is called. */
void tcp_part(struct tcp *t, const struct client *to, const uint8_t *packet, size_t n);
void tcp_on_room(struct tcp *t, tcp_room_fn *on_room);
/* Bytes not sent yet; SIZE_MAX: the connection is gone. */
size_t tcp_unsent(const struct tcp *t, uint64_t conn);
/* Ends the connection, whatever waits, in the next turn of the loop. */
void tcp_close(struct tcp *t, uint64_t conn);

unsigned tcp_count(const struct tcp *t);

#endif
