/* The network below TCP: who the peers are, and how packets reach them.
 *
 * Nothing above this header knows of address families.  Addresses are 16 bytes
 * long, IPv4 ones in their IPv6-mapped form. */
#ifndef GUEST_NET_H
#define GUEST_NET_H

#include <stddef.h>
#include <stdint.h>

enum { NET_TCP = 6 };

/* A peer, and the station that its packets come through. */
struct host {
    uint8_t mac[6];
    uint8_t address[16];
};

/** net_announce() - Tell everybody who we are: a gratuitous ARP */
void net_announce(void);

/**
 * net_report_group() - Join a multicast group of IPv6 (MLDv2)
 *
 * What a guest with IPv6 says first of all: its MAC is seen on the network long
 * before its IPv4 address is.
 */
void net_report_group(void);

/** net_address() - Our address as text */
const char *net_address(void);

/** net_input() - Answer a frame, or hand it to TCP */
void net_input(const uint8_t *frame, size_t length);

/** net_begin() - Start a packet to @to: where its payload goes */
uint8_t *net_begin(const struct host *to);

/** net_pseudo_sum() - The checksum of what TCP borrows from the IP header */
uint32_t net_pseudo_sum(const struct host *to, unsigned protocol, size_t length);

/** net_end() - Queue the packet begun, with @length bytes of payload */
void net_end(const struct host *to, unsigned protocol, size_t length);

#endif
