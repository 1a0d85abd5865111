/* What a fuzzer would have to guess: the lengths and checksums of a frame. */
#ifndef TESTS_FUZZ_SOUND_H
#define TESTS_FUZZ_SOUND_H

#include "synproxy/frame.h"

static inline void sound_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Of a packet's body of `n` bytes; `pseudo` is the sum of its pseudo-header but for the protocol. */
static inline void sound_body(uint8_t *p, size_t n, uint8_t proto, uint32_t pseudo)
{
	size_t at = proto == 6 ? 16 : proto == 17 ? 6 : 2;

	if (proto != 6 && proto != 17 && proto != 1 && proto != 58)
		return;
	if (n < at + 2)
		return;
	if (proto == 17)
		sound_put16(p + 4, (uint16_t)n);
	sound_put16(p + at, 0);
	sound_put16(p + at, frame_fold(frame_sum(p, n, proto == 1 ? 0 : pseudo + proto)));
}

static inline void sound_ip4(uint8_t *ip, size_t n)
{
	size_t header = n > 0 ? (size_t)(ip[0] & 15) * 4 : 0;

	if (n < 20 || header < 20 || header > n)
		return;
	sound_put16(ip + 2, (uint16_t)n);
	sound_put16(ip + 10, 0);
	sound_put16(ip + 10, frame_fold(frame_sum(ip, header, 0)));
	sound_body(ip + header, n - header, ip[9], frame_sum(ip + 12, 8, (uint32_t)(n - header)));
}

static inline void sound_ip6(uint8_t *ip, size_t n)
{
	if (n < 40)
		return;
	sound_put16(ip + 4, (uint16_t)(n - 40));
	sound_body(ip + 40, n - 40, ip[6], frame_sum(ip + 8, 32, (uint32_t)(n - 40)));
}

/* The frame ends where its packet ends. */
static inline void sound_frame(uint8_t *frame, size_t n)
{
	if (n <= 14)
		return;
	if (frame[12] == 0x08 && frame[13] == 0x00)
		sound_ip4(frame + 14, n - 14);
	else if (frame[12] == 0x86 && frame[13] == 0xdd)
		sound_ip6(frame + 14, n - 14);
}

#endif
