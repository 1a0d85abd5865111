/* Packets that clients send, for the tests of holding: what frame.h does not build. */
#ifndef TESTS_SYNPROXY_PACKETS_H
#define TESTS_SYNPROXY_PACKETS_H

#include "synproxy/frame.h"

enum { PACKET_UDP = 17, PACKET_ICMP = 1, PACKET_MAX = 1514 };

static void packet_put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Ethernet and IPv4 headers around `n` bytes of payload that are at out + 34 already. */
static size_t packet_ip4(uint8_t *out, const struct mac_addr *to_mac, const struct mac_addr *from_mac, uint8_t proto,
			 const struct ip_addr *from, const struct ip_addr *to, size_t n)
{
	uint8_t *ip = out + 14;

	memcpy(out, to_mac, 6);
	memcpy(out + 6, from_mac, 6);
	packet_put16(out + 12, 0x0800);
	memset(ip, 0, 20);
	ip[0] = 0x45;
	packet_put16(ip + 2, 20 + n);
	ip[8] = 64;
	ip[9] = proto;
	memcpy(ip + 12, from->b + 12, 4);
	memcpy(ip + 16, to->b + 12, 4);
	packet_put16(ip + 10, frame_fold(frame_sum(ip, 20, 0)));
	return 34 + n;
}

/* A datagram of `n` bytes, all `fill`; without a checksum. */
__attribute__((unused)) static size_t packet_udp(uint8_t *out, const struct mac_addr *to_mac,
						 const struct mac_addr *from_mac, const struct ip_addr *from,
						 uint16_t from_port, const struct ip_addr *to, uint16_t to_port,
						 uint8_t fill, size_t n)
{
	uint8_t *udp = out + 34;

	packet_put16(udp, from_port);
	packet_put16(udp + 2, to_port);
	packet_put16(udp + 4, 8 + n);
	packet_put16(udp + 6, 0);
	memset(udp + 8, fill, n);
	return packet_ip4(out, to_mac, from_mac, PACKET_UDP, from, to, 8 + n);
}

/* A ping with 8 bytes of data. */
__attribute__((unused)) static size_t packet_ping(uint8_t *out, const struct mac_addr *to_mac,
						  const struct mac_addr *from_mac, const struct ip_addr *from,
						  const struct ip_addr *to)
{
	static const uint8_t ping[16] = { 8, 0, 0, 0, 0x12, 0x34, 0, 1, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h' };

	memcpy(out + 34, ping, sizeof(ping));
	packet_put16(out + 36, frame_fold(frame_sum(ping, sizeof(ping), 0)));
	return packet_ip4(out, to_mac, from_mac, PACKET_ICMP, from, to, sizeof(ping));
}

#endif
