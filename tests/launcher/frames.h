/* Frames for tests of what a port counts and hears. */
#ifndef TESTS_LAUNCHER_FRAMES_H
#define TESTS_LAUNCHER_FRAMES_H

#include "base/addr.h"
#include "base/util.h"

enum { FRAME_BYTES = 120 };

struct test_frame {
	const char *name;
	const char *dst, *src; /* MACs; NULL: the test's own choice */
	uint16_t tags[2]; /* VLAN tag types, 0: none */
	uint16_t type; /* 0x0800, 0x86dd, 0x0806 */
	uint8_t proto; /* of IP */
	uint8_t ip_dst; /* the first byte of the destination */
	uint8_t l4_0; /* first byte behind the IP header: an ICMPv6 type */
	uint8_t tcp_flags;
	uint8_t ip4_words; /* the header's length, 0: 5 */
	uint16_t fragment;
};

__attribute__((unused)) static size_t frame_make(const struct test_frame *t, uint8_t out[FRAME_BYTES])
{
	size_t at = 12, header = t->type == 0x86dd ? 40 : 4u * (t->ip4_words ? t->ip4_words : 5);
	struct mac_addr m;
	uint8_t *p;

	memset(out, 0, FRAME_BYTES);
	mac_parse(t->dst, &m);
	memcpy(out, m.b, 6);
	mac_parse(t->src, &m);
	memcpy(out + 6, m.b, 6);
	for (int i = 0; i < 2 && t->tags[i]; i++, at += 4) {
		out[at] = (uint8_t)(t->tags[i] >> 8);
		out[at + 1] = (uint8_t)t->tags[i];
		out[at + 3] = 5; /* VLAN 5 */
	}
	out[at] = (uint8_t)(t->type >> 8);
	out[at + 1] = (uint8_t)t->type;
	p = out + at + 2;
	if (t->type == 0x0800) {
		p[0] = (uint8_t)(0x40 | (t->ip4_words ? t->ip4_words : 5));
		p[3] = 60;
		p[6] = (uint8_t)(t->fragment >> 8);
		p[7] = (uint8_t)t->fragment;
		p[9] = t->proto;
		p[16] = t->ip_dst;
	} else if (t->type == 0x86dd) {
		p[0] = 0x60;
		p[5] = 20;
		p[6] = t->proto;
		p[24] = t->ip_dst;
	} else {
		return 60;
	}
	p[header] = t->l4_0;
	p[header + 13] = t->tcp_flags;
	return FRAME_BYTES;
}

#endif
