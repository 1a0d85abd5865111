/* Theory of operation
 *
 * What a server pays for a query depends on how many lie in its socket when it looks.  So there are
 * always WINDOW queries on the way in each of SOCKETS sockets, far more than any server reads at once,
 * and fewer than its socket's buffer has room for; whatever has been answered is asked anew.  Whoever
 * is asked like that never waits, and the generator, which needs less CPU than any of them, does.
 *
 * A socket from which nothing has come for QUIET_NS has lost what was on its way.
 */
#include "tests/bench/dns.h"

#include <poll.h>

#include "base/clock.h"

enum { WINDOW = 24, SENT_AT_LEAST = WINDOW / 3, REPLIES = 64, GIVE_UP = 200 };
#define QUIET_NS (200 * NS_PER_MS)

struct way {
	unsigned out; /* queries on their way */
	uint64_t heard_ns;
};

struct run {
	struct server *s;
	struct load *load;
	uint64_t left; /* queries still to send */
	unsigned quiet; /* times that nothing came, in a row */
	struct way ways[SOCKETS];
};

static struct mmsghdr in_head[REPLIES], out_head[WINDOW];
static struct iovec in_iov[REPLIES], out_iov[WINDOW];
static uint8_t replies[REPLIES][REPLY_MAX];

static void prepare(void)
{
	for (unsigned i = 0; i < REPLIES; i++) {
		in_iov[i] = (struct iovec){ replies[i], REPLY_MAX };
		in_head[i].msg_hdr = (struct msghdr){ .msg_iov = &in_iov[i], .msg_iovlen = 1 };
	}
	for (unsigned i = 0; i < WINDOW; i++)
		out_head[i].msg_hdr = (struct msghdr){ .msg_iov = &out_iov[i], .msg_iovlen = 1 };
}

static bool receive(struct run *r, unsigned i, uint64_t now_ns)
{
	struct way *way = &r->ways[i];
	int n = recvmmsg(r->s->fds[i], in_head, REPLIES, MSG_DONTWAIT, NULL);

	for (int k = 0; k < n; k++) {
		r->load->bytes += in_head[k].msg_len;
		r->load->rcodes[replies[k][3] & 15]++;
		r->load->cut += (replies[k][2] & 2) != 0;
	}
	if (n > 0) {
		r->load->answered += (unsigned)n;
		way->out -= MIN(way->out, (unsigned)n);
		way->heard_ns = now_ns;
		r->quiet = 0;
	} else if (way->out > 0 && now_ns - way->heard_ns > QUIET_NS) {
		r->load->lost += way->out;
		r->quiet++;
		way->out = 0;
	}
	return n > 0;
}

static bool send_more(struct run *r, unsigned i, uint64_t now_ns)
{
	struct way *way = &r->ways[i];
	struct server *s = r->s;
	unsigned n = (unsigned)MIN((uint64_t)(WINDOW - way->out), r->left);
	int sent;

	if (n == 0 || (n < SENT_AT_LEAST && n < r->left))
		return false;
	for (unsigned k = 0; k < n; k++) {
		size_t at = (s->next + k) % s->q.n;

		out_iov[k] = (struct iovec){ s->q.bytes + s->q.at[at], s->q.at[at + 1] - s->q.at[at] };
	}
	sent = sendmmsg(s->fds[i], out_head, n, MSG_DONTWAIT);
	if (sent <= 0)
		return false;
	if (way->out == 0)
		way->heard_ns = now_ns;
	s->next = (s->next + (unsigned)sent) % s->q.n;
	way->out += (unsigned)sent;
	r->left -= (unsigned)sent;
	return true;
}

static void wait_for_any(const struct run *r)
{
	struct pollfd p[SOCKETS];

	for (unsigned i = 0; i < SOCKETS; i++)
		p[i] = (struct pollfd){ .fd = r->s->fds[i], .events = POLLIN };
	poll(p, SOCKETS, 1);
}

static bool is_under_way(const struct run *r)
{
	for (unsigned i = 0; i < SOCKETS; i++)
		if (r->ways[i].out > 0)
			return true;
	return r->left > 0;
}

bool load_run(struct server *s, uint64_t count, struct load *out)
{
	struct run r = { .s = s, .load = out, .left = count };
	uint64_t cpu_ns = server_cpu_ns(s), from_ns = clock_now_ns();

	*out = (struct load){ 0 };
	prepare();
	while (is_under_way(&r) && r.quiet < GIVE_UP) {
		bool any = false;

		for (unsigned i = 0; i < SOCKETS; i++) {
			uint64_t now_ns = clock_now_ns();

			any |= receive(&r, i, now_ns);
			any |= send_more(&r, i, now_ns);
		}
		if (!any)
			wait_for_any(&r);
	}
	out->ns = clock_now_ns() - from_ns;
	out->cpu_ns = server_cpu_ns(s) - cpu_ns;
	return cpu_ns > 0 && r.quiet < GIVE_UP && out->answered > 0;
}
