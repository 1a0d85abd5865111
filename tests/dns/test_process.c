/* The whole process over real sockets: the test is its supervisor, its launcher, its clients and
 * its upstreams.  As root (and without sanitizers) it runs in its sandbox, so that a system call
 * missing from its list fails here.
 */
#include <sched.h>

#include "tests/dns/process.h"

#include "dns/tsig.h"

/* upstreams, on 127.0.0.1 */
static struct {
	int udp, tcp;
	uint16_t port, dead_port;
} upstream;

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	start_process(w);
	assert_true(bound_pair("127.0.0.1", &upstream.port, &upstream.udp, &upstream.tcp));
	close(bound_socket(SOCK_DGRAM, "127.0.0.1", &upstream.dead_port));
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	stop_process(w);
	close(upstream.udp);
	close(upstream.tcp);
	free(w);
	return 0;
}

/* ---- what the launcher says ---- */

/* Until everything said before has taken effect: a state of nobody is acknowledged, too. */
static void synchronise(struct world *w)
{
	struct msg_dns_state m = { .seq = 1 + w->n_acks };
	unsigned before = w->n_acks;

	ipc_send(w->launcher, MSG_DNS_STATE, &m);
	WAIT_FOR(w, w->n_acks > before);
}

static void snapshot(struct world *w, uint8_t state, uint32_t max_hold_ms)
{
	struct msg_dns_conf conf = { .max_waiting = 100, .max_tcp = 16 };
	struct msg_dns_zone z = zone_msg("jitsu.example");
	struct msg_dns_service s = service_msg(SVC_WWW, "www", "www.jitsu.example", "192.168.1.20 fd00::20", state,
					       ANSWER_READY);

	s.max_hold_ms = max_hold_ms;
	ipc_send(w->launcher, MSG_BEGIN, NULL);
	ipc_send(w->launcher, MSG_DNS_CONF, &conf);
	ipc_send(w->launcher, MSG_DNS_ZONE, &z);
	ipc_send(w->launcher, MSG_DNS_SERVICE, &s);
	ipc_send(w->launcher, MSG_END, NULL);
	synchronise(w);
	WAIT_FOR(w, w->ready);
}

/* Who asks from 127.0.0.1 may forward: to a port where nobody is, then to our upstream. */
static void snapshot_with_upstreams(struct world *w)
{
	struct msg_dns_forward dead = { ip("127.0.0.1"), upstream.dead_port }, up = { ip("127.0.0.1"), upstream.port };
	struct msg_dns_allow allow;

	assert_int_equal(prefix_parse("127.0.0.1", &allow.prefix), 0);
	ipc_send(w->launcher, MSG_BEGIN, NULL);
	ipc_send(w->launcher, MSG_DNS_FORWARD, &dead);
	ipc_send(w->launcher, MSG_DNS_FORWARD, &up);
	ipc_send(w->launcher, MSG_DNS_ALLOW, &allow);
	ipc_send(w->launcher, MSG_END, NULL);
	synchronise(w);
	WAIT_FOR(w, w->ready);
}

static void say_state(struct world *w, uint8_t state)
{
	struct msg_dns_state m = { .svc = SVC_WWW, .gen = GEN, .state = state, .answer = ANSWER_READY,
				   .seq = 1000 + w->n_acks };
	unsigned before = w->n_acks;

	ipc_send(w->launcher, MSG_DNS_STATE, &m);
	WAIT_FOR(w, w->n_acks > before);
	assert_int_equal(w->acks[before].seq, m.seq);
}

/* ---- clients ---- */

static size_t ask(int fd, struct ask a)
{
	uint8_t b[512];
	size_t n = make_query(b, a);

	assert_int_equal(send(fd, b, n, 0), n);
	return n;
}

/* The next datagram. */
static size_t receive(struct world *w, int fd, uint8_t *b, size_t size)
{
	ssize_t n = -1;

	WAIT_FOR(w, (n = recv(fd, b, size, MSG_DONTWAIT)) >= 0);
	return (size_t)n;
}

/* The next TCP message; 0 at the end. */
static size_t receive_tcp(struct world *w, int fd, uint8_t *b)
{
	size_t n = 0, want = 2;

	while (n < want) {
		ssize_t r = -1;

		WAIT_FOR(w, (r = recv(fd, b + n, want - n, MSG_DONTWAIT)) >= 0);
		if (r == 0)
			return 0;
		n += (size_t)r;
		if (n == 2 && want == 2)
			want = 2u + wire_get16(b);
	}
	memmove(b, b + 2, n - 2);
	return n - 2;
}

static void assert_silent(struct world *w, int fd, unsigned ms)
{
	uint64_t until = clock_now_ms() + ms;
	uint8_t b;

	while (clock_now_ms() < until)
		turn(w);
	assert_true(recv(fd, &b, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
}

static const struct ask www = { .name = "Www.jitsu.example", .type = TYPE_A, .flags = FLAG_RD };

/* ---- tests ---- */

static void wake_over(struct world *w, const char *from, const char *to, uint16_t port)
{
	int fd = client_socket(SOCK_DGRAM, from, to, port);
	unsigned wakes = w->n_wakes, answered = w->n_answered;
	struct ip_addr client = ip(from);
	uint8_t b[2000];
	ldns_pkt *p;
	size_t n;

	snapshot(w, STATE_OFF, 60000);
	ask(fd, www);
	WAIT_FOR(w, w->n_wakes == wakes + 1);
	assert_true(ip_equal(&w->wakes[wakes].client, &client));
	assert_silent(w, fd, 20);
	say_state(w, STATE_STARTING);
	say_state(w, STATE_UP);
	n = receive(w, fd, b, sizeof(b)); /* connected: it came from where it was asked */
	p = parse_reply(b, n);
	assert_rr(ldns_pkt_answer(p), 0, "Www.jitsu.example.\t60\tIN\tA\t192.168.1.20");
	ldns_pkt_free(p);
	WAIT_FOR(w, w->n_answered == answered + 1);
	assert_int_equal(w->answered[answered].token, w->wakes[wakes].token);
	assert_true(w->answered[answered].t_answer_ns > w->answered[answered].t_query_ns);
	WAIT_FOR(w, slots_count(w->slots, SVC_WWW, GEN) > 0);
	ask(fd, www); /* now at once */
	receive(w, fd, b, sizeof(b));
	assert_int_equal(w->n_wakes, wakes + 1);
	close(fd);
}

static void test_wake_over_ipv4(void **state)
{
	struct world *w = *state;

	wake_over(w, "127.0.0.1", "127.0.0.1", w->port4);
	wake_over(w, "127.0.0.5", "127.0.0.9", w->port4); /* not the host's first address */
}

static void test_wake_over_ipv6(void **state)
{
	struct world *w = *state;

	if (!w->has_v6)
		skip();
	wake_over(w, "::1", "::1", w->port6);
}

static void test_queries_before_the_snapshot_are_answered_after(void **state)
{
	struct world *w = *state;
	int fd = client_socket(SOCK_DGRAM, "127.0.0.1", "127.0.0.1", w->port4);
	uint8_t b[2000];

	ask(fd, www);
	assert_silent(w, fd, 30);
	snapshot(w, STATE_UP, 60000);
	receive(w, fd, b, sizeof(b));
	close(fd);
}

static void test_a_burst(void **state)
{
	struct world *w = *state;
	int fd = client_socket(SOCK_DGRAM, "127.0.0.1", "127.0.0.1", w->port4);
	bool seen[100] = { false };
	uint8_t b[2000];

	snapshot(w, STATE_UP, 60000);
	for (unsigned i = 0; i < 100; i++)
		ask(fd, (struct ask){ .name = i % 3 ? "www.jitsu.example" : "nope.jitsu.example", .type = 1, .id = i + 1 });
	for (unsigned i = 0; i < 100; i++) {
		unsigned id;

		receive(w, fd, b, sizeof(b));
		id = wire_get16(b) - 1u;
		assert_true(id < 100 && !seen[id]);
		seen[id] = true;
		assert_int_equal(b[3] & 15, id % 3 ? RCODE_NOERROR : RCODE_NXDOMAIN);
	}
	close(fd);
}

static void test_max_hold_ends_in_servfail(void **state)
{
	struct world *w = *state;
	int fd = client_socket(SOCK_DGRAM, "127.0.0.1", "127.0.0.1", w->port4);
	uint64_t t0 = clock_now_ms();
	uint8_t b[2000];

	snapshot(w, STATE_OFF, 150);
	ask(fd, www);
	receive(w, fd, b, sizeof(b));
	assert_int_equal(b[3] & 15, RCODE_SERVFAIL);
	assert_true(clock_now_ms() - t0 >= 150);
	close(fd);
}

static void tcp_over(struct world *w, const char *addr, uint16_t port)
{
	int fd = client_socket(SOCK_STREAM, addr, addr, port);
	unsigned wakes = w->n_wakes;
	uint8_t q[512], b[ANSWER_SIZE_MAX];

	snapshot(w, STATE_OFF, 60000);
	send_tcp(fd, q, make_query(q, (struct ask){ .name = "www.jitsu.example", .type = 1, .id = 1 }));
	send_tcp(fd, q, make_query(q, (struct ask){ .name = "jitsu.example", .type = TYPE_SOA, .id = 2 }));
	send_tcp(fd, q, make_query(q, (struct ask){ .name = "no.jitsu.example", .type = 1, .id = 3 }));
	assert_true(receive_tcp(w, fd, b) > 0);
	assert_int_equal(wire_get16(b), 2); /* does not wait for the first */
	assert_true(receive_tcp(w, fd, b) > 0);
	assert_int_equal(wire_get16(b), 3);
	WAIT_FOR(w, w->n_wakes == wakes + 1);
	shutdown(fd, SHUT_WR);
	say_state(w, STATE_UP);
	assert_true(receive_tcp(w, fd, b) > 0);
	assert_int_equal(wire_get16(b), 1);
	assert_int_equal(wire_get16(b + 6), 1);
	assert_int_equal(receive_tcp(w, fd, b), 0);
	close(fd);
}

static void test_tcp(void **state)
{
	struct world *w = *state;

	snapshot(w, STATE_OFF, 60000);
	tcp_over(w, "127.0.0.1", w->port4);
	if (w->has_v6)
		tcp_over(w, "::1", w->port6);
}

static void test_tcp_client_that_goes_is_told(void **state)
{
	struct world *w = *state;
	int fd;
	uint8_t q[512];
	struct linger hard = { 1, 0 };

	snapshot(w, STATE_OFF, 60000);
	fd = client_socket(SOCK_STREAM, "127.0.0.1", "127.0.0.1", w->port4);
	send_tcp(fd, q, make_query(q, www));
	WAIT_FOR(w, w->n_wakes == 1);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd);
	WAIT_FOR(w, w->n_answered == 1);
	assert_int_equal(w->answered[0].token, w->wakes[0].token);
}

static void test_launcher_is_killed(void **state)
{
	struct world *w = *state;
	int fd = client_socket(SOCK_DGRAM, "127.0.0.1", "127.0.0.1", w->port4);
	uint8_t b[2000];

	snapshot(w, STATE_UP, 60000);
	ipc_free(w->launcher);
	w->launcher = NULL;
	ask(fd, www);
	receive(w, fd, b, sizeof(b)); /* from the table */
	give_launcher(w);
	snapshot(w, STATE_OFF, 60000);
	ask(fd, www);
	WAIT_FOR(w, w->n_wakes == 1);
	ipc_free(w->launcher);
	give_launcher(w);
	snapshot(w, STATE_OFF, 60000);
	WAIT_FOR(w, w->n_wakes == 2); /* told anew */
	assert_int_equal(w->wakes[0].token, w->wakes[1].token);
	say_state(w, STATE_UP);
	receive(w, fd, b, sizeof(b));
	close(fd);
}

/* ---- forwarding ---- */

/* What the upstream got, and from where. */
static size_t upstream_receive(struct world *w, uint8_t *b, struct sockaddr_in *from)
{
	socklen_t from_n = sizeof(*from);
	ssize_t n = -1;

	WAIT_FOR(w, (n = recvfrom(upstream.udp, b, 2000, MSG_DONTWAIT, (struct sockaddr *)from, &from_n)) > 0);
	return (size_t)n;
}

static void upstream_send(const uint8_t *b, size_t n, const struct sockaddr_in *to)
{
	assert_int_equal(sendto(upstream.udp, b, n, 0, (const struct sockaddr *)to, sizeof(*to)), n);
}

static const struct ask outside = { .name = "Example.ORG", .type = TYPE_A, .flags = FLAG_RD, .edns_size = 4096 };

static void test_forward_udp(void **state)
{
	struct world *w = *state;
	int fd = client_socket(SOCK_DGRAM, "127.0.0.1", "127.0.0.1", w->port4);
	struct sockaddr_in from, last;
	uint8_t b[2000], forged[2000];
	size_t n;

	snapshot_with_upstreams(w);
	ask(fd, outside);
	n = upstream_receive(w, b, &from); /* the first upstream is not there: ours is asked at once */
	assert_int_equal(wire_get16(b + 2), FLAG_RD);
	assert_int_equal(wire_get16(b + 10), 1);
	b[2] |= 0x84; /* an answer, authoritative (which ours must not say) */
	memcpy(forged, b, n);
	forged[0] ^= 1; /* another id */
	forged[3] |= RCODE_NXDOMAIN;
	upstream_send(forged, n, &from);
	memcpy(forged, b, n);
	forged[3] |= RCODE_NXDOMAIN;
	forged[WIRE_HEADER + 1] = 'x'; /* another question */
	upstream_send(forged, n, &from);
	b[WIRE_HEADER + 1] = 'e'; /* the case may differ */
	upstream_send(b, n, &from);
	n = receive(w, fd, b, sizeof(b));
	assert_int_equal(wire_get16(b), 0x1234);
	assert_int_equal(wire_get16(b + 2), FLAG_QR | FLAG_RD | FLAG_RA);
	assert_memory_equal(b + WIRE_HEADER, "\7Example\3ORG", 13); /* as the client wrote it */
	last = from;
	ask(fd, outside); /* the upstream that answered comes first now, asked from another port */
	upstream_receive(w, b, &from);
	assert_int_not_equal(last.sin_port, from.sin_port);
	close(fd);
}

static void test_forward_gives_up(void **state)
{
	struct world *w = *state;
	int fd = client_socket(SOCK_DGRAM, "127.0.0.1", "127.0.0.1", w->port4);
	struct sockaddr_in from;
	uint8_t b[2000];
	size_t n;

	snapshot_with_upstreams(w);
	ask(fd, outside);
	ask(fd, outside); /* a retry: asked once */
	n = upstream_receive(w, b, &from);
	assert_true(n > 0);
	n = receive(w, fd, b, sizeof(b)); /* after FORWARD_TRY_MS */
	assert_int_equal(wire_get16(b), 0x1234);
	assert_int_equal(wire_get16(b + 2), FLAG_QR | FLAG_RD | FLAG_RA | RCODE_SERVFAIL);
	assert_true(recv(upstream.udp, b, sizeof(b), MSG_DONTWAIT) < 0);
	assert_silent(w, fd, 20);
	close(fd);
}

static void test_forward_is_not_for_everyone(void **state)
{
	struct world *w = *state;
	int fd = client_socket(SOCK_DGRAM, "127.0.0.2", "127.0.0.1", w->port4);
	uint8_t b[2000];

	snapshot_with_upstreams(w);
	ask(fd, outside);
	receive(w, fd, b, sizeof(b));
	assert_int_equal(wire_get16(b + 2), FLAG_QR | FLAG_RD | RCODE_REFUSED);
	assert_true(recv(upstream.udp, b, sizeof(b), MSG_DONTWAIT) < 0);
	close(fd);
}

static void test_forward_tcp(void **state)
{
	struct world *w = *state;
	int fd, up = -1;
	uint8_t b[ANSWER_SIZE_MAX], q[512];
	size_t n;

	snapshot_with_upstreams(w);
	fd = client_socket(SOCK_STREAM, "127.0.0.1", "127.0.0.1", w->port4);
	send_tcp(fd, q, make_query(q, outside));
	WAIT_FOR(w, (up = accept4(upstream.tcp, NULL, NULL, SOCK_NONBLOCK)) >= 0);
	n = receive_tcp(w, up, b);
	b[2] |= 0x80;
	send_tcp(up, b, n);
	assert_int_equal(receive_tcp(w, fd, b), n);
	assert_int_equal(wire_get16(b), 0x1234);
	assert_int_equal(wire_get16(b + 2), FLAG_QR | FLAG_RD | FLAG_RA);
	send_tcp(fd, q, make_query(q, outside)); /* the upstream hangs up: SERVFAIL */
	close(up);
	WAIT_FOR(w, (up = accept4(upstream.tcp, NULL, NULL, SOCK_NONBLOCK)) >= 0);
	close(up);
	assert_true(receive_tcp(w, fd, b) > 0);
	assert_int_equal(b[3] & 15, RCODE_SERVFAIL);
	close(fd);
}

/* A zone of so many names takes a while to read; nobody who asks meanwhile notices. */
static void test_reload_without_a_lost_query(void **state)
{
	struct world *w = *state;
	int fd = client_socket(SOCK_DGRAM, "127.0.0.1", "127.0.0.1", w->port4);
	struct msg_dns_conf conf = { .seq = 7 };
	struct msg_dns_zone z = zone_msg("jitsu.example");
	struct msg_dns_service s = service_msg(SVC_WWW, "www", "www.jitsu.example", "192.168.1.20", STATE_UP, ANSWER_READY);
	size_t room = 2 * 1024 * 1024, n = 0, answered = 0, asked = 0;
	uint64_t until = clock_now_ms() + 5 * WAIT_MS;
	char *text = malloc(room);
	uint8_t b[2000];

	snapshot(w, STATE_UP, 1000);
	for (unsigned i = 0; i < 50000; i++)
		n += (size_t)snprintf(text + n, room - n, "host-%u A 10.%u.%u.1\n", i, i >> 8, i & 255);
	w->n_loaded = 0;
	ipc_send(w->launcher, MSG_BEGIN, NULL);
	ipc_send(w->launcher, MSG_DNS_CONF, &conf);
	ipc_send(w->launcher, MSG_DNS_ZONE, &z);
	give_zone_file(w, "jitsu.example", text);
	ipc_send(w->launcher, MSG_DNS_SERVICE, &s);
	ipc_send(w->launcher, MSG_END, NULL);
	free(text);
	while (w->n_loaded == 0 && clock_now_ms() < until) {
		ask(fd, www);
		asked++;
		turn(w);
		while (recv(fd, b, sizeof(b), MSG_DONTWAIT) > 0)
			answered += wire_get16(b + 6) == 1;
	}
	assert_int_equal(w->n_loaded, 1);
	assert_int_equal(w->loaded.seq, 7);
	assert_int_equal(w->loaded.error, 0);
	assert_true(asked > 10);
	while (answered < asked) {
		receive(w, fd, b, sizeof(b));
		answered++;
	}
	ask(fd, (struct ask){ .name = "host-49999.jitsu.example", .type = TYPE_A });
	receive(w, fd, b, sizeof(b));
	assert_int_equal(wire_get16(b + 6), 1);
	close(fd);
}

/* More than fits a datagram, over TCP in one message. */
static void test_a_large_answer_over_tcp(void **state)
{
	struct world *w = *state;
	struct msg_dns_zone z = zone_msg("jitsu.example");
	size_t room = 256 * 1024, n = 0;
	char *text = malloc(room);
	uint8_t *b = malloc(ANSWER_SIZE_MAX + 2), q[512];
	int fd;

	for (unsigned i = 0; i < 3000; i++)
		n += (size_t)snprintf(text + n, room - n, "many A 10.0.%u.%u\n", i >> 8, i & 255);
	ipc_send(w->launcher, MSG_BEGIN, NULL);
	ipc_send(w->launcher, MSG_DNS_ZONE, &z);
	give_zone_file(w, "jitsu.example", text);
	ipc_send(w->launcher, MSG_END, NULL);
	WAIT_FOR(w, w->n_loaded == 1);
	fd = client_socket(SOCK_STREAM, "127.0.0.1", "127.0.0.1", w->port4);
	for (unsigned i = 0; i < 3; i++)
		send_tcp(fd, q, make_query(q, (struct ask){ .name = "many.jitsu.example", .type = TYPE_A, .id = i + 1 }));
	for (unsigned i = 0; i < 3; i++) {
		n = receive_tcp(w, fd, b);
		assert_int_equal(wire_get16(b), i + 1);
		assert_int_equal(wire_get16(b + 6), 3000);
		assert_int_equal(n, WIRE_HEADER + 20 + 4 + 3000 * 16);
	}
	close(fd);
	free(text);
	free(b);
}

/* ---- signed ---- */

static const struct msg_dns_tsig_key tsig_key = { .name = "key.example", .secret_n = 32, .secret = { 1, 2, 3 } };

static void snapshot_with_key(struct world *w)
{
	struct msg_dns_conf conf = { .max_waiting = 100, .max_tcp = 16 };
	struct msg_dns_zone z = zone_msg("jitsu.example");
	struct msg_dns_service s = service_msg(SVC_WWW, "www", "www.jitsu.example", "192.168.1.20", STATE_OFF, ANSWER_READY);

	ipc_send(w->launcher, MSG_BEGIN, NULL);
	ipc_send(w->launcher, MSG_DNS_CONF, &conf);
	ipc_send(w->launcher, MSG_DNS_TSIG_KEY, &tsig_key);
	ipc_send(w->launcher, MSG_DNS_ZONE, &z);
	ipc_send(w->launcher, MSG_DNS_SERVICE, &s);
	ipc_send(w->launcher, MSG_END, NULL);
	synchronise(w);
	WAIT_FOR(w, w->ready);
}

static size_t make_signed(struct tsig_chain *chain, uint8_t *b, const char *name, unsigned type)
{
	size_t n = make_query(b, (struct ask){ .name = name, .type = type });

	*chain = (struct tsig_chain){ .mac_n = 0 };
	assert_true(tsig_key_of(&tsig_key, &chain->key));
	n = tsig_sign(chain, b, n, clock_wall_ms() / MS_PER_S);
	chain->later = false;
	return n;
}

static void assert_signed(struct tsig_chain *chain, uint8_t *b, size_t n, unsigned rcode)
{
	struct tsig_record r;
	struct wire_query q;

	assert_int_equal(b[3] & FLAG_RCODE, rcode);
	b[2] &= 0x7f;
	assert_int_equal(wire_parse(b, n, &q), 0);
	b[2] |= 0x80;
	assert_true(q.tsig_at > 0 && tsig_parse(b, n, q.tsig_at, &r));
	assert_int_equal(tsig_check(chain, b, &r, clock_wall_ms() / MS_PER_S), TSIG_OK);
}

/* Answers at once, and such that waited, over both. */
static void test_signed_queries(void **state)
{
	struct world *w = *state;
	int udp = client_socket(SOCK_DGRAM, "127.0.0.1", "127.0.0.1", w->port4);
	int tcp = client_socket(SOCK_STREAM, "127.0.0.1", "127.0.0.1", w->port4);
	uint8_t b[ANSWER_SIZE_MAX + 2];
	struct tsig_chain chain, other;
	size_t n;

	snapshot_with_key(w);
	n = make_signed(&chain, b, "none.jitsu.example", TYPE_A);
	assert_int_equal(send(udp, b, n, 0), n);
	n = receive(w, udp, b, sizeof(b));
	assert_signed(&chain, b, n, RCODE_NXDOMAIN);
	n = make_signed(&chain, b, "www.jitsu.example", TYPE_A);
	assert_int_equal(send(udp, b, n, 0), n);
	n = make_signed(&other, b, "www.jitsu.example", TYPE_A);
	send_tcp(tcp, b, n);
	WAIT_FOR(w, w->n_wakes == 2);
	say_state(w, STATE_UP);
	n = receive(w, udp, b, sizeof(b));
	assert_signed(&chain, b, n, RCODE_NOERROR);
	n = receive_tcp(w, tcp, b);
	assert_signed(&other, b, n, RCODE_NOERROR);
	n = make_signed(&other, b, "jitsu.example", TYPE_AXFR);
	send_tcp(tcp, b, n);
	n = receive_tcp(w, tcp, b);
	assert_signed(&other, b, n, RCODE_REFUSED); /* nobody may have it */
	n = make_signed(&chain, b, "jitsu.example", TYPE_SOA);
	b[n - 10] ^= 1;
	assert_int_equal(send(udp, b, n, 0), n);
	receive(w, udp, b, sizeof(b));
	assert_int_equal(b[3] & FLAG_RCODE, RCODE_NOTAUTH);
	ask(udp, (struct ask){ .name = "jitsu.example", .type = TYPE_SOA, .flags = OPCODE_NOTIFY });
	receive(w, udp, b, sizeof(b));
	assert_int_equal(b[3] & FLAG_RCODE, RCODE_REFUSED);
	close(udp);
	close(tcp);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* A wildcard of no interface, as a host's are. */
static int wildcard6(uint16_t *port)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t n = sizeof(in6);

	assert_int_equal(bind(fd, (struct sockaddr *)&in6, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in6, &n), 0);
	*port = ntohs(in6.sin6_port);
	return fd;
}

/* An answer that waited finds its way, also when only the address it leaves from is link-local.  The last test:
 * it stays in its network namespace. */
static void test_link_local_addresses(void **state)
{
	struct world *w;
	uint16_t port;
	int fd;

	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 || system("ip link set lo up") != 0 ||
	    system("ip -6 addr add fe80::1/64 dev lo nodad && ip -6 addr add fe80::2/64 dev lo nodad") != 0)
		skip();
	assert_int_equal(setup(state), 0);
	w = *state;
	fd = wildcard6(&port);
	give_socket(w, fd, LISTEN_UDP, "::", port);
	wake_over(w, "fe80::2", "fe80::1", port);
	wake_over(w, "::1", "fe80::1", port);
	teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_wake_over_ipv4),
		T(test_wake_over_ipv6),
		T(test_queries_before_the_snapshot_are_answered_after),
		T(test_a_burst),
		T(test_max_hold_ends_in_servfail),
		T(test_tcp),
		T(test_tcp_client_that_goes_is_told),
		T(test_launcher_is_killed),
		T(test_forward_udp),
		T(test_forward_gives_up),
		T(test_forward_is_not_for_everyone),
		T(test_forward_tcp),
		T(test_reload_without_a_lost_query),
		T(test_a_large_answer_over_tcp),
		T(test_signed_queries),
		cmocka_unit_test(test_link_local_addresses),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
