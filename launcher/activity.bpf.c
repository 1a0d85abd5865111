/* Counts the frames on a VM's port that mean somebody uses the VM (port.h says which), and never
 * touches one: whatever else is attached to the port sees every frame as if this were not there.
 *
 * VLAN tags: the kernel takes the outer one off before us; up to two more are stepped over.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "launcher/activity.h"

#define TAGS_MAX 2
#define PORTS_MAX 4096

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, PORTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct activity);
} ports SEC(".maps");

static __always_inline bool same_mac(const __u8 *a, const __u8 *b)
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3] && a[4] == b[4] && a[5] == b[5];
}

static __always_inline bool is_zero(const __u8 *a) { return !(a[0] | a[1] | a[2] | a[3] | a[4] | a[5]); }

static __always_inline __u8 byte_at(struct __sk_buff *skb, __u32 offset)
{
	__u8 b = 0;

	bpf_skb_load_bytes(skb, offset, &b, 1);
	return b;
}

/* Not multicast (RFC 1112) and not the limited broadcast. */
static __always_inline bool counts_ip4(struct __sk_buff *skb, __u32 ip) { return byte_at(skb, ip + 16) < 224; }

/* Not multicast (RFC 4291, 2.7), not neighbour discovery (RFC 4861, 4). */
static __always_inline bool counts_ip6(struct __sk_buff *skb, __u32 ip)
{
	__u8 type;

	if (byte_at(skb, ip + 24) == 0xff)
		return false;
	if (byte_at(skb, ip + 6) != 58)
		return true;
	type = byte_at(skb, ip + 40);
	return type < 133 || type > 137;
}

static __always_inline bool counts_payload(struct __sk_buff *skb, __be16 type)
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
		return counts_ip4(skb, at);
	return type == bpf_htons(ETH_P_IPV6) && counts_ip6(skb, at);
}

static __always_inline int count(struct __sk_buff *skb, bool to_vm)
{
	__u32 ifindex = skb->ifindex;
	struct activity *a = bpf_map_lookup_elem(&ports, &ifindex);
	struct ethhdr eth;

	if (!a || bpf_skb_load_bytes(skb, 0, &eth, sizeof(eth)) < 0 || (eth.h_dest[0] & 1))
		return TC_ACT_UNSPEC;
	if (to_vm && !is_zero(a->vm_mac) && !same_mac(eth.h_dest, a->vm_mac))
		return TC_ACT_UNSPEC; /* flooded: it is for another one */
	if (!is_zero(a->ignore_mac) && same_mac(to_vm ? eth.h_source : eth.h_dest, a->ignore_mac))
		return TC_ACT_UNSPEC;
	if (!counts_payload(skb, eth.h_proto))
		return TC_ACT_UNSPEC;
	a->last_ns = bpf_ktime_get_ns();
	a->packets++;
	a->bytes += skb->len;
	return TC_ACT_UNSPEC;
}

SEC("tc") int from_vm(struct __sk_buff *skb) { return count(skb, false); }

SEC("tc") int to_vm(struct __sk_buff *skb) { return count(skb, true); }

char LICENSE[] SEC("license") = "ISC";
