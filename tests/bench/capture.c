#include "tests/bench/capture.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>
#include <time.h>

#include "tests/bench/page.h"

enum { BUFFER_BYTES = 8 << 20, SNAP_BYTES = 128, ARP_BYTES = 42 };

/* ARP, and TCP over IPv4; of each only the headers. */
static const struct sock_filter program[] = {
	BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_ARP, 3, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 3),
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SNAP_BYTES),
	BPF_STMT(BPF_RET | BPF_K, 0),
};

uint64_t real_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void note_ports(struct capture *c)
{
	struct if_nameindex *all = if_nameindex();

	c->n_ports = 0;
	for (struct if_nameindex *i = all; i && i->if_index && c->n_ports < CAPTURE_PORTS_MAX; i++)
		c->ports[c->n_ports++] = i->if_index;
	if_freenameindex(all);
}

static bool open_socket(struct capture *c)
{
	static const int one = 1, bytes = BUFFER_BYTES;
	struct sock_fprog filter = { .len = ARRAY_SIZE(program), .filter = (struct sock_filter *)program };
	struct sockaddr_ll all = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };

	/* without a protocol it hears nothing until it has its filter */
	c->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0 || setsockopt(c->fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) < 0 ||
	    setsockopt(c->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0 ||
	    setsockopt(c->fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)) < 0)
		return false;
	note_ports(c);
	return bind(c->fd, (void *)&all, sizeof(all)) == 0;
}

bool capture_begin(struct capture *c, const char *netns)
{
	cleanup_close int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	cleanup_close int other = netns ? open(netns, O_RDONLY | O_CLOEXEC) : -1;
	bool ok;

	c->fd = -1;
	if (netns && (own < 0 || other < 0 || setns(other, CLONE_NEWNET) < 0)) {
		failed(netns);
		return false;
	}
	ok = open_socket(c);
	if (!ok)
		failed("capture");
	if (netns && setns(own, CLONE_NEWNET) < 0)
		ok = false;
	return ok;
}

void capture_end(struct capture *c) { fd_close(&c->fd); }

static bool is_new_port(const struct capture *c, unsigned ifindex)
{
	for (unsigned i = 0; i < c->n_ports; i++) {
		if (c->ports[i] == ifindex)
			return false;
	}
	return true;
}

static void ip_from_v4(const uint8_t *bytes, struct ip_addr *out)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	memcpy(out->b, mapped, sizeof(mapped));
	memcpy(out->b + 12, bytes, 4);
}

static bool read_frame(const uint8_t *f, size_t n, struct seen *out)
{
	const uint8_t *ip = f + ETH_HLEN, *tcp;
	size_t header;

	out->is_arp = n >= ARP_BYTES && f[12] == 8 && f[13] == 6;
	if (out->is_arp) {
		out->arp_op = ip[7];
		ip_from_v4(ip + 14, &out->src);
		ip_from_v4(ip + 24, &out->dst);
		return true;
	}
	header = n > ETH_HLEN ? (ip[0] & 15) * 4u : 0;
	if (n < ETH_HLEN + header + sizeof(struct tcphdr))
		return false;
	tcp = ip + header;
	ip_from_v4(ip + 12, &out->src);
	ip_from_v4(ip + 16, &out->dst);
	out->src_port = (uint16_t)(tcp[0] << 8 | tcp[1]);
	out->dst_port = (uint16_t)(tcp[2] << 8 | tcp[3]);
	out->tcp_flags = tcp[13];
	out->payload = (size_t)(ip[2] << 8 | ip[3]) - header - (tcp[12] >> 4) * 4u;
	return true;
}

static uint64_t stamp_of(struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		struct timespec t;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&t, CMSG_DATA(c), sizeof(t));
		return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
	}
	return 0;
}

bool capture_next(struct capture *c, uint64_t since_real_ns, struct seen *out)
{
	_Alignas(struct cmsghdr) char control[256];
	uint8_t frame[SNAP_BYTES];
	struct sockaddr_ll from;
	struct iovec v = { .iov_base = frame, .iov_len = sizeof(frame) };
	struct msghdr m;
	ssize_t n;

	do {
		m = (struct msghdr){ .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &v, .msg_iovlen = 1,
				     .msg_control = control, .msg_controllen = sizeof(control) };
		n = recvmsg(c->fd, &m, 0);
		if (n < 0)
			return false;
		*out = (struct seen){ .ifindex = (unsigned)from.sll_ifindex, .outgoing = from.sll_pkttype == PACKET_OUTGOING };
	} while (!read_frame(frame, (size_t)n, out));
	out->ms = (double)(int64_t)(stamp_of(&m) - since_real_ns) / 1e6;
	out->came_later = is_new_port(c, out->ifindex);
	return true;
}
