#include "synproxy/frame.h"

#include <assert.h>

enum {
	ETH_HEADER = 14,
	TYPE_IP4 = 0x0800,
	TYPE_ARP = 0x0806,
	TYPE_WOL = 0x0842,
	TYPE_RARP = 0x8035,
	TYPE_IP6 = 0x86dd,
	ARP_BYTES = 28,
	ETH_LEAST = 60, /* shorter frames are padded (IEEE 802.3) */
	IP4_HEADER = 20,
	IP6_HEADER = 40,
	TCP_HEADER = 20,
	UDP_HEADER = 8,
	ICMP_HEADER = 8,
	MSS_OPTION = 4,
	ND_BYTES = 24, /* type, code, checksum, flags, target */
	ND_OPTION = 8, /* a link-layer address */
	OPTION_SOURCE_MAC = 1,
	OPTION_TARGET_MAC = 2,
	PROTO_ICMP = 1,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_FRAGMENT = 44,
	PROTO_ICMP6 = 58,
	PING = 8, /* ICMP */
	PING_REPLY = 0,
	PING6 = 128, /* ICMPv6 */
	PING6_REPLY = 129,
	PORT_ECHO = 7,
	PORT_DISCARD = 9,
	MAGIC_TIMES = 16, /* the MAC, behind six bytes of ones */
	ND_SOLICIT = 135,
	ND_ADVERT = 136,
	HOPS_ON_LINK = 255, /* proof that no router was between (RFC 4861, 7.1.1) */
	TTL = 64,
};

static const struct mac_addr everyone = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };
static const struct ip_addr all_nodes = { { 0xff, 0x02, [15] = 1 } };

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

/* Words as they lie in memory: the sum of one byte order is the other's with its bytes swapped
 * (RFC 1071, 2, B). */
uint32_t frame_sum(const uint8_t *p, size_t n, uint32_t sum)
{
	uint64_t words = 0;
	uint32_t word;

	for (; n >= sizeof(word); n -= sizeof(word), p += sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		words += word;
	}
	word = 0;
	memcpy(&word, p, n);
	words += word;
	while (words >> 16)
		words = (words & 0xffff) + (words >> 16);
	return sum + ntohs((uint16_t)words);
}

uint16_t frame_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* Of the pseudo-header (RFC 9293, 3.1; RFC 8200, 8.1): `addrs` are both addresses, as they lie in
 * the IP header. */
static uint32_t pseudo_sum(const uint8_t *addrs, size_t addrs_n, uint8_t proto, size_t n)
{
	return frame_sum(addrs, addrs_n, proto + (uint32_t)n);
}

static uint32_t payload_sum(const uint8_t *addrs, size_t addrs_n, uint8_t proto, const uint8_t *p, size_t n)
{
	return frame_sum(p, n, pseudo_sum(addrs, addrs_n, proto, n));
}

/* ---- parsing ---- */

/* ARP and RARP are laid out alike. */
static void parse_arp(const uint8_t *p, size_t n, enum frame_kind kind, struct frame *f)
{
	static const uint8_t ethernet_ip4[] = { 0, 1, 0x08, 0x00, 6, 4 };

	if (n < ARP_BYTES || memcmp(p, ethernet_ip4, sizeof(ethernet_ip4)) != 0)
		return;
	f->arp_op = get16(p + 6);
	memcpy(&f->hw, p + 8, sizeof(f->hw));
	get_ip4(p + 14, &f->src);
	get_ip4(p + 24, &f->dst);
	f->kind = kind;
}

/* A checksum that a virtual NIC left for the hardware to fill in holds only the pseudo-header's
 * sum: between VMs of one host it is never filled in, and is sound all the same. */
static bool sum_is_sound(const uint8_t *addrs, size_t addrs_n, uint8_t proto, const uint8_t *p, size_t n,
			 uint16_t sum)
{
	uint32_t pseudo = pseudo_sum(addrs, addrs_n, proto, n);
	uint16_t partial = (uint16_t)~frame_fold(pseudo);

	return frame_fold(frame_sum(p, n, pseudo)) == 0 || sum == partial;
}

/* The packet's last `n` bytes begin with a header of `header` bytes. */
static void set_payload(struct frame *f, size_t header, size_t n)
{
	f->payload = f->end - (uint32_t)(n - header);
	f->payload_n = (uint32_t)(n - header);
}

static void parse_tcp(const uint8_t *p, size_t n, const uint8_t *addrs, size_t addrs_n, struct frame *f)
{
	size_t header;

	if (n < TCP_HEADER)
		return;
	header = (size_t)(p[12] >> 4) * 4;
	if (header < TCP_HEADER || header > n || !sum_is_sound(addrs, addrs_n, PROTO_TCP, p, n, get16(p + 16)))
		return;
	f->src_port = get16(p);
	f->dst_port = get16(p + 2);
	f->seq = get32(p + 4);
	f->ack = get32(p + 8);
	f->tcp_flags = p[13];
	set_payload(f, header, n);
	f->kind = FRAME_TCP;
}

/* Six bytes of ones and sixteen times a MAC, anywhere.  A run of ones ends before the MAC: those
 * that begin with ones are groups, and nobody's. */
static bool find_magic(const uint8_t *p, size_t n, struct mac_addr *out)
{
	size_t ones = 0;

	for (size_t i = 0; i + MAGIC_TIMES * sizeof(*out) <= n; i++) {
		const uint8_t *mac = p + i;

		if (*mac == 0xff) {
			ones++;
			continue;
		}
		/* sixteen times the same: each byte is as the one a MAC's length later */
		if (ones >= sizeof(*out) && !(*mac & 1) &&
		    memcmp(mac, mac + sizeof(*out), (MAGIC_TIMES - 1) * sizeof(*out)) == 0) {
			memcpy(out, mac, sizeof(*out));
			return true;
		}
		ones = 0;
	}
	return false;
}

static void parse_udp(const uint8_t *p, size_t n, const uint8_t *addrs, size_t addrs_n, struct frame *f)
{
	size_t length;
	uint16_t sum;

	if (n < UDP_HEADER)
		return;
	length = get16(p + 4);
	sum = get16(p + 6);
	if (length < UDP_HEADER || length > n)
		return;
	if (sum == 0 ? addrs_n > 8 : !sum_is_sound(addrs, addrs_n, PROTO_UDP, p, length, sum))
		return; /* (only IPv4 may do without a checksum: RFC 8200, 8.1) */
	f->src_port = get16(p);
	f->dst_port = get16(p + 2);
	set_payload(f, UDP_HEADER, n);
	f->payload_n = (uint32_t)(length - UDP_HEADER);
	f->kind = FRAME_UDP;
	if ((f->dst_port == PORT_ECHO || f->dst_port == PORT_DISCARD) &&
	    find_magic(p + UDP_HEADER, f->payload_n, &f->hw))
		f->kind = FRAME_WOL;
}

/* `sum`: what the checksum begins with (ICMPv6: the pseudo-header's). */
static void parse_echo(const uint8_t *p, size_t n, uint8_t type, uint32_t sum, struct frame *f)
{
	if (n < ICMP_HEADER || p[0] != type || p[1] != 0 || frame_fold(frame_sum(p, n, sum)) != 0)
		return;
	f->echo_id = get16(p + 4);
	f->echo_seq = get16(p + 6);
	set_payload(f, ICMP_HEADER, n);
	f->kind = FRAME_ECHO;
}

/* The total length decides where the packet ends: what follows is padding. */
static void parse_ip4(const uint8_t *p, size_t n, struct frame *f)
{
	size_t header, total;

	if (n < IP4_HEADER || p[0] >> 4 != 4)
		return;
	header = (size_t)(p[0] & 15) * 4;
	total = get16(p + 2);
	if (header < IP4_HEADER || total < header || total > n || frame_fold(frame_sum(p, header, 0)) != 0)
		return;
	get_ip4(p + 12, &f->src);
	get_ip4(p + 16, &f->dst);
	f->kind = FRAME_IP;
	f->end = (uint32_t)(ETH_HEADER + total);
	f->fragment = get16(p + 6) & 0x3fff; /* more to come, or not the first */
	if (f->fragment)
		return;
	switch (p[9]) {
	case PROTO_TCP: parse_tcp(p + header, total - header, p + 12, 8, f); break;
	case PROTO_UDP: parse_udp(p + header, total - header, p + 12, 8, f); break;
	case PROTO_ICMP: parse_echo(p + header, total - header, PING, 0, f); break;
	}
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
	if (ip_is_v4(&f->target))
		return;
	parse_nd_options(p + ND_BYTES, n - ND_BYTES, p[0] == ND_SOLICIT ? OPTION_SOURCE_MAC : OPTION_TARGET_MAC, f);
	f->kind = p[0] == ND_SOLICIT ? FRAME_SOLICIT : FRAME_ADVERT;
}

static void parse_icmp6(const uint8_t *p, size_t n, const uint8_t *ip, struct frame *f)
{
	if (n > 0 && p[0] == PING6)
		parse_echo(p, n, PING6, pseudo_sum(ip + 8, 32, PROTO_ICMP6, n), f);
	else
		parse_nd(p, n, ip, f);
}

static void parse_ip6(const uint8_t *p, size_t n, struct frame *f)
{
	size_t payload;

	if (n < IP6_HEADER || p[0] >> 4 != 6)
		return;
	payload = get16(p + 4);
	get_ip6(p + 8, &f->src);
	get_ip6(p + 24, &f->dst);
	if (payload > n - IP6_HEADER || ip_is_v4(&f->src) || ip_is_v4(&f->dst))
		return;
	f->kind = FRAME_IP;
	f->end = (uint32_t)(ETH_HEADER + IP6_HEADER + payload);
	switch (p[6]) {
	case PROTO_TCP: parse_tcp(p + IP6_HEADER, payload, p + 8, 32, f); break;
	case PROTO_UDP: parse_udp(p + IP6_HEADER, payload, p + 8, 32, f); break;
	case PROTO_ICMP6: parse_icmp6(p + IP6_HEADER, payload, p, f); break;
	case PROTO_FRAGMENT: f->fragment = true; break;
	}
}

void frame_parse(const uint8_t *bytes, size_t n, struct frame *out)
{
	const uint8_t *p = bytes + ETH_HEADER;

	memset(out, 0, sizeof(*out));
	if (n < ETH_HEADER)
		return;
	memcpy(&out->eth_dst, bytes, sizeof(out->eth_dst));
	memcpy(&out->eth_src, bytes + 6, sizeof(out->eth_src));
	n -= ETH_HEADER;
	switch (get16(bytes + 12)) {
	case TYPE_ARP: parse_arp(p, n, FRAME_ARP, out); break;
	case TYPE_RARP: parse_arp(p, n, FRAME_RARP, out); break;
	case TYPE_WOL:
		if (find_magic(p, n, &out->hw))
			out->kind = FRAME_WOL;
		break;
	case TYPE_IP4: parse_ip4(p, n, out); break;
	case TYPE_IP6: parse_ip6(p, n, out); break;
	}
}

static bool is_no_ip4(const struct ip_addr *a) { return ip_is_v4(a) && get32(a->b + 12) == 0; }

bool frame_is_dad(const struct frame *f)
{
	if (f->kind == FRAME_ARP)
		return f->arp_op == ARP_REQUEST && is_no_ip4(&f->src);
	return f->kind == FRAME_SOLICIT && ip_is_zero(&f->src);
}

bool frame_is_announcement(const struct frame *f)
{
	if (f->kind == FRAME_ARP)
		return ip_equal(&f->src, &f->dst) && !is_no_ip4(&f->src);
	return f->kind == FRAME_ADVERT && ip_equal(&f->dst, &all_nodes);
}

/* Where the ports are. */
static size_t ports_at(const uint8_t *frame, bool v4)
{
	return ETH_HEADER + (v4 ? (size_t)(frame[ETH_HEADER] & 15) * 4 : IP6_HEADER);
}

bool frame_same_flow(const uint8_t *a, const uint8_t *b)
{
	bool v4 = get16(a + 12) == TYPE_IP4;
	size_t proto = ETH_HEADER + (v4 ? 9 : 6), addrs = ETH_HEADER + (v4 ? 12 : 8);

	return memcmp(a + 12, b + 12, 2) == 0 && a[proto] == b[proto] &&
	       memcmp(a + ports_at(a, v4), b + ports_at(b, v4), 4) == 0 &&
	       memcmp(a + addrs, b + addrs, v4 ? 8 : 32) == 0;
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
	size_t n = ip_is_zero(src) ? ND_BYTES : ND_BYTES + ND_OPTION;
	uint8_t *ip = begin(out, eth_dst, mac, TYPE_IP6);
	uint8_t *p = put_ip6_header(ip, n, PROTO_ICMP6, HOPS_ON_LINK, src, dst);

	p[0] = type;
	if (type == ND_ADVERT)
		p[4] = dst->b[0] == 0xff ? 0x20 : 0x60; /* override; and solicited */
	memcpy(p + 8, target->b, 16);
	if (n > ND_BYTES) {
		p[ND_BYTES] = type == ND_ADVERT ? OPTION_TARGET_MAC : OPTION_SOURCE_MAC;
		p[ND_BYTES + 1] = 1; /* in units of 8 bytes */
		put_mac(p + ND_BYTES + 2, mac);
	}
	put16(p + 2, frame_fold(payload_sum(ip + 8, 32, PROTO_ICMP6, p, n)));
	return ETH_HEADER + IP6_HEADER + n;
}

size_t frame_solicit(uint8_t *out, const struct mac_addr *mac, const struct ip_addr *from,
		     const struct ip_addr *target)
{
	const uint8_t *t = target->b;
	struct ip_addr group = { { 0xff, 0x02, [11] = 1, 0xff, t[13], t[14], t[15] } };
	struct mac_addr group_mac = { { 0x33, 0x33, 0xff, t[13], t[14], t[15] } };

	return put_nd(out, ND_SOLICIT, &group_mac, mac, from, &group, target);
}

size_t frame_advert(uint8_t *out, const struct mac_addr *eth_dst, const struct ip_addr *to,
		    const struct mac_addr *mac, const struct ip_addr *target)
{
	return put_nd(out, ND_ADVERT, eth_dst, mac, target, to, target);
}

size_t frame_dad(uint8_t *out, const struct mac_addr *mac, const struct ip_addr *addr)
{
	static const struct ip_addr any4 = { { [10] = 0xff, 0xff } }, any6;
	static const struct mac_addr unknown;

	if (ip_is_v4(addr))
		return frame_arp(out, ARP_REQUEST, &everyone, mac, &any4, &unknown, addr);
	return frame_solicit(out, mac, &any6, addr);
}

size_t frame_announce(uint8_t *out, const struct mac_addr *mac, const struct ip_addr *addr)
{
	static const struct mac_addr all_nodes_mac = { { 0x33, 0x33, [5] = 1 } }, unknown;

	if (ip_is_v4(addr))
		return frame_arp(out, ARP_REQUEST, &everyone, mac, addr, &unknown, addr);
	return frame_advert(out, &all_nodes_mac, &all_nodes, mac, addr);
}

static uint8_t *put_ip4_header(uint8_t *p, size_t payload, uint8_t proto, const struct ip_addr *src,
			       const struct ip_addr *dst)
{
	p[0] = 0x45;
	put16(p + 2, (uint16_t)(IP4_HEADER + payload));
	put16(p + 6, 0x4000); /* do not fragment */
	p[8] = TTL;
	p[9] = proto;
	put_ip4(p + 12, src);
	put_ip4(p + 16, dst);
	put16(p + 10, frame_fold(frame_sum(p, IP4_HEADER, 0)));
	return p + IP4_HEADER;
}

/* The header of either family; returns where the payload goes. */
static uint8_t *put_ip_header(uint8_t *p, size_t payload, uint8_t proto, const struct ip_addr *src,
			      const struct ip_addr *dst)
{
	return ip_is_v4(dst) ? put_ip4_header(p, payload, proto, src, dst)
			     : put_ip6_header(p, payload, proto, TTL, src, dst);
}

/* Of a payload of `n` bytes at `p`, whose IP header is at `ip`. */
static uint16_t sum_over_ip(const uint8_t *ip, uint8_t proto, const uint8_t *p, size_t n)
{
	bool v4 = ip[0] >> 4 == 4;

	return frame_fold(payload_sum(v4 ? ip + 12 : ip + 8, v4 ? 8 : 32, proto, p, n));
}

size_t frame_tcp(uint8_t *out, const struct tcp_segment *t)
{
	uint8_t *ip = begin(out, &t->eth_dst, &t->eth_src, ip_is_v4(&t->dst) ? TYPE_IP4 : TYPE_IP6);
	size_t n = TCP_HEADER + (t->mss ? MSS_OPTION : 0);
	uint8_t *p;

	assert(ip_is_v4(&t->src) == ip_is_v4(&t->dst));
	p = put_ip_header(ip, n, PROTO_TCP, &t->src, &t->dst);
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
	put16(p + 16, sum_over_ip(ip, PROTO_TCP, p, n));
	return MAX((size_t)(p - out) + n, (size_t)ETH_LEAST);
}

size_t frame_reset(uint8_t *out, const struct frame *f, const struct mac_addr *mac)
{
	struct tcp_segment t = {
		.eth_dst = f->eth_src,
		.eth_src = *mac,
		.src = f->dst,
		.dst = f->src,
		.src_port = f->dst_port,
		.dst_port = f->src_port,
		.flags = TCP_RST,
	};

	assert(f->kind == FRAME_TCP);
	if (f->tcp_flags & TCP_RST)
		return 0;
	if (f->tcp_flags & TCP_ACK) {
		t.seq = f->ack;
	} else {
		t.flags |= TCP_ACK;
		t.ack = f->seq + f->payload_n + !!(f->tcp_flags & TCP_SYN) + !!(f->tcp_flags & TCP_FIN);
	}
	return frame_tcp(out, &t);
}

/* ---- made of a frame that came ---- */

size_t frame_echo_reply(uint8_t *out, const uint8_t *bytes, const struct frame *f, const struct mac_addr *mac)
{
	bool v4 = ip_is_v4(&f->dst);
	uint8_t *ip = begin(out, &f->eth_src, mac, v4 ? TYPE_IP4 : TYPE_IP6);
	size_t n = ICMP_HEADER + f->payload_n;
	uint8_t *p = put_ip_header(ip, n, v4 ? PROTO_ICMP : PROTO_ICMP6, &f->dst, &f->src);

	assert(f->kind == FRAME_ECHO);
	memcpy(p, bytes + f->payload - ICMP_HEADER, n);
	p[0] = v4 ? PING_REPLY : PING6_REPLY;
	put16(p + 2, 0);
	put16(p + 2, v4 ? frame_fold(frame_sum(p, n, 0)) : sum_over_ip(ip, PROTO_ICMP6, p, n));
	return MAX((size_t)(p - out) + n, (size_t)ETH_LEAST);
}

/* Cut: the lengths and checksums are those of what is left. */
static void cut_data(uint8_t *out, const struct frame *f)
{
	uint8_t *ip = out + ETH_HEADER;
	bool v4 = ip_is_v4(&f->dst);
	size_t header = v4 ? (size_t)(ip[0] & 15) * 4 : IP6_HEADER, n = f->payload - ETH_HEADER - header;
	uint8_t *tcp = ip + header;

	if (v4) {
		put16(ip + 2, (uint16_t)(header + n));
		put16(ip + 10, 0);
		put16(ip + 10, frame_fold(frame_sum(ip, header, 0)));
	} else {
		put16(ip + 4, (uint16_t)n);
	}
	put16(tcp + 16, 0);
	put16(tcp + 16, sum_over_ip(ip, PROTO_TCP, tcp, n));
}

size_t frame_bare_tcp(uint8_t *out, const uint8_t *bytes, const struct frame *f)
{
	size_t n = f->payload;

	assert(f->kind == FRAME_TCP && n <= FRAME_BARE_MAX);
	memcpy(out, bytes, n);
	if (f->payload_n)
		cut_data(out, f);
	if (n >= ETH_LEAST)
		return n;
	memset(out + n, 0, ETH_LEAST - n);
	return ETH_LEAST;
}
