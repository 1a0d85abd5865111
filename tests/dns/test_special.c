/* Signed queries, zones and NOTIFY, asked of special.c with tables of the test's own; the test signs, and checks
 * what is signed, with tsig.c, which test_tsig.c compares with others.
 */
#include <event2/event.h>

#include "tests/dns/tsig_record.h"
#include "tests/dns/util.h"

#include "dns/peers.h"
#include "dns/special.h"

enum { PACKET_MAX = 4096, KEY_N = 32, NOTIFY_MS = 20 };
#define FRIEND "192.0.2.1"

struct world {
	struct event_base *base;
	struct special *special;
	struct tables *tables;
	unsigned n_queries, n_sent, n_last;
	size_t sent_n, unsent;
	uint8_t sent[WIRE_TCP_MAX];
	struct client asked; /* who the newest plain query is from */
	bool hold;
	/* the newest question */
	struct tsig_chain chain;
	struct tsig_record asked_with;
	uint8_t query[PACKET_MAX], reply[WIRE_TCP_MAX];
	struct answer a;
	bool waits;
};

/* ---- what special.c is given ---- */

static size_t on_query(void *arg, const struct client *from, const uint8_t *packet, size_t n, uint8_t *reply,
		       bool *waits)
{
	struct world *w = arg;
	struct asker asker = { .addr = from->addr, .tcp = from->conn, .has_signed = from->tsig };
	struct answer a;

	w->n_queries++;
	w->asked = *from;
	assert_int_not_equal(from->tsig, 0);
	answer_query(w->tables, &asker, packet, n, reply, &a);
	assert_int_not_equal(a.verdict, VERDICT_SPECIAL);
	assert_true(a.verified);
	*waits = w->hold;
	return w->hold ? 0 : a.n;
}

static void on_send(void *arg, const struct client *to, const uint8_t *packet, size_t n, bool last)
{
	struct world *w = arg;

	assert_int_not_equal(to->conn, 0);
	w->n_sent++;
	w->n_last += last;
	w->sent_n = n;
	memcpy(w->sent, packet, n);
}

static size_t on_unsent(void *arg, uint64_t conn)
{
	struct world *w = arg;

	(void)conn;
	return w->unsent;
}

static void on_close(void *arg, uint64_t conn)
{
	(void)arg;
	(void)conn;
}

static const struct special_ops ops = { on_query, on_send, on_unsent, on_close };

/* ---- tables ---- */

static void add_key(struct tables *t, const char *name, uint8_t algorithm, uint8_t first)
{
	struct msg_dns_tsig_key m = { .algorithm = algorithm, .secret_n = KEY_N };

	str_copy(m.name, name);
	for (unsigned i = 0; i < KEY_N; i++)
		m.secret[i] = (uint8_t)(first + i);
	assert_int_equal(tables_add_tsig_key(t, &m), 0);
}

static void allow(struct tables *t, const char *zone, const char *prefix, const char *key)
{
	struct msg_dns_transfer m;

	memset(&m, 0, sizeof(m));
	str_copy(m.zone, zone);
	str_copy(m.key, key);
	assert_int_equal(prefix_parse(prefix, &m.prefix), 0);
	assert_int_equal(tables_add_transfer(t, &m), 0);
}

/* jitsu.example for FRIEND with key.example and for 10/8; other.example for nobody; open.example for everybody. */
static struct tables *tables_at(uint32_t serial, const char *www)
{
	static const char *const zones[] = { "jitsu.example", "other.example", "open.example" };
	struct msg_dns_service s = service_msg(SVC_WWW, "www", "www.jitsu.example", www, STATE_OFF, ANSWER_AT_ONCE);
	struct msg_dns_service many = service_msg(SVC_MANY, "many", MANY, MANY_ADDRS, STATE_OFF, ANSWER_AT_ONCE);
	struct msg_dns_conf conf = { .max_waiting = 100, .max_tcp = 10 };
	struct tables *t = tables_new();

	assert_int_equal(tables_set_conf(t, &conf), 0);
	add_key(t, "key.example", TSIG_HMAC_SHA256, 0);
	add_key(t, "long.example", TSIG_HMAC_SHA512, 100);
	for (size_t i = 0; i < ARRAY_SIZE(zones); i++) {
		struct msg_dns_zone z = zone_msg(zones[i]);

		z.serial = serial;
		assert_int_equal(tables_add_zone(t, &z), 0);
	}
	allow(t, "jitsu.example", FRIEND, "key.example");
	allow(t, "jitsu.example", "10.0.0.0/8", "");
	allow(t, "open.example", "0.0.0.0/0", "");
	allow(t, "open.example", "0.0.0.0/0", "nobody.example"); /* there is no such key */
	assert_int_equal(tables_add_service(t, &s), 0);
	assert_int_equal(tables_add_service(t, &many), 0);
	assert_int_equal(tables_place(t), 0);
	assert_int_equal(tables_finish(t), 0);
	return t;
}

static void turn_until_idle(struct world *w)
{
	for (unsigned i = 0; i < 50; i++)
		event_base_loop(w->base, EVLOOP_NONBLOCK);
}

static void use(struct world *w, struct tables *t)
{
	special_tables(w->special, t);
	tables_free(w->tables);
	w->tables = t;
	turn_until_idle(w);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->base = event_base_new();
	w->special = special_new(w->base, &ops, NOTIFY_MS, w);
	use(w, tables_at(5, "192.168.1.20"));
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	special_free(w->special);
	tables_free(w->tables);
	event_base_free(w->base);
	free(w);
	return 0;
}

/* ---- asking ---- */

static struct client client_at(const char *addr, bool tcp)
{
	return (struct client){ .addr = ip(addr), .port = 4000, .conn = tcp ? 9 : 0, .t_ns = 1 };
}

static uint64_t now_s(void) { return clock_wall_ms() / MS_PER_S; }

static struct tsig_key key_of(const struct world *w, uint32_t i) { return *peers_key(tables_peers(w->tables), i); }

/* Signs the n bytes in w->query as the client would. */
static size_t sign_query(struct world *w, size_t n, const struct tsig_key *key, uint64_t at_s)
{
	struct wire_query q;

	w->chain = (struct tsig_chain){ .key = *key };
	n = tsig_sign(&w->chain, w->query, n, at_s);
	w->chain.later = false;
	assert_int_equal(wire_parse(w->query, n, &q), 0);
	assert_true(tsig_parse(w->query, n, q.tsig_at, &w->asked_with));
	return n;
}

static size_t put(struct world *w, const char *from, bool tcp, size_t n)
{
	struct client c = client_at(from, tcp);
	struct asker asker = { .addr = c.addr, .tcp = tcp };

	w->waits = false;
	answer_query(w->tables, &asker, w->query, n, w->reply, &w->a);
	assert_int_equal(w->a.verdict, VERDICT_SPECIAL);
	return special_query(w->special, &c, w->query, n, &w->a, w->reply, &w->waits);
}

static unsigned rcode_of(const uint8_t *b) { return wire_get16(b + 2) & FLAG_RCODE; }

/* The next message of the answer to w->query is signed as it must be: 0, or what tsig_check() says. */
static int check_reply(struct world *w, const uint8_t *b, size_t n)
{
	struct tsig_record r = tsig_record_of(b, n);
	int error = tsig_check(&w->chain, b, &r, now_s());

	w->chain.later = true;
	return error;
}

static size_t plain(struct world *w, const char *name, unsigned type)
{
	return make_query(w->query, (struct ask){ .name = name, .type = type });
}

/* ---- mistakes of signatures ---- */

static void test_an_unknown_key(void **state)
{
	struct world *w = *state;
	struct tsig_key key = key_of(w, 0);
	struct tsig_record r;
	size_t n;

	key.name.b[1] ^= 1;
	n = put(w, FRIEND, true, sign_query(w, plain(w, "jitsu.example", TYPE_AXFR), &key, now_s()));
	assert_int_equal(rcode_of(w->reply), RCODE_NOTAUTH);
	r = tsig_record_of(w->reply, n);
	assert_int_equal(r.error, TSIG_BADKEY);
	assert_int_equal(r.mac_n, 0);
	assert_memory_equal(r.name.b, key.name.b, key.name.n);
	key = key_of(w, 0);
	key.algorithm = TSIG_HMAC_SHA512; /* the name with another algorithm */
	n = put(w, FRIEND, false, sign_query(w, plain(w, "www.jitsu.example", 1), &key, now_s()));
	assert_int_equal(tsig_record_of(w->reply, n).error, TSIG_BADKEY);
	assert_false(w->a.verified);
	assert_int_equal(w->n_queries, 0);
}

static void test_a_bad_signature(void **state)
{
	struct world *w = *state;
	struct tsig_key key = key_of(w, 0);
	struct tsig_record r;
	size_t n;

	key.secret[0] ^= 1;
	n = put(w, FRIEND, false, sign_query(w, plain(w, "www.jitsu.example", 1), &key, now_s()));
	assert_int_equal(rcode_of(w->reply), RCODE_NOTAUTH);
	r = tsig_record_of(w->reply, n);
	assert_int_equal(r.error, TSIG_BADSIG);
	assert_int_equal(r.mac_n, 0);
	assert_false(w->a.verified);
	assert_int_equal(w->n_queries, 0);
	assert_int_equal(w->a.verdict, VERDICT_REPLY);
}

/* RFC 8945, 5.2.3: signed, with the client's time, and ours beside it. */
static void test_a_wrong_time(void **state)
{
	static const int64_t off[] = { -301, 302, -100000, 100000 };
	struct world *w = *state;
	struct tsig_key key = key_of(w, 0);

	for (size_t i = 0; i < ARRAY_SIZE(off); i++) {
		uint64_t theirs = now_s() + (uint64_t)off[i], ours;
		size_t n = put(w, FRIEND, false, sign_query(w, plain(w, "www.jitsu.example", 1), &key, theirs));
		struct tsig_record r = tsig_record_of(w->reply, n);

		assert_int_equal(rcode_of(w->reply), RCODE_NOTAUTH);
		assert_int_equal(r.error, TSIG_BADTIME);
		assert_int_equal(r.time_s, theirs);
		assert_int_equal(r.other_n, 6);
		ours = (uint64_t)wire_get16(r.other) << 32 | (uint64_t)wire_get16(r.other + 2) << 16 |
		       wire_get16(r.other + 4);
		assert_true(now_s() - ours <= 5);
		assert_int_equal(tsig_check(&w->chain, w->reply, &r, theirs), TSIG_OK);
	}
	assert_int_equal(w->n_queries, 0);
}

static void test_a_short_mac(void **state)
{
	struct world *w = *state;
	struct tsig_key key = key_of(w, 0);
	size_t n = sign_query(w, plain(w, "www.jitsu.example", 1), &key, now_s()), at = w->asked_with.at;
	size_t mac_at = (size_t)(w->asked_with.mac - w->query), length_at = at + key.name.n + 8;
	struct tsig_record r;

	memmove(w->query + mac_at + 16, w->query + mac_at + 32, n - mac_at - 32);
	wire_put16(w->query + mac_at - 2, 16);
	wire_put16(w->query + length_at, wire_get16(w->query + length_at) - 16u);
	n = put(w, FRIEND, false, n - 16);
	assert_int_equal(rcode_of(w->reply), RCODE_NOTAUTH);
	r = tsig_record_of(w->reply, n);
	assert_int_equal(r.error, TSIG_BADTRUNC);
	w->chain.mac_n = 16;
	assert_int_equal(tsig_check(&w->chain, w->reply, &r, now_s()), TSIG_OK);
}

static void test_a_record_that_is_none(void **state)
{
	struct world *w = *state;
	struct tsig_key key = key_of(w, 0);
	size_t n = sign_query(w, plain(w, "www.jitsu.example", 1), &key, now_s());

	wire_put16(w->query + w->asked_with.at + key.name.n + 2, CLASS_IN); /* RFC 8945, 4.2 */
	n = put(w, FRIEND, false, n);
	assert_int_equal(rcode_of(w->reply), RCODE_FORMERR);
	assert_int_equal(wire_get16(w->reply + SECTION_ADDITIONAL), 0);
	assert_int_equal(n, WIRE_HEADER + w->a.q.question_n);
}

/* ---- ordinary queries ---- */

static void test_an_ordinary_query_is_answered_signed(void **state)
{
	struct world *w = *state;

	for (uint32_t i = 0; i < 2; i++) {
		struct tsig_key key = key_of(w, i);
		size_t n = put(w, "198.51.100.9", false, sign_query(w, plain(w, "www.jitsu.example", 1), &key, now_s()));

		assert_int_equal(check_reply(w, w->reply, n), TSIG_OK);
		assert_int_equal(rcode_of(w->reply), RCODE_NOERROR);
		assert_int_equal(wire_get16(w->reply + SECTION_ANSWER), 1);
		assert_int_equal(w->a.verdict, VERDICT_SPECIAL); /* it was counted */
		assert_true(w->a.verified);
	}
	assert_int_equal(w->n_queries, 2);
}

static void test_an_answer_that_waited_is_signed(void **state)
{
	struct world *w = *state;
	struct tsig_key key = key_of(w, 0);
	struct client first;
	size_t n = sign_query(w, plain(w, "www.jitsu.example", 1), &key, now_s());
	struct tsig_chain chain = w->chain;
	uint8_t b[WIRE_TCP_MAX];

	w->hold = true;
	assert_int_equal(put(w, FRIEND, false, n), 0);
	assert_true(w->waits);
	first = w->asked;
	for (unsigned i = 0; i < SPECIAL_SIGNED_MAX - 1; i++)
		assert_int_equal(put(w, FRIEND, false, n), 0);
	n = make_query(b, (struct ask){ .name = "www.jitsu.example", .type = 1, .flags = FLAG_QR });
	w->chain = chain;
	assert_int_equal(check_reply(w, b, special_sign(w->special, &first, b, n)), TSIG_OK);
	assert_int_equal(special_sign(w->special, &first, b, n), 0); /* it has been answered */
	n = sign_query(w, plain(w, "www.jitsu.example", 1), &key, now_s());
	put(w, FRIEND, false, n);
	first = w->asked;
	for (unsigned i = 0; i < SPECIAL_SIGNED_MAX; i++)
		put(w, FRIEND, false, n);
	assert_int_equal(special_sign(w->special, &first, b, n), 0); /* too many since */
	first.tsig = 0;
	assert_int_equal(special_sign(w->special, &first, b, n), n); /* not signed */
}

/* RFC 8945, 5.3 */
static void test_a_long_answer_is_cut_for_its_signature(void **state)
{
	struct world *w = *state;
	struct tsig_key key = key_of(w, 0);
	ldns_pkt *p;
	size_t n;

	for (unsigned edns = 0; edns < 2; edns++) {
		n = make_query(w->query, (struct ask){ .name = MANY, .type = 28, .edns_size = edns ? 520 : 0 });
		n = put(w, FRIEND, false, sign_query(w, n, &key, now_s()));
		assert_true(n <= 520);
		assert_int_equal(check_reply(w, w->reply, n), TSIG_OK);
		p = parse_reply(w->reply, n);
		assert_true(ldns_pkt_tc(p));
		assert_int_equal(ldns_pkt_ancount(p), 0);
		assert_int_equal(ldns_pkt_edns(p), edns == 1);
		ldns_pkt_free(p);
	}
	n = put(w, FRIEND, true, sign_query(w, plain(w, MANY, 28), &key, now_s()));
	assert_int_equal(check_reply(w, w->reply, n), TSIG_OK);
	assert_int_equal(wire_get16(w->reply + SECTION_ANSWER), 16);
}

static void test_other_opcodes_are_refused_signed(void **state)
{
	struct world *w = *state;
	struct tsig_key key = key_of(w, 0);
	size_t n = make_query(w->query, (struct ask){ .name = "jitsu.example", .type = 6, .flags = 5 << 11 });

	n = put(w, FRIEND, false, sign_query(w, n, &key, now_s()));
	assert_int_equal(rcode_of(w->reply), RCODE_NOTIMP);
	assert_int_equal(check_reply(w, w->reply, n), TSIG_OK);
}

/* ---- zones ---- */

static void test_who_may_have_a_zone(void **state)
{
	static const struct {
		const char *zone, *from;
		int key; /* -1: none */
		bool tcp, given;
		unsigned rcode;
	} rows[] = {
		{ "jitsu.example", FRIEND, 0, true, true, 0 },
		{ "JITSU.example", "10.1.2.3", -1, true, true, 0 },
		{ "jitsu.example", "10.1.2.3", 1, true, true, 0 }, /* it need not sign */
		{ "open.example", "198.51.100.7", -1, true, true, 0 },
		{ "jitsu.example", FRIEND, -1, true, false, RCODE_REFUSED },
		{ "jitsu.example", FRIEND, 1, true, false, RCODE_REFUSED },
		{ "jitsu.example", "192.0.2.2", 0, true, false, RCODE_REFUSED },
		{ "other.example", FRIEND, 0, true, false, RCODE_REFUSED },
		{ "open.example", "fd00::1", -1, true, false, RCODE_REFUSED },
		{ "www.jitsu.example", FRIEND, 0, true, false, RCODE_NOTAUTH },
		{ "example", FRIEND, 0, true, false, RCODE_NOTAUTH },
		{ "20.1.168.192.in-addr.arpa", "10.1.2.3", -1, true, false, RCODE_NOTAUTH }, /* it is not configured */
		{ "jitsu.example", FRIEND, 0, false, false, RCODE_REFUSED }, /* AXFR over UDP */
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t n = plain(w, rows[i].zone, TYPE_AXFR);

		w->n_last = 0;
		if (rows[i].key >= 0) {
			struct tsig_key key = key_of(w, (uint32_t)rows[i].key);

			n = sign_query(w, n, &key, now_s());
		}
		n = put(w, rows[i].from, rows[i].tcp, n);
		turn_until_idle(w);
		if ((n == 0) != rows[i].given || w->waits != rows[i].given || (w->n_last == 1) != rows[i].given)
			fail_msg("row %zu: %zu bytes, %u ends", i, n, w->n_last);
		if (n > 0 && rcode_of(w->reply) != rows[i].rcode)
			fail_msg("row %zu: rcode %u", i, rcode_of(w->reply));
		if (rows[i].key >= 0)
			assert_int_equal(n > 0 ? check_reply(w, w->reply, n) : check_reply(w, w->sent, w->sent_n), TSIG_OK);
	}
}

/* A query for what changed since this serial. */
static size_t ixfr(struct world *w, const char *zone, uint32_t serial, unsigned edns_size)
{
	size_t n = make_query(w->query, (struct ask){ .name = zone, .type = TYPE_IXFR }), opt_n = 0;
	uint8_t *p = w->query + n, opt[64];

	if (edns_size) {
		opt_n = make_query(opt, (struct ask){ .edns_size = edns_size }) - WIRE_HEADER;
		memmove(opt, opt + WIRE_HEADER, opt_n);
	}
	p = wire_put16(p, WIRE_OWNER_QUESTION);
	p = wire_put16(p, TYPE_SOA);
	p = wire_put16(p, CLASS_IN);
	p = wire_put32(p, 0);
	p = wire_put16(p, 24);
	p = wire_put16(p, WIRE_OWNER_QUESTION);
	p = wire_put16(p, WIRE_OWNER_QUESTION);
	p = wire_put32(p, serial);
	memset(p, 0, 16);
	p += 16;
	memcpy(p, opt, opt_n);
	wire_put16(w->query + SECTION_AUTHORITY, 1);
	wire_put16(w->query + SECTION_ADDITIONAL, opt_n > 0);
	return (size_t)(p - w->query) + opt_n;
}

static void assert_records(const uint8_t *b, size_t n, unsigned count, const char *const *records)
{
	ldns_pkt *p = parse_reply(b, n);

	assert_int_equal(ldns_pkt_ancount(p), count);
	for (unsigned i = 0; i < count; i++)
		assert_rr(ldns_pkt_answer(p), i, records[i]);
	ldns_pkt_free(p);
}

#define SOA(serial)                                                                                 \
	"jitsu.example.\t300\tIN\tSOA\tns1.jitsu.example. admin.jitsu.example. " #serial " 3600 600 86400 30"
#define WWW_A(addr) "www.jitsu.example.\t60\tIN\tA\t" addr

static void test_what_changed(void **state)
{
	static const char *const from_5[] = { SOA(7), SOA(5), WWW_A("192.168.1.20"), SOA(6), WWW_A("192.168.1.21"),
					      SOA(6), WWW_A("192.168.1.21"), SOA(7), WWW_A("192.168.1.22"), SOA(7) };
	static const char *const from_6[] = { SOA(7), SOA(6), WWW_A("192.168.1.21"), SOA(7), WWW_A("192.168.1.22"),
					      SOA(7) };
	static const char *const only_soa[] = { SOA(7) };
	static const struct {
		uint32_t serial;
		unsigned n;
		const char *const *records;
	} rows[] = {
		{ 5, 10, from_5 }, { 6, 6, from_6 }, { 7, 1, only_soa }, { 8, 1, only_soa },
		{ 0x80000006, 1, only_soa }, /* later, as RFC 1982 counts */
	};
	struct world *w = *state;

	use(w, tables_at(6, "192.168.1.21"));
	use(w, tables_at(7, "192.168.1.22"));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t n = put(w, "10.0.0.1", false, ixfr(w, "jitsu.example", rows[i].serial, 1232));

		assert_records(w->reply, n, rows[i].n, rows[i].records);
		w->sent_n = 0;
		n = put(w, "10.0.0.1", true, ixfr(w, "jitsu.example", rows[i].serial, 0));
		turn_until_idle(w);
		assert_int_equal(n == 0, rows[i].n > 1);
		assert_records(n ? w->reply : w->sent, n ? n : w->sent_n, rows[i].n, rows[i].records);
	}
	w->n_last = 0;
	assert_int_equal(put(w, "10.0.0.1", true, ixfr(w, "jitsu.example", 4, 0)), 0); /* nobody knows: all of it */
	turn_until_idle(w);
	assert_int_equal(w->n_last, 1);
	assert_true(wire_get16(w->sent + SECTION_ANSWER) > 10);
	assert_records(w->reply, put(w, "10.0.0.1", false, ixfr(w, "jitsu.example", 4, 1232)), 1, only_soa);
}

/* RFC 1995, 2: what does not fit is asked for over TCP, so the client gets the SOA. */
static void test_what_changed_is_too_long_for_a_datagram(void **state)
{
	static const char *const only_soa[] = { SOA(6) };
	struct world *w = *state;
	struct tsig_key key = key_of(w, 1);
	char addrs[800] = "";
	size_t n;

	for (unsigned i = 0; i < 16; i++)
		snprintf(addrs + strlen(addrs), 40, "fd00:%u::1 ", 100 + i);
	use(w, tables_at(6, addrs));
	n = put(w, "10.0.0.1", false, ixfr(w, "jitsu.example", 5, 0));
	assert_records(w->reply, n, 1, only_soa);
	n = put(w, "10.0.0.1", false, ixfr(w, "jitsu.example", 5, 1232));
	assert_int_equal(wire_get16(w->reply + SECTION_ANSWER), 1 + 2 + 2 + 16);
	w->n_last = 0;
	n = put(w, "10.0.0.1", true, sign_query(w, ixfr(w, "jitsu.example", 5, 0), &key, now_s()));
	turn_until_idle(w);
	assert_int_equal(n, 0);
	assert_int_equal(w->n_last, 1);
	assert_int_equal(check_reply(w, w->sent, w->sent_n), TSIG_OK);
}

static void test_ixfr_without_a_serial(void **state)
{
	struct world *w = *state;
	size_t n = ixfr(w, "jitsu.example", 5, 0);

	put(w, "10.0.0.1", true, plain(w, "jitsu.example", TYPE_IXFR));
	assert_int_equal(rcode_of(w->reply), RCODE_FORMERR);
	n = ixfr(w, "jitsu.example", 5, 0);
	wire_put16(w->query + n - 34, TYPE_A); /* no SOA */
	put(w, "10.0.0.1", true, n);
	assert_int_equal(rcode_of(w->reply), RCODE_FORMERR);
	n = ixfr(w, "jitsu.example", 5, 0);
	wire_put16(w->query + n - 36, 0xc000 | (WIRE_HEADER + 6)); /* of another zone */
	put(w, "10.0.0.1", true, n);
	assert_int_equal(rcode_of(w->reply), RCODE_FORMERR);
	n = ixfr(w, "jitsu.example", 5, 0);
	wire_put16(w->query + n - 26, 23); /* cut short */
	put(w, "10.0.0.1", true, n - 1);
	assert_int_equal(rcode_of(w->reply), RCODE_FORMERR);
}

/* ---- NOTIFY ---- */

static void test_notify_is_refused(void **state)
{
	static const struct {
		const char *name;
		unsigned rcode;
	} rows[] = { { "jitsu.example", RCODE_REFUSED }, { "www.jitsu.example", RCODE_NOTAUTH },
		     { "elsewhere", RCODE_NOTAUTH } };
	struct world *w = *state;
	struct tsig_key key = key_of(w, 0);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct ask ask = { .name = rows[i].name, .type = TYPE_SOA, .flags = OPCODE_NOTIFY | FLAG_AA };
		size_t n = put(w, FRIEND, false, make_query(w->query, ask));

		assert_int_equal(rcode_of(w->reply), rows[i].rcode);
		assert_int_equal(wire_get16(w->reply + 2) & ~(unsigned)FLAG_RCODE, FLAG_QR | OPCODE_NOTIFY);
		assert_int_equal(w->a.verified, false);
		n = make_query(w->query, ask);
		n = put(w, FRIEND, false, sign_query(w, n, &key, now_s()));
		assert_int_equal(rcode_of(w->reply), rows[i].rcode);
		assert_int_equal(check_reply(w, w->reply, n), TSIG_OK);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_an_unknown_key),
		T(test_a_bad_signature),
		T(test_a_wrong_time),
		T(test_a_short_mac),
		T(test_a_record_that_is_none),
		T(test_an_ordinary_query_is_answered_signed),
		T(test_an_answer_that_waited_is_signed),
		T(test_a_long_answer_is_cut_for_its_signature),
		T(test_other_opcodes_are_refused_signed),
		T(test_who_may_have_a_zone),
		T(test_what_changed),
		T(test_what_changed_is_too_long_for_a_datagram),
		T(test_ixfr_without_a_serial),
		T(test_notify_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
