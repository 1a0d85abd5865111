/* Any bytes as a query, over UDP and TCP, from a client that may forward and one that may not, to
 * services in every state: whatever comes back must be an answer that a client can trust.
 *
 * The first byte chooses state and way to answer, the rest is the packet.
 */
#include "tests/fuzz/dns_check.h"

static struct tables *tables[STATE_N][ANSWER_N];
static const struct ip_addr friend = { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1 } };
static const struct ip_addr stranger = { { 0x20, 1, 0xd, 0xb8 } };

static struct tables *make_tables(uint8_t state, uint8_t when)
{
	struct msg_dns_service s = { .svc = 3, .gen = 1, .name = "w", .state = state, .answer = when, .ttl_s = 60,
				     .n_names = 2, .n_addrs = 16 };
	struct msg_dns_forward f = { friend, 53 };
	struct msg_dns_allow a = { { friend, 128 } };
	struct msg_dns_conf conf = { .nsid = "fuzzed" };
	struct tables *t = tables_new();
	struct err e;

	tables_set_conf(t, &conf);
	add_zone(t, "e");
	add_zone(t, "e2");
	add_zone(t, "a.b.e");
	str_copy(s.names[0].text, "w.e");
	str_copy(s.names[1].text, "w.x.e");
	for (uint8_t i = 0; i < 16; i++)
		s.addrs[i] = i == 0 ? friend : (struct ip_addr){ { 0xfd, [15] = i } };
	tables_add_service(t, &s);
	tables_add_forward(t, &f);
	tables_add_allow(t, &a);
	assert(tables_place(t) == 0);
	assert(add_text(t, "e", static_text, sizeof(static_text) - 1, &e) == 0);
	assert(tables_finish(t) == 0);
	return t;
}

static const struct cookies cookies = { .n = 2, .secrets = { { 1 }, { 2 } } };

static void try_query(struct tables *t, const struct ip_addr *client, bool tcp, const uint8_t *query, size_t n)
{
	struct asker asker = { .addr = *client, .tcp = tcp, .now_s = 1000000, .cookies = &cookies, .keepalive_ms = 1000 };
	size_t room = tcp ? ANSWER_SIZE_MAX : WIRE_UDP_MAX;
	uint8_t *reply = malloc(room), normal[WIRE_NORMAL_MAX];
	struct answer a, again;

	answer_query(t, &asker, query, n, reply, &a);
	if (a.verdict == VERDICT_REPLY)
		check_reply(&a, query, n, reply, tcp);
	if (a.verdict == VERDICT_REPLY && !tcp) {
		a.n = answer_slip(&a.q, reply);
		a.rcode = RCODE_NOERROR;
		check_reply(&a, query, n, reply, tcp);
		assert(2 * a.n <= 3 * n);
	}
	if (a.verdict == VERDICT_HOLD || a.verdict == VERDICT_FORWARD) {
		/* What is kept of a query asks for the same. */
		size_t normal_n = wire_normalise(&a.q, true, normal);

		assert(a.verdict != VERDICT_FORWARD || client == &friend);
		answer_query(t, &asker, normal, normal_n, reply, &again);
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
