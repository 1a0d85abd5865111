#include "synproxy/frame.h"

#include <assert.h>

enum {
	ETH_HEADER = 14,
	TYPE_IP4 = 0x0800,
	TYPE_ARP = 0x0806,
	TYPE_IP6 = 0x86dd,
	ARP_BYTES = 28,
	ETH_LEAST = 60, /* shorter frames are padded (IEEE 802.3) */
	IP4_HEADER = 20,
	IP6_HEADER = 40,
	TCP_HEADER = 20,
	MSS_OPTION = 4,
	ND_BYTES = 24, /* type, code, checksum, flags, target */
	ND_OPTION = 8, /* a link-layer address */
	OPTION_SOURCE_MAC = 1,
	OPTION_TARGET_MAC = 2,
	PROTO_TCP = 6,
	PROTO_ICMP6 = 58,
	ND_SOLICIT = 135,
	ND_ADVERT = 136,
	HOPS_ON_LINK = 255, /* proof that no router was between (RFC 4861, 7.1.1) */
	TTL = 64,
};

/* ---- bytes ---- */

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }

static uint32_t get32(const uint8_t *p) { return (uint32_t)get16(p) << 16 | get16(p + 2); }

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}

static void get_ip4(const uint8_t *p, struct ip_addr *out)
{
	*out = (struct ip_addr){ { [10] = 0xff, 0xff, p[0], p[1], p[2], p[3] } };
}

static void get_ip6(const uint8_t *p, struct ip_addr *out) { memcpy(out->b, p, sizeof(out->b)); }

static void put_ip4(uint8_t *p, const struct ip_addr *a) { memcpy(p, a->b + 12, 4); }

static void put_mac(uint8_t *p, const struct mac_addr *m) { memcpy(p, m->b, sizeof(m->b)); }

uint32_t frame_sum(const uint8_t *p, size_t n, uint32_t sum)
{
	for (; n > 1; n -= 2, p += 2)
		sum += get16(p);
	return n ? sum + (uint32_t)(*p << 8) : sum;
}

uint16_t frame_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* With the pseudo-header (RFC 9293, 3.1; RFC 8200, 8.1): `addrs` are both addresses, as they lie
 * in the IP header. */
static uint32_t payload_sum(const uint8_t *addrs, size_t addrs_n, uint8_t proto, const uint8_t *p, size_t n)
{
	return frame_sum(p, n, frame_sum(addrs, addrs_n, proto + (uint32_t)n));
}

/* ---- parsing ---- */

static void parse_arp(const uint8_t *p, size_t n, struct frame *f)
{
	static const uint8_t ethernet_ip4[] = { 0, 1, 0x08, 0x00, 6, 4 };

	if (n < ARP_BYTES || memcmp(p, ethernet_ip4, sizeof(ethernet_ip4)) != 0)
		return;
	f->arp_op = get16(p + 6);
	memcpy(&f->hw, p + 8, sizeof(f->hw));
	get_ip4(p + 14, &f->src);
	get_ip4(p + 24, &f->dst);
	f->kind = FRAME_ARP;
}

/* A checksum that a virtual NIC left for the hardware to fill in holds only the pseudo-header's
 * sum: between VMs of one host it is never filled in, and is sound all the same. */
static bool tcp_sum_is_sound(const uint8_t *addrs, size_t addrs_n, const uint8_t *p, size_t n)
{
	uint16_t partial = (uint16_t)~frame_fold(frame_sum(addrs, addrs_n, PROTO_TCP + (uint32_t)n));

	return frame_fold(payload_sum(addrs, addrs_n, PROTO_TCP, p, n)) == 0 || get16(p + 16) == partial;
}

static void parse_tcp(const uint8_t *p, size_t n, const uint8_t *addrs, size_t addrs_n, struct frame *f)
{
	if (n < TCP_HEADER || (size_t)(p[12] >> 4) * 4 < TCP_HEADER || (size_t)(p[12] >> 4) * 4 > n)
		return;
	if (!tcp_sum_is_sound(addrs, addrs_n, p, n))
		return;
	f->src_port = get16(p);
	f->dst_port = get16(p + 2);
	f->seq = get32(p + 4);
	f->ack = get32(p + 8);
	f->tcp_flags = p[13];
	f->kind = FRAME_TCP;
}

/* The total length decides where the packet ends: what follows is padding. */
static void parse_ip4(const uint8_t *p, size_t n, struct frame *f)
{
	size_t header, total;
	bool fragment;

	if (n < IP4_HEADER || p[0] >> 4 != 4)
		return;
	header = (size_t)(p[0] & 15) * 4;
	total = get16(p + 2);
	if (header < IP4_HEADER || total < header || total > n || frame_fold(frame_sum(p, header, 0)) != 0)
		return;
	get_ip4(p + 12, &f->src);
	get_ip4(p + 16, &f->dst);
	f->kind = FRAME_IP;
	fragment = get16(p + 6) & 0x3fff; /* more to come, or not the first */
	if (p[9] == PROTO_TCP && !fragment)
		parse_tcp(p + header, total - header, p + 12, 8, f);
}

static void parse_nd_options(const uint8_t *p, size_t n, uint8_t wanted, struct frame *f)
{
	while (n >= ND_OPTION) {
		size_t size = (size_t)p[1] * 8;

		if (size == 0 || size > n)
			return;
		if (p[0] == wanted)
			memcpy(&f->hw, p + 2, sizeof(f->hw));
		p += size;
		n -= size;
	}
}

/* As RFC 4861, 7.1.1 and 7.1.2 ask. */
static void parse_nd(const uint8_t *p, size_t n, const uint8_t *ip, struct frame *f)
{
	if (n < ND_BYTES || p[1] != 0 || ip[7] != HOPS_ON_LINK || (p[0] != ND_SOLICIT && p[0] != ND_ADVERT))
		return;
	if (p[8] == 0xff || frame_fold(payload_sum(ip + 8, 32, PROTO_ICMP6, p, n)) != 0)
		return;
	get_ip6(p + 8, &f->target);
	parse_nd_options(p + ND_BYTES, n - ND_BYTES, p[0] == ND_SOLICIT ? OPTION_SOURCE_MAC : OPTION_TARGET_MAC, f);
	f->kind = p[0] == ND_SOLICIT ? FRAME_SOLICIT : FRAME_ADVERT;
}

static void parse_ip6(const uint8_t *p, size_t n, struct frame *f)
{
	size_t payload;

	if (n < IP6_HEADER || p[0] >> 4 != 6)
		return;
	payload = get16(p + 4);
	if (payload > n - IP6_HEADER)
		return;
	get_ip6(p + 8, &f->src);
	get_ip6(p + 24, &f->dst);
	f->kind = FRAME_IP;
	if (p[6] == PROTO_TCP)
		parse_tcp(p + IP6_HEADER, payload, p + 8, 32, f);
	else if (p[6] == PROTO_ICMP6)
		parse_nd(p + IP6_HEADER, payload, p, f);
}

void frame_parse(const uint8_t *bytes, size_t n, struct frame *out)
{
	memset(out, 0, sizeof(*out));
	if (n < ETH_HEADER)
		return;
	memcpy(&out->eth_dst, bytes, sizeof(out->eth_dst));
	memcpy(&out->eth_src, bytes + 6, sizeof(out->eth_src));
	switch (get16(bytes + 12)) {
	case TYPE_ARP: parse_arp(bytes + ETH_HEADER, n - ETH_HEADER, out); break;
	case TYPE_IP4: parse_ip4(bytes + ETH_HEADER, n - ETH_HEADER, out); break;
	case TYPE_IP6: parse_ip6(bytes + ETH_HEADER, n - ETH_HEADER, out); break;
	}
}

/* ---- building ---- */

/* The Ethernet header; returns where the payload goes. */
static uint8_t *begin(uint8_t *out, const struct mac_addr *dst, const struct mac_addr *src, uint16_t type)
{
	memset(out, 0, FRAME_BUILT_MAX);
	put_mac(out, dst);
	put_mac(out + 6, src);
	put16(out + 12, type);
	return out + ETH_HEADER;
}

size_t frame_arp(uint8_t *out, uint16_t op, const struct mac_addr *eth_dst, const struct mac_addr *sender_mac,
		 const struct ip_addr *sender, const struct mac_addr *target_mac, const struct ip_addr *target)
{
	static const uint8_t ethernet_ip4[] = { 0, 1, 0x08, 0x00, 6, 4 };
	uint8_t *p = begin(out, eth_dst, sender_mac, TYPE_ARP);

	assert(ip_is_v4(sender) && ip_is_v4(target));
	memcpy(p, ethernet_ip4, sizeof(ethernet_ip4));
	put16(p + 6, op);
	put_mac(p + 8, sender_mac);
	put_ip4(p + 14, sender);
	put_mac(p + 18, target_mac);
	put_ip4(p + 24, target);
	return ETH_LEAST;
}

static uint8_t *put_ip6_header(uint8_t *p, size_t payload, uint8_t proto, uint8_t hops, const struct ip_addr *src,
			       const struct ip_addr *dst)
{
	p[0] = 0x60;
	put16(p + 4, (uint16_t)payload);
	p[6] = proto;
	p[7] = hops;
	memcpy(p + 8, src->b, 16);
	memcpy(p + 24, dst->b, 16);
	return p + IP6_HEADER;
}

static size_t put_nd(uint8_t *out, uint8_t type, const struct mac_addr *eth_dst, const struct mac_addr *mac,
		     const struct ip_addr *src, const struct ip_addr *dst, const struct ip_addr *target)
{
	uint8_t *ip = begin(out, eth_dst, mac, TYPE_IP6);
	uint8_t *p = put_ip6_header(ip, ND_BYTES + ND_OPTION, PROTO_ICMP6, HOPS_ON_LINK, src, dst);

	p[0] = type;
	p[4] = type == ND_ADVERT ? 0x60 : 0; /* solicited, override */
	memcpy(p + 8, target->b, 16);
	p[ND_BYTES] = type == ND_ADVERT ? OPTION_TARGET_MAC : OPTION_SOURCE_MAC;
	p[ND_BYTES + 1] = 1; /* in units of 8 bytes */
	put_mac(p + ND_BYTES + 2, mac);
	put16(p + 2, frame_fold(payload_sum(ip + 8, 32, PROTO_ICMP6, p, ND_BYTES + ND_OPTION)));
	return ETH_HEADER + IP6_HEADER + ND_BYTES + ND_OPTION;
}

size_t frame_solicit(uint8_t *out, const struct mac_addr *mac, const struct ip_addr *from,
		     const struct ip_addr *target)
{
	const uint8_t *t = target->b;
	struct ip_addr group = { { 0xff, 0x02, [11] = 1, 0xff, t[13], t[14], t[15] } };
	struct mac_addr group_mac = { { 0x33, 0x33, 0xff, t[13], t[14], t[15] } };

	return put_nd(out, ND_SOLICIT, &group_mac, mac, from, &group, target);
}

size_t frame_advert(uint8_t *out, const struct mac_addr *eth_dst, const struct ip_addr *to, const struct mac_addr *mac,
		    const struct ip_addr *target)
{
	return put_nd(out, ND_ADVERT, eth_dst, mac, target, to, target);
}

static uint8_t *put_ip4_header(uint8_t *p, size_t payload, const struct ip_addr *src, const struct ip_addr *dst)
{
	p[0] = 0x45;
	put16(p + 2, (uint16_t)(IP4_HEADER + payload));
	put16(p + 6, 0x4000); /* do not fragment */
	p[8] = TTL;
	p[9] = PROTO_TCP;
	put_ip4(p + 12, src);
	put_ip4(p + 16, dst);
	put16(p + 10, frame_fold(frame_sum(p, IP4_HEADER, 0)));
	return p + IP4_HEADER;
}

size_t frame_tcp(uint8_t *out, const struct tcp_segment *t)
{
	bool v4 = ip_is_v4(&t->dst);
	uint8_t *ip = begin(out, &t->eth_dst, &t->eth_src, v4 ? TYPE_IP4 : TYPE_IP6);
	size_t n = TCP_HEADER + (t->mss ? MSS_OPTION : 0), whole;
	uint8_t *p;

	assert(ip_is_v4(&t->src) == v4);
	p = v4 ? put_ip4_header(ip, n, &t->src, &t->dst) : put_ip6_header(ip, n, PROTO_TCP, TTL, &t->src, &t->dst);
	put16(p, t->src_port);
	put16(p + 2, t->dst_port);
	put32(p + 4, t->seq);
	put32(p + 8, t->ack);
	p[12] = (uint8_t)(n / 4 << 4);
	p[13] = t->flags;
	put16(p + 14, t->window);
	if (t->mss) {
		p[20] = 2;
		p[21] = MSS_OPTION;
		put16(p + 22, t->mss);
	}
	put16(p + 16, frame_fold(v4 ? payload_sum(ip + 12, 8, PROTO_TCP, p, n) : payload_sum(ip + 8, 32, PROTO_TCP, p, n)));
	whole = ETH_HEADER + (v4 ? IP4_HEADER : IP6_HEADER) + n;
	return MAX(whole, (size_t)ETH_LEAST);
}
