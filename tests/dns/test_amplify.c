/* Amplification: what a client that may be anybody gets over UDP is, beyond what the rate limit lets pass, never more
 * than one and a half times as long as its query.  All kinds of queries are walked, at rates from 1; and a network is
 * sent no more than the rate says of answers that are longer.
 */
#include "tests/dns/keys.h"

#include <event2/event.h>

#include "dns/serve.h"
#include "dns/special.h"
#include "dns/view.h"

enum { NOW_S = 1800000000, NETWORKS_MAX = 1 << 16 };
#define T0_NS (5000 * NS_PER_S)

/* ---- a zone with much to say ---- */

#define DIGITS "01234567890123456789012345678901234567890123456789"
#define LONG_TXT "\"" DIGITS DIGITS "\" "

static const char zone_text[] =
	"$TTL 300\n"
	"@ NS ns1\n@ NS ns2\n@ MX 10 mail\n@ MX 20 ns1\n@ TXT v=spf1\n"
	"ns1 A 10.0.0.1\nns1 AAAA fd00::1\nns2 A 10.0.0.2\nns2 AAAA fd00::2\nmail A 10.0.0.3\n"
	"big TXT " LONG_TXT LONG_TXT LONG_TXT LONG_TXT LONG_TXT LONG_TXT LONG_TXT LONG_TXT LONG_TXT LONG_TXT "\n"
	"huge TXT " LONG_TXT LONG_TXT LONG_TXT LONG_TXT LONG_TXT LONG_TXT LONG_TXT LONG_TXT LONG_TXT LONG_TXT LONG_TXT
	LONG_TXT LONG_TXT LONG_TXT LONG_TXT LONG_TXT LONG_TXT LONG_TXT LONG_TXT LONG_TXT "\n"
	"*.wild TXT " LONG_TXT LONG_TXT "\n"
	"child NS ns.child\nchild NS ns2.child\nns.child A 10.0.0.4\nns2.child AAAA fd00::4\n"
	"a CNAME b\nb CNAME c\nc CNAME d\nd CNAME e\ne CNAME big\n"
	"to-www CNAME www\nlost CNAME nowhere\n"
	"here DNAME there-is-a-rather-long-name.that-it-leads-to.so-that-the-answer-grows\n"
	"_s._t SRV 1 2 3 mail\nh HTTPS 1 . alpn=h2,h3\n";

static struct tables *big_tables(struct test_key *key, uint8_t state, uint8_t answer, uint8_t wake_dns)
{
	struct tables *t = tables_new();
	struct msg_dns_conf conf = { .nsid = "a-name-server-with-quite-a-long-name.jitsu.example" };
	struct msg_dns_zone z = zone_msg("jitsu.example");
	struct msg_dns_service www = service_msg(SVC_WWW, "www", "www.jitsu.example", MANY_ADDRS, state, answer);
	struct msg_dns_service four = service_msg(SVC_FOUR, "four", "four.jitsu.example", "10.0.0.9", state, answer);

	www.wake_dns = four.wake_dns = wake_dns;
	www.ttl_down_s = 1;
	www.n_fallback = 1;
	www.fallback[0] = ip("fd00::f");
	assert_int_equal(tables_set_conf(t, &conf), 0);
	assert_int_equal(tables_add_zone(t, &z), 0);
	assert_int_equal(tables_add_service(t, &www), 0);
	assert_int_equal(tables_add_service(t, &four), 0);
	assert_int_equal(tables_place(t), 0);
	add_zone_text(t, "jitsu.example", zone_text);
	assert_int_equal(tables_finish(t), 0);
	if (key) {
		struct test_key *keys[] = { key, NULL };
		struct signatures *cache = signatures_new();

		sign_tables(t, keys, cache, NOW_S);
		signatures_free(cache);
	}
	return t;
}

/* ---- all kinds of queries ---- */

static const char *const names[] = {
	"", "example", "jitsu.example", "www.jitsu.example", "four.jitsu.example", "big.jitsu.example",
	"huge.jitsu.example", "nowhere.jitsu.example", "a.very.long.name.that.does.not.exist.at.all.jitsu.example",
	"x.wild.jitsu.example", "child.jitsu.example", "www.child.jitsu.example", "a.jitsu.example",
	"to-www.jitsu.example", "lost.jitsu.example", "x.here.jitsu.example", "_s._t.jitsu.example",
	"h.jitsu.example", "elsewhere.net",
};
static const unsigned types[] = {
	TYPE_A, TYPE_AAAA, TYPE_ANY, TYPE_TXT, TYPE_MX, TYPE_NS, TYPE_SOA, TYPE_SRV, TYPE_HTTPS, TYPE_DS,
	48 /* DNSKEY */, TYPE_RRSIG, TYPE_NSEC, 59 /* CDS */, TYPE_PTR, TYPE_OPT, TYPE_TKEY, TYPE_MAILB, 65280, 0,
};

struct kind {
	const char *what, *options; /* in its OPT */
	unsigned flags, class, version, size, options_n;
	bool edns, dnssec_ok;
};

#define OPTIONS(text) .options = (text), .options_n = sizeof(text) - 1
static const struct kind kinds[] = {
	{ .what = "plain" },
	{ .what = "recursive", .flags = FLAG_RD | FLAG_CD },
	{ .what = "STATUS", .flags = 2 << 11 },
	{ .what = "UPDATE", .flags = 5 << 11 },
	{ .what = "chaos", .class = CLASS_CH },
	{ .what = "any class", .class = CLASS_ANY },
	{ .what = "EDNS", .edns = true, .size = 1232 },
	{ .what = "EDNS, small", .edns = true, .size = 512 },
	{ .what = "EDNS, none", .edns = true, .size = 0 },
	{ .what = "EDNS, all", .edns = true, .size = 65535 },
	{ .what = "DO", .edns = true, .dnssec_ok = true, .size = 1232 },
	{ .what = "DO, all", .edns = true, .dnssec_ok = true, .size = 65535 },
	{ .what = "BADVERS", .edns = true, .version = 1, .size = 4096 },
	{ .what = "NSID", .edns = true, .size = 4096, OPTIONS("\0\3\0\0") },
	{ .what = "keepalive", .edns = true, .size = 4096, OPTIONS("\0\13\0\0") },
	{ .what = "cookie", .edns = true, .size = 4096, OPTIONS("\0\12\0\10" "8 bytes.") },
	{ .what = "cookie, NSID, DO", .edns = true, .dnssec_ok = true, .size = 4096,
	  OPTIONS("\0\3\0\0\0\12\0\10" "8 bytes.") },
	{ .what = "cookie made up", .edns = true, .size = 4096,
	  OPTIONS("\0\12\0\30" "8 bytes.\1\0\0\0\0\0\0\0made up.") },
	{ .what = "cookie of another", .edns = true, .size = 4096,
	  OPTIONS("\0\12\0\50" "8 bytes.and 32 more that nobody here made") },
	{ .what = "cookie too short", .edns = true, .size = 4096, OPTIONS("\0\12\0\3" "abc") },
	{ .what = "an option nobody knows", .edns = true, .size = 4096, OPTIONS("\377\1\0\4" "abcd") },
	{ .what = "a broken option", .edns = true, .size = 4096, OPTIONS("\0\12\0\77" "abcd") },
};

static size_t make_kind(uint8_t *b, const struct kind *k, const char *name, unsigned type, uint16_t id)
{
	struct ask a = { .name = name, .type = type, .class = k->class, .id = id ? id : 1, .flags = k->flags };
	size_t n = make_query(b, a);
	uint8_t *p = b + n;

	if (!k->edns)
		return n;
	b[11] = 1;
	*p++ = 0;
	p = wire_put16(p, TYPE_OPT);
	p = wire_put16(p, k->size);
	*p++ = 0;
	*p++ = (uint8_t)k->version;
	p = wire_put16(p, k->dnssec_ok ? 0x8000 : 0);
	p = wire_put16(p, k->options_n);
	if (k->options_n)
		memcpy(p, k->options, k->options_n);
	return (size_t)(p - b) + k->options_n;
}

/* ---- asking ---- */

struct server {
	struct counts counts;
	struct view view;
	uint64_t bytes_in, bytes_out;
	unsigned asked, answered, longer; /* longer: than one and a half times the query */
	uint32_t network; /* of the next client: none asks twice */
};

static void begin_server(struct server *s, struct tables *t, uint32_t rate, uint32_t slip)
{
	memset(s, 0, sizeof(*s));
	s->view = (struct view){ .tables = t, .rate = rate_new(7), .cookies = { .n = 1, .secrets = { { 9 } } } };
	assert_non_null(s->view.rate);
	rate_set(s->view.rate, rate, slip);
}

static void end_server(struct server *s)
{
	rate_free(s->view.rate);
	tables_free(s->view.tables);
}

static struct ip_addr next_network(struct server *s)
{
	struct ip_addr a = ip("198.18.0.1");

	s->network++;
	assert_true(s->network < NETWORKS_MAX);
	a.b[13] = (uint8_t)(s->network >> 8);
	a.b[14] = (uint8_t)s->network;
	return a;
}

/* The length of what is answered at once; what waits is another matter. */
static size_t ask_view(struct server *s, const struct ip_addr *client, uint64_t now_ns, const uint8_t *query, size_t n)
{
	struct asker asker = { .addr = *client, .now_s = NOW_S, .cookies = &s->view.cookies };
	static uint8_t reply[WIRE_UDP_MAX];
	enum view_pass pass = PASS_NOT;
	size_t reply_n = view_query(&s->view, &asker, now_ns, query, n, reply, &s->counts, &pass);

	s->asked++;
	s->answered += reply_n > 0;
	s->longer += 2 * reply_n > 3 * n;
	s->bytes_in += n;
	s->bytes_out += reply_n;
	return reply_n;
}

/* One network asks one thing, far beyond its rate. */
static void flood(struct server *s, uint32_t rate, const struct kind *k, const char *name, unsigned type)
{
	struct ip_addr client = next_network(s);
	uint8_t query[1024];
	size_t n = make_kind(query, k, name, type, 77);
	uint32_t answers = 0;

	for (uint32_t i = 0; i < 2 * rate + 5; i++) {
		size_t reply_n = ask_view(s, &client, T0_NS, query, n);

		answers += reply_n > 0;
		if (answers <= rate || 2 * reply_n <= 3 * n)
			continue;
		fail_msg("%s, \"%s\", type %u: after %u answers (rate %u) %zu bytes for a query of %zu", k->what, name,
			 type, answers, rate, reply_n, n);
	}
}

static void flood_with_all(struct server *s, uint32_t rate)
{
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			for (size_t j = 0; j < ARRAY_SIZE(types); j++)
				flood(s, rate, &kinds[k], names[i], types[j]);
}

static void test_beyond_the_rate_nothing_is_amplified(void **state)
{
	static const uint32_t rates[] = { 1, 2, 3, 7 };
	struct test_key *key = make_key("jitsu.example", LDNS_SIGN_ECDSAP256SHA256, KEY_ALL);
	static struct server s;

	(void)state;
	for (unsigned sign = 0; sign < 2; sign++) {
		for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
			for (uint32_t slip = 0; slip < 3; slip++) {
				struct tables *t = big_tables(sign ? key : NULL, STATE_UP, ANSWER_READY, WAKE_DNS_ANY);

				begin_server(&s, t, rates[i], slip);
				flood_with_all(&s, rates[i]);
				assert_true(s.longer > 0); /* or this would show nothing */
				end_server(&s);
			}
		}
	}
	free_key(key);
}

/* Whatever the service does that is asked for. */
static void test_in_every_state_of_a_service(void **state)
{
	static struct server s;

	(void)state;
	for (uint8_t st = 0; st < STATE_N; st++) {
		for (unsigned mode = 0; mode < ANSWER_N * WAKE_DNS_N; mode++) {
			struct tables *t = big_tables(NULL, st, (uint8_t)(mode % ANSWER_N), (uint8_t)(mode / ANSWER_N));

			begin_server(&s, t, 2, 1);
			for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
				for (unsigned i = 0; i < 4; i++) {
					flood(&s, 2, &kinds[k], "www.jitsu.example", types[i]);
					flood(&s, 2, &kinds[k], "four.jitsu.example", types[i]);
					flood(&s, 2, &kinds[k], "to-www.jitsu.example", types[i]);
				}
			}
			end_server(&s);
		}
	}
}

/* Cut off or damaged anywhere. */
static void test_broken_queries(void **state)
{
	static struct server s;
	uint8_t query[1024];
	struct ip_addr client;

	(void)state;
	begin_server(&s, big_tables(NULL, STATE_UP, ANSWER_READY, WAKE_DNS_ANY), 1, 1);
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		size_t whole = make_kind(query, &kinds[k], "www.jitsu.example", TYPE_AAAA, 5);

		for (size_t n = 0; n <= whole; n++) {
			client = next_network(&s);
			for (unsigned i = 0; i < 4; i++)
				assert_true(2 * ask_view(&s, &client, T0_NS, query, n) <= 3 * n || i < 1);
		}
		for (size_t at = 0; at < whole; at++) {
			uint8_t was = query[at];

			client = next_network(&s);
			query[at] ^= 0xff;
			for (unsigned i = 0; i < 4; i++)
				assert_true(2 * ask_view(&s, &client, T0_NS, query, whole) <= 3 * whole || i < 1);
			query[at] = was;
		}
	}
	end_server(&s);
}

/* One network asks all sorts of things for a long time. */
static void test_no_more_than_the_rate_says(void **state)
{
	enum { RATE = 5, SECONDS = 40, PER_S = 400 };
	struct test_key *key = make_key("jitsu.example", LDNS_SIGN_ECDSAP256SHA256, KEY_ALL);
	static struct server s;
	struct ip_addr client = ip("203.0.113.1");
	uint8_t query[1024];
	unsigned at = 0;

	(void)state;
	begin_server(&s, big_tables(key, STATE_UP, ANSWER_READY, WAKE_DNS_ANY), RATE, 2);
	for (unsigned i = 0; i < SECONDS * PER_S; i++) {
		const struct kind *k = &kinds[(at += 7) % ARRAY_SIZE(kinds)];
		const char *name = names[(at / 3) % ARRAY_SIZE(names)];
		size_t n = make_kind(query, k, name, types[(at / 5) % ARRAY_SIZE(types)], (uint16_t)i);

		client.b[15] = (uint8_t)i; /* others of the network are no others */
		ask_view(&s, &client, T0_NS + i * (NS_PER_S / PER_S), query, n);
	}
	assert_in_range(s.longer, RATE, RATE * (SECONDS + 1));
	assert_true(2 * s.bytes_out <= 3 * s.bytes_in + (uint64_t)2 * RATE * (SECONDS + 1) * WIRE_UDP_MAX);
	end_server(&s);
	free_key(key);
}

/* ---- answers that had to wait ---- */

struct waits {
	struct serve *serve;
	size_t query_n;
	unsigned n_replies, longer, n_wakes;
	uint32_t tokens[64];
};

static void on_reply(void *arg, const struct client *to, const uint8_t *packet, size_t n)
{
	struct waits *w = arg;

	(void)to;
	(void)packet;
	w->n_replies++;
	w->longer += 2 * n > 3 * w->query_n;
}

static int on_tell(void *arg, enum msg_type type, const void *body)
{
	struct waits *w = arg;

	if (type == MSG_WAKE && w->n_wakes < ARRAY_SIZE(w->tokens))
		w->tokens[w->n_wakes++] = ((const struct msg_wake *)body)->token;
	return 0;
}

static void on_mark(void *arg, uint32_t svc, uint32_t gen, uint64_t now_ns)
{
	(void)arg;
	(void)svc;
	(void)gen;
	(void)now_ns;
}

static void on_tables(void *arg, const struct tables *t)
{
	(void)arg;
	(void)t;
}

static void on_publish(void *arg, const struct view *view)
{
	(void)arg;
	(void)view;
}

static void on_settle(void *arg) { (void)arg; }

static const struct serve_ops ops = { .reply = on_reply, .tell = on_tell, .mark = on_mark, .on_tables = on_tables,
				      .publish = on_publish, .settle = on_settle };

/* A service that sleeps, with `rate` for each network. */
static void begin_waits_with(struct waits *w, const struct serve_ops *how, uint32_t rate)
{
	struct msg_dns_conf conf = { .max_waiting = 100, .max_tcp = 10, .rate = rate, .slip = 1 };
	struct msg_dns_zone z = zone_msg("jitsu.example");
	struct msg_dns_service www =
		service_msg(SVC_WWW, "www", "www.jitsu.example", MANY_ADDRS, STATE_OFF, ANSWER_READY);

	memset(w, 0, sizeof(*w));
	clock_fake_ns(T0_NS);
	www.n_fallback = 1;
	www.fallback[0] = ip("fd00::f");
	w->serve = serve_new(how, w, 3);
	serve_launcher_msg(w->serve, MSG_BEGIN, NULL);
	serve_launcher_msg(w->serve, MSG_DNS_CONF, &conf);
	serve_launcher_msg(w->serve, MSG_DNS_ZONE, &z);
	serve_launcher_msg(w->serve, MSG_DNS_SERVICE, &www);
	serve_launcher_msg(w->serve, MSG_END, NULL);
}

static void begin_waits(struct waits *w, uint32_t rate) { begin_waits_with(w, &ops, rate); }

static void end_waits(struct waits *w)
{
	serve_free(w->serve);
	clock_fake_ns(0);
}

/* How many of these n queries, of one network, wait; what is answered at once is counted as a reply. */
static unsigned ask_and_wait(struct waits *w, unsigned n)
{
	unsigned waiting = 0;

	for (uint16_t i = 1; i <= n; i++) {
		struct client c = { .addr = ip("192.0.2.1"), .port = i, .t_ns = clock_now_ns() };
		uint8_t query[1024], reply[ANSWER_SIZE_MAX];
		bool waits = false;
		size_t reply_n;

		w->query_n = make_kind(query, &kinds[6], "www.jitsu.example", TYPE_AAAA, i);
		reply_n = serve_query(w->serve, &c, query, w->query_n, reply, &waits);
		waiting += waits;
		if (reply_n > 0)
			on_reply(w, &c, reply, reply_n);
	}
	return waiting;
}

static void say_state(struct waits *w, uint8_t state)
{
	struct msg_dns_state m = { .svc = SVC_WWW, .gen = GEN, .state = state, .answer = ANSWER_READY };

	serve_launcher_msg(w->serve, MSG_DNS_STATE, &m);
}

static void end_by_state(struct waits *w, uint8_t state) { say_state(w, state); }

static void end_by_refusal(struct waits *w, uint8_t how)
{
	for (unsigned i = 0; i < w->n_wakes; i++) {
		struct msg_dns_refused m = { .svc = SVC_WWW, .gen = GEN, .token = w->tokens[i], .how = how };

		serve_launcher_msg(w->serve, MSG_DNS_REFUSED, &m);
	}
}

static void end_by_time(struct waits *w, uint8_t unused)
{
	(void)unused;
	serve_expire(w->serve, T0_NS + 3600 * NS_PER_S);
}

static void test_answers_that_waited(void **state)
{
	enum { RATE = 3, ASKED = 20 };
	static const struct {
		void (*end)(struct waits *w, uint8_t how);
		uint8_t how;
	} ends[] = {
		{ end_by_state, STATE_UP },	  { end_by_state, STATE_FAILED },    { end_by_state, STATE_CONFLICT },
		{ end_by_refusal, REFUSED_FAIL }, { end_by_refusal, REFUSED_PROVE }, { end_by_refusal, REFUSED_ANSWER },
		{ end_by_refusal, REFUSED_FULL },
		{ end_by_time, 0 },
	};
	struct waits w;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		begin_waits(&w, RATE);
		assert_int_equal(ask_and_wait(&w, ASKED), ASKED);
		assert_int_equal(w.n_replies, 0);
		ends[i].end(&w, ends[i].how);
		assert_int_equal(w.n_replies, ASKED); /* each slips */
		assert_true(w.longer <= RATE);
		assert_int_equal(serve_waiting(w.serve), 0);
		end_waits(&w);
	}
}

static void test_those_who_find_no_place_to_wait(void **state)
{
	enum { RATE = 3, ASKED = 60 };
	struct waits w;

	(void)state;
	begin_waits(&w, RATE);
	assert_int_equal(ask_and_wait(&w, ASKED), 25); /* its network's share */
	assert_int_equal(w.n_replies, ASKED - 25);
	assert_true(w.longer <= RATE);
	end_waits(&w);
}

/* ---- what the main thread alone answers ---- */

static size_t no_query(void *arg, const struct client *from, const uint8_t *packet, size_t n, uint8_t *reply, bool *waits)
{
	(void)arg;
	(void)from;
	(void)packet;
	(void)n;
	(void)reply;
	(void)waits;
	return 0; /* nobody has a key */
}

static struct special *special;

static size_t on_special(void *arg, const struct client *from, const uint8_t *packet, size_t n, struct answer *a,
			 uint8_t *reply, bool *waits)
{
	(void)arg;
	return special_query(special, from, packet, n, a, reply, waits);
}

static void on_special_tables(void *arg, const struct tables *t)
{
	(void)arg;
	special_tables(special, t);
}

/* A signature (RFC 8945, 4.2) by a key that nobody knows. */
static size_t add_tsig(uint8_t *b, size_t n)
{
	static const uint8_t tsig[] = "\3key\0\0\372\0\377\0\0\0\0\0\75\13hmac-sha256\0\0\0\0\0\0\1\1\54\0\40"
				      "0123456789abcdef0123456789abcdef\0\1\0\0\0"; /* and its NUL */

	b[11]++;
	memcpy(b + n, tsig, sizeof(tsig));
	return n + sizeof(tsig);
}

static void test_transfers_notify_and_signed_queries(void **state)
{
	static const struct {
		unsigned type, flags;
		bool edns, tsig;
	} queries[] = {
		{ .type = TYPE_AXFR },			  { .type = TYPE_IXFR },
		{ .type = TYPE_AXFR, .edns = true },	  { .type = TYPE_IXFR, .edns = true },
		{ .type = TYPE_SOA, .flags = OPCODE_NOTIFY }, { .type = TYPE_SOA, .flags = OPCODE_NOTIFY, .edns = true },
		{ .type = TYPE_SOA, .tsig = true },	  { .type = TYPE_AXFR, .tsig = true },
		{ .type = TYPE_A, .edns = true, .tsig = true },
	};
	static const struct special_ops special_ops = { .query = no_query };
	struct serve_ops with_special = ops;
	struct event_base *base = event_base_new();
	struct waits w = { 0 };
	unsigned answered = 0;

	(void)state;
	with_special.special = on_special;
	with_special.on_tables = on_special_tables;
	special = special_new(base, &special_ops, 1, NULL);
	begin_waits_with(&w, &with_special, 2);
	for (size_t i = 0; i < ARRAY_SIZE(queries); i++) {
		unsigned longer = 0;

		for (uint16_t j = 1; j <= 10; j++) {
			struct client c = { .addr = ip("192.0.2.1"), .port = j, .t_ns = clock_now_ns() };
			uint8_t query[1024], reply[ANSWER_SIZE_MAX];
			struct kind k = { .flags = queries[i].flags, .edns = queries[i].edns, .size = 4096 };
			size_t n = make_kind(query, &k, "jitsu.example", queries[i].type, j), reply_n;
			bool waits = false;

			c.addr.b[13] = (uint8_t)i;
			if (queries[i].tsig)
				n = add_tsig(query, n);
			reply_n = serve_query(w.serve, &c, query, n, reply, &waits);
			answered += reply_n > 0;
			longer += 2 * reply_n > 3 * n;
		}
		assert_true(longer <= 2);
	}
	assert_in_range(answered, 2 * ARRAY_SIZE(queries), 10 * ARRAY_SIZE(queries));
	end_waits(&w);
	special_free(special);
	event_base_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_beyond_the_rate_nothing_is_amplified),
		cmocka_unit_test(test_in_every_state_of_a_service),
		cmocka_unit_test(test_broken_queries),
		cmocka_unit_test(test_no_more_than_the_rate_says),
		cmocka_unit_test(test_answers_that_waited),
		cmocka_unit_test(test_those_who_find_no_place_to_wait),
		cmocka_unit_test(test_transfers_notify_and_signed_queries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
