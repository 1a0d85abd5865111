/* What must be true of every answer, whatever was asked. */
#ifndef TESTS_FUZZ_DNS_CHECK_H
#define TESTS_FUZZ_DNS_CHECK_H

#include <assert.h>

#include "dns/answer.h"
#include "dns/zone_file.h"

/* The end of the name at `at`, following pointers with ever smaller targets; 0 when it is none. */
static size_t name_end(const uint8_t *b, size_t n, size_t at)
{
	size_t end = 0, least = at;

	while (at < n) {
		if (b[at] == 0)
			return end ? end : at + 1;
		if (b[at] >= 0xc0) {
			if (at + 1 >= n)
				return 0;
			end = end ? end : at + 2;
			at = (b[at] & 0x3fu) << 8 | b[at + 1];
			if (at >= least)
				return 0;
			least = at;
		} else if (b[at] > 63) {
			return 0;
		} else {
			at += b[at] + 1u;
		}
	}
	return 0;
}

/* Counts and lengths of the answer fit its bytes exactly. */
static void check_records(const uint8_t *b, size_t n)
{
	unsigned records = wire_get16(b + 6) + wire_get16(b + 8) + wire_get16(b + 10);
	size_t at = WIRE_HEADER;

	assert(wire_get16(b + 4) <= 1);
	if (wire_get16(b + 4) == 1) {
		at = name_end(b, n, at);
		assert(at > 0);
		at += 4;
	}
	while (records-- > 0) {
		at = name_end(b, n, at);
		assert(at > 0 && at + 10 <= n);
		at += 10u + wire_get16(b + at + 8);
	}
	assert(at == n);
}

static void check_reply(const struct answer *a, const uint8_t *query, size_t query_n, const uint8_t *reply, bool tcp)
{
	size_t limit = tcp ? ANSWER_SIZE_MAX : a->q.edns ? WIRE_UDP_MAX : WIRE_UDP_PLAIN;

	assert(a->n >= WIRE_HEADER && a->n <= limit);
	assert(memcmp(reply, query, 2) == 0); /* the id */
	assert(reply[2] & 0x80); /* an answer */
	assert((reply[2] & 0x78) == (query[2] & 0x78)); /* the same opcode */
	assert((unsigned)(reply[3] & 15) == (a->rcode & 15));
	if (wire_get16(reply + 4) == 1) {
		assert(query_n >= WIRE_HEADER + a->q.question_n && a->q.question_n >= 5);
		assert(memcmp(reply + WIRE_HEADER, query + WIRE_HEADER, a->q.question_n) == 0);
	}
	check_records(reply, a->n);
}

static const char static_text[] =
	"$TTL 60\n"
	"@ NS n\n NS n.x.d\n MX 1 m\n TXT \"t\"\n HTTPS 1 . alpn=h2\n"
	"n A 1.2.3.4\nm A 1.2.3.5\n AAAA ::5\n"
	"d NS n.x.d\n NS o\n DS 1 13 2 0011\nn.x.d A 1.2.3.6\n AAAA ::6\n"
	"c CNAME c2\nc2 CNAME w\nc3 CNAME c3\nc4 CNAME q.e2.\nc5 CNAME a.d\nc6 CNAME q.s\n"
	"s DNAME t\nu.t A 1.2.3.7\nl1 DNAME l2\nl2 DNAME l1\n"
	"y DNAME 0abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz.t.t.t.t.t.t.t.t.t.t.t.t.t.t.t.t.t.t.t.t\n"
	"*.i A 1.2.3.8\n TXT x\n*.j CNAME a.j\n*.k CNAME w\n"
	"_s._t SRV 1 2 3 m\n SRV 1 2 3 w\nv SVCB 1 m\nz TYPE999 \\# 2 0102\n"
	"big TXT 0123456789012345678901234567890123456789012345678901234567890123456789\n"
	" TXT 1123456789012345678901234567890123456789012345678901234567890123456789\n"
	" TXT 2123456789012345678901234567890123456789012345678901234567890123456789\n"
	" TXT 3123456789012345678901234567890123456789012345678901234567890123456789\n"
	" TXT 4123456789012345678901234567890123456789012345678901234567890123456789\n"
	" TXT 5123456789012345678901234567890123456789012345678901234567890123456789\n"
	" TXT 6123456789012345678901234567890123456789012345678901234567890123456789\n";

static inline void add_zone(struct tables *t, const char *name)
{
	struct msg_dns_zone z = { .n_ns = 2, .minimum_s = 30, .ttl_s = 300 };

	str_copy(z.name, name);
	str_copy(z.hostmaster, "a.example");
	str_copy(z.ns[0].text, "n.example");
	str_copy(z.ns[1].text, "m.example");
	tables_add_zone(t, &z);
}

/* 0, or what was wrong. */
static inline int add_text(struct tables *t, const char *zone, const char *text, size_t n, struct err *e)
{
	struct zone_file *f = zone_file_new(text, n, "f", zone, 60, e);
	struct zone_record record;
	int r = f ? 1 : e->code;

	while (r == 1) {
		r = zone_file_next(f, &record, e);
		if (r == 1 && tables_add_record(t, tables_zone(t, zone), &record, e) < 0)
			r = zone_file_blame(f, e);
	}
	zone_file_free(f);
	return r;
}

#endif
