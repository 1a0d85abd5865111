/* Theory of operation
 *
 * Answers the plainest of queries before the host's network stack sees them: A or AAAA, class IN, for a
 * name that is in the table, to an address and port that are served on this interface.  All else goes
 * on to the sockets as it came (XDP_PASS), and nothing is ever dropped here: whatever is odd about a
 * query, dns decides what becomes of it.
 *
 *	Ethernet	untagged, to the interface's own MAC, from one that is no group's
 *	IPv4		no options, no fragment, a good header checksum
 *	IPv6		no extension header
 *	UDP		a good checksum; the lengths of all three agree
 *	DNS		QUERY; of the flags only RD, AD and CD, which change nothing; one question, and
 *			nothing more but an OPT of version 0 without options and flags (so: no cookie, no DO)
 *	the answer	fits the client's size, and its network's budget
 *
 * The bytes of the answer are those that dns/answer.c would send, on the way back that the query came:
 * RD of the query, AA, RA for those who may have queries forwarded, the question as it was asked, the
 * records, OPT.
 *
 * A name is looked up with one zero byte as its end, whatever its length bytes say: keys are sound names
 * without a zero inside, so that bytes which are equal to a key's are that name.  (A length byte is
 * below 'A'; one that is not, and is taken for a letter, is in no key.)
 *
 * UDP checksums.  The query's words are summed up once, to check it; the answer's sum is that with what
 * is another subtracted and added.  In generic mode a packet may come from a sender on this host that
 * leaves the checksum to hardware: then the field holds the sum of the pseudo header alone, whoever
 * sends it out completes it, and so it must be in the answer.
 *
 * The budget is a bucket that empties at a steady rate, kept as the time at which it will be empty
 * (GCRA): one word, so that two CPUs cannot spoil it.
 */
#include "launcher/bpf_packets.h"
#include "launcher/dns_xdp.h"

#define ONES 0x0101010101010101ull
#define IP_DF 0x4000
#define SECOND_NS 1000000000ull
#define UDP_BYTES 8
#define DNS_HEADER 12
#define QUESTION_TAIL 4 /* type and class */
#define QUERY_MAX (UDP_BYTES + DNS_HEADER + DNS_XDP_NAME_MAX + QUESTION_TAIL + DNS_XDP_OPT)
#define FLAGS_ANY 0x0130 /* RD, AD, CD */
#define FLAG_RD 0x0100
#define FLAGS_ANSWER 0x8400 /* QR, AA */
#define FLAG_RA 0x0080
#define TYPE_OPT 41
#define PLAIN_MAX 512
#define EDNS_MAX 1232

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, DNS_XDP_LISTENERS);
	__type(key, struct dns_xdp_place);
	__type(value, struct dns_xdp_listener);
} listeners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, DNS_XDP_ANSWERS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct dns_xdp_question);
	__type(value, struct dns_xdp_answer);
} answers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DNS_XDP_SERVICES);
	__type(key, __u32);
	__type(value, struct dns_xdp_asked);
} asked SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, DNS_XDP_CLIENTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct dns_xdp_prefix);
	__type(value, __u32);
} clients SEC(".maps");

/* When the bucket of a network will be empty. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, DNS_XDP_NETWORKS);
	__type(key, __u64);
	__type(value, __u64);
} networks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct dns_xdp_settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct dns_xdp_counts);
} counts SEC(".maps");

struct dns_header {
	__be16 id, flags, questions, answers, authority, additional;
};

/* A datagram as it came; what is behind its end is zero. */
struct datagram {
	__u32 pad; /* so that `name` can be read by words */
	struct udphdr udp;
	struct dns_header dns;
	__u64 name[DNS_XDP_NAME_MAX / 8];
	__u8 tail[16];
};
_Static_assert(sizeof(struct datagram) - 4 >= QUERY_MAX, "a query has no room");

struct opt {
	__u8 root;
	__be16 type, size;
	__u8 rcode, version;
	__be16 flags, length;
} __attribute__((packed));

struct tail {
	__be16 type, class;
} __attribute__((packed));

/* What is known of the query, and then of its answer. */
struct query {
	__u32 udp_at; /* in the frame */
	__u8 ttl;
	bool partial; /* its checksum covers the pseudo header only */
	bool edns;
	bool may_forward;
	__be16 edns_size;
	__u32 name_n;
	__u64 sum; /* of the datagram */
	__u64 addrs_sum; /* of both addresses */
	__u8 client[16];
	__u16 udp_n, udp_new_n;
};

static __always_inline struct dns_xdp_counts *count(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&counts, &zero);
}

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)((sum & 0xffff) + (sum >> 16));
}

static __always_inline __u16 swap(__u16 v) { return (__u16)(v >> 8 | v << 8); }

/* ---- the name ---- */

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define FROM_MEMORY(v) (v) /* its first byte is the lowest */
#else
#define FROM_MEMORY(v) __builtin_bswap64(v)
#endif

/* The high bit of each byte tells whether it is one of A .. Z. */
static __always_inline __u64 lower(__u64 v)
{
	__u64 low = v & ONES * 0x7f;
	__u64 upper = ~v & (low + ONES * (0x80 - 'A')) & ~(low + ONES * (0x7f - 'Z')) & ONES * 0x80;

	return v | upper >> 2;
}

/* Its bytes with the final zero; 0: it is too long. */
static __always_inline __u32 take_name(const struct datagram *d, struct dns_xdp_question *question)
{
	__u32 n = 0;
	bool done = false;

#pragma unroll
	for (int i = 0; i < DNS_XDP_NAME_MAX / 8; i++) {
		__u64 v = FROM_MEMORY(d->name[i]), zero = (v - ONES) & ~v & ONES * 0x80;

		if (done) {
			v = 0;
		} else if (zero) {
			__u64 before = (zero & -zero) - 1; /* the bits before the first zero byte, and seven of it */

			v &= before;
			n += (__u32)((before & ONES) * ONES >> 56);
			done = true;
		} else {
			n += 8;
		}
		question->name[i] = FROM_MEMORY(lower(v));
	}
	return done ? n : 0;
}

/* ---- the query ---- */

static __always_inline bool is_plain_opt(const struct opt *o)
{
	return o->root == 0 && o->type == bpf_htons(TYPE_OPT) && o->rcode == 0 && o->version == 0 && o->flags == 0 &&
	       o->length == 0;
}

/* What is behind the name, which must be all there is. */
static __always_inline bool take_tail(struct xdp_md *ctx, const struct datagram *d, struct query *q,
				      struct dns_xdp_question *question)
{
	const void *end = (const void *)(long)ctx->data_end;
	const __u8 *at = (const __u8 *)(long)ctx->data + q->udp_at + UDP_BYTES + DNS_HEADER + q->name_n;
	const struct tail *tail = (const void *)at;
	const struct opt *opt = (const void *)(tail + 1);
	__u32 n = UDP_BYTES + DNS_HEADER + q->name_n + QUESTION_TAIL;

	if ((const void *)(tail + 1) > end || tail->class != bpf_htons(1))
		return false;
	if (tail->type != bpf_htons(1) && tail->type != bpf_htons(28))
		return false;
	question->type = tail->type;
	q->edns = d->dns.additional != 0;
	if (!q->edns)
		return q->udp_n == n;
	if (q->udp_n != n + sizeof(*opt) || (const void *)(opt + 1) > end || !is_plain_opt(opt))
		return false;
	q->edns_size = opt->size;
	return true;
}

static __always_inline bool is_query(const struct dns_header *h)
{
	return !(h->flags & ~bpf_htons(FLAGS_ANY)) && h->questions == bpf_htons(1) && h->answers == 0 &&
	       h->authority == 0 && !(h->additional & ~bpf_htons(1));
}

static __always_inline __u64 pseudo_sum(const struct query *q, __u16 udp_n)
{
	return q->addrs_sum + bpf_htons(PROTO_UDP) + bpf_htons(udp_n);
}

/* An IPv4 datagram may have none. */
static __always_inline bool is_intact(const struct datagram *d, struct query *q, bool v4)
{
	__u64 pseudo = pseudo_sum(q, q->udp_n);

	if (d->udp.check == 0)
		return v4;
	if (fold(q->sum + pseudo) == 0xffff)
		return true;
	q->partial = d->udp.check == fold(pseudo);
	return q->partial;
}

static __always_inline bool take_datagram(struct xdp_md *ctx, struct datagram *d, struct query *q, bool v4)
{
	__u32 n = q->udp_n;

	if (n < UDP_BYTES + DNS_HEADER + 1 + QUESTION_TAIL || n > QUERY_MAX)
		return false;
	if (bpf_xdp_load_bytes(ctx, q->udp_at, &d->udp, n) < 0)
		return false;
	if (d->udp.len != bpf_htons(n) || d->udp.source == 0 || !is_query(&d->dns))
		return false;
	q->sum = (__u32)bpf_csum_diff(NULL, 0, (void *)&d->udp, sizeof(*d) - sizeof(d->pad), 0);
	return is_intact(d, q, v4);
}

/* ---- the client's budget ---- */

static __always_inline __u64 network_of(const struct query *q, bool v4)
{
	__u64 network = 0;

	if (v4) {
		__builtin_memcpy(&network, q->client + 12, 3);
		return network;
	}
	__builtin_memcpy(&network, q->client, 7);
	return network | FROM_MEMORY(1ull << 56);
}

static __always_inline bool take_budget(const struct dns_xdp_settings *s, __u64 network, __u64 now_ns)
{
	__u64 *empty_ns = bpf_map_lookup_elem(&networks, &network), was, from;

	if (s->interval_ns == 0)
		return false;
	if (!empty_ns) {
		from = now_ns + s->interval_ns;
		return bpf_map_update_elem(&networks, &network, &from, BPF_NOEXIST) == 0;
	}
	was = *(volatile __u64 *)empty_ns;
	from = was > now_ns ? was : now_ns;
	if (from + s->interval_ns > now_ns + SECOND_NS)
		return false;
	return __sync_val_compare_and_swap(empty_ns, was, from + s->interval_ns) == was;
}

static __always_inline bool may_answer(struct query *q, bool v4, __u64 now_ns)
{
	__u32 zero = 0, bits = 0;
	const struct dns_xdp_settings *s = bpf_map_lookup_elem(&settings, &zero);
	struct dns_xdp_counts *c = count();

	if (!s || !c)
		return false;
	if (s->clients) {
		struct dns_xdp_prefix prefix = { .len = 128 };
		const __u32 *found;

		__builtin_memcpy(prefix.addr, q->client, sizeof(prefix.addr));
		found = bpf_map_lookup_elem(&clients, &prefix);
		bits = found ? *found : 0;
	}
	q->may_forward = bits & DNS_XDP_FORWARD;
	if (!s->limited || bits & DNS_XDP_EXEMPT || take_budget(s, network_of(q, v4), now_ns))
		return true;
	c->limited++;
	return false;
}

/* ---- the answer ---- */

/* 0: it does not fit. */
static __always_inline __u16 answer_bytes(const struct query *q, const struct dns_xdp_answer *a)
{
	__u32 n = DNS_HEADER + q->name_n + QUESTION_TAIL + a->n, limit = bpf_ntohs(q->edns_size);

	if (!q->edns)
		return n <= PLAIN_MAX ? (__u16)n : 0;
	if (limit < PLAIN_MAX)
		limit = PLAIN_MAX;
	if (limit > EDNS_MAX)
		limit = EDNS_MAX;
	n += DNS_XDP_OPT;
	return n <= limit ? (__u16)n : 0;
}

static __always_inline __be16 answer_flags(const struct datagram *d, const struct query *q)
{
	return (d->dns.flags & bpf_htons(FLAG_RD)) | bpf_htons(FLAGS_ANSWER) | (q->may_forward ? bpf_htons(FLAG_RA) : 0);
}

/* Of the answer's datagram: the query's sum with the words that are another.  Behind a name of an odd
 * length, words lie the other way round. */
static __always_inline __u16 answer_check(const struct datagram *d, const struct query *q,
					  const struct dns_xdp_answer *a)
{
	__u64 sum = q->sum + pseudo_sum(q, q->udp_new_n) + bpf_htons(q->udp_new_n) + answer_flags(d, q) +
		    bpf_htons(a->count);
	bool odd = q->name_n & 1;
	__u16 check;

	if (q->partial)
		return fold(pseudo_sum(q, q->udp_new_n));
	sum += (__u16)~d->udp.check + (__u64)(__u16)~d->udp.len + (__u16)~d->dns.flags;
	sum += odd ? swap((__u16)a->sum) : (__u16)a->sum;
	if (q->edns) { /* the size lies at OPT's third byte */
		__u16 was = q->edns_size, is = bpf_htons(EDNS_MAX);

		sum += odd ? is : swap(is);
		sum += (__u16)~(odd ? was : swap(was));
	}
	check = (__u16)~fold(sum);
	return check ? check : 0xffff;
}

static __always_inline void turn_ip4(struct iphdr *ip, const struct query *q)
{
	__be32 client = ip->saddr;
	__u16 *words = (__u16 *)ip;
	__u64 sum = 0;

	ip->version = 4;
	ip->ihl = 5;
	ip->tos = 0;
	ip->tot_len = bpf_htons(sizeof(*ip) + q->udp_new_n);
	ip->id = 0;
	ip->frag_off = bpf_htons(IP_DF);
	ip->ttl = q->ttl;
	ip->check = 0;
	ip->saddr = ip->daddr;
	ip->daddr = client;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += words[i];
	ip->check = (__u16)~fold(sum);
}

static __always_inline void turn_ip6(struct ipv6hdr *ip, const struct query *q)
{
	struct in6_addr client = ip->saddr;

	*(__be32 *)ip = bpf_htonl(0x60000000);
	ip->payload_len = bpf_htons(q->udp_new_n);
	ip->hop_limit = q->ttl;
	ip->saddr = ip->daddr;
	ip->daddr = client;
}

static __always_inline void turn_ethernet(struct ethhdr *eth)
{
	__u8 client[6];

	__builtin_memcpy(client, eth->h_source, 6);
	__builtin_memcpy(eth->h_source, eth->h_dest, 6);
	__builtin_memcpy(eth->h_dest, client, 6);
}

/* The frame has its new length; false: it is shorter than it was found to be. */
static __always_inline bool turn_headers(struct xdp_md *ctx, const struct datagram *d, const struct query *q,
					 const struct dns_xdp_answer *a, bool v4)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct udphdr *udp = (void *)((__u8 *)(eth + 1) + (v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)));
	struct dns_header *dns = (void *)(udp + 1);

	if ((void *)(dns + 1) > (void *)(long)ctx->data_end)
		return false;
	turn_ethernet(eth);
	if (v4)
		turn_ip4((void *)(eth + 1), q);
	else
		turn_ip6((void *)(eth + 1), q);
	udp->source = d->udp.dest;
	udp->dest = d->udp.source;
	udp->len = bpf_htons(q->udp_new_n);
	udp->check = answer_check(d, q, a);
	dns->flags = answer_flags(d, q);
	dns->answers = bpf_htons(a->count);
	return true;
}

static __always_inline void mark(const struct dns_xdp_answer *a, __u64 now_ns)
{
	__u32 service = a->service;
	struct dns_xdp_asked *s = bpf_map_lookup_elem(&asked, &service);

	if (!s)
		return;
	s->n++;
	s->last_ns = now_ns;
}

/* XDP_PASS as long as nothing was written. */
static __always_inline int answer(struct xdp_md *ctx, const struct datagram *d, struct query *q,
				  const struct dns_xdp_answer *a, bool v4)
{
	__u64 now_ns = bpf_ktime_get_coarse_ns();
	__u32 n = answer_bytes(q, a), records_n = a->n;
	struct dns_xdp_counts *c = count();

	if (records_n == 0 || records_n > DNS_XDP_RECORDS_MAX || n == 0 || !c || !may_answer(q, v4, now_ns))
		return XDP_PASS;
	q->udp_new_n = (__u16)(UDP_BYTES + n);
	if (bpf_xdp_adjust_tail(ctx, (int)(q->udp_at + q->udp_new_n) - (int)bpf_xdp_get_buff_len(ctx)) < 0) {
		c->no_room++;
		return XDP_PASS;
	}
	mark(a, now_ns);
	if (!turn_headers(ctx, d, q, a, v4))
		return XDP_DROP;
	if (q->edns)
		records_n += DNS_XDP_OPT;
	if (bpf_xdp_store_bytes(ctx, q->udp_at + UDP_BYTES + DNS_HEADER + q->name_n + QUESTION_TAIL,
				(void *)a->records, records_n) < 0)
		return XDP_DROP;
	c->answered++;
	return XDP_TX;
}

static __always_inline int look(struct xdp_md *ctx, struct query *q, bool v4)
{
	struct dns_xdp_question question = { .zero = { 0 } };
	struct datagram d = { .pad = 0 };
	const struct dns_xdp_answer *a;

	__builtin_memset(&d, 0, sizeof(d));
	if (!take_datagram(ctx, &d, q, v4))
		return XDP_PASS;
	q->name_n = take_name(&d, &question);
	if (q->name_n == 0 || q->name_n > DNS_XDP_NAME_MAX || !take_tail(ctx, &d, q, &question))
		return XDP_PASS;
	a = bpf_map_lookup_elem(&answers, &question);
	return a ? answer(ctx, &d, q, a, v4) : XDP_PASS;
}

/* ---- where it comes from, and goes ---- */

static __always_inline bool is_served(struct xdp_md *ctx, const struct ethhdr *eth, const struct udphdr *udp,
				      struct dns_xdp_place *place, struct query *q)
{
	const struct dns_xdp_listener *l;

	place->ifindex = ctx->ingress_ifindex;
	place->port = udp->dest;
	l = bpf_map_lookup_elem(&listeners, place);
	if (!l || !same_mac(l->mac, eth->h_dest) || eth->h_source[0] & 1)
		return false;
	q->ttl = l->ttl;
	return true;
}

static __always_inline bool is_sound_ip4(const struct iphdr *ip)
{
	const __u16 *words = (const __u16 *)ip;
	__u32 first = bpf_ntohl(ip->saddr) >> 24;
	__u64 sum = 0;

	if (ip->version != 4 || ip->ihl != 5 || ip->protocol != PROTO_UDP || ip->frag_off & bpf_htons(FRAGMENT_BITS) ||
	    first == 0 || first == 127 || first >= 224 || ip->saddr == ip->daddr)
		return false;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += words[i];
	return fold(sum) == 0xffff;
}

static __always_inline int look_ip4(struct xdp_md *ctx, const struct ethhdr *eth, const void *end)
{
	const struct iphdr *ip = (const void *)(eth + 1);
	const struct udphdr *udp = (const void *)(ip + 1);
	struct dns_xdp_place place = { .addr = { [10] = 0xff, [11] = 0xff } };
	struct query q = { .udp_at = sizeof(*eth) + sizeof(*ip), .client = { [10] = 0xff, [11] = 0xff } };

	if ((const void *)(udp + 1) > end || !is_sound_ip4(ip))
		return XDP_PASS;
	__builtin_memcpy(place.addr + 12, &ip->daddr, 4);
	__builtin_memcpy(q.client + 12, &ip->saddr, 4);
	if (!is_served(ctx, eth, udp, &place, &q))
		return XDP_PASS;
	q.udp_n = bpf_ntohs(udp->len);
	if (bpf_ntohs(ip->tot_len) != sizeof(*ip) + q.udp_n)
		return XDP_PASS;
	q.addrs_sum = (__u64)ip->saddr + ip->daddr;
	return look(ctx, &q, true);
}

static __always_inline bool same_ip6(const struct in6_addr *a, const struct in6_addr *b)
{
	return !((a->s6_addr32[0] ^ b->s6_addr32[0]) | (a->s6_addr32[1] ^ b->s6_addr32[1]) |
		 (a->s6_addr32[2] ^ b->s6_addr32[2]) | (a->s6_addr32[3] ^ b->s6_addr32[3]));
}

static __always_inline int look_ip6(struct xdp_md *ctx, const struct ethhdr *eth, const void *end)
{
	const struct ipv6hdr *ip = (const void *)(eth + 1);
	const struct udphdr *udp = (const void *)(ip + 1);
	struct dns_xdp_place place = { .zero = 0 };
	struct query q = { .udp_at = sizeof(*eth) + sizeof(*ip) };

	if ((const void *)(udp + 1) > end || ip->version != 6 || ip->nexthdr != PROTO_UDP)
		return XDP_PASS;
	if (ip->saddr.s6_addr[0] == 0xff || !(ip->saddr.s6_addr32[0] | ip->saddr.s6_addr32[1]))
		return XDP_PASS;
	__builtin_memcpy(place.addr, &ip->daddr, 16);
	__builtin_memcpy(q.client, &ip->saddr, 16);
	if (same_ip6(&ip->saddr, &ip->daddr) || !is_served(ctx, eth, udp, &place, &q))
		return XDP_PASS;
	q.udp_n = bpf_ntohs(udp->len);
	if (bpf_ntohs(ip->payload_len) != q.udp_n)
		return XDP_PASS;
#pragma unroll
	for (int i = 0; i < 4; i++)
		q.addrs_sum += (__u64)ip->saddr.s6_addr32[i] + ip->daddr.s6_addr32[i];
	return look(ctx, &q, false);
}

SEC("xdp") int dns(struct xdp_md *ctx)
{
	const void *data = (const void *)(long)ctx->data, *end = (const void *)(long)ctx->data_end;
	const struct ethhdr *eth = data;

	if ((const void *)(eth + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return look_ip4(ctx, eth, end);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return look_ip6(ctx, eth, end);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "ISC";
