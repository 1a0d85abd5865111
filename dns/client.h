/* Who asked: where a query came from, and all that is needed to send its answer back, now or when
 * the service it waits for is up.  A plain value: it holds no pointer into udp.c or tcp.c, so that
 * nothing dangles when a socket or a connection goes first.
 */
#ifndef DNS_CLIENT_H
#define DNS_CLIENT_H

#include "base/addr.h"
#include "base/util.h"

struct client {
	struct ip_addr addr;
	uint16_t port;
	/* TCP: the connection's number, never used twice; 0: UDP */
	uint64_t conn;
	/* UDP: the socket's place, the address the query was sent to (the answer must come from
	 * there), and the interface, for link-local addresses */
	uint16_t socket;
	struct ip_addr local;
	uint32_t scope;
	uint64_t t_ns; /* when the query came */
	uint32_t tsig; /* not 0: its query was signed, and the answer must be (special.h) */
	bool verified; /* it is where it says (answer.h); serve.c finds out */
};

/* What udp.c and tcp.c do with a query: the length of an answer to send at once, written into
 * `reply` (WIRE_UDP_MAX bytes of room for UDP, ANSWER_SIZE_MAX for TCP), or 0 when there is none;
 * then *waits, false before, tells whether one will come later. */
typedef size_t client_query_fn(void *arg, const struct client *from, const uint8_t *packet, size_t n,
			       uint8_t *reply, bool *waits);

#endif
