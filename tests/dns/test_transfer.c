/* Zones on their way out, without sockets: what belongs to a zone, what changes from one to the next, and how it
 * is cut into messages.
 */
#include <event2/event.h>
#include <sys/mman.h>

#include "tests/dns/util.h"

#include "dns/load.h"
#include "dns/transfer.h"

enum { RECORDS_MAX = 20000, CONNS = 200 };

/* ---- tables ---- */

static void add_zone(struct tables *t, const char *name, uint32_t serial)
{
	struct msg_dns_zone z = zone_msg(name);

	z.serial = serial;
	assert_int_equal(tables_add_zone(t, &z), 0);
}

static void load_text(struct load *l, const char *zone, const char *text)
{
	struct msg_dns_zone_file m = { .path = "test" };
	int fd = memfd_create("zone", MFD_CLOEXEC);

	str_copy(m.zone, zone);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(load_add(l, &m, fd), 0);
}

/* Finishes the tables with these records in e.example. */
static struct tables *finished(struct tables *t, const char *text)
{
	struct signatures *cache = signatures_new();
	struct load *l = load_new(cache);
	struct err e;
	int r;

	assert_int_equal(tables_place(t), 0);
	load_text(l, "e.example", text);
	while ((r = load_step(l, t, &e)) > 0)
		;
	if (r < 0)
		fail_msg("%s", e.text);
	load_free(l);
	signatures_free(cache);
	return t;
}

static struct tables *simple(uint32_t serial, const char *text)
{
	struct tables *t = tables_new();

	add_zone(t, "e.example", serial);
	return finished(t, text);
}

/* ---- records as text, in order ---- */

struct records {
	unsigned n;
	char *v[RECORDS_MAX];
};

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* One record with this owner, whole. */
static char *record_text(const uint8_t *owner, const uint8_t *record)
{
	uint8_t b[WIRE_NAME_MAX + 65535];
	unsigned labels = 0;
	size_t owner_n = wire_name_length(owner, WIRE_NAME_MAX, &labels), n = 10u + wire_get16(record + 10), at = 0;
	ldns_rr *rr = NULL;
	char *text;

	memcpy(b, owner, owner_n);
	memcpy(b + owner_n, record + 2, n);
	assert_int_equal(ldns_wire2rr(&rr, b, owner_n + n, &at, LDNS_SECTION_ANSWER), LDNS_STATUS_OK);
	ldns_rr2canonical(rr);
	text = ldns_rr2str(rr);
	ldns_rr_free(rr);
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static void add_text(struct records *r, char *text)
{
	assert_true(r->n < RECORDS_MAX);
	r->v[r->n++] = text;
}

static void add_set(struct records *r, const uint8_t *owner, const uint8_t *p, unsigned count)
{
	for (unsigned i = 0; i < count; i++, p += WIRE_RECORD_HEAD + (size_t)wire_get16(p + 10))
		add_text(r, record_text(owner, p));
}

static void sort(struct records *r) { qsort(r->v, r->n, sizeof(r->v[0]), by_text); }

static void clear(struct records *r)
{
	for (unsigned i = 0; i < r->n; i++)
		free(r->v[i]);
	r->n = 0;
}

static void assert_same(const struct records *a, const struct records *b)
{
	for (unsigned i = 0; i < MAX(a->n, b->n); i++)
		if (i >= a->n || i >= b->n || strcmp(a->v[i], b->v[i]) != 0)
			fail_msg("record %u of %u and %u: %s, %s", i, a->n, b->n, i < a->n ? a->v[i] : "-",
				 i < b->n ? b->v[i] : "-");
}

/* All of the zone but its SOA, in steps as small as they can be. */
static void walk(const struct tables *t, const char *zone, struct records *out)
{
	struct zone_walk w;
	struct zone_set s;
	unsigned budget = 0;
	int r;

	zone_walk_begin(&w, t, tables_zone(t, zone));
	while ((r = zone_walk_next(&w, &budget, &s)) != 0) {
		if (r == -EAGAIN)
			budget = 1;
		else
			add_set(out, tables_name(t, s.owner), s.records, s.count);
	}
	sort(out);
}

/* ---- what belongs to a zone ---- */

static void test_what_belongs_to_a_zone(void **state)
{
	static const char text[] = "@ NS ns1\n@ MX 10 mail\nns1 A 192.0.2.1\n*.w TXT \"x\"\nsub NS ns.sub\n"
				   "ns.sub AAAA fd00::9\n"
				   "in DS 1 13 2 00\nin NS unused\nwww TXT \"beside\"\n";
	static const char *const outer[] = {
		"*.w.e.example.\t300\tIN\tTXT\t\"x\"", "e.example.\t300\tIN\tMX\t10 mail.e.example.",
		"e.example.\t300\tIN\tNS\tns1.e.example.", "in.e.example.\t300\tIN\tDS\t1 13 2 00",
		"in.e.example.\t300\tIN\tNS\tns1.in.e.example.", "ns.sub.e.example.\t300\tIN\tAAAA\tfd00::9",
		"ns1.e.example.\t300\tIN\tA\t192.0.2.1", "ns1.in.e.example.\t60\tIN\tA\t192.0.2.66",
		"sub.e.example.\t300\tIN\tNS\tns.sub.e.example.", "www.e.example.\t300\tIN\tTXT\t\"beside\"",
		"www.e.example.\t60\tIN\tA\t192.0.2.80", "www.e.example.\t60\tIN\tAAAA\tfd00::80",
	};
	static const char *const inner[] = {
		"a.in.e.example.\t60\tIN\tA\t192.0.2.66", "in.e.example.\t300\tIN\tNS\tns1.in.e.example.",
		"ns1.in.e.example.\t60\tIN\tA\t192.0.2.66",
	};
	static const char *const reverse[] = {
		"2.0.192.in-addr.arpa.\t300\tIN\tNS\tns1.2.0.192.in-addr.arpa.",
		"66.2.0.192.in-addr.arpa.\t60\tIN\tPTR\tns1.in.e.example.",
		"80.2.0.192.in-addr.arpa.\t60\tIN\tPTR\twww.e.example.",
	};
	static const struct {
		const char *zone;
		const char *const *v;
		unsigned n;
	} rows[] = { { "e.example", outer, ARRAY_SIZE(outer) }, { "in.e.example", inner, ARRAY_SIZE(inner) },
		     { "2.0.192.in-addr.arpa", reverse, ARRAY_SIZE(reverse) } };
	struct msg_dns_service www = service_msg(SVC_WWW, "www", "www.e.example", "192.0.2.80 fd00::80", STATE_OFF, 0);
	struct msg_dns_service in = service_msg(SVC_FOUR, "in", "ns1.in.e.example a.in.e.example", "192.0.2.66",
						STATE_OFF, 0);
	struct tables *t = tables_new();

	(void)state;
	www.ttl_down_s = 5; /* other forms of its addresses are nobody's but ours */
	www.n_fallback = 1;
	www.fallback[0] = ip("192.0.2.99");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		add_zone(t, rows[i].zone, 1);
	assert_int_equal(tables_add_service(t, &www), 0);
	assert_int_equal(tables_add_service(t, &in), 0);
	finished(t, text);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		static struct records got;
		struct records expected = { .n = rows[i].n };

		memcpy(expected.v, rows[i].v, rows[i].n * sizeof(expected.v[0]));
		walk(t, rows[i].zone, &got);
		assert_same(&got, &expected);
		clear(&got);
	}
	tables_free(t);
}

/* ---- what changes ---- */

struct heard {
	unsigned n;
	uint32_t serial;
};

static void on_done(void *arg, const struct tables *t, uint32_t zone)
{
	struct heard *h = arg;

	h->n++;
	h->serial = tables_zone_at(t, zone)->serial;
}

static struct name zone_name(void)
{
	struct name n;

	assert_true(name_from_text("e.example", &n));
	return n;
}

static void compare_all(struct changes *j, struct tables *from, struct tables *to)
{
	changes_compare(j, from, to);
	while (changes_step(j))
		;
}

/* The change, done to these records. */
static void apply(struct records *r, const struct change *c)
{
	unsigned soas = 0;
	struct wire_rrset set;
	size_t at = 0;

	while (change_next(c, &at, &set)) {
		struct records these = { 0 };

		soas += set.type == TYPE_SOA;
		assert_true(soas == 1 || soas == 2);
		if (set.type == TYPE_SOA)
			continue;
		add_set(&these, set.owner, set.records, set.count);
		for (unsigned i = 0; i < these.n; i++) {
			char **found;

			sort(r);
			found = bsearch(&these.v[i], r->v, r->n, sizeof(r->v[0]), by_text);
			assert_int_equal(found != NULL, soas == 1); /* only what is there goes, only what is not comes */
			if (soas == 1) {
				free(*found);
				free(these.v[i]);
				*found = r->v[--r->n];
			} else {
				add_text(r, these.v[i]);
			}
		}
	}
	assert_int_equal(soas, 2);
	sort(r);
}

static uint64_t seed = 7;

static unsigned below(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 33) % n;
}

static struct tables *random_tables(uint32_t serial)
{
	char *text = malloc(64 * 1024), *p = text;
	struct tables *t = tables_new();
	struct msg_dns_service s = service_msg(SVC_WWW, "www", "www.e.example", below(2) ? "192.0.2.1" : "192.0.2.2 fd00::2",
					       STATE_OFF, 0);

	p += sprintf(p, "@ NS ns%u\n", below(3));
	for (unsigned i = 0; i < 60; i++)
		p += sprintf(p, "n%u%s %u A 192.0.2.%u\n", below(20), below(3) ? "" : ".deep", 100 + 100 * below(2), below(4));
	for (unsigned i = 0; i < 10; i++)
		p += sprintf(p, "d%u NS ns.d%u\nns.d%u A 192.0.2.%u\nm%u MX %u n%u\n", below(4), below(4), below(4), below(4),
			     below(5), below(2), below(20));
	add_zone(t, "e.example", serial);
	if (below(2))
		add_zone(t, "d1.e.example", serial);
	if (below(3))
		assert_int_equal(tables_add_service(t, &s), 0);
	finished(t, text);
	free(text);
	return t;
}

/* Whoever has the old zone and does what is said to have changed has the new one. */
static void test_changes_lead_from_one_to_the_other(void **state)
{
	struct heard heard = { 0 };
	struct changes *j = changes_new(on_done, &heard);
	struct tables *was = random_tables(1), *first = tables_ref(was);
	struct change *chain[CHANGES_CHAIN_MAX];
	static struct records old, new;
	struct name zone = zone_name();

	(void)state;
	compare_all(j, NULL, was);
	walk(first, "e.example", &old);
	for (uint32_t serial = 2; serial <= 40; serial++) {
		struct tables *t = random_tables(serial);

		compare_all(j, was, t);
		assert_int_equal(heard.serial, serial);
		walk(t, "e.example", &new);
		assert_int_equal(changes_find(j, &zone, serial - 1, serial, chain), 1);
		apply(&old, chain[0]);
		change_unref(chain[0]);
		assert_same(&old, &new);
		clear(&new);
		tables_free(was);
		was = t;
	}
	clear(&old);
	walk(first, "e.example", &old); /* and all of them from the first to the last */
	walk(was, "e.example", &new);
	assert_int_equal(changes_find(j, &zone, 1, 40, chain), 39);
	for (unsigned i = 0; i < 39; i++) {
		apply(&old, chain[i]);
		change_unref(chain[i]);
	}
	assert_same(&old, &new);
	clear(&old);
	clear(&new);
	tables_free(first);
	tables_free(was);
	changes_free(j);
}

static unsigned steps_from(struct changes *j, uint32_t from, uint32_t to)
{
	struct change *chain[CHANGES_CHAIN_MAX];
	struct name zone = zone_name();
	unsigned n = changes_find(j, &zone, from, to, chain);

	for (unsigned i = 0; i < n; i++)
		change_unref(chain[i]);
	return n;
}

static void test_changes_are_forgotten(void **state)
{
	struct heard heard = { 0 };
	struct changes *j = changes_new(on_done, &heard);
	struct tables *a = simple(1, "a A 192.0.2.1\n"), *b = simple(2, "a A 192.0.2.2\n");
	struct tables *c = simple(3, "a A 192.0.2.3\n");
	struct tables *other = tables_new(), *older = simple(1, "a A 192.0.2.9\n");

	(void)state;
	add_zone(other, "other.example", 1);
	assert_int_equal(tables_place(other), 0);
	assert_int_equal(tables_finish(other), 0);
	compare_all(j, NULL, a);
	assert_int_equal(heard.n, 1);
	assert_int_equal(steps_from(j, 0, 1), 0);
	compare_all(j, a, b);
	compare_all(j, b, c);
	assert_int_equal(heard.n, 3);
	assert_int_equal(steps_from(j, 1, 3), 2);
	assert_int_equal(steps_from(j, 2, 3), 1);
	assert_int_equal(steps_from(j, 1, 2), 1);
	assert_int_equal(steps_from(j, 1, 4), 0);
	compare_all(j, c, c); /* nothing is new */
	assert_int_equal(heard.n, 3);
	compare_all(j, c, older); /* the serial went back: nobody can follow */
	assert_int_equal(heard.n, 4);
	assert_int_equal(steps_from(j, 1, 3), 0);
	compare_all(j, older, b);
	assert_int_equal(steps_from(j, 1, 2), 1);
	compare_all(j, b, other); /* the zone is gone */
	assert_int_equal(steps_from(j, 1, 2), 0);
	for (unsigned i = 0; i < 4; i++) /* faster than it is compared */
		changes_compare(j, i % 2 ? b : a, i % 2 ? a : b);
	while (changes_step(j))
		;
	assert_int_equal(steps_from(j, 1, 2), 0);
	tables_free(a);
	tables_free(b);
	tables_free(c);
	tables_free(older);
	tables_free(other);
	changes_free(j);
}

/* A TXT set of 50,000 bytes at each of so many names. */
static char *large_text(unsigned names, char letter)
{
	char *text = malloc((size_t)names * 60000 + 1), *p = text;

	*p = '\0';
	for (unsigned i = 0; i < names; i++)
		for (unsigned k = 0; k < 240; k++)
			p += sprintf(p, "t%u TXT \"%c%0199u\"\n", i, letter, k);
	return text;
}

static void test_a_change_may_be_too_large(void **state)
{
	struct heard heard = { 0 };
	struct changes *j = changes_new(on_done, &heard);
	char *x = large_text(60, 'x'), *y = large_text(60, 'y');
	struct tables *a = simple(1, x), *b = simple(2, y), *c = simple(3, y);

	(void)state;
	compare_all(j, NULL, a);
	compare_all(j, a, b);
	assert_int_equal(heard.n, 2);
	assert_int_equal(steps_from(j, 1, 2), 0);
	compare_all(j, b, c);
	assert_int_equal(steps_from(j, 2, 3), 1);
	free(x);
	free(y);
	tables_free(a);
	tables_free(b);
	tables_free(c);
	changes_free(j);
}

/* ---- messages ---- */

struct out {
	struct event_base *base;
	struct transfers *transfers;
	unsigned n[CONNS], n_last[CONNS], n_aborted;
	uint64_t aborted;
	size_t unsent[CONNS], most;
	struct tsig_chain *chain; /* what conn 1's are checked with */
	struct records got; /* on conn 1 */
};

static void check_signed(struct out *o, const uint8_t *packet, size_t n)
{
	static uint8_t copy[WIRE_TCP_MAX];
	struct tsig_record r;
	struct wire_query q;

	memcpy(copy, packet, n);
	copy[2] &= 0x7f;
	assert_int_equal(wire_parse(copy, n, &q), 0);
	assert_true(q.tsig_at > 0 && tsig_parse(packet, n, q.tsig_at, &r));
	assert_int_equal(tsig_check(o->chain, packet, &r, clock_wall_ms() / MS_PER_S), TSIG_OK);
	o->chain->later = true;
}

static void on_send(void *arg, const struct client *to, const uint8_t *packet, size_t n, bool last)
{
	struct out *o = arg;
	ldns_pkt *p;

	assert_true(to->conn < CONNS);
	assert_int_equal(o->n_last[to->conn], 0);
	o->n[to->conn]++;
	o->n_last[to->conn] += last;
	o->unsent[to->conn] += n;
	o->most = MAX(o->most, o->unsent[to->conn]);
	if (to->conn != 1)
		return;
	if (o->chain)
		check_signed(o, packet, n);
	p = parse_reply(packet, n);
	assert_int_equal(ldns_pkt_get_rcode(p), 0);
	assert_true(ldns_pkt_aa(p));
	for (size_t i = 0; i < ldns_pkt_ancount(p); i++) {
		ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_answer(p), i);
		char *text;

		ldns_rr2canonical(rr);
		text = ldns_rr2str(rr);
		text[strcspn(text, "\n")] = '\0';
		add_text(&o->got, text);
	}
	ldns_pkt_free(p);
}

static size_t on_unsent(void *arg, uint64_t conn)
{
	struct out *o = arg;

	return o->unsent[conn];
}

static void on_abort(void *arg, uint64_t conn)
{
	struct out *o = arg;

	o->n_aborted++;
	o->aborted = conn;
}

static const struct transfer_ops transfer_ops = { on_send, on_unsent, on_abort };

static struct out *new_out(void)
{
	struct out *o = calloc(1, sizeof(*o));

	o->base = event_base_new();
	o->transfers = transfers_new(o->base, &transfer_ops, o);
	return o;
}

static void free_out(struct out *o)
{
	transfers_free(o->transfers);
	event_base_free(o->base);
	clear(&o->got);
	free(o);
}

static int begin(struct out *o, const struct tables *t, uint64_t conn, const char *from,
		 const struct tsig_chain *chain)
{
	uint8_t b[512];
	size_t n = make_query(b, (struct ask){ .name = "e.example", .type = TYPE_AXFR });
	struct transfer_wish w = { .to = { .addr = ip(from), .conn = conn }, .t = t, .zone = 0, .chain = chain };
	struct wire_query q;

	assert_int_equal(wire_parse(b, n, &q), 0);
	w.q = &q;
	return transfer_begin(o->transfers, &w);
}

static void turns(struct out *o, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		event_base_loop(o->base, EVLOOP_NONBLOCK);
}

/* SOA first and last, and between the two what a walk meets. */
static void assert_whole(struct out *o, const struct tables *t)
{
	static struct records expected;

	assert_true(o->got.n > 2);
	assert_non_null(strstr(o->got.v[0], "\tSOA\t"));
	assert_string_equal(o->got.v[0], o->got.v[o->got.n - 1]);
	free(o->got.v[--o->got.n]);
	free(o->got.v[0]);
	o->got.v[0] = o->got.v[--o->got.n];
	sort(&o->got);
	walk(t, "e.example", &expected);
	assert_same(&o->got, &expected);
	clear(&expected);
	clear(&o->got);
}

/* Made as it is taken: never much more is waiting than TRANSFER_UNSENT_MAX. */
static void test_a_zone_in_messages(void **state)
{
	struct msg_dns_tsig_key m = { .name = "k", .algorithm = TSIG_HMAC_SHA384, .secret_n = 48 };
	struct tsig_chain chain = { .mac_n = 0 }, check;
	char *text = large_text(20, 'x');
	struct tables *t = simple(1, text);
	struct out *o = new_out();

	(void)state;
	assert_true(tsig_key_of(&m, &chain.key));
	memset(chain.mac, 7, 48);
	chain.mac_n = 48;
	check = chain;
	o->chain = &check;
	assert_int_equal(begin(o, t, 1, "192.0.2.1", &chain), 0);
	for (unsigned i = 0; i < 1000 && o->n_last[1] == 0; i++) {
		turns(o, 20);
		assert_int_equal(o->n_last[1] == 0, transfers_count(o->transfers) == 1);
		o->unsent[1] = 0;
		transfer_go_on(o->transfers, 1);
	}
	assert_int_equal(o->n_last[1], 1);
	assert_true(o->n[1] > 10);
	assert_true(o->most <= TRANSFER_UNSENT_MAX + WIRE_TCP_MAX);
	assert_whole(o, t);
	free_out(o);
	tables_free(t);
	free(text);
}

static void test_a_zone_of_small_records(void **state)
{
	struct out *o = new_out();
	char *text = malloc(400000), *p = text;
	struct tables *t;

	(void)state;
	for (unsigned i = 0; i < 5000; i++)
		p += sprintf(p, "n%u.some.where A 192.0.2.%u\n", i, i % 250);
	t = simple(1, text);
	assert_int_equal(begin(o, t, 1, "192.0.2.1", NULL), 0);
	for (unsigned i = 0; i < 100 && o->n_last[1] == 0; i++) {
		turns(o, 20);
		o->unsent[1] = 0;
		transfer_go_on(o->transfers, 1);
	}
	assert_int_equal(o->n_last[1], 1);
	assert_in_range(o->n[1], 5, 16); /* many records in each */
	assert_whole(o, t);
	free_out(o);
	tables_free(t);
	free(text);
}

static void test_a_zone_without_records(void **state)
{
	struct tables *t = simple(1, "");
	struct out *o = new_out();

	(void)state;
	assert_int_equal(begin(o, t, 1, "192.0.2.1", NULL), 0);
	turns(o, 5);
	assert_int_equal(o->n[1], 1);
	assert_int_equal(o->n_last[1], 1);
	assert_whole(o, t);
	free_out(o);
	tables_free(t);
}

/* Tables live as long as somebody gets them; connections that are gone get nothing. */
static void test_transfers_end(void **state)
{
	char *text = large_text(10, 'x');
	struct tables *t = simple(1, text);
	struct out *o = new_out();

	(void)state;
	assert_int_equal(begin(o, t, 1, "192.0.2.1", NULL), 0);
	assert_int_equal(begin(o, t, 2, "192.0.2.1", NULL), 0);
	tables_free(t);
	turns(o, 10);
	assert_true(o->n[1] > 0 && o->n[1] == o->n[2]); /* in turns */
	transfers_forget(o->transfers, 1);
	assert_int_equal(transfers_count(o->transfers), 1);
	o->unsent[1] = o->unsent[2] = 0;
	transfer_go_on(o->transfers, 1);
	transfer_go_on(o->transfers, 2);
	turns(o, 1);
	assert_true(o->n[2] > o->n[1]);
	free_out(o);
	free(text);
}

static void test_transfers_are_limited(void **state)
{
	char *text = large_text(10, 'x'), addr[32];
	struct tables *t = simple(1, text);
	struct out *o = new_out();

	(void)state;
	for (uint64_t i = 0; i < TRANSFERS_CLIENT_MAX; i++)
		assert_int_equal(begin(o, t, 1 + i, "192.0.2.1", NULL), 0);
	assert_int_equal(begin(o, t, 100, "192.0.2.1", NULL), -ENOSPC);
	for (unsigned i = TRANSFERS_CLIENT_MAX; i < TRANSFERS_MAX; i++) {
		snprintf(addr, sizeof(addr), "198.51.100.%u", i);
		assert_int_equal(begin(o, t, 1 + i, addr, NULL), 0);
	}
	assert_int_equal(begin(o, t, 101, "203.0.113.1", NULL), -ENOSPC);
	assert_int_equal(transfers_count(o->transfers), TRANSFERS_MAX);
	free_out(o);
	tables_free(t);
	free(text);
}

static void test_old_tables_are_not_kept_for_ever(void **state)
{
	char *text = large_text(10, 'x');
	struct out *o = new_out();

	(void)state;
	for (unsigned i = 0; i <= TRANSFERS_TABLES_MAX; i++) {
		struct tables *t = simple(1 + i, text);

		assert_int_equal(o->n_aborted, 0);
		assert_int_equal(begin(o, t, 10 + i, "192.0.2.1", NULL), 0);
		tables_free(t);
	}
	assert_int_equal(o->n_aborted, 1);
	assert_int_equal(o->aborted, 10);
	assert_int_equal(transfers_count(o->transfers), TRANSFERS_TABLES_MAX);
	free_out(o);
	free(text);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_belongs_to_a_zone),
		cmocka_unit_test(test_changes_lead_from_one_to_the_other),
		cmocka_unit_test(test_changes_are_forgotten),
		cmocka_unit_test(test_a_change_may_be_too_large),
		cmocka_unit_test(test_a_zone_in_messages),
		cmocka_unit_test(test_a_zone_of_small_records),
		cmocka_unit_test(test_a_zone_without_records),
		cmocka_unit_test(test_transfers_end),
		cmocka_unit_test(test_transfers_are_limited),
		cmocka_unit_test(test_old_tables_are_not_kept_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
