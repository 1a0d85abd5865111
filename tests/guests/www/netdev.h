/* The network card: what virtio-net.c and xen-netfront.c give the network code. */
#ifndef GUEST_NETDEV_H
#define GUEST_NETDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern uint8_t netdev_mac[6];

enum { NETDEV_FRAME_MAX = 1514 };

/** netdev_pending() - Is there a frame, or none, to netdev_poll() for? */
bool netdev_pending(void);

/** netdev_poll() - Hand every waiting frame to @input, which only borrows it */
void netdev_poll(void (*input)(const uint8_t *frame, size_t length));

/**
 * netdev_frame() - Room for the next frame to send, NETDEV_FRAME_MAX bytes
 *
 * The byte at offset 14 is aligned to 4.  Waits while the ring is full.
 * Without a netdev_send() the room is simply handed out again.
 */
uint8_t *netdev_frame(void);

/** netdev_send() - Queue what was written to netdev_frame() */
void netdev_send(size_t length);

/** netdev_flush() - Tell the card what was queued since the last time */
void netdev_flush(void);

/* For the drivers. */

/** netdev_choose_mac() - @card's own address, unless mac= gave another */
void netdev_choose_mac(const uint8_t *card);

/** netdev_lose() - loss=N: is the next frame, in or out, to be lost? */
bool netdev_lose(void);

#endif
