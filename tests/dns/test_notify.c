/* NOTIFY over loopback: the test is the secondary. */
#include <event2/event.h>

#include "tests/dns/net.h"

#include "dns/notify.h"

enum { WAIT_MS = 20, LONG_MS = 5000, PACKET_MAX = 2048 };

struct world {
	struct event_base *base;
	struct notify *notify;
	struct tables *tables;
	int fd; /* the secondary's */
	uint16_t port;
	/* the newest request */
	uint8_t b[PACKET_MAX];
	size_t n;
	struct sockaddr_in from;
	struct tsig_chain chain;
};

/* e.example, with that secondary; its key is `k` if is_signed. */
static struct tables *tables_with(uint32_t serial, uint16_t port, bool is_signed)
{
	struct msg_dns_tsig_key key = { .name = "k", .secret_n = 32, .secret = { 1, 2, 3 } };
	struct msg_dns_secondary s = { .zone = "e.example", .addr = ip("127.0.0.1"), .port = port };
	struct msg_dns_zone z = zone_msg("e.example");
	struct tables *t = tables_new();

	z.serial = serial;
	str_copy(s.key, is_signed ? "k" : "");
	assert_int_equal(tables_add_tsig_key(t, &key), 0);
	assert_int_equal(tables_add_zone(t, &z), 0);
	if (port)
		assert_int_equal(tables_add_secondary(t, &s), 0);
	assert_int_equal(tables_place(t), 0);
	assert_int_equal(tables_finish(t), 0);
	return t;
}

static void use(struct world *w, struct tables *t)
{
	tables_free(w->tables);
	w->tables = t;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct ip_addr any = ip("127.0.0.7");

	w->base = event_base_new();
	w->notify = notify_new(w->base, WAIT_MS);
	notify_listen(w->notify, &any);
	notify_listen(w->notify, &any);
	w->fd = bound_socket(SOCK_DGRAM, "127.0.0.1", &w->port);
	assert_true(w->fd >= 0);
	use(w, tables_with(7, w->port, false));
	*state = w;
	return 0;
}

/* Its requests are not followed by others during the test. */
static void wait_long(struct world *w)
{
	struct ip_addr local = ip("127.0.0.7");

	notify_free(w->notify);
	w->notify = notify_new(w->base, 60000);
	notify_listen(w->notify, &local);
}

static int teardown(void **state)
{
	struct world *w = *state;

	notify_free(w->notify);
	tables_free(w->tables);
	event_base_free(w->base);
	close(w->fd);
	free(w);
	return 0;
}

static void turn(struct world *w)
{
	event_base_loop(w->base, EVLOOP_NONBLOCK);
	usleep(500);
}

/* The next request. */
static void hear(struct world *w)
{
	uint64_t until = clock_now_ms() + LONG_MS;
	ssize_t n = -1;

	while (n < 0 && clock_now_ms() < until) {
		socklen_t from_n = sizeof(w->from);

		turn(w);
		n = recvfrom(w->fd, w->b, sizeof(w->b), MSG_DONTWAIT, (struct sockaddr *)&w->from, &from_n);
	}
	assert_true(n > 0);
	w->n = (size_t)n;
}

static void say(struct world *w, const uint8_t *b, size_t n)
{
	assert_int_equal(sendto(w->fd, b, n, 0, (struct sockaddr *)&w->from, sizeof(w->from)), n);
	for (unsigned i = 0; i < 20; i++)
		turn(w);
}

/* The answer to it, in place: header and question. */
static size_t make_answer(struct world *w, unsigned rcode)
{
	struct wire_query q;

	assert_int_equal(wire_parse(w->b, w->n, &q), 0);
	wire_put16(w->b + 2, FLAG_QR | OPCODE_NOTIFY | FLAG_AA | rcode);
	memset(w->b + 6, 0, 6);
	return WIRE_HEADER + (size_t)q.question_n;
}

/* Answers with this until nobody is being told any more: an answer may come too late for its request. */
static void answer_until_it_ends(struct world *w, unsigned rcode)
{
	uint64_t until = clock_now_ms() + LONG_MS;

	while (notify_count(w->notify) > 0 && clock_now_ms() < until) {
		hear(w);
		say(w, w->b, make_answer(w, rcode));
	}
	assert_int_equal(notify_count(w->notify), 0);
}

static void test_until_it_is_heard(void **state)
{
	struct world *w = *state;
	uint16_t ids[3];
	ldns_pkt *p;

	notify_zone(w->notify, w->tables, 0);
	for (unsigned i = 0; i < 3; i++) {
		hear(w);
		ids[i] = wire_get16(w->b);
		assert_int_equal(ntohl(w->from.sin_addr.s_addr), 0x7f000007); /* where we listen */
		assert_int_equal(notify_count(w->notify), 1);
	}
	assert_false(ids[0] == ids[1] && ids[1] == ids[2]);
	p = parse_reply(w->b, w->n);
	assert_int_equal(ldns_pkt_get_opcode(p), LDNS_PACKET_NOTIFY);
	assert_true(ldns_pkt_aa(p));
	assert_rr(ldns_pkt_question(p), 0, "e.example.\tIN\tSOA");
	assert_rr(ldns_pkt_answer(p), 0, "e.example.\t300\tIN\tSOA\tns1.e.example. admin.e.example. 7 3600 600 86400 30");
	ldns_pkt_free(p);
	answer_until_it_ends(w, 0);
}

static void test_answers_of_others_do_not_count(void **state)
{
	struct world *w = *state;
	uint16_t port = 0;
	int other = bound_socket(SOCK_DGRAM, "127.0.0.1", &port);
	size_t n;

	wait_long(w);
	notify_zone(w->notify, w->tables, 0);
	hear(w);
	n = make_answer(w, 0);
	assert_int_equal(sendto(other, w->b, n, 0, (struct sockaddr *)&w->from, sizeof(w->from)), n);
	for (unsigned i = 0; i < 10; i++)
		turn(w);
	assert_int_equal(notify_count(w->notify), 1);
	w->b[0] ^= 1; /* another id */
	say(w, w->b, n);
	assert_int_equal(notify_count(w->notify), 1);
	close(other);
	w->b[0] ^= 1;
	notify_zone(w->notify, w->tables, 0); /* once more */
	hear(w);
	say(w, w->b, make_answer(w, RCODE_REFUSED)); /* it may think better of it */
	assert_int_equal(notify_count(w->notify), 1);
	notify_zone(w->notify, w->tables, 0);
	answer_until_it_ends(w, RCODE_NOTIMP); /* that will not change */
}

static void test_what_is_signed_must_be_answered_signed(void **state)
{
	struct world *w = *state;
	struct tsig_record r;
	struct wire_query q;
	size_t n;

	wait_long(w);
	use(w, tables_with(8, w->port, true));
	notify_zone(w->notify, w->tables, 0);
	hear(w);
	assert_int_equal(wire_parse(w->b, w->n, &q), 0);
	assert_true(tsig_parse(w->b, w->n, q.tsig_at, &r));
	w->chain = (struct tsig_chain){ .key = *peers_key(tables_peers(w->tables), 0) };
	assert_int_equal(tsig_check(&w->chain, w->b, &r, clock_wall_ms() / MS_PER_S), TSIG_OK);
	n = make_answer(w, 0);
	say(w, w->b, n);
	assert_int_equal(notify_count(w->notify), 1);
	n = tsig_sign(&w->chain, w->b, n, clock_wall_ms() / MS_PER_S);
	w->b[n - 10] ^= 1;
	say(w, w->b, n);
	assert_int_equal(notify_count(w->notify), 1);
	w->b[n - 10] ^= 1;
	say(w, w->b, n);
	assert_int_equal(notify_count(w->notify), 0);
}

static void test_a_newer_serial_overtakes(void **state)
{
	struct world *w = *state;

	notify_zone(w->notify, w->tables, 0);
	hear(w);
	use(w, tables_with(9, w->port, false));
	notify_keep(w->notify, w->tables);
	notify_zone(w->notify, w->tables, 0);
	assert_int_equal(notify_count(w->notify), 1);
	do
		hear(w);
	while (!memmem(w->b, w->n, "\0\0\0\x09\0\0\x0e\x10", 8)); /* serial, refresh */
	use(w, tables_with(9, 0, false)); /* nobody is to be told any more */
	notify_keep(w->notify, w->tables);
	assert_int_equal(notify_count(w->notify), 0);
}

/* Nobody is there: it ends after NOTIFY_TRIES.  A wait of 0 does not grow. */
static void test_it_gives_up(void **state)
{
	struct world *w = *state;
	uint64_t until = clock_now_ms() + LONG_MS;
	struct ip_addr local = ip("127.0.0.7");
	unsigned n = 0;

	notify_free(w->notify);
	w->notify = notify_new(w->base, 0);
	notify_listen(w->notify, &local);
	notify_zone(w->notify, w->tables, 0);
	while (notify_count(w->notify) > 0 && clock_now_ms() < until) {
		turn(w);
		while (recv(w->fd, w->b, sizeof(w->b), MSG_DONTWAIT) > 0)
			n++;
	}
	assert_int_equal(notify_count(w->notify), 0);
	assert_int_equal(n, NOTIFY_TRIES);
}

/* We do not listen on any address of its family. */
static void test_there_is_no_way(void **state)
{
	struct world *w = *state;

	notify_free(w->notify);
	w->notify = notify_new(w->base, WAIT_MS);
	notify_zone(w->notify, w->tables, 0);
	for (unsigned i = 0; i < 40; i++)
		turn(w);
	assert_int_equal(notify_count(w->notify), 1);
	assert_int_equal(recv(w->fd, w->b, sizeof(w->b), MSG_DONTWAIT), -1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_until_it_is_heard),
		T(test_answers_of_others_do_not_count),
		T(test_what_is_signed_must_be_answered_signed),
		T(test_a_newer_serial_overtakes),
		T(test_it_gives_up),
		T(test_there_is_no_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
