/* Whole packets for tests of the filters: what is not said of one is what it usually is. */
#ifndef TESTS_LAUNCHER_PACKETS_H
#define TESTS_LAUNCHER_PACKETS_H

#include <arpa/inet.h>

#include "base/addr.h"
#include "base/util.h"

enum { PACKET_BYTES = 2048 };

enum {
	T_IP4 = 0x0800,
	T_ARP = 0x0806,
	T_WOL = 0x0842,
	T_VLAN = 0x8100,
	T_RARP = 0x8035,
	T_IP6 = 0x86dd,
	TCP = 6,
	UDP = 17,
	ICMP6 = 58,
	SYN = 0x02,
	PSH_ACK = 0x18,
};

#define TO_ALL "ff:ff:ff:ff:ff:ff"

struct packet {
	const char *name;
	const char *dst, *src; /* MACs */
	bool tagged;
	uint16_t vlan; /* when tagged */
	uint16_t type;
	/* ARP and RARP */
	uint16_t op; /* 0: a request, 1 */
	const char *sha, *tha; /* NULL: src, zeros */
	/* ARP and IP */
	const char *from, *to; /* NULL: the zero address */
	/* IP */
	uint8_t proto;
	uint8_t extensions; /* IPv6: this many destination options headers of 8 bytes before it; IPv4: 4 bytes of options */
	uint16_t fragment;
	uint16_t sport, dport;
	uint8_t flags;
	uint16_t data; /* bytes */
	uint8_t icmp;
	const char *target;
};

static inline void packet_mac(const char *text, uint8_t *out)
{
	struct mac_addr m = { { 0 } };

	if (text)
		mac_parse(text, &m);
	memcpy(out, m.b, 6);
}

static inline void packet_put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void packet_addr(int family, const char *text, uint8_t *out)
{
	if (text)
		inet_pton(family, text, out);
}

static inline size_t packet_arp(const struct packet *k, uint8_t *p)
{
	packet_put16(p, 1);
	packet_put16(p + 2, T_IP4);
	p[4] = 6;
	p[5] = 4;
	packet_put16(p + 6, k->op ? k->op : 1);
	packet_mac(k->sha ? k->sha : k->src, p + 8);
	packet_addr(AF_INET, k->from, p + 14);
	packet_mac(k->tha, p + 18);
	packet_addr(AF_INET, k->to, p + 24);
	return 46; /* as padded on the wire */
}

/* What is behind the IP header. */
static inline size_t packet_payload(const struct packet *k, uint8_t *p)
{
	if (k->proto == ICMP6) {
		p[0] = k->icmp;
		packet_addr(AF_INET6, k->target, p + 8);
		return 24;
	}
	packet_put16(p, k->sport);
	packet_put16(p + 2, k->dport);
	if (k->proto == UDP) {
		packet_put16(p + 4, 8u + k->data);
		return 8u + k->data;
	}
	p[12] = 5 << 4;
	p[13] = k->flags;
	return 20u + k->data;
}

/* Where br_netfilter is, a bridge drops what is no good IPv4. */
static inline void packet_sum_ip4(uint8_t *p, size_t header)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < header; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	packet_put16(p + 10, ~sum & 0xffff);
}

static inline size_t packet_ip4(const struct packet *k, uint8_t *p)
{
	size_t header = 20u + 4u * k->extensions, n = packet_payload(k, p + header);

	p[0] = (uint8_t)(0x40 | header / 4);
	packet_put16(p + 2, (unsigned)(header + n));
	packet_put16(p + 6, k->fragment);
	p[8] = 64;
	p[9] = k->proto;
	packet_addr(AF_INET, k->from, p + 12);
	packet_addr(AF_INET, k->to, p + 16);
	memset(p + 20, 1, header - 20); /* options that do nothing */
	packet_sum_ip4(p, header);
	return header + n;
}

static inline size_t packet_ip6(const struct packet *k, uint8_t *p)
{
	size_t at = 40;

	p[0] = 0x60;
	p[6] = k->extensions ? 60 : k->proto;
	p[7] = 255;
	packet_addr(AF_INET6, k->from, p + 8);
	packet_addr(AF_INET6, k->to, p + 24);
	for (unsigned i = 0; i < k->extensions; i++, at += 8) {
		p[at] = i + 1 < k->extensions ? 60 : k->proto;
		p[at + 2] = 1; /* PadN */
		p[at + 3] = 4;
	}
	at += packet_payload(k, p + at);
	packet_put16(p + 4, (unsigned)(at - 40));
	return at;
}

/* The frame's length. */
__attribute__((unused)) static size_t packet_make(const struct packet *k, uint8_t out[PACKET_BYTES])
{
	size_t at = 12;

	memset(out, 0, PACKET_BYTES);
	packet_mac(k->dst, out);
	packet_mac(k->src, out + 6);
	if (k->tagged) {
		packet_put16(out + at, T_VLAN);
		packet_put16(out + at + 2, k->vlan);
		at += 4;
	}
	packet_put16(out + at, k->type);
	at += 2;
	switch (k->type) {
	case T_ARP:
	case T_RARP:
		return at + packet_arp(k, out + at);
	case T_IP4:
		return at + packet_ip4(k, out + at);
	case T_IP6:
		return at + packet_ip6(k, out + at);
	}
	return at + 46;
}

#endif
