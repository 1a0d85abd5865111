/* Any bytes as a query, over UDP and TCP, from a client that may forward and one that may not, to
 * services in every state: whatever comes back must be an answer that a client can trust.  Zones are
 * asked as they are, and signed.
 *
 * The first byte chooses state and way to answer, the rest is the packet.
 */
#include <sys/mman.h>

#include "tests/fuzz/dns_check.h"

#include "dns/sign.h"

static struct tables *tables[STATE_N][ANSWER_N][2];
static const struct ip_addr friend = { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1 } };
static const struct ip_addr stranger = { { 0x20, 1, 0xd, 0xb8 } };

static void add_key(struct signing *signing, const char *zone, uint8_t algorithm, uint16_t tag, const char *secret)
{
	struct msg_dns_key m = { .tag = tag, .flags = 257, .algorithm = algorithm, .publish = true, .sign = true,
				 .sign_keys = true, .cds = true };
	int fd = memfd_create("key", MFD_CLOEXEC);
	struct err e;

	str_copy(m.zone, zone);
	assert(dprintf(fd, "Private-key-format: v1.3\nAlgorithm: %u\nPrivateKey: %s\n", algorithm, secret) > 0);
	assert(lseek(fd, 0, SEEK_SET) == 0);
	assert(signing_add_key(signing, &m, fd, &e) == 0);
}

/* A zone and one within it, but not the third. */
static void sign(struct tables *t)
{
	struct signatures *cache = signatures_new();
	struct signing *signing = signing_new(cache);
	struct err e;
	int r;

	add_key(signing, "e", 13, 832, "gduACOaT2+1SPnPD8T5b3L5vxlatScUZKTdSsXhpzWM=");
	add_key(signing, "a.b.e", 15, 17236, "V4GxgKk3LPZ/SOpuPG48j+mo2sYfTE250D2tun7zryg=");
	do
		r = signing_step(signing, t, 1000000, &e);
	while (r > 0);
	assert(r == 0);
	signing_free(signing);
	signatures_free(cache);
}

static struct tables *make_tables(uint8_t state, uint8_t when, bool is_signed)
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
	if (is_signed)
		sign(t);
	return t;
}

static const struct cookies cookies = { .n = 2, .secrets = { { 1 }, { 2 } } };

static void try_query(struct tables *t, const struct ip_addr *client, bool tcp, const uint8_t *query, size_t n)
{
	struct asker asker = { .addr = *client, .tcp = tcp, .now_s = 1000000, .cookies = &cookies, .keepalive_ms = 1000 };
	size_t room = tcp ? ANSWER_SIZE_MAX : WIRE_UDP_MAX;
	uint8_t *reply = malloc(room), normal[WIRE_NORMAL_MAX];
	struct answer a, again;

	tables_touch(t, (struct iovec[]){ { (void *)query, n }, { (void *)query, n } }, 2);
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

static bool is_of_signer(unsigned type)
{
	return type == TYPE_RRSIG || type == TYPE_NSEC || type == TYPE_DNSKEY || type == TYPE_CDS || type == TYPE_CDNSKEY;
}

/* Who does not ask for DNSSEC gets the same of both. */
static void compare(struct tables *plain, struct tables *is_signed, const uint8_t *query, size_t n)
{
	struct asker asker = { .addr = stranger };
	uint8_t reply[2][WIRE_UDP_MAX];
	struct answer a, b;

	answer_query(plain, &asker, query, n, reply[0], &a);
	answer_query(is_signed, &asker, query, n, reply[1], &b);
	assert(a.verdict == b.verdict);
	if (a.verdict == VERDICT_REPLY && !a.q.dnssec_ok && !is_of_signer(a.q.type))
		assert(a.n == b.n && memcmp(reply[0], reply[1], a.n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	unsigned state, when;
	struct tables **t;
	uint8_t *query;

	if (n == 0)
		return 0;
	state = data[0] % STATE_N;
	when = data[0] / STATE_N % ANSWER_N;
	t = tables[state][when];
	for (unsigned i = 0; i < 2; i++)
		if (!t[i])
			t[i] = make_tables((uint8_t)state, (uint8_t)when, i);
	query = malloc(n); /* of that size, so that one byte too far is seen */
	memcpy(query, data + 1, n - 1);
	query = realloc(query, n - 1 ? n - 1 : 1);
	for (unsigned i = 0; i < 8; i++)
		try_query(t[i >> 2], i & 1 ? &friend : &stranger, i & 2, query, n - 1);
	compare(t[0], t[1], query, n - 1);
	free(query);
	return 0;
}
