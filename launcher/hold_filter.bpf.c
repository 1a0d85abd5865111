/* Which frames reach our hold tap: hold_tap.h says which.  The bridge floods everything it does not
 * know to the tap, so the commonest frame is one that is of no concern; for a unicast one that is
 * known after two lookups, for broadcast IP after one.
 *
 * The kernel hands frames over from their Ethernet header on, and takes a VLAN tag off before.  What
 * is returned is how many bytes to keep; 0 drops.
 */
#include "launcher/bpf_packets.h"
#include "launcher/hold_filter.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HOLD_FILTER_ADDRS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct hold_addr_key);
	__type(value, __u32);
} addrs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HOLD_FILTER_MACS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct hold_mac_key);
	__type(value, __u32);
} macs SEC(".maps");

static __always_inline __u32 pass_mac(__u32 tap, const __u8 *mac)
{
	struct hold_mac_key key = { .tap = tap };
	const __u32 *pass;

	__builtin_memcpy(key.mac, mac, sizeof(key.mac));
	pass = bpf_map_lookup_elem(&macs, &key);
	return pass ? *pass : 0;
}

static __always_inline __u32 pass_ip6(__u32 tap, const void *addr)
{
	struct hold_addr_key key = { .tap = tap };
	const __u32 *pass;

	__builtin_memcpy(key.addr, addr, sizeof(key.addr));
	pass = bpf_map_lookup_elem(&addrs, &key);
	return pass ? *pass : 0;
}

static __always_inline __u32 pass_ip4(__u32 tap, const void *addr)
{
	__be32 mapped[4] = { 0, 0, bpf_htonl(0xffff), 0 };

	__builtin_memcpy(&mapped[3], addr, 4);
	return pass_ip6(tap, mapped);
}

static __always_inline bool takes_arp(struct __sk_buff *skb, __u32 tap)
{
	struct arp_packet a;
	__u32 target;

	if (!load(skb, ETH_HLEN, &a, sizeof(a)) || !is_arp_for_ip4(&a))
		return false;
	target = pass_ip4(tap, a.target_ip);
	if (target & HOLD_FILTER_TO)
		return true;
	if (is_zero_ip4(a.sender_ip) ? target & HOLD_FILTER_WATCH : pass_ip4(tap, a.sender_ip) & HOLD_FILTER_WATCH)
		return true;
	return pass_mac(tap, a.sender_mac) & HOLD_FILTER_WATCH;
}

static __always_inline bool takes_rarp(struct __sk_buff *skb, __u32 tap)
{
	struct arp_packet a;

	if (!load(skb, ETH_HLEN, &a, sizeof(a)) || !is_arp_for_ip4(&a))
		return false;
	return (pass_mac(tap, a.sender_mac) | pass_mac(tap, a.target_mac)) & HOLD_FILTER_WATCH;
}

/* A magic packet's usual ways: the echo and the discard port. */
static __always_inline bool is_wol(struct __sk_buff *skb, __u32 udp)
{
	struct udphdr u;

	return load(skb, udp, &u, sizeof(u)) && (u.dest == bpf_htons(7) || u.dest == bpf_htons(9));
}

static __always_inline bool takes_ip4(struct __sk_buff *skb, __u32 tap, const struct ethhdr *eth)
{
	bool group = eth->h_dest[0] & 1;
	struct iphdr ip;

	if (!group && !(pass_mac(tap, eth->h_dest) & HOLD_FILTER_TO))
		return false;
	if (!load(skb, ETH_HLEN, &ip, sizeof(ip)))
		return false;
	if (!group && pass_ip4(tap, &ip.daddr) & HOLD_FILTER_TO)
		return true;
	return ip.protocol == PROTO_UDP && !(ip.frag_off & bpf_htons(FRAGMENT_BITS)) &&
	       is_wol(skb, ETH_HLEN + ip.ihl * 4);
}

static __always_inline bool takes_nd(struct __sk_buff *skb, __u32 tap, const struct ipv6hdr *ip)
{
	struct nd_packet nd;
	__u32 target;

	if (!load(skb, ETH_HLEN + sizeof(*ip), &nd, sizeof(nd)))
		return false;
	if (nd.type != ND_SOLICITATION && nd.type != ND_ADVERTISEMENT)
		return false;
	target = pass_ip6(tap, nd.target);
	if (nd.type == ND_ADVERTISEMENT)
		return target & HOLD_FILTER_WATCH;
	if (target & HOLD_FILTER_TO)
		return true;
	if (is_zero_ip6(&ip->saddr))
		return target & HOLD_FILTER_WATCH;
	return pass_ip6(tap, &ip->saddr) & HOLD_FILTER_WATCH;
}

static __always_inline bool takes_ip6(struct __sk_buff *skb, __u32 tap, const struct ethhdr *eth)
{
	bool group = eth->h_dest[0] & 1;
	struct ipv6hdr ip;

	if (!load(skb, ETH_HLEN, &ip, sizeof(ip)))
		return false;
	if (ip.nexthdr == PROTO_ICMP6 && takes_nd(skb, tap, &ip))
		return true;
	if (!group && !(pass_mac(tap, eth->h_dest) & HOLD_FILTER_TO))
		return false;
	if (!group && pass_ip6(tap, &ip.daddr) & HOLD_FILTER_TO)
		return true;
	return ip.nexthdr == PROTO_UDP && is_wol(skb, ETH_HLEN + sizeof(ip));
}

static __always_inline bool takes(struct __sk_buff *skb)
{
	__u32 tap = skb->ifindex;
	struct ethhdr eth;

	if (skb->vlan_present || !load(skb, 0, &eth, sizeof(eth)))
		return false;
	if (pass_mac(tap, eth.h_source) & HOLD_FILTER_FROM)
		return true;
	switch (bpf_ntohs(eth.h_proto)) {
	case ETH_P_IP:
		return takes_ip4(skb, tap, &eth);
	case ETH_P_IPV6:
		return takes_ip6(skb, tap, &eth);
	case ETH_P_ARP:
		return takes_arp(skb, tap);
	case ETH_P_RARP:
		return takes_rarp(skb, tap);
	case ETH_P_WOL:
		return true;
	}
	return false;
}

SEC("socket") int to_tap(struct __sk_buff *skb) { return takes(skb) ? (int)skb->len : 0; }

char LICENSE[] SEC("license") = "ISC";
