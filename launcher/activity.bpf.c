/* Two programs on a VM's port.  Both count the frames that mean somebody uses the VM; what the VM
 * sends is guarded before that, and the first data that it sends is noted.  port.h says what counts
 * and what passes the guard.  Whatever passes, is not touched: whatever else is attached to the
 * port sees it as if this were not there.
 *
 * VLAN tags: the kernel takes the outer one off before us.  For counting up to two more are stepped
 * over; the guard lets none pass.
 */
#include "launcher/bpf_packets.h"

#include <linux/pkt_cls.h>
#include <linux/tcp.h>

#include "launcher/activity.h"

#define TAGS_MAX 2
#define PORTS_MAX 4096
#define VLAN_ID_BITS 0xfff
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
#define EXTENSIONS_MAX 4
#define EXT_HOP_BY_HOP 0
#define EXT_ROUTING 43
#define EXT_DESTINATION 60

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, PORTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct activity);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PORTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct guard);
} guards SEC(".maps");

/* ---- counting ---- */

static __always_inline __u8 byte_at(struct __sk_buff *skb, __u32 offset)
{
	__u8 b = 0;

	bpf_skb_load_bytes(skb, offset, &b, 1);
	return b;
}

/* Not what is left of a connection that nobody has: a SYN-ACK of the VM, and RSTs.  Ports that are
 * asked for from the bridge's own address get a SYN-ACK and an RST, and the host's kernel, which knows
 * nothing of it, says RST, too.  Whoever uses the VM sends more than that. */
static __always_inline bool counts_tcp(struct __sk_buff *skb, __u32 tcp, bool to_vm)
{
	__u8 flags = byte_at(skb, tcp + 13) & (TCP_SYN | TCP_RST | TCP_ACK);

	return !(flags & TCP_RST) && (to_vm || flags != (TCP_SYN | TCP_ACK));
}

/* Not multicast (RFC 1112) and not the limited broadcast. */
static __always_inline bool counts_ip4(struct __sk_buff *skb, __u32 at, bool to_vm)
{
	struct iphdr ip;

	if (!load(skb, at, &ip, sizeof(ip)) || (bpf_ntohl(ip.daddr) >> 24) >= 224)
		return false;
	return ip.protocol != PROTO_TCP || ip.frag_off & bpf_htons(FRAGMENT_OFFSET_BITS) ||
	       counts_tcp(skb, at + ip.ihl * 4, to_vm);
}

/* Not multicast (RFC 4291, 2.7), not neighbour discovery (RFC 4861, 4). */
static __always_inline bool counts_ip6(struct __sk_buff *skb, __u32 ip, bool to_vm)
{
	__u8 type;

	if (byte_at(skb, ip + 24) == 0xff)
		return false;
	if (byte_at(skb, ip + 6) == PROTO_TCP)
		return counts_tcp(skb, ip + 40, to_vm);
	if (byte_at(skb, ip + 6) != PROTO_ICMP6)
		return true;
	type = byte_at(skb, ip + 40);
	return type < 133 || type > 137;
}

static __always_inline bool counts_payload(struct __sk_buff *skb, __be16 type, bool to_vm)
{
	__u32 at = ETH_HLEN;

#pragma unroll
	for (int i = 0; i < TAGS_MAX; i++) {
		if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
			break;
		if (bpf_skb_load_bytes(skb, at + 2, &type, sizeof(type)) < 0)
			return false;
		at += 4;
	}
	if (type == bpf_htons(ETH_P_IP))
		return counts_ip4(skb, at, to_vm);
	return type == bpf_htons(ETH_P_IPV6) && counts_ip6(skb, at, to_vm);
}

static __always_inline bool counts(struct __sk_buff *skb, const struct activity *a, const struct ethhdr *eth,
				   bool to_vm)
{
	if (eth->h_dest[0] & 1)
		return false;
	if (to_vm && !is_zero_mac(a->vm_mac) && !same_mac(eth->h_dest, a->vm_mac))
		return false; /* flooded: it is for another one */
	if (!is_zero_mac(a->ignore_mac) && same_mac(to_vm ? eth->h_source : eth->h_dest, a->ignore_mac))
		return false;
	return counts_payload(skb, eth->h_proto, to_vm);
}

static __always_inline void count(struct __sk_buff *skb, struct activity *a)
{
	a->last_ns = bpf_ktime_get_ns();
	a->packets++;
	a->bytes += skb->len;
}

/* ---- the guard ---- */

static __always_inline bool is_own_ip6(const struct guard *g, const __be32 *addr)
{
	for (int i = 0; i < GUARD_ADDRS_MAX && i < g->n_addrs; i++) {
		const __be32 *own = g->addrs[i];

		if (own[3] == addr[3] && own[2] == addr[2] && own[1] == addr[1] && own[0] == addr[0])
			return true;
	}
	return false;
}

static __always_inline bool is_own_ip4(const struct guard *g, const void *addr)
{
	__be32 mapped[4] = { 0, 0, bpf_htonl(0xffff), 0 };

	__builtin_memcpy(&mapped[3], addr, 4);
	return is_own_ip6(g, mapped);
}

static __always_inline bool is_link_local(const __be32 *addr)
{
	return (addr[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

/* ARP, or RARP when it has no address to say. */
static __always_inline bool may_send_arp(struct __sk_buff *skb, const struct guard *g, bool with_address)
{
	struct arp_packet a;

	if (!load(skb, ETH_HLEN, &a, sizeof(a)) || !is_arp_for_ip4(&a) || !same_mac(a.sender_mac, g->mac))
		return false;
	return !with_address || is_zero_ip4(a.sender_ip) || is_own_ip4(g, a.sender_ip);
}

static __always_inline bool is_dhcp_client(struct __sk_buff *skb, const struct iphdr *ip)
{
	struct udphdr u;

	return ip->protocol == PROTO_UDP && !(ip->frag_off & bpf_htons(FRAGMENT_BITS)) &&
	       load(skb, ETH_HLEN + ip->ihl * 4, &u, sizeof(u)) && u.source == bpf_htons(68) &&
	       u.dest == bpf_htons(67);
}

static __always_inline bool may_send_ip4(struct __sk_buff *skb, const struct guard *g)
{
	struct iphdr ip;

	if (!load(skb, ETH_HLEN, &ip, sizeof(ip)))
		return false;
	return ip.saddr ? is_own_ip4(g, &ip.saddr) : is_dhcp_client(skb, &ip);
}

/* Where the ICMPv6 message is, behind headers that may precede it (RFC 8200, 4.1; RFC 6980 keeps
 * neighbour discovery out of fragments).  0: it is no ICMPv6; -1: too many to look behind. */
static __always_inline int find_icmp6(struct __sk_buff *skb, __u8 next)
{
	__u8 header[2]; /* what follows it, its length in 8 bytes beyond the first 8 */
	int at = ETH_HLEN + sizeof(struct ipv6hdr);

	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		if (next == PROTO_ICMP6)
			return at;
		if (next != EXT_HOP_BY_HOP && next != EXT_ROUTING && next != EXT_DESTINATION)
			return 0;
		if (!load(skb, at, header, sizeof(header)))
			return -1;
		next = header[0];
		at += 8 + header[1] * 8;
	}
	return -1;
}

/* Like ARP's sender, a neighbour advertisement's target says whose address it is. */
static __always_inline bool may_advertise(struct __sk_buff *skb, const struct guard *g, __u8 next)
{
	int at = find_icmp6(skb, next);
	struct nd_packet nd;

	if (at <= 0)
		return at == 0;
	if (byte_at(skb, at) != ND_ADVERTISEMENT)
		return true;
	return load(skb, at, &nd, sizeof(nd)) && (is_link_local(nd.target) || is_own_ip6(g, nd.target));
}

static __always_inline bool may_send_ip6(struct __sk_buff *skb, const struct guard *g)
{
	struct ipv6hdr ip;

	if (!load(skb, ETH_HLEN, &ip, sizeof(ip)))
		return false;
	if (!is_zero_ip6(&ip.saddr) && !is_link_local(ip.saddr.s6_addr32) && !is_own_ip6(g, ip.saddr.s6_addr32))
		return false;
	return may_advertise(skb, g, ip.nexthdr);
}

static __always_inline bool may_send(struct __sk_buff *skb, const struct guard *g, const struct ethhdr *eth)
{
	bool addrs = g->n_addrs > 0;

	if (!same_mac(eth->h_source, g->mac))
		return false;
	if (addrs && skb->vlan_present && skb->vlan_tci & VLAN_ID_BITS)
		return false;
	switch (bpf_ntohs(eth->h_proto)) {
	case ETH_P_ARP:
	case ETH_P_RARP:
		return may_send_arp(skb, g, addrs && eth->h_proto == bpf_htons(ETH_P_ARP));
	case ETH_P_IP:
		return !addrs || may_send_ip4(skb, g);
	case ETH_P_IPV6:
		return !addrs || may_send_ip6(skb, g);
	}
	return !addrs || eth->h_proto == bpf_htons(ETH_P_WOL);
}

/* ---- the first byte ---- */

static __always_inline bool has_data(struct __sk_buff *skb, __u32 at, __u32 bytes)
{
	struct tcphdr tcp;

	return load(skb, at, &tcp, sizeof(tcp)) && bytes > tcp.doff * 4u;
}

static __always_inline bool is_data(struct __sk_buff *skb, const struct ethhdr *eth)
{
	struct ipv6hdr ip6;
	struct iphdr ip;

	if (eth->h_proto == bpf_htons(ETH_P_IP) && load(skb, ETH_HLEN, &ip, sizeof(ip)))
		return ip.protocol == PROTO_TCP && !(ip.frag_off & bpf_htons(FRAGMENT_OFFSET_BITS)) &&
		       bpf_ntohs(ip.tot_len) > ip.ihl * 4u &&
		       has_data(skb, ETH_HLEN + ip.ihl * 4, bpf_ntohs(ip.tot_len) - ip.ihl * 4u);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6) && load(skb, ETH_HLEN, &ip6, sizeof(ip6)))
		return ip6.nexthdr == PROTO_TCP && has_data(skb, ETH_HLEN + sizeof(ip6), bpf_ntohs(ip6.payload_len));
	return false;
}

/* ---- the hooks ---- */

SEC("tc") int from_vm(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	struct activity *a = bpf_map_lookup_elem(&ports, &ifindex);
	struct guard *g = bpf_map_lookup_elem(&guards, &ifindex);
	struct ethhdr eth;

	if (!a || !g || !load(skb, 0, &eth, sizeof(eth)))
		return TC_ACT_UNSPEC;
	if (g->on && !may_send(skb, g, &eth)) {
		a->guard_drops++;
		return TC_ACT_SHOT;
	}
	if (!counts(skb, a, &eth, false))
		return TC_ACT_UNSPEC;
	count(skb, a);
	if (!g->first_data_ns && is_data(skb, &eth))
		g->first_data_ns = a->last_ns;
	return TC_ACT_UNSPEC;
}

SEC("tc") int to_vm(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	struct activity *a = bpf_map_lookup_elem(&ports, &ifindex);
	struct ethhdr eth;

	if (a && load(skb, 0, &eth, sizeof(eth)) && counts(skb, a, &eth, true))
		count(skb, a);
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "ISC";
