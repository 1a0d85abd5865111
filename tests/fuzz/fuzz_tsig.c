/* What another server may send: signed or not, whole zones and changes asked for, NOTIFY, and answers to ours.
 * Answers must be whole, and those to a good signature have a good one.
 *
 * The first byte: 1, over TCP; 2, signed by the fuzzer with a good key, so that what lies behind the check is
 * reached; 4, with a bit of that changed; 8, it is an answer to NOTIFY; 16, from one that may have the zone.
 */
#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "dns/notify.h"
#include "dns/peers.h"
#include "dns/special.h"
#include "tests/fuzz/dns_check.h"

static struct event_base *base;
static struct special *special;
static struct tables *tables;
static struct tsig_chain expected; /* of the next message */
static bool is_signed;

static uint64_t now_s(void) { return clock_wall_ms() / MS_PER_S; }

static void check_signature(const uint8_t *b, size_t n)
{
	uint8_t *copy = malloc(n);
	struct tsig_record r;
	struct wire_query q;
	int parsed;

	memcpy(copy, b, n);
	copy[2] &= 0x7f;
	parsed = wire_parse(copy, n, &q);
	assert(parsed == 0 && q.tsig_at > 0 && tsig_parse(b, n, q.tsig_at, &r));
	assert(tsig_check(&expected, b, &r, now_s()) == TSIG_OK);
	expected.later = true;
	free(copy);
}

static size_t on_query(void *arg, const struct client *from, const uint8_t *packet, size_t n, uint8_t *reply,
		       bool *waits)
{
	struct asker asker = { .addr = from->addr, .tcp = from->conn, .has_signed = true };
	struct answer a;

	(void)arg;
	(void)waits;
	answer_query(tables, &asker, packet, n, reply, &a);
	assert(a.verdict == VERDICT_REPLY || a.verdict == VERDICT_HOLD);
	return a.verdict == VERDICT_REPLY ? a.n : 0;
}

static void on_send(void *arg, const struct client *to, const uint8_t *packet, size_t n, bool last)
{
	(void)arg;
	(void)last;
	assert(to->conn == 1);
	check_records(packet, n);
	if (is_signed)
		check_signature(packet, n);
}

static size_t on_unsent(void *arg, uint64_t conn)
{
	(void)arg;
	(void)conn;
	return 0;
}

static void on_close(void *arg, uint64_t conn)
{
	(void)arg;
	(void)conn;
}

static const struct special_ops ops = { on_query, on_send, on_unsent, on_close };

static struct tables *make_tables(uint32_t serial)
{
	struct msg_dns_tsig_key key = { .name = "k.e", .secret_n = 32, .secret = { 1, 2, 3 } };
	struct msg_dns_transfer allow = { .zone = "e", .key = "k.e" };
	struct msg_dns_zone z = { .n_ns = 1, .name = "e", .hostmaster = "a.e", .serial = serial };
	char text[200];
	struct tables *t = tables_new();
	struct err e;

	str_copy(z.ns[0].text, "n.e");
	assert(prefix_parse("192.0.2.0/24", &allow.prefix) == 0);
	tables_add_tsig_key(t, &key);
	tables_add_zone(t, &z);
	tables_add_transfer(t, &allow);
	allow.key[0] = '\0';
	assert(prefix_parse("10.0.0.0/8", &allow.prefix) == 0);
	tables_add_transfer(t, &allow);
	assert(tables_place(t) == 0);
	assert(add_text(t, "e", static_text, sizeof(static_text) - 1, &e) == 0);
	snprintf(text, sizeof(text), "changes A 192.0.2.%u\nsame A 192.0.2.9\n", serial);
	assert(add_text(t, "e", text, strlen(text), &e) == 0);
	assert(tables_finish(t) == 0);
	return t;
}

static void turns(void)
{
	for (unsigned i = 0; i < 8; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static void init(void)
{
	log_set_level(LOG_ERROR);
	base = event_base_new();
	special = special_new(base, &ops, NOTIFY_WAIT_MS, NULL);
	for (uint32_t serial = 5; serial < 9; serial++) {
		tables_free(tables);
		tables = make_tables(serial);
		special_tables(special, tables);
		turns();
	}
}

/* The packet, and a good record behind it, if it parses; its length. */
static size_t sign(uint8_t *b, size_t n, bool change)
{
	struct wire_query q;
	size_t end;

	expected = (struct tsig_chain){ .key = *peers_key(tables_peers(tables), 0) };
	if (wire_parse(b, n, &q) != 0 || q.tsig_at > 0 || wire_get16(b + SECTION_ADDITIONAL) == UINT16_MAX)
		return n;
	end = tsig_sign(&expected, b, n, now_s());
	expected.later = false;
	is_signed = !change;
	if (change)
		b[(b[0] * 256u + b[1]) % end] ^= (uint8_t)(1 << b[0] % 8);
	return end;
}

static void ask(const struct client *from, const uint8_t *b, size_t n)
{
	struct asker asker = { .addr = from->addr, .tcp = from->conn };
	uint8_t *reply = malloc(ANSWER_SIZE_MAX), *query = malloc(n ? n : 1); /* of that size: one byte too far is seen */
	struct answer a;
	bool waits = false;

	memcpy(query, b, n);
	answer_query(tables, &asker, query, n, reply, &a);
	if (a.verdict == VERDICT_SPECIAL) {
		a.n = special_query(special, from, query, n, &a, reply, &waits);
		assert(a.n == 0 || !waits);
		assert(!waits || from->conn);
		if (a.n > 0) {
			assert(a.n >= WIRE_HEADER && n >= WIRE_HEADER && a.n <= ANSWER_SIZE_MAX);
			assert(from->conn || a.n <= WIRE_UDP_MAX);
			assert(memcmp(reply, query, 2) == 0 && reply[2] & 0x80 && (reply[2] & 0x78) == (query[2] & 0x78));
			check_records(reply, a.n);
			if (is_signed)
				check_signature(reply, a.n);
		}
		if (waits)
			turns();
		special_forget(special, 1);
	}
	free(reply);
	free(query);
}

static void answer_notify(const uint8_t *b, size_t n)
{
	uint8_t *packet = malloc(n ? n : 1);
	struct tsig_chain chain = expected;
	int rcode;

	memcpy(packet, b, n);
	rcode = notify_answer(NULL, n > 1 ? wire_get16(b) : 0, packet, n, now_s());
	assert(rcode >= -EINVAL && rcode <= 15);
	assert(memcmp(packet, b, n) == 0);
	chain.key = *peers_key(tables_peers(tables), 0);
	rcode = notify_answer(&chain, n > 1 ? wire_get16(b) : 0, packet, n, now_s());
	assert(rcode < 0 || is_signed); /* nobody else can make one */
	free(packet);
}

/* What is signed is signed as an answer to a request without a MAC, which is as good. */
static size_t make_answer(uint8_t *b, size_t n, bool change)
{
	size_t end;

	if (n < WIRE_HEADER)
		return n;
	b[2] &= 0x7f;
	end = sign(b, n, change);
	b[2] |= 0x80;
	is_signed = false; /* the bit is signed, too: see test_tsig.c for good ones */
	expected.mac_n = 0;
	return end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct client from = { .port = 53 };
	uint8_t *b;

	if (n == 0 || n > 4096)
		return 0;
	if (!base)
		init();
	is_signed = false;
	memset(&expected, 0, sizeof(expected));
	b = malloc(n + TSIG_RECORD_MAX);
	memcpy(b, data + 1, --n);
	from.conn = data[0] & 1;
	assert(ip_parse(data[0] & 16 ? "192.0.2.1" : "10.0.0.1", &from.addr) == 0);
	if (data[0] & 8) {
		if (data[0] & 2)
			n = make_answer(b, n, data[0] & 4);
		answer_notify(b, n);
	} else {
		if (data[0] & 2)
			n = sign(b, n, data[0] & 4);
		ask(&from, b, n);
	}
	free(b);
	return 0;
}
