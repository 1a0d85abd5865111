/* Any bytes as a query, over UDP and TCP, from a client that may forward and one that may not, to
 * services in every state: whatever comes back must be an answer that a client can trust.
 *
 * The first byte chooses state and way to answer, the rest is the packet.
 */
#include <assert.h>

#include "dns/answer.h"

static struct tables *tables[STATE_N][ANSWER_N];
static const struct ip_addr friend = { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1 } };
static const struct ip_addr stranger = { { 0x20, 1, 0xd, 0xb8 } };

static void add_zone(struct tables *t, const char *name)
{
	struct msg_dns_zone z = { .n_ns = 2, .minimum_s = 30, .ttl_s = 300 };

	str_copy(z.name, name);
	str_copy(z.hostmaster, "a.example");
	str_copy(z.ns[0].text, "n.example");
	str_copy(z.ns[1].text, "m.example");
	tables_add_zone(t, &z);
}

static struct tables *make_tables(uint8_t state, uint8_t when)
{
	struct msg_dns_service s = { .svc = 3, .gen = 1, .name = "w", .state = state, .answer = when, .ttl_s = 60,
				     .n_names = 2, .n_addrs = 16 };
	struct msg_dns_forward f = { friend, 53 };
	struct msg_dns_allow a = { { friend, 128 } };
	struct tables *t = tables_new();

	add_zone(t, "e");
	add_zone(t, "a.b.e");
	str_copy(s.names[0].text, "w.e");
	str_copy(s.names[1].text, "w.x.e");
	for (uint8_t i = 0; i < 16; i++)
		s.addrs[i] = i == 0 ? friend : (struct ip_addr){ { 0xfd, [15] = i } };
	tables_add_service(t, &s);
	tables_add_forward(t, &f);
	tables_add_allow(t, &a);
	assert(tables_finish(t) == 0);
	return t;
}

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

static void try_query(struct tables *t, const struct ip_addr *client, bool tcp, const uint8_t *query, size_t n)
{
	size_t room = tcp ? ANSWER_SIZE_MAX : WIRE_UDP_MAX;
	uint8_t *reply = malloc(room), normal[WIRE_NORMAL_MAX];
	struct answer a, again;

	answer_query(t, client, tcp, query, n, reply, &a);
	if (a.verdict == VERDICT_REPLY)
		check_reply(&a, query, n, reply, tcp);
	if (a.verdict == VERDICT_HOLD || a.verdict == VERDICT_FORWARD) {
		/* What is kept of a query asks for the same. */
		size_t normal_n = wire_normalise(&a.q, normal);

		assert(a.verdict != VERDICT_FORWARD || client == &friend);
		answer_query(t, client, tcp, normal, normal_n, reply, &again);
		assert(again.verdict == a.verdict && again.service == a.service && again.wake == a.wake);
		a.n = answer_servfail(&again.q, tcp, true, TROUBLE_SLOW, reply);
		a.rcode = RCODE_SERVFAIL;
		check_reply(&a, normal, normal_n, reply, tcp);
	}
	free(reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	unsigned state, when;
	uint8_t *query;

	if (n == 0)
		return 0;
	state = data[0] % STATE_N;
	when = data[0] / STATE_N % ANSWER_N;
	if (!tables[state][when])
		tables[state][when] = make_tables((uint8_t)state, (uint8_t)when);
	query = malloc(n); /* of that size, so that one byte too far is seen */
	memcpy(query, data + 1, n - 1);
	query = realloc(query, n - 1 ? n - 1 : 1);
	for (unsigned i = 0; i < 4; i++)
		try_query(tables[state][when], i & 1 ? &friend : &stranger, i & 2, query, n - 1);
	free(query);
	return 0;
}
