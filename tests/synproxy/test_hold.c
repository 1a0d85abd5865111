#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "synproxy/hold.h"
#include "synproxy/hold_store.h"
#include "base/siphash.h"

/* ---- frames ---- */

enum { DATA_MAX = 1600 };

struct packet {
	uint8_t bytes[DATA_MAX];
	size_t n;
	struct frame f;
};

static struct ip_addr ip(const char *text)
{
	struct ip_addr a;

	assert_int_equal(ip_parse(text, &a), 0);
	return a;
}

/* 10.0.0.0 + i */
static struct ip_addr client(uint32_t i)
{
	return (struct ip_addr){ { [10] = 0xff, 0xff, 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i } };
}

static struct packet tcp_packet(struct ip_addr from, uint16_t from_port, const char *to, uint16_t port, uint8_t flags,
				uint32_t seq)
{
	struct tcp_segment s = {
		.eth_dst = { { 2, 0, 0, 0, 0, 0x10 } }, .eth_src = { { 2, 0, 0, 0, 0, 0xcc } }, .src = from, .dst = ip(to),
		.src_port = from_port, .dst_port = port, .seq = seq, .flags = flags, .window = 1024, .mss = 1460,
	};
	struct packet p = { .n = 0 };

	p.n = frame_tcp(p.bytes, &s);
	frame_parse(p.bytes, p.n, &p.f);
	assert_int_equal(p.f.kind, FRAME_TCP);
	return p;
}

static struct packet syn(uint32_t from, uint16_t from_port, uint16_t port, uint32_t seq)
{
	return tcp_packet(client(from), from_port, "10.9.0.7", port, TCP_SYN, seq);
}

/* A datagram of a frame of `n` bytes, without a checksum. */
static struct packet udp_packet(uint32_t from, uint16_t from_port, uint16_t port, size_t n)
{
	struct packet p = syn(from, from_port, port, 0);
	uint8_t *ip4 = p.bytes + 14, *udp = ip4 + 20;
	uint16_t sum;

	memset(udp + 4, 0, DATA_MAX - 38);
	ip4[2] = (uint8_t)((n - 14) >> 8);
	ip4[3] = (uint8_t)(n - 14);
	ip4[9] = 17;
	ip4[10] = ip4[11] = 0;
	sum = frame_fold(frame_sum(ip4, 20, 0));
	ip4[10] = (uint8_t)(sum >> 8);
	ip4[11] = (uint8_t)sum;
	udp[4] = (uint8_t)((n - 34) >> 8);
	udp[5] = (uint8_t)(n - 34);
	p.n = n;
	frame_parse(p.bytes, p.n, &p.f);
	assert_int_equal(p.f.kind, FRAME_UDP);
	return p;
}

/* ---- the table ---- */

enum { SOME = 1000 };

/* What a walk has shown. */
struct seen {
	unsigned n, stop_at; /* 0: never */
	struct held held[SOME];
	uint8_t frames[SOME][HOLD_SYN_BYTES];
};

static bool see(void *arg, const struct held *h)
{
	struct seen *s = arg;

	if (s->stop_at && s->n + 1 == s->stop_at)
		return false;
	assert_true(s->n < SOME);
	s->held[s->n] = *h;
	memcpy(s->frames[s->n], h->frame, MIN(h->n, (size_t)HOLD_SYN_BYTES));
	s->n++;
	return true;
}

static bool drop(void *arg, const struct held *h)
{
	(void)arg;
	(void)h;
	return true;
}

struct fixture {
	int fd;
	struct hold_table *t;
};

static int set_up(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	x->fd = hold_memory_create();
	assert_true(x->fd >= 0);
	x->t = hold_open(x->fd);
	assert_non_null(x->t);
	*state = x;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *x = *state;

	hold_close(x->t);
	close(x->fd);
	free(x);
	return 0;
}

/* Another process takes over. */
static void reopen(struct fixture *x)
{
	hold_close(x->t);
	x->t = hold_open(x->fd);
	assert_non_null(x->t);
}

static enum hold_verdict hold(struct hold_table *t, uint32_t owner, const struct packet *p, uint64_t now_ns)
{
	return hold_syn(t, owner, p->bytes, p->n, &p->f, now_ns);
}

static enum hold_verdict keep(struct hold_table *t, uint32_t owner, const struct packet *p, uint32_t per_flow,
			      uint64_t now_ns)
{
	return hold_packet(t, owner, p->bytes, p->n, &p->f, per_flow, now_ns);
}

/* Everything of this address belongs to the number that its last byte is. */
static uint32_t by_last_byte(void *arg, const struct ip_addr *addr)
{
	(void)arg;
	return addr->b[15];
}

static uint32_t always(void *arg, const struct ip_addr *addr)
{
	(void)addr;
	return *(uint32_t *)arg;
}

/* The bytes 0, 1, 2, .. under a key of zeros, as another implementation has them (CPython 3.11). */
static void test_siphash(void **state)
{
	struct siphash_key key = { { 0, 0 } };
	uint8_t bytes[40];
	uint64_t words[5];

	(void)state;
	for (uint8_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i;
	memcpy(words, bytes, sizeof(words));
	assert_true(siphash(&key, words, 1) == 0xead411e67ebe2eea);
	assert_true(siphash(&key, words, 2) == 0x8972188433a5c5b7);
	assert_true(siphash(&key, words, 5) == 0x95bc321ab41d8206);
	key.k[1] = 1;
	assert_true(siphash(&key, words, 1) != 0xead411e67ebe2eea);
}

static void test_memory(void **state)
{
	int fd = hold_memory_create(), other = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct stat st;

	(void)state;
	assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_blocks, 0); /* nothing yet */
	assert_null(hold_open(other)); /* empty */
	assert_int_equal(errno, EINVAL);
	assert_int_equal(ftruncate(other, st.st_size), 0);
	assert_null(hold_open(other)); /* not sealed */
	assert_int_equal(errno, EINVAL);
	assert_null(hold_open(-1));
	assert_int_equal(errno, EINVAL);
	hold_close(NULL);
	close(other);
	close(fd);
}

static void test_a_syn_is_held_and_taken(void **state)
{
	struct fixture *x = *state;
	struct packet p = syn(1, 40000, 80, 7);
	struct seen s = { .n = 0 };
	uint16_t ports[2];

	assert_int_equal(hold_oldest_ns(x->t, 5), 0);
	assert_int_equal(hold(x->t, 5, &p, 100), HOLD_NEW);
	assert_int_equal(hold_count(x->t, 5), 1);
	assert_int_equal(hold_count(x->t, 4), 0);
	assert_int_equal(hold_count_all(x->t), 1);
	assert_int_equal(hold_oldest_ns(x->t, 5), 100);
	assert_int_equal(hold_ports(x->t, 5, ports, 2), 1);
	assert_int_equal(ports[0], 80);
	assert_int_equal(hold_take_syns(x->t, 4, HOLD_ANY_PORT, 10, see, &s), 0);
	assert_int_equal(hold_take_syns(x->t, 5, HOLD_ANY_PORT, 10, see, &s), 1);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.held[0].owner, 5);
	assert_int_equal(s.held[0].proto, FLOW_TCP);
	assert_true(s.held[0].syn);
	assert_true(ip_equal(&s.held[0].client, &p.f.src));
	assert_true(ip_equal(&s.held[0].addr, &p.f.dst));
	assert_int_equal(s.held[0].client_port, 40000);
	assert_int_equal(s.held[0].port, 80);
	assert_int_equal(s.held[0].since_ns, 100);
	assert_int_equal(s.held[0].newest_ns, 100);
	assert_int_equal(s.held[0].packets, 1);
	assert_int_equal(s.held[0].n, p.n);
	assert_memory_equal(s.frames[0], p.bytes, p.n);
	assert_int_equal(hold_count_all(x->t), 0);
	assert_int_equal(hold_ports(x->t, 5, ports, 2), 0);
	assert_int_equal(hold(x->t, 5, &p, 200), HOLD_NEW);
}

static void test_the_newest_syn_of_a_flow(void **state)
{
	struct fixture *x = *state;
	struct packet p = syn(1, 40000, 80, 7), q = syn(1, 40000, 80, 8), other = syn(1, 40001, 80, 9);
	struct seen s = { .n = 0 };

	assert_int_equal(hold(x->t, 5, &p, 100), HOLD_NEW);
	assert_int_equal(hold(x->t, 5, &other, 150), HOLD_NEW);
	assert_int_equal(hold(x->t, 5, &p, 200), HOLD_AGAIN);
	assert_int_equal(hold(x->t, 5, &q, 300), HOLD_AGAIN);
	assert_int_equal(hold_count_all(x->t), 2);
	assert_int_equal(hold_oldest_ns(x->t, 5), 100);
	assert_int_equal(hold_take_syns(x->t, 5, 80, 1, see, &s), 1);
	assert_memory_equal(s.frames[0], q.bytes, q.n);
	assert_int_equal(s.held[0].since_ns, 100);
	assert_int_equal(s.held[0].newest_ns, 300);
	assert_int_equal(s.held[0].packets, 3);
}

/* A client that sends data with its SYN (RFC 7413) is held all the same; the data comes again. */
static void test_a_syn_with_data(void **state)
{
	struct fixture *x = *state;
	struct packet p = syn(1, 40000, 80, 7), bare = p;
	struct seen s = { .n = 0 };
	uint16_t sum;

	p.bytes[16] = 1000 >> 8; /* longer */
	p.bytes[17] = 1000 & 0xff;
	p.bytes[24] = p.bytes[25] = 0;
	sum = frame_fold(frame_sum(p.bytes + 14, 20, 0));
	p.bytes[24] = (uint8_t)(sum >> 8);
	p.bytes[25] = (uint8_t)sum;
	p.bytes[50] = p.bytes[51] = 0;
	sum = frame_fold(frame_sum(p.bytes + 34, 980, frame_sum(p.bytes + 26, 8, 6 + 980)));
	p.bytes[50] = (uint8_t)(sum >> 8);
	p.bytes[51] = (uint8_t)sum;
	p.n = 1014;
	frame_parse(p.bytes, p.n, &p.f);
	assert_int_equal(p.f.payload_n, 980 - 24);
	assert_int_equal(hold(x->t, 5, &p, 100), HOLD_NEW);
	assert_int_equal(hold_take_syns(x->t, 5, 80, 1, see, &s), 1);
	assert_int_equal(s.held[0].n, 60);
	assert_memory_equal(s.frames[0], bare.bytes, 60);
}

static void test_retransmitted_ones_go_first(void **state)
{
	static const uint32_t again[] = { 6, 2, 9 };
	static const uint32_t order[] = { 6, 2, 9, 0, 1, 3, 4, 5, 7, 8 };
	struct fixture *x = *state;
	struct seen s = { .n = 0 };

	for (uint32_t i = 0; i < 10; i++) {
		struct packet p = syn(i, 40000, 80, i);

		assert_int_equal(hold(x->t, 5, &p, 100 + i), HOLD_NEW);
	}
	for (size_t i = 0; i < ARRAY_SIZE(again); i++) {
		struct packet p = syn(again[i], 40000, 80, again[i]);

		assert_int_equal(hold(x->t, 5, &p, 200 + i), HOLD_AGAIN);
	}
	assert_int_equal(hold_take_syns(x->t, 5, 80, 4, see, &s), 4);
	assert_int_equal(hold_take_syns(x->t, 5, 80, 100, see, &s), 6);
	for (uint32_t i = 0; i < 10; i++) {
		struct ip_addr expected = client(order[i]);

		assert_true(ip_equal(&s.held[i].client, &expected));
	}
}

static void test_of_one_port_and_of_any(void **state)
{
	static const uint16_t any_order[] = { 81, 80, 80, 82, 81 };
	struct fixture *x = *state;
	struct seen s = { .n = 0 };
	uint16_t ports[8];

	for (uint32_t i = 0; i < 9; i++) {
		struct packet p = syn(i, 40000, (uint16_t)(80 + i % 3), i);

		assert_int_equal(hold(x->t, 5, &p, 100 + i), HOLD_NEW);
		if (i == 4)
			assert_int_equal(hold(x->t, 5, &p, 100 + i), HOLD_AGAIN);
	}
	assert_int_equal(hold_ports(x->t, 5, ports, 8), 3);
	assert_int_equal(hold_ports(x->t, 5, ports, 2), 2);
	assert_int_equal(hold_take_syns(x->t, 5, 83, 100, see, &s), 0);
	assert_int_equal(hold_take_syns(x->t, 5, 82, 2, see, &s), 2);
	assert_int_equal(s.held[0].since_ns, 102);
	assert_int_equal(s.held[1].since_ns, 105);
	s.n = 0;
	/* 1, 4, 7 are of port 81, and 4 came again; 0, 3, 6 of 80; 8 of 82 */
	assert_int_equal(hold_take_syns(x->t, 5, HOLD_ANY_PORT, 3, see, &s), 3);
	assert_int_equal(s.held[0].since_ns, 104);
	assert_int_equal(s.held[1].since_ns, 100);
	assert_int_equal(s.held[2].since_ns, 101);
	assert_int_equal(hold_take_syns(x->t, 5, HOLD_ANY_PORT, 100, see, &s), 4);
	assert_int_equal(s.held[3].since_ns, 103);
	assert_int_equal(s.held[6].since_ns, 108);
	assert_int_equal(s.held[0].port, any_order[0]);
}

static void test_ports_are_bounded(void **state)
{
	struct fixture *x = *state;
	uint16_t ports[HOLD_PORTS_MAX + 1];
	struct packet p;

	for (uint16_t i = 0; i < HOLD_PORTS_MAX; i++) {
		p = syn(i, 40000, (uint16_t)(1000 + i), i);
		assert_int_equal(hold(x->t, 5, &p, 100), HOLD_NEW);
	}
	p = syn(1, 40000, 80, 1);
	assert_int_equal(hold(x->t, 5, &p, 100), HOLD_FULL);
	assert_int_equal(hold(x->t, 6, &p, 100), HOLD_NEW); /* another owner's ports are others */
	assert_int_equal(hold_count_all(x->t), HOLD_PORTS_MAX + 1);
	p = syn(1, 40001, 1007, 1);
	assert_int_equal(hold(x->t, 5, &p, 100), HOLD_NEW);
	assert_int_equal(hold_ports(x->t, 5, ports, HOLD_PORTS_MAX + 1), HOLD_PORTS_MAX);
	assert_int_equal(hold_take_syns(x->t, 5, 1033, 100, drop, NULL), 1);
	p = syn(2, 40000, 80, 1);
	assert_int_equal(hold(x->t, 5, &p, 100), HOLD_NEW);
	p = syn(1, 40000, 1033, 1);
	assert_int_equal(hold(x->t, 5, &p, 100), HOLD_FULL);
}

static void test_what_is_not_taken_stays(void **state)
{
	struct fixture *x = *state;
	struct seen s = { .stop_at = 4 };

	for (uint32_t i = 0; i < 10; i++) {
		struct packet p = syn(i, 40000, 80, i);

		hold(x->t, 5, &p, 100 + i);
	}
	assert_int_equal(hold_take_syns(x->t, 5, HOLD_ANY_PORT, 100, see, &s), 3);
	assert_int_equal(hold_count(x->t, 5), 7);
	s = (struct seen){ .n = 0 };
	assert_int_equal(hold_take_syns(x->t, 5, HOLD_ANY_PORT, 100, see, &s), 7);
	assert_int_equal(s.held[0].since_ns, 103);
}

static void test_limit_of_all(void **state)
{
	struct fixture *x = *state;
	struct packet p;

	hold_limits(x->t, 100, 1000);
	for (uint32_t i = 0; i < 50; i++) {
		p = syn(i, 40000, 80, i);
		assert_int_equal(hold(x->t, 5, &p, 100), HOLD_NEW);
	}
	p = syn(50, 40000, 80, 1);
	assert_int_equal(hold(x->t, 5, &p, 100), HOLD_FULL); /* half */
	p = syn(49, 40000, 80, 1);
	assert_int_equal(hold(x->t, 5, &p, 100), HOLD_AGAIN); /* it is held already */
	for (uint32_t i = 0; i < 25; i++) {
		p = syn(i, 50000, 80, i);
		assert_int_equal(hold(x->t, 6, &p, 100), HOLD_NEW); /* half of what is left */
	}
	p = syn(25, 50000, 80, 1);
	assert_int_equal(hold(x->t, 6, &p, 100), HOLD_FULL);
	assert_int_equal(hold_take_syns(x->t, 5, 80, 2, drop, NULL), 2);
	assert_int_equal(hold(x->t, 6, &p, 100), HOLD_NEW);
	assert_int_equal(hold(x->t, 6, &p, 100), HOLD_AGAIN);
	hold_limits(x->t, 10, 1000);
	assert_int_equal(hold_count_all(x->t), 74); /* what is held stays */
	p = syn(50, 40000, 80, 1);
	assert_int_equal(hold(x->t, 7, &p, 100), HOLD_FULL);
	p = udp_packet(50, 40000, 53, 100);
	assert_int_equal(keep(x->t, 7, &p, 4, 100), HOLD_FULL);
}

static void test_limit_of_a_source(void **state)
{
	struct fixture *x = *state;
	struct packet p;

	hold_limits(x->t, 1000, 10);
	for (uint16_t i = 0; i < 12; i++) {
		p = syn(1, (uint16_t)(40000 + i), 80, i);
		assert_int_equal(hold(x->t, i % 2, &p, 100), i < 10 ? HOLD_NEW : HOLD_FULL);
	}
	p = udp_packet(1, 40000, 53, 100);
	assert_int_equal(keep(x->t, 3, &p, 4, 100), HOLD_FULL);
	p = syn(2, 40000, 80, 1);
	assert_int_equal(hold(x->t, 0, &p, 100), HOLD_NEW);
	assert_int_equal(hold_take_syns(x->t, 0, 80, 1, drop, NULL), 1);
	p = udp_packet(1, 40000, 53, 100);
	assert_int_equal(keep(x->t, 3, &p, 4, 100), HOLD_NEW);
	assert_int_equal(keep(x->t, 3, &p, 4, 100), HOLD_FULL);
	reopen(x); /* counted anew */
	hold_limits(x->t, 1000, 10);
	p = syn(1, 41000, 80, 1);
	assert_int_equal(hold(x->t, 0, &p, 100), HOLD_FULL);
	assert_int_equal(hold_take_syns(x->t, HOLD_NOBODY, HOLD_ANY_PORT, 100, drop, NULL), 10);
	assert_int_equal(hold(x->t, 0, &p, 100), HOLD_NEW);
}

static void test_a_source_of_ip6_is_a_network(void **state)
{
	struct fixture *x = *state;

	hold_limits(x->t, 1000, 3);
	for (uint16_t i = 0; i < 8; i++) {
		char text[ADDR_TEXT_MAX];
		struct packet p;

		snprintf(text, sizeof(text), "fd00:0:0:%d::%d:%d", i / 4, i, i);
		p = tcp_packet(ip(text), 40000, "fd09::7", 80, TCP_SYN, 1);
		assert_int_equal(hold(x->t, 5, &p, 100), i % 4 < 3 ? HOLD_NEW : HOLD_FULL);
		assert_int_equal(hold(x->t, 5, &p, 100), i % 4 < 3 ? HOLD_AGAIN : HOLD_FULL);
	}
}

static void test_packets_in_order(void **state)
{
	struct fixture *x = *state;
	struct seen s = { .n = 0 };
	struct packet p;
	uint16_t port;

	for (uint32_t i = 0; i < 12; i++) {
		p = udp_packet(i % 3, 40000, 53, 100 + i);
		assert_int_equal(keep(x->t, 5, &p, 3, 100 + i), i < 3 ? HOLD_NEW : i < 9 ? HOLD_AGAIN : HOLD_FULL);
	}
	p = udp_packet(0, 40001, 53, 100);
	assert_int_equal(keep(x->t, 5, &p, 0, 100), HOLD_FULL); /* none are held */
	assert_int_equal(hold_ports(x->t, 5, &port, 1), 0); /* SYNs only */
	assert_int_equal(hold_take_syns(x->t, 5, HOLD_ANY_PORT, 100, see, &s), 0);
	s.stop_at = 4;
	assert_int_equal(hold_take_packets(x->t, 5, 100, see, &s), 3);
	s.stop_at = 0;
	assert_int_equal(hold_take_packets(x->t, 5, 2, see, &s), 2);
	assert_int_equal(hold_take_packets(x->t, 5, 100, see, &s), 4);
	for (uint32_t i = 0; i < 9; i++) {
		struct ip_addr expected = client(i % 3);

		assert_false(s.held[i].syn);
		assert_int_equal(s.held[i].proto, FLOW_UDP);
		assert_int_equal(s.held[i].n, 100 + i);
		assert_int_equal(s.held[i].since_ns, 100 + i);
		assert_true(ip_equal(&s.held[i].client, &expected));
	}
	assert_int_equal(hold_count_all(x->t), 0);
}

static void test_packets_are_bounded(void **state)
{
	struct fixture *x = *state;
	struct packet p = udp_packet(1, 40000, 53, HOLD_PACKET_BYTES + 1);
	unsigned n = 0;

	assert_int_equal(keep(x->t, 5, &p, 4, 100), HOLD_FULL);
	for (uint16_t i = 0; i < 50; i++) {
		p = udp_packet(1, (uint16_t)(40000 + i), 53, HOLD_PACKET_BYTES);
		n += keep(x->t, 5, &p, 4, 100) == HOLD_NEW;
	}
	assert_int_equal(n, HOLD_OWNER_PACKET_BYTES / HOLD_PACKET_BYTES);
	assert_int_equal(hold_take_packets(x->t, 5, 1, drop, NULL), 1);
	assert_int_equal(keep(x->t, 5, &p, 4, 100), HOLD_NEW);
	hold_take_packets(x->t, 5, 100, drop, NULL);
	/* many small ones: no owner has more than what is free */
	for (uint32_t owner = 0; owner < 8; owner++) {
		for (uint32_t i = 0; i < 2000; i++) {
			p = udp_packet(i, (uint16_t)owner, 53, 42);
			if (keep(x->t, owner, &p, 4, 100) == HOLD_FULL)
				break;
		}
	}
	assert_int_equal(hold_count(x->t, 0), HOLD_OWNER_PACKET_BYTES / 42);
	assert_true(hold_count_all(x->t) < HOLD_PACKETS_MAX);
	assert_true(hold_count(x->t, 7) > 0);
}

/* A SYN and other segments of the same flow do not know each other. */
static void test_segments_beside_syns(void **state)
{
	struct fixture *x = *state;
	struct packet first = syn(1, 40000, 80, 7), data = tcp_packet(client(1), 40000, "10.9.0.7", 80, TCP_ACK, 9);
	struct seen s = { .n = 0 };

	assert_int_equal(keep(x->t, 5, &data, 2, 100), HOLD_NEW);
	assert_int_equal(hold(x->t, 5, &first, 101), HOLD_NEW);
	assert_int_equal(keep(x->t, 5, &data, 2, 102), HOLD_AGAIN);
	assert_int_equal(keep(x->t, 5, &data, 2, 103), HOLD_FULL);
	assert_int_equal(hold(x->t, 5, &first, 104), HOLD_AGAIN);
	assert_int_equal(hold_oldest_ns(x->t, 5), 100);
	assert_int_equal(hold_take_packets(x->t, 5, 100, see, &s), 2);
	assert_int_equal(s.held[0].proto, FLOW_TCP);
	assert_false(s.held[0].syn);
	assert_int_equal(hold_oldest_ns(x->t, 5), 101);
	assert_int_equal(hold_take_syns(x->t, 5, 80, 100, see, &s), 1);
	assert_true(s.held[2].syn);
}

static void test_everything_of_a_client(void **state)
{
	struct fixture *x = *state;
	struct seen s = { .stop_at = 8 };
	struct ip_addr who = client(3);

	for (uint32_t i = 0; i < 200; i++) {
		struct packet p = i % 4 ? syn(i % 10, (uint16_t)(40000 + i), (uint16_t)(80 + i % 7), i)
				      : udp_packet(i % 10, (uint16_t)(40000 + i), 53, 100);

		if (i % 4)
			assert_int_equal(hold(x->t, i % 10 == 3 ? i / 10 % 2 : 0, &p, 100), HOLD_NEW);
		else
			assert_int_equal(keep(x->t, i % 10 == 4 ? i / 20 % 2 : 0, &p, 4, 100), HOLD_NEW);
	}
	assert_int_equal(hold_take_client(x->t, 1, &who, see, &s), 7);
	s.stop_at = 0;
	assert_int_equal(hold_take_client(x->t, 1, &who, see, &s), 3);
	assert_int_equal(hold_take_client(x->t, 1, &who, see, &s), 0);
	for (unsigned i = 0; i < s.n; i++) {
		assert_int_equal(s.held[i].owner, 1);
		assert_true(ip_equal(&s.held[i].client, &who));
	}
	who = client(4);
	s.n = 0;
	assert_int_equal(hold_take_client(x->t, 0, &who, see, &s), 20 - 5);
	assert_int_equal(hold_count_all(x->t), 200 - 10 - 15);
	who = ip("fd00::1"); /* another one of the same network */
	s.n = 0;
	for (int i = 1; i <= 2; i++) {
		struct packet p = tcp_packet(ip(i == 1 ? "fd00::1" : "fd00::2"), 40000, "fd09::7", 80, TCP_SYN, 1);

		assert_int_equal(hold(x->t, 2, &p, 100), HOLD_NEW);
	}
	assert_int_equal(hold_take_client(x->t, 2, &who, see, &s), 1);
	assert_true(ip_equal(&s.held[0].client, &who));
}

static void test_old_ones(void **state)
{
	struct fixture *x = *state;
	struct seen s = { .n = 0 };

	for (uint32_t i = 0; i < 20; i++) {
		struct packet p = i % 5 ? syn(i, 40000, 80, i) : udp_packet(i, 40000, 53, 100);

		if (i % 5)
			assert_int_equal(hold(x->t, 5, &p, 100 + i), HOLD_NEW);
		else
			assert_int_equal(keep(x->t, 5, &p, 4, 100 + i), HOLD_NEW);
		if (i == 3)
			assert_int_equal(hold(x->t, 5, &p, 100 + i), HOLD_AGAIN); /* still as old as it is */
	}
	assert_int_equal(hold_take_old(x->t, 5, 99, 100, see, &s), 0);
	assert_int_equal(hold_take_old(x->t, 5, 106, 4, see, &s), 4);
	assert_int_equal(hold_take_old(x->t, 5, 106, 100, see, &s), 3);
	for (uint32_t i = 0; i < 7; i++)
		assert_int_equal(s.held[i].since_ns, 100 + i);
	assert_int_equal(hold_oldest_ns(x->t, 5), 107);
	s.stop_at = 9;
	assert_int_equal(hold_take_old(x->t, 5, UINT64_MAX, 100, see, &s), 1);
	s.stop_at = 0;
	assert_int_equal(hold_take_old(x->t, 5, UINT64_MAX, 100, see, &s), 12);
	assert_int_equal(hold_oldest_ns(x->t, 5), 0);
}

/* Whatever the caller's clock does, the oldest is the oldest. */
static void test_time_does_not_go_back(void **state)
{
	struct fixture *x = *state;
	struct packet p = syn(1, 40000, 80, 1), q = syn(2, 40000, 80, 1);

	hold(x->t, 5, &p, 500);
	hold(x->t, 5, &q, 100);
	assert_int_equal(hold_oldest_ns(x->t, 5), 500);
	assert_int_equal(hold_take_old(x->t, 5, 499, 100, drop, NULL), 0);
	assert_int_equal(hold_take_old(x->t, 5, 500, 100, drop, NULL), 2);
}

static void test_showing(void **state)
{
	struct fixture *x = *state;
	struct seen s = { .n = 0 };

	for (uint32_t i = 0; i < 20; i++) {
		struct packet p = i % 2 ? syn(i, 40000, 80, i) : udp_packet(i, 40000, 53, 100);

		if (i % 2)
			hold(x->t, 5, &p, 100 + i);
		else
			keep(x->t, 5, &p, 4, 100 + i);
	}
	for (unsigned from = 0; from < 20; from += 6)
		assert_int_equal(hold_show(x->t, 5, from, 6, see, &s), MIN(6u, 20 - from));
	assert_int_equal(s.n, 20);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(s.held[i].since_ns, i < 10 ? 101 + 2 * i : 100 + 2 * (i - 10));
	assert_int_equal(hold_show(x->t, 5, 20, 6, see, &s), 0);
	assert_int_equal(hold_show(x->t, 6, 0, 6, see, &s), 0);
	s = (struct seen){ .stop_at = 3 };
	assert_int_equal(hold_show(x->t, 5, 0, 100, see, &s), 3); /* the third was shown, and ended it */
	assert_int_equal(hold_count_all(x->t), 20);
}

static void test_assigning(void **state)
{
	struct fixture *x = *state;
	struct seen s = { .n = 0 };
	uint32_t nobody = HOLD_NOBODY, all = 9;

	for (uint32_t i = 0; i < 30; i++) {
		char to[ADDR_TEXT_MAX];
		struct packet p;

		snprintf(to, sizeof(to), "10.9.0.%u", 7 + i % 3);
		p = tcp_packet(client(i), 40000, to, (uint16_t)(80 + i % 2), i % 5 ? TCP_SYN : TCP_ACK, i);
		if (i % 5)
			assert_int_equal(hold(x->t, 100 + i % 3, &p, 100 + i), HOLD_NEW);
		else
			assert_int_equal(keep(x->t, 100 + i % 3, &p, 4, 100 + i), HOLD_NEW);
	}
	assert_int_equal(hold_assign(x->t, by_last_byte, NULL), 0);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(hold_count(x->t, 100 + i), 0);
		assert_int_equal(hold_count(x->t, 7 + i), 10);
	}
	assert_int_equal(hold_assign(x->t, always, &all), 0);
	assert_int_equal(hold_count(x->t, 9), 30);
	assert_int_equal(hold_take_old(x->t, 9, UINT64_MAX, 10, see, &s), 10);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(s.held[i].since_ns, 100 + i);
	assert_int_equal(hold_assign(x->t, always, &nobody), 20);
	assert_int_equal(hold_count_all(x->t), 0);
}

static void test_assigning_too_many_ports(void **state)
{
	struct fixture *x = *state;
	uint32_t all = 9;

	for (uint16_t i = 0; i < 100; i++) {
		struct packet p = syn(i, 40000, (uint16_t)(80 + i), i);

		assert_int_equal(hold(x->t, i / 50, &p, 100 + i), HOLD_NEW);
	}
	assert_int_equal(hold_assign(x->t, always, &all), 100 - HOLD_PORTS_MAX);
	assert_int_equal(hold_count_all(x->t), HOLD_PORTS_MAX);
	assert_int_equal(hold_oldest_ns(x->t, 9), 100); /* the oldest ones stay */
}

/* An address that is another service's before everything was assigned. */
static void test_another_owner(void **state)
{
	struct fixture *x = *state;
	struct packet p = syn(1, 40000, 80, 1);
	struct seen s = { .n = 0 };

	hold(x->t, 5, &p, 100);
	assert_int_equal(hold(x->t, 6, &p, 200), HOLD_NEW);
	assert_int_equal(hold_count(x->t, 5), 0);
	assert_int_equal(hold_take_syns(x->t, 6, 80, 100, see, &s), 1);
	assert_int_equal(s.held[0].since_ns, 200);
	hold(x->t, 5, &p, 300);
	reopen(x);
	assert_int_equal(hold(x->t, 7, &p, 400), HOLD_NEW);
	assert_int_equal(hold_count_all(x->t), 1);
}

static void test_a_successor_finds_everything(void **state)
{
	struct fixture *x = *state;
	struct seen before = { .n = 0 }, after = { .n = 0 };

	for (uint32_t i = 0; i < 300; i++) {
		struct packet p = i % 3 ? syn(i, 40000, (uint16_t)(i % 60), i) : udp_packet(i, 40000, 53, 100);

		if (i % 3)
			assert_int_equal(hold(x->t, 7, &p, 100 + i), HOLD_NEW);
		else
			assert_int_equal(keep(x->t, 7, &p, 4, 100 + i), HOLD_NEW);
		if (i % 4 == 1 && i % 3)
			assert_int_equal(hold(x->t, 7, &p, 100 + i), HOLD_AGAIN);
		if (i == 139) /* slots are used a second time */
			assert_true(hold_take_syns(x->t, 7, HOLD_ANY_PORT, 70, drop, NULL) == 70);
	}
	hold_show(x->t, 7, 0, SOME, see, &before);
	reopen(x);
	assert_int_equal(hold_count(x->t, HOLD_NOBODY), before.n);
	assert_int_equal(hold_count(x->t, 7), 0);
	assert_int_equal(hold_ports(x->t, HOLD_NOBODY, (uint16_t[1]){ 0 }, 1), 0);
	assert_int_equal(hold_assign(x->t, by_last_byte, NULL), 0);
	hold_show(x->t, 7, 0, SOME, see, &after);
	assert_int_equal(after.n, before.n);
	for (unsigned i = 0; i < after.n; i++) {
		const struct held *a = &before.held[i], *b = &after.held[i];

		assert_true(a->owner == b->owner && a->syn == b->syn && a->n == b->n && a->packets == b->packets);
		assert_true(a->since_ns == b->since_ns && a->newest_ns == b->newest_ns);
		assert_memory_equal(after.frames[i], before.frames[i], MIN(after.held[i].n, (size_t)HOLD_SYN_BYTES));
	}
	assert_int_equal(hold_take_old(x->t, 7, UINT64_MAX, SOME, drop, NULL), after.n);
}

/* ---- memory that somebody else wrote ---- */

struct memory {
	struct hold_store store;
};

static struct memory look_into(int fd)
{
	struct memory m;

	assert_int_equal(hold_store_map(&m.store, fd), 0);
	return m;
}

static struct hold_slot *slot(struct memory *m, enum hold_area area, uint32_t i)
{
	return hold_store_slot(&m->store, area, i);
}

/* Which slot holds something, from `from` on. */
static uint32_t find_slot(struct memory *m, uint32_t from)
{
	while (!hold_slot_is_whole(slot(m, HOLD_AREA_SYNS, from)))
		from++;
	return from;
}

/* Killed between the writing of the newer SYN and the clearing of the older. */
static void test_both_slots_of_a_flow(void **state)
{
	struct fixture *x = *state;
	struct memory m = look_into(x->fd);
	struct packet older = syn(1, 40000, 80, 7), newer = syn(1, 40000, 80, 8), other = syn(2, 40000, 80, 9);

	for (int first = 0; first < 2; first++) {
		struct seen s = { .n = 0 };
		struct hold_slot *a = slot(&m, HOLD_AREA_SYNS, first ? 2 : 0), *b = slot(&m, HOLD_AREA_SYNS, first ? 0 : 2);

		hold_store_use(&m.store, HOLD_AREA_SYNS, 3);
		memcpy(a->frame, older.bytes, older.n);
		hold_slot_finish(a, older.n, 3, 100, 200);
		memcpy(b->frame, newer.bytes, newer.n);
		hold_slot_finish(b, newer.n, 4, 100, 300);
		memcpy(slot(&m, HOLD_AREA_SYNS, 1)->frame, other.bytes, other.n);
		hold_slot_finish(slot(&m, HOLD_AREA_SYNS, 1), other.n, 1, 150, 150);
		reopen(x);
		assert_int_equal(hold_count_all(x->t), 2);
		hold_assign(x->t, by_last_byte, NULL);
		assert_int_equal(hold_take_syns(x->t, 7, 80, 10, see, &s), 2);
		assert_memory_equal(s.frames[0], newer.bytes, newer.n);
		assert_int_equal(s.held[0].packets, 4);
		assert_int_equal(s.held[0].since_ns, 100);
		assert_int_equal(s.held[1].since_ns, 150);
		reopen(x);
		assert_int_equal(hold_count_all(x->t), 0); /* the older one is gone, too */
	}
	hold_store_unmap(&m.store);
}

/* No slot is free among those that were used: the spare is a new one. */
static void test_no_slot_is_free(void **state)
{
	struct fixture *x = *state;
	struct memory m = look_into(x->fd);
	struct seen s = { .n = 0 };

	hold_store_use(&m.store, HOLD_AREA_SYNS, 3);
	for (uint32_t i = 0; i < 3; i++) {
		struct packet p = syn(i, 40000, 80, i);

		memcpy(slot(&m, HOLD_AREA_SYNS, i)->frame, p.bytes, p.n);
		hold_slot_finish(slot(&m, HOLD_AREA_SYNS, i), p.n, 1, 100 + i, 100 + i);
	}
	hold_store_unmap(&m.store);
	for (uint32_t again = 2; again < 4; again++) {
		struct packet p = syn(1, 40000, 80, again);

		reopen(x);
		hold_assign(x->t, by_last_byte, NULL);
		assert_int_equal(hold_count(x->t, 7), 3);
		assert_int_equal(hold(x->t, 7, &p, 100 + again), HOLD_AGAIN);
	}
	reopen(x);
	assert_int_equal(hold_take_old(x->t, HOLD_NOBODY, UINT64_MAX, 10, see, &s), 3);
	assert_int_equal(s.held[1].packets, 3);
}

/* Killed while a slot was being written: whatever is in it, it is not whole. */
static void test_a_torn_slot(void **state)
{
	struct fixture *x = *state;
	struct memory m = look_into(x->fd);
	struct packet p = syn(1, 40000, 80, 7);

	for (size_t cut = 0; cut < p.n; cut++) {
		hold_store_use(&m.store, HOLD_AREA_SYNS, 3);
		memcpy(slot(&m, HOLD_AREA_SYNS, 1)->frame, p.bytes, cut);
		slot(&m, HOLD_AREA_SYNS, 1)->n = (uint16_t)p.n;
		reopen(x);
		assert_int_equal(hold_count_all(x->t), 0);
		assert_int_equal(hold(x->t, 5, &p, 100), HOLD_NEW);
		assert_int_equal(hold_take_syns(x->t, 5, 80, 1, drop, NULL), 1);
	}
	hold_store_unmap(&m.store);
}

static void test_slots_that_lie(void **state)
{
	struct fixture *x = *state;
	struct memory m = look_into(x->fd);
	struct packet p = syn(1, 40000, 80, 7), ack = tcp_packet(client(1), 40000, "10.9.0.7", 80, TCP_ACK, 9);
	struct seen s = { .n = 0 };
	struct hold_slot *at;

	/* a length beyond the slot; of nothing; a frame that is no SYN; no frame at all; a strange state */
	for (int i = 0; i < 5; i++) {
		hold(x->t, 5, &p, 100);
		at = slot(&m, HOLD_AREA_SYNS, find_slot(&m, 0));
		switch (i) {
		case 0: at->n = HOLD_SYN_BYTES + 1; break;
		case 1: at->n = 0; break;
		case 2: memcpy(at->frame, ack.bytes, ack.n); break;
		case 3: memset(at->frame, 0xff, HOLD_SYN_BYTES); break;
		case 4: atomic_store(&at->state, 0x80); break;
		}
		reopen(x);
		assert_int_equal(hold_count_all(x->t), 0);
	}
	/* times to come, and a number that cannot be */
	hold(x->t, 5, &p, 100);
	at = slot(&m, HOLD_AREA_SYNS, find_slot(&m, 0));
	at->since_ns = UINT64_MAX;
	at->newest_ns = UINT64_MAX - 1;
	at->packets = 0;
	reopen(x);
	assert_int_equal(hold_take_syns(x->t, HOLD_NOBODY, HOLD_ANY_PORT, 1, see, &s), 1);
	assert_true(s.held[0].since_ns <= clock_now_ns());
	assert_true(s.held[0].newest_ns >= s.held[0].since_ns);
	assert_int_equal(s.held[0].packets, 1);
	hold_store_unmap(&m.store);
}

static uint64_t random_state = 88172645463325252u;

static uint32_t random_below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 33) % n;
}

static bool check_held(void *arg, const struct held *h)
{
	struct frame f;

	(void)arg;
	frame_parse(h->frame, h->n, &f);
	assert_true(f.kind == FRAME_TCP || f.kind == FRAME_UDP || f.kind == FRAME_WOL);
	assert_true(ip_equal(&f.src, &h->client));
	assert_true(h->since_ns <= h->newest_ns);
	return true;
}

/* Bits are turned anywhere in what was used, and in the header: the table works on. */
static void test_garbage(void **state)
{
	struct fixture *x = *state;

	for (int round = 0; round < 300; round++) {
		struct memory m = look_into(x->fd);
		uint32_t syns = hold_store_used(&m.store, HOLD_AREA_SYNS), n;
		uint8_t *base = (uint8_t *)m.store.header;
		struct packet p;

		for (unsigned i = random_below(50); i > 0; i--) {
			struct hold_slot *at = slot(&m, HOLD_AREA_SYNS, random_below(syns + 1));
			size_t length = random_below(30), from = random_below(HOLD_SYN_BYTES + 24);

			for (size_t k = from; k < MIN(from + length, (size_t)HOLD_SYN_BYTES + 24); k++)
				((uint8_t *)at)[k] = random_below(3) ? (uint8_t)random_below(256) : 1;
		}
		if (round % 10 == 0)
			base[4 + random_below(8)] = (uint8_t)random_below(4);
		if (round % 50 == 49)
			memset(base, 0xff, 64);
		hold_store_unmap(&m.store);
		reopen(x);
		n = hold_count_all(x->t);
		if (round % 50 == 49)
			assert_int_equal(n, 0); /* another layout: begun anew */
		assert_int_equal(hold_show(x->t, HOLD_NOBODY, 0, n + 1, check_held, NULL), n);
		hold_assign(x->t, by_last_byte, NULL);
		for (uint32_t i = 0; i < 100; i++) {
			p = syn(random_below(200), 40000, (uint16_t)(80 + i % 5), i);
			assert_int_not_equal(hold(x->t, 7, &p, 100 + i), HOLD_FULL);
			p = udp_packet(random_below(200), 40000, 53, 100);
			keep(x->t, 7, &p, 4, 100);
		}
		hold_take_syns(x->t, 7, HOLD_ANY_PORT, random_below(200), check_held, NULL);
		hold_take_packets(x->t, 7, random_below(200), check_held, NULL);
	}
}

/* Makes every slot whole, with a flow of its own. */
static void fill_all_slots(struct memory *m)
{
	for (uint32_t i = 0; i <= HOLD_SYNS_MAX; i++) {
		struct tcp_segment s = { .src = client(i), .dst = ip("10.9.0.7"), .src_port = (uint16_t)i, .dst_port = 80,
					 .flags = TCP_SYN };
		struct hold_slot *at = slot(m, HOLD_AREA_SYNS, i);

		hold_slot_finish(at, frame_tcp(at->frame, &s), 1, 100 + i, 100 + i);
	}
}

static long bytes_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_blocks * 512;
}

/* Every slot is whole, though one must be free. */
static void test_more_than_can_be(void **state)
{
	struct fixture *x = *state;
	struct memory m = look_into(x->fd);
	struct packet p = syn(1, 40000, 80, 7);

	fill_all_slots(&m);
	memset(m.store.header, 0xff, 12);
	reopen(x);
	assert_int_equal(hold_count_all(x->t), 0); /* another layout */
	assert_true(bytes_of(x->fd) < 64 * 1024); /* begun anew, without its memory */
	fill_all_slots(&m);
	hold_store_use(&m.store, HOLD_AREA_SYNS, UINT32_MAX);
	hold_store_unmap(&m.store);
	reopen(x);
	assert_int_equal(hold_count_all(x->t), HOLD_SYNS_MAX);
	hold_assign(x->t, by_last_byte, NULL);
	assert_int_equal(hold(x->t, 7, &p, 1000), HOLD_FULL);
	p = syn(77, 77, 80, 9);
	assert_int_equal(hold(x->t, 7, &p, 1000000), HOLD_AGAIN); /* there is a spare slot */
	assert_int_equal(hold_take_old(x->t, 7, UINT64_MAX, UINT32_MAX, drop, NULL), HOLD_SYNS_MAX);
	assert_true(bytes_of(x->fd) < 64 * 1024);
}

/* ---- kill -9 ---- */

enum { KILL_FLOWS = 400, KILL_STEPS = 200000 };

/* One step of a fixed sequence: a SYN of some flow, or, now and then, the oldest is let go. */
static int step_flow(unsigned step)
{
	uint32_t mixed = step * 2654435761u;

	return mixed >> 30 == 3 ? -1 : (int)(mixed >> 8) % KILL_FLOWS;
}

struct flow_now {
	bool held;
	uint32_t seq, packets;
	unsigned since; /* the step it began at */
};

static void model_step(struct flow_now *flows, unsigned step)
{
	int i = step_flow(step), first = -1;

	if (i >= 0) {
		if (!flows[i].held)
			flows[i] = (struct flow_now){ .held = true, .since = step };
		flows[i].seq = step;
		flows[i].packets++;
		return;
	}
	for (i = 0; i < KILL_FLOWS; i++) {
		if (flows[i].held && (first < 0 || flows[i].since < flows[first].since))
			first = i;
	}
	if (first >= 0)
		flows[first].held = false;
}

static void run_until_killed(int fd, _Atomic unsigned *done)
{
	struct hold_table *t = hold_open(fd);

	for (unsigned step = 0; step < KILL_STEPS; step++) {
		int i = step_flow(step);

		if (i >= 0) {
			struct packet p = syn((uint32_t)i, 40000, 80, step);

			if (hold(t, 7, &p, 1 + step) == HOLD_FULL)
				_exit(1);
		} else {
			hold_take_old(t, 7, UINT64_MAX, 1, drop, NULL);
		}
		*done = step + 1;
	}
	for (;;)
		pause();
}

/* Is what was found of this flow what it was after one of two steps? */
static bool fits(const struct flow_now *f, const struct held *h)
{
	struct frame got;

	if (!h || !f->held)
		return !h && !f->held;
	frame_parse(h->frame, h->n, &got);
	return got.seq == f->seq && h->packets == f->packets && h->since_ns == 1 + f->since && h->newest_ns == 1 + f->seq;
}

static void check_after_kill(int fd, unsigned done)
{
	static struct flow_now before[KILL_FLOWS], after[KILL_FLOWS];
	const struct held *found[KILL_FLOWS] = { NULL };
	static struct seen s;
	struct hold_table *t = hold_open(fd);

	memset(before, 0, sizeof(before));
	for (unsigned step = 0; step < done; step++)
		model_step(before, step);
	memcpy(after, before, sizeof(after));
	model_step(after, done);
	s.n = 0;
	assert_non_null(t);
	hold_show(t, HOLD_NOBODY, 0, SOME, see, &s);
	for (unsigned i = 0; i < s.n; i++) {
		uint32_t flow = (uint32_t)s.held[i].client.b[14] << 8 | s.held[i].client.b[15];

		assert_true(flow < KILL_FLOWS);
		assert_null(found[flow]);
		found[flow] = &s.held[i];
	}
	for (int i = 0; i < KILL_FLOWS; i++)
		assert_true(fits(&before[i], found[i]) || fits(&after[i], found[i]));
	hold_close(t);
}

/* A process is killed at any moment: what it had said to be held is there, and nothing else. */
static void test_kill(void **state)
{
	_Atomic unsigned *done = mmap(NULL, sizeof(*done), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned killed_early = 0;

	(void)state;
	assert_true(done != MAP_FAILED);
	for (unsigned round = 0; round < 60; round++) {
		int fd = hold_memory_create(), status;
		pid_t pid = fork();

		assert_true(fd >= 0);
		if (pid == 0)
			run_until_killed(fd, done);
		while (*done < 20)
			sched_yield();
		usleep(random_below(6000));
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		killed_early += *done < KILL_STEPS;
		check_after_kill(fd, *done);
		*done = 0;
		close(fd);
	}
	assert_true(killed_early > 30);
	munmap((void *)done, sizeof(*done));
}

/* ---- many ---- */

/* A line of /proc/self/smaps_rollup, in bytes. */
static long memory_of(const char *what)
{
	cleanup_fclose FILE *f = fopen("/proc/self/smaps_rollup", "r");
	char line[256];
	long kib = 0;

	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, what, strlen(what)) == 0)
			kib = strtol(line + strlen(what), NULL, 10);
	}
	return kib * 1024;
}

enum { MANY = 100000, EACH_MOST = 256 };

static void fill(struct hold_table *t, enum hold_verdict expected)
{
	for (uint32_t i = 0; i < MANY; i++) {
		struct packet p = syn(i, (uint16_t)(i * 7), (uint16_t)(80 + i % 3), i);

		assert_int_equal(hold(t, i % 2, &p, 100 + i), expected);
	}
}

static void test_memory_of_many(void **state)
{
	struct fixture *x = *state;
	struct packet p = syn(1, 1, 80, 1);
	long before, with, after;

	hold(x->t, 0, &p, 1);
	hold_take_syns(x->t, 0, 80, 1, drop, NULL);
	before = memory_of("Rss:");
	fill(x->t, HOLD_NEW);
	with = memory_of("Rss:");
	assert_int_equal(hold_count_all(x->t), MANY);
	assert_true(bytes_of(x->fd) <= MANY * 161L + 8192);
	assert_int_equal(hold_take_syns(x->t, 0, HOLD_ANY_PORT, MANY, drop, NULL), MANY / 2);
	assert_int_equal(hold_take_syns(x->t, 1, HOLD_ANY_PORT, MANY, drop, NULL), MANY / 2);
	after = memory_of("Rss:");
	print_message("%ld bytes each, %ld KiB left of %ld\n", (with - before) / MANY, (after - before) / 1024,
		      (with - before) / 1024);
#ifndef JITSU_SANITIZED
	assert_true((with - before) / MANY <= EACH_MOST);
	assert_true(after - before < (with - before) / 10);
#endif
	assert_true(bytes_of(x->fd) < 64 * 1024);
	fill(x->t, HOLD_NEW); /* and all is as it was */
	fill(x->t, HOLD_AGAIN);
	assert_int_equal(hold_take_old(x->t, 0, UINT64_MAX, MANY, drop, NULL), MANY / 2);
}

static void test_a_successor_of_many(void **state)
{
	struct fixture *x = *state;

	fill(x->t, HOLD_NEW);
	reopen(x);
	assert_int_equal(hold_count(x->t, HOLD_NOBODY), MANY);
	assert_int_equal(hold_assign(x->t, by_last_byte, NULL), 0);
	assert_int_equal(hold_count(x->t, 7), MANY);
	fill(x->t, HOLD_NEW); /* other owners: not known to have been the same */
	assert_int_equal(hold_count_all(x->t), MANY);
}

/* ---- against a plain model ---- */

enum { ITEMS_MAX = 400, MODEL_CLIENTS = 12, MODEL_ADDRS = 3, MODEL_OWNERS = 4, MODEL_STEPS = 60000 };

struct item {
	bool syn;
	uint32_t client;
	uint16_t client_port, port;
	uint32_t addr, owner;
	uint32_t content; /* the sequence number of the newest */
	uint64_t since_ns, newest_ns;
	uint32_t packets;
	unsigned again; /* when it came the second time; 0: not yet */
};

struct model {
	struct item items[ITEMS_MAX]; /* in the order of arrival */
	unsigned n, agains;
	uint32_t owner_of[MODEL_ADDRS];
	uint32_t max_held, per_source;
	uint64_t now_ns;
};

static void model_remove(struct model *m, unsigned i)
{
	memmove(&m->items[i], &m->items[i + 1], (--m->n - i) * sizeof(m->items[0]));
}

static unsigned model_count(const struct model *m, uint32_t owner)
{
	unsigned n = 0;

	for (unsigned i = 0; i < m->n; i++)
		n += m->items[i].owner == owner;
	return n;
}

static bool model_has_room(const struct model *m, const struct item *it)
{
	unsigned source = 0;

	for (unsigned i = 0; i < m->n; i++)
		source += m->items[i].client == it->client;
	return m->n < m->max_held && model_count(m, it->owner) < m->max_held - m->n && source < m->per_source;
}

static bool same_item(const struct item *a, const struct item *b)
{
	return a->syn == b->syn && a->client == b->client && a->client_port == b->client_port && a->port == b->port &&
	       a->addr == b->addr;
}

static enum hold_verdict model_syn(struct model *m, const struct item *it)
{
	for (unsigned i = 0; i < m->n; i++) {
		struct item *old = &m->items[i];

		if (!same_item(old, it))
			continue;
		old->content = it->content;
		old->newest_ns = it->newest_ns;
		old->packets++;
		if (!old->again)
			old->again = ++m->agains;
		return HOLD_AGAIN;
	}
	if (!model_has_room(m, it))
		return HOLD_FULL;
	m->items[m->n++] = *it;
	return HOLD_NEW;
}

static enum hold_verdict model_packet(struct model *m, const struct item *it, unsigned per_flow)
{
	unsigned same = 0;

	for (unsigned i = 0; i < m->n; i++)
		same += same_item(&m->items[i], it);
	if (same >= per_flow || !model_has_room(m, it))
		return HOLD_FULL;
	m->items[m->n++] = *it;
	return same ? HOLD_AGAIN : HOLD_NEW;
}

/* Is there one of the same port that came again before this one did? */
static bool is_behind(const struct model *m, const struct item *it)
{
	for (unsigned i = 0; i < m->n; i++) {
		const struct item *o = &m->items[i];

		if (o->syn && o->owner == it->owner && o->port == it->port && o->again && o->again < it->again)
			return true;
	}
	return false;
}

/* Which SYN goes first; -1: none. */
static int model_next(const struct model *m, uint32_t owner, int port)
{
	int best = -1;

	for (unsigned i = 0; i < m->n; i++) {
		const struct item *it = &m->items[i];

		if (!it->syn || it->owner != owner || (port != HOLD_ANY_PORT && it->port != port))
			continue;
		if (it->again && is_behind(m, it))
			continue;
		if (best < 0 || (it->again && !m->items[best].again))
			best = (int)i;
	}
	return best;
}

static struct packet packet_of(const struct item *it)
{
	char to[ADDR_TEXT_MAX];

	snprintf(to, sizeof(to), "10.9.0.%u", it->addr);
	return tcp_packet(client(it->client), it->client_port, to, it->port, it->syn ? TCP_SYN : TCP_ACK, it->content);
}

static void expect_held(const struct held *h, const uint8_t *frame, const struct item *it)
{
	struct packet p = packet_of(it);

	assert_int_equal(h->owner, it->owner);
	assert_int_equal(h->syn, it->syn);
	assert_int_equal(h->since_ns, it->since_ns);
	assert_int_equal(h->newest_ns, it->newest_ns);
	assert_int_equal(h->packets, it->packets);
	assert_int_equal(h->n, p.n);
	assert_memory_equal(frame, p.bytes, p.n);
}

static void random_packet(struct model *m, struct hold_table *t)
{
	struct item it = {
		.syn = random_below(4),
		.client = random_below(MODEL_CLIENTS),
		.client_port = (uint16_t)(40000 + random_below(3)),
		.port = (uint16_t)(80 + random_below(3)),
		.addr = random_below(MODEL_ADDRS),
		.content = (uint32_t)m->now_ns,
		.since_ns = m->now_ns,
		.newest_ns = m->now_ns,
		.packets = 1,
	};
	unsigned per_flow = random_below(4);
	struct packet p;

	it.owner = m->owner_of[it.addr];
	p = packet_of(&it);
	if (it.owner == HOLD_NOBODY || m->n == ITEMS_MAX)
		return;
	if (it.syn)
		assert_int_equal(hold(t, it.owner, &p, m->now_ns), model_syn(m, &it));
	else
		assert_int_equal(keep(t, it.owner, &p, per_flow, m->now_ns), model_packet(m, &it, per_flow));
}

static void random_take_syns(struct model *m, struct hold_table *t, uint32_t owner)
{
	int port = random_below(3) ? (int)(80 + random_below(4)) : HOLD_ANY_PORT;
	unsigned most = random_below(10), n;
	static struct seen s;

	s.n = 0;
	s.stop_at = random_below(8);
	n = hold_take_syns(t, owner, port, most, see, &s);
	assert_int_equal(n, s.n);
	for (unsigned i = 0; i < n; i++) {
		int k = model_next(m, owner, port);

		assert_true(k >= 0);
		expect_held(&s.held[i], s.frames[i], &m->items[k]);
		model_remove(m, (unsigned)k);
	}
	assert_true(n == most || n + 1 == s.stop_at || model_next(m, owner, port) < 0);
}

/* The first ones of the model that `fits`, in order, are those that were taken. */
typedef bool fits_fn(const struct item *it, uint64_t value);
static bool is_packet(const struct item *it, uint64_t value) { return (void)value, !it->syn; }
static bool is_old(const struct item *it, uint64_t value) { return it->since_ns <= value; }

static void expect_taken(struct model *m, uint32_t owner, const struct seen *s, unsigned most, fits_fn *item_fits,
			 uint64_t value)
{
	unsigned k = 0;

	for (unsigned i = 0; i < m->n && k < most;) {
		if (m->items[i].owner != owner || !item_fits(&m->items[i], value)) {
			i++;
			continue;
		}
		assert_true(k < s->n);
		expect_held(&s->held[k], s->frames[k], &m->items[i]);
		model_remove(m, i);
		k++;
	}
	assert_int_equal(k, s->n);
}

static void random_take_client(struct model *m, struct hold_table *t, uint32_t owner)
{
	uint32_t who = random_below(MODEL_CLIENTS), n = 0;
	struct ip_addr addr = client(who);

	for (unsigned i = 0; i < m->n;) {
		if (m->items[i].owner == owner && m->items[i].client == who) {
			model_remove(m, i);
			n++;
		} else {
			i++;
		}
	}
	assert_int_equal(hold_take_client(t, owner, &addr, drop, NULL), n);
}

static uint32_t by_model(void *arg, const struct ip_addr *addr)
{
	return ((struct model *)arg)->owner_of[addr->b[15]];
}

/* (Lists are built anew: who came again goes by age.) */
static void assign_all(struct model *m, struct hold_table *t)
{
	unsigned gone = 0;

	for (unsigned i = 0; i < m->n;) {
		m->items[i].owner = m->owner_of[m->items[i].addr];
		if (m->items[i].again)
			m->items[i].again = ++m->agains;
		if (m->items[i].owner == HOLD_NOBODY) {
			model_remove(m, i);
			gone++;
		} else {
			i++;
		}
	}
	assert_int_equal(hold_assign(t, by_model, m), gone);
}

static void compare(const struct model *m, struct hold_table *t)
{
	static struct seen s;
	unsigned k;

	assert_int_equal(hold_count_all(t), m->n);
	for (uint32_t owner = 0; owner < MODEL_OWNERS; owner++) {
		uint64_t oldest = 0;

		s.n = s.stop_at = k = 0;
		assert_int_equal(hold_count(t, owner), model_count(m, owner));
		assert_int_equal(hold_show(t, owner, 0, SOME, see, &s), model_count(m, owner));
		for (int syns = 1; syns >= 0; syns--) {
			for (unsigned i = 0; i < m->n; i++) {
				if (m->items[i].owner != owner)
					continue;
				oldest = oldest ? MIN(oldest, m->items[i].since_ns) : m->items[i].since_ns;
				if (m->items[i].syn == syns) {
					expect_held(&s.held[k], s.frames[k], &m->items[i]);
					k++;
				}
			}
		}
		assert_int_equal(hold_oldest_ns(t, owner), oldest);
	}
}

static void random_step(struct model *m, struct fixture *x)
{
	uint32_t owner = random_below(MODEL_OWNERS), kind = random_below(1000);
	unsigned most = random_below(12);
	static struct seen s;

	s.n = s.stop_at = 0;
	if (kind < 900) {
		random_packet(m, x->t);
	} else if (kind < 930) {
		random_take_syns(m, x->t, owner);
	} else if (kind < 950) {
		hold_take_packets(x->t, owner, most, see, &s);
		expect_taken(m, owner, &s, most, is_packet, 0);
	} else if (kind < 960) {
		random_take_client(m, x->t, owner);
	} else if (kind < 980) {
		uint64_t before = m->now_ns - random_below(300);

		hold_take_old(x->t, owner, before, most, see, &s);
		expect_taken(m, owner, &s, most, is_old, before);
	} else if (kind < 985) {
		m->max_held = 50 + random_below(ITEMS_MAX);
		m->per_source = 5 + random_below(50);
		hold_limits(x->t, m->max_held, m->per_source);
	} else if (kind < 990) {
		for (uint32_t i = 0; i < MODEL_ADDRS; i++)
			m->owner_of[i] = random_below(8) ? random_below(MODEL_OWNERS) : HOLD_NOBODY;
		assign_all(m, x->t);
	} else if (kind < 995) {
		reopen(x);
		hold_limits(x->t, m->max_held, m->per_source);
		assign_all(m, x->t);
	} else {
		compare(m, x->t);
	}
}

static void test_against_a_plain_model(void **state)
{
	static struct model m = { .max_held = 300, .per_source = 30, .now_ns = 1000 };

	hold_limits(((struct fixture *)*state)->t, m.max_held, m.per_source);
	for (unsigned i = 0; i < MODEL_STEPS; i++) {
		m.now_ns++;
		random_step(&m, *state);
	}
	compare(&m, ((struct fixture *)*state)->t);
}

#define hold_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_siphash),
		cmocka_unit_test(test_memory),
		hold_test(test_a_syn_is_held_and_taken),
		hold_test(test_the_newest_syn_of_a_flow),
		hold_test(test_a_syn_with_data),
		hold_test(test_retransmitted_ones_go_first),
		hold_test(test_of_one_port_and_of_any),
		hold_test(test_ports_are_bounded),
		hold_test(test_what_is_not_taken_stays),
		hold_test(test_limit_of_all),
		hold_test(test_limit_of_a_source),
		hold_test(test_a_source_of_ip6_is_a_network),
		hold_test(test_packets_in_order),
		hold_test(test_packets_are_bounded),
		hold_test(test_segments_beside_syns),
		hold_test(test_everything_of_a_client),
		hold_test(test_old_ones),
		hold_test(test_time_does_not_go_back),
		hold_test(test_showing),
		hold_test(test_assigning),
		hold_test(test_assigning_too_many_ports),
		hold_test(test_another_owner),
		hold_test(test_a_successor_finds_everything),
		hold_test(test_both_slots_of_a_flow),
		hold_test(test_no_slot_is_free),
		hold_test(test_a_torn_slot),
		hold_test(test_slots_that_lie),
		hold_test(test_garbage),
		hold_test(test_more_than_can_be),
		cmocka_unit_test(test_kill),
		hold_test(test_memory_of_many),
		hold_test(test_a_successor_of_many),
		hold_test(test_against_a_plain_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
