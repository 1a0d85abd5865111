/* A VM that answers its prober with anything.
 *
 * The input is a list of frames, each led by its length in one byte.  Flags in that byte's
 * companion put in what a fuzzer would have to guess: the VM's MAC, sound checksums, and the
 * numbers of the last SYN.  Checked: nothing reads past a frame (the sanitizers), and what is said
 * makes sense: an event at most once each, ports only of addresses that are up, DONE last.
 */
#include <assert.h>

#include "base/clock.h"
#include "synproxy/frame.h"
#include "synproxy/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { FROM_VM = 1, SOUND = 2, MATCHING = 4, TICK = 8 };

struct heard {
	bool link[3], port[3], done;
	struct frame syn; /* the last one that was sent */
};

static struct msg_probe_start want = {
	.vm_mac = { { 2, 0, 0, 0, 0, 0x10 } },
	.probe_mac = { { 2, 0, 0, 0, 0, 0xfe } },
	.n_tcp = 1,
	.tcp = { { 80 } },
};

static void on_send(void *arg, const uint8_t *frame, size_t n)
{
	struct heard *h = arg;
	struct frame f;

	frame_parse(frame, n, &f);
	assert(f.kind != FRAME_OTHER && f.kind != FRAME_IP);
	assert(memcmp(&f.eth_src, &want.probe_mac, sizeof(f.eth_src)) == 0);
	if (f.kind == FRAME_TCP && f.tcp_flags == TCP_SYN)
		h->syn = f;
}

static int index_of(const struct ip_addr *a)
{
	for (int i = 0; i < want.n_addrs; i++) {
		if (ip_equal(a, &want.addrs[i]))
			return i;
	}
	return -1;
}

static void on_event(void *arg, enum probe_what what, const struct ip_addr *addr, uint16_t port, uint64_t now_ns)
{
	struct heard *h = arg;
	int i = index_of(addr);

	(void)now_ns;
	assert(!h->done);
	if (what == PROBE_DONE) {
		h->done = true;
		return;
	}
	assert(i >= 0);
	if (what == PROBE_LINK) {
		assert(!h->link[i]);
		h->link[i] = true;
	} else {
		assert(h->link[i] && port == 80 && !h->port[i]);
		h->port[i] = what == PROBE_PORT;
	}
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* The answer's ports and acknowledgement fit the last SYN. */
static void make_matching(uint8_t *tcp, size_t n, const struct frame *syn)
{
	uint32_t ack = syn->seq + 1;

	if (n < 20)
		return;
	put16(tcp, syn->dst_port);
	put16(tcp + 2, syn->src_port);
	put16(tcp + 8, (uint16_t)(ack >> 16));
	put16(tcp + 10, (uint16_t)ack);
}

static void make_sound_ip4(uint8_t *ip, size_t n, unsigned flags, const struct frame *syn)
{
	size_t header;

	if (n < 40)
		return;
	header = (size_t)(ip[0] & 15) * 4;
	if (header < 20 || header + 20 > n)
		return;
	if (flags & MATCHING) {
		memcpy(ip + 12, syn->dst.b + 12, 4);
		memcpy(ip + 16, syn->src.b + 12, 4);
		make_matching(ip + header, n - header, syn);
	}
	put16(ip + 2, (uint16_t)n);
	put16(ip + 10, 0);
	put16(ip + 10, frame_fold(frame_sum(ip, header, 0)));
	put16(ip + header + 16, 0);
	put16(ip + header + 16, frame_fold(frame_sum(ip + header, n - header, frame_sum(ip + 12, 8, ip[9] + (uint32_t)(n - header)))));
}

static void make_sound_ip6(uint8_t *ip, size_t n, unsigned flags, const struct frame *syn)
{
	size_t at;

	if (n < 60)
		return;
	at = ip[6] == 58 ? 2 : 16;
	if (flags & MATCHING) {
		memcpy(ip + 8, syn->dst.b, 16);
		memcpy(ip + 24, syn->src.b, 16);
		if (ip[6] == 6)
			make_matching(ip + 40, n - 40, syn);
	}
	put16(ip + 4, (uint16_t)(n - 40));
	put16(ip + 40 + at, 0);
	put16(ip + 40 + at, frame_fold(frame_sum(ip + 40, n - 40, frame_sum(ip + 8, 32, ip[6] + (uint32_t)(n - 40)))));
}

static void one_frame(struct probe *p, struct heard *h, const uint8_t *bytes, size_t n, unsigned flags, uint64_t now)
{
	uint8_t *frame = malloc(n + 1); /* of its own, so that reads past its end are seen */

	memcpy(frame, bytes, n);
	if ((flags & FROM_VM) && n >= 12)
		memcpy(frame + 6, want.vm_mac.b, 6);
	if ((flags & SOUND) && n > 14 && frame[12] == 0x08)
		make_sound_ip4(frame + 14, n - 14, flags, &h->syn);
	else if ((flags & SOUND) && n > 14 && frame[12] == 0x86)
		make_sound_ip6(frame + 14, n - 14, flags, &h->syn);
	frame = realloc(frame, n ? n : 1);
	probe_frame(p, frame, n, now);
	free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct probe_ops ops = { .send = on_send, .event = on_event };
	uint64_t now = NS_PER_S;
	struct heard h = { .done = false };
	struct probe *p;

	want.n_addrs = 3;
	ip_parse("10.9.0.7", &want.addrs[0]);
	ip_parse("fd09::7", &want.addrs[1]);
	ip_parse("10.9.0.8", &want.addrs[2]);
	ip_parse("10.9.0.250", &want.probe_ip4);
	ip_parse("fe80::fe", &want.probe_ip6);
	p = probe_new(&want, &ops, &h, now);
	while (n >= 2) {
		size_t size = data[0];
		unsigned flags = data[1], budget = 8;

		data += 2;
		n -= 2;
		size = MIN(size, n);
		one_frame(p, &h, data, size, flags, now);
		data += size;
		n -= size;
		if (flags & TICK) {
			now += 2 * NS_PER_MS;
			probe_tick(p, now, &budget);
		}
	}
	assert(probe_is_done(p) == h.done);
	probe_free(p);
	return 0;
}
