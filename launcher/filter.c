/* A classic BPF program is a list of instructions that jump forwards only, each jump an offset
 * that must be counted by hand.  Here jumps name a label; filter_end() puts in the offsets.
 */
#include "launcher/filter.h"

#include <assert.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

/* Labels are numbers that no jump reaches; NEXT is the following instruction. */
enum {
	NEXT = 0,
	LABEL_0 = 200,
	TAKE = LABEL_0,
	DROP,
	TO_VM,
	COMMON,
	TAGGED,
	TYPE,
	IP4,
	IP6,
	ICMP6,
	ND,
	TCP6,
	TO_PROBER,
	PORT,
	LABEL_END,
};

struct assembly {
	struct filter *f;
	uint8_t at[LABEL_END - LABEL_0]; /* where a label stands */
};

enum {
	LOAD_BYTE = BPF_LD | BPF_B | BPF_ABS,
	LOAD_HALF = BPF_LD | BPF_H | BPF_ABS,
	LOAD_WORD = BPF_LD | BPF_W | BPF_ABS,
	LOAD_BYTE_X = BPF_LD | BPF_B | BPF_IND,
	LOAD_HALF_X = BPF_LD | BPF_H | BPF_IND,
	IF_EQUAL = BPF_JMP | BPF_JEQ | BPF_K,
	IF_LEAST = BPF_JMP | BPF_JGE | BPF_K,
	IF_OVER = BPF_JMP | BPF_JGT | BPF_K,
	IF_BITS = BPF_JMP | BPF_JSET | BPF_K,
	SET_X = BPF_LDX | BPF_IMM,
	SET_X_IP4_LENGTH = BPF_LDX | BPF_B | BPF_MSH,
	RETURN = BPF_RET | BPF_K,
};

/* offsets in a frame without tags */
enum {
	ETH_DST = 0,
	ETH_SRC = 6,
	ETH_TYPE = 12,
	IP = 14,
	IP4_FRAGMENT = IP + 6,
	IP4_PROTOCOL = IP + 9,
	IP4_DST = IP + 16,
	IP6_NEXT = IP + 6,
	IP6_DST = IP + 24,
	IP6_PAYLOAD = IP + 40,
	TCP_FLAGS = 13,
	UDP_DST_PORT = 2,
};

enum { GROUP_BIT = 1, TAG_BYTES = 4, SYN_OR_RST = 0x06, FRAGMENT_BITS = 0x3fff };
enum { ETH_P_WOL = 0x0842, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_ICMP6 = 58 };
enum { PORT_ECHO = 7, PORT_DISCARD = 9, ND_SOLICITATION = 135, ND_ADVERTISEMENT = 136 };

static void put(struct assembly *a, uint16_t code, uint32_t k)
{
	assert(a->f->n < FILTER_MAX);
	a->f->code[a->f->n++] = (struct sock_filter){ .code = code, .k = k };
}

static void put_if(struct assembly *a, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
	put(a, code, k);
	a->f->code[a->f->n - 1].jt = yes;
	a->f->code[a->f->n - 1].jf = no;
}

static void put_label(struct assembly *a, int label) { a->at[label - LABEL_0] = (uint8_t)a->f->n; }

static void put_if_mac(struct assembly *a, uint32_t offset, const struct mac_addr *m, uint8_t yes, uint8_t no)
{
	const uint8_t *b = m->b;

	put(a, LOAD_WORD, offset);
	/* when the halves differ and `no` is the next instruction, step over the second half */
	put_if(a, IF_EQUAL, (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3], NEXT,
	       no == NEXT ? 2 : no);
	put(a, LOAD_HALF, offset + 4);
	put_if(a, IF_EQUAL, (uint32_t)b[4] << 8 | b[5], yes, no);
}

static uint8_t jump(const struct assembly *a, unsigned from, uint8_t to)
{
	return to < LABEL_0 ? to : (uint8_t)(a->at[to - LABEL_0] - from - 1);
}

static void filter_end(struct assembly *a, uint32_t bytes)
{
	put_label(a, TAKE);
	put(a, RETURN, bytes);
	put_label(a, DROP);
	put(a, RETURN, 0);
	for (unsigned i = 0; i < a->f->n; i++) {
		struct sock_filter *c = &a->f->code[i];

		if (BPF_CLASS(c->code) != BPF_JMP)
			continue;
		c->jt = jump(a, i, c->jt);
		c->jf = jump(a, i, c->jf);
	}
}

void filter_probe(struct filter *f, const struct mac_addr *vm_mac, const struct mac_addr *probe_mac)
{
	struct assembly a = { .f = f };

	f->n = 0;
	put_if_mac(&a, ETH_SRC, vm_mac, NEXT, DROP);
	put(&a, LOAD_HALF, ETH_TYPE);
	put_if(&a, IF_EQUAL, ETH_P_ARP, TAKE, NEXT);
	put_if(&a, IF_EQUAL, ETH_P_IP, IP4, NEXT);
	put_if(&a, IF_EQUAL, ETH_P_IPV6, IP6, DROP);

	put_label(&a, IP4);
	put(&a, LOAD_BYTE, ETH_DST);
	put_if(&a, IF_BITS, GROUP_BIT, TAKE, NEXT);
	put(&a, LOAD_BYTE, IP4_PROTOCOL);
	put_if(&a, IF_EQUAL, PROTO_TCP, NEXT, DROP);
	put(&a, LOAD_HALF, IP4_FRAGMENT);
	put_if(&a, IF_BITS, FRAGMENT_BITS, DROP, NEXT);
	put(&a, SET_X_IP4_LENGTH, IP);
	put(&a, LOAD_BYTE_X, IP + TCP_FLAGS);
	put_if(&a, IF_BITS, SYN_OR_RST, TO_PROBER, DROP);

	put_label(&a, IP6);
	put(&a, LOAD_BYTE, IP6_NEXT);
	put_if(&a, IF_EQUAL, PROTO_ICMP6, ND, NEXT);
	put_if(&a, IF_EQUAL, PROTO_TCP, TCP6, DROP);
	put_label(&a, ND);
	put(&a, LOAD_BYTE, IP6_PAYLOAD);
	put_if(&a, IF_EQUAL, ND_SOLICITATION, TAKE, NEXT);
	put_if(&a, IF_EQUAL, ND_ADVERTISEMENT, TAKE, DROP);
	put_label(&a, TCP6);
	put(&a, LOAD_BYTE, IP6_PAYLOAD + TCP_FLAGS);
	put_if(&a, IF_BITS, SYN_OR_RST, TO_PROBER, DROP);

	put_label(&a, TO_PROBER);
	put_if_mac(&a, ETH_DST, probe_mac, TAKE, DROP);
	filter_end(&a, FILTER_PROBE_BYTES);
}

/* By direction: which MACs rule a frame out. */
static void put_activity_macs(struct assembly *a, const struct mac_addr *vm_mac, const struct mac_addr *ignore_mac)
{
	put(a, LOAD_BYTE, ETH_DST);
	put_if(a, IF_BITS, GROUP_BIT, DROP, NEXT);
	put(a, LOAD_WORD, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE));
	put_if(a, IF_EQUAL, PACKET_OUTGOING, TO_VM, NEXT);
	if (!mac_is_zero(ignore_mac))
		put_if_mac(a, ETH_DST, ignore_mac, DROP, NEXT);
	put_if(a, IF_LEAST, 0, COMMON, COMMON);

	put_label(a, TO_VM);
	if (!mac_is_zero(vm_mac))
		put_if_mac(a, ETH_DST, vm_mac, NEXT, DROP);
	if (!mac_is_zero(ignore_mac))
		put_if_mac(a, ETH_SRC, ignore_mac, DROP, NEXT);
	put_label(a, COMMON);
}

void filter_activity(struct filter *f, const struct mac_addr *vm_mac, const struct mac_addr *ignore_mac)
{
	struct assembly a = { .f = f };

	f->n = 0;
	put_activity_macs(&a, vm_mac, ignore_mac);
	/* X: the bytes of a tag that the kernel left in the frame */
	put(&a, SET_X, 0);
	put(&a, LOAD_HALF, ETH_TYPE);
	put_if(&a, IF_EQUAL, ETH_P_8021Q, TAGGED, NEXT);
	put_if(&a, IF_EQUAL, ETH_P_8021AD, TAGGED, TYPE);
	put_label(&a, TAGGED);
	put(&a, SET_X, TAG_BYTES);
	put_label(&a, TYPE);
	put(&a, LOAD_HALF_X, ETH_TYPE);
	put_if(&a, IF_EQUAL, ETH_P_IP, IP4, NEXT);
	put_if(&a, IF_EQUAL, ETH_P_IPV6, IP6, DROP);

	put_label(&a, IP4);
	put(&a, LOAD_BYTE_X, IP4_DST);
	put_if(&a, IF_LEAST, 224, DROP, TAKE);

	put_label(&a, IP6);
	put(&a, LOAD_BYTE_X, IP6_DST);
	put_if(&a, IF_EQUAL, 0xff, DROP, NEXT);
	put(&a, LOAD_BYTE_X, IP6_NEXT);
	put_if(&a, IF_EQUAL, PROTO_ICMP6, ICMP6, TAKE);
	put_label(&a, ICMP6);
	put(&a, LOAD_BYTE_X, IP6_PAYLOAD);
	put_if(&a, IF_LEAST, 133, NEXT, TAKE);
	put_if(&a, IF_OVER, 137, TAKE, DROP);
	filter_end(&a, 1);
}

void filter_hold(struct filter *f)
{
	struct assembly a = { .f = f };

	f->n = 0;
	put(&a, LOAD_WORD, (uint32_t)(SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT));
	put_if(&a, IF_EQUAL, 0, NEXT, DROP);
	put(&a, LOAD_HALF, ETH_TYPE);
	put_if(&a, IF_EQUAL, ETH_P_IP, IP4, NEXT);
	put_if(&a, IF_EQUAL, ETH_P_IPV6, IP6, NEXT);
	put_if(&a, IF_EQUAL, ETH_P_ARP, TAKE, NEXT);
	put_if(&a, IF_EQUAL, ETH_P_RARP, TAKE, NEXT);
	put_if(&a, IF_EQUAL, ETH_P_WOL, TAKE, DROP);

	put_label(&a, IP4);
	put(&a, LOAD_BYTE, ETH_DST);
	put_if(&a, IF_BITS, GROUP_BIT, NEXT, TAKE);
	put(&a, LOAD_BYTE, IP4_PROTOCOL);
	put_if(&a, IF_EQUAL, PROTO_UDP, NEXT, DROP);
	put(&a, LOAD_HALF, IP4_FRAGMENT);
	put_if(&a, IF_BITS, FRAGMENT_BITS, DROP, NEXT);
	put(&a, SET_X_IP4_LENGTH, IP);
	put(&a, LOAD_HALF_X, IP + UDP_DST_PORT);
	put_if(&a, IF_LEAST, 0, PORT, PORT);

	put_label(&a, IP6);
	put(&a, LOAD_BYTE, ETH_DST);
	put_if(&a, IF_BITS, GROUP_BIT, NEXT, TAKE);
	put(&a, LOAD_BYTE, IP6_NEXT);
	put_if(&a, IF_EQUAL, PROTO_ICMP6, ND, NEXT);
	put_if(&a, IF_EQUAL, PROTO_UDP, NEXT, DROP);
	put(&a, LOAD_HALF, IP6_PAYLOAD + UDP_DST_PORT);
	put_label(&a, PORT);
	put_if(&a, IF_EQUAL, PORT_ECHO, TAKE, NEXT);
	put_if(&a, IF_EQUAL, PORT_DISCARD, TAKE, DROP);

	put_label(&a, ND);
	put(&a, LOAD_BYTE, IP6_PAYLOAD);
	put_if(&a, IF_EQUAL, ND_SOLICITATION, TAKE, NEXT);
	put_if(&a, IF_EQUAL, ND_ADVERTISEMENT, TAKE, DROP);
	filter_end(&a, UINT32_MAX);
}

int filter_attach(const struct filter *f, int fd, bool lock)
{
	struct sock_fprog prog = { .len = f->n, .filter = (struct sock_filter *)f->code };
	int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0)
		return -errno;
	if (lock && setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof(on)) < 0)
		return -errno;
	return 0;
}
