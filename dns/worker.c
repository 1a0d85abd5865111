/* Theory of operation
 *
 * recvmmsg() blocks until there is one query, and takes what else is there, up to BATCH: a lonely query
 * is answered at once, and under load one system call reads 32 and another one sends 32 answers.  An
 * idle worker costs nothing.
 *
 * All that the two calls need is laid out once.  What the kernel has written (lengths of addresses and
 * control data) is set anew for the messages that came.  An answer goes out with the very address and
 * control data that its query came with.  A socket that is bound to one address has no control
 * data at all.
 *
 * Ending.  The socket outlives the worker: the supervisor and the next dns have it too, so it must not be
 * shut down to wake the thread.  A signal does: SIGUSR1, which only workers do not block, and whose
 * handler does nothing, interrupts recvmmsg().  One that comes between the look at `end` and the call
 * would be lost, so it is sent again, every millisecond, until the thread has ended.
 *
 * A loop with epoll was refused: it costs one system call more for each batch, and a worker has
 * nothing else to wait for.
 */
#include "dns/worker.h"

#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"

enum {
	BATCH = 32,
	WAKE_SIGNAL = SIGUSR1,
	STACK_BYTES = 512 * 1024,
	REST_MS = 10, /* after an error that nobody expects */
	/* Not a multiple of a page: buffers that begin at the same place of their pages compete for the same
	 * few lines of the cache. */
	STRIDE = QUEUE_PACKET_MAX + 192,
};

union peer {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

union control {
	char room[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	struct cmsghdr align;
};

struct worker {
	struct worker_conf conf;
	pthread_t thread;
	_Atomic bool end;
	/* the wall clock in seconds, asked once a second */
	uint32_t now_s;
	uint64_t now_s_until_ns;
	struct mmsghdr in[BATCH], out[BATCH];
	struct iovec in_iov[BATCH], out_iov[BATCH];
	union peer peers[BATCH];
	union control controls[BATCH];
	uint8_t replies[BATCH][WIRE_UDP_MAX];
	uint8_t queries[BATCH][STRIDE];
};

/* ---- addresses ---- */

/* For IPv4 that is ipi_spec_dst: a broadcast cannot be a source. */
static bool take_pktinfo4(struct cmsghdr *c, struct ip_addr *local)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct in_pktinfo info;
	uint16_t port;

	memcpy(&info, CMSG_DATA(c), sizeof(info));
	in.sin_addr = info.ipi_spec_dst;
	ip_from_sockaddr((struct sockaddr *)&in, local, &port);
	info.ipi_ifindex = 0; /* the way back is the routes' matter */
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	return true;
}

static bool take_pktinfo6(struct cmsghdr *c, struct ip_addr *local)
{
	struct in6_pktinfo info;

	memcpy(&info, CMSG_DATA(c), sizeof(info));
	memcpy(local->b, &info.ipi6_addr, sizeof(local->b));
	if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
		info.ipi6_ifindex = 0;
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	return !IN6_IS_ADDR_MULTICAST(&info.ipi6_addr);
}

/* Where a query was sent to, and where its answer must come from; false when none can be told, or none
 * can be a source.  The message is left as one that sends from there. */
static bool take_pktinfo(struct msghdr *m, struct ip_addr *local)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);

	if (c && c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
		return take_pktinfo4(c, local);
	if (c && c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
		return take_pktinfo6(c, local);
	return false;
}

/* Of the link-local address of either side: 0 when neither is one. */
static uint32_t scope_of(const struct worker *w, unsigned i)
{
	const struct cmsghdr *c = w->conf.any ? CMSG_FIRSTHDR(&w->in[i].msg_hdr) : NULL;
	struct in6_pktinfo info = { .ipi6_ifindex = w->peers[i].in6.sin6_scope_id };

	if (info.ipi6_ifindex == 0 && c)
		memcpy(&info, CMSG_DATA(c), sizeof(info)); /* as take_pktinfo6() left it */
	return info.ipi6_ifindex;
}

/* ---- a batch ---- */

static void pass(struct worker *w, unsigned i, const struct ip_addr *addr, const struct ip_addr *local,
		 uint64_t now_ns, enum view_pass whose)
{
	const union peer *peer = &w->peers[i];
	struct client from = { .addr = *addr, .port = ntohs(peer->in.sin_port), .socket = w->conf.place,
			       .local = *local, .t_ns = now_ns, .verified = whose == PASS_VERIFIED };

	if (w->conf.v6)
		from.scope = scope_of(w, i);
	if (queue_put(w->conf.queue, &from, w->queries[i], w->in[i].msg_len)) {
		count_one(w->conf.counts, DNS_COUNT_PASSED);
		bell_ring(w->conf.bell);
	} else {
		count_one(w->conf.counts, DNS_COUNT_QUEUE_FULL);
	}
}

static void put_answer(struct worker *w, unsigned i, unsigned k, size_t n)
{
	const struct msghdr *query = &w->in[i].msg_hdr;
	struct msghdr *m = &w->out[k].msg_hdr;

	m->msg_name = query->msg_name;
	m->msg_namelen = query->msg_namelen;
	m->msg_control = query->msg_control;
	m->msg_controllen = query->msg_controllen;
	w->out_iov[k].iov_len = n;
}

/* Whether there is an answer to it, as the k-th. */
static bool answer_one(struct worker *w, const struct view *view, unsigned i, unsigned k, struct asker *asker,
		       uint64_t now_ns)
{
	struct msghdr *m = &w->in[i].msg_hdr;
	struct ip_addr local = { { 0 } };
	enum view_pass passed = PASS_NOT;
	uint16_t port;
	size_t n;

	count_one(w->conf.counts, w->conf.v6 ? DNS_COUNT_UDP6 : DNS_COUNT_UDP4);
	ip_from_sockaddr(&w->peers[i].sa, &asker->addr, &port);
	if (m->msg_flags & MSG_TRUNC || port == 0 || (w->conf.any && !take_pktinfo(m, &local))) {
		count_one(w->conf.counts, DNS_COUNT_DROPPED);
		return false;
	}
	n = view_query(view, asker, now_ns, w->queries[i], w->in[i].msg_len, w->replies[k], w->conf.counts, &passed);
	if (passed != PASS_NOT)
		pass(w, i, &asker->addr, &local, now_ns, passed);
	if (n > 0)
		put_answer(w, i, k, n);
	return n > 0;
}

static void touch_batch(const struct worker *w, const struct view *view, unsigned n)
{
	struct iovec packets[BATCH];

	for (unsigned i = 0; i < n; i++)
		packets[i] = (struct iovec){ w->in_iov[i].iov_base, w->in[i].msg_len };
	tables_touch(view->tables, packets, n);
}

static unsigned answer_batch(struct worker *w, const struct view *view, unsigned n)
{
	uint64_t now_ns = clock_now_ns();
	struct asker asker = { .cookies = view->cookies.n > 0 ? &view->cookies : NULL };
	unsigned n_out = 0;

	if (now_ns >= w->now_s_until_ns) {
		w->now_s = (uint32_t)(clock_wall_ms() / MS_PER_S);
		w->now_s_until_ns = now_ns + NS_PER_S;
	}
	asker.now_s = w->now_s;
	touch_batch(w, view, n);
	for (unsigned i = 0; i < n; i++)
		n_out += answer_one(w, view, i, n_out, &asker, now_ns);
	return n_out;
}

/* What the kernel does not take now is lost, as anything may be over UDP: the client asks again.
 * One bad destination must not take the rest with it. */
static void send_batch(struct worker *w, unsigned n)
{
	struct mmsghdr *m = w->out;

	while (n > 0) {
		int sent = sendmmsg(w->conf.fd, m, n, MSG_DONTWAIT);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN)
			return;
		if (sent < 0)
			sent = 1;
		m += sent;
		n -= (unsigned)sent;
	}
}

/* What the kernel wrote into messages that came, or their answers. */
static void make_ready(struct worker *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct msghdr *m = &w->in[i].msg_hdr;

		m->msg_namelen = sizeof(w->peers[i]);
		m->msg_controllen = w->conf.any ? sizeof(w->controls[i]) : 0;
	}
}

static void lay_out(struct worker *w)
{
	for (unsigned i = 0; i < BATCH; i++) {
		w->in_iov[i] = (struct iovec){ w->queries[i], QUEUE_PACKET_MAX };
		w->out_iov[i] = (struct iovec){ w->replies[i], 0 };
		w->in[i].msg_hdr = (struct msghdr){
			.msg_name = &w->peers[i],
			.msg_iov = &w->in_iov[i],
			.msg_iovlen = 1,
			.msg_control = w->conf.any ? &w->controls[i] : NULL,
		};
		w->out[i].msg_hdr = (struct msghdr){ .msg_iov = &w->out_iov[i], .msg_iovlen = 1 };
	}
	make_ready(w, BATCH);
}

/* ---- the thread ---- */

static void rest(void)
{
	struct timespec t = { .tv_nsec = REST_MS * (long)NS_PER_MS };

	nanosleep(&t, NULL);
}

static void *run(void *arg)
{
	struct worker *w = arg;

	while (!atomic_load_explicit(&w->end, memory_order_relaxed)) {
		int n = recvmmsg(w->conf.fd, w->in, BATCH, MSG_WAITFORONE, NULL);

		if (n > 0) {
			const struct view *view = view_enter(w->conf.views, w->conf.place);

			send_batch(w, answer_batch(w, view, (unsigned)n));
			view_leave(w->conf.views, w->conf.place);
			make_ready(w, (unsigned)n);
		} else if (n < 0 && errno != EINTR) {
			rest();
		}
	}
	return NULL;
}

static void on_signal(int signal) { (void)signal; }

void worker_init(void)
{
	struct sigaction a = { .sa_handler = on_signal }; /* without SA_RESTART */
	sigset_t set;

	sigaction(WAKE_SIGNAL, &a, NULL);
	sigemptyset(&set);
	sigaddset(&set, WAKE_SIGNAL);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* All other signals are the main thread's. */
static int start(struct worker *w)
{
	pthread_attr_t attr;
	sigset_t set;
	int r = pthread_attr_init(&attr);

	if (r != 0)
		return r;
	sigfillset(&set);
	sigdelset(&set, WAKE_SIGNAL);
	r = pthread_attr_setstacksize(&attr, STACK_BYTES);
	if (r == 0)
		r = pthread_attr_setsigmask_np(&attr, &set);
	if (r == 0)
		r = pthread_create(&w->thread, &attr, run, w);
	pthread_attr_destroy(&attr);
	return r;
}

struct worker *worker_new(const struct worker_conf *conf)
{
	struct worker *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return NULL;
	w->conf = *conf;
	lay_out(w);
	r = start(w);
	if (r != 0) {
		free(w);
		errno = r;
		return NULL;
	}
	return w;
}

void worker_free(struct worker *w)
{
	struct timespec until;

	if (!w)
		return;
	atomic_store(&w->end, true);
	do {
		uint64_t soon_ms = clock_wall_ms() + 1;

		pthread_kill(w->thread, WAKE_SIGNAL);
		until = (struct timespec){ .tv_sec = (time_t)(soon_ms / MS_PER_S),
					   .tv_nsec = (long)(soon_ms % MS_PER_S * NS_PER_MS) };
	} while (pthread_timedjoin_np(w->thread, NULL, &until) != 0);
	free(w);
}
