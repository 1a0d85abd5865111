/* TCP, the server's side of it. */
#ifndef GUEST_TCP_H
#define GUEST_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net.h"

enum { TCP_CONNECTIONS = 256 };

/**
 * struct tcp_service - What answers on a port
 *
 * A connection is a number below TCP_CONNECTIONS, valid from open() until the
 * next open() with the same number.
 *
 * What a service sends is a function of the offset in its stream: TCP keeps no
 * copy for retransmissions, it asks again.  So read() must give the same bytes
 * for the same offset until acknowledged() has passed it.
 */
struct tcp_service {
    void (*open)(unsigned id);
    /* How many bytes receive() could take: the window that is advertised. */
    size_t (*room)(unsigned id);
    /* Returns how many bytes were taken; the peer will send the rest again. */
    size_t (*receive)(unsigned id, const uint8_t *data, size_t length);
    /* The peer has sent all it had to send. */
    void (*end)(unsigned id);
    /* How long the stream is by now; @final: it will not grow, close after it. */
    uint32_t (*ready)(unsigned id, bool *final);
    void (*read)(unsigned id, uint32_t offset, uint8_t *to, size_t length);
    void (*acknowledged)(unsigned id, uint32_t offset);     /* may be NULL */
    /* When ready() may grow without anything received; NULL: never. */
    uint64_t (*wake)(unsigned id);
};

/** tcp_listen() - Answer on @port; before, SYNs to it get an RST */
void tcp_listen(uint16_t port, const struct tcp_service *service);

/** tcp_input() - Deal with a segment; what it calls for is sent by tcp_run() */
void tcp_input(const struct host *from, const uint8_t *segment, size_t length);

/**
 * tcp_run() - Timers, data, acknowledgements: all that is due
 *
 * Returns when it wants to be called again, even if nothing is received.
 */
uint64_t tcp_run(void);

#endif
