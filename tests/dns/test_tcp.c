#include <event2/event.h>

#include "tests/dns/net.h"

#include "dns/tcp.h"

enum { IDLE_MS = 150, WAIT_MS = 4000 };

/* A server whose queries of type TXT wait until told, all others are echoed. */
struct world {
	struct event_base *base;
	struct tcp *tcp;
	uint16_t port;
	unsigned n_held, n_gone, n_queries;
	struct client held[256];
	uint16_t held_id[256];
	size_t answer_n; /* of each answer; 0: as long as the query */
};

static size_t on_query(void *arg, const struct client *from, const uint8_t *packet, size_t n, uint8_t *reply, bool *waits)
{
	struct world *w = arg;

	w->n_queries++;
	assert_int_not_equal(from->conn, 0);
	if (n >= 2 && packet[0] == 'h') {
		w->held[w->n_held] = *from;
		w->held_id[w->n_held++] = wire_get16(packet);
		*waits = true;
		return 0;
	}
	memset(reply, 'x', ANSWER_SIZE_MAX);
	memcpy(reply, packet, n);
	return w->answer_n ? w->answer_n : n;
}

static void on_gone(void *arg, uint64_t conn)
{
	struct world *w = arg;

	(void)conn;
	w->n_gone++;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct ip_addr any = ip("127.0.0.1");
	int fd = bound_socket(SOCK_STREAM, "127.0.0.1", &w->port);

	w->base = event_base_new();
	w->tcp = tcp_new(w->base, IDLE_MS, on_query, on_gone, w);
	tcp_set_max(w->tcp, 16);
	assert_int_equal(tcp_add(w->tcp, fd, &any, w->port), 0);
	tcp_start(w->tcp);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	tcp_free(w->tcp);
	event_base_free(w->base);
	free(w);
	return 0;
}

static void run_ms(struct world *w, unsigned ms)
{
	uint64_t until = clock_now_ms() + ms;

	do {
		event_base_loop(w->base, EVLOOP_NONBLOCK);
		usleep(1000);
	} while (clock_now_ms() < until);
}

static int connect_from(struct world *w, const char *from)
{
	int fd = client_socket(SOCK_STREAM, from, "127.0.0.1", w->port);

	run_ms(w, 5);
	return fd;
}

/* Bytes that came within time: `want`, or fewer when the server closed. */
static size_t receive(struct world *w, int fd, uint8_t *b, size_t want)
{
	uint64_t until = clock_now_ms() + WAIT_MS;
	size_t n = 0;

	while (n < want && clock_now_ms() < until) {
		ssize_t r = recv(fd, b + n, want - n, MSG_DONTWAIT);

		if (r == 0 || (r < 0 && errno != EAGAIN))
			break;
		if (r > 0)
			n += (size_t)r;
		else
			run_ms(w, 1);
	}
	return n;
}

static bool is_closed(struct world *w, int fd)
{
	uint8_t b;
	ssize_t r;

	run_ms(w, 5);
	r = recv(fd, &b, 1, MSG_DONTWAIT);
	return r == 0 || (r < 0 && errno != EAGAIN);
}

static void test_pipelined_and_out_of_order(void **state)
{
	struct world *w = *state;
	int fd = connect_from(w, "127.0.0.1");
	uint8_t b[100];

	send_tcp(fd, (const uint8_t *)"h1", 2);
	send_tcp(fd, (const uint8_t *)"a2", 2);
	send_tcp(fd, (const uint8_t *)"h3", 2);
	send_tcp(fd, (const uint8_t *)"a4", 2);
	assert_int_equal(receive(w, fd, b, 8), 8);
	assert_memory_equal(b, "\0\2a2\0\2a4", 8);
	assert_int_equal(w->n_held, 2);
	tcp_reply(w->tcp, &w->held[1], (const uint8_t *)"h3", 2);
	tcp_reply(w->tcp, &w->held[0], (const uint8_t *)"h1", 2);
	assert_int_equal(receive(w, fd, b, 8), 8);
	assert_memory_equal(b, "\0\2h3\0\2h1", 8);
	close(fd);
	run_ms(w, 10);
	assert_int_equal(tcp_count(w->tcp), 0);
	assert_int_equal(w->n_gone, 0);
}

static void test_byte_by_byte(void **state)
{
	static const uint8_t message[] = "\0\5abcde\0\2";
	struct world *w = *state;
	int fd = connect_from(w, "127.0.0.1");
	uint8_t b[100];

	for (size_t i = 0; i < 9; i++) {
		assert_int_equal(send(fd, message + i, 1, 0), 1);
		run_ms(w, 2);
	}
	assert_int_equal(receive(w, fd, b, 7), 7);
	assert_memory_equal(b, "\0\5abcde", 7);
	close(fd);
}

static void test_half_close_gets_its_answers(void **state)
{
	struct world *w = *state;
	int fd = connect_from(w, "127.0.0.1");
	uint8_t b[100];

	send_tcp(fd, (const uint8_t *)"h1", 2);
	shutdown(fd, SHUT_WR);
	run_ms(w, IDLE_MS * 2);
	assert_int_equal(tcp_count(w->tcp), 1);
	tcp_reply(w->tcp, &w->held[0], (const uint8_t *)"h1", 2);
	assert_int_equal(receive(w, fd, b, 100), 4); /* and then the end */
	assert_int_equal(tcp_count(w->tcp), 0);
	close(fd);
}

static void test_client_gone_is_told(void **state)
{
	struct linger hard = { 1, 0 };
	struct world *w = *state;
	int fd = connect_from(w, "127.0.0.1");

	send_tcp(fd, (const uint8_t *)"h1", 2);
	run_ms(w, 10);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd); /* RST */
	run_ms(w, 20);
	assert_int_equal(w->n_gone, 1);
	assert_int_equal(tcp_count(w->tcp), 0);
	tcp_reply(w->tcp, &w->held[0], (const uint8_t *)"h1", 2); /* reaches nobody */
}

static void test_idle_ends(void **state)
{
	struct world *w = *state;
	int idle = connect_from(w, "127.0.0.1"), waits = connect_from(w, "127.0.0.1"), slow;

	send_tcp(waits, (const uint8_t *)"h1", 2);
	run_ms(w, IDLE_MS * 2);
	assert_true(is_closed(w, idle));
	assert_false(is_closed(w, waits));
	slow = connect_from(w, "127.0.0.1");
	for (int i = 0; i < 6; i++) { /* a byte now and then is no query */
		send(slow, "\1", 1, MSG_NOSIGNAL);
		run_ms(w, IDLE_MS / 3);
	}
	assert_true(is_closed(w, slow));
	close(idle);
	close(waits);
	close(slow);
}

static void test_absurd_lengths_end(void **state)
{
	struct world *w = *state;
	int fd = connect_from(w, "127.0.0.1");

	send(fd, "\xff\xff", 2, 0);
	assert_true(is_closed(w, fd));
	close(fd);
	fd = connect_from(w, "127.0.0.1");
	send(fd, "\0\0", 2, 0);
	assert_true(is_closed(w, fd));
	close(fd);
	assert_int_equal(w->n_queries, 0);
}

static void test_one_address_has_its_share(void **state)
{
	struct world *w = *state;
	int fds[4], more, other;

	for (int i = 0; i < 4; i++)
		fds[i] = connect_from(w, "127.0.0.1");
	more = connect_from(w, "127.0.0.1");
	assert_true(is_closed(w, more));
	other = connect_from(w, "127.0.0.2");
	assert_false(is_closed(w, other));
	assert_int_equal(tcp_count(w->tcp), 5);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	close(more);
	close(other);
}

static void test_idle_makes_room(void **state)
{
	struct world *w = *state;
	int a, b, c;

	tcp_set_max(w->tcp, 2);
	a = connect_from(w, "127.0.0.1");
	b = connect_from(w, "127.0.0.2");
	send_tcp(a, (const uint8_t *)"h1", 2); /* the older one, but it waits */
	c = connect_from(w, "127.0.0.3");
	assert_false(is_closed(w, a));
	assert_true(is_closed(w, b));
	send_tcp(c, (const uint8_t *)"h2", 2);
	run_ms(w, 5);
	close(b);
	b = connect_from(w, "127.0.0.2"); /* both wait: no room */
	assert_true(is_closed(w, b));
	close(a);
	close(b);
	close(c);
}

/* A client that sends and sends, and never takes its answers, is not read for ever. */
static void test_full_is_not_read(void **state)
{
	struct world *w = *state;
	int fd = connect_from(w, "127.0.0.1");
	unsigned held;

	for (int i = 0; i < 200; i++)
		send_tcp(fd, (const uint8_t *)"h1", 2);
	run_ms(w, 20);
	assert_int_equal(w->n_held, TCP_WAITING_MAX);
	for (unsigned i = 0; i < TCP_WAITING_MAX; i++)
		tcp_reply(w->tcp, &w->held[i], (const uint8_t *)"h1", 2);
	run_ms(w, 20);
	held = w->n_held;
	assert_int_equal(held, 2 * TCP_WAITING_MAX);
	close(fd);
}

static void test_unread_answers_are_bounded(void **state)
{
	struct world *w = *state;
	int fd = connect_from(w, "127.0.0.1"), small = 4096;
	unsigned sent = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	w->answer_n = ANSWER_SIZE_MAX;
	for (int i = 0; i < 20000; i++) {
		if (send(fd, "\0\2a1", 4, MSG_NOSIGNAL | MSG_DONTWAIT) == 4)
			sent++;
		if (i % 100 == 0)
			event_base_loop(w->base, EVLOOP_NONBLOCK);
	}
	run_ms(w, 50);
	/* the kernel's buffers take some, ours OUTPUT_MAX */
	assert_true(w->n_queries < sent);
	close(fd);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* ---- answers of several messages ---- */

static unsigned n_room;

static void on_room(void *arg, uint64_t conn)
{
	struct world *w = arg;

	assert_int_equal(conn, w->held[0].conn);
	assert_int_equal(tcp_unsent(w->tcp, conn), 0);
	n_room++;
}

static void test_an_answer_in_parts(void **state)
{
	struct world *w = *state;
	int fd = connect_from(w, "127.0.0.1");
	static uint8_t part[60000], b[5 * 60002];
	size_t sent = 0;

	n_room = 0;
	tcp_on_room(w->tcp, on_room);
	send_tcp(fd, (const uint8_t *)"hi", 2);
	run_ms(w, 10);
	assert_int_equal(w->n_held, 1);
	assert_int_equal(n_room, 0);
	for (unsigned i = 0; i < 4; i++) {
		memset(part, 'a' + (int)i, sizeof(part));
		tcp_part(w->tcp, &w->held[0], part, sizeof(part));
		assert_true(tcp_unsent(w->tcp, w->held[0].conn) >= sizeof(part));
	}
	assert_int_equal(receive(w, fd, b, 4 * (sizeof(part) + 2)), 4 * (sizeof(part) + 2));
	run_ms(w, 2);
	assert_true(n_room > 0);
	for (unsigned i = 0; i < 4; i++, sent += sizeof(part) + 2)
		assert_true(wire_get16(b + sent) == sizeof(part) && b[sent + 2] == 'a' + i && b[sent + 60001] == 'a' + i);
	run_ms(w, 2 * IDLE_MS); /* it goes on: nobody is idle */
	assert_int_equal(tcp_count(w->tcp), 1);
	tcp_reply(w->tcp, &w->held[0], part, 10);
	assert_int_equal(receive(w, fd, b, 12), 12);
	n_room = 0;
	tcp_part(w->tcp, &w->held[0], part, 10); /* it is over */
	run_ms(w, 10);
	assert_int_equal(n_room, 0);
	run_ms(w, 2 * IDLE_MS);
	assert_true(is_closed(w, fd)); /* idle */
	assert_int_equal(w->n_gone, 0);
	assert_int_equal(tcp_unsent(w->tcp, w->held[0].conn), SIZE_MAX);
	close(fd);
}

/* Other answers fill the connection before the first part is made: whoever makes it hears of room all the same. */
static void test_room_before_the_first_part(void **state)
{
	struct world *w = *state;
	int fd = connect_from(w, "127.0.0.1"), small = 64 * 1024;
	static uint8_t b[ANSWER_SIZE_MAX + 2];
	enum { ANSWERS = 120 };
	unsigned taken = 0;

	tcp_on_room(w->tcp, on_room);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	w->answer_n = ANSWER_SIZE_MAX;
	send_tcp(fd, (const uint8_t *)"hi", 2);
	for (unsigned i = 0; i < ANSWERS; i++)
		send_tcp(fd, (const uint8_t *)"a1", 2);
	run_ms(w, 20);
	assert_int_equal(w->n_held, 1);
	assert_true(tcp_unsent(w->tcp, w->held[0].conn) > 0);
	n_room = 0; /* the kernel took some */
	for (; taken < ANSWERS && n_room == 0; taken++)
		assert_int_equal(receive(w, fd, b, sizeof(b)), sizeof(b));
	assert_true(n_room > 0);
	close(fd);
}

static void test_an_answer_that_cannot_go_on(void **state)
{
	struct world *w = *state;
	int fd = connect_from(w, "127.0.0.1");
	uint8_t b[16];

	tcp_on_room(w->tcp, on_room);
	send_tcp(fd, (const uint8_t *)"hi", 2);
	run_ms(w, 10);
	tcp_part(w->tcp, &w->held[0], b, sizeof(b));
	tcp_close(w->tcp, w->held[0].conn);
	tcp_close(w->tcp, w->held[0].conn + 1); /* nobody's */
	assert_int_equal(tcp_count(w->tcp), 1); /* not before the loop's next turn */
	run_ms(w, 10);
	assert_int_equal(tcp_count(w->tcp), 0);
	assert_int_equal(w->n_gone, 1);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_pipelined_and_out_of_order),
		T(test_byte_by_byte),
		T(test_half_close_gets_its_answers),
		T(test_client_gone_is_told),
		T(test_idle_ends),
		T(test_absurd_lengths_end),
		T(test_one_address_has_its_share),
		T(test_idle_makes_room),
		T(test_full_is_not_read),
		T(test_unread_answers_are_bounded),
		T(test_an_answer_in_parts),
		T(test_room_before_the_first_part),
		T(test_an_answer_that_cannot_go_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
