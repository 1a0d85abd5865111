/* Packets as the BPF programs load them, and how. */
#ifndef LAUNCHER_BPF_PACKETS_H
#define LAUNCHER_BPF_PACKETS_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ETH_P_WOL 0x0842
#define FRAGMENT_BITS 0x3fff
#define FRAGMENT_OFFSET_BITS 0x1fff
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_ICMP6 58
#define ND_SOLICITATION 135
#define ND_ADVERTISEMENT 136

/* ARP for IPv4 on Ethernet (RFC 826), and RARP (RFC 903). */
struct arp_packet {
	__be16 hardware, protocol;
	__u8 hardware_bytes, protocol_bytes;
	__be16 op;
	__u8 sender_mac[6], sender_ip[4], target_mac[6], target_ip[4];
} __attribute__((packed));

/* Neighbour solicitation and advertisement (RFC 4861, 4.3 and 4.4), behind the IPv6 header. */
struct nd_packet {
	__u8 type, code;
	__be16 checksum;
	__be32 flags;
	__be32 target[4];
} __attribute__((packed));

static __always_inline bool load(struct __sk_buff *skb, __u32 at, void *out, __u32 size)
{
	return bpf_skb_load_bytes(skb, at, out, size) == 0;
}

static __always_inline bool is_arp_for_ip4(const struct arp_packet *a)
{
	return a->hardware == bpf_htons(1) && a->protocol == bpf_htons(ETH_P_IP) && a->hardware_bytes == 6 &&
	       a->protocol_bytes == 4;
}

static __always_inline bool same_mac(const __u8 *a, const __u8 *b)
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3] && a[4] == b[4] && a[5] == b[5];
}

static __always_inline bool is_zero_mac(const __u8 *a) { return !(a[0] | a[1] | a[2] | a[3] | a[4] | a[5]); }

static __always_inline bool is_zero_ip4(const __u8 *a) { return !(a[0] | a[1] | a[2] | a[3]); }

static __always_inline bool is_zero_ip6(const struct in6_addr *a)
{
	return !(a->s6_addr32[0] | a->s6_addr32[1] | a->s6_addr32[2] | a->s6_addr32[3]);
}

#endif
