#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/ipc.h"

struct side {
	struct ipc *ch;
	unsigned got, ended;
	int error;
	uint32_t last_seq;
	int fd;
	bool free_in_callback;
};

static struct event_base *base;

static void on_msg(void *arg, struct ipc *ch, enum msg_type type, const void *body, int *fd)
{
	struct side *s = arg;

	s->got++;
	if (type == MSG_DNS_STATE)
		s->last_seq = ((const struct msg_dns_state *)body)->seq;
	if (*fd >= 0) {
		s->fd = *fd;
		*fd = -1;
	}
	if (s->free_in_callback) {
		ipc_free(ch);
		s->ch = NULL;
	}
}

static void on_end(void *arg, struct ipc *ch, int error)
{
	struct side *s = arg;

	s->ended++;
	s->error = error;
	ipc_free(ch);
	s->ch = NULL;
}

static void run_for(unsigned ms)
{
	struct timeval tv = clock_timeval_ms(ms);

	event_base_loopexit(base, &tv);
	event_base_dispatch(base);
}

/* Until so many messages have come, on a slow machine too. */
static void hear(const struct side *s, unsigned n)
{
	for (int i = 0; i < 200 && s->got < n; i++)
		run_for(50);
	run_for(20);
}

static void connect_sides(struct side *a, struct side *b)
{
	int fds[2];

	*a = *b = (struct side){ .fd = -1 };
	base = event_base_new();
	assert_int_equal(ipc_pair(fds), 0);
	a->ch = ipc_new(base, fds[0], on_msg, on_end, a);
	b->ch = ipc_new(base, fds[1], on_msg, on_end, b);
	assert_non_null(a->ch);
	assert_non_null(b->ch);
}

static void part(struct side *a, struct side *b)
{
	ipc_free(a->ch);
	ipc_free(b->ch);
	if (b->fd >= 0)
		close(b->fd);
	event_base_free(base);
}

static void test_messages_in_order(void **state)
{
	struct side a, b;

	(void)state;
	connect_sides(&a, &b);
	for (uint32_t i = 1; i <= 1000; i++) {
		struct msg_dns_state m = { .svc = 1, .gen = 2, .state = STATE_UP, .seq = i };

		assert_int_equal(ipc_send(a.ch, MSG_DNS_STATE, &m), 0);
	}
	hear(&b, 1000);
	assert_int_equal(b.got, 1000);
	assert_int_equal(b.last_seq, 1000);
	part(&a, &b);
}

static void test_descriptor_passes(void **state)
{
	struct msg_listen m = { .proto = LISTEN_UDP, .port = 53 };
	int pipe_fds[2];
	struct side a, b;
	char c = 0;

	(void)state;
	connect_sides(&a, &b);
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(ipc_send_fd(a.ch, MSG_LISTEN, &m, pipe_fds[1]), 0);
	close(pipe_fds[1]);
	run_for(20);
	assert_true(b.fd >= 0);
	assert_true(fcntl(b.fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(b.fd, "x", 1), 1);
	assert_int_equal(read(pipe_fds[0], &c, 1), 1);
	close(pipe_fds[0]);
	part(&a, &b);
}

/* The other side does not read: nothing blocks, and past the bound the channel ends. */
static void test_queue_is_bounded(void **state)
{
	struct msg_log m = { .level = 1 };
	int fds[2], r = 0;
	struct side a = { .fd = -1 };
	unsigned sent = 0;

	(void)state;
	base = event_base_new();
	assert_int_equal(ipc_pair(fds), 0);
	a.ch = ipc_new(base, fds[0], on_msg, on_end, &a);
	memset(m.line, 'x', sizeof(m.line) - 1);
	while (r == 0 && sent < 100000) {
		r = ipc_send(a.ch, MSG_LOG, &m);
		sent++;
	}
	assert_int_equal(r, -EPIPE);
	assert_true(sent > IPC_QUEUE_MAX_BYTES / sizeof(m));
	assert_true(sent < 4 * IPC_QUEUE_MAX_BYTES / sizeof(m));
	run_for(10);
	assert_int_equal(a.ended, 1);
	assert_int_equal(a.error, -ENOBUFS);
	close(fds[1]);
	event_base_free(base);
}

/* What a slow reader left waiting arrives, in order, once it reads. */
static void test_queue_drains(void **state)
{
	struct side a, b;

	(void)state;
	connect_sides(&a, &b);
	for (uint32_t i = 1; i <= 20000; i++) {
		struct msg_dns_state m = { .seq = i };

		assert_int_equal(ipc_send(a.ch, MSG_DNS_STATE, &m), 0);
	}
	hear(&b, 20000);
	assert_int_equal(b.got, 20000);
	assert_int_equal(b.last_seq, 20000);
	part(&a, &b);
}

static void test_nonsense_ends_the_channel(void **state)
{
	static const uint8_t nonsense[] = { IPC_LAYOUT, 0, MSG_WAKE, 0, 1, 2, 3 };
	struct side b = { .fd = -1 };
	int fds[2];

	(void)state;
	base = event_base_new();
	assert_int_equal(ipc_pair(fds), 0);
	b.ch = ipc_new(base, fds[1], on_msg, on_end, &b);
	assert_int_equal(send(fds[0], nonsense, sizeof(nonsense), 0), sizeof(nonsense));
	run_for(20);
	assert_int_equal(b.got, 0);
	assert_int_equal(b.ended, 1);
	assert_int_equal(b.error, -EBADMSG);
	close(fds[0]);
	event_base_free(base);
}

static void test_close_is_heard_after_the_last_message(void **state)
{
	struct msg_dns_state m = { .seq = 7 };
	struct side a, b;

	(void)state;
	connect_sides(&a, &b);
	assert_int_equal(ipc_send(a.ch, MSG_DNS_STATE, &m), 0);
	ipc_free(a.ch);
	a.ch = NULL;
	run_for(20);
	assert_int_equal(b.got, 1);
	assert_int_equal(b.ended, 1);
	assert_int_equal(b.error, 0);
	part(&a, &b);
}

static void test_free_inside_callback(void **state)
{
	struct msg_dns_state m = { .seq = 7 };
	struct side a, b;

	(void)state;
	connect_sides(&a, &b);
	b.free_in_callback = true;
	ipc_send(a.ch, MSG_DNS_STATE, &m);
	ipc_send(a.ch, MSG_DNS_STATE, &m);
	run_for(20);
	assert_int_equal(b.got, 1);
	assert_int_equal(b.ended, 0);
	assert_int_equal(a.ended, 1);
	part(&a, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages_in_order),
		cmocka_unit_test(test_descriptor_passes),
		cmocka_unit_test(test_queue_is_bounded),
		cmocka_unit_test(test_queue_drains),
		cmocka_unit_test(test_nonsense_ends_the_channel),
		cmocka_unit_test(test_close_is_heard_after_the_last_message),
		cmocka_unit_test(test_free_inside_callback),
	};

	return cmocka_run_group_tests_name("base/ipc", tests, NULL, NULL);
}
