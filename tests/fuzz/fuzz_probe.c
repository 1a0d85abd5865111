/* A VM that answers its prober with anything.
 *
 * The input is a list of frames, each led by its length in one byte.  Flags in that byte's
 * companion put in what a fuzzer would have to guess: the VM's MAC, sound checksums, and the
 * numbers of the last SYN.  Checked: nothing reads past a frame (the sanitizers), and what is said
 * makes sense: an event at most once each, ports only of addresses that are up, DONE when all that
 * it waits for was told; and whoever asks later hears the same.
 */
#include <assert.h>

#include "base/clock.h"
#include "synproxy/probe.h"
#include "tests/fuzz/sound.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { FROM_VM = 1, SOUND = 2, MATCHING = 4, TICK = 8, LATER = 16, WANT = 32, NO_MORE = 64, RECALL = 128 };
enum { ADDRS = 3, PORT = 80, EXTRA = 1000 };

struct told {
	bool refused, silent, open;
};

struct heard {
	bool link[ADDRS], done;
	struct told ports[ADDRS][256 + 1]; /* the last one: PORT; else EXTRA + i */
	struct frame syn; /* the last one that was sent */
};

static struct msg_probe_start want = {
	.vm_mac = { { 2, 0, 0, 0, 0, 0x10 } },
	.probe_mac = { { 2, 0, 0, 0, 0, 0xfe } },
	.n_tcp = 1,
	.tcp = { { PORT } },
};

static void on_send(void *arg, const uint8_t *frame, size_t n)
{
	struct heard *h = arg;
	struct frame f;

	frame_parse(frame, n, &f);
	assert(f.kind == FRAME_ARP || f.kind == FRAME_SOLICIT || f.kind == FRAME_ADVERT || f.kind == FRAME_TCP);
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

static bool has_answered(const struct told *t) { return t->open || t->silent; }

static void on_event(void *arg, enum probe_what what, const struct ip_addr *addr, uint16_t port, uint64_t now_ns)
{
	struct heard *h = arg;
	int i = index_of(addr);
	struct told *t;

	(void)now_ns;
	if (what == PROBE_DONE) {
		assert(!h->done && h->link[0] && h->link[1] && h->link[2]);
		assert(has_answered(&h->ports[0][256]) && has_answered(&h->ports[1][256]));
		h->done = true;
		return;
	}
	assert(i >= 0);
	if (what == PROBE_LINK) {
		assert(!h->link[i] && !h->done);
		h->link[i] = true;
		return;
	}
	assert(port == PORT || (port >= EXTRA && port < EXTRA + 256));
	t = &h->ports[i][port == PORT ? 256 : port - EXTRA];
	assert(h->link[i] && !t->open && i < 2); /* only the first of a family is asked */
	assert(what == PROBE_PORT || (!t->refused && !t->silent));
	*(what == PROBE_REFUSED ? &t->refused : what == PROBE_SILENT ? &t->silent : &t->open) = true;
}

/* The answer's ports, addresses and acknowledgement fit the last SYN. */
static void make_matching(uint8_t *frame, size_t n, const struct frame *syn)
{
	bool v4 = ip_is_v4(&syn->dst);
	size_t header = v4 && n > 14 ? (size_t)(frame[14] & 15) * 4 : 40;
	uint8_t *ip = frame + 14, *tcp = ip + header;
	uint32_t ack = syn->seq + 1;

	if (n < 14 + header + 20 || frame[12] != (v4 ? 0x08 : 0x86))
		return;
	memcpy(ip + (v4 ? 12 : 8), syn->dst.b + (v4 ? 12 : 0), v4 ? 4 : 16);
	memcpy(ip + (v4 ? 16 : 24), syn->src.b + (v4 ? 12 : 0), v4 ? 4 : 16);
	sound_put16(tcp, syn->dst_port);
	sound_put16(tcp + 2, syn->src_port);
	sound_put16(tcp + 8, (uint16_t)(ack >> 16));
	sound_put16(tcp + 10, (uint16_t)ack);
}

static void one_frame(struct probe *p, struct heard *h, const uint8_t *bytes, size_t n, unsigned flags, uint64_t now)
{
	uint8_t *frame = malloc(n ? n : 1); /* of its own, so that reads past its end are seen */

	memcpy(frame, bytes, n);
	if ((flags & FROM_VM) && n >= 12)
		memcpy(frame + 6, want.vm_mac.b, 6);
	if (flags & MATCHING)
		make_matching(frame, n, &h->syn);
	if (flags & SOUND)
		sound_frame(frame, n);
	probe_frame(p, frame, n, now);
	free(frame);
}

static const struct probe_ops ops = { .send = on_send, .event = on_event };

/* A listener of its own hears what was told, but for refusals that are over. */
static void recall(const struct probe *p, const struct heard *h, uint64_t now)
{
	struct heard again = { .done = false };

	probe_recall(p, &ops, &again, now);
	for (int i = 0; i < ADDRS; i++) {
		assert(again.link[i] == h->link[i]);
		assert(has_answered(&again.ports[i][256]) == has_answered(&h->ports[i][256]));
		assert(!again.ports[i][256].refused || h->ports[i][256].refused);
	}
}

/* A port that is not asked any more may be wanted again, and is told again. */
static void want_no_more(struct probe *p, struct heard *h)
{
	probe_want_no_more(p);
	for (int i = 0; i < ADDRS; i++)
		memset(h->ports[i], 0, 256 * sizeof(h->ports[i][0]));
}

static void one_step(struct probe *p, struct heard *h, unsigned flags, uint8_t byte, uint64_t *now)
{
	unsigned budget = 8;

	if (flags & WANT)
		probe_want_port(p, (uint16_t)(EXTRA + byte), *now);
	if (flags & TICK) {
		*now += (flags & LATER ? 50 : 2) * NS_PER_MS;
		probe_tick(p, *now, &budget);
	}
	if (flags & NO_MORE)
		want_no_more(p, h);
	if (flags & RECALL)
		recall(p, h, *now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint64_t now = NS_PER_S;
	struct heard h = { .done = false };
	struct probe *p;

	want.n_addrs = ADDRS;
	ip_parse("10.9.0.7", &want.addrs[0]);
	ip_parse("fd09::7", &want.addrs[1]);
	ip_parse("10.9.0.8", &want.addrs[2]);
	ip_parse("10.9.0.250", &want.probe_ip4);
	ip_parse("fe80::fe", &want.probe_ip6);
	p = probe_new(&want, &ops, &h, now);
	while (n >= 2) {
		size_t size = data[0];
		unsigned flags = data[1];

		data += 2;
		n -= 2;
		size = MIN(size, n);
		one_frame(p, &h, data, size, flags, now);
		one_step(p, &h, flags, size > 0 ? data[0] : 0, &now);
		data += size;
		n -= size;
	}
	assert(probe_is_done(p) == h.done);
	probe_free(p);
	return 0;
}
